"""Every sample file reads as the JSON beside it says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row
from retour.files.open import open_file
from retour.sentences import sentence

SAMPLES = Path(__file__).parents[1] / "samples" / "own"
FILES = sorted(path for path in SAMPLES.iterdir() if path.suffix != ".json")


def source_of(sample: Path) -> Source:
    described = sample.with_name(sample.name + ".source.json")
    return Source(name="s", channel=Channel.SFTP, **(json.loads(described.read_text()) if described.exists() else {}))


def reading(sample: Path) -> dict[str, Any]:
    with sample.open("rb") as stream:
        opened = open_file(sample.name, stream, source_of(sample))
        if isinstance(opened, Refusal):
            return {"refused": opened.code, "says": sentence(opened.code, opened.details)}
        rows = [
            {"place": row.place, "fields": dict(row.fields)}
            if isinstance(row, Row)
            else {"place": row.place, "code": row.code, "says": sentence(row.code, row.details)}
            for row in opened.rows
        ]
    return {
        "header": list(opened.header),
        "layout": opened.layout,
        "encoding": opened.encoding,
        "delimiter": opened.delimiter,
        "newline": opened.newline,
        "rows": rows,
        "skipped": dict(opened.skipped),
    }


@pytest.mark.parametrize("sample", FILES, ids=lambda path: path.name)
def test_sample_reads_as_expected(sample: Path, as_blessed: Callable[[Path, Any], None]) -> None:
    as_blessed(sample.with_name(sample.name + ".json"), reading(sample))
