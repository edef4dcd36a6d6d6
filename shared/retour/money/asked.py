"""Parse the figures of a funding check into a policy, or say which one is wrong and why."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from retour.domain.contracts.lock import LockRule
from retour.domain.contracts.lock_terms import lock_methods_in, lock_schema
from retour.domain.contracts.lock_terms import lock_of as lock_of_body
from retour.domain.funding.figures import parse_lock, parse_pay_rule
from retour.domain.funding.schedule import MONTH_DAY_MAX, AfterStatement, NextDay, PayRule, Policy, ReturnWindow

RETURNS = ("window_days", "lag_days", "cadence_days", "skew_days")
FIGURES = ("lock", *RETURNS, "statement_day", "paid")
DAYS_MAX = 400


@dataclass(frozen=True, slots=True)
class FigureFault:
    """`about` says what is wrong with the figure, `value` is what stands there."""

    figure: str
    value: str
    about: str


def policy_of(given: Mapping[str, Any], known: Policy | None = None) -> Policy | FigureFault:
    """The policy that these figures say; what they leave out is as `known` has it.

    Without a payment rule it is paid at the statement, and without statements on the day after the last change.
    """
    said = {name: value for name, value in given.items() if value is not None and value != ""}
    read = [lock(said, known), returns(said, known), statement_day(said, known), pays(said, known)]
    for one in read:
        if isinstance(one, FigureFault):
            return one
    policy = Policy(*read)  # type: ignore[arg-type]
    if policy.is_whole:
        return policy
    about = "statement_needed" if isinstance(policy.pays, AfterStatement) else "no_statement"
    return FigureFault("statement_day", str(said.get("statement_day", "")), about)


def lock(said: Mapping[str, Any], known: Policy | None) -> LockRule | FigureFault:
    value = said.get("lock")
    if value is None:
        return known.lock if known else FigureFault("lock", "", "needed")
    if isinstance(value, str):
        return parse_lock(value) or FigureFault("lock", value, "lock")
    if isinstance(value, Mapping) and is_lock(value):
        return lock_of_body(value)
    return FigureFault("lock", str(value), "lock")


def is_lock(body: Mapping[str, Any]) -> bool:
    """Whether it is a lock as contracts write it, without conditions."""
    from jsonschema import Draft202012Validator

    ways = lock_methods_in(body)
    if len(ways) != 1 or set(body) - set(ways[0].keys):
        return False
    return Draft202012Validator(lock_schema()).is_valid(dict(body))


def returns(said: Mapping[str, Any], known: Policy | None) -> ReturnWindow | FigureFault:
    found = {}
    for name in RETURNS:
        if name in said:
            days = whole(said[name])
            if days is None or days > DAYS_MAX:
                return FigureFault(name, str(said[name]), "days")
            found[name] = days
    if known:
        return replace(known.returns, **found)
    return ReturnWindow(**found) if "window_days" in found else FigureFault("window_days", "", "needed")


def statement_day(said: Mapping[str, Any], known: Policy | None) -> int | FigureFault | None:
    if "statement_day" not in said:
        return known.statement_day if known else None
    day = whole(said["statement_day"])
    if day is None or not 1 <= day <= MONTH_DAY_MAX:
        return FigureFault("statement_day", str(said["statement_day"]), "statement_day")
    return day


def pays(said: Mapping[str, Any], known: Policy | None) -> PayRule | FigureFault:
    value = said.get("paid")
    if value is None:
        return known.pays if known else AfterStatement() if "statement_day" in said else NextDay()
    return (parse_pay_rule(value) if isinstance(value, str) else None) or FigureFault("paid", str(value), "paid")


def whole(value: Any) -> int | None:
    """A whole number from zero on, as JSON or a form has it."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 5:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
