"""What the names of files mean: ours, not yet whole, or a sender's; and what our answers to a file are called."""

import re
import unicodedata
from fnmatch import fnmatchcase

OURS = ("receipt_", "result_")
SYSTEMS = (".ds_store", "thumbs.db", "desktop.ini")
TABLES = tuple(
    f".{ending}{packed}"
    for ending in ("csv", "tsv", "tab", "psv", "xlsx", "xlsm", "xls", "xlsb", "ods", "xml", "json", "jsonl", "ndjson")
    for packed in ("", ".gz", ".pgp", ".gpg", ".asc")
)
ANSWERS = (*OURS, "rejected_", "settled_")
"""How the names of all we leave beside a file begin; a sender's name may as well."""
TEMPORARY = (
    "*.tmp", "*.part", "*.filepart", ".*", "~*", "*.partial", "*.uploading", "*.upload", "*.crdownload", "*.inprogress",
    "*.in_progress", "*.writing", "*.incomplete",
)  # fmt: skip
WORKING = ("_*", "in.*", "*.new", "*.temp", "*.tmp.*", "*.part.*", "new.*", "tmp.*", "temp.*")
"""Names that many senders give a file while they write it, and some for good."""
LONGEST = 150


def skipped(name: str) -> str:
    """Why a file of this name is not read, or nothing: `ours` (an answer we wrote), `temporary` (not whole yet)."""
    plain = base(name).lower()
    if plain.startswith(OURS):
        return "ours"
    if any(fnmatchcase(plain, pattern) for pattern in TEMPORARY):
        return "temporary"
    return ""


def left_out(name: str) -> str:
    """As what a file of this name is named among what was not read."""
    return {"ours": "own answer", "temporary": "temporary file"}.get(
        "" if is_made_by_systems(name) else skipped(name), "ignored"
    )


def is_table(name: str) -> bool:
    """Whether a file is called like one of rows, so that it is no README beside one."""
    return base(name).lower().endswith(TABLES)


def is_made_by_systems(name: str) -> bool:
    """Whether a file is one that a system puts beside others unasked (AppleDouble, lists of folders)."""
    return name.startswith("__MACOSX/") or base(name).startswith("._") or base(name).lower() in SYSTEMS


def may_be_renamed(name: str) -> bool:
    """Whether a sender who uploads under this name most likely gives the file another one in a moment."""
    plain = base(name).lower()
    return skipped(name) == "temporary" or any(fnmatchcase(plain, pattern) for pattern in WORKING)


def base(name: str) -> str:
    """The last part of a path of any system."""
    return re.split(r"[/\\]", name)[-1]


def safe(name: str) -> str:
    """A sender's name of a file as we may show it, store it and write it beside theirs: no folders, no odd signs."""
    plain = base(unicodedata.normalize("NFC", name))
    plain = "".join(sign if sign.isprintable() and sign not in '<>:"|?*' else "_" for sign in plain).strip(" .")
    stem, dot, ending = plain.rpartition(".")
    if len(plain) > LONGEST:
        plain = stem[: LONGEST - len(ending) - 1] + dot + ending if dot and len(ending) < 12 else plain[:LONGEST]
    return plain or "file"


def receipt(name: str) -> str:
    return f"receipt_{name}"


def result(name: str) -> str:
    return f"result_{name}.csv"


def rejected(name: str) -> str:
    """The file of refused rows; those of an archive come unpacked, those of a message plain."""
    name = re.sub(r"\.(gz|pgp|gpg|asc)$", "", name, flags=re.IGNORECASE)
    return f"rejected_{name}.csv" if name.lower().endswith(".zip") else f"rejected_{name}"
