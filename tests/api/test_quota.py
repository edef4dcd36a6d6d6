"""One sender's flood is answered before anything is read for it, and holds nobody else up."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from functions.webhook import app
from tests.conftest import ProgramHarness
from tests.meter import ReadMeter

from retour.api import quota
from retour.api.quota import Quota

CONTEXT = SimpleNamespace(
    function_name="webhook", memory_limit_in_mb=512, invoked_function_arn="arn", aws_request_id="1"
)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_fills_with_time_and_each_sender_has_its_own() -> None:
    clock = Clock()
    calls = Quota(rate=2, clock=clock)
    flood, other = ("acme", "shop", ""), ("zeta", "shop", "")
    assert [calls.take(flood) for _ in range(20)] == [0] * 20, "ten seconds' calls at once"
    assert calls.take(flood) == 1
    assert calls.take(other) == 0
    clock.now += 0.5
    assert (calls.take(flood), calls.take(flood)) == (0, 1)
    clock.now += 3600
    assert [calls.take(flood) for _ in range(21)][-2:] == [0, 1], "a bucket does not overflow"


def test_slow_buckets_say_for_how_long_and_none_is_none() -> None:
    calls = Quota(rate=0.1, clock=Clock())
    assert (calls.take(("a", "", "")), calls.take(("a", "", ""))) == (0, 10)
    assert all(Quota(rate=0).take(("a", "", "")) == 0 for _ in range(100))


def test_senders_nobody_hears_of_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "SENDERS_MAX", 10)
    clock = Clock()
    calls = Quota(rate=1, clock=clock)
    for n in range(50):
        calls.take((str(n), "", ""))
        clock.now += 2
    assert len(calls._left) < 12


def event(house: ProgramHarness, key: str = "") -> dict[str, Any]:
    path = f"/v1/programs/{house.program}/hooks/erp"
    return {
        "rawPath": path,
        "requestContext": {"http": {"method": "POST"}},
        "pathParameters": {"program": house.program, "source": "erp"},
        "headers": {"authorization": key} if key else {},
        "body": "{}",
    }


def test_beyond_the_quota_nothing_is_read_and_the_answer_says_when(
    house: ProgramHarness, looks: Callable[[], ReadMeter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "hub", lambda: house.hub)
    calls = Quota(rate=0.2, clock=Clock())
    monkeypatch.setattr(quota, "process_quota", lambda: calls)
    first = [app.handler(event(house), CONTEXT)["statusCode"] for _ in range(2)]
    assert first == [401, 401]
    counted = looks()
    answer = app.handler(event(house), CONTEXT)
    assert answer["statusCode"] == 429 and counted.requests == 0
    assert 1 <= int(answer["headers"]["retry-after"]) <= 5
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert app.handler(event(house, "Bearer another"), CONTEXT)["statusCode"] == 401, "another sender's calls go on"
