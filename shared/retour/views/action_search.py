"""Find actions by index: by lock, or by partner and month. Paged, with bounded cost.

The lock index holds actions that are not final, a partner's index all of that partner. Final actions of all partners
are found by the months marked by the locker.
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

from retour.domain.actions.action import Action, LifecycleState
from retour.domain.actions.order import ActionHead, Order
from retour.domain.actions.outcome import Outcome
from retour.domain.calendar import add_months, local_day, start_of_day
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.domain.times import format_instant, parse_instant
from retour.errors import InvalidRequestError
from retour.ports import ReadPorts
from retour.store import bulk
from retour.store.ledger import LockDay, TableLedger
from retour.views import documents
from retour.views.documents import Document
from retour.views.ledger_reader import LedgerReader, is_key
from retour.views.parameters import bad_query, reject_unknown_fields
from retour.views.schemas import ActionLineDocument, LastChangeDocument

HEADS_MAX = 300
"""Maximum actions read per page, and for sorting by values without an index."""
EXPORT_SCAN_MAX = 3_000
"""Maximum actions read in full for an export."""
SCAN_CHUNK = 2_000
HEADS_AT_ONCE = 50
PARTITIONS_MAX = 60
"""Maximum index partitions read per page."""
MATCH_SCAN_MAX = 40_000
"""Maximum heads read for an act on all matches."""
MONTHS_BACK = 24
"""Months before a program's first version, since older actions may be reported."""
NEVER_LOCKS = "9999-12-31"
CURSOR_BYTES_MAX = 2_000
FILTER_FIELDS = ("state", "partner", "event_type", "promo_code")
"""Fields with a filter by value or, as `not_partner`, by exclusion."""
FILTER_NAMES = (*FILTER_FIELDS, *(f"not_{name}" for name in FILTER_FIELDS), "order_id", "locks_after", "locks_before")
OPEN_STATES = (LifecycleState.PENDING, LifecycleState.APPROVED)
MAYBE_FINAL_STATES = (LifecycleState.LOCKED, LifecycleState.REVERSED)
"""States in which an action may be final and so missing from the lock index."""
FINAL_PREFIX = "~"
"""Prefix of partner months in cursors: final actions sort after lock partitions."""
SORTS = ("lock", "-lock", "event", "-event")
"""Sort orders of the lock index: lock, or UTC event day; `-` is descending."""

FoundAction = tuple[Order, Action, ActionHead]
IndexEntry = tuple[str, str, str, str]
"""An index entry: partition, sort key, order key, action id."""


@dataclass(frozen=True, slots=True)
class ActionFilter:
    """A filter. Locks are in [from, before), in UTC; empty fields match all.

    `sort` is one of SORTS; a partner's actions are only sorted by event month. `open_only` excludes locked actions.
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
    open_only: bool = False

    @property
    def is_indexed(self) -> bool:
        return bool(self.partner or self.locks_after or self.locks_before or self.state)

    def earliest_lock(self, now: datetime) -> str:
        """The earliest lock that can match: pending and approved actions are not locked yet."""
        is_open = self.open_only or self.state in OPEN_STATES
        return max(self.locks_after or "", format_instant(now) if is_open else "")

    @property
    def includes_final(self) -> bool:
        """Whether final actions of all partners are included."""
        return self.partner is None and self.state in MAYBE_FINAL_STATES

    def matches(self, action: Action, head: ActionHead, now: datetime) -> bool:
        return self.matches_head(action, head.state(now), head.standing.partner, head.locks_at)

    def matches_head(self, action: Action, state: str, partner: str, locks_at: datetime | None) -> bool:
        """Whether an action matches, by the values of its head."""
        return self.matches_line(
            {
                "state": state,
                "partner": partner,
                "event_type": action.event_type,
                "promo_code": action.promo_code,
                "locks_at": format_instant(locks_at) if locks_at else None,
            }
        )

    def matches_line(self, line: Mapping[str, Any]) -> bool:
        """Whether an action's list document matches."""
        locks_at = line["locks_at"] or NEVER_LOCKS
        return (
            all(getattr(self, name) in (None, line[name]) for name in FILTER_FIELDS)
            and all(line[name] not in getattr(self, f"not_{name}") for name in FILTER_FIELDS)
            and (self.locks_after is None or locks_at >= self.locks_after)
            and (self.locks_before is None or locks_at < self.locks_before)
        )


def parse_filter(given: Mapping[str, Any], program: Program, sort: str = "lock") -> ActionFilter:
    reject_unknown_fields(given, FILTER_NAMES)
    for name, value in given.items():
        if not isinstance(value, str):
            raise bad_query(name, str(value), "text")
    state = given.get("state")
    if state is not None and state not in tuple(LifecycleState):
        raise bad_query("state", state, "word", known=", ".join(LifecycleState))
    if sort not in SORTS:
        raise bad_query("sort", sort, "word", known=", ".join(SORTS))
    return ActionFilter(
        state=state,
        partner=given.get("partner"),
        event_type=given.get("event_type"),
        promo_code=given.get("promo_code"),
        order_id=given.get("order_id"),
        not_state=split_values(given.get("not_state")),
        not_partner=split_values(given.get("not_partner")),
        not_event_type=split_values(given.get("not_event_type")),
        not_promo_code=split_values(given.get("not_promo_code")),
        locks_after=parse_moment(given, "locks_after", program),
        locks_before=parse_moment(given, "locks_before", program),
        sort=sort,
    )


def split_values(given: str | None) -> frozenset[str]:
    """Comma-separated values; %2C stands for a comma within a value."""
    return frozenset(unquote(value) for value in (given or "").split(",") if value)


def parse_moment(given: Mapping[str, str], name: str, program: Program) -> str | None:
    """Parse a time; a day means its first instant in the program's time zone."""
    value = given.get(name)
    if value is None:
        return None
    try:
        if len(value) == len("2026-11-21"):
            return format_instant(start_of_day(date.fromisoformat(value), 0, program.time_zone))
        return format_instant(parse_instant(value))
    except (ValueError, OverflowError):
        raise bad_query(name, value, "moment") from None


# Search


def page_of_actions(
    ports: ReadPorts,
    reader: LedgerReader,
    filter_: ActionFilter,
    limit: int,
    cursor: str | None = None,
    also: Callable[[FoundAction], bool] = lambda _: True,
) -> Document:
    """A page of actions, up to the limit or the scan limit, with its progress and next cursor.

    Heads are read in batches; only the actions shown are read in full.
    """
    seal = partial(sign_cursor, ports, reader.program, filter_)
    items: list[ActionLineDocument] = []
    looked, last = 0, None
    places: set[str] = set()
    ledger, start = ports.ledger(reader.program), verify_cursor(cursor, seal)
    for some in bulk.batched(candidates(ports, reader, filter_, start, final=filter_.includes_final), HEADS_AT_ONCE):
        meant = matching_keys(ledger, reader, filter_, some)
        places |= {seen[0] for seen in some}
        for seen in some:
            looked, last = looked + 1, seen
            found = load_action(reader, seen) if seen[2:] in meant else None
            if (
                found
                and is_shown_at(seen, found[2])
                and filter_.matches(found[1], found[2], reader.now)
                and also(found)
            ):
                items.append(line_with_last_change(reader, found))
            if len(items) == limit:
                break
        if len(items) == limit or looked >= HEADS_MAX or len(places) >= PARTITIONS_MAX:
            break
    else:
        last = None
    return {
        "items": items,
        "next": seal(last[:2]) if last else None,
        "looked": {
            "actions": looked,
            "through": last[0].removeprefix(FINAL_PREFIX).partition("#")[0] if last else None,
            "by": "partner" if filter_.partner else filter_.sort.removeprefix("-"),
            "final": bool(filter_.partner) or filter_.includes_final,
        },
    }


def matching_keys(
    ledger: TableLedger, reader: LedgerReader, filter_: ActionFilter, some: Sequence[IndexEntry]
) -> set[tuple[str, str]]:
    """The keys that match a filter by their heads."""
    return {
        (one.action.order_key, one.action.id)
        for one in bulk.load_listed_actions(ledger, [(order_key, action) for _, _, order_key, action in some])
        if filter_.matches_head(one.action, one.state(reader.now), one.partner, one.locks_at)
    }


def is_shown_at(seen: IndexEntry, head: ActionHead) -> bool:
    """Whether an action is shown at this index entry, so that none is shown both as open and as final."""
    return not seen[0].startswith(FINAL_PREFIX) or head.final is not None


def line_with_last_change(reader: LedgerReader, chosen: FoundAction) -> ActionLineDocument:
    """An action's list document with its last change."""
    order, action, head = chosen
    line = documents.action_line(action, head, reader.program, reader.now)
    line["last_change"] = last_change(order, head)
    return line


def last_change(order: Order, head: ActionHead) -> LastChangeDocument | None:
    for entry in reversed(head.log):
        record = order.record(entry.id) if entry.outcome is Outcome.APPLIED else None
        if record is not None:
            return {
                "id": record.public_id,
                "change": record.verb,
                "reason": record.reason,
                "disposition": record.disposition,
                "channel": record.channel.value,
                "applied_at": format_instant(entry.applied_at),
            }
    return None


def lines_if_few(ports: ReadPorts, reader: LedgerReader, filter_: ActionFilter) -> list[Document] | None:
    """All matches by their heads, for sorting; None if there are too many."""
    every = list(islice(candidates(ports, reader, filter_, None, final=filter_.includes_final), HEADS_MAX + 1))
    if len(every) > HEADS_MAX:
        return None
    listed = bulk.load_listed_actions(ports.ledger(reader.program), [seen[2:] for seen in every])
    lines = [head_line(one, reader.program, reader.now) for one in listed]
    return [line for line in lines if filter_.matches_line(line)]


def head_line(one: bulk.ListedAction, program: Program, now: datetime) -> Document:
    """The values used for sorting, without reading records."""
    action = one.action
    return {
        "id": action.id,
        "order_id": action.order_id,
        "event_type": action.event_type,
        "partner": one.partner,
        "event_time": format_instant(action.event_time),
        "reported_at": format_instant(action.reported_at),
        "state": one.state(now).value,
        "amount": to_text(one.amount, action.currency),
        "payout": to_text(one.payout, program.currency),
        "locks_at": format_instant(one.locks_at) if one.locks_at else None,
        "contract": one.contract,
        "changes": one.changes,
        "changed_at": format_instant(one.changed_at) if one.changed_at else None,
        "promo_code": action.promo_code,
        "customer_status": action.customer_status,
        "country": action.country,
        "payment_method": action.payment_method,
        "place": (action.order_key, action.id),
    }


def load_lines(reader: LedgerReader, places: Iterable[tuple[str, str]]) -> list[ActionLineDocument]:
    """The list documents of some actions by order key and id."""
    chosen = (load_action(reader, ("", "", *place)) for place in places)
    return [line_with_last_change(reader, one) for one in chosen if one is not None]


def find_actions(ports: ReadPorts, reader: LedgerReader, filter_: ActionFilter) -> Iterator[FoundAction]:
    """All matching actions; final ones only for a partner filter."""
    if filter_.order_id is not None:
        order = reader.order_by_id(filter_.order_id)
        heads = [(order, action, order.heads.get(action.id)) for action in order.actions]
        yield from ((o, a, h) for o, a, h in heads if h is not None and filter_.matches(a, h, reader.now))
        return
    for looked, seen in enumerate(candidates(ports, reader, filter_, None)):
        if looked == EXPORT_SCAN_MAX:
            raise filter_too_wide(EXPORT_SCAN_MAX)
        chosen = load_action(reader, seen)
        if chosen and filter_.matches(chosen[1], chosen[2], reader.now):
            yield chosen


def find_reported_actions(ports: ReadPorts, reader: LedgerReader, filter_: ActionFilter, most: int) -> list[Action]:
    """Up to `most` matching actions by their heads, without reading records."""
    if filter_.order_id is not None:
        return [action for _, action, _ in find_actions(ports, reader, filter_)]
    matched: list[Action] = []
    places = ((order_key, action) for _, _, order_key, action in candidates(ports, reader, filter_, None))
    for looked, some in enumerate(bulk.batched(places, SCAN_CHUNK)):
        if looked * SCAN_CHUNK >= MATCH_SCAN_MAX:
            raise filter_too_wide(MATCH_SCAN_MAX)
        matched += [
            one.action
            for one in bulk.load_listed_actions(ports.ledger(reader.program), some)
            if filter_.matches_head(one.action, one.state(reader.now), one.partner, one.locks_at)
        ]
        if len(matched) >= most:
            break
    return matched[:most]


def actions_by_id(ports: ReadPorts, reader: LedgerReader, ids: Sequence[str]) -> dict[str, Action]:
    """The reported actions among these ids, without reading records."""
    ledger = ports.ledger(reader.program)
    known = bulk.order_keys(ledger, [one for one in ids if is_key(one)])
    places = [(key, one) for one in ids if is_key(one) for key in reader.candidate_order_keys(one, known.get(one))]
    there = {one.action.id: one.action for one in bulk.load_listed_actions(ledger, places)}
    return {one: there[one] for one in dict.fromkeys(ids) if one in there}


def filter_too_wide(most: int) -> InvalidRequestError:
    return InvalidRequestError("FILTER_TOO_WIDE", most=str(most))


def load_action(reader: LedgerReader, seen: IndexEntry) -> FoundAction | None:
    order = reader.order(seen[2])
    action, head = order.action(seen[3]), order.heads.get(seen[3])
    return (order, action, head) if action is not None and head is not None else None


def candidates(
    ports: ReadPorts, reader: LedgerReader, filter_: ActionFilter, start: tuple[str, str] | None, *, final: bool = False
) -> Iterator[IndexEntry]:
    """Entries of the suitable index from a position on; with `final`, then final actions of all partners."""
    ledger: TableLedger = ports.ledger(reader.program)
    if filter_.partner:
        names = ((f"{month}#{filter_.partner}", month) for month in event_months(ports, reader))
        yield from scan_partner_months(ledger, names, start)
        return
    if not (start and start[0].startswith(FINAL_PREFIX)):
        yield from scan_lock_partitions(ledger, filter_, start, filter_.earliest_lock(reader.now))
        start = None
    if final:
        marked = ledger.final_months(start[0].removeprefix(FINAL_PREFIX) if start else "")
        yield from scan_partner_months(ledger, ((name, f"{FINAL_PREFIX}{name}") for name in marked), start)


def scan_partner_months(
    ledger: TableLedger, names: Iterable[tuple[str, str]], start: tuple[str, str] | None
) -> Iterator[IndexEntry]:
    """Entries of partner months (`2026-11#partner`, with their cursor name), newest first."""
    for name, place in names:
        if start and place > start[0]:
            continue
        month, _, partner = name.partition("#")
        for order_key, action, sort in ledger.heads_by_partner(partner, month, sort_key_after(start, place)):
            yield place, sort, order_key, action


def scan_lock_partitions(
    ledger: TableLedger, filter_: ActionFilter, start: tuple[str, str] | None, since: str
) -> Iterator[IndexEntry]:
    """Entries of the lock index in the requested order, from a lock time on."""
    backward = filter_.sort.startswith("-")
    place = PARTITION_ORDER[filter_.sort.removeprefix("-")]
    for day in sorted_lock_days(ledger, filter_, since):
        name = day.name
        if start and name != start[0] and (place(name) > place(start[0])) == backward:
            continue
        after = sort_key_after(start, name)
        from_now = since if not after and not backward and day.lock_day == since[:10] else ""
        for order_key, action, sort in ledger.heads_by_lock(day, after or from_now, backward=backward):
            yield name, sort, order_key, action


def sort_key_after(start: tuple[str, str] | None, name: str) -> str:
    return start[1] if start and name == start[0] else ""


def lock_order(name: str) -> str:
    return name


def event_order(name: str) -> str:
    lock_day, _, event_day = name.partition("#")
    return f"{event_day}#{lock_day}"


PARTITION_ORDER = {"lock": lock_order, "event": event_order}
"""Sort keys of lock partitions, which are named `lock day#event day`."""


def sorted_lock_days(ledger: TableLedger, filter_: ActionFilter, since: str) -> Iterator[LockDay]:
    last = (filter_.locks_before or NEVER_LOCKS)[:10]
    listed = (day for day in ledger.lock_days(last) if day.lock_day >= since[:10])
    if filter_.sort == "lock":
        yield from listed
    else:
        place = PARTITION_ORDER[filter_.sort.removeprefix("-")]
        yield from sorted(listed, key=lambda day: place(day.name), reverse=filter_.sort.startswith("-"))


def event_months(ports: ReadPorts, reader: LedgerReader) -> Iterator[str]:
    """Event months, newest first."""
    first = ports.programs.first_recorded_at(reader.program.id)
    floor = add_months(local_day(first, "UTC").replace(day=1), -MONTHS_BACK)
    month = local_day(reader.now, "UTC").replace(day=1)
    while month >= floor:
        yield month.isoformat()[:7]
        month = add_months(month, -1)


# Cursors


def sign_cursor(ports: ReadPorts, program: Program, filter_: ActionFilter, place: tuple[str, str]) -> str:
    """Sign a position together with its list, so that the cursor is valid only there."""
    body = base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
    said = "\0".join((program.id, json.dumps(asdict(filter_), sort_keys=True, default=sorted), body))
    mark = hmac.new(cursor_secret(ports, program), said.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[
        :32
    ]
    return f"{body}.{mark}"


def cursor_secret(ports: ReadPorts, program: Program) -> bytes:
    """The key for signing a program's cursors, created on first use."""
    state = ports.state(program.id, "lists.cursor")
    kept = state.get("key")
    if kept is None:
        state.claim("key", {"key": secrets.token_hex(32)})
        kept = state.get("key")
    assert kept is not None
    return bytes.fromhex(kept["key"])


def verify_cursor(given: str | None, seal: Callable[[tuple[str, str]], str]) -> tuple[str, str] | None:
    """The position of a cursor. Raises RequestError if it was not made for this list."""
    if given is None:
        return None
    try:
        body = given.partition(".")[0]
        place = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        found = (str(place[0]), str(place[1]))
        if len(given) <= CURSOR_BYTES_MAX and hmac.compare_digest(seal(found).encode(), given.encode()):
            return found
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        pass
    raise bad_query("cursor", given, "cursor_of_list")
