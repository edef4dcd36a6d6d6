"""Query pagination without botocore's paginators, which slow down cold starts."""

from collections.abc import Iterator
from typing import Any

from retour.store.items import s

Item = dict[str, Any]


class StuckError(Exception):
    """A query returned the same continuation key twice and would never end."""


def query_pages(client: Any, **asked: Any) -> Iterator[Item]:
    """The pages of a query, requested lazily. Raises StuckError."""
    while True:
        page = client.query(**asked)
        yield page
        if "LastEvaluatedKey" not in page:
            return
        if page["LastEvaluatedKey"] == asked.get("ExclusiveStartKey"):
            raise StuckError(str(page["LastEvaluatedKey"]))
        asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def query_items(client: Any, **asked: Any) -> Iterator[Item]:
    """The items of a query over all pages."""
    for page in query_pages(client, **asked):
        yield from page["Items"]


def partition_pages(client: Any, table: str, partition: str, **more: Any) -> Iterator[Item]:
    """The pages of a whole partition, strongly consistent."""
    return query_pages(
        client,
        TableName=table,
        KeyConditionExpression="PK = :pk",
        ExpressionAttributeValues={":pk": s(partition)},
        ConsistentRead=True,
        **more,
    )


def partition_items(client: Any, table: str, partition: str, **more: Any) -> Iterator[Item]:
    """The items of a whole partition, strongly consistent."""
    for page in partition_pages(client, table, partition, **more):
        yield from page["Items"]
