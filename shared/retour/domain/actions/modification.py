"""A modification: one requested change of one action, normalised and immutable once inserted (spec 3 and 4)."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from retour.domain.delivery import Channel
from retour.domain.times import format_instant, parse_instant

CHANGES_MAX = 1_000
"""Maximum changes of an action, unless a person raised the limit."""
LIMIT_MAX = 2_000
"""Highest possible limit, since an order holds no more records."""
ITEMS_MAX = 1_000
"""Above the number of items of any line."""


@dataclass(frozen=True, slots=True)
class Reverse:
    """Nothing of the target remains."""


@dataclass(frozen=True, slots=True)
class SetTotal:
    """The target's new total."""

    amount: Decimal


@dataclass(frozen=True, slots=True)
class SetQuantity:
    """The units that remain sold, at their share of the original line or at the given amount."""

    quantity: int
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class TakeBack:
    """What came back: an amount, units, or both (then the amount counts).

    `of_total` is the order total that the amount is a part of, for shops whose amounts include tax and shipping: what
    is taken back is sale × amount ÷ of_total. `clamp` takes what is left if more came back than was sold. `total_of`
    names that total (of a charge, an order) if the message does not contain it; the record waits until it is known.
    """

    amount: Decimal | None = None
    quantity: int | None = None
    of_total: Decimal | None = None
    clamp: bool = False
    total_of: str | None = None


@dataclass(frozen=True, slots=True)
class Approve:
    """Mark for locking. `restores` also restores a reversed action, as a single person's decision may (spec 5.2)."""

    restores: bool = False


@dataclass(frozen=True, slots=True)
class Restore:
    """Set the lines back to before the reversal in force."""


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Set the order's status, for all of its actions."""

    status: str


@dataclass(frozen=True, slots=True)
class Reattribute:
    """Move the action to another partner, under that partner's terms."""

    partner: str


@dataclass(frozen=True, slots=True)
class Undo:
    """Leave a record out of the fold. All others keep their meaning and contract version."""

    undoes: str


@dataclass(frozen=True, slots=True)
class Reprice:
    """Price the unchanged lines by the newest terms. Only by a person, explicitly."""


@dataclass(frozen=True, slots=True)
class Refold:
    """Replace what older rules booked by the result of today's. Only by a person, explicitly."""


@dataclass(frozen=True, slots=True)
class RaiseLimit:
    """Raise the limit of changes of one action. Only by a person, explicitly."""

    quantity: int


@dataclass(frozen=True, slots=True)
class Release:
    """Decide a held record with its original receipt time."""

    held: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Let a held record take no effect. It stays stored."""

    held: str


Change = (
    Reverse
    | SetTotal
    | SetQuantity
    | TakeBack
    | Approve
    | Restore
    | SetStatus
    | Reattribute
    | Undo
    | Reprice
    | Refold
    | RaiseLimit
    | Release
    | Discard
)

SUBJECT_CHANGES = (Reverse, SetTotal, SetQuantity, TakeBack)
"""Changes that can state what is taken back because of a subject."""

UNCOUNTED_CHANGES = (SetStatus, Release, Discard, Refold, RaiseLimit)
"""Changes that do not count towards the limit and are allowed beyond it (spec 5.5)."""

VERBS: dict[type[Change], str] = {
    Reverse: "reverse",
    SetTotal: "set_total",
    SetQuantity: "set_quantity",
    TakeBack: "take_back",
    Approve: "approve",
    Restore: "restore",
    SetStatus: "set_status",
    Reattribute: "reattribute",
    Undo: "undo",
    Reprice: "reprice",
    Refold: "refold",
    RaiseLimit: "raise_limit",
    Release: "release",
    Discard: "discard",
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where exactly a record came from: `sftp/acme/may.csv` line 7, with the file's hash and sender."""

    delivery: str
    object: str
    place: str
    sha256: str
    sender: str

    @property
    def position(self) -> int:
        """The sort position within the delivery: the line, then the item in it."""
        return position_of(self.place)


@lru_cache(4_096)
def position_of(place: str) -> int:
    found = re.search(r"(\d+)(?:\.(\d+))?\D*$", place)
    return int(found[1]) * ITEMS_MAX + int(found[2] or 0) if found else 0


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """The version of a statement on a subject, compared field by field (spec 4, Subjects).

    `kind` is FORMER for records of older releases without version, NUMBER or TIME. `value` is the number, or the time
    in milliseconds since 1970. `rank` orders one-way states of the same second. `delivery` is set if the version is the
    receipt.
    """

    kind: int
    value: int
    rank: int = 0
    delivery: str = ""

    def __str__(self) -> str:
        said = (
            str(self.value)
            if self.kind == NUMBER_VERSION
            else format_instant(EPOCH + timedelta(milliseconds=self.value))
        )
        return f"{said};{self.rank}" if self.rank else said


LEGACY_VERSION, NUMBER_VERSION, TIME_VERSION = range(3)
PARENT_SUBJECT = "parent"
"""The subject of a cascaded record: the state of the parent action."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DIGITS_MAX = 15


def parse_version(version: str, received_at: datetime) -> Version:
    """Parse an integer or an RFC 3339 time, optionally followed by `;rank`. Times are capped at the receipt.

    Raises ValueError for anything else.
    """
    value, _, rank = version.partition(";")
    order = parse_whole_number(rank) if rank else 0
    if value.isascii() and value.isdigit():
        return Version(NUMBER_VERSION, parse_whole_number(value), order)
    return Version(TIME_VERSION, to_epoch_milliseconds(min(parse_instant(value), received_at)), order)


def receipt_version(received_at: datetime, delivery: str) -> Version:
    """The version of a record without one: its receipt time, then its delivery."""
    return Version(TIME_VERSION, to_epoch_milliseconds(received_at), 0, delivery)


def parse_whole_number(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()) or len(digits) > DIGITS_MAX:
        raise ValueError(f"{digits!r} is not a whole number of at most {DIGITS_MAX} digits")
    return int(digits)


def to_epoch_milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Price:
    """The amount of a record in another currency of its payload, and `of_total` likewise."""

    currency: str
    amount: Decimal
    of_total: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Modification:
    """A normalised change, immutable.

    `identity` and `content` are hashes; `attempt` is the delivery of a new try after a refusal. `id` is derived from
    these three: 24 hex digits, equal whenever the same record is read again.

    `orders_by` is the time the fold sorts by: the source's own time if declared, never later than the receipt;
    otherwise the receipt. `doubles` is the program's policy for possible duplicates, by the other source: `hold`,
    `apply` or `confirms`; `days` is the window (0: never). `counts_after` is set after a late decision: only actions
    that lock later can be changed.

    `names` are other names of the order, if its id is not known; the record waits under them. With a `subject` the
    record states what is taken back because of it in total, as of `version` (spec 4). `prices` is the amount in the
    payload's other currencies. `part_of` is the subject that states the sum of this one and others; the sum counts only
    while none of its parts is known.
    """

    identity: str
    content: str
    attempt: str = ""
    program: str
    channel: Channel
    source: str
    namespace: str
    reference: str | None
    provenance: Provenance
    order_key: str | None
    action_id: str | None
    event_type: str | None
    sku: str | None
    line: str | None
    change: Change
    currency: str | None
    reason: str | None
    disposition: str | None
    note: str | None
    occurred_at: datetime | None
    received_at: datetime
    orders_by: datetime
    doubles: Mapping[str, str] = field(default_factory=dict)
    counts_after: datetime | None = None
    subject: str | None = None
    version: Version | None = None
    prices: tuple[Price, ...] = ()
    part_of: str | None = None
    names: tuple[str, ...] = ()
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", digest(self.identity, self.content, self.attempt))

    @property
    def subject_key(self) -> tuple[str, str] | None:
        """Namespace and subject: different sources may use the same name for different things."""
        return None if self.subject is None else (self.namespace, self.subject)

    @property
    def is_restatement(self) -> bool:
        """Whether the version is the receipt. An unchanged restatement is not stored."""
        return self.version is not None and bool(self.version.delivery)

    @property
    def home(self) -> str:
        """The key it is stored under: its order, or `@` with an action id or name while the order is unknown."""
        return self.order_key or f"@{self.action_id or self.names[0]}"

    @property
    def public_id(self) -> str:
        """The id shown to people. It contains the home, so the record is found by id alone."""
        return f"{self.home}~{self.id}"

    @property
    def verb(self) -> str:
        return VERBS[type(self.change)]


def digest(*parts: str) -> str:
    """A 96-bit hash of texts, with separators."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def has_amount(change: Change) -> bool:
    return getattr(change, "amount", None) is not None


def content_hash(change: Change, currency: str | None) -> str:
    """The hash of what makes two records of one identity equal: change, amount, currency, quantity (spec 4)."""
    amount = getattr(change, "amount", None)
    return digest(
        type(change).__name__,
        "" if amount is None else f"{amount.normalize():f}",
        "" if amount is None else currency or "",
        str(getattr(change, "quantity", None)),
        *[getattr(change, name, "") for name in ("status", "partner", "undoes", "held")],
    )
