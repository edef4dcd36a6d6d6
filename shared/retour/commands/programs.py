"""Apply a program document as the next version of its program."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retour.commands.delivery import CONSOLE_SOURCE
from retour.commands.keys import create_api_key
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import PROGRAM_ID, Program
from retour.errors import InvalidRequestError, NotFoundError
from retour.intake.programs import record_program
from retour.previews import program as program_preview
from retour.setup.credentials import create_credentials
from retour.store.programs import Principal
from retour.views.documents import Document
from retour.wiring import Hub

if TYPE_CHECKING:
    from retour.setup.program_file import Fault

PROGRAM_MAX = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyProgram:
    """A document, as it was written, as the next version of this program, which may be its first. Partners with open
    actions are left without terms only where that is said."""

    program_id: str
    written: bytes
    leave_without_terms: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """A document that may be applied: beside what is in force, and what applying it would change."""

    known: Program | None
    document: dict[str, Any]
    changed: bool
    effects: Document


def apply_program(hub: Hub, caller: Principal, asked: ApplyProgram, key: str = "") -> Document:
    """Apply a document. New sources' secrets are only in this response."""
    checked = check_program(hub, caller, asked)
    shown = dict(checked.effects)
    if checked.known is None:
        shown["api_key"] = create_api_key(hub, asked.program_id, "first key", caller.name).key
    delivery = Delivery.create(
        asked.written,
        received_at=hub.now(),
        program=asked.program_id,
        channel=Channel.CONSOLE,
        source=CONSOLE_SOURCE,
        kind=DeliveryKind.PROGRAM,
        identity=f"{DeliveryKind.PROGRAM}#{key}" if key else "",
        sender=caller.name,
        name=f"{asked.program_id}.yaml",
    )
    applied = record_program(hub, delivery, asked.written)
    if isinstance(applied, list):
        raise AssertionError(f"judged right before it was stored, wrong after: {applied}")
    now_in_force, fresh = applied
    if made_now := create_credentials(hub, now_in_force, caller.name):
        shown["credentials"] = made_now
    version = now_in_force.version
    return {"program": asked.program_id, "version": version, "changed": fresh, "batch": delivery.id, **shown}


def preview_program(hub: Hub, caller: Principal, asked: ApplyProgram) -> Document:
    """Preview a document: the version it would make, and its effects."""
    checked = check_program(hub, caller, asked)
    version = (checked.known.version if checked.known else 0) + checked.changed
    return {
        "program": asked.program_id,
        "version": version,
        "changed": checked.changed,
        "dry_run": True,
        "batch": None,
        **checked.effects,
    }


def check_program(hub: Hub, caller: Principal, asked: ApplyProgram) -> Checked:
    """Validate a document. Raises with all faults."""
    is_id = PROGRAM_ID.fullmatch(asked.program_id) is not None
    known = hub.programs.get(asked.program_id) if is_id and caller.may(asked.program_id) else None
    if known is None and not (is_id and caller.is_admin):
        raise NotFoundError("program")
    document = parse_document(asked, known)
    changed = known is None or hub.programs.newest_version(asked.program_id).document != document
    effects: Document = {}
    if known is not None and changed:
        text, leave = asked.written.decode("utf-8"), asked.leave_without_terms
        if faults := program_preview.find_faults(hub, known, document, text, leave_without_terms=leave):
            raise invalid_program(faults)
        effects |= program_preview.preview_program(hub, known, document)
    if warnings := program_preview.funding(hub, document):
        effects["funding"] = warnings
    if subscriptions := program_preview.subscriptions(known, document):
        effects["subscriptions"] = subscriptions
    return Checked(known, document, changed, effects)


def parse_document(asked: ApplyProgram, known: Program | None) -> dict[str, Any]:
    from retour.setup import program_file

    if not asked.written:
        raise InvalidRequestError("BODY_EMPTY")
    if len(asked.written) > PROGRAM_MAX:
        raise InvalidRequestError("BODY_TOO_LARGE", size=str(len(asked.written)), most=str(PROGRAM_MAX))
    try:
        document = program_file.parse_program(asked.written.decode("utf-8"), known.lists if known else ())
    except UnicodeDecodeError:
        raise InvalidRequestError("NOT_UTF8", "program") from None
    if isinstance(document, list):
        raise invalid_program(document)
    if document["program"] != asked.program_id:
        raise InvalidRequestError("PROGRAM_MISMATCH", program=str(document["program"]))
    return document


def invalid_program(faults: "Sequence[Fault]") -> InvalidRequestError:
    """The error with all faults and correct forms."""
    return invalid_document(faults, "PROGRAM_INVALID")


def invalid_document(faults: "Sequence[Fault]", code: str) -> InvalidRequestError:
    errors = [
        {
            "line": fault.line,
            "column": fault.column,
            "key": fault.key,
            "code": fault.what.code.removeprefix("FAULT_"),
            "detail": fault.what,
        }
        for fault in faults
    ]
    about = "one" if len(errors) == 1 else "several"
    return InvalidRequestError(code, about, members={"errors": errors}, count=str(len(errors)))
