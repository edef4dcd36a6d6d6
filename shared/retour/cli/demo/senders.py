"""One client per channel, of the kind that a shop, a warehouse, a merchant or an admin uses.

Each sends its return and gives back a probe that looks for the reply. It is called until there is one.
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
from retour.cli.client import ApiError, HubClient, HubUnreachableError
from retour.cli.demo.scenario import Return
from retour.cli.demo.servers import MerchantServer
from retour.cli.doctor import sent_mails
from retour.cli.hub import source_access

SECONDS = 60
AnswerProbe = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Demo:
    """What the senders need."""

    hub: HubClient
    program: str
    data: Path
    merchant: MerchantServer

    def access(self, source: str) -> Mapping[str, Any]:
        return source_access(self.hub, self.program, source)


def send_by_webhook(demo: Demo, item: Return) -> AnswerProbe:
    """A webhook signed by Standard Webhooks, over TLS, with curl."""
    known = demo.access(item.source)
    body = json.dumps(item.sent).encode()
    headers = {"Content-Type": "application/json", **sign(str(known["secret"]), body, int(time.time()))}
    url = str(known["url"]).replace("http://", "https://", 1)
    status, answer = post_over_https(url, headers, body, demo.data / "tls/ca.pem")
    if status >= 400:
        raise ApiError(status, json.loads(answer or b"{}"))
    outcome = json.loads(answer)["outcomes"][0]["outcome"]
    return lambda: f"in the response: HTTP {status}, {outcome}"


def sign(secret: str, body: bytes, timestamp: int) -> dict[str, str]:
    identity = f"msg_{secrets.token_hex(12)}"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256)
    signed = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": identity, "webhook-timestamp": str(timestamp), "webhook-signature": signed}


def post_over_https(url: str, headers: Mapping[str, str], body: bytes, authority: Path) -> tuple[int, bytes]:
    if not shutil.which("curl"):
        answer = HubClient(url=url, key="", folder=authority.parents[1]).call("POST", "", body, headers=headers)
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
        raise HubUnreachableError(f"{ended.stderr.decode('utf-8', 'replace').strip()}")
    answered, _, status = ended.stdout.rpartition(b"\n")
    return int(status), answered


def send_by_sftp(demo: Demo, item: Return) -> AnswerProbe:
    """An upload by OpenSSH with the source's key. The reply is beside the file."""
    known, where = demo.access(item.source), demo.hub.ready["sftp"]
    login = transports.Login(
        host=where["host"], port=where["port"], user=known["user"], identity=known["private_key_file"],
        known_hosts=demo.data / "known_hosts",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / item.file
        file.write_bytes(item.content)
        transports.upload_by_sftp(login, file, item.file)
    wanted = f"result_{item.file}"

    def answered() -> str:
        listed = transports.run_sftp(login, "ls -1\n").stdout.split()
        found = next((name for name in listed if name.startswith(wanted)), "")
        return f"beside the upload: {found}" if found else ""

    return answered


def send_by_pull(demo: Demo, item: Return) -> AnswerProbe:
    """A file on the merchant's FTPS server, which the hub polls. The reply is in its result folder."""
    demo.merchant.add_file(item.file, item.content)
    demo.hub.post(f"/v1/programs/{demo.program}/sources/{item.source}/pull", {})

    def answered() -> str:
        found = sorted(demo.merchant.answers.glob(f"result_{item.file}*"))
        return f"on the merchant's server: /in/{found[0].name}" if found else ""

    return answered


def send_by_mail(demo: Demo, item: Return) -> AnswerProbe:
    """A mail with the file attached. The reply is a mail."""
    known, where = demo.access(item.source), demo.hub.ready["smtp"]
    envelope = transports.Envelope(
        host=where["host"], port=where["port"], sender=known["sender"], recipient=known["address"]
    )
    before = len(sent_mails(demo.hub))
    transports.send_mail(envelope, item.file, item.content, subject=f"Refunds {item.order_id}")

    def answered() -> str:
        new = [mail for mail in sent_mails(demo.hub)[before:] if known["sender"] in str(mail.get("to"))]
        return f"a reply by mail: {new[0].get('subject', '')}" if new else ""

    return answered


def send_by_salesforce(demo: Demo, item: Return) -> AnswerProbe:
    """A case whose status an admin sets to Returned. The reply is in the case's own fields."""
    controls = str(demo.hub.ready["salesforce_simulator"]).rstrip("/") + "/control"
    settings = call_simulator(f"{controls}/outbound")["settings"]
    if not settings.get("url"):
        call_simulator(f"{controls}/outbound", {"url": demo.access(item.source)["url"]})
    opened = {**item.sent, "Status": "New", "Subject": f"Return of order {item.order_id}"}
    [case] = call_simulator(f"{controls}/records", {"object": "Case", "records": [opened]})["ids"]
    call_simulator(f"{controls}/status", {"object": "Case", "id": case, "status": item.sent["Status"]})

    def answered() -> str:
        records = call_simulator(f"{controls}/records?object=Case")["records"]
        state = next((each.get("Retour_State__c") for each in records if each["Id"] == case), None)
        return f"on the case: Retour_State__c = {state}" if state else ""

    return answered


def call_simulator(url: str, document: Any = None) -> Any:
    """Call the simulator's controls."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        # A local address: use no proxy.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS) as response:
            return json.load(response)
    except OSError as error:
        raise HubUnreachableError(f"The Salesforce simulator does not answer: {error}") from error


SENDERS: Mapping[str, Callable[[Demo, Return], AnswerProbe]] = {
    "api": send_by_webhook,
    "sftp": send_by_sftp,
    "pull": send_by_pull,
    "email": send_by_mail,
    "salesforce": send_by_salesforce,
}
