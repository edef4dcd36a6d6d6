"""Deliveries through the front door of the intake, on the embedded AWS with the real storage."""

import json
from collections.abc import Callable

import pytest
from tests.conftest import ProgramHarness
from tests.meter import Meter

from retour.domain.actions.outcome import Outcome
from retour.domain.delivery import Channel, DeliveryKind
from retour.intake.batch import Batch
from retour.intake.decision import release_delivery
from retour.intake.dry_run import dry_run_delivery
from retour.intake.ingest import ingest
from retour.posting.refold import refold_order
from retour.posting.waiting import expire_waiting
from retour.sentences import sentence

SALE = {"order_id": "A-1", "amount": "100.00"}


def outcomes(batch: Batch) -> list[tuple[str, str]]:
    return [(result.outcome.value, result.code) for result in batch.results]


def test_a_return_takes_back_amount_and_payout(house: ProgramHarness) -> None:
    house.report(SALE)
    batch = house.modify({"reference": "r1", "order_id": "A-1", "change": "take_back", "amount": "20.00"})
    (result,) = batch.results
    assert result.outcome is Outcome.APPLIED
    assert result.effect is not None
    assert (result.effect.amount_before, result.effect.amount_after) == (10000, 8000)
    assert (result.effect.payout_before, result.effect.payout_after) == (800, 640)
    assert house.payouts("A-1") == {"A-1~sale": (8000, 640, "pending")}


def test_the_same_record_again_is_a_duplicate_and_other_content_is_refused(house: ProgramHarness) -> None:
    house.report(SALE)
    record = {"reference": "r1", "order_id": "A-1", "change": "take_back", "amount": "20.00"}
    house.modify(record)
    again = house.modify(record)
    assert outcomes(again) == [("duplicate", "")]
    assert again.results[0].effect is not None and again.results[0].effect.payout_after == 640
    assert outcomes(house.modify({**record, "amount": "20.0"})) == [("duplicate", "")]
    assert outcomes(house.modify({**record, "note": "other note", "reason": "OTHER"})) == [("duplicate", "")]
    assert outcomes(house.modify({**record, "amount": "21.00"})) == [("refused", "REFERENCE_REUSED")]
    assert house.payouts("A-1") == {"A-1~sale": (8000, 640, "pending")}


def test_a_reference_counts_within_its_namespace(house: ProgramHarness) -> None:
    house.report(SALE)
    record = {"reference": "1", "order_id": "A-1", "change": "take_back", "amount": "20.00"}
    house.modify(record)
    assert outcomes(house.modify({**record, "amount": "30.00"}, source="till")) == [("applied", "")]


def test_an_equal_effect_from_elsewhere_is_held_until_a_person_has_looked(house: ProgramHarness) -> None:
    house.report(SALE)
    record = {"reference": "1", "order_id": "A-1", "change": "take_back", "amount": "20.00"}
    house.modify(record)
    held = house.modify({**record, "reference": "refund-9"}, source="till")
    assert outcomes(held) == [("held", "POSSIBLE_DUPLICATE")]
    assert house.payouts("A-1") == {"A-1~sale": (8000, 640, "pending")}
    name = held.results[0].modification
    released = house.modify({"order_id": "A-1", "change": "release", "undoes": name}, channel=Channel.CONSOLE)
    assert outcomes(released) == [("applied", "")]
    assert house.payouts("A-1") == {"A-1~sale": (6000, 480, "pending")}
    again = house.modify({"order_id": "A-1", "change": "release", "undoes": name}, channel=Channel.CONSOLE)
    assert outcomes(again) == [("refused", "NOT_HELD")]


def test_undo_leaves_a_record_out_and_the_others_keep_their_meaning(house: ProgramHarness) -> None:
    house.report(SALE)
    first = house.modify({"reference": "1", "order_id": "A-1", "change": "take_back", "amount": "20.00"})
    house.modify({"reference": "2", "order_id": "A-1", "change": "take_back", "amount": "30.00"})
    undo = house.modify(
        {"reference": "u", "order_id": "A-1", "change": "undo", "undoes": first.results[0].modification}
    )
    assert outcomes(undo) == [("applied", "")]
    assert house.payouts("A-1") == {"A-1~sale": (7000, 560, "pending")}
    house.modify({"reference": "v", "order_id": "A-1", "change": "undo", "undoes": undo.results[0].modification})
    assert house.payouts("A-1") == {"A-1~sale": (5000, 400, "pending")}


def test_a_refusal_uses_nothing_up(house: ProgramHarness) -> None:
    house.report(SALE)
    too_much = {"reference": "r1", "order_id": "A-1", "change": "take_back", "amount": "200.00"}
    first, second = house.modify(too_much), house.modify(too_much)
    assert outcomes(first) == outcomes(second) == [("refused", "AMOUNT_EXCEEDS_SALE")]
    assert first.results[0].modification != second.results[0].modification
    corrected = {**too_much, "amount": "100.00"}
    assert outcomes(house.modify(corrected)) == [("applied", "")]
    assert outcomes(house.modify(corrected)) == [("duplicate", "")]
    assert outcomes(house.modify(too_much)) == [("refused", "REFERENCE_REUSED")]
    assert house.payouts("A-1") == {"A-1~sale": (0, 0, "reversed")}


def test_a_refused_record_that_fits_later_is_applied_in_a_new_delivery(house: ProgramHarness) -> None:
    house.report(SALE)
    house.modify({"reference": "x", "order_id": "A-1", "change": "reverse"})
    late = {"reference": "r1", "order_id": "A-1", "change": "take_back", "amount": "30.00"}
    assert outcomes(house.modify(late)) == [("refused", "ACTION_REVERSED")]
    house.modify({"reference": "y", "order_id": "A-1", "change": "restore"})
    assert outcomes(house.modify(late)) == [("applied", "")]
    assert house.payouts("A-1") == {"A-1~sale": (7000, 560, "pending")}


def test_two_equal_refunds_without_reference_both_count_and_their_redelivery_does_not(house: ProgramHarness) -> None:
    house.report(SALE)
    record = {"order_id": "A-1", "change": "take_back", "amount": "20.00"}
    assert outcomes(house.modify(record, record, identity="webhook-1")) == [("applied", ""), ("applied", "")]
    assert outcomes(house.modify(record, record, identity="webhook-1")) == [("duplicate", ""), ("duplicate", "")]
    assert house.payouts("A-1")["A-1~sale"] == (6000, 480, "pending")


def test_too_early_waits_and_is_applied_by_the_report(house: ProgramHarness) -> None:
    by_order = {"reference": "r1", "order_id": "A-1", "change": "take_back", "amount": "20.00"}
    by_action = {"reference": "r2", "action_id": "M.77", "change": "reverse"}
    batch = house.modify(by_order, by_action)
    assert outcomes(batch) == [("waiting", "WAITING")] * 2
    house.report(SALE, {"order_id": "B-1", "action_id": "M.77", "amount": "50.00"})
    assert house.payouts("A-1") == {"A-1~sale": (8000, 640, "pending")}
    assert house.payouts("B-1") == {"M.77": (0, 0, "reversed")}
    second_answers = [message for queue, message in house.sent if queue == "answers"]
    assert [message["what"] for message in second_answers] == ["settled", "settled"]
    assert {message["delivery"] for message in second_answers} == {batch.delivery.id}
    house.sent.clear()
    house.report(SALE)
    assert house.sent == []


def test_what_waits_too_long_is_refused_and_answered(house: ProgramHarness) -> None:
    batch = house.modify(
        {"reference": "r1", "order_id": "nowhere", "change": "reverse"},
        {"reference": "r2", "action_id": "unknown", "change": "reverse"},
    )
    program = house.hub.program(house.program)
    assert program is not None
    assert expire_waiting(house.hub, program) == 0
    house.clock.moment = batch.delivery.received_at.replace(month=12, day=30)
    assert expire_waiting(house.hub, program) == 2
    order = house.order("nowhere")
    (record,) = order.records
    booked = order.booking_of(record.id)
    assert booked is not None and (booked[1].outcome, booked[1].code) == (Outcome.REFUSED, "ACTION_NOT_FOUND")
    assert len([message for queue, message in house.sent if queue == "answers"]) == 1
    assert expire_waiting(house.hub, program) == 0
    again = house.modify({"reference": "r1", "order_id": "nowhere", "change": "reverse"})
    assert outcomes(again) == [("waiting", "WAITING")]


def test_what_a_file_brought_waits_at_least_as_long_as_the_file_is_at_work(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given up before, and applied when the file is read again to its end, it would have had two ends."""
    body = b"reference,action_id,change\nr1,M.9,reverse\n"
    delivery = house.delivery(DeliveryKind.FILE, body, "warehouse", Channel.SFTP, name="may.csv", identity="may")
    with monkeypatch.context() as killed:
        killed.setattr("retour.store.outcomes.save_outcomes", lambda *_: (_ for _ in ()).throw(SystemExit("killed")))
        with pytest.raises(SystemExit):
            ingest(house.hub, delivery, body)
    program = house.hub.program(house.program)
    assert program is not None
    house.clock.moment = delivery.received_at.replace(month=12, day=30)
    assert expire_waiting(house.hub, program) == 0
    assert ingest(house.hub, delivery, body).counts == {"waiting": 1}
    assert expire_waiting(house.hub, program) == 1


def test_actions_are_reported_once(house: ProgramHarness) -> None:
    assert outcomes(house.report(SALE)) == [("applied", "")]
    assert outcomes(house.report(SALE)) == [("duplicate", "")]
    assert outcomes(house.report({**SALE, "amount": "99.00"})) == [("refused", "ACTION_EXISTS")]
    assert outcomes(house.report({**SALE, "action_id": "M.1", "event_type": "lead"})) == [("applied", "")]
    assert outcomes(house.report({"order_id": "Z", "action_id": "M.1", "amount": "1"})) == [
        ("refused", "ACTION_EXISTS")
    ]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"order_id": ""}, "FIELD_MISSING"),
        ({"event_type": "call"}, "UNKNOWN_EVENT_TYPE"),
        ({"amount": "1e3"}, "NOT_AN_AMOUNT"),
        ({"amount": "10.001"}, "AMOUNT_TOO_FINE"),
        ({"amount": "-1"}, "AMOUNT_NEGATIVE"),
        ({"amount": "99999999999999"}, "AMOUNT_TOO_LARGE"),
        ({"currency": "EUX"}, "UNKNOWN_CURRENCY"),
        ({"event_time": "yesterday"}, "NOT_A_TIME"),
        ({"event_time": "2027-01-01T00:00:00Z"}, "EVENT_IN_FUTURE"),
        ({"items": []}, "ITEMS_UNUSABLE"),
        ({"items": {"sku": "X", "amount": "1"}}, "ITEMS_UNUSABLE"),
        ({"quantity": "2"}, "FIELD_OF_ITEMS"),
        ({"items": [{"line": "1", "amount": "60"}, {"line": "1", "amount": "40"}]}, "LINE_TWICE"),
        ({"items": [{"line": "2", "amount": "60"}, {"amount": "40"}]}, "LINE_TWICE"),
        ({"items": [{"amount": "60.00"}, {"amount": "39.99"}]}, "AMOUNT_NOT_THE_SUM"),
        ({"items": [{"amount": "60.00"}, {"amount": "40"}], "amount": "x"}, "NOT_AN_AMOUNT"),
        ({"colour": "red"}, "UNKNOWN_FIELD"),
    ],
)
def test_a_wrong_action_is_refused_with_its_reason(house: ProgramHarness, fields: dict[str, str], code: str) -> None:
    assert outcomes(house.report({**SALE, **fields})) == [("refused", code)]
    assert house.payouts("A-1") == {}


@pytest.mark.parametrize("amount", ["100.00", "100", "", None])
def test_an_amount_beside_items_is_taken_where_it_is_what_they_add_up_to(
    house: ProgramHarness, amount: str | None
) -> None:
    items = [{"sku": "X", "quantity": 2, "amount": "60.00"}, {"sku": "Y", "amount": "40.00"}]
    assert outcomes(house.report({**SALE, "items": items, "amount": amount})) == [("applied", "")]
    assert house.payouts("A-1")["A-1~sale"] == (10000, 800, "pending")


def test_an_amount_that_is_not_the_sum_of_the_items_is_told_with_the_sum(house: ProgramHarness) -> None:
    [told] = house.report({**SALE, "amount": "90.00", "items": [{"amount": "60.00"}, {"amount": "40.00"}]}).results
    assert told.column == "amount"
    assert sentence(told.code, told.details).startswith("`amount` is 90.00, but the items add up to 100.00.")


def test_rows_of_an_action_that_contradict_each_other_are_refused_together(house: ProgramHarness) -> None:
    head = "order_id,event_type,partner,event_time,currency,sku,amount,promo_code\n"
    first = "A-1,sale,nordlicht,2026-11-01T12:00:00+01:00,EUR,"
    text = f"{head}{first}X,60.00,\nA-1,,,,,Y,30.00,SPRING\n{first.replace('A-1', 'A-2')}X,5.00,\n"
    text += f"{first.replace('A-1', 'A-2').replace('nordlicht', 'suedwind')}Y,5.00,\n"
    delivery = house.delivery(
        DeliveryKind.FILE, text.encode(), "actions", Channel.API, name="a.csv", facts={"layout": "actions"}
    )
    one, two = ingest(house.hub, delivery, text.encode()).results
    assert one.outcome == "applied", one
    assert house.order("A-1").actions[0].promo_code == "SPRING"
    assert (two.outcome, two.code, two.column, two.order) == ("refused", "ACTION_ROWS_DIFFER", "partner", "A-2")
    assert "line 5 has partner suedwind" in sentence(two.code, two.details) and two.raw.count("A-2") == 2


def test_an_order_of_two_event_types_asks_for_one(house: ProgramHarness) -> None:
    house.report(SALE, {**SALE, "event_type": "lead", "amount": "5.00"})
    assert outcomes(house.modify({"order_id": "A-1", "change": "reverse"})) == [("refused", "EVENT_TYPE_NEEDED")]
    assert outcomes(house.modify({"order_id": "A-1", "event_type": "lead", "change": "reverse"})) == [("applied", "")]
    assert house.payouts("A-1")["A-1~sale"] == (10000, 800, "pending")


def test_a_file_is_taken_in_row_by_row_and_its_redelivery_changes_nothing(house: ProgramHarness) -> None:
    house.report(SALE)
    body = (
        b"reference,order_id,change,amount,reason\n"
        b"f1,A-1,take_back,10.00,ITEM_RETURNED\n"
        b"f2,A-9,reverse,,\n"
        b"f3,A-1,take_back,ten,\n"
        b"f4,A-1,take_back,5.00,NO_SUCH_REASON\n"
    )
    batch = house.file(body)
    assert [(r.place, r.outcome.value, r.code) for r in batch.results] == [
        ("2", "applied", ""),
        ("3", "waiting", "WAITING"),
        ("4", "refused", "NOT_AN_AMOUNT"),
        ("5", "refused", "UNKNOWN_REASON"),
    ]
    assert batch.results[3].column == "reason"
    header = house.hub.deliveries(house.program).get(batch.delivery.id)
    assert header is not None and header.state == "done"
    assert list(house.hub.deliveries(house.program).open()) == []
    again = ingest(house.hub, batch.delivery, body)
    assert (again.state, again.results) == ("done", ())
    assert house.payouts("A-1") == {"A-1~sale": (9000, 720, "pending")}


def test_a_held_delivery_takes_effect_only_when_released_and_as_received_then(house: ProgramHarness) -> None:
    house.report(SALE)
    body = b"order_id,change\nA-1,reverse\n"
    held = house.file(body, held="UNAUTHENTICATED", body_key=f"email/{house.program}/mail/x/may.csv")
    assert held.state == "held"
    assert house.payouts("A-1") == {"A-1~sale": (10000, 800, "pending")}
    house.hub.inbox.put(held.delivery.body_key, body)
    assert ingest(house.hub, held.delivery, None).state == "held"
    house.clock.moment = held.delivery.received_at.replace(month=12, day=3)
    released = release_delivery(house.hub, held.delivery, house.hub.now())
    assert outcomes(released) == [("applied", "")]
    assert house.payouts("A-1") == {"A-1~sale": (0, 0, "reversed")}


def test_killed_between_insert_and_fold_nothing_is_lost(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    house.report(SALE)
    with monkeypatch.context() as killed:
        killed.setattr("retour.posting.rows.fold_and_save", lambda *_: (_ for _ in ()).throw(SystemExit("killed")))
        with pytest.raises(SystemExit):
            house.modify({"reference": "r1", "order_id": "A-1", "change": "take_back", "amount": "20.00"})
    assert house.payouts("A-1") == {"A-1~sale": (10000, 800, "pending")}
    refold_order(house.hub, house.program, "A-1")
    assert house.payouts("A-1") == {"A-1~sale": (8000, 640, "pending")}
    repeat = house.modify({"reference": "r1", "order_id": "A-1", "change": "take_back", "amount": "20.00"})
    assert outcomes(repeat) == [("duplicate", "")]


def test_killed_while_an_action_is_reported_what_waited_still_comes_home(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.modify({"reference": "r1", "action_id": "M.5", "change": "reverse"})
    with monkeypatch.context() as killed:
        killed.setattr("retour.intake.actions.adopt_waiting", lambda *_: (_ for _ in ()).throw(SystemExit("killed")))
        with pytest.raises(SystemExit):
            house.report({"order_id": "C-1", "action_id": "M.5", "amount": "10.00"})
    refold_order(house.hub, house.program, "C-1")
    assert house.payouts("C-1") == {"M.5": (0, 0, "reversed")}
    assert [message["what"] for queue, message in house.sent if queue == "answers"] == ["settled"]


def test_a_dry_run_says_what_would_happen_and_writes_nothing(
    house: ProgramHarness, metered: Callable[[], Meter]
) -> None:
    house.report(SALE)
    record = {"order_id": "A-1", "change": "take_back", "amount": "20.00"}
    body = json.dumps([record, {**record, "amount": "90.00"}]).encode()
    meter = metered()
    batch = dry_run_delivery(house.hub, house.delivery(DeliveryKind.MODIFICATIONS, body, "erp", Channel.API), body)
    assert outcomes(batch) == [("applied", ""), ("refused", "AMOUNT_EXCEEDS_SALE")]
    assert meter.written == 0
    assert house.payouts("A-1") == {"A-1~sale": (10000, 800, "pending")}


def test_a_modification_costs_two_write_units_and_its_delivery_one_header(
    house: ProgramHarness, metered: Callable[[], Meter]
) -> None:
    house.report(*({"order_id": f"W-{n}", "amount": "100.00"} for n in range(20)))
    meter = metered()
    for number in range(20):
        house.order(f"W-{number}")
    for number in range(20):
        record = {
            "reference": f"refund-{number:08d}",
            "order_id": f"W-{number}",
            "change": "take_back",
            "amount": "20.00",
            "currency": "EUR",
            "reason": "ITEM_RETURNED",
            "note": "sent back in its box",
            "occurred_at": "2026-11-02T08:00:00+01:00",
        }
        house.modify(record)
    headers = [cost for key, _, cost in meter.calls if key.startswith("D#")]
    rest = [cost for key, _, cost in meter.calls if not key.startswith("D#")]
    assert headers == [1] * 20
    # A head seen for the first time by the meter counts its index entries as new; they were written by the report.
    new_entries = 2 * 20
    assert sum(rest) - new_entries <= 2.0 * 20


def test_rows_of_one_action_in_a_file_share_one_write_of_its_head(
    house: ProgramHarness, metered: Callable[[], Meter]
) -> None:
    house.report(*({"order_id": f"F-{n}", "amount": "100.00"} for n in range(10)))
    rows = [f"f-{n}-{i},F-{n},take_back,5.00" for n in range(10) for i in range(4)]
    meter = metered()
    house.file(("reference,order_id,change,amount\n" + "\n".join(rows) + "\n").encode())
    ledger_writes = [cost for key, _, cost in meter.calls if key.startswith("A#")]
    new_entries = 2 * 10
    assert (sum(ledger_writes) - new_entries) / len(rows) <= 1.5


def test_a_long_log_is_sealed_in_pages_and_read_whole(house: ProgramHarness) -> None:
    house.report({"order_id": "L-1", "amount": "100.00"})
    for number in range(40):
        house.modify({"reference": f"r{number}", "order_id": "L-1", "change": "take_back", "amount": "1.00"})
    order = house.order("L-1")
    head = order.heads["L-1~sale"]
    assert len(head.log) == 40
    assert head.sealed == 32
    assert [entry.amount for entry in head.log] == [10000 - 100 * n for n in range(1, 41)]
    assert house.payouts("L-1") == {"L-1~sale": (6000, 480, "pending")}
