"""Payment batches: propose, approve by a second person, export for the bank, confirm each payment."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from retour.commands.delivery import CONSOLE_SOURCE, build_delivery, identity_of
from retour.context import Context
from retour.domain.delivery import DeliveryKind
from retour.domain.funding.payments import (
    Confirmation,
    PaymentState,
    Proposal,
    Transfer,
    next_state,
    transfer_id,
)
from retour.domain.money import InvalidAmountError, parse_decimal, to_minor, to_text
from retour.domain.program import Program
from retour.domain.times import parse_instant
from retour.errors import ConflictError, InvalidRequestError, NotAllowedError, RequestError, excerpt
from retour.money import acts, bank_files
from retour.money import payments as money
from retour.money.accounts import BankAccount, account_of_group, account_of_partner, opened_account
from retour.money.acts import confirmation_from
from retour.money.statements import billing
from retour.ports import ReadPorts
from retour.sentences import sentence
from retour.store.programs import Principal
from retour.views.documents import Document
from retour.views.parameters import bad_query, reject_unknown_fields
from retour.views.payments import batch_document, find_batch, left_out_document, notes, payment_batch, transfer_document

FINANCE = "finance"
PAYERS = (FINANCE, "merchant", "admin")
"""Roles that propose and confirm batches and manage accounts. Only finance approves and exports."""
DAYS_AHEAD_MAX = 60
PARTNERS_MAX = 5_000
FORMATS: Mapping[str, tuple[Callable[[bank_files.BankFile], bytes], str, str]] = {
    "pain001": (bank_files.pain001, "xml", "application/xml"),
    "csv": (bank_files.plain_csv, "csv", "text/csv; charset=utf-8"),
}
CONFIRMATION_FIELDS = (
    "end_to_end_id", "partner", "billing_group", "status", "day", "reason", "amount", "currency",
    "holder", "iban", "bic", "reference",
)  # fmt: skip
"""Fields of a confirmation row. Those of our own CSV may stay in it."""
ROWS_MAX = 10_000
REASON_MAX = 200


def require_payer(principal: Principal) -> None:
    if principal.role not in PAYERS:
        raise NotAllowedError("FINANCE_ONLY", "propose")


def require_finance(principal: Principal) -> None:
    if principal.role != FINANCE:
        raise NotAllowedError("FINANCE_ONLY")


# Proposal


@dataclass(frozen=True, slots=True)
class ProposeBatch:
    """What to pay on a day: by default today, for all groups and partners."""

    day: Any = None
    billing_group: Any = None
    partners: Any = None


def propose_batch(context: Context[ReadPorts], asked: ProposeBatch) -> Document:
    """Propose a batch of what can be paid on a day. It awaits approval."""
    hub, program = context.ports, context.program
    found = proposal(context, asked)
    if not found.transfers:
        why = [left_out_document(one, found.currency, program.language) for one in found.left_out[:100]]
        raise InvalidRequestError("BATCH_EMPTY", members={"left_out_of_it": why}, day=found.day.isoformat())
    if hub.payments(program.id).batch(found.id) is not None:
        raise ConflictError("BATCH_EXISTS", batch=found.id)
    perform(context, money.proposal_body(found))
    return payment_batch(hub, program, found.id)


def proposal(context: Context[ReadPorts], asked: ProposeBatch) -> Proposal:
    require_payer(context.caller)
    hub, program = context.ports, context.program
    group, partners = asked_group(hub, program, asked.billing_group), asked_partners(asked.partners)
    return money.proposal(hub, program, asked_day(hub, program, asked.day), group, partners)


def preview_batch(context: Context[ReadPorts], asked: ProposeBatch) -> Document:
    """The batch that would be proposed. Nothing is written."""
    program, found = context.program, proposal(context, asked)
    head = {**money.proposal_body(found)["head"], "at": None, "by": None}
    return {
            "id": found.id, "state": "dry run", "day": head["day"], "total": to_text(found.total, found.currency),
            "currency": found.currency, "transfers": len(found.transfers), "left_out": len(found.left_out),
            "paid": 0, "failed": 0, "contents": found.contents, "proposed_at": None, "proposed_by": None,
            "approved_at": None, "approved_by": None,
            "payments": [transfer_document(one, found.id, head, None, False) | notes(one, program)
                         for one in found.transfers],
            "left_out_of_it": [left_out_document(one, found.currency, program.language) for one in found.left_out],
        }  # fmt: skip


def asked_day(hub: ReadPorts, program: Program, value: Any) -> date:
    """The payment day, by default today; neither past nor too far in the future."""
    today = money.today(hub, program)
    if value is None or value == "":
        return today
    try:
        day = date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else None
    except ValueError:
        day = None
    last = today + timedelta(days=DAYS_AHEAD_MAX)
    if day is None or not today <= day <= last:
        raise InvalidRequestError(
            "PAYMENT_FIELD", "day", value=excerpt(value), first=today.isoformat(), last=last.isoformat()
        )
    return day


def asked_group(hub: ReadPorts, program: Program, value: Any) -> str:
    group = value or ""
    if group:
        known = billing(hub, program).names()
        if group not in known:
            raise InvalidRequestError("PAYMENT_FIELD", "billing_group", value=excerpt(group), known=", ".join(known))
    return str(group)


def asked_partners(value: Any) -> list[str]:
    partners = value or []
    if not isinstance(partners, list) or len(partners) > PARTNERS_MAX or not all(isinstance(p, str) for p in partners):
        raise InvalidRequestError("PAYMENT_FIELD", "partners", most=str(PARTNERS_MAX))
    return partners


# Approval


def approve_batch(context: Context[ReadPorts], id_: str, contents: Any = None) -> Document:
    """Approve by finance and another person than the proposer, if nothing has changed, including `contents`."""
    require_finance(context.caller)
    hub, program, name = context.ports, context.program, context.caller.name
    head, stored = find_batch(hub, program, id_), hub.payments(program.id)
    after = stored.approved()
    if stored.approval(id_) is not None:
        raise ConflictError("BATCH_APPROVED", batch=id_)
    if contents not in (None, head["contents"]):
        raise ConflictError("BATCH_CHANGED", "contents", batch=id_)
    if head["by"] == name:
        raise NotAllowedError("FOUR_EYES", name=name)
    day = date.fromisoformat(head["day"])
    if day < money.today(hub, program):
        raise ConflictError("BATCH_STALE", paid_day=head["day"], batch=id_)
    batch = acts.transfers(stored, id_)
    changed = money.changed_since(hub, program, day, batch)
    if changed:
        raise changed_problem(id_, changed, program)
    own = [one.partner for one in batch if changed_by(hub, program, one.partner) == name]
    if own:
        raise NotAllowedError("FOUR_EYES", "account", name=name, partner=own[0])
    act = {"act": "approve", "batch": id_, "contents": head["contents"], "after": after}
    refuse(perform(context, act), id_)
    return payment_batch(hub, program, id_)


def changed_by(hub: ReadPorts, program: Program, partner: str) -> str:
    found = account_of_partner(hub, program, partner)
    return found.changed_by if found else ""


def changed_problem(
    id_: str, changed: Sequence[tuple[Transfer, str, Mapping[str, Any]]], program: Program
) -> RequestError:
    """The changes since the proposal, the first in the sentence and all in the document."""
    told = [
        {
            "partner": one.partner,
            "billing_group": one.group,
            "code": code,
            "explanation": sentence(code, details, program.language),
        }
        for one, code, details in changed[:100]
    ]
    first = told[0]
    return ConflictError(
        "BATCH_CHANGED", members={"changed": told}, batch=id_, partner=first["partner"], why=first["explanation"]
    )


def refuse(done: Document, id_: str) -> None:
    if done["state"] == acts.REFUSED:
        raise ConflictError(done["code"], "contents" if done["code"] == "BATCH_CHANGED" else "", batch=id_)


# Export


@dataclass(frozen=True, slots=True)
class Export:
    name: str
    body: bytes
    media_type: str


def export_batch(context: Context[ReadPorts], id_: str, format_: str) -> Export:
    """An approved batch as a file for the bank. The export is recorded as an act."""
    require_finance(context.caller)
    if format_ not in FORMATS:
        raise bad_query("format", format_, "word", known=", ".join(FORMATS))
    write, ending, media_type = FORMATS[format_]
    file = bank_file(context.ports, context.program, id_, needs_payer=format_ == "pain001")
    body = write(file)
    perform(context, {"act": "export", "batch": id_, "format": format_})
    return Export(f"{bank_files.message_id(file)}.{ending}", body, media_type)


def bank_file(hub: ReadPorts, program: Program, id_: str, *, needs_payer: bool) -> bank_files.BankFile:
    head, stored = find_batch(hub, program, id_), hub.payments(program.id)
    approval = stored.approval(id_)
    if approval is None:
        raise ConflictError("BATCH_NOT_APPROVED", batch=id_)
    day, ordered = date.fromisoformat(head["day"]), []
    for one in acts.transfers(stored, id_):
        if needs_payer and one.amount > bank_files.SEPA_MOST:
            raise ConflictError("EXPORT_IMPOSSIBLE", "amount", partner=one.partner)
        ordered.append(bank_files.Ordered(one, account_in_batch(hub, program, one)))
    if needs_payer and head["currency"] != bank_files.SEPA_CURRENCY:
        raise ConflictError("EXPORT_IMPOSSIBLE", "currency", currency=head["currency"])
    payers = (
        {group: payer(hub, program, group, day) for group in sorted({one.transfer.group for one in ordered})}
        if needs_payer
        else {}
    )
    return bank_files.BankFile(id_, day, head["currency"], parse_instant(approval["at"]), payers, ordered)


def account_in_batch(hub: ReadPorts, program: Program, one: Transfer) -> BankAccount:
    """The approved account. If the partner has another one since, nothing is paid to either."""
    standing = account_of_partner(hub, program, one.partner)
    if standing is None or standing.id != one.account:
        raise ConflictError("EXPORT_IMPOSSIBLE", "account_changed", partner=one.partner)
    try:
        return opened_account(hub, program, f"partner/{one.partner}", one.account)
    except KeyError:
        raise ConflictError("EXPORT_IMPOSSIBLE", "account_lost", partner=one.partner) from None


def payer(hub: ReadPorts, program: Program, group: str, day: date) -> bank_files.Payer:
    document = money.current_document(hub, program)
    name = (document.get("billing_groups", {}).get(group) or {}).get("payer", {}).get("name", "")
    account = account_of_group(hub, program, group)
    if not name:
        raise ConflictError("EXPORT_IMPOSSIBLE", "payer_name", group=group)
    if account is None:
        raise ConflictError("EXPORT_IMPOSSIBLE", "payer_account", group=group)
    opened = opened_account(hub, program, f"group/{group}", account.id)
    return bank_files.Payer(name, opened, money.execution_day(document, group, day))


# Confirmation


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a confirmation, or with `code` the reason why it is refused."""

    place: str
    partner: str = ""
    transfer: Transfer | None = None
    told: Confirmation | None = None
    code: str = ""
    details: Mapping[str, str] = None  # type: ignore[assignment]


ConfirmationValues = Mapping[str, Any] | bytes
"""Fields `results` with rows, or `status` for all payments of the batch; or a CSV with a row per payment."""


def confirm_batch(
    context: Context[ReadPorts], id_: str, said: ConfirmationValues, *, is_dry_run: bool = False
) -> Document:
    """Confirm the payments of a batch. Each row is judged on its own, and valid ones are carried out."""
    require_payer(context.caller)
    hub, program = context.ports, context.program
    head, stored = find_batch(hub, program, id_), hub.payments(program.id)
    if stored.approval(id_) is None:
        raise ConflictError("BATCH_NOT_APPROVED", batch=id_)
    transfers, standing = acts.transfers(stored, id_), stored.results(id_)
    today = money.today(hub, program)
    read = [*read_rows(said, head, id_, transfers, today)]
    rows = [*judged(read, standing)]
    good = [row for row in rows if not row.code and row.transfer and row.told]
    changed = [row for row in good if outcome_of(row, standing) == acts.APPLIED]
    state = acts.DONE
    if changed and not is_dry_run:
        results = [[row.transfer.name, row.told.state.value, row.told.day.isoformat(), row.told.reason]
                   for row in good if row.transfer and row.told]  # fmt: skip
        state = perform(context, {"act": "confirm", "batch": id_, "results": results})["state"]
    outcomes = [confirmation_document(row, standing, program.language) for row in rows]
    counts: dict[str, int] = {}
    for one in outcomes:
        counts[one["outcome"]] = counts.get(one["outcome"], 0) + 1
    shown = batch_document(hub, program, id_, head)
    return {"state": state, "counts": counts, "outcomes": outcomes, "payment_batch": shown}


def read_rows(
    said: ConfirmationValues, head: Document, id_: str, transfers: Sequence[Transfer], today: date
) -> Iterator[Row]:
    day = date.fromisoformat(head["day"])
    by_id = {transfer_id(id_, one, day): one for one in transfers}
    by_partner: dict[str, list[Transfer]] = {}
    for one in transfers:
        by_partner.setdefault(one.partner, []).append(one)
    given = csv_rows(said) if isinstance(said, bytes) else json_rows(said, transfers)
    for place, row in given:
        yield read_row(place, row, head["currency"], by_id, by_partner, today)


def json_rows(given: Mapping[str, Any], transfers: Sequence[Transfer]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows from `results`, or one per payment from `status`."""
    rows = given.get("results")
    if rows is None and given.get("status"):
        own = {name: given[name] for name in ("status", "day", "reason") if name in given}
        rows = [{"partner": one.partner, "billing_group": one.group, **own} for one in transfers]
    if not isinstance(rows, list) or not 1 <= len(rows) <= ROWS_MAX:
        raise InvalidRequestError("CONFIRMATION_NEEDED", most=str(ROWS_MAX))
    for place, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InvalidRequestError("CONFIRMATION_NEEDED", "row", place=str(place))
        reject_unknown_fields(row, CONFIRMATION_FIELDS)
        yield str(place), row


def csv_rows(body: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of a CSV with these columns, separated by commas or semicolons; the place is the line."""
    try:
        lines = body.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InvalidRequestError("NOT_UTF8", "body") from None
    delimiter = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
    reader = csv.reader(lines, delimiter=delimiter)
    header = [name.strip().lower() for name in next(reader, [])]
    if "status" not in header or not {"partner", "end_to_end_id"} & {*header} or len({*header}) < len(header):
        raise InvalidRequestError("CONFIRMATION_NEEDED", "header", header=excerpt(",".join(header)))
    unknown = next((name for name in header if name not in CONFIRMATION_FIELDS), None)
    if unknown is not None:
        raise InvalidRequestError(
            "CONFIRMATION_NEEDED", "column", column=excerpt(unknown), known=", ".join(CONFIRMATION_FIELDS)
        )
    for number, cells in enumerate(reader, 2):
        if number > ROWS_MAX + 1:
            raise InvalidRequestError("CONFIRMATION_NEEDED", most=str(ROWS_MAX))
        if any(cells):
            width = {"": f"{len(cells)} {len(header)}"} if len(cells) != len(header) else {}
            yield str(number), width or dict(zip(header, (cell.strip() for cell in cells), strict=True))


def read_row(
    place: str,
    row: Mapping[str, Any],
    currency: str,
    by_id: Mapping[str, Transfer],
    by_partner: Mapping[str, Sequence[Transfer]],
    today: date,
) -> Row:
    if "" in row:
        cells, columns = row[""].split()
        return Row(place, code="CONFIRMATION_WIDTH", details={"cells": cells, "columns": columns})
    said = {name: str(value).strip() for name, value in row.items() if value not in (None, "")}
    partner, group = said.get("partner", ""), said.get("billing_group", "")

    def wrong(code: str, **details: str) -> Row:
        return Row(place, partner, code=code, details={"partner": excerpt(partner), **details})

    named = [by_id[said["end_to_end_id"]]] if said.get("end_to_end_id") in by_id else []
    found = named or [one for one in by_partner.get(partner, ()) if group in ("", one.group)]
    found = [one for one in found if partner in ("", one.partner) and group in ("", one.group)]
    if not found or ("end_to_end_id" in said and not named):
        return wrong("CONFIRMATION_UNKNOWN", value=excerpt(said.get("end_to_end_id", partner)))
    if len(found) > 1:
        return wrong("CONFIRMATION_AMBIGUOUS", groups=", ".join(one.group for one in found))
    partner = found[0].partner
    status = said.get("status", "").lower()
    if status not in (PaymentState.PAID, PaymentState.FAILED):
        return wrong("CONFIRMATION_STATUS", value=excerpt(said.get("status", "")))
    reason = said.get("reason", "")
    if status == PaymentState.FAILED and not reason:
        return wrong("CONFIRMATION_REASON")
    if "amount" in said and (owed := other_amount(said, found[0], currency)):
        return wrong("CONFIRMATION_AMOUNT", value=excerpt(said["amount"]), amount=owed)
    try:
        day = date.fromisoformat(said["day"]) if "day" in said else today
    except ValueError:
        day = date.max
    if day > today:
        return wrong("CONFIRMATION_DAY", value=excerpt(said["day"]), last=today.isoformat())
    told = Confirmation(state=PaymentState(status), day=day, reason=reason[:REASON_MAX] if status == "failed" else "")
    return Row(place, partner, found[0], told)


def other_amount(said: Mapping[str, str], one: Transfer, currency: str) -> str:
    """The payment's amount if the row states another amount or currency; otherwise empty."""
    try:
        is_same = to_minor(parse_decimal(said["amount"]), currency) == one.amount
    except InvalidAmountError:
        is_same = False
    if is_same and said.get("currency", currency).upper() == currency:
        return ""
    return f"{to_text(one.amount, currency)} {currency}"


def judged(rows: Iterable[Row], standing: Mapping[str, Document]) -> Iterator[Row]:
    """Rows refused because of the current state, or of an earlier row in the same file."""
    seen: dict[str, Confirmation] = {}
    for row in rows:
        if row.code or row.transfer is None or row.told is None:
            yield row
            continue
        name = row.transfer.name
        if name in seen and seen[name] != row.told:
            yield replace(row, code="CONFIRMATION_TWICE", details={"partner": row.partner})
            continue
        seen[name] = row.told
        code = outcome_of(row, standing)
        yield replace(row, code=code, details={"partner": row.partner}) if code.isupper() else row


def outcome_of(row: Row, standing: Mapping[str, Document]) -> str:
    assert row.transfer is not None and row.told is not None
    before = standing.get(row.transfer.name)
    return next_state(confirmation_from(before) if before else None, row.told)


def confirmation_document(row: Row, standing: Mapping[str, Document], language: str) -> Document:
    if row.code:
        said = {"code": row.code, "explanation": sentence(row.code, row.details, language)}
        return {"record": row.place, "partner": row.partner, "outcome": "refused", **said}
    assert row.transfer is not None and row.told is not None
    return {
        "record": row.place,
        "partner": row.partner,
        "billing_group": row.transfer.group,
        "outcome": outcome_of(row, standing),
        "status": row.told.state.value,
    }


# Acts as deliveries


def perform(context: Context[ReadPorts], act: Document) -> Document:
    """Store an act as a delivery, then carry it out."""
    body = json.dumps(act, ensure_ascii=False).encode("utf-8", "surrogatepass")
    identity = identity_of(context, act["act"])
    delivery = build_delivery(context, body, CONSOLE_SOURCE, DeliveryKind.MONEY, identity, name=f"{act['act']}.json")
    return acts.perform(context.ports, delivery, body)
