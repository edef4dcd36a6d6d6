"""The sources of a program: how each is reached, what came last, and whether anything is missing."""

from collections.abc import Mapping

from retour.api import admission, sources
from retour.console.deliveries import line_of, since
from retour.console.request import Response
from retour.console.visit import Visit
from retour.setup import credentials
from retour.store.deliveries import Header

DAYS = 60


def index(visit: Visit) -> Response:
    latest = newest_by_source(visit)
    sources = [
        {
            "name": name,
            "source": source,
            "last": latest.get(name),
            "access": credentials.access(visit.hub, visit.program, source),
        }
        for name, source in visit.program.sources.items()
        if name in visit.hub.programs.versions(visit.program.id)[0].document.get("sources", {})
    ]
    return visit.render("setup.html", sources=sources, versions=visit.hub.programs.versions(visit.program.id)[:10])


def newest_by_source(visit: Visit) -> Mapping[str, Header]:
    found: dict[str, Header] = {}
    for header in since(visit, DAYS):
        found.setdefault(header.delivery.source, header)
    return found


def source(visit: Visit, findings: list[str] | None = None) -> Response:
    found = admission.source_of(visit.program, visit.part["source"])
    last = [one for one in since(visit, DAYS) if one.delivery.source == found.name][:10]
    return visit.render(
        "source.html",
        source=found,
        access=credentials.access(visit.hub, visit.program, found),
        findings=findings,
        items=[line_of(visit, one) for one in last],
        visit_report=visit.hub.state(visit.program.id, found.name).get("last-visit"),
    )


def test(visit: Visit) -> Response:
    """What is missing or wrong, as far as it can be told; of a pulled source a visit is made as well."""
    name = visit.part["source"]
    found = admission.source_of(visit.program, name)
    report = sources.test(visit.hub, visit.principal, visit.program, name)
    findings = [str(one) for one in report["findings"]]
    if found.channel == "pull" and not findings:
        sources.pull(visit.hub, visit.program, name)
    return source(visit, findings)
