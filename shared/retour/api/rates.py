"""Receive and show exchange rates."""

from datetime import date
from typing import Any

from retour.api.authorization import build_delivery
from retour.api.calls import CONSOLE_SOURCE, CSV_TYPES, JSON_MAX, JSON_TYPES, Call, bad_query
from retour.domain.calendar import local_day
from retour.domain.delivery import DRY_RUN, DeliveryKind
from retour.domain.program import Program
from retour.domain.rates import newest_rate
from retour.domain.times import format_instant
from retour.intake.rates import FORMAT_FACT, ingest_rates
from retour.store.programs import Principal
from retour.views import documents
from retour.views.documents import Document
from retour.wiring import Hub


def submit_rates(hub: Hub, call: Call, principal: Principal, program: Program) -> Document:
    """Rates as JSON or CSV: a delivery, of which each rate is judged by itself."""
    body = call.read_body(JSON_MAX, (*JSON_TYPES, *CSV_TYPES))
    facts = {FORMAT_FACT: "csv" if call.media_type in CSV_TYPES else "json"}
    delivery = build_delivery(
        call, hub, principal, program.id, CONSOLE_SOURCE, DeliveryKind.RATES, name=f"rates.{facts[FORMAT_FACT]}",
        facts=facts | ({DRY_RUN: "1"} if call.is_dry_run else {}),
    )  # fmt: skip
    batch = ingest_rates(hub, delivery, body)
    if call.is_dry_run:
        return documents.dry_run_document(batch, program.language)
    return documents.answer_document(batch, program.language)


def list_rates(hub: Hub, call: Call, program: Program) -> Document:
    """What a unit of each currency is on a day, by default today: the rate that began last, whether or not it ended."""
    asked = call.query.get("day")
    try:
        day = date.fromisoformat(asked) if asked else local_day(hub.now(), program.time_zone)
    except ValueError:
        raise bad_query("day", asked or "", "day") from None
    rates = hub.rates(program.id)
    currencies = sorted({*program.rates, *rates.currencies()} - {program.currency})
    return {
        "currency": program.currency,
        "day": day.isoformat(),
        "fx_missing": program.fx_missing.value,
        "items": [rate_document(hub, program, currency, day) for currency in currencies],
        "next": None,
    }


def rate_document(hub: Hub, program: Program, currency: str, day: date) -> dict[str, Any]:
    delivered = hub.rates(program.id).newest(currency, day)
    declared = program.rates.get(currency, ())
    found = newest_rate([*declared, *([delivered.rate] if delivered else [])], day)
    by_delivery = delivered if delivered and found is delivered.rate else None
    return {
        "currency": currency,
        "rate": f"{found.rate:f}" if found else None,
        "from": found.valid_from.isoformat() if found else None,
        "until": found.until.isoformat() if found and found.until else None,
        "holds": found is not None and found.holds_on(day),
        "batch": by_delivery.delivery if by_delivery else None,
        "recorded_at": format_instant(by_delivery.recorded_at) if by_delivery else None,
    }
