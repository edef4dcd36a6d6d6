"""A source's mapping, drawn on a real file: what each column is, what each word means, and how the rows read then.

The reading is that of `retour program check`; here a form is only turned into a mapping and back.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from retour.api import admission
from retour.api.documents import Document
from retour.console.request import Response
from retour.console.setup import samples, versions
from retour.console.setup.samples import Chosen
from retour.console.setup.versions import Proposal
from retour.console.visit import Visit
from retour.domain.delivery import Channel
from retour.domain.program import Source, source_from
from retour.files.layout import fold, layouts
from retour.normalise import AMOUNT_MEANS, CHANGES, FIELDS
from retour.setup.check import TRANSLATED, check
from retour.setup.suggest import tried

CONSTANTS = ("change", "currency", "event_type", "reason", "partner", "status")
"""What a file of one kind of news often leaves out."""
BLANK_CONSTANTS = 1
OTHER = "other"
DRAWN = ("columns", "constants", *TRANSLATED.values(), "decimal", "date")
"""Parts of a mapping that the form shows; the others stay as they were declared."""


@dataclass(frozen=True)
class Draft:
    """A source's part of the program as the form has it, and what is wrong with the form itself, by field."""

    body: Mapping[str, Any]
    wrong: Mapping[str, str] = field(default_factory=dict)

    def source(self, name: str, zone: str) -> Source:
        return source_from(name, self.body, zone)


def takes_files(source: Source) -> bool:
    return source.channel is not Channel.SALESFORCE and source.kind in ("", "standard")


def start(visit: Visit) -> Response:
    return begin(visit, source_of(visit))


def source_of(visit: Visit) -> Source:
    found = admission.source_of(visit.program, visit.part["source"])
    if not takes_files(found):
        raise visit.not_found()
    return found


def begin(visit: Visit, source: Source, wrong: str = "") -> Response:
    newest = samples.newest(visit, source.name)
    return visit.render("mapping.html", 422 if wrong else 200, source=source, newest=newest, wrong=wrong, page=None)


def edit(visit: Visit) -> Response:
    """The sample read anew by what the form says; then, asked for, what saving changes, and the next version."""
    source, form = source_of(visit), visit.request.form
    sample = samples.chosen(visit, source.name)
    if isinstance(sample, str):
        return begin(visit, source, sample or visit.words.say("Choose a file that is not empty."))
    declared = declared_body(visit, source.name)
    drawn = "drawn" in form
    draft = from_form(visit, declared, form) if drawn else Draft(declared)
    reading = read(visit, source, sample, draft)
    maps_nothing_yet = not drawn and "columns" not in declared.get("mapping", {})
    if maps_nothing_yet and reading["state"] == "refused" and "suggestion" in reading:
        trial = tried(source, reading["suggestion"]["mapping"])
        draft = Draft({**declared, "mapping": dict(trial.mapping)})
        reading = read(visit, source, sample, draft) | {"suggestion": reading["suggestion"]}
    found = None if draft.wrong else versions.stepped(visit, with_source(visit, source.name, draft.body))
    if isinstance(found, Response):
        return found
    page = page_of(visit, source, sample, draft, reading)
    return shown(visit, source, page, 422 if draft.wrong else found.status if found else 200, found)


def shown(visit: Visit, source: Source, page: Document, status: int, proposal: Proposal | None) -> Response:
    """The whole page; or the editor alone for whoever only changed something in it."""
    block = visit.request.wants_block
    return visit.render(
        "mapping_editor.html" if block else "mapping.html",
        200 if block else status,
        source=source,
        newest=None,
        wrong="",
        page=page,
        proposal=proposal,
    )


def read(visit: Visit, source: Source, sample: Chosen, draft: Draft) -> Document:
    drawn = draft.source(source.name, visit.program.time_zone)
    return check(visit.hub, visit.spoken, drawn, samples.as_sent(visit, drawn, sample), sample.body)


# The program around it


def declared_body(visit: Visit, name: str) -> dict[str, Any]:
    document = versions.in_force(visit).document
    found: dict[str, Any] = document.get("sources", {}).get(name)
    if found is None:
        raise visit.not_found()
    return deepcopy(found)


def with_source(visit: Visit, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    document = versions.in_force(visit).document
    return {**document, "sources": {**document["sources"], name: body}}


# From the form


def from_form(visit: Visit, declared: Mapping[str, Any], form: Mapping[str, str]) -> Draft:
    """The declared part with what the form says instead; what the form does not show stays."""
    say = visit.words.say
    before: Mapping[str, Any] = declared.get("mapping", {})
    chosen = [(form[f"header:{n}"], said) for n in numbered(form, "header") if (said := form.get(f"column:{n}", ""))]
    wrong = {
        column: say("Another column is read as this already; choose one of them.")
        for n, (column, said) in enumerate(chosen)
        if said in [earlier for _, earlier in chosen[:n]]
    }
    mapping: dict[str, Any] = {name: value for name, value in before.items() if name not in DRAWN}
    mapping |= {
        "columns": columns_of(before.get("columns", {}), chosen, form),
        "constants": constants_of(form),
        **{part: words_of(before.get(part, {}), form, field) for field, part in TRANSLATED.items()},
        "decimal": form.get("decimal") or (None if "decimal" in form else before.get("decimal")),
        "date": date_of(before.get("date"), form),
    }
    body = {**declared, "mapping": {name: value for name, value in mapping.items() if value}}
    for name, known in (("amount_means", AMOUNT_MEANS), ("default_reason", tuple(visit.program.reasons))):
        if form.get(name) in known:
            body[name] = form[name]
        elif form.get(name) == "":
            body.pop(name, None)
    if not body["mapping"]:
        del body["mapping"]
    return Draft(body, wrong)


def numbered(form: Mapping[str, str], name: str) -> Iterator[str]:
    return (key.partition(":")[2] for key in form if key.startswith(f"{name}:"))


def columns_of(before: Mapping[str, Any], chosen: list[tuple[str, str]], form: Mapping[str, str]) -> dict[str, Any]:
    """Field to column. A declared list of names stays where it names the column; so do fields this file lacks."""
    found = {field: before[field] for field in numbered(form, "keep") if field in before}
    for column, said in chosen:
        known = before.get(said, ())
        names = [known] if isinstance(known, str) else list(known)
        if said in FIELDS:
            found[said] = known if fold(column) in map(fold, names) else column
    own = layouts()["modifications"]["columns"]
    says_nothing_new = all(fold(column) == fold(field) and field in own for field, column in as_texts(found))
    return {} if says_nothing_new and not before else {field: found[field] for field in FIELDS if field in found}


def as_texts(columns: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, known in columns.items():
        yield from ((name, column) for column in ([known] if isinstance(known, str) else known))


def constants_of(form: Mapping[str, str]) -> dict[str, str]:
    pairs = ((form[f"constant:{n}"], form.get(f"constant-value:{n}", "").strip()) for n in numbered(form, "constant"))
    return {field: value for field, value in pairs if field in FIELDS and value}


def words_of(before: Mapping[str, str], form: Mapping[str, str], field: str) -> dict[str, str]:
    """The sender's words with their meanings; those that this file does not have stay."""
    found = dict(before)
    for n in numbered(form, f"{field}-word"):
        word, meant = form[f"{field}-word:{n}"], form.get(f"{field}-means:{n}", "")
        alike = [known for known in found if fold(known) == fold(word)]
        if meant and meant != word:
            found[word if not alike else alike[0]] = meant
        else:
            for known in alike:
                del found[known]
    return found


def date_of(before: Any, form: Mapping[str, str]) -> Any:
    if "date" not in form:
        return before
    said = form.get("date-other", "").strip() if form["date"] == OTHER else form["date"]
    return before if isinstance(before, list) and said in before else said or None


# For the page


def page_of(visit: Visit, source: Source, sample: Chosen, draft: Draft, reading: Document) -> Document:
    mapping: Mapping[str, Any] = draft.body.get("mapping", {})
    columns = columns_told(visit.request.form, source, draft, reading)
    shown = {one["field"] for one in columns}
    rows = [{"code": "", "column": "", "reason": None, **row} for row in reading.get("rows", ())]
    unread = [row for row in rows if row["code"]]
    return {
        "sample": sample,
        "draft": draft,
        "mapping": mapping,
        "reading": reading,
        "is_known": bool(reading.get("layout", {}).get("title")),
        "columns": columns,
        "gone": [one for one in as_texts(mapping.get("columns", {})) if one[0] not in shown],
        "constants": [*mapping.get("constants", {}).items(), ("", "")],
        "rows": [*unread, *(row for row in rows if not row["code"])],
        "unread": len(unread),
        "other_date": other_date(mapping.get("date"), reading),
        "fields": FIELDS,
        "meanings": {"reason": sorted(visit.program.reasons), "status": CHANGES,
                     "event_type": sorted(visit.program.event_types)},
        "constant_fields": CONSTANTS,
    }  # fmt: skip


def columns_told(form: Mapping[str, str], source: Source, draft: Draft, reading: Document) -> list[Document]:
    """Each column as it is read, or, where that cannot be, as it was chosen; and what it could be by its name."""
    declared: Mapping[str, Any] = source.mapping.get("columns") or {}
    named: Mapping[str, str] = reading.get("suggestion", {}).get("mapping", {}).get("columns", {})
    suggested = {column: said for said, column in named.items()}
    chosen = {form[f"header:{n}"]: form.get(f"column:{n}", "") for n in numbered(form, "header")} if draft.wrong else {}
    return [
        {
            **one,
            "field": chosen.get(one["column"], one["field"]),
            "suggested": suggested.get(one["column"], ""),
            "is_new": one["field"] not in declared,
            "wrong": draft.wrong.get(one["column"], ""),
        }
        for one in reading.get("columns", ())
    ]


def other_date(declared: Any, reading: Document) -> str:
    """A declared way of writing dates that is not among those offered."""
    offered = [one["form"] for one in reading.get("dates", ())]
    return declared if isinstance(declared, str) and declared not in offered else ""
