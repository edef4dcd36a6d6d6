"""Signature schemes as sources declare them: what is signed, algorithm, encoding, header.

What is signed is a text with parts in braces, of which only `{body}` is required: `{timestamp}.{body}`, `{url}{body}`,
`{id}.{timestamp}.{body}`, `{header:x-topic}`. A part can be transformed: `{body|sha256}`, `{body|base64}`,
`{body|crc32}`, `{body|escape_slashes|remove_newlines}`. All parts are bytes, exactly as received.
"""

import base64
import binascii
import hashlib
import hmac
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from retour.channels.signature import SIGNATURES_MAX, text_key
from retour.domain.times import parse_instant

TOLERANCE_SECONDS = 300
HMACS: Mapping[str, str] = {"hmac-sha1": "sha1", "hmac-sha256": "sha256", "hmac-sha512": "sha512"}
PUBLIC_KEY_ALGORITHMS = ("ed25519", "rsa-sha256", "rsa-sha512")
RSA_BITS_MIN = 2048
TRIAL = "retour.test"
"""Value of a signed header in a connection test."""
PARTS = ("body", "timestamp", "id", "url", "header")
PART = re.compile(r"\{([a-z]+)(?::([a-z0-9-]+))?((?:\|[a-z0-9_]+)*)\}")
MAKE: Mapping[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64encode,
    "sha256": lambda content: hashlib.sha256(content).hexdigest().encode(),
    "crc32": lambda content: str(zlib.crc32(content)).encode(),
    "escape_slashes": lambda content: re.sub(rb"(?<!\\)/", rb"\\/", content),
    "remove_newlines": lambda content: re.sub(rb"[\r\n]", b"", content),
}
"""Transformations of a part before it is signed."""


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """`options.signature` of a source. Header names are in lower case; `parts` are keys within the signature header."""

    header: str
    algorithm: str = "hmac-sha256"
    encoding: str = "base64"
    prefix: str = ""
    signs: str = "{body}"
    timestamp: str | None = None
    tolerance: int = TOLERANCE_SECONDS
    id: str | None = None
    url: str | None = None
    parts: Mapping[str, str] | None = None
    secret_encoding: str = "text"
    public_keys: Sequence[str] = ()

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> "SignatureScheme":
        lower = {name: str(declared[name]).lower() for name in ("header", "timestamp", "id") if name in declared}
        return cls(**{**declared, **lower})

    @property
    def signs_id(self) -> bool:
        """Whether the signature covers the delivery's id. An id not covered could be forged in a replayed message."""
        return self.id is not None and "id" in signed_parts(self.signs)

    @property
    def is_asymmetric(self) -> bool:
        return self.algorithm in PUBLIC_KEY_ALGORITHMS

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime, url: str) -> bool:
        """Whether a holder of a secret, or of a pinned key's private half, signed exactly these bytes in time."""
        offered = self._signatures(headers)
        moment = self._timestamp(headers)
        if not offered or (moment is None and (self.timestamp or "timestamp" in (self.parts or {}))):
            return False
        if moment is not None and not is_within(moment, now, self.tolerance):
            return False
        content = self._content(body, headers, moment, url)
        if content is None:
            return False
        if self.is_asymmetric:
            checks = [_public_key_check(self.algorithm, key) for key in self.public_keys]
            return any(check(one, content) for check in checks for one in offered)
        return any(
            hmac.compare_digest(self._mac(key, content), one)
            for secret in secrets
            if (key := secret_key(secret, self.secret_encoding))
            for one in offered
        )

    def sign_headers(self, body: bytes, secrets: Sequence[str], now: datetime, url: str, id: str) -> dict[str, str]:
        """Signed headers for a body. With a public key they are not valid."""
        moment = str(int(now.timestamp()))
        named = {match[2]: TRIAL for match in PART.finditer(self.signs) if match[2]}
        given = named | {name: id if part == "id" else moment for part, name in self._fact_headers().items()}
        content = self._content(body, given, moment, url) or b""
        key = secret_key(secrets[0], self.secret_encoding)
        text = self.prefix + ENCODE[self.encoding](self._mac(key, content))
        if self.parts:
            names = {self.parts["signature"]: text}
            if "timestamp" in self.parts:
                names = {self.parts["timestamp"]: moment, **names}
            text = ",".join(f"{name}={value}" for name, value in names.items())
        return {**given, self.header: text}

    def delivery_id(self, headers: Mapping[str, str]) -> str:
        """The sender's delivery id if the signature covers it; otherwise empty."""
        return headers.get(self.id or "", "") if self.signs_id else ""

    def _fact_headers(self) -> dict[str, str]:
        declared = {"timestamp": self.timestamp, "id": self.id}
        return {part: name for part, name in declared.items() if name is not None}

    def _signatures(self, headers: Mapping[str, str]) -> list[bytes]:
        """All signatures in the header. During a rotation senders write one per secret."""
        written = headers.get(self.header, "")
        if self.parts:
            texts = self._values_of(written, self.parts["signature"])
        else:
            texts = re.split(r"\s+" if "," in self.prefix else r"[\s,]+", written.strip())
        decoded = [
            DECODE[self.encoding](text.removeprefix(self.prefix))
            for text in texts[:SIGNATURES_MAX]
            if text.startswith(self.prefix)
        ]
        return [one for one in decoded if one]

    def _timestamp(self, headers: Mapping[str, str]) -> str | None:
        if self.timestamp:
            return headers.get(self.timestamp, "").strip() or None
        if self.parts and "timestamp" in self.parts:
            found = self._values_of(headers.get(self.header, ""), self.parts["timestamp"])
            return found[0] if len(found) == 1 else None
        return None

    def _values_of(self, written: str, name: str) -> list[str]:
        pairs = (part.strip().partition("=") for part in re.split(r"[,;]", written))
        return [value for key, _, value in pairs if key == name]

    def _content(self, body: bytes, headers: Mapping[str, str], moment: str | None, url: str) -> bytes | None:
        """The signed bytes, or None if a part is missing."""
        told = {"body": body, "url": (self.url or url).encode(), "timestamp": (moment or "").encode()}
        told["id"] = headers.get(self.id or "", "").encode("utf-8", "surrogatepass")
        content, at = b"", 0
        for match in PART.finditer(self.signs):
            part, name, made = match.groups()
            if part == "header":
                value = headers.get(name or "", "").encode("utf-8", "surrogatepass")
            else:
                value = told.get(part, b"")
            if not value and part != "body":
                return None
            for step in made.split("|")[1:]:
                value = MAKE[step](value)
            content += self.signs[at : match.start()].encode() + value
            at = match.end()
        return content + self.signs[at:].encode()

    def _mac(self, key: bytes, content: bytes) -> bytes:
        return hmac.new(key, content, HMACS.get(self.algorithm, "sha256")).digest()


def signed_parts(signs: str) -> list[str]:
    """The parts named in the text of what is signed."""
    return [match[1] for match in PART.finditer(signs)]


def unknown_part(signs: str) -> str | None:
    """An unknown part or transformation, or None."""
    for match in PART.finditer(signs):
        part, name, made = match.groups()
        if part not in PARTS or (part == "header") != bool(name) or any(one not in MAKE for one in made.split("|")[1:]):
            return match[0]
    rest = PART.sub("", signs)
    return next((sign for sign in "{}" if sign in rest), None)


def is_within(moment: str, now: datetime, seconds: int) -> bool:
    """Whether a time is near now: seconds or milliseconds since 1970, or RFC 3339."""
    if moment.isascii() and moment.isdecimal():
        if len(moment) > 14:
            return False
        at = int(moment) / (1000 if len(moment) > 11 else 1)
    else:
        try:
            at = parse_instant(moment).timestamp()
        except (ValueError, OverflowError):
            return False
    return abs(now.timestamp() - at) <= seconds


def secret_key(secret: str, encoding: str) -> bytes:
    """The key of a secret in an encoding; an invalid one gives no key, which verifies nothing."""
    if encoding == "text":
        return text_key(secret)
    return DECODE[encoding](secret.removeprefix("whsec_").strip())


def public_key_error(algorithm: str, text: str) -> str | None:
    """Why a public key is invalid for an algorithm (unreadable, another type, too short); None if it is valid."""
    key = _public_key(text)
    if key is None:
        return "unreadable"
    name = type(key).__name__
    if algorithm == "ed25519":
        return None if "Ed25519" in name else "another"
    if "RSA" not in name:
        return "another"
    return None if key.key_size >= RSA_BITS_MIN else "short"


def public_key_fingerprint(text: str) -> str:
    """A fingerprint for comparison by people: SHA-256 of the key in DER, in hex."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = _public_key(text)
    if key is None:
        return ""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def is_certificate_of(text: str, now: datetime) -> bool:
    """Whether a text is a currently valid certificate."""
    from cryptography.x509 import load_pem_x509_certificate

    try:
        found = load_pem_x509_certificate(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return False
    return found.not_valid_before_utc <= now <= found.not_valid_after_utc


@cache
def _public_key(text: str) -> Any:
    """A public key or certificate in PEM, or 32 bytes of Ed25519 in base64 or hex; None for anything else."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from cryptography.x509 import load_pem_x509_certificate

    try:
        if "BEGIN CERTIFICATE" in text:
            return load_pem_x509_certificate(text.encode()).public_key()
        if "BEGIN" in text:
            return load_pem_public_key(text.encode())
        raw = next((one for one in (_hex(text), _base64(text)) if len(one) == 32), b"")
        return Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _public_key_check(algorithm: str, text: str) -> Callable[[bytes, bytes], bool]:
    """A function that verifies a signature by a public key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256, SHA512

    key = None if public_key_error(algorithm, text) else _public_key(text)

    def check(signature: bytes, content: bytes) -> bool:
        try:
            if key is None:
                return False
            if algorithm == "ed25519":
                key.verify(signature, content)
            else:
                key.verify(signature, content, PKCS1v15(), SHA256() if algorithm == "rsa-sha256" else SHA512())
        except InvalidSignature:
            return False
        return True

    return check


def _hex(text: str) -> bytes:
    try:
        return binascii.unhexlify(text.strip())
    except (binascii.Error, ValueError):
        return b""


def _base64(text: str) -> bytes:
    """Decode base64 with or without padding; invalid input gives no bytes, which match no digest."""
    text = text.strip()
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _base64url(text: str) -> bytes:
    return _base64(text.replace("-", "+").replace("_", "/")) if not {"+", "/"} & set(text) else b""


DECODE: Mapping[str, Callable[[str], bytes]] = {"hex": _hex, "base64": _base64, "base64url": _base64url}
ENCODE: Mapping[str, Callable[[bytes], str]] = {
    "hex": lambda digest: digest.hex(),
    "base64": lambda digest: base64.b64encode(digest).decode(),
    "base64url": lambda digest: base64.urlsafe_b64encode(digest).decode().rstrip("="),
}
