"""Transient errors: failures of the store or the network that say nothing about the data being processed."""

import http.client

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

REQUEST_ERROR_CODES = frozenset(
    (
        "ValidationException",
        "ItemCollectionSizeLimitExceededException",
        "InvalidParameterException",
        "KeyTooLongError",
        "EntityTooLarge",
        "NoSuchKey",
        "NoSuchVersion",
    )
)
"""AWS error codes of requests that fail on every retry."""


class ServiceUnavailableError(Exception):
    """A service is unreachable. Whether the request took effect is unknown."""


def is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed without a change to the data.

    Missing permissions count as transient: the installation has to be fixed, not the delivery.
    """
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code", "") not in REQUEST_ERROR_CODES
    if isinstance(error, ParamValidationError):
        return False
    return isinstance(error, BotoCoreError | OSError | http.client.HTTPException | ServiceUnavailableError)
