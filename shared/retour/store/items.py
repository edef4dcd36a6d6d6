"""Convert domain values to DynamoDB items and back.

Stored items are read for years: add keys, never change the meaning of one.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from retour.domain.actions.action import Action, Line
from retour.domain.actions.codes import code_numbers, codes_by_number
from retour.domain.actions.lines import LineBalance
from retour.domain.actions.modification import (
    VERBS,
    Approve,
    Change,
    Discard,
    Modification,
    Price,
    Provenance,
    RaiseLimit,
    Reattribute,
    Refold,
    Release,
    Reprice,
    Restore,
    Reverse,
    SetQuantity,
    SetStatus,
    SetTotal,
    TakeBack,
    Undo,
    Version,
    parse_version,
    receipt_version,
)
from retour.domain.actions.order import ActionHead, BookedState, LogEntry
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.state import UNASSIGNED_STATE
from retour.domain.contracts.contract import Contract, contract_of
from retour.domain.contracts.named_list import Entries
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.times import format_instant, parse_instant

Item = dict[str, Any]

FORMAT = 2
"""The highest document format (`format`). Items of format 1 omit the field to save bytes in every record.

2: program versions store their contract versions in separate items.
"""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OUTCOMES = tuple(Outcome)
ENTRY_STRUCT = struct.Struct(">12sBB6s5s5sH")
"""32 bytes: id, outcome, code number, applied_at in ms, amount and payout in minor units, contract number.

The highest bit of the contract number says whether the action is reversed after the entry.
"""
REVERSED_BIT = 0x8000
NO_LOCK_DAY = "9999-12-31"
"""The lock day of an action whose lock is not fixed yet."""


def s(value: str) -> Item:
    return {"S": value}


def n(value: int) -> Item:
    return {"N": str(value)}


def json_attribute(value: Mapping[str, Any]) -> Item:
    """An attribute with compact JSON, without blank values: half the size of a nested map, a tenth of the work."""
    return s(f"{{{json_members(value)}}}")


def json_members(value: Mapping[str, Any]) -> str:
    """The members of that JSON object, without its braces."""
    said = {key: inner for key, inner in value.items() if inner or not is_blank(inner)}
    return ",".join([f'"{key}":{quote_json(v) if v.__class__ is str else encode_json(v)}' for key, v in said.items()])


quote_json = encode_basestring
encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def is_blank(value: Any) -> bool:
    """Whether a value is empty. Zero is not."""
    return not value and (value is None or value is False or value in ("", [], {}))


def read_json(item: Mapping[str, Any], name: str = "doc") -> dict[str, Any]:
    """Parse an item's JSON attribute. Raises NewerFormatError."""
    return require_known_format(json.loads(item[name]["S"]))


class NewerFormatError(Exception):
    """A document written by a newer release, which this release may misread."""


def require_known_format(doc: dict[str, Any]) -> dict[str, Any]:
    """Return the document if its format is known; no `format` means 1. Raises NewerFormatError."""
    number = doc.get("format", 1)
    if isinstance(number, int) and number > FORMAT:
        raise NewerFormatError(f"a document has format {number}; this release reads formats up to {FORMAT}")
    return doc


# Modifications


def modification_sort_key(modification: Modification) -> str:
    attempt = f"#{modification.attempt}" if modification.attempt else ""
    return f"M#{modification.identity}#{modification.content}{attempt}"


def modification_item(modification: Modification) -> Item:
    m, p = modification, modification.provenance
    alike = (m.program, m.channel, m.source, m.namespace, p.delivery, p.object, p.sha256, p.sender, m.received_at)
    own = json_members(
        {
            "ref": m.reference,
            "at": p.place,
            "ord": m.order_key,
            "act": m.action_id,
            "typ": m.event_type,
            "sku": m.sku,
            "lin": m.line,
            "chg": change_parts(m.change),
            "cur": m.currency,
            "rsn": m.reason,
            "dsp": m.disposition,
            "nte": m.note,
            "occ": format_instant(m.occurred_at) if m.occurred_at else None,
            "srt": format_instant(m.orders_by) if m.orders_by != m.received_at else None,
            "cts": format_instant(m.counts_after) if m.counts_after else None,
            "sub": m.subject,
            "ver": None if m.version is None or m.is_restatement else str(m.version),
            "prt": m.part_of,
            "nms": list(m.names),
            "prc": [[p.currency, str(p.amount), str(p.of_total) if p.of_total else None] for p in m.prices],
        }
    )
    return {"SK": s(modification_sort_key(m)), "doc": s(f"{{{_of_delivery(*alike, *m.doubles.items())},{own}}}")}


@lru_cache(256)
def _of_delivery(
    program: str,
    channel: Channel,
    source: str,
    namespace: str,
    delivery: str,
    name: str,
    sha256: str,
    sender: str,
    received_at: datetime,
    *doubles: tuple[str, str],
) -> str:
    """The JSON members shared by all records of a delivery, encoded once."""
    return json_members(
        {
            "prg": program,
            "ch": channel,
            "src": source,
            "ns": namespace if namespace != source else "",
            "dlv": delivery,
            "obj": name,
            "sha": sha256,
            "by": sender,
            "rcv": format_instant(received_at),
            "dbl": dict(doubles),
        }
    )


def modification_from(item: Mapping[str, Any]) -> Modification:
    _, identity, content, *attempt = item["SK"]["S"].split("#")
    doc = read_json(item)
    received_at = parse_instant(doc["rcv"])
    return Modification(
        identity=identity,
        content=content,
        attempt=attempt[0] if attempt else "",
        program=doc["prg"],
        channel=Channel(doc["ch"]),
        source=doc["src"],
        namespace=doc.get("ns", doc["src"]),
        reference=doc.get("ref"),
        provenance=Provenance(doc["dlv"], doc.get("obj", ""), doc.get("at", ""), doc.get("sha", ""), doc.get("by", "")),
        order_key=doc.get("ord"),
        action_id=doc.get("act"),
        event_type=doc.get("typ"),
        sku=doc.get("sku"),
        line=doc.get("lin"),
        change=change_from(doc["chg"]),
        currency=doc.get("cur"),
        reason=doc.get("rsn"),
        disposition=doc.get("dsp"),
        note=doc.get("nte"),
        occurred_at=parse_instant(doc["occ"]) if "occ" in doc else None,
        received_at=received_at,
        orders_by=parse_instant(doc["srt"]) if "srt" in doc else received_at,
        doubles=doc.get("dbl", {}),
        counts_after=parse_instant(doc["cts"]) if "cts" in doc else None,
        subject=doc.get("sub"),
        version=version_from(doc, received_at),
        prices=tuple(price_from(*price) for price in doc.get("prc", ())),
        part_of=doc.get("prt"),
        names=tuple(doc.get("nms", ())),
    )


def version_from(doc: Mapping[str, Any], received_at: datetime) -> Version | None:
    if "sub" not in doc:
        return None
    return parse_version(doc["ver"], received_at) if "ver" in doc else receipt_version(received_at, doc["dlv"])


def price_from(currency: str, amount: str, of_total: str | None) -> Price:
    return Price(currency, Decimal(amount), Decimal(of_total) if of_total else None)


def change_parts(change: Change) -> list[Any]:
    """The verb and its values in order, without trailing empty values."""
    values = [getattr(change, name) for name in change.__dataclass_fields__]
    parts = [VERBS[type(change)], *(str(v) if isinstance(v, Decimal) else v for v in values)]
    while is_blank(parts[-1]):
        parts.pop()
    return parts


def change_from(parts: Sequence[Any]) -> Change:
    verb, *values = parts
    match verb:
        case "reverse":
            return Reverse()
        case "set_total":
            return SetTotal(Decimal(values[0]))
        case "set_quantity":
            return SetQuantity(values[0], Decimal(values[1]) if len(values) > 1 else None)
        case "take_back":
            amount, quantity, of_total, clamp, total_of = [*values, None, None, None, None, None][:5]
            return TakeBack(
                Decimal(amount) if amount is not None else None,
                quantity,
                Decimal(of_total) if of_total is not None else None,
                bool(clamp),
                total_of,
            )
        case "approve":
            return Approve(bool(values and values[0]))
        case "restore":
            return Restore()
        case "set_status":
            return SetStatus(values[0])
        case "reattribute":
            return Reattribute(values[0])
        case "undo":
            return Undo(values[0])
        case "reprice":
            return Reprice()
        case "refold":
            return Refold()
        case "raise_limit":
            return RaiseLimit(values[0])
        case "release":
            return Release(values[0])
        case "discard":
            return Discard(values[0])
    raise ValueError(f"no change is called {verb!r}")


# Actions and their heads


def action_item(action: Action) -> Item:
    a = action
    return {
        "SK": s(f"C#{a.id}"),
        "doc": json_attribute(
            {
                "prg": a.program,
                "ord": a.order_key,
                "oid": a.order_id if a.order_id != a.order_key else "",
                "typ": a.event_type,
                "ptn": a.partner,
                "evt": format_instant(a.event_time),
                "cur": a.currency,
                "lns": [[line.line, line.sku, line.category, line.quantity, line.amount] for line in a.lines],
                "rpt": format_instant(a.reported_at),
                "dlv": a.delivery,
                "lck": format_instant(a.locks_at) if a.locks_at else None,
                "con": a.contract,
                "fx": str(a.rate) if a.rate != 1 else None,
                "prm": a.promo_code,
                "cst": a.customer_status,
                "cty": a.country,
                "pay": a.payment_method,
                "par": a.parent,
            }
        ),
    }


def action_from(item: Mapping[str, Any]) -> Action:
    doc = read_json(item)
    return Action(
        id=item["SK"]["S"][2:],
        program=doc["prg"],
        order_key=doc["ord"],
        order_id=doc.get("oid", doc["ord"]),
        event_type=doc["typ"],
        partner=doc["ptn"],
        event_time=parse_instant(doc["evt"]),
        currency=doc["cur"],
        lines=tuple(Line(*line) for line in doc["lns"]),
        reported_at=parse_instant(doc["rpt"]),
        delivery=doc["dlv"],
        locks_at=parse_instant(doc["lck"]) if "lck" in doc else None,
        contract=doc["con"],
        rate=Decimal(doc.get("fx", 1)),
        promo_code=doc.get("prm"),
        customer_status=doc.get("cst"),
        country=doc.get("cty"),
        payment_method=doc.get("pay"),
        parent=doc.get("par"),
    )


def entry_bytes(entry: LogEntry) -> bytes:
    milliseconds = (entry.applied_at - EPOCH) // timedelta(milliseconds=1)
    return ENTRY_STRUCT.pack(
        bytes.fromhex(entry.id),
        OUTCOMES.index(entry.outcome),
        code_numbers().get(entry.code, 0),
        milliseconds.to_bytes(6, "big"),
        entry.amount.to_bytes(5, "big"),
        entry.payout.to_bytes(5, "big"),
        entry.contract | (REVERSED_BIT if entry.reversed else 0),
    )


def entries_from(packed: bytes) -> tuple[LogEntry, ...]:
    return tuple(
        LogEntry(
            id=id_.hex(),
            outcome=OUTCOMES[outcome],
            code=codes_by_number().get(code, ""),
            applied_at=EPOCH + timedelta(milliseconds=int.from_bytes(applied, "big")),
            amount=int.from_bytes(amount, "big"),
            payout=int.from_bytes(payout, "big"),
            contract=contract & ~REVERSED_BIT,
            reversed=bool(contract & REVERSED_BIT),
        )
        for id_, outcome, code, applied, amount, payout, contract in ENTRY_STRUCT.iter_unpack(packed)
    )


def head_item(head: ActionHead, action: Action | None) -> Item:
    """The head's item: what lists show without reading the records, and the unsealed end of the log.

    A final head has no lock index key, so the lock index holds only open actions, sorted by lock instant. Both index
    keys include the shard.
    """
    item: Item = {
        "SK": s(f"H#{head.action}"),
        "v": n(head.version),
        "log": {"B": b"".join(entry_bytes(entry) for entry in head.log[head.sealed :])},
    }
    if head.sealed:
        item["sealed"] = n(head.sealed)
    if action is None:
        return item
    standing = head.standing
    state = "R" if standing.is_reversed else "A" if standing.approved else "P"
    event_day = action.event_time.date().isoformat()
    locks_at = format_instant(head.locks_at) if head.locks_at else NO_LOCK_DAY
    item |= {
        "st": s(state),
        "am": n(standing.amount),
        "po": n(head.payout),
        "rs": s(",".join(f"{rest.amount}:{rest.quantity}" for rest in standing.rests)),
        "ch": n(head.changes),
        "cn": n(standing.contract),
        "ru": n(head.rules),
        "evt": s(format_instant(action.event_time)),
        "GSI2PK": s(f"P#{action.program}#{standing.partner}#{event_day[:7]}{shard_suffix(head.shard)}"),
        "GSI2SK": s(f"{locks_at}#{action.id}"),
    }
    if head.final:
        return item | {"fin": s(format_instant(head.final))}
    return item | {
        "GSI1PK": s(f"L#{action.program}#{lock_day_of(head)}#{event_day}{shard_suffix(head.shard)}"),
        "GSI1SK": s("#".join((locks_at, format_instant(action.event_time), action.id))),
    }


def shard_of(action_id: str, shards: int) -> int:
    """The action's index shard: a stable hash of its id."""
    return int.from_bytes(hashlib.sha256(action_id.encode("utf-8", "surrogatepass")).digest()[:2], "big") % shards


def shard_suffix(shard: int) -> str:
    """The shard's suffix of an index key. Shard 0 has none, so that adding shards moves no existing key."""
    return f"#{shard}" if shard else ""


def partner_month(key: str) -> tuple[str, str, int]:
    """Partner, event month and shard from a partner index key such as `P#program#partner#2026-11#3`."""
    of_partner = key.split("#", 2)[2]
    partner, _, last = of_partner.rpartition("#")
    if len(last) == len("2026-11"):
        return partner, last, 0
    partner, _, month = partner.rpartition("#")
    return partner, month, int(last)


def lock_day_of(head: ActionHead) -> str:
    """The lock's UTC day as YYYY-MM-DD."""
    return head.locks_at.date().isoformat() if head.locks_at else NO_LOCK_DAY


def head_from(item: Mapping[str, Any], pages: Sequence[Mapping[str, Any]]) -> ActionHead:
    """The head without its state, which `restore_state` recomputes from the records."""
    sealed = int(item["sealed"]["N"]) if "sealed" in item else 0
    packed = b"".join(page["log"]["B"] for page in pages)[: sealed * ENTRY_STRUCT.size] + item["log"]["B"]
    return ActionHead(
        action=item["SK"]["S"][2:],
        version=int(item["v"]["N"]),
        standing=UNASSIGNED_STATE,
        payout=int(item["po"]["N"]) if "po" in item else 0,
        log=entries_from(packed),
        sealed=sealed,
        changes=int(item["ch"]["N"]) if "ch" in item else 0,
        final=parse_instant(item["fin"]["S"]) if "fin" in item else None,
        rules=int(item["ru"]["N"]) if "ru" in item else 1,
        booked=booked_state_from(item) if "rs" in item else None,
        shard=partner_month(item["GSI2PK"]["S"])[2] if "GSI2PK" in item else 0,
    )


def booked_state_from(item: Mapping[str, Any]) -> BookedState:
    """The action's state as saved with the head."""
    lines = (line.split(":") for line in item["rs"]["S"].split(","))
    locks = item["GSI2SK"]["S"].partition("#")[0]
    return BookedState(
        rests=tuple(LineBalance(int(amount), int(quantity)) for amount, quantity in lines),
        is_reversed=item["st"]["S"] == "R",
        is_approved=item["st"]["S"] == "A",
        contract=int(item["cn"]["N"]),
        locks_at=None if locks == NO_LOCK_DAY else parse_instant(locks),
    )


# Deliveries and contracts


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    d = delivery
    return {
        "id": d.id,
        "program": d.program,
        "channel": d.channel,
        "source": d.source,
        "kind": d.kind,
        "identity": d.identity,
        "received_at": format_instant(d.received_at),
        "sha256": d.sha256,
        "size": d.size,
        "name": d.name,
        "sender": d.sender,
        "held": d.held,
        "body_key": d.body_key,
        "facts": dict(d.facts),
        "reply": dict(d.reply),
    }


def delivery_from(doc: Mapping[str, Any]) -> Delivery:
    require_known_format(dict(doc))
    return Delivery(
        id=doc["id"],
        program=doc["program"],
        channel=Channel(doc["channel"]),
        source=doc.get("source", ""),
        kind=DeliveryKind(doc["kind"]),
        identity=doc["identity"],
        received_at=parse_instant(doc["received_at"]),
        sha256=doc.get("sha256", ""),
        size=doc.get("size", 0),
        name=doc.get("name", ""),
        sender=doc.get("sender", ""),
        held=doc.get("held", ""),
        body_key=doc.get("body_key", ""),
        facts=doc.get("facts", {}),
        reply=doc.get("reply", {}),
    )


def contract_document(contract: Contract) -> dict[str, Any]:
    c = contract
    return {
        "number": c.number,
        "name": c.name,
        "version": c.version,
        "recorded_at": format_instant(c.recorded_at),
        "time_zone": c.time_zone,
        "currency": c.currency,
        "body": dict(c.body),
        **({"groups": {name: sorted(members) for name, members in c.groups.items()}} if c.groups else {}),
        **({"lists": {name: entries.sha256 for name, entries in c.lists.items()}} if c.lists else {}),
    }


def contract_from(doc: Mapping[str, Any], list_of: Callable[[str], Entries]) -> Contract:
    """`list_of` returns a named list by its content hash."""
    return contract_of(
        doc["name"],
        doc["body"],
        time_zone=doc["time_zone"],
        currency=doc["currency"],
        recorded_at=parse_instant(doc["recorded_at"]),
        number=doc["number"],
        version=doc["version"],
        groups=doc.get("groups"),
        lists={name: list_of(sha256) for name, sha256 in doc.get("lists", {}).items()},
    )
