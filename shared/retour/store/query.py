"""The pages of a query, without botocore's paginator, which would slow down every cold start."""

from collections.abc import Iterator, Mapping
from typing import Any


class StuckError(Exception):
    """A query that goes on from where it went on already, and so would never end."""


def query_pages(client: Any, **asked: Any) -> Iterator[Mapping[str, Any]]:
    """Each page as DynamoDB gives it, the next one asked for when it is wanted. StuckError."""
    while True:
        page = client.query(**asked)
        yield page
        if "LastEvaluatedKey" not in page:
            return
        if page["LastEvaluatedKey"] == asked.get("ExclusiveStartKey"):
            raise StuckError(str(page["LastEvaluatedKey"]))
        asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]
