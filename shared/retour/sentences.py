"""Every code's sentence, in the language of who reads it: what is wrong, where, and what right looks like."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "de", "fr")
PLACES = (
    ("retour.domain.actions", "codes.json"),
    ("retour.domain.actions", "paid.json"),
    ("retour.domain.contracts", "terms.json"),
    ("retour", "normalise.json"),
    ("retour.intake", "sentences.json"),
    ("retour.setup", "sentences.json"),
    ("retour.channels", "sentences.json"),
    ("retour.files", "sentences.json"),
    ("retour.remote", "sentences.json"),
    ("retour.connection_test", "sentences.json"),
)


@cache
def all_sentences() -> Mapping[str, Mapping[str, str]]:
    """Code to language to sentence. A code stands in one place only; a test keeps it so."""
    found: dict[str, Mapping[str, str]] = {}
    for package, name in PLACES:
        found |= json.loads(files(package).joinpath(name).read_text("utf-8"))
    return found


class _Known(dict[str, str]):
    """A detail that nobody could give is shown as a dash, not as an error."""

    def __missing__(self, key: str) -> str:
        return "–"


def sentence(code: str, details: Mapping[str, str], language: str = "en") -> str:
    """The sentence of a code; empty for no code, the code itself where no sentence is known.

    A code may have several cases, of which a detail names the one that is told.
    """
    if not code:
        return ""
    texts = all_sentences().get(f"{code}/{details.get('case')}") or all_sentences().get(code)
    if texts is None:
        return code
    return filled(texts, details, language)


def filled(texts: Mapping[str, str], details: Mapping[str, str], language: str) -> str:
    """A text in a language, else in English, with its details."""
    return texts.get(language, texts["en"]).format_map(_Known(details))
