"""Text for people is a product: every code has its sentence in three languages, with the same placeholders."""

import json
import re
from importlib.resources import files
from string import Formatter

import pytest

from retour.domain.actions.codes import Code, numbers
from retour.sentences import PLACES, all_sentences, sentence

LANGUAGES = ("en", "de", "fr")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("code", sorted(all_sentences()))
def test_every_code_speaks_three_languages_alike(code: str) -> None:
    texts = all_sentences()[code]
    assert all(texts[language].strip() for language in LANGUAGES)
    assert len({frozenset(placeholders(texts[language])) for language in LANGUAGES}) == 1


def test_a_code_stands_in_one_place_only() -> None:
    places = [set(json.loads(files(package).joinpath(name).read_text())) for package, name in PLACES]
    assert sum(map(len, places)) == len(set().union(*places))


def test_every_code_of_the_fold_has_a_number_of_its_own() -> None:
    assert set(numbers()) == {code.value for code in Code}
    assert len(set(numbers().values())) == len(Code)
    assert all(0 < number < 256 for number in numbers().values())


def test_every_code_in_the_code_has_a_sentence() -> None:
    known = set(all_sentences())
    pattern = re.compile(r"\b(?:Wrong|Refusal|Unreadable)\(\s*(?:[\w.]+, )?\"([A-Z][A-Z_]{3,})\"")
    for path in files("retour").joinpath("").iterdir():  # type: ignore[attr-defined]
        found = list(path.rglob("*.py")) if path.is_dir() else [path] if path.name.endswith(".py") else []
        for module in found:
            for code in pattern.findall(module.read_text()):
                assert code in known, (module, code)


def test_a_missing_detail_is_a_dash_and_no_error() -> None:
    assert (
        sentence("ACTION_REVERSED", {}, "en")
        == "The action of order – is reversed. Restore it first, then send this again."
    )
    assert sentence("ACTION_REVERSED", {"order": "7"}, "de").startswith("Die Aktion zur Bestellung 7 ist storniert.")
    assert sentence("", {}) == ""
    assert sentence("NO_SUCH_CODE", {}) == "NO_SUCH_CODE"
