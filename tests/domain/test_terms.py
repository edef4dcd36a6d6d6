"""Every term, by its entry: written, checked, judged, paid and told."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tests.domain.cases import CONDITION_CASES, action, condition_case, contract

from retour.domain.actions.action import Action, Line
from retour.domain.actions.order import ActionHead, payout_of
from retour.domain.actions.payout_details import rule_phrases
from retour.domain.actions.state import LineBalance, initial_state
from retour.domain.contracts.conditions import CONDITIONS, NOT, KnownNames, condition_faults
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.lock import AfterEvent, AfterStatus, OpenEnded
from retour.domain.contracts.lock_terms import LOCK_METHODS, lock_faults, lock_of, lock_schema, locks_schema
from retour.domain.contracts.named_list import named_list
from retour.domain.contracts.rule import rule_faults, rule_schema
from retour.domain.phrase import Phrase
from retour.sentences import LANGUAGES, all_sentences, sentence

PROGRAM = KnownNames("EUR", frozenset({"premium"}), frozenset({"outlet"}))
LISTS = {"outlet": named_list(["OUT-*", "BOOT-1"])}
GROUPS = {"premium": ["nordlicht", "xena"]}


def sold(**more: Any) -> Action:
    """One line of 100.00."""
    line = Line("1", more.pop("sku", "S1"), more.pop("category", None), 2, 10_000)
    more |= {"rate": Decimal(more["rate"])} if "rate" in more else {}
    return replace(action(), lines=(line,), **more)


def terms(*rules: dict[str, Any], **more: Any) -> Contract:
    return contract(rules=list(rules), groups_of_program=GROUPS, lists_of_program=LISTS, **more)


def paid(found: Contract, one: Action) -> int:
    return sum(line.amount for line in found.line_payouts(one, [(line.amount, line.quantity) for line in one.lines]))


@pytest.mark.parametrize("word", CONDITIONS)
def test_a_condition_brings_its_case_and_its_words_in_every_language(word: str) -> None:
    assert (CONDITION_CASES / f"{word}.yaml").exists(), (
        f"what does {word} hold of? Write tests/domain/terms/{word}.yaml"
    )
    assert condition_case(word).keys() == {"asks", "typed", "holds", "fails"}
    for texts in (all_sentences()[CONDITIONS[word].code], all_sentences()[CONDITIONS[word].code_not]):
        assert set(LANGUAGES) <= texts.keys()
        assert all("{values}" in text for text in texts.values())
    assert CONDITIONS[word].about.endswith(".")
    if CONDITIONS[word].pattern:
        assert set(LANGUAGES) <= all_sentences()[f"FAULT_DESCRIPTION/{CONDITIONS[word].about}"].keys()


def test_every_case_has_its_condition() -> None:
    assert {path.stem for path in CONDITION_CASES.iterdir()} == set(CONDITIONS)


@pytest.mark.parametrize("word", CONDITIONS)
def test_a_condition_holds_of_what_it_asks_and_its_negation_of_all_else(word: str) -> None:
    said = condition_case(word)
    plain = terms({word: said["asks"], "pays": "10%"}, {"pays": "1%"})
    negated = terms({NOT: {word: said["asks"]}, "pays": "10%"}, {"pays": "1%"})
    for one, holds in ((sold(**said["holds"]), True), (sold(**said["fails"]), False)):
        assert plain.ranks(one) == [1 if holds else 2]
        assert negated.ranks(one) == [2 if holds else 1]


@pytest.mark.parametrize("word", CONDITIONS)
def test_a_condition_has_its_schema_and_is_right_by_it(word: str) -> None:
    asked = condition_case(word)["asks"]
    schema = {**rule_schema(), "$defs": {"payout": {}}}
    Draft202012Validator.check_schema(schema)
    judge = Draft202012Validator(schema)
    assert judge.is_valid({word: asked, "pays": "10%"}) and judge.is_valid({NOT: {word: asked}, "pays": "10%"})
    assert not judge.is_valid({word: [] if isinstance(asked, list) else {}, "pays": "10%"})
    assert not [*condition_faults({word: asked, NOT: {word: asked}}, PROGRAM)]


@pytest.mark.parametrize("word", CONDITIONS)
def test_a_condition_is_told_in_every_language(word: str) -> None:
    asked = condition_case(word)["asks"]
    parts = terms({word: asked, NOT: {word: asked}, "pays": "10%"}).rules[0].phrases("EUR")
    assert len(parts) == 2 and parts[0].code + "_NOT" == parts[1].code
    for language in LANGUAGES:
        told = {sentence(part.code, part.details, language) for part in parts}
        assert len(told) == 2 and all(parts[0].details["values"] in one for one in told)


@pytest.mark.parametrize(
    ("rule", "place", "right"),
    [
        ({"pays": "12.345678%"}, ("pays",), "8% or 7.25%"),
        ({"pays": "120%"}, ("pays",), "0% to 100%"),
        ({"pays": "5.005"}, ("pays",), "5.00"),
        ({"pays": "5%", "at_most": "5.005"}, ("at_most",), "50.00"),
        ({"pays": "5%", "sku": [{"list": "winter"}]}, ("sku", 0, "list"), "outlet"),
        ({"pays": "5%", NOT: {"partner_group": ["gold"]}}, (NOT, "partner_group", 0), "premium"),
        ({"pays": "5%", "order_value": {"from": "1.001"}}, ("order_value", "from"), "100.00"),
        ({"pays": "5%", "order_value": {"from": "5.00", "below": "5.00"}}, ("order_value", "below"), "must be more"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_rule_is_told_at_its_place(
    rule: dict[str, Any], place: tuple[Any, ...], right: str
) -> None:
    [(found, said)] = rule_faults(rule, PROGRAM)
    assert found == place and right in sentence(said.code, said.details)


def labels() -> Iterator[str]:
    """The codes of what the console's form calls the keys of rules and locks, and what may be chosen there."""
    rule = {word: body for word, body in rule_schema()["properties"].items() if word not in (*CONDITIONS, NOT)}
    for way in LOCK_METHODS:
        yield f"WAY_{way.leading[0]}".upper()
        rule |= {word: body for word, body in way.keys.items() if "const" not in body}
    for word, body in rule.items():
        yield f"FIELD_{word}".upper()
        chosen = body.get("enum") or (("true", "false") if body.get("type") == "boolean" else ())
        yield from (f"CHOICE_{word}_{one}".upper() for one in chosen)


@pytest.mark.parametrize("code", sorted(set(labels())))
def test_a_key_of_rules_and_locks_has_its_label_in_every_language(code: str) -> None:
    assert set(LANGUAGES) <= all_sentences()[code].keys()


# Days, caps and thresholds


def test_a_rule_is_for_the_orders_of_its_days_whenever_it_is_asked() -> None:
    """B15, B16: in the zone of the program, the last day to its end."""
    dated = terms({"pays": "20%", "until": "2026-11-27"}, {"pays": "8%"})
    late = sold(event_time=datetime(2026, 11, 27, 22, 59, tzinfo=UTC))
    assert dated.line_payouts(late, [(10_000, 2)])[0].amount == 2_000
    assert dated.line_payouts(late, [(9_000, 2)])[0].amount == 1_800
    assert (
        dated.line_payouts(replace(late, event_time=datetime(2026, 11, 27, 23, tzinfo=UTC)), [(10_000, 2)])[0].amount
        == 800
    )


def test_no_return_moves_an_order_over_a_threshold() -> None:
    found = terms({"order_value": {"from": "100.00"}, "pays": "10%"}, {"pays": "1%"})
    assert found.line_payouts(sold(), [(1_000, 1)])[0].amount == 100


def test_the_most_is_shared_by_largest_remainder_among_the_lines_that_are_left() -> None:
    three = replace(action(), lines=tuple(Line(str(n), None, None, 1, 1_000) for n in range(3)))
    found = terms({"pays": "50%", "at_most": "10.00"})
    assert [line.amount for line in found.line_payouts(three, [(1_000, 1)] * 3)] == [334, 333, 333]
    assert [line.amount for line in found.line_payouts(three, [(1_000, 1), (0, 0), (1_000, 1)])] == [500, 0, 500]
    assert [line.amount for line in found.line_payouts(three, [(999, 1), (0, 0), (1_000, 1)])] == [500, 0, 500]


# Locks


def test_every_way_of_locking_is_read_by_its_own_keys() -> None:
    bodies = [
        {"days_after_event": 5, "months_after_event": 1, "lock_moment": "start"},
        {"months_after_month_end": 1, "days_after_month_end": 2, "month_end_sticky": True},
        {"days_after_status": 21, "statuses": ["shipped"], "restart": "never"},
        {"open_ended": True, "days_max": 90},
    ]
    read = [lock_of(body) for body in bodies]
    assert [type(one) for one in read] == [AfterEvent, AfterEvent, AfterStatus, OpenEnded]
    judge = Draft202012Validator({**locks_schema(), "$defs": {"lock": lock_schema()}})
    for way, body in zip(LOCK_METHODS, bodies, strict=True):
        assert body.keys() <= way.keys.keys() and judge.is_valid(body) and not [*lock_faults(body, PROGRAM)]
    assert judge.is_valid([{**body, "country": ["DE"]} for body in bodies])


def test_a_ranked_lock_is_chosen_by_what_was_reported() -> None:
    """B17."""
    ranked = contract(lock=[{"payment_method": ["direct_debit"], "days_after_event": 60}, {"days_after_event": 30}])
    assert ranked.lock_for(sold(payment_method="direct_debit")) == AfterEvent(60)
    assert ranked.lock_for(sold(payment_method="card")) == ranked.lock == AfterEvent(30)


@pytest.mark.parametrize(
    ("lock", "place", "right"),
    [
        ({"days_after_event": 5, "open_ended": True}, (), "one way of locking"),
        ({"country": ["DE"], "days_after_event": 5}, ("country",), "as a list"),
        ([{"country": ["DE"], "days_after_event": 5}], (0, "country"), "the last lock applies to everything"),
        ([{"days_after_event": 5}, {"days_after_event": 6}], (0,), "put it last"),
        ({"days_after_event": 5, "restart": "never"}, ("restart",), "has no meaning together with"),
        (
            [{"partner_group": ["gold"], "days_after_event": 5}, {"days_after_event": 6}],
            (0, "partner_group", 0),
            "premium",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_lock_is_told_at_its_place(lock: Any, place: tuple[Any, ...], right: str) -> None:
    [(found, said)] = lock_faults(lock, PROGRAM)
    assert found == place and right in sentence(said.code, said.details)


# What the sentence says multiplies out to what is paid

CURRENCIES = {"EUR": 2, "USD": 2, "JPY": 0}
conditions = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"category": st.just(["shoes"])}),
    st.fixed_dictionaries({NOT: st.just({"category": ["shoes"]})}),
    st.fixed_dictionaries({"order_value": st.just({"from": "50.00"})}),
)
pays = st.one_of(
    st.decimals(0, 100, places=2).map(lambda percent: f"{percent}%"),
    st.decimals(0, 20, places=2).map(lambda flat: f"{flat}"),
)
rules = st.lists(
    st.builds(
        lambda asked, pay, per, most: asked | {"pays": pay, "per": per} | ({"at_most": f"{most}"} if most else {}),
        conditions,
        pays,
        st.sampled_from(["item", "order"]),
        st.one_of(st.none(), st.decimals("0.01", 30, places=2)),
    ),
    min_size=1,
    max_size=3,
)
lines = st.lists(
    st.tuples(st.sampled_from(["shoes", "bags", None]), st.integers(1, 3), st.integers(0, 9_999), st.floats(0, 1)),
    min_size=1,
    max_size=4,
)


def number(text: str) -> Decimal:
    return Decimal(text.split(" ")[0])


def multiplied(part: Phrase) -> Decimal:
    """What a sentence's own figures come to, in the currency they are told in; worked out with nothing of ours."""
    said = part.details
    match part.code:
        case "PAID_EACH":
            return number(said["flat"]) * int(said["quantity"])
        case "PAID_ONCE":
            return number(said["flat"])
        case "PAID_NO_RULE":
            return Decimal(0)
    exact = number(said["amount"]) * Decimal(said.get("rate", 1)) * Decimal(said["percent"]) / 100
    if part.code.endswith("_BY_LINE"):
        told = number(said["paid"])
        assert abs(told - exact) <= Decimal("0.005") * int(said["lines"])
        return told
    return exact.quantize(Decimal("0.01"), ROUND_HALF_UP)


@given(rules, lines, st.sampled_from(sorted(CURRENCIES)), st.decimals("0.004", 2, places=4))
def test_what_the_sentence_says_multiplies_out_to_what_is_paid(
    ranked: list[dict[str, Any]], items: list[tuple[str | None, int, int, float]], currency: str, rate: Decimal
) -> None:
    own = tuple(Line(str(n), None, category, units, amount) for n, (category, units, amount, _) in enumerate(items, 1))
    one = replace(action(), lines=own, currency=currency, rate=Decimal(1) if currency == "EUR" else rate)
    found = contract(rules=ranked)
    left = tuple(
        LineBalance(int(line.amount * share), int(line.quantity * share))
        for line, (*_, share) in zip(own, items, strict=True)
    )
    standing = replace(initial_state(one), rests=left)
    payout = payout_of(one, standing, [found])
    told, total = (
        [*rule_phrases(one, ActionHead(action=one.id, version=1, standing=standing, payout=payout), found)],
        Decimal(0),
    )
    for part, after in zip(told, (*told[1:], None), strict=False):
        if part.code == "PAID_AT_MOST":
            continue
        sum_ = multiplied(part)
        capped = after is not None and after.code == "PAID_AT_MOST"
        total += min(sum_, number(after.details["at_most"])) if capped and after else sum_
    assert total == Decimal(payout) / 100
    assert all(part.code in all_sentences() for part in told)
