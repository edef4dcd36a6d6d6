"""Payments over the API: proposed, approved by a second person, handed out, confirmed; and everything refused."""

import csv
import io
import json
from importlib.resources import files
from typing import Any

import pytest
from lxml import etree
from tests.conftest import ProgramHarness
from tests.functions.test_api import Answer, Caller, admin, call
from tests.functions.test_statements import PAYER, at, passed, program, shop

from retour.domain.delivery import Channel, DeliveryKind
from retour.money import acts
from retour.store.payments import Payments
from retour.store.programs import Principal

__all__ = ["admin", "call"]
PAYMENTS, ACCOUNTS, TAX = (f"/v1/programs/{{p}}/{what}" for what in ("payments", "payout-accounts", "tax-treatments"))
STATEMENTS, PROPOSE = "/v1/programs/{p}/statements", f"{PAYMENTS}/propose"
IBANS = {
    "xena": "DE89370400440532013000",
    "yuri": "FR1420041010050500013M02606",
    "nordlicht": "NL91ABNA0417164300",
    "zoe": "AT611904300234573201",
}


def person(house: ProgramHarness, name: str, role: str = "finance") -> Caller:
    key = f"rk_{house.program}_{name}_{role}"
    house.hub.programs.grant(key, Principal(house.program, role, name))
    return Caller(key, house.program)


def account(call: Caller, partner: str, **more: str) -> Answer:
    return call(
        "POST", ACCOUNTS, {"partner": partner, "holder": f"Grüße & Söhne {partner}", "iban": IBANS[partner]} | more
    )


def taxed(call: Caller, partner: str) -> Answer:
    return call("POST", TAX, {"partner": partner, "treatment": "small_business", "country": "DE"})


@pytest.fixture
def stated(house: ProgramHarness, admin: Caller) -> ProgramHarness:
    """Two statements of 4 December: xena 8.00, yuri 16.00; due on the 15th."""
    house.apply(
        shop(house, default={"statement": {"day": 4}, "paid": {"day": 15}, "minimum_payout": "5.00", "series": "AC-",
                             "payer": PAYER})
    )  # fmt: skip
    at(house, "2026-11-02T12:00")
    for partner, amount in (("xena", "100.00"), ("yuri", "200.00")):
        house.report({"order_id": f"A-{partner}", "amount": amount, "partner": partner})
    passed(house, "2026-12-04T01:00")
    return house


@pytest.fixture
def ready(stated: ProgramHarness, call: Caller) -> ProgramHarness:
    """Both have an account that has waited, and a tax treatment; it is the 15th."""
    for partner in ("xena", "yuri"):
        assert account(call, partner).status == taxed(call, partner).status == 200
    assert call("POST", ACCOUNTS, {"billing_group": "default", "holder": "Acme Shoes GmbH",
                                   "iban": "DE02120300000000202051", "bic": "BYLADEM1001"}).status == 200  # fmt: skip
    at(stated, "2026-12-15T09:00")
    return stated


def proposed(call: Caller, **asked: Any) -> dict[str, Any]:
    answer = call("POST", PROPOSE, asked or None)
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    return found


def approved(house: ProgramHarness, call: Caller) -> str:
    batch = str(proposed(call)["id"])
    answer = person(house, "Bea")("POST", f"{PAYMENTS}/{batch}/approve", {})
    assert answer.status == 200, answer.body
    return batch


def confirm(call: Caller, batch: str, *rows: dict[str, str]) -> dict[str, Any]:
    answer = call("POST", f"{PAYMENTS}/{batch}/confirm", {"results": [*rows]})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def states(call: Caller) -> dict[str, str]:
    return {one["partner"]: one["payment"]["state"] for one in call("GET", STATEMENTS).json["items"]}


def left_out(batch: dict[str, Any]) -> dict[str, str]:
    return {one["partner"]: one["code"] for one in batch["left_out_of_it"]}


# The way of a payment


def test_from_a_proposal_to_paid(ready: ProgramHarness, call: Caller) -> None:
    batch = proposed(call)
    assert (batch["state"], batch["total"], batch["transfers"]) == ("proposed", "24.00", 2)
    assert [(one["partner"], one["amount"], one["account"]) for one in batch["payments"]] == [
        ("xena", "8.00", "3000"), ("yuri", "16.00", "2606"),
    ]  # fmt: skip
    bea = person(ready, "Bea")
    assert (
        bea("POST", f"{PAYMENTS}/{batch['id']}/approve", {"contents": batch["contents"]}).json["approved_by"] == "Bea"
    )
    assert states(call) == {"xena": "in_payment", "yuri": "in_payment"}
    told = call("POST", f"{PAYMENTS}/{batch['id']}/confirm", {"status": "paid", "day": "2026-12-15"}).json
    assert told["counts"] == {"applied": 2} and told["payment_batch"]["state"] == "settled"
    action = call("GET", "/v1/programs/{p}/actions/A-xena~sale").json
    assert action["state"] == "paid" and action["statement"]["payment"] == {
        "state": "paid", "batch": batch["id"], "day": "2026-12-15", "reason": None,
    }  # fmt: skip
    assert call("POST", PROPOSE).status == 422, "nothing is left to pay"


def test_who_is_not_in_it_and_why(stated: ProgramHarness, call: Caller) -> None:
    at(stated, "2026-12-14T09:00")
    answer = call("POST", PROPOSE)
    assert answer.status == 422 and answer.json["code"] == "BATCH_EMPTY"
    assert left_out(answer.json) == {"xena": "PAYMENT_NOT_DUE", "yuri": "PAYMENT_NOT_DUE"}
    at(stated, "2026-12-15T09:00")
    assert left_out(call("POST", PROPOSE).json) == dict.fromkeys(("xena", "yuri"), "PAYMENT_NO_TAX_TREATMENT")
    for partner in ("xena", "yuri"):
        taxed(call, partner)
    assert left_out(call("POST", PROPOSE).json) == dict.fromkeys(("xena", "yuri"), "PAYMENT_NO_ACCOUNT")
    account(call, "xena")
    at(stated, "2026-12-18T10:00")
    account(call, "yuri")
    at(stated, "2026-12-18T11:00")
    batch = proposed(call)
    assert [one["partner"] for one in batch["payments"]] == ["xena"]
    assert left_out(batch) == {"yuri": "PAYMENT_ACCOUNT_TOO_NEW"}, "changed an hour before the batch"
    [why] = [one["explanation"] for one in batch["left_out_of_it"]]
    assert "72 hours" in why and "21 December 2026" in why


def test_the_payment_waits_for_the_last_possible_return(stated: ProgramHarness, call: Caller) -> None:
    document = shop(stated, default={"statement": {"day": 4}, "paid": {"day": 15}, "series": "AC-"})
    document["event_types"]["sale"] = {"returns": {"window_days": 44, "lag_days": 1}}
    stated.apply(document)
    for partner in ("xena", "yuri"):
        account(call, partner), taxed(call, partner)
    at(stated, "2026-12-16T09:00")
    answer = call("POST", PROPOSE)
    assert left_out(answer.json) == dict.fromkeys(("xena", "yuri"), "PAYMENT_RETURN_POSSIBLE")
    assert "16 December 2026" in answer.json["left_out_of_it"][0]["explanation"]
    at(stated, "2026-12-17T09:00")
    assert proposed(call)["payments"][0]["notes"] == []


def test_a_day_a_group_and_partners_may_be_asked_for(ready: ProgramHarness, call: Caller) -> None:
    at(ready, "2026-12-10T09:00")
    dry = call("POST", PROPOSE, {"day": "2026-12-15", "partners": ["yuri"]}, query={"dry_run": "true"})
    assert dry.status == 200 and [one["partner"] for one in dry.json["payments"]] == ["yuri"]
    assert call("GET", PAYMENTS).json["items"] == []
    for wrong in ({"day": "2026-12-09"}, {"day": "soon"}, {"day": 5}, {"day": "2027-12-15"}, {"billing_group": "x"},
                  {"partners": "yuri"}, {"partners": [1]}):  # fmt: skip
        answer = call("POST", PROPOSE, wrong)
        assert answer.status == 422 and answer.json["code"] == "PAYMENT_FIELD", wrong


# Four eyes


def test_only_a_second_person_of_finance_approves(ready: ProgramHarness, call: Caller, admin: Caller) -> None:
    ana, bea = person(ready, "Ana"), person(ready, "Bea")
    batch = proposed(ana)["id"]
    approve = f"{PAYMENTS}/{batch}/approve"
    for who in (call, admin, person(ready, "Max", "merchant")):
        answer = who("POST", approve, {})
        assert answer.status == 403 and answer.json["code"] == "FINANCE_ONLY"
    answer = ana("POST", approve, {})
    assert answer.status == 403 and answer.json["code"] == "FOUR_EYES" and "Ana" in answer.json["detail"]
    assert bea("POST", approve, {"contents": "0" * 64}).json["code"] == "BATCH_CHANGED"
    for what in ("export", "confirm"):
        query = {"format": "csv"} if what == "export" else None
        early = bea("GET" if what == "export" else "POST", f"{PAYMENTS}/{batch}/{what}",
                    None if what == "export" else {"status": "paid"}, query=query)  # fmt: skip
        assert early.status == 409 and early.json["code"] == "BATCH_NOT_APPROVED"
    assert bea("POST", approve, {}).status == 200
    again = bea("POST", approve, {})
    assert again.status == 409 and again.json["code"] == "BATCH_APPROVED"


def test_who_changed_an_account_does_not_approve_its_payment(ready: ProgramHarness, call: Caller) -> None:
    bea = person(ready, "Bea")
    at(ready, "2026-12-10T09:00")
    assert account(bea, "xena", iban=IBANS["zoe"]).json["changed"]
    at(ready, "2026-12-15T09:00")
    batch = proposed(call)["id"]
    answer = bea("POST", f"{PAYMENTS}/{batch}/approve", {})
    assert answer.status == 403 and "xena" in answer.json["detail"]


def test_the_same_contents_twice_and_a_day_that_is_over_are_refused(ready: ProgramHarness, call: Caller) -> None:
    batch = proposed(call)["id"]
    again = call("POST", PROPOSE)
    assert again.status == 409 and batch in again.json["detail"]
    at(ready, "2026-12-16T09:00")
    answer = person(ready, "Bea")("POST", f"{PAYMENTS}/{batch}/approve", {})
    assert answer.status == 409 and answer.json["code"] == "BATCH_STALE"


def test_what_changed_after_the_proposal_is_not_approved(ready: ProgramHarness, call: Caller) -> None:
    batch = proposed(call)["id"]
    account(call, "yuri", iban=IBANS["zoe"])
    answer = person(ready, "Bea")("POST", f"{PAYMENTS}/{batch}/approve", {})
    assert answer.status == 409 and answer.json["code"] == "BATCH_CHANGED"
    assert [one["code"] for one in answer.json["changed"]] == ["PAYMENT_ACCOUNT_TOO_NEW"]
    assert states(call) == {"xena": "open", "yuri": "open"}


def test_an_account_changed_after_the_approval_is_paid_neither_way(ready: ProgramHarness, call: Caller) -> None:
    batch, bea = approved(ready, call), person(ready, "Bea")
    account(call, "yuri", iban=IBANS["zoe"])
    answer = bea("GET", f"{PAYMENTS}/{batch}/export", query={"format": "pain001"})
    assert answer.status == 409 and "yuri" in answer.json["detail"]


def test_two_batches_never_hold_one_statement(ready: ProgramHarness, call: Caller) -> None:
    bea = person(ready, "Bea")
    both, one = proposed(call)["id"], proposed(call, partners=["xena"])["id"]
    assert bea("POST", f"{PAYMENTS}/{one}/approve", {}).status == 200
    answer = bea("POST", f"{PAYMENTS}/{both}/approve", {})
    assert answer.status == 409 and answer.json["code"] == "BATCH_CHANGED"
    assert states(call) == {"xena": "in_payment", "yuri": "open"}


def test_of_two_approvals_at_once_one_wins(
    ready: ProgramHarness, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    bea = person(ready, "Bea")
    both, one = proposed(call)["id"], proposed(call, partners=["xena"])["id"]
    with monkeypatch.context() as patched:
        patched.setattr(Payments, "approved", lambda _: 0)
        assert bea("POST", f"{PAYMENTS}/{one}/approve", {}).status == 200
        patched.setattr("retour.money.payments.changed_since", lambda *_: [])
        answer = bea("POST", f"{PAYMENTS}/{both}/approve", {})
    assert answer.status == 409 and answer.json["code"] == "PAYMENTS_MOVED"
    assert states(call) == {"xena": "in_payment", "yuri": "open"}


# For the bank


def schema() -> etree.XMLSchema:
    path = files("sepaxml").joinpath("schemas/pain.001.001.09.xsd")
    return etree.XMLSchema(etree.fromstring(path.read_bytes()))


def test_the_export_is_valid_pain_001_and_the_same_again(ready: ProgramHarness, call: Caller) -> None:
    batch, bea = approved(ready, call), person(ready, "Bea")
    answer = bea("GET", f"{PAYMENTS}/{batch}/export", query={"format": "pain001"})
    assert answer.status == 200, answer.body
    root = etree.fromstring(answer.body)
    schema().assertValid(root)
    said = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"}

    def texts(path: str) -> list[str]:
        return [str(one.text) for one in root.findall(f".//p:{path}", said)]

    assert texts("GrpHdr/p:CtrlSum") == texts("PmtInf/p:CtrlSum") == ["24.00"] and texts("PmtInf/p:NbOfTxs") == ["2"]
    assert texts("InstdAmt") == ["8.00", "16.00"] and texts("CdtrAcct/p:Id/p:IBAN") == [IBANS["xena"], IBANS["yuri"]]
    assert texts("Cdtr/p:Nm") == ["Grusse + Sohne xena", "Grusse + Sohne yuri"], "in the letters that banks take"
    assert texts("Ustrd") == ["AC-00001", "AC-00002"] and texts("ReqdExctnDt/p:Dt") == ["2026-12-15"]
    assert texts("DbtrAgt/p:FinInstnId/p:BICFI") == ["BYLADEM1001"] and not texts("CdtrAgt")
    ids = texts("EndToEndId")
    assert len({*ids}) == 2 and all(one.isalnum() and len(one) == 30 for one in ids)
    at(ready, "2026-12-15T19:00")
    assert bea("GET", f"{PAYMENTS}/{batch}/export", query={"format": "pain001"}).body == answer.body
    rows = list(csv.DictReader(io.StringIO(
        bea("GET", f"{PAYMENTS}/{batch}/export", query={"format": "csv"}).body.decode("utf-8-sig"))))  # fmt: skip
    assert [(row["partner"], row["iban"], row["amount"], row["end_to_end_id"]) for row in rows] == [
        ("xena", IBANS["xena"], "8.00", ids[0]), ("yuri", IBANS["yuri"], "16.00", ids[1]),
    ]  # fmt: skip


def test_only_finance_hands_out_and_the_payer_must_be_known(stated: ProgramHarness, call: Caller) -> None:
    for partner in ("xena", "yuri"):
        account(call, partner), taxed(call, partner)
    at(stated, "2026-12-15T09:00")
    batch, bea = approved(stated, call), person(stated, "Bea")
    export = f"{PAYMENTS}/{batch}/export"
    assert call("GET", export, query={"format": "csv"}).json["code"] == "FINANCE_ONLY"
    answer = bea("GET", export, query={"format": "pain001"})
    assert answer.status == 409 and "--group default" in answer.json["detail"]
    assert bea("GET", export, query={"format": "csv"}).status == 200
    assert bea("GET", export, query={"format": "pdf"}).status == 400 and bea("GET", export).status == 400


# What became of it


def test_a_failed_payment_is_payable_again(ready: ProgramHarness, call: Caller) -> None:
    batch, bea = approved(ready, call), person(ready, "Bea")
    rows = [
        {"partner": "xena", "status": "failed", "reason": "AC04 account closed"},
        {"partner": "yuri", "status": "paid"},
    ]
    assert confirm(call, batch, *rows)["counts"] == {"applied": 2}
    assert states(call) == {"xena": "failed", "yuri": "paid"}
    assert call("GET", "/v1/programs/{p}/actions/A-xena~sale").json["state"] == "locked"
    again = proposed(call)
    assert [(one["partner"], one["failed_in"]) for one in again["payments"]] == [("xena", [batch])]
    assert bea("POST", f"{PAYMENTS}/{again['id']}/approve", {}).status == 200
    late = confirm(call, batch, {"partner": "xena", "status": "paid"})["outcomes"][0]
    assert late["outcome"] == "refused" and late["code"] == "CONFIRMATION_AFTER_FAILURE"
    confirm(call, again["id"], {"partner": "xena", "status": "paid"})
    assert states(call) == {"xena": "paid", "yuri": "paid"}
    assert confirm(call, batch, rows[0])["counts"] == {"unchanged": 1}
    assert states(call) == {"xena": "paid", "yuri": "paid"}, "what an older batch says does not reach a newer one"


def test_what_was_paid_may_come_back(ready: ProgramHarness, call: Caller) -> None:
    batch = approved(ready, call)
    confirm(call, batch, {"partner": "xena", "status": "paid"})
    assert confirm(call, batch, {"partner": "xena", "status": "failed", "reason": "returned"})["counts"] == {
        "applied": 1
    }
    assert states(call)["xena"] == "failed" and [one["partner"] for one in proposed(call)["payments"]] == ["xena"]


def test_the_same_confirmation_twice_changes_nothing(ready: ProgramHarness, call: Caller) -> None:
    batch = approved(ready, call)
    rows = [{"partner": partner, "status": "paid"} for partner in ("xena", "yuri")]
    assert confirm(call, batch, *rows)["counts"] == {"applied": 2}
    before = call("GET", f"{PAYMENTS}/{batch}").json
    assert confirm(call, batch, *rows)["counts"] == {"unchanged": 2}
    assert confirm(call, batch, *rows, *rows)["counts"] == {"unchanged": 4}
    assert call("GET", f"{PAYMENTS}/{batch}").json == before


def test_a_csv_says_it_row_by_row(ready: ProgramHarness, call: Caller) -> None:
    batch = approved(ready, call)
    ids = {one["partner"]: one["end_to_end_id"] for one in call("GET", f"{PAYMENTS}/{batch}").json["payments"]}
    lines = [
        "end_to_end_id;partner;status;day;reason;amount;currency",
        f"{ids['xena']};xena;paid;2026-12-15;;8.00;EUR",
        f"{ids['yuri']};;failed;2026-12-15;AC04;16.00;EUR",
        ";nobody;paid;;;;",
        f"{ids['xena']};yuri;paid;;;;",
        ";yuri;maybe;;;;",
        ";yuri;failed;;;;",
        ";yuri;paid;2027-01-01;;;",
        ";yuri;paid;15.12.2026;;;",
        ";yuri;paid;;;16.01;",
        ";yuri;paid;;;16.00;USD",
        ";yuri;paid;;;many;",
        ";yuri;paid",
        ";yuri;paid;;;;",
    ]
    answer = call("POST", f"{PAYMENTS}/{batch}/confirm", "\n".join(lines).encode(), content_type="text/csv")
    assert answer.status == 200, answer.body
    assert [(one["record"], one.get("code", one["outcome"])) for one in answer.json["outcomes"]] == [
        ("2", "applied"), ("3", "applied"), ("4", "CONFIRMATION_UNKNOWN"), ("5", "CONFIRMATION_UNKNOWN"),
        ("6", "CONFIRMATION_STATUS"), ("7", "CONFIRMATION_REASON"), ("8", "CONFIRMATION_DAY"),
        ("9", "CONFIRMATION_DAY"),
        ("10", "CONFIRMATION_AMOUNT"), ("11", "CONFIRMATION_AMOUNT"), ("12", "CONFIRMATION_AMOUNT"),
        ("13", "CONFIRMATION_WIDTH"), ("14", "CONFIRMATION_TWICE"),
    ]  # fmt: skip
    assert all(one["explanation"] for one in answer.json["outcomes"] if one["outcome"] == "refused")
    assert states(call) == {"xena": "paid", "yuri": "failed"}


NOTHING_CONFIRMED = (
    b"", b"{}", b"[]", b'{"results": []}', b'{"results": [5]}', b'{"results": [{"x": 1}]}', b"partner,when\nx,1",
    b"status,x,partner\n", b"\xff",
)  # fmt: skip


@pytest.mark.parametrize("body", NOTHING_CONFIRMED)
def test_what_confirms_nothing_is_refused_with_what_is_right(ready: ProgramHarness, call: Caller, body: bytes) -> None:
    batch = approved(ready, call)
    kind = "application/json" if body[:1] in (b"{", b"[", b"") else "text/csv"
    answer = call("POST", f"{PAYMENTS}/{batch}/confirm", body, content_type=kind)
    assert 400 <= answer.status < 500 and answer.json["detail"]


# Who is paid


@pytest.mark.parametrize(
    ("iban", "says"),
    [
        ("DE89370400440532013001", "check digits"),
        ("DE8937040044053201300", "length"),
        ("XX89370400440532013000", "country"),
        ("", "must be an IBAN"),
        ("D€89370400440532013000", "IBAN"),
    ],
)
def test_a_wrong_iban_is_refused_and_not_quoted(house: ProgramHarness, call: Caller, iban: str, says: str) -> None:
    answer = account(call, "xena", iban=iban)
    assert answer.status == 422 and answer.json["code"] == "PAYEE_INVALID", answer.body
    assert says in answer.json["detail"]
    assert len(iban) < 10 or iban not in answer.json["detail"], "no whole number in an answer, which is kept in logs"


def test_accounts_are_known_by_their_last_four_signs_only(
    house: ProgramHarness, call: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    account(call, "xena", iban="de89 3704 0044 0532 0130 00")
    assert account(call, "xena").json["changed"] is False, "the same again changes nothing, and waits no longer"
    [one] = call("GET", ACCOUNTS).json["items"]
    assert (one["partner"], one["country"], one["account"]) == ("xena", "DE", "3000")
    stored = everything(house)
    assert "0532013000" not in stored and "Söhne" not in stored and "0532013000" not in caplog.text
    vault = house.hub.account_vault(house.program)
    id_ = house.hub.payments(house.program).payees("A#")["xena"]["id"]
    assert vault.open("partner/xena", id_)["iban"] == IBANS["xena"]
    with pytest.raises(KeyError):
        vault.open("partner/yuri", id_)


def everything(house: ProgramHarness) -> str:
    """All that the table and the bucket hold, as text."""
    pages = house.hub._dynamodb.get_paginator("scan").paginate(TableName=house.hub.settings.ledger_table)
    items = [str(item) for page in pages for item in page["Items"] if house.program in str(item)]
    keys = house.hub.inbox.client.list_objects_v2(Bucket=house.hub.settings.inbox_bucket).get("Contents", ())
    bodies = [
        house.hub.inbox.read(one["Key"]).decode("utf-8", "replace") for one in keys if house.program in one["Key"]
    ]
    raws = [house.hub.deliveries(house.program).body(header).decode("utf-8", "replace")
            for header in house.hub.deliveries(house.program).newest(f"{house.clock.moment:%Y%m%d}")]  # fmt: skip
    return "\n".join([*items, *bodies, *raws])


def test_one_account_at_two_partners_is_told_to_who_approves(ready: ProgramHarness, call: Caller) -> None:
    at(ready, "2026-12-10T09:00")
    account(call, "yuri", iban=IBANS["xena"])
    at(ready, "2026-12-15T09:00")
    assert all("same payout account" in " ".join(one["notes"]) for one in proposed(call)["payments"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"treatment": "none"}, {"treatment": "reverse_charge"}, {"treatment": "domestic_vat", "tax_id": ""},
        {"country": "Germany"}, {"partner": ""}, {"treatment": "reverse_charge", "tax_id": "123"},
    ],
)  # fmt: skip
def test_a_tax_treatment_has_what_it_needs(house: ProgramHarness, call: Caller, wrong: dict[str, str]) -> None:
    given = {"partner": "xena", "treatment": "small_business", "country": "DE"}
    answer = call("POST", TAX, given | wrong)
    assert answer.status == 422 and answer.json["code"] == "PAYEE_INVALID" and answer.json["detail"]


def test_others_may_only_look(ready: ProgramHarness, call: Caller) -> None:
    manager = person(ready, "Max", "manager")
    assert manager("GET", PAYMENTS).status == 200
    for path, body in ((PROPOSE, {}), (ACCOUNTS, {}), (TAX, {})):
        assert manager("POST", path, body).json["code"] == "FINANCE_ONLY", path
    assert call("GET", f"{PAYMENTS}/2026-12-15~000000000000").status == 404
    assert call("GET", f"{PAYMENTS}/x").status == 404


# Stored first, and carried out again


def test_the_stored_acts_alone_make_the_same_payments(
    ready: ProgramHarness, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = approved(ready, call)
    confirm(
        call, batch, {"partner": "xena", "status": "paid"}, {"partner": "yuri", "status": "failed", "reason": "AC04"}
    )
    before = snapshot(ready.hub.payments(ready.program), batch)
    deliveries = ready.hub.deliveries(ready.program)
    told = [
        (one.delivery, deliveries.body(one))
        for day in ("20261204", "20261215")
        for one in deliveries.between(f"{day}T000000000Z", f"{day}T235959999Z")
        if one.delivery.kind is DeliveryKind.MONEY
    ]
    assert len(told) == 8 and all(one.channel is Channel.CONSOLE for one, _ in told)
    other = f"{ready.program}-again"
    again = Payments(ready.hub._dynamodb, ready.hub.settings.ledger_table, other)
    monkeypatch.setattr(type(ready.hub), "payments", lambda *_: again)
    for _ in range(2):
        for delivery, body in sorted(told, key=lambda one: one[0].received_at):
            acts.perform(ready.hub, delivery, body)
        assert snapshot(again, batch) == before


def snapshot(payments: Payments, batch: str) -> Any:
    return json.loads(json.dumps([
        payments.batch(batch), payments.approval(batch), payments.results(batch), payments.all_statements(),
        [*payments.transfers(batch)], payments.payees("A#"), payments.payees("T#"), payments.payees("G#"),
    ]))  # fmt: skip


class KilledError(Exception):
    pass


@pytest.mark.parametrize("act", ["approve", "confirm"])
def test_a_worker_that_dies_in_an_act_is_followed_by_another(
    ready: ProgramHarness, call: Caller, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    batch = proposed(call)["id"] if act == "approve" else approved(ready, call)
    body = {} if act == "approve" else {"status": "paid"}

    def die(*_: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(Payments, "put_statement", die)
        assert person(ready, "Bea")("POST", f"{PAYMENTS}/{batch}/{act}", body).status == 500
    assert acts.take_up_open(ready.hub, program(ready), lambda: True) == 1
    assert set(states(call).values()) == {"in_payment" if act == "approve" else "paid"}
    assert acts.take_up_open(ready.hub, program(ready), lambda: True) == 0
