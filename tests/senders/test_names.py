"""Names on the real table: links, records that wait beside them, totals told by name, and what each of that costs."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from retour.domain.delivery import Channel, DeliveryKind
from retour.intake.batch import Batch
from retour.intake.decision import discard_delivery, release_delivery
from retour.intake.ingest import ingest
from retour.posting.order_names import expire_names
from retour.posting.refold import refold_order
from tests.conftest import PROGRAM, ProgramHarness
from tests.meter import Meter
from tests.senders.messages import Message, stripe_charge, stripe_refund

SOURCES = {
    "payments": {"channel": "api", "kind": "stripe", "event_type": "sale", "basis": "goods", "excess": "clamp"},
    "totals": {"channel": "api", "kind": "stripe", "event_type": "sale", "reference_namespace": "payments"},
}


@pytest.fixture
def shop(house: ProgramHarness) -> ProgramHarness:
    house.apply({**PROGRAM, "possible_duplicate_days": 0, "sources": {**PROGRAM["sources"], **SOURCES}})
    return house


def told(house: ProgramHarness, message: Message, source: str = "payments") -> Batch:
    body, _ = message
    return ingest(house.hub, house.delivery(DeliveryKind.HOOK, body, source, Channel.API, sender="stripe"), body)


def outcomes(batch: Batch) -> list[str]:
    return [result.outcome.value for result in batch.results]


def left(house: ProgramHarness, order: str = "1057") -> int:
    [(amount, _, _)] = house.payouts(order).values()
    return amount


def refund(number: str, status: str = "succeeded", at: float = 1, amount: str = "40.00", **more: Any) -> Message:
    return stripe_refund(number, status, amount, at, **more)


def test_a_record_that_knows_only_names_waits_and_is_moved_once(shop: ProgramHarness) -> None:
    shop.report({"order_id": "1057", "currency": "EUR", "amount": "100.00"})
    assert outcomes(told(shop, refund("re_1", order=None))) == ["waiting"]
    told(shop, stripe_charge("charge.succeeded", "100.00"))
    assert left(shop) == 6000
    for home in ("@charge:ch_1", "@payment_intent:pi_1", "1057"):
        refold_order(shop.hub, shop.program, home)
    assert left(shop) == 6000
    assert len(shop.order("1057").records) == 1
    assert outcomes(told(shop, refund("re_2", order=None))) == ["applied"]
    assert left(shop) == 2000


def test_a_record_that_waits_beside_a_name_is_answered_when_it_moves(shop: ProgramHarness) -> None:
    shop.report({"order_id": "1057", "currency": "EUR", "amount": "100.00"})
    told(shop, refund("re_1", order=None))
    deliveries = shop.hub.deliveries(shop.program)
    assert len(list(deliveries.due("waiting"))) == 1
    told(shop, stripe_charge("charge.succeeded", "100.00"))
    refold_order(shop.hub, shop.program, "1057")
    assert [message["what"] for queue, message in shop.sent if queue == "answers"] == ["settled"]
    assert list(deliveries.due("waiting")) == []


def test_a_total_that_is_told_later_applies_what_waits_for_it(shop: ProgramHarness) -> None:
    shop.report({"order_id": "1057", "currency": "EUR", "amount": "100.00"})
    batch = told(shop, refund("re_1", amount="60.00"), "totals")
    assert [(result.outcome.value, result.code) for result in batch.results] == [("waiting", "ORDER_TOTAL_UNKNOWN")]
    told(shop, stripe_charge("charge.updated", "120.00", order=None), "totals")
    assert left(shop) == 5000
    assert outcomes(told(shop, refund("re_2", amount="12.00", at=2), "totals")) == ["applied"]
    assert left(shop) == 4000


def test_a_claimed_name_is_held_and_ends_by_a_persons_word(shop: ProgramHarness) -> None:
    for order in ("1057", "1058"):
        shop.report({"order_id": order, "currency": "EUR", "amount": "100.00"})
    told(shop, stripe_charge("charge.succeeded", "100.00"))
    claims = [told(shop, stripe_charge("charge.updated", "100.00", at=at, order="1058")) for at in (2, 3)]
    assert [(claim.state, claim.code) for claim in claims] == [("held", "NAME_CONFLICT")] * 2
    released = release_delivery(shop.hub, claims[0].delivery, shop.hub.now())
    discarded = discard_delivery(shop.hub, claims[1].delivery)
    assert (released.state, released.code, discarded.state) == ("refused", "NAME_CONFLICT", "refused")
    assert list(shop.hub.deliveries(shop.program).due("held")) == []
    told(shop, refund("re_1", order=None))
    assert (left(shop), left(shop, "1058")) == (6000, 10000)


def test_names_of_orders_that_no_partner_brought_are_forgotten(shop: ProgramHarness) -> None:
    shop.report({"order_id": "1057", "currency": "EUR", "amount": "100.00"})
    told(shop, stripe_charge("charge.succeeded", "100.00"))
    told(shop, stripe_charge("charge.succeeded", "100.00", order="9999", number="ch_9"))
    program = shop.hub.program(shop.program)
    assert program is not None
    assert expire_names(shop.hub, program) == 0
    shop.clock.moment += timedelta(days=36)
    assert expire_names(shop.hub, program) == 1, "its charge; the payment intent was 1057's before"
    ledger = shop.hub.ledger(program)
    assert ledger.name_facts("charge:ch_1").order_key == "1057"
    assert ledger.name_facts("charge:ch_9").order_key is None
    assert ledger.name_facts("charge:ch_9").totals == {}


def test_a_replay_of_names_needs_no_body(shop: ProgramHarness) -> None:
    batch = told(shop, stripe_charge("charge.succeeded", "120.00"))
    deliveries = shop.hub.deliveries(shop.program)
    header = deliveries.get(batch.delivery.id)
    assert header is not None
    kept = deliveries.body(header)
    assert json.loads(kept)["names"] == ["charge:ch_1", "payment_intent:pi_1"]
    assert ingest(shop.hub, header.delivery, kept).state == "done"


def test_what_a_link_and_a_moved_record_cost(shop: ProgramHarness, metered: Callable[[], Meter]) -> None:
    meter = metered()
    for order in ("1057", "1058"):
        shop.report({"order_id": order, "currency": "EUR", "amount": "100.00"})

    def units(what: Callable[[], Any]) -> int:
        before = meter.written
        what()
        return meter.written - before

    named = units(lambda: told(shop, refund("re_0", order="1058", charge=None)))
    waits = units(lambda: told(shop, refund("re_1", order=None)))
    links = units(lambda: told(shop, stripe_charge("charge.succeeded", "100.00")))
    found = units(lambda: told(shop, refund("re_2", order=None)))
    print(f"units: a record that names the key {named}, one that waits beside two names {waits},")
    print(f"a link of two names with one record to move {links}, one that is found by its name {found}")
    header = 1
    assert named - header <= 2
    assert found - header <= 2
    assert links <= header + 1 + 2 * (1 + 1) + 2, "a note, two links, two totals, and the record at home"
    assert left(shop) == 2000
