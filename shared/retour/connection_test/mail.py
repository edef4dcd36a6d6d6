"""The mail address of a source: there, its domain received, answers signed; then a real mail that somebody sends."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from retour.channels import mail
from retour.connection_test.steps import FAILED, WAITING, Course, Trial
from retour.domain.program import Program, Source
from retour.remote import RemoteError
from retour.setup.credentials import access

if TYPE_CHECKING:
    from retour.wiring import Hub

PATIENCE = timedelta(minutes=10)
WORDS = "retour test"
"""A mail with these in its subject is for the trial alone: none of its files is taken in."""
NOT_READ = {
    mail.AUTOMATIC: "MAIL_DROPPED_AN_AUTOMATIC_REPLY",
    mail.NOT_PROVEN: "MAIL_DROPPED_NOTHING_TO_HOLD",
    mail.INFECTED: "MAIL_DROPPED_THE_VIRUS_SCAN_DID_NOT_PASS",
}
Verdict = mail.Accepted | mail.Held | mail.Rejected | mail.Unread | mail.Quiet


def attempt(hub: "Hub", program: Program, source: Source, course: Course) -> None:
    tokens = addresses(hub, program, source)
    if not hub.settings.mail_domain or not hub.settings.receives_mail:
        raise RemoteError("MAIL_NOT_OFFERED")
    shown = access(hub, program, source)["address"]
    course.done("address", address=shown, count=len(tokens))

    senders = source.options["allow_from"]
    course.done("senders", count=len(senders), senders=", ".join(senders))

    reception(hub, course)
    course.waiting("mail", "WAITING_EMAIL_MAIL", hub.now() + PATIENCE, address=shown, senders=", ".join(senders))


def addresses(hub: "Hub", program: Program, source: Source) -> list[str]:
    """The live tokens that its addresses have in them; RemoteError while there is none."""
    tokens: list[str] = hub.secret(program.id, source.name).get("tokens", [])
    if not tokens:
        raise RemoteError("MAIL_WITHOUT_ADDRESS", source=source.name)
    return tokens


def reception(hub: "Hub", course: Course) -> None:
    """Whether mail for the domain reaches us, and whether our answers are believed."""
    domain = hub.settings.mail_domain
    if hub.settings.receives_mail == "smtp":
        course.done("reception", "TRIED_EMAIL_RECEPTION_LOCAL", domain=domain)
        return
    rule = next((rule for rule in hub.receipt_rules() if rule.get("Enabled") and covers(rule, domain)), None)
    if rule is None:
        raise RemoteError("MAIL_RULE_MISSING", domain=domain)
    sender = hub.settings.mail_from.rpartition("@")[2]
    if not hub.signs_mail(sender):
        course.warned("reception", "MAIL_ANSWERS_UNSIGNED", domain=sender, rule=rule["Name"])
        return
    course.done("reception", domain=domain, rule=rule["Name"], sender=sender)


def covers(rule: dict[str, object], domain: str) -> bool:
    """A rule without recipients takes what any verified domain gets; one for `.in.example` takes its subdomains."""
    recipients = rule.get("Recipients") or [domain]
    assert isinstance(recipients, list)
    return any(domain == one or (one.startswith(".") and domain.endswith(one)) for one in recipients)


def seen(hub: "Hub", program: Program, source: Source, verdict: Verdict) -> bool:
    """A mail came to the source: ticks the step of a trial that waits for it. True where it was sent for that alone."""
    state = hub.state(program.id, source.name)
    trial = Trial.kept(state)
    now = hub.now()
    if trial is None or trial.next is None or trial.state(now) != WAITING:
        return False
    step = trial.next.name
    match verdict:
        case mail.Quiet(why):
            trial.settle(step, WAITING, reason(why), now, trial.next.details)
            trial.keep(state)
            return False
        case mail.Unread(_, why) | mail.Held(_, mail.AUTOMATIC as why):
            trial.settle(step, WAITING, NOT_READ[why], now, trial.next.details)
            trial.keep(state)
            return False
        case mail.Held(found):
            trial.settle(step, FAILED, "MAIL_SEEN_HELD", now, {"sender": found.sender})
        case mail.Rejected(_, found) | (mail.Accepted() as found):
            trial.settle(step, "done", "TRIED_EMAIL_MAIL", now, {"sender": found.sender, "count": len(found.files)})
    trial.finished_at = now
    trial.keep(state)
    return WORDS in found.subject.casefold() or not found.files


def reason(why: str) -> str:
    """The code of the sentence for why a mail was dropped."""
    return "MAIL_DROPPED_" + re.sub(r"[^A-Z]+", "_", why.upper())
