"""The hub of a process: settings, clock, stores and clients."""

import gc
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, partial
from typing import Any

from retour.domain.contracts.contract import Contract
from retour.domain.delivery import Delivery
from retour.domain.program import PROGRAM_ID, Program
from retour.domain.times import truncate_to_milliseconds
from retour.settings import Settings, read_settings
from retour.store.account_vault import STATE as ACCOUNTS_STATE
from retour.store.account_vault import AccountVault
from retour.store.bucket_work import Work
from retour.store.deliveries import Deliveries
from retour.store.inbox import Inbox
from retour.store.ledger import CONNECTIONS, LOCAL_CONNECTIONS, TableLedger
from retour.store.payments import Payments
from retour.store.programs import Principal, Programs
from retour.store.rates import Rates
from retour.store.secrets import Secrets
from retour.store.source_state import ObjectState, OnceState, SourceState
from retour.store.wire import accept_raw_batches

logger = logging.getLogger(__name__)

EXECUTIONS_MAX = 50
BACKGROUND_NICENESS = 10
QUEUES = ("answers", "pulls", "writebacks", "parked")
DEAD_LETTER_QUEUES = ("answers", "pulls", "writebacks", "parked", "files", "mail", "salesforce", "schedules", "stream")
"""Queues with a dead-letter queue, as known to the redrive function."""


class ProgramNotFoundError(Exception):
    """An unknown program. Callers get the same 404 as for one they may not access."""


@contextmanager
def gc_disabled() -> Iterator[None]:
    """Pause garbage collection while clients are built, which saves a sixth of a cold start and would free nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass
class Hub:
    """Settings, stores and clients shared within a process. Clients are built on first use."""

    settings: Settings
    _last: dict[str, datetime] = field(default_factory=dict, repr=False)
    _widths: dict[str, int] = field(default_factory=dict, repr=False)
    _listed: dict[tuple[str, str], datetime] = field(default_factory=dict, repr=False)

    # Time

    def now(self) -> datetime:
        """The business clock: UTC in milliseconds. Only a local hub can shift it."""
        return truncate_to_milliseconds(self.real_now() + self.settings.clock_offset)

    def real_now(self) -> datetime:
        """The real clock, for signatures, TLS and tokens."""
        return datetime.now(UTC)

    def throttle(self, what: str, every: timedelta) -> bool:
        """Whether `what` was not used within `every`. Per process, so only a hint."""
        now = self.real_now()
        if self._last.get(what, now - every) > now - every:
            return False
        self._last[what] = now
        return True

    # Programs

    @cached_property
    def programs(self) -> Programs:
        return Programs(self._dynamodb, self._table)

    def program(self, program_id: str) -> Program | None:
        """The newest version, read again in each call so that new terms apply at once. None if it is unknown."""
        return self.programs.get(program_id) if PROGRAM_ID.fullmatch(program_id) else None

    def program_of(self, delivery: Delivery) -> Program:
        program = self.program(delivery.program)
        if program is None:
            raise ProgramNotFoundError(delivery.program)
        return program

    def principal(self, key: str) -> Principal | None:
        return self.programs.principal(key, self.now())

    @cached_property
    def secrets(self) -> Secrets:
        return Secrets(self._client("ssm"), self.settings.stack)

    def secret(self, program_id: str, source: str) -> dict[str, Any]:
        """The secret of a source; empty if there is none."""
        return self.secrets.get(program_id, source)

    def reload_secret(self, program_id: str, source: str) -> dict[str, Any]:
        """The current secret of a source after a failed authentication, so that a new secret works at once."""
        return self.secrets.reread(program_id, source)

    # Store

    def ledger(self, program: Program) -> TableLedger:
        def newest() -> Sequence[Contract]:
            return (self.programs.get(program.id, again=True) or program).contracts

        return TableLedger(
            self._dynamodb,
            self._table,
            program.id,
            program.contracts,
            newest,
            shards=self.settings.index_shards,
            connections=LOCAL_CONNECTIONS if self.settings.is_local else CONNECTIONS,
            widths=self._widths,
            listed=self._listed,
            real_now=self.real_now,
        )

    def deliveries(self, program_id: str) -> Deliveries:
        return Deliveries(self._dynamodb, self._table, program_id, self.inbox, self.settings.is_local)

    def rates(self, program_id: str) -> Rates:
        return Rates(self._dynamodb, self._table, program_id)

    def payments(self, program_id: str) -> Payments:
        return Payments(self._dynamodb, self._table, program_id)

    def account_vault(self, program_id: str) -> AccountVault:
        """Bank data; only the functions of people who pay have the right to its key."""
        kept = self.kept_state(program_id, ACCOUNTS_STATE)
        return AccountVault(self.secrets.client, kept, self.settings.stack, program_id)

    def state(self, program_id: str, source: str) -> SourceState:
        return SourceState(self._dynamodb, self._table, program_id, source)

    def kept_state(self, program_id: str, source: str) -> OnceState:
        """State that must survive a crash of a local hub too."""
        state = self.state(program_id, source)
        return ObjectState(state, self.inbox) if self.settings.is_local else state

    @cached_property
    def inbox(self) -> Inbox:
        return Inbox(partial(self._client, "s3"), self.settings.inbox_bucket)

    def work(self, program_id: str, delivery_id: str) -> Work:
        return Work(self.inbox, self._dynamodb, self._table, program_id, delivery_id)

    def start_execution(self, delivery: Delivery, more: Mapping[str, bool]) -> bool:
        """Start the state machine for a large file. False if there is none, as during a replay. Idempotent."""
        machine = self.settings.files_machine
        if not machine or not self.settings.outward:
            return False
        states = self._client("stepfunctions")
        document = json.dumps({"program": delivery.program, "delivery": delivery.id, **more})
        name = delivery.id
        for again in range(EXECUTIONS_MAX):
            try:
                states.start_execution(stateMachineArn=machine, name=name, input=document)
                return True
            except states.exceptions.ExecutionAlreadyExists:
                execution = f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"
                if states.describe_execution(executionArn=execution)["status"] == "RUNNING":
                    return True
                name = f"{delivery.id}-{again + 2}"
        raise RuntimeError(f"{delivery.id} was taken in {EXECUTIONS_MAX} times")

    def execution_statuses(self, delivery: Delivery) -> list[str]:
        """Status of each state machine execution of this file (RUNNING, FAILED, …), oldest first."""
        machine = self.settings.files_machine
        if not machine:
            return []
        states, found = self._client("stepfunctions"), list[str]()
        for again in range(EXECUTIONS_MAX):
            name = f"{delivery.id}-{again + 1}" if again else delivery.id
            execution = f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"
            try:
                found.append(states.describe_execution(executionArn=execution)["status"])
            except states.exceptions.ExecutionDoesNotExist:
                break
        return found

    @property
    def defers_large_files(self) -> bool:
        """Whether this is a replay, after which interrupted large files are resumed."""
        return bool(self.settings.files_machine) and not self.settings.outward

    # Outgoing

    def send(self, queue: str, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        """Send a message to one of our queues, except during a replay."""
        if self.settings.outward:
            self._sqs.send_message(
                QueueUrl=self.settings.queues[queue], MessageBody=json.dumps(message), DelaySeconds=delay_seconds
            )

    def has_queue(self, queue: str) -> bool:
        """Whether this function has the URL of a queue."""
        return queue in self.settings.queues

    def receive_messages(self, queue: str, most: int) -> Iterator[tuple[dict[str, Any], str]]:
        """Up to so many messages of a queue, each with what says to `done` that it is; else it comes back later.

        What is no message of ours is left there, for whoever put it.
        """
        taken = 0
        while taken < most:
            found = self._sqs.receive_message(
                QueueUrl=self.settings.queues[queue], MaxNumberOfMessages=min(10, most - taken)
            ).get("Messages", ())
            if not found:
                return
            for message in found:
                try:
                    document = json.loads(message["Body"])
                except ValueError:
                    logger.error("message of the queue %s is no JSON", queue)
                    continue
                if isinstance(document, dict):
                    yield document, message["ReceiptHandle"]
            taken += len(found)

    def request_sweep(self) -> bool:
        """Request a sweep of all programs. False if this function cannot."""
        function = self.settings.sweep_function
        if not function or not self.settings.outward:
            return False
        asked = json.dumps({"sweep": {"older_than_seconds": 0, "thoroughly": True}})
        self._client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=asked)
        return True

    def delete_message(self, queue: str, receipt: str) -> None:
        """Delete a received message."""
        self._sqs.delete_message(QueueUrl=self.settings.queues[queue], ReceiptHandle=receipt)

    def queue_depths(self) -> dict[str, int]:
        """Messages waiting per queue."""
        attribute = "ApproximateNumberOfMessages"
        return {
            queue: int(
                self._sqs.get_queue_attributes(QueueUrl=self.settings.queues[queue], AttributeNames=[attribute])[
                    "Attributes"
                ][attribute]
            )
            for queue in (*QUEUES, *(f"{name}_dead" for name in DEAD_LETTER_QUEUES))
            if self.has_queue(queue)
        }

    def send_mail(self, raw: bytes, sender: str, to: Sequence[str]) -> None:
        """Send a mail through SES."""
        if self.settings.outward:
            self._client("ses").send_raw_email(Source=sender, Destinations=list(to), RawMessage={"Data": raw})

    def receipt_rules(self) -> list[dict[str, Any]]:
        """The rules of the region's active SES rule set."""
        found: list[dict[str, Any]] = self._client("ses").describe_active_receipt_rule_set().get("Rules", [])
        return found

    def is_mail_signed(self, domain: str) -> bool:
        """Whether SES signs mails from this domain (DKIM), which receivers need to accept them."""
        answer = self._client("ses").get_identity_dkim_attributes(Identities=[domain])
        dkim = answer["DkimAttributes"].get(domain, {})
        return bool(dkim.get("DkimEnabled")) and dkim.get("DkimVerificationStatus") == "Success"

    def give_way(self) -> None:
        """Let callers go first where they share a machine with this process; in the cloud each has its own."""
        if self.settings.is_local:
            os.nice(max(0, BACKGROUND_NICENESS - os.nice(0)))

    # Clients

    @property
    def _table(self) -> str:
        return self.settings.ledger_table

    @cached_property
    def _dynamodb(self) -> Any:
        client = self._client("dynamodb")
        return accept_raw_batches(client, aws_session().get_config_variable("ca_bundle"))

    @cached_property
    def _sqs(self) -> Any:
        return self._client("sqs")

    @gc_disabled()
    def _client(self, service: str) -> Any:
        from botocore import __version__
        from botocore.config import Config

        config = Config(
            max_pool_connections=CONNECTIONS,
            # Pre-signed URLs in the current signature version for every region.
            signature_version="s3v4" if service == "s3" else None,
            # Adaptive retries: throttled clients slow down, with jitter.
            retries={"mode": "adaptive", "total_max_attempts": 3 if self.settings.must_answer else 8},
            connect_timeout=1 if self.settings.must_answer else 5,
            read_timeout=5 if self.settings.must_answer else 60,
            # Build this once instead of for each request.
            user_agent=f"Retour botocore/{__version__}",
        )
        client = aws_session().create_client(service, config=config)
        if self.settings.aws_key:
            client.meta.events.register("before-call", self._add_emulator_key)
        return client

    def _add_emulator_key(self, params: Mapping[str, Any], **_: Any) -> None:
        """Add the key by which the embedded AWS recognises our functions."""
        params["headers"]["x-retour-key"] = self.settings.aws_key


@cache
def aws_session() -> Any:
    """A botocore session with cached models. boto3 is not needed here and slow to import."""
    from botocore.session import get_session

    return get_session()


@cache
def hub() -> Hub:
    """The one hub of this process."""
    return Hub(read_settings())
