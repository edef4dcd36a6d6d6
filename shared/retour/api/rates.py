"""Receive and show exchange rates."""

from datetime import date
from typing import Any

from retour.api.calls import CSV_TYPES, JSON_MAX, JSON_TYPES, Call
from retour.commands import rates
from retour.context import Context
from retour.domain.calendar import local_day
from retour.domain.program import Program
from retour.domain.rates import newest_rate
from retour.domain.times import format_instant
from retour.views import documents
from retour.views.documents import Document
from retour.views.parameters import bad_query
from retour.views.schemas import BatchAnswerDocument
from retour.wiring import Hub


def send_rates(context: Context[Hub], call: Call) -> BatchAnswerDocument:
    body, language = call.read_body(JSON_MAX, (*JSON_TYPES, *CSV_TYPES)), context.program.language
    batch = rates.send_rates(context, body, is_csv=call.media_type in CSV_TYPES, is_dry_run=call.is_dry_run)
    return (
        documents.dry_run_document(batch, language) if call.is_dry_run else documents.answer_document(batch, language)
    )


def list_rates(hub: Hub, call: Call, program: Program) -> Document:
    """The rate of each currency on a day, by default today: the latest begun, even if it has ended."""
    asked = call.query.get("day")
    try:
        day = date.fromisoformat(asked) if asked else local_day(hub.now(), program.time_zone)
    except ValueError:
        raise bad_query("day", asked or "", "day") from None
    currencies = sorted({*program.rates, *hub.rates(program.id).currencies()} - {program.currency})
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
