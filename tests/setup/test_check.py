"""A sample is read as its source would read it and told in words; what is suggested is marked so and never applied."""

from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness

from retour.domain.delivery import Channel, DeliveryKind
from retour.previews.check import check_sample
from retour.previews.suggest import guess_date_format, guess_decimal_mark

GERMAN = (
    b"Bestellnummer;Artikelnummer;Retourenmenge;Betrag;Datum;Farbe\n"
    b"A-1;boot;1;40,00;24.11.2026;rot\nA-2;boot;1;1.040,00;25.11.2026;blau\n"
)


def checked(
    house: ProgramHarness, body: bytes, source: str = "warehouse", name: str = "sample.csv", **more: Any
) -> dict[str, Any]:
    sources = {**PROGRAM["sources"], source: {"channel": "sftp", **more}}
    house.apply({**PROGRAM, "sources": sources})
    program = house.hub.program(house.program)
    assert program is not None
    delivery = house.delivery(DeliveryKind.FILE, body, source, Channel.API, name=name)
    return check_sample(house.hub, program, program.sources[source], delivery, body)


def test_every_row_is_told_in_words_and_nothing_is_written(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00", "currency": "EUR"})
    header = b"order_id,sku,change,amount,quantity,reason\n"
    body = header + b"A-1,,take_back,40,,OTHER\nA-2,boot,set_quantity,,1,\nA-3,,reverse,,,WHY\n"
    found = checked(house, body)
    assert [row["explanation"] for row in found["rows"][:2]] == [
        "Order A-1: 40 is taken back.",
        "Order A-2, item boot: units that remain sold: 1.",
    ]
    assert found["rows"][2]["code"] == "UNKNOWN_REASON" and found["rows"][2]["column"] == "reason"
    assert found["counts"] == {"rows": 3, "readable": 2, "refused": 1}
    assert found["written"] is False and not house.order("A-1").records


def test_a_foreign_header_brings_a_suggestion_that_is_not_applied(house: ProgramHarness) -> None:
    found = checked(house, GERMAN, amount_means="take_back")
    assert (found["state"], found["code"]) == ("refused", "HEADER_NOT_FOUND")
    suggestion = found["suggestion"]
    assert suggestion["applied"] is False
    assert suggestion["mapping"] == {
        "columns": {
            "order_id": "Bestellnummer",
            "sku": "Artikelnummer",
            "quantity": "Retourenmenge",
            "amount": "Betrag",
            "occurred_at": "Datum",
        },
        "decimal": ",",
        "date": "%d.%m.%Y",
    }
    assert [row["explanation"] for row in suggestion["rows"]] == [
        "Order A-1, item boot: 40.00 is taken back.",
        "Order A-2, item boot: 1,040.00 is taken back.",
    ]
    again = checked(house, GERMAN, amount_means="take_back")
    assert again["state"] == "refused"


def test_the_suggested_mapping_put_into_the_program_reads_the_file(house: ProgramHarness) -> None:
    suggestion = checked(house, GERMAN)["suggestion"]
    assert [one["amount_means"] for one in suggestion["readings"]] == ["set_total", "take_back"]
    mapping = suggestion["mapping"]
    found = checked(house, GERMAN, amount_means="take_back", mapping=mapping)
    assert (found["state"], found["counts"]["refused"]) == ("readable", 0)
    assert {one["column"]: one["field"] for one in found["columns"]}["Farbe"] == ""
    assert found["warnings"][0]["code"] == "CHECK_UNKNOWN_COLUMNS" and "Farbe" in found["warnings"][0]["explanation"]


def test_amounts_that_could_mean_two_things_are_shown_in_both_readings(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00", "currency": "EUR"})
    found = checked(house, b"order_id,amount\nA-1,30.00\n")
    assert [one["code"] for one in found["warnings"]] == ["CHECK_MEANING_OPEN"]
    assert {one["amount_means"]: one["total"]["payout"]["difference"] for one in found["readings"]} == {
        "set_total": "-5.60",
        "take_back": "-2.40",
    }
    assert found["readings"][0]["example"] == "Order A-1: worth 30.00 from now on."
    declared = checked(house, b"order_id,amount\nA-1,30.00\n", amount_means="take_back")
    assert not declared["warnings"] and [one["declared"] for one in declared["readings"]] == [False, True]


def test_a_file_that_says_itself_what_it_means_has_one_reading(house: ProgramHarness) -> None:
    assert checked(house, b"order_id,change,amount\nA-1,take_back,30.00\n")["readings"] == []
    found = checked(house, b"PID,OID,AMOUNT\n1,A-1,30.00\n")
    assert found["readings"] == [] and found["layout"]["id"] == "pepperjam" and "replaces" in found["layout"]["means"]


def test_two_columns_that_could_be_one_field_are_left_to_the_person(house: ProgramHarness) -> None:
    found = checked(house, b"Bestellnummer,Betrag,Erstattungsbetrag\nA-1,3.00,2.00\n")
    suggestion = found["suggestion"]
    assert "amount" not in suggestion["mapping"]["columns"]
    assert suggestion["unsure"][0]["code"] == "CHECK_UNSURE"
    assert "Betrag, Erstattungsbetrag" in suggestion["unsure"][0]["explanation"]


def test_a_misspelt_column_is_refused_and_its_file_told(house: ProgramHarness) -> None:
    found = checked(house, b"order_id,skus,change\nA-1,boot,reverse\n")
    assert found["code"] == "UNKNOWN_COLUMN" and "skus" in found["explanation"]


@pytest.mark.parametrize("body", [b"", b"\x00\x01", b"PK\x03\x04junk", b"<x/>", b"[]", b"\xff\xfe", b"a", b"%PDF-1.4"])
def test_no_file_makes_it_fall(house: ProgramHarness, body: bytes) -> None:
    assert checked(house, body)["written"] is False


@pytest.mark.parametrize(
    ("amounts", "mark"),
    [
        (["1,50", "20"], ","), (["1.040,00", "3,5"], ","), (["1,234", "5,678"], ""), (["1,040.00"], "."),
        (["12.50", "3"], ""), (["1,50", "2.50"], ""), (["x"], ""), ([], ""), (["1,50", ""], ","),
    ],
)  # fmt: skip
def test_a_decimal_mark_is_suggested_only_without_doubt(amounts: list[str], mark: str) -> None:
    assert guess_decimal_mark(amounts) == mark


@pytest.mark.parametrize(
    ("dates", "form"),
    [
        (["24.11.2026", "01.02.2026"], "%d.%m.%Y"), (["24/11/2026", "01/02/2026"], "%d/%m/%Y"),
        (["11/24/2026", "01/02/2026"], "%m/%d/%Y"), (["01/02/2026"], "?"), (["2026-11-24"], ""), (["soon"], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_a_way_to_read_dates_is_suggested_only_without_doubt(dates: list[str], form: str) -> None:
    assert guess_date_format(dates) == form


def test_any_header_is_told_with_what_stands_below_it(house: ProgramHarness) -> None:
    found = checked(house, b"Retouren Mai\n\nVorgang;Geld;Wann\nA-1;1,50;03.04.2026\nA-2;2,50;03.05.2026\n")
    assert found["state"] == "refused" and "suggestion" not in found
    assert [(one["column"], one["field"], one["values"]) for one in found["columns"]] == [
        ("Vorgang", "", ["A-1", "A-2"]),
        ("Geld", "", ["1,50", "2,50"]),
        ("Wann", "", ["03.04.2026", "03.05.2026"]),
    ]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.json", b'[{"Vorgang": "A-1", "Geld": "1.50"}]'),
        ("a.jsonl", b'{"Vorgang": "A-1", "Geld": "1.50"}\n{"Vorgang": "A-2", "Geld": "2"}\n'),
        ("a.xml", b"<all><one><Vorgang>A-1</Vorgang><Geld>1.50</Geld></one></all>"),
    ],
)
def test_any_names_are_found_in_every_format(house: ProgramHarness, name: str, body: bytes) -> None:
    found = checked(house, body, name=name)
    assert [(one["column"], one["values"][0]) for one in found["columns"]] == [("Vorgang", "A-1"), ("Geld", "1.50")]


def test_an_encrypted_sample_is_opened_with_the_keys_of_its_source(house: ProgramHarness) -> None:
    pysequoia = pytest.importorskip("pysequoia")
    from retour.intake.encrypted_files import create_key

    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "warehouse": {"channel": "sftp"}}})
    key = create_key(house.hub, house.program, "warehouse")["public_key"]
    sealed = bytes(pysequoia.encrypt(bytes=GERMAN, recipients=[pysequoia.Cert.from_bytes(key.encode())]))
    assert b"A-1" not in sealed
    found = checked(house, sealed, name="may.csv.pgp")
    assert found["suggestion"]["mapping"]["columns"]["order_id"] == "Bestellnummer"
    read = checked(house, sealed, name="may.csv.pgp", amount_means="take_back", mapping=found["suggestion"]["mapping"])
    assert (read["state"], read["counts"]["readable"]) == ("readable", 2)


def test_the_words_of_a_sender_are_told_with_what_they_mean(house: ProgramHarness) -> None:
    rows = b"A-1,take_back,R1,1\nA-2,take_back,OTHER,1\nA-3,take_back,R9,1\nA-4,take_back,R1,2\n"
    body = b"order_id,change,reason,amount\n" + rows
    found = checked(house, body, mapping={"reasons": {"R1": "ITEM_RETURNED"}})
    assert found["values"]["reason"] == [
        {"value": "R1", "rows": 2, "means": "ITEM_RETURNED"},
        {"value": "OTHER", "rows": 1, "means": "OTHER"},
        {"value": "R9", "rows": 1, "means": ""},
    ]


def test_dates_and_numbers_are_choices_and_never_guessed(house: ProgramHarness) -> None:
    body = b"Bestellnummer;Betrag;Datum\nA-1;1,234;04/05/26\nA-2;2,345;06/05/26\n"
    found = checked(house, body)
    assert found["suggestion"]["mapping"] == {
        "columns": {"order_id": "Bestellnummer", "amount": "Betrag", "occurred_at": "Datum"}
    }
    mapped = checked(house, body, mapping=found["suggestion"]["mapping"])
    assert [(one["form"], one["reads"], one["unread"]) for one in mapped["decimals"]] == [
        ("", "", 2), (".", "1234", 0), (",", "1.234", 0),
    ]  # fmt: skip
    assert {one["form"]: one["reads"] for one in mapped["dates"]} == {
        "": "", "%d/%m/%y": "2026-05-04", "%m/%d/%y": "2026-04-05",
    }  # fmt: skip


def test_what_is_below_zero_may_be_a_difference(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00", "currency": "EUR"})
    readings = checked(house, b"order_id,amount\nA-1,-30.00\n")["readings"]
    assert [one["amount_means"] for one in readings] == ["set_total", "take_back", "difference"]
    assert readings[2]["counts"] == {"applied": 1} and readings[2]["total"]["payout"]["difference"] == "-2.40"
    assert readings[0]["codes"] == {"AMOUNT_NEGATIVE": 1}
