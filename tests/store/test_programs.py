"""Program versions as they are kept, and those that were written before something was kept with them."""

import json
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from typing import Any

from tests.conftest import PROGRAM, House

from retour.domain.contracts.contract import Contract


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**document, "contracts": {k: v for k, v in document["contracts"].items() if k not in names}}


def spans(contracts: tuple[Contract, ...]) -> dict[str, tuple[tuple[datetime, datetime | None], ...]]:
    return {one.name: one.named for one in contracts}


def test_when_a_document_named_a_contract_is_known_also_where_it_was_not_kept(house: House) -> None:
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
