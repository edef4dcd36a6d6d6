"""Report actions."""

from dataclasses import replace

from retour.commands.delivery import ACTIONS_SOURCE, build_delivery, queue_as_file, require_readable
from retour.context import Context
from retour.domain.delivery import Delivery, DeliveryKind
from retour.domain.row import Refusal
from retour.errors import InvalidRequestError
from retour.intake import action_reports
from retour.intake.batch import DONE, REFUSED, Batch
from retour.intake.ingest import ingest
from retour.views.ledger_reader import build_reader
from retour.wiring import Hub

SYNC_ACTIONS_MAX = 100
"""Actions that are taken in while the caller waits: each is a few requests to the store, one after the other."""
LAYOUT_FACTS = {"layout": "actions"}


def report_actions(context: Context[Hub], body: bytes, *, is_csv: bool = False, wait: bool = True) -> Batch:
    """As JSON, or as CSV with one row a line. More than SYNC_ACTIONS_MAX are stored and read as a file is, and so is
    what nobody waits for."""
    delivery = build_report(context, body, is_csv=is_csv)
    if not wait or count_actions(delivery, body) > SYNC_ACTIONS_MAX:
        filed = replace(delivery, facts=LAYOUT_FACTS)
        return queue_as_file(context.ports, filed, delivery.name or "actions.json", body)
    if is_csv:
        context.ports.inbox.put(delivery.body_key, body)
    return require_readable(ingest(context.ports, delivery, None if is_csv else body))


def build_report(context: Context[Hub], body: bytes, *, is_csv: bool) -> Delivery:
    delivery = build_delivery(context, body, ACTIONS_SOURCE, DeliveryKind.ACTIONS)
    if not is_csv:
        return delivery
    key = f"raw/{delivery.program}/{delivery.id}"
    return replace(delivery, kind=DeliveryKind.FILE, name="actions.csv", facts=LAYOUT_FACTS, body_key=key)


def count_actions(delivery: Delivery, body: bytes) -> int:
    """About how many: of a CSV as many as it has lines. None where the body is refused as a whole."""
    if delivery.kind is DeliveryKind.FILE:
        return body.count(b"\n")
    read = action_reports.from_json(body)
    return 0 if isinstance(read, Refusal) else len(read)


def dry_run_report(context: Context[Hub], body: bytes, *, is_csv: bool = False) -> Batch:
    if is_csv:
        raise InvalidRequestError("DRY_RUN_NOT_OFFERED", entry="DRY_RUN_OF_CSV")
    delivery = build_report(context, body, is_csv=False)
    read = action_reports.from_json(body)
    results = list(build_reader(context.ports, context.program).report_results(delivery, read))
    batch = Batch(delivery=delivery, state=DONE, results=results)
    if isinstance(read, Refusal):
        batch = replace(batch, state=REFUSED, code=read.code, details=read.details)
    return require_readable(batch)
