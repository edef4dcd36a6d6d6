"""What the published description says of a call. It is read only for the few calls that turn on it."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from retour.api.calls import Call, Refused


def no_rehearsal(call: Call) -> None:
    """Refuse a dry run of what cannot be rehearsed: it would be carried out."""
    if call.method == "GET" or "dry_run" not in call.query or not call.is_dry_run:
        return
    if {"$ref": "#/components/parameters/dry_run"} not in operation(call.method, call.path).get("parameters", ()):
        detail = "This call has no dry run; without `dry_run` it is carried out."
        raise Refused(400, "DRY_RUN_NOT_OFFERED", "No dry run here", detail)


def operation(method: str, path: str) -> dict[str, Any]:
    """Its description; empty where there is none. An address without a placeholder goes before one with."""
    for pattern, methods in described():
        if method.lower() in methods and pattern.fullmatch(path):
            found: dict[str, Any] = methods[method.lower()]
            return found
    return {}


@cache
def described() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    paths = json.loads(files("retour").joinpath("api/openapi.json").read_text("utf-8"))["paths"]
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), paths[path]) for path in sorted(paths, key=placeholders)]


def placeholders(path: str) -> int:
    return path.count("{")
