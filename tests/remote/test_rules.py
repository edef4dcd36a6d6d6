"""Which files are taken and when: the decisions, without any server."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.times import parse_instant
from retour.polling.completeness import SeenFile, is_complete, is_unchanged
from retour.polling.patterns import matches_pattern, skip_reason
from retour.polling.report import PollReport
from retour.polling.slots import is_poll_due
from retour.remote import RemoteFile, decode_name, sanitise_message

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def erp(at: str | None = "05:30", zone: str = "Europe/Berlin") -> Source:
    options = {"protocol": "ftps", "host": "h", "user": "u"} | ({"at": at} if at else {})
    return Source(name="erp", channel=Channel.PULL, time_zone=zone, options=options)


@pytest.mark.parametrize(
    ("now", "last", "owed"),
    [
        ("2026-05-04T05:29:59+02:00", None, False),
        ("2026-05-04T05:30:00+02:00", None, True),
        ("2026-05-04T05:29:59+02:00", "2026-05-03T05:31:00+02:00", False),
        ("2026-05-04T05:30:00+02:00", "2026-05-03T05:31:00+02:00", True),
        ("2026-05-04T23:59:00+02:00", "2026-05-03T05:31:00+02:00", True),
        ("2026-05-05T00:10:00+02:00", "2026-05-03T05:31:00+02:00", True),  # the whole day was missed
        ("2026-05-04T05:45:00+02:00", "2026-05-04T05:30:00+02:00", False),
        ("2026-05-04T05:30:00+02:00", "2026-05-04T04:00:00+02:00", True),  # somebody's own visit came before
        ("2026-05-04T18:00:00+02:00", "2026-05-04T17:00:00+02:00", False),
        ("2026-05-20T18:00:00+02:00", "2026-05-01T17:00:00+02:00", True),
    ],
)
def test_due_once_a_day_in_the_sources_zone(now: str, last: str | None, owed: bool) -> None:
    assert is_poll_due(erp(), parse_instant(now), parse_instant(last) if last else None) is owed


@pytest.mark.parametrize(
    ("at", "first", "last"),
    [
        # 2026-03-29: 02:00 becomes 03:00. 2026-10-25: 03:00 becomes 02:00.
        ("02:30", "2026-03-28T00:00:00+01:00", "2026-03-31T00:00:00+02:00"),
        ("02:30", "2026-10-24T00:00:00+02:00", "2026-10-27T00:00:00+01:00"),
        ("00:00", "2026-10-24T00:00:00+02:00", "2026-10-27T00:00:00+01:00"),
    ],
)
def test_days_on_which_the_clocks_change_have_one_visit_each(at: str, first: str, last: str) -> None:
    now, visits, visited = parse_instant(first), [], parse_instant(first) - timedelta(seconds=1)
    while now < parse_instant(last):
        if is_poll_due(erp(at), now, visited):
            visited = now
            visits.append(now)
        now += timedelta(minutes=15)
    assert len(visits) == 3


def test_without_a_time_of_its_own_a_source_is_visited_early_in_the_morning() -> None:
    visited = parse_instant("2026-05-03T12:00:00+02:00")
    assert not is_poll_due(erp(None), parse_instant("2026-05-04T04:59:00+02:00"), visited)
    assert is_poll_due(erp(None), parse_instant("2026-05-04T05:00:00+02:00"), visited)


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("returns.csv", "*.csv", True),
        ("RETURNS.CSV", "*.csv", True),
        ("returns.csv.bak", "*.csv", False),
        ("returns_1.csv", "returns_?.csv", True),
        ("returns_12.csv", "returns_?.csv", False),
        ("[a].csv", "[a].csv", True),
        ("a.csv", "[a].csv", False),
        ("axcsv", "a.csv", False),
        ("a(1)+.csv", "a(1)+*", True),
        ("anything", "*", True),
        ("a" * 250, "*a" * 90 + "b", False),  # and quickly
    ],
)
def test_pattern(name: str, pattern: str, fits: bool) -> None:
    assert matches_pattern(name, pattern) is fits


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("returns.csv", ""),
        ("rejected_returns.csv", ""),
        ("receipt_returns.csv", "ours"),
        ("result_returns.csv.csv", "ours"),
        ("returns.csv.part", "temporary"),
        ("returns.tmp", "temporary"),
        (".returns.csv", "temporary"),
        ("returns.csv.done", "marker"),
        ("../returns.csv", "name"),
        ("a\\b.csv", "name"),
        ("a\nb.csv", "name"),
        ("..", "name"),
    ],
)
def test_names_that_are_not_for_us(name: str, why: str) -> None:
    assert skip_reason(name, "*") == why


def file(size: int | None = 10, age: float | None = 1, name: str = "a.csv") -> RemoteFile:
    modified = None if age is None else NOW - timedelta(seconds=age)
    return RemoteFile(name, size, modified, modified.isoformat() if modified else "May 4 12:00")


def seen(of: RemoteFile, seconds: float) -> SeenFile:
    return SeenFile(of.size, of.stamp, NOW - timedelta(seconds=seconds))


YOUNG, OLD, TIMELESS, BLIND = file(), file(age=120), file(age=None), RemoteFile("a.csv", None, None)


@pytest.mark.parametrize(
    ("of", "before", "ready"),
    [
        (OLD, None, True),
        (file(age=119), None, False),
        (file(age=-3600), None, False),  # the server's clock is wrong
        (file(age=-3600), seen(file(age=-3600), 60), True),
        (YOUNG, None, False),
        (YOUNG, seen(YOUNG, 60), True),
        (YOUNG, seen(YOUNG, 59.9), False),
        (YOUNG, seen(file(size=9), 600), False),
        (YOUNG, seen(file(age=30), 600), False),
        (TIMELESS, None, False),
        (TIMELESS, seen(TIMELESS, 61), True),
        (BLIND, None, False),
        (BLIND, seen(BLIND, 61), True),
    ],
)
def test_a_file_is_taken_when_it_rests(of: RemoteFile, before: SeenFile | None, ready: bool) -> None:
    assert is_complete(of, {}, before, NOW) is ready


@pytest.mark.parametrize("marker", ["a.csv.done", "A.CSV.OK", "a.ctl"])
def test_a_marker_beside_it_says_that_a_file_is_whole(marker: str) -> None:
    assert is_complete(YOUNG, {marker.lower(): file(age=0, name=marker)}, None, NOW)
    assert is_complete(YOUNG, {marker.lower(): RemoteFile(marker, 0, None)}, None, NOW)


def test_yesterdays_marker_says_nothing_of_todays_file() -> None:
    assert not is_complete(YOUNG, {"a.csv.done": file(age=86400, name="a.csv.done")}, None, NOW)
    assert not is_complete(YOUNG, {"b.csv.done": file(age=0, name="b.csv.done")}, None, NOW)


def test_looks_are_compared_as_far_as_both_tell() -> None:
    assert is_unchanged(YOUNG, YOUNG) and is_unchanged(TIMELESS, YOUNG) and is_unchanged(BLIND, OLD)
    assert not is_unchanged(YOUNG, OLD) and not is_unchanged(YOUNG, file(size=11))


def test_what_the_other_side_says_is_one_short_line_without_our_secret() -> None:
    assert sanitise_message("530 no\r\n\x1b[31m for  s3cret\x00 " + "x" * 900, "s3cret", "").startswith(
        "530 no [31m for ***"
    )
    assert len(sanitise_message("y" * 5000)) == 300


def test_names_are_read_as_utf_8_else_as_cp1252() -> None:
    assert decode_name("Rückgabe.csv".encode().decode("latin-1")) == "Rückgabe.csv"
    assert decode_name("Rückgabe €.csv".encode("cp1252").decode("latin-1")) == "Rückgabe €.csv"


def test_a_report_stays_small_and_says_how_many() -> None:
    report = PollReport("v1", NOW, "ftps://h/out")
    for number in range(5000):
        report.skip("f" * 200 + str(number), "taken", delivery="d")
    document = report.document()
    assert document["skipped"] == {"taken": 5000} and len(document["not_taken"]) == 100
    assert "5000 skipped (taken before)" in document["explanation"]
    assert len(str(document)) < 100_000


def visits(first: str, last: str, **options: object) -> list[str]:
    """When a tick of every quarter of an hour finds a visit owed, in Berlin."""
    source = Source(name="erp", channel=Channel.PULL, time_zone="Europe/Berlin", options={"host": "h", **options})
    now, found, visited = parse_instant(first), [], parse_instant(first) - timedelta(seconds=1)
    while now < parse_instant(last):
        if is_poll_due(source, now, visited):
            visited = now
            found.append(f"{now.astimezone(ZoneInfo('Europe/Berlin')):%a %H:%M}")
        now += timedelta(minutes=15)
    return found


def test_several_visits_a_day_on_some_days() -> None:
    week = ("2026-05-04T00:00:00+02:00", "2026-05-11T00:00:00+02:00")
    assert visits(*week, at=["06:00", "18:30"], weekdays=["mon", "sat"]) == [
        "Mon 06:00", "Mon 18:30", "Sat 06:00", "Sat 18:30",
    ]  # fmt: skip
    assert visits(*week, at="05:00", weekdays=["tue"], expect={"file": "x", "by": "08:00"}) == [
        "Tue 05:00",
        "Tue 08:00",
    ]
    assert len(visits(*week, at=["06:00", "07:00", "08:00"])) == 21


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("returns_20261130.csv", "returns_{yyyyMMdd}*.csv", True),
        ("RETURNS_20261130_2.csv", "returns_{yyyyMMdd}*.csv", True),
        ("returns_20261399.csv", "returns_{yyyyMMdd}*.csv", False),
        ("returns_today.csv", "returns_{yyyyMMdd}*.csv", False),
        ("30.11.26-returns.csv", "{dd.MM.yy}-returns.csv", True),
        ("returns_{x}.csv", "returns_{x}.csv", True),
    ],
)
def test_dated_patterns(name: str, pattern: str, fits: bool) -> None:
    assert matches_pattern(name, pattern) is fits
    if fits and pattern != name:
        assert matches_pattern(name, pattern, date(2026, 11, 30)) and not matches_pattern(
            name, pattern, date(2026, 11, 29)
        )
