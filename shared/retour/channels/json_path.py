"""JSONPath (RFC 9535) in a sender's JSON, and texts that contain paths.

A path begins with `$` for the message, or `@` for the current record. Texts such as `refund/{@.id}` contain paths in
braces.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import islice
from typing import Any

from retour.channels import payload

PLACEHOLDER = re.compile(r"\{([$@][^{}]*)\}")
DESCENDANTS_MAX = 1
"""Maximum `..` in a path. With two, the work grows with the square of the message's size."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record in a message. `place` is its normalised path, for people."""

    message: Any
    value: Any
    place: str = "$"


def is_path(text: str) -> bool:
    return text.startswith(("$", "@"))


def path_error(text: str) -> str | None:
    """Why a path is invalid, in the library's words; None if it is valid."""
    if not is_path(text):
        return "it begins with neither $ nor @"
    if text.count("..") > DESCENDANTS_MAX:
        return f"it has more than {DESCENDANTS_MAX} .."
    try:
        _finder(text)
    except _library().JSONPathError as error:
        return str(error.message)
    return None


def template_error(text: str) -> str | None:
    """Why a path, or a text with paths in braces, is invalid; None if it is valid."""
    paths = [text] if is_path(text) else PLACEHOLDER.findall(text)
    return next((wrong for path in paths if (wrong := path_error(path))), None)


def values(path: str, record: Record, most: int) -> list[Any]:
    """Up to `most` values at a path; none if the message is nested too deeply."""
    return [value for value, _ in find(path, record, most)]


def find(path: str, record: Record, most: int) -> list[tuple[Any, str]]:
    """The same, each value with its normalised path."""
    start, before = (record.value, record.place) if path.startswith("@") else (record.message, "$")
    if path in ("$", "@"):
        return [(start, before)]
    if not isinstance(start, Mapping | Sequence) or isinstance(start, str):
        return []
    try:
        return [(value, before + place.removeprefix("$")) for value, place in islice(_finder(path)(start), most)]
    except (_library().JSONPathError, RecursionError):
        return []


def fill(text: str, record: Record) -> str | None:
    """The text at a path, or a text with its paths filled in; None if any of them finds nothing.

    Raises SeveralValuesError if a path finds more than one value.
    """
    if is_path(text):
        return single_text(text, record)
    found = {path: single_text(path, record) for path in PLACEHOLDER.findall(text)}
    if not all(found.values()):
        return None
    return PLACEHOLDER.sub(lambda match: str(found[match[1]]), text)


class SeveralValuesError(ValueError):
    """A path finds several values where only one is possible."""

    def __init__(self, path: str, count: int) -> None:
        self.path, self.count = path, count
        super().__init__(path)


def single_text(path: str, record: Record) -> str | None:
    """The single value at a path as text: text, digits of a number, true or false; None for anything else."""
    found = [value for value in values(path, record, 2) if value is not None]
    if len(found) > 1:
        raise SeveralValuesError(path, len(found))
    return as_text(found[0]) if found else None


def as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.strip() or None
    return payload.id_text(value)


@cache
def _finder(path: str) -> Callable[[Any], Iterator[tuple[Any, str]]]:
    """A function that finds the values at a path with their normalised paths."""
    compiled = _environment().compile("$" + path[1:])

    def find_in(start: Any) -> Iterator[tuple[Any, str]]:
        for match in compiled.finditer(start):
            yield match.obj, match.path

    return find_in


@cache
def _environment() -> Any:
    return _library().JSONPathEnvironment(strict=True)


@cache
def _library() -> Any:
    """Import python-jsonpath on first use, since most functions never need it."""
    return import_module("jsonpath")
