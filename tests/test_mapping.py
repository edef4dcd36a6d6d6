"""A source's mapping: names, constants, translations, dates, ids, as its program declares them."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest

from retour.domain.actions.modification import Modification, TakeBack
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import program_from
from retour.domain.row import Unreadable
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.normalise import Normalised, Normaliser
from retour.sentences import LANGUAGES, sentence
from retour.setup import program_file
from tests.conftest import PROGRAM
from tests.files import old_workbooks, test_ods, workbooks

RECEIVED = datetime(2026, 11, 25, 9, tzinfo=UTC)


def read(text: str | bytes, **source: Any) -> list[Normalised]:
    document = {
        "program": "acme",
        "currency": "EUR",
        "time_zone": "Europe/Berlin",
        "event_types": {"sale": {}, "lead": {}},
        "sources": {"erp": {"channel": "sftp", **source}},
    }
    program = program_from(document, 1, ())
    body = text.encode() if isinstance(text, str) else text
    opened = open_file("x.csv", BytesIO(body), program.sources["erp"])
    assert isinstance(opened, OpenedFile), opened
    delivery = Delivery(
        id="d", program="acme", channel=Channel.SFTP, source="erp", kind=DeliveryKind.FILE, identity="i",
        received_at=RECEIVED, sha256="0", size=len(body), name="x.csv",
    )  # fmt: skip
    return [found for _, found in Normaliser(program, program.sources["erp"], delivery).modifications(opened.rows)]


def one(text: str, **source: Any) -> Modification:
    (found,) = read(text, **source)
    assert isinstance(found, Modification), found
    return found


def refused(text: str, **source: Any) -> str:
    (found,) = read(text, **source)
    assert isinstance(found, Unreadable), found
    return found.code


@pytest.mark.parametrize("written", ["Bestell Nr", "bestell-nr", "BESTELL_NR", " Bestell\u00a0Nr ", "bestellnr"])
def test_columns_are_found_without_case_blanks_and_hyphens(written: str) -> None:
    columns = {"order_id": "Bestell-Nr", "amount": "Betrag"}
    found = one(f"{written};Betrag\nA-1;3,50\n", mapping={"columns": columns, "decimal": ","}, amount_means="take_back")
    assert found.order_key == "A-1" and isinstance(found.change, TakeBack)


def test_a_column_may_have_several_names() -> None:
    mapping = {"columns": {"order_id": ["Order", "Order No"], "amount": "Value"}}
    for name in ("order", "order_no"):
        assert one(f"{name},Value\nA-1,3.50\n", mapping=mapping, amount_means="take_back").order_key == "A-1"


def test_constants_fill_what_the_row_leaves_out() -> None:
    mapping = {"columns": {"order_id": "Nr"}, "constants": {"change": "reverse", "reason": "CANCELLED"}}
    found = one("Nr\nA-1\n", mapping=mapping)
    assert (found.verb, found.reason) == ("reverse", "CANCELLED")


def test_reasons_and_statuses_are_translated_without_regard_to_case() -> None:
    mapping = {"statuses": {"Retoure": "reverse"}, "reasons": {"zu klein": "ITEM_RETURNED"}}
    found = one("order_id,status,reason\nA-1,RETOURE,Zu Klein\n", mapping=mapping)
    assert (found.verb, found.reason) == ("reverse", "ITEM_RETURNED")
    assert refused("order_id,status\nA-1,Storno\n", mapping=mapping) == "UNKNOWN_STATUS"
    assert refused("order_id,status,reason\nA-1,Retoure,zu gross\n", mapping=mapping) == "UNKNOWN_REASON"


def test_a_status_may_say_that_nothing_is_taken_back_of_its_reference() -> None:
    """`restore` is how older programs write `nothing`; without a subject it stays the explicit act."""
    mapping = {"statuses": {"Retoure": "reverse", "Offen": "nothing", "Zurück": "restore", "Gepackt": "keep"}}
    rows = "reference,order_id,status\nR-1,A-1,Offen\nR-1,A-1,Zurück\n"
    for row in read(rows, mapping=mapping, references="restate"):
        assert isinstance(row, Modification)
        assert (row.subject, row.change) == ("R-1", TakeBack(Decimal(0), clamp=True))
    assert refused("order_id,status\nA-1,Offen\n", mapping=mapping) == "NOTHING_OF_WHAT"
    restored, kept = read("order_id,status\nA-1,Zurück\nA-1,Gepackt\n", mapping=mapping)
    assert isinstance(restored, Modification)
    assert isinstance(kept, Modification)
    assert (restored.verb, kept.verb) == ("restore", "set_status")


def test_event_types_are_translated() -> None:
    mapping = {"event_types": {"22117": "lead"}}
    assert one("order_id,event_type,change\nA-1,22117,reverse\n", mapping=mapping).event_type == "lead"
    assert refused("order_id,event_type,change\nA-1,22118,reverse\n", mapping=mapping) == "UNKNOWN_EVENT_TYPE"


@pytest.mark.parametrize(
    ("declared", "text", "local"),
    [
        ("%d.%m.%Y", "24.11.2026", "2026-11-23T23:00"),
        (["%d.%m.%Y %H:%M", "%d.%m.%Y"], "24.11.2026 10:30", "2026-11-24T09:30"),
        (["%d.%m.%Y %H:%M", "%d.%m.%Y"], "24.11.2026", "2026-11-23T23:00"),
        (["%d/%m/%Y", "%m/%d/%Y"], "24/11/2026", "2026-11-23T23:00"),
    ],
)
def test_dates_are_read_as_declared(declared: Any, text: str, local: str) -> None:
    found = one(f"order_id,change,occurred_at\nA-1,reverse,{text}\n", mapping={"date": declared})
    assert found.occurred_at == datetime.fromisoformat(f"{local}+00:00")


@pytest.mark.parametrize(
    ("declared", "text", "right"),
    [
        ("%d.%m.%Y", "2026-11-24", "as 21.11.2026."),
        (["%d.%m.%Y", "%m/%d/%Y %H:%M"], "24-11-26", "as 21.11.2026 / 11/21/2026 09:30."),
        (None, "24.11.2026", "set `date` in the mapping of the source."),
        (None, "01/02/2026", "set `date` in the mapping of the source."),
    ],
)
def test_a_date_that_cannot_be_read_is_answered_by_one_that_can(declared: Any, text: str, right: str) -> None:
    mapping = {"date": declared} if declared else {}
    (found,) = read(f"order_id,change,occurred_at\nA-1,reverse,{text}\n", mapping=mapping)
    assert isinstance(found, Unreadable) and found.code == "NOT_A_TIME"
    assert sentence(found.code, found.details).endswith(right)


def test_a_date_that_is_not_one_day_is_refused_with_the_days_it_could_be() -> None:
    mapping = {"date": ["%d/%m/%Y", "%m/%d/%Y"]}
    (found,) = read("order_id,change,occurred_at\nA-1,reverse,01/02/2026\n", mapping=mapping)
    assert isinstance(found, Unreadable) and (found.code, found.column) == ("TIME_AMBIGUOUS", "occurred_at")
    assert "2026-01-02, 2026-02-01" in sentence(found.code, found.details)
    assert one("order_id,change,occurred_at\nA-1,reverse,24/02/2026\n", mapping=mapping).occurred_at


def test_lost_zeros_come_back_only_where_the_width_is_stated() -> None:
    text = "order_id,change\n1234,reverse\n"
    assert one(text).order_key == "1234"
    assert one(text, mapping={"order_id_width": 8}).order_key == "00001234"
    assert one("order_id,change\nA-1,reverse\n", mapping={"order_id_width": 8}).order_key == "A-1"
    assert one("order_id,change\n123456789,reverse\n", mapping={"order_id_width": 8}).order_key == "123456789"


def test_a_doubtful_amount_says_in_which_line_and_column_and_what_would_be_right() -> None:
    (found,) = read('order_id,Amount\nA-1,"1,234"\n', amount_means="take_back")
    assert isinstance(found, Unreadable)
    assert (found.code, found.place, found.column) == ("AMOUNT_AMBIGUOUS", "2", "amount")
    assert "decimal" in sentence(found.code, found.details)


@pytest.mark.parametrize("text", ["12.500", "1.000", "-1.000", "12.500 EUR", "€ 1.234"])
def test_a_point_before_three_digits_may_group_thousands(text: str) -> None:
    """Read as decimals, a German's twelve thousand would be twelve and a half."""
    row = f"order_id,amount\nA-1,{text}\n"
    assert refused(row, amount_means="take_back") == "AMOUNT_AMBIGUOUS"
    for mark in ".,":
        (found,) = read(row, amount_means="take_back", mapping={"decimal": mark})
        assert not isinstance(found, Unreadable) or found.code == "AMOUNT_NEGATIVE"


@pytest.mark.parametrize("text", ["0.500", "1234.500", "12.50", "12.5", "1.0000"])
def test_what_cannot_group_thousands_has_decimals(text: str) -> None:
    assert one(f"order_id,amount\nA-1,{text}\n", amount_means="take_back").change == TakeBack(Decimal(text))


def test_of_a_currency_with_three_decimals_three_are_no_wonder() -> None:
    row = "order_id,amount,currency\nA-1,12.500,KWD\n"
    assert one(row, amount_means="take_back").change == TakeBack(Decimal("12.500"))


def test_a_long_file_is_as_careful_with_its_last_line_as_with_its_first() -> None:
    """Most lines of a plain file are read at one stroke."""
    rows = "".join(f"R-{n},A-{n},{n}.50\n" for n in range(1, 9))
    *_, before, last = read(f"reference,order_id,amount\n{rows}R-9,A-9,12.500\n", amount_means="take_back")
    assert isinstance(before, Modification)
    assert isinstance(last, Unreadable) and last.code == "AMOUNT_AMBIGUOUS"


@pytest.mark.parametrize(
    ("text", "declared", "right"),
    [("10,50", None, "10.50"), ("1.234,50", None, "1234.50"), ("1.234.567", None, "1234567"), ("10.50", ",", "10,50")],
)
def test_another_decimal_mark_is_named_with_the_number_it_would_be(text: str, declared: str | None, right: str) -> None:
    mapping = {"decimal": declared} if declared else {}
    (found,) = read(f"order_id;amount\nA-1;{text}\n", amount_means="take_back", mapping=mapping)
    assert isinstance(found, Unreadable) and found.code == "AMOUNT_OTHER_MARK"
    assert f"Write {right}," in sentence(found.code, found.details)


def test_a_signed_difference_takes_back_what_is_below_zero() -> None:
    found = one("order_id,sku,amount,quantity\nA-1,boot,-12.50,-1\n", amount_means="difference").change
    assert isinstance(found, TakeBack) and (str(found.amount), found.quantity) == ("12.50", 1)
    units = one("order_id,sku,quantity\nA-1,boot,-2\n", amount_means="difference").change
    assert isinstance(units, TakeBack) and (units.amount, units.quantity) == (None, 2)
    assert refused("order_id,amount\nA-1,5\n", amount_means="difference") == "DIFFERENCE_POSITIVE"
    assert refused("order_id,sku,quantity\nA-1,boot,2\n", amount_means="difference") == "DIFFERENCE_POSITIVE"
    assert refused("order_id,sku,quantity\nA-1,boot,-2\n", amount_means="take_back") == "NOT_A_QUANTITY"


MAPPED: dict[str, Any] = {"mapping": {"columns": {"order_id": "nr", "amount": "betrag"}}, "amount_means": "take_back"}


def typed(amount: str, **mapping: Any) -> Normalised:
    """A record of a JSON file with this number, not a text."""
    return next(iter(read(f'[{{"nr": "A-1", "betrag": {amount}}}]', **with_mapping(**mapping))))


def with_mapping(**mapping: Any) -> dict[str, Any]:
    return {**MAPPED, "mapping": {**MAPPED["mapping"], **mapping}}


@pytest.mark.parametrize("mark", [".", ","])
def test_a_typed_number_is_no_question_of_thousands(mark: str) -> None:
    found = typed("12.345", decimal=mark)
    assert isinstance(found, Modification) and found.change == TakeBack(Decimal("12.345"))
    assert refused("nr;betrag\nA-1;12.345\n", **MAPPED) == "AMOUNT_AMBIGUOUS"


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("12.345", "EUR", "12.35"),
        ("12.344", "EUR", "12.34"),
        ("12.5", "JPY", "13"),
        ("12.3456", "KWD", "12.346"),
        ("7", "EUR", "7"),
    ],
)
def test_a_source_may_have_amounts_rounded_to_their_currency(amount: str, currency: str, rounded: str) -> None:
    found = typed(amount, round=True, constants={"currency": currency})
    assert isinstance(found, Modification) and found.change == TakeBack(Decimal(rounded))


def test_amounts_of_one_unit_count_as_often_as_there_are_units() -> None:
    mapping = {
        "columns": {"order_id": "nr", "amount": "stueckpreis", "quantity": "menge", "sku": "artikel"},
        "per_unit": True,
    }
    text = "nr,artikel,stueckpreis,menge\nA-1,X,30.00,2\nA-2,X,30.00,\n"
    first, second = read(text, mapping=mapping, amount_means="take_back")
    assert isinstance(first, Modification) and first.change == TakeBack(Decimal("60.00"), 2)
    assert isinstance(second, Modification) and second.change == TakeBack(Decimal("30.00"))
    source = {"channel": "sftp", "mapping": {**mapping, "round": True}}
    assert isinstance(
        program_file.parse_program(json.dumps({**PROGRAM, "program": "acme", "sources": {"erp": source}})), dict
    )


def test_a_blank_cell_is_named_by_the_sender_s_own_column() -> None:
    (found,) = read("nr,betrag\nA-1,\n", **MAPPED)
    assert isinstance(found, Unreadable) and (found.code, found.column) == ("AMOUNT_NEEDED", "betrag")
    for language in LANGUAGES:
        assert "take_back" not in sentence(found.code, found.details, language)


def test_the_amounts_of_one_column_decide_their_decimal_mark() -> None:
    source = {"mapping": {"columns": {"order_id": "nr", "amount": "betrag"}}, "amount_means": "take_back"}
    rows = ["A-1;12,50", "A-2;1.234,56", "A-3;1.234", "A-4;7", *(f"B-{n};{n},00" for n in range(50)), "A-5;12.50"]
    found = read("\n".join(["nr;betrag", *rows, "A-6;€ 3,00"]), **source)
    amounts = [one.change.amount for one in found if isinstance(one, Modification) and isinstance(one.change, TakeBack)]
    assert amounts[:4] == [Decimal("12.50"), Decimal("1234.56"), Decimal("1234"), Decimal("7")] and len(amounts) == 54
    other, signed = found[54:]
    assert isinstance(other, Unreadable) and other.code == "AMOUNT_OTHER_MARK"
    assert "other rows of this file" in sentence(other.code, other.details) and other.details["right"] == "12,50"
    assert isinstance(signed, Unreadable) and signed.code == "AMOUNT_OTHER_MARK"


def test_grouped_amounts_are_read_where_the_others_have_points() -> None:
    third = read("nr;betrag\nA-1;12.50\nA-2;1,234.56\nA-3;1,234\n", **MAPPED)[2]
    assert isinstance(third, Modification) and third.change == TakeBack(Decimal("1234"))


@pytest.mark.parametrize("text", ["A-1;12,50\n", "A-1;12,50\nA-2;12.50\n", "A-1;12,50\nA-2;1.234\n"])
def test_one_amount_or_a_column_of_two_minds_decides_nothing(text: str) -> None:
    assert read(f"nr;betrag\n{text}", **MAPPED)[0].code == "AMOUNT_OTHER_MARK"  # type: ignore[union-attr]


TEXTS = ("12,50", "1.234,56", "1.234", *("7,00",) * 50, "12.50")
TYPED_NUMBER = "1.234"


def as_xlsx(*amounts: str) -> bytes:
    rows = [
        workbooks.row(at, workbooks.text(f"A{at}", f"A-{at}"), workbooks.text(f"B{at}", amount))
        for at, amount in enumerate(amounts, 2)
    ]
    last = len(amounts) + 2
    typed = workbooks.row(last, workbooks.text(f"A{last}", "T"), workbooks.number(f"B{last}", TYPED_NUMBER))
    return workbooks.workbook(("S", workbooks.header(1, "nr", "betrag") + "".join(rows) + typed))


def as_xls(*amounts: str) -> bytes:
    cells = old_workbooks.header("nr", "betrag") + b"".join(
        old_workbooks.text(at, 0, f"A-{at}") + old_workbooks.text(at, 1, amount) for at, amount in enumerate(amounts, 1)
    )
    last = len(amounts) + 1
    typed = old_workbooks.text(last, 0, "T") + old_workbooks.number(last, 1, float(TYPED_NUMBER))
    return old_workbooks.workbook(("S", cells + typed))


def as_ods(*amounts: str) -> bytes:
    cell, row = test_ods.cell, test_ods.row
    rows = [row(cell(f"A-{at}"), cell(amount)) for at, amount in enumerate(amounts)]
    typed = row(cell("T"), test_ods.number(TYPED_NUMBER))
    return test_ods.spreadsheet(test_ods.table(row(cell("nr"), cell("betrag")), *rows, typed))


@pytest.mark.parametrize("file", [as_xlsx, as_xls, as_ods])
def test_the_texts_of_a_column_of_a_workbook_decide_its_decimal_mark(file: Any) -> None:
    *found, other, typed = read(file(*TEXTS), **MAPPED)
    assert [one.change for one in found if isinstance(one, Modification)] == [
        TakeBack(Decimal(amount)) for amount in ("12.50", "1234.56", "1234", *("7.00",) * 50)
    ]
    assert isinstance(other, Unreadable) and (other.code, other.details["right"]) == ("AMOUNT_OTHER_MARK", "12,50")
    assert isinstance(typed, Modification) and typed.change == TakeBack(Decimal(TYPED_NUMBER))


@pytest.mark.parametrize("file", [as_xlsx, as_xls, as_ods])
def test_numbers_of_a_workbook_decide_nothing_for_its_texts(file: Any) -> None:
    text, typed = read(file("1.234"), **MAPPED)
    assert isinstance(text, Unreadable) and text.code == "AMOUNT_AMBIGUOUS"
    assert isinstance(typed, Modification) and typed.change == TakeBack(Decimal(TYPED_NUMBER))


@pytest.mark.parametrize(
    ("written", "currency"),
    [
        ("5.00 USD", "USD"),
        ("$5.00", "USD"),
        ("£5.00", "GBP"),
        ("₹5", "INR"),
        ("€5.00", None),
        ("EUR 5.00", None),
        ("5", None),
    ],
)
def test_a_currency_written_with_the_amount_is_that_of_the_row(written: str, currency: str | None) -> None:
    """In a program of euros: five dollars are not taken for five euros."""
    found = one(f"order_id,change,amount\nA-1,take_back,{written}\n")
    assert isinstance(found.change, TakeBack) and (found.change.amount, found.currency) == (Decimal(5), currency)


@pytest.mark.parametrize("written", ["$5.00", "5.00 USD", "EUR 5.00 USD", "¤5.00"])
def test_a_currency_that_contradicts_its_source_is_refused(written: str) -> None:
    codes = ("AMOUNT_OTHER_CURRENCY", "NOT_AN_AMOUNT")
    assert refused(f"order_id,change,amount\nA-1,take_back,{written}\n", currency="EUR") in codes


def test_a_day_that_is_written_otherwise_than_the_source_says_tells_what_could_be_set() -> None:
    (found,) = read("order_id,change,amount,occurred_at\nA-1,take_back,5,30.11.2026\n")
    assert isinstance(found, Unreadable) and "in the mapping of the source" in sentence(found.code, found.details)
