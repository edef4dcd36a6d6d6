"""The funding check over the API, and what whoever applies a program is told of it."""

from typing import Any

import yaml
from tests.conftest import ProgramHarness
from tests.functions.test_api import Caller, admin, call
from tests.functions.test_program_terms import Document, at, document, terms

__all__ = ["admin", "call"]
CHECK = "/v1/programs/{p}/funding/check"
PUT = "/v1/programs/{p}"
MONTH_END = {"months_after_month_end": 1, "days_after_month_end": 1, "month_end_sticky": True}
FIGURES = {
    "lock": "1 month 2 days after month end", "window_days": 28, "lag_days": 2, "statement_day": 4,
    "paid": "at statement",
}  # fmt: skip


def apply(admin: Caller, program: Document, dry_run: bool = False) -> Document:
    answer = admin(
        "PUT", PUT, yaml.safe_dump(program, sort_keys=False).encode(), query={"dry_run": "true"} if dry_run else {}
    )
    assert answer.status == 200, answer.body
    return dict(answer.json)


def shop(house: ProgramHarness, lock: Any = MONTH_END, **more: Any) -> Document:
    """The house's program, whose sales can be returned within 28 days and are told of 2 days later."""
    found = document(house.program, standard=terms(lock=lock))
    found["event_types"]["sale"] = {
        **(found["event_types"]["sale"] or {}),
        "returns": {"window_days": 28, "lag_days": 2},
    }
    return found | {"billing_groups": {"default": {"statement": {"day": 4}}}} | more


def test_figures_alone_are_proven(call: Caller, house: ProgramHarness) -> None:
    at(house, "2026-12-01")
    found = call("POST", CHECK, FIGURES).json
    assert (found["verdict"], found["unsafe_dates"], found["tight_dates"]) == ("tight", 0, 303)
    assert found["worst"] == {
        "event_date": "2027-01-31", "last_change": "2027-03-02", "last_report": "2027-03-02",
        "statement": "2027-03-04", "paid": "2027-03-04",
    }  # fmt: skip
    assert found["fix"]["lock"] == "1 month 3 days after month end" and found["fix"]["verdict"] == "safe"
    assert found["breaks"] == [{"what": "skew", "unsafe_dates": 303}, {"what": "lock_at_start", "unsafe_dates": 303}]
    assert "an order of 31 January 2027 is locked on 2 March 2027" in found["sentences"][1]
    late = call("POST", CHECK, FIGURES | {"lock": MONTH_END}).json
    assert (late["verdict"], late["unsafe_dates"]) == ("unsafe", 303)
    assert late["fix"]["lock"] == FIGURES["lock"] and late["fix"]["with_slack"]["days_later"] == 2


def test_a_contract_in_force_is_proven_and_tried_with_other_figures(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    at(house, "2026-12-01")
    assert call("GET", CHECK).status == 422, "nobody said how long returns can be reported"
    assert "event_types.sale" in call("GET", CHECK, query={"contract": "standard"}).json["detail"]
    apply(admin, shop(house))
    found = call("GET", CHECK).json
    assert (found["contract"], found["billing_group"], found["unsafe_dates"]) == ("standard", "default", 303)
    assert [one["contract"] for one in found["checks"]] == ["standard"], "leads have no returns"
    other = call("POST", CHECK, {"contract": "standard", "lock": "1 month 2 days after month end"}).json
    assert (other["verdict"], other["policy"]["window_days"], other["policy"]["statement_day"]) == ("tight", 28, 4)
    longer = call("POST", CHECK, {"contract": "leads", "window_days": 60}).json
    assert longer["contract"] == "leads" and longer["verdict"] == "unsafe"
    assert call("GET", CHECK, query={"contract": "nobody"}).status == 404
    assert call("GET", CHECK, query={"contracts": "standard"}).status == 400


def test_a_draft_is_proven_and_nothing_is_applied(call: Caller, house: ProgramHarness) -> None:
    draft = shop(house, lock=[{"days_after_event": 60, "country": ["US"]}, {"days_after_event": 29}])
    found = call("POST", CHECK, {"draft": yaml.safe_dump(draft), "contract": "standard"}).json
    assert [(one["lock_rank"], one["verdict"]) for one in found["checks"]] == [(2, "unsafe"), (1, "safe")]
    assert found["unsafe_dates"] == 146_097 and found["fix"]["lock"] == "30 days after event"
    assert call("GET", PUT).json["version"] == 1
    wrong = call("POST", CHECK, {"draft": yaml.safe_dump(draft | {"currency": "EURO"})})
    assert wrong.status == 422 and wrong.json["errors"][0]["key"] == "currency"


def test_figures_that_are_wrong_are_named_with_what_is_right(call: Caller) -> None:
    for wrong, about in (
        ({"lock": "1 month 2 dys after month end"}, "1 month 2 dys after month end"),
        ({"lock": {"days_after_event": -1}}, "days_after_event"),
        ({"lock": {"days_after_event": 3, "country": ["US"]}}, "country"),
        ({"window_days": -1}, "0 to 400"), ({"window_days": "soon"}, "soon"), ({"lag_days": 401}, "401"),
        ({"statement_day": 31}, "1 to 28"), ({"statement_day": 0}, "1 to 28"), ({"paid": "on the 31st"}, "1st to 28th"),
        ({"paid": "at lock"}, "take `statement_day` out"), ({"statement_day": None}, "needs `statement_day`"),
        ({"window_days": None}, "`window_days` is required"), ({"lock": None}, "`lock` is required"),
    ):  # fmt: skip
        answer = call("POST", CHECK, FIGURES | wrong)
        assert answer.status == 422 and answer.json["code"] == "FIGURE_INVALID", wrong
        assert about in answer.json["detail"], answer.json["detail"]
    assert call("POST", CHECK, FIGURES | {"windows": 3}).status == 400
    assert call("POST", CHECK, {"draft": 3}).status == 422


def test_whoever_applies_a_program_is_warned_by_the_same_proof(admin: Caller, house: ProgramHarness) -> None:
    at(house, "2026-12-01")
    (warning,) = apply(admin, shop(house), dry_run=True)["funding"]
    assert (warning["contract"], warning["verdict"], warning["unsafe_dates"]) == ("standard", "unsafe", 303)
    assert apply(admin, shop(house))["funding"] == [warning], "it is a warning: the program is in force"
    german = apply(admin, shop(house, language="de"), dry_run=True)["funding"]
    assert german[0]["sentences"][0].startswith("Unsicher: 303 der 146.097 Tage")
    assert "funding" not in apply(admin, shop(house, lock={"days_after_event": 40}), dry_run=True)


def test_billing_groups_are_read_strictly(admin: Caller, house: ProgramHarness) -> None:
    for groups, key, about in (
        ({"a": {"contracts": ["standart"]}}, "billing_groups.a.contracts[1]", "did you mean `standard`?"),
        ({"a": {"event_types": ["sales"]}}, "billing_groups.a.event_types[1]", "did you mean `sale`?"),
        ({"default": {"partners": ["xena"]}}, "billing_groups.default.partners", "remove `partners`"),
        ({"a": {}, "b": {"partners": ["xena"]}}, "billing_groups.b", "put 'a' last"),
        ({"a": {"statement": {"day": 31}}}, "billing_groups.a.statement.day", "1 to 28"),
        ({"a": {"paid": {"day": 3, "days_after_statement": 2}}}, "billing_groups.a.paid", "the limit is 1"),
    ):
        body = yaml.safe_dump(shop(house, billing_groups=groups), sort_keys=False).encode()
        answer = admin("PUT", PUT, body, query={"dry_run": "true"})
        assert answer.status == 422, groups
        (fault,) = answer.json["errors"]
        assert fault["key"] == key and about in fault["detail"], fault


def test_a_group_of_some_partners_is_tried_beside_that_of_all_others(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    groups = {"vip": {"partners": ["xena"], "statement": {"day": 28}}, "default": {"statement": {"day": 4}}}
    apply(admin, shop(house, lock=MONTH_END | {"days_after_month_end": 2}, billing_groups=groups))
    checks = call("GET", CHECK).json["checks"]
    assert sorted((one["billing_group"], one["policy"]["statement_day"]) for one in checks) == [
        ("default", 4),
        ("vip", 28),
    ]
