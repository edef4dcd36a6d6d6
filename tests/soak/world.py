"""A ledger and those who work on it: deliveries that come twice, late and out of order, workers that die, people who
decide, a program that changes and a lock that falls. `play(seed)` is the whole of it."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from retour.domain.actions import modification, replay
from retour.domain.actions.action import Action
from retour.domain.actions.fence import GRACE
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import ActionHead, LogEntry, Order
from retour.domain.actions.outcome import Outcome
from retour.domain.contracts.contract import Contract
from retour.domain.delivery import Channel, Delivery, DeliveryKind, delivery_id
from retour.domain.program import Program
from retour.intake.batch import ARRIVED, DONE, Batch, report_of
from retour.intake.ingest import ingest, rows_of
from retour.normalise import Normaliser
from retour.posting import refold
from retour.posting.fold import ContentionError
from retour.posting.rows import post_rows
from retour.posting.waiting import expire_waiting, remind_waiting
from retour.schedule import locking
from retour.settings import Settings
from retour.store import items
from retour.store import ledger as ledger_module
from retour.store.deliveries import Deliveries
from retour.store.ledger import TableLedger
from retour.store.rates import Rates
from tests.settings import IN_MEMORY
from tests.soak.history import CASTS, START, History, history, programs
from tests.soak.table import Bucket, Item, Table
from tests.soak.weave import Job, Scheduler

ACME = "acme"
TABLE = "ledger"
ENTRIES_OPEN = 3
"""Logs are sealed early here, so that short histories see it."""


class InvariantBroken(AssertionError):
    """Something that must hold whatever happened did not."""


@dataclass(frozen=True)
class Acknowledged:
    """An answer that left the house."""

    delivery: Delivery
    batch: Batch


@dataclass
class World:
    """Everything of one history. It is also the hub that the production code asks for time, program and stores."""

    past: History
    weaver: Scheduler
    ledger_type: type[TableLedger] = TableLedger
    cast: int = 0
    clock: datetime = START
    version: int = 0
    answers: list[Acknowledged] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    files: dict[str, Delivery] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)
    first_receipt: dict[tuple[str, str], datetime] = field(default_factory=dict)
    touched: dict[str, None] = field(default_factory=dict)
    settings: Settings = IN_MEMORY
    calm: bool = False

    def __post_init__(self) -> None:
        self.table = Table(self.weaver, self.watch, self.past.page)
        self.inbox = Bucket(self.weaver)

    # What the production code asks of its hub

    def now(self) -> datetime:
        self.clock += timedelta(milliseconds=1)
        return self.clock

    @property
    def programs(self) -> Sequence[Program]:
        return programs(self.cast)

    def program(self, program_id: str) -> Program:
        return self.programs[self.version]

    def program_of(self, delivery: Delivery) -> Program:
        return self.programs[self.version]

    def ledger(self, program: Program) -> TableLedger:
        return self.ledger_type(self.table, TABLE, ACME, program.contracts, lambda: self.program(ACME).contracts)

    def rates(self, program_id: str) -> Rates:
        return Rates(self.table, TABLE, ACME)

    def deliveries(self, program_id: str) -> Deliveries:
        return Deliveries(self.table, TABLE, ACME, self.inbox)  # type: ignore[arg-type]

    def send(self, queue: str, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        self.settled |= set(message["modifications"])

    # What happens

    def play(self) -> None:
        jobs = [self.job(step) for step in self.past.steps]
        self.weaver.play(self.past.dice, self.past.restless, jobs)
        self.raise_errors()

    def settle_down(self) -> None:
        """The stream has told of everything, nobody dies any more, nobody is in the way."""
        self.calm = True
        homes = list(self.touched)
        self.weaver.play(self.past.dice, 0.0, [self.job({"do": "fold", "home": home}) for home in homes])
        self.raise_errors()

    def raise_errors(self) -> None:
        if self.weaver.errors:
            raise self.weaver.errors[0]

    def job(self, step: dict[str, Any]) -> Job:
        dice, past = self.past.dice, self.past
        tries = step.get("tries", 0)
        dies = not self.calm and tries < 3 and dice.random() < past.deadly
        run: Callable[[dict[str, Any], Job], None] = getattr(self, f"do_{step['do']}")

        def lost(job: Job) -> None:
            again = {**step, "tries": tries + 1}
            self.weaver.queue.insert(dice.randint(0, len(self.weaver.queue)), self.job(again))

        def work(job: Job) -> None:
            try:
                run(step, job)
            except ContentionError:
                lost(job)

        return Job(
            name=f"{step.get('name', step['do'])}{'#' + str(tries) if tries else ''}",
            run=work,
            calls=dice.randint(0, 14) if dies else None,
            after=dice.random() < 0.5,
            lost=lost,
        )

    def delivery(
        self, step: dict[str, Any], kind: DeliveryKind, body: bytes, channel: Channel = Channel.API
    ) -> Delivery:
        now = self.now()
        source = step.get("source", "")
        name = delivery_id(now, ACME, source, step["identity"])
        self.identities[name] = step["identity"]
        return Delivery(
            id=name,
            program=ACME,
            channel=channel,
            source=source,
            kind=kind,
            identity=step["identity"],
            received_at=now,
            sha256=hashlib.sha256(body).hexdigest(),
            size=len(body),
        )

    def do_arrive(self, step: dict[str, Any], job: Job) -> None:
        """A call by a sender who calls again until it is answered; or a file, which is open until all of it is done."""
        body = json.dumps(step["records"]).encode()
        channel = Channel(step.get("channel", "api"))
        if not step.get("file"):
            delivery = step["delivery"] = self.delivery(step, DeliveryKind.MODIFICATIONS, body, channel)
            job.name += f" at {delivery.received_at:%d %H:%M:%S.%f}"
            batch = ingest(self, delivery, body)  # type: ignore[arg-type]
            self.answers.append(Acknowledged(delivery, batch))
            return
        deliveries = self.deliveries(ACME)
        if step["identity"] not in self.files:
            # Received is what is listed as open: the two are one moment here.
            worker, self.weaver.current = self.weaver.current, None
            delivery = self.files[step["identity"]] = self.delivery(
                step, DeliveryKind.MODIFICATIONS, body, Channel.SFTP
            )
            deliveries.put(delivery, body, ARRIVED, {})
            self.weaver.current = worker
        self.take_file(self.files[step["identity"]], body)

    def take_file(self, delivery: Delivery, body: bytes) -> None:
        """What `take_file` does once the file is read."""
        deliveries, program = self.deliveries(ACME), self.program_of(delivery)
        header = deliveries.get(delivery.id)
        if header is None or header.state == DONE:
            return
        rows = rows_of(delivery, body, program.sources[delivery.source])
        assert isinstance(rows, Sequence)
        reads = list(Normaliser(program, program.sources[delivery.source], delivery).modifications(rows))
        results = post_rows(self.ledger(program), program, reads, self.now())
        remind_waiting(self, program, delivery, results)  # type: ignore[arg-type]
        batch = Batch(delivery=delivery, state=DONE, results=results)
        deliveries.close(delivery, report_of(batch), batch.state)
        self.answers.append(Acknowledged(delivery, batch))

    def do_report(self, step: dict[str, Any], job: Job) -> None:
        body = json.dumps(step["actions"]).encode()
        delivery = step["delivery"] = self.delivery(step, DeliveryKind.ACTIONS, body)
        self.answers.append(Acknowledged(delivery, ingest(self, delivery, body)))  # type: ignore[arg-type]

    def do_fold(self, step: dict[str, Any], job: Job) -> None:
        refold.refold_order(self, ACME, step["home"])  # type: ignore[arg-type]

    def do_wait(self, step: dict[str, Any], job: Job) -> None:
        """Time passes; a request that lasted too long is ended by the machinery it runs on."""
        self.clock += timedelta(hours=step["hours"])
        for other in self.weaver.running():
            if other.name.startswith(("call", "report", "person")):
                other.killed = True

    def do_program(self, step: dict[str, Any], job: Job) -> None:
        self.version = min(self.version + 1, len(self.programs) - 1)

    def do_expire(self, step: dict[str, Any], job: Job) -> None:
        expire_waiting(self, self.program(ACME))  # type: ignore[arg-type]

    def do_decide(self, step: dict[str, Any], job: Job) -> None:
        """A person looks at what is there, and decides on one of them."""
        found = [
            (order, record, last)
            for order in self.orders()
            for record in order.records
            if (last := last_entry(order, record)) is not None
        ]
        held = [one for one in found if one[2].outcome is Outcome.HELD]
        counted = [one for one in found if one[2].outcome in (Outcome.APPLIED, Outcome.UNCHANGED)]
        if held and step["dice"] < 0.8:
            order, record, _ = held[int(step["dice"] * 1000) % len(held)]
            change = "release" if step["dice"] < 0.5 else "discard"
        elif counted:
            order, record, _ = counted[int(step["dice"] * 1000) % len(counted)]
            change = "undo"
        else:
            return
        said = {"order_id": order.key, "change": change, "undoes": record.public_id}
        arrive = {"do": "arrive", "name": f"person {change}", "source": "erp", "channel": "console"}
        self.weaver.queue.insert(0, self.job({**arrive, "identity": step["identity"], "records": [said]}))

    def do_fence(self, step: dict[str, Any], job: Job) -> None:
        """As the locker does: the moment first, then what is open, then the orders."""
        now, program = self.now(), self.program(ACME)
        water = self.deliveries(ACME).low_water()
        patience = timedelta(hours=program.hold_at_lock_hours)
        due = {
            (order.key, action.id): lock
            for order in self.orders()
            for action in order.actions
            if (lock := order.heads[action.id].locks_at if action.id in order.heads else action.locks_at)
        }
        for (key, name), lock in due.items():
            if now >= lock + GRACE and not water.holds_back(lock, now, patience):
                locking.fence_order(self.ledger(program), key, [name], water, now, patience)

    # What is seen

    def orders(self) -> list[Order]:
        """Every order as it stands, read without anybody noticing."""
        worker, self.weaver.current = self.weaver.current, None
        page, self.table.page = self.table.page, 1_000_000
        try:
            plain = TableLedger(self.table, TABLE, ACME, self.programs[-1].contracts)
            keys = [pk.split("#", 2) for pk in self.table.items if pk[:2] in ("A#", "I#")]
            return [plain.order(key if kind == "A" else f"@{key}") for kind, _, key in keys]
        finally:
            self.weaver.current, self.table.page = worker, page

    def watch(self, pk: str, sk: str, old: Item | None, new: Item | None) -> None:
        """Every write to the table, just before it is done."""
        kind = sk[:2]
        if kind in ("M#", "C#") and pk[:2] in ("A#", "I#"):
            home = pk.split("#", 2)[2] if pk[0] == "A" else "@" + pk.split("#", 2)[2]
            self.touched[home] = None
            if old is None and not self.calm and self.past.dice.random() < self.past.eager:
                at = self.past.dice.randint(0, min(3, len(self.weaver.queue)))
                self.weaver.queue.insert(at, self.job({"do": "fold", "home": home}))
            if old is None and kind == "M#" and new is not None:
                self.first_receipt.setdefault((pk, sk), items.modification_from(new).received_at)
        elif kind == "H#" and new is not None:
            self.watch_head(pk, sk, old, new)
        elif kind == "E#" and old is not None and old != new:
            raise InvariantBroken(f"the sealed page {pk} {sk} was written again with other entries")

    def watch_head(self, pk: str, sk: str, old: Item | None, new: Item) -> None:
        if old is None:
            before: Sequence[LogEntry] = ()
        else:
            before = self.log(pk, sk, old)
            if "fin" in old:
                raise InvariantBroken(f"{pk} {sk} was changed after it was final")
        after = self.log(pk, sk, new)
        if after[: len(before)] != before:
            raise InvariantBroken(f"{pk} {sk}: booked entries were rewritten")
        if "fin" in new:
            action = items.action_from(self.table.items[pk]["C#" + sk[2:]])
            lock = action.locks_at
            late = [
                delivery
                for (one, doc) in self.table.items.get(f"O#{ACME}", {}).items()
                if (delivery := items.delivery_from(items.read_json(doc))).received_at < (lock or START) and one
            ]
            if late:
                raise InvariantBroken(f"{pk} {sk} is final while {late[0].id}, received in time, is still open")

    def log(self, pk: str, sk: str, item: Item) -> Sequence[LogEntry]:
        prefix = f"E#{sk[2:]}#"
        pages = self.table.items.get(pk, {})
        return items.head_from(item, [pages[key] for key in sorted(pages) if key.startswith(prefix)]).log


def last_entry(order: Order, record: Modification) -> LogEntry | None:
    booked = order.booking_of(record.id)
    return booked[1] if booked else None


@contextmanager
def quick() -> Iterator[None]:
    """Logs sealed early, and what is read again and again from the very same item read once: nothing else changes."""
    read_before: dict[int, tuple[Item, Any]] = {}

    def once(read: Callable[[Item], Any]) -> Callable[[Item], Any]:
        def value(item: Item) -> Any:
            found = read_before.get(id(item))
            if found is None:
                found = read_before[id(item)] = (item, read(item))
            return found[1]

        return value

    resumed: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def resume_once(
        action: Action, head: ActionHead, records: Sequence[Modification], contracts: Sequence[Contract]
    ) -> ActionHead:
        key = (id(action), id(head.log), len(contracts), *map(id, records))
        if key not in resumed:
            resumed[key] = (resume(action, head, records, contracts).standing, action, head.log, records)
        return replace(head, standing=resumed[key][0])

    resume = replay.restore_state
    changed: list[tuple[Any, str, Any]] = [
        (ledger_module, "restore_state", resume_once),
        (ledger_module, "OPEN_LOG_ENTRIES", ENTRIES_OPEN),
        (ledger_module, "modification_from", once(items.modification_from)),
        (ledger_module, "action_from", once(items.action_from)),
        (items, "entries_from", lru_cache(items.entries_from)),
        (modification, "digest", lru_cache(10_000)(modification.digest)),
    ]
    kept = [(module, name, getattr(module, name)) for module, name, _ in changed]
    for module, name, value in changed:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def play(seed: int, weaver: Scheduler, ledger_type: type[TableLedger] = TableLedger) -> World:
    """One history from its seed until everything came to rest; raises `Wrong` if a promise is broken on the way."""
    world = World(history(random.Random(seed)), weaver, ledger_type, seed % CASTS)
    world.play()
    world.settle_down()
    return world
