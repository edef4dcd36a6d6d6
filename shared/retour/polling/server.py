"""Log in to a merchant's server by the protocol its source names."""

from collections.abc import Callable, Mapping
from typing import Any

from retour.remote import FileClient, StepObserver, ignore_step

TIMEOUT_SECONDS = 20.0


def open_server(
    options: Mapping[str, Any], secret: Mapping[str, Any], allow_private: bool, watch: StepObserver = ignore_step
) -> FileClient:
    """Log in to a server. Only the library of the protocol used is imported."""
    if options["protocol"] == "sftp":
        from retour.remote import sftp

        return sftp.connect(options, secret, timeout=TIMEOUT_SECONDS, allow_private=allow_private, watch=watch)
    from retour.remote import ftp

    return ftp.connect(options, secret, timeout=TIMEOUT_SECONDS, allow_private=allow_private, watch=watch)


ServerOpener = Callable[[Mapping[str, Any], Mapping[str, Any], bool], FileClient]


def folders(options: Mapping[str, Any]) -> list[str]:
    """The folders to poll; by default the login folder."""
    one = [options["folder"]] if "folder" in options else []
    return [*one, *options.get("folders", ())] or [""]


def server_url(options: Mapping[str, Any]) -> str:
    port = f":{options['port']}" if "port" in options else ""
    return f"{options['protocol']}://{options['host']}{port}/{', '.join(folders(options)).lstrip('/')}"
