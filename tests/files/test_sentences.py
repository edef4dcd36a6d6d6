import json
import re
from importlib.resources import files

import pytest

TEXTS = json.loads(files("retour.files").joinpath("sentences.json").read_text("utf-8"))


@pytest.mark.parametrize("code", sorted(TEXTS))
def test_each_code_has_one_sentence_in_each_language_with_the_same_places(code: str) -> None:
    places = [set(re.findall(r"{(\w+)}", TEXTS[code][language])) for language in ("en", "de", "fr")]
    assert places[0] == places[1] == places[2]
    assert len(TEXTS[code]) == 3
