"""What people do with money: each act is a delivery, stored before it is carried out, and carried out from that alone.

An act says everything that it does: a proposal its transfers, an approval what it approves. So whoever reads the
stored acts again, in their order, finds the same batches, even before any statement was made again. What a worker left
undone, the next goes on with; an act that is carried out twice changes nothing.
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from retour.domain.delivery import Delivery, DeliveryKind
from retour.domain.funding.payments import (
    BatchState,
    Confirmation,
    PaymentState,
    Transfer,
    next_state,
    transfer_from,
)
from retour.domain.program import Program
from retour.domain.times import format_instant
from retour.ports import ReadPorts
from retour.store.payments import ACCOUNT, GROUP_ACCOUNT, TREATMENT, Payments

if TYPE_CHECKING:
    from datetime import date


Document = dict[str, Any]
HasTime = Callable[[], bool]
OPEN, DONE, REFUSED = "arriving", "done", "refused"
APPLIED, UNCHANGED = "applied", "unchanged"


def perform(ports: ReadPorts, delivery: Delivery, body: bytes, has_time: HasTime = lambda: True) -> Document:
    """Store an act, then carry it out; what became of it. Without time for all of it, `state` is `arriving`, and the
    clock goes on with it."""
    stored = ports.deliveries(delivery.program).put(delivery, body, OPEN, {})
    return carry_out(ports, stored, body, has_time)


def take_up_open(ports: ReadPorts, program: Program, has_time: HasTime) -> int:
    """Go on with the acts that nobody ended; how many are ended now."""
    deliveries, ended = ports.deliveries(program.id), 0
    for delivery in [one for one in deliveries.open(OPEN) if one.kind is DeliveryKind.MONEY]:
        header = deliveries.get(delivery.id)
        if not has_time() or header is None:
            break
        ended += carry_out(ports, header.delivery, deliveries.body(header), has_time)["state"] != OPEN
    return ended


def carry_out(ports: ReadPorts, delivery: Delivery, body: bytes, has_time: HasTime = lambda: True) -> Document:
    act: Document = json.loads(body)
    found = ACTS[act["act"]](ports.payments(delivery.program), delivery, act, has_time)
    if found["state"] != OPEN:
        report: Document = {name: found[name] for name in ("code", "details", "counts") if name in found}
        ports.deliveries(delivery.program).close(delivery, report, found["state"])
    return found


def refused(code: str, **details: str) -> Document:
    return {"state": REFUSED, "code": code, "details": details}


# Who is paid


def keep_account(payments: Payments, delivery: Delivery, act: Document, _has_time: HasTime) -> Document:
    """`owner` is `partner/…` or `group/…`; the account itself lies closed elsewhere."""
    kind, _, owner = act["owner"].partition("/")
    payments.put_payee(ACCOUNT if kind == "partner" else GROUP_ACCOUNT, owner, known(delivery, act["account"]))
    return {"state": DONE}


def keep_treatment(payments: Payments, delivery: Delivery, act: Document, _has_time: HasTime) -> Document:
    payments.put_payee(TREATMENT, act["partner"], known(delivery, act["tax"]))
    return {"state": DONE}


def known(delivery: Delivery, doc: Mapping[str, Any]) -> Document:
    return {**doc, "at": format_instant(delivery.received_at), "by": delivery.sender, "delivery": delivery.id}


# Batches


def put_proposal(payments: Payments, delivery: Delivery, act: Document, _has_time: HasTime) -> Document:
    head = {**act["head"], **known(delivery, {})}
    payments.put_batch(act["batch"], head, act["transfers"], act["left_out"])
    return {"state": DONE}


def approve(payments: Payments, delivery: Delivery, act: Document, has_time: HasTime) -> Document:
    """The batch is approved if nobody approved another since it was looked at; then its statements are in payment."""
    id_ = act["batch"]
    head = payments.batch(id_)
    if head is None or head["contents"] != act["contents"]:
        return refused("BATCH_CHANGED")
    standing = payments.approval(id_)
    if standing is None and payments.approve(id_, known(delivery, {"contents": act["contents"]}), act["after"]):
        standing = payments.approval(id_)
    standing = standing or payments.approval(id_)
    if standing is None or standing["delivery"] != delivery.id:
        return refused("BATCH_APPROVED" if standing else "PAYMENTS_MOVED")
    payments.note_act(standing["at"], "approve", id_, delivery.id)
    for one in transfers(payments, id_):
        if not has_time():
            return {"state": OPEN}
        states = payments.statements(one.statements)
        for statement in one.statements:
            before = states.get(statement)
            if before is None or (before["batch"] != id_ and before["state"] == PaymentState.FAILED):
                failed_in = before["failed_in"] if before else []
                doc = {"batch": id_, "state": PaymentState.IN_PAYMENT.value, "failed_in": failed_in}
                payments.put_statement(statement, doc)
    return {"state": DONE}


def confirm(payments: Payments, delivery: Delivery, act: Document, has_time: HasTime) -> Document:
    """What became of the transfers of a batch, row by row; said again it changes nothing."""
    id_ = act["batch"]
    standing = payments.results(id_)
    wanted = {name: Confirmation(state=PaymentState(state), day=parse_day(day), reason=reason)
              for name, state, day, reason in act["results"]}  # fmt: skip
    counts: dict[str, int] = {}
    payments.note_act(format_instant(delivery.received_at), "confirm", id_, delivery.id)
    for one in transfers(payments, id_):
        if one.name not in wanted:
            continue
        if not has_time():
            return {"state": OPEN}
        outcome = confirm_transfer(payments, delivery, id_, one, wanted[one.name], standing.get(one.name))
        counts[outcome] = counts.get(outcome, 0) + 1
    return {"state": DONE, "counts": counts}


def confirm_transfer(
    payments: Payments, delivery: Delivery, id_: str, one: Transfer, told: Confirmation, before: Document | None
) -> str:
    outcome = next_state(confirmation_from(before) if before else None, told)
    if outcome == APPLIED:
        doc = known(delivery, {"state": told.state.value, "day": told.day.isoformat(), "reason": told.reason})
        doc |= {"before": [*before.pop("before"), before]} if before else {"before": []}
        seen = payments.result(id_, one.name) if before else None
        if not payments.put_result(id_, one.name, doc, seen):
            return UNCHANGED
    if outcome in (APPLIED, UNCHANGED):
        mark_statements(payments, id_, one, told)
    return outcome


def mark_statements(payments: Payments, id_: str, one: Transfer, told: Confirmation) -> None:
    """Paid on a day; or payable again, with the batch in which it failed."""
    for statement, before in payments.statements(one.statements).items():
        if before["batch"] != id_:
            continue
        has_failed = told.state is PaymentState.FAILED
        failed_in = sorted({*before["failed_in"], *([id_] if has_failed else [])})
        doc = {"batch": id_, "state": told.state.value, "failed_in": failed_in, "day": told.day.isoformat()}
        after = doc | ({"reason": told.reason} if has_failed else {})
        if after != before:
            payments.put_statement(statement, after)


def note_export(_payments: Payments, _delivery: Delivery, _act: Document, _has_time: HasTime) -> Document:
    """That a batch was handed out, to whom and as what: nothing follows from it."""
    return {"state": DONE}


ACTS: Mapping[str, Callable[[Payments, Delivery, Document, HasTime], Document]] = {
    "account": keep_account,
    "tax": keep_treatment,
    "propose": put_proposal,
    "approve": approve,
    "confirm": confirm,
    "export": note_export,
}


# Read


def transfers(payments: Payments, id_: str) -> list[Transfer]:
    return [transfer_from(one) for one in payments.transfers(id_)]


def confirmation_from(doc: Mapping[str, Any]) -> Confirmation:
    return Confirmation(state=PaymentState(doc["state"]), day=parse_day(doc["day"]), reason=doc.get("reason", ""))


def parse_day(text: str) -> "date":
    from datetime import date

    return date.fromisoformat(text)


def batch_state(approval: Document | None, transfers_: int, results: Mapping[str, Document]) -> BatchState:
    if approval is None:
        return BatchState.PROPOSED
    return BatchState.SETTLED if len(results) == transfers_ else BatchState.APPROVED
