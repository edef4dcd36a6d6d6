"""What a function needs from outside, by what it is for. The hub has all of them; a function asks for what it uses."""

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
        """The business clock: UTC to the millisecond."""

    def real_now(self) -> datetime:
        """The clock of signatures, TLS and tokens; nothing ever shifts it."""


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
        """What is remembered of a source."""


class SecretPort(Protocol):
    @property
    def secrets(self) -> Secrets: ...

    def secret(self, program_id: str, source: str, /) -> dict[str, Any]:
        """What a source's sender and we know and nobody else; empty when nothing was ever agreed."""


class PaymentPort(Protocol):
    def payments(self, program_id: str, /) -> Payments: ...

    def account_vault(self, program_id: str, /) -> AccountVault:
        """Bank data; only the functions of people who pay have the right to its key."""


class QueuePort(Protocol):
    def send(self, queue: str, message: Mapping[str, Any], delay_seconds: int = 0, /) -> None:
        """Put a message on one of our own queues; during a replay nothing is sent."""


class SettingsPort(Protocol):
    @property
    def settings(self) -> Settings: ...

    def throttle(self, what: str, every: timedelta, /) -> bool:
        """Whether this was not done within that time; per process, so a hint and no guarantee."""


# By what is done with them


class ReadPorts(Clock, ProgramPort, LedgerPort, DeliveryPort, StatePort, PaymentPort, Protocol):
    """To read what is stored. The state keeps what signs the cursors of lists."""


class FilePorts(DeliveryPort, InboxPort, Protocol):
    """To put a file where files arrive."""


class CountingPorts(Clock, LedgerPort, DeliveryPort, Protocol):
    """To count what a program's actions come to."""


class PostingPorts(Clock, ProgramPort, LedgerPort, DeliveryPort, InboxPort, QueuePort, Protocol):
    """To post records and tell those who wait for them."""


class CredentialPorts(Clock, StatePort, SecretPort, SettingsPort, Protocol):
    """To make, hand over and revoke what a source and its sender share."""


class KeyPorts(CredentialPorts, ProgramPort, Protocol):
    """The same, and the keys of the API."""


class SamplePorts(CredentialPorts, LedgerPort, Protocol):
    """To open a sample and try its rows on the ledger."""
