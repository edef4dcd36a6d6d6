"""What arrives, and in which order: made up from a seed, small, and mean."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from retour.domain.contracts.versions import with_versions_of
from retour.domain.program import Program, program_from

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
EVENT = "2026-11-01T12:00:00+01:00"

DOCUMENT: dict[str, Any] = {
    "program": "acme",
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "waiting_days": 20,
    "event_types": {"sale": {}, "lead": {}},
    "contracts": {
        "standard": {
            "event_type": "sale",
            "valid_from": "2026-01-01",
            "payout": "8%",
            "lock": {"days_after_event": 30},
        },
        "leads": {
            "event_type": "lead",
            "valid_from": "2026-01-01",
            "payout": "50%",
            "lock": {"days_after_event": 30},
        },
    },
    "sources": {
        "erp": {"channel": "api", "kind": "standard"},
        "shop": {"channel": "api", "kind": "standard", "possible_duplicates": {"till": "apply"}},
        "till": {
            "channel": "api",
            "kind": "standard",
            "order_by": "occurred_at",
            "excess": "clamp",
            "approve_restores": True,
        },
        "twin": {"channel": "api", "kind": "standard", "reference_namespace": "erp"},
    },
}


CASTS = 64
"""Programs with different edits; a history plays one of them."""


@cache
def programs(cast: int = 0) -> tuple[Program, ...]:
    """The program and what becomes of it: other terms, other settings; each version knows all contracts before it."""
    changed = edit_terms(random.Random(f"terms {cast}")) if cast else plain_edits()
    changed.append(
        {
            **changed[-1],
            "possible_duplicate_days": 0,
            "waiting_days": 10,
            "sources": {**DOCUMENT["sources"], "till": {**DOCUMENT["sources"]["till"], "excess": "clamp"}},
        }
    )
    versions: list[Program] = []
    for number, document in enumerate(changed, 1):
        known = versions[-1].contracts if versions else ()
        # Recorded when the first record could have come: what a worker knows, not the clock, tells the versions apart.
        contracts = with_versions_of(document, known, START - timedelta(days=30 - number))
        versions.append(program_from(document, number, contracts))
    return tuple(versions)


def plain_edits() -> list[dict[str, Any]]:
    return [DOCUMENT, with_standard(DOCUMENT, payout="12.5%", lock={"days_after_event": 40})]


def with_standard(document: dict[str, Any], **terms: Any) -> dict[str, Any]:
    contracts = document["contracts"]
    return {**document, "contracts": {**contracts, "standard": {**contracts["standard"], **terms}}}


def edit_terms(dice: random.Random) -> list[dict[str, Any]]:
    """Terms, locks and partners changed at random; somebody always has terms for everybody."""
    documents = [DOCUMENT]
    for _ in range(dice.randint(1, 4)):
        terms = {
            "payout": f"{dice.choice(['8', '12.5', '3.33', '0', '100'])}%",
            "lock": {"days_after_event": dice.choice([30, 30, 30, 40])},
            "valid_from": dice.choice(["2026-01-01", "2026-11-01", "2026-11-10", "2026-12-01"]),
            "terms_basis": dice.choice(["at_modification", "at_modification", "at_action"]),
        }
        document = with_standard(documents[-1], **{key: terms[key] for key in dice.sample(sorted(terms), 2)})
        contracts = {name: body for name, body in document["contracts"].items() if name != "own"}
        if dice.random() < 0.6:
            contracts["own"] = {
                "event_type": "sale",
                "valid_from": dice.choice(["2026-01-01", "2026-11-05"]),
                "partners": dice.sample(["p1", "p2", "p3"], dice.randint(1, 2)),
                "payout": f"{dice.choice(['20', '1.25'])}%",
                "lock": {"days_after_event": dice.choice([30, 35])},
                **({"valid_until": "2026-11-20"} if dice.random() < 0.4 else {}),
            }
        documents.append({**document, "contracts": contracts})
    return documents


@dataclass
class History:
    dice: random.Random
    ordered: bool
    told: bool
    restless: float
    deadly: float
    eager: float
    page: int
    steps: list[dict[str, Any]] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)


def history(dice: random.Random) -> History:
    past = History(
        dice=dice,
        ordered=dice.random() < 0.35,
        told=dice.random() < 0.3,
        restless=dice.choice([0.0, 0.1, 0.3, 0.6]),
        deadly=dice.choice([0.0, 0.2, 0.5]),
        eager=dice.choice([0.0, 0.3]),
        page=dice.choice([1_000_000, 1_000_000, 3]),
    )
    past.steps = (
        ordered_history(dice, past) if past.ordered else subject_history(dice) if past.told else mixed_history(dice)
    )
    return past


def money(dice: random.Random, most: int) -> str:
    cents = dice.choice([0, most, dice.randint(0, most), dice.randint(0, most)])
    return f"{cents // 100}.{cents % 100:02d}"


def lines(dice: random.Random) -> list[dict[str, Any]]:
    return [
        {"sku": f"S{min(n, 2)}", "quantity": dice.randint(1, 3), "amount": money(dice, dice.choice([999, 10000]))}
        for n in range(1, dice.randint(1, 3) + 1)
    ]


def ordered_history(dice: random.Random, past: History) -> list[dict[str, Any]]:
    """One action and one source whose own time orders what it says: whatever arrives when, the ledger is the same."""
    sold = {"order_id": "A", "event_type": "sale", "partner": "p1", "event_time": EVENT, "items": lines(dice)}
    past.sent = [end_result(dice, n) for n in range(dice.randint(1, 5))]
    if dice.random() < 0.5:
        past.sent += [{**past.sent[0], "sku": "unknown", "change": "reverse", "reference": "x"}]
    steps: list[dict[str, Any]] = [report([sold], dice)]
    waiting = list(past.sent)
    while waiting:
        some, waiting = waiting[: (cut := dice.randint(1, 3))], waiting[cut:]
        steps.append(arrival("till", some, dice))
    steps += [redelivery(step, dice) for step in steps if dice.random() < 0.3]
    if dice.random() < 0.4:
        steps.append({"do": "program"})
    dice.shuffle(steps)
    return steps


def end_result(dice: random.Random, number: int) -> dict[str, Any]:
    said: dict[str, Any] = {
        "reference": f"r{number}",
        "order_id": "A",
        "occurred_at": (START - timedelta(hours=dice.randint(1, 20))).isoformat(),
    }
    match dice.randrange(8):
        case 0 | 1:
            said |= {"change": "reverse"}
        case 2 | 3:
            said |= {"change": "set_total", "amount": "0.00"}
        case 4:
            said |= {"change": "take_back", "amount": money(dice, 12000)}
        case 5:
            said |= {"change": "restore"}
        case 6:
            said |= {"change": "approve"}
        case _:
            said |= {"change": "reattribute", "partner": dice.choice(["p1", "p2"])}
    if said["change"] in ("reverse", "restore", "take_back") and dice.random() < 0.3:
        said["sku"] = "S1"
    return said


def subject_history(dice: random.Random) -> list[dict[str, Any]]:
    """One action, and what two senders of one namespace say of refunds, disputes and the order: in versions, twice,
    in any order, beside returns that name no subject."""
    sold = {"order_id": "A", "event_type": "sale", "partner": "p1", "event_time": EVENT, "items": lines(dice)}
    pool = [statement(dice) for _ in range(dice.randint(2, 6))]
    if dice.random() < 0.5:
        pool.append({"order_id": "A", "reference": "own", "change": "take_back", "amount": money(dice, 3000)})
    steps: list[dict[str, Any]] = [report([sold], dice)]
    for _ in range(dice.randint(1, 4)):
        some = [dice.choice(pool) for _ in range(dice.randint(1, 3))]
        steps.append(arrival(dice.choice(["erp", "twin"]), some, dice))
    steps += [redelivery(step, dice) for step in steps if dice.random() < 0.4]
    if dice.random() < 0.4:
        steps.append({"do": "program"})
    dice.shuffle(steps)
    return steps


def statement(dice: random.Random) -> dict[str, Any]:
    said: dict[str, Any] = {"order_id": "A", "subject": dice.choice(["refund/1", "refund/2", "dispute/3"])}
    if dice.random() < 0.8:
        said["version"] = str(dice.randint(1, 3))
    if dice.random() < 0.3:
        said["sku"] = "S1"
    match dice.randrange(6):
        case 0:
            return said | {"change": "reverse"}
        case 1:
            return said | {"change": "take_back", "amount": "0.00"}
        case 2:
            return said | {"change": "set_total", "amount": money(dice, 10000)}
        case 3:
            return said | {"change": "take_back", "quantity": str(dice.randint(0, 3)), "sku": "S1"}
    return said | {"change": "take_back", "amount": money(dice, 6000)}


def mixed_history(dice: random.Random) -> list[dict[str, Any]]:
    """Anything: orders of several actions, ids before their orders, twins, quotes of the same numbers, locks."""
    steps: list[dict[str, Any]] = [report(actions(dice), dice) for _ in range(dice.randint(1, 2))]
    pool = [random_record(dice, n) for n in range(dice.randint(2, 6))]
    for source in dice.choices(["erp", "erp", "shop", "till", "twin"], k=dice.randint(1, 4)):
        some = [dice.choice(pool) for _ in range(dice.randint(1, 3))]
        some = [
            {**one, "amount": money(dice, 5000)} if "amount" in one and dice.random() < 0.2 else one for one in some
        ]
        steps.append(arrival(source, some, dice))
    steps += [redelivery(step, dice) for step in steps if dice.random() < 0.3]
    dice.shuffle(steps)
    for _ in range(dice.randint(0, 2)):
        decision = {"do": "decide", "dice": dice.random(), "identity": f"p{dice.random()}"}
        steps.insert(dice.randint(len(steps) // 2, len(steps)), decision)
    if dice.random() < 0.3:
        steps.insert(dice.randint(0, len(steps)), {"do": "program"})
    if dice.random() < 0.5:
        at = dice.randint(len(steps) // 3, len(steps))
        steps.insert(at, {"do": "wait", "hours": dice.choice([1, 24 * 21, 24 * 21])})
        steps.insert(at + 1, {"do": "expire"})
    if dice.random() < 0.6:
        # 1 December 00:00 in Berlin ends the thirtieth day after the event.
        at = dice.randint(len(steps) // 3, len(steps))
        steps.insert(at, {"do": "wait", "hours": 24 * 30})
        for _ in range(dice.randint(1, 3)):
            steps.insert(dice.randint(at + 1, len(steps)), {"do": "fence"})
        steps.insert(dice.randint(at + 1, len(steps)), {"do": "wait", "hours": 73})
        steps.append({"do": "fence"})
    return steps


def actions(dice: random.Random) -> list[dict[str, Any]]:
    offered = [
        {"order_id": "A", "event_type": "sale"},
        {"order_id": "A", "event_type": "sale", "action_id": "X1"},
        {"order_id": "A", "event_type": "lead"},
        {"order_id": "B", "event_type": "sale", "action_id": "X2"},
        {"order_id": "B", "event_type": "sale"},
    ]
    some = dice.sample(offered, k=dice.randint(1, 3))
    return [{**one, "partner": "p1", "event_time": EVENT, "items": lines(dice)} for one in some]


def random_record(dice: random.Random, number: int) -> dict[str, Any]:
    said: dict[str, Any] = dice.choice(
        [{"order_id": "A"}, {"order_id": "A"}, {"order_id": "B"}, {"action_id": "X1"}, {"action_id": "X2"}]
    ).copy()
    if "order_id" in said and dice.random() < 0.3:
        said["event_type"] = dice.choice(["sale", "lead"])
    if said.get("order_id") == "A" and dice.random() < 0.1:
        said["action_id"] = "X1"
    if dice.random() < 0.75:
        said["reference"] = f"r{dice.randint(0, 3)}"
    if dice.random() < 0.4:
        said["occurred_at"] = (START + timedelta(hours=dice.randint(-20, 20))).isoformat()
    if dice.random() < 0.3:
        said["sku"] = dice.choice(["S1", "S2"])
    match dice.randrange(10):
        case 0 | 1:
            return said | {"change": "reverse"}
        case 2:
            return said | {"change": "restore"}
        case 3:
            return said | {"change": "set_total", "amount": money(dice, 10000)}
        case 4 | 5:
            return said | {"change": "take_back", "amount": money(dice, 2000)}
        case 6:
            return said | {"change": "take_back", "quantity": "1", "sku": "S1"}
        case 7:
            return said | {"change": "set_quantity", "quantity": str(dice.randint(0, 3)), "sku": "S1"}
        case 8:
            return said | {"change": "set_status", "status": "shipped"}
    return said | {"change": "approve"}


def report(actions: Sequence[dict[str, Any]], dice: random.Random) -> dict[str, Any]:
    return {"do": "report", "name": "report", "identity": f"a{dice.random()}", "actions": list(actions)}


def arrival(source: str, records: Sequence[dict[str, Any]], dice: random.Random) -> dict[str, Any]:
    file = dice.random() < 0.25
    name = f"{'file' if file else 'call'} {source}"
    step = {"do": "arrive", "name": name, "source": source, "identity": f"{dice.random()}", "records": list(records)}
    return {**step, "file": True} if file else step


def redelivery(step: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """The very same delivery once more; or the same records in a delivery of their own."""
    return dict(step) if dice.random() < 0.6 else {**step, "identity": f"{dice.random()}"}
