"""Rates by the clock: those of the European Central Bank are fetched, and what will be missing tomorrow is told."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from retour.domain.delivery import Channel, Delivery, Kind, delivery_id
from retour.domain.program import Program
from retour.domain.rates import Rate, is_publication_day, last_publication, newest
from retour.domain.times import instant
from retour.intake.rates import FORMAT, published_in, take_rates
from retour.remote import RemoteError
from retour.remote.ecb import DAILY, LAST_90_DAYS, fetch

if TYPE_CHECKING:
    from retour.wiring import Hub

FRANKFURT = ZoneInfo("Europe/Berlin")
PUBLISHED = time(16)
"""About when the bank publishes; asked from then on until they are there."""
ASKED = time(17)
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
        body = fetch(hub, DAILY if last and last_publication(due - timedelta(days=1)) <= last else LAST_90_DAYS)
    except RemoteError as error:
        return error.sentence
    days = published_in(body)
    day = max(days) if days else None
    if day is not None and last is not None and day <= last:
        return None
    delivery = delivery_of(hub, program, body, day)
    if day is not None or state.claim(f"unreadable#{delivery.sha256}", {}):
        take_rates(hub, delivery, body)
    if day is None:
        return f"these are no rates: {delivery.sha256}"
    state.put("published", {"day": day.isoformat()})
    return day.isoformat()


def publication_due(now: datetime) -> date:
    """The day of the newest rates that should be out."""
    there = now.astimezone(FRANKFURT)
    is_out = is_publication_day(there.date()) and there.time() >= PUBLISHED
    return there.date() if is_out else last_publication(there.date() - timedelta(days=1))


def delivery_of(hub: "Hub", program: Program, body: bytes, day: date | None) -> Delivery:
    received_at, sha256 = hub.now(), hashlib.sha256(body).hexdigest()
    return Delivery(
        id=delivery_id(received_at, program.id, SOURCE, sha256),
        program=program.id,
        channel=Channel.PULL,
        source=SOURCE,
        kind=Kind.RATES,
        identity=sha256,
        received_at=received_at,
        sha256=sha256,
        size=len(body),
        name=f"eurofxref-{day or 'unreadable'}.xml",
        sender="European Central Bank",
        facts={FORMAT: "ecb"},
    )


def remind_rates(hub: "Hub", program: Program) -> list[str]:
    """The currencies of which tomorrow no rate holds, listed for people; what has come since is taken off the list."""
    deliveries = hub.deliveries(program.id)
    zone = ZoneInfo(program.time_zone)
    there = hub.now().astimezone(zone)
    for subject, doc in list(deliveries.due(REMINDER)):
        if date.fromisoformat(subject) < there.date() or not [*missing_on(hub, program, date.fromisoformat(subject))]:
            deliveries.forget(REMINDER, instant(doc["deadline"]), subject)
    if there.time() < ASKED:
        return []
    tomorrow = there.date() + timedelta(days=1)
    missing = [*missing_on(hub, program, tomorrow)]
    if missing:
        begins = datetime.combine(tomorrow, time(), zone)
        said: Mapping[str, Any] = {"currencies": ", ".join(missing), "day": tomorrow.isoformat()}
        deliveries.remind(REMINDER, begins, tomorrow.isoformat(), said)
    return missing


def missing_on(hub: "Hub", program: Program, day: date) -> Iterator[str]:
    """The currencies that had a rate once and have none that holds on a day."""
    rates = hub.rates(program.id)
    for currency in sorted({*program.rates, *rates.currencies()} - {program.currency}):
        delivered = rates.newest(currency, day)
        known: list[Rate] = [*program.rates.get(currency, ()), *([delivered.rate] if delivered else [])]
        found = newest(known, day)
        if found is not None and not found.holds_on(day):
            yield currency
