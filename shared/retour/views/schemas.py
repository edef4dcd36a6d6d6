"""The JSON documents of the public API, by the names of the schemas in `/openapi.json`: mypy checks a field's name.

Amounts are decimal texts, moments ISO 8601 in UTC, days ISO dates.
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict


class ChangeOfAmountDocument(TypedDict):
    before: str
    after: str


class EffectDocument(TypedDict):
    """`contract` is the contract version that priced it."""

    currency: str
    payout_currency: str
    amount: ChangeOfAmountDocument
    payout: ChangeOfAmountDocument
    contract: int


class OtherBasisDocument(TypedDict):
    """The payout by the terms basis that was not agreed."""

    basis: str
    payout: str


class MakeGoodDocument(TypedDict):
    """What would settle a late change: its effect on amount and payout."""

    partner: str
    amount: str
    currency: str
    payout: str
    payout_currency: str
    also: NotRequired["MakeGoodDocument"]


class FirstDocument(TypedDict):
    """The first outcome of a duplicate."""

    outcome: str
    batch: str


class RecordOutcomeDocument(TypedDict):
    """The result of one record; `record` is its place in the delivery."""

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
    """Why a delivery was refused, held or ignored as a whole; empty otherwise."""

    code: str
    explanation: str


class RepetitionFields(TypedDict):
    """The earlier delivery that this one repeats, with a sentence."""

    same_as: str
    explanation: str


class ModificationDocument(TypedDict):
    """A record as sent, its provenance and its outcome."""

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
    """A record as booked by its action."""

    terms: TermsOfEntryDocument


class LastChangeDocument(TypedDict):
    id: str
    change: str
    reason: str | None
    disposition: str | None
    channel: str
    applied_at: str


class ActionLineDocument(TypedDict):
    """An action in a list. `locks_at` None is open-ended."""

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
    """A line of an action. `rule` is the rank of the paying rule, 0 if none."""

    line: str
    sku: str | None
    category: str | None
    quantity: int
    amount: str
    payout: str
    rule: int
    sold: SoldDocument


class CreditDocument(TypedDict, total=False):
    """When the partner's credit is certain: one of three days, and why."""

    earliest: str
    expected: str
    latest: str
    why: str


class PaymentStandingDocument(TypedDict):
    """The state of a statement's payment."""

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
    """Fields of a single action beyond those in lists."""

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
    """The immediate response to a call. A dry run has no batch, and additional fields."""

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
    """A delivery with its outcome; a single one also with the outcomes of its first records."""

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
