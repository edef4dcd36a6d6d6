"""JSON to rows, streamed: one object per line, a list of objects, or an object with such a list in one field.

Parsing is strict: no duplicate keys, numbers by their digits, never floats. A faulty line is refused on its own. If a
list is malformed, earlier records stay valid and everything after them is refused and returned.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.cells import NearestNames, Spelling, make_row, make_unreadable
from retour.files.layout import Layout, fold_name
from retour.files.opened_file import OpenedFile
from retour.files.table import megabytes_text
from retour.files.text import (
    FILE_BYTES_MAX,
    LINE_CHARS_MAX,
    SNIFF_BYTES,
    Encoding,
    FileTooLargeError,
    detect_encoding,
    encode_raw,
    physical_lines,
)
from retour.files.xml import split_at_tags
from retour.numbers import TypedNumber
from retour.sentences import excerpt

RECORD_CHARS_MAX = LINE_CHARS_MAX
CHUNK_BYTES = 1 << 16
DIGITS_MAX = 18
FIELDS_MAX = 500
WHOLE_NUMBERS = ("quantity", "line")
WRAPPER = re.compile(r'\s*\{\s*"((?:[^"\\]|\\.){1,100})"\s*:\s*\[\s*')
LIST = re.compile(r"\s*\[\s*")
WHITESPACE = re.compile(r"[ \t\r\n]*")
NEXT_RECORD = re.compile(r",\s*\{")


class DuplicateKeyObject(dict[str, Any]):
    """An object with a duplicate key, `twice`."""

    twice = ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled = DuplicateKeyObject(found)
    doubled.twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    return doubled


DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=TypedNumber, parse_int=TypedNumber, parse_constant=TypedNumber
)


@dataclass(frozen=True, slots=True)
class RecordFrame:
    """The text around the records: JSON lines, or a list that begins with `head` and ends with `tail`."""

    lines: bool
    head: str = ""
    tail: str = ""


def read(stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> OpenedFile | Refusal:
    """Read JSON or JSON lines. `prefix` goes before the record number in places."""
    head = stream.peek(SNIFF_BYTES)[:SNIFF_BYTES]
    encoding = detect_encoding(head, None)
    if encoding is None:
        return Refusal("ENCODING_UNCLEAR", {"line": "1"})
    text = codecs.getincrementaldecoder(encoding.codec)("retour.keep").decode(head[len(encoding.mark) :])
    frame = frame_of(text, layout)
    if frame is None:
        return Refusal("JSON_NO_RECORDS", {"name": layout.name if layout.closed else "returns"})
    skipped: Counter[str] = Counter()
    records = RecordReader(source, layout, prefix)
    return OpenedFile(
        header=tuple(dict.fromkeys(records.spelling[name] for name in field_names(text[len(frame.head) :]))),
        layout=layout.name,
        rows=records_by_line(stream, encoding, records, skipped)
        if frame.lines
        else records_of_list(stream, encoding, frame, records),
        rejected_head=encoding.mark + encode_raw(frame.head, encoding.codec),
        encoding=encoding.codec,
        newline="\n" if frame.lines else ",\n",
        skipped=skipped,
        rejected_tail=encode_raw(frame.tail, encoding.codec),
    )


def frame_of(text: str, layout: Layout) -> RecordFrame | None:
    """Detect how a text holds its records, from its beginning. None if it holds none."""
    if found := LIST.match(text):
        return RecordFrame(False, found[0], "\n]\n")
    first, _, more = text.lstrip().partition("\n")
    if parse_object(first) is not None and more.strip():
        return RecordFrame(True)
    wrapped = WRAPPER.match(text)
    if wrapped and (fold_name(wrapped[1]) == fold_name(layout.name) or not layout.closed):
        return RecordFrame(False, wrapped[0], "\n]}\n")
    if parse_object(first) is not None or any(parse_object(line) is not None for line in more.split("\n")[:5]):
        return RecordFrame(True)
    return RecordFrame(False) if not wrapped and text.lstrip().startswith("{") else None


def parse_object(line: str) -> dict[str, Any] | None:
    """Parse a complete object; None for anything else."""
    try:
        value = DECODER.decode(line)
    except (json.JSONDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def field_names(text: str) -> tuple[str, ...]:
    """The field names of the first record, if it can be parsed."""
    try:
        value, _ = DECODER.raw_decode(text, WHITESPACE.match(text).end())  # type: ignore[union-attr]  # it matches nothing as well
    except (json.JSONDecodeError, RecursionError):
        return ()
    return tuple(value)[:FIELDS_MAX] if isinstance(value, dict) else ()


class RecordReader:
    """Converts JSON objects to rows, as the source declares."""

    def __init__(self, source: Source, layout: Layout, prefix: str) -> None:
        self.layout, self.prefix = layout, prefix
        self.spelling = Spelling(layout)
        self.known = frozenset(layout.known)
        self.nearest = NearestNames(layout.known)
        self.mark = str(source.mapping.get("decimal") or ".")

    def read(self, value: Any, raw: str, place: int, line: int) -> Row | Unreadable:
        at = f"{self.prefix}{place}"
        if not isinstance(value, dict):
            return Unreadable(at, "NOT_AN_OBJECT", {"value": excerpt(raw.strip())}, raw=raw)
        fields: dict[str, str] = {}
        seen: set[str] = set()
        fault: tuple[str, Mapping[str, str], str] | None = None
        if isinstance(value, DuplicateKeyObject):
            fault = "DUPLICATE_KEY", {"key": excerpt(value.twice)}, excerpt(value.twice)
        for given, content in value.items():
            name = self.spelling[given]
            if name in seen:
                fault = fault or ("DUPLICATE_KEY", {"key": excerpt(name)}, excerpt(name))
            seen.add(name)
            if content is None or len(seen) > FIELDS_MAX:
                continue
            if fault and name not in self.known:
                continue
            text = self._text(name, content)
            if isinstance(text, str):
                if text := text.strip():
                    fields[name] = text
            else:
                fault = fault or text
        if fault:
            # With a duplicate key, order id and reference are not trustworthy either.
            sure = {name: text for name, text in fields.items() if name != fault[2]}
            return make_unreadable(at, fault[0], fault[1], fault[2], raw, sure, self.layout)
        return make_row(at, fields, raw, line, self.layout)

    def _text(self, name: str, value: Any) -> str | tuple[str, Mapping[str, str], str]:
        """A field's value as text, or its fault. Retour's own layout is as strict as the API."""
        details = {"field": excerpt(name), "value": excerpt(str(value)[:200])}
        if name not in self.known:
            if self.layout.closed:
                near = self.nearest(name)
                return (
                    "UNKNOWN_FIELD",
                    {"field": excerpt(name), "closest": near},
                    excerpt(name),
                )
            is_text = isinstance(value, str) if self.layout.of_any_names else type(value) is str
            return value if is_text and is_storable(value) else ""
        if isinstance(value, TypedNumber):
            if self.layout.closed and name == "amount":
                return "AMOUNT_NOT_TEXT", details, name
            whole = value.isdecimal() and value.isascii()
            if self.layout.closed and not (name in WHOLE_NUMBERS and len(value) <= DIGITS_MAX and whole):
                return "FIELD_NOT_TEXT", details, name
            if name in self.layout.ids and not whole:
                return "FIELD_NOT_TEXT", details, name
            return TypedNumber(value.replace(".", self.mark), value)
        if not isinstance(value, str):
            return "FIELD_NOT_TEXT", details, name
        return value if is_storable(value) else ("NOT_UNICODE", {"field": excerpt(name)}, name)


def is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def records_by_line(
    stream: BufferedReader, encoding: Encoding, records: RecordReader, skipped: Counter[str]
) -> Iterator[Row | Unreadable]:
    """One record per line. A faulty line is refused on its own."""
    number = 0
    try:
        for number, raw in enumerate(physical_lines(stream, encoding), 1):
            place = f"{records.prefix}{number}"
            if len(raw) > LINE_CHARS_MAX:
                details = {"line": str(number), "limit": str(LINE_CHARS_MAX)}
                yield Unreadable(place, "CELL_TOO_LONG", details, raw=raw if raw.endswith("\n") else "")
            elif not raw.strip("\x1a \t\r\n"):
                skipped["blank"] += 1
            else:
                try:
                    value = DECODER.decode(raw)
                except json.JSONDecodeError as error:
                    details = {"line": str(number), "column": str(error.colno)}
                    yield Unreadable(place, "JSON_BROKEN", details, raw=raw)
                except RecursionError:
                    yield Unreadable(place, "NESTED_TOO_DEEP", {"line": str(number)}, raw=raw)
                else:
                    yield records.read(value, raw, number, number)
    except FileTooLargeError:
        yield file_too_large(f"{records.prefix}{number + 1}", number + 1)


def file_too_large(place: str, line: int) -> Unreadable:
    return Unreadable(place, "FILE_TOO_LARGE", {"line": str(line), "limit": megabytes_text(FILE_BYTES_MAX)})


class TextWindow:
    """A window over a streamed text. `line` and `column` are the position of the character at `mark`."""

    def __init__(self, stream: BufferedReader, encoding: Encoding) -> None:
        self.stream = stream
        self.decoder = codecs.getincrementaldecoder(encoding.codec)("retour.keep")
        stream.read(len(encoding.mark))
        self.text, self.at = "", 0
        self.line, self.column, self.mark = 1, 1, 0
        self.ended = self.cut = False

    def fill(self) -> None:
        """Read on until a whole record is visible, and drop what was consumed."""
        if self.ended or len(self.text) - self.at > RECORD_CHARS_MAX:
            return
        self.place(self.at)
        parts = [self.text[self.at :]]
        size = len(parts[0])
        while size <= 2 * RECORD_CHARS_MAX and not self.ended:
            part = self._part()
            size += len(part)
            parts.append(part)
        self.text, self.at, self.mark = "".join(parts), 0, 0

    def _part(self) -> str:
        try:
            data = self.stream.read(CHUNK_BYTES)
        except FileTooLargeError:
            data, self.cut = b"", True
        self.ended = not data
        if b"\xf4\x8f" in (pending := self.decoder.getstate()[0] + data):
            # The text contains the private-use characters that stand for undecoded bytes: keep all further non-ASCII
            # bytes.
            self.decoder = codecs.getincrementaldecoder("ascii")("retour.keep")
            data = pending
        return self.decoder.decode(data, self.ended)

    def rest(self) -> Iterator[str]:
        yield self.text[self.at :]
        while not self.ended:
            yield self._part()

    def place(self, at: int) -> tuple[int, int]:
        """The line and column of a visible character. Call with increasing positions."""
        last = self.text.rfind("\n", self.mark, at)
        self.line += self.text.count("\n", self.mark, at)
        self.column = at - last if last != -1 else self.column + at - self.mark
        self.mark = at
        return self.line, self.column

    def skip(self) -> str:
        """Skip whitespace and return the next character, empty at the end."""
        self.fill()
        self.at = WHITESPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches nothing as well
        self.fill()
        return self.text[self.at : self.at + 1]


class BrokenJsonError(Exception):
    """The text is not valid JSON from here on."""


def records_of_list(
    stream: BufferedReader, encoding: Encoding, frame: RecordFrame, records: RecordReader
) -> Iterator[Row | Unreadable]:
    """The records of a list by number. After a syntax error the rest of the text is refused and returned."""
    window = TextWindow(stream, encoding)
    window.fill()
    window.at = len(frame.head)
    number = 0
    try:
        more = window.skip() not in ("]", "") if frame.tail else True
        while more:
            begin = window.at
            try:
                value, end = DECODER.raw_decode(window.text, begin)
            except json.JSONDecodeError as error:
                raise BrokenJsonError(error.pos) from None
            except RecursionError:
                raise BrokenJsonError(begin) from None
            number += 1
            line, _ = window.place(begin)
            window.at = end
            if end - begin > RECORD_CHARS_MAX:
                details = {"line": str(line), "limit": str(RECORD_CHARS_MAX)}
                yield Unreadable(f"{records.prefix}{number}", "CELL_TOO_LONG", details)
            else:
                yield records.read(value, window.text[begin:end], number, line)
            follows = window.skip()
            more = follows == "," if frame.tail else follows == "{"
            if frame.tail and more:
                window.at += 1
                window.skip()
        check_end(window, frame)
    except BrokenJsonError as broken:
        yield from _refuse_rest(window, broken.args[0], records, number, frame)


def check_end(window: TextWindow, frame: RecordFrame) -> None:
    """Check that only the end of the list, and fields that are no records, follow the last record."""
    if frame.tail and window.text[window.at : window.at + 1] != "]":
        raise BrokenJsonError(window.at)
    window.at += bool(frame.tail)
    follows = window.skip()
    if "}" in frame.tail:
        rest = window.text[window.at :]
        try:
            beside = DECODER.decode('{"":0' + rest) if window.ended and len(rest) < RECORD_CHARS_MAX else None
        except (json.JSONDecodeError, RecursionError):
            beside = None
        if not isinstance(beside, dict) or isinstance(beside, DuplicateKeyObject):
            raise BrokenJsonError(window.at)
        if any(isinstance(value, list | dict) and value for value in beside.values()):
            raise BrokenJsonError(window.at)
    elif follows:
        raise BrokenJsonError(window.at)
    if window.cut:
        raise BrokenJsonError(window.at)


def _refuse_rest(
    window: TextWindow, at: int, records: RecordReader, number: int, frame: RecordFrame
) -> Iterator[Unreadable]:
    line, column = window.place(at)
    details = {"line": str(line), "column": str(column)}
    told = False
    for piece in split_at_tags(window.rest(), NEXT_RECORD):
        raw = without_closing(piece, frame).strip(", \t\r\n")
        if raw and (not told or NEXT_RECORD.match(piece)):
            number += 1
            told = True
            kept = raw if len(raw) <= RECORD_CHARS_MAX else ""
            yield Unreadable(f"{records.prefix}{number}", "JSON_BROKEN", details, raw=kept)
    if window.cut:
        yield file_too_large(f"{records.prefix}{number + 1}", line)
    elif not told:
        yield Unreadable(f"{records.prefix}{number + 1}", "JSON_BROKEN", details)


def without_closing(piece: str, frame: RecordFrame) -> str:
    """A piece of the text without the end of the enclosing list."""
    text = piece.rstrip()
    if "}" in frame.tail and text.endswith("}") and text[:-1].rstrip().endswith("]"):
        text = text[:-1].rstrip()
    return text[:-1] if frame.tail and text.endswith("]") else text
