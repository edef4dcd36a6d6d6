"""A row's order, the identity and subject of its record, and its provenance (spec 3 and 4)."""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from retour.domain.actions.modification import (
    SUBJECT_CHANGES,
    VERBS,
    Change,
    Price,
    Provenance,
    Version,
    digest,
    parse_version,
    receipt_version,
)
from retour.domain.delivery import Delivery
from retour.domain.program import OrderKeyRule, Program, Source
from retour.normalise.columns import KEY_BYTES_MAX
from retour.normalise.errors import CellError
from retour.sentences import truncate


def order_key(order_id: str, rule: OrderKeyRule) -> str:
    """The order id in normal form: NFC, trimmed, then as the program declares (spec 4)."""
    key = unicodedata.normalize("NFC", order_id).strip()
    if rule.strip_prefix and key.startswith(rule.strip_prefix):
        key = key[len(rule.strip_prefix) :]
    if rule.fold_case:
        key = key.casefold()
    return key.rjust(rule.pad, "0")


@dataclass(frozen=True)
class Identities:
    """Identities of the records of one delivery, and their order keys."""

    program: Program
    source: Source
    delivery: Delivery

    def order_key(self, cells: Mapping[str, str]) -> str | None:
        order_id = cells.get("order_id")
        return None if order_id is None else self.order_key_of(order_id)

    def order_key_of(self, order_id: str) -> str:
        """The order key for a sender's order id. Raises CellError if the id is unusable."""
        if order_id.isascii() and order_id.isdigit():
            order_id = order_id.rjust(self.source.mapping.get("order_id_width", 0), "0")
        key = order_key(order_id, self.program.order_key)
        if not key or len(key.encode()) > KEY_BYTES_MAX or not key.isprintable() or key.startswith("@"):
            raise CellError("ORDER_ID_UNUSABLE", "order_id", value=truncate(order_id), bytes=str(KEY_BYTES_MAX))
        return key

    @cached_property
    def keeps_order_ids(self) -> bool:
        """Whether plain order ids are used unchanged as order keys."""
        return self.program.order_key == OrderKeyRule() and not self.source.mapping.get("order_id_width")

    def identity_of(
        self,
        place: str,
        target: str,
        *,
        reference: str | None,
        event_type: str | None,
        sku: str | None,
        line: str | None,
        version: str = "",
        subject: str | None = None,
    ) -> str:
        """The record's identity: equal for everything that states the same."""
        if subject is not None:
            # Every row of a version counts, even equal ones; the fold decides which of them repeat each other.
            return digest(self.source.namespace, "subject", subject, self._statement_scope, place)
        if reference is None:
            return digest("", self.source.name, self.delivery.identity, place)
        return digest(self.source.namespace, reference, version, target, event_type or "", sku or "", line or "")

    @cached_property
    def _statement_scope(self) -> str:
        """The scope that distinguishes statements of different deliveries.

        For a source with `references: restate`, a file identical to an earlier one is not a repeated delivery: it
        states anew that this is so.
        """
        delivery = self.delivery
        by_its_bytes = delivery.identity == delivery.sha256
        return delivery.id if by_its_bytes and self.source.references == "restate" else delivery.identity

    def subject_of(self, told: str | None, reference: str | None, change: Change) -> str | None:
        """The subject named by the row; with `references: restate`, its reference."""
        if told is not None and not isinstance(change, SUBJECT_CHANGES):
            raise CellError("SUBJECT_NOT_FOR_CHANGE", "subject", subject=truncate(told), change=VERBS[type(change)])
        if told is None and self.source.references == "restate" and isinstance(change, SUBJECT_CHANGES):
            return reference
        return told

    def version(self, cells: Mapping[str, str]) -> Version:
        """The version of the record's subject: from the row, else the receipt."""
        received_at, told = self.delivery.received_at, cells.get("version")
        if told is None:
            return receipt_version(received_at, self.delivery.id)
        try:
            return parse_version(f"{told};{cells['rank']}" if "rank" in cells else told, received_at)
        except ValueError:
            raise CellError("VERSION_UNCLEAR", "version", value=truncate(told)) from None

    def provenance(self, place: str) -> Provenance:
        delivery = self.delivery
        return Provenance(delivery.id, delivery.name or delivery.kind, place, delivery.sha256, delivery.sender)


def prices(cells: Mapping[str, str]) -> tuple[Price, ...]:
    """The amount in the payload's other currencies, as filled by the adapter."""
    if "prices" not in cells:
        return ()
    told = json.loads(cells["prices"])
    totals = [one.get("order_total") for one in told]
    return tuple(
        Price(one["currency"], Decimal(one["amount"]), Decimal(total) if total else None)
        for one, total in zip(told, totals, strict=True)
    )
