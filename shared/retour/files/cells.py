"""Checks on the fields of a record, shared by all formats."""

from collections.abc import Iterable, Mapping

from retour.domain.row import Row, Unreadable
from retour.files.layout import Layout, fold_name
from retour.files.table import CELL_CHARS_MAX, control, damage_code
from retour.files.text import UNDECODED, UNPRINTABLE
from retour.sentences import join_names

NEAREST_SEARCHED_MAX = 100
CLOSE_MATCH_CUTOFF = 0.7


class Spelling(dict[str, str]):
    """Maps a sender's field names to the layout's spelling, cached per name. Unknown names stay as they are."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.known = {fold_name(name): name for name in layout.known}

    def __missing__(self, name: str) -> str:
        spelled = self.known.get(fold_name(name), name)
        if len(self) < 10_000:
            self[name] = spelled
        return spelled


def make_row(place: str, fields: Mapping[str, str], raw: str, line: int, layout: Layout) -> Row | Unreadable:
    """A row of these fields, or the first fault found in them."""
    for name, value in fields.items():
        if len(value) > CELL_CHARS_MAX:
            details = {"line": str(line), "limit": str(CELL_CHARS_MAX)}
            return make_unreadable(place, "CELL_TOO_LONG", details, name, raw, fields, layout)
        if not value.isprintable() and (found := UNPRINTABLE.search(value)):
            if UNDECODED.match(found[0]):
                return make_unreadable(place, "ENCODING_UNCLEAR", {"line": str(line)}, name, raw, fields, layout)
            details = {"line": str(line), **control(found[0]), "column": str(found.start() + 1)}
            return make_unreadable(place, "NOT_TEXT", details, name, raw, fields, layout)
    for name in layout.ids & fields.keys():
        if code := damage_code(value := fields[name]):
            details = {"line": str(line), "column": name, "value": value[:40], "right": value.partition(".")[0][:40]}
            return make_unreadable(place, code, details, name, raw, fields, layout)
    return Row(place, fields, raw)


def make_unreadable(
    place: str,
    code: str,
    details: Mapping[str, str],
    column: str,
    raw: str,
    fields: Mapping[str, str],
    layout: Layout,
) -> Unreadable:
    """A refused record, with its order id and reference where they can be read."""
    order = next((fields[name] for name in layout.known if name in layout.identity and name in fields), "")
    reference = fields.get(layout.reference, "")
    return Unreadable(place, code, details, column[:64], raw, storable_id(order), storable_id(reference))


def storable_id(text: str) -> str:
    """An id as shown in messages, at most 128 characters; empty if it cannot be stored."""
    return "" if UNPRINTABLE.search(text) or not _is_storable(text) else text[:128]


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class NearestNames:
    """Suggests the known name closest to an unknown one, or lists all of them if none is close.

    The number of searches per file is limited: a file with more misspellings has another layout.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self.known = list(known)
        self.found: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        from difflib import get_close_matches

        if name not in self.found:
            if len(self.found) >= NEAREST_SEARCHED_MAX:
                return join_names(self.known)
            near = get_close_matches(name[:64].lower(), self.known, n=1, cutoff=CLOSE_MATCH_CUTOFF)
            self.found[name] = near[0] if near else join_names(self.known)
        return self.found[name]


class PlaceNumbering:
    """Numbers records by line, and by column where several begin on the same line."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.last = prefix, 0

    def at(self, line: int, column: int) -> str:
        place = f"{self.prefix}{line}" if line != self.last else f"{self.prefix}{line}:{column}"
        self.last = line
        return place
