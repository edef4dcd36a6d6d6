"""An old workbook with all cells as text."""

from collections.abc import Sequence

from tests.files import old_workbooks as old


def build(rows: Sequence[Sequence[str]]) -> bytes:
    cells = b"".join(
        old.text(at, column, text) for at, row in enumerate(rows) for column, text in enumerate(row) if text
    )
    return old.workbook(("S", cells))
