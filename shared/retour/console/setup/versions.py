"""The program itself: its versions, what each of them changed, and the next one, looked at before it is applied."""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from retour.api import programs
from retour.api.calls import Call, Refused
from retour.api.documents import Document
from retour.console.request import Response, to
from retour.console.visit import Visit
from retour.store.programs import ProgramVersion

LEAVES = ("LEFT_WITHOUT_TERMS", "TERMS_APART")
"""What keeps a document from being applied unless somebody says that partners are left without terms."""
NUMBER = re.compile(r"[1-9]\d{0,5}", re.ASCII)
CONTEXT = 2
"""Lines shown around what differs."""


def in_force(visit: Visit) -> ProgramVersion:
    return visit.hub.programs.newest_version(visit.program.id)


def written(visit: Visit, version: ProgramVersion) -> str:
    """The document as somebody wrote it, with its comments; JSON with a line for each value.

    Once the raw text is no longer kept it is written anew.
    """
    header = visit.reader.deliveries.get(version.delivery)
    if header is not None:
        with suppress(KeyError):
            text = visit.reader.deliveries.body(header).decode("utf-8", "replace")
            return "\n".join(laid_out(text)) if text.lstrip().startswith("{") else text
    from retour.setup.program_edit import dumped

    return dumped(dict(version.document))


def author(visit: Visit, version: ProgramVersion) -> str:
    header = visit.reader.deliveries.get(version.delivery)
    return header.delivery.sender if header else ""


@dataclass(frozen=True)
class Changed:
    """One line of a difference: `plus`, `minus` or `same`."""

    how: str
    text: str


def difference(old: str, new: str) -> list[Changed]:
    found = []
    for line in difflib.unified_diff(laid_out(old), laid_out(new), lineterm="", n=CONTEXT):
        if line.startswith(("---", "+++")):
            continue
        how = {"+": "plus", "-": "minus"}.get(line[:1], "same")
        found.append(Changed(how, line))
    return found


def laid_out(text: str) -> list[str]:
    """Its lines; what is JSON has one for each of its values."""
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
    changes: Sequence[Changed] | None = None
    faults: Sequence[Document] = field(default_factory=tuple)
    said: str = ""
    effect: Document = field(default_factory=dict)

    @property
    def leaves_without_terms(self) -> bool:
        """Whether nothing is wrong but that partners with open actions would have no terms."""
        return bool(self.faults) and all(fault["code"] in LEAVES for fault in self.faults)

    @property
    def status(self) -> int:
        return 422 if self.faults else 409 if self.said else 200

    @property
    def mark(self) -> str:
        """What was looked at, so that nothing else is applied."""
        return hashlib.sha256(self.text.encode("utf-8", "replace")).hexdigest()[:24]


def proposed(visit: Visit, text: str, said: str = "") -> Proposal:
    """Judged as PUT of the program judges it, and compared with what is in force; nothing is written."""
    newest = in_force(visit)
    try:
        looked_at = programs.apply_program(visit.hub, put(visit, text, dry_run=True), visit.principal, visit.program.id)
    except Refused as refused:
        return faulty(visit, text, newest.version, refused)
    effect = {**looked_at, "funding": funding_warnings(visit, text)}
    return Proposal(text, newest.version, difference(written(visit, newest), text), said=said, effect=effect)


def funding_warnings(visit: Visit, text: str) -> list[Document]:
    """Of a text that is right: the contracts whose lock leaves no day to spare for the last return, in the reader's
    language."""
    from retour.money.funding import warnings
    from retour.setup.program_file import read

    document = read(text, visit.program.lists)
    return warnings(document, visit.today, visit.words.language) if isinstance(document, dict) else []


def applied(visit: Visit, text: str) -> Response | Proposal:
    """The next version, in force; or why not: it is wrong, or something changed after the form's author looked."""
    newest, form = in_force(visit), visit.request.form
    if form.get("version") != str(newest.version):
        return proposed(visit, text, overtaken(visit, newest))
    if form.get("mark") != Proposal(text, newest.version).mark:
        said = visit.words.say("You changed it after you looked: this is what it changes now. Nothing was saved.")
        return proposed(visit, text, said)
    try:
        answer = programs.apply_program(visit.hub, put(visit, text), visit.principal, visit.program.id)
    except Refused as refused:
        return faulty(visit, text, newest.version, refused)
    if answer.get("credentials"):
        return visit.render("credentials.html", credentials=answer["credentials"])
    return to(f"{visit.base}/setup/versions/{answer['version']}")


def overtaken(visit: Visit, newest: ProgramVersion) -> str:
    return visit.words.say(
        "Somebody applied version %(version)s meanwhile (%(who)s, %(ago)s); what you typed is kept, compare once more.",
        version=newest.version,
        who=author(visit, newest) or "–",
        ago=visit.words.ago(newest.recorded_at),
    )


def put(visit: Visit, text: str, dry_run: bool = False) -> Call:
    return Call(
        method="PUT",
        path=visit.request.path,
        query={
            **({"dry_run": "true"} if dry_run else {}),
            **({"leave_without_terms": "true"} if visit.request.form.get("leave_without_terms") else {}),
        },
        headers={"content-type": "application/yaml"},
        body=text.encode("utf-8", "replace"),
    )


def faulty(visit: Visit, text: str, version: int, refused: Refused) -> Proposal:
    of_the_whole = [{"line": 1, "column": 1, "key": "", "code": refused.code, "detail": visit.told(refused)}]
    return Proposal(text, version, faults=refused.document(visit.words.language).get("errors", of_the_whole))


def stepped(visit: Visit, wanted: Mapping[str, Any]) -> Response | Proposal | None:
    """What a form asks for with the document it draws: to see what saving changes, or to save; None: neither yet."""
    step = visit.request.form.get("step")
    if step not in ("show", "save"):
        return None
    text = with_document(visit, wanted)
    return applied(visit, text) if step == "save" else proposed(visit, text)


def with_document(visit: Visit, wanted: Mapping[str, Any]) -> str:
    """The text in force, changed to say what is wanted and otherwise left as it was written."""
    from retour.setup.program_edit import rewritten

    return rewritten(written(visit, in_force(visit)), wanted)


# Pages


def version(visit: Visit) -> Response:
    asked = visit.part["version"]
    if not NUMBER.fullmatch(asked):
        raise visit.not_found()
    one, before, *_ = [*visit.hub.programs.versions(visit.program.id, int(asked) + 1, 2), None, None]
    if one is None or one.version != int(asked):
        raise visit.not_found()
    text = written(visit, one)
    return visit.render(
        "version.html",
        one=one,
        text=text,
        by=author(visit, one),
        before=before,
        changes=difference(written(visit, before), text) if before else [],
        newest=in_force(visit).version,
    )
