"""Somebody knocks at the SFTP server: say with which keys they may come in, and that theirs is one folder."""

import json
from typing import Any

from aws_lambda_powertools import Logger

from retour.domain.delivery import Channel
from retour.wiring import hub

logger = Logger(service="sftp_login")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Transfer compares the keys; an empty answer lets nobody in. The user is `<program>.<source>`."""
    program_id, _, source_name = event["username"].partition(".")
    program = hub().program(program_id) if source_name else None
    source = program.sources.get(source_name) if program else None
    keys = source.options.get("public_keys", []) if source and source.channel is Channel.SFTP else []
    if not keys:
        logger.warning("login refused", server=event.get("serverId"))
        return {}
    logger.info("login looked up", program=program_id, source=source_name, keys=len(keys))
    return admission(hub().environment["SFTP_ROLE"], hub().environment["INBOX_BUCKET"], program_id, source_name, keys)


def admission(role: str, bucket: str, program: str, source: str, keys: list[str]) -> dict[str, Any]:
    folder = f"sftp/{program}/{source}"
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
        "PublicKeys": list(keys),
        "HomeDirectoryType": "LOGICAL",
        "HomeDirectoryDetails": json.dumps([{"Entry": "/", "Target": f"/{bucket}/{folder}"}]),
        "Policy": json.dumps({"Version": "2012-10-17", "Statement": [objects, listing]}),
    }
