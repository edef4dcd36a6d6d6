"""Respond 503 with Retry-After if the store is unavailable."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from retour.api.problem import HttpError, accepted_language, problem_answer
from retour.availability import RETRY_SECONDS, is_unavailable

Handler = Callable[[dict[str, Any], Any], Any]


def answer_503_when_unavailable(logger: Any) -> Callable[[Handler], Handler]:
    """Wrap a handler of HTTP calls to respond 503 with Retry-After if the store is full, throttled or unavailable.

    Other errors are raised. Events that are not HTTP calls fail as before, since nobody retries them by a response.
    """

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def handle(event: dict[str, Any], context: Any) -> Any:
            try:
                return handler(event, context)
            except Exception as error:
                if "requestContext" not in event or not is_unavailable(error):
                    raise
                logger.exception("store not available")
                refused = HttpError("UNAVAILABLE", headers={"retry-after": str(RETRY_SECONDS)})
                return problem_answer(refused, accepted_language(event.get("headers") or {}))

        return handle

    return decorate
