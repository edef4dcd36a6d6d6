"""Acts on one action: previewed while typing, carried out at once if still possible."""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from retour.api import acts
from retour.api.calls import ProblemError
from retour.console import labels
from retour.console.actions import detail, toast
from retour.console.actions.detail import ActInput
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.console.sessions import local_path
from retour.domain.actions.action import Action
from retour.domain.actions.order import ActionHead, Order
from retour.domain.actions.replay import as_of
from retour.domain.money import to_text
from retour.views import documents
from retour.views.documents import Document

FIELDS = (
    "reason",
    "note",
    "disposition",
    "sku",
    "line",
    "amount",
    "quantity",
    "partner",
    "status",
    "change",
    "undoes",
    "to",
)
WITH_REASON = ("reverse", "modify")
FIELD_AT_FAULT = {
    "REASON_NEEDED": "reason",
    "UNKNOWN_REASON": "reason",
    "FIELD_NEEDED": "partner",
    "SAME_PARTNER": "partner",
}
"""The field of a form that a refusal speaks of."""
DECIMAL_COMMA = re.compile(r"\d+,\d{1,2}", re.ASCII)
ITEM_FIELD = re.compile(r"(quantity|amount)\.(.+)", re.ASCII)
FoundAction = tuple[Order, Action, ActionHead]


def preview_block(context: PageContext) -> Response:
    """What the act would come to, before it is done. htmx asks for this block while somebody types."""
    action_id, act, given = parse_form(context)
    rehearsal, wrong = dry_run(context, find_action(context, action_id), act, given)
    if context.request.wants_block:
        return context.render("preview.html", preview=rehearsal, wrong=wrong, act=act, action_id=action_id)
    return detail.render_action(context, action_id, ActInput(act, given, wrong, rehearsal), 422 if wrong else 200)


def decide(context: PageContext) -> Response:
    """Done at once if it still can be; a lost race and what is refused come back with everything that was typed."""
    action_id, act, given = parse_form(context)
    found = find_action(context, action_id)
    seen = context.request.form.get("seen", "")
    if seen.isdigit() and int(seen) != found[2].version:
        newer = newer_records(context, found, int(seen))
        if newer and all(is_of_this_form(context, record) for record in newer):
            return redirect_back(context, action_id, newer[-1])
        if newer:
            race = differences(context, found, int(seen), given)
            return detail.render_action(context, action_id, ActInput(act, given, None, None, newer, race), 409)
    rehearsal, wrong = dry_run(context, found, act, given)
    if act in WITH_REASON and "reason" not in given:
        wrong = {"reason": context.words.say("Choose a reason.")} | wrong
    refused = [outcome for outcome in (rehearsal or {}).get("outcomes", ()) if outcome["outcome"] == "refused"]
    if refused and not wrong:
        wrong = {FIELD_AT_FAULT.get(refused[0]["code"], "form"): refused[0]["explanation"]}
    if wrong or rehearsal is None:
        return detail.render_action(context, action_id, ActInput(act, given, wrong, rehearsal), 422)
    return redirect_back(context, action_id, perform(context, found, act, given, rehearse=False)["outcomes"][-1])


def redirect_back(context: PageContext, action_id: str, record: Document) -> Response:
    """Back to where the form was, which tells of it."""
    back = context.request.form.get("back", "")
    return redirect(toast.with_toast(local_path(back) if back else detail.action_url(context, action_id), record["id"]))


def is_of_this_form(context: PageContext, record: Document) -> bool:
    """A double click: what is newer came from the very same form."""
    reference, form = record["reference"] or "", context.request.form.get("form", "")
    return bool(form) and reference.partition("#")[0] == form


def find_action(context: PageContext, action_id: str) -> FoundAction:
    found = context.reader.action(action_id)
    if found is None:
        raise context.not_found()
    return found


# What is asked


def parse_form(context: PageContext) -> tuple[str, str, dict[str, str]]:
    form = context.request.form
    act = form.get("act", "")
    if act not in detail.ACTS:
        raise context.not_found()
    given = {name: value.strip() for name, value in form.items()
             if (name in FIELDS or ITEM_FIELD.fullmatch(name)) and value.strip()}  # fmt: skip
    return form.get("id", ""), act, given


def request_body(context: PageContext, found: FoundAction, act: str, given: Mapping[str, str]) -> dict[str, Any]:
    """What the API is told: of items only those that were given another quantity or amount than they have."""
    said: dict[str, Any] = {name: value for name, value in given.items() if name in FIELDS}
    if act != "modify" or "change" in said:
        return said
    _, action, head = found
    items = []
    for line, rest in zip(action.lines, head.standing.rests, strict=True):
        quantity, amount = given.get(f"quantity.{line.line}"), parse_amount(context, given.get(f"amount.{line.line}"))
        new: dict[str, Any] = {}
        if quantity is not None and quantity != str(rest.quantity):
            new["quantity"] = quantity
        if amount is not None and amount != to_text(rest.amount, action.currency):
            new["amount"] = amount
        if new:
            items.append({"line": line.line, **({"sku": line.sku} if line.sku else {}), **new})
    return {**said, "items": items}


def parse_amount(context: PageContext, typed: str | None) -> str | None:
    """An amount as the reader's language writes it; what could be read in two ways is left for the core to refuse."""
    if typed is not None and context.words.language != "en" and DECIMAL_COMMA.fullmatch(typed):
        return typed.replace(",", ".")
    return typed


def perform(
    context: PageContext, found: FoundAction, act: str, given: Mapping[str, str], *, rehearse: bool
) -> Document:
    body = json.dumps(request_body(context, found, act, given), ensure_ascii=False).encode("utf-8", "surrogatepass")
    call = context.call("POST", body, context.request.form.get("form", ""), {"dry_run": "true"} if rehearse else {})
    return acts.act_on_action(
        context.hub, call, context.principal, context.localized_program, quote(found[1].id, safe=""), act
    )


def dry_run(
    context: PageContext, found: FoundAction, act: str, given: Mapping[str, str]
) -> tuple[Document | None, dict[str, str]]:
    if request_body(context, found, act, given).get("items") == []:
        return None, {"form": context.words.say("Nothing is changed yet: give an item another quantity or amount.")}
    try:
        return perform(context, found, act, given, rehearse=True), {}
    except ProblemError as refused:
        if refused.status == 404:
            raise
        return None, form_errors(context, refused)


def form_errors(context: PageContext, refused: ProblemError) -> dict[str, str]:
    """The field a refusal speaks of, and what is wrong with it."""
    say = context.words.say
    known = {
        "REASON_NEEDED": say("Choose a reason."),
        "FIELD_NEEDED": say("Name the partner."),
        "NOTHING_TO_UNDO": say("Nothing was changed here that could be undone."),
        "NO_ACTION_MATCHES": say("No action matches these filters any more."),
    }
    return {FIELD_AT_FAULT.get(refused.code, "form"): known.get(refused.code, context.explain(refused))}


# A lost race


def newer_records(context: PageContext, found: FoundAction, version: int) -> list[Document]:
    """The latest changes, as many as writes were missed."""
    order, _, head = found
    records = [record for entry in missed_entries(head, version) if (record := order.record(entry.id)) is not None]
    return [documents.modification_document(order, record, context.localized_program) for record in records]


def missed_entries(head: ActionHead, version: int) -> Any:
    return head.log[-max(head.version - version, 1) :]


def differences(
    context: PageContext, found: FoundAction, version: int, given: Mapping[str, str]
) -> list[tuple[str, str, str, str]]:
    """What you saw, what is now, and what you typed."""
    order, action, head = found
    entries = missed_entries(head, version)
    if not entries:
        return []
    then = as_of(order, context.program.contracts, entries[0].applied_at - timedelta(milliseconds=1)).heads.get(
        action.id
    )
    if then is None:
        return []
    words, now, currency = context.words, context.hub.now(), context.program.currency
    say, money = words.say, words.minor

    def units(quantity: int) -> str:
        return words.count("%(number)s unit", "%(number)s units", quantity)

    def state(one: ActionHead) -> str:
        return labels.label(words, "state", one.state(now).value)

    rows = [
        (say("State"), state(then), state(head), ""),
        (say("Partner"), then.standing.partner, head.standing.partner, given.get("partner", "")),
        (say("Payout"), money(then.payout, currency), money(head.payout, currency), ""),
    ]
    for line, was, is_ in zip(action.lines, then.standing.rests, head.standing.rests, strict=True):
        typed = [given[name] for name in (f"amount.{line.line}", f"quantity.{line.line}") if name in given]
        seen, left = (f"{money(rest.amount, action.currency)}, {units(rest.quantity)}" for rest in (was, is_))
        rows.append((line.sku or say("line %(line)s", line=line.line), seen, left, ", ".join(typed)))
    return rows
