"""The real template, deployed: every way in leads to its function, and no function may do more than it must."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.infra.conftest import LocalStack, queued_details

LEDGER_ITEM = {"PK": {"S": "A#acme#1"}, "SK": {"S": "M#1"}}


def brings(body: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: any(record["body"] == body for record in event["Records"])


@pytest.mark.parametrize(
    ("method", "path", "function"),
    [
        ("POST", "/v1/programs/acme/hooks/shop", "webhook"),
        ("POST", "/v1/programs/acme/salesforce/crm/token", "salesforce"),
        ("POST", "/v1/programs/acme/modifications", "api"),
        ("GET", "/v1/programs/acme/hooks/shop", "api"),
        ("GET", "/healthz", "api"),
        ("GET", "/openapi.json", "api"),
    ],
)
def test_a_call_reaches_its_function_with_the_layer(stack: LocalStack, method: str, path: str, function: str) -> None:
    status, said = stack.http(method, path)
    assert (status, said["function"], said["mark"]) == (200, function, "the layer")
    assert said["event"]["rawPath"] == path


def test_any_other_path_is_answered_by_the_api(stack: LocalStack) -> None:
    for method, path in (("GET", "/nowhere"), ("POST", "/healthz"), ("DELETE", "/")):
        status, said = stack.http(method, path)
        assert (status, said["function"]) == (200, "api")


def test_path_parameters_are_named_as_the_functions_read_them(stack: LocalStack) -> None:
    _, said = stack.http("POST", "/v1/programs/acme/salesforce/crm/abc")
    assert said["event"]["pathParameters"] == {"program": "acme", "source": "crm", "token": "abc"}


@pytest.mark.parametrize("prefix", ["sftp", "api", "pull", "email"])
def test_a_file_put_into_the_inbox_is_told(stack: LocalStack, prefix: str) -> None:
    key = f"{prefix}/acme/orders/d1/may.csv"
    stack.client("s3").put_object(Bucket=stack.output("InboxBucket"), Key=key, Body=b"x")
    stack.seen("file_drop", lambda event: [one.get("object", {}).get("key") for one in queued_details(event)] == [key])


@pytest.mark.parametrize("what", ["Upload Completed", "Upload Failed", "Rename Completed"])
def test_what_the_sftp_server_says_is_told_as_well(stack: LocalStack, what: str) -> None:
    detail = {"file-path": f"/{stack.output('InboxBucket')}/sftp/acme/orders/{what}.csv", "server-id": "s-1"}
    entry = {"Source": "retour.sftp", "DetailType": f"SFTP Server File {what}", "Detail": json.dumps(detail)}
    assert stack.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
    stack.seen("file_drop", lambda event: queued_details(event) == [detail])


def test_a_new_record_wakes_the_fold_and_a_new_head_does_not(stack: LocalStack) -> None:
    table = stack.output("LedgerTable")
    stack.client("dynamodb").put_item(TableName=table, Item={"PK": {"S": "A#acme#1"}, "SK": {"S": "H#1"}})
    stack.client("dynamodb").put_item(TableName=table, Item=LEDGER_ITEM)
    said = stack.seen("apply", lambda event: True)
    assert [record["dynamodb"]["Keys"] for record in said["event"]["Records"]] == [LEDGER_ITEM]


@pytest.mark.parametrize(
    ("queue", "function"),
    [("AnswersQueue", "answer"), ("PullsQueue", "ftp_pull"), ("WritebacksQueue", "salesforce_sync")],
)
def test_a_message_reaches_its_worker_and_only_what_failed_stays(stack: LocalStack, queue: str, function: str) -> None:
    sqs, url = stack.client("sqs"), stack.output(queue)
    for body in ("good", "bad"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
        stack.seen(function, brings(body))
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert sum(int(count) for count in counts.values()) == 1


def test_both_schedules_stand(stack: LocalStack) -> None:
    schedules = stack.client("scheduler").list_schedules()["Schedules"]
    assert {schedule["Name"] for schedule in schedules} == {"retour-tick", "retour-reconcile", "retour-lock"}


def test_the_environment_is_what_the_wiring_reads(stack: LocalStack) -> None:
    stack.client("sqs").send_message(QueueUrl=stack.output("AnswersQueue"), MessageBody="environment")
    said = stack.seen("answer", brings("environment"))
    given = said["environment"]
    assert given["STACK"] == "retour"
    assert given["LEDGER_TABLE"] == stack.output("LedgerTable")
    assert given["INBOX_BUCKET"] == stack.output("InboxBucket")
    for queue in ("ANSWERS", "PULLS", "WRITEBACKS", "PARKED"):
        assert given[f"{queue}_QUEUE"] == stack.output(f"{queue.title()}Queue")
    assert given["API_URL"] == "https://returns.example"
    assert (given["MAIL_DOMAIN"], given["MAIL_FROM"]) == ("in.returns.example", "returns@in.returns.example")
    assert (given["KEEP_ENVELOPES"], given["CLOCK_OFFSET_SECONDS"]) == ("1", "0")
    assert "OUTWARD" not in given and "SALESFORCE_CONNECT" not in given
    assert given["AWS_ENDPOINT_URL"] == stack.endpoint


@pytest.mark.parametrize(
    ("function", "service", "method", "arguments"),
    [
        ("WebhookFunction", "s3", "get_object", {"Bucket": "$BUCKET", "Key": "mail/1"}),
        ("WebhookFunction", "s3", "put_object", {"Bucket": "$BUCKET", "Key": "results/1"}),
        ("WebhookFunction", "s3", "list_objects_v2", {"Bucket": "$BUCKET"}),
        ("WebhookFunction", "s3", "delete_object", {"Bucket": "$BUCKET", "Key": "raw/1"}),
        ("WebhookFunction", "ssm", "get_parameter", {"Name": "/retour/other/acme/shop"}),
        ("AnswerFunction", "s3", "put_object", {"Bucket": "$BUCKET", "Key": "api/acme/shop/1"}),
        ("ApplyFunction", "ssm", "get_parameter", {"Name": "/retour/retour/acme/shop"}),
        ("FtpPullFunction", "s3", "put_object", {"Bucket": "$BUCKET", "Key": "email/acme/1"}),
        ("InboundEmailFunction", "s3", "put_object", {"Bucket": "$BUCKET", "Key": "sftp/acme/1"}),
        ("ApiFunction", "s3", "put_object", {"Bucket": "$BUCKET", "Key": "sftp/acme/shop/1"}),
        ("ApiFunction", "lambda", "list_functions", {}),
        ("TickFunction", "ses", "list_identities", {}),
        ("LockFunction", "s3", "get_object", {"Bucket": "$BUCKET", "Key": "raw/1"}),
        ("LockFunction", "sqs", "list_queues", {}),
    ],
)
def test_what_a_function_need_not_do_is_refused(
    stack: LocalStack, function: str, service: str, method: str, arguments: dict[str, str]
) -> None:
    assert "not authorized" in stack.refused(function, service, method, **arguments)


def test_what_a_function_must_do_is_granted(stack: LocalStack) -> None:
    made = {"Name": "/retour/retour/acme/shop", "Value": "{}", "Type": "SecureString"}
    assert stack.refused("ApiFunction", "ssm", "put_parameter", **made) == ""
    assert stack.refused("WebhookFunction", "ssm", "get_parameter", Name=made["Name"]) == ""
    stored = {"Bucket": "$BUCKET", "Key": "sftp/acme/orders/result_may.csv"}
    assert stack.refused("AnswerFunction", "s3", "put_object", **stored) == ""
    parked = {"QueueUrl": stack.output("ParkedQueue"), "MessageBody": "{}"}
    assert stack.refused("ApplyFunction", "sqs", "send_message", **parked) == ""
    missing = stack.refused("AnswerFunction", "s3", "get_object", Bucket="$BUCKET", Key="results/none")
    assert "NoSuchKey" in missing, "a missing object must not look like a forbidden one"


def test_deploying_again_changes_the_settings_and_keeps_what_is_stored(stack: LocalStack) -> None:
    stack.client("dynamodb").put_item(TableName=stack.output("LedgerTable"), Item=LEDGER_ITEM)
    before = stack.deployed
    stack.again(ClockOffsetSeconds="60", Outward="off")
    assert stack.deployed == before
    stack.client("sqs").send_message(QueueUrl=stack.output("AnswersQueue"), MessageBody="settings")
    said = stack.seen("answer", brings("settings"))
    assert (said["environment"]["CLOCK_OFFSET_SECONDS"], said["environment"]["OUTWARD"]) == ("60", "off")
    key = {"PK": LEDGER_ITEM["PK"], "SK": LEDGER_ITEM["SK"]}
    assert stack.client("dynamodb").get_item(TableName=stack.output("LedgerTable"), Key=key)["Item"] == LEDGER_ITEM


def test_new_code_reaches_the_function_behind_the_api(stack: LocalStack) -> None:
    (stack.root / "shared/retour/__init__.py").write_text('MARK = "the newer layer"\n')
    stack.again()
    assert stack.http("GET", "/healthz")[1]["mark"] == "the newer layer"
