"""A part of a sentence, independent of the language."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Phrase:
    """A code of a table of sentences, and what fills it. Days are ISO texts, named `…day`."""

    code: str
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A code and what fills it, which may be a sentence itself."""

    code: str
    details: Mapping[str, "str | Sentence"] = field(default_factory=dict)
