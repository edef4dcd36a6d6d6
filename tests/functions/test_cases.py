"""Histories of subjects through the front door, on the real storage: signed calls, files over the API, people's acts.

The ids are those of the reference's cases. What rules alone decide has its tables elsewhere; here the doors, the order
of arrival, holds, answers and lists are part of it.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from functions.webhook import app as webhook
from tests.channels.hook_signing import sign_headers, standard_with
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_api import ACTIONS, FILES, MODIFICATIONS, SALE, Answer, Caller, admin, call, text_of
from tests.gateway import hook
from tests.senders.messages import (
    Message,
    shopify,
    shopify_line,
    shopify_refund,
    shopify_transaction,
    stripe_refund,
    woocommerce_order,
)
from tests.senders.webhook_harness import CONTEXT, SECRET

from retour.intake.ingest import ingest
from retour.posting.refold import refold_order

__all__ = ["admin", "call"]
NUMBER = 450789469
"""The order as Shopify's messages name it."""
SIGNING_KEY = base64.b64decode(SECRET.removeprefix("whsec_"))
HOOKS: dict[str, Any] = {
    "shop": {"channel": "api", "kind": "shopify", "event_type": "sale"},
    "payments": {"channel": "api", "kind": "stripe", "event_type": "sale", "basis": "goods", "excess": "clamp"},
    "store": {"channel": "api", "kind": "woocommerce", "event_type": "sale"},
    "counter": {
        "channel": "api",
        "kind": "standard",
        "event_type": "sale",
        "possible_duplicates": {"store": "confirms"},
    },
    "returns": {"channel": "api", "kind": "standard", "references": "restate"},
}
CONTRACTS: dict[str, Any] = PROGRAM["contracts"]


def contracts(**standard: Any) -> dict[str, Any]:
    return {**CONTRACTS, "standard": {**CONTRACTS["standard"], "payout": "10%", **standard}}


class Door:
    """A program with a source for each sender, and the ways into it."""

    def __init__(self, admin: Caller, call: Caller, house: ProgramHarness) -> None:
        self.admin, self.call, self.house = admin, call, house
        self.apply()
        # Later than what the senders' messages tell of themselves.
        house.clock.moment = datetime(2026, 11, 20, 9, tzinfo=UTC)
        for source in HOOKS:
            house.hub.secrets.put(call.program, source, {"signing": [SECRET]})

    def apply(self, **changes: Any) -> None:
        body = {"contracts": contracts(), "sources": {**PROGRAM["sources"], **HOOKS}, **changes}
        answer = self.admin("PUT", "/v1/programs/{p}", text_of(self.call.program, **body))
        assert answer.status == 200, answer.body

    def sell(self, order: str, **more: Any) -> str:
        items = [{"sku": "X", "quantity": 2, "amount": "100.00"}]
        answer = self.call("POST", ACTIONS, {**SALE, "order_id": order, "items": items, **more})
        [outcome] = answer.json["outcomes"]
        assert outcome["outcome"] == "applied", outcome
        return str(outcome["action_id"])

    def told(self, source: str, message: Message) -> dict[str, Any]:
        """A signed call; what it was answered."""
        body, headers = message
        # What a signature covers is the sender's clock, which no business time moves.
        mine = sign_headers(HOOKS[source]["kind"], body, SECRET, datetime.now(UTC))
        if "webhook-id" in mine:
            mine = standard_with(SIGNING_KEY, body, datetime.now(UTC), f"msg_{next(self.house.serial)}")
        given = {name.replace("_", "-"): value for name, value in headers.items()} | mine
        answer = webhook.handler(hook(self.call.program, source, body, given), CONTEXT)
        assert answer["statusCode"] == 200, answer
        return json.loads(answer["body"])  # type: ignore[no-any-return]

    def file(self, name: str, *rows: str, header: str = "reference,order_id,sku,change,quantity") -> dict[str, Any]:
        """A file over the API, read once it lies in the inbox; its batch then."""
        body = "\n".join([header, *rows, ""]).encode()
        answer = self.call("POST", FILES, body, query={"name": name, "source": "returns"}, content_type="text/csv")
        assert answer.status == 202, answer.body
        stored = self.house.hub.deliveries(self.call.program).get(answer.json["batch"])
        assert stored is not None
        ingest(self.house.hub, stored.delivery, None)
        return self.call("GET", f"/v1/programs/{{p}}/batches/{answer.json['batch']}").json  # type: ignore[no-any-return]

    def action(self, action: str) -> dict[str, Any]:
        answer: Answer = self.call("GET", f"{ACTIONS}/{action}")
        assert answer.status == 200, answer.body
        return answer.json  # type: ignore[no-any-return]

    def left(self, action: str) -> str:
        return str(self.action(action)["amount"])

    def records(self, **asked: str) -> list[dict[str, Any]]:
        return self.call("GET", MODIFICATIONS, query=asked).json["items"]  # type: ignore[no-any-return]


@pytest.fixture
def door(admin: Caller, call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setattr(webhook, "hub", lambda: house.hub)
    return Door(admin, call, house)


def shop_refund(number: int, amount: str, *skus: tuple[str, str]) -> Mapping[str, Any]:
    """A refund that was paid; its lines by SKU and amount, where it has any."""
    lines = [shopify_line(each, sku=sku, number=n) for n, (sku, each) in enumerate(skus, 1)]
    return shopify_refund(number, lines, [shopify_transaction(number * 10, "success", amount)])


def created(refund: Mapping[str, Any]) -> Message:
    return shopify("refunds/create", refund)


def records(subject: str, *lines: tuple[str, str], order: str = str(NUMBER)) -> Message:
    """What a subject says now: its lines by SKU and what is taken back of each."""
    told = [
        {"order_id": order, "subject": subject, "sku": sku, "change": "take_back", "amount": each, "currency": "EUR"}
        for sku, each in lines
    ]
    return json.dumps({"modifications": told}).encode(), {}


A_AND_B = [{"sku": "A", "quantity": 2, "amount": "80.00"}, {"sku": "B", "quantity": 1, "amount": "20.00"}]


def test_e5_a_refund_that_is_told_again_with_fewer_lines_gives_the_others_back(door: Door) -> None:
    sale = door.sell(str(NUMBER), items=A_AND_B)
    door.told("returns", records("refund/9", ("A", "80.00"), ("B", "20.00")))
    assert (door.left(sale), door.action(sale)["state"]) == ("0.00", "reversed")
    door.told("returns", records("refund/9", ("A", "80.00")))
    assert (door.left(sale), door.action(sale)["state"]) == ("20.00", "pending")
    assert [(line["sku"], line["amount"]) for line in door.action(sale)["items"]] == [("A", "0.00"), ("B", "20.00")]


def test_e6_two_rows_of_one_return_take_a_unit_each(door: Door) -> None:
    sale = door.sell("1057")
    batch = door.file("monday.csv", "RT-7,1057,X,take_back,1", "RT-7,1057,X,take_back,1")
    assert (batch["state"], batch["counts"]) == ("done", {"applied": 2})
    assert (door.left(sale), door.action(sale)["state"]) == ("0.00", "reversed")


def test_e7_a_return_corrected_under_its_number_gives_back_the_line_it_no_longer_names(door: Door) -> None:
    sale = door.sell("1057", items=A_AND_B)
    door.file("monday.csv", "RT-7,1057,A,take_back,1", "RT-7,1057,B,take_back,1")
    assert door.left(sale) == "40.00"
    door.file("tuesday.csv", "RT-7,1057,A,take_back,1")
    assert door.left(sale) == "60.00"
    assert [(line["sku"], line["amount"]) for line in door.action(sale)["items"]] == [("A", "40.00"), ("B", "20.00")]


def test_e10_a_refund_held_as_a_possible_duplicate_closes_its_hold_when_it_fails(door: Door) -> None:
    sale = door.sell(str(NUMBER))
    door.told("shop", created(shop_refund(1, "40.00")))
    held = door.told("payments", stripe_refund("re_1", "succeeded", "40.00", order=str(NUMBER)))
    assert (held["counts"], held["outcomes"][0]["code"]) == ({"held": 1}, "POSSIBLE_DUPLICATE")
    assert [one["source"] for one in door.records(outcome="held")] == ["payments"]
    assert len(list(door.house.hub.deliveries(door.call.program).due("held"))) == 1
    failed = door.told("payments", stripe_refund("re_1", "failed", "40.00", 5, order=str(NUMBER)))
    assert "refused" not in failed["counts"]
    assert door.left(sale) == "60.00"
    assert door.records(outcome="held") == []
    # What the table's stream has done meanwhile.
    refold_order(door.house.hub, door.call.program, str(NUMBER))
    assert list(door.house.hub.deliveries(door.call.program).due("held")) == []


def test_e17_what_is_given_back_is_priced_as_it_was_reported(door: Door) -> None:
    door.apply(contracts=contracts(payout="20%"))
    sale = door.sell("1057")
    assert door.action(sale)["payout"] == "20.00"
    door.house.clock.moment += timedelta(days=1)
    door.apply(contracts=contracts(payout="8%"))
    door.told("payments", stripe_refund("re_1", "succeeded", "40.00"))
    assert (door.left(sale), door.action(sale)["payout"]) == ("60.00", "4.80")
    door.told("payments", stripe_refund("re_1", "failed", "40.00", 5))
    assert (door.left(sale), door.action(sale)["payout"]) == ("100.00", "20.00")


def test_e18_a_nightly_export_that_says_nothing_new_writes_nothing_and_is_not_held(door: Door) -> None:
    sales = [door.sell(f"105{n}") for n in range(4)]
    rows = [f"RT-{n},105{n},X,take_back,1" for n in range(4)]
    assert door.file("night1.csv", *rows)["counts"] == {"applied": 4}
    known = [len(door.house.order(f"105{n}").records) for n in range(4)]
    for night in (2, 3):
        door.house.clock.moment += timedelta(days=1)
        batch = door.file(f"night{night}.csv", *rows)
        assert (batch["state"], batch["counts"]) == ("done", {"unchanged": 4})
    assert [len(door.house.order(f"105{n}").records) for n in range(4)] == known
    assert [door.left(sale) for sale in sales] == ["50.00"] * 4
    assert list(door.house.hub.deliveries(door.call.program).due("held")) == []


def test_an_export_may_say_again_what_it_said_before_it_was_corrected(door: Door) -> None:
    """To the byte the file of the first night: no repetition of it, but the newest word."""
    sale = door.sell("1057")
    for name, units, left in (("a", 1, "50.00"), ("b", 2, "0.00"), ("c", 1, "50.00"), ("d", 2, "0.00")):
        door.file(f"{name}.csv", f"RT-7,1057,X,take_back,{units}")
        assert door.left(sale) == left, name


def test_e20_a_child_comes_back_when_its_cancelled_parent_is_paid_after_all(door: Door) -> None:
    door.apply(event_types={"sale": {}, "lead": {"parent": "sale"}}, contracts=contracts(cascade="cascade"))
    parent = door.sell("1057")
    child = door.sell("C-1", event_type="lead", parent=parent, event_time="2026-11-19T12:00:00+01:00")
    door.told("store", woocommerce_order("cancelled"))
    assert [door.action(one)["state"] for one in (parent, child)] == ["reversed", "reversed"]
    door.told("store", woocommerce_order("processing", at=5))
    assert [door.action(one)["state"] for one in (parent, child)] == ["pending", "pending"]
    assert door.left(child) == "100.00"


def test_e21_an_approved_order_that_is_cancelled_and_paid_after_all_is_pending_again(door: Door) -> None:
    door.apply(contracts=contracts(lock={"open_ended": True}))
    sale = door.sell("1057")
    latest = door.action(sale)["locks_at"]
    assert datetime.fromisoformat(latest) > datetime(2028, 10, 30, tzinfo=UTC)
    assert door.call("POST", f"{ACTIONS}/{sale}/approve", {}).status == 200
    assert door.action(sale)["state"] == "approved"
    approved_until = door.action(sale)["locks_at"]
    assert approved_until < latest
    door.told("store", woocommerce_order("cancelled"))
    assert door.action(sale)["state"] == "reversed"
    door.house.clock.moment += timedelta(days=4)
    door.told("store", woocommerce_order("processing", at=4 * 86_400))
    now = door.action(sale)
    assert (now["state"], now["amount"], now["locks_at"]) == ("pending", "100.00", latest)


def test_a23_shop_and_till_tell_the_same_two_returns_and_correct_one(door: Door) -> None:
    """The shop tells its order whole, the till each return, and now one and now the other is first."""
    sale = door.sell("1057")
    pairs: Sequence[tuple[Message, Message]] = [
        (woocommerce_order("processing", ["20.00"]), records("T-1", ("X", "20.00"), order="1057")),
        (woocommerce_order("processing", ["20.00", "30.00"], 5), records("T-2", ("X", "30.00"), order="1057")),
        (woocommerce_order("processing", ["25.00", "30.00"], 9), records("T-1", ("X", "25.00"), order="1057")),
    ]
    left = []
    for turn, (shop, till) in enumerate(pairs):
        for source, message in (("store", shop), ("counter", till))[:: -1 if turn % 2 else 1]:
            assert "refused" not in door.told(source, message).get("counts", {})
        left.append(door.left(sale))
    assert left == ["80.00", "50.00", "45.00"]
    assert list(door.house.hub.deliveries(door.call.program).due("differing")) == []
