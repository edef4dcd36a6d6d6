"""Scheduled rates: fetch those of the European Central Bank, and report what will be missing tomorrow."""

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
"""About when the bank publishes; asked from then on until they are there."""
REMINDER_TIME = time(17)
"""From when on the day before, in the program's time zone, a rate that is not there is told to people."""
SOURCE = "ecb.rates"
"""What no source of a merchant can be called."""
REMINDER = "rate"


def pull_rates(hub: "Hub", program: Program) -> str | None:
    """The day of the rates that were newly fetched, if the program wants the bank's and it has published since.

    Where they could not be had, what is wrong: they are asked for again with the next tick. What was answered and are
    no rates is kept once as a delivery that was refused.
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
    """The day of the newest rates that should be out."""
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
    """The currencies of which tomorrow no rate holds, listed for people; what has come since is taken off the list."""
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
    """The currencies that had a rate once and have none that holds on a day."""
    rates = hub.rates(program.id)
    for currency in sorted({*program.rates, *rates.currencies()} - {program.currency}):
        delivered = rates.newest(currency, day)
        known: list[Rate] = [*program.rates.get(currency, ()), *([delivered.rate] if delivered else [])]
        found = newest_rate(known, day)
        if found is not None and not found.holds_on(day):
            yield currency
