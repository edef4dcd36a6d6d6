"""Event times of a row, and the time by which the fold sorts its record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from retour.domain.program import Source
from retour.domain.times import truncate_to_milliseconds
from retour.normalise.columns import CACHE_SIZE
from retour.normalise.errors import CellError
from retour.numbers import TypedMoment
from retour.sentences import truncate

EXAMPLE_MOMENT = datetime(2026, 11, 21, 9, 30)


@dataclass(frozen=True)
class Times:
    """How a source writes times. `is_written_by_people`: messages refer to a file."""

    source: Source
    received_at: datetime
    is_written_by_people: bool

    def occurred_at(self, cells: Mapping[str, str]) -> datetime | None:
        text = cells.get("occurred_at")
        if isinstance(text, TypedMoment):
            return self._in_zone(text.moment)
        return None if text is None else self.moment(text)

    @cached_property
    def moment(self) -> Callable[[str], datetime]:
        """A function from text to the time it states. Raises CellError if it is invalid or ambiguous."""
        return lru_cache(CACHE_SIZE)(self._parse_moment)

    def fold_time(self, occurred_at: datetime | None) -> datetime:
        """The time by which the fold sorts a record."""
        by_source_time = occurred_at is not None and self.source.order_by == "occurred_at"
        return min(occurred_at, self.received_at) if by_source_time and occurred_at else self.received_at

    def _in_zone(self, moment: datetime) -> datetime:
        zone = ZoneInfo(self.source.time_zone)
        return truncate_to_milliseconds(moment.replace(tzinfo=zone) if moment.tzinfo is None else moment)

    def _parse_moment(self, text: str) -> datetime:
        declared = self.source.mapping.get("date")
        patterns = [declared] if isinstance(declared, str) else declared or []
        read = (
            {moment for pattern in patterns if (moment := parse_date(text, pattern))}
            if patterns
            else {parse_date(text, None)}
        )
        if len(read - {None}) > 1:
            days = ", ".join(sorted(f"{moment:%Y-%m-%d}" for moment in read if moment))
            raise CellError("TIME_AMBIGUOUS", "occurred_at", value=truncate(text), days=days)
        moment = read.pop() if len(read) == 1 else None
        try:
            if moment is not None:
                return self._in_zone(moment)
        except OverflowError:
            pass
        right = " / ".join(f"{EXAMPLE_MOMENT:{pattern}}" for pattern in patterns) or "2026-11-21T09:30:00+01:00"
        more = {"case": "FILE"} if self.is_written_by_people and not patterns else {}
        raise CellError("NOT_A_TIME", "occurred_at", value=truncate(text), pattern=right, **more)


def parse_date(text: str, pattern: str | None) -> datetime | None:
    try:
        return datetime.strptime(text, pattern) if pattern else datetime.fromisoformat(text)
    except ValueError:
        return None
