"""Throttled reads: retry unprocessed keys with exponential backoff and jitter, then give up."""

import random
import time
from collections.abc import Iterator, Mapping
from typing import Any

PAUSES = 8
"""Retries of unprocessed keys: within 13 seconds at most, 7 on average."""
FIRST_PAUSE = 0.05


class BusyError(Exception):
    """The store kept throttling or conflicting after all retries. Retry later."""


def batch_get(client: Any, requested: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(table, item) for every key that exists (BatchGetItem).

    Unprocessed keys are retried with exponential backoff and jitter. Raises BusyError.
    """
    for attempt in range(PAUSES + 1):
        answer = client.batch_get_item(RequestItems=requested)
        for table, items in answer["Responses"].items():
            yield from ((table, item) for item in items)
        requested = answer.get("UnprocessedKeys") or {}
        if not requested:
            return
        if attempt < PAUSES:
            time.sleep(random.uniform(0, FIRST_PAUSE * 2**attempt))
    raise BusyError(f"after {PAUSES} pauses {sum(len(one['Keys']) for one in requested.values())} keys are left over")
