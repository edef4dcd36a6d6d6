"""Upload a named list as a whole. It is immutable and identified by its content hash."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from retour.commands.delivery import CONSOLE_SOURCE, build_delivery
from retour.commands.programs import invalid_document
from retour.context import Context
from retour.domain.contracts.named_list import Entries, named_list
from retour.domain.delivery import DeliveryKind
from retour.errors import ConflictError, InvalidRequestError
from retour.intake.programs import LIST_FACT, record_program
from retour.previews import program as program_preview
from retour.views.documents import Document
from retour.wiring import Hub

LIST_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedList:
    """A list that is right: what it holds, whether it is another than before, and what that changes. `version` of its
    program and `delivery` are those that it made, or would make."""

    name: str
    list: Entries
    count: int
    changed: bool
    version: int
    delivery: str | None = None
    effects: Document

    def document(self) -> Document:
        return {
            "name": self.name,
            "sha256": self.list.sha256,
            "entries": self.count,
            "version": self.version,
            "changed": self.changed,
            "batch": self.delivery,
            **self.effects,
        }


def put_list(context: Context[Hub], name: str, body: bytes) -> UploadedList:
    """Replace a list. Contracts that use it get new versions."""
    checked = check_list(context, name, body)
    if not checked.changed:
        return checked
    facts: Mapping[str, str] = {LIST_FACT: name}
    delivery = build_delivery(context, body, CONSOLE_SOURCE, DeliveryKind.PROGRAM, name=f"{name}.txt", facts=facts)
    recorded = record_program(context.ports, delivery, body)
    if isinstance(recorded, list):
        raise AssertionError(f"judged right before it was stored, wrong after: {recorded}")
    now_in_force, fresh = recorded
    return replace(checked, version=now_in_force.version, changed=fresh, delivery=delivery.id)


def check_list(context: Context[Hub], name: str, body: bytes) -> UploadedList:
    """Simulate the upload of a list. Raises with every faulty line."""
    from retour.setup.list_file import read_list

    hub, program = context.ports, context.program
    if not LIST_NAME.fullmatch(name):
        raise InvalidRequestError("LIST_NAME_INVALID", name=name[:80])
    document = hub.programs.newest_version(program.id).document
    if name in document.get("lists", {}):
        raise ConflictError("LIST_IN_PROGRAM", name=name)
    found = read_list(body)
    if faults := [one for one in found if not isinstance(one, str)]:
        raise invalid_document(faults, "LIST_INVALID")
    made = named_list(str(one) for one in found)
    changed = program.lists.get(name) != made.sha256
    effects = program_preview.preview_program(hub, program, document, {name: made}) if changed else {}
    version = program.version + changed
    return UploadedList(name=name, list=made, count=len(found), changed=changed, version=version, effects=effects)
