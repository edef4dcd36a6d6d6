"""Bytes to physical lines: one encoding per file, strict decoding, bounded line length."""

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Protocol

SNIFF_BYTES = 1 << 16
LINE_BYTES_MAX = 1 << 20
LINE_CHARS_MAX = 200_000
FILE_BYTES_MAX = 1 << 30

# Undecodable bytes are mapped to private-use characters (U+10FF00 and up), so that the raw text can be stored anywhere
# and still round-trips to the same bytes.
UNDECODED = re.compile("[\U0010ff00-\U0010ffff]")
UNDECODED_FROM = 0x10FF00
# Characters that must not occur in human-readable text.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufeff\ufffe\uffff\U0010ff00-\U0010ffff]")


class FileTooLargeError(Exception):
    """A file has more bytes than allowed. Detected only while reading."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class BoundedStream(io.RawIOBase):
    """Wraps any stream so that reads are complete. Raises FileTooLargeError beyond a limit."""

    def __init__(self, stream: Readable, limit: int = FILE_BYTES_MAX) -> None:
        self.stream, self.left = stream, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        filled = 0
        while filled < len(buffer) and (piece := self.stream.read(len(buffer) - filled)):
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
        self.left -= filled
        if self.left < 0:
            raise FileTooLargeError
        return filled


def peekable(stream: BinaryIO | Readable) -> io.BufferedReader:
    """A stream that can be peeked at up to 64 KB."""
    return io.BufferedReader(BoundedStream(stream), SNIFF_BYTES)


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding: `codec` without BOM, `mark` the BOM found, `wide` for two bytes per character."""

    codec: str
    mark: bytes = b""
    fallback: bool = False

    @property
    def wide(self) -> bool:
        return self.codec.startswith("utf-16")


def detect_encoding(head: bytes, declared: str | None) -> Encoding | None:
    """Detect a text's encoding: by its BOM, else UTF-16 by zero bytes, else UTF-8 or the declared one.

    None for UTF-32 and for unknown declared names. Nothing is guessed from the letters.
    """
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return None
    for mark, codec in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if head.startswith(mark):
            return Encoding(codec, mark)
    pairs = len(head) // 2
    low, high = head[0 : 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if pairs and high > 0.4 * pairs and low < 0.05 * pairs:
        return Encoding("utf-16-le")
    if pairs and low > 0.4 * pairs and high < 0.05 * pairs:
        return Encoding("utf-16-be")
    try:
        name = codecs.lookup(declared or "utf-8").name
        plain = "a,\n".encode(name) == b"a,\n"
    except (LookupError, UnicodeError):
        return None
    if name in ("utf-8", "utf-8-sig"):
        return Encoding("utf-8")
    return Encoding(name, fallback=True) if plain else None


def _keep_undecoded(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _undecoded_chars(error.object[error.start : error.end]), error.end


codecs.register_error("retour.keep", _keep_undecoded)


def _undecoded_chars(data: bytes) -> str:
    return "".join(chr(UNDECODED_FROM + byte) for byte in data)


def decode_line(data: bytes, encoding: Encoding) -> str:
    """Decode a line; undecodable bytes become UNDECODED characters.

    With a declared single-byte encoding, a line that is also valid UTF-8 is ambiguous and left undecoded.
    """
    if encoding.fallback and not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode(encoding.codec, "retour.keep")
        return data.decode("ascii", "retour.keep")
    text = data.decode(encoding.codec, "retour.keep")
    return data.decode("ascii", "retour.keep") if b"\xf4\x8f" in data else text


def is_utf8(text: str) -> bool:
    """Whether the bytes of an undecoded line are UTF-8, which means that the declared encoding is wrong."""
    kept = "".join(UNDECODED.findall(text))
    try:
        bytes(ord(sign) - UNDECODED_FROM for sign in kept).decode()
    except UnicodeDecodeError:
        return False
    return bool(kept)


def encode_raw(text: str, codec: str) -> bytes:
    """The original bytes of a raw text."""
    pieces = UNDECODED.split(text)
    kept = [bytes([ord(sign) - UNDECODED_FROM]) for sign in UNDECODED.findall(text)]
    return b"".join(piece.encode(codec) + byte for piece, byte in zip(pieces, [*kept, b""], strict=True))


def physical_lines(stream: io.BufferedReader, encoding: Encoding) -> Iterator[str]:
    """The physical lines with their endings. A line over the limit is cut just above LINE_SIGNS characters.

    Lines end with LF, or with CR if the text begins with such lines (classic Mac OS).
    """
    head = stream.peek(SNIFF_BYTES)[:SNIFF_BYTES]
    stream.read(len(encoding.mark))
    lf, cr = (encode_raw("\n", encoding.codec), encode_raw("\r", encoding.codec)) if encoding.wide else (b"\n", b"\r")
    if lf not in head and cr in head:
        yield from _lines_ending_in(stream, encoding, "\r")
    elif encoding.wide:
        yield from _lines_ending_in(stream, encoding, "\n")
    else:
        utf8 = encoding.codec == "utf-8"
        for data in iter(partial(stream.readline, LINE_BYTES_MAX), b""):
            if len(data) == LINE_BYTES_MAX and not data.endswith(b"\n"):
                while (more := stream.readline(LINE_BYTES_MAX)) and not more.endswith(b"\n"):
                    pass
            yield data.decode() if utf8 and data.isascii() else decode_line(data, encoding)


def _lines_ending_in(stream: io.BufferedReader, encoding: Encoding, end: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding.codec)("retour.keep")
    pending = ""
    cut = False
    while data := stream.read(SNIFF_BYTES):
        *whole, pending = (pending + decoder.decode(data)).split(end)
        for line in whole:
            if not cut:
                yield line + end
            cut = False
        if len(pending) > LINE_BYTES_MAX:
            if not cut:
                yield pending
            pending, cut = "", True
    pending += decoder.decode(b"", final=True)
    if pending and not cut:
        yield pending
