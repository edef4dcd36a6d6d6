"""Tables as files that spreadsheet programs open directly."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_csv(columns: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> bytes:
    """With the mark that tells spreadsheets it is UTF-8, and no cell that one would take for a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([escape_formula(line[name]) for name in columns] for line in lines)
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def escape_formula(value: Any) -> str:
    said = "" if value is None else str(value)
    is_number = said.lstrip("-").replace(".", "", 1).isdigit()
    return f"'{said}" if said.startswith(FORMULA_STARTS) and not is_number else said
