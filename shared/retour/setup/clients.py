"""The client of a source's own system, which logs in with what was handed over."""

from typing import TYPE_CHECKING

from retour.domain.program import Program, Source
from retour.ports import CredentialPorts
from retour.remote import RemoteError
from retour.remote.bigcommerce import BigCommerceClient
from retour.remote.woocommerce import WooCommerceClient
from retour.setup.credentials import shop_secrets

if TYPE_CHECKING:
    from retour.remote.salesforce import SalesforceClient

# Seconds to connect and to wait for an answer: while a sender waits for us, and while nobody does.
QUICK_TIMEOUT, PATIENT_TIMEOUT = (3.05, 8.0), (5.0, 60.0)


def shop_client(ports: CredentialPorts, program: Program, source: Source) -> BigCommerceClient | WooCommerceClient:
    """The shop of a source; a lasting RemoteError while its key was not handed over."""
    secret = ports.secret(program.id, source.name)
    missing = [name for name in shop_secrets(source) if not secret.get(name)]
    if missing:
        raise RemoteError("SHOP_NOT_SET_UP", lasting=True, source=source.name, missing=missing[0])
    if source.kind == "bigcommerce":
        return BigCommerceClient.of(ports.settings.bigcommerce, source.options, secret)
    return WooCommerceClient.of(ports.settings.woocommerce, source.options, secret)


def salesforce_client(
    ports: CredentialPorts, program: Program, source: Source, *, patient: bool = False
) -> "SalesforceClient":
    """The client of a source's integration user; a lasting RemoteError while something of it is not set up."""
    require_salesforce(ports, program, source)
    from retour.remote.salesforce import client_for

    options, secret = source.options, ports.secret(program.id, source.name)
    return client_for(
        options.get("domain", "login"),
        options["username"],
        options["consumer_key"],
        secret["private_key"],
        connect=ports.settings.salesforce.connect,
        ca=ports.settings.salesforce.ca,
        timeout=PATIENT_TIMEOUT if patient else QUICK_TIMEOUT,
    )


def require_salesforce(ports: CredentialPorts, program: Program, source: Source) -> None:
    """A lasting RemoteError while it is not known as whom to log in, or with what."""
    missing = [name for name in ("username", "consumer_key") if not source.options.get(name)]
    missing += [] if ports.secret(program.id, source.name).get("private_key") else ["private_key"]
    if missing:
        raise RemoteError("SALESFORCE_NOT_SET_UP", lasting=True, source=source.name, missing=", ".join(missing))
