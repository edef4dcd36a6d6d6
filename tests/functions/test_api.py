"""The API through its front door: events as the gateway sends them, on the real storage."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote

import pytest
import yaml
from functions.api import app
from tests import contract
from tests.conftest import PROGRAM, ProgramHarness
from tests.settings import change_settings

from retour.api.calls import normalize_path
from retour.domain.actions.modification import Modification
from retour.domain.delivery import Channel
from retour.store.ledger import TableLedger
from retour.store.programs import Principal

CONTEXT = SimpleNamespace(function_name="api", memory_limit_in_mb=1024, invoked_function_arn="arn", aws_request_id="1")
SALE = {"event_type": "sale", "partner": "nordlicht", "event_time": "2026-11-01T12:00:00+01:00", "currency": "EUR"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Caller:
    """A client of the API that holds one key."""

    key: str
    program: str

    def __call__(
        self, method: str, path: str, body: Any = None, *, query: dict[str, str] | None = None, **headers: str
    ) -> Answer:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        usual = {"authorization": f"Bearer {self.key}"} if self.key else {}
        if body is not None and not isinstance(body, bytes):
            usual["content-type"] = "application/json"
        event = {
            "version": "2.0",
            "routeKey": "ANY /v1/{proxy+}",
            "rawPath": unquote(path.replace("{p}", self.program)),
            "rawQueryString": "",
            "headers": {**usual, **{name.replace("_", "-"): value for name, value in headers.items()}},
            "queryStringParameters": query or {},
            "requestContext": {"http": {"method": method, "path": path}, "stage": "$default", "requestId": "1"},
            "body": base64.b64encode(raw).decode(),
            "isBase64Encoded": True,
        }
        said = app.handler(event, CONTEXT)
        text = said.get("body") or ""
        found = base64.b64decode(text) if said.get("isBase64Encoded") else text.encode()
        named = {k.lower(): v for k, v in said.get("headers", {}).items()}
        if method not in ("HEAD", "OPTIONS"):
            contract.assert_described(
                method, normalize_path(event["rawPath"]), said["statusCode"], named.get("content-type", ""), found
            )
        return Answer(said["statusCode"], named, found)


@pytest.fixture
def admin(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """An administrator's key, and a program of its own that was applied with it."""
    monkeypatch.setattr(app, "hub", lambda: house.hub)
    app.quiet_hub.cache_clear()
    house.program = f"{house.program}-api"
    key = f"rk_admin_{house.program}"
    house.hub.programs.grant(key, Principal("*", "admin", "operator"))
    caller = Caller(key, house.program)
    assert caller("PUT", "/v1/programs/{p}", text_of(house.program)).status == 201
    return caller


@pytest.fixture
def call(admin: Caller, house: ProgramHarness) -> Caller:
    """The program's own key."""
    key = f"rk_{house.program}_0123456789abcdef"
    house.hub.programs.grant(key, Principal(house.program, "merchant", "till 4"))
    return Caller(key, house.program)


def text_of(program: str, **changes: Any) -> bytes:
    return yaml.safe_dump({**PROGRAM, "program": program, **changes}).encode()


MODIFICATIONS = "/v1/programs/{p}/modifications"
ACTIONS = "/v1/programs/{p}/actions"
BATCHES = "/v1/programs/{p}/batches"
FILES = "/v1/programs/{p}/files"


def sold(call: Caller, order: str, amount: str = "100.00", **more: Any) -> str:
    answer = call("POST", ACTIONS, {**SALE, "order_id": order, "amount": amount, **more})
    assert answer.status == 200, answer.body
    [outcome] = answer.json["outcomes"]
    assert outcome["outcome"] == "applied", outcome
    return str(outcome["action_id"])


def take_back(order: str, amount: str = "20.00", **more: str) -> dict[str, str]:
    return {"order_id": order, "change": "take_back", "amount": amount, "currency": "EUR", **more}


# The way of a return


def test_a_return_is_applied_and_the_answer_says_what_it_came_to(call: Caller) -> None:
    action = sold(call, "A-1")
    answer = call("POST", MODIFICATIONS, take_back("A-1", reference="R-1", reason="ITEM_RETURNED"))
    assert answer.status == 200
    assert answer.json["state"] == "done" and answer.json["counts"] == {"applied": 1}
    [outcome] = answer.json["outcomes"]
    assert outcome["id"].startswith("A-1~")
    assert (outcome["record"], outcome["reference"], outcome["action_id"]) == ("1", "R-1", action)
    assert outcome["effect"] == {
        "currency": "EUR",
        "payout_currency": "EUR",
        "amount": {"before": "100.00", "after": "80.00"},
        "payout": {"before": "8.00", "after": "6.40"},
        "contract": 2,
    }
    shown = call("GET", f"{ACTIONS}/{quote(action, safe='')}").json
    assert (shown["amount"], shown["payout"], shown["state"], shown["changes"]) == ("80.00", "6.40", "pending", 1)
    assert shown["items"][0]["sold"] == {"quantity": 1, "amount": "100.00"}
    [record] = shown["history"]
    assert (record["channel"], record["source"], record["sender"]) == ("api", "erp", "till 4")
    assert (record["outcome"], record["reason"], record["amount"]) == ("applied", "ITEM_RETURNED", "20.00")
    alone = call("GET", f"{MODIFICATIONS}/{quote(outcome['id'])}").json
    assert record == alone | {name: record[name] for name in ("terms", "other_basis")}


def test_a_bad_record_is_refused_with_a_sentence_and_spoils_no_other(call: Caller) -> None:
    sold(call, "A-2")
    answer = call("POST", MODIFICATIONS, [take_back("A-2", "nine"), take_back("A-2", "5"), {"change": "reverse"}, 7])
    assert answer.status == 200
    assert [one["outcome"] for one in answer.json["outcomes"]] == ["refused", "applied", "refused", "refused"]
    for one in answer.json["outcomes"]:
        assert bool(one["code"]) == bool(one["explanation"]) == (one["outcome"] == "refused")
    batch = call("GET", f"{BATCHES}/{answer.json['batch']}").json
    assert batch["counts"] == {"refused": 3, "applied": 1} and batch["rows"] == 4
    assert [(one["record"], one["outcome"], one["code"]) for one in batch["outcomes"]] == [
        (one["record"], one["outcome"], one["code"]) for one in answer.json["outcomes"]
    ]
    result = call("GET", f"{BATCHES}/{answer.json['batch']}/result")
    assert result.body.count(b"\r\n") == 5 and b"NOT_AN_AMOUNT" in result.body
    rejected = call("GET", f"{BATCHES}/{answer.json['batch']}/rejected")
    assert json.loads(rejected.body) == [take_back("A-2", "nine"), {"change": "reverse"}, 7]


def test_a_dry_run_says_the_same_and_writes_nothing(call: Caller) -> None:
    action = sold(call, "A-3")
    dry = call("POST", MODIFICATIONS, take_back("A-3"), query={"dry_run": "true"}).json
    assert dry["dry_run"] is True and dry["batch"] is None
    assert call("GET", f"{ACTIONS}/{action}").json["amount"] == "100.00"
    wet = call("POST", MODIFICATIONS, take_back("A-3")).json
    assert dry["outcomes"][0]["effect"] == wet["outcomes"][0]["effect"]
    again = {**SALE, "order_id": "A-3b", "amount": "7"}
    assert call("POST", ACTIONS, again, query={"dry_run": "true"}).json["counts"] == {"applied": 1}
    assert call("GET", f"{ACTIONS}/A-3b~sale").status == 404


def test_what_comes_too_early_waits_and_is_applied_by_the_report(call: Caller) -> None:
    early = call("POST", MODIFICATIONS, take_back("A-4", reference="R-4")).json
    assert early["outcomes"][0]["outcome"] == "waiting"
    sold(call, "A-4")
    batch = call("GET", f"{BATCHES}/{early['batch']}").json
    assert batch["outcomes"][0]["outcome"] == "applied"


def test_records_belong_to_the_named_source_else_to_the_first_standard_one_else_to_the_api_itself(
    call: Caller, house: ProgramHarness
) -> None:
    def source_of(**query: str) -> str:
        batch = call("POST", MODIFICATIONS, take_back("A-8", f"{len(query) + 1}"), query=query).json["batch"]
        return str(call("GET", f"{BATCHES}/{batch}").json["source"])

    assert source_of() == next(iter(yaml.safe_load(text_of(house.program))["sources"])) == "erp"
    assert source_of(source="till") == "till"
    assert call("POST", MODIFICATIONS, take_back("A-8"), query={"source": "none"}).status == 404
    assert call("POST", MODIFICATIONS, take_back("A-8"), query={"source": "console"}).status == 404
    assert call("PUT", "/v1/programs/{p}", text_of(house.program, sources={})).status == 200
    assert source_of() == "api"


def test_an_action_is_reported_once(call: Caller) -> None:
    action = sold(call, "A-5")
    again = call("POST", ACTIONS, {**SALE, "order_id": "A-5", "amount": "100.00"}).json
    assert again["counts"] == {"duplicate": 1}
    other = call("POST", ACTIONS, [{**SALE, "order_id": "A-5", "amount": "90.00"}, {"order_id": "A-6"}]).json
    assert [one["code"] for one in other["outcomes"]] == ["ACTION_EXISTS", "FIELD_MISSING"]
    assert call("GET", f"{BATCHES}/{other['batch']}").json["counts"] == {"refused": 2}
    assert call("GET", f"{ACTIONS}/{action}").json["amount"] == "100.00"


def test_actions_come_as_csv_as_well(call: Caller) -> None:
    rows = (
        "order_id,event_type,partner,event_time,currency,sku,quantity,amount\n"
        "A-7,sale,nordlicht,2026-11-01T12:00:00+01:00,EUR,SHOE,2,60.00\n"
        "A-7,,,,,HAT,1,40.00\n"
    )
    answer = call("POST", ACTIONS, rows.encode(), content_type="text/csv")
    assert answer.json["counts"] == {"applied": 1}, answer.body
    shown = call("GET", f"{ACTIONS}/A-7~sale").json
    assert [(one["sku"], one["amount"], one["payout"]) for one in shown["items"]] == [
        ("SHOE", "60.00", "4.80"),
        ("HAT", "40.00", "3.20"),
    ]


STRANGE = [
    "a/b",
    "#1001",
    "ü & €",
    "50%25 off",
    "a~sale",
    "x" * 128,
    "/approve",
    "a?b=c",
    'q"uote',
    "...",
    "@"[1:] + "+",
]


@pytest.mark.parametrize("order", STRANGE)
def test_an_order_id_may_hold_any_sign(call: Caller, order: str) -> None:
    action = sold(call, order)
    path = f"{ACTIONS}/{quote(action, safe='')}"
    if "%" not in order:
        assert call("GET", path).json["order_id"] == order
        assert call("POST", f"{path}/reverse", {"reason": "CANCELLED"}).json["counts"] == {"applied": 1}
    assert call("GET", ACTIONS, query={"order_id": order}).json["items"][0]["id"] == action


# Decisions of people


def test_a_person_decides_on_one_action(call: Caller) -> None:
    path = f"{ACTIONS}/{sold(call, 'B-1')}"

    def state() -> tuple[str, str]:
        shown = call("GET", path).json
        return shown["state"], shown["amount"]

    assert call("POST", f"{path}/approve").json["counts"] == {"applied": 1}
    assert state() == ("approved", "100.00")
    assert call("POST", f"{path}/reverse", {"reason": "CONS_FRAUD", "note": "by phone"}).json["counts"] == {
        "applied": 1
    }
    assert state() == ("reversed", "0.00")
    assert call("POST", f"{path}/restore", {}).json["counts"] == {"applied": 1}
    changed = call("POST", f"{path}/modify", {"change": "set_total", "amount": "30.00", "reference": "form-7"}).json
    assert changed["counts"] == {"applied": 1}
    assert state()[1] == "30.00"
    history = call("GET", path).json["history"]
    assert [one["channel"] for one in history] == [Channel.CONSOLE] * 4
    assert history[1]["note"] == "by phone" and history[3]["reference"] == "form-7"


@pytest.mark.parametrize(
    ("verb", "body", "code"),
    [
        ("modify", {"amount": "1.00"}, "CHANGE_NEEDED"),
        ("modify", {"change": "reverse"}, "CHANGE_NEEDED"),
        ("reverse", {"order_id": "other"}, "UNKNOWN_FIELD"),
        ("reverse", ["x"], "NOT_AN_OBJECT"),
        ("reverse", b"{", "NOT_JSON"),
    ],
)
def test_a_form_that_says_something_else_is_refused(call: Caller, verb: str, body: Any, code: str) -> None:
    path = f"{ACTIONS}/{sold(call, 'B-2')}"
    answer = call("POST", f"{path}/{verb}", body)
    assert answer.status in (400, 422) and answer.json["code"] == code
    assert call("GET", path).json["history"] == []


def test_a_decision_on_nothing_is_not_found(call: Caller) -> None:
    assert call("POST", f"{ACTIONS}/no-such~sale/approve").status == 404


# Once


def test_the_same_idempotency_key_answers_the_same_and_another_body_is_refused(call: Caller) -> None:
    action = sold(call, "C-1")
    first = call("POST", MODIFICATIONS, take_back("C-1"), idempotency_key="k-1")
    again = call("POST", MODIFICATIONS, take_back("C-1"), idempotency_key="k-1")
    assert (again.status, again.json) == (first.status, first.json)
    other = call("POST", MODIFICATIONS, take_back("C-1", "30.00"), idempotency_key="k-1")
    assert other.status == 422 and other.json["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert other.headers["content-type"] == "application/problem+json"
    elsewhere = call("POST", f"{ACTIONS}/{action}/reverse", {}, idempotency_key="k-1")
    assert elsewhere.json["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert call("GET", f"{ACTIONS}/{action}").json["amount"] == "80.00"


def test_a_call_cut_off_after_its_records_were_stored_is_answered_as_duplicate(
    call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold(call, "C-2")
    state = type(house.hub.state("x", "y"))
    with monkeypatch.context() as cut:
        cut.setattr(state, "put", lambda *_: (_ for _ in ()).throw(ConnectionError))
        cut_off = call("POST", MODIFICATIONS, take_back("C-2"), idempotency_key="k-2")
        assert cut_off.json["code"] == "INTERNAL_ERROR"
    again = call("POST", MODIFICATIONS, take_back("C-2"), idempotency_key="k-2").json
    assert (again["counts"], again["first_counts"]) == ({"duplicate": 1}, {"applied": 1})
    assert again["outcomes"][0]["effect"]["amount"] == {"before": "100.00", "after": "80.00"}
    assert call("GET", f"{ACTIONS}/C-2~sale").json["amount"] == "80.00"


def test_a_key_whose_call_was_refused_can_be_used_for_the_corrected_one(call: Caller) -> None:
    assert call("POST", MODIFICATIONS, b"{", idempotency_key="k-3").status == 400
    assert call("POST", MODIFICATIONS, take_back("C-3"), idempotency_key="k-3").status == 200


def test_the_same_body_again_without_a_key_is_a_duplicate(call: Caller) -> None:
    sold(call, "C-4")
    call("POST", MODIFICATIONS, take_back("C-4"))
    assert call("POST", MODIFICATIONS, take_back("C-4")).json["counts"] == {"duplicate": 1}


def test_a_call_sent_again_says_what_became_of_each_record_when_it_was_sent_first(call: Caller) -> None:
    sold(call, "C-5")
    rows = [
        {"reference": "r-1", "order_id": "C-5", "change": "take_back", "amount": "20.00", "currency": "EUR"},
        {"reference": "r-2", "order_id": "not-reported-yet", "change": "reverse"},
        {"reference": "r-3", "order_id": "C-5", "change": "take_back", "amount": "900.00", "currency": "EUR"},
        {"reference": "r-4", "order_id": "C-5", "change": "take_back", "amount": "many", "currency": "EUR"},
        {"order_id": "C-5", "change": "set_total", "amount": "70.00", "currency": "EUR"},
    ]
    rows += [{"order_id": "C-5", "change": "take_back", "amount": "5.00", "subject": "refund/1", "version": "1"}]
    first = call("POST", MODIFICATIONS, rows).json
    assert "same_as" not in first and not any("first" in one for one in first["outcomes"])
    again = call("POST", MODIFICATIONS, rows).json
    assert again["same_as"] == first["batch"] != again["batch"]
    assert again["first_counts"] == first["counts"] == {"applied": 3, "waiting": 1, "refused": 2}
    assert again["counts"] == {"duplicate": 4, "refused": 2}
    assert first["batch"] in again["explanation"] and "counted twice" in again["explanation"]
    for one, other in zip(first["outcomes"], again["outcomes"], strict=True):
        said = other.get("first", {"outcome": other["outcome"]})["outcome"]
        assert (one["outcome"], one["code"]) == (said, other["code"])
        assert "first" not in other or one["effect"] == other["effect"]
    assert "applied then" in again["outcomes"][0]["explanation"]
    shown = call("GET", f"{BATCHES}/{again['batch']}").json
    assert (shown["same_as"], shown["first_counts"]) == (first["batch"], first["counts"])
    other = call("POST", MODIFICATIONS, rows[:1]).json
    assert "same_as" not in other and other["outcomes"][0]["first"]["batch"] == first["batch"], "another call"


def test_actions_reported_again_by_the_same_call_say_so(call: Caller) -> None:
    sales = [{**SALE, "order_id": f"C-6{n}", "amount": "10.00"} for n in range(3)]
    first = call("POST", ACTIONS, sales).json
    again = call("POST", ACTIONS, sales).json
    assert (again["same_as"], again["first_counts"]) == (first["batch"], {"applied": 3})
    assert call("GET", f"{BATCHES}/{again['batch']}").json["same_as"] == first["batch"]
    assert "same_as" not in call("POST", ACTIONS, sales[:2]).json


# Files


def test_a_file_is_stored_under_its_name_and_announced(call: Caller, house: ProgramHarness) -> None:
    body = b"order_id,change\nD-1,reverse\n"
    answer = call("POST", FILES, body, query={"name": "../may.csv"}, content_type="text/csv")
    assert answer.status == 202 and answer.json["state"] == "arriving"
    batch = answer.json["batch"]
    assert house.hub.inbox.read(f"api/{house.program}/erp/{batch}/may.csv") == body
    shown = call("GET", f"{BATCHES}/{batch}").json
    assert (shown["name"], shown["state"], shown["kind"], shown["size"]) == ("may.csv", "arriving", "file", len(body))
    assert call("GET", f"{BATCHES}/{batch}/raw").body == body
    assert call("GET", f"{BATCHES}/{batch}/result").status == 404


def test_a_file_whose_news_was_lost_is_taken_in_by_a_redrive(call: Caller, house: ProgramHarness) -> None:
    sold(call, "D-2")
    body = b"order_id,change,reason\nD-2,reverse,CANCELLED\nD-2,fly,\n"
    batch = call("POST", FILES, body, query={"name": "may.csv"}).json["batch"]
    assert call("POST", "/v1/redrive", {}).json["redriven"] == 1
    shown = call("GET", f"{BATCHES}/{batch}").json
    assert shown["state"] == "done" and shown["counts"] == {"applied": 1, "refused": 1}
    assert ("answers", {"program": house.program, "delivery": batch, "what": "batch"}) in house.sent
    assert call("GET", f"{BATCHES}/{batch}/rejected").body == b"order_id,change,reason\nD-2,fly,\n"
    assert call("GET", f"{BATCHES}/{batch}/result").body.count(b"\r\n") == 3
    assert call("POST", "/v1/redrive", {}).json["redriven"] == 0
    assert call("POST", f"{BATCHES}/{batch}/replay").json["counts"] == shown["counts"]
    assert call("GET", f"{ACTIONS}/D-2~sale").json["changes"] == 1


def ledger(house: ProgramHarness) -> TableLedger:
    program = house.hub.program(house.program)
    assert program is not None
    return house.hub.ledger(program)


def test_a_parked_order_is_folded_by_an_administrators_redrive_and_what_cannot_be_stays(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    sold(call, "D-9")
    ledger(house).insert(unfolded(house, call))
    queue = house.hub.settings.queues["parked"]
    for parked in ({"program": house.program, "home": "D-9"}, {"program": "gone", "home": "x"}):
        house.hub._sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(parked))
    assert call("GET", f"{ACTIONS}/D-9~sale").json["changes"] == 0
    answer = admin("POST", "/v1/redrive", {}).json
    assert (answer["moved"]["parked"], answer["failed"]) == (1, 1)
    assert call("GET", f"{ACTIONS}/D-9~sale").json["changes"] == 1
    house.hub._sqs.purge_queue(QueueUrl=queue)


def unfolded(house: ProgramHarness, call: Caller) -> Modification:
    """A record as a worker leaves it that is killed between insert and fold."""
    answer = call("POST", MODIFICATIONS, take_back("D-8")).json
    record = house.order("D-8").records[0]
    assert answer["counts"] == {"waiting": 1}
    return replace(record, order_key="D-9")


@pytest.mark.parametrize("name", ["", " ", "result_may.csv", "receipt_x", ".hidden", "x.part"])
def test_a_name_of_ours_or_of_something_unfinished_is_not_taken(call: Caller, name: str) -> None:
    assert call("POST", FILES, b"a", query={"name": name}).status in (400, 422)


def test_an_upload_gets_an_address_of_its_own(call: Caller, house: ProgramHarness) -> None:
    answer = call("POST", "/v1/programs/{p}/uploads", query={"name": "big.csv", "size": "9000000"})
    assert answer.status == 201
    assert f"/api/{house.program}/erp/{answer.json['batch']}/big.csv" in answer.json["url"]
    assert call("GET", f"{BATCHES}/{answer.json['batch']}").json["state"] == "arriving"
    too_large = call("POST", "/v1/programs/{p}/uploads", query={"name": "big.csv", "size": "9" * 14})
    assert too_large.status == 413


def test_a_held_delivery_is_released_by_a_decision_that_is_stored_too(call: Caller, house: ProgramHarness) -> None:
    sold(call, "D-3")
    for what, state in (("release", "done"), ("discard", "refused")):
        body = f"order_id,change,reason\nD-3,reverse,CANCELLED\n#{what}".encode()
        delivery = hold(house, body, what)
        assert call("GET", f"{BATCHES}/{delivery}").json["state"] == "held"
        assert call("POST", f"{BATCHES}/{delivery}/{what}", {"note": "seen"}).json["state"] == state
        assert call("POST", f"{BATCHES}/{delivery}/{what}").json["code"] == "NOT_HELD"
    kinds = [one["kind"] for one in call("GET", BATCHES).json["items"]]
    assert kinds.count("decision") == 2
    assert call("GET", f"{ACTIONS}/D-3~sale").json["state"] == "reversed"


def hold(house: ProgramHarness, body: bytes, name: str) -> str:
    from retour.domain.delivery import DeliveryKind
    from retour.intake.ingest import ingest

    key = f"raw/{house.program}/{name}"
    house.hub.inbox.put(key, body)
    delivery = house.delivery(
        DeliveryKind.FILE, body, "warehouse", Channel.EMAIL, name=f"{name}.csv", held="UNAUTHENTICATED", body_key=key
    )
    assert ingest(house.hub, delivery, None).state == "held"
    return delivery.id


# Lists


def pages(call: Caller, path: str, **query: str) -> Iterator[list[dict[str, Any]]]:
    cursor: dict[str, str] = {}
    while True:
        page = call("GET", path, query={**query, **cursor}).json
        yield page["items"]
        if not page["next"]:
            return
        cursor = {"cursor": page["next"]}


def test_lists_show_everything_once_newest_first_whatever_the_page(call: Caller, house: ProgramHarness) -> None:
    for number in range(5):
        sold(call, f"E-{number}", partner=f"p{number % 2}")
        house.clock.moment = house.clock.moment.replace(day=3 + number * 4)
    call("POST", MODIFICATIONS, [take_back(f"E-{number}", f"{number + 1}") for number in range(5)])
    call("POST", MODIFICATIONS, [take_back("E-1", "500"), take_back("E-9", "1")])
    for limit in ("1", "2", "100"):
        actions = [one["order_id"] for page in pages(call, ACTIONS, limit=limit) for one in page]
        assert actions == ["E-4", "E-3", "E-2", "E-1", "E-0"]
        records = [one["order_id"] for page in pages(call, MODIFICATIONS, limit=limit) for one in page]
        assert records == ["E-1", "E-9", "E-0", "E-1", "E-2", "E-3", "E-4"]
        batches = [one["kind"] for page in pages(call, BATCHES, limit=limit) for one in page]
        assert batches == ["modifications"] * 2 + ["actions"] * 5 + ["program"]
    assert [one["order_id"] for page in pages(call, ACTIONS, partner="p1") for one in page] == ["E-3", "E-1"]
    refused = [one for page in pages(call, MODIFICATIONS, outcome="refused") for one in page]
    assert [(one["order_id"], one["code"]) for one in refused] == [("E-1", "AMOUNT_EXCEEDS_SALE")]
    of_order = call("GET", MODIFICATIONS, query={"order_id": "E-1"}).json["items"]
    assert sorted(one["outcome"] for one in of_order) == ["applied", "refused"]
    assert call("GET", MODIFICATIONS, query={"action_id": "E-1~sale"}).json["items"] == of_order
    newest = call("GET", BATCHES, query={"limit": "1"}).json["items"][0]
    assert newest["counts"] == {"refused": 1, "waiting": 1}
    own = [one["order_id"] for page in pages(call, MODIFICATIONS, batch=newest["id"], limit="1") for one in page]
    assert own == ["E-1", "E-9"]


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "x"}, {"limit": "101"}, {"cursor": "x"}, {"cursor": "20261399..0"}, {"state": "gone"},
     {"cursor": "20261102.../../..1"}, {"limit": "٣"}, {"dry_run": "perhaps"}],
)  # fmt: skip
def test_a_query_that_means_nothing_is_told_what_would(call: Caller, query: dict[str, str]) -> None:
    if "dry_run" in query:
        answer = call("POST", MODIFICATIONS, take_back("E-1"), query=query)
    else:
        answer = call("GET", ACTIONS, query=query)
    assert answer.status == 400 and answer.json["code"] == "QUERY_INVALID"


# Who may


def test_without_a_key_nothing_opens_but_the_papers(call: Caller) -> None:
    nobody = Caller("", call.program)
    for path in ("/healthz", "/openapi.json", "/v1/program.schema.json"):
        assert nobody("GET", path).status == 200
    for key in ("", "rk_wrong", "rk_\ud800", "x" * 5000, "rk_ü"):
        answer = Caller(key, call.program)("POST", MODIFICATIONS, take_back("F-1"))
        assert answer.status == 401 and answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json["code"] == "UNAUTHORIZED"
    assert call("GET", MODIFICATIONS).json["items"] == []


def test_foreign_and_missing_are_the_same_404(call: Caller, house: ProgramHarness) -> None:
    house.hub.programs.apply({**PROGRAM, "program": f"{house.program[:-4]}"}, house.hub.now(), "d")
    foreign = Caller(call.key, f"{house.program[:-4]}")
    missing = Caller(call.key, "no-such-program")
    for method, path, body in (
        ("GET", "/v1/programs/{p}", None),
        ("GET", BATCHES, None),
        ("GET", f"{ACTIONS}/x~sale", None),
        ("POST", MODIFICATIONS, take_back("F-2")),
        ("PUT", "/v1/programs/{p}", b"program: x"),
        ("PUT", "/v1/programs/{p}/sources/erp/secret", {"signing": ["x" * 20]}),
    ):
        answers = [one(method, path, body) for one in (foreign, missing)]
        assert [one.status for one in answers] == [404, 404], path
        assert answers[0].json == answers[1].json
    assert [one["program"] for one in call("GET", "/v1/programs").json["items"]] == [house.program]


def test_one_key_says_nothing_to_another(call: Caller, admin: Caller) -> None:
    sold(call, "F-3")
    call("POST", MODIFICATIONS, take_back("F-3"), idempotency_key="same")
    assert admin("POST", MODIFICATIONS, take_back("F-3", "1"), idempotency_key="same").status == 200


# What nobody should send


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        (MODIFICATIONS, b"{", {}, 400),
        (MODIFICATIONS, b"", {}, 400),
        (MODIFICATIONS, b"\xff\xfe", {}, 400),
        (MODIFICATIONS, b"[" * 100_000, {}, 400),
        (MODIFICATIONS, b'"text"', {}, 400),
        (MODIFICATIONS, b"[" + b"{}," * 500 + b"{}]", {}, 413),
        (MODIFICATIONS, b" " * (1024 * 1024 + 1), {}, 413),
        (MODIFICATIONS, b"<x/>", {"content_type": "text/xml"}, 415),
        (MODIFICATIONS, b"{}", {"idempotency_key": "x" * 256}, 400),
        (MODIFICATIONS, b"{}", {"idempotency_key": "a b"}, 400),
        (ACTIONS, b"{", {}, 400),
        (ACTIONS, b"\xff", {}, 400),
        (ACTIONS, b"[" * 100_000, {}, 400),
        (ACTIONS, b"x", {"content_type": "image/png"}, 415),
        (FILES, b"x" * (4 * 1024 * 1024 + 1), {}, 413),
        ("/v1/programs/{p}/sources/erp/pull", b"", {}, 404),
        ("/v1/programs/{p}/sources/none/test", b"", {}, 404),
        (f"{BATCHES}/x/replay", b"", {}, 404),
        (f"{BATCHES}/20261102T090000000Z-zzzzzzzzzz/release", b"", {}, 404),
        ("/v1/nothing", b"", {}, 404),
        ("/v1/programs/{p}/actions/" + "x" * 3000 + "/approve", b"", {}, 404),
        ("/v1/programs/{p}/actions/%00/approve", b"", {}, 400),
        ("/v1/programs/{p}/actions/%ff/approve", b"", {}, 404),
    ],
)
def test_nothing_a_sender_writes_is_our_fault(
    call: Caller, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = call("POST", path, body, query={"name": "a.csv"} if path == FILES else {}, **headers)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["status"] == status and problem["code"] and problem["title"] and problem["detail"]


@pytest.mark.parametrize("record", [
    {}, {"order_id": None}, {"order_id": ["x"]}, {"order_id": "x" * 500, "change": "reverse"}, {"order_id": "\ud800"},
    {"order_id": "x", "change": "fly"}, {"order_id": "x", "change": "take_back", "amount": 1.5}, {"nonsense": 1},
    {"order_id": "x", "change": "take_back", "amount": "1e9"}, {"order_id": "\u0000", "change": "reverse"},
    {"order_id": "x", "change": "take_back", "amount": "9" * 40}, {"order_id": "x", "change": "undo", "undoes": "y"},
    {"order_id": "x", "change": "reverse", "occurred_at": "yesterday"}, {"order_id": "@x", "change": "reverse"},
    {"action_id": "~", "change": "reverse"}, {"order_id": "x", "change": "set_quantity", "quantity": "-1"},
])  # fmt: skip
def test_a_record_that_means_nothing_is_an_outcome(call: Caller, record: dict[str, Any]) -> None:
    answer = call("POST", MODIFICATIONS, record)
    assert answer.status in (200, 400), answer.body
    if answer.status == 200:
        assert answer.json["outcomes"][0]["outcome"] in ("refused", "waiting")
        assert call("GET", f"{BATCHES}/{answer.json['batch']}").json["counts"] == answer.json["counts"]


# Programs


def test_an_administrator_applies_a_new_program_and_its_secrets_are_shown_once(
    admin: Caller, house: ProgramHarness
) -> None:
    name = f"{house.program}-new"
    sources = {
        "erp": {"channel": "api"},
        "mail": {"channel": "email", "options": {"allow_from": ["a@shop.example"]}},
        "shop": {"channel": "api", "kind": "shopify"},
    }
    client = Caller(admin.key, name)
    dry = client("PUT", "/v1/programs/{p}", text_of(name, sources=sources), query={"dry_run": "true"})
    preview = dry.json
    [events] = preview.pop("subscriptions")
    assert events["source"] == "shop" and "refunds/create" in events["explanation"]
    assert preview == {"program": name, "version": 1, "changed": True, "dry_run": True, "batch": None}
    made = client("PUT", "/v1/programs/{p}", text_of(name, sources=sources), content_type="application/yaml")
    assert made.status == 201 and made.json["version"] == 1
    credentials = made.json["credentials"]
    assert credentials["erp"]["secret"].startswith("whsec_")
    assert credentials["mail"]["address"].startswith(f"{name}.mail.")
    again = client("PUT", "/v1/programs/{p}", text_of(name, sources=sources))
    assert again.status == 200
    assert (again.json["program"], again.json["version"], again.json["changed"]) == (name, 1, False)
    own = Caller(made.json["api_key"], name)
    shown = own("GET", "/v1/programs/{p}")
    assert shown.json["document"]["sources"] == sources and shown.json["version"] == 1
    for secret in (credentials["erp"]["secret"], credentials["mail"]["address"], made.json["api_key"]):
        assert secret.encode() not in shown.body
    changed = own("PUT", "/v1/programs/{p}", text_of(name, sources=sources, waiting_days=5))
    assert changed.json["version"] == 2 and "credentials" not in changed.json


def test_a_wrong_program_is_told_line_by_line_and_changes_nothing(call: Caller, house: ProgramHarness) -> None:
    text = text_of(house.program).replace(b"currency: EUR", b"currency: EUX")
    answer = call("PUT", "/v1/programs/{p}", text)
    assert answer.status == 422 and answer.json["code"] == "PROGRAM_INVALID"
    [error] = answer.json["errors"]
    assert text.splitlines()[error["line"] - 1] == b"currency: EUX" and error["key"] == "currency"
    assert error["code"] == "NO_CURRENCY" and "not a current ISO 4217 currency" in error["detail"]
    assert call("GET", "/v1/programs/{p}").json["version"] == 1
    assert call("PUT", "/v1/programs/{p}", text_of("other-program")).json["code"] == "PROGRAM_MISMATCH"
    assert call("PUT", "/v1/programs/{p}", b"\xff").status == 400
    assert call("PUT", "/v1/programs/{p}", b" " * 300_000).status == 413
    assert call("PUT", "/v1/programs/{p}", text_of(house.program, language="de")).status == 200
    [error] = call("PUT", "/v1/programs/{p}", text).json["errors"]
    assert error["detail"].startswith("'EUX' ist keine gültige Währung nach ISO 4217; meinten Sie")


def test_a_changed_program_holds_for_the_very_next_call(call: Caller, house: ProgramHarness) -> None:
    sources = {**PROGRAM["sources"], "erp": {"channel": "api", "default_reason": "LATE"}}
    assert call("PUT", "/v1/programs/{p}", text_of(house.program, reasons=["LATE"], sources=sources)).status == 200
    sold(call, "G-1")
    call("POST", MODIFICATIONS, take_back("G-1"))
    assert call("GET", f"{ACTIONS}/G-1~sale").json["history"][0]["reason"] == "LATE"


def test_a_secret_is_handed_over_kept_and_not_shown(call: Caller, house: ProgramHarness) -> None:
    path = "/v1/programs/{p}/sources/{}/secret"
    answer = call("PUT", path.format("erp", p="{p}"), {"signing": ["whsec_1234567890", "whsec_abcdefghij"]})
    assert answer.json == {"source": "erp", "holds": ["signing"]}
    assert house.hub.secret(house.program, "erp")["signing"][0] == "whsec_1234567890"
    for source, wrong in (
        ("erp", {"password": "x" * 9}),
        ("erp", {"signing": "x" * 9}),
        ("erp", {}),
        ("warehouse", {"x": 1}),
    ):
        assert call("PUT", path.format(source, p="{p}"), wrong).status in (400, 422)
    assert call("PUT", path.format("console", p="{p}"), {"signing": ["x" * 9]}).status == 404


def test_a_source_says_what_it_lacks(call: Caller) -> None:
    answer = call("POST", "/v1/programs/{p}/sources/warehouse/test").json
    assert answer["ready"] is False and "public key" in answer["findings"][0]
    checks = call("GET", "/v1/doctor").json["checks"]
    assert any(one["name"].endswith("source warehouse") and one["state"] == "warning" and one["fix"] for one in checks)


@pytest.mark.own_storage
def test_an_administrator_sees_queues_and_makes_keys(admin: Caller, call: Caller) -> None:
    names = [one["name"] for one in admin("GET", "/v1/doctor").json["checks"]]
    assert "queue parked" in names
    assert not any(one["name"].startswith("queue") for one in call("GET", "/v1/doctor").json["checks"])
    made = admin("POST", "/v1/programs/{p}/keys", {"name": "till 5"})
    assert made.status == 201 and Caller(made.json["key"], call.program)("GET", ACTIONS).status == 200
    assert call("POST", "/v1/programs/{p}/keys", {"name": "more"}).status == 403


# Again


def test_a_replay_of_everything_stored_gives_the_same_ledger(
    call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_settings(house.hub, is_local=True)
    path = f"{ACTIONS}/{sold(call, 'H-1')}"
    call("POST", MODIFICATIONS, take_back("H-1"))
    call("POST", f"{path}/modify", {"change": "take_back", "amount": "5.00"})
    call(
        "POST",
        ACTIONS,
        b"order_id,event_type,partner,event_time,amount\nH-2,sale,p,2026-11-01,9\n",
        content_type="text/csv",
    )
    before = call("GET", path).json
    for key in sorted(house.hub.inbox.keys("deliveries/")):
        if json.loads(house.hub.inbox.read(key))["program"] == house.program:
            app.handler({"replay": key, "outward": False}, CONTEXT)
    assert call("GET", path).json == before
    assert before["amount"] == "75.00"


def test_an_openpgp_key_is_made_and_only_its_public_half_is_ever_told(call: Caller, house: ProgramHarness) -> None:
    pysequoia = pytest.importorskip("pysequoia")
    made = call("POST", "/v1/programs/{p}/sources/erp/openpgp")
    assert made.status == 201 and made.json["source"] == "erp"
    recipient = pysequoia.Cert.from_bytes(made.json["public_key"].encode())
    again = call("POST", "/v1/programs/{p}/sources/erp/openpgp").json
    shown = call("GET", "/v1/programs/{p}/sources/erp")
    assert [key["fingerprint"] for key in shown.json["openpgp"]] == [again["fingerprint"], made.json["fingerprint"]]
    assert b"PRIVATE" not in made.body + shown.body
    body = pysequoia.encrypt(recipients=[recipient], bytes=b"order_id,change,reference\nA-77,reverse,R-1\n")
    rehearsed = call(
        "POST", "/v1/programs/{p}/files", body, query={"name": "m.pgp", "source": "erp", "dry_run": "true"}
    )
    assert (rehearsed.status, rehearsed.json["counts"]) == (200, {"waiting": 1})
    assert call("POST", "/v1/programs/{p}/sources/none/openpgp").status == 404
    assert Caller("rk_wrong", call.program)("POST", "/v1/programs/{p}/sources/erp/openpgp").status == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/programs/{p}/keys"),
        ("POST", "/v1/programs/{p}/batches/20261102T090000000Z-zzzzzzzzzz/replay"),
        ("POST", "/v1/programs/{p}/sources/erp/openpgp"),
        ("PUT", "/v1/programs/{p}/sources/erp/secret"),
        ("POST", "/v1/redrive"),
    ],
)
def test_what_cannot_be_rehearsed_is_not_carried_out_instead(
    admin: Caller, call: Caller, method: str, path: str
) -> None:
    answer = admin(method, path.replace("{p}", call.program), {}, query={"dry_run": "true"})
    assert (answer.status, answer.json["code"]) == (400, "DRY_RUN_NOT_OFFERED")


def test_every_act_on_actions_can_be_rehearsed(admin: Caller, call: Caller) -> None:
    """Its address would also fit the one of an act on a single action."""
    action = sold(call, "A-1")
    many = call("POST", f"{ACTIONS}/acts", {"act": "approve", "actions": [action]}, query={"dry_run": "true"})
    assert many.json["dry_run"] is True and call("GET", f"{ACTIONS}/{action}").json["state"] == "pending"
