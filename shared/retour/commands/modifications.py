"""Send modifications."""

from retour.commands.delivery import build_delivery, queue_as_file, require_readable
from retour.context import Context
from retour.domain.delivery import DeliveryKind
from retour.domain.program import Source
from retour.intake.batch import Batch
from retour.intake.dry_run import dry_run_delivery
from retour.intake.ingest import ingest
from retour.wiring import Hub


def send_modifications(context: Context[Hub], source: Source, body: bytes, *, wait: bool = True) -> Batch:
    """Send records as JSON, processed directly or, with `wait` false, like a file."""
    delivery = build_delivery(context, body, source.name, DeliveryKind.MODIFICATIONS)
    if not wait:
        return queue_as_file(context.ports, delivery, "modifications.json", body)
    return require_readable(ingest(context.ports, delivery, body))


def dry_run_modifications(context: Context[Hub], source: Source, body: bytes) -> Batch:
    delivery = build_delivery(context, body, source.name, DeliveryKind.MODIFICATIONS)
    return require_readable(dry_run_delivery(context.ports, delivery, body))
