"""A trial begun, and run by the function whose library it needs."""

import logging
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from retour.connection_test import hooks, mail, pull, salesforce, sftp
from retour.connection_test.steps import Course, Trial
from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.remote import RemoteError
from retour.sync.salesforce import set_up

if TYPE_CHECKING:
    from retour.wiring import Hub

logger = logging.getLogger(__name__)
Try = Callable[["Hub", Program, Source, Course], None]
TRIES: Mapping[Channel, Try] = {
    Channel.API: hooks.attempt,
    Channel.SFTP: sftp.attempt,
    Channel.PULL: pull.attempt,
    Channel.EMAIL: mail.attempt,
    Channel.SALESFORCE: salesforce.attempt,
}
NEEDS: Mapping[Channel, Callable[["Hub", Program, Source], object]] = {
    Channel.API: hooks.signing,
    Channel.SFTP: sftp.declared,
    Channel.PULL: pull.credential,
    Channel.EMAIL: mail.addresses,
    Channel.SALESFORCE: set_up,
}
"""The first step of each, which asks nobody outside."""
BY_QUEUE: Mapping[Channel, str] = {Channel.PULL: "pulls", Channel.SALESFORCE: "writebacks"}
"""Who has the library to speak to the other side is told by a queue; the others are tried while the caller waits."""


def lacking(hub: "Hub", program: Program, source: Source) -> RemoteError | None:
    """What a source cannot work without and does not have, as far as can be told without asking the other side."""
    try:
        NEEDS[source.channel](hub, program, source)
    except RemoteError as error:
        return error
    return None


def begin(hub: "Hub", program: Program, source: Source, by: str) -> Trial:
    """A new trial, which takes the place of the last one; run through, or on its way to who can run it."""
    trial = Trial.begun(secrets.token_hex(8), source, by, hub.now())
    trial.keep(hub.state(program.id, source.name))
    queue = BY_QUEUE.get(source.channel)
    if queue:
        hub.send(queue, {"program": program.id, "source": source.name, "trial": trial.id})
    else:
        run(hub, program, source, trial)
    return trial


def errand(hub: "Hub", message: Mapping[str, Any]) -> dict[str, Any]:
    """Runs the trial that a message of a queue asks for, unless it was overtaken. Tells what to log."""
    program = hub.program(message["program"])
    source = program.sources.get(message["source"]) if program else None
    about = {"program": message["program"], "source": message["source"], "trial": message["trial"]}
    if program is None or source is None:
        return {**about, "dropped": "there is no such source any more"}
    trial = Trial.kept(hub.state(program.id, source.name))
    if trial is None or trial.id != message["trial"] or trial.finished_at:
        return {**about, "dropped": "a newer trial took its place"}
    run(hub, program, source, trial)
    return {**about, "state": trial.state(hub.now())}


def run(hub: "Hub", program: Program, source: Source, trial: Trial) -> None:
    """Every step in its order, up to the first that fails. Never raises: what goes wrong is what a trial is for."""
    state = hub.state(program.id, source.name)
    try:
        TRIES[source.channel](hub, program, source, Course(trial, state, hub.now))
    except RemoteError as error:
        trial.fail(error.code, hub.now(), error.details)
    except Exception:
        logger.exception("trial broke", extra={"program": program.id, "source": source.name})
        trial.fail("TRIAL_BROKE", hub.now(), {})
    if trial.next is None:
        trial.finished_at = hub.now()
    trial.keep(state)
