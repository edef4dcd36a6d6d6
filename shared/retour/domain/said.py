"""A part of what is to be told, before any language."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """A code of a table of sentences, and what fills it. Days are ISO texts, named `…day`."""

    code: str
    details: Mapping[str, str]
