"""Subjects through the front door of posting: nightly exports, two tellers of one return, refunds without a total."""

from datetime import timedelta
from typing import Any

from tests.conftest import PROGRAM, ProgramHarness

from retour.domain.actions.outcome import Outcome
from retour.posting.refold import refold_order


def with_source(house: ProgramHarness, **sources: Any) -> None:
    declared = {name: {"channel": "api", "kind": "standard", **body} for name, body in sources.items()}
    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], **declared}})


def say(house: ProgramHarness, source: str, *records: dict[str, Any]) -> list[Any]:
    return list(house.modify(*[{"currency": "EUR", **record} for record in records], source=source).results)


def returned(order: str, reference: str, amount: str) -> dict[str, Any]:
    return {"order_id": order, "reference": reference, "change": "take_back", "amount": amount}


def test_a_nightly_export_that_says_nothing_new_writes_nothing(house: ProgramHarness) -> None:
    with_source(house, export={"references": "restate"})
    for order in ("A-1", "A-2"):
        house.report({"order_id": order, "amount": "100.00"})
    export = [returned("A-1", "RT-1", "20.00"), returned("A-1", "RT-2", "20.00"), returned("A-2", "RT-3", "5.00")]
    assert [one.outcome for one in say(house, "export", *export)] == [Outcome.APPLIED] * 3
    before = [len(house.order(order).records) for order in ("A-1", "A-2")]
    for _ in range(3):
        house.clock.moment += timedelta(days=1)
        again = say(house, "export", *export)
        assert [(one.outcome, one.code) for one in again] == [(Outcome.UNCHANGED, "")] * 3
    assert [len(house.order(order).records) for order in ("A-1", "A-2")] == before
    assert house.payouts("A-1")["A-1~sale"][0] == 6000
    corrected = say(house, "export", returned("A-1", "RT-1", "35.00"), *export[1:])
    assert [one.outcome for one in corrected] == [Outcome.APPLIED, Outcome.UNCHANGED, Outcome.UNCHANGED]
    assert house.payouts("A-1")["A-1~sale"][0] == 4500


def test_two_tellers_count_once_and_are_listed_while_their_sums_differ(house: ProgramHarness) -> None:
    with_source(house, store={}, register={"possible_duplicates": {"store": "confirms"}})
    house.report({"order_id": "A-1", "amount": "100.00"})
    for number, amount in ((1, "20.00"), (2, "30.00")):
        for source in ("store", "register"):
            say(house, source, {**returned("A-1", f"{source}-{number}", amount), "subject": f"refund/{number}"})
    assert house.payouts("A-1")["A-1~sale"][0] == 5000
    say(house, "store", {**returned("A-1", "shop-1b", "25.00"), "subject": "refund/1"})
    refold_order(house.hub, house.program, "A-1")
    assert house.payouts("A-1")["A-1~sale"][0] == 4500
    deliveries = house.hub.deliveries(house.program)
    ((subject, about),) = list(deliveries.due("differing"))
    assert (subject, about["said"], about["by_others"]) == ("A-1~sale#register", "50.00 EUR", "55.00 EUR")
    assert not list(deliveries.due("differing", house.clock.moment)), "a person sees it three days later"
    say(house, "register", {**returned("A-1", "till-1b", "25.00"), "subject": "refund/1"})
    refold_order(house.hub, house.program, "A-1")
    assert house.payouts("A-1")["A-1~sale"][0] == 4500
    assert not list(deliveries.due("differing"))


def test_what_is_wrong_in_a_subject_is_said(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    wrong = [
        {"order_id": "A-1", "change": "restore", "subject": "refund/1"},
        {**returned("A-1", "r", "5.00"), "subject": "refund/1", "version": "new"},
        {**returned("A-1", "r", "500.00"), "subject": "refund/2"},
        {**returned("A-1", "r", "5.00"), "subject": "refund/3", "currency": "USD"},
        {**returned("A-1", "r", "5.00"), "subject": "refund/4", "version": "2035-01-01T00:00:00Z"},
    ]
    codes = [one.code for one in say(house, "erp", *wrong)]
    assert codes == ["SUBJECT_NOT_FOR_CHANGE", "VERSION_UNCLEAR", "AMOUNT_EXCEEDS_SALE", "CURRENCY_MISMATCH", ""]
    house.clock.moment += timedelta(hours=1)
    later = {**returned("A-1", "r", "7.00"), "subject": "refund/4", "version": house.clock.moment.isoformat()}
    assert say(house, "erp", later)[0].outcome is Outcome.APPLIED, "a time is never later than its receipt"
    assert house.payouts("A-1")["A-1~sale"][0] == 9300
