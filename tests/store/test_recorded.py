"""Ledgers that earlier releases wrote: read by this one, every action shows exactly what was booked.

What is stored is the only home of what was booked. `tests/fixtures/record_ledger.py` tells how the files were made.
"""

import base64
import gzip
import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from functions.api import app
from tests.channels.test_webhook import make_storage
from tests.conftest import Clock
from tests.functions.test_api import Caller
from tests.ledger import WRITTEN_AT_ONCE

from retour.api.documents import action_document, modification_document
from retour.settings import Settings
from retour.store.bulk import batched
from retour.store.programs import Principal
from retour.wiring import Hub

FIXTURES = Path(__file__).parents[1] / "fixtures"
RECORDED = sorted(path.name for path in FIXTURES.glob("ledger_*.json.gz"))
TABLES = itertools.count()
STANDS = (
    "id", "program", "order_id", "event_type", "partner", "event_time", "reported_at", "currency", "state", "amount",
    "payout", "payout_currency", "locks_at", "final_at", "contract", "changes", "rate", "items", "credit",
)  # fmt: skip
BOOKED = (
    "id", "channel", "source", "reference", "order_id", "action_id", "event_type", "sku", "line", "change", "amount",
    "quantity", "status", "partner", "undoes", "currency", "reason", "disposition", "note", "occurred_at",
    "received_at", "batch", "object", "place", "sha256", "sender", "outcome", "code", "applied_at", "effect",
)  # fmt: skip


@dataclass(frozen=True)
class Read:
    """A recorded ledger in a table of its own, and what it showed when it was recorded."""

    hub: Hub
    clock: Clock
    program: str
    shown: Mapping[str, Any]
    orders: tuple[str, ...]


def load(name: str, environment: dict[str, str], patch: pytest.MonkeyPatch) -> Read:
    recorded = json.loads(gzip.decompress((FIXTURES / name).read_bytes()))
    table = f"recorded-{os.getpid()}-{next(TABLES)}"
    make_storage(table)
    hub, clock = Hub(Settings(stack=table, ledger_table=table, inbox_bucket=table)), Clock()
    clock.moment = datetime.fromisoformat(recorded["at"])
    patch.setattr(hub, "now", clock)
    patch.setattr(hub, "real_now", lambda: clock.moment)
    patch.setattr(hub, "send", lambda queue, message, delay_seconds=0: None)
    for some in batched(recorded["items"], WRITTEN_AT_ONCE):
        asked: Any = {table: [{"PutRequest": {"Item": stored(item)}} for item in some]}
        while asked:
            asked = hub._dynamodb.batch_write_item(RequestItems=asked).get("UnprocessedItems")
    orders = dict.fromkeys(item["PK"]["S"].split("#", 2)[2] for item in recorded["items"] if item["PK"]["S"][0] == "A")
    return Read(hub, clock, recorded["program"], recorded["shown"], tuple(orders))


def stored(item: Mapping[str, Any]) -> dict[str, Any]:
    """Bytes are Base64 in the file."""
    return {name: {"B": base64.b64decode(value["B"])} if "B" in value else dict(value) for name, value in item.items()}


def chosen(document: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """What must be the same; sentences may be put better."""
    found = {name: document[name] for name in names}
    return found | ({"credit": {**(found["credit"] or {}), "why": ""}} if "credit" in found else {})


@pytest.mark.parametrize("name", RECORDED)
def test_every_action_and_record_shows_what_was_booked(
    name: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = load(name, environment, monkeypatch)
    program = read.hub.program(read.program)
    assert program is not None
    ledger, now = read.hub.ledger(program), read.clock.moment
    actions, records = 0, 0
    for key in read.orders:
        order = ledger.order(key)
        for action in order.actions:
            was = read.shown["actions"][action.id]
            document = json.loads(json.dumps(action_document(order, action, order.heads[action.id], program, now)))
            assert chosen(document, STANDS) == chosen(was, STANDS), action.id
            assert [chosen(one, BOOKED) for one in document["history"]] == [
                chosen(one, BOOKED) for one in was["history"]
            ], action.id
            actions += 1
        for record in order.records:
            document = json.loads(json.dumps(modification_document(order, record, program)))
            assert chosen(document, BOOKED) == chosen(read.shown["records"][record.public_id], BOOKED)
            records += 1
    assert (actions, records) == (len(read.shown["actions"]), len(read.shown["records"]))
    assert actions > 100 and records > 1_000


@pytest.mark.parametrize("name", RECORDED)
def test_it_is_shown_by_the_api_and_stays_as_it_is_when_it_is_folded_again(
    name: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading and folding an old ledger books nothing."""
    from retour.posting.refold import refold_order

    read = load(name, environment, monkeypatch)
    call = caller(read, monkeypatch)
    before = items(read.hub)
    for key in read.orders:
        if key != "limit":
            refold_order(read.hub, read.program, key)
    assert items(read.hub) == before
    for action in ("take-amount~sale", "undo~sale", "pool~sale", "shipped~shipped", "child-1~lead", "ACT-1"):
        was = read.shown["actions"][action]
        answer = call("GET", f"/v1/programs/{{p}}/actions/{action}")
        assert answer.status == 200, answer.body
        assert chosen(answer.json, STANDS) == chosen(was, STANDS)
    late = call("GET", "/v1/programs/{p}/actions/shipped_now~shipped_now").json
    assert "but is delivered now" in late["credit"]["why"], "a status that came after the lock counted then"


def test_the_limit_of_an_old_action_is_raised_by_a_person(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = load("ledger_1_open.json.gz", environment, monkeypatch)
    call = caller(read, monkeypatch)
    take = {"order_id": "limit", "change": "take_back", "amount": "5.00", "currency": "EUR"}

    def code(reference: str) -> str:
        answer = call("POST", "/v1/programs/{p}/modifications", {**take, "reference": reference})
        return str(answer.json["outcomes"][0]["code"])

    assert code("more-1") == "MODIFICATION_LIMIT"
    many = {"act": "raise-limit", "actions": ["limit~sale"], "to": 1100}
    assert call("POST", "/v1/programs/{p}/actions/acts", many).status == 422, "one action at a time"
    raised = call("POST", "/v1/programs/{p}/actions/limit~sale/raise-limit", {"to": 1100})
    assert raised.json["counts"] == {"applied": 1}, raised.body
    assert (code("more-1"), code("more-2")) == ("NEAR_MODIFICATION_LIMIT", "NEAR_MODIFICATION_LIMIT")
    shown = call("GET", "/v1/programs/{p}/actions/limit~sale").json
    assert (shown["amount"], shown["changes"], shown["changes_left"]) == ("980.00", 1002, 98)


def test_what_today_would_come_to_is_told_in_money_and_booked_on_purpose(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the recorded ledger: amounts and units that came to zero apart, an order that its status had locked."""
    read = load("ledger_1_open.json.gz", environment, monkeypatch)
    call = caller(read, monkeypatch)
    [found] = [one for one in call("GET", "/v1/doctor").json["checks"] if "older rules" in one["name"]]
    assert (found["state"], found["fix"]) == ("warning", "retour refold --dry-run --program recorded")
    before = items(read.hub)
    rehearsed = call("POST", "/v1/programs/{p}/refold", {}, query={"dry_run": "true"})
    assert rehearsed.status == 200, rehearsed.body
    told = {one["id"]: one for one in rehearsed.json["differences"]}
    assert items(read.hub) == before, "a dry run writes nothing"
    assert set(told) == {"free~lead", "amount-before-units~sale", "shipped_now~shipped_now", "shipped-moved~shipped"}
    assert told["free~lead"]["state"] == {"before": "pending", "after": "reversed"}
    assert told["shipped_now~shipped_now"]["locks_at"]["before"] is None
    shown = {one: call("GET", f"/v1/programs/{{p}}/actions/{one}").json for one in read.shown["actions"]}
    booked = call("POST", "/v1/programs/{p}/refold", {"note": "as of today's rules"})
    assert booked.json["counts"] == {"applied": len(told)} == rehearsed.json["counts"], booked.body
    assert [one["id"] for one in booked.json["differences"]] == [*told]
    for action, was in shown.items():
        now = call("GET", f"/v1/programs/{{p}}/actions/{action}").json
        if action not in told:
            assert chosen(now, STANDS) == chosen(was, STANDS), action
            continue
        assert (now["amount"], now["payout"]) == (told[action]["amount"]["after"], told[action]["payout"]["after"])
        assert now["locks_at"] == told[action]["locks_at"]["after"]
        assert (now["history"][-1]["change"], now["history"][-1]["channel"]) == ("refold", "console")
    again = call("POST", "/v1/programs/{p}/refold", {}).json
    assert (again["differences"], again["batch"], again["next"]) == ([], None, None)
    [well] = [one for one in call("GET", "/v1/doctor").json["checks"] if "older rules" in one["name"]]
    assert well["state"] == "ok"


def test_what_is_final_or_locked_is_never_folded_anew(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = load("ledger_1_final.json.gz", environment, monkeypatch)
    call = caller(read, monkeypatch)
    for action, was in read.shown["actions"].items():
        if was["state"] == "locked":
            call("POST", "/v1/programs/{p}/modifications", {"action_id": action, "change": "reverse"})
    told = call("POST", "/v1/programs/{p}/refold", {}).json
    assert not {one["id"] for one in told["differences"]} & {
        action for action, was in read.shown["actions"].items() if was["state"] == "locked"
    }
    for action, was in read.shown["actions"].items():
        if was["final_at"]:
            now = call("GET", f"/v1/programs/{{p}}/actions/{action}").json
            assert chosen(now, STANDS) == chosen(was, STANDS)


def caller(read: Read, patch: pytest.MonkeyPatch) -> Caller:
    patch.setattr(app, "hub", lambda: read.hub)
    app.quiet_hub.cache_clear()
    read.hub.programs.grant("rk_recorded", Principal(read.program, "merchant", "till 4"))
    return Caller("rk_recorded", read.program)


def items(hub: Hub) -> list[dict[str, Any]]:
    pages = hub._dynamodb.get_paginator("scan").paginate(TableName=hub.settings.ledger_table, ConsistentRead=True)
    found = [item for page in pages for item in page["Items"] if item["PK"]["S"][:2] == "A#"]
    return sorted(found, key=lambda item: (item["PK"]["S"], item["SK"]["S"]))
