"""Rates of foreign currencies: sent, fetched from the European Central Bank, frozen on actions, missed in time."""

import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from functions.tick import app as ticking
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_api import ACTIONS, SALE, Answer, Caller, admin, call, sold, text_of
from tests.functions.test_tick import CONTEXT
from tests.settings import change_settings

from retour.intake.batch import Batch
from retour.operations.replay import rebuild_delivery
from retour.settings import Service
from retour.store.items import delivery_document

__all__ = ["admin", "call"]
RATES = "/v1/programs/{p}/rates"
USD = {"currency": "USD", "from": "2026-10-01", "rate": "0.92"}
FRIDAY = "2026-11-06"


def rate_of(call: Caller, action: str) -> tuple[str, str]:
    document = call("GET", f"{ACTIONS}/{action}").json
    return document["rate"], document["payout"]


def report(call: Caller, order: str, event_time: str = "2026-11-01T12:00:00+01:00") -> Answer:
    body = {**SALE, "order_id": order, "amount": "100.00", "currency": "USD", "event_time": event_time}
    return call("POST", ACTIONS, body)


def outcome(answer: Answer) -> tuple[str, str]:
    [one] = answer.json["outcomes"]
    return one["outcome"], one["code"]


def test_a_rate_is_a_delivery_and_is_frozen_on_the_action(call: Caller, house: ProgramHarness) -> None:
    assert outcome(report(call, "A-0")) == ("refused", "RATE_MISSING")
    sent = call("POST", RATES, [USD])
    assert (sent.status, sent.json["counts"]) == (200, {"applied": 1}), sent.body
    action = sold(call, "A-1", currency="USD")
    assert rate_of(call, action) == ("0.92", "7.36")
    assert call("POST", RATES, [{**USD, "rate": "0.50"}]).json["counts"] == {"applied": 1}
    assert rate_of(call, action) == ("0.92", "7.36"), "a correction touches nothing that is booked"
    assert rate_of(call, sold(call, "A-2", currency="USD")) == ("0.50", "4.00")
    batch = call("GET", f"/v1/programs/{{p}}/batches/{sent.json['batch']}").json
    assert (batch["kind"], batch["rows"], batch["counts"]) == ("rates", 1, {"applied": 1})
    assert call("GET", f"/v1/programs/{{p}}/batches/{sent.json['batch']}/raw").body == json.dumps([USD]).encode()
    assert call("POST", f"/v1/programs/{{p}}/batches/{sent.json['batch']}/undo", {}).status == 409
    assert call("GET", f"/v1/programs/{{p}}/batches/{sent.json['batch']}/result").status == 404


def test_the_rate_of_the_event_day_counts_as_it_was_known_at_the_report(call: Caller) -> None:
    call("POST", RATES, [USD, {**USD, "from": "2026-11-02", "rate": "0.80"}])
    assert rate_of(call, sold(call, "A-1", currency="USD")) == ("0.92", "7.36")
    today = sold(call, "A-2", currency="USD", event_time="2026-11-02T00:30:00+01:00")
    assert rate_of(call, today) == ("0.80", "6.40"), "by the program's day"


def test_read_again_it_is_the_same_delivery(call: Caller, house: ProgramHarness) -> None:
    """As the local hub does after a kill: a report is read again with the rates that were known before it."""
    first = call("POST", RATES, [USD]).json["batch"]
    call("POST", RATES, [{**USD, "rate": "0.50"}])
    header = house.hub.deliveries(house.program).get(first)
    assert header is not None
    house.hub.inbox.put("raw/rates.json", json.dumps([USD]).encode())
    document = {**delivery_document(header.delivery), "body_key": "raw/rates.json"}
    house.hub.inbox.put("deliveries/rates.json", json.dumps(document).encode())
    again = rebuild_delivery(house.hub, "deliveries/rates.json")
    assert isinstance(again, Batch) and again.delivery.id == first
    assert rate_of(call, sold(call, "A-1", currency="USD"))[0] == "0.50", "the correction was told later and stays"
    rates = house.hub.rates(house.program)
    before = header.delivery.received_at
    assert [one.rate for one in rates.on("USD", date(2026, 11, 2), before)] == [rate_in(first, house)]


def rate_in(delivery: str, house: ProgramHarness) -> Any:
    pages = house.hub._dynamodb.query(
        TableName=house.hub.settings.ledger_table,
        KeyConditionExpression="PK = :pk AND SK = :sk",
        ExpressionAttributeValues={
            ":pk": {"S": f"X#{house.program}"},
            ":sk": {"S": f"USD#2026-10-01#{delivery}"},
        },
    )["Items"]
    from decimal import Decimal

    return Decimal(json.loads(pages[0]["doc"]["S"])["rate"])


def test_a_csv_file_is_read_row_by_row(call: Caller) -> None:
    body = (
        b"Currency;From;Until;Rate\r\nUSD;2026-10-01;2026-10-31;0.92\r\nusd;2026-11-01;;0.93\r\n"
        b"XXQ;2026-11-01;;1\r\nEUR;2026-11-01;;1\r\nGBP;2026-11-31;;1.15\r\nGBP;2026-11-01;2026-10-31;1.15\r\n"
        b"GBP;2026-11-01;;1,15\r\nGBP;2026-11-01;;0.00\r\n;2026-11-01;;1.15\r\nGBP;2026-11-01;1.15\r\n"
    )
    answer = call("POST", RATES, body, content_type="text/csv")
    assert [(one["record"], one["outcome"], one["code"]) for one in answer.json["outcomes"]] == [
        ("2", "applied", ""),
        ("3", "applied", ""),
        ("4", "refused", "UNKNOWN_CURRENCY"),
        ("5", "refused", "RATE_OF_OWN_CURRENCY"),
        ("6", "refused", "RATE_DAY_UNUSABLE"),
        ("7", "refused", "RATE_DAYS_REVERSED"),
        ("8", "refused", "RATE_UNUSABLE"),
        ("9", "refused", "RATE_UNUSABLE"),
        ("10", "refused", "RATE_FIELD_MISSING"),
        ("11", "refused", "RATE_WIDTH"),
    ]
    assert all(one["explanation"] for one in answer.json["outcomes"] if one["outcome"] == "refused")
    [shown] = call("GET", RATES).json["items"]
    assert (shown["currency"], shown["rate"], shown["from"], shown["holds"]) == ("USD", "0.93", "2026-11-01", True)
    [before] = call("GET", RATES, query={"day": "2026-10-31"}).json["items"]
    assert (before["rate"], before["until"], before["batch"]) == ("0.92", "2026-10-31", answer.json["batch"])
    again = call("POST", RATES, body.replace(b"2026-11-31", b"2026-11-30"), content_type="text/csv").json
    assert again["counts"] == {"unchanged": 2, "applied": 1, "refused": 7}


@pytest.mark.parametrize(
    ("body", "media_type", "code"),
    [
        (b"[", "application/json", "RATES_UNREADABLE"),
        (b"\xff", "application/json", "NOT_UTF8"),
        (b"\xff\xfe", "text/csv", "RATES_UNREADABLE"),
        (b"currency,rate\nUSD,1\n", "text/csv", "RATES_HEADER"),
        (b"currency,from,rate,rate\nUSD,2026-01-01,1,1\n", "text/csv", "RATES_HEADER"),
        (json.dumps([USD] * 5_001).encode(), "application/json", "TOO_MANY_RECORDS"),
    ],
)
def test_what_are_no_rates_is_kept_and_refused_whole(call: Caller, body: bytes, media_type: str, code: str) -> None:
    answer = call("POST", RATES, body, content_type=media_type)
    assert (answer.status, answer.json["state"], answer.json["code"]) == (200, "refused", code)
    assert call("GET", f"/v1/programs/{{p}}/batches/{answer.json['batch']}/raw").body == body
    assert call("GET", RATES).json["items"] == []


def test_json_that_is_no_rate_is_refused_by_itself(call: Caller) -> None:
    wrong = [7, {**USD, "rat": "1"}, {**USD, "rate": 0.92}, {**USD, "rate": None}, {**USD, "from": "soon"}]
    found = call("POST", RATES, {"rates": wrong}).json["outcomes"]
    codes = ["RATE_FIELD_MISSING", "UNKNOWN_FIELD", "", "RATE_FIELD_MISSING", "RATE_DAY_UNUSABLE"]
    assert [one["code"] for one in found] == codes


def test_a_dry_run_writes_nothing(call: Caller) -> None:
    before = call("GET", "/v1/programs/{p}/batches").json["items"]
    dry = call("POST", RATES, [USD], query={"dry_run": "true"}).json
    assert (dry["batch"], dry["dry_run"], dry["counts"]) == (None, True, {"applied": 1})
    assert call("GET", RATES).json["items"] == []
    assert call("GET", "/v1/programs/{p}/batches").json["items"] == before


def test_after_the_last_day_of_a_rate_orders_are_refused_or_take_the_last(call: Caller, admin: Caller) -> None:
    call("POST", RATES, [{**USD, "until": "2026-10-31"}])
    assert outcome(report(call, "A-1")) == ("refused", "RATE_MISSING")
    october = report(call, "A-0", "2026-10-31T23:59:59+01:00")
    assert outcome(october) == ("applied", "")
    fx = {"USD": [{"from": "2026-01-01", "rate": "0.70"}]}
    admin("PUT", "/v1/programs/{p}", text_of(call.program, fx=fx))
    assert outcome(report(call, "A-1")) == ("refused", "RATE_MISSING"), "an older open rate does not come back"
    assert admin("PUT", "/v1/programs/{p}", text_of(call.program, fx=fx, fx_missing="last")).status == 200
    assert outcome(report(call, "A-1")) == ("applied", "")
    assert rate_of(call, "A-1~sale")[0] == "0.92"


# By the clock


@pytest.fixture
def clocked(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> ProgramHarness:
    monkeypatch.setattr(ticking, "hub", lambda: house.hub)
    monkeypatch.setattr(type(house.hub.programs), "ids", lambda _: [house.program])
    return house


def tick(house: ProgramHarness, moment: datetime) -> None:
    house.clock.moment = moment
    ticking.handler({}, CONTEXT)


def missed(house: ProgramHarness) -> list[tuple[str, str]]:
    return [(day, str(doc["currencies"])) for day, doc in house.hub.deliveries(house.program).due("rate")]


def test_people_hear_the_day_before_a_rate_is_missing_until_it_comes(call: Caller, clocked: ProgramHarness) -> None:
    call("POST", RATES, [{**USD, "until": "2026-11-04"}, {**USD, "currency": "GBP"}])
    tick(clocked, datetime(2026, 11, 3, 17, 0, tzinfo=UTC))
    assert missed(clocked) == [], "tomorrow has its rate"
    tick(clocked, datetime(2026, 11, 4, 15, 59, tzinfo=UTC))
    assert missed(clocked) == [], "not before 17:00 in Berlin"
    tick(clocked, datetime(2026, 11, 4, 16, 1, tzinfo=UTC))
    assert missed(clocked) == [("2026-11-05", "USD")]
    call("POST", RATES, [{**USD, "from": "2026-11-05"}])
    tick(clocked, datetime(2026, 11, 4, 16, 16, tzinfo=UTC))
    assert missed(clocked) == []


def ecb_document(*days: str, usd: str = "1.0842") -> bytes:
    cubes = "".join(
        f"<Cube time='{day}'><Cube currency='USD' rate='{usd}'/><Cube currency='JPY' rate='164.50'/></Cube>"
        for day in days
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" '
        'xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref"><gesmes:subject>Reference rates</gesmes:subject>'
        "<gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>"
        f"<Cube>{cubes}</Cube></gesmes:Envelope>"
    ).encode()


class Bank:
    """The web server of the European Central Bank, on this machine and behind a certificate for its name."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.documents = {"eurofxref-hist-90d.xml": ecb_document("2026-11-02"), "eurofxref-daily.xml": b""}
        bank = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                bank.asked.append(self.path)
                body = bank.documents.get(self.path.removeprefix("/stats/eurofxref/"))
                is_right = self.headers["Host"] == "www.ecb.europa.eu" and body is not None
                self.send_response(200 if is_right else 404)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_said: object) -> None:
                pass

        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("www.ecb.europa.eu").configure_cert(context)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.ca = folder / "bank.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def connect(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def bank(clocked: ProgramHarness, admin: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    bank = Bank(tmp_path)
    change_settings(clocked.hub, ecb=Service(bank.connect, str(bank.ca)))
    assert admin("PUT", "/v1/programs/{p}", text_of(clocked.program, fx_pull="ecb")).status == 200
    yield bank
    bank.server.shutdown()
    bank.server.server_close()


def test_the_banks_rates_are_fetched_when_they_are_out_and_hold_from_the_day_after(
    call: Caller, clocked: ProgramHarness, bank: Bank
) -> None:
    tick(clocked, datetime(2026, 11, 2, 16, 0, tzinfo=UTC))
    assert bank.asked == ["/stats/eurofxref/eurofxref-hist-90d.xml"], "the first time the last months with it"
    tick(clocked, datetime(2026, 11, 3, 14, 59, tzinfo=UTC))
    assert len(bank.asked) == 1, "nothing new is out before 16:00 in Frankfurt"
    action = sold(call, "A-1", currency="USD", event_time="2026-11-03T10:00:00+01:00")
    assert rate_of(call, action) == ("0.922339051835", "7.38")
    assert outcome(report(call, "A-0")) == ("refused", "RATE_MISSING"), "2 November needs the rate of October"
    bank.documents["eurofxref-daily.xml"] = ecb_document("2026-11-02")
    tick(clocked, datetime(2026, 11, 3, 15, 1, tzinfo=UTC))
    bank.documents["eurofxref-daily.xml"] = ecb_document("2026-11-03", usd="1.25")
    tick(clocked, datetime(2026, 11, 3, 15, 16, tzinfo=UTC))
    tick(clocked, datetime(2026, 11, 3, 15, 31, tzinfo=UTC))
    assert bank.asked[1:] == ["/stats/eurofxref/eurofxref-daily.xml"] * 2, "asked until they are there, then no more"
    clocked.clock.moment = datetime(2026, 11, 4, 12, 0, tzinfo=UTC)
    next_day = sold(call, "A-2", currency="USD", event_time="2026-11-04T10:00:00+01:00")
    assert rate_of(call, next_day) == ("0.8", "6.40")
    kept = [one for one in call("GET", "/v1/programs/{p}/batches").json["items"] if one["kind"] == "rates"]
    assert [(one["channel"], one["sender"]) for one in kept] == [("pull", "European Central Bank")] * 2


def test_a_bank_that_does_not_answer_is_asked_again_and_people_hear_of_it(
    call: Caller, clocked: ProgramHarness, bank: Bank
) -> None:
    bank.documents["eurofxref-hist-90d.xml"] = ecb_document(FRIDAY)
    tick(clocked, datetime(2026, 11, 6, 16, 0, tzinfo=UTC))
    monday = datetime(2026, 11, 9, 16, 30, tzinfo=UTC)
    tick(clocked, datetime(2026, 11, 8, 18, 0, tzinfo=UTC))
    assert missed(clocked) == [], "the rates of Friday hold on Monday"
    bank.documents["eurofxref-daily.xml"] = b"<html>We are moving house</html>"
    for minutes in (0, 15):
        tick(clocked, monday + timedelta(minutes=minutes))
    assert missed(clocked) == [("2026-11-10", "JPY, USD")]
    refused = [one for one in call("GET", "/v1/programs/{p}/batches").json["items"] if one["state"] == "refused"]
    assert [one["code"] for one in refused] == ["RATES_UNREADABLE"], "kept once, however often it is answered"
    del bank.documents["eurofxref-daily.xml"]
    tick(clocked, monday + timedelta(minutes=30))
    bank.documents["eurofxref-daily.xml"] = ecb_document("2026-11-09")
    tick(clocked, monday + timedelta(minutes=45))
    assert missed(clocked) == []


def test_a_currency_without_published_rates_is_refused_at_apply(admin: Caller) -> None:
    answer = admin("PUT", "/v1/programs/{p}", text_of(admin.program, fx_pull="ecb", currency="AED"))
    assert answer.status == 422 and "does not publish a rate for AED" in answer.body.decode()


@pytest.mark.parametrize(
    ("fx", "said"),
    [
        ({"USD": [{"from": "2026-02-30", "rate": "0.92"}]}, "2026-02-30 is not a valid date"),
        ({"USD": [{"from": "2026-02-01", "rate": "0.0"}]}, "more than zero"),
        ({"EUR": [{"from": "2026-02-01", "rate": "1"}]}, "own currency"),
        ({"QQQ": [{"from": "2026-02-01", "rate": "1"}]}, "not a current ISO 4217 currency"),
    ],
)
def test_a_rate_that_is_none_is_refused_at_apply(admin: Caller, fx: dict[str, Any], said: str) -> None:
    answer = admin("PUT", "/v1/programs/{p}", text_of(admin.program, fx=fx))
    assert answer.status == 422 and said in answer.body.decode(), answer.body


assert PROGRAM["currency"] == "EUR"
