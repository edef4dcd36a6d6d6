"""Named lists over HTTP."""

from retour.api.calls import Call
from retour.commands import named_lists
from retour.context import Context
from retour.views.documents import Document
from retour.wiring import Hub

LIST_MAX = 3 * 1024 * 1024
LIST_TYPES = ("text/plain", "text/csv", "application/octet-stream")


def put_list(context: Context[Hub], call: Call, name: str) -> Document:
    body = call.read_body(LIST_MAX, LIST_TYPES)
    if call.is_dry_run:
        return named_lists.check_list(context, name, body).document() | {"dry_run": True}
    return named_lists.put_list(context, name, body).document()
