"""retour clock: the business clock of a hub on this machine, shown or advanced."""

import argparse
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from retour.cli.client import Hub, Refused, Usage
from retour.cli.hub import hub_of
from retour.cli.screen import say, show_json
from retour.domain.times import instant, text

PATH = "/local/clock"
DURATION = re.compile(r"(?:(\d{1,6})w)?(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII)
UNITS = ("weeks", "days", "hours", "minutes", "seconds")


def clock(arguments: argparse.Namespace) -> int:
    hub = hub_of(arguments)
    shown = shown_by(hub)
    if arguments.what == "advance":
        shown = hub.post(PATH, {"to": text(target(arguments, instant(shown["now"])))})
    elif arguments.by or arguments.to:
        raise Usage("To set the clock say: retour clock advance 31d, or retour clock advance --to ISO")
    if arguments.json:
        show_json(shown)
        return 0
    ahead = timedelta(seconds=shown["offset_seconds"])
    say(f"The business clock shows {shown['now']}, {difference(ahead)}.")
    if arguments.what == "advance":
        say("What became due by then was looked after: locks, visits, expiries, statements.", style="dim")
    return 0


def shown_by(hub: Hub) -> dict[str, Any]:
    try:
        shown: dict[str, Any] = hub.get(PATH)
    except Refused as refused:
        if refused.status == 404:
            raise Usage("This hub has the real time only; a business clock of its own is for `retour up`.") from None
        raise
    return shown


def target(arguments: argparse.Namespace, now: datetime) -> datetime:
    if bool(arguments.by) == bool(arguments.to):
        raise Usage("By how much, or to when? retour clock advance 31d, or retour clock advance --to ISO")
    return moment(arguments.to) if arguments.to else now + duration(arguments.by)


def duration(said: str) -> timedelta:
    found = DURATION.fullmatch(said)
    if not said or found is None:
        raise Usage(f"{said!r} is no duration; 31d, 12h, 90m and 1d12h are.")
    return timedelta(**{unit: int(number or 0) for unit, number in zip(UNITS, found.groups(), strict=True)})


def moment(said: str) -> datetime:
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        raise Usage(f"{said!r} is no moment such as 2026-12-24T09:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def difference(ahead: timedelta) -> str:
    if not ahead:
        return "the real time"
    size = abs(ahead)
    days, hours, minutes = size.days, size.seconds // 3600, size.seconds % 3600 // 60
    parts = [f"{number} {unit}" for number, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if number]
    return f"{' '.join(parts) or f'{size.seconds} s'} {'ahead of' if ahead > timedelta() else 'behind'} the real time"
