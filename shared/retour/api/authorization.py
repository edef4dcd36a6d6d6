"""Authorization: which programs and sources a caller may use, and the deliveries their calls become."""

from typing import Any

from retour.api.calls import CONSOLE_SOURCE, PROGRAM_ID, Call, not_found
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import Program, Source
from retour.store.programs import Principal
from retour.views.ledger_reader import LedgerReader
from retour.wiring import Hub


def find_program(hub: Hub, principal: Principal, program_id: str) -> Program:
    """As it was applied last: whoever applies a program and calls again means the new one."""
    program = known_program(hub, principal, program_id)
    if program is None:
        raise not_found("program")
    return program


def refuse_foreign_program(principal: Principal, path: str) -> None:
    """A program that a key does not open is not found, before anything else is said of the call."""
    _, _, below = path.partition("/v1/programs/")
    if below and not principal.may(below.partition("/")[0]):
        raise not_found("program")


def known_program(hub: Hub, principal: Principal, program_id: str) -> Program | None:
    return hub.programs.get(program_id) if principal.may(program_id) and PROGRAM_ID.fullmatch(program_id) else None


def find_source(program: Program, name: str, channel: Channel | None = None) -> Source:
    source = program.sources.get(name)
    if source is None or channel not in (None, source.channel):
        raise not_found("source", program=program.id)
    return source


def api_source(call: Call, program: Program) -> Source:
    """The source a call names; else the program's first one of channel api and kind standard, else one of Retour's own.

    Its name scopes references, so it must not depend on anything that changes from call to call.
    """
    asked = call.query.get("source")
    if asked is not None:
        return find_source(program, asked)
    fitting = (s for s in program.sources.values() if s.channel is Channel.API and s.kind in ("", "standard"))
    return next(fitting, program.source(Channel.API.value, Channel.API))


def build_reader(hub: Hub, program: Program) -> LedgerReader:
    return LedgerReader(program, hub.ledger(program), hub.deliveries(program.id), hub.now())


def day_bounds(hub: Hub, program: Program) -> tuple[str, str]:
    """Today, and the day of the program's first version: nothing was delivered before."""
    first = f"{hub.programs.first_recorded_at(program.id):%Y%m%d}"
    today = f"{hub.now():%Y%m%d}"
    return max(today, first), first


def idempotency_scope(call: Call, principal: Principal) -> tuple[str, str]:
    """Where a caller's Idempotency-Keys are kept: apart for everybody, and per program for who opens several."""
    part = call.path.split("/")
    named_program = part[3] if len(part) > 3 and PROGRAM_ID.fullmatch(part[3]) else ""
    return principal.program, f"calls.{named_program}"


def build_delivery(
    call: Call,
    hub: Hub,
    principal: Principal,
    program_id: str,
    source: str,
    kind: DeliveryKind,
    identity: str = "",
    **more: Any,
) -> Delivery:
    """A delivery of these bytes. A call with an Idempotency-Key is that key's, else it is known by what it says."""
    return Delivery.create(
        call.body,
        received_at=hub.now(),
        program=program_id,
        channel=Channel.CONSOLE if source == CONSOLE_SOURCE else Channel.API,
        source=source,
        kind=kind,
        identity=identity or (f"{kind}#{call.key}" if call.key else ""),
        sender=principal.name,
        **more,
    )
