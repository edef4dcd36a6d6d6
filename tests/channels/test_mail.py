"""Which mails are believed, which files are found in them, and what the answer says and does not say."""

import base64
import binascii
import gzip
import io
import quopri
import struct
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retour.channels import mail
from retour.channels.mail import (
    AcceptedMail,
    Address,
    DroppedMail,
    FileSummary,
    HeldMail,
    RejectedMail,
    RepeatedRows,
    UnreadMail,
)
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.sentences import LANGUAGES

ROWS = b"order_id,change\r\nA-1,reverse\r\n"
TOP = (
    "Return-Path: <bounces@shop.example>\r\n"
    "Received: from mx.shop.example (mx.shop.example [192.0.2.1]) by inbound-smtp.eu-west-1.amazonaws.com\r\n"
    " with SMTP id 8f2 for acme.mail.k3x@in.retour.test; Mon, 02 Nov 2026 09:00:00 +0000 (UTC)\r\n"
    "X-SES-Spam-Verdict: PASS\r\n"
    "Authentication-Results: amazonses.com;\r\n"
    " spf=pass (spfCheck: domain of shop.example) client-ip=192.0.2.1; envelope-from=bounces@shop.example;\r\n"
    " dkim=pass header.i=@shop.example;\r\n"
    " dmarc={verdict} (p=none; dis=none) header.from={domain};\r\n"
)


def source(**options: Any) -> Source:
    return Source(name="mail", channel=Channel.EMAIL, options={"allow_from": ["Returns@shop.example"], **options})


def letter(attach: bool = True, **headers: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = headers.pop("From", "Jane at the shop <returns@shop.example>")
    message["To"] = "acme.mail.k3x@in.retour.test"
    message["Subject"] = "May returns"
    message["Message-ID"] = "<m1@shop.example>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("Please find the file attached.\n")
    if attach:
        message.add_attachment(ROWS, maintype="text", subtype="csv", filename="may.csv")
    return message


def stamped(message: Any, verdict: str = "pass", domain: str = "shop.example", top: str = TOP) -> bytes:
    content = message if isinstance(message, bytes) else message.as_bytes(policy=policy.SMTP)
    return top.format(verdict=verdict, domain=domain).encode() + content


def is_unproven(found: Any) -> bool:
    return isinstance(found, HeldMail) and (found.why, found.told_once) == ("UNAUTHENTICATED", True)


def is_automatic(found: Any) -> bool:
    return isinstance(found, HeldMail) and (found.why, found.mail.automatic) == ("MAIL_AUTOMATIC", True)


def screen(raw: bytes, **more: Any) -> AcceptedMail | HeldMail | RejectedMail | UnreadMail | DroppedMail:
    given = {"source": source(), "envelope_sender": "bounces@shop.example", "domain": "in.retour.test", **more}
    return mail.screen_mail(raw, **given)


def accepted(raw: bytes, **more: Any) -> AcceptedMail:
    found = screen(raw, **more)
    assert isinstance(found, AcceptedMail), found
    return found


# Addresses


@pytest.mark.parametrize(
    ("recipient", "found"),
    [
        ("acme.mail.k3xk3xk3xk3xk3xk3xk3x2@in.retour.test", Address("acme", "mail", "k3xk3xk3xk3xk3xk3xk3x2")),
        ("ACME.Mail.K3XK3XK3XK3XK3XK3XK3X2@IN.Retour.Test", Address("acme", "mail", "k3xk3xk3xk3xk3xk3xk3x2")),
        ("<acme.mail.k3xk3xk3xk3xk3xk3xk3x2+may@in.retour.test>", Address("acme", "mail", "k3xk3xk3xk3xk3xk3xk3x2")),
        ("acme.mail.k3xk3xk3xk3xk3xk3xk3x2@elsewhere.test", None),
        ("acme.mail@in.retour.test", None),
        ("acme.mail.short@in.retour.test", None),
        ("", None),
    ],
)
def test_addresses(recipient: str, found: Address | None) -> None:
    assert mail.parse_address(recipient, "in.retour.test") == found


def test_two_tokens_may_be_live() -> None:
    assert mail.has_live_token("new", ["old", "NEW"])
    assert mail.has_live_token("old", ["old", "new"])
    assert not mail.has_live_token("älter", ["old", "new"])
    assert not mail.has_live_token("", [])


# Belief


def test_a_believed_mail_brings_its_file() -> None:
    found = accepted(stamped(letter()), dmarc="PASS", virus="PASS")
    assert (found.sender, found.message_id, found.subject) == (
        "returns@shop.example",
        "<m1@shop.example>",
        "May returns",
    )
    assert [(file.name, file.content) for file in found.files] == [("may.csv", ROWS)]
    assert not found.automatic


@pytest.mark.parametrize("verdict", ["fail", "none", "temperror", "bestguesspass", "passed"])
def test_without_dmarc_it_is_held(verdict: str) -> None:
    raw = stamped(letter(), verdict)
    for accepts in (False, True):
        held = screen(raw, source=source(accept_unauthenticated=accepts))
        assert isinstance(held, HeldMail)
        assert (held.why, held.told_once, held.mail.files[0].content) == ("UNAUTHENTICATED", not accepts, ROWS)


def test_the_receiver_s_own_verdict_beside_the_mail_takes_belief_away() -> None:
    assert is_unproven(screen(stamped(letter()), dmarc="FAIL"))
    assert screen(stamped(letter()), virus="FAIL") == UnreadMail("returns@shop.example", "MAIL_INFECTED")


@pytest.mark.parametrize("verdict", ["GRAY", "PROCESSING_FAILED"])
@pytest.mark.parametrize("of", ["dmarc", "virus"])
def test_what_the_receiver_could_not_check_is_held_of_an_allowed_sender(verdict: str, of: str) -> None:
    held = screen(stamped(letter()), **{of: verdict})
    assert isinstance(held, HeldMail) and (held.why, held.mail.files[0].content) == ("MAIL_UNCHECKED", ROWS)
    stranger = letter(From="stranger@shop.example")
    assert screen(stamped(stranger), **{of: verdict}) == DroppedMail("the From is not on the source's list")
    assert isinstance(screen(stamped(letter(attach=False)), **{of: verdict}), HeldMail)


DMARC = "dmarc={verdict} (p=none; dis=none) header.from={domain}"
FORGED = "Authentication-Results: amazonses.com; dmarc=pass header.from=shop.example\r\n"


@pytest.mark.parametrize(
    "top",
    [
        TOP.format(verdict="fail", domain="shop.example") + FORGED,
        TOP.replace("amazonses.com;", "mx.evil.example;", 1) + FORGED,
        TOP.partition("Authentication-Results")[0] + "Received: from evil by evil\r\n" + FORGED,
        TOP.partition("Authentication-Results")[0],
        TOP.replace(DMARC, "dmarc=fail (dmarc=pass header.from=shop.example)"),
        TOP.replace(f" {DMARC};\r\n", ""),
        TOP.replace("client-ip=192.0.2.1", "smtp.mailfrom=x dmarc=pass header.from=shop.example").replace(DMARC, ""),
    ],
)  # fmt: skip
def test_forged_verdicts_are_not_believed(top: str) -> None:
    assert is_unproven(screen(stamped(letter(), top=top)))


def test_the_verdict_must_be_about_the_domain_of_the_from() -> None:
    assert is_unproven(screen(stamped(letter(), domain="evil.example")))


@pytest.mark.parametrize(
    "sender",
    [
        "other@shop.example",
        '"returns@shop.example" <evil@evil.example>',
        "returns@shop.example <evil@evil.example>",
        "=?utf-8?q?returns=40shop=2Eexample?= <evil@evil.example>",
    ],
)
def test_only_listed_senders(sender: str) -> None:
    assert screen(stamped(f"From: {sender}\r\n\r\n".encode())) == DroppedMail("the From is not on the source's list")


@pytest.mark.parametrize(
    "header",
    [
        b"From: \r\n",
        b"From: a@evil.example, evil@evil.example\r\n",
        b"From: ret\xffurns@shop.example\r\n",
        b"Subject: none\r\n",
    ],
)
def test_the_from_is_exactly_one_address(header: bytes) -> None:
    assert screen(stamped(header + b"\r\n")) == DroppedMail("the From is not exactly one address")


@pytest.mark.parametrize(
    "header",
    [
        b"From: returns@shop.example, evil@evil.example\r\n",
        b"From: returns@shop.example\r\nFrom: returns@shop.example\r\n",
        b"From: <returns@shop.example> <evil@evil.example>\r\n",
        b"From: returns@shop.example)evil@evil.example\r\n",
        b"From: group:returns@shop.example;\r\n",
    ],
)
def test_an_allowed_address_among_others_is_held_and_never_answered(header: bytes) -> None:
    raw = letter().as_bytes(policy=policy.SMTP)
    held = screen(stamped(header + raw[raw.index(b"Subject:") :]))
    assert isinstance(held, HeldMail) and held.mail.automatic and held.told_once, held
    assert (held.mail.sender, held.why) == ("returns@shop.example", "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "sender", ["RETURNS@Shop.Example", '"Doe, Jane" <returns@shop.example>', "returns@shop.example (Jane)"]
)
def test_ways_to_write_an_address(sender: str) -> None:
    message = letter()
    raw = message.as_bytes(policy=policy.SMTP).replace(b"Jane at the shop <returns@shop.example>", sender.encode())
    assert accepted(stamped(raw)).sender.lower() == "returns@shop.example"


# Loops


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-notified; x=1"},
        {"Precedence": "auto_reply"},
        {"Precedence": "junk"},
    ],
)  # fmt: skip
def test_automatic_replies_are_listed_and_those_with_a_file_held(headers: dict[str, Any]) -> None:
    assert is_automatic(screen(stamped(letter(**headers))))
    nothing = UnreadMail("returns@shop.example", "MAIL_AUTOMATIC", is_nothing=True)
    assert screen(stamped(letter(attach=False, **headers))) == nothing
    stranger = letter(From="stranger@shop.example", **headers)
    assert screen(stamped(stranger)) == DroppedMail("the From is not on the source's list")


def test_bounces_and_reports_are_held_and_never_answered() -> None:
    assert is_automatic(screen(stamped(letter()), envelope_sender=""))
    assert is_automatic(screen(stamped(letter()), envelope_sender="<>"))
    assert is_automatic(screen(stamped(letter(), top=TOP.replace("<bounces@shop.example>", "<>", 1))))
    report = MIMEMultipart("report", report_type="delivery-status")
    report["From"] = "returns@shop.example"
    report.attach(MIMEMessage(letter()))
    assert is_automatic(screen(stamped(report)))


def test_mails_of_our_own_domain_are_held_and_never_answered() -> None:
    raw = stamped(letter(From="returns@in.retour.test"), domain="in.retour.test")
    assert is_automatic(screen(raw, source=source(allow_from=["returns@in.retour.test"])))


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-generated"},
        {"Precedence": "bulk"},
        {"List_Id": "<x>"},
        {"X_Auto_Response_Suppress": "All"},
    ],
)  # fmt: skip
def test_a_program_s_mail_is_taken_and_not_answered(headers: dict[str, Any]) -> None:
    assert accepted(stamped(letter(**headers))).automatic
    assert not accepted(stamped(letter(Auto_Submitted="no"))).automatic


# Files


def test_files_are_found_wherever_they_hang() -> None:
    inner = letter()
    inner.replace_header("Subject", "inner")
    related = MIMEMultipart("related")
    related.attach(MIMEText("<html><body>hello</body></html>", "html"))
    related.attach(part("application/x-excel", b"order_id,change\nA-2,reverse\n", "inline.csv"))
    outer = MIMEMultipart("mixed")
    outer["From"] = "returns@shop.example"
    outer.attach(MIMEText("see below"))
    outer.attach(related)
    outer.attach(MIMEMessage(inner))
    found = accepted(stamped(outer))
    assert sorted(file.name for file in found.files) == ["inline.csv", "may.csv"]


def part(content_type: str, content: bytes, name: str = "", disposition: str = "attachment") -> EmailMessage:
    message = EmailMessage()
    maintype, _, subtype = content_type.partition("/")
    message.set_content(content, maintype=maintype, subtype=subtype)
    del message["Content-Disposition"]
    if disposition:
        message.add_header("Content-Disposition", disposition, **({"filename": name} if name else {}))
    return message


def test_the_file_may_be_the_whole_mail() -> None:
    raw = b"From: returns@shop.example\r\nContent-Type: text/csv; name=may.csv\r\n\r\n" + ROWS
    assert accepted(stamped(raw)).files[0].content == ROWS


def bundle(*parts: Message) -> bytes:
    outer = MIMEMultipart("mixed")
    outer["From"] = "returns@shop.example"
    outer.attach(MIMEText("text"))
    for one in parts:
        outer.attach(one)
    return stamped(outer)


@pytest.mark.parametrize(
    "looks",
    [
        part("image/png", b"\x89PNG\r\n\x1a\n123", "logo.png"),
        part("application/octet-stream", b"GIF89a...", "unknown.bin"),
        part("text/html", b"<html>signature</html>", "signature.html"),
        part("text/calendar", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "invite.ics"),
        part("application/pkcs7-signature", b"\x30\x82\x01\x01", "smime.p7s"),
        part("application/pgp-signature", b"-----BEGIN PGP SIGNATURE-----\n", "signature.asc"),
        part("text/csv", ROWS, "result_may.csv.csv"),
        part("text/csv", ROWS, "may.csv"),
        part("text/csv", b"  \r\n", "empty.csv"),
    ],
    ids=lambda one: str(one.get_filename()),
)
def test_what_only_decorates_a_mail_is_left_out(looks: EmailMessage) -> None:
    found = accepted(bundle(part("text/csv", ROWS, "may.csv"), looks))
    assert [file.name for file in found.files] == ["may.csv"]
    signs = "signature" in looks.get_content_type()
    assert found.ignored == (() if signs else (looks.get_filename(),))


@pytest.mark.parametrize(
    "declared", ["application/octet-stream", "image/png", "application/x-excel", "text/html", "text/plain"]
)
def test_the_declared_type_proves_nothing(declared: str) -> None:
    assert accepted(bundle(part(declared, ROWS, "may.dat"))).files[0].content == ROWS


def test_archives_encrypted_and_hidden_files_are_handed_on_to_be_refused_in_their_own_words() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("may.csv", ROWS)
    enveloped = bytes.fromhex("30800609 2a864886f70d010703 a080".replace(" ", "")) + b"..."
    contents = [out.getvalue(), b"\x78\x9f\x3e\x22\x01\x00", b"-----BEGIN PGP MESSAGE-----\n\nx\n", enveloped]
    for content in contents:
        found = accepted(bundle(part("application/octet-stream", content)))
        assert found.files[0].content == content


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        (b'Content-Disposition: attachment; filename="may.csv"', "may.csv"),
        (b"Content-Disposition: attachment; filename*=utf-8''R%C3%BCck.csv", "Rück.csv"),
        (b"Content-Disposition: attachment; filename=\"=?utf-8?Q?R=C3=BCck=2Ecsv?=\"", "Rück.csv"),
        (b"Content-Disposition: attachment; filename==?utf-8?B?UsO8Y2suY3N2?=", "Rück.csv"),
        (b"Content-Disposition: attachment; filename=This is a test.csv", "This is a test.csv"),
        (b"Content-Disposition: attachment\r\nContent-Type: text/csv; name=may.csv", "may.csv"),
        (b'Content-Disposition: attachment; filename*0="ma"; filename*1="y.csv"', "may.csv"),
        (b'Content-Disposition: attachment; filename="C:\\\\TEMP\\\\may.csv"', "may.csv"),
        (b'Content-Disposition: attachment; filename="../../etc/may.csv"', "may.csv"),
        (b"Content-Disposition: attachment; filename=\"=?x-unknown?B?bWF5?=\"", "may"),
        (b"Content-Disposition: attachment", "attachment-1.csv"),
        (b"Content-Disposition: ;;=attachment; filename*=broken''%ZZ", "%ZZ"),
    ],
)  # fmt: skip
def test_file_names(headers: bytes, name: str) -> None:
    raw = (
        b"From: returns@shop.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        + headers
        + b"\r\n\r\n"
        + ROWS
        + b"\r\n--b--\r\n"
    )
    found = screen(stamped(raw))
    assert isinstance(found, AcceptedMail), found
    assert found.files[0].name == name


def test_a_mail_without_a_file_is_answered_when_believed_and_listed_otherwise() -> None:
    assert isinstance(screen(stamped(letter(attach=False))), RejectedMail)
    for accepts in (False, True):
        unproved = screen(stamped(letter(attach=False), "fail"), source=source(accept_unauthenticated=accepts))
        assert unproved == UnreadMail("returns@shop.example", "MAIL_UNPROVEN")


def nested(depth: int) -> bytes:
    message = letter()
    for _ in range(depth):
        outer = MIMEMultipart("mixed")
        outer["From"] = "returns@shop.example"
        outer.attach(MIMEMessage(message))
        message = outer  # type: ignore[assignment]
    return stamped(message)


def deep(depth: int) -> bytes:
    """Nested far beyond what the parser goes into."""
    head = b"From: returns@shop.example\r\n"
    return stamped(head + b"Content-Type: message/rfc822\r\n\r\n" * depth + b"x")


@pytest.mark.parametrize(
    "built",
    [
        lambda: nested(12),
        lambda: deep(5000),
        lambda: bundle(*(part("text/csv", ROWS + b"%d" % number, f"{number}.csv") for number in range(21))),
        lambda: bundle(
            *(part("image/png", b"\x89PNG", "x.png") for _ in range(300)), part("text/csv", ROWS, "may.csv")
        ),
    ],
    ids=["deep", "very deep", "many files", "many parts"],
)
def test_mails_built_beyond_measure_are_refused(built: Callable[[], bytes]) -> None:
    found = screen(built())
    assert isinstance(found, RejectedMail)
    assert found.code == "MAIL_WITHOUT_FILE"


def test_a_file_within_measure_is_still_found() -> None:
    assert accepted(nested(3)).files[0].content == ROWS


@given(st.binary(max_size=400), st.integers(0, 2))
@settings(max_examples=300, deadline=None)
def test_no_mail_raises(noise: bytes, kind: int) -> None:
    boundary = b"From: returns@shop.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    raw = (noise, stamped(b"From: returns@shop.example\r\n" + noise), stamped(boundary + noise + b"\r\n--b--"))[kind]
    screen(raw)


WORDS = (
    b"=?\xc3\xbctf-8?q?returns?=", b"=?utf-8?b?////?=", b"=?idna?q?x?=", b"=?undefined?q?x=FF?=", b"=?utf-8*xx?q?a?=",
    b"idna''%ff.csv", b"utf-7''+AAA", b"''", b"=?utf-8?q?=?=", b"unknown-8bit''%80", b"\xff\xfe", b"\"", b";;=", b"(((",
    b"*0*=a; filename*9=b", b"hex", b"rot13", b"base64", b"x-uuencode", b"quoted-printable", b"8bit", b"\x00",
)  # fmt: skip
HEADERS = (
    b"Subject", b"From", b"To", b"Message-ID", b"MIME-Version", b"Content-Type", b"Content-Disposition",
    b"Content-Transfer-Encoding", b"Auto-Submitted", b"Precedence", b"Return-Path", b"Date", b"List-Id",
)  # fmt: skip
PATTERNS = (
    b"%s", b"attachment; filename=%s", b"attachment; filename*=%s", b"text/csv; charset=%s", b"text/csv; name*=%s",
    b"multipart/mixed; boundary=%s", b"multipart/mixed; boundary*=%s", b"message/rfc822; %s", b"<%s@shop.example>",
)  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from(HEADERS), st.sampled_from(PATTERNS), st.sampled_from(WORDS)), max_size=6),
    st.sampled_from((ROWS, b"--x\r\n\r\n" + ROWS + b"--x--\r\n", b"begin 644 a.csv\r\n#86)C\r\n`\r\nend\r\n", b"")),
)
@settings(max_examples=600, deadline=None)
def test_no_header_name_or_charset_raises(headers: list[tuple[bytes, bytes, bytes]], body: bytes) -> None:
    sender = b"" if any(name == b"From" for name, _, _ in headers) else b"From: returns@shop.example\r\n"
    lines = b"".join(name + b": " + pattern % word + b"\r\n" for name, pattern, word in headers)
    found = screen(stamped(sender + lines + b"\r\n" + body), source=source(accept_unauthenticated=True))
    kept = found.mail if isinstance(found, HeldMail | RejectedMail) else found
    if isinstance(kept, AcceptedMail):
        reply = mail.compose_reply(
            FileSummary("a.csv", "d"),
            language="fr",
            program="Acme",
            sender="returns@in.retour.test",
            to={"to": kept.sender, "subject": kept.subject, "message_id": kept.message_id},
            at=datetime(2026, 11, 2, 9, tzinfo=UTC),
        )
        assert reply.startswith(b"From: returns@in.retour.test")


def test_a_subject_and_a_name_in_charsets_that_are_none() -> None:
    head = (
        b"From: returns@shop.example\r\nMessage-ID: <a@shop.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/csv\r\n"
    )
    subject = head + b"Subject: =?\xc3\xbctf-8?q?returns?=\r\nContent-Disposition: attachment; filename=x.csv\r\n\r\n"
    named = head + b"Subject: returns\r\nContent-Disposition: attachment; filename*=idna''%ff.csv\r\n\r\n"
    for letter_ in (subject, named):
        found = accepted(stamped(letter_ + ROWS))
        assert found.subject == "returns" and [file.content for file in found.files] == [ROWS]


def test_beside_a_table_what_is_none_is_named_and_left_out() -> None:
    found = accepted(
        bundle(
            part("image/png", b"\x89PNG....", "logo.png"),
            part("application/pdf", b"%PDF-1.7 ...", "letter.pdf"),
            part("text/plain", b"This mail is confidential, and meant for you.\r\n", "disclaimer.txt"),
            part("text/csv", ROWS, "may.csv"),
        )
    )
    assert [file.name for file in found.files] == ["may.csv"]
    assert found.ignored == ("logo.png", "letter.pdf", "disclaimer.txt")


def test_a_letter_alone_is_handed_on_to_be_refused_in_its_own_words() -> None:
    assert [file.name for file in accepted(bundle(part("application/pdf", b"%PDF-1.7", "a.pdf"))).files] == ["a.pdf"]


def test_a_second_table_that_cannot_be_read_is_no_disclaimer() -> None:
    found = accepted(bundle(part("text/csv", ROWS, "may.csv"), part("text/csv", b"ordre,was\r\n1,2\r\n", "june.csv")))
    assert [file.name for file in found.files] == ["may.csv", "june.csv"] and not found.ignored


def test_forwarded_and_packed_files_are_opened() -> None:
    inside = letter().as_bytes(policy=policy.SMTP)
    encoded = MIMEBase("message", "rfc822")
    encoded["Content-Transfer-Encoding"] = "base64"
    encoded._payload = base64.encodebytes(inside).decode()  # type: ignore[attr-defined]
    assert [file.name for file in accepted(bundle(encoded)).files] == ["may.csv"]
    for name in ("forwarded.eml", "FW.EML"):
        found = accepted(bundle(part("application/octet-stream", inside, name)))
        assert [(file.name, file.content) for file in found.files] == [("may.csv", ROWS)]


def test_uuencoded_rows_in_the_text_are_a_file() -> None:
    lines = b"".join(binascii.b2a_uu(ROWS[at : at + 45]) for at in range(0, len(ROWS), 45))
    body = letter(attach=False)
    body.set_content("Hello\n\nbegin 644 may.csv\n" + lines.decode() + "`\nend\n")
    assert [(file.name, file.content) for file in accepted(stamped(body)).files] == [("may.csv", ROWS)]


def winmail(*files: tuple[str, str, bytes]) -> bytes:
    def attribute(level: int, number: int, value: bytes) -> bytes:
        return struct.pack("<BII", level, number, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)

    packed = b"\x78\x9f\x3e\x22\x01\x00" + attribute(1, 0x89006, struct.pack("<I", 0x10000))
    for short, long, content in files:
        wide = long.encode("utf-16-le") + b"\0\0"
        named = struct.pack("<IHH", 2, 3, 0x8001) + b"g" * 16 + struct.pack("<III", 0, 7, 5)
        named += struct.pack("<HHII", 0x1F, 0x3707, 1, len(wide)) + wide + b"\0" * (-len(wide) % 4)
        packed += attribute(2, 0x69002, b"\0" * 14) + attribute(2, 0x18010, short.encode() + b"\0")
        packed += attribute(2, 0x6800F, content) + (attribute(2, 0x69005, named) if long else b"")
    return packed


def test_outlook_s_winmail_is_opened() -> None:
    packed = winmail(("MAY~1.CSV", "Retouren Mai.csv", ROWS), ("LOGO.PNG", "", b"\x89PNG..."))
    found = accepted(bundle(part("application/ms-tnef", packed, "winmail.dat")))
    assert [(file.name, file.content) for file in found.files] == [("Retouren Mai.csv", ROWS)]
    assert found.ignored == ("LOGO.PNG",)
    for cut in range(len(packed)):
        assert isinstance(
            screen(stamped(bundle(part("application/ms-tnef", packed[:cut], "w.dat")))), AcceptedMail | RejectedMail
        )


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def encoded(content: bytes, encoding: str, declared: str = "message/rfc822") -> Message:
    """A part whose payload is encoded, as the standard library does not write it for mails."""
    made = MIMEBase(*declared.split("/"))
    made["Content-Transfer-Encoding"] = encoding
    made._payload = {  # type: ignore[attr-defined]
        "base64": lambda: base64.encodebytes(content).decode(),
        "quoted-printable": lambda: quopri.encodestring(content.replace(b"\r\n", b"\n")).decode(),
        "x-uuencode": lambda: uuencoded("x", content),
    }[encoding]()
    return made


def uuencoded(name: str, content: bytes) -> str:
    lines = b"".join(binascii.b2a_uu(content[at : at + 45]) for at in range(0, len(content), 45))
    return f"begin 644 {name}\n{lines.decode()}`\nend\n"


def spoken(text: str) -> bytes:
    made = letter(attach=False)
    made.set_content(text)
    return stamped(made)


def forwarding(*parts: Message) -> bytes:
    outer = MIMEMultipart("mixed")
    outer["From"] = "jane@shop.example"
    outer["Subject"] = "FW: May"
    for one in parts:
        outer.attach(one)
    return outer.as_bytes(policy=policy.SMTP)


INNER = letter().as_bytes(policy=policy.SMTP)
DATED = b"Date: Mon, 2 Nov 2026 09:00:00 +0000\r\n" + INNER
MAILBOX = b"".join(
    b"From jane@shop.example Mon Nov  2 09:00:00 2026\n"
    + letter(attach=False).as_bytes()
    + uuencoded(f"{name}.csv", ROWS + name.encode()).encode()
    + b"\n"
    for name in ("may", "june")
)
WRAPPED: dict[str, tuple[bytes, list[str]]] = {
    "base64 in base64": (bundle(encoded(forwarding(encoded(INNER, "base64")), "base64")), ["may.csv"]),
    "quoted-printable": (bundle(encoded(INNER, "quoted-printable")), ["may.csv"]),
    "uuencoded mail": (bundle(encoded(INNER, "x-uuencode")), ["may.csv"]),
    "message/global": (bundle(encoded(INNER, "base64", "message/global")), ["may.csv"]),
    "blank lines first": (bundle(part("application/octet-stream", b"\r\n\r\n" + INNER, "fw.eml")), ["may.csv"]),
    "byte order mark": (bundle(part("application/octet-stream", b"\xef\xbb\xbf" + INNER, "fw.eml")), ["may.csv"]),
    "no name": (bundle(part("application/octet-stream", DATED)), ["may.csv"]),
    "name of no mail": (bundle(part("application/octet-stream", DATED, "fw.dat")), ["may.csv"]),
    "mailbox": (bundle(part("application/octet-stream", MAILBOX, "all.mbox")), ["may.csv", "june.csv"]),
    "winmail in winmail": (
        bundle(part("application/ms-tnef", winmail(("x.dat", "", winmail(("MAY.CSV", "", ROWS)))), "winmail.dat")),
        ["MAY.CSV"],
    ),
    "mail in winmail": (
        bundle(part("application/ms-tnef", winmail(("fw.eml", "", INNER)), "winmail.dat")),
        ["may.csv"],
    ),
    "mail in uuencode": (spoken("Hi\n" + uuencoded("fw.eml", INNER)), ["may.csv"]),
    "uuencode in base64": (
        spoken("Hi\nbegin-base64 644 may.csv\n" + base64.encodebytes(ROWS).decode() + "====\n"),
        ["may.csv"],
    ),
    "uuencode in an attached text": (
        bundle(part("text/plain", b"Hello\n" + uuencoded("may.csv", ROWS).encode(), "note.txt")),
        ["may.csv"],
    ),
}


@pytest.mark.parametrize("case", WRAPPED)
def test_whatever_a_file_is_wrapped_in_it_is_found(case: str) -> None:
    raw, names = WRAPPED[case]
    found = accepted(raw)
    assert [file.name for file in found.files] == names
    assert all(file.content.startswith(ROWS) for file in found.files)


def test_a_message_attached_in_outlook_s_own_way_is_opened() -> None:
    inside = winmail(("MAY.CSV", "", ROWS))
    value = b"\x07\x03\x02\0" + b"\0" * 12 + inside
    held = struct.pack("<IHHII", 1, 0xD, 0x3701, 1, len(value)) + value + b"\0" * (-len(value) % 4)
    attribute = struct.pack("<BII", 2, 0x69002, 14) + b"\0" * 16 + struct.pack("<BII", 2, 0x69005, len(held)) + held
    packed = winmail() + attribute + b"\0\0"
    assert [file.content for file in accepted(bundle(part("application/ms-tnef", packed, "w.dat"))).files] == [ROWS]


SVG = b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"><path d="M0"/></svg>'
APPLE = b"\0\5\x16\7\0\2\0\0Mac OS X        \0\2\0\0\0\x09" + b"\0" * 60
DOCX = zipped(("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<w/>"))
ODT = zipped(("mimetype", b"application/vnd.oasis.opendocument.text"), ("content.xml", b"<x/>"), method=0)
BESIDE = {
    "logo.svg": SVG,
    "logo.webp": b"RIFF\x24\0\0\0WEBPVP8 " + b"\x80\x01" * 40,
    "logo.tif": b"II*\0" + b"\0\x01\x80" * 40,
    "logo.bmp": b"BM\x36\0\0\0\0\0\0\0\x36" + b"\0" * 60,
    "photo.heic": b"\0\0\0\x18ftypheic" + b"\x80\0" * 40,
    "image001.emz": gzip.compress(b"\1\0\0\0\x6c\0\0\0" + b"\0" * 32 + b" EMF" + b"\0" * 90),
    "oledata.mso": b"ActiveMime\0\0\xf0\1" + b"\x80\x01" * 50,
    "._may.csv": APPLE,
    "copy.csv": APPLE,
    "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
    "letter.docx": DOCX,
    "letter.odt": ODT,
    "letter.rtf": b"{\\rtf1 hello}",
    "letter.pdf": b"\xef\xbb\xbf%PDF-1.7 ...",
    "disclaimer.html": b"<p>This mail is <b>confidential</b></p>",
    "disclaimer.htm": b"Confidential, <br> and yours; only.",
    "certificate.pem": b"-----BEGIN CERTIFICATE-----\nAAAA\n",
    "song.mp3": b"ID3\3\0\0\0" + b"\x80\0\1" * 90,
    "readme.md": b"# hello\n\nJust | a | table?\n",
    "unknown.bin": bytes(range(256)) * 4,
}


@pytest.mark.parametrize("name", BESIDE)
def test_whatever_comes_beside_a_table_is_named_and_left_out(name: str) -> None:
    looks = part("application/octet-stream", BESIDE[name], name)
    for parts in ((part("text/csv", ROWS, "may.csv"), looks), (looks, part("text/csv", ROWS, "may.csv"))):
        found = accepted(bundle(*parts))
        assert [file.content for file in found.files] == [ROWS]
        assert found.ignored == (name.lstrip("."),)


def test_signatures_are_no_files() -> None:
    signature = b"\x30\x82\x01\x01\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" + b"\0" * 90
    looks = part("application/octet-stream", signature, "smime.p7s")
    assert [file.name for file in accepted(bundle(part("text/csv", ROWS, "may.csv"), looks)).files] == ["may.csv"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("old.7z", b"7z\xbc\xaf\x27\x1c" + b"\0" * 90),
        ("old.rar", b"Rar!\x1a\x07\1\0" + b"\0" * 90),
        ("old.tar", b"may.csv".ljust(257, b"\0") + b"ustar\0" + b"\0" * 300),
        ("secret.p7m", b"\x30\x82\x01\x01\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03" + b"\0" * 90),
    ],
)
def test_what_may_hold_rows_is_never_left_out(name: str, content: bytes) -> None:
    found = accepted(bundle(part("text/csv", ROWS, "may.csv"), part("application/octet-stream", content, name)))
    assert [file.name for file in found.files] == ["may.csv", name] and not found.ignored


def test_the_charset_of_a_part_is_kept() -> None:
    found = accepted(
        bundle(part('text/csv; charset="ISO-8859-1"', "order_id,note\r\nA-1,größe\r\n".encode("latin-1"), "a.csv"))
    )
    assert [file.charset for file in found.files] == ["iso-8859-1"]


# The answer


def answered(**more: Any) -> EmailMessage:
    given: dict[str, Any] = {
        "language": "en",
        "program": "Acme Shoes",
        "sender": "returns@in.retour.test",
        "to": {
            "to": "returns@shop.example",
            "message_id": "<m1@shop.example>",
            "subject": "Re: May\r\nBcc: x@y.example",
        },
        "name": "may.csv",
        "delivery": "20261102T090000000Z-0123456789",
        "at": datetime(2026, 11, 2, 9, tzinfo=UTC),
        "counts": {"applied": 3, "refused": 30, "waiting": 1},
        "lines": [(str(line), "Betrag" if line == 3 else "", "Line says why.") for line in range(2, 32)],
        "rejected": ("rejected_may.csv", ROWS),
        **more,
    }
    about = {name: given.pop(name) for name in ("language", "program", "sender", "to", "at")}
    found = message_from_bytes(mail.compose_reply(FileSummary(**given), **about), policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_the_answer_says_what_became_of_the_rows() -> None:
    answer = answered()
    assert answer["To"] == "returns@shop.example"
    assert answer["Auto-Submitted"] == "auto-replied"
    assert answer["In-Reply-To"] == answer["References"] == "<m1@shop.example>"
    assert answer["Subject"] == "Re: May Bcc: x@y.example"
    assert "Bcc" not in answer
    body = answer.get_body()
    assert body is not None
    text = body.get_content()
    for said in (
        "34  Rows in total",
        "3  applied",
        "30  refused",
        "1  waiting",
        "Line 2: Line says",
        "Line 3, column Betrag: Line says",
        "and 10 more",
        "rejected_may.csv",
    ):
        assert said in text
    (attachment,) = answer.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("rejected_may.csv", ROWS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_says_all_of_it(language: str) -> None:
    body = answered(language=language, refusal="Because.", to={"to": "x@shop.example"}).get_body()
    assert body is not None
    text = body.get_content()
    assert "Because." in text
    assert "{" not in text


def test_a_file_that_waits_for_a_person_was_not_refused() -> None:
    body = answered(refusal="Somebody will look.", held=True, counts={}, lines=(), rejected=None).get_body()
    assert body is not None
    assert "is stored, but nothing in it counts yet: Somebody will look." in body.get_content()
    assert "not processed" not in body.get_content()


REPEATED = {
    "same_as": "20261101T080000000Z-0123456789",
    "repeated": (
        RepeatedRows("20261101T080000000Z-0123456789", {"applied": 1200, "unchanged": 1}, held=2),
        RepeatedRows("20261031T080000000Z-0123456789", {"superseded": 3}),
        RepeatedRows("20261102T090000000Z-0123456789", {"applied": 4}),
    ),
}


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "en",
            (
                "exactly this file on 1 November 2026, 08:00 (UTC), as delivery 20261101T080000000Z-0123456789.",
                "1,200  applied",
                "already counted on 1 November 2026, 08:00 (UTC), in delivery 20261101T080000000Z-0123456789: 2.",
                "until somebody at Acme Shoes decides",
                "already received on 31 October 2026, 08:00 (UTC)",
                "repeat earlier rows of this file",
            ),
        ),
        ("de", ("Genau diese Datei haben wir bereits am 01.11.2026, 08:00 Uhr (UTC)", "1.200  übernommen")),
        ("fr", ("exactement ce fichier le 01/11/2026 à 08:00 (UTC)", "1\u202f200  appliquées", "lignes précédentes")),
    ],
)  # fmt: skip
def test_what_came_before_is_told_with_its_day_and_what_became_of_it(language: str, said: tuple[str, ...]) -> None:
    body = answered(
        language=language, counts={"duplicate": 1208, "held": 2}, lines=(), rejected=None, **REPEATED
    ).get_body()
    assert body is not None
    text = " ".join(body.get_content().replace("\u202f", "_").split())
    for one in said:
        assert " ".join(one.replace("\u202f", "_").split()) in text, text


def test_an_answer_is_never_read_as_a_mail_to_us() -> None:
    raw = stamped(answered().as_bytes(), domain="in.retour.test")
    found = screen(raw, source=source(allow_from=["returns@in.retour.test"]))
    assert is_automatic(found) or (isinstance(found, UnreadMail) and found.is_nothing)
