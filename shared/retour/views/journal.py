"""The journal with its balances, and the comparison of everything that is kept of money, as documents."""

from itertools import islice

from retour.domain.funding.journal import Entry, balances, entry_from
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.money.journal import journal_of
from retour.money.verify import verify
from retour.sentences import sentence
from retour.views.documents import Document
from retour.views.parameters import bad_query
from retour.wiring import Hub

LOOKED_MAX = 20_000
"""Entries looked at for one page of an account."""


def journal(hub: Hub, program: Program, limit: int, cursor: str = "", account: str = "") -> Document:
    """The entries, the newest first; of one account, or of all that begin like it, where one is named."""
    kept = journal_of(hub, program)
    if cursor and not (cursor.isascii() and cursor.isdigit()):
        raise bad_query("cursor", cursor, "cursor")
    before = int(cursor[:12]) if cursor else None
    newest = (entry_from(doc) for doc in kept.entries(newest_first=True))
    found = (
        one for one in islice(newest, LOOKED_MAX) if (before is None or one.number < before) and touches(one, account)
    )
    page = [*islice(found, limit + 1)]
    progress = kept.progress()
    return {
        "items": [entry_document(one, program.currency) for one in page[:limit]],
        "next": str(page[limit - 1].number) if len(page) > limit else None,
        "booked_until": progress.get("day"),
        "entries": progress.get("number", 0),
        "currency": program.currency,
        "balances": balances_document(hub, program, account),
    }


def touches(one: Entry, account: str) -> bool:
    return not account or any(named(name, account) for name, _ in one.booking.amounts)


def named(name: str, account: str) -> bool:
    """`payable` is every account of that kind, `payable:default` those of a group."""
    return not account or name == account or name.startswith(f"{account}:")


def balances_document(hub: Hub, program: Program, account: str) -> list[Document]:
    found = balances(entry_from(doc) for doc in journal_of(hub, program).entries())
    return [
        {"account": name, "balance": to_text(amount, program.currency)}
        for name, amount in sorted(found.items())
        if named(name, account) and (amount or account)
    ]


def entry_document(one: Entry, currency: str) -> Document:
    return {
        "number": one.number,
        "day": one.day.isoformat(),
        "kind": one.booking.kind.value,
        "cause": one.booking.cause,
        "amounts": [{"account": name, "amount": to_text(amount, currency)} for name, amount in one.booking.amounts],
        "details": one.booking.details or None,
        "before": one.before,
        "sha256": one.sha256,
    }


def verification(hub: Hub, program: Program) -> Document:
    """Whether journal, ledger, statements and payments say the same, and what is the first thing that differs."""
    made = verify(hub, program)
    first = made.difference
    return {
        "ok": first is None,
        "checked": made.counts,
        "booked_until": journal_of(hub, program).progress().get("day"),
        "difference": None
        if first is None
        else {"code": first.code, "explanation": sentence(first.code, first.details, program.language)},
    }
