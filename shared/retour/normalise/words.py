"""Map senders' words to the program's own."""

from collections.abc import Iterable, Mapping

from retour.files.layout import fold_name
from retour.sentences import join_names

CLOSE_MATCH_CUTOFF = 0.7


def translate(translated: Mapping[str, str], given: str) -> str | None:
    """What a text is translated to: as it is written, else without regard to case, blanks, `_` and `-`."""
    if given in translated:
        return translated[given]
    return next((meant for text, meant in translated.items() if fold_name(text) == fold_name(given)), None)


def closest_known(given: str, known: Iterable[str]) -> str:
    """The known word that another one is like, before all but for case and blanks; all of them where none is near."""
    from difflib import get_close_matches

    words = {fold_name(word): word for word in sorted(known)}
    found = get_close_matches(fold_name(given), list(words), n=1, cutoff=CLOSE_MATCH_CUTOFF)
    return words[found[0]] if found else join_names(words.values(), sort=True)
