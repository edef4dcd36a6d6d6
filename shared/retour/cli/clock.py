"""retour clock: the business clock of a hub on this machine, shown or advanced."""

import argparse
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from retour.cli.client import ApiError, HubClient, UsageError
from retour.cli.hub import connect_hub
from retour.cli.screen import echo, print_json
from retour.domain.times import format_instant, parse_instant

PATH = "/local/clock"
DURATION = re.compile(r"(?:(\d{1,6})w)?(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII)
UNITS = ("weeks", "days", "hours", "minutes", "seconds")


def clock(arguments: argparse.Namespace) -> int:
    hub = connect_hub(arguments)
    shown = read_clock(hub)
    if arguments.what == "advance":
        shown = hub.post(PATH, {"to": format_instant(target_moment(arguments, parse_instant(shown["now"])))})
    elif arguments.by or arguments.to:
        raise UsageError("To set the clock say: retour clock advance 31d, or retour clock advance --to ISO")
    if arguments.json:
        print_json(shown)
        return 0
    ahead = timedelta(seconds=shown["offset_seconds"])
    echo(f"The business clock shows {shown['now']}, {describe_offset(ahead)}.")
    if arguments.what == "advance":
        echo("Ran everything that was due: locks, polls, expiries, statements.", style="dim")
    return 0


def read_clock(hub: HubClient) -> dict[str, Any]:
    try:
        shown: dict[str, Any] = hub.get(PATH)
    except ApiError as refused:
        if refused.status == 404:
            raise UsageError(
                "This hub has the real time only; a business clock of its own is for `retour up`."
            ) from None
        raise
    return shown


def target_moment(arguments: argparse.Namespace, now: datetime) -> datetime:
    if bool(arguments.by) == bool(arguments.to):
        raise UsageError("By how much, or to when? retour clock advance 31d, or retour clock advance --to ISO")
    return parse_moment(arguments.to) if arguments.to else now + parse_duration(arguments.by)


def parse_duration(said: str) -> timedelta:
    found = DURATION.fullmatch(said)
    if not said or found is None:
        raise UsageError(f"{said!r} is no duration; 31d, 12h, 90m and 1d12h are.")
    return timedelta(**{unit: int(number or 0) for unit, number in zip(UNITS, found.groups(), strict=True)})


def parse_moment(said: str) -> datetime:
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        raise UsageError(f"{said!r} is no moment such as 2026-12-24T09:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def describe_offset(ahead: timedelta) -> str:
    if not ahead:
        return "the real time"
    size = abs(ahead)
    days, hours, minutes = size.days, size.seconds // 3600, size.seconds % 3600 // 60
    parts = [f"{number} {unit}" for number, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if number]
    return f"{' '.join(parts) or f'{size.seconds} s'} {'ahead of' if ahead > timedelta() else 'behind'} the real time"
