"""Events of API Gateway's HTTP API (payload 2.0), with its treatment of bodies."""

import base64
from typing import Any
from urllib.parse import parse_qsl, unquote

TEXT = ("application/json", "application/xml", "application/javascript")


def event(
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    parameters: dict[str, str] | None = None,
) -> dict[str, Any]:
    """An event. `path` is as sent, with its query. In text bodies, bytes that are not UTF-8 are replaced."""
    named = {name.lower(): value for name, value in (headers or {}).items()}
    if body:
        named.setdefault("content-length", str(len(body)))
    raw, _, query = path.partition("?")
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": unquote(raw),
        "rawQueryString": query,
        "headers": named,
        "requestContext": {"http": {"method": method, "path": unquote(raw)}, "stage": "$default", "requestId": "1"},
        "isBase64Encoded": False,
    }
    words: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        words[name] = f"{words[name]},{value}" if name in words else value
    more = {"queryStringParameters": words, "pathParameters": parameters}
    made |= {name: value for name, value in more.items() if value}
    if body:
        kind = named.get("content-type", "").partition(";")[0].strip().lower()
        is_text = kind.startswith("text/") or kind in TEXT
        made["body"] = body.decode("utf-8", "replace") if is_text else base64.b64encode(body).decode()
        made["isBase64Encoded"] = not is_text
    return made


def hook(program: str, source: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """The event of a JSON webhook."""
    path = f"/v1/programs/{program}/hooks/{source}"
    return event(
        "POST", path, body, {"content-type": "application/json", **headers}, {"program": program, "source": source}
    )
