"""A page with one table."""

from collections.abc import Sequence
from html import escape


def build(rows: Sequence[Sequence[str]]) -> bytes:
    cells = ("".join(f"<td>{escape(text)}</td>" for text in row) for row in rows)
    return f"<html><table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table></html>".encode()
