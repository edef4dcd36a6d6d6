"""Explain payouts: who is paid what and why, when the credit is certain, and the result by the other terms basis.

Returned as codes of paid.json, which views assemble into sentences in the program's language.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.decide import terms_by_basis
from retour.domain.actions.modification import Modification, Reattribute, Reverse, SetQuantity, SetTotal, TakeBack
from retour.domain.actions.order import ActionHead, LogEntry, Order, payout_of
from retour.domain.actions.outcome import Effect, OtherBasis, Outcome
from retour.domain.actions.replay import ACCEPTED_OUTCOMES, AcceptedRecord, accepted_records, apply_record, undone_ids
from retour.domain.actions.state import as_of_partner, initial_state, lock_rule, lock_terms
from retour.domain.calendar import local_day
from retour.domain.contracts.contract import Contract, TermsBasis
from retour.domain.contracts.lock import AfterStatus, OpenEnded, Restart
from retour.domain.contracts.lock import credit as credit_of
from retour.domain.money import to_text
from retour.domain.phrase import Phrase

# Payouts


def payout_phrases(order: Order, action: Action, head: ActionHead, contracts: Sequence[Contract]) -> list[Phrase]:
    """Which rule pays whom how much, and what came back. The first phrase has the sum, the others the reasons."""
    zone = contracts[0].time_zone
    partner = head.standing.partner
    cuts = [(entry, record) for entry, record in applied_records(order, head) if is_reduction(head, action, entry)]
    if head.standing.is_reversed:
        last = cuts[-1] if cuts else None
        day = local_day(last[1].received_at, zone).isoformat() if last else ""
        return [
            Phrase("PAID_NOTHING", {"partner": partner, "day": day, "reason": last[1].reason or "–" if last else "–"})
        ]
    terms = contracts[head.standing.contract - 1]
    payout = f"{to_text(head.payout, terms.currency)} {terms.currency}"
    parts = [*rule_phrases(action, head, terms)] or [Phrase("PAID_NOTHING_LEFT", {})]
    for record in reattributions(order, head):
        day = local_day(record.received_at, zone).isoformat()
        parts.append(Phrase("TAKEN_OVER", {"partner": action.partner, "day": day}))
    gone = action.amount - head.standing.amount
    if gone > 0 and cuts:
        days = sorted(local_day(record.received_at, zone).isoformat() for _, record in cuts)
        about = {"amount": f"{to_text(gone, action.currency)} {action.currency}", "day": days[-1]}
        more = {"times": str(len(cuts)), "first_day": days[0]}
        parts.append(Phrase("CAME_BACK", about) if days[0] == days[-1] else Phrase("CAME_BACK_BETWEEN", about | more))
    return [Phrase("PAID", {"payout": payout, "partner": partner}), *parts]


def rule_phrases(action: Action, head: ActionHead, terms: Contract) -> Iterator[Phrase]:
    """What is left of the sale, by the rule that pays for it."""
    rests = [(rest.amount, rest.quantity) for rest in head.standing.rests]
    left = [i for i, rest in enumerate(rests) if rest != (0, 0)]
    said_by: dict[str, str] = {"contract": terms.name, "version": str(terms.version)}

    def what(places: Sequence[int]) -> dict[str, str]:
        categories = dict.fromkeys(category for i in places if (category := action.lines[i].category))
        return said_by | {"what": f" {', '.join(categories)}" if categories else ""}

    paid: set[int] = set()
    for share in terms.rule_payouts(as_of_partner(action, head.standing), rests):
        of_rule = [i for i in share.lines if i in left]
        paid.update(of_rule)
        if not of_rule:
            continue
        rule = terms.rules[share.rank - 1]
        said = rule.pay.phrase([rests[i] for i in of_rule], share.uncapped, action, terms.currency)
        yield Phrase(said.code, what(of_rule) | {"rule": str(share.rank), **said.details})
        if rule.at_most is not None and share.uncapped > rule.at_most:
            yield Phrase("PAID_AT_MOST", {"at_most": f"{to_text(rule.at_most, terms.currency)} {terms.currency}"})
    if unpaid := [i for i in left if i not in paid]:
        amount = sum(rests[i][0] for i in unpaid)
        yield Phrase("PAID_NO_RULE", what(unpaid) | {"amount": f"{to_text(amount, action.currency)} {action.currency}"})


def applied_records(order: Order, head: ActionHead) -> list[tuple[LogEntry, Modification]]:
    """The applied entries of an action that were not undone, with their records."""
    undone = undone_ids(accepted_records(order, head))
    found = [(entry, order.record(entry.id)) for entry in head.log if entry.outcome is Outcome.APPLIED]
    return [(entry, record) for entry, record in found if record is not None and record.id not in undone]


def is_reduction(head: ActionHead, action: Action, entry: LogEntry) -> bool:
    at = head.log.index(entry)
    return entry.amount < (head.log[at - 1].amount if at else action.amount)


def reattributions(order: Order, head: ActionHead) -> list[Modification]:
    """The re-attribution in force, or none."""
    found = [record for _, record in applied_records(order, head) if isinstance(record.change, Reattribute)]
    return found[-1:]


# Credit dates


@dataclass(frozen=True, slots=True)
class CreditDate:
    """A credit date. `kind`: earliest, expected or latest; `said` explains it."""

    kind: str
    day: str
    said: Phrase


def credit_date(
    order: Order, action: Action, head: ActionHead, contracts: Sequence[Contract], now: datetime
) -> CreditDate | None:
    """When the partner's credit is certain, as of now; None for reversed actions and unknown dates."""
    if head.standing.is_reversed:
        return None
    countdown, zone = head.standing.countdown, lock_terms(head.standing, contracts).time_zone
    rule = lock_rule(action, head.standing, contracts)
    found = credit_of(rule, countdown, now, zone)
    if found is None:
        return None
    about = {"day": found.day.isoformat(), "status": countdown.status or "–"}
    if countdown.since is not None:
        about["since_day"] = local_day(countdown.since, zone).isoformat()
    if countdown.first is not None:
        about["first_day"] = local_day(countdown.first, zone).isoformat()

    def told(kind: str, code: str, **more: str) -> CreditDate:
        return CreditDate(kind, found.day.isoformat(), Phrase(code, about | more))

    if head.is_locked(now):
        return told("expected", "CREDIT_LOCKED")
    match rule:
        case OpenEnded() if head.standing.approved:
            return told("expected", "CREDIT_APPROVED")
        case OpenEnded():
            return told("latest", "CREDIT_OPEN")
        case AfterStatus(days, statuses, restart):
            counted_from = {"days": str(days), "statuses": ", ".join(sorted(statuses))}
            if countdown.locks_at is None:
                return told("earliest", "CREDIT_LEFT" if countdown.first else "CREDIT_NOT_REACHED", **counted_from)
            if countdown.since == countdown.first:
                return told("expected", "CREDIT_COUNTING", **counted_from)
            return told(
                "expected", "CREDIT_RESTARTED" if restart is Restart.ANY_CHANGE else "CREDIT_CAME_BACK", **counted_from
            )
    return told("expected", "CREDIT_FIXED")


# The other terms basis

OtherBasisPayouts = tuple[TermsBasis, list[int]]
"""The other basis, and the payout by it after each entry of the log."""


def payouts_by_other_basis(
    order: Order, action: Action, head: ActionHead, contracts: Sequence[Contract]
) -> OtherBasisPayouts:
    """The payout after each entry by the terms basis that was not agreed."""
    agreed = contracts[action.contract - 1].basis
    other = TermsBasis.AT_ACTION if agreed is TermsBasis.AT_MODIFICATION else TermsBasis.AT_MODIFICATION
    standing = initial_state(action)
    payouts: list[int] = []
    taken: list[AcceptedRecord] = []
    by_id = {record.id: record for record, _ in accepted_records(order, head)}
    counting = [
        (entry, by_id[entry.id]) for entry in head.log if entry.outcome in ACCEPTED_OUTCOMES and entry.id in by_id
    ]
    if all(terms_number(other, action, head, record, contracts, entry) == entry.contract for entry, record in counting):
        return other, [entry.payout for entry in head.log]
    for entry in head.log:
        record = by_id.get(entry.id)
        if record is not None and entry.outcome in ACCEPTED_OUTCOMES:
            terms = terms_by_basis(other, action, standing, record, contracts) or contracts[entry.contract - 1]
            after = apply_record(action, standing, taken, record, terms, contracts)
            taken.append((record, terms.number))
            standing = standing if isinstance(after, Code) else replace(after, warning=None)
        payouts.append(payout_of(action, standing, contracts))
    return other, payouts


def terms_number(
    basis: TermsBasis,
    action: Action,
    head: ActionHead,
    record: Modification,
    contracts: Sequence[Contract],
    entry: LogEntry,
) -> int:
    terms = terms_by_basis(basis, action, head.standing, record, contracts)
    return terms.number if terms else entry.contract


def other_basis(otherwise: OtherBasisPayouts, head: ActionHead, entry: LogEntry) -> OtherBasis | None:
    """The payout by the other basis after one entry; None if both are equal."""
    basis, payouts = otherwise
    payout = payouts[head.log.index(entry)]
    return OtherBasis(basis.value, payout) if payout != entry.payout else None


def payout_raised_warning(record: Modification, entry: LogEntry, effect: Effect | None) -> Phrase | None:
    """Warn if a change that takes back raises the payout, because other terms priced it."""
    takes_back = isinstance(record.change, Reverse | TakeBack | SetTotal | SetQuantity)
    if effect is None or entry.outcome is not Outcome.APPLIED or not takes_back:
        return None
    if effect.amount_after > effect.amount_before or effect.payout_after <= effect.payout_before:
        return None
    currency = effect.payout_currency
    before, after = (
        f"{to_text(amount, currency)} {currency}" for amount in (effect.payout_before, effect.payout_after)
    )
    return Phrase("PAYOUT_RAISED", {"payout_before": before, "payout_after": after})
