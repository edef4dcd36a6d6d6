"""The list of actions: filters, sorting, columns and paging."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from retour.console import labels, program_counts, search
from retour.console.actions import detail as single
from retour.console.actions import toast
from retour.console.labels import term
from retour.console.page_context import PageContext
from retour.console.request import Response, download, redirect
from retour.console.spreadsheet import as_csv
from retour.domain.actions.action import LifecycleState
from retour.domain.times import parse_instant
from retour.errors import RequestError
from retour.views import action_search
from retour.views.action_search import ActionFilter
from retour.views.documents import Document
from retour.views.parameters import bad_query
from retour.views.schemas import ActionLineDocument

PAGE = 50
ID_COLUMNS = ("id", "order_id")
LAST_DAY_FILTERS = {"open_from": ("locks_after", 1), "open_to": ("locks_before", 2)}
"""Filters by the last day for changes: the bound of its lock, and the days between the two.

What can change until the end of the 9th locks at the first instant of the 10th, which is before the 11th.
"""
OPEN_STATE = "open"
"""State filter for everything that can change."""
FINAL_STATES = (LifecycleState.LOCKED, LifecycleState.PAID)


@dataclass(frozen=True)
class Column:
    """A column. `fields` are its values in an export; without `key` it cannot be sorted by."""

    name: str
    title: str
    fields: tuple[str, ...]
    key: str = ""
    number: bool = False

    def sort_value(self, line: Document) -> Any:
        return Decimal(line[self.key]) if self.number else line[self.key]


def column(name: str, title: str, *fields: str, number: bool = False) -> Column:
    """A column sorted by its first field."""
    return Column(name, title, fields or (name,), (fields or (name,))[0], number)


COLUMNS = (
    column("order", term("Order"), "order_id"),
    column("partner", term("Partner")),
    column("event_type", term("Event type")),
    column("event", term("Event"), "event_time"),
    column("amount", term("Amount"), "amount", "currency", number=True),
    column("payout", term("Payout"), "payout", "payout_currency", number=True),
    column("state", term("State")),
    column("lock", term("Can change until"), "locks_at"),
    Column("last", term("Last change"), ("last_changed_at", "last_change", "last_reason"), "changed_at"),
    column("action", term("Action"), "id"),
    column("promo_code", term("Promo code")),
    column("customer_status", term("Customer status")),
    column("country", term("Country")),
    column("payment_method", term("Payment method")),
    Column("disposition", term("Disposition"), ("disposition",)),
    column("contract", term("Contract version"), number=True),
    Column("channel", term("Channel of the last change"), ("channel",)),
    column("changes", term("Changes"), number=True),
    column("reported", term("Reported"), "reported_at"),
)
BY_NAME = {one.name: one for one in COLUMNS}
DEFAULT_COLUMNS = ("partner", "event", "amount", "payout", "state", "lock", "last")
DEFAULT_COLUMNS_WITH_TYPE = ("partner", "event_type", *DEFAULT_COLUMNS[1:])


@dataclass(frozen=True)
class ActionTable:
    """`by` is the sort column, with `-` for descending; `unsorted` one that was requested but has too many matches."""

    lines: Sequence[Document]
    by: str
    later: str | None = None
    looked: Document | None = None
    unsorted: str = ""
    total: int | None = None


@dataclass(frozen=True)
class FilterChip:
    """An active filter, the URL without it, and the URL that excludes its value, if there is one."""

    text: str
    without: str
    instead: str = ""


def index(context: PageContext) -> Response:
    if context.request.query.get("q", "").strip():
        return search.search(context)
    if context.request.query.get("columns"):
        return redirect(url_with_columns(context))
    problem, shown = "", ActionTable((), "lock")
    try:
        shown = load_table(context, parse_filter(context))
    except RequestError as refused:
        problem = context.explain(refused)
    return context.render(
        "actions.html",
        422 if problem else 200,
        shown=shown,
        problem=problem,
        columns=selected_columns(context),
        every=COLUMNS[1:],
        chips=filter_chips(context),
        filters=search_filters(context) if not problem else {},
        open_only=is_open_only(context),
        opened=open_row_values(context, shown.lines),
        states=[state.value for state in LifecycleState if state is not LifecycleState.PAID],
        reasons=sorted(context.program.reasons),
        event_types=sorted(context.program.event_types),
        told=toast.build_toast(context),
        titles={one.name: one.title for one in COLUMNS},
        list={"only": with_only, "without": without_value, "fresh": with_filters, "opening": with_open_row},
        counted=program_counts.load_counts(context),
    )


# Filters and sorting


def filters_in_query(context: PageContext) -> dict[str, str]:
    """The filters in the URL."""
    query = context.request.query
    names = (*action_search.FILTER_NAMES, *LAST_DAY_FILTERS)
    found = {name: query[name].strip() for name in names if query.get(name, "").strip()}
    return {name: value for name, value in found.items() if (name, value) != ("state", OPEN_STATE)}


def search_filters(context: PageContext) -> dict[str, str]:
    """The filters for the index, with last days converted to lock instants."""
    found = filters_in_query(context)
    for name, (bound, days) in LAST_DAY_FILTERS.items():
        if day := found.pop(name, ""):
            try:
                found[bound] = (date.fromisoformat(day) + timedelta(days=days)).isoformat()
            except (ValueError, OverflowError):
                raise bad_query(name, day, "moment") from None
    if is_open_only(context):
        found["not_state"] = ",".join(filter(None, (found.get("not_state"), *FINAL_STATES)))
    return found


def is_open_only(context: PageContext) -> bool:
    """Whether only open actions are shown, which is the default."""
    query = context.request.query
    if query.get("state") == OPEN_STATE:
        return True
    return not any(query.get(name, "").strip() for name in ("state", "partner", "order_id"))


def can_change(line: Document, now: datetime) -> bool:
    return line["locks_at"] is None or parse_instant(line["locks_at"]) > now


def parse_filter(context: PageContext) -> ActionFilter:
    sort = context.request.query.get("sort", "")
    parsed = action_search.parse_filter(
        search_filters(context), context.program, sort if sort in action_search.SORTS else "lock"
    )
    return replace(parsed, open_only=is_open_only(context))


def load_table(context: PageContext, filter_: ActionFilter) -> ActionTable:
    """A page of actions, sorted by the index if possible; otherwise sorted here if there are few enough matches."""
    hub, reader, query = context.hub, context.reader, context.request.query
    if filter_.order_id is not None:
        return ActionTable(
            [
                flatten_line(action_search.line_with_last_change(reader, one))
                for one in action_search.find_actions(hub, reader, filter_)
            ],
            "",
        )
    asked = BY_NAME.get(query.get("sort", "").removeprefix("-"))
    sort = query["sort"] if asked and asked.key else ""
    knows_the_order = sort in ("", *action_search.SORTS) and not (sort and filter_.partner)
    if not knows_the_order and (heads := action_search.lines_if_few(hub, reader, filter_)) is not None:
        return sort_table(context, [one for one in heads if not filter_.open_only or can_change(one, reader.now)], sort)
    page = action_search.page_of_actions(
        hub,
        reader,
        filter_,
        PAGE,
        query.get("cursor") or None,
        lambda found: not filter_.open_only or not found[2].is_locked(reader.now),
    )
    by = "" if filter_.partner else filter_.sort
    later = context.here(cursor=page["next"], told=None, open=None) if page["next"] else None
    in_vain = "" if knows_the_order else sort
    return ActionTable([flatten_line(line) for line in page["items"]], by, later, page["looked"], in_vain)


def sort_table(context: PageContext, heads: list[Document], sort: str) -> ActionTable:
    """A page sorted here. Actions without a value come last."""
    by = BY_NAME[sort.removeprefix("-")]
    there = [head for head in heads if head[by.key] is not None]
    there.sort(key=lambda head: (by.sort_value(head), head["id"]), reverse=sort.startswith("-"))
    heads = [*there, *(head for head in heads if head[by.key] is None)]
    asked = context.request.query.get("from", "")
    start = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 0
    follow = start + PAGE < len(heads)
    later = context.here(**{"from": str(start + PAGE)}, told=None, open=None) if follow else None
    lines = action_search.load_lines(context.reader, [head["place"] for head in heads[start : start + PAGE]])
    return ActionTable([flatten_line(line) for line in lines], sort, later, total=len(heads))


def flatten_line(line: ActionLineDocument) -> Document:
    """A line with the fields of its last change added."""
    last: Mapping[str, Any] = line.get("last_change") or {}
    return {
        **line,
        "last_change": last.get("change"),
        "last_reason": last.get("reason"),
        "last_changed_at": last.get("applied_at"),
        "disposition": last.get("disposition"),
        "channel": last.get("channel"),
    }


def open_row_values(context: PageContext, lines: Sequence[Document]) -> Mapping[str, Any]:
    """The content of the row that is expanded."""
    asked = context.request.query.get("open", "")
    return single.brief_values(context, asked) if any(line["id"] == asked for line in lines) else {}


# Filters and columns on the page


def filter_chips(context: PageContext) -> list[FilterChip]:
    words, found = context.words, []
    for name, value in filters_in_query(context).items():
        if name.startswith("not_"):
            values = value.split(",")
            for left_out in values:
                rest = ",".join(one for one in values if one != left_out)
                told = labels.filter_label(words, name, filter_value_text(context, name.removeprefix("not_"), left_out))
                found.append(FilterChip(told, with_filters(context, **{name: rest or None})))
        else:
            told = labels.filter_label(words, name, filter_value_text(context, name, value))
            instead = without_value(context, name, value) if name in action_search.FILTER_FIELDS else ""
            found.append(FilterChip(told, with_filters(context, **{name: None}), instead))
    return found


def filter_value_text(context: PageContext, name: str, value: str) -> str:
    match name:
        case "state":
            return labels.label(context.words, "state", value)
        case "open_from" | "open_to" | "locks_after" | "locks_before" if len(value) == len("2026-11-21"):
            try:
                return context.words.day(value)
            except ValueError:
                return value
    return value.replace("%2C", ",")


def with_filters(context: PageContext, **changes: str | None) -> str:
    """The URL of the list with other filters, from its first page."""
    return relative_url(context, **{"cursor": None, "from": None, "open": None, **changes})


def with_open_row(context: PageContext, action_id: str) -> str:
    """The URL of this page with a row expanded."""
    return relative_url(context, open=action_id)


def relative_url(context: PageContext, **changes: str | None) -> str:
    """Without the path, which would be repeated in every link of a long table."""
    path = context.request.path
    return context.here(**{"told": None, **changes})[len(path) :] or path


def with_only(context: PageContext, name: str, value: str) -> str:
    return with_filters(context, **{name: value, f"not_{name}": None})


def without_value(context: PageContext, name: str, value: str) -> str:
    """The URL of this list excluding another value."""
    before = context.request.query.get(f"not_{name}", "")
    escaped = value.replace("%", "%25").replace(",", "%2C")
    return with_filters(context, **{name: None, f"not_{name}": f"{before},{escaped}" if before else escaped})


def selected_columns(context: PageContext) -> list[Column]:
    """The columns selected in the URL, in page order; the order number is always included."""
    asked = context.request.query.get("cols")
    if asked is None:
        names: Sequence[str] = DEFAULT_COLUMNS_WITH_TYPE if len(context.program.event_types) > 1 else DEFAULT_COLUMNS
    else:
        names = asked.split(",")
    return [one for one in COLUMNS if one.name == "order" or one.name in names]


def url_with_columns(context: PageContext) -> str:
    """The URL of this list with the ticked columns."""
    ticked = [one.name for one in COLUMNS if context.request.query.get(f"c_{one.name}")]
    ticks = {name: None for name in context.request.query if name.startswith("c_")}
    return context.here(**{**ticks, "columns": None, "cols": ",".join(ticked) or "order"})


# Export


def export(context: PageContext) -> Response:
    """Export the matches of the filters, with the visible columns and the ids."""
    lines = [
        flatten_line(action_search.line_with_last_change(context.reader, found))
        for found in action_search.find_actions(context.hub, context.reader, parse_filter(context))
    ]
    fields = [name for shown in selected_columns(context) for name in shown.fields]
    columns = list(dict.fromkeys([*ID_COLUMNS, *fields]))
    return download(f"actions-{context.program.id}.csv", as_csv(columns, lines), "text/csv; charset=utf-8")
