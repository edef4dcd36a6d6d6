"""What an action tells of itself: who is paid what and why, when it is certain, what it was before, what is left."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.domain.cases import CONTRACT, REPORTED, action, record

from retour.domain.actions.fold import fold
from retour.domain.actions.modification import CHANGES_MAX, RaiseLimit, SetTotal
from retour.domain.actions.order import Order, initial_head
from retour.domain.actions.replay import as_of
from retour.domain.delivery import Channel
from retour.domain.program import Program
from retour.files.layout import own_layouts
from retour.views import documents
from retour.views.ledger_reader import build_reader

RULES = [
    {"category": ["bags"], "pays": "10%"},
    {"category": ["shoes"], "pays": "8%"},
    {"sku": ["GIFT"], "pays": "1.50"},
]
SHOES = [{"sku": "S", "category": "shoes", "quantity": 2, "amount": "100.00"}]


def program_of(house: ProgramHarness) -> Program:
    program = house.hub.program(house.program)
    assert program is not None
    return program


def with_terms(house: ProgramHarness, *, language: str = "en", **terms: Any) -> None:
    usual = {"event_type": "sale", "valid_from": "2026-01-01", "rules": RULES, "lock": {"days_after_event": 30}}
    contracts = {**PROGRAM["contracts"], "standard": {**usual, **terms}}
    house.apply(
        {
            **PROGRAM,
            "language": language,
            "fx": {"USD": [{"from": "2026-01-01", "rate": "0.92"}]},
            "contracts": contracts,
        }
    )


def shown(house: ProgramHarness, action: str) -> Any:
    program = program_of(house)
    found = build_reader(house.hub, program).action(action)
    assert found is not None
    return json.loads(json.dumps(documents.action_document(*found, program, house.clock.moment)))


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "Pays 4.80 EUR to nordlicht: 60.00 EUR shoes at 8 % (standard v2, rule 2); "
               "40.00 EUR came back on 2 Nov 2026."),
        ("de", "Zahlt 4,80 EUR an nordlicht: 60,00 EUR shoes zu 8 % (standard v2, Regel 2); "
               "40,00 EUR kamen am 2. Nov. 2026 zurück."),
        ("fr", "Verse 4,80 EUR à nordlicht : 60,00 EUR shoes à 8 % (standard v2, règle 2); "
               "40,00 EUR sont revenus le 2 nov. 2026."),
    ],
)  # fmt: skip
def test_one_sentence_says_which_rule_paid_what_and_why(house: ProgramHarness, language: str, sentence: str) -> None:
    with_terms(house, language=language)
    house.report({"order_id": "A", "items": SHOES})
    house.modify({"order_id": "A", "change": "take_back", "amount": "40.00"})
    assert shown(house, "A~sale")["sentence"] == sentence


def test_the_sentence_knows_flat_amounts_missing_rules_other_currencies_and_reversals(house: ProgramHarness) -> None:
    with_terms(house)
    items = [
        {"sku": "GIFT", "quantity": 3, "amount": "30.00"},
        {"sku": "X", "category": "books", "quantity": 1, "amount": "10.00"},
        {"sku": "B", "category": "bags", "quantity": 1, "amount": "50.00"},
    ]
    house.report({"order_id": "A", "items": items}, {"order_id": "B", "currency": "USD", "items": SHOES})
    assert shown(house, "A~sale")["sentence"] == (
        "Pays 9.50 EUR to nordlicht: 50.00 EUR bags at 10 % (standard v2, rule 1); 3 × 1.50 EUR (standard v2, rule 3); "
        "10.00 EUR books without commission, as no rule of standard v2 matches."
    )
    assert shown(house, "B~sale")["sentence"] == (
        "Pays 7.36 EUR to nordlicht: 100.00 USD shoes, at 0.92 each in EUR, at 8 % (standard v2, rule 2)."
    )
    house.modify({"order_id": "A", "change": "reverse", "reason": "CANCELLED"})
    assert shown(house, "A~sale")["sentence"] == "Pays nothing to nordlicht: reversed on 2 Nov 2026 (CANCELLED)."
    house.modify({"order_id": "B", "change": "reattribute", "partner": "suedwind"})
    house.modify(*({"order_id": "B", "change": "take_back", "amount": "10.00", "reference": n} for n in "ab"))
    assert shown(house, "B~sale")["sentence"].endswith(
        "taken over from nordlicht on 2 Nov 2026; 20.00 USD came back on 2 Nov 2026."
    )


def test_what_was_undone_did_not_come_back(house: ProgramHarness) -> None:
    with_terms(house)
    house.report({"order_id": "A", "items": SHOES})
    [took] = house.modify({"order_id": "A", "change": "take_back", "amount": "40.00"}).results
    house.modify({"order_id": "A", "change": "undo", "undoes": took.modification})
    assert (
        shown(house, "A~sale")["sentence"]
        == "Pays 8.00 EUR to nordlicht: 100.00 EUR shoes at 8 % (standard v2, rule 2)."
    )


def test_the_history_shows_terms_effects_and_what_the_other_basis_would_have_given(house: ProgramHarness) -> None:
    with_terms(house)
    house.report({"order_id": "A", "items": SHOES})
    with_terms(house, rules=[{"pays": "5%"}])
    house.modify({"order_id": "A", "change": "take_back", "amount": "40.00", "reason": "ITEM_RETURNED"})
    house.modify({"order_id": "A", "change": "approve"})
    [took, approved] = shown(house, "A~sale")["history"]
    assert took["effect"]["payout"] == {"before": "8.00", "after": "3.00"}
    assert took["terms"] == {"number": 4, "name": "standard", "version": 3}
    assert took["other_basis"] == {"basis": "at_action", "payout": "4.80"}
    assert (took["reason"], took["channel"], took["source"]) == ("ITEM_RETURNED", "api", "erp")
    assert approved["other_basis"]["payout"] == "4.80"


def test_where_both_bases_give_the_same_there_is_nothing_to_show(house: ProgramHarness) -> None:
    with_terms(house, terms_basis="at_action")
    house.report({"order_id": "A", "items": SHOES})
    house.modify({"order_id": "A", "change": "take_back", "amount": "40.00"})
    assert shown(house, "A~sale")["history"][0]["other_basis"] is None


def test_a_held_record_stands_in_the_history_twice_held_then_as_decided(house: ProgramHarness) -> None:
    with_terms(house)
    house.report({"order_id": "A", "items": SHOES})
    for source in ("erp", "till"):
        house.modify({"order_id": "A", "change": "take_back", "amount": "20.00"}, source=source)
    held = shown(house, "A~sale")["history"][1]
    assert (held["outcome"], held["code"]) == ("held", "POSSIBLE_DUPLICATE")
    release = {"order_id": "A", "change": "release", "undoes": held["id"]}
    house.modify(release, source="console", channel=Channel.CONSOLE)
    told = [(one["change"], one["outcome"]) for one in shown(house, "A~sale")["history"]]
    assert told == [("take_back", "applied"), ("take_back", "held"), ("release", "applied"), ("take_back", "applied")]


# When it is certain


def days_after(days: int, **more: Any) -> dict[str, Any]:
    return {"lock": {"days_after_status": days, "statuses": ["shipped"], **more}}


def credit(house: ProgramHarness) -> dict[str, str]:
    found: dict[str, str] = shown(house, "A~sale")["credit"]
    return found


def status(house: ProgramHarness, to: str, day: str) -> None:
    house.clock.moment = datetime.fromisoformat(f"{day}T10:00:00+00:00")
    [result] = house.modify({"order_id": "A", "change": "set_status", "status": to}).results
    assert result.outcome in ("applied", "unchanged"), result


def test_credit_is_earliest_and_moves_daily_until_the_status_is_reached_and_then_expected(
    house: ProgramHarness,
) -> None:
    """Gambio's own example, 21 days after the dispatch, its restart at any change of status included."""
    with_terms(house, **days_after(21))
    house.report({"order_id": "A", "items": SHOES})
    first = credit(house)
    assert first["earliest"] == "2026-11-23" and "so the day moves on" in first["why"]
    house.clock.moment += timedelta(days=1)
    assert credit(house)["earliest"] == "2026-11-24"
    status(house, "shipped", "2026-11-05")
    counting = credit(house)
    assert counting["expected"] == "2026-11-26" and "21 days after 5 Nov 2026" in counting["why"]
    house.clock.moment += timedelta(days=10)
    assert credit(house) == counting
    status(house, "open", "2026-11-16")
    left = credit(house)
    assert left["earliest"] == "2026-12-07" and "was shipped on 5 Nov 2026 but is open now" in left["why"]
    status(house, "shipped", "2026-11-17")
    anew = credit(house)
    assert anew["expected"] == "2026-12-08" and "started again on 17 Nov 2026" in anew["why"]
    house.clock.moment = datetime.fromisoformat("2026-12-08T00:00:00+01:00")
    assert credit(house)["why"] == "Certain since 8 Dec 2026: the action is locked."


@pytest.mark.parametrize(
    ("restart", "expected", "why"),
    [
        ("any_change", "2026-12-01", "any change"),
        ("leaving", "2026-11-26", "21 days after 5"),
        ("never", "2026-11-26", "21 days after 5"),
    ],
)
def test_the_restart_policy_says_whether_a_second_dispatch_counts(
    house: ProgramHarness, restart: str, expected: str, why: str
) -> None:
    with_terms(house, **days_after(21, restart=restart))
    house.report({"order_id": "A", "items": SHOES})
    status(house, "shipped", "2026-11-05")
    status(house, "shipped", "2026-11-10")
    assert credit(house)["expected"] == expected
    assert why in credit(house)["why"]


def test_credit_of_other_lock_rules(house: ProgramHarness) -> None:
    with_terms(house)
    house.report({"order_id": "A", "items": SHOES})
    assert credit(house)["expected"] == "2026-12-02"
    with_terms(house, lock={"open_ended": True})
    house.report({"order_id": "B", "items": SHOES})
    assert shown(house, "B~sale")["credit"]["latest"] == "2028-11-01"
    house.modify({"order_id": "B", "change": "approve"})
    assert shown(house, "B~sale")["credit"]["expected"] == "2026-11-03"
    house.modify({"order_id": "B", "change": "reverse"})
    assert shown(house, "B~sale")["credit"] is None


def test_gambios_words_are_those_of_its_partners(house: ProgramHarness) -> None:
    with_terms(house, language="de", **days_after(21))
    house.report({"order_id": "A", "items": SHOES})
    assert credit(house)["why"].startswith("Frühestens 23. Nov. 2026:")
    status(house, "shipped", "2026-11-05")
    assert credit(house)["why"].startswith("Voraussichtlich 26. Nov. 2026, wenn sich nichts ändert:")


# As it stood, and what is left


def test_an_action_is_shown_as_it_stood_at_any_moment(house: ProgramHarness) -> None:
    with_terms(house)
    house.report({"order_id": "A", "items": SHOES})
    moments = [house.clock.moment]
    for amount in ("10.00", "20.00"):
        house.modify({"order_id": "A", "change": "take_back", "amount": amount, "reference": amount})
        moments.append(house.clock.moment)
    program, order = program_of(house), house.order("A")
    told = []
    for moment in moments:
        then = as_of(order, program.contracts, moment)
        document = documents.action_document(then, then.actions[0], then.heads["A~sale"], program, moment)
        told.append((document["amount"], document["payout"], len(document["history"])))
    assert told == [("100.00", "8.00", 0), ("90.00", "7.20", 1), ("70.00", "5.60", 2)]


def test_it_says_how_many_changes_are_left(house: ProgramHarness) -> None:
    with_terms(house)
    house.report({"order_id": "A", "items": SHOES})
    house.modify({"order_id": "A", "change": "take_back", "amount": "1.00"})
    document = shown(house, "A~sale")
    assert (document["changes"], document["changes_left"]) == (1, CHANGES_MAX - 1)


@pytest.mark.parametrize(
    ("changes", "code"),
    [(898, ""), (899, "NEAR_MODIFICATION_LIMIT"), (999, "NEAR_MODIFICATION_LIMIT"), (1000, "MODIFICATION_LIMIT")],
)
def test_it_warns_from_the_nine_hundredth_change_and_refuses_the_thousand_and_first(changes: int, code: str) -> None:
    sold = action()
    head = replace(initial_head(sold, [CONTRACT]), changes=changes)
    said = record(SetTotal(Decimal("90.00")))
    folded = fold(Order(key="A", actions=[sold], records=[said], heads={sold.id: head}), [CONTRACT], said.received_at)
    [entry] = folded.heads[sold.id].log
    assert entry.code == code


@pytest.mark.parametrize(
    ("changes", "raised", "code"),
    [
        (1_000, 1_200, ""),
        (1_098, 1_200, ""),
        (1_099, 1_200, "NEAR_MODIFICATION_LIMIT"),
        (1_200, 1_200, "MODIFICATION_LIMIT"),
        (1_000, 900, "MODIFICATION_LIMIT"),
    ],
)
def test_a_person_raises_the_limit_for_one_action(changes: int, raised: int, code: str) -> None:
    sold = action()
    head = replace(initial_head(sold, [CONTRACT]), changes=changes)
    records = [record(RaiseLimit(raised), 1), record(SetTotal(Decimal("90.00")), 2)]
    folded = fold(Order(key="A", actions=[sold], records=records, heads={sold.id: head}), [CONTRACT], REPORTED)
    allowed, changed = folded.heads[sold.id].log
    assert (allowed.outcome.value, allowed.code) == ("applied" if raised > 1_000 else "unchanged", "")
    assert changed.code == code
    assert folded.heads[sold.id].changes == changes + (code != "MODIFICATION_LIMIT")


def test_an_undo_takes_the_raised_limit_back(house: ProgramHarness) -> None:
    house.report({"order_id": "A", "amount": "100.00"})
    said = {"order_id": "A", "change": "raise_limit", "quantity": 1500, "reference": "l-1"}
    raised = house.modify(said, source="console", channel=Channel.CONSOLE)
    assert shown(house, "A~sale")["changes_left"] == 1_500
    [result] = raised.results
    house.modify({"order_id": "A", "change": "undo", "undoes": result.modification}, source="console",
                 channel=Channel.CONSOLE)  # fmt: skip
    assert shown(house, "A~sale")["changes_left"] == 999, "an undo is a change"


@pytest.mark.parametrize("quantity", [0, 1000, 2001, "many", None])
def test_a_limit_that_is_none_is_refused(house: ProgramHarness, quantity: Any) -> None:
    house.report({"order_id": "A", "amount": "100.00"})
    said = {"order_id": "A", "change": "raise_limit", **({} if quantity is None else {"quantity": quantity})}
    [result] = house.modify(said, source="console", channel=Channel.CONSOLE).results
    assert (result.outcome.value, result.code) == (
        "refused",
        "NOT_A_QUANTITY" if quantity == "many" else "LIMIT_UNUSABLE",
    )


def test_no_sender_raises_a_limit(house: ProgramHarness) -> None:
    house.report({"order_id": "A", "amount": "100.00"})
    [result] = house.modify({"order_id": "A", "change": "raise_limit", "quantity": 1500}).results
    assert (result.outcome.value, result.code) == ("refused", "UNKNOWN_CHANGE")


# Dispositions and statuses, whatever the channel


def with_dispositions(house: ProgramHarness) -> None:
    codes = {
        "NO_SHOW": {"state": "declined", "change": "reverse"},
        "stayed": {"state": "used", "change": "approve"},
        "Wait": {"state": "checked"},
    }
    house.apply({**PROGRAM, "event_types": {"sale": {"dispositions": codes}, "lead": {}}})


@pytest.mark.parametrize("channel", ["api", "file", "console"])
def test_a_disposition_changes_what_its_event_type_says(house: ProgramHarness, channel: str) -> None:
    with_dispositions(house)
    for number, code in enumerate(("NO_SHOW", "stayed", "Wait", "no_show")):
        house.report({"order_id": f"A-{number}", "amount": "10.00"})
        if channel == "file":
            house.file(f"order_id,event_type,disposition\nA-{number},sale,{code}\n".encode(), name=f"{number}.csv")
        else:
            source, by = ("console", Channel.CONSOLE) if channel == "console" else ("erp", Channel.API)
            house.modify(
                {"order_id": f"A-{number}", "event_type": "sale", "disposition": code}, source=source, channel=by
            )
    states = [shown(house, f"A-{number}~sale")["state"] for number in range(4)]
    assert states == ["reversed", "approved", "pending", "pending"], "told apart by case: no_show is none"
    waits = shown(house, "A-2~sale")["history"]
    assert [(one["change"], one["status"], one["disposition"]) for one in waits] == [("set_status", "checked", "Wait")]
    assert shown(house, "A-3~sale")["history"] == []


def test_a_status_comes_in_through_any_channel(house: ProgramHarness) -> None:
    with_terms(house, **days_after(21))
    house.report({"order_id": "A", "items": SHOES}, {"order_id": "B", "items": SHOES})
    house.modify({"order_id": "A", "change": "set_status", "status": "shipped"})
    house.file(b"order_id,change,status\nB,set_status,shipped\n")
    assert shown(house, "A~sale")["credit"] == shown(house, "B~sale")["credit"]
    assert shown(house, "B~sale")["credit"]["expected"] == "2026-11-23"


def test_the_layout_of_actions_has_every_field_of_an_action() -> None:
    assert {"promo_code", "customer_status", "parent", "category", "currency"} <= set(
        own_layouts()["actions"]["columns"]
    )
