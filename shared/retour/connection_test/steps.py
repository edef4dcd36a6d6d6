"""What a trial consists of, how it is kept beside its source, and how it is told in three languages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.times import instant, text
from retour.remote import RemoteError, words
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
KEPT = "trial"
LONGEST = timedelta(minutes=3)
"""A trial that is not over by then was never taken up, or its function was killed."""


class State(Protocol):
    def get(self, key: str) -> dict[str, Any] | None: ...
    def put(self, key: str, doc: Mapping[str, Any]) -> None: ...


def steps_of(source: Source) -> tuple[str, ...]:
    """What a trial consists of: a shop has messages to subscribe and calls with no key, and who writes nothing back
    needs no right to."""
    needless = {"events"} if source.kind in ("", "standard") else {"key"}
    needless |= set() if source.options.get("write_back") else {"write_back"}
    needless |= set() if shop_secrets(source) else {"orders"}
    return tuple(step for step in STEPS[source.channel] if step not in needless)


@dataclass(slots=True)
class Step:
    """One thing that is tried. `code` is the sentence of what came of it, which `details` fill in."""

    name: str
    state: str = OPEN
    code: str = ""
    details: dict[str, str] = field(default_factory=dict)
    at: str = ""


@dataclass(slots=True)
class Trial:
    """A trial as far as it has come; every step is kept as it is done, so that whoever waits sees it move."""

    id: str
    channel: Channel
    by: str
    started_at: datetime
    steps: list[Step]
    waits_until: datetime | None = None
    finished_at: datetime | None = None

    @classmethod
    def begun(cls, id: str, source: Source, by: str, at: datetime) -> "Trial":
        return cls(id, source.channel, by, at, [Step(name) for name in steps_of(source)])

    @classmethod
    def kept(cls, state: State) -> "Trial | None":
        """The last one of a source."""
        doc = state.get(KEPT)
        if doc is None:
            return None
        moments = {name: instant(doc[name]) if doc[name] else None for name in ("waits_until", "finished_at")}
        return cls(
            id=doc["id"],
            channel=Channel(doc["channel"]),
            by=doc["by"],
            started_at=instant(doc["started_at"]),
            steps=[Step(**step) for step in doc["steps"]],
            **moments,
        )

    def keep(self, state: State) -> None:
        moments = {name: getattr(self, name) for name in ("started_at", "waits_until", "finished_at")}
        state.put(
            KEPT,
            {
                "id": self.id,
                "channel": self.channel.value,
                "by": self.by,
                **{name: text(at) if at else None for name, at in moments.items()},
                "steps": [
                    {"name": one.name, "state": one.state, "code": one.code, "details": one.details, "at": one.at}
                    for one in self.steps
                ],
            },
        )

    # Where it stands

    @property
    def next(self) -> Step | None:
        """The step that is tried now."""
        return next((step for step in self.steps if step.state in (OPEN, RUNNING, WAITING)), None)

    def state(self, now: datetime) -> str:
        if any(step.state == FAILED for step in self.steps) or self.is_lost(now):
            return FAILED
        if self.next is None:
            return WARNED if any(step.state == WARNED for step in self.steps) else PASSED
        return WAITING if self.waits_until else RUNNING

    def is_lost(self, now: datetime) -> bool:
        until = self.waits_until or self.started_at + LONGEST
        return self.next is not None and self.finished_at is None and until < now

    def is_over(self, now: datetime) -> bool:
        return self.state(now) not in (RUNNING, WAITING)

    # What becomes of a step

    def settle(self, name: str, state: str, code: str, at: datetime, details: Mapping[str, Any]) -> None:
        step = next(one for one in self.steps if one.name == name)
        step.state, step.code, step.at = state, code, text(at)
        step.details = {key: words(value, most=1000) for key, value in details.items()}

    def fail(self, code: str, at: datetime, details: Mapping[str, Any]) -> None:
        """The step under way did not work; those after it were not tried."""
        if self.next is not None:
            self.settle(self.next.name, FAILED, code, at, details)
        self.finished_at = at

    # How it is told

    def document(self, language: str, now: datetime) -> dict[str, Any]:
        return {
            "id": self.id,
            "state": self.state(now),
            "by": self.by,
            "started_at": text(self.started_at),
            "finished_at": text(self.finished_at) if self.finished_at else None,
            "steps": [self.told(step, language, now) for step in self.steps],
        }

    def told(self, step: Step, language: str, now: datetime) -> dict[str, Any]:
        lost = step is self.next and self.is_lost(now)
        under_way = step is self.next and self.finished_at is None and step.state == OPEN
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
class Course:
    """A trial under way: each step that is done, warned of or waited for is kept at once."""

    trial: Trial
    state: State
    clock: Any

    def done(self, step: str, code: str = "", **details: Any) -> None:
        self._settled(step, DONE, code, details)

    def warned(self, step: str, code: str, **details: Any) -> None:
        """It works, and somebody should know something about it."""
        self._settled(step, WARNED, code, details)

    def waiting(self, step: str, code: str, until: datetime, **details: Any) -> None:
        """Somebody outside has to do something now."""
        self.trial.waits_until = until
        self._settled(step, WAITING, code, details)

    def _settled(self, step: str, state: str, code: str, details: Mapping[str, Any]) -> None:
        usual = f"TRIED_{self.trial.channel.upper()}_{step.upper()}"
        now = self.clock()
        if now > self.trial.started_at + LONGEST:
            raise RemoteError("TOO_SLOW", most=LONGEST)
        self.trial.settle(step, state, code or usual, now, details)
        self.trial.keep(self.state)
