"""Preview a program document: whose terms change when, the effect on pending payouts, and reasons to refuse it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from retour.channels.subscriptions import subscription_sentence
from retour.channels.subscriptions import subscriptions as subscribed
from retour.domain.calendar import local_day, start_of_day
from retour.domain.contracts.changes import UNNAMED_PARTNER, Gap, TermsChange, coverage_gaps, terms_changes
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.named_list import Entries
from retour.domain.contracts.versions import terms_at
from retour.domain.money import to_text
from retour.domain.phrase import Sentence
from retour.domain.program import Program, source_from
from retour.domain.times import format_instant
from retour.errors import RequestError
from retour.money.funding import warnings
from retour.ports import ReadPorts
from retour.previews.terms import TermsEffect, terms_effect, with_terms
from retour.sentences import sentence
from retour.setup.program_file import Fault, fault_at
from retour.store import bulk
from retour.views import action_search
from retour.views.documents import Document
from retour.views.ledger_reader import LedgerReader, build_reader
from retour.views.statements import next_statements

PREVIEWED_ACTIONS_MAX = 300
"""Pending actions to which new terms are applied."""
OPEN_SCAN_MAX = 40_000
"""Open actions searched for partners without terms."""
SCAN_CHUNK = 2_000
PARTNERS_NAMED_MAX = 20
"""Partners named per class."""

Errors = list[Fault]


def preview_program(
    ports: ReadPorts, current: Program, document: Mapping[str, Any], uploaded: Mapping[str, Entries] | None = None
) -> Document:
    """Whose terms change when, which pending payouts would be others at their next change, and where billing groups are
    others, what their next two statements would hold.

    `uploaded`: lists that come with it.
    """
    now = ports.now()
    zone = ZoneInfo(document["time_zone"])
    wanted = with_terms(current, document, now, {**ports.programs.named_lists(current), **(uploaded or {})})
    changes = terms_changes(current.contracts, wanted.contracts, now)
    found: Document = {"terms": [change_document(one, now, zone) for one in changes]}
    if changes:
        chosen, are_all = pending_actions(ports, current)
        found["pending"] = effect_document(terms_effect(chosen, wanted.contracts, now), are_all, current.currency)
    if document.get("billing_groups") != ports.programs.newest_version(current.id).document.get("billing_groups"):
        found["statements"] = next_statements(ports, current, document)
    return found


def subscriptions(current: Program | None, document: Mapping[str, Any]) -> list[Document]:
    """Messages that shops must send, for sources that are new or have changed."""
    language = document.get("language", "en")
    found: list[Document] = []
    for name, body in document.get("sources", {}).items():
        source = source_from(name, body, document["time_zone"])
        before = current.sources.get(name) if current else None
        wanted, told = subscribed(source), subscription_sentence(source)
        if wanted is None or told is None or (before and subscription_sentence(before) == told):
            continue
        found.append(
            {
                "source": name,
                "kind": source.kind,
                "basis": source.basis,
                "money": [*wanted.money],
                "names": [*wanted.names],
                "needs_names": wanted.needs_names,
                "explanation": sentence(*told, language),
            }
        )
    return found


def pending_actions(ports: ReadPorts, current: Program) -> tuple[Sequence[action_search.FoundAction], bool]:
    """The actions that lock next, up to a limit, and whether these are all."""
    chosen: list[action_search.FoundAction] = []
    found = action_search.find_actions(ports, build_reader(ports, current), action_search.ActionFilter(state="pending"))
    try:
        for one in islice(found, PREVIEWED_ACTIONS_MAX):
            chosen.append(one)
    except RequestError:
        # Too many others in between: report those found so far.
        return chosen, False
    return chosen, len(chosen) < PREVIEWED_ACTIONS_MAX


def change_document(one: TermsChange, now: datetime, zone: ZoneInfo) -> Document:
    """`from` is in the program's zone, where versions begin at midnight; null means on application."""
    return {
        "event_type": one.holders.event_type,
        "partners": [*one.holders.partners[:PARTNERS_NAMED_MAX]],
        "partner_count": None if one.holders.others else len(one.holders.partners),
        "others": one.holders.others,
        "from": None if one.at == now else one.at.astimezone(zone).isoformat(),
        "before": terms_document(one.before),
        "after": terms_document(one.after),
    }


def terms_document(one: Contract | None) -> Document | None:
    if one is None:
        return None
    return {
        "name": one.name,
        "version": one.version,
        "payout": one.body.get("payout"),
        "rules": len(one.rules),
        "valid_from": one.valid_from.isoformat(),
        "valid_until": one.valid_until.isoformat() if one.valid_until else None,
    }


def effect_document(found: TermsEffect, are_all: bool, currency: str) -> Document:
    def money(before: int, after: int) -> Document:
        named = (("before", before), ("after", after), ("difference", after - before))
        return {name: to_text(value, currency) for name, value in named}

    return {
        "looked": found.looked,
        "complete": are_all,
        "changed": found.changed,
        "by_action": found.by_action,
        "difference": to_text(found.difference, currency),
        "currency": currency,
        "partners": {partner: money(*sums) for partner, sums in found.partners.items()},
    }


def funding(ports: ReadPorts, document: Mapping[str, Any]) -> list[Document]:
    """Contracts of a valid document whose lock leaves no slack for the last return, or fails."""
    day = local_day(ports.now(), document["time_zone"])
    return warnings(document, day, document.get("language", "en"))


# Reasons to refuse


def find_faults(
    ports: ReadPorts, current: Program, document: Mapping[str, Any], written: str, *, leave_without_terms: bool
) -> Errors:
    """Faults of a document for this program, with regard to its existing actions."""
    found = [*fixed_setting_faults(ports, current, document, written)]
    if not found and not leave_without_terms:
        places: dict[tuple[int, str], Fault] = {}
        for fault in missing_terms_faults(ports, current, document, written):
            places.setdefault((fault.line, fault.key), fault)
        found = [*places.values()]
    return found


def fixed_setting_faults(
    ports: ReadPorts, current: Program, document: Mapping[str, Any], written: str
) -> Iterator[Fault]:
    for key, has, code in (
        ("currency", current.currency, "FAULT_CURRENCY_STAYS"),
        ("time_zone", current.time_zone, "FAULT_ZONE_STAYS"),
    ):
        if document[key] != has and has_actions(ports, current):
            yield fault_at(written, (key,), Sentence(code, {"has": has, "wanted": document[key]}))


def has_actions(ports: ReadPorts, program: Program) -> bool:
    ledger = ports.ledger(program)
    return any(ledger.lock_partitions(action_search.NEVER_LOCKS)) or any(ledger.final_months())


def missing_terms_faults(
    ports: ReadPorts, current: Program, document: Mapping[str, Any], written: str
) -> Iterator[Fault]:
    now = ports.now()
    wanted = with_terms(current, document, now, ports.programs.named_lists(current))
    event_types = {*current.event_types, *document["event_types"]}
    yield from version_gap_faults(current.contracts, wanted.contracts, document, written, now)
    found = [*coverage_gaps(wanted.contracts, event_types, now)]
    if not found:
        return
    reader = build_reader(ports, current)
    for one, partner in gaps_with_open_actions(ports, reader, found, wanted.contracts):
        path, at_key = fault_path(one, document, wanted.contracts, now)
        about = {
            "partner": partner or Sentence("FAULT_A_PARTNER"),
            "event_type": repr(one.holders.event_type),
            "since": one.day.isoformat(),
        }
        yield fault_at(written, path, Sentence("FAULT_LEFT_WITHOUT_TERMS", about), at_key=at_key)


def version_gap_faults(
    before: Sequence[Contract], after: Sequence[Contract], document: Mapping[str, Any], written: str, now: datetime
) -> Iterator[Fault]:
    """Contracts whose new version leaves days without terms after the last one ended, even without open actions."""
    ended = {one.name: one for one in before}
    for one in after[len(before) :]:
        last = ended.get(one.name)
        if last is None or last.valid_until is None or one.name not in document["contracts"]:
            continue
        between = max(start_of_day(last.valid_until, 1, one.time_zone), now)
        begins = start_of_day(one.valid_from, 0, one.time_zone)
        partner = min(one.members, default=UNNAMED_PARTNER)
        if between < begins and terms_at(after, one.event_type, partner, between) is None:
            days = {"ends": last.valid_until, "begins": one.valid_from, "right": last.valid_until + timedelta(days=1)}
            about = {name: day.isoformat() for name, day in days.items()}
            yield fault_at(written, ("contracts", one.name, "valid_from"), Sentence("FAULT_TERMS_APART", about))


def gaps_with_open_actions(
    ports: ReadPorts, reader: LedgerReader, found: Sequence[Gap], contracts: Sequence[Contract]
) -> Iterator[tuple[Gap, str]]:
    """Each gap with a partner that has open actions, up to the search limit."""
    members = frozenset[str]().union(*(one.members for one in contracts))
    by_partner = {(gap.holders.event_type, partner): gap for gap in found for partner in gap.holders.partners}
    of_others = {gap.holders.event_type: gap for gap in found if gap.holders.others}
    seen: set[int] = set()
    filter_ = action_search.ActionFilter(locks_after=format_instant(reader.now))
    places = ((order_key, action) for _, _, order_key, action in action_search.candidates(ports, reader, filter_, None))
    for looked, some in enumerate(bulk.batched(places, SCAN_CHUNK)):
        if looked * SCAN_CHUNK >= OPEN_SCAN_MAX:
            yield found[0], found[0].holders.example
            return
        for one in bulk.load_listed_actions(ports.ledger(reader.program), some):
            others = of_others.get(one.action.event_type) if one.partner not in members else None
            gap = by_partner.get((one.action.event_type, one.partner), others)
            if gap is not None and id(gap) not in seen:
                seen.add(id(gap))
                yield gap, one.partner
        if len(seen) == len(found):
            return


def fault_path(
    gap: Gap, document: Mapping[str, Any], contracts: Sequence[Contract], now: datetime
) -> tuple[tuple[str, ...], bool]:
    """The path of a gap's cause: an end, a late start, or an event type without terms."""
    named = document["contracts"]
    covering = {
        one.name: one
        for one in contracts
        if one.name in named and one.covers(gap.holders.event_type, gap.holders.example) and one.recorded_at <= now
    }
    for key in ("valid_until", "valid_from"):
        for name, one in covering.items():
            day = getattr(one, key)
            if day is not None and (day < gap.day if key == "valid_until" else day > gap.day) and key in named[name]:
                return ("contracts", name, key), False
    if gap.holders.event_type in document["event_types"]:
        return ("event_types", gap.holders.event_type), True
    return ("event_types",), True
