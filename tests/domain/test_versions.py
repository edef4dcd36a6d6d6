"""Which terms hold when: documents edited over time, read again by hand for each moment (spec 6)."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retour.domain.contracts.contract import Contract
from retour.domain.contracts.versions import (
    Versions,
    event_types_of,
    live_versions,
    spans_of,
    terms_at,
    terms_at_report,
    with_versions_of,
)

START = datetime(2026, 11, 1, 11, tzinfo=UTC)
PARTNERS = ("xena", "yuri", "zoe")
Document = dict[str, Any]


def terms(percent: int, valid_from: str = "2026-01-01", **more: Any) -> dict[str, Any]:
    lock = {"days_after_event": 30}
    return {"event_type": "sale", "valid_from": valid_from, "payout": f"{percent}%", "lock": lock} | more


def document(**contracts: Any) -> Document:
    return {"time_zone": "Europe/Berlin", "currency": "EUR", "contracts": contracts}


def history(*documents: Document, days: int = 1) -> tuple[Contract, ...]:
    """One document recorded each so many days."""
    known: tuple[Contract, ...] = ()
    for number, one in enumerate(documents):
        known = with_versions_of(one, known, START + timedelta(days=number * days))
    return known


def percent(contracts: Sequence[Contract], partner: str, days: float) -> int | None:
    found = terms_at(contracts, "sale", partner, START + timedelta(days=days))
    return int(str(found.body["payout"])[:-1]) if found else None


def test_a_partner_taken_off_and_a_contract_taken_out_fall_back_on_the_terms_for_all() -> None:
    both = document(standard=terms(8), vip=terms(20, partners=["xena", "yuri"]))
    one = document(standard=terms(8), vip=terms(20, partners=["xena"]))
    found = history(both, one, document(standard=terms(8)))
    assert [percent(found, who, day) for day in (0.5, 1.5, 2.5) for who in ("xena", "yuri")] == [20, 20, 20, 8, 8, 8]


def test_an_announcement_withdrawn_never_holds() -> None:
    found = history(
        document(standard=terms(8)), document(standard=terms(20, "2026-11-04")), document(standard=terms(8))
    )
    assert [percent(found, "xena", day) for day in (1.5, 2.5, 3.5, 30)] == [8, 8, 8, 8]


def test_an_announcement_holds_from_its_day_and_what_is_in_force_until_then() -> None:
    found = history(document(standard=terms(8)), document(standard=terms(20, "2026-11-04")))
    assert [percent(found, "xena", day) for day in (1.5, 2.4, 2.6)] == [8, 8, 20]


def test_a_correction_dated_earlier_holds_from_its_recording_on() -> None:
    found = history(document(standard=terms(8, "2026-06-01")), document(standard=terms(10)))
    assert [percent(found, "xena", day) for day in (0.5, 1.5)] == [8, 10]
    early = terms_at_report(found, "sale", "xena", datetime(2026, 3, 1, tzinfo=UTC), START + timedelta(days=2))
    assert early is not None and early.version == 2
    assert terms_at_report(found, "sale", "xena", datetime(2026, 3, 1, tzinfo=UTC), START) is None


def test_what_ends_has_no_terms_and_no_older_version_comes_back() -> None:
    found = history(document(standard=terms(8)), document(standard=terms(20, "2026-11-02", valid_until="2026-11-04")))
    assert [percent(found, "xena", day) for day in (0.5, 1.5, 3.4, 3.6, 40)] == [8, 20, 20, None, None]


def test_a_name_that_comes_again_holds_from_then_on() -> None:
    both, without = document(standard=terms(8), vip=terms(20, partners=["xena"])), document(standard=terms(8))
    found = history(both, without, both)
    assert len(found) == 2
    assert [percent(found, "xena", day) for day in (0.5, 1.5, 2.5)] == [20, 8, 20]


@pytest.mark.parametrize("names", [("standard", "vip"), ("vip", "standard"), ("vip", "all"), ("all", "vip")])
def test_the_place_in_the_document_says_nothing(names: tuple[str, str]) -> None:
    """B14."""
    said = {name: terms(20, partners=["xena"]) if name == "vip" else terms(8) for name in names}
    assert percent(history(document(**said)), "xena", 1) == 20


def test_of_equals_the_later_start_then_the_name() -> None:
    assert percent(history(document(b=terms(8), a=terms(9, "2026-02-01"))), "xena", 1) == 9
    assert percent(history(document(b=terms(8, "2026-02-01"), a=terms(9))), "xena", 1) == 8
    assert percent(history(document(b=terms(8), a=terms(9))), "xena", 1) == 9


days = st.dates(date(2026, 10, 25), date(2026, 11, 20))


@st.composite
def written(draw: st.DrawFn) -> dict[str, Any]:
    first = draw(days)
    more: dict[str, Any] = {}
    if draw(st.booleans()):
        more["partners"] = draw(st.lists(st.sampled_from(PARTNERS), min_size=1, unique=True))
    if draw(st.integers(0, 3)) == 0:
        more["valid_until"] = (first + timedelta(days=draw(st.integers(0, 12)))).isoformat()
    return terms(draw(st.integers(1, 4)), first.isoformat(), **more) | {
        "event_type": draw(st.sampled_from(["sale", "lead"]))
    }


documents = st.dictionaries(st.sampled_from("abc"), written(), min_size=1).map(lambda said: document(**said))


def looked_up(
    recorded: Sequence[tuple[datetime, Document]], event_type: str, partner: str, moment: datetime, day: date
) -> str | None:
    """The payout by the letter of spec 6: the documents read one after another, versions never thought of."""
    by_then = [said for at, said in recorded if at <= moment]
    best: tuple[tuple[int, str, str], str] | None = None
    for name in by_then[-1]["contracts"] if by_then else ():
        said_last = None
        for earlier in by_then:
            body = earlier["contracts"].get(name)
            if body is not None and body["valid_from"] <= day.isoformat():
                said_last = body
        if said_last is None or said_last.get("valid_until", "9999") < day.isoformat():
            continue
        if said_last["event_type"] != event_type or partner not in said_last.get("partners", [partner]):
            continue
        newness = "".join(chr(255 - ord(letter)) for letter in said_last["valid_from"])
        key = (0 if "partners" in said_last else 1, newness, name)
        if best is None or key < best[0]:
            best = key, said_last["payout"]
    return best[1] if best else None


def kept(known: tuple[Contract, ...], recorded_at: datetime) -> Versions:
    """The same versions as they are kept: each read by its number, the ones that may decide known beforehand."""
    return Versions(
        total=len(known),
        spans=spans_of(known),
        recorded_at=recorded_at,
        live=live_versions(known, recorded_at),
        event_types=event_types_of(known),
        read=lambda number, _: known[number - 1],
    )


@given(
    st.lists(st.tuples(st.integers(0, 20), documents), min_size=1, max_size=6),
    st.sampled_from(PARTNERS),
    st.sampled_from(["sale", "lead"]),
    st.integers(0, 30 * 24),
    days,
)
def test_documents_edited_over_time_say_what_is_read_in_them_by_hand(
    edits: list[tuple[int, Document]], partner: str, event_type: str, hours: int, event_day: date
) -> None:
    recorded: list[tuple[datetime, Document]] = []
    known: tuple[Contract, ...] = ()
    at = START
    for later, said in edits:
        at += timedelta(hours=12 * later)
        recorded.append((at, said))
        known = with_versions_of(said, known, at)
    moment = START + timedelta(hours=hours)
    own_day = (moment + timedelta(hours=1)).date()  # Berlin in November
    for found, day in (
        (terms_at(known, event_type, partner, moment), own_day),
        (terms_at(kept(known, at), event_type, partner, moment), own_day),
        (terms_at(kept(known, at), event_type, partner, moment, event_day), event_day),
        (terms_at(known, event_type, partner, moment, event_day), event_day),
    ):
        assert (found.body["payout"] if found else None) == looked_up(recorded, event_type, partner, moment, day)
