"""Send a file: at once, out of what lies in the inbox already, or to an address for large ones."""

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
    """Where one larger file is to be put, and until when."""

    delivery: Delivery
    url: str
    expires_at: datetime


def choose_source(program: Program, name: str | None = None) -> Source:
    """The source of this name; else the program's first one of channel api and kind standard, else one of Retour's own.

    Its name scopes references, so it must not depend on anything that changes from request to request.
    """
    if name is not None:
        return find_source(program, name)
    fitting = (s for s in program.sources.values() if s.channel is Channel.API and s.kind in ("", "standard"))
    return next(fitting, program.source(Channel.API.value, Channel.API))


def safe_file_name(given: str) -> str:
    """A file's name as it is kept."""
    if not given.strip():
        raise bad_query("name", given, "file_name")
    name = names.safe_name(given)
    if why := names.skip_reason(given) or names.skip_reason(name):
        raise InvalidRequestError("FILE_NAME_NOT_TAKEN", why, name=excerpt(name))
    return name


def send_file(context: Context[Hub], source: Source, name: str, body: bytes) -> Batch:
    """Stored under its name in the inbox, where it is read like every other file."""
    delivery = build_file(context, source, name, body)
    announce_file(context.ports, delivery)
    context.ports.inbox.put(delivery.body_key, body)
    return Batch(delivery=delivery, state=ARRIVED)


def dry_run_file(context: Context[Hub], source: Source, name: str, body: bytes) -> Batch:
    """What a file would come to. One of many rows is read as large files are, by a delivery that has no effect."""
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
    """A larger file that lies in the inbox already, taken in as if it had just been put there."""
    delivery = build_upload(context, source, name, size, is_dry_run=is_dry_run)
    announce_file(context.ports, delivery)
    context.ports.inbox.duplicate(key, delivery.body_key)
    return Batch(delivery=delivery, state=ARRIVED)


def prepare_upload(
    context: Context[Hub], source: Source, name: str, size: int = SIZE_UNKNOWN, *, is_dry_run: bool = False
) -> Upload:
    """An address for one larger file; what is put there is read like every other file."""
    delivery = build_upload(context, source, name, size, is_dry_run=is_dry_run)
    announce_file(context.ports, delivery)
    url = context.ports.inbox.presign_put(delivery.body_key, UPLOAD_SECONDS)
    return Upload(delivery, url, context.now() + timedelta(seconds=UPLOAD_SECONDS))


def build_upload(context: Context[Hub], source: Source, name: str, size: int, *, is_dry_run: bool) -> Delivery:
    """A file whose bytes come later, and by another way."""
    identity = dry_run_identity() if is_dry_run else identity_of(context, "upload")
    empty = build_delivery(context, b"", source.name, DeliveryKind.FILE, identity)
    delivery = as_file(replace(empty, sha256=uploads.NO_HASH, size=size), name)
    return as_dry_run(delivery) if is_dry_run else delivery


def as_dry_run(delivery: Delivery) -> Delivery:
    """The same file, of which somebody only asks what would become of it."""
    facts: Mapping[str, str] = {**delivery.facts, DRY_RUN: "true"}
    return replace(delivery, facts=facts)


def dry_run_identity() -> str:
    """What a dry run is known by: neither what it says nor the key of what is sent in earnest later."""
    return f"{DRY_RUN}#{secrets.token_hex(16)}"
