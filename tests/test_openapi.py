"""The API's document is right, is what is served, and names exactly the routes there are.

`python tests/test_openapi.py` writes the served copy anew after infra/openapi.yaml was changed.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_spec_validator import validate

ROOT = Path(__file__).resolve().parents[1]
SERVED = ROOT / "shared/retour/api/openapi.json"
METHODS = {"get", "post", "put", "delete", "patch"}
ELSEWHERE = {
    ("POST", "/v1/programs/{program}/hooks/{source}"),
    ("POST", "/v1/programs/{program}/salesforce/{source}/{token}"),
}
"""Routes of functions of their own."""


def written() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "infra/openapi.yaml").read_text("utf-8"))
    return document


def text() -> str:
    return json.dumps(written(), ensure_ascii=False, indent=1) + "\n"


def documented() -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, item in written()["paths"].items() for method in item if method in METHODS}


def routed() -> set[tuple[str, str]]:
    from functions.api.app import app

    routes = [*app._static_routes, *app._dynamic_routes]
    return {(route.method, re.sub(r"<(\w+)>", r"{\1}", route.path)) for route in routes}


class Template(yaml.SafeLoader):
    """CloudFormation's short forms read as their bare values."""


def bare(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


Template.add_multi_constructor("!", bare)


def gateway() -> list[tuple[str, re.Pattern[str], str]]:
    """Method, path and integration of every route of the gateway, the most exact first, as it chooses."""
    resources = yaml.load((ROOT / "template.yaml").read_text("utf-8"), Template)["Resources"]
    routes = []
    for one in resources.values():
        if one["Type"] == "AWS::ApiGatewayV2::Route":
            if one["Properties"]["RouteKey"] == "$default":
                continue
            method, path = one["Properties"]["RouteKey"].split(" ")
            pattern = re.sub(r"\\{\w+\\\+\\}", ".+", re.escape(path))
            pattern = re.sub(r"\\{\w+\\}", "[^/]+", pattern)
            routes.append((method, re.compile(pattern), one["Properties"]["Target"], "+}" in path))
    assert routes
    return [route[:3] for route in sorted(routes, key=lambda route: route[3])]


def test_the_document_is_openapi() -> None:
    validate(written())


def test_the_served_copy_is_the_written_document() -> None:
    assert SERVED.read_text("utf-8") == text(), f"run: python {Path(__file__).relative_to(ROOT)}"


def test_the_function_has_exactly_the_routes_of_the_document() -> None:
    assert routed() == documented() - ELSEWHERE
    assert documented() >= ELSEWHERE


@pytest.mark.parametrize(("method", "path"), sorted(documented()))
def test_the_gateway_leads_every_route_to_its_function(method: str, path: str) -> None:
    example = re.sub(r"{\w+}", "x", path)
    targets = [to for verb, pattern, to in gateway() if verb in (method, "ANY") and pattern.fullmatch(example)]
    function = {"hooks": "Webhook", "salesforce": "Salesforce"}.get(path.split("/")[4] if path.count("/") > 4 else "")
    wanted = f"{function if (method, path) in ELSEWHERE else 'Api'}Integration"
    assert targets and wanted in targets[0]


def test_every_operation_has_a_name_a_summary_and_its_parameters() -> None:
    names = []
    for path, item in written()["paths"].items():
        for method in METHODS & item.keys():
            names.append(item[method]["operationId"])
            assert item[method]["summary"] and item[method]["tags"], path
            declared = [one.get("$ref", one.get("name", "")).rpartition("/")[2] for one in item.get("parameters", ())]
            assert re.findall(r"{(\w+)}", path) == declared, path
            keyed = any("idempotency_key" in str(one) for one in item[method].get("parameters", ()))
            assert keyed == (method == "post" and (method.upper(), path) not in ELSEWHERE), path
    assert len(names) == len(set(names))


def test_every_example_of_a_body_is_what_its_schema_says() -> None:
    from jsonschema import Draft202012Validator

    document = written()
    count = 0
    for example, schema in examples(document):
        Draft202012Validator({**schema, "components": document["components"]}).validate(example)
        count += 1
    assert count > 5


def examples(node: Any) -> Any:
    if isinstance(node, dict):
        if "schema" in node and "name" not in node:
            if "example" in node:
                yield node["example"], node["schema"]
            yield from ((one["value"], node["schema"]) for one in node.get("examples", {}).values())
        for inner in node.values():
            yield from examples(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from examples(inner)


if __name__ == "__main__":
    SERVED.write_text(text(), "utf-8")
