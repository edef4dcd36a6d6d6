"""A program as its merchant wrote it: event types, sources, contracts. Its document's shape is program.schema.json."""

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
    Salesforce ...), as the schema allows it. `references`: `once`, or `restate` where a reference is a subject that is
    told anew each time. `absent`: `keep`, or `nothing_taken` where each file lists all that is taken. `prices`: `net`
    or `gross`, as its program's actions are reported.
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
    """`late_orders` SUBMISSION: an order that is reported late counts from its report, as impact.com does.

    `dispositions` are the merchant's own codes: each may move the status its partner sees and change the action.
    `returns`: for how long returns can be reported, in days (`domain.funding.schedule.Returns`); empty: not said.
    """

    name: str
    repeated_orders: bool = False
    parent: str | None = None
    late_orders: str = "event"
    dispositions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    returns: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderKeyRule:
    """How a program writes its order ids; the same for actions and modifications (spec 4)."""

    strip_prefix: str = ""
    fold_case: bool = False
    pad: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One version of a program. `contracts` holds every contract version ever recorded, oldest first; `lists` are those
    that were uploaded, by name, with the hash of their content."""

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
        """A source as the document declares it; else one of which nothing is declared.

        Retour's own are such: people's decisions, and calls where there is no source for them. So is one that a later
        version of the program no longer has.
        """
        own = Source(name=name, channel=channel, namespace=name, time_zone=self.time_zone)
        return self.sources.get(name, own)

    def earliest_lock_reached(self, decided_at: datetime) -> datetime:
        """Which locks a decision on what is held still reaches: those after this moment."""
        return decided_at - timedelta(hours=self.hold_at_lock_hours)

    def rate(self, currency: str, day: date, delivered: Sequence[Rate] = ()) -> Decimal | None:
        """What one unit of a currency is in the program's on a day; None: not known.

        Of one day's rates a delivered one goes before the one that the document declares.
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
    """The program that a document (valid against program.schema.json) describes."""
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
"""What a program may say once for all its sources."""
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
