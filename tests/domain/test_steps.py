"""The pure steps of a decision, each asked by itself: who holds, doubles, supersedes, waits, and what is meant."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from tests.domain.cases import CONTRACT, REPORTED, action, contract, fold_records, outcomes_of, record

from retour.domain.actions.action import LifecycleState
from retour.domain.actions.codes import Code
from retour.domain.actions.decide import (
    held_older_versions,
    is_another_return,
    is_duplicate_pair,
    is_held,
    is_visible_change,
    lateness_code,
    newest_booked,
    possible_duplicates,
    possible_effects,
    reference_holder,
    repeats_undone_reversal,
    supersedes,
    takes_something,
    terms_by_basis,
)
from retour.domain.actions.fold import counts_as_change, fold, refuse_waiting, target_actions
from retour.domain.actions.lines import LineBalance
from retour.domain.actions.modification import (
    LEGACY_VERSION,
    NUMBER_VERSION,
    PARENT_SUBJECT,
    Approve,
    Change,
    Discard,
    Modification,
    Provenance,
    RaiseLimit,
    Reattribute,
    Refold,
    Release,
    Reprice,
    Restore,
    Reverse,
    SetQuantity,
    SetStatus,
    SetTotal,
    TakeBack,
    Undo,
    Version,
    to_epoch_milliseconds,
)
from retour.domain.actions.order import (
    NO_ACTION,
    ActionHead,
    LogEntry,
    Order,
    effect_of,
    initial_head,
    is_waiting_for_total,
    target_record_id,
    unassigned_head,
    with_order_total,
)
from retour.domain.actions.outcome import Effect, Outcome
from retour.domain.actions.replay import is_accepted, last_status, undo_blockers, undone_ids, with_parent_subject
from retour.domain.actions.state import initial_state
from retour.domain.contracts.contract import TermsBasis
from retour.domain.contracts.lock import Countdown
from retour.domain.delivery import Channel

FIVE = TakeBack(D(5))
DAY = timedelta(days=1)


def entry(about: Modification, outcome: Outcome = Outcome.APPLIED, code: str = "", amount: int = 10000) -> LogEntry:
    return LogEntry(about.id, outcome, code, REPORTED, amount, 0, 1)


def booked(*entries: LogEntry, **more: Any) -> ActionHead:
    return replace(initial_head(action(), [CONTRACT]), log=entries, **more)


def order_of(head: ActionHead, *records: Modification) -> Order:
    return Order(key="A", actions=[action()], records=records, heads={"A~sale": head})


def of_subject(version: int = 1, hours: float = 1, change: Change = FIVE, **more: Any) -> Modification:
    usual: dict[str, Any] = {"subject": "refund/1", "version": Version(NUMBER_VERSION, version)}
    return record(change, hours, **(usual | more))


# Who holds a reference


def test_a_reference_is_held_by_the_first_that_was_not_refused_in_the_end() -> None:
    first, second, other = (record(FIVE, reference="R", attempt=f"{n}") for n in range(3))
    refused, held = Outcome.REFUSED, Outcome.HELD

    def holder(*entries: LogEntry, of: Modification = other) -> Modification | None:
        return reference_holder(order_of(booked(*entries), first, second, of), of)

    assert holder() is None and holder(entry(first, refused)) is None
    assert holder(entry(first)) is first and holder(entry(second)) is second
    assert holder(entry(first, refused), entry(second)) is second
    assert holder(entry(first, held), entry(second)) is first
    assert holder(entry(first, held), entry(first, refused), entry(second)) is second
    assert holder(entry(other, held)) is None, "it does not hold its own reference"
    stranger = record(FIVE, reference="S")
    assert holder(entry(first), entry(second), of=stranger) is None
    at_none = Order(key="A", records=[first, other], heads={NO_ACTION: replace(unassigned_head(), log=(entry(first),))})
    assert reference_holder(at_none, other) is first


# What is too late, superseded, or a repetition


@pytest.mark.parametrize(
    ("change", "received", "counts_after", "code"),
    [
        (FIVE, -1, None, None),
        (FIVE, 0, None, "ACTION_LOCKED"),
        (FIVE, -1, -1, None),
        (FIVE, -1, 0, "NOT_RELEASED_IN_TIME"),
        (FIVE, 0, -1, "ACTION_LOCKED"),
        (Release("x"), 5, -1, None),
        (Discard("x"), 5, -1, None),
        (Release("x"), 5, 0, "NOT_RELEASED_IN_TIME"),
        (Release("x"), 0, None, "ACTION_LOCKED"),
    ],
)
def test_what_keeps_a_record_from_an_action_that_locks(
    change: Change, received: int, counts_after: int | None, code: str | None
) -> None:
    lock = action().locks_at
    assert lock is not None
    after = None if counts_after is None else lock + counts_after * DAY
    made = replace(record(change), received_at=lock + received * DAY, counts_after=after)
    assert lateness_code(booked(), made) == code
    never = booked(standing=replace(initial_state(action()), countdown=Countdown(None)))
    assert lateness_code(never, made) is None


@pytest.mark.parametrize(
    ("newer", "yes"),
    [
        ({}, True),
        ({"change": SetTotal(D(1))}, True),
        ({"change": SetQuantity(1)}, True),
        ({"change": FIVE}, False),
        ({"source": "till"}, False),
        ({"sku": "S1"}, False),
        ({"line": "1"}, False),
        ({"subject": "x"}, False),
        ({"orders_by": REPORTED + timedelta(hours=1)}, False),
        ({"orders_by": REPORTED}, False),
    ],
)
def test_an_end_result_gives_way_to_a_newer_one_of_the_same_source_on_the_same_target(
    newer: dict[str, Any], yes: bool
) -> None:
    older = record(SetTotal(D(50)), 1)
    assert supersedes(replace(record(Reverse(), 2), **newer), older) is yes
    assert not supersedes(record(Reverse(), 2), record(FIVE, 1))


@pytest.mark.parametrize(
    ("again", "yes"),
    [
        ({}, True),
        ({"reference": "R"}, False),
        ({"subject": "s"}, False),
        ({"change": FIVE}, False),
        ({"channel": Channel.CONSOLE}, False),
        ({"source": "till"}, False),
        ({"sku": "S1"}, False),
        ({"line": "1"}, False),
    ],
)
def test_a_reversal_of_a_source_whose_own_was_taken_back(again: dict[str, Any], yes: bool) -> None:
    first, back = record(Reverse(), 1), record(Restore(), 2)
    made = replace(record(Reverse(), 3), **again)
    assert repeats_undone_reversal([(first, 1), (back, 1)], booked(), made) is yes
    undo = record(Undo(first.public_id), 2)
    assert repeats_undone_reversal([(first, 1), (undo, 1)], booked(), made) is yes


def test_a_reversal_that_was_not_taken_back_is_not_repeated() -> None:
    first, back, again = record(Reverse(), 1), record(Restore(), 2), record(Reverse(), 3)
    assert not repeats_undone_reversal([(first, 1)], booked(), again)
    assert not repeats_undone_reversal([(record(Restore(), 0.5), 1), (first, 1)], booked(), again)
    undone = record(Undo(back.public_id), 2.5)
    assert not repeats_undone_reversal([(first, 1), (back, 1), (undone, 1)], booked(), again)
    assert not repeats_undone_reversal([(replace(first, subject="s"), 1), (back, 1)], booked(), again)
    assert not repeats_undone_reversal([(record(FIVE, 1), 1), (back, 1)], booked(), again)
    reversed_ = fold_records(action(), [record(Reverse())]).heads["A~sale"]
    assert not repeats_undone_reversal([(first, 1), (back, 1)], reversed_, again)


# Possible duplicates


@pytest.mark.parametrize(
    ("other", "mine", "yes"),
    [
        ({"namespace": "till"}, {}, True),
        ({"namespace": "till", "source": "till"}, {"doubles": {"till": "hold"}}, True),
        ({"namespace": "till", "source": "till"}, {"doubles": {"till": "apply"}}, False),
        ({"namespace": "till", "source": "till"}, {"doubles": {"till": "confirms"}}, False),
        ({"namespace": "till", "doubles": {"erp": "confirms"}}, {}, False),
        ({"namespace": "till", "doubles": {"erp": "apply"}}, {}, True),
        ({"namespace": "till", "doubles": {"shop": "confirms"}}, {}, True),
        ({}, {}, True),
        ({"reference": "R"}, {}, False),
        ({}, {"reference": "R"}, False),
        ({"subject": "s"}, {}, False),
        ({}, {"subject": "s"}, False),
        ({"subject": "s", "namespace": "till"}, {"subject": "s"}, True),
        ({"subject": "s"}, {"subject": "s", "namespace": "erp"}, False),
        ({"provenance": Provenance("d", "", "1", "", "")}, {"provenance": Provenance("d", "", "2", "", "")}, False),
        ({"provenance": Provenance("d", "", "1", "", ""), "namespace": "t"},
         {"provenance": Provenance("d", "", "2", "", "")}, True),
    ],
)  # fmt: skip
def test_which_two_may_tell_of_one_return(other: dict[str, Any], mine: dict[str, Any], yes: bool) -> None:
    first, second = replace(record(FIVE, 1), **other), replace(record(FIVE, 2), **mine)
    assert is_duplicate_pair(first, second, DAY) is yes


def test_only_what_came_within_the_window_may_be_doubled() -> None:
    at = record(FIVE, 1)
    for hours, yes in ((25, True), (25.001, False), (-23, True), (-23.001, False)):
        other = replace(record(FIVE, hours), namespace="till")
        assert is_duplicate_pair(other, at, DAY) is yes and is_duplicate_pair(at, other, DAY) is yes


def test_what_a_change_may_be_the_second_word_about() -> None:
    first, less, more, refused, mine = (
        record(FIVE, hours, namespace=f"n{hours}", doubles={"days": "1"}) for hours in range(1, 6)
    )
    head = booked(
        entry(first, amount=9500), entry(less, amount=9300), entry(refused, Outcome.REFUSED, amount=9300),
        entry(more, amount=8800),
    )  # fmt: skip
    order = order_of(head, first, less, more, refused, mine)
    assert possible_duplicates(order, head, mine, {500}) == [first, more]
    assert (
        possible_duplicates(order, head, mine, {200}) == [less]
        and possible_duplicates(order, head, mine, {0, 300}) == []
    )
    assert possible_duplicates(order, head, mine, {200, 500}) == [first, less, more]
    assert possible_duplicates(order, head, first, {500}) == [more], "it is no second word about itself"
    assert possible_duplicates(order, head, replace(mine, doubles={}), {500}) == []
    assert possible_duplicates(order, head, replace(mine, doubles={"days": "0"}), {500}) == []
    assert possible_duplicates(order, head, replace(mine, change=Approve()), {500}) == []
    assert possible_duplicates(order, unassigned_head(), mine, {500}) == []
    assert possible_duplicates(replace(order, records=[mine]), head, mine, {500}) == []
    grown = booked(entry(first, amount=9500), entry(less, amount=10000))
    assert possible_duplicates(order, grown, mine, {-500, 500}) == [first], "what gives back takes nothing"


def test_a_subject_that_a_person_released_once_is_another_return() -> None:
    first, second, other = of_subject(1), of_subject(2, 2), of_subject(1, 3, subject="refund/2")
    release = record(Release(first.public_id), 4)
    order = order_of(booked(), first, second, other, release)
    assert is_another_return(order, second) and is_another_return(order, first)
    assert not is_another_return(order, other) and not is_another_return(order, record(FIVE))
    discard = record(Discard(first.public_id), 4)
    assert not is_another_return(order_of(booked(), first, second, discard), second)


def test_what_a_held_record_takes_is_all_of_it_or_what_is_left() -> None:
    head = fold_records(action(), [record(TakeBack(D(97)))]).heads["A~sale"]
    assert possible_effects(action(), head, record(FIVE)) == {500, 300}
    assert possible_effects(action(), head, record(TakeBack(D(2)))) == {200}
    assert possible_effects(action(), head, record(TakeBack(D(101)))) == set()
    assert possible_effects(action(), head, record(FIVE, currency="USD")) == set()
    assert takes_something(action(), record(FIVE)) and not takes_something(action(), record(TakeBack(D(0))))
    assert not takes_something(action(), record(Approve())) and not takes_something(action(), record(TakeBack(D(101))))


def test_the_newest_that_was_told_of_a_subject_and_was_not_wrong_in_itself() -> None:
    one, two, three, mine = (of_subject(n, n) for n in range(1, 5))
    order = order_of(booked(), one, two, three, mine, of_subject(9, subject="refund/2"), record(FIVE))

    def newest(*entries: LogEntry) -> Modification | None:
        return newest_booked(order, booked(*entries), mine)

    assert newest() is None and newest(entry(mine)) is None
    assert newest(entry(one), entry(two)) is two and newest(entry(two), entry(one)) is two
    assert newest(entry(one), entry(two, Outcome.REFUSED, "UNKNOWN_ITEM")) is one
    assert newest(entry(one), entry(two, Outcome.REFUSED, Code.DISCARDED)) is two
    assert newest(entry(one), entry(order.records[4])) is one
    same = replace(order, records=[of_subject(1, 2), one, mine])
    assert newest_booked(same, booked(entry(one), entry(same.records[0])), mine) is same.records[0]


def test_which_held_versions_a_newer_one_makes_void() -> None:
    one, two, mine = of_subject(1, 1), of_subject(2, 2), of_subject(3, 3)
    order = order_of(booked(), one, two, mine, of_subject(1, subject="refund/2"), record(FIVE))
    every = [entry(one_, Outcome.HELD) for one_ in order.records]
    assert held_older_versions(order, booked(*every), mine) == [one, two]
    assert (
        held_older_versions(order, booked(*every), two) == [one]
        and held_older_versions(order, booked(*every), one) == []
    )
    assert held_older_versions(order, booked(entry(one), entry(two, Outcome.HELD)), mine) == [two]
    assert held_older_versions(order, booked(*every), record(FIVE)) == []
    assert held_older_versions(order, booked(*every), replace(mine, version=None)) == []
    assert is_held(booked(*every), record(Release(one.public_id))) and not is_held(booked(), record(Release("x")))
    decided = booked(entry(one, Outcome.HELD), entry(one))
    assert not is_held(decided, record(Release(one.public_id))) and not is_held(booked(*every), one)


# What prices a change


def test_which_version_prices_by_which_basis() -> None:
    first = contract("8")
    second = contract("10", number=2, recorded_at=REPORTED + timedelta(hours=5))
    vip = contract("20", number=3, name="vip", partners=["suedwind"])
    terms, standing = [first, second, vip], initial_state(action())

    def number(basis: TermsBasis, change: Change, hours: float, partner: str = "nordlicht") -> int:
        found = terms_by_basis(basis, action(), replace(standing, partner=partner), record(change, hours), terms)
        assert found is not None
        return found.number

    at_change, at_action = TermsBasis.AT_MODIFICATION, TermsBasis.AT_ACTION
    assert [number(at_change, FIVE, hours) for hours in (1, 4.9, 5, 6)] == [1, 1, 2, 2]
    assert [number(at_action, FIVE, hours) for hours in (1, 6)] == [1, 1]
    assert number(at_action, Reprice(), 6) == 2 and number(at_action, Reprice(), 4) == 1
    assert number(at_change, FIVE, 6, "suedwind") == number(at_action, FIVE, 6, "suedwind") == 3
    assert number(at_change, Reattribute("suedwind"), 6) == number(at_action, Reattribute("suedwind"), 6) == 3
    assert number(at_action, Reattribute("westwind"), 6) == 1 and number(at_change, Reattribute("westwind"), 6) == 2
    assert number(at_change, FIVE, -1000) == 1, "what came before the report is priced as at the report"


@pytest.mark.parametrize(
    ("more", "moved"),
    [
        ({}, False),
        ({"rests": (LineBalance(9999, 1),)}, True),
        ({"partner": "suedwind"}, True),
        ({"countdown": Countdown(None)}, True),
        ({"approved": True}, True),
        ({"emptied": True}, True),
        ({"limit": 1500}, True),
        ({"contract": 2}, True),
        ({"contract": 3}, False),
        ({"idle": {"x": Code.ACTION_REVERSED}}, False),
    ],
)
def test_whether_anything_moved_that_a_person_sees(more: dict[str, Any], moved: bool) -> None:
    terms = [contract("8"), contract("10", number=2), contract("8", number=3)]
    standing = initial_state(action())
    assert is_visible_change(action(), standing, replace(standing, **more), terms) is moved


# What is meant, and what waits


def test_which_actions_a_record_means() -> None:
    sale, again = action(), action(id="A~sale~2", reported_at=REPORTED + timedelta(hours=5))
    lead = action(id="A~lead", event_type="lead")

    def meant(made: Modification, *actions: Any) -> object:
        found = target_actions(Order(key="A", actions=actions, records=[made]), made)
        return found if isinstance(found, Code) else [one.id for one in found]

    assert meant(record(FIVE), sale, lead) == "EVENT_TYPE_NEEDED"
    assert meant(record(FIVE, event_type="lead"), sale, lead) == ["A~lead"]
    assert meant(record(SetStatus("x")), sale, lead, again) == ["A~sale", "A~lead", "A~sale~2"]
    assert meant(record(SetStatus("x"), event_type="sale"), sale, lead) == ["A~sale"]
    assert meant(record(FIVE, action_id="A~lead"), sale, lead) == ["A~lead"]
    assert meant(record(FIVE, action_id="B"), sale, lead) == [] == meant(record(FIVE))
    assert meant(record(FIVE, 4), sale, again) == ["A~sale"] == meant(record(FIVE, 4), again, sale)
    assert meant(record(FIVE, 5), sale, again) == ["A~sale~2"] == meant(record(FIVE, 6), again, sale)
    assert meant(record(FIVE, -1), again, sale) == ["A~sale"], "before any was reported, the first is meant"
    other_time = replace(sale, id="A~sale~0", event_time=REPORTED + timedelta(hours=1))
    assert meant(record(FIVE, 1), sale, other_time) == ["A~sale~0"]
    assert meant(record(Undo("x")), sale) == "UNDO_NOT_FOUND"


def test_what_goes_back_to_a_record_means_the_action_it_was_booked_on() -> None:
    first = record(FIVE)
    order = fold_records(action(), [first])
    assert target_actions(order, record(Undo(first.public_id))) == [action()]
    assert target_record_id(record(Undo("A~B~x"))) == target_record_id(record(Release("x"))) == "x"
    assert target_record_id(record(Discard("A~x"))) == "x" and target_record_id(first) is None


def test_what_never_found_its_action_is_refused_once() -> None:
    waiting, other = record(FIVE), record(FIVE)
    order = refuse_waiting(Order(key="A", records=[waiting, other]), [waiting], REPORTED)
    again = refuse_waiting(order, [waiting, other], REPORTED)
    assert [one.id for one in again.heads[NO_ACTION].log] == [waiting.id, other.id]
    one = again.heads[NO_ACTION].log[0]
    assert one == LogEntry(waiting.id, Outcome.REFUSED, "ACTION_NOT_FOUND", REPORTED, 0, 0, 0)
    late = fold(replace(again, actions=[action()]), [CONTRACT], REPORTED)
    assert late.heads["A~sale"].log == (), "the word that was said stays"


def test_the_order_total_is_the_first_that_was_told_of_the_same_name() -> None:
    lacks = record(TakeBack(D(5), total_of="ch_1"), 1)
    told_twice = [
        record(TakeBack(D(1), total_of="ch_1", of_total=D(total)), hours) for total, hours in ((90, 4), (80, 3))
    ]
    others = [
        record(TakeBack(D(1), total_of="ch_2", of_total=D(70)), 1),
        record(TakeBack(D(1), total_of="ch_1", of_total=D(60)), 1, namespace="till"),
        record(TakeBack(D(1), total_of="ch_1"), 1),
    ]
    assert is_waiting_for_total(lacks) and with_order_total(Order(key="A", records=[lacks, *others]), lacks) is lacks
    found = with_order_total(Order(key="A", records=[lacks, *others, *told_twice]), lacks)
    assert found.change == TakeBack(D(5), total_of="ch_1", of_total=D(80)) and not is_waiting_for_total(found)
    for plain in (record(FIVE), record(Reverse()), told_twice[0], record(TakeBack(D(0), total_of="ch_1"))):
        assert not is_waiting_for_total(plain)
    assert with_order_total(Order(key="A", records=told_twice), told_twice[0]) is told_twice[0]


# What counts


@pytest.mark.parametrize(
    ("outcome", "code", "yes"),
    [
        (Outcome.APPLIED, "", True),
        (Outcome.UNCHANGED, "", True),
        (Outcome.SUPERSEDED, "SUPERSEDED", True),
        (Outcome.SUPERSEDED, "NEWER_HELD", False),
        (Outcome.UNCHANGED, "STATUS_AFTER_LOCK", False),
        (Outcome.DUPLICATE, "", False),
        (Outcome.DUPLICATE, "POSSIBLE_DUPLICATE", True),
        (Outcome.REFUSED, "", False),
        (Outcome.HELD, "POSSIBLE_DUPLICATE", False),
    ],
)
def test_which_entries_count_in_the_fold(outcome: Outcome, code: str, yes: bool) -> None:
    assert is_accepted(entry(record(FIVE), outcome, code)) is yes


def test_only_a_newer_undo_leaves_an_undo_out() -> None:
    one = record(FIVE, 1)
    undo = record(Undo(one.public_id), 2)
    redo = record(Undo(undo.public_id), 3)
    again = record(Undo(redo.public_id), 4)

    def undone(*records: Modification) -> set[str]:
        return undone_ids([(each, 1) for each in records])

    assert undone(one) == set() and undone(one, undo) == {one.id}
    assert undone(one, undo, redo) == undone(redo, undo, one) == {undo.id}
    assert undone(one, undo, redo, again) == {redo.id, one.id}


@pytest.mark.parametrize(
    ("more", "subject"),
    [
        ({}, PARENT_SUBJECT),
        ({"channel": Channel.API}, None),
        ({"subject": "x"}, "x"),
        ({"change": Undo("x")}, None),
    ],
)
def test_what_an_older_release_recorded_of_a_parent(more: dict[str, Any], subject: str | None) -> None:
    made = replace(record(Reverse(), channel=Channel.CASCADE), **more)
    found = with_parent_subject(made)
    assert found.subject == subject
    if subject == PARENT_SUBJECT:
        assert found.version == Version(LEGACY_VERSION, to_epoch_milliseconds(made.received_at))
    else:
        assert found is made


def test_what_stands_in_the_way_of_an_undo() -> None:
    changes: Sequence[Change] = (
        FIVE, SetTotal(D(90)), SetQuantity(1), Restore(), SetStatus("x"), Approve(), Reattribute("x"), Reverse(),
    )  # fmt: skip
    first, *later = (record(change, n) for n, change in enumerate([FIVE, *changes], 1))
    head = booked(*(entry(one) for one in (first, *later)))
    order = order_of(head, first, *later)
    undo = record(Undo(first.public_id), 20)
    assert undo_blockers(order, head, undo) == [one.public_id for one in later[:4]]
    assert undo_blockers(order, head, later[1]) == [one.public_id for one in later[2:4]]
    assert undo_blockers(order, head, record(Undo("x"), 20)) == []
    assert undo_blockers(order, booked(entry(later[0])), undo) == [later[0].public_id]


def test_the_status_that_was_told_last() -> None:
    early, late, other = record(SetStatus("a"), 1), record(SetStatus("b"), 2), record(FIVE, 3)
    head = booked(entry(late), entry(early), entry(other))
    assert last_status(order_of(head, late, early, other), head) == "b"
    assert last_status(order_of(head, early, other), head) == "a" and last_status(order_of(head, other), head) is None


@pytest.mark.parametrize("change", [SetStatus("x"), Release("x"), Discard("x"), Refold(), RaiseLimit(1500)])
def test_some_changes_are_not_counted(change: Change) -> None:
    from retour.domain.actions.decide import Decision

    standing = initial_state(action())
    applied = Decision(Outcome.APPLIED, "", standing, 1)
    made, plain = record(change), record(FIVE)
    assert not counts_as_change(order_of(booked(), made), booked(), made, applied)
    assert counts_as_change(order_of(booked(), plain), booked(), plain, applied)
    refused = replace(applied, outcome=Outcome.REFUSED)
    assert not counts_as_change(order_of(booked(), plain), booked(), plain, refused)
    one, two, other = of_subject(1), of_subject(2), of_subject(1, subject="refund/2")
    order = order_of(booked(), one, two, other)
    assert counts_as_change(order, booked(), two, applied)
    assert not counts_as_change(order, booked(entry(one)), two, applied)
    assert counts_as_change(order, booked(entry(other)), two, applied)
    assert counts_as_change(order, booked(entry(one, Outcome.REFUSED)), two, applied)


@pytest.mark.parametrize(
    ("changes", "limit", "outcome", "code"),
    [
        (898, 1000, "applied", ""),
        (899, 1000, "applied", "NEAR_MODIFICATION_LIMIT"),
        (999, 1000, "applied", "NEAR_MODIFICATION_LIMIT"),
        (1000, 1000, "refused", "MODIFICATION_LIMIT"),
        (1000, 1500, "applied", ""),
        (1399, 1500, "applied", "NEAR_MODIFICATION_LIMIT"),
    ],
)
def test_an_action_takes_so_many_changes_and_warns_before(changes: int, limit: int, outcome: str, code: str) -> None:
    head = booked(changes=changes, standing=replace(initial_state(action()), limit=limit))
    order = fold(order_of(head, record(FIVE)), [CONTRACT], REPORTED)
    assert outcomes_of(order) == [(outcome, code)]
    assert order.heads["A~sale"].changes == changes + (outcome == "applied")
    assert outcomes_of(fold(order_of(head, record(SetStatus("x"))), [CONTRACT], REPORTED)) == [("applied", "")]


# What is told of an entry


def test_what_an_entry_did() -> None:
    first, second = record(FIVE, 1), record(TakeBack(D(10)), 2)
    order = fold_records(action(currency="USD", rate=D("0.5")), [first, second])
    head = order.heads["A~sale"]
    assert effect_of(order, head, head.log[0], [CONTRACT]) == Effect("USD", "EUR", 10000, 9500, 400, 380, 1)
    assert effect_of(order, head, head.log[1], [CONTRACT]) == Effect("USD", "EUR", 9500, 8500, 380, 340, 1)
    assert effect_of(order, unassigned_head(), head.log[0], [CONTRACT]) is None
    assert order.booking_of(second.id) == (head, head.log[1]) and order.booking_of("x") is None
    assert order.record(first.id) is first and order.record("x") is None
    assert order.action("A~sale") == order.actions[0] and order.action("x") is None


def test_the_state_of_a_head() -> None:
    plain = booked()
    lock = plain.locks_at
    assert lock is not None
    before = lock - timedelta(microseconds=1)
    approved = replace(plain, standing=replace(plain.standing, approved=True))
    reversed_ = replace(approved, standing=replace(approved.standing, emptied=True))
    assert [one.state(before) for one in (plain, approved, reversed_)] == [
        LifecycleState.PENDING,
        LifecycleState.APPROVED,
        LifecycleState.REVERSED,
    ]
    assert [one.state(lock) for one in (plain, approved, reversed_)] == [
        LifecycleState.LOCKED,
        LifecycleState.LOCKED,
        LifecycleState.REVERSED,
    ]
    assert plain.is_locked(lock) and not plain.is_locked(before)
    once = booked(entry(record(FIVE)), version=3)
    assert once.last_entry(once.log[0].id) == once.log[0] and once.last_entry("x") is None
    fresh = initial_head(action(), [CONTRACT])
    assert (fresh.action, fresh.version, fresh.payout, fresh.log, fresh.changes) == ("A~sale", 0, 800, (), 0)
    nobody = unassigned_head()
    assert (nobody.action, nobody.version, nobody.payout, nobody.standing.amount) == ("", 0, 0, 0)
