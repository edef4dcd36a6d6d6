"""Acts of people, over HTTP."""

from typing import Any

from retour.api.calls import JSON_MAX, Call, decode_segment
from retour.commands import acts
from retour.commands.acts import ACTIONS_MAX, ActOnAction, ActOnActions, ActOnRecord, UndoBatch
from retour.context import Context
from retour.domain.program import Program
from retour.errors import InvalidRequestError, NotFoundError
from retour.previews.act import act_preview_document
from retour.views import documents
from retour.views.action_search import ActionFilter, parse_filter
from retour.views.schemas import BatchAnswerDocument
from retour.wiring import Hub


def act_on_action(context: Context[Hub], call: Call, segment: str, act: str) -> BatchAnswerDocument:
    if act not in acts.ACTS:
        raise NotFoundError("act", known=", ".join(acts.ACTS))
    return answer(
        context, call, ActOnAction(decode_segment(segment), act, acts.as_values(call.document(*acts.FORM_FIELDS)))
    )


def act_on_actions(context: Context[Hub], call: Call) -> BatchAnswerDocument:
    given = call.document("act", "actions", "filter", *acts.FORM_FIELDS, most=JSON_MAX)
    act, ids, wanted = given.pop("act", None), given.pop("actions", None), given.pop("filter", None)
    if act not in acts.ACTS or act in acts.SINGLE_ACTION_ACTS:
        raise InvalidRequestError("ACT_NEEDED", known=", ".join(acts.ACTS))
    if (ids is None) == (wanted is None):
        raise InvalidRequestError("ACTIONS_NEEDED")
    chosen = parse_ids(ids) if wanted is None else parse_wanted(wanted, context.program)
    return answer(context, call, ActOnActions(chosen, act, acts.as_values(given)))


def parse_ids(ids: Any) -> list[str]:
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise InvalidRequestError("ACTIONS_NEEDED", "ids", most=str(ACTIONS_MAX))
    return ids


def parse_wanted(wanted: Any, program: Program) -> ActionFilter:
    return parse_filter(wanted if isinstance(wanted, dict) else {"filter": wanted}, program)


def undo_batch(context: Context[Hub], call: Call, delivery_id: str) -> BatchAnswerDocument:
    return answer(context, call, UndoBatch(delivery_id, acts.as_values(call.document("reason", "note", "reference"))))


def act_on_record(context: Context[Hub], call: Call, segment: str, act: str) -> BatchAnswerDocument:
    if act not in acts.RECORD_ACTS:
        raise NotFoundError("act", known=", ".join(acts.RECORD_ACTS))
    return answer(
        context, call, ActOnRecord(decode_segment(segment), act, acts.as_values(call.document(*acts.COMMON_FIELDS)))
    )


def answer(context: Context[Hub], call: Call, act: acts.Act) -> BatchAnswerDocument:
    if call.is_dry_run:
        return act_preview_document(acts.preview(context, act), context.program)
    return documents.answer_document(acts.perform(context, act), context.program.language)
