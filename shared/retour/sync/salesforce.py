"""Two-way sync with Salesforce: read records back, reconcile what pushes missed, write outcomes.

A source's state:

`record#<id>`        progress of a record: count of changes, digest, SystemModstamp, last statement and its order
`change#<id>#<n>`    the n-th change as read, claimed by its first reader and delivered before any later one
`watermark`          the newest SystemModstamp seen by the reconcile
`written#<id>`       what was last written back
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from retour.channels.salesforce import (
    Push,
    Resync,
    change_entry,
    current_statement,
    fields_digest,
    id18,
    is_same_id,
    mapped_fields,
    mapped_paths,
    parent_relationship,
    record_meaning,
    rows,
    undeclared_statuses,
)
from retour.channels.statements import KEEP
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.money import to_text
from retour.domain.program import Program, Source
from retour.domain.row import Ignored
from retour.domain.times import format_instant, parse_instant
from retour.intake.batch import Batch
from retour.intake.ingest import ingest
from retour.intake.undeclared_statuses import list_undeclared
from retour.remote import RemoteError
from retour.sentences import sentence
from retour.setup.clients import salesforce_client
from retour.setup.credentials import record_use
from retour.sync import Reconciled

if TYPE_CHECKING:
    from retour.remote.salesforce import WriteResult
    from retour.wiring import Hub

# Transactions commit minutes after the stamps they carry.
OVERLAP = timedelta(minutes=15)
PAUSE_WHEN_SPARING = timedelta(minutes=30)
DELIVERY_MAX = 200
TOKENS_LIVE = 2
MESSAGE_CHARS_MAX = 255
STATE_CHARS_MAX = 40
DELETED_DIGEST = "gone"
"""The digest of a record that was deleted or merged."""
STAMP_FIELDS = ("LastModifiedDate", "LastModifiedById", "SystemModstamp")


class State(Protocol):
    def get(self, key: str) -> dict[str, Any] | None: ...
    def put(self, key: str, doc: Mapping[str, Any]) -> None: ...
    def claim(self, key: str, doc: Mapping[str, Any]) -> bool: ...


# Who and where


def is_read(source: Source) -> bool:
    """Whether a source is enabled. Changes missed meanwhile are found once it is."""
    return source.channel is Channel.SALESFORCE and source.enabled


# In


def read_back(hub: "Hub", program: Program, source: Source, ids: Sequence[str], by_parent: bool = False) -> list[Batch]:
    """Read records, or with `by_parent` their children, and ingest what changed."""
    salesforce = salesforce_client(hub, program, source)
    parent = parent_relationship(source) if by_parent else None
    if parent is None:
        return ingest_records(
            hub, program, source, salesforce.read(source.options["object"], mapped_paths(source), ids)
        )
    records = salesforce.children_of(source.options["object"], mapped_paths(source), parent, ids)
    return ingest_records(hub, program, source, records)


def handle_push(
    hub: "Hub", program: Program, source: Source, ids: Sequence[str], by_parent: bool = False
) -> list[Batch]:
    """Handle a push. If Salesforce is unavailable, the read is queued for later and the error raised."""
    if not source.enabled:
        return []
    try:
        return read_back(hub, program, source, ids, by_parent)
    except RemoteError as error:
        if not error.lasting:
            message = {"program": program.id, "source": source.name, "read": list(ids), "by_parent": by_parent}
            hub.send("writebacks", message, delay_seconds=30)
        raise


def is_of_parent(source: Source, object: str) -> bool:
    """Whether a push is about the parents whose status the records have: `Order` for `Order.Status`."""
    parent = parent_relationship(source)
    return parent is not None and object != source.options["object"] and object in (parent, f"{parent[:-1]}c")


def reconcile(hub: "Hub", program: Program, source: Source, time_left: Callable[[], bool]) -> Reconciled:
    """Ingest all changes since the last reconcile, page by page. The watermark follows what is stored."""
    from retour.remote.salesforce import USAGE_LIMIT

    state = hub.state(program.id, source.name)
    mark = state.get("watermark") or {}
    if mark.get("spared_until", "") > format_instant(hub.now()):
        return Reconciled(0, 0, whole=False, spared=True)
    salesforce = salesforce_client(hub, program, source, patient=True)
    since = parse_instant(mark["modified"]) - OVERLAP if "modified" in mark else None
    seen = changed = 0
    for page in salesforce.modified_since(source.options["object"], mapped_paths(source), since):
        batches = ingest_records(hub, program, source, page)
        seen += len(page)
        changed += sum(len(batch.results) for batch in batches)
        newest = max(mark.get("modified", ""), format_instant(parse_instant(page[-1]["SystemModstamp"])))
        mark = {"modified": newest}
        spared = salesforce.usage >= USAGE_LIMIT
        state.put(
            "watermark", mark | ({"spared_until": format_instant(hub.now() + PAUSE_WHEN_SPARING)} if spared else {})
        )
        if spared or not time_left():
            return Reconciled(seen, changed, whole=False, spared=spared)
    if since is not None:
        # What is moved by its parent, and what was deleted or merged, keeps or loses its own stamp: asked for apart.
        parent, name = parent_relationship(source), source.options["object"]
        below = salesforce.children_modified_since(name, mapped_paths(source), parent, since) if parent else []
        for records in (below, salesforce.deleted_since(name, since)):
            changed += sum(len(batch.results) for batch in ingest_records(hub, program, source, records))
            seen += len(records)
    return Reconciled(seen, changed, whole=True)


def ingest_records(hub: "Hub", program: Program, source: Source, records: Sequence[Mapping[str, Any]]) -> list[Batch]:
    """Ingest the changes in these records, in deliveries of at most 200. Changes of one record keep their order.

    A record is either as read, or the id and SystemModstamp of a deleted one, with IsDeleted.
    """
    state = hub.state(program.id, source.name)
    batches: list[Batch] = []
    for start in range(0, len(records), DELIVERY_MAX):
        queues = [claim_changes(state, source, each) for each in records[start : start + DELIVERY_MAX]]
        while queues := [changes for changes in queues if changes]:
            first = [with_previous_words(state, changes.pop(0)) for changes in queues]
            telling = [change for change in first if has_rows(change, source)]
            for change in first:
                if change not in telling:
                    save_sync_state(state, source, change, refused=False)
            if telling:
                batches.append(deliver(hub, program, source, telling))
            list_undeclared_statuses(hub, program, source, first)
    return batches


def list_undeclared_statuses(
    hub: "Hub", program: Program, source: Source, changes: Sequence[Mapping[str, Any]]
) -> None:
    """List undeclared statuses, including those of records that never stated a return."""
    body = json.dumps(changes, ensure_ascii=False).encode()
    list_undeclared(hub, program.id, source, undeclared_statuses(body, source), hub.now())


def with_previous_words(state: State, change: Mapping[str, Any]) -> dict[str, Any]:
    """A change with the previous statement of its record."""
    said = (state.get(f"record#{change['id']}") or {}).get("said", {})
    gone = bool(change.get("gone"))
    return change_entry(change["id"], change["version"], change["modified"], change["fields"], said, gone=gone)


def has_rows(change: Mapping[str, Any], source: Source) -> bool:
    return not isinstance(rows(json.dumps([change]).encode(), {}, source), Ignored)


def claim_changes(state: State, source: Source, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The changes of one record not known to be delivered, oldest first: claimed ones, then the current reading.

    A reading older than a claimed one is ignored, since readers may overtake each other.
    """
    id = id18(record["Id"]) or record["Id"]
    gone = record.get("IsDeleted") is True
    fields, modified = (
        {} if gone else mapped_fields(record, source),
        format_instant(parse_instant(record["SystemModstamp"])),
    )
    now = DELETED_DIGEST if gone else fields_digest(fields)
    while True:
        known = state.get(f"record#{id}") or {"version": 0, "digest": "", "modified": ""}
        if (known["digest"], known["modified"]) == (now, modified):
            return []
        pending: list[dict[str, Any]] = []
        while claimed := state.get(change_key(id, known["version"] + 1)):
            pending.append(claimed)
            known = state_after(claimed)
        never_told = known["version"] == 0 and (gone or not has_news(fields, source))
        if known["digest"] == now and known["modified"] < modified and not pending and known["version"]:
            # It says the same, later: an older reading in between, should it come, says nothing any more.
            state.put(f"record#{id}", {**known, "modified": modified})
            return []
        if known["digest"] == now or modified < known["modified"] or never_told:
            if never_told and not gone:
                pending.append(change_entry(id, 0, modified, fields, {}))
            return pending
        change = change_entry(id, known["version"] + 1, modified, fields, {}, gone=gone)
        if state.claim(change_key(id, change["version"]), change):
            return [*pending, change]


def has_news(fields: Mapping[str, str], source: Source) -> bool:
    """Whether a record that never stated anything does so now.

    That nothing is taken is no statement then, but it is saved, so that an older reading arriving later is ignored.
    """
    meaning = record_meaning(fields, source)
    return meaning.takes != KEEP or meaning.beside is not None


def state_after(change: Mapping[str, Any]) -> dict[str, Any]:
    now = DELETED_DIGEST if change.get("gone") else fields_digest(change["fields"])
    return {"version": change["version"], "digest": now, "modified": change["modified"]}


def change_key(record: str, version: int) -> str:
    return f"change#{record}#{version:06d}"


def deliver(hub: "Hub", program: Program, source: Source, entries: Sequence[dict[str, Any]]) -> Batch:
    """Ingest changes as one delivery, at most one per record. They are marked as delivered afterwards."""
    body = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    # The same changes are the same delivery, whoever reads them again.
    versions = json.dumps([[each["id"], each["version"]] for each in entries])
    identity = hashlib.blake2b(versions.encode(), digest_size=16).hexdigest()
    batch = ingest(hub, build_delivery(hub, program, source, identity, body), body)
    save_delivered(hub, program, source, body, batch.results)
    news = outcomes_to_write(entries, batch.results, program.language)
    if news and source.options.get("write_back"):
        hub.send("writebacks", {"program": program.id, "source": source.name, "records": news})
    return batch


def save_delivered(hub: "Hub", program: Program, source: Source, body: bytes, results: Sequence[Result]) -> None:
    """Mark the records of a delivery as ingested. Also called when stored deliveries are replayed."""
    state = hub.state(program.id, source.name)
    refused = {result.place.partition("~")[0] for result in results if result.outcome is Outcome.REFUSED}
    for place, each in enumerate(json.loads(body), 1):
        save_sync_state(state, source, each, refused=str(place) in refused)


def save_sync_state(state: State, source: Source, change: Mapping[str, Any], *, refused: bool) -> None:
    """Mark a change as ingested. After a refusal the previous statement stays the last one."""
    if not change["version"]:
        return
    key = f"record#{change['id']}"
    if ((state.get(key) or {}).get("version", 0)) > change["version"]:
        return
    said = change.get("said", {}) if refused else current_statement(change, source)
    state.put(key, state_after(change) | ({"said": said} if said else {}))


def store_unreadable(hub: "Hub", program: Program, source: Source, body: bytes) -> Batch:
    """Store an authentic but unreadable message as a refused delivery, listed for a person."""
    identity = hashlib.sha256(body).hexdigest()
    return ingest(hub, build_delivery(hub, program, source, identity, body), body)


def build_delivery(hub: "Hub", program: Program, source: Source, identity: str, body: bytes) -> Delivery:
    return Delivery.create(
        body,
        received_at=hub.now(),
        program=program.id,
        channel=Channel.SALESFORCE,
        source=source.name,
        kind=DeliveryKind.SALESFORCE,
        identity=identity,
        name=source.options["object"],
        sender=source.options["org_id"],
    )


# Back


def outcomes_to_write(
    entries: Sequence[Mapping[str, Any]], results: Sequence[Result], language: str
) -> list[dict[str, Any]]:
    """The outcomes to write to the records of a delivery."""
    by_place = {result.place: result for result in results}
    told = ((each, result_at(by_place, str(place))) for place, each in enumerate(entries, 1) if not each.get("gone"))
    return [
        {"id": each["id"], "version": each["version"], **outcome_fields(result, language)}
        for each, result in told
        if result
    ]


def result_at(by_place: Mapping[str, Result], place: str) -> Result | None:
    """The result of a record's own statement, else of the one for the order it stated before."""
    return by_place.get(place) or by_place.get(f"{place}~before")


def outcome_fields(result: Result, language: str) -> dict[str, str]:
    """A result as fields of a record: its outcome, and the reason or effect."""
    outcome, effect = result.outcome, result.effect
    if outcome is Outcome.DUPLICATE and effect:
        outcome = Outcome.APPLIED
    message = sentence(result.code, result.details, language)
    if not message and effect:
        before, after = (to_text(amount, effect.currency) for amount in (effect.amount_before, effect.amount_after))
        message = f"{result.order}: {before} → {after} {effect.currency}"
    return {"state": outcome.value, "message": message}


def write_back(
    hub: "Hub", program: Program, source: Source, records: Sequence[Mapping[str, Any]]
) -> "list[WriteResult]":
    """Write outcomes to the fields a source names. Returns one result per record written.

    An outcome already written is skipped, as is an older one after a newer. Only fields that are not mapped are
    written, so our own writes never count as changes.
    """
    from retour.remote.salesforce import WRITES_MAX

    names = source.options.get("write_back") or {}
    state = hub.state(program.id, source.name)
    newest: dict[str, Mapping[str, Any]] = {}
    for record in records:
        before = newest.get(record["id"]) or state.get(f"written#{record['id']}") or {}
        version = record.get("version", before.get("version", 0))
        fresh = (before.get("state"), before.get("message")) != (record["state"], record["message"])
        if fresh and version >= before.get("version", 0):
            newest[record["id"]] = {"state": record["state"], "message": record["message"], "version": version}
    if not (hub.settings.outward and names and newest):
        return []
    results: list[WriteResult] = []
    salesforce = salesforce_client(hub, program, source, patient=True)
    ids = list(newest)
    for start in range(0, len(ids), WRITES_MAX):
        part = {
            id: write_back_values(newest[id], names, format_instant(hub.now()))
            for id in ids[start : start + WRITES_MAX]
        }
        written = salesforce.write(source.options["object"], part)
        for each in written:
            if each.ok:
                state.put(f"written#{each.record}", newest[each.record])
        results += written
    return results


def write_back_values(record: Mapping[str, Any], names: Mapping[str, str], now: str) -> dict[str, str]:
    said = {"state": record["state"][:STATE_CHARS_MAX], "message": truncate_message(record["message"]), "synced": now}
    return {field: said[name] for name, field in names.items()}


def truncate_message(message: str) -> str:
    return message if len(message) <= MESSAGE_CHARS_MAX else message[: MESSAGE_CHARS_MAX - 1] + "…"


def handle_message(hub: "Hub", message: Mapping[str, Any]) -> dict[str, Any]:
    """Handle a queued read-back of a push, or a queued write-back."""
    program = hub.program(message["program"])
    source = program.sources.get(message["source"]) if program else None
    if program is None or source is None:
        return {"dropped": "the source is gone"}
    if "read" in message:
        batches = read_back(hub, program, source, message["read"], bool(message.get("by_parent")))
        return {"changed": sum(len(batch.results) for batch in batches)}
    written = write_back(hub, program, source, message["records"])
    if any(each.later for each in written):
        raise RemoteError("SALESFORCE_BUSY")
    refused = [f"{each.record} {each.code}" for each in written if not each.ok]
    return {"written": sum(each.ok for each in written), "refused": refused}


# The doors


def authenticate(hub: "Hub", program_id: str, source_name: str, token: str) -> tuple[Program, Source] | None:
    """The program and source with this valid token. Missing, foreign and wrong tokens take equal time."""
    program = hub.program(program_id)
    source = program.sources.get(source_name) if program else None
    tokens = hub.secret(program_id, source_name).get("tokens", []) if source else []
    said = token.encode("utf-8", "surrogatepass")
    held = [hmac.compare_digest(known.encode(), said) for known in tokens[-TOKENS_LIVE:] or ["-" * 22]]
    if source is not None and not any(held):
        tokens = hub.reload_secret(program_id, source_name).get("tokens", [])
        held = [hmac.compare_digest(known.encode(), said) for known in tokens[-TOKENS_LIVE:]]
    if program is None or source is None or source.channel is not Channel.SALESFORCE or not (tokens and any(held)):
        return None
    record_use(hub, program.id, source.name, "tokens", token)
    return program, source


def listening_sources(hub: "Hub", hint: Push | Resync) -> Iterator[tuple[Program, Source]]:
    """The sources that listen to this object of this organisation, except for changes by their own user."""
    for program_id in hub.programs.ids():
        program = hub.program(program_id)
        if program is None:
            continue
        for source in filter(is_read, program.sources.values()):
            of_it = hint.object == source.options["object"] or is_of_parent(source, hint.object)
            listens = is_same_id(hint.org, source.options["org_id"]) and of_it
            own = {*source.options.get("write_back", {}).values(), *STAMP_FIELDS}
            written = isinstance(hint, Push) and hint.fields and own.issuperset(hint.fields)
            if listens and not written:
                yield program, source
