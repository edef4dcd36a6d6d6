"""All that is said to people, by key, as a language that brings its texts in its own file keys them.

`python -m tests.conformance.texts nl` writes `languages/nl.json` and the console's catalogue with the English texts
that are still to translate; what was translated stays.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from babel import Locale

from retour.channels import mail
from retour.console.words import LOCALE
from retour.errors import error_catalog
from retour.files import result_files
from retour.languages import ENGLISH, Texts
from retour.sentences import all_sentences

KEYWORDS = ("say", "term", "_", "n_:1,2", "count:1,2")
FOLDER = Path(__file__).parents[2] / "shared/retour/languages"


def is_untranslated(text: str, english: str) -> bool:
    """Whether a text is still the English one; single words may be the same in both."""
    return text == english and len(re.findall(r"[^\W\d_]{2,}", re.sub(r"\{\w+\}|%\(\w+\)s", "", english))) > 2


def all_texts() -> Texts:
    """Key to language to text."""
    found = dict(all_sentences())
    found |= {f"mail/{key}": texts for key, texts in mail._texts().items()}
    found |= {f"file/{key}": texts for key, texts in result_files._texts().items()}
    for code, error in error_catalog().items():
        found[f"error/{code}/title"] = error["title"]
        found |= {f"error/{code}/sentence/{about}": texts for about, texts in error["sentences"].items()}
    return found


def draft(code: str, written: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a language with every text: as it was written, else in English."""
    usual = {"day": "%d-%m-%Y", "moment": "%d-%m-%Y %H:%M (ZONE)", "colon": ": "} | cldr_entry(code)
    texts = {key: written.get("texts", {}).get(key, texts[ENGLISH]) for key, texts in sorted(all_texts().items())}
    return {**usual, **written, "texts": texts}


def cldr_entry(code: str) -> dict[str, str]:
    """What CLDR knows of a language."""
    locale = Locale.parse(code)
    symbols = locale.number_symbols["latn"]
    return {
        "title": locale.get_display_name("en").partition(" (")[0],
        "name": str(locale.get_language_name(locale)).capitalize(),
        "locale": code,
        "group": symbols["group"],
        "mark": symbols["decimal"],
        "percent": locale.percent_formats[None].pattern.lstrip("#,0."),
    }


def extract_console(template: Path) -> None:
    """Every text of the console's pages, as a template of catalogues."""
    keywords = [part for keyword in KEYWORDS for part in ("-k", keyword)]
    pybabel("extract", "-F", "locale/babel.cfg", "-o", str(template), *keywords, ".")


def pybabel(*arguments: str) -> None:
    command = [str(Path(sys.executable).parent / "pybabel"), "-q", *arguments]
    subprocess.run(command, cwd=LOCALE.parent, check=True, capture_output=True)


def main() -> None:
    code = sys.argv[1]
    path, catalogue = FOLDER / f"{code}.json", LOCALE / code / "LC_MESSAGES/console.po"
    written = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps(draft(code, written), ensure_ascii=False, indent=1) + "\n", "utf-8")
    with TemporaryDirectory() as folder:
        template = Path(folder) / "console.pot"
        extract_console(template)
        act = "update" if catalogue.exists() else "init"
        pybabel(act, "-i", str(template), "-o", str(catalogue), "-l", code)
    print(f"translate `texts` in {path} and every msgstr in {catalogue}")


if __name__ == "__main__":
    main()
