"""The time a call has. The gateway gives up after 29 seconds and says so in its own words; a function answers before.

What is interrupted is as after a kill: what was stored is there and counts once, however often the call comes again.
"""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from retour.api.calls import Call, ProblemError
from retour.api.problem import accepted_language
from retour.api.unavailable import is_unavailable
from retour.wiring import hub

logger = logging.getLogger(__name__)
SECONDS = 26
"""Of 29, less what a cold start takes of them."""
RESERVE_SECONDS = 2
"""Seconds that are left to a function to say that its time is over."""


class TimeLimitError(BaseException):
    """Raised wherever a call stands when its time is over; no `except Exception` holds it up."""


def answer_in_time(call: Call, context: Any, answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer; a problem document also where the time is over, or something went wrong that nobody foresaw."""
    reference = str(getattr(context, "aws_request_id", "")) or "–"
    language = accepted_language(call.headers)
    seconds = seconds_left(context)
    try:
        with time_limit(seconds):
            return answer()
    except TimeLimitError:
        # A connection that was interrupted in the middle of an answer is not asked again.
        hub.cache_clear()
        logger.error("call ended after %d seconds, reference %s", seconds, reference)
        headers = {"retry-after": "5"}
        return ProblemError("TIMED_OUT", headers=headers, seconds=str(seconds), reference=reference).answer(language)
    except Exception as error:
        if is_unavailable(error):
            raise
        logger.exception("call failed, reference %s", reference)
        return ProblemError("INTERNAL_ERROR", reference=reference).answer(language)


def seconds_left(context: Any) -> int:
    left = getattr(context, "get_remaining_time_in_millis", None)
    return min(SECONDS, max(1, int(left() / 1000) - RESERVE_SECONDS)) if left else SECONDS


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitError within, after so many seconds; never where no signal reaches, as outside the main thread."""
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
