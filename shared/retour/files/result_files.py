"""The files a sender finds beside the file they sent: the outcome of every row, the refused rows, the receipt."""

import csv
import io
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files

from retour.domain import money, times
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.row import Row, Unreadable, line_place
from retour.files import names
from retour.files.opened_file import OpenedFile
from retour.files.text import encode_raw

Sentence = Callable[[str, Mapping[str, str]], str]

COLUMNS = (
    "line", "reference", "order_id", "action_id", "outcome", "code", "column", "explanation",
    "payout_before", "payout_after", "currency", "modification",
)  # fmt: skip
FILE_COLUMNS = (
    "line", "reference", "order_id", "action_id", "change", "quantity", "amount", "currency", "outcome", "code",
    "column", "explanation", "amount_before", "amount_after", "payout_before", "payout_after", "payout_currency",
    "modification",
)  # fmt: skip
UTF8_BOM = b"\xef\xbb\xbf"
ROWS_PER_CHUNK = 500


@dataclass(frozen=True, slots=True)
class ResultFormat:
    """How the answer to a file is written: as the file itself, with what its sender may see of amounts and payouts."""

    delimiter: str = ","
    mark: str = "."
    amounts: bool = True

    def number(self, text: str) -> str:
        return text.replace(".", self.mark)


def result_csv(
    results: Iterable[Result], sentence: Sentence, payouts: bool = True, writing: ResultFormat | None = None
) -> Iterator[bytes]:
    """Every row with its outcome, as CSV that a spreadsheet opens as it is: UTF-8 with its mark, no cell a formula.

    `payouts=False` leaves the columns of payout out, for receivers who must not see them. `writing` tells what was read
    of each row as well, in the delimiter and with the decimal mark of the file.
    """
    columns = [name for name in (FILE_COLUMNS if writing else COLUMNS) if payouts or not name.startswith("payout")]
    if writing and not writing.amounts:
        columns = [name for name in columns if name not in ("amount_before", "amount_after")]
    out = io.StringIO()
    delimiter = writing.delimiter if writing else ","
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\r\n", delimiter=delimiter)
    writer.writeheader()
    mark = UTF8_BOM
    for count, result in enumerate(results, 1):
        cells = _result_cells(result, sentence) | (_input_cells(result, writing) if writing else {})
        writer.writerow({name: escape_formula(value) for name, value in cells.items()})
        if count % ROWS_PER_CHUNK == 0:
            yield mark + out.getvalue().encode("utf-8", "replace")
            mark = b""
            out.seek(0)
            out.truncate()
    yield mark + out.getvalue().encode("utf-8", "replace")


def _result_cells(result: Result, sentence: Sentence) -> dict[str, str]:
    effect = result.effect
    return {
        "line": result.place,
        "reference": result.reference,
        "order_id": result.order,
        "action_id": result.action,
        "outcome": str(result.outcome),
        "code": result.code,
        "column": result.column,
        "explanation": sentence(*result.reason) if result.reason[0] else "",
        "payout_before": money.to_text(effect.payout_before, effect.payout_currency) if effect else "",
        "payout_after": money.to_text(effect.payout_after, effect.payout_currency) if effect else "",
        "currency": effect.payout_currency if effect else "",
        "modification": result.modification,
    }


def _input_cells(result: Result, writing: ResultFormat) -> dict[str, str]:
    effect = result.effect
    amounts = {
        "amount": result.amount,
        "amount_before": money.to_text(effect.amount_before, effect.currency) if effect else "",
        "amount_after": money.to_text(effect.amount_after, effect.currency) if effect else "",
        "payout_before": money.to_text(effect.payout_before, effect.payout_currency) if effect else "",
        "payout_after": money.to_text(effect.payout_after, effect.payout_currency) if effect else "",
    }
    return {
        "change": result.change,
        "quantity": result.quantity,
        "currency": result.currency or (effect.currency if effect else ""),
        "payout_currency": effect.payout_currency if effect else "",
        **{name: writing.number(text) for name, text in amounts.items()},
    }


def escape_formula(text: str) -> str:
    """A cell that a spreadsheet shows and never runs. A plain negative number stays one."""
    if not text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return text
    try:
        money.parse_decimal(text.replace(",", ".", 1))
    except money.InvalidAmountError:
        return "'" + text
    return text


def rows_at_places(opened: OpenedFile, places: Container[str]) -> Iterator[bytes]:
    """The rows at these places of a file, and those that cannot be read, in exactly the layout they came in."""
    found = (row for row in opened.rows if row.place in places or isinstance(row, Unreadable))
    return _write_lines(opened, unique_lines((row.place, row.raw) for row in found))


def rejected_rows(opened: OpenedFile, results: Iterable[Result]) -> Iterator[bytes]:
    """The refused rows in exactly the layout they came in: corrected and sent again, they are read as they were.

    The outcomes of all rows come in the order of the rows, so that memory stays as it is. A row without an outcome of
    its own is a further line of the record before it.
    """
    return _write_lines(opened, unique_lines(_refused_lines(opened.rows, iter(results))))


def _refused_lines(rows: Iterable[Row | Unreadable], results: Iterator[Result]) -> Iterator[tuple[str, str]]:
    following, refused = next(results, None), False
    for row in rows:
        if following is not None and following.place == row.place:
            refused = following.outcome is Outcome.REFUSED
            following = next(results, None)
        if refused or isinstance(row, Unreadable):
            yield row.place, row.raw


def unique_lines(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The raw text of each line, however many of its items are given back."""
    before = None
    for place, raw in rows:
        if line_place(place) != before or line_place(place) == place:
            yield raw
        before = line_place(place)


def _write_lines(opened: OpenedFile, raws: Iterable[str]) -> Iterator[bytes]:
    if opened.write:
        yield from opened.write(raw for raw in raws if raw)
        return
    yield opened.rejected_head
    before = "\n"
    for raw in raws:
        if raw:
            between = "" if before.endswith(("\n", "\r")) else opened.newline
            yield encode_raw(between + raw, opened.encoding)
            before = raw
    yield opened.rejected_tail


@cache
def _texts() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(files("retour.files").joinpath("receipt.json").read_text("utf-8"))
    return found


def receipt_text(language: str, name: str, size: int, sha256: str, received_at: datetime, delivery: str) -> bytes:
    """What `receipt_<name>` says: the file arrived whole, when, and how to recognise it."""
    texts = _texts()["receipt"]
    sentence = texts.get(language, texts["en"])
    at = times.format_instant(received_at)
    answers = {"result": names.result_name(name), "rejected": names.rejected_name(name)}
    text = sentence.format(name=name, size=size, sha256=sha256, received_at=at, delivery=delivery, **answers)
    return text.encode("utf-8", "replace")
