"""Language-independent parts of sentences."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sentence code with its values. Days are ISO dates in values named `…day`."""

    code: str
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence code with its values, which may be sentences themselves."""

    code: str
    details: Mapping[str, "str | Sentence"] = field(default_factory=dict)
