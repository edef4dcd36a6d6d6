"""Every route by every kind of caller: who is let in, who is not, and that nobody hears what there is behind it."""

import random
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from functions.api import app as api
from functions.console import app as console
from functions.salesforce import app as salesforce
from functions.webhook import app as webhook
from tests import gateway
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_api import Answer, Caller, admin, call
from tests.test_openapi import ELSEWHERE, METHODS, documented

from retour.domain.program import PROGRAM_ID

__all__ = ["admin", "call"]
CONTEXT = SimpleNamespace(
    function_name="webhook",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 29_000,
)
OPEN = {("GET", "/healthz"), ("GET", "/openapi.json"), ("GET", "/v1/program.schema.json")}
ROUTES = sorted(documented() - ELSEWHERE)
VERBS = ("GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "PURGE", "")
BODIES: Mapping[str, bytes] = {
    "nothing": b"", "an object": b"{}", "a list": b"[{}]", "no JSON": b"\xff{", "deep": b"[" * 2000,
}  # fmt: skip
STRANGERS = {
    "nobody": {},
    "another scheme": {"authorization": "Basic YTpi"},
    "half a scheme": {"authorization": "Bearer"},
    "an unknown key": {"authorization": "Bearer rk_nobody_0123456789abcdef"},
    "a key of odd signs": {"authorization": "Bearer \x00\udcff\u2028"},
}
OTHERS = {"program": "{p}", "source": "erp", "id": "x", "name": "x", "token": "x" * 24, "verb": "approve"}


def filled(path: str, program: str) -> str:
    """A path with something in each of its places."""
    return re.sub(r"{(\w+)}", lambda found: program if found[1] == "program" else OTHERS.get(found[1], "x"), path)


def said(answer: Answer, program: str) -> tuple[Any, ...]:
    """All that a caller hears, but for the name of the program that they said themselves."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("content-length", "x-request-id")}
    return answer.status, headers, answer.body.replace(program.encode(), b"PROGRAM")


@pytest.fixture
def foreign(call: Caller, house: ProgramHarness) -> str:
    """A program of somebody else."""
    other = f"{house.program[:-4]}"
    house.hub.programs.apply({**PROGRAM, "program": other}, house.hub.now(), "d")
    return other


@pytest.mark.parametrize("who", STRANGERS)
def test_a_stranger_hears_401_at_every_route_and_the_same_wherever_it_leads(call: Caller, who: str) -> None:
    stranger = Caller("", call.program)
    for method, path in ROUTES:
        heard = [
            said(stranger(method, filled(path, program), body, **STRANGERS[who]), program)
            for program in (call.program, "no-such-program")
            for body in ((b"", b"{}") if method in ("POST", "PUT") else (b"",))
        ]
        assert all(one == heard[0] for one in heard), (method, path)
        status = heard[0][0]
        assert status < 400 if (method, path) in OPEN else status == 401, (method, path, status)


def test_no_method_and_no_body_of_a_stranger_is_our_fault(call: Caller) -> None:
    stranger = Caller("", call.program)
    for path in sorted({path for _, path in ROUTES}):
        for method in VERBS:
            for name, body in BODIES.items():
                answer = stranger(method, filled(path, call.program), body, content_type="application/json")
                assert 200 <= answer.status < 500, (method, path, name)
                assert answer.status >= 400 or ("GET", path) in OPEN or method == "OPTIONS", (method, path, name)


def test_a_key_of_one_program_hears_the_same_404_of_a_foreign_and_of_a_missing_one(call: Caller, foreign: str) -> None:
    for method, path in ROUTES:
        if "{program}" not in path:
            continue
        for body in (b"", b"{}", b"[]"):
            there, nowhere = (
                call(method, filled(path, program), body, content_type="application/json")
                for program in (foreign, "no-such-program")
            )
            assert there.status == nowhere.status == 404, (method, path, body)
            assert said(there, foreign) == said(nowhere, "no-such-program"), (method, path, body)


@pytest.mark.own_storage
def test_no_caller_and_no_body_at_any_route_is_a_fault_of_ours(call: Caller, admin: Caller) -> None:
    for caller in (call, admin):
        for method, path in ROUTES:
            for name, body in BODIES.items():
                answer = caller(method, filled(path, call.program), body, content_type="application/json")
                assert answer.status < 500, (caller.key[:8], method, path, name, answer.body)
                assert answer.status != 401, (caller.key[:8], method, path, name)


SEGMENTS = (
    "v1", "programs", "{p}", "hooks", "erp", "salesforce", "actions", "A-1~sale", "batches", "x", "files", "uploads",
    "console", "my", "static", "..", "%2e%2e", "%00", "%ff", "é", "\u202e", "a" * 300, "sign-in", "~", "inbox", "setup",
    "rates", "doctor", "redrive", "funding", "statements", "keys", "forget", "",
)  # fmt: skip
WORDS = ("dry_run=1", "limit=-1", "cursor=%ff", "next=", "from=é", "x=%00", "é=é", "limit=" + "9" * 30)
HEADERS = (
    ("authorization", "Bearer \udcff"), ("authorization", "Basic Og=="), ("cookie", "\x00"), ("cookie", "a" * 5000),
    ("content-type", "text/csv; charset=\xff"), ("content-type", ";"), ("content-length", "-1"), ("origin", "null"),
    ("accept-language", "xx,*;q=x"), ("host", ""), ("idempotency-key", "\x00"), ("webhook-id", "é"), ("svix-id", ""),
    ("webhook-timestamp", "9" * 40), ("stripe-signature", "t=9e999,v1=x"), ("x-wc-webhook-signature", "\udcff"),
)  # fmt: skip


def test_whatever_a_stranger_makes_up_is_no_fault_of_ours(
    call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths, words, headers, bodies and methods drawn by a seed, at every function that answers calls."""
    for module in (console, webhook, salesforce):
        monkeypatch.setattr(module, "hub", lambda: house.hub)
    draw, bodies = random.Random(12), [*BODIES.values(), b'{"a":1e999}', b"\x00", b"<a/>", b'{"a":"\xed\xa0\x80"}']
    for _ in range(600):
        path = "/" + "/".join(draw.choice(SEGMENTS) for _ in range(draw.randint(0, 7))).replace("{p}", call.program)
        path += "?" + "&".join(draw.sample(WORDS, draw.randint(1, 3))) if draw.random() < 0.3 else ""
        named = {
            "program": draw.choice((call.program, "x", "")),
            "source": draw.choice(("erp", "\x00")),
            "token": draw.choice(("", "x" * 24, "\udcff" * 24)),
        }
        headers = dict(draw.sample(HEADERS, draw.randint(0, 4)))
        method, app = draw.choice(VERBS), draw.choice((api, console, webhook, salesforce))
        answer = app.handler(gateway.event(method, path, draw.choice(bodies), headers, named), CONTEXT)
        assert answer["statusCode"] < 500, (app.__name__, method, path, headers, named)


# Functions of their own


def asked(app: Any, method: str, path: str, parameters: dict[str, str], body: bytes, **headers: str) -> Any:
    event = gateway.event(method, path, body, {"content-type": "application/json", **headers}, parameters)
    answer = app.handler(event, CONTEXT)
    return answer["statusCode"], {k.lower(): v for k, v in answer["headers"].items()}, answer["body"]


@pytest.mark.parametrize("body", BODIES)
def test_a_hook_tells_strangers_nothing_of_programs_and_sources(
    call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr(webhook, "hub", lambda: house.hub)
    monkeypatch.setattr(salesforce, "hub", lambda: house.hub)
    places = [(call.program, "erp"), (call.program, "warehouse"), (call.program, "none"), ("no-such-program", "erp"),
              ("NO PROGRAM", "e r p")]  # fmt: skip
    signatures: list[dict[str, str]] = [
        {},
        {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"},
        {"x-shopify-hmac-sha256": "é"},
        {"stripe-signature": "t=1,v1=0"},
    ]
    for headers in signatures:
        heard = [
            asked(
                webhook,
                "POST",
                f"/v1/programs/{program}/hooks/{source}",
                {"program": program, "source": source},
                BODIES[body],
                **headers,
            )
            for program, source in places
        ]
        assert all(one == heard[0] for one in heard), heard
        assert 400 <= heard[0][0] < 500
    heard = [
        asked(
            salesforce,
            "POST",
            f"/v1/programs/{program}/salesforce/{source}/{token}",
            {"program": program, "source": source, "token": token},
            BODIES[body],
        )
        for program, source in places
        for token in ("x" * 24, "x")
    ]
    assert all(one == heard[0] for one in heard), heard
    assert 400 <= heard[0][0] < 500


def test_the_matrix_has_every_route(call: Caller) -> None:
    assert len(ROUTES) > 45 and PROGRAM_ID.fullmatch(call.program)
    assert {method.lower() for method, _ in ROUTES} <= METHODS
