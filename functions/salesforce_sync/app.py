"""Find by schedule what no push announced; read, write back or test what the queue asks for."""

import time
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from retour.connection_test import runner as trial
from retour.operations.failing_sources import note_failing
from retour.remote import RemoteError
from retour.sync.run import due_sources, handle_message, reconcile
from retour.wiring import hub

RESERVE_SECONDS = 45
logger = Logger()
messages = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    end = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    if "Records" not in event:
        return reconcile_all(end)

    def run(record: SQSRecord) -> None:
        message = record.json_body
        try:
            if "trial" in message:
                logger.info("trial done", **trial.handle_message(hub(), message))
            else:
                logger.info("errand done", **handle_message(hub(), message, lambda: time.monotonic() < end))
        except RemoteError as error:
            logger.warning("errand failed", code=error.code, why=str(error), lasting=error.lasting)
            # Errors that need a person are not retried; the next reconcile finds what was not read.
            if not error.lasting:
                raise

    return process_partial_response(event=event, record_handler=run, processor=messages, context=context)


def reconcile_all(end: float) -> None:
    """Reconcile all sources, each with its share of the time, so that a large one does not block the others."""
    waiting, surprises = due_sources(hub()), []
    for done, (program, source) in enumerate(waiting):
        until = time.monotonic() + (end - time.monotonic()) / (len(waiting) - done)
        named: dict[str, Any] = {"program": program.id, "source": source.name}
        try:
            told = reconcile(hub(), program, source, lambda until=until: time.monotonic() < until)  # type: ignore[misc]
            note_failing(hub(), program, source, None)
            logger.info("reconciled", **named, seen=told.records, changed=told.changed, whole=told.whole)
        except RemoteError as error:
            note_failing(hub(), program, source, error)
            logger.warning("not reconciled", **named, code=error.code, why=str(error))
        except Exception as error:
            logger.exception("not reconciled", **named)
            surprises.append(error)
    if surprises:
        raise surprises[0]
