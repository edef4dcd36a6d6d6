"""Authorization: which programs a caller may use."""

from retour.api.calls import Call
from retour.domain.program import PROGRAM_ID, Program
from retour.errors import NotFoundError
from retour.store.programs import Principal
from retour.wiring import Hub


def find_program(hub: Hub, principal: Principal, program_id: str) -> Program:
    """The newest version of a program, so that a call after `program apply` sees it."""
    program = known_program(hub, principal, program_id)
    if program is None:
        raise NotFoundError("program")
    return program


def refuse_foreign_program(principal: Principal, path: str) -> None:
    """Respond 404 to a program the key may not access, before any other check."""
    _, _, below = path.partition("/v1/programs/")
    if below and not principal.may(below.partition("/")[0]):
        raise NotFoundError("program")


def known_program(hub: Hub, principal: Principal, program_id: str) -> Program | None:
    return hub.programs.get(program_id) if principal.may(program_id) and PROGRAM_ID.fullmatch(program_id) else None


def idempotency_scope(call: Call, principal: Principal) -> tuple[str, str]:
    """Where a caller's Idempotency-Keys are stored: per caller, and per program for callers with several."""
    part = call.path.split("/")
    named_program = part[3] if len(part) > 3 and PROGRAM_ID.fullmatch(part[3]) else ""
    return principal.program, f"calls.{named_program}"
