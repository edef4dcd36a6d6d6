"""The state of an action after some of its records: lines, partner, approval, countdown, contract version."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from retour.domain.actions.action import Action
from retour.domain.actions.codes import Code
from retour.domain.actions.confirmations import (
    ConfirmationSums,
    ConfirmingSource,
    confirmation_sums,
    confirmed_sources,
    excess_statements,
    with_confirmation,
    with_version,
)
from retour.domain.actions.lines import (
    NOTHING_LEFT,
    Claim,
    LineBalance,
    LineBalances,
    balances_after,
    balances_as_sold,
    balances_before_claims,
    claims_of,
    exceeds,
    resolve_for_action,
    set_quantity,
    set_total,
    take_back,
    target_lines,
)
from retour.domain.actions.modification import (
    CHANGES_MAX,
    Approve,
    Discard,
    Modification,
    RaiseLimit,
    Reattribute,
    Refold,
    Release,
    Reprice,
    Restore,
    Reverse,
    SetQuantity,
    SetStatus,
    SetTotal,
    TakeBack,
    Undo,
)
from retour.domain.actions.subjects import (
    FoldPosition,
    Pricing,
    Subject,
    SubjectKey,
    SubjectRecord,
    Subjects,
    newest_pricing,
    with_record,
    without_newest,
)
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.lock import Countdown, LockRule, after_approval, after_reattribution, after_status


@dataclass(frozen=True, slots=True)
class Reversal:
    """The reversal in force by a record without subject: its source, and the lines before it."""

    source: str
    before: LineBalances


@dataclass(frozen=True, slots=True)
class ActionState:
    """The state of an action.

    `own`: the lines left by records without subject; `rests`: by all records, with subjects. `contract` priced them;
    `own_priced` priced `own`.

    `wholes`: subjects that are sums, which count only while none of their parts is known. `taken`: the amount each
    source took without subject. `confirming`: statements of sources that confirm others.

    `before_zero`: per line at zero, its balance before. `reversal`: the one in force by a record without subject.
    `emptied`: whether the subjects leave nothing. `lock_contract` gave the lock rule; `lock_unapproved` is the lock
    before the approval.

    `undone` and `idle`: records left out, by an undo or because they are impossible at their place. `last`: the newest
    position. `drift`: the difference between bookings by older rules and today's result.
    """

    own: LineBalances
    rests: LineBalances
    before_zero: tuple[LineBalance | None, ...]
    partner: str
    countdown: Countdown
    contract: int
    own_priced: Pricing
    lock_contract: int
    reversal: Reversal | None = None
    emptied: bool = False
    approved: bool = False
    lock_unapproved: datetime | None = None
    subjects: Subjects = field(default_factory=dict)
    wholes: frozenset[SubjectKey] = frozenset()
    taken: Mapping[str, int] = field(default_factory=dict)
    confirming: Mapping[str, ConfirmingSource] = field(default_factory=dict)
    undone: Collection[str] = frozenset()
    idle: Mapping[str, Code] = field(default_factory=dict)
    last: FoldPosition | None = None
    drift: LineBalances = ()
    limit: int = CHANGES_MAX
    warning: Code | None = None

    @property
    def amount(self) -> int:
        return sum(rest.amount for rest in self.rests)

    @property
    def counting(self) -> list[Subject]:
        """All subjects except sums whose parts are known."""
        return [subject for key, subject in self.subjects.items() if key not in self.wholes]

    @property
    def is_reversed(self) -> bool:
        return self.reversal is not None or self.emptied


UNASSIGNED_STATE = ActionState((), (), (), "", Countdown(None), 0, Pricing(0), 0)
"""The state of `NO_ACTION`: nothing sold, nothing left."""


def initial_state(action: Action, undone: Collection[str] = frozenset()) -> ActionState:
    return ActionState(
        own=balances_as_sold(action),
        rests=balances_as_sold(action),
        before_zero=(None,) * len(action.lines),
        partner=action.partner,
        countdown=Countdown(action.locks_at),
        contract=action.contract,
        own_priced=Pricing(action.contract),
        lock_contract=action.contract,
        undone=undone,
    )


def fold_position(record: Modification) -> FoldPosition:
    """The fold's sort key: source time if declared, receipt, place, id."""
    return record.orders_by, record.received_at, record.provenance.position, record.id


def step(
    action: Action, standing: ActionState, record: Modification, terms: Contract, contracts: Sequence[Contract]
) -> ActionState | Code:
    """The state after one more record, or the code of its refusal. `terms` price it if lines change."""
    after = advance(action, standing, record, terms, contracts)
    return after if isinstance(after, Code) else combine(action, after)


def reads_balances(record: Modification) -> bool:
    """Whether a record's effect depends on the balances with all subjects."""
    return isinstance(record.change, Approve | SetTotal | SetQuantity) and record.subject is None


def advance(
    action: Action, standing: ActionState, record: Modification, terms: Contract, contracts: Sequence[Contract]
) -> ActionState | Code:
    """Apply a record without computing balances. After several records, `combine` is needed only once."""
    meant = resolve_for_action(action, record)
    if isinstance(meant, Code):
        return meant
    standing = replace(standing, warning=None)
    after: ActionState | Code
    if confirmed_sources(meant):
        after = step_confirming(action, standing, meant, terms)
    elif meant.subject:
        after = step_subject(action, standing, meant, terms)
    else:
        after = step_own(action, standing, meant, terms, contracts)
    return after if isinstance(after, Code) else with_position(after, record)


def with_position(standing: ActionState, record: Modification) -> ActionState:
    place = fold_position(record)
    return standing if standing.last is not None and place < standing.last else replace(standing, last=place)


def step_own(
    action: Action, standing: ActionState, record: Modification, terms: Contract, contracts: Sequence[Contract]
) -> ActionState | Code:
    match record.change:
        case SetStatus(status):
            return change_status(action, standing, status, record, contracts)
        case Reattribute(partner):
            return reattribute(action, standing, partner, record, terms)
        case Reprice():
            return replace(standing, own_priced=Pricing(terms.number, fold_position(record)))
        case Refold():
            return replace(standing, drift=())
        case RaiseLimit(times):
            return replace(standing, limit=max(standing.limit, times))
        case Approve(restores) if standing.is_reversed:
            whole = range(len(action.lines))
            return restore(action, standing, whole, record, terms) if restores else Code.ACTION_REVERSED
        case Approve():
            return approve(action, standing, record, contracts)
        case Undo() | Release() | Discard():
            return standing
    target = target_lines(action, record)
    if isinstance(target, Code):
        return target
    if isinstance(record.change, Restore):
        return restore(action, standing, target, record, terms)
    return change_lines(action, standing, target, record, terms)


def step_subject(action: Action, standing: ActionState, record: Modification, terms: Contract) -> ActionState | Code:
    """Apply one more statement on a subject. It is refused only if invalid in itself."""
    told = subject_record(action, record, terms)
    key = record.subject_key
    if isinstance(told, Code):
        return told
    assert key is not None, "the record names its subject"
    subject = with_record(standing.subjects.get(key, Subject()), told, standing.undone)
    return replace(
        standing,
        subjects={**standing.subjects, key: subject},
        wholes=with_sum_subject(standing, record),
        warning=clamp_warning(action, record, told.claims),
    )


def step_confirming(action: Action, standing: ActionState, record: Modification, terms: Contract) -> ActionState | Code:
    """Apply a record of a source that confirms others."""
    told = subject_record(action, with_version(record), terms)
    if isinstance(told, Code):
        return told
    return replace(
        standing,
        confirming=with_confirmation(standing.confirming, record, told, standing.undone),
        wholes=with_sum_subject(standing, record),
    )


def subject_record(action: Action, record: Modification, terms: Contract) -> SubjectRecord | Code:
    claims = claims_of(action, record)
    if isinstance(claims, Code):
        return claims
    assert record.version is not None, "what is told has a version"
    return SubjectRecord(
        record.id,
        record.content,
        record.version,
        record.provenance.delivery,
        claims,
        fold_position(record),
        terms.number,
        record.source,
    )


def clamp_warning(action: Action, record: Modification, claims: Sequence[Claim]) -> Code | None:
    target = [i for claim in claims for i in claim.target]
    clamps = isinstance(record.change, TakeBack) and exceeds(action, balances_as_sold(action), target, record.change)
    return Code.CLAMPED_TO_SALE if clamps else None


def with_sum_subject(standing: ActionState, record: Modification) -> frozenset[SubjectKey]:
    """The sum subjects, including the one that this record is a part of."""
    return standing.wholes | ({(record.namespace, record.part_of)} if record.part_of else frozenset())


# Lines


def change_lines(
    action: Action, standing: ActionState, target: Sequence[int], record: Modification, terms: Contract
) -> ActionState | Code:
    """Change lines. Reversals and `take_back` act on `own`; totals are what remains with all subjects."""
    result: dict[int, LineBalance] | Code
    match record.change:
        case Reverse():
            result = dict.fromkeys(target, NOTHING_LEFT)
        case SetTotal() | SetQuantity() as change if is_reversed_by_another(standing, record):
            return standing if stated_value(change) == 0 else Code.ACTION_REVERSED
        case SetTotal() as change:
            result = balances_for_total(
                action, standing, set_total(action, standing.rests, target, change), stated_value(change)
            )
        case SetQuantity() as change:
            result = balances_for_total(action, standing, set_quantity(action, target, change), stated_value(change))
        case TakeBack(clamp=True) if standing.reversal:
            return replace(standing, warning=Code.CLAMPED_TO_SALE)
        case TakeBack() if standing.reversal:
            return Code.ACTION_REVERSED
        case TakeBack() as change:
            result = take_back(action, standing.own, target, change)
        case _:
            return Code.CHANGE_NOT_OFFERED
    if isinstance(result, Code):
        return result
    clamps = isinstance(record.change, TakeBack) and exceeds(action, standing.own, target, record.change)
    after = replace_lines(action, standing, result, record, terms.number)
    return replace(after, warning=Code.CLAMPED_TO_SALE) if clamps else after


def stated_value(change: SetTotal | SetQuantity) -> object:
    return change.amount if isinstance(change, SetTotal) else change.quantity


def is_reversed_by_another(standing: ActionState, record: Modification) -> bool:
    """Whether another source reversed the action, so that no total may raise it. Zero agrees with the reversal."""
    return standing.reversal is not None and standing.reversal.source != record.source


def balances_for_total(
    action: Action, standing: ActionState, wanted: dict[int, LineBalance] | Code, total: object
) -> dict[int, LineBalance] | Code:
    """The `own` balances for which `wanted` remains with all subjects. Zero holds whatever they state."""
    if isinstance(wanted, Code) or total == 0 or not standing.subjects:
        return wanted
    left = tuple(wanted.get(i, rest) for i, rest in enumerate(standing.rests))
    own = balances_before_claims(action, left, [subject.statement for subject in standing.counting])
    return dict(enumerate(own))


def replace_lines(
    action: Action, standing: ActionState, own: dict[int, LineBalance], record: Modification, contract: int
) -> ActionState:
    """Replace lines. All at zero is a reversal; anything above zero ends one."""
    after = tuple(own.get(i, rest) for i, rest in enumerate(standing.own))
    is_whole = record.sku is None and record.line is None
    reverses_whole = isinstance(record.change, Reverse) and is_whole
    if after == standing.own and not reverses_whole:
        return standing
    reverses = is_nothing_left(action, after) or reverses_whole
    reversal = None
    if reverses:
        reversal = standing.reversal or Reversal(record.source, standing.own)
    return replace(
        standing,
        own=tuple(NOTHING_LEFT for _ in after) if reverses else after,
        before_zero=tuple(
            (before if before != NOTHING_LEFT else memory) if rest == NOTHING_LEFT or reverses else None
            for before, rest, memory in zip(standing.own, after, standing.before_zero, strict=True)
        ),
        own_priced=Pricing(contract, fold_position(record)) if after != standing.own else standing.own_priced,
        reversal=reversal,
        taken=with_taken(standing, record.source, total_amount(standing.own) - total_amount(after)),
    )


def total_amount(balances: LineBalances) -> int:
    return sum(rest.amount for rest in balances)


def with_taken(standing: ActionState, source: str, amount: int) -> Mapping[str, int]:
    return {**standing.taken, source: max(standing.taken.get(source, 0) + amount, 0)}


def is_nothing_left(action: Action, balances: LineBalances) -> bool:
    """Whether every line is at zero. For a sale of 0 only units count."""
    if any(line.amount for line in action.lines):
        return not any(rest.amount for rest in balances)
    return any(line.quantity for line in action.lines) and not any(rest.quantity for rest in balances)


def restore(
    action: Action, standing: ActionState, target: Sequence[int], record: Modification, terms: Contract
) -> ActionState:
    """The lines before the reversal in force; for a single item, before it went to zero.

    Each subject that takes part of what is restored is left out until it states something else (spec 4).
    """
    if standing.reversal and len(target) == len(action.lines):
        own = standing.reversal.before
    else:
        own = tuple(
            standing.before_zero[i] or rest if i in target and rest == NOTHING_LEFT else rest
            for i, rest in enumerate(standing.own)
        )
    left_out = {
        key: without_newest(subject, standing.undone)
        for key, subject in standing.subjects.items()
        if any(set(claim.target) & set(target) for claim in subject.statement)
    }
    if own == standing.own and standing.reversal is None and not left_out:
        return standing
    return replace(
        standing,
        own=own,
        before_zero=tuple(
            memory if rest == NOTHING_LEFT else None for rest, memory in zip(own, standing.before_zero, strict=True)
        ),
        own_priced=Pricing(terms.number, fold_position(record)),
        reversal=None,
        subjects={**standing.subjects, **left_out},
        taken=with_taken(standing, standing.reversal.source, total_amount(standing.own) - total_amount(own))
        if standing.reversal
        else standing.taken,
    )


def combine(action: Action, standing: ActionState) -> ActionState:
    """Compute balances and pricing from records without subject and the statements of all subjects.

    A reversal ends an approval and the lock it set, whatever caused the reversal and however it ends (spec 5.2).
    """
    statements = [subject.statement for subject in standing.counting if subject.statement]
    sums = sums_of_confirming_sources(action, standing)
    statements += excess_statements(action, sums)
    rests = balances_after(action, standing.own, statements) if standing.subjects or statements else standing.own
    if standing.drift and any(rest != NOTHING_LEFT for rest in rests):
        rests = apply_drift(action, rests, standing.drift)
    emptied = bool(statements) and is_nothing_left(action, rests)
    if emptied:
        rests = tuple(NOTHING_LEFT for _ in rests)
    beyond = [standing.confirming[one.source] for one in sums if one.said > one.by_others]
    counting = [*standing.counting, *(subject for one in beyond for subject in one.subjects.values())]
    priced = newest_pricing((subject.priced for subject in counting), standing.own_priced)
    after = replace(standing, rests=rests, emptied=emptied, contract=priced.contract)
    if after.is_reversed and after.approved:
        countdown = replace(after.countdown, locks_at=after.lock_unapproved)
        return replace(after, approved=False, countdown=countdown, lock_unapproved=None)
    return after


def sums_of_confirming_sources(action: Action, standing: ActionState) -> list[ConfirmationSums]:
    """The sums of confirming sources and of the sources they confirm."""
    if not standing.confirming:
        return []
    return confirmation_sums(action, standing.confirming, standing.counting, standing.taken, standing.wholes)


def apply_drift(action: Action, balances: LineBalances, drift: LineBalances) -> LineBalances:
    """Add what older rules booked differently, which stays until an explicit refold."""
    return tuple(
        LineBalance(
            min(max(rest.amount + extra.amount, 0), sold.amount),
            min(max(rest.quantity + extra.quantity, 0), sold.quantity),
        )
        for sold, rest, extra in zip(action.lines, balances, drift, strict=True)
    )


# Status, approval, partner


def as_of_partner(action: Action, standing: ActionState) -> Action:
    """The action with its current partner, for the evaluation of terms."""
    return action if action.partner == standing.partner else replace(action, partner=standing.partner)


def lock_terms(standing: ActionState, contracts: Sequence[Contract]) -> Contract:
    """The contract version of the lock rule in force: that of the report, or of the latest re-attribution (spec 6)."""
    return contracts[standing.lock_contract - 1]


def lock_rule(action: Action, standing: ActionState, contracts: Sequence[Contract]) -> LockRule:
    return lock_terms(standing, contracts).lock_for(as_of_partner(action, standing))


def change_status(
    action: Action, standing: ActionState, status: str, record: Modification, contracts: Sequence[Contract]
) -> ActionState:
    """Change the status. One received at or after the lock has no effect (spec 5.2)."""
    countdown, zone = standing.countdown, lock_terms(standing, contracts).time_zone
    if countdown.locks_at is not None and record.received_at >= countdown.locks_at:
        return standing
    rule = lock_rule(action, standing, contracts)
    moved = after_status(rule, countdown, status, record.orders_by, record.received_at, zone)
    return replace(standing, countdown=moved)


def approve(action: Action, standing: ActionState, record: Modification, contracts: Sequence[Contract]) -> ActionState:
    if standing.approved:
        return standing
    rule, zone = lock_rule(action, standing, contracts), lock_terms(standing, contracts).time_zone
    countdown = after_approval(rule, standing.countdown, record.received_at, zone)
    return replace(standing, approved=True, countdown=countdown, lock_unapproved=standing.countdown.locks_at)


def reattribute(
    action: Action, standing: ActionState, partner: str, record: Modification, terms: Contract
) -> ActionState:
    """Move the action to another partner and that partner's terms, with countdown, approval and lock."""
    if partner == standing.partner:
        return standing
    rule = terms.lock_for(replace(action, partner=partner))
    countdown = after_reattribution(rule, standing.countdown, action.event_time, record.received_at, terms.time_zone)
    return replace(
        standing,
        partner=partner,
        own_priced=Pricing(terms.number, fold_position(record)),
        lock_contract=terms.number,
        countdown=countdown,
    )
