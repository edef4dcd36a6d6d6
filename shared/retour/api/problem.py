"""What went wrong with a request, as an RFC 9457 problem document."""

import json
from typing import Any

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int, code: str, title: str, detail: str = "", *, headers: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """An HTTP API (payload 2.0) answer.

    `code` is stable and for machines, `title` the same for every problem of its kind, `detail` says what is wrong this
    time and what right looks like. `more` are further members of the document.
    """
    document: dict[str, Any] = {
        "type": f"/problems/{code.lower().replace('_', '-')}",
        "title": title,
        "status": status,
        "code": code,
    }
    if detail:
        document["detail"] = detail
    return {
        "statusCode": status,
        "headers": {"content-type": MEDIA_TYPE, **(headers or {})},
        "body": json.dumps(document | more, ensure_ascii=False),
    }
