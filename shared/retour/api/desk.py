"""What each call of the API comes to: read from the stores, or handed to the intake as a delivery."""

import base64
import json
import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from itertools import islice
from typing import Any
from urllib.parse import quote

from retour import arrival, intake, opening, report
from retour.api import views
from retour.api.calls import (
    ACTIONS,
    ANSWER_MAX,
    CONSOLE,
    CSV_TYPES,
    FILE_MAX,
    JSON_MAX,
    JSON_TYPES,
    LINK_SECONDS,
    PROGRAM_ID,
    PROGRAM_MAX,
    UPLOAD_SECONDS,
    YAML_TYPES,
    Call,
    Refused,
    batch_id,
    expires,
    file_name,
    handed_over,
    named,
    not_found,
    upload_size,
)
from retour.api.views import Document, Page, Place, Reader
from retour.domain.actions.decide import as_of
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Channel, Delivery, Kind, delivery_id
from retour.domain.program import Program, Source
from retour.domain.row import Refusal
from retour.domain.times import text
from retour.sentences import sentence
from retour.store import outcomes
from retour.store.deliveries import Header
from retour.store.programs import Principal
from retour.wiring import Hub

logger = logging.getLogger(__name__)
CRYPTOGRAPHY = find_spec("cryptography") is not None
"""A library too heavy to bring along for one key: where it is not there, the key is made elsewhere and handed over."""
REDRIVEN_MAX = 20
LOOKED_AT = 50
STATES = ("arriving", "working", "held", "done", "refused", "ignored")


# Who calls, and what is opened to them


def program_of(hub: Hub, principal: Principal, program_id: str) -> Program:
    """As it was applied last: whoever applies a program and calls again means the new one."""
    program = hub.programs.get(program_id) if principal.may(program_id) and PROGRAM_ID.fullmatch(program_id) else None
    if program is None:
        raise not_found("There is no such program, or this key does not open it.")
    return program


def source_of(program: Program, name: str, channel: Channel | None = None) -> Source:
    source = program.sources.get(name)
    if source is None or channel not in (None, source.channel):
        raise not_found(f"The program {program.id} has no such source.")
    return source


def source_for_api(call: Call, program: Program) -> Source:
    """The source a call names; else the program's first one of channel api and kind standard, else one of Retour's own.

    Its name scopes references, so it must not depend on anything that changes from call to call.
    """
    asked = call.query.get("source")
    if asked is not None:
        return source_of(program, asked)
    fitting = (s for s in program.sources.values() if s.channel is Channel.API and s.kind in ("", "standard"))
    return next(fitting, program.source(Channel.API.value, Channel.API))


def reader_of(hub: Hub, program: Program) -> Reader:
    return Reader(program, hub.ledger(program), hub.deliveries(program.id), hub.now())


def days(hub: Hub, program: Program) -> tuple[str, str]:
    """Today, and the day of the program's first version: nothing was delivered before."""
    first = hub.programs.versions(program.id)[-1].recorded_at[:10].replace("-", "")
    today = f"{hub.now():%Y%m%d}"
    return max(today, first), first


def keeper(call: Call, principal: Principal) -> tuple[str, str]:
    """Where a caller's Idempotency-Keys are kept: apart for everybody, and per program for who opens several."""
    part = call.path.split("/")
    named_program = part[3] if len(part) > 3 and PROGRAM_ID.fullmatch(part[3]) else ""
    return principal.program, f"calls.{named_program}"


def delivery_of(
    call: Call,
    hub: Hub,
    principal: Principal,
    program_id: str,
    source: str,
    kind: Kind,
    identity: str = "",
    **more: Any,
) -> Delivery:
    """A delivery of these bytes. A call with an Idempotency-Key is that key's, else it is known by what it says."""
    received_at = hub.now()
    identity = identity or (f"{kind}#{call.key}" if call.key else call.sha256)
    return Delivery(
        id=delivery_id(received_at, program_id, source, identity),
        program=program_id,
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


# Secrets


def made(source: Source) -> dict[str, Any]:
    """New secrets for a source whose channel has some that we choose; others are handed over by who made them."""
    match source.channel:
        case Channel.API if source.kind in ("", "standard"):
            return {"signing": [signing_secret()]}
        case Channel.API:
            return {"signing": [secrets.token_hex(32)]}
        case Channel.EMAIL:
            return {"tokens": [base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()]}
        case Channel.SALESFORCE:
            return {"tokens": [secrets.token_urlsafe(32)], **({"private_key": rsa_key()} if CRYPTOGRAPHY else {})}
    return {}


def signing_secret() -> str:
    """As Standard Webhooks write one."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def rsa_key() -> str:
    """A private key as PEM: the only kind that Salesforce takes."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def credentials(hub: Hub, program: Program) -> dict[str, dict[str, str]]:
    """Makes the secrets that sources lack; what it takes to use these sources, to be shown this once."""
    shown: dict[str, dict[str, str]] = {}
    for name, source in program.sources.items():
        held = hub.secrets.get(program.id, name)
        fresh = made(source) if not held else {}
        if source.options.get("callback") and "callback" not in held:
            fresh["callback"] = [signing_secret()]
        if fresh:
            hub.secrets.put(program.id, name, {**held, **fresh})
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
            told = {"secret": secret.get("signing"), "callback_secret": secret.get("callback")}
            return {what: live[0] for what, live in told.items() if live}
        case Channel.EMAIL:
            return {"address": f"{program.id}.{source.name}.{secret['tokens'][0]}@{hub.mail_domain}"}
        case Channel.SALESFORCE:
            return {"url": f"{hub.api_url}/v1/programs/{program.id}/salesforce/{source.name}/{secret['tokens'][0]}"}
    return {}


# Programs


def programs(hub: Hub, principal: Principal) -> Document:
    """One line for each program the key opens."""
    found = []
    for name in hub.programs.ids() if principal.is_admin else [principal.program]:
        newest = next(iter(hub.programs.versions(name)), None)
        if newest is not None:
            document = newest.document
            found.append(
                {
                    "program": name,
                    "name": document.get("name", name),
                    "currency": document["currency"],
                    "time_zone": document["time_zone"],
                    "version": newest.version,
                    "applied_at": newest.recorded_at,
                    "sources": [*document.get("sources", {})],
                }
            )
    return {"items": found, "next": None}


def program(hub: Hub, opened: Program) -> Document:
    newest = hub.programs.versions(opened.id)[0]
    return {
        "program": opened.id,
        "name": opened.name,
        "currency": opened.currency,
        "time_zone": opened.time_zone,
        "version": newest.version,
        "applied_at": newest.recorded_at,
        "document": newest.document,
        "contracts": [views.contract_document(contract) for contract in opened.contracts],
        "sources": {
            name: {"channel": source.channel.value, "kind": source.kind, **access(hub, opened, source)}
            for name, source in opened.sources.items()
            if name in newest.document.get("sources", {})
        },
    }


def apply_program(hub: Hub, call: Call, principal: Principal, program_id: str) -> Document:
    """A document as the program's next version; the secrets its new sources need are shown in this answer only."""
    known = hub.programs.get(program_id) if principal.may(program_id) and PROGRAM_ID.fullmatch(program_id) else None
    if known is None and not (principal.is_admin and PROGRAM_ID.fullmatch(program_id)):
        raise not_found("There is no such program, or this key does not open it.")
    document = program_document(call, program_id)
    changed = known is None or hub.programs.versions(program_id)[0].document != document
    if call.is_dry_run:
        version = (known.version if known else 0) + changed
        return {"program": program_id, "version": version, "changed": changed, "dry_run": True, "batch": None}
    shown: Document = {}
    if known is None:
        shown["api_key"] = new_key(hub, program_id, "first key")
    delivery = delivery_of(call, hub, principal, program_id, CONSOLE, Kind.PROGRAM, name=f"{program_id}.yaml")
    applied = intake.apply_program(hub, delivery, call.body)
    if isinstance(applied, list):
        raise AssertionError(f"judged right before it was stored, wrong after: {applied}")
    now_in_force, fresh = applied
    if made_now := credentials(hub, now_in_force):
        shown["credentials"] = made_now
    return {"program": program_id, "version": now_in_force.version, "changed": fresh, "batch": delivery.id, **shown}


def program_document(call: Call, program_id: str) -> dict[str, Any]:
    from retour import program_file

    try:
        document = program_file.read(call.within(PROGRAM_MAX, YAML_TYPES).decode("utf-8"))
    except UnicodeDecodeError:
        raise Refused(400, "NOT_UTF8", "Program is not UTF-8", "Save the program as UTF-8 and send it again.") from None
    if isinstance(document, list):
        errors = [
            {"line": fault.line, "column": fault.column, "key": fault.key, "detail": fault.sentence}
            for fault in document
        ]
        count = "One thing is" if len(errors) == 1 else f"{len(errors)} things are"
        raise Refused(
            422, "PROGRAM_INVALID", "The program is not right", f"{count} wrong with the program.", errors=errors
        )
    if document["program"] != program_id:
        detail = f"The document is of program {document['program']}; send it to /v1/programs/{document['program']}."
        raise Refused(422, "PROGRAM_MISMATCH", "Another program's document", detail)
    return document


def new_key(hub: Hub, program_id: str, name: str) -> str:
    """A key that opens one program. Only its hash is kept."""
    key = f"rk_{program_id}_{secrets.token_urlsafe(24)}"
    hub.programs.grant(key, Principal(program_id, "merchant", name))
    return key


def create_key(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    """A further key of a program, shown this once; only an administrator makes keys."""
    if not principal.is_admin:
        raise Refused(403, "ADMIN_ONLY", "Not with this key", "Keys are made with an administrator's key.")
    name = call.document().get("name", "key")
    if not isinstance(name, str) or not 1 <= len(name) <= 100 or not name.isprintable():
        raise Refused(422, "NAME_UNUSABLE", "Name not usable", "`name` is a text of 1 to 100 printable signs.")
    return {"key": new_key(hub, opened.id, name), "name": name, "role": "merchant"}


# Sources


def source(hub: Hub, opened: Program, name: str) -> Document:
    """How a source is set up and used, and when it was last heard of."""
    found = source_of(opened, name)
    visit = hub.state(opened.id, name).get("last-visit") if found.channel is Channel.PULL else None
    return {
        "source": name,
        "channel": found.channel.value,
        "kind": found.kind,
        "event_type": found.event_type,
        **access(hub, opened, found),
        "openpgp": [told_key(key) for key in opening.public_keys(hub, opened.id, name)],
        "last_received_at": last_received(hub, opened, name),
        "last_visit": visit,
    }


def last_received(hub: Hub, opened: Program, name: str) -> str | None:
    """Of the newest deliveries; None also where a source was silent for longer."""
    today, first = days(hub, opened)
    for seen in islice(views.headers(hub.deliveries(opened.id), Place(today), first), LOOKED_AT):
        if isinstance(seen, Header) and seen.delivery.source == name:
            return text(seen.delivery.received_at)
    return None


def pull(hub: Hub, opened: Program, name: str) -> Document:
    """Asks for a visit now; its report is the source's `last_visit` of this id."""
    found = source_of(opened, name, Channel.PULL)
    visit = secrets.token_hex(8)
    hub.send("pulls", {"program": opened.id, "source": found.name, "visit": visit})
    return {"source": name, "state": "visiting", "visit": visit, "asked_at": text(hub.now())}


def test(hub: Hub, opened: Program, name: str) -> Document:
    """What is missing or wrong about a source, as far as it can be told without asking the other side."""
    missing = [detail for detail, _fix in lacking(hub, opened, source_of(opened, name))]
    return {**source(hub, opened, name), "ready": not missing, "findings": missing}


def lacking(hub: Hub, opened: Program, found: Source) -> Iterator[tuple[str, str]]:
    """What is wrong with a source, and what to do about it."""
    kept, by_hand = hub.secret(opened.id, found.name), f"retour keys --program {opened.id} --source {found.name} --set"
    match found.channel:
        case Channel.API if not kept.get("signing"):
            yield "no signing secret is known", f"{by_hand} signing"
        case Channel.EMAIL if not kept.get("tokens"):
            yield "it has no address yet", "Apply the program again."
        case Channel.PULL if not (kept.get("password") or kept.get("private_key")):
            yield "neither password nor private key is known", f"{by_hand} password"
        case Channel.SALESFORCE if not kept.get("private_key"):
            yield "the private key to log in with is not known", f"{by_hand} private_key"
        case Channel.SALESFORCE if not (found.options.get("username") and found.options.get("consumer_key")):
            yield "nobody is named to log in as", "Add username and consumer_key to the options of the source."
        case Channel.SFTP if not found.options.get("public_keys"):
            yield "no public key is declared", "Add the sender's key to options.public_keys of the source."
    if found.channel is Channel.PULL:
        visit = hub.state(opened.id, found.name).get("last-visit") or {}
        if visit.get("state") == "failed":
            yield f"the last visit failed: {visit.get('explanation', '')}", f"retour pull --program {opened.id}"


def check_file(hub: Hub, call: Call, principal: Principal, opened: Program, name: str) -> Document:
    """How the source would read a file, row by row in words; nothing is written."""
    from retour.check import check as checked

    found = source_of(opened, name)
    delivery = delivery_of(call, hub, principal, opened.id, found.name, Kind.FILE, name=file_name(call))
    return checked(hub, opened, found, delivery, call.within(FILE_MAX))


def set_secret(hub: Hub, call: Call, opened: Program, name: str) -> Document:
    found = source_of(opened, name)
    held = {**hub.secrets.get(opened.id, name), **handed_over(call, found)}
    hub.secrets.put(opened.id, name, held)
    return {"source": name, "holds": sorted(held)}


def new_openpgp_key(hub: Hub, opened: Program, name: str) -> Document:
    """A further key pair that senders may encrypt for; its public half. The ones before stay live."""
    found = source_of(opened, name)
    if found.channel is Channel.SALESFORCE:
        raise Refused(422, "SECRET_NOT_NEEDED", "No key here", "A source of channel salesforce brings no files.")
    if find_spec("pysequoia") is None:
        detail = sentence("PGP_NOT_OFFERED", {}, opened.language)
        raise Refused(422, "PGP_NOT_OFFERED", "OpenPGP is not offered", detail)
    return {"source": name, **told_key(opening.new_key(hub, opened.id, name))}


def told_key(key: Mapping[str, Any]) -> Document:
    return {what: key[what] for what in ("fingerprint", "public_key", "made_at")}


# What came back


def take_modifications(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    body = call.within(JSON_MAX, JSON_TYPES)
    source = source_for_api(call, opened)
    delivery = delivery_of(call, hub, principal, opened.id, source.name, Kind.MODIFICATIONS)
    if call.is_dry_run:
        return views.rehearsal_document(readable(intake.dry_run(hub, delivery, body), opened), opened.language)
    return views.answer_document(readable(intake.receive(hub, delivery, body), opened), opened.language)


def readable(batch: intake.Batch, opened: Program) -> intake.Batch:
    """A batch whose body could be read. One that could not is stored all the same."""
    if batch.state != intake.REFUSED:
        return batch
    status = 413 if batch.code == "TOO_MANY_RECORDS" else 400
    detail = sentence(batch.code, batch.details, opened.language)
    raise Refused(status, batch.code, "Body cannot be read", detail)


def take_file(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    """Stored under its name in the inbox, where it is read like every other file."""
    name, body = file_name(call), call.within(FILE_MAX)
    source = source_for_api(call, opened)
    delivery = as_file(delivery_of(call, hub, principal, opened.id, source.name, Kind.FILE), name)
    if call.is_dry_run:
        return views.rehearsal_document(intake.dry_run(hub, delivery, body), opened.language)
    intake.announce(hub, delivery)
    hub.inbox.put(delivery.body_key, body)
    return views.answer_document(intake.Batch(delivery=delivery, state=intake.ARRIVED), opened.language)


def as_file(delivery: Delivery, name: str) -> Delivery:
    key = f"api/{delivery.program}/{delivery.source}/{delivery.id}/{name}"
    return replace(delivery, name=name, body_key=key)


def upload(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    """An address for one larger file; what is put there is read like every other file."""
    name, size, source = file_name(call), upload_size(call), source_for_api(call, opened)
    identity = f"upload#{call.key or secrets.token_hex(16)}"
    empty = delivery_of(call, hub, principal, opened.id, source.name, Kind.FILE, identity)
    delivery = as_file(replace(empty, sha256=arrival.NO_HASH, size=size), name)
    intake.announce(hub, delivery)
    url = hub.inbox.presign_put(delivery.body_key, UPLOAD_SECONDS)
    return {"batch": delivery.id, "url": url, "method": "PUT", "expires_at": expires(hub.now())}


def modifications(hub: Hub, call: Call, opened: Program) -> Document:
    """By order, action or batch; else all of them, newest first."""
    reader, query, limit = reader_of(hub, opened), call.query, call.limit()
    outcome = call.one_of("outcome", tuple(Outcome))

    def wanted(one: Document | None) -> bool:
        return one is not None and outcome in (None, one["outcome"]) and query.get("source") in (None, one["source"])

    if "order_id" in query or "action_id" in query:
        of_order = reader.of_order(query.get("order_id"), query.get("action_id"))
        return {"items": [one for one in of_order if wanted(one)], "next": None}
    today, first = days(hub, opened)
    place = call.place(today)
    if "batch" in query:
        place, first = within_batch(reader, query["batch"], place)

    def rows(header: Header, skip: int) -> Iterator[Document | None]:
        if query.get("batch") in (None, header.delivery.id):
            yield from (one if wanted(one) else None for one in reader.modifications(header, skip))

    return views.records(reader, place, first, limit, rows).document()


def within_batch(reader: Reader, batch: str, place: Place) -> tuple[Place, str]:
    """From just before a batch (or from where the list was) to the end of its day."""
    own = header_of(reader, batch).delivery.id
    return (place if place.delivery else Place(own[:8], f"{own}~")), own[:8]


def modification(hub: Hub, opened: Program, segment: str) -> Document:
    found = reader_of(hub, opened).modification(named(segment))
    if found is None:
        raise not_found("There is no such modification in this program.")
    return views.modification_document(*found, opened)


# What was sold


def take_actions(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    """As JSON, or as CSV with one row a line."""
    body = call.within(JSON_MAX, (*JSON_TYPES, *CSV_TYPES))
    delivery = delivery_of(call, hub, principal, opened.id, ACTIONS, Kind.ACTIONS)
    if call.media_type in CSV_TYPES:
        key = f"raw/{opened.id}/{delivery.id}"
        delivery = replace(delivery, kind=Kind.FILE, name="actions.csv", facts={"layout": "actions"}, body_key=key)
    if call.is_dry_run:
        return rehearsed(hub, opened, delivery, body)
    if delivery.kind is Kind.FILE:
        hub.inbox.put(delivery.body_key, body)
    batch = intake.receive(hub, delivery, None if delivery.kind is Kind.FILE else body)
    return views.answer_document(readable(batch, opened), opened.language)


def rehearsed(hub: Hub, opened: Program, delivery: Delivery, body: bytes) -> Document:
    if delivery.kind is Kind.FILE:
        raise Refused(
            422, "DRY_RUN_NOT_OFFERED", "No dry run of this", "Send the actions as JSON to see what they come to."
        )
    read = report.from_json(body)
    results = list(reader_of(hub, opened).reported(delivery, read))
    batch = intake.Batch(delivery=delivery, state=intake.DONE, results=results)
    if isinstance(read, Refusal):
        batch = replace(batch, state=intake.REFUSED, code=read.code, details=read.details)
    return views.rehearsal_document(readable(batch, opened), opened.language)


def actions(hub: Hub, call: Call, opened: Program) -> Document:
    """By order, by partner or by lock; else all of them, by when they were reported, newest first."""
    from retour.api import listing

    reader, limit = reader_of(hub, opened), call.limit()
    filter_ = listing.filter_of({name: call.query[name] for name in listing.NAMES if name in call.query}, opened)
    if filter_.order_id is not None:
        found = sorted(listing.found(hub, reader, filter_), key=lambda one: (one[1].reported_at, one[1].id))
        lines = [views.action_line(action, head, opened, reader.now) for _, action, head in reversed(found)]
        return {"items": lines, "next": None}
    if filter_.is_indexed:
        return listing.page(hub, reader, call, filter_)
    today, first = days(hub, opened)

    def wanted(one: Document | None) -> bool:
        asked = {"state": filter_.state, "event_type": filter_.event_type}
        return one is not None and all(value in (None, one[name]) for name, value in asked.items())

    def rows(header: Header, skip: int) -> Iterator[Document | None]:
        yield from (one if wanted(one) else None for one in reader.actions(header, skip))

    return views.records(reader, call.place(today), first, limit, rows).document()


def action(hub: Hub, call: Call, opened: Program, segment: str) -> Document:
    """One action with its whole history; with `as_of`, as it stood at a past moment."""
    found = reader_of(hub, opened).action(named(segment))
    if found is None:
        raise not_found("There is no such action in this program.")
    moment = call.moment("as_of", hub.now())
    if moment is None:
        return views.action_document(*found, opened, hub.now())
    order = as_of(found[0], opened.contracts, moment)
    then, head = order.action(found[1].id), order.heads.get(found[1].id)
    if then is None or head is None:
        raise not_found(f"This action had not been reported by {text(moment)}.")
    return {**views.action_document(order, then, head, opened, moment), "as_of": text(moment)}


# Deliveries


def batches(hub: Hub, call: Call, opened: Program) -> Document:
    query = call.query
    channel, state = call.one_of("channel", tuple(Channel)), call.one_of("state", STATES)

    def wanted(header: Header) -> bool:
        delivery = header.delivery
        return (
            query.get("source") in (None, delivery.source)
            and channel in (None, delivery.channel)
            and state in (None, header.state)
        )

    today, first = days(hub, opened)
    page: Page = views.batches(reader_of(hub, opened), call.place(today), first, call.limit(), wanted)
    return page.document()


def batch(hub: Hub, opened: Program, segment: str) -> Document:
    """One delivery with the outcomes of its first records."""
    reader = reader_of(hub, opened)
    header = header_of(reader, segment)
    document = batch_shown(reader, header)
    if header.state == intake.WORKING:
        from retour.large import Progress

        document["progress"] = Progress.of(hub.work(opened.id, header.delivery.id)).document(hub.now())
    return document


def batch_shown(reader: Reader, header: Header) -> Document:
    opened = reader.program
    counts = header.report.get("counts")
    results = [*islice(reader.results(header), intake.LISTED if counts else None)]
    counts = counts or views.count(results)
    document = views.batch_document(header, opened, counts)
    document["outcomes"] = [views.result_document(result, opened.language) for result in results[: intake.LISTED]]
    return document


def header_of(reader: Reader, segment: str) -> Header:
    header = reader.deliveries.get(batch_id(segment))
    if header is None:
        raise not_found("There is no such batch in this program.")
    return header


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """What is handed out as a file; `url` instead where it is too large for an answer."""

    name: str
    media_type: str = "application/octet-stream"
    body: bytes = b""
    url: str = ""

    @property
    def quoted_name(self) -> str:
        return quote(self.name, safe="")


def raw(hub: Hub, opened: Program, segment: str) -> Bytes:
    reader = reader_of(hub, opened)
    header = header_of(reader, segment)
    delivery = header.delivery
    name = delivery.name or f"{delivery.id}.json"
    if header.inline is None and delivery.size > ANSWER_MAX:
        return Bytes(name=name, url=hub.inbox.presign_get(delivery.body_key, LINK_SECONDS))
    body = arrived(reader, header)
    if body is None:
        raise not_found("The file of this batch has not arrived yet.")
    return Bytes(name=name, body=body)


def arrived(reader: Reader, header: Header) -> bytes | None:
    """The raw bytes; None while the file that was announced is not there."""
    try:
        if header.inline is None:
            reader.deliveries.inbox.size(header.delivery.body_key)
        return reader.deliveries.body(header)
    except KeyError:
        return None


def result(hub: Hub, opened: Program, segment: str) -> Bytes:
    """Every record with its outcome, as CSV."""
    from retour.files import names
    from retour.files.answers import result_csv

    reader = reader_of(hub, opened)
    header = answered(reader, segment)
    name = names.result(header.delivery.name or header.delivery.id)
    if kept := kept_answer(hub, header, "result.csv", name):
        return kept
    say = partial(sentence, language=opened.language)
    return Bytes(name=name, media_type="text/csv", body=b"".join(result_csv(told(reader, header), say)))


def told(reader: Reader, header: Header) -> Iterable[Result]:
    """Every record's result; of a delivery that could not be read one line that says so."""
    results = [*reader.results(header)]
    report_ = header.report
    whole = Result(place="", outcome=Outcome.REFUSED, code=report_.get("code", ""), details=report_.get("details", {}))
    return results or ([whole] if report_.get("code") else [])


def rejected(hub: Hub, opened: Program, segment: str) -> Bytes:
    """Only the refused records, as they came."""
    from retour.answer import refused_rows
    from retour.files import names

    reader = reader_of(hub, opened)
    header = answered(reader, segment)
    delivery = header.delivery
    name = names.rejected(delivery.name or f"{delivery.id}.json")
    if kept := kept_answer(hub, header, "rejected", name):
        return kept
    results = [*reader.results(header)]
    if delivery.kind is Kind.FILE:
        return Bytes(
            name=name, body=refused_rows(hub, opened.source(delivery.source, delivery.channel), delivery, results)
        )
    places = {one.place for one in results if one.outcome is Outcome.REFUSED}
    return Bytes(name=name, media_type="application/json", body=refused_records(reader, header, places))


def refused_records(reader: Reader, header: Header, places: set[str]) -> bytes:
    """The refused records of a JSON body as a list, each exactly as it stood there."""
    from retour.channels import records

    if header.delivery.kind is not Kind.MODIFICATIONS:
        raise not_found("What a shop, Salesforce or a person sent cannot be corrected and sent again as a file.")
    rows = records.rows(reader.deliveries.body(header))
    raws = [row.raw for row in rows if row.place in places] if not isinstance(rows, Refusal) else []
    return ("[" + ",\n".join(raws) + "]\n").encode("utf-8", "surrogatepass")


def answered(reader: Reader, segment: str) -> Header:
    header = header_of(reader, segment)
    if header.delivery.kind in (Kind.PROGRAM, Kind.DECISION) or header.state in (intake.ARRIVED, intake.HELD):
        raise not_found("This batch has no result, or none yet.")
    return header


def kept_answer(hub: Hub, header: Header, what: str, name: str) -> Bytes | None:
    """What the answer of a file left in the inbox."""
    if header.delivery.kind is not Kind.FILE:
        return None
    key = outcomes.folder(header.delivery) + what
    try:
        if hub.inbox.size(key) > ANSWER_MAX:
            return Bytes(name=name, url=hub.inbox.presign_get(key, LINK_SECONDS))
        return Bytes(name=name, body=hub.inbox.read(key))
    except KeyError:
        return None


def settle(hub: Hub, call: Call, principal: Principal, opened: Program, segment: str, what: str) -> Document:
    """A person's decision on a held delivery, itself a delivery."""
    reader = reader_of(hub, opened)
    header = header_of(reader, segment)
    if header.state != intake.HELD:
        detail = f"The batch is {header.state}; only a held one can be released or discarded."
        raise Refused(409, "NOT_HELD", "Batch is not held", detail)
    note = call.document().get("note", "")
    asked = {"delivery": header.delivery.id, "decision": what, "note": str(note)[:500]}
    form = replace(call, body=json.dumps(asked).encode())
    delivery = delivery_of(form, hub, principal, opened.id, CONSOLE, Kind.DECISION, f"{what}#{header.delivery.id}")
    intake.decide(hub, delivery, form.body)
    hub.send("answers", {"program": opened.id, "delivery": header.delivery.id, "what": "batch"})
    return batch_shown(reader, header_of(reader, segment))


def replay(hub: Hub, opened: Program, segment: str) -> Document:
    """The raw bytes read again; what is recorded stays, what was lost on the way is done now."""
    reader = reader_of(hub, opened)
    header = header_of(reader, segment)
    if header.delivery.kind in (Kind.PROGRAM, Kind.DECISION) or header.state == intake.HELD:
        detail = "Programs and decisions are not read again, and a held batch is released or discarded."
        raise Refused(409, "NOT_REPLAYABLE", "Batch cannot be read again", detail)
    body = arrived(reader, header)
    if body is None:
        raise Refused(409, "NOT_ARRIVED", "File not there yet", "The file of this batch has not arrived yet.")
    if header.delivery.kind is Kind.FILE:
        intake.take_file(hub, header.delivery, body)
        hub.send("answers", {"program": opened.id, "delivery": header.delivery.id, "what": "batch"})
    else:
        intake.receive(hub, header.delivery, body)
    fresh = reader_of(hub, opened)
    return batch_shown(fresh, header_of(fresh, segment))


# Operation


def redrive(hub: Hub, principal: Principal) -> Document:
    """What was set aside is folded, and files whose news was lost are read, as many as one call has time for."""
    folded, failed = fold_parked(hub) if principal.is_admin else (0, 0)
    taken = 0
    for name in hub.programs.ids() if principal.is_admin else [principal.program]:
        for delivery in islice(hub.deliveries(name).open(), REDRIVEN_MAX - taken):
            taken += taken_up(hub, delivery)
    return {"redriven": folded + taken, "moved": {"parked": folded, "files": taken}, "failed": failed}


def fold_parked(hub: Hub) -> tuple[int, int]:
    """How many parked orders are folded now, and how many still cannot be: those stay parked."""
    folded = failed = 0
    for order, receipt in hub.received("parked", REDRIVEN_MAX):
        try:
            intake.fold_again(hub, order["program"], order["home"])
        except Exception:
            logger.exception("order stays parked", extra={"program": order["program"]})
            failed += 1
        else:
            hub.done("parked", receipt)
            folded += 1
    return folded, failed


def taken_up(hub: Hub, delivery: Delivery) -> bool:
    """Whether an open delivery whose bytes are there was taken in now; a held one waits for its person."""
    header = hub.deliveries(delivery.program).get(delivery.id)
    if header is None or header.state != intake.ARRIVED or delivery.kind is not Kind.FILE:
        return False
    try:
        hub.inbox.size(delivery.body_key)
    except KeyError:
        return False
    intake.receive(hub, arrival.lying_there(hub, header.delivery), None)
    hub.send("answers", {"program": delivery.program, "delivery": delivery.id, "what": "batch"})
    return True


def findings(hub: Hub, principal: Principal) -> Document:
    """What is well and what is not, each with what to do about it."""
    checks: list[Document] = []
    if principal.is_admin:
        checks += [queue_check(name, depth) for name, depth in hub.queue_depths().items()]
    for name in hub.programs.ids() if principal.is_admin else [principal.program]:
        opened = hub.programs.get(name)
        if opened is not None:
            checks += program_checks(hub, opened)
    return {"now": text(hub.now()), "checks": checks}


def queue_check(name: str, depth: int) -> Document:
    if name == "parked" and depth:
        return check(f"queue {name}", "warning", f"{depth} orders could not be folded", "retour redrive")
    return check(f"queue {name}", "ok", f"{depth} waiting")


def program_checks(hub: Hub, opened: Program) -> Iterator[Document]:
    deliveries = hub.deliveries(opened.id)
    waiting = [delivery.id for delivery in islice(deliveries.open(), LOOKED_AT)]
    yield check(f"{opened.id}: deliveries", "ok", f"{len(waiting)} open")
    for kind, fix in ATTENTION.items():
        listed = list(islice(deliveries.due(kind), LOOKED_AT))
        if listed:
            first = ", ".join(subject for subject, _ in listed[:3])
            state = "ok" if kind == "waiting" else "warning"
            yield check(f"{opened.id}: {kind}", state, f"{len(listed)}: {first}", fix)
    for source_ in opened.sources.values():
        wrong = [*lacking(hub, opened, source_)]
        for detail, fix in wrong:
            failed = detail.startswith("the last visit")
            yield check(f"{opened.id}: source {source_.name}", "failed" if failed else "warning", detail, fix)
        if not wrong:
            yield check(f"{opened.id}: source {source_.name}", "ok", source_.channel.value)


ATTENTION = {
    "held": "retour release ID, or retour discard ID",
    "orphan": "Their parents were reversed after these had locked: settle each with a make-good.",
    "child": "Their parents were reversed: look whether these should be, too (retour act reverse ID).",
    "waiting": "Report the actions; what waits is applied by itself.",
    "silent": "Ask the sender why nothing came.",
}


def check(name: str, state: str, detail: str, fix: str = "") -> Document:
    return {"name": name, "state": state, "detail": detail, "fix": fix}
