"""A file that is looked at and not taken in: as its source would open it, and by whatever its header says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from retour.domain.delivery import Delivery
from retour.domain.program import Program, Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.layout import ANY_NAMES
from retour.files.open import open_file
from retour.files.opened import Opened
from retour.intake.opening import secret_keys
from retour.normalise import Read, Reading
from retour.sentences import sentence

if TYPE_CHECKING:
    from retour.wiring import Hub

ROWS = 200
"""Rows looked at."""
VALUES = 50
"""Different texts of one column that are told."""

Document = dict[str, Any]
Reads = Sequence[tuple[Row | Unreadable, Read]]


@dataclass(frozen=True)
class Looked:
    """The columns of a file in their own words, and what stands in its first rows."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, str]]

    def texts(self, column: str) -> list[str]:
        return [text for row in self.rows if (text := row.get(column, "").strip())]

    def counted(self, column: str) -> dict[str, int]:
        """The different texts of a column with how often each stands there, as they come."""
        found: dict[str, int] = {}
        for text in self.texts(column):
            if text in found or len(found) < VALUES:
                found[text] = found.get(text, 0) + 1
        return found


@dataclass(frozen=True)
class Sample:
    """One file, opened as often as it is asked about; with the OpenPGP keys of its source where it is encrypted."""

    hub: "Hub"
    program: Program
    delivery: Delivery
    body: bytes

    def opened(self, source: Source, layout: str = "modifications") -> Opened | Refusal:
        def keys() -> Sequence[str]:
            return secret_keys(self.hub, self.program.id, source.name)

        return open_file(self.delivery.name, BytesIO(self.body), source, layout, keys)

    def reads(self, source: Source, opened: Opened) -> Reads:
        return list(islice(Reading(self.program, source, self.delivery).modifications(opened.rows), ROWS))

    def looked_at(self, source: Source) -> Looked | None:
        """By its own header, whatever that says; None where it has none."""
        opened = self.opened(source, ANY_NAMES)
        if isinstance(opened, Refusal):
            return None
        rows = [row.fields for row in islice(opened.rows, ROWS) if isinstance(row, Row)]
        return Looked([name for name in opened.header if name], rows)


def told(code: str, language: str, **details: str) -> Document:
    return {"code": code, "explanation": sentence(code, details, language)}
