"""Errors as RFC 9457 problem documents, in the reader's language."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from retour.errors import RequestError
from retour.sentences import LANGUAGES

MEDIA_TYPE = "application/problem+json"
Q_VALUE = re.compile(r"q\s*=\s*([01](?:\.\d{0,3})?)", re.IGNORECASE)


class HttpError(RequestError):
    """An error of the call itself: authentication, rate, method. `headers` are added to the response."""

    def __init__(
        self,
        code: str,
        about: str = "",
        details: Mapping[str, str] | None = None,
        /,
        *,
        headers: Mapping[str, str] | None = None,
        **more: str,
    ) -> None:
        super().__init__(code, about, {**(details or {}), **more})
        self.headers = dict(headers or {})


def problem_document(error: RequestError, language: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "type": f"/problems/{error.code.lower().replace('_', '-')}",
        "title": error.title(language),
        "status": error.status,
        "code": error.code,
    }
    detail = error.sentence(language)
    return document | ({"detail": detail} if detail else {}) | error.localized_members(language)


def problem_answer(error: RequestError, language: str) -> dict[str, Any]:
    """An error as a response of the HTTP API (payload 2.0)."""
    headers = error.headers if isinstance(error, HttpError) else {}
    return {
        "statusCode": error.status,
        "headers": {"content-type": MEDIA_TYPE, "content-language": language, **headers},
        "body": json.dumps(problem_document(error, language), ensure_ascii=False),
    }


def accepted_language(headers: Mapping[str, str]) -> str:
    """The caller's preferred supported language, else English; used if no program determines it."""
    return next((tag for tag in language_tags(headers.get("accept-language", "")) if tag in LANGUAGES), "en")


def language_tags(accepted: str) -> Iterator[str]:
    """The languages of an Accept-Language header by preference (RFC 9110 12.5.4), without those of weight 0."""
    weighed: list[tuple[float, str]] = []
    for one in accepted.split(","):
        name, _, told = one.partition(";")
        found = Q_VALUE.fullmatch(told.strip())
        weighed.append((float(found[1]) if found else 1.0, name.strip().lower().partition("-")[0]))
    return (name for weight, name in sorted(weighed, key=lambda one: -one[0]) if weight)
