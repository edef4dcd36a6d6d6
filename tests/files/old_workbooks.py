"""XLS workbooks built record by record, so that any oddity can be placed."""

from collections.abc import Sequence
from struct import pack

SECTOR, LARGE_SECTOR = 512, 4096
LARGE = 4 << 20
END, FREE, TABLE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD


def record(kind: int, content: bytes = b"") -> bytes:
    return pack("<HH", kind, len(content)) + content


def bof(scope: int, version: int = 0x600) -> bytes:
    return record(0x809, pack("<HHHHII", version, scope, 0, 0, 0, 6))


EOF = record(0x0A)


def string(text: str, wide: int = 2) -> bytes:
    """A string of Excel 97 and later: length, flag for two bytes per character, characters."""
    length = pack("<H" if wide == 2 else "<B", len(text.encode("utf-16-le")) // 2)
    if text.isascii():
        return length + b"\0" + text.encode()
    return length + b"\1" + text.encode("utf-16-le")


def text(row: int, column: int, value: str, style: int = 0) -> bytes:
    return record(0x204, pack("<HHH", row, column, style) + string(value))


def narrow(row: int, column: int, value: bytes) -> bytes:
    """A text cell of Excel 5 and 95."""
    return record(0x204, pack("<HHHH", row, column, 0, len(value)) + value)


def number(row: int, column: int, value: float, style: int = 0) -> bytes:
    return record(0x203, pack("<HHHd", row, column, style, value))


def packed(row: int, column: int, value: int, style: int = 0) -> bytes:
    return record(0x27E, pack("<HHHI", row, column, style, value))


def shared(row: int, column: int, index: int) -> bytes:
    return record(0xFD, pack("<HHHI", row, column, 0, index))


def formula(row: int, column: int, result: bytes, flags: int = 0, style: int = 0) -> bytes:
    return record(0x06, pack("<HHH8sHI", row, column, style, result, flags, 0) + pack("<H", 0))


def header(*names: str, row: int = 0) -> bytes:
    return b"".join(text(row, column, name) for column, name in enumerate(names))


def strings(*values: str) -> bytes:
    return record(0xFC, pack("<II", len(values), len(values)) + b"".join(map(string, values)))


def style(number_format: int) -> bytes:
    return record(0xE0, pack("<HH", 0, number_format) + b"\0" * 16)


def format_of(number_format: int, code: str) -> bytes:
    return record(0x41E, pack("<H", number_format) + string(code))


def stream(
    *sheets: tuple[str, bytes],
    extra: bytes = b"",
    styles: Sequence[int] = (0,),
    states: Sequence[int] = (),
    version: int = 0x600,
    ends: bool = True,
) -> bytes:
    """The workbook's own stream: these sheets, by their names and cells; `extra` among what holds for all."""
    before = bof(5, version) + extra + b"".join(map(style, styles))
    names = [string(name, 1) if version == 0x600 else pack("<B", len(name)) + name.encode() for name, _ in sheets]
    bodies = [bof(0x10, version) + cells + (EOF if ends else b"") for _, cells in sheets]
    at = len(before) + sum(4 + 6 + len(name) for name in names) + len(EOF)
    listed = b""
    for count, (name, body) in enumerate(zip(names, bodies, strict=True)):
        listed += record(0x85, pack("<IBB", at, states[count] if len(states) > count else 0, 0) + name)
        at += len(body)
    return before + listed + EOF + b"".join(bodies)


def compound(content: bytes, name: str = "Workbook") -> bytes:
    """A compound file with one stream in consecutive sectors, padded beyond the small-stream limit."""
    sector = SECTOR if len(content) < LARGE else LARGE_SECTOR
    content = content.ljust(4096, b"\0")
    length = -(-len(content) // sector)
    tables = 1
    while tables * (sector // 4) < length + 1 + tables:
        tables += 1
    following = [*range(1, length), END, END, *([TABLE] * tables)]
    following += [FREE] * (tables * (sector // 4) - len(following))
    where = [length + 1 + number for number in range(tables)]
    version, shift = (3, 9) if sector == SECTOR else (4, 12)
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16 + pack("<HHHHH", 0x3E, version, 0xFFFE, shift, 6)
    head += b"\0" * 10 + pack("<IIIIIIIII", tables, length, 0, 4096, END, 0, END, 0, where[0])
    head += b"".join(pack("<I", one) for one in [*where[1:], *[FREE] * (109 - tables)])
    directory = entry("Root Entry", 5, END, 0, child=1) + entry(name, 2, 0, len(content))
    words = b"".join(pack("<I", one) for one in following)
    parts = (head, content, directory, words)
    return b"".join(part.ljust(-(-len(part) // sector) * sector, b"\0") for part in parts)


def entry(name: str, kind: int, start: int, size: int, child: int = FREE) -> bytes:
    named = (name + "\0").encode("utf-16-le")
    links = pack("<III", FREE, FREE, child)
    return named.ljust(64, b"\0") + pack("<HBB", len(named), kind, 1) + links + b"\0" * 36 + pack("<IQ", start, size)


def workbook(*sheets: tuple[str, bytes], extra: bytes = b"", name: str = "Workbook", **more: object) -> bytes:
    return compound(stream(*sheets, extra=extra, **more), name)  # type: ignore[arg-type]
