"""Unmodified simple-salesforce against the simulated organisation."""

import http.server
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from simple_salesforce import Salesforce, SalesforceAuthenticationFailed, format_soql
from simple_salesforce.exceptions import SalesforceExpiredSession, SalesforceMalformedRequest, SalesforceRefusedRequest

from local.salesforce import ORG, Simulator, start
from retour.channels.salesforce import ACK, Push, parse_outbound_message
from retour.remote.salesforce import SalesforceHttpAdapter


def key_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


PRIVATE, PUBLIC = key_pair()


@pytest.fixture(name="simulator")
def running_simulator() -> Iterator[Simulator]:
    simulator = start(page=3)
    simulator.register("3MVG9retour", "retour@acme.example", PUBLIC)
    yield simulator
    simulator.stop()


@pytest.fixture(name="http")
def loopback_session(simulator: Simulator, tmp_path: Path) -> requests.Session:
    authority = tmp_path / "ca.pem"
    authority.write_text(simulator.ca_pem)
    session = requests.Session()
    session.trust_env = False
    session.verify = str(authority)
    session.mount("https://", SalesforceHttpAdapter(simulator.connect, (5, 10)))
    return session


def log_in(http: requests.Session, private: str = PRIVATE, **other: Any) -> Salesforce:
    asked: dict[str, Any] = {
        "username": "retour@acme.example",
        "consumer_key": "3MVG9retour",
        "privatekey": private,
        "instance_url": "acme.my",
        "session": http,
        "version": "63.0",
    }
    return Salesforce(**(asked | other))


def ask(simulator: Simulator, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(f"{simulator.url}/control/{path}", headers={"Content-Type": "application/json"})
    if body is not None:
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)


def cases(simulator: Simulator, count: int) -> list[str]:
    records = [{"Status": "New", "Order_Number__c": f"A-{n}", "Refund__c": n + 0.5} for n in range(count)]
    ids: list[str] = ask(simulator, "records", {"object": "Case", "records": records})["ids"]
    return ids


def test_the_jwt_login_is_really_checked(simulator: Simulator, http: requests.Session) -> None:
    assert log_in(http).sf_instance == "acme.my.salesforce.com"
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid assertion"):
        log_in(http, private=key_pair()[0])
    with pytest.raises(SalesforceAuthenticationFailed, match="hasn't approved"), pytest.warns(UserWarning):
        log_in(http, username="somebody@acme.example")
    with pytest.raises(SalesforceAuthenticationFailed, match="client identifier"):
        log_in(http, consumer_key="other")
    assert simulator.org.logins == 1


def test_the_certificate_is_really_checked(simulator: Simulator, http: requests.Session) -> None:
    http.verify = True
    with pytest.raises(requests.exceptions.SSLError):
        log_in(http)


def test_a_query_is_read_page_by_page(simulator: Simulator, http: requests.Session) -> None:
    cases(simulator, 8)
    salesforce = log_in(http)
    first = salesforce.query("SELECT Id, Order_Number__c FROM Case ORDER BY Order_Number__c DESC")
    assert (len(first["records"]), first["totalSize"], first["done"]) == (3, 8, False)
    everything = salesforce.query_all_iter("SELECT Id, Order_Number__c FROM Case ORDER BY Order_Number__c DESC")
    assert [each["Order_Number__c"] for each in everything] == [f"A-{n}" for n in range(7, -1, -1)]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Order_Number__c IN ('A-1', 'A-3')", ["A-1", "A-3"]),
        ("Order_Number__c NOT IN ('A-1', 'A-3') AND Refund__c < 3", ["A-0", "A-2"]),
        ("(Refund__c >= 4.5 AND Status = 'New') OR Order_Number__c = 'A-0'", ["A-0", "A-4"]),
        ("NOT (Refund__c > 1)", ["A-0"]),
        ("Order_Number__c LIKE 'a-%' AND Refund__c > 3.4 AND Reason = null", ["A-3", "A-4"]),
        ("SystemModstamp >= LAST_N_DAYS:1 AND Refund__c = 2.5", ["A-2"]),
        ("SystemModstamp > 2199-01-01T00:00:00.000Z", []),
        ("Status != 'new'", []),
    ],
)
def test_conditions(simulator: Simulator, http: requests.Session, where: str, found: list[str]) -> None:
    cases(simulator, 5)
    soql = f"SELECT Order_Number__c FROM Case WHERE {where} ORDER BY Order_Number__c LIMIT 10"
    assert [each["Order_Number__c"] for each in log_in(http).query_all_iter(soql)] == found


def test_quotes_in_a_value_stay_a_value(simulator: Simulator, http: requests.Session) -> None:
    nasty = 'O\'Neill \\ "x"\n'
    ask(simulator, "records", {"records": [{"Order_Number__c": nasty}, {"Order_Number__c": "plain"}]})
    soql = format_soql("SELECT Order_Number__c FROM Case WHERE Order_Number__c = {}", nasty)
    assert [each["Order_Number__c"] for each in log_in(http).query_all_iter(soql)] == [nasty]


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Nothing__c FROM Case", "INVALID_FIELD"),
        ("SELECT Id FROM Nothing__c", "INVALID_TYPE"),
        ("SELECT Id FROM Case WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Case WHERE Status = 'a' AND Status = 'b' OR Status = 'c'", "MALFORMED_QUERY"),
        ("DROP TABLE Case", "MALFORMED_QUERY"),
    ],
)
def test_wrong_queries_are_refused_as_salesforce_does(
    simulator: Simulator, http: requests.Session, soql: str, code: str
) -> None:
    with pytest.raises(SalesforceMalformedRequest, match=code):
        log_in(http).query(soql)


def test_records_by_id(simulator: Simulator, http: requests.Session) -> None:
    salesforce = log_in(http)
    created = salesforce.Case.create({"Status": "New", "Order_Number__c": "A-9"})
    assert created["success"]
    assert salesforce.Case.update(created["id"], {"Status": "Returned"}) == 204
    record = salesforce.Case.get(created["id"])
    assert (record["Status"], record["Order_Number__c"]) == ("Returned", "A-9")
    assert salesforce.Case.delete(created["id"]) == 204
    assert list(salesforce.query_all_iter("SELECT Id FROM Case")) == []
    assert len(list(salesforce.query_all_iter("SELECT Id FROM Case", include_deleted=True))) == 1
    assert "Status" in [field["name"] for field in salesforce.Case.describe()["fields"]]


def test_a_collection_answers_record_by_record(simulator: Simulator, http: requests.Session) -> None:
    one, two, three = cases(simulator, 3)
    ask(simulator, "faults", {"locked": {two: 1}})
    records = [
        {"attributes": {"type": "Case"}, "id": one, "Retour_State__c": "applied"},
        {"attributes": {"type": "Case"}, "id": two, "Retour_State__c": "applied"},
        {"attributes": {"type": "Case"}, "id": three, "Retour_State__c": "x" * 41},
        {"attributes": {"type": "Case"}, "id": "500000000000000AAA", "Retour_State__c": "applied"},
    ]
    answer = log_in(http).restful("composite/sobjects", method="PATCH", json={"allOrNone": False, "records": records})
    assert [each["success"] for each in answer] == [True, False, False, False]
    codes = [each["errors"][0]["statusCode"] for each in answer[1:]]
    assert codes == ["UNABLE_TO_LOCK_ROW", "STRING_TOO_LONG", "NOT_FOUND"]


def test_an_expired_session_is_renewed_by_the_library(simulator: Simulator, http: requests.Session) -> None:
    salesforce = log_in(http)
    ask(simulator, "sessions/expire", {})
    assert salesforce.query("SELECT COUNT() FROM Case")["totalSize"] == 0
    assert simulator.org.logins == 2


def test_a_session_that_never_lives_ends_in_an_error(simulator: Simulator, http: requests.Session) -> None:
    salesforce = log_in(http)
    simulator.org.sessions = type("Forgetful", (dict,), {"get": lambda *_: None})()
    with pytest.raises(SalesforceExpiredSession):
        salesforce.query("SELECT Id FROM Case")


def test_usage_is_told_and_the_limit_refuses(simulator: Simulator, http: requests.Session) -> None:
    salesforce = log_in(http)
    ask(simulator, "limits", {"used": 99, "total": 100})
    salesforce.limits()
    assert salesforce.api_usage["api-usage"] == (100, 100)
    with pytest.raises(SalesforceRefusedRequest, match="REQUEST_LIMIT_EXCEEDED"):
        salesforce.query("SELECT Id FROM Case")


def test_a_person_may_use_the_library_without_an_adapter(
    simulator: Simulator, http: requests.Session, tmp_path: Path
) -> None:
    session = requests.Session()
    session.trust_env, session.verify = False, http.verify
    known = ask(simulator, "sessions", {})
    salesforce = Salesforce(instance_url=simulator.url, session_id=known["session_id"], session=session)
    [record] = cases(simulator, 1)
    assert salesforce.Case.update(record, {"Status": "Returned"}) == 204
    assert salesforce.Case.get(record)["Status"] == "Returned"


def test_controls_answer_loopback_names_only_and_no_web_page(simulator: Simulator, http: requests.Session) -> None:
    assert http.get("https://acme.my.salesforce.com/control/records").status_code == 404
    assert requests.get(f"{simulator.url}/control/", headers={"Host": "evil.example:80"}, timeout=5).status_code == 404
    assert requests.post(f"{simulator.url}/control/limits", headers={"Origin": "x"}, timeout=5).status_code == 403


def test_records_outlive_a_restart(tmp_path: Path) -> None:
    simulator = start(data=tmp_path)
    [record] = cases(simulator, 1)
    simulator.stop()
    again = start(data=tmp_path)
    assert [each["Id"] for each in ask(again, "records?object=Case")["records"]] == [record]
    assert cases(again, 1) != [record]
    again.stop()


class Listener(http.server.BaseHTTPRequestHandler):
    bodies: list[bytes]
    answers: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        body = self.answers.pop(0) if self.answers else ACK.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(name="listener")
def running_listener() -> Iterator[tuple[type[Listener], str]]:
    handler = type("Here", (Listener,), {"bodies": [], "answers": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler, f"http://127.0.0.1:{server.server_address[1]}/hook"
    server.shutdown()


def wait_until(true: Any) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_outbound_messages_are_repeated_until_acknowledged(
    simulator: Simulator, listener: tuple[type[Listener], str]
) -> None:
    handler, url = listener
    handler.answers += [b"<Ack>false</Ack>", b"not xml"]
    ids = cases(simulator, 150)
    ask(simulator, "outbound", {"url": url, "fields": ["Id", "Status"], "paused": True, "first_retry_seconds": 0.05})
    ask(simulator, "records", {"records": [{"Id": each, "Status": "Returned & <gone>"} for each in ids]})
    assert len(ask(simulator, "outbound")["queue"]) == 150
    ask(simulator, "outbound", {"paused": False})
    wait_until(lambda: ask(simulator, "outbound")["delivered"] == 150)
    pushes = [parse_outbound_message(body) for body in handler.bodies]
    assert all(isinstance(push, Push) and push.org == ORG and push.object == "Case" for push in pushes)
    assert max(len(push.records) for push in pushes if isinstance(push, Push)) == 100
    assert {each for push in pushes if isinstance(push, Push) for each in push.records} == set(ids)
    assert len(handler.bodies) >= 4


def test_the_integration_users_own_change_sends_nothing(
    simulator: Simulator, http: requests.Session, listener: tuple[type[Listener], str]
) -> None:
    [record] = cases(simulator, 1)
    ask(simulator, "outbound", {"url": listener[1], "paused": True})
    log_in(http).Case.update(record, {"Status": "Returned"})
    assert ask(simulator, "outbound")["queue"] == []
