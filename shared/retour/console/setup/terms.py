"""A contract's next version: its rules ranked anew, tried on an order beside the version in force, then saved."""

import csv
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import Any

from retour.api import listing
from retour.console.request import Response
from retour.console.setup import contract, said, versions
from retour.console.setup.contract import Asked
from retour.console.setup.versions import Proposal
from retour.console.visit import Visit
from retour.domain.contracts.contract import Contract
from retour.domain.program import Program
from retour.setup.program_file import Fault, read
from retour.setup.terms import Effect, effect, priced, with_terms

CONDITIONS = ("category", "sku", "promo_code", "customer_status")
LOOKED_AT = 300
"""Pending actions that new terms are tried on."""
MOVE = re.compile(r"(up|down|drop):(\d{1,3})")

Rule = dict[str, Any]


@dataclass(frozen=True)
class Draft:
    """A contract as the form has it, with what is wrong by the key it stands under."""

    body: Mapping[str, Any]
    rules: Sequence[Rule]
    wrong: Mapping[str, str]
    opened: Program | None

    def version(self, name: str) -> Contract | None:
        """The version it would become; the one in force while it says nothing else."""
        every = self.opened.contracts if self.opened else ()
        return next((one for one in reversed(every) if one.name == name), None)


def start(visit: Visit) -> Response:
    in_force, body = chosen(visit)
    asked = contract.asked(visit, contract.usual(visit, in_force), visit.program)
    return shown(visit, in_force, drafted(visit, in_force.name, body, rules_of(body)), asked, None)


def edit(visit: Visit) -> Response:
    """The rules moved, added or dropped; priced; then, asked for, what saving changes, and the next version."""
    form = visit.request.form
    in_force, declared = chosen(visit)
    rules = moved(from_form(form), form.get("do", ""))
    draft = drafted(visit, in_force.name, body_of(declared, rules, form), rules)
    asked = contract.asked(visit, form, draft.opened or visit.program)
    wanted = with_contract(visit, in_force.name, draft.body)
    found = versions.stepped(visit, wanted) if draft.opened else None
    if isinstance(found, Response):
        return found
    return shown(visit, in_force, draft, asked, found)


def chosen(visit: Visit) -> tuple[Contract, dict[str, Any]]:
    name = visit.part["contract"]
    found = next((one for one in contract.current(visit) if one.name == name), None)
    if found is None:
        raise visit.not_found()
    return found, deepcopy(dict(versions.versions_of(visit)[0].document["contracts"][name]))


def with_contract(visit: Visit, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    document = versions.versions_of(visit)[0].document
    return {**document, "contracts": {**document["contracts"], name: body}}


# From the form


def rules_of(body: Mapping[str, Any]) -> list[Rule]:
    return [dict(rule) for rule in body.get("rules") or [{"pays": body["payout"]}]]


def from_form(form: Mapping[str, str]) -> list[Rule]:
    numbers = sorted(int(key[5:]) for key in form if re.fullmatch(r"pays:\d{1,3}", key))
    return [rule_from(form, n) for n in numbers]


def rule_from(form: Mapping[str, str], n: int) -> Rule:
    rule: Rule = {name: said for name in CONDITIONS if (said := listed(form.get(f"{name}:rule:{n}", "")))}
    rule["pays"] = form[f"pays:{n}"].strip()
    if form.get(f"per:{n}") == "order":
        rule["per"] = "order"
    return rule


def listed(text: str) -> list[str]:
    """Values with commas between them; one that has a comma itself stands in quotes, as in a CSV."""
    rows = list(csv.reader([" ".join(text.split())], skipinitialspace=True))
    return list(dict.fromkeys(value for row in rows for cell in row if (value := cell.strip())))


def joined(values: Sequence[str]) -> str:
    return ", ".join(f'"{one}"' if "," in one else one for one in values)


def moved(rules: list[Rule], do: str) -> list[Rule]:
    """One rule a rank up or down, out, or a new one as the last."""
    if do == "add":
        return [*rules, {"pays": ""}]
    found = MOVE.fullmatch(do)
    at = int(found[2]) - 1 if found else -1
    if found is None or not 0 <= at < len(rules):
        return rules
    rest = rules[:at] + rules[at + 1 :]
    if found[1] == "drop":
        return rest
    to = max(at - 1, 0) if found[1] == "up" else at + 1
    return [*rest[:to], rules[at], *rest[to:]]


def body_of(declared: Mapping[str, Any], rules: Sequence[Rule], form: Mapping[str, str]) -> dict[str, Any]:
    """The declared terms with these rules; one rule for everything stays a plain payout where it was one."""
    stays = "payout" in declared and len(rules) == 1 and rules[0].keys() == {"pays"}
    said: dict[str, Any] = {
        "valid_from": form.get("valid_from", "").strip(),
        "partners": listed(form.get("partners", "")),
        **({"payout": rules[0]["pays"]} if stays else {"rules": list(rules)}),
    }
    kept = {name: value for name, value in declared.items() if name in said or name not in ("payout", "rules")}
    return {name: value for name, value in (kept | said).items() if value or name == "valid_from"}


def drafted(visit: Visit, name: str, body: Mapping[str, Any], rules: Sequence[Rule]) -> Draft:
    """The terms as they would be in force, or what is wrong with them."""
    document = with_contract(visit, name, body)
    found = read(versions.with_document(visit, document))
    if isinstance(found, list):
        return Draft(body, rules, dict(places(name, found)), None)
    return Draft(body, rules, {}, with_terms(visit.program, found, visit.hub.now()))


def places(name: str, faults: Sequence[Fault]) -> list[tuple[str, str]]:
    """What is wrong by the field it belongs beside: `pays:2`, `valid_from`; else ``."""
    found = []
    for fault in faults:
        inner = fault.key.removeprefix(f"contracts.{name}").lstrip(".")
        rule = re.match(r"rules\[(\d+)\]", inner)
        field = f"pays:{rule[1]}" if rule else "pays:1" if inner in ("payout", "rules") else inner.partition("[")[0]
        shown_there = rule or field in ("pays:1", "valid_from", "partners")
        found.append((field if shown_there else "", fault.sentence))
    return found


# The page


def shown(visit: Visit, in_force: Contract, draft: Draft, asked: Asked, proposal: Proposal | None) -> Response:
    next_version = draft.version(in_force.name)
    answers = [
        (priced(in_force, action, rests), priced(next_version, action, rests) if next_version else None)
        for action, rests in asked.orders
    ]
    block = visit.request.wants_block
    wrong = bool(draft.wrong) and visit.request.form.get("step") in ("show", "save")
    return visit.render(
        "terms_editor.html" if block else "terms.html",
        200 if block else 422 if wrong else proposal.status if proposal else 200,
        said=said,
        in_force=in_force,
        draft=draft,
        asked=asked,
        answers=answers,
        joined=joined,
        proposal=proposal,
        pending=pending_effect(visit, in_force, draft) if proposal and proposal.changes else None,
        looked_at=LOOKED_AT,
        event_types=sorted(visit.program.event_types),
        conditions=CONDITIONS,
    )


def pending_effect(visit: Visit, in_force: Contract, draft: Draft) -> Effect | None:
    """On the next actions to lock, as many as a page may look at."""
    if draft.opened is None:
        return None
    wanted = listing.Filter(state="pending", event_type=in_force.event_type)
    chosen = islice(listing.found(visit.hub, visit.reader, wanted), LOOKED_AT)
    return effect(chosen, draft.opened.contracts, visit.hub.now())
