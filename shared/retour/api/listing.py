"""Actions found by the indexes: by when they lock, or by partner and month; page by page, at a known cost.

The lock index holds what is not final; a partner's index holds everything of that partner. Final actions of all
partners are found by the months that the locker marked.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import unquote

from retour.api import documents
from retour.api.calls import Call, Refused, bad_query, know_fields
from retour.api.documents import Document
from retour.api.reading import Reader, is_key
from retour.domain.actions.action import Action, State
from retour.domain.actions.order import Head, Order
from retour.domain.actions.outcome import Outcome
from retour.domain.calendar import add_months, local_day, start_of_day
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.domain.times import instant, text
from retour.store import bulk
from retour.store.ledger import LockDay, TableLedger
from retour.wiring import Hub

HEADS_MAX = 300
"""Actions looked at for one page of a list, and the most that can be sorted by what no index knows."""
LOOKED_MAX = 3_000
"""Actions looked at, with all their records, for one file of all that match."""
LOOKED_AT_ONCE = 2_000
HEADS_AT_ONCE = 50
PLACES_MAX = 60
"""Partitions of an index looked into for one page of a list."""
MATCHED_AMONG = 40_000
"""Heads looked at for one act on all that match."""
MONTHS_BACK = 24
"""Before a program's first version: an action may have happened before anybody reported it here."""
NEVER = "9999-12-31"
BYTES_MAX = 2_000
NAMED = ("state", "partner", "event_type", "promo_code")
"""Of these a filter says the one that is meant, or those that are not: `not_partner`."""
NAMES = (*NAMED, *(f"not_{name}" for name in NAMED), "order_id", "locks_after", "locks_before")
OPEN = (State.PENDING, State.APPROVED)
MAYBE_FINAL = (State.LOCKED, State.REVERSED)
"""States in which an action may be final, and so be in no lock index."""
FINAL = "~"
"""Before the name of a partner month among those of lock partitions: what is final follows what is not."""
SORTS = ("lock", "-lock", "event", "-event")
"""What the lock index can be read by: the lock, or the UTC day of the event; `-` the last first."""

Chosen = tuple[Order, Action, Head]
Seen = tuple[str, str, str, str]
"""What an index says of an action: its partition there, its sort key, its order key and its id."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Locks from an instant on, and before another, in UTC; what is empty holds for all.

    `sort` is one of SORTS; a partner's actions come by event month and are not sorted otherwise.
    """

    state: str | None = None
    partner: str | None = None
    event_type: str | None = None
    promo_code: str | None = None
    order_id: str | None = None
    locks_after: str | None = None
    locks_before: str | None = None
    not_state: frozenset[str] = frozenset()
    not_partner: frozenset[str] = frozenset()
    not_event_type: frozenset[str] = frozenset()
    not_promo_code: frozenset[str] = frozenset()
    sort: str = "lock"

    @property
    def is_indexed(self) -> bool:
        return bool(self.partner or self.locks_after or self.locks_before or self.state)

    def locks_from(self, now: datetime) -> str:
        """No lock before this can be of what is meant: what is locked is neither pending nor approved."""
        return max(self.locks_after or "", text(now) if self.state in OPEN else "")

    @property
    def takes_final(self) -> bool:
        """Whether final ones of all partners are looked at too."""
        return self.partner is None and self.state in MAYBE_FINAL

    def fits(self, action: Action, head: Head, now: datetime) -> bool:
        return self.takes(action, head.state(now), head.standing.partner, head.locks_at)

    def takes(self, action: Action, state: str, partner: str, locks_at: datetime | None) -> bool:
        """Whether an action is meant, by what its head says of it."""
        return self.takes_line(
            {
                "state": state,
                "partner": partner,
                "event_type": action.event_type,
                "promo_code": action.promo_code,
                "locks_at": text(locks_at) if locks_at else None,
            }
        )

    def takes_line(self, line: Document) -> bool:
        """The same of an action as lists show it."""
        locks_at = line["locks_at"] or NEVER
        return (
            all(getattr(self, name) in (None, line[name]) for name in NAMED)
            and all(line[name] not in getattr(self, f"not_{name}") for name in NAMED)
            and (self.locks_after is None or locks_at >= self.locks_after)
            and (self.locks_before is None or locks_at < self.locks_before)
        )


def filter_of(given: Mapping[str, Any], opened: Program, sort: str = "lock") -> Filter:
    know_fields(given, NAMES)
    for name, value in given.items():
        if not isinstance(value, str):
            raise bad_query(name, str(value), "text")
    state = given.get("state")
    if state is not None and state not in tuple(State):
        raise bad_query("state", state, "word", known=", ".join(State))
    if sort not in SORTS:
        raise bad_query("sort", sort, "word", known=", ".join(SORTS))
    return Filter(
        state=state,
        partner=given.get("partner"),
        event_type=given.get("event_type"),
        promo_code=given.get("promo_code"),
        order_id=given.get("order_id"),
        not_state=several(given.get("not_state")),
        not_partner=several(given.get("not_partner")),
        not_event_type=several(given.get("not_event_type")),
        not_promo_code=several(given.get("not_promo_code")),
        locks_after=moment(given, "locks_after", opened),
        locks_before=moment(given, "locks_before", opened),
        sort=sort,
    )


def several(given: str | None) -> frozenset[str]:
    """Values with commas between them; a comma of a value itself is written %2C."""
    return frozenset(unquote(value) for value in (given or "").split(",") if value)


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
        raise bad_query(name, value, "moment") from None


# Found


def page(
    hub: Hub, reader: Reader, call: Call, filter_: Filter, also: Callable[[Chosen], bool] = lambda _: True
) -> Document:
    """So many actions as were asked for, or as could be looked at; how far it looked, and where to go on.

    Heads are looked at in batches; with all their records are read only those that are shown.
    """
    seal = partial(sealed, hub, reader.program, filter_)
    items: list[Document] = []
    looked, last, limit = 0, None, call.limit()
    places: set[str] = set()
    ledger, start = hub.ledger(reader.program), opened_cursor(call, seal)
    for some in bulk.batched(candidates(hub, reader, filter_, start, final=filter_.takes_final), HEADS_AT_ONCE):
        meant = fitting(ledger, reader, filter_, some)
        places |= {seen[0] for seen in some}
        for seen in some:
            looked, last = looked + 1, seen
            found = looked_up(reader, seen) if seen[2:] in meant else None
            if found and is_of_place(seen, found[2]) and filter_.fits(found[1], found[2], reader.now) and also(found):
                items.append(line(reader, found))
            if len(items) == limit:
                break
        if len(items) == limit or looked >= HEADS_MAX or len(places) >= PLACES_MAX:
            break
    else:
        last = None
    return {
        "items": items,
        "next": seal(last[:2]) if last else None,
        "looked": {
            "actions": looked,
            "through": last[0].removeprefix(FINAL).partition("#")[0] if last else None,
            "by": "partner" if filter_.partner else filter_.sort.removeprefix("-"),
            "final": bool(filter_.partner) or filter_.takes_final,
        },
    }


def fitting(ledger: TableLedger, reader: Reader, filter_: Filter, some: Sequence[Seen]) -> set[tuple[str, str]]:
    """Those of these places that a filter means, by what their heads say."""
    return {
        (one.action.order_key, one.action.id)
        for one in bulk.listed(ledger, [(order_key, action) for _, _, order_key, action in some])
        if filter_.takes(one.action, one.state(reader.now), one.partner, one.locks_at)
    }


def is_of_place(seen: Seen, head: Head) -> bool:
    """Whether an action is to be shown where it was found: among the final ones those that are not, are not."""
    return not seen[0].startswith(FINAL) or head.final is not None


def line(reader: Reader, chosen: Chosen) -> Document:
    """An action as lists show it, with the last that changed it."""
    order, action, head = chosen
    return {
        **documents.action_line(action, head, reader.program, reader.now),
        "last_change": last_change(order, head),
    }


def last_change(order: Order, head: Head) -> Document | None:
    for entry in reversed(head.log):
        record = order.record(entry.id) if entry.outcome is Outcome.APPLIED else None
        if record is not None:
            return {
                "id": record.public_id,
                "change": record.verb,
                "reason": record.reason,
                "disposition": record.disposition,
                "channel": record.channel.value,
                "applied_at": text(entry.applied_at),
            }
    return None


def few(hub: Hub, reader: Reader, filter_: Filter) -> list[Document] | None:
    """All that match, by what their heads say, to be sorted by that; None where they would be too many to look at."""
    every = list(islice(candidates(hub, reader, filter_, None, final=filter_.takes_final), HEADS_MAX + 1))
    if len(every) > HEADS_MAX:
        return None
    listed = bulk.listed(hub.ledger(reader.program), [seen[2:] for seen in every])
    lines = [head_line(one, reader.program, reader.now) for one in listed]
    return [line for line in lines if filter_.takes_line(line)]


def head_line(one: bulk.Listed, program: Program, now: datetime) -> Document:
    """What lists sort by, without the action's records."""
    action = one.action
    return {
        "id": action.id,
        "order_id": action.order_id,
        "event_type": action.event_type,
        "partner": one.partner,
        "event_time": text(action.event_time),
        "reported_at": text(action.reported_at),
        "state": one.state(now).value,
        "amount": to_text(one.amount, action.currency),
        "payout": to_text(one.payout, program.currency),
        "locks_at": text(one.locks_at) if one.locks_at else None,
        "contract": one.contract,
        "changes": one.changes,
        "changed_at": text(one.changed_at) if one.changed_at else None,
        "promo_code": action.promo_code,
        "customer_status": action.customer_status,
        "country": action.country,
        "payment_method": action.payment_method,
        "place": (action.order_key, action.id),
    }


def lines_at(reader: Reader, places: Iterable[tuple[str, str]]) -> list[Document]:
    """The whole lines of a few actions, by order key and id."""
    chosen = (looked_up(reader, ("", "", *place)) for place in places)
    return [line(reader, one) for one in chosen if one is not None]


def found(hub: Hub, reader: Reader, filter_: Filter) -> Iterator[Chosen]:
    """All that match, one after the other; final ones only of a partner: nothing changes those any more."""
    if filter_.order_id is not None:
        order = reader.order_named(filter_.order_id)
        heads = [(order, action, order.heads.get(action.id)) for action in order.actions]
        yield from ((o, a, h) for o, a, h in heads if h is not None and filter_.fits(a, h, reader.now))
        return
    for looked, seen in enumerate(candidates(hub, reader, filter_, None)):
        if looked == LOOKED_MAX:
            raise too_wide(LOOKED_MAX)
        chosen = looked_up(reader, seen)
        if chosen and filter_.fits(chosen[1], chosen[2], reader.now):
            yield chosen


def matching(hub: Hub, reader: Reader, filter_: Filter, most: int) -> list[Action]:
    """All that match, up to so many, by what their heads say: no records are read, so that many can be looked at."""
    if filter_.order_id is not None:
        return [action for _, action, _ in found(hub, reader, filter_)]
    matched: list[Action] = []
    places = ((order_key, action) for _, _, order_key, action in candidates(hub, reader, filter_, None))
    for looked, some in enumerate(bulk.batched(places, LOOKED_AT_ONCE)):
        if looked * LOOKED_AT_ONCE >= MATCHED_AMONG:
            raise too_wide(MATCHED_AMONG)
        matched += [
            one.action
            for one in bulk.listed(hub.ledger(reader.program), some)
            if filter_.takes(one.action, one.state(reader.now), one.partner, one.locks_at)
        ]
        if len(matched) >= most:
            break
    return matched[:most]


def named(hub: Hub, reader: Reader, ids: Sequence[str]) -> dict[str, Action]:
    """Those of these action ids that were reported; no records are read."""
    ledger = hub.ledger(reader.program)
    known = bulk.order_keys(ledger, [one for one in ids if is_key(one)])
    places = [(key, one) for one in ids if is_key(one) for key in reader.homes(one, known.get(one))]
    there = {one.action.id: one.action for one in bulk.listed(ledger, places)}
    return {one: there[one] for one in dict.fromkeys(ids) if one in there}


def too_wide(most: int) -> Refused:
    return Refused("FILTER_TOO_WIDE", most=str(most))


def looked_up(reader: Reader, seen: Seen) -> Chosen | None:
    order = reader.order(seen[2])
    action, head = order.action(seen[3]), order.heads.get(seen[3])
    return (order, action, head) if action is not None and head is not None else None


def candidates(
    hub: Hub, reader: Reader, filter_: Filter, start: tuple[str, str] | None, *, final: bool = False
) -> Iterator[Seen]:
    """What the fitting index holds, from a place in it on; `final`: then what is final, of all partners."""
    ledger: TableLedger = hub.ledger(reader.program)
    if filter_.partner:
        names = ((f"{month}#{filter_.partner}", month) for month in months(hub, reader))
        yield from by_partner(ledger, names, start)
        return
    if not (start and start[0].startswith(FINAL)):
        yield from by_place(ledger, filter_, start, filter_.locks_from(reader.now))
        start = None
    if final:
        marked = ledger.final_months(start[0].removeprefix(FINAL) if start else "")
        yield from by_partner(ledger, ((name, f"{FINAL}{name}") for name in marked), start)


def by_partner(ledger: TableLedger, names: Iterable[tuple[str, str]], start: tuple[str, str] | None) -> Iterator[Seen]:
    """Partner months (`2026-11#partner`, and the name of that place), the newest first."""
    for name, place in names:
        if start and place > start[0]:
            continue
        month, _, partner = name.partition("#")
        for order_key, action, sort in ledger.heads_by_partner(partner, month, after_of(start, place)):
            yield place, sort, order_key, action


def by_place(ledger: TableLedger, filter_: Filter, start: tuple[str, str] | None, since: str) -> Iterator[Seen]:
    """Partitions of the lock index, in the order that is asked for; only what locks from a moment on."""
    backward = filter_.sort.startswith("-")
    place = SORTED_BY[filter_.sort.removeprefix("-")]
    for day in lock_days(ledger, filter_, since):
        name = day.name
        if start and name != start[0] and (place(name) > place(start[0])) == backward:
            continue
        after = after_of(start, name)
        from_now = since if not after and not backward and day.lock_day == since[:10] else ""
        for order_key, action, sort in ledger.heads_by_lock(day, after or from_now, backward=backward):
            yield name, sort, order_key, action


def after_of(start: tuple[str, str] | None, name: str) -> str:
    return start[1] if start and name == start[0] else ""


def by_lock(name: str) -> str:
    return name


def by_event(name: str) -> str:
    lock_day, _, event_day = name.partition("#")
    return f"{event_day}#{lock_day}"


SORTED_BY = {"lock": by_lock, "event": by_event}
"""How the partitions of the lock index follow each other: their names are `lock day#event day`."""


def lock_days(ledger: TableLedger, filter_: Filter, since: str) -> Iterator[LockDay]:
    last = (filter_.locks_before or NEVER)[:10]
    listed = (day for day in ledger.lock_days(last) if day.lock_day >= since[:10])
    if filter_.sort == "lock":
        yield from listed
    else:
        place = SORTED_BY[filter_.sort.removeprefix("-")]
        yield from sorted(listed, key=lambda day: place(day.name), reverse=filter_.sort.startswith("-"))


def months(hub: Hub, reader: Reader) -> Iterator[str]:
    """Event months, newest first."""
    first = hub.programs.first_recorded_at(reader.program.id)
    floor = add_months(local_day(first, "UTC").replace(day=1), -MONTHS_BACK)
    month = local_day(reader.now, "UTC").replace(day=1)
    while month >= floor:
        yield month.isoformat()[:7]
        month = add_months(month, -1)


# Cursors


def sealed(hub: Hub, program: Program, filter_: Filter, place: tuple[str, str]) -> str:
    """A place in a list, signed together with the list it is of, so that it means nothing anywhere else."""
    body = base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
    said = "\0".join((program.id, json.dumps(asdict(filter_), sort_keys=True, default=sorted), body))
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
    raise bad_query("cursor", given, "cursor_of_list")
