"""Statements, and billing groups of a program or of a draft, over HTTP."""

from retour.api.calls import Call
from retour.api.funding import DRAFT_MAX, parse_draft
from retour.domain.program import Program
from retour.errors import InvalidRequestError
from retour.views import statements
from retour.views.documents import Document
from retour.wiring import Hub


def list_statements(hub: Hub, call: Call, program: Program) -> Document:
    query = call.query
    return statements.list_statements(
        hub, program, call.limit(), query.get("cursor", ""), query.get("partner"), query.get("billing_group")
    )


def billing_groups_of(hub: Hub, call: Call, program: Program) -> Document:
    """The billing groups of a draft program document."""
    given = call.document("draft", most=DRAFT_MAX)
    if "draft" not in given:
        raise InvalidRequestError("FIGURE_INVALID", "draft", figure="draft")
    return statements.groups_document(hub, program, parse_draft(program, given["draft"]))
