"""salesforce and salesforce_sync through their front doors: messages and events in, the ledger and the record after."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from functions.salesforce import app
from functions.salesforce_sync import app as sync
from tests import gateway
from tests.conftest import PROGRAM, ProgramHarness
from tests.remote.salesforce_hub import KEY, SOURCE, TOKEN, USER, key_pair
from tests.settings import change_settings

from local.salesforce import ADMIN, ORG, Simulator, start
from retour.channels.salesforce import ACK
from retour.remote.salesforce import client_for
from retour.settings import Service

CONTEXT = SimpleNamespace(
    function_name="salesforce",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:salesforce",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 300_000,
)


@dataclass
class Organisation:
    """An organisation joined to a program on the embedded AWS."""

    house: ProgramHarness
    simulator: Simulator

    def record(self, status: str, order: str = "A-1", record: str | None = None) -> str:
        values = {"Status": status, "Order_Number__c": order}
        return self.simulator.org.save("Case", record, values, ADMIN)

    def message(self, *records: str) -> bytes:
        from local.salesforce import Notification

        return self.simulator.org.envelope([Notification(f"04l{n:015d}", each, 0) for n, each in enumerate(records)])

    def post(self, body: bytes, token: str = TOKEN, source: str = "crm", encoded: bool = False) -> Any:
        path = {"program": self.house.program, "source": source, "token": token}
        address = f"/v1/programs/{self.house.program}/salesforce/{source}/{quote(token)}"
        kind = "application/octet-stream" if encoded else "text/xml; charset=utf-8"
        return app.handler(gateway.event("POST", address, body, {"content-type": kind}, path), CONTEXT)

    def left(self) -> int:
        [(amount, _, _)] = self.house.payouts("A-1").values()
        return amount

    def deliveries(self) -> list[tuple[str, str]]:
        """State and code of every delivery of the source, as the table says."""
        hub = self.house.hub
        pages = hub._dynamodb.get_paginator("scan").paginate(TableName=hub.settings.ledger_table, ConsistentRead=True)
        items = [item for page in pages for item in page["Items"]]
        mine = [each for each in items if each["PK"]["S"].startswith(f"D#{self.house.program}#")]
        read = [(json.loads(each["doc"]["S"]), json.loads(each["rep"]["S"]), each["st"]["S"]) for each in mine]
        return [(state, report.get("code", "")) for doc, report, state in read if doc.get("source") == "crm"]

    def messages(self) -> list[dict[str, Any]]:
        taken = [message for queue, message in self.house.sent if queue == "writebacks"]
        self.house.sent.clear()
        return taken

    def queued(self, *messages: dict[str, Any]) -> Any:
        records = [
            {"messageId": str(n), "eventSource": "aws:sqs", "body": json.dumps(each)} for n, each in enumerate(messages)
        ]
        return sync.handler({"Records": records}, CONTEXT)

    def scheduled(self) -> None:
        sync.handler({"source": "aws.scheduler"}, CONTEXT)


@pytest.fixture
def org(house: ProgramHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Organisation]:
    simulator = start(now=lambda: house.clock.moment)
    simulator.register(KEY, USER, key_pair()[1])
    authority = tmp_path / "ca.pem"
    authority.write_text(simulator.ca_pem)
    change_settings(house.hub, salesforce=Service(simulator.connect, str(authority)))
    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "crm": SOURCE}})
    house.hub.secrets.put(house.program, "crm", {"tokens": [TOKEN], "private_key": key_pair()[0]})
    for module in (app, sync):
        monkeypatch.setattr(module, "hub", lambda: house.hub)
    client_for.cache_clear()
    house.report({"order_id": "A-1", "currency": "EUR", "amount": "100.00"})
    yield Organisation(house, simulator)
    simulator.stop()


def test_a_changed_status_reaches_the_ledger_before_the_acknowledgement(org: Organisation) -> None:
    answer = org.post(org.message(org.record("Returned")))
    assert (answer["statusCode"], answer["body"]) == (200, ACK)
    assert answer["headers"]["content-type"].startswith("text/xml")
    assert org.left() == 0
    assert org.deliveries() == [("done", "")]


def test_the_same_message_again_changes_nothing(org: Organisation) -> None:
    message = org.message(org.record("Returned"))
    assert [org.post(message, encoded=encoded)["body"] for encoded in (False, True, False)] == [ACK] * 3
    assert org.deliveries() == [("done", "")]


@pytest.mark.parametrize("wrong", ["", "x", TOKEN[:-1], TOKEN + "x", "täuschung"])
def test_a_wrong_token_is_refused_and_leaves_nothing(org: Organisation, wrong: str) -> None:
    answer = org.post(org.message(org.record("Returned")), token=wrong)
    assert answer["statusCode"] == 401
    assert org.left() == 10000
    assert org.deliveries() == []
    assert org.simulator.org.logins == 0


@pytest.mark.parametrize("source", ["erp", "nothing"])
def test_another_source_is_no_way_in(org: Organisation, source: str) -> None:
    assert org.post(b"", source=source)["statusCode"] == 401


def test_two_tokens_live_and_no_more(org: Organisation) -> None:
    org.house.hub.secrets.put(
        org.house.program, "crm", {"tokens": ["oldest-token", TOKEN, "newest-token"], "private_key": key_pair()[0]}
    )
    message = org.message(org.record("Returned"))
    answers = [org.post(message, token=each)["statusCode"] for each in ("oldest-token", TOKEN, "newest-token")]
    assert answers == [401, 200, 200]


def test_a_genuine_message_that_cannot_be_read_is_kept_and_acknowledged(org: Organisation) -> None:
    for body in (b"not xml", b"", b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'):
        assert org.post(body)["body"] == ACK
    assert org.deliveries() == [("refused", "NOT_AN_OUTBOUND_MESSAGE")] * 3


def test_a_copied_sandbox_is_not_this_organisation(org: Organisation) -> None:
    message = org.message(org.record("Returned")).replace(ORG.encode(), b"00D5e000001SandEAK")
    answer = org.post(message)
    assert answer["statusCode"] == 401
    assert "sandbox" in json.loads(answer["body"])["detail"]
    assert org.left() == 10000


def test_an_enormous_body_is_refused(org: Organisation) -> None:
    assert org.post(b" " * 2_000_001)["statusCode"] == 413


def test_a_salesforce_that_does_not_answer_is_read_later(org: Organisation) -> None:
    message = org.message(org.record("Returned"))
    org.simulator.org.faults.count, org.simulator.org.faults.status = 1, 503
    assert org.post(message)["body"] == ACK
    assert org.left() == 10000
    [put_off] = org.messages()
    assert org.queued(put_off) == {"batchItemFailures": []}
    assert org.left() == 0


def event(**header: Any) -> dict[str, Any]:
    payload = {"ChangeEventHeader": {"entityName": "Case", "changeType": "UPDATE"} | header}
    return {
        "detail-type": "CaseChangeEvent",
        "source": f"aws.partner/salesforce.com/{ORG}/0YL5e0000000001GAA",
        "detail": {"payload": payload},
    }


def test_a_change_event_is_a_hint_like_any_other(org: Organisation) -> None:
    record = org.record("Returned")
    assert app.handler(event(recordIds=[record]), CONTEXT) is None
    assert org.left() == 0


def test_an_event_of_our_own_writing_costs_no_call(org: Organisation) -> None:
    record = org.record("Returned")
    app.handler(event(recordIds=[record], changedFields=["Retour_State__c", "LastModifiedDate"]), CONTEXT)
    assert org.simulator.org.logins == 0
    app.handler(event(recordIds=[record], changedFields=["Retour_State__c", "Status"]), CONTEXT)
    assert org.left() == 0


def test_an_event_of_another_object_or_organisation_is_nobodys(org: Organisation) -> None:
    record = org.record("Returned")
    app.handler(event(recordIds=[record], entityName="Account"), CONTEXT)
    app.handler(event(recordIds=[record]) | {"source": "aws.partner/salesforce.com/00D000000000001/0YL"}, CONTEXT)
    assert org.left() == 10000


def test_an_overflow_asks_for_the_reconcile(org: Organisation) -> None:
    org.record("Returned")
    app.handler(event(changeType="GAP_OVERFLOW"), CONTEXT)
    asked = org.messages()
    assert {"program": org.house.program, "source": "crm", "reconcile": True} in asked
    org.queued(*asked)
    assert org.left() == 0


def test_the_schedule_finds_what_no_push_told(org: Organisation) -> None:
    record = org.record("New")
    org.scheduled()
    assert org.left() == 10000
    org.record("Returned", record=record)
    org.scheduled()
    assert org.left() == 0
    org.scheduled()
    assert org.deliveries() == [("done", "")]


def test_the_outcome_stands_on_the_record(org: Organisation) -> None:
    record = org.record("Returned")
    org.post(org.message(record))
    assert org.queued(*org.messages()) == {"batchItemFailures": []}
    seen = org.simulator.org.records["Case"][record]
    assert (seen["Retour_State__c"], seen["Retour_Message__c"]) == ("applied", "A-1: 100.00 → 0.00 EUR")
    assert seen["Retour_Last_Sync__c"].startswith("2026-11-02T")


def test_a_locked_record_fails_only_its_own_message(org: Organisation) -> None:
    one, two = org.record("Returned"), org.record("Returned", "A-2")
    org.simulator.org.faults.locked = {two: 1}
    org.post(org.message(one))
    org.post(org.message(two))
    messages = org.messages()
    assert org.queued(*messages) == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert org.queued(messages[1]) == {"batchItemFailures": []}
    assert org.simulator.org.records["Case"][two]["Retour_State__c"] == "waiting"


def test_what_a_person_must_put_right_is_not_tried_forever(org: Organisation) -> None:
    record = org.record("Returned")
    org.simulator.org.apps.clear()
    org.simulator.org.sessions.clear()
    message = {"program": org.house.program, "source": "crm", "read": [record]}
    assert org.queued(message) == {"batchItemFailures": []}
    org.scheduled()
    assert org.left() == 10000


def test_a_renamed_field_shows_the_source_as_failing_and_loses_nothing(org: Organisation) -> None:
    """A20."""
    record = org.record("New")
    org.scheduled()
    amount = org.simulator.org.fields["Case"].pop("Refund__c")
    org.record("Returned", record=record)
    assert org.post(org.message(record))["body"] == ACK
    org.scheduled()
    deliveries = org.house.hub.deliveries(org.house.program)
    [(source, about)] = deliveries.due("failing")
    assert source == "crm"
    assert "Refund__c" in about["words"]
    assert org.left() == 10000
    org.simulator.org.fields["Case"]["Refund__c"] = amount
    org.scheduled()
    assert org.left() == 0
    assert list(deliveries.due("failing")) == []
