"""A program as its merchant wrote it: event types, sources, contracts. The schema is program.schema.json."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from retour.domain.contracts.contract import Contract
from retour.domain.delivery import Channel
from retour.domain.money import parse_decimal
from retour.domain.rates import MissingRatePolicy, Rate, rate_on
from retour.domain.senders import sender_of

PROGRAM_ID = re.compile(r"[a-z][a-z0-9-]{1,30}", re.ASCII)
WAITING_DAYS = 35
REASONS = (
    "ITEM_RETURNED", "ITEM_OUT_OF_STOCK", "ORDER_ERROR", "ORDER_UPDATE", "CANCELLED", "PAYMENT_FAILED", "CHARGEBACK",
    "CONS_FRAUD", "CONS_ERROR", "CONS_INFO_INVALID", "PUB_ACT_DISPUTE", "ADV_ACT_DISPUTE", "NOT_COMPLIANCE_TERMS",
    "TEST_ACTION", "PARTNER_NOT_ACTIVE", "CREDITED_DIFFERENT_MP", "DUPLICATE", "OTHER",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A named feed of a program (spec 1).

    `mapping`: how its rows are read (columns, constants, reasons, statuses, dates, decimal, encoding). `options`: the
    settings of its channel (pull server, mail senders, Salesforce object and so on), as the schema defines them.
    `references`: `once`, or `restate` if references are subjects that are stated anew each time. `absent`: `keep`, or
    `nothing_taken` if each file lists everything taken. `prices`: `net` or `gross`, as actions are reported.
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
    references: str = "once"
    absent: str = "keep"
    prices: str | None = None
    enabled: bool = True
    possible_duplicates: Mapping[str, str] = field(default_factory=dict)
    expected_by: str | None = None
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    mapping: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """An event type.

    With `late_orders` SUBMISSION, an order reported late has its report as event time, as at impact.com. `dispositions`
    are the merchant's own codes: each may set the status the partner sees, and change the action. `returns` says for
    how many days returns can be reported; empty if unknown.
    """

    name: str
    repeated_orders: bool = False
    parent: str | None = None
    late_orders: str = "event"
    dispositions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    returns: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderKeyRule:
    """How a program writes order ids, in actions and modifications alike (spec 4)."""

    strip_prefix: str = ""
    fold_case: bool = False
    pad: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One version of a program. `contracts` has every contract version ever recorded, oldest first.

    `lists` maps the names of uploaded lists to their content hashes.
    """

    id: str
    name: str
    currency: str
    time_zone: str
    version: int
    event_types: Mapping[str, EventType]
    sources: Mapping[str, Source]
    contracts: Sequence[Contract]
    reasons: frozenset[str]
    order_key: OrderKeyRule = OrderKeyRule()
    waiting_days: int = WAITING_DAYS
    raw_days: int = 400
    language: str = "en"
    possible_duplicate_days: int = 14
    hold_at_lock_hours: int = 72
    rates: Mapping[str, Sequence[Rate]] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    fx_missing: MissingRatePolicy = MissingRatePolicy.REFUSE
    fx_pull: str = ""

    def source(self, name: str, channel: Channel) -> Source:
        """The declared source, or an empty one.

        Undeclared sources are Retour's own (decisions, calls without a source) and those removed by a later version.
        """
        own = Source(name=name, channel=channel, namespace=name, time_zone=self.time_zone)
        return self.sources.get(name, own)

    def earliest_lock_reached(self, decided_at: datetime) -> datetime:
        """The lock after which a decision on a held record or delivery still takes effect."""
        return decided_at - timedelta(hours=self.hold_at_lock_hours)

    def rate(self, currency: str, day: date, delivered: Sequence[Rate] = ()) -> Decimal | None:
        """The value of one unit of a currency in the program's currency on a day, or None.

        A delivered rate takes precedence over one declared in the document for the same day.
        """
        if currency == self.currency:
            return Decimal(1)
        return rate_on([*self.rates.get(currency, ()), *delivered], day, self.fx_missing)


def program_from(
    document: Mapping[str, Any],
    version: int,
    contracts: Sequence[Contract],
    lists: Mapping[str, str] | None = None,
) -> Program:
    """Create the program of a document that is valid by program.schema.json."""
    zone = document["time_zone"]
    usual = {name: document[name] for name in PROGRAM_WIDE_KEYS if name in document}
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
            {name: source_from(name, {**usual, **body}, zone) for name, body in document.get("sources", {}).items()}
        ),
        contracts=contracts,
        reasons=frozenset(REASONS) | frozenset(document.get("reasons", ())),
        order_key=OrderKeyRule(**document.get("order_key", {})),
        waiting_days=document.get("waiting_days", WAITING_DAYS),
        raw_days=document.get("raw_days", 400),
        language=document.get("language", "en"),
        possible_duplicate_days=document.get("possible_duplicate_days", 14),
        hold_at_lock_hours=document.get("hold_at_lock_hours", 72),
        rates={
            currency: [Rate(date.fromisoformat(one["from"]), parse_decimal(str(one["rate"]))) for one in rates]
            for currency, rates in document.get("fx", {}).items()
        },
        lists=lists or {},
        fx_missing=MissingRatePolicy(document.get("fx_missing", MissingRatePolicy.REFUSE)),
        fx_pull=document.get("fx_pull", ""),
    )


PROGRAM_WIDE_KEYS = ("prices",)
"""Keys a program may set for all its sources."""
SOURCE_KEYS = {
    "kind", "event_type", "order_by", "currency", "amount_means", "default_reason",
    "order_id_field", "approve_restores", "references", "absent", "prices", "enabled", "expected_by",
    "possible_duplicates", "thresholds",
}  # fmt: skip


def source_from(name: str, body: Mapping[str, Any], zone: str) -> Source:
    basis = body.get("basis", sender_of(body.get("kind", "")).basis)
    return Source(
        name=name,
        channel=Channel(body["channel"]),
        namespace=body.get("reference_namespace", name),
        time_zone=body.get("time_zone", zone),
        basis=basis,
        excess=body.get("excess", "clamp" if basis == "order_total" else "refuse"),
        mapping=MappingProxyType(dict(body.get("mapping", {}))),
        options=MappingProxyType(dict(body.get("options", {}))),
        **{key: body[key] for key in SOURCE_KEYS & body.keys()},
    )
