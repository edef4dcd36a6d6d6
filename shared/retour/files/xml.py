"""XML to rows: one element per record, its children and attributes as fields; streamed, without DTD, within limits.

The record element is detected at the beginning of the document: the one with the most known names. A faulty record is
refused on its own. If the document is malformed, earlier records stay valid and every later one is refused and
returned.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedReader
from itertools import pairwise
from xml.parsers import expat

from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files import layout as layouts
from retour.files.cells import NearestNames, PlaceNumbering, Spelling, make_row, make_unreadable
from retour.files.layout import Layout, fold_name
from retour.files.opened_file import OpenedFile
from retour.files.table import CELL_CHARS_MAX, megabytes_text
from retour.files.text import (
    FILE_BYTES_MAX,
    SNIFF_BYTES,
    Encoding,
    FileTooLargeError,
    decode_line,
    detect_encoding,
    encode_raw,
)
from retour.sentences import excerpt

CHUNK_BYTES = 1 << 16
DEPTH_MAX = 64
TOKEN_BYTES_MAX = 1 << 20
RECORD_BYTES_MAX = 1 << 18
TAG_CHARS_MAX = 1_000
FIELDS_MAX = 500
SINGULAR = {"modifications": "modification", "actions": "action"}
DECLARED_ENCODING = re.compile(rb"""<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([A-Za-z][\w.\-]{0,40})["']""")
IGNORED_PREFIXES = ("xmlns", "xsi:", "xml:")


class DoctypeError(Exception):
    """The document has a DTD. Records need none, and all entity attacks begin with one."""


class NestingError(Exception):
    """Elements are nested too deeply, or a tag is too long."""


def make_parser() -> expat.XMLParserType:
    """A parser that rejects a DTD before processing it."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def _refuse_doctype(*_parts: object) -> None:
    raise DoctypeError


def local_name(name: str) -> str:
    return name.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """Where the records of a document are: their tag, depth, and the start and parent of the first."""

    tag: str
    level: int
    header: tuple[str, ...]
    begin: int
    around: tuple[str, ...]


def read(stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> OpenedFile | Refusal:
    """Read an XML document. `prefix` goes before the line number in places."""
    head = stream.peek(SNIFF_BYTES)[:SNIFF_BYTES]
    codec = detect_codec(head)
    if codec is None:
        return Refusal("ENCODING_UNCLEAR", {"line": "1"})
    meant = identify_layout(head, layout)
    if isinstance(meant, Refusal):
        return meant
    layout = meant
    plan = find_records(head, layout)
    if isinstance(plan, Refusal):
        return plan
    before = head[: plan.begin]
    text = before.decode(codec, "ignore")
    _, line_end, indent = text[len(text.rstrip(" \t\r\n")) :].rpartition("\n")
    skipped: Counter[str] = Counter()
    tail = "".join(f"\n</{name}>" for name in reversed(plan.around)) + "\n"
    return OpenedFile(
        header=plan.header,
        layout=layout.name,
        rows=DocumentReader(plan, layout, codec, prefix, skipped).rows(stream),
        rejected_head=before,
        encoding=codec,
        newline="\n" + indent if line_end else "\n",
        skipped=skipped,
        rejected_tail=encode_raw(tail, codec),
    )


def detect_codec(head: bytes) -> str | None:
    """The encoding by BOM, zero bytes or declaration; None if unknown."""
    found = detect_encoding(head, None)
    if found is None or found.wide:
        return found.codec if found else None
    declared = DECLARED_ENCODING.match(head[len(found.mark) :].lstrip())
    try:
        return codecs.lookup(declared[1].decode()).name if declared and not found.mark else "utf-8"
    except LookupError:
        return None


def identify_layout(head: bytes, layout: Layout) -> Layout | Refusal:
    """The layout whose column names the document's elements have.

    Names are compared exactly before two layouts count as matching: `ActionID` is not `action_id`.
    """
    if not layout.others:
        return layout
    scout = RecordScout(layout)
    with suppress(DoctypeError, NestingError, expat.ExpatError, ValueError, LookupError):
        scout.parser.Parse(head, len(head) < SNIFF_BYTES)
    names = list(dict.fromkeys(name for within in scout.within[:1] or [scout.names] for name in within))
    meant = layouts.identify_layout([names], layout)
    if isinstance(meant, Refusal):
        folded = frozenset(map(fold_name, names))
        claiming = [other for other in (layout, *layout.others) if not other.owner or other.owner.claims(folded)]
        to_the_letter = [other for other in claiming if set(names) <= set(other.known)]
        return to_the_letter[0] if len(to_the_letter) == 1 else meant
    return meant


def find_records(head: bytes, layout: Layout) -> RecordPlan | Refusal:
    """Find the record element at the beginning of a document."""
    scout = RecordScout(layout)
    try:
        scout.parser.Parse(head, len(head) < SNIFF_BYTES)
    except DoctypeError:
        return Refusal("XML_DTD", {"line": str(scout.parser.CurrentLineNumber)})
    except NestingError:
        return Refusal("XML_TOO_DEEP", {"line": str(scout.parser.CurrentLineNumber), "limit": str(DEPTH_MAX)})
    except (expat.ExpatError, ValueError, LookupError) as error:
        if not scout.first:
            return Refusal("XML_BROKEN", error_position(scout.parser, error))
    if plan := scout.plan():
        return plan
    return Refusal("XML_NO_RECORDS", {"expected": ", ".join(sorted(layout.required | layout.identity))})


def error_position(parser: expat.XMLParserType, error: Exception) -> Mapping[str, str]:
    line = getattr(error, "lineno", parser.CurrentLineNumber)
    return {"line": str(line), "column": str(getattr(error, "offset", 0) + 1)}


class RecordScout:
    """Examines the beginning of a document for the record element."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.open: list[tuple[str, list[str]]] = []
        self.first: dict[str, tuple[int, int, tuple[str, ...]]] = {}
        self.levels: list[int] = []
        self.names: dict[str, None] = {}
        self.within: list[dict[str, None]] = []
        self.best: tuple[int, str, tuple[str, ...]] = (0, "", ())
        self.parser = make_parser()
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.open) >= DEPTH_MAX:
            raise NestingError
        if local_name(name) not in self.first:
            around = tuple(outer for outer, _ in self.open)
            self.first[local_name(name)] = self.parser.CurrentByteIndex, len(self.open) + 1, around
        if len(self.open) == len(self.levels):
            self.levels.append(self.parser.CurrentByteIndex)
        self.open.append((name, [given for given in attributes if not given.startswith(IGNORED_PREFIXES)]))
        self.within.append({})

    def end(self, name: str) -> None:
        _, names = self.open.pop()
        # Items inside a record have columns of their own, so a record is judged by all its descendants.
        within = self.within.pop() | dict.fromkeys(names)
        if not self.within:
            self.names = within
        elif len(self.within[-1]) < FIELDS_MAX:
            self.within[-1] |= within or {local_name(name): None}
        points = layouts.header_score(names, self.layout) if names and self.open else 0
        if points > self.best[0]:
            self.best = points, local_name(name), layouts.spell_header(names, self.layout)
        if self.open and local_name(name) not in self.open[-1][1]:
            self.open[-1][1].append(local_name(name))

    def plan(self) -> RecordPlan | None:
        _, tag, header = self.best
        while not tag and len(self.open) > 1:
            # The first record is longer than the part examined.
            self.end(self.open[-1][0])
            _, tag, header = self.best
        if not tag or self.layout.closed:
            named = SINGULAR.get(self.layout.name, "modification")
            ours = (name for name, (_, level, _) in self.first.items() if fold_name(name) == named and level > 1)
            tag = next(ours, tag)
        if tag:
            begin, level, around = self.first[tag]
            # Any other element before the first record is a row to be refused.
            begin = self.levels[level - 1] if self.layout.closed else begin
            return RecordPlan(tag, level, header, begin, around)
        if len(self.levels) == 1:
            root = next(iter(self.first))
            return RecordPlan(SINGULAR.get(self.layout.name, "modification"), 2, (), 0, (root,))
        return None


@dataclass(slots=True)
class OpenRecord:
    """A record during parsing. `fault` is its first fault: code, details, column."""

    begin: int
    line: int
    column: int
    place: str
    fields: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    opened: Counter[str] = field(default_factory=Counter)
    path: list[str] = field(default_factory=list)
    fault: tuple[str, Mapping[str, str], str] | None = None

    def fail(self, code: str, column: str = "", **details: str) -> None:
        if self.fault is None:
            self.fault = code, {"line": str(self.line), **details}, column


class DocumentReader:
    """Reads one document: expat events in, records out."""

    def __init__(self, plan: RecordPlan, layout: Layout, codec: str, prefix: str, skipped: Counter[str]) -> None:
        self.plan, self.layout, self.codec, self.skipped = plan, layout, codec, skipped
        self.spelling = Spelling(layout)
        self.known = frozenset(layout.known)
        self.nearest = NearestNames(layout.known)
        self.by_index = bool(layout.owner and layout.owner.by_index)
        self.places = PlaceNumbering(prefix)
        self.width = 2 if codec.startswith("utf-16") else 1
        self.depth = 0
        self.record: OpenRecord | None = None
        self.text: list[str] = []
        self.length = 0
        self.leaf = False
        self.done: list[Row | Unreadable] = []
        self.window = bytearray()
        self.base = 0
        self.finished = plan.begin, 1, 1
        self.parser = make_parser()
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.data

    def rows(self, stream: BufferedReader) -> Iterator[Row | Unreadable]:
        """All records in order."""
        fed = 0
        try:
            while data := stream.read(CHUNK_BYTES):
                self.window += data
                fed += len(data)
                self.parser.Parse(data, False)
                yield from self.done
                self.done.clear()
                if fed - self.parser.CurrentByteIndex > TOKEN_BYTES_MAX:
                    raise NestingError
                self._forget(fed)
            self.parser.Parse(b"", True)
            yield from self.done
        except FileTooLargeError:
            line = self.parser.CurrentLineNumber
            details = {"line": str(line), "limit": megabytes_text(FILE_BYTES_MAX)}
            yield from self.done
            yield Unreadable(self.places.at(line, self.parser.CurrentColumnNumber + 1), "FILE_TOO_LARGE", details)
        except (expat.ExpatError, NestingError, DoctypeError, ValueError, LookupError) as error:
            yield from self.done
            yield from self._rest(stream, error_position(self.parser, error))

    def _forget(self, fed: int) -> None:
        """Drop the text that was read, except for the open record or tag."""
        if self.record is None:
            keep = self.parser.CurrentByteIndex
            self.finished = keep, self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1
        else:
            keep = self.record.begin
            if fed - keep > RECORD_BYTES_MAX:
                self.record.fail("CELL_TOO_LONG", limit=str(RECORD_BYTES_MAX))
                self.record.fields.clear()
                keep = fed
        if keep > self.base:
            del self.window[: keep - self.base]
            self.base = keep

    def start(self, name: str, attributes: dict[str, str]) -> None:
        record = self.record
        if record is None:
            self.depth += 1
            if self.depth > DEPTH_MAX:
                raise NestingError
            tag = local_name(name)
            if tag != self.plan.tag:
                if self.depth != self.plan.level:
                    return
                if not self.layout.closed:
                    self.skipped[f"element {tag[:40]}"] += 1
                    return
            line, column = self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1
            record = self.record = OpenRecord(self.parser.CurrentByteIndex, line, column, self.places.at(line, column))
            if tag != self.plan.tag:
                record.fail("XML_ELEMENT", tag, found=excerpt(tag), expected=self.plan.tag)
            for given, value in attributes.items():
                self._put(record, given, value)
        else:
            if self.text and not "".join(self.text).isspace():
                record.fail("XML_STRAY_TEXT", value=excerpt("".join(self.text)))
            if len(record.path) >= DEPTH_MAX:
                raise NestingError
            tag = local_name(name)
            if tag == self.plan.tag:
                record.fail("XML_ELEMENT", tag, found=excerpt(tag), expected=f"/{self.plan.tag}")
            record.path.append(tag)
            if self.by_index:
                record.opened["/".join(record.path)] += 1
            if attributes:
                for given, value in attributes.items():
                    self._put(record, f"{'/'.join(record.path)}/@{given}", value)
        self.text.clear()
        self.length = 0
        self.leaf = True

    def data(self, text: str) -> None:
        record = self.record
        if record is not None:
            self.length += len(text)
            if self.length <= CELL_CHARS_MAX:
                self.text.append(text)
            elif not text.isspace():
                record.fail("CELL_TOO_LONG", limit=str(CELL_CHARS_MAX))

    def end(self, _name: str) -> None:
        record = self.record
        if record is None:
            self.depth -= 1
            return
        text = self.text
        value = (text[0] if len(text) == 1 else "".join(text)).strip() if text else ""
        text.clear()
        self.length = 0
        path = record.path
        if path and self.leaf:
            self._put(record, path[0] if len(path) == 1 else "/".join(path), value)
        elif value:
            record.fail("XML_STRAY_TEXT", value=excerpt(value))
        self.leaf = False
        if path:
            path.pop()
        else:
            self._finish(record)

    def _put(self, record: OpenRecord, name: str, value: str) -> None:
        if name.rpartition("@")[2].startswith(IGNORED_PREFIXES):
            return
        spelled = self.spelling[local_name(self.of_item(record, name) if self.by_index and "/" in name else name)]
        if spelled in record.seen:
            if spelled in self.known:
                record.fail("XML_FIELD_TWICE", spelled, field=excerpt(spelled))
            return
        if spelled not in self.known and self.layout.closed and record.fault is None:
            near = self.nearest(spelled)
            record.fail("UNKNOWN_FIELD", spelled, field=excerpt(spelled), closest=near)
        if len(record.seen) >= FIELDS_MAX:
            record.fail("ROW_WIDTH", found=f"> {FIELDS_MAX}", expected=str(len(self.plan.header)))
            return
        record.seen.add(spelled)
        if value:
            record.fields[spelled] = value

    def of_item(self, record: OpenRecord, name: str) -> str:
        """A field of the third item as layouts with an item index name it, `Sku3`; others as they are."""
        item, _, leaf = name.rpartition("/")
        numbered = f"{leaf}{record.opened[item]}"
        return numbered if self.spelling[numbered] in self.known else name

    def _finish(self, record: OpenRecord) -> None:
        self.record = None
        self.depth -= 1
        end = self._end_of_tag(self.parser.CurrentByteIndex)
        raw = ""
        if record.begin >= self.base and end - record.begin <= RECORD_BYTES_MAX:
            raw = decode_line(bytes(self.window[record.begin - self.base : end - self.base]), Encoding(self.codec))
        self.finished = end, self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1
        if record.fault:
            code, details, column = record.fault
            self.done.append(make_unreadable(record.place, code, details, column, raw, record.fields, self.layout))
        else:
            self.done.append(make_row(record.place, record.fields, raw, record.line, self.layout))

    def _end_of_tag(self, index: int) -> int:
        """The end of the closing tag at an index; for an empty element, the end of its tag."""
        at = index - self.base
        opening, closing = encode_raw("</", self.codec), encode_raw(">", self.codec)
        if not self.window.startswith(opening, at):
            return index
        found = self.window.find(closing, at)
        while found != -1 and (found - at) % self.width:
            found = self.window.find(closing, found + 1)
        return self.base + found + len(closing)

    def _rest(self, stream: BufferedReader, details: Mapping[str, str]) -> Iterator[Unreadable]:
        """Refuse every record after the point where the document is malformed; at least one refusal is returned."""
        record = self.record
        begin, line, column = (record.begin, record.line, record.column) if record else self.finished
        tag = rf"(?:[^<>\s/:]+:)?{re.escape(self.plan.tag)}"
        opening, closing = re.compile(rf"<{tag}(?=[\s/>])"), re.compile(rf"</{tag}\s*>")
        left = bytes(self.window[max(begin - self.base, 0) :])
        told = False
        for piece in split_at_tags(decode_rest(left, stream, self.codec), opening):
            if opening.match(piece):
                ends = [found.end() for found in closing.finditer(piece)]
                raw = piece[: ends[-1]] if ends else piece
                place = record.place if record and not told else self.places.at(line, column)
                yield Unreadable(place, "XML_BROKEN", details, raw=raw if len(raw) <= RECORD_BYTES_MAX else "")
                told = True
            line += piece.count("\n")
            column = len(piece) - piece.rfind("\n") if "\n" in piece else column + len(piece)
        if not told:
            yield Unreadable(self.places.at(line, column), "XML_BROKEN", details)


def decode_rest(left: bytes, stream: BufferedReader, codec: str) -> Iterator[str]:
    """The rest of a document as text, whatever it contains."""
    decoder = codecs.getincrementaldecoder(codec)("retour.keep")
    yield decoder.decode(left)
    try:
        while data := stream.read(CHUNK_BYTES):
            yield decoder.decode(data)
    except FileTooLargeError:
        pass
    yield decoder.decode(b"", True)


def split_at_tags(parts: Iterable[str], opening: re.Pattern[str]) -> Iterator[str]:
    """Cut a text before every opening tag. Pieces longer than the record limit are cut as well."""
    pending = ""
    for part in parts:
        pending += part
        begins = [found.start() for found in opening.finditer(pending, 1)]
        for start, end in pairwise([0, *begins]):
            yield pending[start:end]
        pending = pending[begins[-1] :] if begins else pending
        if len(pending) > TOKEN_BYTES_MAX:
            yield pending[:-TAG_CHARS_MAX]
            pending = pending[-TAG_CHARS_MAX:]
    yield pending
