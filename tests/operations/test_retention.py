"""Bodies of senders end with their program's `raw_days`; what was read from them stays, and a rebuild reads that."""

import time
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.settings import change_settings

from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.program import Program
from retour.intake.batch import HELD
from retour.operations.replay import rebuild_delivery
from retour.operations.retention import delete_expired_bodies, forget_customer, forget_order, reading_key
from retour.views.ledger_reader import LedgerReader

FILE = b"reference,order_id,change,amount,currency,note\n" + b"".join(
    b"f-%d,R-%d,take_back,10.00,EUR,%s\n" % (n, n, b"parcel of Erika M\xc3\xbcller" if n == 2 else b"")
    for n in range(3)
)
NOTE = "Erika Müller rang: +49 151 000"


@pytest.fixture
def kept(house: ProgramHarness) -> ProgramHarness:
    """A program of one machine, whose bodies end after a day, with something of every kind."""
    change_settings(house.hub, is_local=True)
    sources = {**PROGRAM["sources"], "warehouse": {"channel": "sftp", "default_reason": "ITEM_RETURNED"}}
    house.apply({**PROGRAM, "raw_days": 1, "sources": sources})
    house.modify({"reference": "early", "order_id": "R-0", "change": "take_back", "amount": "5.00"})
    house.report(*({"order_id": f"R-{n}", "amount": "100.00"} for n in range(4)))
    house.modify(
        {"reference": "m-1", "order_id": "R-1", "change": "take_back", "amount": "20.00", "note": NOTE},
        {"reference": "m-2", "order_id": "R-9", "change": "reverse"},
        {"reference": "m-3", "order_id": "R-3", "change": "take_back", "amount": "not a number"},
    )
    house.modify({"reference": "m-4", "order_id": "R-3", "change": "take_back", "amount": "500.00"})
    house.modify({"reference": "m-4", "order_id": "R-3", "change": "take_back", "amount": "30.00"})
    house.file(FILE)
    house.file(b"\x00\x01", name="broken.csv")
    return house


def program_of(house: ProgramHarness) -> Program:
    program = house.hub.program(house.program)
    assert program is not None
    return program


def standing(house: ProgramHarness) -> dict[str, Any]:
    """What the same ledger means, and what each record came to."""
    found: dict[str, Any] = {}
    for key in ("R-0", "R-1", "R-2", "R-3", "R-9"):
        order = house.order(key)
        heads = {name: (head.standing, head.payout, head.version) for name, head in heads_of(order)}
        booked = {one.id: order.booking_of(one.id) and order.booking_of(one.id)[1].code for one in order.records}  # type: ignore[index]
        found[key] = (heads, booked)
    return found


def heads_of(order: Any) -> list[tuple[str, Any]]:
    return [(name, head) for name, head in order.heads.items() if name]


def objects(house: ProgramHarness, prefix: str) -> set[str]:
    return {version.key for version in house.hub.inbox.versions(f"{prefix}/{house.program}/")}


def days_later(house: ProgramHarness, days: int) -> None:
    house.clock.moment += timedelta(days=days)


def test_bodies_end_and_everything_read_from_them_stays(kept: ProgramHarness) -> None:
    before, program = standing(kept), program_of(kept)
    headers = list(kept.hub.deliveries(kept.program).between("20261102T", "20261102U"))
    reader = LedgerReader(program, kept.hub.ledger(program), kept.hub.deliveries(kept.program), kept.hub.now())
    results = {header.delivery.id: list(reader.results(header)) for header in headers}
    assert objects(kept, "raw") and delete_expired_bodies(kept.hub, program) == 0, "not yet"
    days_later(kept, 3)
    ended = delete_expired_bodies(kept.hub, program)
    assert ended == sum(header.delivery.kind is not DeliveryKind.PROGRAM for header in headers) == 7
    assert delete_expired_bodies(kept.hub, program) == 0, "once"
    programs = {header.delivery.body_key for header in headers if header.delivery.kind is DeliveryKind.PROGRAM} - {""}
    assert objects(kept, "raw") == programs, "what is no sender's does not end"
    assert not any(name.endswith("/rejected") for name in objects(kept, "results"))
    assert standing(kept) == before
    reader = LedgerReader(program, kept.hub.ledger(program), kept.hub.deliveries(kept.program), kept.hub.now())
    for header in headers:
        again = kept.hub.deliveries(kept.program).get(header.delivery.id)
        assert again is not None and again.state == header.state and again.report.items() >= header.report.items()
        assert again.delivery.sha256 == header.delivery.sha256
        assert list(reader.results(again)) == results[header.delivery.id], "lists show what they showed"
        if again.delivery.kind is not DeliveryKind.PROGRAM:
            assert again.inline is None
            with pytest.raises(KeyError):
                kept.hub.deliveries(kept.program).body(again)


def test_the_ledger_is_rebuilt_from_what_was_read(kept: ProgramHarness) -> None:
    before, program = standing(kept), program_of(kept)
    headers = list(kept.hub.deliveries(kept.program).between("20261102T", "20261102U"))
    days_later(kept, 3)
    delete_expired_bodies(kept.hub, program)
    wipe(kept)
    assert kept.order("R-1").records == []
    for header in headers[1:]:  # Before the first one no envelopes were kept.
        rebuild_delivery(kept.hub, f"deliveries/{header.delivery.id}.json")
    assert standing(kept) == before
    again = list(kept.hub.deliveries(kept.program).between("20261102T", "20261102U"))
    assert [(one.delivery.id, one.state) for one in again] == [(one.delivery.id, one.state) for one in headers[1:]]
    assert list(kept.hub.deliveries(kept.program).open()) == []
    kept.modify({"reference": "m-1", "order_id": "R-1", "change": "take_back", "amount": "20.00"})
    assert standing(kept)["R-1"][0] == before["R-1"][0], "and what is told again is known"


def wipe(house: ProgramHarness) -> None:
    """As after a kill: of the table only the program is left."""
    client, table = house.hub._dynamodb, house.hub._table
    for page in client.get_paginator("scan").paginate(TableName=table, ProjectionExpression="PK, SK"):
        for key in page["Items"]:
            kind, _, rest = key["PK"]["S"].partition("#")
            if kind in "ADILMORST" and rest.split("#")[0].split(".")[0] == house.program:
                client.delete_item(TableName=table, Key=key)


def test_what_is_open_keeps_its_body_until_it_is_finished(kept: ProgramHarness) -> None:
    deliveries = kept.hub.deliveries(kept.program)
    key = f"raw/{kept.program}/held"
    held = kept.delivery(DeliveryKind.FILE, FILE, "warehouse", Channel.SFTP, name="held.csv", body_key=key)
    deliveries.put(held, FILE, HELD, {})
    kept.hub.inbox.put(key, FILE)
    days_later(kept, 3)
    delete_expired_bodies(kept.hub, program_of(kept))
    assert objects(kept, "raw") >= {key}
    deliveries.close(held, {"code": "DISCARDED"}, "refused")
    days_later(kept, 1)
    assert delete_expired_bodies(kept.hub, program_of(kept)) == 1
    assert key not in objects(kept, "raw")


def test_an_order_is_forgotten_where_it_was_spoken_of(kept: ProgramHarness) -> None:
    before = standing(kept)
    assert forget_order(kept.hub, program_of(kept), "R-1") == 3, "its report, a call and a file"
    assert standing(kept) == before
    assert [record.note for record in kept.order("R-1").records] == [None, None]
    reading = kept.hub.inbox.read(reading_key(next(iter(headers_named(kept, "may.csv"))).delivery)).decode()
    assert NOTE not in reading
    assert forget_order(kept.hub, program_of(kept), "R-1") == 0


def test_what_is_forgotten_after_its_body_ended_is_gone_from_what_was_read_as_well(kept: ProgramHarness) -> None:
    days_later(kept, 3)
    delete_expired_bodies(kept.hub, program_of(kept))
    readings = "".join(kept.hub.inbox.read(key).decode() for key in objects(kept, "readings"))
    assert NOTE in readings
    forget_order(kept.hub, program_of(kept), "R-1")
    for version in kept.hub.inbox.versions(f"readings/{kept.program}/"):
        assert NOTE not in kept.hub.inbox.read(version.key, version.id).decode()


def headers_named(house: ProgramHarness, name: str) -> list[Any]:
    found = house.hub.deliveries(house.program).between("20261102T", "20261102U")
    return [header for header in found if header.delivery.name == name]


def test_a_customer_is_forgotten_in_every_body_that_names_them(kept: ProgramHarness) -> None:
    ended, on = forget_customer(kept.hub, program_of(kept), "erika müller", "20261102")
    assert (ended, on) == (2, None)
    [may] = headers_named(kept, "may.csv")
    assert may.is_gone and [header.is_gone for header in headers_named(kept, "broken.csv")] == [False]


def test_answers_that_are_kept_for_a_repeat_end_by_themselves(kept: ProgramHarness) -> None:
    """DynamoDB takes away what has a `ttl` that is over."""
    state = kept.hub.state(kept.program, "erp")
    state.claim("idempotency#x", {"fingerprint": "1"})
    state.put("watermark", {"at": "1"})
    client, table = kept.hub._dynamodb, kept.hub._table

    def item(pk: str, sk: str) -> dict[str, Any]:
        key = {"PK": {"S": pk}, "SK": {"S": sk}}
        return dict(client.get_item(TableName=table, Key=key)["Item"])

    assert int(item(f"S#{kept.program}.erp", "#idempotency#x")["ttl"]["N"]) > time.time() + 29 * 86_400
    assert "ttl" not in item(f"S#{kept.program}.erp", "#watermark")
