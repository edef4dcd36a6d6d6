"""Files through the API's front door: checked, rehearsed, held above a threshold, released; nothing written before."""

from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_api import SALE, Caller, admin, call, text_of

from retour.intake import file, uploads
from retour.intake.ingest import ingest
from retour.replies.send import send_reply
from retour.wiring import Hub

FILES = "/v1/programs/{p}/files"
ACTIONS = "/v1/programs/{p}/actions"
CHECK = "/v1/programs/{p}/sources/drop/check"
SOURCES: dict[str, Any] = {
    **PROGRAM["sources"],
    "drop": {"channel": "api", "kind": "standard", "thresholds": {"bad_rows": "40%", "pending_taken_back": "60%"}},
}
__all__ = ["admin", "call"]


def prepared(admin: Caller, call: Caller) -> None:
    assert admin("PUT", "/v1/programs/{p}", text_of(call.program, sources=SOURCES)).status == 200
    partners = ("nordlicht", "nordlicht", "suedwind")
    sales = [
        {**SALE, "order_id": f"A-{n}", "partner": partner, "amount": "100.00"} for n, partner in enumerate(partners)
    ]
    assert call("POST", ACTIONS, sales).json["counts"] == {"applied": 3}


def test_a_dry_run_of_a_file_shows_rows_partners_and_warnings(admin: Caller, call: Caller) -> None:
    prepared(admin, call)
    body = b"PID,OID,AMOUNT,REASON\n7,A-0,60.00,Returned\n7,A-2,0,Fraud\n7,A-1,1x,Fraud\n"
    said = call("POST", FILES, body, query={"name": "pepperjam.csv", "source": "drop", "dry_run": "true"})
    assert said.status == 200 and said.json["dry_run"] is True and said.json["batch"] is None
    assert [row["outcome"] for row in said.json["outcomes"]] == ["applied", "applied", "refused"]
    assert said.json["outcomes"][2]["column"] == "AMOUNT" and said.json["outcomes"][2]["order_id"] == "A-1"
    assert [(one["partner"], one["payout"]["difference"]) for one in said.json["partners"]] == [
        ("nordlicht", "-3.20"),
        ("suedwind", "-8.00"),
    ]
    assert said.json["total"]["payout"] == {"before": "16.00", "after": "4.80", "difference": "-11.20"}
    assert said.json["warnings"] == []
    assert call("GET", f"{ACTIONS}/A-0~sale").json["amount"] == "100.00"
    assert [one["kind"] for one in call("GET", "/v1/programs/{p}/batches").json["items"]].count("file") == 0


def test_a_held_file_is_shown_with_what_it_would_do_and_released(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    prepared(admin, call)
    body = b"order_id,change,amount\nA-0,take_back,10\nA-1,take_back,x\n"
    first = call("POST", FILES, body, query={"name": "may.csv", "source": "drop", "dry_run": "true"}).json
    assert (first["state"], [one["code"] for one in first["warnings"]]) == ("held", ["THRESHOLD_EXCEEDED"])
    batch = call("POST", FILES, body, query={"name": "may.csv", "source": "drop"}).json["batch"]
    header = house.hub.deliveries(call.program).get(batch)
    assert header is not None
    ingest(house.hub, header.delivery, None)
    shown = call("GET", f"/v1/programs/{{p}}/batches/{batch}").json
    assert (shown["state"], shown["code"], shown["counts"]) == ("held", "THRESHOLD_EXCEEDED", {})
    assert "50%" in shown["explanation"] and "40%" in shown["explanation"]
    assert shown["preview"]["counts"] == {"applied": 1, "refused": 1}
    assert shown["preview"]["partners"][0]["payout"]["difference"] == "-0.80"
    again = f"/v1/programs/{{p}}/batches/{batch}"
    rehearsed = call("POST", f"{again}/release", {}, query={"dry_run": "true"}).json
    assert (rehearsed["dry_run"], rehearsed["counts"]) == (True, {"applied": 1, "refused": 1})
    assert (rehearsed["state"], rehearsed["warnings"]) == ("done", [])
    dropped = call("POST", f"{again}/discard", {}, query={"dry_run": "true"}).json
    assert (dropped["dry_run"], dropped["code"]) == (True, "DISCARDED")
    assert call("GET", again).json["state"] == "held"
    assert call("GET", f"{ACTIONS}/A-0~sale").json["amount"] == "100.00"
    done = call("POST", f"{again}/release", {}).json
    assert (done["state"], done["counts"], done["differing"]) == ("done", {"applied": 1, "refused": 1}, 0)
    assert call("GET", f"{ACTIONS}/A-0~sale").json["amount"] == "90.00"


def test_a_sample_is_checked_and_nothing_is_written(admin: Caller, call: Caller) -> None:
    prepared(admin, call)
    said = call("POST", CHECK, b"order_id,amount\nA-0,30.00\n", query={"name": "may.csv"})
    assert said.status == 200 and said.json["written"] is False
    assert [one["total"]["payout"]["difference"] for one in said.json["readings"]] == ["-5.60", "-2.40"]
    assert call("GET", f"{ACTIONS}/A-0~sale").json["history"] == []
    foreign = call("POST", CHECK, b"Bestellnummer;Betrag\nA-0;30,00\n", query={"name": "may.csv"}).json
    assert foreign["state"] == "refused" and foreign["suggestion"]["applied"] is False


def test_a_check_needs_a_source_a_name_and_a_file(admin: Caller, call: Caller) -> None:
    prepared(admin, call)
    assert call("POST", CHECK, b"order_id\n").status == 400
    assert call("POST", CHECK, b"", query={"name": "may.csv"}).status == 400
    assert call("POST", CHECK.replace("drop", "nobody"), b"order_id\n", query={"name": "may.csv"}).status == 404


def test_a_dry_run_of_a_large_file_is_a_batch_in_no_list(
    admin: Caller, call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(admin, call)
    monkeypatch.setattr(file, "INLINE_ROWS_MAX", 3)
    rows = [f"r{n},A-{n % 3},take_back,{n + 1}.00,ITEM_RETURNED" for n in range(8)]
    body = "\n".join(["reference,order_id,change,amount,reason", *rows, "r8,A-1,take_back,1x,FRAUD", ""]).encode()
    asked = {"name": "may.csv", "source": "drop", "dry_run": "true"}
    said = call("POST", FILES, body, query=asked)
    assert (said.status, said.json["dry_run"], said.json["state"]) == (202, True, "arriving")
    batch = f"/v1/programs/{{p}}/batches/{said.json['batch']}"
    header = house.hub.deliveries(call.program).get(said.json["batch"])
    assert header is not None
    assert ingest(house.hub, header.delivery, None).state == "dry run"
    send_reply(house.hub, {"program": call.program, "delivery": header.delivery.id, "what": "batch"})
    shown = call("GET", batch).json
    assert (shown["state"], shown["dry_run"], shown["counts"]) == ("dry run", True, {"applied": 8, "refused": 1})
    assert [(one["partner"], one["payout"]["difference"]) for one in shown["partners"]] == [
        ("nordlicht", "-2.16"),
        ("suedwind", "-0.72"),
    ]
    assert shown["total"]["payout"]["difference"] == "-2.88" and shown["warnings"] == []
    assert [one["record"] for one in shown["outcomes"]] == [str(n) for n in range(2, 11)]
    assert call("GET", f"{batch}/rejected").body == b"reference,order_id,change,amount,reason\n" + (
        b"r8,A-1,take_back,1x,FRAUD\n"
    )
    assert call("POST", f"{batch}/replay").status == 409
    assert call("GET", f"{ACTIONS}/A-0~sale").json["history"] == []
    assert [one["kind"] for one in call("GET", "/v1/programs/{p}/batches").json["items"]].count("file") == 0
    assert call("GET", "/v1/programs/{p}/modifications").json["items"] == []

    sent = call("POST", FILES, body, query={"name": "may.csv", "source": "drop"}).json["batch"]
    assert sent != header.delivery.id
    real = house.hub.deliveries(call.program).get(sent)
    assert real is not None
    assert ingest(house.hub, real.delivery, None).counts == {"applied": 8, "refused": 1}
    assert len(call("GET", f"{ACTIONS}/A-0~sale").json["history"]) == 3


def test_an_upload_can_be_a_dry_run_too(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    prepared(admin, call)
    asked = {"name": "may.csv", "source": "drop", "dry_run": "true"}
    batch = call("POST", "/v1/programs/{p}/uploads", query=asked, headers={"idempotency-key": "k-1"}).json["batch"]
    header = house.hub.deliveries(call.program).get(batch)
    assert header is not None and header.delivery.is_dry_run
    body = b"order_id,change,amount\nA-0,take_back,10\n"
    house.hub.inbox.put(header.delivery.body_key, body)
    put = uploads.complete_upload(house.hub, header.delivery, house.hub.now(), len(body), "")
    assert ingest(house.hub, put, None).state == "dry run"
    assert call("GET", f"/v1/programs/{{p}}/batches/{batch}").json["counts"] == {"applied": 1}
    assert call("GET", f"{ACTIONS}/A-0~sale").json["amount"] == "100.00"


def test_what_was_left_on_its_way_goes_on(
    admin: Caller, call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(admin, call)
    monkeypatch.setattr(file, "INLINE_ROWS_MAX", 3)
    monkeypatch.setattr(Hub, "start_execution", lambda self, delivery, more: True)
    body = "\n".join(["order_id,change,amount", *[f"A-{n % 3},take_back,{n + 1}" for n in range(8)]]).encode()
    batch = call("POST", FILES, body, query={"name": "may.csv", "source": "drop"}).json["batch"]
    header = house.hub.deliveries(call.program).get(batch)
    assert header is not None
    assert ingest(house.hub, header.delivery, None).state == "working"
    monkeypatch.setattr(Hub, "start_execution", lambda self, delivery, more: False)
    assert call("POST", "/v1/redrive").json["moved"]["files"] == 1
    shown = call("GET", f"/v1/programs/{{p}}/batches/{batch}").json
    assert (shown["state"], shown["counts"]) == ("done", {"applied": 8})
