"""The steps of a connection test, how a test is stored with its source, and its texts in three languages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.times import format_instant, parse_instant
from retour.remote import RemoteError, sanitise_message
from retour.sentences import sentence
from retour.setup.credentials import shop_secrets

STEPS: Mapping[Channel, tuple[str, ...]] = {
    Channel.API: ("secret", "address", "believed", "forged", "key", "orders", "events"),
    Channel.SFTP: ("keys", "login", "server", "folder"),
    Channel.PULL: ("secret", "resolve", "connect", "trust", "login", "folder", "newest"),
    Channel.EMAIL: ("address", "senders", "reception", "mail"),
    Channel.SALESFORCE: ("secret", "login", "query", "fields", "write_back"),
}
OPEN, RUNNING, WAITING, DONE, WARNED, FAILED = "open", "running", "waiting", "done", "warned", "failed"
PASSED = "passed"
STATE_KEY = "trial"
TEST_MAX = timedelta(minutes=3)
"""A test that takes longer was never started, or its function was killed."""


class State(Protocol):
    def get(self, key: str) -> dict[str, Any] | None: ...
    def put(self, key: str, doc: Mapping[str, Any]) -> None: ...


def steps_of(source: Source) -> tuple[str, ...]:
    """The steps of a source's test. Some depend on its kind: subscribed webhooks, write access."""
    needless = {"events"} if source.kind in ("", "standard") else {"key"}
    needless |= set() if source.options.get("write_back") else {"write_back"}
    needless |= set() if shop_secrets(source) else {"orders"}
    return tuple(step for step in STEPS[source.channel] if step not in needless)


@dataclass(slots=True)
class Step:
    """A step. `code` is the sentence of its result, with values from `details`."""

    name: str
    state: str = OPEN
    code: str = ""
    details: dict[str, str] = field(default_factory=dict)
    at: str = ""


@dataclass(slots=True)
class ConnectionTest:
    """A connection test and its progress. Every step is saved at once, so that callers see it advance."""

    id: str
    channel: Channel
    by: str
    started_at: datetime
    steps: list[Step]
    waits_until: datetime | None = None
    finished_at: datetime | None = None

    @classmethod
    def start(cls, id: str, source: Source, by: str, at: datetime) -> "ConnectionTest":
        return cls(id, source.channel, by, at, [Step(name) for name in steps_of(source)])

    @classmethod
    def load(cls, state: State) -> "ConnectionTest | None":
        """A source's last test."""
        doc = state.get(STATE_KEY)
        if doc is None:
            return None
        moments = {name: parse_instant(doc[name]) if doc[name] else None for name in ("waits_until", "finished_at")}
        return cls(
            id=doc["id"],
            channel=Channel(doc["channel"]),
            by=doc["by"],
            started_at=parse_instant(doc["started_at"]),
            steps=[Step(**step) for step in doc["steps"]],
            **moments,
        )

    def save(self, state: State) -> None:
        moments = {name: getattr(self, name) for name in ("started_at", "waits_until", "finished_at")}
        state.put(
            STATE_KEY,
            {
                "id": self.id,
                "channel": self.channel.value,
                "by": self.by,
                **{name: format_instant(at) if at else None for name, at in moments.items()},
                "steps": [
                    {"name": one.name, "state": one.state, "code": one.code, "details": one.details, "at": one.at}
                    for one in self.steps
                ],
            },
        )

    # Progress

    @property
    def current_step(self) -> Step | None:
        """The step in progress."""
        return next((step for step in self.steps if step.state in (OPEN, RUNNING, WAITING)), None)

    def state(self, now: datetime) -> str:
        if any(step.state == FAILED for step in self.steps) or self.is_lost(now):
            return FAILED
        if self.current_step is None:
            return WARNED if any(step.state == WARNED for step in self.steps) else PASSED
        return WAITING if self.waits_until else RUNNING

    def is_lost(self, now: datetime) -> bool:
        until = self.waits_until or self.started_at + TEST_MAX
        return self.current_step is not None and self.finished_at is None and until < now

    def is_over(self, now: datetime) -> bool:
        return self.state(now) not in (RUNNING, WAITING)

    # Results of steps

    def set_step(self, name: str, state: str, code: str, at: datetime, details: Mapping[str, Any]) -> None:
        step = next(one for one in self.steps if one.name == name)
        step.state, step.code, step.at = state, code, format_instant(at)
        step.details = {key: sanitise_message(value, most=1000) for key, value in details.items()}

    def fail(self, code: str, at: datetime, details: Mapping[str, Any]) -> None:
        """Fail the current step. Later steps are not run."""
        if self.current_step is not None:
            self.set_step(self.current_step.name, FAILED, code, at, details)
        self.finished_at = at

    # Documents

    def document(self, language: str, now: datetime) -> dict[str, Any]:
        return {
            "id": self.id,
            "state": self.state(now),
            "by": self.by,
            "started_at": format_instant(self.started_at),
            "finished_at": format_instant(self.finished_at) if self.finished_at else None,
            "steps": [self.step_document(step, language, now) for step in self.steps],
        }

    def step_document(self, step: Step, language: str, now: datetime) -> dict[str, Any]:
        lost = step is self.current_step and self.is_lost(now)
        under_way = step is self.current_step and self.finished_at is None and step.state == OPEN
        code = ("MAIL_NOT_SEEN" if self.waits_until else "TRIAL_NOT_TAKEN_UP") if lost else step.code
        return {
            "step": step.name,
            "what": sentence(f"TRY_{self.channel.upper()}_{step.name.upper()}", step.details, language),
            "state": FAILED if lost else RUNNING if under_way else step.state,
            "code": code,
            "explanation": sentence(code, step.details, language),
            "said": step.details.get("said", ""),
            "pin": step.details.get("line", ""),
            "at": step.at or None,
        }


@dataclass(frozen=True, slots=True)
class StepRecorder:
    """Records the steps of a running test, saving each at once."""

    test: ConnectionTest
    state: State
    clock: Any

    def record_done(self, step: str, code: str = "", **details: Any) -> None:
        self._record(step, DONE, code, details)

    def record_warning(self, step: str, code: str, **details: Any) -> None:
        """Record a step that succeeded with a warning."""
        self._record(step, WARNED, code, details)

    def record_waiting(self, step: str, code: str, until: datetime, **details: Any) -> None:
        """Record a step that waits for a person."""
        self.test.waits_until = until
        self._record(step, WAITING, code, details)

    def _record(self, step: str, state: str, code: str, details: Mapping[str, Any]) -> None:
        usual = f"TRIED_{self.test.channel.upper()}_{step.upper()}"
        now = self.clock()
        if now > self.test.started_at + TEST_MAX:
            raise RemoteError("TOO_SLOW", most=TEST_MAX)
        self.test.set_step(step, state, code or usual, now, details)
        self.test.save(self.state)
