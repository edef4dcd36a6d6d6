"""Parse an uploaded list: a text with one entry per line, or its errors by line."""

from collections.abc import Iterator

from retour.domain.contracts.named_list import ENTRIES_MAX, ENTRY_MAX, WILDCARD
from retour.domain.phrase import Sentence
from retour.setup.program_file import FAULTS_MAX, Fault

SEPARATORS = (",", ";", "\t")


def read_list(body: bytes) -> list[str] | list[Fault]:
    """The distinct entries in order. Blank lines are ignored, and quotes around a line are removed.

    For an invalid file returns its faults instead, at most fifty.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        return [Fault(line, 1, "", Sentence("FAULT_LIST_UTF8"))]
    entries: dict[str, None] = {}
    faults: list[Fault] = []
    for number, written in enumerate(text.splitlines(), 1):
        entry = written.strip()
        if len(entry) > 1 and entry[0] == entry[-1] == '"':
            entry = entry[1:-1].replace('""', '"')
        if not entry:
            continue
        faults += (Fault(number, 1, "", what) for what in entry_faults(entry))
        entries[entry] = None
        if len(entries) == ENTRIES_MAX + 1:
            about = {"number": f"{ENTRIES_MAX + 1:,}", "room": f"{ENTRIES_MAX:,}"}
            faults.append(Fault(number, 1, "", Sentence("FAULT_LIST_LONG", about)))
            break
    if not entries:
        faults.append(Fault(1, 1, "", Sentence("FAULT_LIST_EMPTY")))
    return faults[:FAULTS_MAX] if faults else [*entries]


def entry_faults(entry: str) -> Iterator[Sentence]:
    if len(entry) > ENTRY_MAX:
        yield Sentence("FAULT_ENTRY_LONG", {"room": str(ENTRY_MAX), "length": str(len(entry))})
    if WILDCARD in entry[:-1]:
        yield Sentence("FAULT_STAR", {"entry": repr(entry[:60])})
    if not entry.isprintable():
        yield Sentence("FAULT_ENTRY_CONTROL")
    elif any(mark in entry for mark in SEPARATORS):
        yield Sentence("FAULT_ENTRY_COLUMNS", {"entry": repr(entry[:60])})
