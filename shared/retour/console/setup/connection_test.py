"""Connection tests in the console: started by a button, steps shown as they finish."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from retour.commands import sources
from retour.connection_test.steps import PASSED, WAITING, ConnectionTest
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.domain.program import Source
from retour.views.sources import find_source

MINUTE = 60
TEN_MINUTES = 600


@dataclass(frozen=True)
class TestStatus:
    """A source's last test. `every` is the polling interval while it runs."""

    source: str
    trial: dict[str, Any] | None
    every: int = 0
    is_fresh: bool = False

    @property
    def is_open(self) -> bool:
        """Whether to show the steps: while it runs, after a failure, or if just requested."""
        return self.every > 0 or self.is_fresh or (self.trial is not None and self.trial["state"] != PASSED)

    @property
    def passed(self) -> int:
        return sum(step["state"] in ("done", "warned") for step in self.trial["steps"]) if self.trial else 0


def load_test_status(context: PageContext, source: Source) -> TestStatus:
    found = ConnectionTest.load(context.hub.state(context.program.id, source.name))
    if found is None:
        return TestStatus(source.name, None)
    now = context.hub.now()
    told = found.document(context.words.language, now)
    seconds = (now - found.started_at).total_seconds()
    if found.is_over(now):
        return TestStatus(source.name, told, is_fresh=seconds < MINUTE)
    slow = 5 if seconds > MINUTE or found.state(now) == WAITING else 2
    return TestStatus(source.name, told, 15 if seconds > TEN_MINUTES else slow)


def try_connection(context: PageContext) -> Response:
    found = find_source(context.program, context.part["source"])
    sources.try_connection(context.command_context, found)
    if context.request.wants_block:
        return context.render("trial.html", test=load_test_status(context, found))
    return redirect(f"{context.base}/setup/sources/{quote(found.name, safe='')}#test")


def test_block(context: PageContext) -> Response:
    """The progress block. Without scripts the whole page shows it."""
    found = find_source(context.program, context.part["source"])
    if not context.request.wants_block:
        return redirect(f"{context.base}/setup/sources/{quote(found.name, safe='')}#test")
    return context.render("trial.html", test=load_test_status(context, found))
