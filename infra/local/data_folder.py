"""The data folder of a local hub, with its keys and certificates, and its ports."""

import fcntl
import json
import os
import re
import secrets
import shutil
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import trustme

HOST = "127.0.0.1"
# Offsets from the front's port, so that ports are easy to remember and stable.
PORT_OFFSETS = {"sftp": 22, "smtp": 25, "salesforce": 43, "controls": 44, "aws": 66}

NAMED = {"sftp": "SFTP", "smtp": "SMTP", "salesforce": "Salesforce", "controls": "Salesforce's controls", "aws": "AWS"}


FREE_BYTES_MIN = 8 << 20
"""Minimum free space for a call: two versions of its body, and a function's unpacked code."""


class StartupError(Exception):
    """Why the hub cannot start, and what to do about it."""


@contextmanager
def locked_folder(data: Path) -> Iterator[Path]:
    """Create the folder for its owner only if needed, and lock it for one hub."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(f"Another hub runs on {data}. Stop it, or say --data with another folder.") from None
        yield data


def has_free_space(data: Path) -> bool:
    """Whether the disk has space left. Without it not even functions start."""
    return shutil.disk_usage(data).free > FREE_BYTES_MIN


def create_subfolders(data: Path) -> None:
    """Create the subfolders and clear partial uploads of an earlier run."""
    shutil.rmtree(data / "uploading", ignore_errors=True)
    for room in ("aws", "keys", "mail", "salesforce", "sent", "tls", "uploading"):
        (data / room).mkdir(exist_ok=True, mode=0o700)


def certificate_authority(folder: Path) -> trustme.CA:
    """The hub's own CA, created once. Clients that trust ca.pem trust its HTTPS, SMTP and Salesforce simulator."""
    public, private = folder / "ca.pem", folder / "ca.key"
    if public.exists() and private.exists():
        return trustme.CA.from_pem(public.read_bytes(), private.read_bytes())
    authority = trustme.CA(organization_name="Retour local hub")
    write_atomically(private, authority.private_key_pem.bytes().decode())
    write_atomically(public, authority.cert_pem.bytes().decode())
    return authority


def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority.issue_cert("localhost", HOST).configure_cert(context)
    return context


def load_aws_key(path: Path) -> str:
    """The key of the embedded AWS, created once in the format of AWS_SHARED_CREDENTIALS_FILE.

    It is kept, since pre-signed URLs must stay valid across restarts.
    """
    kept = re.search(r"^aws_secret_access_key = (\S+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    if kept:
        return kept[1]
    key = secrets.token_urlsafe(32)
    write_atomically(path, f"[default]\naws_access_key_id = test\naws_secret_access_key = {key}\nregion = us-east-1\n")
    return key


def load_public_key(path: Path) -> str:
    """The public key of a key file, which is created if missing."""
    if not path.exists():
        key = asyncssh.generate_private_key("ssh-ed25519", comment=path.name)
        write_atomically(path, key.export_private_key().decode())
    return asyncssh.read_private_key(path).export_public_key().decode().strip()


def write_atomically(path: Path, text: str) -> None:
    """Write a file atomically, readable by its owner only."""
    handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def front_socket(port: int) -> socket.socket:
    try:
        return bind_socket(port)
    except OSError as error:
        raise StartupError(f"Port {port} is taken ({error.strerror}). Say --port with another one.") from None


def bind_socket(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        # Only a listening socket keeps others from binding the same port.
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening


class Ports:
    """The hub's other ports: those of the last run, else the usual ones, else any free ones."""

    def __init__(self, front: int, remembered: Path):
        self.remembered = remembered
        usual = {name: front + step for name, step in PORT_OFFSETS.items()} if 0 < front < 65000 else {}
        last = json.loads(remembered.read_text()) if remembered.exists() else {}
        self.wanted: dict[str, int] = usual | last
        self.taken: dict[str, int] = {}
        self.moved: dict[str, int] = {}

    def listen(self, name: str) -> socket.socket:
        wanted = self.taken.get(name) or self.wanted.get(name, 0)
        try:
            found = bind_socket(wanted)
        except OSError:
            found = bind_socket(0)
            self.moved[name] = wanted
        self.taken[name] = int(found.getsockname()[1])
        return found

    def taken_port_sentences(self) -> list[str]:
        """A sentence for each usual port that another program uses."""
        return [
            f"Port {wanted} ({NAMED.get(name, name)}) is taken by another program, so it is {self.taken[name]} this "
            f"time. To have {wanted} back, stop that program and start the hub again, or say --port with another one."
            for name, wanted in self.moved.items()
        ]

    def number(self, name: str) -> int:
        """A port for a server that binds it itself."""
        if name not in self.taken:
            self.listen(name).close()
        return self.taken[name]

    def save(self) -> None:
        """Save the ports for the next run, which first tries those that were taken this time."""
        self.remembered.write_text(json.dumps({**self.taken, **self.moved}))
