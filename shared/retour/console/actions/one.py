"""One action: why this partner is paid this much, when for certain, and how it stood at any past moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from zoneinfo import ZoneInfo

from retour.api import documents
from retour.api.documents import Document
from retour.api.statements import statement_of_action
from retour.console import charts, labels
from retour.console.actions import toast
from retour.console.request import Response
from retour.console.visit import Visit
from retour.domain.actions import paid
from retour.domain.actions.action import Action
from retour.domain.actions.decide import WARNED_BEFORE
from retour.domain.actions.order import Head, Order, payout_of
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.replay import as_of
from retour.domain.actions.standing import lock_rule
from retour.domain.times import instant, text

ACTS = ("approve", "reverse", "modify", "restore", "reattribute", "undo", "raise-limit")
AT_ONCE = ("approve", "restore", "undo")
"""Acts that ask for nothing: done with one click, and taken back with another."""
LAST = 5


@dataclass(frozen=True)
class Step:
    """One change of an action's payout, for its picture and its past."""

    at: datetime
    payout: int


@dataclass(frozen=True)
class Past:
    """Where the slider stands: after which change, out of how many, and how each of its places is called."""

    at: datetime | None
    step: int
    names: Sequence[str]


@dataclass(frozen=True)
class Acting:
    """An act that is being filled in: what was typed, what is wrong with it, and what changed meanwhile."""

    act: str = ""
    given: Mapping[str, str] | None = None
    wrong: Mapping[str, str] | None = None
    preview: Document | None = None
    meanwhile: Sequence[Document] = ()
    differences: Sequence[tuple[str, str, str, str]] = ()


def show(visit: Visit) -> Response:
    """The page; or, asked by htmx for a part, what the list shows of it in place, or the form of one act."""
    query = visit.request.query
    action_id, act = query.get("id", ""), query.get("act", "")
    if visit.request.wants_block and query.get("part") == "brief":
        brief = brief_of(visit, action_id)
        if not brief:
            raise visit.not_found()
        return visit.render("action_act.html" if act in ACTS else "action_brief.html", **brief, acting=Acting(act))
    return shown(visit, action_id, Acting(act))


def shown(visit: Visit, action_id: str, acting: Acting, status: int = 200) -> Response:
    found = visit.reader.action(action_id)
    if found is None:
        raise visit.not_found()
    order, action, head = found
    steps = steps_of(visit, action, head)
    past = past_of(visit, steps)
    if past.at is not None:
        order = as_of(order, visit.program.contracts, past.at)
        if action.id not in order.heads:
            raise visit.not_found()
        head = order.heads[action.id]
    document = documents.action_document(order, action, head, visit.spoken, past.at or visit.hub.now())
    may_act = visit.may("act") and past.at is None
    document["sentence"] = sentence_of(visit, order, action, head)
    values = {
        "action": document,
        "version": found[2].version,
        "contract": visit.program.contracts[head.standing.contract - 1],
        "lock": lock_rule(action, head.standing, visit.program.contracts),
        "stated": statement_of_action(visit.hub, visit.program, action, found[2]) if past.at is None else None,
        "steps": steps,
        "picture": charts.stairs(
            visit.words, steps, found[2].locks_at, visit.hub.now(), visit.program.currency, past.at
        ),
        "reported": action.reported_at,
        "days": by_day(visit, document["history"], action.reported_at),
        "acting": acting if acting.act in ACTS and may_act else Acting(),
        "acts": possible(document) if may_act else (),
        "past": past,
        "reasons": sorted(visit.program.reasons),
        "siblings": [one.id for one in order.actions if one.id != action.id],
        "children": visit.reader.ledger.children(action.id),
        "told": toast.told(visit),
        "status_now": head.standing.countdown.status,
        "undo": last_undoable(document),
        "owed": [one for one in document["history"] if one.get("make_good")],
        "back": "",
        "only_the_page": visit.request.wants_block,
    }
    return visit.render("action.html", status, **values)


def sentence_of(visit: Visit, order: Order, action: Action, head: Head) -> str:
    """Who is paid what and why, with the reason as the page's language calls it."""
    parts = []
    for part in paid.payment(order, action, head, visit.program.contracts):
        reason = part.details.get("reason")
        named = {"reason": labels.label(visit.words, "reason", reason)} if reason else {}
        parts.append(replace(part, details={**part.details, **named}))
    return documents.told_in(parts, visit.words.language)


def brief_of(visit: Visit, action_id: str) -> Mapping[str, Any]:
    """Items, last changes and acts of an action, as its row in the list shows them; empty where there is none."""
    found = visit.reader.action(action_id)
    if found is None:
        return {}
    order, action, head = found
    document = documents.action_document(order, action, head, visit.spoken, visit.hub.now())
    return {
        "action": document,
        "version": head.version,
        "contract": visit.program.contracts[head.standing.contract - 1],
        "acts": possible(document) if visit.may("act") else (),
        "last": document["history"][: -LAST - 1 : -1],
        "reasons": sorted(visit.program.reasons),
        "undo": last_undoable(document),
        "back": list_of(visit),
    }


def list_of(visit: Visit) -> str:
    """The list that a row is opened in: this very address, or the one that htmx asks from."""
    if not visit.request.wants_block:
        return visit.here(told=None)
    at = urlsplit(visit.request.headers.get("hx-current-url", ""))
    told = [(name, value) for name, value in parse_qsl(at.query) if name != "told"]
    return f"{at.path}?{urlencode(told)}" if at.path.endswith("/actions") else ""


def possible(document: Document) -> tuple[str, ...]:
    """What makes sense to offer; the core decides all the same."""
    found: tuple[str, ...]
    match document["state"]:
        case "pending":
            found = ("approve", "reverse", "modify", "reattribute")
        case "approved":
            found = ("reverse", "modify", "reattribute")
        case "reversed":
            found = ("restore",)
        case _:
            return ()
    found = (*found, "undo") if last_undoable(document) else found
    return (*found, "raise-limit") if document["changes_left"] <= WARNED_BEFORE else found


def last_undoable(document: Document) -> str:
    """The newest change that nobody took back, if there is one."""
    undone = {one["undoes"] for one in document["history"] if one["change"] == "undo" and one["outcome"] == "applied"}
    for one in reversed(document["history"]):
        if one["outcome"] == "applied" and one["change"] not in toast.LASTING and one["id"] not in undone:
            return str(one["id"])
    return ""


def by_day(visit: Visit, history: Sequence[Document], reported_at: datetime) -> list[tuple[date, list[Document]]]:
    """What came on which day, the newest first, down to the day of the report."""
    days: dict[date, list[Document]] = {}
    for entry in reversed(history):
        days.setdefault(visit.words.local(entry["received_at"]).date(), []).append(entry)
    days.setdefault(visit.words.local(reported_at).date(), [])
    return sorted(days.items(), reverse=True)


# The past


def steps_of(visit: Visit, action: Action, head: Head) -> list[Step]:
    first = as_of(Order(key=action.order_key, actions=[action]), visit.program.contracts, action.reported_at)
    start = Step(action.reported_at, payout_of(action, first.heads[action.id].standing, visit.program.contracts))
    return [start, *(Step(entry.applied_at, entry.payout) for entry in head.log if entry.outcome is Outcome.APPLIED)]


def past_of(visit: Visit, steps: Sequence[Step]) -> Past:
    """By a date, or by the change after which it is to be shown; the last of them is now."""
    query, last = visit.request.query, len(steps) - 1
    names = [labels.step(visit.words, number, last, one.at) for number, one in enumerate(steps)]
    asked = query.get("step", "")
    if asked.isascii() and asked.isdigit() and len(asked) < 5 and int(asked) < last:
        return Past(steps[int(asked)].at, int(asked), names)
    moment = moment_of(query.get("as_of"), visit.words.zone)
    if moment is None:
        return Past(None, last, names)
    before = [number for number, one in enumerate(steps) if one.at <= moment]
    return Past(moment, before[-1] if before else 0, names)


def moment_of(given: str | None, zone: str) -> datetime | None:
    """An instant; without an offset, as a date field sends it, a time of the program's zone."""
    if not given:
        return None
    try:
        return instant(given)
    except (ValueError, OverflowError):
        pass
    try:
        return instant(text(datetime.fromisoformat(given).replace(tzinfo=ZoneInfo(zone))))
    except (ValueError, OverflowError):
        return None


def address(visit: Visit, action_id: str) -> str:
    return f"{visit.base}/action?id={quote(action_id, safe='')}"
