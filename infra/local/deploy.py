"""Retour's own template in the embedded AWS.

The template goes through AWS's own SAM translator and is then deployed: nothing is taken out, so whatever the emulator
does not know makes the deployment fail. Five things are put differently, each where it is done and with its reason:
the storage is a stack of its own, the inbox lies beside it, the stream's mapping is new with every deployment, a large
file has as many workers as the machine can carry, and what landed waits in a queue until one of a few has time for it.
Code goes up as source only; the libraries that the functions import lie in the emulator's own environment.
"""

import hashlib
import io
import json
import logging
import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "us-east-1"
ARTIFACTS = "retour-artifacts"
DEPLOY_SECONDS = 180.0
ARRIVALS_AT_ONCE = 4
"""Files taken in side by side; each has a process of some 60 MB."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The embedded AWS: its URL and key; an open one has no key."""

    url: str
    key: str = ""

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class DeployedStack:
    """A stack in the embedded AWS: its API's URL and its outputs."""

    api_base: str
    outputs: Mapping[str, str]


def deploy(
    endpoint: Endpoint | str, *, parameters: Mapping[str, str], root: Path, stack: str = "retour"
) -> DeployedStack:
    """Create or update the stack of `root`/template.yaml. Stored data is kept."""
    from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

    template = yaml_parse((root / "template.yaml").read_text())
    parameters = {**parameters, "InboxBucket": _create_inbox(endpoint, f"{stack}-inbox")}
    artifacts = _Artifacts(endpoint)
    # A separate stack, since the emulator loses attributes of unchanged resources when it updates a nested one.
    storage = template["Resources"].pop("Storage")["Properties"]
    child = (root / storage["TemplateURL"]).read_bytes()
    defaults = {name: str(declared["Default"]) for name, declared in template["Parameters"].items()}
    wanted = {name: {**defaults, **parameters}[value["Ref"]] for name, value in storage["Parameters"].items()}
    kept = _apply_stack(endpoint, f"{stack}-storage", artifacts.put(f"{_digest(child)}.yaml", child), wanted)
    _spare_the_machine(template)
    _queue_arrivals(template)
    _upload(artifacts, template, root, parameters)
    body = _translate(template, parameters)
    for name, value in kept.items():
        body = body.replace(json.dumps({"Fn::GetAtt": ["Storage", f"Outputs.{name}"]}), json.dumps(value))
        body = body.replace(f"${{Storage.Outputs.{name}}}", value)
    code = body.encode()
    outputs = _apply_stack(endpoint, stack, artifacts.put(f"{_digest(code)}.json", code), parameters)
    return DeployedStack(f"{endpoint}/_aws/execute-api/{outputs['ApiId']}/$default", outputs)


def _root_session(key: str = "") -> boto3.Session:
    return boto3.Session(region_name=REGION, aws_access_key_id="test", aws_secret_access_key=key or "test")


def client(service: str, endpoint: Endpoint | str) -> Any:
    """A boto3 client for the embedded AWS as root user, ignoring proxies of the environment."""
    at = endpoint if isinstance(endpoint, Endpoint) else Endpoint(endpoint)
    session: Any = _root_session(at.key)
    return session.client(
        service,
        endpoint_url=at.url,
        config=Config(
            s3={"addressing_style": "path"},
            signature_version="s3v4" if service == "s3" else None,
            retries={"max_attempts": 1},
            proxies={},
        ),
    )


def _create_inbox(endpoint: Endpoint | str, bucket: str) -> str:
    """Create the inbox outside the stack: a killed emulator loses its stacks but keeps its objects."""
    s3 = client("s3", endpoint)
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    anybody = {"AllowedMethods": ["PUT"], "AllowedOrigins": ["*"], "AllowedHeaders": ["content-type"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [anybody]})
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    return bucket


class _Artifacts:
    """The bucket with the deployment's artifacts."""

    def __init__(self, endpoint: Endpoint | str) -> None:
        self._s3 = client("s3", endpoint)
        with suppress(self._s3.exceptions.BucketAlreadyOwnedByYou):
            self._s3.create_bucket(Bucket=ARTIFACTS)

    def put(self, key: str, body: bytes) -> str:
        self._s3.put_object(Bucket=ARTIFACTS, Key=key, Body=body)
        # Without the endpoint's port, which changes and would change the template.
        return f"https://s3.amazonaws.com/{ARTIFACTS}/{key}"


def _upload(artifacts: _Artifacts, template: dict[str, Any], root: Path, parameters: Mapping[str, str]) -> None:
    """Upload what the template refers to by local path, and refer to the objects instead."""
    layer = _zip(root / "shared/retour", "python/retour")
    # A new version is published when its code's key changes. Layer and settings are part of the key too.
    everything_else = _digest(layer + json.dumps(dict(parameters), sort_keys=True).encode())
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::Serverless::Function":
                code = _zip(root / properties["CodeUri"], "")
                name = f"{Path(properties['CodeUri']).name}-{_digest(code)}-{everything_else}.zip"
                properties["CodeUri"] = {"Bucket": ARTIFACTS, "Key": name}
                artifacts.put(name, code)
            case "AWS::Serverless::LayerVersion":
                name = f"layer-{_digest(layer)}.zip"
                properties["ContentUri"] = {"Bucket": ARTIFACTS, "Key": name}
                artifacts.put(name, layer)


def _spare_the_machine(template: dict[str, Any]) -> None:
    """Limit the workers to half the cores, shared with the API and the embedded AWS.

    With the cloud's sixteen, a call would wait for many seconds.
    """
    most = max(1, (os.cpu_count() or 1) // 2)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::StateMachine":
            for state in resource["Properties"]["Definition"]["States"].values():
                if "MaxConcurrency" in state:
                    state["MaxConcurrency"] = min(most, state["MaxConcurrency"])


def _queue_arrivals(template: dict[str, Any]) -> None:
    """Put a queue between the rules that tell of files and the function that takes them in.

    In the cloud Lambda keeps what it has no worker for, and tries again what failed. The emulator starts a process for
    every event at once, two for each upload of a burst, and forgets what failed.
    """
    resources = template["Resources"]
    function = resources["FileDropFunction"]["Properties"]
    dead = {"deadLetterTargetArn": {"Fn::GetAtt": ["FilesDead", "Arn"]}, "maxReceiveCount": 3}
    waiting = {"Fn::GetAtt": ["ArrivalsQueue", "Arn"]}
    for name, event in function.pop("Events").items():
        rule = {"EventPattern": event["Properties"]["Pattern"], "Targets": [{"Id": "arrivals", "Arn": waiting}]}
        resources[f"FileDrop{name}"] = {"Type": "AWS::Events::Rule", "Properties": rule}
    resources["ArrivalsQueue"] = {
        "Type": "AWS::SQS::Queue",
        "Properties": {"VisibilityTimeout": function["Timeout"], "RedrivePolicy": dead},
    }
    one_by_one = {"Queue": waiting, "BatchSize": 1, "ScalingConfig": {"MaximumConcurrency": ARRIVALS_AT_ONCE}}
    function["Events"] = {"Arrivals": {"Type": "SQS", "Properties": one_by_one}}


def _translate(template: dict[str, Any], parameters: Mapping[str, str]) -> str:
    from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
    from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]

    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    translator = Translator(managed_policy_map={}, sam_parser=Parser(), boto_session=_root_session())
    translated = translator.translate(template, dict(parameters))
    resources = translated["Resources"]
    for name, resource in list(resources.items()):
        if "StartingPosition" in resource.get("Properties", {}):
            # Streams restart with the emulator, but an old mapping would keep its position and miss records. The hub's
            # sweep finds what came before the deployment.
            resource["Properties"]["StartingPosition"] = "LATEST"
            resources[f"{name}{time.time_ns()}"] = resources.pop(name)
    return json.dumps(translated, sort_keys=True)


def _apply_stack(endpoint: Endpoint | str, stack: str, url: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """Create or update a stack, wait for it, and return its outputs."""
    cloudformation = client("cloudformation", endpoint)
    wanted = {
        "StackName": stack,
        "TemplateURL": url,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    if _exists(cloudformation, stack):
        try:
            cloudformation.update_stack(**wanted)
        except ClientError as error:
            if "No updates are to be performed" not in error.response["Error"]["Message"]:
                raise
    else:
        cloudformation.create_stack(**wanted)
    deadline = time.monotonic() + DEPLOY_SECONDS
    while True:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        status = found["StackStatus"]
        if status in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
        if not status.endswith("IN_PROGRESS") or time.monotonic() > deadline:
            raise RuntimeError(f"stack {stack} is {status}: " + "; ".join(_failure_reasons(cloudformation, stack)))
        time.sleep(0.02)


def _exists(cloudformation: Any, stack: str) -> bool:
    try:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return False
        raise
    if found["StackStatus"] == "ROLLBACK_COMPLETE":
        # A failed first deployment can only be deleted.
        cloudformation.delete_stack(StackName=stack)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
        return False
    return True


def _failure_reasons(cloudformation: Any, stack: str) -> Iterator[str]:
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    for event in reversed(events):
        if event["ResourceStatus"].endswith("FAILED"):
            yield f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"


def _zip(folder: Path, prefix: str) -> bytes:
    """A zip of a folder's sources, with reproducible bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                name = str(Path(prefix) / path.relative_to(folder))
                archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
