"""The demo's servers: a hub with its own data, and a merchant's FTPS server."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retour.cli.client import HubClient, HubUnreachableError, connect
from retour.cli.up import local_hub

START_SECONDS = 120
STOP_SECONDS = 45
# A poll skips files that may be growing; this one is an hour old.
UNCHANGED_SECONDS = 3600


def free_port(wanted: int) -> int:
    """The wanted port, or a free one if it is taken."""
    for number in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            return port
    raise HubUnreachableError("No port is free on 127.0.0.1.")


@contextmanager
def running_hub(data: Path, port: int, log: Path) -> Iterator[HubClient]:
    """Run a local hub while the context is open."""
    ready = data / "ready.json"
    command, environment = local_hub(data, port, ready_file=ready)
    with log.open("wb") as written:
        # A session of its own, so that Ctrl-C reaches only the demo, which then stops everything in order; and a pipe
        # that closes however the demo ends.
        process = subprocess.Popen(
            command,
            env={**environment, "RETOUR_LIFELINE": "1"},
            stdin=subprocess.PIPE,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
    try:
        yield wait_until_ready(process, ready, log)
    finally:
        stop(process)


def wait_until_ready(process: "subprocess.Popen[bytes]", ready: Path, log: Path) -> HubClient:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise HubUnreachableError(f"The hub did not start; the last it said, in {log}:\n{last_lines(log)}")
        if ready.is_file():
            return connect(url=None, key=None, ready_file=str(ready), data=None)
        time.sleep(0.1)
    raise HubUnreachableError(
        f"The hub was not ready after {START_SECONDS} seconds; the last it said, in {log}:\n{last_lines(log)}"
    )


def last_lines(log: Path, lines: int = 15) -> str:
    return "\n".join("  " + line for line in log.read_text("utf-8", "replace").splitlines()[-lines:])


def stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end_orphan(data: Path) -> None:
    """Stop a hub that a killed demo left running on this data."""
    try:
        pid = int((data / "running").read_text())
    except (OSError, ValueError):
        return
    shown = command_of(pid)
    if "-m local --port" not in shown or str(data) not in shown:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while (data / "running").exists() and time.monotonic() < deadline:
        time.sleep(0.1)


def command_of(pid: int) -> str:
    """The command line of a process, from /proc on Linux (where `ps` may be missing), else from `ps`."""
    told = Path(f"/proc/{pid}/cmdline")
    if told.exists():
        return told.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    if not shutil.which("ps"):
        return ""
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantServer:
    """The merchant's server: its address, its CA and its folders on this disk."""

    port: int
    certificate_authority: str
    user: str
    password: str
    out: Path
    answers: Path

    @property
    def options(self) -> Mapping[str, Any]:
        """Its options in the program."""
        return {
            "protocol": "ftps", "host": "127.0.0.1", "port": self.port, "user": self.user, "folder": "/out",
            "pattern": "*.csv", "result_folder": "/in", "ca": self.certificate_authority,
        }  # fmt: skip

    def add_file(self, name: str, content: bytes) -> None:
        """Add a file that is an hour old."""
        file = self.out / name
        file.write_bytes(content)
        then = time.time() - UNCHANGED_SECONDS
        os.utime(file, (then, then))


@contextmanager
def merchant_server(folder: Path, password: str, user: str = "retour") -> Iterator[MerchantServer]:
    """Run a merchant's FTPS server while the context is open."""
    import trustme

    out, answers = folder / "files/out", folder / "files/in"
    out.mkdir(parents=True, exist_ok=True)
    answers.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    certificate = folder / "certificate.pem"
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    certificate.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as listening, (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "retour.cli.demo.merchant", str(listening.fileno())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(listening.fileno(),),
            start_new_session=True,
        )
        assert process.stdin
        settings = {
            "folder": str(folder / "files"),
            "certificate": str(certificate),
            "user": user,
            "password": password,
        }
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        process.stdin.flush()
        try:
            yield MerchantServer(
                port=listening.getsockname()[1],
                certificate_authority=authority.cert_pem.bytes().decode(),
                user=user,
                password=password,
                out=out,
                answers=answers,
            )
        finally:
            stop(process)
