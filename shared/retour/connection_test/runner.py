"""Start a connection test, and run it in the function that has the library for it."""

import logging
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from retour.connection_test import mail, pull, salesforce, sftp, webhook
from retour.connection_test.steps import ConnectionTest, StepRecorder
from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.remote import RemoteError
from retour.setup.clients import require_salesforce

if TYPE_CHECKING:
    from retour.wiring import Hub

logger = logging.getLogger(__name__)
StepsRunner = Callable[["Hub", Program, Source, StepRecorder], None]
RUNNERS: Mapping[Channel, StepsRunner] = {
    Channel.API: webhook.run_steps,
    Channel.SFTP: sftp.run_steps,
    Channel.PULL: pull.run_steps,
    Channel.EMAIL: mail.run_steps,
    Channel.SALESFORCE: salesforce.run_steps,
}
REQUIREMENTS: Mapping[Channel, Callable[["Hub", Program, Source], object]] = {
    Channel.API: webhook.required_secrets,
    Channel.SFTP: sftp.declared_keys,
    Channel.PULL: pull.require_credential,
    Channel.EMAIL: mail.address_tokens,
    Channel.SALESFORCE: require_salesforce,
}
"""The first step of each test, which needs no connection."""
QUEUES: Mapping[Channel, str] = {Channel.PULL: "pulls", Channel.SALESFORCE: "writebacks"}
"""Channels tested by the function that has their library, through its queue. Others are tested during the request."""


def missing_requirement(hub: "Hub", program: Program, source: Source) -> RemoteError | None:
    """What a source lacks to work, as far as it can be determined locally."""
    try:
        REQUIREMENTS[source.channel](hub, program, source)
    except RemoteError as error:
        return error
    return None


def start_test(hub: "Hub", program: Program, source: Source, by: str) -> ConnectionTest:
    """Start a test, replacing the last one. It is run directly or queued."""
    trial = ConnectionTest.start(secrets.token_hex(8), source, by, hub.now())
    trial.save(hub.state(program.id, source.name))
    queue = QUEUES.get(source.channel)
    if queue:
        hub.send(queue, {"program": program.id, "source": source.name, "trial": trial.id})
    else:
        run_test(hub, program, source, trial)
    return trial


def handle_message(hub: "Hub", message: Mapping[str, Any]) -> dict[str, Any]:
    """Run a queued test unless a newer one was started. Returns what to log."""
    program = hub.program(message["program"])
    source = program.sources.get(message["source"]) if program else None
    about = {"program": message["program"], "source": message["source"], "trial": message["trial"]}
    if program is None or source is None:
        return {**about, "dropped": "there is no such source any more"}
    trial = ConnectionTest.load(hub.state(program.id, source.name))
    if trial is None or trial.id != message["trial"] or trial.finished_at:
        return {**about, "dropped": "a newer trial took its place"}
    run_test(hub, program, source, trial)
    return {**about, "state": trial.state(hub.now())}


def run_test(hub: "Hub", program: Program, source: Source, test: ConnectionTest) -> None:
    """Run the steps in order and stop at the first failure. Never raises: failures are the result."""
    state = hub.state(program.id, source.name)
    try:
        RUNNERS[source.channel](hub, program, source, StepRecorder(test, state, hub.now))
    except RemoteError as error:
        test.fail(error.code, hub.now(), error.details)
    except Exception:
        logger.exception("trial broke", extra={"program": program.id, "source": source.name})
        test.fail("TRIAL_BROKE", hub.now(), {})
    if test.current_step is None:
        test.finished_at = hub.now()
    test.save(state)
