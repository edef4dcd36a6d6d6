"""The embedded AWS as the hub runs it: MiniStack behind an authenticating gateway.

MiniStack accepts every request that reaches its port, sends CORS headers to every page, and confirms objects that could
not be written to disk. This ASGI application in front of it adds:

  - Authentication: requests must be signed with the hub's key or contain it, and pre-signed URLs open their object
    only. Responses have no CORS headers, except for uploads from the hub's own console.
  - Disk errors: an object that was not written is refused, and removed from memory.
  - Shutdown: if the state could not be saved, the process exits with a special code, so that the next start does not
    use an older snapshot.

It runs in the embedded AWS's own interpreter and is started as a file, so it imports nothing of the hub.
"""

import contextlib
import contextvars
import hmac
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

KEY_HEADER = "x-retour-key"
READY = "/_ministack/ready"
EXECUTE_API = "/_aws/execute-api/"
ROLE_KEY_PREFIX = "ASIA"
"""Prefix of the keys of functions with roles (retour up --auth)."""
ROOT_AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
)
PID_FILE = "emulator.pid"
"""Exists in the working folder while the state is not saved."""
EXIT_NOT_SAVED = 3
"""Exit code if the state could not be saved."""
STATUS_NOT_STORED = 507
"""Status of a failed write. Unlike 503, no SDK retries it."""

failed_writes: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("not_written", default=None)


class WriteFailures(logging.Handler):
    """Detects failed writes in MiniStack's log, the only place that reports them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if said.startswith(("Failed to persist", "Persistence: failed to save", "Persistence: error getting state")):
            self.heard.append(said)
            if (of_request := failed_writes.get()) is not None:
                of_request.append(said)


@dataclass(frozen=True)
class AwsGateway:
    """With an empty `key` all requests are accepted, as in tests with an embedded AWS of their own.

    `origins` are those of the hub's own pages.
    """

    behind: App
    key: str
    origins: frozenset[str] = field(default_factory=frozenset)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan" or not self.key:
                await self.behind(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get("origin", "")
        if self.key:
            if origin and origin not in self.origins:
                return await refuse(send, 403, "AccessDenied", "The embedded AWS answers no web page.")
            query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            if scope["method"] == "OPTIONS":
                asked = headers.get("access-control-request-method", "")
                if origin and self._is_signed_address(scope, query, headers, asked):
                    return await allow_upload(send, origin)
                return await refuse(send, 403, "AccessDenied", "The embedded AWS answers no web page.")
            receive, body = await self._body(scope, headers, receive)
            if not self._is_ours(scope, query, headers, body):
                told = "Only the hub's own processes come in here; their key lies in the data folder, aws/credentials."
                return await refuse(send, 403, "AccessDenied", told)
            if scope["path"].startswith(EXECUTE_API):
                scope = {**scope, "headers": [one for one in scope["headers"] if one[0].lower() != KEY_HEADER.encode()]}
        complaints: list[str] = []
        failed_writes.set(complaints)
        await self.behind(scope, receive, GuardedResponse(send, self, scope, origin, complaints))

    async def _body(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> tuple[Receive, bytes]:
        """The body if the signature check needs it, and a receiver that replays it."""
        hashed = headers.get("x-amz-content-sha256", "")
        is_signed = headers.get("authorization", "").startswith("AWS4-")
        if not is_signed or KEY_HEADER in headers or (hashed and not hashed.startswith("STREAMING-AWS4")):
            return receive, b""
        pieces, more = [], True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(pieces)
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        return again, body

    def _is_ours(self, scope: Scope, query: Mapping[str, Any], headers: Mapping[str, str], body: bytes) -> bool:
        from ministack.core.sigv4 import (  # type: ignore[import-not-found]
            header_signature_failure,
            parse_header_signature,
        )

        if scope["path"] == READY and scope["method"] == "GET":
            return True
        if KEY_HEADER in headers:
            return hmac.compare_digest(headers[KEY_HEADER].encode(), self.key.encode())
        if headers.get("authorization", "").startswith("AWS4-HMAC-SHA256"):
            said = parse_header_signature(headers)
            if isinstance(said, tuple) or said.access_key_id.startswith(ROLE_KEY_PREFIX):
                return False
            return (
                header_signature_failure(said, self.key, scope["method"], raw_path(scope), query, headers, body) is None
            )
        return self._is_signed_address(scope, query, headers, scope["method"])

    def _is_signed_address(
        self, scope: Scope, query: Mapping[str, Any], headers: Mapping[str, str], method: str
    ) -> bool:
        """Whether a URL was signed for this object and method. MiniStack checks the keys of functions with roles."""
        from ministack.core.sigv4 import (
            header_signature_failure,
            parse_query_signature,
            presigned_request_is_expired,
        )

        if "X-Amz-Signature" not in query:
            return False
        said = parse_query_signature(query)
        if isinstance(said, tuple) or said.service != "s3" or method not in ("GET", "HEAD", "PUT"):
            return False
        if said.access_key_id.startswith(ROLE_KEY_PREFIX):
            return os.environ.get("AUTH") == "true"
        expires = (query.get("X-Amz-Expires") or [""])[0]
        if not expires.isdigit() or presigned_request_is_expired(said.amz_date, expires):
            return False
        return (
            header_signature_failure(said, self.key, method, raw_path(scope), query, headers, b"", presigned=True)
            is None
        )


@dataclass
class GuardedResponse:
    """Intercepts MiniStack's response before it is sent."""

    send: Send
    door: AwsGateway
    scope: Scope
    origin: str
    complaints: list[str]
    is_refused: bool = False

    async def __call__(self, message: Message) -> None:
        if self.is_refused:
            return
        if message["type"] == "http.response.start":
            if self.complaints:
                self.is_refused = True
                await drop_unsaved_version(self.door.behind, self.scope, message["headers"])
                told = f"The disk did not take it: {self.complaints[0]}"
                return await refuse(self.send, STATUS_NOT_STORED, "NotStored", told)
            if self.door.key:
                kept = [one for one in message["headers"] if not one[0].lower().startswith(b"access-control-")]
                ours = [(b"access-control-allow-origin", self.origin.encode()), (b"vary", b"origin")]
                message = {**message, "headers": kept + (ours if self.origin else [])}
        await self.send(message)


async def drop_unsaved_version(behind: App, scope: Scope, answered: Headers) -> None:
    """Remove an object version that exists only in memory, so that the previous one is the newest again."""
    version = next((value for name, value in answered if name.lower() == b"x-amz-version-id"), None)
    if version is None:
        return
    query = b"versionId=" + quote(version.decode("latin-1")).encode()
    signed = [one for one in scope["headers"] if one[0].lower() == b"host"] + [
        (b"authorization", ROOT_AUTHORIZATION.encode())
    ]

    async def nothing() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def unheard(_message: Message) -> None:
        return

    await behind({**scope, "method": "DELETE", "query_string": query, "headers": signed}, nothing, unheard)


def raw_path(scope: Scope) -> str:
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    return str(raw.decode("latin-1").partition("?")[0])


async def allow_upload(send: Send, origin: str) -> None:
    headers = [
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-allow-methods", b"PUT"),
        (b"access-control-allow-headers", b"content-type"),
        (b"vary", b"origin"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def refuse(send: Send, status: int, code: str, told: str) -> None:
    safe = told.replace("&", "&amp;").replace("<", "&lt;")
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{safe}</Message></Error>".encode()
    headers = [(b"content-type", b"application/xml"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def hub_origins(address: str) -> frozenset[str]:
    """All origins by which a browser may reach the hub."""
    port = urlsplit(address).port
    return frozenset(
        f"{scheme}://{host}:{port}" for scheme in ("http", "https") for host in ("127.0.0.1", "localhost") if port
    )


def end_with_parent() -> None:
    """Exit as on SIGTERM when the parent process ends in any way, detected by the end of a pipe.

    Only for processes started with `RETOUR_LIFELINE` in their environment and a pipe as standard input.
    """

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    if os.environ.pop("RETOUR_LIFELINE", ""):
        threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    from ministack import app as emulated  # type: ignore[import-not-found]

    complaints = WriteFailures()
    for service in ("s3", "persistence"):
        logging.getLogger(service).addHandler(complaints)
    emulated.app = AwsGateway(
        emulated.app, os.environ.get("RETOUR_AWS_KEY", ""), hub_origins(os.environ.get("RETOUR_FRONT", ""))
    )
    sys.argv = ["ministack"]
    complaints.heard.clear()
    end_with_parent()
    emulated.main()
    if any(said.startswith("Persistence") for said in complaints.heard):
        return EXIT_NOT_SAVED
    with contextlib.suppress(OSError):
        os.unlink(PID_FILE)  # As long as it exists, the state counts as not saved.
    return 0


if __name__ == "__main__":
    sys.exit(main())
