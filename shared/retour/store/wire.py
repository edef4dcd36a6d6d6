"""A fast path for requests sent by the thousand: a ready-made body over a connection of our own.

Most of the time boto3 spends on a batch goes into building its body and into the HTTP client below it. Here the body is
ready, and botocore's `before-call` and `before-send` events let us send it ourselves. Endpoint, credentials, signature,
retries and errors remain botocore's, and so do connections that need a proxy or client certificates.
"""

import re
import socket
import ssl
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

LINE_BYTES = 64 * 1024
HEADERS_MAX = 100
PORTS = {"https": 443, "http": 80}
ERROR_OR_ITEM = re.compile(rb'"(Error|Item)"')
PLACEHOLDER = [{"Statement": "-"}]


def accept_raw_batches(client: Any, authority: str | None = None) -> Any:
    """Prepare a DynamoDB client to take `Statements=<bytes>`, the encoded body of a batch of statements.

    A response without errors and items has no `Responses`. `authority` is a CA bundle other than botocore's own.
    """
    events = client.meta.events
    events.register("before-parameter-build.dynamodb.BatchExecuteStatement", _take_raw_body)
    events.register("before-call.dynamodb.BatchExecuteStatement", _restore_raw_body)
    events.register("before-parse.dynamodb.BatchExecuteStatement", _skip_empty_parsing)
    config = client.meta.config
    if not (config.proxies or config.client_cert or set(getproxies()) - {"no"}):
        wire = ConnectionPool(authority, config.connect_timeout, config.read_timeout)
        events.register("before-send.dynamodb.BatchExecuteStatement", wire.send)
    return client


def _take_raw_body(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    if isinstance(params["Statements"], bytes):
        context["ready_body"] = params["Statements"]
        params["Statements"] = PLACEHOLDER


def _restore_raw_body(params: dict[str, Any], context: Mapping[str, Any], **_: Any) -> None:
    if "ready_body" in context:
        params["body"] = context["ready_body"]


def _skip_empty_parsing(response_dict: dict[str, Any], **_: Any) -> None:
    """Skip parsing a response that has neither errors nor items."""
    if response_dict["status_code"] == 200 and not ERROR_OR_ITEM.search(response_dict["body"]):
        response_dict["body"] = b"{}"


class UnsupportedResponseError(Exception):
    """A response that may be valid, but that this client cannot read."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_reusable(self) -> bool:
        """Whether the connection can be reused."""
        return self.headers.get("connection", "").lower() != "close"

    def stream(self) -> Iterator[bytes]:
        """The body, as botocore expects it."""
        yield self.body


@dataclass(frozen=True, slots=True)
class Connection:
    """A keep-alive connection. After a failed exchange it must not be reused."""

    socket: socket.socket
    incoming: BinaryIO

    def exchange(self, request: bytes) -> HttpResponse:
        """Send a request and read its whole response."""
        self.socket.sendall(request)
        version, status, *_ = self._line().split(maxsplit=2)
        headers: dict[str, str] = {}
        while line := self._line():
            name, colon, value = line.partition(":")
            if not colon or len(headers) == HEADERS_MAX:
                raise UnsupportedResponseError(line[:80])
            headers[name.lower()] = value.strip()
        length = headers.get("content-length", "")
        if version != "HTTP/1.1" or not length.isdigit() or {"transfer-encoding", "content-encoding"} & headers.keys():
            raise UnsupportedResponseError(f"{version} with {', '.join(headers)}")
        body = self.incoming.read(int(length))
        if len(body) != int(length):
            raise EOFError(f"{len(body)} of {length} bytes")
        return HttpResponse(int(status), headers, body)

    def _line(self) -> str:
        line = self.incoming.readline(LINE_BYTES)
        if not line.endswith(b"\r\n"):
            raise EOFError("within the head of an answer")
        return line[:-2].decode("latin-1")

    def is_idle(self) -> bool:
        """Whether the peer has neither closed the connection nor sent unexpected data."""
        from urllib3.util import wait_for_read

        return not wait_for_read(self.socket, timeout=0)

    def close(self) -> None:
        self.incoming.close()
        self.socket.close()


@dataclass
class ConnectionPool:
    """Idle connections for reuse. Each serves one request at a time."""

    authority: str | None
    connect_timeout: float
    read_timeout: float
    is_familiar: bool = True
    kept: dict[str, deque[Connection]] = field(default_factory=dict)

    def send(self, request: Any, **_: Any) -> Any:
        """Send botocore's request. None leaves the request to botocore.

        Failures are raised as botocore's own errors, so that it retries as usual.
        """
        from botocore.awsrequest import AWSResponse
        from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

        if not (self.is_familiar and isinstance(request.body, bytes)):
            return None
        url = urlsplit(request.url)
        connection = self._borrow(url)
        try:
            answer = connection.exchange(request_head(request, url) + request.body)
        except TimeoutError as error:
            connection.close()
            raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
        except (OSError, EOFError, ValueError, UnsupportedResponseError) as error:
            connection.close()
            self.is_familiar = not isinstance(error, UnsupportedResponseError)
            raise ConnectionClosedError(endpoint_url=request.url, request=request, error=error) from error
        if answer.is_reusable:
            self.kept[url.netloc].append(connection)
        else:
            connection.close()
        return AWSResponse(request.url, answer.status, answer.headers, answer)  # type: ignore[arg-type]

    def _borrow(self, url: SplitResult) -> Connection:
        kept = self.kept.setdefault(url.netloc, deque())
        while kept:
            connection = kept.pop()
            if connection.is_idle():
                return connection
            connection.close()
        return self._connect(url)

    def _connect(self, url: SplitResult) -> Connection:
        from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, SSLError

        try:
            plain = socket.create_connection((url.hostname, url.port or PORTS[url.scheme]), self.connect_timeout)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            safe = self._tls.wrap_socket(plain, server_hostname=url.hostname) if url.scheme == "https" else plain
        except TimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=url.geturl(), error=error) from error
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=url.geturl(), error=error) from error
        except OSError as error:
            raise EndpointConnectionError(endpoint_url=url.geturl(), error=error) from error
        safe.settimeout(self.read_timeout)
        return Connection(safe, safe.makefile("rb"))

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        from botocore.httpsession import get_cert_path

        return ssl.create_default_context(cafile=self.authority or get_cert_path(True))


def request_head(request: Any, url: SplitResult) -> bytes:
    """The request line and headers. `Host` is as signed: without the default port."""
    host = url.netloc.removesuffix(f":{PORTS[url.scheme]}")
    lines = [f"{request.method} {url.path or '/'} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
    for name, value in request.headers.items():
        lines.append(f"{name}: {value.decode() if isinstance(value, bytes) else value}")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1")
