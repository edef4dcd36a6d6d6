"""Terms are tried on orders that exist and on invented ones; nothing of it is booked."""

from datetime import UTC, datetime
from typing import Any

from tests.conftest import PROGRAM, ProgramHarness

from retour.domain.contracts.contract import Contract
from retour.domain.program import Program
from retour.domain.row import Unreadable
from retour.previews.terms import (
    TermsEffect,
    future_terms,
    hypothetical_action,
    price_order,
    sold_amounts,
    terms_effect,
    with_terms,
)
from retour.views import action_search
from retour.views.ledger_reader import build_reader

NOW = datetime(2026, 11, 2, 10, tzinfo=UTC)
ORDER: dict[str, Any] = {
    "order_id": "X",
    "event_type": "sale",
    "partner": "nordlicht",
    "event_time": "2026-11-01T12:00:00+01:00",
    "items": [
        {"sku": "BOOT", "category": "shoes", "quantity": "1", "amount": "60.00"},
        {"sku": "POST", "category": "shipping", "quantity": "1", "amount": "4.90"},
    ],
}


def document(**terms: Any) -> dict[str, Any]:
    standard = {key: value for key, value in PROGRAM["contracts"]["standard"].items() if key != "payout"} | terms
    return {**PROGRAM, "contracts": {**PROGRAM["contracts"], "standard": standard}}


def program_of(house: ProgramHarness) -> Program:
    found = house.hub.program(house.program)
    assert found is not None
    return found


def named(opened: Program, version: int) -> Contract:
    return next(one for one in opened.contracts if (one.name, one.version) == ("standard", version))


def test_an_invented_order_is_priced_by_the_rules_of_a_version_not_recorded_yet(house: ProgramHarness) -> None:
    opened = program_of(house)
    drafted = with_terms(opened, document(rules=[{"category": ["shoes"], "pays": "10%"}]), NOW)
    action = hypothetical_action(opened, ORDER, NOW, lambda *_: ())
    assert not isinstance(action, Unreadable)
    old, new = (price_order(one, action, sold_amounts(action)) for one in (named(opened, 1), named(drafted, 2)))
    assert [(one.amount, one.rule) for one in old.paid] == [(480, 1), (39, 1)]
    assert [(one.amount, one.rule) for one in new.paid] == [(600, 1), (0, 0)]
    assert (old.total, new.total, new.terms.version, new.covers) == (519, 600, 2, True)
    assert len(program_of(house).contracts) == len(opened.contracts)


def test_what_cannot_be_ordered_is_told(house: ProgramHarness) -> None:
    opened = program_of(house)
    for wrong, code in (
        ({"event_time": "soon"}, "NOT_A_TIME"),
        ({"partner": ""}, "FIELD_MISSING"),
        ({"items": [{"amount": "-1"}]}, "AMOUNT_NEGATIVE"),
        ({"event_type": "tea"}, "UNKNOWN_EVENT_TYPE"),
        ({"surprise": "1"}, "UNKNOWN_FIELD"),
    ):
        found = hypothetical_action(opened, {**ORDER, **wrong}, NOW, lambda *_: ())
        assert isinstance(found, Unreadable) and found.code == code, wrong


def test_an_order_of_a_day_to_come_is_priced_by_what_is_valid_then(house: ProgramHarness) -> None:
    opened = with_terms(program_of(house), document(payout="5%", valid_from="2026-12-01"), NOW)
    for day, version in (("2026-11-30", 1), ("2026-12-01", 2)):
        action = hypothetical_action(opened, {**ORDER, "event_time": f"{day}T12:00:00+01:00"}, NOW, lambda *_: ())
        assert not isinstance(action, Unreadable)
        assert opened.contracts[action.contract - 1].version == version


def effect_of(house: ProgramHarness, **terms: Any) -> TermsEffect:
    opened = program_of(house)
    drafted = with_terms(opened, document(**terms), house.hub.now())
    reader = build_reader(house.hub, opened)
    found = action_search.find_actions(
        house.hub, reader, action_search.ActionFilter(state="pending", event_type="sale")
    )
    return terms_effect(found, drafted.contracts, house.hub.now())


def test_the_effect_on_what_is_pending_is_told_by_partner_and_nothing_is_booked(house: ProgramHarness) -> None:
    for order, partner in (("A-1", "nordlicht"), ("A-2", "nordlicht"), ("A-3", "schuhblog")):
        house.report({"order_id": order, "partner": partner, "amount": "100.00", "currency": "EUR"})
    house.modify({"order_id": "A-2", "change": "take_back", "amount": "50.00", "currency": "EUR"})
    found = effect_of(house, payout="10%", valid_from="2027-01-01")
    assert (found.looked, found.changed, found.difference) == (3, 3, 500)
    assert found.partners == {"nordlicht": [1200, 1500], "schuhblog": [800, 1000]}
    assert effect_of(house, payout="8%", valid_from="2026-10-01").changed == 0
    assert house.payouts("A-1")["A-1~sale"] == (10000, 800, "pending")


def test_actions_priced_by_the_terms_of_their_report_keep_them(house: ProgramHarness) -> None:
    house.apply(document(payout="8%", terms_basis="at_action"))
    house.report({"order_id": "A-1", "amount": "100.00", "currency": "EUR"})
    found = effect_of(house, payout="10%", terms_basis="at_action")
    assert (found.looked, found.changed, found.by_action) == (1, 0, 1)


def test_terms_that_name_a_partner_go_before_those_for_all(house: ProgramHarness) -> None:
    contracts = {**PROGRAM["contracts"], "vip": {**PROGRAM["contracts"]["standard"], "partners": ["nordlicht"]}}
    opened = with_terms(program_of(house), {**PROGRAM, "contracts": contracts}, NOW)
    own, other = (future_terms(opened.contracts, "sale", partner, NOW) for partner in ("nordlicht", "schuhblog"))
    assert own is not None and other is not None and (own.name, other.name) == ("vip", "standard")
