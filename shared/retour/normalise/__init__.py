"""A row in the sender's words and its source's mapping, turned into one Modification, or the reason why not (spec 3).

What a program can change (reasons, mapping, amount meaning, limits) is judged here, once, and stored in the record.
"""

from retour.normalise.reading import (
    AMOUNT_MEANS,
    CHANGES,
    FIELDS,
    KEY_BYTES_MAX,
    QUANTITY_MAX,
    CellError,
    Normalised,
    Normaliser,
    excerpt,
    fold_name,
    join_names,
    order_key,
    translate,
)

__all__ = [
    "AMOUNT_MEANS",
    "CHANGES",
    "FIELDS",
    "KEY_BYTES_MAX",
    "QUANTITY_MAX",
    "CellError",
    "Normalised",
    "Normaliser",
    "excerpt",
    "fold_name",
    "join_names",
    "order_key",
    "translate",
]
