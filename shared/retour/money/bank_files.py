"""A batch as files for a bank: pain.001.001.09 of ISO 20022 (SEPA credit transfers), and plain CSV.

A batch written again is the same file, byte for byte: every id and time in it follows from the batch.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from xml.etree import ElementTree as ET

from retour.domain.funding.payments import Transfer, transfer_id
from retour.domain.funding.sepa import sepa_text
from retour.domain.money import to_text
from retour.money.accounts import BankAccount

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
SEPA_CURRENCY = "EUR"
SEPA_MOST = 99_999_999_999
"""999,999,999.99, in cents."""
NAME_MAX, TEXT_MAX, ID_MAX = 70, 140, 35
COLUMNS = (
    "end_to_end_id", "partner", "billing_group", "holder", "iban", "bic", "amount", "currency", "reference", "day",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays for a billing group: its legal name, its account, and when its bank is asked to pay."""

    name: str
    account: BankAccount
    day: date


@dataclass(frozen=True, slots=True)
class Ordered:
    """A transfer with the account it goes to."""

    transfer: Transfer
    account: BankAccount


@dataclass(frozen=True, slots=True)
class BankFile:
    """An approved batch with everything that a bank must know of it."""

    batch: str
    day: date
    currency: str
    approved_at: datetime
    payers: Mapping[str, Payer]
    ordered: Sequence[Ordered]

    def id_of(self, one: Transfer) -> str:
        return transfer_id(self.batch, one, self.day)


def pain001(file: BankFile) -> bytes:
    """One payment information block for each billing group, one transaction for each partner in it."""
    root = ET.Element("Document", xmlns=NAMESPACE)
    initiation = ET.SubElement(root, "CstmrCdtTrfInitn")
    payers = [*file.payers.values()]
    header = ET.SubElement(initiation, "GrpHdr")
    put(header, "MsgId", message_id(file))
    put(header, "CreDtTm", f"{file.approved_at:%Y-%m-%dT%H:%M:%S}Z")
    put(header, "NbOfTxs", str(len(file.ordered)))
    put(header, "CtrlSum", total(file, file.ordered))
    put(ET.SubElement(header, "InitgPty"), "Nm", sepa_text(payers[0].name, NAME_MAX))
    for number, (group, some) in enumerate(by_group(file.ordered), 1):
        initiation.append(payment_information(file, f"{message_id(file)}-{number}", file.payers[group], some))
    ET.indent(root, " ")
    text: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text + b"\n"


def message_id(file: BankFile) -> str:
    return f"RT{file.day:%Y%m%d}{file.batch.rpartition('~')[2].upper()}"[:ID_MAX]


def by_group(ordered: Iterable[Ordered]) -> Iterator[tuple[str, list[Ordered]]]:
    found = sorted(ordered, key=lambda one: (one.transfer.group, one.transfer.partner))
    return ((group, [*some]) for group, some in groupby(found, key=lambda one: one.transfer.group))


def payment_information(file: BankFile, id_: str, payer: Payer, some: Sequence[Ordered]) -> ET.Element:
    block = ET.Element("PmtInf")
    put(block, "PmtInfId", id_)
    put(block, "PmtMtd", "TRF")
    # Each payment by itself on the account's statement, so that what comes back is recognised.
    put(block, "BtchBookg", "false")
    put(block, "NbOfTxs", str(len(some)))
    put(block, "CtrlSum", total(file, some))
    put(ET.SubElement(ET.SubElement(block, "PmtTpInf"), "SvcLvl"), "Cd", "SEPA")
    put(ET.SubElement(block, "ReqdExctnDt"), "Dt", payer.day.isoformat())
    put(ET.SubElement(block, "Dbtr"), "Nm", sepa_text(payer.name, NAME_MAX))
    put(ET.SubElement(ET.SubElement(block, "DbtrAcct"), "Id"), "IBAN", payer.account.iban)
    agent = ET.SubElement(ET.SubElement(block, "DbtrAgt"), "FinInstnId")
    if payer.account.bic:
        put(agent, "BICFI", payer.account.bic)
    else:
        put(ET.SubElement(agent, "Othr"), "Id", "NOTPROVIDED")
    put(block, "ChrgBr", "SLEV")
    for one in some:
        block.append(transaction(file, one))
    return block


def transaction(file: BankFile, one: Ordered) -> ET.Element:
    found = ET.Element("CdtTrfTxInf")
    put(ET.SubElement(found, "PmtId"), "EndToEndId", file.id_of(one.transfer))
    amount = put(ET.SubElement(found, "Amt"), "InstdAmt", to_text(one.transfer.amount, file.currency))
    amount.set("Ccy", file.currency)
    # Without a BIC the whole block is left out: several banks refuse NOTPROVIDED there.
    if one.account.bic:
        put(ET.SubElement(ET.SubElement(found, "CdtrAgt"), "FinInstnId"), "BICFI", one.account.bic)
    put(ET.SubElement(found, "Cdtr"), "Nm", sepa_text(one.account.holder, NAME_MAX))
    put(ET.SubElement(ET.SubElement(found, "CdtrAcct"), "Id"), "IBAN", one.account.iban)
    put(ET.SubElement(found, "RmtInf"), "Ustrd", sepa_text(reference(one.transfer), TEXT_MAX))
    return found


def put(parent: ET.Element, name: str, text: str) -> ET.Element:
    found = ET.SubElement(parent, name)
    found.text = text
    return found


def total(file: BankFile, some: Iterable[Ordered]) -> str:
    return to_text(sum(one.transfer.amount for one in some), file.currency)


def reference(one: Transfer) -> str:
    """What the partner reads beside the money: the statements that it pays."""
    return " ".join(one.numbers)


def plain_csv(file: BankFile) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    for group, some in by_group(file.ordered):
        for one in some:
            row = {
                "end_to_end_id": file.id_of(one.transfer),
                "partner": one.transfer.partner,
                "billing_group": group,
                **one.account.document(),
                "amount": to_text(one.transfer.amount, file.currency),
                "currency": file.currency,
                "reference": reference(one.transfer),
                "day": (file.payers[group].day if group in file.payers else file.day).isoformat(),
            }
            writer.writerow({name: plain(str(row[name])) for name in COLUMNS})
    return ("\N{BYTE ORDER MARK}" + out.getvalue()).encode()


def plain(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
