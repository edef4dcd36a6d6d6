"""Our own XML: an element for each cell."""

from collections.abc import Sequence
from xml.sax.saxutils import escape


def build(rows: Sequence[Sequence[str]]) -> bytes:
    names, *records = rows
    inside = ("".join(map(element, names, cells)) for cells in records)
    records_xml = "".join(f"<modification>{cells}</modification>\n" for cells in inside)
    return f"<modifications>\n{records_xml}</modifications>\n".encode()


def element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>" if text else ""
