"""Maintenance over HTTP: resume parked work, forget bodies, report findings."""

from retour.api.calls import Call
from retour.commands import maintenance
from retour.commands.keys import require_admin
from retour.commands.maintenance import Forget
from retour.context import Context
from retour.store.programs import Principal
from retour.views.documents import Document
from retour.wiring import Hub

FORGET_FIELDS = ("order_id", "customer", "day")


def redrive(hub: Hub, caller: Principal) -> Document:
    done = maintenance.redrive(hub, caller)
    return {
        "redriven": sum(done.moved.values()),
        "moved": dict(done.moved),
        "failed": done.failed,
        "left": done.left,
        "sweep": done.sweep,
    }


def forget(context: Context[Hub], call: Call) -> Document:
    require_admin(context.caller)
    given = call.document(*FORGET_FIELDS)
    forgotten = maintenance.forget(context, Forget(*(str(given.get(name) or "").strip() for name in FORGET_FIELDS)))
    return {"bodies": forgotten.bodies, "next": forgotten.next}
