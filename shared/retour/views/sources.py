"""The sources of a program by their names."""

from retour.domain.delivery import Channel
from retour.domain.program import Program, Source
from retour.errors import NotFoundError


def find_source(program: Program, name: str, channel: Channel | None = None) -> Source:
    source = program.sources.get(name)
    if source is None or channel not in (None, source.channel):
        raise NotFoundError("source", program=program.id)
    return source
