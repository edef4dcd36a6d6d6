"""Post a delivery's rows: insert new records, fold the orders concerned, return one result per row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from retour.domain.actions.codes import Code
from retour.domain.actions.explain import sentence_details
from retour.domain.actions.fold import waiting_reason
from retour.domain.actions.make_good import affected_head, make_good
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import ActionHead, LogEntry, Order, effect_of
from retour.domain.actions.outcome import FirstOutcome, Outcome, Result
from retour.domain.actions.payout_details import (
    OtherBasisPayouts,
    other_basis,
    payout_raised_warning,
    payouts_by_other_basis,
)
from retour.domain.delivery import Delivery
from retour.domain.program import Program
from retour.domain.row import Row, Unreadable
from retour.normalise import Normalised, Normaliser
from retour.posting import cascade
from retour.posting.fold import adopt_waiting, fold_and_save
from retour.posting.order_names import (
    adopt_named,
    file_under_all_names,
    order_key_by_names,
    request_total,
    with_known_total,
)
from retour.posting.restatements import new_records, repeated_statements
from retour.store.bulk import PrefetchedLedger, batched, order_keys
from retour.store.ledger import Ledger, TableLedger

RECORDS_PER_ORDER_MAX = 2_000
BULK_MIN = 8
"""Batches of at least this many records use bulk reads and inserts."""
ORDERS_AT_ONCE = 500


def read_rows(
    program: Program, delivery: Delivery, rows: Iterable[Row | Unreadable], released_at: datetime | None = None
) -> Sequence[tuple[Row | Unreadable, Normalised]]:
    """Each row with its modification, or with the reason why it cannot be read."""
    reading = Normaliser(program, program.source(delivery.source, delivery.channel), delivery)
    if released_at is None:
        return list(reading.modifications(rows))
    counts_after = program.earliest_lock_reached(released_at)
    return [(row, as_released(read, counts_after)) for row, read in reading.modifications(rows)]


def leave(order: Order) -> None:
    """The default of `then`: no action."""


def post_rows(
    ledger: Ledger,
    program: Program,
    reads: Sequence[tuple[Row | Unreadable, Normalised]],
    now: datetime,
    then: Callable[[Order], None] = leave,
) -> list[Result]:
    """Insert all modifications and fold the orders concerned. Returns one result per row, in row order.

    `then` is called with each order after a bulk insert, since not every environment's stream reports bulk inserts.
    """
    results: dict[int, Result] = {}
    orders: dict[str, list[tuple[int, Modification]]] = {}
    order_key_of = order_key_lookup(ledger, [read for _, read in reads if isinstance(read, Modification)])
    for number, (_, read) in enumerate(reads):
        if isinstance(read, Unreadable):
            results[number] = unreadable_result(read)
        else:
            placed = with_known_total(ledger, with_order_key(order_key_of, program, read))
            orders.setdefault(placed.home, []).append((number, placed))
    for some in batched(orders.items(), ORDERS_AT_ONCE):
        asked = {key: [modification for _, modification in numbered] for key, numbered in some}
        for (_, numbered), told in zip(some, post_orders(ledger, program, asked, now, then), strict=True):
            results |= {number: result for (number, _), result in zip(numbered, told, strict=True)}
    return [
        replace(results[number], raw=row.raw) if row.raw else results[number] for number, (row, _) in enumerate(reads)
    ]


def unreadable_result(read: Unreadable) -> Result:
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


def order_key_lookup(ledger: Ledger, modifications: Sequence[Modification]) -> Callable[[str], str | None]:
    """A function from action id to order key, prefetched if there are many ids."""
    ids = {m.action_id for m in modifications if m.action_id is not None and m.order_key is None}
    if len(ids) < BULK_MIN or not isinstance(ledger, TableLedger):
        return ledger.order_key_of
    return order_keys(ledger, ids).get


def with_order_key(
    order_key_of: Callable[[str], str | None], program: Program, modification: Modification
) -> Modification:
    """The modification with the order key of its action id or names, if it has none itself."""
    if modification.order_key is not None:
        return modification
    if modification.action_id is None:
        return replace(modification, order_key=order_key_by_names(order_key_of, modification))
    return replace(modification, order_key=order_key_of_action(order_key_of, program, modification.action_id))


def order_key_of_action(order_key_of: Callable[[str], str | None], program: Program, action_id: str) -> str | None:
    """The order key linked to an action id, or contained in a derived id."""
    key = order_key_of(action_id)
    if key is None:
        before, tilde, event_type = action_id.partition("~")
        key = before if tilde and event_type.partition("~")[0] in program.event_types else None
    return key


def post_orders(
    ledger: Ledger,
    program: Program,
    orders: Mapping[str, Sequence[Modification]],
    now: datetime,
    then: Callable[[Order], None] = leave,
) -> Sequence[list[Result]]:
    """Post the records of several orders. Many orders are read and inserted in bulk before they are folded."""
    if len(orders) < BULK_MIN or not isinstance(ledger, TableLedger):
        return [post_order(ledger, program, key, asked, now) for key, asked in orders.items()]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(ledger.connections) as pool:
        ahead = PrefetchedLedger.load(ledger, orders, RECORDS_PER_ORDER_MAX, pool, new_records)
        return list(pool.map(lambda key: post_order(ahead, program, key, orders[key], now, then), orders))


def post_order(
    ledger: Ledger,
    program: Program,
    key: str,
    modifications: Sequence[Modification],
    now: datetime,
    then: Callable[[Order], None] = leave,
) -> list[Result]:
    """Post the records of one order: insert new ones, fold, save. Returns one result per record."""
    order = ledger.order(key)
    said = repeated_statements(order, modifications)
    news = [m for m in modifications if m.id not in said]
    order = insert_missing(ledger, order, news)
    order = fold_and_save(ledger, key, now, order)
    known = {record.id for record in order.records}
    attempts = {m.id: attempt for m in news if m.id in known and (attempt := retry_attempt(order, m))}
    if attempts:
        order = insert_missing(ledger, order, list(attempts.values()))
        order = fold_and_save(ledger, key, now, order)
    order = file_by_names(ledger, modifications, order, now) or order
    if key.startswith("@"):
        order = fold_into_reported_order(ledger, program, key, now) or order
    order = cascade.propagate_to_children(ledger, order, now)
    then(order)
    program = replace(program, contracts=ledger.contracts)
    others: dict[str, OtherBasisPayouts] = {}

    def answer(m: Modification) -> Result:
        if m.id in said:
            return unchanged_result(order, m, said[m.id], program)
        return to_result(order, m, attempts.get(m.id), program, others) if m.id in known else order_too_large(m)

    return [answer(m) for m in modifications]


def insert_missing(ledger: Ledger, order: Order, modifications: Iterable[Modification]) -> Order:
    """Insert the records that are missing, up to the limit per order. Returns the order with them."""
    known = {record.id: record for record in order.records}
    for modification in modifications:
        if modification.id not in known and len(known) < RECORDS_PER_ORDER_MAX:
            known[modification.id] = ledger.insert(modification) or modification
    return replace(order, records=list(known.values()))


def retry_attempt(order: Order, modification: Modification) -> Modification | None:
    """A new attempt for a record whose first delivery was refused, since a refusal uses nothing up (spec 4)."""
    same = [
        record
        for record in order.records
        if (record.identity, record.content) == (modification.identity, modification.content)
    ]
    mine = modification.provenance.delivery
    if any(record.provenance.delivery == mine for record in same):
        return None
    outcomes = [booked[1].outcome for record in same if (booked := order.booking_of(record.id))]
    refused = len(outcomes) == len(same) and all(outcome is Outcome.REFUSED for outcome in outcomes)
    return replace(modification, attempt=mine) if refused else None


def to_result(
    order: Order,
    requested: Modification,
    attempt: Modification | None,
    program: Program,
    others: dict[str, OtherBasisPayouts] | None = None,
) -> Result:
    """The result of a row; for a duplicate, its first outcome.

    `others` caches the payouts by the other terms basis per action, for all rows of an order.
    """
    own = attempt or existing_record(order, requested)
    booked = order.booking_of(own.id)
    repeated = (own.provenance.delivery, own.provenance.place) != (
        requested.provenance.delivery,
        requested.provenance.place,
    )
    code = waiting_reason(order, own) if booked is None and order.actions else Code.ACTION_NOT_FOUND
    result = Result(
        place=requested.provenance.place,
        outcome=Outcome.WAITING,
        code=code if code == Code.ORDER_TOTAL_UNKNOWN else "WAITING",
        details={"order": order_label(requested), "waiting_days": str(program.waiting_days)},
        modification=own.public_id,
        reference=requested.reference or "",
        order=requested.order_key or "",
        action=requested.action_id or "",
    )
    result = with_requested_values(result, requested)
    if booked is not None:
        head, entry = booked
        result = replace(
            result,
            outcome=entry.outcome,
            code=entry.code,
            details=sentence_details(order, head, own, program.waiting_days, program.time_zone),
            action=affected_head(order, head, own).action,
            make_good=make_good(order, head, own, entry.code, program.contracts),
            applied_at=entry.applied_at,
        )
        result = with_effect(result, order, head, entry, own, program, {} if others is None else others)
    return as_duplicate(result, own.provenance.delivery) if repeated else result


def as_duplicate(result: Result, delivery: str) -> Result:
    """The result as a duplicate: not counted again, with its first outcome and the delivery that had it."""
    return replace(result, outcome=Outcome.DUPLICATE, first=FirstOutcome(result.outcome, delivery))


def order_label(record: Modification) -> str:
    """How a record names its order: by key, action id or another name."""
    return record.order_key or record.action_id or next(iter(record.names), "")


def with_requested_values(result: Result, requested: Modification) -> Result:
    """The result with the record's change and values as they were read."""
    quantity, amount = (getattr(requested.change, name, None) for name in ("quantity", "amount"))
    return replace(
        result,
        change=requested.verb,
        quantity="" if quantity is None else str(quantity),
        amount="" if amount is None else f"{amount:f}",
        currency=requested.currency or "",
    )


def with_effect(
    result: Result,
    order: Order,
    head: ActionHead,
    entry: LogEntry,
    record: Modification,
    program: Program,
    others: dict[str, OtherBasisPayouts],
) -> Result:
    """The result with its effect on amount and payout, by the other terms basis too, and any warning."""
    action, found = order.action(head.action), effect_of(order, head, entry, program.contracts)
    if action is None or found is None:
        return replace(result, effect=found)
    if head.action not in others:
        others[head.action] = payouts_by_other_basis(order, action, head, program.contracts)
    result = replace(result, effect=found, other_basis=other_basis(others[head.action], head, entry))
    warning = payout_raised_warning(record, entry, found)
    if warning is None or result.code:
        return result
    return replace(result, code=warning.code, details={**result.details, **warning.details})


def unchanged_result(order: Order, requested: Modification, earlier: Modification, program: Program) -> Result:
    """The result of a row that repeats a recorded statement."""
    result = replace(
        to_result(order, earlier, None, program), place=requested.provenance.place, effect=None, make_good=None
    )
    stays = result.outcome in (Outcome.WAITING, Outcome.HELD, Outcome.REFUSED)
    return result if stays else replace(result, outcome=Outcome.UNCHANGED, code="")


def existing_record(order: Order, requested: Modification) -> Modification:
    """The stored record with this row's content: from the same delivery, else the first that was not refused."""
    same = [
        record
        for record in order.records
        if (record.identity, record.content) == (requested.identity, requested.content)
    ]
    mine = [record for record in same if record.provenance.delivery == requested.provenance.delivery]
    kept = [
        record
        for record in same
        if (found := order.booking_of(record.id)) is None or found[1].outcome is not Outcome.REFUSED
    ]
    return next(iter(mine or kept or same), requested)


def order_too_large(modification: Modification) -> Result:
    return Result(
        place=modification.provenance.place,
        outcome=Outcome.REFUSED,
        code="ORDER_TOO_LARGE",
        details={"order": modification.home, "most": f"{RECORDS_PER_ORDER_MAX:,}"},
        reference=modification.reference or "",
        order=modification.order_key or "",
    )


def file_by_names(ledger: Ledger, modifications: Iterable[Modification], order: Order, now: datetime) -> Order | None:
    """File records that only know names under all names, and request missing totals.

    Returns the order's new state if a link or total arrived meanwhile, else None.
    """
    for record in modifications:
        if record.names and record.order_key is None:
            key = file_under_all_names(ledger, record)
            if key is not None:
                for name in record.names:
                    adopt_named(ledger, name, key, now)
                return fold_and_save(ledger, key, now)
        elif request_total(ledger, record, now):
            return ledger.order(order.key)
    return None


def fold_into_reported_order(ledger: Ledger, program: Program, key: str, now: datetime) -> Order | None:
    """Fold into the order if the action was reported between our read and our insert; None if it was not."""
    order_key = ledger.order_key_of(key[1:])
    if order_key is None:
        return None
    return fold_and_save(ledger, order_key, now, adopt_waiting(ledger, key[1:], ledger.order(order_key)))


def as_released(read: Normalised, counts_after: datetime) -> Normalised:
    """A record released late: it can no longer change actions that should have been final before."""
    return read if isinstance(read, Unreadable) else replace(read, counts_after=counts_after)
