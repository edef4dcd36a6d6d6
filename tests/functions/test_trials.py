"""A source's connection tried through the API's front door: every step told, nothing of it in the ledger."""

import inspect
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from functions.inbound_email import app as inbound
from functions.salesforce_sync import app as sync
from functions.webhook import app as webhook
from tests.channels.hook_samples import SAMPLES, source
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_api import Caller, admin, call, text_of
from tests.gateway import hook
from tests.remote.salesforce_hub import KEY, SOURCE, TOKEN, USER, key_pair
from tests.settings import change_settings

from local.salesforce import Simulator, start
from local.smtp import Mail, ses_event, with_ses_headers
from retour.channels import mail
from retour.connection_test.mail import UNREAD_CODES, drop_code
from retour.domain.senders import NO_SECRET, sender_of, senders
from retour.remote.salesforce import client_for
from retour.sentences import all_sentences
from retour.settings import Service

__all__ = ["admin", "call"]
CONTEXT = SimpleNamespace(
    function_name="f",
    memory_limit_in_mb=512,
    invoked_function_arn="arn",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 300_000,
)
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJ8mYv1nMfhk4rH2mS0mAnnUC1kOKcEoFLaTf1yF8oK warehouse"
MAIL = {"channel": "email", "options": {"allow_from": ["returns@shop.example"]}}
SOURCES: dict[str, Any] = {
    **{kind: {"channel": "api", "kind": kind, "options": dict(source(kind).options)} for kind in senders()},
    "depot": {"channel": "sftp", "options": {"public_keys": [SSH_KEY]}},
    "bare": {"channel": "sftp"},
    "post": MAIL,
    "crm": SOURCE,
}


class Front(BaseHTTPRequestHandler):
    """The gateway's way to the function of webhooks."""

    def do_POST(self) -> None:
        *_, program, _hooks, source = self.path.split("/")
        body = self.rfile.read(int(self.headers["content-length"]))
        found = webhook.handler(hook(program, source, body, dict(self.headers)), CONTEXT)
        self.send_response(found["statusCode"])
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


class Greeter(BaseHTTPRequestHandler):
    """A server that greets as SSH servers do."""

    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


@pytest.fixture
def tried(
    admin: Caller, call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """Tests a source as its merchant does; what the API told of the steps."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in (Front, Greeter)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    ports = [server.server_address[1] for server in servers]
    change_settings(
        house.hub,
        api_url=f"http://127.0.0.1:{ports[0]}",
        sftp_address=f"127.0.0.1:{ports[1]}",
        allow_private_hosts=True,
        receives_mail="smtp",
    )
    for app in (webhook, inbound, sync):
        monkeypatch.setattr(app, "hub", lambda: house.hub)
    assert admin("PUT", "/v1/programs/{p}", text_of(house.program, sources={**PROGRAM["sources"], **SOURCES})).status

    def tried(source: str) -> Any:
        answer = call("POST", f"/v1/programs/{{p}}/sources/{source}/test")
        assert answer.status == 200, answer.body
        return answer.json["test"]

    yield tried
    for server in servers:
        server.shutdown()
        server.server_close()


def states(trial: Any) -> list[str]:
    return [f"{step['step']} {step['state']}" for step in trial["steps"]]


@pytest.mark.parametrize("kind", senders())
def test_a_webhook_is_believed_as_each_kind_of_shop_signs_and_a_forged_one_is_not(
    kind: str, tried: Callable[..., Any], call: Caller, house: ProgramHarness
) -> None:
    trial = tried(kind)
    by_secret = sender_of(kind).secret != NO_SECRET
    assert trial["state"] == ("passed" if by_secret else "warned") and trial["by"] == "till 4"
    last = "key done" if kind == "standard" else "events done"
    believed = "believed done" if by_secret else "believed warned"
    assert states(trial) == ["secret done", "address done", believed, "forged done", last]
    assert call("GET", "/v1/programs/{p}/batches").json["items"][0]["kind"] == "program", "nothing was stored"
    assert call("GET", f"/v1/programs/{{p}}/sources/{kind}").json["test"] == trial


def test_a_saved_message_is_read_in_words_and_nothing_is_written(tried: Callable[..., Any], call: Caller) -> None:
    def read(kind: str, name: str) -> Any:
        body = (SAMPLES / kind / f"{name}.json").read_bytes()
        answer = call("POST", f"/v1/programs/{{p}}/sources/{kind}/check", body, query={"name": f"{name}.json"})
        assert answer.status == 200, answer.body
        return answer.json

    told = read("signed", "refund_completed")
    assert told["counts"] == {"rows": 1, "readable": 1, "refused": 0}
    assert "19.90 EUR" in told["rows"][0]["explanation"] and "1042" in told["rows"][0]["explanation"]
    unknown = read("signed", "refund_unknown_state")["warnings"]
    assert [one["code"] for one in unknown] == ["CHECK_MESSAGE_IGNORED", "CHECK_STATUS_UNDECLARED"]
    assert "IN_LIMBO" in unknown[1]["explanation"]
    assert [one["code"] for one in read("paypal", "capture_completed")["warnings"]] == ["CHECK_MESSAGE_NAMES"]
    assert read("signed", "refund_amount_as_text")["rows"][0]["code"] == "AMOUNT_UNREADABLE"
    assert call("GET", "/v1/programs/{p}/batches").json["items"][0]["kind"] == "program"


def test_it_says_which_messages_the_basis_of_a_shop_takes(tried: Callable[..., Any]) -> None:
    told = tried("stripe")["steps"][-1]
    assert told["code"] == "SUBSCRIBE_FOR_TOTALS"
    assert "charge.succeeded" in told["explanation"]
    assert "order_total" in told["explanation"]


def test_without_a_live_secret_it_stops_there_and_says_what_to_do(
    tried: Callable[..., Any], call: Caller, house: ProgramHarness
) -> None:
    [secret] = call("GET", "/v1/programs/{p}/sources/shopify/secrets").json["items"]
    assert call("POST", f"/v1/programs/{{p}}/sources/shopify/secrets/signing/{secret['id']}/revoke").status == 200
    trial = tried("shopify")
    assert states(trial) == ["secret failed", "address open", "believed open", "forged open", "events open"]
    assert "retour keys --source shopify --set signing" in trial["steps"][0]["explanation"]
    checks = call("GET", "/v1/doctor").json["checks"]
    told = [check["detail"] for check in checks if check["name"].endswith("source shopify")]
    assert told == [trial["steps"][0]["explanation"]], "said once"


def test_the_sftp_server_is_heard_and_the_login_lets_the_keys_in(
    tried: Callable[..., Any], house: ProgramHarness
) -> None:
    house.hub.inbox.put(f"sftp/{house.program}/depot/may.csv", b"1")
    trial = tried("depot")
    assert states(trial) == ["keys done", "login done", "server done", "folder done"], trial
    said = [step["explanation"] for step in trial["steps"]]
    assert "warehouse SHA256:" in said[0] and f"{house.program}.depot" in said[1]
    assert "SSH-2.0-OpenSSH_9.2" in said[2] and said[3].endswith("files in it: 1.")
    assert states(tried("bare"))[0] == "keys failed"


def test_an_installation_without_an_sftp_server_says_so(
    tried: Callable[..., Any], house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_settings(house.hub, sftp_address="")
    trial = tried("depot")
    assert states(trial)[2] == "server failed" and "EnableSftp=true" in trial["steps"][2]["explanation"]


# Mail


def mailed(house: ProgramHarness, subject: str, *files: str, sender: str = "returns@shop.example") -> None:
    message = EmailMessage()
    message["From"], message["Subject"] = sender, subject
    message.set_content("hello\n")
    for name in files:
        message.add_attachment(b"order_id,change\nA-1,reverse\n", "application", "octet-stream", filename=name)
    token = house.hub.secret(house.program, "post")["tokens"][0]
    post = Mail(
        id=f"{house.program}-{subject}".replace(" ", "-"),
        sender=sender,
        recipients=(f"{house.program}.post.{token}@in.retour.test",),
        raw=message.as_bytes(policy=SMTP),
        peer="192.0.2.1",
        helo="mx",
        received_at=house.hub.real_now(),
    )
    house.hub.inbox.put(f"mail/{post.id}", with_ses_headers(post))
    inbound.handler(ses_event(post), CONTEXT)


def last(call: Caller) -> Any:
    return call("GET", "/v1/programs/{p}/sources/post").json["test"]


def delivered(house: ProgramHarness) -> list[str]:
    return list(house.hub.inbox.keys(f"email/{house.program}/post/"))


def test_a_mail_ticks_the_last_step_and_none_of_its_files_is_taken_in(
    tried: Callable[..., Any], call: Caller, house: ProgramHarness
) -> None:
    trial = tried("post")
    assert trial["state"] == "waiting" and states(trial)[3] == "mail waiting"
    assert "returns@shop.example" in trial["steps"][3]["explanation"]
    mailed(house, "by a stranger", sender="someone@else.example")
    assert last(call)["state"] == "waiting" and "options.allow_from" in last(call)["steps"][3]["explanation"]
    mailed(house, "Retour test", "may.csv")
    assert last(call)["state"] == "passed" and delivered(house) == []
    [secret] = call("GET", "/v1/programs/{p}/sources/post/secrets").json["items"]
    assert secret["last_used_at"] and secret["made_by"] == "operator"


def test_an_ordinary_mail_ticks_it_as_well_and_is_taken_in(
    tried: Callable[..., Any], call: Caller, house: ProgramHarness
) -> None:
    tried("post")
    mailed(house, "May returns", "may.csv")
    assert last(call)["state"] == "passed" and len(delivered(house)) == 1
    mailed(house, "Retour test again", "june.csv")
    assert len(delivered(house)) == 2, "nobody waits for a test any more"


def test_where_no_mail_comes_the_step_fails_when_its_time_is_over(
    tried: Callable[..., Any], call: Caller, house: ProgramHarness
) -> None:
    tried("post")
    house.clock.moment += timedelta(minutes=11)
    assert last(call)["state"] == "failed" and last(call)["steps"][3]["code"] == "MAIL_NOT_SEEN"


def test_a_domain_that_no_rule_receives_is_told_and_unsigned_answers_are_a_warning(
    tried: Callable[..., Any], house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_settings(house.hub, receives_mail="ses")
    rules: list[dict[str, Any]] = [{"Name": "other", "Enabled": True, "Recipients": ["else.example"]}]
    monkeypatch.setattr(house.hub, "receipt_rules", lambda: rules)
    monkeypatch.setattr(house.hub, "is_mail_signed", lambda domain: False)
    assert tried("post")["steps"][2]["code"] == "MAIL_RULE_MISSING"
    rules.append({"Name": "retour-acme", "Enabled": True, "Recipients": ["in.retour.test"]})
    step = tried("post")["steps"][2]
    assert (step["state"], step["code"]) == ("warned", "MAIL_ANSWERS_UNSIGNED")


def test_every_way_a_mail_is_dropped_has_its_sentence() -> None:
    source = inspect.getsource(mail)
    whys = re.findall(r'DroppedMail\("([^"]+)"\)', source)
    assert len(whys) >= 2
    for code in (*map(drop_code, whys), *UNREAD_CODES.values()):
        assert code in all_sentences(), code
    assert set(UNREAD_CODES) == {mail.HELD_AUTOMATIC, mail.LISTED_UNPROVEN, mail.LISTED_INFECTED}


# Salesforce


@pytest.fixture
def organisation(
    house: ProgramHarness, tried: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Simulator]:
    private, public = key_pair()
    simulator = start(now=lambda: house.clock.moment)
    simulator.register(KEY, USER, public)
    authority = tmp_path / "ca.pem"
    authority.write_text(simulator.ca_pem)
    change_settings(house.hub, salesforce=Service(simulator.connect, str(authority)))
    house.hub.secrets.put(house.program, "crm", {"tokens": [TOKEN], "private_key": private})
    client_for.cache_clear()
    yield simulator
    simulator.stop()


def worked_off(house: ProgramHarness) -> None:
    """What the queue of Salesforce's errands brings."""
    [message] = [message for queue, message in house.sent if queue == "writebacks"]
    house.sent.clear()
    record = {"messageId": "m", "body": json.dumps(message), "attributes": {}, "eventSource": "aws:sqs"}
    assert sync.handler({"Records": [record]}, CONTEXT) == {"batchItemFailures": []}


def test_salesforce_is_tried_up_to_the_right_to_write_back(
    organisation: Simulator, tried: Callable[..., Any], call: Caller, house: ProgramHarness
) -> None:
    assert tried("crm")["state"] == "running"
    worked_off(house)
    trial = call("GET", "/v1/programs/{p}/sources/crm").json["test"]
    assert trial["state"] == "passed", trial
    assert states(trial) == ["secret done", "login done", "query done", "fields done", "write_back done"]
    assert not organisation.org.records["Case"], "nothing was written"


def test_salesforces_own_words_stand_beside_the_step_that_failed(
    organisation: Simulator, tried: Callable[..., Any], call: Caller, house: ProgramHarness, admin: Caller
) -> None:
    options = {**SOURCE["options"], "fields": {**SOURCE["options"]["fields"], "note": "Nowhere__c"}}
    sources = {**PROGRAM["sources"], "crm": {**SOURCE, "options": options}}
    assert admin("PUT", "/v1/programs/{p}", text_of(house.program, sources=sources)).status == 200
    tried("crm")
    worked_off(house)
    trial = call("GET", "/v1/programs/{p}/sources/crm").json["test"]
    assert states(trial)[3] == "fields failed" and "Nowhere__c" in trial["steps"][3]["explanation"]
    organisation.register(KEY, "other@acme.example", key_pair()[1])
    house.hub.secrets.put(house.program, "crm", {"tokens": [TOKEN]})
    tried("crm")
    worked_off(house)
    assert call("GET", "/v1/programs/{p}/sources/crm").json["test"]["steps"][0]["code"] == "SALESFORCE_NOT_SET_UP"
