"""A program's named lists in force."""

from retour.domain.contracts.contract import referenced_names
from retour.domain.contracts.named_list import named_list
from retour.domain.program import Program
from retour.errors import NotFoundError
from retour.ports import ProgramPort
from retour.views.documents import Document


def list_named_lists(ports: ProgramPort, program: Program) -> Document:
    """All lists by name, including those written in the program."""
    document = ports.programs.newest_version(program.id).document
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
            else len(ports.programs.lists.entries(program.id, program.lists[name])),
            "written_in_program": name in written,
            "contracts": used.get(name, []),
        }
        for name in sorted({*program.lists, *written})
    ]
    return {"items": found, "next": None}


def entries_text(ports: ProgramPort, program: Program, name: str) -> str:
    """A list as text, one entry per line."""
    said = ports.programs.newest_version(program.id).document.get("lists", {}).get(name)
    if said is None and name not in program.lists:
        raise NotFoundError("list", program=program.id)
    return "\n".join(sorted(said) if said else ports.programs.lists.entries(program.id, program.lists[name])) + "\n"
