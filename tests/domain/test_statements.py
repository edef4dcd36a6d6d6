"""What counts of a subject, what tellers say in all, and what older releases spoke of: the pure steps, case by case."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from tests.domain.cases import CONTRACT, REPORTED, action, contract, folded, record, rests, told

from retour.domain.actions.former import as_former, former_subject, former_subjects, subjects_told, taken_up, takes_up
from retour.domain.actions.lines import Claim
from retour.domain.actions.modification import (
    FORMER,
    NUMBER,
    TIME,
    Approve,
    Change,
    Modification,
    Provenance,
    Restore,
    Reverse,
    SetQuantity,
    SetTotal,
    TakeBack,
    Version,
    content,
    digest,
    position_of,
    version_received,
    version_told,
    whole_number,
)
from retour.domain.actions.standing import place_of
from retour.domain.actions.subjects import (
    Place,
    Priced,
    Subject,
    Told,
    evaluate,
    has_newer,
    newest_price,
    repeats,
    statement_of,
    with_record,
    without_newest,
)
from retour.domain.actions.tellers import (
    Confirming,
    Sums,
    confirmed_sources,
    excess_of,
    own_name,
    sums_of,
    version_of,
    with_confirmation,
)
from retour.domain.delivery import Channel

LINE, WHOLE = (0,), (0, 1)


def place(hours: float, name: str = "") -> Place:
    at = REPORTED + timedelta(hours=hours)
    return at, at, 0, name


def said(version: int, euros: int, hours: float = 0, **more: Any) -> Told:
    """A record of one version, on one line; by default each of its own delivery and contract version."""
    usual: dict[str, Any] = {
        "record": f"r{version}", "content": f"{euros}", "version": Version(NUMBER, version), "delivery": f"d{version}",
        "claims": (Claim(LINE, euros),) if euros else (), "place": place(hours or version, f"r{version}"),
        "contract": version, "source": f"s{version}",
    }  # fmt: skip
    return Told(**(usual | more))


def takes(euros: int) -> tuple[Claim, ...]:
    return (Claim(LINE, euros),) if euros else ()


# What counts of a subject


@pytest.mark.parametrize(
    ("words", "undone", "restored", "statement", "contract", "newest"),
    [
        ([], (), None, 0, None, 0),
        ([said(1, 5)], (), None, 5, 1, 5),
        ([said(1, 5), said(2, 7)], (), None, 7, 2, 7),
        ([said(2, 7), said(1, 5)], (), None, 7, 2, 7),
        ([said(1, 5), said(2, 5)], (), None, 5, 1, 5),
        ([said(1, 5), said(2, 0)], (), None, 0, None, 0),
        ([said(1, 5), said(2, 0), said(3, 5)], (), None, 5, 3, 5),
        ([said(1, 5), said(2, 7)], ("r2",), None, 5, 1, 7),
        ([said(1, 5), said(2, 7), said(3, 7)], ("r2",), None, 5, 1, 7),
        ([said(1, 5), said(2, 7), said(3, 8)], ("r2",), None, 8, 3, 8),
        ([said(1, 5), said(2, 7), said(3, 8)], ("r3", "r2"), None, 5, 1, 8),
        ([said(1, 5)], ("r1",), None, 0, None, 5),
        ([said(1, 5), said(2, 7)], (), 2, 0, None, 7),
        ([said(1, 5), said(2, 7), said(3, 7)], (), 2, 0, None, 7),
        ([said(1, 5), said(2, 7), said(3, 8)], (), 2, 8, 3, 8),
        ([said(1, 5), said(2, 7), said(3, 8)], ("r3",), 2, 0, None, 8),
        ([said(1, 5), said(2, 7)], (), 1, 7, 2, 7),
    ],
)  # fmt: skip
def test_the_newest_version_counts_unless_it_is_left_out(
    words: Sequence[Told],
    undone: Sequence[str],
    restored: int | None,
    statement: int,
    contract: int | None,
    newest: int,
) -> None:
    left_out = Version(NUMBER, restored) if restored else None
    found = evaluate(Subject(told=tuple(words), restored=left_out), undone)
    assert (found.statement, found.said) == (takes(statement), takes(newest))
    assert (found.priced.contract if found.priced else None) == contract
    assert found.priced is None or found.priced.place in [one.place for one in words]


def test_the_first_record_of_a_version_prices_it() -> None:
    late, early = said(1, 5, 9, record="b", contract=2, delivery="x"), said(1, 5, 3, record="a", delivery="y")
    found = evaluate(Subject(told=(late, early)), ())
    assert found.priced == Priced(1, early.place)


def test_a_record_more_is_told_at_once_as_all_of_them_are() -> None:
    words = [said(2, 7), said(1, 5), said(3, 7), said(3, 2, record="other", delivery="other"), said(4, 0), said(5, 1)]
    for undone in ((), ("r3",), ("r5",)):
        subject = Subject()
        for number, word in enumerate(words, 1):
            subject = with_record(subject, word, undone)
            assert subject == evaluate(Subject(told=tuple(words[:number])), undone), (number, undone)
    assert (subject.source, subject.newest) == ("s5", Version(NUMBER, 5))
    assert (Subject().source, Subject().newest) == ("", None)
    gone = without_newest(subject, ())
    assert (gone.statement, gone.priced, gone.restored) == ((), None, Version(NUMBER, 5))


@pytest.mark.parametrize(
    ("records", "statement"),
    [
        ([said(1, 5), said(1, 5)], (Claim(LINE, 10),)),
        ([said(1, 5), said(1, 7, delivery="e")], (Claim(LINE, 7),)),
        ([said(1, 7), said(1, 5, delivery="e")], (Claim(LINE, 7),)),
        ([said(1, 7), said(1, 5, delivery="e", claims=(Claim(WHOLE, 5),))], (Claim(LINE, 7), Claim(WHOLE, 5))),
        ([said(1, 0, claims=(Claim(LINE, 0, 2),)), said(1, 0, delivery="e", claims=(Claim(LINE, 0, 0, 3),))],
         (Claim(LINE, 0, 0, 3),)),
        ([said(1, 0, claims=(Claim(LINE, 0, 3),)), said(1, 0, delivery="e", claims=(Claim(LINE, 0, 1, 1),))],
         (Claim(LINE, 0, 3),)),
        ([said(1, 0), said(1, 0, delivery="e")], ()),
    ],
)  # fmt: skip
def test_rows_of_a_delivery_add_up_and_of_two_deliveries_the_one_that_takes_more_counts(
    records: list[Told], statement: tuple[Claim, ...]
) -> None:
    assert statement_of(records) == tuple(sorted(statement))
    assert statement_of(records[::-1]) == tuple(sorted(statement))


def test_of_what_takes_the_same_the_greater_content_counts() -> None:
    of_amount, of_units = (Claim(LINE, 5, 1, 0),), (Claim(LINE, 5, 0, 1),)
    one = said(1, 5, content="a", claims=of_amount)
    other = said(1, 5, content="b", delivery="e", claims=of_units)
    stronger = of_amount if digest("a") > digest("b") else of_units
    assert statement_of([one, other]) == statement_of([other, one]) == stronger


def test_whether_another_delivery_told_the_same() -> None:
    subject = Subject(told=(said(4, 5), said(4, 5), said(4, 5, delivery="e")))
    same = record(
        TakeBack(D(5)), version=Version(NUMBER, 4), content="5", provenance=Provenance("f", "file", "1", "", "")
    )
    row = takes(5)
    assert repeats(subject, same, row)
    assert not repeats(subject, replace(same, version=Version(NUMBER, 5)), row)
    assert not repeats(subject, replace(same, content="6"), row) and not repeats(subject, same, takes(6))
    of_e = replace(same, provenance=Provenance("e", "file", "1", "", ""))
    of_d = replace(same, provenance=Provenance("d4", "file", "1", "", ""))
    assert repeats(subject, of_e, row), "it is the second row there, as of the other delivery"
    assert not repeats(subject, of_d, row) and not repeats(Subject(), same, row)
    assert has_newer(subject, replace(same, version=Version(NUMBER, 3)))
    assert not has_newer(subject, same) and not has_newer(None, same) and not has_newer(Subject(), same)
    assert not has_newer(subject, replace(same, version=None))


def test_the_newest_record_that_still_counts_prices_the_lines() -> None:
    reported, early, late = Priced(1), Priced(2, place(1)), Priced(3, place(2))
    assert newest_price([], reported) == newest_price([None, Priced(9)], reported) == reported
    assert newest_price([None, early, late], reported) == newest_price([late, early], reported) == late
    assert newest_price([early], late) == late == newest_price([late], early)
    assert newest_price([None], early) == early


# What tellers say in all

SOLD = action(("A", 1, 10000), ("B", 1, 5000))


def subject_of(source: str, euros: int, target: tuple[int, ...] = LINE) -> Subject:
    words = said(1, euros, source=source, claims=(Claim(target, euros),))
    return evaluate(Subject(told=(words,)), ())


def test_a_third_source_beside_two_that_confirm_each_other_says_nothing() -> None:
    till = {("till", "a"): subject_of("till", 4000), ("till", "b"): subject_of("till", 1000)}
    audit = {("audit", "a"): subject_of("audit", 500), ("audit", "w"): subject_of("audit", 9000)}
    confirming = {
        "till": Confirming(frozenset({"shop", "web"}), till),
        "audit": Confirming(frozenset({"shop"}), audit),
    }
    subjects = [subject_of("shop", 2000), subject_of("web", 700, (1,)), subject_of("other", 6000)]
    taken = {"shop": 300, "web": 20, "other": 1000}
    sums = sums_of(SOLD, confirming, iter(subjects), taken, {("audit", "w")})
    assert sums == [
        Sums("audit", frozenset({"shop"}), 500, 2300),
        Sums("till", frozenset({"shop", "web"}), 5000, 3020),
    ]
    assert excess_of(SOLD, sums) == [(Claim(WHOLE, 1980),)]
    assert excess_of(SOLD, [Sums("till", frozenset(), 5, 5)]) == []


@pytest.mark.parametrize(
    ("change", "sources"),
    [(TakeBack(D(5)), {"shop", "web"}), (Reverse(), {"shop", "web"}), (Approve(), set()), (Restore(), set())],
)
def test_only_what_takes_back_confirms(change: Change, sources: set[str]) -> None:
    doubles = {"days": "14", "shop": "confirms", "web": "confirms", "other": "hold"}
    assert confirmed_sources(record(change, doubles=doubles)) == sources
    assert confirmed_sources(record(change)) == frozenset()


def test_a_total_replaces_the_one_before_on_the_same_target_and_all_else_stands_for_itself() -> None:
    assert own_name(record(SetTotal(D(5)))) == own_name(record(SetQuantity(1))) == "/"
    assert own_name(record(SetTotal(D(5)), sku="A")) == "A/" != own_name(record(SetTotal(D(5)), sku="A", line="1"))
    assert own_name(record(SetTotal(D(5)), line="1")) == "/1"
    taken = record(TakeBack(D(5)))
    assert own_name(taken) == taken.id
    first = record(SetTotal(D(5)), source="till", doubles={"shop": "confirms"})
    second = replace(first, doubles={"web": "confirms"})
    once = with_confirmation({}, first, said(1, 5), ())
    both = with_confirmation(once, second, said(2, 7), ())
    assert both["till"].others == {"shop", "web"} and [*both["till"].subjects] == [("", "/")]
    assert both["till"].statements(()) == [takes(7)] and both["till"].statements({("", "/")}) == []


def test_what_has_no_version_has_its_receipt() -> None:
    bare = record(TakeBack(D(5)), 3)
    found = version_of(bare).version
    assert found == version_received(bare.received_at, bare.provenance.delivery) != version_received(REPORTED, "")
    assert found is not None and (found.kind, found.rank, found.delivery) == (TIME, 0, bare.provenance.delivery)
    versioned = replace(bare, version=Version(NUMBER, 1))
    assert version_of(versioned) is versioned


# What older releases spoke of


@pytest.mark.parametrize(
    ("kind", "reference", "subjects"),
    [
        ("stripe", "ch_1/refunded", ["charge/ch_1"]),
        ("stripe", "ch_1/500", ["charge/ch_1"]),
        ("stripe", "ch_1/None", ["charge/ch_1"]),
        ("stripe", "dp_1/won", ["dispute/dp_1"]),
        ("stripe", "re_1", ["refund/re_1", "dispute/re_1"]),
        ("shopify", "1057/cancelled", ["order/1057"]),
        ("shopify", "99", ["refund/99"]),
        ("shopify", "a", []),
        ("woocommerce", "7/refunded", ["order/7"]),
        ("woocommerce", "7", ["order/*"]),
        ("bigcommerce", "7/3/x", ["order/7"]),
        ("erp", "R-1/x", ["R-1/x"]),
    ],
)
def test_what_a_reference_may_have_spoken_of(kind: str, reference: str, subjects: list[str]) -> None:
    assert former_subjects(kind, reference) == subjects


def old(change: Change = Reverse(), **more: Any) -> Modification:  # noqa: B008
    return record(change, reference="7", provenance=Provenance("d", "Case", "1", "", "woocommerce"), **more)


@pytest.mark.parametrize(
    ("record_", "subject"),
    [
        (old(), "order/7"),
        (old(Restore()), "order/7"),
        (old(TakeBack(D(5))), "order/7"),
        (old(Approve()), None),
        (old(channel=Channel.CONSOLE), None),
        (old(channel=Channel.SALESFORCE), "case/7"),
        (old(subject="x"), None),
        (old(namespace="other"), "order/8"),
        (old(namespace="third"), None),
        (replace(old(), reference=None), None),
    ],
)
def test_which_of_the_told_subjects_a_record_spoke_of(record_: Modification, subject: str | None) -> None:
    told_ = {("erp", "order/7"), ("erp", "order/9"), ("erp", "case/7"), ("other", "order/8"), ("third", "refund/7")}
    assert former_subject(record_, told_) == subject


def test_what_was_recorded_before_becomes_the_oldest_version_once_its_subject_is_told() -> None:
    before, back = old(hours=1), old(Restore(), hours=2)
    now = record(TakeBack(D(5)), 3, subject="order/7", version=Version(NUMBER, 1))
    assert taken_up([before, back]) == [before, back]
    first, second, third = taken_up([before, back, now])
    at = (before.received_at.timestamp(), back.received_at.timestamp())
    assert [(one.subject, one.version, one.change) for one in (first, second)] == [
        ("order/7", Version(FORMER, int(at[0] * 1000)), Reverse()),
        ("order/7", Version(FORMER, int(at[1] * 1000)), TakeBack(D(0))),
    ]
    assert third is now and as_former(before, "x").subject == "x"
    assert takes_up(now, [before]) and not takes_up(now, [before, now]) and not takes_up(now, [now])
    assert not takes_up(before, [now]) and not takes_up(
        replace(now, subject="refund/1"), [replace(before, reference="a")]
    )
    part = replace(now, subject="refund/1", part_of="order/7")
    assert subjects_told([part, before]) == {("erp", "refund/1"), ("erp", "order/7")} and takes_up(part, [before])


# Versions, contents, places


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("3", Version(NUMBER, 3)),
        ("3;2", Version(NUMBER, 3, 2)),
        ("2026-11-01T11:00:00Z", Version(TIME, 1793530800000)),
        ("2026-11-01T12:00:00.250+01:00;7", Version(TIME, 1793530800250, 7)),
        ("2026-11-02T11:00:00Z", Version(TIME, 1793534400000)),
        ("1" * 15, Version(NUMBER, 111111111111111)),
    ],
)
def test_what_a_version_says(text: str, version: Version) -> None:
    assert version_told(text, REPORTED) == version
    assert version_told(str(version), REPORTED) == version
    assert (";" in str(version)) is bool(version.rank)


@pytest.mark.parametrize("digits", ["", "-1", "1.5", "x", "\N{SUPERSCRIPT TWO}", "1" * 16])
def test_what_is_no_whole_number(digits: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number of at most 15 digits"):
        whole_number(digits)
    with pytest.raises(ValueError, match=r"."):
        version_told(f"1;{digits}" if digits else "", REPORTED)


def test_what_makes_two_records_the_same_content() -> None:
    changes: list[Change] = [
        TakeBack(D("5")), TakeBack(D("5"), 1), TakeBack(D("6")), TakeBack(quantity=1), SetTotal(D("5")), Reverse(),
        SetQuantity(1), SetQuantity(1, D("5")),
    ]  # fmt: skip
    assert len({content(change, "EUR") for change in changes}) == len(changes)
    assert content(TakeBack(D("5")), "EUR") != content(TakeBack(D("5")), "USD") != content(TakeBack(D("5")), None)
    assert content(TakeBack(D("5.00")), "EUR") == content(TakeBack(D("5")), "EUR")
    assert content(Reverse(), "EUR") == content(Reverse(), None), "without an amount no currency"
    assert content(TakeBack(D("500")), None) == content(TakeBack(D("5E+2")), None)


@pytest.mark.parametrize(
    ("place_", "number"),
    [
        ("7", 7000),
        ("7.2", 7002),
        ("sheet 1, line 12.34", 12034),
        ("A!9)", 9000),
        ("", 0),
        ("none", 0),
        ("3.14.2", 14002),
    ],
)
def test_the_place_of_a_record_in_its_delivery(place_: str, number: int) -> None:
    assert position_of(place_) == number


def test_records_are_ordered_by_their_time_then_receipt_then_place_then_id() -> None:
    one = record(Reverse(), 5, occurred=2, provenance=Provenance("d", "", "3.1", "", ""))
    assert place_of(one) == (one.orders_by, one.received_at, 3001, one.id)
    assert one.orders_by != one.received_at


# Totals beside subjects


def told_of(change: Change, version: int, hours: float, **more: Any) -> Modification:
    usual: dict[str, Any] = {"subject": "refund/1", "version": Version(NUMBER, version), "content": f"{change}"}
    return record(change, hours, **(usual | more))


@pytest.mark.parametrize(
    ("change", "target", "left", "after"),
    [
        # Nothing is left whatever the subject says afterwards.
        (SetTotal(D(0)), {}, [(0, 0), (0, 0)], [(0, 0), (0, 0)]),
        (SetTotal(D(0)), {"sku": "A"}, [(0, 0), (5000, 1)], [(0, 0), (5000, 1)]),
        # What is left with what the subject had taken; its withdrawal gives that back beyond it.
        (SetTotal(D(30)), {"sku": "A"}, [(3000, 2), (5000, 1)], [(5000, 2), (5000, 1)]),
        (SetQuantity(1), {"sku": "A"}, [(5000, 1), (5000, 1)], [(7000, 1), (5000, 1)]),
        (SetTotal(D(120)), {}, [(7385, 2), (4615, 1)], [(9385, 2), (4615, 1)]),
    ],
)
def test_a_total_beside_a_subject_says_what_is_left_with_it(
    change: Change, target: dict[str, str], left: list[tuple[int, int]], after: list[tuple[int, int]]
) -> None:
    sold = action(("A", 2, 10000), ("B", 1, 5000))
    history = [told_of(TakeBack(D(20)), 1, 1, sku="A"), record(change, 2, **target)]
    assert rests(folded(sold, history)) == left
    assert rests(folded(sold, [*history, told_of(TakeBack(D(0)), 2, 3, sku="A")])) == after


def test_of_two_prices_the_later_record_prices_the_lines() -> None:
    """By its own time the first comes last: what moved the lines last has its terms, whichever arrived last."""
    terms = [contract("8"), contract("10", number=2, recorded_at=REPORTED + timedelta(hours=2))]
    early, late = record(TakeBack(D(10)), 1, occurred=0.5), record(TakeBack(D(10)), 3, occurred=0.2)
    assert folded(action(), [early], terms).heads["A~sale"].payout == 720
    head = folded(action(), [early, late], terms).heads["A~sale"]
    assert (head.payout, head.standing.contract) == (640, 1)
    subject = told_of(TakeBack(D(10)), 1, 3)
    both = folded(action(), [early, subject], terms).heads["A~sale"]
    assert (both.payout, both.standing.contract) == (800, 2)
    again = folded(action(), [early, subject, record(SetTotal(D(80)), 4)], terms).heads["A~sale"]
    assert (again.payout, again.standing.contract, told(folded(action(), [early], [CONTRACT]))) == (
        800,
        2,
        [("applied", "")],
    )
