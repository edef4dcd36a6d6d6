"""Answer each call before the gateway's timeout."""

import logging
from collections.abc import Callable
from typing import Any

from retour.api.calls import Call
from retour.api.problem import HttpError, accepted_language, problem_answer
from retour.availability import TimeLimitError, is_unavailable, seconds_left, time_limit
from retour.wiring import hub

logger = logging.getLogger(__name__)


def answer_in_time(call: Call, context: Any, answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The response, or a problem document if the time runs out or an unexpected error occurs."""
    reference = str(getattr(context, "aws_request_id", "")) or "–"
    language = accepted_language(call.headers)
    seconds = seconds_left(context)
    try:
        with time_limit(seconds):
            return answer()
    except TimeLimitError:
        # A connection interrupted in the middle of a response must not be reused.
        hub.cache_clear()
        logger.error("call ended after %d seconds, reference %s", seconds, reference)
        headers = {"retry-after": "5"}
        over = HttpError("TIMED_OUT", headers=headers, seconds=str(seconds), reference=reference)
        return problem_answer(over, language)
    except Exception as error:
        if is_unavailable(error):
            raise
        logger.exception("call failed, reference %s", reference)
        return problem_answer(HttpError("INTERNAL_ERROR", reference=reference), language)
