"""What people do to actions, one or many at once: each act a record of channel console, all of one act one delivery."""

import csv
import io
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from retour.api import admission, batches, documents, listing, modifications, reading
from retour.api.calls import CONSOLE, JSON_MAX, Call, Refused, know_fields, named, not_found
from retour.api.documents import Document
from retour.api.reading import Reader
from retour.channels import records
from retour.domain.actions.action import Action
from retour.domain.actions.modification import Discard, Modification, Release, digest
from retour.domain.actions.order import Head, Order
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.actions.replay import accepted_records, undone_ids
from retour.domain.delivery import WITHOUT_RECORDS, Delivery, Kind
from retour.domain.program import Program
from retour.domain.row import Refusal, Row, Unreadable
from retour.intake.batch import ARRIVED, DONE, REFUSED, Batch
from retour.intake.preview import partners
from retour.intake.receive import announce, receive
from retour.normalise import KEY_BYTES, Reading, order_key
from retour.posting.rows import take_rows
from retour.store.bulk import batched
from retour.store.deliveries import Header
from retour.store.programs import Principal
from retour.store.rehearsal import Rehearsal
from retour.wiring import Hub

ACTS = ("approve", "reverse", "modify", "restore", "reattribute", "undo", "reprice", "status", "raise-limit")
OF_ONE = ("raise-limit",)
"""What is decided of one action at a time."""
SETTLING = ("undo", "release", "discard")
MODIFYING = ("set_total", "set_quantity", "take_back")
COMMON = ("reference", "reason", "disposition", "note")
VALUES: Mapping[str, tuple[str, ...]] = {
    "approve": (),
    "reverse": ("sku", "line"),
    "modify": ("change", "sku", "line", "amount", "currency", "quantity"),
    "restore": ("sku", "line"),
    "reattribute": ("partner",),
    "undo": ("undoes",),
    "reprice": (),
    "status": ("status",),
    "raise-limit": ("to",),
}
"""What may be said beside the act, and what COMMON says of all."""
FORM = tuple(dict.fromkeys((*COMMON, *(name for names in VALUES.values() for name in names), "items")))
"""What may be said in the form of any act."""
NEEDED = {"reattribute": "partner", "status": "status", "reverse": "reason", "modify": "change", "raise-limit": "to"}
RECORDED_AS = {"status": "set_status", "raise-limit": "raise_limit"}
ITEM = ("line", "sku", "quantity", "amount")
"""What may be said of one item, where several are modified at once."""
AT_ONCE = 500
"""Records that are taken in while the caller waits; more become a file, which is read like every file."""
ACTIONS_MAX = 10_000
REHEARSED_MAX = 1_000
"""Records that a dry run looks at; of more it says how far it looked."""
SHOWN_MAX = 20
"""Actions whose standing a dry run shows beside the outcomes of its records."""
BULK = {"bulk": "1"}
"""Of a delivery that acts on many: approving does not restore what somebody reversed."""

Chosen = tuple[Order, Action, Head]


# What is asked


@dataclass(frozen=True, slots=True)
class Form:
    """One act with its values, as a person filled it in."""

    act: str
    values: Mapping[str, Any]
    reference: str

    def records(self, action: Action, **more: str) -> list[dict[str, Any]]:
        """The records it makes for one action: one, or one for each item it names."""
        values = {name: value for name, value in self.values.items() if name not in ("reference", "change", "items")}
        verb = {"modify": self.values.get("change"), **RECORDED_AS}.get(self.act, self.act)
        if "to" in values:
            values["quantity"] = values.pop("to")
        if "items" not in self.values:
            return [{**values, **more, **self.referred(""), **whose(action), "change": verb}]
        return [
            {**values, **item, **self.referred(f"#{number}"), **whose(action), "change": verb_of(item)}
            for number, item in enumerate(self.values["items"], 1)
        ]

    def record_of_many(self, action: Action, **more: str) -> dict[str, Any]:
        """The record for one of several actions. Each has a reference of its own: an order may have several."""
        (made,) = self.records(action, **more)
        return made | self.referred(f"#{digest(action.order_key, action.id)}")

    def referred(self, part: str) -> dict[str, str]:
        return {"reference": f"{self.reference}{part}"} if self.reference else {}


def verb_of(item: Mapping[str, Any]) -> str:
    """Of an item its new quantity is said, its new amount, or both."""
    return "set_quantity" if item.get("quantity") is not None else "set_total"


def form_of(call: Call, opened: Program, act: str, given: Mapping[str, Any]) -> Form:
    know_fields(given, (*VALUES[act], *COMMON, *(("items",) if act == "modify" else ())))
    needed = NEEDED.get(act)
    if act == "modify" and "items" in given:
        check_items(given)
        needed = None
    elif act == "modify" and given.get("change") not in MODIFYING:
        raise Refused("CHANGE_NEEDED", known=", ".join(MODIFYING))
    if act == "reverse" and not given.get("reason"):
        raise Refused("REASON_NEEDED", known=", ".join(sorted(opened.reasons)))
    if needed and not given.get(needed):
        raise Refused("FIELD_NEEDED", act=act, field=needed)
    return Form(act, given, reference_of(call, given))


def check_items(given: Mapping[str, Any]) -> None:
    """Several items of one action, each with its new quantity, its new amount, or both; no other values beside."""
    items = given["items"]
    beside = next((name for name in VALUES["modify"] if name in given), None)
    fit = isinstance(items, list) and 1 <= len(items) <= AT_ONCE and beside is None
    if not fit or not all(isinstance(item, dict) and is_item(item) for item in items):
        raise Refused("ITEMS_UNUSABLE", "shape")


def is_item(item: Mapping[str, Any]) -> bool:
    named_ = item.get("line") is not None or item.get("sku") is not None
    return set(item) <= set(ITEM) and named_ and (item.get("quantity") is not None or item.get("amount") is not None)


def reference_of(call: Call, given: Mapping[str, Any]) -> str:
    """The form's own id, else the Idempotency-Key; a long one is cut to what identifies it."""
    said = given.get("reference") or call.key
    if not isinstance(said, str) or len(said.encode("utf-8", "surrogatepass")) <= KEY_BYTES // 2:
        return said if isinstance(said, str) else str(said)
    return digest(said)


def whose(action: Action) -> dict[str, str]:
    found = {"order_id": action.order_id, "event_type": action.event_type}
    # A longer id is made of a long order id and the event type, which say enough.
    return found | ({"action_id": action.id} if len(action.id.encode()) <= KEY_BYTES else {})


def last_change(order: Order, action: Action, head: Head) -> str:
    """The newest record that changed an action and was not undone since."""
    undone = undone_ids(accepted_records(order, head))
    for entry in reversed(head.log):
        record = order.record(entry.id)
        counts = record is not None and not isinstance(record.change, Release | Discard) and record.verb != "undo"
        if record is not None and counts and entry.outcome is Outcome.APPLIED and record.id not in undone:
            return record.public_id
    raise Refused("NOTHING_TO_UNDO", "action", action=action.id)


# One, or many


def act(hub: Hub, call: Call, principal: Principal, opened: Program, segment: str, what: str) -> Document:
    """One person's act on one action."""
    if what not in ACTS:
        raise not_found("act", known=", ".join(ACTS))
    found = admission.reader_of(hub, opened).action(named(segment))
    if found is None:
        raise not_found("action")
    form = form_of(call, opened, what, call.document(*FORM))
    order, action, head = found
    undoes = {"undoes": last_change(order, action, head)} if what == "undo" and "undoes" not in form.values else {}
    return carried_out(hub, call, principal, opened, form.records(action, **undoes), {})


def acts(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    """One act on many actions: those named, or those a filter finds."""
    given = call.document("act", "actions", "filter", *FORM, most=JSON_MAX)
    what, ids, wanted = given.pop("act", None), given.pop("actions", None), given.pop("filter", None)
    if what not in ACTS or what in OF_ONE:
        raise Refused("ACT_NEEDED", known=", ".join(ACTS))
    if (ids is None) == (wanted is None):
        raise Refused("ACTIONS_NEEDED")
    form = form_of(call, opened, what, given)
    if "items" in form.values:
        raise Refused("ITEMS_UNUSABLE", "many")
    reader = admission.reader_of(hub, opened)
    chosen = named_actions(hub, reader, ids) if wanted is None else filtered_actions(hub, opened, reader, wanted)
    made = [form.record_of_many(action, **more) for action in chosen for more in besides(reader, form, action)]
    answer = carried_out_on_many(hub, call, principal, opened, made, f"{what}.csv")
    return answer | ({"chosen": [action.id for action in chosen]} if call.is_dry_run and wanted is not None else {})


def besides(reader: Reader, form: Form, action: Action) -> list[dict[str, str]]:
    """What a record says beyond its form: an undo names the newest change, and there is none where nothing changed."""
    if form.act != "undo" or "undoes" in form.values:
        return [{}]
    order = reader.order(action.order_key)
    try:
        return [{"undoes": last_change(order, action, order.heads[action.id])}]
    except Refused:
        return []


def named_actions(hub: Hub, reader: Reader, ids: Any) -> list[Action]:
    if not isinstance(ids, list) or not 1 <= len(ids) <= ACTIONS_MAX or not all(isinstance(one, str) for one in ids):
        raise Refused("ACTIONS_NEEDED", "ids", most=str(ACTIONS_MAX))
    found = listing.named(hub, reader, ids)
    missing = [one for one in dict.fromkeys(ids) if one not in found]
    if missing:
        ids_ = ", ".join(one[:80] for one in missing[:5])
        raise Refused("ACTION_UNKNOWN", members={"missing": missing[:100]}, ids=ids_)
    return list(found.values())


def filtered_actions(hub: Hub, opened: Program, reader: Reader, wanted: Any) -> list[Action]:
    filter_ = listing.filter_of(wanted if isinstance(wanted, dict) else {"filter": wanted}, opened)
    found = listing.matching(hub, reader, filter_, ACTIONS_MAX + 1)
    if len(found) > ACTIONS_MAX:
        raise Refused("TOO_MANY_ACTIONS_MATCH", most=str(ACTIONS_MAX))
    if not found:
        raise Refused("NO_ACTION_MATCHES")
    return found


def carried_out(
    hub: Hub,
    call: Call,
    principal: Principal,
    opened: Program,
    made: Sequence[Mapping[str, Any]],
    facts: Mapping[str, str],
) -> Document:
    """The records taken in as one delivery; or, as a dry run, what that would come to."""
    if not made:
        raise Refused("NOTHING_TO_UNDO")
    body = json.dumps(made[0] if len(made) == 1 and not facts else made, ensure_ascii=False)
    form = replace(call, body=body.encode("utf-8", "surrogatepass"))
    identity = f"decision#{call.key or secrets.token_hex(16)}"
    delivery = admission.delivery_of(
        form, hub, principal, opened.id, CONSOLE, Kind.MODIFICATIONS, identity, facts=facts
    )
    if call.is_dry_run:
        return rehearsed(hub, opened, delivery, made)
    return documents.answer_document(modifications.readable(receive(hub, delivery, form.body)), opened.language)


def carried_out_on_many(
    hub: Hub,
    call: Call,
    principal: Principal,
    opened: Program,
    made: Sequence[Mapping[str, Any]],
    name: str,
) -> Document:
    """Records of many actions as one delivery. Where they are too many to wait for, it is a file of this name.

    A dry run looks at the first 1,000, and says so where there are more.
    """
    if call.is_dry_run:
        answer = carried_out(hub, call, principal, opened, made[:REHEARSED_MAX], BULK)
        looked = {"looked": {"records": REHEARSED_MAX, "of": len(made)}} if len(made) > REHEARSED_MAX else {}
        return answer | looked
    if len(made) <= AT_ONCE:
        return carried_out(hub, call, principal, opened, made, BULK)
    form = replace(call, body=as_csv(made))
    identity = f"decision#{call.key or secrets.token_hex(16)}"
    empty = admission.delivery_of(form, hub, principal, opened.id, CONSOLE, Kind.FILE, identity, facts=BULK)
    delivery = modifications.as_file(empty, name)
    announce(hub, delivery)
    hub.inbox.put(delivery.body_key, form.body)
    return documents.answer_document(Batch(delivery=delivery, state=ARRIVED), opened.language)


def as_csv(made: Sequence[Mapping[str, Any]]) -> bytes:
    """In Retour's own layout, with the columns these records need."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [name for name in records.FIELDS if any(name in one for one in made)], restval="")
    writer.writeheader()
    writer.writerows(made)
    return text.getvalue().encode("utf-8", "surrogatepass")


# What it would come to


def rehearsed(hub: Hub, opened: Program, delivery: Delivery, made: Sequence[Mapping[str, Any]]) -> Document:
    """Each record's outcome and effect, how the first actions would stand, what the cascade would do to others, and
    what every partner would gain or lose."""
    rows: list[Row | Unreadable] = []
    for some in batched(made, records.RECORDS_MAX):
        read = records.rows(json.dumps(some, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        if isinstance(read, Refusal):
            batch = Batch(delivery=delivery, state=REFUSED, code=read.code, details=read.details)
            return documents.rehearsal_document(modifications.readable(batch), opened.language)
        rows += [replace(row, place=str(number)) for number, row in enumerate(read, len(rows) + 1)]
    source = opened.source(delivery.source, delivery.channel)
    reads = list(Reading(opened, source, delivery).modifications(rows))
    rehearsal = Rehearsal.ahead(hub.ledger(opened), {read.home for _, read in reads if isinstance(read, Modification)})
    results = take_rows(rehearsal, opened, reads, hub.now())
    batch = Batch(delivery=delivery, state="dry run", results=results)
    return {
        **documents.rehearsal_document(batch, opened.language),
        "partners": partners(rehearsal, opened),
        "children": children(rehearsal, opened, results),
        "standings": standings(rehearsal, opened, results),
    }


def standings(rehearsal: Rehearsal, opened: Program, results: Sequence[Result]) -> list[Document]:
    """How the first of the actions would stand: who would be paid what, by which terms, and by those of the order."""
    found: list[Document] = []
    for action_id in list(dict.fromkeys(result.action for result in results if result.action))[:SHOWN_MAX]:
        for key, before in rehearsal.found.items():
            action, after = before.action(action_id), rehearsal.orders[key]
            if action is not None and action_id in before.heads and action_id in after.heads:
                found.append(documents.standing_document(after, action, before.heads[action_id], opened))
    return found


def children(rehearsal: Rehearsal, opened: Program, results: Sequence[Result]) -> list[Document]:
    """What the cascade would do to actions that nobody named."""
    named_ids = {result.modification for result in results}
    return [
        documents.modification_document(order, record, opened)
        for key, order in rehearsal.orders.items()
        for record in order.records
        if record.channel == "cascade"
        and record.public_id not in named_ids
        and (key not in rehearsal.found or rehearsal.found[key].record(record.id) is None)
    ]


# Undo of a delivery; undo, release and discard of a record


def undo_batch(hub: Hub, call: Call, principal: Principal, opened: Program, segment: str) -> Document:
    """A new delivery that undoes each record of one that was applied, the newest first.

    Of many records it is a file, read like every file.
    """
    reader = admission.reader_of(hub, opened)
    header = batches.header_of(reader, segment)
    said = call.document("reason", "note", "reference")
    if header.delivery.kind in WITHOUT_RECORDS or reading.is_of_actions(header.delivery):
        raise Refused("NOT_UNDOABLE", "kind")
    if header.state != DONE:
        raise Refused("NOT_UNDOABLE", "state", state=header.state)
    applied = list(applied_of(reader, header))[::-1]
    if not applied:
        raise Refused("NOTHING_TO_UNDO", "batch")
    about = {name: str(said[name]) for name in ("reason", "note") if said.get(name)}
    reference = reference_of(call, said)
    made = [
        {
            "order_id": order_id,
            "change": "undo",
            "undoes": modification,
            **about,
            **({"reference": f"{reference}#{digest(modification)}"} if reference else {}),
        }
        for order_id, modification in applied
    ]
    return carried_out_on_many(hub, call, principal, opened, made, f"undo_{header.delivery.id}.csv")


def applied_of(reader: Reader, header: Header) -> Iterator[tuple[str, str]]:
    """Order id and public id of each record of a delivery that was applied, by now."""
    for result in reader.results(header):
        if not result.modification or result.outcome not in (Outcome.APPLIED, Outcome.WAITING, Outcome.HELD):
            continue
        home = result.modification.rpartition("~")[0]
        reads_the_same = not home.startswith("@") and order_key(home, reader.program.order_key) == home
        if result.outcome is Outcome.APPLIED and reads_the_same:
            yield home, result.modification
            continue
        found = reader.modification(result.modification)
        booked = found[0].booked(found[1].id) if found else None
        if found and booked and booked[1].outcome is Outcome.APPLIED:
            yield order_id_of(found[0], booked[0].action), found[1].public_id


def order_id_of(order: Order, action_id: str) -> str:
    """As it was reported: read again, it means the same order key."""
    action = order.action(action_id)
    return action.order_id if action is not None else order.key


def settle(hub: Hub, call: Call, principal: Principal, opened: Program, segment: str, what: str) -> Document:
    """Undo one record; or let a held one go on, or drop it."""
    if what not in SETTLING:
        raise not_found("act", known=", ".join(SETTLING))
    found = admission.reader_of(hub, opened).modification(named(segment))
    if found is None:
        raise not_found("modification")
    order, record = found
    booked = order.booked(record.id)
    if booked is None:
        raise Refused("STILL_WAITING")
    if what != "undo" and booked[1].outcome is not Outcome.HELD:
        raise Refused("NOT_HELD", "record", state=booked[1].outcome)
    given = call.document(*COMMON)
    reference = reference_of(call, given)
    made = {
        **{name: value for name, value in given.items() if name != "reference"},
        **({"reference": reference} if reference else {}),
        "order_id": order_id_of(order, booked[0].action),
        "change": what,
        "undoes": named_by(record),
    }
    return carried_out(hub, call, principal, opened, [made], {})


def named_by(record: Modification) -> str:
    """A public id as a record may carry it; of a very long order only the part that is unique."""
    return record.public_id if len(record.public_id.encode()) <= KEY_BYTES else f"~{record.id}"
