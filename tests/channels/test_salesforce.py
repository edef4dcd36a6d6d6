"""Pushes are hints, records become rows; garbage becomes neither an error nor a row."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retour.channels import salesforce
from retour.channels.salesforce import (
    Push,
    Resync,
    change_entry,
    id18,
    is_same_id,
    parse_change_event,
    parse_outbound_message,
    rows,
)
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Ignored, Refusal, Row

ORG = "00D5e000001Ret0EAC"
CASE = "5005e0000000001AAA"
SOURCE = Source(
    name="crm",
    channel=Channel.SALESFORCE,
    order_by="occurred_at",
    options={
        "org_id": ORG,
        "object": "Case",
        "fields": {
            "order_id": "Order__r.Number__c",
            "status": "Status",
            "amount": "Refund__c",
            "quantity": "Units__c",
            "currency": "CurrencyIsoCode",
            "reason": "Reason__c",
        },
        "statuses": {
            "Returned": "reverse",
            "Partly returned": "take_back",
            "New total": "set_total",
            "Ok": "approve",
            "New": "nothing",
            "Reopened": "restore",
        },
    },
)


def message(*records: str, org: str = ORG, prefix: str = "sf", before: str = "") -> bytes:
    notifications = "".join(
        f'<Notification><Id>04l{n:012d}AAA</Id><sObject xsi:type="{prefix}:Case"'
        f' xmlns:{prefix}="urn:sobject.enterprise.soap.sforce.com"><{prefix}:Id>{record}</{prefix}:Id>'
        f"<{prefix}:Subject>Id</{prefix}:Subject></sObject></Notification>"
        for n, record in enumerate(records)
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}'
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Body>'
        f'<notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>{org}</OrganizationId>'
        f'<ActionId>04k000000000001AAA</ActionId><SessionId xsi:nil="true"/>{notifications}</notifications>'
        "</e:Body></e:Envelope>"
    ).encode()


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("001A0000006Vm9r", "001A0000006Vm9rIAC"),
        ("0018000000JmWFI", "0018000000JmWFIAA3"),
        ("00D000000000062", "00D000000000062EAA"),
    ],
)
def test_ids_of_15_and_18_characters(short: str, long: str) -> None:
    assert id18(short) == long
    assert id18(long) == long
    assert is_same_id(short, long)


@pytest.mark.parametrize(
    "none", ["", "001A", "001A0000006Vm9", "001A0000006Vm9rI", "001A0000006Vm9ü", "001A0000006Vm9r\n"]
)
def test_what_is_no_id(none: str) -> None:
    assert id18(none) is None
    assert not is_same_id(none, none)


def test_ids_that_differ_in_case_are_different() -> None:
    assert not is_same_id("001A0000006Vm9r", "001a0000006Vm9r")


@pytest.mark.parametrize("prefix", ["sf", "x"])
def test_an_outbound_message_names_records(prefix: str) -> None:
    push = parse_outbound_message(message("5005e0000000001", CASE, "5005e0000000002AAA", prefix=prefix))
    assert push == Push(ORG, "Case", (CASE, "5005e0000000002AAA"), tuple(f"04l{n:012d}AAA" for n in range(3)))


def test_a_poisoned_notification_costs_only_itself() -> None:
    push = parse_outbound_message(message("<evil/>", CASE, "not an id"))
    assert isinstance(push, Push)
    assert push.records == (CASE,)


BILLION = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"\xff\xfe\x00",
        b"<a/>",
        message(),
        message(CASE, org="00D"),
        message(CASE, org=""),
        message(CASE).replace(b"soap.sforce.com/2005", b"example.com/2005"),
        message(CASE, before=BILLION),
        message(CASE, before='<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd">'),
        message(CASE, before='<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd">').decode().encode("utf-16"),
        message(CASE)[:-20],
        message(*(f"500{n:012d}" for n in range(101))),
        b"<a>" * 100_000,
        message(CASE).replace(b'encoding="UTF-8"', b'encoding="nonsense"'),
    ],
)
def test_what_is_no_outbound_message_is_refused(body: bytes) -> None:
    refusal = parse_outbound_message(body)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "NOT_AN_OUTBOUND_MESSAGE"
    assert rows(body, {}, SOURCE) == refusal or not body.startswith(b"<")


def test_a_hundred_notifications_are_read() -> None:
    push = parse_outbound_message(message(*(f"500{n:012d}" for n in range(100))))
    assert isinstance(push, Push)
    assert len(push.records) == 100


def test_the_acknowledgement_is_the_wsdls() -> None:
    from xml.etree import ElementTree

    response = ElementTree.fromstring(salesforce.ACK.encode())
    [ack] = response.iter("{http://soap.sforce.com/2005/09/outbound}Ack")
    assert ack.text == "true"
    assert [each.tag for each in response.iter()][2] == "{http://soap.sforce.com/2005/09/outbound}notificationsResponse"


def event(**header: Any) -> dict[str, Any]:
    full = {"entityName": "Case", "changeType": "UPDATE", "recordIds": [CASE], "commitNumber": 1745500706683617281}
    payload = {"ChangeEventHeader": full | header, "Status": "Returned"}
    source = f"aws.partner/salesforce.com/{ORG}/0YL5e0000000001GAA"
    return {"source": source, "detail-type": "CaseChangeEvent", "detail": {"payload": payload, "schemaId": "x"}}


def test_a_change_event_names_records() -> None:
    assert parse_change_event(event(recordIds=[CASE, "5005e0000000002"])) == Push(
        ORG, "Case", (CASE, "5005e0000000002AAA")
    )
    assert parse_change_event(event(changeType="GAP_UPDATE")) == Push(ORG, "Case", (CASE,))


def test_a_change_event_may_say_which_fields() -> None:
    hint = parse_change_event(event(changedFields=["Status", "LastModifiedDate"]))
    assert isinstance(hint, Push)
    assert hint.fields == ("Status", "LastModifiedDate")


def test_the_shapes_a_change_event_comes_in() -> None:
    relayed = event()
    flat = relayed | {"detail": relayed["detail"]["payload"]}
    wrapped = relayed | {"detail": {"data": relayed["detail"], "channel": "/data/CaseChangeEvent"}}
    single = event(recordIds=None, recordId=CASE)
    assert {parse_change_event(each) for each in (relayed, flat, wrapped, single)} == {Push(ORG, "Case", (CASE,))}


@pytest.mark.parametrize(
    "header",
    [
        {"changeType": "GAP_OVERFLOW", "recordIds": []},
        {"recordIds": ["500.........*"]},
        {"changeType": "DELETE"},
        {"changeType": "GAP_DELETE"},
    ],
)
def test_what_cannot_say_which_records_asks_for_a_reconcile(header: dict[str, Any]) -> None:
    assert parse_change_event(event(**header)) == Resync(ORG, "Case")


@pytest.mark.parametrize(
    "other",
    [
        {},
        event() | {"source": "aws.partner/salesforce.com/short/0YL"},
        event() | {"source": "aws.s3"},
        event() | {"detail": {"payload": {"Status": "x"}}},
        event() | {"detail": "text"},
    ],
)
def test_other_events_are_ignored(other: dict[str, Any]) -> None:
    assert isinstance(parse_change_event(other), Ignored)


def record(**fields: Any) -> dict[str, Any]:
    standard = {"Id": CASE, "Status": "Returned", "Order__r": {"Number__c": " A-1 "}, "Refund__c": Decimal("30.0")}
    return standard | fields


def body(*records: dict[str, Any], said: dict[str, str] | None = None) -> bytes:
    entries = [
        change_entry(CASE, n, "2026-11-21T23:24:59.000+0000", salesforce.mapped_fields(each, SOURCE), said or {})
        for n, each in enumerate(records, 3)
    ]
    return json.dumps(entries).encode()


def read(*records: dict[str, Any], said: dict[str, str] | None = None) -> Any:
    return rows(body(*records, said=said), {}, SOURCE)


def test_a_status_becomes_a_statement_about_its_record() -> None:
    [row] = read(record(Reason__c="Damaged", CurrencyIsoCode=None))
    assert isinstance(row, Row)
    assert row.place == "1"
    assert row.fields == {
        "reference": CASE,
        "subject": f"case/{CASE}",
        "version": "3",
        "change": "reverse",
        "occurred_at": "2026-11-21T23:24:59.003Z",
        "order_id": "A-1",
        "reason": "Damaged",
    }


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Decimal("30.0"), "30"),
        (Decimal("0.10"), "0.1"),
        (Decimal("1.23456789E7"), "12345678.9"),
        (Decimal("0.0"), "0"),
        (5, "5"),
        (Decimal("1E+2"), "100"),
    ],
)
def test_numbers_are_exact_texts(number: Any, text: str) -> None:
    [row] = read(record(Status="New total", Refund__c=number))
    assert row.fields["amount"] == text


def test_a_status_that_is_not_declared_gives_no_row_and_is_told() -> None:
    assert isinstance(read(record(Status="Waiting"), record(Status=None)), Ignored)
    assert [row.place for row in read(record(Status="Waiting"), record())] == ["2"]
    assert salesforce.undeclared_statuses(body(record(Status="Waiting"), record(Status=None), record()), SOURCE) == [
        "Waiting"
    ]


def test_a_record_says_what_came_back_in_all() -> None:
    [row] = read(
        record(Status="Partly returned", Refund__c=Decimal("42.5")),
        said={"order_id": "A-1", "change": "take_back", "amount": "30"},
    )
    assert (row.fields["change"], row.fields["amount"]) == ("take_back", "42.5")


@pytest.mark.parametrize("status", ["New", "Reopened"])
def test_what_a_record_took_is_given_back(status: str) -> None:
    """`restore` is how older programs write `nothing`."""
    [row] = read(record(Status=status), said={"order_id": "A-1", "change": "reverse"})
    assert (row.fields["change"], row.fields["amount"]) == ("take_back", "0")


def test_nothing_is_given_back_that_was_never_taken() -> None:
    nothing = {"order_id": "A-1", "change": "take_back", "amount": "0"}
    assert isinstance(read(record(Status="New"), said=nothing), Ignored)


def test_an_approval_brings_nothing_back_by_itself() -> None:
    [row] = read(record(Status="Ok"), said={"order_id": "A-1", "change": "reverse"})
    assert (row.place, row.fields["change"], row.fields["source_version"]) == ("1", "approve", "3")
    assert "subject" not in row.fields


def test_a_record_that_names_another_order_tells_the_old_one_nothing() -> None:
    before, now = read(record(), said={"order_id": "A-0", "change": "reverse"})
    assert (before.fields["order_id"], before.fields["amount"]) == ("A-0", "0")
    assert (now.fields["order_id"], now.fields["change"]) == ("A-1", "reverse")
    assert before.fields["subject"] == now.fields["subject"]
    assert before.fields["version"] == now.fields["version"]


def test_a_record_that_moves_in_a_status_that_says_nothing_takes_its_last_word_along() -> None:
    said = {"order_id": "A-0", "change": "take_back", "amount": "30"}
    before, now = read(record(Status="Waiting"), said=said)
    assert (before.fields["order_id"], before.fields["amount"]) == ("A-0", "0")
    assert (now.fields["order_id"], now.fields["amount"]) == ("A-1", "30")


def test_a_record_that_is_gone_tells_its_order_nothing() -> None:
    gone = change_entry(
        CASE, 4, "2026-11-21T23:24:59.000+0000", {}, {"order_id": "A-1", "change": "reverse"}, gone=True
    )
    [row] = rows(json.dumps([gone]).encode(), {}, SOURCE)  # type: ignore[misc]
    assert isinstance(row, Row)
    assert (row.fields["order_id"], row.fields["amount"]) == ("A-1", "0")


def test_only_mapped_fields_count_as_a_change() -> None:
    one, other = record(Subject="a", Retour_State__c="applied"), record(Subject="b")
    assert salesforce.fields_digest(salesforce.mapped_fields(one, SOURCE)) == salesforce.fields_digest(
        salesforce.mapped_fields(other, SOURCE)
    )
    changed = record(Reason__c="x")
    assert salesforce.fields_digest(salesforce.mapped_fields(one, SOURCE)) != salesforce.fields_digest(
        salesforce.mapped_fields(changed, SOURCE)
    )


def test_a_mapped_reference_or_time_does_not_replace_the_records_own() -> None:
    fields = {**SOURCE.options["fields"], "reference": "Status", "occurred_at": "Reason__c", "change": "Reason__c"}
    source = replace(SOURCE, options={**SOURCE.options, "fields": fields})
    [row] = rows(body(record(Reason__c="later")), {}, source)  # type: ignore[misc]
    assert isinstance(row, Row)
    assert (row.fields["reference"], row.fields["change"]) == (CASE, "reverse")
    assert row.fields["occurred_at"].startswith("2026-11-21")


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)).map(
        lambda x: json.dumps(x).encode()
    )
)
def test_garbage_is_refused_without_an_error(garbage: bytes) -> None:
    assert isinstance(rows(garbage, {}, SOURCE), Ignored | Refusal)
    assert isinstance(parse_outbound_message(garbage), Refusal)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["detail", "payload", "data", "source", "ChangeEventHeader", "recordIds", "changeType"]
                ),
                x,
            )
        ),
    )
)
def test_no_event_is_an_error(detail: Any) -> None:
    found = parse_change_event(event() | {"detail": detail})
    assert isinstance(found, Push | Resync | Ignored)
