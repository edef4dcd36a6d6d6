"""retour funding check: figures without a hub, contracts with one; exit codes and the shape of --json."""

import json
from typing import Any

import pytest
from tests.cli.fake_hub import FakeHub

from retour.cli import main
from retour.money.presets import preset_names

FIGURES = ["--window", "28", "--lag", "2", "--statement-day", "4", "--paid", "at statement"]


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["funding", "check", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_published_recommendation_is_tight(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = check(capsys, "--lock", "1 month 2 days after month end", *FIGURES)
    assert code == 0 and (found["verdict"], found["unsafe_dates"], found["tight_dates"]) == ("tight", 0, 303)
    assert set(found["worst"]) == {"event_date", "last_change", "last_report", "statement", "paid"}
    assert found["worst"]["event_date"].endswith("-01-31")
    assert check(capsys, "--preset", "amazon-seller") == (code, found)


def test_an_unsafe_lock_ends_with_1_and_names_the_smallest_fix(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = check(capsys, "--lock", "1 month 1 day after month end", *FIGURES)
    assert code == 1 and (found["verdict"], found["unsafe_dates"]) == ("unsafe", 303)
    assert found["fix"]["lock"] == "1 month 2 days after month end"
    again, fixed = check(capsys, "--lock", found["fix"]["lock"], *FIGURES)
    assert again == 0 and fixed["unsafe_dates"] == 0
    assert main(["funding", "check", "--lock", "1 month 1 day after month end", *FIGURES]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "Unsafe: 303 of the 146,097 dates" in said and "lock 1 month 2 days after month end" in said


def test_what_breaks_the_recommendation_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for change in (["--skew", "1"], ["--lock", "1 month 2 days after month end, at start"]):
        code, found = check(capsys, "--preset", "amazon-seller", *change)
        assert code == 1 and found["unsafe_dates"] == 303


@pytest.mark.parametrize("preset", preset_names())
def test_every_published_preset_fails_on_no_date(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = check(capsys, "--preset", preset)
    assert code == 0 and found["unsafe_dates"] == 0


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["--lock", "a while after event", "--window", "28"], "`--lock` is 'a while after event'"),
        (["--lock", "30 days after event"], "`--window` is required"),
        (["--window", "28"], "`--lock` is required"),
        (["--lock", "30 days after event", "--window", "28", "--statement-day", "31"], "1 to 28"),
        (["--lock", "30 days after event", "--window", "28", "--paid", "at statement"], "needs `statement_day`"),
        (["--preset", "net-30", "--contract", "standard"], "without --contract"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], about: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["funding", "check", *arguments]) == 2
    assert about in " ".join(capsys.readouterr().err.split())


def test_a_contract_is_asked_of_the_hub(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    _, answer = check(capsys, "--preset", "net-30")
    answer |= {"contract": "standard", "billing_group": "default", "verdict": "unsafe", "checks": []}
    hub.says("GET /v1/programs/acme/funding/check", answer)
    hub.says("POST /v1/programs/acme/funding/check", answer | {"verdict": "tight"})
    where = ["--url", hub.url, "--key", "k", "--program", "acme"]
    assert check(capsys, *where, "--contract", "standard") == (1, answer)
    assert hub.of("GET /v1/programs/acme/funding/check")[0].query == {"contract": "standard"}
    assert main(["funding", "check", *where, "--contract", "standard", "--window", "14"]) == 0
    (asked,) = hub.of("POST /v1/programs/acme/funding/check")
    assert asked.document == {"contract": "standard", "window_days": 14}
