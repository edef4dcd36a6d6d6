"""Who is paid what and why, when the credit is certain, and what the other terms basis would have given.

Parts of sentences as codes of paid.json; whoever shows them puts them together in the language of the program.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.decide import terms_for
from retour.domain.actions.modification import Approve, Modification, Reattribute, SetStatus, Undo
from retour.domain.actions.order import Entry, Head, Order, payout_of
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.replay import ACCEPTED, Priced, accepted_records, in_order, replay, undone_ids
from retour.domain.actions.standing import as_reported, step
from retour.domain.calendar import local_day
from retour.domain.contracts.contract import Basis, Contract, Flat, Percent
from retour.domain.contracts.lock import AfterStatus, OpenEnded, Restart
from retour.domain.contracts.lock import credit as credit_of
from retour.domain.contracts.versions import terms_at
from retour.domain.money import to_text

# Who is paid what


@dataclass(frozen=True, slots=True)
class Said:
    """One part of what is to be told: its code in paid.json, and what fills it. Days are ISO texts, named `…day`."""

    code: str
    details: Mapping[str, str]


def payment(order: Order, action: Action, head: Head, contracts: Sequence[Contract]) -> list[Said]:
    """Which rule pays whom what, and what came back: the first part says the sum, the others why."""
    zone = contracts[0].time_zone
    partner = head.standing.partner
    cuts = [(entry, record) for entry, record in counted(order, head) if reduces(head, action, entry)]
    if head.standing.reversal is not None:
        last = cuts[-1] if cuts else None
        day = local_day(last[1].received_at, zone).isoformat() if last else ""
        return [
            Said("PAID_NOTHING", {"partner": partner, "day": day, "reason": last[1].reason or "–" if last else "–"})
        ]
    terms = contracts[head.standing.contract - 1]
    payout = f"{to_text(head.payout, terms.currency)} {terms.currency}"
    parts = [*by_rule(action, head, terms)] or [Said("PAID_NOTHING_LEFT", {})]
    for record in taken_over(order, head):
        day = local_day(record.received_at, zone).isoformat()
        parts.append(Said("TAKEN_OVER", {"partner": action.partner, "day": day}))
    gone = action.amount - head.standing.amount
    if gone > 0 and cuts:
        days = sorted(local_day(record.received_at, zone).isoformat() for _, record in cuts)
        about = {"amount": f"{to_text(gone, action.currency)} {action.currency}", "day": days[-1]}
        more = {"times": str(len(cuts)), "first_day": days[0]}
        parts.append(Said("CAME_BACK", about) if days[0] == days[-1] else Said("CAME_BACK_BETWEEN", about | more))
    return [Said("PAID", {"payout": payout, "partner": partner}), *parts]


def by_rule(action: Action, head: Head, terms: Contract) -> Iterator[Said]:
    """What is left of the sale, by the rule that pays for it."""
    paid = terms.pays(action, [(rest.amount, rest.quantity) for rest in head.standing.rests])
    left = [i for i, rest in enumerate(head.standing.rests) if rest.amount or rest.quantity]
    for rank in sorted({paid[i].rule for i in left}, key=lambda rank: rank or len(terms.rules) + 1):
        of_rule = [i for i in left if paid[i].rule == rank]
        amount = sum(head.standing.rests[i].amount for i in of_rule)
        categories = dict.fromkeys(category for i in of_rule if (category := action.lines[i].category))
        about = {
            "amount": f"{to_text(amount, action.currency)} {action.currency}",
            "what": f" {', '.join(categories)}" if categories else "",
            "contract": terms.name,
            "version": str(terms.version),
            "rule": str(rank),
        }
        if not rank:
            yield Said("PAID_NO_RULE", about)
            continue
        match terms.rules[rank - 1].pay:
            case Percent(percent) if action.currency == terms.currency:
                yield Said("PAID_PERCENT", about | {"percent": plain(percent)})
            case Percent(percent):
                converted = {"percent": plain(percent), "rate": plain(action.rate), "currency": terms.currency}
                yield Said("PAID_PERCENT_CONVERTED", about | converted)
            case Flat(flat, per_order):
                units = sum(head.standing.rests[i].quantity for i in of_rule)
                each = {"flat": f"{to_text(flat, terms.currency)} {terms.currency}", "quantity": str(units)}
                yield Said("PAID_ONCE" if per_order else "PAID_EACH", about | each)


def plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def counted(order: Order, head: Head) -> list[tuple[Entry, Modification]]:
    """The applied records of an action that nobody undid."""
    undone = undone_ids(accepted_records(order, head))
    found = [(entry, order.record(entry.id)) for entry in head.log if entry.outcome is Outcome.APPLIED]
    return [(entry, record) for entry, record in found if record is not None and record.id not in undone]


def reduces(head: Head, action: Action, entry: Entry) -> bool:
    at = head.log.index(entry)
    return entry.amount < (head.log[at - 1].amount if at else action.amount)


def taken_over(order: Order, head: Head) -> list[Modification]:
    """The re-attribution in force, if there is one."""
    found = [record for _, record in counted(order, head) if isinstance(record.change, Reattribute)]
    return found[-1:]


# When it is certain


@dataclass(frozen=True, slots=True)
class Credited:
    """`kind`: the day is the earliest, the expected or the latest one; `said` tells why."""

    kind: str
    day: str
    said: Said


def credited(order: Order, action: Action, head: Head, contracts: Sequence[Contract], now: datetime) -> Credited | None:
    """When the partner's credit is certain, as it looks now; None for what is reversed, and while nobody can say."""
    if head.standing.reversal is not None:
        return None
    terms = lock_terms(order, action, head, contracts, now)
    countdown = head.standing.countdown
    found = credit_of(terms.lock, countdown, now, terms.time_zone)
    if found is None:
        return None
    about = {"day": found.day.isoformat(), "status": countdown.status or "–"}
    if countdown.since is not None:
        about["since_day"] = local_day(countdown.since, terms.time_zone).isoformat()
    if countdown.first is not None:
        about["first_day"] = local_day(countdown.first, terms.time_zone).isoformat()

    def told(kind: str, code: str, **more: str) -> Credited:
        return Credited(kind, found.day.isoformat(), Said(code, about | more))

    if head.locked(now):
        return told("expected", "CREDIT_LOCKED")
    match terms.lock:
        case OpenEnded() if head.standing.approved:
            return told("expected", "CREDIT_APPROVED")
        case OpenEnded():
            return told("latest", "CREDIT_OPEN")
        case AfterStatus(days, statuses, restart):
            rule = {"days": str(days), "statuses": ", ".join(sorted(statuses))}
            if countdown.locks_at is None:
                return told("earliest", "CREDIT_LEFT" if countdown.first else "CREDIT_NOT_REACHED", **rule)
            if countdown.since == countdown.first:
                return told("expected", "CREDIT_COUNTING", **rule)
            return told("expected", "CREDIT_RESTARTED" if restart is Restart.ANY_CHANGE else "CREDIT_CAME_BACK", **rule)
    return told("expected", "CREDIT_FIXED")


def lock_terms(order: Order, action: Action, head: Head, contracts: Sequence[Contract], now: datetime) -> Contract:
    """The version whose lock rule is in force: what moved the lock last; where nothing fixed it yet, what would now."""
    own = contracts[action.contract - 1]
    if head.locks_at is None and own.basis is Basis.AT_MODIFICATION:
        return terms_at(contracts, action.event_type, head.standing.partner, now) or own
    moving = [entry for entry, record in counted(order, head) if isinstance(record.change, SetStatus | Approve)]
    return contracts[moving[-1].contract - 1] if moving else own


# The other basis


def by_other_basis(order: Order, action: Action, head: Head, contracts: Sequence[Contract]) -> tuple[Basis, list[int]]:
    """The payout after each entry of the log, had the contract agreed the other terms basis."""
    own = contracts[action.contract - 1]
    other = Basis.AT_ACTION if own.basis is Basis.AT_MODIFICATION else Basis.AT_MODIFICATION
    agreed = [replace(one, basis=other) if one is own else one for one in contracts]
    standing = as_reported(action)
    payouts: list[int] = []
    payout = payout_of(action, standing, contracts)
    taken: list[Priced] = []
    newest = None
    for entry in head.log:
        record = order.record(entry.id)
        if record is not None and entry.outcome in ACCEPTED:
            terms = terms_for(action, standing, record, agreed) or contracts[entry.contract - 1]
            taken.append((record, terms.number))
            place = in_order(record)
            comes_last = newest is None or newest < place
            newest = place if newest is None else max(newest, place)
            if comes_last and not isinstance(record.change, Undo):
                after = step(action, standing, record, terms)
            else:
                after = replay(action, taken, contracts)
            standing = standing if isinstance(after, Code) else replace(after, warning=None)
            payout = payout_of(action, standing, contracts)
        payouts.append(payout)
    return other, payouts
