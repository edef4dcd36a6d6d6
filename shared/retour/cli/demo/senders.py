"""One client a channel, each the kind that a shop, a warehouse, a merchant or an admin uses.

Each sends its return and gives back a question: where is the answer? It is asked until it has been left.
"""

import base64
import hashlib
import hmac
import json
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retour.cli import transports
from retour.cli.client import Hub, NoHub, Refused
from retour.cli.demo.stage import Merchant
from retour.cli.demo.story import Return
from retour.cli.doctor import sent_mails
from retour.cli.hub import access

SECONDS = 60
Answered = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Scene:
    """What the senders have at hand."""

    hub: Hub
    program: str
    data: Path
    merchant: Merchant

    def access(self, source: str) -> Mapping[str, Any]:
        return access(self.hub, self.program, source)


def by_webhook(scene: Scene, what: Return) -> Answered:
    """A shop's call, signed by Standard Webhooks, over TLS, with curl."""
    known = scene.access(what.source)
    body = json.dumps(what.sent).encode()
    headers = {"Content-Type": "application/json", **signature(str(known["secret"]), body, int(time.time()))}
    url = str(known["url"]).replace("http://", "https://", 1)
    status, answer = https_post(url, headers, body, scene.data / "tls/ca.pem")
    if status >= 400:
        raise Refused(status, json.loads(answer or b"{}"))
    outcome = json.loads(answer)["outcomes"][0]["outcome"]
    return lambda: f"in the response: HTTP {status}, {outcome}"


def signature(secret: str, body: bytes, timestamp: int) -> dict[str, str]:
    identity = f"msg_{secrets.token_hex(12)}"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256)
    signed = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": identity, "webhook-timestamp": str(timestamp), "webhook-signature": signed}


def https_post(url: str, headers: Mapping[str, str], body: bytes, authority: Path) -> tuple[int, bytes]:
    if not shutil.which("curl"):
        answer = Hub(url=url, key="", folder=authority.parents[1]).call("POST", "", body, headers=headers)
        return answer.status, answer.body
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        str(SECONDS),
        "--cacert",
        str(authority),
    ]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    command += ["--data-binary", "@-", "--write-out", "\n%{http_code}", url]
    ended = subprocess.run(command, input=body, capture_output=True, check=False)
    if ended.returncode:
        raise NoHub(f"{ended.stderr.decode('utf-8', 'replace').strip()}")
    answered, _, status = ended.stdout.rpartition(b"\n")
    return int(status), answered


def by_sftp(scene: Scene, what: Return) -> Answered:
    """A warehouse's upload, by OpenSSH with its own key; the answer lies beside the file."""
    known, where = scene.access(what.source), scene.hub.ready["sftp"]
    login = transports.Login(
        host=where["host"], port=where["port"], user=known["user"], identity=known["private_key_file"],
        known_hosts=scene.data / "known_hosts",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / what.file
        file.write_bytes(what.content)
        transports.sftp(login, file, what.file)
    wanted = f"result_{what.file}"

    def answered() -> str:
        listed = transports.sftp_run(login, "ls -1\n").stdout.split()
        found = next((name for name in listed if name.startswith(wanted)), "")
        return f"beside the upload: {found}" if found else ""

    return answered


def by_pull(scene: Scene, what: Return) -> Answered:
    """A file on the merchant's own FTPS server, which the hub visits; the answer lies in the result folder there."""
    scene.merchant.lay_out(what.file, what.content)
    scene.hub.post(f"/v1/programs/{scene.program}/sources/{what.source}/pull", {})

    def answered() -> str:
        found = sorted(scene.merchant.answers.glob(f"result_{what.file}*"))
        return f"on the merchant's server: /in/{found[0].name}" if found else ""

    return answered


def by_mail(scene: Scene, what: Return) -> Answered:
    """A mail with the file attached; the answer is a reply."""
    known, where = scene.access(what.source), scene.hub.ready["smtp"]
    envelope = transports.Envelope(
        host=where["host"], port=where["port"], sender=known["sender"], recipient=known["address"]
    )
    before = len(sent_mails(scene.hub))
    transports.mail(envelope, what.file, what.content, subject=f"Refunds {what.order_id}")

    def answered() -> str:
        new = [mail for mail in sent_mails(scene.hub)[before:] if known["sender"] in str(mail.get("to"))]
        return f"a reply by mail: {new[0].get('subject', '')}" if new else ""

    return answered


def by_salesforce(scene: Scene, what: Return) -> Answered:
    """An admin sets a case to Returned; the answer stands in the case's own fields."""
    controls = str(scene.hub.ready["salesforce_simulator"]).rstrip("/") + "/control"
    settings = ask(f"{controls}/outbound")["settings"]
    if not settings.get("url"):
        ask(f"{controls}/outbound", {"url": scene.access(what.source)["url"]})
    opened = {**what.sent, "Status": "New", "Subject": f"Return of order {what.order_id}"}
    [case] = ask(f"{controls}/records", {"object": "Case", "records": [opened]})["ids"]
    ask(f"{controls}/status", {"object": "Case", "id": case, "status": what.sent["Status"]})

    def answered() -> str:
        records = ask(f"{controls}/records?object=Case")["records"]
        state = next((each.get("Retour_State__c") for each in records if each["Id"] == case), None)
        return f"on the case: Retour_State__c = {state}" if state else ""

    return answered


def ask(url: str, document: Any = None) -> Any:
    """The simulator's controls."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        # On this machine: no proxy has anything to do with it.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS) as response:
            return json.load(response)
    except OSError as error:
        raise NoHub(f"The Salesforce simulator does not answer: {error}") from error


SENDERS: Mapping[str, Callable[[Scene, Return], Answered]] = {
    "api": by_webhook,
    "sftp": by_sftp,
    "pull": by_pull,
    "email": by_mail,
    "salesforce": by_salesforce,
}
