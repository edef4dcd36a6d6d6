"""What can be paid now: unpaid statements, with current accounts, treatments and terms."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from retour.domain.calendar import local_day
from retour.domain.funding.billing import parse_groups
from retour.domain.funding.payments import (
    Payees,
    PaymentState,
    Proposal,
    Transfer,
    Unpaid,
    changed_transfers,
    document_of,
    left_out_document,
    propose,
)
from retour.domain.funding.statements import Payout
from retour.domain.program import Program
from retour.money.accounts import accounts, treatments
from retour.money.funding import returns_of
from retour.money.statements import payout_from, statements_of
from retour.ports import ReadPorts
from retour.store.statements import Statements

Document = dict[str, Any]
ACCOUNT_WAIT_HOURS = 72
FREE = (None, PaymentState.FAILED.value)
"""Payment states of a statement that is neither paid nor in payment."""
ALARM = "alarm"
"""Kind of case for records in time that came after their action was final. Such actions are not paid."""


def current_document(ports: ReadPorts, program: Program) -> Mapping[str, Any]:
    return ports.programs.newest_version(program.id).document


def proposal(ports: ReadPorts, program: Program, day: date, group: str = "", partners: Iterable[str] = ()) -> Proposal:
    """What would be paid on a day, optionally of one group or some partners."""
    named = set(partners)
    found = [one for one in unpaid(ports, program) if group in ("", one.group) and (not named or one.partner in named)]
    return propose(found, payees(ports, program), program.currency, day, ports.now())


def payees(ports: ReadPorts, program: Program) -> Payees:
    document = current_document(ports, program)
    hours = document.get("payments", {}).get("account_wait_hours", ACCOUNT_WAIT_HOURS)
    return Payees(
        accounts=accounts(ports, program),
        treatments=treatments(ports, program),
        minimums={one.name: one.minimum_payout for one in parse_groups(document)},
        wait=timedelta(hours=hours),
    )


def unpaid(ports: ReadPorts, program: Program) -> Iterator[Unpaid]:
    """Every statement neither paid nor in payment, newest first, with what its actions still wait for."""
    kept, payments = statements_of(ports, program), ports.payments(program.id)
    document, held = current_document(ports, program), actions_on_hold(ports, program)
    standing = payments.all_statements()
    waits = {name: returns_of(document, name) for name in document["event_types"]}
    runs: dict[str, dict[str, list[Payout]]] = {}
    for id_, doc in kept.newest_first():
        state = standing.get(id_)
        if (state["state"] if state else None) not in FREE:
            continue
        one = Unpaid(
            id=id_,
            number=doc["number"],
            partner=doc["partner"],
            group=doc["group"],
            total=doc["total"],
            due=date.fromisoformat(doc["due"]),
            is_known=all(waits.values()),
            failed_in=tuple(state["failed_in"]) if state else (),
        )
        if not any(waits.values()) and not held:
            yield one
            continue
        if doc["run"] not in runs:
            runs = {doc["run"]: lines_of_run(kept, doc["run"])}
        payouts = runs[doc["run"]].get(doc["partner"], [])
        reports = [
            local_day(line.event_time, program.time_zone) + timedelta(days=wait.days)
            for line in payouts
            if (wait := waits.get(line.event_type)) is not None
        ]
        yield replace(
            one,
            last_report=max(reports, default=None),
            is_known=all(waits.get(line.event_type) is not None for line in payouts),
            is_on_hold=any(line.action in held for line in payouts),
        )


def lines_of_run(kept: Statements, run: str) -> dict[str, list[Payout]]:
    """The lines of a run's statements by partner."""
    return {partner: [payout_from(line, partner) for line in lines] for partner, lines in kept.lines_of_run(run)}


def actions_on_hold(ports: ReadPorts, program: Program) -> set[str]:
    return {str(doc["action"]) for _, doc in ports.deliveries(program.id).due(ALARM)}


def proposal_body(found: Proposal) -> Document:
    """The act that proposes a batch, with its full content."""
    return {
        "act": "propose",
        "batch": found.id,
        "head": {
            "day": found.day.isoformat(),
            "currency": found.currency,
            "total": found.total,
            "transfers": len(found.transfers),
            "left_out": len(found.left_out),
            "contents": found.contents,
        },
        "transfers": [document_of(one) for one in found.transfers],
        "left_out": [left_out_document(one) for one in found.left_out],
    }


def changed_since(
    ports: ReadPorts, program: Program, day: date, batch: list[Transfer]
) -> list[tuple[Transfer, str, Document]]:
    """The transfers of a proposal that would not be paid unchanged, with codes and values of the reasons."""
    now = proposal(ports, program, day, partners={one.partner for one in batch})
    why = {f"{one.group}#{one.partner}": (one.why.value, dict(one.details)) for one in now.left_out}
    return [(one, *why.get(one.name, ("PAYMENT_CHANGED", {"partner": one.partner})))
            for one in changed_transfers(batch, now)]  # fmt: skip


def payment_of_statement(ports: ReadPorts, program: Program, statement: str) -> Document | None:
    """The payment of a statement; None if it is in no approved batch."""
    return ports.payments(program.id).statement(statement)


def is_paid_at(doc: Document | None) -> bool:
    return doc is not None and doc["state"] == PaymentState.PAID


def execution_day(program_document: Mapping[str, Any], group: str, day: date) -> date:
    """The execution day requested from the bank, a banking day if the group has a country."""
    from retour.domain.funding.banking_days import next_banking_day

    found = next((one for one in parse_groups(program_document) if one.name == group), None)
    return next_banking_day(day, found.business_days) if found and found.business_days else day


def today(ports: ReadPorts, program: Program) -> date:
    return local_day(ports.now(), program.time_zone)


def moment(doc: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(doc["at"])
