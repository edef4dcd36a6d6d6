"""Whether the lock leaves time for the last return: the verdict, a year of orders as a picture and a table, figures to
try. The proof is that of the API (`money.funding`)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from retour.console.labels import term
from retour.console.money import picture
from retour.console.page_context import PageContext
from retour.console.request import Response
from retour.domain.calendar import add_months
from retour.domain.contracts.lock import AfterEvent, AfterStatus
from retour.domain.funding.proof import Verdict
from retour.domain.funding.schedule import (
    AfterMonthEnd,
    AfterStatement,
    AtLock,
    OnDay,
    PayRule,
    Policy,
    ReturnWindow,
    Timeline,
    timeline,
)
from retour.errors import InvalidRequestError
from retour.money import asked, funding
from retour.money.asked import FigureFault
from retour.money.presets import funding_presets

MONTHS = 12
PRESETS = {
    "amazon-seller": "Amazon Seller",
    "net-30": "Net 30",
    "net-45": "Net 45",
    "net-45-plus": "Net 45+",
}
LOOKS = {Verdict.SAFE: "ok", Verdict.TIGHT: "wait", Verdict.UNSAFE: "bad"}
PAYS = {
    "statement": term("on the day of the statement"),
    "after": term("a number of days after the statement"),
    "day": term("on this day of the month"),
    "month": term("a number of days after the end of the month"),
    "next": term("the next day"),
    "lock": term("at the moment of the lock"),
}
FIELDS = {
    "lock": term("The lock"),
    "window_days": term("Days to return it"),
    "lag_days": term("Days until it is reported"),
    "cadence_days": term("Days between two deliveries"),
    "skew_days": term("Days the sender is behind"),
    "statement_day": term("Day of the statement"),
    "paid": term("When it is paid"),
}


@dataclass(frozen=True)
class Month:
    """The order of a month that has the least time to spare."""

    first: date
    tightest: Timeline


def index(context: PageContext) -> Response:
    query = context.request.query
    document = context.hub.programs.newest_version(context.program.id).document
    every = funding.checks(document, context.today)
    known = {name for name, _ in named_checks(every)}
    unknown = [name for name in document["contracts"] if name not in known]
    fault: FigureFault | None = None
    chosen: funding.Checked | None = None
    if query.get("lock_after"):
        found = asked.policy_of(figures(query))
        if isinstance(found, FigureFault):
            fault = found
        else:
            chosen = funding.check_policy(found, context.today)
    elif query.get("preset") in PRESETS:
        found = asked.policy_of(funding_presets()[query["preset"]])
        assert isinstance(found, Policy)
        chosen = funding.check_policy(found, context.today)
    elif every:
        of_contract = [one for one in every if one.place.contract == query.get("contract")]
        chosen = numbered_check(of_contract, query.get("check", "")) or every[0]
    usual = fields_of(chosen.proof.policy if chosen else START)
    fields = {name: query.get(name, "") for name in usual} if query.get("lock_after") else usual
    courses = year(chosen.proof.policy, context.today) if chosen else []
    return context.render(
        "funding.html",
        422 if fault else 200,
        chosen=chosen,
        look=LOOKS[chosen.verdict] if chosen else "",
        sentences=funding.sentences(chosen, context.words.language) if chosen else [],
        every=every,
        numbers=numbers(every),
        looks=LOOKS,
        contracts=named_checks(every),
        unknown=unknown,
        presets=PRESETS,
        picked=query.get("preset") or (chosen.place.contract if chosen else ""),
        fields=fields,
        names=FIELDS,
        returns=asked.RETURNS,
        pays=PAYS,
        wrong=fault_text(context, fault) if fault else "",
        courses=courses,
        months=months(courses),
        picture=picture.orders(context.words, courses) if courses else "",
    )


START = Policy(AfterEvent(2, 1, from_month_end=True, sticky=True), ReturnWindow(28, 2), 4, AfterStatement())


def named_checks(every: Sequence[funding.Checked]) -> list[tuple[str, funding.Checked]]:
    """Each contract with its gravest check."""
    found: dict[str, funding.Checked] = {}
    for one in every:
        found.setdefault(one.place.contract, one)
    return sorted(found.items())


def numbers(every: Sequence[funding.Checked]) -> list[int]:
    """The place of each check among those of its contract."""
    seen: Counter[str] = Counter()
    found = []
    for one in every:
        found.append(seen[one.place.contract])
        seen[one.place.contract] += 1
    return found


def numbered_check(of_contract: Sequence[funding.Checked], number: str) -> funding.Checked | None:
    at = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else 0
    return of_contract[at] if at < len(of_contract) else of_contract[0] if of_contract else None


def year(policy: Policy, today: date) -> list[Timeline]:
    """The orders of the twelve months from this one on."""
    first = today.replace(day=1)
    days = (add_months(first, MONTHS) - first).days
    return [timeline(policy, first + timedelta(days=n)) for n in range(days)]


def months(courses: Sequence[Timeline]) -> list[Month]:
    by_month: dict[date, list[Timeline]] = {}
    for one in courses:
        by_month.setdefault(one.event.replace(day=1), []).append(one)
    return [Month(first, min(some, key=lambda one: one.slack)) for first, some in by_month.items()]


# Figures typed in


def figures(query: Mapping[str, str]) -> dict[str, str]:
    """The fields of the form as the figures of a check; of a lock that counts from neither, what was typed."""
    base = {"month": "month end", "event": "event", "status": "status"}.get(query["lock_after"], "")
    months_, days = query.get("lock_months") or "0", query.get("lock_days") or "0"
    lock = f"{months_} months {days} days after {base}" if base != "status" else f"{days} days after status"
    lock += ", at start" if query.get("lock_moment") == "start" and base != "status" else ""
    if base == "month end":
        lock += "" if query.get("sticky", "yes") == "yes" else ", not sticky"
    elif base == "event" and query.get("sticky") == "yes":
        lock += ", sticky"
    number = query.get("paid_number") or "0"
    paid = {
        "statement": "at statement",
        "after": f"{number} days after statement",
        "day": f"on the {number}",
        "month": f"{number} days after month end",
        "next": "next day",
        "lock": "at lock",
    }
    found = {name: query.get(name, "") for name in (*asked.RETURNS, "statement_day")}
    return {**found, "lock": lock, "paid": paid.get(query.get("paid", ""), query.get("paid", ""))}


def fields_of(policy: Policy) -> dict[str, str]:
    """What the form shows of a policy."""
    lock, returns = policy.lock, policy.returns
    found = {name: str(getattr(returns, name)) for name in asked.RETURNS}
    found["statement_day"] = str(policy.statement_day or "")
    found["lock_months"] = str(lock.months) if isinstance(lock, AfterEvent) else "0"
    found["lock_days"] = str(lock.days) if isinstance(lock, AfterEvent | AfterStatus) else "0"
    found["lock_moment"] = "end"
    found["lock_after"], found["sticky"] = "event", "no"
    match lock:
        case AfterEvent():
            found["lock_after"] = "month" if lock.from_month_end else "event"
            found["lock_moment"] = "end" if lock.at_end else "start"
            found["sticky"] = "yes" if lock.sticky else "no"
        case AfterStatus():
            found["lock_after"] = "status"
    found["paid"], found["paid_number"] = paid_fields(policy.pays)
    return found


def paid_fields(pays: PayRule) -> tuple[str, str]:
    match pays:
        case AfterStatement(0):
            return "statement", ""
        case AfterStatement(days):
            return "after", str(days)
        case OnDay(day):
            return "day", str(day)
        case AfterMonthEnd(days):
            return "month", str(days)
        case AtLock():
            return "lock", ""
    return "next", ""


def fault_text(context: PageContext, fault: FigureFault) -> str:
    """What is wrong with a figure, by the name it has on the page."""
    say = context.words.say
    if fault.figure == "lock":
        return say("Not a valid lock: use whole months up to 24 and whole days up to 366, or up to 730 days after "
                   "the order.")  # fmt: skip
    if fault.about == "paid":
        return say("Not a valid payment day: a day of the month is 1 to 28, a delay at most 120 days.")
    refused = InvalidRequestError("FIGURE_INVALID", fault.about, figure=say(FIELDS[fault.figure]), value=fault.value)
    return context.explain(refused).replace("`", "")
