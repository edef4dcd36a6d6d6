"""Versions of programs, and the API keys."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from itertools import islice
from typing import Any

from retour.domain.contracts.contract import Contract
from retour.domain.contracts.named_list import Entries
from retour.domain.contracts.versions import (
    Spans,
    Versions,
    event_types_of,
    live_versions,
    spans_after,
    spans_of,
    with_spans,
    with_versions_of,
)
from retour.domain.program import Program, program_from
from retour.domain.times import format_instant, parse_instant
from retour.store.conditional_writes import write_all
from retour.store.items import contract_document, contract_from, read_json, s
from retour.store.lists import NamedLists, StoredList
from retour.store.query import partition_items, query_items
from retour.store.throttled_reads import batch_get

ANY_PROGRAM = "*"
FORMAT = 2
"""Format of a program version. 1, which did not say so, contained all contract versions."""
TERMS_BYTES_MAX = 256 * 1024
ATTEMPTS_MAX = 20
"""Attempts to record a version while others record theirs."""
TERMS_CACHED_MAX = 2_000
"""Contract versions cached per process."""
KEY_TAIL_CHARS = 4
KEYS_AT_ONCE = 100
USE_NOTED_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: the program it may access (`*` for the installation's admin), its role and its name."""

    program: str
    role: str
    name: str

    def may(self, program: str) -> bool:
        return self.program in (ANY_PROGRAM, program)

    @property
    def is_admin(self) -> bool:
        return self.program == ANY_PROGRAM

    @property
    def may_set_up(self) -> bool:
        """True for the installation's admin and for persons with role admin in this program, not for a program's own
        key.
        """
        return self.is_admin or self.role == "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key without its secret. Unknown fields are empty."""

    sha256: str
    name: str
    role: str
    tail: str
    made_by: str
    made_at: str
    last_used_at: str
    revoked_by: str
    revoked_at: str

    @property
    def id(self) -> str:
        return self.sha256[:12]


@dataclass(frozen=True, slots=True)
class ProgramVersion:
    """A stored program version. `lists` maps the names of uploaded lists to their content hashes."""

    version: int
    document: Mapping[str, Any]
    recorded_at: str
    delivery: str
    lists: Mapping[str, str]


@dataclass(frozen=True)
class Programs:
    client: Any
    table: str
    _named: dict[tuple[str, int], Spans] = field(default_factory=dict, repr=False, compare=False)
    _terms: dict[tuple[str, int], Contract] = field(default_factory=dict, repr=False, compare=False)
    _calls: list[bool] = field(default_factory=list, repr=False, compare=False)
    _seen: dict[str, Program] = field(default_factory=dict, repr=False, compare=False)

    def ids(self) -> list[str]:
        found = partition_items(self.client, self.table, "P#")
        return [item["SK"]["S"] for item in found]

    def get(self, program_id: str, *, again: bool = False) -> Program | None:
        """The newest version with all contract versions. `again` bypasses `cache_reads`."""
        if program_id in self._seen and not again:
            return self._seen[program_id]
        item = self._newest(program_id)
        if item is None:
            return None
        doc = read_json(item)
        found = program_from(doc["document"], doc["version"], self._contracts(program_id, doc), doc.get("lists", {}))
        if self._calls:
            self._seen[program_id] = found
        return found

    @contextmanager
    def cache_reads(self) -> Iterator[None]:
        """Read each program at most once inside the context, so that a call sees a single version."""
        self._calls.append(True)
        try:
            yield
        finally:
            self._calls.pop()
            self._seen.clear()

    def versions(self, program_id: str, before: int | None = None, most: int | None = None) -> list[ProgramVersion]:
        """Versions below number `before`, newest first, at most `most`."""
        found = query_items(
            self.client,
            TableName=self.table,
            KeyConditionExpression="PK = :pk AND SK BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":pk": s(f"P#{program_id}"),
                ":first": s("V#"),
                ":last": s(f"V#{before - 1:06d}" if before is not None else "V#~"),
            },
            ScanIndexForward=False,
            **({"Limit": most} if most else {}),
        )
        listed = (_version(read_json(item)) for item in found)
        return list(islice(listed, most))

    def newest_version(self, program_id: str) -> ProgramVersion:
        """The newest version. Raises KeyError if the program has none."""
        item = self._newest(program_id)
        if item is None:
            raise KeyError(program_id)
        return _version(read_json(item))

    def first_recorded_at(self, program_id: str) -> datetime:
        """When the first version was recorded. Raises KeyError if the program has none."""
        answer = self.client.query(
            TableName=self.table,
            KeyConditionExpression="PK = :pk AND begins_with(SK, :versions)",
            ExpressionAttributeValues={":pk": s(f"P#{program_id}"), ":versions": s("V#")},
            Limit=1,
        )
        if not answer["Items"]:
            raise KeyError(program_id)
        return parse_instant(read_json(answer["Items"][0])["recorded_at"])

    def apply(self, document: Mapping[str, Any], recorded_at: datetime, delivery: str) -> tuple[Program, bool]:
        """Record a valid document as the program's next version, unless it equals the newest one.

        Returns the program and whether a version was added. Versions are only ever added.
        """
        for entries in document.get("lists", {}).values():
            self.lists.save(document["program"], entries)
        return self._record(document["program"], recorded_at, delivery, lambda _: document)

    def put_list(
        self, program_id: str, name: str, entries: Iterable[str], recorded_at: datetime, delivery: str
    ) -> tuple[Program, bool]:
        """Store an uploaded list and record a program version that uses it. Equal entries change nothing.

        Returns the program and whether a version was added.
        """
        uploaded = {name: self.lists.save(program_id, entries).sha256}
        return self._record(program_id, recorded_at, delivery, lambda document: document, uploaded)

    def _record(
        self,
        program_id: str,
        recorded_at: datetime,
        delivery: str,
        next_document: Callable[[Any], Mapping[str, Any]],
        uploaded: Mapping[str, str] | None = None,
    ) -> tuple[Program, bool]:
        for _ in range(ATTEMPTS_MAX):
            newest = self._newest(program_id)
            doc = read_json(newest) if newest else {"version": 0, "document": None, "contracts": []}
            known = self._contracts(program_id, doc)
            before = doc.get("lists", {})
            document, lists = next_document(doc["document"]), before | (uploaded or {})
            if (doc["document"], before) == (document, lists):
                return program_from(document, doc["version"], known, lists), False
            contracts = with_versions_of(
                document, known, recorded_at, {name: self._list(program_id, sha256) for name, sha256 in lists.items()}
            )
            version = doc["version"] + 1
            body = {
                "format": FORMAT,
                "version": version,
                "document": document,
                "recorded_at": format_instant(recorded_at),
                "delivery": delivery,
                "terms": {
                    "count": len(contracts),
                    "live": {name: list(numbers) for name, numbers in live_versions(contracts, recorded_at).items()},
                    "event_types": sorted(event_types_of(contracts)),
                },
                "named": spans_document(spans_of(contracts)),
                **({"lists": lists} if lists else {}),
            }
            beside = contracts[len(known) if "terms" in doc else 0 :]
            if self._add(program_id, version, body, beside):
                self._seen.pop(program_id, None)
                self.client.put_item(TableName=self.table, Item={"PK": s("P#"), "SK": s(program_id)})
                return program_from(document, version, contracts, lists), True
        raise RuntimeError(f"{program_id}: others recorded {ATTEMPTS_MAX} versions in between")

    @cached_property
    def lists(self) -> NamedLists:
        return NamedLists(self.client, self.table)

    def named_lists(self, program: Program) -> Mapping[str, Entries]:
        """The uploaded lists of a program by name."""
        return {name: self._list(program.id, sha256) for name, sha256 in program.lists.items()}

    def _list(self, program_id: str, sha256: str) -> Entries:
        return StoredList(self.lists, program_id, sha256)

    # Keys

    def principal(self, key: str, now: datetime | None = None) -> Principal | None:
        """The owner of an API key, found by its SHA-256; None if the key is unknown or revoked.

        With `now`, the time of use is saved, at most once an hour.
        """
        found = self.client.get_item(TableName=self.table, Key=_key_of(key_hash(key))).get("Item")
        doc = read_json(found) if found else {"revoked_at": "never made"}
        if doc.get("revoked_at"):
            return None
        if now is not None and found.get("last_used", s(""))["S"] < format_instant(now - USE_NOTED_EVERY):
            self._note_use(found, now)
        return Principal(doc["program"], doc["role"], doc["name"])

    def grant(self, key: str, principal: Principal, by: str = "", at: datetime | None = None) -> ApiKey:
        item = key_item(key_hash(key), key_document(key, principal, by, at))
        self.client.put_item(TableName=self.table, Item=item)
        return _api_key(item)

    def keys(self, program_id: str) -> list[ApiKey]:
        """All keys ever made for a program, newest first, including revoked ones."""
        found = query_items(
            self.client,
            TableName=self.table,
            IndexName="GSI1",
            KeyConditionExpression="GSI1PK = :pk",
            ExpressionAttributeValues={":pk": s(f"K#{program_id}")},
            ScanIndexForward=False,
        )
        keys = [{name: item[name] for name in ("PK", "SK")} for item in found]
        items: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(keys), KEYS_AT_ONCE):
            wanted = {self.table: {"Keys": keys[start : start + KEYS_AT_ONCE], "ConsistentRead": True}}
            items |= {item["PK"]["S"]: item for _, item in batch_get(self.client, wanted)}
        return [_api_key(items[key["PK"]["S"]]) for key in keys if key["PK"]["S"] in items]

    def revoke(self, program_id: str, id: str, by: str, at: datetime) -> ApiKey | None:
        """Revoke a key permanently; it stays listed. None if the program has no active key with this id."""
        found = next((key for key in self.keys(program_id) if key.id == id and not key.revoked_at), None)
        if found is None:
            return None
        item = self.client.get_item(TableName=self.table, Key=_key_of(found.sha256), ConsistentRead=True)["Item"]
        doc = {**read_json(item), "revoked_by": by, "revoked_at": format_instant(at)}
        self.client.update_item(
            TableName=self.table,
            Key=_key_of(found.sha256),
            UpdateExpression="SET doc = :doc",
            ExpressionAttributeValues={":doc": s(json.dumps(doc))},
        )
        return replace(found, revoked_by=by, revoked_at=format_instant(at))

    def _note_use(self, item: Mapping[str, Any], now: datetime) -> None:
        """Save the time of use. Of several concurrent writers one wins."""
        with suppress(self.client.exceptions.ConditionalCheckFailedException):
            self.client.update_item(
                TableName=self.table,
                Key={name: item[name] for name in ("PK", "SK")},
                UpdateExpression="SET last_used = :now",
                ConditionExpression="attribute_not_exists(last_used) OR last_used < :before",
                ExpressionAttributeValues={
                    ":now": s(format_instant(now)),
                    ":before": s(format_instant(now - USE_NOTED_EVERY)),
                },
            )

    def _contracts(self, program_id: str, doc: Mapping[str, Any]) -> Sequence[Contract]:
        """All contract versions of a stored program version, with the spans in which the document named them.

        They are stored in separate items and loaded on first use. Format 1 contained them.
        """
        if "terms" in doc:
            terms = doc["terms"]
            return Versions(
                total=terms["count"],
                spans=self._spans(program_id, doc),
                recorded_at=parse_instant(doc["recorded_at"]),
                live={name: tuple(numbers) for name, numbers in terms["live"].items()},
                event_types=frozenset(terms["event_types"]),
                read=partial(self._contract, program_id),
            )
        found = [contract_from(contract, partial(self._list, program_id)) for contract in doc["contracts"]]
        return with_spans(found, self._spans(program_id, doc)) if found else ()

    def _spans(self, program_id: str, doc: Mapping[str, Any]) -> Spans:
        if "named" in doc:
            return spans_from(doc["named"])
        key = program_id, doc["version"]
        if key not in self._named:
            # Format before `named` was stored: derive the spans from all documents up to this version.
            spans: Spans = {}
            for one in reversed(self.versions(program_id)):
                if one.version <= doc["version"]:
                    spans = spans_after(spans, one.document["contracts"], parse_instant(one.recorded_at))
            self._named[key] = spans
        return self._named[key]

    def _contract(self, program_id: str, number: int, all_before: bool) -> Contract:
        """A contract version by number. Immutable, so it is cached."""
        if (program_id, number) not in self._terms:
            if len(self._terms) > TERMS_CACHED_MAX:
                self._terms.clear()
            found = query_items(
                self.client,
                TableName=self.table,
                KeyConditionExpression="PK = :pk AND SK BETWEEN :first AND :last",
                ExpressionAttributeValues={
                    ":pk": s(f"P#{program_id}"), ":first": s("T#"), ":last": s(f"T#{number:06d}"),
                },
                ScanIndexForward=False,
                ConsistentRead=True,
                **({} if all_before else {"Limit": 1}),
            )  # fmt: skip
            for item in islice(found, None if all_before else 1):
                for doc in json.loads(zlib.decompress(item["terms"]["B"])):
                    self._terms[program_id, doc["number"]] = contract_from(doc, partial(self._list, program_id))
        return self._terms[program_id, number]

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

    def _add(self, program_id: str, version: int, body: Mapping[str, Any], terms: Sequence[Contract]) -> bool:
        """Insert a program version with its new contract versions in one transaction. False if another writer was
        first.
        """
        partition = s(f"P#{program_id}")
        made = {"PK": partition, "SK": s(f"V#{version:06d}"), "doc": s(json.dumps(body, ensure_ascii=False))}
        beside = [
            {
                "PK": partition,
                "SK": s(f"T#{some[0]['number']:06d}"),
                "terms": {"B": zlib.compress(json.dumps(some, ensure_ascii=False).encode())},
            }
            for some in _chunks_by_size([contract_document(one) for one in terms])
        ]
        new = {"TableName": self.table, "ConditionExpression": "attribute_not_exists(PK)"}
        return write_all(self.client, [{"Put": {**new, "Item": item}} for item in (made, *beside)])


def _version(doc: Mapping[str, Any]) -> ProgramVersion:
    return ProgramVersion(doc["version"], doc["document"], doc["recorded_at"], doc["delivery"], doc.get("lists", {}))


def _chunks_by_size(docs: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Contract documents in groups that fit into an item (DynamoDB's limit is 400 KB)."""
    some: list[dict[str, Any]] = []
    size = 0
    for doc in docs:
        length = len(json.dumps(doc, ensure_ascii=False).encode())
        if some and size + length > TERMS_BYTES_MAX:
            yield some
            some, size = [], 0
        some.append(doc)
        size += length
    if some:
        yield some


def spans_document(spans: Spans) -> dict[str, list[list[str]]]:
    """The spans of each contract name as [start, end] pairs. A span still open has no end."""
    return {
        name: [[format_instant(moment) for moment in span if moment] for span in of_name]
        for name, of_name in spans.items()
    }


def spans_from(doc: Mapping[str, Any]) -> Spans:
    return {
        name: tuple((parse_instant(begun), parse_instant(end[0]) if end else None) for begun, *end in of_name)
        for name, of_name in doc.items()
    }


def key_hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def key_document(key: str, principal: Principal, by: str, at: datetime | None) -> str:
    """The stored document of a key: everything except its secret."""
    doc = {
        "program": principal.program,
        "role": principal.role,
        "name": principal.name,
        "tail": key[-KEY_TAIL_CHARS:],
        "made_by": by,
        "made_at": format_instant(at) if at else "",
    }
    return json.dumps(doc)


def key_item(sha256: str, doc: str) -> dict[str, Any]:
    """A key's item: found by its hash on use, and by its program (GSI1) in lists."""
    said = json.loads(doc)
    index = {"GSI1PK": s(f"K#{said['program']}"), "GSI1SK": s(f"{said.get('made_at', '')}#{sha256}")}
    return {**_key_of(sha256), **index, "doc": s(doc)}


def _key_of(sha256: str) -> dict[str, Any]:
    return {"PK": s(f"K#{sha256}"), "SK": s("K")}


def _api_key(item: Mapping[str, Any]) -> ApiKey:
    sha256, doc = item["PK"]["S"].removeprefix("K#"), read_json(item)
    facts = {name: doc.get(name, "") for name in ("tail", "made_by", "made_at", "revoked_by", "revoked_at")}
    return ApiKey(
        sha256=sha256,
        name=doc["name"],
        role=doc["role"],
        last_used_at=item.get("last_used", s(""))["S"],
        **facts,
    )
