"""What a source and its sender share, in Parameter Store: one encrypted text per source, read at most once a minute.

Parameter Store keeps and encrypts such texts for nothing; Secrets Manager would cost every idle source money.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SECONDS = 60
AGAIN_SECONDS = 2


@dataclass
class Secrets:
    """`client` is a boto3 SSM client; the parameters are named `/retour/<stack>/<program>/<source>`."""

    client: Any
    stack: str
    _read: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    _again: dict[str, float] = field(default_factory=dict)

    def get(self, program: str, source: str) -> dict[str, Any]:
        name = self.name(program, source)
        kept = self._read.get(name)
        if kept is None or kept[0] < time.monotonic():
            kept = self._read[name] = (time.monotonic() + SECONDS, self._get(name))
        return kept[1]

    def newest(self, program: str, source: str) -> dict[str, Any]:
        """As it is this moment, for whoever changes a part of it."""
        self._read.pop(self.name(program, source), None)
        return self.get(program, source)

    def again(self, program: str, source: str) -> dict[str, Any]:
        """The same for whoever was not believed with what is kept; nothing new where somebody was not just now, so that
        forgeries do not become as many questions to Parameter Store."""
        name, now = self.name(program, source), time.monotonic()
        if self._again.get(name, 0.0) > now:
            return {}
        self._again[name] = now + AGAIN_SECONDS
        return self.newest(program, source)

    def put(self, program: str, source: str, value: Mapping[str, Any]) -> None:
        name = self.name(program, source)
        self.client.put_parameter(Name=name, Value=json.dumps(value), Type="SecureString", Overwrite=True)
        self._read.pop(name, None)

    def name(self, program: str, source: str) -> str:
        return f"/retour/{self.stack}/{program}/{source}"

    def _get(self, name: str) -> dict[str, Any]:
        try:
            text = self.client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        except self.client.exceptions.ParameterNotFound:
            return {}
        return json.loads(text)  # type: ignore[no-any-return]
