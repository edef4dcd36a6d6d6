"""Query contracts: who would be paid what, and when an order of a day locks. Writes nothing."""

from collections.abc import Sequence
from datetime import date

from retour.api.calls import Call
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.lock_days import CalendarAnomaly, LockDay, calendar_anomalies, lock_days
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.domain.row import Unreadable
from retour.domain.times import format_instant
from retour.errors import InvalidRequestError, NotFoundError
from retour.intake.action_reports import ACTION_FIELDS
from retour.previews.terms import PricedOrder, hypothetical_action, price_order, sold_amounts
from retour.views.documents import Document
from retour.views.parameters import bad_query
from retour.wiring import Hub

DAYS_MAX = 400
QUOTED_ORDER_ID = "quoted"
"""The order id of a quote without one."""


def quote_order(hub: Hub, call: Call, program: Program) -> Document:
    """Quote an unreported order, by the version in force and by all others that cover it."""
    given = call.document(*ACTION_FIELDS, "items", "amount")
    now = hub.now()
    found = hypothetical_action(
        program,
        {"order_id": QUOTED_ORDER_ID, "event_time": format_instant(now), **given},
        now,
        hub.rates(program.id).on,
    )
    if isinstance(found, Unreadable):
        entry = found.code if found.code == "UNKNOWN_FIELD" else "ORDER_NOT_PRICED"
        raise InvalidRequestError(found.code, "record", found.details, entry=entry)
    versions = [price_order(one, found, sold_amounts(found)) for one in program.contracts]
    due = versions[found.contract - 1]
    return {
        "due": priced_document(due),
        "others": [priced_document(one) for one in versions if one.covers and one is not due],
    }


def priced_document(one: PricedOrder) -> Document:
    terms, action = one.terms, one.action
    return {
        "contract": terms.number,
        "name": terms.name,
        "version": terms.version,
        "valid_from": terms.valid_from.isoformat(),
        "payout": to_text(one.total, terms.currency),
        "currency": terms.currency,
        "items": [
            {
                "line": line.line,
                "sku": line.sku,
                "category": line.category,
                "amount": to_text(line.amount, action.currency),
                "payout": to_text(paid.amount, terms.currency),
                "rule": paid.rule,
            }
            for line, paid in zip(action.lines, one.paid, strict=True)
        ],
    }


def lock_calendar(hub: Hub, call: Call, program: Program, name: str) -> Document:
    """The lock of each order day by the newest version of a contract."""
    terms = newest_contract(program, name)
    first, last = (parse_day(call, which) for which in ("from", "to"))
    if not 0 <= (last - first).days < DAYS_MAX:
        raise bad_query("to", last.isoformat(), "span", most=str(DAYS_MAX))
    try:
        days = lock_days(terms.lock, first, last, terms.time_zone)
        odd = calendar_anomalies(terms.lock, days)
    except (ValueError, OverflowError):
        raise bad_query("to", last.isoformat(), "dated") from None
    return {
        "contract": terms.number,
        "name": terms.name,
        "version": terms.version,
        "lock": terms.body["lock"],
        "time_zone": terms.time_zone,
        "days": [lock_document(one) for one in days],
        "odd": odd_documents(odd),
    }


def newest_contract(program: Program, name: str) -> Contract:
    found = [one for one in program.contracts if one.name == name]
    if not found:
        raise NotFoundError("contract", program=program.id)
    return found[-1]


def parse_day(call: Call, name: str) -> date:
    given = call.query.get(name, "")
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise bad_query(name, given, "day") from None


def lock_document(one: LockDay) -> Document:
    return {"day": one.day.isoformat(), "last": one.last.isoformat(), "locks_at": format_instant(one.at)}


def odd_documents(odd: Sequence[CalendarAnomaly]) -> list[Document]:
    return [
        {
            "kind": one.kind.value,
            "days": [day.isoformat() for day in one.days],
            "locks_at": format_instant(one.at) if one.at else None,
            "on": one.on.isoformat() if one.on else None,
            "hours": one.hours,
        }
        for one in odd
    ]
