"""The answer posted to a source's own address: a real HTTPS receiver that believes only the signature."""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.conftest import PROGRAM, ProgramHarness
from tests.settings import change_settings

from retour.api import batches
from retour.domain.delivery import Channel, DeliveryKind
from retour.intake.ingest import ingest
from retour.remote import RemoteError, https
from retour.replies.send import send_reply
from retour.setup import credentials

ROWS = b"reference,order_id,change,amount\nR-1,A-1,set_total,80.00\nR-2,A-1,set_total,x\n"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@dataclass
class Receiver:
    """A merchant's server. It answers with `status`, and keeps what a genuine hub sent."""

    url: str
    status: int = 204
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def genuine(self, secret: str = SECRET) -> list[dict[str, Any]]:
        """The bodies whose signature is right, checked as Standard Webhooks say and not with code of ours."""
        found = []
        for headers, body in self.calls:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            mac = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
            assert f"v1,{base64.b64encode(mac).decode()}" in headers["webhook-signature"].split()
            assert abs(time.time() - int(headers["webhook-timestamp"])) < 60
            found.append(json.loads(body))
        return found


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.calls.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.status)
            self.send_header("location", receiver.url)
            self.end_headers()

        def log_message(self, *_said: object) -> None:
            pass

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver = Receiver(f"https://localhost:{server.server_address[1]}/retour?shop=1")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def erp(house: ProgramHarness, receiver: Receiver) -> ProgramHarness:
    """A program whose source `erp` wants its answers at the receiver."""
    source = {"channel": "api", "kind": "standard", "options": {"callback": receiver.url}}
    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "erp": source}})
    change_settings(house.hub, allow_private_hosts=True)
    house.hub.secrets.put(house.program, "erp", {"signing": ["whsec_b3RoZXI="], "callback": [SECRET]})
    return house


def sent(erp: ProgramHarness, content: bytes = ROWS) -> dict[str, Any]:
    """A file is taken in; the message that asks for its answer."""
    delivery = erp.delivery(
        DeliveryKind.FILE, content, "erp", Channel.API, name="may.csv", body_key=f"raw/{erp.program}/may"
    )
    erp.hub.inbox.put(delivery.body_key, content)
    ingest(erp.hub, delivery, None)
    return {"program": erp.program, "delivery": delivery.id, "what": "batch"}


def test_a_file_that_is_done_is_told_once_as_its_batch(erp: ProgramHarness, receiver: Receiver) -> None:
    erp.report({"order_id": "A-1", "amount": "100.00", "currency": "EUR"})
    message = sent(erp)
    for _ in range(3):
        send_reply(erp.hub, message)
    [said] = receiver.genuine()
    assert said["type"] == "batch.done"
    batch = said["data"]
    assert (batch["id"], batch["counts"]) == (message["delivery"], {"applied": 1, "refused": 1})
    program = erp.hub.program(erp.program)
    assert program is not None
    assert batch == json.loads(json.dumps(batches.get_batch(erp.hub, program, message["delivery"])))
    [(headers, _)] = receiver.calls
    assert headers["webhook-id"] == f"{message['delivery']}.done"


def test_a_file_refused_as_a_whole_is_told_too(erp: ProgramHarness, receiver: Receiver) -> None:
    send_reply(erp.hub, sent(erp, b"nothing\nknown\n"))
    [said] = receiver.genuine()
    assert (said["type"], said["data"]["code"]) == ("batch.refused", "HEADER_NOT_FOUND")


def test_a_record_that_waited_is_told_when_it_is_settled(erp: ProgramHarness, receiver: Receiver) -> None:
    batch = erp.modify({"reference": "R-9", "order_id": "A-9", "change": "reverse"})
    assert [result.outcome for result in batch.results] == ["waiting"]
    erp.report({"order_id": "A-9", "amount": "50.00", "currency": "EUR"})
    [message] = [message for queue, message in erp.sent if queue == "answers" and message["what"] == "settled"]
    for _ in range(2):
        send_reply(erp.hub, message)
    [said] = receiver.genuine()
    assert (said["type"], said["data"]["id"]) == ("batch.settled", batch.delivery.id)
    [outcome] = said["data"]["outcomes"]
    assert (outcome["reference"], outcome["outcome"]) == ("R-9", "applied")


@pytest.mark.parametrize("status", [500, 503, 404, 302, 307])
def test_what_the_receiver_does_not_take_is_told_again_until_it_does(
    erp: ProgramHarness, receiver: Receiver, status: int
) -> None:
    message = sent(erp)
    receiver.status = status
    with pytest.raises(RemoteError, match=str(status)):
        send_reply(erp.hub, message)
    receiver.status = 200
    send_reply(erp.hub, message)
    send_reply(erp.hub, message)
    first, second = receiver.genuine()
    assert first["data"] == second["data"]
    assert len({headers["webhook-id"] for headers, _ in receiver.calls}) == 1


def test_two_live_secrets_sign_both(erp: ProgramHarness, receiver: Receiver) -> None:
    other = "whsec_" + base64.b64encode(b"n" * 24).decode()
    erp.hub.secrets.put(erp.program, "erp", {"callback": [SECRET, other]})
    send_reply(erp.hub, sent(erp))
    assert receiver.genuine() == receiver.genuine(other) != []


def test_our_own_network_is_not_called(erp: ProgramHarness, receiver: Receiver) -> None:
    change_settings(erp.hub, allow_private_hosts=False)
    send_reply(erp.hub, sent(erp))
    assert receiver.calls == []


def test_a_replay_tells_nobody(erp: ProgramHarness, receiver: Receiver) -> None:
    change_settings(erp.hub, outward=False)
    send_reply(erp.hub, sent(erp))
    assert receiver.calls == []


def test_a_stranger_with_another_certificate_gets_nothing(
    erp: ProgramHarness, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(RemoteError, match="certificate verify failed"):
        send_reply(erp.hub, sent(erp))
    assert receiver.calls == []


def test_without_tls_only_the_local_hub_calls() -> None:
    with pytest.raises(RemoteError) as refused:
        https.post("http://shop.example/", b"", {}, allow_private=False)
    assert refused.value.code == "TLS_NEEDED" and refused.value.lasting


def test_a_receiver_that_trickles_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    for sign in b"HTTP/1.1 " + b"2" * 1000:
                        connection.sendall(bytes([sign]))
                        time.sleep(0.05)
                except OSError:
                    pass

        thread = threading.Thread(target=trickle)
        thread.start()
        begun = time.monotonic()
        with pytest.raises(RemoteError, match="cannot be reached"):
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            https.post(url, b"{}", {}, allow_private=True, seconds=1)
        assert time.monotonic() - begun < 3
        thread.join()


def test_applying_a_program_makes_a_secret_of_its_own_and_shows_it_once(erp: ProgramHarness) -> None:
    program = erp.hub.program(erp.program)
    assert program is not None
    erp.hub.secrets.put(erp.program, "erp", {"signing": [SECRET]})
    shown = credentials.create_credentials(erp.hub, program, "Ana")["erp"]
    held = erp.hub.secrets.get(erp.program, "erp")
    assert held["signing"] == [SECRET] and held["callback"] == [shown["callback_secret"]] and "secret" not in shown
    assert credentials.create_credentials(erp.hub, program, "Ana").get("erp") is None
