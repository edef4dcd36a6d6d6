"""Steps for a mail source: address, reception, signed replies, then a real mail that a person sends."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from retour.channels import mail
from retour.connection_test.steps import FAILED, WAITING, ConnectionTest, StepRecorder
from retour.domain.program import Program, Source
from retour.remote import RemoteError
from retour.setup.credentials import access_info

if TYPE_CHECKING:
    from retour.wiring import Hub

MAIL_WAIT = timedelta(minutes=10)
TEST_SUBJECT = "retour test"
"""Subject of a test mail, whose files are not ingested."""
UNREAD_CODES = {
    mail.HELD_AUTOMATIC: "MAIL_DROPPED_AN_AUTOMATIC_REPLY",
    mail.LISTED_UNPROVEN: "MAIL_DROPPED_NOTHING_TO_HOLD",
    mail.LISTED_INFECTED: "MAIL_DROPPED_THE_VIRUS_SCAN_DID_NOT_PASS",
}
MailVerdict = mail.AcceptedMail | mail.HeldMail | mail.RejectedMail | mail.UnreadMail | mail.DroppedMail


def run_steps(hub: "Hub", program: Program, source: Source, recorder: StepRecorder) -> None:
    tokens = address_tokens(hub, program, source)
    if not hub.settings.mail_domain or not hub.settings.receives_mail:
        raise RemoteError("MAIL_NOT_OFFERED")
    shown = access_info(hub, program, source)["address"]
    recorder.record_done("address", address=shown, count=len(tokens))

    senders = source.options["allow_from"]
    recorder.record_done("senders", count=len(senders), senders=", ".join(senders))

    check_reception(hub, recorder)
    recorder.record_waiting(
        "mail", "WAITING_EMAIL_MAIL", hub.now() + MAIL_WAIT, address=shown, senders=", ".join(senders)
    )


def address_tokens(hub: "Hub", program: Program, source: Source) -> list[str]:
    """The valid tokens of the source's addresses. Raises RemoteError if there are none."""
    tokens: list[str] = hub.secret(program.id, source.name).get("tokens", [])
    if not tokens:
        raise RemoteError("MAIL_WITHOUT_ADDRESS", source=source.name)
    return tokens


def check_reception(hub: "Hub", recorder: StepRecorder) -> None:
    """Check that mail for the domain reaches us, and that our replies are signed."""
    domain = hub.settings.mail_domain
    if hub.settings.receives_mail == "smtp":
        recorder.record_done("reception", "TRIED_EMAIL_RECEPTION_LOCAL", domain=domain)
        return
    rule = next((rule for rule in hub.receipt_rules() if rule.get("Enabled") and covers_domain(rule, domain)), None)
    if rule is None:
        raise RemoteError("MAIL_RULE_MISSING", domain=domain)
    sender = hub.settings.mail_from.rpartition("@")[2]
    if not hub.is_mail_signed(sender):
        recorder.record_warning("reception", "MAIL_ANSWERS_UNSIGNED", domain=sender, rule=rule["Name"])
        return
    recorder.record_done("reception", domain=domain, rule=rule["Name"], sender=sender)


def covers_domain(rule: dict[str, object], domain: str) -> bool:
    """Whether an SES rule covers a domain: without recipients all domains, with `.in.example` its subdomains."""
    recipients = rule.get("Recipients") or [domain]
    assert isinstance(recipients, list)
    return any(domain == one or (one.startswith(".") and domain.endswith(one)) for one in recipients)


def record_mail(hub: "Hub", program: Program, source: Source, verdict: MailVerdict) -> bool:
    """Complete the step of a test that waits for a mail. True if the mail was sent only for the test."""
    state = hub.state(program.id, source.name)
    trial = ConnectionTest.load(state)
    now = hub.now()
    if trial is None or trial.current_step is None or trial.state(now) != WAITING:
        return False
    step = trial.current_step.name
    match verdict:
        case mail.DroppedMail(why):
            trial.set_step(step, WAITING, drop_code(why), now, trial.current_step.details)
            trial.save(state)
            return False
        case mail.UnreadMail(_, why) | mail.HeldMail(_, mail.HELD_AUTOMATIC as why):
            trial.set_step(step, WAITING, UNREAD_CODES[why], now, trial.current_step.details)
            trial.save(state)
            return False
        case mail.HeldMail(found):
            trial.set_step(step, FAILED, "MAIL_SEEN_HELD", now, {"sender": found.sender})
        case mail.RejectedMail(_, found) | (mail.AcceptedMail() as found):
            trial.set_step(step, "done", "TRIED_EMAIL_MAIL", now, {"sender": found.sender, "count": len(found.files)})
    trial.finished_at = now
    trial.save(state)
    return TEST_SUBJECT in found.subject.casefold() or not found.files


def drop_code(why: str) -> str:
    """The code of the sentence for a rejected mail."""
    return "MAIL_DROPPED_" + re.sub(r"[^A-Z]+", "_", why.upper())
