"""The journal, booked by the clock, and `verify`, which finds whatever was changed behind its back."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from tests.conftest import ProgramHarness
from tests.functions.test_api import Caller, admin, call
from tests.functions.test_payments import PAYMENTS, approved, confirm, person, proposed, ready, stated
from tests.functions.test_statements import at, passed, program

from retour.domain.funding.journal import Booking, Entry, Kind, chained, entry_from
from retour.money.journal import book, journal_of
from retour.store.items import encode_json, read_json
from retour.store.statements import pack_lines, unpack_lines

__all__ = ["admin", "call", "ready", "stated"]
JOURNAL, VERIFY = "/v1/programs/{p}/journal", "/v1/programs/{p}/verify"


@pytest.fixture
def paid(ready: ProgramHarness, call: Caller) -> ProgramHarness:
    """xena was paid, the payment to yuri failed and is paid anew; anna has too little for a statement."""
    bea, batch = person(ready, "Bea"), approved(ready, call)
    confirm(
        call, batch, {"partner": "xena", "status": "paid"}, {"partner": "yuri", "status": "failed", "reason": "AC04"}
    )
    again = proposed(call)["id"]
    bea("POST", f"{PAYMENTS}/{again}/approve", {})
    at(ready, "2026-12-16T09:00")
    confirm(call, again, {"partner": "yuri", "status": "paid"})
    ready.report(
        {"order_id": "A-anna", "amount": "10.00", "partner": "anna", "event_time": "2026-11-20T12:00:00+01:00"}
    )
    passed(ready, "2027-01-05T01:00")
    book(ready.hub, program(ready))
    return ready


def entries(house: ProgramHarness) -> list[Entry]:
    return [entry_from(doc) for doc in journal_of(house.hub, program(house)).entries()]


def difference(call: Caller) -> str:
    answer = call("GET", VERIFY)
    assert answer.status == 200, answer.body
    found = answer.json["difference"]
    assert answer.json["ok"] == (found is None) and (found is None or "VERIFY" not in found["explanation"])
    return found["code"] if found else ""


def test_every_entry_comes_to_nothing_and_follows_the_one_before(paid: ProgramHarness, call: Caller) -> None:
    found = entries(paid)
    assert [(one.booking.kind, one.day.isoformat()) for one in found] == [
        ("final", "2026-12-01"), ("final", "2026-12-01"), ("stated", "2026-12-04"), ("stated", "2026-12-04"),
        ("in_payment", "2026-12-15"), ("in_payment", "2026-12-15"), ("paid", "2026-12-15"), ("failed", "2026-12-15"),
        ("in_payment", "2026-12-15"), ("paid", "2026-12-16"), ("final", "2026-12-20"),
    ]  # fmt: skip
    assert all(one.sum == 0 for one in found)
    assert [one.before for one in found[1:]] == [one.sha256 for one in found[:-1]]
    answer = call("GET", JOURNAL, query={"limit": "3"}).json
    assert [one["number"] for one in answer["items"]] == [11, 10, 9] and answer["booked_until"] == "2027-01-04"
    assert {one["account"]: one["balance"] for one in answer["balances"]} == {
        "commission expense": "24.80", "payable:default:anna": "-0.80", "funding:default": "-24.00",
    }  # fmt: skip
    assert sum(Decimal(one["balance"]) for one in answer["balances"]) == 0
    more = call("GET", JOURNAL, query={"account": "in payment"}).json
    assert [one["number"] for one in more["items"]] == [10, 9, 8, 7, 6, 5]
    assert call("GET", JOURNAL, query={"account": "payable:default:xena"}).json["balances"] == [
        {"account": "payable:default:xena", "balance": "0.00"}
    ]
    assert [one["number"] for one in call("GET", JOURNAL, query={"limit": "3", "cursor": "9"}).json["items"]] == [
        8,
        7,
        6,
    ]
    assert call("GET", JOURNAL, query={"cursor": "x"}).status == 400


def test_everything_agrees_and_is_booked_once(paid: ProgramHarness, call: Caller) -> None:
    assert difference(call) == ""
    before = [one.document() for one in entries(paid)]
    assert book(paid.hub, program(paid)) == 0
    assert [one.document() for one in entries(paid)] == before
    assert call("GET", VERIFY).json["checked"] == {"entries": 11, "actions": 3, "statements": 2, "payments": 3}


def test_a_kill_between_a_day_and_its_commit_books_the_same(
    ready: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed(ready, "2026-12-20T01:00")
    kept = journal_of(ready.hub, program(ready))
    with monkeypatch.context() as patched:
        patched.setattr(type(kept), "advance", lambda *_: False)
        assert book(ready.hub, program(ready)) == 0 and not entries(ready)
    turns = iter(range(3))
    assert book(ready.hub, program(ready), lambda: next(turns, None) is not None) == 3
    book(ready.hub, program(ready))
    whole = [one.document() for one in entries(ready)]
    assert [one[2] for one in whole] == ["final", "final", "stated", "stated"]


def test_what_became_final_late_is_booked_with_the_next_day(ready: ProgramHarness, call: Caller) -> None:
    passed(ready, "2026-12-17T01:00")
    book(ready.hub, program(ready))
    at(ready, "2026-11-30T12:00")
    ready.report(
        {"order_id": "A-late", "amount": "50.00", "partner": "xena", "event_time": "2026-11-01T12:00:00+01:00"}
    )
    passed(ready, "2026-12-20T01:00")
    book(ready.hub, program(ready))
    [late] = [one for one in entries(ready) if one.day.isoformat() == "2026-12-17"]
    assert late.booking.amounts == (("commission expense", 400), ("payable:default:xena", -400))
    assert difference(call) == ""


# Corruptions


@dataclass
class Vandal:
    """Changes what is kept, as nobody may."""

    house: ProgramHarness

    @property
    def client(self) -> Any:
        return self.house.hub._dynamodb

    @property
    def table(self) -> str:
        return self.house.hub.settings.ledger_table

    def items(self, partition: str, begins: str = "") -> list[dict[str, Any]]:
        found = self.client.query(TableName=self.table, KeyConditionExpression="PK = :pk",
                                  ExpressionAttributeValues={":pk": {"S": partition}})["Items"]  # fmt: skip
        return [item for item in found if item["SK"]["S"].startswith(begins)]

    def put(self, item: dict[str, Any], **changes: Any) -> None:
        self.client.put_item(TableName=self.table, Item={**item, **changes})

    def drop(self, item: dict[str, Any]) -> None:
        self.client.delete_item(TableName=self.table, Key={name: item[name] for name in ("PK", "SK")})

    def document(self, partition: str, begins: str, place: int = 0, **changes: Any) -> None:
        item = self.items(partition, begins)[place]
        self.put(item, doc={"S": encode_json({**read_json(item), **changes})})

    def lines(self, item: dict[str, Any], change: Callable[[list[Any]], list[Any]]) -> None:
        self.put(item, lines={"B": pack_lines(change(unpack_lines(item)))})

    # What there is

    @property
    def p(self) -> str:
        return self.house.program

    def head(self, order: str) -> dict[str, Any]:
        return self.items(f"A#{self.p}#{order}", "H#")[0]

    def entries(self, place: int = 0) -> dict[str, Any]:
        return self.items(f"J#{self.p}", "E#")[place]

    def details(self) -> dict[str, Any]:
        return self.items(f"J#{self.p}#2026-12-01")[0]

    def run(self, partner: str) -> dict[str, Any]:
        return self.items(f"F#{self.p}#2026-12-04#default", f"P#{partner}")[0]

    def batch(self, kind: str) -> dict[str, Any]:
        """Of the batch that paid both."""
        [both] = [one["SK"]["S"] for one in self.items(f"B#{self.p}", "P#") if read_json(one)["transfers"] == 2]
        return self.items(f"B#{self.p}#{both[2:]}", kind)[0]

    def rechain(self) -> None:
        """As somebody would who knows how the chain is made."""
        before, number = "0" * 64, 0
        for item in self.items(f"J#{self.p}", "E#"):
            made = []
            for doc in unpack_lines(item):
                entry = entry_from(doc)
                [entry] = chained([entry.booking], entry.day, number, before)
                before, number = entry.sha256, entry.number
                made.append(entry.document())
            self.put(item, lines={"B": pack_lines(made)})
        self.document(f"J#{self.p}", "=", number=number, sha256=before)


def changed(place: int, value: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda line: [*line[:place], value, *line[place + 1 :]]


def first(change: Callable[[list[Any]], list[Any]]) -> Callable[[list[Any]], list[Any]]:
    return lambda lines: [change(lines[0]), *lines[1:]]


def rebooked(vandal: Vandal) -> None:
    """Somebody else is owed it, in an entry and a chain that are right in themselves."""
    vandal.lines(vandal.entries(2), first(changed(4, [["payable:default:xena", 800], ["stated:default:evil", -800]])))
    vandal.rechain()


def without_a_payment(vandal: Vandal) -> None:
    vandal.drop(vandal.items(f"J#{vandal.p}", "E#")[-2])
    vandal.rechain()


CORRUPTIONS: dict[str, tuple[Callable[[Vandal], None], str]] = {
    "payout of a final action": (lambda v: v.put(v.head("A-xena"), po={"N": "900"}), "VERIFY_ACTION_OTHER"),
    "a final action that is not": (lambda v: v.put({k: x for k, x in v.head("A-xena").items() if k != "fin"}),
                                   "VERIFY_ACTION_GONE"),
    "a final action gone": (lambda v: v.drop(v.head("A-yuri")), "VERIFY_ACTION_GONE"),
    "an entry in another place": (lambda v: v.lines(v.entries(), lambda some: [some[1], some[0]]),
                                  "VERIFY_ENTRY_MISSING"),
    "an entry gone": (lambda v: v.lines(v.entries(), lambda some: some[:1]), "VERIFY_ENTRY_MISSING"),
    "a page of entries gone": (lambda v: v.drop(v.entries(1)), "VERIFY_ENTRY_MISSING"),
    "the last entry gone": (lambda v: v.drop(v.entries(-1)), "VERIFY_LAST_ENTRY"),
    "the amount of an entry": (lambda v: v.lines(v.entries(), first(changed(4, [["commission expense", 801],
                               ["payable:default:xena", -800]]))), "VERIFY_ENTRY_SUM"),
    "both amounts of an entry": (lambda v: v.lines(v.entries(), first(changed(4, [["commission expense", 900],
                                 ["payable:default:xena", -900]]))), "VERIFY_CHAIN"),
    "the day of an entry": (lambda v: v.lines(v.entries(1), first(changed(1, "2026-12-05"))), "VERIFY_CHAIN"),
    "the hash of the one before": (lambda v: v.lines(v.entries(1), first(changed(6, "f" * 64))), "VERIFY_CHAIN"),
    "an entry booked to another, chained anew": (rebooked, "VERIFY_BOOKING"),
    "a payment taken out, chained anew": (without_a_payment, "VERIFY_BOOKING"),
    "the payout of a booked action": (lambda v: v.lines(v.details(), first(changed(3, 900))), "VERIFY_DETAILS"),
    "a booked action gone": (lambda v: v.lines(v.details(), lambda some: some[1:]), "VERIFY_DETAILS"),
    "a booked action more": (lambda v: v.lines(v.details(), lambda some: [*some, ["default", "evil", "X~sale", 5]]),
                             "VERIFY_DETAILS_MORE"),
    "the total of a statement": (lambda v: v.document(f"F#{v.p}", "S#", total=801), "VERIFY_STATEMENT_SUM"),
    "the partner of a statement": (lambda v: v.document(f"F#{v.p}", "S#", partner="yuri"), "VERIFY_STATEMENT_SUM"),
    "a line of a statement": (lambda v: v.lines(v.run("xena"), first(changed(10, 801))), "VERIFY_STATEMENT_SUM"),
    "the action of a line": (lambda v: v.lines(v.run("xena"), first(changed(0, "A-anna~sale"))), "VERIFY_LINE"),
    "an action on two statements": (lambda v: v.lines(v.run("yuri"), first(changed(0, "A-xena~sale"))),
                                    "VERIFY_STATED_TWICE"),
    "a statement gone": (lambda v: v.drop(v.items(f"F#{v.p}", "S#")[1]), "VERIFY_NUMBER_MISSING"),
    "a number that was never given": (lambda v: v.document(f"F#{v.p}", "=", numbers={"AC-": 1}), "VERIFY_NUMBER_MORE"),
    "the amount of a payment": (lambda v: v.lines(v.batch("L#"), first(changed(2, 900))), "VERIFY_BATCH"),
    "whom a batch pays": (lambda v: v.lines(v.batch("L#"), lambda some: some[:1]), "VERIFY_BATCH"),
    "the hash of a batch": (lambda v: v.document(f"B#{v.p}", "P#", contents="0" * 64), "VERIFY_BATCH"),
    "an approval gone": (lambda v: v.drop(v.items(f"B#{v.p}", "A#")[0]), "VERIFY_NOT_APPROVED"),
    "a failed payment that is paid": (lambda v: v.document(v.batch("R#")["PK"]["S"], "R#", 1, state="paid"),
                                      "VERIFY_MARK"),
    "a paid statement that is open": (lambda v: v.drop(v.items(f"B#{v.p}", "S#")[0]), "VERIFY_MARK"),
    "a payment of no statement": (lambda v: v.put({**v.items(f"B#{v.p}", "S#")[0], "SK": {"S": "S#2026-12-04~AC-9"}}),
                                  "VERIFY_PAID_UNKNOWN"),
    "an act gone": (lambda v: v.drop(v.items(f"B#{v.p}#acts")[0]), "VERIFY_BOOKING"),
}  # fmt: skip


def test_verify_finds_each_corruption(paid: ProgramHarness, call: Caller) -> None:
    """One after the other in the same program, each put right again."""
    assert len(CORRUPTIONS) >= 20
    vandal = Vandal(paid)
    whole = snapshot(vandal)
    for name, (corrupt, code) in CORRUPTIONS.items():
        corrupt(vandal)
        assert difference(call) == code, name
        restore(vandal, whole)
    assert difference(call) == ""


def partitions(vandal: Vandal) -> list[str]:
    batches = [item["SK"]["S"][2:] for item in vandal.items(f"B#{vandal.p}", "P#")]
    orders = [f"A#{vandal.p}#{order}" for order in ("A-xena", "A-yuri", "A-anna")]
    own = [f"{kind}#{vandal.p}" for kind in "JFB"]
    return [*own, *orders, f"F#{vandal.p}#2026-12-04#default", f"J#{vandal.p}#2026-12-01", f"B#{vandal.p}#acts",
            *(f"B#{vandal.p}#{batch}" for batch in batches)]  # fmt: skip


def snapshot(vandal: Vandal) -> dict[str, list[dict[str, Any]]]:
    return {partition: vandal.items(partition) for partition in partitions(vandal)}


def restore(vandal: Vandal, whole: dict[str, list[dict[str, Any]]]) -> None:
    for partition, items in whole.items():
        now = {item["SK"]["S"]: item for item in vandal.items(partition)}
        for item in items:
            if now.pop(item["SK"]["S"], None) != item:
                vandal.put(item)
        for item in now.values():
            vandal.drop(item)


def test_a_program_without_billing_groups_books_nothing_and_agrees(house: ProgramHarness, call: Caller) -> None:
    assert book(house.hub, program(house)) == 0 and difference(call) == ""
    assert call("GET", JOURNAL).json["items"] == []


def test_a_booking_says_what_it_was_hashed_of() -> None:
    [one] = chained([Booking(Kind.PAID, "b", (("a", 1), ("b", -1)))], date(2026, 12, 1), 4, "0")
    assert one.number == 5 and entry_from(json.loads(json.dumps(one.document()))) == one
