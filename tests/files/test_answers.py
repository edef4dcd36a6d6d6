import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from retour.domain.actions.outcome import Effect, Outcome, Result
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.result_files import ResultFormat, escape_formula, receipt_text, rejected_rows, result_csv
from retour.sentences import LANGUAGES


def say(code: str, details: Mapping[str, str]) -> str:
    return f"{code} {details}"


def table(content: bytes) -> list[dict[str, str]]:
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_every_row_has_its_outcome() -> None:
    effect = Effect("EUR", "EUR", 10000, 8000, 800, 640, 1)
    results = [
        Result(place="2", outcome=Outcome.APPLIED, reference="R-1", order="A-1", modification="A-1~ab", effect=effect),
        Result(place="3", outcome=Outcome.REFUSED, order="=cmd|' /C calc'!A0", code="ACTION_LOCKED", column="=Betrag"),
    ]
    first, second = table(b"".join(result_csv(results, say)))
    assert first == {
        "line": "2", "reference": "R-1", "order_id": "A-1", "action_id": "", "outcome": "applied", "code": "",
        "column": "", "explanation": "", "payout_before": "8.00", "payout_after": "6.40", "currency": "EUR",
        "modification": "A-1~ab",
    }  # fmt: skip
    assert second["order_id"] == "'=cmd|' /C calc'!A0"
    assert (second["column"], second["explanation"]) == ("'=Betrag", "ACTION_LOCKED {}")
    assert "payout_before" not in table(b"".join(result_csv(results, say, payouts=False)))[0]


def test_the_answer_to_a_file_is_written_as_the_file() -> None:
    effect = Effect("JPY", "EUR", 10000, 8000, 800, 640, 1)
    results = [
        Result(place="2", outcome=Outcome.APPLIED, change="take_back", amount="2000", currency="JPY", effect=effect),
        Result(place="3", outcome=Outcome.WAITING, change="take_back", amount="-12.50", quantity="2"),
    ]
    content = b"".join(result_csv(results, say, writing=ResultFormat(";", ",")))
    lines = content.decode("utf-8-sig").splitlines()
    assert lines[0].split(";")[4:8] == ["change", "quantity", "amount", "currency"]
    first, second = csv.DictReader(lines, delimiter=";")
    assert (first["amount"], first["amount_before"], first["amount_after"]) == ("2000", "10000", "8000")
    assert (first["payout_before"], first["payout_after"], first["payout_currency"]) == ("8,00", "6,40", "EUR")
    assert (second["amount"], second["quantity"]) == ("-12,50", "2")
    by_mail = b"".join(result_csv(results, say, False, ResultFormat("\t", ".", amounts=False))).decode().splitlines()[0]
    assert "before" not in by_mail and "\tamount\t" in by_mail


def test_a_long_result_comes_in_pieces_that_make_one_file() -> None:
    results = (Result(place=str(line), outcome=Outcome.WAITING) for line in range(2, 1702))
    pieces = list(result_csv(results, say))
    assert len(pieces) > 3
    assert [row["line"] for row in table(b"".join(pieces))] == [str(line) for line in range(2, 1702)]
    assert table(b"".join(result_csv([], say))) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+49", "+49"),
        ("-12.50", "-12.50"),
        ("-1+1", "'-1+1"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        ("x", "x"),
    ],
)
def test_no_cell_is_a_formula(text: str, shown: str) -> None:
    assert escape_formula(text) == shown


def test_only_refused_rows_are_rejected_in_the_bytes_they_came_in() -> None:
    content = "\ufeffsep=;\r\norder_id;change;note\r\nA-1;reverse;ä\r\nA-2;reverse;ö\nA-3;reverse;ü".encode()
    opened = open_file("x", io.BytesIO(content), Source(name="s", channel=Channel.SFTP))
    assert isinstance(opened, OpenedFile)
    outcomes = {"3": Outcome.REFUSED, "4": Outcome.APPLIED, "5": Outcome.REFUSED}
    results = [Result(place=place, outcome=outcome) for place, outcome in outcomes.items()]
    assert b"".join(rejected_rows(opened, results)) == content.replace("A-2;reverse;ö\n".encode(), b"")


@pytest.mark.parametrize("language", [*LANGUAGES, "xx"])
def test_the_receipt_names_the_file_and_its_answers(language: str) -> None:
    text = receipt_text(language, "may.csv", 12, "ab" * 32, datetime(2026, 5, 1, tzinfo=UTC), "20260501T-x").decode()
    for part in ("may.csv", "12", "ab" * 32, "2026-05-01T00:00:00.000Z", "20260501T-x", "result_may.csv.csv"):
        assert part in text
    assert "{" not in text


def test_beside_its_outcomes_a_file_gives_back_its_refused_rows_with_all_their_lines() -> None:
    """Reported actions have several rows each, and one outcome: a refused one comes back whole."""
    content = b"order_id,sku,amount\nA-1,x,1\nA-1,y,2\nA-2,x,3\nA-3,x,4\nA-3,y,5\n"
    found = open_file("x.csv", io.BytesIO(content), Source(name="s", channel=Channel.SFTP), "actions")
    assert isinstance(found, OpenedFile)
    results = [
        Result(place="2", outcome=Outcome.REFUSED),
        Result(place="4", outcome=Outcome.APPLIED),
        Result(place="5", outcome=Outcome.REFUSED),
    ]
    assert b"".join(rejected_rows(found, results)) == content.replace(b"A-2,x,3\n", b"")
