"""Payment batches as they stand: their transfers, whom they left out, and what became of each."""

import re
from collections.abc import Mapping
from datetime import date
from itertools import islice

from retour.domain.funding.payments import LeftOut, PaymentState, Transfer, left_out_from, transfer_from, transfer_id
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.errors import NotFoundError
from retour.money import acts
from retour.ports import ReadPorts
from retour.sentences import sentence
from retour.views.documents import Document
from retour.views.parameters import bad_query

ID = re.compile(r"\d{4}-\d\d-\d\d~[0-9a-f]{12}")
SHOWN_MAX = 5_000
"""Transfers of a batch that an answer holds, and as many of those it left out."""


def list_payments(ports: ReadPorts, program: Program, limit: int, cursor: str = "") -> Document:
    """The batches of a program, the newest day first."""
    if cursor and not ID.fullmatch(cursor):
        raise bad_query("cursor", cursor, "cursor")
    found = [*islice(ports.payments(program.id).batches(cursor), limit + 1)]
    items = [batch_document(ports, program, id_, head) for id_, head in found[:limit]]
    return {"items": items, "next": found[limit - 1][0] if len(found) > limit else None}


def payment_batch(ports: ReadPorts, program: Program, id_: str) -> Document:
    """One with its transfers, whom it left out and why, and what became of each."""
    head = find_batch(ports, program, id_)
    stored = ports.payments(program.id)
    transfers = [transfer_from(one) for one in islice(stored.transfers(id_), SHOWN_MAX)]
    left_out = [left_out_from(one) for one in islice(stored.left_out(id_), SHOWN_MAX)]
    results, is_approved = stored.results(id_), stored.approval(id_) is not None
    return {
        **batch_document(ports, program, id_, head, results),
        "payments": [transfer_document(one, id_, head, results.get(one.name), is_approved) | notes(one, program)
                     for one in transfers],
        "left_out_of_it": [left_out_document(one, head["currency"], program.language) for one in left_out],
    }  # fmt: skip


def find_batch(ports: ReadPorts, program: Program, id_: str) -> Document:
    head = ports.payments(program.id).batch(id_) if ID.fullmatch(id_) else None
    if head is None:
        raise NotFoundError("payment_batch", program=program.id)
    return head


def batch_document(
    ports: ReadPorts, program: Program, id_: str, head: Document, results: Mapping[str, Document] | None = None
) -> Document:
    stored = ports.payments(program.id)
    approval = stored.approval(id_)
    results = stored.results(id_) if results is None and approval else results or {}
    states = [one["state"] for one in results.values()]
    return {
        "id": id_,
        "state": acts.batch_state(approval, head["transfers"], results).value,
        "day": head["day"],
        "total": to_text(head["total"], head["currency"]),
        "currency": head["currency"],
        "transfers": head["transfers"],
        "left_out": head["left_out"],
        "paid": states.count(PaymentState.PAID),
        "failed": states.count(PaymentState.FAILED),
        "contents": head["contents"],
        "proposed_at": head["at"],
        "proposed_by": head["by"],
        "approved_at": approval["at"] if approval else None,
        "approved_by": approval["by"] if approval else None,
    }


def transfer_document(one: Transfer, id_: str, head: Document, result: Document | None, is_approved: bool) -> Document:
    return {
        "partner": one.partner,
        "billing_group": one.group,
        "amount": to_text(one.amount, head["currency"]),
        "account": one.tail,
        "statements": [{"id": id, "number": number} for id, number in zip(one.statements, one.numbers, strict=True)],
        "end_to_end_id": transfer_id(id_, one, date.fromisoformat(head["day"])),
        "failed_in": list(one.failed_in),
        "state": result["state"] if result else PaymentState.IN_PAYMENT.value if is_approved else "proposed",
        "settled_on": result["day"] if result else None,
        "reason": result["reason"] or None if result else None,
    }


def notes(one: Transfer, program: Program) -> Document:
    return {"notes": [sentence(code, {"partner": one.partner}, program.language) for code in one.notes]}


def left_out_document(one: LeftOut, currency: str, language: str) -> Document:
    return {
        "partner": one.partner,
        "billing_group": one.group,
        "amount": to_text(one.amount, currency),
        "statements": list(one.statements),
        "code": one.why.value,
        "explanation": sentence(one.why.value, one.details, language),
    }
