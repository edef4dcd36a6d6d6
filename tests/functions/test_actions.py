"""Acts on actions and their lists, through the front door of the API."""

from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_api import ACTIONS, BATCHES, MODIFICATIONS, Caller, admin, call, sold, take_back

from retour.schedule.locking import finalise_due

ACTS = f"{ACTIONS}/acts"
DRY = {"dry_run": "true"}

__all__ = ["admin", "call"]


def shown(call: Caller, action: str, **query: str) -> Any:
    answer = call("GET", f"{ACTIONS}/{action}", query=query)
    assert answer.status == 200, answer.body
    return answer.json


def state(call: Caller, action: str) -> tuple[str, str, str]:
    document = shown(call, action)
    return document["state"], document["amount"], document["payout"]


# One


@pytest.mark.parametrize(
    ("act", "said", "after"),
    [
        ("approve", {}, ("approved", "100.00", "8.00")),
        ("reverse", {"reason": "CONS_FRAUD"}, ("reversed", "0.00", "0.00")),
        ("modify", {"change": "set_total", "amount": "60.00"}, ("pending", "60.00", "4.80")),
        ("modify", {"change": "take_back", "amount": "25.00"}, ("pending", "75.00", "6.00")),
        ("reattribute", {"partner": "suedwind"}, ("pending", "100.00", "8.00")),
        ("status", {"status": "shipped"}, ("pending", "100.00", "8.00")),
    ],
)
def test_an_act_changes_what_it_says_and_its_dry_run_says_so_before(
    call: Caller, act: str, said: dict[str, str], after: tuple[str, str, str]
) -> None:
    action = sold(call, "A-1")
    before = call("GET", BATCHES).json["items"]
    rehearsed = call("POST", f"{ACTIONS}/{action}/{act}", said, query=DRY)
    assert rehearsed.status == 200 and rehearsed.json["dry_run"] and rehearsed.json["batch"] is None
    [outcome] = rehearsed.json["outcomes"]
    assert outcome["outcome"] == "applied", outcome
    assert outcome["effect"]["payout"]["after"] == after[2]
    assert state(call, action) == ("pending", "100.00", "8.00")
    assert call("GET", BATCHES).json["items"] == before, "a dry run is no delivery"
    answer = call("POST", f"{ACTIONS}/{action}/{act}", said)
    assert answer.json["counts"] == {"applied": 1}, answer.body
    assert state(call, action) == after


def test_a_dry_run_says_what_each_partner_gains_and_loses(call: Caller) -> None:
    action = sold(call, "A-1")
    said = call("POST", f"{ACTIONS}/{action}/reattribute", {"partner": "suedwind"}, query=DRY).json
    gains = {one["partner"]: (one["actions"], one["payout"]["difference"]) for one in said["partners"]}
    assert gains == {"nordlicht": (1, "-8.00"), "suedwind": (1, "8.00")}


def test_a_reversal_says_why(call: Caller) -> None:
    action = sold(call, "A-1")
    answer = call("POST", f"{ACTIONS}/{action}/reverse", {})
    assert (answer.status, answer.json["code"]) == (422, "REASON_NEEDED")
    assert "ITEM_RETURNED" in answer.json["detail"]
    unknown = call("POST", f"{ACTIONS}/{action}/reverse", {"reason": "BORED"}).json["outcomes"][0]
    assert (unknown["outcome"], unknown["code"]) == ("refused", "UNKNOWN_REASON")


@pytest.mark.parametrize(
    ("act", "said", "status", "code"),
    [
        ("modify", {"amount": "1.00"}, 422, "CHANGE_NEEDED"),
        ("reattribute", {}, 422, "FIELD_NEEDED"),
        ("status", {}, 422, "FIELD_NEEDED"),
        ("approve", {"amount": "1.00"}, 400, "UNKNOWN_FIELD"),
        ("undo", {}, 409, "NOTHING_TO_UNDO"),
        ("burn", {}, 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_stored(
    call: Caller, act: str, said: dict[str, str], status: int, code: str
) -> None:
    action = sold(call, "A-1")
    answer = call("POST", f"{ACTIONS}/{action}/{act}", said)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert len(shown(call, action)["history"]) == 0


def test_undo_without_a_name_takes_back_the_newest_change_and_then_the_one_before(call: Caller) -> None:
    action = sold(call, "A-1")
    for amount in ("20.00", "30.00"):
        call("POST", f"{ACTIONS}/{action}/modify", {"change": "take_back", "amount": amount})
    payouts = []
    for _ in range(2):
        assert call("POST", f"{ACTIONS}/{action}/undo", {}).json["counts"] == {"applied": 1}
        payouts.append(state(call, action)[1])
    assert payouts == ["80.00", "100.00"]
    assert call("POST", f"{ACTIONS}/{action}/undo", {}).status == 409


def test_repricing_is_previewed_and_then_books_the_newest_terms(call: Caller, admin: Caller) -> None:
    from tests.functions.test_api import text_of

    action = sold(call, "A-1")
    contracts = PROGRAM["contracts"]
    dearer = {**contracts, "standard": {**contracts["standard"], "payout": "10%"}}
    assert admin("PUT", "/v1/programs/{p}", text_of(call.program, contracts=dearer)).status == 200
    assert state(call, action)[2] == "8.00", "a later version rewrites nothing"
    preview = call("POST", f"{ACTIONS}/{action}/reprice", {}, query=DRY).json
    assert preview["partners"][0]["payout"]["difference"] == "2.00"
    assert state(call, action)[2] == "8.00"
    assert call("POST", f"{ACTIONS}/{action}/reprice", {}).json["counts"] == {"applied": 1}
    assert state(call, action)[2] == "10.00"


# Many


def test_many_are_acted_on_in_one_delivery(call: Caller) -> None:
    ids = [sold(call, f"A-{n}") for n in range(3)]
    answer = call("POST", ACTS, {"act": "reverse", "actions": ids, "reason": "CANCELLED"}, idempotency_key="form-1")
    assert answer.json["counts"] == {"applied": 3}
    again = call("POST", ACTS, {"act": "reverse", "actions": ids, "reason": "CANCELLED"}, idempotency_key="form-1")
    assert again.json == answer.json
    batch = call("GET", f"{BATCHES}/{answer.json['batch']}").json
    assert (batch["channel"], batch["rows"]) == ("console", 3)
    assert {state(call, one)[0] for one in ids} == {"reversed"}


def test_approving_many_does_not_restore_what_was_reversed_but_approving_one_does(call: Caller) -> None:
    ids = [sold(call, f"A-{n}") for n in range(2)]
    call("POST", f"{ACTIONS}/{ids[0]}/reverse", {"reason": "CANCELLED"})
    [one, other] = call("POST", ACTS, {"act": "approve", "actions": ids}).json["outcomes"]
    assert (one["code"], other["outcome"]) == ("ACTION_REVERSED", "applied")
    assert call("POST", f"{ACTIONS}/{ids[0]}/approve", {}).json["counts"] == {"applied": 1}
    assert state(call, ids[0])[0] == "pending"


def test_a_filter_means_what_a_list_with_it_shows(call: Caller) -> None:
    ids = [sold(call, f"A-{n}", partner="nordlicht" if n % 2 else "suedwind") for n in range(5)]
    body = {"act": "approve", "filter": {"partner": "suedwind", "state": "pending"}}
    assert len(call("POST", ACTS, body, query=DRY).json["outcomes"]) == 3
    assert call("POST", ACTS, body).json["counts"] == {"applied": 3}
    assert [state(call, one)[0] for one in ids] == ["approved", "pending", "approved", "pending", "approved"]
    assert call("POST", ACTS, body).json["code"] == "NO_ACTION_MATCHES"


@pytest.mark.parametrize(
    "body",
    [
        {"act": "approve"},
        {"act": "approve", "actions": []},
        {"act": "approve", "actions": ["A"] * 10_001},
        {"act": "modify", "actions": ["A"], "items": [{"line": "1", "quantity": 0}]},
        {"act": "approve", "actions": ["nobody~sale"]},
        {"act": "approve", "actions": [7]},
        {"act": "approve", "filter": "all"},
        {"act": "approve", "filter": {"colour": "red"}},
        {"act": "burn", "actions": ["A"]},
        {"actions": ["A"]},
        {"act": "approve", "actions": ["A"], "filter": {}},
    ],
)
def test_a_bulk_act_that_is_not_clear_is_refused_whole(call: Caller, body: dict[str, Any]) -> None:
    assert call("POST", ACTS, body).status in (400, 422)


def test_two_actions_of_one_order_each_have_their_part_in_a_bulk_act(call: Caller) -> None:
    ids = [sold(call, "A-1", action_id=f"X-{n}") for n in range(2)]
    body = {"act": "modify", "change": "take_back", "amount": "10.00", "actions": ids}
    assert call("POST", ACTS, body, idempotency_key="k").json["counts"] == {"applied": 2}
    assert {state(call, one)[1] for one in ids} == {"90.00"}


def test_more_than_can_be_waited_for_become_a_file_of_those_that_were_found(
    call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retour.commands import acts
    from retour.intake.ingest import ingest

    monkeypatch.setattr(acts, "SYNC_RECORDS_MAX", 2)
    ids = [sold(call, f"A-{n}", action_id=f"X-{n}" if n else None) for n in range(3)]
    asked = {"act": "reverse", "reason": "CANCELLED", "filter": {"state": "pending"}}
    preview = call("POST", ACTS, asked, query=DRY).json
    assert sorted(preview["chosen"]) == sorted(ids) and preview["counts"] == {"applied": 3}
    late = sold(call, "A-late")
    named = {name: value for name, value in asked.items() if name != "filter"} | {"actions": preview["chosen"]}
    answer = call("POST", ACTS, {**named, "note": "shop, closed"}, idempotency_key="k").json
    assert answer["state"] == "arriving"
    header = house.hub.deliveries(call.program).get(answer["batch"])
    assert header is not None and header.delivery.facts == {"bulk": "1"}
    assert ingest(house.hub, header.delivery, None).counts == {"applied": 3}
    assert {state(call, one)[0] for one in ids} == {"reversed"} and state(call, late)[0] == "pending"


def test_several_items_are_modified_as_one_act_with_how_the_action_would_stand(call: Caller) -> None:
    items = [{"sku": "S1", "quantity": 2, "amount": "60.00"}, {"sku": "S2", "quantity": 1, "amount": "40.00"}]
    action = sold(call, "A-1", items=items)
    body = {"items": [{"line": "1", "quantity": 1}, {"sku": "S2", "amount": "10.00"}], "reason": "ITEM_RETURNED"}
    path = f"{ACTIONS}/{action}/modify"
    preview = call("POST", path, body, query=DRY).json
    (standing,) = preview["standings"]
    assert standing["amount"] == {"before": "100.00", "after": "40.00", "difference": "-60.00"}
    assert standing["payout"] == {"before": "8.00", "after": "3.20", "difference": "-4.80"}
    assert standing["rules"] == [1] and standing["sentence"].startswith("Pays 3.20 EUR to nordlicht")
    assert call("POST", path, body, idempotency_key="k").json["counts"] == {"applied": 2}
    assert state(call, action)[1] == "40.00"


@pytest.mark.parametrize(
    "body",
    [{"items": []}, {"items": [{"line": "1"}]}, {"items": [{"quantity": 1}]}, {"items": [7]},
     {"items": [{"line": "1", "quantity": 1}], "change": "set_total"}, {"items": [{"line": "1", "x": 1}]}],
)  # fmt: skip
def test_items_that_are_not_clear_are_refused(call: Caller, body: dict[str, Any]) -> None:
    answer = call("POST", f"{ACTIONS}/{sold(call, 'A-1')}/modify", body)
    assert (answer.status, answer.json["code"]) == (422, "ITEMS_UNUSABLE")


# A delivery, and a record


def test_a_delivery_is_undone_whole_after_a_dry_run(call: Caller) -> None:
    ids = [sold(call, f"A-{n}") for n in range(3)]
    call("POST", MODIFICATIONS, take_back("A-2", "5.00", reference="before"))
    sent = call(
        "POST",
        MODIFICATIONS,
        [take_back(f"A-{n}", reference=f"r{n}") for n in (0, 1, 2)] + [take_back("A-2", "1.00", reference="x")],
    )
    path = f"{BATCHES}/{sent.json['batch']}/undo"
    preview = call("POST", path, {}, query=DRY).json
    assert preview["partners"][0]["payout"]["difference"] == "4.88"
    assert state(call, ids[0])[1] == "80.00"
    assert call("POST", path, {"note": "wrong file"}).json["counts"] == {"applied": 4}
    assert [state(call, one)[1] for one in ids] == ["100.00", "100.00", "95.00"]
    assert call("POST", path, {}).json["counts"] == {"unchanged": 4}


def test_the_undo_of_many_records_is_a_file_read_like_every_file(
    call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retour.commands import acts
    from retour.intake.ingest import ingest

    monkeypatch.setattr(acts, "SYNC_RECORDS_MAX", 2)
    monkeypatch.setattr(acts, "DRY_RUN_RECORDS_MAX", 2)
    ids = [sold(call, f"A-{n}") for n in range(3)]
    sent = call("POST", MODIFICATIONS, [take_back(f"A-{n}", reference=f"r{n}") for n in range(3)]).json
    path = f"{BATCHES}/{sent['batch']}/undo"
    assert call("POST", path, {}, query=DRY).json["looked"] == {"records": 2, "of": 3}
    answer = call("POST", path, {"note": 'wrong, "all" of it'}).json
    assert answer["state"] == "arriving"
    header = house.hub.deliveries(call.program).get(answer["batch"])
    assert header is not None
    assert ingest(house.hub, header.delivery, None).counts == {"applied": 3}
    assert {state(call, one)[1] for one in ids} == {"100.00"}


def test_reports_and_programs_are_not_undone(call: Caller) -> None:
    sold(call, "A-1")
    [reported] = call("GET", BATCHES).json["items"][:1]
    answer = call("POST", f"{BATCHES}/{reported['id']}/undo", {})
    assert (answer.status, answer.json["code"]) == (409, "NOT_UNDOABLE")


def test_one_record_is_undone_by_its_id(call: Caller) -> None:
    action = sold(call, "A/1 ü")
    [first] = call("POST", MODIFICATIONS, take_back("A/1 ü", reference="r")).json["outcomes"]
    call("POST", MODIFICATIONS, take_back("A/1 ü", "5.00", reference="s"))
    from urllib.parse import quote

    path = f"{MODIFICATIONS}/{quote(first['id'], safe='')}/undo"
    assert (
        call("POST", path, {"reason": "ORDER_ERROR"}, query=DRY).json["partners"][0]["payout"]["difference"] == "1.60"
    )
    assert call("POST", path, {"reason": "ORDER_ERROR"}).json["counts"] == {"applied": 1}
    assert state(call, quote(action, safe=""))[1] == "95.00"


def held(call: Caller) -> tuple[str, str]:
    """An action and a record on it that looks like another source's."""
    action = sold(call, "A-1")
    call("POST", MODIFICATIONS, take_back("A-1", reference="r1"), query={"source": "erp"})
    [second] = call("POST", MODIFICATIONS, take_back("A-1", reference="r2"), query={"source": "till"}).json["outcomes"]
    assert second["outcome"] == "held", second
    return action, second["id"]


def test_a_held_record_is_released_or_discarded_one_by_one(call: Caller) -> None:
    action, record = held(call)
    assert call("POST", f"{MODIFICATIONS}/{record}/release", {}).json["counts"] == {"applied": 1}
    assert state(call, action)[1] == "60.00"
    answer = call("POST", f"{MODIFICATIONS}/{record}/discard", {})
    assert (answer.status, answer.json["code"]) == (409, "NOT_HELD")


def test_a_discarded_record_takes_no_effect(call: Caller) -> None:
    action, record = held(call)
    assert call("POST", f"{MODIFICATIONS}/{record}/discard", {"note": "the same"}).json["counts"] == {"applied": 1}
    assert state(call, action)[1] == "80.00"
    assert call("GET", f"{MODIFICATIONS}/{record}").json["code"] == "DISCARDED"


def test_what_waits_for_its_action_cannot_be_decided_yet(call: Caller) -> None:
    [waiting] = call("POST", MODIFICATIONS, take_back("Z-9", reference="r")).json["outcomes"]
    answer = call("POST", f"{MODIFICATIONS}/{waiting['id']}/undo", {})
    assert (answer.status, answer.json["code"]) == (409, "STILL_WAITING")


# Lists


def test_lists_by_lock_day_partner_and_state_go_through_the_indexes(call: Caller) -> None:
    for n, day in enumerate(("2026-10-20", "2026-10-25", "2026-11-01")):
        sold(call, f"A-{n}", event_time=f"{day}T12:00:00+01:00", partner="suedwind" if n == 1 else "nordlicht")
    listed = call("GET", ACTIONS, query={"locks_before": "2026-11-26"}).json
    assert [one["order_id"] for one in listed["items"]] == ["A-0", "A-1"]
    assert listed["looked"] == {"actions": 2, "through": None, "by": "lock", "final": False}
    later = call("GET", ACTIONS, query={"locks_after": "2026-11-24", "state": "pending"}).json
    assert [one["order_id"] for one in later["items"]] == ["A-1", "A-2"]
    partner = call("GET", ACTIONS, query={"partner": "nordlicht"}).json
    assert [one["order_id"] for one in partner["items"]] == ["A-2", "A-0"] and partner["looked"]["by"] == "partner"
    nobody = call("GET", ACTIONS, query={"partner": "nobody"}).json
    assert (nobody["items"], nobody["next"]) == ([], None)


def test_what_is_final_is_listed_by_state_without_a_partner_page_by_page(call: Caller, house: ProgramHarness) -> None:
    for n in range(5):
        sold(call, f"F-{n}", event_time="2026-06-01T12:00:00+02:00", partner=f"p{n % 2}")
    sold(call, "OPEN-1")
    sold(call, "OPEN-2", event_time="2026-10-20T12:00:00+02:00")
    call("POST", MODIFICATIONS, [{"order_id": "OPEN-1", "change": "reverse"}])
    program = house.hub.program(house.program)
    assert program is not None
    finalise_due(house.hub, program)
    found: list[str] = []
    query, pages = {"state": "locked", "limit": "2"}, 0
    while True:
        listed = call("GET", ACTIONS, query=query).json
        assert listed["looked"]["final"] and len(listed["items"]) <= 2
        found += [one["order_id"] for one in listed["items"]]
        pages += 1
        if listed["next"] is None:
            break
        query = {**query, "cursor": listed["next"]}
    assert sorted(found) == [f"F-{n}" for n in range(5)] and pages == 3
    reversed_ = call("GET", ACTIONS, query={"state": "reversed"}).json
    assert [one["order_id"] for one in reversed_["items"]] == ["OPEN-1"]


def test_pages_of_an_index_hold_each_action_once_and_their_cursors_belong_to_one_list(call: Caller) -> None:
    ids = {sold(call, f"A-{n}", event_time=f"2026-10-{20 + n % 3}T12:00:00+01:00") for n in range(7)}
    for query in ({"state": "pending"}, {"partner": "nordlicht"}):
        found: list[str] = []
        cursor: dict[str, str] = {}
        for _ in range(5):
            page = call("GET", ACTIONS, query={**query, "limit": "2", **cursor}).json
            found += [one["id"] for one in page["items"]]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert sorted(found) == sorted(ids)
    page = call("GET", ACTIONS, query={"state": "pending", "limit": "2"}).json
    for query in (
        {"state": "approved", "cursor": page["next"]},
        {"state": "pending", "cursor": page["next"][:-1] + "x"},
        {"state": "pending", "cursor": "W10.00"},
        {"state": "pending", "cursor": "é"},
    ):
        assert call("GET", ACTIONS, query=query).json["code"] == "QUERY_INVALID"


@pytest.mark.parametrize("query", [{"locks_before": "soon"}, {"state": "odd"}, {"locks_after": "2026-13-01"}])
def test_a_filter_that_means_nothing_is_refused(call: Caller, query: dict[str, str]) -> None:
    assert call("GET", ACTIONS, query=query).status == 400


def test_the_page_of_another_program_is_not_opened_by_a_cursor(call: Caller, house: ProgramHarness) -> None:
    sold(call, "A-1")
    sold(call, "A-2")
    cursor = call("GET", ACTIONS, query={"state": "pending", "limit": "1"}).json["next"]
    assert cursor
    stranger = Caller(call.key, "acme")
    assert stranger("GET", ACTIONS, query={"state": "pending", "cursor": cursor}).status == 404


def test_impacts_conversion_file_reports_actions(call: Caller) -> None:
    file = (
        "CampaignId,ActionTrackerId,EventDate,OrderId,MediaId,CustomerId,CurrencyCode,Amount,Category,Sku,Quantity\n"
        "100,sale,2026-11-01T12:00:00+01:00,I-1,nordlicht,C-1,EUR,60.00,shoes,S-1,1\n"
        "100,sale,2026-11-01T12:00:00+01:00,I-1,nordlicht,C-1,EUR,40.00,bags,S-2,2\n"
    )
    answer = call("POST", ACTIONS, file.encode(), content_type="text/csv")
    assert answer.json["counts"] == {"applied": 1}, answer.body
    document = shown(call, "I-1~sale")
    assert (document["amount"], [one["category"] for one in document["items"]]) == ("100.00", ["shoes", "bags"])
