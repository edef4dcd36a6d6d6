"""Payout accounts and tax treatments of partners, and the accounts billing groups pay from."""

from collections.abc import Mapping
from typing import Any

from retour.commands.payments import perform, require_payer
from retour.context import Context
from retour.domain.program import Program
from retour.domain.times import format_instant
from retour.errors import InvalidRequestError, excerpt
from retour.money import accounts
from retour.money.asked import FigureFault
from retour.money.payments import payees
from retour.money.statements import billing
from retour.ports import ReadPorts
from retour.store.payments import ACCOUNT, GROUP_ACCOUNT, TREATMENT
from retour.views.documents import Document
from retour.views.payees import account_document, treatment_document

OWNER_MAX = 128
ACCOUNT_FIELDS = ("partner", "billing_group", "holder", "iban", "bic")
TAX_FIELDS = ("partner", "treatment", "country", "tax_id")


# Accounts


def put_account(context: Context[ReadPorts], given: Mapping[str, Any]) -> Document:
    """Set the account of a partner or billing group, from the fields in ACCOUNT_FIELDS."""
    require_payer(context.caller)
    return keep_account(context, *owner_of(context.ports, context.program, given), given)


def keep_account(context: Context[ReadPorts], kind: str, owner: str, given: Mapping[str, Any]) -> Document:
    """Validate and encrypt an account, and record the change in a readable act. Idempotent."""
    hub, program = context.ports, context.program
    found = accounts.bank_account(given)
    if isinstance(found, FigureFault):
        raise invalid(found)
    word = {"partner": "partner", "group": "billing_group"}[kind]
    closed = accounts.closed_account(hub, program, f"{kind}/{owner}", found)
    standing = hub.payments(program.id).payee(ACCOUNT if kind == "partner" else GROUP_ACCOUNT, owner)
    changed = standing is None or standing["id"] != closed["id"]
    if changed:
        perform(context, {"act": "account", "owner": f"{kind}/{owner}", "account": closed})
    one = (accounts.account_of_partner if kind == "partner" else accounts.account_of_group)(hub, program, owner)
    assert one is not None
    usable = one.changed_at + (payees(hub, program).wait if kind == "partner" else one.changed_at - one.changed_at)
    return {word: owner, "changed": changed, **account_document(one), "usable_from": format_instant(usable)}


def owner_of(hub: ReadPorts, program: Program, given: Mapping[str, Any]) -> tuple[str, str]:
    partner, group = given.get("partner"), given.get("billing_group")
    if group is not None and partner is None:
        known = billing(hub, program).names()
        if group not in known:
            raise InvalidRequestError("PAYMENT_FIELD", "billing_group", value=excerpt(group), known=", ".join(known))
        return "group", str(group)
    return "partner", partner_of(given)


def partner_of(given: Mapping[str, Any]) -> str:
    partner = given.get("partner")
    if not isinstance(partner, str) or not 1 <= len(partner) <= OWNER_MAX or not partner.isprintable():
        raise InvalidRequestError("PAYEE_INVALID", "partner")
    return partner


def invalid(fault: FigureFault) -> InvalidRequestError:
    return InvalidRequestError("PAYEE_INVALID", fault.about, field=fault.figure, value=excerpt(fault.value))


# Tax


def put_treatment(context: Context[ReadPorts], given: Mapping[str, Any]) -> Document:
    """Set a partner's tax treatment, from the fields in TAX_FIELDS."""
    require_payer(context.caller)
    hub, program = context.ports, context.program
    partner, found = partner_of(given), accounts.treatment(given)
    if isinstance(found, FigureFault):
        raise invalid(found)
    perform(context, {"act": "tax", "partner": partner, "tax": found})
    doc = hub.payments(program.id).payee(TREATMENT, partner)
    assert doc is not None
    return treatment_document(partner, doc)
