"""A list of objects."""

import json
from collections.abc import Sequence


def build(rows: Sequence[Sequence[str]]) -> bytes:
    names, *records = rows
    told = [{name: text for name, text in zip(names, cells, strict=True) if text} for cells in records]
    return json.dumps(told, ensure_ascii=False, indent=1).encode()
