"""A ledger that writes nothing: what would happen, on top of what stands. Dry runs use it, and so do tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from retour.domain.action import Action
from retour.domain.contract import Contract
from retour.domain.decide import Head, Order
from retour.domain.modification import Modification
from retour.store.ledger import Ledger


@dataclass
class Rehearsal:
    """Reads through to `under` once per order and keeps every write to itself; without `under` it starts empty.

    `found` are the orders as they were read.
    """

    contracts: Sequence[Contract]
    under: Ledger | None = None
    orders: dict[str, Order] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    found: dict[str, Order] = field(default_factory=dict)
    bound: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def order(self, key: str) -> Order:
        if key not in self.orders:
            self.found[key] = self.orders[key] = self.under.order(key) if self.under else Order(key=key)
        return self.orders[key]

    def insert(self, modification: Modification) -> Modification | None:
        order = self.order(modification.home)
        standing = next((record for record in order.records if record.id == modification.id), None)
        if standing is None:
            self.orders[order.key] = replace(order, records=[*order.records, modification])
        return standing

    def report(self, action: Action) -> Action | None:
        order = self.order(action.order_key)
        standing = order.action(action.id)
        if standing is None:
            self.orders[order.key] = replace(order, actions=[*order.actions, action])
        return standing

    def write_head(self, order_key: str, head: Head, seen: Head | None, action: Action | None) -> bool:
        order = self.order(order_key)
        standing = order.heads.get(head.action)
        if (standing and standing.version) != (seen and seen.version):
            return False
        self.orders[order_key] = replace(order, heads={**order.heads, head.action: head})
        return True

    def order_key_of(self, action_id: str) -> str | None:
        if action_id in self.names:
            return self.names[action_id]
        return self.under.order_key_of(action_id) if self.under else None

    def name(self, action_id: str, order_key: str) -> str:
        return self.order_key_of(action_id) or self.names.setdefault(action_id, order_key)

    def bind(self, parent: str, child: Action) -> None:
        self.bound.setdefault(parent, []).append((child.order_key, child.id))

    def children(self, parent: str) -> Sequence[tuple[str, str]]:
        known = self.under.children(parent) if self.under else ()
        return sorted({*known, *self.bound.get(parent, ())})
