"""Poll a merchant's server: fetch new files into the inbox, upload a reply, or run a connection test."""

from functools import partial
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from retour.connection_test import runner as trial
from retour.intake.ingest import announce_file
from retour.operations.failing_sources import list_failing_source
from retour.polling.queue import handle_message
from retour.wiring import hub

logger = Logger(service="ftp_pull")
pulls = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)


def handle_record(record: SQSRecord) -> None:
    message = record.json_body
    try:
        if "trial" in message:
            logger.info("trial done", **trial.handle_message(hub(), message))
        else:
            logger.info(
                "errand done", **handle_message(hub(), announce_file, message, partial(list_failing_source, hub()))
            )
    except Exception as error:
        logger.warning("errand failed, to be tried again", reason=type(error).__name__, detail=str(error)[:200])
        raise


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event=event, record_handler=handle_record, processor=pulls, context=context)
