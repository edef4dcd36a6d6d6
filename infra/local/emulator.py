"""The embedded AWS: MiniStack in a process of its own, on loopback only, behind our own gateway (aws_gateway.py)."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-local/bin/python"
GATEWAY_SCRIPT = Path(__file__).resolve().parent / "aws_gateway.py"
REGION = "us-east-1"
READY_SECONDS = 30.0
# It saves its state only when it ends of itself, and that can take seconds with a large table.
SAVE_SECONDS = 45.0
NO_PROXY_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""To this machine itself, whatever proxy the environment names."""
QUEUE_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/(?=000000000000/)")


@contextmanager
def emulator(
    data: Path,
    port: int,
    *,
    auth: bool = False,
    persist: bool = True,
    relay: str = "",
    key: str = "",
    front: str = "",
) -> Iterator[str]:
    """Run the embedded AWS on `port` for as long as the block lasts; yields its endpoint URL.

    What it keeps lies below `data`: after a clean end everything, after a kill the S3 objects alone. With `auth` the
    functions may do only what their roles allow. Mail that functions send goes on to the SMTP server `relay`. With
    `key` it answers only what is signed with it; the pages of `front` may upload to addresses that were signed for
    them. An orphan that an earlier, killed run left on `data` is ended first.
    """
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    if was_killed(data):
        # The last state that was saved is of an earlier day than the objects, and must not pass for the present.
        shutil.rmtree(data / "state", ignore_errors=True)
        (data / "emulator.pid").unlink()
    _kill_workers(data)
    # Every worker leaves its unpacked code behind when it is killed.
    shutil.rmtree(data / "tmp", ignore_errors=True)
    for folder in ("tmp", "state", "s3"):
        (data / folder).mkdir(exist_ok=True)
    _readdress_queues(data / "state", port)
    with (data / "emulator.log").open("ab") as log:
        process = subprocess.Popen(
            # -P: what lies beside the door has names of the standard library.
            [str(PYTHON), "-P", str(GATEWAY_SCRIPT)],
            env=_environment(data, port, auth=auth, persist=persist, relay=relay) | _access_environment(key, front),
            cwd=data,
            stdin=subprocess.PIPE,  # It closes when this process ends, and then the emulator does.
            stdout=log,
            stderr=log,
            # Ctrl-C in the terminal must reach the hub alone, which then ends things in their order.
            start_new_session=True,
        )
    (data / "emulator.pid").write_text(str(process.pid))
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, endpoint, data / "emulator.log")
        yield endpoint
    finally:
        if _stop(process):
            (data / "emulator.pid").unlink(missing_ok=True)
        # They end by themselves, each in its time; nobody waits for what they would still say.
        _kill_workers(data)
        shutil.rmtree(data / "tmp", ignore_errors=True)


def was_killed(data: Path) -> bool:
    """Whether the last run on `data` ended without saving its state, so that only the S3 objects are left of it.

    An orphan still running is told to end, and so to save.
    """
    pid_file = data / "emulator.pid"
    if not pid_file.exists():
        return False
    try:
        pid = int(pid_file.read_text() or "0")
    except FileNotFoundError:  # It has just saved its state and ended.
        return False
    if not _is_emulator(pid):
        return True
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + SAVE_SECONDS
    while _is_emulator(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return True
        time.sleep(0.05)
    pid_file.unlink(missing_ok=True)
    return False


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _readdress_queues(state: Path, port: int) -> None:
    """Queues are known by their address, port included; without this, nobody would read them on another port."""
    for service in ("sqs", "lambda", "cloudformation"):
        saved = state / f"{service}.json"
        if saved.exists():
            saved.write_text(QUEUE_ADDRESS.sub(f"http://127.0.0.1:{port}/", saved.read_text()))


def _environment(data: Path, port: int, *, auth: bool, persist: bool, relay: str) -> dict[str, str]:
    """All that the emulator, and so every function in it, sees of this machine."""
    saved = "1" if persist else "0"
    return {
        "PATH": os.defpath,
        "HOME": str(data),
        "TMPDIR": str(data / "tmp"),
        "LANG": "C.UTF-8",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "AUTH": "true" if auth else "false",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "PERSIST_STATE": saved,
        "STATE_DIR": str(data / "state"),
        "S3_PERSIST": saved,
        "S3_DATA_DIR": str(data / "s3"),
        "LOG_LEVEL": "WARNING",
        "RETOUR_LIFELINE": "1",
        # A burst of uploads starts a worker each, of some 60 MB; without work they end.
        "LAMBDA_WARM_TTL_SECONDS": "30",
        **({"SMTP_HOST": relay} if relay else {}),
    }


def _access_environment(key: str, front: str) -> dict[str, str]:
    """Who comes in. Functions sign with the secret key they inherit; those with a role of their own show the key."""
    return {"RETOUR_AWS_KEY": key, "RETOUR_FRONT": front, "AWS_SECRET_ACCESS_KEY": key} if key else {}


def _wait_until_ready(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the embedded AWS ended with code {process.returncode} while starting; see {log}")
        try:
            with NO_PROXY_OPENER.open(f"{endpoint}/_ministack/ready", timeout=1):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.02)
    raise TimeoutError(f"the embedded AWS did not answer on {endpoint} within {READY_SECONDS:.0f} s; see {log}")


def _stop(process: subprocess.Popen[bytes]) -> bool:
    """End the emulator; whether it had the time to save its state."""
    process.terminate()
    try:
        return process.wait(SAVE_SECONDS) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    finally:
        assert process.stdin is not None
        process.stdin.close()


def _kill_workers(data: Path) -> None:
    """End what a killed emulator left running: its functions would go on, into the tables of the next one."""
    mark = os.fsencode(data / "tmp") + b"/"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue


def _is_emulator(pid: int) -> bool:
    """Whether `pid` is still ours: the number may have been given to another process since."""
    if pid <= 0:
        return False
    command = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self").exists():
        return command.exists() and any(
            mark in command.read_bytes() for mark in (os.fsencode(GATEWAY_SCRIPT), b"-m\0ministack")
        )
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return str(GATEWAY_SCRIPT) in shown.stdout or "-m ministack" in shown.stdout
