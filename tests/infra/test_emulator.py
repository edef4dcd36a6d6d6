"""What the embedded AWS keeps, how it ends, and each of its gaps that Retour goes around.

A gap's test fails when a newer version closes the gap: then the detour it names can go.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.infra.conftest import PARAMETERS, LocalStack, make_traced_tree, queued_details

from local.deploy import client, deploy
from local.emulator import emulator, free_port, was_killed

pytestmark = pytest.mark.slow

ITEM = {"PK": {"S": "A#acme#1"}, "SK": {"S": "M#1"}}


def deployed(endpoint: str, root: Path) -> LocalStack:
    return LocalStack(endpoint, root, deploy(endpoint, parameters=PARAMETERS, root=root))


def test_a_clean_end_keeps_everything_and_the_stream_goes_on(tmp_path: Path) -> None:
    root = make_traced_tree(tmp_path / "root")
    with emulator(tmp_path / "data", free_port()) as endpoint:
        first = deployed(endpoint, root)
        first.client("dynamodb").put_item(TableName=first.output("LedgerTable"), Item=ITEM)
        first.client("sqs").send_message(QueueUrl=first.output("ParkedQueue"), MessageBody="kept")
        first.seen("apply", lambda event: True)
    assert not was_killed(tmp_path / "data")
    with emulator(tmp_path / "data", free_port()) as endpoint:
        second = deployed(endpoint, root)
        dynamodb, table = second.client("dynamodb"), second.output("LedgerTable")
        assert dynamodb.get_item(TableName=table, Key=ITEM)["Item"] == ITEM
        parked = second.client("sqs").receive_message(QueueUrl=second.output("ParkedQueue"))["Messages"]
        assert [message["Body"] for message in parked] == ["kept"]
        assert second.endpoint in second.output("AnswersQueue"), "queues move to the new port"
        second.client("sqs").send_message(QueueUrl=second.output("AnswersQueue"), MessageBody="after")
        said = second.seen("answer", lambda event: event["Records"][0]["body"] == "after")
        assert said["environment"]["ANSWERS_QUEUE"] == second.output("AnswersQueue")
        dynamodb.put_item(TableName=table, Item={"PK": ITEM["PK"], "SK": {"S": "M#after"}})
        second.seen("apply", lambda event: event["Records"][0]["dynamodb"]["Keys"]["SK"] == {"S": "M#after"})


def test_a_kill_leaves_the_inbox_as_it_was_and_is_noticed(tmp_path: Path) -> None:
    root, data = make_traced_tree(tmp_path / "root"), tmp_path / "data"
    with emulator(data, free_port()) as endpoint:
        first = deployed(endpoint, root)
        inbox = first.output("InboxBucket")
        for body in (b"1", b"2"):
            first.client("s3").put_object(Bucket=inbox, Key="raw/acme/ä b", Body=body, Metadata={"program": "acme"})
        first.client("dynamodb").put_item(TableName=first.output("LedgerTable"), Item=ITEM)
        os.kill(int((data / "emulator.pid").read_text()), signal.SIGKILL)
    assert was_killed(data)
    with emulator(data, free_port()) as endpoint:
        second = deployed(endpoint, root)
        assert second.output("InboxBucket") == inbox
        found = second.client("s3").get_object(Bucket=inbox, Key="raw/acme/ä b")
        assert (found["Body"].read(), found["Metadata"]) == (b"2", {"program": "acme"})
        assert second.client("dynamodb").scan(TableName=second.output("LedgerTable"))["Count"] == 0
        second.client("s3").put_object(Bucket=inbox, Key="api/acme/orders/d1/may.csv", Body=b"x")
        landed = "api/acme/orders/d1/may.csv"
        second.seen("file_drop", lambda event: [each["object"]["key"] for each in queued_details(event)] == [landed])


def test_an_orphan_of_a_killed_hub_is_ended_and_saves_what_it_has(tmp_path: Path) -> None:
    hub = (
        "import os, signal, sys; from pathlib import Path; from local.emulator import emulator, free_port\n"
        "from local.deploy import client\n"
        "with emulator(Path(sys.argv[1]), free_port()) as endpoint:\n"
        "    client('sqs', endpoint).create_queue(QueueName='kept')\n"
        "    print((Path(sys.argv[1]) / 'emulator.pid').read_text(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    infra = Path(__file__).resolve().parents[2] / "infra"
    python = [sys.executable, "-c", hub, str(tmp_path)]
    ended = subprocess.run(python, env={**os.environ, "PYTHONPATH": str(infra)}, timeout=60, stdout=subprocess.PIPE)
    assert ended.returncode == -signal.SIGKILL
    orphan = int(ended.stdout)
    with emulator(tmp_path, free_port()) as endpoint:
        assert [url.rpartition("/")[2] for url in client("sqs", endpoint).list_queues()["QueueUrls"]] == ["kept"]
        command = Path(f"/proc/{orphan}/cmdline")
        assert not command.exists() or command.read_bytes() == b"", "the orphan still runs"


def test_it_listens_on_loopback_alone_and_sees_nothing_of_this_machine(stack: LocalStack) -> None:
    os.environ["RETOUR_TEST_SECRET"] = "laptop"
    port = int(stack.endpoint.rpartition(":")[2])
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    addresses = [line.split()[1] for line in listening if line.split()[3] == "0A"]
    assert f"0100007F:{port:04X}" in addresses and f"00000000:{port:04X}" not in addresses
    stack.client("sqs").send_message(QueueUrl=stack.output("AnswersQueue"), MessageBody="who am I")
    said = stack.seen("answer", lambda event: event["Records"][0]["body"] == "who am I")
    assert "RETOUR_TEST_SECRET" not in said["environment"]


# Its gaps


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with emulator(tmp_path_factory.mktemp("gaps"), free_port(), persist=False) as endpoint:
        yield endpoint


def created(endpoint: str, name: str, resources: dict[str, Any], **more: Any) -> str:
    """The status that a stack of these resources comes to."""
    cloudformation = client("cloudformation", endpoint)
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources, **more}))
    return settled(endpoint, name)


def settled(endpoint: str, name: str) -> str:
    while True:
        status = str(client("cloudformation", endpoint).describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
        if not status.endswith("IN_PROGRESS"):
            return status
        time.sleep(0.02)


def test_gap_an_http_api_has_no_routes_from_its_body(endpoint: str) -> None:
    """Why the template names Route and Integration itself, instead of AWS::Serverless::HttpApi."""
    body = {"openapi": "3.0.1", "paths": {"/healthz": {"get": {"responses": {}}}}}
    api = {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Body": body}}
    assert created(endpoint, "http-api", {"Api": api}) == "CREATE_COMPLETE"
    (found,) = client("apigatewayv2", endpoint).get_apis()["Items"]
    assert client("apigatewayv2", endpoint).get_routes(ApiId=found["ApiId"])["Items"] == []


def test_gap_a_nested_stack_cannot_be_updated(endpoint: str) -> None:
    """Why deploy() makes the storage a stack of its own."""
    s3 = client("s3", endpoint)
    s3.create_bucket(Bucket="templates")
    queue = {"Kept": {"Type": "AWS::DynamoDB::Table", "Properties": table()}}
    output = {"Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Kept", "Arn"]}}}}

    def nested(name: str) -> dict[str, Any]:
        url = f"https://s3.amazonaws.com/templates/{name}"
        return {"Child": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}}

    s3.put_object(Bucket="templates", Key="first", Body=json.dumps({"Resources": queue, **output}))
    more = {"Resources": {**queue, "New": {"Type": "AWS::SQS::Queue"}}, **output}
    s3.put_object(Bucket="templates", Key="second", Body=json.dumps(more))
    assert created(endpoint, "parent", nested("first")) == "CREATE_COMPLETE"
    template = json.dumps({"Resources": nested("second")})
    client("cloudformation", endpoint).update_stack(StackName="parent", TemplateBody=template)
    assert "FAILED" in settled(endpoint, "parent") or "ROLLBACK" in settled(endpoint, "parent")


def table() -> dict[str, Any]:
    return {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "PK", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
    }


@pytest.mark.parametrize("kind", ["AWS::Transfer::Server", "AWS::SES::ReceiptRuleSet", "AWS::SES::ReceiptRule"])
def test_gap_it_has_no_sftp_server_and_no_receipt_of_mail(endpoint: str, kind: str) -> None:
    """Why the hub has servers of its own, and Sftp and Email stand behind conditions."""
    name = kind.replace("::", "-")
    try:
        assert created(endpoint, name, {"One": {"Type": kind, "Properties": {}}}) == "ROLLBACK_COMPLETE"
    except ClientError as error:
        assert kind in str(error)


def test_gap_nobody_else_may_speak_as_transfer(endpoint: str) -> None:
    """As in AWS itself: why the hub's SFTP server says retour.sftp."""
    entry = {"Source": "aws.transfer", "DetailType": "SFTP Server File Upload Completed", "Detail": "{}"}
    assert client("events", endpoint).put_events(Entries=[entry])["FailedEntryCount"] == 1


def test_gap_functions_run_on_its_own_python(stack: LocalStack) -> None:
    """Why deploy() sends sources alone: the libraries lie in .venv-local, of whatever Python that has."""
    own = subprocess.run(
        [Path(__file__).resolve().parents[2] / ".venv-local/bin/python", "-c", "import sys; print(sys.version)"],
        capture_output=True,
        text=True,
        check=True,
    )
    _, said = stack.http("GET", "/healthz")
    assert said["python"] == own.stdout.strip()
