"""What the hub knows, as the JSON that people and programs get (design.md, contracts with users)."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from retour.domain.actions import paid
from retour.domain.actions.action import Action
from retour.domain.actions.contract import Contract
from retour.domain.actions.decide import CHANGES_MAX
from retour.domain.actions.explain import details
from retour.domain.actions.modification import Modification
from retour.domain.actions.order import Head, Order, effect, paid_lines
from retour.domain.actions.outcome import Effect, MakeGood, Outcome, Result
from retour.domain.delivery import Delivery, Kind
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.domain.row import Refusal, Report, Unreadable
from retour.domain.times import text
from retour.intake import report
from retour.intake.arrival import NO_HASH
from retour.intake.batch import ARRIVED, DONE, DRY_RUN, HELD, REFUSED, Batch
from retour.intake.rows import told, unreadable
from retour.normalise import order_key
from retour.sentences import sentence
from retour.store import outcomes
from retour.store.deliveries import Deliveries, Header
from retour.store.ledger import Ledger

ORDERS_MAX = 300
"""Orders looked at for one page of a list."""
ACTION_BYTES = 200
"""About as long as the report of an action is."""
ID_MAX = 300
HEADERS_AT_ONCE = 50
HEADERS_MAX = 300
"""Deliveries looked at for one page."""
DAYS_MAX = 60
"""Days without a delivery passed over for one page."""

Document = dict[str, Any]


# One thing


def effect_document(effect: Effect | None) -> Document | None:
    if effect is None:
        return None

    def money(before: int, after: int, currency: str) -> Document:
        return {"before": to_text(before, currency), "after": to_text(after, currency)}

    return {
        "currency": effect.currency,
        "payout_currency": effect.payout_currency,
        "amount": money(effect.amount_before, effect.amount_after, effect.currency),
        "payout": money(effect.payout_before, effect.payout_after, effect.payout_currency),
        "contract": effect.contract,
    }


def make_good_document(owed: MakeGood) -> Document:
    """What settles a change that came too late: what it would have taken from the sale and from the payout."""
    document: Document = {
        "partner": owed.partner,
        "amount": to_text(owed.amount, owed.currency),
        "currency": owed.currency,
        "payout": to_text(owed.payout, owed.payout_currency),
        "payout_currency": owed.payout_currency,
    }
    return document | ({"also": make_good_document(owed.also)} if owed.also else {})


def result_document(result: Result, language: str) -> Document:
    """The answer to one record of a delivery."""
    document: Document = {
        "record": result.place,
        "id": result.modification,
        "reference": result.reference,
        "order_id": result.order,
        "action_id": result.action,
        "outcome": result.outcome.value,
        "code": result.code,
        "explanation": sentence(result.code, result.details, language),
        "applied_at": text(result.applied_at) if result.applied_at else None,
        "effect": effect_document(result.effect),
    }
    if result.make_good:
        document["make_good"] = make_good_document(result.make_good)
    if result.column:
        document["column"] = result.column
    return document


def answer_document(batch: Batch, language: str) -> Document:
    """What a caller hears at once: the batch and one outcome per record."""
    document: Document = {
        "batch": batch.delivery.id,
        "state": batch.state,
        "counts": batch.counts,
        "outcomes": [result_document(result, language) for result in batch.results],
    }
    return document | whole(batch.code, batch.details, language)


def rehearsal_document(batch: Batch, language: str) -> Document:
    """What would happen; there is no batch to ask for later."""
    state = REFUSED if batch.state == REFUSED else HELD if batch.preview.get("warnings") else DONE
    document = answer_document(batch, language) | {"batch": None, "state": state, "dry_run": True}
    return document | with_warnings(batch.preview, language)


def with_warnings(preview: Mapping[str, Any], language: str) -> Document:
    """What a dry run came to, its warnings in words."""
    if "warnings" not in preview:
        return dict(preview)
    said = [{**one, "explanation": sentence(one["code"], one["details"], language)} for one in preview["warnings"]]
    return {**preview, "warnings": said}


def count(results: Iterable[Result]) -> dict[str, int]:
    return dict(Counter(result.outcome.value for result in results))


def whole(code: str, details: Mapping[str, str], language: str) -> Document:
    """Why a delivery as a whole was refused, held or ignored; nothing where it was not."""
    if code:
        return {"code": code, "explanation": sentence(code, details, language)}
    return {"explanation": details["why"]} if details.get("why") else {}


def change_document(record: Modification) -> Document:
    """The change and its values, by the names they are sent with."""
    values = {
        name: getattr(record.change, name, None) for name in ("amount", "quantity", "status", "partner", "undoes")
    }
    amount = values["amount"]
    return {"change": record.verb, **values, "amount": f"{amount:f}" if amount is not None else None}


def modification_document(order: Order, record: Modification, program: Program) -> Document:
    """A record as it was sent, where it came from, and what became of it."""
    outcome = result_document(told(order, record, record, program), program.language)
    return {
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
        **change_document(record),
        "currency": record.currency,
        "reason": record.reason,
        "disposition": record.disposition,
        "note": record.note,
        "occurred_at": text(record.occurred_at) if record.occurred_at else None,
        "received_at": text(record.received_at),
        "batch": record.provenance.delivery,
        "object": record.provenance.object,
        "place": record.provenance.place,
        "sha256": record.provenance.sha256,
        "sender": record.provenance.sender,
        **{name: outcome[name] for name in ("outcome", "code", "explanation", "applied_at", "effect")},
        **({"make_good": outcome["make_good"]} if "make_good" in outcome else {}),
    }


def action_line(action: Action, head: Head, program: Program, now: datetime) -> Document:
    """An action as lists show it."""
    return {
        "id": action.id,
        "program": action.program,
        "order_id": action.order_id,
        "event_type": action.event_type,
        "partner": head.standing.partner,
        "event_time": text(action.event_time),
        "reported_at": text(action.reported_at),
        "currency": action.currency,
        "state": head.state(now).value,
        "amount": to_text(head.standing.amount, action.currency),
        "payout": to_text(head.payout, program.currency),
        "payout_currency": program.currency,
        "locks_at": text(head.locks_at) if head.locks_at else None,
        "final_at": text(head.final) if head.final else None,
        "contract": head.standing.contract,
        "changes": head.changes,
        "changes_left": max(CHANGES_MAX - head.changes, 0),
        "promo_code": action.promo_code,
        "customer_status": action.customer_status,
        "parent": action.parent,
    }


def action_document(order: Order, action: Action, head: Head, program: Program, now: datetime) -> Document:
    """An action with its lines and everything that was ever said about it, in the order in which it was booked."""
    terms = program.contracts[head.standing.contract - 1]
    return {
        **action_line(action, head, program, now),
        "sentence": told_in(paid.payment(order, action, head, program.contracts), program.language),
        "credit": credit_document(paid.credited(order, action, head, program.contracts, now), program.language),
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
                action.lines, head.standing.rests, paid_lines(action, head.standing, program.contracts), strict=True
            )
        ],
        "history": history(order, action, head, program),
    }


def standing_document(order: Order, action: Action, seen: Head, program: Program) -> Document:
    """How an action stands, beside how it was seen before: payout, amount, terms, and the payout by the others."""
    head = order.heads[action.id]
    terms = program.contracts[head.standing.contract - 1]
    basis, payouts = paid.by_other_basis(order, action, head, program.contracts)
    other = payouts[-1] if payouts else head.payout

    def money(before: int, after: int, currency: str) -> Document:
        return {name: to_text(value, currency) for name, value in
                (("before", before), ("after", after), ("difference", after - before))}  # fmt: skip

    return {
        "id": action.id,
        "partner": head.standing.partner,
        "sentence": told_in(paid.payment(order, action, head, program.contracts), program.language),
        "currency": action.currency,
        "amount": money(seen.standing.amount, head.standing.amount, action.currency),
        "payout_currency": program.currency,
        "payout": money(seen.payout, head.payout, program.currency),
        "terms": {"number": terms.number, "name": terms.name, "version": terms.version},
        "rules": sorted({line.rule for line in paid_lines(action, head.standing, program.contracts) if line.rule}),
        "other_basis": {"basis": basis.value, "payout": to_text(other, terms.currency)}
        if other != head.payout
        else None,
    }


def history(order: Order, action: Action, head: Head, program: Program) -> list[Document]:
    """Every entry of the log: who said what and where, what it came to, by which terms, and by the other basis."""
    basis, payouts = paid.by_other_basis(order, action, head, program.contracts)
    told_: list[Document] = []
    for entry, otherwise in zip(head.log, payouts, strict=True):
        record = order.record(entry.id)
        if record is None:
            continue
        terms = program.contracts[entry.contract - 1]
        particulars = details(order, head, record, program.waiting_days)
        other = {"basis": basis.value, "payout": to_text(otherwise, terms.currency)}
        told_.append(
            {
                **modification_document(order, record, program),
                "outcome": entry.outcome.value,
                "code": entry.code,
                "explanation": sentence(entry.code, particulars, program.language),
                "applied_at": text(entry.applied_at),
                "effect": effect_document(effect(order, head, entry, program.contracts)),
                "terms": {"number": terms.number, "name": terms.name, "version": terms.version},
                "other_basis": other if otherwise != entry.payout else None,
            }
        )
    return told_


def told_in(parts: Sequence[paid.Said], language: str) -> str:
    """One sentence: what is paid, then why."""
    first, *why = [sentence(part.code, with_days(part.details, language), language) for part in parts]
    colon = " : " if language == "fr" else ": "
    return f"{first}{colon}{'; '.join(why)}." if why else f"{first}."


def with_days(details: Mapping[str, str], language: str) -> Mapping[str, str]:
    """Days as people write them in a language."""
    return {name: day_in(value, language) if name.endswith("day") else value for name, value in details.items()}


def day_in(day: str, language: str) -> str:
    if not day:
        return "–"
    year, month, number = day.split("-")
    names = sentence("MONTHS", {}, language).split()
    return sentence("DAY", {"day": str(int(number)), "month": names[int(month) - 1], "year": year}, language)


def credit_document(credited: paid.Credited | None, language: str) -> Document | None:
    if credited is None:
        return None
    why = sentence(credited.said.code, with_days(credited.said.details, language), language)
    return {credited.kind: credited.day, "why": why}


def batch_document(header: Header, program: Program, counts: Mapping[str, int]) -> Document:
    """A delivery and what became of it, without its records."""
    delivery, facts = header.delivery, header.report
    path = f"/v1/programs/{delivery.program}/batches/{delivery.id}"
    document: Document = {
        "id": delivery.id,
        "program": delivery.program,
        "channel": delivery.channel.value,
        "source": delivery.source,
        "kind": delivery.kind.value,
        "name": delivery.name,
        "state": header.state,
        "received_at": text(delivery.received_at),
        "sender": delivery.sender,
        "sha256": "" if delivery.sha256 == NO_HASH else delivery.sha256,
        "size": max(delivery.size, 0),
        "rows": facts.get("total") or len(facts.get("rows", ())) or sum(counts.values()),
        "counts": dict(counts),
        "skipped": facts.get("skipped", {}),
        "answer": facts.get("answer", ""),
        "links": {"raw": f"{path}/raw"},
    }
    if delivery.kind is not Kind.PROGRAM and header.state in (DONE, REFUSED, DRY_RUN):
        document["links"] |= {"result": f"{path}/result", "rejected": f"{path}/rejected"}
    if "effect" in facts:
        document["effect"] = effects(facts["effect"])
    document |= {name: facts[name] for name in ("preview", "differs", "differing", "same_as") if name in facts}
    if delivery.is_dry_run:
        document |= {"dry_run": True, **with_warnings(document.pop("preview", {}), program.language)}
    return document | whole(facts.get("code", ""), facts.get("details", {}), program.language)


def effects(moved: Mapping[str, int]) -> list[Document]:
    """What payouts changed by together, by currency."""
    return [{"currency": currency, "change": to_text(change, currency)} for currency, change in moved.items()]


def contract_document(contract: Contract) -> Document:
    return {
        "number": contract.number,
        "name": contract.name,
        "version": contract.version,
        "event_type": contract.event_type,
        "partners": sorted(contract.partners),
        "valid_from": contract.valid_from.isoformat(),
        "recorded_at": text(contract.recorded_at),
        "terms": dict(contract.body),
    }


# Found by what people know


@dataclass
class Reader:
    """One request's view of a program's ledger: an order that many rows name is read once."""

    program: Program
    ledger: Ledger
    deliveries: Deliveries
    now: datetime
    orders: dict[str, Order] = field(default_factory=dict)

    def order(self, key: str) -> Order:
        if key not in self.orders:
            self.orders[key] = self.ledger.order(key)
        return self.orders[key]

    def action(self, action_id: str) -> tuple[Order, Action, Head] | None:
        """By the merchant's own id, or the one made of order key and event type."""
        for key in self._homes(action_id) if is_key(action_id) else ():
            order = self.order(key)
            action, head = order.action(action_id), order.heads.get(action_id)
            if action is not None and head is not None:
                return order, action, head
        return None

    def order_named(self, order_id: str) -> Order:
        """By the order id as a sender writes it."""
        key = order_key(order_id, self.program.order_key)
        return self.order(key) if is_key(key) else Order(key="")

    def of_order(self, order_id: str | None, action_id: str | None) -> Iterator[Document]:
        """The modifications of an order, or of one action, newest first."""
        found = self.action(action_id) if action_id is not None else None
        order = found[0] if found else self.order_named(order_id) if order_id is not None else Order(key="")
        if found is None and action_id is not None and is_key(f"@{action_id}"):
            order = self.order(f"@{action_id}")
        for record in sorted(order.records, key=lambda one: (one.received_at, one.id), reverse=True):
            document = modification_document(order, record, self.program)
            if action_id in (None, document["action_id"]):
                yield document

    def _homes(self, action_id: str) -> Iterator[str]:
        return self.homes(action_id, self.ledger.order_key_of(action_id))

    def homes(self, action_id: str, named: str | None) -> Iterator[str]:
        """Where an action may be kept: under the order key its id was given to, or under one that its id is made of."""
        if named is not None:
            yield named
        parts = action_id.split("~")
        for cut in range(1, len(parts)):
            if parts[cut] in self.program.event_types:
                yield "~".join(parts[:cut])

    def modification(self, public_id: str) -> tuple[Order, Modification] | None:
        """By its public id, which carries its order; what waited under an action id has moved to its order."""
        home, _, digits = public_id.rpartition("~")
        for key in self._where(home) if is_key(home) else ():
            order = self.order(key)
            record = order.record(digits)
            if record is not None:
                return order, record
        return None

    def _where(self, home: str) -> Iterator[str]:
        if home.startswith("@"):
            yield from self._homes(home[1:])
        yield home

    def results(self, header: Header, skip: int = 0) -> Iterator[Result]:
        """What became of the records of a delivery: of a file as it was then, else as the ledger says now."""
        match header.delivery.kind:
            case Kind.FILE if header.state in (ARRIVED, HELD):
                return
            case Kind.FILE:
                yield from islice(outcomes.kept(self.deliveries.inbox, header.delivery), skip, None)
            case Kind.ACTIONS:
                yield from self.reported(header.delivery, report.from_json(self.deliveries.body(header)), skip)
            case _:
                yield from (self._result(header, row) for row in header.report.get("rows", ())[skip:])

    def counts(self, header: Header) -> dict[str, int]:
        """How many records came to which outcome; empty where a list would have to look too many up."""
        told_then: dict[str, int] = header.report.get("counts", {})
        rows = len(header.report.get("rows", ())) or header.delivery.size // ACTION_BYTES
        if told_then or header.delivery.kind is Kind.FILE or len(self.orders) + rows > ORDERS_MAX:
            return dict(told_then)
        return count(self.results(header))

    def _result(self, header: Header, row: Sequence[Any]) -> Result:
        if len(row) > 2:
            place, code, details, column, order = row
            return unreadable(Unreadable(place, code, details, column, order=order))
        place, public_id = row
        found = self.modification(public_id)
        if found is None:
            return Result(place=place, outcome=Outcome.REFUSED, code="ORDER_TOO_LARGE", modification=public_id)
        order, record = found
        own = replace(record.provenance, delivery=header.delivery.id, place=place)
        return told(order, replace(record, provenance=own), None, self.program)

    def reported(
        self, delivery: Delivery, read: Sequence[Report | Unreadable] | Refusal, skip: int = 0
    ) -> Iterator[Result]:
        """What becomes, or became, of reports of actions in this delivery."""
        for one in () if isinstance(read, Refusal) else read[skip:]:
            action = one if isinstance(one, Unreadable) else report.action(one, self.program, delivery)
            if isinstance(action, Unreadable):
                yield unreadable(action)
            else:
                yield self._reported(one.place, action)

    def _reported(self, place: str, action: Action) -> Result:
        standing = self.order(action.order_key).action(action.id)
        result = Result(place=place, outcome=Outcome.APPLIED, order=action.order_id, action=action.id)
        if standing is None or standing.delivery == action.delivery:
            return result
        if report.says_the_same(standing, action):
            return replace(result, outcome=Outcome.DUPLICATE)
        return replace(result, outcome=Outcome.REFUSED, code="ACTION_EXISTS", details={"action": action.id})

    # Documents of the records of a delivery, for lists

    def modifications(self, header: Header, skip: int) -> Iterator[Document | None]:
        """The modifications a delivery brought; None for rows that are another's or no modification."""
        if is_of_actions(header.delivery):
            return
        for result in self.results(header, skip):
            found = self.modification(result.modification) if result.modification else None
            own = found is not None and found[1].provenance.delivery == header.delivery.id
            yield modification_document(*found, self.program) if found and own else None

    def actions(self, header: Header, skip: int) -> Iterator[Document | None]:
        """The actions a delivery was the first to report."""
        if not is_of_actions(header.delivery):
            return
        for result in self.results(header, skip):
            found = self.action(result.action) if result.action else None
            own = found is not None and found[1].delivery == header.delivery.id
            yield action_line(*found[1:], self.program, self.now) if found and own else None


def is_key(text: str) -> bool:
    """Whether anything could be kept under it."""
    return 0 < len(text) <= ID_MAX and text.isprintable()


def is_of_actions(delivery: Delivery) -> bool:
    return delivery.kind is Kind.ACTIONS or delivery.facts.get("layout") == "actions"


# Lists, newest first


@dataclass(frozen=True, slots=True)
class Place:
    """How far a list came: a day, a delivery of it, and how many records of it. No delivery: all of the day is next."""

    day: str
    delivery: str = ""
    record: int = 0

    def cursor(self) -> str:
        return f"{self.day}.{self.delivery}.{self.record}"


def place_of(cursor: str) -> Place | None:
    """None for a cursor that no list gave."""
    found = CURSOR.fullmatch(cursor)
    if found is None or not is_day(found["day"]):
        return None
    return Place(found["day"], found["delivery"] or "", int(found["record"]))


DELIVERY_ID = r"\d{8}T\d{9}Z-[0-9a-f]{10}"
CURSOR = re.compile(rf"(?P<day>\d{{8}})\.(?P<delivery>{DELIVERY_ID})?\.(?P<record>\d{{1,7}})", re.ASCII)


def is_delivery_id(text: str) -> bool:
    return re.fullmatch(DELIVERY_ID, text, re.ASCII) is not None


def is_day(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y%m%d").year > 1970
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Page:
    items: list[Document]
    next: Place | None

    def document(self) -> Document:
        return {"items": self.items, "next": self.next.cursor() if self.next else None}


def headers(deliveries: Deliveries, start: Place, last_day: str) -> Iterator[Header | Place]:
    """Headers from a place on, newest first, down to the first day of the program.

    A Place instead of a header says that the search stops there for now: so many days, or so many headers, were enough.
    """
    if start.delivery and start.record:
        begun = deliveries.get(start.delivery)
        if begun is not None:
            yield begun
    day, before, looked = start.day, start.delivery or None, 0
    for _ in range(DAYS_MAX):
        if day < last_day:
            return
        while found := deliveries.newest(day, before, HEADERS_AT_ONCE):
            yield from found
            before, looked = found[-1].delivery.id, looked + len(found)
            if looked >= HEADERS_MAX:
                yield Place(day, before)
                return
            if len(found) < HEADERS_AT_ONCE:
                break
        day, before = day_before(day), None
    if day >= last_day:
        yield Place(day)


def day_before(day: str) -> str:
    return f"{datetime.strptime(day, '%Y%m%d') - timedelta(days=1):%Y%m%d}"


def batches(reader: Reader, start: Place, last_day: str, limit: int, wanted: Callable[[Header], bool]) -> Page:
    items: list[Document] = []
    for seen in headers(reader.deliveries, start, last_day):
        if isinstance(seen, Place):
            return Page(items, seen)
        if wanted(seen):
            items.append(batch_document(seen, reader.program, reader.counts(seen)))
        if len(items) == limit or len(reader.orders) >= ORDERS_MAX:
            return Page(items, Place(seen.delivery.id[:8], seen.delivery.id))
    return Page(items, None)


def records(
    reader: Reader,
    start: Place,
    last_day: str,
    limit: int,
    rows: Callable[[Header, int], Iterator[Document | None]],
) -> Page:
    """A list of records of deliveries: `rows` gives a document for each from a number on, None for one not wanted."""
    items: list[Document] = []
    for seen in headers(reader.deliveries, start, last_day):
        if isinstance(seen, Place):
            return Page(items, seen)
        skip = start.record if seen.delivery.id == start.delivery else 0
        for number, document in enumerate(rows(seen, skip), skip + 1):
            if document is not None:
                items.append(document)
            if len(items) == limit or len(reader.orders) >= ORDERS_MAX:
                return Page(items, Place(seen.delivery.id[:8], seen.delivery.id, number))
    return Page(items, None)
