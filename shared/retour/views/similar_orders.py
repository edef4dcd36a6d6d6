"""Orders whose id resembles an unknown one: equal except for spaces, leading zeros or a prefix."""

import re
from collections.abc import Iterator
from itertools import islice

from retour.ports import ReadPorts
from retour.views import action_search
from retour.views.ledger_reader import LedgerReader

SAMPLE_MAX = 60
"""Actions sampled for the format of order ids."""
CANDIDATES_MAX = 8
NUMBERS = re.compile(r"(\d+)")

OrderIdShape = tuple[tuple[str, ...], tuple[int, ...]]
"""The text between the numbers of an order id, and the number of digits of each."""


def order_id_shapes(ports: ReadPorts, reader: LedgerReader) -> list[OrderIdShape]:
    """The formats of order ids of open actions."""
    today = action_search.parse_filter({"locks_after": reader.now.isoformat()}, reader.program)
    seen = islice(action_search.candidates(ports, reader, today, None), SAMPLE_MAX)
    return list(dict.fromkeys(shape_of(order_key) for _, _, order_key, _ in seen))


def shape_of(order_id: str) -> OrderIdShape:
    parts = NUMBERS.split(order_id)
    return tuple(parts[::2]), tuple(len(digits) for digits in parts[1::2])


def candidate_order_ids(order_id: str, known: list[OrderIdShape]) -> Iterator[str]:
    """An order id rewritten in other formats, with and without leading zeros."""
    numbers = [digits.lstrip("0") or "0" for digits in NUMBERS.findall(order_id)]
    tried = {order_id}
    for between, widths in known:
        if not numbers or len(widths) != len(numbers):
            continue
        for filled in (numbers, [digits.zfill(width) for digits, width in zip(numbers, widths, strict=True)]):
            found = between[0] + "".join(digits + after for digits, after in zip(filled, between[1:], strict=True))
            if found not in tried:
                tried.add(found)
                yield found


def similar_order_ids(reader: LedgerReader, order_id: str, known: list[OrderIdShape]) -> list[str]:
    """The rewritten ids that exist, as reported."""
    orders = (reader.order(key) for key in islice(candidate_order_ids(order_id, known), CANDIDATES_MAX))
    return [order.actions[0].order_id for order in orders if order.actions]
