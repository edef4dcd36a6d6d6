"""Terms step by step: whom they are for, what their faults say exactly, what their schema is, how a countdown moves."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from importlib.resources import files
from typing import Any

import pytest
from tests.domain.cases import REPORTED, action, contract

from retour.domain.actions.action import Line
from retour.domain.contracts.changes import (
    Gap,
    PartnerClass,
    TermsChange,
    change_moments,
    coverage_gaps,
    partner_classes,
    terms_changes,
)
from retour.domain.contracts.conditions import Between, KnownNames, OneOf, condition_values, conditions_of
from retour.domain.contracts.contract import (
    CascadePolicy,
    LinePayout,
    RulePayout,
    TermsBasis,
    is_within,
    referenced_names,
)
from retour.domain.contracts.lock import (
    AfterEvent,
    AfterStatus,
    Countdown,
    Credit,
    LockRule,
    OpenEnded,
    Restart,
    after_approval,
    after_reattribution,
    after_status,
    at_report,
    credit,
)
from retour.domain.contracts.lock_terms import RankedLock, lock_faults, lock_of, lock_schema, locks_of, locks_schema
from retour.domain.contracts.named_list import named_list
from retour.domain.contracts.pay import (
    CAP_SCHEMA,
    PAY_SCHEMA,
    PER_SCHEMA,
    Flat,
    Percent,
    cap_amounts,
    cap_fault,
    in_program_currency,
    pay_fault,
    pay_of,
)
from retour.domain.contracts.rule import rule_faults, rule_of, rule_schema
from retour.domain.contracts.versions import event_types_of, live_versions, spans_after
from retour.domain.money import InvalidAmountError
from retour.domain.phrase import Phrase, Sentence

PROGRAM = KnownNames("EUR", frozenset({"gold", "premium"}), frozenset({"outlet", "winter"}))
ZONE = "Europe/Berlin"
DAY = timedelta(days=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# What is published


def test_the_published_schema_says_what_terms_say_of_themselves() -> None:
    published = json.loads(files("retour.setup").joinpath("program.schema.json").read_text("utf-8"))["$defs"]
    said = {"payout": PAY_SCHEMA, "rule": rule_schema(), "lock": lock_schema(), "locks": locks_schema()}
    assert json.loads(json.dumps(said)) == {name: published[name] for name in said}
    assert published["rule"]["properties"]["at_most"] == CAP_SCHEMA
    assert published["rule"]["properties"]["per"] == PER_SCHEMA


# What is wrong, and where


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("8%", None),
        ("100%", None),
        ("5.00", None),
        ("5.00 EUR", None),
        ("0%", None),
        ("7.123456%", None),
        ("12.34567%", None),
        ("12.345678%", Sentence("FAULT_PAY_DIGITS", {"value": "12.345678%", "digits": "7"})),
        ("100.1%", Sentence("FAULT_PAY_ABOVE_SALE", {"value": "100.1%"})),
        ("5.005", Sentence("FAULT_NO_PAY", {"value": "5.005", "currency": "EUR", "right": "5.00"})),
        ("5 USD", Sentence("FAULT_NO_PAY", {"value": "5 USD", "currency": "EUR", "right": "5.00"})),
    ],
)
def test_what_is_wrong_with_a_payout(text: str, fault: Sentence | None) -> None:
    assert pay_fault(text, "EUR") == fault


def test_what_is_wrong_with_a_cap() -> None:
    assert cap_fault("50.00", "EUR") is None
    about = {"value": "50.005", "currency": "EUR", "right": "50.00"}
    assert cap_fault("50.005", "EUR") == Sentence("FAULT_NO_AMOUNT", about)
    assert cap_fault("50.5", "JPY") == Sentence(
        "FAULT_NO_AMOUNT", about | {"value": "50.5", "currency": "JPY", "right": "5000"}
    )


@pytest.mark.parametrize(
    ("rule", "faults"),
    [
        ({"pays": "8%", "sku": ["A", {"list": "outlet"}], "partner_group": ["gold"]}, []),
        ({"pays": "8%", "sku": ["A", {"list": "out"}]},
         [(("sku", 1, "list"), "FAULT_NO_LIST", {"name": "'out'", "known": "outlet, winter"})]),
        ({"pays": "8%", "not": {"partner_group": ["gold", "silver"]}},
         [(("not", "partner_group", 1), "FAULT_NO_GROUP", {"name": "'silver'", "known": "gold, premium"})]),
        ({"pays": "8%", "category": ["silver"]}, []),
        ({"pays": "8%", "order_value": {"from": "5.00", "below": "5.00"}},
         [(("order_value", "below"), "FAULT_NOTHING_BETWEEN", {"below": "5.00", "least": "5.00"})]),
        ({"pays": "8%", "order_value": {"from": "5.00", "below": "5.01"}}, []),
        ({"pays": "8%", "order_value": {"below": "5.00"}}, []),
        ({"pays": "8%", "order_value": {"from": "1.005", "below": "1"}},
         [(("order_value", "from"), "FAULT_NO_AMOUNT", {"value": "1.005", "currency": "EUR", "right": "100.00"})]),
        ({"pays": "800%", "at_most": "5.00"}, [(("pays",), "FAULT_PAY_ABOVE_SALE", {"value": "800%"})]),
        ({"pays": "8%", "at_most": "5.001"},
         [(("at_most",), "FAULT_NO_AMOUNT", {"value": "5.001", "currency": "EUR", "right": "50.00"})]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_rule(rule: Mapping[str, Any], faults: list[tuple[Any, str, dict[str, str]]]) -> None:
    assert [*rule_faults(rule, PROGRAM)] == [(place, Sentence(code, about)) for place, code, about in faults]


def test_where_there_are_no_lists_and_groups_yet() -> None:
    rule = {"pays": "8%", "sku": [{"list": "x"}], "partner_group": ["y"]}
    none = Sentence("FAULT_NONE_YET")
    assert [what.details["known"] for _, what in rule_faults(rule, KnownNames("EUR"))] == [none, none]


THIRTY = {"days_after_event": 30}


@pytest.mark.parametrize(
    ("lock", "faults"),
    [
        (THIRTY, []),
        ([THIRTY], []),
        ([{"country": ["DE"], "days_after_event": 60}, THIRTY], []),
        ([{"not": {"country": ["DE"]}, "open_ended": True}, THIRTY], []),
        ({}, [((), "FAULT_LOCK_WAY", {})]),
        ({"days_after_event": 1, "open_ended": True}, [((), "FAULT_LOCK_WAY", {})]),
        ({"days_after_event": 1, "restart": "never"},
         [(("restart",), "FAULT_LOCK_KEY", {"key": "restart", "way": "days_after_event"})]),
        ({"open_ended": True, "lock_moment": "end"},
         [(("lock_moment",), "FAULT_LOCK_KEY", {"key": "lock_moment", "way": "open_ended"})]),
        ({"country": ["DE"], **THIRTY}, [(("country",), "FAULT_LOCK_ALONE", {})]),
        ([{"country": ["DE"], **THIRTY}], [((0, "country"), "FAULT_LOCK_LAST", {})]),
        ([THIRTY, THIRTY], [((0,), "FAULT_LOCK_UNREACHED", {})]),
        ([{"payment_method": ["x"], "country": ["DE"], **THIRTY}, {"not": {"country": ["DE"]}, **THIRTY}],
         [((1, "not"), "FAULT_LOCK_LAST", {})]),
        ([{"partner_group": ["x"], **THIRTY}, THIRTY],
         [((0, "partner_group", 0), "FAULT_NO_GROUP", {"name": "'x'", "known": "gold, premium"})]),
        ([{"country": ["DE"]}, THIRTY], [((0,), "FAULT_LOCK_WAY", {})]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_locks(lock: Any, faults: list[tuple[Any, str, dict[str, str]]]) -> None:
    assert [*lock_faults(lock, PROGRAM)] == [(place, Sentence(code, about)) for place, code, about in faults]


# How terms are written and told


@pytest.mark.parametrize(
    ("text", "per_order", "pay"),
    [
        ("8%", False, Percent(D(8))),
        ("7.5 %", True, Percent(D("7.5"), True)),
        ("5.00", False, Flat(500)),
        ("5.00 EUR", True, Flat(500, True)),
    ],
)
def test_how_a_payout_is_read(text: str, per_order: bool, pay: object) -> None:
    assert pay_of(text, "EUR", per_order=per_order) == pay
    with pytest.raises(InvalidAmountError):
        pay_of("8 percent", "EUR", per_order=False)


RESTS = ((1000, 2), (0, 1), (333, 1))


def test_what_is_paid_of_the_lines() -> None:
    sold = action(("A", 2, 1000), ("B", 1, 200), ("C", 1, 333))
    assert Percent(D("7.5")).amounts_for(RESTS, sold, "EUR") == [75, 0, 25]
    assert Percent(D("7.5"), True).amounts_for(RESTS, sold, "EUR") == [75, 0, 25]
    assert Percent(D("50"), True).amounts_for(((1, 1), (1, 1), (1, 1)), sold, "EUR") == [1, 1, 0]
    assert Flat(150).amounts_for(RESTS, sold, "EUR") == [300, 150, 150]
    assert Flat(150, True).amounts_for(((1, 5), (1, 5), (0, 1)), sold, "EUR") == [50, 50, 50]
    assert Flat(150, True).amounts_for(((0, 0), (0, 0), (0, 0)), sold, "EUR") == [0, 0, 0]
    assert [*cap_amounts([75, 25], 50)] == [38, 12] and [*cap_amounts([75, 25], 100)] == [75, 25] == [
        *cap_amounts([75, 25], None)
    ]
    yen = replace(sold, currency="JPY", rate=D("0.0061"))
    assert in_program_currency(20000, yen, "EUR") == D("12200") and in_program_currency(
        500, replace(sold, rate=D(2)), "JPY"
    ) == D(10)


def test_a_payout_in_words() -> None:
    sold = action(("A", 2, 1000))
    usd = replace(sold, currency="USD", rate=D("0.90"))
    by_line = [(5, 1), (5, 1)]
    percent = Percent(D("7.50"))
    about = {"percent": "7.5", "amount": "10.00 EUR"}
    assert percent.phrase([(1000, 2)], 75, sold, "EUR") == Phrase("PAID_PERCENT", about)
    in_usd = about | {"amount": "10.00 USD", "rate": "0.9", "currency": "EUR"}
    assert percent.phrase([(1000, 2)], 68, usd, "EUR") == Phrase("PAID_PERCENT_CONVERTED", in_usd)
    assert Percent(D(10)).phrase(by_line, 2, sold, "EUR") == Phrase(
        "PAID_PERCENT_BY_LINE", {"percent": "10", "amount": "0.10 EUR", "lines": "2", "paid": "0.02 EUR"}
    )
    assert Percent(D(10)).phrase(by_line, 2, usd, "EUR").code == "PAID_PERCENT_CONVERTED_BY_LINE"
    assert Flat(150).phrase([(1, 2), (1, 3)], 0, sold, "EUR") == Phrase(
        "PAID_EACH", {"flat": "1.50 EUR", "quantity": "5"}
    )
    assert Flat(150, True).phrase([(1, 2)], 0, sold, "EUR") == Phrase(
        "PAID_ONCE", {"flat": "1.50 EUR", "quantity": "2"}
    )


def test_a_rule_in_words() -> None:
    lists = {"outlet": named_list(["OUT-*"])}
    rule = rule_of(
        {"pays": "8%", "per": "order", "from": "2026-11-20", "until": "2026-11-27", "at_most": "40.00",
         "sku": ["B", "A", {"list": "outlet"}], "not": {"country": ["CH"]}, "order_value": {"from": "5.00"}},
        "EUR", lists,
    )  # fmt: skip
    assert rule.phrases("EUR") == [
        Phrase("TERM_SKU", {"values": "A, B, @outlet"}),
        Phrase("TERM_ORDER_VALUE", {"values": "5.00.. EUR"}),
        Phrase("TERM_COUNTRY_NOT", {"values": "CH"}),
        Phrase("TERM_FROM", {"day": "2026-11-20"}),
        Phrase("TERM_UNTIL", {"day": "2026-11-27"}),
        Phrase("TERM_AT_MOST", {"values": "40.00 EUR"}),
    ]
    assert (rule.first, rule.last, rule.at_most) == (date(2026, 11, 20), date(2026, 11, 27), 4000)
    assert not rule.is_for_everything and rule_of({"pays": "8%"}, "EUR", {}).is_for_everything
    assert not rule_of({"pays": "8%", "from": "2026-01-01"}, "EUR", {}).is_for_everything
    assert not rule_of({"pays": "8%", "until": "2026-01-01"}, "EUR", {}).is_for_everything
    assert rule_of({"pays": "8%", "per": "item"}, "EUR", {}).pay == Percent(D(8))
    assert str(Between(None, 500, "EUR")) == "..5.00 EUR" and str(Between(1, 2, "EUR")) == "0.01..0.02 EUR"


def test_a_range_and_a_choice() -> None:
    both = Between(100, 200, "EUR")
    assert [both.holds(D(value)) for value in (99, 100, "199.9", 200)] == [False, True, True, False]
    assert Between(None, 200, "EUR").holds(D(-5)) and Between(100, None, "EUR").holds(D(10**9))
    lists = {"outlet": named_list(["OUT-*", "X"])}
    chosen = OneOf(frozenset({"A"}), (("outlet", lists["outlet"]),))
    assert [chosen.holds([value]) for value in ("A", "X", "OUT-1", "OUT-", "OUT", "B")] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    assert not chosen.holds([]) and chosen.holds(["B", "A"])
    body = {"sku": ["A", {"list": "outlet"}], "order_value": {"from": "1.00"}, "not": {"sku": ["B"], "country": ["DE"]}}
    assert [*condition_values(body)] == ["A", {"list": "outlet"}, "B", "DE"] and [
        *condition_values(body, "country")
    ] == ["DE"]
    asks = conditions_of(body, "EUR", lists)
    assert [(one.word, one.negated) for one in asks] == [
        ("sku", False), ("order_value", False), ("sku", True), ("country", True),
    ]  # fmt: skip


def test_a_named_list_is_known_by_its_content() -> None:
    found = named_list(["B*", "A", "B*", "CC*"])
    assert found.sha256 == hashlib.sha256(b"A\nB*\nCC*").hexdigest() == named_list(["CC*", "B*", "A"]).sha256
    assert (found.exact, found.beginnings, found.lengths) == (frozenset({"A"}), frozenset({"B", "CC"}), (1, 2))


# Whom terms are for


def test_whom_terms_reach_and_how_far() -> None:
    groups = {"gold": ["xena", "yuri"], "silver": ["zoe"]}
    both = contract(partners=["nordlicht"], groups=["gold"], groups_of_program=groups)
    assert [both.reach(name) for name in ("nordlicht", "xena", "zoe")] == [0, 1, None]
    assert (
        both.members == {"nordlicht", "xena", "yuri"}
        and not both.is_for_all
        and both.groups == {"gold": {"xena", "yuri"}}
    )
    group = contract(groups=["gold"], groups_of_program=groups)
    assert [group.reach(name) for name in ("xena", "zoe")] == [1, None] and not group.is_for_all
    named = contract(partners=["nordlicht"])
    assert [named.reach(name) for name in ("nordlicht", "xena")] == [0, None] and not named.is_for_all
    every = contract()
    assert every.reach("zoe") == 2 and every.is_for_all and every.members == frozenset()
    assert every.covers("sale", "zoe") and not every.covers("lead", "zoe") and not named.covers("sale", "zoe")
    ends = contract(valid_until="2026-11-30")
    assert [ends.has_ended(date(2026, 11, day)) for day in (29, 30)] == [False, False]
    assert ends.has_ended(date(2026, 12, 1)) and not every.has_ended(date.max)
    assert (every.basis, every.cascade) == (TermsBasis.AT_MODIFICATION, CascadePolicy.NONE)
    other = contract(terms_basis="at_action", cascade="warn")
    assert (other.basis, other.cascade) == (TermsBasis.AT_ACTION, CascadePolicy.WARN)


def test_from_when_until_when() -> None:
    spans = [(REPORTED, REPORTED + DAY), (REPORTED + 3 * DAY, None)]
    days = [is_within(spans, REPORTED + n * DAY) for n in (-1, 0, 0.5, 1, 2, 3, 99)]
    assert days == [False, True, True, False, False, True, True]


def test_what_makes_terms_the_same() -> None:
    rules = [{"partner_group": ["gold"], "sku": [{"list": "outlet"}], "pays": "8%"}]
    groups, lists = {"gold": ["xena"]}, {"outlet": named_list(["A"])}

    def made(**more: Any) -> Any:
        usual: dict[str, Any] = {"rules": rules, "groups_of_program": groups, "lists_of_program": lists}
        return contract(**(usual | more))

    one = made()
    for alike_ in (
        made(),
        made(number=7),
        made(recorded_at=REPORTED),
        made(lists_of_program={**lists, "x": named_list([])}),
    ):
        assert one.says_the_same(alike_) and one.does_the_same(alike_)
    for more in ({"partners": ["xena"]}, {"valid_from": "2026-02-01"}, {"valid_until": "2027-01-01"}):
        assert not one.says_the_same(made(**more)) and one.does_the_same(made(**more)), more
    for other in (
        made(name="vip"), made(days=31), made(cascade="warn"), made(groups_of_program={"gold": ["yuri"]}),
        made(lists_of_program={"outlet": named_list(["B"])}), replace(one, time_zone="UTC"),
        replace(one, currency="USD"),
    ):  # fmt: skip
        assert not one.says_the_same(other) and not one.does_the_same(other)
    # Whom a group holds that terms are only for is whom they are for, not what they do.
    gold, other_gold = (contract(groups=["gold"], groups_of_program={"gold": [name]}) for name in ("xena", "yuri"))
    assert gold.does_the_same(other_gold) and not gold.says_the_same(other_gold)
    body = {
        "groups": ["a"],
        "rules": rules,
        "lock": [{"partner_group": ["b"]}, {"not": {"promo_code": [{"list": "codes"}]}}],
    }
    assert referenced_names(body) == ({"a", "b", "gold"}, {"outlet", "codes"})
    assert referenced_names({"payout": "8%", "lock": {"partner_group": ["b"]}}) == ({"b"}, set())


def test_which_rule_pays_which_line_and_what_it_was_before_a_cap() -> None:
    rules = [{"sku": ["A"], "pays": "10%", "at_most": "1.00"}, {"category": ["x"], "pays": "5.00", "per": "order"}]
    terms = contract(rules=rules)
    lines = (
        Line("1", "A", "x", 1, 1000),
        Line("2", "B", "x", 1, 500),
        Line("3", "C", None, 1, 500),
        Line("4", "A", None, 1, 1000),
    )
    sold = replace(action(), lines=lines)
    rests = [(1000, 1), (500, 1), (500, 1), (1000, 1)]
    assert terms.ranks(sold) == [1, 2, 0, 1]
    assert terms.rule_payouts(sold, rests) == [RulePayout(1, (0, 3), (50, 50), 200), RulePayout(2, (1,), (500,), 500)]
    assert terms.line_payouts(sold, rests) == (
        LinePayout(50, 1),
        LinePayout(500, 2),
        LinePayout(0, 0),
        LinePayout(50, 1),
    )
    assert contract().ranks(sold) == [1, 1, 1, 1]
    sale = replace(terms, groups={"g": frozenset({"nordlicht"}), "h": frozenset({"xena"})}).sale(
        replace(sold, rate=D(2))
    )
    assert (sale.day, sale.value, sale.groups) == (date(2026, 11, 1), D(6000), {"g"})


# Locks


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"days_after_event": 30}, AfterEvent(30)),
        ({"months_after_event": 2}, AfterEvent(0, 2)),
        ({"days_after_month_end": 3}, AfterEvent(3, 0, True)),
        ({"months_after_month_end": 1, "days_after_month_end": 2, "lock_moment": "start", "month_end_sticky": True},
         AfterEvent(2, 1, True, False, True)),
        ({"days_after_event": 1, "lock_moment": "end"}, AfterEvent(1, 0, False, True, False)),
        ({"days_after_status": 3, "statuses": ["a", "b"]}, AfterStatus(3, frozenset("ab"), Restart.ANY_CHANGE)),
        ({"days_after_status": 0, "statuses": ["a"], "restart": "never"},
         AfterStatus(0, frozenset("a"), Restart.NEVER)),
        ({"open_ended": True}, OpenEnded(730)),
        ({"open_ended": True, "days_max": 60}, OpenEnded(60)),
    ],
)  # fmt: skip
def test_how_a_lock_is_read(body: Mapping[str, Any], rule: LockRule) -> None:
    assert lock_of(body) == rule
    assert locks_of(body, "EUR", {}) == (RankedLock(rule),) == locks_of([body], "EUR", {})


STATUS = AfterStatus(3, frozenset({"shipped", "paid"}))
T1, T2 = at("2026-11-02T12:00"), at("2026-11-04T12:00")
LOCK1, LOCK2 = at("2026-11-04T23:00"), at("2026-11-06T23:00")


@pytest.mark.parametrize(
    ("restart", "before", "status", "after"),
    [
        ("any_change", Countdown(None), "shipped", Countdown(LOCK2, "shipped", T2, T2)),
        ("any_change", Countdown(LOCK1, "shipped", T1, T1), "paid", Countdown(LOCK2, "paid", T2, T1)),
        ("any_change", Countdown(LOCK1, "shipped", T1, T1), "lost", Countdown(None, "lost", None, T1)),
        ("leaving", Countdown(LOCK1, "shipped", T1, T1), "paid", Countdown(LOCK1, "paid", T1, T1)),
        ("leaving", Countdown(None, "lost", None, T1), "paid", Countdown(LOCK2, "paid", T2, T1)),
        ("leaving", Countdown(None, "shipped", None, T1), "paid", Countdown(LOCK2, "paid", T2, T1)),
        ("never", Countdown(None, "lost", None, T1), "paid", Countdown(LOCK1, "paid", T1, T1)),
        ("never", Countdown(None), "paid", Countdown(LOCK2, "paid", T2, T2)),
    ],
)
def test_how_a_status_moves_the_countdown(restart: str, before: Countdown, status: str, after: Countdown) -> None:
    rule = replace(STATUS, restart=Restart(restart))
    assert after_status(rule, before, status, T2, REPORTED, ZONE) == after
    late = max(at("2026-11-09T00:00"), T2)
    if after.locks_at is not None:
        assert after_status(rule, before, status, T2, late, ZONE).locks_at == late, "never before the receipt"
    kept = after_status(AfterEvent(3), before, status, T2, REPORTED, ZONE)
    assert kept == replace(before, status=status)


def test_how_an_approval_moves_the_lock() -> None:
    running = Countdown(LOCK2, "x")
    assert after_approval(OpenEnded(), running, T1, ZONE) == Countdown(at("2026-11-02T23:00"), "x")
    assert after_approval(OpenEnded(), running, at("2026-11-08T00:00"), ZONE) == running, "it never gets later"
    assert after_approval(OpenEnded(), Countdown(None), T1, ZONE) == Countdown(at("2026-11-02T23:00"))
    assert after_approval(AfterEvent(1), running, T1, ZONE) == running


@pytest.mark.parametrize(
    ("rule", "before", "locks_at"),
    [
        (AfterEvent(30), Countdown(LOCK1), at("2026-12-01T23:00")),
        (AfterEvent(1), Countdown(LOCK1), LOCK1),
        (AfterEvent(30), Countdown(None), at("2026-12-01T23:00")),
        (AfterEvent(0), Countdown(None), T2),
        (OpenEnded(10), Countdown(LOCK1), at("2026-11-11T23:00")),
        (STATUS, Countdown(LOCK1), LOCK1),
        (STATUS, Countdown(None), None),
        (STATUS, Countdown(LOCK1, "shipped", T2, T1), LOCK2),
        (STATUS, Countdown(LOCK2, "shipped", T1, T1), LOCK2),
        (STATUS, Countdown(LOCK1, "other", T2, T1), LOCK1),
        (STATUS, Countdown(None, "paid", T1, T1), LOCK1),
    ],
)
def test_how_another_partner_moves_the_lock(rule: LockRule, before: Countdown, locks_at: datetime | None) -> None:
    found = after_reattribution(rule, before, REPORTED, T2, ZONE)
    assert found == replace(before, locks_at=locks_at)


def test_when_a_credit_is_certain() -> None:
    now = at("2026-11-05T23:30")
    assert credit(AfterEvent(3), Countdown(LOCK1), now, ZONE) == Credit(date(2026, 11, 5), True)
    assert credit(OpenEnded(3), Countdown(LOCK1), now, ZONE) == Credit(date(2026, 11, 5), False)
    assert credit(STATUS, Countdown(None), now, ZONE) == Credit(date(2026, 11, 9), False)
    assert credit(AfterEvent(3), Countdown(None), now, ZONE) is None
    assert at_report(OpenEnded(1), REPORTED, ZONE) == Countdown(at("2026-11-02T23:00"))
    assert at_report(AfterEvent(1, at_end=False), REPORTED, ZONE) == Countdown(at("2026-11-01T23:00"))
    assert at_report(STATUS, REPORTED, ZONE) == Countdown(None)


# Versions, and whose terms change


def test_which_versions_are_live_and_what_documents_said_of_names() -> None:
    one, two = contract(), contract("9", number=2, valid_from="2027-01-01")
    vip = contract("20", number=3, name="vip")
    last = contract("10", number=4)
    assert live_versions([one, two, vip], REPORTED) == {"vip": (3,), "standard": (2, 1)}
    assert live_versions([one, two, vip, last], REPORTED) == {"vip": (3,), "standard": (4,)}
    assert live_versions([], REPORTED) == {}
    assert event_types_of([one, contract(event_type="lead")]) == {"sale", "lead"}
    t1, t2, t3 = REPORTED, REPORTED + DAY, REPORTED + 2 * DAY
    first = spans_after({}, ["a", "b"], t1)
    assert first == {"a": ((t1, None),), "b": ((t1, None),)}
    second = spans_after(first, ["b"], t2)
    assert second == {"a": ((t1, t2),), "b": ((t1, None),)}
    assert spans_after(second, ["a", "c"], t3) == {
        "a": ((t1, t2), (t3, None)), "b": ((t1, t3),), "c": ((t3, None),),
    }  # fmt: skip
    assert spans_after(second, ["b"], t3) == second


def test_who_is_treated_alike_and_when_something_changes() -> None:
    groups = {"gold": ["yuri"]}
    still = ((at("2026-01-01T00:00"), None),)
    every = replace(contract(valid_until="2026-12-31"), named=still)
    vip = contract("20", number=2, name="vip", partners=["xena", "anna"], valid_from="2026-12-01")
    gold = contract("12", number=3, name="gold", groups=["gold"], groups_of_program=groups)
    known = [every, replace(vip, named=still), replace(gold, named=still)]
    classes = [PartnerClass("lead", ("anna", "xena")), PartnerClass("lead", ("yuri",)), PartnerClass("lead", ())]
    assert [*partner_classes(known, ["lead"])] == classes
    assert [(one.others, one.example) for one in classes] == [(False, "anna"), (False, "yuri"), (True, "")]
    days = [REPORTED, at("2026-11-30T23:00"), at("2026-12-31T23:00")]
    assert change_moments(known, REPORTED) == days and change_moments(known, days[2]) == days[2:]
    assert [*coverage_gaps(known, ["sale"], REPORTED)] == [Gap(PartnerClass("sale", ()), date(2027, 1, 1))]
    before = [replace(every, valid_until=None, body={**every.body})]
    changes = terms_changes(before, known, REPORTED)
    nobody, named = PartnerClass("sale", ()), PartnerClass("sale", ("anna", "xena"))
    found = [(one.holders, one.at, one.before and one.before.name, one.after and one.after.name) for one in changes]
    assert (named, days[1], "standard", "vip") in found and (
        PartnerClass("sale", ("yuri",)),
        days[0],
        "standard",
        "gold",
    ) in found
    assert (nobody, days[2], "standard", None) in found and len(found) == 3
    assert isinstance(changes[0], TermsChange) and [one.at for one in changes] == sorted(one.at for one in changes)
