"""How a program is set up: its sources and their mappings, its contracts, when things lock, its versions, people."""

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
