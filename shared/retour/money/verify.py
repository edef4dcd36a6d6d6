"""Compare everything that is kept of money with everything else: the first thing that differs, or nothing.

The chain of the journal and its sums; its actions with those of the ledger that are final; the statements with both;
the payments with the statements; and the journal with what all of these say it must be.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING, Any

from retour.domain.calendar import local_day
from retour.domain.delivery import receipt_time
from retour.domain.funding.journal import (
    FIRST,
    Detail,
    Entry,
    Kind,
    balances,
    details_hash,
    entry_from,
    payable,
)
from retour.domain.funding.payments import PaymentState, Proposal, Transfer
from retour.domain.funding.statements import Billing, Payout, number_text
from retour.domain.money import to_text
from retour.domain.phrase import Sentence
from retour.domain.program import Program
from retour.money.acts import transfers
from retour.money.journal import counts_day, day_bookings, journal_of
from retour.money.statements import billing, final_payouts, last_run, partner_months, payouts_on, statements_of

if TYPE_CHECKING:
    from retour.wiring import Hub

Document = dict[str, Any]


@dataclass
class Verified:
    """What was compared, by kind, and the first difference."""

    counts: dict[str, int] = field(default_factory=dict)
    difference: Sentence | None = None


def verify(hub: "Hub", program: Program) -> Verified:
    made = Verified()
    made.difference = next(Verification(hub, program, made.counts).differences(), None)
    return made


class Verification:
    def __init__(self, hub: "Hub", program: Program, counts: dict[str, int]):
        self.hub, self.program, self.counts = hub, program, counts
        self.billing: Billing = billing(hub, program)
        self.kept, self.journal = statements_of(hub, program), journal_of(hub, program)
        self.payments = hub.payments(program.id)
        self.entries: list[Entry] = []
        self.days: dict[str, list[Detail]] = {}
        self.booked: dict[str, tuple[str, Detail]] = {}
        self.statements: list[tuple[str, Document]] = []
        self.on: dict[str, str] = {}

    def differences(self) -> Iterator[Sentence]:
        """In the order in which they are looked for; what comes later rests on what came before."""
        for look in (self.chain, self.sums, self.actions, self.lines, self.numbers, self.unstated, self.batches,
                     self.bookings, self.standing):  # fmt: skip
            yield from look()

    def money(self, minor: int) -> str:
        return f"{to_text(minor, self.program.currency)} {self.program.currency}"

    # The journal in itself

    def chain(self) -> Iterator[Sentence]:
        """Every entry is where it was put: numbered without a gap, chained to the one before, up to the last."""
        progress, before, number = self.journal.progress(), FIRST, 0
        for number, doc in enumerate(self.journal.entries(), 1):
            entry = entry_from(doc)
            if entry.number != number:
                yield Sentence("VERIFY_ENTRY_MISSING", {"number": str(number), "found": str(entry.number)})
            if entry.before != before:
                yield Sentence("VERIFY_CHAIN", {"number": str(number)})
            if entry.sum:
                yield Sentence("VERIFY_ENTRY_SUM", {"number": str(number), "amount": self.money(entry.sum)})
            before = entry.sha256
            self.entries.append(entry)
        if (number, before) != (progress.get("number", 0), progress.get("sha256", FIRST)):
            last = str(progress.get("number", 0))
            yield Sentence("VERIFY_LAST_ENTRY", {"number": str(number), "found": last})
        self.counts["entries"] = len(self.entries)

    def sums(self) -> Iterator[Sentence]:
        """What became final is the sum of its actions, each of them booked once."""
        for day, found in groupby(self.entries, key=lambda one: one.day):
            details = [(group, partner, action, payout) for group, partner, action, payout in
                       self.journal.details(day.isoformat())]  # fmt: skip
            by_cause = {cause: [*some] for cause, some in groupby(details, key=lambda one: f"{one[0]}:{one[1]}")}
            for entry in found:
                some = by_cause.pop(entry.booking.cause, []) if entry.booking.kind is Kind.FINAL else []
                if entry.booking.kind is Kind.FINAL and (
                    details_hash(some) != entry.booking.details
                    or sum(one[3] for one in some) != entry.booking.amounts[0][1]
                ):
                    yield Sentence("VERIFY_DETAILS", {"number": str(entry.number), "day": day.isoformat()})
            if by_cause:
                yield Sentence("VERIFY_DETAILS_MORE", {"day": day.isoformat(), "cause": next(iter(by_cause))})
            for one in details:
                if one[2] in self.booked:
                    yield Sentence("VERIFY_BOOKED_TWICE", {"action": one[2], "day": day.isoformat()})
                self.booked[one[2]] = (day.isoformat(), one)

    # The ledger

    def actions(self) -> Iterator[Sentence]:
        """Every final action is booked as it stands, and everything booked is final."""
        last = self.journal.progress().get("day", "")
        left = dict(self.booked)
        ledger = self.hub.ledger(self.program)
        for partner, months in partner_months(ledger):
            for one in final_payouts(ledger, partner, [*months]):
                group = self.billing.group_of(one)
                day = counts_day(one.counts_at, self.program.time_zone).isoformat()
                if group is None or (day > last and one.action not in left):
                    continue
                self.counts["actions"] = self.counts.get("actions", 0) + 1
                yield from self.action(one, group, left.pop(one.action, None))
        for action, (day, _) in left.items():
            yield Sentence("VERIFY_ACTION_GONE", {"action": action, "day": day})

    def action(self, one: Payout, group: str, booked: tuple[str, Detail] | None) -> Iterator[Sentence]:
        if booked is None:
            # What was held for longer than its day waited is booked with the next.
            yield Sentence("VERIFY_NOT_BOOKED", {"action": one.action, "partner": one.partner})
        elif booked[1] != (group, one.partner, one.action, one.payout):
            was = booked[1]
            yield Sentence(
                "VERIFY_ACTION_OTHER",
                {"action": one.action, "payout": self.money(one.payout), "partner": one.partner,
                 "amount": self.money(was[3]), "other": was[1]},
            )  # fmt: skip

    # Statements

    def lines(self) -> Iterator[Sentence]:
        """Each comes to the sum of its lines, each line to its action, and no action is on two."""
        last = self.journal.progress().get("day", "")
        for id_, doc in sorted(self.kept.newest_first()):
            self.statements.append((id_, doc))
            payouts = [*payouts_on(self.kept, doc)]
            if sum(one.payout for one in payouts) != doc["total"] or len(payouts) != doc["actions"]:
                yield Sentence("VERIFY_STATEMENT_SUM", {"number": doc["number"], "amount": self.money(doc["total"])})
            for one in payouts:
                if one.action in self.on:
                    where = {"action": one.action, "number": doc["number"], "other": self.on[one.action]}
                    yield Sentence("VERIFY_STATED_TWICE", where)
                self.on[one.action] = doc["number"]
                booked = self.booked.get(one.action)
                if booked and booked[1] != (doc["group"], doc["partner"], one.action, one.payout):
                    yield Sentence("VERIFY_LINE", {"number": doc["number"], "action": one.action})
                if booked is None and counts_day(one.counts_at, self.program.time_zone).isoformat() <= last:
                    yield Sentence("VERIFY_LINE", {"number": doc["number"], "action": one.action})
        self.counts["statements"] = len(self.statements)

    def numbers(self) -> Iterator[Sentence]:
        """Without a gap in each series, and as many as were given."""
        given: Mapping[str, int] = self.kept.progress().get("numbers", {})
        found = {doc["number"] for _, doc in self.statements}
        for series, most in sorted(given.items()):
            for number in range(1, most + 1):
                if number_text(series, number) not in found:
                    yield Sentence("VERIFY_NUMBER_MISSING", {"number": number_text(series, number)})
                found.discard(number_text(series, number))
        for number in sorted(found):
            yield Sentence("VERIFY_NUMBER_MORE", {"number": str(number)})

    def unstated(self) -> Iterator[Sentence]:
        """What counted before the last statement day of its group is stated, but for what came to too little."""
        done = last_run(self.kept.progress())
        if done is None:
            return
        today = local_day(self.hub.now(), self.program.time_zone)
        last_days = {name: max((day for day in self.billing.statement_days(name, today) if (day, name) <= done),
                               default=None) for name in self.billing.names()}  # fmt: skip
        waiting: dict[tuple[str, str], int] = {}
        first: dict[tuple[str, str], str] = {}
        for action, (day, (group, partner, _, payout)) in self.booked.items():
            last = last_days.get(group)
            if action not in self.on and last is not None and date.fromisoformat(day) < last:
                waiting[group, partner] = waiting.get((group, partner), 0) + payout
                first.setdefault((group, partner), action)
        for (group, partner), total in sorted(waiting.items()):
            stated_on = last_days[group]
            terms = self.billing.group_at(group, stated_on) if stated_on else None
            if terms is not None and total > 0 and total >= terms.minimum_payout:
                where = {"partner": partner, "amount": self.money(total), "action": first[group, partner]}
                yield Sentence("VERIFY_UNSTATED", where)

    # Payments

    def batches(self) -> Iterator[Sentence]:
        """A batch is what was approved; each of its payments is of its statements; none is paid by two."""
        totals = {id_: doc["total"] for id_, doc in self.statements}
        marks = self.payments.all_statements()
        for id_, head in sorted(self.payments.batches()):
            batch, approval = transfers(self.payments, id_), self.payments.approval(id_)
            whole = Proposal(day=date.fromisoformat(head["day"]), currency=head["currency"], transfers=tuple(batch),
                             left_out=())  # fmt: skip
            if whole.contents != head["contents"] or (approval and approval["contents"] != head["contents"]):
                yield Sentence("VERIFY_BATCH", {"batch": id_})
            results = self.payments.results(id_)
            if results and approval is None:
                yield Sentence("VERIFY_NOT_APPROVED", {"batch": id_})
            for one in batch if approval else ():
                yield from self.transfer(id_, one, results.get(one.name), totals, marks)
            self.counts["payments"] = self.counts.get("payments", 0) + len(batch)
        for statement in sorted(marks):
            if statement not in totals:
                yield Sentence("VERIFY_PAID_UNKNOWN", {"number": statement})

    def transfer(
        self, id_: str, one: Transfer, result: Document | None, totals: Mapping[str, int], marks: Mapping[str, Document]
    ) -> Iterator[Sentence]:
        if sum(totals.get(each, 0) for each in one.statements) != one.amount:
            yield Sentence("VERIFY_TRANSFER", {"batch": id_, "partner": one.partner, "amount": self.money(one.amount)})
        state = result["state"] if result else PaymentState.IN_PAYMENT.value
        for each in one.statements:
            mark = marks.get(each)
            took_over = mark is not None and mark["batch"] != id_ and id_ in mark["failed_in"]
            is_right = mark is not None and mark["batch"] == id_ and mark["state"] == state
            if not is_right and not (took_over and state == PaymentState.FAILED):
                yield Sentence("VERIFY_MARK", {"number": each, "batch": id_, "partner": one.partner})

    # The journal beside all of it

    def bookings(self) -> Iterator[Sentence]:
        """What was booked of a day is what there is to book of it."""
        by_day = {day: [*some] for day, some in groupby(self.entries, key=lambda one: one.day)}
        acts = (receipt_time(delivery) for *_, delivery in self.payments.acts("0", "~"))
        days = {
            *by_day,
            *(date.fromisoformat(doc["day"]) for _, doc in self.statements),
            *(local_day(at, self.program.time_zone) for at in acts),
        }
        last = self.journal.progress().get("day", "")
        for day in sorted(one for one in days if one.isoformat() <= last):
            details = [(group, partner, action, payout) for group, partner, action, payout in
                       self.journal.details(day.isoformat())]  # fmt: skip
            expected = [*day_bookings(self.hub, self.program, day, details)]
            booked = [one.booking for one in by_day.get(day, ())]
            if booked != expected:
                number = next((one.number for one, right in zip(by_day.get(day, ()), expected, strict=False)
                               if one.booking != right), 0)  # fmt: skip
                yield Sentence("VERIFY_BOOKING", {"day": day.isoformat(), "number": str(number or "–")})

    def standing(self) -> Iterator[Sentence]:
        """Every balance, added up anew: what is owed, stated, in payment, and paid."""
        found = balances(self.entries)
        last = self.journal.progress().get("day", "")
        right: dict[str, int] = {}
        own = {id_: doc for id_, doc in self.statements if doc["day"] <= last}
        for _, (group, partner, _, payout) in self.booked.values():
            right[payable(group, partner)] = right.get(payable(group, partner), 0) - payout
        for doc in own.values():
            account = payable(doc["group"], doc["partner"])
            right[account] = right.get(account, 0) + doc["total"]
        for account, amount in sorted(found.items()):
            if account.startswith("payable:") and amount != right.get(account, 0):
                yield Sentence("VERIFY_BALANCE", {"account": account, "amount": self.money(-amount),
                                                  "right": self.money(-right.get(account, 0))})  # fmt: skip
        if sum(found.values()):
            yield Sentence("VERIFY_BALANCE", {"account": "", "amount": self.money(sum(found.values())), "right": "0"})
