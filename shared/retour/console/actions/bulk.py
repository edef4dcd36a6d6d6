"""One act on many actions: a preview in groups; then, once confirmed, one delivery."""

import json
import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal

from retour.commands import acts
from retour.commands.acts import ActOnActions
from retour.console.actions.act_form import form_errors
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.domain.times import format_instant
from retour.errors import RequestError
from retour.intake.batch import DONE
from retour.previews.act import act_preview_document
from retour.views import action_search
from retour.views.action_search import parse_filter
from retour.views.documents import Document
from retour.views.schemas import BatchAnswerDocument, RecordOutcomeDocument

BULK_ACTS = ("approve", "reverse", "restore")
LISTED_MAX = 100
SELECTION_ID_CHARS = 24


def bulk_act(context: PageContext) -> Response:
    form = context.request.form
    act = form.get("act", "")
    if act not in BULK_ACTS:
        raise context.not_found()
    given = {name: form[name].strip() for name in ("reason", "note") if form.get(name, "").strip()}
    asked = selected_actions(context)
    confirmed = form.get("step") == "do"
    wrong: dict[str, str] = {}
    answer: BatchAnswerDocument = {"batch": None, "state": DONE, "counts": {}, "outcomes": []}
    if asked is None:
        wrong = {"form": context.words.say("Select at least one action.")}
    else:
        try:
            chosen = parse_filter(asked, context.program) if isinstance(asked, dict) else asked
            command = ActOnActions(chosen, act, acts.as_values(given))
            if confirmed:
                batch = acts.perform(context.command_context, command)
                return redirect(f"{context.base}/deliveries/{batch.delivery.id}?told=apply")
            preview = acts.preview(context.command_context, command)
            answer = act_preview_document(preview, context.localized_program)
        except RequestError as refused:
            wrong = form_errors(context, refused)
    ids = answer.get("chosen") or (asked if isinstance(asked, list) else [])
    return context.render(
        "bulk.html",
        422 if wrong else 200,
        act=act,
        groups=outcome_groups(answer["outcomes"]),
        listed=LISTED_MAX,
        partners=answer.get("partners", ()),
        children=answer.get("children", ()),
        looked=answer.get("looked"),
        sum=payout_sums(answer["outcomes"]),
        wrong=wrong,
        given=given,
        choice=store_selection(context, ids) if ids else "",
        count=len(ids),
        asked_for_all=bool(form.get("all")) or bool(form.get("frozen")),
        frozen_at=form.get("frozen") or (format_instant(context.hub.now()) if form.get("all") else ""),
        reasons=sorted(context.program.reasons),
    )


# Which: as they were when they were looked at, so that nothing is acted on that nobody saw counted


def selected_actions(context: PageContext) -> list[str] | dict[str, str] | None:
    """The ticked actions, the filter of all matches, or a stored selection; None if nothing is selected."""
    form, ids = context.request.form, context.request.values("ids")
    if form.get("choice"):
        return load_selection(context, form["choice"])
    if form.get("all"):
        return {name: form[f"f_{name}"] for name in action_search.FILTER_NAMES if form.get(f"f_{name}")}
    return ids or None


def store_selection(context: PageContext, ids: Sequence[str]) -> str:
    """Store a selection beside raw bodies, so that it expires like them."""
    if context.request.form.get("choice"):
        return context.request.form["choice"]
    choice = secrets.token_hex(SELECTION_ID_CHARS // 2)
    context.hub.inbox.put(selection_key(context, choice), json.dumps(list(ids)).encode())
    return choice


def load_selection(context: PageContext, choice: str) -> list[str]:
    if len(choice) != SELECTION_ID_CHARS or not choice.isalnum():
        raise context.not_found()
    try:
        ids: list[str] = json.loads(context.hub.inbox.read(selection_key(context, choice)))
    except KeyError:
        raise context.not_found() from None
    return ids


def selection_key(context: PageContext, choice: str) -> str:
    return f"raw/{context.program.id}/chosen-{choice}"


# Preview


def outcome_groups(outcomes: Sequence[RecordOutcomeDocument]) -> Mapping[str, Sequence[RecordOutcomeDocument]]:
    return {
        "change": [one for one in outcomes if one["outcome"] == "applied"],
        "same": [one for one in outcomes if one["outcome"] in ("unchanged", "duplicate", "superseded")],
        "cannot": [one for one in outcomes if one["outcome"] in ("refused", "held", "waiting")],
    }


def payout_sums(outcomes: Sequence[RecordOutcomeDocument]) -> list[Document]:
    """The sums of payout changes."""
    sums: dict[str, Decimal] = {}
    for one in outcomes:
        effect = one["effect"]
        if effect and one["outcome"] == "applied":
            change = Decimal(effect["payout"]["after"]) - Decimal(effect["payout"]["before"])
            sums[effect["payout_currency"]] = sums.get(effect["payout_currency"], Decimal(0)) + change
    return [{"currency": currency, "amount": amount} for currency, amount in sums.items() if amount]
