"""Terms, locks and unusual days as sentences."""

from collections.abc import Sequence
from datetime import date

from retour.console.words import Words
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.lock import AfterStatus, LockRule, OpenEnded, Restart
from retour.domain.contracts.lock_days import AnomalyKind, CalendarAnomaly, LockDay
from retour.domain.contracts.pay import Flat, Percent
from retour.previews.terms import PricedOrder


def pricing_sentences(words: Words, priced: PricedOrder) -> list[str]:
    """Which rule pays what for an order, by rank, and what none pays for."""
    say, terms = words.say, priced.terms
    told = []
    for rank in sorted({one.rule for one in priced.paid}, key=lambda rank: rank or len(terms.rules) + 1):
        at = [number for number, one in enumerate(priced.paid) if one.rule == rank]
        lines = [priced.action.lines[number] for number in at]
        names = (line.category or line.sku or say("line %(line)s", line=line.line) for line in lines)
        what = ", ".join(dict.fromkeys(names))
        sum_ = words.minor(sum(priced.paid[number].amount for number in at), terms.currency)
        if not rank:
            told.append(say("No rule pays for %(what)s: nothing", what=what))
            continue
        match terms.rules[rank - 1].pay:
            case Percent(percent, per_order):
                text = (
                    say("Rule %(rank)s pays %(percent)s of %(what)s together: %(sum)s")
                    if per_order
                    else say("Rule %(rank)s pays %(percent)s of %(what)s: %(sum)s")
                )
                told.append(text % {"rank": rank, "percent": words.rate(percent), "what": what, "sum": sum_})
            case Flat(flat, per_order):
                text = (
                    say("Rule %(rank)s pays %(flat)s once for the order: %(sum)s")
                    if per_order
                    else say("Rule %(rank)s pays %(flat)s for each unit of %(what)s: %(sum)s")
                )
                told.append(text % {"rank": rank, "flat": words.minor(flat, terms.currency), "what": what, "sum": sum_})
    return told


def standing(words: Words, terms: Contract, in_force: Contract | None, today: date) -> str:
    """Whether a version is in force today, or when it starts or ended."""
    if terms.valid_from > today:
        return words.say("announced for %(day)s", day=words.day(terms.valid_from))
    if terms.has_ended(today) and terms.valid_until:
        return words.say("ended on %(day)s", day=words.day(terms.valid_until))
    return words.say("in force") if in_force and in_force.number == terms.number else words.say("replaced")


def lock_sentence(words: Words, one: LockDay, rule: LockRule) -> str:
    """Until when orders of a day can change, and when they lock."""
    say = words.say
    about = {"day": words.day(one.day), "last": words.day(one.last), "time": words.moment(one.at), "zone": one.zone}
    if isinstance(rule, AfterStatus):
        about["status"] = ", ".join(sorted(rule.statuses))
        if not one.at_midnight:
            return say("An order that becomes %(status)s on %(day)s is locked at once.", **about)
        return say(
            "An order that becomes %(status)s on %(day)s can change until the end of %(last)s; "
            "locked from %(time)s (%(zone)s).",
            **about,
        )
    if isinstance(rule, OpenEnded):
        return say(
            "An order of %(day)s can change until the end of the day of its approval, at the latest until the end of "
            "%(last)s; then locked from %(time)s (%(zone)s).",
            **about,
        )
    if not one.at_midnight:
        return say("An order of %(day)s can change until %(time)s (%(zone)s); then it is locked.", **about)
    return say("An order of %(day)s can change until the end of %(last)s; locked from %(time)s (%(zone)s).", **about)


def lock_span_sentence(words: Words, days: Sequence[LockDay]) -> str:
    """The content of the lock chart as text."""
    least, most = min(one.days for one in days), max(one.days for one in days)
    if least == most:
        return words.count("An order can change for %(number)s day", "An order can change for %(number)s days", most)
    text = words.say("An order can change for %(least)s to %(most)s days: that depends on its day")
    return text % {"least": words.number(least), "most": words.number(most)}


def restart_sentence(words: Words, rule: AfterStatus) -> str:
    """What restarts the countdown."""
    match rule.restart:
        case Restart.LEAVING:
            return words.say("Leaving the status and coming back to it starts the days anew.")
        case Restart.NEVER:
            return words.say("Nothing starts the days anew.")
    return words.say("Any further status starts the days anew, or takes them back.")


def odd_day_sentence(words: Words, one: CalendarAnomaly) -> str:
    """Why a day is unusual."""
    say, first, last = words.say, words.day(one.days[0]), words.day(one.days[-1])
    days = first if first == last else say("%(first)s to %(last)s", first=first, last=last)
    match one.kind:
        case AnomalyKind.TOGETHER:
            return say(
                "Orders of %(days)s lock together, at %(time)s: the month they lock in is shorter.",
                days=days,
                time=words.moment(one.at),
            )
        case AnomalyKind.SKIPPED:
            return say("No order locks on %(days)s.", days=days)
        case AnomalyKind.CLOCK:
            return say(
                "On %(on)s the clocks change and the day has %(hours)s hours: the last day of orders of %(days)s.",
                on=words.day(one.on),
                hours=one.hours,
                days=days,
            )
    return say("%(days)s is the next leap day: an order of it locks at %(time)s.", days=days, time=words.moment(one.at))
