"""Split a row's raw text into columns on a best-effort basis, so that a person can correct it.

The readers refuse ambiguous rows. Nothing is processed here, so such a row is shown by its most likely meaning.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from xml.parsers import expat

from retour.files import jsonlines, table
from retour.files.opened_file import OpenedFile
from retour.files.xml import IGNORED_PREFIXES, DoctypeError, local_name, make_parser
from retour.numbers import TypedNumber

COLUMNS_MAX = 200


def parse_raw_row(opened: OpenedFile, raw: str, decimal: str = ".") -> dict[str, str]:
    """The columns of a row by name. With a header, empty columns are included."""
    if opened.delimiter:
        return fields_of_line(opened.header, opened.delimiter, raw)
    return fields_of_xml(raw) if raw.lstrip().startswith("<") else fields_of_json(raw, decimal)


def fields_of_line(header: tuple[str, ...], delimiter: str, raw: str) -> dict[str, str]:
    """The cells of a line by header name. Cells beyond the header are dropped."""
    text = raw.rstrip("\r\n")
    cells = table.split_cells(text, delimiter)
    found = (
        [cell.strip().strip('"') for cell in text.split(delimiter)] if isinstance(cells, table.QuoteFault) else cells
    )
    filled = [cell.strip() for cell in found] + [""] * len(header)
    return {name: cell for name, cell in zip(header, filled, strict=False) if name}


def fields_of_json(raw: str, decimal: str = ".") -> dict[str, str]:
    """The fields of a JSON object; empty if the text is not one."""
    try:
        value = jsonlines.DECODER.decode(raw.strip().rstrip(","))
    except (json.JSONDecodeError, RecursionError):
        return {}
    fields = list(value.items())[:COLUMNS_MAX] if isinstance(value, dict) else []
    return {name: cell_text(one, decimal) for name, one in fields if jsonlines.is_storable(name)}


def cell_text(value: Any, decimal: str) -> str:
    if value is None:
        return ""
    if isinstance(value, TypedNumber):
        return value.replace(".", decimal)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.strip() if jsonlines.is_storable(text) else ""


def fields_of_xml(raw: str) -> dict[str, str]:
    """The leaves and attributes of an XML element by path, as far as they can be parsed."""
    element = ElementParser()
    with suppress(expat.ExpatError, DoctypeError, ValueError, LookupError):
        element.parser.Parse(raw.encode("utf-8", "replace"), True)
    return element.found


class ElementParser:
    """Collects the fields of one element during parsing."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.path: list[str] = []
        self.text: list[str] = []
        self.leaf = False
        self.parser = make_parser()
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text.append

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self.path.append(local_name(name))
        within = "/".join(self.path[1:])
        for given, value in attributes.items():
            if not given.startswith(IGNORED_PREFIXES):
                self.put(f"{within}/@{given}" if within else given, value)
        self.text.clear()
        self.leaf = True

    def end(self, _name: str) -> None:
        if self.leaf and len(self.path) > 1:
            self.put("/".join(self.path[1:]), "".join(self.text))
        self.text.clear()
        self.leaf = False
        self.path.pop()

    def put(self, name: str, value: str) -> None:
        if len(self.found) < COLUMNS_MAX:
            self.found.setdefault(local_name(name), value.strip())
