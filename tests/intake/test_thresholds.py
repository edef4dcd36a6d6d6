"""A file that looks wrong as a whole is held before anything of it is recorded; one that does not is taken in."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness

from retour.counting import rollup
from retour.domain.actions.outcome import Outcome
from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.row import line_place
from retour.intake import file
from retour.intake.batch import DONE, HELD, Batch
from retour.intake.decision import carry_out_decision
from retour.intake.dry_run import dry_run_delivery
from retour.intake.hold import hold_delivery
from retour.intake.ingest import ingest
from retour.sentences import sentence

HEADER = "order_id,change,amount\n"


def with_thresholds(house: ProgramHarness, thresholds: dict[str, Any], **source: Any) -> None:
    sources = {**PROGRAM["sources"], "warehouse": {"channel": "sftp", "thresholds": thresholds, **source}}
    house.apply({**PROGRAM, "sources": sources})


def sold(house: ProgramHarness, count: int, amount: str = "100.00", partner: str = "nordlicht", first: int = 1) -> None:
    actions = [
        {"order_id": f"A-{n}", "partner": partner, "currency": "EUR", "amount": amount}
        for n in range(first, first + count)
    ]
    house.report(*actions)


def decided(house: ProgramHarness, held: Batch, what: str) -> Batch | None:
    body = json.dumps({"delivery": held.delivery.id, "decision": what}).encode()
    return carry_out_decision(house.hub, house.delivery(DeliveryKind.DECISION, body, "console", Channel.CONSOLE), body)


def listed_held(house: ProgramHarness) -> list[str]:
    return [subject for subject, _ in house.hub.deliveries(house.program).due("held")]


def drop(house: ProgramHarness, body: bytes, name: str = "may.csv") -> Batch:
    """A file as it arrives: its bytes lie in the inbox before it is taken in."""
    delivery = house.delivery(DeliveryKind.FILE, body, "warehouse", Channel.SFTP, name=name)
    delivery = replace(delivery, body_key=f"raw/{house.program}/{delivery.id}")
    house.hub.inbox.put(delivery.body_key, body)
    return ingest(house.hub, delivery, None)


def rows(*lines: str) -> bytes:
    return (HEADER + "\n".join(lines) + "\n").encode()


def test_too_many_bad_rows_hold_the_file_and_nothing_is_recorded(house: ProgramHarness) -> None:
    with_thresholds(house, {"bad_rows": "20%"})
    sold(house, 3)
    batch = drop(house, rows("A-1,take_back,10", "A-2,take_back,x", "A-3,reverse,"))
    assert (batch.state, batch.code) == (HELD, "THRESHOLD_EXCEEDED")
    assert batch.details["value"] == "33.3%" and batch.details["limit"] == "20%"
    assert batch.preview["counts"] == {"applied": 2, "refused": 1}
    assert house.payouts("A-1")["A-1~sale"][:2] == (10000, 800)
    assert not house.order("A-1").records
    assert listed_held(house) == [batch.delivery.id]
    says = sentence(batch.code, batch.details)
    assert "the share of refused rows would be 33.3%" in says and "nordlicht -8.80 EUR" in says


def test_exactly_at_the_limit_is_not_above_it(house: ProgramHarness) -> None:
    with_thresholds(house, {"bad_rows": "50%"})
    sold(house, 1)
    assert drop(house, rows("A-1,take_back,10", "A-1,take_back,x")).state == DONE


def test_released_it_is_taken_in_as_received_when_it_came(house: ProgramHarness) -> None:
    with_thresholds(house, {"bad_rows": "20%"})
    sold(house, 2)
    held = drop(house, rows("A-1,take_back,10", "A-2,take_back,x"))
    batch = decided(house, held, "release")
    assert batch is not None and batch.state == DONE and batch.counts == {"applied": 1, "refused": 1}
    assert house.order("A-1").records[0].received_at == held.delivery.received_at
    assert listed_held(house) == []
    header = house.hub.deliveries(house.program).get(held.delivery.id)
    assert header is not None and header.report["differing"] == 0


def test_a_release_tells_what_came_out_otherwise_than_it_was_shown(house: ProgramHarness) -> None:
    with_thresholds(house, {"bad_rows": "20%"})
    sold(house, 2)
    held = drop(house, rows("A-1,take_back,60", "A-2,take_back,x", "A-2,take_back,5"))
    house.modify({"reference": "w", "order_id": "A-1", "change": "take_back", "amount": "50", "currency": "EUR"})
    batch = decided(house, held, "release")
    assert batch is not None
    header = house.hub.deliveries(house.program).get(held.delivery.id)
    assert header is not None and header.report["differing"] == 1
    (row,) = header.report["differs"]
    assert row["record"] == "2"
    assert (row["shown"]["outcome"], row["now"]["outcome"]) == ("applied", "refused")


def test_discarded_nothing_of_it_takes_effect(house: ProgramHarness) -> None:
    with_thresholds(house, {"bad_rows": "20%"})
    sold(house, 1)
    held = drop(house, rows("A-1,take_back,10", "A-1,take_back,x"))
    decided(house, held, "discard")
    header = house.hub.deliveries(house.program).get(held.delivery.id)
    assert header is not None and (header.state, header.report["code"]) == ("refused", "DISCARDED")
    assert not house.order("A-1").records and listed_held(house) == []


def test_the_same_event_again_finds_it_held(house: ProgramHarness) -> None:
    with_thresholds(house, {"bad_rows": "20%"})
    sold(house, 1)
    held = drop(house, rows("A-1,take_back,10", "A-1,take_back,x"))
    again = ingest(house.hub, held.delivery, None)
    assert (again.state, again.code) == (HELD, held.code)


def test_a_replay_from_objects_alone_knows_the_verdict_and_why(house: ProgramHarness) -> None:
    with_thresholds(house, {"bad_rows": "20%"})
    sold(house, 1)
    held = drop(house, rows("A-1,take_back,10", "A-1,take_back,x"))
    assert hold_delivery(house.hub, held.delivery).details == held.details


def test_a_large_part_of_what_was_pending_last_night_holds_the_file(house: ProgramHarness) -> None:
    with_thresholds(house, {"pending_taken_back": "30%"})
    sold(house, 8)
    sold(house, 2, partner="suedwind", first=9)
    program = house.hub.program(house.program)
    assert program is not None and rollup.roll_up(house.hub, program)
    assert rollup.pending_payout(house.hub, program) == 8000
    assert drop(house, rows("A-1,reverse,", "A-2,reverse,", "A-3,reverse,")).state == DONE
    batch = drop(house, rows("A-4,reverse,", "A-5,reverse,", "A-6,reverse,", "A-9,reverse,"), name="b.csv")
    assert (batch.state, batch.details["value"], batch.details["threshold"]) == (HELD, "40%", "pending_taken_back")
    assert [(one["partner"], one["payout"]["difference"]) for one in batch.preview["partners"]] == [
        ("nordlicht", "-24.00"),
        ("suedwind", "-8.00"),
    ]
    assert batch.preview["total"]["payout"] == {"before": "32.00", "after": "0.00", "difference": "-32.00"}


def test_before_the_first_night_the_roll_up_is_made_now(house: ProgramHarness) -> None:
    with_thresholds(house, {"pending_taken_back": "30%"})
    sold(house, 2)
    assert drop(house, rows("A-1,reverse,")).state == HELD


def test_files_of_one_day_are_judged_alike_whatever_was_counted_since(house: ProgramHarness) -> None:
    sold(house, 3)
    program = house.hub.program(house.program)
    assert program is not None
    assert rollup.roll_up(house.hub, program)
    sold(house, 1, first=4)
    assert rollup.roll_up(house.hub, program, now=True)
    assert rollup.pending_payout(house.hub, program) == 2400
    house.clock.moment += timedelta(days=1)
    assert rollup.roll_up(house.hub, program)
    assert rollup.pending_payout(house.hub, program) == 3200
    house.clock.moment += timedelta(days=8)
    assert rollup.pending_payout(house.hub, program) is None, "nobody knows any more what was pending"


def test_totals_that_change_nothing_are_doubtful_from_twenty_rows_on(house: ProgramHarness) -> None:
    with_thresholds(house, {"bad_rows": "90%"}, amount_means="set_total")
    sold(house, 20)
    said = [f"A-{n},,{'100' if n <= 11 else '90'}" for n in range(1, 21)]
    batch = drop(house, rows(*said))
    assert (batch.state, batch.code) == (HELD, "TOTALS_DOUBTFUL")
    assert (batch.details["share"], batch.details["limit"]) == ("55%", "50%")
    assert drop(house, rows(*said[:19]), name="b.csv").state == DONE


def test_returns_larger_than_what_is_left_are_doubtful(house: ProgramHarness) -> None:
    with_thresholds(house, {"bad_rows": "90%"}, amount_means="take_back")
    sold(house, 20)
    said = [f"A-{n},,{'101' if n <= 5 else '9'}" for n in range(1, 21)]
    batch = drop(house, rows(*said))
    assert (batch.state, batch.code) == (HELD, "RETURNS_DOUBTFUL")
    assert "set_total" in sentence(batch.code, batch.details, "de")
    with_thresholds(house, {"bad_rows": "90%", "doubtful_meaning": False}, amount_means="take_back")
    assert drop(house, rows(*said), name="b.csv").state == DONE


def test_a_source_without_thresholds_is_never_weighed(house: ProgramHarness) -> None:
    sold(house, 1)
    batch = drop(house, rows("A-1,take_back,x", "A-1,take_back,y"))
    assert batch.state == DONE and batch.counts == {"refused": 2}


def test_a_file_too_large_for_one_piece_is_weighed_too(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    with_thresholds(house, {"bad_rows": "20%"})
    sold(house, 2)
    monkeypatch.setattr(file, "INLINE_ROWS_MAX", 1)
    batch = drop(house, rows("A-1,take_back,10", "A-2,take_back,x"))
    assert (batch.state, batch.code) == (HELD, "THRESHOLD_EXCEEDED")
    assert not house.order("A-1").records


def test_a_dry_run_tells_what_every_partner_would_gain_or_lose_and_writes_nothing(house: ProgramHarness) -> None:
    with_thresholds(house, {"bad_rows": "20%"})
    sold(house, 2)
    sold(house, 1, partner="suedwind", first=3)
    body = rows("A-1,take_back,10", "A-3,reverse,", "A-2,take_back,x")
    before = [house.order(f"A-{n}") for n in (1, 2, 3)]
    delivery = house.delivery(DeliveryKind.FILE, body, "warehouse", Channel.API, name="may.csv")
    batch = dry_run_delivery(house.hub, delivery, body)
    assert [result.outcome for result in batch.results] == [Outcome.APPLIED, Outcome.APPLIED, Outcome.REFUSED]
    assert [(one["partner"], one["payout"]) for one in batch.preview["partners"]] == [
        ("nordlicht", {"before": "8.00", "after": "7.20", "difference": "-0.80"}),
        ("suedwind", {"before": "8.00", "after": "0.00", "difference": "-8.00"}),
    ]
    assert batch.preview["total"]["payout"]["difference"] == "-8.80"
    assert [one["code"] for one in batch.preview["warnings"]] == ["THRESHOLD_EXCEEDED"]
    assert [house.order(f"A-{n}") for n in (1, 2, 3)] == before
    assert house.hub.deliveries(house.program).get(delivery.id) is None


def test_a_restatement_leaves_exactly_what_it_states(house: ProgramHarness) -> None:
    """Items that CJ leaves out are gone, one that comes again is back, and saying it twice changes nothing."""
    items = [{"sku": sku, "quantity": 2, "amount": amount} for sku, amount in (("boot", "80.00"), ("lace", "6.00"))]
    house.report({"order_id": "C-1", "currency": "EUR", "items": items})
    header = (
        "companyId,enterpriseId,subscriptionId,actionTrackerId,orderId,updateTime,amount,discount,currency,itemSku,"
        "itemUnitPrice,itemQuantity,itemDiscount,coupon,correctionReason\n"
    )
    one_boot = "1,2,3,sale,C-1,2026-11-02T08:00:00Z,,,EUR,boot,40.00,1,,,ReturnedMerchandise\n"
    batch = drop(house, (header + one_boot).encode(), name="cj.csv")
    assert [str(result.outcome) for result in batch.results] == ["applied", "applied"], batch.results
    assert house.payouts("C-1")["C-1~sale"] == (4000, 320, "pending")
    drop(house, (header + one_boot).encode(), name="cj2.csv")
    assert house.payouts("C-1")["C-1~sale"] == (4000, 320, "pending")
    both = "1,2,3,sale,C-1,2026-11-02T08:30:00Z,,,EUR,boot;lace,40.00;3.00,1;2,,,ReturnedMerchandise\n"
    drop(house, (header + both).encode(), name="cj3.csv")
    assert house.payouts("C-1")["C-1~sale"] == (4600, 368, "pending")
    assert {line_place(result.place) for result in batch.results} == {"2"}


def test_units_that_amazon_took_back_are_valued_by_their_line(house: ProgramHarness) -> None:
    house.report({"order_id": "F-1", "currency": "EUR", "items": [{"sku": "boot", "quantity": 3, "amount": "100.00"}]})
    header = (
        "return-date order-id sku asin fnsku product-name quantity fulfillment-center-id detailed-disposition reason "
        "status license-plate-number customer-comments\n"
    ).replace(" ", "\t")
    row = "2026-11-02T08:00:00+00:00\tF-1\tboot\tB\tX\tBoot\t1\tBER3\tSELLABLE\tUNWANTED_ITEM\tok\tLPN{}\t\n"
    drop(house, (header + row.format(1) + row.format(2)).encode(), name="fba.txt")
    assert house.payouts("F-1")["F-1~sale"][0] == 3333
    again = drop(house, (header + row.format(2) + row.format(3)).encode(), name="fba2.txt")
    assert again.counts == {"duplicate": 1, "applied": 1}
    assert house.payouts("F-1")["F-1~sale"][0] == 0


@pytest.mark.parametrize("share", ["0%", "12.5%", "100%"])
def test_shares_are_exact(share: str) -> None:
    from retour.intake.thresholds import is_above

    limit = Decimal(share[:-1])
    assert not is_above(int(limit * 8), 800, share)
    assert is_above(int(limit * 8) + 1, 800, share)
