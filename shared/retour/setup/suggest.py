"""A mapping to consider, by the names of the columns and the looks of their cells. Nothing of it is ever applied."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from retour.domain.money import NotAnAmount
from retour.domain.program import Source
from retour.files.layout import fold
from retour.numbers import Ambiguous, ForeignCurrency, number
from retour.setup.sample import Document, Looked, told

WITH_COMMA = re.compile(r"-?(\d{1,3}(\.\d{3})+|\d+),\d{1,2}")
WITH_POINT = re.compile(r"-?(\d{1,3}(,\d{3})+|\d+)\.\d{1,2}")
DATES = ("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d", "%Y%m%d", "%d-%b-%Y")
EITHER = (("%d/%m/%Y", "%m/%d/%Y"), ("%d-%m-%Y", "%m-%d-%Y"), ("%d/%m/%y", "%m/%d/%y"))
OPEN = "?"
"""Of dates: day and month could be either."""


@cache
def vocabulary() -> Mapping[str, str]:
    """What columns are called in shops, folded, to the field they mean."""
    listed: dict[str, list[str]] = json.loads(files("retour.files").joinpath("suggestions.json").read_text("utf-8"))
    return {fold(name): field for field, names in listed.items() for name in (field, *names)}


def suggestion(looked: Looked, language: str) -> tuple[Document, list[Document]] | None:
    """A mapping, and what only a person can tell; nothing where no column looks like an order or an action."""
    by_field: dict[str, list[str]] = {}
    for name in looked.columns:
        if field := vocabulary().get(fold(name)):
            by_field.setdefault(field, []).append(name)
    columns = {field: names[0] for field, names in by_field.items() if len(names) == 1}
    if not {"order_id", "action_id"} & columns.keys():
        return None
    mapping: Document = {"columns": columns}
    unsure = [
        told("CHECK_UNSURE", language, field=field, columns=", ".join(names))
        for field, names in by_field.items()
        if len(names) > 1
    ]
    if decimal := decimal_of(looked.texts(columns.get("amount", ""))):
        mapping["decimal"] = decimal
    date = date_of(looked.texts(columns.get("occurred_at", "")))
    if date == OPEN:
        unsure.append(told("CHECK_DATES_OPEN", language, column=columns["occurred_at"]))
    elif date:
        mapping["date"] = date
    return mapping, unsure


def tried(source: Source, mapping: Mapping[str, Any]) -> Source:
    """The source with a suggested mapping; what it declares beside its columns stays."""
    declared = {name: value for name, value in source.mapping.items() if name not in ("columns", "layout")}
    return replace(source, mapping={**mapping, **declared})


# Numbers and dates


def decimal_of(amounts: Sequence[str]) -> str:
    """The decimal mark that all amounts agree on, where one of them leaves no doubt; else nothing."""
    said = [text for text in amounts if text]
    commas, points = ([bool(form.fullmatch(text)) for text in said] for form in (WITH_COMMA, WITH_POINT))
    whole = [text.lstrip("-").isdigit() for text in said]
    if any(commas) and all(one or other for one, other in zip(commas, whole, strict=True)):
        return ","
    if (
        any(points)
        and any("," in text for text in said)
        and all(one or other for one, other in zip(points, whole, strict=True))
    ):
        return "."
    return ""


def date_of(dates: Sequence[str]) -> str:
    """The one way to read all the dates; `?` where day and month could be either; nothing where ISO 8601 reads them."""
    if not dates or all(is_date(text, "") for text in dates):
        return ""
    for form in DATES:
        if all(is_date(text, form) for text in dates):
            return form
    for day_first, month_first in EITHER:
        fits = [form for form in (day_first, month_first) if all(is_date(text, form) for text in dates)]
        if fits:
            return fits[0] if len(fits) == 1 else OPEN
    return ""


def is_date(text: str, form: str) -> bool:
    return day_of(text, form) is not None


def day_of(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form) if form else datetime.fromisoformat(text)
    except ValueError:
        return None


def decimals(amounts: Sequence[str]) -> list[Document]:
    """What each decimal mark makes of the amounts: one of them read so, and how many it cannot read."""

    def read(text: str, mark: str) -> str:
        try:
            return f"{number(text, mark or None):f}"
        except (Ambiguous, ForeignCurrency, NotAnAmount):
            return ""

    return choices(amounts, ("", ".", ","), read)


def dates(texts: Sequence[str], declared: Sequence[str] = ()) -> list[Document]:
    """What each way of writing dates makes of them, of the ways that read at least one."""

    def read(text: str, form: str) -> str:
        found = day_of(text, form)
        return found.date().isoformat() if found else ""

    either = [form for pair in EITHER for form in pair]
    found = choices(texts, tuple(dict.fromkeys(("", *declared, *DATES, *either))), read)
    return [one for one in found if one["unread"] < len(texts) or one["form"] in declared or not one["form"]]


def choices(texts: Sequence[str], forms: Sequence[str], read: Callable[[str, str], str]) -> list[Document]:
    """Each form with what it makes of the one text that tells most of them apart."""
    if not texts:
        return []
    example = max(dict.fromkeys(texts), key=lambda text: len({said for form in forms if (said := read(text, form))}))
    return [
        {
            "form": form,
            "value": example,
            "reads": read(example, form),
            "unread": sum(1 for text in texts if not read(text, form)),
        }
        for form in forms
    ]
