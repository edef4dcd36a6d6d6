"""The business clock of the local hub: how far it is ahead of the real one, kept over a restart."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local.folder import write_whole
from retour.api.problem import Refused
from retour.domain.times import instant, text

YEARS_MAX = 100


class Clock:
    """`offset_seconds` None: as it was left. It is kept in `path` before it holds, so a kill does not turn it back."""

    def __init__(self, path: Path, offset_seconds: int | None = None):
        self.path = path
        kept = int(json.loads(path.read_text())["offset_seconds"]) if path.exists() else 0
        self.offset_seconds = kept
        if offset_seconds is not None:
            self.keep(offset_seconds)

    @property
    def offset(self) -> timedelta:
        return timedelta(seconds=self.offset_seconds)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def keep(self, offset_seconds: int) -> None:
        write_whole(self.path, json.dumps({"offset_seconds": offset_seconds}))
        self.offset_seconds = offset_seconds

    def document(self) -> dict[str, Any]:
        return {"now": text(self.now()), "real": text(datetime.now(UTC)), "offset_seconds": self.offset_seconds}


@dataclass
class Dial:
    """What turns the clock: once it is turned, `follow` brings everything along that shows it."""

    clock: Clock
    follow: Callable[[], None]
    turning: threading.Lock = field(default_factory=threading.Lock)

    def turn(self, body: bytes) -> dict[str, Any]:
        """To the moment in `{"to": ISO 8601}`, and everything that became due is looked after before this returns."""
        wanted = moment(body)
        with self.turning:
            now = self.clock.now()
            if wanted < now:
                raise Refused("CLOCK_GOES_FORWARD", moment=text(now))
            # Whole seconds, and never short of the moment: what is due then must be due.
            self.clock.keep(self.clock.offset_seconds + -((now - wanted) // timedelta(seconds=1)))
            self.follow()
            return self.clock.document()


def moment(body: bytes) -> datetime:
    try:
        wanted = instant(json.loads(body)["to"])
    except (ValueError, KeyError, TypeError, OverflowError):
        wanted = None
    if wanted is None or wanted > datetime.now(UTC) + timedelta(days=365 * YEARS_MAX):
        raise Refused("NOT_A_TIME", "clock", years=str(YEARS_MAX))
    return wanted
