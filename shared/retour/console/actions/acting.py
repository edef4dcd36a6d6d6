"""Acts on one action: previewed while they are typed, done at once if they still can be."""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from retour.api import acts, documents
from retour.api.calls import Refused
from retour.api.documents import Document
from retour.console import labels
from retour.console.actions import one, toast
from retour.console.actions.one import Acting
from retour.console.request import Response, to
from retour.console.signing import local
from retour.console.visit import Visit
from retour.domain.actions.action import Action
from retour.domain.actions.order import Head, Order
from retour.domain.actions.replay import as_of
from retour.domain.money import to_text

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
AT = {"REASON_NEEDED": "reason", "UNKNOWN_REASON": "reason", "FIELD_NEEDED": "partner", "SAME_PARTNER": "partner"}
"""The field of a form that a refusal speaks of."""
COMMA = re.compile(r"\d+,\d{1,2}", re.ASCII)
ITEM = re.compile(r"(quantity|amount)\.(.+)", re.ASCII)
Found = tuple[Order, Action, Head]


def preview(visit: Visit) -> Response:
    """What the act would come to, before it is done. htmx asks for this block while somebody types."""
    action_id, act, given = asked(visit)
    rehearsal, wrong = rehearsed(visit, existing(visit, action_id), act, given)
    if visit.request.wants_block:
        return visit.render("preview.html", preview=rehearsal, wrong=wrong, act=act, action_id=action_id)
    return one.shown(visit, action_id, Acting(act, given, wrong, rehearsal), 422 if wrong else 200)


def decide(visit: Visit) -> Response:
    """Done at once if it still can be; a lost race and what is refused come back with everything that was typed."""
    action_id, act, given = asked(visit)
    found = existing(visit, action_id)
    seen = visit.request.form.get("seen", "")
    if seen.isdigit() and int(seen) != found[2].version:
        newer = newer_than(visit, found, int(seen))
        if newer and all(is_of_this_form(visit, record) for record in newer):
            return done(visit, action_id, newer[-1])
        if newer:
            race = differences(visit, found, int(seen), given)
            return one.shown(visit, action_id, Acting(act, given, None, None, newer, race), 409)
    rehearsal, wrong = rehearsed(visit, found, act, given)
    if act in WITH_REASON and "reason" not in given:
        wrong = {"reason": visit.words.say("Say why: choose a reason.")} | wrong
    refused = [outcome for outcome in (rehearsal or {}).get("outcomes", ()) if outcome["outcome"] == "refused"]
    if refused and not wrong:
        wrong = {AT.get(refused[0]["code"], "form"): refused[0]["explanation"]}
    if wrong or rehearsal is None:
        return one.shown(visit, action_id, Acting(act, given, wrong, rehearsal), 422)
    return done(visit, action_id, call_for(visit, found, act, given, rehearse=False)["outcomes"][-1])


def done(visit: Visit, action_id: str, record: Document) -> Response:
    """Back to where the form was, which tells of it."""
    back = visit.request.form.get("back", "")
    return to(toast.leading(local(back) if back else one.address(visit, action_id), record["id"]))


def is_of_this_form(visit: Visit, record: Document) -> bool:
    """A double click: what is newer came from the very same form."""
    reference, form = record["reference"] or "", visit.request.form.get("form", "")
    return bool(form) and reference.partition("#")[0] == form


def existing(visit: Visit, action_id: str) -> Found:
    found = visit.reader.action(action_id)
    if found is None:
        raise visit.not_found()
    return found


# What is asked


def asked(visit: Visit) -> tuple[str, str, dict[str, str]]:
    form = visit.request.form
    act = form.get("act", "")
    if act not in one.ACTS:
        raise visit.not_found()
    given = {name: value.strip() for name, value in form.items()
             if (name in FIELDS or ITEM.fullmatch(name)) and value.strip()}  # fmt: skip
    return form.get("id", ""), act, given


def body_of(visit: Visit, found: Found, act: str, given: Mapping[str, str]) -> dict[str, Any]:
    """What the API is told: of items only those that were given another quantity or amount than they have."""
    said: dict[str, Any] = {name: value for name, value in given.items() if name in FIELDS}
    if act != "modify" or "change" in said:
        return said
    _, action, head = found
    items = []
    for line, rest in zip(action.lines, head.standing.rests, strict=True):
        quantity, amount = given.get(f"quantity.{line.line}"), number(visit, given.get(f"amount.{line.line}"))
        new: dict[str, Any] = {}
        if quantity is not None and quantity != str(rest.quantity):
            new["quantity"] = quantity
        if amount is not None and amount != to_text(rest.amount, action.currency):
            new["amount"] = amount
        if new:
            items.append({"line": line.line, **({"sku": line.sku} if line.sku else {}), **new})
    return {**said, "items": items}


def number(visit: Visit, typed: str | None) -> str | None:
    """An amount as the reader's language writes it; what could be read in two ways is left for the core to refuse."""
    if typed is not None and visit.words.language != "en" and COMMA.fullmatch(typed):
        return typed.replace(",", ".")
    return typed


def call_for(visit: Visit, found: Found, act: str, given: Mapping[str, str], *, rehearse: bool) -> Document:
    body = json.dumps(body_of(visit, found, act, given), ensure_ascii=False).encode("utf-8", "surrogatepass")
    call = visit.call("POST", body, visit.request.form.get("form", ""), {"dry_run": "true"} if rehearse else {})
    return acts.act(visit.hub, call, visit.principal, visit.spoken, quote(found[1].id, safe=""), act)


def rehearsed(visit: Visit, found: Found, act: str, given: Mapping[str, str]) -> tuple[Document | None, dict[str, str]]:
    if body_of(visit, found, act, given).get("items") == []:
        return None, {"form": visit.words.say("Nothing is changed yet: give an item another quantity or amount.")}
    try:
        return call_for(visit, found, act, given, rehearse=True), {}
    except Refused as refused:
        if refused.status == 404:
            raise
        return None, said_of(visit, refused)


def said_of(visit: Visit, refused: Refused) -> dict[str, str]:
    """The field a refusal speaks of, and what is wrong with it."""
    say = visit.words.say
    known = {
        "REASON_NEEDED": say("Say why: choose a reason."),
        "FIELD_NEEDED": say("Name the partner."),
        "NOTHING_TO_UNDO": say("Nothing was changed here that could be undone."),
        "NO_ACTION_MATCHES": say("No action matches these filters any more."),
    }
    return {AT.get(refused.code, "form"): known.get(refused.code, visit.told(refused))}


# A lost race


def newer_than(visit: Visit, found: Found, version: int) -> list[Document]:
    """The latest changes, as many as writes were missed."""
    order, _, head = found
    records = [record for entry in missed(head, version) if (record := order.record(entry.id)) is not None]
    return [documents.modification_document(order, record, visit.spoken) for record in records]


def missed(head: Head, version: int) -> Any:
    return head.log[-max(head.version - version, 1) :]


def differences(visit: Visit, found: Found, version: int, given: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """What you saw, what is now, and what you typed."""
    order, action, head = found
    entries = missed(head, version)
    if not entries:
        return []
    then = as_of(order, visit.program.contracts, entries[0].applied_at - timedelta(milliseconds=1)).heads.get(action.id)
    if then is None:
        return []
    words, now, currency = visit.words, visit.hub.now(), visit.program.currency
    say, money = words.say, words.minor

    def units(quantity: int) -> str:
        return words.count("%(number)s unit", "%(number)s units", quantity)

    def state(one: Head) -> str:
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
