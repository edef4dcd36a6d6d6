"""What cannot be done, as one family of exceptions that explain themselves in the reader's language.

`errors.json` holds, by code, the HTTP status, the title (the same for every error of its kind) and the sentences that
say what is wrong this time and what right looks like.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

from retour import sentences
from retour.domain.phrase import Sentence
from retour.sentences import fill_in, sentence

EXCERPT_CHARS_MAX = 80


class RequestError(Exception):
    """A command or a query that cannot be carried out; nothing was changed.

    `code` is stable and for machines; `about` chooses among a code's sentences, which details fill in; without such a
    sentence it is the one that records are refused with. `entry` is the code whose status and title hold, where it is
    another. `members` are further facts for machines.
    """

    statuses: ClassVar[tuple[int, ...]] = ()
    """The HTTP statuses of the codes that a kind of error may have; empty: any."""

    def __init__(
        self,
        code: str,
        about: str = "",
        details: Mapping[str, str] | None = None,
        /,
        *,
        entry: str = "",
        members: Mapping[str, Any] | None = None,
        **more: str,
    ) -> None:
        super().__init__(code)
        self.code, self.about, self.details = code, about, {**(details or {}), **more}
        self.entry = error_catalog()[entry or code]
        self.members = dict(members or {})

    @property
    def status(self) -> int:
        return int(self.entry["status"])

    def title(self, language: str) -> str:
        return fill_in(self.entry["title"], {}, language)

    def sentence(self, language: str) -> str:
        """What is wrong, where, and what right looks like."""
        texts = self.entry["sentences"].get(self.about)
        return fill_in(texts, self.details, language) if texts else sentence(self.code, self.details, language)

    def localized_members(self, language: str) -> dict[str, Any]:
        members: dict[str, Any] = localize_member(self.members, language)
        return members


class InvalidRequestError(RequestError):
    """What was asked does not hold together: the caller has to say it otherwise."""

    statuses = (400, 413, 415, 422)


class NotAllowedError(RequestError):
    """This caller may not."""

    statuses = (403,)


class NotFoundError(RequestError):
    """It is not there, or it is another's: nobody is told which."""

    statuses = (404,)

    def __init__(self, what: str = "", /, **details: str) -> None:
        super().__init__("NOT_FOUND", what, details)


class ConflictError(RequestError):
    """As things stand it cannot be done; at another time, or of another thing, it might."""

    statuses = (409,)


def localize_member(member: Any, language: str) -> Any:
    """A member with all that it says in a language."""
    match member:
        case Sentence(code, details):
            return sentence(code, details, language)
        case dict():
            return {name: localize_member(value, language) for name, value in member.items()}
        case list():
            return [localize_member(value, language) for value in member]
    return member


@cache
def error_catalog() -> Mapping[str, Any]:
    """Code to status, title and sentences."""
    found: Mapping[str, Any] = json.loads(files("retour").joinpath("errors.json").read_text("utf-8"))
    return found


def excerpt(text: Any) -> str:
    """What somebody sent, as it can stand in a sentence."""
    return sentences.excerpt(str(text), EXCERPT_CHARS_MAX)
