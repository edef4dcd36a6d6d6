"""One action: why this partner is paid this much, when it is certain, and its state at any past moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from zoneinfo import ZoneInfo

from retour.console import charts, labels
from retour.console.actions import toast
from retour.console.page_context import PageContext
from retour.console.request import Response
from retour.domain.actions import payout_details
from retour.domain.actions.action import Action
from retour.domain.actions.decide import LIMIT_WARNING_MARGIN
from retour.domain.actions.order import ActionHead, Order, payout_of
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.replay import as_of
from retour.domain.actions.state import lock_rule
from retour.domain.times import format_instant, parse_instant
from retour.views import documents
from retour.views.schemas import ActionDocument, BatchAnswerDocument, HistoryEntryDocument, ModificationDocument
from retour.views.statements import statement_of_action, with_statement

ACTS = ("approve", "reverse", "modify", "restore", "reattribute", "undo", "raise-limit")
ONE_CLICK_ACTS = ("approve", "restore", "undo")
"""Acts without parameters, performed by one click and undone by another."""
LAST_CHANGES = 5


@dataclass(frozen=True)
class PayoutStep:
    """A change of an action's payout, for its chart and history."""

    at: datetime
    payout: int


@dataclass(frozen=True)
class HistoryPosition:
    """The slider's position: after which change, out of how many, and the label of each."""

    at: datetime | None
    step: int
    names: Sequence[str]


@dataclass(frozen=True)
class ActInput:
    """An act being filled in: its values, errors, and concurrent changes."""

    act: str = ""
    given: Mapping[str, str] | None = None
    wrong: Mapping[str, str] | None = None
    preview: BatchAnswerDocument | None = None
    meanwhile: Sequence[ModificationDocument] = ()
    differences: Sequence[tuple[str, str, str, str]] = ()


def show(context: PageContext) -> Response:
    """The page, or a part requested by htmx: an expanded row or an act's form."""
    query = context.request.query
    action_id, act = query.get("id", ""), query.get("act", "")
    if context.request.wants_block and query.get("part") == "brief":
        brief = brief_values(context, action_id)
        if not brief:
            raise context.not_found()
        return context.render("action_act.html" if act in ACTS else "action_brief.html", **brief, acting=ActInput(act))
    return render_action(context, action_id, ActInput(act))


def render_action(context: PageContext, action_id: str, acting: ActInput, status: int = 200) -> Response:
    found = context.reader.action(action_id)
    if found is None:
        raise context.not_found()
    order, action, head = found
    steps = payout_steps(context, action, head)
    past = history_position(context, steps)
    if past.at is not None:
        order = as_of(order, context.program.contracts, past.at)
        if action.id not in order.heads:
            raise context.not_found()
        head = order.heads[action.id]
    document = documents.action_document(order, action, head, context.localized_program, past.at or context.hub.now())
    stated = statement_of_action(context.hub, context.program, action, found[2]) if past.at is None else None
    document = with_statement(document, stated)
    may_act = context.may("act") and past.at is None
    document["sentence"] = payout_sentence(context, order, action, head)
    values = {
        "action": document,
        "version": found[2].version,
        "contract": context.program.contracts[head.standing.contract - 1],
        "lock": lock_rule(action, head.standing, context.program.contracts),
        "stated": stated,
        "steps": steps,
        "picture": charts.payout_chart(
            context.words, steps, found[2].locks_at, context.hub.now(), context.program.currency, past.at
        ),
        "reported": action.reported_at,
        "days": history_by_day(context, document["history"], action.reported_at),
        "acting": acting if acting.act in ACTS and may_act else ActInput(),
        "acts": possible_acts(document) if may_act else (),
        "past": past,
        "reasons": sorted(context.program.reasons),
        "siblings": [one.id for one in order.actions if one.id != action.id],
        "children": context.reader.ledger.children(action.id),
        "told": toast.build_toast(context),
        "status_now": head.standing.countdown.status,
        "undo": last_undoable(document),
        "owed": [one for one in document["history"] if one.get("make_good")],
        "back": "",
        "only_the_page": context.request.wants_block,
        "looks_back": bool(context.request.query.get("step") or context.request.query.get("as_of")),
    }
    return context.render("action.html", status, **values)


def payout_sentence(context: PageContext, order: Order, action: Action, head: ActionHead) -> str:
    """Who is paid what and why, with the reason in the page's language."""
    parts = []
    for part in payout_details.payout_phrases(order, action, head, context.program.contracts):
        reason = part.details.get("reason")
        named = {"reason": labels.label(context.words, "reason", reason)} if reason else {}
        parts.append(replace(part, details={**part.details, **named}))
    return documents.payout_sentence(parts, context.words.language)


def brief_values(context: PageContext, action_id: str) -> Mapping[str, Any]:
    """Items, last changes and acts for an expanded row; empty if the action does not exist."""
    found = context.reader.action(action_id)
    if found is None:
        return {}
    order, action, head = found
    document = documents.action_document(order, action, head, context.localized_program, context.hub.now())
    return {
        "action": document,
        "version": head.version,
        "contract": context.program.contracts[head.standing.contract - 1],
        "acts": possible_acts(document) if context.may("act") else (),
        "last": document["history"][: -LAST_CHANGES - 1 : -1],
        "reasons": sorted(context.program.reasons),
        "undo": last_undoable(document),
        "back": actions_list_url(context),
    }


def actions_list_url(context: PageContext) -> str:
    """The URL of the list a row is expanded in: this one, or the one htmx was called from."""
    if not context.request.wants_block:
        return context.here(told=None)
    at = urlsplit(context.request.headers.get("hx-current-url", ""))
    told = [(name, value) for name, value in parse_qsl(at.query) if name != "told"]
    return f"{at.path}?{urlencode(told)}" if at.path.endswith("/actions") else ""


def possible_acts(document: ActionDocument) -> tuple[str, ...]:
    """Acts worth offering. The core decides."""
    found: tuple[str, ...]
    match document["state"]:
        case "pending":
            found = ("approve", "reverse", "modify", "reattribute")
        case "approved":
            found = ("reverse", "modify", "reattribute")
        case "reversed":
            found = ("approve", "restore")
        case _:
            return ()
    found = (*found, "undo") if last_undoable(document) else found
    return (*found, "raise-limit") if document["changes_left"] <= LIMIT_WARNING_MARGIN else found


def last_undoable(document: ActionDocument) -> str:
    """The newest change that was not undone, if there is one."""
    undone = {one["undoes"] for one in document["history"] if one["change"] == "undo" and one["outcome"] == "applied"}
    for one in reversed(document["history"]):
        if one["outcome"] == "applied" and one["change"] not in toast.NOT_UNDOABLE and one["id"] not in undone:
            return str(one["id"])
    return ""


def history_by_day(
    context: PageContext, history: Sequence[HistoryEntryDocument], reported_at: datetime
) -> list[tuple[date, list[HistoryEntryDocument]]]:
    """The history by day, newest first, back to the report."""
    days: dict[date, list[HistoryEntryDocument]] = {}
    for entry in reversed(history):
        days.setdefault(context.words.local(entry["received_at"]).date(), []).append(entry)
    days.setdefault(context.words.local(reported_at).date(), [])
    return sorted(days.items(), reverse=True)


# History


def payout_steps(context: PageContext, action: Action, head: ActionHead) -> list[PayoutStep]:
    first = as_of(Order(key=action.order_key, actions=[action]), context.program.contracts, action.reported_at)
    start = PayoutStep(
        action.reported_at, payout_of(action, first.heads[action.id].standing, context.program.contracts)
    )
    return [
        start,
        *(PayoutStep(entry.applied_at, entry.payout) for entry in head.log if entry.outcome is Outcome.APPLIED),
    ]


def history_position(context: PageContext, steps: Sequence[PayoutStep]) -> HistoryPosition:
    """The position given by a date or by a change. The last position is now."""
    query, last = context.request.query, len(steps) - 1
    names = [labels.step_name(context.words, number, last, one.at) for number, one in enumerate(steps)]
    asked = query.get("step", "")
    if asked.isascii() and asked.isdigit() and len(asked) < 5 and int(asked) < last:
        return HistoryPosition(steps[int(asked)].at, int(asked), names)
    moment = parse_moment(query.get("as_of"), context.words.zone)
    if moment is None:
        return HistoryPosition(None, last, names)
    before = [number for number, one in enumerate(steps) if one.at <= moment]
    return HistoryPosition(moment, before[-1] if before else 0, names)


def parse_moment(given: str | None, zone: str) -> datetime | None:
    """Parse an instant; without an offset, as date fields send it, it is in the program's zone."""
    if not given:
        return None
    try:
        return parse_instant(given)
    except (ValueError, OverflowError):
        pass
    try:
        return parse_instant(format_instant(datetime.fromisoformat(given).replace(tzinfo=ZoneInfo(zone))))
    except (ValueError, OverflowError):
        return None


def action_url(context: PageContext, action_id: str) -> str:
    return f"{context.base}/action?id={quote(action_id, safe='')}"
