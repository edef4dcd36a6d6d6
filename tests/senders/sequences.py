"""Every sequence of a sender's messages, in every order of arrival, played through signed calls and judged.

The judge shares no code with the product: sale less what each object's newest statement takes, never below zero. Both
come from a data file beside this one, whose amounts are typed.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import yaml

from tests.senders import messages
from tests.senders.messages import Message
from tests.senders.webhook_harness import WebhookHarness

HERE = Path(__file__).parent
KINDS = ("stripe", "shopify", "woocommerce", "bigcommerce", "salesforce")
MESSAGES_MAX = 4
HALL_HOLDS = 200
"""Sequences in one program in memory: then a new one, so that looking things up stays cheap."""


@dataclass(frozen=True)
class SequenceMessage:
    """One message: about which of the sequence's objects, in which state, with which payload, as the how many-th."""

    object: int
    type: str
    state: str
    payload: str
    at: int


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
    return MESSAGES[kind](order, one, amount)


def of_stripe(order: str, one: SequenceMessage, amount: str) -> Message:
    number = f"{order}_{one.object}"
    if one.type == "refund":
        return messages.stripe_refund(f"re_{number}", one.state, amount, one.at, order=order)
    return messages.stripe_dispute(f"dp_{number}", one.state, amount, one.at, order=order)


def of_shopify(order: str, one: SequenceMessage, amount: str) -> Message:
    number = int(order) * 10 + one.object
    if one.type == "order":
        body = messages.shopify_order(
            at=one.at, cancelled=one.state == "cancelled", financial_status=one.payload, number=int(order)
        )
        return messages.shopify("orders/updated", body)
    if one.type == "dispute":
        kind = "inquiry" if one.state == "inquiry" else "chargeback"
        status = "needs_response" if one.state == "inquiry" else one.state
        return messages.shopify_dispute(number, kind, status, amount, order=int(order))
    transaction = messages.shopify_transaction(number, one.state, amount)
    if one.state == "failure":
        return messages.shopify("order_transactions/create", {**transaction, "order_id": int(order)})
    lines = {"line": [messages.shopify_line("40.00")], "fee_kept": [messages.shopify_line("40.00")]}
    kept = [messages.shopify_adjustment("15.00")] if one.payload == "fee_kept" else []
    refund = messages.shopify_refund(number, lines.get(one.payload, []), [transaction], kept, order=int(order))
    return messages.shopify("refunds/create", refund)


def of_woocommerce(order: str, one: SequenceMessage, amount: str) -> Message:
    return messages.woocommerce_order(one.state, amount.split(), one.at, number=int(order), total="125.00")


def of_bigcommerce(order: str, one: SequenceMessage, _amount: str) -> Message:
    return messages.bigcommerce_status(int(one.state), one.at, number=int(order))


MESSAGES: Mapping[str, Callable[[str, SequenceMessage, str], Message]] = {
    "stripe": of_stripe,
    "shopify": of_shopify,
    "woocommerce": of_woocommerce,
    "bigcommerce": of_bigcommerce,
}


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
