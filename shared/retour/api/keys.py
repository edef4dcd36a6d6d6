"""API keys and the secrets of sources, over HTTP."""

from retour.api.calls import Call
from retour.commands import keys
from retour.context import Context
from retour.domain.program import Program
from retour.views.documents import Document
from retour.views.keys import key_document, list_secrets, openpgp_public_half
from retour.views.sources import find_source
from retour.wiring import Hub


def create_key(context: Context[Hub], call: Call) -> Document:
    keys.require_admin(context.caller)
    given = call.document("name", "role")
    made = keys.create_key(context, given.get("name", "key"), given.get("role", keys.KEY_ROLES[0]))
    return {"key": made.key, **key_document(made.kept)}


def revoke_key(context: Context[Hub], id_: str) -> Document:
    return key_document(keys.revoke_key(context, id_))


def list_source_secrets(hub: Hub, program: Program, name: str) -> Document:
    return list_secrets(hub, program, find_source(program, name))


def set_secret(context: Context[Hub], call: Call, name: str) -> Document:
    source = find_source(context.program, name)
    given = call.document(*keys.secret_names(source))
    return {"source": name, "holds": keys.set_secret(context, source, given)}


def rotate_secret(context: Context[Hub], name: str, what: str) -> Document:
    return {"source": name, "what": what, **keys.rotate_secret(context, find_source(context.program, name), what)}


def revoke_secret(context: Context[Hub], name: str, what: str, id_: str) -> Document:
    revoked = keys.revoke_secret(context, find_source(context.program, name), what, id_)
    return {"source": name, **revoked, "revoked_by": context.caller.name}


def create_openpgp_key(context: Context[Hub], name: str) -> Document:
    made = keys.create_openpgp_key(context, find_source(context.program, name))
    return {"source": name, **openpgp_public_half(made)}
