"""The outcomes of all rows of a file, stored beside its raw bytes as JSON lines."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from retour.domain.actions.outcome import Effect, FirstOutcome, MakeGood, OtherBasis, Outcome, Result
from retour.domain.delivery import Delivery
from retour.domain.times import format_instant, parse_instant
from retour.store.inbox import Inbox, split_lines

ANSWERED_MARK = "told"
"""Marks a delivery as answered, next to its outcomes, so that a restart after a power cut does not answer it again."""
REQUEST_FIELDS = ("change", "quantity", "amount", "currency")
CHUNK_BYTES = 1 << 20
"""Bytes buffered while outcomes are read."""


def save_outcomes(inbox: Inbox, delivery: Delivery, results: Sequence[Result]) -> None:
    told = (json.dumps(result_document(result), ensure_ascii=False, separators=(",", ":")) for result in results)
    inbox.put(outcomes_key(delivery), "\n".join(told).encode())


def load_outcomes(inbox: Inbox, delivery: Delivery) -> Iterator[Result]:
    """The outcomes in row order; empty if the file was never processed."""
    try:
        for line in split_lines(inbox.pieces(outcomes_key(delivery), CHUNK_BYTES)):
            yield result_from(json.loads(line))
    except KeyError:
        return


def outcomes_key(delivery: Delivery) -> str:
    return results_folder(delivery) + "outcomes.jsonl"


def mark_answered(inbox: Inbox, delivery: Delivery, state: str) -> None:
    """Note that the reply about a delivery in this state was sent."""
    inbox.put(results_folder(delivery) + ANSWERED_MARK, state.encode())


def is_answered(inbox: Inbox, delivery: Delivery, state: str | None = None) -> bool:
    """Whether a reply was sent (about this state), also before a power cut that took the table of a local hub.

    A held file that is released is answered a second time.
    """
    try:
        answered = inbox.read(results_folder(delivery) + ANSWERED_MARK).decode()
    except KeyError:
        return False
    return state in (None, answered)


def results_folder(delivery: Delivery) -> str:
    """The key prefix of a delivery's result files."""
    return f"results/{delivery.program}/{delivery.id}/"


def result_document(result: Result) -> dict[str, Any]:
    doc = {
        "place": result.place,
        "outcome": result.outcome,
        "code": result.code,
        "details": dict(result.details),
        "column": result.column,
        "modification": result.modification,
        "reference": result.reference,
        "order": result.order,
        "action": result.action,
        **{name: getattr(result, name) for name in REQUEST_FIELDS},
        "applied_at": format_instant(result.applied_at) if result.applied_at else "",
        "effect": effect_document(result.effect),
        "other_basis": asdict(result.other_basis) if result.other_basis else None,
        "make_good": asdict(result.make_good) if result.make_good else None,
        "first": [result.first.outcome, result.first.delivery] if result.first else None,
    }
    return {name: value for name, value in doc.items() if value}


def effect_document(effect: Effect | None) -> dict[str, Any]:
    if effect is None:
        return {}
    return {
        "currency": effect.currency,
        "payout_currency": effect.payout_currency,
        "amount": [effect.amount_before, effect.amount_after],
        "payout": [effect.payout_before, effect.payout_after],
        "contract": effect.contract,
    }


def result_from(doc: Mapping[str, Any]) -> Result:
    return Result(
        place=doc["place"],
        outcome=Outcome(doc["outcome"]),
        code=doc.get("code", ""),
        details=doc.get("details", {}),
        column=doc.get("column", ""),
        modification=doc.get("modification", ""),
        reference=doc.get("reference", ""),
        order=doc.get("order", ""),
        action=doc.get("action", ""),
        **{name: doc.get(name, "") for name in REQUEST_FIELDS},
        applied_at=parse_instant(doc["applied_at"]) if "applied_at" in doc else None,
        effect=effect_from(doc.get("effect")),
        other_basis=OtherBasis(**doc["other_basis"]) if "other_basis" in doc else None,
        make_good=make_good_from(doc.get("make_good")),
        first=FirstOutcome(Outcome(doc["first"][0]), doc["first"][1]) if "first" in doc else None,
    )


def make_good_from(doc: Mapping[str, Any] | None) -> MakeGood | None:
    return MakeGood(**{**doc, "also": make_good_from(doc.get("also"))}) if doc else None


def effect_from(doc: Mapping[str, Any] | None) -> Effect | None:
    if not doc:
        return None
    (amount_before, amount_after), (payout_before, payout_after) = doc["amount"], doc["payout"]
    return Effect(
        currency=doc["currency"],
        payout_currency=doc["payout_currency"],
        amount_before=amount_before,
        amount_after=amount_after,
        payout_before=payout_before,
        payout_after=payout_after,
        contract=doc["contract"],
    )
