"""A workbook with all cells as text."""

from collections.abc import Sequence

from tests.files import workbooks


def build(rows: Sequence[Sequence[str]]) -> bytes:
    sheet = "".join(
        workbooks.row(at, *(workbooks.text(f"{chr(65 + column)}{at}", text) for column, text in enumerate(cells)))
        for at, cells in enumerate(rows, 1)
    )
    return workbooks.workbook(("S", sheet))
