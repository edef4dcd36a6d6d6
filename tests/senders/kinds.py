"""What a kind of sender does, for the suite that all of them pass: `tests/senders/<kind>.py`, found by its name.

Written from the sender's documentation and apart from the adapter that reads it.
"""

from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from tests.senders.messages import Message, SequenceMessage

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "samples/hooks"


class SenderScript(Protocol):
    """A kind of sender as tests play it. `SECRET` has the sender's format."""

    SECRET: str

    def sign(self, body: bytes, secret: str, now: datetime, delivery: str) -> Mapping[str, str]:
        """The headers it adds to a body; `delivery` is its delivery id, if a header contains one."""

    def message(self, order: str, one: SequenceMessage, amount: str) -> Message:
        """The message that an object of the order has this state; `amount` is its payload."""

    def refund(self, order: str, amount: str, total: str, currency: str) -> Message:
        """A message that takes back an amount of an order that cost `total`, as decimal text."""


def sender_script(kind: str) -> SenderScript:
    return cast(SenderScript, import_module(module_name(kind)))


def module_name(kind: str) -> str:
    return f"tests.senders.{kind.replace('-', '_')}"


def missing_parts(kind: str) -> list[str]:
    """What a kind lacks for the suite, each as the name of a file or of a part of one."""
    stem, found = kind.replace("-", "_"), []
    if find_spec(f"retour.channels.{stem}") is None:
        found.append(f"shared/retour/channels/{stem}.py")
    if find_spec(module_name(kind)) is None:
        found.append(f"tests/senders/{stem}.py")
    else:
        parts = ("SECRET", "sign", "message", "refund")
        found += [f"tests/senders/{stem}.py: {part}" for part in parts if not hasattr(sender_script(kind), part)]
    if not (HERE / f"{kind}.yaml").exists():
        found.append(f"tests/senders/{kind}.yaml")
    if not list((SAMPLES / kind).glob("*.reading.json")):
        found.append(f"tests/samples/hooks/{kind}/*.json, each with its .reading.json")
    return found
