"""The way back: an answer left where the merchant looks for it."""

import hashlib

from retour.domain.program import Source
from retour.domain.times import format_instant
from retour.polling.environment import PollEnvironment
from retour.polling.server import ServerOpener, open_server


def leave_answer(
    hub: PollEnvironment, program: str, source: Source, name: str, key: str, *, open_server: ServerOpener = open_server
) -> str:
    """Leaves an answer that lies in the inbox in the source's result folder; returns why not, or nothing.

    Nothing leaves the house while it is being rebuilt. RemoteError when the server does not let us.
    """
    folder = source.options.get("result_folder")
    if not folder:
        return "the source has no result_folder"
    if not hub.settings.outward:
        return "nothing leaves the house now"
    body = hub.inbox.read(key)
    server = open_server(source.options, hub.secret(program, source.name), hub.settings.allow_private_hosts)
    try:
        server.put(folder, name, body)
    finally:
        server.close()
    # Where answers are left in the folder that is visited, our own file of refused rows must not come in as new.
    ours = {"delivery": "", "received_at": format_instant(hub.now()), "name": name, "stored": True}
    hub.state(program, source.name).claim(f"content#{hashlib.sha256(body).hexdigest()}", ours)
    return ""
