"""Payout accounts and tax treatments: checked, closed, and known by their last four signs only (spec 8)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retour.domain.funding.payments import Account, Treatment
from retour.domain.program import Program
from retour.domain.times import parse_instant
from retour.money.asked import FigureFault
from retour.ports import PaymentPort
from retour.store.payments import ACCOUNT, GROUP_ACCOUNT, TREATMENT

TAIL = 4
NAME_MAX = 70
"""As many signs of a name as every bank takes."""
VAT_ID = re.compile(r"[A-Z]{2}[A-Z0-9+*]{2,13}")
COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class BankAccount:
    holder: str
    iban: str
    bic: str

    def document(self) -> dict[str, str]:
        return {"holder": self.holder, "iban": self.iban, "bic": self.bic}


def bank_account(given: Mapping[str, Any]) -> BankAccount | FigureFault:
    """An account whose IBAN is right to its check digits (ISO 13616), and its BIC in form; or what is wrong."""
    from schwifty import BIC, IBAN
    from schwifty.exceptions import SchwiftyException

    said = {name: str(given.get(name) or "").strip() for name in ("holder", "iban", "bic")}
    holder = " ".join(said["holder"].split())
    if not 1 <= len(holder) <= NAME_MAX or not holder.isprintable():
        return FigureFault("holder", holder, "holder")
    iban = "".join(said["iban"].split()).upper()
    try:
        found = IBAN(iban)
    except SchwiftyException as wrong:
        return FigureFault("iban", masked(iban), about_iban(type(wrong).__name__))
    bic = "".join(said["bic"].split()).upper()
    if bic:
        try:
            bic = str(BIC(bic))
        except SchwiftyException:
            return FigureFault("bic", bic, "bic")
    return BankAccount(holder, str(found), bic)


def about_iban(error: str) -> str:
    return {"InvalidChecksumDigits": "iban_checksum", "InvalidLength": "iban_length",
            "InvalidCountryCode": "iban_country"}.get(error, "iban")  # fmt: skip


def masked(iban: str) -> str:
    """What a sentence may quote of an account number: its country and its last signs."""
    return f"{iban[:2]}…{iban[-TAIL:]}" if len(iban) > 2 * TAIL else iban


def treatment(given: Mapping[str, Any]) -> dict[str, str] | FigureFault:
    """A tax treatment with what it needs: where the partner is, and the VAT id where it depends on one."""
    said = {name: str(given.get(name) or "").strip() for name in ("treatment", "country", "tax_id")}
    if said["treatment"] not in {one.value for one in Treatment}:
        return FigureFault("treatment", said["treatment"], "treatment")
    country, tax_id = said["country"].upper(), "".join(said["tax_id"].split()).upper()
    if not COUNTRY.fullmatch(country):
        return FigureFault("country", said["country"], "country")
    needs_id = said["treatment"] in (Treatment.DOMESTIC_VAT, Treatment.REVERSE_CHARGE)
    if (needs_id and not tax_id) or (said["treatment"] == Treatment.REVERSE_CHARGE and not VAT_ID.fullmatch(tax_id)):
        return FigureFault("tax_id", said["tax_id"], "tax_id")
    return {"treatment": said["treatment"], "country": country, "tax_id": tax_id}


# As they are kept


def accounts(ports: PaymentPort, program: Program) -> dict[str, Account]:
    """The newest account of every partner."""
    return {owner: account_from(owner, doc) for owner, doc in ports.payments(program.id).payees(ACCOUNT).items()}


def account_of_partner(ports: PaymentPort, program: Program, partner: str) -> Account | None:
    doc = ports.payments(program.id).payee(ACCOUNT, partner)
    return account_from(partner, doc) if doc else None


def account_of_group(ports: PaymentPort, program: Program, group: str) -> Account | None:
    doc = ports.payments(program.id).payee(GROUP_ACCOUNT, group)
    return account_from(group, doc) if doc else None


def treatments(ports: PaymentPort, program: Program) -> dict[str, Treatment]:
    found = ports.payments(program.id).payees(TREATMENT)
    return {partner: Treatment(doc["treatment"]) for partner, doc in found.items()}


def account_from(owner: str, doc: Mapping[str, Any]) -> Account:
    return Account(
        owner=owner,
        id=doc["id"],
        country=doc["country"],
        tail=doc["tail"],
        fingerprint=doc["fingerprint"],
        changed_at=parse_instant(doc["at"]),
        changed_by=doc["by"],
    )


def closed_account(ports: PaymentPort, program: Program, owner: str, account: BankAccount) -> dict[str, str]:
    """Put an account away, and what may be known of it. `owner`: `partner/nordlicht` or `group/default`."""
    vault = ports.account_vault(program.id)
    return {
        "id": vault.put(owner, account.document()),
        "country": account.iban[:2],
        "tail": account.iban[-TAIL:],
        "fingerprint": vault.digest("iban", account.iban),
    }


def opened_account(ports: PaymentPort, program: Program, owner: str, id_: str) -> BankAccount:
    """KeyError."""
    return BankAccount(**ports.account_vault(program.id).open(owner, id_))
