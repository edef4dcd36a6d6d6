"""Rows missing from a full export: their subjects take nothing any more, once a person has released that.

Applies only to sources with `references: restate` and `absent: nothing_taken` (spec 4, Subjects). A file is compared
with the newest complete export. Each subject that took something there and is missing here is appended as a row that
takes nothing. The whole file is then held for a person.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import TYPE_CHECKING

from retour.domain.actions.modification import Modification
from retour.domain.actions.outcome import Outcome
from retour.domain.delivery import Delivery
from retour.domain.program import Program, Source
from retour.domain.row import ABSENT, Refusal, Row, Unreadable
from retour.files import names
from retour.intake.threshold_gate import NOTHING_TAKEN, WITHIN_THRESHOLDS
from retour.normalise import Normaliser
from retour.posting.restatements import newest_version_records, takes_something
from retour.posting.rows import order_key_of_action
from retour.store.bulk import batched
from retour.store.inbox import PieceStream
from retour.store.ledger import Ledger

if TYPE_CHECKING:
    from retour.wiring import Hub

EXPORT = "export"
"""Key of a source's state that names its newest complete export."""
AT_ONCE = 500_000
"""Rows compared at once. For all other rows only an 8-byte hash is kept."""
LOOKED_UP = 200
CONNECTIONS = 8

Rows = Iterable[Row | Unreadable]


def with_absent(
    hub: "Hub", program: Program, source: Source, delivery: Delivery, rows: Rows
) -> Iterator[Row | Unreadable]:
    """The rows of a file, followed by a row for each missing subject.

    A file with unreadable rows is not complete, and one that was already checked against thresholds needs no
    comparison.
    """
    before = last_export(hub, delivery) if is_compared(source, delivery) else None
    if before is None:
        yield from rows
        return
    reading, told, is_whole = Normaliser(program, source, delivery), array("Q"), True
    for row in rows:
        if isinstance(row, Row):
            told.append(mark_of(reading, row))
        else:
            is_whole = False
        yield row
    if is_whole:
        yield from absent(hub, reading, before, told)


def is_compared(source: Source, delivery: Delivery) -> bool:
    return (
        source.absent == NOTHING_TAKEN and is_full(delivery) and delivery.facts.get("thresholds") != WITHIN_THRESHOLDS
    )


def is_full(delivery: Delivery) -> bool:
    """Whether a file is an export, and not a correction of some of its rows."""
    corrects = "corrects" in delivery.facts or delivery.facts.get("layout", "modifications") != "modifications"
    return not corrects and not names.base_name(delivery.name).lower().startswith(names.ANSWER_PREFIXES)


def last_export(hub: "Hub", delivery: Delivery) -> Delivery | None:
    """The export preceding a file; None if there is none or its body has expired."""
    noted = hub.state(delivery.program, delivery.source).get(EXPORT)
    header = hub.deliveries(delivery.program).get(noted["delivery"]) if noted else None
    return None if header is None or header.is_gone or header.delivery.id == delivery.id else header.delivery


def note_export(hub: "Hub", source: Source, delivery: Delivery, counts: Mapping[str, int]) -> None:
    """Save an export as the reference for later ones, if all of it was processed and none is newer."""
    if source.absent != NOTHING_TAKEN or not is_full(delivery) or counts.get(Outcome.REFUSED.value):
        return
    state = hub.state(delivery.program, delivery.source)
    noted = state.get(EXPORT)
    if noted is None or noted["delivery"] < delivery.id:
        state.put(EXPORT, {"delivery": delivery.id})


def absent(hub: "Hub", reading: Normaliser, before: Delivery, told: "array[int]") -> Iterator[Row]:
    """A row for each subject that took something in an earlier export and is not among the hashes in `told`."""
    ledger, parts = hub.ledger(reading.program), 1 + len(told) // AT_ONCE
    seen: set[int] = set()
    for part in range(parts):
        listed = {mark for mark in told if mark % parts == part}
        missing = (
            (row, mark)
            for row in rows_of(hub, reading.source, before)
            if (mark := mark_of(reading, row)) % parts == part and mark not in listed
        )
        for some in batched(missing, LOOKED_UP):
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                still = list(pool.map(lambda one: takes_still(ledger, reading, one[0]), some))
            for (row, mark), takes in zip(some, still, strict=True):
                if takes and mark not in seen:
                    seen.add(mark)
                    fields = {**reading.statement(row), "change": "take_back", "amount": "0"}
                    yield Row(f"{ABSENT}:{row.place}", fields, layout=ABSENT)


def rows_of(hub: "Hub", source: Source, delivery: Delivery) -> Iterator[Row]:
    from retour.intake.encrypted_files import open_delivery

    header = hub.deliveries(delivery.program).get(delivery.id)
    if header is None:
        return
    stream = (
        PieceStream(hub.inbox.pieces(delivery.body_key))
        if delivery.body_key
        else PieceStream(iter([hub.deliveries(delivery.program).body(header)]))
    )
    opened = open_delivery(hub, delivery, source, stream)
    if not isinstance(opened, Refusal):
        yield from (row for row in opened.rows if isinstance(row, Row))


def takes_still(ledger: Ledger, reading: Normaliser, row: Row) -> bool:
    """Whether the subject of an earlier row still takes something, by its newest version."""
    read = reading.modification(row)
    if not isinstance(read, Modification) or read.subject_key is None:
        return False
    key = read.order_key or (
        order_key_of_action(ledger.order_key_of, reading.program, read.action_id) if read.action_id else None
    )
    if key is None:
        return False
    return any(takes_something(record) for record in newest_version_records(ledger.order(key), read.subject_key))


def mark_of(reading: Normaliser, row: Row) -> int:
    """A 64-bit hash of a row's order and subject."""
    said = reading.statement(row)
    text = f"{reading.home(row)}\0{said.get('subject') or said.get('reference') or ''}"
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
