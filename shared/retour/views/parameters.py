"""Strict parsing of parameters, with suggestions for unknown words."""

from collections.abc import Mapping, Sequence
from typing import Any

from retour.channels import payload
from retour.errors import InvalidRequestError, excerpt


def bad_query(name: str, value: str, right: str, **details: str) -> InvalidRequestError:
    """The error for a value; `right` names the sentence with the correct form."""
    return InvalidRequestError("QUERY_INVALID", right, details, name=name, value=excerpt(value))


def reject_unknown_fields(given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Reject unknown fields and suggest the closest known one, before anything is carried out."""
    unknown = next((name for name in given if name not in known), None)
    if unknown is None:
        return
    if not known:
        raise InvalidRequestError("UNKNOWN_FIELD", "none", field=excerpt(unknown))
    raise InvalidRequestError(
        "UNKNOWN_FIELD",
        field=excerpt(unknown),
        closest=payload.closest_name(unknown, known),
        known=", ".join(known),
    )
