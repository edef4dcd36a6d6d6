"""What the reversal of a parent does to its children, on the real storage and through the intake."""

from datetime import timedelta
from typing import Any

import pytest

from retour.channels import records
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import Order
from retour.domain.actions.outcome import Outcome
from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.row import Refusal
from retour.normalise import Normaliser
from retour.posting import cascade
from retour.posting.refold import refold_order
from retour.posting.rows import post_rows
from retour.store.dry_run_ledger import DryRunLedger
from retour.store.ledger import TableLedger
from tests.conftest import PROGRAM, ProgramHarness


def with_policy(house: ProgramHarness, policy: str, **children: Any) -> None:
    """Sales whose contract says what becomes of their children; `children` are more of the leads' contract."""
    contracts = PROGRAM["contracts"]
    house.apply(
        {
            **PROGRAM,
            "event_types": {"sale": {}, "lead": {"parent": "sale"}},
            "contracts": {
                "standard": {**contracts["standard"], "cascade": policy},
                "leads": {**contracts["leads"], **children},
            },
        }
    )


def family(house: ProgramHarness, number: int, *, parent: str = "P-1~sale") -> None:
    house.report({"order_id": f"C-{number}", "event_type": "lead", "amount": "5.00", "parent": parent})


def state(house: ProgramHarness, order: str) -> list[str]:
    return [state for _, _, state in house.payouts(order).values()]


def ledger(house: ProgramHarness) -> TableLedger:
    program = house.hub.program(house.program)
    assert program is not None
    return house.hub.ledger(program)


def listed(house: ProgramHarness, kind: str) -> list[str]:
    return [subject for subject, _ in house.hub.deliveries(house.program).due(kind)]


def derived(order: Order) -> list[Modification]:
    return [record for record in order.records if record.channel == "cascade"]


def test_a_reversal_reaches_every_child_and_its_restore_takes_it_back(house: ProgramHarness) -> None:
    with_policy(house, "cascade")
    house.report({"order_id": "P-1", "amount": "100.00"})
    family(house, 1)
    family(house, 2)
    house.modify({"order_id": "P-1", "change": "reverse", "reason": "ITEM_RETURNED"})
    assert state(house, "C-1") == state(house, "C-2") == ["reversed"]
    [record] = derived(house.order("C-1"))
    [cause] = house.order("P-1").records
    assert (record.reference, record.reason, record.received_at) == (
        cause.public_id,
        "ITEM_RETURNED",
        cause.received_at,
    )
    house.modify({"order_id": "P-1", "change": "restore"})
    assert state(house, "C-1") == state(house, "C-2") == ["pending"]
    assert house.payouts("C-1")["C-1~lead"][:2] == (500, 500)
    house.modify({"order_id": "P-1", "change": "reverse", "reference": "again"})
    assert state(house, "C-1") == ["reversed"]


def test_undoing_the_parents_reversal_leaves_a_child_reversed_that_was_so_by_itself(house: ProgramHarness) -> None:
    with_policy(house, "cascade")
    house.report({"order_id": "P-1", "amount": "100.00"})
    family(house, 1)
    house.modify({"order_id": "C-1", "change": "reverse"})
    [reversal] = house.modify({"order_id": "P-1", "change": "reverse"}).results
    house.modify({"order_id": "P-1", "change": "undo", "undoes": reversal.modification})
    assert state(house, "P-1") == ["pending"]
    assert state(house, "C-1") == ["reversed"]


def test_a_child_reported_after_its_parents_reversal_is_reversed_too(house: ProgramHarness) -> None:
    with_policy(house, "cascade")
    house.report({"order_id": "P-1", "amount": "100.00"})
    house.modify({"order_id": "P-1", "change": "reverse"})
    family(house, 1)
    assert state(house, "C-1") == ["reversed"]
    assert house.payouts("C-1")["C-1~lead"][1] == 0


def test_a_parent_without_a_name_is_the_action_of_the_same_order_that_the_event_type_says(
    house: ProgramHarness,
) -> None:
    with_policy(house, "cascade")
    house.report(
        {"action_id": "SALE-7", "order_id": "P-1", "amount": "100.00"},
        {"order_id": "P-1", "event_type": "lead", "amount": "5.00"},
    )
    house.modify({"action_id": "SALE-7", "change": "reverse"})
    assert sorted(state for _, _, state in house.payouts("P-1").values()) == ["reversed", "reversed"]


@pytest.mark.parametrize("policy", ["none", "warn"])
def test_other_policies_leave_the_child_and_only_warn_lists_it(house: ProgramHarness, policy: str) -> None:
    with_policy(house, policy)
    house.report({"order_id": "P-1", "amount": "100.00"})
    family(house, 1)
    house.modify({"order_id": "P-1", "change": "reverse"})
    refold_order(house.hub, house.program, "P-1")
    assert state(house, "C-1") == ["pending"]
    assert listed(house, cascade.CHILD_TO_CHECK) == (["C-1~lead"] if policy == "warn" else [])
    house.modify({"order_id": "P-1", "change": "restore"})
    refold_order(house.hub, house.program, "P-1")
    assert listed(house, cascade.CHILD_TO_CHECK) == []


def test_a_child_that_had_locked_is_listed_as_an_orphan_until_the_parent_is_back(house: ProgramHarness) -> None:
    with_policy(house, "cascade")
    house.report({"order_id": "P-1", "amount": "100.00"})
    family(house, 1)
    house.clock.moment += timedelta(days=12)
    house.modify({"order_id": "P-1", "change": "reverse"})
    refold_order(house.hub, house.program, "P-1")
    assert state(house, "C-1") == ["locked"]
    assert listed(house, cascade.ORPHAN) == ["C-1~lead"]
    order = house.order("P-1")
    assert not cascade.is_waiting_for_children(ledger(house), order, order.actions[0])
    house.modify({"order_id": "P-1", "change": "restore"})
    refold_order(house.hub, house.program, "P-1")
    assert listed(house, cascade.ORPHAN) == []


def test_a_kill_before_the_children_leaves_them_owed_and_the_stream_makes_it_up(
    house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_policy(house, "cascade")
    house.report({"order_id": "P-1", "amount": "100.00"})
    family(house, 1)
    family(house, 2)

    def killed(*_: Any) -> Order:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(cascade, "fold_and_save", killed)
        with pytest.raises(KeyboardInterrupt):
            house.modify({"order_id": "P-1", "change": "reverse"})
    order = house.order("P-1")
    assert cascade.is_waiting_for_children(ledger(house), order, order.actions[0])
    for home in ("P-1", "C-1"):
        refold_order(house.hub, house.program, home)
    order = house.order("P-1")
    assert state(house, "C-1") == state(house, "C-2") == ["reversed"]
    assert not cascade.is_waiting_for_children(ledger(house), order, order.actions[0])
    assert len(derived(house.order("C-1"))) == 1


def test_working_it_out_again_changes_nothing(house: ProgramHarness) -> None:
    with_policy(house, "cascade")
    house.report({"order_id": "P-1", "amount": "100.00"})
    family(house, 1)
    house.modify({"order_id": "P-1", "change": "reverse"})
    before = house.order("C-1")
    for home in ("P-1", "C-1", "P-1"):
        refold_order(house.hub, house.program, home)
    assert house.order("C-1") == before


def test_it_goes_five_deep_and_no_further(house: ProgramHarness) -> None:
    with_policy(house, "cascade", cascade="cascade")
    house.report({"order_id": "P-1", "amount": "100.00"})
    parent = "P-1~sale"
    for depth in range(1, 8):
        family(house, depth, parent=parent)
        parent = f"C-{depth}~lead"
    house.modify({"order_id": "P-1", "change": "reverse"})
    for home in ("P-1", *(f"C-{depth}" for depth in range(1, 8))):
        refold_order(house.hub, house.program, home)
    assert [state(house, f"C-{depth}") for depth in range(1, 8)] == [["reversed"]] * 5 + [["pending"]] * 2


def test_two_that_call_each_other_parent_come_to_an_end(house: ProgramHarness) -> None:
    with_policy(house, "cascade", cascade="cascade")
    family(house, 1, parent="C-2~lead")
    family(house, 2, parent="C-1~lead")
    house.modify({"order_id": "C-1", "change": "reverse"})
    assert state(house, "C-1") == state(house, "C-2") == ["reversed"]
    [record] = derived(house.order("C-1"))
    booked = house.order("C-1").booking_of(record.id)
    assert booked is not None and booked[1].outcome is Outcome.UNCHANGED


def test_a_rehearsal_shows_the_children_and_writes_nothing(house: ProgramHarness) -> None:
    with_policy(house, "cascade")
    house.report({"order_id": "P-1", "amount": "100.00"})
    family(house, 1)
    program = house.hub.program(house.program)
    assert program is not None
    body = b'{"order_id": "P-1", "change": "reverse"}'
    delivery = house.delivery(DeliveryKind.MODIFICATIONS, body, "erp", Channel.API)
    rows = records.rows(body)
    assert not isinstance(rows, Refusal)
    rehearsal = DryRunLedger(program.contracts, ledger(house))
    reads = list(Normaliser(program, program.sources["erp"], delivery).modifications(rows))
    post_rows(rehearsal, program, reads, house.clock())
    assert rehearsal.orders["C-1"].heads["C-1~lead"].payout == 0
    assert state(house, "C-1") == ["pending"]
