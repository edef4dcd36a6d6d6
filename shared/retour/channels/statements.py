"""How senders tell how a thing stands, as rows: what is taken back in total because of one subject (spec 2 and 4).

An adapter's table says for each state of an object what it takes: `TAKES` (all of it, or the amount the payload names),
`NOTHING` (what this subject took is given back) or `KEEP` (it says nothing about returns). What no table and no
`statuses:` of the source declares is `KEEP`, and is listed for a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from retour.domain.program import Source

TAKES, NOTHING, KEEP = "takes", "nothing", "keep"
STATUS_WORDS: Mapping[str, str] = {
    "reverse": TAKES,
    "take_back": TAKES,
    "set_total": TAKES,
    "set_quantity": TAKES,
    "nothing": NOTHING,
    "restore": NOTHING,
    "keep": KEEP,
}
"""What the words of `statuses:` say of the subject. `restore` is how older programs write `nothing`."""
SIDE_CHANGES = ("approve", "set_status")
"""The words that ask for a change without subject, in a record of its own; of the subject they say what our table does:
an approval brings nothing back by itself."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a status says: of its subject, and the change it asks for beside that. `is_declared`: somebody said so."""

    takes: str
    beside: str | None = None
    is_declared: bool = True


def meaning_of(status: str, source: Source, ours: Mapping[str, str]) -> Meaning:
    """What a status means by the source's own `statuses:`, else by our table of its kind."""
    return status_meaning(status, source.mapping.get("statuses", {}), ours)


def status_meaning(status: str, declared: Mapping[str, str], ours: Mapping[str, str]) -> Meaning:
    """What a status means by what a source declares, else by our table of its kind, else nothing at all."""
    word = declared.get(status)
    if word is None:
        return Meaning(ours.get(status, KEEP), is_declared=status in ours)
    takes = STATUS_WORDS.get(word) or ours.get(status, KEEP)
    return Meaning(takes, word if word in SIDE_CHANGES else None)


def statement_fields(
    subject: str, version: str | None, *, rank: int | None = None, takes: Mapping[str, str | None] | None
) -> dict[str, str | None]:
    """The fields of a statement: `takes` names what is taken back, None says nothing is.

    `version` None: the receipt stands in for it.
    """
    told: dict[str, str | None] = {"subject": subject, "version": version}
    if rank and version is not None:
        told["rank"] = str(rank)
    return {**told, **(dict(takes) if takes is not None else {"change": "take_back", "amount": "0"})}


TAKE_ALL: Mapping[str, str | None] = {"change": "reverse"}


def amount_taken_fields(
    value: str, currency: str | None, order_total: str | None = None, total_of: str | None = None
) -> dict[str, str | None]:
    """So much of the sale, or where it is a part of an order total (known, or to be told of `total_of`) its share."""
    return {
        "change": "take_back",
        "amount": value,
        "currency": currency,
        "order_total": order_total,
        "total_of": total_of,
    }
