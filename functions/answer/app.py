"""Send the reply of a processed delivery to its sender."""

import json
from typing import Any

from aws_lambda_powertools import Logger

from retour.replies.send import send_reply
from retour.wiring import hub

logger = Logger(service="answer")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    failed = []
    for record in event["Records"]:
        message = json.loads(record["body"])
        try:
            send_reply(hub(), message)
            logger.info("answer given", program=message["program"], delivery=message["delivery"], what=message["what"])
        except Exception:
            logger.exception("answer not given", program=message["program"], delivery=message["delivery"])
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
