"""File names: which are ours, which mark an incomplete file, and what our replies are called."""

import re
import unicodedata
from fnmatch import fnmatchcase

OUR_PREFIXES = ("receipt_", "result_")
SYSTEM_FILES = (".ds_store", "thumbs.db", "desktop.ini")
TABLE_SUFFIXES = tuple(
    f".{ending}{packed}"
    for ending in ("csv", "tsv", "tab", "psv", "xlsx", "xlsm", "xls", "xlsb", "ods", "xml", "json", "jsonl", "ndjson")
    for packed in ("", ".gz", ".pgp", ".gpg", ".asc")
)
ANSWER_PREFIXES = (*OUR_PREFIXES, "rejected_", "settled_")
"""How the names of all we leave beside a file begin; a sender's name may as well."""
TEMPORARY_PATTERNS = (
    "*.tmp", "*.part", "*.filepart", ".*", "~*", "*.partial", "*.uploading", "*.upload", "*.crdownload", "*.inprogress",
    "*.in_progress", "*.writing", "*.incomplete",
)  # fmt: skip
WORKING_PATTERNS = ("_*", "in.*", "*.new", "*.temp", "*.tmp.*", "*.part.*", "new.*", "tmp.*", "temp.*")
"""Names that many senders give a file while they write it, and some for good."""
NAME_CHARS_MAX = 150


def skip_reason(name: str) -> str:
    """Why a file of this name is not read, or nothing: `ours` (an answer we wrote), `temporary` (not whole yet)."""
    plain = base_name(name).lower()
    if plain.startswith(OUR_PREFIXES):
        return "ours"
    if any(fnmatchcase(plain, pattern) for pattern in TEMPORARY_PATTERNS):
        return "temporary"
    return ""


def skip_label(name: str) -> str:
    """As what a file of this name is named among what was not read."""
    return {"ours": "own answer", "temporary": "temporary file"}.get(
        "" if is_system_file(name) else skip_reason(name), "ignored"
    )


def has_table_suffix(name: str) -> bool:
    """Whether a file is called like one of rows, so that it is no README beside one."""
    return base_name(name).lower().endswith(TABLE_SUFFIXES)


def is_system_file(name: str) -> bool:
    """Whether a file is one that a system puts beside others unasked (AppleDouble, lists of folders)."""
    return name.startswith("__MACOSX/") or base_name(name).startswith("._") or base_name(name).lower() in SYSTEM_FILES


def may_be_renamed(name: str) -> bool:
    """Whether a sender who uploads under this name most likely gives the file another one in a moment."""
    plain = base_name(name).lower()
    return skip_reason(name) == "temporary" or any(fnmatchcase(plain, pattern) for pattern in WORKING_PATTERNS)


def base_name(name: str) -> str:
    """The last part of a path of any system."""
    return re.split(r"[/\\]", name)[-1]


def safe_name(name: str) -> str:
    """A file name safe to display, store and write: no folders, no unusual characters."""
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
    """The file of refused rows; those of an archive come unpacked, those of a message plain."""
    name = re.sub(r"\.(gz|pgp|gpg|asc)$", "", name, flags=re.IGNORECASE)
    return f"rejected_{name}.csv" if name.lower().endswith(".zip") else f"rejected_{name}"
