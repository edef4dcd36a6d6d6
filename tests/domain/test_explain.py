"""The particulars of what was decided, found again from what is stored, case by case."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from tests.domain.cases import CONTRACT, REPORTED, action, fold_records, record

from retour.domain.actions.explain import sentence_details
from retour.domain.actions.fold import fold
from retour.domain.actions.modification import Modification, Reverse, SetQuantity, TakeBack, Undo
from retour.domain.actions.order import Order

LINES = (("S1", 2, 6000), ("S2", 1, 4000))
LOCKS = "2026-12-01T23:00:00.000Z"


def take(amount: str, hours: float = 1, **more: object) -> Modification:
    return record(TakeBack(Decimal(amount)), hours, **more)


def test_of_a_record_of_no_action_only_what_it_says_itself() -> None:
    waiting = take("5.50", order_key=None, action_id="X-1", reference="R-1", currency="EUR")
    assert sentence_details(Order(key="@X-1", records=[waiting]), None, waiting, 35, "UTC") == {
        "order": "X-1",
        "reference": "R-1",
        "received_at": "2026-11-01T13:00:00.000Z",
        "zone": "UTC",
        "currency": "EUR",
        "change": "take_back",
        "waiting_days": "35",
        "event_types": "",
        "amount": "5.50",
        "item": "X-1",
        "named": "",
    }


def test_of_an_item_what_was_sold_and_what_is_left_of_it() -> None:
    too_many = record(SetQuantity(9), 3, sku="S1", currency=None)
    sold = replace(action(*LINES), order_id="#A", event_type="sale")
    order = fold_records(sold, [take("10", 1, sku="S1"), too_many])
    found = sentence_details(order, order.heads["A~sale"], too_many, 35, "UTC")
    assert found == {
        "order": "#A",
        "reference": "",
        "received_at": "2026-11-01T15:00:00.000Z",
        "zone": "UTC",
        "currency": "",
        "change": "set_quantity",
        "waiting_days": "35",
        "event_types": "sale",
        "amount": "",
        "item": "S1",
        "named": "",
        "locks_at": LOCKS,
        "locked_day": "2026-12-01",
        "event_type": "sale",
        "partner": "nordlicht",
        "double": "",
        "double_batch": "",
        "blockers": "",
        "sale_currency": "EUR",
        "places": "2",
        "items": "S1, S2",
        "sale": "60.00 EUR",
        "left": "50.00 EUR",
        "quantity_sold": "2",
        "quantity_left": "2",
        "changes": "1",
        "limit": "1,000",
    }


def test_of_an_item_that_is_not_there_the_whole_order() -> None:
    unknown = take("1", sku="ZZ", line="7")
    order = fold_records(action(*LINES, ("", 1, 100)), [unknown])
    found = sentence_details(order, order.heads["A~sale"], unknown, 35, "UTC")
    assert (found["item"], found["sale"], found["quantity_sold"]) == ("ZZ (line 7)", "101.00 EUR", "4")
    assert found["items"] == "S1, S2, 3", "a line without SKU is called by its number"


def test_what_nothing_locks_yet_has_no_lock() -> None:
    order = fold_records(action(locks_at=None), [take("900")])
    assert sentence_details(order, order.heads["A~sale"], order.records[0], 35, "UTC")["locks_at"] == ""


def test_a_held_record_names_the_one_it_may_repeat() -> None:
    first = take("20", 1, doubles={"days": "14"})
    held = take("20", 2, source="till", namespace="till", doubles={"days": "14"})
    other = take("7", 1.5, doubles={"days": "14"})
    order = fold_records(action(), [first, other, held])
    head = order.heads["A~sale"]
    assert sentence_details(order, head, held, 35, "UTC")["double"] == first.public_id
    assert sentence_details(order, head, other, 35, "UTC")["double"] == ""


def test_what_stands_in_the_way_of_an_undo_is_named_by_it_alone() -> None:
    reverse = record(Reverse(), 1)
    restore_of = [reverse, record(SetQuantity(1), 2, sku="S1"), take("1", 3)]
    order = fold_records(action(*LINES), restore_of)
    undo = record(Undo(order.records[0].id), 4)
    again = fold(replace(order, records=[*order.records, undo]), [CONTRACT], REPORTED)
    found = sentence_details(again, again.heads["A~sale"], undo, 35, "UTC")
    assert found["named"] == reverse.id
    applied = again.heads["A~sale"].last_entry(undo.id)
    assert applied is not None
    assert bool(found["blockers"]) == (applied.code == "UNDO_BLOCKED")


def test_of_what_came_after_the_end_the_action_that_was_meant() -> None:
    before = fold_records(action(), [])
    final = replace(before.heads["A~sale"], final=REPORTED + timedelta(days=31))
    late = take("5", 24 * 40)
    after = fold(replace(before, records=[late], heads={"A~sale": final}), [CONTRACT], REPORTED)
    head, _ = after.booking_of(late.id) or (None, None)
    assert head is not None and head.action == ""
    assert sentence_details(after, head, late, 35, "UTC")["locks_at"] == LOCKS


def test_a_line_alone_is_an_item() -> None:
    assert sentence_details(Order(key="A"), None, take("1", line="2"), 35, "UTC")["item"] == "2"
    assert sentence_details(Order(key="A"), None, take("1"), 35, "UTC")["item"] == "A"
