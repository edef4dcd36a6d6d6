"""What every file format must pass. An entry of `files/formats.py` runs all of it for the new one.

`tests/files/formats/<kind>.py` builds a file of the format from cells; what is particular to a format has tests of its
own in `tests/files`.
"""

import io
import random
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import pytest

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.formats import FORMATS
from retour.files.names import has_table_suffix
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.result_files import rows_at_places
from retour.files.sniff import sniff
from retour.files.text import SNIFF_BYTES
from tests.fuzz import TARGETS

KINDS = list(FORMATS)
SOURCE = Source(name="s", channel=Channel.SFTP)
NAMES = ("reference", "order_id", "change", "amount", "note")
RECORDS = [
    ("R-1", "A-1", "take_back", "12.50", 'größer, "weiter" & <länger>'),
    ("R-2", "0042", "reverse", "", "トマト"),
    ("R-3", "A-3", "take_back", "1,2,3", ""),
    ("R-4", "A-4", "set_total", "0", "x"),
]


def build(kind: str, records: Sequence[Sequence[str]] = RECORDS) -> bytes:
    return cast(bytes, import_module(builder(kind)).build([NAMES, *records]))


def builder(kind: str) -> str:
    return f"tests.files.formats.{kind.lower()}"


def opened(content: bytes) -> OpenedFile:
    found = open_file("x", io.BytesIO(content), SOURCE)
    assert isinstance(found, OpenedFile), found
    return found


def fields(rows: Sequence[Row | Unreadable]) -> list[Any]:
    return [dict(row.fields) if isinstance(row, Row) else row.code for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_a_format_brings_all_that_its_suite_needs(kind: str) -> None:
    known = FORMATS[kind]
    assert callable(known.reader.read)
    assert known.title and (known.returned or kind) in FORMATS
    assert find_spec(builder(kind)), f"write tests/files/formats/{kind.lower()}.py with build(rows)"
    assert all(has_table_suffix(f"returns.{suffix}") for suffix in known.suffixes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_recognised_by_its_content(kind: str) -> None:
    assert sniff(build(kind)[:SNIFF_BYTES]) == kind
    assert [one for one, known in FORMATS.items() if known.starts and known.starts.match(build(kind))] in ([], [kind])


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_is_read_with_a_place_of_its_own(kind: str) -> None:
    rows = list(opened(build(kind)).rows)
    told = [{name: text for name, text in zip(NAMES, cells, strict=True) if text} for cells in RECORDS]
    assert fields(rows) == told
    assert len({row.place for row in rows}) == len(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_refused_rows_are_given_back_and_read_as_they_were(kind: str) -> None:
    rows = list(opened(build(kind)).rows)
    refused = {rows[1].place, rows[2].place}
    back = b"".join(rows_at_places(opened(build(kind)), refused))
    assert sniff(back[:SNIFF_BYTES]) == (FORMATS[kind].returned or kind)
    assert fields(list(opened(back).rows)) == fields(rows[1:3])
    places = {row.place for row in opened(back).rows}
    assert fields(list(opened(b"".join(rows_at_places(opened(back), places))).rows)) == fields(rows[1:3])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off_or_damaged_is_read_as_far_as_it_goes_or_refused(kind: str) -> None:
    content, chance = build(kind), random.Random(kind)
    damaged = [content[: len(content) * part // 40] for part in range(40)]
    for _ in range(120):
        at = chance.randrange(len(content))
        damaged.append(content[:at] + bytes([chance.randrange(256)]) + content[at + chance.randrange(3) :])
    for one in damaged:
        found = open_file("x", io.BytesIO(one), SOURCE)
        rows = [] if isinstance(found, Refusal) else list(found.rows)
        assert all(isinstance(row, Row | Unreadable) for row in rows)
        assert len({row.place for row in rows}) == len(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_read_one_by_one(kind: str) -> None:
    """The first of many is there before the last was looked at."""
    many = [(f"R-{n}", f"A-{n}", "reverse", "", "") for n in range(3_000)]
    rows = opened(build(kind, many)).rows
    assert next(rows).place
    assert sum(1 for _ in rows) == len(many) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_format_is_fuzzed(kind: str) -> None:
    assert any(sniff(target.wrap(seed)[:SNIFF_BYTES]) == kind for target in TARGETS.values() for seed in target.seeds)
