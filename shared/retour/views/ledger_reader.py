"""Read orders, actions, records and the outcomes of deliveries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any

from retour.domain.actions.action import Action
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import ActionHead, Order
from retour.domain.actions.outcome import Outcome, Result
from retour.domain.delivery import Delivery, DeliveryKind
from retour.domain.program import Program
from retour.domain.row import ActionReport, Refusal, Unreadable
from retour.intake import action_reports
from retour.intake.batch import ARRIVED, HELD
from retour.normalise import order_key
from retour.ports import ReadPorts
from retour.posting.rows import as_duplicate, to_result, unreadable_result
from retour.store import outcomes
from retour.store.deliveries import Deliveries, DeliveryHeader
from retour.store.ledger import Ledger
from retour.store.rates import Rates
from retour.views.documents import action_line, count_outcomes, modification_document
from retour.views.schemas import ActionLineDocument, ModificationDocument

ORDERS_MAX = 300
"""Maximum orders read per page of a list."""
REPORT_BYTES = 200
"""Approximate size of an action's report."""
ID_MAX = 300


REPORTED_KEY = "reported"
"""Key in a delivery's report with the outcomes of its actions, kept after its body was deleted."""


@dataclass
class LedgerReader:
    """A request's view of a program's ledger. Each order is read once."""

    program: Program
    ledger: Ledger
    deliveries: Deliveries
    now: datetime
    orders: dict[str, Order] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def source_of(self, delivery: str) -> str:
        """The source of a delivery."""
        if delivery not in self.sources:
            header = self.deliveries.get(delivery)
            self.sources[delivery] = header.delivery.source if header else ""
        return self.sources[delivery]

    def order(self, key: str) -> Order:
        if key not in self.orders:
            self.orders[key] = self.ledger.order(key)
        return self.orders[key]

    def action(self, action_id: str) -> tuple[Order, Action, ActionHead] | None:
        """Find an action by the merchant's id, or by one derived from order key and event type."""
        for key in self._candidate_order_keys(action_id) if is_key(action_id) else ():
            order = self.order(key)
            action, head = order.action(action_id), order.heads.get(action_id)
            if action is not None and head is not None:
                return order, action, head
        return None

    def order_by_id(self, order_id: str) -> Order:
        """Find an order by a sender's order id."""
        key = order_key(order_id, self.program.order_key)
        return self.order(key) if is_key(key) else Order(key="")

    def order_modifications(self, order_id: str | None, action_id: str | None) -> Iterator[ModificationDocument]:
        """The modifications of an order, or of one action, newest first."""
        found = self.action(action_id) if action_id is not None else None
        order = found[0] if found else self.order_by_id(order_id) if order_id is not None else Order(key="")
        if found is None and action_id is not None and is_key(f"@{action_id}"):
            order = self.order(f"@{action_id}")
        for record in sorted(order.records, key=lambda one: (one.received_at, one.id), reverse=True):
            document = modification_document(order, record, self.program)
            if action_id in (None, document["action_id"]):
                yield document

    def _candidate_order_keys(self, action_id: str) -> Iterator[str]:
        return self.candidate_order_keys(action_id, self.ledger.order_key_of(action_id))

    def candidate_order_keys(self, action_id: str, named: str | None) -> Iterator[str]:
        """Order keys that may hold an action: the one linked to its id, and those contained in a derived id."""
        if named is not None:
            yield named
        parts = action_id.split("~")
        for cut in range(1, len(parts)):
            if parts[cut] in self.program.event_types:
                yield "~".join(parts[:cut])

    def modification(self, public_id: str) -> tuple[Order, Modification] | None:
        """Find a record by its public id, which contains its home. A record that waited has moved to its order."""
        home, _, digits = public_id.rpartition("~")
        for key in self._candidate_homes(home) if is_key(home) else ():
            order = self.order(key)
            record = order.record(digits)
            if record is not None:
                return order, record
        return None

    def _candidate_homes(self, home: str) -> Iterator[str]:
        if home.startswith("@"):
            yield from self._candidate_order_keys(home[1:])
        yield home

    def results(self, header: DeliveryHeader, skip: int = 0) -> Iterator[Result]:
        """The results of a delivery: of a file as stored, otherwise from the ledger."""
        match header.delivery.kind:
            case DeliveryKind.FILE if header.state in (ARRIVED, HELD):
                return
            case DeliveryKind.FILE:
                yield from islice(outcomes.load_outcomes(self.deliveries.inbox, header.delivery), skip, None)
            case DeliveryKind.ACTIONS:
                if header.is_gone:
                    yield from map(result_from_summary, islice(header.report.get(REPORTED_KEY, ()), skip, None))
                else:
                    body = self.deliveries.body(header)
                    yield from self.report_results(header.delivery, action_reports.from_json(body), skip)
            case _:
                yield from (self._result(header, row) for row in header.report.get("rows", ())[skip:])

    def counts(self, header: DeliveryHeader) -> dict[str, int]:
        """The number of records by outcome; empty if too many would have to be looked up."""
        told_then: dict[str, int] = header.report.get("counts", {})
        rows = len(header.report.get("rows", ())) or header.delivery.size // REPORT_BYTES
        if told_then or header.delivery.kind is DeliveryKind.FILE or len(self.orders) + rows > ORDERS_MAX:
            return dict(told_then)
        return count_outcomes(self.results(header))

    def _result(self, header: DeliveryHeader, row: Sequence[Any]) -> Result:
        if len(row) > 2:
            place, code, details, column, order = row
            return unreadable_result(Unreadable(place, code, details, column, order=order))
        place, public_id = row
        found = self.modification(public_id)
        if found is None:
            return Result(place=place, outcome=Outcome.REFUSED, code="ORDER_TOO_LARGE", modification=public_id)
        order, record = found
        own = replace(record.provenance, delivery=header.delivery.id, place=place)
        return to_result(order, replace(record, provenance=own), None, self.program)

    def report_results(
        self, delivery: Delivery, read: Sequence[ActionReport | Unreadable] | Refusal, skip: int = 0
    ) -> Iterator[Result]:
        """The results of a delivery's reported actions."""
        rates = Rates(self.deliveries.client, self.deliveries.table, self.program.id)
        for one in () if isinstance(read, Refusal) else read[skip:]:
            action = (
                one
                if isinstance(one, Unreadable)
                else action_reports.action_from_report(one, self.program, delivery, rates.on)
            )
            if isinstance(action, Unreadable):
                yield unreadable_result(action)
            else:
                yield self._report_result(one.place, action)

    def _report_result(self, place: str, action: Action) -> Result:
        standing = self.order(action.order_key).action(action.id)
        result = Result(place=place, outcome=Outcome.APPLIED, order=action.order_id, action=action.id)
        if standing is None or standing.delivery == action.delivery:
            return result
        if action_reports.is_same_report(standing, action):
            return as_duplicate(result, standing.delivery)
        return replace(result, outcome=Outcome.REFUSED, code="ACTION_EXISTS", details={"action": action.id})

    # Records of a delivery, for lists

    def modifications(self, header: DeliveryHeader, skip: int) -> Iterator[ModificationDocument | None]:
        """The modifications of a delivery; None for rows that are duplicates or no modification."""
        if is_action_report(header.delivery):
            return
        for result in self.results(header, skip):
            found = self.modification(result.modification) if result.modification else None
            own = found is not None and found[1].provenance.delivery == header.delivery.id
            yield modification_document(*found, self.program) if found and own else None

    def actions(self, header: DeliveryHeader, skip: int) -> Iterator[ActionLineDocument | None]:
        """The actions a delivery was the first to report."""
        if not is_action_report(header.delivery):
            return
        for result in self.results(header, skip):
            found = self.action(result.action) if result.action else None
            own = found is not None and found[1].delivery == header.delivery.id
            yield action_line(*found[1:], self.program, self.now) if found and own else None


def build_reader(ports: ReadPorts, program: Program) -> LedgerReader:
    return LedgerReader(program, ports.ledger(program), ports.deliveries(program.id), ports.now())


def result_from_summary(kept: Sequence[str]) -> Result:
    """The result of an action in a call whose body was deleted."""
    place, outcome, code, order, action = kept
    details = {"action": action} if code else {}
    return Result(place=place, outcome=Outcome(outcome), code=code, details=details, order=order, action=action)


def is_key(text: str) -> bool:
    """Whether a text can be a key."""
    return 0 < len(text) <= ID_MAX and text.isprintable()


def is_action_report(delivery: Delivery) -> bool:
    return delivery.kind is DeliveryKind.ACTIONS or delivery.facts.get("layout") == "actions"
