"""The sentence of every code in the reader's language: what is wrong, where, and what right looks like."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from retour.domain.contracts.conditions import condition_sentences
from retour.domain.phrase import Sentence
from retour.languages import Language, language_or_english, languages, with_further_languages

LANGUAGES = tuple(languages())
CATALOGS = (
    ("retour", "words.json"),
    ("retour.domain.actions", "codes.json"),
    ("retour.domain.actions", "paid.json"),
    ("retour.domain.contracts", "terms.json"),
    ("retour.normalise", "sentences.json"),
    ("retour.intake", "sentences.json"),
    ("retour.setup", "sentences.json"),
    ("retour.setup", "faults.json"),
    ("retour.setup", "descriptions.json"),
    ("retour.channels", "sentences.json"),
    ("retour.files", "sentences.json"),
    ("retour.remote", "sentences.json"),
    ("retour.connection_test", "sentences.json"),
    ("retour.money", "sentences.json"),
)

NAMES_CHARS_MAX = 240
EXCERPT_CHARS_MAX = 40

MOMENT_DETAILS = ("locks_at", "received_at", "first_received_at", "moment")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
DAYS = ("event_day", "locked_day", "report_day", "statement_day", "paid_day", "due_day")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
NUMBER_DETAILS = (
    "dates",
    "amount",
    "payout",
    "sale",
    "left",
    "quantity_sold",
    "quantity_left",
    "changes",
    "limit",
    "most",
    "at_most",
    "count",
    "days",
    "flat",
    "paid",
    "payout_after",
    "payout_before",
    "percent",
    "quantity",
    "rate",
    "share",
    "size",
    "times",
    "waiting_days",
)
NUMBER = re.compile(r"(-?)(\d[\d,]*)(?:\.(\d+))?( [A-Z]{3}|%)?")
WORD_DETAILS = {"state": "STATE_WORD", "threshold": "THRESHOLD_WORD"}
"""Details that are a word of ours, and the code under which it stands in every language."""
MEASURED = {"THRESHOLD_EXCEEDED": "value"}
"""Codes of which a detail is a figure of ours, where other codes quote a sender in it."""


@cache
def all_sentences() -> Mapping[str, Mapping[str, str]]:
    """Code to language to sentence. A code stands in one place only; a test keeps it so."""
    found: dict[str, Mapping[str, str]] = condition_sentences()
    for package, name in CATALOGS:
        found |= json.loads(files(package).joinpath(name).read_text("utf-8"))
    return with_further_languages(found)


class _DashForMissing(dict[str, str]):
    """A detail that nobody could give is shown as a dash, not as an error."""

    def __missing__(self, key: str) -> str:
        return "–"


def sentence(code: str, details: Mapping[str, str | Sentence], language: str = "en") -> str:
    """The sentence of a code; empty for no code, the code itself where no sentence is known.

    A code may have several cases, of which a detail names the one that is told.
    """
    if not code:
        return ""
    texts = all_sentences().get(f"{code}/{details.get('case')}") or all_sentences().get(code)
    if texts is None:
        return code
    measured = MEASURED.get(code, "")
    if measured in details:
        details = {**details, measured: localise("share", details[measured], language)}
    return fill_in(texts, details, language)


def fill_in(texts: Mapping[str, str], details: Mapping[str, str | Sentence], language: str) -> str:
    """A text in a language, else in English, with its details."""
    zone = str(details.get("zone") or "UTC")
    spoken = {name: localise(name, value, language, zone) for name, value in details.items()}
    return texts.get(language, texts["en"]).format_map(_DashForMissing(spoken))


def localise(name: str, value: str | Sentence, language: str, zone: str = "UTC") -> str:
    """A part that is a sentence itself; a moment of ours by the clocks of a zone, a figure or a word of ours as people
    write it there; what a sender wrote is quoted as it stands."""
    if isinstance(value, Sentence):
        return sentence(value.code, value.details, language)
    if name in MOMENT_DETAILS and MOMENT.fullmatch(value):
        moment = datetime.fromisoformat(value).astimezone(ZoneInfo(zone))
        spoken = language_or_english(language)
        return written_day(moment, spoken.moment, spoken).replace("ZONE", place_name(zone))
    if name == "zone":
        return place_name(value)
    if name in WORD_DETAILS:
        word = all_sentences().get(f"{WORD_DETAILS[name]}/{value}")
        return word.get(language, word["en"]) if word else value
    if name in DAYS and DAY.fullmatch(value):
        spoken = language_or_english(language)
        return written_day(date.fromisoformat(value), spoken.day, spoken)
    if name in NUMBER_DETAILS and language in languages() and (found := NUMBER.fullmatch(value)):
        return localise_number(found, languages()[language])
    return value


def written_day(day: date, pattern: str, language: Language) -> str:
    """A day, or a moment, by a pattern of its language."""
    month = language.months[day.month - 1] if language.months else ""
    return f"{day:{pattern}}".replace("MONTH", month)


def localise_number(found: re.Match[str], language: Language) -> str:
    sign, digits, cents, unit = found.groups("")
    whole = f"{int(digits.replace(',', '')):,}".replace(",", language.group)
    told_unit = language.percent if unit == "%" else unit
    return f"{sign}{whole}{language.mark if cents else ''}{cents}{told_unit}"


def place_name(zone: str) -> str:
    """The city by whose clocks a time is told."""
    return zone.rpartition("/")[2].replace("_", " ")


def join_names(names: Iterable[str], *, sort: bool = False) -> str:
    """Names for a sentence; of many only the first, for a person reads the sentence and a header keeps it."""
    text = ", ".join(sorted(names) if sort else names)
    return text if len(text) <= NAMES_CHARS_MAX else text[:NAMES_CHARS_MAX].rpartition(",")[0] + ", …"


def truncate(text: str, most: int = EXCERPT_CHARS_MAX) -> str:
    """A text as a sentence quotes it: its beginning, and a sign that there is more."""
    return text if len(text) <= most else text[: most - 1] + "…"


def excerpt(text: str, most: int = EXCERPT_CHARS_MAX) -> str:
    """What a sender wrote as it can stand in a sentence: short, on one line, of signs that can be stored."""
    return truncate(" ".join(text.encode("utf-8", "replace").decode().split()), most)
