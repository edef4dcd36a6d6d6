"""Calls the store could not take: answered with 503 and a time to retry; nothing was promised."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from retour.api.problem import ProblemError, accepted_language

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

Handler = Callable[[dict[str, Any], Any], Any]


def answer_503_when_unavailable(logger: Any) -> Callable[[Handler], Handler]:
    """A handler of HTTP calls answers 503 with Retry-After where the store is full, throttles or does not answer.

    Any other error stays one. An event that is no call, and so has nobody to ask again, fails as it did.
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
                refused = ProblemError("UNAVAILABLE", headers={"retry-after": str(RETRY_SECONDS)})
                return refused.answer(accepted_language(event.get("headers") or {}))

        return handle

    return decorate


def is_unavailable(error: BaseException) -> bool:
    """Whether the store failed or did not answer; not whether it was asked something wrong.

    Told by what the error says of itself, for botocore is not imported where nothing went wrong.
    """
    names = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    if "botocore.exceptions.ClientError" in names:
        said: dict[str, Any] = getattr(error, "response", {})
        status = said.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= SERVER_ERROR or said.get("Error", {}).get("Code") in THROTTLING_CODES
    return bool(names & CONNECTION_ERRORS)
