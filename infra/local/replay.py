"""After an unclean stop: ingest all stored deliveries again in their original order.

Only S3 objects survive a kill of the embedded AWS. Ingesting is idempotent, so the result is the same whether the
tables are empty or complete. Nothing is sent meanwhile.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ENVELOPES = "deliveries/"
UNANSWERED_SCAN_MAX = 500
RESENT_MAX = 20


class Functions(Protocol):
    """The part of the Lambda client that is used here."""

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: str) -> Mapping[str, Any]: ...


class FunctionError(Exception):
    """A function failed instead of returning a response."""


def invoke(functions: Functions, name: str, event: dict[str, Any]) -> Any:
    """Invoke a function and return its response. Raises FunctionError."""
    answer = functions.invoke(FunctionName=name, InvocationType="RequestResponse", Payload=json.dumps(event))
    said = answer["Payload"].read()
    if "FunctionError" in answer:
        raise FunctionError(f"{name}: {said.decode('utf-8', 'replace')[:500]}")
    return json.loads(said) if said else None


def list_envelopes(s3: "S3Client", bucket: str) -> list[str]:
    """The keys of all envelopes, oldest first. An upload's id is older than its receipt."""

    def received(key: str) -> tuple[str, str]:
        envelope = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        return envelope["received_at"], key

    return sorted((key for key in list_keys(s3, bucket, ENVELOPES) if key.endswith(".json")), key=received)


def replay(
    functions: Functions, name: str, deliveries: list[str], progress: Callable[[int], None]
) -> list[tuple[str, FunctionError]]:
    """Ingest each delivery again. Returns failures with their errors."""
    failed = []
    for number, key in enumerate(deliveries, 1):
        try:
            invoke(functions, name, {"replay": key, "outward": False})
        except FunctionError as failure:
            failed.append((key, failure))
        progress(number)
    return failed


def unanswered(s3: "S3Client", bucket: str, deliveries: list[str]) -> Iterator[dict[str, str]]:
    """Messages for the reply queue: the latest files whose senders had no reply yet.

    Includes the last ones that may have been on their way to a merchant's server, since uploading twice is harmless.
    """
    written = [key.split("/") for key in list_keys(s3, bucket, "results/")]
    told = {id_ for _, _, id_, *name in written if name == ["told"]}
    told -= set(sorted(id_ for _, _, id_, *name in written if name[-1].startswith("result_"))[-RESENT_MAX:])
    for key in deliveries[-UNANSWERED_SCAN_MAX:]:
        if key.removeprefix(ENVELOPES).removesuffix(".json") not in told:
            delivery = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            if delivery["kind"] == "file":
                yield {"program": delivery["program"], "delivery": delivery["id"], "what": "batch"}


def list_keys(s3: "S3Client", bucket: str, prefix: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (item["Key"] for item in page.get("Contents", ()))
