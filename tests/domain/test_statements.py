"""What counts of a subject, what tellers say in all, and what older releases spoke of: the pure steps, case by case."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from tests.domain.cases import CONTRACT, REPORTED, action, balances_of, contract, fold_records, outcomes_of, record

from retour.domain.actions.confirmations import (
    ConfirmationSums,
    ConfirmingSource,
    claim_name,
    confirmation_sums,
    confirmed_sources,
    excess_statements,
    with_confirmation,
    with_version,
)
from retour.domain.actions.legacy import (
    adopts_legacy,
    as_legacy_version,
    legacy_subject,
    legacy_subjects,
    stated_subjects,
    with_legacy_subjects,
)
from retour.domain.actions.lines import Claim
from retour.domain.actions.modification import (
    LEGACY_VERSION,
    NUMBER_VERSION,
    TIME_VERSION,
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
    content_hash,
    digest,
    parse_version,
    parse_whole_number,
    position_of,
    receipt_version,
)
from retour.domain.actions.state import fold_position
from retour.domain.actions.subjects import (
    FoldPosition,
    Pricing,
    Subject,
    SubjectRecord,
    evaluate,
    has_newer,
    newest_pricing,
    repeats,
    statement_of,
    with_record,
    without_newest,
)
from retour.domain.delivery import Channel

LINE, WHOLE = (0,), (0, 1)


def place(hours: float, name: str = "") -> FoldPosition:
    at = REPORTED + timedelta(hours=hours)
    return at, at, 0, name


def said(version: int, euros: int, hours: float = 0, **more: Any) -> SubjectRecord:
    """A record of one version, on one line; by default each of its own delivery and contract version."""
    usual: dict[str, Any] = {
        "record": f"r{version}", "content": f"{euros}", "version": Version(NUMBER_VERSION, version),
        "delivery": f"d{version}",
        "claims": (Claim(LINE, euros),) if euros else (), "place": place(hours or version, f"r{version}"),
        "contract": version, "source": f"s{version}",
    }  # fmt: skip
    return SubjectRecord(**(usual | more))


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
    words: Sequence[SubjectRecord],
    undone: Sequence[str],
    restored: int | None,
    statement: int,
    contract: int | None,
    newest: int,
) -> None:
    left_out = Version(NUMBER_VERSION, restored) if restored else None
    found = evaluate(Subject(told=tuple(words), restored=left_out), undone)
    assert (found.statement, found.said) == (takes(statement), takes(newest))
    assert (found.priced.contract if found.priced else None) == contract
    assert found.priced is None or found.priced.place in [one.place for one in words]


def test_the_first_record_of_a_version_prices_it() -> None:
    late, early = said(1, 5, 9, record="b", contract=2, delivery="x"), said(1, 5, 3, record="a", delivery="y")
    found = evaluate(Subject(told=(late, early)), ())
    assert found.priced == Pricing(1, early.place)


def test_a_record_more_is_told_at_once_as_all_of_them_are() -> None:
    words = [said(2, 7), said(1, 5), said(3, 7), said(3, 2, record="other", delivery="other"), said(4, 0), said(5, 1)]
    for undone in ((), ("r3",), ("r5",)):
        subject = Subject()
        for number, word in enumerate(words, 1):
            subject = with_record(subject, word, undone)
            assert subject == evaluate(Subject(told=tuple(words[:number])), undone), (number, undone)
    assert (subject.source, subject.newest) == ("s5", Version(NUMBER_VERSION, 5))
    assert (Subject().source, Subject().newest) == ("", None)
    gone = without_newest(subject, ())
    assert (gone.statement, gone.priced, gone.restored) == ((), None, Version(NUMBER_VERSION, 5))


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
    records: list[SubjectRecord], statement: tuple[Claim, ...]
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
        TakeBack(D(5)), version=Version(NUMBER_VERSION, 4), content="5", provenance=Provenance("f", "file", "1", "", "")
    )
    row = takes(5)
    assert repeats(subject, same, row)
    assert not repeats(subject, replace(same, version=Version(NUMBER_VERSION, 5)), row)
    assert not repeats(subject, replace(same, content="6"), row) and not repeats(subject, same, takes(6))
    of_e = replace(same, provenance=Provenance("e", "file", "1", "", ""))
    of_d = replace(same, provenance=Provenance("d4", "file", "1", "", ""))
    assert repeats(subject, of_e, row), "it is the second row there, as of the other delivery"
    assert not repeats(subject, of_d, row) and not repeats(Subject(), same, row)
    assert has_newer(subject, replace(same, version=Version(NUMBER_VERSION, 3)))
    assert not has_newer(subject, same) and not has_newer(None, same) and not has_newer(Subject(), same)
    assert not has_newer(subject, replace(same, version=None))


def test_the_newest_record_that_still_counts_prices_the_lines() -> None:
    reported, early, late = Pricing(1), Pricing(2, place(1)), Pricing(3, place(2))
    assert newest_pricing([], reported) == newest_pricing([None, Pricing(9)], reported) == reported
    assert newest_pricing([None, early, late], reported) == newest_pricing([late, early], reported) == late
    assert newest_pricing([early], late) == late == newest_pricing([late], early)
    assert newest_pricing([None], early) == early


# What tellers say in all

SOLD = action(("A", 1, 10000), ("B", 1, 5000))


def subject_of(source: str, euros: int, target: tuple[int, ...] = LINE) -> Subject:
    words = said(1, euros, source=source, claims=(Claim(target, euros),))
    return evaluate(Subject(told=(words,)), ())


def test_a_third_source_beside_two_that_confirm_each_other_says_nothing() -> None:
    till = {("till", "a"): subject_of("till", 4000), ("till", "b"): subject_of("till", 1000)}
    audit = {("audit", "a"): subject_of("audit", 500), ("audit", "w"): subject_of("audit", 9000)}
    confirming = {
        "till": ConfirmingSource(frozenset({"shop", "web"}), till),
        "audit": ConfirmingSource(frozenset({"shop"}), audit),
    }
    subjects = [subject_of("shop", 2000), subject_of("web", 700, (1,)), subject_of("other", 6000)]
    taken = {"shop": 300, "web": 20, "other": 1000}
    sums = confirmation_sums(SOLD, confirming, iter(subjects), taken, {("audit", "w")})
    assert sums == [
        ConfirmationSums("audit", frozenset({"shop"}), 500, 2300),
        ConfirmationSums("till", frozenset({"shop", "web"}), 5000, 3020),
    ]
    assert excess_statements(SOLD, sums) == [(Claim(WHOLE, 1980),)]
    assert excess_statements(SOLD, [ConfirmationSums("till", frozenset(), 5, 5)]) == []


@pytest.mark.parametrize(
    ("change", "sources"),
    [(TakeBack(D(5)), {"shop", "web"}), (Reverse(), {"shop", "web"}), (Approve(), set()), (Restore(), set())],
)
def test_only_what_takes_back_confirms(change: Change, sources: set[str]) -> None:
    doubles = {"days": "14", "shop": "confirms", "web": "confirms", "other": "hold"}
    assert confirmed_sources(record(change, doubles=doubles)) == sources
    assert confirmed_sources(record(change)) == frozenset()


def test_a_total_replaces_the_one_before_on_the_same_target_and_all_else_stands_for_itself() -> None:
    assert claim_name(record(SetTotal(D(5)))) == claim_name(record(SetQuantity(1))) == "/"
    assert claim_name(record(SetTotal(D(5)), sku="A")) == "A/" != claim_name(record(SetTotal(D(5)), sku="A", line="1"))
    assert claim_name(record(SetTotal(D(5)), line="1")) == "/1"
    taken = record(TakeBack(D(5)))
    assert claim_name(taken) == taken.id
    first = record(SetTotal(D(5)), source="till", doubles={"shop": "confirms"})
    second = replace(first, doubles={"web": "confirms"})
    once = with_confirmation({}, first, said(1, 5), ())
    both = with_confirmation(once, second, said(2, 7), ())
    assert both["till"].others == {"shop", "web"} and [*both["till"].subjects] == [("", "/")]
    assert both["till"].statements(()) == [takes(7)] and both["till"].statements({("", "/")}) == []


def test_what_has_no_version_has_its_receipt() -> None:
    bare = record(TakeBack(D(5)), 3)
    found = with_version(bare).version
    assert found == receipt_version(bare.received_at, bare.provenance.delivery) != receipt_version(REPORTED, "")
    assert found is not None and (found.kind, found.rank, found.delivery) == (TIME_VERSION, 0, bare.provenance.delivery)
    versioned = replace(bare, version=Version(NUMBER_VERSION, 1))
    assert with_version(versioned) is versioned


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
    assert legacy_subjects(kind, reference) == subjects


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
    assert legacy_subject(record_, told_) == subject


def test_what_was_recorded_before_becomes_the_oldest_version_once_its_subject_is_told() -> None:
    before, back = old(hours=1), old(Restore(), hours=2)
    now = record(TakeBack(D(5)), 3, subject="order/7", version=Version(NUMBER_VERSION, 1))
    assert with_legacy_subjects([before, back]) == [before, back]
    first, second, third = with_legacy_subjects([before, back, now])
    at = (before.received_at.timestamp(), back.received_at.timestamp())
    assert [(one.subject, one.version, one.change) for one in (first, second)] == [
        ("order/7", Version(LEGACY_VERSION, int(at[0] * 1000)), Reverse()),
        ("order/7", Version(LEGACY_VERSION, int(at[1] * 1000)), TakeBack(D(0))),
    ]
    assert third is now and as_legacy_version(before, "x").subject == "x"
    assert adopts_legacy(now, [before]) and not adopts_legacy(now, [before, now]) and not adopts_legacy(now, [now])
    assert not adopts_legacy(before, [now]) and not adopts_legacy(
        replace(now, subject="refund/1"), [replace(before, reference="a")]
    )
    part = replace(now, subject="refund/1", part_of="order/7")
    assert stated_subjects([part, before]) == {("erp", "refund/1"), ("erp", "order/7")} and adopts_legacy(
        part, [before]
    )


# Versions, contents, places


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("3", Version(NUMBER_VERSION, 3)),
        ("3;2", Version(NUMBER_VERSION, 3, 2)),
        ("2026-11-01T11:00:00Z", Version(TIME_VERSION, 1793530800000)),
        ("2026-11-01T12:00:00.250+01:00;7", Version(TIME_VERSION, 1793530800250, 7)),
        ("2026-11-02T11:00:00Z", Version(TIME_VERSION, 1793534400000)),
        ("1" * 15, Version(NUMBER_VERSION, 111111111111111)),
    ],
)
def test_what_a_version_says(text: str, version: Version) -> None:
    assert parse_version(text, REPORTED) == version
    assert parse_version(str(version), REPORTED) == version
    assert (";" in str(version)) is bool(version.rank)


@pytest.mark.parametrize("digits", ["", "-1", "1.5", "x", "\N{SUPERSCRIPT TWO}", "1" * 16])
def test_what_is_no_whole_number(digits: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number of at most 15 digits"):
        parse_whole_number(digits)
    with pytest.raises(ValueError, match=r"."):
        parse_version(f"1;{digits}" if digits else "", REPORTED)


def test_what_makes_two_records_the_same_content() -> None:
    changes: list[Change] = [
        TakeBack(D("5")), TakeBack(D("5"), 1), TakeBack(D("6")), TakeBack(quantity=1), SetTotal(D("5")), Reverse(),
        SetQuantity(1), SetQuantity(1, D("5")),
    ]  # fmt: skip
    assert len({content_hash(change, "EUR") for change in changes}) == len(changes)
    assert (
        content_hash(TakeBack(D("5")), "EUR")
        != content_hash(TakeBack(D("5")), "USD")
        != content_hash(TakeBack(D("5")), None)
    )
    assert content_hash(TakeBack(D("5.00")), "EUR") == content_hash(TakeBack(D("5")), "EUR")
    assert content_hash(Reverse(), "EUR") == content_hash(Reverse(), None), "without an amount no currency"
    assert content_hash(TakeBack(D("500")), None) == content_hash(TakeBack(D("5E+2")), None)


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
    assert fold_position(one) == (one.orders_by, one.received_at, 3001, one.id)
    assert one.orders_by != one.received_at


# Totals beside subjects


def told_of(change: Change, version: int, hours: float, **more: Any) -> Modification:
    usual: dict[str, Any] = {"subject": "refund/1", "version": Version(NUMBER_VERSION, version), "content": f"{change}"}
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
    assert balances_of(fold_records(sold, history)) == left
    assert balances_of(fold_records(sold, [*history, told_of(TakeBack(D(0)), 2, 3, sku="A")])) == after


def test_of_two_prices_the_later_record_prices_the_lines() -> None:
    """By its own time the first comes last: what moved the lines last has its terms, whichever arrived last."""
    terms = [contract("8"), contract("10", number=2, recorded_at=REPORTED + timedelta(hours=2))]
    early, late = record(TakeBack(D(10)), 1, occurred=0.5), record(TakeBack(D(10)), 3, occurred=0.2)
    assert fold_records(action(), [early], terms).heads["A~sale"].payout == 720
    head = fold_records(action(), [early, late], terms).heads["A~sale"]
    assert (head.payout, head.standing.contract) == (640, 1)
    subject = told_of(TakeBack(D(10)), 1, 3)
    both = fold_records(action(), [early, subject], terms).heads["A~sale"]
    assert (both.payout, both.standing.contract) == (800, 2)
    again = fold_records(action(), [early, subject, record(SetTotal(D(80)), 4)], terms).heads["A~sale"]
    assert (again.payout, again.standing.contract, outcomes_of(fold_records(action(), [early], [CONTRACT]))) == (
        800,
        2,
        [("applied", "")],
    )
