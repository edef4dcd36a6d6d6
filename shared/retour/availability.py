"""Whether an answer can still be given: the time that a call has, and a store that does not answer.

The gateway gives up after 29 seconds and says so in its own words; a function answers before. What is interrupted is as
after a kill: what was stored is there and counts once, however often the call comes again.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SECONDS = 26
"""29 seconds, less the longest cold start."""
RESERVE_SECONDS = 2
"""Time left for the response to a timeout."""


class TimeLimitError(BaseException):
    """Raised anywhere in a call when its time is over. Not caught by `except Exception`."""


RETRY_SECONDS = 5
SERVER_ERROR = 500
THROTTLING_CODES = {
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
}

CONNECTION_ERRORS = {
    "botocore.exceptions.ConnectionError",
    "botocore.exceptions.HTTPClientError",
    "retour.store.throttled_reads.BusyError",
}


def seconds_left(context: Any) -> int:
    left = getattr(context, "get_remaining_time_in_millis", None)
    return min(SECONDS, max(1, int(left() / 1000) - RESERVE_SECONDS)) if left else SECONDS


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitError inside the context after `seconds`; only in the main thread, where signals work."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(_number: int, _frame: Any) -> None:
        raise TimeLimitError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_unavailable(error: BaseException) -> bool:
    """Whether the store failed or is unavailable, as opposed to an invalid request.

    Judged by the error's attributes, since botocore may not be imported.
    """
    names = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    if "botocore.exceptions.ClientError" in names:
        said: dict[str, Any] = getattr(error, "response", {})
        status = said.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= SERVER_ERROR or said.get("Error", {}).get("Code") in THROTTLING_CODES
    return bool(names & CONNECTION_ERRORS)
