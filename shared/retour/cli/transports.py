"""Send a file as merchants do: by OpenSSH, SMTP or a pre-signed URL."""

import shutil
import smtplib
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from retour.cli.client import ApiError, HubUnreachableError, UsageError

SECONDS = 120
MEDIA_TYPES = {".csv": ("text", "csv"), ".tsv": ("text", "tab-separated-values"), ".zip": ("application", "zip")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """`known_hosts` is a local hub's, whose host key differs per data folder; else the user's own."""

    host: str
    port: int
    user: str
    identity: str | None = None
    known_hosts: Path | None = None


def upload_by_sftp(login: Login, file: Path, name: str) -> None:
    """Upload by the OpenSSH client. The hub reads a file only when its upload is complete."""
    ended = run_sftp(login, f"put {quote_sftp_name(str(file))} {quote_sftp_name(name)}\n")
    if ended.returncode:
        said = ended.stderr.strip().splitlines()
        raise HubUnreachableError(
            f"The upload to {login.user}@{login.host}:{login.port} failed: {said[-1] if said else 'no reason given'}"
        )


def run_sftp(login: Login, batch: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("sftp"):
        raise UsageError(
            "The OpenSSH client `sftp` is not installed. On Debian and Ubuntu: apt-get install openssh-client"
        )
    command = ["sftp", "-q", "-b", "-", "-P", str(login.port), "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]
    if login.identity:
        command += ["-i", login.identity, "-o", "IdentitiesOnly=yes"]
    if login.known_hosts:
        command += ["-o", f"UserKnownHostsFile={login.known_hosts}", "-o", "StrictHostKeyChecking=accept-new"]
    command.append(f"{login.user}@{login.host}")
    try:
        return subprocess.run(command, input=batch, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise HubUnreachableError(f"{login.host}:{login.port} took longer than {SECONDS} seconds.") from None


def quote_sftp_name(name: str) -> str:
    """Quote a name for a batch file of `sftp`."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    host: str
    port: int
    sender: str
    recipient: str


def send_mail(envelope: Envelope, name: str, body: bytes, subject: str = "Returns") -> None:
    """Send a mail with the file attached."""
    message = EmailMessage()
    message["From"] = envelope.sender
    message["To"] = envelope.recipient
    message["Subject"] = subject
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain=envelope.sender.rpartition("@")[2] or "localhost")
    message.set_content(f"Attached: {name}\n")
    kind, subkind = MEDIA_TYPES.get(Path(name).suffix.lower(), ("application", "octet-stream"))
    message.add_attachment(body, maintype=kind, subtype=subkind, filename=name)
    where = f"{envelope.host}:{envelope.port}"
    try:
        with smtplib.SMTP(envelope.host, envelope.port, timeout=SECONDS) as server:
            server.ehlo()
            if server.has_extn("starttls"):
                server.starttls()
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as refused:
        reply = next(iter(refused.recipients.values()))
        raise ApiError(
            reply[0], {"detail": f"{where} does not take mail for that address: {decode_reply(reply[1])}"}
        ) from refused
    except smtplib.SMTPResponseException as refused:
        raise ApiError(
            refused.smtp_code, {"detail": f"{where} refused the mail: {decode_reply(refused.smtp_error)}"}
        ) from refused
    except (OSError, smtplib.SMTPException) as error:
        raise HubUnreachableError(f"No mail server answers at {where} ({error}).") from error


def decode_reply(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said


def put_to_url(url: str, body: bytes) -> None:
    """Upload to a pre-signed URL."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/octet-stream"}, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            return
    except urllib.error.HTTPError as error:
        raise ApiError(error.code, {"detail": f"The upload was refused with status {error.code}."}) from error
    except OSError as error:
        raise HubUnreachableError(f"The upload failed ({error}).") from error
