"""The fold: tables of cases a person can check against spec 3 to 5, then properties over any history."""

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domain.cases import CONTRACT, REPORTED, action, balances_of, contract, fold_records, outcomes_of, record

from retour.domain.actions.action import LifecycleState, Line
from retour.domain.actions.explain import sentence_details
from retour.domain.actions.fold import fold
from retour.domain.actions.lines import NOTHING_LEFT
from retour.domain.actions.modification import (
    Approve,
    Change,
    Discard,
    Modification,
    Reattribute,
    Release,
    Reprice,
    Restore,
    Reverse,
    SetQuantity,
    SetStatus,
    SetTotal,
    TakeBack,
    Undo,
)
from retour.domain.actions.order import NO_ACTION, Order
from retour.domain.actions.replay import ACCEPTED_OUTCOMES, as_of, undo_blockers
from retour.domain.contracts.lock import at_report
from retour.domain.delivery import Channel

D = Decimal
TWO_LINES = (("S1", 3, 10000), ("S2", 1, 5000))


@pytest.mark.parametrize(
    ("change", "target", "left"),
    [
        (Reverse(), {}, [(0, 0), (0, 0)]),
        (Reverse(), {"sku": "S1"}, [(0, 0), (5000, 1)]),
        (SetTotal(D("75.00")), {}, [(5000, 3), (2500, 1)]),
        (SetTotal(D("0")), {}, [(0, 0), (0, 0)]),
        (SetTotal(D("10.00")), {"line": "2"}, [(10000, 3), (1000, 1)]),
        (SetQuantity(2), {"sku": "S1"}, [(6667, 2), (5000, 1)]),
        (SetQuantity(0), {"sku": "S2"}, [(10000, 3), (0, 0)]),
        (SetQuantity(2, D("50.00")), {"sku": "S1"}, [(5000, 2), (5000, 1)]),
        (TakeBack(D("15.00")), {}, [(9000, 3), (4500, 1)]),
        (TakeBack(quantity=1), {"sku": "S1"}, [(6667, 2), (5000, 1)]),
        (TakeBack(D("20.00"), 1), {"sku": "S1"}, [(8000, 2), (5000, 1)]),
        (TakeBack(D("119.00"), of_total=D("178.50")), {}, [(3333, 3), (1667, 1)]),
        (TakeBack(D("200.00"), clamp=True), {}, [(0, 0), (0, 0)]),
    ],
)
def test_what_a_change_leaves(change: Change, target: dict[str, str], left: list[tuple[int, int]]) -> None:
    order = fold_records(action(*TWO_LINES), [record(change, **target)])
    assert outcomes_of(order)[0][0] == "applied"
    assert balances_of(order) == left


@pytest.mark.parametrize(
    ("change", "more", "code"),
    [
        (TakeBack(D("150.01")), {}, "AMOUNT_EXCEEDS_SALE"),
        (TakeBack(D("50.01")), {"sku": "S2"}, "AMOUNT_EXCEEDS_SALE"),
        (SetTotal(D("150.01")), {}, "AMOUNT_EXCEEDS_SALE"),
        (TakeBack(quantity=4), {"sku": "S1"}, "QUANTITY_EXCEEDS_SOLD"),
        (SetQuantity(4), {"sku": "S1"}, "QUANTITY_EXCEEDS_SOLD"),
        (TakeBack(quantity=1), {}, "ITEM_NEEDED"),
        (SetQuantity(1), {}, "ITEM_NEEDED"),
        (Reverse(), {"sku": "S9"}, "UNKNOWN_ITEM"),
        (Reverse(), {"sku": "S1", "line": "2"}, "UNKNOWN_ITEM"),
        (TakeBack(D("1.001")), {}, "AMOUNT_TOO_FINE"),
        (TakeBack(D("1.00")), {"currency": "USD"}, "CURRENCY_MISMATCH"),
        (Reverse(), {"hours": 24 * 31}, "ACTION_LOCKED"),
    ],
)
def test_what_is_refused(change: Change, more: dict[str, object], code: str) -> None:
    order = fold_records(action(*TWO_LINES), [record(change, **more)])  # type: ignore[arg-type]
    assert outcomes_of(order) == [("refused", code)]
    assert balances_of(order) == [(10000, 3), (5000, 1)]


def test_the_last_millisecond_before_the_lock_is_in_time() -> None:
    sold = action()
    hours = (sold.locks_at - REPORTED) / timedelta(hours=1)
    moment = timedelta(milliseconds=1) / timedelta(hours=1)
    assert outcomes_of(fold_records(sold, [record(Reverse(), hours - moment)])) == [("applied", "")]
    assert outcomes_of(fold_records(sold, [record(Reverse(), hours)])) == [("refused", "ACTION_LOCKED")]


@pytest.mark.parametrize(
    ("changes", "outcomes", "left", "state"),
    [
        ([Reverse(), Reverse()], ["applied", "unchanged"], 0, LifecycleState.REVERSED),
        ([Reverse(), Restore()], ["applied", "applied"], 15000, LifecycleState.PENDING),
        ([Restore()], ["unchanged"], 15000, LifecycleState.PENDING),
        ([Approve(), Approve()], ["applied", "unchanged"], 15000, LifecycleState.APPROVED),
        ([Approve(), TakeBack(D("10"))], ["applied", "applied"], 14000, LifecycleState.APPROVED),
        ([Reverse(), Approve()], ["applied", "refused ACTION_REVERSED"], 0, LifecycleState.REVERSED),
        ([Reverse(), Approve(restores=True)], ["applied", "applied"], 15000, LifecycleState.PENDING),
        ([Reverse(), TakeBack(D("1"))], ["applied", "refused ACTION_REVERSED"], 0, LifecycleState.REVERSED),
        (
            [Reverse(), TakeBack(D("1"), clamp=True)],
            ["applied", "unchanged CLAMPED_TO_SALE"],
            0,
            LifecycleState.REVERSED,
        ),
        ([TakeBack(D("50")), Reverse(), Restore()], ["applied"] * 3, 10000, LifecycleState.PENDING),
        ([TakeBack(D("150")), Restore()], ["applied"] * 2, 15000, LifecycleState.PENDING),
        ([SetTotal(D("0")), SetTotal(D("20"))], ["applied"] * 2, 2000, LifecycleState.PENDING),
        ([SetTotal(D("80")), SetTotal(D("80"))], ["applied", "unchanged"], 8000, LifecycleState.PENDING),
    ],
)
def test_states(changes: list[Change], outcomes: list[str], left: int, state: LifecycleState) -> None:
    order = fold_records(action(*TWO_LINES), [record(change, n) for n, change in enumerate(changes, 1)])
    assert [f"{outcome} {code}".strip() for outcome, code in outcomes_of(order)] == outcomes
    head = order.heads["A~sale"]
    assert (head.standing.amount, head.state(REPORTED)) == (left, state)


def test_amount_zero_does_not_reverse_what_was_worth_nothing() -> None:
    worthless = action(("S1", 1, 0))
    order = fold_records(worthless, [record(SetTotal(D("0")))])
    assert outcomes_of(order) == [("unchanged", "")]
    order = fold_records(worthless, [record(Reverse())])
    assert order.heads["A~sale"].state(REPORTED) is LifecycleState.REVERSED


def test_a_higher_total_gives_back_what_lines_have_lost_and_no_line_exceeds_its_sale() -> None:
    history = [record(Reverse(), 1), record(Restore(), 2, sku="S1"), record(SetTotal(D("120.00")), 3)]
    order = fold_records(action(*TWO_LINES), [*history, record(Restore(), 4)])
    assert [entry.amount for entry in order.heads["A~sale"].log] == [0, 10000, 12000, 12000]
    assert balances_of(order) == [(10000, 3), (2000, 1)]


def test_only_its_own_source_takes_a_reversal_back_by_a_total() -> None:
    by_a_person = record(Reverse(), 1, source="console")
    nightly_total = record(SetTotal(D("150")), 2)
    assert outcomes_of(fold_records(action(*TWO_LINES), [by_a_person, nightly_total]))[1] == (
        "refused",
        "ACTION_REVERSED",
    )


def test_locked_is_a_question_to_the_clock() -> None:
    sold = action()
    head = fold_records(sold, []).heads["A~sale"]
    assert head.state(sold.locks_at - timedelta(milliseconds=1)) is LifecycleState.PENDING
    assert head.state(sold.locks_at) is LifecycleState.LOCKED


def test_units_of_a_line_sum_to_it() -> None:
    singly = [record(TakeBack(quantity=1), n, sku="S1") for n in (1, 2, 3)]
    order = fold_records(action(("S1", 3, 10000)), singly)
    amounts = [entry.amount for entry in order.heads["A~sale"].log]
    assert amounts == [6667, 3333, 0]


def test_lines_of_one_sku_form_a_pool_in_line_order() -> None:
    order = fold_records(action(("S1", 2, 4000), ("S1", 2, 6000)), [record(TakeBack(quantity=3), sku="S1")])
    assert balances_of(order) == [(0, 0), (3000, 1)]


def test_an_older_end_result_of_the_same_source_is_superseded() -> None:
    newer = record(SetTotal(D("80")), 2, occurred=2)
    older = record(SetTotal(D("90")), 3, occurred=1)
    order = fold_records(action(), [newer])
    again = fold(Order(key="A", actions=order.actions, records=[newer, older], heads=order.heads), [CONTRACT], REPORTED)
    assert outcomes_of(again) == [("applied", ""), ("superseded", "SUPERSEDED")]
    other_source = record(SetTotal(D("90")), 3, occurred=1, source="till")
    once_more = fold(
        Order(key="A", actions=order.actions, records=[newer, other_source], heads=order.heads), [CONTRACT], REPORTED
    )
    assert outcomes_of(once_more)[1][0] == "unchanged"
    assert once_more.heads["A~sale"].standing.amount == 8000


def test_a_thousand_changes_and_no_more() -> None:
    sold = action(("S1", 1, 10_000_00))
    records = [record(TakeBack(D("1.00")), n / 10) for n in range(1002)]
    log = fold_records(sold, records).heads["A~sale"].log
    assert [entry.code for entry in log[:899]] == [""] * 899
    assert {entry.code for entry in log[899:1000]} == {"NEAR_MODIFICATION_LIMIT"}
    assert [entry.code for entry in log[1000:]] == ["MODIFICATION_LIMIT"] * 2


def test_the_version_valid_at_the_modification_prices_it_and_nothing_booked_moves() -> None:
    first = contract("8")
    second = contract("10", number=2, recorded_at=REPORTED + timedelta(hours=5))
    early, late = record(TakeBack(D("10")), 1), record(TakeBack(D("10")), 6)
    log = fold_records(action(), [early, late], [first, second]).heads["A~sale"].log
    assert [(entry.payout, entry.contract) for entry in log] == [(720, 1), (800, 2)]
    approved = fold_records(action(), [record(Approve(), 6)], [first, second]).heads["A~sale"]
    assert approved.payout == 800


def test_another_action_of_the_order_is_told_apart_by_time_or_id() -> None:
    old = action(id="A~sale~1", reported_at=REPORTED)
    new = action(id="A~sale~2", reported_at=REPORTED + timedelta(hours=10))
    order = Order(
        key="A",
        actions=[old, new],
        records=[record(Reverse(), 5), record(Reverse(), 11), record(Restore(), 12, action_id="A~sale~1")],
    )
    heads = fold(order, [CONTRACT], REPORTED).heads
    assert [len(heads[name].log) for name in ("A~sale~1", "A~sale~2")] == [2, 1]


CHANGES = st.one_of(
    st.just(Reverse()),
    st.just(Restore()),
    st.builds(Approve, st.booleans()),
    st.builds(lambda cents: SetTotal(D(cents).scaleb(-2)), st.integers(0, 16000)),
    st.builds(SetQuantity, st.integers(0, 4)),
    st.builds(
        lambda cents, units, clamp: TakeBack(D(cents).scaleb(-2) if cents is not None else None, units, None, clamp),
        st.one_of(st.none(), st.integers(0, 8000)),
        st.one_of(st.none(), st.integers(0, 3)),
        st.booleans(),
    ).filter(lambda change: change.amount is not None or change.quantity is not None),
)
TARGETS = st.sampled_from([{}, {"sku": "S1"}, {"sku": "S2"}, {"line": "2"}])


@st.composite
def histories(draw: st.DrawFn) -> list[Modification]:
    return [
        record(
            draw(CHANGES),
            hours,
            occurred=draw(st.one_of(st.none(), st.integers(1, hours))),
            source=draw(st.sampled_from(["erp", "till"])),
            **draw(TARGETS),
        )
        for hours in range(1, draw(st.integers(0, 12)) + 1)
    ]


@given(histories())
def test_after_any_history_a_full_reversal_nets_to_zero(history: list[Modification]) -> None:
    order = fold_records(action(*TWO_LINES), [*history, record(Reverse(), 100, reference="at last")])
    head = order.heads["A~sale"]
    assert (head.standing.amount, head.payout) == (0, 0)
    booked = [10000 + 5000, *(entry.amount for entry in head.log)]
    assert booked[0] + sum(after - before for before, after in itertools.pairwise(booked)) == 0


@given(histories())
def test_no_line_leaves_its_bounds_and_what_is_reversed_is_at_zero(history: list[Modification]) -> None:
    sold = action(*TWO_LINES)
    head = fold_records(sold, history).heads["A~sale"]
    for rest, line in zip(head.standing.rests, sold.lines, strict=True):
        assert 0 <= rest.quantity <= line.quantity
        assert rest.amount >= 0
    assert head.standing.amount <= sold.amount
    assert (head.standing.is_reversed) == all(rest == NOTHING_LEFT for rest in head.standing.rests)


@given(histories(), st.integers(0, 12))
def test_folding_in_two_goes_or_twice_books_every_record_once_and_rewrites_nothing(
    history: list[Modification], cut: int
) -> None:
    first = fold_records(action(*TWO_LINES), history[:cut])
    whole = fold(Order(key="A", actions=first.actions, records=history, heads=first.heads), [CONTRACT], REPORTED)
    assert whole.heads["A~sale"].log[: len(first.heads["A~sale"].log)] == first.heads["A~sale"].log
    assert sorted(entry.id for entry in whole.heads["A~sale"].log) == sorted(one.id for one in history)
    assert fold(whole, [CONTRACT], REPORTED) == whole


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_end_results_of_an_ordered_source_make_the_same_ledger_in_any_order(seed: int) -> None:
    """Every record arrives twice and shuffled; the source's own time orders them."""
    dice = random.Random(seed)
    changes: list[Change] = [
        dice.choice([Reverse(), SetTotal(D(dice.randint(0, 15000)).scaleb(-2))]) for _ in range(dice.randint(1, 8))
    ]
    in_order = [record(change, 50, occurred=n, reference=f"r{n}") for n, change in enumerate(changes, 1)]
    ledgers = []
    for _ in range(2):
        dice.shuffle(in_order)
        order = Order(key="A", actions=[action(*TWO_LINES)])
        for arrived in in_order * 2:
            known = {one.id for one in order.records}
            records = [*order.records] if arrived.id in known else [*order.records, arrived]
            order = fold(
                Order(key="A", actions=order.actions, records=records, heads=order.heads), [CONTRACT], REPORTED
            )
        head = order.heads["A~sale"]
        ledgers.append((balances_of(order), head.payout, head.state(REPORTED), head.locks_at))
    assert ledgers[0] == ledgers[1]


# Undo, status, re-attribution, contracts


def test_undo_is_blocked_by_what_builds_on_it() -> None:
    back = record(SetTotal(D("20")), 1)
    order = fold_records(action(), [record(TakeBack(D("90")), 0.5), record(Restore(), 0.7), back])
    assert outcomes_of(order) == [("applied", ""), ("unchanged", ""), ("applied", "")]
    raised = record(SetTotal(D("100")), 1)
    taken = record(TakeBack(D("80")), 2)
    lowered = record(SetTotal(D("10")), 0.5)
    undo = record(Undo(raised.id), 3)
    order = fold_records(action(), [lowered, raised, taken, undo])
    assert outcomes_of(order)[-1] == ("refused", "UNDO_BLOCKED")
    assert undo_blockers(order, order.heads["A~sale"], undo) == [taken.public_id]


def test_what_comes_late_never_blames_the_action_for_what_was_booked_since() -> None:
    """A held reversal, released after a later return was booked, is before it: the action is not reversed at all."""
    first, restored = record(Reverse(), 1), record(Restore(), 2)
    held, taken = record(Reverse(), 3), record(TakeBack(D("10")), 4)
    release = record(Release(held.public_id), 5, channel=Channel.CONSOLE)
    order = fold_records(action(), [first, restored, held, taken, release])
    head = order.heads["A~sale"]
    assert outcomes_of(order)[-1] == ("refused", "LATER_CHANGES_STAND")
    assert head.state(REPORTED) is LifecycleState.PENDING
    assert sentence_details(order, head, held, 35, "UTC")["blockers"] == taken.public_id


@given(histories(), st.data())
def test_an_undo_gives_the_ledger_as_if_the_record_had_never_come(
    history: list[Modification], data: st.DataObject
) -> None:
    """Where the undo is applied at all, and no other record was refused or held because of the one undone."""
    if not history:
        return
    undone = data.draw(st.sampled_from(history))
    with_it = fold_records(action(*TWO_LINES), [*history, record(Undo(undone.id), 200, reference="undo")])
    entry = with_it.heads["A~sale"].last_entry(undone.id)
    without = fold_records(action(*TWO_LINES), [one for one in history if one is not undone])
    same_words = all(
        with_it.heads["A~sale"].last_entry(one.id).outcome in ACCEPTED_OUTCOMES  # type: ignore[union-attr]
        and without.heads["A~sale"].last_entry(one.id).outcome in ACCEPTED_OUTCOMES  # type: ignore[union-attr]
        for one in history
        if one is not undone
    )
    if (
        entry is not None
        and entry.outcome in ACCEPTED_OUTCOMES
        and same_words
        and outcomes_of(with_it)[-1][0] != "refused"
    ):
        assert balances_of(with_it) == balances_of(without)
        assert with_it.heads["A~sale"].payout == without.heads["A~sale"].payout


def test_a_reversal_without_reference_that_repeats_an_undone_one_is_held_until_released() -> None:
    first, again = record(Reverse(), 1), record(Reverse(), 3)
    order = fold_records(action(), [first, record(Restore(), 2), again])
    assert outcomes_of(order)[-1] == ("held", "REPEATS_UNDONE_REVERSAL")
    release = record(Release(again.public_id), 4, channel=Channel.CONSOLE)
    order = fold(replace(order, records=[*order.records, release]), [CONTRACT], REPORTED)
    assert outcomes_of(order)[-2:] == [("applied", ""), ("applied", "")]
    assert order.heads["A~sale"].state(REPORTED) is LifecycleState.REVERSED
    discard = record(Discard(again.public_id), 5, channel=Channel.CONSOLE)
    order = fold(replace(order, records=[*order.records, discard]), [CONTRACT], REPORTED)
    assert outcomes_of(order)[-1] == ("refused", "NOT_HELD")


RULES = [
    {"promo_code": ["FREE"], "pays": "0%"},
    {"category": ["shoes"], "pays": "10%"},
    {"sku": ["GIFT"], "pays": "1.50 EUR"},
    {"customer_status": ["new"], "pays": "5.00", "per": "order"},
    {"pays": "3.5%", "per": "order"},
]


@pytest.mark.parametrize(
    ("more", "paid"),
    [
        ({}, [(1000, 2), (150, 3), (105, 5)]),
        ({"promo_code": "FREE"}, [(0, 1), (0, 1), (0, 1)]),
        ({"customer_status": "new"}, [(1000, 2), (150, 3), (500, 4)]),
    ],
)
def test_the_first_rule_that_holds_pays(more: dict[str, str], paid: list[tuple[int, int]]) -> None:
    lines = (
        Line("1", "S1", "shoes", 1, 10000),
        Line("2", "GIFT", None, 1, 2000),
        Line("3", "S3", "socks", 2, 3000),
    )
    sold = replace(action(), lines=lines, **more)
    terms = contract(rules=RULES)
    assert [(one.amount, one.rule) for one in terms.line_payouts(sold, [(10000, 1), (2000, 1), (3000, 2)])] == paid


def test_a_foreign_sale_is_paid_in_the_programs_currency_at_the_frozen_rate() -> None:
    yen = replace(action(("S1", 1, 20000), currency="JPY"), rate=D("0.0061"))
    head = fold_records(yen, [record(TakeBack(D("5000")), 1, currency="JPY")]).heads["A~sale"]
    assert head.payout == 732
    assert fold_records(yen, [record(Reverse(), 1)]).heads["A~sale"].payout == 0


def test_terms_at_the_action_price_what_comes_later() -> None:
    first = contract("8", terms_basis="at_action")
    second = contract("10", number=2, recorded_at=REPORTED + timedelta(hours=5))
    head = fold_records(action(), [record(TakeBack(D("10")), 6)], [first, second]).heads["A~sale"]
    assert (head.payout, head.standing.contract) == (720, 1)
    repriced = fold_records(action(), [record(Reprice(), 6)], [first, second]).heads["A~sale"]
    assert (repriced.payout, repriced.standing.contract) == (1000, 2)


def test_reattribution_pays_the_other_partner_by_its_own_terms_and_never_locks_earlier() -> None:
    general = contract("8")
    special = contract("20", days=10, number=2, partners=["suedwind"])
    order = fold_records(action(), [record(Reattribute("suedwind"), 1)], [general, special])
    head = order.heads["A~sale"]
    assert (head.standing.partner, head.payout) == ("suedwind", 2000)
    assert head.locks_at == action().locks_at
    unknown = contract("8", partners=["nordlicht"])
    assert outcomes_of(fold_records(action(), [record(Reattribute("westwind"), 1)], [unknown])) == [
        ("refused", "CONTRACT_MISSING")
    ]


def test_a_status_counts_for_every_action_of_the_order_and_moves_only_locks_that_count_from_it() -> None:
    counted = contract(lock={"days_after_status": 21, "statuses": ["shipped"]})
    sold = replace(action(), locks_at=None)
    other = replace(sold, id="A~lead", event_type="lead")
    leads = contract(number=2, event_type="lead", name="leads")
    other = replace(other, contract=2)
    shipped = record(SetStatus("shipped"), 24)
    order = fold(Order(key="A", actions=[sold, other], records=[shipped]), [counted, leads], REPORTED)
    assert order.heads["A~sale"].locks_at == datetime(2026, 11, 22, 23, tzinfo=UTC)
    assert order.heads["A~lead"].locks_at is None
    assert [head.standing.countdown.status for head in order.heads.values()] == ["shipped", "shipped"]


def test_approval_locks_an_open_ended_action_at_the_end_of_the_day() -> None:
    terms = contract(lock={"open_ended": True})
    sold = replace(action(), locks_at=at_report(terms.lock, REPORTED, "Europe/Berlin").locks_at)
    assert sold.locks_at == datetime(2028, 10, 31, 23, tzinfo=UTC)
    head = fold_records(sold, [record(Approve(), 1)], [terms]).heads["A~sale"]
    assert head.locks_at == datetime(2026, 11, 1, 23, tzinfo=UTC)


def test_what_comes_to_a_final_action_is_booked_beside_it() -> None:
    order = fold_records(action(), [record(TakeBack(D("10")), 1)])
    fenced = replace(order.heads["A~sale"], final=REPORTED + timedelta(days=31))
    in_time, late = record(TakeBack(D("5")), 2), record(TakeBack(D("5")), 24 * 40)
    order = fold(
        replace(order, heads={"A~sale": fenced}, records=[*order.records, in_time, late]), [CONTRACT], REPORTED
    )
    assert order.heads["A~sale"] is fenced
    assert [entry.code for entry in order.heads[NO_ACTION].log] == ["AFTER_FINAL", "ACTION_LOCKED"]


def test_as_of_shows_the_past() -> None:
    order = fold_records(action(), [record(TakeBack(D("10")), 1)])
    early = fold(Order(key="A", actions=order.actions, records=order.records[:1]), [CONTRACT], REPORTED)
    later = record(TakeBack(D("20")), 30)
    moment = REPORTED + timedelta(days=2)
    now = fold(replace(early, records=[*early.records, later]), [CONTRACT], moment)
    assert now.heads["A~sale"].standing.amount == 7000
    before = as_of(now, [CONTRACT], moment - timedelta(hours=1))
    assert before.heads["A~sale"].standing.amount == 9000
    assert before.heads["A~sale"].payout == 720
    assert as_of(now, [CONTRACT], REPORTED - timedelta(hours=1)).actions == []
