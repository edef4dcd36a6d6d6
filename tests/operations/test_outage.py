"""Sixty per cent of all calls to the store fail for a while, then none: everything ends by itself, nothing is twice."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from functions.apply import app as stream
from functions.file_drop import app as file_drop
from tests.conftest import ProgramHarness
from tests.functions.test_inbound_email import CONTEXT

from retour.domain.delivery import Channel, DeliveryKind
from retour.intake.ingest import announce_file
from retour.operations.redrive import refold_parked
from retour.operations.sweep import sweep

ORDERS = [f"O-{n}" for n in range(6)]
FILES = range(7)


class Weather:
    """How many of the calls to the store fail before they are made."""

    def __init__(self, house: ProgramHarness, seed: int) -> None:
        self.chance, self.dice = 0.0, random.Random(seed)
        for client in (house.hub._dynamodb, house.hub.inbox.client, house.hub._sqs):
            client.meta.events.register_first("before-call", self.strike)

    def strike(self, **_: Any) -> None:
        if self.dice.random() < self.chance:
            raise EndpointConnectionError(endpoint_url="http://store")


@pytest.mark.parametrize("seed", range(6))
def test_d20_after_an_outage_nothing_waits_for_a_person(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(file_drop, "hub", lambda: house.hub)
    monkeypatch.setattr(stream, "hub", lambda: house.hub)
    house.report(*({"order_id": order, "amount": "100.00"} for order in ORDERS))
    weather = Weather(house, seed)
    started = list[Callable[[], Any]]()
    for order in ORDERS:
        started.append(lambda order=order: house.modify({"order_id": order, "change": "take_back", "amount": "10.00"}))
    for n in FILES:
        rows = f"order_id,change,amount\n{ORDERS[n % 6]},take_back,{20 + n}.00\n".encode()
        delivery = house.delivery(DeliveryKind.FILE, rows, "warehouse", Channel.SFTP, name=f"{n}.csv")
        key = f"email/{house.program}/warehouse/{delivery.id}/{n}.csv"
        announce_file(house.hub, replace(delivery, body_key=key))
        house.hub.inbox.put(key, rows)
        event = {"detail": {"object": {"key": key}}}
        started.append(lambda event=event: file_drop.handler(event, CONTEXT))
    weather.chance = 0.6
    stored = 0
    for begin in started:
        for _ in range(3):
            try:
                begin()
            except Exception:
                continue
            break
        try:
            sweep(house.hub, house.hub.program(house.program), timedelta(0))  # type: ignore[arg-type]
        except Exception:
            continue
    weather.chance = 0.0
    deliveries = house.hub.deliveries(house.program)
    day = f"{house.clock.moment:%Y%m%d}"
    headers = [one for one in deliveries.newest(day, most=200) if one.delivery.kind is not DeliveryKind.PROGRAM]
    stored = Counter(one.delivery.kind for one in headers)[DeliveryKind.MODIFICATIONS]
    program = house.hub.program(house.program)
    assert program is not None
    for _ in range(3):
        house.clock.moment += timedelta(minutes=5)
        refold_parked(house.hub)
        sweep(house.hub, program, timedelta(0))
    ended = [one for one in deliveries.newest(day, most=200) if one.delivery.kind is DeliveryKind.FILE]
    assert {one.state for one in ended} == {"done"}, "refused for nothing but the store"
    assert len(ended) == len(FILES) and list(deliveries.open()) == []
    for n, order in enumerate(ORDERS):
        records = house.order(order).records
        assert all(house.order(order).booking_of(record.id) for record in records), "every record is in its fold"
        told = [record for record in records if record.source == "warehouse"]
        assert len(told) == len([one for one in FILES if one % 6 == n]), "once each"
    calls = sum(1 for order in ORDERS for record in house.order(order).records if record.source == "erp")
    assert calls == stored, "a call that was stored is done, whether it was answered or not"
