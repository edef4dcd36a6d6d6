"""Standard Webhooks: what is believed, and every shape of header that is not."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from tests.channels.hook_signing import base64_of, mac, standard_with

from retour.channels import standard
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable

KEY = b"retour-retour-retour-000"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW = datetime(2026, 11, 22, 0, 30, tzinfo=UTC)
BODY = b'{"order_id": "1042", "change": "reverse"}'
MOMENT = str(int(NOW.timestamp()))
GOOD = standard_with(KEY, BODY, NOW)["webhook-signature"]


def believed(now: datetime = NOW, body: bytes = BODY, secrets: tuple[str, ...] = (SECRET,), **changed: str) -> bool:
    headers = standard_with(KEY, BODY, NOW) | {f"webhook-{name}": value for name, value in changed.items()}
    return standard.verify(body, headers, secrets, now)


def test_the_published_example_is_believed() -> None:
    """Signed by the reference library of the specification, version 1.1.0, with the secret of its documentation."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    now = datetime.fromtimestamp(1614265330, UTC)
    assert standard.verify(body, headers, [secret], now)
    assert not standard.verify(body + b"\n", headers, [secret], now)


@pytest.mark.parametrize(
    "signature",
    [
        f"v1,{base64_of(b'x' * 32)} {GOOD}",  # the secret is being changed at the sender
        f"v1a,{base64_of(b'x' * 64)} {GOOD}",
        f"v1a,%% v1 , v1, v2,x {GOOD}",  # the shapes that make some verifiers give up before the good one
        f"  {GOOD}  ",
        f"{GOOD} v1,",
    ],
)
def test_one_good_signature_among_others_is_enough(signature: str) -> None:
    assert believed(signature=signature)


@pytest.mark.parametrize(
    "signature",
    [
        "", " ", "v1", "v1,", "v1,====", "v1,%%%", "v1,é", "\ud800", ",", ",,", "v1 ,", GOOD.removeprefix("v1,"),
        GOOD.replace("v1,", "v2,"), GOOD.replace("v1,", "v1a,"), GOOD.replace("v1,", "V1,"), GOOD[:-4], GOOD + "AAAA",
        GOOD.replace("v1,", "v1,v1,"), GOOD.replace(",", ", "), base64_of(mac(KEY, BODY)),
        "v1," + base64_of(mac(b"", f"msg_1.{MOMENT}.".encode() + BODY)), " ".join(["v1,AAAA"] * 5000),
        "v1," + mac(KEY, f"msg_1.{MOMENT}.".encode() + BODY).hex(),
    ],
)  # fmt: skip
def test_a_signature_of_another_shape_is_not_believed(signature: str) -> None:
    assert not believed(signature=signature)


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        " ",
        "0",
        "-1",
        f"{MOMENT}.9",
        f" {MOMENT}",
        f"+{MOMENT}",
        "1e9",
        "nan",
        "inf",
        "٣",
        MOMENT + "0" * 30,
        "²",
        "x",
    ],
)
def test_a_timestamp_of_another_shape_is_not_believed_even_when_signed(timestamp: str) -> None:
    content = f"msg_1.{timestamp}.".encode() + BODY
    assert not believed(timestamp=timestamp, signature="v1," + base64_of(mac(KEY, content)))


def test_the_window_is_five_minutes_either_way() -> None:
    assert believed(NOW + timedelta(seconds=300))
    assert believed(NOW - timedelta(seconds=300))
    assert not believed(NOW + timedelta(seconds=301))
    assert not believed(NOW - timedelta(seconds=301))


def test_id_and_time_are_under_the_signature() -> None:
    assert not believed(id="msg_2")
    assert not believed(id="")
    assert not believed(id="msg_é")
    assert not believed(timestamp=str(int(MOMENT) + 1))


def test_a_missing_header_is_not_believed() -> None:
    headers = standard_with(KEY, BODY, NOW)
    for name in headers:
        without = {key: value for key, value in headers.items() if key != name}
        assert not standard.verify(BODY, without, [SECRET], NOW)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_%%", "whsec_é", "whsec_A", SECRET.lower(), "x", SECRET[:10] + "%" + SECRET[10:]]
)
def test_what_is_no_secret_believes_nothing(secret: str) -> None:
    assert not believed(secrets=(secret,))
    unkeyed = standard_with(b"", BODY, NOW)
    assert not standard.verify(BODY, unkeyed, [secret], NOW)


def test_two_secrets_are_live_at_once_and_one_may_be_spoilt() -> None:
    assert believed(secrets=("whsec_%%", SECRET))
    assert believed(secrets=(SECRET, "whsec_%%"))
    assert believed(secrets=(SECRET.rstrip("="),)), "without its padding"


def test_the_identity_is_the_senders_id() -> None:
    assert standard.identity(BODY, {"webhook-id": "msg_1"}) == "msg_1"
    assert standard.identity(BODY, {}) == standard.identity(BODY, {"webhook-id": "m" * 300}) != "msg_1"


# Headers and envelope as other Standard Webhooks senders have them (A21)


def svix(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("webhook-", "svix-"): value for name, value in headers.items()}


def test_headers_that_begin_with_svix_are_believed_alike() -> None:
    headers = svix(standard_with(KEY, BODY, NOW))
    assert standard.verify(BODY, headers, [SECRET], NOW)
    assert not standard.verify(BODY + b" ", headers, [SECRET], NOW)
    assert not standard.verify(BODY, headers, [SECRET], NOW + timedelta(seconds=301))
    assert standard.identity(BODY, headers) == "msg_1"


@pytest.mark.parametrize("name", ["id", "timestamp", "signature"])
def test_the_two_names_of_a_header_are_never_mixed(name: str) -> None:
    headers = standard_with(KEY, BODY, NOW)
    moved = {f"svix-{name}": headers.pop(f"webhook-{name}")}
    assert not standard.verify(BODY, headers | moved, [SECRET], NOW)


SOURCE = Source(name="shop", channel=Channel.API, kind="standard")


def read(body: str) -> object:
    return standard.rows(body.encode(), {}, SOURCE)


@pytest.mark.parametrize(
    ("data", "records"),
    [
        ('{"order_id": "1042", "change": "reverse"}', 1),
        ('[{"order_id": "1", "change": "reverse"}, {"order_id": "2", "change": "reverse"}]', 2),
        ('{"modifications": [{"order_id": "1", "change": "reverse"}]}', 1),
    ],
)
def test_the_envelope_is_read_as_what_is_in_it(data: str, records: int) -> None:
    said = f'{{"type": "return.created",\n "timestamp": "2026-11-21T09:30:00Z", "data" : {data} }}'
    bare, rows = read(data), read(said)
    assert isinstance(bare, tuple) and isinstance(rows, list) and len(rows) == records
    for one, other in zip(rows, bare, strict=True):
        assert one.raw == other.raw
        assert one.fields == {**other.fields, "occurred_at": "2026-11-21T09:30:00Z"}


def test_what_a_record_says_of_its_time_goes_before_the_envelopes() -> None:
    own = '{"order_id": "1", "change": "reverse", "occurred_at": "2026-11-20T08:00:00Z"}'
    [row] = read(f'{{"type": "x", "timestamp": "2026-11-21T09:30:00Z", "data": {own}}}')  # type: ignore[misc]
    assert isinstance(row, Row) and row.fields["occurred_at"] == "2026-11-20T08:00:00Z"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ('{"type": "x", "timestmp": "2026-11-21T09:30:00Z", "data": {}}', "UNKNOWN_FIELD"),
        ('{"type": "x", "type": "y", "data": {}}', "DUPLICATE_KEY"),
        ('{"type": "x", "data": 7}', "NOT_RECORDS"),
    ],
)
def test_an_envelope_that_is_not_right_is_refused_by_name(said: str, code: str) -> None:
    refused = read(said)
    assert isinstance(refused, Refusal) and refused.code == code


def test_a_key_twice_inside_the_envelope_is_that_records_fault() -> None:
    [row] = read('{"type": "x", "data": {"order_id": "1", "amount": "1.00", "amount": "9.00"}}')  # type: ignore[misc]
    assert isinstance(row, Unreadable) and (row.code, row.column) == ("DUPLICATE_KEY", "amount")
