"""A delivery: one arrival from a source, with what is needed to answer it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from retour.domain.times import format_compact

DRY_RUN = "dry_run"


class Channel(StrEnum):
    """The way a delivery came in (spec 3)."""

    API = "api"
    SFTP = "sftp"
    PULL = "pull"
    EMAIL = "email"
    SALESFORCE = "salesforce"
    CONSOLE = "console"
    CASCADE = "cascade"


class DeliveryKind(StrEnum):
    """How the raw bytes of a delivery are read."""

    MODIFICATIONS = "modifications"
    HOOK = "hook"
    FILE = "file"
    SALESFORCE = "salesforce"
    ACTIONS = "actions"
    PROGRAM = "program"
    DECISION = "decision"
    RATES = "rates"
    MONEY = "money"


KINDS_WITHOUT_RECORDS = (DeliveryKind.PROGRAM, DeliveryKind.DECISION, DeliveryKind.RATES, DeliveryKind.MONEY)
"""What changes the rules or decides, and says nothing of any action."""
KINDS_WITHOUT_ROWS = (DeliveryKind.PROGRAM, DeliveryKind.RATES, DeliveryKind.MONEY)
"""Of which no result is told row by row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The header of a delivery, written once with its raw bytes before anything is answered.

    `identity` recognises a repeated delivery of the source (webhook-id, Idempotency-Key, Message-ID with attachment
    hash, object key with version, SHA-256). `facts` are the headers needed to read it again, never secrets. `reply`
    says where the reply goes, in the channel's own terms.
    """

    id: str
    program: str
    channel: Channel
    source: str
    kind: DeliveryKind
    identity: str
    received_at: datetime
    sha256: str
    size: int
    name: str = ""
    sender: str = ""
    held: str = ""
    body_key: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    reply: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def create(
        cls,
        body: bytes,
        *,
        received_at: datetime,
        program: str,
        channel: Channel,
        source: str,
        kind: DeliveryKind,
        identity: str = "",
        **more: Any,
    ) -> Self:
        """Create the delivery of a body. Without `identity` it is identified by its hash."""
        sha256 = hashlib.sha256(body).hexdigest()
        identity = identity or sha256
        return cls(
            id=delivery_id(received_at, program, source, identity),
            program=program,
            channel=channel,
            source=source,
            kind=kind,
            identity=identity,
            received_at=received_at,
            sha256=sha256,
            size=len(body),
            **more,
        )

    @property
    def is_dry_run(self) -> bool:
        """Whether only a simulation was requested."""
        return DRY_RUN in self.facts


def delivery_id(received_at: datetime, program: str, source: str, identity: str) -> str:
    """The public id: the receipt in UTC to the millisecond, then 40 bits of a hash of the identity.

    It contains the day, so the stored item is found by id alone.
    """
    digest = hashlib.blake2b(f"{program}\0{source}\0{identity}".encode(), digest_size=5).hexdigest()
    return f"{format_compact(received_at)}-{digest}"


def receipt_time(delivery: str) -> datetime:
    """The receipt time contained in an id."""
    return datetime.strptime(delivery.partition("-")[0], "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)
