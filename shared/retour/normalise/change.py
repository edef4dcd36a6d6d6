"""The change a row asks for: its verb, mapped status or disposition, and its values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache

from retour.domain.actions.modification import (
    CHANGES_MAX,
    LIMIT_MAX,
    Approve,
    Change,
    Discard,
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
from retour.domain.delivery import Channel, Delivery
from retour.domain.program import Program, Source
from retour.normalise.amounts import Amounts, change_from_difference
from retour.normalise.columns import CACHE_SIZE, bounded_text, required_text
from retour.normalise.errors import CellError
from retour.normalise.words import closest_known, translate
from retour.sentences import join_names, truncate

CHANGES = (
    "reverse", "set_total", "set_quantity", "take_back", "approve", "restore", "set_status", "reattribute", "undo",
)  # fmt: skip
CONSOLE_CHANGES = ("reprice", "refold", "raise_limit", "release", "discard")


@dataclass(frozen=True)
class ChangeContext:
    """Everything needed to interpret a row's change: program, source, delivery, and number formats."""

    program: Program
    source: Source
    delivery: Delivery
    amounts: Amounts

    @cached_property
    def reason(self) -> Callable[[str], str]:
        """A function from a sender's word to the program's reason. Raises CellError for an unknown word."""
        return lru_cache(CACHE_SIZE)(self._translate_reason)

    @cached_property
    def _closest_reason(self) -> Callable[[str], str]:
        return lru_cache(CACHE_SIZE)(lambda given: closest_known(given, self.program.reasons))

    def _translate_reason(self, given: str) -> str:
        reason = translate(self.source.mapping.get("reasons", {}), given) or given
        if reason not in self.program.reasons:
            reason = self.source.mapping.get("reason_otherwise", reason)
        if reason not in self.program.reasons:
            raise CellError(
                "UNKNOWN_REASON",
                "reason",
                value=truncate(given),
                nearest=self._closest_reason(truncate(given)),
            )
        return str(reason)


def read_change(cells: Mapping[str, str], context: ChangeContext) -> Change:
    verb = cells.get("change", "").lower()
    if not verb:
        meant = meaning_of_status(cells, context)
        if meant in ("nothing", "restore") and names_subject(cells, context.source):
            return TakeBack(Decimal(0), clamp=True)
        if meant == "nothing":
            raise CellError("NOTHING_OF_WHAT", "status", value=truncate(cells["status"]))
        verb = "set_status" if meant == "keep" else meant
    disposition = disposition_of(cells, context)
    if not verb and disposition is not None:
        verb = disposition.get("change", "set_status")
        cells = {**cells, "status": disposition.get("state", cells["disposition"])}
    amount, quantity = context.amounts.amount(cells, "amount"), context.amounts.quantity(cells)
    if amount is not None and quantity is not None and context.source.mapping.get("per_unit"):
        amount *= abs(quantity)
    verb = verb or verb_of_figures(amount, quantity, context.source)
    if verb == "set_total" and amount is None and quantity is not None:
        verb = "set_quantity"
    if verb == "difference":
        verb, amount, quantity = change_from_difference(amount, quantity)
    if verb not in CHANGES and not (verb in CONSOLE_CHANGES and is_by_a_person(context.delivery)):
        code = "UNKNOWN_CHANGE" if verb else "CHANGE_NEEDED"
        raise CellError(code, "change", value=truncate(verb), known=join_names(CHANGES, sort=True))
    return build_change(verb, amount, quantity, cells, context)


def meaning_of_status(cells: Mapping[str, str], context: ChangeContext) -> str:
    """The source's mapping of the row's status; empty without one."""
    status, translated = cells.get("status"), context.source.mapping.get("statuses", {})
    if status is None or not translated:
        return ""
    meant = translate(translated, status)
    if meant is None:
        raise CellError("UNKNOWN_STATUS", "status", value=truncate(status), known=join_names(translated, sort=True))
    return meant


def names_subject(cells: Mapping[str, str], source: Source) -> bool:
    return "subject" in cells or (source.references == "restate" and "reference" in cells)


def disposition_of(cells: Mapping[str, str], context: ChangeContext) -> Mapping[str, str] | None:
    """The row's disposition, if its event type declares any. Dispositions are case-sensitive."""
    code, event_type = cells.get("disposition"), event_type_of(cells, context.source)
    declared = context.program.event_types[event_type].dispositions if event_type else {}
    if code is None or not declared:
        return None
    if code not in declared:
        known = join_names(declared, sort=True)
        raise CellError("UNKNOWN_DISPOSITION", "disposition", value=truncate(code), known=known)
    return declared[code]


def verb_of_figures(amount: Decimal | None, quantity: int | None, source: Source) -> str:
    """What bare numbers mean: as the source declares; a quantity alone sets the quantity."""
    return source.amount_means or ("set_quantity" if quantity is not None and amount is None else "")


def is_by_a_person(delivery: Delivery) -> bool:
    """Whether a person decided this in the console, rather than corrected a sender's row."""
    return delivery.channel is Channel.CONSOLE and not delivery.facts.get("corrects")


def build_change(
    verb: str, amount: Decimal | None, quantity: int | None, cells: Mapping[str, str], context: ChangeContext
) -> Change:
    """Build the change of a verb. Raises CellError if a value it needs is missing."""
    match verb:
        case "reverse":
            return Reverse()
        case "restore":
            return Restore()
        case "set_status":
            return SetStatus(required_text(cells, "status", verb))
        case "reattribute":
            return Reattribute(required_text(cells, "partner", verb))
        case "undo":
            return Undo(required_text(cells, "undoes", verb))
        case "release":
            return Release(required_text(cells, "undoes", verb))
        case "discard":
            return Discard(required_text(cells, "undoes", verb))
        case "reprice":
            return Reprice()
        case "refold":
            return Refold()
        case "raise_limit":
            if quantity is None or not CHANGES_MAX < quantity <= LIMIT_MAX:
                raise CellError("LIMIT_UNUSABLE", "quantity", least=f"{CHANGES_MAX + 1:,}", most=f"{LIMIT_MAX:,}")
            return RaiseLimit(quantity)
        case "approve":
            by_one_person = context.delivery.channel is Channel.CONSOLE and "bulk" not in context.delivery.facts
            return Approve(restores=context.source.approve_restores or by_one_person)
        case "set_total":
            if amount is None:
                raise CellError("AMOUNT_NEEDED", "amount", change=verb)
            return SetTotal(amount)
        case "set_quantity":
            if quantity is None:
                raise CellError("QUANTITY_NEEDED", "quantity", change=verb)
            return SetQuantity(quantity, amount)
    if amount is None and quantity is None:
        raise CellError("AMOUNT_NEEDED", "amount", change=verb)
    of_total, total_of = context.amounts.amount(cells, "order_total"), bounded_text(cells, "total_of")
    return TakeBack(amount, quantity, of_total, cells.get("excess", context.source.excess) == "clamp", total_of)


def event_type_of(cells: Mapping[str, str], source: Source) -> str | None:
    """The event type named by the row, translated by the mapping; else the source's."""
    given = cells.get("event_type")
    if given is None:
        return source.event_type
    return translate(source.mapping.get("event_types", {}), given) or given


def reason_of(cells: Mapping[str, str], context: ChangeContext) -> str | None:
    given = cells.get("reason")
    return context.source.default_reason if given is None else context.reason(given)
