"""The program as YAML: open set-up steps, errors by line, and versions with their authors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from retour.connection_test.steps import PASSED, WARNED, ConnectionTest
from retour.console.deliveries import recent_headers
from retour.console.page_context import PageContext
from retour.console.request import Response
from retour.console.setup import versions
from retour.console.setup.versions import Proposal
from retour.store.programs import ProgramVersion
from retour.views import action_search

DAYS = 60
CONTEXT_LINES = 2
"""Context lines around an error."""
VERSIONS_SHOWN = 20


def edit(context: PageContext) -> Response:
    newest = versions.in_force(context)
    return render_program(context, Proposal(versions.version_text(context, newest), newest.version))


def save(context: PageContext) -> Response:
    """Preview, then apply the next version. Secrets of new sources are shown once, here."""
    form = context.request.form
    text = form.get("text", "").replace("\r\n", "\n")
    found = versions.apply_version(context, text) if form.get("step") == "save" else versions.propose(context, text)
    return found if isinstance(found, Response) else render_program(context, found)


def render_program(context: PageContext, proposal: Proposal) -> Response:
    listed = versions_before(context)
    return context.render(
        "program.html",
        proposal.status,
        proposal=proposal,
        faults=faults_by_line(proposal),
        steps=list(checklist(context, versions.in_force(context))),
        versions=[(one, versions.author(context, one)) for one in listed],
        older=context.here(before=str(listed[-1].version)) if listed and listed[-1].version > 1 else "",
    )


def versions_before(context: PageContext) -> list[ProgramVersion]:
    """A page of versions, newest first, after the one in the URL."""
    before = context.request.query.get("before", "")
    return context.hub.programs.versions(
        context.program.id, int(before) if versions.NUMBER.fullmatch(before) else None, VERSIONS_SHOWN
    )


# Errors by line


@dataclass(frozen=True)
class LineFaults:
    """Errors of one line with its context; `at` is the line number."""

    at: int
    sentences: Sequence[str]
    lines: Sequence[tuple[int, str]]


def faults_by_line(proposal: Proposal) -> list[LineFaults]:
    text = proposal.text.split("\n")
    by_line: dict[int, list[str]] = {}
    for fault in proposal.faults:
        said = f"{fault['key']}: {fault['detail']}" if fault["key"] else str(fault["detail"])
        by_line.setdefault(fault["line"], []).append(said)
    found = []
    for line, sentences in sorted(by_line.items()):
        first, last = max(line - CONTEXT_LINES, 1), min(line + CONTEXT_LINES, len(text))
        found.append(LineFaults(line, sentences, [(number, text[number - 1]) for number in range(first, last + 1)]))
    return found


# Open set-up steps


@dataclass(frozen=True)
class SetupStep:
    """Something a program still needs; `where` links to its page."""

    done: bool
    what: str
    where: str = ""


def checklist(context: PageContext, newest: ProgramVersion) -> Iterator[SetupStep]:
    say, program, document = context.words.say, context.program, newest.document
    sources: dict[str, Any] = document.get("sources", {})
    tracked = ", ".join(sorted(program.event_types))
    yield SetupStep(True, say("What is tracked: %(event_types)s", event_types=tracked), "setup/event-types")
    yield SetupStep(True, say("Who is paid what: contracts for all of it"), "setup/contracts")
    yield SetupStep(bool(sources), say("A source for returns"), "setup")
    heard = {header.delivery.source for header in recent_headers(context, DAYS)} & sources.keys()
    tried = [name for name in sources if name in heard or was_tested(context, name)]
    first_untried = next((name for name in sources if name not in tried), "")
    yield SetupStep(
        bool(sources) and not first_untried,
        say("Each source tested or in use: %(done)s of %(all)s", done=len(tried), all=len(sources)),
        f"setup/sources/{first_untried}" if first_untried else "setup",
    )
    actions = action_search.candidates(context.hub, context.reader, action_search.ActionFilter(), None, final=True)
    yield SetupStep(next(actions, None) is not None, say("The first action reported"), "actions")
    yield SetupStep(bool(heard), say("The first return that came in"), "deliveries")


def was_tested(context: PageContext, source: str) -> bool:
    trial = ConnectionTest.load(context.hub.state(context.program.id, source))
    return trial is not None and trial.state(context.hub.now()) in (PASSED, WARNED)
