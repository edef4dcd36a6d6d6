"""The demo's sales, returns per channel, and payouts computed by hand."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """A return. `sent` is what the client sends: a record, lines of a file, or fields of a case."""

    channel: str
    source: str
    action: Mapping[str, Any]
    sent: Any
    file: str
    state: str
    amount: Mapping[str, str]
    payout: Mapping[str, str]
    why: str

    @property
    def order_id(self) -> str:
        return str(self.action["order_id"])

    @property
    def content(self) -> bytes:
        return "".join(f"{line}\r\n" for line in self.sent).encode()


@dataclass(frozen=True, slots=True)
class Scenario:
    program: str
    returns: tuple[Return, ...]


def load_scenario(path: Path) -> Scenario:
    document = json.loads(path.read_text("utf-8"))
    return Scenario(document["program"], tuple(Return(**{"file": "", **each}) for each in document["returns"]))


def sales_to_report(scenario: Scenario, now: datetime) -> list[dict[str, Any]]:
    """The sales, two days old, in the API's format."""
    sold_at = (now - timedelta(days=2)).isoformat(timespec="seconds")
    return [{**each.action, "event_time": sold_at} for each in scenario.returns]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnStatus:
    """What the hub shows of a return, and where the sender finds its reply."""

    delivery: str = ""
    outcome: str = ""
    code: str = ""
    explanation: str = ""
    state: str = ""
    amount: str = ""
    payout_before: str = ""
    payout: str = ""
    answer: str = ""
    trouble: str = ""

    @property
    def is_complete(self) -> bool:
        return bool(self.outcome and self.answer)


def find_differences(expected: Return, seen: ReturnStatus) -> list[str]:
    """Sentences on differences from the expected result; empty if there are none."""
    pairs = (
        ("outcome", "applied", seen.outcome),
        ("state", expected.state, seen.state),
        ("amount", expected.amount["after"], seen.amount),
        ("payout before", expected.payout["before"], seen.payout_before),
        ("payout after", expected.payout["after"], seen.payout),
    )
    wrong = [f"{what} is {is_ or 'nothing'}, not {right}" for what, right, is_ in pairs if is_ != right]
    if not seen.answer:
        wrong.append("no answer was left for the sender")
    return [f"{expected.order_id} by {expected.channel}: {each}" for each in wrong]
