"""Parse a call: its caller, its request, and the delivery made of it."""

import base64
import binascii
import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from retour.api.problem import HttpError
from retour.channels import payload
from retour.commands.files import SIZE_UNKNOWN
from retour.commands.once import Once
from retour.context import KEY_PATTERN
from retour.domain.row import Refusal
from retour.domain.times import parse_instant
from retour.errors import InvalidRequestError, excerpt
from retour.intake.uploads import UPLOAD_BYTES_MAX
from retour.store.programs import Principal
from retour.store.source_state import OnceState
from retour.views.parameters import bad_query, reject_unknown_fields
from retour.wiring import Hub

JSON_MAX = 1024 * 1024
DECISION_MAX = 64 * 1024
SHOWN_ONCE_PATHS = re.compile(r"/v1/programs/[^/]+/(keys|sources/[^/]+/secrets/[^/]+/rotate)")
"""Calls whose response contains a secret. It is not stored, not even for a repeated Idempotency-Key."""
PAGE_MAX = 100
PAGE_DEFAULT = 50
JSON_TYPES = ("application/json",)
CSV_TYPES = ("text/csv",)
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain", *JSON_TYPES)
REPLACEMENT_CHARACTER = "\ufffd".encode()


def unauthorized() -> HttpError:
    return HttpError("UNAUTHORIZED", headers={"www-authenticate": 'Bearer realm="retour"'})


StatusAndDocument = tuple[int, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An HTTP request. Header names are in lower case; the body has the original bytes."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    raw_query: str = ""
    """The original query, since `query` keeps only one of repeated parameters."""
    is_text: bool = False
    """The gateway passed the body as text, replacing bytes that are not UTF-8."""

    @property
    def is_dry_run(self) -> bool:
        return self.flag("dry_run")

    @property
    def key(self) -> str:
        """The Idempotency-Key; empty if there is none."""
        found = self.headers.get("idempotency-key", "")
        if found and not KEY_PATTERN.fullmatch(found):
            raise InvalidRequestError("IDEMPOTENCY_KEY_INVALID")
        return found

    @property
    def prefers_async(self) -> bool:
        """Whether the caller does not want to wait for outcomes (RFC 7240)."""
        return "respond-async" in (one.strip().lower() for one in self.headers.get("prefer", "").split(","))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def is_json(self) -> bool:
        return self.media_type in JSON_TYPES or self.media_type in YAML_TYPES

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def may_be_altered(self) -> bool:
        """Whether the bytes may differ from those sent: a replacement character, or another length."""
        told = self.headers.get("content-length", "")
        return self.is_text and (
            REPLACEMENT_CHARACTER in self.body or (told.isdecimal() and int(told) != len(self.body))
        )

    @property
    def is_altered(self) -> bool:
        """Whether bytes were certainly replaced. With the original length, the sender wrote that character."""
        return (
            self.is_text
            and REPLACEMENT_CHARACTER in self.body
            and self.headers.get("content-length") != str(len(self.body))
        )

    def flag(self, name: str) -> bool:
        value = self.query.get(name, "false")
        if value not in ("true", "false"):
            raise bad_query(name, value, "flag")
        return value == "true"

    def read_body(self, most: int, types: tuple[str, ...] = ()) -> bytes:
        """The body. Raises RequestError if it is too large or has an unsupported type."""
        if not self.body:
            raise InvalidRequestError("BODY_EMPTY")
        if len(self.body) > most:
            raise InvalidRequestError("BODY_TOO_LARGE", size=str(len(self.body)), most=str(most))
        if types and self.media_type not in ("", *types):
            raise InvalidRequestError("UNSUPPORTED_MEDIA_TYPE", type=excerpt(self.media_type), right=types[0])
        if self.may_be_altered and not (types and self.is_json):
            raise InvalidRequestError("BYTES_NOT_KEPT", type=excerpt(self.media_type))
        if self.is_altered:
            raise InvalidRequestError("NOT_UTF8", "body")
        return self.body

    def document(self, *known: str, most: int = DECISION_MAX) -> dict[str, Any]:
        """The body as a JSON object with these fields; empty without a body.

        As strict as bodies with records: UTF-8, no duplicate keys at any depth, no numbers that were floats.
        """
        value = self.value(most) if self.body.strip() else {}
        if not isinstance(value, dict):
            raise InvalidRequestError("NOT_AN_OBJECT", "document")
        reject_unknown_fields(value, known)
        return value

    def value(self, most: int) -> Any:
        text_ = payload.decode_utf8(self.read_body(most, JSON_TYPES))
        value = payload.parse_json(text_) if isinstance(text_, str) else text_
        if isinstance(value, Refusal):
            about = {"NOT_JSON": "document"}.get(value.code, "")
            raise InvalidRequestError(value.code, about, value.details)
        if twice := payload.duplicate_key(value):
            raise InvalidRequestError("DUPLICATE_KEY", key=payload.excerpt(twice))
        for one in payload.scalar_values(value):
            if isinstance(one, payload.NumberLiteral):
                raise InvalidRequestError("NUMBER_NOT_WHOLE", value=excerpt(one))
        return value

    def limit(self) -> int:
        value = self.query.get("limit", str(PAGE_DEFAULT))
        if not (value.isascii() and value.isdigit()) or not 1 <= int(value[:9]) <= PAGE_MAX:
            raise bad_query("limit", value, "limit", most=str(PAGE_MAX))
        return int(value)

    def moment(self, name: str, now: datetime) -> datetime | None:
        """A past time. One without offset is refused as ambiguous."""
        value = self.query.get(name)
        if value is None:
            return None
        try:
            # An unencoded plus sign arrives as a space.
            moment = parse_instant(value.replace(" ", "+"))
        except (ValueError, OverflowError):
            raise bad_query(name, value, "time") from None
        if moment > now:
            raise bad_query(name, value, "past")
        return moment

    def one_of(self, name: str, known: tuple[str, ...]) -> str | None:
        value = self.query.get(name)
        if value is not None and value not in known:
            raise bad_query(name, value, "word", known=", ".join(known))
        return value


def parse_call(event: Mapping[str, Any]) -> Call:
    """Parse an event of the HTTP API (payload 2.0)."""
    text_ = event.get("body") or ""
    try:
        body = base64.b64decode(text_) if event.get("isBase64Encoded") else text_.encode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        body = b""
    return Call(
        method=event["requestContext"]["http"]["method"].upper(),
        path=event["rawPath"],
        query=event.get("queryStringParameters") or {},
        headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
        body=body,
        raw_query=event.get("rawQueryString") or "",
        is_text=not event.get("isBase64Encoded"),
    )


RECORD_PATH = re.compile(
    r"(/v1/programs/[^/]+/(?:actions|modifications)/)(.+?)"
    r"(/(?:approve|reverse|modify|restore|reattribute|undo|reprice|status|raise-limit|release|discard))?",
    re.DOTALL,
)


def refuse_control_characters(call: Call) -> None:
    """Refuse control characters in the path, encoded or not, since no id contains any."""
    for position, character in enumerate(unquote(call.path, errors="replace"), 1):
        if unicodedata.category(character) in ("Cc", "Zl", "Zp"):
            raise InvalidRequestError("PATH_INVALID", character=f"U+{ord(character):04X}", position=str(position))


def normalize_path(path: str) -> str:
    """A path in which every id is a single, encoded segment.

    The gateway decodes paths, so that slashes in ids look like separators. They are encoded again.
    """
    found = RECORD_PATH.fullmatch(path)
    if found is None:
        return path
    before, id_, verb = found.groups(default="")
    return before + quote(unquote(id_, errors="replace"), safe="") + verb


def decode_segment(segment: str) -> str:
    """Decode the id in a path segment."""
    return unquote(segment, errors="replace")


# Caller


def authenticate(hub: Hub, call: Call) -> Principal:
    scheme, _, key = call.headers.get("authorization", "").partition(" ")
    key = key.strip()
    found = hub.principal(key) if scheme.lower() == "bearer" and KEY_PATTERN.fullmatch(key) else None
    if found is None:
        raise unauthorized()
    return found


# Request


def parse_size(call: Call) -> int:
    """The declared size of an upload; SIZE_UNKNOWN if there is none."""
    given = call.query.get("size")
    if given is None:
        return SIZE_UNKNOWN
    if not (given.isascii() and given.isdigit()):
        raise bad_query("size", given, "size")
    if int(given[:15]) > UPLOAD_BYTES_MAX:
        raise InvalidRequestError("BODY_TOO_LARGE", "upload", size=given[:15], most=str(UPLOAD_BYTES_MAX))
    return int(given)


# Idempotency


def answer_once(state: OnceState, call: Call, answer: Callable[[], StatusAndDocument]) -> StatusAndDocument:
    """Perform a call, or return the stored response of the same Idempotency-Key."""
    if call.is_dry_run:
        return answer()
    said = "\0".join((call.method, call.path, json.dumps(sorted(call.query.items())), call.sha256))
    status, document = Once(state, call.key, said, SHOWN_ONCE_PATHS.fullmatch(call.path) is not None).answer(answer)
    return status, document
