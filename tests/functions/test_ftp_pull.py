"""ftp_pull through its front door: messages of the queue in, files in the inbox and answers at the merchant's out."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from functions.ftp_pull import app
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
from tests.conftest import PROGRAM, ProgramHarness
from tests.settings import change_settings

from retour.intake.ingest import ingest
from retour.polling.poll import poll_server
from retour.remote import RemoteError

CSV = b"reference,order_id,change\nR-1,A-1,reverse\n"
CONTEXT = SimpleNamespace(
    function_name="ftp_pull",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:ftp_pull",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 900_000,
)


@pytest.fixture
def merchant(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """The merchant's server: its folder with out/ and in/, and its port."""
    for name in ("out", "in"):
        (tmp_path / name).mkdir()
    allowed = DummyAuthorizer()
    allowed.add_user("retour", "s3cret", str(tmp_path), perm="elradfmw")
    server = FTPServer(("127.0.0.1", 0), type("Handler", (FTPHandler,), {"authorizer": allowed}))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            server.serve_forever(timeout=0.02, blocking=False)
        server.close_all()

    thread = threading.Thread(target=serve)
    thread.start()
    yield tmp_path, server.address[1]
    ended.set()
    thread.join()


@pytest.fixture
def call(
    house: ProgramHarness, merchant: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Invokes the function with one message for the source `depot`."""
    options = {
        "protocol": "ftp", "allow_plain": True, "host": "127.0.0.1", "port": merchant[1], "user": "retour",
        "folder": "/out", "result_folder": "/in", "pattern": "*.csv",
    }  # fmt: skip
    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "depot": {"channel": "pull", "options": options}}})
    house.hub.secrets.put(house.program, "depot", {"password": "s3cret"})
    change_settings(house.hub, allow_private_hosts=True)
    monkeypatch.setattr(app, "hub", lambda: house.hub)

    def call(**message: Any) -> dict[str, Any]:
        body = json.dumps({"program": house.program, "source": "depot", **message})
        record = {"messageId": "m-1", "receiptHandle": "r", "body": body, "attributes": {}, "eventSource": "aws:sqs"}
        answer: dict[str, Any] = app.handler({"Records": [record]}, CONTEXT)
        return answer

    return call


def leave(merchant: tuple[Path, int], name: str, body: bytes, age: float) -> None:
    path = merchant[0] / "out" / name
    path.write_bytes(body)
    moment = time.time() - age
    os.utime(path, (moment, moment))


def last_visit(house: ProgramHarness) -> dict[str, Any]:
    return house.hub.state(house.program, "depot").get("last-visit") or {}


def test_a_file_comes_into_the_inbox_once_and_is_taken_in(
    house: ProgramHarness, merchant: tuple[Path, int], call: Callable[..., dict[str, Any]]
) -> None:
    house.report({"order_id": "A-1", "currency": "EUR", "amount": "100.00"})
    leave(merchant, "may.csv", CSV, age=600)
    assert call(visit="v-1") == {"batchItemFailures": []}
    told = last_visit(house)
    assert (told["id"], told["state"], told["explanation"]) == ("v-1", "done", "1 file seen, 1 file fetched.")
    header = house.hub.deliveries(house.program).get(told["fetched"][0]["delivery"])
    assert header is not None and (header.state, header.delivery.name) == ("arriving", "may.csv")
    assert house.hub.inbox.read(header.delivery.body_key) == CSV
    assert (merchant[0] / "in" / "receipt_may.csv").exists()
    assert ingest(house.hub, header.delivery, None).counts == {"applied": 1}
    assert next(iter(house.payouts("A-1").values()))[2] == "reversed"

    call(visit="v-2")
    assert last_visit(house)["skipped"] == {"taken": 1} and last_visit(house)["fetched"] == []
    keys = list(house.hub.inbox.keys(f"pull/{house.program}/"))
    assert keys == [header.delivery.body_key]


def test_a_young_file_is_looked_at_again(
    house: ProgramHarness,
    merchant: tuple[Path, int],
    call: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave(merchant, "may.csv", CSV, age=0)
    call()
    assert "looked at again in a minute" in last_visit(house)["explanation"]
    again = {"program": house.program, "source": "depot", "look": 2}
    assert house.sent[-1] == ("pulls", again)
    real_now = house.hub.real_now
    monkeypatch.setattr(house.hub, "real_now", lambda: real_now().replace(year=2099))
    call(look=2)
    assert len(last_visit(house)["fetched"]) == 1


def test_an_answer_is_left_in_the_result_folder(
    house: ProgramHarness, merchant: tuple[Path, int], call: Callable[..., dict[str, Any]]
) -> None:
    key = f"results/{house.program}/d-1/result.csv"
    house.hub.inbox.put(key, b"line,outcome\n")
    assert call(put={"name": "result_may.csv.csv", "key": key}) == {"batchItemFailures": []}
    assert (merchant[0] / "in" / "result_may.csv.csv").read_bytes() == b"line,outcome\n"


def test_what_fails_is_tried_again_unless_a_person_waits_for_it_or_has_to_mend_it(
    house: ProgramHarness, merchant: tuple[Path, int], call: Callable[..., dict[str, Any]]
) -> None:
    house.hub.secrets.put(house.program, "depot", {"password": "wrong"})
    failed = {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
    assert call() == {"batchItemFailures": []}, "to try again changes nothing"
    told = last_visit(house)
    assert told["state"] == "failed" and told["errors"][0]["code"] == "LOGIN_REFUSED"
    assert call(put={"name": "result_a.csv", "key": "results/none"}) == failed
    assert call(visit="v-9") == {"batchItemFailures": []}
    assert last_visit(house)["id"] == "v-9" and last_visit(house)["state"] == "failed"


def test_private_addresses_are_not_visited_in_the_cloud(
    house: ProgramHarness,
    merchant: tuple[Path, int],
    call: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change_settings(house.hub, allow_private_hosts=False)
    call(visit="v-1")
    assert last_visit(house)["errors"][0]["code"] == "ADDRESS_NOT_ALLOWED"


def test_a_source_that_is_gone_is_dropped_and_nothing_is_visited_during_a_rebuild(
    house: ProgramHarness, merchant: tuple[Path, int], call: Callable[..., dict[str, Any]]
) -> None:
    leave(merchant, "may.csv", CSV, age=600)
    for gone in ({"source": "nobody"}, {"source": "erp"}, {"program": "nowhere"}):
        assert call(**gone) == {"batchItemFailures": []}
    change_settings(house.hub, outward=False)
    assert call() == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
    assert last_visit(house) == {} and not list(house.hub.inbox.keys(f"pull/{house.program}/"))


def test_what_only_a_person_can_mend_is_listed_at_once_and_once_and_not_tried_again(
    house: ProgramHarness, merchant: tuple[Path, int], call: Callable[..., dict[str, Any]]
) -> None:
    deliveries = house.hub.deliveries(house.program)
    house.hub.secrets.put(house.program, "depot", {"password": "wrong"})
    for _ in range(3):
        assert call() == {"batchItemFailures": []}, "to try again changes nothing"
        [(source, listed)] = deliveries.due("failing")
        assert (source, listed["code"]) == ("depot", "LOGIN_REFUSED") and "530" in listed["words"]
    house.hub.secrets.put(house.program, "depot", {"password": "s3cret"})
    assert call() == {"batchItemFailures": []}
    assert list(deliveries.due("failing")) == []


def test_what_may_pass_is_listed_at_once_as_well_and_tried_again(
    house: ProgramHarness,
    merchant: tuple[Path, int],
    call: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise RemoteError("UNREACHABLE", host="x", port=21, said="Connection refused")

    with monkeypatch.context() as down:
        down.setattr(poll_server, "__kwdefaults__", {**poll_server.__kwdefaults__, "open_server": refuse})
        assert call()["batchItemFailures"] == [{"itemIdentifier": "m-1"}]
    [(source, listed)] = house.hub.deliveries(house.program).due("failing")
    assert (source, listed["code"]) == ("depot", "UNREACHABLE")
