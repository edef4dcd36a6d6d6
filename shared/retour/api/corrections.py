"""Corrections over HTTP: send rows of a batch again with the changes in `rows` or `set`."""

from typing import Any

from retour.api.calls import JSON_MAX, Call
from retour.commands import corrections
from retour.commands.corrections import ROWS_MAX, Correction, EditedRow, Replacement
from retour.context import Context
from retour.errors import InvalidRequestError
from retour.views import documents
from retour.views.schemas import BatchAnswerDocument
from retour.wiring import Hub

RULE_FIELDS = ("column", "from", "to")


def correct(context: Context[Hub], call: Call, delivery_id: str) -> BatchAnswerDocument:
    header = corrections.find_correctable(context.ports, context.program, delivery_id)
    change = parse_correction(call.document("rows", "set", most=JSON_MAX))
    if call.is_dry_run:
        preview = corrections.preview_correction(context, header, change)
        return documents.dry_run_document(preview, context.program.language)
    return documents.answer_document(corrections.correct(context, header, change), context.program.language)


def parse_correction(given: dict[str, Any]) -> Correction:
    if len(given) != 1:
        raise InvalidRequestError("ROWS_NEEDED")
    return parse_rows(given["rows"]) if "rows" in given else parse_replacement(given["set"])


def parse_rows(asked: Any) -> list[EditedRow]:
    if not isinstance(asked, list) or not all(is_valid_row(one) for one in asked):
        raise InvalidRequestError("ROWS_NEEDED", "shape", most=str(ROWS_MAX))
    return [EditedRow(one["record"], one["fields"]) for one in asked]


def is_valid_row(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and set(one) == {"record", "fields"}
        and isinstance(one["record"], str)
        and isinstance(one["fields"], dict)
        and all(isinstance(value, str) for value in one["fields"].values())
    )


def parse_replacement(asked: Any) -> Replacement:
    are_texts = isinstance(asked, dict) and all(isinstance(value, str) for value in asked.values())
    if not are_texts or not set(RULE_FIELDS) <= set(asked) <= {*RULE_FIELDS, "code"}:
        raise InvalidRequestError("RULE_NEEDED")
    return Replacement(asked["column"], asked["from"], asked["to"], asked.get("code", ""))
