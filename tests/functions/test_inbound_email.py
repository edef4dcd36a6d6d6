"""inbound_email and file_drop through their front doors: SES's event in, and the ledger and the answer after."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from types import SimpleNamespace
from typing import Any

import pytest
from functions.file_drop import app as file_drop
from functions.inbound_email import app
from tests.conftest import PROGRAM, ProgramHarness

from local.smtp import Mail, ses_event, with_ses_headers
from retour.intake import encrypted_files
from retour.intake import mail as take
from retour.intake.decision import discard_delivery, release_delivery
from retour.replies.send import send_reply
from retour.store.deliveries import DeliveryHeader

OLD, TOKEN = "old4old4old4old4old4old4", "k3xk3xk3xk3xk3xk3xk3xk3x"
ROWS = b"reference,order_id,change,amount\r\nR-1,A-1,set_total,80.00\r\nR-2,A-1,set_total,1e5\r\n"
CONTEXT = SimpleNamespace(
    function_name="inbound_email",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:inbound_email",
    aws_request_id="1",
)


class Mailbox:
    """The mail address of a source, and what comes of mails to it."""

    def __init__(self, house: ProgramHarness) -> None:
        self.house, self.count, self.sent = house, 0, list[tuple[bytes, str, list[str]]]()
        self.address = f"{house.program}.post.{TOKEN}@in.retour.test"

    def setting(self, **options: Any) -> None:
        """Only listed senders may write here, whatever else is set."""
        source = {"channel": "email", "options": {"allow_from": ["returns@shop.example"], **options}}
        self.house.apply({**copy.deepcopy(PROGRAM), "sources": {**PROGRAM["sources"], "post": source}})

    def take(
        self,
        *files: tuple[str, bytes],
        to: str = "",
        sender: str = "returns@shop.example",
        envelope: str = "bounces@shop.example",
        times: int = 1,
        **headers: str,
    ) -> list[DeliveryHeader]:
        """The deliveries a mail becomes, after everything it sets off."""
        message = EmailMessage()
        message["From"] = sender
        message["Subject"] = "May"
        message["Message-ID"] = f"<{self.count}@shop.example>"
        for name, value in headers.items():
            message[name.replace("_", "-")] = value
        message.set_content("attached\n")
        for name, content in files:
            message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
        return self.arrives(message.as_bytes(policy=SMTP), to or self.address, envelope, times)

    def arrives(
        self, raw: bytes, to: str, envelope: str = "bounces@shop.example", times: int = 1
    ) -> list[DeliveryHeader]:
        self.count += 1
        mail = Mail(
            id=f"{self.house.program}-{self.count}",
            sender=envelope,
            recipients=(to,),
            raw=raw,
            peer="192.0.2.1",
            helo="mx",
            received_at=datetime(2026, 11, 3, 9, 0, self.count, 123456, tzinfo=UTC),
        )
        inbox = self.house.hub.inbox
        inbox.put(f"mail/{mail.id}", with_ses_headers(mail))
        before = set(self.files())
        for _ in range(times):
            app.handler(ses_event(mail), CONTEXT)
            for key in sorted(set(self.files()) - before):
                file_drop.handler({"source": "aws.s3", "detail": {"object": {"key": key}}}, CONTEXT)
        deliveries = self.house.hub.deliveries(self.house.program)
        found = [deliveries.get(key.split("/")[3]) for key in sorted(set(self.files()) - before)]
        return [header for header in found if header]

    def files(self) -> list[str]:
        return list(self.house.hub.inbox.keys(f"email/{self.house.program}/"))

    def answers(self) -> list[EmailMessage]:
        """The mails that answering what was asked for sends."""
        from email import message_from_bytes, policy

        asked = [message for queue, message in self.house.sent if queue == "answers"]
        self.house.sent.clear()
        for message in asked:
            send_reply(self.house.hub, message)
        mails = [message_from_bytes(raw, policy=policy.default) for raw, _, _ in self.sent]
        self.sent.clear()
        return [mail for mail in mails if isinstance(mail, EmailMessage)]


@pytest.fixture
def mailbox(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    mailbox = Mailbox(house)
    mailbox.setting()
    house.hub.secrets.put(house.program, "post", {"tokens": [OLD, TOKEN]})
    house.report({"order_id": "A-1", "amount": "100.00", "currency": "EUR"})
    monkeypatch.setattr(app, "hub", lambda: house.hub)
    monkeypatch.setattr(file_drop, "hub", lambda: house.hub)
    monkeypatch.setattr(house.hub, "real_now", lambda: house.clock.moment)
    monkeypatch.setattr(house.hub, "now", lambda: house.clock.moment)
    monkeypatch.setattr(house.hub, "send_mail", lambda raw, sender, to: mailbox.sent.append((raw, sender, list(to))))
    return mailbox


def amount(house: ProgramHarness) -> int:
    [(left, _, _)] = house.payouts("A-1").values()
    return left


def test_a_mailed_file_changes_the_action_and_is_answered(mailbox: Mailbox) -> None:
    [header] = mailbox.take(("may.csv", ROWS))
    delivery = header.delivery
    assert (header.state, header.report["counts"]) == ("done", {"applied": 1, "refused": 1})
    assert amount(mailbox.house) == 8000
    assert delivery.received_at == datetime(2026, 11, 3, 9, 0, 1, 123000, tzinfo=UTC)
    assert (delivery.name, delivery.sender, delivery.size) == ("may.csv", "returns@shop.example", len(ROWS))
    [answer] = mailbox.answers()
    assert (answer["To"], answer["In-Reply-To"]) == ("returns@shop.example", "<0@shop.example>")
    [rejected] = answer.iter_attachments()
    assert rejected.get_filename() == "rejected_may.csv"
    assert rejected.get_content() == ROWS.replace(b"R-1,A-1,set_total,80.00\r\n", b"")


def test_told_twice_it_is_taken_once(mailbox: Mailbox) -> None:
    [header] = mailbox.take(("may.csv", ROWS), times=3)
    assert (header.state, header.report["counts"]) == ("done", {"applied": 1, "refused": 1})
    assert len(mailbox.answers()) == 1


def body_of(answer: EmailMessage) -> str:
    body = answer.get_body()
    assert body is not None
    return " ".join(str(body.get_content()).split())


def test_a_file_mailed_again_is_answered_with_what_became_of_the_first(mailbox: Mailbox) -> None:
    rows = ROWS.replace(b"R-2,A-1,set_total,1e5", b"R-2,A-9,reverse,")
    [first] = mailbox.take(("may.csv", rows))
    mailbox.answers()
    before = amount(mailbox.house)
    [second] = mailbox.take(("copy.csv", rows))
    assert second.report["counts"] == {"duplicate": 2} and amount(mailbox.house) == before
    [answer] = mailbox.answers()
    text = body_of(answer)
    day = "3 November 2026, 10:00 (Berlin)"
    assert f"exactly this file on {day}, as delivery {first.delivery.id}. Nothing in it was counted again." in text
    assert "2 already known" in text
    assert "the first time: 1 applied 1 waiting for their order" in text


def test_rows_mailed_again_among_others_are_told_apart(mailbox: Mailbox) -> None:
    [first] = mailbox.take(("may.csv", ROWS))
    mailbox.answers()
    mailbox.take(("june.csv", ROWS.replace(b"R-2,A-1,set_total,1e5", b"R-3,A-1,set_total,70.00")))
    text = body_of(mailbox.answers()[0])
    assert "exactly this file" not in text and "1 already known" in text
    assert f"already received on 3 November 2026, 10:00 (Berlin), in delivery {first.delivery.id}, and were not" in text
    assert "the first time: 1 applied Delivery" in text


def test_a_file_without_references_mailed_again_says_what_its_rows_look_like(mailbox: Mailbox) -> None:
    rows = b"order_id,change,amount\r\nA-1,take_back,5.00\r\n"
    [first] = mailbox.take(("may.csv", rows))
    mailbox.answers()
    before = amount(mailbox.house)
    [second] = mailbox.take(("may.csv", rows))
    assert second.report["counts"] == {"held": 1} and amount(mailbox.house) == before
    text = body_of(mailbox.answers()[0])
    assert f"exactly this file on 3 November 2026, 10:00 (Berlin), as delivery {first.delivery.id}" in text
    assert f"in delivery {first.delivery.id}: 1. They do not count until somebody at " in text


def test_an_address_named_twice_is_one(mailbox: Mailbox) -> None:
    labelled = mailbox.address.replace("@", "+may@")
    told = take.addressed_sources(mailbox.house.hub, [mailbox.address, labelled])
    assert [program.id for program, _ in told] == [mailbox.house.program]


def test_a_label_of_the_senders_own_is_put_up_with(mailbox: Mailbox) -> None:
    [header] = mailbox.take(("may.csv", ROWS), to=mailbox.address.replace("@", "+may-2026@"))
    assert header.state == "done"


def test_each_file_is_a_delivery(mailbox: Mailbox) -> None:
    headers = mailbox.take(
        ("1.csv", ROWS), ("2.csv", ROWS.replace(b"80", b"70")), ("copy.csv", ROWS), ("x.pdf", b"%PDF-1.7")
    )
    assert sorted((header.delivery.name, header.state) for header in headers) == [
        ("1.csv", "done"),
        ("2.csv", "done"),
    ]
    assert {"ignored copy.csv": 1, "ignored x.pdf": 1}.items() <= headers[0].report["skipped"].items()


def test_either_live_token_opens_in_any_case(mailbox: Mailbox) -> None:
    for token in (OLD, TOKEN.upper()):
        assert mailbox.take(("may.csv", ROWS), to=mailbox.address.replace(TOKEN, token))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda mailbox: {"to": mailbox.address.replace(TOKEN, "x" * 24)},
        lambda mailbox: {"to": mailbox.address.replace(".post.", ".warehouse.")},
        lambda mailbox: {"to": mailbox.address.replace(".post.", ".nosuch.")},
        lambda mailbox: {"to": mailbox.address.replace(mailbox.house.program, "nosuch")},
        lambda mailbox: {"to": "postmaster@in.retour.test"},
        lambda mailbox: {"sender": "stranger@shop.example"},
        lambda mailbox: {"sender": "stranger@shop.example", "envelope": ""},
    ],
    ids=["token", "channel", "source", "program", "address", "sender", "bounce"],
)
def test_what_is_not_believed_leaves_nothing_and_hears_nothing(
    mailbox: Mailbox, wrong: Callable[[Mailbox], dict[str, Any]]
) -> None:
    assert mailbox.take(("may.csv", ROWS), **wrong(mailbox)) == []
    assert mailbox.answers() == []
    assert amount(mailbox.house) == 10000


@pytest.mark.parametrize("accepts", [False, True])
def test_an_unproved_mail_of_an_allowed_sender_waits_for_a_person(mailbox: Mailbox, accepts: bool) -> None:
    mailbox.setting(accept_unauthenticated=accepts)
    [header] = mailbox.take(("may.csv", ROWS), envelope="bounces@other.example")
    assert (header.state, header.delivery.held) == ("held", "UNAUTHENTICATED")
    assert amount(mailbox.house) == 10000
    assert mailbox.answers() == [], "nobody knows whose it is"
    release_delivery(mailbox.house.hub, header.delivery, mailbox.house.hub.now())
    assert amount(mailbox.house) == 8000
    mailbox.house.hub.send(
        "answers", {"program": mailbox.house.program, "delivery": header.delivery.id, "what": "batch"}
    )
    [answer] = mailbox.answers()
    assert answer["To"] == "returns@shop.example"


@pytest.mark.parametrize("verdict", ["dmarcVerdict", "virusVerdict"])
@pytest.mark.parametrize("said", ["PROCESSING_FAILED", "GRAY"])
@pytest.mark.parametrize("files", [1, 0])
def test_d12_what_could_not_be_checked_is_held_listed_and_answered_to_nobody(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, verdict: str, said: str, files: int
) -> None:
    real = ses_event

    def doubtful(mail: Mail) -> dict[str, Any]:
        told = real(mail)
        told["Records"][0]["ses"]["receipt"][verdict] = {"status": said}
        return told

    monkeypatch.setitem(Mailbox.arrives.__globals__, "ses_event", doubtful)
    envelope = "bounces@other.example" if verdict == "dmarcVerdict" else "bounces@shop.example"
    [header] = mailbox.take(*[("may.csv", ROWS)] * files, envelope=envelope)
    assert (header.state, header.delivery.held) == ("held", "MAIL_UNCHECKED")
    house = mailbox.house
    [(listed, doc)] = house.hub.deliveries(house.program).due("held")
    assert (listed, doc["code"]) == (header.delivery.id, "MAIL_UNCHECKED")
    assert mailbox.answers() == [] and amount(house) == 10000
    stranger = mailbox.take(("may.csv", ROWS), sender="stranger@shop.example", envelope=envelope)
    assert stranger == [], "of nobody on the list"
    if files:
        release_delivery(house.hub, header.delivery, house.hub.now())
        assert amount(house) == 8000
    else:
        discard_delivery(house.hub, header.delivery)
        house.hub.send("answers", {"program": house.program, "delivery": header.delivery.id, "what": "batch"})
        assert mailbox.answers() == []


@pytest.mark.parametrize(
    ("how", "code"),
    [({"Auto_Submitted": "auto-replied"}, "MAIL_AUTOMATIC"), ({"envelope": ""}, "MAIL_AUTOMATIC")],
    ids=["absence note", "bounce"],
)
def test_what_looks_like_an_automatic_answer_is_held_with_a_file_and_listed_without(
    mailbox: Mailbox, how: dict[str, Any], code: str
) -> None:
    [header] = mailbox.take(("may.csv", ROWS), **how)
    house = mailbox.house
    assert (header.state, header.delivery.held) == ("held", code)
    assert mailbox.answers() == [] and amount(house) == 10000
    release_delivery(house.hub, header.delivery, house.hub.now())
    house.hub.send("answers", {"program": house.program, "delivery": header.delivery.id, "what": "batch"})
    assert amount(house) == 8000 and mailbox.answers() == [], "not even then: it could go round for ever"
    assert mailbox.take(times=2, **how) == []
    [listed] = [one for one in newest(house) if one.delivery.name == "mail.eml"]
    assert (listed.state, listed.report["code"]) == ("ignored", code)
    assert mailbox.answers() == [] and not list(house.hub.deliveries(house.program).open())


@pytest.mark.parametrize("files", [1, 0])
def test_of_many_mails_that_nothing_proves_the_first_of_a_day_are_listed(mailbox: Mailbox, files: int) -> None:
    house = mailbox.house
    for _ in range(take.UNREAD_LISTED_PER_DAY + 4):
        mailbox.take(*[("may.csv", ROWS)] * files, envelope="bounces@evil.example", times=2)
    state, code = ("held", "UNAUTHENTICATED") if files else ("refused", "MAIL_UNPROVEN")
    told = [(one.state, one.report["code"]) for one in newest(house) if one.delivery.sender]
    assert sorted(told) == sorted([(state, code)] * take.UNREAD_LISTED_PER_DAY + [("refused", "MAILS_NOT_LISTED")])
    kept = list(house.hub.inbox.keys(f"raw/mail/{house.program}-"))
    assert len(kept) == take.UNREAD_LISTED_PER_DAY + 4, "not listed, and not lost"
    assert mailbox.answers() == [] and amount(house) == 10000
    assert mailbox.take(("may.csv", ROWS))[0].state == "done", "what is proven is read beside them"


def test_a_mail_with_a_virus_is_listed_and_not_read(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ses_event

    def infected(mail: Mail) -> dict[str, Any]:
        told = real(mail)
        told["Records"][0]["ses"]["receipt"]["virusVerdict"] = {"status": "FAIL"}
        return told

    monkeypatch.setitem(Mailbox.arrives.__globals__, "ses_event", infected)
    assert mailbox.take(("may.csv", ROWS)) == []
    [header] = newest(mailbox.house)
    assert (header.state, header.report["code"]) == ("refused", "MAIL_INFECTED")
    assert mailbox.answers() == []


def newest(house: ProgramHarness) -> list[DeliveryHeader]:
    found = house.hub.deliveries(house.program).newest("20261103", most=100)
    return [one for one in found if one.delivery.channel.value == "email"]


def test_a_mail_is_moved_away_once_its_files_are_announced(mailbox: Mailbox) -> None:
    mailbox.take(("may.csv", ROWS))
    inbox = mailbox.house.hub.inbox
    mine = f"{mailbox.house.program}-"
    assert list(inbox.keys(f"mail/{mine}")) == []
    [kept] = inbox.keys(f"raw/mail/{mine}")
    assert b"may.csv" in inbox.read(kept)


@pytest.mark.parametrize("at", ["retour.channels.mail.mail_files", "retour.channels.mail.Headers.text"])
def test_a_mail_that_no_worker_can_read_ends_refused_with_a_reference(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, at: str
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(at, lambda *_: (_ for _ in ()).throw(ValueError("an odd header")))
        assert mailbox.take(("may.csv", ROWS)) == []
    house = mailbox.house
    [header] = house.hub.deliveries(house.program).newest("20261103")
    assert (header.state, header.report["code"], header.delivery.name) == ("refused", "NOT_HANDLED", "mail.eml")
    reference = header.report["details"]["reference"]
    assert reference in [getattr(record, "reference", "") for record in caplog.records]
    assert b"may.csv" in house.hub.deliveries(house.program).body(header)
    assert mailbox.answers() == []
    assert [one.state for one in mailbox.take(("may.csv", ROWS))] == ["done"], "the next one is read"


def test_the_store_that_fails_loses_no_mail_and_the_sweep_takes_it_up(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = mailbox.house
    take.sweep_mails(house.hub, datetime.now(UTC) + timedelta(hours=1))  # What others left in the one bucket.
    for failing in ("retour.intake.mail.announce_file", "retour.intake.mail.claim_receipt_time"):
        with monkeypatch.context() as down:
            down.setattr(failing, lambda *_: (_ for _ in ()).throw(TimeoutError()))
            with pytest.raises(TimeoutError):
                mailbox.take(("may.csv", ROWS))
    later = datetime.now(UTC) + timedelta(hours=1)
    assert take.sweep_mails(house.hub, datetime.now(UTC) - timedelta(hours=1))["mails"] == 0, "its event may still come"
    assert take.sweep_mails(house.hub, later) == {"mails": 2}
    for key in mailbox.files():
        file_drop.handler({"source": "aws.s3", "detail": {"object": {"key": key}}}, CONTEXT)
    assert amount(house) == 8000
    assert take.sweep_mails(house.hub, later) == {}


@pytest.mark.parametrize(
    ("verdict", "held"),
    [("pass", ""), ("none", "MAIL_UNCHECKED"), ("temperror", "MAIL_UNCHECKED"), ("fail", "UNAUTHENTICATED")],
)
def test_a_swept_mail_is_believed_by_its_topmost_headers_alone(mailbox: Mailbox, verdict: str, held: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Message-ID"] = "returns@shop.example", "undisclosed:;", "<s@shop.example>"
    message["Authentication-Results"] = "amazonses.com; dmarc=pass header.from=shop.example"
    message.set_content("attached\n")
    message.add_attachment(ROWS, maintype="text", subtype="csv", filename="may.csv")
    top = (
        "Return-Path: <bounces@shop.example>\r\n"
        f"Received: from mx by inbound-smtp.amazonaws.com with SMTP id 1\r\n for {mailbox.address}; Tue, 3 Nov 2026\r\n"
        "X-SES-Virus-Verdict: PASS\r\n"
        f"Authentication-Results: amazonses.com; dmarc={verdict} header.from=shop.example\r\n"
    )
    house = mailbox.house
    house.hub.inbox.put(f"mail/{house.program}-swept", top.encode() + message.as_bytes(policy=SMTP))
    take.sweep_mails(house.hub, datetime.now(UTC) + timedelta(hours=1))
    found = [house.hub.deliveries(house.program).get(key.split("/")[3]) for key in mailbox.files()]
    assert [header.delivery.held for header in found if header] == [held]


def test_a_mail_without_a_file_is_a_refused_delivery_with_an_answer(mailbox: Mailbox) -> None:
    [header] = mailbox.take()
    assert (header.state, header.report["code"], header.delivery.name) == ("refused", "MAIL_WITHOUT_FILE", "mail.eml")
    [answer] = mailbox.answers()
    body = answer.get_body()
    assert body is not None
    assert "Attach the file itself" in body.get_content()


def test_a_program_s_mail_is_taken_and_not_answered(mailbox: Mailbox) -> None:
    [header] = mailbox.take(("may.csv", ROWS), Auto_Submitted="auto-generated")
    assert header.state == "done"
    assert mailbox.answers() == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\x78\x9f\x3e\x22\x01\x00", "FILE_WINMAIL"),
        (b"-----BEGIN PGP MESSAGE-----\n", "PGP_DAMAGED"),
        (b"order_id,skuu,change\n", "UNKNOWN_COLUMN"),
    ],
)
def test_files_that_cannot_be_read_are_answered_in_words(mailbox: Mailbox, content: bytes, code: str) -> None:
    [header] = mailbox.take(("winmail.dat", content))
    assert (header.state, header.report["code"]) == ("refused", code)
    [answer] = mailbox.answers()
    assert "not processed" in str(answer.get_body())


def test_bytes_that_are_no_text_come_back_as_they_were(mailbox: Mailbox) -> None:
    content = "order_id,change,note\r\nA-1,approve,Größe\r\n".encode("cp1252")
    [header] = mailbox.take(("may.csv", content))
    assert header.report["counts"] == {"refused": 1}
    [answer] = mailbox.answers()
    [rejected] = answer.iter_attachments()
    assert rejected.get_content() == content


# Signed with OpenPGP


def keys_of(mailbox: Mailbox) -> tuple[Any, Any]:
    """The public key that the source gives out, and the sender's own pair, registered there."""
    pgp = pytest.importorskip("retour.files.pgp")
    pysequoia = pytest.importorskip("pysequoia")
    sender = pgp.make_key_pair("sender")
    mailbox.setting(signers=[sender.public])
    made = encrypted_files.create_key(mailbox.house.hub, mailbox.house.program, "post")
    return pysequoia.Cert.from_bytes(made["public_key"].encode()), pysequoia.Tsk.from_bytes(sender.secret.encode())


def sealed(content: bytes, recipient: Any, sender: Any = None) -> bytes:
    import pysequoia

    signer = sender.signer() if sender else None
    made: bytes = pysequoia.encrypt(signer=signer, recipients=[recipient], bytes=content, armor=True)
    return made


def unproved(mailbox: Mailbox, *files: tuple[str, bytes], **more: Any) -> list[DeliveryHeader]:
    """A mail that DMARC does not prove."""
    return mailbox.take(*files, envelope="nobody@elsewhere.example", **more)


def test_a_file_signed_by_a_registered_key_proves_itself_once(mailbox: Mailbox) -> None:
    recipient, sender = keys_of(mailbox)
    signed = sealed(ROWS, recipient, sender)
    [header] = unproved(mailbox, ("may.csv.pgp", signed), times=2)
    assert (header.state, header.report["counts"]) == ("done", {"applied": 1, "refused": 1})
    assert amount(mailbox.house) == 8000
    [answer] = mailbox.answers()
    assert not list(answer.iter_attachments()), "what came encrypted does not go back in the clear"
    for files in (
        [("may.csv.pgp", signed)],
        [("may.csv.pgp", sealed(ROWS, recipient))],
        [("may.csv", ROWS)],
        [("june.csv.pgp", sealed(ROWS + b"\r\n", recipient, sender)), ("may.csv", ROWS)],
    ):
        assert [one.state for one in unproved(mailbox, *files)] == ["held"] * len(files)
    assert unproved(mailbox, ("july.csv.pgp", sealed(ROWS + b"\n", recipient, sender)), sender="eve@shop.example") == []


def test_a_signed_file_that_comes_again_is_held_where_the_source_holds(mailbox: Mailbox) -> None:
    recipient, sender = keys_of(mailbox)
    signers = mailbox.house.hub.programs.get(mailbox.house.program).sources["post"].options["signers"]  # type: ignore[union-attr]
    mailbox.setting(signers=signers, accept_unauthenticated=True)
    [first] = unproved(mailbox, ("may.csv.pgp", sealed(ROWS, recipient, sender)))
    [again] = unproved(mailbox, ("may.csv.pgp", sealed(ROWS, recipient, sender)))
    assert (first.state, again.state) == ("done", "held")


def test_several_files_of_a_mail_are_answered_together(mailbox: Mailbox) -> None:
    june = ROWS.replace(b"R-", b"J-").replace(b"80.00", b"70.00")
    mailbox.take(("may.csv", ROWS), ("june.csv", june), ("logo.png", b"\x89PNG\r\n"), ("terms.txt", b"We ask you to"))
    (answer,) = mailbox.answers()
    body = answer.get_body()
    assert body is not None
    text = body.get_content()
    assert text.count("2  Rows in total") == 2 and text.count("1  refused") == 2
    assert "may.csv" in text and "june.csv" in text and "files with rows: logo.png, terms.txt" in text
    names = sorted(str(part.get_filename()) for part in answer.iter_attachments())
    assert names == ["rejected_june.csv", "rejected_may.csv"]
    assert mailbox.answers() == []


def test_the_charset_that_a_part_declares_counts(mailbox: Mailbox) -> None:
    rows = "reference,order_id,change,amount,note\r\nR-1,A-1,set_total,80.00,Größe passt nicht\r\n".encode("cp1252")
    raw = (
        b"From: returns@shop.example\r\nMessage-ID: <c@shop.example>\r\nSubject: May\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/csv; charset=windows-1252; name=may.csv\r\n"
        b"Content-Disposition: attachment; filename=may.csv\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + rows
    )
    (header,) = mailbox.arrives(raw, mailbox.address)
    assert header.report["counts"] == {"applied": 1}


@pytest.mark.parametrize("name", ["bad_subject", "bad_filename"])
def test_headers_in_charsets_that_are_none_bring_their_file(mailbox: Mailbox, name: str) -> None:
    wrong = {"bad_subject": b"Subject: =?\xc3\xbctf-8?q?May?=\r\n", "bad_filename": b"Subject: May\r\n"}[name]
    named = {"bad_subject": b"filename=x.csv", "bad_filename": b"filename*=idna''%ff.csv"}[name]
    raw = (
        b"From: returns@shop.example\r\nMessage-ID: <b@shop.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/csv\r\n"
        + wrong
        + b"Content-Disposition: attachment; "
        + named
        + b"\r\n\r\n"
        + ROWS
    )
    (header,) = mailbox.arrives(raw, mailbox.address)
    assert header.report["counts"] == {"applied": 1, "refused": 1}
    (answer,) = mailbox.answers()
    assert answer["Subject"] == "Re: May"
