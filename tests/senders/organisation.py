"""Sequences of a Salesforce organisation: records changed there, Outbound Messages in, records read back, what is left.

The function that takes the messages is the real one, and so is the client that reads back, from the simulated
organisation; the ledger is in memory.
"""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from local.salesforce import ADMIN, Notification
from retour.domain.contracts.versions import with_versions_of
from retour.domain.program import Program, program_from
from tests import gateway
from tests.remote.salesforce_hub import DOCUMENT, SOURCE, TOKEN, CountingLedger, SalesforceTestHub
from tests.remote.salesforce_hub import house as open_house
from tests.senders.sequences import MessageSequence, SequenceMessage, table
from tests.senders.webhook_harness import CONTEXT, NOW, ROOT

KIND = "salesforce"


@dataclass
class SalesforceOrganisation:
    """A simulated organisation, joined to a hub in memory with a source for each of its objects."""

    house: SalesforceTestHub
    records: dict[tuple[str, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.app.hub = lambda: self.house  # type: ignore[attr-defined]  # the function takes what its edge gives it

    @cached_property
    def app(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location("salesforce_in_memory", ROOT / "functions/salesforce/app.py")
        assert spec
        assert spec.loader
        app = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(app)
        return app

    def play(self, order: str, sequence: MessageSequence) -> tuple[str, Sequence[SequenceMessage]]:
        """What is left of a new order after a sequence, and what was read of its records, oldest first.

        A message comes after its change, and maybe after later ones: they are made by then, and the newest is read.
        """
        self.forget()
        self.house.sell(order, table(KIND)["sale"])
        read: list[SequenceMessage] = []
        changes = iter(sequence.told)
        made: list[SequenceMessage] = []
        for at, one in enumerate(sequence.arrivals, start=1):
            while len(made) < one.at:
                made.append(next(changes))
                self.change(order, made[-1])
            self.tell(order, one)
            newest = [change for change in made if change.object == one.object][-1]
            read.append(SequenceMessage(newest.object, newest.type, newest.state, newest.payload, at))
        return f"{self.house.left(order) / 100:.2f}", read

    def change(self, order: str, one: SequenceMessage) -> None:
        """What a person at the merchant's does: the record of this object gets this status."""
        org, key = self.house.simulator.org, (order, one.object)
        amount = float(table(KIND)["objects"][one.type]["payloads"][one.payload])
        record = self.records.get(key)
        match one.type:
            case "case":
                values = {"Order_Number__c": order, "Refund__c": amount, "Status": one.state}
                self.records[key] = org.save("Case", record, values, ADMIN)
            case "order":
                self.records[key] = org.save("Order", record, {"OrderNumber": order, "Status": one.state}, ADMIN)
            case "item":
                self.records[key] = org.save("Order", record, {"OrderNumber": order, "Status": one.state}, ADMIN)
                if record is None:
                    item = {"OrderId": self.records[key], "Sku__c": "", "TotalPrice": amount}
                    org.save("OrderItem", None, item, ADMIN)

    def tell(self, order: str, one: SequenceMessage) -> None:
        """An Outbound Message about the record whose status changed: of an item that is its order."""
        org, source = self.house.simulator.org, table(KIND)["objects"][one.type]["source"]
        org.outbound.object = "Case" if one.type == "case" else "Order"
        body = org.envelope([Notification("04l5e0000000001AAA", self.records[order, one.object], 0)])
        path = {"program": "acme", "source": source, "token": TOKEN}
        address = f"/v1/programs/acme/salesforce/{source}/{TOKEN}"
        answer = self.app.handler(gateway.event("POST", address, body, {"content-type": "text/xml"}, path), CONTEXT)
        assert answer["statusCode"] == 200, answer

    def forget(self) -> None:
        """What earlier sequences left behind makes nothing wrong, only slow."""
        for records in self.house.simulator.org.records.values():
            records.clear()
        self.records.clear()
        self.house.facts.docs.clear()
        self.house.kept.bodies.clear()
        self.house.kept.states.clear()
        self.house.sent.clear()
        self.house.books = CountingLedger(self.house.acme.contracts)
        self.house.books.life = self.house.life


class FixedProgramHub(SalesforceTestHub):
    """A house whose program never changes, so that it is read once."""

    @cached_property
    def _acme(self) -> Program:
        return program_from(document(), 1, with_versions_of(document(), (), NOW.replace(year=2020)))

    def program(self, program_id: str) -> Program | None:
        return self._acme if program_id == "acme" else None

    def throttle(self, key: str, seconds: int) -> bool:
        return False


def document() -> Mapping[str, Any]:
    usual = {name: value for name, value in SOURCE["options"].items() if name != "write_back"}  # type: ignore[attr-defined]
    sources = {
        name: {**SOURCE, "reference_namespace": "crm", "options": {**usual, **options}}
        for name, options in table(KIND)["sources"].items()
    }
    return {**DOCUMENT, "possible_duplicate_days": 0, "sources": sources}


@contextmanager
def organisation() -> Iterator[SalesforceOrganisation]:
    with TemporaryDirectory() as folder, open_house(Path(folder)) as house:
        yield SalesforceOrganisation(FixedProgramHub(house.simulator, house.salesforce_ca))
