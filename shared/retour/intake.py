"""A delivery taken in: stored raw first, its rows inserted, its orders folded, what became of each row told.

Every channel comes through here, and so does a replay: a delivery read again is the same delivery.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any

from retour import cascade, report
from retour.apply import adopt, expire, settle
from retour.channels import records
from retour.channels import salesforce as salesforce_records
from retour.channels.webhook import hooks
from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.decide import NO_ACTION, Order, effect
from retour.domain.actions.explain import details
from retour.domain.actions.make_good import concerned, make_good
from retour.domain.actions.modification import Modification
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Channel, Delivery, Kind
from retour.domain.program import Program, Source
from retour.domain.row import Ignored, Refusal, Row, Unreadable
from retour.domain.times import instant, text
from retour.normalise import Read, Reading
from retour.store import outcomes
from retour.store.bulk import CONNECTIONS, Ahead, batched, order_keys
from retour.store.inbox import Stream
from retour.store.items import delivery_from
from retour.store.ledger import Ledger, TableLedger
from retour.store.rehearsal import Rehearsal

if TYPE_CHECKING:
    from retour.program_file import Fault
    from retour.wiring import Hub

RECORDS_MAX = 2_000
ACTIONS_MAX = 50
HEADS_MAX = 90
"""Of an order, of whatever types: all its heads are written in one transaction, which has room for a hundred."""
LISTED = 100
MANY = 8
"""From so many on, what can be done for all at once is."""
ORDERS_AT_ONCE = 500
ROWS_IN_ONE_PIECE = 2_000
SIGNS_IN_ONE_PIECE = 1_000_000
WITHIN = "within"
"""The fact of a file that was weighed and found in order: read again, it is not weighed again."""
WEIGHED = ("THRESHOLD_EXCEEDED", "TOTALS_DOUBTFUL", "RETURNS_DOUBTFUL")
INLINE = (Kind.MODIFICATIONS, Kind.HOOK, Kind.SALESFORCE)
ARRIVED, WORKING, DONE, HELD = "arriving", "working", "done", "held"
REFUSED, IGNORED = "refused", "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A delivery and what became of it. `code` says why a whole one was refused, held or ignored.

    `skipped` counts the lines of a file that are no rows, by what they are. A file too large to hold its results has
    their `totals` alone. `preview` is what a held one, or a dry run, would come to.
    """

    delivery: Delivery
    state: str
    code: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    results: Sequence[Result] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)
    preview: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.totals or Counter(result.outcome.value for result in self.results))


def announce(hub: "Hub", delivery: Delivery) -> None:
    """Write the header of a file that will be put at `body_key` right after; it is open until it was taken in."""
    hub.deliveries(delivery.program).put(delivery, None, ARRIVED, {})


def receive(hub: "Hub", delivery: Delivery, body: bytes | None) -> Batch:
    """Store a delivery and take it in. With `body` None its bytes already lie at `body_key`.

    Received again, after a crash or by a redelivered event, it comes to the same end.
    """
    if delivery.kind is Kind.FILE:
        return receive_file(hub, delivery, body)
    assert body is not None
    if delivery.kind is Kind.ACTIONS:
        hub.deliveries(delivery.program).put(delivery, body, DONE, {})
        return take_actions(hub, delivery, report.from_json(body))
    program = hub.program_of(delivery)
    source = program.source(delivery.source, delivery.channel)
    rows = rows_of(delivery, body, source)
    if not isinstance(rows, Sequence):
        return put_away(hub, delivery, body, rows)
    reads = list(Reading(program, source, delivery).modifications(rows))
    stored = hub.deliveries(program.id).put(delivery, body, DONE, {"rows": index_of(reads)})
    results = take_rows(hub.ledger(program), program, reads, hub.now())
    remind_waiting(hub, program, stored, results)
    return Batch(delivery=stored, state=DONE, results=results)


def receive_file(hub: "Hub", delivery: Delivery, body: bytes | None) -> Batch:
    """A file: its header stays open until every row is done and its outcomes lie beside it for the answer."""
    deliveries = hub.deliveries(delivery.program)
    header = deliveries.get(delivery.id)
    if header is not None and header.state != ARRIVED:
        return Batch(delivery=header.delivery, state=header.state, code=header.report.get("code", ""))
    stored = header.delivery if header else deliveries.put(delivery, body, ARRIVED, {})
    if stored.held:
        return hold(hub, stored)
    return take_file(hub, stored, body)


def take_file(hub: "Hub", delivery: Delivery, body: bytes | None = None, released_at: datetime | None = None) -> Batch:
    """Take every row of a file in: in one piece, or, when they are too many for that, by the way of large files.

    `released_at`: when a person let it go on, if it was held.
    """
    from retour.opening import open_delivery

    program = hub.program_of(delivery)
    layout = delivery.facts.get("layout", "modifications")
    source = program.source(delivery.source, delivery.channel)
    stream = BytesIO(body) if body is not None else Stream(hub.inbox.pieces(delivery.body_key))
    opened = open_delivery(hub, delivery, source, stream)
    if isinstance(opened, Refusal):
        batch = Batch(delivery=delivery, state=REFUSED, code=opened.code, details=opened.details)
    elif layout == "actions":
        batch = take_actions(hub, delivery, report.from_rows(opened.rows))
    else:
        rows = in_one_piece(opened.rows)
        if released_at is None and not is_weighed(delivery, source):
            pieces = [rows] if rows is not None else again_in_pieces(hub, program, delivery, body)
            delivery, held = weighed(hub, program, source, delivery, pieces)
            if held is not None:
                return held
        if rows is None:
            from retour import large

            return large.begin(hub, delivery, body, released_at)
        results = take_rows(hub.ledger(program), program, read_rows(program, delivery, rows, released_at), hub.now())
        remind_waiting(hub, program, delivery, results)
        batch = Batch(delivery=delivery, state=DONE, results=results)
    if not isinstance(opened, Refusal):
        batch = replace(batch, skipped=dict(opened.skipped))
    outcomes.keep(hub.inbox, delivery, batch.results)
    hub.deliveries(program.id).close(delivery, report_of(batch), batch.state)
    return batch


def is_weighed(delivery: Delivery, source: Source) -> bool:
    """Whether a file has nothing to be weighed by, or was weighed before and found in order."""
    return not source.thresholds or delivery.facts.get("thresholds") == WITHIN


def weighed(
    hub: "Hub", program: Program, source: Source, delivery: Delivery, pieces: Iterable[Sequence[Row | Unreadable]]
) -> tuple[Delivery, Batch | None]:
    """The file with the verdict on it written down, and held where it is above a threshold of its source."""
    from retour import thresholds

    excess, weight = thresholds.examine(hub, program, source, (read_rows(program, delivery, piece) for piece in pieces))
    if excess is None:
        delivery = replace(delivery, facts={**delivery.facts, "thresholds": WITHIN})
        hub.deliveries(program.id).put(delivery, None, ARRIVED, {})
        return delivery, None
    thresholds.keep(hub, delivery, weight)
    facts = {**delivery.facts, **{f"{HELD}_{name}": value for name, value in excess.details.items()}}
    delivery = replace(delivery, held=excess.code, facts=facts)
    return delivery, hold(hub, delivery, thresholds.preview_of(weight, program))


def again_in_pieces(
    hub: "Hub", program: Program, delivery: Delivery, body: bytes | None
) -> Iterator[Sequence[Row | Unreadable]]:
    """The rows of a large file, read from the beginning."""
    from retour.opening import open_delivery

    source = program.source(delivery.source, delivery.channel)
    stream = BytesIO(body) if body is not None else Stream(hub.inbox.pieces(delivery.body_key))
    opened = open_delivery(hub, delivery, source, stream)
    if not isinstance(opened, Refusal):
        yield from batched(opened.rows, ORDERS_AT_ONCE)


def read_rows(
    program: Program, delivery: Delivery, rows: Iterable[Row | Unreadable], released_at: datetime | None = None
) -> Sequence[tuple[Row | Unreadable, Read]]:
    """Each row with what it reads as."""
    reading = Reading(program, program.source(delivery.source, delivery.channel), delivery)
    if released_at is None:
        return list(reading.modifications(rows))
    counts_after = program.patience_from(released_at)
    return [(row, released(read, counts_after)) for row, read in reading.modifications(rows)]


def in_one_piece(rows: Iterable[Row | Unreadable]) -> list[Row | Unreadable] | None:
    """All the rows, or None as soon as they are too many to be taken in at once."""
    taken: list[Row | Unreadable] = []
    signs = 0
    for row in rows:
        taken.append(row)
        signs += len(row.raw)
        if len(taken) > ROWS_IN_ONE_PIECE or signs > SIGNS_IN_ONE_PIECE:
            return None
    return taken


def rows_of(delivery: Delivery, body: bytes, source: Source) -> Sequence[Row | Unreadable] | Ignored | Refusal:
    """The rows of a delivery that is no file, by the one reader of its kind."""
    match delivery.kind:
        case Kind.HOOK:
            return hooks(source.kind).rows(body, delivery.facts, source)
        case Kind.SALESFORCE:
            return salesforce_records.rows(body, delivery.facts, source)
    return records.rows(body)


def dry_run(hub: "Hub", delivery: Delivery, body: bytes) -> Batch:
    """What `receive` would come to, row by row, with nothing written."""
    program = hub.program_of(delivery)
    source = program.source(delivery.source, delivery.channel)
    rows: Iterable[Row | Unreadable] | Ignored | Refusal
    if delivery.kind is Kind.FILE:
        from retour.opening import open_delivery

        opened = open_delivery(hub, delivery, source, BytesIO(body))
        rows = opened if isinstance(opened, Refusal) else opened.rows
    else:
        rows = rows_of(delivery, body, source)
    if isinstance(rows, Refusal):
        return Batch(delivery=delivery, state=REFUSED, code=rows.code, details=rows.details)
    if isinstance(rows, Ignored):
        return Batch(delivery=delivery, state=IGNORED, details={"why": rows.why})
    reads = list(Reading(program, source, delivery).modifications(rows))
    rehearsal = Rehearsal(program.contracts, hub.ledger(program))
    results = take_rows(rehearsal, program, reads, hub.now())
    return Batch(
        delivery=delivery,
        state="dry run",
        results=results,
        preview=warned(hub, program, source, reads, results, rehearsal),
    )


def warned(
    hub: "Hub",
    program: Program,
    source: Source,
    reads: Sequence[tuple[Row | Unreadable, Read]],
    results: Sequence[Result],
    rehearsal: Rehearsal,
) -> dict[str, Any]:
    """What a rehearsal comes to for every partner, and what would hold it if it were sent."""
    from retour import thresholds
    from retour.preview import partner_documents, total_document

    weight = thresholds.Weight()
    weight.add(reads, results, rehearsal)
    excess = thresholds.judged(hub, program, source, weight)
    return {
        "partners": partner_documents(weight.moved, program),
        "total": total_document(weight.moved, program),
        "warnings": [{"code": one.code, "details": dict(one.details)} for one in (excess,) if one is not None],
    }


# What became of it


def put_away(hub: "Hub", delivery: Delivery, body: bytes, found: Ignored | Refusal) -> Batch:
    """A payload that says nothing we act on, or that cannot be read at all: stored, listed, never dropped silently."""
    if isinstance(found, Ignored):
        batch = Batch(delivery=delivery, state=IGNORED, details={"why": found.why})
    else:
        batch = Batch(delivery=delivery, state=REFUSED, code=found.code, details=found.details)
    deliveries = hub.deliveries(delivery.program)
    stored = deliveries.put(delivery, body, DONE, {})
    deliveries.close(stored, report_of(batch), batch.state)
    return replace(batch, delivery=stored)


def hold(hub: "Hub", delivery: Delivery, preview: Mapping[str, Any] | None = None) -> Batch:
    """Nothing of it takes effect until a person has looked. Why is a fact of the delivery: a replay knows it, too."""
    told = {name.removeprefix(f"{HELD}_"): value for name, value in delivery.facts.items() if name.startswith(HELD)}
    batch = Batch(delivery=delivery, state=HELD, code=delivery.held, details=told, preview=preview or {})
    deliveries = hub.deliveries(delivery.program)
    deliveries.remind("held", delivery.received_at, delivery.id, {"code": delivery.held, "source": delivery.source})
    deliveries.put(delivery, None, HELD, report_of(batch))
    return batch


def report_of(batch: Batch) -> dict[str, Any]:
    return {
        "code": batch.code,
        "details": dict(batch.details),
        "counts": batch.counts,
        "total": sum(batch.counts.values()),
        **({"skipped": dict(batch.skipped)} if batch.skipped else {}),
        **({"preview": dict(batch.preview)} if batch.preview else {}),
    }


def index_of(reads: Sequence[tuple[Row | Unreadable, Read]]) -> list[Any]:
    """The rows of an inline delivery, as short as can be: place and record, or place and why it is unreadable."""
    return [
        [read.place, read.code, dict(read.details), read.column, read.order]
        if isinstance(read, Unreadable)
        else [row.place, read.public_id]
        for row, read in reads
    ]


def remind_waiting(hub: "Hub", program: Program, delivery: Delivery, results: Sequence[Result]) -> None:
    """List what waits for its action, so that it is given up in time and its sender gets a second answer."""
    deliveries = hub.deliveries(program.id)
    deadline = delivery.received_at + timedelta(days=program.waiting_days)
    for result in results:
        if result.outcome is Outcome.WAITING:
            home, _, subject = result.modification.rpartition("~")
            deliveries.remind("waiting", deadline, subject, {"delivery": delivery.id, "home": home})


def tell_settled(hub: "Hub", program: Program, order: Order) -> None:
    """Ask for the second answer to every record of an order that waited and was settled; send first, then forget."""
    deliveries = hub.deliveries(program.id)
    first = min((action.reported_at for action in order.actions), default=None)
    for record in order.records:
        if (first is None or record.received_at <= first) and order.booked(record.id):
            deadline = record.received_at + timedelta(days=program.waiting_days)
            reminder = deliveries.reminded("waiting", deadline, record.id)
            if reminder:
                settled(hub, program.id, reminder["delivery"], [record.public_id])
                deliveries.forget("waiting", deadline, record.id)


def settled(hub: "Hub", program_id: str, delivery_id: str, modifications: Sequence[str]) -> None:
    hub.send(
        "answers",
        {"program": program_id, "delivery": delivery_id, "what": "settled", "modifications": list(modifications)},
    )


def expire_waiting(hub: "Hub", program: Program) -> int:
    """Refuse what has waited for its action too long, and ask for its second answer; how many that were."""
    ledger, deliveries = hub.ledger(program), hub.deliveries(program.id)
    overdue = list(deliveries.due("waiting", hub.now()))
    for subject, reminder in overdue:
        key = given_up(ledger, reminder["home"], subject, hub.now())
        settled(hub, program.id, reminder["delivery"], [f"{key}~{subject}"])
        deliveries.forget("waiting", instant(reminder["deadline"]), subject)
    return len(overdue)


def given_up(ledger: Ledger, home: str, subject: str, now: datetime) -> str:
    """Refuse a record that still waits, there or with the order that has its action id by now; where it lies."""
    if home.startswith("@"):
        order_key = ledger.order_key_of(home[1:])
        if order_key is None:
            expire(ledger, home, [subject], now)
            order_key = ledger.order_key_of(home[1:])
            if order_key is None or ledger.order(home).booked(subject) is not None:
                return home
        adopt(ledger, home[1:], ledger.order(order_key))
        home = order_key
    expire(ledger, home, [subject], now)
    return home


# Rows


def take_rows(
    ledger: Ledger, program: Program, reads: Sequence[tuple[Row | Unreadable, Read]], now: datetime
) -> list[Result]:
    """Insert every modification, fold every order touched; one result per row, in the order of the rows."""
    results: dict[int, Result] = {}
    orders: dict[str, list[tuple[int, Modification]]] = {}
    order_key_of = names_known(ledger, [read for _, read in reads if isinstance(read, Modification)])
    for number, (_, read) in enumerate(reads):
        if isinstance(read, Unreadable):
            results[number] = unreadable(read)
        else:
            placed = at_home(order_key_of, program, read)
            orders.setdefault(placed.home, []).append((number, placed))
    for some in batched(orders.items(), ORDERS_AT_ONCE):
        asked = {key: [modification for _, modification in numbered] for key, numbered in some}
        for (_, numbered), told in zip(some, take_orders(ledger, program, asked, now), strict=True):
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
    """With its order key, where only an action id was given."""
    if modification.order_key is not None or modification.action_id is None:
        return modification
    return replace(modification, order_key=home_of(order_key_of, program, modification.action_id))


def home_of(order_key_of: Callable[[str], str | None], program: Program, action_id: str) -> str | None:
    """The order key of an action id: that of the order it was given to, or the one a derived id carries."""
    key = order_key_of(action_id)
    if key is None:
        before, tilde, event_type = action_id.partition("~")
        key = before if tilde and event_type.partition("~")[0] in program.event_types else None
    return key


def take_orders(
    ledger: Ledger, program: Program, orders: Mapping[str, Sequence[Modification]], now: datetime
) -> Sequence[list[Result]]:
    """The records of each order. Of many, what can be read and inserted before the folds is, at once."""
    if len(orders) < MANY or not isinstance(ledger, TableLedger):
        return [take_order(ledger, program, key, asked, now) for key, asked in orders.items()]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        ahead = Ahead.of(ledger, orders, RECORDS_MAX, pool)
        return list(pool.map(lambda key: take_order(ahead, program, key, orders[key], now), orders))


def take_order(
    ledger: Ledger, program: Program, key: str, modifications: Sequence[Modification], now: datetime
) -> list[Result]:
    """The records of one order: each inserted unless it stands there, one fold, one write."""
    order = inserted(ledger, ledger.order(key), modifications)
    order = settle(ledger, key, now, order)
    known = {record.id for record in order.records}
    attempts = {m.id: attempt for m in modifications if m.id in known and (attempt := tried_again(order, m))}
    if attempts:
        order = inserted(ledger, order, list(attempts.values()))
        order = settle(ledger, key, now, order)
    if key.startswith("@"):
        order = moved_meanwhile(ledger, program, key, now) or order
    order = cascade.carry(ledger, order, now)
    program = replace(program, contracts=tuple(ledger.contracts))
    return [told(order, m, attempts.get(m.id), program) if m.id in known else too_many(m) for m in modifications]


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


def told(order: Order, asked: Modification, attempt: Modification | None, program: Program) -> Result:
    """What became of one row; for a repeat, the first outcome again."""
    own = attempt or standing_for(order, asked)
    booked = order.booked(own.id)
    repeated = (own.provenance.delivery, own.provenance.place) != (asked.provenance.delivery, asked.provenance.place)
    result = Result(
        place=asked.provenance.place,
        outcome=Outcome.WAITING,
        code="WAITING",
        details={"order": asked.order_key or asked.action_id or "", "waiting_days": str(program.waiting_days)},
        modification=own.public_id,
        reference=asked.reference or "",
        order=asked.order_key or "",
        action=asked.action_id or "",
    )
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
            effect=effect(order, head, entry, program.contracts),
        )
    return replace(result, outcome=Outcome.DUPLICATE) if repeated else result


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


def moved_meanwhile(ledger: Ledger, program: Program, key: str, now: datetime) -> Order | None:
    """The action was reported between our look and our insert: whoever sees both copies the record over."""
    order_key = ledger.order_key_of(key[1:])
    if order_key is None:
        return None
    return settle(ledger, order_key, now, adopt(ledger, key[1:], ledger.order(order_key)))


# Actions


def take_actions(hub: "Hub", delivery: Delivery, reports: Iterable[report.Report | Unreadable] | Refusal) -> Batch:
    """Report actions, first write wins; what waited for them is folded in the same breath."""
    if isinstance(reports, Refusal):
        return Batch(delivery=delivery, state=REFUSED, code=reports.code, details=reports.details)
    program = hub.program_of(delivery)
    ledger = hub.ledger(program)
    results = []
    for reported in reports:
        read = reported if isinstance(reported, Unreadable) else report.action(reported, program, delivery)
        if isinstance(read, Unreadable):
            results.append(unreadable(read))
            continue
        result, order = report_action(ledger, read, hub.now())
        results.append(replace(result, place=reported.place, raw=reported.raw))
        if order is not None:
            tell_settled(hub, program, order)
    return Batch(delivery=delivery, state=DONE, results=results)


def report_action(ledger: Ledger, action: Action, now: datetime) -> tuple[Result, Order | None]:
    """One action reported, and its order folded with whatever waited for it."""
    refused = Result(
        place="", outcome=Outcome.REFUSED, order=action.order_id, action=action.id, details={"action": action.id}
    )
    if action.named and ledger.name(action.id, action.order_key) != action.order_key:
        return replace(refused, code="ACTION_EXISTS"), None
    if action.parent:
        ledger.bind(action.parent, action)
    order = ledger.order(action.order_key)
    standing = order.action(action.id)
    if standing is None:
        alike = sum(a.event_type == action.event_type for a in order.actions)
        if alike >= ACTIONS_MAX or len(order.actions) >= HEADS_MAX:
            details = {"order": action.order_id, "most": str(min(ACTIONS_MAX, HEADS_MAX))}
            return replace(refused, code="TOO_MANY_ACTIONS", details=details), None
        standing = ledger.report(action)
        order = replace(order, actions=[*order.actions, standing or action])
    if action.named:
        order = adopt(ledger, action.id, order)
    order = cascade.carry(ledger, settle(ledger, order.key, now, order), now)
    if action.parent:
        order = cascade.carry_to(ledger, order, now)
    if standing is None or (standing.delivery == action.delivery and report.says_the_same(standing, action)):
        return replace(refused, outcome=Outcome.APPLIED, details={}), order
    if report.says_the_same(standing, action):
        return replace(refused, outcome=Outcome.DUPLICATE, details={}), order
    return replace(refused, code="ACTION_EXISTS"), order


# Again


def fold_again(hub: "Hub", program_id: str, home: str) -> list[str]:
    """Fold what somebody inserted and did not fold, and answer what was waiting.

    Every record comes by here once it was inserted. The ids of those that were received in time and came when their
    action was final already, newly listed: that must not happen, and is never dropped.
    """
    program = hub.program(program_id)
    if program is None:
        raise LookupError(program_id)
    ledger = hub.ledger(program)
    order = ledger.order((ledger.order_key_of(home[1:]) if home.startswith("@") else None) or home)
    for action in order.actions:
        if action.named:
            order = adopt(ledger, action.id, order)
    order = cascade.carry(ledger, settle(ledger, order.key, hub.now(), order), hub.now())
    order = cascade.carry_to(ledger, order, hub.now())
    cascade.list_children(hub.deliveries(program_id), ledger, order)
    tell_settled(hub, program, order)
    return list_after_final(hub, program_id, order)


def list_after_final(hub: "Hub", program_id: str, order: Order) -> list[str]:
    deliveries, newly = hub.deliveries(program_id), []
    beside = order.heads.get(NO_ACTION)
    for entry in beside.log if beside else ():
        record = order.record(entry.id) if entry.code == Code.AFTER_FINAL else None
        if beside is None or record is None:
            continue
        if deliveries.reminded("alarm", record.received_at, record.public_id) is None:
            action = concerned(order, beside, record).action
            doc = {"code": entry.code, "action": action, "delivery": record.provenance.delivery}
            deliveries.remind("alarm", record.received_at, record.public_id, doc)
            newly.append(record.public_id)
    return newly


def released(read: Read, counts_after: datetime) -> Read:
    """A record as its late release leaves it: actions that were to be final before are out of its reach."""
    return read if isinstance(read, Unreadable) else replace(read, counts_after=counts_after)


def release(hub: "Hub", delivery: Delivery, released_at: datetime) -> Batch:
    """Take in a held delivery after all, as received when it came. The fence waits for it like for any at work."""
    hub.deliveries(delivery.program).list_open(delivery, ARRIVED)
    batch = take_file(hub, delivery, hub.inbox.read(delivery.body_key), released_at)
    if delivery.held in WEIGHED and batch.state == DONE:
        from retour.thresholds import differing

        differs = differing(hub, batch)
        if differs is not None:
            told = {**report_of(batch), "differs": differs[:LISTED], "differing": len(differs)}
            hub.deliveries(delivery.program).close(delivery, told, batch.state)
    hub.deliveries(delivery.program).forget("held", delivery.received_at, delivery.id)
    return batch


def discard(hub: "Hub", delivery: Delivery) -> Batch:
    """Nothing of a held delivery takes effect; it stays stored."""
    batch = Batch(delivery=delivery, state=REFUSED, code="DISCARDED")
    deliveries = hub.deliveries(delivery.program)
    deliveries.close(delivery, report_of(batch), REFUSED)
    deliveries.forget("held", delivery.received_at, delivery.id)
    return batch


def replay(hub: "Hub", key: str) -> Batch | None:
    """Take in again what an envelope kept: where only objects survived, the ledger is rebuilt from them, in order."""
    delivery = delivery_from(json.loads(hub.inbox.read(key)))
    deliveries = hub.deliveries(delivery.program)
    if delivery.kind is Kind.PROGRAM:
        apply_program(hub, delivery, hub.inbox.read(delivery.body_key))
        return None
    if delivery.kind is Kind.DECISION:
        return decide(hub, delivery, hub.inbox.read(delivery.body_key))
    from retour.arrival import lying_there

    body: bytes | None
    try:
        delivery = lying_there(hub, delivery)
        body = hub.inbox.read(delivery.body_key)
    except KeyError:
        deliveries.put(delivery, None, ARRIVED, {})
        body = None
    if delivery.channel is Channel.PULL:
        fetched(hub, delivery, body is not None)
    if body is None:
        return None
    batch = receive(hub, delivery, None if delivery.kind is Kind.FILE else body)
    if delivery.kind is Kind.SALESFORCE and batch.results:
        from retour.salesforce_sync import remember

        program = hub.program_of(delivery)
        remember(hub, program, program.sources[delivery.source], body, batch.results)
    return batch


def fetched(hub: "Hub", delivery: Delivery, stored: bool) -> None:
    """Remember that a visit fetched this, or was about to, so that the next does not do it again under another id."""
    doc = {
        "delivery": delivery.id,
        "received_at": text(delivery.received_at),
        "name": delivery.name,
        "stored": stored,
    }
    hub.state(delivery.program, delivery.source).put(f"content#{delivery.sha256}", doc)


def apply_program(hub: "Hub", delivery: Delivery, body: bytes) -> "tuple[Program, bool] | list[Fault]":
    """Record a program document as its next version; a wrong one changes nothing and is told line by line."""
    from retour import program_file

    document = program_file.read(body.decode("utf-8", "replace"))
    if isinstance(document, list):
        return document
    hub.deliveries(delivery.program).put(delivery, body, DONE, {})
    return hub.programs.apply(document, delivery.received_at, delivery.id)


def decide(hub: "Hub", delivery: Delivery, body: bytes) -> Batch | None:
    """A person's decision on a held delivery, stored as a delivery of its own before it is carried out."""
    asked = json.loads(body)
    hub.deliveries(delivery.program).put(delivery, body, DONE, {})
    header = hub.deliveries(delivery.program).get(asked["delivery"])
    if header is None or header.state != HELD:
        return None
    if asked["decision"] == "release":
        return release(hub, header.delivery, delivery.received_at)
    return discard(hub, header.delivery)
