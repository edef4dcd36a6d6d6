"""The files in a winmail.dat, which Outlook makes of a mail's attachments (MS-OXTNEF); nothing else of it matters."""

from collections.abc import Iterator
from struct import error, unpack_from

SIGNATURE = b"\x78\x9f\x3e\x22"
RENDERING, TITLE, DATA, PROPERTIES = 0x9002, 0x8010, 0x800F, 0x9005
LONG_NAME, ATTACHED_OBJECT = 0x3707, 0x3701
TEXT, WIDE, OBJECT = 0x1E, 0x1F, 0xD
GUID_BYTES = 16
SIZES = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 0xA: 4, 0xB: 4, 0x14: 8, 0x40: 8, 0x48: 16}
VARIABLE = (TEXT, WIDE, 0x102, 0xD)
MANY = 0x1000
VALUES_MAX = 1_000


def unpack_attachments(content: bytes) -> list[tuple[str, bytes]]:
    """Name and bytes of each file that is packed whole; empty where there is none or the packing is broken."""
    found: list[list[bytes | str]] = []
    try:
        for kind, value in attributes(content):
            if kind == RENDERING:
                found.append(["", b""])
            elif found and kind == TITLE:
                found[-1][0] = found[-1][0] or text_of(value, TEXT)
            elif found and kind == DATA:
                found[-1][1] = value
            elif found and kind == PROPERTIES:
                found[-1][0] = long_name(value) or found[-1][0]
                found[-1][1] = found[-1][1] or attached_message(value)
    except error:
        return []
    return [(str(name), data) for name, data in found if isinstance(data, bytes) and data.strip()]


def attributes(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Each attribute by the lower half of its number; of one that is cut off nothing is given."""
    at = len(SIGNATURE) + 2
    while at + 9 <= len(content):
        number, size = unpack_from("<II", content, at + 1)
        at += 9
        if at + size > len(content):
            return
        yield number & 0xFFFF, content[at : at + size]
        at += size + 2


def long_name(properties: bytes) -> str:
    """The long file name (beyond 8.3), or an empty string."""
    try:
        for number, kind, value in values(properties):
            if number == LONG_NAME and kind in (TEXT, WIDE):
                return text_of(value, kind)
    except error:
        pass
    return ""


def attached_message(properties: bytes) -> bytes:
    """A message that was attached as such: packed the same way once more, after the 16 bytes that say so."""
    try:
        for number, kind, value in values(properties):
            if number == ATTACHED_OBJECT and kind == OBJECT and value.startswith(SIGNATURE, GUID_BYTES):
                return value[GUID_BYTES:]
    except error:
        pass
    return b""


def values(properties: bytes) -> Iterator[tuple[int, int, bytes]]:
    (count,) = unpack_from("<I", properties)
    at = 4
    for _ in range(min(count, VALUES_MAX)):
        kind, number = unpack_from("<HH", properties, at)
        at += 4
        if number >= 0x8000:
            (by_name,) = unpack_from("<I", properties, at + 16)
            (length,) = unpack_from("<I", properties, at + 20) if by_name else (0,)
            at += 24 + padded_size(length)
        times = 1
        if kind & MANY or kind in VARIABLE:
            (times,) = unpack_from("<I", properties, at)
            at += 4
        for _ in range(min(times, VALUES_MAX)):
            size = SIZES.get(kind & ~MANY, 0)
            if kind & ~MANY in VARIABLE:
                (size,) = unpack_from("<I", properties, at)
                at += 4
            elif not size:
                return
            yield number, kind, properties[at : at + size]
            at += padded_size(size)


def padded_size(size: int) -> int:
    return -(-size // 4) * 4


def text_of(value: bytes, kind: int) -> str:
    text = value.decode("utf-16-le" if kind == WIDE else "cp1252", "replace")
    return text.partition("\0")[0].strip()
