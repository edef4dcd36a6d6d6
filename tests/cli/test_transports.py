"""Mail, as it leaves over a real connection."""

import socket
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from retour.cli.client import ApiError, HubUnreachableError
from retour.cli.transports import Envelope, quote_sftp_name, send_mail


class Taken:
    def __init__(self) -> None:
        self.raw = b""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if "nobody" in address:
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.raw = envelope.content
        return "250 OK"


@pytest.fixture
def taken() -> Iterator[tuple[Taken, Envelope]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    handler = Taken()
    server = Controller(handler, hostname="127.0.0.1", port=port)
    server.start()
    yield handler, Envelope(host="127.0.0.1", port=port, sender="a@shop.example", recipient="acme.mail.tok@in.example")
    server.stop()


def test_a_file_is_attached_byte_for_byte(taken: tuple[Taken, Envelope]) -> None:
    handler, envelope = taken
    body = "Bestellnummer;Betrag\r\nA-1;25,50 €\r\n".encode("cp1252")
    send_mail(envelope, "Rückgaben.csv", body)
    message = message_from_bytes(handler.raw, policy=default)
    [attached] = message.iter_attachments()
    assert attached.get_filename() == "Rückgaben.csv"
    assert attached.get_payload(decode=True) == body
    assert message["From"] == "a@shop.example"
    assert message["Message-ID"].endswith("@shop.example>")


def test_an_address_that_is_not_taken_is_said(taken: tuple[Taken, Envelope]) -> None:
    _, envelope = taken
    wrong = Envelope(host=envelope.host, port=envelope.port, sender=envelope.sender, recipient="nobody@in.example")
    with pytest.raises(ApiError) as caught:
        send_mail(wrong, "a.csv", b"x")
    assert "No such mailbox" in caught.value.message()


def test_a_mail_server_that_is_gone_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(HubUnreachableError, match="No mail server answers"):
        send_mail(Envelope(host="127.0.0.1", port=port, sender="a@b.example", recipient="c@d.example"), "a.csv", b"x")


@pytest.mark.parametrize(("name", "written"), [("a b.csv", '"a b.csv"'), ('a"b', '"a\\"b"'), ("a\\b", '"a\\\\b"')])
def test_names_are_quoted_for_sftp(name: str, written: str) -> None:
    assert quote_sftp_name(name) == written
