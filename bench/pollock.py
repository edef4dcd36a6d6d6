"""How many rows of the Pollock benchmark are read, and how many are read as something else.

    git clone https://github.com/HPI-Information-Systems/Pollock
    python -m bench.pollock Pollock/polluted_files

2,290 files, each one table polluted in one way, with the table that is meant beside it. A row counts as read if every
cell is the one that is meant, as wrong if it is taken in as anything else. The files stay out of this repository.
"""

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row
from retour.files.open import open_file

Cells = tuple[str, ...]

COLUMNS = {"order_id": "PRODUCTID", "amount": "Price", "quantity": "Qty", "occurred_at": "DATE", "note": "Comments"}
SOURCE = Source(name="pollock", channel=Channel.SFTP, mapping={"columns": COLUMNS})


def main(folder: Path) -> int:
    counted: Counter[str] = Counter()
    kinds: dict[str, Counter[str]] = {}
    for file in sorted((folder / "csv").iterdir()):
        meant = expected_rows(folder / "clean" / file.name)
        found = compare_file(file, meant)
        counted.update(found)
        kinds.setdefault(re.sub(r"\d+(?=_|\.|$)", "N", file.stem), Counter()).update(found)
    for kind, found in sorted(kinds.items()):
        print(f"{kind:40} {figures(found)}")
    print(f"{'all':40} {figures(counted)}")
    return 0


def figures(found: Mapping[str, int]) -> str:
    share = found.get("read", 0) / max(found.get("meant", 0), 1)
    names = ("files", "refused", "meant", "read", "wrong")
    return f"{'  '.join(f'{name} {found.get(name, 0):>7,}' for name in names)}  {share:.2%}"


def expected_rows(file: Path) -> Counter[Cells]:
    with file.open(newline="", encoding="utf-8") as stream:
        return Counter(fold_blanks(row) for row in list(csv.reader(stream))[1:])


def compare_file(file: Path, meant: Counter[Cells]) -> Counter[str]:
    found = Counter(files=1, meant=meant.total())
    left = meant.copy()
    with file.open("rb") as stream:
        opened = open_file(file.name, stream, SOURCE)
        if isinstance(opened, Refusal):
            return found + Counter(refused=1)
        for row in opened.rows:
            if isinstance(row, Row):
                cells = fold_blanks(row.fields.get(name, "") for name in opened.header)
                found["read" if left[cells] > 0 else "wrong"] += 1
                left[cells] -= 1
    return found


def fold_blanks(cells: Iterable[str]) -> Cells:
    """The cells of a row, whatever blanks are around and within them."""
    return tuple(" ".join(text.split()) for text in cells)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
