"""file_drop through its front door: what an upload by SFTP becomes, and what lies beside it afterwards."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from functions.file_drop import app
from tests.conftest import PROGRAM, House
from tests.functions.test_inbound_email import CONTEXT, amount

from retour.domain.delivery import Channel, Kind
from retour.domain.times import text
from retour.files.pgp import make_key_pair
from retour.intake.arrival import NO_HASH, UPLOAD_MAX, lying_there
from retour.intake.opening import new_key, public_keys, secret_keys
from retour.intake.receive import announce
from retour.replies.tell import tell

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


def test_a_file_that_went_up_under_a_temporary_name_is_taken_in_when_it_is_renamed(
    house: House, upload: Callable[..., None]
) -> None:
    upload("may.csv.part", ROWS)
    folder = f"sftp/{house.program}/warehouse"
    house.hub.inbox.put(f"{folder}/may.csv", ROWS)

    def renamed(old: str, new: str) -> None:
        bucket = house.hub.environment["INBOX_BUCKET"]
        detail = {
            "original-file-path": f"/{bucket}/{folder}/{old}",
            "renamed-file-path": f"/{bucket}/{folder}/{new}",
            "end-timestamp": text(house.clock.moment + timedelta(seconds=9)),
            "status-code": "COMPLETED",
            "username": f"{house.program}.warehouse",
        }
        app.handler({"source": "aws.transfer", "detail": detail}, CONTEXT)

    renamed("may.csv.part", "may.csv")
    renamed("may.csv.part", "may.csv")
    assert amount(house) == 8000
    assert len({message["delivery"] for message in asked(house)}) == 1
    renamed("may.csv", "taken_may.csv")
    assert len({message["delivery"] for message in asked(house)}) == 1, "its first name was whole already"


def address(house: House) -> tuple[str, str]:
    """An upload that was announced: its delivery and the key that its address opens."""
    delivery = house.delivery(Kind.FILE, b"", "erp", Channel.API, name="may.csv")
    key = f"api/{house.program}/erp/{delivery.id}/may.csv"
    announce(house.hub, replace(delivery, sha256=NO_HASH, size=-1, body_key=key))
    return delivery.id, key


def put(house: House, key: str, at: datetime, size: int = len(ROWS), version: str = "") -> None:
    found = {"key": key, "size": size, **({"version-id": version} if version else {})}
    app.handler({"source": "aws.s3", "time": text(at), "detail": {"object": found}}, CONTEXT)


def test_an_upload_counts_as_received_when_it_is_there_and_not_when_its_address_was_asked_for(
    house: House, upload: Callable[..., None]
) -> None:
    id, key = address(house)
    house.hub.inbox.put(key, ROWS)
    there = house.hub.real_now() + timedelta(minutes=7)
    put(house, key, there)
    header = house.hub.deliveries(house.program).get(id)
    assert header is not None and header.state == "done"
    assert header.delivery.received_at == there
    assert (header.delivery.sha256, header.delivery.size) == (hashlib.sha256(ROWS).hexdigest(), len(ROWS))
    [record] = house.order("A-1").records
    assert record.received_at == there


def test_what_is_put_to_the_same_address_later_changes_nothing(house: House, upload: Callable[..., None]) -> None:
    id, key = address(house)
    s3 = house.hub.inbox.client
    first = s3.put_object(Bucket=house.hub.inbox.bucket, Key=key, Body=ROWS)["VersionId"]
    house.hub.inbox.put(key, b"order_id;change;amount\nA-1;set_total;1.00\n")
    for _ in range(2):
        put(house, key, house.hub.real_now(), version=first)
    assert amount(house) == 8000
    header = house.hub.deliveries(house.program).get(id)
    assert header is not None
    assert house.hub.deliveries(house.program).body(header) == ROWS


def test_an_upload_that_is_too_large_is_refused_unread(house: House, upload: Callable[..., None]) -> None:
    id, key = address(house)
    put(house, key, house.hub.real_now(), size=UPLOAD_MAX + 1)
    header = house.hub.deliveries(house.program).get(id)
    assert header is not None
    assert (header.state, header.report["code"]) == ("refused", "UPLOAD_TOO_LARGE")
    assert list(house.hub.deliveries(house.program).open()) == []


def test_an_upload_whose_news_was_lost_counts_from_when_it_was_put(house: House, upload: Callable[..., None]) -> None:
    id, key = address(house)
    house.hub.inbox.put(key, ROWS)
    header = house.hub.deliveries(house.program).get(id)
    assert header is not None
    found = lying_there(house.hub, header.delivery)
    assert found.received_at == max(header.delivery.received_at, house.hub.inbox.put_at(key))
    assert house.hub.inbox.read(found.body_key) == ROWS and found.body_key.startswith("raw/")
    with pytest.raises(KeyError):
        lying_there(house.hub, replace(header.delivery, body_key="api/nowhere"))


def test_an_encrypted_and_signed_upload_is_read_and_answered(house: House, upload: Callable[..., None]) -> None:
    pysequoia = pytest.importorskip("pysequoia")
    sender = make_key_pair("sender")
    declared = {"channel": "sftp", "options": {"require_signature": True, "signers": [sender.public]}}
    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "warehouse": declared}})
    older, newer = (new_key(house.hub, house.program, "warehouse") for _ in range(2))
    assert older["fingerprint"] != newer["fingerprint"]
    signer = pysequoia.Tsk.from_bytes(sender.secret.encode()).signer()

    def sealed(content: bytes, key: dict[str, Any], signer: Any = signer) -> bytes:
        recipient = pysequoia.Cert.from_bytes(key["public_key"].encode())
        made: bytes = pysequoia.encrypt(signer=signer, recipients=[recipient], bytes=content, armor=False)
        return made

    upload("may.csv.pgp", sealed(ROWS, older))
    assert amount(house) == 8000
    upload("june.csv.gpg", sealed(ROWS.replace(b"80.00", b"70.00"), newer), seconds=6)
    assert amount(house) == 7000
    upload("july.csv.pgp", sealed(ROWS.replace(b"80.00", b"60.00"), newer, None), seconds=7)
    upload("plain.csv", ROWS.replace(b"80.00", b"60.00"), seconds=8)
    assert amount(house) == 7000
    for message in asked(house):
        tell(house.hub, message)
    folder = f"sftp/{house.program}/warehouse/"
    assert house.hub.inbox.read(f"{folder}rejected_may.csv") == ROWS.replace(b"A-1;set_total;80.00\n", b"")
    for name in ("july.csv.pgp", "plain.csv"):
        assert b"PGP_NOT_SIGNED" in house.hub.inbox.read(f"{folder}result_{name}.csv")


def test_a_fifth_key_takes_the_place_of_the_oldest(house: House) -> None:
    pytest.importorskip("pysequoia")
    made = [new_key(house.hub, house.program, "warehouse")["fingerprint"] for _ in range(5)]
    assert [key["fingerprint"] for key in public_keys(house.hub, house.program, "warehouse")] == made[:0:-1]
    secrets = secret_keys(house.hub, house.program, "warehouse")
    assert len(set(secrets)) == 4 and all("PRIVATE KEY" in secret for secret in secrets)
