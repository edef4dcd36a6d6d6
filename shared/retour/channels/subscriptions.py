"""Webhooks to subscribe: those about money, and those for names and totals only (docs/shops.md has their cost)."""

from collections.abc import Sequence
from dataclasses import dataclass

from retour.domain.program import Source
from retour.domain.senders import OF_ORDERS, OF_TOTALS, sender_of


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Without the messages for names, some of the source's records would wait forever (`needs_names`)."""

    money: Sequence[str]
    names: Sequence[str]
    needs_names: bool


def subscriptions(source: Source) -> Subscriptions | None:
    """The messages to subscribe for a source; None if there are none."""
    sender = sender_of(source.kind)
    if sender.described:
        from retour.channels.signed import subscribed

        return Subscriptions(subscribed(source, "returns"), subscribed(source, "names"), tells_names(source))
    if not sender.money:
        return None
    return Subscriptions(sender.money, sender.names, is_known_by_other_name(source) or needs_totals(source))


def subscription_sentence(source: Source) -> tuple[str, dict[str, str]] | None:
    """The code and values of the sentence that explains a source's basis."""
    wanted = subscriptions(source)
    if wanted is None:
        return None
    code = "SUBSCRIBE"
    if needs_totals(source):
        code = "SUBSCRIBE_FOR_TOTALS"
    elif is_known_by_other_name(source) or wanted.needs_names:
        code = "SUBSCRIBE_FOR_NAMES"
    own_name = "order_id" if sender_of(source.kind).described else "id"
    details = {"source": source.name, "basis": source.basis, "field": source.order_id_field or own_name}
    return code, {**details, "money": ", ".join(wanted.money), "names": ", ".join(wanted.names)}


def is_known_by_other_name(source: Source) -> bool:
    """Whether actions are reported under an order name that refunds do not contain."""
    return sender_of(source.kind).names_tell == OF_ORDERS and source.order_id_field not in (None, "id", "order_id")


def tells_names(source: Source) -> bool:
    """Whether a source describes messages that only link names."""
    return any(event.get("tells") == "names" for event in source.options.get("events", ()))


def needs_totals(source: Source) -> bool:
    """Whether amounts are shares of an order total that refund messages do not contain."""
    return sender_of(source.kind).names_tell == OF_TOTALS and source.basis == "order_total"
