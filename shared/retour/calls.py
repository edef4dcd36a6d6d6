"""Calls to the API: who calls, what is asked, and what a call becomes before the hub takes it in."""

import base64
import binascii
import hashlib
import json
import re
import secrets
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import quote, unquote

from retour.domain.action import Action
from retour.domain.delivery import Channel, Delivery, Kind, delivery_id
from retour.domain.program import Program, Source
from retour.domain.times import text
from retour.files import names
from retour.problem import problem
from retour.store.programs import Principal
from retour.store.state import SourceState
from retour.views import Place, Reader, is_delivery_id, place_of
from retour.wiring import Hub, NoProgram

JSON_MAX = 1024 * 1024
FILE_MAX = 4 * 1024 * 1024
PROGRAM_MAX = 256 * 1024
DECISION_MAX = 64 * 1024
UPLOAD_MAX = 400 * 1024 * 1024
UPLOAD_SECONDS = 900
LINK_SECONDS = 300
ANSWER_MAX = 4 * 1024 * 1024
KEPT_ANSWER_MAX = 256 * 1024
SECRET_MAX = 16 * 1024
PAGE_MAX = 100
PAGE = 50
CONSOLE = "console"
ACTIONS = "actions"
OWN = (CONSOLE, ACTIONS)
"""Names of what is no source of any program: the deliveries of people, and reports of actions."""
JSON_TYPES = ("application/json",)
CSV_TYPES = ("text/csv",)
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain", *JSON_TYPES)
PROGRAM_ID = re.compile(r"[a-z][a-z0-9-]{1,30}", re.ASCII)
SHORT = re.compile(r"[\x21-\x7e]{1,255}")
SECRETS = {
    Channel.API: ("signing",),
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
        """The body, if it is neither too large nor of a type that is not read here."""
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
    r"(/v1/programs/[^/]+/(?:actions|modifications)/)(.+?)(/(?:approve|reverse|modify|restore))?", re.DOTALL
)


def plain_path(path: str) -> str:
    """A path in which every id is one segment of plain signs, whatever an order id has in it.

    The gateway hands paths over decoded, so that an id may hold slashes; within ids they are encoded again.
    """
    found = IDS.fullmatch(path)
    if found is None:
        return path
    before, own_id, verb = found.groups(default="")
    return before + quote(unquote(own_id, errors="replace"), safe="") + verb


def own_id(segment: str) -> str:
    return unquote(segment, errors="replace")


# Who calls


def principal_of(hub: Hub, call: Call) -> Principal:
    scheme, _, key = call.headers.get("authorization", "").partition(" ")
    key = key.strip()
    found = hub.principal(key) if scheme.lower() == "bearer" and SHORT.fullmatch(key) else None
    if found is None:
        raise unbelieved()
    return found


def program_of(hub: Hub, principal: Principal, program_id: str) -> Program:
    """As it was applied last: whoever applies a program and calls again means the new one."""
    program = hub.programs.get(program_id) if principal.may(program_id) and PROGRAM_ID.fullmatch(program_id) else None
    if program is None:
        raise not_found("There is no such program, or this key does not open it.")
    return with_own_sources(program)


def source_of(program: Program, name: str, channel: Channel | None = None) -> Source:
    source = program.sources.get(name) if name not in OWN else None
    if source is None or channel not in (None, source.channel):
        raise not_found(f"The program {program.id} has no such source.")
    return source


def source_for_api(call: Call, program: Program) -> Source:
    """The source a call names; else the program's first one of channel api and kind standard, else one of Retour's own.

    Its name scopes references, so it must not depend on anything that changes from call to call.
    """
    named = call.query.get("source")
    if named is not None:
        return source_of(program, named)
    fitting = (s for s in program.sources.values() if s.channel is Channel.API and s.kind in ("", "standard"))
    return next(fitting, program.sources[Channel.API.value])


def with_own_sources(program: Program) -> Program:
    """A program with the sources that no document declares: people's decisions, and calls where it has no source."""
    own = {
        name: Source(name=name, channel=channel, namespace=name, time_zone=program.time_zone)
        for name, channel in ((Channel.API.value, Channel.API), (CONSOLE, Channel.CONSOLE))
        if name not in program.sources
    }
    return replace(program, sources={**program.sources, **own})


@dataclass(frozen=True)
class Desk:
    """The hub as one call uses it: programs are as applied last, and have Retour's own sources as well."""

    hub: Hub
    programs_read: dict[str, Program] = field(default_factory=dict)

    def program_of(self, delivery: Delivery) -> Program:
        if delivery.program not in self.programs_read:
            program = self.hub.programs.get(delivery.program)
            if program is None:
                raise NoProgram(delivery.program)
            self.programs_read[delivery.program] = with_own_sources(program)
        return self.programs_read[delivery.program]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.hub, name)


def desk(hub: Hub, *known: Program) -> Hub:
    return cast(Hub, Desk(hub, {program.id: program for program in known}))


def reader_of(hub: Hub, program: Program) -> Reader:
    return Reader(program, hub.ledger(program.id), hub.deliveries(program.id), hub.now())


def days(hub: Hub, program: Program) -> tuple[str, str]:
    """Today, and the day of the program's first version: nothing was delivered before."""
    first = hub.programs.versions(program.id)[-1].recorded_at[:10].replace("-", "")
    today = f"{hub.now():%Y%m%d}"
    return max(today, first), first


# What a call becomes


def delivery_of(
    call: Call,
    hub: Hub,
    principal: Principal,
    program: Program,
    source: str,
    kind: Kind,
    identity: str = "",
    **more: Any,
) -> Delivery:
    """A delivery of these bytes. A call with an Idempotency-Key is that key's, else it is known by what it says."""
    received_at = hub.now()
    identity = identity or (f"{kind}#{call.key}" if call.key else call.sha256)
    return Delivery(
        id=delivery_id(received_at, program.id, source, identity),
        program=program.id,
        channel=Channel.CONSOLE if source == CONSOLE else Channel.API,
        source=source,
        kind=kind,
        identity=identity,
        received_at=received_at,
        sha256=call.sha256,
        size=len(call.body),
        sender=principal.name,
        **more,
    )


def file_delivery(delivery: Delivery, name: str) -> Delivery:
    """The same as a file in the inbox, under its own name."""
    key = f"api/{delivery.program}/{delivery.source}/{delivery.id}/{name}"
    return replace(delivery, kind=Kind.FILE, name=name, body_key=key)


def file_name(call: Call) -> str:
    given = call.query.get("name", "")
    if not given.strip():
        raise bad_query("name", given, "the file's name, such as may.csv,")
    name = names.safe(given)
    if why := names.skipped(name):
        ours = "receipt_ and result_ are how our own answers are called"
        detail = f"`name` is {name!r}; {ours if why == 'ours' else 'such a name says that the file is not whole yet'}."
        raise Refused(422, "FILE_NAME_NOT_TAKEN", "File name not taken", detail)
    return name


def upload_size(call: Call) -> int:
    given = call.query.get("size", "0")
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


VERBS = ("approve", "reverse", "modify", "restore")
VALUES = ("reference", "sku", "line", "amount", "currency", "quantity", "reason", "disposition", "note")
MODIFYING = ("set_total", "set_quantity", "take_back")


def decision(call: Call, action: Action, verb: str) -> bytes:
    """One person's decision on one action as the record it is, its reference the form's own id."""
    given = call.document()
    change = given.pop("change", verb) if verb == "modify" else verb
    unknown = next((name for name in given if name not in VALUES), None)
    if unknown is not None:
        detail = f"`{str(unknown)[:80]}` is not known here; known are: {', '.join(VALUES)}."
        raise Refused(422, "UNKNOWN_FIELD", "Field not known", detail)
    if verb == "modify" and change not in MODIFYING:
        detail = f"`change` says what the values mean: one of {', '.join(MODIFYING)}."
        raise Refused(422, "CHANGE_NEEDED", "Change not said", detail)
    record = {
        **given,
        "order_id": action.order_id,
        "action_id": action.id,
        "event_type": action.event_type,
        "change": change,
    }
    if not given.get("reference") and call.key:
        record["reference"] = call.key
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")


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
        if "answer" in kept:
            status, document = json.loads(zlib.decompress(base64.b64decode(kept["answer"])))
            return status, document
    try:
        given = answer()
    except Refused:
        state.delete(place)
        raise
    packed = base64.b64encode(zlib.compress(json.dumps(given).encode())).decode()
    state.put(place, {**mine, "answer": packed} if len(packed) < KEPT_ANSWER_MAX else mine)
    return given


# Secrets


def made(source: Source) -> dict[str, Any]:
    """New secrets for a source whose channel has some that we choose; others are handed over by who made them."""
    match source.channel:
        case Channel.API if source.kind in ("", "standard"):
            return {"signing": ["whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()]}
        case Channel.API:
            return {"signing": [secrets.token_hex(32)]}
        case Channel.EMAIL:
            return {"tokens": [base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()]}
        case Channel.SALESFORCE:
            return {"tokens": [secrets.token_urlsafe(32)]}
    return {}


def new_key(program: str) -> str:
    return f"rk_{program}_{secrets.token_urlsafe(24)}"


def credentials(hub: Hub, program: Program) -> dict[str, dict[str, str]]:
    """Makes the secrets that sources lack; what it takes to use these sources, to be shown this once."""
    shown: dict[str, dict[str, str]] = {}
    for name, source in program.sources.items():
        fresh = made(source)
        if fresh and not hub.secrets.get(program.id, name):
            hub.secrets.put(program.id, name, fresh)
            shown[name] = access(hub, program, source) | secret_access(hub, program, source, fresh)
    return shown


def access(hub: Hub, program: Program, source: Source) -> dict[str, str]:
    """How a source is used, without what is secret."""
    match source.channel:
        case Channel.API:
            return {"url": f"{hub.api_url}/v1/programs/{program.id}/hooks/{source.name}"}
        case Channel.SFTP:
            return {"user": f"{program.id}.{source.name}"}
        case Channel.PULL:
            options = source.options
            return {"server": f"{options['protocol']}://{options['host']}", "user": options["user"]}
    return {}


def secret_access(hub: Hub, program: Program, source: Source, secret: Mapping[str, Any]) -> dict[str, str]:
    match source.channel:
        case Channel.API:
            return {"secret": secret["signing"][0]}
        case Channel.EMAIL:
            return {"address": f"{program.id}.{source.name}.{secret['tokens'][0]}@{hub.mail_domain}"}
        case Channel.SALESFORCE:
            return {"url": f"{hub.api_url}/v1/programs/{program.id}/salesforce/{source.name}/{secret['tokens'][0]}"}
    return {}


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
        texts = value if name in ("signing", "tokens") else [value]
        if not isinstance(texts, list) or not 1 <= len(texts) <= 2 or not all(usable(one, name) for one in texts):
            shape = "a list of one or two texts" if name in ("signing", "tokens") else "a text"
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


def usable(value: Any) -> bool:
    return (
        isinstance(value, str) and 8 <= len(value) <= 16384 and not any(0xD800 <= ord(sign) < 0xE000 for sign in value)
    )
