"""Set-up pages: sources and mappings, contracts, the lock calendar, versions, people."""

from retour.console.setup import (
    access,
    calendar,
    channels,
    connection_test,
    contract,
    events,
    keys,
    mapping,
    program,
    source_form,
    terms,
    versions,
)

__all__ = [
    "access",
    "calendar",
    "channels",
    "connection_test",
    "contract",
    "events",
    "keys",
    "mapping",
    "program",
    "source_form",
    "terms",
    "versions",
]
