"""A simulated organisation and the ledger kept alike, whatever happens in between."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.remote.salesforce_hub import DOCUMENT, KEY, USER, ProcessKilled, SalesforceTestHub, key_pair
from tests.remote.salesforce_hub import house as open_house
from tests.settings import change_settings

from retour.channels.salesforce import change_entry, mapped_fields
from retour.domain.actions.outcome import Outcome
from retour.domain.times import format_instant, parse_instant
from retour.intake.ingest import ingest
from retour.remote import RemoteError
from retour.remote.salesforce import SalesforceClient, WriteResult, client_for, make_session, parse_domain
from retour.sync.run import handle_message
from retour.sync.salesforce import (
    OVERLAP,
    handle_push,
    read_back,
    reconcile,
    save_delivered,
    write_back,
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[SalesforceTestHub]:
    with open_house(tmp_path) as house:
        yield house


def crm(house: SalesforceTestHub) -> Any:
    return house.acme.sources["crm"]


def sync(house: SalesforceTestHub, *ids: str) -> list[Any]:
    """What became of the rows of a push that names these records."""
    batches = read_back(house, house.acme, crm(house), ids)
    return [result.outcome.value for batch in batches for result in batch.results]


def poll(house: SalesforceTestHub, time_left: Any = lambda: True) -> Any:
    return reconcile(house, house.acme, crm(house), time_left)


def connected(house: SalesforceTestHub, **other: Any) -> SalesforceClient:
    asked = {"domain": "acme.my", "username": USER, "consumer_key": KEY, "private_key": key_pair()[0]} | other
    return client_for(**asked, connect=house.simulator.connect, ca=house.salesforce_ca, timeout=(2, 0.5))


# The client


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("acme.my", "acme.my"),
        ("https://Acme.my.salesforce.com/", "acme.my"),
        ("acme--uat.sandbox.my", "acme--uat.sandbox.my"),
        ("login", "login"),
        ("test.salesforce.com", "test"),
    ],
)
def test_domains_as_people_write_them(written: str, domain: str) -> None:
    assert parse_domain(written) == domain


@pytest.mark.parametrize(
    "written",
    ["", "acme", "evil.example", "evil.example/.my", "evil.example#.my", "127.0.0.1",
     "acme.my.salesforce.com.evil.example", "user@acme.my", "acme.my:8443", "http://acme.my", "my"],
)  # fmt: skip
def test_nothing_but_salesforce_is_a_domain(written: str) -> None:
    with pytest.raises(RemoteError) as refused:
        parse_domain(written)
    assert refused.value.lasting


@pytest.mark.parametrize("url", ["https://169.254.169.254/", "https://acme.my.salesforce.com.evil.example/"])
def test_a_session_reaches_no_other_host(url: str) -> None:
    with pytest.raises(ValueError, match="not a host of Salesforce"):
        make_session(None, None, (1, 1)).get(url)
    with pytest.raises(ValueError, match="No connection adapters"):
        make_session(None, None, (1, 1)).get(url.replace("https", "http"))


def test_a_wrong_key_and_a_damaged_key_are_lasting(house: SalesforceTestHub) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for key in (other.decode(), "-----BEGIN PRIVATE KEY-----\nnonsense"):
        with pytest.raises(RemoteError) as refused:
            connected(house, private_key=key).read("Case", ["Status"], ["5005e0000000001AAA"])
        assert (refused.value.code, refused.value.lasting) == ("SALESFORCE_REFUSED", True)
        assert "nonsense" not in refused.value.sentence


def test_an_unknown_field_is_lasting_and_named(house: SalesforceTestHub) -> None:
    with pytest.raises(RemoteError, match=r"INVALID_FIELD.*Nothing__c") as refused:
        connected(house).read("Case", ["Nothing__c"], ["5005e0000000001AAA"])
    assert refused.value.lasting


@pytest.mark.parametrize("name", ["Status FROM Case", "Status,Id", "", "Sta'tus"])
def test_no_field_name_can_change_the_query(house: SalesforceTestHub, name: str) -> None:
    with pytest.raises(RemoteError, match="no API name"):
        connected(house).read("Case", [name], ["5005e0000000001AAA"])


def test_a_hanging_salesforce_is_given_up(house: SalesforceTestHub) -> None:
    record = house.record("New")
    salesforce = connected(house)
    salesforce.read("Case", ["Status"], [record])
    house.simulator.org.faults.count, house.simulator.org.faults.seconds = 1, 1.5
    started = time.monotonic()
    with pytest.raises(RemoteError) as unavailable:
        salesforce.read("Case", ["Status"], [record])
    assert time.monotonic() - started < 1.4
    assert not unavailable.value.lasting


@pytest.mark.parametrize("status", [500, 503])
def test_a_busy_salesforce_is_worth_another_try(house: SalesforceTestHub, status: int) -> None:
    house.simulator.org.faults.count, house.simulator.org.faults.status = 1, status
    with pytest.raises(RemoteError) as unavailable:
        connected(house).read("Case", ["Status"], ["5005e0000000001AAA"])
    assert not unavailable.value.lasting
    assert connected(house).read("Case", ["Status"], ["5005e0000000001AAA"]) == []


def test_a_dead_session_ends_after_few_logins(house: SalesforceTestHub) -> None:
    salesforce = connected(house)
    salesforce.read("Case", ["Status"], ["5005e0000000001AAA"])
    house.simulator.org.sessions = type("Forgetful", (dict,), {"get": lambda *_: None})()
    with pytest.raises(RemoteError) as unavailable:
        salesforce.write("Case", {"5005e0000000001AAA": {"Retour_State__c": "applied"}})
    assert not unavailable.value.lasting
    assert house.simulator.org.logins <= 5


def test_an_expired_session_is_renewed_once(house: SalesforceTestHub) -> None:
    record = house.record("New")
    salesforce = connected(house)
    for _ in range(2):
        assert len(salesforce.read("Case", ["Status"], [record])) == 1
        house.simulator.org.sessions.clear()
    assert house.simulator.org.logins == 2


def test_writing_answers_record_by_record(house: SalesforceTestHub) -> None:
    one, two = house.record("New"), house.record("New")
    house.simulator.org.faults.locked = {two: 1}
    gone = "5005e0000000999AAA"
    fields = {one: {"Retour_State__c": "applied"}, two: {"Retour_State__c": "x"}, gone: {"Retour_State__c": "x"}}
    results = connected(house).write("Case", fields)
    assert results[0] == WriteResult(one, ok=True)
    assert (results[1].later, results[1].code) == (True, "UNABLE_TO_LOCK_ROW")
    assert (results[2].ok, results[2].later) == (False, False)


def test_more_than_two_hundred_are_read_in_parts(house: SalesforceTestHub) -> None:
    ids = [house.record("New", f"A-{n}") for n in range(203)]
    assert {each["Id"] for each in connected(house).read("Case", ["Order_Number__c"], ids)} == set(ids)


def test_equal_stamps_are_read_page_by_page_without_loss(house: SalesforceTestHub) -> None:
    moment = house.now()
    house.simulator.org.now = lambda: moment
    ids = [house.record("New", f"A-{n}") for n in range(7)]
    pages = list(connected(house).modified_since("Case", ["Status"], None, page=3))
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [each["Id"] for page in pages for each in page] == sorted(ids)


# In


def test_a_status_change_reaches_the_ledger_and_the_record(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    record = house.record("New")
    assert sync(house, record) == []
    house.record("Returned", record=record)
    assert sync(house, record) == ["applied"]
    assert house.left("A-1") == 0
    [(queue, message)] = house.sent
    assert queue == "writebacks"
    assert message["records"] == [{"id": record, "version": 1, "state": "applied", "message": "A-1: 100.00 → 0.00 EUR"}]
    handle_message(house, message, lambda: True)
    seen = house.seen(record)
    assert (seen["Retour_State__c"], seen["Retour_Message__c"]) == ("applied", "A-1: 100.00 → 0.00 EUR")


def test_the_same_is_taken_in_once(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    record = house.record("Returned")
    assert sync(house, record) == ["applied"]
    assert sync(house, record, record) == []
    house.record("Returned", record=record, Subject="a field that is not mapped")
    assert sync(house, record) == []
    assert poll(house).changed == 0
    assert len(house.kept.bodies) == 1


def test_our_own_writing_is_no_change(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    house.record("Returned")
    assert poll(house).changed == 1
    message = house.sent.pop()[1]
    for _ in range(3):
        handle_message(house, message, lambda: True)
        assert poll(house).changed == 0
    assert house.sent == []
    calls = house.simulator.org.used
    handle_message(house, message, lambda: True)
    assert house.simulator.org.used == calls, "what the record was told already is not written again"


def test_back_and_forth_is_followed_in_order(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    record = house.record("New")
    left = []
    for status in ("Returned", "Restored", "Returned", "Approved", "Restored"):
        house.record(status, record=record)
        sync(house, record)
        left.append(house.left("A-1"))
    assert left == [0, 10000, 0, 0, 10000]


def test_a_return_record_takes_back_what_it_says_in_all(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    record = house.record("Partly returned", Refund__c=30)
    sync(house, record)
    house.record("Partly returned", record=record, Reason__c="ORDER_ERROR")
    sync(house, record)
    house.record("Closed", record=record)
    sync(house, record)
    house.record("Partly returned", record=record)
    sync(house, record)
    assert house.left("A-1") == 7000
    house.record("Partly returned", record=record, Refund__c=42.5)
    assert sync(house, record) == ["applied"]
    assert house.left("A-1") == 5750
    house.record("Partly returned", record=record, Refund__c=10)
    assert sync(house, record) == ["applied"]
    assert house.left("A-1") == 9000


def test_a_refused_amount_uses_nothing_up(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    record = house.record("Partly returned", Refund__c=300)
    assert sync(house, record) == ["refused"]
    house.record("Partly returned", record=record, Refund__c=30)
    assert sync(house, record) == ["applied"]
    assert house.left("A-1") == 7000


def test_two_records_may_take_back_the_same_amount(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    ids = [house.record("Partly returned", Refund__c=30) for _ in range(2)]
    assert sync(house, *ids) == ["applied", "applied"]
    assert house.left("A-1") == 4000


def test_too_early_waits(house: SalesforceTestHub) -> None:
    record = house.record("Returned", "A-7")
    assert sync(house, record) == ["waiting"]
    house.sell("A-7")
    assert house.left("A-7") == 0


def test_the_reconcile_finds_what_no_push_told(house: SalesforceTestHub) -> None:
    for n in range(5):
        house.sell(f"A-{n}")
        house.record("Returned", f"A-{n}")
    house.record("New", "A-9")
    found = poll(house)
    assert (found.records, found.changed, found.whole) == (6, 5, True)
    house.sell("A-10")
    house.record("Returned", "A-10")
    assert poll(house).changed == 1


def test_what_committed_late_is_found_behind_the_watermark(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    house.record("New", "A-2")
    poll(house)
    org = house.simulator.org
    moment = house.now() - OVERLAP / 2
    org.now = lambda: moment
    house.record("Returned", "A-1")
    assert poll(house).changed == 1


def test_the_watermark_follows_what_was_stored(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    record = house.record("Returned")
    house.simulator.org.faults.count, house.simulator.org.faults.status = 1, 503
    with pytest.raises(RemoteError):
        poll(house)
    assert house.facts.get("watermark") is None
    poll(house)
    stamp = house.seen(record)["SystemModstamp"]
    assert house.facts.docs["watermark"]["modified"][:19] == stamp[:19]


def test_time_out_and_the_next_run_goes_on(house: SalesforceTestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        house.sell(f"A-{n}")
        house.record("Returned", f"A-{n}")
    monkeypatch.setattr(SalesforceClient.modified_since, "__defaults__", (None, 2))
    assert not poll(house, lambda: False).whole
    assert poll(house).whole
    assert [house.left(f"A-{n}") for n in range(5)] == [0] * 5


def test_near_the_limit_the_reconcile_spares_the_organisation(house: SalesforceTestHub) -> None:
    house.record("New")
    house.simulator.org.used, house.simulator.org.total = 85, 100
    assert poll(house).spared
    calls = house.simulator.org.used
    assert poll(house).spared
    assert house.simulator.org.used == calls


def test_over_the_limit_a_push_is_put_off(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    record = house.record("Returned")
    house.simulator.org.used = house.simulator.org.total
    with pytest.raises(RemoteError, match="REQUEST_LIMIT_EXCEEDED"):
        handle_push(house, house.acme, crm(house), [record])
    [(queue, message)] = house.sent
    assert (queue, message["read"]) == ("writebacks", [record])
    house.simulator.org.used = 0
    handle_message(house, message, lambda: True)
    assert house.left("A-1") == 0


def test_what_a_person_must_put_right_is_not_put_off(house: SalesforceTestHub) -> None:
    house.document = json.loads(json.dumps(DOCUMENT).replace("Reason__c", "Nothing__c"))
    with pytest.raises(RemoteError):
        handle_push(house, house.acme, crm(house), ["5005e0000000001AAA"])
    assert house.sent == []


def test_a_deleted_record_changes_nothing(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    record = house.record("Returned")
    house.simulator.org.records["Case"][record]["IsDeleted"] = True
    assert sync(house, record) == []
    assert house.left("A-1") == 10000


@pytest.mark.parametrize("write", range(1, 12))
def test_a_kill_at_any_write_loses_and_doubles_nothing(house: SalesforceTestHub, write: int) -> None:
    house.sell("A-1")
    record = house.record("Partly returned", Refund__c=30)
    for refund in (30, 50):
        house.record("Partly returned", record=record, Refund__c=refund)
        house.killed_at(write)
        try:
            sync(house, record)
        except ProcessKilled:
            # Meanwhile the record moves on.
            house.record("Partly returned", record=record, Refund__c=refund + 5)
        house.killed_at(0)
        sync(house, record)
        poll(house)
        assert house.left("A-1") == 10000 - 100 * int(house.seen(record)["Refund__c"])


def test_readers_that_overtake_each_other_do_not_bring_back_the_old(house: SalesforceTestHub) -> None:
    from retour.sync.salesforce import ingest_records

    house.sell("A-1")
    record = house.record("Returned")
    org = house.simulator.org
    old = dict(house.seen(record))
    moment = house.now() + OVERLAP
    org.now = lambda: moment
    house.record("Restored", record=record)
    sync(house, record)
    ingest_records(house, house.acme, crm(house), [old])
    assert house.left("A-1") == 10000


def test_many_readers_at_once_take_a_change_in_once(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    record = house.record("Partly returned", Refund__c=30)
    threads = [threading.Thread(target=sync, args=(house, record)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert house.left("A-1") == 7000


def test_replayed_deliveries_are_remembered(house: SalesforceTestHub) -> None:
    """Stored deliveries bring a lost state back: the next change gets the next number, not the first."""
    house.sell("A-1")
    record = house.record("Returned")
    sync(house, record)
    house.record("Restored", record=record)
    sync(house, record)
    house.facts.docs.clear()
    for body in list(house.kept.bodies.values()):
        save_delivered(house, house.acme, crm(house), body, [])
    assert sync(house, record) == []
    house.record("Returned", record=record)
    assert sync(house, record) == ["applied"]
    assert house.left("A-1") == 0


# Back


def test_what_can_be_written_later_fails_its_message_and_nothing_else(house: SalesforceTestHub) -> None:
    one, two = house.record("New"), house.record("New")
    house.simulator.org.faults.locked = {two: 1}
    message = {
        "program": "acme",
        "source": "crm",
        "records": [{"id": each, "state": "applied", "message": ""} for each in (one, two)],
    }
    with pytest.raises(RemoteError) as busy:
        handle_message(house, message, lambda: True)
    assert not busy.value.lasting
    assert house.seen(one)["Retour_State__c"] == "applied"
    assert handle_message(house, message, lambda: True)["written"] == 1
    assert house.seen(two)["Retour_State__c"] == "applied"


def test_an_older_word_does_not_replace_a_newer(house: SalesforceTestHub) -> None:
    record = house.record("New")
    for version, state in ((2, "refused"), (1, "applied")):
        news = [{"id": record, "version": version, "state": state, "message": ""}]
        write_back(house, house.acme, crm(house), news)
    assert house.seen(record)["Retour_State__c"] == "refused"


def test_a_long_message_fits_its_field(house: SalesforceTestHub) -> None:
    record = house.record("New")
    news = [{"id": record, "state": "refused", "message": "why " * 100}]
    [written] = write_back(house, house.acme, crm(house), news)
    assert written.ok
    assert house.seen(record)["Retour_Message__c"].endswith("…")


def test_nothing_is_written_back_in_a_replay_or_unasked(house: SalesforceTestHub) -> None:
    record = house.record("New")
    news = [{"id": record, "state": "applied", "message": ""}]
    change_settings(house, outward=False)
    assert write_back(house, house.acme, crm(house), news) == []
    change_settings(house, outward=True)
    source = crm(house)
    unasked = replace(source, options={k: v for k, v in source.options.items() if k != "write_back"})
    assert write_back(house, house.acme, unasked, news) == []
    assert house.simulator.org.logins == 0


def test_a_source_that_is_gone_drops_its_messages(house: SalesforceTestHub) -> None:
    assert "dropped" in handle_message(house, {"program": "acme", "source": "old", "read": ["x"]}, lambda: True)
    assert "dropped" in handle_message(house, {"program": "old", "source": "crm", "read": ["x"]}, lambda: True)


def test_a_delivery_taken_in_again_comes_to_the_same_end(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    record = house.record("Partly returned", Refund__c=30)
    [batch] = read_back(house, house.acme, crm(house), [record])
    body = house.kept.bodies[batch.delivery.id]
    again = ingest(house, batch.delivery, body)
    assert [result.outcome for result in again.results] == [Outcome.APPLIED]
    assert house.left("A-1") == 7000


def test_a_number_that_another_reader_claimed_stays_its(house: SalesforceTestHub) -> None:
    house.sell("A-1")
    record = house.record("Partly returned", Refund__c=30)
    stamp = house.seen(record)["SystemModstamp"]
    older = change_entry(
        record, 1, format_instant(parse_instant(stamp)), mapped_fields(house.seen(record), crm(house)), {}
    )
    house.record("Partly returned", record=record, Refund__c=50)
    claim = house.facts.claim

    def overtaken(key: str, change: Any) -> bool:
        house.facts.docs.setdefault(f"change#{record}#000001", older)
        return claim(key, change)

    house.facts.claim = overtaken
    assert sync(house, record) == ["applied", "applied"]
    assert house.left("A-1") == 5000
    assert house.facts.docs[f"change#{record}#000001"] == older
