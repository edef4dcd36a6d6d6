"""Text for people is a product: every code has its sentence in three languages, with the same placeholders."""

import json
import re
from importlib.resources import files
from string import Formatter

import pytest

from retour.domain.actions.codes import Code, code_numbers
from retour.sentences import CATALOGS, LANGUAGES, all_sentences, localise, sentence


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("code", sorted(all_sentences()))
def test_every_code_speaks_every_language_alike(code: str) -> None:
    texts = all_sentences()[code]
    assert all(texts[language].strip() for language in LANGUAGES)
    assert len({frozenset(placeholders(texts[language])) for language in LANGUAGES}) == 1


def test_a_code_stands_in_one_place_only() -> None:
    places = [set(json.loads(files(package).joinpath(name).read_text())) for package, name in CATALOGS]
    assert sum(map(len, places)) == len(set().union(*places))


def test_every_code_of_the_fold_has_a_number_of_its_own() -> None:
    assert set(code_numbers()) == {code.value for code in Code}
    assert len(set(code_numbers().values())) == len(Code)
    assert all(0 < number < 256 for number in code_numbers().values())


def test_every_code_in_the_code_has_a_sentence() -> None:
    known = set(all_sentences())
    pattern = re.compile(r"\b(?:Wrong|Refusal|Unreadable)\(\s*(?:[\w.]+, )?\"([A-Z][A-Z_]{3,})\"")
    for path in files("retour").joinpath("").iterdir():  # type: ignore[attr-defined]
        found = list(path.rglob("*.py")) if path.is_dir() else [path] if path.name.endswith(".py") else []
        for module in found:
            for code in pattern.findall(module.read_text()):
                assert code in known, (module, code)


def test_every_fault_in_the_code_has_a_sentence_and_every_sentence_its_fault() -> None:
    root = files("retour").joinpath("")
    text = "".join(module.read_text("utf-8") for module in root.rglob("*.py"))  # type: ignore[attr-defined]
    written = {*re.findall(r'"(FAULT_[A-Z_0-9]+)"', text)} | {
        f"FAULT_KIND_{kind}" for kind in ("OBJECT", "ARRAY", "STRING", "INTEGER", "BOOLEAN", "NULL")
    }
    assert written == {code for code in all_sentences() if code.startswith("FAULT_") and "/" not in code}


def test_a_missing_detail_is_a_dash_and_no_error() -> None:
    assert (
        sentence("ACTION_REVERSED", {}, "en")
        == "The action of order – is reversed. Restore it first, then send this again."
    )
    assert sentence("ACTION_REVERSED", {"order": "7"}, "de").startswith("Die Aktion zur Bestellung 7 ist storniert.")
    assert sentence("", {}) == ""
    assert sentence("NO_SUCH_CODE", {}) == "NO_SUCH_CODE"


def test_moments_and_figures_of_ours_are_written_as_people_write_them() -> None:
    details = {"order": "1.5", "locks_at": "2026-11-30T23:00:00Z", "received_at": "2026-12-01T00:30:01.123+01:00"}
    assert "1.5 locked on 30 November 2026, 23:00 (UTC); this arrived on 30 November 2026, 23:30 (UTC)" in sentence(
        "ACTION_LOCKED", details
    )
    assert "30.11.2026, 23:00 Uhr (UTC)" in sentence("ACTION_LOCKED", details, "de")
    assert "30/11/2026 à 23:00 (UTC)" in sentence("ACTION_LOCKED", details, "fr")
    assert localise("left", "1234567.50 EUR", "de") == "1.234.567,50 EUR"
    assert localise("amount", "-0.50", "de") == "-0,50"
    assert localise("changes", "1,000", "fr") == "1\u202f000"
    assert localise("left", "1234.50 EUR", "en") == "1,234.50 EUR"
    assert localise("value", "1234.50", "de") == "1234.50"
    assert localise("amount", "about 5", "de") == "about 5"
    assert localise("limit", "12.5%", "fr") == "12,5\N{NO-BREAK SPACE}%"


def test_moments_are_told_by_the_clocks_of_the_zone_that_the_details_name() -> None:
    details = {"order": "A-1", "received_at": "2026-12-02T07:30:00Z", "zone": "America/New_York"}
    assert "2 December 2026, 02:30 (New York)" in sentence("AFTER_FINAL", details)
    assert "02.12.2026, 02:30 Uhr (New York)" in sentence("AFTER_FINAL", details, "de")
    locked = {**details, "locks_at": "2026-12-01T05:00:00Z", "locked_day": "2026-11-30", "case": "day"}
    assert "locked at the end of 30 November 2026 (New York)" in sentence("ACTION_LOCKED", locked)
    assert "seit Ablauf des 30.11.2026 (New York)" in sentence("ACTION_LOCKED", locked, "de")


def test_words_of_ours_are_no_code_in_a_sentence() -> None:
    held = {"threshold": "bad_rows", "value": "31.5%", "limit": "20%", "partners": "nordlicht"}
    told = sentence("THRESHOLD_EXCEEDED", held, "de")
    assert "bad_rows" not in told and "31,5\N{NO-BREAK SPACE}%" in told
    assert localise("state", "applied", "fr") == "appliqué"
    assert localise("state", "of nobody's", "fr") == "of nobody's"
