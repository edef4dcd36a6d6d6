"""A ledger that keeps its writes in memory, on top of the stored one. Used by dry runs and tests."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal

from retour.domain.actions.action import Action
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import Order
from retour.domain.contracts.contract import Contract
from retour.store.ledger import HeadWrite, Ledger, NameFacts, TableLedger


@dataclass
class DryRunLedger:
    """Reads each order once from `under` and keeps every write in memory. Without `under` it starts empty.

    `found` holds the orders as they were read.
    """

    contracts: Sequence[Contract]
    under: Ledger | None = None
    orders: dict[str, Order] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    found: dict[str, Order] = field(default_factory=dict)
    bound: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    totals: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    awaited: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def prefetched(cls, under: TableLedger, keys: Iterable[str]) -> "DryRunLedger":
        """A dry-run ledger with these orders read in parallel beforehand."""
        wanted = list(keys)
        with ThreadPoolExecutor(under.connections) as pool:
            found = dict(zip(wanted, pool.map(under.order, wanted), strict=True))
        return cls(under.contracts, under, dict(found), found=found)

    def order(self, key: str) -> Order:
        if key not in self.orders:
            self.found[key] = self.orders[key] = self.under.order(key) if self.under else Order(key=key)
            self.contracts = self.under.contracts if self.under else self.contracts
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

    def write_heads(self, order_key: str, changes: Sequence[HeadWrite]) -> bool:
        order = self.order(order_key)
        if order_key.startswith("@") and self.order_key_of(order_key[1:]) is not None:
            return False
        for change in changes:
            standing = order.heads.get(change.head.action)
            if (standing and standing.version) != (change.seen and change.seen.version):
                return False
        heads = {change.head.action: change.head for change in changes}
        self.orders[order_key] = replace(order, heads={**order.heads, **heads})
        return True

    def order_key_of(self, action_id: str) -> str | None:
        if action_id in self.names:
            return self.names[action_id]
        return self.under.order_key_of(action_id) if self.under else None

    def claim_name(self, action_id: str, order_key: str) -> str:
        return self.order_key_of(action_id) or self.names.setdefault(action_id, order_key)

    def name_facts(self, name: str) -> NameFacts:
        known = self.under.name_facts(name) if self.under else NameFacts()
        return NameFacts(
            order_key=self.names.get(name, known.order_key),
            totals={**known.totals, **self.totals.get(name, {})},
            waiting=sorted({*known.waiting, *self.awaited.get(name, ())}),
        )

    def save_total(self, name: str, total: Decimal, currency: str) -> None:
        self.totals.setdefault(name, {})[currency] = total

    def request_total(self, name: str, order_key: str) -> None:
        self.awaited.setdefault(name, []).append(order_key)

    def link_child(self, parent: str, child: Action) -> None:
        self.bound.setdefault(parent, []).append((child.order_key, child.id))

    def children(self, parent: str) -> Sequence[tuple[str, str]]:
        known = self.under.children(parent) if self.under else ()
        return sorted({*known, *self.bound.get(parent, ())})
