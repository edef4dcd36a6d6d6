"""The wire of the bulk inserts: an answer is whole or an error of botocore's, and the unusual is left to botocore."""

import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import trustme
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError, SSLError
from botocore.session import Session

from retour.store import wire
from retour.store.bulk import insert_body

BODY = insert_body("ledger", [("A#acme#A-1", "M#1", "{}")])
FOUND = b'{"Responses":[{"TableName":"ledger","Item":{"PK":{"S":"x"}}}]}'
NOTHING = b'{"Responses":[{"TableName":"ledger"}]}'

Say = Callable[[socket.socket], bool]
"""What a server does with one request; whether it waits for another on the same connection."""


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", f"x-amz-crc32: {zlib.crc32(body)}", *headers]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def saying(said: bytes, goes_on: bool = True) -> Say:
    def say(connection: socket.socket) -> bool:
        connection.sendall(said)
        return goes_on

    return say


class Server:
    """Answers one request after the other with what it was told to say, the last of it again and again."""

    def __init__(self, script: Sequence[Say], tls: ssl.SSLContext | None = None) -> None:
        self.script, self.tls, self.requests, self.connections = list(script), tls, [], 0  # type: ignore[var-annotated]
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.connections += 1
            try:
                with self.tls.wrap_socket(connection, server_side=True) if self.tls else connection as safe:
                    while self._answer(safe):
                        pass
            except OSError:
                continue

    def _answer(self, connection: socket.socket) -> bool:
        incoming = connection.makefile("rb")
        lines = list(takewhile(lambda line: line.strip(), incoming))
        if not lines:
            return False
        fields = dict(line.decode().strip().lower().split(": ", 1) for line in lines[1:])
        self.requests.append((lines[0].decode().strip(), fields, incoming.read(int(fields["content-length"]))))
        say = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return say(connection)


@contextmanager
def serving(*script: Say, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(script, tls)
    try:
        yield server
    finally:
        server.listening.close()


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> list[wire.ConnectionPool]:
    """Those that were made."""
    made: list[wire.ConnectionPool] = []
    kind = wire.ConnectionPool

    def make(*how: Any) -> wire.ConnectionPool:
        made.append(kind(*how))
        return made[-1]

    monkeypatch.setattr(wire, "ConnectionPool", make)
    return made


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def client(url: str, tries: int = 1, authority: str | None = None, **more: Any) -> Any:
    config = Config(
        retries={"total_max_attempts": tries, "mode": "standard"}, read_timeout=0.5, connect_timeout=0.5, **more
    )
    made = Session().create_client(
        "dynamodb",
        region_name="eu-central-1",
        endpoint_url=url,
        aws_access_key_id="AK",
        aws_secret_access_key="s",
        config=config,
    )
    return wire.accept_raw_batches(made, authority)


def insert(to: Any) -> Any:
    return to.batch_execute_statement(Statements=BODY)


def test_a_request_is_signed_whole_and_its_connection_kept() -> None:
    with serving(saying(answer(NOTHING))) as server:
        sender = client(f"http://127.0.0.1:{server.port}")
        answers = [insert(sender) for _ in range(3)]
    assert [one["ResponseMetadata"]["HTTPStatusCode"] for one in answers] == [200] * 3
    assert server.connections == 1
    line, fields, body = server.requests[0]
    assert line == "POST / HTTP/1.1" and body == BODY
    assert fields["host"] == f"127.0.0.1:{server.port}"
    assert fields["authorization"].startswith("aws4-hmac-sha256 credential=ak/")
    assert fields["x-amz-target"] == "dynamodb_20120810.batchexecutestatement"


def test_what_was_found_is_told() -> None:
    with serving(saying(answer(FOUND))) as server:
        told = insert(client(f"http://127.0.0.1:{server.port}"))
    assert told["Responses"] == [{"TableName": "ledger", "Item": {"PK": {"S": "x"}}}]


def test_an_error_of_the_service_is_botocores_error() -> None:
    said = b'{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no table"}'
    with serving(saying(answer(said, "400 Bad Request"))) as server:
        sender = client(f"http://127.0.0.1:{server.port}")
        with pytest.raises(sender.exceptions.ResourceNotFoundException, match="no table"):
            insert(sender)


def test_a_throttled_request_is_tried_again_by_botocore() -> None:
    busy = b'{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}'
    with serving(saying(answer(busy, "400 Bad Request")), saying(answer(FOUND))) as server:
        told = insert(client(f"http://127.0.0.1:{server.port}", tries=2))
    assert told["ResponseMetadata"]["RetryAttempts"] == 1 and told["Responses"][0]["Item"]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="closed at once"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="half a head"),
        pytest.param(answer(FOUND)[:-5], id="a body five bytes short"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 two hundred\r\nContent-Length: 0\r\n\r\n", id="no status"),
    ],
)
def test_half_an_answer_is_never_taken_for_one(said: bytes) -> None:
    with serving(saying(said, goes_on=False)) as server, pytest.raises(ConnectionClosedError):
        insert(client(f"http://127.0.0.1:{server.port}"))


def test_after_a_broken_connection_botocore_tries_again_on_a_new_one() -> None:
    with serving(saying(answer(FOUND)[:-5], goes_on=False), saying(answer(FOUND))) as server:
        told = insert(client(f"http://127.0.0.1:{server.port}", tries=2))
    assert told["Responses"][0]["Item"] and told["ResponseMetadata"]["RetryAttempts"] == 1
    assert server.connections == 2


def test_a_connection_closed_meanwhile_costs_no_try(wires: list[wire.ConnectionPool]) -> None:
    with serving(saying(answer(NOTHING), goes_on=False)) as server:
        sender = client(f"http://127.0.0.1:{server.port}")
        insert(sender)
        ((kept,),) = wires[0].kept.values()
        while kept.is_idle():
            pass
        assert insert(sender)["ResponseMetadata"]["RetryAttempts"] == 0
    assert server.connections == 2


def test_a_connection_the_server_wants_closed_is_closed(wires: list[wire.ConnectionPool]) -> None:
    with serving(saying(answer(NOTHING, "200 OK", "Connection: close"))) as server:
        insert(client(f"http://127.0.0.1:{server.port}"))
        assert not any(wires[0].kept.values())


def test_silence_is_a_time_out() -> None:
    with serving(saying(b"")) as server, pytest.raises(ReadTimeoutError):
        insert(client(f"http://127.0.0.1:{server.port}"))


def test_no_server_is_botocores_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(EndpointConnectionError):
            insert(client(f"http://127.0.0.1:{taken.getsockname()[1]}"))


def test_an_answer_in_chunks_is_left_to_botocore_from_then_on(wires: list[wire.ConnectionPool]) -> None:
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(FOUND), FOUND)
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-amz-crc32: %d\r\n\r\n" % zlib.crc32(FOUND) + chunks
    with serving(saying(said)) as server:
        sender = client(f"http://127.0.0.1:{server.port}", tries=2)
        assert insert(sender)["Responses"][0]["Item"]
        assert not wires[0].is_familiar
        assert insert(sender)["ResponseMetadata"]["RetryAttempts"] == 0


def test_only_a_server_with_a_believed_certificate_is_spoken_to(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    for name, one in (("right", authority), ("wrong", other)):
        one.cert_pem.write_to_path(str(tmp_path / name))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    elsewhere = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("dynamodb.example").configure_cert(elsewhere)
    with serving(saying(answer(FOUND)), tls=tls) as server:
        url = f"https://127.0.0.1:{server.port}"
        assert insert(client(url, authority=str(tmp_path / "right")))["Responses"]
        for authority_file in (str(tmp_path / "wrong"), None):
            with pytest.raises(SSLError):
                insert(client(url, authority=authority_file))
    with serving(saying(answer(FOUND)), tls=elsewhere) as server, pytest.raises(SSLError):
        insert(client(f"https://127.0.0.1:{server.port}", authority=str(tmp_path / "right")))


def test_where_there_is_a_proxy_botocore_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(saying(answer(FOUND), goes_on=False)) as proxy:
        sender = client("http://nowhere.example", proxies={"http": f"http://127.0.0.1:{proxy.port}"})
        assert insert(sender)["Responses"]
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        assert insert(client("http://nowhere.example"))["Responses"]
    assert [line for line, *_ in proxy.requests] == ["POST http://nowhere.example/ HTTP/1.1"] * 2
