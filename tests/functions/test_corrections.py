"""Refused rows corrected and sent again through the API, whatever they came in."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.files.workbooks import header, row, text, workbook
from tests.functions.test_api import SALE, Caller, admin, call, text_of

from retour.commands import corrections
from retour.domain.delivery import Channel, DeliveryKind
from retour.intake import correction, file
from retour.intake.batch import Batch
from retour.intake.ingest import ingest
from retour.operations.replay import rebuild_delivery
from retour.views.ledger_reader import build_reader

__all__ = ["admin", "call"]
ACTIONS = "/v1/programs/{p}/actions"
GERMAN = {
    "columns": {"reference": "Beleg", "order_id": "Bestellnummer", "amount": "Betrag", "reason": "Grund"},
    "constants": {"change": "take_back", "currency": "EUR"},
    "decimal": ",",
}
SOURCES: dict[str, Any] = {
    **PROGRAM["sources"],
    "lager": {"channel": "sftp", "mapping": {**GERMAN, "encoding": "cp1252", "delimiter": ";"},
              "thresholds": {"bad_rows": "90%"}},
    "awin": {"channel": "sftp", "mapping": {"decimal": ","}, "amount_means": "set_total"},
    "shopify": {"channel": "api", "kind": "shopify", "basis": "goods", "default_reason": "ITEM_RETURNED",
                "currency": "EUR"},
}  # fmt: skip
NAMES = ("reference", "order_id", "change", "amount", "currency", "reason")
ROWS = (
    ("R-1", "A-0", "take_back", "20.00", "EUR", "ITEM_RETURNED"),
    ("R-2", "A-1", "take_back", "30.00", "EUR", "RETRUN"),
)


def csv_() -> bytes:
    return "".join(",".join(cells) + "\r\n" for cells in (NAMES, *ROWS)).encode()


def xml() -> bytes:
    records = "".join(
        f"<modification>{''.join(f'<{name}>{cell}</{name}>' for name, cell in zip(NAMES, cells, strict=True))}"
        "</modification>\n"
        for cells in ROWS
    )
    return f'<?xml version="1.0"?>\n<modifications>\n{records}</modifications>\n'.encode()


def xlsx() -> bytes:
    lines = "".join(
        row(at, *(text(f"{chr(65 + n)}{at}", cell) for n, cell in enumerate(cells))) for at, cells in enumerate(ROWS, 2)
    )
    return workbook(("May", header(1, *NAMES) + lines))


def jsonl() -> bytes:
    return "".join(json.dumps(dict(zip(NAMES, cells, strict=True))) + "\n" for cells in ROWS).encode()


FORMS: dict[str, tuple[Callable[[], bytes], str]] = {
    "may.csv": (csv_, "3"),
    "may.xml": (xml, "4"),
    "may.xlsx": (xlsx, "May!3"),
    "may.jsonl": (jsonl, "2"),
}


def prepared(admin: Caller, call: Caller) -> None:
    assert admin("PUT", "/v1/programs/{p}", text_of(call.program, sources=SOURCES)).status == 200
    sales = [{**SALE, "order_id": f"A-{n}", "amount": "100.00"} for n in range(4)]
    assert call("POST", ACTIONS, sales).json["counts"] == {"applied": 4}


def dropped(house: ProgramHarness, call: Caller, body: bytes, name: str, source: str = "warehouse") -> str:
    key = f"sftp/{call.program}/{source}/{name}"
    house.hub.inbox.put(key, body)
    batch = ingest(house.hub, here(house, call, DeliveryKind.FILE, body, source, name=name, body_key=key), None)
    assert batch.state == "done", batch
    return batch.delivery.id


def here(house: ProgramHarness, call: Caller, kind: DeliveryKind, body: bytes, source: str, **more: Any) -> Any:
    from dataclasses import replace

    channel = Channel.SFTP if kind is DeliveryKind.FILE else Channel.API
    return replace(house.delivery(kind, body, source, channel, **more), program=call.program)


def amount(call: Caller, order: str) -> str:
    return str(call("GET", f"{ACTIONS}/{order}~sale").json["amount"])


def path(batch: str) -> str:
    return f"/v1/programs/{{p}}/batches/{batch}/corrections"


@pytest.mark.parametrize("name", FORMS)
def test_a_row_is_corrected_whatever_it_came_in(name: str, admin: Caller, call: Caller, house: ProgramHarness) -> None:
    prepared(admin, call)
    body, place = FORMS[name][0](), FORMS[name][1]
    batch = dropped(house, call, body, name)
    asked = {"rows": [{"record": place, "fields": {"reason": "ITEM_RETURNED"}}]}
    rehearsed = call("POST", path(batch), asked, query={"dry_run": "true"}).json
    assert rehearsed["dry_run"] and rehearsed["counts"] == {"applied": 1}
    assert amount(call, "A-1") == "100.00"
    done = call("POST", path(batch), asked).json
    assert (done["counts"], done["outcomes"][0]["record"]) == ({"applied": 1}, place)
    assert done["outcomes"][0]["reference"] == "R-2", "a refused row does not reserve its reference"
    assert amount(call, "A-1") == "70.00"
    shown = call("GET", f"/v1/programs/{{p}}/batches/{done['batch']}").json
    assert (shown["channel"], shown["source"], shown["counts"]) == ("console", "warehouse", {"applied": 1})
    header_ = house.hub.deliveries(call.program).get(batch)
    assert header_ is not None
    found = correction.correction_links(house.hub, header_.delivery)
    assert [(one.delivery, one.places) for one in found] == [(done["batch"], frozenset({place}))]
    again = call("POST", path(batch), asked).json
    assert again["counts"] == {"duplicate": 1}, "its reference says that it is the same return"
    assert amount(call, "A-1") == "70.00"


def test_the_senders_own_columns_and_mapping_hold(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    prepared(admin, call)
    lines = ("Beleg;Bestellnummer;Betrag;Grund", "B-1;A-0;12,50x;", "B-2;A-1;1,00;Größe", "B-3;A-2;2,00",
             "B-4;A-3;1,00;CANCELLED", "")  # fmt: skip
    body = "\r\n".join(lines).encode("cp1252")
    batch = dropped(house, call, body, "mai.csv", "lager")
    _, found = corrections.load_faulty_row(house.hub, program(house, call), batch, "2")
    assert found.column == "Betrag"
    assert dict(found.sent.columns) == {"Beleg": "B-1", "Bestellnummer": "A-0", "Betrag": "12,50x", "Grund": ""}
    _, torn = corrections.load_faulty_row(house.hub, program(house, call), batch, "4")
    assert torn.result.code == "ROW_WIDTH" and torn.sent.columns["Betrag"] == "2,00"
    wrong = call("POST", path(batch), {"rows": [{"record": "2", "fields": {"betrag ": "1"}}]})
    assert (wrong.status, wrong.json["code"]) == (400, "UNKNOWN_FIELD")
    rows = [
        {"record": "2", "fields": {"Betrag": "12,50", "Grund": "ITEM_RETURNED"}},
        {"record": "4", "fields": {"Grund": "CANCELLED"}},
    ]
    assert call("POST", path(batch), {"rows": rows}).json["counts"] == {"applied": 2}
    assert (amount(call, "A-0"), amount(call, "A-2")) == ("87.50", "98.00")


def program(house: ProgramHarness, call: Caller) -> Any:
    found = house.hub.program(call.program)
    assert found is not None
    return found


def test_one_wrong_value_is_mended_in_many_rows(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    prepared(admin, call)
    lines = [f"R-{n},A-{n},take_back,10.00,EUR,{'RETURN' if n else 'Return'}" for n in range(4)]
    batch = dropped(house, call, "\n".join([",".join(NAMES), *lines, ""]).encode(), "may.csv")
    header_ = house.hub.deliveries(call.program).get(batch)
    assert header_ is not None
    results = list(build_reader(house.hub, program(house, call)).results(header_))
    (rule,) = corrections.suggest_rules(results, [])
    assert (rule.code, rule.column, rule.value, rule.rows) == ("UNKNOWN_REASON", "reason", "RETURN", 3)
    asked = {"set": {"column": "reason", "from": "RETURN", "to": "ITEM_RETURNED", "code": "UNKNOWN_REASON"}}
    assert call("POST", path(batch), asked, query={"dry_run": "true"}).json["counts"] == {"applied": 3}
    assert call("POST", path(batch), asked).json["counts"] == {"applied": 3}
    assert [amount(call, f"A-{n}") for n in range(4)] == ["100.00", "90.00", "90.00", "90.00"]
    spent = call("POST", path(batch), asked)
    assert (spent.status, spent.json["code"]) == (409, "NO_ROW_MATCHES")
    assert corrections.suggest_rules(results, correction.correction_links(house.hub, header_.delivery)) == []


def test_a_correction_that_is_refused_again_is_corrected_in_its_turn(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    prepared(admin, call)
    batch = dropped(house, call, csv_(), "may.csv")
    first = call("POST", path(batch), {"rows": [{"record": "3", "fields": {"reason": "CANCELED"}}]}).json
    assert first["counts"] == {"refused": 1}
    second = call("POST", path(first["batch"]), {"rows": [{"record": "3", "fields": {"reason": "CANCELLED"}}]}).json
    assert second["counts"] == {"applied": 1} and amount(call, "A-1") == "70.00"


def test_an_item_of_a_known_layout_is_corrected_by_itself(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    prepared(admin, call)
    sold = {**SALE, "order_id": "B-1", "items": [{"sku": "boot", "quantity": 2, "amount": "80.00"},
                                                 {"sku": "lace", "quantity": 1, "amount": "1.50"}]}  # fmt: skip
    sold.pop("amount", None)
    assert call("POST", ACTIONS, [sold]).json["counts"] == {"applied": 1}
    body = b"OrderId,ActionTrackerID,Sku1,Quantity1,Amount1,Sku2,Quantity2,Amount2,Reason\n" \
           b"B-1,sale,boot,1,40.00,laze,0,0,ORDER_UPDATE\n"  # fmt: skip
    batch = dropped(house, call, body, "impact.csv")
    places = [(one["record"], one["outcome"], one["code"]) for one in outcomes(call, batch)]
    assert places == [("2.1", "applied", ""), ("2.2", "refused", "UNKNOWN_ITEM")]
    _, found = corrections.load_faulty_row(house.hub, program(house, call), batch, "2.2")
    assert found.sent.columns[found.column] == "laze"
    done = call("POST", path(batch), {"rows": [{"record": "2.2", "fields": {found.column: "lace"}}]}).json
    assert done["counts"] == {"applied": 1}
    assert [one["amount"] for one in call("GET", f"{ACTIONS}/B-1~sale").json["items"]] == ["40.00", "0.00"]


def outcomes(call: Caller, batch: str) -> list[Any]:
    found: list[Any] = call("GET", f"/v1/programs/{{p}}/batches/{batch}").json["outcomes"]
    return found


def test_a_line_of_a_known_layout_that_could_not_be_read_is_corrected_whole(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    prepared(admin, call)
    body = b"Order Reference;Transaction Date;Status Type;Status Note;Sale Amount\n" \
           b"A-1;01.11.2026;DECLYNED;Item returned;\n"  # fmt: skip
    batch = dropped(house, call, body, "awin.csv", "awin")
    (refused,) = outcomes(call, batch)
    _, found = corrections.load_faulty_row(house.hub, program(house, call), batch, refused["record"])
    assert found.sent.columns[found.column] == "DECLYNED", (found, refused)
    fields = {found.column: "DECLINED"}
    done = call("POST", path(batch), {"rows": [{"record": refused["record"], "fields": fields}]}).json
    assert done["counts"] == {"applied": 1}, done
    assert call("GET", f"{ACTIONS}/A-1~sale").json["state"] == "reversed"


def test_records_of_calls_and_webhooks_are_corrected_too(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    prepared(admin, call)
    records = [{"reference": "R-1", "order_id": "A-0", "change": "take_back", "amount": 20.5, "currency": "EUR"}]
    batch = call("POST", "/v1/programs/{p}/modifications", records).json["batch"]
    _, found = corrections.load_faulty_row(house.hub, program(house, call), batch, "1")
    assert (found.column, found.sent.columns["amount"]) == ("amount", "20.5")
    asked = {"rows": [{"record": "1", "fields": {"amount": "20.50", "reason": "ITEM_RETURNED"}}]}
    assert call("POST", path(batch), asked).json["counts"] == {"applied": 1}
    assert amount(call, "A-0") == "79.50"
    refund = {
        "id": 77, "order_id": "A-9", "created_at": "2026-11-02T10:00:00+01:00", "transactions": [],
        "refund_line_items": [{"quantity": 1, "subtotal": "140.00", "line_item": {"sku": "X-1"}}],
    }  # fmt: skip
    body = json.dumps({**refund, "order_id": "A-3"}).encode()
    delivery = here(house, call, DeliveryKind.HOOK, body, "shopify", facts={"x-shopify-topic": "refunds/create"})
    taken = ingest(house.hub, delivery, body)
    assert [one.code for one in taken.results] == ["AMOUNT_EXCEEDS_SALE"], taken
    place = taken.results[0].place
    done = call("POST", path(taken.delivery.id), {"rows": [{"record": place, "fields": {"amount": "100.00"}}]}).json
    assert done["counts"] == {"applied": 1}
    assert call("GET", f"{ACTIONS}/A-3~sale").json["amount"] == "0.00"


def test_what_is_not_refused_or_not_a_sources_is_not_corrected(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    prepared(admin, call)
    batch = dropped(house, call, csv_(), "may.csv")
    for body, status, code in (
        ({"rows": [{"record": "2", "fields": {}}]}, 422, "ROW_UNKNOWN"),
        ({"rows": [{"record": "3", "fields": {"amount": 1}}]}, 422, "ROWS_NEEDED"),
        ({"rows": []}, 422, "ROWS_NEEDED"),
        ({}, 422, "ROWS_NEEDED"),
        ({"set": {"column": "reason"}}, 422, "RULE_NEEDED"),
        ({"rows": [{"record": "3", "fields": {"change": "release", "undoes": "x"}}]}, 200, ""),
    ):
        said = call("POST", path(batch), body)
        assert (said.status, said.json.get("code", "")) == (status, code), body
    assert said.json["outcomes"][0]["code"] == "UNKNOWN_CHANGE", "what only people may ask is not asked by a row"
    act = call("POST", f"{ACTIONS}/A-1~sale/modify", {"change": "take_back", "amount": "900", "currency": "EUR"}).json
    refused = call("POST", path(act["batch"]), {"rows": [{"record": "1", "fields": {"amount": "9"}}]})
    assert (refused.status, refused.json["code"]) == (409, "NOT_CORRECTABLE")


def test_a_large_correction_goes_the_way_of_large_files_and_is_rebuilt(
    admin: Caller, call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(admin, call)
    batch = dropped(house, call, csv_(), "may.csv")
    monkeypatch.setattr(file, "INLINE_ROWS_MAX", 0)
    done = call("POST", path(batch), {"rows": [{"record": "3", "fields": {"reason": "CANCELLED"}}]}).json
    assert done["counts"] == {"applied": 1} and amount(call, "A-1") == "70.00"
    deliveries = house.hub.deliveries(call.program)
    made, old = deliveries.get(done["batch"]), deliveries.get(batch)
    assert made is not None and old is not None
    state = house.hub.state(call.program, "warehouse")
    state.delete(f"corrected#{batch}#{done['batch']}")
    from retour.store.items import delivery_document

    house.hub.inbox.put("deliveries/x.json", json.dumps(delivery_document(made.delivery)).encode())
    again = rebuild_delivery(house.hub, "deliveries/x.json")
    assert isinstance(again, Batch)
    assert [one.delivery for one in correction.correction_links(house.hub, old.delivery)] == [done["batch"]]
