"""A store that has too much to do, and secrets that cannot be read for a while."""

from typing import Any

import pytest
from tests.conftest import ProgramHarness

from retour.availability import is_unavailable
from retour.store import secrets, throttled_reads
from retour.store.secrets import Secrets
from retour.store.throttled_reads import BusyError, batch_get


class Table:
    """Gives so many keys at a time, and says which are left over."""

    def __init__(self, at_once: int):
        self.at_once, self.asked = at_once, 0

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        keys = RequestItems["t"]["Keys"]
        more = {"t": {**RequestItems["t"], "Keys": keys[self.at_once :]}} if keys[self.at_once :] else {}
        return {"Responses": {"t": keys[: self.at_once]}, "UnprocessedKeys": more}


def wanted(many: int) -> dict[str, Any]:
    return {"t": {"Keys": [{"PK": {"S": str(n)}} for n in range(many)], "ConsistentRead": True}}


def test_what_was_left_over_is_asked_for_after_pauses_that_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(throttled_reads.time, "sleep", pauses.append)
    monkeypatch.setattr(throttled_reads.random, "uniform", lambda low, high: high)
    table = Table(30)
    assert len(list(batch_get(table, wanted(100)))) == 100
    assert (table.asked, pauses) == (4, [0.05, 0.1, 0.2])


def test_who_gets_nothing_gives_up_and_is_asked_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttled_reads.time, "sleep", lambda _: None)
    table = Table(0)
    with pytest.raises(BusyError, match="100 keys") as given_up:
        list(batch_get(table, wanted(100)))
    assert table.asked == throttled_reads.PAUSES + 1 and is_unavailable(given_up.value)


class Store:
    """Parameter Store, which can be away."""

    def __init__(self) -> None:
        self.kept = {f"/retour/s/acme/{name}": f'{{"signing": ["{name}"]}}' for name in "abcdefghijkl"}
        self.asked: list[str] = []
        self.is_away = False

    def get_parameters_by_path(self, Path: str, WithDecryption: bool, NextToken: str = "0") -> dict[str, Any]:
        self.asked.append(Path)
        if self.is_away:
            raise ConnectionError("ThrottlingException")
        found = sorted((name, text) for name, text in self.kept.items() if name.startswith(Path))
        start = int(NextToken)
        page = [{"Name": name, "Value": text} for name, text in found[start : start + 10]]
        return {"Parameters": page, **({"NextToken": str(start + 10)} if len(found) > start + 10 else {})}

    def put_parameter(self, Name: str, Value: str, **_: Any) -> None:
        self.kept[Name] = Value


def test_secrets_are_read_once_a_program_and_the_last_ones_hold_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(secrets.time, "monotonic", lambda: clock[0])
    store = Store()
    held = Secrets(store, "s")
    assert [held.get("acme", name) for name in "al"] == [{"signing": ["a"]}, {"signing": ["l"]}]
    assert held.get("acme", "none") == {} and len(store.asked) == 2, "two pages of ten"
    store.is_away = True
    clock[0] += 61
    assert held.get("acme", "a") == {"signing": ["a"]} and len(store.asked) == 3
    assert held.get("acme", "b") == {"signing": ["b"]} and len(store.asked) == 3, "nobody asks again at once"
    with pytest.raises(ConnectionError):
        held.get("zeta", "a")
    store.is_away = False
    held.put("acme", "a", {"signing": ["new"]})
    assert held.get("acme", "a") == {"signing": ["new"]}
    clock[0] += 11
    assert held.get("acme", "a") == {"signing": ["new"]} and held.get("acme", "k") == {"signing": ["k"]}


def test_an_order_whose_sealed_page_is_missing_for_good_is_given_up(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    back = {"order_id": "A-1", "change": "take_back", "amount": "1.00", "currency": "EUR"}
    for call in range(2):
        house.modify(*({**back, "reference": f"r{call}-{n}"} for n in range(20)))
    client, table = house.hub._dynamodb, house.hub.settings.ledger_table
    key = {"PK": {"S": f"A#{house.program}#A-1"}, "SK": {"S": "E#A-1~sale#0000"}}
    assert "Attributes" in client.delete_item(TableName=table, Key=key, ReturnValues="ALL_OLD")
    with pytest.raises(BusyError, match="sealed page"):
        house.order("A-1")
