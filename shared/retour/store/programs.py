"""Programs in their versions, and the keys that open them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retour.domain.actions.contract import with_versions_of
from retour.domain.program import Program, program_from
from retour.domain.times import text
from retour.store.items import contract_document, contract_from, read, s

ANY = "*"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who speaks: the one program it may touch (`*`: every one, the installation's admin), its role and its name."""

    program: str
    role: str
    name: str

    def may(self, program: str) -> bool:
        return self.program in (ANY, program)

    @property
    def is_admin(self) -> bool:
        return self.program == ANY


@dataclass(frozen=True, slots=True)
class ProgramVersion:
    version: int
    document: Mapping[str, Any]
    recorded_at: str
    delivery: str


@dataclass(frozen=True)
class Programs:
    client: Any
    table: str

    def ids(self) -> list[str]:
        answer = self.client.query(
            TableName=self.table,
            KeyConditionExpression="PK = :pk",
            ExpressionAttributeValues={":pk": s("P#")},
            ConsistentRead=True,
        )
        return [item["SK"]["S"] for item in answer["Items"]]

    def get(self, program_id: str) -> Program | None:
        """The newest version, with every contract version ever recorded."""
        item = self._newest(program_id)
        if item is None:
            return None
        doc = read(item)
        contracts = tuple(contract_from(contract) for contract in doc["contracts"])
        return program_from(doc["document"], doc["version"], contracts)

    def versions(self, program_id: str) -> list[ProgramVersion]:
        """Newest first."""
        answer = self.client.query(
            TableName=self.table,
            KeyConditionExpression="PK = :pk",
            ExpressionAttributeValues={":pk": s(f"P#{program_id}")},
            ScanIndexForward=False,
        )
        docs = [read(item) for item in answer["Items"]]
        return [ProgramVersion(doc["version"], doc["document"], doc["recorded_at"], doc["delivery"]) for doc in docs]

    def apply(self, document: Mapping[str, Any], recorded_at: datetime, delivery: str) -> tuple[Program, bool]:
        """Record a valid document as the program's next version; the same document again makes none.

        Returns the program and whether a version was made. Versions are only ever added.
        """
        program_id = document["program"]
        while True:
            newest = self._newest(program_id)
            doc = read(newest) if newest else {"version": 0, "document": None, "contracts": []}
            known = tuple(contract_from(contract) for contract in doc["contracts"])
            if doc["document"] == document:
                return program_from(document, doc["version"], known), False
            contracts = with_versions_of(document, known, recorded_at)
            version = doc["version"] + 1
            body = {
                "version": version,
                "document": document,
                "recorded_at": text(recorded_at),
                "delivery": delivery,
                "contracts": [contract_document(contract) for contract in contracts],
            }
            if self._add(program_id, version, body):
                self.client.put_item(TableName=self.table, Item={"PK": s("P#"), "SK": s(program_id)})
                return program_from(document, version, contracts), True

    def principal(self, key: str) -> Principal | None:
        """Whom an API key belongs to; only its SHA-256 is kept."""
        found = self.client.get_item(TableName=self.table, Key=_key_item(key)).get("Item")
        return Principal(**read(found)) if found else None

    def grant(self, key: str, principal: Principal) -> None:
        doc = {"program": principal.program, "role": principal.role, "name": principal.name}
        self.client.put_item(TableName=self.table, Item={**_key_item(key), "doc": s(json.dumps(doc))})

    def _newest(self, program_id: str) -> Mapping[str, Any] | None:
        answer = self.client.query(
            TableName=self.table,
            KeyConditionExpression="PK = :pk",
            ExpressionAttributeValues={":pk": s(f"P#{program_id}")},
            ScanIndexForward=False,
            Limit=1,
            ConsistentRead=True,
        )
        return next(iter(answer["Items"]), None)

    def _add(self, program_id: str, version: int, body: Mapping[str, Any]) -> bool:
        item = {"PK": s(f"P#{program_id}"), "SK": s(f"V#{version:06d}"), "doc": s(json.dumps(body, ensure_ascii=False))}
        try:
            self.client.put_item(TableName=self.table, Item=item, ConditionExpression="attribute_not_exists(PK)")
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _key_item(key: str) -> dict[str, Any]:
    return {"PK": s(f"K#{hashlib.sha256(key.encode()).hexdigest()}"), "SK": s("K")}
