"""A source's mapping, drawn on a real file: what each column is, what each word means, and how the rows read then.

The reading is that of `retour program check`; here a form is only turned into a mapping and back.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from retour.console.page_context import PageContext
from retour.console.request import Response
from retour.console.setup import samples, versions
from retour.console.setup.samples import SampleFile
from retour.console.setup.versions import Proposal
from retour.domain.delivery import Channel
from retour.domain.program import Source, source_from
from retour.files.layout import fold_name, own_layouts
from retour.normalise import AMOUNT_MEANS, CHANGES, FIELDS
from retour.previews.check import TRANSLATED_FIELDS, check_sample
from retour.previews.check_message import check_message, takes_messages
from retour.previews.suggest import with_mapping
from retour.views.documents import Document
from retour.views.sources import find_source

CONSTANTS = ("change", "currency", "event_type", "reason", "partner", "status")
"""What a file of one kind of news often leaves out."""
BLANK_CONSTANTS = 1
OTHER_FORMAT = "other"
FORM_PARTS = ("columns", "constants", *TRANSLATED_FIELDS.values(), "decimal", "date")
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


def start_page(context: PageContext) -> Response:
    return render_start(context, source_of_page(context))


def source_of_page(context: PageContext) -> Source:
    """A source whose samples are files to draw a mapping on, or messages that are read in words."""
    found = find_source(context.program, context.part["source"])
    if not takes_files(found) and not takes_messages(found):
        raise context.not_found()
    return found


def render_start(context: PageContext, source: Source, wrong: str = "") -> Response:
    newest = samples.newest_file(context, source.name)
    return context.render(
        "mapping.html",
        422 if wrong else 200,
        source=source,
        newest=newest,
        wrong=wrong,
        page=None,
        messages=takes_messages(source),
    )


def edit(context: PageContext) -> Response:
    """The sample read anew by what the form says; then, asked for, what saving changes, and the next version."""
    source, form = source_of_page(context), context.request.form
    sample = samples.sample_from_form(context, source.name)
    if isinstance(sample, str):
        return render_start(context, source, sample or context.words.say("Choose a file that is not empty."))
    declared = declared_body(context, source.name)
    drawn = "drawn" in form
    draft = draft_from_form(context, declared, form) if drawn else Draft(declared)
    reading = read_sample(context, source, sample, draft)
    maps_nothing_yet = not drawn and "columns" not in declared.get("mapping", {})
    if maps_nothing_yet and reading["state"] == "refused" and "suggestion" in reading:
        trial = with_mapping(source, reading["suggestion"]["mapping"])
        draft = Draft({**declared, "mapping": dict(trial.mapping)})
        reading = read_sample(context, source, sample, draft) | {"suggestion": reading["suggestion"]}
    found = None if draft.wrong else versions.handle_step(context, with_source(context, source.name, draft.body))
    if isinstance(found, Response):
        return found
    page = editor_values(context, source, sample, draft, reading)
    return render_editor(context, source, page, 422 if draft.wrong else found.status if found else 200, found)


def render_editor(
    context: PageContext, source: Source, page: Document, status: int, proposal: Proposal | None
) -> Response:
    """The whole page; or the editor alone for whoever only changed something in it."""
    block = context.request.wants_block
    return context.render(
        "mapping_editor.html" if block else "mapping.html",
        200 if block else status,
        source=source,
        newest=None,
        wrong="",
        page=page,
        proposal=proposal,
        messages=takes_messages(source),
    )


def read_sample(context: PageContext, source: Source, sample: SampleFile, draft: Draft) -> Document:
    drawn = draft.source(source.name, context.program.time_zone)
    if takes_messages(drawn):
        return check_message(context.localized_program, drawn, samples.as_delivery(context, drawn, sample), sample.body)
    return check_sample(
        context.hub, context.localized_program, drawn, samples.as_delivery(context, drawn, sample), sample.body
    )


# The program around it


def declared_body(context: PageContext, name: str) -> dict[str, Any]:
    document = versions.in_force(context).document
    found: dict[str, Any] = document.get("sources", {}).get(name)
    if found is None:
        raise context.not_found()
    return deepcopy(found)


def with_source(context: PageContext, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    document = versions.in_force(context).document
    return {**document, "sources": {**document["sources"], name: body}}


# From the form


def draft_from_form(context: PageContext, declared: Mapping[str, Any], form: Mapping[str, str]) -> Draft:
    """The declared part with what the form says instead; what the form does not show stays."""
    say = context.words.say
    before: Mapping[str, Any] = declared.get("mapping", {})
    chosen = [
        (form[f"header:{n}"], said) for n in field_numbers(form, "header") if (said := form.get(f"column:{n}", ""))
    ]
    wrong = {
        column: say("Another column is read as this already; choose one of them.")
        for n, (column, said) in enumerate(chosen)
        if said in [earlier for _, earlier in chosen[:n]]
    }
    mapping: dict[str, Any] = {name: value for name, value in before.items() if name not in FORM_PARTS}
    mapping |= {
        "columns": columns_from_form(before.get("columns", {}), chosen, form),
        "constants": constants_from_form(form),
        **{
            part: translations_from_form(before.get(part, {}), form, field) for field, part in TRANSLATED_FIELDS.items()
        },
        "decimal": form.get("decimal") or (None if "decimal" in form else before.get("decimal")),
        "date": date_from_form(before.get("date"), form),
    }
    body = {**declared, "mapping": {name: value for name, value in mapping.items() if value}}
    for name, known in (("amount_means", AMOUNT_MEANS), ("default_reason", tuple(context.program.reasons))):
        if form.get(name) in known:
            body[name] = form[name]
        elif form.get(name) == "":
            body.pop(name, None)
    if not body["mapping"]:
        del body["mapping"]
    return Draft(body, wrong)


def field_numbers(form: Mapping[str, str], name: str) -> Iterator[str]:
    return (key.partition(":")[2] for key in form if key.startswith(f"{name}:"))


def columns_from_form(
    before: Mapping[str, Any], chosen: list[tuple[str, str]], form: Mapping[str, str]
) -> dict[str, Any]:
    """Field to column. A declared list of names stays where it names the column; so do fields this file lacks."""
    found = {field: before[field] for field in field_numbers(form, "keep") if field in before}
    for column, said in chosen:
        known = before.get(said, ())
        names = [known] if isinstance(known, str) else list(known)
        if said in FIELDS:
            found[said] = known if fold_name(column) in map(fold_name, names) else column
    own = own_layouts()["modifications"]["columns"]
    says_nothing_new = all(
        fold_name(column) == fold_name(field) and field in own for field, column in column_pairs(found)
    )
    return {} if says_nothing_new and not before else {field: found[field] for field in FIELDS if field in found}


def column_pairs(columns: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, known in columns.items():
        yield from ((name, column) for column in ([known] if isinstance(known, str) else known))


def constants_from_form(form: Mapping[str, str]) -> dict[str, str]:
    pairs = (
        (form[f"constant:{n}"], form.get(f"constant-value:{n}", "").strip()) for n in field_numbers(form, "constant")
    )
    return {field: value for field, value in pairs if field in FIELDS and value}


def translations_from_form(before: Mapping[str, str], form: Mapping[str, str], field: str) -> dict[str, str]:
    """The sender's words with their meanings; those that this file does not have stay."""
    found = dict(before)
    for n in field_numbers(form, f"{field}-word"):
        word, meant = form[f"{field}-word:{n}"], form.get(f"{field}-means:{n}", "")
        alike = [known for known in found if fold_name(known) == fold_name(word)]
        if meant and meant != word:
            found[word if not alike else alike[0]] = meant
        else:
            for known in alike:
                del found[known]
    return found


def date_from_form(before: Any, form: Mapping[str, str]) -> Any:
    if "date" not in form:
        return before
    said = form.get("date-other", "").strip() if form["date"] == OTHER_FORMAT else form["date"]
    return before if isinstance(before, list) and said in before else said or None


# For the page


def editor_values(
    context: PageContext, source: Source, sample: SampleFile, draft: Draft, reading: Document
) -> Document:
    mapping: Mapping[str, Any] = draft.body.get("mapping", {})
    columns = column_rows(context.request.form, source, draft, reading)
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
        "gone": [one for one in column_pairs(mapping.get("columns", {})) if one[0] not in shown],
        "constants": [*mapping.get("constants", {}).items(), ("", "")],
        "rows": [*unread, *(row for row in rows if not row["code"])],
        "unread": len(unread),
        "other_date": undeclared_date(mapping.get("date"), reading),
        "fields": FIELDS,
        "meanings": {"reason": sorted(context.program.reasons), "status": CHANGES,
                     "event_type": sorted(context.program.event_types)},
        "constant_fields": CONSTANTS,
    }  # fmt: skip


def column_rows(form: Mapping[str, str], source: Source, draft: Draft, reading: Document) -> list[Document]:
    """Each column as it is read, or, where that cannot be, as it was chosen; and what it could be by its name."""
    declared: Mapping[str, Any] = source.mapping.get("columns") or {}
    named: Mapping[str, str] = reading.get("suggestion", {}).get("mapping", {}).get("columns", {})
    suggested = {column: said for said, column in named.items()}
    chosen = (
        {form[f"header:{n}"]: form.get(f"column:{n}", "") for n in field_numbers(form, "header")} if draft.wrong else {}
    )
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


def undeclared_date(declared: Any, reading: Document) -> str:
    """A declared way of writing dates that is not among those offered."""
    offered = [one["form"] for one in reading.get("dates", ())]
    return declared if isinstance(declared, str) and declared not in offered else ""
