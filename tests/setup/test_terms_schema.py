"""The schema of programs and the documents say of terms what the terms say of themselves.

`python -m tests.setup.test_terms_schema` writes both anew.
"""

import json
import re
from pathlib import Path

from retour.setup.terms_schema import locks_table, rules_table, term_definitions

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "shared/retour/setup/program.schema.json"
PAGE = ROOT / "docs/contracts.md"
TABLES = {"| key of a rule": rules_table, "| `lock`": locks_table}


def test_the_schema_has_the_terms_as_they_declare_themselves() -> None:
    published = json.loads(SCHEMA.read_text("utf-8"))["$defs"]
    assert {name: published[name] for name in term_definitions()} == json.loads(json.dumps(term_definitions()))


def test_the_documents_have_them_too() -> None:
    page = PAGE.read_text("utf-8")
    for table in TABLES.values():
        assert "\n".join(table()) + "\n" in page


def write() -> None:
    text = SCHEMA.read_text("utf-8")
    for name, body in term_definitions().items():
        said = json.dumps(body, indent=2, ensure_ascii=False).replace("\n", "\n    ")
        # Every part stands four spaces deep and ends where the next begins.
        text = re.sub(
            rf'(?ms)^    "{name}": \{{.*?^    \}}(?=,?$)', lambda _, said=said, name=name: f'    "{name}": {said}', text
        )
    SCHEMA.write_text(text, "utf-8")
    page = PAGE.read_text("utf-8")
    for first, table in TABLES.items():
        page = re.sub(
            rf"(?m)^{re.escape(first)}.*\n(?:\|.*\n)*", lambda _, table=table: "\n".join(table()) + "\n", page
        )
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    write()
