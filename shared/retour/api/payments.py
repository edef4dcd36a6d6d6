"""Payment batches, payout accounts and tax treatments, over HTTP."""

from retour.api.calls import CSV_TYPES, JSON_MAX, JSON_TYPES, Call
from retour.commands import payees, payments
from retour.commands.payments import Export, ProposeBatch, require_finance, require_payer
from retour.context import Context
from retour.domain.program import Program
from retour.views.documents import Document
from retour.views.payments import find_batch
from retour.views.payments import list_payments as list_batches
from retour.wiring import Hub


def list_payments(hub: Hub, call: Call, program: Program) -> Document:
    return list_batches(hub, program, call.limit(), call.query.get("cursor", ""))


def propose_batch(context: Context[Hub], call: Call) -> Document:
    require_payer(context.caller)
    given = call.document("day", "billing_group", "partners", most=JSON_MAX)
    asked = ProposeBatch(given.get("day"), given.get("billing_group"), given.get("partners"))
    return payments.preview_batch(context, asked) if call.is_dry_run else payments.propose_batch(context, asked)


def approve_batch(context: Context[Hub], call: Call, id_: str) -> Document:
    require_finance(context.caller)
    return payments.approve_batch(context, id_, call.document("contents").get("contents"))


def export_batch(context: Context[Hub], call: Call, id_: str) -> Export:
    return payments.export_batch(context, id_, call.query.get("format", ""))


def confirm_batch(context: Context[Hub], call: Call, id_: str) -> Document:
    require_payer(context.caller)
    find_batch(context.ports, context.program, id_)
    said: payments.ConfirmationValues
    if call.media_type in CSV_TYPES:
        said = call.read_body(JSON_MAX, (*JSON_TYPES, *CSV_TYPES))
    else:
        said = call.document("results", "status", "day", "reason", most=JSON_MAX)
    return payments.confirm_batch(context, id_, said, is_dry_run=call.is_dry_run)


def put_account(context: Context[Hub], call: Call) -> Document:
    require_payer(context.caller)
    return payees.put_account(context, call.document(*payees.ACCOUNT_FIELDS))


def put_treatment(context: Context[Hub], call: Call) -> Document:
    require_payer(context.caller)
    return payees.put_treatment(context, call.document(*payees.TAX_FIELDS))
