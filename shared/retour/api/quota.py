"""How many calls one sender may make: counted in the function itself, before anything is read for a call.

Each sender has a bucket that fills with time: `rate` calls a second, and so many at once that a shop which delivers its
backlog is not held up. A sender is whom a call names by its path, and the key it shows; so nobody uses up another's.
"""

import hashlib
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from retour.api.calls import Call
from retour.api.problem import HttpError, accepted_language, problem_answer
from retour.wiring import hub

BURST_SECONDS = 10
"""A bucket holds the calls of so long."""
SENDERS_MAX = 5_000
SENDER_PATH = re.compile(r"/v1/programs/([^/]+)(?:/(?:hooks|salesforce)/([^/]+))?")

Sender = tuple[str, str, str]


@dataclass
class Quota:
    """`rate` 0: as many as come."""

    rate: float
    clock: Callable[[], float] = time.monotonic
    _left: dict[Sender, tuple[float, float]] = field(default_factory=dict, repr=False)

    def take(self, sender: Sender) -> int:
        """Takes one call out of the bucket; 0, or in how many seconds there is one again."""
        now = self.clock()
        if self.rate <= 0:
            return 0
        if len(self._left) > SENDERS_MAX:
            self._left = {one: kept for one, kept in self._left.items() if now - kept[1] < BURST_SECONDS}
        left, at = self._left.get(sender, (self.rate * BURST_SECONDS, now))
        left = min(left + (now - at) * self.rate, self.rate * BURST_SECONDS)
        if left < 1:
            self._left[sender] = (left, now)
            return max(1, math.ceil((1 - left) / self.rate))
        self._left[sender] = (left - 1, now)
        return 0


@cache
def process_quota() -> Quota:
    """The quota that this process counts by."""
    return Quota(hub().settings.calls_per_second)


def sender_of(call: Call) -> Sender:
    found = SENDER_PATH.match(call.path)
    program, source = (found[1], found[2] or "") if found else ("", "")
    key = call.headers.get("authorization", "")
    return program, source, hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest() if key else ""


def quota_refusal(call: Call) -> dict[str, Any] | None:
    """The answer to a call that is one too many; None for any other."""
    seconds = process_quota().take(sender_of(call))
    if not seconds:
        return None
    headers = {"retry-after": str(seconds)}
    refused = HttpError("TOO_MANY_CALLS", headers=headers, seconds=str(seconds))
    return problem_answer(refused, accepted_language(call.headers))
