"""Programs over HTTP: apply the next version, or preview it."""

from retour.api.calls import YAML_TYPES, Call
from retour.commands.programs import PROGRAM_MAX, ApplyProgram, preview_program
from retour.commands.programs import apply_program as apply
from retour.store.programs import Principal
from retour.views.documents import Document
from retour.wiring import Hub


def apply_program(hub: Hub, call: Call, caller: Principal, program_id: str) -> Document:
    written, leave = call.read_body(PROGRAM_MAX, YAML_TYPES), call.flag("leave_without_terms")
    asked = ApplyProgram(program_id=program_id, written=written, leave_without_terms=leave)
    return preview_program(hub, caller, asked) if call.is_dry_run else apply(hub, caller, asked, call.key)
