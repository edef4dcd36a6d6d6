"""A row counts only if its width is the header's: one separator too many or too few is refused, or changes nothing."""

import io
import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.files.test_plain import carefully

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.table import split_cells

SAMPLES = Path(__file__).parents[1] / "samples"


def source_of(sample: Path) -> Source:
    described = sample.with_name(sample.name + ".source.json")
    return Source(name="s", channel=Channel.SFTP, **(json.loads(described.read_text()) if described.exists() else {}))


def delimited() -> list[Path]:
    """The samples that are lines of cells."""
    found = []
    for sample in sorted(SAMPLES.rglob("*")):
        if sample.suffix in (".csv", ".txt", ".tsv") and "hooks" not in sample.parts:
            opened = open_file(sample.name, io.BytesIO(sample.read_bytes()), source_of(sample))
            if isinstance(opened, OpenedFile) and opened.delimiter and opened.write is None:
                found.append(sample)
    return found


def variants(line: str, delimiter: str) -> Iterator[str]:
    """A line with one separator more, or one less, at every place outside of quotes; none where a quote is wrong."""
    if not isinstance(split_cells(line, delimiter), list):
        return
    within = False
    for at, sign in enumerate([*line, ""]):
        if not within:
            yield line[:at] + delimiter + line[at:]
            if sign == delimiter:
                yield line[:at] + line[at + 1 :]
        if sign == '"':
            within = not within


def lines_of(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def text_of(sample: Path, opened: OpenedFile) -> str:
    return sample.read_bytes().decode(opened.encoding, "replace").removeprefix("\ufeff")


def rows(content: bytes, source: Source) -> list[Row | Unreadable] | Refusal:
    opened = open_file("x.csv", io.BytesIO(content), source)
    return opened if isinstance(opened, Refusal) else list(opened.rows)


@pytest.mark.parametrize("path", ["at one stroke", "carefully"])
@pytest.mark.parametrize("sample", delimited(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_separator_too_many_or_too_few_is_refused_or_changes_nothing(sample: Path, path: str) -> None:
    source = source_of(sample)
    opened = open_file(sample.name, io.BytesIO(sample.read_bytes()), source)
    assert isinstance(opened, OpenedFile)
    head = opened.rejected_head.decode(opened.encoding, "replace")
    tried = 0
    with carefully() if path == "carefully" else nullcontext():
        for line in lines_of(text_of(sample, opened))[len(lines_of(head)) if head else 0 :]:
            meant = fields_of(head, [line], source, opened)
            changed = list(variants(line, opened.delimiter))
            tried += len(changed)
            # Where there is no header, the other lines say how wide they are.
            others = head or f"{line}\n" * 30
            for found in fields_of(others, changed, source, opened) if meant and changed else ():
                assert found in meant, f"{line!r} is taken for {found}"
    assert tried or not list(opened.rows)


def fields_of(head: str, lines: list[str], source: Source, opened: OpenedFile) -> list[dict[str, str]]:
    """What the lines say below the header, as far as it is taken in."""
    content = (head + "\n".join([*lines, ""])).encode(opened.encoding, "replace")
    found = rows(content, source)
    return [] if isinstance(found, Refusal) else [dict(row.fields) for row in found if isinstance(row, Row)]


@pytest.mark.parametrize("sample", delimited(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_header_of_another_width_reads_nothing_into_its_rows(sample: Path) -> None:
    source = source_of(sample)
    opened = open_file(sample.name, io.BytesIO(sample.read_bytes()), source)
    assert isinstance(opened, OpenedFile)
    content = text_of(sample, opened)
    head = lines_of(opened.rejected_head.decode(opened.encoding, "replace"))[-1]
    meant = {row.place: dict(row.fields) for row in opened.rows if isinstance(row, Row)}
    for changed in variants(head, opened.delimiter) if head else ():
        found = rows(content.replace(head, changed, 1).encode(opened.encoding, "replace"), source)
        for row in [] if isinstance(found, Refusal) else found:
            # A row that was refused for its own width may fit a header as wrong as itself.
            assert isinstance(row, Unreadable) or dict(row.fields) == meant.get(row.place, dict(row.fields))


LINES_REWRITTEN = 2
"""Of each sample, the first so many lines are written with each of the other delimiters."""


@pytest.mark.parametrize("path", ["at one stroke", "carefully"])
@pytest.mark.parametrize("delimiter", ",;\t|")
def test_the_same_for_every_sample_in_every_delimiter(delimiter: str, path: str) -> None:
    tried = set()
    for sample in delimited():
        source = source_of(sample)
        opened = open_file(sample.name, io.BytesIO(sample.read_bytes()), source)
        assert isinstance(opened, OpenedFile)
        head = lines_of(opened.rejected_head.decode(opened.encoding, "replace")) if opened.rejected_head else []
        written = lines_of(text_of(sample, opened))[max(len(head) - 1, 0) :]
        lines = [split_cells(line, opened.delimiter) for line in written]
        whole = [line for line in lines if isinstance(line, list)]
        if delimiter == opened.delimiter or "delimiter" in source.mapping or not whole:
            continue
        first, *rest = [delimiter.join(quoted(cell, delimiter) for cell in cells) for cells in whole]
        rewritten = replace(opened, delimiter=delimiter, encoding="utf-8")
        with carefully() if path == "carefully" else nullcontext():
            for line in rest[:LINES_REWRITTEN]:
                others = f"{first}\n" if head else f"{line}\n" * 30
                meant = fields_of(others, [line], source, rewritten)
                changed = list(variants(line, delimiter)) if meant else []
                for found in fields_of(others, changed, source, rewritten) if changed else ():
                    assert found in meant, f"{sample.name}: {line!r} is taken for {found}"
                tried |= {sample} if changed else set()
    assert len(tried) >= (10 if delimiter == "," else 20), "most samples have commas"


def quoted(cell: str, delimiter: str = ",") -> str:
    odd = any(sign in cell for sign in ('"', "\n", delimiter))
    return '"' + cell.replace('"', '""') + '"' if odd else cell


CELL = st.text(alphabet='aS1-. "\n', max_size=6)


@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=4), st.data())
def test_whatever_stands_in_the_cells(table: list[tuple[str, ...]], drawn: st.DataObject) -> None:
    """Written as a spreadsheet writes it, then one separator more or less in one line."""
    lines = [",".join(map(quoted, row)) for row in table]
    at = drawn.draw(st.integers(0, len(lines) - 1))
    changed = list(variants(lines[at], ","))
    lines[at : at + 1] = [drawn.draw(st.sampled_from(changed))] if changed and "\n" not in lines[at] else [lines[at]]
    meant = [
        {name: cell.strip() for name, cell in zip(("order_id", "note", "sku"), row, strict=True) if cell.strip()}
        for row in table
    ]
    source = Source(name="s", channel=Channel.SFTP)
    found = rows(("order_id,note,sku\n" + "\n".join(lines)).encode(), source)
    for row in [] if isinstance(found, Refusal) else found:
        assert isinstance(row, Unreadable) or dict(row.fields) in meant
