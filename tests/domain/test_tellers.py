"""Two tellers of one return: held until a person says which it is, or counted once by what each says in all."""

import itertools
import random
from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domain.cases import action, fold_records, outcomes_of, record
from tests.domain.test_subjects import NOTHING, amount, says

from retour.domain.actions.explain import sentence_details
from retour.domain.actions.modification import Discard, Modification, Release, TakeBack
from retour.domain.actions.state import sums_of_confirming_sources
from retour.domain.delivery import Channel

DAYS = {"days": "14"}
CONFIRMS = {**DAYS, "shop": "confirms"}


def by(source: str, made: Modification, **more: Any) -> Modification:
    return replace(made, source=source, namespace=source, doubles=CONFIRMS if source == "till" else DAYS, **more)


def refund(source: str, euros: int, version: int = 1, number: int = 1, hours: float = 1) -> Modification:
    return by(source, says(TakeBack(D(euros)), version, f"refund/{number}", hours))


def test_two_tellers_count_once_and_their_corrections_too() -> None:
    history = [
        refund("shop", 20, number=1), refund("till", 20, number=1, hours=2),
        refund("shop", 30, number=2, hours=3), refund("till", 30, number=2, hours=4),
        refund("shop", 25, 2, number=1, hours=5), refund("till", 25, 2, number=1, hours=6),
    ]  # fmt: skip
    assert [amount(fold_records(action(), history[:n])) for n in (1, 2, 3, 4, 5, 6)] == [
        8000,
        8000,
        5000,
        5000,
        4500,
        4500,
    ]
    outcomes = [outcome for outcome, _ in outcomes_of(fold_records(action(), history))]
    assert outcomes == ["applied", "duplicate", "applied", "duplicate", "applied", "duplicate"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_what_the_confirming_one_says_beyond_counts_whoever_speaks_first(order: tuple[int, ...]) -> None:
    told_ = [("shop", 20, 1), ("till", 15, 1), ("till", 15, 2)]
    history = [refund(*told_[i][:2], number=told_[i][2], hours=n + 1) for n, i in enumerate(order)]
    standing = fold_records(action(), history).heads["A~sale"].standing
    assert standing.amount == 7000
    (sums,) = sums_of_confirming_sources(action(), standing)
    assert (sums.source, sums.said, sums.by_others) == ("till", 3000, 2000)


def test_without_subjects_they_count_once_as_well() -> None:
    def take(source: str, hours: float) -> Modification:
        return by(source, record(TakeBack(D(20)), hours, reference=f"{source}-{hours}"))

    assert amount(fold_records(action(), [take("shop", 1), take("till", 2)])) == 8000
    assert amount(fold_records(action(), [take("till", 1), take("shop", 2)])) == 8000
    assert amount(fold_records(action(), [take("shop", 1), take("till", 2), take("till", 3)])) == 6000


def test_a_hold_closes_by_itself_when_its_subject_takes_nothing() -> None:
    shop = by("shop", says(TakeBack(D(40)), 1, "refund/9"))
    held = by("stripe", says(TakeBack(D(40)), 1, "refund/re_1", 2))
    failed = by("stripe", says(NOTHING, 2, "refund/re_1", 3))
    order = fold_records(action(), [shop, held, failed])
    assert outcomes_of(order)[1] == ("held", "POSSIBLE_DUPLICATE")
    assert (amount(order), order.heads["A~sale"].last_entry(held.id).outcome.value) == (6000, "superseded")  # type: ignore[union-attr]


def test_later_versions_go_with_what_is_held_or_set_aside() -> None:
    shop = by("shop", says(TakeBack(D(40)), 1, "refund/9"))
    held = by("stripe", says(TakeBack(D(40)), 1, "refund/re_1", 2))
    more = by("stripe", says(TakeBack(D(45)), 2, "refund/re_1", 3))
    order = fold_records(action(), [shop, held, more])
    head = order.heads["A~sale"]
    words = [entry.outcome.value for one in (held, more) if (entry := head.last_entry(one.id))]
    assert (amount(order), words) == (6000, ["superseded", "held"])
    same = record(Discard(more.public_id), 4, channel=Channel.CONSOLE)
    again = by("stripe", says(TakeBack(D(45)), 3, "refund/re_1", 5))
    other = by("stripe", says(TakeBack(D(50)), 4, "refund/re_1", 6))
    order = fold_records(action(), [shop, held, more, same, again, other])
    assert [outcome for outcome, _ in outcomes_of(order)][-2:] == ["refused", "held"]
    assert amount(order) == 6000


def test_of_two_returns_the_second_counts_and_is_not_compared_again() -> None:
    shop = by("shop", says(TakeBack(D(40)), 1, "refund/9"))
    held = by("stripe", says(TakeBack(D(40)), 1, "refund/re_1", 2))
    both = record(Release(held.public_id), 3, channel=Channel.CONSOLE)
    back = by("stripe", says(NOTHING, 2, "refund/re_1", 4))
    anew = by("stripe", says(TakeBack(D(40)), 3, "refund/re_1", 5))
    history = [shop, held, both, back, anew]
    assert [amount(fold_records(action(), history[:n])) for n in (2, 3, 4, 5)] == [6000, 2000, 6000, 2000]


def test_a_held_record_names_the_one_it_may_repeat() -> None:
    first = by("shop", record(TakeBack(D(7)), 1, reference="a"))
    meant = by("shop", record(TakeBack(D(3)), 2, reference="b"))
    held = by("stripe", record(TakeBack(D(3)), 3, reference="c"))
    order = fold_records(action(), [first, meant, held])
    assert sentence_details(order, order.heads["A~sale"], held, 35, "UTC")["double"] == meant.public_id


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from(["shop", "till"]), st.integers(1, 2), st.integers(1, 3), st.integers(0, 50)),
        max_size=7,
        unique_by=lambda one: one[:3],
    ),
    st.randoms(use_true_random=False),
)
def test_the_larger_of_two_sums_counts_whatever_the_order(
    history: list[tuple[str, int, int, int]], dice: random.Random
) -> None:
    newest = {(source, number): (version, euros) for source, number, version, euros in sorted(history)}
    said = {name: 100 * sum(e for (source, _), (_, e) in newest.items() if source == name) for name in ("shop", "till")}
    left = 10000 - max(min(said["shop"], 10000), min(said["till"], 10000))
    dice.shuffle(history)
    records = [
        replace(refund(source, euros, version, number, n + 1), doubles=CONFIRMS if source == "till" else {})
        for n, (source, number, version, euros) in enumerate(history)
    ]
    assert amount(fold_records(action(), records)) == left
