"""What every adapter of a webhook sender implements, and what they share; `domain/senders.json` lists the senders."""

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
    """One kind of sender. Headers come with lower-case names; nothing here raises, whatever was sent.

    `MESSAGES` are those it reads, by the words under which they are subscribed; empty where nothing is.
    """

    MESSAGES: Collection[str]

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime) -> bool:
        """True only for the exact bytes that a holder of one of the secrets signed; `now` is the real clock."""

    def sign_headers(self, body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
        """The headers by which a holder of these secrets proves a body, as this kind of sender does."""

    def identity(self, body: bytes, headers: Mapping[str, str]) -> str:
        """The same for every repeat of one delivery, and for nothing else."""

    def facts(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The few headers that `rows` needs again; never a signature."""

    def rows(
        self, body: bytes, headers: Mapping[str, str], source: Source
    ) -> Sequence[Row | Unreadable] | OrderNames | Ignored | Refusal:
        """What the body says is taken back, by subject, or the names it tells; its facts are headers enough."""

    def undeclared_statuses(self, body: bytes, headers: Mapping[str, str], source: Source) -> Sequence[str]:
        """The states in the body that neither the kind's table nor the source declares: they say nothing of money."""


@runtime_checkable
class CertifiedSender(WebhookAdapter, Protocol):
    """A sender that signs by a certificate which lies at an address of its own, and the call names that address.

    `verify` takes the certificate, as PEM, for a secret.
    """

    def certificate_url(self, headers: Mapping[str, str]) -> str | None:
        """Where the certificate lies; None where the address is not the sender's."""

    def single_use(self, headers: Mapping[str, str]) -> str:
        """The id of a delivery that is believed with one body only, for the signature does not protect the body."""


def webhook_adapter(kind: str) -> WebhookAdapter:
    """The reader of a source's kind, loaded when it is first needed. A source that names none sends `standard`."""
    kind = kind or STANDARD
    if kind not in senders():
        raise ValueError(f"{kind!r} is none of {', '.join(senders())}")
    return cast(WebhookAdapter, import_module(f"retour.channels.{kind.replace('-', '_')}"))


def source_adapter(source: Source, url: str = "") -> WebhookAdapter:
    """The reader of what one source is sent; `url`: its own address, which some senders sign as well."""
    module = webhook_adapter(source.kind)
    bind = getattr(module, "bind", None)
    return cast(WebhookAdapter, bind(source, url)) if bind else module


def is_ping(body: bytes) -> bool:
    """Some senders try a new webhook's address with an unsigned form and want exactly 200; it says nothing else."""
    return any(re.fullmatch(sender.ping.encode(), body) for sender in senders().values() if sender.ping)


def sends_hints(source: Source) -> bool:
    """Whether what a source sends tells no amounts, and its orders may be read back."""
    read_back = sender_of(source.kind).read_back
    return read_back is not None and read_back.hinted and bool(source.options.get(read_back.option))


def is_test_call(body: bytes) -> bool:
    """A signed test call that only checks the signature; nothing is stored."""
    return TEST_CALL.fullmatch(body) is not None


def header_identity(body: bytes, header: str) -> str:
    """The sender's own id of the delivery where it is usable as a key, else the body's SHA-256."""
    return header if _is_plain_header(header) else hashlib.sha256(body).hexdigest()


def pick_headers(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Those of the named headers that were sent and are plain short text."""
    return {name: headers[name] for name in names if _is_plain_header(headers.get(name, ""))}


def _is_plain_header(text: str) -> bool:
    return 0 < len(text) <= HEADER_MAX and text.isascii() and text.isprintable()


TEST_CALL = re.compile(rb'\{"type": ?"retour\.test"(?:, ?"id": ?"[\w-]{1,64}")?\}')
