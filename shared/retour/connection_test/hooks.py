"""Our own address of a source's webhooks: a signed call is believed, a forged one is turned away. Nothing is stored."""

import json
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from retour.channels.subscriptions import what_to_subscribe
from retour.channels.webhook import Hooks, hooks
from retour.connection_test.steps import Course
from retour.domain.program import Program, Source
from retour.remote import RemoteError
from retour.remote.https import post
from retour.setup.credentials import access, shop_secrets, signing_secret
from retour.sync.shops import shop_of

if TYPE_CHECKING:
    from retour.wiring import Hub

SECONDS = 8
LATELY = timedelta(days=7)
BELIEVED, FORGED = 200, 401


def attempt(hub: "Hub", program: Program, source: Source, course: Course) -> None:
    live = signing(hub, program, source)
    course.done("secret", count=len(live))

    url, sender = access(hub, program, source)["url"], hooks(source.kind)
    status = called(hub, url, sender, live)
    if status not in (BELIEVED, FORGED):
        raise RemoteError("HOOK_NOT_THERE", url=url, status=status)
    course.done("address", url=url)
    if status == FORGED:
        raise RemoteError("HOOK_NOT_BELIEVED")
    course.done("believed", kind=source.kind or "standard")

    status = called(hub, url, sender, [signing_secret()])
    if status != FORGED:
        raise RemoteError("HOOK_BELIEVES_ANYBODY", status=status)
    course.done("forged", status=status)

    if shop_secrets(source):
        shop = shop_of(hub, program, source)
        seen = shop.changed(shop.lists[0], hub.now() - LATELY, 1)
        course.done("orders", count=len(seen), days=LATELY.days)
    wanted = what_to_subscribe(source)
    if wanted is not None:
        code, details = wanted
        course.done("events", code, **details)
    if source.kind in ("", "standard"):
        called_with_keys(hub, program, course)


def signing(hub: "Hub", program: Program, source: Source) -> list[str]:
    """The live secrets that senders sign with; RemoteError while there is none."""
    live: list[str] = hub.secret(program.id, source.name).get("signing", [])
    if not live:
        raise RemoteError("SIGNING_SECRET_MISSING", source=source.name)
    return live


def called_with_keys(hub: "Hub", program: Program, course: Course) -> None:
    """Whether anybody may call with a key as well; who only sends webhooks needs none."""
    live = [key for key in hub.programs.keys(program.id) if not key.revoked_at]
    newest = max((key.last_used_at for key in live), default="")
    if not live:
        course.warned("key", "API_WITHOUT_KEY")
    elif newest:
        course.done("key", count=len(live), at=newest)
    else:
        course.done("key", "TRIED_API_KEY_UNUSED", count=len(live))


def called(hub: "Hub", url: str, sender: Hooks, signed_with: list[str]) -> int:
    """The status with which our own address answers a call that asks for nothing."""
    body = json.dumps({"type": "retour.test", "id": secrets.token_hex(8)}).encode()
    headers = sender.signed(body, signed_with, hub.real_now())
    return post(url, body, headers, allow_private=hub.settings.allow_private_hosts, seconds=SECONDS)
