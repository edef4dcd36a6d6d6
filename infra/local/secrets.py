"""The secrets of a local hub, kept in a file of the data folder and restored first at startup.

A killed embedded AWS loses its secrets and its table. Keys that people have entered elsewhere must survive, so every
change is copied here before it is answered.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.data_folder import write_atomically
from retour.domain.delivery import Channel
from retour.domain.program import Source, source_from
from retour.setup.credentials import generate_missing
from retour.store.programs import ANY_PROGRAM, Principal, key_document, key_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ssm import SSMClient

KEY_PREFIX = "K#"
MADE_BY = "local hub"


@dataclass(slots=True)
class StoredSecrets:
    """The content of secrets.json.

    `keys` are the table's items of API keys: hashes with what they may access. `sources` are the parameters by name.
    `programs` are the API keys that this hub created for its programs.
    """

    admin_key: str
    programs: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)


def load(path: Path) -> StoredSecrets:
    """The secrets of an earlier run; at the first start a new admin key."""
    if path.exists():
        return StoredSecrets(**json.loads(path.read_text()))
    return StoredSecrets(admin_key=f"rk_admin_{secrets.token_urlsafe(24)}")


def save(path: Path, stored: StoredSecrets) -> None:
    """Save atomically, readable by the owner only."""
    document = {name: getattr(stored, name) for name in ("admin_key", "programs", "sources", "keys")}
    write_atomically(path, json.dumps(document, indent=1, sort_keys=True))


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def complete_secret(secret: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """A source's secret, completed. A merchant's server on this machine gets a generated password."""
    own = {"password": secrets.token_urlsafe(18)} if source.channel is Channel.PULL and not secret else {}
    return {**own, **generate_missing(source, secret), **secret}


def public_half(private_key: str) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    key = load_pem_private_key(private_key.encode(), None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@dataclass(frozen=True, slots=True)
class Vault:
    """The stack's API keys, and its parameters: sources below `prefix`, keys of payout accounts below `accounts`."""

    table: str
    prefix: str
    dynamodb: "DynamoDBClient"
    manager: "SSMClient"
    accounts: str = ""

    def restore(self, stored: StoredSecrets) -> None:
        """Restore all stored keys and secrets."""
        for name, text in stored.sources.items():
            self.put_secret(name, text)
        for hashed, document in stored.keys.items():
            self.put_key(hashed, document)
        self.add_key(stored.admin_key, Principal(ANY_PROGRAM, "admin", MADE_BY))

    def sync(self, stored: StoredSecrets, documents: Mapping[str, Mapping[str, Any]]) -> StoredSecrets:
        """Stored and current secrets combined, with an API key per program and a secret per source that needs one."""
        own = dict(stored.programs)
        for program in documents.keys() - own.keys():
            own[program] = f"rk_{program}_{secrets.token_urlsafe(24)}"
            self.add_key(own[program], Principal(program, "merchant", MADE_BY))
        held = dict(self.secrets())
        for program, document in documents.items():
            for source, body in document.get("sources", {}).items():
                name = f"{self.prefix}{program}/{source}"
                there = json.loads(held.get(name, "{}"))
                secret = complete_secret(there, source_from(source, body, "UTC"))
                if secret != there:
                    self.put_secret(name, json.dumps(secret))
                    held[name] = json.dumps(secret)
        return StoredSecrets(stored.admin_key, own, held, dict(self.keys()))

    def source(self, stored: StoredSecrets, program: str, source: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(stored.sources.get(f"{self.prefix}{program}/{source}", "{}"))
        return found

    def put_secret(self, name: str, text: str) -> None:
        self.manager.put_parameter(Name=name, Value=text, Type="SecureString", Overwrite=True)

    def add_key(self, key: str, opens: Principal) -> None:
        self.put_key(hash_key(key), key_document(key, opens, MADE_BY, None))

    def put_key(self, hashed: str, document: str) -> None:
        """Restore a key's item, keeping its other attributes such as its last use."""
        with suppress(self.dynamodb.exceptions.ConditionalCheckFailedException):
            self.dynamodb.put_item(
                TableName=self.table,
                Item=key_item(hashed, document),
                ConditionExpression="attribute_not_exists(PK) OR doc <> :doc",
                ExpressionAttributeValues={":doc": {"S": document}},
            )

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

    def secrets(self) -> Iterable[tuple[str, str]]:
        """Name and text of every secret of this stack."""
        for path in filter(None, (self.prefix, self.accounts)):
            pages = self.manager.get_paginator("get_parameters_by_path").paginate(
                Path=path, Recursive=True, WithDecryption=True
            )
            for page in pages:
                yield from ((item["Name"], item["Value"]) for item in page["Parameters"])
