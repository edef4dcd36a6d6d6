"""What must hold of a ledger whatever happened to it, and, where the order was declared, exactly what it must be."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import ActionHead, LogEntry, Order
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.replay import ACCEPTED_OUTCOMES
from retour.domain.contracts.contract import Contract
from retour.domain.delivery import DeliveryKind
from tests.soak import model
from tests.soak.world import InvariantBroken, World

PAYOUT_RAISED = "PAYOUT_RAISED"
"""A warning of the answer, worked out from what is booked."""


def check_invariants(world: World) -> None:
    """Raise `Wrong` for the first promise that this history broke."""
    orders = world.orders()
    everything_acknowledged_is_there(world, orders)
    receipts_are_the_first(world, orders)
    for order in orders:
        if order.key.startswith("@"):
            continue
        booked_once(order)
        references_are_held_by_one(order)
        for head in order.heads.values():
            action = order.action(head.action)
            if action is not None:
                numbers_follow_from_records(order, action, head, world.programs[-1].contracts)
                locks_are_kept(order, action, head)
    answers_match_ledger(world, orders)
    waiting_records_are_settled(world, orders)
    if world.past.dice.random() < 0.2:
        folding_is_idempotent(world)
    if world.past.ordered:
        ordered_ledger_is_exact(world, orders)
    elif world.past.told:
        statements_count(orders)


def everything_acknowledged_is_there(world: World, orders: list[Order]) -> None:
    """Rows in = recorded + duplicate + refused, and what was told as recorded lies in the ledger."""
    known = {record.id for order in orders for record in order.records}
    for answer in world.answers:
        if answer.delivery.kind is DeliveryKind.ACTIONS:
            for result in answer.batch.results:
                if result.outcome is Outcome.APPLIED and not any(order.action(result.action) for order in orders):
                    raise InvariantBroken(f"the action {result.action} was acknowledged and is not there")
            continue
        for result in answer.batch.results:
            if result.modification and result.modification.rpartition("~")[2] not in known:
                raise InvariantBroken(f"{result.modification} was acknowledged as {result.outcome} and is not there")
            if not result.modification and result.outcome is not Outcome.REFUSED:
                raise InvariantBroken(f"{result.place} of {answer.delivery.id} was recorded as nothing")


def receipts_are_the_first(world: World, orders: list[Order]) -> None:
    """The first write of a record wins: a redelivery moves no receipt."""
    for order in orders:
        pk = f"I#acme#{order.key[1:]}" if order.key.startswith("@") else f"A#acme#{order.key}"
        for record in order.records:
            attempt = f"#{record.attempt}" if record.attempt else ""
            first = world.first_receipt[(pk, f"M#{record.identity}#{record.content}{attempt}")]
            if first != record.received_at:
                raise InvariantBroken(f"{record.public_id} was received at {first}, not at {record.received_at}")


def entries(order: Order, record_id: str) -> Iterator[tuple[ActionHead, LogEntry]]:
    for head in order.heads.values():
        for entry in head.log:
            if entry.id == record_id:
                yield head, entry


def booked_once(order: Order) -> None:
    """Each record has one word for it, on one action (a status: on each); what was held has a second."""
    for record in order.records:
        found = list(entries(order, record.id))
        about = record
        while (named := order.record(model.undone_id(about))) is not None:
            about = named
        if about.verb == "set_status":
            found = [one for one in found if one[0].action == found[0][0].action]
        words = [entry.outcome for _, entry in found]
        if len({head.action for head, _ in found}) > 1:
            where = ", ".join(f"{entry.outcome} {entry.code} on {head.action or 'the order'}" for head, entry in found)
            raise InvariantBroken(f"{record.public_id} ({record.verb}) is booked on two actions: {where}")
        if (len(words) > 1 and words[0] is not Outcome.HELD) or len(words) > 2:
            raise InvariantBroken(
                f"{record.public_id} ({record.verb}) is booked {len(words)} times: {', '.join(words)}"
            )
        if not words and order.actions and record.action_id is None and record.event_type is None:
            raise InvariantBroken(f"{record.public_id} ({record.verb}) was never booked though its order is known")
        if not words and record.action_id is not None and order.action(record.action_id):
            raise InvariantBroken(f"{record.public_id} ({record.verb}) was never booked though its action is known")


def references_are_held_by_one(order: Order) -> None:
    """Of one identity one record counts; a duplicate has a first, a reference that is used has a user."""
    for record in order.records:
        rivals = [other for other in order.records if other.identity == record.identity and other is not record]
        mine = [entry for _, entry in entries(order, record.id)]
        theirs = [entry for other in rivals for _, entry in entries(order, other.id)]
        counts = [entry.outcome in ACCEPTED_OUTCOMES for entry in mine[-1:]]
        if record.verb != "set_status" and any(counts):
            others = [entry for other in rivals for entry in [e for _, e in entries(order, other.id)][-1:]]
            if any(entry.outcome in ACCEPTED_OUTCOMES for entry in others):
                raise InvariantBroken(
                    f"{record.public_id} ({record.verb}) and another record hold one reference and both count"
                )
        for entry in mine:
            used = entry.code == Code.REFERENCE_REUSED
            same = entry.outcome is Outcome.DUPLICATE and not entry.code and not record.subject
            if (used or same) and not any(one.outcome is not Outcome.REFUSED for one in theirs):
                raise InvariantBroken(
                    f"{record.public_id} is told its reference is used, and only refused records used it"
                )


def numbers_follow_from_records(order: Order, action: Action, head: ActionHead, contracts: Sequence[Contract]) -> None:
    """Every booked number follows from the records booked up to then; parts sum to wholes."""
    if sum(rest.amount for rest in head.standing.rests) != head.standing.amount:
        raise InvariantBroken(f"the lines of {action.id} do not sum to it")
    records = {record.id: record for record in order.records}
    counted: dict[str, tuple[Modification, int]] = {}
    before = (action.amount, model.payout(action, model.remains(action, [], contracts), contracts))
    for entry in head.log:
        if entry.id not in records:
            raise InvariantBroken(f"{action.id} books {entry.id}, which is no record of its order")
        if entry.outcome in ACCEPTED_OUTCOMES:
            counted[entry.id] = (records[entry.id], entry.contract)
            left = model.remains(action, counted.values(), contracts)
            before = (sum(left.amounts), model.payout(action, left, contracts))
            if entry.reversed != (left.before is not None):
                raise InvariantBroken(f"{action.id} after {entry.id}: reversed is {entry.reversed}")
        if (entry.amount, entry.payout) != before:
            raise InvariantBroken(
                f"{action.id} after {entry.id}: booked {entry.amount}/{entry.payout}, must be {before}"
            )
    statuses = ("set_status", "release", "discard")
    changes = sum(e.outcome is Outcome.APPLIED and records[e.id].verb not in statuses for e in head.log)
    firsts = {records[e.id].subject for e in head.log if e.outcome is Outcome.APPLIED and records[e.id].subject}
    again = sum(e.outcome is Outcome.APPLIED and bool(records[e.id].subject) for e in head.log) - len(firsts)
    changes -= again
    if head.changes != changes:
        raise InvariantBroken(f"{action.id} counts {head.changes} changes and books {changes}")
    if (head.standing.amount, head.payout) != before:
        raise InvariantBroken(f"{action.id} stands at {head.standing.amount}/{head.payout}, booked was {before}")


def locks_are_kept(order: Order, action: Action, head: ActionHead) -> None:
    """Accepted only when received before the lock; nothing received in time comes after the fence."""
    for entry in head.log:
        record = order.record(entry.id)
        assert record is not None and head.locks_at is not None
        changes = record.verb not in ("set_status", "release", "discard")
        if entry.outcome is Outcome.APPLIED and changes and record.received_at >= head.locks_at:
            raise InvariantBroken(
                f"{record.public_id} was accepted at {record.received_at}, the lock fell at {head.locks_at}"
            )
        if entry.code == Code.ACTION_LOCKED and action.locks_at and record.received_at < action.locks_at:
            raise InvariantBroken(f"{record.public_id} was refused as late and was received before the lock")
    order_head = order.heads.get("")
    for entry in order_head.log if order_head else ():
        if entry.code == Code.AFTER_FINAL:
            raise InvariantBroken(f"{entry.id} was received in time and shows up after {action.id} is final")


def answers_match_ledger(world: World, orders: list[Order]) -> None:
    """An answer says what the ledger says; and one arrival, however often it comes, is one record."""
    away_first = sorted(orders, key=lambda order: not order.key.startswith("@"))
    by_id = {record.id: (order, record) for order in away_first for record in order.records}
    for answer in world.answers:
        for result in answer.batch.results if answer.delivery.kind is not DeliveryKind.ACTIONS else ():
            if not result.modification or result.outcome in (Outcome.WAITING, Outcome.DUPLICATE):
                continue
            order, record = by_id[result.modification.rpartition("~")[2]]
            if record.provenance.delivery != answer.delivery.id:
                if record.subject:
                    continue  # a restatement that says nothing new is not recorded
                raise InvariantBroken(f"{record.public_id} was told as {answer.delivery.id}'s own, and is another's")
            words = [(e.outcome, e.code, e.payout) for _, e in entries(order, record.id)]
            payout = result.effect.payout_after if result.effect else 0
            code = "" if result.code == PAYOUT_RAISED else result.code
            if (result.code == PAYOUT_RAISED) and (result.effect is None or payout <= result.effect.payout_before):
                raise InvariantBroken(f"{record.public_id} is told to raise the payout to {payout}, and does not")
            if (result.outcome, code, payout) not in words:
                raise InvariantBroken(
                    f"{record.public_id} was told {result.outcome} {result.code} {payout}, booked is {words}"
                )
    arrivals: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for _, record in by_id.values():
        if record.reference is None and not record.attempt:
            identity = world.identities[record.provenance.delivery]
            arrivals[(record.source, identity, record.provenance.place)].add(record.id)
    for (source, identity, place), ids in arrivals.items():
        if len(ids) > 1:
            raise InvariantBroken(f"record {place} of delivery {identity} from {source} is recorded {len(ids)} times")


def waiting_records_are_settled(world: World, orders: list[Order]) -> None:
    """What waited for an action that came lies with its order, and its sender was told a second time."""
    actions = {action.id: order for order in orders for action in order.actions}
    for order in orders:
        for record in order.records if order.key.startswith("@") else ():
            home = actions.get(order.key[1:])
            given_up = order.booking_of(record.id) is not None
            copy = home.record(record.id) if home is not None else None
            if given_up and copy is not None and copy.provenance.delivery == record.provenance.delivery:
                raise InvariantBroken(f"{record.public_id} was given up, and then taken over by {copy.home}")
            if home is not None and copy is None and not given_up:
                raise InvariantBroken(f"{record.public_id} still waits beside {order.key}, which is {home.key}'s")


def folding_is_idempotent(world: World) -> None:
    """Folding what is folded writes nothing."""
    seen = {pk: dict(items) for pk, items in world.table.items.items() if pk[0] in "AI"}
    world.settle_down()
    if {pk: dict(items) for pk, items in world.table.items.items() if pk[0] in "AI"} != seen:
        raise InvariantBroken("folding again what was folded changed the ledger")


def ordered_ledger_is_exact(world: World, orders: list[Order]) -> None:
    """A source whose own time orders what it says: only what was said counts, not how it came."""
    (order,) = [order for order in orders if order.actions or order.records]
    (action,) = order.actions
    head = order.heads[action.id]
    said = {one["reference"] for one in world.past.sent if one.get("sku") != "unknown"}
    firsts: dict[str, Modification] = {}
    of_reference: dict[str, list[Modification]] = defaultdict(list)
    for record in order.records:
        of_reference[record.reference or ""].append(record)
    for reference in said:
        whole = [record for record in of_reference[reference] if not record.attempt]
        if len(whole) != 1:
            raise InvariantBroken(f"{reference} was said once and is recorded {len(whole)} times")
        firsts[reference] = whole[0]
    known = {line.sku for line in action.lines}
    booked = {entry.id: entry.contract for entry in head.log}
    counted = [(one, booked[one.id]) for one in firsts.values() if one.sku is None or one.sku in known]
    left = model.remains(action, counted, world.programs[-1].contracts)
    rests = [(rest.amount, rest.quantity) for rest in head.standing.rests]
    must = list(zip(left.amounts, left.units, strict=True))
    if rests != must:
        raise InvariantBroken(f"the lines of A are {rests}, what was said comes to {must}")
    standing = head.standing
    stands = (standing.approved, standing.is_reversed, standing.partner, standing.countdown.locks_at)
    if stands != (left.approved, left.before is not None, left.partner, left.lock):
        raise InvariantBroken(f"A is {stands}, what was said comes to {left}")


def statements_count(orders: list[Order]) -> None:
    """What is right in itself is never refused for what others took, and the newest word of each subject counts."""
    for order in orders:
        for action in order.actions:
            head = order.heads[action.id]
            for entry in head.log:
                record = order.record(entry.id)
                assert record is not None, "what is booked is a record of the order"
                meant = [line for line in action.lines if record.sku in (None, line.sku)]
                amount, units = (
                    getattr(record.change, "amount", None) or 0,
                    getattr(record.change, "quantity", None) or 0,
                )
                fits = 100 * amount <= sum(line.amount for line in meant)
                fits = fits and units <= sum(line.quantity for line in meant)
                if record.subject and fits and entry.outcome in (Outcome.REFUSED, Outcome.HELD):
                    raise InvariantBroken(f"{record.public_id} is right in itself and was {entry.outcome} {entry.code}")
            if head.standing.drift:
                raise InvariantBroken(f"{action.id} stands otherwise than its records say: {head.standing.drift}")
