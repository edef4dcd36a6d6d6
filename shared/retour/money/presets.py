"""Published figures to begin a funding check with. Amazon Seller: buyers return within 28 days, Amazon reports it up to
2 days later; the recommendation is a lock 1 month and 2 days after the month's end and a statement on the 4th."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def funding_presets() -> Mapping[str, Mapping[str, str | int]]:
    """Named figures, in the form read by `asked.policy_of`."""
    found: dict[str, Mapping[str, str | int]] = json.loads(
        files("retour.money").joinpath("presets.json").read_text("utf-8")
    )
    return found


def preset_names() -> list[str]:
    return [*funding_presets()]
