"""The program as YAML: what is still to be done, what is wrong by its line, and its versions with who applied them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from retour.api import listing
from retour.connection_test.steps import PASSED, WARNED, Trial
from retour.console.deliveries import since
from retour.console.request import Response
from retour.console.setup import versions
from retour.console.setup.versions import Proposal
from retour.console.visit import Visit
from retour.store.programs import ProgramVersion

DAYS = 60
AROUND = 2
"""Lines shown before and after one that is wrong."""
VERSIONS = 20


def edit(visit: Visit) -> Response:
    newest = versions.in_force(visit)
    return shown(visit, Proposal(versions.written(visit, newest), newest.version))


def save(visit: Visit) -> Response:
    """First what it changes, then, confirmed, the next version. The secrets new sources need are shown once, here."""
    form = visit.request.form
    text = form.get("text", "").replace("\r\n", "\n")
    found = versions.applied(visit, text) if form.get("step") == "save" else versions.proposed(visit, text)
    return found if isinstance(found, Response) else shown(visit, found)


def shown(visit: Visit, proposal: Proposal) -> Response:
    listed = versions_before(visit)
    return visit.render(
        "program.html",
        proposal.status,
        proposal=proposal,
        faults=faults(proposal),
        steps=list(checklist(visit, versions.in_force(visit))),
        versions=[(one, versions.author(visit, one)) for one in listed],
        older=visit.here(before=str(listed[-1].version)) if listed and listed[-1].version > 1 else "",
    )


def versions_before(visit: Visit) -> list[ProgramVersion]:
    """A page of versions, newest first; the address may name the one that the page before ended with."""
    before = visit.request.query.get("before", "")
    return visit.hub.programs.versions(
        visit.program.id, int(before) if versions.NUMBER.fullmatch(before) else None, VERSIONS
    )


# What is wrong, by its line


@dataclass(frozen=True)
class Wrong:
    """What is wrong in one line, with the lines around it; `at` is the line's own number."""

    at: int
    sentences: Sequence[str]
    lines: Sequence[tuple[int, str]]


def faults(proposal: Proposal) -> list[Wrong]:
    text = proposal.text.split("\n")
    by_line: dict[int, list[str]] = {}
    for fault in proposal.faults:
        said = f"{fault['key']}: {fault['detail']}" if fault["key"] else str(fault["detail"])
        by_line.setdefault(fault["line"], []).append(said)
    found = []
    for line, sentences in sorted(by_line.items()):
        first, last = max(line - AROUND, 1), min(line + AROUND, len(text))
        found.append(Wrong(line, sentences, [(number, text[number - 1]) for number in range(first, last + 1)]))
    return found


# What is still to be done


@dataclass(frozen=True)
class Step:
    """One thing a program needs before it works; `where` leads to what does it."""

    done: bool
    what: str
    where: str = ""


def checklist(visit: Visit, newest: ProgramVersion) -> Iterator[Step]:
    say, program, document = visit.words.say, visit.program, newest.document
    sources: dict[str, Any] = document.get("sources", {})
    tracked = ", ".join(sorted(program.event_types))
    yield Step(True, say("What is tracked: %(event_types)s", event_types=tracked), "setup/event-types")
    yield Step(True, say("Who is paid what: contracts for all of it"), "setup/contracts")
    yield Step(bool(sources), say("A source that brings what came back"), "setup")
    heard = {header.delivery.source for header in since(visit, DAYS)} & sources.keys()
    tried = [name for name in sources if name in heard or was_tried(visit, name)]
    first_untried = next((name for name in sources if name not in tried), "")
    yield Step(
        bool(sources) and not first_untried,
        say("Each source tried, or heard of: %(done)s of %(all)s", done=len(tried), all=len(sources)),
        f"setup/sources/{first_untried}" if first_untried else "setup",
    )
    actions = listing.candidates(visit.hub, visit.reader, listing.Filter(), None, final=True)
    yield Step(next(actions, None) is not None, say("The first action reported"), "actions")
    yield Step(bool(heard), say("The first return that came in"), "deliveries")


def was_tried(visit: Visit, source: str) -> bool:
    trial = Trial.kept(visit.hub.state(visit.program.id, source))
    return trial is not None and trial.state(visit.hub.now()) in (PASSED, WARNED)
