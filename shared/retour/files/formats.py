"""The registry of file formats that rows are read from: an entry each, and its reader, a module of this room."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from io import BufferedReader
from typing import Protocol, cast

from retour.domain.program import Source
from retour.domain.row import Refusal
from retour.files.layout import Layout
from retour.files.opened_file import OpenedFile


class Reader(Protocol):
    """What the module of a format has."""

    def read(self, stream: BufferedReader, source: Source, layout: Layout, prefix: str = "") -> OpenedFile | Refusal:
        """The rows of a file, lazily, or why there are none. Never raises because of content; `prefix` begins places.

        The opened file says how refused rows are written back: by their raw text, or by its `write`.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """One format. `kind` is its name in the code, `title` what people call it, `module` its reader's within `files`.

    `starts` matches the first bytes; None where `sniff` tells it from its neighbours itself. `suffixes` are those of
    data files: the format is never guessed from them, but a README beside the data has none of them. `returned` is
    the format in which refused rows are given back; empty for its own.
    """

    kind: str
    title: str
    module: str
    suffixes: tuple[str, ...]
    starts: re.Pattern[bytes] | None = None
    returned: str = ""

    @property
    def reader(self) -> Reader:
        """Loaded when a file of the format comes for the first time."""
        return cast(Reader, import_module(f"retour.files.{self.module}"))


FORMATS: Mapping[str, FileFormat] = {
    one.kind: one
    for one in (
        FileFormat(kind="TEXT", title="CSV", module="table", suffixes=("csv", "tsv", "tab", "psv")),
        FileFormat(kind="XML", title="XML", module="xml", suffixes=("xml",)),
        FileFormat(kind="XLSX", title="XLSX", module="workbook.xlsx", suffixes=("xlsx", "xlsm")),
        FileFormat(
            kind="XLS",
            title="XLS",
            module="workbook.xls",
            suffixes=("xls", "xlsb"),
            starts=re.compile(rb"\xd0\xcf\x11\xe0"),
            returned="XLSX",
        ),
        FileFormat(kind="ODS", title="ODS", module="workbook.ods", suffixes=("ods",), returned="XLSX"),
        FileFormat(kind="HTML", title="a table of a web page", module="workbook.html", suffixes=(), returned="XLSX"),
        FileFormat(kind="JSON", title="JSON (also lines)", module="jsonlines", suffixes=("json", "jsonl", "ndjson")),
    )
}


def format_starting(head: bytes) -> str:
    """The kind of the format that a file with these first bytes is in; empty where none says so."""
    return next((one.kind for one in FORMATS.values() if one.starts and one.starts.match(head)), "")
