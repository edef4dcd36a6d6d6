"""Steps for a merchant's server: resolve, connect, verify, log in, list the folder. Fetches nothing."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from retour.connection_test.steps import StepRecorder
from retour.domain.program import Program, Source
from retour.polling.patterns import is_marker, skip_reason
from retour.polling.server import open_server, server_url
from retour.remote import FileClient, RemoteError, StepObserver, address

if TYPE_CHECKING:
    from retour.wiring import Hub

DISTANT_PAST = datetime.min.replace(tzinfo=UTC)
OpenServer = Callable[[Mapping[str, Any], Mapping[str, Any], bool, StepObserver], FileClient]
PORTS = {"sftp": 22, "ftp": 21, "ftps": 21}


def run_steps(
    hub: "Hub",
    program: Program,
    source: Source,
    recorder: StepRecorder,
    *,
    resolve: address.Resolve = address.resolve,
    open_server: OpenServer = open_server,
) -> None:
    options, secret = source.options, hub.secret(program.id, source.name)
    recorder.record_done("secret", f"TRIED_PULL_SECRET_{require_credential(hub, program, source).upper()}")

    host, port = options["host"], int(options.get("port", PORTS[options["protocol"]]))
    found = address.resolve_public(host, port, allow_private=hub.settings.allow_private_hosts, resolve=resolve)
    recorder.record_done("resolve", host=host, address=", ".join(found))

    def watch(step: str, seen: dict[str, Any]) -> None:
        recorder.record_done(step, trust_code(seen) if step == "trust" else "", **seen)

    server = open_server(options, secret, hub.settings.allow_private_hosts, watch)
    try:
        folder, pattern = str(options.get("folder", "")), options.get("pattern", "*")
        files = server.files(folder, lambda name: not skip_reason(name, pattern))
        recorder.record_done("folder", place=server_url(options), count=len(files))
        taken = [file for file in files if not skip_reason(file.name, pattern) and not is_marker(file.name)]
        if taken:
            newest = max(taken, key=lambda file: (file.modified or DISTANT_PAST, file.name))
            recorder.record_done("newest", name=newest.name, size=newest.size, count=len(taken), pattern=pattern)
        else:
            recorder.record_warning("newest", "TRIED_PULL_NEWEST_NONE", pattern=pattern)
    finally:
        server.close()


def require_credential(hub: "Hub", program: Program, source: Source) -> str:
    """The credential to log in with. Raises RemoteError if there is none."""
    secret = hub.secret(program.id, source.name)
    held = next((name for name in ("private_key", "password") if secret.get(name)), None)
    if held is None:
        raise RemoteError("NO_CREDENTIALS", lasting=True)
    return held


def trust_code(seen: dict[str, Any]) -> str:
    """The code for how the server was authenticated."""
    if "fingerprint" in seen:
        return "TRIED_PULL_TRUST_HOST_KEY"
    return "TRIED_PULL_TRUST_CERTIFICATE" if "certificate" in seen else "TRIED_PULL_TRUST_NOTHING"
