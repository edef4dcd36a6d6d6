"""Acts of people on one or many actions: each change a record of channel console, each act one delivery."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, cast

from retour.channels import records
from retour.commands.delivery import CONSOLE_SOURCE, build_delivery, identity_of, queue_as_file, require_readable
from retour.context import Context
from retour.domain.actions.action import Action
from retour.domain.actions.modification import Discard, Modification, Release, digest
from retour.domain.actions.order import ActionHead, Order
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.replay import accepted_records, undone_ids
from retour.domain.delivery import KINDS_WITHOUT_RECORDS, Delivery, DeliveryKind
from retour.domain.row import Refusal, Row, Unreadable
from retour.errors import ConflictError, InvalidRequestError, NotFoundError
from retour.intake.batch import DONE, REFUSED, Batch
from retour.intake.ingest import ingest
from retour.normalise import KEY_BYTES_MAX, Normaliser, order_key
from retour.posting.rows import post_rows
from retour.previews.act import ActPreview
from retour.store.bulk import batched
from retour.store.deliveries import DeliveryHeader
from retour.store.dry_run_ledger import DryRunLedger
from retour.views import action_search, ledger_reader
from retour.views.action_search import ActionFilter
from retour.views.deliveries import find_header
from retour.views.ledger_reader import LedgerReader, build_reader
from retour.views.parameters import reject_unknown_fields
from retour.wiring import Hub

ACTS = ("approve", "reverse", "modify", "restore", "reattribute", "undo", "reprice", "status", "raise-limit")
SINGLE_ACTION_ACTS = ("raise-limit",)
"""Acts on a single action only."""
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
"""Fields of each act, besides those in COMMON."""
FORM_FIELDS = tuple(
    dict.fromkeys((*COMMON_FIELDS, *(name for names in FIELDS_BY_ACT.values() for name in names), "items"))
)
"""Fields of every act."""
REQUIRED_FIELD = {
    "reattribute": "partner",
    "status": "status",
    "reverse": "reason",
    "modify": "change",
    "raise-limit": "to",
}
CHANGE_BY_ACT = {"status": "set_status", "raise-limit": "raise_limit"}
ITEM_FIELDS = ("line", "sku", "quantity", "amount")
"""Fields of an item, if several are modified at once."""
SYNC_RECORDS_MAX = 500
"""Records processed synchronously. More are stored as a file."""
ACTIONS_MAX = 10_000
DRY_RUN_RECORDS_MAX = 1_000
"""Records a dry run simulates. Beyond that it reports how many it covered."""
BULK_FACTS = {"bulk": "1"}
"""Fact of a bulk act, in which approving does not restore reversed actions (spec 5.2)."""


class ActValues(TypedDict, total=False):
    """The values of an act as entered. They are parsed like those of a row."""

    reference: Any
    reason: Any
    disposition: Any
    note: Any
    sku: Any
    line: Any
    change: Any
    amount: Any
    currency: Any
    quantity: Any
    partner: Any
    undoes: Any
    status: Any
    to: Any
    items: Any


def as_values(given: Mapping[str, Any]) -> ActValues:
    """Convert a body or form. Unknown names are rejected when the act is performed."""
    return cast(ActValues, dict(given))


# Commands


@dataclass(frozen=True, slots=True)
class ActOnAction:
    """An act on one action."""

    action_id: str
    act: str
    values: ActValues


@dataclass(frozen=True, slots=True)
class ActOnActions:
    """An act on many actions, given by id or by a filter."""

    chosen: Sequence[str] | ActionFilter
    act: str
    values: ActValues


@dataclass(frozen=True, slots=True)
class ActOnRecord:
    """Undo a record, or release or discard a held one."""

    record_id: str
    act: str
    values: ActValues


@dataclass(frozen=True, slots=True)
class UndoBatch:
    """Undo every applied record of a delivery, newest first."""

    delivery_id: str
    values: ActValues


Act = ActOnAction | ActOnActions | ActOnRecord | UndoBatch


@dataclass(frozen=True, slots=True)
class Plan:
    """The records of an act, as one delivery.

    `file_name` is the name of the file they become if there are too many to process synchronously. `chosen` are the
    actions found by a filter.
    """

    records: Sequence[Mapping[str, Any]]
    file_name: str = ""
    chosen: Sequence[str] = ()

    @property
    def facts(self) -> Mapping[str, str]:
        return BULK_FACTS if self.file_name else {}


def perform(context: Context[Hub], act: Act) -> Batch:
    """Ingest the records of an act as one delivery, or as a file if there are many."""
    return perform_plan(context, plan_act(context, act))


def preview(context: Context[Hub], act: Act) -> ActPreview:
    """Simulate an act. At most DRY_RUN_RECORDS_MAX records are simulated."""
    return preview_plan(context, plan_act(context, act))


def plan_act(context: Context[Hub], act: Act) -> Plan:
    match act:
        case ActOnAction():
            return plan_for_action(context, act)
        case ActOnActions():
            return plan_for_actions(context, act)
        case ActOnRecord():
            return plan_for_record(context, act)
        case UndoBatch():
            return plan_undo_of_batch(context, act)


def perform_plan(context: Context[Hub], plan: Plan) -> Batch:
    if len(plan.records) > SYNC_RECORDS_MAX and plan.file_name:
        body = records_csv(plan.records)
        delivery = build_delivery(
            context, body, CONSOLE_SOURCE, DeliveryKind.FILE, identity_of(context, "decision"), facts=plan.facts
        )
        return queue_as_file(context.ports, delivery, plan.file_name, body)
    delivery, body = plan_delivery(context, plan)
    return require_readable(ingest(context.ports, delivery, body))


def plan_delivery(context: Context[Hub], plan: Plan) -> tuple[Delivery, bytes]:
    made = plan.records
    if not made:
        raise ConflictError("NOTHING_TO_UNDO")
    text = json.dumps(made[0] if len(made) == 1 and not plan.facts else made, ensure_ascii=False)
    body = text.encode("utf-8", "surrogatepass")
    identity = identity_of(context, "decision")
    delivery = build_delivery(context, body, CONSOLE_SOURCE, DeliveryKind.MODIFICATIONS, identity, facts=plan.facts)
    return delivery, body


def preview_plan(context: Context[Hub], plan: Plan) -> ActPreview:
    looked = replace(plan, records=plan.records[:DRY_RUN_RECORDS_MAX]) if plan.file_name else plan
    delivery, _ = plan_delivery(context, looked)
    rows: list[Row | Unreadable] = []
    for some in batched(looked.records, records.RECORDS_MAX):
        read = records.rows(json.dumps(some, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        if isinstance(read, Refusal):
            require_readable(Batch(delivery=delivery, state=REFUSED, code=read.code, details=read.details))
        else:
            rows += [replace(row, place=str(number)) for number, row in enumerate(read, len(rows) + 1)]
    hub, program = context.ports, context.program
    source = program.source(delivery.source, delivery.channel)
    reads = list(Normaliser(program, source, delivery).modifications(rows))
    rehearsal = DryRunLedger.prefetched(
        hub.ledger(program), {read.home for _, read in reads if isinstance(read, Modification)}
    )
    results = post_rows(rehearsal, program, reads, context.now())
    return ActPreview(
        batch=Batch(delivery=delivery, state="dry run", results=results),
        rehearsal=rehearsal,
        records=len(plan.records),
        looked=len(looked.records),
        chosen=plan.chosen,
    )


def records_csv(made: Sequence[Mapping[str, Any]]) -> bytes:
    """The records in Retour's own CSV layout, with only the columns they need."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [name for name in records.FIELDS if any(name in one for one in made)], restval="")
    writer.writeheader()
    writer.writerows(made)
    return text.getvalue().encode("utf-8", "surrogatepass")


# Records of one action or of many


@dataclass(frozen=True, slots=True)
class ActForm:
    """An act with its values."""

    act: str
    values: ActValues
    reference: str

    def records(self, action: Action, **more: str) -> list[dict[str, Any]]:
        """The records for one action: one, or one per item."""
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
        """The record for one of several actions, with a reference of its own."""
        (made,) = self.records(action, **more)
        return made | self.with_reference(f"#{digest(action.order_key, action.id)}")

    def with_reference(self, part: str) -> dict[str, str]:
        return {"reference": f"{self.reference}{part}"} if self.reference else {}


def change_of_item(item: Mapping[str, Any]) -> str:
    """The change of an item with a new quantity, a new amount, or both."""
    return "set_quantity" if item.get("quantity") is not None else "set_total"


def check_form(context: Context[Hub], act: str, values: ActValues) -> ActForm:
    fields = (*FIELDS_BY_ACT[act], *COMMON_FIELDS, *(("items",) if act == "modify" else ()))
    reject_unknown_fields(values, fields)
    needed = REQUIRED_FIELD.get(act)
    if act == "modify" and "items" in values:
        check_items(values)
        needed = None
    elif act == "modify" and values.get("change") not in MODIFY_CHANGES:
        raise InvalidRequestError("CHANGE_NEEDED", known=", ".join(MODIFY_CHANGES))
    if act == "reverse" and not values.get("reason"):
        raise InvalidRequestError("REASON_NEEDED", known=", ".join(sorted(context.program.reasons)))
    if needed and not values.get(needed):
        raise InvalidRequestError("FIELD_NEEDED", act=act, field=needed)
    return ActForm(act, values, reference_of(context, values))


def check_items(values: ActValues) -> None:
    """Validate several items of an action, which exclude other values."""
    items = values["items"]
    beside = next((name for name in FIELDS_BY_ACT["modify"] if name in values), None)
    fit = isinstance(items, list) and 1 <= len(items) <= SYNC_RECORDS_MAX and beside is None
    if not fit or not all(isinstance(item, dict) and is_valid_item(item) for item in items):
        raise InvalidRequestError("ITEMS_UNUSABLE", "shape")


def is_valid_item(item: Mapping[str, Any]) -> bool:
    named_ = item.get("line") is not None or item.get("sku") is not None
    return (
        set(item) <= set(ITEM_FIELDS)
        and named_
        and (item.get("quantity") is not None or item.get("amount") is not None)
    )


def reference_of(context: Context[Hub], values: ActValues) -> str:
    """The form id, else the request's key, shortened if necessary."""
    said = values.get("reference") or context.key
    if not isinstance(said, str) or len(said.encode("utf-8", "surrogatepass")) <= KEY_BYTES_MAX // 2:
        return said if isinstance(said, str) else str(said)
    return digest(said)


def action_keys(action: Action) -> dict[str, str]:
    found = {"order_id": action.order_id, "event_type": action.event_type}
    # Only ids made of a long order id and an event type are longer.
    return found | ({"action_id": action.id} if len(action.id.encode()) <= KEY_BYTES_MAX else {})


def last_change(order: Order, head: ActionHead) -> str:
    """The newest record that changed an action and was not undone; empty if there is none."""
    undone = undone_ids(accepted_records(order, head))
    for entry in reversed(head.log):
        record = order.record(entry.id)
        counts = record is not None and not isinstance(record.change, Release | Discard) and record.verb != "undo"
        if record is not None and counts and entry.outcome is Outcome.APPLIED and record.id not in undone:
            return record.public_id
    return ""


def plan_for_action(context: Context[Hub], asked: ActOnAction) -> Plan:
    if asked.act not in ACTS:
        raise NotFoundError("act", known=", ".join(ACTS))
    found = build_reader(context.ports, context.program).action(asked.action_id)
    if found is None:
        raise NotFoundError("action")
    form = check_form(context, asked.act, asked.values)
    order, action, head = found
    if asked.act != "undo" or "undoes" in form.values:
        return Plan(form.records(action))
    if not (newest := last_change(order, head)):
        raise ConflictError("NOTHING_TO_UNDO", "action", action=action.id)
    return Plan(form.records(action, undoes=newest))


def plan_for_actions(context: Context[Hub], asked: ActOnActions) -> Plan:
    if asked.act not in ACTS or asked.act in SINGLE_ACTION_ACTS:
        raise InvalidRequestError("ACT_NEEDED", known=", ".join(ACTS))
    form = check_form(context, asked.act, asked.values)
    if "items" in form.values:
        raise InvalidRequestError("ITEMS_UNUSABLE", "many")
    hub, reader = context.ports, build_reader(context.ports, context.program)
    by_filter = isinstance(asked.chosen, ActionFilter)
    found = (
        select_by_filter(hub, reader, asked.chosen)
        if isinstance(asked.chosen, ActionFilter)
        else select_by_id(hub, reader, asked.chosen)
    )
    made = [form.record_of_many(action, **more) for action in found for more in undo_targets(reader, form, action)]
    return Plan(made, f"{asked.act}.csv", [action.id for action in found] if by_filter else ())


def undo_targets(reader: LedgerReader, form: ActForm, action: Action) -> list[dict[str, str]]:
    """The record an undo refers to: the newest change; none if nothing changed."""
    if form.act != "undo" or "undoes" in form.values:
        return [{}]
    order = reader.order(action.order_key)
    newest = last_change(order, order.heads[action.id])
    return [{"undoes": newest}] if newest else []


def select_by_id(hub: Hub, reader: LedgerReader, ids: Sequence[str]) -> list[Action]:
    if not 1 <= len(ids) <= ACTIONS_MAX:
        raise InvalidRequestError("ACTIONS_NEEDED", "ids", most=str(ACTIONS_MAX))
    found = action_search.actions_by_id(hub, reader, ids)
    missing = [one for one in dict.fromkeys(ids) if one not in found]
    if missing:
        ids_ = ", ".join(one[:80] for one in missing[:5])
        raise InvalidRequestError("ACTION_UNKNOWN", members={"missing": missing[:100]}, ids=ids_)
    return list(found.values())


def select_by_filter(hub: Hub, reader: LedgerReader, filter_: ActionFilter) -> list[Action]:
    found = action_search.find_reported_actions(hub, reader, filter_, ACTIONS_MAX + 1)
    if len(found) > ACTIONS_MAX:
        raise InvalidRequestError("TOO_MANY_ACTIONS_MATCH", most=str(ACTIONS_MAX))
    if not found:
        raise InvalidRequestError("NO_ACTION_MATCHES")
    return found


# Undo a delivery; undo, release or discard a record


def plan_undo_of_batch(context: Context[Hub], asked: UndoBatch) -> Plan:
    reader = build_reader(context.ports, context.program)
    header = find_header(reader, asked.delivery_id)
    if header.delivery.kind in KINDS_WITHOUT_RECORDS or ledger_reader.is_action_report(header.delivery):
        raise ConflictError("NOT_UNDOABLE", "kind")
    if header.state != DONE:
        raise ConflictError("NOT_UNDOABLE", "state", state=header.state)
    applied = list(applied_records(reader, header))[::-1]
    if not applied:
        raise ConflictError("NOTHING_TO_UNDO", "batch")
    about = {name: str(asked.values[name]) for name in ("reason", "note") if asked.values.get(name)}
    reference = reference_of(context, asked.values)
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
    return Plan(made, f"undo_{header.delivery.id}.csv")


def applied_records(reader: LedgerReader, header: DeliveryHeader) -> Iterator[tuple[str, str]]:
    """Order id and public id of each applied record of a delivery."""
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
    """The order id as reported, which gives the same order key when parsed."""
    action = order.action(action_id)
    return action.order_id if action is not None else order.key


def plan_for_record(context: Context[Hub], asked: ActOnRecord) -> Plan:
    if asked.act not in RECORD_ACTS:
        raise NotFoundError("act", known=", ".join(RECORD_ACTS))
    found = build_reader(context.ports, context.program).modification(asked.record_id)
    if found is None:
        raise NotFoundError("modification")
    order, record = found
    booked = order.booking_of(record.id)
    if booked is None:
        raise ConflictError("STILL_WAITING")
    if asked.act != "undo" and booked[1].outcome is not Outcome.HELD:
        raise ConflictError("NOT_HELD", "record", state=booked[1].outcome)
    reference = reference_of(context, asked.values)
    made = {
        **{name: value for name, value in asked.values.items() if name != "reference"},
        **({"reference": reference} if reference else {}),
        "order_id": reported_order_id(order, booked[0].action),
        "change": asked.act,
        "undoes": short_public_id(record),
    }
    return Plan([made])


def short_public_id(record: Modification) -> str:
    """A public id short enough for a record; of a very long order only the unique part."""
    return record.public_id if len(record.public_id.encode()) <= KEY_BYTES_MAX else f"~{record.id}"
