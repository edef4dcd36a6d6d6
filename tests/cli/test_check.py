"""`retour program check FILE --source S`: what the hub understood of a sample, on the screen."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.fake_hub import FakeHub

from retour.cli import main

PATH = "POST /v1/programs/acme/sources/warehouse/check"
ROW = {"record": "2", "order_id": "A-1", "explanation": "Order A-1: 40.00 is taken back.", "code": "", "column": ""}
PAYOUT = {"before": "8.00", "after": "4.80", "difference": "-3.20"}
READABLE: dict[str, Any] = {
    "name": "may.csv",
    "source": "warehouse",
    "written": False,
    "state": "readable",
    "layout": {"id": "own", "title": "", "means": ""},
    "columns": [{"column": "order_id", "field": "order_id"}, {"column": "Farbe", "field": ""}],
    "counts": {"rows": 1, "readable": 1, "refused": 0},
    "sampled": False,
    "rows": [ROW],
    "warnings": [{"code": "CHECK_MEANING_OPEN", "explanation": "The source does not say what its amounts mean."}],
    "readings": [
        {
            "amount_means": "take_back",
            "declared": False,
            "example": ROW["explanation"],
            "counts": {"applied": 1},
            "total": {"currency": "EUR", "payout": PAYOUT},
        }
    ],
}
REFUSED: dict[str, Any] = {
    "name": "may.csv",
    "source": "warehouse",
    "written": False,
    "state": "refused",
    "code": "HEADER_NOT_FOUND",
    "explanation": "None of the first 2 lines is a known header.",
    "suggestion": {
        "applied": False,
        "explanation": "A suggestion based on the column names; it is not applied.",
        "mapping": {"columns": {"order_id": 'Bestell"nummer'}, "decimal": ","},
        "unsure": [{"code": "CHECK_UNSURE", "explanation": "Several columns could be amount: X, Y."}],
        "rows": [ROW],
    },
}


def checked(hub: FakeHub, tmp_path: Path, *more: str) -> int:
    (tmp_path / "may.csv").write_text("order_id,Farbe\nA-1,rot\n")
    where = ["--url", hub.url, "--key", "rk_x", "--program", "acme", "--source", "warehouse"]
    return main(["program", "check", "may.csv", *where, *more])


def test_a_sample_is_sent_and_told_row_by_row(hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.says(PATH, READABLE)
    assert checked(hub, tmp_path) == 0
    (asked,) = hub.of(PATH)
    assert asked.body == b"order_id,Farbe\nA-1,rot\n" and asked.query == {"name": "may.csv"}
    said = capsys.readouterr().out
    for part in (
        "Order A-1: 40.00 is taken back.",
        "not read",
        "does not say what",
        "-3.20 EUR",
        "Nothing was written.",
    ):
        assert part in said


def test_a_refused_sample_shows_the_suggestion_as_one(
    hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.says(PATH, REFUSED)
    assert checked(hub, tmp_path) == 1
    said = capsys.readouterr().out
    assert "HEADER_NOT_FOUND" in said and "not applied" in said and "Several columns" in said
    assert 'order_id: "Bestell\\"nummer"' in said and 'decimal: ","' in said


def test_as_json_it_is_what_the_hub_said(hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.says(PATH, {**READABLE, "counts": {"rows": 2, "readable": 1, "refused": 1}})
    assert checked(hub, tmp_path, "--json") == 1
    assert json.loads(capsys.readouterr().out)["rows"] == [ROW]
