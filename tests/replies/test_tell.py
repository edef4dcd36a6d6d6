"""The answer by mail: what it says of a file's rows, and that no crash between its steps loses it."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness

from retour.domain.delivery import Channel, DeliveryKind
from retour.intake.ingest import ingest
from retour.replies.send import send_reply
from retour.store import outcomes

ROWS = b"order_id,change,amount\nA-1,take_back,20.00\nA-1,take_back,12x\nA-9,reverse,\n"


class Post:
    """A mail service that is out of order until it is told otherwise."""

    def __init__(self, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> None:
        self.house, self.works = house, True
        self.mails: list[EmailMessage] = []
        monkeypatch.setattr(house.hub, "send_mail", self.send)

    def send(self, raw: bytes, sender: str, to: list[str]) -> None:
        if not self.works:
            raise ConnectionError("no post today")
        mail = message_from_bytes(raw, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)


@pytest.fixture
def post(house: ProgramHarness, monkeypatch: pytest.MonkeyPatch) -> Post:
    allowed = {"allow_from": ["returns@shop.example"]}
    mail = {"channel": "email", "default_reason": "ITEM_RETURNED", "options": allowed}
    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "mail": mail}})
    return Post(house, monkeypatch)


def mailed(house: ProgramHarness, content: bytes = ROWS) -> dict[str, Any]:
    """A mailed file is taken in; the message that asks for its answer."""
    reply = {"to": "returns@shop.example", "subject": "Returns", "message_id": "<1@shop.example>"}
    key = f"raw/{house.program}/may"
    delivery = house.delivery(
        DeliveryKind.FILE, content, "mail", Channel.EMAIL, name="may.csv", body_key=key, reply=reply
    )
    house.hub.inbox.put(key, content)
    ingest(house.hub, delivery, None)
    return {"program": house.program, "delivery": delivery.id, "what": "batch"}


def kept(house: ProgramHarness, message: dict[str, Any]) -> set[str]:
    header = house.hub.deliveries(house.program).get(message["delivery"])
    assert header is not None
    folder = outcomes.results_folder(header.delivery)
    return {key.removeprefix(folder) for key in house.hub.inbox.keys(folder)}


def test_a_mark_says_that_the_sender_was_told_and_only_then(house: ProgramHarness, post: Post) -> None:
    house.report({"order_id": "A-1", "amount": "100.00", "currency": "EUR"})
    message = mailed(house)
    post.works = False
    with pytest.raises(ConnectionError):
        send_reply(house.hub, message)
    assert "told" not in kept(house, message)
    post.works = True
    for _ in range(2):
        assert send_reply(house.hub, message) == "mail to returns@shop.example"
    [mail] = post.mails
    assert "told" in kept(house, message)
    assert mail["Message-ID"].startswith(f"<{message['delivery']}@")
    [rejected] = mail.iter_attachments()
    assert rejected.get_content() == b"order_id,change,amount\nA-1,take_back,12x\n"


def test_a_line_that_is_refused_is_named_with_its_column(house: ProgramHarness, post: Post) -> None:
    house.report({"order_id": "A-1", "amount": "100.00", "currency": "EUR"})
    send_reply(house.hub, mailed(house))
    [mail] = post.mails
    body = mail.get_body()
    assert body is not None and "\nLine 3, column amount: '12x' is not a valid amount." in body.get_content()


def test_the_second_answer_is_a_mail_of_its_own(house: ProgramHarness, post: Post) -> None:
    """Mail programs show two mails of one Message-ID as one."""
    message = mailed(house)
    send_reply(house.hub, message)
    sale = {"amount": "100.00", "currency": "EUR"}
    house.report({"order_id": "A-1", **sale}, {"order_id": "A-9", **sale})
    settled = [asked for queue, asked in house.sent if queue == "answers" and asked["what"] == "settled"]
    for asked in settled * 2:
        send_reply(house.hub, asked)
    assert len(post.mails) == 1 + len(settled) == len({mail["Message-ID"] for mail in post.mails})
