"""Whose terms a document changes and who is left without any, against the documents read by hand day by day."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from tests.domain.test_versions import PARTNERS, START, Document, document, documents, history, looked_up, terms

from retour.domain.contracts.changes import UNNAMED_PARTNER, coverage_gaps, terms_changes
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.versions import terms_at, with_versions_of

BERLIN = ZoneInfo("Europe/Berlin")
DAYS = 45
EVERYBODY = (*PARTNERS, UNNAMED_PARTNER)


def moments(now: datetime) -> list[tuple[datetime, date]]:
    """Now, and the beginning of each of the next days."""
    today = now.astimezone(BERLIN).date()
    days = [today + timedelta(days=n) for n in range(1, DAYS)]
    return [(now, today), *((datetime.combine(day, time.min, BERLIN), day) for day in days)]


@given(st.lists(documents, min_size=1, max_size=4))
def test_who_is_left_without_terms_and_from_which_day(edits: list[Document]) -> None:
    recorded = [(START + timedelta(days=2 * number), said) for number, said in enumerate(edits)]
    known: tuple[Contract, ...] = ()
    for at, said in recorded:
        known = with_versions_of(said, known, at)
    now = recorded[-1][0]
    # What a partner is named by no contract gets, those get that are for all.
    found = {
        (gap.holders.event_type, partner): gap.day
        for gap in coverage_gaps(known, ["sale", "lead"], now)
        for partner in gap.holders.partners or (UNNAMED_PARTNER,)
    }
    named = {partner for one in known for partner in one.members}
    for event_type in ("sale", "lead"):
        for partner in EVERYBODY:
            without = [day for at, day in moments(now) if by_hand(recorded, event_type, partner, at, day) is None]
            key = (event_type, partner if partner in named else UNNAMED_PARTNER)
            assert found.get(key) == (without[0] if without else None), (event_type, partner)


def by_hand(
    recorded: list[tuple[datetime, Document]], event_type: str, partner: str, at: datetime, day: date
) -> str | None:
    return looked_up(recorded, event_type, partner, at, day)


@given(st.lists(documents, min_size=2, max_size=4))
def test_what_changes_is_told_for_whom_and_from_when(edits: list[Document]) -> None:
    before: tuple[Contract, ...] = ()
    for number, said in enumerate(edits[:-1]):
        before = with_versions_of(said, before, START + timedelta(days=2 * number))
    now = START + timedelta(days=2 * len(edits))
    after = with_versions_of(edits[-1], before, now)
    changes = terms_changes(before, after, now)
    named = {partner for one in (*before, *after) for partner in one.members}
    for event_type in ("sale", "lead"):
        for partner in EVERYBODY:
            told = [
                change
                for change in changes
                if change.holders.event_type == event_type
                and (partner in change.holders.partners if partner in named else change.holders.others)
            ]
            for at, _ in moments(now):
                old, new = (terms_at(one, event_type, partner, at) for one in (before, after))
                same = old is new is None or (old is not None and new is not None and old.does_the_same(new))
                last = [change for change in told if change.at <= at][-1:]
                if not same:
                    assert last and (last[0].before, last[0].after) == (old, new)


def test_a_partner_taken_off_and_an_announcement_are_told_with_their_days() -> None:
    before = history(document(standard=terms(8), vip=terms(20, partners=["xena", "yuri"])))
    now = START + timedelta(days=1)
    later = document(standard=terms(5, "2026-12-01"), vip=terms(20, partners=["yuri"]))
    found = terms_changes(before, with_versions_of(later, before, now), now)
    said = [(one.holders.partners, one.before and one.before.version, one.after and one.after.version) for one in found]
    assert said == [(("xena",), 1, 1), ((), 1, 2), (("xena",), 1, 2)]
    december = datetime(2026, 12, 1, tzinfo=BERLIN)
    assert [one.at for one in found] == [now, december, december]
