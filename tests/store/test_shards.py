"""Over how many shards the indexes are spread may change at any time: every list has everything, once, in its order."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.conftest import ProgramHarness
from tests.functions.test_api import ACTIONS, Caller, admin, call  # noqa: F401
from tests.meter import Meter, ReadMeter
from tests.schedule.test_locking import DUE, ledger_of, program_of, run
from tests.settings import change_settings

from retour.counting.rollup import roll_up, rollups_of
from retour.store.items import partner_month, shard_of, shard_suffix

RATE = 5_000
"""Actions a second at which what was recorded is played."""
MOST = 1_000
"""Write units a second that one partition takes."""
ACTIONS_RECORDED = int(os.environ.get("RETOUR_HOT_KEY_ACTIONS", "300"))
OF_A_CALL = 100


def spread(house: ProgramHarness, shards: int) -> None:
    change_settings(house.hub, index_shards=shards)


def report(house: ProgramHarness, name: str, count: int) -> list[str]:
    """So many actions of one day, each a second later than the one before."""
    start = datetime(2026, 11, 1, 11, 0, tzinfo=UTC)
    house.report(
        *(
            {"order_id": f"{name}-{k}", "amount": "100.00", "event_time": (start + timedelta(seconds=k)).isoformat()}
            for k in range(count)
        )
    )
    return [f"{name}-{k}~sale" for k in range(count)]


def paged(call: Caller, **query: str) -> list[str]:  # noqa: F811
    def pages() -> Iterator[dict[str, Any]]:
        answer = call("GET", ACTIONS, query=query).json
        for _ in range(40):
            yield from answer["items"]
            if not answer["next"]:
                return
            answer = call("GET", ACTIONS, query={**query, "cursor": answer["next"]}).json
        raise AssertionError("a list without an end")

    return [item["id"] for item in pages()]


def changed_three_times(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Reported under one shard, then four, then two."""
    made: list[str] = []
    for name, shards in (("one", 1), ("four", 4), ("two", 2)):
        spread(house, shards)
        made += report(house, name, 14)
    return made


def test_lists_have_what_was_reported_under_any_number_of_shards(
    call: Caller,  # noqa: F811
    house: ProgramHarness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = changed_three_times(house, monkeypatch)
    shards = {partition.shard for partition in ledger_of(house).lock_partitions("9999")}
    assert shards == {0, 1, 2, 3}
    everything: Sequence[dict[str, str]] = ({}, {"partner": "nordlicht"}, {"sort": "-lock"}, {"sort": "-event"})
    for query in everything:
        whole = paged(call, limit="100", **query)
        assert sorted(whole) == sorted(made), query
        assert paged(call, limit="5", **query) == whole, "page by page the same, each once"


def test_the_locker_and_the_count_find_them_and_an_idle_tick_costs_nothing(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch, looks: Callable[[], ReadMeter]
) -> None:
    made = changed_three_times(house, monkeypatch)
    house.clock.moment += timedelta(hours=1)
    assert roll_up(house.hub, program_of(house), now=True)
    counted = rollups_of(house.hub, program_of(house)).summary()
    assert counted and counted["numbers"]["states"] == {"pending EUR": [len(made), 800 * len(made)]}
    assert run(house) == Counter(final=len(made))
    real = house.hub.real_now()
    for hours in (0, 2):
        monkeypatch.setattr(house.hub, "real_now", lambda hours=hours: real + timedelta(hours=hours))
        assert run(house) == Counter()
    seen = looks()
    assert run(house, DUE + timedelta(days=1)) == Counter()
    assert seen.asked["Query"] <= 2, "the program and its list of lock days, however many shards there were"


def test_an_action_stays_in_its_shard_and_a_change_costs_two_units(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch, metered: Callable[[], Meter]
) -> None:
    meter = metered()
    report(house, "old", 12)
    there = [key for key, _ in meter.partitions if key.startswith("GSI")]
    spread(house, 8)
    for k in range(12):
        before = len(meter.calls)
        house.modify({"order_id": f"old-{k}", "change": "take_back", "amount": "1.00", "currency": "EUR"})
        own = [cost for key, _, cost in meter.calls[before:] if key == f"A#{house.program}#old-{k}"]
        assert own == [1, 1]
    assert [key for key, _ in meter.partitions if key.startswith("GSI")] == there


def test_what_moves_to_another_day_or_partner_is_listed_in_its_shard(
    call: Caller,  # noqa: F811
    house: ProgramHarness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spread(house, 8)
    made = report(house, "move", 12)
    house.modify(*({"order_id": f"move-{k}", "change": "reattribute", "partner": "suedwind"} for k in range(12)))
    assert sorted(paged(call, partner="suedwind")) == sorted(made)
    assert paged(call, partner="nordlicht") == []
    assert run(house) == Counter(final=12)


def test_a_shard_is_read_back_from_its_key() -> None:
    for partner in ("acme", "a#b", "a#2026-10"):
        for shard in (0, 1, 63):
            assert partner_month(f"P#prog#{partner}#2026-11{shard_suffix(shard)}") == (partner, "2026-11", shard)
    fallen = Counter(shard_of(f"A-{k}~sale", 8) for k in range(8_000))
    assert len(fallen) == 8 and max(fallen.values()) < 1_150


def test_no_partition_takes_more_than_it_can(
    call: Caller,  # noqa: F811
    house: ProgramHarness,
    monkeypatch: pytest.MonkeyPatch,
    metered: Callable[[], Meter],
) -> None:
    """Actions of one day and one partner, reported by the API as fast as they come; every tenth comes back at once.

    The requests are recorded as they are made, and played by arithmetic: in which second each would be, at so many
    actions a second, and what each partition would have to take in it.
    """
    spread(house, 8)
    meter = metered()
    marks = []
    for start in range(0, ACTIONS_RECORDED, OF_A_CALL):
        marks.append((start, len(meter.partitions)))
        orders = [f"L-{k}" for k in range(start, start + OF_A_CALL)]
        sale = {"event_type": "sale", "partner": "nordlicht", "event_time": "2026-11-01T12:00:00+01:00"}
        answer = call(
            "POST", ACTIONS, [{**sale, "order_id": one, "amount": "9.00", "currency": "EUR"} for one in orders]
        )
        assert answer.json["counts"] == {"applied": OF_A_CALL}
        house.modify(*({"order_id": one, "change": "reverse"} for one in orders[::10]))
    peaks = busiest(meter.partitions, marks)
    (first, units), *_ = peaks.most_common(3)
    print(f"{ACTIONS_RECORDED:,} actions at {RATE:,} a second: at most {units} units a second, in {first}")
    print(*(f"{key:50} {most}" for key, most in peaks.most_common(8)), sep="\n")
    assert units <= MOST, peaks.most_common(3)
    together: Counter[str] = Counter()
    for key, most in peaks.items():
        if key.startswith("GSI"):
            together[key[:4]] += most
    assert all(units >= min(ACTIONS_RECORDED, RATE) for units in together.values()), "one shard would have had them all"


def busiest(partitions: Sequence[tuple[str, int]], marks: Sequence[tuple[int, int]]) -> Counter[str]:
    """The most units of each partition in one second. `marks`: how many actions there were before a write; fewer than
    one second has are taken as the part of it that they are."""
    seconds: dict[int, Counter[str]] = {}
    ends = [place for _, place in marks[1:]] + [len(partitions)]
    for (actions, begin), end in zip(marks, ends, strict=True):
        second = seconds.setdefault(actions // RATE, Counter())
        for key, units in partitions[begin:end]:
            second[key] += units
    whole = max(1.0, RATE / (marks[-1][0] + OF_A_CALL))
    peaks: Counter[str] = Counter()
    for second in seconds.values():
        for key, units in second.items():
            peaks[key] = max(peaks[key], round(units * whole))
    return peaks
