"""Rows from states of objects: what is taken back in total because of a subject (spec 2 and 4).

An adapter's table says what each state takes: `TAKES` (everything, or the stated amount), `NOTHING` (what this subject
took is given back) or `KEEP` (no statement about returns). A state declared neither there nor in the source's
`statuses:` is `KEEP`, and is listed for a person.
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
"""Meanings of words in `statuses:`. `restore` is the former word for `nothing`."""
SIDE_CHANGES = ("approve", "set_status")
"""Words that ask for a change without subject, in a record of its own.

For the subject the table applies: an approval gives nothing back by itself.
"""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a status for its subject, and a further change. `is_declared`: it was declared somewhere."""

    takes: str
    beside: str | None = None
    is_declared: bool = True


def meaning_of(status: str, source: Source, ours: Mapping[str, str]) -> Meaning:
    """The meaning of a status by the source's `statuses:`, else by its kind's table."""
    return status_meaning(status, source.mapping.get("statuses", {}), ours)


def status_meaning(status: str, declared: Mapping[str, str], ours: Mapping[str, str]) -> Meaning:
    """The meaning of a status as declared, else by its kind's table, else none."""
    word = declared.get(status)
    if word is None:
        return Meaning(ours.get(status, KEEP), is_declared=status in ours)
    takes = STATUS_WORDS.get(word) or ours.get(status, KEEP)
    return Meaning(takes, word if word in SIDE_CHANGES else None)


def statement_fields(
    subject: str, version: str | None, *, rank: int | None = None, takes: Mapping[str, str | None] | None
) -> dict[str, str | None]:
    """The fields of a statement. `takes` is what is taken back; None means nothing.

    Without `version` the receipt is used.
    """
    told: dict[str, str | None] = {"subject": subject, "version": version}
    if rank and version is not None:
        told["rank"] = str(rank)
    return {**told, **(dict(takes) if takes is not None else {"change": "take_back", "amount": "0"})}


TAKE_ALL: Mapping[str, str | None] = {"change": "reverse"}


def amount_taken_fields(
    value: str, currency: str | None, order_total: str | None = None, total_of: str | None = None
) -> dict[str, str | None]:
    """The fields of an amount, or of a share of an order total (known, or by the name `total_of`)."""
    return {
        "change": "take_back",
        "amount": value,
        "currency": currency,
        "order_total": order_total,
        "total_of": total_of,
    }
