"""Short constructors of actions, records and contracts for tests of pure rules."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from retour.domain.actions.action import Action, Line
from retour.domain.actions.fold import fold
from retour.domain.actions.modification import Change, Modification, Provenance, digest
from retour.domain.actions.order import Order
from retour.domain.contracts.contract import Contract, contract_of
from retour.domain.contracts.lock import at_report
from retour.domain.delivery import Channel

REPORTED = datetime(2026, 11, 1, 12, tzinfo=UTC)
SERIAL = itertools.count()


def contract(percent: str = "8", days: int = 30, number: int = 1, **more: Any) -> Contract:
    """Terms as written in a program; `more` are further keys of the body, or when it was recorded."""
    name, recorded_at = more.pop("name", "standard"), more.pop("recorded_at", datetime(2026, 1, 1, tzinfo=UTC))
    groups, lists = more.pop("groups_of_program", None), more.pop("lists_of_program", None)
    body: dict[str, Any] = {
        "event_type": "sale",
        "valid_from": "2026-01-01",
        "payout": f"{percent}%",
        "lock": {"days_after_event": days},
    }
    return contract_of(
        name,
        body | more,
        time_zone="Europe/Berlin",
        currency="EUR",
        recorded_at=recorded_at,
        number=number,
        version=number,
        groups=groups,
        lists=lists,
    )


CONTRACT = contract()


def action(*lines: tuple[str, int, int], currency: str = "EUR", **more: Any) -> Action:
    """An action with lines (SKU, quantity, minor units); by default one of 100.00."""
    sold = lines or (("S1", 1, 10000),)
    usual: dict[str, Any] = {
        "id": "A~sale",
        "program": "acme",
        "order_key": "A",
        "order_id": "A",
        "event_type": "sale",
        "partner": "nordlicht",
        "event_time": REPORTED,
        "reported_at": REPORTED,
        "delivery": "d",
        "locks_at": at_report(CONTRACT.lock, REPORTED, "Europe/Berlin").locks_at,
        "contract": 1,
    }
    numbered = tuple(Line(str(n), sku, None, quantity, amount) for n, (sku, quantity, amount) in enumerate(sold, 1))
    return Action(currency=currency, lines=numbered, **(usual | more))


def record(change: Change, hours: float = 1, **more: Any) -> Modification:
    """A record received some hours after the report; with `occurred` hours it is sorted by that time."""
    received_at = REPORTED + timedelta(hours=hours)
    occurred = more.pop("occurred", None)
    reference = more.pop("reference", None)
    serial = f"{next(SERIAL)}"
    usual: dict[str, Any] = {
        "identity": digest(reference or serial),
        "content": digest(repr(change)),
        "program": "acme",
        "channel": Channel.API,
        "source": "erp",
        "namespace": "erp",
        "reference": reference,
        "provenance": Provenance(serial, "modifications", "1", "", ""),
        "order_key": "A",
        "action_id": None,
        "event_type": None,
        "sku": None,
        "line": None,
        "currency": None,
        "reason": None,
        "disposition": None,
        "note": None,
        "occurred_at": None,
        "received_at": received_at,
        "orders_by": received_at if occurred is None else REPORTED + timedelta(hours=occurred),
    }
    return Modification(change=change, **(usual | more))


def fold_records(sold: Action, records: Sequence[Modification], contracts: Sequence[Contract] = (CONTRACT,)) -> Order:
    return fold(Order(key="A", actions=[sold], records=list(records)), contracts, REPORTED + timedelta(days=90))


def outcomes_of(order: Order) -> list[tuple[str, str]]:
    """Outcome and code of each record in log order."""
    return [(entry.outcome.value, entry.code) for entry in order.heads["A~sale"].log]


def balances_of(order: Order) -> list[tuple[int, int]]:
    return [(rest.amount, rest.quantity) for rest in order.heads["A~sale"].standing.rests]


CONDITION_CASES = Path(__file__).parent / "terms"


def condition_case(word: str) -> dict[str, Any]:
    """What a condition `asks` (`typed`: as typed in a form), an action of which it `holds`, one of which it `fails`."""
    return yaml.safe_load((CONDITION_CASES / f"{word}.yaml").read_text("utf-8"))  # type: ignore[no-any-return]
