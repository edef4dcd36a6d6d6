"""The typed documents of the read model and the schemas of the OpenAPI document: the same fields, by the same names."""

import inspect
from typing import Any, is_typeddict

import pytest

from retour.api.openapi import load_openapi
from retour.views import schemas

SCHEMAS: dict[str, Any] = load_openapi()["components"]["schemas"]
NAMES = {
    "EffectDocument": "Effect",
    "MakeGoodDocument": "MakeGood",
    "RecordOutcomeDocument": "RecordOutcome",
    "ModificationDocument": "Modification",
    "ActionLineDocument": "ActionLine",
    "ActionDocument": "Action",
    "BatchAnswerDocument": "BatchAnswer",
    "BatchDocument": "Batch",
    "ChangeOfAmountDocument": "Change_of_amount",
}


def properties(schema: dict[str, Any]) -> dict[str, Any]:
    """Those of a schema, and of the schemas that it is made of."""
    found = dict(schema.get("properties", {}))
    for part in schema.get("allOf", ()):
        found |= properties(SCHEMAS[part["$ref"].rpartition("/")[2]] if "$ref" in part else part)
    return found


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_typed_document_has_the_fields_of_its_schema(name: str) -> None:
    document, schema = getattr(schemas, name), SCHEMAS[NAMES[name]]
    assert is_typeddict(document)
    assert set(document.__annotations__) == set(properties(schema))
    assert set(schema.get("required", ())) <= document.__required_keys__


def test_every_typed_document_that_has_a_schema_is_held_against_it() -> None:
    documents = {name for name, one in inspect.getmembers(schemas, is_typeddict) if one.__module__ == schemas.__name__}
    unnamed = {name.removesuffix("Document") for name in documents - set(NAMES)}
    assert not unnamed & set(SCHEMAS), "named as its schema is: say so"
