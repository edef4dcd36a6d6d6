"""Keys and secrets: list with last use, create (shown once), revoke."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from retour.commands import keys
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.console.setup.channels import declared_sources
from retour.domain.program import Source
from retour.errors import ConflictError, InvalidRequestError
from retour.setup.credentials import LIVE_MAX, ROTATABLE, generated_kinds
from retour.views import keys as views
from retour.views.documents import Document
from retour.views.sources import find_source


@dataclass(frozen=True)
class Revocation:
    """A pending revocation, shown with the last use before it is confirmed."""

    line: Document
    source: str = ""


def index(context: PageContext, wrong: str = "", status: int = 200) -> Response:
    held = {one.name: source_secrets(context, one) for one in declared_sources(context)}
    return context.render(
        "secrets.html",
        status,
        keys=views.list_keys(context.hub, context.program)["items"],
        held=held,
        ending=pending_revocation(context, held),
        wrong=wrong,
        name=context.request.form.get("name", ""),
    )


def source_secrets(context: PageContext, source: Source) -> dict[str, Any]:
    """A source's secrets, and which of them can be rotated."""
    lines = views.list_secrets(context.hub, context.program, source)
    live = Counter(line["what"] for line in lines["items"])
    makes = [what for what in generated_kinds(source) if what in ROTATABLE and live[what] < LIVE_MAX]
    return {"lines": lines, "makes": makes, "channel": source.channel.value}


def pending_revocation(context: PageContext, held: dict[str, Any]) -> Revocation | None:
    """The secret in the URL, if it is still active."""
    asked = context.request.query
    if source := asked.get("source"):
        lines = held.get(source, {"lines": {"items": []}})["lines"]["items"]
        fitting = (one for one in lines if (one["what"], one["id"]) == (asked.get("what"), asked.get("id")))
    else:
        every = views.list_keys(context.hub, context.program)["items"]
        fitting = (one for one in every if one["id"] == asked.get("id") and not one["revoked_at"])
    line = next(fitting, None)
    return Revocation(line, source or "") if line else None


def create(context: PageContext) -> Response:
    """Create an API key, shown once on this page."""
    try:
        made = keys.create_key(context.command_context, context.request.form.get("name", "").strip())
    except InvalidRequestError:
        said = context.words.say("Name the key after its user, in 1 to 100 characters.")
        return index(context, said, 422)
    return show_once(context, {made.kept.name: {"key": made.key}})


def revoke(context: PageContext) -> Response:
    form = context.request.form
    if name := form.get("source"):
        source = find_source(context.program, name)
        keys.revoke_secret(context.command_context, source, form.get("what", ""), form.get("id", ""))
    else:
        keys.revoke_key(context.command_context, form.get("id", ""))
    return redirect(f"{context.base}/setup/keys")


def rotate(context: PageContext) -> Response:
    """Add a second secret beside the first."""
    form = context.request.form
    source = find_source(context.program, form.get("source", ""))
    if form.get("what") == views.OPENPGP_KIND:
        made = keys.create_openpgp_key(context.command_context, source)
        return show_once(context, {source.name: {"openpgp": made["public_key"]}})
    try:
        return show_once(
            context, {source.name: keys.rotate_secret(context.command_context, source, form.get("what", ""))}
        )
    except ConflictError:
        return index(context, context.words.say("Two are live. Revoke the unused one first."), 409)


def set_secret(context: PageContext) -> Response:
    """Store a secret from elsewhere, such as a server's password. It is never shown again."""
    form = context.request.form
    found = find_source(context.program, context.part["source"])
    what = form.get("what", "")
    value = form.get("value", "").strip() if what == "private_key" else form.get("value", "")
    given = {what: [value] if what in ROTATABLE else value.replace("\r\n", "\n")}
    try:
        keys.set_secret(context.command_context, found, given)
    except InvalidRequestError as refused:
        return context.problem(422, context.words.say("Not a valid secret: %(said)s", said=context.explain(refused)))
    return redirect(f"{context.base}/setup/sources/{found.name}")


def show_once(context: PageContext, shown: dict[str, dict[str, str]]) -> Response:
    return context.render("credentials.html", credentials=shown, back=f"{context.base}/setup/keys")
