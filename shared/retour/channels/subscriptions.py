"""Which messages of a shop to subscribe: for the money, and only for names and totals (docs/shops.md: the cost)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from retour.domain.program import Source


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """`needs_names`: without the second ones, some of this source's records would wait for ever."""

    money: Sequence[str]
    names: Sequence[str]
    needs_names: bool


def subscriptions(source: Source) -> Subscriptions | None:
    """What to subscribe for a source; None where its sender needs to be told nothing."""
    known = table().get(source.kind)
    if known is None:
        return None
    by_other_name = source.kind in ("shopify", "woocommerce") and source.order_id_field not in (None, "id", "order_id")
    shares_totals = source.kind == "stripe" and source.basis == "order_total"
    return Subscriptions(known["money"], known["names"], by_other_name or shares_totals)


@cache
def table() -> dict[str, dict[str, list[str]]]:
    return json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))  # type: ignore[no-any-return]
