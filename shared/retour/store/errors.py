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
"""What AWS says, every time again, of a request that is wrong in itself."""


class ServiceUnavailableError(Exception):
    """A service could not be spoken to just now; nothing is known of what was to be done with it."""


def is_transient(error: BaseException) -> bool:
    """Whether a later retry may succeed without anybody fixing anything.

    What AWS refuses for a missing permission counts as well: it is mended at the installation and not in what came.
    """
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code", "") not in REQUEST_ERROR_CODES
    if isinstance(error, ParamValidationError):
        return False
    return isinstance(error, BotoCoreError | OSError | http.client.HTTPException | ServiceUnavailableError)
