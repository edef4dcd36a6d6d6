"""Rate limits per sender, counted in the process before anything is read.

Each sender has a token bucket: `rate` calls a second, with bursts large enough for a shop that delivers its backlog. A
sender is the combination of path and key, so nobody can use up another's quota.
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
"""Seconds of calls a bucket holds."""
SENDERS_MAX = 5_000
SENDER_PATH = re.compile(r"/v1/programs/([^/]+)(?:/(?:hooks|salesforce)/([^/]+))?")

Sender = tuple[str, str, str]


@dataclass
class Quota:
    """Rate limits; `rate` 0 is no limit."""

    rate: float
    clock: Callable[[], float] = time.monotonic
    _left: dict[Sender, tuple[float, float]] = field(default_factory=dict, repr=False)

    def take(self, sender: Sender) -> int:
        """Take a call from the bucket. Returns 0, or the seconds until the next call is allowed."""
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
    """The quota of this process."""
    return Quota(hub().settings.calls_per_second)


def sender_of(call: Call) -> Sender:
    found = SENDER_PATH.match(call.path)
    program, source = (found[1], found[2] or "") if found else ("", "")
    key = call.headers.get("authorization", "")
    return program, source, hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest() if key else ""


def quota_refusal(call: Call) -> dict[str, Any] | None:
    """The response to a call over the limit; None for others."""
    seconds = process_quota().take(sender_of(call))
    if not seconds:
        return None
    headers = {"retry-after": str(seconds)}
    refused = HttpError("TOO_MANY_CALLS", headers=headers, seconds=str(seconds))
    return problem_answer(refused, accepted_language(call.headers))
