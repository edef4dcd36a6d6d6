"""The port people see, in front of an API that tells what reached it."""

import base64
import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from local.data_folder import bind_socket, server_tls
from local.proxy import BODY_LIMIT, EVENT_LIMIT, Backend, HubProxy

KEY = "rk_admin_secret"


class Api(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body": "" if "quiet" in self.path else base64.b64encode(body).decode(),
        }
        answer = json.dumps(seen).encode() + b" " * (EVENT_LIMIT if "huge" in self.path else 0)
        time.sleep(2 if "slow" in self.path else 0)
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Twice", "1")
        self.send_header("X-Twice", "2")
        if "stream" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (answer[:10], answer[10:]):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Running:
    def __init__(self, front: HubProxy, ca: Path, api_base: str):
        self.front, self.ca, self.api_base = front, ca, api_base
        self.port = front.server_port
        self.passed: list[tuple[str, str, int]] = []

    def open(self) -> "Running":
        pages: dict[str, Any] = {"/local/mails": lambda: {"items": []}}
        self.front.open(Backend(self.api_base, KEY, lambda *change: self.passed.append(change), pages))
        return self

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        return answer, json.loads(said) if said else None

    def raw(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            said = b""
            while block := client.recv(65536):
                said += block
            return said


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Running]:
    api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=api.serve_forever, args=(0.05,), daemon=True).start()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    front = HubProxy(bind_socket(0), server_tls(authority))
    front.start()
    yield Running(front, tmp_path / "ca.pem", f"http://127.0.0.1:{api.server_port}/_aws/execute-api/x/$default")
    front.stop()
    api.shutdown()
    api.server_close()


@pytest.fixture
def front(starting: Running) -> Running:
    return starting.open()


def test_until_it_is_open_it_asks_to_come_back(starting: Running) -> None:
    answer, problem = starting.ask("GET", "/v1/programs")
    assert answer.status == 503 and answer.headers["Retry-After"] == "1"
    assert answer.headers["Content-Type"] == "application/problem+json" and problem["status"] == 503
    starting.open()
    assert starting.ask("GET", "/v1/programs")[0].status == 200


@pytest.mark.parametrize(
    ("accepted", "language", "title", "start"),
    [
        ("", "en", "Starting", "The hub is starting"),
        ("de-AT, en;q=0.5", "de", "Startet", "Die Installation startet noch"),
        ("en;q=0.2, fr-CA;q=0.8", "fr", "Démarrage en cours", "L'installation démarre"),
    ],
)
def test_its_own_refusals_speak_the_language_the_caller_accepts(
    starting: Running, accepted: str, language: str, title: str, start: str
) -> None:
    answer, problem = starting.ask("POST", "/v1/programs", b"{}", {"Accept-Language": accepted} if accepted else {})
    assert (answer.status, answer.headers["Content-Language"]) == (503, language)
    assert (problem["code"], problem["title"]) == ("STARTING", title) and problem["detail"].startswith(start)


def test_a_full_disk_takes_nothing_and_says_so_in_the_caller_s_language(starting: Running) -> None:
    starting.front.open(Backend(starting.api_base, KEY, lambda *_: None, {}, has_room=lambda: False))
    answer, problem = starting.ask("POST", "/v1/x", b"{}", {"Accept-Language": "de"})
    assert (answer.status, answer.headers["Retry-After"], problem["code"]) == (503, "1", "DISK_FULL")
    assert problem["title"] == "Datenträger voll" and "nicht angenommen" in problem["detail"]
    assert starting.ask("GET", "/v1/x")[0].status == 200, "reading takes no room"


def test_a_program_with_all_its_turns_taken_is_told_to_come_again(
    front: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.proxy.QUEUE_SECONDS", 0.1)
    path = "/v1/programs/acme/actions"
    with front.front.program_slot(path), front.front.program_slot(path), front.front.program_slot(path):
        answer, problem = front.ask("GET", path, headers={"Accept-Language": "fr"})
        assert front.ask("GET", "/v1/programs/other")[0].status == 200
    assert (answer.status, answer.headers["Retry-After"], problem["code"]) == (429, "1", "TOO_MANY_CALLS")
    assert problem["title"] == "Trop d'appels" and "déjà 3 appels en cours" in problem["detail"]


def test_bytes_and_headers_arrive_as_they_were_sent(front: Running) -> None:
    body = bytes(range(256)) * 3
    sent = {"X-Signature": "v1,AbC=", "Content-Type": "application/octet-stream", "X-Forwarded-For": "10.1.1.1"}
    answer, seen = front.ask("POST", "/v1/programs/acme/hooks/shop?a=%2F&b=+x", body, sent)
    assert answer.status == 200
    assert base64.b64decode(seen["body"]) == body
    assert seen["path"] == "/_aws/execute-api/x/$default/v1/programs/acme/hooks/shop?a=%2F&b=+x"
    headers = dict(seen["headers"])
    assert headers["x-signature"] == "v1,AbC=" and headers["content-type"] == "application/octet-stream"
    assert headers["x-forwarded-for"] == "10.1.1.1, 127.0.0.1" and headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == f"127.0.0.1:{front.port}"
    assert answer.headers.get_all("X-Twice") == ["1", "2"]


def test_what_holds_for_one_hop_is_dropped(front: Running) -> None:
    _, seen = front.ask("GET", "/healthz", headers={"Connection": "close, X-Hop", "X-Hop": "1", "TE": "trailers"})
    names = {name for name, _ in seen["headers"]}
    assert not names & {"x-hop", "te", "connection", "transfer-encoding"}


def test_https_on_the_same_port_with_the_hub_s_own_authority(front: Running) -> None:
    trusted = ssl.create_default_context(cafile=str(front.ca))
    connection = http.client.HTTPSConnection("localhost", front.port, context=trusted, timeout=10)
    connection.request("GET", "/healthz")
    seen = json.load(connection.getresponse())
    assert dict(seen["headers"])["x-forwarded-proto"] == "https"
    connection.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        http.client.HTTPSConnection("localhost", front.port, timeout=10).request("GET", "/healthz")


def test_curl_over_both_with_a_body_that_waits_for_100_continue(front: Running, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"x" * 2_000_000)
    for scheme in ("http", "https"):
        command = ["curl", "-sS", "--cacert", str(front.ca), "--data-binary", f"@{tmp_path / 'body'}"]
        command += ["-H", "Expect: 100-continue", f"{scheme}://localhost:{front.port}/v1/x"]
        ended = subprocess.run(command, capture_output=True, timeout=20)
        assert ended.returncode == 0, ended.stderr
        assert len(base64.b64decode(json.loads(ended.stdout)["body"])) == 2_000_000


def test_a_chunked_body_and_a_chunked_answer(front: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
    connection.request("POST", "/v1/stream", iter([b"one ", b"two"]), encode_chunked=True)
    seen = json.load(connection.getresponse())
    assert base64.b64decode(seen["body"]) == b"one two"
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()


def test_an_old_client_gets_its_answer_unchunked(front: Running) -> None:
    said = front.raw(b"GET /v1/stream HTTP/1.0\r\n\r\n")
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head and json.loads(body)["method"] == "GET"


def test_a_body_above_the_limit_is_refused_before_it_is_read(front: Running) -> None:
    head = f"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_LIMIT + 1}\r\n\r\n".encode()
    said = front.raw(head)
    assert said.startswith(b"HTTP/1.1 413 ") and b"BODY_TOO_LARGE" in said
    said = front.raw(head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
    assert said.startswith(b"HTTP/1.1 413 ")
    chunk = b"%x\r\n%b\r\n" % (BODY_LIMIT, b"x" * BODY_LIMIT)
    said = front.raw(
        b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"1\r\nx\r\n0\r\n\r\n"
    )
    assert said.startswith(b"HTTP/1.1 413 ")


def test_what_does_not_fit_into_the_event_of_a_function_is_refused(front: Running) -> None:
    """A function is given 6 MB at most, and a body that is no text stands there in base64."""
    text = {"content-type": "text/csv"}
    assert front.ask("POST", "/v1/quiet", b"x" * (EVENT_LIMIT - 10_000), text)[0].status == 200
    assert front.ask("POST", "/v1/x", b"x" * EVENT_LIMIT, text)[1]["code"] == "BODY_TOO_LARGE"
    assert front.ask("POST", "/v1/x", b'"' * (EVENT_LIMIT // 2 + 1), text)[1]["code"] == "BODY_TOO_LARGE"
    assert front.ask("POST", "/v1/quiet", b"x" * 4_500_000)[0].status == 200
    assert front.ask("POST", "/v1/x", b"x" * 4_800_000)[1]["code"] == "BODY_TOO_LARGE"


def test_headers_are_told_in_lower_case_and_repeated_ones_as_one(front: Running) -> None:
    said = front.raw(b"GET /healthz HTTP/1.0\r\nX-One: a\r\nx-one: b\r\nCookie: c=1\r\nCookie: d=2\r\n\r\n")
    seen = json.loads(said.partition(b"\r\n\r\n")[2])["headers"]
    assert ["x-one", "a,b"] in seen and ["cookie", "c=1; d=2"] in seen


def test_an_api_that_takes_longer_than_the_gateway_waits_is_503(
    front: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.proxy.UPSTREAM_SECONDS", 0.5)
    answer, problem = front.ask("GET", "/v1/slow")
    assert (answer.status, problem["code"]) == (503, "TIMED_OUT") and answer.headers["Retry-After"]


def test_an_answer_that_no_function_could_give_is_not_passed_back(front: Running) -> None:
    answer, problem = front.ask("GET", "/v1/huge")
    assert (answer.status, problem["code"]) == (502, "ANSWER_TOO_LARGE")


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nshort",
        b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/../../secret HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/a\x01b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/a\xe4b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /v1/x HTTP/9.9\r\nHost: x\r\n\r\n",
        b"BREW /v1/x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/x HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    ],
)
def test_nonsense_is_refused_with_a_problem_and_reaches_nobody(front: Running, request_: bytes) -> None:
    said = front.raw(request_)
    status = int(said.split(b" ", 2)[1])
    assert 400 <= status < 500 or status in (501, 505)
    assert b"application/problem+json" in said and b"Content-Language: en" in said
    problem = json.loads(said.partition(b"\r\n\r\n")[2])
    assert problem["status"] == status and len(problem["detail"]) > 20 and "{" not in problem["detail"]


def test_only_the_api_is_forwarded(front: Running) -> None:
    for path in ("/_ministack/reset", "/v2/x", "/etc/passwd"):
        assert front.ask("GET", path)[0].status == 404
    for path in ("/", "/openapi.json", "/healthz", "/v1/x"):
        assert front.ask("GET", path)[1]["path"].endswith(path)


def test_a_browser_without_a_path_is_welcome(front: Running) -> None:
    front.front.open(Backend(front.api_base, KEY, lambda *_: None, {}, "Retour runs here."))
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"Retour runs here."
    connection.close()


def test_a_head_request_has_no_body(front: Running) -> None:
    answer, said = front.ask("HEAD", "/healthz")
    assert answer.status == 200 and said is None


def test_changes_are_told_before_they_are_answered(front: Running) -> None:
    front.ask("PUT", "/v1/programs/acme?x=1", b"{}")
    front.ask("GET", "/v1/programs/acme")
    front.ask("POST", "/v1/missing", b"{}")
    assert front.passed == [("PUT", "/v1/programs/acme", 200), ("POST", "/v1/missing", 404)]


def test_the_hub_s_own_pages_open_to_the_admin_key_alone(front: Running) -> None:
    for key in ("", "Bearer wrong", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer ümlaut"):
        refused = front.ask("GET", "/local/mails", headers={"Authorization": key.encode("latin-1").decode("latin-1")})
        assert refused[0].status == 401
    answer, page = front.ask("GET", "/local/mails", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status == 200 and page == {"items": []}


def test_a_silent_client_keeps_nobody_waiting(front: Running) -> None:
    with (
        socket.create_connection(("127.0.0.1", front.port)),
        socket.create_connection(("127.0.0.1", front.port)) as half,
    ):
        half.sendall(b"\x16\x03")
        assert front.ask("GET", "/healthz")[0].status == 200


def test_an_api_that_is_gone_is_503(starting: Running) -> None:
    starting.front.open(Backend("http://127.0.0.1:9/x", KEY, lambda *_: None, {}))
    answer, problem = starting.ask("GET", "/healthz")
    assert answer.status == 503 and answer.headers["Retry-After"] and problem["code"] == "UNAVAILABLE"
