"""What is taken in again after a kill, in which order, and which answers are still owed."""

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

from local.deploy import client
from local.replay import FunctionError, invoke, list_envelopes, replay, unanswered


class Functions:
    """A Lambda that keeps what it was asked, and fails where it is told to."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.asked: list[dict[str, Any]] = []

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: str) -> dict[str, Any]:
        event = json.loads(Payload)
        self.asked.append(event)
        failed = bool(self.failing) and self.failing in event.get("replay", "")
        answer = b'{"errorMessage": "no"}' if failed else b'{"state": "done"}'
        return {"Payload": BytesIO(answer), **({"FunctionError": "Unhandled"} if failed else {})}


@pytest.fixture
def bucket(aws: str) -> Iterator[tuple[Any, str]]:
    s3 = client("s3", aws)
    s3.create_bucket(Bucket="replay-test")
    yield s3, "replay-test"
    for item in s3.list_objects_v2(Bucket="replay-test").get("Contents", ()):
        s3.delete_object(Bucket="replay-test", Key=item["Key"])


def stored(bucket: tuple[Any, str], day: str, kind: str = "file", received: str = "") -> str:
    id_ = f"202611{day}T000000000Z-0123456789"
    received_at = f"2026-11-{received or day}T00:00:00.000Z"
    envelope = json.dumps({"id": id_, "program": "acme", "kind": kind, "received_at": received_at}).encode()
    bucket[0].put_object(Bucket=bucket[1], Key=f"deliveries/{id_}.json", Body=envelope)
    return id_


def test_in_the_order_of_receipt_and_with_nothing_leaving_the_house(bucket: tuple[Any, str]) -> None:
    ids = [stored(bucket, day) for day in ("20", "03", "11")]
    functions, seen = Functions(), list[int]()
    assert replay(functions, "api", list_envelopes(*bucket), seen.append) == []
    wanted = [{"replay": f"deliveries/{id_}.json", "outward": False} for id_ in sorted(ids)]
    assert functions.asked == wanted and seen == [1, 2, 3]


def test_an_upload_is_as_old_as_its_bytes_and_not_as_its_address(bucket: tuple[Any, str]) -> None:
    upload, between = stored(bucket, "01", received="03"), stored(bucket, "02")
    assert list_envelopes(*bucket) == [f"deliveries/{between}.json", f"deliveries/{upload}.json"]


def test_what_fails_is_told_and_the_rest_goes_on(bucket: tuple[Any, str]) -> None:
    first, second = stored(bucket, "01"), stored(bucket, "02")
    functions = Functions(failing=first)
    [(key, failure)] = replay(functions, "api", list_envelopes(*bucket), lambda _: None)
    assert key == f"deliveries/{first}.json" and isinstance(failure, FunctionError)
    assert functions.asked[-1]["replay"] == f"deliveries/{second}.json"


def test_only_a_file_whose_sender_was_not_told_is_owed_an_answer(bucket: tuple[Any, str]) -> None:
    """A result that lies there says only that an answer was begun: the mail with it may not have left."""
    answered, owed = stored(bucket, "01"), stored(bucket, "02")
    stored(bucket, "03", kind="modifications")
    for name in ("result.csv", "told"):
        bucket[0].put_object(Bucket=bucket[1], Key=f"results/acme/{answered}/{name}", Body=b"")
    for name in ("outcomes.jsonl", "result.csv"):
        bucket[0].put_object(Bucket=bucket[1], Key=f"results/acme/{owed}/{name}", Body=b"")
    assert list(unanswered(*bucket, list_envelopes(*bucket))) == [
        {"program": "acme", "delivery": owed, "what": "batch"}
    ]


def test_an_answer_that_may_have_been_on_its_way_to_a_merchants_server_is_left_again(bucket: tuple[Any, str]) -> None:
    pulled = stored(bucket, "01")
    for name in ("result.csv", "told", "result_may.csv.csv"):
        bucket[0].put_object(Bucket=bucket[1], Key=f"results/acme/{pulled}/{name}", Body=b"")
    assert [message["delivery"] for message in unanswered(*bucket, list_envelopes(*bucket))] == [pulled]


def test_a_function_that_fails_is_no_answer() -> None:
    assert invoke(Functions(), "api", {"replay": "x"}) == {"state": "done"}
    with pytest.raises(FunctionError, match="no"):
        invoke(Functions(failing="x"), "api", {"replay": "x"})
