"""The secrets of a local hub: kept in one file of the data folder, and put back before anything else happens.

The embedded AWS forgets its secrets and its table when it is killed. Keys that people have written into their systems
must survive that, so every change is copied here before it is answered.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

KEY_PREFIX = "K#"
SCAN_SEGMENT = 1000


@dataclass(slots=True)
class Kept:
    """What stands in secrets.json.

    `keys` are the items of the table by which API keys are believed: digests, and what each opens. `sources` are the
    texts of Secrets Manager by name. `programs` are the API keys that this hub made for its programs itself.
    """

    admin_key: str
    programs: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)


def load(path: Path) -> Kept:
    """What an earlier run kept; at the first, a new admin key."""
    if path.exists():
        return Kept(**json.loads(path.read_text()))
    return Kept(admin_key=f"rk_admin_{secrets.token_urlsafe(24)}")


def save(path: Path, kept: Kept) -> None:
    """Whole or not at all, and for its owner's eyes only."""
    beside = path.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        document = {name: getattr(kept, name) for name in ("admin_key", "programs", "sources", "keys")}
        json.dump(document, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Vault:
    """The table's keys and the Secrets Manager of the running stack."""

    table: str
    prefix: str
    dynamodb: "DynamoDBClient"
    manager: "SecretsManagerClient"

    def put_back(self, kept: Kept) -> None:
        """Everything that was kept opens again what it opened before."""
        known = set(self.names())
        for name, text in kept.sources.items():
            if name in known:
                self.manager.put_secret_value(SecretId=name, SecretString=text)
            else:
                self.manager.create_secret(Name=name, SecretString=text)
        for hashed, document in kept.keys.items():
            self.put_key(hashed, document)
        self.admit(kept.admin_key, {"program": "*", "role": "admin", "name": "local hub"})

    def take_over(self, kept: Kept, programs: Iterable[str]) -> Kept:
        """What was kept and what the stack holds now, with an API key for every program."""
        own = dict(kept.programs)
        for program in programs:
            if program not in own:
                own[program] = f"rk_{program}_{secrets.token_urlsafe(24)}"
                self.admit(own[program], {"program": program, "role": "merchant", "name": "local hub"})
        sources = {name: self.manager.get_secret_value(SecretId=name)["SecretString"] for name in self.names()}
        return Kept(kept.admin_key, own, sources, dict(self.keys()))

    def source(self, kept: Kept, program: str, source: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(kept.sources.get(f"{self.prefix}{program}/{source}", "{}"))
        return found

    def set_source(self, program: str, source: str, secret: Mapping[str, Any]) -> None:
        name, text = f"{self.prefix}{program}/{source}", json.dumps(secret)
        if name in set(self.names()):
            self.manager.put_secret_value(SecretId=name, SecretString=text)
        else:
            self.manager.create_secret(Name=name, SecretString=text)

    def admit(self, key: str, opens: Mapping[str, str]) -> None:
        self.put_key(digest(key), json.dumps(opens))

    def put_key(self, hashed: str, document: str) -> None:
        item = {"PK": {"S": KEY_PREFIX + hashed}, "SK": {"S": "K"}, "doc": {"S": document}}
        self.dynamodb.put_item(TableName=self.table, Item=item)

    def keys(self) -> Iterable[tuple[str, str]]:
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.table,
            FilterExpression="begins_with(PK, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": KEY_PREFIX}},
            ProjectionExpression="PK, doc",
        )
        for page in pages:
            for item in page["Items"]:
                yield item["PK"]["S"].removeprefix(KEY_PREFIX), item["doc"]["S"]

    def names(self) -> Iterable[str]:
        for page in self.manager.get_paginator("list_secrets").paginate():
            yield from (item["Name"] for item in page["SecretList"] if item["Name"].startswith(self.prefix))
