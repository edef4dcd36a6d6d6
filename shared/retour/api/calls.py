"""Parse a call: who calls, what is requested, and the delivery it becomes before it is ingested."""

import base64
import binascii
import hashlib
import json
import re
import unicodedata
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

from retour.api.problem import ProblemError as ProblemError
from retour.api.problem import excerpt
from retour.channels import payload
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal
from retour.domain.times import format_instant, parse_instant
from retour.files import names
from retour.intake.uploads import UPLOAD_BYTES_MAX
from retour.setup.credentials import ROTATABLE, shop_secrets
from retour.store.programs import Principal
from retour.store.source_state import OnceState
from retour.views.paging import ListPosition, is_delivery_id, parse_cursor
from retour.wiring import Hub

JSON_MAX = 1024 * 1024
FILE_MAX = 4 * 1024 * 1024
PROGRAM_MAX = 128 * 1024
DECISION_MAX = 64 * 1024
UPLOAD_SECONDS = 900
SIZE_UNKNOWN = -1
LINK_SECONDS = 300
ANSWER_MAX = 4 * 1024 * 1024
STORED_ANSWER_MAX = 256 * 1024
SHOWN_ONCE_PATHS = re.compile(r"/v1/programs/[^/]+/(keys|sources/[^/]+/secrets/[^/]+/rotate)")
"""Calls whose answer is a secret: it is kept nowhere, not even to be given again."""
SECRET_MAX = 16 * 1024
PAGE_MAX = 100
PAGE_DEFAULT = 50
CONSOLE_SOURCE = "console"
ACTIONS_SOURCE = "actions"
JSON_TYPES = ("application/json",)
CSV_TYPES = ("text/csv",)
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain", *JSON_TYPES)
REPLACEMENT_CHARACTER = "\ufffd".encode()
PROGRAM_ID = re.compile(r"[a-z][a-z0-9-]{1,30}", re.ASCII)
KEY_PATTERN = re.compile(r"[\x21-\x7e]{1,255}")
SECRETS = {
    Channel.API: ("signing", "callback"),
    Channel.PULL: ("password", "private_key"),
    Channel.EMAIL: ("tokens",),
    Channel.SALESFORCE: ("tokens", "private_key"),
}


def not_found(what: str = "", **details: str) -> ProblemError:
    """The same for what is missing and for what is another's."""
    return ProblemError("NOT_FOUND", what, details)


def unauthorized() -> ProblemError:
    return ProblemError("UNAUTHORIZED", headers={"www-authenticate": 'Bearer realm="retour"'})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request. Header names are in lower case; the body is what was sent, byte by byte."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    raw_query: str = ""
    """The query as it was sent: a word that stands in it twice is one in `query`."""
    is_text: bool = False
    """The gateway handed the body over as text: under such content types it replaces what is not UTF-8."""

    @property
    def is_dry_run(self) -> bool:
        return self.flag("dry_run")

    @property
    def key(self) -> str:
        """The Idempotency-Key; empty when none was sent."""
        found = self.headers.get("idempotency-key", "")
        if found and not KEY_PATTERN.fullmatch(found):
            raise ProblemError("IDEMPOTENCY_KEY_INVALID")
        return found

    @property
    def prefers_async(self) -> bool:
        """Whether the caller does not want to wait for the outcomes (RFC 7240)."""
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
        """Whether these may not be the bytes that were sent: a replaced one is there, or as many are not there."""
        told = self.headers.get("content-length", "")
        return self.is_text and (
            REPLACEMENT_CHARACTER in self.body or (told.isdecimal() and int(told) != len(self.body))
        )

    @property
    def is_altered(self) -> bool:
        """Whether bytes were replaced for certain. Where as many are there as were sent, the sender's text held it."""
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
        """The body, if there is one, neither too large nor of a type that is not read here."""
        if not self.body:
            raise ProblemError("BODY_EMPTY")
        if len(self.body) > most:
            raise ProblemError("BODY_TOO_LARGE", size=str(len(self.body)), most=str(most))
        if types and self.media_type not in ("", *types):
            raise ProblemError("UNSUPPORTED_MEDIA_TYPE", type=excerpt(self.media_type), right=types[0])
        if self.may_be_altered and not (types and self.is_json):
            raise ProblemError("BYTES_NOT_KEPT", type=excerpt(self.media_type))
        if self.is_altered:
            raise ProblemError("NOT_UTF8", "body")
        return self.body

    def document(self, *known: str, most: int = DECISION_MAX) -> dict[str, Any]:
        """The body as a JSON object of these fields; without a body an empty one.

        As strict as the bodies of records: UTF-8, no key twice at any depth, no number that a float may have been.
        """
        value = self.value(most) if self.body.strip() else {}
        if not isinstance(value, dict):
            raise ProblemError("NOT_AN_OBJECT", "document")
        reject_unknown_fields(value, known)
        return value

    def value(self, most: int) -> Any:
        text_ = payload.decode_utf8(self.read_body(most, JSON_TYPES))
        value = payload.parse_json(text_) if isinstance(text_, str) else text_
        if isinstance(value, Refusal):
            about = {"NOT_JSON": "document"}.get(value.code, "")
            raise ProblemError(value.code, about, value.details)
        if twice := payload.duplicate_key(value):
            raise ProblemError("DUPLICATE_KEY", key=payload.excerpt(twice))
        for one in payload.scalar_values(value):
            if isinstance(one, payload.NumberLiteral):
                raise ProblemError("NUMBER_NOT_WHOLE", value=excerpt(one))
        return value

    def limit(self) -> int:
        value = self.query.get("limit", str(PAGE_DEFAULT))
        if not (value.isascii() and value.isdigit()) or not 1 <= int(value[:9]) <= PAGE_MAX:
            raise bad_query("limit", value, "limit", most=str(PAGE_MAX))
        return int(value)

    def start_position(self, today: str) -> ListPosition:
        """Where the list goes on: at the cursor, else with today."""
        cursor = self.query.get("cursor")
        found = parse_cursor(cursor) if cursor else ListPosition(today)
        if found is None:
            raise bad_query("cursor", cursor or "", "cursor")
        return found

    def moment(self, name: str, now: datetime) -> datetime | None:
        """A past moment; a time without offset means nothing certain and is refused."""
        value = self.query.get(name)
        if value is None:
            return None
        try:
            # A plus sign that nobody encoded arrives as a space.
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


def bad_query(name: str, value: str, right: str, **details: str) -> ProblemError:
    return ProblemError("QUERY_INVALID", right, details, name=name, value=excerpt(value))


def reject_unknown_fields(given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Reject unknown fields and suggest the closest known one, before anything is carried out."""
    unknown = next((name for name in given if name not in known), None)
    if unknown is None:
        return
    if not known:
        raise ProblemError("UNKNOWN_FIELD", "none", field=excerpt(unknown))
    raise ProblemError(
        "UNKNOWN_FIELD",
        field=excerpt(unknown),
        closest=payload.closest_name(unknown, known),
        known=", ".join(known),
    )


def parse_call(event: Mapping[str, Any]) -> Call:
    """An event of the HTTP API (payload 2.0)."""
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
    """No id has a control character: one in a path, encoded or not, is a fault of the caller."""
    for position, character in enumerate(unquote(call.path, errors="replace"), 1):
        if unicodedata.category(character) in ("Cc", "Zl", "Zp"):
            raise ProblemError("PATH_INVALID", character=f"U+{ord(character):04X}", position=str(position))


def normalize_path(path: str) -> str:
    """A path in which every id is one segment of plain signs, whatever an order id has in it.

    The gateway hands paths over decoded, so that an id may hold slashes; within ids they are encoded again.
    """
    found = RECORD_PATH.fullmatch(path)
    if found is None:
        return path
    before, id_, verb = found.groups(default="")
    return before + quote(unquote(id_, errors="replace"), safe="") + verb


def decode_segment(segment: str) -> str:
    """The id that a segment of a plain path stands for."""
    return unquote(segment, errors="replace")


# Who calls


def authenticate(hub: Hub, call: Call) -> Principal:
    scheme, _, key = call.headers.get("authorization", "").partition(" ")
    key = key.strip()
    found = hub.principal(key) if scheme.lower() == "bearer" and KEY_PATTERN.fullmatch(key) else None
    if found is None:
        raise unauthorized()
    return found


# What a call becomes


def file_name(call: Call) -> str:
    given = call.query.get("name", "")
    if not given.strip():
        raise bad_query("name", given, "file_name")
    name = names.safe_name(given)
    if why := names.skip_reason(given) or names.skip_reason(name):
        raise ProblemError("FILE_NAME_NOT_TAKEN", why, name=excerpt(name))
    return name


def upload_size(call: Call) -> int:
    """What the caller says; NOT_KNOWN where it says nothing."""
    given = call.query.get("size")
    if given is None:
        return SIZE_UNKNOWN
    if not (given.isascii() and given.isdigit()):
        raise bad_query("size", given, "size")
    if int(given[:15]) > UPLOAD_BYTES_MAX:
        raise ProblemError("BODY_TOO_LARGE", "upload", size=given[:15], most=str(UPLOAD_BYTES_MAX))
    return int(given)


def upload_expires_at(now: datetime) -> str:
    return format_instant(now + timedelta(seconds=UPLOAD_SECONDS))


def parse_batch_id(segment: str) -> str:
    if not is_delivery_id(segment):
        raise not_found("batch")
    return segment


# Once


StatusAndDocument = tuple[int, Any]


def answer_once(state: OnceState, call: Call, answer: Callable[[], StatusAndDocument]) -> StatusAndDocument:
    """Status and document of a call; for a repeat of one with an Idempotency-Key the very same again.

    The key is claimed before anything happens, so that it cannot stand for two bodies. A call that was cut off, or was
    told what is wrong with it, may be sent again.
    """
    if not call.key or call.is_dry_run:
        return answer()
    place = f"idempotency#{hashlib.sha256(call.key.encode()).hexdigest()}"
    said = "\0".join((call.method, call.path, json.dumps(sorted(call.query.items())), call.sha256))
    mine = {"fingerprint": hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()}
    if not state.claim(place, mine):
        kept = state.get(place) or mine
        if kept["fingerprint"] != mine["fingerprint"]:
            raise ProblemError("IDEMPOTENCY_KEY_REUSED")
        if kept.get("shown"):
            raise ProblemError("ANSWER_SHOWN_ONCE")
        if "answer" in kept:
            status, document = json.loads(zlib.decompress(base64.b64decode(kept["answer"])))
            return status, document
    try:
        given = answer()
    except ProblemError:
        state.delete(place)
        raise
    if SHOWN_ONCE_PATHS.fullmatch(call.path):
        state.put(place, {**mine, "shown": True})
        return given
    packed = base64.b64encode(zlib.compress(json.dumps(given).encode())).decode()
    state.put(place, {**mine, "answer": packed} if len(packed) < STORED_ANSWER_MAX else mine)
    return given


def read_secrets(call: Call, source: Source) -> dict[str, Any]:
    """A secret that somebody else made, as it will be kept."""
    known = (*SECRETS.get(source.channel, ()), *shop_secrets(source))
    if not known:
        raise ProblemError("SECRET_NOT_NEEDED", channel=source.channel)
    given = call.document(*known)
    for name, value in given.items():
        texts = value if name in ROTATABLE else [value]
        if (
            not isinstance(texts, list)
            or not 1 <= len(texts) <= 2
            or not all(is_usable_secret(one, name) for one in texts)
        ):
            raise ProblemError("SECRET_UNUSABLE", "several" if name in ROTATABLE else "", name=name)
    if not given:
        raise ProblemError("SECRET_UNUSABLE", "nothing", known=", ".join(known))
    return given


def is_usable_secret(value: Any, name: str) -> bool:
    least = {"password": 1, "tokens": 22}.get(name, 8)
    if not isinstance(value, str) or not least <= len(value) <= SECRET_MAX:
        return False
    return value.startswith("-----BEGIN ") and value.isascii() if name == "private_key" else value.isprintable()
