"""What a partner sees: their own credit, when it is certain, and why it moved. And the merchant's view of partners."""

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from retour.api import listing, views
from retour.api.listing import Filter
from retour.console import charts
from retour.console.actions import as_csv
from retour.console.people import Grant, hashed, kept
from retour.console.request import Response, download
from retour.console.visit import Visit
from retour.console.words import Words, language_of
from retour.domain.actions.action import Action, State
from retour.domain.actions.lock import AfterEvent, AfterStatus, Credit
from retour.domain.actions.lock import credit as credit_of
from retour.domain.actions.order import Head, Order, effect
from retour.domain.actions.outcome import Outcome
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.domain.times import text

PAGE = 50
ALL = 300
FEW = 30
FOREVER = "9999-12-31T00:00:00.000Z"
COLUMNS = (
    "program",
    "order_id",
    "event_time",
    "state",
    "amount",
    "currency",
    "payout",
    "payout_currency",
    "day",
    "certainty",
)


@dataclass(frozen=True)
class Own:
    """One action of the partner's own, and from when its credit is certain."""

    program: Program
    order: Order
    action: Action
    head: Head
    credit: Credit | None
    state: State

    @property
    def certainty(self) -> str:
        if self.state is State.REVERSED:
            return "none"
        if self.state in (State.LOCKED, State.PAID):
            return "certain"
        return "open" if self.credit is None else "expected" if self.credit.expected else "earliest"


def grants(visit: Visit) -> list[Grant]:
    found = visit.person.own if visit.person else []
    if not found:
        raise visit.not_found()
    return found


def opened(visit: Visit) -> list[tuple[Visit, Grant]]:
    """The programs this person is a partner in, each with the words of its own time zone."""
    found = []
    for grant in grants(visit):
        program = visit.hub.programs.get(grant.program)
        if program is not None:
            words = Words(visit.words.language, program.time_zone, visit.words.now)
            found.append((replace(visit, opened=program, words=words, memory={}), grant))
    return found


def own_actions(visit: Visit, partner: str) -> Iterator[Own]:
    """By event month, newest first: what this partner is credited now, and nobody else's."""
    filter_ = Filter(partner=partner)
    for seen in listing.candidates(visit.hub, visit.reader, filter_, None):
        found = listing.looked_up(visit.reader, seen)
        if found and found[2].standing.partner == partner:
            yield own(visit, *found)


def own(visit: Visit, order: Order, action: Action, head: Head) -> Own:
    now, program = visit.hub.now(), visit.program
    rule = program.contracts[head.standing.contract - 1].lock
    certain = credit_of(rule, head.standing.countdown, now, program.time_zone)
    return Own(program, order, action, head, certain, head.state(now))


def taken(found: Iterator[Own], skip: int, most: int) -> tuple[list[Own], bool]:
    items: list[Own] = []
    for number, one in enumerate(found):
        if number >= skip + most:
            return items, True
        if number >= skip:
            items.append(one)
    return items, False


def why(words: Words, one: Own) -> str:
    """Why the day is as it is."""
    say, head = words.say, one.head
    if one.certainty == "none":
        return say("reversed")
    if one.certainty == "certain":
        return say("can no longer change")
    rule = one.program.contracts[head.standing.contract - 1].lock
    countdown = head.standing.countdown
    if isinstance(rule, AfterStatus):
        statuses = ", ".join(sorted(rule.statuses))
        if countdown.since is None:
            return words.count("%(number)s day after the order is %(statuses)s; moves with every day until then",
                               "%(number)s days after the order is %(statuses)s; moves with every day until then",
                               rule.days, statuses=statuses)  # fmt: skip
        if countdown.first is not None and countdown.first != countdown.since:
            return words.count("%(status)s again on %(day)s: the %(number)s day starts anew",
                               "%(status)s again on %(day)s: the %(number)s days start anew",
                               rule.days, status=countdown.status or "", day=words.day(countdown.since))  # fmt: skip
        return words.count("%(number)s day after %(status)s on %(day)s", "%(number)s days after %(status)s on %(day)s",
                           rule.days, status=countdown.status or "", day=words.day(countdown.since))  # fmt: skip
    if isinstance(rule, AfterEvent):
        return say("if nothing changes")
    return say("as soon as it is approved, at the latest then")


def credit(visit: Visit) -> Response:
    skip = int(visit.request.query.get("from", "0")) if visit.request.query.get("from", "0").isdigit() else 0
    blocks = []
    for inner, grant in opened(visit):
        items, more = taken(own_actions(inner, grant.partner), skip, PAGE)
        blocks.append({"v": inner, "w": inner.words, "items": items, "more": more, "sums": sums(items, inner.today)})
    later = visit.here(**{"from": str(skip + PAGE)}) if any(block["more"] for block in blocks) else None
    return visit.render("my_credit.html", blocks=blocks, why=why, later=later, skip=skip)


def sums(items: list[Own], today: date) -> dict[str, int]:
    found = {"open": 0, "week": 0, "certain": 0}
    for one in items:
        if one.certainty == "none":
            continue
        found["certain" if one.certainty == "certain" else "open"] += one.head.payout
        if one.credit and one.certainty == "expected":
            in_days = (one.credit.day - today).days
            found["week"] += one.head.payout if 0 <= in_days <= 7 else 0
    return found


def credit_csv(visit: Visit) -> Response:
    lines = []
    for inner, grant in opened(visit):
        for one in taken(own_actions(inner, grant.partner), 0, ALL * 10)[0]:
            lines.append(
                {
                    "program": one.program.id,
                    "order_id": one.action.order_id,
                    "event_time": text(one.action.event_time),
                    "state": one.state.value,
                    "amount": to_text(one.head.standing.amount, one.action.currency),
                    "currency": one.action.currency,
                    "payout": to_text(one.head.payout, one.program.currency),
                    "payout_currency": one.program.currency,
                    "day": one.credit.day.isoformat() if one.credit else "",
                    "certainty": one.certainty,
                }
            )
    return download("credit.csv", as_csv(COLUMNS, lines), "text/csv; charset=utf-8")


def changed(inner: Visit, items: list[Own]) -> list[dict[str, Any]]:
    """Every booked change, with its reason in the partner's language; never who sent it or what they noted."""
    found = []
    for one in items:
        for entry in one.head.log:
            record = one.order.record(entry.id)
            booked = effect(one.order, one.head, entry, one.program.contracts)
            if record is None or booked is None or entry.outcome is not Outcome.APPLIED:
                continue
            found.append(
                {
                    "at": entry.applied_at,
                    "action": one.action,
                    "change": record.verb,
                    "reason": record.reason,
                    "effect": views.effect_document(booked),
                    "status": getattr(record.change, "status", ""),
                }
            )
    return sorted(found, key=lambda change: change["at"], reverse=True)


def changes(visit: Visit) -> Response:
    blocks = []
    for inner, grant in opened(visit):
        items, more = taken(own_actions(inner, grant.partner), 0, ALL)
        blocks.append({"v": inner, "w": inner.words, "changes": changed(inner, items)[:200], "more": more})
    return visit.render("my_changes.html", blocks=blocks)


def order(visit: Visit) -> Response:
    """One action of their own; another's and a missing one look the same."""
    program_id, action_id = visit.request.query.get("program", ""), visit.request.query.get("id", "")
    for inner, grant in opened(visit):
        found = inner.reader.action(action_id) if inner.program.id == program_id else None
        if found and found[2].standing.partner == grant.partner:
            one = own(inner, *found)
            document = views.action_document(*found, inner.spoken, visit.hub.now())
            return inner.render("my_order.html", one=one, action=document, changes=changed(inner, [one]), why=why)
    raise visit.not_found()


# Calendar


def calendar_page(visit: Visit, link: str = "") -> Response:
    grants(visit)
    return visit.render("my_calendar.html", link=link)


def renew_calendar(visit: Visit) -> Response:
    """A new secret address, shown once; the one before ends."""
    token = secrets.token_urlsafe(32)
    state = kept(visit.hub)
    mine = [[grant.program, grant.partner] for grant in grants(visit)]
    owner = hashed(repr(sorted(mine)))
    before = state.get(f"calendar-of#{owner}")
    if before:
        state.delete(f"calendar#{before['key']}")
    state.put(f"calendar#{hashed(token)}", {"grants": mine, "ends": FOREVER})
    state.put(f"calendar-of#{owner}", {"key": hashed(token), "ends": FOREVER})
    return calendar_page(visit, f"{visit.request.address}/my/calendar/{token}.ics")


def calendar(visit: Visit) -> Response:
    """One all-day entry per day with its sum; a day that is gone is cancelled, so that calendars drop it."""
    state, key = kept(visit.hub), f"calendar#{hashed(visit.part['token'])}"
    doc = state.get(key)
    if doc is None:
        raise visit.not_found()
    days: dict[str, int] = {}
    names: dict[str, str] = {}
    for program_id, partner in doc["grants"]:
        program = visit.hub.programs.get(program_id)
        if program is None:
            continue
        inner = replace(visit, opened=program, memory={})
        names[program_id] = program.name
        for one in taken(own_actions(inner, partner), 0, ALL)[0]:
            if one.certainty == "expected" and one.credit:
                name = f"{program_id} {one.credit.day.isoformat()} {program.currency}"
                days[name] = days.get(name, 0) + one.head.payout
    seen: dict[str, list[Any]] = doc.get("seen", {})
    for name in {*days, *seen}:
        total, number = days.get(name), seen.get(name)
        if number is None:
            seen[name] = [total, 0]
        elif number[0] != total:
            seen[name] = [total, number[1] + 1]
    state.put(key, {**doc, "seen": seen})
    language = language_of(
        visit.request.cookies.get("retour_language"), visit.request.headers.get("accept-language", "")
    )
    words = Words(language, "UTC", visit.words.now)
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Retour//Expected credit//EN", "CALSCALE:GREGORIAN"]
    stamp = f"{visit.hub.now():%Y%m%dT%H%M%SZ}"
    for name, (total, number) in sorted(seen.items()):
        program_id, day, currency = name.split(" ")
        uid = hashlib.sha256(f"{key}{name}".encode()).hexdigest()[:32]
        after = date.fromisoformat(day) + timedelta(days=1)
        said = words.say("%(sum)s certain (%(program)s)", sum=words.minor(total or 0, currency),
                         program=names.get(program_id, program_id))  # fmt: skip
        status = "CONFIRMED" if total is not None else "CANCELLED"
        lines += [
            "BEGIN:VEVENT", f"UID:{uid}@retour", f"DTSTAMP:{stamp}", f"SEQUENCE:{number}",
            f"DTSTART;VALUE=DATE:{day.replace('-', '')}", f"DTEND;VALUE=DATE:{after:%Y%m%d}",
            f"SUMMARY:{escaped(said)}", f"STATUS:{status}", "TRANSP:TRANSPARENT", "END:VEVENT",
        ]  # fmt: skip
    lines.append("END:VCALENDAR")
    body = "".join(f"{folded(line)}\r\n" for line in lines).encode()
    return Response(200, body, {"content-type": "text/calendar; charset=utf-8"})


def escaped(text_: str) -> str:
    return text_.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def folded(line: str) -> str:
    """Lines of at most 75 bytes, as calendars ask for."""
    parts, current = [], ""
    for letter in line:
        if len((current + letter).encode()) > 74:
            parts.append(current)
            current = ""
        current += letter
    return "\r\n ".join([*parts, current])


# The merchant's view


@dataclass(frozen=True)
class Line:
    """One partner, in minor units."""

    partner: str
    actions: int
    pending: int
    approved: int
    locked: int
    reversed: int


def paid(items: list[Own], state: State) -> int:
    return sum(one.head.payout for one in items if one.state is state)


def partners(visit: Visit) -> Response:
    """Partners by what is pending, with how often their orders come back and when."""
    found: dict[str, list[Own]] = {}
    cut = False
    for looked, seen in enumerate(listing.candidates(visit.hub, visit.reader, Filter(), None)):
        if looked == ALL:
            cut = True
            break
        chosen = listing.looked_up(visit.reader, seen)
        if chosen:
            found.setdefault(chosen[2].standing.partner, []).append(own(visit, *chosen))
    rows: list[Line] = []
    days: list[int] = []
    lock_days: list[int] = []
    reasons: dict[str, int] = {}
    for partner, items in found.items():
        back = [one for one in items if one.state is State.REVERSED]
        rows.append(
            Line(
                partner,
                len(items),
                paid(items, State.PENDING),
                paid(items, State.APPROVED),
                paid(items, State.LOCKED),
                len(back),
            )
        )
        for one in items:
            rule = one.program.contracts[one.head.standing.contract - 1].lock
            if isinstance(rule, AfterEvent) and one.head.locks_at:
                lock_days.append((one.head.locks_at - one.action.event_time).days)
            for entry in one.head.log:
                record = one.order.record(entry.id)
                if record and entry.outcome is Outcome.APPLIED and record.verb in ("reverse", "take_back", "set_total"):
                    days.append((record.received_at - one.action.event_time).days)
                    reasons[record.reason or "OTHER"] = reasons.get(record.reason or "OTHER", 0) + 1
    rows.sort(key=lambda row: -row.pending - row.approved)
    total, back_total = sum(row.actions for row in rows), sum(row.reversed for row in rows)
    mean = back_total / total if total else 0.0
    dots = [
        (row.partner, row.reversed / row.actions, *charts.wilson(row.reversed, row.actions),
         row.actions < FEW)
        for row in sorted(rows, key=lambda row: -row.reversed / row.actions)
    ]  # fmt: skip
    words = visit.words
    lock_day = sorted(lock_days)[len(lock_days) // 2] if lock_days else None
    late = sum(day >= lock_day for day in days) if lock_day is not None else 0
    return visit.render(
        "partners.html",
        rows=rows,
        cut=cut,
        few=FEW,
        dots=dots,
        mean=mean,
        days=sorted(Counter(days).items()),
        returns=len(days),
        late=late,
        reasons=sorted(reasons.items(), key=lambda item: -item[1]),
        by_partner=charts.intervals(words, words.say("Share of orders reversed, by partner"), dots[:20], mean),
        by_days=charts.histogram(words, words.say("Days from order to return"), days, lock_day) if days else "",
    )
