"""File names: those of our own replies, those of incomplete files, and safe display names."""

import re
import unicodedata
from fnmatch import fnmatchcase

from retour.files.formats import FORMATS

OUR_PREFIXES = ("receipt_", "result_")
SYSTEM_FILES = (".ds_store", "thumbs.db", "desktop.ini")
TABLE_SUFFIXES = tuple(
    f".{ending}{packed}"
    for known in FORMATS.values()
    for ending in known.suffixes
    for packed in ("", ".gz", ".pgp", ".gpg", ".asc")
)
ANSWER_PREFIXES = (*OUR_PREFIXES, "rejected_", "settled_")
"""Prefixes of the files we leave for a sender. A sender's own file may begin with one too."""
TEMPORARY_PATTERNS = (
    "*.tmp", "*.part", "*.filepart", ".*", "~*", "*.partial", "*.uploading", "*.upload", "*.crdownload", "*.inprogress",
    "*.in_progress", "*.writing", "*.incomplete",
)  # fmt: skip
WORKING_PATTERNS = ("_*", "in.*", "*.new", "*.temp", "*.tmp.*", "*.part.*", "new.*", "tmp.*", "temp.*")
"""Names that many senders give a file while writing it, and some permanently."""
NAME_CHARS_MAX = 150


def skip_reason(name: str) -> str:
    """Why a file of this name is skipped: `ours` (a reply we wrote), `temporary` (incomplete) or empty."""
    plain = base_name(name).lower()
    if plain.startswith(OUR_PREFIXES):
        return "ours"
    if any(fnmatchcase(plain, pattern) for pattern in TEMPORARY_PATTERNS):
        return "temporary"
    return ""


def skip_label(name: str) -> str:
    """How a skipped file is listed."""
    return {"ours": "own answer", "temporary": "temporary file"}.get(
        "" if is_system_file(name) else skip_reason(name), "ignored"
    )


def has_table_suffix(name: str) -> bool:
    """Whether the suffix is one of a data file, unlike that of a README."""
    return base_name(name).lower().endswith(TABLE_SUFFIXES)


def is_system_file(name: str) -> bool:
    """Whether a file was added by the operating system (AppleDouble, directory metadata)."""
    return name.startswith("__MACOSX/") or base_name(name).startswith("._") or base_name(name).lower() in SYSTEM_FILES


def may_be_renamed(name: str) -> bool:
    """Whether the sender will probably rename an upload of this name."""
    plain = base_name(name).lower()
    return skip_reason(name) == "temporary" or any(fnmatchcase(plain, pattern) for pattern in WORKING_PATTERNS)


def base_name(name: str) -> str:
    """The last component of a path of any operating system."""
    return re.split(r"[/\\]", name)[-1]


def safe_name(name: str) -> str:
    """A name safe to display, store and write: no folders, no unusual characters."""
    plain = base_name(unicodedata.normalize("NFC", name))
    plain = "".join(sign if sign.isprintable() and sign not in '<>:"|?*' else "_" for sign in plain).strip(" .")
    stem, dot, ending = plain.rpartition(".")
    if len(plain) > NAME_CHARS_MAX:
        plain = (
            stem[: NAME_CHARS_MAX - len(ending) - 1] + dot + ending
            if dot and len(ending) < 12
            else plain[:NAME_CHARS_MAX]
        )
    return plain or "file"


def receipt_name(name: str) -> str:
    return f"receipt_{name}"


def result_name(name: str) -> str:
    return f"result_{name}.csv"


def rejected_name(name: str) -> str:
    """The name of the file of refused rows. Archives and mails are unpacked, encrypted files plain."""
    name = re.sub(r"\.(gz|pgp|gpg|asc)$", "", name, flags=re.IGNORECASE)
    return f"rejected_{name}.csv" if name.lower().endswith((".zip", ".eml", ".mbox")) else f"rejected_{name}"
