"""Requests sent by the thousand: a ready body, and as little as can be between it and the wire.

What boto3 spends on a batch it spends on making the request's body, and on a client for all of HTTP below it. Here the
body comes ready and goes out over a connection of our own, where botocore lets one (its events before a call and
before sending); endpoint, credentials, signature, retries and errors remain botocore's. So do the connections wherever
there is more to them than a server and its certificate.
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
    """A DynamoDB client that takes `Statements=<bytes>`: the body of a batch of statements as it goes over the wire.

    An answer in which nothing went wrong and nothing was found comes without its `Responses`. `authority` is the file
    of certificates to believe in, where it is not botocore's own.
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
    """An answer that speaks of no error and gives no item is not worth taking apart."""
    if response_dict["status_code"] == 200 and not ERROR_OR_ITEM.search(response_dict["body"]):
        response_dict["body"] = b"{}"


class UnsupportedResponseError(Exception):
    """An answer that may well be right, and is more than this reads."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow on the same connection."""
        return self.headers.get("connection", "").lower() != "close"

    def stream(self) -> Iterator[bytes]:
        """The body as botocore asks for it."""
        yield self.body


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection that is kept from request to request; where an exchange fails it is good for nothing any more."""

    socket: socket.socket
    incoming: BinaryIO

    def exchange(self, request: bytes) -> HttpResponse:
        """Send a request, read the whole of its answer."""
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
        """Whether the other side has neither closed it nor said what nobody asked for."""
        from urllib3.util import wait_for_read

        return not wait_for_read(self.socket, timeout=0)

    def close(self) -> None:
        self.incoming.close()
        self.socket.close()


@dataclass
class ConnectionPool:
    """Connections, each lent to one request at a time and kept for the next."""

    authority: str | None
    connect_timeout: float
    read_timeout: float
    is_familiar: bool = True
    kept: dict[str, deque[Connection]] = field(default_factory=dict)

    def send(self, request: Any, **_: Any) -> Any:
        """botocore's request to botocore's answer; None where botocore itself has to send it.

        What fails is told in botocore's own errors, so that botocore tries again as it always does.
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
    """All of a request before its body. The host is as it was signed: without a port that goes without saying."""
    host = url.netloc.removesuffix(f":{PORTS[url.scheme]}")
    lines = [f"{request.method} {url.path or '/'} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
    for name, value in request.headers.items():
        lines.append(f"{name}: {value.decode() if isinstance(value, bytes) else value}")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1")
