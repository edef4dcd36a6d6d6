"""The interface of webhook adapters, and what they share. `domain/senders.json` lists the senders."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import Protocol, cast, runtime_checkable

from retour.domain.program import Source
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable
from retour.domain.senders import STANDARD, sender_of, senders

HEADER_MAX = 200


class WebhookAdapter(Protocol):
    """The adapter of one kind of sender. Header names are in lower case. No method raises, whatever was sent.

    `MESSAGES` are the messages it reads, by the names under which they are subscribed; empty if there are none.
    """

    MESSAGES: Collection[str]

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
        """Whether a holder of a secret signed exactly these bytes. `now` is the real clock."""

    def sign_headers(self, body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
        """The headers with which this kind of sender signs a body."""

    def identity(self, body: bytes, headers: Mapping[str, str]) -> str:
        """The delivery's identity: equal for every repeat, and only for repeats."""

    def facts(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that `rows` needs again, never a signature."""

    def rows(
        self, body: bytes, headers: Mapping[str, str], source: Source
    ) -> Sequence[Row | Unreadable] | OrderNames | Ignored | Refusal:
        """The statements in a body by subject, or the names it links."""

    def undeclared_statuses(self, body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[str]:
        """States in a body declared neither in the kind's table nor by the source. They have no effect."""


@runtime_checkable
class CertifiedSender(WebhookAdapter, Protocol):
    """A sender that signs with a certificate, whose URL is in the request.

    `verify` takes the certificate in PEM as a secret.
    """

    def certificate_url(self, headers: Mapping[str, str]) -> str | None:
        """The certificate's URL; None if it is not the sender's."""

    def single_use(self, headers: Mapping[str, str]) -> str:
        """The id of a delivery that is accepted with one body only, since the signature does not cover the body."""


def webhook_adapter(kind: str) -> WebhookAdapter:
    """The adapter of a kind, imported on first use. Sources without a kind send `standard`."""
    kind = kind or STANDARD
    if kind not in senders():
        raise ValueError(f"{kind!r} is none of {', '.join(senders())}")
    return cast(WebhookAdapter, import_module(f"retour.channels.{kind.replace('-', '_')}"))


def source_adapter(source: Source, url: str = "") -> WebhookAdapter:
    """The adapter of a source. `url` is its own URL, which some senders sign."""
    module = webhook_adapter(source.kind)
    bind = getattr(module, "bind", None)
    return cast(WebhookAdapter, bind(source, url)) if bind else module


def is_ping(body: bytes) -> bool:
    """Whether a body is an unsigned ping to a new webhook's URL, which expects 200 and means nothing else."""
    return any(re.fullmatch(sender.ping.encode(), body) for sender in senders().values() if sender.ping)


def sends_hints(source: Source) -> bool:
    """Whether a source's messages contain no amounts and its orders can be read back."""
    read_back = sender_of(source.kind).read_back
    return read_back is not None and read_back.hinted and bool(source.options.get(read_back.option))


def is_test_call(body: bytes) -> bool:
    """Whether a body is a signed test that only checks the signature. Nothing is stored."""
    return TEST_CALL.fullmatch(body) is not None


def header_identity(body: bytes, header: str) -> str:
    """The sender's delivery id if it is usable as a key, else the body's SHA-256."""
    return header if _is_plain_header(header) else hashlib.sha256(body).hexdigest()


def pick_headers(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The named headers that are present and short, plain text."""
    return {name: headers[name] for name in names if _is_plain_header(headers.get(name, ""))}


def _is_plain_header(text: str) -> bool:
    return 0 < len(text) <= HEADER_MAX and text.isascii() and text.isprintable()


TEST_CALL = re.compile(rb'\{"type": ?"retour\.test"(?:, ?"id": ?"[\w-]{1,64}")?\}')
