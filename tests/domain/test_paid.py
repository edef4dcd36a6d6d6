"""Who is paid what and why, when it is certain, and by the other basis: tables of cases worked out by hand."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.domain.cases import CONTRACT, REPORTED, action, contract, fold_records, record

from retour.domain.actions.action import Action
from retour.domain.actions.modification import (
    Approve,
    Change,
    Modification,
    Reattribute,
    Restore,
    Reverse,
    SetStatus,
    SetTotal,
    TakeBack,
    Undo,
)
from retour.domain.actions.order import effect_of
from retour.domain.actions.payout_details import (
    credit_date,
    other_basis,
    payout_phrases,
    payout_raised_warning,
    payouts_by_other_basis,
)
from retour.domain.contracts.contract import Contract, TermsBasis
from retour.domain.contracts.lock import at_report
from retour.domain.phrase import Phrase

BY = {"contract": "standard", "version": "1", "what": ""}


def said(
    sold: Action, records: Sequence[Modification], contracts: Sequence[Contract] = (CONTRACT,)
) -> list[tuple[str, dict[str, str]]]:
    order = fold_records(sold, records, contracts)
    return [(one.code, dict(one.details)) for one in payout_phrases(order, sold, order.heads["A~sale"], contracts)]


def take(amount: str, hours: float = 1, **more: Any) -> Modification:
    return record(TakeBack(Decimal(amount)), hours, **more)


# Who is paid what


def test_nothing_came_back() -> None:
    assert said(action(), []) == [
        ("PAID", {"payout": "8.00 EUR", "partner": "nordlicht"}),
        ("PAID_PERCENT", BY | {"rule": "1", "amount": "100.00 EUR", "percent": "8"}),
    ]


def test_what_came_back_is_told_by_its_day_or_days() -> None:
    assert said(action(), [take("20"), take("10", 2)])[2:] == [
        ("CAME_BACK", {"amount": "30.00 EUR", "day": "2026-11-01"})
    ]
    assert said(action(), [take("20"), take("10", 30), take("5", 60)])[2:] == [
        (
            "CAME_BACK_BETWEEN",
            {"amount": "35.00 EUR", "day": "2026-11-04", "times": "3", "first_day": "2026-11-01"},
        )
    ]
    assert said(action(), [take("20", 11.5)])[2:] == [("CAME_BACK", {"amount": "20.00 EUR", "day": "2026-11-02"})], (
        "a day of the program's zone"
    )


def test_what_was_undone_or_grew_did_not_come_back() -> None:
    first = take("20")
    assert [code for code, _ in said(action(), [first, record(Undo(first.id), 2)])] == ["PAID", "PAID_PERCENT"]
    grown = [take("50"), record(SetTotal(Decimal("80")), 30)]
    assert said(action(), grown)[2:] == [("CAME_BACK", {"amount": "20.00 EUR", "day": "2026-11-01"})]


@pytest.mark.parametrize(
    ("records", "day", "reason"),
    [
        ([record(Reverse(), 1, reason="CANCELLED")], "2026-11-01", "CANCELLED"),
        ([record(Reverse(), 1)], "2026-11-01", "–"),
        ([take("40", 1, reason="ITEM_RETURNED"), take("60", 48, reason="CONS_FRAUD")], "2026-11-03", "CONS_FRAUD"),
    ],
)
def test_what_is_reversed_pays_nothing_and_says_since_when_and_why(
    records: list[Modification], day: str, reason: str
) -> None:
    assert said(action(), records) == [("PAID_NOTHING", {"partner": "nordlicht", "day": day, "reason": reason})]


def test_a_sale_of_nothing_that_is_reversed_has_no_day() -> None:
    assert said(action(("S1", 1, 0)), [record(Reverse(), 1)]) == [
        ("PAID_NOTHING", {"partner": "nordlicht", "day": "", "reason": "–"})
    ]


def test_who_took_over_is_told_while_it_holds() -> None:
    moved = record(Reattribute("suedwind"), 5)
    assert said(action(), [moved])[0] == ("PAID", {"payout": "8.00 EUR", "partner": "suedwind"})
    assert said(action(), [moved])[2:] == [("TAKEN_OVER", {"partner": "nordlicht", "day": "2026-11-01"})]
    assert [code for code, _ in said(action(), [moved, record(Undo(moved.id), 6)])] == ["PAID", "PAID_PERCENT"]
    twice = [moved, record(Reattribute("ostsee"), 40)]
    assert said(action(), twice)[2:] == [("TAKEN_OVER", {"partner": "nordlicht", "day": "2026-11-03"})]


RULES = contract(
    rules=[
        {"pays": "1.50", "sku": ["FLAT"]},
        {"pays": "10%", "category": ["shoes"], "at_most": "5.00"},
        {"pays": "20%", "sku": ["GONE"]},
    ]
)


def test_each_rule_that_pays_is_told_with_what_it_pays_for_and_what_no_rule_pays() -> None:
    lines = (("FLAT", 2, 2000), ("S", 1, 8000), ("GONE", 1, 1000), ("REST", 1, 3000))
    sold = action(*lines)
    sold = replace(sold, lines=tuple(replace(one, category="shoes") if one.sku == "S" else one for one in sold.lines))
    found = said(sold, [record(Reverse(), 1, sku="GONE")], [RULES])
    assert found[0] == ("PAID", {"payout": "8.00 EUR", "partner": "nordlicht"})
    assert [(code, details.get("rule"), details.get("what")) for code, details in found[1:]] == [
        ("PAID_EACH", "1", ""),
        ("PAID_PERCENT", "2", " shoes"),
        ("PAID_AT_MOST", None, None),
        ("PAID_NO_RULE", None, ""),
        ("CAME_BACK", None, None),
    ]
    assert found[3][1] == {"at_most": "5.00 EUR"}
    assert found[4][1] == BY | {"amount": "30.00 EUR"}


def test_a_cap_that_is_not_reached_is_not_told() -> None:
    sold = action(("S", 1, 5000))
    sold = replace(sold, lines=tuple(replace(one, category="shoes") for one in sold.lines))
    assert [code for code, _ in said(sold, [], [RULES])] == ["PAID", "PAID_PERCENT"]


def test_units_without_an_amount_are_still_something_left() -> None:
    free = contract(payout="1.00")
    assert [code for code, _ in said(action(("S", 3, 0)), [], [free])] == ["PAID", "PAID_EACH"]


# When it is certain

LOCKED_RULES: dict[str, Any] = {
    "event": {"days_after_event": 30},
    "status": {"days_after_status": 21, "statuses": ["shipped", "delivered"]},
    "leaving": {"days_after_status": 21, "statuses": ["shipped", "delivered"], "restart": "leaving"},
    "never": {"days_after_status": 21, "statuses": ["shipped", "delivered"], "restart": "never"},
    "open": {"open_ended": True},
}
SHIPPED, BACK, DELIVERED = SetStatus("shipped"), SetStatus("lost"), SetStatus("delivered")
AT = REPORTED + timedelta(days=10)


@pytest.mark.parametrize(
    ("lock", "changes", "kind", "day", "code", "more"),
    [
        ("event", [], "expected", "2026-12-02", "CREDIT_FIXED", {"status": "–"}),
        ("event", [SHIPPED], "expected", "2026-12-02", "CREDIT_FIXED", {"status": "shipped"}),
        ("open", [], "latest", "2028-11-01", "CREDIT_OPEN", {"status": "–"}),
        ("open", [Approve()], "expected", "2026-11-02", "CREDIT_LOCKED", {"status": "–"}),
        ("status", [], "earliest", "2026-12-02", "CREDIT_NOT_REACHED",
         {"status": "–", "days": "21", "statuses": "delivered, shipped"}),
        ("status", [SHIPPED], "expected", "2026-11-22", "CREDIT_COUNTING",
         {"status": "shipped", "since_day": "2026-11-01", "first_day": "2026-11-01"}),
        ("status", [SHIPPED, BACK], "earliest", "2026-12-02", "CREDIT_LEFT",
         {"status": "lost", "first_day": "2026-11-01"}),
        ("status", [SHIPPED, None, DELIVERED], "expected", "2026-11-24", "CREDIT_RESTARTED",
         {"status": "delivered", "since_day": "2026-11-03", "first_day": "2026-11-01"}),
        ("leaving", [SHIPPED, None, DELIVERED], "expected", "2026-11-22", "CREDIT_COUNTING",
         {"status": "delivered", "since_day": "2026-11-01", "first_day": "2026-11-01"}),
        ("leaving", [SHIPPED, BACK, DELIVERED], "expected", "2026-11-24", "CREDIT_CAME_BACK",
         {"status": "delivered", "since_day": "2026-11-03", "first_day": "2026-11-01"}),
        ("never", [SHIPPED, BACK, DELIVERED], "expected", "2026-11-22", "CREDIT_COUNTING",
         {"status": "delivered", "since_day": "2026-11-01", "first_day": "2026-11-01"}),
    ],
)  # fmt: skip
def test_when_the_credit_is_certain_and_why(
    lock: str, changes: list[Change | None], kind: str, day: str, code: str, more: dict[str, str]
) -> None:
    """Changes come a day after another."""
    terms = contract(lock=LOCKED_RULES[lock])
    sold = action(locks_at=at_report(terms.lock, REPORTED, "Europe/Berlin").locks_at)
    records = [record(change, 1 + 24 * n) for n, change in enumerate(changes) if change is not None]
    order = fold_records(sold, records, [terms])
    found = credit_date(order, sold, order.heads["A~sale"], [terms], AT)
    assert found is not None
    assert (found.kind, found.day, found.said.code) == (kind, day, code)
    assert {name: found.said.details.get(name) for name in more} == more
    assert found.said.details["day"] == day


def test_an_approved_open_ended_action_is_certain_at_the_end_of_the_day() -> None:
    terms = contract(lock=LOCKED_RULES["open"])
    sold = action(locks_at=at_report(terms.lock, REPORTED, "Europe/Berlin").locks_at)
    order = fold_records(sold, [record(Approve(), 1)], [terms])
    found = credit_date(order, sold, order.heads["A~sale"], [terms], REPORTED + timedelta(hours=2))
    assert found is not None and (found.kind, found.day, found.said.code) == (
        "expected",
        "2026-11-02",
        "CREDIT_APPROVED",
    )


def test_locked_is_certain_and_reversed_is_never() -> None:
    order = fold_records(action(), [])
    found = credit_date(order, action(), order.heads["A~sale"], [CONTRACT], datetime(2026, 12, 2, tzinfo=UTC))
    assert found is not None and (found.kind, found.said.code) == ("expected", "CREDIT_LOCKED")
    gone = fold_records(action(), [record(Reverse(), 1)])
    assert credit_date(gone, action(), gone.heads["A~sale"], [CONTRACT], AT) is None
    back = fold_records(action(), [record(Reverse(), 1), record(Restore(), 2)])
    assert credit_date(back, action(), back.heads["A~sale"], [CONTRACT], AT) is not None


# The other basis

LATER = contract("10", number=2, recorded_at=REPORTED + timedelta(hours=3))
TERMS = [CONTRACT, LATER]


def test_the_other_basis_is_replayed_change_by_change() -> None:
    records = [take("20", 1), take("10", 4), record(SetStatus("shipped"), 5), record(Reverse(), 6)]
    order = fold_records(action(), records, TERMS)
    head = order.heads["A~sale"]
    assert [entry.payout for entry in head.log] == [640, 700, 700, 0]
    basis, payouts = payouts_by_other_basis(order, action(), head, TERMS)
    assert (basis, payouts) == (TermsBasis.AT_ACTION, [640, 560, 560, 0])
    told = [other_basis((basis, payouts), head, entry) for entry in head.log]
    assert [one.payout if one else None for one in told] == [None, 560, 560, None]
    assert told[1] is not None and told[1].basis == "at_action"


def test_of_a_contract_at_the_action_the_other_basis_is_at_the_modification() -> None:
    agreed = [contract(terms_basis="at_action"), LATER]
    order = fold_records(action(), [take("20", 1), take("10", 4)], agreed)
    head = order.heads["A~sale"]
    assert [entry.payout for entry in head.log] == [640, 560]
    assert payouts_by_other_basis(order, action(), head, agreed) == (TermsBasis.AT_MODIFICATION, [640, 700])


def test_where_one_version_priced_everything_both_bases_pay_the_same() -> None:
    order = fold_records(action(), [take("20", 1), take("900", 2)])
    head = order.heads["A~sale"]
    otherwise = payouts_by_other_basis(order, action(), head, [CONTRACT])
    assert otherwise == (TermsBasis.AT_ACTION, [640, 640])
    assert [other_basis(otherwise, head, entry) for entry in head.log] == [None, None]


def test_undo_and_reattribution_by_the_other_basis() -> None:
    first = take("20", 1)
    records = [first, take("10", 4), record(Undo(first.id), 5), record(Reattribute("suedwind"), 6)]
    order = fold_records(action(), records, TERMS)
    head = order.heads["A~sale"]
    assert [entry.payout for entry in head.log] == [640, 700, 900, 900]
    _, payouts = payouts_by_other_basis(order, action(), head, TERMS)
    assert payouts[:3] == [640, 560, 720]


# A return that raises a payout


def test_a_change_that_takes_back_and_raises_the_payout_is_warned_of() -> None:
    dear = contract("30", number=2, recorded_at=REPORTED + timedelta(hours=3))
    order = fold_records(action(), [take("1", 4), record(SetStatus("x"), 5)], [CONTRACT, dear])
    head = order.heads["A~sale"]
    taken, status = head.log
    told = payout_raised_warning(order.records[0], taken, effect_of(order, head, taken, [CONTRACT, dear]))
    assert told == Phrase("PAYOUT_RAISED", {"payout_before": "8.00 EUR", "payout_after": "29.70 EUR"})
    assert payout_raised_warning(order.records[1], status, effect_of(order, head, status, [CONTRACT, dear])) is None
    assert payout_raised_warning(order.records[0], taken, None) is None


@pytest.mark.parametrize(
    ("first", "then"),
    [(TakeBack(Decimal("20")), TakeBack(Decimal("5"))), (TakeBack(Decimal("50")), SetTotal(Decimal("80")))],
)
def test_no_warning_where_less_is_paid_or_more_is_left(first: Change, then: Change) -> None:
    order = fold_records(action(), [record(first, 1), record(then, 2)])
    head = order.heads["A~sale"]
    for entry, one in zip(head.log, order.records, strict=True):
        assert payout_raised_warning(one, entry, effect_of(order, head, entry, [CONTRACT])) is None


def test_what_was_refused_warns_of_nothing() -> None:
    order = fold_records(action(), [take("1", 1), take("900", 2)])
    head = order.heads["A~sale"]
    refused = head.log[1]
    about = effect_of(order, head, refused, [CONTRACT])
    assert about is not None
    dearer = replace(about, amount_after=about.amount_before, payout_after=about.payout_before + 1)
    assert payout_raised_warning(order.records[1], refused, dearer) is None
    assert payout_raised_warning(order.records[0], head.log[0], dearer) is not None
