"""Post the rows of a delivery: insert what is missing, fold the orders touched, return one result per row."""

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
from retour.store.bulk import CONNECTIONS, PrefetchedLedger, batched, order_keys
from retour.store.ledger import Ledger, TableLedger

RECORDS_PER_ORDER_MAX = 2_000
BULK_MIN = 8
"""Batches of at least this many records use bulk reads and inserts."""
ORDERS_AT_ONCE = 500


def read_rows(
    program: Program, delivery: Delivery, rows: Iterable[Row | Unreadable], released_at: datetime | None = None
) -> Sequence[tuple[Row | Unreadable, Normalised]]:
    """Each row with what it reads as."""
    reading = Normaliser(program, program.source(delivery.source, delivery.channel), delivery)
    if released_at is None:
        return list(reading.modifications(rows))
    counts_after = program.earliest_lock_reached(released_at)
    return [(row, as_released(read, counts_after)) for row, read in reading.modifications(rows)]


def leave(order: Order) -> None:
    """Do nothing with an order."""


def post_rows(
    ledger: Ledger,
    program: Program,
    reads: Sequence[tuple[Row | Unreadable, Normalised]],
    now: datetime,
    then: Callable[[Order], None] = leave,
) -> list[Result]:
    """Insert every modification, fold every order touched; one result per row, in the order of the rows.

    `then` is done with each order of many whose records were inserted at once: not every table tells its stream of such
    inserts, so nobody else may come by.
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
    """What says of an action id to which order it belongs; many are looked up at once."""
    ids = {m.action_id for m in modifications if m.action_id is not None and m.order_key is None}
    if len(ids) < BULK_MIN or not isinstance(ledger, TableLedger):
        return ledger.order_key_of
    return order_keys(ledger, ids).get


def with_order_key(
    order_key_of: Callable[[str], str | None], program: Program, modification: Modification
) -> Modification:
    """With its order key, where only an action id or other names were given."""
    if modification.order_key is not None:
        return modification
    if modification.action_id is None:
        return replace(modification, order_key=order_key_by_names(order_key_of, modification))
    return replace(modification, order_key=order_key_of_action(order_key_of, program, modification.action_id))


def order_key_of_action(order_key_of: Callable[[str], str | None], program: Program, action_id: str) -> str | None:
    """The order key of an action id: that of the order it was given to, or the one a derived id carries."""
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
    """The records of each order. Of many, what can be read and inserted before the folds is, at once."""
    if len(orders) < BULK_MIN or not isinstance(ledger, TableLedger):
        return [post_order(ledger, program, key, asked, now) for key, asked in orders.items()]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(CONNECTIONS) as pool:
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
    """The records of one order: each inserted unless it stands there, one fold, one write."""
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
    """The order with the records that were not there yet, as many as it may hold."""
    known = {record.id: record for record in order.records}
    for modification in modifications:
        if modification.id not in known and len(known) < RECORDS_PER_ORDER_MAX:
            known[modification.id] = ledger.insert(modification) or modification
    return replace(order, records=list(known.values()))


def retry_attempt(order: Order, modification: Modification) -> Modification | None:
    """A refusal uses nothing up: the same record in a new delivery is a new attempt (spec 4)."""
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
    """What became of one row; for a repeat, the first outcome again.

    `others` keeps what the other terms basis would have come to, by action, for all rows of one order.
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
    """A result told again: not counted, with what became of it in the delivery that told it first."""
    return replace(result, outcome=Outcome.DUPLICATE, first=FirstOutcome(result.outcome, delivery))


def order_label(record: Modification) -> str:
    """By what a record names its order: the key, an action id, or another name of it."""
    return record.order_key or record.action_id or next(iter(record.names), "")


def with_requested_values(result: Result, requested: Modification) -> Result:
    """A result with its record's change and values, for an answer that says what was read."""
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
    """A result with what it did to amount and payout, by the other terms basis too, and the warning it deserves."""
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
    """The result of a row that repeats what is already recorded: unchanged."""
    result = replace(
        to_result(order, earlier, None, program), place=requested.provenance.place, effect=None, make_good=None
    )
    stays = result.outcome in (Outcome.WAITING, Outcome.HELD, Outcome.REFUSED)
    return result if stays else replace(result, outcome=Outcome.UNCHANGED, code="")


def existing_record(order: Order, requested: Modification) -> Modification:
    """The record that holds this row's content: its own of this delivery, else the first that was not refused."""
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
    """Records that know only names wait beside all of them, and those of which a total is not known say so.

    The order as it is when one of that came meanwhile; None when nothing did.
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
    """The action was reported between our read and our insert: whoever sees both copies the record over."""
    order_key = ledger.order_key_of(key[1:])
    if order_key is None:
        return None
    return fold_and_save(ledger, order_key, now, adopt_waiting(ledger, key[1:], ledger.order(order_key)))


def as_released(read: Normalised, counts_after: datetime) -> Normalised:
    """A record as its late release leaves it: actions that were to be final before are out of its reach."""
    return read if isinstance(read, Unreadable) else replace(read, counts_after=counts_after)
