"""Upload replies to a merchant's server."""

import hashlib

from retour.domain.program import Source
from retour.domain.times import format_instant
from retour.polling.environment import PollEnvironment
from retour.polling.server import ServerOpener, open_server


def leave_answer(
    hub: PollEnvironment, program: str, source: Source, name: str, key: str, *, open_server: ServerOpener = open_server
) -> str:
    """Upload a reply from the inbox to the source's result folder. Returns why not, or an empty string.

    Nothing is uploaded during a rebuild. Raises RemoteError if the server refuses.
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
    # If replies go to the polled folder, our own rejected file must not be read as new.
    ours = {"delivery": "", "received_at": format_instant(hub.now()), "name": name, "stored": True}
    hub.state(program, source.name).claim(f"content#{hashlib.sha256(body).hexdigest()}", ours)
    return ""
