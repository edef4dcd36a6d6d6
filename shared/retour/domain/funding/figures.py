"""Lock and payment rules as people write them in a word or two, read and written back (`retour funding check`).

    1 month 2 days after month end      30 days after event      21 days after status      open-ended
    at statement      5 days after statement      next day      on the 15th      20 days after month end      at lock

A month's end plus months is a month's end here, as impact.com counts it; `, not sticky` says otherwise. `, at start`:
the lock falls at the start of its last day, which then does not count any more.
"""

import re

from retour.domain.contracts.lock import OPEN_DAYS_MAX, AfterEvent, AfterStatus, LockRule, OpenEnded
from retour.domain.funding.schedule import (
    MONTH_DAY_MAX,
    AfterMonthEnd,
    AfterStatement,
    AtLock,
    NextDay,
    OnDay,
    PayRule,
)

LOCK_TEXT = re.compile(
    r"(?:(?P<months>\d{1,2}) months?)?(?: and)? ?(?:(?P<days>\d{1,3}) days?)? after "
    r"(?:the )?(?:end of )?(?P<base>month end|month|event|order|status)(?P<more>(?:, [a-z ]+)*)"
)
PAYMENT_TEXT = re.compile(r"(?P<days>\d{1,3}) days? after (?:the )?(?P<base>statement|month end)")
ON_DAY_TEXT = re.compile(r"on (?:the )?(?P<day>\d{1,2})(?:st|nd|rd|th)?")
MONTHS_MAX, MONTH_END_DAYS_MAX, PAID_DAYS_MAX = 24, 366, 120
AT_START, NOT_STICKY, STICKY = "at start", "not sticky", "sticky"


def parse_lock(text: str) -> LockRule | None:
    """Parse a lock rule; None if it is not one."""
    said = plain_words(text)
    if said in ("open-ended", "open ended"):
        return OpenEnded()
    found = LOCK_TEXT.fullmatch(said)
    if found is None or (found["months"] is None and found["days"] is None):
        return None
    months, days, base = int(found["months"] or 0), int(found["days"] or 0), found["base"]
    more = [one for one in found["more"].split(", ") if one]
    from_month_end = base in ("month end", "month")
    if set(more) - {AT_START, NOT_STICKY, STICKY} or months > MONTHS_MAX:
        return None
    if days > (MONTH_END_DAYS_MAX if from_month_end else OPEN_DAYS_MAX):
        return None
    if base == "status":
        return None if months or more else AfterStatus(days, frozenset())
    sticky = STICKY in more or (from_month_end and NOT_STICKY not in more)
    return AfterEvent(days, months, from_month_end, AT_START not in more, sticky)


def lock_text(rule: LockRule) -> str:
    match rule:
        case OpenEnded():
            return "open-ended"
        case AfterStatus(days):
            return f"{count_text(days, 'day')} after status"
        case AfterEvent(days, months, from_month_end, at_end, sticky):
            parts = [count_text(months, "month")] if months else []
            parts += [count_text(days, "day")] if days or not months else []
            usual = from_month_end
            more = "" if sticky == usual or not months else f", {STICKY if sticky else NOT_STICKY}"
            more += "" if at_end else f", {AT_START}"
            return f"{' '.join(parts)} after {'month end' if from_month_end else 'event'}{more}"


def parse_pay_rule(text: str) -> PayRule | None:
    """Parse a payment rule; None if it is not one."""
    said = plain_words(text)
    words: dict[str, PayRule] = {"at statement": AfterStatement(), "at lock": AtLock(), "next day": NextDay()}
    if said in words:
        return words[said]
    if found := ON_DAY_TEXT.fullmatch(said):
        day = int(found["day"])
        return OnDay(day) if 1 <= day <= MONTH_DAY_MAX else None
    if found := PAYMENT_TEXT.fullmatch(said):
        days = int(found["days"])
        if days <= PAID_DAYS_MAX:
            return AfterStatement(days) if found["base"] == "statement" else AfterMonthEnd(days)
    return None


def pay_rule_text(pays: PayRule) -> str:
    match pays:
        case AfterStatement(days):
            return f"{count_text(days, 'day')} after statement" if days else "at statement"
        case OnDay(day):
            return f"on the {ordinal(day)}"
        case NextDay():
            return "next day"
        case AfterMonthEnd(days):
            return f"{count_text(days, 'day')} after month end"
        case AtLock():
            return "at lock"


def plain_words(text: str) -> str:
    return " ".join(text.lower().split())


def count_text(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def ordinal(day: int) -> str:
    ending = "th" if 10 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"
