"""Named lists of a program: uploaded as a whole, immutable, identified by the hash of their content."""

import re
from typing import Any

from retour.api import program_preview
from retour.api.authorization import build_delivery
from retour.api.calls import CONSOLE_SOURCE, Call, ProblemError, not_found
from retour.api.programs import invalid_document
from retour.domain.contracts.contract import referenced_names
from retour.domain.contracts.named_list import named_list
from retour.domain.delivery import DeliveryKind
from retour.domain.program import Program
from retour.intake.replay import LIST_FACT, record_program
from retour.store.programs import Principal
from retour.views.documents import Document
from retour.wiring import Hub

LIST_MAX = 3 * 1024 * 1024
LIST_TYPES = ("text/plain", "text/csv", "application/octet-stream")
LIST_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")


def list_named_lists(hub: Hub, program: Program) -> Document:
    """Every list by its name, those that the program writes out as well."""
    document = hub.programs.newest_version(program.id).document
    written = {name: named_list(entries) for name, entries in document.get("lists", {}).items()}
    counts = {name: len(document["lists"][name]) for name in written}
    used: dict[str, list[str]] = {}
    for contract, body in document["contracts"].items():
        for name in referenced_names(body)[1]:
            used.setdefault(name, []).append(contract)
    found = [
        {
            "name": name,
            "sha256": written[name].sha256 if name in written else program.lists[name],
            "entries": counts[name]
            if name in counts
            else len(hub.programs.lists.entries(program.id, program.lists[name])),
            "written_in_program": name in written,
            "contracts": used.get(name, []),
        }
        for name in sorted({*program.lists, *written})
    ]
    return {"items": found, "next": None}


def entries_text(hub: Hub, program: Program, name: str) -> str:
    """The list as a text, one entry a line."""
    said = hub.programs.newest_version(program.id).document.get("lists", {}).get(name)
    if said is None and name not in program.lists:
        raise not_found("list", program=program.id)
    return "\n".join(sorted(said) if said else hub.programs.lists.entries(program.id, program.lists[name])) + "\n"


def put_list(hub: Hub, call: Call, principal: Principal, program: Program, name: str) -> Document:
    """The list of this name from now on; what speaks of it becomes a new version of its terms."""
    from retour.setup.list_file import read_list

    body = call.read_body(LIST_MAX, LIST_TYPES)
    if not LIST_NAME.fullmatch(name):
        raise ProblemError("LIST_NAME_INVALID", name=name[:80])
    document = hub.programs.newest_version(program.id).document
    if name in document.get("lists", {}):
        raise ProblemError("LIST_IN_PROGRAM", name=name)
    found = read_list(body)
    if faults := [one for one in found if not isinstance(one, str)]:
        raise invalid_document(faults, "LIST_INVALID")
    made = named_list(str(one) for one in found)
    answer: dict[str, Any] = {"name": name, "sha256": made.sha256, "entries": len(found)}
    changed = program.lists.get(name) != made.sha256
    shown = program_preview.preview_program(hub, program, document, {name: made}) if changed else {}
    if call.is_dry_run or not changed:
        dry_run = {"dry_run": True} if call.is_dry_run else {}
        return answer | {"version": program.version + changed, "changed": changed, "batch": None, **dry_run, **shown}
    delivery = build_delivery(
        call,
        hub,
        principal,
        program.id,
        CONSOLE_SOURCE,
        DeliveryKind.PROGRAM,
        name=f"{name}.txt",
        facts={LIST_FACT: name},
    )
    recorded = record_program(hub, delivery, body)
    if isinstance(recorded, list):
        raise AssertionError(f"judged right before it was stored, wrong after: {recorded}")
    now_in_force, fresh = recorded
    return answer | {"version": now_in_force.version, "changed": fresh, "batch": delivery.id, **shown}
