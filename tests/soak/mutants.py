"""The protocol broken on purpose, one promise at a time: the histories must notice every one of these."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from retour.domain.actions import decide, fold
from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.fence import LowWaterMark
from retour.domain.actions.modification import Modification, Undo, digest
from retour.domain.actions.order import ActionHead, Order, initial_head, target_record_id
from retour.domain.actions.outcome import Outcome
from retour.intake import actions
from retour.normalise.identity import Identities
from retour.posting import fold as posting
from retour.posting import refold, rows, waiting
from retour.schedule import locking
from retour.store import items
from retour.store.ledger import HeadWrite, TableLedger
from tests.soak.world import ACME, TABLE


@dataclass(frozen=True)
class Mutant:
    """`replaced`: (module or class, name, what stands there instead); `ledger` the store that breaks its word."""

    why: str
    replaced: Sequence[tuple[Any, str, Any]] = ()
    ledger: type[TableLedger] = TableLedger

    @contextmanager
    def applied(self) -> Iterator[type[TableLedger]]:
        kept = [(owner, name, getattr(owner, name)) for owner, name, _ in self.replaced]
        for owner, name, instead in self.replaced:
            setattr(owner, name, instead)
        try:
            yield self.ledger
        finally:
            for owner, name, original in kept:
                setattr(owner, name, original)


# Stores


class WithoutVersionCheck(TableLedger):
    def write_heads(self, order_key: str, changes: Sequence[HeadWrite]) -> bool:
        for change in changes:
            self.client.put_item(TableName=TABLE, Item=self._put_of(self.partition_key(order_key), change)["Item"])
        return True


class OverwritesReceipt(TableLedger):
    def insert(self, modification: Modification) -> Modification | None:
        standing = super().insert(modification)
        if standing is None or standing.received_at >= modification.received_at:
            return standing
        later = replace(standing, received_at=modification.received_at, orders_by=modification.orders_by)
        pk = self.partition_key(later.home)
        self.client.put_item(TableName=TABLE, Item={"PK": items.s(pk), **items.modification_item(later)})
        return later


class InsertsBlindly(TableLedger):
    def insert(self, modification: Modification) -> Modification | None:
        pk = self.partition_key(modification.home)
        self.client.put_item(TableName=TABLE, Item={"PK": items.s(pk), **items.modification_item(modification)})
        return None


class CountsByAdding(TableLedger):
    """The count of changes is a counter beside the head, added to before the head is written."""

    def write_heads(self, order_key: str, changes: Sequence[HeadWrite]) -> bool:
        return super().write_heads(order_key, [self.counted(order_key, change) for change in changes])

    def counted(self, order_key: str, change: HeadWrite) -> HeadWrite:
        counter = {"PK": items.s(f"N#{ACME}#{order_key}"), "SK": items.s(change.head.action)}
        found = self.client.get_item(TableName=TABLE, Key=counter).get("Item")
        more = change.head.changes - (change.seen.changes if change.seen else 0)
        count = (int(found["n"]["N"]) if found else 0) + more
        self.client.put_item(TableName=TABLE, Item={**counter, "n": items.n(count)})
        return replace(change, head=replace(change.head, changes=count))


class WritesHeadsAlone(TableLedger):
    """Only what changed is written: two who see different actions of an order do not meet."""

    def write_heads(self, order_key: str, changes: Sequence[HeadWrite]) -> bool:
        def says_more(change: HeadWrite) -> bool:
            seen = change.seen
            return seen is None or (seen.log, seen.final) != (change.head.log, change.head.final)

        return super().write_heads(order_key, [change for change in changes if says_more(change)] or changes)


class SealsWhatIsNotWritten(TableLedger):
    def _seal_old_entries(self, partition: str, head: ActionHead, seen: ActionHead | None) -> ActionHead:
        return super()._seal_old_entries(partition, head, replace(head, sealed=seen.sealed if seen else 0))


class SealsAfterwards(TableLedger):
    """The page is put after the update that drops its entries."""

    def write_heads(self, order_key: str, changes: Sequence[HeadWrite]) -> bool:
        put, pages = self.client.put_item, []

        class Later:
            exceptions = self.client.exceptions
            transact_write_items = self.client.transact_write_items

            def put_item(self, **call: Any) -> Any:
                return pages.append(call) if call["Item"]["SK"]["S"].startswith("E#") else put(**call)

        written = TableLedger.write_heads(replace(self, client=Later()), order_key, changes)
        for page in pages if written else ():
            put(**page)
        return written


# Rules


def holder_even_refused(order: Order, record: Modification) -> Modification | None:
    for other in order.records:
        if other.identity == record.identity and other is not record and order.booking_of(other.id):
            return other
    return None


def by_the_clock(original: Callable[..., Any]) -> Callable[..., Any]:
    """The lock is asked for once, when a delivery begins: what passes then is never asked again."""
    passed: set[str] = set()

    def take_order(ledger: Any, program: Any, key: str, modifications: Sequence[Modification], now: datetime) -> Any:
        heads = ledger.order(key).heads.values()
        if not any(head.locked(now) for head in heads):
            passed.update(modification.id for modification in modifications)
        return original(ledger, program, key, modifications, now)

    def lateness(head: ActionHead, record: Modification) -> Code | None:
        return None if record.id in passed else decide_lateness(head, record)

    decide_lateness = decide.lateness_code
    take_order.lateness = lateness  # type: ignore[attr-defined]
    return take_order


CHECKED_ONCE = by_the_clock(rows.post_order)
BOOK = fold.book_on_action


def undo_that_rewrites(order: Order, action: Action, record: Modification, contracts: Any, now: datetime) -> Order:
    order = BOOK(order, action, record, contracts, now)
    if isinstance(record.change, Undo):
        head = order.heads[action.id]
        undone = target_record_id(record)
        log = tuple(replace(e, outcome=Outcome.REFUSED) if e.id == undone else e for e in head.log)
        return replace(order, heads={**order.heads, action.id: replace(head, log=log)})
    return order


def attempt_without_delivery(order: Order, modification: Modification) -> Modification | None:
    attempt = RETRY_ATTEMPT(order, modification)
    return replace(attempt, attempt="again") if attempt else None


RETRY_ATTEMPT = rows.retry_attempt


def acknowledged_before_written(ledger: Any, order: Order, modifications: Any) -> Order:
    known = {record.id: record for record in order.records}
    known |= {one.id: one for one in modifications if one.id not in known}
    return replace(order, records=list(known.values()))


def save_heads_blindly(ledger: Any, order: Order, folded: Order, now: datetime) -> Order:
    return SAVE_HEADS(ledger, order, folded, now) or folded


SAVE_HEADS = posting.save_heads


def identified_by_arrival(self: Any, place: str, target: str, *, reference: str | None, **more: Any) -> str:
    if reference is None:
        return digest("", self.source.name, self.delivery.id, place)
    return IDENTITY(self, place, target, reference=reference, **more)


IDENTITY = Identities.identity_of


def skip_refold(hub: Any, program_id: str, home: str) -> None:
    program = hub.program(program_id)
    ledger = hub.ledger(program)
    posting.fold_and_save(ledger, home, hub.now(), ledger.order(home))


def fold_from_the_start(order: Order, contracts: Any, now: datetime) -> Order:
    """Each fold books everything anew: by whatever the terms and the order are now."""
    heads = {
        name: replace(initial_head(action, contracts), version=head.version, sealed=head.sealed)
        for name, head in order.heads.items()
        if (action := order.action(name)) and head.final is None
    }
    return FOLD(replace(order, heads={**order.heads, **heads}), contracts, now)


FOLD = fold.fold


def never_decided(order: Order, record: Modification) -> bool:
    return False


def never_held_back(self: LowWaterMark, locks_at: datetime, now: datetime, patience: Any) -> bool:
    return False


MUTANTS: dict[str, Mutant] = {
    "no version check": Mutant("two workers write the same head, the later wins", ledger=WithoutVersionCheck),
    "receipt overwritten": Mutant("a redelivery moves received_at", ledger=OverwritesReceipt),
    "insert without condition": Mutant("the second write of a record wins", ledger=InsertsBlindly),
    "counter added to": Mutant("a lost race or a kill counts a change twice", ledger=CountsByAdding),
    "heads written alone": Mutant("a record is booked on two actions", ledger=WritesHeadsAlone),
    "given up and booked": Mutant(
        "a record is given up while its action is reported", [(posting, "has_unassigned_rival", lambda *_: False)]
    ),
    "page sealed by a loser": Mutant("entries nobody wrote are sealed", ledger=SealsWhatIsNotWritten),
    "page put afterwards": Mutant("a kill between drops sealed entries", ledger=SealsAfterwards),
    "lock checked at the start only": Mutant(
        "what waited is accepted after the lock",
        [
            (rows, "post_order", CHECKED_ONCE),
            *[(room, "lateness_code", CHECKED_ONCE.lateness) for room in (decide, fold)],  # type: ignore[attr-defined]
        ],
    ),
    "fence without low-water mark": Mutant(
        "final while a delivery received in time is still open", [(LowWaterMark, "holds_back", never_held_back)]
    ),
    "refused keeps its reference": Mutant(
        "a refusal uses the reference up", [(decide, "reference_holder", holder_even_refused)]
    ),
    "attempt without its delivery": Mutant(
        "the third try is taken for the second", [(rows, "retry_attempt", attempt_without_delivery)]
    ),
    "waiting forgotten": Mutant(
        "what waits beside an action id stays there",
        [
            (room, "adopt_waiting", lambda _ledger, _id, order: order)
            for room in (rows, actions, refold, waiting, locking)
        ],
    ),
    "nobody looks again": Mutant(
        "reported between the look and the insert",
        [(rows, "fold_into_reported_order", lambda *_: None), (refold, "refold_order", skip_refold)],
    ),
    "undo rewrites": Mutant("the undone record's entry is changed", [(fold, "book_on_action", undo_that_rewrites)]),
    "acknowledged before written": Mutant(
        "an answer without an insert", [(rows, "insert_missing", acknowledged_before_written)]
    ),
    "loser believes itself": Mutant("a lost write is told as booked", [(posting, "save_heads", save_heads_blindly)]),
    "identity by arrival": Mutant(
        "a redelivered row is another record", [(Identities, "identity_of", identified_by_arrival)]
    ),
    "fold from the start": Mutant("booked outcomes are decided again", [(posting, "fold", fold_from_the_start)]),
    "drawn away by a later action": Mutant(
        "a record is booked again on an action that came later", [(fold, "is_already_decided", never_decided)]
    ),
}
