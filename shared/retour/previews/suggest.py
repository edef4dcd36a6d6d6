"""Suggest a mapping from column names and cell contents. Suggestions are never applied."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from retour.domain.money import InvalidAmountError
from retour.domain.program import Source
from retour.files.layout import fold_name
from retour.numbers import AmbiguousNumberError, ForeignCurrencyError, parse_number
from retour.previews.sample import Document, RawTable, coded_sentence

WITH_COMMA = re.compile(r"-?(\d{1,3}(\.\d{3})+|\d+),\d{1,2}")
WITH_POINT = re.compile(r"-?(\d{1,3}(,\d{3})+|\d+)\.\d{1,2}")
DATE_FORMATS = ("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d", "%Y%m%d", "%d-%b-%Y")
AMBIGUOUS_FORMATS = (("%d/%m/%Y", "%m/%d/%Y"), ("%d-%m-%Y", "%m-%d-%Y"), ("%d/%m/%y", "%m/%d/%y"))
UNDECIDED = "?"
"""A date format whose day and month are ambiguous."""


@cache
def vocabulary() -> Mapping[str, str]:
    """Common column names of shops, normalised, with their fields."""
    listed: dict[str, list[str]] = json.loads(files("retour.files").joinpath("suggestions.json").read_text("utf-8"))
    return {fold_name(name): field for field, names in listed.items() for name in (field, *names)}


def suggest_mapping(table: RawTable, language: str) -> tuple[Document, list[Document]] | None:
    """A mapping, and the questions only a person can answer; None if no column looks like an order or action."""
    by_field: dict[str, list[str]] = {}
    for name in table.columns:
        if field := vocabulary().get(fold_name(name)):
            by_field.setdefault(field, []).append(name)
    columns = {field: names[0] for field, names in by_field.items() if len(names) == 1}
    if not {"order_id", "action_id"} & columns.keys():
        return None
    mapping: Document = {"columns": columns}
    unsure = [
        coded_sentence("CHECK_UNSURE", language, field=field, columns=", ".join(names))
        for field, names in by_field.items()
        if len(names) > 1
    ]
    if decimal := guess_decimal_mark(table.texts(columns.get("amount", ""))):
        mapping["decimal"] = decimal
    date = guess_date_format(table.texts(columns.get("occurred_at", "")))
    if date == UNDECIDED:
        unsure.append(coded_sentence("CHECK_DATES_OPEN", language, column=columns["occurred_at"]))
    elif date:
        mapping["date"] = date
    return mapping, unsure


def with_mapping(source: Source, mapping: Mapping[str, Any]) -> Source:
    """The source with a suggested mapping. Its own entries other than columns stay."""
    declared = {name: value for name, value in source.mapping.items() if name not in ("columns", "layout")}
    return replace(source, mapping={**mapping, **declared})


# Number and date formats


def guess_decimal_mark(amounts: Sequence[str]) -> str:
    """The decimal mark consistent with all amounts, if one of them is unambiguous; otherwise empty."""
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


def guess_date_format(dates: Sequence[str]) -> str:
    """The only format that reads all dates; `?` if day and month are ambiguous; empty for ISO 8601."""
    if not dates or all(matches_format(text, "") for text in dates):
        return ""
    for form in DATE_FORMATS:
        if all(matches_format(text, form) for text in dates):
            return form
    for day_first, month_first in AMBIGUOUS_FORMATS:
        fits = [form for form in (day_first, month_first) if all(matches_format(text, form) for text in dates)]
        if fits:
            return fits[0] if len(fits) == 1 else UNDECIDED
    return ""


def matches_format(text: str, form: str) -> bool:
    return parse_date(text, form) is not None


def parse_date(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form) if form else datetime.fromisoformat(text)
    except ValueError:
        return None


def decimal_options(amounts: Sequence[str]) -> list[Document]:
    """What each decimal mark makes of an amount, and how many amounts it cannot read."""

    def read(text: str, mark: str) -> str:
        try:
            return f"{parse_number(text, mark or None):f}"
        except (AmbiguousNumberError, ForeignCurrencyError, InvalidAmountError):
            return ""

    return format_options(amounts, ("", ".", ","), read)


def date_options(texts: Sequence[str], declared: Sequence[str] = ()) -> list[Document]:
    """What each date format makes of the dates, for formats that read at least one."""

    def read(text: str, form: str) -> str:
        found = parse_date(text, form)
        return found.date().isoformat() if found else ""

    either = [form for pair in AMBIGUOUS_FORMATS for form in pair]
    found = format_options(texts, tuple(dict.fromkeys(("", *declared, *DATE_FORMATS, *either))), read)
    return [one for one in found if one["unread"] < len(texts) or one["form"] in declared or not one["form"]]


def format_options(texts: Sequence[str], forms: Sequence[str], read: Callable[[str, str], str]) -> list[Document]:
    """Each format with its reading of the text that best distinguishes them."""
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
