"""Book the days that are over: what became final, was stated, approved and confirmed, once nothing of them can still
come."""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from retour.domain.calendar import local_day, start_of_day
from retour.domain.funding.journal import (
    FIRST,
    Booking,
    Detail,
    approved_booking,
    chained,
    failed_booking,
    final_bookings,
    paid_booking,
    stated_booking,
)
from retour.domain.funding.payments import PaymentState, Transfer
from retour.domain.funding.statements import Billing, Payout, due_runs
from retour.domain.program import Program
from retour.domain.times import format_instant, parse_instant
from retour.money.acts import transfers
from retour.money.statements import (
    MARK_LAG,
    billing,
    final_payouts,
    is_final,
    last_run,
    moving,
    partner_months,
    statements_of,
)
from retour.store.journal import Journal
from retour.store.payments import Payments

if TYPE_CHECKING:
    from retour.wiring import Hub

Document = dict[str, Any]
DAY = timedelta(days=1)

log = logging.getLogger(__name__)


def journal_of(hub: "Hub", program: Program) -> Journal:
    ledger = hub.ledger(program)
    return Journal(ledger.client, ledger.table, program.id)


def book(hub: "Hub", program: Program, has_time: Callable[[], bool] = lambda: True) -> int:
    """Book every day that is over, as far as the time allows; how many that were."""
    found = billing(hub, program)
    if found.begins is None:
        return 0
    kept, booked, today = journal_of(hub, program), 0, local_day(hub.now(), program.time_zone)
    while has_time():
        progress = kept.progress()
        last = date.fromisoformat(progress["day"]) if progress else None
        day = last + DAY if last else local_day(found.begins, program.time_zone)
        if day >= today or not is_over(hub, program, found, day):
            break
        at = format_instant(hub.now())
        details = [*day_details(hub, program, found, kept, day, progress)]
        bookings = [*day_bookings(hub, program, day, details)]
        entries = [*chained(bookings, day, progress.get("number", 0), progress.get("sha256", FIRST))]
        kept.put_day(day.isoformat(), [one.document() for one in entries], details)
        doc = {
            "day": day.isoformat(),
            "number": entries[-1].number if entries else progress.get("number", 0),
            "sha256": entries[-1].sha256 if entries else progress.get("sha256", FIRST),
            "at": at,
        }
        if not kept.advance(doc, progress):
            break
        booked += 1
        log.info("day booked", extra={"program": program.id, "day": doc["day"], "entries": len(entries)})
    return booked


def is_over(hub: "Hub", program: Program, found: Billing, day: date) -> bool:
    """Whether all that counts for a day is final, and the statements of that day are made."""
    done = last_run(statements_of(hub, program).progress())
    return next(due_runs(found, day, done), None) is None and is_final(
        hub, program, start_of_day(day, 1, program.time_zone)
    )


def day_details(
    hub: "Hub", program: Program, found: Billing, kept: Journal, day: date, progress: Document
) -> Iterator[Detail]:
    """Every action that counts for a day, and what counted for a day before and became final only since that was
    booked; by group, partner and action."""
    zone, ledger = program.time_zone, hub.ledger(program)
    since, until = start_of_day(day, 0, zone), start_of_day(day, 1, zone)
    looked = parse_instant(progress["at"]) - MARK_LAG if progress else None
    new: list[Detail] = []
    late: list[tuple[Payout, Detail]] = []
    for partner, months in partner_months(ledger):
        for one in final_payouts(ledger, partner, moving(months, min(since, looked or since))):
            group = found.group_of(one)
            if group is None or one.counts_at > until:
                continue
            detail = (group, partner, one.action, one.payout)
            if one.counts_at > since or looked is None:
                new.append(detail)
            elif one.final > looked:
                late.append((one, detail))
    yield from sorted([*new, *missed(kept, zone, day, late)])


def missed(kept: Journal, zone: str, day: date, late: Iterable[tuple[Payout, Detail]]) -> list[Detail]:
    """Of what counts for earlier days, that which none of them has."""
    left = {detail[2]: (one, detail) for one, detail in late}
    looked = min((counts_day(one.counts_at, zone) for one, _ in left.values()), default=day)
    while left and looked < day:
        for _, _, action, _ in kept.details(looked.isoformat()):
            left.pop(action, None)
        looked += DAY
    return [detail for _, detail in left.values()]


def counts_day(moment: datetime, zone: str) -> date:
    """The day for which something counts: what counts at its very end, which is the start of the next, is of it."""
    return local_day(moment - timedelta(milliseconds=1), zone)


def day_bookings(hub: "Hub", program: Program, day: date, details: list[Detail]) -> Iterator[Booking]:
    """What became final, then what was stated, then what people did, in the order in which they did it."""
    yield from final_bookings(details)
    yield from stated_bookings(hub, program, day)
    yield from paid_bookings(hub.payments(program.id), day, program.time_zone)


def stated_bookings(hub: "Hub", program: Program, day: date) -> Iterator[Booking]:
    """The statements of a day, by group and partner."""
    heads = []
    for id_, doc in statements_of(hub, program).newest_first(f"{day}~~"):
        if doc["day"] != day.isoformat():
            break
        heads.append((doc["group"], doc["partner"], id_, doc["total"]))
    for group, partner, id_, total in sorted(heads):
        yield stated_booking(id_, group, partner, total)


def paid_bookings(payments: Payments, day: date, zone: str) -> Iterator[Booking]:
    """What was approved, paid and failed on a day."""
    since, until = (format_instant(start_of_day(day, later, zone)) for later in (0, 1))
    for act, batch, delivery in payments.acts(since, until):
        if act == "approve":
            for one in transfers(payments, batch):
                yield approved_booking(batch, one.group, one.partner, one.amount)
        else:
            yield from confirmed_bookings(payments, batch, delivery)


def confirmed_bookings(payments: Payments, batch: str, delivery: str) -> Iterator[Booking]:
    """What one act said became of the transfers of a batch, as far as it changed anything."""
    results = payments.results(batch)
    for one in transfers(payments, batch):
        newest = results.get(one.name)
        told = [*newest["before"], newest] if newest else []
        for before, doc in zip([None, *told], told, strict=False):
            if doc["delivery"] == delivery:
                yield confirmed_booking(batch, one, doc["state"], was_paid=before is not None)


def confirmed_booking(batch: str, one: Transfer, state: str, *, was_paid: bool) -> Booking:
    if state == PaymentState.PAID:
        return paid_booking(batch, one.group, one.amount)
    return failed_booking(batch, one.group, one.partner, one.amount, was_paid=was_paid)
