"""The webhook function through its front door; what all senders have in common is in their suite (conformance)."""

import base64
import importlib.util
import itertools
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from tests.channels.hook_samples import SAMPLES
from tests.channels.hook_signing import sign_headers
from tests.gateway import hook
from tests.senders.kinds import sender_script

from retour import wiring
from retour.domain.delivery import Channel, Delivery, DeliveryKind, delivery_id
from retour.domain.row import Refusal
from retour.domain.senders import senders
from retour.intake.action_reports import from_json
from retour.intake.ingest import ingest
from retour.store.deliveries import Deliveries

ROOT = Path(__file__).parents[2]
DOORS = itertools.count()
NOW = datetime(2026, 11, 22, 0, 30, tzinfo=UTC)
SECRETS = {kind: sender_script(kind).SECRET for kind in senders()}


PROGRAM = {
    "program": "acme",
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "event_types": {"sale": {}},
    "contracts": {
        "standard": {
            "event_type": "sale", "valid_from": "2026-01-01", "payout": "8%", "lock": {"days_after_event": 30}
        }
    },
    "sources": {
        **{kind: {"channel": "api", "kind": kind, "event_type": "sale"} for kind in senders()},
        "plain": {"channel": "api", "event_type": "sale"},
        "drop": {"channel": "sftp", "event_type": "sale"},
    },
}  # fmt: skip


class Door:
    """The function and what lies behind it."""

    def __init__(self, app: ModuleType, hub: wiring.Hub) -> None:
        self.app, self.hub = app, hub

    def post(
        self, body: bytes, headers: dict[str, str], *, to: str = "standard", program: str = "acme", **more: Any
    ) -> Any:
        return self.app.handler({**hook(program, to, body, headers), **more}, Context())

    def send(self, kind: str, body: bytes, **headers: str) -> Any:
        facts = {name.replace("_", "-"): value for name, value in headers.items()}
        given = sign_headers(kind, body, SECRETS[kind], self.hub.real_now()) | facts
        return self.post(body, given, to=kind)

    def order(self, key: str) -> Any:
        program = self.hub.program("acme")
        assert program is not None
        return self.hub.ledger(program).order(key)

    @property
    def deliveries(self) -> Deliveries:
        return self.hub.deliveries("acme")

    def stored(self) -> int:
        return sum(len(self.deliveries.newest(day)) for day in {f"{self.hub.now():%Y%m%d}"})


class Context:
    function_name = "webhook"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:webhook"
    aws_request_id = "1"


@pytest.fixture
def door(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """Storage of its own on the embedded AWS, so that nothing stored means nothing at all."""
    name = f"door-{os.getpid()}-{next(DOORS)}"
    for key, value in {**environment, "LEDGER_TABLE": name, "INBOX_BUCKET": name, "STACK": name}.items():
        monkeypatch.setenv(key, value)
    make_storage(name)
    wiring.hub.cache_clear()
    hub = wiring.hub()
    hub.programs.apply(PROGRAM, hub.now(), "first")
    for kind in senders():
        hub.secrets.put("acme", kind, {"signing": [SECRETS[kind]]})
    hub.secrets.put("acme", "plain", {"signing": [SECRETS["standard"]]})
    yield Door(load(), hub)
    wiring.hub.cache_clear()


def make_storage(name: str) -> None:
    keys = ["PK", "SK", "GSI1PK", "GSI1SK", "GSI2PK", "GSI2SK"]
    boto3.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index,
                "KeySchema": [
                    {"AttributeName": f"{index}PK", "KeyType": "HASH"},
                    {"AttributeName": f"{index}SK", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
            for index in ("GSI1", "GSI2")
        ],
    )
    boto3.client("s3").create_bucket(Bucket=name)


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("webhook_app", ROOT / "functions/webhook/app.py")
    assert spec and spec.loader
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    return app


def report(door: Door, **action: Any) -> None:
    """An action that is there to be corrected."""
    told = {"event_type": "sale", "partner": "P1", "currency": "EUR", "event_time": "2026-11-20T10:00:00Z", **action}
    body, now = json.dumps(told).encode(), door.hub.now()
    assert not isinstance(from_json(body), Refusal)
    ingest(
        door.hub,
        Delivery(
            id=delivery_id(now, "acme", "reports", told["order_id"]),
            program="acme",
            channel=Channel.API,
            source="reports",
            kind=DeliveryKind.ACTIONS,
            identity=told["order_id"],
            received_at=now,
            sha256="0" * 64,
            size=len(body),
        ),
        body,
    )


def read(answer: Any) -> tuple[int, Any]:
    return answer["statusCode"], json.loads(answer["body"])


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def test_a_signed_record_is_stored_applied_and_answered_at_once(door: Door) -> None:
    report(door, order_id="1042", amount="100.00")
    status, batch = read(door.send("standard", sample("standard/one")))
    assert status == 200
    assert (batch["state"], batch["counts"]) == ("done", {"applied": 1})
    assert batch["outcomes"][0]["effect"]["amount"] == {"before": "100.00", "after": "80.00"}
    assert batch["outcomes"][0]["effect"]["payout"] == {"before": "8.00", "after": "6.40"}
    header = door.deliveries.get(batch["batch"])
    assert header is not None
    assert door.deliveries.body(header) == sample("standard/one")


def test_a_source_without_a_kind_takes_standard_webhooks(door: Door) -> None:
    body = sample("standard/one")
    headers = sign_headers("standard", body, SECRETS["standard"], door.hub.real_now())
    assert read(door.post(body, headers, to="plain"))[0] == 200


def test_signatures_keep_the_real_clock_whatever_the_business_clock_says(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOCK_OFFSET_SECONDS", str(40 * 86400))
    wiring.hub.cache_clear()
    status, batch = read(door.send("standard", sample("standard/one")))
    header = door.deliveries.get(batch["batch"])
    assert status == 200
    assert header is not None
    assert (header.delivery.received_at - door.hub.real_now()).days in (39, 40)


def test_the_same_delivery_again_changes_nothing(door: Door) -> None:
    report(door, order_id="1042", amount="100.00")
    first = read(door.send("standard", sample("standard/one"), webhook_id="msg_1"))[1]
    again = read(door.send("standard", sample("standard/one"), webhook_id="msg_1"))[1]
    assert (first["counts"], again["counts"]) == ({"applied": 1}, {"duplicate": 1})
    assert len(door.order("1042").records) == 1


def test_bytes_that_no_secret_signed_get_401_and_leave_nothing(door: Door) -> None:
    body = sample("standard/one")
    headers = sign_headers("standard", body, SECRETS["standard"], door.hub.real_now())
    answer = door.post(body.replace(b"20.00", b"90.00"), headers)
    assert answer["headers"]["content-type"] == "application/problem+json"
    status, problem = read(answer)
    assert (status, problem["status"], problem["code"]) == (401, 401, "SIGNATURE_INVALID")
    assert door.stored() == 0
    assert door.order("1042").records == []


def test_a_body_in_base64_is_verified_as_the_bytes_it_stands_for(door: Door) -> None:
    body = '{"order_id": "10\u00a042", "change": "reverse"}'.encode()
    headers = sign_headers("standard", body, SECRETS["standard"], door.hub.real_now())
    for kind in ("application/json", "application/octet-stream"):
        assert read(door.post(body, {**headers, "content-type": kind}))[0] == 200
    assert read(door.post(base64.b64encode(body), headers))[0] == 401, "the text of the encoding is not what was signed"
    assert read(door.post(b"no base64!", headers, isBase64Encoded=True))[0] == 401


def test_header_names_are_read_in_any_case(door: Door) -> None:
    body = sample("shopify/refund_two_lines")
    headers = {"X-Shopify-Topic": "refunds/create"}
    headers |= {name.title(): v for name, v in sign_headers("shopify", body, SECRETS["shopify"], NOW).items()}
    status, batch = read(door.post(body, headers, to="shopify"))
    assert (status, batch["counts"]) == (200, {"waiting": 2})


@pytest.mark.parametrize(
    ("program", "to"),
    [
        ("ghost", "standard"), ("acme", "ghost"), ("acme", "drop"), ("acme", ""), ("", "standard"),
        ("ACME", "standard"),
        ("a" * 3000, "standard"), ("acme", "s" * 3000), ("acme#1", "standard"),
    ],
)  # fmt: skip
def test_foreign_and_missing_are_what_is_not_believed(door: Door, program: str, to: str) -> None:
    """Nobody learns by an address whether there is such a program or source."""
    body = sample("standard/one")
    headers = sign_headers("standard", body, SECRETS["standard"], door.hub.real_now())
    forged = read(door.post(body + b" ", headers))
    assert read(door.post(body, headers, to=to, program=program)) == forged
    assert forged[0] == 401


def test_more_than_a_megabyte_is_413(door: Door) -> None:
    body = b'{"note": "' + b"x" * 1024 * 1024 + b'"}'
    headers = sign_headers("standard", body, SECRETS["standard"], door.hub.real_now())
    assert read(door.post(body, headers))[1]["code"] == "BODY_TOO_LARGE"
    assert door.stored() == 0


def test_a_megabyte_of_records_is_kept_whole(door: Door) -> None:
    records = [{"order_id": f"{n}", "change": "reverse", "note": "ä" * 250, "reference": f"R{n}"} for n in range(500)]
    body = json.dumps(records).encode() + b" " * 200_000
    status, batch = read(door.send("standard", body))
    assert (status, batch["counts"]) == (200, {"waiting": 500})
    header = door.deliveries.get(batch["batch"])
    assert header is not None
    assert door.deliveries.body(header) == body


def test_the_worst_list_of_records_is_answered_and_never_an_error(door: Door) -> None:
    """Every field as long as it may be or longer, five hundred times: its index must still fit into one header."""
    fields = ("order_id", "reference", "change", "status", "reason", "event_type")
    for length, times in ((42, 500), (700, 60)):
        body = json.dumps([dict.fromkeys(fields, "\u20ac" * length)] * times, ensure_ascii=False).encode()
        status, batch = read(door.send("standard", body))
        assert (status, batch["counts"]) == (200, {"refused": times})


def test_a_genuine_body_that_is_no_json_is_kept_and_refused_with_200(door: Door) -> None:
    status, batch = read(door.send("standard", sample("standard/cut_off")))
    assert (status, batch["state"], batch["code"]) == (200, "refused", "NOT_JSON")
    assert "line 1, column 42" in batch["explanation"]
    header = door.deliveries.get(batch["batch"])
    assert header is not None
    assert door.deliveries.body(header) == sample("standard/cut_off")


def test_a_payload_that_says_nothing_is_kept_and_said_to_be_ignored(door: Door) -> None:
    status, batch = read(door.send("bigcommerce", sample("bigcommerce/refund_created")))
    assert (status, batch["state"]) == (200, "ignored")
    assert "how much" in batch["explanation"]
    assert door.deliveries.get(batch["batch"]) is not None


def test_one_bad_record_spoils_no_other(door: Door) -> None:
    _, batch = read(door.send("standard", sample("standard/mixed")))
    assert [outcome["code"] for outcome in batch["outcomes"]] == [
        "WAITING", "AMOUNT_NOT_TEXT", "UNKNOWN_FIELD", "FIELD_NOT_TEXT", "DUPLICATE_KEY", "NOT_AN_OBJECT", "WAITING",
        "NOT_UNICODE",
    ]  # fmt: skip
    assert 'as a string: "20.00"' in batch["outcomes"][1]["explanation"]
    assert "order_id" in batch["outcomes"][2]["explanation"]


def test_the_ping_of_a_new_woocommerce_webhook_gets_200_and_leaves_nothing(door: Door) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert read(door.post(b"webhook_id=17&x=1", form, to="woocommerce"))[0] == 401
    pinged = read(door.post(b"webhook_id=17", form, to="woocommerce"))
    for to, program in (("shopify", "acme"), ("ghost", "acme"), ("woocommerce", "ghost")):
        assert read(door.post(b"webhook_id=17", form, to=to, program=program)) == pinged, "no address is told apart"
    assert door.stored() == 0


def test_a_secret_made_a_moment_ago_is_believed_at_once(door: Door) -> None:
    body, fresh = b'{"order_id": "1042", "change": "reverse"}', "whsec_" + base64.b64encode(b"z" * 24).decode()
    assert read(door.send("standard", body))[0] == 200, "the secrets are read and kept"
    name = door.hub.secrets.name("acme", "standard")
    door.hub.secrets.client.put_parameter(  # Another process of the hub rotates it.
        Name=name, Value=json.dumps({"signing": [fresh, SECRETS["standard"]]}), Type="SecureString", Overwrite=True
    )
    assert read(door.post(body, sign_headers("standard", body, fresh, door.hub.real_now())))[0] == 200


def test_forgeries_are_not_as_many_questions_to_the_parameter_store(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    secrets = door.hub.secrets
    monkeypatch.setattr(secrets, "_get", lambda name, get=secrets._get: asked.append(name) or get(name))
    headers = sign_headers("standard", b"{}", "whsec_" + base64.b64encode(b"q" * 24).decode(), door.hub.real_now())
    for _ in range(20):
        assert read(door.post(b"{}", headers))[0] == 401
    assert len(asked) <= 3


@pytest.mark.parametrize("query", ["dryrun=true", "dry_run=true", "source=erp"])
def test_a_query_word_at_a_webhooks_address_is_named_to_who_is_believed_only(door: Door, query: str) -> None:
    body = sample("standard/one")
    headers = sign_headers("standard", body, SECRETS["standard"], door.hub.real_now())
    said = dict([query.split("=")])
    status, problem = read(door.post(body, headers, queryStringParameters=said))
    assert (status, query.partition("=")[0] in problem["detail"]) == (400, True)
    assert door.stored() == 0
    assert read(door.post(body + b" ", headers, queryStringParameters=said))[1]["code"] == "SIGNATURE_INVALID"


def test_a_webhook_that_is_not_utf8_is_refused_by_name_after_its_signature(door: Door) -> None:
    """D16. Under a type that keeps bytes the signature holds, and what is wrong is an outcome."""
    body = '{"order_id": "1042", "change": "reverse", "note": "größer"}'.encode("latin-1")
    headers = sign_headers("standard", body, SECRETS["standard"], door.hub.real_now())
    status, batch = read(door.post(body, {**headers, "content-type": "application/octet-stream"}))
    assert (status, batch["state"], batch["code"]) == (200, "refused", "NOT_UTF8")
    stored = door.stored()
    status, problem = read(door.post(body, headers))
    assert (status, problem["code"]) == (415, "BYTES_NOT_KEPT") and "application/octet-stream" in problem["detail"]
    assert read(door.post(body, headers, to="ghost"))[1] == problem, "no address is told apart"
    assert door.stored() == stored


def test_a_replaced_character_that_the_sender_wrote_itself_is_kept(door: Door) -> None:
    body = '{"order_id": "1042", "change": "reverse", "note": "gr\ufffd\ufffder"}'.replace("\\ufffd", "\ufffd").encode()
    assert "\ufffd".encode() in body
    headers = sign_headers("standard", body, SECRETS["standard"], door.hub.real_now())
    assert read(door.post(body, headers))[0] == 200


def test_a_control_character_in_the_path_is_400_for_everybody(door: Door) -> None:
    for program in ("acme", "ghost"):
        status, problem = read(door.post(b"{}", {}, program=program, rawPath=f"/v1/programs/{program}/hooks/a\nb"))
        assert (status, problem["code"]) == (400, "PATH_INVALID")


def test_a_refund_by_shopify_takes_back_its_lines(door: Door) -> None:
    items = [{"sku": "SHOE-42", "quantity": 2, "amount": "100.00"}, {"sku": "SOCK-M", "quantity": 4, "amount": "33.60"}]
    report(door, order_id="450789469", items=items)
    body = sample("shopify/refund_two_lines")
    _, batch = read(door.send("shopify", body, x_shopify_topic="refunds/create", x_shopify_webhook_id="w1"))
    assert batch["counts"] == {"applied": 2}
    assert door.order("450789469").heads["450789469~sale"].standing.amount == 6680
    _, again = read(door.send("shopify", body, x_shopify_topic="refunds/create", x_shopify_webhook_id="w2"))
    assert again["counts"] == {"duplicate": 2}, "a second subscription"


def test_one_stripe_refund_told_by_two_events_counts_once(door: Door) -> None:
    report(door, order_id="1042", amount="119.00")
    listed = json.loads(sample("stripe/charge_refunded_with_its_list"))
    for event in (json.dumps(listed).encode(), sample("stripe/refund_created"), sample("stripe/refund_updated")):
        read(door.send("stripe", event))
    (head,) = door.order("1042").heads.values()
    assert head.standing.amount == 10400, "119.00 less 10.00 and 5.00, each once"


def test_a_dispute_reverses_and_its_being_won_restores(door: Door) -> None:
    report(door, order_id="1042", amount="119.00")
    read(door.send("stripe", sample("stripe/charge_succeeded")))
    created = read(door.send("stripe", sample("stripe/dispute_created")))[1]["outcomes"][0]
    escalated = read(door.send("stripe", sample("stripe/dispute_escalated")))[1]["outcomes"][0]
    won = read(door.send("stripe", sample("stripe/dispute_won")))[1]["outcomes"][0]
    assert (created["outcome"], created["effect"]["amount"]["after"]) == ("applied", "0.00")
    assert escalated["outcome"] in ("duplicate", "unchanged")
    assert (won["outcome"], won["effect"]["amount"]["after"]) == ("applied", "119.00")
