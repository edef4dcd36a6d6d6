"""Settings: the only reader of the environment, read once at start and validated."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

REQUIRED = ("STACK", "LEDGER_TABLE", "INBOX_BUCKET")


class SettingsError(Exception):
    """Environment variables that are missing or invalid; lists all of them."""


@dataclass(frozen=True, slots=True)
class Service:
    """An override of a service's public address: host:port and its CA file."""

    connect: str | None = None
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class SignIn:
    """The console's OpenID Connect provider; empty if people sign in by link."""

    issuer: str = ""
    client: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings from the environment, set by template.yaml and the local hub under the names given with each field."""

    stack: str
    """STACK: the prefix of our parameters in Parameter Store."""
    ledger_table: str
    inbox_bucket: str
    queues: Mapping[str, str] = field(default_factory=dict)
    """<NAME>_QUEUE: the URL of each queue this function may use, by its lower-case name."""
    api_url: str = ""
    mail_domain: str = ""
    mail_from: str = ""
    receives_mail: str = ""
    """RECEIVES_MAIL: `ses` or `smtp`; empty if no mail is received."""
    sftp_address: str = ""
    """SFTP_ADDRESS: host:port of our SFTP server; empty if there is none."""
    sftp_role: str = ""
    files_machine: str = ""
    """FILES_MACHINE: the state machine for large files; empty if there is none."""
    sweep_function: str = ""
    clock_offset: timedelta = timedelta()
    """CLOCK_OFFSET_SECONDS: the offset of the business clock, on a local hub only."""
    is_local: bool = False
    """KEEP_ENVELOPES=1: a local hub, which keeps envelopes to rebuild from and has its own keys."""
    allow_private_hosts: bool = False
    """ALLOW_PRIVATE_HOSTS=1: allow connections to private addresses, on a local hub only."""
    must_answer: bool = False
    """MUST_ANSWER=1: a caller waits for this function, so its own requests have short timeouts."""
    outward: bool = True
    """OUTWARD=off: nothing is sent from the hub, as during a replay."""
    calls_per_second: float = 0
    """CALLS_PER_SECOND: rate limit per caller; 0 for none."""
    index_shards: int = 1
    """INDEX_SHARDS: index partitions for the actions of a day."""
    aws_key: str = ""
    """RETOUR_AWS_KEY: identifies the hub's own processes to the embedded AWS."""
    sign_in: SignIn = SignIn()
    salesforce: Service = Service()
    bigcommerce: Service = Service()
    woocommerce: Service = Service()
    paypal: Service = Service()
    ecb: Service = Service()


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of this process, by default from its environment. Raises SettingsError."""
    given = os.environ if environment is None else environment

    def text(name: str) -> str:
        return given.get(name) or ""

    def is_set(name: str) -> bool:
        return given.get(name) == "1"

    def service(name: str) -> Service:
        return Service(text(f"{name}_CONNECT") or None, text(f"{name}_CA") or None)

    faults = [f"{name} is missing" for name in REQUIRED if not given.get(name)]
    numbers: dict[str, float] = {}
    for name in ("CLOCK_OFFSET_SECONDS", "CALLS_PER_SECOND", "INDEX_SHARDS"):
        try:
            numbers[name] = float(text(name) or 0)
        except ValueError:
            faults.append(f"{name} must be a number, got {text(name)!r}")
    if faults:
        raise SettingsError(f"Cannot start: in the environment {', '.join(faults)}.")
    return Settings(
        stack=text("STACK"),
        ledger_table=text("LEDGER_TABLE"),
        inbox_bucket=text("INBOX_BUCKET"),
        queues={
            name.removesuffix("_QUEUE").lower(): url for name, url in given.items() if name.endswith("_QUEUE") and url
        },
        api_url=text("API_URL"),
        mail_domain=text("MAIL_DOMAIN"),
        mail_from=text("MAIL_FROM"),
        receives_mail=text("RECEIVES_MAIL"),
        sftp_address=text("SFTP_ADDRESS"),
        sftp_role=text("SFTP_ROLE"),
        files_machine=text("FILES_MACHINE"),
        sweep_function=text("SWEEP_FUNCTION"),
        clock_offset=timedelta(seconds=numbers["CLOCK_OFFSET_SECONDS"]),
        is_local=is_set("KEEP_ENVELOPES"),
        allow_private_hosts=is_set("ALLOW_PRIVATE_HOSTS"),
        must_answer=is_set("MUST_ANSWER"),
        outward=text("OUTWARD") != "off",
        calls_per_second=numbers["CALLS_PER_SECOND"],
        index_shards=int(numbers["INDEX_SHARDS"]) or 1,
        aws_key=text("RETOUR_AWS_KEY"),
        sign_in=SignIn(text("SIGN_IN_ISSUER"), text("SIGN_IN_CLIENT"), text("SIGN_IN_URL")),
        salesforce=service("SALESFORCE"),
        bigcommerce=service("BIGCOMMERCE"),
        woocommerce=service("WOOCOMMERCE"),
        paypal=service("PAYPAL"),
        ecb=service("ECB"),
    )
