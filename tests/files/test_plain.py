"""Read at one stroke or the careful way, every file says the same: rows, records, refusals, what was skipped."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from bench import data
from hypothesis import example, given
from hypothesis import strategies as st

from retour.domain.actions.modification import Modification, TakeBack
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import program_from
from retour.domain.row import Refusal
from retour.domain.times import parse_instant
from retour.files import table
from retour.files.fast_lines import FastRow
from retour.files.open import open_file
from retour.normalise import Normaliser
from retour.normalise.fast_path import RowTemplate as RowKind

SAMPLES = Path(__file__).parents[1] / "samples"
NOW = parse_instant("2026-11-02T09:00:00Z")
ORDERS: tuple[dict[str, Any], ...] = (
    {},
    {"strip_prefix": "#"},
    {"strip_prefix": "A", "fold_case": True},
    {"pad": 12},
    {"strip_prefix": "1001"},
)
SOURCES: tuple[dict[str, Any], ...] = (
    {},
    {"amount_means": "take_back", "currency": "USD", "default_reason": "OTHER", "order_by": "occurred_at"},
    {"amount_means": "difference"},
    {"mapping": {"decimal": ",", "delimiter": ";", "date": "%d.%m.%Y"}},
    {"mapping": {"columns": {"order_id": "order_id", "amount": "amount", "change": "change"}, "order_id_width": 9}},
    {"mapping": {"constants": {"sku": "X", "currency": "EUR"}, "reasons": {"R1": "ITEM_RETURNED"}}},
    {"mapping": {"statuses": {"back": "reverse", "part": "difference", "ok": "approve"}}},
    {"mapping": {"round": True}},
    {"mapping": {"per_unit": True}, "amount_means": "take_back"},
)


def reading(source: dict[str, Any], order_key: dict[str, Any], **facts: str) -> Normaliser:
    document = {
        "program": "acme",
        "currency": "EUR",
        "time_zone": "Europe/Berlin",
        "event_types": {"sale": {"dispositions": {"D1": {"change": "reverse"}}}, "lead": {}},
        "order_key": order_key,
        "sources": {"shop": {"channel": "sftp", "event_type": "sale", **source}},
    }
    program = program_from(document, 1, ())
    delivery = Delivery(
        id="20261102T090000000Z-0123456789",
        program="acme",
        channel=Channel.SFTP,
        source="shop",
        kind=DeliveryKind.FILE,
        identity="1",
        received_at=NOW,
        sha256="0" * 64,
        size=1,
        name="rows.csv",
        facts=facts,
    )
    return Normaliser(program, program.sources["shop"], delivery)


@contextmanager
def carefully() -> Iterator[None]:
    with patch.object(table, "compile_fast_table", lambda *_, **__: None):
        yield


def told(content: bytes, read: Normaliser) -> Any:
    """All there is to know of a file."""
    opened = open_file("rows.csv", io.BytesIO(content), read.source)
    if isinstance(opened, Refusal):
        return opened
    rows = [(row, row.place, row.raw, one) for row, one in read.modifications(opened.rows)]
    return opened.header, rows, opened.skipped


def same(content: bytes, source: dict[str, Any], order_key: dict[str, Any]) -> None:
    with carefully():
        expected = told(content, reading(source, order_key))
    assert told(content, reading(source, order_key)) == expected


VALUES: dict[str, tuple[str, ...]] = {
    "reference": ("", "R-1", "R 1", "'007", "1,2", "1E+5", "#REF!", "ä"),
    "order_id": (
        *("", "1001", "A-1", "#1001", "#", "##", "A", "Total", "total1", "order_id", "@1", "1.2E+10", "'0012"),
        *("x" * 129, "1" * 129),
    ),
    "action_id": ("", "A-1~sale", "a b"),
    "event_type": ("", "sale", "SALE", "lead", "gift"),
    "sku": ("", "S-1", "S 1", "+1"),
    "line": ("", "1", "x" * 200),
    "change": (
        *("", "set_total", "SET_TOTAL", "take_back", "reverse", "approve", "restore", "set_quantity", "difference"),
        *("undo", "set_status", " reverse "),
    ),
    "amount": (
        *("", "12.50", "0", "0.00", "12,50", "-1.00", "1e5", "1.234,5", "1,234", "EUR 5", "123456789012345"),
        *("007.5", "1.2345"),
    ),
    "currency": ("", "EUR", "usd", "XQQ", "JPY"),
    "quantity": ("", "0", "1", "-1", "1.5", "999999", "1000001", "01"),
    "status": ("", "back", "part", "ok", "no"),
    "reason": ("", "ITEM_RETURNED", "item returned", "R1", "BECAUSE", "OTHER"),
    "disposition": ("", "D1", "D2"),
    "note": ("", "two words", "it's", '"quoted, too"', '"never closed', "tab\tbed", "x" * 300),
    "occurred_at": (
        *("", "2026-10-01", "2026-02-30", "2026-10-01T10:00:00Z", "2026-10-01 10:00", "01.10.2026", "0001-01-01"),
        *("9999-12-31", "20261001"),
    ),
    "unknown": ("", "x", "y z"),
    "": ("", " ", "x"),
}  # fmt: skip
ENDS = ("\n", "\r\n", "", "\r")


@st.composite
def files(draw: st.DrawFn) -> bytes:
    names = draw(st.lists(st.sampled_from([one for one in VALUES if one != "order_id"]), unique=True, max_size=8))
    names.insert(draw(st.integers(0, len(names))), "order_id")
    delimiter, end = draw(st.sampled_from([",", ";", "|"])), draw(st.sampled_from(ENDS[:2]))
    row = st.tuples(*(st.sampled_from(VALUES[name]) for name in names))
    rows = draw(st.lists(row, max_size=12))
    # The same again makes rows of a kind, which is what may go wrong.
    rows += draw(st.lists(st.sampled_from(rows), max_size=12)) if rows else []
    text = end.join(delimiter.join(one) for one in [tuple(names), *rows])
    last: str = draw(st.sampled_from(ENDS))
    return bytes((text + last).encode())


@given(files(), st.sampled_from(SOURCES), st.sampled_from(ORDERS))
@example(b"order_id,amount,change\nA1,0,difference\nA2,5,difference\n", {}, {})
@example(b"order_id,quantity,change\nA1,0,difference\nA2,5,difference\n", {}, {})
@example(b"order_id,amount,change,sku\nA1,1,reverse,S\nA2,5,reverse,\n", SOURCES[5], {})
@example(b"order_id,amount,change\nA,1,reverse\nA1,1,reverse\nA2,1,reverse\n", {}, ORDERS[2])
@example(b"order_id,amount,change\nA1,1,reverse\n1001,1,reverse\n", {}, ORDERS[4])
@example(b"change,order_id,amount\nTotal,1,5\nreverse,1,5\nreverse,2,5", {}, {})
def test_any_file_reads_the_same(content: bytes, source: dict[str, Any], order_key: dict[str, Any]) -> None:
    same(content, source, order_key)


@given(st.data())
def test_rows_of_a_kind_read_the_same(drawn: st.DataObject) -> None:
    """Rows that are plain for the most part, with everything that is a row's own drawn freely."""
    text = st.text("09AZaz._/:@()&*- +#'=~ä", max_size=6)
    row = st.tuples(
        *(text, st.sampled_from(["A-1", "#12", "7"]), text, st.sampled_from(["set_total", "take_back", "reverse"])),
        *(st.from_regex(r"[0-9]{1,4}([.,][0-9]{0,4})?", fullmatch=True), st.sampled_from(["EUR", "CHF"])),
        *(st.integers(-1, 1_000_002).map(str), st.sampled_from(["ITEM_RETURNED", "OTHER"])),
        st.sampled_from(["2026-10-01", "2026-10-25T02:30:00", "2026-10-01T00:00:00+02:00", "2026-1-1"]),
    )
    lines = [data.COLUMNS, *drawn.draw(st.lists(row, min_size=1, max_size=20))]
    content = "\n".join(map(",".join, lines)).encode()
    same(content, drawn.draw(st.sampled_from(SOURCES)), drawn.draw(st.sampled_from(ORDERS)))


@pytest.mark.parametrize(
    "path", sorted(path for path in SAMPLES.rglob("*") if path.is_file()), ids=lambda path: path.name
)
def test_every_sample_reads_the_same(path: Path) -> None:
    content = path.read_bytes()
    for source in SOURCES[:4]:
        same(content, source, {})
    with carefully():
        expected = reported(content)
    assert reported(content) == expected


def reported(content: bytes) -> Any:
    """The rows of what may be a report of actions, which are plain as well."""
    opened = open_file("rows.csv", io.BytesIO(content), reading({}, {}).source, "actions")
    return opened if isinstance(opened, Refusal) else list(opened.rows)


def test_the_measured_rows_read_the_same_and_nearly_all_are_plain(tmp_path: Path) -> None:
    path = data.write_csv(tmp_path / "rows.csv", 3_000)
    same(path.read_bytes(), {}, {})
    read = reading({}, {})
    opened = open_file("rows.csv", path.open("rb"), read.source)
    assert not isinstance(opened, Refusal)
    checked = list(read.check_rows(opened.rows))
    assert sum(isinstance(one, RowKind) for _, one in checked) > 0.9 * len(checked)
    assert all(isinstance(row, FastRow) for row, one in checked if isinstance(one, RowKind))


def test_a_column_that_only_this_delivery_has_is_no_reason_to_overlook_it() -> None:
    content = b"order_id,amount,change,order_total\nA-1,5,take_back,10\nA-2,5,take_back,20\n"
    source = {"mapping": {"columns": {"order_id": "order_id"}}}
    read = reading(source, {}, of=DeliveryKind.HOOK)
    assert [one.change for *_, one in told(content, read)[1]] == [
        TakeBack(Decimal(5), of_total=Decimal(10)),
        TakeBack(Decimal(5), of_total=Decimal(20)),
    ]


def test_a_line_is_taken_apart_where_somebody_asks() -> None:
    read = reading({}, {})
    content = b"order_id,amount,change\r\nA-1, 5,reverse\r\nA-1,5,reverse\r\n"
    opened = open_file("rows.csv", io.BytesIO(content), read.source)
    assert not isinstance(opened, Refusal)
    careful, plain = opened.rows
    assert isinstance(plain, FastRow) and not isinstance(careful, FastRow)
    assert (plain.place, plain.raw, plain.layout) == ("3", "A-1,5,reverse\r\n", "")
    assert plain.fields == careful.fields == {"order_id": "A-1", "amount": "5", "change": "reverse"}  # type: ignore[union-attr]
    assert plain != careful and isinstance(read.modification(plain), Modification)
