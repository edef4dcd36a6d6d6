"""Edit the next version of a contract: compare it with other versions on an order, then apply it."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from retour.console.page_context import PageContext
from retour.console.request import Response
from retour.console.setup import contract, explain, terms_form, versions
from retour.console.setup.contract import OrderQuery
from retour.console.setup.terms_form import Card, Field, Terms
from retour.console.setup.versions import Proposal
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.lock_terms import LOCK_METHODS
from retour.domain.program import Program
from retour.previews.terms import price_order, with_terms
from retour.setup.program_file import parse_program

OF_LOCKS = "lock-"
"""Prefix of lock buttons, which otherwise equal those of rules."""


@dataclass(frozen=True)
class TermsDraft:
    """A contract being edited. `wrong` has the errors by field."""

    body: Mapping[str, Any]
    fields: Sequence[Field]
    rules: Sequence[Card]
    locks: Sequence[Card]
    wrong: Mapping[str, str]
    opened: Program | None

    def version(self, name: str) -> Contract | None:
        """The version it would become; the newest if it is unchanged."""
        every = self.opened.contracts if self.opened else ()
        return next((one for one in reversed(every) if one.name == name), None)


def start_page(context: PageContext) -> Response:
    newest, body = contract_in_force(context)
    asked = contract.parse_order_query(context, contract.example_order(context, newest), context.program)
    return render_terms(
        context, newest, build_draft(context, newest.name, body, rules_of(body), locks_of(body)), asked, None
    )


def edit(context: PageContext) -> Response:
    """Edit rules and locks, price an order, then preview and apply the next version."""
    form = context.request.form
    newest, declared = contract_in_force(context)
    rules, locks = ranked_terms(form)
    draft = build_draft(context, newest.name, contract_body(declared, rules, locks, form), rules, locks)
    asked = contract.parse_order_query(context, form, draft.opened or context.program)
    wanted = with_contract(context, newest.name, draft.body)
    found = versions.handle_step(context, wanted) if draft.opened else None
    if isinstance(found, Response):
        return found
    return render_terms(context, newest, draft, asked, found)


def contract_in_force(context: PageContext) -> tuple[Contract, dict[str, Any]]:
    name = context.part["contract"]
    found = next((one for one in contract.current_contracts(context) if one.name == name), None)
    if found is None:
        raise context.not_found()
    return found, deepcopy(dict(versions.in_force(context).document["contracts"][name]))


def with_contract(context: PageContext, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    document = versions.in_force(context).document
    return {**document, "contracts": {**document["contracts"], name: body}}


def rules_of(body: Mapping[str, Any]) -> list[Terms]:
    return [dict(rule) for rule in body.get("rules") or [{"pays": body["payout"]}]]


def locks_of(body: Mapping[str, Any]) -> list[Terms]:
    return [dict(lock) for lock in (body["lock"] if isinstance(body["lock"], list) else [body["lock"]])]


def ranked_terms(form: Mapping[str, str]) -> tuple[list[Terms], list[Terms]]:
    """The rules and locks of the form, after its button was applied."""
    rules, locks, do = terms_form.rules_from(form), terms_form.locks_from(form), form.get("do", "")
    if do == "add":
        return [*rules, {"pays": ""}], locks
    if do == f"{OF_LOCKS}add":
        # The last lock is for all other actions, so insert a new one before it.
        return rules, [*locks[:-1], {LOCK_METHODS[0].leading[0]: ""}, *locks[-1:]]
    if do.startswith(OF_LOCKS):
        return rules, terms_form.move_rank(locks, do.removeprefix(OF_LOCKS))
    return terms_form.move_rank(rules, do), locks


def contract_body(
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


def build_draft(
    context: PageContext, name: str, body: Mapping[str, Any], rules: Sequence[Terms], locks: Sequence[Terms]
) -> TermsDraft:
    """The terms as they would be in force, or their errors."""
    words = context.words
    fields = terms_form.contract_fields(words, body)
    cards = terms_form.rule_cards(words, rules), terms_form.lock_cards(words, locks)
    lists = context.hub.programs.named_lists(context.program)
    found = parse_program(versions.with_document(context, with_contract(context, name, body)), lists)
    if isinstance(found, list):
        shown = {one.name for card in (*cards[0], *cards[1]) for one in (*card.fields, *card.more)}
        wrong = terms_form.places(name, found, shown | {one.name for one in fields}, words.language)
        return TermsDraft(body, fields, *cards, wrong, None)
    return TermsDraft(body, fields, *cards, {}, with_terms(context.program, found, context.hub.now(), lists))


# Page


def render_terms(
    context: PageContext, newest: Contract, draft: TermsDraft, asked: OrderQuery, proposal: Proposal | None
) -> Response:
    next_version = draft.version(newest.name)
    in_force = contract.in_force(context, newest.name)
    beside = [in_force, newest] if in_force and in_force.number != newest.number else [newest]
    answers = [
        (
            [price_order(one, action, rests) for one in beside],
            price_order(next_version, action, rests) if next_version else None,
        )
        for action, rests in asked.orders
    ]
    document = versions.in_force(context).document
    block = context.request.wants_block
    wrong = bool(draft.wrong) and context.request.form.get("step") in ("show", "save")
    return context.render(
        "terms_editor.html" if block else "terms.html",
        200 if block else 422 if wrong else proposal.status if proposal else 200,
        explain=explain,
        newest=newest,
        in_force=in_force,
        draft=draft,
        asked=asked,
        answers=answers,
        proposal=proposal,
        groups=sorted(document.get("groups", {})),
        lists=sorted({*document.get("lists", {}), *context.program.lists}),
        event_types=sorted(context.program.event_types),
    )
