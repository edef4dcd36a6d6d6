"""The files returned to a sender: the outcome of every row, the refused rows, the receipt."""

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
from retour.languages import Texts, with_further_languages

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
    """How a result file is written: delimiter and decimal mark of the input, and which values the sender may see."""

    delimiter: str = ","
    mark: str = "."
    amounts: bool = True

    def number(self, text: str) -> str:
        return text.replace(".", self.mark)


def result_csv(
    results: Iterable[Result], sentence: Sentence, payouts: bool = True, writing: ResultFormat | None = None
) -> Iterator[bytes]:
    """Every row with its outcome, as CSV that spreadsheets open safely: UTF-8 with a BOM, formulas escaped.

    `payouts=False` omits the payout columns. `writing` adds the values read from each row and uses the input's
    delimiter and decimal mark.
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
    """Prevent a spreadsheet from running a cell as a formula. Plain negative numbers stay as they are."""
    if not text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return text
    try:
        money.parse_decimal(text.replace(",", ".", 1))
    except money.InvalidAmountError:
        return "'" + text
    return text


def rows_at_places(opened: OpenedFile, places: Container[str]) -> Iterator[bytes]:
    """The rows at these places, and unreadable ones, in exactly the input's layout."""
    found = (row for row in opened.rows if row.place in places or isinstance(row, Unreadable))
    return _write_lines(opened, unique_lines((row.place, row.raw) for row in found))


def rejected_rows(opened: OpenedFile, results: Iterable[Result]) -> Iterator[bytes]:
    """The refused rows in exactly the input's layout, so that they can be corrected and sent again.

    `results` must be in row order, so that memory stays constant. A row without a result belongs to the record before
    it.
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
    """The raw text of each line once, even if several of its items are returned."""
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
def _texts() -> Texts:
    found: Texts = json.loads(files("retour.files").joinpath("receipt.json").read_text("utf-8"))
    return with_further_languages(found, "file/")


def receipt_text(language: str, name: str, size: int, sha256: str, received_at: datetime, delivery: str) -> bytes:
    """The content of `receipt_<name>`: that the file arrived complete, when, and its hash."""
    texts = _texts()["receipt"]
    sentence = texts.get(language, texts["en"])
    at = times.format_instant(received_at)
    answers = {"result": names.result_name(name), "rejected": names.rejected_name(name)}
    text = sentence.format(name=name, size=size, sha256=sha256, received_at=at, delivery=delivery, **answers)
    return text.encode("utf-8", "replace")
