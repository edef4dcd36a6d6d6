"""Text in the SEPA character set: Latin letters, digits and some punctuation."""

import unicodedata

ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-?:().,'+ ")
SPELT = {
    "ß": "ss", "ẞ": "SS", "Æ": "AE", "æ": "ae", "Ø": "O", "ø": "o", "Œ": "OE", "œ": "oe", "Ł": "L", "ł": "l", "Đ": "D",
    "đ": "d", "Þ": "TH", "þ": "th", "Ð": "D", "ð": "d", "ı": "i", "&": "+", "_": "-", "–": "-", "—": "-", "’": "'",
    "‘": "'", "“": "'", "”": "'", "€": "EUR", "@": "(at)",
}  # fmt: skip
"""Characters with a replacement. Diacritics are dropped, and any other character becomes a full stop."""


def sepa_text(text: str, most: int) -> str:
    """Text in the SEPA character set, cut to a field's length. Approvers see it beside the original."""
    spelt = "".join(SPELT.get(sign, sign) for sign in unicodedata.normalize("NFC", text))
    plain = (sign for sign in unicodedata.normalize("NFD", spelt) if not unicodedata.combining(sign))
    said = " ".join("".join(sign if sign in ALLOWED else "." for sign in plain).split())
    while "//" in said:
        said = said.replace("//", "/")
    return said.strip("/")[:most].rstrip(" /") or "."
