"""Send a file: directly, from the inbox, or by a pre-signed URL."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from retour.commands.delivery import as_file, build_delivery, identity_of
from retour.context import Context
from retour.domain.delivery import DRY_RUN, Channel, Delivery, DeliveryKind
from retour.domain.program import Program, Source
from retour.errors import InvalidRequestError, excerpt
from retour.files import names
from retour.intake import uploads
from retour.intake.batch import ARRIVED, Batch
from retour.intake.dry_run import dry_run_delivery
from retour.intake.file import is_large
from retour.intake.ingest import announce_file
from retour.views.parameters import bad_query
from retour.views.sources import find_source
from retour.wiring import Hub

FILE_MAX = 4 * 1024 * 1024
UPLOAD_SECONDS = 900
SIZE_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Upload:
    """The pre-signed URL of an upload, and its expiry."""

    delivery: Delivery
    url: str
    expires_at: datetime


def choose_source(program: Program, name: str | None = None) -> Source:
    """The named source; else the program's first of channel api and kind standard, else Retour's own.

    Its name scopes references, so it must not depend on anything that changes between requests.
    """
    if name is not None:
        return find_source(program, name)
    fitting = (s for s in program.sources.values() if s.channel is Channel.API and s.kind in ("", "standard"))
    return next(fitting, program.source(Channel.API.value, Channel.API))


def safe_file_name(given: str) -> str:
    """A file name safe to store."""
    if not given.strip():
        raise bad_query("name", given, "file_name")
    name = names.safe_name(given)
    if why := names.skip_reason(given) or names.skip_reason(name):
        raise InvalidRequestError("FILE_NAME_NOT_TAKEN", why, name=excerpt(name))
    return name


def send_file(context: Context[Hub], source: Source, name: str, body: bytes) -> Batch:
    """Store a file in the inbox, where it is processed like any other."""
    delivery = build_file(context, source, name, body)
    announce_file(context.ports, delivery)
    context.ports.inbox.put(delivery.body_key, body)
    return Batch(delivery=delivery, state=ARRIVED)


def dry_run_file(context: Context[Hub], source: Source, name: str, body: bytes) -> Batch:
    """Simulate a file. One with many rows is processed as a large file without effect."""
    delivery = build_file(context, source, name, body, dry_run_identity())
    if not is_large(context.ports, delivery, body):
        return dry_run_delivery(context.ports, delivery, body)
    filed = as_dry_run(delivery)
    announce_file(context.ports, filed)
    context.ports.inbox.put(filed.body_key, body)
    return Batch(delivery=filed, state=ARRIVED)


def build_file(context: Context[Hub], source: Source, name: str, body: bytes, identity: str = "") -> Delivery:
    return as_file(build_delivery(context, body, source.name, DeliveryKind.FILE, identity), name)


def send_stored_file(
    context: Context[Hub], source: Source, name: str, key: str, size: int, *, is_dry_run: bool = False
) -> Batch:
    """Ingest a file that is already in the inbox."""
    delivery = build_upload(context, source, name, size, is_dry_run=is_dry_run)
    announce_file(context.ports, delivery)
    context.ports.inbox.duplicate(key, delivery.body_key)
    return Batch(delivery=delivery, state=ARRIVED)


def prepare_upload(
    context: Context[Hub], source: Source, name: str, size: int = SIZE_UNKNOWN, *, is_dry_run: bool = False
) -> Upload:
    """Create a pre-signed URL to upload a file."""
    delivery = build_upload(context, source, name, size, is_dry_run=is_dry_run)
    announce_file(context.ports, delivery)
    url = context.ports.inbox.presign_put(delivery.body_key, UPLOAD_SECONDS)
    return Upload(delivery, url, context.now() + timedelta(seconds=UPLOAD_SECONDS))


def build_upload(context: Context[Hub], source: Source, name: str, size: int, *, is_dry_run: bool) -> Delivery:
    """Create the delivery of a file whose bytes come later."""
    identity = dry_run_identity() if is_dry_run else identity_of(context, "upload")
    empty = build_delivery(context, b"", source.name, DeliveryKind.FILE, identity)
    delivery = as_file(replace(empty, sha256=uploads.NO_HASH, size=size), name)
    return as_dry_run(delivery) if is_dry_run else delivery


def as_dry_run(delivery: Delivery) -> Delivery:
    """The same file as a dry run."""
    facts: Mapping[str, str] = {**delivery.facts, DRY_RUN: "true"}
    return replace(delivery, facts=facts)


def dry_run_identity() -> str:
    """A unique identity, so that a dry run never counts as the real delivery."""
    return f"{DRY_RUN}#{secrets.token_hex(16)}"
