"""A named list as people send it: a text with one entry a line; read, or told line by line what is wrong."""

from collections.abc import Iterator

from retour.domain.contracts.named_list import ENTRIES_MAX, ENTRY_MAX, REST
from retour.setup.program_file import FAULTS_MAX, Fault

SEPARATORS = (",", ";", "\t")


def read_list(body: bytes) -> list[str] | list[Fault]:
    """The entries in their order, each once; blank lines are nothing, and quotes around a whole line are no part of it.

    The first list that is returned for a wrong text holds its faults, at most fifty.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        return [Fault(line, 1, "", "this is no UTF-8; save the list as UTF-8 and send it again")]
    entries: dict[str, None] = {}
    faults: list[Fault] = []
    for number, written in enumerate(text.splitlines(), 1):
        entry = written.strip()
        if len(entry) > 1 and entry[0] == entry[-1] == '"':
            entry = entry[1:-1].replace('""', '"')
        if not entry:
            continue
        faults += (Fault(number, 1, "", sentence) for sentence in entry_faults(entry))
        entries[entry] = None
        if len(entries) == ENTRIES_MAX + 1:
            sentence = (
                f"this is entry {ENTRIES_MAX + 1:,}; a list has at most {ENTRIES_MAX:,}: `*` at the end of an entry"
            )
            faults.append(Fault(number, 1, "", f"{sentence} stands for everything that begins so, or make two lists"))
            break
    if not entries:
        faults.append(Fault(1, 1, "", "the list is empty; write one entry a line"))
    return faults[:FAULTS_MAX] if faults else [*entries]


def entry_faults(entry: str) -> Iterator[str]:
    if len(entry) > ENTRY_MAX:
        yield f"an entry has at most {ENTRY_MAX} characters; this one has {len(entry)}"
    if REST in entry[:-1]:
        yield f"{entry[:60]!r}: a star stands only at the end, for everything that begins so"
    if not entry.isprintable():
        yield "there is a control character in this line; write one entry a line, without columns"
    elif any(mark in entry for mark in SEPARATORS):
        yield f"{entry[:60]!r}: one entry a line is right; this looks like several columns"
