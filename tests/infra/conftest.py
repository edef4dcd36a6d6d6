"""The real template in an embedded AWS that enforces roles, with functions that record their events."""

import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.deploy import DeployedStack, client, deploy
from local.emulator import emulator, free_port

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = {"Local": "true", "ApiUrl": "https://returns.example", "MailDomain": "in.returns.example"}
PATIENCE = 10.0

# Records its event in the inbox, runs what its name says, and responds.
TRACE = """
import json, os, sys, boto3
from retour import MARK

def handler(event, context):
    inbox, bucket = boto3.client("s3"), os.environ["INBOX_BUCKET"]
    said = {"function": FUNCTION, "mark": MARK, "python": sys.version, "environment": dict(os.environ), "event": event}
    if "call" in event:
        service, method, arguments = event["call"]
        arguments = {name: value.replace("$BUCKET", bucket) for name, value in arguments.items()}
        try:
            getattr(boto3.client(service), method)(**arguments)
        except Exception as error:
            return {"refused": str(error)}
        return {"refused": ""}
    inbox.put_object(Bucket=bucket, Key=f"raw/{FUNCTION}/{context.aws_request_id}", Body=json.dumps(said))
    print("left a trace")
    if "requestContext" in event:
        del said["environment"]
        return {"statusCode": 200, "body": json.dumps(said)}
    records = event.get("Records", [])
    return {"batchItemFailures": [{"itemIdentifier": r["messageId"]} for r in records if "bad" in r.get("body", "")]}
"""


@dataclass
class LocalStack:
    """A deployed stack and the events of its functions."""

    endpoint: str
    root: Path
    deployed: DeployedStack

    def client(self, service: str) -> Any:
        return client(service, self.endpoint)

    def output(self, name: str) -> str:
        return self.deployed.outputs[name]

    def again(self, **parameters: str) -> None:
        self.deployed = deploy(self.endpoint, parameters=PARAMETERS | parameters, root=self.root)

    def http(self, method: str, path: str) -> tuple[int, Any]:
        body = b"{}" if method == "POST" else None
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.deployed.api_base + path, body, method=method)
            ) as r:
                return r.status, json.load(r)
        except urllib.error.HTTPError as error:
            return error.code, None

    def refused(self, function: str, service: str, method: str, **arguments: str) -> str:
        """Why the function was denied this; empty if it was allowed."""
        event = {"call": [service, method, arguments]}
        answer = self.client("lambda").invoke(FunctionName=self.output(function), Payload=json.dumps(event))
        return str(json.load(answer["Payload"])["refused"])

    def seen(self, function: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a matching event of a function and return it."""
        s3, deadline = self.client("s3"), time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = s3.list_objects_v2(Bucket=self.output("InboxBucket"), Prefix=f"raw/{function}/")
            for entry in found.get("Contents", []):
                body = s3.get_object(Bucket=self.output("InboxBucket"), Key=entry["Key"])["Body"].read()
                said: dict[str, Any] = json.loads(body)
                if wanted(said["event"]):
                    return said
            time.sleep(0.05)
        raise AssertionError(f"{function} saw nothing of the kind within {PATIENCE} s")


def queued_details(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The details of the S3 events that an SQS event brings."""
    return [json.loads(record["body"])["detail"] for record in event["Records"]]


def make_traced_tree(root: Path) -> Path:
    """A tree with the real templates, a layer with a mark, and functions that leave a trace."""
    (root / "infra").mkdir(parents=True)
    shutil.copy(ROOT / "template.yaml", root)
    shutil.copy(ROOT / "infra/storage.yaml", root / "infra")
    (root / "shared/retour").mkdir(parents=True)
    (root / "shared/retour/__init__.py").write_text('MARK = "the layer"\n')
    for folder in ROOT.glob("functions/*/"):
        (root / "functions" / folder.name).mkdir(parents=True)
        (root / "functions" / folder.name / "app.py").write_text(f"FUNCTION = {folder.name!r}\n{TRACE}")
    return root


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    tmp = tmp_path_factory.mktemp("stack")
    root = make_traced_tree(tmp / "root")
    with emulator(tmp / "data", free_port(), auth=True, persist=False) as endpoint:
        yield LocalStack(endpoint, root, deploy(endpoint, parameters=PARAMETERS, root=root))
