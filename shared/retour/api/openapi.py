"""Checks of a call against the OpenAPI document, which is loaded only for calls that need it."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl

from retour.api.calls import Call
from retour.api.problem import HttpError
from retour.channels.payload import closest_name
from retour.errors import InvalidRequestError, NotFoundError, RequestError, excerpt

METHODS = ("get", "put", "post", "delete", "patch")


def reject_undocumented(call: Call) -> None:
    """Reject parameters and bodies that the OpenAPI document does not declare, instead of silently ignoring them."""
    if not call.query and not call.body.strip():
        return
    described = find_operation(call.method, call.path)
    if not described:
        return
    reject_unknown_query(call, [one["name"] for one in described["parameters"] if one["in"] == "query"])
    if call.body.strip() and "requestBody" not in described:
        call.document()


def reject_unknown_query(call: Call, known: list[str]) -> None:
    """Refuse unknown or repeated query parameters, and `dry_run` where it is not supported."""
    for name in call.query:
        if name in known:
            continue
        if name == "dry_run" and not call.is_dry_run:
            continue
        if name == "dry_run":
            raise InvalidRequestError("DRY_RUN_NOT_OFFERED")
        if not known:
            raise InvalidRequestError("UNKNOWN_QUERY", "none", name=excerpt(name))
        raise InvalidRequestError(
            "UNKNOWN_QUERY", name=excerpt(name), closest=closest_name(name, known), known=", ".join(known)
        )
    said = [name for name, _ in parse_qsl(call.raw_query, keep_blank_values=True)]
    if twice := next((name for name in said if said.count(name) > 1), None):
        raise InvalidRequestError("UNKNOWN_QUERY", "twice", name=excerpt(twice))


def no_route(call: Call) -> RequestError:
    """405 if the path exists for other methods, else 404."""
    allowed = ", ".join((*allowed_methods(call.path), "OPTIONS"))
    if not allowed_methods(call.path):
        return NotFoundError("path")
    return HttpError("METHOD_NOT_ALLOWED", headers={"allow": allowed}, method=call.method, allowed=allowed)


def allowed_methods(path: str) -> list[str]:
    """The methods of a path; empty if it does not exist."""
    found = [
        name
        for pattern, operations in load_path_patterns()
        if pattern.fullmatch(path)
        for name in METHODS
        if name in operations
    ]
    return [name.upper() for one in dict.fromkeys(found) for name in (("get", "head") if one == "get" else (one,))]


def find_operation(method: str, path: str) -> dict[str, Any]:
    """The operation with its path's parameters; empty if there is none.

    Paths without placeholders take precedence.
    """
    for pattern, operations in load_path_patterns():
        if method.lower() in operations and pattern.fullmatch(path):
            own = operations[method.lower()]
            parameters = [*operations.get("parameters", ()), *own.get("parameters", ())]
            return {**own, "parameters": [resolve_parameter(one) for one in parameters]}
    return {}


def resolve_parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    name = parameter.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = load_openapi()["components"]["parameters"][name] if name else parameter
    return found


@cache
def load_path_patterns() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    paths = load_openapi()["paths"]
    return [
        (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), paths[path]) for path in sorted(paths, key=count_placeholders)
    ]


@cache
def load_openapi() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files("retour").joinpath("api/openapi.json").read_text("utf-8"))
    return found


def count_placeholders(path: str) -> int:
    return path.count("{")
