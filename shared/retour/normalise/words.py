"""Map senders' words to the program's own."""

from collections.abc import Iterable, Mapping

from retour.files.layout import fold_name
from retour.sentences import join_names

CLOSE_MATCH_CUTOFF = 0.7


def translate(translated: Mapping[str, str], given: str) -> str | None:
    """The translation of a word: exact, else ignoring case, whitespace, `_` and `-`."""
    if given in translated:
        return translated[given]
    return next((meant for text, meant in translated.items() if fold_name(text) == fold_name(given)), None)


def closest_known(given: str, known: Iterable[str]) -> str:
    """The known word closest to a given one, ignoring case and whitespace first; all known words if none is close."""
    from difflib import get_close_matches

    words = {fold_name(word): word for word in sorted(known)}
    found = get_close_matches(fold_name(given), list(words), n=1, cutoff=CLOSE_MATCH_CUTOFF)
    return words[found[0]] if found else join_names(words.values(), sort=True)
