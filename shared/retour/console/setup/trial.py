"""The test of a source's connection: begun by a button, its steps told while they are done."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from retour.api import admission
from retour.connection_test.run import begin
from retour.connection_test.steps import PASSED, WAITING, Trial
from retour.console.request import Response, to
from retour.console.visit import Visit
from retour.domain.program import Source

MINUTE = 60
TENTH = 600


@dataclass(frozen=True)
class Tested:
    """The last test of a source, as a page shows it; `every` how often it is asked how far it is, while it moves."""

    source: str
    trial: dict[str, Any] | None
    every: int = 0
    is_fresh: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the steps are worth a look: they move, one of them stopped, or somebody has just asked for them."""
        return self.every > 0 or self.is_fresh or (self.trial is not None and self.trial["state"] != PASSED)

    @property
    def passed(self) -> int:
        return sum(step["state"] in ("done", "warned") for step in self.trial["steps"]) if self.trial else 0


def tested(visit: Visit, source: Source) -> Tested:
    found = Trial.kept(visit.hub.state(visit.program.id, source.name))
    if found is None:
        return Tested(source.name, None)
    now = visit.hub.now()
    told = found.document(visit.words.language, now)
    seconds = (now - found.started_at).total_seconds()
    if found.is_over(now):
        return Tested(source.name, told, is_fresh=seconds < MINUTE)
    slow = 5 if seconds > MINUTE or found.state(now) == WAITING else 2
    return Tested(source.name, told, 15 if seconds > TENTH else slow)


def test(visit: Visit) -> Response:
    found = admission.source_of(visit.program, visit.part["source"])
    begin(visit.hub, visit.program, found, visit.principal.name)
    if visit.request.wants_block:
        return visit.render("trial.html", test=tested(visit, found))
    return to(f"{visit.base}/setup/sources/{quote(found.name, safe='')}#test")


def block(visit: Visit) -> Response:
    """How far it is; without a script the whole page tells that."""
    found = admission.source_of(visit.program, visit.part["source"])
    if not visit.request.wants_block:
        return to(f"{visit.base}/setup/sources/{quote(found.name, safe='')}#test")
    return visit.render("trial.html", test=tested(visit, found))
