"""Acts on one action: previewed while typing, performed if still possible."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from retour.commands import acts
from retour.commands.acts import ActOnAction, ActValues
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
from retour.errors import NotFoundError, RequestError
from retour.languages import languages
from retour.previews.act import act_preview_document
from retour.views import documents
from retour.views.schemas import BatchAnswerDocument, ModificationDocument

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
"""The form field a refusal is about."""
DECIMAL_COMMA = re.compile(r"\d+,\d{1,2}", re.ASCII)
ITEM_FIELD = re.compile(r"(quantity|amount)\.(.+)", re.ASCII)
FoundAction = tuple[Order, Action, ActionHead]


def preview_block(context: PageContext) -> Response:
    """Preview the act. htmx requests this block while somebody types."""
    action_id, act, given = parse_form(context)
    rehearsal, wrong = dry_run(context, find_action(context, action_id), act, given)
    if context.request.wants_block:
        return context.render("preview.html", preview=rehearsal, wrong=wrong, act=act, action_id=action_id)
    return detail.render_action(context, action_id, ActInput(act, given, wrong, rehearsal), 422 if wrong else 200)


def decide(context: PageContext) -> Response:
    """Perform the act. After a conflict or a refusal the form is shown again with its values."""
    action_id, act, given = parse_form(context)
    found = find_action(context, action_id)
    seen = context.request.form.get("seen", "")
    if seen.isdigit() and int(seen) != found[2].version:
        newer = newer_records(context, found, int(seen))
        if newer and all(is_of_this_form(context, record) for record in newer):
            return redirect_back(context, action_id, newer[-1]["id"])
        if newer:
            race = differences(context, found, int(seen), given)
            return detail.render_action(context, action_id, ActInput(act, given, None, None, newer, race), 409)
    rehearsal, wrong = dry_run(context, found, act, given)
    if act in WITH_REASON and "reason" not in given:
        wrong = {"reason": context.words.say("Choose a reason.")} | wrong
    outcomes = rehearsal["outcomes"] if rehearsal else []
    refused = [one for one in outcomes if one["outcome"] == "refused"]
    if refused and not wrong:
        wrong = {FIELD_AT_FAULT.get(refused[0]["code"], "form"): refused[0]["explanation"]}
    if wrong or rehearsal is None:
        return detail.render_action(context, action_id, ActInput(act, given, wrong, rehearsal), 422)
    batch = acts.perform(context.command_context, ActOnAction(found[1].id, act, act_values(context, found, act, given)))
    return redirect_back(context, action_id, batch.results[-1].modification)


def redirect_back(context: PageContext, action_id: str, record_id: str) -> Response:
    """Redirect to the page of the form, which confirms the act."""
    back = context.request.form.get("back", "")
    return redirect(toast.with_toast(local_path(back) if back else detail.action_url(context, action_id), record_id))


def is_of_this_form(context: PageContext, record: ModificationDocument) -> bool:
    """Whether the newer record came from the same form, by a double click."""
    reference, form = record["reference"] or "", context.request.form.get("form", "")
    return bool(form) and reference.partition("#")[0] == form


def find_action(context: PageContext, action_id: str) -> FoundAction:
    found = context.reader.action(action_id)
    if found is None:
        raise context.not_found()
    return found


# Form values


def parse_form(context: PageContext) -> tuple[str, str, dict[str, str]]:
    form = context.request.form
    act = form.get("act", "")
    if act not in detail.ACTS:
        raise context.not_found()
    given = {name: value.strip() for name, value in form.items()
             if (name in FIELDS or ITEM_FIELD.fullmatch(name)) and value.strip()}  # fmt: skip
    return form.get("id", ""), act, given


def act_values(context: PageContext, found: FoundAction, act: str, given: Mapping[str, str]) -> ActValues:
    """The submitted values; of items only those whose quantity or amount was changed."""
    said = acts.as_values({name: value for name, value in given.items() if name in FIELDS})
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
    """An amount in the reader's number format. Ambiguous text is left for the core to refuse."""
    if typed is not None and languages()[context.words.language].mark == "," and DECIMAL_COMMA.fullmatch(typed):
        return typed.replace(",", ".")
    return typed


def dry_run(
    context: PageContext, found: FoundAction, act: str, given: Mapping[str, str]
) -> tuple[BatchAnswerDocument | None, dict[str, str]]:
    values = act_values(context, found, act, given)
    if values.get("items") == []:
        return None, {"form": context.words.say("Nothing is changed yet: give an item another quantity or amount.")}
    try:
        preview = acts.preview(context.command_context, ActOnAction(found[1].id, act, values))
    except NotFoundError:
        raise
    except RequestError as refused:
        return None, form_errors(context, refused)
    return act_preview_document(preview, context.localized_program), {}


def form_errors(context: PageContext, refused: RequestError) -> dict[str, str]:
    """The refusal's message under the form field it is about."""
    say = context.words.say
    known = {
        "REASON_NEEDED": say("Choose a reason."),
        "FIELD_NEEDED": say("Name the partner."),
        "NOTHING_TO_UNDO": say("Nothing was changed here that could be undone."),
        "NO_ACTION_MATCHES": say("No action matches these filters any more."),
    }
    return {FIELD_AT_FAULT.get(refused.code, "form"): known.get(refused.code, context.explain(refused))}


# Conflicts


def newer_records(context: PageContext, found: FoundAction, version: int) -> list[ModificationDocument]:
    """The latest changes, as many as the form missed."""
    order, _, head = found
    records = [record for entry in missed_entries(head, version) if (record := order.record(entry.id)) is not None]
    return [documents.modification_document(order, record, context.localized_program) for record in records]


def missed_entries(head: ActionHead, version: int) -> Any:
    return head.log[-max(head.version - version, 1) :]


def differences(
    context: PageContext, found: FoundAction, version: int, given: Mapping[str, str]
) -> list[tuple[str, str, str, str]]:
    """What was shown, what is stored now, and what was typed."""
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
