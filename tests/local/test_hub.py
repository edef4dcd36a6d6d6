"""The whole hub: what the ready-file promises, its listeners through real functions, and what a kill leaves."""

import json
import smtplib
import stat
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from tests.local.conftest import INFRA, RunningHub, left_running, running_hub

from local.emulator import NO_PROXY_OPENER

OWN_PROGRAM = {
    "program": "shoes",
    "currency": "EUR",
    "time_zone": "UTC",
    "event_types": {"sale": {}},
    "contracts": {
        "all": {"event_type": "sale", "valid_from": "2020-01-01", "payout": "10%", "lock": {"days_after_event": 90}}
    },
    "sources": {"drop": {"channel": "sftp", "event_type": "sale", "default_reason": "ITEM_RETURNED"}},
}


def ask(hub: RunningHub, method: str, path: str, body: Any = None, key: str | None = None, **headers: str) -> Any:
    raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers |= {"Authorization": f"Bearer {key or hub.ready['admin_key']}", "Content-Type": "application/json"}
    request = urllib.request.Request(hub.ready["api"] + path, raw, headers, method=method)
    with NO_PROXY_OPENER.open(request, timeout=30) as answer:
        return json.load(answer)


def refused(hub: RunningHub, method: str, path: str, key: str, body: Any = None, **headers: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(hub, method, path, body, key, **headers)
    return error.value.code


def eventually(look: Callable[[], Any], seconds: float = 150) -> Any:
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"it did not happen within {seconds:.0f} s"
        time.sleep(0.1)
    return seen


def sftp(hub: RunningHub, program: str, source: str, *batch: str) -> str:
    access = hub.ready["programs"][program]["sources"][source]
    command = ["sftp", "-b", "-", "-P", str(hub.ready["sftp"]["port"]), "-i", access["private_key_file"]]
    for option in ("BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"):
        command += ["-o", option]
    ended = subprocess.run(
        [*command, f"{access['user']}@{hub.ready['sftp']['host']}"],
        input="\n".join(batch) + "\n",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def send_mail(hub: RunningHub, program: str, source: str, name: str, content: bytes) -> None:
    access = hub.ready["programs"][program]["sources"][source]
    mail = EmailMessage()
    mail["From"], mail["To"] = access["sender"], access["address"]
    mail["Subject"], mail["Message-ID"] = "Returns", f"<{name}@shop.example>"
    mail.set_content("Attached.")
    mail.add_attachment(content, maintype="text", subtype="csv", filename=name)
    with smtplib.SMTP(hub.ready["smtp"]["host"], hub.ready["smtp"]["port"], timeout=10) as client:
        client.send_message(mail)


def action(order: str, amount: str) -> dict[str, Any]:
    at = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
    items = [{"sku": "BOOT", "quantity": 1, "amount": amount}]
    sale = {"order_id": order, "event_type": "sale", "partner": "blog", "event_time": at, "currency": "EUR"}
    return {**sale, "items": items}


def ledger(hub: RunningHub, program: str) -> dict[str, Any]:
    """What the same ledger means: amounts, payouts, states and locks of every action."""
    items = ask(hub, "GET", f"/v1/programs/{program}/actions")["items"]
    return {
        item["id"]: {name: item[name] for name in ("state", "amount", "payout", "locks_at", "contract")}
        for item in items
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


def test_a_first_start_then_a_kill_then_the_same_ledger(home: Path) -> None:
    with running_hub(home) as hub:
        ready = hub.ready
        assert set(ready) == {
            "api", "console", "sftp", "smtp", "salesforce_simulator", "aws_endpoint", "admin_key", "programs",
        }  # fmt: skip
        assert stat.S_IMODE((home / "ready.json").stat().st_mode) == 0o600
        sources = ready["programs"]["acme"]["sources"]
        assert {source["channel"] for source in sources.values()} == {"api", "sftp", "pull", "email", "salesforce"}
        assert stat.S_IMODE(Path(sources["warehouse"]["private_key_file"]).stat().st_mode) == 0o600
        key = ready["programs"]["acme"]["api_key"]

        ask(hub, "PUT", "/v1/programs/shoes", OWN_PROGRAM)
        own = json.loads((home / "ready.json").read_text())["programs"]["shoes"]
        assert refused(hub, "GET", "/v1/programs/shoes/actions", key) == 404
        assert ask(hub, "GET", "/v1/programs/shoes/actions", key=own["api_key"])["items"] == []

        orders = [action("A-1", "100.00"), action("A-2", "50.00"), action("A-3", "80.00")]
        ask(hub, "POST", "/v1/programs/acme/actions", orders, key)
        change = {"reference": "1", "order_id": "A-1", "change": "set_total", "amount": "60.00", "currency": "EUR",
                  "reason": "ITEM_RETURNED"}  # fmt: skip
        assert ask(hub, "POST", "/v1/programs/acme/modifications", change, key)["counts"] == {"applied": 1}

        (home / "Mai.csv").write_bytes("Bestellnummer;Betrag\nA-2;25,50\n".encode("cp1252"))
        sftp(hub, "acme", "warehouse", f"put {home / 'Mai.csv'} Mai.csv")
        eventually(lambda: "result_Mai.csv" in sftp(hub, "acme", "warehouse", "ls -1"))
        assert "receipt_Mai.csv" in sftp(hub, "acme", "warehouse", "ls -1")

        header = b"reference,order_id,change,amount,currency,reason\n"
        rows = header + b"7,A-3,set_total,10.00,EUR,ITEM_RETURNED\n8,A-3,no,1,EUR,\n"
        send_mail(hub, "acme", "mail", "june.csv", rows)
        [mail] = eventually(lambda: ask(hub, "GET", "/local/mails")["items"])
        assert mail["to"] == ["returns@shop.example"] and any("rejected" in name for name in mail["attachments"])
        once = {"order_id": "A-9", "change": "take_back", "amount": "1.00", "currency": "EUR"}
        told = ask(hub, "POST", "/v1/programs/acme/modifications", once, key, Idempotency_Key="k-1")
        before = eventually(lambda: ledger(hub, "acme"))
        assert {item["amount"] for item in before.values()} == {"60.00", "24.50", "10.00"}
        hub.kill()

    with running_hub(home) as again:
        assert again.ready["admin_key"] == ready["admin_key"]
        assert again.ready["programs"]["acme"]["api_key"] == key
        assert again.ready["programs"]["shoes"]["api_key"] == own["api_key"]
        for name, source in again.ready["programs"]["acme"]["sources"].items():
            assert source.get("secret") == sources[name].get("secret"), name
            assert source.get("address") == sources[name].get("address"), name
        assert ledger(again, "acme") == before
        assert ask(again, "POST", "/v1/programs/acme/modifications", change, key)["counts"] == {"duplicate": 1}
        path, other = "/v1/programs/acme/modifications", {**once, "amount": "2.00"}
        assert ask(again, "POST", path, once, key, Idempotency_Key="k-1") == told, "the answer of before the kill"
        assert refused(again, "POST", path, key, other, Idempotency_Key="k-1") == 422
        time.sleep(1)
        assert len(ask(again, "GET", "/local/mails")["items"]) == 1
        again.process.terminate()
        assert again.process.wait(30) == 0
    assert not (home / "data/running").exists() and not (home / "ready.json").exists()

    with running_hub(home) as third:
        assert "taken in again" not in (home / "hub.log").read_text().rpartition("Retour is starting")[2]
        assert ledger(third, "acme") == before
        with running_hub(home / "beside", "--now", "2031-05-01T12:00:00+02:00") as beside:
            assert beside.ready["api"] != third.ready["api"]
            assert ledger(beside, "acme") == {}
            answer = ask(beside, "POST", "/v1/programs/acme/actions", action("A-1", "1.00"))
            assert answer["batch"].startswith("20310501T10")
            assert beside.process.stdin is not None
            beside.process.stdin.close()
            assert beside.process.wait(60) == 0, "it ends with whoever started it"
        command = [*third.process.args[:3], "--port", "0", "--data", third.data]  # type: ignore[index]
        command += ["--ready-file", str(home / "ready.json")]
        environment = {"PYTHONPATH": str(INFRA), "PATH": "/usr/bin:/bin"}
        taken = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
        assert taken.returncode == 1 and "Another hub runs on" in taken.stderr
        assert (home / "ready.json").exists()
        port = third.ready["api"].rpartition(":")[2]
        other = [*command[:4], port, "--data", str(home / "other")]
        taken = subprocess.run(other, capture_output=True, text=True, timeout=30, env=environment)
        assert taken.returncode == 1 and taken.stderr.count("\n") == 1, taken.stderr
        assert f"Port {port} is taken" in taken.stderr and "--port" in taken.stderr
        assert left_running(home / "other") == []
