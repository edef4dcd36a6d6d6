"""Errors of requests, with messages in the reader's language.

`errors.json` has for each code the HTTP status, the title and the sentences with the reason and the correct form.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

from retour import sentences
from retour.domain.phrase import Sentence
from retour.languages import with_further_languages
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
        """The message: what is wrong, where, and the correct form."""
        texts = self.entry["sentences"].get(self.about)
        return fill_in(texts, self.details, language) if texts else sentence(self.code, self.details, language)

    def localized_members(self, language: str) -> dict[str, Any]:
        members: dict[str, Any] = localize_member(self.members, language)
        return members


class InvalidRequestError(RequestError):
    """The request is invalid and must be changed."""

    statuses = (400, 413, 415, 422)


class NotAllowedError(RequestError):
    """The caller lacks permission."""

    statuses = (403,)


class NotFoundError(RequestError):
    """Missing, or not accessible to the caller; the two are not distinguished."""

    statuses = (404,)

    def __init__(self, what: str = "", /, **details: str) -> None:
        super().__init__("NOT_FOUND", what, details)


class ConflictError(RequestError):
    """The request conflicts with the current state."""

    statuses = (409,)


def localize_member(member: Any, language: str) -> Any:
    """A value with all its sentences in a language."""
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
    return {
        code: {
            **body,
            "title": with_further_languages({"title": body["title"]}, f"error/{code}/")["title"],
            "sentences": with_further_languages(body["sentences"], f"error/{code}/sentence/"),
        }
        for code, body in found.items()
    }


def excerpt(text: Any) -> str:
    """The caller's text in a form safe for messages."""
    return sentences.excerpt(str(text), EXCERPT_CHARS_MAX)
