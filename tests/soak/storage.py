"""The embedded AWS with Retour's real storage, and houses on it, outside of a test."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from retour.settings import read_settings
from retour.wiring import Hub
from tests.conftest import PROGRAM, Clock, ProgramHarness, storage

NUMBERS = itertools.count(1)


@contextmanager
def stored() -> Iterator[dict[str, str]]:
    """What the functions read, for as long as the block lasts."""
    with TemporaryDirectory(prefix="retour-soak-") as folder, storage(Path(folder)) as environment:
        yield environment


def house(environment: dict[str, str], document: dict[str, Any] = PROGRAM, name: str = "soak") -> ProgramHarness:
    """A program of its own, with a hub and a clock of its own; what leaves it is only noted."""
    hub, clock = Hub(read_settings(environment)), Clock()
    made = ProgramHarness(hub, f"{name}-{os.getpid()}-{next(NUMBERS)}", clock)
    instead: dict[str, Any] = {
        "now": clock,
        "real_now": lambda: datetime.now(UTC) + timedelta(minutes=30),
        "send": lambda queue, message, delay_seconds=0: made.sent.append((queue, message)),
    }
    for method, other in instead.items():
        setattr(hub, method, other)
    made.apply(document)
    return made
