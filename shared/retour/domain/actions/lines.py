"""Line arithmetic (spec 3, Lines): what a change leaves of an action's lines, in minor units and units sold.

A line is never below zero nor above its sale, and its amount and units reach zero together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from retour.domain.actions.action import Action, Line
from retour.domain.actions.codes import Code
from retour.domain.actions.modification import (
    Modification,
    Reverse,
    SetQuantity,
    SetTotal,
    TakeBack,
)
from retour.domain.money import InvalidAmountError, allocate, prorate, to_minor


@dataclass(frozen=True, slots=True)
class LineBalance:
    """The remaining minor units and units of a line."""

    amount: int
    quantity: int


NOTHING_LEFT = LineBalance(0, 0)
LineBalances = tuple[LineBalance, ...]


def balances_as_sold(action: Action) -> LineBalances:
    return tuple(LineBalance(line.amount, line.quantity) for line in action.lines)


def with_consistent_zero(sold: Line, rest: LineBalance) -> LineBalance:
    """Set amount and units to zero if either is. For a sale of 0 only the units count."""
    if (sold.amount and rest.amount <= 0) or (sold.quantity and rest.quantity <= 0):
        return NOTHING_LEFT
    return rest


# The meaning of a record for an action


def resolve_for_action(action: Action, record: Modification) -> Modification | Code:
    """The record in the action's currency, and about its line if the action has a single line without SKU.

    Such a line accepts amounts of any item. Units of an unknown SKU are still unknown.
    """
    if record.currency not in (None, action.currency):
        price = next((price for price in record.prices if price.currency == action.currency), None)
        if price is None:
            return Code.CURRENCY_MISMATCH
        change = record.change
        if isinstance(change, TakeBack):
            change = replace(change, amount=price.amount, of_total=price.of_total or change.of_total)
        elif isinstance(change, SetTotal | SetQuantity):
            change = replace(change, amount=price.amount)
        record = replace(record, change=change, currency=action.currency)
    if matching_lines(action, record) or len(action.lines) != 1 or action.lines[0].sku is not None:
        return record
    match record.change:
        case TakeBack(amount=amount) as taken if amount is not None:
            return replace(record, sku=None, line=None, change=replace(taken, quantity=None))
        case SetTotal():
            return replace(record, sku=None, line=None)
        case SetQuantity(amount=amount) if amount is not None:
            return replace(record, sku=None, line=None, change=SetTotal(amount))
    return record


def matching_lines(action: Action, record: Modification) -> list[int]:
    sku, line = record.sku, record.line
    return [
        i
        for i, sold in enumerate(action.lines)
        if (sku is None or sold.sku == sku) and (line is None or sold.line == line)
    ]


def target_lines(action: Action, record: Modification) -> list[int] | Code:
    """The indices of the lines a record is about: one line, all lines of a SKU, or all lines."""
    return matching_lines(action, record) or Code.UNKNOWN_ITEM


def is_one_item(action: Action, target: Sequence[int]) -> bool:
    """Whether the lines share a SKU, so that a number of units has a meaning."""
    return len({action.lines[i].sku for i in target}) == 1


def to_minor_units(amount: Decimal, action: Action) -> int | Code:
    if amount < 0:
        return Code.AMOUNT_NEGATIVE
    try:
        return to_minor(amount, action.currency)
    except InvalidAmountError:
        return Code.AMOUNT_TOO_FINE


def taken_amount(action: Action, change: TakeBack) -> int | Code:
    """The amount in minor units. Of an order total, the same share of the sale."""
    assert change.amount is not None
    taken = to_minor_units(change.amount, action)
    if isinstance(taken, Code) or not change.of_total:
        return taken
    whole = to_minor_units(change.of_total, action)
    return whole if isinstance(whole, Code) else prorate(action.amount, taken, whole)


# The effect of a change


def spread_total(total: int, have: Sequence[int], most: Sequence[int]) -> Sequence[int]:
    """Spread a total: a lower one by current amounts, a higher one by the difference to `most` (at least the total)."""
    if total <= sum(have):
        return allocate(total, have)
    raised = allocate(total - sum(have), [limit - now for limit, now in zip(most, have, strict=True)])
    return [now + more for now, more in zip(have, raised, strict=True)]


def set_total(
    action: Action, balances: LineBalances, target: Sequence[int], change: SetTotal
) -> dict[int, LineBalance] | Code:
    """Spread a lower total by current amounts and a higher one by amounts lost. No line exceeds its sale."""
    total = to_minor_units(change.amount, action)
    if isinstance(total, Code):
        return total
    sold, have = [action.lines[i].amount for i in target], [balances[i].amount for i in target]
    if total > sum(sold):
        return Code.AMOUNT_EXCEEDS_SALE
    if total == 0:
        return dict.fromkeys(target, NOTHING_LEFT) if any(have) else {}
    parts = spread_total(total, have, sold)
    return {
        i: with_consistent_zero(
            action.lines[i], LineBalance(part, balances[i].quantity or (action.lines[i].quantity if part else 0))
        )
        for i, part in zip(target, parts, strict=True)
    }


def set_quantity(action: Action, target: Sequence[int], change: SetQuantity) -> dict[int, LineBalance] | Code:
    """Keep units in line order. An amount is that of the lines that keep a unit. No line exceeds its sale."""
    if not is_one_item(action, target):
        return Code.ITEM_NEEDED
    returned = sum(action.lines[i].quantity for i in target) - change.quantity
    if returned < 0:
        return Code.QUANTITY_EXCEEDS_SOLD
    if change.quantity == 0:
        return dict.fromkeys(target, NOTHING_LEFT)
    rests: dict[int, LineBalance] = {}
    for i in target:
        sold = action.lines[i]
        left = sold.quantity - min(returned, sold.quantity)
        returned -= sold.quantity - left
        rests[i] = LineBalance(prorate(sold.amount, left, sold.quantity) if sold.quantity else sold.amount, left)
    if change.amount is not None:
        total = to_minor_units(change.amount, action)
        if isinstance(total, Code):
            return total
        have = [rests[i].amount for i in target]
        room = [action.lines[i].amount if rests[i].quantity or not action.lines[i].quantity else 0 for i in target]
        if total > sum(room):
            return Code.AMOUNT_EXCEEDS_SALE
        parts = spread_total(total, have, room)
        rests = {i: LineBalance(part, rests[i].quantity) for i, part in zip(target, parts, strict=True)}
    return {i: with_consistent_zero(action.lines[i], rest) for i, rest in rests.items()}


def take_back(
    action: Action, balances: LineBalances, target: Sequence[int], change: TakeBack
) -> dict[int, LineBalance] | Code:
    after = {i: balances[i] for i in target}
    if change.quantity is not None:
        if not is_one_item(action, target):
            return Code.ITEM_NEEDED
        if change.quantity > sum(rest.quantity for rest in after.values()) and not change.clamp:
            return Code.QUANTITY_EXCEEDS_SOLD
        after = take_units(action, after, change.quantity)
    if change.amount is not None:
        taken = taken_amount(action, change)
        if isinstance(taken, Code):
            return taken
        left = [balances[i].amount for i in target]
        if taken > sum(left) and not change.clamp:
            return Code.AMOUNT_EXCEEDS_SALE
        parts = allocate(min(taken, sum(left)), left)
        after = {
            i: LineBalance(have - part, after[i].quantity) for i, have, part in zip(target, left, parts, strict=True)
        }
    return {i: with_consistent_zero(action.lines[i], rest) for i, rest in after.items()}


def take_units(action: Action, rests: Mapping[int, LineBalance], units: int) -> dict[int, LineBalance]:
    """Take units from the lines in order."""
    after: dict[int, LineBalance] = {}
    for i, rest in rests.items():
        taken = min(units, rest.quantity)
        units -= taken
        share = min(share_of(action.lines[i], rest, taken), rest.amount)
        after[i] = LineBalance(rest.amount - share, rest.quantity - taken)
    return after


def share_of(sold: Line, rest: LineBalance, units: int) -> int:
    """The amount of further units: their share of the original line, cumulative so that all units sum to it."""
    if not sold.quantity:
        return 0
    gone = max(sold.quantity - rest.quantity, 0)
    upto = min(gone + units, sold.quantity)
    return prorate(sold.amount, upto, sold.quantity) - prorate(sold.amount, gone, sold.quantity)


def exceeds(action: Action, balances: LineBalances, target: Sequence[int], change: TakeBack) -> bool:
    """Whether more is taken back than these lines have left."""
    if change.amount is not None:
        taken = taken_amount(action, change)
        return isinstance(taken, int) and taken > sum(balances[i].amount for i in target)
    return change.quantity is not None and change.quantity > sum(balances[i].quantity for i in target)


# Statements on subjects (spec 4, Subjects)


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """What is taken back of some lines: an amount, units at their share of the sale, and units without amount."""

    target: tuple[int, ...]
    amount: int
    units: int = 0
    counted: int = 0


Statement = tuple[Claim, ...]
"""What a subject takes back in total: one claim per target, in order; () is nothing."""
NOTHING: Statement = ()


def claims_of(action: Action, record: Modification) -> tuple[Claim, ...] | Code:
    """What a record states as taken back. Refused only if invalid in itself, regardless of other records."""
    found = target_lines(action, record)
    if isinstance(found, Code):
        return found
    target = tuple(found)
    amount = sum(action.lines[i].amount for i in target)
    units = sum(action.lines[i].quantity for i in target)
    match record.change:
        case Reverse():
            return claims_for_all(action, target)
        case SetTotal(asked):
            total = to_minor_units(asked, action)
            if isinstance(total, Code):
                return total
            if total > amount:
                return Code.AMOUNT_EXCEEDS_SALE
            return (Claim(target, amount - total),) if total else claims_for_all(action, target)
        case SetQuantity(quantity, asked_amount):
            rests = set_quantity(action, target, SetQuantity(quantity, asked_amount))
            if isinstance(rests, Code):
                return rests
            if quantity == 0:
                return claims_for_all(action, target)
            left = sum(rest.amount for rest in rests.values())
            if asked_amount is None:
                return (Claim(target, 0, units - quantity),)
            return (Claim(target, amount - left, 0, units - quantity),)
        case TakeBack() as change:
            return claim_of(action, target, change, amount, units)
    return Code.CHANGE_NOT_OFFERED


def claim_of(
    action: Action, target: tuple[int, ...], change: TakeBack, amount: int, units: int
) -> tuple[Claim, ...] | Code:
    quantity = change.quantity or 0
    if quantity and not is_one_item(action, target):
        return Code.ITEM_NEEDED
    if quantity > units and not change.clamp:
        return Code.QUANTITY_EXCEEDS_SOLD
    quantity = min(quantity, units)
    if change.amount is None:
        return (Claim(target, 0, quantity),)
    taken = taken_amount(action, change)
    if isinstance(taken, Code):
        return taken
    if taken > amount and not change.clamp:
        return Code.AMOUNT_EXCEEDS_SALE
    return (Claim(target, min(taken, amount), 0, quantity),)


def claims_for_all(action: Action, target: Iterable[int]) -> tuple[Claim, ...]:
    return tuple(Claim((i,), action.lines[i].amount, 0, action.lines[i].quantity) for i in target)


def merge_claims(claims: Iterable[Claim]) -> Statement:
    """Merge claims of the same target, dropping those that take nothing."""
    of_target: dict[tuple[int, ...], Claim] = {}
    for claim in claims:
        so_far = of_target.get(claim.target, Claim(claim.target, 0))
        of_target[claim.target] = Claim(
            claim.target, so_far.amount + claim.amount, so_far.units + claim.units, so_far.counted + claim.counted
        )
    return tuple(sorted(claim for claim in of_target.values() if claim.amount or claim.units or claim.counted))


def scope_order(claim: Claim) -> tuple[bool, int, tuple[int, ...]]:
    """Sort key: lines first, then pools, then the whole order."""
    return len(claim.target) > 1, len(claim.target), claim.target


def balances_after(action: Action, own: LineBalances, statements: Iterable[Statement]) -> LineBalances:
    """The balances left by all statements, starting from those left by records without subject. Never below zero."""
    rests = list(own)
    for claim in sorted(merge_claims(claim for statement in statements for claim in statement), key=scope_order):
        first = claim.target[0]
        if len(claim.target) == 1:
            rest = rests[first]
            share = share_of(action.lines[first], rest, claim.units)
            rests[first] = LineBalance(
                max(rest.amount - claim.amount - share, 0), max(rest.quantity - claim.units - claim.counted, 0)
            )
            continue
        pool = take_units(action, {i: rests[i] for i in claim.target}, claim.units)
        have = [pool[i].amount for i in claim.target]
        counted = claim.counted
        for i, part in zip(claim.target, allocate(min(claim.amount, sum(have)), have), strict=True):
            fewer = min(counted, pool[i].quantity)
            counted -= fewer
            rests[i] = with_consistent_zero(
                action.lines[i], LineBalance(pool[i].amount - part, pool[i].quantity - fewer)
            )
    return tuple(
        with_consistent_zero(sold, LineBalance(min(rest.amount, sold.amount), min(rest.quantity, sold.quantity)))
        for sold, rest in zip(action.lines, rests, strict=True)
    )


def balances_before_claims(action: Action, remaining: LineBalances, statements: Iterable[Statement]) -> LineBalances:
    """The balances that records without subject must leave so that `remaining` is left after the statements.

    A set total is what remains together with all statements so far; later statements change it by their difference.
    """
    own = list(remaining)
    claims = sorted(
        merge_claims(claim for statement in statements for claim in statement), key=scope_order, reverse=True
    )
    for claim in claims:
        if len(claim.target) == 1:
            i = claim.target[0]
            quantity = own[i].quantity + claim.units + claim.counted
            share = share_of(action.lines[i], LineBalance(0, quantity), claim.units)
            own[i] = LineBalance(own[i].amount + claim.amount + share, quantity)
            continue
        have = [own[i].amount for i in claim.target]
        weights = have if any(have) else [action.lines[i].amount for i in claim.target]
        for i, part in zip(claim.target, allocate(claim.amount, weights), strict=True):
            own[i] = LineBalance(own[i].amount + part, own[i].quantity)
        first = claim.target[0]
        quantity = own[first].quantity + claim.units + claim.counted
        share = share_of(action.lines[first], LineBalance(0, quantity), claim.units)
        own[first] = LineBalance(own[first].amount + share, quantity)
    return tuple(own)
