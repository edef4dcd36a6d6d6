"""Files of other systems read as what they mean there: every sample with the reading beside it, and the edges."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.files.workbooks import header, workbook

from retour.domain.actions.modification import Modification
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import Program, program_from
from retour.domain.row import Refusal, Row, Unreadable, line_place
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.partner_layouts import partner_layouts
from retour.files.result_files import rows_at_places
from retour.normalise import Normaliser
from retour.sentences import sentence

SAMPLES = Path(__file__).parents[1] / "samples"
FILES = sorted(
    path
    for name in partner_layouts()
    for path in (SAMPLES / name).iterdir()
    if path.suffix in (".csv", ".txt", ".xlsx", ".xml")
)
LINES = [path for path in FILES if path.suffix != ".xml"]
LAYOUT_SCHEMA = Path(__file__).parents[2] / "shared/retour/files/layout.schema.json"
RECEIVED = datetime(2026, 11, 6, 9, tzinfo=UTC)
WITHOUT_HEADER = [name for name, known in partner_layouts().items() if known.body.get("positions")]


def preamble(sample: Path) -> int:
    """Lines above the header, as the sample's name says: `legacy.preamble-3.csv`."""
    found = re.search(r"\.preamble-(\d+)\.", sample.name)
    return int(found[1]) if found else 0


def source_of(sample: Path) -> dict[str, Any]:
    described = sample.with_name(sample.name + ".source.json")
    return json.loads(described.read_text()) if described.exists() else {}


def program(body: dict[str, Any]) -> Program:
    document = {
        "program": "acme",
        "currency": "EUR",
        "time_zone": "Europe/Berlin",
        "event_types": {"sale": {}, "lead": {}},
        "sources": {"net": {"channel": "sftp", **body}},
    }
    return program_from(document, 1, ())


def opened(
    body: bytes, described: dict[str, Any], name: str = "x.csv", layout: str = "modifications"
) -> OpenedFile | Refusal:
    return open_file(name, BytesIO(body), program(described).sources["net"], layout)


def readings(body: bytes, described: dict[str, Any]) -> list[tuple[Row | Unreadable, Modification | Unreadable]]:
    found = opened(body, described)
    assert isinstance(found, OpenedFile), found
    acme = program(described)
    delivery = Delivery(
        id="d", program="acme", channel=Channel.SFTP, source="net", kind=DeliveryKind.FILE, identity="i",
        received_at=RECEIVED, sha256="0", size=len(body), name="x.csv",
    )  # fmt: skip
    return list(Normaliser(acme, acme.sources["net"], delivery).modifications(found.rows))


def told(row: Row | Unreadable, read: Modification | Unreadable) -> dict[str, Any]:
    if isinstance(read, Unreadable):
        return {
            "place": read.place,
            "code": read.code,
            "column": read.column,
            "order": read.order,
            "says": sentence(read.code, read.details),
        }
    change = {
        name: str(value) for name in ("amount", "quantity") if (value := getattr(read.change, name, None)) is not None
    }
    named = ("order_key", "action_id", "event_type", "sku", "reference", "currency", "reason", "note", "occurred_at")
    given = {name: str(value) for name in named if (value := getattr(read, name)) is not None}
    return {"place": row.place, "change": read.verb, **change, **given}


def reading(sample: Path) -> dict[str, Any]:
    found = opened(sample.read_bytes(), source_of(sample), sample.name)
    if isinstance(found, Refusal):
        again = opened(sample.read_bytes(), source_of(sample), sample.name, "actions")
        rows = (
            [{"place": row.place, **getattr(row, "fields", {})} for row in again.rows]
            if isinstance(again, OpenedFile)
            else []
        )
        return {
            "refused": found.code,
            "says": sentence(found.code, found.details),
            **({"as actions": rows} if rows else {}),
        }
    return {
        "layout": found.layout,
        "rows": [told(row, read) for row, read in readings(sample.read_bytes(), source_of(sample))],
    }


@pytest.mark.parametrize("sample", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_sample_reads_as_expected(sample: Path, as_blessed: Callable[[Path, Any], None]) -> None:
    as_blessed(sample.with_name(sample.name + ".json"), reading(sample))


def counted_by_hand(sample: Path) -> int:
    """Lines that hold something, without the header: none of the samples has a line end within a cell."""
    lines = [line for line in sample.read_bytes().splitlines() if line.strip()]
    return len(lines) - (sample.parent.name not in WITHOUT_HEADER) - preamble(sample)


@pytest.mark.parametrize("sample", LINES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_line_is_accounted_for(sample: Path) -> None:
    if isinstance(opened(sample.read_bytes(), source_of(sample)), Refusal):
        return
    found = readings(sample.read_bytes(), source_of(sample))
    assert len({line_place(row.place) for row, _ in found}) == counted_by_hand(sample)
    assert len({row.place for row, _ in found}) == len(found)


@pytest.mark.parametrize("sample", LINES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_refused_lines_are_given_back_once_and_read_again(sample: Path) -> None:
    described = source_of(sample)
    if isinstance(opened(sample.read_bytes(), described), Refusal):
        return
    refused = [read for _, read in readings(sample.read_bytes(), described) if isinstance(read, Unreadable)]
    found = opened(sample.read_bytes(), described)
    assert isinstance(found, OpenedFile)
    back = b"".join(rows_at_places(found, {read.place for read in refused}))
    every = opened(sample.read_bytes(), described)
    assert isinstance(every, OpenedFile)
    places = {row.place for row in every.rows}
    again_whole = opened(sample.read_bytes(), described)
    assert isinstance(again_whole, OpenedFile)
    assert b"".join(rows_at_places(again_whole, places)).strip() == sample.read_bytes().strip()
    head = (sample.parent.name not in WITHOUT_HEADER) + preamble(sample)
    lines = [line for line in back.splitlines() if line.strip()]
    assert len(lines) - head == len({line_place(read.place) for read in refused})
    assert set(lines) <= set(sample.read_bytes().splitlines())
    if refused and (head or any(b"|EUR|" in line for line in lines)):
        again = [read for _, read in readings(back, described)]
        assert [one.code for one in again if isinstance(one, Unreadable)] == [one.code for one in refused]


def test_every_sample_is_of_a_layout() -> None:
    folders = {path.name for path in SAMPLES.iterdir()} - {"hooks", "own"}
    assert folders == set(partner_layouts())


@pytest.mark.parametrize("name", partner_layouts())
def test_a_layout_says_only_what_is_read_and_all_that_is_needed(name: str) -> None:
    """A misspelt key would be a column or a meaning that nobody reads."""
    schema = json.loads(LAYOUT_SCHEMA.read_text("utf-8"))
    faults = [one.message for one in Draft202012Validator(schema).iter_errors(dict(partner_layouts()[name].body))]
    assert not faults


@pytest.mark.parametrize("name", partner_layouts())
def test_a_layout_has_a_sample_of_what_is_refused(name: str) -> None:
    """So that what is given back was seen; the rows of a layout of sales, or of no returns, are refused as a whole."""
    samples = [path for path in FILES if path.parent.name == name]
    assert samples, f"put a file as the system exports it into tests/samples/{name}/"
    readings = [json.loads(path.with_name(path.name + ".json").read_text("utf-8")) for path in samples]
    codes = [row.get("code") for read in readings for row in read.get("rows", ())]
    assert any(codes) or any("refused" in read for read in readings), f"{name}: no sample with an error"


def test_every_reason_of_a_layout_is_one_of_ours() -> None:
    standard = program({}).reasons
    for name, known in partner_layouts().items():
        reasons = {*known.body.get("reasons", {}).values(), known.body.get("reason_otherwise", "OTHER")}
        assert reasons <= standard, name


def test_no_two_layouts_claim_the_sample_of_one() -> None:
    for sample in LINES:
        if sample.parent.name in WITHOUT_HEADER or sample.name.startswith("ambiguous") or sample.suffix == ".xlsx":
            continue
        cells = re.split(r"[,;\t|]", sample.read_text().splitlines()[preamble(sample)])
        names = frozenset(re.sub(r"[\s_\-]", "", cell).casefold() for cell in cells)
        claiming = [name for name, known in partner_layouts().items() if known.claims(names)]
        assert claiming == [sample.parent.name], sample


def test_two_layouts_that_claim_a_file_are_a_refusal() -> None:
    body = b"PID,OID,ActionID,ActionTrackerID,AMOUNT,REASON\n1,A,7,sale,10,x\n"
    found = opened(body, {})
    assert isinstance(found, Refusal) and found.code == "LAYOUT_AMBIGUOUS"
    says = sentence(found.code, found.details)
    assert "impact.com" in says and "Pepperjam" in says and "mapping: layout" in says


def test_our_own_names_exactly_as_we_write_them_are_ours() -> None:
    found = opened(b"action_id,amount,reason\n7,10,OTHER\n", {})
    assert isinstance(found, OpenedFile) and found.layout == "modifications"


def test_a_source_that_means_something_else_by_amounts_is_asked_to_say_which() -> None:
    body = b"PID,OID,AMOUNT\n1,A,10\n"
    found = opened(body, {"amount_means": "take_back"})
    assert isinstance(found, Refusal) and found.code == "MEANING_CONTRADICTS"
    assert "mapping: layout: pepperjam" in sentence(found.code, found.details)
    pinned = readings(body, {"amount_means": "take_back", "mapping": {"layout": "pepperjam"}})
    assert [read.verb for _, read in pinned if isinstance(read, Modification)] == ["set_total"]


def test_a_pinned_layout_that_the_file_is_not_in_says_what_is_missing() -> None:
    found = opened(b"OrderId,Amount,Reason\nA,10,OTHER\n", {"mapping": {"layout": "impact-order"}})
    assert isinstance(found, Refusal) and found.code == "COLUMN_MISSING"
    assert "ActionID" in sentence(found.code, found.details)


def test_reasons_of_the_source_go_before_those_of_the_layout() -> None:
    body = b"PID,OID,AMOUNT,REASON\n1,A,10,because\n"
    read = readings(body, {"mapping": {"reasons": {"BECAUSE": "CANCELLED"}}})[0][1]
    assert isinstance(read, Modification) and read.reason == "CANCELLED" and read.note == "because"


def test_a_file_of_our_own_layout_without_header_is_not_taken_for_another() -> None:
    found = opened(b"A-1,x,1,2,3\nA-2,x,1,2,3\n", {})
    assert isinstance(found, Refusal) and found.code == "HEADER_NOT_FOUND"


def test_the_items_of_a_line_keep_their_order_before_the_next_line() -> None:
    body = (SAMPLES / "impact-items/from-1.csv").read_bytes()
    positions = [read.provenance.position for _, read in readings(body, {}) if isinstance(read, Modification)]
    assert positions == sorted(positions) and len(set(positions)) == len(positions)


def test_reading_is_the_same_in_a_workbook() -> None:
    rows = header(1, "PID", "OID", "AMOUNT", "REASON") + header(2, "1", "A-1", "12.50", "Fraud")
    body = workbook(("Corrections", rows))
    read = readings(body, {})[0][1]
    assert isinstance(read, Modification)
    assert (read.order_key, read.verb, read.reason) == ("A-1", "set_total", "CONS_FRAUD")
