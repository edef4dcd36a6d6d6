"""Stripe: what its samples do not show."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.channels.hook_samples import SAMPLES, source
from tests.channels.hook_signing import mac
from tests.senders.stripe import sign

from retour.channels import stripe
from retour.domain.money import exponents, parse_decimal, to_minor
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable

NOW = datetime(2026, 11, 22, 0, 30, tzinfo=UTC)
BODY = b'{"id": "evt_1"}'
SECRET = "whsec_endpoint"
MOMENT = int(NOW.timestamp())
GOOD = mac(SECRET.encode(), f"{MOMENT}.".encode() + BODY).hex()
EVENT = json.loads((SAMPLES / "stripe/refund_created.json").read_text())


def believed(header: str, now: datetime = NOW) -> bool:
    return stripe.verify(BODY, {"stripe-signature": header}, ["whsec_old", SECRET], now)


def read(event: dict[str, Any], **said: Any) -> Any:
    return stripe.rows(json.dumps(event).encode(), {}, source("stripe", **said))


def refund(**changed: Any) -> dict[str, Any]:
    return EVENT | {"data": {"object": EVENT["data"]["object"] | changed}}


@pytest.mark.parametrize(
    "header",
    [
        f"t={MOMENT},v1={GOOD}", f"t={MOMENT}, v1={GOOD}", f"t={MOMENT},v1={'0' * 64},v1={GOOD},v0=zz",
        f"v1={GOOD},t={MOMENT}", f"t={MOMENT},v1=,v1=zz,v1,{'=' * 3},v1={GOOD}",
    ],
)  # fmt: skip
def test_one_good_signature_is_enough(header: str) -> None:
    assert believed(header)


@pytest.mark.parametrize(
    "header",
    [
        "", ",", "t", "t=", "v1", "=", f"t={MOMENT}", f"v1={GOOD}", f"t={MOMENT},v0={GOOD}",
        f"t={MOMENT},v1={GOOD[:-1]}",
        f"t={MOMENT},v1={GOOD}00", f"t={MOMENT}.0,v1={GOOD}", f"t=+{MOMENT},v1={GOOD}", f"t={MOMENT + 1},v1={GOOD}",
        f"t={MOMENT},t={MOMENT},v1={GOOD}", f"t=x,v1={GOOD}", f"t={MOMENT},v1=é", f"t=²,v1={GOOD}", "\ud800",
        f"t={'9' * 400},v1={GOOD}", f"T={MOMENT},V1={GOOD}",
    ],
)  # fmt: skip
def test_a_header_of_another_shape_is_not_believed(header: str) -> None:
    assert not believed(header)


def test_the_window_is_five_minutes_either_way() -> None:
    header = sign(BODY, SECRET, NOW, "")["stripe-signature"]
    assert believed(header, NOW + timedelta(seconds=300))
    assert not believed(header, NOW + timedelta(seconds=301))
    assert not believed(header, NOW - timedelta(seconds=301))


def test_the_identity_is_the_event() -> None:
    assert stripe.identity(BODY, {}) == "evt_1"
    for body in (b"", b"[]", b"\xff", b'{"id": {}}', b'{"id": "' + b"x" * 300 + b'"}'):
        assert len(stripe.identity(body, {})) == 64


@pytest.mark.parametrize(
    ("currency", "amount", "told"),
    [
        ("eur", 1, "0.01"), ("usd", 1999, "19.99"), ("jpy", 500, "500"), ("krw", 500, "500"), ("kwd", 5120, "5.120"),
        ("isk", 500, "5.00"), ("ugx", 500, "5.00"), ("mga", 500, "500"), ("huf", 100045, "1000.45"),
        ("twd", 80045, "800.45"),
        ("clp", 7, "7"), ("xaf", 7, "7"), ("eur", 0, "0.00"), ("eur", 10**15, "10000000000000.00"),
    ],
)  # fmt: skip
def test_smallest_units_are_those_of_stripe(currency: str, amount: int, told: str) -> None:
    (row,) = read(refund(currency=currency, amount=amount))
    assert (row.fields["amount"], row.fields["currency"]) == (told, currency.upper())


def test_zero_decimal_currencies_of_stripe_are_read_as_such() -> None:
    """Its published list, less UGX, which its special cases take back to two decimals."""
    for code in [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "JPY",
        "KMF",
        "KRW",
        "MGA",
        "PYG",
        "RWF",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]:
        assert stripe.EXPONENTS.get(code, exponents()[code]) == 0
    assert to_minor(parse_decimal("5.00"), "ISK") == 5, "two decimals that are always 00"


@pytest.mark.parametrize("amount", [None, "1000", 10.5, -1, True, [], {}])
def test_an_amount_that_is_no_whole_number_is_never_guessed(amount: Any) -> None:
    (row,) = read(refund(amount=amount))
    assert isinstance(row, Unreadable)
    assert row.code == "MINOR_UNITS_UNREADABLE"


@pytest.mark.parametrize("currency", [None, "", 5, "EURO", "btc"])
def test_a_currency_that_is_none_is_never_guessed(currency: Any) -> None:
    (row,) = read(refund(currency=currency))
    assert isinstance(row, Unreadable)
    assert row.code == "CURRENCY_UNKNOWN"


@pytest.mark.parametrize(
    ("status", "amount", "rank"),
    [
        ("pending", "10.00", None),
        ("requires_action", "10.00", None),
        ("succeeded", "10.00", "1"),
        ("failed", "0", "2"),
        ("canceled", "0", "2"),
    ],
)
def test_a_refund_is_a_subject_that_takes_its_amount_unless_it_failed(
    status: str, amount: str, rank: str | None
) -> None:
    (row,) = read(refund(status=status))
    assert (row.fields["subject"], row.fields["change"], row.fields["amount"]) == (
        "refund/re_3QaRetour",
        "take_back",
        amount,
    )
    assert row.fields.get("rank") == rank


@pytest.mark.parametrize("status", [None, 5, "of_next_year"])
def test_a_status_that_is_not_known_says_nothing_and_is_told(status: Any) -> None:
    event = refund(status=status)
    assert isinstance(read(event), Ignored)
    undeclared = stripe.undeclared_statuses(json.dumps(event).encode(), {}, source("stripe"))
    assert list(undeclared) == ([status] if isinstance(status, str) else [])


def test_a_source_may_declare_what_a_status_says() -> None:
    (row,) = read(refund(status="of_next_year"), mapping={"statuses": {"of_next_year": "nothing"}})
    assert row.fields["amount"] == "0"


def test_what_has_no_order_id_goes_by_the_names_of_its_payment() -> None:
    named = refund(metadata={}, charge="ch_1", payment_intent="pi_1")
    (row,) = read(named)
    assert (row.fields["names"], "order_id" in row.fields) == ("charge:ch_1 payment_intent:pi_1", False)
    (nameless,) = read(refund(metadata={}, charge=None, payment_intent=None))
    assert isinstance(nameless, Unreadable)
    assert nameless.code == "ORDER_ID_NOT_SENT"


@pytest.mark.parametrize(
    ("kind", "object", "names"),
    [
        ("charge.succeeded", {"object": "charge", "id": "ch_1", "amount": 12000, "currency": "eur"}, ["charge:ch_1"]),
        (
            "payment_intent.succeeded",
            {"object": "payment_intent", "id": "pi_1", "latest_charge": "ch_1", "amount": 12000, "currency": "eur"},
            ["charge:ch_1", "payment_intent:pi_1"],
        ),
        (
            "checkout.session.completed",
            {
                "object": "checkout.session",
                "id": "cs_1",
                "payment_intent": "pi_1",
                "amount_total": 12000,
                "currency": "eur",
            },
            ["payment_intent:pi_1"],
        ),
    ],
)
def test_what_tells_names_tells_nothing_else(kind: str, object: dict[str, Any], names: list[str]) -> None:
    event = EVENT | {"type": kind, "data": {"object": {**object, "client_reference_id": "1042", "order_id": "1042"}}}
    assert read(event) == OrderNames("1042", tuple(names), "120.00", "EUR")


def test_an_order_id_is_metadata_first() -> None:
    event = refund(metadata={"payment_intent": "from metadata", "order.no": "7"})
    assert read(event, order_id_field="payment_intent")[0].fields["order_id"] == "from metadata"
    assert read(event, order_id_field="order.no")[0].fields["order_id"] == "7"


@pytest.mark.parametrize("found", [None, [], "x", {}, {"id": None}])
def test_an_event_without_its_object_is_refused(found: Any) -> None:
    refused = read(EVENT | {"data": {"object": found}})
    assert isinstance(refused, Refusal)
    assert refused.code == "PAYLOAD_INCOMPLETE"


def test_two_equal_partial_refunds_are_two_records() -> None:
    rows = [read(refund(id=reference))[0] for reference in ("re_1", "re_2")]
    assert all(isinstance(row, Row) for row in rows)
    assert rows[0].fields["reference"] != rows[1].fields["reference"]
