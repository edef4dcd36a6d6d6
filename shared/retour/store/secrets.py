"""What a source and its sender share, in Secrets Manager: one secret per source, read at most once a minute."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SECONDS = 60


@dataclass
class Secrets:
    """`client` is a boto3 Secrets Manager client; secrets are named `retour/<stack>/<program>/<source>`."""

    client: Any
    stack: str
    _read: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)

    def get(self, program: str, source: str) -> dict[str, Any]:
        name = self.name(program, source)
        kept = self._read.get(name)
        if kept is None or kept[0] < time.monotonic():
            kept = self._read[name] = (time.monotonic() + SECONDS, self._get(name))
        return kept[1]

    def put(self, program: str, source: str, value: Mapping[str, Any]) -> None:
        name, text = self.name(program, source), json.dumps(value)
        try:
            self.client.create_secret(Name=name, SecretString=text)
        except self.client.exceptions.ResourceExistsException:
            self.client.put_secret_value(SecretId=name, SecretString=text)
        self._read.pop(name, None)

    def name(self, program: str, source: str) -> str:
        return f"retour/{self.stack}/{program}/{source}"

    def _get(self, name: str) -> dict[str, Any]:
        try:
            text = self.client.get_secret_value(SecretId=name)["SecretString"]
        except self.client.exceptions.ResourceNotFoundException:
            return {}
        return json.loads(text)  # type: ignore[no-any-return]
