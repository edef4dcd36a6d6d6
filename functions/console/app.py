"""The console: all pages for people, and the partner portal."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.availability import seconds_left
from retour.console import people, routes
from retour.wiring import hub

logger = Logger(service="console")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    if "sign_in" in event:
        link = people.create_owner_link(hub(), event)
        logger.info("sign-in link made")
        return link
    try:
        answer = routes.answer(hub(), event, seconds_left(context))
    except Exception as error:
        answer = routes.answer_failure(event, error)
    logger.info("page answered", method=event["requestContext"]["http"]["method"], status=answer["statusCode"])
    return answer
