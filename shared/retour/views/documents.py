"""JSON documents of the public API. Their fields are a contract with users."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from retour.domain.actions import payout_details
from retour.domain.actions.action import Action
from retour.domain.actions.explain import sentence_details
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import ActionHead, Order, effect_of, line_payouts
from retour.domain.actions.outcome import Effect, MakeGood, OtherBasis, Outcome, Result
from retour.domain.contracts.contract import Contract
from retour.domain.delivery import KINDS_WITHOUT_ROWS, receipt_time
from retour.domain.money import to_text
from retour.domain.phrase import Phrase
from retour.domain.program import Program
from retour.domain.times import format_instant
from retour.intake.batch import DONE, DRY_RUN, HELD, REFUSED, Batch
from retour.intake.uploads import NO_HASH
from retour.languages import language_or_english
from retour.posting.rows import to_result
from retour.sentences import sentence
from retour.store.deliveries import DeliveryHeader
from retour.views.schemas import (
    ActionDetailFields,
    ActionDocument,
    ActionLineDocument,
    BatchAnswerDocument,
    BatchDocument,
    ChangeOfAmountDocument,
    CreditDocument,
    EffectDocument,
    EffectTotalDocument,
    HistoryEntryDocument,
    MakeGoodDocument,
    ModificationDocument,
    OtherBasisDocument,
    RecordOutcomeDocument,
    RefusalFields,
    RepetitionFields,
)

Document = dict[str, Any]


def effect_document(effect: Effect | None) -> EffectDocument | None:
    if effect is None:
        return None

    def money(before: int, after: int, currency: str) -> ChangeOfAmountDocument:
        return {"before": to_text(before, currency), "after": to_text(after, currency)}

    return {
        "currency": effect.currency,
        "payout_currency": effect.payout_currency,
        "amount": money(effect.amount_before, effect.amount_after, effect.currency),
        "payout": money(effect.payout_before, effect.payout_after, effect.payout_currency),
        "contract": effect.contract,
    }


def other_basis_document(other: OtherBasis | None, currency: str) -> OtherBasisDocument | None:
    return {"basis": other.basis, "payout": to_text(other.payout, currency)} if other else None


def make_good_document(owed: MakeGood) -> MakeGoodDocument:
    document: MakeGoodDocument = {
        "partner": owed.partner,
        "amount": to_text(owed.amount, owed.currency),
        "currency": owed.currency,
        "payout": to_text(owed.payout, owed.payout_currency),
        "payout_currency": owed.payout_currency,
    }
    if owed.also:
        document["also"] = make_good_document(owed.also)
    return document


def result_document(result: Result, language: str) -> RecordOutcomeDocument:
    """The result of one record of a delivery."""
    document: RecordOutcomeDocument = {
        "record": result.place,
        "id": result.modification,
        "reference": result.reference,
        "order_id": result.order,
        "action_id": result.action,
        "outcome": result.outcome.value,
        "code": result.code,
        "explanation": sentence(*result.reason, language),
        "applied_at": format_instant(result.applied_at) if result.applied_at else None,
        "effect": effect_document(result.effect),
    }
    if result.first:
        document["first"] = {"outcome": result.first.outcome.value, "batch": result.first.delivery}
    if result.other_basis and result.effect:
        document["other_basis"] = other_basis_document(result.other_basis, result.effect.payout_currency)
    if result.make_good:
        document["make_good"] = make_good_document(result.make_good)
    if result.column:
        document["column"] = result.column
    return document


def repetition_of(same_as: str, counts: Mapping[str, int], language: str, zone: str = "UTC") -> RepetitionFields:
    """The earlier delivery that this one repeats without effect, with its sentence."""
    case = {"case": "held"} if counts.get(Outcome.HELD) else {}
    details = {"batch": same_as, "received_at": format_instant(receipt_time(same_as)), "zone": zone, **case}
    return {"same_as": same_as, "explanation": sentence("SENT_BEFORE", details, language)}


def first_counts(results: Iterable[Result]) -> dict[str, int]:
    """The number of records by their first outcome."""
    return dict(Counter((one.first.outcome if one.first else one.outcome).value for one in results))


def answer_document(batch: Batch, language: str) -> BatchAnswerDocument:
    """The immediate response to a call: the batch with one outcome per record.

    For a repeated call, the first outcomes are counted as well.
    """
    document: BatchAnswerDocument = {
        "batch": batch.delivery.id,
        "state": batch.state,
        "counts": batch.counts,
        "outcomes": [result_document(result, language) for result in batch.results],
    }
    if batch.same_as:
        add_repetition(document, repetition_of(batch.same_as, batch.counts, language))
        document["first_counts"] = first_counts(batch.results)
    add_refusal(document, refusal_fields(batch.code, batch.details, language))
    return document


def add_repetition(document: BatchAnswerDocument | BatchDocument, repeated: RepetitionFields) -> None:
    document["same_as"], document["explanation"] = repeated["same_as"], repeated["explanation"]


def add_refusal(document: BatchAnswerDocument | BatchDocument, refused: RefusalFields) -> None:
    if "code" in refused:
        document["code"] = refused["code"]
    if "explanation" in refused:
        document["explanation"] = refused["explanation"]


def dry_run_document(batch: Batch, language: str) -> BatchAnswerDocument:
    """The response to a dry run. There is no batch to query later."""
    state = REFUSED if batch.state == REFUSED else HELD if batch.preview.get("warnings") else DONE
    document = answer_document(batch, language)
    document |= {"batch": None, "state": state, "dry_run": True}
    return cast(BatchAnswerDocument, {**document, **explain_warnings(batch.preview, language)})


def explain_warnings(preview: Mapping[str, Any], language: str) -> Document:
    """The preview of a dry run, its warnings as sentences."""
    if "warnings" not in preview:
        return dict(preview)
    said = [{**one, "explanation": sentence(one["code"], one["details"], language)} for one in preview["warnings"]]
    return {**preview, "warnings": said}


def count_outcomes(results: Iterable[Result]) -> dict[str, int]:
    return dict(Counter(result.outcome.value for result in results))


def refusal_fields(code: str, details: Mapping[str, str], language: str) -> RefusalFields:
    """Why a delivery was refused, held or ignored as a whole; empty otherwise."""
    if code:
        return {"code": code, "explanation": sentence(code, details, language)}
    return {"explanation": details["why"]} if details.get("why") else {}


def modification_document(
    order: Order,
    record: Modification,
    program: Program,
    others: dict[str, payout_details.OtherBasisPayouts] | None = None,
) -> ModificationDocument:
    """A record as sent, its provenance and its outcome. `others` is the cache described in `to_result`."""
    outcome = result_document(to_result(order, record, record, program, others), program.language)
    change, amount = record.change, getattr(record.change, "amount", None)
    document: ModificationDocument = {
        "id": record.public_id,
        "program": record.program,
        "channel": record.channel.value,
        "source": record.source,
        "reference": record.reference,
        "order_id": record.order_key,
        "action_id": outcome["action_id"] or record.action_id,
        "event_type": record.event_type,
        "sku": record.sku,
        "line": record.line,
        "subject": record.subject,
        "version": str(record.version) if record.version else None,
        "change": record.verb,
        "amount": f"{amount:f}" if amount is not None else None,
        "quantity": getattr(change, "quantity", None),
        "status": getattr(change, "status", None),
        "partner": getattr(change, "partner", None),
        "undoes": getattr(change, "undoes", None),
        "currency": record.currency,
        "reason": record.reason,
        "disposition": record.disposition,
        "note": record.note,
        "occurred_at": format_instant(record.occurred_at) if record.occurred_at else None,
        "received_at": format_instant(record.received_at),
        "batch": record.provenance.delivery,
        "object": record.provenance.object,
        "place": record.provenance.place,
        "sha256": record.provenance.sha256,
        "sender": record.provenance.sender,
        "outcome": outcome["outcome"],
        "code": outcome["code"],
        "explanation": outcome["explanation"],
        "applied_at": outcome["applied_at"],
        "effect": outcome["effect"],
    }
    if "other_basis" in outcome:
        document["other_basis"] = outcome["other_basis"]
    if "make_good" in outcome:
        document["make_good"] = outcome["make_good"]
    return document


def action_line(action: Action, head: ActionHead, program: Program, now: datetime) -> ActionLineDocument:
    """An action in a list."""
    return {
        "id": action.id,
        "program": action.program,
        "order_id": action.order_id,
        "event_type": action.event_type,
        "partner": head.standing.partner,
        "event_time": format_instant(action.event_time),
        "reported_at": format_instant(action.reported_at),
        "currency": action.currency,
        "state": head.state(now).value,
        "amount": to_text(head.standing.amount, action.currency),
        "payout": to_text(head.payout, program.currency),
        "payout_currency": program.currency,
        "locks_at": format_instant(head.locks_at) if head.locks_at else None,
        "final_at": format_instant(head.final) if head.final else None,
        "contract": head.standing.contract,
        "changes": head.changes,
        "changes_left": max(head.standing.limit - head.changes, 0),
        "promo_code": action.promo_code,
        "customer_status": action.customer_status,
        "country": action.country,
        "payment_method": action.payment_method,
        "parent": action.parent,
    }


def action_document(order: Order, action: Action, head: ActionHead, program: Program, now: datetime) -> ActionDocument:
    """An action with its lines and its full history in booked order."""
    terms = program.contracts[head.standing.contract - 1]
    more: ActionDetailFields = {
        "sentence": payout_sentence(
            payout_details.payout_phrases(order, action, head, program.contracts), program.language
        ),
        "credit": credit_document(
            payout_details.credit_date(order, action, head, program.contracts, now), program.language
        ),
        "rate": f"{action.rate:f}",
        "items": [
            {
                "line": line.line,
                "sku": line.sku,
                "category": line.category,
                "quantity": rest.quantity,
                "amount": to_text(rest.amount, action.currency),
                "payout": to_text(paid.amount, terms.currency),
                "rule": paid.rule,
                "sold": {"quantity": line.quantity, "amount": to_text(line.amount, action.currency)},
            }
            for line, rest, paid in zip(
                action.lines, head.standing.rests, line_payouts(action, head.standing, program.contracts), strict=True
            )
        ],
        "history": history(order, action, head, program),
    }
    return cast(ActionDocument, {**action_line(action, head, program, now), **more})


def action_state_document(order: Order, action: Action, previous: ActionHead, program: Program) -> Document:
    """An action's state before and after: payout, amount, terms, and the payout by the other terms basis."""
    head = order.heads[action.id]
    terms = program.contracts[head.standing.contract - 1]
    basis, payouts = payout_details.payouts_by_other_basis(order, action, head, program.contracts)
    other = payouts[-1] if payouts else head.payout

    def money(before: int, after: int, currency: str) -> Document:
        return {name: to_text(value, currency) for name, value in
                (("before", before), ("after", after), ("difference", after - before))}  # fmt: skip

    return {
        "id": action.id,
        "partner": head.standing.partner,
        "sentence": payout_sentence(
            payout_details.payout_phrases(order, action, head, program.contracts), program.language
        ),
        "currency": action.currency,
        "amount": money(previous.standing.amount, head.standing.amount, action.currency),
        "payout_currency": program.currency,
        "payout": money(previous.payout, head.payout, program.currency),
        "terms": {"number": terms.number, "name": terms.name, "version": terms.version},
        "rules": sorted({line.rule for line in line_payouts(action, head.standing, program.contracts) if line.rule}),
        "other_basis": {"basis": basis.value, "payout": to_text(other, terms.currency)}
        if other != head.payout
        else None,
    }


def history(order: Order, action: Action, head: ActionHead, program: Program) -> list[HistoryEntryDocument]:
    """The entries of an action's log with source, place, effect, terms, and the effect by the other basis."""
    others = {head.action: payout_details.payouts_by_other_basis(order, action, head, program.contracts)}
    told_: list[HistoryEntryDocument] = []
    for entry in head.log:
        record = order.record(entry.id)
        if record is None:
            continue
        terms = program.contracts[entry.contract - 1]
        particulars = sentence_details(order, head, record, program.waiting_days, program.time_zone)
        moved = effect_of(order, head, entry, program.contracts)
        warning = None if entry.code else payout_details.payout_raised_warning(record, entry, moved)
        other = payout_details.other_basis(others[head.action], head, entry)
        told_.append(
            {
                **modification_document(order, record, program, others),
                "outcome": entry.outcome.value,
                "code": warning.code if warning else entry.code,
                "explanation": sentence(warning.code, warning.details, program.language)
                if warning
                else sentence(entry.code, particulars, program.language),
                "applied_at": format_instant(entry.applied_at),
                "effect": effect_document(moved),
                "terms": {"number": terms.number, "name": terms.name, "version": terms.version},
                "other_basis": other_basis_document(other, terms.currency),
            }
        )
    return told_


def payout_sentence(parts: Sequence[Phrase], language: str) -> str:
    """The phrases of a payout as one sentence: the sum, then the reasons."""
    first, *why = [sentence(part.code, localize_days(part.details, language), language) for part in parts]
    colon = language_or_english(language).colon
    return f"{first}{colon}{'; '.join(why)}." if why else f"{first}."


def localize_days(details: Mapping[str, str], language: str) -> Mapping[str, str]:
    """Values with days formatted for a language."""
    return {name: localize_day(value, language) if name.endswith("day") else value for name, value in details.items()}


def localize_day(day: str, language: str) -> str:
    if not day:
        return "–"
    year, month, number = day.split("-")
    names = sentence("MONTHS", {}, language).split()
    return sentence("DAY", {"day": str(int(number)), "month": names[int(month) - 1], "year": year}, language)


def credit_document(credited: payout_details.CreditDate | None, language: str) -> CreditDocument | None:
    if credited is None:
        return None
    why = sentence(credited.said.code, localize_days(credited.said.details, language), language)
    return cast(CreditDocument, {credited.kind: credited.day, "why": why})


def batch_document(header: DeliveryHeader, program: Program, counts: Mapping[str, int]) -> BatchDocument:
    """A delivery with its outcome, without records."""
    delivery, facts = header.delivery, header.report
    path = f"/v1/programs/{delivery.program}/batches/{delivery.id}"
    document: BatchDocument = {
        "id": delivery.id,
        "program": delivery.program,
        "channel": delivery.channel.value,
        "source": delivery.source,
        "kind": delivery.kind.value,
        "name": delivery.name,
        "state": header.state,
        "received_at": format_instant(delivery.received_at),
        "sender": delivery.sender,
        "sha256": "" if delivery.sha256 == NO_HASH else delivery.sha256,
        "size": max(delivery.size, 0),
        "rows": facts.get("total") or len(facts.get("rows", ())) or sum(counts.values()),
        "counts": dict(counts),
        "skipped": facts.get("skipped", {}),
        "answer": facts.get("answer", ""),
        "links": {"raw": f"{path}/raw"},
    }
    if delivery.kind not in KINDS_WITHOUT_ROWS and header.state in (DONE, REFUSED, DRY_RUN):
        document["links"] |= {"result": f"{path}/result", "rejected": f"{path}/rejected"}
    if "effect" in facts:
        document["effect"] = effect_totals(facts["effect"])
    more: Document = {name: facts[name] for name in ("preview", "differs", "differing") if name in facts}
    if "same_as" in facts:
        add_repetition(document, repetition_of(facts["same_as"], counts, program.language, program.time_zone))
    if delivery.is_dry_run:
        preview = more.pop("preview", {})
        more |= {"dry_run": True, **explain_warnings(preview, program.language)}
    add_refusal(document, refusal_fields(facts.get("code", ""), facts.get("details", {}), program.language))
    return cast(BatchDocument, {**document, **more})


def effect_totals(moved: Mapping[str, int]) -> list[EffectTotalDocument]:
    """The changes of payouts by currency."""
    return [{"currency": currency, "change": to_text(change, currency)} for currency, change in moved.items()]


def contract_document(contract: Contract) -> Document:
    return {
        "number": contract.number,
        "name": contract.name,
        "version": contract.version,
        "event_type": contract.event_type,
        "partners": sorted(contract.partners),
        "valid_from": contract.valid_from.isoformat(),
        "valid_until": contract.valid_until.isoformat() if contract.valid_until else None,
        "groups": sorted(contract.for_groups),
        "lists": {name: entries.sha256 for name, entries in contract.lists.items()},
        "recorded_at": format_instant(contract.recorded_at),
        "terms": dict(contract.body),
    }
