"""file_drop through its front door: what an upload by SFTP becomes, and what lies beside it afterwards."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from functions.file_drop import app
from tests.conftest import House
from tests.functions.test_inbound_email import CONTEXT, amount

from retour.answer import tell
from retour.domain.delivery import Channel, Kind
from retour.domain.times import text
from retour.intake import announce

ROWS = b"order_id;change;amount\nA-1;set_total;80.00\nA-1;set_total;x\n"


@pytest.fixture
def upload(house: House, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    house.report({"order_id": "A-1", "amount": "100.00", "currency": "EUR"})
    moment = house.clock.moment
    monkeypatch.setattr(app, "hub", lambda: house.hub)
    monkeypatch.setattr(house.hub, "now", lambda: moment + timedelta(hours=1))
    monkeypatch.setattr(house.hub, "real_now", lambda: moment + timedelta(hours=1))

    def upload(name: str, content: bytes, seconds: int = 5, lies: bytes | None = None) -> None:
        """The file lies in the source's folder (or, by now, another one), and Transfer says so."""
        key = f"sftp/{house.program}/warehouse/{name}"
        house.hub.inbox.put(key, content if lies is None else lies)
        detail = {
            "file-path": f"/{house.hub.environment['INBOX_BUCKET']}/{key}",
            "bytes": len(content),
            "end-timestamp": text(moment + timedelta(seconds=seconds)),
            "etag": hashlib.md5(content).hexdigest(),
            "username": f"{house.program}.warehouse",
        }
        app.handler({"source": "aws.transfer", "detail": detail}, CONTEXT)

    return upload


def beside(house: House) -> set[str]:
    folder = f"sftp/{house.program}/warehouse/"
    return {key.removeprefix(folder) for key in house.hub.inbox.keys(folder)}


def asked(house: House) -> list[dict[str, Any]]:
    return [message for queue, message in house.sent if queue == "answers"]


def test_an_upload_is_taken_in_and_answered_beside(house: House, upload: Callable[..., None]) -> None:
    upload("may.csv", ROWS)
    assert amount(house) == 8000
    assert beside(house) == {"may.csv", "receipt_may.csv"}
    receipt = house.hub.inbox.read(f"sftp/{house.program}/warehouse/receipt_may.csv")
    assert hashlib.sha256(ROWS).hexdigest().encode() in receipt
    [message] = asked(house)
    tell(house.hub, message)
    assert beside(house) == {"may.csv", "receipt_may.csv", "result_may.csv.csv", "rejected_may.csv"}
    rejected = house.hub.inbox.read(f"sftp/{house.program}/warehouse/rejected_may.csv")
    assert rejected == ROWS.replace(b"A-1;set_total;80.00\n", b"")


def test_an_event_told_twice_is_one_delivery_whatever_lies_there_by_then(
    house: House, upload: Callable[..., None]
) -> None:
    upload("may.csv", ROWS)
    first = asked(house)[0]["delivery"]
    upload("may.csv", ROWS, lies=b"overwritten")
    assert {message["delivery"] for message in asked(house)} == {first}
    header = house.hub.deliveries(house.program).get(first)
    assert header is not None
    assert house.hub.deliveries(house.program).body(header) == ROWS


def test_the_same_file_uploaded_again_is_another_delivery(house: House, upload: Callable[..., None]) -> None:
    upload("may.csv", ROWS)
    upload("may.csv", ROWS, seconds=60)
    assert len({message["delivery"] for message in asked(house)}) == 2


@pytest.mark.parametrize("name", ["receipt_may.csv", "result_may.csv.csv", "may.csv.tmp", ".may.csv", "~$may.csv"])
def test_our_answers_and_half_files_are_left_alone(house: House, upload: Callable[..., None], name: str) -> None:
    upload(name, ROWS)
    assert asked(house) == []
    assert beside(house) == {name}


def test_a_rejected_file_corrected_is_read(house: House, upload: Callable[..., None]) -> None:
    upload("rejected_may.csv", ROWS.replace(b";x", b";75.00"))
    assert amount(house) == 7500


def test_a_file_that_is_none_is_refused_with_a_receipt(house: House, upload: Callable[..., None]) -> None:
    upload("picture.csv", b"\x89PNG\r\n\x1a\n")
    header = house.hub.deliveries(house.program).get(asked(house)[0]["delivery"])
    assert header is not None
    assert (header.state, header.report["code"]) == ("refused", "UNSUPPORTED_FORMAT")
    assert "receipt_picture.csv" in beside(house)


def test_an_announced_file_is_taken_in_when_it_lies_there(house: House, upload: Callable[..., None]) -> None:
    delivery = house.delivery(Kind.FILE, ROWS, "warehouse", Channel.PULL, name="may.csv", body_key="x")
    key = f"pull/{house.program}/warehouse/{delivery.id}/may.csv"
    announce(house.hub, replace(delivery, body_key=key))
    house.hub.inbox.put(key, ROWS)
    app.handler({"source": "aws.s3", "detail": {"object": {"key": key}}}, CONTEXT)
    assert amount(house) == 8000
    assert asked(house) == [{"program": house.program, "delivery": delivery.id, "what": "batch"}]


@pytest.mark.parametrize("key", ["pull/x", "email/{}/post/20261102T090000000Z-0123456789/x.csv", "api/{}/a/no/x", ""])
def test_objects_nobody_announced_are_left_alone(house: House, upload: Callable[..., None], key: str) -> None:
    app.handler({"source": "aws.s3", "detail": {"object": {"key": key.format(house.program)}}}, CONTEXT)
    assert asked(house) == []
