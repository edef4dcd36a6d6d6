"""Many records inserted at once, of which the local table tells no stream: the posting lists and answers by itself."""

from dataclasses import replace

from tests.conftest import ProgramHarness
from tests.test_cascade import ledger, listed, with_policy

from retour.posting.refold import refold_order

KINDS = ("held", "child", "orphan", "waiting", "differing", "alarm")
MANY = range(10)


def cases(house: ProgramHarness) -> dict[str, list[str]]:
    return {kind: sorted(listed(house, kind)) for kind in KINDS}


def test_what_many_records_bring_is_listed_and_answered_and_the_stream_changes_nothing(house: ProgramHarness) -> None:
    with_policy(house, "warn")
    house.report(*({"order_id": f"P-{n}", "amount": "100.00"} for n in MANY))
    house.report(
        *({"order_id": f"C-{n}", "event_type": "lead", "amount": "5.00", "parent": f"P-{n}~sale"} for n in MANY)
    )
    back = {"change": "take_back", "amount": "5.00", "currency": "EUR"}
    early = house.modify({"order_id": "W-1", "reference": "w", **back})
    assert [one.outcome for one in early.results] == ["waiting"]
    # Its worker was killed between the report and the fold, so nobody told the sender.
    like = house.order("P-0").actions[0]
    sold = replace(like, id="W-1~sale", order_key="W-1", order_id="W-1", reported_at=house.hub.now())
    assert ledger(house).report(sold) is None
    house.sent.clear()

    orders = [f"P-{n}" for n in MANY] + ["W-1"]
    came = house.modify(*({"order_id": order, "reference": f"r-{order}", "change": "reverse"} for order in orders))

    assert came.counts == {"applied": len(orders)}
    assert sorted(listed(house, "child")) == [f"C-{n}~lead" for n in MANY]
    [(queue, message)] = house.sent
    assert (queue, message["delivery"], message["what"]) == ("answers", early.delivery.id, "settled")
    assert message["modifications"] == [early.results[0].modification]
    assert early.results[0].modification.rpartition("~")[2] not in listed(house, "waiting")
    before, payouts = cases(house), [house.payouts(order) for order in orders]
    for order in orders:
        refold_order(house.hub, house.program, order)
    assert len(house.sent) == 1, "one second answer"
    assert cases(house) == before and [house.payouts(order) for order in orders] == payouts
