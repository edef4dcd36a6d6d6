"""The schema and the documents list what the registries hold; `pytest --bless` (make registries) writes them anew."""

from pathlib import Path

import pytest

from tests.conformance.generated import DOCUMENTED, MARK, PAGES, SCHEMA, page_written, schema_written


@pytest.mark.parametrize("path", [SCHEMA, *PAGES], ids=lambda path: path.name)
def test_what_is_written_from_a_registry_is_up_to_date(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text("utf-8")
    written = schema_written(text) if path == SCHEMA else page_written(text)
    if request.config.getoption("--bless") and written != text:
        path.write_text(written, "utf-8")
        text = written
    assert text == written, f"{path.name} is not what the registries say: run make registries"


def test_every_part_stands_in_some_document() -> None:
    assert {mark[1] for path in PAGES for mark in MARK.finditer(path.read_text("utf-8"))} == set(DOCUMENTED)
