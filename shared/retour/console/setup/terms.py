"""A contract's next version: its rules ranked anew, tried on an order beside the version in force, then saved."""

import csv
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from retour.console.request import Response
from retour.console.setup import contract, said, versions
from retour.console.setup.contract import Asked
from retour.console.setup.versions import Proposal
from retour.console.visit import Visit
from retour.domain.contracts.conditions import CONDITIONS, NOT, Condition
from retour.domain.contracts.contract import Contract
from retour.domain.program import Program
from retour.sentences import sentence
from retour.setup.program_file import Fault, read
from retour.setup.terms import priced, with_terms

PLAIN = ("from", "until", "at_most")
"""What a rule says beside its conditions, as it is typed."""
LIST = "@"
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
    return found, deepcopy(dict(versions.in_force(visit).document["contracts"][name]))


def with_contract(visit: Visit, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    document = versions.in_force(visit).document
    return {**document, "contracts": {**document["contracts"], name: body}}


# From the form


def rules_of(body: Mapping[str, Any]) -> list[Rule]:
    return [dict(rule) for rule in body.get("rules") or [{"pays": body["payout"]}]]


def from_form(form: Mapping[str, str]) -> list[Rule]:
    numbers = sorted(int(key[5:]) for key in form if re.fullmatch(r"pays:\d{1,3}", key))
    return [rule_from(form, n) for n in numbers]


def rule_from(form: Mapping[str, str], n: int) -> Rule:
    def typed_in(above: str) -> Rule:
        found = {word: from_text(one, form.get(f"{above}{word}:rule:{n}", "")) for word, one in CONDITIONS.items()}
        return {word: said for word, said in found.items() if said}

    rule = typed_in("")
    if negated := typed_in(f"{NOT}."):
        rule[NOT] = negated
    rule |= {name: said for name in PLAIN if (said := form.get(f"{name}:rule:{n}", "").strip())}
    rule["pays"] = form[f"pays:{n}"].strip()
    if form.get(f"per:{n}") == "order":
        rule["per"] = "order"
    return rule


def from_text(condition: Condition, text: str) -> Any:
    """A range as `100.00..500.00`, a list as `@name`, values with commas between them."""
    if condition.is_amount:
        low, _, high = text.strip().partition("..")
        return {name: end.strip() for name, end in (("from", low), ("below", high)) if end.strip()}
    return [{"list": one[1:]} if one.startswith(LIST) else one for one in listed(text)]


def typed(said: Any) -> str:
    """The text that would be read as this."""
    if isinstance(said, Mapping):
        return f"{said.get('from', '')}..{said.get('below', '')}"
    return joined([f"{LIST}{one['list']}" if isinstance(one, Mapping) else one for one in said or ()])


def listed(text: str) -> list[str]:
    """Values with commas between them; one that has a comma itself stands in quotes, as in a CSV."""
    rows = list(csv.reader([" ".join(text.split())], skipinitialspace=True))
    return list(dict.fromkeys(value for row in rows for cell in row if (value := cell.strip())))


@dataclass(frozen=True)
class Field:
    """A condition as the form asks for it."""

    word: str
    label: str


def asked_for(visit: Visit, condition: Condition) -> Field:
    label = sentence(condition.code, {"values": ""}, visit.words.language).strip()
    return Field(condition.word, label[:1].upper() + label[1:])


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
    lists = visit.hub.programs.named_lists(visit.program)
    found = read(versions.with_document(visit, document), lists)
    if isinstance(found, list):
        return Draft(body, rules, dict(places(name, found, visit.words.language)), None)
    return Draft(body, rules, {}, with_terms(visit.program, found, visit.hub.now(), lists))


def places(name: str, faults: Sequence[Fault], language: str) -> list[tuple[str, str]]:
    """What is wrong by the field it belongs beside: `pays:2`, `valid_from`; else ``."""
    found = []
    for fault in faults:
        inner = fault.key.removeprefix(f"contracts.{name}").lstrip(".")
        rule = re.match(r"rules\[(\d+)\]", inner)
        field = f"pays:{rule[1]}" if rule else "pays:1" if inner in ("payout", "rules") else inner.partition("[")[0]
        shown_there = rule or field in ("pays:1", "valid_from", "partners")
        found.append((field if shown_there else "", fault.say(language)))
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
        typed=typed,
        proposal=proposal,
        event_types=sorted(visit.program.event_types),
        conditions=[asked_for(visit, one) for one in CONDITIONS.values()],
    )
