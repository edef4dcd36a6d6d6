"""A merchant's own server: found, reached, recognised, logged in to, its folder listed. Nothing is fetched."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from retour.connection_test.steps import Course
from retour.domain.program import Program, Source
from retour.remote import RemoteError, Server, Watch, address
from retour.remote.visit import marker, open_server, place, unwanted

if TYPE_CHECKING:
    from retour.wiring import Hub

LONG_AGO = datetime.min.replace(tzinfo=UTC)
Open = Callable[[Mapping[str, Any], Mapping[str, Any], bool, Watch], Server]
PORTS = {"sftp": 22, "ftp": 21, "ftps": 21}


def attempt(
    hub: "Hub",
    program: Program,
    source: Source,
    course: Course,
    *,
    resolve: address.Resolve = address.resolve,
    open_server: Open = open_server,
) -> None:
    options, secret = source.options, hub.secret(program.id, source.name)
    course.done("secret", f"TRIED_PULL_SECRET_{credential(hub, program, source).upper()}")

    host, port = options["host"], int(options.get("port", PORTS[options["protocol"]]))
    found = address.checked(host, port, allow_private=hub.settings.allow_private_hosts, resolve=resolve)
    course.done("resolve", host=host, address=", ".join(found))

    def watch(step: str, seen: dict[str, Any]) -> None:
        course.done(step, recognised(seen) if step == "trust" else "", **seen)

    server = open_server(options, secret, hub.settings.allow_private_hosts, watch)
    try:
        folder, pattern = str(options.get("folder", "")), options.get("pattern", "*")
        files = server.files(folder, lambda name: not unwanted(name, pattern))
        course.done("folder", place=place(options), count=len(files))
        taken = [file for file in files if not unwanted(file.name, pattern) and not marker(file.name)]
        if taken:
            newest = max(taken, key=lambda file: (file.modified or LONG_AGO, file.name))
            course.done("newest", name=newest.name, size=newest.size, count=len(taken), pattern=pattern)
        else:
            course.warned("newest", "TRIED_PULL_NEWEST_NONE", pattern=pattern)
    finally:
        server.close()


def credential(hub: "Hub", program: Program, source: Source) -> str:
    """What there is to log in with; RemoteError while there is nothing."""
    secret = hub.secret(program.id, source.name)
    held = next((name for name in ("private_key", "password") if secret.get(name)), None)
    if held is None:
        raise RemoteError("NO_CREDENTIALS", lasting=True)
    return held


def recognised(seen: dict[str, Any]) -> str:
    """By what the server was known to be the right one."""
    if "fingerprint" in seen:
        return "TRIED_PULL_TRUST_HOST_KEY"
    return "TRIED_PULL_TRUST_CERTIFICATE" if "certificate" in seen else "TRIED_PULL_TRUST_NOTHING"
