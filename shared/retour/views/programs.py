"""Programs in force, and how their sources are used."""

from contextlib import suppress

from retour.domain.program import Program
from retour.setup.credentials import access_info
from retour.store.programs import Principal
from retour.views import documents
from retour.views.documents import Document
from retour.wiring import Hub


def list_programs(hub: Hub, principal: Principal) -> Document:
    """All programs a key may access."""
    found = []
    for name in hub.programs.ids() if principal.is_admin else [principal.program]:
        with suppress(KeyError):  # A key may be created before its program.
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
