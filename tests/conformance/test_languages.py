"""What every language must pass. A file in `languages/` runs all of it for the new one."""

from datetime import datetime
from string import Formatter

import pytest
from babel import Locale
from babel.messages.pofile import read_po

from retour.console.words import LOCALE
from retour.languages import ENGLISH, languages
from retour.sentences import sentence
from tests.conformance.texts import all_texts, is_untranslated

CODES = list(languages())
NARROW = str.maketrans({"\N{NARROW NO-BREAK SPACE}": " ", "\N{NO-BREAK SPACE}": " "})


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("code", CODES)
def test_a_language_says_everything_with_what_fills_it_in(code: str) -> None:
    texts = all_texts()
    assert len(texts) > 500
    missing = [key for key, said in texts.items() if not said.get(code, "").strip()]
    missing += [key for key, said in texts.items() if code != ENGLISH and is_untranslated(said[code], said[ENGLISH])]
    assert not missing, f"{len(missing)} texts lack {code}"
    assert [key for key, said in texts.items() if placeholders(said[code]) != placeholders(said[ENGLISH])] == []


def test_a_language_translates_nothing_that_is_not_said() -> None:
    assert {key for one in languages().values() for key in one.texts} <= set(all_texts())


@pytest.mark.parametrize("code", CODES)
def test_a_language_writes_numbers_as_its_locale_does(code: str) -> None:
    """CLDR knows better than any of us."""
    one, locale = languages()[code], Locale.parse(languages()[code].locale)
    symbols = locale.number_symbols["latn"]
    assert (one.group.translate(NARROW), one.mark) == (symbols["group"].translate(NARROW), symbols["decimal"])
    assert locale.percent_formats[None].pattern.lstrip("#,0.").translate(NARROW) == one.percent.translate(NARROW)
    assert one.title == locale.get_display_name("en").partition(" (")[0]
    assert one.name.casefold() == str(locale.get_language_name(locale)).casefold()


@pytest.mark.parametrize("code", CODES)
def test_a_language_tells_days_and_moments(code: str) -> None:
    one, moment = languages()[code], datetime(2026, 11, 9, 13, 5)
    for pattern in (one.day, one.moment):
        assert all(part in f"{moment:{pattern}}" for part in ("9", "2026"))
        assert "MONTH" not in pattern or len(one.months) == 12
    assert "13:05" in f"{moment:{one.moment}}" and "ZONE" in one.moment
    assert one.colon.endswith(" ")
    details = {"order": "7", "locks_at": "2026-11-30T23:00:00Z", "received_at": "2026-11-30T23:30:00Z"}
    assert sentence("ACTION_LOCKED", details, code).count("2026") == 2


@pytest.mark.parametrize("code", [code for code in CODES if code != ENGLISH])
def test_a_language_has_the_texts_of_the_console(code: str) -> None:
    """That none is missing is a test of the console (tests/console/test_words.py)."""
    with (LOCALE / code / "LC_MESSAGES/console.po").open("rb") as file:
        said = [(one.id, one.string) for one in read_po(file, locale=code) if one.id]
    assert [one for one, text in said if is_untranslated(str(text), str(one))] == []
