"""File names to fetch: patterns with dates, and names that are never a merchant's data file."""

import re
from datetime import date, datetime
from fnmatch import fnmatchcase

from retour.files import names

MARKERS = (".done", ".ok", ".ctl")
DATE_PLACEHOLDER = re.compile(r"\{((?=[^{}]*(?:yy|MM|dd))[^{}]*)\}")


def skip_reason(name: str, pattern: str) -> str:
    """Why a file of this name is not fetched; empty if it is."""
    if names.base_name(name) != name or not name.isprintable() or name in (".", ".."):
        return "name"
    if skipped := names.skip_reason(name):
        return skipped
    if not matches_pattern(name, pattern):
        return "pattern"
    return "marker" if name.lower().endswith(MARKERS) else ""


def is_marker(name: str) -> bool:
    return name.lower().endswith(MARKERS)


def matches_pattern(name: str, pattern: str, day: date | None = None) -> bool:
    """Match * for any characters, ? for one, {yyyyMMdd} for a date, ignoring case.

    A date consists of yyyy, yy, MM and dd with any separators. With `day` it must be that day.
    """
    dates = list(DATE_PLACEHOLDER.finditer(pattern))
    if not dates:
        return fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))
    if day is not None:
        return matches_pattern(name, DATE_PLACEHOLDER.sub(lambda found: day.strftime(as_strftime(found[1])), pattern))
    plain = DATE_PLACEHOLDER.sub(
        lambda found: re.sub("yyyy|yy|MM|dd", lambda letters: "?" * len(letters[0]), found[1]), pattern
    )
    return matches_pattern(name, plain) and any(has_date_at(name, at, dates[0][1]) for at in range(len(name)))


def has_date_at(name: str, at: int, letters: str) -> bool:
    try:
        datetime.strptime(name[at : at + len(letters)], as_strftime(letters))
    except ValueError:
        return False
    return True


def as_strftime(letters: str) -> str:
    for ours, theirs in (("%", "%%"), ("yyyy", "%Y"), ("yy", "%y"), ("MM", "%m"), ("dd", "%d")):
        letters = letters.replace(ours, theirs)
    return letters


def fill_date(pattern: str, day: date) -> str:
    """A pattern with its date filled in."""
    return DATE_PLACEHOLDER.sub(lambda found: day.strftime(as_strftime(found[1])), pattern)
