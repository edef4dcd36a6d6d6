"""The rows of a delivery: each inserted unless it stands there, its order folded, what became of it told."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from retour.domain.actions.codes import Code
from retour.domain.actions.explain import details
from retour.domain.actions.fold import why_waiting
from retour.domain.actions.make_good import concerned, make_good
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import Entry, Head, Order, effect
from retour.domain.actions.outcome import First, Outcome, Result
from retour.domain.actions.paid import Otherwise, by_other_basis, other_basis, raised
from retour.domain.delivery import Delivery
from retour.domain.program import Program
from retour.domain.row import Row, Unreadable
from retour.normalise import Read, Reading
from retour.posting import cascade
from retour.posting.fold import adopt, settle
from retour.posting.names import adopt_named, await_total, key_by_names, wait_beside_all, with_total
from retour.posting.restated import news_of, said_before
from retour.store.bulk import CONNECTIONS, Ahead, batched, order_keys
from retour.store.ledger import Ledger, TableLedger

RECORDS_MAX = 2_000
MANY = 8
"""From so many on, what can be done for all at once is."""
ORDERS_AT_ONCE = 500


def read_rows(
    program: Program, delivery: Delivery, rows: Iterable[Row | Unreadable], released_at: datetime | None = None
) -> Sequence[tuple[Row | Unreadable, Read]]:
    """Each row with what it reads as."""
    reading = Reading(program, program.source(delivery.source, delivery.channel), delivery)
    if released_at is None:
        return list(reading.modifications(rows))
    counts_after = program.patience_from(released_at)
    return [(row, released(read, counts_after)) for row, read in reading.modifications(rows)]


def leave(order: Order) -> None:
    """Do nothing with an order."""


def take_rows(
    ledger: Ledger,
    program: Program,
    reads: Sequence[tuple[Row | Unreadable, Read]],
    now: datetime,
    then: Callable[[Order], None] = leave,
) -> list[Result]:
    """Insert every modification, fold every order touched; one result per row, in the order of the rows.

    `then` is done with each order of many whose records were inserted at once: not every table tells its stream of such
    inserts, so nobody else may come by.
    """
    results: dict[int, Result] = {}
    orders: dict[str, list[tuple[int, Modification]]] = {}
    order_key_of = names_known(ledger, [read for _, read in reads if isinstance(read, Modification)])
    for number, (_, read) in enumerate(reads):
        if isinstance(read, Unreadable):
            results[number] = unreadable(read)
        else:
            placed = with_total(ledger, at_home(order_key_of, program, read))
            orders.setdefault(placed.home, []).append((number, placed))
    for some in batched(orders.items(), ORDERS_AT_ONCE):
        asked = {key: [modification for _, modification in numbered] for key, numbered in some}
        for (_, numbered), told in zip(some, take_orders(ledger, program, asked, now, then), strict=True):
            results |= {number: result for (number, _), result in zip(numbered, told, strict=True)}
    return [
        replace(results[number], raw=row.raw) if row.raw else results[number] for number, (row, _) in enumerate(reads)
    ]


def unreadable(read: Unreadable) -> Result:
    return Result(
        place=read.place,
        outcome=Outcome.REFUSED,
        code=read.code,
        details=read.details,
        column=read.column,
        reference=read.reference,
        order=read.order,
        raw=read.raw,
    )


def names_known(ledger: Ledger, modifications: Sequence[Modification]) -> Callable[[str], str | None]:
    """What says of an action id to which order it belongs; many are looked up at once."""
    ids = {m.action_id for m in modifications if m.action_id is not None and m.order_key is None}
    if len(ids) < MANY or not isinstance(ledger, TableLedger):
        return ledger.order_key_of
    return order_keys(ledger, ids).get


def at_home(order_key_of: Callable[[str], str | None], program: Program, modification: Modification) -> Modification:
    """With its order key, where only an action id or other names were given."""
    if modification.order_key is not None:
        return modification
    if modification.action_id is None:
        return replace(modification, order_key=key_by_names(order_key_of, modification))
    return replace(modification, order_key=home_of(order_key_of, program, modification.action_id))


def home_of(order_key_of: Callable[[str], str | None], program: Program, action_id: str) -> str | None:
    """The order key of an action id: that of the order it was given to, or the one a derived id carries."""
    key = order_key_of(action_id)
    if key is None:
        before, tilde, event_type = action_id.partition("~")
        key = before if tilde and event_type.partition("~")[0] in program.event_types else None
    return key


def take_orders(
    ledger: Ledger,
    program: Program,
    orders: Mapping[str, Sequence[Modification]],
    now: datetime,
    then: Callable[[Order], None] = leave,
) -> Sequence[list[Result]]:
    """The records of each order. Of many, what can be read and inserted before the folds is, at once."""
    if len(orders) < MANY or not isinstance(ledger, TableLedger):
        return [take_order(ledger, program, key, asked, now) for key, asked in orders.items()]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        ahead = Ahead.of(ledger, orders, RECORDS_MAX, pool, news_of)
        return list(pool.map(lambda key: take_order(ahead, program, key, orders[key], now, then), orders))


def take_order(
    ledger: Ledger,
    program: Program,
    key: str,
    modifications: Sequence[Modification],
    now: datetime,
    then: Callable[[Order], None] = leave,
) -> list[Result]:
    """The records of one order: each inserted unless it stands there, one fold, one write."""
    order = ledger.order(key)
    said = said_before(order, modifications)
    news = [m for m in modifications if m.id not in said]
    order = inserted(ledger, order, news)
    order = settle(ledger, key, now, order)
    known = {record.id for record in order.records}
    attempts = {m.id: attempt for m in news if m.id in known and (attempt := tried_again(order, m))}
    if attempts:
        order = inserted(ledger, order, list(attempts.values()))
        order = settle(ledger, key, now, order)
    order = by_its_names(ledger, modifications, order, now) or order
    if key.startswith("@"):
        order = moved_meanwhile(ledger, program, key, now) or order
    order = cascade.carry(ledger, order, now)
    then(order)
    program = replace(program, contracts=ledger.contracts)
    others: dict[str, Otherwise] = {}

    def answer(m: Modification) -> Result:
        if m.id in said:
            return told_before(order, m, said[m.id], program)
        return told(order, m, attempts.get(m.id), program, others) if m.id in known else too_many(m)

    return [answer(m) for m in modifications]


def inserted(ledger: Ledger, order: Order, modifications: Iterable[Modification]) -> Order:
    """The order with the records that were not there yet, as many as it may hold."""
    known = {record.id: record for record in order.records}
    for modification in modifications:
        if modification.id not in known and len(known) < RECORDS_MAX:
            known[modification.id] = ledger.insert(modification) or modification
    return replace(order, records=list(known.values()))


def tried_again(order: Order, modification: Modification) -> Modification | None:
    """A refusal uses nothing up: the same record in a new delivery is a new attempt (spec 4)."""
    same = [
        record
        for record in order.records
        if (record.identity, record.content) == (modification.identity, modification.content)
    ]
    mine = modification.provenance.delivery
    if any(record.provenance.delivery == mine for record in same):
        return None
    outcomes = [booked[1].outcome for record in same if (booked := order.booked(record.id))]
    refused = len(outcomes) == len(same) and all(outcome is Outcome.REFUSED for outcome in outcomes)
    return replace(modification, attempt=mine) if refused else None


def told(
    order: Order,
    asked: Modification,
    attempt: Modification | None,
    program: Program,
    others: dict[str, Otherwise] | None = None,
) -> Result:
    """What became of one row; for a repeat, the first outcome again.

    `others` keeps what the other terms basis would have come to, by action, for all rows of one order.
    """
    own = attempt or standing_for(order, asked)
    booked = order.booked(own.id)
    repeated = (own.provenance.delivery, own.provenance.place) != (asked.provenance.delivery, asked.provenance.place)
    code = why_waiting(order, own) if booked is None and order.actions else Code.ACTION_NOT_FOUND
    result = Result(
        place=asked.provenance.place,
        outcome=Outcome.WAITING,
        code=code if code == Code.ORDER_TOTAL_UNKNOWN else "WAITING",
        details={"order": name_of(asked), "waiting_days": str(program.waiting_days)},
        modification=own.public_id,
        reference=asked.reference or "",
        order=asked.order_key or "",
        action=asked.action_id or "",
    )
    result = with_what_it_asks(result, asked)
    if booked is not None:
        head, entry = booked
        result = replace(
            result,
            outcome=entry.outcome,
            code=entry.code,
            details=details(order, head, own, program.waiting_days),
            action=concerned(order, head, own).action,
            make_good=make_good(order, head, own, entry.code, program.contracts),
            applied_at=entry.applied_at,
        )
        result = priced(result, order, head, entry, own, program, {} if others is None else others)
    return as_duplicate(result, own.provenance.delivery) if repeated else result


def as_duplicate(result: Result, delivery: str) -> Result:
    """A result told again: not counted, with what became of it in the delivery that told it first."""
    return replace(result, outcome=Outcome.DUPLICATE, first=First(result.outcome, delivery))


def name_of(record: Modification) -> str:
    """By what a record names its order: the key, an action id, or another name of it."""
    return record.order_key or record.action_id or next(iter(record.names), "")


def with_what_it_asks(result: Result, asked: Modification) -> Result:
    """A result with its record's change and values, for an answer that says what was read."""
    quantity, amount = (getattr(asked.change, name, None) for name in ("quantity", "amount"))
    return replace(
        result,
        change=asked.verb,
        quantity="" if quantity is None else str(quantity),
        amount="" if amount is None else f"{amount:f}",
        currency=asked.currency or "",
    )


def priced(
    result: Result,
    order: Order,
    head: Head,
    entry: Entry,
    record: Modification,
    program: Program,
    others: dict[str, Otherwise],
) -> Result:
    """A result with what it did to amount and payout, by the other terms basis too, and the warning it deserves."""
    action, found = order.action(head.action), effect(order, head, entry, program.contracts)
    if action is None or found is None:
        return replace(result, effect=found)
    if head.action not in others:
        others[head.action] = by_other_basis(order, action, head, program.contracts)
    result = replace(result, effect=found, other_basis=other_basis(others[head.action], head, entry))
    warning = raised(record, entry, found)
    if warning is None or result.code:
        return result
    return replace(result, code=warning.code, details={**result.details, **warning.details})


def told_before(order: Order, asked: Modification, said: Modification, program: Program) -> Result:
    """What became of a row that says nothing new: it is as it stood."""
    result = replace(told(order, said, None, program), place=asked.provenance.place, effect=None, make_good=None)
    stays = result.outcome in (Outcome.WAITING, Outcome.HELD, Outcome.REFUSED)
    return result if stays else replace(result, outcome=Outcome.UNCHANGED, code="")


def standing_for(order: Order, asked: Modification) -> Modification:
    """The record that holds this row's content: its own of this delivery, else the first that was not refused."""
    same = [record for record in order.records if (record.identity, record.content) == (asked.identity, asked.content)]
    mine = [record for record in same if record.provenance.delivery == asked.provenance.delivery]
    kept = [
        record
        for record in same
        if (found := order.booked(record.id)) is None or found[1].outcome is not Outcome.REFUSED
    ]
    return next(iter(mine or kept or same), asked)


def too_many(modification: Modification) -> Result:
    return Result(
        place=modification.provenance.place,
        outcome=Outcome.REFUSED,
        code="ORDER_TOO_LARGE",
        details={"order": modification.home, "most": f"{RECORDS_MAX:,}"},
        reference=modification.reference or "",
        order=modification.order_key or "",
    )


def by_its_names(ledger: Ledger, modifications: Iterable[Modification], order: Order, now: datetime) -> Order | None:
    """Records that know only names wait beside all of them, and those of which a total is not known say so.

    The order as it is when one of that came meanwhile; None when nothing did.
    """
    for record in modifications:
        if record.names and record.order_key is None:
            key = wait_beside_all(ledger, record)
            if key is not None:
                for name in record.names:
                    adopt_named(ledger, name, key, now)
                return settle(ledger, key, now)
        elif await_total(ledger, record, now):
            return ledger.order(order.key)
    return None


def moved_meanwhile(ledger: Ledger, program: Program, key: str, now: datetime) -> Order | None:
    """The action was reported between our look and our insert: whoever sees both copies the record over."""
    order_key = ledger.order_key_of(key[1:])
    if order_key is None:
        return None
    return settle(ledger, order_key, now, adopt(ledger, key[1:], ledger.order(order_key)))


def released(read: Read, counts_after: datetime) -> Read:
    """A record as its late release leaves it: actions that were to be final before are out of its reach."""
    return read if isinstance(read, Unreadable) else replace(read, counts_after=counts_after)
