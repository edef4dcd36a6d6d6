"""Which payouts a statement holds, whatever the versions of the program say when: nothing twice, nothing lost."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from retour.domain.calendar import start_of_day
from retour.domain.funding.statements import (
    Billing,
    Payout,
    billing_of,
    coming,
    due_runs,
    number_text,
    statement,
)

ZONE = "Europe/Berlin"
BEGUN = datetime(2026, 11, 2, 9, tzinfo=UTC)


def document(**groups: Any) -> dict[str, Any]:
    return {"currency": "EUR", "billing_groups": groups}


def billing(*versions: tuple[datetime, dict[str, Any]]) -> Billing:
    return billing_of(versions, ZONE)


def payout(action: str = "A-1", at: datetime = BEGUN + timedelta(days=1), pays: int = 800, **more: Any) -> Payout:
    usual: dict[str, Any] = {
        "action": action, "order_id": action, "event_type": "sale", "contract": "standard", "partner": "nordlicht",
        "event_time": at - timedelta(days=30), "locks_at": at, "reported_at": at - timedelta(days=30),
        "amount": 10_000, "currency": "EUR", "rate": Decimal(1), "payout": pays, "final": at,
    }  # fmt: skip
    return Payout(**(usual | more))


def days(found: Billing, name: str, until: date) -> list[str]:
    return [day.isoformat() for day in found.statement_days(name, until)]


FOURTH = {"default": {"statement": {"day": 4}}}


def test_a_statement_takes_what_locked_before_its_day_in_the_programs_zone() -> None:
    found = billing((BEGUN, document(**FOURTH)))
    day, midnight = date(2026, 12, 4), datetime(2026, 12, 4, tzinfo=ZoneInfo(ZONE))
    payouts = [
        payout("before", midnight - timedelta(seconds=1)), payout("at-midnight", midnight),
        payout("after", midnight + timedelta(seconds=1)), payout("long-ago", BEGUN - timedelta(days=40)),
    ]  # fmt: skip
    made = statement(found, "default", day, "nordlicht", payouts, "EUR", None)
    assert made is not None and {one.action for one in made.lines} == {"before", "at-midnight"}
    assert (made.total, made.due, made.until) == (1600, day, start_of_day(day, 0, ZONE))
    later = statement(found, "default", date(2027, 1, 4), "nordlicht", payouts, "EUR", day)
    assert later is not None and [one.action for one in later.lines] == ["after"]


def test_an_order_reported_after_its_own_lock_comes_on_the_next_statement() -> None:
    found = billing((BEGUN, document(**FOURTH)))
    late = payout(at=datetime(2026, 11, 20, tzinfo=UTC), reported_at=datetime(2026, 12, 10, tzinfo=UTC))
    assert statement(found, "default", date(2026, 12, 4), "nordlicht", [late], "EUR", None) is None
    assert statement(found, "default", date(2027, 1, 4), "nordlicht", [late], "EUR", date(2026, 12, 4)) is not None


def test_what_counts_in_the_moment_of_the_first_version_is_stated() -> None:
    found = billing((BEGUN, document(**FOURTH)))
    assert statement(found, "default", date(2026, 11, 4), "nordlicht", [payout(at=BEGUN)], "EUR", None) is not None


def test_what_came_too_late_for_its_statement_is_on_the_next() -> None:
    found = billing((BEGUN, document(**FOURTH)))
    missed, known = payout("A-1"), payout("A-2")
    day, before = date(2027, 1, 4), date(2026, 12, 4)
    assert statement(found, "default", day, "nordlicht", [missed, known], "EUR", before) is None
    made = statement(found, "default", day, "nordlicht", [missed, known], "EUR", before, {"A-1"})
    assert made is not None and [one.action for one in made.lines] == ["A-1"]


def test_less_than_the_minimum_waits_whole_for_the_next() -> None:
    found = billing((BEGUN, document(default={"statement": {"day": 4}, "minimum_payout": "15.00"})))
    first, second = payout("A-1"), payout("A-2", datetime(2026, 12, 20, tzinfo=UTC))
    assert statement(found, "default", date(2026, 12, 4), "nordlicht", [first], "EUR", None) is None
    made = statement(found, "default", date(2027, 1, 4), "nordlicht", [first, second], "EUR", None)
    assert made is not None and (made.total, len(made.lines)) == (1600, 2)


def test_none_is_made_where_everything_was_returned() -> None:
    found = billing((BEGUN, document(**FOURTH)))
    gone = payout(pays=0, is_reversed=True)
    assert statement(found, "default", date(2026, 12, 4), "nordlicht", [gone], "EUR", None) is None
    made = statement(found, "default", date(2026, 12, 4), "nordlicht", [gone, payout("A-2")], "EUR", None)
    assert made is not None and (made.total, len(made.lines)) == (800, 2), "what came back is told as well"


def test_the_days_follow_the_version_in_force_at_each() -> None:
    found = billing(
        (BEGUN - timedelta(days=300), {"currency": "EUR"}),
        (BEGUN, document(**FOURTH)),
        (datetime(2026, 12, 10, 12, tzinfo=UTC), document(default={"statement": {"day": 28}})),
        (datetime(2027, 2, 1, 12, tzinfo=UTC), document(default={"statement": {"day": 2}}, vip={"partners": ["xena"]})),
    )
    assert days(found, "default", date(2027, 4, 1)) == [
        "2026-11-04", "2026-12-04", "2026-12-28", "2027-01-28", "2027-02-02", "2027-03-02",
    ]  # fmt: skip
    assert days(found, "vip", date(2027, 4, 1)) == ["2027-03-01", "2027-04-01"]
    assert found.previous_day("default", date(2026, 11, 4)) is None
    assert found.previous_day("default", date(2026, 12, 28)) == date(2026, 12, 4)
    assert billing((BEGUN, {"currency": "EUR"})).begins is None


def test_a_payout_belongs_to_the_group_that_fitted_when_it_counted() -> None:
    change = datetime(2026, 11, 20, tzinfo=UTC)
    found = billing(
        (BEGUN, document(**FOURTH)),
        (change, document(vip={"partners": ["nordlicht"], "statement": {"day": 10}}, **FOURTH)),
    )
    assert found.group_of(payout(at=change - timedelta(seconds=1))) == "default"
    assert found.group_of(payout(at=change)) == "vip"
    assert found.group_of(payout(at=BEGUN - timedelta(seconds=1))) is None


def test_an_ended_group_still_states_what_it_has() -> None:
    found = billing(
        (BEGUN, document(vip={"partners": ["nordlicht"], "statement": {"day": 10}}, **FOURTH)),
        (datetime(2026, 11, 20, tzinfo=UTC), document(**FOURTH)),
    )
    assert days(found, "vip", date(2027, 1, 31)) == ["2026-11-10", "2026-12-10", "2027-01-10"]
    made = statement(
        found, "vip", date(2026, 12, 10), "nordlicht", [payout(at=BEGUN + timedelta(days=10))], "EUR", None
    )
    assert made is not None


def test_runs_are_owed_by_day_and_then_by_group() -> None:
    found = billing((BEGUN, document(b={"partners": ["x"], "statement": {"day": 4}}, a={"partners": ["y"]}, **FOURTH)))
    runs = [(day.isoformat(), name) for day, name in due_runs(found, date(2026, 12, 4), None)]
    assert runs == [
        ("2026-11-04", "b"), ("2026-11-04", "default"), ("2026-12-01", "a"), ("2026-12-04", "b"),
        ("2026-12-04", "default"),
    ]  # fmt: skip
    rest = list(due_runs(found, date(2026, 12, 4), (date(2026, 12, 4), "b")))
    assert rest == [(date(2026, 12, 4), "default")]


def test_what_the_next_statements_would_hold() -> None:
    change = datetime(2026, 12, 5, tzinfo=UTC)
    payouts = [(payout("A-1", datetime(2026, 12, 20, tzinfo=UTC)), "pending"),
               (payout("A-2", datetime(2027, 1, 20, tzinfo=UTC)), "approved"),
               (payout("A-3", datetime(2026, 12, 4, 12, tzinfo=UTC)), "locked")]  # fmt: skip
    stated = {"default": date(2026, 12, 4)}
    usual = coming(billing((BEGUN, document(**FOURTH))), date(2026, 12, 6), payouts, stated)
    assert [(one.day.isoformat(), one.days, dict(one.sums)) for one in usual] == [
        ("2027-01-04", 31, {"pending": (1, 800), "locked": (1, 800)}), ("2027-02-04", 31, {"approved": (1, 800)}),
    ]  # fmt: skip
    moved = billing((BEGUN, document(**FOURTH)), (change, document(default={"statement": {"day": 2}})))
    assert [(one.day.isoformat(), one.days) for one in coming(moved, date(2026, 12, 6), payouts, stated)] == [
        ("2027-01-02", 29), ("2027-02-02", 31),
    ]  # fmt: skip
    later = billing((BEGUN, document(**FOURTH)), (change, document(default={"statement": {"day": 10}})))
    first, _ = coming(later, date(2026, 12, 6), payouts, stated)
    assert (first.day, first.days, dict(first.sums)) == (date(2026, 12, 10), 6, {"locked": (1, 800)})


def test_numbers_sort_and_have_no_end() -> None:
    assert [number_text("AC-", number) for number in (1, 99_999, 100_000)] == ["AC-00001", "AC-99999", "AC-100000"]


MOMENTS = st.integers(0, 400 * 24 * 60).map(lambda minutes: BEGUN - timedelta(days=20) + timedelta(minutes=minutes))
GROUPS = st.fixed_dictionaries(
    {},
    optional={
        "default": st.fixed_dictionaries({"statement": st.fixed_dictionaries({"day": st.integers(1, 28)})}),
        "vip": st.fixed_dictionaries(
            {"partners": st.just(["nordlicht"]), "statement": st.fixed_dictionaries({"day": st.integers(1, 28)})},
            optional={"minimum_payout": st.sampled_from(["0", "5.00", "40.00"])},
        ),
        "leads": st.fixed_dictionaries({"event_types": st.just(["lead"]), "contracts": st.just(["standard"])}),
    },
)
PAYOUTS = st.lists(
    st.builds(
        lambda n, at, late, kind, pays: payout(
            f"A-{n}", at, pays, event_type=kind, reported_at=at + timedelta(days=late)
        ),
        st.integers(0, 10**6), MOMENTS, st.integers(-30, 60), st.sampled_from(["sale", "lead"]), st.integers(0, 2_000),
    ),
    max_size=30, unique_by=lambda one: one.action,
)  # fmt: skip


@given(st.lists(st.tuples(MOMENTS, GROUPS), min_size=1, max_size=5, unique_by=lambda one: one[0]), PAYOUTS)
def test_nothing_is_stated_twice_and_nothing_that_is_due_is_left(
    versions: Sequence[tuple[datetime, dict[str, Any]]], payouts: Sequence[Payout]
) -> None:
    found = billing(*((at, document(**groups)) for at, groups in sorted(versions, key=lambda one: one[0])))
    today = date(2028, 3, 1)
    stated: Counter[str] = Counter()
    last: dict[str, date] = {}
    for day, name in due_runs(found, today, None):
        made = statement(found, name, day, "nordlicht", payouts, "EUR", last.get(name))
        if made is not None:
            last[name] = day
            stated.update(one.action for one in made.lines)
            assert made.total == sum(one.payout for one in made.lines) > 0
            assert all(made.since <= one.counts_at <= made.until for one in made.lines)
    assert not stated or max(stated.values()) == 1
    for name in found.names():
        left = [one for one in payouts if found.group_of(one) == name and not stated[one.action]]
        group = found.group_at(name, today)
        assert group is not None
        assert not left or sum(one.payout for one in left) < max(group.minimum_payout, 1), "it waits for more"
    assert begins_before(found, payouts, stated)


def begins_before(found: Billing, payouts: Sequence[Payout], stated: Counter[str]) -> bool:
    """What counted before there were billing groups is on none."""
    assert found.begins is not None
    return not any(stated[one.action] for one in payouts if one.counts_at < found.begins)
