"""The same attacks on every route there is: words, fields and signs that nobody would read are refused by name.

The routes come from the published description, so that one that is added is attacked as well.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conftest import ProgramHarness
from tests.functions.test_api import ACTIONS, BATCHES, MODIFICATIONS, SALE, Caller
from tests.functions.test_api import admin as admin
from tests.functions.test_api import call as call
from tests.functions.test_calls import gateway

from retour.api.openapi import METHODS, load_openapi

OTHER_FUNCTIONS = ("/hooks/", "/salesforce/")
"""Answered by functions of their own, which have tests of their own."""
PUBLIC = ("/healthz", "/openapi.json", "/v1/program.schema.json")
KNOWN_SEGMENTS = {
    "source": "erp",
    "act": "reverse",
    "verb": "release",
    "kind": "raw",
    "name": "skus",
    "secret": "signing",
}
FILE_BODIES = ("/files", "/check")


def routes(method: str = "") -> Iterator[tuple[str, str]]:
    for path, operations in load_openapi()["paths"].items():
        for name in METHODS:
            if name in operations and not any(other in path for other in OTHER_FUNCTIONS) and method in ("", name):
                yield name.upper(), path


class Routes:
    """The addresses of a program that has an action, a batch and a record."""

    def __init__(self, admin: Caller, call: Caller, house: ProgramHarness) -> None:
        self.admin, self.call, self.house = admin, call, house
        sale = call("POST", ACTIONS, {**SALE, "order_id": "R-1", "amount": "100.00"}).json["outcomes"][0]["action_id"]
        record = {"order_id": "R-1", "change": "take_back", "amount": "1.00", "currency": "EUR", "reference": "r"}
        told = call("POST", MODIFICATIONS, record).json
        self.ids = {"action": sale, "batch": told["batch"], "modification": told["outcomes"][0]["id"], **KNOWN_SEGMENTS}

    def path(self, template: str, unknown: str = "x") -> str:
        named = {**self.ids, "program": self.house.program}
        named["act"] = "undo" if "{modification}" in template else "reverse"
        return re.sub(r"\{(\w+)\}", lambda found: str(named.get(found[1], unknown)), template)

    def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, str, str, list[str]]:
        """Its status, its code, its words, and the codes of its records."""
        headers = {"content_type": "application/json"} if body else {}
        status, problem, _ = gateway(self.house, self.admin, method, path, body, **headers)
        known: dict[str, Any] = problem if isinstance(problem, dict) else {}
        codes = [one["code"] for one in known.get("outcomes", ())]
        return status, known.get("code", ""), known.get("detail", ""), codes

    def written(self) -> tuple[int, str]:
        shown = self.call("GET", BATCHES, query={"limit": "100"}).json["items"]
        return len(shown), self.call("GET", f"{ACTIONS}/{self.ids['action']}").json["amount"]


@pytest.fixture
def door(admin: Caller, call: Caller, house: ProgramHarness) -> Routes:
    return Routes(admin, call, house)


def test_a_query_word_that_no_route_knows_is_refused_on_each(door: Routes) -> None:
    before, wrong = door.written(), []
    for method, path in routes():
        for query in ("dryrun=true", "zzz=1", "%F0%9F%92%A9=1", "limit=1&limit=2" if method == "GET" else "zzz"):
            status, code, *_ = door.send(method, f"{door.path(path)}?{query}")
            if (status, code) not in ((400, "UNKNOWN_QUERY"), (400, "DRY_RUN_NOT_OFFERED")):
                wrong.append((method, path, query, status, code))
    assert not wrong
    assert door.written() == before


def test_a_control_character_in_a_path_is_refused_on_each(door: Routes) -> None:
    before, wrong = door.written(), []
    for method, path in routes():
        for sign in ("%00", "%0A", "%7F", "%C2%85", "%E2%80%A8", "%0D%0Ax"):
            for at in (f"{door.path(path)}{sign}", door.path(path).replace(f"/{door.house.program}", f"/a{sign}b", 1)):
                if (answer := door.send(method, at)[:2]) != (400, "PATH_INVALID") and "%" in at:
                    wrong.append((method, at, answer))
    assert not wrong
    assert door.written() == before


BODIES = {
    "key twice": (b'{"zzz": 1, "zzz": 2}', "DUPLICATE_KEY"),
    "amount twice": (b'{"rate": "0.92", "amount": "1.00", "rate": "9.20", "amount": "9.00"}', "DUPLICATE_KEY"),
    "key twice within": (b'{"reason": {"a": 1, "a": 2}}', "DUPLICATE_KEY"),
    "not UTF-8": (b'{"reason": "CANC\xc4LLED"}', "NOT_UTF8"),
    "unknown field": (b'{"zzz": 1}', "UNKNOWN_FIELD"),
    "not JSON": (b'{"reason": }', "NOT_JSON"),
    "too deep": (b"[" * 50_000, "NESTED_TOO_DEEP"),
    "many unknown names": (json.dumps({f"n{number:05}x": "1" for number in range(4_000)}).encode(), "UNKNOWN_FIELD"),
}


RECORDS = ("/modifications", "/actions", "/rates")
"""Lists of records, of which each is refused by itself."""


@pytest.mark.parametrize("case", BODIES)
def test_a_json_body_is_read_as_strictly_on_each(door: Routes, case: str) -> None:
    body, code = BODIES[case]
    before, wrong = door.written(), []
    for method, path in routes():
        if method == "GET" or path in PUBLIC or not reads_json(method, path):
            continue
        status, found, detail, outcomes = door.send(method, door.path(path), body)
        if path.endswith(RECORDS) and status == 200:
            found = ",".join({*outcomes, found} - {""})
        if path.endswith("{program}") and (status, found) == (422, "PROGRAM_INVALID"):
            continue
        known = {code, "RATES_UNREADABLE", "FIELD_NOT_TEXT"} if path.endswith(RECORDS) else {code}
        # Who may not do it, or asks for what is not there, hears that first.
        is_elsewhere = status == 403 or (status == 404 and door.path(path) != door.path(path, unknown="y"))
        if found not in known and not is_elsewhere:
            wrong.append((method, path, status, found, detail[:200]))
    assert not wrong
    batches, amount = door.written()
    assert amount == before[1] and batches - before[0] <= len(RECORDS)


def reads_json(method: str, path: str) -> bool:
    operation = load_openapi()["paths"][path][method.lower()]
    body = operation.get("requestBody", {"content": {"application/json": {}}})
    named = body.get("$ref", "").rpartition("/")[2]
    found = load_openapi()["components"]["requestBodies"][named] if named else body
    return "application/json" in found["content"]
