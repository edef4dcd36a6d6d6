"""A browser without a screen: it keeps cookies, submits forms and follows redirects."""

import base64
import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from tests.conftest import ProgramHarness

from retour.console import people, routes
from retour.console.people import Grant

HOST = "retour.test"
SECONDS = 300
"""Generous, for slow machines."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    cookies: list[str]

    @property
    def text(self) -> str:
        return unescape(self.body.decode())

    @property
    def said(self) -> str:
        """The text as readers see it, without markup."""
        return " ".join(unescape(re.sub(r"<[^>]*>", "", self.body.decode())).split(" ")).replace("\n", " ")

    @property
    def location(self) -> str:
        return self.headers["location"]

    def forms(self) -> list[dict[str, str]]:
        """The fields of every form, with its URL under `action`."""
        found = []
        for head, inner in re.findall(r"<form([^>]*)>(.*?)</form>", self.body.decode(), re.DOTALL):
            fields = {}
            for attributes in re.findall(r"<(?:input|button)([^>]*)>", inner):
                one = {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', attributes)}
                if one.get("type") == "hidden":
                    fields[one["name"]] = one.get("value", "")
            action = re.search(r'action="([^"]*)"', head)
            found.append({"action": unescape(action[1]) if action else "", **fields})
        return found

    def form(self, part: str) -> dict[str, str]:
        return next(form for form in self.forms() if part in form["action"])


@dataclass
class Browser:
    hub: Any
    scheme: str = "https"
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, address: str, **headers: str) -> Answer:
        return self.ask("GET", address, b"", headers)

    def post(self, address: str, **fields: str) -> Answer:
        fields.pop("action", None)
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return self.ask("POST", address, urlencode(fields).encode(), kind)

    def come_in(self, link: str) -> Answer:
        """Sign in by following a link and pressing its button."""
        return self.send(self.get(link).form("/console/sign-in"))

    def send(self, form: dict[str, str], **fields: str) -> Answer:
        return self.post(form["action"], **{**form, **fields})

    def upload(self, form: dict[str, str], name: str, body: bytes, **fields: str) -> Answer:
        mark = b"--7d93b"
        parts = []
        for key, value in {**form, **fields}.items():
            if key != "action":
                parts.append(b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (key.encode(), value.encode()))
        head = b'Content-Disposition: form-data; name="file"; filename="%b"\r\nContent-Type: text/csv\r\n\r\n'
        parts.append(head % name.encode() + body)
        whole = b"".join(b"--" + mark + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + mark + b"--\r\n"
        kind = {"content-type": f"multipart/form-data; boundary={mark.decode()}"}
        return self.ask("POST", form["action"], whole, kind)

    def ask(self, method: str, address: str, body: bytes, headers: dict[str, str]) -> Answer:
        parts = urlsplit(address)
        event = {
            "requestContext": {"http": {"method": method}},
            "rawPath": parts.path,
            "rawQueryString": parts.query,
            "queryStringParameters": dict(parse_qsl(parts.query)),
            "headers": {
                "x-forwarded-proto": self.scheme,
                "host": HOST,
                "accept-encoding": "gzip",
                **self.headers,
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
            "cookies": [f"{name}={value}" for name, value in self.cookies.items()],
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        given = routes.answer(self.hub, event, SECONDS)
        for cookie in given.get("cookies", ()):
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in cookie:
                del self.cookies[name]
        content = given["body"]
        raw = base64.b64decode(content) if given.get("isBase64Encoded") else content.encode()
        if given["headers"].get("content-encoding") == "gzip":
            raw = gzip.decompress(raw)
        return Answer(given["statusCode"], given["headers"], raw, given.get("cookies", []))


@dataclass
class Console:
    """The console of a house's hub, and its users."""

    house: ProgramHarness

    @property
    def base(self) -> str:
        return f"/console/{self.house.program}"

    def visitor(self) -> Browser:
        return Browser(self.house.hub)

    def person(self, role: str = "admin", partner: str = "", program: str = "", name: str = "Ana") -> Browser:
        browser = self.visitor()
        grant = Grant(program or self.house.program, role, partner)
        answer = browser.come_in(people.create_link(self.house.hub, name, [grant]))
        assert answer.status == 303
        return browser


@pytest.fixture
def console(house: ProgramHarness) -> Console:
    return Console(house)


@pytest.fixture
def sold(house: ProgramHarness) -> Callable[..., None]:
    """Report orders of 100.00 EUR, for a partner each."""

    def report(*orders: str, partner: str = "nordlicht", **more: Any) -> None:
        house.report(
            *(
                {
                    "order_id": order,
                    "partner": partner,
                    "currency": "EUR",
                    "items": [{"sku": "SHOE", "category": "shoes", "quantity": 2, "amount": "100.00"}],
                    **more,
                }
                for order in orders
            )
        )

    return report
