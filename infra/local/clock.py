"""The business clock of the local hub: an offset from the real clock that survives restarts."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local.data_folder import write_atomically
from retour.domain.times import format_instant, parse_instant
from retour.errors import ConflictError, InvalidRequestError

YEARS_MAX = 100


class Clock:
    """With `offset_seconds` None the stored offset is used. A new one is saved before it takes effect."""

    def __init__(self, path: Path, offset_seconds: int | None = None):
        self.path = path
        kept = int(json.loads(path.read_text())["offset_seconds"]) if path.exists() else 0
        self.offset_seconds = kept
        if offset_seconds is not None:
            self.set_offset(offset_seconds)

    @property
    def offset(self) -> timedelta:
        return timedelta(seconds=self.offset_seconds)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def set_offset(self, offset_seconds: int) -> None:
        write_atomically(self.path, json.dumps({"offset_seconds": offset_seconds}))
        self.offset_seconds = offset_seconds

    def document(self) -> dict[str, Any]:
        return {
            "now": format_instant(self.now()),
            "real": format_instant(datetime.now(UTC)),
            "offset_seconds": self.offset_seconds,
        }


@dataclass
class ClockControl:
    """Changes the clock. `follow` then updates everything that depends on it."""

    clock: Clock
    follow: Callable[[], None]
    turning: threading.Lock = field(default_factory=threading.Lock)

    def advance(self, body: bytes) -> dict[str, Any]:
        """Advance to the time in `{"to": ISO 8601}`, and run everything that became due before returning."""
        wanted = parse_moment(body)
        with self.turning:
            now = self.clock.now()
            if wanted < now:
                raise ConflictError("CLOCK_GOES_FORWARD", moment=format_instant(now))
            # Whole seconds, rounded up, so that everything due at that time is due.
            self.clock.set_offset(self.clock.offset_seconds + -((now - wanted) // timedelta(seconds=1)))
            self.follow()
            return self.clock.document()


def parse_moment(body: bytes) -> datetime:
    try:
        wanted = parse_instant(json.loads(body)["to"])
    except (ValueError, KeyError, TypeError, OverflowError):
        wanted = None
    if wanted is None or wanted > datetime.now(UTC) + timedelta(days=365 * YEARS_MAX):
        raise InvalidRequestError("NOT_A_TIME", "clock", years=str(YEARS_MAX))
    return wanted
