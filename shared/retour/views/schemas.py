"""The JSON documents of the public API, by the names of the schemas in `/openapi.json`: mypy checks a field's name.

Amounts are decimal texts, moments ISO 8601 in UTC, days ISO dates.
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict


class ChangeOfAmountDocument(TypedDict):
    before: str
    after: str


class EffectDocument(TypedDict):
    """`contract` is the number of the contract version that priced it."""

    currency: str
    payout_currency: str
    amount: ChangeOfAmountDocument
    payout: ChangeOfAmountDocument
    contract: int


class OtherBasisDocument(TypedDict):
    """The payout after a record, had the other terms priced it."""

    basis: str
    payout: str


class MakeGoodDocument(TypedDict):
    """What settles a change that came too late: what it would have taken from the sale and from the payout."""

    partner: str
    amount: str
    currency: str
    payout: str
    payout_currency: str
    also: NotRequired["MakeGoodDocument"]


class FirstDocument(TypedDict):
    """What a duplicate came to the first time."""

    outcome: str
    batch: str


class RecordOutcomeDocument(TypedDict):
    """The answer to one record of a delivery; `record` is its place there."""

    record: str
    id: str
    reference: str | None
    order_id: str | None
    action_id: str | None
    outcome: str
    code: str
    explanation: str
    applied_at: str | None
    effect: EffectDocument | None
    column: NotRequired[str]
    first: NotRequired[FirstDocument]
    other_basis: NotRequired[OtherBasisDocument | None]
    make_good: NotRequired[MakeGoodDocument]


class RefusalFields(TypedDict, total=False):
    """Why a delivery as a whole was refused, held or ignored; empty where it was not."""

    code: str
    explanation: str


class RepetitionFields(TypedDict):
    """Of a delivery that was sent before: which one it repeats, in words too."""

    same_as: str
    explanation: str


class ModificationDocument(TypedDict):
    """A record as it was sent, where it came from, and what became of it."""

    id: str
    program: str
    channel: str
    source: str
    reference: str | None
    order_id: str | None
    action_id: str | None
    event_type: str | None
    sku: str | None
    line: str | None
    subject: str | None
    version: str | None
    change: str
    amount: str | None
    quantity: int | None
    status: str | None
    partner: str | None
    undoes: str | None
    currency: str | None
    reason: str | None
    disposition: str | None
    note: str | None
    occurred_at: str | None
    received_at: str
    batch: str
    object: str
    place: str
    sha256: str
    sender: str
    outcome: str
    code: str
    explanation: str
    applied_at: str | None
    effect: EffectDocument | None
    other_basis: NotRequired[OtherBasisDocument | None]
    make_good: NotRequired[MakeGoodDocument]


class TermsOfEntryDocument(TypedDict):
    number: int
    name: str
    version: int


class HistoryEntryDocument(ModificationDocument):
    """A record as its action booked it."""

    terms: TermsOfEntryDocument


class LastChangeDocument(TypedDict):
    id: str
    change: str
    reason: str | None
    disposition: str | None
    channel: str
    applied_at: str


class ActionLineDocument(TypedDict):
    """An action as lists show it. `locks_at` None: open-ended."""

    id: str
    program: str
    order_id: str
    event_type: str
    partner: str
    event_time: str
    reported_at: str
    currency: str
    state: str
    amount: str
    payout: str
    payout_currency: str
    locks_at: str | None
    final_at: str | None
    contract: int
    changes: int
    changes_left: int
    promo_code: str | None
    customer_status: str | None
    country: str | None
    payment_method: str | None
    parent: str | None
    last_change: NotRequired[LastChangeDocument | None]


class SoldDocument(TypedDict):
    quantity: int
    amount: str


class ItemDocument(TypedDict):
    """One line of an action as it stands; `rule` is the rank of the rule that pays, 0 where none does."""

    line: str
    sku: str | None
    category: str | None
    quantity: int
    amount: str
    payout: str
    rule: int
    sold: SoldDocument


class CreditDocument(TypedDict, total=False):
    """When the partner's credit is certain: one of the three days, and why then."""

    earliest: str
    expected: str
    latest: str
    why: str


class PaymentStandingDocument(TypedDict):
    """Where the payment of a statement stands."""

    state: str
    batch: str | None
    day: str | None
    reason: str | None


class StatementInShortDocument(TypedDict):
    id: str
    number: str
    day: str
    due: str
    payment: PaymentStandingDocument


class ActionDetailFields(TypedDict):
    """What an action by itself shows beyond its line."""

    sentence: str
    credit: CreditDocument | None
    rate: str
    items: list[ItemDocument]
    history: list[HistoryEntryDocument]


class ActionDocument(ActionLineDocument, ActionDetailFields):
    """An action with its lines and everything that was ever said about it, in the order in which it was booked; with
    the statement it is on, or the past moment it is shown at."""

    statement: NotRequired[StatementInShortDocument]
    as_of: NotRequired[str]


class EffectTotalDocument(TypedDict):
    currency: str
    change: str


class BatchAnswerDocument(TypedDict):
    """What a caller hears at once. A dry run has no batch to ask for later, and more to tell."""

    batch: str | None
    state: str
    counts: Mapping[str, int]
    outcomes: list[RecordOutcomeDocument]
    dry_run: NotRequired[bool]
    code: NotRequired[str]
    explanation: NotRequired[str]
    same_as: NotRequired[str]
    first_counts: NotRequired[Mapping[str, int]]
    partners: NotRequired[list[Any]]
    total: NotRequired[Any]
    worst: NotRequired[list[Any]]
    warnings: NotRequired[list[Any]]
    children: NotRequired[list[ModificationDocument]]
    standings: NotRequired[list[Any]]
    looked: NotRequired[Mapping[str, int]]
    chosen: NotRequired[list[str]]


class LinksDocument(TypedDict):
    raw: str
    result: NotRequired[str]
    rejected: NotRequired[str]


class BatchDocument(TypedDict):
    """A delivery and what became of it; asked for by itself, with the outcomes of its first records."""

    id: str
    program: str
    channel: str
    source: str
    kind: str
    name: str
    state: str
    received_at: str
    sender: str
    sha256: str
    size: int
    rows: int
    counts: Mapping[str, int]
    skipped: Mapping[str, int]
    answer: str
    links: LinksDocument
    effect: NotRequired[list[EffectTotalDocument]]
    outcomes: NotRequired[list[RecordOutcomeDocument]]
    same_as: NotRequired[str]
    first_counts: NotRequired[Mapping[str, int]]
    progress: NotRequired[Mapping[str, Any]]
    dry_run: NotRequired[bool]
    code: NotRequired[str]
    explanation: NotRequired[str]
    preview: NotRequired[Mapping[str, Any]]
    partners: NotRequired[list[Any]]
    total: NotRequired[Any]
    worst: NotRequired[list[Any]]
    warnings: NotRequired[list[Any]]
    differs: NotRequired[list[Any]]
    differing: NotRequired[int]
