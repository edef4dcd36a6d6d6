"""Steps for a webhook source: a signed call is accepted, a forged one rejected. Stores nothing."""

import json
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from retour.channels.signature_scheme import public_key_fingerprint
from retour.channels.subscriptions import subscription_sentence
from retour.channels.webhook import WebhookAdapter, source_adapter
from retour.connection_test.steps import StepRecorder
from retour.domain.program import Program, Source
from retour.remote import RemoteError
from retour.remote.https import post
from retour.setup.clients import shop_client
from retour.setup.credentials import access_info, new_signing_secret, shop_secrets, signs_with_secret

if TYPE_CHECKING:
    from retour.wiring import Hub

SECONDS = 8
LATELY = timedelta(days=7)
ACCEPTED_STATUS, REJECTED_STATUS = 200, 401


def run_steps(hub: "Hub", program: Program, source: Source, recorder: StepRecorder) -> None:
    url = access_info(hub, program, source)["url"]
    sender = source_adapter(source, url)
    if signs_with_secret(source):
        check_secret(hub, url, sender, (program, source), recorder)
    else:
        check_sender_key(hub, url, sender, source, recorder)
    if shop_secrets(source):
        shop = shop_client(hub, program, source)
        seen = shop.changed(shop.lists[0], hub.now() - LATELY, 1)
        recorder.record_done("orders", count=len(seen), days=LATELY.days)
    wanted = subscription_sentence(source)
    if wanted is not None:
        code, details = wanted
        recorder.record_done("events", code, **details)
    if source.kind in ("", "standard"):
        check_api_keys(hub, program, recorder)


def check_secret(
    hub: "Hub", url: str, sender: WebhookAdapter, whose: tuple[Program, Source], recorder: StepRecorder
) -> None:
    """A test event under the live secrets is believed, a forged one is not."""
    program, source = whose
    live = signing_secrets(hub, program, source)
    recorder.record_done("secret", count=len(live))
    status = post_test_event(hub, url, sender, live)
    if status not in (ACCEPTED_STATUS, REJECTED_STATUS):
        raise RemoteError("HOOK_NOT_THERE", url=url, status=status)
    recorder.record_done("address", url=url)
    if status == REJECTED_STATUS:
        raise RemoteError("HOOK_NOT_BELIEVED")
    recorder.record_done("believed", kind=source.kind or "standard")
    check_forged(hub, url, sender, recorder)


def check_forged(hub: "Hub", url: str, sender: WebhookAdapter, recorder: StepRecorder) -> None:
    status = post_test_event(hub, url, sender, [new_signing_secret()])
    if status != REJECTED_STATUS:
        raise RemoteError("HOOK_BELIEVES_ANYBODY", status=status)
    recorder.record_done("forged", status=status)


def check_sender_key(hub: "Hub", url: str, sender: WebhookAdapter, source: Source, recorder: StepRecorder) -> None:
    """What can be tried where only the sender can sign: which keys are believed, and that nobody else is."""
    pinned: Sequence[str] = source.options.get("signature", {}).get("public_keys", ())
    if pinned:
        fingerprints = ", ".join(public_key_fingerprint(key) for key in pinned)
        recorder.record_done("secret", "TRIED_PINNED_KEYS", count=len(pinned), fingerprints=fingerprints)
    else:
        recorder.record_done("secret", "TRIED_OWN_CERTIFICATE", kind=source.kind)
    status = post_test_event(hub, url, sender, [new_signing_secret()])
    if status not in (ACCEPTED_STATUS, REJECTED_STATUS):
        raise RemoteError("HOOK_NOT_THERE", url=url, status=status)
    recorder.record_done("address", url=url)
    recorder.record_warning("believed", "ONLY_SENDER_SIGNS")
    check_forged(hub, url, sender, recorder)


def required_secrets(hub: "Hub", program: Program, source: Source) -> list[str]:
    """The live secrets that senders sign with, none where they sign with keys of their own. RemoteError."""
    return signing_secrets(hub, program, source) if signs_with_secret(source) else []


def signing_secrets(hub: "Hub", program: Program, source: Source) -> list[str]:
    """The active signing secrets. Raises RemoteError if there are none."""
    live: list[str] = hub.secret(program.id, source.name).get("signing", [])
    if not live:
        raise RemoteError("SIGNING_SECRET_MISSING", source=source.name)
    return live


def check_api_keys(hub: "Hub", program: Program, recorder: StepRecorder) -> None:
    """Check whether an API key exists. Sources that only receive webhooks need none."""
    live = [key for key in hub.programs.keys(program.id) if not key.revoked_at]
    newest = max((key.last_used_at for key in live), default="")
    if not live:
        recorder.record_warning("key", "API_WITHOUT_KEY")
    elif newest:
        recorder.record_done("key", count=len(live), at=newest)
    else:
        recorder.record_done("key", "TRIED_API_KEY_UNUSED", count=len(live))


def post_test_event(hub: "Hub", url: str, sender: WebhookAdapter, signed_with: list[str]) -> int:
    """Post a signed request without effect to our own URL and return the status."""
    body = json.dumps({"type": "retour.test", "id": secrets.token_hex(8)}).encode()
    headers = sender.sign_headers(body, signed_with, hub.real_now())
    return post(url, body, headers, allow_private=hub.settings.allow_private_hosts, seconds=SECONDS)
