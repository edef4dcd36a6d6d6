"""Program versions as they are kept, and those that were written before something was kept with them."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.meter import ReadMeter

from retour.domain.contracts.contract import Contract
from retour.domain.contracts.versions import Versions, event_types_of, terms_at, terms_at_report
from retour.store.items import contract_document
from retour.store.programs import Programs


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**document, "contracts": {k: v for k, v in document["contracts"].items() if k not in names}}


def spans(contracts: Sequence[Contract]) -> dict[str, tuple[tuple[datetime, datetime | None], ...]]:
    return {one.name: one.named for one in contracts}


def test_when_a_document_named_a_contract_is_known_also_where_it_was_not_kept(house: ProgramHarness) -> None:
    vip = deepcopy(PROGRAM["contracts"]["standard"]) | {"partners": ["xena"]}
    both = {**PROGRAM, "contracts": {**PROGRAM["contracts"], "vip": vip}}
    for document in (both, without(both, "vip"), both, without(both, "vip")):
        house.apply(document)
    programs = house.hub.programs
    kept = programs.get(house.program)
    assert kept is not None
    first, second = spans(kept.contracts)["vip"]
    assert first[1] and second[1] and first[0] < first[1] < second[0] < second[1]
    [(begun, end)] = spans(kept.contracts)["standard"]
    assert begun < first[0] and end is None

    key = {"PK": {"S": f"P#{house.program}"}, "SK": {"S": f"V#{kept.version:06d}"}}
    item = programs.client.get_item(TableName=programs.table, Key=key)["Item"]
    doc = json.loads(item["doc"]["S"])
    del doc["named"]
    programs.client.put_item(TableName=programs.table, Item={**item, "doc": {"S": json.dumps(doc)}})
    read_again = replace(programs, _named={}).get(house.program)
    assert read_again is not None and spans(read_again.contracts) == spans(kept.contracts)


def rules(first: str) -> list[dict[str, Any]]:
    """Forty rules; the first says which version this is."""
    pays = [first] + [f"{n % 9 + 1}%" for n in range(1, 40)]
    return [{"sku": [f"SKU-{n}"], "pays": payout} for n, payout in enumerate(pays)] + [{"pays": "8%"}]


def many_rules(n: int) -> dict[str, Any]:
    terms = {**PROGRAM["contracts"]["standard"], "rules": rules(f"{n % 50 + 1}.{n // 50}%")}
    del terms["payout"]
    return {**PROGRAM, "contracts": {**PROGRAM["contracts"], "standard": terms}}


def forgotten(programs: Programs) -> Programs:
    """As another process sees them, which has read nothing yet."""
    return replace(programs, _named={}, _terms={})


def asked_by_a_call(house: ProgramHarness, looks: ReadMeter, order: str) -> dict[str, int]:
    """What a report and a return in a process that has read nothing yet ask of the table."""
    house.hub.programs = forgotten(house.hub.programs)
    house.hub._listed.clear()
    looks.clear()
    assert house.report({"order_id": order, "amount": "100.00"}).counts == {"applied": 1}
    assert house.modify({"reference": order, "order_id": order, "change": "take_back", "amount": "10.00"}).counts == {
        "applied": 1
    }
    return {**looks.asked, "items": looks.items}


def test_a_contract_of_forty_rules_has_hundreds_of_versions_and_a_call_reads_no_more(
    house: ProgramHarness, looks: Callable[[], ReadMeter]
) -> None:
    """D11: with 208 versions in each program version the item was too large for the table."""
    house.apply(many_rules(0))
    counted = looks()
    one = asked_by_a_call(house, counted, "V-1")
    for n in range(1, 208):
        house.apply(many_rules(n))
    kept = forgotten(house.hub.programs).get(house.program)
    assert kept is not None and len(kept.contracts) == 210
    assert [contract.number for contract in kept.contracts] == list(range(1, 211))
    assert asked_by_a_call(house, counted, "V-2") == one
    key = {"PK": {"S": f"P#{house.program}"}, "SK": {"S": f"V#{kept.version:06d}"}}
    item = house.hub.programs.client.get_item(TableName=house.hub.programs.table, Key=key)["Item"]
    assert len(item["doc"]["S"]) < 12_000, "about as long as the document that was applied"


def test_a_process_reads_a_contract_version_once(house: ProgramHarness, looks: Callable[[], ReadMeter]) -> None:
    house.hub.programs = forgotten(house.hub.programs)
    counted = looks()
    for order in ("W-1", "W-2"):
        counted.clear()
        house.report({"order_id": order, "amount": "100.00"})
    queries = counted.asked["Query"]
    counted.clear()
    house.hub.programs = forgotten(house.hub.programs)
    house.report({"order_id": "W-3", "amount": "100.00"})
    assert counted.asked["Query"] > queries


def test_program_versions_of_an_older_release_are_read_and_go_on(house: ProgramHarness) -> None:
    """They had every contract version in themselves."""
    programs = house.hub.programs
    newest = programs.get(house.program)
    assert newest is not None
    key = {"PK": {"S": f"P#{house.program}"}, "SK": {"S": f"V#{newest.version:06d}"}}
    item = programs.client.get_item(TableName=programs.table, Key=key)["Item"]
    doc = json.loads(item["doc"]["S"])
    del doc["terms"], doc["format"]
    doc["contracts"] = [contract_document(one) for one in newest.contracts]
    programs.client.put_item(TableName=programs.table, Item={**item, "doc": {"S": json.dumps(doc)}})
    programs.client.delete_item(TableName=programs.table, Key={**key, "SK": {"S": "T#000001"}})
    old = forgotten(programs).get(house.program)
    assert old is not None and not isinstance(old.contracts, Versions)
    assert [contract_document(one) for one in old.contracts] == doc["contracts"]
    house.hub.programs = forgotten(programs)
    house.apply(many_rules(7))
    after = forgotten(programs).get(house.program)
    assert after is not None and isinstance(after.contracts, Versions)
    assert [contract_document(one) for one in after.contracts[:2]] == doc["contracts"] and len(after.contracts) == 3


def test_two_that_apply_at_once_make_two_versions(house: ProgramHarness) -> None:
    first, second = forgotten(house.hub.programs), forgotten(house.hub.programs)
    real = second._newest
    stale = [real(house.program)]
    first.apply({**many_rules(1), "program": house.program}, house.clock(), "d1")
    object.__setattr__(second, "_newest", lambda program: stale.pop() if stale else real(program))
    program, made = second.apply({**many_rules(2), "program": house.program}, house.clock(), "d2")
    assert made and program.version == 3
    kept = forgotten(house.hub.programs).get(house.program)
    assert kept is not None and [one.number for one in kept.contracts] == [1, 2, 3, 4]


@pytest.mark.parametrize("days", [-40, -3, -1, 0, 1, 2, 5, 30])
def test_what_is_read_when_it_is_needed_decides_as_all_of_them_do(house: ProgramHarness, days: int) -> None:
    standard = PROGRAM["contracts"]["standard"]
    vip = {**standard, "partners": ["xena"], "payout": "20%"}
    for n, names in enumerate(("standard", "standard vip", "standard", "standard vip", "standard vip leads", "vip")):
        contracts = {"standard": {**standard, "payout": f"{n + 1}%"}, "vip": {**vip, "payout": f"{n + 30}%"}}
        if n == 3:
            contracts["standard"]["valid_from"] = "2026-11-06"
        if n == 4:
            contracts["vip"] |= {"valid_from": "2026-10-01", "valid_until": "2026-11-04"}
        chosen = {**contracts, "leads": PROGRAM["contracts"]["leads"]}
        house.clock.moment = datetime(2026, 11, 2, 9 + n, tzinfo=UTC)
        document = {**PROGRAM, "program": house.program, "contracts": {name: chosen[name] for name in names.split()}}
        house.hub.programs.apply(document, house.clock.moment, f"d{n}")
    kept = forgotten(house.hub.programs).get(house.program)
    assert kept is not None and isinstance(kept.contracts, Versions)
    every = tuple(kept.contracts)
    assert event_types_of(kept.contracts) == event_types_of(every) == {"sale", "lead"}

    def same(one: Contract | None, other: Contract | None) -> bool:
        return (one and one.number) == (other and other.number)

    for hours in range(0, 24, 3):
        moment = datetime(2026, 11, 2, hours, tzinfo=UTC) + timedelta(days=days)
        for partner in ("xena", "yuri"):
            for event_type in ("sale", "lead"):
                lazily = forgotten(house.hub.programs).get(house.program)
                assert lazily is not None
                assert same(
                    terms_at(lazily.contracts, event_type, partner, moment),
                    terms_at(every, event_type, partner, moment),
                )
                event = moment - timedelta(days=3)
                assert same(
                    terms_at_report(lazily.contracts, event_type, partner, event, moment),
                    terms_at_report(every, event_type, partner, event, moment),
                )
    assert terms_at(kept.contracts, "sale", "xena", moment, date(2020, 1, 1)) is None


def test_a_call_reads_a_program_once_and_the_next_call_anew(
    house: ProgramHarness, looks: Callable[[], ReadMeter]
) -> None:
    programs = house.hub.programs
    counted = looks()
    with programs.cache_reads():
        assert programs.get(house.program) is programs.get(house.program)
        assert counted.requests == 1
        assert programs.get(house.program, again=True) is not None and counted.requests == 2
        house.apply({**PROGRAM, "name": "Renamed"})
        renamed = programs.get(house.program)
        assert renamed is not None and renamed.name == "Renamed"
    counted.clear()
    programs.get(house.program)
    programs.get(house.program)
    assert counted.requests == 2
