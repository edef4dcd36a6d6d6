"""Contracts asked about through the API's front door."""

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_api import Caller, admin, call

__all__ = ["admin", "call"]
QUOTE = "/v1/programs/{p}/quote"
LOCKS = "/v1/programs/{p}/contracts/standard/locks"
ORDER = {
    "event_type": "sale",
    "partner": "nordlicht",
    "items": [{"sku": "BOOT", "category": "shoes", "quantity": 1, "amount": "60.00"}, {"amount": "4.90"}],
}


def test_an_order_is_priced_by_the_version_due_and_by_the_others(call: Caller, house: ProgramHarness) -> None:
    standard = {**PROGRAM["contracts"]["standard"], "valid_from": "2026-12-01"}
    del standard["payout"]
    standard["rules"] = [{"category": ["shoes"], "pays": "10%"}]
    house.apply({**PROGRAM, "contracts": {**PROGRAM["contracts"], "standard": standard}})
    found = call("POST", QUOTE, ORDER).json
    assert (found["due"]["version"], found["due"]["payout"], found["due"]["currency"]) == (1, "5.19", "EUR")
    assert [(one["version"], one["payout"]) for one in found["others"]] == [(2, "6.00")]
    assert [(one["payout"], one["rule"]) for one in found["others"][0]["items"]] == [("6.00", 1), ("0.00", 0)]
    later = call("POST", QUOTE, {**ORDER, "event_time": "2026-12-24T12:00:00+01:00"}).json
    assert (later["due"]["version"], later["due"]["payout"]) == (2, "6.00")
    assert not house.order("quoted").actions
    wrong = call("POST", QUOTE, {**ORDER, "event_type": "tea"})
    assert (wrong.status, wrong.json["code"]) == (422, "UNKNOWN_EVENT_TYPE")


def test_the_locks_of_days_are_told_with_the_odd_ones(call: Caller) -> None:
    found = call("GET", LOCKS, query={"from": "2027-02-25", "to": "2027-02-27"}).json
    assert [(one["day"], one["last"], one["locks_at"]) for one in found["days"]] == [
        ("2027-02-25", "2027-03-27", "2027-03-27T23:00:00.000Z"),
        ("2027-02-26", "2027-03-28", "2027-03-28T22:00:00.000Z"),
        ("2027-02-27", "2027-03-29", "2027-03-29T22:00:00.000Z"),
    ]
    assert [(one["kind"], one["on"], one["hours"]) for one in found["odd"]] == [
        ("clock", "2027-03-28", 23),
        ("leap", None, 24),
    ]
    assert found["lock"] == {"days_after_event": 30}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"from": "2027-02-25"}, 400),
        ({"from": "soon", "to": "later"}, 400),
        ({"from": "2027-02-25", "to": "2027-02-24"}, 400),
        ({"from": "2027-02-25", "to": "2099-02-24"}, 400),
        ({"from": "9999-12-30", "to": "9999-12-31"}, 400),
    ],
)
def test_what_cannot_be_told_is_refused(call: Caller, query: dict[str, str], status: int) -> None:
    assert call("GET", LOCKS, query=query).status == status


def test_a_contract_that_is_not_there_is_not_found(call: Caller) -> None:
    query = {"from": "2027-02-25", "to": "2027-02-25"}
    answer = call("GET", LOCKS.replace("standard", "nothing"), query=query)
    assert answer.status == 404 and "contract" in answer.json["detail"]
