"""Several conditional writes, all or none."""

from collections.abc import Mapping, Sequence
from typing import Any

CONFLICT_CODES = {"ConditionalCheckFailed", "TransactionConflict"}


def write_all(client: Any, writes: Sequence[Mapping[str, Any]]) -> bool:
    """Write these items of a transaction; False, with nothing written, where a condition failed or another write won.

    A single put goes without a transaction, which would cost twice the write units.
    """
    try:
        if len(writes) == 1 and "Put" in writes[0]:
            client.put_item(**writes[0]["Put"])
        else:
            client.transact_write_items(TransactItems=writes)
    except (client.exceptions.ConditionalCheckFailedException, client.exceptions.TransactionConflictException):
        return False
    except client.exceptions.TransactionCanceledException as failure:
        codes = {reason["Code"] for reason in failure.response["CancellationReasons"]}
        if not codes & CONFLICT_CODES:
            raise
        return False
    return True
