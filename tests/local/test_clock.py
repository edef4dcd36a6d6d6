"""The business clock of the local hub: it goes forward, everything due is looked after, and it outlives the hub."""

import json
import urllib.error
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.local.conftest import RunningHub, running_hub
from tests.local.test_hub import OWN_PROGRAM, action, ask

from local.clock import Clock, ClockControl
from retour.domain.times import format_instant, parse_instant
from retour.errors import RequestError

pytestmark = pytest.mark.slow


def test_it_is_as_it_was_left_unless_it_is_set(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    assert Clock(path).offset_seconds == 0
    Clock(path, 3600)
    assert Clock(path).offset == timedelta(hours=1)
    assert abs(Clock(path).now() - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=5)
    assert Clock(path, 0).offset_seconds == 0


def test_it_is_kept_before_anything_follows(tmp_path: Path) -> None:
    seen = []
    clock = Clock(tmp_path / "clock.json")
    dial = ClockControl(clock, lambda: seen.append(Clock(tmp_path / "clock.json").offset_seconds))
    wanted = datetime.now(UTC) + timedelta(days=31)
    shown = dial.advance(json.dumps({"to": format_instant(wanted)}).encode())
    assert seen == [clock.offset_seconds] and parse_instant(shown["now"]) >= wanted.replace(microsecond=0)
    assert abs(clock.offset - timedelta(days=31)) <= timedelta(seconds=1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"to": 5}', 400),
        (b'{"to": "tomorrow"}', 400),
        (b'{"to": "2026-12-24"}', 400),
        (b'{"to": "9999-12-31T23:00:00-12:00"}', 400),
        (b'{"to": "4000-01-01T00:00:00Z"}', 400),
        (b'{"to": "2020-01-01T00:00:00Z"}', 409),
    ],
)
def test_nonsense_and_the_past_move_nothing(tmp_path: Path, body: bytes, status: int) -> None:
    clock = Clock(tmp_path / "clock.json")
    with pytest.raises(RequestError) as refused:
        ClockControl(clock, lambda: pytest.fail("nothing follows")).advance(body)
    assert refused.value.status == status and clock.offset_seconds == 0


def test_the_hub_locks_what_becomes_due_and_a_restart_keeps_the_time(tmp_path: Path) -> None:
    terms = {"event_type": "sale", "valid_from": "2020-01-01", "payout": "10%", "lock": {"days_after_event": 5}}
    program = {**OWN_PROGRAM, "contracts": {"all": terms}}
    with running_hub(tmp_path, "--auth") as hub:
        ask(hub, "PUT", "/v1/programs/shoes", program)
        assert ask(hub, "POST", "/v1/programs/shoes/actions", [action("C-1", "80.00")])["counts"] == {"applied": 1}
        start = ask(hub, "GET", "/local/clock")
        assert start["offset_seconds"] == 0
        with pytest.raises(urllib.error.HTTPError) as error:
            ask(hub, "POST", "/local/clock", {"to": start["now"]}, key=hub.ready["programs"]["acme"]["api_key"])
        assert error.value.code == 401
        later = format_instant(parse_instant(start["now"]) + timedelta(days=31))
        shown = ask(hub, "POST", "/local/clock", {"to": later})
        assert shown["now"] >= later[:19]
        assert ask(hub, "GET", "/v1/programs/shoes/actions/C-1~sale")["state"] == "locked"
        assert final(hub, "A#shoes#C-1"), "the locker has run, with its own role"
        change = {"order_id": "C-1", "change": "take_back", "amount": "10.00", "reason": "ITEM_RETURNED"}
        [refused] = ask(hub, "POST", "/v1/programs/shoes/modifications", change)["outcomes"]
        assert (refused["code"], refused["make_good"]["payout"]) == ("ACTION_LOCKED", "-1.00")
    with running_hub(tmp_path) as hub:
        assert ask(hub, "GET", "/local/clock")["offset_seconds"] == shown["offset_seconds"]


def final(hub: RunningHub, partition: str) -> bool:
    from local.data_folder import load_aws_key
    from local.deploy import Endpoint, client

    endpoint = Endpoint(hub.ready["aws_endpoint"], load_aws_key(Path(hub.data) / "aws/credentials"))
    outputs = client("cloudformation", endpoint).describe_stacks(StackName="retour")["Stacks"][0]["Outputs"]
    [table] = [one["OutputValue"] for one in outputs if one["OutputKey"] == "LedgerTable"]
    heads = client("dynamodb", endpoint).query(
        TableName=table,
        KeyConditionExpression="PK = :pk AND begins_with(SK, :heads)",
        ExpressionAttributeValues={":pk": {"S": partition}, ":heads": {"S": "H#"}},
    )["Items"]
    return bool(heads) and all("fin" in head for head in heads)
