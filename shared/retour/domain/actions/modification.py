"""One requested change of one action, normalised: immutable once inserted (spec 3 and 4)."""

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
"""So many times an action may be changed, unless a person raised the limit for it."""
LIMIT_MAX = 2_000
"""To which the limit may be raised: an order holds no more records."""
ITEMS_MAX = 1_000
"""More than a line has items."""


@dataclass(frozen=True, slots=True)
class Reverse:
    """Nothing of the target remains to be paid."""


@dataclass(frozen=True, slots=True)
class SetTotal:
    """The target's amount from now on is this."""

    amount: Decimal


@dataclass(frozen=True, slots=True)
class SetQuantity:
    """So many units remain sold; their amount is the share of the original line, or the one given."""

    quantity: int
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class TakeBack:
    """This came back: an amount, or so many units, or both (the amount counts).

    `of_total` is the order total the amount is a part of, where a shop speaks of totals with tax and shipping: what is
    taken back then is sale × amount ÷ of_total. `clamp` takes what is left when more came back than was sold.
    `total_of` names what the amount is a part of (a charge, an order) where the message itself does not know the
    total: the record waits until another one of the order tells `of_total` of the same name.
    """

    amount: Decimal | None = None
    quantity: int | None = None
    of_total: Decimal | None = None
    clamp: bool = False
    total_of: str | None = None


@dataclass(frozen=True, slots=True)
class Approve:
    """Marked for locking. `restores`: it also brings a reversed action back, as one person's decision may."""

    restores: bool = False


@dataclass(frozen=True, slots=True)
class Restore:
    """The lines return to what they were before the reversal in force."""


@dataclass(frozen=True, slots=True)
class SetStatus:
    """The order has this status now; it counts for all actions of the order."""

    status: str


@dataclass(frozen=True, slots=True)
class Reattribute:
    """Another partner brought the order; from now on under that partner's terms."""

    partner: str


@dataclass(frozen=True, slots=True)
class Undo:
    """That record is left out of the fold; the others keep their meaning and their contract version."""

    undoes: str


@dataclass(frozen=True, slots=True)
class Reprice:
    """The lines stay; the newest terms price them from now on. Only ever on purpose, by a person."""


@dataclass(frozen=True, slots=True)
class Refold:
    """What older rules booked gives way to what the records come to by today's. Only ever on purpose, by a person."""


@dataclass(frozen=True, slots=True)
class RaiseLimit:
    """The action may be changed so many times. Only ever on purpose, by a person, for one action."""

    quantity: int


@dataclass(frozen=True, slots=True)
class Release:
    """A held record is decided after all, as received when it came."""

    held: str


@dataclass(frozen=True, slots=True)
class Discard:
    """A held record takes no effect; it stays stored."""

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
"""The changes that can say what is taken back of an order because of one subject."""

UNCOUNTED_CHANGES = (SetStatus, Release, Discard, Refold, RaiseLimit)
"""The changes that do not count towards the limit of changes, and may come after it (spec 5.5)."""

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
    """Where exactly a record came from: `sftp/acme/may.csv` line 7, and the proof of it."""

    delivery: str
    object: str
    place: str
    sha256: str
    sender: str

    @property
    def position(self) -> int:
        """The number within the delivery, for the order of what arrived together: the line, then the item in it."""
        return position_of(self.place)


@lru_cache(4_096)
def position_of(place: str) -> int:
    found = re.search(r"(\d+)(?:\.(\d+))?\D*$", place)
    return int(found[1]) * ITEMS_MAX + int(found[2] or 0) if found else 0


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Which statement on a subject is the newer one (spec 4, Subjects): compared field by field.

    `kind` is FORMER for what an older release recorded without version, NUMBER or TIME; `value` the number, or the time
    in milliseconds since 1970; `rank` orders states of one second that only move one way; `delivery` is filled where no
    version was told and the receipt stands in for it.
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
"""The subject of what a parent action means for its child."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DIGITS_MAX = 15


def parse_version(version: str, received_at: datetime) -> Version:
    """A whole number, or an RFC 3339 time, either with `;rank` behind it. A time is never later than the receipt.

    ValueError for anything else.
    """
    value, _, rank = version.partition(";")
    order = parse_whole_number(rank) if rank else 0
    if value.isascii() and value.isdigit():
        return Version(NUMBER_VERSION, parse_whole_number(value), order)
    return Version(TIME_VERSION, to_epoch_milliseconds(min(parse_instant(value), received_at)), order)


def receipt_version(received_at: datetime, delivery: str) -> Version:
    """The version of what was told without one: the receipt, then the delivery."""
    return Version(TIME_VERSION, to_epoch_milliseconds(received_at), 0, delivery)


def parse_whole_number(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()) or len(digits) > DIGITS_MAX:
        raise ValueError(f"{digits!r} is not a whole number of at most {DIGITS_MAX} digits")
    return int(digits)


def to_epoch_milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Price:
    """The amount of a record in another currency, as its payload told both; `of_total` likewise."""

    currency: str
    amount: Decimal
    of_total: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Modification:
    """`identity` and `content_hash` are hashes; `attempt` names the delivery of a new try after a refusal.

    `id` is made of these three: 24 hex digits, the same whenever and wherever the same record is read again.

    `orders_by` is the time the fold sorts by: the source's own, never later than the receipt, where the source is
    declared to order so, else the receipt. `doubles` is what its program says of a change that looks like one already
    applied: by the other's source `hold`, `apply` or `confirms`, under `days` how long that is looked for (0: never).
    `counts_after` is set where a person had to decide: only actions that lock later may still be changed by it.

    `names` are what else the order is known by, where its own id is not told: the record waits beside them.
    With a `subject` the record says what of the order is taken back because of that subject in total, at this
    `version` (spec 4). `prices` are the same amount in the other currencies of its payload. `part_of` is the subject
    that tells the sum of this one and others like it: it counts only while none of its parts was told.
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
        """A subject belongs to the namespace of its source: two sources may call different things `1`."""
        return None if self.subject is None else (self.namespace, self.subject)

    @property
    def is_restatement(self) -> bool:
        """Whether its version is its receipt: told again unchanged it is nothing new, and is not stored."""
        return self.version is not None and bool(self.version.delivery)

    @property
    def home(self) -> str:
        """The key it is kept under: its order, or `@` and the action id or name while no order is known for that."""
        return self.order_key or f"@{self.action_id or self.names[0]}"

    @property
    def public_id(self) -> str:
        """The id people see; it carries its home, so it finds itself."""
        return f"{self.home}~{self.id}"

    @property
    def verb(self) -> str:
        return VERBS[type(self.change)]


def digest(*parts: str) -> str:
    """96 bits over texts, each set off from the next."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def has_amount(change: Change) -> bool:
    return getattr(change, "amount", None) is not None


def content_hash(change: Change, currency: str | None) -> str:
    """What makes two records of one identity the same: change, amount, currency, quantity (spec 4)."""
    amount = getattr(change, "amount", None)
    return digest(
        type(change).__name__,
        "" if amount is None else f"{amount.normalize():f}",
        "" if amount is None else currency or "",
        str(getattr(change, "quantity", None)),
        *[getattr(change, name, "") for name in ("status", "partner", "undoes", "held")],
    )
