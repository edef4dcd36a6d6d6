"""JSON to rows: one object on each line, a list of objects, or such a list as the one field of an object; streamed.

One record is read at a time, strictly: no key twice, numbers by their written digits, never a float. A line that is
wrong is refused by itself; where a list breaks off, the records before stand and all that follow are given back.
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
from retour.files.cells import Nearest, Spelling, row, shown, unreadable
from retour.files.layout import Layout, fold
from retour.files.opened import Opened
from retour.files.table import megabytes
from retour.files.text import FILE_BYTES, HEAD, LINE_SIGNS, Encoding, TooLarge, encoded, encoding_of, lines
from retour.files.xml import pieces
from retour.numbers import Typed

RECORD_SIGNS = LINE_SIGNS
PIECE = 1 << 16
DIGITS = 18
FIELDS = 500
WHOLE_NUMBERS = ("quantity", "line")
WRAPPER = re.compile(r'\s*\{\s*"((?:[^"\\]|\\.){1,100})"\s*:\s*\[\s*')
LIST = re.compile(r"\s*\[\s*")
BLANK = re.compile(r"[ \t\r\n]*")
NEXT = re.compile(r",\s*\{")


class Doubled(dict[str, Any]):
    """An object that names the key `twice` twice."""

    twice = ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled = Doubled(found)
    doubled.twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    return doubled


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=Typed, parse_int=Typed, parse_constant=Typed)


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the records: `lines`, or a list that begins with `head` and ends with `tail`."""

    lines: bool
    head: str = ""
    tail: str = ""


def read(stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> Opened | Refusal:
    """The records of JSON or JSON lines, or why none can be read. `prefix` goes before the number in places."""
    head = stream.peek(HEAD)[:HEAD]
    encoding = encoding_of(head, None)
    if encoding is None:
        return Refusal("ENCODING_UNCLEAR", {"line": "1"})
    text = codecs.getincrementaldecoder(encoding.codec)("retour.keep").decode(head[len(encoding.mark) :])
    frame = frame_of(text, layout)
    if frame is None:
        return Refusal("JSON_NO_RECORDS", {"name": layout.name if layout.closed else "returns"})
    skipped: Counter[str] = Counter()
    records = Records(source, layout, prefix)
    return Opened(
        header=tuple(dict.fromkeys(records.spelling[name] for name in names_in(text[len(frame.head) :]))),
        layout=layout.name,
        rows=by_line(stream, encoding, records, skipped) if frame.lines else listed(stream, encoding, frame, records),
        rejected_head=encoding.mark + encoded(frame.head, encoding.codec),
        encoding=encoding.codec,
        newline="\n" if frame.lines else ",\n",
        skipped=skipped,
        rejected_tail=encoded(frame.tail, encoding.codec),
    )


def frame_of(text: str, layout: Layout) -> Frame | None:
    """How the records of a text stand in it, by its beginning; None where there are none."""
    if found := LIST.match(text):
        return Frame(False, found[0], "\n]\n")
    first, _, more = text.lstrip().partition("\n")
    if value_of(first) is not None and more.strip():
        return Frame(True)
    wrapped = WRAPPER.match(text)
    if wrapped and (fold(wrapped[1]) == fold(layout.name) or not layout.closed):
        return Frame(False, wrapped[0], "\n]}\n")
    if value_of(first) is not None or any(value_of(line) is not None for line in more.split("\n")[:5]):
        return Frame(True)
    return Frame(False) if not wrapped and text.lstrip().startswith("{") else None


def value_of(line: str) -> dict[str, Any] | None:
    """The object that a line is, whole; else nothing."""
    try:
        value = DECODER.decode(line)
    except (json.JSONDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def names_in(text: str) -> tuple[str, ...]:
    """The field names of the first record, where it can be read."""
    try:
        value, _ = DECODER.raw_decode(text, BLANK.match(text).end())  # type: ignore[union-attr]  # it matches nothing as well
    except (json.JSONDecodeError, RecursionError):
        return ()
    return tuple(value)[:FIELDS] if isinstance(value, dict) else ()


class Records:
    """Objects to rows, as the source writes them."""

    def __init__(self, source: Source, layout: Layout, prefix: str) -> None:
        self.layout, self.prefix = layout, prefix
        self.spelling = Spelling(layout)
        self.known = frozenset(layout.known)
        self.nearest = Nearest(layout.known)
        self.mark = str(source.mapping.get("decimal") or ".")

    def read(self, value: Any, raw: str, place: int, line: int) -> Row | Unreadable:
        at = f"{self.prefix}{place}"
        if not isinstance(value, dict):
            return Unreadable(at, "NOT_AN_OBJECT", {"value": shown(raw.strip())}, raw=raw)
        fields: dict[str, str] = {}
        seen: set[str] = set()
        fault: tuple[str, Mapping[str, str], str] | None = None
        if isinstance(value, Doubled):
            fault = "DUPLICATE_KEY", {"key": shown(value.twice)}, shown(value.twice)
        for given, content in value.items():
            name = self.spelling[given]
            if name in seen:
                fault = fault or ("DUPLICATE_KEY", {"key": shown(name)}, shown(name))
            seen.add(name)
            if content is None or len(seen) > FIELDS:
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
            # A field named twice tells nobody which record it was.
            sure = {name: text for name, text in fields.items() if name != fault[2]}
            return unreadable(at, fault[0], fault[1], fault[2], raw, sure, self.layout)
        return row(at, fields, raw, line, self.layout)

    def _text(self, name: str, value: Any) -> str | tuple[str, Mapping[str, str], str]:
        """A field's text, or what is wrong with it. Own records are as strict as those of the API."""
        details = {"field": shown(name), "value": shown(str(value)[:200])}
        if name not in self.known:
            if self.layout.closed:
                near = self.nearest(name)
                return "UNKNOWN_FIELD", {"field": shown(name), "closest": near}, shown(name)
            is_text = isinstance(value, str) if self.layout.of_any_names else type(value) is str
            return value if is_text and storable(value) else ""
        if isinstance(value, Typed):
            if self.layout.closed and name == "amount":
                return "AMOUNT_NOT_TEXT", details, name
            whole = value.isdecimal() and value.isascii()
            if self.layout.closed and not (name in WHOLE_NUMBERS and len(value) <= DIGITS and whole):
                return "FIELD_NOT_TEXT", details, name
            if name in self.layout.ids and not whole:
                return "FIELD_NOT_TEXT", details, name
            return Typed(value.replace(".", self.mark), value)
        if not isinstance(value, str):
            return "FIELD_NOT_TEXT", details, name
        return value if storable(value) else ("NOT_UNICODE", {"field": shown(name)}, name)


def storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def by_line(
    stream: BufferedReader, encoding: Encoding, records: Records, skipped: Counter[str]
) -> Iterator[Row | Unreadable]:
    """One record a line; a wrong line is refused by itself."""
    number = 0
    try:
        for number, raw in enumerate(lines(stream, encoding), 1):
            place = f"{records.prefix}{number}"
            if len(raw) > LINE_SIGNS:
                details = {"line": str(number), "limit": str(LINE_SIGNS)}
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
    except TooLarge:
        yield too_large(f"{records.prefix}{number + 1}", number + 1)


def too_large(place: str, line: int) -> Unreadable:
    return Unreadable(place, "FILE_TOO_LARGE", {"line": str(line), "limit": megabytes(FILE_BYTES)})


class Window:
    """The part of a text that is looked at; `line` and `column` say where in the text its sign at `mark` stands."""

    def __init__(self, stream: BufferedReader, encoding: Encoding) -> None:
        self.stream = stream
        self.decoder = codecs.getincrementaldecoder(encoding.codec)("retour.keep")
        stream.read(len(encoding.mark))
        self.text, self.at = "", 0
        self.line, self.column, self.mark = 1, 1, 0
        self.ended = self.cut = False

    def fill(self) -> None:
        """See to it that a whole record can be seen, if one is left; forget what was read."""
        if self.ended or len(self.text) - self.at > RECORD_SIGNS:
            return
        self.place(self.at)
        parts = [self.text[self.at :]]
        size = len(parts[0])
        while size <= 2 * RECORD_SIGNS and not self.ended:
            part = self._part()
            size += len(part)
            parts.append(part)
        self.text, self.at, self.mark = "".join(parts), 0, 0

    def _part(self) -> str:
        try:
            data = self.stream.read(PIECE)
        except TooLarge:
            data, self.cut = b"", True
        self.ended = not data
        if b"\xf4\x8f" in (pending := self.decoder.getstate()[0] + data):
            # Signs that stand for undecoded bytes in our own texts: from here on every byte beyond ASCII is kept so.
            self.decoder = codecs.getincrementaldecoder("ascii")("retour.keep")
            data = pending
        return self.decoder.decode(data, self.ended)

    def rest(self) -> Iterator[str]:
        yield self.text[self.at :]
        while not self.ended:
            yield self._part()

    def place(self, at: int) -> tuple[int, int]:
        """Line and column of a sign that can be seen; asked from front to back."""
        last = self.text.rfind("\n", self.mark, at)
        self.line += self.text.count("\n", self.mark, at)
        self.column = at - last if last != -1 else self.column + at - self.mark
        self.mark = at
        return self.line, self.column

    def skip(self) -> str:
        """Past what is blank; the sign that follows."""
        self.fill()
        self.at = BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches nothing as well
        self.fill()
        return self.text[self.at : self.at + 1]


class Broken(Exception):
    """From here on it is no JSON."""


def listed(stream: BufferedReader, encoding: Encoding, frame: Frame, records: Records) -> Iterator[Row | Unreadable]:
    """The records of a list, by their number; where it breaks off, all that follow refused and given back."""
    window = Window(stream, encoding)
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
                raise Broken(error.pos) from None
            except RecursionError:
                raise Broken(begin) from None
            number += 1
            line, _ = window.place(begin)
            window.at = end
            if end - begin > RECORD_SIGNS:
                details = {"line": str(line), "limit": str(RECORD_SIGNS)}
                yield Unreadable(f"{records.prefix}{number}", "CELL_TOO_LONG", details)
            else:
                yield records.read(value, window.text[begin:end], number, line)
            follows = window.skip()
            more = follows == "," if frame.tail else follows == "{"
            if frame.tail and more:
                window.at += 1
                window.skip()
        ended(window, frame)
    except Broken as broken:
        yield from _rest(window, broken.args[0], records, number, frame)


def ended(window: Window, frame: Frame) -> None:
    """Nothing may follow the last record but what closes its list, and fields beside it that are no records."""
    if frame.tail and window.text[window.at : window.at + 1] != "]":
        raise Broken(window.at)
    window.at += bool(frame.tail)
    follows = window.skip()
    if "}" in frame.tail:
        rest = window.text[window.at :]
        try:
            beside = DECODER.decode('{"":0' + rest) if window.ended and len(rest) < RECORD_SIGNS else None
        except (json.JSONDecodeError, RecursionError):
            beside = None
        if not isinstance(beside, dict) or isinstance(beside, Doubled):
            raise Broken(window.at)
        if any(isinstance(value, list | dict) and value for value in beside.values()):
            raise Broken(window.at)
    elif follows:
        raise Broken(window.at)
    if window.cut:
        raise Broken(window.at)


def _rest(window: Window, at: int, records: Records, number: int, frame: Frame) -> Iterator[Unreadable]:
    line, column = window.place(at)
    details = {"line": str(line), "column": str(column)}
    told = False
    for piece in pieces(window.rest(), NEXT):
        raw = without_end(piece, frame).strip(", \t\r\n")
        if raw and (not told or NEXT.match(piece)):
            number += 1
            told = True
            kept = raw if len(raw) <= RECORD_SIGNS else ""
            yield Unreadable(f"{records.prefix}{number}", "JSON_BROKEN", details, raw=kept)
    if window.cut:
        yield too_large(f"{records.prefix}{number + 1}", line)
    elif not told:
        yield Unreadable(f"{records.prefix}{number + 1}", "JSON_BROKEN", details)


def without_end(piece: str, frame: Frame) -> str:
    """A piece of the text without what closes the whole list."""
    text = piece.rstrip()
    if "}" in frame.tail and text.endswith("}") and text[:-1].rstrip().endswith("]"):
        text = text[:-1].rstrip()
    return text[:-1] if frame.tail and text.endswith("]") else text
