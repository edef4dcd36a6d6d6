"""The versions of a program, what each changed, and the preview of the next one."""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from retour.commands import programs
from retour.commands.programs import ApplyProgram
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.errors import RequestError
from retour.store.programs import ProgramVersion
from retour.views.documents import Document

WITHOUT_TERMS_CODES = ("LEFT_WITHOUT_TERMS", "TERMS_APART")
"""Faults that can be overridden by accepting that partners have no terms."""
NUMBER = re.compile(r"[1-9]\d{0,5}", re.ASCII)
CONTEXT_LINES = 2
"""Context lines around a difference."""


def in_force(context: PageContext) -> ProgramVersion:
    return context.hub.programs.newest_version(context.program.id)


def version_text(context: PageContext, version: ProgramVersion) -> str:
    """The document as written, with comments; JSON with a line per value.

    If the raw text was deleted, the document is formatted anew.
    """
    header = context.reader.deliveries.get(version.delivery)
    if header is not None:
        with suppress(KeyError):
            text = context.reader.deliveries.body(header).decode("utf-8", "replace")
            return "\n".join(pretty_lines(text)) if text.lstrip().startswith("{") else text
    from retour.setup.program_edit import dump_yaml

    return dump_yaml(dict(version.document))


def author(context: PageContext, version: ProgramVersion) -> str:
    header = context.reader.deliveries.get(version.delivery)
    return header.delivery.sender if header else ""


@dataclass(frozen=True)
class DiffLine:
    """A line of a diff: `plus`, `minus` or `same`."""

    how: str
    text: str


def diff_lines(old: str, new: str) -> list[DiffLine]:
    found = []
    for line in difflib.unified_diff(pretty_lines(old), pretty_lines(new), lineterm="", n=CONTEXT_LINES):
        if line.startswith(("---", "+++")):
            continue
        how = {"+": "plus", "-": "minus"}.get(line[:1], "same")
        found.append(DiffLine(how, line))
    return found


def pretty_lines(text: str) -> list[str]:
    """The lines of a text; JSON with a line per value."""
    if text.lstrip().startswith("{"):
        with suppress(ValueError):
            text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    return text.splitlines()


# The next version


@dataclass(frozen=True)
class Proposal:
    """A next version: its text, and what it changes since `version`, or what is wrong with it.

    `said` is why it was not applied; `changes` None: it was not compared yet. `effect` is whose terms it changes when,
    and what pending payouts would be, as the API tells it.
    """

    text: str
    version: int
    changes: Sequence[DiffLine] | None = None
    faults: Sequence[Document] = field(default_factory=tuple)
    said: str = ""
    effect: Document = field(default_factory=dict)

    @property
    def leaves_without_terms(self) -> bool:
        """Whether the only faults are partners with open actions and no terms."""
        return bool(self.faults) and all(fault["code"] in WITHOUT_TERMS_CODES for fault in self.faults)

    @property
    def status(self) -> int:
        return 422 if self.faults else 409 if self.said else 200

    @property
    def mark(self) -> str:
        """A hash of what was previewed, so that nothing else is applied."""
        return hashlib.sha256(self.text.encode("utf-8", "replace")).hexdigest()[:24]


def propose(context: PageContext, text: str, said: str = "") -> Proposal:
    """Judged as applying it judges it, and compared with what is in force; nothing is written."""
    newest = in_force(context)
    try:
        looked_at = programs.preview_program(context.hub, context.principal, apply_command(context, text))
    except RequestError as refused:
        return faulty_proposal(context, text, newest.version, refused)
    effect = {**looked_at, "funding": funding_warnings(context, text)}
    return Proposal(text, newest.version, diff_lines(version_text(context, newest), text), said=said, effect=effect)


def funding_warnings(context: PageContext, text: str) -> list[Document]:
    """Of a text that is right: the contracts whose lock leaves no day to spare for the last return, in the reader's
    language."""
    from retour.money.funding import warnings
    from retour.setup.program_file import parse_program

    document = parse_program(text, context.program.lists)
    return warnings(document, context.today, context.words.language) if isinstance(document, dict) else []


def apply_version(context: PageContext, text: str) -> Response | Proposal:
    """The next version, in force; or why not: it is wrong, or something changed after the form's author looked."""
    newest, form = in_force(context), context.request.form
    if form.get("version") != str(newest.version):
        return propose(context, text, overtaken_sentence(context, newest))
    if form.get("mark") != Proposal(text, newest.version).mark:
        said = context.words.say("You changed it after you looked: this is what it changes now. Nothing was saved.")
        return propose(context, text, said)
    try:
        answer = programs.apply_program(context.hub, context.principal, apply_command(context, text))
    except RequestError as refused:
        return faulty_proposal(context, text, newest.version, refused)
    if answer.get("credentials"):
        return context.render("credentials.html", credentials=answer["credentials"])
    return redirect(f"{context.base}/setup/versions/{answer['version']}")


def overtaken_sentence(context: PageContext, newest: ProgramVersion) -> str:
    return context.words.say(
        "Somebody applied version %(version)s meanwhile (%(who)s, %(ago)s); what you typed is kept, compare once more.",
        version=newest.version,
        who=author(context, newest) or "–",
        ago=context.words.ago(newest.recorded_at),
    )


def apply_command(context: PageContext, text: str) -> ApplyProgram:
    leave = bool(context.request.form.get("leave_without_terms"))
    written = text.encode("utf-8", "replace")
    return ApplyProgram(program_id=context.program.id, written=written, leave_without_terms=leave)


def faulty_proposal(context: PageContext, text: str, version: int, refused: RequestError) -> Proposal:
    of_the_whole = [{"line": 1, "column": 1, "key": "", "code": refused.code, "detail": context.explain(refused)}]
    return Proposal(text, version, faults=refused.localized_members(context.words.language).get("errors", of_the_whole))


def handle_step(context: PageContext, wanted: Mapping[str, Any]) -> Response | Proposal | None:
    """What a form asks for with the document it draws: to see what saving changes, or to save; None: neither yet."""
    step = context.request.form.get("step")
    if step not in ("show", "save"):
        return None
    text = with_document(context, wanted)
    return apply_version(context, text) if step == "save" else propose(context, text)


def with_document(context: PageContext, wanted: Mapping[str, Any]) -> str:
    """The text in force, changed to say what is wanted and otherwise left as it was written."""
    from retour.setup.program_edit import rewrite

    return rewrite(version_text(context, in_force(context)), wanted)


# Pages


def version_page(context: PageContext) -> Response:
    asked = context.part["version"]
    if not NUMBER.fullmatch(asked):
        raise context.not_found()
    one, before, *_ = [*context.hub.programs.versions(context.program.id, int(asked) + 1, 2), None, None]
    if one is None or one.version != int(asked):
        raise context.not_found()
    text = version_text(context, one)
    return context.render(
        "version.html",
        one=one,
        text=text,
        by=author(context, one),
        before=before,
        changes=diff_lines(version_text(context, before), text) if before else [],
        newest=in_force(context).version,
    )
