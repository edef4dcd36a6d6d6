"""Steps for our SFTP server: usable keys, a login that accepts them, a responding server, a folder."""

from itertools import islice
from typing import TYPE_CHECKING

from retour.connection_test.steps import StepRecorder
from retour.domain.program import Program, Source
from retour.remote import RemoteError, address, sanitise_message
from retour.setup.logins import SftpLogin, find_login, fingerprint, key_comment, sftp_user

if TYPE_CHECKING:
    from retour.wiring import Hub

SECONDS = 8
LIST_MAX = 1000
DEFAULT_PORT = 22


def run_steps(hub: "Hub", program: Program, source: Source, recorder: StepRecorder) -> None:
    keys, name = source.options.get("public_keys", ()), sftp_user(program, source)
    if keys or not hub.settings.is_local:
        found = declared_keys(hub, program, source)
        recorder.record_done("keys", count=len(found), keys=", ".join(found))
        let_in = find_login(hub, name)
        if let_in is None:
            raise RemoteError("SFTP_LOGIN_UNKNOWN", user=name)
        recorder.record_done("login", user=name, count=len(let_in.keys))
    else:
        recorder.record_warning("keys", "SFTP_ONLY_OUR_OWN_KEY")
        recorder.record_done("login", user=name, count=1)

    if not hub.settings.sftp_address:
        raise RemoteError("SFTP_NOT_OFFERED")
    recorder.record_done(
        "server",
        address=hub.settings.sftp_address,
        said=read_greeting(hub.settings.sftp_address, hub.settings.allow_private_hosts),
    )

    lying = sum(1 for _ in islice(hub.inbox.keys(f"{SftpLogin(program, source).folder}/"), LIST_MAX))
    recorder.record_done("folder", folder="/", count=lying)


def declared_keys(hub: "Hub", program: Program, source: Source) -> list[str]:
    """The fingerprints of the declared keys. Raises RemoteError if there are none or one is unusable."""
    keys = source.options.get("public_keys", ())
    if not keys and not hub.settings.is_local:
        raise RemoteError("SFTP_WITHOUT_KEY", source=source.name)
    for number, line in enumerate(keys, 1):
        if fingerprint(line) is None:
            raise RemoteError("SFTP_KEY_UNREADABLE", number=number, key=f"{line[:30]}…")
    return [f"{key_comment(line)} {fingerprint(line)}".strip() for line in keys]


def read_greeting(where: str, allow_private: bool) -> str:
    """The server's version string before authentication, `SSH-2.0-…`."""
    host, _, port = where.partition(":")
    with address.connect(host, int(port or DEFAULT_PORT), SECONDS, allow_private=allow_private) as sock:
        try:
            said = sanitise_message(sock.recv(255).decode("latin-1"))
        except OSError as error:
            said = sanitise_message(error)
    if not said.startswith("SSH-"):
        raise RemoteError("NOT_STARTED", host=host, port=port or DEFAULT_PORT, said=said)
    return said
