"""Actions found by the indexes: by when they lock, or by partner and month; page by page, at a known cost.

The lock index holds what is not final; a partner's index holds everything of that partner.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

from retour.api import views
from retour.api.calls import Call, Refused, bad_query
from retour.api.views import Document, Reader
from retour.domain.actions.action import Action, State
from retour.domain.actions.decide import Head, Order
from retour.domain.calendar import add_months, local_day, start_of_day
from retour.domain.program import Program
from retour.domain.times import instant, text
from retour.store.ledger import TableLedger
from retour.wiring import Hub

HEADS_MAX = 300
"""Actions looked at for one page of a list."""
LOOKED_MAX = 3_000
"""Actions looked at for one act on all that match."""
MONTHS_BACK = 24
"""Before a program's first version: an action may have happened before anybody reported it here."""
NEVER = "9999-12-31"
BYTES_MAX = 2_000
NAMES = ("state", "partner", "event_type", "order_id", "locks_after", "locks_before")
INDEXED = (State.PENDING, State.APPROVED)
"""States in which no action is final, so that the lock index has all of them."""

Chosen = tuple[Order, Action, Head]
Seen = tuple[str, str, str, str]
"""What an index says of an action: its partition there, its sort key, its order key and its id."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Locks from an instant on, and before another, in UTC; what is empty holds for all."""

    state: str | None = None
    partner: str | None = None
    event_type: str | None = None
    order_id: str | None = None
    locks_after: str | None = None
    locks_before: str | None = None

    @property
    def is_indexed(self) -> bool:
        return bool(self.partner or self.locks_after or self.locks_before or self.state in INDEXED)

    def fits(self, action: Action, head: Head, now: datetime) -> bool:
        locks_at = text(head.locks_at) if head.locks_at else ""
        return (
            self.state in (None, head.state(now))
            and self.partner in (None, head.standing.partner)
            and self.event_type in (None, action.event_type)
            and (self.locks_after is None or (locks_at or NEVER) >= self.locks_after)
            and (self.locks_before is None or ("" < locks_at < self.locks_before))
        )


def filter_of(given: Mapping[str, Any], opened: Program) -> Filter:
    unknown = next((name for name in given if name not in NAMES), None)
    if unknown is not None:
        detail = f"`{str(unknown)[:80]}` is no filter; right are: {', '.join(NAMES)}."
        raise Refused(422, "UNKNOWN_FIELD", "Filter not known", detail)
    for name, value in given.items():
        if not isinstance(value, str):
            raise bad_query(name, str(value), "a text")
    state = given.get("state")
    if state is not None and state not in tuple(State):
        raise bad_query("state", state, " or ".join(State))
    return Filter(
        **{name: given.get(name) for name in ("state", "partner", "event_type", "order_id")},
        locks_after=moment(given, "locks_after", opened),
        locks_before=moment(given, "locks_before", opened),
    )


def moment(given: Mapping[str, str], name: str, opened: Program) -> str | None:
    """A day of the program's time zone means its first instant."""
    value = given.get(name)
    if value is None:
        return None
    try:
        if len(value) == len("2026-11-21"):
            return text(start_of_day(date.fromisoformat(value), 0, opened.time_zone))
        return text(instant(value))
    except (ValueError, OverflowError):
        raise bad_query(name, value, "2026-11-21 or 2026-11-21T09:30:00+01:00") from None


# Found


def page(hub: Hub, reader: Reader, call: Call, filter_: Filter) -> Document:
    """So many actions as were asked for, or as could be looked at; how far it looked, and where to go on."""
    seal = partial(sealed, hub, reader.program, filter_)
    items: list[Document] = []
    looked, last, limit = 0, None, call.limit()
    start = opened_cursor(call, seal)
    for seen in candidates(hub, reader, filter_, start):
        looked, last = looked + 1, seen
        found = looked_up(reader, seen)
        if found and filter_.fits(found[1], found[2], reader.now):
            items.append(views.action_line(found[1], found[2], reader.program, reader.now))
        if len(items) == limit or looked == HEADS_MAX:
            break
    else:
        last = None
    return {
        "items": items,
        "next": seal(last[:2]) if last else None,
        "looked": {
            "actions": looked,
            "through": last[0].partition("#")[0] if last else None,
            "by": "partner" if filter_.partner else "lock",
            "final": bool(filter_.partner),
        },
    }


def found(hub: Hub, reader: Reader, filter_: Filter) -> Iterator[Chosen]:
    """All that match, one after the other; final ones only of a partner: nothing changes those any more."""
    if filter_.order_id is not None:
        order = reader.order_named(filter_.order_id)
        heads = [(order, action, order.heads.get(action.id)) for action in order.actions]
        yield from ((o, a, h) for o, a, h in heads if h is not None and filter_.fits(a, h, reader.now))
        return
    for looked, seen in enumerate(candidates(hub, reader, filter_, None)):
        if looked == LOOKED_MAX:
            detail = f"More than {LOOKED_MAX} actions would have to be looked at; say a narrower filter."
            raise Refused(422, "FILTER_TOO_WIDE", "Filter too wide", detail)
        chosen = looked_up(reader, seen)
        if chosen and filter_.fits(chosen[1], chosen[2], reader.now):
            yield chosen


def looked_up(reader: Reader, seen: Seen) -> Chosen | None:
    order = reader.order(seen[2])
    action, head = order.action(seen[3]), order.heads.get(seen[3])
    return (order, action, head) if action is not None and head is not None else None


def candidates(hub: Hub, reader: Reader, filter_: Filter, start: tuple[str, str] | None) -> Iterator[Seen]:
    """What the fitting index holds, from a place in it on."""
    ledger: TableLedger = hub.ledger(reader.program)
    if filter_.partner:
        names: Iterator[str] = months(hub, reader)
    else:
        names = lock_partitions(ledger, filter_)
    for name in names:
        if start and (name > start[0] if filter_.partner else name < start[0]):
            continue
        after = start[1] if start and name == start[0] else ""
        lock_day, _, event_day = name.partition("#")
        rows = (
            ledger.heads_by_partner(filter_.partner, name, after)
            if filter_.partner
            else ledger.heads_by_lock(lock_day, event_day, after)
        )
        for order_key, action, sort in rows:
            yield name, sort, order_key, action


def lock_partitions(ledger: TableLedger, filter_: Filter) -> Iterator[str]:
    last = (filter_.locks_before or NEVER)[:10]
    for partition in ledger.lock_partitions(last):
        if filter_.locks_after is None or partition.lock_day >= filter_.locks_after[:10]:
            yield f"{partition.lock_day}#{partition.event_day}"


def months(hub: Hub, reader: Reader) -> Iterator[str]:
    """Event months, newest first."""
    first = instant(hub.programs.versions(reader.program.id)[-1].recorded_at)
    floor = add_months(local_day(first, "UTC").replace(day=1), -MONTHS_BACK)
    month = local_day(reader.now, "UTC").replace(day=1)
    while month >= floor:
        yield month.isoformat()[:7]
        month = add_months(month, -1)


# Cursors


def sealed(hub: Hub, program: Program, filter_: Filter, place: tuple[str, str]) -> str:
    """A place in a list, signed together with the list it is of, so that it means nothing anywhere else."""
    body = base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
    said = "\0".join((program.id, json.dumps(asdict(filter_), sort_keys=True), body))
    mark = hmac.new(secret(hub, program), said.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]
    return f"{body}.{mark}"


def secret(hub: Hub, program: Program) -> bytes:
    """What signs the cursors of a program; made when first needed."""
    state = hub.state(program.id, "lists.cursor")
    kept = state.get("key")
    if kept is None:
        state.claim("key", {"key": secrets.token_hex(32)})
        kept = state.get("key")
    assert kept is not None
    return bytes.fromhex(kept["key"])


def opened_cursor(call: Call, seal: Any) -> tuple[str, str] | None:
    """The place a cursor stands for; one that was not given by this very list is refused."""
    given = call.query.get("cursor")
    if given is None:
        return None
    try:
        body = given.partition(".")[0]
        place = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        found = (str(place[0]), str(place[1]))
        if len(given) <= BYTES_MAX and hmac.compare_digest(seal(found).encode(), given.encode()):
            return found
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        pass
    raise bad_query("cursor", given, "the `next` of the page before, of the same list")
