"""Texts as every bank of SEPA takes them: the Latin letters, digits and few signs of its scheme."""

import unicodedata

ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-?:().,'+ ")
SPELT = {
    "ß": "ss", "ẞ": "SS", "Æ": "AE", "æ": "ae", "Ø": "O", "ø": "o", "Œ": "OE", "œ": "oe", "Ł": "L", "ł": "l", "Đ": "D",
    "đ": "d", "Þ": "TH", "þ": "th", "Ð": "D", "ð": "d", "ı": "i", "&": "+", "_": "-", "–": "-", "—": "-", "’": "'",
    "‘": "'", "“": "'", "”": "'", "€": "EUR", "@": "(at)",
}  # fmt: skip
"""Signs that have a spelling; what a letter carries above or below it is left out, all else is a full stop."""


def sepa_text(text: str, most: int) -> str:
    """The text in these letters, cut to what its field takes; shown beside the original before anybody approves."""
    spelt = "".join(SPELT.get(sign, sign) for sign in unicodedata.normalize("NFC", text))
    plain = (sign for sign in unicodedata.normalize("NFD", spelt) if not unicodedata.combining(sign))
    said = " ".join("".join(sign if sign in ALLOWED else "." for sign in plain).split())
    while "//" in said:
        said = said.replace("//", "/")
    return said.strip("/")[:most].rstrip(" /") or "."
