"""A worker that dies at every step of every kind of delivery: it comes to the same, once, and is answered.

Its sender or its queue says it again; where nobody does, as of an event that was told once, the sweep ends it.
"""

import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial
from typing import Any

import pytest
from functions.file_drop import app as file_drop
from functions.ftp_pull import app as ftp_pull
from functions.inbound_email import app as inbound_email
from functions.tick import app as tick
from functions.webhook import app as webhook
from tests.channels.hook_signing import sign_headers
from tests.conftest import PROGRAM, ProgramHarness
from tests.functions.test_api import ACTIONS, BATCHES, FILES, MODIFICATIONS, SALE, Answer, Caller, admin, call
from tests.functions.test_inbound_email import TOKEN
from tests.functions.test_tick import CONTEXT
from tests.gateway import hook
from tests.remote.test_visit import Shelf
from tests.senders.messages import stripe_refund
from tests.senders.webhook_harness import SECRET
from tests.soak.faults import Killed, Proxy, faults, never

from local.smtp import Mail, ses_event, with_ses_headers
from retour.intake.batch import ARRIVED
from retour.intake.mail import sweep_mails
from retour.intake.processing import has_arrived
from retour.operations.sweep import sweep
from retour.polling.poll import poll_server
from retour.replies.send import send_reply

__all__ = ["admin", "call"]
pytestmark = pytest.mark.slow
EVERY = int(os.environ.get("RETOUR_DEATHS_EVERY", "8"))
"""Of so many steps one is died at, before or after it; 1: all of them, before and after."""
HEADER = "reference,order_id,change,amount,currency\n"
FTP = {"protocol": "ftps", "host": "ftp.example", "user": "retour", "folder": "/out", "result_folder": "/in"}
SOURCES: dict[str, Any] = {
    **PROGRAM["sources"],
    "pay": {"channel": "api", "kind": "stripe", "event_type": "sale", "basis": "goods"},
    "post": {"channel": "email", "options": {"allow_from": ["returns@shop.example"]}},
    "depot": {"channel": "pull", "options": FTP},
    "doubtful": {"channel": "api", "thresholds": {"bad_rows": "10%"}},
}
LATER = timedelta(minutes=30)


@dataclass
class Desk:
    """A program with a source of every kind, the ways into it, and what it was asked to tell."""

    house: ProgramHarness
    call: Caller
    admin: Caller
    mailed: list[bytes] = field(default_factory=list)
    shelf: Shelf = field(default_factory=Shelf)

    def ask(self, method: str, path: str, body: Any = None, by: str = "call", **more: Any) -> Any:
        answer: Answer = getattr(self, by)(method, path, body, **more)
        assert answer.status < 300, (answer.status, answer.body)
        return answer.json

    def sell(self, *orders: str, **more: Any) -> None:
        sales = [{**SALE, "order_id": order, "amount": "100.00", **more} for order in orders]
        self.ask("POST", ACTIONS, sales)

    def put(self, key: str, body: bytes) -> None:
        self.house.hub.inbox.put(key, body)

    def told(self, key: str) -> None:
        file_drop.handler({"source": "aws.s3", "detail": {"object": {"key": key}}}, CONTEXT)

    def told_all(self, folder: str, run: str) -> None:
        for key in [key for key in self.house.hub.inbox.keys(folder) if f"/{run}" in key]:
            self.told(key)

    def batch(self, name: str) -> dict[str, Any]:
        found = [one for one in self.ask("GET", BATCHES, query={"limit": "100"})["items"] if one["name"] == name]
        assert len(found) == 1, (name, found)
        return dict(found[0])

    def swept(self) -> None:
        program = self.house.hub.program(self.house.program)
        assert program is not None
        for _ in range(2):
            self.house.clock.moment += LATER
            sweep_mails(self.house.hub, self.house.hub.real_now())
            sweep(self.house.hub, program, timedelta(0))
            self.answered()

    def answered(self) -> None:
        """The queue of answers, worked on until it is empty; a message whose worker died comes again."""
        while asked := [one for one in self.house.sent if one[0] == "answers"]:
            send_reply(self.house.hub, asked[0][1])
            self.house.sent.remove(asked[0])

    def stands(self, run: str) -> dict[str, Any]:
        """Everything that a run came to, by whatever does not differ between two runs.

        A file that nobody was told of and that was sent once more is a delivery of its own, all of it duplicates.
        """
        deliveries, found = self.house.hub.deliveries(self.house.program), {}
        for order in ("A", "B", "C"):
            records = self.house.order(f"{run}-{order}").records
            booked = [self.house.order(f"{run}-{order}").booking_of(record.id) for record in records]
            told = sorted((one[1].outcome, one[1].code) if one else ("waiting", "") for one in booked)
            found[order] = (*self.house.payouts(f"{run}-{order}").values(), told)
        left = [one.name for one in deliveries.open() if has_arrived(self.house.hub, one)]
        assert left == [], "only what was announced and never came is open, for a day"
        found["held"] = sum(run in subject or run in str(doc) for subject, doc in deliveries.due("held"))
        found["files"] = sorted(
            (one["name"].replace(run, ""), one["state"], str(one["counts"]), one.get("answer") is not None)
            for one in self.ask("GET", BATCHES, query={"limit": "100"})["items"]
            if run in (one.get("name") or "") and one["state"] != ARRIVED and set(one["counts"]) != {"duplicate"}
        )
        return found


@pytest.fixture
def desk(house: ProgramHarness, admin: Caller, call: Caller, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    desk = Desk(house, call, admin)
    house.apply({**copy.deepcopy(PROGRAM), "sources": SOURCES})
    house.hub.secrets.put(house.program, "pay", {"signing": [SECRET]})
    house.hub.secrets.put(house.program, "post", {"tokens": [TOKEN]})
    for module in (file_drop, ftp_pull, inbound_email, tick, webhook):
        monkeypatch.setattr(module, "hub", lambda: house.hub)
    monkeypatch.setattr(type(house.hub.programs), "ids", lambda _: [house.program])
    monkeypatch.setattr(house.hub, "send_mail", lambda raw, sender, to: desk.mailed.append(raw))
    monkeypatch.setattr(house.hub, "real_now", lambda: datetime.now(UTC) + LATER)
    monkeypatch.setattr(house.hub, "request_sweep", lambda: True)
    yield desk


# The kinds: what is there before, and what is said, once


def rows(run: str, amount: str = "30.00") -> bytes:
    return (HEADER + "".join(f"{run}-f{n},{run}-{n},take_back,{amount},EUR\n" for n in "AB")).encode()


def hooked(desk: Desk, run: str) -> None:
    body, _ = stripe_refund(f"re_{run}", "succeeded", "10.00", order=f"{run}-A")
    headers = sign_headers("stripe", body, SECRET, desk.house.hub.real_now())
    assert webhook.handler(hook(desk.call.program, "pay", body, headers), CONTEXT)["statusCode"] == 200


def changed(desk: Desk, run: str) -> None:
    change = {
        "reference": f"{run}-1",
        "order_id": f"{run}-A",
        "change": "take_back",
        "amount": "7.00",
        "currency": "EUR",
    }
    desk.ask("POST", MODIFICATIONS, change, idempotency_key=f"{run}-k")


def changed_many(desk: Desk, run: str) -> None:
    """Of more orders than are folded one by one; one of them nobody knows, one says nothing new."""
    orders = [*"ABC", *(f"X{n}" for n in range(8))]
    change = {"change": "take_back", "amount": "7.00", "currency": "EUR"}
    desk.ask("POST", MODIFICATIONS, [{**change, "order_id": f"{run}-{one}"} for one in orders], idempotency_key=run)


def reported(desk: Desk, run: str) -> None:
    sales = [{**SALE, "order_id": f"{run}-{one}", "amount": "50.00"} for one in ("A", "B", "C")]
    desk.ask("POST", ACTIONS, sales, idempotency_key=f"{run}-k")


def posted(desk: Desk, run: str, source: str = "erp") -> None:
    query = {"name": f"{run}.csv", "source": source}
    body = rows(run)
    answer = desk.call("POST", FILES, body, query=query, content_type="text/csv", idempotency_key=f"{run}-k")
    assert answer.status == 202, answer.body
    desk.told_all(f"api/{desk.house.program}/", run)


def uploaded(desk: Desk, run: str) -> None:
    desk.told(f"sftp/{desk.house.program}/warehouse/{run}.csv")


def put_upload(desk: Desk, run: str) -> None:
    desk.put(f"sftp/{desk.house.program}/warehouse/{run}.csv", rows(run))


def put_mail(desk: Desk, run: str) -> None:
    desk.put(f"mail/{run}", with_ses_headers(mail_of(desk, run)))


def mail_of(desk: Desk, run: str) -> Mail:
    message = EmailMessage()
    message["From"], message["Subject"], message["Message-ID"] = "returns@shop.example", run, f"<{run}@shop.example>"
    message.set_content("attached\n")
    for name in (f"{run}.csv", f"{run}-2.csv"):
        content = rows(run) if name == f"{run}.csv" else rows(f"{run}").replace(b"-f", b"-g").replace(b"30", b"3")
        message.add_attachment(content, maintype="text", subtype="csv", filename=name)
    return Mail(
        id=run,
        sender="bounces@shop.example",
        recipients=(f"{desk.house.program}.post.{TOKEN}@in.retour.test",),
        raw=message.as_bytes(policy=SMTP),
        peer="192.0.2.1",
        helo="mx",
        received_at=datetime(2026, 11, 2, 9, tzinfo=UTC),
    )


def mailed(desk: Desk, run: str) -> None:
    inbound_email.handler(ses_event(mail_of(desk, run)), CONTEXT)
    desk.told_all(f"email/{desk.house.program}/", run)


class MerchantShelf(Shelf):
    """A server in whose folder answers lie as well."""

    def put(self, folder: str, name: str, body: bytes) -> None:
        super().put(folder, name, body)
        self.changed[name] = datetime(2026, 1, 2, tzinfo=UTC)


def put_at_merchant(desk: Desk, run: str) -> None:
    desk.shelf = MerchantShelf(**{run: rows(run)})


def pulled(desk: Desk, run: str) -> None:
    house = desk.house
    program = house.hub.program(house.program)
    assert program is not None
    from retour.intake.ingest import announce_file

    poll_server(house.hub, announce_file, program, program.sources["depot"], open_server=lambda *_: desk.shelf)
    desk.told_all(f"pull/{house.program}/", run)


def hold_file(desk: Desk, run: str) -> None:
    desk.sell(*(f"{run}-{one}" for one in "AB"))
    body = rows(run) + f"{run}-x,{run}-A,take_back,x,EUR\n".encode()
    query = {"name": f"{run}.csv", "source": "doubtful"}
    desk.call("POST", FILES, body, query=query, content_type="text/csv")
    desk.told_all(f"api/{desk.house.program}/", run)
    desk.answered()
    assert desk.batch(f"{run}.csv")["state"] == "held"


def decided(desk: Desk, run: str, what: str) -> None:
    """A person decides, and again where the page did not say that it was done."""
    batch = desk.batch(f"{run}.csv")
    if batch["state"] == "held":
        desk.ask("POST", f"{BATCHES}/{batch['id']}/{what}", {})


def hold_record(desk: Desk, run: str) -> None:
    desk.sell(f"{run}-A")
    change = {"order_id": f"{run}-A", "change": "take_back", "amount": "20.00"}
    desk.house.modify(change)
    desk.house.modify(change, source="till")


def released(desk: Desk, run: str) -> None:
    [held] = desk.ask("GET", MODIFICATIONS, query={"order_id": f"{run}-A", "source": "till"})["items"]
    if held["outcome"] == "held":
        path = f"{MODIFICATIONS}/{held['id'].replace('~', '%7E')}/release"
        desk.ask("POST", path, {"reference": f"{run}-act"})


def acted(desk: Desk, run: str) -> None:
    desk.ask("POST", f"{ACTIONS}/{run}-A~sale/reverse", {"reason": "CANCELLED", "reference": f"{run}-act"})


def acted_on_many(desk: Desk, run: str) -> None:
    ids = [f"{run}-{one}~sale" for one in "ABC"]
    said = {"actions": ids, "act": "reverse", "reason": "CANCELLED", "reference": f"{run}-act"}
    desk.ask("POST", f"{ACTIONS}/acts", said, idempotency_key=f"{run}-k")


def undone(desk: Desk, run: str) -> None:
    [batch] = [one for one in desk.ask("GET", BATCHES, query={"limit": "100"})["items"] if one["name"] == f"{run}.csv"]
    path = f"{BATCHES}/{batch['id']}/undo"
    answer = desk.call("POST", path, {"reference": f"{run}-act"}, idempotency_key=f"{run}-u")
    assert answer.status < 300 or answer.json["code"] == "NOTHING_TO_UNDO", answer.body


def sold_and_posted(desk: Desk, run: str) -> None:
    sold(desk, run)
    posted(desk, run)
    desk.answered()


def sold(desk: Desk, run: str) -> None:
    desk.sell(*(f"{run}-{one}" for one in "ABC"))


def nothing(desk: Desk, run: str) -> None:
    pass


def wait(desk: Desk, run: str) -> None:
    """Rows of a mailed file whose orders nobody reported, and the time is over."""
    desk.put(f"mail/{run}", with_ses_headers(mail_of(desk, run)))
    mailed(desk, run)
    desk.answered()
    desk.house.clock.moment += timedelta(days=36)


def ticked(desk: Desk, run: str) -> None:
    tick.handler({}, CONTEXT)


@dataclass(frozen=True)
class Kind:
    say: Callable[[Desk, str], None]
    before: Callable[[Desk, str], None] = nothing
    again: bool = True
    """Whether whoever was not answered says it again; else the sweep alone comes by."""
    mails: int = 0
    """How many answers go out by mail; one more where the worker died right after it sent one."""


def both(*befores: Callable[[Desk, str], None]) -> Callable[[Desk, str], None]:
    def run_all(desk: Desk, run: str) -> None:
        for one in befores:
            one(desk, run)

    return run_all


KINDS = {
    "webhook": Kind(hooked, sold),
    "call": Kind(changed, sold),
    "call before its sale": Kind(changed),
    "many changes": Kind(changed_many, sold),
    "report": Kind(reported),
    "file": Kind(posted, sold),
    "upload": Kind(uploaded, both(sold, put_upload)),
    "upload told once": Kind(uploaded, both(sold, put_upload), again=False),
    "mail": Kind(mailed, both(sold, put_mail), mails=1),
    "mail told once": Kind(mailed, both(sold, put_mail), again=False, mails=1),
    "pull": Kind(pulled, both(sold, put_at_merchant)),
    "release of a file": Kind(partial(decided, what="release"), hold_file),
    "discard of a file": Kind(partial(decided, what="discard"), hold_file),
    "release of a record": Kind(released, hold_record),
    "act": Kind(acted, sold),
    "acts on many": Kind(acted_on_many, sold),
    "undo of a file": Kind(undone, sold_and_posted),
    "expiry": Kind(ticked, wait, mails=2),
}


def run_once(desk: Desk, name: str, kind: Kind, proxy: Proxy) -> int:
    """A run in which a worker dies where the proxy says so; how many mails went out in it."""
    kind.before(desk, name)
    desk.mailed.clear()
    with faults(desk.house, proxy):
        for say in (lambda: kind.say(desk, name), desk.answered):
            for _ in range(4):
                try:
                    say()
                except Killed:
                    if say is not desk.answered and not kind.again:
                        break
                    continue
                break
            else:
                raise AssertionError("killed once, and never done")
    desk.swept()
    return len(desk.mailed)


@pytest.mark.parametrize("name", KINDS)
def test_a_worker_that_dies_at_any_step_changes_nothing(desk: Desk, name: str) -> None:
    kind = KINDS[name]
    calm = run_once(desk, "U", kind, undisturbed := Proxy(never, never))
    wanted = desk.stands("U")
    assert calm == kind.mails
    steps = range(1, undisturbed.number + 1)
    deaths = [(at, when) for at in steps for when in ("before", "after")]
    died = sum(die_once(desk, name, at, when, calm, wanted) for at, when in deaths[:: 2 * EVERY - 1])
    assert died >= undisturbed.number // EVERY - 2, "of some runs the last requests are not made"


def die_once(desk: Desk, name: str, at: int, when: str, mails: int, wanted: dict[str, Any]) -> int:
    """A run with a death at a step, and whether it came to that; it stands as the undisturbed one."""
    run, struck = f"K{at}{when[0]}", [False]

    def death(number: int) -> BaseException | None:
        if number != at or struck[0]:
            return None
        struck[0] = True
        return Killed()

    proxy = Proxy(death, never) if when == "before" else Proxy(never, death)
    sent = run_once(desk, run, KINDS[name], proxy)
    assert desk.stands(run) == wanted, (name, at, when)
    assert mails <= sent <= mails + 1, (name, at, when, sent)
    return proxy.struck
