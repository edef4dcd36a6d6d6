"""A fake hub with prepared responses, which records requests."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class CannedResponse:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


Answer = CannedResponse | Callable[[RecordedRequest], CannedResponse]


@dataclass
class FakeHub:
    """`answers` by "METHOD path". Responses of a list are returned in turn, the last one repeatedly."""

    url: str
    answers: dict[str, Answer | list[Answer]] = field(default_factory=dict)
    asked: list[RecordedRequest] = field(default_factory=list)

    def says(self, what: str, body: Any, status: int = 200, **headers: str) -> None:
        self.answers[what] = CannedResponse(
            status, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    def refuses(self, what: str, status: int, code: str, detail: str, **more: Any) -> None:
        self.says(
            what,
            {"type": "/problems/x", "title": "No", "status": status, "code": code, "detail": detail, **more},
            status,
        )

    def of(self, what: str) -> list[RecordedRequest]:
        return [asked for asked in self.asked if f"{asked.method} {asked.path}" == what]

    def answer(self, asked: RecordedRequest) -> CannedResponse:
        self.asked.append(asked)
        laid_out = self.answers.get(f"{asked.method} {asked.path}")
        if isinstance(laid_out, list):
            laid_out = laid_out.pop(0) if len(laid_out) > 1 else laid_out[0]
        if laid_out is None:
            return CannedResponse(
                404, {"title": "Not found", "status": 404, "code": "NOT_FOUND", "detail": f"no {asked.path}"}
            )
        return laid_out if isinstance(laid_out, CannedResponse) else laid_out(asked)


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            said = hub.answer(RecordedRequest(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body))
            if not said.status:  # The response is lost.
                self.close_connection = True
                return
            out = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = FakeHub(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
