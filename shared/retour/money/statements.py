"""Statements made on their day, and what the next ones would hold.

A run makes those of one group on one day, runs follow each other by day and group, and a series is numbered in that
order. It begins once everything that counts for it is final. First each partner's statement is put without its number,
then all get theirs in the order of the partners; whoever goes on after a crash puts the same again, which changes
nothing, and one conditional write ends the run.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import chain, groupby, islice
from typing import Any

from retour.domain.calendar import local_day, start_of_day
from retour.domain.contracts.contract import Contract
from retour.domain.funding.statements import (
    Billing,
    Coming,
    Payout,
    Statement,
    billing_of,
    coming,
    due_runs,
    number_text,
    statement,
)
from retour.domain.program import Program
from retour.domain.times import format_instant, parse_instant
from retour.ports import ReadPorts
from retour.store import bulk
from retour.store.items import NO_LOCK_DAY
from retour.store.ledger import TableLedger
from retour.store.rollups import RollUps
from retour.store.statements import Statements

Document = dict[str, Any]
Line = list[Any]
"""A payout as stored in a statement, without its partner: see `line_of`."""
AT_ONCE = 1_000
LOOKED_MAX = 5_000
"""Actions read for the forecast of the next statements."""
DUE_AT_ONCE = 200
"""Actions not final yet that are read at once."""
LOOKED_EVERY = 100
"""Partners between two saves of a run's position."""
MARK_LAG = timedelta(hours=1)
NOTE = "statements"
"""State key of a program: the day and version up to which all statements are issued."""

log = logging.getLogger(__name__)


def statements_of(ports: ReadPorts, program: Program) -> Statements:
    ledger = ports.ledger(program)
    return Statements(ledger.client, ledger.table, program.id)


def billing(ports: ReadPorts, program: Program, draft: Mapping[str, Any] | None = None) -> Billing:
    """The billing of a program's versions; with `draft`, as if that document were applied now."""
    versions = [(parse_instant(one.recorded_at), one.document) for one in reversed(ports.programs.versions(program.id))]
    if draft is not None:
        versions.append((ports.now(), draft))
    return billing_of(versions, program.time_zone)


# Issuing


def issue(ports: ReadPorts, program: Program, has_time: Callable[[], bool] = lambda: True) -> int:
    """Issue the statements of every due day, as far as the time allows. Returns the number of completed runs."""
    today = local_day(ports.now(), program.time_zone)
    note, whole = ports.state(program.id, ""), {"day": today.isoformat(), "version": program.version}
    if note.get(NOTE) == whole:
        return 0
    found, kept, ended = billing(ports, program), statements_of(ports, program), 0
    while has_time():
        progress = kept.progress()
        run = next(due_runs(found, today, last_run(progress)), None)
        if run is None:
            note.put(NOTE, whole)
            break
        until = start_of_day(run[0], 0, program.time_zone)
        if not is_final(ports, program, until) or not Run(ports, program, found, kept, *run).go_on(progress, has_time):
            break
        ended += 1
    return ended


def last_run(progress: Mapping[str, Any]) -> tuple[date, str] | None:
    if "done" not in progress:
        return None
    day, _, group = progress["done"].partition("#")
    return date.fromisoformat(day), group


def is_final(ports: ReadPorts, program: Program, until: datetime) -> bool:
    """Whether nothing that counts by a time can still arrive or become final.

    Held deliveries delay this only as long as they delay the fence.
    """
    now, ledger = ports.now(), ports.ledger(program)
    water = ports.deliveries(program.id).low_water()
    if water.holds_back(until, now, timedelta(hours=program.hold_at_lock_hours)):
        return False
    for partition in ledger.lock_partitions(until.date().isoformat()):
        due = ledger.due(partition, until)
        while some := list(islice(due, DUE_AT_ONCE)):
            listed = bulk.load_listed_actions(ledger, [(one.order_key, one.action) for one in some])
            if any(one.action.reported_at <= until for one in listed):
                return False
    return True


class Run:
    """The statements of one group on one day."""

    def __init__(self, ports: ReadPorts, program: Program, found: Billing, kept: Statements, day: date, group: str):
        self.ports, self.program, self.billing, self.kept = ports, program, found, kept
        self.day, self.group, self.name = day, group, f"{day}#{group}"
        self.ledger: TableLedger = ports.ledger(program)

    def go_on(self, progress: Document, has_time: Callable[[], bool]) -> bool:
        """Continue as far as the time allows. Returns whether the run is complete."""
        begun = self.kept.begin(self.name, {"at": format_instant(self.ports.now())})
        if not self.draft(has_time):
            return False
        return self.number(progress, begun["at"], has_time)

    def draft(self, has_time: Callable[[], bool]) -> bool:
        """Save each partner's statement without its number."""
        looked = self.kept.run_position(self.name)
        unlooked = ((partner, months) for partner, months in partner_months(self.ledger) if partner > looked)
        for number, (partner, months) in enumerate(unlooked, 1):
            if not has_time():
                return False
            made = self.statement(partner, months)
            if made is not None:
                self.kept.put_draft(self.name, partner, head_document(made), [line_of(one) for one in made.lines])
            if number % LOOKED_EVERY == 0:
                self.kept.put_looked(self.name, partner)
        return True

    def statement(self, partner: str, months: Mapping[str, datetime]) -> Statement | None:
        before = self.stated_before(partner)
        last = next(before, None)
        stated = date.fromisoformat(last["day"]) if last else None
        since = start_of_day(stated, 0, self.program.time_zone) if stated else self.billing.begins
        assert since is not None
        payouts = list(final_payouts(self.ledger, partner, moving(months, since)))
        late = self.missed_actions(chain([last], before), since, payouts) if last else frozenset[str]()
        return statement(self.billing, self.group, self.day, partner, payouts, self.program.currency, stated, late)

    def stated_before(self, partner: str) -> Iterator[Document]:
        """The partner's earlier statements in this group, newest first."""
        for day, group, id_ in self.kept.of_partner(partner):
            doc = self.kept.get(id_) if group == self.group and day < self.day.isoformat() else None
            if doc is not None:
                yield doc

    def missed_actions(self, before: Iterator[Document], since: datetime, payouts: Iterable[Payout]) -> frozenset[str]:
        """Actions that count for an earlier statement but are on none.

        They became final after it was issued, because their report was held longer than a statement waits.
        """
        last = next(before)
        looked = parse_instant(last["issued_at"]) - MARK_LAG
        found = {one.action for one in payouts if one.counts_at <= since and one.final > looked}
        for doc in chain([last], before):
            if not found:
                break
            found -= {one.action for one in payouts_on(self.kept, doc)}
        return frozenset(found)

    def number(self, progress: Document, issued_at: str, has_time: Callable[[], bool]) -> bool:
        group = self.billing.group_at(self.group, self.day)
        assert group is not None
        numbers: dict[str, int] = dict(progress.get("numbers", {}))
        first = numbers.get(group.series, 0) + 1
        made = 0
        for partner, doc in self.kept.drafts(self.name):
            if not has_time():
                return False
            number = number_text(group.series, first + made)
            doc = doc | {"number": number, "issued_at": issued_at, "run": self.name}
            self.kept.put(id_of(self.day, number), partner, doc)
            made += 1
        numbers[group.series] = first + made - 1
        self.kept.advance({"done": self.name, "numbers": numbers}, progress)
        log.info("statements made", extra={"program": self.program.id, "run": self.name, "statements": made})
        return True


def id_of(day: date, number: str) -> str:
    """A statement's public id. It contains its day, so the statement is found by id alone."""
    return f"{day}~{number}"


def partner_months(ledger: TableLedger) -> Iterator[tuple[str, dict[str, datetime]]]:
    """All partners with final actions, by name, with their event months and when the last action became final."""
    marks = RollUps(ledger.client, ledger.table, ledger.program).marks()
    named = sorted(
        (partner, month, at) for (month, _, partner), at in ((n.partition("#"), at) for n, at in marks.items())
    )
    for partner, found in groupby(named, key=lambda mark: mark[0]):
        yield partner, {month: parse_instant(at) for _, month, at in found}


def moving(months: Mapping[str, datetime], since: datetime) -> list[str]:
    """The months that may contain payouts that count after a time.

    A month's mark is at least as late as the start of the run that made its last action final.
    """
    return [month for month, last_final in months.items() if last_final >= since - MARK_LAG]


def final_payouts(ledger: TableLedger, partner: str, months: list[str]) -> Iterator[Payout]:
    for month in months:
        places = ((key, action) for key, action, _ in ledger.heads_by_partner(partner, month, at_once=AT_ONCE))
        for some in bulk.batched(places, AT_ONCE):
            for one in bulk.load_listed_actions(ledger, some):
                if one.final is not None and one.partner == partner:
                    yield payout_of(one, contract(ledger, one.contract))


def contract(ledger: TableLedger, number: int) -> Contract:
    """A contract version, including those recorded since the program was read."""
    if number > len(ledger.contracts) and ledger.newest is not None:
        ledger.contracts = ledger.newest()
    return ledger.contracts[number - 1]


def payout_of(one: bulk.ListedAction, terms: Contract) -> Payout:
    action = one.action
    assert one.locks_at is not None
    return Payout(
        action=action.id,
        order_id=action.order_id,
        event_type=action.event_type,
        contract=terms.name,
        partner=one.partner,
        event_time=action.event_time,
        locks_at=one.locks_at,
        reported_at=action.reported_at,
        amount=one.amount,
        currency=action.currency,
        rate=action.rate,
        payout=one.payout,
        is_reversed=one.is_reversed,
        final=one.final or one.locks_at,
    )


# Stored form


def head_document(made: Statement) -> Document:
    return {
        "group": made.group,
        "partner": made.partner,
        "day": made.day.isoformat(),
        "since": format_instant(made.since),
        "until": format_instant(made.until),
        "currency": made.currency,
        "total": made.total,
        "actions": len(made.lines),
        "due": made.due.isoformat(),
    }


def line_of(one: Payout) -> Line:
    """The stored form, read for years: append fields, never move one."""
    times = (format_instant(one.event_time), format_instant(one.locks_at), format_instant(one.reported_at))
    return [one.action, one.order_id, one.event_type, one.contract, *times, one.amount, one.currency, str(one.rate),
            one.payout, int(one.is_reversed)]  # fmt: skip


def payout_from(line: Line, partner: str) -> Payout:
    action, order_id, event_type, terms, event_time, locks_at, reported_at, amount, currency, rate, payout, back = line
    return Payout(
        action=action,
        order_id=order_id,
        event_type=event_type,
        contract=terms,
        partner=partner,
        event_time=parse_instant(event_time),
        locks_at=parse_instant(locks_at),
        reported_at=parse_instant(reported_at),
        amount=amount,
        currency=currency,
        rate=Decimal(rate),
        payout=payout,
        is_reversed=bool(back),
        final=parse_instant(locks_at),
    )


def payouts_on(kept: Statements, doc: Mapping[str, Any]) -> Iterator[Payout]:
    """The lines of an issued statement."""
    return (payout_from(line, doc["partner"]) for line in kept.lines(doc["run"], doc["partner"]))


# Forecast


def forecast(ports: ReadPorts, program: Program, draft: Mapping[str, Any] | None = None) -> tuple[list[Coming], bool]:
    """The next two statement days of each group with their current content, and whether everything was read.

    `draft`: as if that document were applied now. Without billing groups, the forecast is for `default`.
    """
    found = billing(ports, program, draft)
    is_asked = found.begins is None
    if is_asked:
        document = dict(draft or ports.programs.newest_version(program.id).document)
        found = billing_of([(ports.now(), {**document, "billing_groups": {"default": {}}})], program.time_zone)
    kept, today = statements_of(ports, program), local_day(ports.now(), program.time_zone)
    done = last_run(kept.progress())
    stated: dict[str, date] = {}
    for name in found.names():
        runs = [day for day in found.statement_days(name, today) if done is not None and (day, name) <= done]
        if runs:
            stated[name] = runs[-1]
    payouts = list(islice(coming_payouts(ports, program, found, stated), LOOKED_MAX + 1))
    return coming(found, today, payouts[:LOOKED_MAX], stated), len(payouts) <= LOOKED_MAX


def coming_payouts(
    ports: ReadPorts, program: Program, found: Billing, stated: Mapping[str, date]
) -> Iterator[tuple[Payout, str]]:
    """Final payouts that may not be stated yet, then those that lock later, each with its state."""
    ledger, now = ports.ledger(program), ports.now()
    oldest = min((start_of_day(day, 0, program.time_zone) for day in stated.values()), default=found.begins)
    assert oldest is not None
    for partner, months in partner_months(ledger):
        payouts = final_payouts(ledger, partner, moving(months, oldest))
        yield from ((one, "locked") for one in payouts if one.counts_at >= oldest)
    for day in ledger.lock_days(NO_LOCK_DAY):
        places = ((key, action) for key, action, _ in ledger.heads_by_lock(day, at_once=AT_ONCE))
        for some in bulk.batched(places, AT_ONCE):
            for one in bulk.load_listed_actions(ledger, some):
                if one.locks_at is not None and not one.is_reversed:
                    state = "locked" if one.locks_at <= now else "approved" if one.is_approved else "pending"
                    yield payout_of(one, contract(ledger, one.contract)), state
