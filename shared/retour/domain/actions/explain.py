"""Rebuild the placeholder values of a code from stored data, so that its sentence can be shown years later."""

from collections.abc import Mapping
from datetime import datetime

from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.decide import possible_duplicates, possible_effects
from retour.domain.actions.lines import target_lines
from retour.domain.actions.make_good import affected_head
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import ActionHead, Order, target_record_id
from retour.domain.actions.replay import undo_blockers
from retour.domain.calendar import last_day_before, start_of_day
from retour.domain.money import exponent, to_text
from retour.domain.times import format_instant


def sentence_details(
    order: Order, head: ActionHead | None, record: Modification, waiting_days: int, zone: str
) -> Mapping[str, str]:
    """The values of all placeholders that sentences about a record may have."""
    known = {
        "order": record.order_key or record.action_id or next(iter(record.names), ""),
        "reference": record.reference or "",
        "received_at": format_instant(record.received_at),
        "zone": zone,
        "currency": record.currency or "",
        "change": record.verb,
        "waiting_days": str(waiting_days),
        "event_types": ", ".join(sorted({action.event_type for action in order.actions})),
        "amount": f"{amount:f}" if (amount := getattr(record.change, "amount", None)) is not None else "",
        "item": item_label(record),
        "named": target_record_id(record) or "",
    }
    head = affected_head(order, head, record) if head else None
    action = order.action(head.action) if head else None
    if action is None or head is None:
        return known
    return known | action_details(order, action, head, record) | lock_details(head.locks_at, zone)


def action_details(order: Order, action: Action, head: ActionHead, record: Modification) -> dict[str, str]:
    meant = target_lines(action, record)
    lines = meant if isinstance(meant, list) else range(len(action.lines))
    rests = head.standing.rests
    doubles = named_duplicates(order, action, head, record)
    return {
        "order": action.order_id,
        "event_type": action.event_type,
        "partner": head.standing.partner,
        "double": ", ".join(other.public_id for other in doubles),
        "double_batch": doubles[0].provenance.delivery if doubles else "",
        "blockers": ", ".join(undo_blockers(order, head, record)) if is_blocked(head, record) else "",
        "sale_currency": action.currency,
        "places": str(exponent(action.currency)),
        "items": ", ".join(dict.fromkeys(line.sku or line.line for line in action.lines)),
        "sale": f"{to_text(sum(action.lines[i].amount for i in lines), action.currency)} {action.currency}",
        "left": f"{to_text(sum(rests[i].amount for i in lines), action.currency)} {action.currency}",
        "quantity_sold": str(sum(action.lines[i].quantity for i in lines)),
        "quantity_left": str(sum(rests[i].quantity for i in lines)),
        "changes": f"{head.changes:,}",
        "limit": f"{head.standing.limit:,}",
    }


def lock_details(locks_at: datetime | None, zone: str) -> dict[str, str]:
    """The lock as shown to people: for a lock at midnight the last day for changes, otherwise the time."""
    if locks_at is None:
        return {"locks_at": ""}
    last = last_day_before(locks_at, zone)
    told = {"locks_at": format_instant(locks_at), "locked_day": last.isoformat()}
    return {**told, "case": "day"} if locks_at == start_of_day(last, 1, zone) else told


def named_duplicates(order: Order, action: Action, head: ActionHead, record: Modification) -> list[Modification]:
    """The records that a held one may repeat."""
    entry = head.last_entry(record.id)
    if entry is None or entry.code != Code.POSSIBLE_DUPLICATE:
        return []
    return possible_duplicates(order, head, record, possible_effects(action, head, record))


def is_blocked(head: ActionHead, record: Modification) -> bool:
    """Whether other records block this one, which is worth checking before searching them."""
    entry = head.last_entry(record.id)
    return entry is not None and entry.code in (Code.UNDO_BLOCKED, Code.LATER_CHANGES_STAND)


def item_label(record: Modification) -> str:
    if record.sku and record.line:
        return f"{record.sku} (line {record.line})"
    return record.sku or record.line or record.order_key or record.action_id or next(iter(record.names), "")
