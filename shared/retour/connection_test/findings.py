"""What is wrong with a source, as far as it can be told without asking the other side."""

from collections.abc import Iterator

from retour.connection_test.runner import missing_requirement
from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.sentences import sentence
from retour.wiring import Hub


def source_problems(hub: Hub, program: Program, found: Source) -> Iterator[str]:
    if missing := missing_requirement(hub, program, found):
        yield sentence(missing.code, missing.details, program.language)
    if found.channel is Channel.PULL:
        visit = hub.state(program.id, found.name).get("last-visit") or {}
        if visit.get("state") == "failed":
            yield f"the last visit failed: {visit.get('explanation', '')}"
