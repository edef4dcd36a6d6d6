"""Check responses of the API against the OpenAPI document: status, content type and every member."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker

DOCUMENT = Path(__file__).resolve().parents[1] / "infra/openapi.yaml"


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text("utf-8"))
    return found


@cache
def operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    paths = sorted(document()["paths"].items(), key=lambda one: one[0].count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), item) for path, item in paths]


def operation(method: str, path: str) -> dict[str, Any] | None:
    for pattern, item in operations():
        if method.lower() in item and pattern.fullmatch(path):
            found: dict[str, Any] = item[method.lower()]
            return found
    return None


def assert_described(method: str, path: str, status: int, media_type: str, body: bytes) -> None:
    """Assert that a response matches its description.

    `path` is plain: ids contain no slashes. Unknown routes respond with problems, as do all routes on undocumented
    errors.
    """
    described = operation(method, path) or {"responses": {"default": {"$ref": "#/components/responses/Problem"}}}
    responses = described["responses"]
    said = responses.get(str(status)) or (responses.get("default") if status >= 400 else None)
    assert said is not None, f"{method} {path} answers {status}; described are {', '.join(responses)}"
    content = resolve_refs(said).get("content", {})
    if not content or not body:
        return
    kind = media_type.partition(";")[0].strip()
    assert kind in content, (
        f"{method} {path} answers {status} as {kind}, and the description knows {', '.join(content)}"
    )
    if kind.endswith("json"):
        errors = sorted(validator(json.dumps(content[kind]["schema"])).iter_errors(json.loads(body)), key=str)
        told = [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in errors]
        assert not told, f"{method} {path} answers {status} otherwise than described: {'; '.join(told[:3])}"


def resolve_refs(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = document()
    for part in node["$ref"].split("/")[1:]:
        found = found[part]
    return dict(found)


@cache
def validator(schema: str) -> Draft202012Validator:
    """A strict validator that rejects undocumented members, which clients could not know.

    Parts of an `allOf` are closed by the whole, so they use a copy that stays open.
    """
    schemas = document()["components"]["schemas"]
    definitions = {
        "schemas": {name: forbid_unknown_members(one) for name, one in schemas.items()},
        "open": {name: forbid_unknown_members(one, part=True) for name, one in schemas.items()},
    }
    root = {**forbid_unknown_members(json.loads(schema)), "$defs": definitions}
    text = json.dumps(root).replace("#/components/schemas/", "#/$defs/schemas/")
    return Draft202012Validator(json.loads(text), format_checker=FormatChecker())


def forbid_unknown_members(schema: Any, *, part: bool = False) -> Any:
    if isinstance(schema, list):
        return [forbid_unknown_members(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if part and "$ref" in schema:
        return {"$ref": schema["$ref"].replace("#/components/schemas/", "#/$defs/open/")}
    closed: dict[str, Any] = {}
    for name, value in schema.items():
        match name:
            case "allOf":
                closed[name] = [forbid_unknown_members(one, part=True) for one in value]
            case "properties":
                closed[name] = {key: forbid_unknown_members(one) for key, one in value.items()}
            case "enum" | "const" | "required" | "example" | "examples":
                closed[name] = value
            case _:
                closed[name] = forbid_unknown_members(value)
    if not part and "additionalProperties" not in closed and ("properties" in closed or "allOf" in closed):
        closed["unevaluatedProperties"] = False
    return closed
