"""Callbacks of sources of channel api: posted to the source's URL and signed by Standard Webhooks."""

import base64
import binascii
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from retour.channels import signature
from retour.domain.actions.outcome import Result
from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.domain.times import format_instant
from retour.intake.batch import ROWS_LISTED_MAX
from retour.remote import RemoteError
from retour.remote.https import post
from retour.store.deliveries import DeliveryHeader
from retour.views import documents

if TYPE_CHECKING:
    from retour.wiring import Hub

logger = logging.getLogger(__name__)

SETTLED_EVENT = "batch.settled"


def post_callback(
    hub: "Hub", program: Program, source: Source, header: DeliveryHeader, results: Sequence[Result], again: str = ""
) -> None:
    """Post the outcome of a delivery if its source has a callback. Idempotent after a crash.

    Raises RemoteError if the receiver may accept it later. `again` names the records of a second answer, which is a
    separate callback; so is the result of a held file after its release.
    """
    delivery = header.delivery
    url = source.options.get("callback")
    if delivery.channel is not Channel.API or delivery.is_dry_run or not url or not hub.settings.outward:
        return
    seen = hub.state(program.id, source.name)
    what = again or header.state
    mark = f"called#{delivery.id}#{what}"
    if seen.get(mark) is not None:
        return
    counts = header.report.get("counts") or documents.count_outcomes(results)
    batch = documents.batch_document(header, program, counts)
    batch["outcomes"] = [documents.result_document(result, program.language) for result in results[:ROWS_LISTED_MAX]]
    at = hub.now()
    body = json.dumps(
        {"type": SETTLED_EVENT if again else f"batch.{header.state}", "timestamp": format_instant(at), "data": batch},
        ensure_ascii=False,
    ).encode()
    identity = f"{delivery.id}.{what}"
    try:
        secrets = hub.secret(program.id, source.name).get("callback", ())
        headers = sign_callback(body, identity, hub.real_now(), secrets)
        status = post(url, body, headers, allow_private=hub.settings.allow_private_hosts)
        if not 200 <= status < 300:
            raise RemoteError("CALLBACK_REFUSED", host=urlsplit(url).hostname, status=status)
    except RemoteError as error:
        if not error.lasting:
            raise
        logger.warning("callback given up: %s", error.code, extra={"delivery": delivery.id, "program": program.id})
        seen.put(mark, {"at": format_instant(at), "failed": error.sentence})
        return
    seen.put(mark, {"at": format_instant(at)})


def sign_callback(body: bytes, identity: str, at: datetime, secrets: Sequence[str]) -> dict[str, str]:
    """The headers of a signed body, with one signature per active secret."""
    if not secrets:
        raise RemoteError("NO_SECRET")
    return signature.sign_standard_webhook(body, identity, map(signing_key, secrets), at)


def signing_key(secret: str) -> bytes:
    """The key of `whsec_<base64>`; other text is used as it is."""
    encoded = secret.removeprefix("whsec_")
    with suppress(binascii.Error, ValueError):
        if encoded != secret:
            return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    return secret.encode()
