"""Senders that are described and not programmed, as docs/signed-webhooks.md shows them, through the front door."""

import base64
import hashlib
import hmac
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from retour.setup.program_file import Fault, parse_program
from tests.gateway import hook
from tests.senders.messages import cents, moment
from tests.senders.webhook_harness import CONTEXT, DOCUMENT, SECRET, WebhookHarness
from tests.settings import IN_MEMORY

PAGE = (Path(__file__).parents[2] / "docs/signed-webhooks.md").read_text()
SOURCES: Mapping[str, Any] = {
    name: body
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for name, body in yaml.safe_load(block)["sources"].items()
}
URL = f"{IN_MEMORY.api_url}/v1/programs/acme/hooks/shop"


def mac(content: bytes) -> bytes:
    return hmac.new(SECRET.encode(), content, hashlib.sha256).digest()


def sign_square(body: bytes) -> dict[str, str]:
    return {"x-square-hmacsha256-signature": base64.b64encode(mac(URL.encode() + body)).decode()}


def sign_loop(body: bytes) -> dict[str, str]:
    """As its documentation has it: slashes escaped, no line breaks."""
    return {"x-loop-signature": base64.b64encode(mac(body.replace(b"/", rb"\/").replace(b"\n", b""))).decode()}


def sign_helpdesk(body: bytes) -> dict[str, str]:
    return {"x-helpdesk-signature": f"sha256={mac(body).hex()}"}


SIGN: Mapping[str, Callable[[bytes], dict[str, str]]] = {
    "square": sign_square,
    "loop": sign_loop,
    "helpdesk": sign_helpdesk,
}


class Hall(WebhookHarness):
    """A program with one described source."""

    def __init__(self, sender: str, body: Mapping[str, Any] | None = None, **program_says: Any) -> None:
        self.sender = sender
        super().__init__("signed", body or SOURCES[sender], program_says)

    def call(self, message: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        signed = SIGN[self.sender](body) if headers is None else dict(headers)
        kept = {"content-type": "application/octet-stream", **signed}
        answer = self.app.handler(hook("acme", "shop", body, kept), CONTEXT)
        return answer["statusCode"], json.loads(answer["body"])

    def tell(self, message: Any) -> Mapping[str, Any]:
        status, answer = self.call(message)
        assert status == 200, answer
        return answer  # type: ignore[no-any-return]


def square_refund(number: str, status: str, amount: str, at: int, payment: str = "pay_1", event: str = "") -> Any:
    refund = {
        "id": number,
        "status": status,
        "amount_money": {"amount": cents(amount), "currency": "EUR"},
        "payment_id": payment,
        "order_id": "of-the-return",
        "updated_at": moment(at).isoformat().replace("+00:00", ".000Z"),
    }
    kind = "refund.created" if status == "PENDING" else "refund.updated"
    return {
        "merchant_id": "M",
        "type": kind,
        "event_id": event or f"{number}-{status}-{at}",
        "data": {"type": "refund", "id": number, "object": {"refund": refund}},
    }


def square_dispute(number: str, state: str, amount: str, version: int, payment: str = "pay_1") -> Any:
    dispute = {
        "id": number,
        "state": state,
        "version": version,
        "amount_money": {"amount": cents(amount), "currency": "EUR"},
        "disputed_payment": {"payment_id": payment},
    }
    return {
        "type": "dispute.state.updated",
        "event_id": f"{number}-{state}-{version}",
        "data": {"type": "dispute", "object": {"dispute": dispute}},
    }


def square_payment(order: str, total: str, payment: str = "pay_1") -> Any:
    told = {"id": payment, "order_id": order, "total_money": {"amount": cents(total), "currency": "EUR"}}
    return {"type": "payment.created", "event_id": payment, "data": {"type": "payment", "object": {"payment": told}}}


def loop_return(state: str, refund: str | None, gift_card: str | None = None, number: int = 7, order: str = "1") -> Any:
    return {
        "id": number, "trigger": "return.updated", "state": state, "provider_order_id": order, "order_id": 998,
        "refund": refund, "gift_card": gift_card, "currency": "EUR", "label_url": "https://loop.example/label/7",
    }  # fmt: skip


def helpdesk_return(state: str, refund: str, at: int) -> Any:
    told = {"id": 5, "state": state, "refund": refund, "currency": "EUR", "order_number": "1"}
    return {"type": "return.updated", "return": {**told, "changed_at": moment(at).isoformat()}}


def test_the_page_describes_sources_that_programs_take() -> None:
    for name, body in SOURCES.items():
        read = parse_program(json.dumps({**DOCUMENT, "sources": {name: body}}))
        assert isinstance(read, dict), read
    assert {"square", "loop", "helpdesk"} <= SOURCES.keys()


# Square


def test_a_refund_of_square_counts_by_its_share_once_its_payment_is_known() -> None:
    hall = Hall("square")
    hall.sell("1")
    assert hall.tell(square_refund("re_1", "PENDING", "59.50", 1))["counts"] == {"waiting": 1}
    hall.tell(square_payment("1", "119.00"))
    hall.tell(square_refund("re_1", "COMPLETED", "59.50", 2))
    assert hall.left("1") == "50.00"
    hall.tell(square_refund("re_1", "FAILED", "59.50", 3))
    assert hall.left("1") == "100.00"


def test_a_dispute_of_square_takes_while_the_money_is_away() -> None:
    hall = Hall("square")
    hall.sell("1")
    hall.tell(square_payment("1", "100.00"))
    for version, (state, left) in enumerate(
        [("INQUIRY_PROCESSING", "100.00"), ("EVIDENCE_REQUIRED", "70.00"), ("PROCESSING", "70.00"), ("WON", "100.00")]
    ):
        hall.tell(square_dispute("dp_1", state, "30.00", version))
        assert hall.left("1") == left, state


def test_a_state_that_nobody_declared_changes_nothing_and_is_listed() -> None:
    hall = Hall("square")
    hall.sell("1")
    hall.tell(square_payment("1", "100.00"))
    hall.tell(square_refund("re_1", "COMPLETED", "40.00", 1))
    answer = hall.tell(square_refund("re_1", "IN_LIMBO", "40.00", 2))
    assert answer["state"] == "ignored"
    assert hall.left("1") == "60.00"
    assert list(hall.listed("status")) == ["shop#IN_LIMBO"]


STATES = {"PENDING": "40", "COMPLETED": "40", "REJECTED": "0", "FAILED": "0", "IN_LIMBO": None}
DISPUTE_STATES = {"INQUIRY_PROCESSING": "0", "PROCESSING": "30", "LOST": "30", "WON": "0"}


def sequences() -> Iterator[list[tuple[str, str, int]]]:
    """Two objects, three messages: each choice of states, in each order of arrival."""
    choices = [("refund", state) for state in STATES] + [("dispute", state) for state in DISPUTE_STATES]
    for told in itertools.product(choices, repeat=3):
        numbered = [(kind, state, at) for at, (kind, state) in enumerate(told, start=1)]
        yield from (list(arrivals) for arrivals in itertools.permutations(numbered))


def expected_left(arrivals: Sequence[tuple[str, str, int]]) -> str:
    """The judge: the sale less what each object's newest statement takes."""
    newest: dict[str, tuple[int, Decimal]] = {}
    for kind, state, at in arrivals:
        takes = (STATES if kind == "refund" else DISPUTE_STATES)[state]
        if takes is not None and newest.get(kind, (0, Decimal(0)))[0] < at:
            newest[kind] = at, Decimal(takes)
    return f"{Decimal(100) - sum(taken for _, taken in newest.values()):.2f}"


def play(arrivals: Sequence[tuple[str, str, int]], hall: Hall, order: str) -> str:
    hall.sell(order)
    hall.tell(square_payment(order, "100.00", f"pay_{order}"))
    for kind, state, at in arrivals:
        if kind == "refund":
            told = square_refund(f"re_{order}", state, "40.00", at, f"pay_{order}")
        else:
            told = square_dispute(f"dp_{order}", state, "30.00", at, f"pay_{order}")
        hall.tell(told)
        hall.tell(told)  # every message comes twice
    return hall.left(order)


def check_sequences(every: int) -> int:
    hall, count = Hall("square"), 0
    for number, arrivals in enumerate(itertools.islice(sequences(), 0, None, every)):
        hall = hall if number % 100 else Hall("square")
        assert play(arrivals, hall, str(1000 + number)) == expected_left(arrivals), arrivals
        count += 1
    return count


def test_some_sequences_of_square_in_some_orders() -> None:
    assert check_sequences(89) > 40


@pytest.mark.slow
def test_every_sequence_of_square_in_every_order() -> None:
    assert check_sequences(1) == 9**3 * 6


# Loop


def test_a_closed_return_of_loop_takes_its_refund_and_its_gift_card() -> None:
    hall = Hall("loop")
    hall.sell("1")
    for state, left in (("open", "100.00"), ("needs review", "100.00"), ("closed", "55.00")):
        hall.tell(loop_return(state, "30.00", "15.00"))
        assert hall.left("1") == left, state
    hall.tell(loop_return("open", "30.00", "15.00"))
    assert hall.left("1") == "55.00", "an earlier state that comes late"
    hall.tell(loop_return("closed", "0.00", None, number=8))
    assert hall.left("1") == "55.00", "closed by hand, without money"


def test_the_bytes_of_loop_are_read_as_it_signs_them() -> None:
    """It signs its slashes escaped; they may come so, or not."""
    hall = Hall("loop")
    hall.sell("1")
    pretty = json.dumps(loop_return("closed", "30.00"), indent=1).encode()
    escaped = pretty.replace(b"/", rb"\/")
    for body in (pretty, escaped):
        assert hall.call(body, sign_loop(body.replace(rb"\/", b"/")))[0] == 200
    assert hall.left("1") == "70.00"


# What holds for all of them

EXAMPLES = {
    "square": square_refund("re_1", "COMPLETED", "40.00", 1),
    "loop": loop_return("closed", "40.00"),
    "helpdesk": helpdesk_return("refunded", "40.00", 1),
}


@pytest.mark.parametrize("sender", EXAMPLES)
def test_a_wrong_signature_is_401_and_leaves_nothing(sender: str) -> None:
    hall = Hall(sender)
    hall.sell("1")
    before = set(hall.kept.headers)
    body = json.dumps(EXAMPLES[sender]).encode()
    signed = SIGN[sender](body)
    forged = [{name: text[:-6] + "AAAAA=" for name, text in signed.items()}, {}, dict.fromkeys(signed, "")]
    for headers in forged:
        assert hall.call(body, headers)[0] == 401
    assert hall.call(body + b" ", signed)[0] == 401
    assert set(hall.kept.headers) == before
    assert hall.left("1") == "100.00"


@pytest.mark.parametrize("sender", EXAMPLES)
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"type": 1}', b'{"a": 1, "a": 2}', b"[" * 100_000]
)
def test_garbage_that_is_signed_is_kept_and_answered_200(sender: str, body: bytes) -> None:
    hall = Hall(sender)
    answer = hall.tell(body)
    assert answer["state"] in ("refused", "ignored")
    assert body in hall.kept.bodies.values()


@pytest.mark.parametrize("sender", EXAMPLES)
def test_the_trial_of_its_address_is_believed_and_leaves_nothing(sender: str) -> None:
    hall = Hall(sender)
    assert hall.tell(b'{"type": "retour.test", "id": "t-1"}')["state"] == "ignored"
    assert not hall.kept.headers


def test_a_repeat_is_recognised_by_the_id_that_is_signed_or_by_its_bytes() -> None:
    hall = Hall("helpdesk")
    hall.sell("1")
    told = helpdesk_return("refunded", "40.00", 1)
    assert hall.tell(told)["counts"] == {"applied": 1}
    assert hall.tell(told)["counts"] == {"duplicate": 1}
    square = Hall("square")
    square.sell("1")
    square.tell(square_payment("1", "100.00"))
    refund = square_refund("re_1", "COMPLETED", "40.00", 1, event="evt_1")
    first = square.tell(refund)
    again = square.tell({**refund, "retry": 1})
    assert [one["counts"] for one in (first, again)] == [{"applied": 1}, {"duplicate": 1}]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"refund": "much"}, "AMOUNT_UNREADABLE"), ({"order_number": None}, "FIELD_NOT_SENT"),
        ({"state": None}, "FIELD_NOT_SENT"), ({"id": None}, "FIELD_NOT_SENT"), ({"changed_at": None}, "FIELD_NOT_SENT"),
        ({"changed_at": "yesterday"}, "VERSION_UNCLEAR"), ({"refund": "-40.00"}, "AMOUNT_NEGATIVE"),
        ({"refund": "40.005"}, "AMOUNT_TOO_FINE"), ({"currency": "XXX"}, "UNKNOWN_CURRENCY"),
        ({"id": "\ud800"}, "NOT_UNICODE"), ({"refund": {"amount": 1}}, "AMOUNT_UNREADABLE"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_refused_with_its_place(change: Mapping[str, Any], code: str) -> None:
    hall = Hall("helpdesk")
    hall.sell("1")
    told = helpdesk_return("refunded", "40.00", 1)
    told["return"].update(change)
    answer = hall.tell(told)
    assert answer["counts"] == {"refused": 1}, answer
    assert answer["outcomes"][0]["code"] == code
    assert hall.left("1") == "100.00"


def described(**more: Any) -> dict[str, Any]:
    """A made-up sender: a list of returns with lines."""
    fields = {
        "subject": "return/{$.id}",
        "order_id": "{$.shop}-{$.order}",
        "sku": "@.sku",
        "amount": ["@.price", "-@.kept_back"],
        "quantity": "@.units",
    }
    event = {"when": {"header:X-Topic": "return"}, "records": "$.lines[?@.kind == 'product']", "fields": fields}
    return {
        "channel": "api",
        "event_type": "sale",
        "options": {
            "signature": {"header": "x-helpdesk-signature", "encoding": "hex", "prefix": "sha256="},
            "events": [{**event, "change": "take_back", **more}],
        },
    }


def test_lines_by_a_filter_a_constant_header_and_amounts_that_are_worked_out() -> None:
    hall = Hall("helpdesk", described())
    hall.sell(
        "de-1", items=[{"sku": "A", "quantity": 2, "amount": "60.00"}, {"sku": "B", "amount": "40.00"}], amount=None
    )
    lines = [
        {"kind": "product", "sku": "A", "price": 30, "units": 1},
        {"kind": "shipping", "sku": "S", "price": 5},
        {"kind": "product", "sku": "B", "price": "25.50", "kept_back": 5.25},
    ]
    body = json.dumps({"id": 1, "shop": "de", "order": 1, "lines": lines}).encode()
    status, answer = hall.call(body, {**sign_helpdesk(body), "x-topic": "return"})
    assert (status, answer["counts"]) == (200, {"applied": 2})
    assert hall.left("de-1") == f"{100 - 30 - 20.25:.2f}"
    other = body.replace(b'"id": 1', b'"id": 2')
    assert hall.call(other, {**sign_helpdesk(other), "x-topic": "other"})[1]["state"] == "ignored"
    [delivery] = [one for one in hall.kept.headers.values() if one.delivery.facts == {"x-topic": "return"}]
    assert "signature" not in json.dumps(dict(delivery.delivery.facts)), "what a replay needs, and nothing else"


def test_a_place_with_several_values_is_refused_and_not_guessed() -> None:
    body = described(records="$")
    body["options"]["events"][0]["fields"] = {"subject": "r/1", "order_id": "$.lines[*].order", "amount": "$.total"}
    body["options"]["events"][0].pop("when")
    hall = Hall("helpdesk", body)
    answer = hall.tell({"total": "1.00", "lines": [{"order": "1"}, {"order": "2"}]})
    assert [one["code"] for one in answer["outcomes"]] == ["SEVERAL_VALUES"]


@pytest.mark.parametrize(
    ("currency", "minor", "left"), [("EUR", 1990, "80.10"), ("JPY", 40, "60"), ("KWD", 19900, "80.100")]
)
def test_smallest_units_are_those_of_the_currency(currency: str, minor: int, left: str) -> None:
    body = described(records="$", minor_units=True)
    body["options"]["events"][0].pop("when")
    fields = {"subject": "r/1", "order_id": "$.order", "amount": "$.amount", "currency": "$.currency"}
    body["options"]["events"][0]["fields"] = fields
    fx = {currency: [{"from": "2026-01-01", "rate": "0.5"}]} if currency != "EUR" else {}
    hall = Hall("helpdesk", body, fx=fx)
    sold = {"EUR": "100.00", "JPY": "100", "KWD": "100.000"}[currency]
    hall.sell("1", sold, currency=currency)
    assert hall.tell({"order": "1", "amount": minor, "currency": currency.lower()})["counts"] == {"applied": 1}
    assert Decimal(hall.head("1").standing.amount).scaleb(-{"EUR": 2, "JPY": 0, "KWD": 3}[currency]) == Decimal(left)


def test_more_records_than_a_message_may_have_are_refused_whole() -> None:
    body = described(records="$.lines[*]")
    body["options"]["events"][0].pop("when")
    hall = Hall("helpdesk", body)
    answer = hall.tell({"id": 1, "shop": "a", "order": 1, "lines": [{"price": 1}] * 501})
    assert (answer["state"], answer["code"]) == ("refused", "TOO_MANY_RECORDS")


def test_a_pinned_key_needs_no_secret_and_believes_nobody_else() -> None:
    key = Ed25519PrivateKey.generate()
    body = described(records="$")
    event = body["options"]["events"][0]
    event.pop("when")
    event["fields"] = {"subject": "r/1", "order_id": "$.order", "amount": "$.amount"}
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    body["options"]["signature"] = {
        "header": "x-sig", "algorithm": "ed25519", "encoding": "hex", "public_keys": [public],
        "timestamp": "x-at", "signs": "{timestamp}.{body}",
    }  # fmt: skip
    hall = Hall("helpdesk", body)
    hall.sell("1")
    told = b'{"order": "1", "amount": "40.00"}'
    at = str(int(hall.real_now().timestamp()))
    signed = {"x-at": at, "x-sig": key.sign(f"{at}.".encode() + told).hex()}
    assert hall.call(told, {**signed, "x-sig": Ed25519PrivateKey.generate().sign(told).hex()})[0] == 401
    assert hall.call(told, {"x-at": at, "x-sig": mac(f"{at}.".encode() + told).hex()})[0] == 401, "by its secret"
    assert hall.call(told, signed)[1]["counts"] == {"applied": 1}
    assert hall.left("1") == "60.00"
    hall.moment += timedelta(minutes=6)
    assert hall.call(told, signed)[0] == 401, "too old"


def faults(source: Mapping[str, Any]) -> list[str]:
    read = parse_program(json.dumps({**DOCUMENT, "sources": {"shop": {"kind": "signed", **source}}}))
    return [fault.what.code for fault in read if isinstance(fault, Fault)] if isinstance(read, list) else []


@pytest.mark.parametrize(
    ("signature", "code"),
    [
        ({"header": "x", "signs": "{bodi}"}, "FAULT_SIGNS_UNKNOWN"),
        ({"header": "x", "signs": "{id}"}, "FAULT_SIGNS_NO_BODY"),
        ({"header": "x", "signs": "{timestamp}{body}"}, "FAULT_SIGNS_FROM_WHERE"),
        ({"header": "x", "signs": "{id}{body}"}, "FAULT_SIGNS_FROM_WHERE"),
        ({"header": "x", "timestamp": "y"}, "FAULT_TIME_UNSIGNED"),
        ({"header": "x", "algorithm": "ed25519"}, "FAULT_PUBLIC_KEYS_MISSING"),
        ({"header": "x", "public_keys": ["00"]}, "FAULT_PUBLIC_KEYS_UNUSED"),
        ({"header": "x", "algorithm": "ed25519", "public_keys": ["00"]}, "FAULT_PUBLIC_KEY_UNREADABLE"),
        ({"algorithm": "hmac-sha256"}, "FAULT_KEY_MISSING"),
        ({"header": "x", "algorithm": "md5"}, "FAULT_VALUE_UNKNOWN"),
    ],
)  # fmt: skip
def test_a_signature_that_cannot_work_is_told_before_it_is_used(signature: Mapping[str, Any], code: str) -> None:
    source = described()
    assert faults(source) == []
    source["options"]["signature"] = signature
    assert code in faults(source)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"records": "lines"}, "FAULT_NO_PLACE"), ({"records": "$.lines["}, "FAULT_NO_PLACE"),
        ({"records": "$..a..b"}, "FAULT_NO_PLACE"), ({"when": {"$.[": "x"}}, "FAULT_NO_PLACE"),
        ({"names": ["{@.id}"]}, "FAULT_NAME_WITHOUT_KIND"), ({"minor_units": True}, "FAULT_MINOR_UNITS_OF_WHAT"),
        ({"tells": "names"}, "FAULT_EVENT_NO_NAMES"), ({"change": None}, "FAULT_STATE_OR_CHANGE"),
        ({"fields": {"subject": "a", "amount": "@.a"}}, "FAULT_EVENT_NO_ORDER"),
        ({"fields": {"order_id": "@.a", "subject": "x"}}, "FAULT_EVENT_NO_AMOUNT"),
        ({"fields": {"order_id": "@.a", "amount": "-@.[", "subject": "x"}}, "FAULT_NO_PLACE"),
        ({"change": None, "fields": {"order_id": "@.a", "status": "@.s", "subject": "x"}}, "FAULT_STATES_MISSING"),
        ({"change": "nothing", "fields": {"order_id": "@.a"}}, "FAULT_EVENT_NO_SUBJECT"),
        (
            {
                "change": None, "fields": {"order_id": "@.a", "status": "@.s", "subject": "x"},
                "statuses": {"a": "reverse", "b": "nothing"}, "ranks": ["a"],
            },
            "FAULT_STATE_UNRANKED",
        ),
        (
            {
                "change": None, "fields": {"order_id": "@.a", "status": "@.s", "subject": "x"},
                "statuses": {"a": "reverse"}, "ranks": ["a", ["b", "a"]],
            },
            "FAULT_STATE_RANKED_TWICE",
        ),
    ],
)  # fmt: skip
def test_an_event_that_cannot_work_is_told_before_it_is_used(change: Mapping[str, Any], code: str) -> None:
    source = described()
    event = {**source["options"]["events"][0], **change}
    source["options"]["events"][0] = {name: value for name, value in event.items() if value is not None}
    assert code in faults(source)


def test_only_sources_of_this_kind_are_described() -> None:
    assert "FAULT_ONLY_SIGNED" in faults({**described(), "kind": "stripe"})
    assert faults({"channel": "api", "options": {}}) == ["FAULT_SIGNED_NEEDS", "FAULT_SIGNED_NEEDS"]
