"""file_drop through its front door: what an upload by SFTP becomes, and what lies beside it afterwards."""

import csv
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from functions.file_drop import app
from tests.conftest import PROGRAM, ProgramHarness
from tests.files import old_workbooks as xls
from tests.functions.test_inbound_email import CONTEXT, amount

from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.times import format_instant
from retour.files.pgp import make_key_pair
from retour.intake import sftp_uploads
from retour.intake.encrypted_files import create_key, public_keys, secret_keys
from retour.intake.ingest import announce_file
from retour.intake.uploads import NO_HASH, UPLOAD_BYTES_MAX, complete_if_arrived
from retour.replies.send import send_reply
from retour.store.deliveries import DeliveryHeader

ROWS = b"order_id;change;amount\nA-1;set_total;80.00\nA-1;set_total;x\n"


@pytest.fixture
def upload(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    house.report({"order_id": "A-1", "amount": "100.00", "currency": "EUR"})
    moment = house.clock.moment
    monkeypatch.setattr(app, "hub", lambda: house.hub)
    monkeypatch.setattr(house.hub, "now", lambda: moment + timedelta(hours=1))
    monkeypatch.setattr(house.hub, "real_now", lambda: moment + timedelta(hours=1))
    monkeypatch.setattr(sftp_uploads, "LOOK_SECONDS", 0.05)

    def upload(name: str, content: bytes) -> None:
        """The file is put into the source's folder, and the store says so."""
        put_quietly(house, name, content)
        tell_of(house, name)

    return upload


def put_quietly(house: ProgramHarness, name: str, content: bytes) -> str:
    """An upload of which no event tells; its version."""
    key, inbox = f"sftp/{house.program}/warehouse/{name}", house.hub.inbox
    return str(inbox.client.put_object(Bucket=inbox.bucket, Key=key, Body=content)["VersionId"])


def rename(house: ProgramHarness, old: str, new: str) -> None:
    """As Transfer renames: S3 can only copy and remove."""
    s3, bucket, folder = house.hub.inbox.client, house.hub.inbox.bucket, f"sftp/{house.program}/warehouse"
    s3.copy_object(Bucket=bucket, Key=f"{folder}/{new}", CopySource={"Bucket": bucket, "Key": f"{folder}/{old}"})
    s3.delete_object(Bucket=bucket, Key=f"{folder}/{old}")


def remove(house: ProgramHarness, name: str) -> None:
    house.hub.inbox.client.delete_object(Bucket=house.hub.inbox.bucket, Key=f"sftp/{house.program}/warehouse/{name}")


def tell_of(house: ProgramHarness, name: str, **fields: Any) -> None:
    """S3's event as it comes at the least: with the key."""
    key = f"sftp/{house.program}/warehouse/{name}"
    app.handler({"source": "aws.s3", "detail": {"object": {"key": key, **fields}}}, CONTEXT)


def tell_of_by_server(house: ProgramHarness, name: str, **fields: Any) -> None:
    """Transfer's event, with no field that it may leave out."""
    path = f"/{house.hub.settings.inbox_bucket}/sftp/{house.program}/warehouse/{name}"
    event = {"source": "aws.transfer", "time": format_instant(house.hub.real_now())}
    app.handler({**event, "detail": {"file-path": path, **fields}}, CONTEXT)


def headers(house: ProgramHarness) -> list[DeliveryHeader]:
    """The files that came, as the list of deliveries shows them, oldest first."""
    found = house.hub.deliveries(house.program).newest(f"{house.hub.now():%Y%m%d}")
    return sorted(
        (one for one in found if one.delivery.channel is Channel.SFTP), key=lambda one: one.delivery.received_at
    )


def bodies(house: ProgramHarness) -> list[bytes]:
    deliveries = house.hub.deliveries(house.program)
    return [deliveries.body(header) for header in headers(house)]


def beside(house: ProgramHarness) -> set[str]:
    folder = f"sftp/{house.program}/warehouse/"
    return {key.removeprefix(folder) for key in house.hub.inbox.keys(folder)}


def asked(house: ProgramHarness) -> list[dict[str, Any]]:
    return [message for queue, message in house.sent if queue == "answers"]


def test_an_upload_is_taken_in_and_answered_beside(house: ProgramHarness, upload: Callable[..., None]) -> None:
    upload("may.csv", ROWS)
    assert amount(house) == 8000
    assert beside(house) == {"may.csv", "receipt_may.csv"}
    receipt = house.hub.inbox.read(f"sftp/{house.program}/warehouse/receipt_may.csv")
    assert hashlib.sha256(ROWS).hexdigest().encode() in receipt
    [message] = asked(house)
    send_reply(house.hub, message)
    assert beside(house) == {"may.csv", "receipt_may.csv", "result_may.csv.csv", "rejected_may.csv"}
    rejected = house.hub.inbox.read(f"sftp/{house.program}/warehouse/rejected_may.csv")
    assert rejected == ROWS.replace(b"A-1;set_total;80.00\n", b"")


@pytest.mark.parametrize("name", ["x.csv.uploading", "x.csv.partial", "x.csv.new", "_x.csv", "in.x.csv", ".x.csv"])
@pytest.mark.parametrize("told", ["in order", "backwards", "the last only", "twice", "by the server"])
def test_d1_a_file_renamed_at_once_is_delivered_once(
    house: ProgramHarness, upload: Callable[..., None], name: str, told: str
) -> None:
    put_quietly(house, name, ROWS)
    if told == "in order":
        tell_of(house, name)
    rename(house, name, "x.csv")
    for one in {"backwards": ["x.csv", name], "twice": ["x.csv", name] * 2}.get(told, ["x.csv"]):
        tell_of(house, one)
    if told == "by the server":
        bucket = house.hub.settings.inbox_bucket
        old, new = (f"/{bucket}/sftp/{house.program}/warehouse/{one}" for one in (name, "x.csv"))
        app.handler({"detail": {"original-file-path": old, "renamed-file-path": new}}, CONTEXT)
    assert [(header.delivery.name, header.state) for header in headers(house)] == [("x.csv", "done")]
    assert amount(house) == 8000


@pytest.mark.parametrize("order", ["first", "second", "both", "backwards"])
def test_d1_a_file_renamed_under_a_whole_name_is_one_delivery(
    house: ProgramHarness, upload: Callable[..., None], order: str
) -> None:
    put_quietly(house, "may.csv", ROWS)
    if order == "first":
        tell_of(house, "may.csv")
    rename(house, "may.csv", "taken_may.csv")
    for name in {"both": ["may.csv", "taken_may.csv"], "backwards": ["taken_may.csv", "may.csv"]}.get(
        order, ["taken_may.csv"]
    ):
        tell_of(house, name)
    assert bodies(house) == [ROWS]


def test_d2_five_uploads_of_one_name_are_five_deliveries_each_with_its_bytes(
    house: ProgramHarness, upload: Callable[..., None]
) -> None:
    contents = [ROWS.replace(b"80.00", b"%d.00" % left) for left in (90, 70, 60, 30, 5)]
    versions = [put_quietly(house, "daily.csv", content) for content in contents]
    tell_of(house, "daily.csv", **{"version-id": versions[3]})
    for version in versions:
        tell_of(house, "daily.csv", **{"version-id": version})
    assert bodies(house) == contents, "and in the order in which they were put"
    assert amount(house) == 500


def test_d3_removed_by_its_sender_at_once_it_is_delivered(house: ProgramHarness, upload: Callable[..., None]) -> None:
    put_quietly(house, "may.csv", ROWS)
    remove(house, "may.csv")
    tell_of(house, "may.csv")
    assert bodies(house) == [ROWS] and amount(house) == 8000


@pytest.mark.parametrize(("second", "outcome"), [(b"15.00", "applied"), (b"10.00", "held")])
def test_d4_the_same_name_another_day_is_another_delivery(
    house: ProgramHarness, upload: Callable[..., None], second: bytes, outcome: str
) -> None:
    returns = b"order_id;change;amount\nA-1;take_back;10.00\n"
    put_quietly(house, "daily.csv", returns)
    tell_of_by_server(house, "daily.csv")
    moment = house.clock.moment + timedelta(days=1)
    house.hub.now = lambda: moment  # type: ignore[method-assign]
    put_quietly(house, "daily.csv", returns.replace(b"10.00", second))
    tell_of_by_server(house, "daily.csv")
    [header] = headers(house)
    assert header.report["counts"] == {outcome: 1}
    assert amount(house) == (7500 if outcome == "applied" else 9000)


def test_an_event_told_twice_or_by_both_is_one_delivery(house: ProgramHarness, upload: Callable[..., None]) -> None:
    for _ in range(2):
        upload("may.csv", ROWS) if not headers(house) else tell_of(house, "may.csv")
        tell_of_by_server(house, "may.csv")
    assert bodies(house) == [ROWS]


def test_the_same_file_uploaded_again_is_another_delivery(house: ProgramHarness, upload: Callable[..., None]) -> None:
    upload("may.csv", ROWS)
    upload("may.csv", ROWS)
    assert bodies(house) == [ROWS, ROWS]


@pytest.mark.parametrize("name", ["may.csv.tmp", ".may.csv", "~$may.csv", "_may.csv"])
def test_half_files_are_left_alone(house: ProgramHarness, upload: Callable[..., None], name: str) -> None:
    upload(name, ROWS)
    assert asked(house) == []
    assert beside(house) == {name}


def test_answers_are_ours_by_their_mark_and_not_by_their_name(
    house: ProgramHarness, upload: Callable[..., None]
) -> None:
    upload("may.csv", ROWS)
    send_reply(house.hub, asked(house)[0])
    before = len(headers(house))
    for name in ("receipt_may.csv", "result_may.csv.csv", "rejected_may.csv"):
        tell_of(house, name)
    assert len(headers(house)) == before, "what we wrote"
    upload("result_june.csv", ROWS.replace(b"80.00", b"70.00"))
    upload("rejected_may.csv", ROWS.replace(b";x", b";75.00"))
    assert {header.delivery.name for header in headers(house)} == {"may.csv", "result_june.csv", "rejected_may.csv"}
    assert amount(house) == 7500


def test_a_folder_of_the_senders_own_is_answered_in(house: ProgramHarness, upload: Callable[..., None]) -> None:
    upload("2026/may/daily.csv", ROWS)
    send_reply(house.hub, asked(house)[0])
    assert {"2026/may/receipt_daily.csv", "2026/may/result_daily.csv.csv"} <= beside(house)


@pytest.mark.parametrize("told", ["before", "after"])
def test_an_upload_that_broke_off_is_refused(house: ProgramHarness, upload: Callable[..., None], told: str) -> None:
    put_quietly(house, "may.csv", ROWS)
    failed = {"failure-code": "PARTIAL_UPLOAD", "end-timestamp": format_instant(datetime.now(UTC))}
    if told == "before":
        tell_of_by_server(house, "may.csv", **failed)
        tell_of(house, "may.csv")
    else:
        tell_of(house, "may.csv")
        tell_of_by_server(house, "may.csv", **failed)
    [header] = headers(house)
    assert header.report.get("code", "") == ("PARTIAL_UPLOAD" if told == "before" else "")
    assert amount(house) == (10000 if told == "before" else 8000)
    put_quietly(house, "june.csv", ROWS)
    tell_of(house, "june.csv")
    assert amount(house) == 8000


def test_a_rejected_file_corrected_is_read(house: ProgramHarness, upload: Callable[..., None]) -> None:
    upload("rejected_may.csv", ROWS.replace(b";x", b";75.00"))
    assert amount(house) == 7500


def test_what_was_refused_of_an_old_workbook_comes_back_as_one_of_today_and_stays_refused(
    house: ProgramHarness, upload: Callable[..., None]
) -> None:
    """An id that lost its digits, one that became a day, a formula nobody calculated, a text of two numbers."""
    cells = xls.header("order_id", "change", "amount") + b"".join(xls.text(at, 1, "set_total") for at in range(1, 6))
    cells += xls.text(1, 0, "A-1") + xls.number(1, 2, 80)
    cells += xls.number(2, 0, 1.23456789012346e17) + xls.number(2, 2, 1)
    cells += xls.number(3, 0, 46082, 1) + xls.number(3, 2, 2)
    cells += xls.text(4, 0, "A-1") + xls.formula(4, 2, bytes(8), flags=3)
    cells += xls.text(5, 0, "A-1") + xls.text(5, 2, "1.234")
    upload("may.xls", xls.workbook(("May", cells), styles=(0, 16)))
    assert amount(house) == 8000
    send_reply(house.hub, asked(house)[-1])
    assert beside(house) == {"may.xls", "receipt_may.xls", "result_may.xls.csv", "rejected_may.xlsx"}
    codes = ["DAMAGED_ID", "DAMAGED_ID", "CELL_NOT_CALCULATED", "AMOUNT_AMBIGUOUS"]
    assert refused_codes(house, "result_may.xls.csv") == codes
    back = house.hub.inbox.read(f"sftp/{house.program}/warehouse/rejected_may.xlsx")
    assert back.startswith(b"PK"), "what its name says it is"
    upload("again.xlsx", back)
    send_reply(house.hub, asked(house)[-1])
    assert refused_codes(house, "result_again.xlsx.csv") == codes and amount(house) == 8000


def refused_codes(house: ProgramHarness, name: str) -> list[str]:
    """The codes of the refused rows, in the order of the file."""
    result = house.hub.inbox.read(f"sftp/{house.program}/warehouse/{name}").decode("utf-8-sig")
    return [row["code"] for row in csv.DictReader(io.StringIO(result)) if row["outcome"] == "refused"]


def test_a_file_that_is_none_is_refused_with_a_receipt(house: ProgramHarness, upload: Callable[..., None]) -> None:
    upload("picture.csv", b"\x89PNG\r\n\x1a\n")
    header = house.hub.deliveries(house.program).get(asked(house)[0]["delivery"])
    assert header is not None
    assert (header.state, header.report["code"]) == ("refused", "UNSUPPORTED_FORMAT")
    assert "receipt_picture.csv" in beside(house)


def test_an_announced_file_is_taken_in_when_it_lies_there(house: ProgramHarness, upload: Callable[..., None]) -> None:
    delivery = house.delivery(DeliveryKind.FILE, ROWS, "warehouse", Channel.PULL, name="may.csv", body_key="x")
    key = f"pull/{house.program}/warehouse/{delivery.id}/may.csv"
    announce_file(house.hub, replace(delivery, body_key=key))
    house.hub.inbox.put(key, ROWS)
    app.handler({"source": "aws.s3", "detail": {"object": {"key": key}}}, CONTEXT)
    assert amount(house) == 8000
    assert asked(house) == [{"program": house.program, "delivery": delivery.id, "what": "batch"}]


@pytest.mark.parametrize("key", ["pull/x", "email/{}/post/20261102T090000000Z-0123456789/x.csv", "api/{}/a/no/x", ""])
def test_objects_nobody_announced_are_left_alone(house: ProgramHarness, upload: Callable[..., None], key: str) -> None:
    app.handler({"source": "aws.s3", "detail": {"object": {"key": key.format(house.program)}}}, CONTEXT)
    assert asked(house) == []


def address(house: ProgramHarness) -> tuple[str, str]:
    """An upload that was announced: its delivery and the key that its address opens."""
    delivery = house.delivery(DeliveryKind.FILE, b"", "erp", Channel.API, name="may.csv")
    key = f"api/{house.program}/erp/{delivery.id}/may.csv"
    announce_file(house.hub, replace(delivery, sha256=NO_HASH, size=-1, body_key=key))
    return delivery.id, key


def put(house: ProgramHarness, key: str, at: datetime, size: int = len(ROWS), version: str = "") -> None:
    found = {"key": key, "size": size, **({"version-id": version} if version else {})}
    app.handler({"source": "aws.s3", "time": format_instant(at), "detail": {"object": found}}, CONTEXT)


def test_an_upload_counts_as_received_when_it_is_there_and_not_when_its_address_was_asked_for(
    house: ProgramHarness, upload: Callable[..., None]
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


def test_an_event_that_says_only_where_is_enough(house: ProgramHarness, upload: Callable[..., None]) -> None:
    id, key = address(house)
    house.hub.inbox.put(key, ROWS)
    app.handler({"detail": {"object": {"key": key}}}, CONTEXT)
    header = house.hub.deliveries(house.program).get(id)
    assert header is not None and (header.state, header.delivery.size) == ("done", len(ROWS))


def test_events_that_waited_on_a_queue_are_read_as_they_came(
    house: ProgramHarness, upload: Callable[..., None]
) -> None:
    keys = [address(house)[1] for _ in range(2)]
    for key in keys:
        house.hub.inbox.put(key, ROWS)
    told = [{"body": json.dumps({"detail": {"object": {"key": key}}})} for key in keys]
    app.handler({"Records": told}, CONTEXT)
    assert len(asked(house)) == 2


def test_what_is_put_to_the_same_address_later_changes_nothing(
    house: ProgramHarness, upload: Callable[..., None]
) -> None:
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


def test_an_upload_that_is_too_large_is_refused_unread(house: ProgramHarness, upload: Callable[..., None]) -> None:
    id, key = address(house)
    put(house, key, house.hub.real_now(), size=UPLOAD_BYTES_MAX + 1)
    header = house.hub.deliveries(house.program).get(id)
    assert header is not None
    assert (header.state, header.report["code"]) == ("refused", "UPLOAD_TOO_LARGE")
    assert list(house.hub.deliveries(house.program).open()) == []


def test_an_upload_whose_news_was_lost_counts_from_when_it_was_put(
    house: ProgramHarness, upload: Callable[..., None]
) -> None:
    id, key = address(house)
    house.hub.inbox.put(key, ROWS)
    header = house.hub.deliveries(house.program).get(id)
    assert header is not None
    found = complete_if_arrived(house.hub, header.delivery)
    assert found.received_at == max(header.delivery.received_at, house.hub.inbox.stored_at(key))
    assert house.hub.inbox.read(found.body_key) == ROWS and found.body_key.startswith("raw/")
    with pytest.raises(KeyError):
        complete_if_arrived(house.hub, replace(header.delivery, body_key="api/nowhere"))


def test_an_encrypted_and_signed_upload_is_read_and_answered(
    house: ProgramHarness, upload: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pysequoia = pytest.importorskip("pysequoia")
    sender = make_key_pair("sender")
    declared = {"channel": "sftp", "options": {"require_signature": True, "signers": [sender.public]}}
    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "warehouse": declared}})
    older, newer = (create_key(house.hub, house.program, "warehouse") for _ in range(2))
    assert older["fingerprint"] != newer["fingerprint"]
    signer = pysequoia.Tsk.from_bytes(sender.secret.encode()).signer()

    def sealed(content: bytes, key: dict[str, Any], signer: Any = signer) -> bytes:
        recipient = pysequoia.Cert.from_bytes(key["public_key"].encode())
        made: bytes = pysequoia.encrypt(signer=signer, recipients=[recipient], bytes=content, armor=False)
        return made

    upload("may.csv.pgp", sealed(ROWS, older))
    assert amount(house) == 8000
    later = house.hub.now() + timedelta(minutes=1)
    monkeypatch.setattr(house.hub, "now", lambda: later)
    monkeypatch.setattr(house.hub, "real_now", lambda: later)
    upload("june.csv.gpg", sealed(ROWS.replace(b"80.00", b"70.00"), newer))
    assert amount(house) == 7000
    upload("july.csv.pgp", sealed(ROWS.replace(b"80.00", b"60.00"), newer, None))
    upload("plain.csv", ROWS.replace(b"80.00", b"60.00"))
    assert amount(house) == 7000
    for message in asked(house):
        send_reply(house.hub, message)
    folder = f"sftp/{house.program}/warehouse/"
    assert house.hub.inbox.read(f"{folder}rejected_may.csv") == ROWS.replace(b"A-1;set_total;80.00\n", b"")
    for name in ("july.csv.pgp", "plain.csv"):
        assert b"PGP_NOT_SIGNED" in house.hub.inbox.read(f"{folder}result_{name}.csv")


def test_a_fifth_key_takes_the_place_of_the_oldest(house: ProgramHarness) -> None:
    pytest.importorskip("pysequoia")
    made = [create_key(house.hub, house.program, "warehouse")["fingerprint"] for _ in range(5)]
    assert [key["fingerprint"] for key in public_keys(house.hub, house.program, "warehouse")] == made[:0:-1]
    secrets = secret_keys(house.hub, house.program, "warehouse")
    assert len(set(secrets)) == 4 and all("PRIVATE KEY" in secret for secret in secrets)


def test_the_answer_has_the_file_s_own_delimiter_and_says_what_was_read(
    house: ProgramHarness, upload: Callable[..., None]
) -> None:
    upload("own.csv", ROWS)
    for queue, message in house.sent:
        if queue == "answers":
            send_reply(house.hub, message)
    content = house.hub.inbox.read(f"sftp/{house.program}/warehouse/result_own.csv.csv").decode("utf-8-sig")
    header, first, second = (line.split(";") for line in content.splitlines())
    told = dict(zip(header, first, strict=True))
    assert (told["change"], told["amount"], told["outcome"]) == ("set_total", "80.00", "applied")
    assert (told["amount_before"], told["amount_after"], told["currency"]) == ("100.00", "80.00", "EUR")
    assert not {"payout_before", "payout_after"} & set(header)
    assert dict(zip(header, second, strict=True))["column"] == "amount"


ODD_NAMES = (
    "Mai 2026.csv", "Rücksendungen März.csv", "u\u0308.csv", "a..csv", "x.CSV ", "100%.csv", "a+b.csv", "a%20b.csv",
    "q?.csv", "x&y=1.csv", "#1.csv", "retour", "ü'\"$.csv", "y.csv.", "日本.csv", "a;b.csv", "-rf.csv", "receipt_x.csv",
    "result_y.csv", "rejected_z.csv", f"{'n' * 240}.csv",
)  # fmt: skip


def test_a_file_may_be_called_whatever_its_sender_likes(house: ProgramHarness, upload: Callable[..., None]) -> None:
    for number, name in enumerate(ODD_NAMES):
        upload(name, b"reference;order_id;change;amount\nn%d;A-1;take_back;1.00\n" % number)
    assert {header.state for header in headers(house)} == {"done"} and len(headers(house)) == len(ODD_NAMES)
    assert amount(house) == 10000 - 100 * len(ODD_NAMES)


def first(reference: str) -> bytes:
    return f"reference;order_id;change;amount\n{reference};A-1;take_back;1.00\n".encode()


BOTH = first("1") + b"2;A-1;take_back;1.00\n"
Step = tuple[Callable[..., object], str, str | bytes] | tuple[Callable[..., object], str]
HABITS: dict[str, tuple[list[Step], list[bytes]]] = {
    "an empty file first": ([(put_quietly, "a.csv", b""), (put_quietly, "a.csv", first("1"))], [b"", first("1")]),
    "renamed twice": (
        [(put_quietly, "a.csv", first("1")), (rename, "a.csv", "b.csv"), (rename, "b.csv", "c.csv")], [first("1")]
    ),
    "renamed over another": (
        [(put_quietly, "b.csv", first("2")), (put_quietly, "a.csv", first("1")), (rename, "a.csv", "b.csv")],
        [first("2"), first("1")],
    ),
    "appended to": ([(put_quietly, "a.csv", first("1")), (put_quietly, "a.csv", BOTH)], [first("1"), BOTH]),
    "renamed, then removed": (
        [(put_quietly, "a.csv", first("1")), (rename, "a.csv", "b.csv"), (remove, "b.csv")], [first("1")]
    ),
    "one working name for two files": (
        [(put_quietly, "a.part", first("1")), (rename, "a.part", "b.csv"), (put_quietly, "a.part", first("2")),
         (rename, "a.part", "b.csv")],
        [first("1"), first("2")],
    ),
    "in a folder of its own": (
        [(put_quietly, "out/", b""), (put_quietly, "out/2026/a.csv", first("1"))], [first("1")]
    ),
}  # fmt: skip


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("habit", HABITS)
def test_habits_of_clients_lose_and_double_nothing(
    house: ProgramHarness, upload: Callable[..., None], habit: str, backwards: bool
) -> None:
    steps, contents = HABITS[habit]
    for do, *values in steps:
        do(house, *values)
    for name in sorted(("a.csv", "a.part", "b.csv", "c.csv", "out/", "out/2026/a.csv"), reverse=backwards) * 2:
        tell_of(house, name)
    assert sorted(bodies(house)) == sorted(contents)
    assert amount(house) == 10000 - 100 * len({row for body in contents for row in body.splitlines()[1:]})
