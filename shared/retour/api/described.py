"""What the published description says of a call. It is read only for the calls that turn on it."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl

from retour.api.calls import Call, Refused, not_found
from retour.api.problem import shown
from retour.channels.payload import closest

METHODS = ("get", "put", "post", "delete", "patch")


def understand(call: Call) -> None:
    """Refuse a call that says what nobody would read: it would do something else than was meant."""
    if not call.query and not call.body.strip():
        return
    described = operation(call.method, call.path)
    if not described:
        return
    know_words(call, [one["name"] for one in described["parameters"] if one["in"] == "query"])
    if call.body.strip() and "requestBody" not in described:
        call.document()


def know_words(call: Call, known: list[str]) -> None:
    """Every query word by its name, once; a dry run only where there is one."""
    for name in call.query:
        if name in known:
            continue
        if name == "dry_run" and not call.is_dry_run:
            continue
        if name == "dry_run":
            raise Refused("DRY_RUN_NOT_OFFERED")
        if not known:
            raise Refused("UNKNOWN_QUERY", "none", name=shown(name))
        raise Refused("UNKNOWN_QUERY", name=shown(name), closest=closest(name, known), known=", ".join(known))
    said = [name for name, _ in parse_qsl(call.raw_query, keep_blank_values=True)]
    if twice := next((name for name in said if said.count(name) > 1), None):
        raise Refused("UNKNOWN_QUERY", "twice", name=shown(twice))


def no_route(call: Call) -> Refused:
    """405 where the path is known for other methods, else 404."""
    allowed = ", ".join((*methods(call.path), "OPTIONS"))
    if not methods(call.path):
        return not_found("path")
    return Refused("METHOD_NOT_ALLOWED", headers={"allow": allowed}, method=call.method, allowed=allowed)


def methods(path: str) -> list[str]:
    """What can be asked at a path; nothing where there is none."""
    found = [
        name for pattern, operations in described() if pattern.fullmatch(path) for name in METHODS if name in operations
    ]
    return [name.upper() for one in dict.fromkeys(found) for name in (("get", "head") if one == "get" else (one,))]


def operation(method: str, path: str) -> dict[str, Any]:
    """Its description, with the parameters of its path; empty where there is none.

    An address without a placeholder goes before one with.
    """
    for pattern, operations in described():
        if method.lower() in operations and pattern.fullmatch(path):
            own = operations[method.lower()]
            parameters = [*operations.get("parameters", ()), *own.get("parameters", ())]
            return {**own, "parameters": [resolved(one) for one in parameters]}
    return {}


def resolved(parameter: dict[str, Any]) -> dict[str, Any]:
    name = parameter.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document()["components"]["parameters"][name] if name else parameter
    return found


@cache
def described() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    paths = document()["paths"]
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), paths[path]) for path in sorted(paths, key=placeholders)]


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files("retour").joinpath("api/openapi.json").read_text("utf-8"))
    return found


def placeholders(path: str) -> int:
    return path.count("{")
