"""Open a file: unpack it, detect its format from its content, and read it with that format's reader."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import BufferedReader
from typing import BinaryIO

from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files import names, table
from retour.files.formats import FORMATS
from retour.files.layout import Layout
from retour.files.opened_file import OpenedFile
from retour.files.partner_layouts import expected_layout, interpret_rows
from retour.files.sniff import NON_TABLES, PACKED, UNKNOWN, sniff
from retour.files.text import SNIFF_BYTES, FileTooLargeError, Readable, peekable
from retour.files.unpack import Member, Unpacked, unpack, unpack_mail

# Contents without rows that have a more specific code.
REFUSED_FORMATS = {
    "TNEF": "FILE_WINMAIL",
    "ENCRYPTED": "FILE_ENCRYPTED",
    "OPENPGP": "FILE_ENCRYPTED",
    "S/MIME": "FILE_SIGNED",
    "MHTML": "PAGE_WITHOUT_TABLE",
    "XML2003": "WORKBOOK_OLD",
}
NON_TABLE_CODES = frozenset(
    (
        *("HEADER_NOT_FOUND", "UNSUPPORTED_FORMAT", "ENCODING_UNCLEAR", "FILE_EMPTY"),
        *("XML_NO_RECORDS", "JSON_NO_RECORDS", "PAGE_WITHOUT_TABLE"),
    )
)
"""Codes for files that are skipped next to data files. Locked or nested archives are not: they may contain rows."""
ARCHIVES = frozenset(("ZIP", "GZIP", "MAIL"))


def open_file(
    name: str,
    stream: BinaryIO | Readable,
    source: Source,
    layout: str = "modifications",
    keys: Callable[[], Sequence[str]] = tuple,
) -> OpenedFile | Refusal:
    """Open a file as its source describes it, or return the reason why not. Never raises because of a file's content.

    Rows are read lazily, so the stream must stay open. `keys` returns the source's armored secret OpenPGP keys; it is
    called only for an encrypted file.
    """
    shape = expected_layout(source, layout)
    whole = peekable(stream)
    try:
        kind = sniff(whole.peek(SNIFF_BYTES)[:SNIFF_BYTES])
    except FileTooLargeError:
        return Refusal("FILE_TOO_LARGE", {"line": "1", "limit": ""})
    signed = bool(source.options.get("require_signature"))
    if kind == "OPENPGP":
        from retour.files.pgp import decrypt

        inside = decrypt(whole, keys(), source.options.get("signers") or (), signed)
        if isinstance(inside, Refusal):
            return inside
        whole = peekable(inside)
        kind = sniff(whole.peek(SNIFF_BYTES)[:SNIFF_BYTES])
        name = re.sub(r"\.(pgp|gpg|asc)$", "", name, flags=re.IGNORECASE)
    elif signed:
        return Refusal("PGP_NOT_SIGNED")
    if kind not in ARCHIVES:
        return interpret_rows(_read_content(whole, source, shape, ""), source, layout)
    unpacked = unpack_mail(whole) if kind == "MAIL" else unpack(kind, name, whole)
    if isinstance(unpacked, Refusal):
        return unpacked
    unpacked = with_files_of_mails(unpacked)
    return interpret_rows(_read_members(unpacked.members, unpacked.skipped, source, shape), source, layout)


def with_files_of_mails(unpacked: Unpacked) -> Unpacked:
    """An archive with the files of the mails that were saved in it in their place; a mail without one is named."""
    members: list[Member] = []
    skipped = list(unpacked.skipped)
    for member in unpacked.members:
        stream = peekable(member.open())
        if sniff(stream.peek(SNIFF_BYTES)[:SNIFF_BYTES]) != "MAIL":
            members.append(member)
        elif isinstance(inside := unpack_mail(stream), Refusal):
            skipped.append(f"ignored {member.name}")
        else:
            members += [replace(one, name=f"{member.name}/{one.name}") for one in inside.members]
            skipped += inside.skipped
    return Unpacked(tuple(members), skipped)


def is_no_table(refusal: Refusal, name: str) -> bool:
    """Whether a file that cannot be read is none of rows: what it is says so, or its name does not say otherwise."""
    found = refusal.details.get("case") or refusal.details.get("found")
    if refusal.code == "UNSUPPORTED_FORMAT" and found in NON_TABLES:
        return True
    return refusal.code in NON_TABLE_CODES and found not in PACKED and not names.has_table_suffix(name)


def _read_content(stream: BufferedReader, source: Source, layout: Layout, prefix: str) -> OpenedFile | Refusal:
    head = stream.peek(SNIFF_BYTES)[:SNIFF_BYTES]
    if not head:
        return Refusal("FILE_EMPTY")
    kind = sniff(head)
    if kind in ARCHIVES:
        return Refusal("ARCHIVE_NESTED", {"member": ""})
    if kind in FORMATS:
        return FORMATS[kind].reader.read(stream, source, layout, prefix)
    if kind == UNKNOWN:
        # Mostly unreadable text is still read if it has a header.
        opened = table.read(stream, source, layout, prefix)
        return opened if isinstance(opened, OpenedFile) else unsupported_format("", "UNKNOWN")
    return (
        Refusal(REFUSED_FORMATS[kind])
        if kind in REFUSED_FORMATS
        else unsupported_format(kind, "TAR" if kind == "TAR" else "")
    )


def unsupported_format(found: str, case: str = "") -> Refusal:
    return Refusal("UNSUPPORTED_FORMAT", {"found": found, **({"case": case} if case else {})})


def _read_members(
    members: Sequence[Member], skipped: Sequence[str], source: Source, layout: Layout
) -> OpenedFile | Refusal:
    """The rows of several files as one. They must share a layout, so that refused rows can be returned.

    Files without rows (a README, a PDF) are skipped and listed if there is a data file beside them.
    """
    counts: Counter[str] = Counter(skipped)

    def begin(member: Member, several: bool = True) -> OpenedFile | Refusal:
        opened = _read_content(peekable(member.open()), source, layout, f"{member.name}:" if several else "")
        if isinstance(opened, Refusal):
            return Refusal(opened.code, {**opened.details, "member": member.name})
        return opened

    tried = {member.name: begin(member) for member in members} if len(members) > 1 else {}
    foreign = {name for name, opened in tried.items() if isinstance(opened, Refusal) and is_no_table(opened, name)}
    if len(foreign) < len(members):
        counts.update(f"ignored {name}" for name in foreign)
        members = [member for member in members if member.name not in foreign]
    if not members:
        return Refusal("MAIL_WITHOUT_FILE")
    several = len(members) > 1
    first = begin(members[0], several)
    if isinstance(first, Refusal):
        return first
    for member in members[1:]:
        other = tried[member.name]
        if isinstance(other, Refusal):
            return other
        if (other.rejected_head, other.encoding) != (first.rejected_head, first.encoding):
            return Refusal("ARCHIVE_MIXED", {"member": member.name, "other": members[0].name})

    def rows() -> Iterator[Row | Unreadable]:
        for member in members:
            opened = begin(member, several)
            if isinstance(opened, Refusal):
                raise RuntimeError(f"{member.name} was read before and now is refused: {opened.code}")
            yield from opened.rows
            counts.update(opened.skipped)

    return replace(first, rows=rows(), skipped=counts)
