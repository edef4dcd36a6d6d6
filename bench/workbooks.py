"""A workbook written, or read in one way: `python -m bench.workbooks write|retour|openpyxl FILE [ROWS]`."""

import json
import resource
import sys
import time
from pathlib import Path

from bench import data


def write(path: str, rows: int) -> None:
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Returns")
    sheet.append(list(data.COLUMNS))
    for record in data.records(rows):
        sheet.append(list(record))
    book.save(path)


def retour(path: str) -> int:
    from bench.fixtures import build_normaliser
    from retour.domain.row import Refusal
    from retour.files.open import open_file

    with Path(path).open("rb") as stream:
        opened = open_file("rows.xlsx", stream, build_normaliser().source)
        assert not isinstance(opened, Refusal), opened
        return sum(1 for _ in opened.rows)


def openpyxl(path: str) -> int:
    from openpyxl import load_workbook

    rows = load_workbook(path, read_only=True, data_only=True).worksheets[0].iter_rows(values_only=True)
    header = next(rows)
    return sum(1 for row in rows if dict(zip(header, row, strict=True)))


def main(way: str, path: str, rows: str = "0") -> None:
    if way == "write":
        write(path, int(rows))
        print("{}")
        return
    read = {"retour": retour, "openpyxl": openpyxl}[way]
    before = time.process_time()
    found = read(path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": time.process_time() - before, "rows": found, "peak": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
