"""The nightly count of a program's actions over the indexes, stored for pages, thresholds and partners.

A count (a *run*) is as of one time. It proceeds in pieces, each written once, so that the next invocation continues
where the last one stopped. Actions not locked yet are found by the lock index, locked ones by their partner's index,
month by month. Months that cannot change any more are not read again, so a count costs as much as what is open.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from retour.counting.tally import (
    OPEN_STATES,
    RETURNS_WINDOW,
    CountedAction,
    Tally,
    count_order,
    count_returns,
    count_state,
)
from retour.domain.actions.make_good import LATE_CODES
from retour.domain.actions.order import Order
from retour.domain.actions.outcome import Outcome
from retour.domain.calendar import end_of_month, local_day
from retour.domain.contracts.contract import Contract
from retour.domain.program import Program
from retour.domain.times import format_instant, parse_instant
from retour.ports import CountingPorts
from retour.store.bulk import batched
from retour.store.items import NO_LOCK_DAY
from retour.store.ledger import TableLedger
from retour.store.rollups import HeadLine, RollUps

NIGHT_ENDS_AFTER = timedelta(hours=3)
"""How long after midnight, in the program's time zone, a count is still yesterday's."""
PIECE_SIZE = 1_000
"""Actions counted between two checks of the time."""
SMALL_PROGRAM_MAX = 1_000
"""A program with at most this many actions to count is recounted after every change."""
RUN_TIMEOUT = timedelta(days=1)
"""A run that did not finish within this time is started again."""
PIECES_KEPT_FOR = timedelta(days=3)
PARTNERS_PER_PAGE = 50
LARGEST_PARTNERS = 20
"""Partners listed in the program's summary."""
ORDERS_AT_ONCE = 8
LOOKBACK_DAYS = 7

Document = dict[str, Any]
IndexPosition = tuple[str, str]
"""An index partition, and the sort key to continue after."""


def roll_up(
    ports: CountingPorts, program: Program, has_time: Callable[[], bool] = lambda: True, *, now: bool = False
) -> bool:
    """Start a count if it is due, or continue one. Returns whether the newest count is complete. `now` requests one."""
    rollups = rollups_of(ports, program)
    run = current_run(ports, program, rollups, now)
    return run is None or RollUpRun(ports, program, rollups, ports.ledger(program), run).resume(has_time)


def rollups_of(ports: CountingPorts, program: Program) -> RollUps:
    ledger = ports.ledger(program)
    return RollUps(ledger.client, ledger.table, program.id)


def current_run(ports: CountingPorts, program: Program, rollups: RollUps, is_requested: bool) -> str | None:
    """The run to continue, or to start if one is due; None otherwise."""
    moment, summary, at_work = ports.now(), rollups.summary(), rollups.current_run()
    begun: str | None = at_work["run"] if at_work else None
    is_open = begun is not None and (summary is None or begun > summary["at"])
    if begun and is_open and moment - parse_instant(begun) < RUN_TIMEOUT:
        return begun
    if not is_requested and summary is not None and not is_due(ports, program, summary, moment):
        return None
    run = format_instant(moment)
    if rollups.begin(run, begun):
        return run
    return str((rollups.current_run() or {"run": run})["run"])


def is_due(ports: CountingPorts, program: Program, summary: Mapping[str, Any], now: datetime) -> bool:
    at, zone = parse_instant(summary["at"]), program.time_zone
    if local_day(at - NIGHT_ENDS_AFTER, zone) < local_day(now - NIGHT_ENDS_AFTER, zone):
        return True
    return int(summary["looked"]) <= SMALL_PROGRAM_MAX and has_new_deliveries(ports, program, at, now)


def has_new_deliveries(ports: CountingPorts, program: Program, since: datetime, now: datetime) -> bool:
    deliveries = ports.deliveries(program.id)
    days = (now.date() - since.date()).days
    newest = (deliveries.newest(f"{now - timedelta(days=back):%Y%m%d}", most=1) for back in range(days + 1))
    return any(found and found[0].delivery.received_at >= since for found in newest)


@dataclass
class RollUpRun:
    """A run in progress. `partners` holds each partner's totals so far."""

    ports: CountingPorts
    program: Program
    rollups: RollUps
    ledger: TableLedger
    run: str
    partners: dict[str, Tally] = field(default_factory=dict)
    looked: int = 0

    @property
    def at(self) -> datetime:
        return parse_instant(self.run)

    def resume(self, has_time: Callable[[], bool]) -> bool:
        """Continue as far as the time allows. Returns whether the count is complete and written."""
        if not self.count_open(has_time):
            return False
        pieces = list(self.rollups.pieces(self.run))
        months = self.rollups.months()
        if not self.count_locked(pieces, months, has_time):
            return False
        for doc in [*pieces, *months.values()]:
            self.looked += int(doc.get("looked", 0)) if doc.get("run", self.run) == self.run else 0
            for partner, numbers in doc.get("partners", {}).items():
                self.partners.setdefault(partner, Tally()).merge(Tally(numbers))
        self.write()
        return True

    # Actions that lock later, or locked without being final

    def count_open(self, has_time: Callable[[], bool]) -> bool:
        last = self.rollups.last_piece(self.run)
        number, place = (last[0], last[1].get("next")) if last else (0, ["", ""])
        if place is None:
            return True
        for some in batched(self.open_heads_from((place[0], place[1])), PIECE_SIZE):
            number += 1
            doc = self.piece([line[1:] for line in some]) | {"next": some[-1][0]}
            if not self.put_piece(number, doc) or not has_time():
                return False
        return self.put_piece(number + 1, {})

    def put_piece(self, number: int, doc: Document) -> bool:
        return self.rollups.put_piece(self.run, number, doc, self.ports.real_now() + PIECES_KEPT_FOR)

    def open_heads_from(self, start: IndexPosition) -> Iterator[tuple[IndexPosition, str, str]]:
        for day in list(self.ledger.lock_days(NO_LOCK_DAY)):
            if day.name >= start[0]:
                after = start[1] if day.name == start[0] else ""
                for order, action, sort in self.ledger.heads_by_lock(day, after, at_once=PIECE_SIZE):
                    yield (day.name, sort), order, action

    def piece(self, named: Sequence[tuple[str, str]]) -> Document:
        """A piece: by partner the actions that lock later, and the partner months of locked ones."""
        lines = self.rollups.lines(named)
        later = [line for line in lines if not self.is_locked(line)]
        months = {f"{line.month}#{line.partner}" for line in lines if self.is_locked(line)}
        return {"partners": self.by_partner(later), "months": sorted(months), "looked": len(lines)}

    def is_locked(self, line: HeadLine) -> bool:
        return line.locks_at is not None and line.locks_at <= self.at

    # Locked actions, final or not

    def count_locked(
        self, pieces: Sequence[Document], months: dict[str, Document], has_time: Callable[[], bool]
    ) -> bool:
        """Count again the partner months that may have changed since they were last counted."""
        marks = self.rollups.marks()
        seen = {name for piece in pieces for name in piece.get("months", ())}
        for name in sorted({*marks, *seen}):
            doc = months.get(name, {})
            if doc.get("run") == self.run and "next" not in doc:
                continue
            if doc and not doc.get("moves") and doc.get("mark") == marks.get(name, "") and name not in seen:
                continue
            whole = self.count_month(name, doc, marks.get(name, ""), months, has_time)
            if not whole or not has_time():
                return False
        return True

    def count_month(
        self, name: str, doc: Document, mark: str, months: dict[str, Document], has_time: Callable[[], bool]
    ) -> bool:
        month, _, partner = name.partition("#")
        last_day = end_of_month(date.fromisoformat(f"{month}-01"))
        moves = last_day >= (self.at - RETURNS_WINDOW).date() - timedelta(days=1)
        new: Document = {"run": self.run, "mark": mark, "looked": 0, "partners": {}, "moves": moves}
        if doc.get("run") == self.run:
            new = doc
        after, tally = new.pop("next", f"{self.run}$"), Tally(new["partners"].get(partner, {}))
        for some in batched(self.ledger.heads_by_partner(partner, month, after, at_once=PIECE_SIZE), PIECE_SIZE):
            lines = self.rollups.lines([(order, action) for order, action, _ in some])
            for counted, numbers in self.by_partner(lines, locked=True).items():
                if counted == partner:
                    tally.merge(Tally(numbers))
            new = new | {"looked": new["looked"] + len(lines), "partners": {partner: tally.numbers}}
            if not has_time():
                months[name] = new | {"next": some[-1][2]}
                self.rollups.put_month(name, months[name])
                return False
        months[name] = new
        self.rollups.put_month(name, new)
        return True

    # Totals

    def by_partner(self, lines: Sequence[HeadLine], *, locked: bool = False) -> dict[str, Any]:
        tallies: dict[str, Tally] = {}
        recent, to_read = [], []
        beside = self.rollups.orders_with_unassigned([line.order_key for line in lines]) if locked else set()
        for line in lines:
            if line.event_time is None or self.in_window(line.event_time):
                recent.append(line)
                if line.event_time is None or line.changes or line.order_key in beside or has_late(line):
                    to_read.append(line)
        orders = self.read({line.order_key for line in to_read})
        for line in lines:
            tally = tallies.setdefault(line.partner, Tally())
            state = "locked" if locked and line.state != "reversed" else line.state
            event_time = line.event_time
            if event_time is None:
                action = orders[line.order_key].action(line.action)
                assert action is not None
                event_time = action.event_time
            one = CountedAction(state, line.payout, line.locks_at, event_time)
            count_state(tally, one, self.contract(line.contract))
            if self.in_window(event_time):
                count_order(tally, one)
        for line in to_read:
            order = orders[line.order_key]
            action, head = order.action(line.action), order.heads.get(line.action)
            if action is not None and head is not None and self.in_window(action.event_time):
                count_returns(tallies[line.partner], order, action, head, self.ledger.contracts)
        return {partner: tally.numbers for partner, tally in tallies.items()}

    def in_window(self, event_time: datetime) -> bool:
        return event_time >= self.at - RETURNS_WINDOW

    def read(self, keys: set[str]) -> Mapping[str, Order]:
        if not keys:
            return {}
        with ThreadPoolExecutor(ORDERS_AT_ONCE) as pool:
            return dict(zip(sorted(keys), pool.map(self.ledger.order, sorted(keys)), strict=True))

    def contract(self, number: int) -> Contract:
        """A contract version, including those recorded since the program was read."""
        if number > len(self.ledger.contracts) and self.ledger.newest is not None:
            self.ledger.contracts = self.ledger.newest()
        return self.ledger.contracts[number - 1]

    # Stored results

    def write(self) -> None:
        """Write partners first and the summary last: a partner older than the summary has no actions any more."""
        ranked = sorted(self.partners, key=self.rank)
        with ThreadPoolExecutor(ORDERS_AT_ONCE) as pool:
            list(pool.map(self.write_partner, ranked))
        pages = list(batched(ranked, PARTNERS_PER_PAGE))
        for number, some in enumerate(pages):
            self.rollups.put_page(
                number, {"at": self.run, "lines": [self.partner_summary(partner) for partner in some]}
            )
        total = Tally()
        for tally in self.partners.values():
            total.merge(tally)
        largest = sorted(ranked, key=lambda partner: -self.partners[partner].orders[0])[:LARGEST_PARTNERS]
        before = self.rollups.summary() or {}
        self.rollups.put_summary(
            {
                "at": self.run,
                "looked": self.looked,
                "partners": len(ranked),
                "pages": len(pages),
                "numbers": total.numbers,
                "largest": [self.partner_summary(partner) for partner in largest],
                "night": self.night(before, total),
            }
        )

    def night(self, before: Mapping[str, Any], total: Tally) -> Document:
        """The first count of a day, which is the reference for that day's thresholds."""
        day = local_day(self.at, self.program.time_zone).isoformat()
        if before.get("night", {}).get("day") == day:
            return dict(before["night"])
        return {"day": day, "open": sum(total.payout(state, self.program.currency) for state in OPEN_STATES)}

    def rank(self, partner: str) -> tuple[int, str]:
        tally = self.partners[partner]
        return -sum(tally.payout(state, self.program.currency) for state in OPEN_STATES), partner

    def write_partner(self, partner: str) -> None:
        self.rollups.put_partner(partner, {"at": self.run, "numbers": self.partners[partner].numbers})

    def partner_summary(self, partner: str) -> Document:
        """A partner's entry in lists of partners."""
        numbers = self.partners[partner].numbers
        return {"partner": partner, "numbers": {name: numbers[name] for name in LISTED_SECTIONS if name in numbers}}


LISTED_SECTIONS = ("states", "orders", "late")


def has_late(line: HeadLine) -> bool:
    late = any(entry.outcome is Outcome.REFUSED and entry.code in LATE_CODES for entry in line.open_log)
    return late or line.is_sealed


def pending_payout(ports: CountingPorts, program: Program) -> int | None:
    """Pending payouts at the first count of the newest day; None without a recent one."""
    summary = rollups_of(ports, program).summary()
    if summary is None:
        return None
    oldest = local_day(ports.now(), program.time_zone) - timedelta(days=LOOKBACK_DAYS)
    night = summary["night"]
    return int(night["open"]) if date.fromisoformat(night["day"]) > oldest else None
