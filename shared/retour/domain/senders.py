"""The registry of webhook senders: an entry of senders.json for each, and its adapter, `channels/<kind>.py`.

Whatever lists kinds of senders reads it: the program's schema, the console's form, the documents and the tests.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

STANDARD = "standard"
"""Retour's own JSON; what a source sends that names no kind."""
NO_SECRET = "none"
"""What a sender that signs with a key of its own shares with us."""
OF_ORDERS, OF_TOTALS = "order", "total"
"""What messages that take nothing back are needed for: another name of an order, or its total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """How a sender's orders can be read: the option of a source that says where, and the secrets handed over for it.

    `hinted`: its webhooks tell no amounts, so that each is a reason to read.
    """

    option: str
    secrets: tuple[str, ...]
    hinted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """What is known of a kind of sender before anything of it is read.

    `basis`: what its amounts are of where its source does not say (`goods`, or `order_total` where it never knows the
    goods alone). `money` and `names` are the messages to subscribe, by the sender's words: those that take something
    back, and those that are only needed for `names_tell`. `secret`: what we generate for it, `whsec` as Standard
    Webhooks write one, plain `text`, or `none`. `needs`: the options without which a source cannot work. `ping`: a
    regular expression for the unsigned body by which it tries a new address; empty where it does not. `described`: how
    it signs and what its messages say is declared by each source.
    """

    kind: str
    title: str
    basis: str = "goods"
    money: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    names_tell: str = ""
    secret: str = "text"
    needs: tuple[str, ...] = ()
    ping: str = ""
    read_back: ReadBack | None = None
    described: bool = False


@cache
def senders() -> Mapping[str, Sender]:
    """Every sender by its kind, as a source names it; `standard` is the first."""
    entries = json.loads(files("retour.domain").joinpath("senders.json").read_text("utf-8"))
    return MappingProxyType({kind: _sender(kind, entry) for kind, entry in entries.items()})


def sender_of(kind: str) -> Sender:
    """The sender that a source names; KeyError where there is none."""
    return senders()[kind or STANDARD]


def _sender(kind: str, entry: Mapping[str, Any]) -> Sender:
    lists = {name: tuple(entry[name]) for name in ("money", "names", "needs") if name in entry}
    read_back = entry.get("read_back")
    access = ReadBack(**{**read_back, "secrets": tuple(read_back["secrets"])}) if read_back else None
    return Sender(kind=kind, **{**entry, **lists, "read_back": access})
