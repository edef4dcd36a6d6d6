"""The list of actions: which are shown, by what they are sorted, with which columns, and what may follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from retour.api import listing
from retour.api.calls import Refused
from retour.api.documents import Document
from retour.api.listing import Filter
from retour.console import counted, labels, today
from retour.console.actions import one as single
from retour.console.actions import toast
from retour.console.labels import term
from retour.console.request import Response, download, to
from retour.console.spreadsheet import as_csv
from retour.console.visit import Visit
from retour.domain.actions.action import State

PAGE = 50
IDS = ("id", "order_id")


@dataclass(frozen=True)
class Column:
    """`fields` are what a file says of it; without `key`, of what heads say, it cannot be sorted by."""

    name: str
    title: str
    fields: tuple[str, ...]
    key: str = ""
    number: bool = False

    def sorts_by(self, line: Document) -> Any:
        return Decimal(line[self.key]) if self.number else line[self.key]


def column(name: str, title: str, *fields: str, number: bool = False) -> Column:
    """One that is sorted by the first of its fields."""
    return Column(name, title, fields or (name,), (fields or (name,))[0], number)


COLUMNS = (
    column("order", term("Order"), "order_id"),
    column("partner", term("Partner")),
    column("event_type", term("Event type")),
    column("event", term("Event"), "event_time"),
    column("amount", term("Amount"), "amount", "currency", number=True),
    column("payout", term("Payout"), "payout", "payout_currency", number=True),
    column("state", term("State")),
    column("lock", term("Locks"), "locks_at"),
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
USUAL = ("partner", "event", "amount", "payout", "state", "lock", "last")
SEVERAL_TYPES = ("partner", "event_type", *USUAL[1:])


@dataclass(frozen=True)
class Shown:
    """`by`: the column the lines are sorted by, `-` before it for downwards; `unsorted`: one that was asked for in
    vain, since too many would have to be looked at."""

    lines: Sequence[Document]
    by: str
    later: str | None = None
    looked: Document | None = None
    unsorted: str = ""
    total: int | None = None


@dataclass(frozen=True)
class Chip:
    """A filter in force, the address without it, and the one that leaves out what it means, where there is one."""

    text: str
    without: str
    instead: str = ""


def index(visit: Visit) -> Response:
    if visit.request.query.get("q", "").strip():
        return today.search(visit)
    if visit.request.query.get("columns"):
        return to(with_columns(visit))
    problem, shown = "", Shown((), "lock")
    try:
        shown = lines_of(visit, wanted(visit))
    except Refused as refused:
        problem = visit.told(refused)
    return visit.render(
        "actions.html",
        422 if problem else 200,
        shown=shown,
        problem=problem,
        columns=chosen(visit),
        every=COLUMNS[1:],
        chips=chips(visit),
        filters=filters(visit),
        opened=opened(visit, shown.lines),
        states=[state.value for state in State if state is not State.PAID],
        reasons=sorted(visit.program.reasons),
        event_types=sorted(visit.program.event_types),
        told=toast.told(visit),
        titles={one.name: one.title for one in COLUMNS},
        list={"only": only, "without": without, "fresh": fresh, "opening": opening},
        counted=counted.counted(visit),
    )


# Which, in which order


def filters(visit: Visit) -> dict[str, str]:
    """The filters of this address."""
    query = visit.request.query
    return {name: query[name].strip() for name in listing.NAMES if query.get(name, "").strip()}


def wanted(visit: Visit) -> Filter:
    sort = visit.request.query.get("sort", "")
    return listing.filter_of(filters(visit), visit.program, sort if sort in listing.SORTS else "lock")


def lines_of(visit: Visit, filter_: Filter) -> Shown:
    """By the index where it knows the order; else sorted here, if all that match can be looked at for one page."""
    hub, reader, query = visit.hub, visit.reader, visit.request.query
    if filter_.order_id is not None:
        return Shown([flat(listing.line(reader, one)) for one in listing.found(hub, reader, filter_)], "")
    asked = BY_NAME.get(query.get("sort", "").removeprefix("-"))
    sort = query["sort"] if asked and asked.key else ""
    knows_the_order = sort in ("", *listing.SORTS) and not (sort and filter_.partner)
    if not knows_the_order and (heads := listing.few(hub, reader, filter_)) is not None:
        return sorted_here(visit, heads, sort)
    cursor = {"cursor": query["cursor"]} if query.get("cursor") else {}
    page = listing.page(hub, reader, visit.call(query={"limit": str(PAGE), **cursor}), filter_)
    by = "" if filter_.partner else filter_.sort
    later = visit.here(cursor=page["next"], told=None, open=None) if page["next"] else None
    in_vain = "" if knows_the_order else sort
    return Shown([flat(line) for line in page["items"]], by, later, page["looked"], in_vain)


def sorted_here(visit: Visit, heads: list[Document], sort: str) -> Shown:
    """One page of them; what has nothing to sort by comes last."""
    by = BY_NAME[sort.removeprefix("-")]
    there = [head for head in heads if head[by.key] is not None]
    there.sort(key=lambda head: (by.sorts_by(head), head["id"]), reverse=sort.startswith("-"))
    heads = [*there, *(head for head in heads if head[by.key] is None)]
    asked = visit.request.query.get("from", "")
    start = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 0
    follow = start + PAGE < len(heads)
    later = visit.here(**{"from": str(start + PAGE)}, told=None, open=None) if follow else None
    lines = listing.lines_at(visit.reader, [head["place"] for head in heads[start : start + PAGE]])
    return Shown([flat(line) for line in lines], sort, later, total=len(heads))


def flat(line: Document) -> Document:
    """A line with the particulars of its last change beside its own."""
    last = line["last_change"] or {}
    return {
        **line,
        "last_change": last.get("change"),
        "last_reason": last.get("reason"),
        "last_changed_at": last.get("applied_at"),
        "disposition": last.get("disposition"),
        "channel": last.get("channel"),
    }


def opened(visit: Visit, lines: Sequence[Document]) -> Mapping[str, Any]:
    """What the one row that is open in place shows."""
    asked = visit.request.query.get("open", "")
    return single.brief_of(visit, asked) if any(line["id"] == asked for line in lines) else {}


# Filters and columns, as the page offers them


def chips(visit: Visit) -> list[Chip]:
    words, found = visit.words, []
    for name, value in filters(visit).items():
        if name.startswith("not_"):
            values = value.split(",")
            for left_out in values:
                rest = ",".join(one for one in values if one != left_out)
                told = labels.filter_(words, name, shown_value(visit, name.removeprefix("not_"), left_out))
                found.append(Chip(told, fresh(visit, **{name: rest or None})))
        else:
            told = labels.filter_(words, name, shown_value(visit, name, value))
            instead = without(visit, name, value) if name in listing.NAMED else ""
            found.append(Chip(told, fresh(visit, **{name: None}), instead))
    return found


def shown_value(visit: Visit, name: str, value: str) -> str:
    match name:
        case "state":
            return labels.label(visit.words, "state", value)
        case "locks_after" | "locks_before" if len(value) == len("2026-11-21"):
            try:
                return visit.words.day(value)
            except ValueError:
                return value
    return value.replace("%2C", ",")


def fresh(visit: Visit, **changes: str | None) -> str:
    """This list with other filters, from its beginning."""
    return relative(visit, **{"cursor": None, "from": None, "open": None, **changes})


def opening(visit: Visit, action_id: str) -> str:
    """This very page with one row open."""
    return relative(visit, open=action_id)


def relative(visit: Visit, **changes: str | None) -> str:
    """Without the path, which every link of a long table would repeat."""
    path = visit.request.path
    return visit.here(**{"told": None, **changes})[len(path) :] or path


def only(visit: Visit, name: str, value: str) -> str:
    return fresh(visit, **{name: value, f"not_{name}": None})


def without(visit: Visit, name: str, value: str) -> str:
    """This list without one more value."""
    before = visit.request.query.get(f"not_{name}", "")
    escaped = value.replace("%", "%25").replace(",", "%2C")
    return fresh(visit, **{name: None, f"not_{name}": f"{before},{escaped}" if before else escaped})


def chosen(visit: Visit) -> list[Column]:
    """The columns of this address, in the order in which they stand on the page; the order's number always."""
    asked = visit.request.query.get("cols")
    if asked is None:
        names: Sequence[str] = SEVERAL_TYPES if len(visit.program.event_types) > 1 else USUAL
    else:
        names = asked.split(",")
    return [one for one in COLUMNS if one.name == "order" or one.name in names]


def with_columns(visit: Visit) -> str:
    """The address of this list with the columns that were ticked."""
    ticked = [one.name for one in COLUMNS if visit.request.query.get(f"c_{one.name}")]
    ticks = {name: None for name in visit.request.query if name.startswith("c_")}
    return visit.here(**{**ticks, "columns": None, "cols": ",".join(ticked) or "order"})


# As a file


def export(visit: Visit) -> Response:
    """What the filters of this address find, with the columns it shows and the ids."""
    lines = [flat(listing.line(visit.reader, found)) for found in listing.found(visit.hub, visit.reader, wanted(visit))]
    fields = [name for shown in chosen(visit) for name in shown.fields]
    columns = list(dict.fromkeys([*IDS, *fields]))
    return download(f"actions-{visit.program.id}.csv", as_csv(columns, lines), "text/csv; charset=utf-8")
