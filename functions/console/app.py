"""The console: all pages for people, and the partner portal."""

from typing import Any

from aws_lambda_powertools import Logger

from retour.api.unavailable import answer_503_when_unavailable
from retour.console import people, routes
from retour.wiring import hub

logger = Logger(service="console")


@logger.inject_lambda_context
@answer_503_when_unavailable(logger)
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    if "sign_in" in event:
        link = people.create_owner_link(hub(), event)
        logger.info("sign-in link made")
        return link
    answer = routes.answer(hub(), event)
    logger.info("page answered", method=event["requestContext"]["http"]["method"], status=answer["statusCode"])
    return answer
