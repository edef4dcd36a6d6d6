"""Detect a file's type from its first bytes. Names and declared types are not trusted."""

import re

from retour.files.formats import format_starting

MAGIC = (
    (b"\x1f\x8b", "GZIP"),
    (b"%PDF", "PDF"),
    (b"\x78\x9f\x3e\x22", "TNEF"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"7z\xbc\xaf", "7Z"),
    (b"Rar!", "RAR"),
    (b"BZh", "BZIP2"),
    (b"\xfd7zXZ", "XZ"),
    (b"\x28\xb5\x2f\xfd", "ZSTD"),
    (b"{\\rtf", "RTF"),
    (b"-----BEGIN PGP MESSAGE", "OPENPGP"),
    (b"-----BEGIN PGP SIGNED MESSAGE", "OPENPGP"),
    (b"-----BEGIN PGP", "PGP"),
    (b"Return-Path:", "MAIL"),
    (b"Received:", "MAIL"),
    (b"MIME-Version:", "MHTML"),
)
TAR_OFFSET = 257
"""Offset of tar's magic number."""
SPREADSHEET_2003 = b"urn:schemas-microsoft-com:office:spreadsheet"
# Binary OpenPGP: a public-key encrypted session key packet (tag 1), old or new format, version 3 or 6.
PGP_PACKET = re.compile(rb"(?:\x84.|\x85..|\xc1[\x00-\xbf]|\xc1[\xc0-\xdf].)[\x03\x06]", re.DOTALL)
HTML_START = re.compile(
    rb"(?:<\?xml[^>]{0,200}>\s*)?(?:<!--(?:(?!-->).){0,2000}-->\s*){0,5}"
    rb"<(?:!doctype\s+html|(?:html|head|body|meta|style|title|center|div)[\s>/]|table[^>]{0,1000}>(?=.{0,4000}<t[dh][\s>]))",
    re.IGNORECASE | re.DOTALL,
)
"""Beginnings of HTML pages or tables, which many programs save as .xls."""
UNKNOWN = ""
PICTURES = frozenset(("PNG", "JPEG", "GIF"))
NON_TABLES = PICTURES | {"PDF", "RTF", "HTML", "PGP"}
"""Types found next to data files that never hold rows: logos, letters, disclaimers."""
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
CMS_OID = bytes.fromhex("06092a864886f70d0107")
CONTROL_BYTES = bytes(set(range(9)) | set(range(14, 32)) - {0x1A, 0x1B})


def sniff(head: bytes) -> str:
    """The type of a file: `TEXT`, `ZIP`, `XML`, `ENCRYPTED`, `MAIL` and so on, or UNKNOWN."""
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        office = b"[Content_Types].xml" in head or b"xl/workbook" in head or b"xl/worksheets/" in head
        if office:
            return "XLSX"
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
    if head[TAR_OFFSET : TAR_OFFSET + 5] == b"ustar":
        return "TAR"
    text = plain_head(head)
    start = text.lstrip()
    if start.startswith(b"<"):
        if HTML_START.match(start):
            return "HTML"
        return "XML2003" if SPREADSHEET_2003 in start[:4000] else "XML"
    if start.startswith((b"{", b"[{", b"[\n", b"[ ", b"[\r", b"[]")):
        return "JSON"
    odd = len(text) - len(text.translate(None, CONTROL_BYTES))
    return "TEXT" if odd <= len(text) // 20 + 1 else UNKNOWN


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
