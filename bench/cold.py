"""The first call of a handler in a fresh process: `python -m bench.cold NAME`, its stores the embedded AWS.

CPU of the whole process: interpreter, imports, clients, the call and all it says to the stores.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from retour.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
CONTEXT = SimpleNamespace(
    function_name="bench", memory_limit_in_mb=1024, invoked_function_arn="arn:aws:lambda:x", aws_request_id="1"
)


def boto3_put() -> None:
    """What every Lambda that writes one item does."""
    import boto3

    client = boto3.client("dynamodb")
    client.put_item(TableName=os.environ["LEDGER_TABLE"], Item={"PK": {"S": "bench"}, "SK": {"S": "1"}})


def call_handler(name: str, event: Any) -> Any:
    spec = importlib.util.spec_from_file_location("app", ROOT / "functions" / name / "app.py")
    assert spec is not None and spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    return app.handler(event, CONTEXT) if event is not None else None


def main(name: str) -> None:
    event = json.loads(os.environ.get("BENCH_EVENT", "null"))
    said = None
    if name == "boto3 and one put":
        boto3_put()
    else:
        said = call_handler(name, event)
    modules = [
        one for one in ("aws_lambda_powertools", "zoneinfo", "pydantic", "simple_salesforce") if one in sys.modules
    ]
    spent = time.process_time()
    assert not isinstance(said, dict) or said.get("statusCode", 200) == 200, said
    print(json.dumps({"cpu": spent, "heavy": modules, "said": str(said)[:300]}))


# All of them, each with a first event that its stores know


def events(hub: Any) -> dict[str, Any]:
    """A first event for each handler, all about one small file, one order and one webhook."""
    import base64
    import hashlib
    import hmac

    from bench.units import build_delivery, report
    from retour.domain.delivery import Channel, DeliveryKind
    from retour.intake import large
    from retour.intake.ingest import announce_file

    report(hub, [f"S-{n}" for n in range(50)])
    hub.secrets.put("acme", "shop", {"signing": ["whsec_" + base64.b64encode(b"k" * 24).decode()]})
    body = json.dumps({"reference": "1", "order_id": "S-1", "change": "take_back", "amount": "1.00"})
    moment = str(int(time.time()))
    mac = hmac.digest(b"k" * 24, f"msg_1.{moment}.{body}".encode(), hashlib.sha256)
    headers = {
        "webhook-id": "msg_1", "webhook-timestamp": moment, "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }  # fmt: skip
    content = "reference,order_id,change,amount\n" + "f0,S-0,take_back,1.00\n"
    file = build_delivery(
        DeliveryKind.FILE, content.encode(), Channel.API, "warehouse", name="x.csv", body_key="api/acme/warehouse/x.csv"
    )
    hub.inbox.put(file.body_key, content.encode())
    announce_file(hub, file)
    work = large.split_into_buckets(hub, file)
    about = {"program": "acme", "delivery": file.id}
    small = build_delivery(DeliveryKind.FILE, content.encode(), Channel.API, "warehouse", name="y.csv")
    key = f"api/acme/warehouse/{small.id}/y.csv"
    small = replace(small, body_key=key)
    hub.inbox.put(key, content.encode())
    announce_file(hub, small)
    keys = {"PK": {"S": "A#acme#S-2"}, "SK": {"S": "M#1"}}
    dropped = {"object": {"key": key, "size": len(content)}, "bucket": {"name": hub.inbox.bucket}}
    return {
        "webhook": {
            "rawPath": "/v1/programs/acme/hooks/shop",
            "requestContext": {"http": {"method": "POST"}},
            "pathParameters": {"program": "acme", "source": "shop"},
            "headers": headers,
            "body": body,
        },
        "take_rows": work.items()[0],
        "apply": {"Records": [{"dynamodb": {"Keys": keys}}]},
        "split_file": about,
        "file_drop": {"detail": dropped, "time": "2026-11-02T09:00:00Z"},
        "answer": {"Records": [{"messageId": "1", "body": json.dumps({**about, "what": "batch"})}]},
    }


def environment_of(settings: Settings) -> dict[str, str]:
    return {
        "STACK": settings.stack,
        "LEDGER_TABLE": settings.ledger_table,
        "INBOX_BUCKET": settings.inbox_bucket,
        **{f"{name.upper()}_QUEUE": url for name, url in settings.queues.items()},
    }


def measure(rounds: int) -> dict[str, dict[str, Any]]:
    """Medians of CPU seconds, rounds interleaved; the first one, which compiles the sources, does not count."""
    from bench.units import bench_hub

    spent: dict[str, list[float]] = {}
    with bench_hub() as hub:
        known = {"boto3 and one put": None, **events(hub)}
        for turn in range(rounds + 1):
            for name, event in known.items():
                environment = {**os.environ, **environment_of(hub.settings), "BENCH_EVENT": json.dumps(event)}
                environment.pop("PYTHONDONTWRITEBYTECODE", None)
                environment |= {"POWERTOOLS_SERVICE_NAME": "retour", "POWERTOOLS_LOG_LEVEL": "WARNING"}
                told = subprocess.run(
                    [sys.executable, "-m", "bench.cold", name],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=True,
                )
                if turn:
                    spent.setdefault(name, []).append(json.loads(told.stdout.splitlines()[-1])["cpu"])
    return {name: {"cpu": statistics.median(all_of)} for name, all_of in spent.items()}


if __name__ == "__main__":
    if sys.argv[1].isdigit():
        print(json.dumps(measure(int(sys.argv[1]))))
    else:
        main(sys.argv[1])
