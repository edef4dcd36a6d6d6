"""An open action that older rules booked otherwise: told in money by doctor, folded anew on purpose, once."""

from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_api import ACTIONS, SALE, Caller, admin, call, text_of

from retour.store.items import entries_from, entry_bytes, n, s

__all__ = ["admin", "call"]
REFOLD = "/v1/programs/{p}/refold"
ITEMS = [{"sku": "X", "quantity": 2, "amount": "100.00"}, {"sku": "Y", "quantity": 1, "amount": "10.00"}]


def as_booked_before(house: ProgramHarness, order: str, rests: str, payout: int) -> None:
    """The head as the release before subjects wrote it: without the number of its rules; its one entry says so too."""
    hub = house.hub
    key = {"PK": s(f"A#{house.program}#{order}"), "SK": s(f"H#{order}~sale")}
    item = hub._dynamodb.get_item(TableName=hub.settings.ledger_table, Key=key)["Item"]
    del item["ru"]
    [entry] = entries_from(item["log"]["B"])
    log = {"B": entry_bytes(replace(entry, payout=payout))}
    head = {"rs": s(rests), "po": n(payout), "log": log}
    hub._dynamodb.put_item(TableName=hub.settings.ledger_table, Item=item | head)


@pytest.fixture
def old(call: Caller, admin: Caller, house: ProgramHarness) -> str:
    """Flat 1.50 per unit; all of X came back by its amount, and its two units were still paid."""
    flat = {"standard": {**PROGRAM["contracts"]["standard"], "payout": "1.50"}, "leads": PROGRAM["contracts"]["leads"]}
    assert admin("PUT", "/v1/programs/{p}", text_of(house.program, contracts=flat)).status == 200
    for order in ("A-1", "A-2"):
        call("POST", ACTIONS, {**SALE, "order_id": order, "items": ITEMS})
        said = {"order_id": order, "change": "take_back", "sku": "X", "amount": "100.00", "currency": "EUR"}
        assert call("POST", "/v1/programs/{p}/modifications", said).json["counts"] == {"applied": 1}
    as_booked_before(house, "A-1", "0:2,1000:1", 450)
    as_booked_before(house, "A-2", "0:0,1000:1", 150)
    return "A-1~sale"


def payout(call: Caller, action: str) -> str:
    return str(call("GET", f"{ACTIONS}/{action}").json["payout"])


def finding(call: Caller) -> dict[str, Any]:
    [found] = [one for one in call("GET", "/v1/doctor").json["checks"] if one["name"].endswith("older rules")]
    return dict(found)


def test_the_difference_is_told_and_booked_as_a_delivery_of_its_own(call: Caller, old: str) -> None:
    assert payout(call, old) == "4.50", "nothing changes by being read"
    found = finding(call)
    assert found["state"] == "warning" and "-3.00 EUR" in found["detail"] and old in found["detail"], found
    dry = call("POST", REFOLD, {}, query={"dry_run": "true"}).json
    assert (dry["batch"], dry["looked"], dry["counts"]) == (None, 2, {"applied": 1})
    [difference] = dry["differences"]
    assert difference["payout"] == {"before": "4.50", "after": "1.50"}
    assert [(one["partner"], one["payout"]["difference"]) for one in dry["partners"]] == [("nordlicht", "-3.00")]
    assert payout(call, old) == "4.50"
    done = call("POST", REFOLD, {"note": "lines of no units"}).json
    assert done["counts"] == {"applied": 1} and payout(call, old) == "1.50"
    batch = call("GET", f"/v1/programs/{{p}}/batches/{done['batch']}").json
    assert (batch["channel"], batch["kind"], batch["counts"]) == ("console", "modifications", {"applied": 1})
    [record] = batch["outcomes"]
    assert record["effect"]["payout"] == {"before": "4.50", "after": "1.50"}
    assert finding(call)["state"] == "ok"
    assert call("POST", REFOLD, {}).json["differences"] == []


def test_once_nothing_is_of_older_rules_nobody_looks_again(
    call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("POST", ACTIONS, {**SALE, "order_id": "A-1", "amount": "100.00"})
    assert finding(call)["detail"] == "no open action would come to another standing today"
    monkeypatch.setattr("retour.operations.refold.load_listed_actions", lambda *_: 1 / 0)
    assert finding(call)["detail"] == "every open action is of today's rules"


def test_what_comes_before_it_is_folded_anew_is_decided_beside_what_was_booked(call: Caller, old: str) -> None:
    said = {"order_id": "A-1", "change": "take_back", "sku": "Y", "amount": "4.00", "currency": "EUR"}
    call("POST", "/v1/programs/{p}/modifications", said)
    assert payout(call, old) == "4.50"
    call("POST", REFOLD, {})
    assert payout(call, old) == "1.50"


def test_an_undone_refold_leaves_todays_rules(call: Caller, old: str) -> None:
    """What older rules had left is no statement of anybody, so there is nothing to go back to."""
    [outcome] = call("POST", REFOLD, {}).json["outcomes"]
    call("POST", f"/v1/programs/{{p}}/modifications/{outcome['id']}/undo", {})
    assert payout(call, old) == "1.50"


def test_a_place_beyond_the_end_finds_nothing(call: Caller, old: str) -> None:
    answer = call("POST", REFOLD, {}, query={"cursor": "9999-12-31#9999-12-31|", "dry_run": "true"}).json
    assert (answer["looked"], answer["differences"], answer["next"]) == (0, [], None)
