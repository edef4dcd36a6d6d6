"""Locate the hub and call it."""

import json
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

READY_FILE = Path(".retour/ready.json")
TIMEOUT_SECONDS = 60
RETRY_SECONDS = 60
RETRY_STATUSES = (429, 502, 503, 504)
UNREACHABLE = (ConnectionRefusedError, socket.gaierror, ssl.SSLError, str)
"""Errors before a request was sent. urllib reports unknown names and refusing proxies as text."""


class HubUnreachableError(Exception):
    """The hub is unreachable or unknown. The text says what to do."""


class LostAnswer(HubUnreachableError):
    """The hub may have carried out the request, but its response was lost."""


class UsageError(Exception):
    """The arguments do not make sense together."""


class ApiError(Exception):
    """The hub refused, with a problem document (RFC 9457) or at least a status."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.problem = problem

    @property
    def code(self) -> str:
        return str(self.problem.get("code", ""))

    def message(self) -> str:
        detail = self.problem.get("detail") or self.problem.get("title")
        if self.status in (401, 403) and not detail:
            detail = "This API key has no access. Pass another one with --key, or set RETOUR_KEY."
        said = str(detail or f"The hub answered with status {self.status}.")
        places = [describe_error(error) for error in self.problem.get("errors", ()) if isinstance(error, Mapping)]
        return "\n".join([said, *(f"  {each}" for each in places)])


def describe_error(error: Mapping[str, Any]) -> str:
    """An error with its position: `line 4, column 3, currency: …`."""
    where = [f"{what} {error[what]}" for what in ("line", "column") if error.get(what)]
    where += [str(error["key"])] if error.get("key") else []
    return ": ".join(filter(None, (", ".join(where), str(error.get("detail", "")))))


@dataclass(frozen=True, slots=True)
class ApiResponse:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body) if self.body else {}


@dataclass(frozen=True)
class HubClient:
    """A hub, accessed with a key. `ready` is a local hub's ready-file, else empty; `folder` contains it."""

    url: str
    key: str
    ready: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    sleep: Callable[[float], None] = time.sleep

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, query=query).document

    def post(self, path: str, document: Any = None, **query: Any) -> Any:
        body = b"" if document is None else json.dumps(document).encode()
        return self.call("POST", path, body, query=query).document

    def items(self, path: str, limit: int, **query: Any) -> dict[str, Any]:
        """A list, fetched page by page up to the limit (0: all of it)."""
        found: list[Any] = []
        cursor = None
        while True:
            page = self.get(path, cursor=cursor, limit=min(limit - len(found), 100) if limit else None, **query)
            found += page.get("items", [])
            cursor = page.get("next")
            if not cursor or (limit and len(found) >= limit):
                return {**page, "items": found[: limit or None], "next": cursor}

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        again: bool = False,
    ) -> ApiResponse:
        """A successful response; raises ApiError otherwise. A hub that is starting or busy is retried for a minute.

        Retries are safe, since the hub recognises deliveries it already has. `again`: the call is idempotent and may
        also be retried after a lost response.
        """
        asked = {name: query_text(value) for name, value in (query or {}).items() if value is not None}
        url = self.url.rstrip("/") + path + ("?" + urllib.parse.urlencode(asked) if asked else "")
        sent = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            sent["Content-Type"] = content_type
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            request = urllib.request.Request(url, body, sent, method=method)
            if self.key:
                # Large files redirect to a pre-signed URL, which must not get the key.
                request.add_unredirected_header("Authorization", f"Bearer {self.key}")
            try:
                answer = self._send(request)
            except LostAnswer:
                if not again or time.monotonic() + 1 > deadline:
                    raise
                self.sleep(1)
                continue
            if answer.status < 400:
                return answer
            wait = answer.headers.get("retry-after", "1")
            pause = min(float(wait) if wait.isdigit() else 1.0, 10.0)
            if answer.status not in RETRY_STATUSES or time.monotonic() + pause > deadline:
                raise ApiError(answer.status, parse_problem(answer.body))
            self.sleep(pause)

    def _send(self, request: urllib.request.Request) -> ApiResponse:
        try:
            with self._opener().open(request, timeout=TIMEOUT_SECONDS) as response:
                return ApiResponse(response.status, lowercase_names(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return ApiResponse(error.code, lowercase_names(error.headers), error.read())
        except (OSError, HTTPException) as error:
            if isinstance(why := getattr(error, "reason", error), UNREACHABLE):
                raise HubUnreachableError(self._unreachable(error)) from error
            raise LostAnswer(
                f"{self.url} was reached, but its answer did not arrive ({why}). Do the same again: files and reports "
                "that were taken in are recognised and not counted twice."
            ) from error

    def _opener(self) -> urllib.request.OpenerDirector:
        """An opener that trusts a local hub's CA and uses no proxy for local addresses."""
        own = self.folder / "tls/ca.pem" if self.folder else None
        context = ssl.create_default_context(cafile=str(own) if own and own.exists() else None)
        handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
        if urllib.parse.urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1"):
            handlers.append(urllib.request.ProxyHandler({}))
        return urllib.request.build_opener(*handlers)

    def _unreachable(self, error: Exception) -> str:
        why = getattr(error, "reason", error)
        if self.ready:
            return f"No hub answers at {self.url} ({why}). Start it with `retour up` and try again."
        return f"No hub answers at {self.url} ({why}). Check the address (--url or RETOUR_URL) and the network."


def query_text(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def lowercase_names(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def parse_problem(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    # A gateway in front of the hub responds with {"message": …}.
    return document if "detail" in document or "title" in document else {"detail": document.get("message")}


def connect(
    *, url: str | None, key: str | None, ready_file: str | None, data: str | None, program: str | None = None
) -> HubClient:
    """The hub given by the options, else the local one from its ready-file.

    For a local hub, commands for one program use that program's key, all others the admin's.
    """
    if url:
        if not key:
            raise UsageError("A hub at --url (or RETOUR_URL) needs a key as well: --key, or RETOUR_KEY.")
        return HubClient(url=url, key=key)
    path = find_ready_file(ready_file, data)
    if path is None:
        raise HubUnreachableError(
            "No hub is known here. Start one on this machine with `retour up`, or name yours:\n"
            "  --url https://… --key rk_…   (or RETOUR_URL and RETOUR_KEY)"
        )
    try:
        ready = json.loads(path.read_text("utf-8"))
        admin, url = str(ready["admin_key"]), str(ready["api"])
    except (ValueError, KeyError, TypeError):
        raise HubUnreachableError(f"{path} is no ready-file of a hub. Start the hub again: `retour up`.") from None
    own = ready.get("programs", {}).get(program or "", {}).get("api_key")
    return HubClient(url=url, key=key or own or admin, ready=ready, folder=path.resolve().parent)


def find_ready_file(ready_file: str | None, data: str | None) -> Path | None:
    """The given ready-file, or the nearest one in this folder or above."""
    if ready_file or data:
        path = Path(ready_file) if ready_file else Path(str(data)) / "ready.json"
        return path if path.is_file() else None
    here = Path.cwd()
    return next((path for folder in (here, *here.parents) if (path := folder / READY_FILE).is_file()), None)


def poll(
    ask: Callable[[], Any], *, seconds: float, every: float = 0.25, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Any]:
    """Call `ask` repeatedly until the time is over, yielding its results."""
    deadline = time.monotonic() + seconds
    while True:
        yield ask()
        if time.monotonic() + every > deadline:
            return
        sleep(every)
