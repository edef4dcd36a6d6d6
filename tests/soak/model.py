"""A second opinion of what remains of an action, in the words of the spec and in plain steps: everything that counts,
in the order it happened, from the sale on. It shares no arithmetic with the fold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor
from zoneinfo import ZoneInfo

from retour.domain.actions.action import Action
from retour.domain.actions.modification import Modification
from retour.domain.contracts.contract import Contract


class RefusedBySpecError(Exception):
    """The spec refuses this change on this standing."""


@dataclass
class Remains:
    amounts: list[int]
    units: list[int]
    memory: list[tuple[int, int] | None]
    partner: str
    contract: int
    lock: datetime | None
    approved: bool = False
    reversed_by: str | None = None
    priced_by: tuple[datetime, datetime, int, str] | None = None
    before: list[tuple[int, int]] | None = None


def remains(action: Action, counted: Iterable[tuple[Modification, int]], contracts: Sequence[Contract]) -> Remains:
    """What is left after these records (each with the contract version it was decided under), whatever their order."""
    state = Remains(
        amounts=[line.amount for line in action.lines],
        units=[line.quantity for line in action.lines],
        memory=[None for _ in action.lines],
        partner=action.partner,
        contract=action.contract,
        lock=action.locks_at,
    )
    line_up = sorted(counted, key=lambda one: fold_position(one[0]))
    gone: set[str] = set()
    for record, _ in reversed(line_up):
        if record.verb == "undo" and record.id not in gone:
            gone.add(undone_id(record))
    # One that is ordered by its source's own time may come before others, and leave them nothing to change.
    may_be_idle = any(record.orders_by != record.received_at for record, _ in line_up)
    for record, version in line_up:
        if record.id not in gone and record.subject is None:
            try:
                apply(action, state, record, contracts[version - 1])
            except RefusedBySpecError:
                if not may_be_idle:
                    raise
    take_what_subjects_say(action, state, [one for one in line_up if one[0].subject])
    return state


def fold_position(record: Modification) -> tuple[datetime, datetime, int, str]:
    return record.orders_by, record.received_at, record.provenance.position, record.id


def undone_id(record: Modification) -> str:
    return str(getattr(record.change, "undoes", getattr(record.change, "held", ""))).split("~")[-1]


def payout(action: Action, state: Remains, contracts: Sequence[Contract]) -> int:
    """The histories' contracts pay a percentage of every line."""
    percent = Fraction(str(contracts[state.contract - 1].body["payout"]).rstrip("%"))
    return sum(nearest(amount * percent / 100) for amount in state.amounts)


def apply(action: Action, state: Remains, record: Modification, terms: Contract) -> None:
    change, verb = record.change, record.verb
    every = range(len(action.lines))
    if verb in ("set_status", "undo", "release", "discard"):
        return
    if verb == "reattribute":
        partner = change.partner  # type: ignore[union-attr]
        if partner != state.partner:
            state.partner, state.contract = partner, terms.number
            if state.lock is not None:
                state.lock = max(state.lock, lock_by(terms, action))
        return
    if verb == "approve":
        if state.before is None:
            state.approved = True
        elif change.restores:  # type: ignore[union-attr]
            bring_back(state, every, terms)
        else:
            raise RefusedBySpecError
        return
    meant = [
        i for i in every if record.sku in (None, action.lines[i].sku) and record.line in (None, action.lines[i].line)
    ]
    if not meant:
        raise RefusedBySpecError
    if verb == "restore":
        bring_back(state, meant, terms)
        return
    wanted = list(zip(state.amounts, state.units, strict=True))
    if verb == "reverse":
        for i in meant:
            wanted[i] = (0, 0)
    elif verb in ("set_total", "set_quantity") and state.before is not None and state.reversed_by != record.source:
        if (change.quantity if verb == "set_quantity" else change.amount) != 0:  # type: ignore[union-attr]
            raise RefusedBySpecError
        return
    elif verb == "set_total":
        set_total(action, state, meant, cents(change.amount), wanted)  # type: ignore[union-attr]
    elif verb == "set_quantity":
        set_quantity(action, meant, change, wanted)
    elif verb == "take_back":
        if state.before is not None:
            if not change.clamp:  # type: ignore[union-attr]
                raise RefusedBySpecError
            return
        take_back(action, state, meant, change, wanted)
    set_lines(action, state, record, wanted, terms)


def set_total(action: Action, state: Remains, meant: list[int], total: int, wanted: list[tuple[int, int]]) -> None:
    sold, have = [action.lines[i].amount for i in meant], [state.amounts[i] for i in meant]
    if total > sum(sold):
        raise RefusedBySpecError
    if total == 0:
        if any(have):
            for i in meant:
                wanted[i] = (0, 0)
        return
    if total > sum(have):
        lost = [s - h for s, h in zip(sold, have, strict=True)]
        parts = [h + more for h, more in zip(have, spread(total - sum(have), lost), strict=True)]
    else:
        parts = spread(total, have)
    for i, part in zip(meant, parts, strict=True):
        wanted[i] = (part, state.units[i] or (action.lines[i].quantity if part else 0))


def set_quantity(action: Action, meant: list[int], change: object, wanted: list[tuple[int, int]]) -> None:
    one_item(action, meant)
    missing = sum(action.lines[i].quantity for i in meant) - change.quantity  # type: ignore[attr-defined]
    if missing < 0:
        raise RefusedBySpecError
    if change.quantity == 0:  # type: ignore[attr-defined]
        for i in meant:
            wanted[i] = (0, 0)
        return
    for i in meant:
        line = action.lines[i]
        left = max(line.quantity - missing, 0)
        missing -= line.quantity - left
        wanted[i] = (nearest(Fraction(line.amount * left, line.quantity)), left)
    if change.amount is not None:  # type: ignore[attr-defined]
        total = cents(change.amount)  # type: ignore[attr-defined]
        if total > sum(action.lines[i].amount for i in meant):
            raise RefusedBySpecError
        for i, part in zip(meant, spread(total, [wanted[i][0] for i in meant]), strict=True):
            wanted[i] = (part, wanted[i][1])


def take_back(action: Action, state: Remains, meant: list[int], change: object, wanted: list[tuple[int, int]]) -> None:
    units, amount = change.quantity, change.amount  # type: ignore[attr-defined]
    clamp = change.clamp  # type: ignore[attr-defined]
    if units is not None:
        one_item(action, meant)
        if units > sum(state.units[i] for i in meant) and not clamp:
            raise RefusedBySpecError
        for i in meant:
            line, out = action.lines[i], min(units, state.units[i])
            units -= out
            gone = line.quantity - state.units[i]
            worth = nearest(Fraction(line.amount * (gone + out), line.quantity))
            worth -= nearest(Fraction(line.amount * gone, line.quantity))
            wanted[i] = (max(state.amounts[i] - worth, 0), state.units[i] - out)
    if amount is not None:
        left = [state.amounts[i] for i in meant]
        taken = cents(amount)
        if taken > sum(left) and not clamp:
            raise RefusedBySpecError
        for i, part in zip(meant, spread(min(taken, sum(left)), left), strict=True):
            wanted[i] = (state.amounts[i] - part, wanted[i][1])


def set_lines(
    action: Action, state: Remains, record: Modification, wanted: list[tuple[int, int]], terms: Contract
) -> None:
    """The lines as wanted, none with units and no amount or the other way round; with nothing left of what was worth
    something, or of the units of what was not, the action is reversed."""
    have = list(zip(state.amounts, state.units, strict=True))
    wanted = [
        (0, 0) if (line.amount and not amount) or (line.quantity and not units) else (amount, units)
        for line, (amount, units) in zip(action.lines, wanted, strict=True)
    ]
    whole = record.sku is None and record.line is None
    if wanted == have and not (record.verb == "reverse" and whole):
        return
    if action.amount:
        down = not any(amount for amount, _ in wanted)
    else:
        down = any(line.quantity for line in action.lines) and not any(units for _, units in wanted)
    down = down or (record.verb == "reverse" and whole)
    if down:
        wanted = [(0, 0) for _ in wanted]
    for i, (was, now) in enumerate(zip(have, wanted, strict=True)):
        if now != (0, 0):
            state.memory[i] = None
        elif was != (0, 0):
            state.memory[i] = was
    if down and state.before is None:
        state.before, state.reversed_by = have, record.source
    if not down:
        state.before = state.reversed_by = None
    if wanted != have:
        state.contract, state.priced_by = terms.number, fold_position(record)
    state.approved = state.approved and not down
    state.amounts, state.units = [a for a, _ in wanted], [u for _, u in wanted]


def bring_back(state: Remains, meant: Iterable[int], terms: Contract) -> None:
    """The lines as before the reversal in force; of some lines, as before each went to zero."""
    have = list(zip(state.amounts, state.units, strict=True))
    chosen = list(meant)
    if state.before is not None and len(chosen) == len(have):
        back = list(state.before)
    else:
        back = [
            (memory or now) if i in chosen and now == (0, 0) else now
            for i, (now, memory) in enumerate(zip(have, state.memory, strict=True))
        ]
    if back == have and state.before is None:
        return
    state.memory = [memory if now == (0, 0) else None for now, memory in zip(back, state.memory, strict=True)]
    state.amounts, state.units = [a for a, _ in back], [u for _, u in back]
    state.before = state.reversed_by = None
    state.contract = terms.number


StatementTotals = dict[tuple[int, ...], tuple[int, int, int]]
"""Of each target the amount that is taken back, the units by their share, and the units the amount is for."""


def take_what_subjects_say(action: Action, state: Remains, told: Sequence[tuple[Modification, int]]) -> None:
    """Less what the newest version of each subject says: of lines first, then of the whole order, never below zero."""
    subjects: dict[str, list[tuple[Modification, int]]] = {}
    for record, version in told:
        subjects.setdefault(record.subject or "", []).append((record, version))
    together: StatementTotals = {}
    for records in subjects.values():
        said, since, contract = newest(action, records)
        add(together, said)
        if said and (state.priced_by is None or since > state.priced_by):
            state.contract, state.priced_by = contract, since
    if not together:
        return
    left = list(zip(state.amounts, state.units, strict=True))
    for target, (amount, units, counted) in sorted(together.items(), key=lambda one: (len(one[0]), one[0])):
        if len(target) == 1:
            line, (have, had) = action.lines[target[0]], left[target[0]]
            gone = line.quantity - had
            worth = nearest(Fraction(line.amount * min(gone + units, line.quantity), line.quantity))
            worth -= nearest(Fraction(line.amount * gone, line.quantity))
            left[target[0]] = (max(have - amount - worth, 0), max(had - units - counted, 0))
            continue
        have_all = [left[i][0] for i in target]
        for i, part in zip(target, spread(min(amount, sum(have_all)), have_all), strict=True):
            left[i] = (left[i][0] - part, left[i][1])
    left = [
        (0, 0) if (line.amount and not amount) or not units else (amount, units)
        for line, (amount, units) in zip(action.lines, left, strict=True)
    ]
    nothing = not any(amount for amount, _ in left) if action.amount else not any(units for _, units in left)
    if nothing and state.before is None:
        left, state.before = [(0, 0) for _ in left], []
    state.amounts, state.units = [a for a, _ in left], [u for _, u in left]


def newest(
    action: Action, records: Sequence[tuple[Modification, int]]
) -> tuple[StatementTotals, tuple[datetime, datetime, int, str], int]:
    """What a subject says last; since which record it says so, and that one's contract version."""
    by_version: dict[object, list[tuple[Modification, int]]] = {}
    for record, contract in records:
        by_version.setdefault(record.version, []).append((record, contract))
    said: StatementTotals = {}
    since, number = fold_position(records[0][0]), 0
    for version in sorted(by_version):  # type: ignore[type-var]
        now = statement(action, [record for record, _ in by_version[version]])
        if now != said:
            first, number = min(by_version[version], key=lambda one: fold_position(one[0]))
            since = fold_position(first)
        said = now
    return said, since, number


def statement(action: Action, records: Sequence[Modification]) -> StatementTotals:
    """The rows of a delivery add up; where two deliveries differ on a target, the one that takes more counts."""
    best: dict[tuple[int, ...], tuple[int, int, int]] = {}
    for delivery in sorted({record.provenance.delivery for record in records}):
        of_delivery: StatementTotals = {}
        for record in records:
            if record.provenance.delivery == delivery:
                add(of_delivery, claims(action, record))
        for target, claim in of_delivery.items():
            before = best.get(target, (0, 0, 0))
            best[target] = max(before, claim, key=lambda one: (one[0], one[1] + one[2]))
    return {target: claim for target, claim in best.items() if any(claim)}


def claims(action: Action, record: Modification) -> StatementTotals:
    change = record.change
    meant = tuple(i for i, line in enumerate(action.lines) if record.sku in (None, line.sku))
    sale = sum(action.lines[i].amount for i in meant)
    amount, units = getattr(change, "amount", None), getattr(change, "quantity", None)
    if record.verb == "reverse" or (record.verb == "set_total" and amount == 0):
        return {(i,): (action.lines[i].amount, 0, action.lines[i].quantity) for i in meant}
    if record.verb == "set_total":
        return {meant: (sale - cents(amount), 0, 0)}
    if amount is None:
        return {meant: (0, units or 0, 0)}
    return {meant: (cents(amount), 0, units or 0)}


def add(together: StatementTotals, said: StatementTotals) -> None:
    for target, claim in said.items():
        before = together.get(target, (0, 0, 0))
        together[target] = (before[0] + claim[0], before[1] + claim[1], before[2] + claim[2])


def one_item(action: Action, meant: list[int]) -> None:
    if len({action.lines[i].sku for i in meant}) != 1:
        raise RefusedBySpecError


def cents(amount: object) -> int:
    exact = Fraction(str(amount)) * 100
    if exact.denominator != 1 or exact < 0:
        raise RefusedBySpecError
    return int(exact)


def nearest(value: Fraction) -> int:
    """Halves away from zero; nothing here is below it."""
    return floor(value + Fraction(1, 2))


def spread(total: int, weights: Sequence[int]) -> list[int]:
    """By weight, the cents left over to the largest remainders, ties to the earlier line."""
    if not any(weights):
        weights = [1] * len(weights)
    exact = [Fraction(total * weight, sum(weights)) for weight in weights]
    parts = [floor(part) for part in exact]
    left = total - sum(parts)
    for i in sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))[:left]:
        parts[i] += 1
    return parts


def lock_by(terms: Contract, action: Action) -> datetime:
    """The end of the last day, in the program's time zone; the histories' contracts lock so many days after."""
    zone = ZoneInfo(terms.time_zone)
    day = action.event_time.astimezone(zone).date() + timedelta(days=terms.body["lock"]["days_after_event"] + 1)
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(action.event_time.tzinfo)
