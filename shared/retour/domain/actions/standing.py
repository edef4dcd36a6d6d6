"""What remains of an action after some of its modifications: line arithmetic only (spec 3, Lines)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.modification import (
    Approve,
    Discard,
    Modification,
    Reattribute,
    Release,
    Reprice,
    Restore,
    Reverse,
    SetQuantity,
    SetStatus,
    SetTotal,
    TakeBack,
    Undo,
)
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.lock import Countdown, after_approval, after_status, at_report
from retour.domain.money import NotAnAmount, allocate, portion, to_minor


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of one line: minor units and units sold that have not come back."""

    amount: int
    quantity: int


GONE = Rest(0, 0)


@dataclass(frozen=True, slots=True)
class Reversal:
    """The reversal in force: whose word it was, and the lines before it."""

    source: str
    before: tuple[Rest, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """`zeroed` remembers, per line at zero, what it was before; `contract` last priced the lines."""

    rests: tuple[Rest, ...]
    zeroed: tuple[Rest | None, ...]
    contract: int
    partner: str
    countdown: Countdown
    approved: bool = False
    reversal: Reversal | None = None
    warning: Code | None = None

    @property
    def amount(self) -> int:
        return sum(rest.amount for rest in self.rests)


def as_reported(action: Action) -> Standing:
    return Standing(
        rests=tuple(Rest(line.amount, line.quantity) for line in action.lines),
        zeroed=(None,) * len(action.lines),
        contract=action.contract,
        partner=action.partner,
        countdown=Countdown(action.locks_at),
    )


def step(action: Action, standing: Standing, modification: Modification, terms: Contract) -> Standing | Code:
    """The standing after one modification, or the reason why it cannot be. `terms` price it if lines move."""
    standing = replace(standing, warning=None)
    match modification.change:
        case SetStatus(status):
            return with_status(standing, status, modification, terms)
        case Reattribute(partner):
            return reattributed(action, standing, partner, terms)
        case Reprice():
            return replace(standing, contract=terms.number)
        case Approve(restores):
            if standing.reversal is None:
                return approved(standing, modification, terms)
            whole = range(len(action.lines))
            return restored(action, standing, whole, terms.number) if restores else Code.ACTION_REVERSED
        case Undo() | Release() | Discard():
            return standing
    target = targeted(action, modification)
    if isinstance(target, Code):
        return target
    return lines_changed(action, standing, target, modification, terms)


def lines_changed(
    action: Action, standing: Standing, target: Sequence[int], modification: Modification, terms: Contract
) -> Standing | Code:
    result: dict[int, Rest] | Code
    match modification.change:
        case Reverse():
            result = dict.fromkeys(target, GONE)
        case Restore():
            return restored(action, standing, target, terms.number)
        case SetTotal() | SetQuantity() as change if reversed_by_another(standing, modification):
            return unless_nothing_asked(change, standing)
        case SetTotal() as change:
            result = total_set(action, standing, target, change)
        case SetQuantity() as change:
            result = quantity_set(action, target, change)
        case TakeBack(clamp=True) if standing.reversal:
            return replace(standing, warning=Code.CLAMPED_TO_SALE)
        case TakeBack() if standing.reversal:
            return Code.ACTION_REVERSED
        case TakeBack() as change:
            result = taken_back(action, standing, target, change)
        case _:
            return Code.CHANGE_NOT_OFFERED
    if isinstance(result, Code):
        return result
    clamped = isinstance(modification.change, TakeBack) and takes_more_than_left(action, standing, target, modification)
    after = moved(action, standing, result, modification, terms.number)
    return replace(after, warning=Code.CLAMPED_TO_SALE) if clamped else after


def with_status(standing: Standing, status: str, modification: Modification, terms: Contract) -> Standing:
    when, received_at = modification.orders_by, modification.received_at
    return replace(
        standing, countdown=after_status(terms.lock, standing.countdown, status, when, received_at, terms.time_zone)
    )


def approved(standing: Standing, modification: Modification, terms: Contract) -> Standing:
    countdown = after_approval(terms.lock, standing.countdown, modification.received_at, terms.time_zone)
    return replace(standing, approved=True, countdown=countdown)


def reattributed(action: Action, standing: Standing, partner: str, terms: Contract) -> Standing:
    """Out of one partner and into another under the other's terms; the lock never gets earlier."""
    if partner == standing.partner:
        return standing
    now, then = standing.countdown, at_report(terms.lock, action.event_time, terms.time_zone)
    later = None if now.locks_at is None or then.locks_at is None else max(now.locks_at, then.locks_at)
    return replace(standing, partner=partner, contract=terms.number, countdown=replace(now, locks_at=later))


def reversed_by_another(standing: Standing, modification: Modification) -> bool:
    return standing.reversal is not None and standing.reversal.source != modification.source


def unless_nothing_asked(change: SetTotal | SetQuantity, standing: Standing) -> Standing | Code:
    """Only the source of a reversal may take it back by a later total; from others, only zero agrees with it."""
    asked = change.amount if isinstance(change, SetTotal) else change.quantity
    return standing if asked == 0 else Code.ACTION_REVERSED


def targeted(action: Action, modification: Modification) -> list[int] | Code:
    """The lines meant: one line, the pool of a SKU in line order, or all of them."""
    sku, line = modification.sku, modification.line
    found = [
        i
        for i, sold in enumerate(action.lines)
        if (sku is None or sold.sku == sku) and (line is None or sold.line == line)
    ]
    return found or Code.UNKNOWN_ITEM


def total_set(action: Action, standing: Standing, target: Sequence[int], change: SetTotal) -> dict[int, Rest] | Code:
    """A lower total is spread by what the lines have, a higher one by what they have lost: none exceeds its sale."""
    total = minor(change.amount, action)
    if isinstance(total, Code):
        return total
    sold, have = [action.lines[i].amount for i in target], [standing.rests[i].amount for i in target]
    if total > sum(sold):
        return Code.AMOUNT_EXCEEDS_SALE
    if total == 0:
        return dict.fromkeys(target, GONE) if any(have) else {}
    lost = [was - now for was, now in zip(sold, have, strict=True)]
    raised = allocate(total - sum(have), lost) if total > sum(have) else None
    parts = [now + more for now, more in zip(have, raised, strict=True)] if raised else allocate(total, have)
    return {
        i: Rest(part, standing.rests[i].quantity or (action.lines[i].quantity if part else 0))
        for i, part in zip(target, parts, strict=True)
    }


def quantity_set(action: Action, target: Sequence[int], change: SetQuantity) -> dict[int, Rest] | Code:
    if not one_item(action, target):
        return Code.ITEM_NEEDED
    returned = sum(action.lines[i].quantity for i in target) - change.quantity
    if returned < 0:
        return Code.QUANTITY_EXCEEDS_SOLD
    if change.quantity == 0:
        return dict.fromkeys(target, GONE)
    rests: dict[int, Rest] = {}
    for i in target:
        sold = action.lines[i]
        left = sold.quantity - min(returned, sold.quantity)
        returned -= sold.quantity - left
        rests[i] = Rest(portion(sold.amount, left, sold.quantity) if sold.quantity else sold.amount, left)
    if change.amount is None:
        return rests
    total = minor(change.amount, action)
    if isinstance(total, Code):
        return total
    if total > sum(action.lines[i].amount for i in target):
        return Code.AMOUNT_EXCEEDS_SALE
    parts = allocate(total, [rests[i].amount for i in target])
    return {i: Rest(part, rests[i].quantity) for i, part in zip(target, parts, strict=True)}


def taken_back(action: Action, standing: Standing, target: Sequence[int], change: TakeBack) -> dict[int, Rest] | Code:
    rests = {i: standing.rests[i] for i in target}
    if change.quantity is not None:
        if not one_item(action, target):
            return Code.ITEM_NEEDED
        if change.quantity > sum(rest.quantity for rest in rests.values()) and not change.clamp:
            return Code.QUANTITY_EXCEEDS_SOLD
        rests = units_taken(action, rests, change.quantity)
    if change.amount is None:
        return rests
    taken = taken_amount(action, change)
    if isinstance(taken, Code):
        return taken
    left = [standing.rests[i].amount for i in target]
    if taken > sum(left) and not change.clamp:
        return Code.AMOUNT_EXCEEDS_SALE
    parts = allocate(min(taken, sum(left)), left)
    return {i: Rest(have - part, rests[i].quantity) for i, have, part in zip(target, left, parts, strict=True)}


def units_taken(action: Action, rests: dict[int, Rest], units: int) -> dict[int, Rest]:
    """Units leave the pool in line order; each is worth its share of the original line, so that all sum to the line."""
    after: dict[int, Rest] = {}
    for i, rest in rests.items():
        sold = action.lines[i]
        taken = min(units, rest.quantity)
        units -= taken
        gone = sold.quantity - rest.quantity
        share = (
            portion(sold.amount, gone + taken, sold.quantity) - portion(sold.amount, gone, sold.quantity)
            if sold.quantity
            else 0
        )
        after[i] = Rest(rest.amount - min(share, rest.amount), rest.quantity - taken)
    return after


def taken_amount(action: Action, change: TakeBack) -> int | Code:
    assert change.amount is not None
    taken = minor(change.amount, action)
    if isinstance(taken, Code) or not change.of_total:
        return taken
    whole = minor(change.of_total, action)
    return whole if isinstance(whole, Code) else portion(action.amount, taken, whole)


def takes_more_than_left(action: Action, standing: Standing, target: Sequence[int], modification: Modification) -> bool:
    change = modification.change
    assert isinstance(change, TakeBack)
    if change.amount is not None:
        taken = taken_amount(action, change)
        return isinstance(taken, int) and taken > sum(standing.rests[i].amount for i in target)
    return change.quantity is not None and change.quantity > sum(standing.rests[i].quantity for i in target)


def one_item(action: Action, target: Sequence[int]) -> bool:
    """A number of units means something only within one SKU (or the one line there is)."""
    return len({action.lines[i].sku for i in target}) == 1


def minor(amount: Decimal, action: Action) -> int | Code:
    if amount < 0:
        return Code.AMOUNT_NEGATIVE
    try:
        return to_minor(amount, action.currency)
    except NotAnAmount:
        return Code.AMOUNT_TOO_FINE


def moved(
    action: Action, standing: Standing, rests: dict[int, Rest], modification: Modification, contract: int
) -> Standing:
    """The lines replaced; all at zero is a reversal, anything above zero ends one."""
    after = tuple(rests.get(i, rest) for i, rest in enumerate(standing.rests))
    whole_order = modification.sku is None and modification.line is None
    if after == standing.rests and not (isinstance(modification.change, Reverse) and whole_order):
        return standing
    nothing_left = not any(rest.amount for rest in after)
    was_worth_something = any(line.amount for line in action.lines)
    reverses = nothing_left and (was_worth_something or isinstance(modification.change, Reverse))
    reversal = None
    if reverses:
        reversal = standing.reversal or Reversal(modification.source, standing.rests)
    return replace(
        standing,
        rests=tuple(GONE for _ in after) if reverses else after,
        zeroed=tuple(
            (before if before != GONE else memory) if rest == GONE or reverses else None
            for before, rest, memory in zip(standing.rests, after, standing.zeroed, strict=True)
        ),
        contract=contract if after != standing.rests else standing.contract,
        approved=standing.approved and not reverses,
        reversal=reversal,
    )


def restored(action: Action, standing: Standing, target: Sequence[int], contract: int) -> Standing:
    """The lines as before the reversal in force; of a single item, as before it went to zero."""
    if standing.reversal and len(target) == len(action.lines):
        rests = standing.reversal.before
    else:
        rests = tuple(
            standing.zeroed[i] or rest if i in target and rest == GONE else rest
            for i, rest in enumerate(standing.rests)
        )
    if rests == standing.rests and standing.reversal is None:
        return standing
    return replace(
        standing,
        rests=rests,
        zeroed=tuple(memory if rest == GONE else None for rest, memory in zip(rests, standing.zeroed, strict=True)),
        contract=contract,
        reversal=None,
    )
