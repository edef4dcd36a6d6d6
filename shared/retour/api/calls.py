"""Calls to the API: who calls, what is asked, and what a call becomes before the hub takes it in."""

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

from retour.api.paging import Place, is_delivery_id, place_of
from retour.api.problem import problem
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.times import instant, text
from retour.files import names
from retour.intake.arrival import UPLOAD_MAX
from retour.setup.credentials import SEVERAL
from retour.store.programs import Principal
from retour.store.state import SourceState
from retour.wiring import Hub

JSON_MAX = 1024 * 1024
FILE_MAX = 4 * 1024 * 1024
PROGRAM_MAX = 128 * 1024
DECISION_MAX = 64 * 1024
UPLOAD_SECONDS = 900
NOT_KNOWN = -1
LINK_SECONDS = 300
ANSWER_MAX = 4 * 1024 * 1024
KEPT_ANSWER_MAX = 256 * 1024
SHOWN_ONCE = re.compile(r"/v1/programs/[^/]+/(keys|sources/[^/]+/secrets/[^/]+/rotate)")
"""Calls whose answer is a secret: it is kept nowhere, not even to be given again."""
SECRET_MAX = 16 * 1024
PAGE_MAX = 100
PAGE = 50
CONSOLE = "console"
ACTIONS = "actions"
JSON_TYPES = ("application/json",)
CSV_TYPES = ("text/csv",)
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain", *JSON_TYPES)
PROGRAM_ID = re.compile(r"[a-z][a-z0-9-]{1,30}", re.ASCII)
SHORT = re.compile(r"[\x21-\x7e]{1,255}")
SECRETS = {
    Channel.API: ("signing", "callback"),
    Channel.PULL: ("password", "private_key"),
    Channel.EMAIL: ("tokens",),
    Channel.SALESFORCE: ("tokens", "private_key"),
}


class Refused(Exception):
    """A call that cannot be carried out; `answer` is the problem document that says why."""

    def __init__(self, status: int, code: str, title: str, detail: str = "", **more: Any) -> None:
        super().__init__(code)
        self.answer = problem(status, code, title, detail, **more)


def not_found(what: str = "There is no such thing here, or this key does not open it.") -> Refused:
    """The same for what is missing and for what is another's."""
    return Refused(404, "NOT_FOUND", "Not found", what)


def unbelieved() -> Refused:
    detail = "Send a key of this hub in the header `Authorization: Bearer rk_...`."
    headers = {"www-authenticate": 'Bearer realm="retour"'}
    return Refused(401, "UNAUTHORIZED", "Key missing or wrong", detail, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request. Header names are in lower case; the body is what was sent, byte by byte."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_dry_run(self) -> bool:
        return self.flag("dry_run")

    @property
    def key(self) -> str:
        """The Idempotency-Key; empty when none was sent."""
        found = self.headers.get("idempotency-key", "")
        if found and not SHORT.fullmatch(found):
            detail = "An Idempotency-Key is 1 to 255 printable ASCII characters without spaces."
            raise Refused(400, "IDEMPOTENCY_KEY_INVALID", "Idempotency-Key not usable", detail)
        return found

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def flag(self, name: str) -> bool:
        value = self.query.get(name, "false")
        if value not in ("true", "false"):
            raise bad_query(name, value, "true or false")
        return value == "true"

    def within(self, most: int, types: tuple[str, ...] = ()) -> bytes:
        """The body, if there is one, neither too large nor of a type that is not read here."""
        if not self.body:
            raise Refused(
                400, "BODY_EMPTY", "Body is empty", "There is nothing in the body; send what should be taken in."
            )
        if len(self.body) > most:
            detail = f"The body has {len(self.body)} bytes; here it may have {most}."
            raise Refused(413, "BODY_TOO_LARGE", "Body too large", detail)
        if types and self.media_type not in ("", *types):
            detail = f"The body is said to be {self.media_type[:80]}; send {types[0]}."
            raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", "Content type not read here", detail)
        return self.body

    def document(self, most: int = DECISION_MAX) -> dict[str, Any]:
        """The body as a JSON object; without a body an empty one."""
        body = self.within(most, JSON_TYPES) if self.body else b"{}"
        try:
            value = json.loads(body.decode("utf-8"), parse_float=str, parse_constant=str)
        except (ValueError, RecursionError):
            detail = 'The body is no JSON in UTF-8. Send an object such as {"reason": "CANCELLED"}.'
            raise Refused(400, "NOT_JSON", "Body is no JSON", detail) from None
        if not isinstance(value, dict):
            detail = 'The body is JSON but no object. Send an object such as {"reason": "CANCELLED"}.'
            raise Refused(400, "NOT_AN_OBJECT", "Body is no object", detail)
        return value

    def limit(self) -> int:
        value = self.query.get("limit", str(PAGE))
        if not (value.isascii() and value.isdigit()) or not 1 <= int(value[:9]) <= PAGE_MAX:
            raise bad_query("limit", value, f"a whole number from 1 to {PAGE_MAX}")
        return int(value)

    def place(self, today: str) -> Place:
        """Where the list goes on: at the cursor, else with today."""
        cursor = self.query.get("cursor")
        found = place_of(cursor) if cursor else Place(today)
        if found is None:
            raise bad_query("cursor", cursor or "", "the `next` of the page before")
        return found

    def moment(self, name: str, now: datetime) -> datetime | None:
        """A past moment; a time without offset means nothing certain and is refused."""
        value = self.query.get(name)
        if value is None:
            return None
        try:
            # A plus sign that nobody encoded arrives as a space.
            moment = instant(value.replace(" ", "+"))
        except (ValueError, OverflowError):
            raise bad_query(name, value, "a time such as 2026-11-21T09:30:00+01:00") from None
        if moment > now:
            raise bad_query(name, value, "a moment that has passed")
        return moment

    def one_of(self, name: str, known: tuple[str, ...]) -> str | None:
        value = self.query.get(name)
        if value is not None and value not in known:
            raise bad_query(name, value, " or ".join(known))
        return value


def bad_query(name: str, value: str, right: str) -> Refused:
    detail = f"`{name}` is {value[:80]!r}; {right} is right."
    return Refused(400, "QUERY_INVALID", "Query not usable", detail)


def call_of(event: Mapping[str, Any]) -> Call:
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
    )


IDS = re.compile(
    r"(/v1/programs/[^/]+/(?:actions|modifications)/)(.+?)"
    r"(/(?:approve|reverse|modify|restore|reattribute|undo|reprice|status|release|discard))?",
    re.DOTALL,
)


def plain_path(path: str) -> str:
    """A path in which every id is one segment of plain signs, whatever an order id has in it.

    The gateway hands paths over decoded, so that an id may hold slashes; within ids they are encoded again.
    """
    found = IDS.fullmatch(path)
    if found is None:
        return path
    before, id_, verb = found.groups(default="")
    return before + quote(unquote(id_, errors="replace"), safe="") + verb


def named(segment: str) -> str:
    """The id that a segment of a plain path stands for."""
    return unquote(segment, errors="replace")


# Who calls


def principal_of(hub: Hub, call: Call) -> Principal:
    scheme, _, key = call.headers.get("authorization", "").partition(" ")
    key = key.strip()
    found = hub.principal(key) if scheme.lower() == "bearer" and SHORT.fullmatch(key) else None
    if found is None:
        raise unbelieved()
    return found


# What a call becomes


def file_name(call: Call) -> str:
    given = call.query.get("name", "")
    if not given.strip():
        raise bad_query("name", given, "the file's name, such as may.csv,")
    name = names.safe(given)
    if why := names.skipped(given) or names.skipped(name):
        ours = "receipt_ and result_ are how our own answers are called"
        detail = f"`name` is {name!r}; {ours if why == 'ours' else 'such a name says that the file is not whole yet'}."
        raise Refused(422, "FILE_NAME_NOT_TAKEN", "File name not taken", detail)
    return name


def upload_size(call: Call) -> int:
    """What the caller says; NOT_KNOWN where it says nothing."""
    given = call.query.get("size")
    if given is None:
        return NOT_KNOWN
    if not (given.isascii() and given.isdigit()):
        raise bad_query("size", given, "a whole number of bytes")
    if int(given[:15]) > UPLOAD_MAX:
        detail = (
            f"The file has {given[:15]} bytes; it may have {UPLOAD_MAX}. Split it into several, each with the header."
        )
        raise Refused(413, "BODY_TOO_LARGE", "File too large", detail)
    return int(given)


def expires(now: datetime) -> str:
    return text(now + timedelta(seconds=UPLOAD_SECONDS))


def batch_id(segment: str) -> str:
    if not is_delivery_id(segment):
        raise not_found("There is no such batch in this program.")
    return segment


# Once


Answered = tuple[int, Any]


def once(state: SourceState, call: Call, answer: Callable[[], Answered]) -> Answered:
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
            detail = "This Idempotency-Key was used for another call. Use a new key for a new call."
            raise Refused(422, "IDEMPOTENCY_KEY_REUSED", "Idempotency-Key used before", detail)
        if kept.get("shown"):
            detail = "This call was carried out; what it made was shown once. If it is lost, revoke it and call anew."
            raise Refused(409, "ANSWER_SHOWN_ONCE", "Answer was shown once", detail)
        if "answer" in kept:
            status, document = json.loads(zlib.decompress(base64.b64decode(kept["answer"])))
            return status, document
    try:
        given = answer()
    except Refused:
        state.delete(place)
        raise
    if SHOWN_ONCE.fullmatch(call.path):
        state.put(place, {**mine, "shown": True})
        return given
    packed = base64.b64encode(zlib.compress(json.dumps(given).encode())).decode()
    state.put(place, {**mine, "answer": packed} if len(packed) < KEPT_ANSWER_MAX else mine)
    return given


def handed_over(call: Call, source: Source) -> dict[str, Any]:
    """A secret that somebody else made, as it will be kept."""
    given = call.document()
    known = SECRETS.get(source.channel, ())
    if not known:
        detail = f"A source of channel {source.channel} has no secret; its keys stand in the program."
        raise Refused(422, "SECRET_NOT_NEEDED", "No secret here", detail)
    for name, value in given.items():
        if name not in known:
            detail = f"`{str(name)[:80]}` is no secret of channel {source.channel}; right are: {', '.join(known)}."
            raise Refused(422, "UNKNOWN_FIELD", "Field not known", detail)
        texts = value if name in SEVERAL else [value]
        if not isinstance(texts, list) or not 1 <= len(texts) <= 2 or not all(usable(one, name) for one in texts):
            shape = "a list of one or two texts" if name in SEVERAL else "a text"
            raise Refused(
                422,
                "SECRET_UNUSABLE",
                "Secret not usable",
                f"`{name}` is {shape}, long enough to be one, in plain signs.",
            )
    if not given:
        detail = f"Nothing was handed over; right are: {', '.join(known)}."
        raise Refused(422, "SECRET_UNUSABLE", "Secret not usable", detail)
    return given


def usable(value: Any, name: str) -> bool:
    least = {"password": 1, "tokens": 22}.get(name, 8)
    if not isinstance(value, str) or not least <= len(value) <= SECRET_MAX:
        return False
    return value.startswith("-----BEGIN ") and value.isascii() if name == "private_key" else value.isprintable()
