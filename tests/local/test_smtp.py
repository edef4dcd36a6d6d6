"""The SMTP listener as mail programs see it, and what it hands on."""

import asyncio
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme

from local.data_folder import bind_socket, server_tls
from local.deploy import client
from local.emulator import emulator, free_port
from local.hub import allow_sending
from local.smtp import (
    Mail,
    MailQueue,
    Outbox,
    Reception,
    dmarc_alignment,
    is_source_address,
    listen,
    sent_mails,
    ses_event,
    with_ses_headers,
)

DOMAIN = "in.retour.test"
TOKEN = "abcdefghijklmnopqrstuvwxyz"
ADDRESS = f"acme.mail.{TOKEN}@{DOMAIN}"


@dataclass
class Server:
    port: int
    waiting: Path
    ca: Path
    stored: dict[str, bytes] = field(default_factory=dict)
    read: list[dict[str, Any]] = field(default_factory=list)
    failures: int = 0
    full: bool = False

    def store(self, name: str, raw: bytes) -> None:
        if self.full:
            raise OSError("no space left")
        self.stored[name] = raw

    def hand_over(self, event: dict[str, Any]) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the function failed")
        self.read.append(event)

    def client(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.port, timeout=10)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "mail").mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    listening = bind_socket(0)
    found = Server(listening.getsockname()[1], tmp_path / "mail", tmp_path / "ca.pem")

    async def start() -> tuple[asyncio.Server, MailQueue]:
        post = MailQueue(found.waiting, found.store, found.hand_over)
        post.resume()
        return await listen(listening, Reception(DOMAIN, post.accept), server_tls(authority)), post

    with loop_in_a_thread() as run:
        running, post = run(start())
        yield found
        run(post.stop())
        run(closed(running))


class loop_in_a_thread:
    def __enter__(self) -> Callable[[Any], Any]:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return lambda work: asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


async def closed(server: asyncio.Server) -> None:
    server.close()


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.02)


def trusting(ca: Path) -> ssl.SSLContext:
    """As mail programs do: whatever name it has, if the hub's authority vouches for it."""
    context = ssl.create_default_context(cafile=str(ca))
    context.check_hostname = False
    return context


def message(sender: str = "returns@shop.example") -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = f"Shop <{sender}>"
    mail["To"] = ADDRESS
    mail["Subject"] = "Retouren Mai"
    mail["Message-ID"] = "<1@shop.example>"
    mail.set_content("Attached.")
    mail.add_attachment(b"reference;order_id\n1;A-1\n", maintype="text", subtype="csv", filename="may.csv")
    return mail


def test_a_mail_is_stored_as_it_came_and_handed_on_as_by_ses(server: Server) -> None:
    with server.client() as client:
        client.starttls(context=trusting(server.ca))
        client.send_message(message())
    eventually(lambda: server.read)
    [(name, raw)] = server.stored.items()
    assert b"Subject: Retouren Mai\r\n" in raw and b'filename="may.csv"' in raw
    head = message_from_bytes(raw)
    results = head.get_all("Authentication-Results")
    assert results is not None and "retour.local" in results[0] and "dmarc=pass header.from=shop.example" in results[0]
    ses = server.read[0]["Records"][0]["ses"]
    assert ses["mail"]["messageId"] == name
    assert ses["mail"]["source"] == "returns@shop.example"
    assert ses["receipt"]["recipients"] == [ADDRESS]
    assert ses["receipt"]["dmarcVerdict"] == {"status": "PASS"} and "dmarcPolicy" not in ses["receipt"]
    assert ses["mail"]["commonHeaders"]["subject"] == "Retouren Mai"
    eventually(lambda: not list(server.waiting.iterdir()))


@pytest.mark.parametrize(
    "address",
    [
        "postmaster@in.retour.test", "acme.mail@in.retour.test", f"acme.mail.{TOKEN}@elsewhere.test",
        f"acme.mail.short@{DOMAIN}", f"acme.{TOKEN}@{DOMAIN}", f"acme.mail.{TOKEN}.x@{DOMAIN}", TOKEN,
    ],
)  # fmt: skip
def test_other_addresses_are_refused_in_the_same_words(server: Server, address: str) -> None:
    with server.client() as client:
        client.ehlo()
        client.mail("returns@shop.example")
        assert client.rcpt(address) == (550, b"5.1.1 No mailbox of this form here")
        assert client.rcpt(f"other.source.{'z' * 26}@{DOMAIN}")[0] == 250


def test_the_form_of_an_address() -> None:
    assert is_source_address(ADDRESS.upper(), DOMAIN)
    assert is_source_address(f"acme-shoes.post_1.{TOKEN}@IN.retour.TEST", DOMAIN)
    assert is_source_address(f"acme.mail.{TOKEN}+may-2026@{DOMAIN}", DOMAIN), "as a rule of SES takes it"
    assert not is_source_address(f"acme.mail.{TOKEN}@sub.{DOMAIN}", DOMAIN)


@pytest.mark.parametrize(
    ("envelope", "named", "passes"),
    [
        ("returns@shop.example", ["returns@shop.example"], True),
        ("bounce@SHOP.example", ["Returns <returns@Shop.Example>"], True),
        ("returns@evil.example", ["returns@shop.example"], False),
        ("returns@shop.example.evil.example", ["returns@shop.example"], False),
        ("", ["returns@shop.example"], False),
        ("returns@shop.example", [], False),
        ("returns@shop.example", ["returns@shop.example", "other@evil.example"], False),
        ("returns@shop.example", ["returns@shop.example, other@evil.example"], False),
        ("returns@shop.example", ['"x@evil.example" <returns@shop.example>'], True),
        ("returns@shop.example", ["not an address"], False),
    ],
)
def test_dmarc_on_loopback_is_alignment_alone(envelope: str, named: list[str], passes: bool) -> None:
    raw = "".join(f"From: {value}\r\n" for value in named) + "Subject: x\r\n\r\nbody\r\n"
    mail = Mail("id", envelope, (ADDRESS,), raw.encode(), "127.0.0.1", "client", datetime.now(UTC))
    assert dmarc_alignment(mail)[0] is passes
    assert ses_event(mail)["Records"][0]["ses"]["receipt"]["dmarcVerdict"]["status"] == ("PASS" if passes else "FAIL")


def test_forged_verdicts_stay_below_ours_and_strangers_add_no_header() -> None:
    forged = b"Authentication-Results: retour.local; dmarc=pass header.from=shop.example\r\n"
    raw = forged + b"From: a@shop.example\r\n\r\nx\r\n"
    mail = Mail(
        "id", "a@evil.example\r\nX-Evil: 1", (ADDRESS,), raw, "127.0.0.1", "helo\r\nX-Evil: 1", datetime.now(UTC)
    )
    head = message_from_bytes(with_ses_headers(mail))
    results = head.get_all("Authentication-Results") or []
    assert len(results) == 2 and "dmarc=fail" in results[0] and "dmarc=pass" in results[1]
    assert "X-Evil" not in head
    assert with_ses_headers(mail).endswith(raw)


def test_a_function_that_fails_is_asked_again(server: Server) -> None:
    server.failures = 2
    with server.client() as client:
        client.send_message(message())
    eventually(lambda: server.read)
    eventually(lambda: not list(server.waiting.iterdir()))
    assert len(server.read) == 1


def test_what_an_earlier_run_left_unread_is_read(tmp_path: Path) -> None:
    (tmp_path / "abc.json").write_text('{"Records": []}')
    read: list[dict[str, Any]] = []

    async def start() -> MailQueue:
        post = MailQueue(tmp_path, lambda name, raw: None, read.append)
        post.resume()
        return post

    with loop_in_a_thread() as run:
        post = run(start())
        eventually(lambda: read == [{"Records": []}])
        eventually(lambda: not list(tmp_path.iterdir()))
        run(post.stop())


def test_a_mail_that_cannot_be_stored_is_not_taken(server: Server) -> None:
    server.full = True
    with server.client() as client, pytest.raises(smtplib.SMTPDataError) as refused:
        client.send_message(message())
    assert refused.value.smtp_code == 451
    assert not server.read and not list(server.waiting.iterdir())


def test_a_mail_above_40_mb_is_refused_by_its_announced_size(server: Server) -> None:
    with server.client() as client:
        client.ehlo()
        assert client.esmtp_features["size"] == str(40 * 1024 * 1024)
        assert client.mail("returns@shop.example", [f"size={41 * 1024 * 1024}"])[0] == 552


def test_long_lines_are_taken(server: Server) -> None:
    with server.client() as client:
        client.sendmail("a@shop.example", [ADDRESS], b"From: a@shop.example\r\n\r\n" + b"x" * 200_000 + b"\r\n")
    eventually(lambda: server.read)
    assert b"x" * 200_000 in next(iter(server.stored.values()))


def test_one_mail_for_two_sources_names_both(server: Server) -> None:
    other = f"acme.other.{TOKEN}@{DOMAIN}"
    with server.client() as client:
        client.send_message(message(), to_addrs=[ADDRESS, other])
    eventually(lambda: server.read)
    assert server.read[0]["Records"][0]["ses"]["receipt"]["recipients"] == [ADDRESS, other]


def test_half_a_conversation_leaves_nothing(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.recv(100)
        for line in ("EHLO x", "MAIL FROM:<a@shop.example>", f"RCPT TO:<{ADDRESS}>", "DATA", "From: a@shop.example"):
            client.sendall(f"{line}\r\n".encode())
            time.sleep(0.05)
    time.sleep(0.2)
    assert not server.stored and not server.read


def test_what_functions_send_by_ses_lands_in_the_outbox(tmp_path: Path) -> None:
    listening = bind_socket(0)
    relay = f"127.0.0.1:{listening.getsockname()[1]}"
    (tmp_path / "sent").mkdir()
    with loop_in_a_thread() as run:
        running = run(listen(listening, Outbox(tmp_path / "sent")))
        with emulator(tmp_path, free_port(), persist=False, relay=relay) as endpoint:
            allow_sending(endpoint)
            client("ses", endpoint).send_raw_email(
                Source=f"returns@{DOMAIN}",
                Destinations=["someone@anywhere.example"],
                RawMessage={"Data": message(f"returns@{DOMAIN}").as_bytes()},
            )
            eventually(lambda: sent_mails(tmp_path / "sent"))
        run(closed(running))
    [sent] = sent_mails(tmp_path / "sent")
    assert sent["to"] == ["someone@anywhere.example"] and sent["attachments"] == ["may.csv"]


def test_the_outbox_shows_what_was_sent(tmp_path: Path) -> None:
    listening = bind_socket(0)
    port = listening.getsockname()[1]
    with loop_in_a_thread() as run:
        running = run(listen(listening, Outbox(tmp_path)))
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.send_message(message(), from_addr="returns@in.retour.test", to_addrs=["someone@anywhere.example"])
        run(closed(running))
    [sent] = sent_mails(tmp_path)
    assert (sent["to"], sent["from"]) == (["someone@anywhere.example"], "returns@in.retour.test")
    assert sent["subject"] == "Retouren Mai" and sent["text"] == "Attached.\n"
    assert sent["attachments"] == ["may.csv"]
    assert sent["files"][0]["text"].splitlines() == ["reference;order_id", "1;A-1"]
