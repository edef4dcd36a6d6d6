"""Settings for hubs in memory, and how a test changes those of a hub."""

from dataclasses import replace
from typing import Any

from retour.settings import Settings

IN_MEMORY = Settings(stack="test", ledger_table="ledger", inbox_bucket="inbox")


def change_settings(hub: Any, **changes: Any) -> None:
    hub.settings = replace(hub.settings, **changes)
