"""Every sequence of a sender's messages, in every order of arrival, played through signed calls and judged.

The judge shares no code with the product: sale less what each object's newest statement takes, never below zero. Both
come from a data file beside this one, whose amounts are typed.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import yaml

from retour.domain.senders import senders
from tests.senders.kinds import sender_script
from tests.senders.messages import Message, SequenceMessage
from tests.senders.webhook_harness import WebhookHarness

HERE = Path(__file__).parent
KINDS = (*senders(), "salesforce")
MESSAGES_MAX = 4
HALL_HOLDS = 200
"""Sequences in one program in memory: then a new one, so that looking things up stays cheap."""


@dataclass(frozen=True)
class MessageSequence:
    """`arrivals` are the messages as they come in, one of them twice."""

    told: tuple[SequenceMessage, ...]
    arrivals: tuple[SequenceMessage, ...]


@cache
def table(kind: str) -> Mapping[str, Any]:
    return yaml.safe_load((HERE / f"{kind}.yaml").read_text("utf-8"))  # type: ignore[no-any-return]


def all_sequences(kind: str, most: int = MESSAGES_MAX) -> Iterator[MessageSequence]:
    """Of one and two objects: each choice of states up to so many messages, in each order of arrival, one repeated."""
    said = table(kind)
    for pair in said["pairs"]:
        payloads = [list(said["objects"][type_]["payloads"]) for type_ in pair]
        for length in range(1, most + 1):
            for turn, told in enumerate(message_choices(said, pair, payloads, length)):
                for order, arrivals in enumerate(itertools.permutations(told)):
                    repeated = arrivals[(turn + order) % length]
                    at = (turn + order) % (length + 1)
                    yield MessageSequence(told, (*arrivals[:at], repeated, *arrivals[at:]))


def message_choices(
    said: Mapping[str, Any], pair: Sequence[str], payloads: Sequence[Sequence[str]], length: int
) -> Iterator[tuple[SequenceMessage, ...]]:
    """Every choice of objects and states. An object keeps its payload; which one it has goes round."""
    choices = [(n, state) for n, type_ in enumerate(pair) for state in said["objects"][type_]["states"]]
    for turn, chosen in enumerate(itertools.product(choices, repeat=length)):
        yield tuple(
            SequenceMessage(n, pair[n], state, payload_of(said, pair[n], payloads[n], turn + n, at), at)
            for at, (n, state) in enumerate(chosen, start=1)
        )


def payload_of(said: Mapping[str, Any], type_: str, payloads: Sequence[str], turn: int, at: int) -> str:
    """Where each message is the whole order its payload changes too; else an object has one amount for good."""
    return payloads[(turn + (at if len(said["pairs"][0]) == 1 else 0)) % len(payloads)]


def expected_left(kind: str, told: Sequence[SequenceMessage]) -> str:
    """The judge."""
    said = table(kind)
    newest: dict[int, tuple[int, Decimal]] = {}
    for one in told:
        states = said["objects"][one.type]["states"]
        takes = states[one.state][one.payload]
        age = one.at if said["newest"] == "time" else list(states).index(one.state)
        if takes != "keep" and (one.object not in newest or newest[one.object][0] <= age):
            newest[one.object] = age, Decimal(takes)
    rest = Decimal(said["sale"]) - sum(taken for _, taken in newest.values())
    return f"{max(rest, Decimal(0)):.2f}"


# Playing


def message(kind: str, order: str, one: SequenceMessage) -> Message:
    amount = table(kind)["objects"][one.type]["payloads"][one.payload]
    return sender_script(kind).message(order, one, amount)


class Player(Protocol):
    """Plays sequences about new orders; tells what is left of the sale, and what was told of its objects for good."""

    def play(self, order: str, sequence: MessageSequence) -> tuple[str, Sequence[SequenceMessage]]: ...


@dataclass(frozen=True)
class Caller:
    """Plays them as signed calls."""

    hall: WebhookHarness

    def play(self, order: str, sequence: MessageSequence) -> tuple[str, Sequence[SequenceMessage]]:
        kind = self.hall.kind
        self.hall.sell(order, table(kind)["sale"])
        for one in sequence.arrivals:
            body, headers = message(kind, order, one)
            counts = self.hall.post(body, **headers).get("counts", {})
            assert not counts.get("refused"), f"{one} was refused: {counts}"
        return self.hall.left(order), sequence.told


def player(kind: str) -> AbstractContextManager[Player]:
    if kind == "salesforce":
        from tests.senders.organisation import organisation

        return organisation()
    return nullcontext(Caller(WebhookHarness(kind, table(kind)["source"])))


def first_wrong(kind: str, sequences: Iterator[MessageSequence]) -> tuple[int, str | None]:
    """How many sequences were played, and what was wrong with the last of them, if that ended it."""
    count = 0
    while some := list(itertools.islice(sequences, HALL_HOLDS)):
        with player(kind) as plays:
            for sequence in some:
                count += 1
                is_left, told = plays.play(str(100_000 + count), sequence)
                if is_left != (right := expected_left(kind, told)):
                    return count, f"left {is_left}, right is {right}, of {sequence.arrivals}"
    return count, None
