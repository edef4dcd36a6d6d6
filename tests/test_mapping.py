"""A source's mapping: names, constants, translations, dates, ids, as its program declares them."""

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest

from retour.domain.actions.modification import Modification, TakeBack
from retour.domain.delivery import Channel, Delivery, Kind
from retour.domain.program import program_from
from retour.domain.row import Unreadable
from retour.files.open import open_file
from retour.files.opened import Opened
from retour.normalise import Read, Reading
from retour.sentences import sentence

RECEIVED = datetime(2026, 11, 25, 9, tzinfo=UTC)


def read(text: str, **source: Any) -> list[Read]:
    document = {
        "program": "acme",
        "currency": "EUR",
        "time_zone": "Europe/Berlin",
        "event_types": {"sale": {}, "lead": {}},
        "sources": {"erp": {"channel": "sftp", **source}},
    }
    program = program_from(document, 1, ())
    body = text.encode()
    opened = open_file("x.csv", BytesIO(body), program.sources["erp"])
    assert isinstance(opened, Opened), opened
    delivery = Delivery(
        id="d", program="acme", channel=Channel.SFTP, source="erp", kind=Kind.FILE, identity="i",
        received_at=RECEIVED, sha256="0", size=len(body), name="x.csv",
    )  # fmt: skip
    return [found for _, found in Reading(program, program.sources["erp"], delivery).modifications(opened.rows)]


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
    ("declared", "text"),
    [(["%d/%m/%Y", "%m/%d/%Y"], "01/02/2026"), ("%d.%m.%Y", "2026-11-24"), (None, "24.11.2026"), (None, "01/02/2026")],
)
def test_a_date_that_is_not_one_day_is_refused(declared: Any, text: str) -> None:
    mapping = {"date": declared} if declared else {}
    assert refused(f"order_id,change,occurred_at\nA-1,reverse,{text}\n", mapping=mapping) == "NOT_A_TIME"


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


def test_a_signed_difference_takes_back_what_is_below_zero() -> None:
    found = one("order_id,sku,amount,quantity\nA-1,boot,-12.50,-1\n", amount_means="difference").change
    assert isinstance(found, TakeBack) and (str(found.amount), found.quantity) == ("12.50", 1)
    units = one("order_id,sku,quantity\nA-1,boot,-2\n", amount_means="difference").change
    assert isinstance(units, TakeBack) and (units.amount, units.quantity) == (None, 2)
    assert refused("order_id,amount\nA-1,5\n", amount_means="difference") == "DIFFERENCE_POSITIVE"
    assert refused("order_id,sku,quantity\nA-1,boot,2\n", amount_means="difference") == "DIFFERENCE_POSITIVE"
    assert refused("order_id,sku,quantity\nA-1,boot,-2\n", amount_means="take_back") == "NOT_A_QUANTITY"
