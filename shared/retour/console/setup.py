"""How a program is set up: its sources, its contracts, when things lock, its versions, and who may come in."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from retour.api import admission, credentials, programs, sources, views
from retour.api.calls import Call, Refused
from retour.api.views import Document
from retour.console.deliveries import line_of, since
from retour.console.people import LINK_HOURS, ROLES, Grant, new_link
from retour.console.request import Response, to
from retour.console.visit import Stop, Visit
from retour.domain.actions.contract import Contract, terms_at
from retour.domain.actions.lock import AfterEvent, at_report
from retour.domain.calendar import end_of_month, local_day
from retour.store.deliveries import Header
from retour.store.programs import ProgramVersion

MONTHS = 13
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
    report = sources.test(visit.hub, visit.program, name)
    findings = [str(one) for one in report["findings"]]
    if found.channel == "pull" and not findings:
        sources.pull(visit.hub, visit.program, name)
    return source(visit, findings)


# Versions


def versions_of(visit: Visit) -> list[ProgramVersion]:
    return visit.hub.programs.versions(visit.program.id)


def written(visit: Visit, version: ProgramVersion) -> str:
    """The document as somebody wrote it, with its comments."""
    header = visit.reader.deliveries.get(version.delivery)
    if header is not None:
        return visit.reader.deliveries.body(header).decode("utf-8", "replace")
    import yaml

    return str(yaml.safe_dump(dict(version.document), sort_keys=False, allow_unicode=True))


@dataclass(frozen=True)
class Changed:
    """One line of a difference: `plus`, `minus` or `same`."""

    how: str
    text: str


def difference(old: str, new: str) -> list[Changed]:
    found = []
    for line in difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2):
        if line.startswith(("---", "+++")):
            continue
        how = {"+": "plus", "-": "minus"}.get(line[:1], "same")
        found.append(Changed(how, line))
    return found


def version(visit: Visit) -> Response:
    every = versions_of(visit)
    at = next((n for n, one in enumerate(every) if str(one.version) == visit.part["version"]), None)
    if at is None:
        raise visit.not_found()
    one, before = every[at], every[at + 1] if at + 1 < len(every) else None
    text = written(visit, one)
    header = visit.reader.deliveries.get(one.delivery)
    return visit.render(
        "version.html",
        one=one,
        text=text,
        by=header.delivery.sender if header else "",
        before=before,
        changes=difference(written(visit, before), text) if before else [],
        newest=every[0].version,
    )


def edit(visit: Visit) -> Response:
    return visit.render(
        "program.html",
        text=written(visit, versions_of(visit)[0]),
        faults=[],
        changes=None,
        version=visit.program.version,
    )


def save(visit: Visit) -> Response:
    """First what it changes, then, confirmed, the next version. The secrets new sources need are shown once, here."""
    form = visit.request.form
    text = form.get("text", "").replace("\r\n", "\n")
    newest = versions_of(visit)[0]
    call = Call(
        method="PUT",
        path=visit.request.path,
        query={} if form.get("step") == "save" else {"dry_run": "true"},
        headers={"content-type": "application/yaml"},
        body=text.encode("utf-8", "replace"),
    )
    if form.get("step") == "save" and form.get("version") != str(newest.version):
        said = visit.words.say(
            "Somebody applied version %(version)s meanwhile; compare once more.", version=newest.version
        )
        return program_page(visit, text, [], difference(written(visit, newest), text), newest.version, said, 409)
    try:
        answer = programs.apply_program(visit.hub, call, visit.principal, visit.program.id)
    except Refused as refused:
        import json

        document = json.loads(refused.answer["body"])
        return program_page(visit, text, document.get("errors", []), None, newest.version, document["detail"], 422)
    if call.is_dry_run:
        return program_page(visit, text, [], difference(written(visit, newest), text), newest.version, "", 200)
    if answer.get("credentials"):
        return visit.render("credentials.html", credentials=answer["credentials"])
    return to(f"{visit.base}/setup/versions/{answer['version']}")


def program_page(
    visit: Visit,
    text: str,
    faults: list[Document],
    changes: list[Changed] | None,
    version: int,
    said: str,
    status: int,
) -> Response:
    return visit.render("program.html", status, text=text, faults=faults, changes=changes, version=version, said=said)


# Contracts and locks


def current(visit: Visit) -> list[Contract]:
    """The newest version of every contract."""
    found: dict[str, Contract] = {}
    for one in visit.program.contracts:
        found[one.name] = one
    return list(found.values())


def contracts(visit: Visit) -> Response:
    asked = visit.request.query.get("order", "").strip()
    paid = []
    if asked:
        order = visit.reader.order_named(asked)
        for action in order.actions:
            head = order.heads.get(action.id)
            if head is not None:
                now = terms_at(visit.program.contracts, action.event_type, head.standing.partner, visit.hub.now())
                document = views.action_document(order, action, head, visit.spoken, visit.hub.now())
                paid.append((document, visit.program.contracts[head.standing.contract - 1], now))
    return visit.render(
        "contracts.html", contracts=current(visit), every=visit.program.contracts, asked=asked, paid=paid
    )


@dataclass(frozen=True)
class Locked:
    """An order of this day, and from when it can no longer change."""

    day: date
    at: datetime | None


def lock(visit: Visit) -> Response:
    every = current(visit)
    chosen = next((one for one in every if one.name == visit.request.query.get("contract")), every[0])
    today = local_day(visit.hub.now(), visit.program.time_zone)
    try:
        day = date.fromisoformat(visit.request.query.get("day", "")) if visit.request.query.get("day") else today
        picked = locked(visit, chosen, day)
    except (ValueError, OverflowError):
        raise Stop(visit.problem(422, visit.words.say("This is no day; 2026-11-21 is one."))) from None
    months = []
    month = today.replace(day=1)
    for _ in range(MONTHS):
        last = end_of_month(month)
        months.append((month, [locked(visit, chosen, one) for one in (month, month.replace(day=15), last)]))
        month = last + timedelta(days=1)
    return visit.render(
        "lock.html",
        contracts=every,
        chosen=chosen,
        picked=picked,
        months=months,
        by_event=isinstance(chosen.lock, AfterEvent),
    )


def locked(visit: Visit, contract: Contract, day: date) -> Locked:
    noon = datetime.combine(day, time(12), ZoneInfo(contract.time_zone)).astimezone(UTC)
    return Locked(day, at_report(contract.lock, noon, contract.time_zone).locks_at)


# People


def people_page(visit: Visit, link: str = "", wrong: str = "", given: Mapping[str, str] | None = None) -> Response:
    return visit.render(
        "people.html", 422 if wrong else 200, link=link, wrong=wrong, given=given or {}, roles=ROLES, hours=LINK_HOURS
    )


def invite(visit: Visit) -> Response:
    """A sign-in link for one person, shown once."""
    form, say = visit.request.form, visit.words.say
    name, role, partner = (form.get(field, "").strip() for field in ("name", "role", "partner"))
    if not 1 <= len(name) <= 100 or not name.isprintable():
        return people_page(visit, wrong=say("Say who it is for."), given=form)
    if role not in ROLES:
        return people_page(visit, wrong=say("Choose a role."), given=form)
    if role == "partner" and not (partner and partner.isprintable() and len(partner) <= 128):
        return people_page(visit, wrong=say("Name the partner, as the actions do."), given=form)
    grant = Grant(visit.program.id, role, partner if role == "partner" else "")
    return people_page(visit, link=visit.request.address + new_link(visit.hub, name, [grant]))
