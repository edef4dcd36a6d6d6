"""Logins of the SFTP server: return the accepted keys of a user and restrict it to its own folder."""

import json
from typing import Any

from aws_lambda_powertools import Logger

from retour.setup.logins import find_login
from retour.wiring import hub

logger = Logger(service="sftp_login")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Return the keys of user `<program>.<source>`, which Transfer compares. An empty response denies the login."""
    found = find_login(hub(), event["username"])
    if found is None:
        logger.warning("login refused", server=event.get("serverId"))
        return {}
    logger.info("login looked up", program=found.program.id, source=found.source.name, keys=len(found.keys))
    settings = hub().settings
    return session_policy(settings.sftp_role, settings.inbox_bucket, found.folder, found.keys)


def session_policy(role: str, bucket: str, folder: str, keys: list[str]) -> dict[str, Any]:
    arn = f"arn:{role.split(':')[1]}:s3:::{bucket}"
    objects = {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
        "Resource": f"{arn}/{folder}/*",
    }
    listing = {
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": arn,
        "Condition": {"StringLike": {"s3:prefix": [folder, f"{folder}/*"]}},
    }
    return {
        "Role": role,
        "PublicKeys": keys,
        "HomeDirectoryType": "LOGICAL",
        "HomeDirectoryDetails": json.dumps([{"Entry": "/", "Target": f"/{bucket}/{folder}"}]),
        "Policy": json.dumps({"Version": "2012-10-17", "Statement": [objects, listing]}),
    }
