"""Signatures of senders, as their documentation says they are made, against schemes that a program declares."""

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from retour.channels.signature_scheme import SignatureScheme, public_key_error, public_key_fingerprint, unknown_part

NOW = datetime(2026, 11, 22, 0, 30, tzinfo=UTC)
AT = str(int(NOW.timestamp()))
SECRET = "a sender's own text, ä"
KEY = SECRET.encode()
URL = "https://hub.example/v1/programs/acme/hooks/square"
BODY = b'{"id": "re_1", "url": "https://x/y",\n "amount": 4000}'
ED25519, RSA = Ed25519PrivateKey.generate(), rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()  # type: ignore[no-any-return]


def mac(content: bytes, digest: str = "sha256", key: bytes = KEY) -> bytes:
    return hmac.new(key, content, digest).digest()


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def b64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


LOOP = BODY.replace(b"/", rb"\/").replace(b"\n", b"")
SENDERS: Mapping[str, tuple[dict[str, Any], dict[str, str]]] = {
    "square": (
        {"header": "x-square-hmacsha256-signature", "signs": "{url}{body}"},
        {"x-square-hmacsha256-signature": b64(mac(URL.encode() + BODY))},
    ),
    "loop": (
        {"header": "X-Loop-Signature", "signs": "{body|escape_slashes|remove_newlines}"},
        {"x-loop-signature": b64(mac(LOOP))},
    ),
    "aftership": ({"header": "as-signature-hmac-sha256"}, {"as-signature-hmac-sha256": b64(mac(BODY))}),
    "mollie": (
        {"header": "X-Mollie-Signature", "encoding": "hex", "prefix": "sha256="},
        {"x-mollie-signature": "sha256=" + mac(BODY).hex()},
    ),
    "github": (
        {"header": "X-Hub-Signature", "algorithm": "hmac-sha1", "encoding": "hex", "prefix": "sha1="},
        {"x-hub-signature": "sha1=" + mac(BODY, "sha1").hex()},
    ),
    "paystack": (
        {"header": "x-paystack-signature", "algorithm": "hmac-sha512", "encoding": "hex"},
        {"x-paystack-signature": mac(BODY, "sha512").hex()},
    ),
    "stripe": (
        {
            "header": "Stripe-Signature",
            "encoding": "hex",
            "parts": {"signature": "v1", "timestamp": "t"},
            "signs": "{timestamp}.{body}",
        },
        {"stripe-signature": f"t={AT},v1={mac(f'{AT}.'.encode() + BODY).hex()},v0=00"},
    ),
    "paddle": (
        {
            "header": "Paddle-Signature",
            "encoding": "hex",
            "parts": {"signature": "h1", "timestamp": "ts"},
            "signs": "{timestamp}:{body}",
        },
        {"paddle-signature": f"ts={AT};h1={mac(f'{AT}:'.encode() + BODY).hex()}"},
    ),
    "standard webhooks": (
        {
            "header": "webhook-signature",
            "prefix": "v1,",
            "id": "webhook-id",
            "timestamp": "webhook-timestamp",
            "signs": "{id}.{timestamp}.{body}",
        },
        {
            "webhook-id": "msg_1",
            "webhook-timestamp": AT,
            "webhook-signature": f"v1,AAAA v1,{b64(mac(f'msg_1.{AT}.'.encode() + BODY))}",
        },
    ),
    "slack": (
        {
            "header": "X-Slack-Signature",
            "encoding": "hex",
            "prefix": "v0=",
            "timestamp": "X-Slack-Request-Timestamp",
            "signs": "v0:{timestamp}:{body}",
        },
        {
            "x-slack-request-timestamp": AT,
            "x-slack-signature": "v0=" + mac(f"v0:{AT}:".encode() + BODY).hex(),
        },
    ),
    "milliseconds and a topic": (
        {
            "header": "x-sig",
            "encoding": "base64url",
            "timestamp": "x-at",
            "signs": "{header:x-topic}|{timestamp}|{body}",
        },
        {
            "x-topic": "refund",
            "x-at": f"{AT}250",
            "x-sig": b64url(mac(f"refund|{AT}250|".encode() + BODY)),
        },
    ),
    "a hash of the body": (
        {"header": "x-sig", "encoding": "hex", "timestamp": "x-at", "signs": "{timestamp}\n{body|sha256}"},
        {
            "x-at": NOW.isoformat(),
            "x-sig": mac(f"{NOW.isoformat()}\n{hashlib.sha256(BODY).hexdigest()}".encode()).hex(),
        },
    ),
    "discord": (
        {
            "header": "X-Signature-Ed25519",
            "algorithm": "ed25519",
            "encoding": "hex",
            "timestamp": "X-Signature-Timestamp",
            "signs": "{timestamp}{body}",
            "public_keys": [ED25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()],
        },
        {"x-signature-timestamp": AT, "x-signature-ed25519": ED25519.sign(AT.encode() + BODY).hex()},
    ),
    "adobe, direct": (
        {
            "header": "x-adobe-commerce-webhook-signature",
            "algorithm": "rsa-sha256",
            "signs": "{body|base64}",
            "public_keys": [pem(RSA)],
        },
        {"x-adobe-commerce-webhook-signature": b64(RSA.sign(base64.b64encode(BODY), PKCS1v15(), SHA256()))},
    ),
    "paypal, its key pinned": (
        {
            "header": "PAYPAL-TRANSMISSION-SIG",
            "algorithm": "rsa-sha256",
            "id": "PAYPAL-TRANSMISSION-ID",
            "timestamp": "PAYPAL-TRANSMISSION-TIME",
            "signs": "{id}|{timestamp}|WH-1|{body|crc32}",
            "public_keys": [pem(ED25519), pem(RSA)],
        },
        {
            "paypal-transmission-id": "t-1",
            "paypal-transmission-time": "2026-11-22T00:29:00Z",
            "paypal-transmission-sig": b64(
                RSA.sign(f"t-1|2026-11-22T00:29:00Z|WH-1|{zlib.crc32(BODY)}".encode(), PKCS1v15(), SHA256())
            ),
        },
    ),
    "rsa with sha-512": (
        {"header": "x-sig", "algorithm": "rsa-sha512", "public_keys": [pem(RSA)]},
        {"x-sig": b64(RSA.sign(BODY, PKCS1v15(), SHA512()))},
    ),
}


@pytest.fixture(params=SENDERS)
def sender(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def believes(
    sender: str, body: bytes = BODY, headers: Mapping[str, str] | None = None, at: datetime = NOW, url: str = URL
) -> bool:
    declared, sent = SENDERS[sender]
    return SignatureScheme.of(declared).verify(body, sent if headers is None else headers, [SECRET], at, url)


def test_what_the_sender_signed_is_believed(sender: str) -> None:
    assert believes(sender)


def test_nothing_else_is(sender: str) -> None:
    declared, sent = SENDERS[sender]
    assert not believes(sender, BODY + b" ")
    assert not believes(sender, BODY[:-1])
    assert not believes(sender, headers={})
    for name, text in sent.items():
        if name == "x-topic" or "stripe" not in sender:
            assert not believes(sender, headers={**sent, name: ""}), name
            assert not believes(sender, headers={**sent, name: text[::-1]}), name
        assert not believes(sender, headers={key: value for key, value in sent.items() if key != name}), name
    scheme = SignatureScheme.of(declared)
    if not scheme.is_asymmetric:
        for secrets in ([], [""], ["another"], [SECRET + " "]):
            assert not scheme.verify(BODY, sent, secrets, NOW, URL)
        assert scheme.verify(BODY, sent, ["another", SECRET], NOW, URL), "the second live secret"


@given(at=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7), sender=st.sampled_from(sorted(SENDERS)))
def test_no_bit_of_the_body_can_be_another(at: int, bit: int, sender: str) -> None:
    forged = bytearray(BODY)
    forged[at] ^= 1 << bit
    assert not believes(sender, bytes(forged))


@given(
    header=st.text(max_size=80) | st.sampled_from(["v1,====", "t=1,v1=", "=", "\ud800", "sha256=é"]),
    sender=st.sampled_from(sorted(SENDERS)),
)
def test_nothing_in_a_header_raises_or_is_believed(header: str, sender: str) -> None:
    assert not believes(sender, headers=dict.fromkeys(SENDERS[sender][1], header))


@pytest.mark.parametrize(("off", "is_near"), [(0, True), (299, True), (302, False), (-299, True), (-302, False)])
def test_a_signed_time_is_near_ours(off: int, is_near: bool, sender: str) -> None:
    scheme = SignatureScheme.of(SENDERS[sender][0])
    timed = scheme.timestamp is not None or "timestamp" in (scheme.parts or {})
    if sender != "paypal, its key pinned":  # its message is a minute old already
        assert believes(sender, at=NOW + timedelta(seconds=off)) is (is_near or not timed)


def test_the_tolerance_is_the_senders() -> None:
    declared, sent = SENDERS["slack"]
    later = NOW + timedelta(seconds=3000)
    assert SignatureScheme.of({**declared, "tolerance": 3600}).verify(BODY, sent, [SECRET], later, URL)
    assert not SignatureScheme.of({**declared, "tolerance": 60}).verify(BODY, sent, [SECRET], later, URL)


@pytest.mark.parametrize(
    "written", ["", "x", "9" * 15, "2026-11-22T00:30:00", "1e9", "-1", "٣", "0x10", "1700000000.9"]
)
def test_a_time_that_is_none_is_not_believed(written: str) -> None:
    headers = {"x-at": written, "x-sig": b64(mac(f"{written}.".encode() + BODY))}
    scheme = SignatureScheme.of({"header": "x-sig", "timestamp": "x-at", "signs": "{timestamp}.{body}"})
    assert not scheme.verify(BODY, headers, [SECRET], NOW, URL)


def test_where_the_address_is_signed_another_address_is_not_believed() -> None:
    assert not believes("square", url=URL + "2")
    declared, sent = SENDERS["square"]
    assert SignatureScheme.of({**declared, "url": URL}).verify(BODY, sent, [SECRET], NOW, "http://127.0.0.1/inside")


def test_what_we_sign_ourselves_is_believed(sender: str) -> None:
    """A source tries its own address with it."""
    scheme = SignatureScheme.of(SENDERS[sender][0])
    if scheme.is_asymmetric:  # nobody but the sender has its private key
        forged = scheme.sign_headers(BODY, [SECRET], NOW, URL, "t-1")
        assert not scheme.verify(BODY, forged, [SECRET], NOW, URL)
        return
    body = b'{"type": "retour.test", "id": "t-1"}'
    own = scheme.sign_headers(body, [SECRET], NOW, URL, "t-1")
    assert scheme.verify(body, own, [SECRET], NOW, URL)
    assert not scheme.verify(body, own, [SECRET[::-1]], NOW, URL)


@pytest.mark.parametrize("encoding", ["base64", "hex"])
def test_a_secret_that_is_written_otherwise(encoding: str) -> None:
    key = bytes(range(32))
    secret = key.hex() if encoding == "hex" else b64(key)
    scheme = SignatureScheme.of({"header": "x-sig", "secret_encoding": encoding})
    headers = {"x-sig": b64(mac(BODY, key=key))}
    assert scheme.verify(BODY, headers, [secret], NOW, URL)
    assert scheme.verify(BODY, headers, ["whsec_" + secret], NOW, URL)
    for no_secret in ("", "whsec_", "zz!", "é"):
        assert not scheme.verify(BODY, {"x-sig": b64(mac(BODY, key=b""))}, [no_secret], NOW, URL)


def test_an_id_counts_only_where_it_is_signed() -> None:
    """With an unsigned one, an old message could come again as a new one."""
    headers = {"webhook-id": "msg_1"}
    signed, unsigned = SENDERS["standard webhooks"][0], {"header": "x-sig", "id": "webhook-id"}
    assert SignatureScheme.of(signed).delivery_id(headers) == "msg_1"
    assert SignatureScheme.of(unsigned).delivery_id(headers) == ""


@pytest.mark.parametrize(
    ("signs", "wrong"),
    [
        ("{body}", None), ("{timestamp}.{body|sha256}", None), ("{header:x-topic}{body}", None), ("{bodi}", "{bodi}"),
        ("{body|md5}", "{body|md5}"), ("{header}", "{header}"), ("{body:x}", "{body:x}"), ("{body}}", "}"),
        ("{Body}", "{"), ("{ body }", "{"),
    ],
)  # fmt: skip
def test_what_is_signed_has_known_parts(signs: str, wrong: str | None) -> None:
    assert unknown_part(signs) == wrong


def test_a_pinned_key_is_judged_before_it_is_used() -> None:
    raw = ED25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert public_key_error("ed25519", raw.hex()) is None
    assert public_key_error("ed25519", b64(raw)) is None
    assert public_key_error("ed25519", pem(ED25519)) is None
    assert public_key_error("rsa-sha256", pem(RSA)) is None
    assert public_key_error("rsa-sha256", pem(ED25519)) == "another"
    assert public_key_error("ed25519", pem(RSA)) == "another"
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    assert public_key_error("rsa-sha256", pem(short)) == "short"
    assert public_key_error("rsa-sha256", pem(ec.generate_private_key(ec.SECP256R1()))) == "another"
    for text in ("", "x", raw[:31].hex(), "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "ä"):
        assert public_key_error("ed25519", text) == "unreadable"
    assert public_key_fingerprint(pem(RSA)) == public_key_fingerprint(pem(RSA).replace("\n", "\r\n"))
    assert len(public_key_fingerprint(raw.hex())) == 64


def test_a_short_key_verifies_nothing() -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    scheme = SignatureScheme.of({"header": "x-sig", "algorithm": "rsa-sha256", "public_keys": [pem(short)]})
    assert not scheme.verify(BODY, {"x-sig": b64(short.sign(BODY, PKCS1v15(), SHA256()))}, [], NOW, URL)


def test_every_scheme_is_one_that_a_program_can_declare() -> None:
    from jsonschema import Draft202012Validator

    from retour.setup.program_file import load_schema

    schema = load_schema()
    validator = Draft202012Validator({"$defs": schema["$defs"], "$ref": "#/$defs/webhook_signature"})
    for name, (declared, _) in SENDERS.items():
        assert not [*validator.iter_errors(json.loads(json.dumps(declared)))], name
