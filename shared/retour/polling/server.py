"""A merchant's server, logged in by the protocol that the source names."""

from collections.abc import Callable, Mapping
from typing import Any

from retour.remote import FileClient, StepObserver, ignore_step

TIMEOUT_SECONDS = 20.0


def open_server(
    options: Mapping[str, Any], secret: Mapping[str, Any], allow_private: bool, watch: StepObserver = ignore_step
) -> FileClient:
    """The merchant's server, logged in. The library of the one protocol that is spoken is loaded, no other."""
    if options["protocol"] == "sftp":
        from retour.remote import sftp

        return sftp.connect(options, secret, timeout=TIMEOUT_SECONDS, allow_private=allow_private, watch=watch)
    from retour.remote import ftp

    return ftp.connect(options, secret, timeout=TIMEOUT_SECONDS, allow_private=allow_private, watch=watch)


ServerOpener = Callable[[Mapping[str, Any], Mapping[str, Any], bool], FileClient]


def folders(options: Mapping[str, Any]) -> list[str]:
    """Where the merchant leaves its files; where the login lands, if nothing is said."""
    one = [options["folder"]] if "folder" in options else []
    return [*one, *options.get("folders", ())] or [""]


def server_url(options: Mapping[str, Any]) -> str:
    port = f":{options['port']}" if "port" in options else ""
    return f"{options['protocol']}://{options['host']}{port}/{', '.join(folders(options)).lstrip('/')}"
