"""A source that is switched off: what it brings is kept and refused, nobody is visited, and nothing is lost."""

from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness

from retour.commands import sources
from retour.context import Context
from retour.domain.actions.outcome import Outcome
from retour.errors import RequestError
from retour.intake.ingest import ingest
from retour.polling.queue import handle_message
from retour.schedule.due import request_polls
from retour.store.programs import Principal

BACK = {"order_id": "A-1", "change": "take_back", "amount": "20.00", "currency": "EUR", "reference": "R-1"}
DEPOT = {"channel": "pull", "options": {"protocol": "sftp", "host": "ftp.merchant.example", "user": "u"}}


def switched(house: ProgramHarness, on: bool, **more: Any) -> None:
    erp = {**PROGRAM["sources"]["erp"], "enabled": on}
    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "erp": erp, **more}})


def test_its_records_are_refused_and_applied_once_it_is_on_and_they_are_read_again(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "currency": "EUR", "amount": "100.00"})
    switched(house, on=False)
    batch = house.modify(BACK, source="erp")
    assert [(one.outcome, one.code) for one in batch.results] == [(Outcome.REFUSED, "CHANNEL_NOT_ALLOWED")]
    assert house.modify({**BACK, "reference": "R-2"}, source="till").results[0].outcome is Outcome.APPLIED
    assert house.payouts("A-1")["A-1~sale"][0] == 8000
    switched(house, on=True)
    header = house.hub.deliveries(house.program).get(batch.delivery.id)
    assert header is not None
    again = ingest(house.hub, header.delivery, house.hub.deliveries(house.program).body(header))
    assert again.results[0].outcome in (Outcome.APPLIED, Outcome.HELD), "kept, and judged anew"


def test_its_server_is_not_visited_on_its_day_nor_when_somebody_asks(house: ProgramHarness) -> None:
    switched(house, on=True, depot={**DEPOT, "enabled": False})
    house.clock.moment += timedelta(days=1)
    program = house.hub.program(house.program)
    assert program is not None and request_polls(house.hub, program) == []
    context = Context(ports=house.hub, program=program, caller=Principal(program.id, "merchant", "test"))
    with pytest.raises(RequestError):
        sources.request_pull(context, "depot")
    told = handle_message(house.hub, lambda *_: None, {"program": house.program, "source": "depot", "visit": "v-1"})
    assert told["dropped"] == "the source is switched off"
    switched(house, on=True, depot=DEPOT)
    program = house.hub.program(house.program)
    assert program is not None and request_polls(house.hub, program) == ["depot"]
