"""Whether a file on a server is complete, or still being written."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from retour.polling.patterns import MARKERS
from retour.remote import RemoteFile

UNCHANGED_FOR = timedelta(seconds=60)
QUIET_FOR = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as an earlier poll saw it."""

    size: int | None
    stamp: str
    at: datetime


def is_complete(file: RemoteFile, listing: Mapping[str, RemoteFile], before: SeenFile | None, now: datetime) -> bool:
    """Whether a file is certainly not being written any more.

    It was last changed at least two minutes ago, or did not change for a minute, or has a marker file beside it
    (`orders.csv.done` or `orders.done`) that is not older.
    """
    if file.modified is not None and now - file.modified >= QUIET_FOR:
        return True
    if (
        before is not None
        and (before.size, before.stamp) == (file.size, file.stamp)
        and now - before.at >= UNCHANGED_FOR
    ):
        return True
    stem = file.name.rpartition(".")[0] or file.name
    for marker in (listing.get((base + ending).lower()) for base in (file.name, stem) for ending in MARKERS):
        if marker is not None and (not marker.modified or not file.modified or marker.modified >= file.modified):
            return True
    return False


def is_unchanged(one: RemoteFile, other: RemoteFile) -> bool:
    """Whether two listings show the same state, as far as both tell."""
    same_time = one.modified == other.modified if one.modified and other.modified else True
    return same_time and (one.size == other.size or one.size is None or other.size is None)


def has_same_size(listed: RemoteFile, looked: RemoteFile | None) -> bool:
    """Whether a file may still be the one listed. A missing file proves nothing."""
    return looked is None or None in (listed.size, looked.size) or listed.size == looked.size
