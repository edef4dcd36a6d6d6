"""The funding check over HTTP, for a contract in force, a draft, or figures."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from retour.api.calls import Call
from retour.domain.calendar import local_day
from retour.domain.funding.schedule import Policy
from retour.domain.program import Program
from retour.errors import InvalidRequestError, NotFoundError, excerpt
from retour.money import asked, funding
from retour.money.asked import FigureFault
from retour.views.documents import Document
from retour.wiring import Hub

DRAFT_MAX = 256 * 1024


def check_contract(hub: Hub, call: Call, program: Program) -> Document:
    """Check one or all contracts in force, the worst first."""
    document = hub.programs.newest_version(program.id).document
    return contracts_checked(document, call.query.get("contract"), {}, today(hub, program), program)


def check(hub: Hub, call: Call, program: Program) -> Document:
    """Check contracts in force or of a draft, optionally with other figures; or figures alone."""
    given = call.document("contract", "draft", *asked.FIGURES, most=DRAFT_MAX)
    figures = {name: given[name] for name in asked.FIGURES if given.get(name) is not None}
    contract, draft = given.get("contract"), given.get("draft")
    if contract is None and draft is None and figures:
        found = policy(figures)
        return funding.check_document(funding.check_policy(found, today(hub, program)), program.language)
    document = parse_draft(program, draft) if draft is not None else hub.programs.newest_version(program.id).document
    return contracts_checked(document, contract, figures, today(hub, program), program)


def today(hub: Hub, program: Program) -> date:
    return local_day(hub.now(), program.time_zone)


def policy(figures: Mapping[str, Any], known: Policy | None = None) -> Policy:
    found = asked.policy_of(figures, known)
    if isinstance(found, FigureFault):
        raise InvalidRequestError("FIGURE_INVALID", found.about, figure=found.figure, value=excerpt(found.value))
    return found


def parse_draft(program: Program, draft: Any) -> Mapping[str, Any]:
    """Parse a draft program document as strictly as one to be applied."""
    from retour.commands.programs import invalid_program
    from retour.setup import program_file

    found = program_file.parse_program(draft if isinstance(draft, str) else "", program.lists)
    if isinstance(found, list):
        raise invalid_program(found)
    return found


def contracts_checked(
    document: Mapping[str, Any], contract: Any, figures: Mapping[str, Any], day: date, program: Program
) -> Document:
    """The worst of the requested contracts, with a line for each."""
    names = [name for name in document["contracts"] if contract in (None, name)]
    if not names:
        raise NotFoundError("contract", program=program.id)
    returns = policy({"lock": "open-ended", **figures}).returns if "window_days" in figures else None
    found = funding.checks(document, day, contract, returns)
    if not found:
        event_types = dict.fromkeys(document["contracts"][name]["event_type"] for name in names)
        raise InvalidRequestError("RETURNS_NOT_KNOWN", event_type=", ".join(event_types))
    if figures:
        tried = [(one.place, policy(figures, one.proof.policy)) for one in found]
        again = [funding.check_policy(other, day, place) for place, other in tried]
        found = sorted(again, key=lambda one: one.gravity)
    return {**funding.check_document(found[0], program.language), "checks": [line(one) for one in found]}


def line(one: funding.Checked) -> Document:
    return {
        "contract": one.place.contract,
        "event_type": one.place.event_type,
        "billing_group": one.place.billing_group,
        "lock_rank": one.place.rank,
        "verdict": one.verdict.value,
        "unsafe_dates": one.proof.unsafe,
        "tight_dates": one.proof.tight,
        "policy": funding.policy_document(one.proof.policy),
    }
