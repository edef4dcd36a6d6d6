"""What was sold and to whom it is credited: the list, one action's life, and the acts of people on one or many."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from retour.api import acts, listing, views
from retour.api.calls import Refused
from retour.api.listing import Filter
from retour.api.views import Document
from retour.console import charts
from retour.console.request import Response, download, to
from retour.console.visit import Stop, Visit
from retour.domain.actions.action import Action, State
from retour.domain.actions.order import Head, Order, payout_of
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.replay import as_of
from retour.domain.times import instant

PAGE = "50"
COLUMNS = (
    "id", "order_id", "event_type", "partner", "event_time", "state", "amount", "currency", "payout", "payout_currency",
    "locks_at", "contract", "changes", "promo_code", "customer_status",
)  # fmt: skip
SORTED = ("order_id", "partner", "event_time", "amount", "payout", "state", "locks_at")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
FIELDS = ("reason", "note", "disposition", "sku", "line", "amount", "quantity", "partner", "status", "change", "undoes")
ONE = ("approve", "reverse", "modify", "restore", "reattribute", "undo")
MANY = ("approve", "reverse", "restore")
AT = {"REASON_NEEDED": "reason", "CHANGE_NEEDED": "change", "FIELD_NEEDED": "partner"}
"""The field of a form that a refusal speaks of."""


def wanted(visit: Visit) -> Filter:
    names = ("state", "partner", "event_type", "order_id", "locks_after", "locks_before")
    query = visit.request.query
    return listing.filter_of({name: query[name].strip() for name in names if query.get(name)}, visit.program)


def index(visit: Visit) -> Response:
    filters = [name for name in ("state", "partner", "order_id", "locks_after", "locks_before", "event_type")
               if visit.request.query.get(name)]  # fmt: skip
    problem = ""
    found: Document = {"items": [], "next": None, "looked": None}
    try:
        filter_ = wanted(visit)
        if filter_.order_id is not None:
            lines = [line_of(visit, one) for one in listing.found(visit.hub, visit.reader, filter_)]
            found = {"items": lines, "next": None, "looked": None}
        else:
            cursor = {"cursor": visit.request.query["cursor"]} if visit.request.query.get("cursor") else {}
            found = listing.page(visit.hub, visit.reader, visit.call(query={"limit": PAGE, **cursor}), filter_)
    except Refused as refused:
        problem = visit.told(refused)
    items, sort = list(found["items"]), visit.request.query.get("sort", "")
    if sort.removeprefix("-") in SORTED:
        items.sort(key=lambda line: sort_key(line, sort.removeprefix("-")), reverse=sort.startswith("-"))
    return visit.render(
        "actions.html",
        200 if not problem else 422,
        items=items,
        looked=found["looked"],
        later=visit.here(cursor=found["next"]) if found["next"] else None,
        filters=filters,
        problem=problem,
        sort=sort,
        states=[state.value for state in State if state is not State.PAID],
        reasons=sorted(visit.program.reasons),
        event_types=sorted(visit.program.event_types),
    )


def sort_key(line: Document, name: str) -> Any:
    value = line[name]
    return float(value) if name in ("amount", "payout") else str(value or "9")


def line_of(visit: Visit, found: tuple[Order, Action, Head]) -> Document:
    _, action, head = found
    return views.action_line(action, head, visit.program, visit.reader.now)


def export(visit: Visit) -> Response:
    """What the filters of this address find, as a file."""
    lines = [line_of(visit, one) for one in listing.found(visit.hub, visit.reader, wanted(visit))]
    return download(f"actions-{visit.program.id}.csv", as_csv(COLUMNS, lines), "text/csv; charset=utf-8")


def as_csv(columns: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> bytes:
    """With the mark that tells spreadsheets it is UTF-8, and no cell that one would take for a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([safe(line[name]) for name in columns] for line in lines)
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def safe(value: Any) -> str:
    said = "" if value is None else str(value)
    is_number = said.lstrip("-").replace(".", "", 1).isdigit()
    return f"'{said}" if said.startswith(FORMULA) and not is_number else said


# One action


@dataclass(frozen=True)
class Step:
    """One change of an action's payout, for its picture and its past."""

    at: datetime
    payout: int


def show(visit: Visit) -> Response:
    return shown(visit, visit.request.query.get("id", ""), visit.request.query.get("act", ""))


def shown(
    visit: Visit,
    action_id: str,
    act: str = "",
    given: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
    preview: Document | None = None,
    status: int = 200,
    meanwhile: Sequence[Document] = (),
) -> Response:
    found = visit.reader.action(action_id)
    if found is None:
        raise visit.not_found()
    order, action, head = found
    past = moment_of(visit.request.query.get("as_of"))
    if past is not None:
        order = as_of(order, visit.program.contracts, past)
        if action.id not in order.heads:
            raise visit.not_found()
        head = order.heads[action.id]
    document = views.action_document(order, action, head, visit.spoken, past or visit.hub.now())
    steps = steps_of(visit, action, found[2])
    return visit.render(
        "action.html",
        status,
        action=document,
        order=order,
        head=head,
        version=found[2].version,
        contract=visit.program.contracts[head.standing.contract - 1],
        steps=steps,
        picture=charts.stairs(visit.words, steps, found[2].locks_at, visit.hub.now(), visit.program.currency),
        reported=action.reported_at,
        act=act if act in ONE and visit.may("act") and past is None else "",
        acts=possible(document) if visit.may("act") and past is None else (),
        given=given or {},
        wrong=wrong or {},
        preview=preview,
        meanwhile=meanwhile,
        past=past,
        reasons=sorted(visit.program.reasons),
        siblings=[one.id for one in order.actions if one.id != action.id],
        last=visit.request.query.get("told", ""),
        status_now=head.standing.countdown.status,
    )


def moment_of(given: str | None) -> datetime | None:
    try:
        return instant(given) if given else None
    except (ValueError, OverflowError):
        return None


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
    return (*found, "undo") if any(one["outcome"] == "applied" for one in document["history"]) else found


def steps_of(visit: Visit, action: Action, head: Head) -> list[Step]:
    first = as_of(Order(key=action.order_key, actions=[action]), visit.program.contracts, action.reported_at)
    start = Step(action.reported_at, payout_of(action, first.heads[action.id].standing, visit.program.contracts))
    return [start, *(Step(entry.applied_at, entry.payout) for entry in head.log if entry.outcome is Outcome.APPLIED)]


# Acts on one


def asked(visit: Visit) -> tuple[str, str, dict[str, str]]:
    form = visit.request.form
    act = form.get("act", "")
    if act not in ONE:
        raise visit.not_found()
    given = {name: form[name].strip() for name in FIELDS if form.get(name, "").strip()}
    return form.get("id", ""), act, given


def call_for(visit: Visit, action_id: str, act: str, given: Mapping[str, str], *, rehearse: bool) -> Document:
    body = json.dumps(given, ensure_ascii=False).encode("utf-8", "surrogatepass")
    call = visit.call("POST", body, visit.request.form.get("form", ""), {"dry_run": "true"} if rehearse else {})
    return acts.act(visit.hub, call, visit.principal, visit.spoken, quote(action_id, safe=""), act)


def preview(visit: Visit) -> Response:
    """What the act would come to, before it is done. htmx asks for this block while somebody types."""
    action_id, act, given = asked(visit)
    found, wrong = rehearsed(visit, action_id, act, given)
    if visit.request.wants_block:
        return visit.render("preview.html", preview=found, wrong=wrong, act=act)
    return shown(visit, action_id, act, given, wrong, found, 422 if wrong else 200)


def rehearsed(
    visit: Visit, action_id: str, act: str, given: Mapping[str, str]
) -> tuple[Document | None, dict[str, str]]:
    try:
        return call_for(visit, action_id, act, given, rehearse=True), {}
    except Refused as refused:
        if int(refused.answer["statusCode"]) == 404:
            raise
        said = said_of(visit, refused)
        return None, said


def said_of(visit: Visit, refused: Refused) -> dict[str, str]:
    """The field a refusal speaks of, and what is wrong with it."""
    document = json.loads(refused.answer["body"])
    say = visit.words.say
    known = {
        "REASON_NEEDED": say("A reversal says why: choose a reason."),
        "CHANGE_NEEDED": say("Choose what the values mean."),
        "FIELD_NEEDED": say("Name the partner."),
        "NOTHING_TO_UNDO": say("Nothing was changed here that could be undone."),
    }
    return {AT.get(document["code"], "form"): known.get(document["code"], document.get("detail", ""))}


def decide(visit: Visit) -> Response:
    """Done at once if it still can be; a lost race and what is refused come back with everything that was typed."""
    action_id, act, given = asked(visit)
    found = visit.reader.action(action_id)
    if found is None:
        raise visit.not_found()
    seen = visit.request.form.get("seen", "")
    if seen.isdigit() and int(seen) != found[2].version:
        newer = newer_than(visit, found, int(seen))
        if not all(record_reference(one) == visit.request.form.get("form") for one in newer):
            return shown(visit, action_id, act, given, status=409, meanwhile=newer)
    rehearsal, wrong = rehearsed(visit, action_id, act, given)
    outcome = next(iter((rehearsal or {}).get("outcomes", ())), None)
    if wrong or outcome is None or outcome["outcome"] == "refused":
        said = wrong or {"form": (outcome or {}).get("explanation", "")}
        return shown(visit, action_id, act, given, said, rehearsal, 422)
    done = call_for(visit, action_id, act, given, rehearse=False)
    told = quote(done["outcomes"][0]["id"], safe="")
    return to(f"{visit.base}/action?id={quote(action_id, safe='')}&told={told}")


def record_reference(document: Document) -> str | None:
    reference: str | None = document["reference"]
    return reference


def newer_than(visit: Visit, found: tuple[Order, Action, Head], version: int) -> list[Document]:
    """The latest changes, as many as writes were missed."""
    order, _, head = found
    missed = max(head.version - version, 1)
    records = [record for entry in head.log[-missed:] if (record := order.record(entry.id)) is not None]
    return [views.modification_document(order, record, visit.spoken) for record in records]


# Acts on many


def bulk(visit: Visit) -> Response:
    """First what it would come to, then, confirmed, one delivery of it."""
    form = visit.request.form
    act, ids = form.get("act", ""), visit.request.values("ids")
    if act not in MANY:
        raise visit.not_found()
    given: dict[str, Any] = {name: form[name].strip() for name in ("reason", "note") if form.get(name, "").strip()}
    if form.get("all"):
        chosen: dict[str, Any] = {
            "filter": {name: form[f"f_{name}"] for name in listing.NAMES if form.get(f"f_{name}")}
        }
    else:
        chosen = {"actions": ids}
    confirmed = form.get("step") == "do"
    body = json.dumps({"act": act, **chosen, **given}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    call = visit.call("POST", body, form.get("form", ""), {} if confirmed else {"dry_run": "true"})
    wrong: dict[str, str] = {}
    answer: Document = {"outcomes": [], "partners": []}
    if not ids and not form.get("all"):
        wrong = {"form": visit.words.say("Select at least one action.")}
    else:
        try:
            answer = acts.acts(visit.hub, call, visit.principal, visit.spoken)
        except Refused as refused:
            wrong = said_of(visit, refused)
    if confirmed and not wrong:
        return to(f"{visit.base}/deliveries/{answer['batch']}?told=apply")
    outcomes = answer["outcomes"]
    groups = {
        "change": [one for one in outcomes if one["outcome"] == "applied"],
        "same": [one for one in outcomes if one["outcome"] in ("unchanged", "duplicate", "superseded")],
        "cannot": [one for one in outcomes if one["outcome"] in ("refused", "held", "waiting")],
    }
    return visit.render(
        "bulk.html",
        422 if wrong else 200,
        act=act,
        groups=groups,
        partners=answer.get("partners", ()),
        children=answer.get("children", ()),
        sum=sum_of(groups["change"]),
        wrong=wrong,
        given=given,
        ids=ids,
        filter=chosen.get("filter"),
        reasons=sorted(visit.program.reasons),
    )


def sum_of(outcomes: Sequence[Document]) -> list[Document]:
    """What the payouts change by together."""
    from decimal import Decimal

    sums: dict[str, Decimal] = {}
    for one in outcomes:
        effect = one["effect"]
        if effect:
            change = Decimal(effect["payout"]["after"]) - Decimal(effect["payout"]["before"])
            sums[effect["payout_currency"]] = sums.get(effect["payout_currency"], Decimal(0)) + change
    return [{"currency": currency, "amount": amount} for currency, amount in sums.items()]


# One record


def modification(visit: Visit) -> Response:
    public_id = visit.request.query.get("id", "")
    found = visit.reader.modification(public_id)
    if found is None:
        raise visit.not_found()
    order, record = found
    document = views.modification_document(order, record, visit.spoken)
    header = visit.reader.deliveries.get(record.provenance.delivery)
    return visit.render("modification.html", one=document, header=header, told=visit.request.query.get("told", ""))


def settle(visit: Visit) -> Response:
    """Undo a record; or let a held one go on, or drop it."""
    form = visit.request.form
    public_id, what = form.get("id", ""), form.get("what", "")
    if what not in acts.SETTLING:
        raise visit.not_found()
    given = {name: form[name].strip() for name in ("reason", "note") if form.get(name, "").strip()}
    call = visit.call("POST", json.dumps(given).encode(), form.get("form", ""))
    try:
        answer = acts.settle(visit.hub, call, visit.principal, visit.spoken, quote(public_id, safe=""), what)
    except Refused as refused:
        if int(refused.answer["statusCode"]) in (409, 422):
            raise Stop(visit.problem(409, visit.told(refused))) from None
        raise
    outcome = answer["outcomes"][0]
    if outcome["outcome"] == "refused":
        raise Stop(visit.problem(409, outcome["explanation"]))
    return to(f"{visit.base}/modification?id={quote(public_id, safe='')}&told={what}")
