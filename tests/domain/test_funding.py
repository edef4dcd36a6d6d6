"""The funding proof: the published figures, day by day, and that counting years that are alike counts every date."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retour.domain.contracts.lock import AfterEvent, AfterStatus, LockRule, OpenEnded
from retour.domain.funding.billing import groups_for, parse_groups
from retour.domain.funding.figures import lock_text, parse_lock, parse_pay_rule, pay_rule_text
from retour.domain.funding.proof import CYCLE_DATES, Verdict, prove, smallest_fix, weaknesses, worst_timeline
from retour.domain.funding.schedule import (
    AfterMonthEnd,
    AfterStatement,
    AtLock,
    NextDay,
    OnDay,
    PayRule,
    Policy,
    ReturnWindow,
    last_change_day,
    timeline,
)

AMAZON = ReturnWindow(window_days=28, lag_days=2)
SINCE = date(2026, 12, 1)


def policy(lock: str, paid: str, statement_day: int | None = None, returns: ReturnWindow = AMAZON) -> Policy:
    rule, pays = parse_lock(lock), parse_pay_rule(paid)
    assert rule is not None and pays is not None
    return Policy(rule, returns, statement_day, pays)


RECOMMENDED = policy("1 month 2 days after month end", "at statement", 4)

# The published table: unsafe dates, least margin of the last change and of the payment after the last report.
PUBLISHED = [
    (policy("27 days after month end", "20 days after month end"), 14_400, -3, 18),
    (policy("1 month after month end", "on the 15th"), 703, -2, 13),
    (policy("1 month 1 day after month end", "at statement", 4), 303, -1, 2),
    (policy("1 month 2 days after month end", "at lock"), 303, 0, 0),
    (RECOMMENDED, 0, 0, 2),
    (policy("1 month 2 days after event", "next day"), 0, 0, 1),
    (policy("30 days after event", "next day"), 0, 0, 1),
    (policy("1 month 2 days after month end, at start", "at statement", 4), 303, -1, 2),
    (policy("1 month 3 days after month end, at start", "at statement", 5), 0, 0, 3),
    (policy("1 month 4 days after month end, at start", "at statement", 6, replace(AMAZON, skew_days=1)), 0, 0, 3),
]


@pytest.mark.parametrize(("tried", "unsafe", "change", "paid"), PUBLISHED)
def test_the_published_figures_come_out(tried: Policy, unsafe: int, change: int, paid: int) -> None:
    proof = prove(tried)
    assert (proof.unsafe, proof.change_margin, proof.paid_margin) == (unsafe, change, paid)
    assert proof.verdict is (Verdict.UNSAFE if unsafe else Verdict.TIGHT)


LAST_CHANGES = [
    ("2025-01-31", "27 days after month end", "2025-02-27"),
    ("2025-01-31", "1 month after month end", "2025-02-28"),
    ("2025-01-31", "1 month 2 days after month end", "2025-03-02"),
    ("2025-01-31", "1 month 15 days after month end", "2025-03-15"),
    ("2025-01-31", "30 days after event", "2025-03-02"),
    ("2024-01-31", "27 days after month end", "2024-02-27"),
    ("2024-01-31", "1 month after month end", "2024-02-29"),
    ("2024-01-31", "1 month 2 days after month end", "2024-03-02"),
    ("2024-01-31", "1 month 15 days after month end", "2024-03-15"),
    ("2024-01-31", "30 days after event", "2024-03-01"),
    ("2027-02-28", "1 month 2 days after month end", "2027-04-02"),
    ("2027-02-28", "1 month 2 days after month end, not sticky", "2027-03-30"),
    ("2027-01-31", "1 month 2 days after month end, at start", "2027-03-01"),
    ("2027-01-31", "21 days after status", "2027-02-20"),
    ("2027-01-31", "0 days after status", "2027-01-31"),
    ("2027-01-31", "open-ended", "2027-01-31"),
]


@pytest.mark.parametrize(("event", "lock", "last"), LAST_CHANGES)
def test_the_last_day_on_which_an_order_can_change(event: str, lock: str, last: str) -> None:
    rule = parse_lock(lock)
    assert rule is not None and last_change_day(rule, date.fromisoformat(event)) == date.fromisoformat(last)


@pytest.mark.parametrize(("year", "report"), [(2025, date(2025, 3, 2)), (2024, date(2024, 3, 1))])
def test_the_recommendation_on_its_worst_date(year: int, report: date) -> None:
    one = timeline(RECOMMENDED, date(year, 1, 31))
    assert (one.last_change, one.last_report) == (date(year, 3, 2), report)
    assert one.statement == one.paid == date(year, 3, 4)


PAYMENTS = [
    ("at statement", 4, "2027-03-04"), ("5 days after statement", 4, "2027-03-09"), ("next day", 4, "2027-03-05"),
    ("next day", None, "2027-03-03"), ("on the 15th", 4, "2027-03-15"), ("on the 4th", 4, "2027-03-04"),
    ("on the 3rd", 4, "2027-04-03"), ("on the 2nd", None, "2027-04-02"), ("at lock", None, "2027-03-02"),
    ("20 days after month end", None, "2027-04-20"), ("2 days after month end", 3, "2027-04-02"),
    ("1 day after month end", 2, "2027-04-02"), ("at statement", 2, "2027-04-02"), ("at statement", 3, "2027-03-03"),
]  # fmt: skip


@pytest.mark.parametrize(("paid", "day", "wanted"), PAYMENTS)
def test_when_it_is_paid(paid: str, day: int | None, wanted: str) -> None:
    found = policy("1 month 2 days after month end", paid, day)
    assert found.is_whole and timeline(found, date(2027, 1, 31)).paid == date.fromisoformat(wanted)


@pytest.mark.parametrize(
    "tried",
    [
        RECOMMENDED,
        policy("1 month after month end, not sticky", "on the 15th"),
        policy("13 months 200 days after event, sticky", "120 days after statement", 28, ReturnWindow(400, 200)),
    ],
)
def test_every_date_tried_singly_gives_the_same(tried: Policy) -> None:
    slacks: Counter[int] = Counter()
    late = early = 0
    for n in range(CYCLE_DATES):
        one = timeline(tried, date(1999, 6, 1) + timedelta(days=n))
        slacks[one.slack] += 1
        late, early = late + one.has_late_return, early + one.has_early_money
    proof = prove(tried)
    assert (proof.unsafe, proof.tight) == (sum(slacks[slack] for slack in slacks if slack < 0), slacks[0])
    assert (proof.late_returns, proof.early_money, proof.slack) == (late, early, min(slacks))
    assert dict(proof.by_slack) == {slack: dates for slack, dates in slacks.items() if slack < 1}


def test_the_two_failures_are_kept_apart() -> None:
    late = prove(policy("1 month 1 day after month end", "at statement", 4))
    assert (late.late_returns, late.early_money) == (303, 0)
    early = prove(policy("1 month 2 days after month end", "at lock"))
    assert (early.late_returns, early.early_money) == (0, 303)
    before_the_lock = prove(policy("1 month 2 days after event", "0 days after month end"))
    assert before_the_lock.early_money > 0 and before_the_lock.late_returns == 0


def test_the_worst_date_is_the_next_such() -> None:
    assert worst_timeline(RECOMMENDED, SINCE).event == date(2027, 1, 31)
    assert worst_timeline(RECOMMENDED, date(2027, 2, 1)).event == date(2029, 1, 31), (
        "in leap years there is a day to spare"
    )
    assert worst_timeline(policy("30 days after event", "next day"), SINCE).event == SINCE


def test_the_recommendation_is_the_smallest_safe_setting() -> None:
    fix = smallest_fix(policy("1 month 1 day after month end", "at statement", 4))
    assert fix is not None and fix.policy == RECOMMENDED and fix.verdict is Verdict.TIGHT and fix.days == 1
    assert smallest_fix(RECOMMENDED) is None
    slack = smallest_fix(RECOMMENDED, slack=1)
    assert slack is not None and lock_text(slack.policy.lock) == "1 month 3 days after month end"
    assert slack.verdict is Verdict.SAFE and slack.policy.statement_day == 4


def test_the_statement_day_moves_where_the_payment_would_be_a_month_late() -> None:
    fix = smallest_fix(policy("1 month 1 day after month end", "at statement", 2))
    assert fix is not None and fix.policy.statement_day == 3
    assert timeline(fix.policy, date(2027, 1, 31)).paid == date(2027, 3, 3)


def test_what_no_later_lock_mends() -> None:
    assert smallest_fix(policy("open-ended", "next day")) is None
    assert smallest_fix(policy("730 days after event", "next day", None, ReturnWindow(400, 400))) is None


def test_what_breaks_the_recommendation() -> None:
    assert [(one.what, one.proof.unsafe) for one in weaknesses(RECOMMENDED)] == [("skew", 303), ("lock_at_start", 303)]
    assert weaknesses(policy("1 month 1 day after month end", "at statement", 4)) == []
    assert weaknesses(policy("45 days after event", "next day")) == []


LOCKS: st.SearchStrategy[LockRule] = st.one_of(
    st.builds(AfterEvent, st.integers(0, 366), st.integers(0, 24), st.booleans(), st.booleans(), st.booleans()),
    st.builds(AfterStatus, st.integers(0, 730), st.just(frozenset[str]())),
    st.just(OpenEnded()),
)
PAYS: st.SearchStrategy[PayRule] = st.one_of(
    st.builds(AfterStatement, st.integers(0, 120)), st.builds(OnDay, st.integers(1, 28)), st.just(NextDay()),
    st.builds(AfterMonthEnd, st.integers(0, 120)), st.just(AtLock()),
)  # fmt: skip


@given(LOCKS)
def test_a_lock_in_words_is_read_as_it_was_written(lock: LockRule) -> None:
    read = parse_lock(lock_text(lock))
    if isinstance(lock, AfterEvent) and not lock.months:
        assert isinstance(read, AfterEvent) and replace(read, sticky=lock.sticky) == lock, "without months it is alike"
    else:
        assert read == lock


@given(PAYS)
def test_a_payment_in_words_is_read_as_it_was_written(pays: PayRule) -> None:
    assert parse_pay_rule(pay_rule_text(pays)) == pays


@pytest.mark.parametrize(
    "text", ["", "after event", "1 month", "30 days", "25 months after event", "731 days after event",
             "1 month after status", "-1 days after event", "3 days after event, never", "367 days after month end",
             "1,5 days after event"],
)  # fmt: skip
def test_words_that_say_no_lock(text: str) -> None:
    assert parse_lock(text) is None


@pytest.mark.parametrize("text", ["", "soon", "on the 0th", "on the 29th", "121 days after statement", "5 days"])
def test_words_that_say_no_payment(text: str) -> None:
    assert parse_pay_rule(text) is None


def test_a_payout_falls_into_the_first_group_that_fits() -> None:
    groups = parse_groups(
        {
            "currency": "EUR",
            "billing_groups": {
                "vip": {"partners": ["xena"], "statement": {"day": 10}, "paid": {"day": 15}},
                "leads": {"event_types": ["lead"], "contracts": ["leads"]},
                "default": {"statement": {"day": 4}},
            },
        }
    )
    assert [one.name for one in groups] == ["vip", "leads", "default"]
    assert [one.name for one in groups_for(groups, "standard", "sale")] == ["vip", "default"]
    assert [one.name for one in groups_for(groups, "leads", "lead")] == ["vip", "leads"]
    assert groups[0].pays == OnDay(15) and groups[0].takes("standard", "sale", "xena")
    assert not groups[0].takes("standard", "sale", "yuri") and groups[2].pays == AfterStatement(0)
    (alone,) = parse_groups({"currency": "EUR"})
    assert (alone.name, alone.statement_day) == ("default", 1)
