"""A browser's requests and responses as events of the HTTP API (payload 2.0)."""

import base64
import binascii
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote

COMPRESSED_FROM = 1024
TEXT_TYPES = ("text/", "image/svg", "application/json", "application/javascript")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{connects}; "
    "form-action 'self'{sign_in}; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Upload:
    name: str
    body: bytes


@dataclass(frozen=True)
class Request:
    """A request. Header names are in lower case; the last of repeated values counts."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    body: bytes
    address: str = ""

    @property
    def is_secure(self) -> bool:
        return self.address.startswith("https://")

    @property
    def wants_block(self) -> bool:
        """Whether htmx requested a block instead of a page."""
        return self.headers.get("hx-request") == "true"

    @cached_property
    def form(self) -> Mapping[str, str]:
        if self._boundary:
            return {name: part.decode("utf-8", "replace") for name, file, part in self._parts if file is None}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def values(self, name: str) -> list[str]:
        """All values of a repeated form field."""
        found = parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)
        return [value for key, value in found if key == name]

    @cached_property
    def uploads(self) -> Mapping[str, Upload]:
        return {name: Upload(file, part) for name, file, part in self._parts if file is not None}

    @property
    def _boundary(self) -> bytes:
        kind, _, rest = self.headers.get("content-type", "").partition(";")
        if kind.strip().lower() != "multipart/form-data":
            return b""
        _, _, boundary = rest.partition("boundary=")
        return boundary.split(";")[0].strip().strip('"').encode("latin-1", "replace")

    @cached_property
    def _parts(self) -> list[tuple[str, str | None, bytes]]:
        """(field, file name, bytes) of a multipart form, with the exact bytes."""
        found: list[tuple[str, str | None, bytes]] = []
        boundary = self._boundary
        for part in (b"\r\n" + self.body).split(b"\r\n--" + boundary)[1:] if boundary else ():
            head, blank, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            said = disposition(head)
            if blank and "name" in said:
                found.append((said["name"], said.get("filename"), content))
        return found


def disposition(head: bytes) -> dict[str, str]:
    """The parameters of a part's Content-Disposition."""
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            found = {}
            for parameter in value.split(";")[1:]:
                key, _, text = parameter.strip().partition("=")
                found[key.lower()] = text.strip('"').replace("%22", '"')
            return found
    return {}


def parse_request(event: Mapping[str, Any]) -> Request:
    text = event.get("body") or ""
    try:
        body = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        body = b""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    given = [*event.get("cookies", ()), *headers.get("cookie", "").split(";")]
    pairs = (cookie.strip().partition("=") for cookie in given)
    scheme = headers.get("x-forwarded-proto", "https").split(",")[-1].strip()
    host = headers.get("x-forwarded-host") or headers.get("host", "")
    raw = event.get("rawQueryString")
    query = parse_qsl(raw, keep_blank_values=True) if raw else (event.get("queryStringParameters") or {}).items()
    return Request(
        method=event["requestContext"]["http"]["method"].upper(),
        path=unquote(event["rawPath"]),
        query=dict(query),
        headers=headers,
        cookies={name: value for name, _, value in pairs if name},
        body=body,
        address=f"{scheme}://{host}",
    )


@dataclass(frozen=True)
class Response:
    """`connects`: further origins the page's script may connect to."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()
    connects: str = ""


def html_response(html: str, status: int = 200) -> Response:
    return Response(status, html.encode(), {"content-type": "text/html; charset=utf-8"})


def json_response(value: Any, status: int = 200) -> Response:
    return Response(
        status, json.dumps(value, ensure_ascii=False, indent=1).encode(), {"content-type": "application/json"}
    )


def redirect(path: str, *cookies: str) -> Response:
    """303, after a change or to a canonical URL."""
    return Response(303, b"", {"location": path}, cookies)


def download(name: str, body: bytes, media_type: str = "application/octet-stream") -> Response:
    """A file as a download, never displayed by the browser."""
    from urllib.parse import quote

    headers = {
        "content-type": media_type,
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }
    return Response(200, body, headers)


def cookie(name: str, value: str, request: Request, seconds: int | None = None, hidden: bool = True) -> str:
    """A cookie, SameSite=Lax. With `hidden` no script may read it."""
    parts = [f"{name}={value}", "Path=/", "SameSite=Lax"]
    parts += ["HttpOnly"] if hidden else []
    parts += ["Secure"] if request.is_secure else []
    parts += [f"Max-Age={seconds}"] if seconds is not None else []
    return "; ".join(parts)


def gateway_response(request: Request, response: Response, sign_in: str = "") -> dict[str, Any]:
    """The response for the HTTP API, with common headers. `sign_in` is the origin of the login service."""
    headers = {
        "content-security-policy": POLICY.format(
            sign_in=f" {sign_in}" if sign_in else "", connects=f" {response.connects}" if response.connects else ""
        ),
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
        "cache-control": "private, no-store",
        "vary": "HX-Request, Accept-Language, Cookie, Accept-Encoding",
        **response.headers,
    }
    if request.is_secure:
        headers["strict-transport-security"] = "max-age=31536000"
    body = response.body
    is_text = headers.get("content-type", "").startswith(TEXT_TYPES)
    if is_text and len(body) >= COMPRESSED_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 6, mtime=0)
        headers["content-encoding"] = "gzip"
    answer: dict[str, Any] = {"statusCode": response.status, "headers": headers}
    if response.cookies:
        answer["cookies"] = list(response.cookies)
    if is_text and "content-encoding" not in headers:
        return answer | {"body": body.decode()}
    return answer | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
