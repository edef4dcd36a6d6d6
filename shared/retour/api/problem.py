"""What went wrong with a request, as an RFC 9457 problem document, in the language of who reads it.

`problems.json` holds, by code, the HTTP status, the title (the same for every problem of its kind) and the sentences
that say what is wrong this time and what right looks like.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from retour import sentences
from retour.domain.phrase import Sentence
from retour.sentences import LANGUAGES, fill_in, sentence

MEDIA_TYPE = "application/problem+json"
MESSAGE_CHARS_MAX = 80
Q_VALUE = re.compile(r"q\s*=\s*([01](?:\.\d{0,3})?)", re.IGNORECASE)


class ProblemError(Exception):
    """A call that cannot be carried out.

    `code` is stable and for machines; `about` chooses among a code's sentences, which details fill in; without such a
    sentence it is the one that records are refused with. `entry` is the code whose status and title hold, where it is
    another. `members` are further members of the document, `headers` of the answer.
    """

    def __init__(
        self,
        code: str,
        about: str = "",
        details: Mapping[str, str] | None = None,
        /,
        *,
        entry: str = "",
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
        **more: str,
    ) -> None:
        super().__init__(code)
        self.code, self.about, self.details = code, about, {**(details or {}), **more}
        self.entry = load_problems()[entry or code]
        self.headers, self.members = dict(headers or {}), dict(members or {})

    @property
    def status(self) -> int:
        return int(self.entry["status"])

    def detail(self, language: str) -> str:
        texts = self.entry["sentences"].get(self.about)
        return fill_in(texts, self.details, language) if texts else sentence(self.code, self.details, language)

    def document(self, language: str) -> dict[str, Any]:
        members: dict[str, Any] = localize_member(self.members, language)
        document: dict[str, Any] = {
            "type": f"/problems/{self.code.lower().replace('_', '-')}",
            "title": fill_in(self.entry["title"], {}, language),
            "status": self.status,
            "code": self.code,
        }
        detail = self.detail(language)
        return document | ({"detail": detail} if detail else {}) | members

    def answer(self, language: str) -> dict[str, Any]:
        """An HTTP API (payload 2.0) answer."""
        return {
            "statusCode": self.status,
            "headers": {"content-type": MEDIA_TYPE, "content-language": language, **self.headers},
            "body": json.dumps(self.document(language), ensure_ascii=False),
        }


def localize_member(member: Any, language: str) -> Any:
    """A member of the document, with all that it says in a language."""
    match member:
        case Sentence(code, details):
            return sentence(code, details, language)
        case dict():
            return {name: localize_member(value, language) for name, value in member.items()}
        case list():
            return [localize_member(value, language) for value in member]
    return member


@cache
def load_problems() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(files("retour.api").joinpath("problems.json").read_text("utf-8"))
    return found


def accepted_language(headers: Mapping[str, str]) -> str:
    """The language a caller likes best of those we speak, else English; for who has no program, and so no language."""
    return next((tag for tag in language_tags(headers.get("accept-language", "")) if tag in LANGUAGES), "en")


def language_tags(accepted: str) -> Iterator[str]:
    """The languages of an Accept-Language, the best liked first (RFC 9110 12.5.4); what has weight 0 is left out."""
    weighed: list[tuple[float, str]] = []
    for one in accepted.split(","):
        name, _, told = one.partition(";")
        found = Q_VALUE.fullmatch(told.strip())
        weighed.append((float(found[1]) if found else 1.0, name.strip().lower().partition("-")[0]))
    return (name for weight, name in sorted(weighed, key=lambda one: -one[0]) if weight)


def excerpt(text: Any) -> str:
    """What somebody sent, as it can stand in a sentence."""
    return sentences.excerpt(str(text), MESSAGE_CHARS_MAX)
