"""Statements made by the clock and read over the API: on their day, once, whole, and again after a crash."""

import csv
import io
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from functions.tick import app as tick
from tests.conftest import ProgramHarness
from tests.functions.test_api import Caller, admin, call
from tests.functions.test_program_terms import Document, document, terms
from tests.meter import Meter

from retour.domain.actions.fence import LowWaterMark
from retour.domain.program import Program
from retour.money.statements import issue
from retour.schedule.locking import finalise_due
from retour.store.deliveries import Deliveries
from retour.store.statements import Statements

__all__ = ["admin", "call"]
STATEMENTS, GROUPS, PUT = "/v1/programs/{p}/statements", "/v1/programs/{p}/billing-groups", "/v1/programs/{p}"
PAYER = {"name": "Acme Shoes GmbH", "street": "Hafenstr. 1", "postcode": "20457", "town": "Hamburg", "country": "DE"}


def shop(house: ProgramHarness, **groups: Any) -> Document:
    found = document(house.program, standard=terms())
    return found | ({"billing_groups": groups} if groups else {})


def at(house: ProgramHarness, moment: str) -> None:
    house.clock.moment = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo("Europe/Berlin"))


def program(house: ProgramHarness) -> Program:
    found = house.hub.program(house.program)
    assert found is not None
    return found


def passed(house: ProgramHarness, moment: str) -> int:
    """That moment has come: what is due becomes final, and the statements of the days that have come are made."""
    at(house, moment)
    finalise_due(house.hub, program(house))
    return issue(house.hub, program(house))


@pytest.fixture
def stated(house: ProgramHarness, admin: Caller) -> ProgramHarness:
    """Orders of three partners that lock on 2 December; nordlicht is stated on the 10th, all others on the 4th."""
    house.apply(
        shop(
            house,
            north={"partners": ["nordlicht"], "statement": {"day": 10}, "paid": {"days_after_statement": 5},
                   "series": "N-", "payer": PAYER, "business_days": "DE"},
            default={"statement": {"day": 4}, "paid": {"day": 15}, "minimum_payout": "5.00", "series": "AC-"},
        )
    )  # fmt: skip
    at(house, "2026-11-02T12:00")
    for number, partner in enumerate(("nordlicht", "xena", "yuri", "zoe")):
        house.report({"order_id": f"A-{number}", "amount": "100.00", "partner": partner})
    house.report({"order_id": "A-9", "amount": "10.00", "partner": "anna"})
    house.report({"order_id": "A-8", "amount": "50.00", "partner": "xena", "event_time": "2026-11-01T13:00:00+01:00"})
    back = {"order_id": "A-8", "change": "take_back", "amount": "25.00", "currency": "EUR"}
    house.modify({"order_id": "A-3", "change": "reverse", "reason": "ITEM_RETURNED"}, back)
    return house


def listed(call: Caller, **query: str) -> list[Document]:
    answer = call("GET", STATEMENTS, query=query)
    assert answer.status == 200, answer.body
    return list(answer.json["items"])


def numbers(call: Caller, **query: str) -> list[str]:
    return [one["number"] for one in listed(call, **query)]


def test_statements_are_made_on_their_day_once_what_locked_is_final(stated: ProgramHarness, call: Caller) -> None:
    assert passed(stated, "2026-12-03T23:50") == 2 and numbers(call) == [], "of 4 and 10 November: nothing was due"
    at(stated, "2026-12-04T00:05")
    assert issue(stated.hub, program(stated)) == 1
    found = listed(call)
    assert [(one["number"], one["partner"], one["total"], one["actions"], one["due"]) for one in found] == [
        ("AC-00002", "yuri", "8.00", 1, "2026-12-15"), ("AC-00001", "xena", "10.00", 2, "2026-12-15"),
    ]  # fmt: skip
    assert passed(stated, "2026-12-04T12:00") == 0 and len(listed(call)) == 2
    assert passed(stated, "2026-12-10T01:00") == 1
    assert numbers(call) == ["N-00001", "AC-00002", "AC-00001"]
    assert numbers(call, partner="xena") == ["AC-00001"] and numbers(call, billing_group="north") == ["N-00001"]
    first = call("GET", STATEMENTS, query={"limit": "2"}).json
    assert [one["number"] for one in first["items"]] == ["N-00001", "AC-00002"]
    assert numbers(call, limit="2", cursor=first["next"]) == ["AC-00001"]


def test_what_is_held_back_holds_the_statement_back(stated: ProgramHarness, call: Caller) -> None:
    at(stated, "2026-12-04T00:05")
    assert issue(stated.hub, program(stated)) == 2, "those of November: nothing is final yet"
    assert issue(stated.hub, program(stated)) == 0 and numbers(call) == []
    assert passed(stated, "2026-12-04T00:20") == 1 and len(numbers(call)) == 2


def test_an_open_delivery_holds_the_statement_back(
    stated: ProgramHarness, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(stated, "2026-12-04T01:00")
    finalise_due(stated.hub, program(stated))
    received = datetime.fromisoformat("2026-12-03T22:00:00+01:00")
    with monkeypatch.context() as patched:
        patched.setattr(Deliveries, "low_water", lambda _: LowWaterMark(working=received))
        issue(stated.hub, program(stated))
        assert numbers(call) == [], "what it brings may count for this day"
        patched.setattr(Deliveries, "low_water", lambda _: LowWaterMark(held=received))
        issue(stated.hub, program(stated))
        assert numbers(call) == []
        at(stated, "2026-12-07T01:00")
        issue(stated.hub, program(stated))
    assert numbers(call) == ["AC-00002", "AC-00001"], "what is held for a person holds it back for 72 hours"


def test_what_was_held_for_longer_is_on_the_next_statement(stated: ProgramHarness, call: Caller) -> None:
    passed(stated, "2026-12-04T01:00")
    at(stated, "2026-12-01T12:00")
    late = {"order_id": "A-20", "amount": "100.00", "partner": "xena", "event_time": "2026-11-01T12:00:00+01:00"}
    stated.report(late)
    passed(stated, "2026-12-09T12:00")
    action = call("GET", "/v1/programs/{p}/actions/A-20~sale").json
    assert action["locks_at"] < "2026-12-03" and "statement" not in action
    passed(stated, "2027-01-04T01:00")
    (one, _) = listed(call, partner="xena")
    assert (one["number"], one["total"], one["actions"]) == ("AC-00003", "8.00", 1)
    passed(stated, "2027-02-04T01:00")
    assert len(listed(call, partner="xena")) == 2, "and on no other"


def test_days_that_are_made_up_for_at_once_state_nothing_twice(stated: ProgramHarness, call: Caller) -> None:
    at(stated, "2026-11-20T12:00")
    stated.report({"order_id": "A-11", "amount": "70.00", "partner": "xena", "event_time": "2026-11-20T11:00:00+01:00"})
    at(stated, "2026-12-28T12:00")
    stated.report({"order_id": "A-12", "amount": "90.00", "partner": "xena", "event_time": "2026-12-28T11:00:00+01:00"})
    assert passed(stated, "2027-01-11T01:00") == 6, "of November, December and January, all in one run"
    assert [one["total"] for one in listed(call, partner="xena")] == ["5.60", "10.00"]
    passed(stated, "2027-02-11T01:00")
    assert [one["total"] for one in listed(call, partner="xena")] == ["7.20", "5.60", "10.00"]


def test_every_line_leads_to_its_action(stated: ProgramHarness, call: Caller) -> None:
    passed(stated, "2026-12-04T01:00")
    one = call("GET", f"{STATEMENTS}/AC-00001").json
    assert one["id"] == "2026-12-04~AC-00001" and call("GET", f"{STATEMENTS}/{one['id']}").json == one
    assert [(line["action_id"], line["amount"], line["payout"]) for line in one["lines"]] == [
        ("A-1~sale", "100.00", "8.00"), ("A-8~sale", "25.00", "2.00"),
    ]  # fmt: skip
    for line in one["lines"]:
        action = call("GET", f"/v1/programs/{{p}}/actions/{line['action_id']}").json
        assert action["payout"] == line["payout"] and action["locks_at"] == line["locked_at"]
        assert action["statement"] == {name: one[name] for name in ("id", "number", "day", "due", "payment")}, (
            "and back"
        )
    assert "statement" not in call("GET", "/v1/programs/{p}/actions/A-9~sale").json, "it waits for more"
    assert sum(Decimal(line["payout"]) for line in one["lines"]) == Decimal(one["total"]) == 10
    answer = call("GET", f"{STATEMENTS}/AC-00001/csv")
    assert (
        answer.headers["content-type"].startswith("text/csv")
        and "AC-00001.csv" in answer.headers["content-disposition"]
    )
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert [(row["statement"], row["order_id"], row["payout"]) for row in rows] == [
        ("AC-00001", "A-1", "8.00"), ("AC-00001", "A-8", "2.00"),
    ]  # fmt: skip
    passed(stated, "2026-12-10T01:00")
    assert call("GET", f"{STATEMENTS}/N-00001").json["payer"] == PAYER
    for wrong in ("AC-00003", "2026-12-04~AC-00003", "x", "2026-12-05~AC-00001"):
        assert call("GET", f"{STATEMENTS}/{wrong}").status == 404, wrong


def test_what_comes_to_less_than_the_minimum_waits(stated: ProgramHarness, call: Caller) -> None:
    passed(stated, "2026-12-04T01:00")
    assert numbers(call, partner="anna") == []
    at(stated, "2026-12-04T12:00")
    stated.report({"order_id": "A-10", "amount": "90.00", "partner": "anna", "event_time": "2026-12-04T11:00:00+01:00"})
    passed(stated, "2027-01-04T01:00")
    (one,) = listed(call, partner="anna")
    assert (one["number"], one["total"], one["actions"]) == ("AC-00003", "8.00", 2), "gapless, with what had waited"


def test_a_program_without_billing_groups_makes_none(house: ProgramHarness, call: Caller) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    assert passed(house, "2027-01-01T12:00") == 0 and numbers(call) == []
    house.apply(shop(house, default={}))
    assert passed(house, "2027-02-01T12:00") == 1 and numbers(call) == [], "what counted before was paid otherwise"


def test_the_tick_makes_them(stated: ProgramHarness, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    at(stated, "2026-12-04T01:00")
    finalise_due(stated.hub, program(stated))
    monkeypatch.setattr(tick, "hub", lambda: stated.hub)
    monkeypatch.setattr(type(stated.hub.programs), "ids", lambda _: [stated.program])
    monkeypatch.setattr(tick, "sweep_all", lambda *_, **__: [])
    remaining = SimpleNamespace(
        function_name="tick", memory_limit_in_mb=512, invoked_function_arn="arn", aws_request_id="1",
        get_remaining_time_in_millis=lambda: 900_000,
    )  # fmt: skip
    tick.handler({}, remaining)
    assert numbers(call) == ["AC-00002", "AC-00001"]


WRITES = ("_put_new", "advance", "put_looked")


class KilledError(Exception):
    pass


def killing(monkeypatch: pytest.MonkeyPatch, moment: int, *, after: bool) -> Callable[[], bool]:
    """End the process at a write of statements, before or after it; whether it came to that."""
    count = iter(range(10**6))
    killed = []

    def counted(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            is_now = next(count) == moment
            if is_now and not after:
                killed.append(True)
                raise KilledError
            made = write(*arguments, **more)
            if is_now:
                killed.append(True)
                raise KilledError
            return made

        return wrapped

    for name in WRITES:
        monkeypatch.setattr(Statements, name, counted(getattr(Statements, name)))
    return lambda: bool(killed)


def moments() -> Iterator[tuple[int, bool]]:
    return ((moment, after) for moment in range(17) for after in (False, True))


def test_a_kill_at_any_write_changes_nothing(
    stated: ProgramHarness, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One house is stated again and again, in a table of its own each time, as far as keys go."""
    at(stated, "2026-12-10T01:00")
    finalise_due(stated.hub, program(stated))
    whole = statements_made(stated, "whole", monkeypatch, None)
    assert [doc["number"] for _, doc in whole] == ["N-00001", "AC-00002", "AC-00001"]
    for moment, after in moments():
        again = statements_made(stated, f"{moment}-{after}", monkeypatch, (moment, after))
        assert again == whole, (moment, after)


def statements_made(
    house: ProgramHarness, name: str, monkeypatch: pytest.MonkeyPatch, kill: tuple[int, bool] | None
) -> list[tuple[str, Document]]:
    opened = program(house)

    def own(_hub: Any, one: Program) -> Statements:
        ledger = house.hub.ledger(one)
        return Statements(ledger.client, ledger.table, f"{one.id}-{name}")

    with monkeypatch.context() as patched:
        patched.setattr("retour.money.statements.statements_of", own)
        patched.setattr("retour.money.statements.NOTE", f"statements-{name}")
        if kill is not None:
            with patched.context() as killed:
                killing(killed, kill[0], after=kill[1])
                for _ in range(2):
                    try:
                        issue(house.hub, opened)
                    except KilledError:
                        break
        issue(house.hub, opened)
        made = own(house.hub, opened).newest_first()
        return [(id_, {name: said for name, said in doc.items() if name != "issued_at"}) for id_, doc in made]


def test_time_that_ends_in_the_middle_is_made_up_for(stated: ProgramHarness, call: Caller) -> None:
    at(stated, "2026-12-04T01:00")
    finalise_due(stated.hub, program(stated))
    for looks in range(1, 30):
        left = iter(range(looks))
        issue(stated.hub, program(stated), lambda left=left: next(left, None) is not None)  # type: ignore[misc]
    assert numbers(call) == ["AC-00002", "AC-00001"]


def test_a_statement_costs_three_writes_and_a_part_of_its_actions(
    house: ProgramHarness, metered: Callable[[], Meter]
) -> None:
    house.apply(shop(house, default={"statement": {"day": 4}}))
    at(house, "2026-11-02T12:00")
    for partner in range(4):
        house.report(
            *({"order_id": f"A-{partner}-{n}", "amount": "10.00", "partner": f"p{partner}"} for n in range(25))
        )
    at(house, "2026-12-04T01:00")
    finalise_due(house.hub, program(house))
    meter = metered()
    issue(house.hub, program(house))
    assert meter.written <= 4 * 3 + 100 * 0.2 + 10, meter.written


def test_the_next_statements_are_told_before_another_day_is_saved(
    stated: ProgramHarness, call: Caller, admin: Caller
) -> None:
    found = call("GET", GROUPS).json
    assert [(one["name"], one["statement_day"], one["paid"], one["minimum_payout"]) for one in found["items"]] == [
        ("north", 10, "5 days after statement", "0.00"), ("default", 4, "on the 15th", "5.00"),
    ]  # fmt: skip
    told = {(one["billing_group"], one["day"]): (one["actions"], one["payout"]) for one in found["coming"]}
    assert told == {
        ("default", "2026-11-04"): (0, "0.00"), ("default", "2026-12-04"): (4, "18.80"),
        ("north", "2026-11-10"): (0, "0.00"), ("north", "2026-12-10"): (1, "8.00"),
    }  # fmt: skip
    draft = shop(stated, default={"statement": {"day": 2}})
    moved = call("POST", GROUPS, {"draft": yaml.safe_dump(draft)}).json
    told = {(one["billing_group"], one["day"]): (one["days"], one["actions"]) for one in moved["coming"]}
    assert told[("default", "2026-12-02")] == (None, 5) and told[("default", "2027-01-02")] == (31, 0)
    applied = admin("PUT", PUT, yaml.safe_dump(draft).encode(), query={"dry_run": "true"}).json
    assert applied["statements"]["coming"] == moved["coming"], "whoever applies it is told the same"
    assert numbers(call) == [] and call("GET", GROUPS).json == found, "nothing was saved"
    assert call("POST", GROUPS, {}).status == 422
    wrong = call("POST", GROUPS, {"draft": yaml.safe_dump(draft | {"currency": "EURO"})})
    assert wrong.status == 422 and wrong.json["code"] == "PROGRAM_INVALID"


def test_wrong_billing_groups_are_refused_by_name(admin: Caller, house: ProgramHarness) -> None:
    for group, key in (
        ({"minimum_payout": "5.005"}, "minimum_payout"), ({"minimum_payout": "-5.00"}, "minimum_payout"),
        ({"series": "A C"}, "series"), ({"payer": {"name": "Acme", "country": "Germany"}}, "payer.country"),
        ({"payer": {"country": "DE"}}, "payer"), ({"statement": {}}, "statement"),
    ):  # fmt: skip
        body = yaml.safe_dump(shop(house, default=group), sort_keys=False).encode()
        answer = admin("PUT", PUT, body, query={"dry_run": "true"})
        assert answer.status == 422, group
        assert answer.json["errors"][0]["key"].startswith(f"billing_groups.default.{key}"), answer.json["errors"]
