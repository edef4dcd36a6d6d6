"""Keys and secrets: which there are and when each was last used; a new one shown once, an old one ended for good."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from retour.api import admission, keys
from retour.api.calls import Refused
from retour.api.documents import Document
from retour.console.request import Response, to
from retour.console.setup.channels import declared
from retour.console.visit import Visit
from retour.domain.program import Source
from retour.setup.credentials import LIVE, SEVERAL, wanted


@dataclass(frozen=True)
class Ending:
    """What somebody is about to revoke: said with its last use before it is done."""

    line: Document
    source: str = ""


def index(visit: Visit, wrong: str = "", status: int = 200) -> Response:
    held = {one.name: holding(visit, one) for one in declared(visit)}
    return visit.render(
        "secrets.html",
        status,
        keys=keys.listed(visit.hub, visit.program)["items"],
        held=held,
        ending=ending(visit, held),
        wrong=wrong,
        name=visit.request.form.get("name", ""),
    )


def holding(visit: Visit, source: Source) -> dict[str, Any]:
    """What a source holds, and of what it may have a second one made."""
    lines = keys.secrets_of(visit.hub, visit.program, source.name)
    live = Counter(line["what"] for line in lines["items"])
    makes = [what for what in wanted(source) if what in SEVERAL and live[what] < LIVE]
    return {"lines": lines, "makes": makes, "channel": source.channel.value}


def ending(visit: Visit, held: dict[str, Any]) -> Ending | None:
    """What the address names, if it is still live."""
    asked = visit.request.query
    if source := asked.get("source"):
        lines = held.get(source, {"lines": {"items": []}})["lines"]["items"]
        fitting = (one for one in lines if (one["what"], one["id"]) == (asked.get("what"), asked.get("id")))
    else:
        every = keys.listed(visit.hub, visit.program)["items"]
        fitting = (one for one in every if one["id"] == asked.get("id") and not one["revoked_at"])
    line = next(fitting, None)
    return Ending(line, source or "") if line else None


def create(visit: Visit) -> Response:
    """A new API key, shown on this page and never again."""
    call = visit.call("POST", json.dumps({"name": visit.request.form.get("name", "").strip()}).encode())
    try:
        made = keys.create(visit.hub, call, visit.principal, visit.program)
    except Refused as refused:
        if refused.status != 422:
            raise
        said = visit.words.say("Name the key after who uses it, in 1 to 100 signs.")
        return index(visit, said, 422)
    return once(visit, {made["name"]: {"key": made["key"]}})


def revoke(visit: Visit) -> Response:
    form, hub, program = visit.request.form, visit.hub, visit.program
    if source := form.get("source"):
        keys.revoke_secret(hub, visit.principal, program, source, form.get("what", ""), form.get("id", ""))
    else:
        keys.revoke(hub, visit.principal, program, form.get("id", ""))
    return to(f"{visit.base}/setup/keys")


def rotate(visit: Visit) -> Response:
    """A second secret of a source, live beside the first."""
    form = visit.request.form
    name = form.get("source", "")
    if form.get("what") == keys.OPENPGP:
        made = keys.new_openpgp_key(visit.hub, visit.principal, visit.program, name)
        return once(visit, {name: {"openpgp": made["public_key"]}})
    try:
        made = keys.rotate_secret(visit.hub, visit.principal, visit.program, name, form.get("what", ""))
    except Refused as refused:
        if refused.status != 409:
            raise
        said = visit.words.say("Two are live. Revoke the one that nobody uses any more, then make a new one.")
        return index(visit, said, 409)
    return once(visit, {name: {what: value for what, value in made.items() if what not in ("source", "what")}})


def hand_over(visit: Visit) -> Response:
    """What somebody else made, such as the password of a merchant's server; it is never shown again."""
    form = visit.request.form
    found = admission.source_of(visit.program, visit.part["source"])
    what = form.get("what", "")
    value = form.get("value", "").strip() if what == "private_key" else form.get("value", "")
    given = {what: [value] if what in SEVERAL else value.replace("\r\n", "\n")}
    call = visit.call("PUT", json.dumps(given).encode())
    try:
        keys.set_secret(visit.hub, call, visit.principal, visit.program, found.name)
    except Refused as refused:
        if refused.status != 422:
            raise
        return visit.problem(422, visit.words.say("This is no such secret: %(said)s", said=visit.told(refused)))
    return to(f"{visit.base}/setup/sources/{found.name}")


def once(visit: Visit, shown: dict[str, dict[str, str]]) -> Response:
    return visit.render("credentials.html", credentials=shown, back=f"{visit.base}/setup/keys")
