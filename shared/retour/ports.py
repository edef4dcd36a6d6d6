"""Ports: what functions need from outside, by purpose. The hub implements all; functions ask for those they use."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from retour.domain.program import Program
from retour.settings import Settings
from retour.store.account_vault import AccountVault
from retour.store.deliveries import Deliveries
from retour.store.inbox import Inbox
from retour.store.ledger import TableLedger
from retour.store.payments import Payments
from retour.store.programs import Programs
from retour.store.secrets import Secrets
from retour.store.source_state import SourceState


class Clock(Protocol):
    def now(self) -> datetime:
        """The business clock: UTC in milliseconds."""

    def real_now(self) -> datetime:
        """The real clock, for signatures, TLS and tokens."""


class ProgramPort(Protocol):
    @property
    def programs(self) -> Programs: ...

    def program(self, program_id: str, /) -> Program | None:
        """The newest version."""


class LedgerPort(Protocol):
    def ledger(self, program: Program, /) -> TableLedger: ...


class DeliveryPort(Protocol):
    def deliveries(self, program_id: str, /) -> Deliveries: ...


class InboxPort(Protocol):
    @property
    def inbox(self) -> Inbox: ...


class StatePort(Protocol):
    def state(self, program_id: str, source: str, /) -> SourceState:
        """The state of a source."""


class SecretPort(Protocol):
    @property
    def secrets(self) -> Secrets: ...

    def secret(self, program_id: str, source: str, /) -> dict[str, Any]:
        """The secret of a source; empty if there is none."""


class PaymentPort(Protocol):
    def payments(self, program_id: str, /) -> Payments: ...

    def account_vault(self, program_id: str, /) -> AccountVault:
        """Bank data; only the functions of people who pay have the right to its key."""


class QueuePort(Protocol):
    def send(self, queue: str, message: Mapping[str, Any], delay_seconds: int = 0, /) -> None:
        """Send a message to one of our queues, except during a replay."""


class SettingsPort(Protocol):
    @property
    def settings(self) -> Settings: ...

    def throttle(self, what: str, every: timedelta, /) -> bool:
        """Whether `what` was not used within `every`. Per process, so only a hint."""


# By purpose


class ReadPorts(Clock, ProgramPort, LedgerPort, DeliveryPort, StatePort, PaymentPort, Protocol):
    """Read what is stored, with the state that holds the key for signing cursors."""


class FilePorts(DeliveryPort, InboxPort, Protocol):
    """To put a file where files arrive."""


class CountingPorts(Clock, LedgerPort, DeliveryPort, Protocol):
    """Count a program's actions."""


class PostingPorts(Clock, ProgramPort, LedgerPort, DeliveryPort, InboxPort, QueuePort, Protocol):
    """Post records and request replies."""


class CredentialPorts(Clock, StatePort, SecretPort, SettingsPort, Protocol):
    """Create, store and revoke credentials of sources."""


class KeyPorts(CredentialPorts, ProgramPort, Protocol):
    """Create and revoke credentials and API keys."""


class SamplePorts(CredentialPorts, LedgerPort, Protocol):
    """Open a sample and simulate its rows."""
