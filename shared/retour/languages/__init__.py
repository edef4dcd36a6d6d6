"""The registry of languages: a file of this folder for each, found by its name; its console's texts are in `locale/`.

English, German and French stand beside each other in the catalogue of every room. A further language brings all its
texts in its own file, so that adding one changes no other.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

ENGLISH = "en"
Texts = Mapping[str, Mapping[str, str]]
"""Key of a text to language to text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """How a language writes what stands in its sentences.

    `title` is its English name, `name` its own, `locale` that of CLDR. `day` and `moment` are formats of `strftime`,
    with MONTH for the month's name of `months`, and ZONE for whose clocks. `group` and `mark` are the signs between
    thousands and before decimals, `percent` and `colon` signs with their spaces. `texts` are those that do not stand in
    the catalogues, by their keys.
    """

    code: str
    title: str
    name: str
    locale: str
    day: str
    moment: str
    group: str
    mark: str
    percent: str
    colon: str
    months: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)


@cache
def languages() -> Mapping[str, Language]:
    """Every language by its code; English first."""
    folder = files("retour.languages")
    found = sorted(one.name.removesuffix(".json") for one in folder.iterdir() if one.name.endswith(".json"))
    codes = [ENGLISH, *(code for code in found if code != ENGLISH)]
    return {code: _language(code, json.loads(folder.joinpath(f"{code}.json").read_text("utf-8"))) for code in codes}


def _language(code: str, entry: Mapping[str, Any]) -> Language:
    return Language(code=code, **{**entry, "months": tuple(entry.get("months", ()))})


def language_or_english(code: str) -> Language:
    return languages().get(code) or languages()[ENGLISH]


def with_further_languages(texts: Texts, prefix: str = "") -> Texts:
    """A catalogue with the texts of the languages that bring theirs; there its keys begin with `prefix`."""
    further = [one for one in languages().values() if one.texts]
    return {
        key: {**said, **{one.code: one.texts[prefix + key] for one in further if prefix + key in one.texts}}
        for key, said in texts.items()
    }
