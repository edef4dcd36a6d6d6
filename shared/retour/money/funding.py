"""Check the funding of contracts: the policies of a program, their verdicts, and the sentences for them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from retour.domain.contracts.lock_terms import lock_of
from retour.domain.funding.billing import groups_for, parse_groups
from retour.domain.funding.figures import lock_text, pay_rule_text
from retour.domain.funding.proof import (
    CYCLE_DATES,
    Fix,
    Proof,
    Verdict,
    Weakness,
    prove,
    smallest_fix,
    weaknesses,
    worst_timeline,
)
from retour.domain.funding.schedule import Policy, ReturnWindow, Timeline
from retour.sentences import sentence

Document = dict[str, Any]
CHECKED_MAX = 60
"""Policies of one document that are tried: the ranked locks of all its contracts, those that are equal once."""
GRAVITY = (Verdict.UNSAFE, Verdict.TIGHT, Verdict.SAFE)


@dataclass(frozen=True, slots=True)
class Place:
    """Whose policy it is: a contract, the billing group its payouts fall into, the rank of the lock; empty: figures."""

    contract: str = ""
    event_type: str = ""
    billing_group: str = ""
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """A policy tried on every date. `fix` is the smallest change with which no date fails, `with_slack` the smallest
    with a day of slack."""

    place: Place
    proof: Proof
    worst: Timeline
    fix: Fix | None
    with_slack: Fix | None
    breaks: tuple[Weakness, ...]

    @property
    def verdict(self) -> Verdict:
        return self.proof.verdict

    @property
    def gravity(self) -> tuple[int, int]:
        return GRAVITY.index(self.verdict), self.proof.slack


def check_policy(policy: Policy, today: date, place: Place | None = None) -> Checked:
    """`today`: the worst date told is the next such from it on."""
    return Checked(
        place=place or Place(),
        proof=prove(policy),
        worst=worst_timeline(policy, today),
        fix=smallest_fix(policy),
        with_slack=smallest_fix(policy, slack=1),
        breaks=tuple(weaknesses(policy)),
    )


# What a program document says


def returns_of(document: Mapping[str, Any], event_type: str) -> ReturnWindow | None:
    """None: the event type does not say for how long its returns can be reported."""
    said = (document["event_types"].get(event_type) or {}).get("returns")
    return ReturnWindow(**said) if said else None


def policies(
    document: Mapping[str, Any], contract: str | None = None, returns: ReturnWindow | None = None
) -> Iterator[tuple[Place, Policy]]:
    """Of every contract of a valid document, or of one, whose event type says for how long returns can be reported;
    `returns` holds in place of what it says."""
    groups = parse_groups(document)
    for name, body in document["contracts"].items():
        event_type = body["event_type"]
        known = returns or returns_of(document, event_type)
        if known is None or (contract is not None and name != contract):
            continue
        ranked = body["lock"] if isinstance(body["lock"], list) else [body["lock"]]
        for group in groups_for(groups, name, event_type):
            for rank, lock in enumerate(ranked, 1):
                policy = Policy(lock_of(lock), known, group.statement_day, group.pays)
                yield Place(name, event_type, group.name, rank), policy


def checks(
    document: Mapping[str, Any], today: date, contract: str | None = None, returns: ReturnWindow | None = None
) -> list[Checked]:
    """The gravest first."""
    different: dict[tuple[str, Policy], Place] = {}
    for place, policy in policies(document, contract, returns):
        different.setdefault((place.contract, policy), place)
    tried = [(place, policy) for (_, policy), place in different.items()][:CHECKED_MAX]
    return sorted((check_policy(policy, today, place) for place, policy in tried), key=lambda one: one.gravity)


def warnings(document: Mapping[str, Any], today: date, language: str) -> list[Document]:
    """What whoever applies a document is told: each contract that is not safe, by its gravest lock."""
    found: dict[str, Checked] = {}
    for one in checks(document, today):
        if one.verdict is not Verdict.SAFE:
            found.setdefault(one.place.contract, one)
    return [
        {
            "contract": one.place.contract,
            "billing_group": one.place.billing_group,
            "verdict": one.verdict.value,
            "unsafe_dates": one.proof.unsafe,
            "tight_dates": one.proof.tight,
            "sentences": sentences(one, language),
        }
        for one in found.values()
    ]


# As documents


def check_document(one: Checked, language: str) -> Document:
    proof = one.proof
    return {
        "verdict": one.verdict.value,
        "unsafe_dates": proof.unsafe,
        "tight_dates": proof.tight,
        "worst": course_document(one.worst),
        "fix": fix_document(one),
        "dates": CYCLE_DATES,
        "late_returns": proof.late_returns,
        "early_money": proof.early_money,
        "slack_days": proof.slack,
        "by_slack": [{"slack_days": slack, "dates": dates} for slack, dates in proof.by_slack],
        "breaks": [{"what": each.what, "unsafe_dates": each.proof.unsafe} for each in one.breaks],
        "policy": policy_document(proof.policy),
        "contract": one.place.contract or None,
        "billing_group": one.place.billing_group or None,
        "lock_rank": one.place.rank or None,
        "sentences": sentences(one, language),
    }


def course_document(one: Timeline) -> Document:
    return {
        "event_date": one.event.isoformat(),
        "last_change": one.last_change.isoformat(),
        "last_report": one.last_report.isoformat(),
        "statement": one.statement.isoformat() if one.statement else None,
        "paid": one.paid.isoformat(),
    }


def policy_document(policy: Policy) -> Document:
    returns = policy.returns
    return {
        "lock": lock_text(policy.lock),
        "window_days": returns.window_days,
        "lag_days": returns.lag_days,
        "cadence_days": returns.cadence_days,
        "skew_days": returns.skew_days,
        "statement_day": policy.statement_day,
        "paid": pay_rule_text(policy.pays),
    }


def fix_document(one: Checked) -> Document | None:
    """The smallest change: with which no date fails, or where none does, with which there is a day of slack."""
    found = one.fix or one.with_slack
    if found is None:
        return None
    more = {"with_slack": fix_figures(one.with_slack) if one.with_slack else None} if one.fix else {}
    return fix_figures(found) | more


def fix_figures(fix: Fix) -> Document:
    return {
        "lock": lock_text(fix.policy.lock),
        "statement_day": fix.policy.statement_day,
        "paid": pay_rule_text(fix.policy.pays),
        "days_later": fix.days,
        "verdict": fix.verdict.value,
    }


# In words


def sentences(one: Checked, language: str) -> list[str]:
    """The verdict, what fails, the worst order, what would make it safe, and what would break it."""
    return [sentence(code, details, language) for code, details in verdict_sentences(one)]


def verdict_sentences(one: Checked) -> Iterator[tuple[str, dict[str, str]]]:
    proof, course = one.proof, one.worst
    yield (
        f"FUNDING_{one.verdict.name}",
        {
            "case": "one" if abs(proof.slack) == 1 else "",
            "dates": f"{proof.unsafe or proof.tight:,}",
            "days": str(abs(proof.slack)),
        },
    )
    if proof.unsafe and proof.late_returns:
        yield "FUNDING_LATE_RETURNS", {"dates": f"{proof.late_returns:,}"}
    if proof.unsafe and proof.early_money:
        yield "FUNDING_EARLY_MONEY", {"dates": f"{proof.early_money:,}"}
    yield (
        "FUNDING_WORST",
        {
            "case": "stated" if course.statement else "",
            "event_day": course.event.isoformat(),
            "locked_day": course.last_change.isoformat(),
            "report_day": course.last_report.isoformat(),
            "statement_day": course.statement.isoformat() if course.statement else "",
            "paid_day": course.paid.isoformat(),
        },
    )
    for fix in dict.fromkeys(each for each in (one.fix, one.with_slack) if each is not None):
        day, before = fix.policy.statement_day, proof.policy.statement_day
        yield (
            f"FUNDING_FIX_{fix.verdict.name}",
            {
                "case": " ".join(("one" if fix.days == 1 else "days", *(["moved"] if day != before else []))),
                "days": str(fix.days),
                "day": str(day),
            },
        )
    if not one.fix and proof.unsafe:
        yield "FUNDING_NO_FIX", {}
    for each in one.breaks:
        yield "FUNDING_BREAKS", {"case": each.what, "dates": f"{each.proof.unsafe:,}"}
