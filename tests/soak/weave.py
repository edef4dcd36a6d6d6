"""Workers woven together: at every call to the store the dice say who goes on, and who is killed.

Each worker stands still in the middle of the production code until it is its turn again. Only the dice
decide, so a seed repeats exactly.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.soak.strand import Strand, current


class WorkerKilled(BaseException):
    """The worker is gone, between two instructions, as a process is."""


@dataclass(eq=False)
class Job:
    """Something a worker does. `calls` store calls from now it is killed; before or after the call, as `after` says."""

    name: str
    run: Callable[["Job"], None]
    calls: int | None = None
    after: bool = False
    killed: bool = False
    lost: Callable[["Job"], None] | None = None


class Worker:
    def __init__(self, weaver: "Scheduler") -> None:
        self.weaver = weaver
        self.job: Job | None = None
        self.strand = Strand(self.run)

    def run(self) -> None:
        while self.job is not None:
            self.weaver.work(self, self.job)


@dataclass(eq=False)
class Scheduler:
    """`restless` is how likely a store call lets another worker go on; at most `most` are under way at once."""

    most: int = 3
    restless: float = 0.0
    dice: random.Random = field(default_factory=random.Random)
    queue: list[Job] = field(default_factory=list)
    active: list[Worker] = field(default_factory=list)
    idle: list[Worker] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    trace: list[str] | None = None
    current: Worker | None = None
    main: Any = None

    def play(self, dice: random.Random, restless: float, jobs: list[Job]) -> None:
        """Do all jobs, and those they bring up, until nothing is left to do or something went wrong."""
        self.dice, self.restless, self.queue, self.errors = dice, restless, jobs, []
        self.main = current()
        self._pass(self._next())
        self.current = None

    def work(self, worker: Worker, job: Job) -> None:
        self.note(f"start {job.name}")
        try:
            job.run(job)
            self.note(f"done  {job.name}")
        except WorkerKilled:
            self.note(f"KILL  {job.name}")
            if job.lost:
                job.lost(job)
        except Exception as error:
            self.note(f"ERROR {job.name}: {error!r}")
            self.errors.append(error)
        self.active.remove(worker)
        self.idle.append(worker)
        self._pass(self._next())

    def call(self, what: str, do: Callable[[], None]) -> None:
        """One store call by the worker who has the baton; whatever `do` does happens at once."""
        worker = self.current
        if worker is None or worker.job is None:
            do()
            return
        job = worker.job
        if self.restless and self.dice.random() < self.restless:
            other = self._next()
            if other is not worker:
                self._pass(other)
        if job.killed:
            raise WorkerKilled
        if job.calls is not None:
            job.calls -= 1
            if job.calls < 0 and not job.after:
                raise WorkerKilled
        if self.trace is not None:
            self.note(f"      {job.name}: {what}")
        do()
        if job.calls is not None and job.calls < 0:
            raise WorkerKilled

    def note(self, line: str) -> None:
        if self.trace is not None:
            self.trace.append(line)

    def running(self) -> list[Job]:
        return [worker.job for worker in self.active if worker.job]

    def _next(self) -> Worker | None:
        """Who goes on: somebody under way, or somebody new with the next job of the queue."""
        if self.errors:
            self.queue.clear()
            for worker in self.active:
                if worker.job:
                    worker.job.killed = True
                    worker.job.lost = None
        start = bool(self.queue) and len(self.active) < self.most
        if not self.active and not start:
            return None
        one = self.dice.randrange(len(self.active) + start) if self.restless else 0
        if one < len(self.active):
            return self.active[one]
        if not self.idle:
            self.idle.append(Worker(self))
        worker = self.idle.pop()
        worker.job = self.queue.pop(0)
        self.active.append(worker)
        return worker

    def _pass(self, worker: Worker | None) -> None:
        """Go on with another worker, or with whoever plays; this returns when it is the caller's turn again."""
        self.current = worker
        strand = worker.strand if worker else self.main
        assert strand is not None
        strand.switch()
