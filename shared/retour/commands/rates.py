"""Send exchange rates."""

from retour.commands.delivery import CONSOLE_SOURCE, build_delivery
from retour.context import Context
from retour.domain.delivery import DRY_RUN, DeliveryKind
from retour.intake.batch import Batch
from retour.intake.rates import FORMAT_FACT, ingest_rates
from retour.wiring import Hub


def send_rates(context: Context[Hub], body: bytes, *, is_csv: bool = False, is_dry_run: bool = False) -> Batch:
    """Send rates as JSON or CSV. Each is judged on its own; a dry run records none."""
    form = "csv" if is_csv else "json"
    facts = {FORMAT_FACT: form} | ({DRY_RUN: "1"} if is_dry_run else {})
    delivery = build_delivery(context, body, CONSOLE_SOURCE, DeliveryKind.RATES, name=f"rates.{form}", facts=facts)
    return ingest_rates(context.ports, delivery, body)
