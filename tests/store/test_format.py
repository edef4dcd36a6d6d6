"""What a later release wrote is refused, and not read as if it said what ours say."""

import json

import pytest
from tests.conftest import ProgramHarness
from tests.test_cascade import ledger

from retour.domain.delivery import Channel, DeliveryKind
from retour.store.items import NewerFormatError, delivery_document, delivery_from, read_json, s


def test_a_document_without_a_number_has_the_first_format_and_a_higher_one_is_refused() -> None:
    assert read_json({"doc": s('{"a":1}')}) == {"a": 1}
    assert read_json({"doc": s('{"format":2,"a":1}')})["a"] == 1
    with pytest.raises(NewerFormatError, match="format 3"):
        read_json({"doc": s('{"format":3,"a":1}')})


def test_a_record_of_a_later_release_stops_whoever_would_book_on_it(house: ProgramHarness) -> None:
    house.report({"order_id": "A-1", "amount": "100.00"})
    client, key = house.hub._dynamodb, {"PK": s(f"A#{house.program}#A-1"), "SK": s("C#A-1~sale")}
    table = house.hub.settings.ledger_table
    item = client.get_item(TableName=table, Key=key)["Item"]
    client.put_item(TableName=table, Item={**item, "doc": s(json.dumps({**json.loads(item["doc"]["S"]), "format": 3}))})
    with pytest.raises(NewerFormatError):
        ledger(house).order("A-1")


def test_an_envelope_and_a_program_version_say_their_format(house: ProgramHarness) -> None:
    delivery = house.delivery(DeliveryKind.FILE, b"x", "warehouse", Channel.SFTP, name="a.csv")
    document = delivery_document(delivery)
    assert delivery_from({"format": 1, **document}) == delivery
    with pytest.raises(NewerFormatError):
        delivery_from({"format": 3, **document})
    newest = house.hub.programs._newest(house.program)
    assert newest is not None and read_json(newest)["format"] == 2
