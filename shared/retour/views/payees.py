"""Payout accounts and tax treatments; never more of an account than its last four signs."""

from collections.abc import Mapping
from typing import Any

from retour.domain.funding.payments import Account
from retour.domain.program import Program
from retour.domain.times import format_instant
from retour.money import accounts
from retour.money.payments import payees
from retour.ports import ReadPorts
from retour.store.payments import ACCOUNT, GROUP_ACCOUNT, TREATMENT
from retour.views.documents import Document


def list_accounts(ports: ReadPorts, program: Program) -> Document:
    """By their last four signs; the number itself is never shown again."""
    stored, wait = ports.payments(program.id), payees(ports, program).wait
    items: list[Document] = []
    for kind, word in ((ACCOUNT, "partner"), (GROUP_ACCOUNT, "billing_group")):
        for owner, doc in stored.payees(kind).items():
            one = accounts.account_from(owner, doc)
            usable = one.changed_at + wait if word == "partner" else one.changed_at
            items.append({word: owner, **account_document(one), "usable_from": format_instant(usable)})
    return {"items": items, "next": None}


def account_document(one: Account) -> Document:
    return {
        "country": one.country,
        "account": one.tail,
        "changed_at": format_instant(one.changed_at),
        "changed_by": one.changed_by,
    }


def list_treatments(ports: ReadPorts, program: Program) -> Document:
    found = ports.payments(program.id).payees(TREATMENT)
    return {"items": [treatment_document(partner, doc) for partner, doc in found.items()], "next": None}


def treatment_document(partner: str, doc: Mapping[str, Any]) -> Document:
    return {
        "partner": partner,
        "treatment": doc["treatment"],
        "country": doc["country"],
        "tax_id": doc["tax_id"] or None,
        "changed_at": doc["at"],
        "changed_by": doc["by"],
    }
