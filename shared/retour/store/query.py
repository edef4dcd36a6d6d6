"""The pages of a query, without botocore's paginator, which would slow down every cold start."""

from collections.abc import Iterator
from typing import Any

from retour.store.items import s

Item = dict[str, Any]


class StuckError(Exception):
    """A query that goes on from where it went on already, and so would never end."""


def query_pages(client: Any, **asked: Any) -> Iterator[Item]:
    """Each page as DynamoDB gives it, the next one asked for when it is wanted. StuckError."""
    while True:
        page = client.query(**asked)
        yield page
        if "LastEvaluatedKey" not in page:
            return
        if page["LastEvaluatedKey"] == asked.get("ExclusiveStartKey"):
            raise StuckError(str(page["LastEvaluatedKey"]))
        asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def query_items(client: Any, **asked: Any) -> Iterator[Item]:
    """Each item that a query finds, over all pages."""
    for page in query_pages(client, **asked):
        yield from page["Items"]


def partition_pages(client: Any, table: str, partition: str, **more: Any) -> Iterator[Item]:
    """The pages of a whole partition as it stands now, not as a replica may still have it."""
    return query_pages(
        client,
        TableName=table,
        KeyConditionExpression="PK = :pk",
        ExpressionAttributeValues={":pk": s(partition)},
        ConsistentRead=True,
        **more,
    )


def partition_items(client: Any, table: str, partition: str, **more: Any) -> Iterator[Item]:
    """Each item of a whole partition as it stands now."""
    for page in partition_pages(client, table, partition, **more):
        yield from page["Items"]
