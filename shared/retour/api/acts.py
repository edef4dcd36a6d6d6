"""Acts of people on one or many actions: each change a record of channel console, each act one delivery."""

import csv
import io
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from retour.api import action_search, authorization, batches, modifications
from retour.api.calls import (
    CONSOLE_SOURCE,
    JSON_MAX,
    Call,
    ProblemError,
    decode_segment,
    not_found,
    reject_unknown_fields,
)
from retour.channels import records
from retour.domain.actions.action import Action
from retour.domain.actions.modification import Discard, Modification, Release, digest
from retour.domain.actions.order import ActionHead, Order
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.actions.replay import accepted_records, undone_ids
from retour.domain.delivery import KINDS_WITHOUT_RECORDS, Delivery, DeliveryKind
from retour.domain.program import Program
from retour.domain.row import Refusal, Row, Unreadable
from retour.intake.batch import ARRIVED, DONE, REFUSED, Batch
from retour.intake.ingest import announce_file, ingest
from retour.intake.preview import partner_changes
from retour.normalise import KEY_BYTES_MAX, Normaliser, order_key
from retour.posting.rows import post_rows
from retour.store.bulk import batched
from retour.store.deliveries import DeliveryHeader
from retour.store.dry_run_ledger import DryRunLedger
from retour.store.programs import Principal
from retour.views import documents, ledger_reader
from retour.views.documents import Document
from retour.views.ledger_reader import LedgerReader
from retour.wiring import Hub

ACTS = ("approve", "reverse", "modify", "restore", "reattribute", "undo", "reprice", "status", "raise-limit")
SINGLE_ACTION_ACTS = ("raise-limit",)
"""What is decided of one action at a time."""
RECORD_ACTS = ("undo", "release", "discard")
MODIFY_CHANGES = ("set_total", "set_quantity", "take_back")
COMMON_FIELDS = ("reference", "reason", "disposition", "note")
FIELDS_BY_ACT: Mapping[str, tuple[str, ...]] = {
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
FORM_FIELDS = tuple(
    dict.fromkeys((*COMMON_FIELDS, *(name for names in FIELDS_BY_ACT.values() for name in names), "items"))
)
"""What may be said in the form of any act."""
REQUIRED_FIELD = {
    "reattribute": "partner",
    "status": "status",
    "reverse": "reason",
    "modify": "change",
    "raise-limit": "to",
}
CHANGE_BY_ACT = {"status": "set_status", "raise-limit": "raise_limit"}
ITEM_FIELDS = ("line", "sku", "quantity", "amount")
"""What may be said of one item, where several are modified at once."""
SYNC_RECORDS_MAX = 500
"""Records that are taken in while the caller waits; more become a file, which is read like every file."""
ACTIONS_MAX = 10_000
DRY_RUN_RECORDS_MAX = 1_000
"""Records that a dry run looks at; of more it says how far it looked."""
PREVIEWED_ACTIONS_MAX = 20
"""Actions whose standing a dry run shows beside the outcomes of its records."""
BULK_FACTS = {"bulk": "1"}
"""Of a delivery that acts on many: approving does not restore what somebody reversed."""

FoundAction = tuple[Order, Action, ActionHead]


# What is asked


@dataclass(frozen=True, slots=True)
class ActForm:
    """One act with its values, as a person filled it in."""

    act: str
    values: Mapping[str, Any]
    reference: str

    def records(self, action: Action, **more: str) -> list[dict[str, Any]]:
        """The records it makes for one action: one, or one for each item it names."""
        values = {name: value for name, value in self.values.items() if name not in ("reference", "change", "items")}
        verb = {"modify": self.values.get("change"), **CHANGE_BY_ACT}.get(self.act, self.act)
        if "to" in values:
            values["quantity"] = values.pop("to")
        if "items" not in self.values:
            return [{**values, **more, **self.with_reference(""), **action_keys(action), "change": verb}]
        return [
            {
                **values,
                **item,
                **self.with_reference(f"#{number}"),
                **action_keys(action),
                "change": change_of_item(item),
            }
            for number, item in enumerate(self.values["items"], 1)
        ]

    def record_of_many(self, action: Action, **more: str) -> dict[str, Any]:
        """The record for one of several actions. Each has a reference of its own: an order may have several."""
        (made,) = self.records(action, **more)
        return made | self.with_reference(f"#{digest(action.order_key, action.id)}")

    def with_reference(self, part: str) -> dict[str, str]:
        return {"reference": f"{self.reference}{part}"} if self.reference else {}


def change_of_item(item: Mapping[str, Any]) -> str:
    """Of an item its new quantity is said, its new amount, or both."""
    return "set_quantity" if item.get("quantity") is not None else "set_total"


def parse_form(call: Call, program: Program, act: str, given: Mapping[str, Any]) -> ActForm:
    reject_unknown_fields(given, (*FIELDS_BY_ACT[act], *COMMON_FIELDS, *(("items",) if act == "modify" else ())))
    needed = REQUIRED_FIELD.get(act)
    if act == "modify" and "items" in given:
        check_items(given)
        needed = None
    elif act == "modify" and given.get("change") not in MODIFY_CHANGES:
        raise ProblemError("CHANGE_NEEDED", known=", ".join(MODIFY_CHANGES))
    if act == "reverse" and not given.get("reason"):
        raise ProblemError("REASON_NEEDED", known=", ".join(sorted(program.reasons)))
    if needed and not given.get(needed):
        raise ProblemError("FIELD_NEEDED", act=act, field=needed)
    return ActForm(act, given, reference_of(call, given))


def check_items(given: Mapping[str, Any]) -> None:
    """Several items of one action, each with its new quantity, its new amount, or both; no other values beside."""
    items = given["items"]
    beside = next((name for name in FIELDS_BY_ACT["modify"] if name in given), None)
    fit = isinstance(items, list) and 1 <= len(items) <= SYNC_RECORDS_MAX and beside is None
    if not fit or not all(isinstance(item, dict) and is_valid_item(item) for item in items):
        raise ProblemError("ITEMS_UNUSABLE", "shape")


def is_valid_item(item: Mapping[str, Any]) -> bool:
    named_ = item.get("line") is not None or item.get("sku") is not None
    return (
        set(item) <= set(ITEM_FIELDS)
        and named_
        and (item.get("quantity") is not None or item.get("amount") is not None)
    )


def reference_of(call: Call, given: Mapping[str, Any]) -> str:
    """The form's own id, else the Idempotency-Key; a long one is cut to what identifies it."""
    said = given.get("reference") or call.key
    if not isinstance(said, str) or len(said.encode("utf-8", "surrogatepass")) <= KEY_BYTES_MAX // 2:
        return said if isinstance(said, str) else str(said)
    return digest(said)


def action_keys(action: Action) -> dict[str, str]:
    found = {"order_id": action.order_id, "event_type": action.event_type}
    # A longer id is made of a long order id and the event type, which say enough.
    return found | ({"action_id": action.id} if len(action.id.encode()) <= KEY_BYTES_MAX else {})


def last_change(order: Order, action: Action, head: ActionHead) -> str:
    """The newest record that changed an action and was not undone since."""
    undone = undone_ids(accepted_records(order, head))
    for entry in reversed(head.log):
        record = order.record(entry.id)
        counts = record is not None and not isinstance(record.change, Release | Discard) and record.verb != "undo"
        if record is not None and counts and entry.outcome is Outcome.APPLIED and record.id not in undone:
            return record.public_id
    raise ProblemError("NOTHING_TO_UNDO", "action", action=action.id)


# One, or many


def act_on_action(hub: Hub, call: Call, principal: Principal, program: Program, segment: str, what: str) -> Document:
    """One person's act on one action."""
    if what not in ACTS:
        raise not_found("act", known=", ".join(ACTS))
    found = authorization.build_reader(hub, program).action(decode_segment(segment))
    if found is None:
        raise not_found("action")
    form = parse_form(call, program, what, call.document(*FORM_FIELDS))
    order, action, head = found
    undoes = {"undoes": last_change(order, action, head)} if what == "undo" and "undoes" not in form.values else {}
    return perform(hub, call, principal, program, form.records(action, **undoes), {})


def act_on_actions(hub: Hub, call: Call, principal: Principal, program: Program) -> Document:
    """One act on many actions: those named, or those a filter finds."""
    given = call.document("act", "actions", "filter", *FORM_FIELDS, most=JSON_MAX)
    what, ids, wanted = given.pop("act", None), given.pop("actions", None), given.pop("filter", None)
    if what not in ACTS or what in SINGLE_ACTION_ACTS:
        raise ProblemError("ACT_NEEDED", known=", ".join(ACTS))
    if (ids is None) == (wanted is None):
        raise ProblemError("ACTIONS_NEEDED")
    form = parse_form(call, program, what, given)
    if "items" in form.values:
        raise ProblemError("ITEMS_UNUSABLE", "many")
    reader = authorization.build_reader(hub, program)
    chosen = select_by_id(hub, reader, ids) if wanted is None else select_by_filter(hub, program, reader, wanted)
    made = [form.record_of_many(action, **more) for action in chosen for more in undo_targets(reader, form, action)]
    answer = perform_on_many(hub, call, principal, program, made, f"{what}.csv")
    return answer | ({"chosen": [action.id for action in chosen]} if call.is_dry_run and wanted is not None else {})


def undo_targets(reader: LedgerReader, form: ActForm, action: Action) -> list[dict[str, str]]:
    """What a record says beyond its form: an undo names the newest change, and there is none where nothing changed."""
    if form.act != "undo" or "undoes" in form.values:
        return [{}]
    order = reader.order(action.order_key)
    try:
        return [{"undoes": last_change(order, action, order.heads[action.id])}]
    except ProblemError:
        return []


def select_by_id(hub: Hub, reader: LedgerReader, ids: Any) -> list[Action]:
    if not isinstance(ids, list) or not 1 <= len(ids) <= ACTIONS_MAX or not all(isinstance(one, str) for one in ids):
        raise ProblemError("ACTIONS_NEEDED", "ids", most=str(ACTIONS_MAX))
    found = action_search.actions_by_id(hub, reader, ids)
    missing = [one for one in dict.fromkeys(ids) if one not in found]
    if missing:
        ids_ = ", ".join(one[:80] for one in missing[:5])
        raise ProblemError("ACTION_UNKNOWN", members={"missing": missing[:100]}, ids=ids_)
    return list(found.values())


def select_by_filter(hub: Hub, program: Program, reader: LedgerReader, wanted: Any) -> list[Action]:
    filter_ = action_search.parse_filter(wanted if isinstance(wanted, dict) else {"filter": wanted}, program)
    found = action_search.find_reported_actions(hub, reader, filter_, ACTIONS_MAX + 1)
    if len(found) > ACTIONS_MAX:
        raise ProblemError("TOO_MANY_ACTIONS_MATCH", most=str(ACTIONS_MAX))
    if not found:
        raise ProblemError("NO_ACTION_MATCHES")
    return found


def perform(
    hub: Hub,
    call: Call,
    principal: Principal,
    program: Program,
    made: Sequence[Mapping[str, Any]],
    facts: Mapping[str, str],
) -> Document:
    """The records taken in as one delivery; or, as a dry run, what that would come to."""
    if not made:
        raise ProblemError("NOTHING_TO_UNDO")
    body = json.dumps(made[0] if len(made) == 1 and not facts else made, ensure_ascii=False)
    form = replace(call, body=body.encode("utf-8", "surrogatepass"))
    identity = f"decision#{call.key or secrets.token_hex(16)}"
    delivery = authorization.build_delivery(
        form, hub, principal, program.id, CONSOLE_SOURCE, DeliveryKind.MODIFICATIONS, identity, facts=facts
    )
    if call.is_dry_run:
        return dry_run_records(hub, program, delivery, made)
    return documents.answer_document(modifications.require_readable(ingest(hub, delivery, form.body)), program.language)


def perform_on_many(
    hub: Hub,
    call: Call,
    principal: Principal,
    program: Program,
    made: Sequence[Mapping[str, Any]],
    name: str,
) -> Document:
    """Records of many actions as one delivery. Where they are too many to wait for, it is a file of this name.

    A dry run looks at the first 1,000, and says so where there are more.
    """
    if call.is_dry_run:
        answer = perform(hub, call, principal, program, made[:DRY_RUN_RECORDS_MAX], BULK_FACTS)
        looked = (
            {"looked": {"records": DRY_RUN_RECORDS_MAX, "of": len(made)}} if len(made) > DRY_RUN_RECORDS_MAX else {}
        )
        return answer | looked
    if len(made) <= SYNC_RECORDS_MAX:
        return perform(hub, call, principal, program, made, BULK_FACTS)
    form = replace(call, body=records_csv(made))
    identity = f"decision#{call.key or secrets.token_hex(16)}"
    empty = authorization.build_delivery(
        form, hub, principal, program.id, CONSOLE_SOURCE, DeliveryKind.FILE, identity, facts=BULK_FACTS
    )
    delivery = modifications.as_file(empty, name)
    announce_file(hub, delivery)
    hub.inbox.put(delivery.body_key, form.body)
    return documents.answer_document(Batch(delivery=delivery, state=ARRIVED), program.language)


def records_csv(made: Sequence[Mapping[str, Any]]) -> bytes:
    """In Retour's own layout, with the columns these records need."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [name for name in records.FIELDS if any(name in one for one in made)], restval="")
    writer.writeheader()
    writer.writerows(made)
    return text.getvalue().encode("utf-8", "surrogatepass")


# What it would come to


def dry_run_records(hub: Hub, program: Program, delivery: Delivery, made: Sequence[Mapping[str, Any]]) -> Document:
    """Each record's outcome and effect, how the first actions would stand, what the cascade would do to others, and
    what every partner would gain or lose."""
    rows: list[Row | Unreadable] = []
    for some in batched(made, records.RECORDS_MAX):
        read = records.rows(json.dumps(some, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        if isinstance(read, Refusal):
            batch = Batch(delivery=delivery, state=REFUSED, code=read.code, details=read.details)
            return documents.dry_run_document(modifications.require_readable(batch), program.language)
        rows += [replace(row, place=str(number)) for number, row in enumerate(read, len(rows) + 1)]
    source = program.source(delivery.source, delivery.channel)
    reads = list(Normaliser(program, source, delivery).modifications(rows))
    rehearsal = DryRunLedger.prefetched(
        hub.ledger(program), {read.home for _, read in reads if isinstance(read, Modification)}
    )
    results = post_rows(rehearsal, program, reads, hub.now())
    batch = Batch(delivery=delivery, state="dry run", results=results)
    return {
        **documents.dry_run_document(batch, program.language),
        "partners": partner_changes(rehearsal, program),
        "children": cascaded_changes(rehearsal, program, results),
        "standings": action_states(rehearsal, program, results),
    }


def action_states(rehearsal: DryRunLedger, program: Program, results: Sequence[Result]) -> list[Document]:
    """How the first of the actions would stand: who would be paid what, by which terms, and by those of the order."""
    found: list[Document] = []
    for action_id in list(dict.fromkeys(result.action for result in results if result.action))[:PREVIEWED_ACTIONS_MAX]:
        for key, before in rehearsal.found.items():
            action, after = before.action(action_id), rehearsal.orders[key]
            if action is not None and action_id in before.heads and action_id in after.heads:
                found.append(documents.action_state_document(after, action, before.heads[action_id], program))
    return found


def cascaded_changes(rehearsal: DryRunLedger, program: Program, results: Sequence[Result]) -> list[Document]:
    """Changes to child actions that the cascade would make."""
    named_ids = {result.modification for result in results}
    return [
        documents.modification_document(order, record, program)
        for key, order in rehearsal.orders.items()
        for record in order.records
        if record.channel == "cascade"
        and record.public_id not in named_ids
        and (key not in rehearsal.found or rehearsal.found[key].record(record.id) is None)
    ]


# Undo of a delivery; undo, release and discard of a record


def undo_batch(hub: Hub, call: Call, principal: Principal, program: Program, segment: str) -> Document:
    """A new delivery that undoes each record of one that was applied, the newest first.

    Of many records it is a file, read like every file.
    """
    reader = authorization.build_reader(hub, program)
    header = batches.find_header(reader, segment)
    said = call.document("reason", "note", "reference")
    if header.delivery.kind in KINDS_WITHOUT_RECORDS or ledger_reader.is_action_report(header.delivery):
        raise ProblemError("NOT_UNDOABLE", "kind")
    if header.state != DONE:
        raise ProblemError("NOT_UNDOABLE", "state", state=header.state)
    applied = list(applied_records(reader, header))[::-1]
    if not applied:
        raise ProblemError("NOTHING_TO_UNDO", "batch")
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
    return perform_on_many(hub, call, principal, program, made, f"undo_{header.delivery.id}.csv")


def applied_records(reader: LedgerReader, header: DeliveryHeader) -> Iterator[tuple[str, str]]:
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
        booked = found[0].booking_of(found[1].id) if found else None
        if found and booked and booked[1].outcome is Outcome.APPLIED:
            yield reported_order_id(found[0], booked[0].action), found[1].public_id


def reported_order_id(order: Order, action_id: str) -> str:
    """As it was reported: read again, it means the same order key."""
    action = order.action(action_id)
    return action.order_id if action is not None else order.key


def act_on_record(hub: Hub, call: Call, principal: Principal, program: Program, segment: str, what: str) -> Document:
    """Undo one record; or let a held one go on, or drop it."""
    if what not in RECORD_ACTS:
        raise not_found("act", known=", ".join(RECORD_ACTS))
    found = authorization.build_reader(hub, program).modification(decode_segment(segment))
    if found is None:
        raise not_found("modification")
    order, record = found
    booked = order.booking_of(record.id)
    if booked is None:
        raise ProblemError("STILL_WAITING")
    if what != "undo" and booked[1].outcome is not Outcome.HELD:
        raise ProblemError("NOT_HELD", "record", state=booked[1].outcome)
    given = call.document(*COMMON_FIELDS)
    reference = reference_of(call, given)
    made = {
        **{name: value for name, value in given.items() if name != "reference"},
        **({"reference": reference} if reference else {}),
        "order_id": reported_order_id(order, booked[0].action),
        "change": what,
        "undoes": short_public_id(record),
    }
    return perform(hub, call, principal, program, [made], {})


def short_public_id(record: Modification) -> str:
    """A public id as a record may carry it; of a very long order only the part that is unique."""
    return record.public_id if len(record.public_id.encode()) <= KEY_BYTES_MAX else f"~{record.id}"
