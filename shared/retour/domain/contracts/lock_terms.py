"""How a contract declares its lock: one entry per method with its keys and parser; several can be ranked (spec 6).

The methods themselves are in `lock`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retour.domain.contracts.conditions import (
    CONDITIONS,
    NOT,
    KnownNames,
    Sale,
    TermCondition,
    condition_faults,
    condition_schemas,
    conditions_of,
)
from retour.domain.contracts.lock import OPEN_DAYS_MAX, AfterEvent, AfterStatus, LockRule, OpenEnded, Restart
from retour.domain.contracts.named_list import Entries
from retour.domain.phrase import Sentence

LOCKS_MAX = 50
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RankedLock:
    """A lock method with conditions. The first whose conditions hold is chosen at the report."""

    rule: LockRule
    asks: tuple[TermCondition, ...] = ()

    def holds(self, sale: Sale) -> bool:
        return all(ask.holds(sale, None) for ask in self.asks)


@dataclass(frozen=True, slots=True)
class LockMethod:
    """A lock method, identified by one of its `leading` keys. `about` is its documentation."""

    leading: tuple[str, ...]
    about: str
    keys: Mapping[str, Schema]
    read: Callable[[Mapping[str, Any]], LockRule]


def _days(about: str, most: int = OPEN_DAYS_MAX, **more: Any) -> Schema:
    return {"description": about, "type": "integer", "minimum": 0, "maximum": most, **more}


LOCK_MOMENT_KEYS: Mapping[str, Schema] = {
    "lock_moment": {
        "description": "Whether the last of these days still counts (end) or the lock falls at its beginning (start).",
        "type": "string",
        "enum": ["end", "start"],
        "default": "end",
    },
    "month_end_sticky": {
        "description": "true: a month's end plus months is a month's end (28 February + 1 month = 31 March).",
        "type": "boolean",
        "default": False,
    },
}


def _after(what: str) -> Callable[[Mapping[str, Any]], AfterEvent]:
    def read(body: Mapping[str, Any]) -> AfterEvent:
        days, months = body.get(f"days_after_{what}", 0), body.get(f"months_after_{what}", 0)
        at_end = body.get("lock_moment", "end") == "end"
        return AfterEvent(days, months, what == "month_end", at_end, bool(body.get("month_end_sticky")))

    return read


def _after_status(body: Mapping[str, Any]) -> AfterStatus:
    restart = Restart(body.get("restart", Restart.ANY_CHANGE))
    return AfterStatus(body["days_after_status"], frozenset(body["statuses"]), restart)


LOCK_METHODS: Sequence[LockMethod] = (
    LockMethod(
        ("days_after_event", "months_after_event"),
        "so long after the event day, at the end of the last day (`lock_moment: start`: at its start)",
        {
            "days_after_event": _days("So many days after the day of the event.", examples=[30]),
            "months_after_event": _days("So many months more.", 24),
            **LOCK_MOMENT_KEYS,
        },
        _after("event"),
    ),
    LockMethod(
        ("days_after_month_end", "months_after_month_end"),
        "so long after the end of the event's month",
        {
            "days_after_month_end": _days("So many days after the end of the month of the event.", 366, examples=[2]),
            "months_after_month_end": _days("So many months more.", 24, examples=[1]),
            **LOCK_MOMENT_KEYS,
        },
        _after("month_end"),
    ),
    LockMethod(
        ("days_after_status",),
        "so many days after the order reached one of its `statuses`, at the start of that day; `restart` says what "
        "begins anew",
        {
            "days_after_status": _days(
                "So many days after the order reached one of the statuses, at the beginning of that day.", examples=[21]
            ),
            "statuses": {
                "description": "The order statuses that count.",
                "type": "array",
                "minItems": 1,
                "maxItems": 500,
                "uniqueItems": True,
                "items": {"type": "string", "minLength": 1, "maxLength": 128},
            },
            "restart": {
                "description": "What starts the days anew: any change of status, leaving and coming back, or nothing.",
                "type": "string",
                "enum": [one.value for one in Restart],
                "default": "any_change",
            },
        },
        _after_status,
    ),
    LockMethod(
        ("open_ended",),
        "at the end of the day of its approval, at latest after 730 days (`days_max`)",
        {
            "open_ended": {
                "description": "true: locks at the end of the day of its approval, at latest after 730 days.",
                "const": True,
            },
            "days_max": _days("At latest so many days after the event.", default=OPEN_DAYS_MAX),
        },
        lambda body: OpenEnded(body.get("days_max", OPEN_DAYS_MAX)),
    ),
)


def lock_methods_in(body: Mapping[str, Any]) -> list[LockMethod]:
    return [way for way in LOCK_METHODS if any(key in body for key in way.leading)]


def lock_of(body: Mapping[str, Any]) -> LockRule:
    return lock_methods_in(body)[0].read(body)


def locks_of(
    body: Mapping[str, Any] | Sequence[Mapping[str, Any]], currency: str, lists: Mapping[str, Entries]
) -> tuple[RankedLock, ...]:
    """A single method for all actions, or ranked ones of which the last has no conditions."""
    ranked = [body] if isinstance(body, Mapping) else body
    return tuple(RankedLock(lock_of(one), conditions_of(one, currency, lists)) for one in ranked)


def lock_faults(
    body: Mapping[str, Any] | Sequence[Mapping[str, Any]], program: KnownNames
) -> Iterator[tuple[tuple[str | int, ...], Sentence]]:
    """Semantic faults of a valid lock, each with its path below `lock` and its message."""
    ranked = [((), body)] if isinstance(body, Mapping) else [((number,), one) for number, one in enumerate(body)]
    for rank, (place, one) in enumerate(ranked, 1):
        asks = [word for word in (*CONDITIONS, NOT) if word in one]
        ways = lock_methods_in(one)
        if len(ways) != 1:
            yield place, Sentence("FAULT_LOCK_WAY")
        else:
            for key in [key for key in one if key not in (*ways[0].keys, *asks)]:
                yield (*place, key), Sentence("FAULT_LOCK_KEY", {"key": key, "way": ways[0].leading[0]})
        if isinstance(body, Mapping) and asks:
            yield (*place, asks[0]), Sentence("FAULT_LOCK_ALONE")
        elif rank == len(ranked) and asks:
            yield (*place, asks[0]), Sentence("FAULT_LOCK_LAST")
        elif rank < len(ranked) and not asks:
            yield place, Sentence("FAULT_LOCK_UNREACHED")
        for inner, sentence in condition_faults(one, program):
            yield (*place, *inner), sentence


def lock_schema() -> Schema:
    """The schema of a lock method, with the conditions it may have in a ranked list."""
    return {
        "description": "When an action can no longer change, in one of these ways: days (and months) after the event "
        "or after the end of its month, days after a status, or open-ended until it is approved.",
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "dependentRequired": {
            "days_after_status": ["statuses"],
            "statuses": ["days_after_status"],
            "restart": ["days_after_status"],
            "days_max": ["open_ended"],
        },
        "properties": {
            **{key: schema for way in LOCK_METHODS for key, schema in way.keys.items()},
            **condition_schemas(of_line=False),
        },
    }


def locks_schema() -> Schema:
    """The schema of a contract's lock: one method or several ranked ones."""
    return {
        "description": "When an action can no longer change; a list of such ways is ranked by their conditions on the "
        "action as reported, the last one without any.",
        "if": {"type": "array"},
        "then": {"minItems": 1, "maxItems": LOCKS_MAX, "items": {"$ref": "#/$defs/lock"}},
        "else": {"$ref": "#/$defs/lock"},
    }
