"""A contract's next version: all that it says edited, tried on an order beside the versions that are, then saved."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from retour.console.request import Response
from retour.console.setup import contract, said, terms_form, versions
from retour.console.setup.contract import Asked
from retour.console.setup.terms_form import Card, Field, Terms
from retour.console.setup.versions import Proposal
from retour.console.visit import Visit
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.lock_terms import WAYS
from retour.domain.program import Program
from retour.setup.program_file import read
from retour.setup.terms import priced, with_terms

OF_LOCKS = "lock-"
"""What the buttons of locks say before that which those of rules say."""


@dataclass(frozen=True)
class Draft:
    """A contract as the form has it: its fields, and what is wrong by the name of the field it stands beside."""

    body: Mapping[str, Any]
    fields: Sequence[Field]
    rules: Sequence[Card]
    locks: Sequence[Card]
    wrong: Mapping[str, str]
    opened: Program | None

    def version(self, name: str) -> Contract | None:
        """The version it would become; the newest while it says nothing else."""
        every = self.opened.contracts if self.opened else ()
        return next((one for one in reversed(every) if one.name == name), None)


def start(visit: Visit) -> Response:
    newest, body = chosen(visit)
    asked = contract.asked(visit, contract.usual(visit, newest), visit.program)
    return shown(visit, newest, drafted(visit, newest.name, body, rules_of(body), locks_of(body)), asked, None)


def edit(visit: Visit) -> Response:
    """Rules and locks moved, added or dropped; priced; then, asked for, what saving changes, and the next version."""
    form = visit.request.form
    newest, declared = chosen(visit)
    rules, locks = ranked(form)
    draft = drafted(visit, newest.name, body_of(declared, rules, locks, form), rules, locks)
    asked = contract.asked(visit, form, draft.opened or visit.program)
    wanted = with_contract(visit, newest.name, draft.body)
    found = versions.stepped(visit, wanted) if draft.opened else None
    if isinstance(found, Response):
        return found
    return shown(visit, newest, draft, asked, found)


def chosen(visit: Visit) -> tuple[Contract, dict[str, Any]]:
    name = visit.part["contract"]
    found = next((one for one in contract.current(visit) if one.name == name), None)
    if found is None:
        raise visit.not_found()
    return found, deepcopy(dict(versions.in_force(visit).document["contracts"][name]))


def with_contract(visit: Visit, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    document = versions.in_force(visit).document
    return {**document, "contracts": {**document["contracts"], name: body}}


def rules_of(body: Mapping[str, Any]) -> list[Terms]:
    return [dict(rule) for rule in body.get("rules") or [{"pays": body["payout"]}]]


def locks_of(body: Mapping[str, Any]) -> list[Terms]:
    return [dict(lock) for lock in (body["lock"] if isinstance(body["lock"], list) else [body["lock"]])]


def ranked(form: Mapping[str, str]) -> tuple[list[Terms], list[Terms]]:
    """The rules and the locks of the form, after what its button does to them."""
    rules, locks, do = terms_form.rules_from(form), terms_form.locks_from(form), form.get("do", "")
    if do == "add":
        return [*rules, {"pays": ""}], locks
    if do == f"{OF_LOCKS}add":
        # The last lock is for all others, so a new one stands before it.
        return rules, [*locks[:-1], {WAYS[0].leading[0]: ""}, *locks[-1:]]
    if do.startswith(OF_LOCKS):
        return rules, terms_form.moved(locks, do.removeprefix(OF_LOCKS))
    return terms_form.moved(rules, do), locks


def body_of(
    declared: Mapping[str, Any], rules: Sequence[Terms], locks: Sequence[Terms], form: Mapping[str, str]
) -> dict[str, Any]:
    """The declared terms as the form says them: one rule for everything stays a plain payout where it was one, and one
    lock stays no list."""
    plain_payout = "payout" in declared and len(rules) == 1 and rules[0].keys() == {"pays"}
    one_lock = len(locks) == 1 and not isinstance(declared["lock"], list)
    typed: dict[str, Any] = {
        **terms_form.contract_from(form),
        **({"payout": rules[0]["pays"]} if plain_payout else {"rules": list(rules)}),
        "lock": locks[0] if one_lock else list(locks),
    }
    kept = {name: value for name, value in declared.items() if name == "event_type" or name in typed}
    return kept | typed


def drafted(visit: Visit, name: str, body: Mapping[str, Any], rules: Sequence[Terms], locks: Sequence[Terms]) -> Draft:
    """The terms as they would be in force, or what is wrong with them."""
    words = visit.words
    fields = terms_form.contract_fields(words, body)
    cards = terms_form.rule_cards(words, rules), terms_form.lock_cards(words, locks)
    lists = visit.hub.programs.named_lists(visit.program)
    found = read(versions.with_document(visit, with_contract(visit, name, body)), lists)
    if isinstance(found, list):
        shown = {one.name for card in (*cards[0], *cards[1]) for one in (*card.fields, *card.more)}
        wrong = terms_form.places(name, found, shown | {one.name for one in fields}, words.language)
        return Draft(body, fields, *cards, wrong, None)
    return Draft(body, fields, *cards, {}, with_terms(visit.program, found, visit.hub.now(), lists))


# The page


def shown(visit: Visit, newest: Contract, draft: Draft, asked: Asked, proposal: Proposal | None) -> Response:
    next_version = draft.version(newest.name)
    in_force = contract.in_force(visit, newest.name)
    beside = [in_force, newest] if in_force and in_force.number != newest.number else [newest]
    answers = [
        (
            [priced(one, action, rests) for one in beside],
            priced(next_version, action, rests) if next_version else None,
        )
        for action, rests in asked.orders
    ]
    document = versions.in_force(visit).document
    block = visit.request.wants_block
    wrong = bool(draft.wrong) and visit.request.form.get("step") in ("show", "save")
    return visit.render(
        "terms_editor.html" if block else "terms.html",
        200 if block else 422 if wrong else proposal.status if proposal else 200,
        said=said,
        newest=newest,
        in_force=in_force,
        draft=draft,
        asked=asked,
        answers=answers,
        proposal=proposal,
        groups=sorted(document.get("groups", {})),
        lists=sorted({*document.get("lists", {}), *visit.program.lists}),
        event_types=sorted(visit.program.event_types),
    )
