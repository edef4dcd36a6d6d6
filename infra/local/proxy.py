"""The public port: HTTP and HTTPS on one port, forwarded to the API of the deployed stack.

It imitates API Gateway: bodies up to 10 MB, events up to 6 MB, a timeout of 29 seconds, header names in lower case,
repeated headers joined, X-Forwarded-* added, hop-by-hop headers removed, invalid function responses rejected. Until the
stack is deployed it answers 503 with Retry-After.
"""

import hmac
import http.client
import json
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from retour.api.problem import MEDIA_TYPE, HttpError, accepted_language, problem_document
from retour.errors import InvalidRequestError, NotFoundError, RequestError, error_catalog, excerpt

log = logging.getLogger("retour.local")

BODY_LIMIT = 10 * 1024 * 1024
EVENT_LIMIT = 6 * 1024 * 1024
"""Maximum JSON size of a function's event and response."""
TEXT_TYPES = ("application/json", "application/xml", "application/javascript")
"""Types passed as text in an event, besides text/*. All others are base64."""
CLIENT_SECONDS = 60
UPSTREAM_SECONDS = 29
TLS_HANDSHAKE = b"\x16"
FORWARDED_PREFIXES = ("/v1/", "/console/", "/my/", "/static/")
FORWARDED_PATHS = ("/", "/console", "/openapi.json", "/healthz")
SIGN_IN = "/console/sign-in"
PROGRAM = re.compile(r"/(?:v1/programs|console)/([^/]+)")
CALLS_PER_PROGRAM = 3
"""Concurrent calls per program. Further calls wait, so that other programs are not blocked."""
QUEUE_SECONDS = 20
HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "trailers", "transfer-encoding", "upgrade", "expect",
}  # fmt: skip
KEY_HEADER = "x-retour-key"
"""Header that identifies this proxy to the embedded AWS (see aws_gateway.py)."""
OWN_HEADERS = {
    KEY_HEADER,
    "host",
    "content-length",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-host",
}


OnAnswer = Callable[[str, str, int], None]
PageView = Callable[[], Any]
PageAction = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Backend:
    """What the proxy needs of the deployed stack.

    `passed` is called with method, path and status before a response is forwarded, so that what it promises can be
    stored first. `pages` are the hub's own, for the admin key only; `welcome` is shown to browsers at `/`. `knobs`
    handle POST to a page. `aws_key` is the key of the embedded AWS. Without `has_room`, calls that store data are
    refused.
    """

    api_base: str
    admin_key: str
    passed: OnAnswer
    pages: Mapping[str, PageView]
    welcome: str = ""
    knobs: Mapping[str, PageAction] = field(default_factory=dict)
    aws_key: str = ""
    has_room: Callable[[], bool] = lambda: True


class HubProxy(ThreadingHTTPServer):
    """Listens from the start. `open` begins forwarding."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext):
        self.tls = tls
        self.opened: Backend | None = None
        self.connections = threading.local()
        self.under_way: dict[str, threading.BoundedSemaphore] = {}
        self.counting = threading.Lock()
        super().__init__(listening.getsockname()[:2], ClientConnection, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_address = listening.getsockname()[:2]
        self.server_port = self.server_address[1]
        self.server_activate()

    def open(self, backend: Backend) -> None:
        self.opened = backend

    @contextmanager
    def program_slot(self, path: str) -> Iterator[None]:
        """Limit a program's concurrent calls, as an account's concurrency limit does in the cloud."""
        found = PROGRAM.match(path)
        with self.counting:
            turns = self.under_way.setdefault(found[1] if found else "", threading.BoundedSemaphore(CALLS_PER_PROGRAM))
        if not turns.acquire(timeout=QUEUE_SECONDS):
            raise HttpError("TOO_MANY_CALLS", "turns", most=str(CALLS_PER_PROGRAM))
        try:
            yield
        finally:
            turns.release()

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, args=(0.1,), name="front", daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in its own thread, so that a silent client blocks nobody."""
        request.settimeout(CLIENT_SECONDS)
        secure = request.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE
        if secure:
            request = self.tls.wrap_socket(request, server_side=True)
        try:
            ClientConnection(request, client_address, self)
        finally:
            if secure:
                self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up or speak neither HTTP nor TLS. The caller closes the connection."""


class ClientConnection(BaseHTTPRequestHandler):
    """A client's connection."""

    protocol_version = "HTTP/1.1"
    server_version = "retour"
    sys_version = ""
    timeout = CLIENT_SECONDS
    server: HubProxy

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

    def forward(self) -> None:
        try:
            path = self.plain_path()
            opened = self.server.opened
            body = self.body()
            if opened is None:
                raise HttpError("STARTING")
            if path in opened.pages:
                self.serve_page(opened, path, body)
            elif path == "/" and opened.welcome:
                self.answer(HTTPStatus.OK, "text/plain; charset=utf-8", opened.welcome.encode())
            elif path in FORWARDED_PATHS or path.startswith(FORWARDED_PREFIXES):
                with self.server.program_slot(path):
                    self.forward_to_api(opened, path, body)
            else:
                raise NotFoundError("path")
        except RequestError as refused:
            self.refuse(refused)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = forward

    def plain_path(self) -> str:
        if self.path.startswith(("http://", "https://")):
            parts = urlsplit(self.path)
            self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        path = self.path.partition("?")[0]
        if not all("!" <= character <= "~" for character in self.path):
            raise InvalidRequestError("PATH_INVALID", "encoding")
        if ".." in path.split("/"):
            raise InvalidRequestError("PATH_INVALID", "dots")
        return path

    def body(self) -> bytes:
        """Read the whole body, as API Gateway does before it calls a function."""
        lengths = {text.strip() for value in self.headers.get_all("content-length", []) for text in value.split(",")}
        coding = self.headers.get("transfer-encoding")
        if coding is not None:
            if lengths or coding.strip().lower() != "chunked":
                raise HttpError("HTTP_INVALID", "length_twice")
            return b"".join(self.chunks())
        if not lengths:
            return b""
        text = lengths.pop()
        if lengths or not text.isascii() or not text.isdigit():
            raise HttpError("HTTP_INVALID", "length")
        if len(text) > 12 or int(text) > BODY_LIMIT:
            raise InvalidRequestError("BODY_TOO_LARGE", "call")
        body = self.rfile.read(int(text))
        if len(body) < int(text):
            raise HttpError("HTTP_INVALID", "cut_off")
        return body

    def chunks(self) -> Iterator[bytes]:
        total = 0
        while True:
            head = self.rfile.readline(1026).partition(b";")[0].strip()
            try:
                size = int(head, 16)
            except ValueError:
                size = -1
            if size < 0 or len(head) > 16:
                raise HttpError("HTTP_INVALID", "chunks")
            if size == 0:
                while self.rfile.readline(65537).strip():
                    pass
                return
            total += size
            if total > BODY_LIMIT:
                raise InvalidRequestError("BODY_TOO_LARGE", "call")
            yield self.rfile.read(size)
            self.rfile.readline(3)

    def handle_expect_100(self) -> bool:
        """Let a client send its body only if it will be read."""
        length = self.headers.get("content-length", "")
        if length.isdigit() and int(length) > BODY_LIMIT:
            self.refuse(InvalidRequestError("BODY_TOO_LARGE", "call"))
            return False
        return super().handle_expect_100()

    def forward_to_api(self, backend: Backend, path: str, body: bytes) -> None:
        if self.command not in ("GET", "HEAD", "OPTIONS") and not backend.has_room():
            raise HttpError("DISK_FULL")
        if self.event_bytes(body) > EVENT_LIMIT:
            raise InvalidRequestError("BODY_TOO_LARGE", "call")
        target = urlsplit(backend.api_base)
        upstream = http.client.HTTPConnection(target.hostname or "", target.port, timeout=UPSTREAM_SECONDS)
        try:
            upstream.putrequest(
                self.command, target.path.rstrip("/") + self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.forwarded_headers(target.netloc, body):
                upstream.putheader(name, value)
            if backend.aws_key:
                upstream.putheader(KEY_HEADER, backend.aws_key)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            if answer.status == HTTPStatus.BAD_GATEWAY:  # A function that did not start or crashed.
                raise http.client.HTTPException
            if int(answer.getheader("content-length") or 0) > EVENT_LIMIT:
                upstream.close()
                raise HttpError("ANSWER_TOO_LARGE", most=f"{EVENT_LIMIT >> 20} MB")
        except TimeoutError:
            upstream.close()
            raise HttpError("TIMED_OUT", "gateway", seconds=str(UPSTREAM_SECONDS)) from None
        except (OSError, http.client.HTTPException):
            upstream.close()
            raise HttpError("UNAVAILABLE", "hub") from None
        try:
            if self.command not in ("GET", "HEAD", "OPTIONS"):
                self.keep_changes(backend, path, answer.status)
            self.send_answer(answer)
        finally:
            upstream.close()

    def event_bytes(self, body: bytes) -> int:
        """The size of this call's event, a third larger if the body is base64."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_text = kind.startswith("text/") or kind in TEXT_TYPES
        told = len(json.dumps(body.decode("utf-8", "replace"), ensure_ascii=False).encode()) if is_text else 0
        return (told or 4 * -(-len(body) // 3)) + len(self.path) * 2 + len(str(self.headers))

    def keep_changes(self, backend: Backend, path: str, status: int) -> None:
        """Store what a response promises, or replace the response by an error."""
        try:
            backend.passed(self.command, path, status)
        except Exception:
            log.exception("what %s %s changed could not be kept", self.command, path)
            raise HttpError("NOT_KEPT") from None

    def forwarded_headers(self, host: str, body: bytes) -> Iterator[tuple[str, str]]:
        named = {name.strip().lower() for name in self.headers.get("connection", "").split(",")}
        dropped = HOP_BY_HOP | OWN_HEADERS | named
        yield "Host", host
        told: dict[str, str] = {}
        for name, value in ((name.lower(), value) for name, value in self.headers.items()):
            joint = "; " if name == "cookie" else ","
            told[name] = f"{told[name]}{joint}{value}" if name in told else value
        yield from ((name, value) for name, value in told.items() if name not in dropped)
        secure = isinstance(self.connection, ssl.SSLSocket)
        earlier = self.headers.get("x-forwarded-for")
        client = str(self.client_address[0])
        yield "X-Forwarded-For", f"{earlier}, {client}" if earlier else client
        yield "X-Forwarded-Proto", "https" if secure else "http"
        yield "X-Forwarded-Port", str(self.server.server_port)
        yield "X-Forwarded-Host", self.headers.get("host", "")
        if body or self.command in ("POST", "PUT", "PATCH"):
            yield "Content-Length", str(len(body))

    def send_answer(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP | {"server"}:
                self.send_header(name, value)
        empty = self.command == "HEAD" or answer.status in (204, 304) or answer.status < 200
        measured = answer.getheader("content-length") is not None
        chunked = not empty and not measured and self.request_version != "HTTP/1.0"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif not empty and not measured:
            self.close_connection = True
        self.end_headers()
        if empty:
            return
        while block := answer.read1(65536):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def serve_page(self, backend: Backend, path: str, body: bytes) -> None:
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.strip().encode(), backend.admin_key.encode()):
            raise HttpError("UNAUTHORIZED", "hub_page")
        turned = (
            backend.knobs[path](body) if self.command == "POST" and path in backend.knobs else backend.pages[path]()
        )
        self.answer(HTTPStatus.OK, "application/json", json.dumps(turned).encode())

    def refuse(self, refused: RequestError) -> None:
        """Send a problem document in a language the caller accepts."""
        language = accepted_language({"accept-language": self.accepted_languages()})
        # The rest of an unread body would be parsed as the next request.
        self.close_connection = True
        document = json.dumps(problem_document(refused, language), ensure_ascii=False).encode()
        self.answer(HTTPStatus(refused.status), MEDIA_TYPE, document, language)

    def accepted_languages(self) -> str:
        """The accepted languages; empty if the request has no readable headers."""
        headers = getattr(self, "headers", None)
        return ",".join(headers.get_all("accept-language", [])) if headers else ""

    def answer(self, status: HTTPStatus, kind: str, body: bytes, language: str = "") -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        if language:
            self.send_header("Content-Language", language)
        self.send_header("Content-Length", str(len(body)))
        if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            self.send_header("Retry-After", "1")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Requests refused by the standard library, such as malformed ones, with our own error."""
        name = HTTPStatus(code).name
        self.command = getattr(self, "command", None) or "GET"
        # An unparseable request counts as HTTP/0.9, whose responses have no headers.
        self.request_version = "HTTP/1.1"
        self.refuse(HttpError(name if name in error_catalog() else "HTTP_INVALID", method=excerpt(self.command)))

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: calls are in the API's own log."""
