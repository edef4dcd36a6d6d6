"""One act on many actions: what it would come to, in groups; then, confirmed, one delivery of it."""

import json
import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from retour.api import acts, listing
from retour.api.calls import Refused
from retour.api.documents import Document
from retour.console.actions.acting import said_of
from retour.console.request import Response, to
from retour.console.visit import Visit
from retour.domain.times import text

MANY = ("approve", "reverse", "restore")
LISTED = 100
CHOICE_SIGNS = 24


def bulk(visit: Visit) -> Response:
    form = visit.request.form
    act = form.get("act", "")
    if act not in MANY:
        raise visit.not_found()
    given = {name: form[name].strip() for name in ("reason", "note") if form.get(name, "").strip()}
    asked = asked_of(visit)
    confirmed = form.get("step") == "do"
    wrong: dict[str, str] = {}
    answer: Document = {"outcomes": [], "partners": []}
    if asked is None:
        wrong = {"form": visit.words.say("Select at least one action.")}
    else:
        body = json.dumps({"act": act, **asked, **given}, ensure_ascii=False).encode("utf-8", "surrogatepass")
        call = visit.call("POST", body, form.get("form", ""), {} if confirmed else {"dry_run": "true"})
        try:
            answer = acts.acts(visit.hub, call, visit.principal, visit.spoken)
        except Refused as refused:
            wrong = said_of(visit, refused)
    if confirmed and not wrong:
        return to(f"{visit.base}/deliveries/{answer['batch']}?told=apply")
    ids = answer.get("chosen") or (asked or {}).get("actions") or []
    return visit.render(
        "bulk.html",
        422 if wrong else 200,
        act=act,
        groups=groups_of(answer["outcomes"]),
        listed=LISTED,
        partners=answer.get("partners", ()),
        children=answer.get("children", ()),
        looked=answer.get("looked"),
        sum=sum_of(answer["outcomes"]),
        wrong=wrong,
        given=given,
        choice=frozen(visit, ids) if ids else "",
        count=len(ids),
        asked_for_all=bool(form.get("all")) or bool(form.get("frozen")),
        frozen_at=form.get("frozen") or (text(visit.hub.now()) if form.get("all") else ""),
        reasons=sorted(visit.program.reasons),
    )


# Which: as they were when they were looked at, so that nothing is acted on that nobody saw counted


def asked_of(visit: Visit) -> dict[str, Any] | None:
    """The actions that were ticked, all that match now, or those that were frozen before; None where none are."""
    form, ids = visit.request.form, visit.request.values("ids")
    if form.get("choice"):
        return {"actions": thawed(visit, form["choice"])}
    if form.get("all"):
        return {"filter": {name: form[f"f_{name}"] for name in listing.NAMES if form.get(f"f_{name}")}}
    return {"actions": ids} if ids else None


def frozen(visit: Visit, ids: Sequence[str]) -> str:
    """Keeps a choice beside the raw deliveries, which end by themselves."""
    if visit.request.form.get("choice"):
        return visit.request.form["choice"]
    choice = secrets.token_hex(CHOICE_SIGNS // 2)
    visit.hub.inbox.put(key(visit, choice), json.dumps(list(ids)).encode())
    return choice


def thawed(visit: Visit, choice: str) -> list[str]:
    if len(choice) != CHOICE_SIGNS or not choice.isalnum():
        raise visit.not_found()
    try:
        ids: list[str] = json.loads(visit.hub.inbox.read(key(visit, choice)))
    except KeyError:
        raise visit.not_found() from None
    return ids


def key(visit: Visit, choice: str) -> str:
    return f"raw/{visit.program.id}/chosen-{choice}"


# What it would come to


def groups_of(outcomes: Sequence[Document]) -> Mapping[str, Sequence[Document]]:
    return {
        "change": [one for one in outcomes if one["outcome"] == "applied"],
        "same": [one for one in outcomes if one["outcome"] in ("unchanged", "duplicate", "superseded")],
        "cannot": [one for one in outcomes if one["outcome"] in ("refused", "held", "waiting")],
    }


def sum_of(outcomes: Sequence[Document]) -> list[Document]:
    """What the payouts change by together."""
    sums: dict[str, Decimal] = {}
    for one in outcomes:
        effect = one["effect"]
        if effect and one["outcome"] == "applied":
            change = Decimal(effect["payout"]["after"]) - Decimal(effect["payout"]["before"])
            sums[effect["payout_currency"]] = sums.get(effect["payout_currency"], Decimal(0)) + change
    return [{"currency": currency, "amount": amount} for currency, amount in sums.items() if amount]
