"""Scheduled rates: fetch those of the ECB, and report rates missing for tomorrow."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import Program
from retour.domain.rates import Rate, is_publication_day, last_publication, newest_rate
from retour.domain.times import parse_instant
from retour.intake.rates import FORMAT_FACT, ingest_rates, parse_ecb
from retour.remote import RemoteError
from retour.remote.ecb import DAILY, LAST_90_DAYS, fetch

if TYPE_CHECKING:
    from retour.wiring import Hub

FRANKFURT = ZoneInfo("Europe/Berlin")
PUBLICATION_TIME = time(16)
"""The approximate publication time. Rates are requested from then on until they are available."""
REMINDER_TIME = time(17)
"""When a rate missing for tomorrow is listed, in the program's time zone."""
SOURCE = "ecb.rates"
"""A source name that merchants cannot use."""
REMINDER = "rate"


def pull_rates(hub: "Hub", program: Program) -> str | None:
    """Fetch newly published rates if the program uses the ECB's. Returns their day, or None.

    On failure returns the error; the next run retries. A response without rates is stored once as a refused delivery.
    """
    if program.fx_pull != "ecb" or not hub.settings.outward:
        return None
    state = hub.state(program.id, SOURCE)
    kept = state.get("published")
    last = date.fromisoformat(kept["day"]) if kept else None
    due = publication_due(hub.now())
    if last is not None and last >= due:
        return None
    try:
        body = fetch(
            hub.settings.ecb, DAILY if last and last_publication(due - timedelta(days=1)) <= last else LAST_90_DAYS
        )
    except RemoteError as error:
        return error.sentence
    days = parse_ecb(body)
    day = max(days) if days else None
    if day is not None and last is not None and day <= last:
        return None
    delivery = build_delivery(hub, program, body, day)
    if day is not None or state.claim(f"unreadable#{delivery.sha256}", {}):
        ingest_rates(hub, delivery, body)
    if day is None:
        return f"these are no rates: {delivery.sha256}"
    state.put("published", {"day": day.isoformat()})
    return day.isoformat()


def publication_due(now: datetime) -> date:
    """The day of the newest rates that should be published."""
    there = now.astimezone(FRANKFURT)
    is_out = is_publication_day(there.date()) and there.time() >= PUBLICATION_TIME
    return there.date() if is_out else last_publication(there.date() - timedelta(days=1))


def build_delivery(hub: "Hub", program: Program, body: bytes, day: date | None) -> Delivery:
    return Delivery.create(
        body,
        received_at=hub.now(),
        program=program.id,
        channel=Channel.PULL,
        source=SOURCE,
        kind=DeliveryKind.RATES,
        name=f"eurofxref-{day or 'unreadable'}.xml",
        sender="European Central Bank",
        facts={FORMAT_FACT: "ecb"},
    )


def remind_missing_rates(hub: "Hub", program: Program) -> list[str]:
    """List currencies without a rate for tomorrow, and remove those that have one by now. Returns them."""
    deliveries = hub.deliveries(program.id)
    zone = ZoneInfo(program.time_zone)
    there = hub.now().astimezone(zone)
    for subject, doc in list(deliveries.due(REMINDER)):
        if date.fromisoformat(subject) < there.date() or not [
            *currencies_without_rate(hub, program, date.fromisoformat(subject))
        ]:
            deliveries.forget(REMINDER, parse_instant(doc["deadline"]), subject)
    if there.time() < REMINDER_TIME:
        return []
    tomorrow = there.date() + timedelta(days=1)
    missing = [*currencies_without_rate(hub, program, tomorrow)]
    if missing:
        begins = datetime.combine(tomorrow, time(), zone)
        said: Mapping[str, Any] = {"currencies": ", ".join(missing), "day": tomorrow.isoformat()}
        deliveries.remind(REMINDER, begins, tomorrow.isoformat(), said)
    return missing


def currencies_without_rate(hub: "Hub", program: Program, day: date) -> Iterator[str]:
    """Currencies that had a rate once but have none for a day."""
    rates = hub.rates(program.id)
    for currency in sorted({*program.rates, *rates.currencies()} - {program.currency}):
        delivered = rates.newest(currency, day)
        known: list[Rate] = [*program.rates.get(currency, ()), *([delivered.rate] if delivered else [])]
        found = newest_rate(known, day)
        if found is not None and not found.holds_on(day):
            yield currency
