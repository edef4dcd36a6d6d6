"""Credentials shared with senders, in Parameter Store: one encrypted text per source, cached for a minute per program.

While Parameter Store is unavailable (its limit is 40 calls a second per account), the last known values stay valid, so
an outage rejects no known sender. Parameter Store is free; Secrets Manager would charge for every idle source.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CACHE_SECONDS = 60
REREAD_SECONDS = 2
OUTAGE_SECONDS = 10
"""Wait this long after a failed read."""
PAGES_MAX = 200

log = logging.getLogger(__name__)


@dataclass
class Secrets:
    """`client` is a boto3 SSM client; the parameters are named `/retour/<stack>/<program>/<source>`."""

    client: Any
    stack: str
    _read: dict[str, tuple[float, dict[str, dict[str, Any]]]] = field(default_factory=dict)
    _again: dict[str, float] = field(default_factory=dict)

    def get(self, program: str, source: str) -> dict[str, Any]:
        kept = self._read.get(program)
        if kept is None or kept[0] < time.monotonic():
            kept = self._read[program] = self._of_program(program, kept[1] if kept else None)
        return kept[1].get(source, {})

    def newest(self, program: str, source: str) -> dict[str, Any]:
        """The current value, bypassing the cache, for callers that change a part of it."""
        found = self._get(self.name(program, source))
        if program in self._read:
            self._read[program][1][source] = found
        return found

    def reread(self, program: str, source: str) -> dict[str, Any]:
        """The current value after a failed authentication; empty within `REREAD_SECONDS` of the last reread.

        The limit keeps forged requests from using up the quota of Parameter Store.
        """
        name, now = self.name(program, source), time.monotonic()
        if self._again.get(name, 0.0) > now:
            return {}
        self._again[name] = now + REREAD_SECONDS
        return self.newest(program, source)

    def put(self, program: str, source: str, value: Mapping[str, Any]) -> None:
        name = self.name(program, source)
        self.client.put_parameter(Name=name, Value=json.dumps(value), Type="SecureString", Overwrite=True)
        if program in self._read:
            self._read[program][1][source] = dict(value)

    def name(self, program: str, source: str) -> str:
        return f"/retour/{self.stack}/{program}/{source}"

    def _of_program(
        self, program: str, last: dict[str, dict[str, Any]] | None
    ) -> tuple[float, dict[str, dict[str, Any]]]:
        """The expiry time of the cache entry and the secrets of a program by source."""
        asked = {"Path": self.name(program, ""), "WithDecryption": True}
        found: dict[str, dict[str, Any]] = {}
        try:
            for _ in range(PAGES_MAX):
                answer = self.client.get_parameters_by_path(**asked)
                for one in answer["Parameters"]:
                    found[one["Name"].rpartition("/")[2]] = json.loads(one["Value"])
                if "NextToken" not in answer:
                    break
                asked["NextToken"] = answer["NextToken"]
        except Exception:
            if last is None:
                raise
            log.exception("secrets not read anew; those read last hold on", extra={"program": program})
            return time.monotonic() + OUTAGE_SECONDS, last
        return time.monotonic() + CACHE_SECONDS, found

    def _get(self, name: str) -> dict[str, Any]:
        try:
            text = self.client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        except self.client.exceptions.ParameterNotFound:
            return {}
        return json.loads(text)  # type: ignore[no-any-return]
