"""retour clock: what it asks of the hub, and what it says to nonsense."""

import json
from datetime import timedelta
from typing import Any

import pytest

from retour.cli import clock
from retour.cli.arguments import build_parser
from retour.cli.client import ApiError, HubClient, UsageError


class LocalHub:
    """A hub whose clock shows a fixed time until it is set."""

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {"now": "2026-12-01T09:00:00.000Z", "real": "", "offset_seconds": 0}
        self.asked: list[Any] = []

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/local/clock"
        return self.shown

    def post(self, path: str, document: Any) -> dict[str, Any]:
        assert path == "/local/clock"
        self.asked.append(document)
        self.shown = {**self.shown, "now": document["to"], "offset_seconds": 2_764_800 + 5_400}
        return self.shown


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    local = LocalHub()
    monkeypatch.setattr(clock, "connect_hub", lambda _: local)
    return local


def run(*said: str) -> int:
    arguments = build_parser().parse_args(["clock", *said])
    return int(arguments.run(arguments))


def test_it_shows_the_time(hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert "2026-12-01T09:00:00.000Z, the real time" in capsys.readouterr().out
    assert run("--json") == 0
    assert json.loads(capsys.readouterr().out) == hub.shown
    assert hub.asked == []


@pytest.mark.parametrize(
    ("said", "to"),
    [
        (("31d",), "2027-01-01T09:00:00.000Z"),
        (("1d12h",), "2026-12-02T21:00:00.000Z"),
        (("90m",), "2026-12-01T10:30:00.000Z"),
        (("--to", "2026-12-24T09:00:00+01:00"), "2026-12-24T08:00:00.000Z"),
        (("--to", "2026-12-24"), "2026-12-24T00:00:00.000Z"),
    ],
)
def test_it_is_advanced_by_a_duration_or_to_a_moment(
    hub: LocalHub, capsys: pytest.CaptureFixture[str], said: tuple[str, ...], to: str
) -> None:
    assert run("advance", *said) == 0
    assert hub.asked == [{"to": to}]
    assert "32 d 1 h 30 min ahead of the real time" in capsys.readouterr().out


@pytest.mark.parametrize(
    "said",
    [("advance",), ("advance", "31"), ("advance", "d"), ("advance", "soon"), ("advance", "1d", "--to", "2026-12-24"),
     ("advance", "--to", "soon"), ("show", "31d"), ("advance", "٣d")],
)  # fmt: skip
def test_nonsense_is_answered_with_what_is_right(hub: LocalHub, said: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"retour clock advance|no duration|no moment"):
        run(*said)
    assert hub.asked == []


def test_a_hub_in_the_cloud_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: HubClient, path: str, **_: Any) -> Any:
        raise ApiError(404, {})

    monkeypatch.setattr(HubClient, "get", missing)
    monkeypatch.setattr(clock, "connect_hub", lambda _: HubClient("https://hub.example", "k"))
    with pytest.raises(UsageError, match="real time only"):
        run()


def test_how_far_it_is_off() -> None:
    assert clock.describe_offset(timedelta(seconds=-40)) == "40 s behind the real time"
