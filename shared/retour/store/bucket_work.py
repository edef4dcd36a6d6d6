"""The working state of one large file: its rows split into buckets, the outcomes of each bucket, and progress.

Every object and item has a deterministic key and content, so repeating a step is idempotent.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any

from retour.domain.row import ActionReport, InputRecord, Row, Unreadable
from retour.store.inbox import Inbox, split_lines
from retour.store.items import json_attribute, read_json, s
from retour.store.query import partition_items

MERGE_CHUNK_BYTES = 64 * 1024
"""Bytes buffered per bucket while outcomes are merged."""

REPORT_MARK = "report"
NumberedRecord = tuple[int, InputRecord]


@dataclass(frozen=True)
class Work:
    """`client` is a boto3 DynamoDB client. Working files are stored under `pieces/`, which a lifecycle rule expires."""

    inbox: Inbox
    client: Any
    table: str
    program: str
    delivery: str

    @property
    def manifest(self) -> str:
        return f"{self._folder}manifest.json"

    def put_manifest(self, segments: Mapping[int, Sequence[int]]) -> None:
        """Write one entry per bucket: its number and the segments that hold its rows. The distributed map reads this
        list.
        """
        about = {"program": self.program, "delivery": self.delivery}
        items = [{**about, "bucket": bucket, "segments": parts} for bucket, parts in sorted(segments.items())]
        self.inbox.put(self.manifest, json.dumps(items).encode())

    def items(self) -> list[dict[str, Any]]:
        return json.loads(self.inbox.read(self.manifest))  # type: ignore[no-any-return]

    # Rows

    def put_rows(self, bucket: int, segment: int, rows: Sequence[str]) -> None:
        self.inbox.put(self._rows(bucket, segment), "\n".join(rows).encode("utf-8", "surrogatepass"))

    def rows(self, bucket: int, segments: Sequence[int]) -> Iterator[NumberedRecord]:
        for segment in segments:
            for line in self.inbox.read(self._rows(bucket, segment)).decode("utf-8", "surrogatepass").split("\n"):
                yield row_from(json.loads(line))

    # Outcomes

    def put_outcomes(self, bucket: int, outcomes: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Write (row number, outcome) pairs, which must be sorted by row number."""
        told = (f"{number} {_text(outcome)}\n" for number, outcome in outcomes)
        self.inbox.put(self._outcomes(bucket), "".join(told).encode("utf-8", "surrogatepass"))

    def outcomes(self) -> Iterator[bytes]:
        """The outcomes of all buckets as JSON lines, merged in row order with constant memory."""
        parts = [
            split_lines(self.inbox.pieces(self._outcomes(item["bucket"]), MERGE_CHUNK_BYTES)) for item in self.items()
        ]
        for line in merge(*parts, key=_number):
            yield line.partition(b" ")[2]

    # Dry-run impact of each bucket

    def put_impact(self, bucket: int, weight: Mapping[str, Any]) -> None:
        self.inbox.put(self._weight(bucket), _text(weight).encode("utf-8", "surrogatepass"))

    def impacts(self) -> Iterator[dict[str, Any]]:
        for item in self.items():
            yield json.loads(self.inbox.read(self._weight(item["bucket"])))

    # Progress

    def put_summary(self, name: str, summary: Mapping[str, Any]) -> None:
        """Write the summary of one bucket, or the reader's progress under `read`. Overwrites; never increments."""
        item = {"PK": s(self._partition), "SK": s(name), "doc": json_attribute(summary)}
        self.client.put_item(TableName=self.table, Item=item)

    def summaries(self) -> dict[str, dict[str, Any]]:
        found = partition_items(self.client, self.table, self._partition)
        return {item["SK"]["S"]: read_json(item) for item in found}

    def forget(self) -> None:
        """Delete all summaries, so that the file can be read again from the beginning."""
        for name in self.summaries():
            self.client.delete_item(TableName=self.table, Key={"PK": s(self._partition), "SK": s(name)})

    @property
    def _partition(self) -> str:
        return f"B#{self.program}#{self.delivery}"

    @property
    def _folder(self) -> str:
        return f"pieces/{self.program}/{self.delivery}/"

    def _rows(self, bucket: int, segment: int) -> str:
        return f"{self._folder}rows/{bucket:05d}/{segment:05d}"

    def _weight(self, bucket: int) -> str:
        return f"{self._folder}weights/{bucket:05d}"

    def _outcomes(self, bucket: int) -> str:
        return f"{self._folder}outcomes/{bucket:05d}"


def _number(line: bytes) -> int:
    return int(line[: line.index(b" ")])


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def row_text(number: int, row: InputRecord) -> str:
    """A row as one line of JSON, with its number in the file."""
    if isinstance(row, ActionReport):
        return _text([number, row.place, dict(row.fields), [dict(line) for line in row.lines], row.raw, REPORT_MARK])
    if isinstance(row, Row):
        return _text([number, row.place, row.fields, row.raw, row.layout])
    return _text([number, row.place, row.code, dict(row.details), row.column, row.raw, row.order, row.reference])


def row_from(parts: Sequence[Any]) -> NumberedRecord:
    number, *values = parts
    if values[-1] == REPORT_MARK and len(values) == 5:
        return number, ActionReport(*values[:-1])
    return number, Row(*values) if len(values) == 4 else Unreadable(*values)
