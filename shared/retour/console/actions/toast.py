"""The confirmation of the last act, shown once on the next page, with its undo."""

from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import quote

from retour.console import labels
from retour.console.page_context import PageContext
from retour.views import documents
from retour.views.schemas import ModificationDocument

NOT_UNDOABLE = ("undo", "release", "discard")


@dataclass(frozen=True)
class Toast:
    """`undoes` is empty if there is nothing to undo."""

    outcome: str
    text: str
    action: str
    record: str
    undoes: str
    shut: str


def build_toast(context: PageContext) -> Toast | None:
    """The confirmation of the record named in the URL."""
    found = context.reader.modification(context.request.query.get("told", ""))
    if found is None:
        return None
    one = documents.modification_document(*found, context.localized_program)
    return Toast(
        outcome=one["outcome"],
        text=toast_sentence(context, one),
        action=one["action_id"] or "",
        record=one["id"],
        undoes=one["id"] if can_be_undone(context, one) else "",
        shut=context.here(told=None),
    )


def can_be_undone(context: PageContext, one: ModificationDocument) -> bool:
    return one["outcome"] == "applied" and one["change"] not in NOT_UNDOABLE and context.may("act")


def toast_sentence(context: PageContext, one: ModificationDocument) -> str:
    words, order = context.words, one["order_id"] or one["action_id"] or ""
    if one["outcome"] != "applied":
        return f"{order}: {one['explanation']}" if one["explanation"] else labels.unchanged_sentence(words, order)
    done = labels.act_sentence(words, one["change"], order)
    effect = one["effect"]
    if effect is None:
        return done
    moved = Decimal(effect["payout"]["after"]) - Decimal(effect["payout"]["before"])
    return f"{done}, {words.money(moved, effect['payout_currency'], True)}" if moved else done


def with_toast(address: str, record: str) -> str:
    """A URL that confirms a record when opened."""
    mark = "&" if "?" in address else "?"
    return f"{address}{mark}told={quote(record, safe='')}"
