"""Generate the terms' part of the program schema and of the documentation from the registries."""

from collections.abc import Mapping
from typing import Any

from retour.domain.contracts.conditions import CONDITIONS, NOT
from retour.domain.contracts.lock_terms import LOCK_METHODS, lock_schema, locks_schema
from retour.domain.contracts.pay import PAY_SCHEMA
from retour.domain.contracts.rule import rule_schema


def term_definitions() -> Mapping[str, Mapping[str, Any]]:
    """The definitions below `$defs` of program.schema.json that terms declare."""
    return {"payout": PAY_SCHEMA, "rule": rule_schema(), "lock": lock_schema(), "locks": locks_schema()}


def rules_table() -> list[str]:
    """Rows of the documentation table of rule keys."""
    rows = [(word, body) for word, body in rule_schema()["properties"].items() if word not in (*CONDITIONS, NOT)]
    return [
        "| key of a rule | says |",
        "|---|---|",
        f"| `pays` | {PAY_SCHEMA['description']} |",
        *(f"| `{word}` | {body['description']} |" for word, body in rows if word != "pays"),
        *(f"| `{word}` | {one.about} |" for word, one in CONDITIONS.items()),
        f"| `{NOT}` | {rule_schema()['properties'][NOT]['description']} |",
    ]


def locks_table() -> list[str]:
    """Rows of the documentation table of lock methods."""
    return [
        "| `lock` | the action locks |",
        "|---|---|",
        *(f"| {', '.join(f'`{key}`' for key in way.leading)} | {way.about} |" for way in LOCK_METHODS),
    ]
