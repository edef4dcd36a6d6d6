"""Open a sample file without ingesting it: as its source would, or by its header."""

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
"""Rows looked at."""
VALUES_MAX = 50
"""Different texts of one column that are told."""

Document = dict[str, Any]
NormalisedRows = Sequence[tuple[Row | Unreadable, Normalised]]


@dataclass(frozen=True)
class RawTable:
    """The columns of a file in their own words, and what stands in its first rows."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, str]]

    def texts(self, column: str) -> list[str]:
        return [text for row in self.rows if (text := row.get(column, "").strip())]

    def count_values(self, column: str) -> dict[str, int]:
        """The different texts of a column with how often each stands there, as they come."""
        found: dict[str, int] = {}
        for text in self.texts(column):
            if text in found or len(found) < VALUES_MAX:
                found[text] = found.get(text, 0) + 1
        return found


@dataclass(frozen=True)
class Sample:
    """One file, opened as often as it is asked about; with the OpenPGP keys of its source where it is encrypted."""

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
        """By its own header, whatever that says; None where it has none."""
        opened = self.open(source, ANY_NAMES)
        if isinstance(opened, Refusal):
            return None
        rows = [row.fields for row in islice(opened.rows, ROWS_MAX) if isinstance(row, Row)]
        return RawTable([name for name in opened.header if name], rows)


def coded_sentence(code: str, language: str, **details: str) -> Document:
    return {"code": code, "explanation": sentence(code, details, language)}
