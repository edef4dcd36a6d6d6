"""Read and apply programs over the API."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from retour.api import program_preview
from retour.api.authorization import build_delivery
from retour.api.calls import CONSOLE_SOURCE, PROGRAM_ID, PROGRAM_MAX, YAML_TYPES, Call, ProblemError, not_found
from retour.api.keys import create_api_key
from retour.domain.delivery import DeliveryKind
from retour.domain.program import Program
from retour.intake.replay import record_program
from retour.setup.credentials import access_info, create_credentials
from retour.store.programs import Principal
from retour.views import documents
from retour.views.documents import Document
from retour.wiring import Hub

if TYPE_CHECKING:
    from retour.setup.program_file import Fault


def list_programs(hub: Hub, principal: Principal) -> Document:
    """One line for each program the key opens."""
    found = []
    for name in hub.programs.ids() if principal.is_admin else [principal.program]:
        with suppress(KeyError):  # A key may be made before its program is.
            newest = hub.programs.newest_version(name)
            document = newest.document
            found.append(
                {
                    "program": name,
                    "name": document.get("name", name),
                    "currency": document["currency"],
                    "time_zone": document["time_zone"],
                    "version": newest.version,
                    "applied_at": newest.recorded_at,
                    "sources": [*document.get("sources", {})],
                }
            )
    return {"items": found, "next": None}


def get_program(hub: Hub, program: Program) -> Document:
    newest = hub.programs.newest_version(program.id)
    return {
        "program": program.id,
        "name": program.name,
        "currency": program.currency,
        "time_zone": program.time_zone,
        "version": newest.version,
        "applied_at": newest.recorded_at,
        "document": newest.document,
        "contracts": [documents.contract_document(contract) for contract in program.contracts],
        "sources": {
            name: {"channel": source.channel.value, "kind": source.kind, **access_info(hub, program, source)}
            for name, source in program.sources.items()
            if name in newest.document.get("sources", {})
        },
    }


def apply_program(hub: Hub, call: Call, principal: Principal, program_id: str) -> Document:
    """A document as the program's next version; the secrets its new sources need are shown in this answer only."""
    known = hub.programs.get(program_id) if principal.may(program_id) and PROGRAM_ID.fullmatch(program_id) else None
    if known is None and not (principal.is_admin and PROGRAM_ID.fullmatch(program_id)):
        raise not_found("program")
    document = parse_program(call, program_id, known)
    changed = known is None or hub.programs.newest_version(program_id).document != document
    if known is not None and changed:
        written, leave = call.body.decode("utf-8"), call.flag("leave_without_terms")
        if faults := program_preview.find_faults(hub, known, document, written, leave_without_terms=leave):
            raise invalid_program(faults)
    shown: Document = program_preview.preview_program(hub, known, document) if known is not None and changed else {}
    if warnings := program_preview.funding(hub, document):
        shown["funding"] = warnings
    if told := program_preview.subscriptions(known, document):
        shown["subscriptions"] = told
    if call.is_dry_run:
        version = (known.version if known else 0) + changed
        return {"program": program_id, "version": version, "changed": changed, "dry_run": True, "batch": None, **shown}
    if known is None:
        shown["api_key"], _ = create_api_key(hub, program_id, "first key", principal.name)
    delivery = build_delivery(
        call, hub, principal, program_id, CONSOLE_SOURCE, DeliveryKind.PROGRAM, name=f"{program_id}.yaml"
    )
    applied = record_program(hub, delivery, call.body)
    if isinstance(applied, list):
        raise AssertionError(f"judged right before it was stored, wrong after: {applied}")
    now_in_force, fresh = applied
    if made_now := create_credentials(hub, now_in_force, principal.name):
        shown["credentials"] = made_now
    return {"program": program_id, "version": now_in_force.version, "changed": fresh, "batch": delivery.id, **shown}


def parse_program(call: Call, program_id: str, known: Program | None) -> dict[str, Any]:
    from retour.setup import program_file

    try:
        text = call.read_body(PROGRAM_MAX, YAML_TYPES).decode("utf-8")
        document = program_file.parse_program(text, known.lists if known else ())
    except UnicodeDecodeError:
        raise ProblemError("NOT_UTF8", "program") from None
    if isinstance(document, list):
        raise invalid_program(document)
    if document["program"] != program_id:
        raise ProblemError("PROGRAM_MISMATCH", program=str(document["program"]))
    return document


def invalid_program(faults: "Sequence[Fault]") -> ProblemError:
    """Every line at fault, with what is right."""
    return invalid_document(faults, "PROGRAM_INVALID")


def invalid_document(faults: "Sequence[Fault]", code: str) -> ProblemError:
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
    return ProblemError(code, about, members={"errors": errors}, count=str(len(errors)))
