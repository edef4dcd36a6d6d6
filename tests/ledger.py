"""A large ledger, written directly to the table as reports and changes would have left it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from retour.domain.actions.action import Action, Line
from retour.domain.actions.fold import fold
from retour.domain.actions.modification import Approve, Change, Modification, Provenance, Reverse, TakeBack
from retour.domain.actions.order import Order
from retour.domain.contracts.lock import at_report
from retour.domain.delivery import Channel, Delivery, DeliveryKind, delivery_id
from retour.domain.money import parse_decimal
from retour.domain.program import Program
from retour.store.bulk import batched
from retour.store.items import Item, action_item, head_item, lock_day_of, modification_item, s
from tests.conftest import ProgramHarness

DAYS = 60
"""Days before now over which actions are spread."""
PARTNERS = 20
DELIVERIES_EACH = 50
"""Actions with a listed delivery."""
CHANGED: dict[int, Change] = {0: TakeBack(parse_decimal("20.00")), 3: Reverse(), 7: Approve()}
"""Changes of these actions per 70."""
WRITTEN_AT_ONCE = 25


@dataclass(frozen=True)
class SeededLedger:
    program: Program
    now: datetime

    def orders(self, count: int) -> Iterator[Order]:
        for number in range(count):
            yield self.order(number)

    def order(self, number: int) -> Order:
        """An action with its change, folded; final if its lock is over a day ago."""
        happened = self.now - timedelta(days=number % DAYS, minutes=number % 1_000 + 1)
        key, terms = f"S-{number:06}", next(one for one in self.program.contracts if one.event_type == "sale")
        action = Action(
            id=f"{key}~sale",
            program=self.program.id,
            order_key=key,
            order_id=key,
            event_type="sale",
            partner=f"partner-{number // DAYS % PARTNERS:02}",
            event_time=happened,
            currency="EUR",
            lines=(Line("1", "SKU-1", "shoes", 1, 10_000),),
            reported_at=happened,
            delivery="20261101T110000000Z-0000000000",
            locks_at=at_report(terms.lock, happened, self.program.time_zone).locks_at,
            contract=terms.number,
        )
        change = CHANGED.get(number // 7 % 10)
        records = [self.record(action, change)] if change else []
        order = fold(Order(key=key, actions=[action], records=records), self.program.contracts, happened)
        head = replace(order.heads[action.id], version=1)
        if head.locks_at is not None and head.locks_at < self.now - timedelta(days=1):
            head = replace(head, final=head.locks_at + timedelta(minutes=10))
        return replace(order, heads={action.id: head})

    def record(self, action: Action, change: Change) -> Modification:
        came = min(action.event_time + timedelta(days=5), self.now)
        return Modification(
            identity=hashlib.sha256(action.id.encode()).hexdigest()[:24],
            content=hashlib.sha256(action.id.encode()).hexdigest()[24:40],
            program=action.program,
            channel=Channel.API,
            source="erp",
            namespace="erp",
            reference=action.id,
            provenance=Provenance(action.delivery, "", "1", "", ""),
            order_key=action.order_key,
            action_id=action.id,
            event_type="sale",
            change=change,
            currency="EUR",
            reason="ITEM_RETURNED",
            sku=None,
            line=None,
            disposition=None,
            note=None,
            occurred_at=None,
            received_at=came,
            orders_by=came,
        )

    def items(self, count: int) -> Iterator[Item]:
        listed: dict[str, Item] = {}
        for order in self.orders(count):
            (action,) = order.actions
            head = order.heads[action.id]
            partition = {"PK": s(f"A#{action.program}#{order.key}")}
            yield {**partition, **action_item(action)}
            yield {**partition, **head_item(head, action)}
            yield from ({**partition, **modification_item(record)} for record in order.records)
            if head.final:
                name = f"M#{action.event_time:%Y-%m}#{action.partner}"
                listed[name] = {"SK": s(name), "fin": s(head.final.isoformat())}
            else:
                name = f"D#{lock_day_of(head)}#{action.event_time.date()}"
                listed[name] = {"SK": s(name)}
        yield from ({"PK": s(f"L#{self.program.id}"), **item} for item in listed.values())


def seed_ledger(house: ProgramHarness, count: int, deliveries: bool = True) -> None:
    """Write actions of the house's program as of now: open, changed and final ones."""
    program, now = house.hub.program(house.program), house.clock.moment
    assert program is not None
    client, table = house.hub._dynamodb, house.hub.settings.ledger_table
    for some in batched(SeededLedger(program, now).items(count), WRITTEN_AT_ONCE):
        asked: dict[str, Any] = {table: [{"PutRequest": {"Item": item}} for item in some]}
        while asked:
            asked = client.batch_write_item(RequestItems=asked).get("UnprocessedItems") or {}
    for number in range(count // DELIVERIES_EACH if deliveries else 0):
        put_delivery(house, program, now - timedelta(hours=number * 7 % 330 + 2, seconds=number), number)


def put_delivery(house: ProgramHarness, program: Program, moment: datetime, number: int) -> None:
    body = f"call {number}".encode()
    delivery = Delivery(
        id=delivery_id(moment, program.id, "erp", str(number)),
        program=program.id,
        channel=Channel.API,
        source="erp",
        kind=DeliveryKind.MODIFICATIONS,
        identity=str(number),
        received_at=moment,
        sha256=hashlib.sha256(body).hexdigest(),
        size=len(body),
    )
    house.hub.deliveries(program.id).put(delivery, body, "done", {"counts": {"applied": DELIVERIES_EACH}})
