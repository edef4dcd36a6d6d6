"""Stable codes of refusals and warnings. Their sentences and the numbers booked in heads are in codes.json."""

import json
from enum import StrEnum
from functools import cache
from importlib.resources import files


class Code(StrEnum):
    """Codes used by the fold (spec 5.5). A number assigned in codes.json is never reused."""

    ACTION_LOCKED = "ACTION_LOCKED"
    ACTION_NOT_FOUND = "ACTION_NOT_FOUND"
    ACTION_REVERSED = "ACTION_REVERSED"
    MODIFICATION_LIMIT = "MODIFICATION_LIMIT"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    UNKNOWN_ITEM = "UNKNOWN_ITEM"
    ITEM_NEEDED = "ITEM_NEEDED"
    QUANTITY_EXCEEDS_SOLD = "QUANTITY_EXCEEDS_SOLD"
    AMOUNT_EXCEEDS_SALE = "AMOUNT_EXCEEDS_SALE"
    AMOUNT_NEGATIVE = "AMOUNT_NEGATIVE"
    AMOUNT_TOO_FINE = "AMOUNT_TOO_FINE"
    EVENT_TYPE_NEEDED = "EVENT_TYPE_NEEDED"
    REFERENCE_REUSED = "REFERENCE_REUSED"
    CLAMPED_TO_SALE = "CLAMPED_TO_SALE"
    NEAR_MODIFICATION_LIMIT = "NEAR_MODIFICATION_LIMIT"
    CHANGE_NOT_OFFERED = "CHANGE_NOT_OFFERED"
    SUPERSEDED = "SUPERSEDED"
    UNDO_BLOCKED = "UNDO_BLOCKED"
    UNDO_NOT_FOUND = "UNDO_NOT_FOUND"
    POSSIBLE_DUPLICATE = "POSSIBLE_DUPLICATE"
    REPEATS_UNDONE_REVERSAL = "REPEATS_UNDONE_REVERSAL"
    NOT_HELD = "NOT_HELD"
    DISCARDED = "DISCARDED"
    NOT_RELEASED_IN_TIME = "NOT_RELEASED_IN_TIME"
    AFTER_FINAL = "AFTER_FINAL"
    CONTRACT_MISSING = "CONTRACT_MISSING"
    SAME_PARTNER = "SAME_PARTNER"
    LATER_CHANGES_STAND = "LATER_CHANGES_STAND"
    STATUS_AFTER_LOCK = "STATUS_AFTER_LOCK"
    ORDER_TOTAL_UNKNOWN = "ORDER_TOTAL_UNKNOWN"
    NEWER_HELD = "NEWER_HELD"


@cache
def code_sentences() -> dict[str, dict[str, str]]:
    """The sentences of each code by language, with placeholders."""
    return json.loads(files("retour.domain.actions").joinpath("codes.json").read_text("utf-8"))  # type: ignore[no-any-return]


@cache
def code_numbers() -> dict[str, int]:
    return {code: int(body["number"]) for code, body in code_sentences().items() if "number" in body}


@cache
def codes_by_number() -> dict[int, str]:
    return {number: code for code, number in code_numbers().items()}
