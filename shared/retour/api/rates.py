"""Rates of foreign currencies, as the API takes and shows them."""

from datetime import date
from typing import Any

from retour.api import documents
from retour.api.admission import delivery_of
from retour.api.calls import CONSOLE, CSV_TYPES, JSON_MAX, JSON_TYPES, Call, bad_query
from retour.api.documents import Document
from retour.domain.calendar import local_day
from retour.domain.delivery import DRY_RUN, Kind
from retour.domain.program import Program
from retour.domain.rates import newest
from retour.domain.times import text
from retour.intake.rates import FORMAT, take_rates
from retour.store.programs import Principal
from retour.wiring import Hub


def send(hub: Hub, call: Call, principal: Principal, opened: Program) -> Document:
    """Rates as JSON or CSV: a delivery, of which each rate is judged by itself."""
    body = call.within(JSON_MAX, (*JSON_TYPES, *CSV_TYPES))
    facts = {FORMAT: "csv" if call.media_type in CSV_TYPES else "json"}
    delivery = delivery_of(
        call, hub, principal, opened.id, CONSOLE, Kind.RATES, name=f"rates.{facts[FORMAT]}",
        facts=facts | ({DRY_RUN: "1"} if call.is_dry_run else {}),
    )  # fmt: skip
    batch = take_rates(hub, delivery, body)
    if call.is_dry_run:
        return documents.rehearsal_document(batch, opened.language)
    return documents.answer_document(batch, opened.language)


def shown(hub: Hub, call: Call, opened: Program) -> Document:
    """What a unit of each currency is on a day, by default today: the rate that began last, whether or not it ended."""
    asked = call.query.get("day")
    try:
        day = date.fromisoformat(asked) if asked else local_day(hub.now(), opened.time_zone)
    except ValueError:
        raise bad_query("day", asked or "", "day") from None
    rates = hub.rates(opened.id)
    currencies = sorted({*opened.rates, *rates.currencies()} - {opened.currency})
    return {
        "currency": opened.currency,
        "day": day.isoformat(),
        "fx_missing": opened.fx_missing.value,
        "items": [shown_one(hub, opened, currency, day) for currency in currencies],
        "next": None,
    }


def shown_one(hub: Hub, opened: Program, currency: str, day: date) -> dict[str, Any]:
    delivered = hub.rates(opened.id).newest(currency, day)
    declared = opened.rates.get(currency, ())
    found = newest([*declared, *([delivered.rate] if delivered else [])], day)
    by_delivery = delivered if delivered and found is delivered.rate else None
    return {
        "currency": currency,
        "rate": f"{found.rate:f}" if found else None,
        "from": found.valid_from.isoformat() if found else None,
        "until": found.until.isoformat() if found and found.until else None,
        "holds": found is not None and found.holds_on(day),
        "batch": by_delivery.delivery if by_delivery else None,
        "recorded_at": text(by_delivery.recorded_at) if by_delivery else None,
    }
