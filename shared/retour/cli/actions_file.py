"""Split a file of actions into pieces the API accepts. The hub validates the content."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

ACTIONS_MAX = 100
"""The number of actions the hub processes synchronously."""


class ActionsFileError(Exception):
    """The file cannot be split; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`skipped` is the number of lines or records before this piece."""

    body: bytes
    media_type: str
    actions: int
    skipped: int


def split_file(name: str, body: bytes, limit: int = ACTIONS_MAX) -> list[Piece]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ActionsFileError(f"not UTF-8 from byte {error.start + 1} on; save it as UTF-8") from error
    if PurePath(name).suffix.lower() == ".json":
        return list(split_json(text, limit))
    try:
        return list(split_csv(text, limit))
    except csv.Error as error:
        raise ActionsFileError(str(error)) from error


def split_json(text: str, limit: int) -> Iterator[Piece]:
    """Pieces of a JSON file. A small file is unchanged; numbers of a larger one become text, as written."""
    try:
        document = json.loads(text, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise ActionsFileError(f"not JSON: {error}") from error
    if isinstance(document, dict) and set(document) == {"actions"}:
        document = document["actions"]
    records = document if isinstance(document, list) else [document]
    if 0 < len(records) <= limit:
        yield Piece(text.encode(), "application/json", len(records), 0)
        return
    for first in range(0, len(records), limit):
        part = records[first : first + limit]
        yield Piece(json.dumps(part).encode(), "application/json", len(part), first)


def split_csv(text: str, limit: int) -> Iterator[Piece]:
    """Pieces of a CSV file, each with the header. Rows of one order stay together."""
    lines = text.splitlines(keepends=True)
    header = next(iter(lines), "")
    delimiter = max(",;\t|", key=header.count)
    names = [name.strip().strip('"') for name in header.strip().split(delimiter)]
    key = [number for number, name in enumerate(names) if name in ("action_id", "order_id")]
    rows = csv.reader(io.StringIO("".join(lines[1:]), newline=""), delimiter=delimiter)
    begun = ended = count = 0
    last: list[str] | None = None
    for cells in rows:
        action = [cells[number] for number in key if number < len(cells)]
        if action != last or not key:
            if count == limit:
                yield csv_piece(header, lines, begun, ended, count)
                begun, count = ended, 0
            count += 1
        last, ended = action, rows.line_num
    if count:
        yield csv_piece(header, lines, begun, ended, count)


def csv_piece(header: str, lines: list[str], begun: int, ended: int, count: int) -> Piece:
    body = header + "".join(lines[1 + begun : 1 + ended])
    return Piece(body.encode(), "text/csv; charset=utf-8", count, begun)
