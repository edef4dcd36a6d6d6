"""Three languages, whole; numbers and days as each of them writes them."""

import re
from datetime import UTC, datetime

import pytest
from babel.messages.pofile import read_po
from tests.conformance.texts import extract_console

from retour.console.words import LOCALE, Words, language_of
from retour.languages import ENGLISH, languages

CONSOLE = LOCALE.parent
NOW = datetime(2026, 11, 4, 14, 5, tzinfo=UTC)
FIXED = "\N{NO-BREAK SPACE}"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every text the pages say."""
    path = tmp_path_factory.mktemp("words") / "console.pot"
    extract_console(path)
    with path.open("rb") as file:
        return {one.id[0] if isinstance(one.id, tuple) else str(one.id) for one in read_po(file) if one.id}


@pytest.mark.parametrize("language", [one for one in languages() if one != ENGLISH])
def test_every_text_is_there_in_every_language_and_none_too_many(language: str, said: set[str]) -> None:
    assert len(said) > 300
    with (LOCALE / language / "LC_MESSAGES/console.po").open("rb") as file:
        catalog = read_po(file, locale=language)
    known = {one.id[0] if isinstance(one.id, tuple) else str(one.id): one for one in catalog if one.id}
    assert said == set(known)
    for text, one in known.items():
        texts = one.string if isinstance(one.string, tuple) else (one.string,)
        for translated in texts:
            assert translated, text
            assert set(re.findall(r"%\((\w+)\)s", str(translated))) == set(re.findall(r"%\((\w+)\)s", text)), text


@pytest.mark.parametrize(
    ("language", "money", "moment", "days"),
    [
        ("en", f"−1,204.50{FIXED}EUR", "4 Nov 2026, 15:05", "in 6 days"),
        ("de", f"−1.204,50{FIXED}EUR", "04.11.2026, 15:05", "in 6 Tagen"),
        ("fr", f"−1{FIXED}204,50{FIXED}EUR", "4 nov. 2026, 15:05", "dans 6 jours"),
    ],
)
def test_numbers_and_days_are_those_of_the_reader(language: str, money: str, moment: str, days: str) -> None:
    words = Words(language, "Europe/Berlin", NOW)
    assert words.money("-1204.50", "EUR") == money
    assert words.moment(NOW) == moment
    assert words.until(datetime(2026, 11, 10, 20, 0, tzinfo=UTC)) == days
    assert words.money("1500", "JPY").endswith(f"{FIXED}JPY") and "." not in words.money("15", "JPY")


@pytest.mark.parametrize(
    ("cookie", "accepted", "usual", "language"),
    [
        (None, "", "de", "de"),
        (None, "fr-CH, en;q=0.8", "de", "fr"),
        ("en", "fr", "de", "en"),
        ("xx", "it, de", "en", "de"),
        (None, "zh", "it", "en"),
    ],
)
def test_the_language_is_the_chosen_then_the_accepted_then_the_programs(
    cookie: str | None, accepted: str, usual: str, language: str
) -> None:
    assert language_of(cookie, accepted, usual) == language
