"""Open a sample file without ingesting it: as its source would, or by its own header."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import Any

from retour.domain.delivery import Delivery
from retour.domain.program import Program, Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.layout import ANY_NAMES
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.intake.encrypted_files import secret_keys
from retour.normalise import Normalised, Normaliser
from retour.ports import SamplePorts
from retour.sentences import sentence

ROWS_MAX = 200
"""Rows examined."""
VALUES_MAX = 50
"""Distinct values kept per column."""

Document = dict[str, Any]
NormalisedRows = Sequence[tuple[Row | Unreadable, Normalised]]


@dataclass(frozen=True)
class RawTable:
    """A file's columns by their own names, with the values of its first rows."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, str]]

    def texts(self, column: str) -> list[str]:
        return [text for row in self.rows if (text := row.get(column, "").strip())]

    def count_values(self, column: str) -> dict[str, int]:
        """The distinct values of a column with their counts, in order of appearance."""
        found: dict[str, int] = {}
        for text in self.texts(column):
            if text in found or len(found) < VALUES_MAX:
                found[text] = found.get(text, 0) + 1
        return found


@dataclass(frozen=True)
class Sample:
    """A file that can be opened repeatedly, decrypted with its source's OpenPGP keys if needed."""

    ports: SamplePorts
    program: Program
    delivery: Delivery
    body: bytes

    def open(self, source: Source, layout: str = "modifications") -> OpenedFile | Refusal:
        def keys() -> Sequence[str]:
            return secret_keys(self.ports, self.program.id, source.name)

        return open_file(self.delivery.name, BytesIO(self.body), source, layout, keys)

    def normalise(self, source: Source, opened: OpenedFile) -> NormalisedRows:
        return list(islice(Normaliser(self.program, source, self.delivery).modifications(opened.rows), ROWS_MAX))

    def raw_table(self, source: Source) -> RawTable | None:
        """The file by its own header; None if it has none."""
        opened = self.open(source, ANY_NAMES)
        if isinstance(opened, Refusal):
            return None
        rows = [row.fields for row in islice(opened.rows, ROWS_MAX) if isinstance(row, Row)]
        return RawTable([name for name in opened.header if name], rows)


def coded_sentence(code: str, language: str, **details: str) -> Document:
    return {"code": code, "explanation": sentence(code, details, language)}
