"""Find actions that older rules booked differently from today's, and report the difference in money."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from retour.domain.actions.action import Action
from retour.domain.actions.order import RULES_VERSION, ActionHead, Order
from retour.domain.actions.replay import refold_head
from retour.domain.program import Program
from retour.ports import ReadPorts
from retour.store.bulk import batched, load_listed_actions
from retour.store.ledger import TableLedger

DATELESS = "9999-12-31"
AT_ONCE = 100
STATE_SOURCE = "operations.refold"
"""Source name under which a completed refold is recorded; merchants cannot use it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An open action as booked, and as its records fold by today's rules."""

    order: Order
    action: Action
    booked: ActionHead
    anew: ActionHead

    @property
    def payout(self) -> int:
        return self.anew.payout - self.booked.payout


@dataclass(slots=True)
class RefoldScan:
    """The result of a scan: `next` is where to continue (None at the end), `actions` were folded by older rules."""

    differences: list[Difference] = field(default_factory=list)
    actions: int = 0
    next: str | None = None


def find_differences(
    ports: ReadPorts, program: Program, has_time: Callable[[], bool], cursor: str = "", most: int = 1_000
) -> RefoldScan:
    """Open actions whose state would change by today's rules, from a cursor on, as far as the time allows.

    Locked and final actions are skipped: they keep what was booked.
    """
    ledger, looked, now = ports.ledger(program), RefoldScan(), ports.now()
    for some in batched(open_places(ledger, now.date().isoformat(), cursor), AT_ONCE):
        rules = [place for place, one in zip(some, rules_of_heads(ledger, some), strict=True) if one < RULES_VERSION]
        for order_key, action_id in dict.fromkeys((key, action) for key, action, _ in rules):
            order = ledger.order(order_key)
            action, head = order.action(action_id), order.heads.get(action_id)
            if action is None or head is None or head.final is not None or head.is_locked(now):
                continue
            looked.actions += 1
            found = Difference(order, action, head, refold_head(order, action, head, ledger.contracts))
            if is_visible_difference(found):
                looked.differences.append(found)
        if not has_time() or len(looked.differences) >= most:
            looked.next = some[-1][2]
            break
    return looked


def has_nothing_to_refold(ports: ReadPorts, program: Program, scan: RefoldScan | None = None) -> bool:
    """Whether no open action was folded by older rules any more.

    Once true it stays so, and is stored: all heads are now written by today's rules. `scan` saves a scan of one's own.
    """
    state, key = ports.state(program.id, STATE_SOURCE), f"rules#{RULES_VERSION}"
    if scan is None:
        return state.get(key) is not None
    if scan.next is None and not scan.actions:
        state.put(key, {"none": True})
        return True
    return False


def is_visible_difference(found: Difference) -> bool:
    """Whether a difference is visible to people."""

    def seen(head: ActionHead) -> tuple[object, ...]:
        standing = head.standing
        return standing.rests, standing.is_reversed, standing.approved, head.locks_at, head.payout

    return seen(found.booked) != seen(found.anew)


def open_places(ledger: TableLedger, today: str, cursor: str) -> Iterator[tuple[str, str, str]]:
    """(order key, action id, cursor) of actions that may be open, by lock, from a cursor on."""
    days, _, after = cursor.partition("|")
    for day in ledger.lock_days(DATELESS):
        if day.lock_day < today or day.name < days:
            continue
        from_here = after if day.name == days else ""
        for key, action, sort in ledger.heads_by_lock(day, from_here):
            yield key, action, f"{day.name}|{sort}"


def rules_of_heads(ledger: TableLedger, some: list[tuple[str, str, str]]) -> list[int]:
    """The rules version each action was folded with; the current one for missing actions."""
    found = {
        (one.action.order_key, one.action.id): one.rules
        for one in load_listed_actions(ledger, [one[:2] for one in some])
    }
    return [found.get((key, action), RULES_VERSION) for key, action, _ in some]
