"""A program as its merchant wrote it: event types, sources, contracts. Its document's shape is program.schema.json."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from retour.domain.contract import Contract, Lock, Payout
from retour.domain.delivery import Channel

WAITING_DAYS = 35
REASONS = (
    "ITEM_RETURNED", "ITEM_OUT_OF_STOCK", "ORDER_ERROR", "ORDER_UPDATE", "CANCELLED", "PAYMENT_FAILED", "CHARGEBACK",
    "CONS_FRAUD", "CONS_ERROR", "CONS_INFO_INVALID", "PUB_ACT_DISPUTE", "ADV_ACT_DISPUTE", "NOT_COMPLIANCE_TERMS",
    "TEST_ACTION", "PARTNER_NOT_ACTIVE", "CREDITED_DIFFERENT_MP", "DUPLICATE", "OTHER",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A named feed of a program (spec 1).

    `mapping` says how its rows read (columns, constants, reasons, statuses, dates, decimal, encoding); `options` is
    what only its channel needs (host and folder of a pull, senders of a mail address, object and organisation of
    Salesforce ...), as the schema allows it.
    """

    name: str
    channel: Channel
    kind: str = ""
    event_type: str | None = None
    namespace: str = ""
    order_by: str = "received_at"
    time_zone: str = "UTC"
    currency: str | None = None
    amount_means: str | None = None
    basis: str = "goods"
    excess: str = "refuse"
    default_reason: str | None = None
    order_id_field: str | None = None
    approve_restores: bool = False
    expected_by: str | None = None
    mapping: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    name: str
    repeated_orders: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderKeyRule:
    """How a program writes its order ids; the same for actions and modifications (spec 4)."""

    strip_prefix: str = ""
    fold_case: bool = False
    pad: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One version of a program. `contracts` holds every contract version ever recorded, oldest first."""

    id: str
    name: str
    currency: str
    time_zone: str
    version: int
    event_types: Mapping[str, EventType]
    sources: Mapping[str, Source]
    contracts: tuple[Contract, ...]
    reasons: frozenset[str]
    order_key: OrderKeyRule = OrderKeyRule()
    waiting_days: int = WAITING_DAYS
    raw_days: int = 400
    language: str = "en"


def program_from(document: Mapping[str, Any], version: int, contracts: tuple[Contract, ...]) -> Program:
    """The program that a document (valid against program.schema.json) describes."""
    zone = document["time_zone"]
    return Program(
        id=document["program"],
        name=document.get("name", document["program"]),
        currency=document["currency"],
        time_zone=zone,
        version=version,
        event_types=MappingProxyType(
            {name: EventType(name=name, **(body or {})) for name, body in document["event_types"].items()}
        ),
        sources=MappingProxyType(
            {name: source_from(name, body, zone) for name, body in document.get("sources", {}).items()}
        ),
        contracts=contracts,
        reasons=frozenset(REASONS) | frozenset(document.get("reasons", ())),
        order_key=OrderKeyRule(**document.get("order_key", {})),
        waiting_days=document.get("waiting_days", WAITING_DAYS),
        raw_days=document.get("raw_days", 400),
        language=document.get("language", "en"),
    )


COMMON = {
    "kind", "event_type", "order_by", "currency", "amount_means", "basis", "default_reason",
    "order_id_field", "approve_restores", "expected_by",
}  # fmt: skip


def source_from(name: str, body: Mapping[str, Any], zone: str) -> Source:
    clamps = body.get("basis") == "order_total"
    return Source(
        name=name,
        channel=Channel(body["channel"]),
        namespace=body.get("reference_namespace", name),
        time_zone=body.get("time_zone", zone),
        excess=body.get("excess", "clamp" if clamps else "refuse"),
        mapping=MappingProxyType(dict(body.get("mapping", {}))),
        options=MappingProxyType(dict(body.get("options", {}))),
        **{key: body[key] for key in COMMON & body.keys()},
    )


def contracts_from(
    document: Mapping[str, Any], known: tuple[Contract, ...], recorded_at: datetime
) -> tuple[Contract, ...]:
    """All contract versions after this document is recorded: the known ones, then those it adds or changes.

    A contract whose terms are unchanged keeps its version; nothing is ever rewritten.
    """
    versions = list(known)
    for name, body in document["contracts"].items():
        terms = Contract(
            number=len(versions) + 1,
            name=name,
            version=1 + max((c.version for c in versions if c.name == name), default=0),
            event_type=body["event_type"],
            partners=frozenset(body.get("partners", ())),
            valid_from=date.fromisoformat(str(body["valid_from"])),
            recorded_at=recorded_at,
            payout=Payout(percent=Decimal(str(body["payout"]).rstrip("% "))),
            lock=Lock(days_after_event=body["lock"]["days_after_event"]),
            time_zone=document["time_zone"],
        )
        latest = max((c for c in versions if c.name == name), key=lambda c: c.version, default=None)
        if latest is None or not latest.says_the_same(terms):
            versions.append(terms)
    return tuple(versions)
