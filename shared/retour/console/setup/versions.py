"""The program itself: its versions, what each of them changed, and the next one."""

import difflib
from dataclasses import dataclass

from retour.api import programs
from retour.api.calls import Call, Refused
from retour.api.views import Document
from retour.console.request import Response, to
from retour.console.visit import Visit
from retour.store.programs import ProgramVersion


def versions_of(visit: Visit) -> list[ProgramVersion]:
    return visit.hub.programs.versions(visit.program.id)


def written(visit: Visit, version: ProgramVersion) -> str:
    """The document as somebody wrote it, with its comments."""
    header = visit.reader.deliveries.get(version.delivery)
    if header is not None:
        return visit.reader.deliveries.body(header).decode("utf-8", "replace")
    import yaml

    return str(yaml.safe_dump(dict(version.document), sort_keys=False, allow_unicode=True))


@dataclass(frozen=True)
class Changed:
    """One line of a difference: `plus`, `minus` or `same`."""

    how: str
    text: str


def difference(old: str, new: str) -> list[Changed]:
    found = []
    for line in difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2):
        if line.startswith(("---", "+++")):
            continue
        how = {"+": "plus", "-": "minus"}.get(line[:1], "same")
        found.append(Changed(how, line))
    return found


def version(visit: Visit) -> Response:
    every = versions_of(visit)
    at = next((n for n, one in enumerate(every) if str(one.version) == visit.part["version"]), None)
    if at is None:
        raise visit.not_found()
    one, before = every[at], every[at + 1] if at + 1 < len(every) else None
    text = written(visit, one)
    header = visit.reader.deliveries.get(one.delivery)
    return visit.render(
        "version.html",
        one=one,
        text=text,
        by=header.delivery.sender if header else "",
        before=before,
        changes=difference(written(visit, before), text) if before else [],
        newest=every[0].version,
    )


def edit(visit: Visit) -> Response:
    return visit.render(
        "program.html",
        text=written(visit, versions_of(visit)[0]),
        faults=[],
        changes=None,
        version=visit.program.version,
    )


def save(visit: Visit) -> Response:
    """First what it changes, then, confirmed, the next version. The secrets new sources need are shown once, here."""
    form = visit.request.form
    text = form.get("text", "").replace("\r\n", "\n")
    newest = versions_of(visit)[0]
    call = Call(
        method="PUT",
        path=visit.request.path,
        query={} if form.get("step") == "save" else {"dry_run": "true"},
        headers={"content-type": "application/yaml"},
        body=text.encode("utf-8", "replace"),
    )
    if form.get("step") == "save" and form.get("version") != str(newest.version):
        said = visit.words.say(
            "Somebody applied version %(version)s meanwhile; compare once more.", version=newest.version
        )
        return program_page(visit, text, [], difference(written(visit, newest), text), newest.version, said, 409)
    try:
        answer = programs.apply_program(visit.hub, call, visit.principal, visit.program.id)
    except Refused as refused:
        import json

        document = json.loads(refused.answer["body"])
        return program_page(visit, text, document.get("errors", []), None, newest.version, document["detail"], 422)
    if call.is_dry_run:
        return program_page(visit, text, [], difference(written(visit, newest), text), newest.version, "", 200)
    if answer.get("credentials"):
        return visit.render("credentials.html", credentials=answer["credentials"])
    return to(f"{visit.base}/setup/versions/{answer['version']}")


def program_page(
    visit: Visit,
    text: str,
    faults: list[Document],
    changes: list[Changed] | None,
    version: int,
    said: str,
    status: int,
) -> Response:
    return visit.render("program.html", status, text=text, faults=faults, changes=changes, version=version, said=said)
