"""One return over every channel, each through its real protocol, on the whole hub with its roles in force.

What came of it is then proved to be the same ledger when everything is sent again, when it is sent twice in another
order to another hub, and when the hub is killed; and nobody gets in who does not belong.
"""

import base64
import json
import re
import shutil
import smtplib
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.channels.hook_signing import sign_headers, standard_with
from tests.local.conftest import ROOT, RunningHub, running_hub
from tests.local.test_hub import ask, eventually, ledger, sftp
from tests.servers.daemons import KINDS, Daemon, make_identity
from tests.servers.install import install, possible

SAMPLE = ROOT / "infra/local/sample/acme.yaml"
CANCELLED = (ROOT / "tests/samples/hooks/shopify/order_cancelled.json").read_bytes()
MIB = 1024 * 1024

SOLD = {
    "F-API": "100.00", "450789469": "119.00", "F-SFTP": "50.00", "F-PULL": "80.00", "F-MAIL": "80.00", "F-CRM": "40.00",
    "F-UPLOAD": "30.00", "F-HELD": "20.00", "F-DESK": "60.00",
}  # fmt: skip
# By hand: 8 % of what is left of each order, rounded to cents half away from zero.
LEFT = {
    "F-API~sale": ("pending", "60.00", "4.80"),  # 40.00 of 100.00 came back
    "450789469~sale": ("reversed", "0.00", "0.00"),  # the shop cancelled it
    "F-SFTP~sale": ("pending", "24.50", "1.96"),  # 25.50 of 50.00 came back
    "F-PULL~sale": ("pending", "9.99", "0.80"),  # set to 9.99
    "F-MAIL~sale": ("pending", "12.34", "0.99"),  # set to 12.34
    "F-CRM~sale": ("reversed", "0.00", "0.00"),  # returned in Salesforce
    "F-UPLOAD~sale": ("pending", "15.00", "1.20"),  # half of it came back
    "F-HELD~sale": ("pending", "5.00", "0.40"),  # set to 5.00 once a person released it
    "F-DESK~sale": ("approved", "60.00", "4.80"),  # approved by a person
}
WAREHOUSE = "Bestellnummer;Betrag\nF-SFTP;25,50\nF-SFTP;viel\n".encode("cp1252")
HEADER = b"reference,order_id,change,amount,currency,reason\n"
DEPOT = HEADER + b"p-1,F-PULL,set_total,9.99,EUR,ITEM_RETURNED\np-2,F-PULL,set_total,9.98,USD,\n"
MAILED = HEADER + b"m-1,F-MAIL,set_total,12.34,EUR,ITEM_RETURNED\nm-2,F-MAIL,no,1,EUR,\n"
DOUBTED = HEADER + b"h-1,F-HELD,set_total,5.00,EUR,ITEM_RETURNED\n"
UPLOADED = HEADER + b"u-1,F-UPLOAD,take_back,15.00,EUR,ITEM_RETURNED\n"
HOOKED = {"reference": "w-1", "order_id": "F-API", "change": "take_back", "amount": "40.00", "currency": "EUR",
          "reason": "ITEM_RETURNED"}  # fmt: skip


@pytest.fixture(scope="module")
def merchant() -> Iterator[Daemon]:
    """The merchant's own FTPS server, as its package ships it."""
    if reason := possible():
        pytest.skip(reason)
    install()
    folder = Path(tempfile.mkdtemp(prefix="retour-merchant-"))
    folder.chmod(0o755)
    (folder / "keys").mkdir()
    with KINDS["vsftpd-explicit"](folder / "server", make_identity(folder / "keys")) as daemon:
        yield daemon
    shutil.rmtree(folder, ignore_errors=True)


class Senders:
    """Everybody who sends to one hub, each by the client of their channel."""

    def __init__(self, hub: RunningHub, merchant: Daemon, folder: Path):
        self.hub, self.merchant, self.folder = hub, merchant, folder
        self.authority = ssl.create_default_context(cafile=f"{hub.data}/tls/ca.pem")

    @property
    def sources(self) -> Mapping[str, Mapping[str, str]]:
        ready = Path(self.hub.data).parent / "ready.json"
        found: Mapping[str, Mapping[str, str]] = json.loads(ready.read_text())["programs"]["acme"]["sources"]
        return found

    @property
    def key(self) -> str:
        return str(self.hub.ready["programs"]["acme"]["api_key"])

    def set_up(self) -> None:
        document = sample()
        server = {**self.merchant.options, "host": "127.0.0.1", "pattern": "*.csv"}
        document["sources"]["erp"] |= {"options": server}
        doubtful = {"allow_from": ["somebody@shop.example"], "accept_unauthenticated": True}
        document["sources"]["doubtful"] = {"channel": "email", "event_type": "sale", "options": doubtful}
        ask(self.hub, "PUT", "/v1/programs/acme", document)
        ask(self.hub, "PUT", "/v1/programs/acme/sources/erp/secret", self.merchant.secret)

    def report(self) -> None:
        sale = {"event_type": "sale", "partner": "blog", "currency": "EUR", "event_time": f"{today()}T00:00:00Z"}
        sold = [{**sale, "order_id": order, "amount": amount} for order, amount in SOLD.items()]
        ask(self.hub, "POST", "/v1/programs/acme/actions", sold, self.key)

    def hook(self, source: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any]:
        url = self.sources[source]["url"].replace("http://", "https://", 1)
        return https(url, body, headers, self.authority)

    def standard(self) -> Any:
        body = json.dumps(HOOKED).encode()
        signed = standard_with(secret_of(self.sources["orders"]["secret"]), body, datetime.now(UTC), "msg_flow")
        status, answer = self.hook("orders", body, signed)
        assert status == 200, answer
        return answer

    def native(self) -> Any:
        headers = {"x-shopify-topic": "orders/cancelled", "x-shopify-event-id": "flow"}
        signed = sign_headers("shopify", CANCELLED, self.sources["shopify"]["secret"], datetime.now(UTC))
        status, answer = self.hook("shopify", CANCELLED, headers | signed)
        assert status == 200, answer
        return answer

    def upload(self) -> None:
        """A larger file, to an address that was signed for it."""
        asked = ask(self.hub, "POST", f"/v1/programs/acme/uploads?name=big.csv&size={len(UPLOADED)}", None, self.key)
        status = put(asked["url"], UPLOADED)
        assert status == 200
        self.settled(asked["batch"])

    def drop(self) -> None:
        (self.folder / "Mai.csv").write_bytes(WAREHOUSE)
        # As many clients do: under another name first.
        sftp(
            self.hub, "acme", "warehouse", f"put {self.folder / 'Mai.csv'} Mai.csv.part", "rename Mai.csv.part Mai.csv"
        )

    def leave(self) -> Any:
        """The merchant leaves a file, and somebody asks for a visit; its report."""
        self.merchant.leave("mai.csv", DEPOT)
        visit = ask(self.hub, "POST", "/v1/programs/acme/sources/erp/pull", {}, self.key)["visit"]

        def visited() -> Any:
            last = ask(self.hub, "GET", "/v1/programs/acme/sources/erp", key=self.key)["last_visit"]
            return last if last and last["id"] == visit else None

        report = eventually(visited)
        assert report["state"] == "done", report
        return report

    def mail(self, source: str, content: bytes, envelope: str = "") -> None:
        access = self.sources[source]
        mail = EmailMessage()
        mail["From"], mail["To"] = access["sender"], access["address"]
        mail["Subject"], mail["Message-ID"] = "Returns", f"<{source}-flow@shop.example>"
        mail.set_content("Attached.")
        mail.add_attachment(content, maintype="text", subtype="csv", filename="June.csv")
        with smtplib.SMTP(self.hub.ready["smtp"]["host"], self.hub.ready["smtp"]["port"], timeout=10) as client:
            client.send_message(mail, from_addr=envelope or access["sender"], to_addrs=[access["address"]])

    def case(self) -> None:
        """A service agent sets the case of an order to Returned."""
        opened = [one for one in self.cases() if one.get("Order_Number__c") == "F-CRM"]
        if not opened:
            new = {"Order_Number__c": "F-CRM", "Status": "New", "CurrencyIsoCode": "EUR"}
            opened = [{"Id": self.control("records", {"object": "Case", "records": [new]})["ids"][0]}]
        self.control("status", {"object": "Case", "id": opened[0]["Id"], "status": "Returned"})

    def cases(self) -> list[dict[str, Any]]:
        return list(self.control("records?object=Case")["records"])

    def control(self, what: str, document: Any = None) -> Any:
        body = None if document is None else json.dumps(document).encode()
        url = f"{self.hub.ready['salesforce_simulator']}/control/{what}"
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
            return json.load(answer)

    def approve(self) -> None:
        eventually(lambda: "F-DESK~sale" in ledger(self.hub, "acme"))
        ask(self.hub, "POST", "/v1/programs/acme/actions/F-DESK~sale/approve", {"note": "seen"}, self.key)

    def batches(self, **wanted: str) -> list[dict[str, Any]]:
        items = ask(self.hub, "GET", "/v1/programs/acme/batches?limit=100", key=self.key)["items"]
        return [one for one in items if all(one[name] == value for name, value in wanted.items())]

    def settled(self, batch: str) -> dict[str, Any]:
        def done() -> Any:
            found = ask(self.hub, "GET", f"/v1/programs/acme/batches/{batch}", key=self.key)
            return found if found["state"] in ("done", "refused") else None

        found: dict[str, Any] = eventually(done)
        return found

    def release(self) -> None:
        """A person looks at the doubtful mail and lets it go on, with the command line."""
        [held, *_] = eventually(lambda: self.batches(source="doubtful", state="held"))
        self.retour("release", held["id"], "--program", "acme")

    def retour(self, *said: str) -> str:
        command = [
            sys.executable,
            "-m",
            "retour.cli",
            *said,
            "--ready-file",
            f"{Path(self.hub.data).parent}/ready.json",
        ]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def mails(self) -> list[dict[str, Any]]:
        return list(ask(self.hub, "GET", "/local/mails")["items"])

    def everything(self) -> list[Callable[[], Any]]:
        return [
            self.standard, self.native, self.upload, self.drop, self.leave,
            lambda: self.mail("mail", MAILED), lambda: self.mail("doubtful", DOUBTED, "robot@elsewhere.example"),
            self.case,
        ]  # fmt: skip


def sample() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(SAMPLE.read_text()), default=str))
    return document


def today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def secret_of(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def https(
    url: str, body: bytes, headers: Mapping[str, str], authority: ssl.SSLContext | None = None
) -> tuple[int, Any]:
    request = urllib.request.Request(url, body, {"content-type": "application/json", **headers}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30, context=authority) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def put(url: str, body: bytes) -> int:
    with urllib.request.urlopen(urllib.request.Request(url, body, method="PUT"), timeout=30) as answer:
        return int(answer.status)


def told(hub: RunningHub) -> dict[str, tuple[str, str, str]]:
    return {name: (one["state"], one["amount"], one["payout"]) for name, one in ledger(hub, "acme").items()}


@pytest.mark.xdist_group("hub")
def test_every_channel_through_its_own_protocol(tmp_path: Path, merchant: Daemon) -> None:
    merchant.clear()
    with running_hub(tmp_path, "--auth") as hub:
        senders = Senders(hub, merchant, tmp_path)
        senders.set_up()
        senders.report()
        assert senders.standard()["counts"] == {"applied": 1}
        assert senders.native()["counts"] == {"applied": 1}
        for send in senders.everything()[2:]:
            send()
        senders.release()
        senders.approve()
        eventually(lambda: told(hub) == LEFT)
        answered(senders)
        nobody_gets_in(senders, tmp_path)
        before, mails, cases = ledger(hub, "acme"), senders.mails(), states(senders.cases())

        twice = {"standard": senders.standard()["counts"], "native": senders.native()["counts"]}
        assert twice == {"standard": {"duplicate": 1}, "native": {"duplicate": 1}}
        assert senders.leave()["fetched"] == []
        assert ledger(hub, "acme") == before
        kept = {one["id"]: (one["state"], one["counts"]) for one in senders.batches()}
        hub.kill()

    with running_hub(tmp_path, "--auth") as hub:
        senders = Senders(hub, merchant, tmp_path)
        assert ledger(hub, "acme") == before
        assert {one["id"]: (one["state"], one["counts"]) for one in senders.batches()} == kept
        assert senders.leave()["fetched"] == [], "what was fetched before the kill is not fetched again"
        assert senders.standard()["counts"] == {"duplicate": 1}
        senders.case()
        time.sleep(1.5)
        assert (senders.mails(), ledger(hub, "acme")) == (mails, before)
        assert states(senders.cases()) == cases


def states(cases: list[dict[str, Any]]) -> list[str]:
    return [one["Retour_State__c"] for one in cases]


def answered(senders: Senders) -> None:
    """Everybody finds the answer where they look for it, with the one bad row and why."""
    listed = eventually(lambda: (found := sftp(senders.hub, "acme", "warehouse", "ls -1")).count("rejected_") and found)
    assert {"receipt_Mai.csv", "result_Mai.csv.csv", "rejected_Mai.csv"} <= set(re.findall(r"\S+", listed))
    there = senders.folder / "back.csv"
    sftp(senders.hub, "acme", "warehouse", f"get rejected_Mai.csv {there}")
    assert there.read_bytes() == b"Bestellnummer;Betrag\nF-SFTP;viel\n"

    folder = senders.merchant.root / "in"
    wanted = {"receipt_mai.csv", "result_mai.csv.csv", "rejected_mai.csv"}
    eventually(lambda: wanted <= {path.name for path in folder.iterdir()})
    assert "CURRENCY_MISMATCH" in (folder / "result_mai.csv.csv").read_text()

    mails = eventually(lambda: len(found := senders.mails()) >= 2 and found)
    assert {tuple(mail["to"]) for mail in mails} == {("returns@shop.example",), ("somebody@shop.example",)}
    [reply] = [mail for mail in mails if mail["to"] == ["returns@shop.example"]]
    assert [file["text"] for file in reply["files"]] == [(HEADER + b"m-2,F-MAIL,no,1,EUR,\n").decode()]
    assert "12.34" not in reply["text"] and "0.99" not in reply["text"], "no payouts by mail"

    [case] = eventually(lambda: [one for one in senders.cases() if one.get("Retour_State__c")])
    assert case["Retour_State__c"] == "applied" and case["Retour_Last_Sync__c"]

    outcomes = {one["source"]: one["counts"] for one in senders.batches(kind="file")}
    assert outcomes["warehouse"] == outcomes["erp"] == outcomes["mail"] == {"applied": 1, "refused": 1}
    assert {one["channel"] for one in senders.batches()} == {"api", "sftp", "pull", "email", "salesforce", "console"}


def nobody_gets_in(senders: Senders, folder: Path) -> None:
    """Unauthenticated, forged, foreign or too much: refused at every door, and no record of it."""
    hub, ready = senders.hub, senders.hub.ready
    api, acme = ready["api"], f"{ready['api']}/v1/programs/acme"
    body = json.dumps({**HOOKED, "reference": "evil"}).encode()
    foreign = {"authorization": f"Bearer {made(hub)}"}
    before = (senders.batches(), ledger(hub, "acme"))

    for headers, status in (({}, 401), ({"authorization": "Bearer rk_acme_guessed"}, 401), (foreign, 404)):
        for path in ("modifications", "files?name=a.csv", "uploads?name=a.csv", "actions", "sources/erp/pull"):
            assert https(f"{acme}/{path}", body, headers)[0] == status, (path, headers)
        held = senders.batches()[0]["id"]
        assert https(f"{acme}/batches/{held}/release", b"{}", headers)[0] == status
    own = {"authorization": f"Bearer {senders.key}"}
    assert https(f"{acme}/modifications", b'"' + b"x" * MIB + b'"', own)[0] == 413
    assert https(f"{acme}/files?name=a.csv", b"x" * (4 * MIB + 1), own)[0] == 413

    now = datetime.now(UTC)
    secret = secret_of(senders.sources["orders"]["secret"])
    signed = standard_with(secret, body, now)
    forged = [
        {}, standard_with(b"guessed", body, now), signed | {"webhook-id": "other"}, signed | {"webhook-timestamp": "é"},
        signed | {"webhook-signature": "v1"}, standard_with(secret, body + b" ", now),
        standard_with(secret, body, datetime(2020, 1, 1, tzinfo=UTC)),
    ]  # fmt: skip
    for headers in forged:
        encoded = {name: value.encode().decode("latin-1") for name, value in headers.items()}
        assert senders.hook("orders", body, encoded)[0] == 401, headers
    assert senders.hook("shopify", CANCELLED, {"x-shopify-topic": "orders/cancelled"})[0] == 401
    assert senders.hook("orders", b"x" * (MIB + 1), signed)[0] == 413
    assert https(f"{api}/v1/programs/other/hooks/orders", body, signed)[0] == 401, (
        "nobody learns whether there is such a program or source"
    )
    assert https(f"{acme}/salesforce/crm/{'A' * 43}", b"<a/>", {})[0] == 401

    with pytest.raises(AssertionError, match="denied"):
        stranger(hub, "acme.warehouse", folder)
    with pytest.raises(AssertionError, match="denied"):
        stranger(hub, "other.drop", folder, Path(senders.sources["warehouse"]["private_key_file"]))
    knock(senders, senders.sources["mail"]["sender"], f"acme.mail.{'a' * 26}@in.retour.test")
    knock(senders, "stranger@shop.example", senders.sources["mail"]["address"])
    with pytest.raises((smtplib.SMTPException, OSError)):
        knock(senders, senders.sources["mail"]["sender"], senders.sources["mail"]["address"], size=60 * MIB)
    time.sleep(0.5)
    assert (senders.batches(), ledger(hub, "acme")) == before


def made(hub: RunningHub) -> str:
    """The key of another merchant on the same hub."""
    document = {**sample(), "program": "other", "sources": {"drop": {"channel": "sftp"}}}
    return str(ask(hub, "PUT", "/v1/programs/other", document)["api_key"])


def stranger(hub: RunningHub, user: str, folder: Path, key: Path | None = None) -> None:
    if key is None:
        key = folder / "stranger"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, capture_output=True)
    command = ["sftp", "-b", "-", "-P", str(hub.ready["sftp"]["port"]), "-i", str(key)]
    for option in ("BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"):
        command += ["-o", option]
    ended = subprocess.run([*command, f"{user}@127.0.0.1"], input="ls\n", capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr


def knock(senders: Senders, sender: str, address: str, size: int = 0) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = sender, address, "Evil", f"<{size}{sender}>"
    mail.set_content("Attached.")
    content = HEADER + b"evil,F-MAIL,reverse,,,ITEM_RETURNED\n" + b"\n" * size
    mail.add_attachment(content, maintype="text", subtype="csv", filename="evil.csv")
    with smtplib.SMTP(senders.hub.ready["smtp"]["host"], senders.hub.ready["smtp"]["port"], timeout=30) as client:
        client.send_message(mail, from_addr=sender, to_addrs=[address])


@pytest.mark.xdist_group("hub")
def test_everything_twice_and_in_another_order_is_the_same_ledger(tmp_path: Path, merchant: Daemon) -> None:
    """Returns before the sales they correct, each twice, the last first."""
    merchant.clear()
    with running_hub(tmp_path) as hub:
        senders = Senders(hub, merchant, tmp_path)
        senders.set_up()
        for send in reversed(senders.everything()):
            send()
            send()
        senders.release()
        eventually(lambda: {one["state"] for one in senders.batches(kind="file")} <= {"done", "held"})
        assert ledger(hub, "acme") == {}
        senders.report()
        senders.report()
        senders.approve()
        senders.approve()
        eventually(lambda: told(hub) == LEFT)
        for held in senders.batches(source="doubtful", state="held"):
            senders.retour("discard", held["id"], "--program", "acme")
        time.sleep(0.5)
        assert told(hub) == LEFT


@pytest.mark.xdist_group("hub")
def test_what_was_acknowledged_before_the_power_went_takes_effect_after_it(tmp_path: Path, merchant: Daemon) -> None:
    """Killed right behind the last acknowledgement, with files, mails and pushes still on their way."""
    merchant.clear()
    with running_hub(tmp_path) as hub:
        senders = Senders(hub, merchant, tmp_path)
        senders.set_up()
        senders.report()
        senders.leave()
        senders.approve()
        asked = ask(hub, "POST", f"/v1/programs/acme/uploads?name=big.csv&size={len(UPLOADED)}", None, senders.key)
        senders.standard()
        senders.native()
        senders.mail("doubtful", DOUBTED, "robot@elsewhere.example")
        senders.case()
        senders.mail("mail", MAILED)
        put(asked["url"], UPLOADED)
        senders.drop()
        hub.kill()

    with running_hub(tmp_path) as hub:
        senders = Senders(hub, merchant, tmp_path)
        senders.release()
        eventually(lambda: told(hub) == LEFT)
        answered(senders)
        before = ledger(hub, "acme"), len(senders.mails())
        hub.kill()

    with running_hub(tmp_path) as hub:
        senders = Senders(hub, merchant, tmp_path)
        time.sleep(1)
        assert (ledger(hub, "acme"), len(senders.mails())) == before
