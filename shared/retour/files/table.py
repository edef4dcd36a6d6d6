"""Delimited text to rows: nothing guessed, nothing dropped, every line accounted for (spec 7).

A row is refused on its own if its line alone shows the fault. After a quote that is never closed, all lines are
refused.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from io import BufferedReader
from itertools import chain, islice

from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files import layout as layouts
from retour.files.fast_lines import DELIMITERS, FastRow, FastTable, column_fields, compile_fast_table
from retour.files.layout import Layout, fold_name
from retour.files.opened_file import OpenedFile
from retour.files.text import (
    FILE_BYTES_MAX,
    LINE_CHARS_MAX,
    UNDECODED,
    UNPRINTABLE,
    FileTooLargeError,
    detect_encoding,
    encode_raw,
    is_utf8,
    physical_lines,
)
from retour.files.text import SNIFF_BYTES as HEAD_BYTES
from retour.numbers import TypedNumber
from retour.numbers import parse_number as amount_in

HEADER_LINES_MAX = 50
CELL_CHARS_MAX = 10_000
RECORD_LINES_MAX = 100
TOTALS_LINE = re.compile(
    r"[*=#\s-]*(?:(?:grand|sub|sous|net|page|end)[\s-]*)?"
    r"(?:totals?|sums?|summen?|gesamt(?:summe|betrag)?|zwischensummen?|endsumme|insgesamt|sommes?|totaux|totale|totaal|suma"
    r"|razem|(?:number|count|end) of \w+|counts?|anzahl|nombre|records|zeilen|lignes|trailer|eof|fin de \w+)"
    r"(?![\w/_-])(?P<more>[^\n]{0,60})",
    re.IGNORECASE,
)
FIGURE = re.compile(r"(?:[A-Za-z]{3}|[^\w\s])?\s?[-+(]?\d[\d.,'\s]{0,30}[-)%]?\s?(?:[A-Za-z]{3}|[^\w\s])?")
SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
FORMULA_TEXT = re.compile(r'="(.*)"', re.DOTALL)
DAMAGED_ID = re.compile(r"[0-9]([.,][0-9]+)?[eE]\+[0-9]+|#(REF!|N/A|NAME\?|VALUE!|NULL!|DIV/0!|NUM!)|#{3,}")
ID_LIKE = re.compile(r"[^\s\d]*\d\S*")
AMOUNT_LIKE = re.compile(r"[-+(]?[\d.,' \u2019\u00a0\u202f\u2009\u2212]{0,40}\d[\d.,' \u00a0\u202f]{0,40}[-)]?")
FLOAT_ID = re.compile(r"[0-9]+\.0")


class QuoteFault(Enum):
    """Faults in a line's quotes."""

    OPEN = "open"
    MISPLACED = "misplaced"


def split_cells(text: str, delimiter: str) -> list[str] | QuoteFault:
    """Split a record into cells. Quotes are special at the beginning of a cell only, and must close at its end.

    Elsewhere a quote is an ordinary character, as in 5" pipe. But if one cell has a quote that could open and a later
    cell one that closes it, a separator is missing before the quote, and the line is a fault.
    """
    if '"' not in text:
        return text.split(delimiter)
    cells: list[str] = []
    opened = False
    at, end = 0, len(text)
    while True:
        start = at
        while start < end and text[start] == " ":
            start += 1
        if start < end and text[start] == '"':
            close = text.find('"', start + 1)
            while close != -1 and text.startswith('"', close + 1):
                close = text.find('"', close + 2)
            if close == -1:
                return QuoteFault.OPEN
            cells.append(text[start + 1 : close].replace('""', '"'))
            at = close + 1
            while at < end and text[at] == " ":
                at += 1
            if at < end and text[at] != delimiter:
                return QuoteFault.MISPLACED
        else:
            stop = text.find(delimiter, at)
            stop = end if stop == -1 else stop
            cell = text[at:stop]
            if cell.count('"') % 2:
                if opened and cell.endswith('"'):
                    return QuoteFault.MISPLACED
                opened = opened or not cell.endswith('"')
            cells.append(cell)
            at = stop
        if at >= end:
            return cells
        at += 1


@dataclass(frozen=True)
class TableShape:
    """How a table is read: its columns in order and its delimiter.

    `mark` is the decimal mark of its `amounts`, used where neither the source nor the cell decides.
    """

    header: tuple[str, ...]
    written: tuple[str, ...]
    line: int
    delimiter: str
    layout: Layout
    prefix: str = ""
    declared: str = ""
    amounts: frozenset[str] = frozenset()
    mark: str = ""

    @cached_property
    def nameless(self) -> tuple[int, ...]:
        """Columns without a name, which must be empty; except for row numbers (pandas)."""
        return tuple(at for at, name in enumerate(self.header) if not name)

    @cached_property
    def named(self) -> int:
        return len(self.header) - len(self.nameless)

    def is_stray(self, cells: Sequence[str]) -> bool:
        """Whether a row has a value in a nameless column. Row numbers in the first column are tolerated."""
        for at in self.nameless:
            if (text := cells[at].strip()) and not (at == 0 and text.isascii() and text.isdigit()):
                return True
        return False


@dataclass(slots=True)
class NumberedLines:
    """Physical lines, with the number of the last one read."""

    source: Iterator[str]
    number: int = 0

    def __iter__(self) -> Iterator[str]:
        for text in self.source:
            self.number += 1
            yield text


def read(stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> OpenedFile | Refusal:
    """Read a delimited text. `prefix` goes before the line number in places."""
    encoding = detect_encoding(stream.peek(HEAD_BYTES)[:HEAD_BYTES], source.mapping.get("encoding"))
    if encoding is None:
        return Refusal("ENCODING_UNCLEAR", {"line": "1"})
    numbered = NumberedLines(physical_lines(stream, encoding))
    try:
        first = list(islice(numbered, HEADER_LINES_MAX))
    except FileTooLargeError:
        return Refusal("FILE_TOO_LARGE", {"line": "1", "limit": megabytes_text(FILE_BYTES_MAX)})
    if not "".join(first).strip("\x1a \t\r\n"):
        return Refusal("FILE_EMPTY")
    shape = find_header(first, source, layout, prefix)
    if isinstance(shape, Refusal):
        return shape
    head, rest = first[: shape.line], first[shape.line :]
    shape = replace(shape, declared=encoding.codec if encoding.fallback else "")
    shape = with_decimal_mark(shape, (split_cells(text.rstrip("\r\n"), shape.delimiter) for text in rest), source)
    newline = next((end for end in ("\r\n", "\n", "\r") if first[shape.line - 1].endswith(end)), "\n")
    whole = "".join(head) if not head or head[-1].endswith(newline) else "".join(head) + newline
    skipped = Counter({"preamble": shape.line - 1} if shape.line > 1 else {})
    after = NumberedLines(chain(rest, numbered), shape.line)
    plain = compile_fast_table(
        shape.header, shape.written, shape.delimiter, prefix, source, shape.layout, decimal_mark=shape.mark
    )
    return OpenedFile(
        header=shape.header,
        layout=shape.layout.name,
        rows=_rows(after, shape, plain, skipped),
        rejected_head=encoding.mark + encode_raw(whole, encoding.codec),
        encoding=encoding.codec,
        newline=newline,
        delimiter=shape.delimiter,
        mark=shape.mark,
        skipped=skipped,
    )


def find_header(first: Sequence[str], source: Source, layout: Layout, prefix: str = "") -> TableShape | Refusal:
    """The header among the first lines: the one with the most known names, the earliest if equal."""
    separator = SEPARATOR.fullmatch(first[0])
    declared = source.mapping.get("delimiter") or (separator[1] if separator else None)
    delimiters = (declared,) if declared else DELIMITERS
    meant = layouts.identify_layout(list(_possible_headers(first, delimiters)), layout)
    if isinstance(meant, Refusal):
        return meant
    layout = meant
    if layout.positions:
        return _positional_shape(first, delimiters, layout, prefix)
    best: tuple[int, TableShape] | None = None
    for number, text in enumerate(first, 1):
        for delimiter in delimiters:
            # A second byte order mark, from two programs that each wrote one.
            cells = split_cells(text.rstrip("\r\n").lstrip("\ufeff"), delimiter)
            if isinstance(cells, QuoteFault):
                continue
            points = layouts.header_score(cells, layout)
            if points > (best[0] if best else 0):
                header = layouts.spell_header(cells, layout)
                best = points, TableShape(header, tuple(cells), number, delimiter, layout, prefix)
    if best:
        return layouts.header_fault(best[1].header, layout, best[1].line) or best[1]
    for number, text in enumerate(first, 1):
        if UNDECODED.search(text):
            code, details = decoding_fault(text, number, str(source.mapping.get("encoding") or ""))
            return Refusal(code, details)
    expected = sorted(layout.required | layout.identity) if not layout.closed else layout.told or layout.known
    return Refusal("HEADER_NOT_FOUND", {"lines": str(len(first)), "expected": ", ".join(expected)})


def with_decimal_mark(shape: TableShape, rows: Iterable[Sequence[str] | QuoteFault], source: Source) -> TableShape:
    """The shape with the decimal mark its first amounts agree on, if the source declares none.

    At least two amounts must be unambiguous and none may contradict them; otherwise each amount is judged on its own.
    Numbers that the file stores as numbers do not count.
    """
    names = frozenset() if source.mapping.get("decimal") else amount_columns(shape, source)
    found: Counter[str] = Counter()
    for cells in rows if names else ():
        if isinstance(cells, QuoteFault) or len(cells) != len(shape.header):
            continue
        for name, cell in zip(shape.header, cells, strict=True):
            if name in names and not isinstance(cell, TypedNumber) and AMOUNT_LIKE.fullmatch(amount := cell.strip()):
                marks = [mark for mark in ".," if digits_of(amount, mark)]
                found.update(marks if len(marks) == 1 else ())
    [(mark, times)] = found.items() if len(found) == 1 else [("", 0)]
    return replace(shape, amounts=names, mark=mark) if times > 1 else shape


def amount_columns(shape: TableShape, source: Source) -> frozenset[str]:
    """The columns with amounts, by the source's mapping or a partner layout."""
    owner = shape.layout.owner
    if owner:
        return frozenset(name for name in shape.header if owner.field_of(name)[0] in ("amount", "price", "discount"))
    fields = zip(shape.header, column_fields(shape.header, source), strict=True)
    return frozenset(name for name, field in fields if field == "amount")


def digits_of(amount: str, mark: str) -> str:
    """An amount's digits if it uses this decimal mark, with a point before the decimals; otherwise empty."""
    try:
        return f"{amount_in(amount, mark):f}"
    except ValueError:
        return ""


def _possible_headers(first: Sequence[str], delimiters: Sequence[str]) -> Iterator[Sequence[str]]:
    for text in first:
        for delimiter in delimiters:
            cells = split_cells(text.rstrip("\r\n").lstrip("\ufeff"), delimiter)
            if not isinstance(cells, QuoteFault):
                yield cells


def _positional_shape(
    first: Sequence[str], delimiters: Sequence[str], layout: Layout, prefix: str
) -> TableShape | Refusal:
    """The shape of a table without header, whose columns are known by position, as many as most rows have."""
    found: Counter[tuple[str, int]] = Counter()
    for text in first:
        for delimiter in delimiters:
            cells = split_cells(text.rstrip("\r\n"), delimiter)
            if not isinstance(cells, QuoteFault) and layout.owner and layout.owner.matches_positions(cells):
                found[delimiter, len(cells)] += 1
    if found:
        [((delimiter, width), _)] = found.most_common(1)
        header = layout.positions[:width]
        return TableShape(header, header, 0, delimiter, layout, prefix)
    return Refusal("HEADER_NOT_FOUND", {"lines": str(len(first)), "expected": ", ".join(layout.positions)})


def _rows(
    numbered: NumberedLines, shape: TableShape, plain: FastTable | None, skipped: Counter[str]
) -> Iterator[Row | Unreadable]:
    try:
        yield from _records(numbered, shape, plain, skipped)
    except FileTooLargeError:
        line = numbered.number + 1
        yield Unreadable(
            row_place(shape, line), "FILE_TOO_LARGE", {"line": str(line), "limit": megabytes_text(FILE_BYTES_MAX)}
        )


def _records(
    numbered: NumberedLines, shape: TableShape, plain: FastTable | None, skipped: Counter[str]
) -> Iterator[Row | Unreadable]:
    for raw in numbered:
        number = numbered.number
        if plain and (found := plain.match(raw)):
            yield FastRow(plain, number, found)
            continue
        text = raw.rstrip("\r\n")
        if not text.isprintable() and (fault := unprintable_fault(text, number, shape)):
            if text.strip("\x1a"):
                yield make_unreadable(fault[0], fault[1], number, raw, shape)
            else:
                skipped["blank"] += 1
            continue
        if len(text) > CELL_CHARS_MAX and len(text) > LINE_CHARS_MAX:
            details = {"line": str(number), "limit": str(LINE_CHARS_MAX)}
            whole = raw if raw.endswith(("\n", "\r")) else ""
            yield make_unreadable("CELL_TOO_LONG", details, number, whole, shape)
            continue
        cells: list[str] | QuoteFault = (
            text.split(shape.delimiter) if '"' not in text else split_cells(text, shape.delimiter)
        )
        if cells is QuoteFault.OPEN:
            taken = [raw]
            cells = _read_quoted(taken, numbered, shape)
            if cells is QuoteFault.OPEN:
                yield from _refuse_rest(taken, numbered, number, shape, skipped)
                return
            raw = "".join(taken)
        if isinstance(cells, QuoteFault):
            yield make_unreadable("QUOTE_MISPLACED", {"line": str(number)}, number, raw, shape)
            continue
        row = make_row(cells, raw, number, shape)
        if isinstance(row, str):
            skipped[row] += 1
        else:
            yield row


def _read_quoted(taken: list[str], numbered: NumberedLines, shape: TableShape) -> list[str] | QuoteFault:
    """Read a record whose quote is open at the end of its first line; appends its lines to `taken`.

    The quote counts as never closed at the end of the text, beyond the size limit, or if one of the lines is a record
    by itself (same width and an id): then a quote is missing, and other rows would be swallowed.
    """
    length = len(taken[0])
    for raw in numbered:
        taken.append(raw)
        length += len(raw)
        text = raw.rstrip("\r\n")
        if (
            len(taken) > RECORD_LINES_MAX
            or length > CELL_CHARS_MAX
            or _is_own_record(text, shape)
            or UNPRINTABLE.search(text)
        ):
            return QuoteFault.OPEN
        if '"' in text:
            cells = split_cells("".join(taken).rstrip("\r\n"), shape.delimiter)
            if not isinstance(cells, QuoteFault):
                return [cell.replace("\r\n", "\n") for cell in cells]
            if cells is QuoteFault.MISPLACED:
                return QuoteFault.OPEN
    return QuoteFault.OPEN


def _is_own_record(text: str, shape: TableShape) -> bool:
    """Whether a further line of a quoted cell is a complete record. A comment may have as many commas, but no id."""
    cells = text.split(shape.delimiter)
    if len(shape.header) < 2 or len(cells) != len(shape.header):
        return False
    named = [cell.strip() for name, cell in zip(shape.header, cells, strict=True) if name in shape.layout.identity]
    return any(ID_LIKE.fullmatch(cell) for cell in named)


def _refuse_rest(
    taken: Sequence[str], numbered: NumberedLines, start: int, shape: TableShape, skipped: Counter[str]
) -> Iterator[Unreadable]:
    """Refuse every line from an unclosed quote on, one by one, so that each is returned."""
    details = {"line": str(start)}
    refused: Unreadable | None = None
    following = ((numbered.number, raw) for raw in numbered)
    for number, raw in chain(enumerate(taken, start), following):
        if raw.strip():
            if refused:
                yield refused
            refused = Unreadable(row_place(shape, number), "QUOTE_NOT_CLOSED", details, raw=raw)
        elif refused:
            # A blank line may belong to the open cell, so it stays with the line before it.
            refused = replace(refused, raw=refused.raw + raw)
            skipped["blank"] += 1
    if refused:
        yield refused


def unprintable_fault(text: str, number: int, shape: TableShape) -> tuple[str, Mapping[str, str]] | None:
    if not (found := UNPRINTABLE.search(text)):
        return None
    if UNDECODED.search(text):
        return decoding_fault(text, number, shape.declared)
    return "NOT_TEXT", {"line": str(number), **control(found[0]), "column": str(found.start() + 1)}


def control(character: str) -> Mapping[str, str]:
    """The code point of a control character, for messages. Well-known ones have a case of their own."""
    case = {"\r": "RETURN", "\ufeff": "MARK"}.get(character)
    return {"character": f"U+{ord(character):04X}", **({"case": case} if case else {})}


def decoding_fault(text: str, number: int, declared: str) -> tuple[str, Mapping[str, str]]:
    """The fault of undecodable bytes, or of bytes that could also be UTF-8."""
    if declared and is_utf8(text):
        return "ENCODING_UNCLEAR", {"line": str(number), "declared": declared, "case": "UTF8"}
    return "ENCODING_UNCLEAR", {"line": str(number)}


def make_row(cells: list[str], raw: str, line: int, shape: TableShape) -> Row | Unreadable | str:
    """A row, its fault, or the reason to skip the line. A row must be as wide as the header (spec 7)."""
    if not any(cell.strip() for cell in cells):
        return "blank"
    if len(cells) != len(shape.header):
        if is_totals(cells, shape):
            return "totals"
        return _wrong_width(len(cells), len(shape.header), line, raw, shape)
    if cells[0] == shape.written[0] and [fold_name(cell) for cell in cells] == [
        fold_name(cell) for cell in shape.written
    ]:
        return "repeated header"
    if is_totals(cells, shape):
        return "totals"
    if shape.is_stray(cells):
        return _wrong_width(sum(1 for cell in cells if cell.strip()), shape.named, line, raw, shape)
    fields = {name: value for name, cell in zip(shape.header, cells, strict=True) if name and (value := cell.strip())}
    if not fields:
        return "blank"
    if len(shape.header) == 1 and (parts := max(len(raw.split(sign)) for sign in DELIMITERS)) > 1:
        # Single-column table: any separator means that the row is not what it seems.
        return _wrong_width(parts, 1, line, raw, shape)
    if len(raw) > CELL_CHARS_MAX:
        for name, value in fields.items():
            if len(value) > CELL_CHARS_MAX:
                details = {"line": str(line), "limit": str(CELL_CHARS_MAX)}
                return make_unreadable("CELL_TOO_LONG", details, line, raw, shape, name, fields)
    if '="' in raw:
        unwrapped = {name: _unwrap_formula(value) for name, value in fields.items()}
        fields = {name: value for name, value in unwrapped.items() if value}
    for name in shape.layout.ids & fields.keys():
        value = fields[name]
        if value[0] == "'" and value[1:].isalnum():
            fields[name] = value = value[1:]
        if code := damage_code(value):
            details = {"line": str(line), "column": name, "value": value[:40], "right": value.partition(".")[0][:40]}
            return make_unreadable(code, details, line, raw, shape, name, fields)
    for name in shape.amounts & fields.keys():
        # Three digits after a point are ambiguous even among points: prices have two decimals.
        value = fields[name]
        if isinstance(value, TypedNumber):
            continue
        if AMOUNT_LIKE.fullmatch(value) and (shape.mark == "," or "," in value):
            if not (digits := digits_of(value, shape.mark)):
                other = "," if shape.mark == "." else "."
                right = digits_of(value, other).replace(".", shape.mark)
                details = {"value": value[:40], "mark": shape.mark, "other": other, "right": right, "case": "FILE"}
                return make_unreadable("AMOUNT_OTHER_MARK", details, line, raw, shape, name, fields)
            fields[name] = TypedNumber(value, digits)
    return Row(row_place(shape, line), fields, raw)


def damage_code(value: str) -> str:
    """The code of the damage a program has done to an id, or empty."""
    if ("+" in value or "#" in value) and DAMAGED_ID.fullmatch(value):
        return "DAMAGED_ID"
    return "ID_WITH_DECIMALS" if value.endswith(".0") and FLOAT_ID.fullmatch(value) else ""


def _wrong_width(found: int, expected: int, number: int, raw: str, shape: TableShape) -> Unreadable:
    details = {"line": str(number), "found": str(found), "expected": str(expected)}
    return make_unreadable("ROW_WIDTH", details, number, raw, shape)


def _unwrap_formula(value: str) -> str:
    """The text of a cell written as a formula, `="00123"`."""
    found = FORMULA_TEXT.fullmatch(value)
    return found[1] if found else value


def is_totals(cells: Sequence[str], shape: TableShape) -> bool:
    """Whether a line is a totals row: its first text says so, it has no order, and the rest are figures."""
    first, *others = [text for cell in cells if (text := cell.strip())] or [""]
    found = TOTALS_LINE.match(first)
    if not found or found.end() < len(first):
        return False
    if len(cells) == len(shape.header):
        named = [cell.strip() for name, cell in zip(shape.header, cells, strict=True) if name in shape.layout.identity]
        if any(text not in ("", first) for text in named):
            return False
        if not found["more"].strip(" :=*-"):
            return True
    return all(FIGURE.fullmatch(text) or TOTALS_LINE.fullmatch(text) for text in others)


def make_unreadable(
    code: str,
    details: Mapping[str, str],
    number: int,
    raw: str,
    shape: TableShape,
    column: str = "",
    fields: Mapping[str, str] | None = None,
) -> Unreadable:
    cells = fields or {}
    order = next((cells[name] for name in shape.layout.known if name in shape.layout.identity and name in cells), "")
    reference = cells.get(shape.layout.reference, "")
    return Unreadable(row_place(shape, number), code, details, column, raw, order[:128], reference[:128])


def row_place(shape: TableShape, number: int) -> str:
    return f"{shape.prefix}{number}"


def megabytes_text(size: int) -> str:
    return str(size >> 20)
