"""A Salesforce organisation on this machine, near enough that unmodified simple-salesforce works against it.

TLS on loopback with a certificate for *.salesforce.com from an authority of our own; the JWT login with its signature
checked; queries with pages; records; collections with an error per record; sessions that expire; limits; and Outbound
Messages sent as Salesforce sends them: at most 100 in one, the latest state, repeated until acknowledged.
`/control/…` is what an admin would do by hand (`GET /control/` lists it).

    python -m local.salesforce --data DIR        in infra/, for a look around
"""

import argparse
import json
import random
import re
import secrets
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from local import soql
from retour.channels.salesforce import id18

if TYPE_CHECKING:
    import trustme

ORG = "00D5e000001Ret0EAC"
MY_DOMAIN = "acme.my"
HOSTS = ("login.salesforce.com", "test.salesforce.com", "*.my.salesforce.com", "*.sandbox.my.salesforce.com")
TEXT, NUMBER, MOMENT, PICKLIST, REFERENCE = "string", "double", "datetime", "picklist", "reference"
SYSTEM_FIELDS = {
    "Id": "id", "Name": TEXT, "CreatedDate": MOMENT, "LastModifiedDate": MOMENT, "SystemModstamp": MOMENT,
    "LastModifiedById": "reference", "IsDeleted": "boolean",
}  # fmt: skip
RETOUR_FIELDS = {"Retour_State__c": (TEXT, 40), "Retour_Message__c": (TEXT, 255), "Retour_Last_Sync__c": (MOMENT, 0)}
OBJECTS: dict[str, dict[str, tuple[str, int]]] = {
    "Case": {
        "CaseNumber": (TEXT, 30), "Subject": (TEXT, 255), "Status": (PICKLIST, 0), "Reason": (PICKLIST, 0),
        "Description": (TEXT, 32000), "Order_Number__c": (TEXT, 128), "Refund__c": (NUMBER, 0),
        "Refund_Quantity__c": (NUMBER, 0), "Sku__c": (TEXT, 100), "CurrencyIsoCode": (PICKLIST, 0),
        "Reason__c": (PICKLIST, 0), "MasterRecordId": (REFERENCE, 0), **RETOUR_FIELDS,
    },
    "Order": {"OrderNumber": (TEXT, 128), "Status": (PICKLIST, 0), "TotalAmount": (NUMBER, 0), **RETOUR_FIELDS},
    "OrderItem": {
        "OrderId": (REFERENCE, 0), "Sku__c": (TEXT, 100), "Quantity": (NUMBER, 0), "TotalPrice": (NUMBER, 0),
        **RETOUR_FIELDS,
    },
}  # fmt: skip
PREFIXES = {"Case": "500", "Order": "801", "OrderItem": "802"}
ADMIN, INTEGRATION = "0055e00000ADM0AAA", "0055e00000RET0AAA"
BATCH_MAX = 100
QUEUED_SECONDS = 24 * 3600
BACKOFF_MAX = 2 * 3600.0
BODY_MAX = 10_000_000
TLS_HANDSHAKE = b"\x16"
ACKNOWLEDGED = re.compile(rb"<(?:\w+:)?Ack(?:\s[^>]*)?>\s*true\s*</(?:\w+:)?Ack>")

Answer = tuple[int, Any]


class SalesforceError(Exception):
    """An error response: status, errorCode and message as in Salesforce."""

    def __init__(self, status: int, code: str, message: str, fields: list[str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.fields = fields or []


@dataclass
class Notification:
    id: str
    record: str
    queued_at: float
    tries: int = 0
    next_try: float = 0.0
    error: str = ""


@dataclass
class Outbound:
    """Where Outbound Messages go. A change of a field in `watch` sends one."""

    url: str = ""
    object: str = "Case"
    fields: list[str] = field(default_factory=lambda: ["Id"])
    watch: list[str] = field(default_factory=lambda: ["Status"])
    paused: bool = False
    duplicates: bool = False
    reorder: bool = False
    first_retry_seconds: float = 1.0


@dataclass
class Faults:
    """Errors to inject, each a number of times. `status` 0 with `seconds` only delays."""

    status: int = 0
    count: int = 0
    seconds: float = 0.0
    locked: dict[str, int] = field(default_factory=dict)


class Organisation:
    """The simulated organisation. Public methods are thread-safe; the state is kept in a file if one is given."""

    def __init__(self, my_domain: str, file: Path | None, page: int, now: Callable[[], datetime]) -> None:
        self.my_domain = my_domain
        self.page = page
        self.now = now
        self.lock = threading.RLock()
        self.records: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in OBJECTS}
        self.fields = {name: dict(fields) for name, fields in OBJECTS.items()}
        self.apps: dict[str, dict[str, str]] = {}
        self.sessions: dict[str, str] = {}
        self.locators: dict[str, list[dict[str, Any]]] = {}
        self.outbound = Outbound()
        self.queue: list[Notification] = []
        self.faults = Faults()
        self.used, self.total = 0, 100_000
        self.logins = 0
        self.serial = 0
        self.delivered = 0
        self._file = file
        if file and file.exists():
            kept = json.loads(file.read_text("utf-8"))
            self.records |= kept["records"]
            self.apps, self.serial = kept["apps"], kept["serial"]
            for name, each in kept["fields"].items():
                self.fields[name] = {**self.fields.get(name, {}), **{f: (t[0], t[1]) for f, t in each.items()}}
            self.outbound = Outbound(**kept["outbound"])
            self.queue = [Notification(**each) for each in kept["queue"]]

    def save_state(self) -> None:
        """Save the state atomically."""
        if self._file:
            state = {
                "records": self.records, "fields": self.fields, "apps": self.apps, "serial": self.serial,
                "outbound": vars(self.outbound), "queue": [vars(each) for each in self.queue],
            }  # fmt: skip
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(state), "utf-8")
            fresh.replace(self._file)

    def new_id(self, prefix: str) -> str:
        self.serial += 1
        return id18(f"{prefix}5e{self.serial:010d}") or ""

    # Login

    def login(self, form: Mapping[str, str]) -> Answer:
        import jwt

        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return 400, {"error": "unsupported_grant_type", "error_description": "grant type not supported"}
        assertion = form.get("assertion", "")
        try:
            claims = jwt.decode(assertion, options={"verify_signature": False})
            app = self.apps.get(str(claims.get("iss")))
            if app is None:
                return 400, {"error": "invalid_client_id", "error_description": "client identifier invalid"}
            audience = [f"https://{host}.salesforce.com" for host in ("login", "test", self.my_domain)]
            # The library sends exp as text, which Salesforce accepts.
            claims = jwt.decode(
                assertion, app["public_key"], algorithms=["RS256"], audience=audience, options={"verify_exp": False}
            )
            left = float(claims["exp"]) - time.time()
        except jwt.InvalidAudienceError:
            return 400, {"error": "invalid_grant", "error_description": "audience is invalid"}
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            return 400, {"error": "invalid_grant", "error_description": "invalid assertion"}
        if not -5 <= left <= 300:
            return 400, {"error": "invalid_grant", "error_description": "expired authorization code"}
        if claims.get("sub") != app["username"]:
            return 400, {"error": "invalid_grant", "error_description": "user hasn't approved this consumer"}
        with self.lock:
            self.logins += 1
            token = self.new_session(INTEGRATION)
        return 200, {"access_token": token, "token_type": "Bearer", "scope": "api", "id": f"{ORG}/{INTEGRATION}"}

    def new_session(self, user: str) -> str:
        token = f"{ORG}!AQ{secrets.token_hex(24)}"
        self.sessions[token] = user
        return token

    # Records

    def fields_of(self, name: str) -> dict[str, tuple[str, int]]:
        if name not in self.fields:
            raise SalesforceError(404, "NOT_FOUND", "The requested resource does not exist")
        return {each: (kind, 0) for each, kind in SYSTEM_FIELDS.items()} | self.fields[name]

    def validate(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Validate values to write: unknown or read-only fields, wrong types, too long texts raise SalesforceError."""
        fields = self.fields_of(name)
        good: dict[str, Any] = {}
        for key, value in values.items():
            if key == "attributes":
                continue
            if key not in fields or (key in SYSTEM_FIELDS and key != "Name"):
                raise SalesforceError(400, "INVALID_FIELD", f"No such column '{key}' on sobject of type {name}", [key])
            kind, length = fields[key]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and kind == NUMBER and not number:
                raise SalesforceError(
                    400, "JSON_PARSER_ERROR", f"Cannot deserialize instance of double from {value!r}", [key]
                )
            if kind == TEXT and length and len(str(value or "")) > length:
                message = f"data value too large: {str(value)[:40]} (max length={length})"
                raise SalesforceError(400, "STRING_TOO_LONG", message, [key])
            if value is not None and kind == MOMENT:
                try:
                    datetime.fromisoformat(str(value))
                except ValueError:
                    message = f"Cannot deserialize instance of datetime from {value!r}"
                    raise SalesforceError(400, "JSON_PARSER_ERROR", message, [key]) from None
            good[key] = float(value) if kind == NUMBER and value is not None else value
        return good

    def save(self, name: str, record: str | None, values: Mapping[str, Any], user: str) -> str:
        """Create or change a record. Changing a watched field queues a message, except by the integration user."""
        with self.lock:
            good = self.validate(name, values)
            stamp = self.stamp()
            if record is None:
                record = self.new_id(PREFIXES.get(name, "a00"))
                before: dict[str, Any] = {"Id": record, "CreatedDate": stamp, "IsDeleted": False}
                before |= {"CaseNumber": f"{self.serial:08d}"} if name == "Case" else {}
            else:
                before = self.find_record(name, record)
            after = before | good | {"LastModifiedDate": stamp, "SystemModstamp": stamp, "LastModifiedById": user}
            self.records[name][after["Id"]] = after
            out = self.outbound
            changed = any(before.get(each) != after.get(each) for each in out.watch)
            if out.url and name == out.object and user != INTEGRATION and changed:
                self.queue.append(Notification(self.new_id("04l"), after["Id"], time.time()))
            self.save_state()
            return str(after["Id"])

    def find_record(self, name: str, record: str) -> dict[str, Any]:
        self.fields_of(name)
        known = self.records[name].get(id18(record) or "")
        if known is None:
            raise SalesforceError(
                404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: " + record
            )
        if known["IsDeleted"]:
            raise SalesforceError(404, "ENTITY_IS_DELETED", "entity is deleted")
        return known

    def view(self, name: str, record: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
        url = f"/services/data/v63.0/sobjects/{name}/{record['Id']}"
        seen: dict[str, Any] = {"attributes": {"type": name, "url": url}}
        for path in fields:
            parts = path.split(".")
            seen[parts[0]] = (
                self.parent_view(parts[0], record, fields) if len(parts) > 1 else soql.value_at(record, path)
            )
        return seen

    def parent_view(self, relation: str, record: Mapping[str, Any], fields: tuple[str, ...]) -> Any:
        """A parent as queries return it, with the requested fields; None without one."""
        parent = record.get(relation)
        if not isinstance(parent, Mapping) or "Id" not in parent:
            return parent
        asked = tuple(path.partition(".")[2] for path in fields if path.startswith(f"{relation}."))
        return self.view(relation, parent, asked)

    def with_parents(self, name: str, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """A record with its parents by relationship name."""
        parents = {
            field.removesuffix("Id"): self.records[parent].get(id18(str(record.get(field) or "")) or "")
            for field, (kind, _) in self.fields[name].items()
            if kind == REFERENCE and (parent := field.removesuffix("Id")) in self.records
        }
        return {**record, **parents}

    def delete(self, name: str, record: str, master: str | None = None) -> None:
        """Move a record to the recycle bin; with `master`, as merged into that one."""
        with self.lock:
            gone = self.find_record(name, record)
            gone["IsDeleted"] = True
            gone["SystemModstamp"] = gone["LastModifiedDate"] = self.stamp()
            if master is not None:
                gone["MasterRecordId"] = self.find_record(name, master)["Id"]
            self.save_state()

    def stamp(self) -> str:
        return self.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")

    def knows(self, name: str, path: str) -> bool:
        """Whether a query may use a path: a field of the object or of a parent."""
        relation, _, rest = path.partition(".")
        if not rest:
            return path in self.fields_of(name)
        if f"{relation}Id" in self.fields[name] and relation in self.fields:
            return self.knows(relation, rest)
        return relation.endswith(("__r", "Owner", "Account"))

    def query(self, text: str, deleted: bool) -> Any:
        query = soql.parse(text, self.now())
        with self.lock:
            if query.object not in self.fields:
                raise SalesforceError(400, "INVALID_TYPE", f"sObject type '{query.object}' is not supported.")
            for path in sorted(query.named):
                if not self.knows(query.object, path):
                    message = f"No such column '{path}' on entity '{query.object}'"
                    raise SalesforceError(400, "INVALID_FIELD", message)
            visible = [each for each in self.records[query.object].values() if deleted or not each["IsDeleted"]]
            found = query.run([self.with_parents(query.object, each) for each in visible])
            if query.counts:
                return {"totalSize": len(found), "done": True, "records": []}
            self.serial += 1
            locator = f"01g5e{self.serial:010d}"
            self.locators[locator] = [self.view(query.object, each, query.fields) for each in found]
            return self.next_page(locator, 0)

    def next_page(self, locator: str, start: int) -> Any:
        if locator not in self.locators:
            raise SalesforceError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        records = self.locators[locator]
        end = start + self.page
        answer: dict[str, Any] = {"totalSize": len(records), "done": end >= len(records), "records": records[start:end]}
        if not answer["done"]:
            answer["nextRecordsUrl"] = f"/services/data/v63.0/query/{locator}-{end}"
        return answer

    def collection(self, body: Any, user: str, create: bool) -> list[dict[str, Any]]:
        records = body.get("records") if isinstance(body, dict) else None
        if not isinstance(records, list) or not 0 < len(records) <= 200:
            raise SalesforceError(400, "JSON_PARSER_ERROR", "records must be a list of 1 to 200")
        if len({each.get("attributes", {}).get("type") for each in records}) > 10:
            raise SalesforceError(400, "INVALID_INPUT", "too many types in one call")
        return [self.save_one(each, user, create) for each in records]

    def save_one(self, each: dict[str, Any], user: str, create: bool) -> dict[str, Any]:
        record = None if create else str(each.get("id") or each.get("Id") or "")
        values = {key: value for key, value in each.items() if key not in ("id", "Id", "attributes")}
        with self.lock:
            try:
                if record and self.faults.locked.get(record, 0) > 0:
                    self.faults.locked[record] -= 1
                    raise SalesforceError(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
                return {
                    "id": self.save(each["attributes"]["type"], record, values, user),
                    "success": True,
                    "errors": [],
                }
            except SalesforceError as problem:
                error = {"statusCode": problem.code, "message": str(problem), "fields": problem.fields}
                return {"success": False, "errors": [error]}
            except (KeyError, TypeError):
                error = {"statusCode": "INVALID_INPUT", "message": "attributes.type is missing", "fields": []}
                return {"success": False, "errors": [error]}

    # Outbound Messages

    def due(self) -> list[Notification]:
        with self.lock:
            at = time.time()
            self.queue = [each for each in self.queue if at - each.queued_at < QUEUED_SECONDS]
            ready = [each for each in self.queue if each.next_try <= at]
            if self.outbound.paused or not self.outbound.url:
                return []
            if self.outbound.reorder:
                random.shuffle(ready)
            return ready[:BATCH_MAX]

    def envelope(self, batch: list[Notification]) -> bytes:
        """The message as Salesforce writes it: the record's current state without empty fields."""
        out = self.outbound
        with self.lock:
            notifications = "".join(self._notification(each, out) for each in batch)
        host = f"https://{self.my_domain}.salesforce.com/services/Soap"
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
            ' xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            '<soapenv:Body><notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
            f"<OrganizationId>{ORG}</OrganizationId><ActionId>04k5e0000000001AAA</ActionId>"
            f'<SessionId xsi:nil="true"/><EnterpriseUrl>{host}/c/63.0/{ORG}</EnterpriseUrl>'
            f"<PartnerUrl>{host}/u/63.0/{ORG}</PartnerUrl>{notifications}"
            "</notifications></soapenv:Body></soapenv:Envelope>"
        ).encode()

    def _notification(self, each: Notification, out: Outbound) -> str:
        record = self.records[out.object][each.record]
        names = ["Id", *(name for name in out.fields if name != "Id")]
        values = ((name, record.get(name)) for name in names)
        inside = "".join(f"<sf:{n}>{escape(str(v))}</sf:{n}>" for n, v in values if v is not None)
        return (
            f'<Notification><Id>{each.id}</Id><sObject xsi:type="sf:{out.object}"'
            f' xmlns:sf="urn:sobject.enterprise.soap.sforce.com">{inside}</sObject></Notification>'
        )

    def record_attempt(self, batch: list[Notification], error: str) -> None:
        with self.lock:
            if not error:
                done = {each.id for each in batch}
                self.queue = [each for each in self.queue if each.id not in done]
                self.delivered += len(batch)
            for each in batch if error else ():
                each.tries += 1
                each.error = error
                wait = min(self.outbound.first_retry_seconds * 2 ** (each.tries - 1), BACKOFF_MAX)
                each.next_try = time.time() + wait
            self.save_state()


def post_message(url: str, message: bytes) -> str:
    """POST a message. Returns why it was not delivered, or an empty string."""
    request = urllib.request.Request(url, message, {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=60) as response:
            answer = response.read(100_000)
    except (OSError, urllib.error.URLError, ValueError) as error:
        return str(error)
    return "" if ACKNOWLEDGED.search(answer) else "the answer is no acknowledgement"


# HTTP


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "sfdcedge"
    wbufsize = -1  # Send headers and body in one packet, which avoids a delayed acknowledgement.
    org: Organisation

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_MAX:
            return self.reply(413, [{"message": "body too large", "errorCode": "REQUEST_TOO_LARGE"}])
        self.body = self.rfile.read(length)
        url = urlsplit(self.path)
        try:
            if url.path.startswith("/control"):
                return self.reply(*self.control(url.path.removeprefix("/control").strip("/")))
            if url.path == "/services/oauth2/token" and self.command == "POST":
                status, answer = self.org.login({k: v[0] for k, v in parse_qs(self.body.decode()).items()})
                if status == 200:
                    answer["instance_url"] = self.instance_url()
                return self.reply(status, answer)
            self.inject_fault()
            user = self.user()
            asked = {key: value[0] for key, value in parse_qs(url.query).items()}
            self.reply(*self.data(unquote(url.path), asked, user))
        except SalesforceError as problem:
            body = {"message": str(problem), "errorCode": problem.code}
            self.reply(problem.status, [body | ({"fields": problem.fields} if problem.fields else {})])
        except soql.MalformedQueryError as problem:
            self.reply(400, [{"message": str(problem), "errorCode": problem.code}])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.reply(400, [{"message": f"{type(error).__name__}: {error}", "errorCode": "JSON_PARSER_ERROR"}])

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    def reply(self, status: int, answer: Any) -> None:
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if body:
            self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Sforce-Limit-Info", f"api-usage={self.org.used}/{self.org.total}")
        self.end_headers()
        self.wfile.write(body)

    def instance_url(self) -> str:
        host = self.headers.get("Host", "")
        return f"https://{self.org.my_domain}.salesforce.com" if host.endswith(".salesforce.com") else f"https://{host}"

    def inject_fault(self) -> None:
        faults = self.org.faults
        with self.org.lock:
            hit = faults.count > 0
            faults.count -= hit
        if hit:
            time.sleep(faults.seconds)
            if faults.status:
                raise SalesforceError(faults.status, "SERVER_UNAVAILABLE", "The server is too busy")

    def user(self) -> str:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").removeprefix("OAuth ")
        user = self.org.sessions.get(token)
        if user is None:
            raise SalesforceError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        with self.org.lock:
            if self.org.used >= self.org.total:
                raise SalesforceError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
            self.org.used += 1
        return user

    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def data(self, path: str, asked: Mapping[str, str], user: str) -> Answer:
        match [self.command, *path.strip("/").split("/")]:
            case ["GET", "services", "data"]:
                return 200, [{"label": "Local", "url": "/services/data/v63.0", "version": "63.0"}]
            case ["GET", "services", "data", _, "limits"]:
                left = self.org.total - self.org.used
                return 200, {"DailyApiRequests": {"Max": self.org.total, "Remaining": max(left, 0)}}
            case ["GET", "services", "data", _, ("query" | "queryAll") as way]:
                return 200, self.org.query(asked.get("q", ""), way == "queryAll")
            case ["GET", "services", "data", _, "query" | "queryAll", locator]:
                name, _, start = locator.rpartition("-")
                return 200, self.org.next_page(name, int(start))
            case ["GET", "services", "data", _, "sobjects"]:
                return 200, {"sobjects": [{"name": name, "queryable": True} for name in self.org.fields]}
            case ["GET", "services", "data", _, "sobjects", name, "describe"]:
                known = self.org.fields_of(name).items()
                listed = [
                    {
                        "name": each,
                        "type": kind,
                        "length": length,
                        "updateable": each not in SYSTEM_FIELDS or each == "Name",
                    }
                    for each, (kind, length) in known
                ]
                return 200, {"name": name, "keyPrefix": PREFIXES.get(name, "a00"), "fields": listed}
            case ["POST", "services", "data", _, "sobjects", name]:
                saved = self.org.save(name, None, self.json(), user)
                return 201, {"id": saved, "success": True, "errors": []}
            case ["GET", "services", "data", _, "sobjects", name, record]:
                found = self.org.find_record(name, record)
                fields = tuple(asked["fields"].split(",")) if "fields" in asked else tuple(self.org.fields_of(name))
                return 200, self.org.view(name, found, fields)
            case ["PATCH", "services", "data", _, "sobjects", name, record]:
                self.org.find_record(name, record)
                self.org.save(name, record, self.json(), user)
                return 204, None
            case ["DELETE", "services", "data", _, "sobjects", name, record]:
                self.org.delete(name, record)
                return 204, None
            case [("PATCH" | "POST") as verb, "services", "data", _, "composite", "sobjects"]:
                return 200, self.org.collection(self.json(), user, verb == "POST")
        raise SalesforceError(404, "NOT_FOUND", "The requested resource does not exist")

    def control(self, what: str) -> Answer:
        """Control requests, accepted only by a loopback host name and without Origin."""
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host not in ("127.0.0.1", "localhost"):
            raise SalesforceError(404, "NOT_FOUND", "The requested resource does not exist")
        if "Origin" in self.headers:
            raise SalesforceError(403, "FUNCTIONALITY_NOT_ENABLED", "No web page has business here")
        asked = {key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()}
        with self.org.lock:
            return 200, run_control(self.org, self.command, what, asked, self.json())


CONTROLS = {
    "GET records?object=Case": "all records of an object",
    "POST records": '{"object": "Case", "records": [{"Id": "only to change one", "Status": "Returned"}]}',
    "POST status": '{"object": "Case", "id": "500…", "status": "Returned"}',
    "POST merge": '{"object": "Case", "master": "500…", "merged": "500…"}: the second goes into the recycle bin',
    "POST sessions": '{"user": "005…"}: a session id, for simple-salesforce with instance_url and session_id',
    "POST sessions/expire": "{}: every session ends now",
    "POST limits": '{"used": 80000, "total": 100000}',
    "POST faults": '{"status": 503, "count": 2, "seconds": 0, "locked": {"500…": 1}}',
    "POST fields": '{"object": "Case", "fields": {"Shade__c": ["string", 40]}}',
    "POST apps": '{"consumer_key": "…", "username": "…", "public_key": "PEM"}',
    "GET outbound": "the queue, the settings and how many were delivered",
    "POST outbound": '{"url": "http://127.0.0.1:8400/v1/…", "paused": false, "duplicates": true, "reorder": true}',
}


def run_control(org: Organisation, verb: str, what: str, asked: Mapping[str, str], body: Any) -> Any:
    match verb, what:
        case "GET", "":
            counts = {name: len(records) for name, records in org.records.items()}
            usage = {"used": org.used, "total": org.total, "logins": org.logins, "sessions": len(org.sessions)}
            return {"org_id": ORG, "domain": org.my_domain, "records": counts, **usage, "controls": CONTROLS}
        case "GET", "records":
            return {"records": list(org.records[asked.get("object", "Case")].values())}
        case "POST", "records":
            name = body.get("object", "Case")
            return {"ids": [_save(org, name, dict(each)) for each in body["records"]]}
        case "POST", "status":
            return {"ids": [_save(org, body.get("object", "Case"), {"Id": body["id"], "Status": body["status"]})]}
        case "POST", "merge":
            org.delete(body.get("object", "Case"), body["merged"], body["master"])
        case "POST", "sessions":
            return {"session_id": org.new_session(body.get("user", ADMIN))}
        case "POST", "sessions/expire":
            org.sessions.clear()
        case "POST", "limits":
            org.used, org.total = int(body.get("used", org.used)), int(body.get("total", org.total))
        case "POST", "faults":
            org.faults = Faults(**body)
        case "POST", "fields":
            added = {each: (kind, int(length)) for each, (kind, length) in body["fields"].items()}
            org.fields.setdefault(body["object"], {}).update(added)
            org.records.setdefault(body["object"], {})
        case "POST", "apps":
            org.apps[body["consumer_key"]] = {"username": body["username"], "public_key": body["public_key"]}
        case "POST", "outbound":
            org.outbound = Outbound(**(vars(org.outbound) | body))
        case "GET", "outbound":
            queue = [vars(each) for each in org.queue]
            return {"settings": vars(org.outbound), "queue": queue, "delivered": org.delivered}
        case _:
            raise SalesforceError(404, "NOT_FOUND", f"No such control; there are: {', '.join(CONTROLS)}")
    org.save_state()
    return {"ok": True}


def _save(org: Organisation, name: str, values: dict[str, Any]) -> str:
    record = values.pop("Id", None)
    return org.save(name, record, values, ADMIN)


@dataclass
class Simulator:
    """A running organisation. `connect` is its TLS address, `url` that of its controls."""

    org: Organisation
    connect: str
    url: str
    ca_pem: str
    _servers: tuple[ThreadingHTTPServer, ...]
    _stopped: threading.Event
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def org_id(self) -> str:
        return ORG

    def register(self, consumer_key: str, username: str, public_key: str) -> None:
        """Register an external client app, whose key may act as this user."""
        with self.org.lock:
            self.org.apps[consumer_key] = {"username": username, "public_key": public_key}
            self.org.save_state()

    def stop(self) -> None:
        self._stopped.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join(5)


def start(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    ca: "trustme.CA | None" = None,
    data: Path | None = None,
    control_port: int = 0,
    my_domain: str = MY_DOMAIN,
    page: int = 2000,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Simulator:
    """Start an organisation on two ports of `host` (0: any free one). `data` keeps its records.

    `now` is the time of records; signatures, tokens and TLS use the real time. `page` is the page size of queries.
    """
    import trustme

    ca = ca or trustme.CA()
    certificate = ca.issue_cert(*HOSTS, "localhost", host)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(tls)
    if data:
        data.mkdir(parents=True, exist_ok=True)
    org = Organisation(my_domain, data / "salesforce.json" if data else None, page, now)
    handler = type("Here", (Handler,), {"org": org})
    secure, plain = Server((host, port), handler, tls), Server((host, control_port), handler, tls)
    stopped = threading.Event()
    threads = [
        threading.Thread(target=secure.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True),
        threading.Thread(target=plain.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True),
        threading.Thread(target=_send_messages, args=(org, stopped), daemon=True),
    ]
    for thread in threads:
        thread.start()
    return Simulator(
        org=org,
        connect=f"{host}:{secure.server_address[1]}",
        url=f"http://{host}:{plain.server_address[1]}",
        ca_pem=ca.cert_pem.bytes().decode(),
        _servers=(secure, plain),
        _stopped=stopped,
        _threads=threads,
    )


class Server(ThreadingHTTPServer):
    """Serves TLS to clients that begin with a handshake and HTTP to all others, on the same port."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[Handler], tls: ssl.SSLContext) -> None:
        super().__init__(address, handler)
        self.tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread, so that a silent client blocks nobody.
        request.settimeout(30)
        try:
            if request.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE:
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except OSError:
            pass
        finally:
            request.close()


def _send_messages(org: Organisation, stopped: threading.Event) -> None:
    while not stopped.wait(0.05):
        batch = org.due()
        if not batch:
            continue
        message = org.envelope(batch)
        error = post_message(org.outbound.url, message)
        if org.outbound.duplicates:
            post_message(org.outbound.url, message)
        org.record_attempt(batch, error)


def main() -> None:
    asked = argparse.ArgumentParser(description="A Salesforce organisation on this machine")
    asked.add_argument("--port", type=int, default=0)
    asked.add_argument("--data", type=Path)
    options = asked.parse_args()
    simulator = start(port=options.port, data=options.data)
    authority = (options.data or Path()) / "salesforce-ca.pem"
    authority.write_text(simulator.ca_pem, "utf-8")
    print(f"TLS at {simulator.connect}, its authority in {authority}; controls at {simulator.url}/control/")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        simulator.stop()


if __name__ == "__main__":
    main()
