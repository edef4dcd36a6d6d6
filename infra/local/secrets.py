"""The secrets of a local hub: kept in one file of the data folder, and put back before anything else happens.

The embedded AWS forgets its secrets and its table when it is killed. Keys that people have written into their systems
must survive that, so every change is copied here before it is answered.
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
    """What stands in secrets.json.

    `keys` are the items of the table by which API keys are believed: digests, and what each opens. `sources` are the
    texts of Parameter Store by name. `programs` are the API keys that this hub made for its programs itself.
    """

    admin_key: str
    programs: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)


def load(path: Path) -> StoredSecrets:
    """What an earlier run kept; at the first, a new admin key."""
    if path.exists():
        return StoredSecrets(**json.loads(path.read_text()))
    return StoredSecrets(admin_key=f"rk_admin_{secrets.token_urlsafe(24)}")


def save(path: Path, stored: StoredSecrets) -> None:
    """Whole or not at all, and for its owner's eyes only."""
    document = {name: getattr(stored, name) for name in ("admin_key", "programs", "sources", "keys")}
    write_atomically(path, json.dumps(document, indent=1, sort_keys=True))


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def complete_secret(secret: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """What is there, with what is missing. A merchant's server on this machine is made for a password of ours."""
    own = {"password": secrets.token_urlsafe(18)} if source.channel is Channel.PULL and not secret else {}
    return {**own, **generate_missing(source, secret), **secret}


def public_half(private_key: str) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    key = load_pem_private_key(private_key.encode(), None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@dataclass(frozen=True, slots=True)
class Vault:
    """The table's keys and the secrets in the running stack's Parameter Store: those of sources below `prefix`, the
    keys of payout accounts below `accounts`."""

    table: str
    prefix: str
    dynamodb: "DynamoDBClient"
    manager: "SSMClient"
    accounts: str = ""

    def restore(self, stored: StoredSecrets) -> None:
        """Everything that was kept opens again what it opened before."""
        for name, text in stored.sources.items():
            self.put_secret(name, text)
        for hashed, document in stored.keys.items():
            self.put_key(hashed, document)
        self.add_key(stored.admin_key, Principal(ANY_PROGRAM, "admin", MADE_BY))

    def sync(self, stored: StoredSecrets, documents: Mapping[str, Mapping[str, Any]]) -> StoredSecrets:
        """What was kept and what the stack holds now, with an API key for every program and a secret for every source
        whose channel needs one."""
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
        """What the table knows of it beside, such as its last use, stays."""
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
