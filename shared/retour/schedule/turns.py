"""Programs take turns within the time of one run."""

import time
from collections.abc import Callable


def share(end: float, programs_left: int) -> Callable[[], bool]:
    """Each program has its share of the time; what one does not need, the next ones have."""
    until = time.monotonic() + (end - time.monotonic()) / programs_left
    return lambda: time.monotonic() < until
