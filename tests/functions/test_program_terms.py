"""Programs applied through the API while orders are open: whose terms hold when, what is shown, what is refused."""

from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_api import ACTIONS, MODIFICATIONS, Caller, admin, call, sold, text_of

__all__ = ["admin", "call"]
QUOTE = "/v1/programs/{p}/quote"
PUT = "/v1/programs/{p}"
TODAY = "2026-11-02"
Document = dict[str, Any]


def terms(pays: str = "8%", **more: Any) -> Document:
    usual = {"event_type": "sale", "valid_from": "2026-01-01", "payout": pays, "lock": {"days_after_event": 30}}
    found = usual | more
    if "rules" in found:
        del found["payout"]
    return found


def document(program: str, **contracts: Document) -> Document:
    said = deepcopy(PROGRAM)
    said["contracts"] = contracts | {"leads": said["contracts"]["leads"]}
    return {"program": program, **said}


def apply(
    admin: Caller, house: ProgramHarness, status: int = 200, query: Any = None, **contracts: Document
) -> Document:
    written = yaml.safe_dump(document(house.program, **deepcopy(contracts)), sort_keys=False).encode()
    answer = admin("PUT", PUT, written, query=query or {})
    assert answer.status == status, answer.body
    return dict(answer.json)


def at(house: ProgramHarness, day: str, time: str = "12:00") -> None:
    house.clock.moment = datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=ZoneInfo("Europe/Berlin"))


def payout(call: Caller, order: str) -> str:
    return str(call("GET", f"{ACTIONS}/{order}~sale").json["payout"])


def order(call: Caller, house: ProgramHarness, name: str, partner: str = "xena", **more: Any) -> str:
    """An order of 100.00 reported the moment it happens."""
    now = (house.clock.moment - timedelta(minutes=1)).isoformat()
    sold(call, name, **({"partner": partner, "event_time": now} | more))
    return payout(call, name)


def quoted(call: Caller, partner: str) -> str:
    asked = {"event_type": "sale", "partner": partner, "amount": "100.00", "currency": "EUR"}
    return str(call("POST", QUOTE, asked).json["due"]["payout"])


def test_b1_a_partner_taken_off_the_list_and_a_contract_taken_out(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    at(house, TODAY)
    apply(admin, house, standard=terms(), vip=terms("20%", partners=["xena", "yuri"]))
    assert [quoted(call, who) for who in ("xena", "yuri", "zoe")] == ["20.00", "20.00", "8.00"]
    assert order(call, house, "Y-1", "yuri") == "20.00"
    apply(admin, house, standard=terms(), vip=terms("20%", partners=["xena"]))
    assert [quoted(call, who) for who in ("xena", "yuri")] == ["20.00", "8.00"]
    assert order(call, house, "Y-2", "yuri") == "8.00" and order(call, house, "X-1") == "20.00"
    apply(admin, house, standard=terms())
    assert [quoted(call, who) for who in ("xena", "yuri")] == ["8.00", "8.00"]
    assert order(call, house, "X-2") == "8.00"
    call("POST", MODIFICATIONS, {"order_id": "X-1", "change": "take_back", "amount": "50.00", "currency": "EUR"})
    assert payout(call, "X-1") == "4.00", "a change is priced by the terms of its moment"


def test_b2_an_announcement_is_withdrawn_by_the_old_text(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    at(house, TODAY)
    apply(admin, house, standard=terms())
    apply(admin, house, standard=terms("20%", valid_from="2026-11-03"))
    apply(admin, house, standard=terms())
    for day in (TODAY, "2026-11-03"):
        at(house, day)
        assert quoted(call, "xena") == "8.00" and order(call, house, f"X-{day}") == "8.00"


def test_b3_a_correction_with_an_earlier_start_holds(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    at(house, TODAY)
    apply(admin, house, standard=terms(valid_from="2026-06-01"))
    assert order(call, house, "X-1") == "8.00"
    apply(admin, house, standard=terms("10%"))
    call("POST", MODIFICATIONS, {"order_id": "X-1", "change": "take_back", "amount": "0.01", "currency": "EUR"})
    assert payout(call, "X-1") == "10.00"


def test_b6_an_open_action_keeps_the_way_of_locking_of_its_report(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    at(house, TODAY)
    counted = {"days_after_status": 21, "statuses": ["shipped"]}
    apply(admin, house, standard=terms(lock=counted))
    order(call, house, "X-1")
    order(call, house, "X-2")
    call("POST", MODIFICATIONS, {"order_id": "X-1", "change": "set_status", "status": "shipped"})
    apply(admin, house, standard=terms(lock={"days_after_event": 5}))
    call("POST", MODIFICATIONS, {"order_id": "X-2", "change": "set_status", "status": "shipped"})
    for name in ("X-1", "X-2"):
        shown = call("GET", f"{ACTIONS}/{name}~sale").json
        assert shown["locks_at"] == "2026-11-22T23:00:00.000Z" and shown["credit"]["expected"] == "2026-11-23", name


def test_b9_a_program_with_actions_keeps_its_currency_and_zone(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    other = document(house.program, standard=terms()) | {"currency": "USD", "time_zone": "Europe/Lisbon"}
    written = yaml.safe_dump(other, sort_keys=False).encode()
    assert admin("PUT", PUT, written, query={"dry_run": "true"}).status == 200
    at(house, TODAY)
    order(call, house, "X-1")
    refused = admin("PUT", PUT, written)
    assert refused.status == 422
    assert [(one["line"], one["key"]) for one in refused.json["errors"]] == [(3, "currency"), (4, "time_zone")]
    assert "EUR" in refused.json["errors"][0]["detail"] and admin("GET", PUT).json["currency"] == "EUR"


@pytest.mark.parametrize("names", [("standard", "vip"), ("vip", "standard")])
def test_b14_the_order_of_the_document_says_nothing(
    admin: Caller, call: Caller, house: ProgramHarness, names: tuple[str, str]
) -> None:
    both = {"standard": terms(), "vip": terms("20%", partners=["xena"])}
    apply(admin, house, **{name: both[name] for name in names})
    assert quoted(call, "xena") == "20.00"


def test_b15_b16_e27_a_promotion_belongs_to_the_orders_placed_in_it(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    at(house, "2026-11-20")
    apply(admin, house, standard=terms(rules=[{"pays": "20%", "until": "2026-11-27"}, {"pays": "8%"}]))
    at(house, "2026-11-28", "02:00")
    report = (
        "order_id,event_type,partner,event_time,currency,amount\nX-1,sale,xena,2026-11-27T18:00:00+01:00,EUR,100.00\n"
    )
    assert call("POST", ACTIONS, report.encode(), content_type="text/csv").json["counts"]["applied"] == 1
    order(call, house, "X-2", event_time="2026-11-28T00:30:00+01:00")
    assert (payout(call, "X-1"), payout(call, "X-2")) == ("20.00", "8.00")
    at(house, "2026-12-05")
    call("POST", MODIFICATIONS, {"order_id": "X-1", "change": "take_back", "amount": "10.00", "currency": "EUR"})
    assert payout(call, "X-1") == "18.00"


def test_b17_a_lock_ranked_by_the_payment_method(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    at(house, TODAY)
    ranked = [{"payment_method": ["direct_debit"], "days_after_event": 60}, {"days_after_event": 30}]
    apply(admin, house, standard=terms(lock=ranked))
    order(call, house, "X-1", payment_method="direct_debit", country="de")
    order(call, house, "X-2", payment_method="card")
    order(call, house, "X-3")
    shown = [call("GET", f"{ACTIONS}/X-{n}~sale").json for n in (1, 2, 3)]
    assert [one["locks_at"][:10] for one in shown] == ["2027-01-01", "2026-12-02", "2026-12-02"]
    assert (shown[0]["payment_method"], shown[0]["country"], shown[2]["country"]) == ("direct_debit", "DE", None)


def test_e25_terms_announced_by_editing_them_hold_from_their_day(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    at(house, "2026-11-20")
    apply(admin, house, standard=terms())
    apply(admin, house, standard=terms("20%", valid_from="2026-11-24"))
    at(house, "2026-11-21")
    assert order(call, house, "X-1") == "8.00"
    at(house, "2026-11-24")
    assert order(call, house, "X-2") == "20.00"
    assert order(call, house, "X-3", event_time="2026-11-23T23:00:00+01:00") == "8.00"


def test_groups_go_between_partners_and_all(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    said = document(
        house.program, standard=terms(), gold=terms("12%", groups=["gold"]), own=terms("20%", partners=["xena"])
    )
    said["groups"] = {"gold": ["xena", "yuri"]}
    assert admin("PUT", PUT, yaml.safe_dump(said).encode()).status == 200
    assert [quoted(call, who) for who in ("xena", "yuri", "zoe")] == ["20.00", "12.00", "8.00"]
    said["groups"] = {"gold": ["zoe"]}
    assert admin("PUT", PUT, yaml.safe_dump(said).encode()).status == 200
    assert [quoted(call, who) for who in ("xena", "yuri", "zoe")] == ["20.00", "8.00", "12.00"]


# Shown before


def test_whose_terms_change_when_and_what_pending_payouts_would_be(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    at(house, TODAY)
    apply(admin, house, standard=terms(), vip=terms("20%", partners=["xena", "yuri"]))
    order(call, house, "X-1")
    order(call, house, "Z-1", "zoe")
    looked = apply(
        admin, house, query={"dry_run": "true"},
        standard=terms("5%", valid_from="2026-12-01"), vip=terms("20%", partners=["yuri"]),
    )  # fmt: skip
    said = [
        (one["partners"], one["others"], one["from"], one["before"]["payout"], one["after"]["payout"])
        for one in looked["terms"]
    ]
    december = "2026-12-01T00:00:00+01:00"
    assert said == [
        (["xena"], False, None, "20%", "8%"),
        ([], True, december, "8%", "5%"),
        (["xena"], False, december, "20%", "5%"),
    ]
    assert looked["pending"]["changed"] == 2 and looked["pending"]["complete"]
    assert looked["pending"]["partners"] == {
        "xena": {"before": "20.00", "after": "5.00", "difference": "-15.00"},
        "zoe": {"before": "8.00", "after": "5.00", "difference": "-3.00"},
    }
    assert quoted(call, "xena") == "20.00", "nothing was written"
    assert "terms" not in apply(admin, house, standard=terms(), vip=terms("20%", partners=["xena", "yuri"]))


def test_a_document_that_leaves_open_actions_without_terms_is_refused(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    at(house, TODAY)
    apply(admin, house, standard=terms(), vip=terms("20%", partners=["xena"]))
    ending = {"standard": terms(valid_until="2026-11-30"), "vip": terms("20%", partners=["xena"])}
    assert apply(admin, house, query={"dry_run": "true"}, **ending)["changed"], "nobody has open actions yet"
    order(call, house, "X-1")
    assert apply(admin, house, query={"dry_run": "true"}, **ending)["changed"], "xena has terms that go on"
    order(call, house, "Z-1", "zoe")
    refused = apply(admin, house, 422, **ending)
    [error] = refused["errors"]
    assert error["key"] == "contracts.standard.valid_until" and "zoe" in error["detail"]
    assert "2026-12-01" in error["detail"] and "--leave-without-terms" in error["detail"]
    text = yaml.safe_dump(document(house.program, **ending), sort_keys=False).splitlines()
    assert "valid_until" in text[error["line"] - 1]
    assert apply(admin, house, query={"leave_without_terms": "true"}, **ending)["changed"]
    at(house, "2026-12-01")
    late = admin("POST", ACTIONS, {"order_id": "Z-2", "event_type": "sale", "partner": "zoe", "amount": "1.00",
                                   "currency": "EUR", "event_time": "2026-12-01T10:00:00+01:00"})  # fmt: skip
    assert late.json["outcomes"][0]["code"] == "CONTRACT_MISSING"


def test_versions_of_a_contract_that_lie_apart_are_refused(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    at(house, TODAY)
    apply(admin, house, standard=terms(valid_until="2026-11-30"))
    alone = apply(admin, house, 422, standard=terms("9%", valid_from="2026-12-03"))
    assert "begin on 2026-12-01 or earlier" in alone["errors"][0]["detail"], "also before anybody has open actions"
    order(call, house, "Z-1", "zoe")
    refused = apply(admin, house, 422, standard=terms("9%", valid_from="2026-12-03"))
    assert [(one["key"]) for one in refused["errors"]] == ["contracts.standard.valid_from"]
    assert apply(admin, house, standard=terms("9%", valid_from="2026-12-01"))["changed"]


# Both terms bases


def raising(admin: Caller, house: ProgramHarness, **more: Any) -> None:
    """12 % when the order is reported, 29.80 % later."""
    at(house, TODAY)
    apply(admin, house, standard=terms("12%", **more))
    raised = terms("30.1%", **more)
    order(admin, house, "X-1")
    apply(admin, house, standard=raised)


TAKEN = {"order_id": "X-1", "change": "take_back", "amount": "1.00", "currency": "EUR"}


def test_b10_a_return_that_would_raise_the_payout_is_warned_of_with_both_terms(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    raising(admin, house)
    for query in ({"dry_run": "true"}, {}):
        [said] = call("POST", MODIFICATIONS, TAKEN, query=query).json["outcomes"]
        assert (said["outcome"], said["code"]) == ("applied", "PAYOUT_RAISED")
        assert said["effect"]["payout"] == {"before": "12.00", "after": "29.80"}
        assert said["other_basis"] == {"basis": "at_action", "payout": "11.88"}
        assert "from 12.00 EUR to 29.80 EUR" in said["explanation"]
    [entry] = call("GET", f"{ACTIONS}/X-1~sale").json["history"]
    record = call("GET", f"{MODIFICATIONS}/{entry['id']}").json
    for one in (entry, record):
        assert (one["code"], one["other_basis"]["payout"]) == ("PAYOUT_RAISED", "11.88")
    assert payout(call, "X-1") == "29.80"


def test_b10_the_preview_of_a_file_and_of_an_act_say_so_too(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    raising(admin, house)
    rows = b"reference,order_id,change,amount,currency\nr1,X-1,take_back,1.00,EUR\n"
    query = {"name": "may.csv", "dry_run": "true"}
    said = call("POST", "/v1/programs/{p}/files", rows, query=query, content_type="text/csv").json
    found = said.get("outcomes") or call("GET", f"/v1/programs/{{p}}/batches/{said['batch']}").json["outcomes"]
    assert [(one["code"], one["other_basis"]["payout"]) for one in found] == [("PAYOUT_RAISED", "11.88")]
    act = {"change": "take_back", "amount": "1.00", "currency": "EUR", "reason": "ITEM_RETURNED"}
    shown = call("POST", f"{ACTIONS}/X-1~sale/modify", act, query={"dry_run": "true"}).json
    assert shown["outcomes"][0]["code"] == "PAYOUT_RAISED"
    assert shown["standings"][0]["other_basis"] == {"basis": "at_action", "payout": "11.88"}
    assert payout(call, "X-1") == "12.00"


def test_by_the_terms_of_the_action_the_other_basis_is_that_of_the_change(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    raising(admin, house, terms_basis="at_action")
    [said] = call("POST", MODIFICATIONS, TAKEN, query={"dry_run": "true"}).json["outcomes"]
    assert (said["code"], said["effect"]["payout"]["after"]) == ("", "11.88")
    assert said["other_basis"] == {"basis": "at_modification", "payout": "29.80"}


def test_applying_says_which_messages_the_basis_of_a_source_takes(admin: Caller, call: Caller) -> None:
    sources = {
        **PROGRAM["sources"],
        "payments": {"channel": "api", "kind": "stripe"},
        "web": {"channel": "api", "kind": "shopify", "order_id_field": "name"},
        "store": {"channel": "api", "kind": "woocommerce"},
    }

    def told(dry_run: str, **changes: Any) -> dict[str, Any]:
        body = text_of(call.program, sources={**sources, **changes}, language="de")
        answer = admin("PUT", "/v1/programs/{p}", body, query={"dry_run": dry_run})
        assert answer.status == 200, answer.body
        return {one["source"]: one for one in answer.json.get("subscriptions", ())}

    for dry_run in ("true", "false"):
        found = told(dry_run)
        assert {name: (one["basis"], one["needs_names"]) for name, one in found.items()} == {
            "payments": ("order_total", True),
            "web": ("goods", True),
            "store": ("order_total", False),
        }
        assert "charge.succeeded" in found["payments"]["explanation"]
        assert "Abonnieren Sie" in found["payments"]["explanation"]
        assert "orders/create" in found["web"]["explanation"]
    assert told("false") == {}, "said once"
    goods = told("false", payments={"channel": "api", "kind": "stripe", "basis": "goods"})
    assert [(one["source"], one["needs_names"]) for one in goods.values()] == [("payments", False)]
