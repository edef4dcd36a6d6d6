"""A row in the sender's words and its source's mapping, turned into one Modification, or the reason why not (spec 3).

What a program can change (reasons, mapping, amount meaning, limits) is judged here, once, and stored in the record.
"""

from retour.normalise.amounts import AMOUNT_MEANS, QUANTITY_MAX
from retour.normalise.change import CHANGES
from retour.normalise.columns import FIELDS, KEY_BYTES_MAX
from retour.normalise.errors import CellError
from retour.normalise.identity import order_key
from retour.normalise.reading import Normalised, Normaliser
from retour.normalise.words import translate

__all__ = [
    "AMOUNT_MEANS",
    "CHANGES",
    "FIELDS",
    "KEY_BYTES_MAX",
    "QUANTITY_MAX",
    "CellError",
    "Normalised",
    "Normaliser",
    "order_key",
    "translate",
]
