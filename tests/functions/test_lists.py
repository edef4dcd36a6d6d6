"""Named lists uploaded through the API, and what is paid by them."""

from copy import deepcopy
from typing import Any

import pytest
import yaml
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_api import ACTIONS, MODIFICATIONS, Caller, admin, call

__all__ = ["admin", "call"]
PUT = "/v1/programs/{p}"
LISTS = "/v1/programs/{p}/lists"
QUOTE = "/v1/programs/{p}/quote"
RULES = [{"sku": [{"list": "outlet"}], "pays": "2%"}, {"pays": "8%"}]


def document(program: str, rules: list[dict[str, Any]]) -> bytes:
    said = deepcopy(PROGRAM) | {"program": program}
    said["contracts"]["standard"] = {
        "event_type": "sale",
        "valid_from": "2026-01-01",
        "rules": rules,
        "lock": {"days_after_event": 30},
    }
    return yaml.safe_dump(said, sort_keys=False).encode()


def upload(call: Caller, text: str, name: str = "outlet", **query: str) -> dict[str, Any]:
    answer = call("PUT", f"{LISTS}/{name}", text.encode(), query=query, content_type="text/plain")
    assert answer.status == 200, answer.body
    return dict(answer.json)


def quoted(call: Caller, sku: str) -> str:
    items = [{"sku": sku, "quantity": 1, "amount": "100.00"}]
    asked = {"event_type": "sale", "partner": "nordlicht", "currency": "EUR", "items": items}
    return str(call("POST", QUOTE, asked).json["due"]["payout"])


def test_a_list_is_uploaded_and_rules_go_by_it_from_then_on(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    early = admin("PUT", PUT, document(house.program, deepcopy(RULES)))
    assert early.status == 422
    [error] = early.json["errors"]
    assert error["key"] == "contracts.standard.rules[1].sku[1].list" and "unknown list 'outlet'" in error["detail"]
    assert upload(call, "BOOT-1\r\nOUT-*\n\nOUT-*\n", dry_run="true")["entries"] == 2
    assert call("GET", LISTS).json["items"] == []
    first = upload(call, "BOOT-1\r\nOUT-*\n\nOUT-*\n")
    assert (first["entries"], first["version"], first["changed"]) == (2, 2, True)
    assert upload(call, "OUT-*\nBOOT-1")["changed"] is False, "the same content in any order"
    assert admin("PUT", PUT, document(house.program, deepcopy(RULES))).status == 200
    assert [quoted(call, sku) for sku in ("BOOT-1", "BOOT-12", "OUT-7", "OUT")] == ["2.00", "8.00", "2.00", "8.00"]
    [shown] = call("GET", LISTS).json["items"]
    assert shown == {
        "name": "outlet", "sha256": first["sha256"], "entries": 2, "written_in_program": False,
        "contracts": ["standard"],
    }  # fmt: skip
    assert call("GET", f"{LISTS}/outlet").body == b"BOOT-1\nOUT-*\n"
    assert call("GET", f"{LISTS}/winter").status == 404


def test_what_was_booked_by_a_list_stays_when_it_is_replaced(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    upload(call, "BOOT-1")
    assert admin("PUT", PUT, document(house.program, deepcopy(RULES))).status == 200
    sale = {"event_type": "sale", "partner": "nordlicht", "event_time": "2026-11-01T12:00:00+01:00", "currency": "EUR"}
    items = [{"sku": "BOOT-1", "quantity": 1, "amount": "100.00"}]
    call("POST", ACTIONS, {**sale, "order_id": "A-1", "items": items})
    replaced = upload(call, "SOCK")
    assert [(one["before"]["version"], one["after"]["version"]) for one in replaced["terms"]] == [(2, 3)]
    assert replaced["pending"]["partners"]["nordlicht"] == {"before": "2.00", "after": "8.00", "difference": "6.00"}
    shown = call("GET", f"{ACTIONS}/A-1~sale").json
    assert (shown["payout"], shown["items"][0]["rule"]) == ("2.00", 1)
    call("POST", MODIFICATIONS, {"order_id": "A-1", "change": "take_back", "amount": "50.00", "currency": "EUR"})
    assert call("GET", f"{ACTIONS}/A-1~sale").json["payout"] == "4.00"
    batch = call("GET", f"/v1/programs/{{p}}/batches/{replaced['batch']}/raw")
    assert batch.body == b"SOCK", "kept as it came, so that everything can be rebuilt from it"


def test_twenty_thousand_entries_are_a_list_and_one_more_is_not(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    every = [f"SKU-{number:05}-{number * 7919 % 100_003:06}" for number in range(20_001)]
    refused = call("PUT", f"{LISTS}/outlet", "\n".join(every).encode(), content_type="text/plain")
    assert (refused.status, refused.json["code"]) == (422, "LIST_INVALID")
    [error] = refused.json["errors"]
    assert error["line"] == 20_001 and "at most 20,000" in error["detail"]
    assert upload(call, "\n".join(every[:-1]))["entries"] == 20_000
    assert admin("PUT", PUT, document(house.program, deepcopy(RULES))).status == 200
    assert [quoted(call, sku) for sku in (every[0], every[-2], every[-1])] == ["2.00", "2.00", "8.00"]


@pytest.mark.parametrize(
    ("text", "line", "right"),
    [
        (b"A\nB*C\n", 2, "only at the end"),
        (b"sku,name\nA,Boot\n", 1, "one entry per line"),
        (b"\n\n", 1, "empty"),
        (b"A\nM\xfcller\n", 2, "UTF-8"),
        (b"A\n" + b"x" * 129, 2, "128"),
    ],
)
def test_what_is_wrong_with_a_list_is_told_by_line(call: Caller, text: bytes, line: int, right: str) -> None:
    refused = call("PUT", f"{LISTS}/outlet", text, content_type="application/octet-stream")
    if text.strip():
        assert refused.status == 422 and refused.json["errors"][0]["line"] == line
        assert right in refused.json["errors"][0]["detail"]
    else:
        assert refused.status == 422 and right in refused.json["errors"][0]["detail"]
    assert call("PUT", f"{LISTS}/No", b"A", content_type="text/plain").json["code"] == "LIST_NAME_INVALID"
