"""Detect a file's type from its first bytes. Names and declared types are not trusted."""

import re

from retour.files.formats import format_starting

MAGIC = (
    (b"\x1f\x8b", "GZIP"),
    (b"\x78\x9f\x3e\x22", "TNEF"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\0\0\1\0", "ICO"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"ActiveMime", "MSO"),
    (b"\x00\x05\x16\x07", "AppleDouble"),
    (b"\x00\x05\x16\x00", "AppleDouble"),
    (b"7z\xbc\xaf", "7Z"),
    (b"Rar!", "RAR"),
    (b"BZh", "BZIP2"),
    (b"\xfd7zXZ", "XZ"),
    (b"\x28\xb5\x2f\xfd", "ZSTD"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"\x1f\x9d", "Z"),
    (b"\x1f\xa0", "Z"),
    (b"MSCF\0\0\0\0", "CAB"),
    (b"MZ\x90\0", "EXE"),
    (b"{\\rtf", "RTF"),
    (b"-----BEGIN PGP MESSAGE", "OPENPGP"),
    (b"-----BEGIN PGP SIGNED MESSAGE", "OPENPGP"),
    (b"-----BEGIN PGP", "PGP"),
    (b"Return-Path:", "MAIL"),
    (b"Received:", "MAIL"),
    (b"%PDF", "PDF"),
)
"""How files begin, and what they are then."""
PLACED_MAGIC = (
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyp", "MP4"),
    (6, b"\0\0\0\0", "BMP"),
    (8, b"WEBP", "WEBP"),
    (40, b" EMF", "EMF"),
    (257, b"ustar", "TAR"),
)
"""The same for signs that stand further on; a picture of `BM` is told by both."""
SPREADSHEET_2003 = b"urn:schemas-microsoft-com:office:spreadsheet"
# Binary OpenPGP: a public-key encrypted session key packet (tag 1), old or new format, version 3 or 6.
PGP_PACKET = re.compile(rb"(?:\x84.|\x85..|\xc1[\x00-\xbf]|\xc1[\xc0-\xdf].)[\x03\x06]", re.DOTALL)
HTML_START = re.compile(
    rb"(?:<\?xml[^>]{0,200}>\s*)?(?:<!--(?:(?!-->).){0,2000}-->\s*){0,5}"
    rb"<(?:!doctype\s+html|(?:html|head|body|meta|style|title|center|div|p|span|font|h[1-6]|br|hr|ul|ol)[\s>/]|table[^>]{0,1000}>(?=.{0,4000}<t[dh][\s>]))",
    re.IGNORECASE | re.DOTALL,
)
"""The beginning of a web page, or of a table of one, which many programs save under the names of workbooks."""
SVG_START = re.compile(
    rb"(?:<\?xml[^>]{0,200}>\s*)?(?:<!--(?:(?!-->).){0,2000}-->\s*){0,5}<(?:!doctype\s+svg\b|(?:\w{1,20}:)?svg[\s>/])",
    re.IGNORECASE | re.DOTALL,
)
MBOX_LINE = re.compile(rb">?From [^\r\n]{1,300}\r?\n")
"""What stands before each mail of a mailbox, and before some that are saved alone."""
HEADER_LINES = re.compile(rb"(?:[A-Za-z][\w-]{0,60}:[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*(?:\r?\n|\Z)){2,}")
FROM_FIELDS = frozenset((b"from", b"received", b"return-path"))
MAIL_FIELDS = frozenset((b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type", b"delivered-to"))
PAGE_FIELDS = frozenset((b"snapshot-content-location", b"x-document-type"))
UNKNOWN = ""
PICTURES = frozenset(("PNG", "JPEG", "GIF", "TIFF", "ICO", "WMF", "EMF", "BMP", "WEBP", "HEIC", "AVIF", "SVG", "MSO"))
NON_TABLES = PICTURES | {"PDF", "RTF", "HTML", "PGP", "AppleDouble"}
"""What comes beside tables and is none: logos, letters, disclaimers, what a Mac keeps of a file beside it."""
PACKED = frozenset(("7Z", "RAR", "BZIP2", "XZ", "ZSTD", "LZ4", "Z", "CAB", "EXE", "TAR", "MSG", "Apple Numbers"))
"""What is not opened, and may well hold rows."""
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
CMS_OID = bytes.fromhex("06092a864886f70d0107")
CONTROL_BYTES = bytes(set(range(9)) | set(range(14, 32)) - {0x1A, 0x1B})


def sniff(head: bytes) -> str:
    """The type of a file: `TEXT`, `ZIP`, `XML`, `ENCRYPTED`, `MAIL` and so on, or UNKNOWN."""
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        if b"[Content_Types].xml" in head or b"xl/workbook" in head or b"xl/worksheets/" in head:
            return "XLSX"
        if b".iwa" in head:
            return "Apple Numbers"
        if b"mimetypeapplication/vnd.oasis.opendocument" not in head[:120]:
            return "ZIP"
        return "ODS" if b"opendocument.spreadsheet" in head[:120] else "ODT"
    if kind := format_starting(head):
        return kind
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    if head[:1] == b"\x30" and CMS_OID in head[:32]:
        return "S/MIME" if head[head.index(CMS_OID) + len(CMS_OID)] == 2 else "ENCRYPTED"
    if PGP_PACKET.match(head):
        return "OPENPGP"
    text = plain_head(head)
    odd = len(text) - len(text.translate(None, CONTROL_BYTES))
    start = text.lstrip()
    if odd:
        for at, magic, kind in PLACED_MAGIC:
            if head.startswith(magic, at) and (kind != "BMP" or head.startswith(b"BM")):
                return kind
        if is_old_tar(head):
            return "TAR"
    if start.startswith((b"%PDF", b"{\\rtf")):
        return "PDF" if start.startswith(b"%") else "RTF"
    if start.startswith(b"<"):
        if HTML_START.match(start):
            return "HTML"
        if SVG_START.match(start):
            return "SVG"
        return "XML2003" if SPREADSHEET_2003 in start[:4000] else "XML"
    if start.startswith((b"{", b"[{", b"[\n", b"[ ", b"[\r", b"[]")):
        return "JSON"
    if letter := letter_kind(start):
        return letter
    return "TEXT" if odd <= len(text) // 20 + 1 else UNKNOWN


def letter_kind(start: bytes) -> str:
    """`MAIL` for a saved mail or mailbox, `MHTML` for a saved web page, by how its first lines look; or nothing."""
    found = HEADER_LINES.match(MBOX_LINE.sub(b"", start, count=1) if MBOX_LINE.match(start) else start)
    lines = found[0].splitlines() if found else []
    named = {line.partition(b":")[0].lower() for line in lines if not line[:1].isspace()}
    if named & FROM_FIELDS and named & MAIL_FIELDS and not named & PAGE_FIELDS:
        return "MAIL"
    return "MHTML" if start[:13].lower() == b"mime-version:" or named & PAGE_FIELDS else ""


def is_old_tar(head: bytes) -> bool:
    """Whether a file begins as tar did before it had a mark of its own: with a sum over its first 512 bytes."""
    told = head[148:156].strip(b" \0")
    if len(head) < 512 or not told.isdigit():
        return False
    return int(told, 8) == sum(head[:148]) + 8 * 32 + sum(head[156:512]) if set(told) <= set(b"01234567") else False


def plain_head(head: bytes) -> bytes:
    """The first bytes without BOM and, for UTF-16, without zero bytes."""
    for mark in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            head = head[len(mark) :]
            return head if mark == BYTE_ORDER_MARKS[0] else head.replace(b"\0", b"")
    pairs = len(head) // 2
    for parity in (0, 1):
        zeros = head[parity : 2 * pairs : 2].count(0)
        if pairs and zeros > 0.4 * pairs and head[1 - parity : 2 * pairs : 2].count(0) < 0.05 * pairs:
            return head.replace(b"\0", b"")
    return head
