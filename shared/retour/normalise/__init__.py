"""Turn a row and its source's mapping into a Modification, or into the reason why it cannot be read (spec 3).

Everything a program can change (reasons, mapping, meaning of amounts, limits) is applied here once and stored in the
record.
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
