"""Who can be paid on a day, and why others cannot: a pure function of statements, accounts and treatments (spec 8).

A batch is proposed as a whole and identified by its contents, so equal contents are the same batch. The approval
computes it again, and anything that has changed since is not approved.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any

from retour.domain.money import to_text
from retour.domain.times import format_instant

BATCH_DIGITS, TRANSFER_DIGITS = 12, 20


class Obstacle(StrEnum):
    """Why a partner is not in a batch, in order of precedence."""

    NOT_DUE = "PAYMENT_NOT_DUE"
    RETURN_POSSIBLE = "PAYMENT_RETURN_POSSIBLE"
    ON_HOLD = "PAYMENT_ON_HOLD"
    BELOW_MINIMUM = "PAYMENT_BELOW_MINIMUM"
    NO_TAX_TREATMENT = "PAYMENT_NO_TAX_TREATMENT"
    NO_ACCOUNT = "PAYMENT_NO_ACCOUNT"
    ACCOUNT_TOO_NEW = "PAYMENT_ACCOUNT_TOO_NEW"


class Treatment(StrEnum):
    """The tax treatment of a partner's commission. Nothing is paid without one."""

    DOMESTIC_VAT = "domestic_vat"
    REVERSE_CHARGE = "reverse_charge"
    SMALL_BUSINESS = "small_business"
    NOT_TAXABLE = "not_taxable"
    OUTSIDE_EU = "outside_eu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The public data of a payout account: its country and last four characters.

    `id` identifies account and holder, `fingerprint` the number alone: partners who share an account have the same one.
    """

    owner: str
    id: str
    country: str
    tail: str
    fingerprint: str
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaid:
    """An unpaid statement, in minor units.

    `last_report`: the last day on which a return of its actions can be reported, as far as event types say; `is_known`:
    all of them do. `failed_in`: batches in which its payment failed.
    """

    id: str
    number: str
    partner: str
    group: str
    total: int
    due: date
    last_report: date | None = None
    is_known: bool = True
    is_on_hold: bool = False
    failed_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A payment of a batch, for one partner and group. `notes` are codes for the approver."""

    partner: str
    group: str
    amount: int
    statements: tuple[str, ...]
    numbers: tuple[str, ...]
    account: str
    tail: str
    failed_in: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name within the batch."""
        return f"{self.group}#{self.partner}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A payment left out, with the code and values of the reason."""

    partner: str
    group: str
    amount: int
    statements: tuple[str, ...]
    why: Obstacle
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A batch before approval: what would be paid on a day, and what would not."""

    day: date
    currency: str
    transfers: tuple[Transfer, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def total(self) -> int:
        return sum(one.amount for one in self.transfers)

    @property
    def contents(self) -> str:
        """The SHA-256 of the payments, to which an approval is bound."""
        what = [self.day.isoformat(), self.currency, [asdict(one) for one in self.transfers]]
        return hashlib.sha256(json.dumps(what, ensure_ascii=False, sort_keys=True).encode()).hexdigest()

    @property
    def id(self) -> str:
        """The day and a hash of the contents."""
        return f"{self.day}~{self.contents[:BATCH_DIGITS]}"


@dataclass(frozen=True, slots=True)
class Payees:
    """The payees: accounts and treatments by partner, minimum payouts by group."""

    accounts: Mapping[str, Account]
    treatments: Mapping[str, Treatment]
    minimums: Mapping[str, int]
    wait: timedelta


def propose(unpaid: Iterable[Unpaid], payees: Payees, currency: str, day: date, now: datetime) -> Proposal:
    """What can be paid on a day, by partner."""
    transfers: list[Transfer] = []
    left_out: list[LeftOut] = []
    shared = shared_accounts(payees.accounts)
    ordered = sorted(unpaid, key=lambda one: (one.group, one.partner, one.due, one.id))
    for (group, partner), found in groupby(ordered, key=lambda one: (one.group, one.partner)):
        ready: list[Unpaid] = []
        for one in found:
            why = obstacle_of_statement(one, day)
            if why is None:
                ready.append(one)
            else:
                left_out.append(left(group, partner, [one], *why))
        if not ready:
            continue
        why = obstacle_of_partner(partner, group, sum(one.total for one in ready), payees, now, currency)
        if why is not None:
            left_out.append(left(group, partner, ready, *why))
            continue
        account = payees.accounts[partner]
        notes = ("PAYMENT_RETURNS_UNKNOWN",) * (not all(one.is_known for one in ready))
        notes += ("PAYMENT_ACCOUNT_SHARED",) * (account.fingerprint in shared)
        transfers.append(
            Transfer(
                partner=partner,
                group=group,
                amount=sum(one.total for one in ready),
                statements=tuple(one.id for one in ready),
                numbers=tuple(one.number for one in ready),
                account=account.id,
                tail=account.tail,
                failed_in=tuple(sorted({batch for one in ready for batch in one.failed_in})),
                notes=notes,
            )
        )
    return Proposal(day=day, currency=currency, transfers=tuple(transfers), left_out=tuple(left_out))


Why = tuple[Obstacle, dict[str, str]]


def obstacle_of_statement(one: Unpaid, day: date) -> Why | None:
    if one.due > day:
        return Obstacle.NOT_DUE, {"number": one.number, "due_day": one.due.isoformat()}
    if one.last_report is not None and day <= one.last_report:
        return Obstacle.RETURN_POSSIBLE, {"number": one.number, "report_day": one.last_report.isoformat()}
    return (Obstacle.ON_HOLD, {"number": one.number}) if one.is_on_hold else None


def obstacle_of_partner(
    partner: str, group: str, amount: int, payees: Payees, now: datetime, currency: str
) -> Why | None:
    least = payees.minimums.get(group, 0)
    if amount <= 0 or amount < least:
        return Obstacle.BELOW_MINIMUM, {"amount": amount_text(amount, currency), "most": amount_text(least, currency)}
    if partner not in payees.treatments:
        return Obstacle.NO_TAX_TREATMENT, {"partner": partner}
    account = payees.accounts.get(partner)
    if account is None:
        return Obstacle.NO_ACCOUNT, {"partner": partner}
    free_at = account.changed_at + payees.wait
    if now < free_at:
        return Obstacle.ACCOUNT_TOO_NEW, {
            "partner": partner,
            "hours": str(payees.wait // timedelta(hours=1)),
            "received_at": format_instant(account.changed_at),
            "locks_at": format_instant(free_at),
        }
    return None


def amount_text(minor: int, currency: str) -> str:
    """An amount for messages: `25.00 EUR`."""
    return f"{to_text(minor, currency)} {currency}"


def shared_accounts(accounts: Mapping[str, Account]) -> set[str]:
    """Fingerprints of accounts that several partners have."""
    count = Counter(one.fingerprint for one in accounts.values())
    return {fingerprint for fingerprint, partners in count.items() if partners > 1}


def left(group: str, partner: str, some: Sequence[Unpaid], why: Obstacle, details: Mapping[str, str]) -> LeftOut:
    return LeftOut(
        partner=partner,
        group=group,
        amount=sum(one.total for one in some),
        statements=tuple(one.id for one in some),
        why=why,
        details=details,
    )


def changed_transfers(batch: Sequence[Transfer], now: Proposal) -> list[Transfer]:
    """The transfers of a proposal that would not be paid unchanged any more."""
    standing = {one.name: one for one in now.transfers}

    def is_same(one: Transfer) -> bool:
        other = standing.get(one.name)
        return (
            other is not None
            and (one.account, one.failed_in) == (other.account, other.failed_in)
            and (set(one.statements) <= set(other.statements))
        )

    return [one for one in batch if not is_same(one)]


def transfer_id(batch: str, one: Transfer, day: date) -> str:
    """The end-to-end id of a payment: 30 letters and digits without personal data."""
    digest = hashlib.sha256(f"{batch}\0{one.name}".encode()).hexdigest()
    return f"RT{day:%Y%m%d}{digest[:TRANSFER_DIGITS].upper()}"


# Results


class PaymentState(StrEnum):
    """The state of a transfer of an approved batch."""

    IN_PAYMENT = "in_payment"
    PAID = "paid"
    FAILED = "failed"


class BatchState(StrEnum):
    """PROPOSED until another person approves it; APPROVED until every transfer is paid or failed."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """The result of a transfer: paid on a day, or failed for a reason."""

    state: PaymentState
    day: date
    reason: str = ""


def next_state(before: Confirmation | None, told: Confirmation) -> str:
    """The effect of a confirmation: `applied`, `unchanged`, or the code of its refusal.

    A paid transfer may be returned (then failed). A failed one is payable again and may be in another batch by now, so
    a later "paid" is refused.
    """
    if before is None:
        return "applied"
    if (before.state, before.reason) == (told.state, told.reason) or (before.state is told.state is PaymentState.PAID):
        return "unchanged"
    if before.state is PaymentState.PAID and told.state is PaymentState.FAILED:
        return "applied"
    return "unchanged" if before.state is told.state else "CONFIRMATION_AFTER_FAILURE"


def document_of(one: Transfer) -> list[Any]:
    """The stored form, read for years: append fields, never move one."""
    return [one.partner, one.group, one.amount, list(one.statements), list(one.numbers), one.account, one.tail,
            list(one.failed_in), list(one.notes)]  # fmt: skip


def transfer_from(doc: Sequence[Any]) -> Transfer:
    partner, group, amount, statements, numbers, account, tail, failed_in, notes = doc
    return Transfer(
        partner=partner,
        group=group,
        amount=amount,
        statements=tuple(statements),
        numbers=tuple(numbers),
        account=account,
        tail=tail,
        failed_in=tuple(failed_in),
        notes=tuple(notes),
    )


def left_out_document(one: LeftOut) -> list[Any]:
    return [one.partner, one.group, one.amount, list(one.statements), one.why.value, dict(one.details)]


def left_out_from(doc: Sequence[Any]) -> LeftOut:
    partner, group, amount, statements, why, details = doc
    return LeftOut(
        partner=partner, group=group, amount=amount, statements=tuple(statements), why=Obstacle(why), details=details
    )
