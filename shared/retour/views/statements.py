"""Statements, and billing groups with a forecast of their next ones."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import islice
from typing import Any

from retour.domain.actions.action import Action, LifecycleState
from retour.domain.actions.order import ActionHead
from retour.domain.calendar import start_of_day
from retour.domain.funding.billing import BillingGroup, parse_groups
from retour.domain.funding.figures import pay_rule_text
from retour.domain.funding.payments import PaymentState
from retour.domain.funding.statements import Coming, Payout
from retour.domain.money import to_text
from retour.domain.program import Program
from retour.domain.times import format_instant
from retour.errors import NotFoundError
from retour.money import statements as made
from retour.ports import ReadPorts
from retour.store.statements import Statements
from retour.views.documents import Document
from retour.views.parameters import bad_query
from retour.views.schemas import ActionDocument, PaymentStandingDocument, StatementInShortDocument

LOOKED_MAX = 2_000
"""Maximum heads read per page."""
NUMBERS_MAX = 20_000
"""Statements searched by number; an id is found directly."""
LINES_MAX = 5_000
"""Maximum lines in a response; the CSV has all."""
ID = re.compile(r"\d{4}-\d\d-\d\d~[A-Za-z0-9][A-Za-z0-9_.-]{0,40}")
COLUMNS = (
    "statement", "partner", "action_id", "order_id", "event_type", "contract", "event_time", "locked_at", "state",
    "amount", "currency", "rate", "payout", "payout_currency",
)  # fmt: skip


def list_statements(
    ports: ReadPorts,
    program: Program,
    limit: int,
    cursor: str = "",
    partner: str | None = None,
    billing_group: str | None = None,
) -> Document:
    """Statements of a program, newest first, optionally of a partner or group."""
    kept = made.statements_of(ports, program)
    if cursor and not ID.fullmatch(cursor):
        raise bad_query("cursor", cursor, "cursor")
    items: list[Document] = []
    last = ""
    found = of_partner(kept, partner, cursor) if partner else kept.newest_first(cursor)
    for looked, (id_, doc) in enumerate(found, 1):
        last = id_
        if billing_group in (None, doc["group"]):
            items.append(head(id_, doc))
        if len(items) == limit or looked >= LOOKED_MAX:
            break
    else:
        last = ""
    standing = ports.payments(program.id).statements(one["id"] for one in items)
    return {"items": [one | {"payment": payment(standing.get(one["id"]))} for one in items], "next": last or None}


def payment(standing: Document | None) -> PaymentStandingDocument:
    if standing is None:
        return {"state": "open", "batch": None, "day": None, "reason": None}
    return {
        "state": standing["state"],
        "batch": standing["batch"],
        "day": standing.get("day"),
        "reason": standing.get("reason"),
    }


def statement_of_action(
    ports: ReadPorts, program: Program, action: Action, head: ActionHead
) -> StatementInShortDocument | None:
    """The statement of an action in short form; None if it is not stated."""
    return StatedActions(ports, program, head.standing.partner).statement_of(action, head)


@dataclass
class StatedActions:
    """A partner's statements, each read once, to find an action's statement and payment."""

    ports: ReadPorts
    program: Program
    partner: str
    _on: dict[str, tuple[StatementInShortDocument, frozenset[str]]] = field(default_factory=dict)

    def statement_of(self, action: Action, head: ActionHead) -> StatementInShortDocument | None:
        """In short form; None if the action is not stated."""
        if head.final is None or head.locks_at is None:
            return None
        counts_at, zone = max(head.locks_at, action.reported_at), self.program.time_zone
        for day, _, id_ in reversed(self.ids):
            if start_of_day(date.fromisoformat(day), 0, zone) >= counts_at:
                short, actions = self._look_up(id_)
                if action.id in actions:
                    return short
        return None

    def sums(self) -> tuple[int, int]:
        """Sums of what is stated but unpaid, and of what is paid, in minor units."""
        states = self.ports.payments(self.program.id).statements(id_ for _, _, id_ in self.ids)
        sums = {True: 0, False: 0}
        for _, _, id_ in self.ids:
            doc = self._kept.get(id_)
            is_paid = id_ in states and states[id_]["state"] == PaymentState.PAID
            sums[is_paid] += doc["total"] if doc else 0
        return sums[False], sums[True]

    @cached_property
    def ids(self) -> list[tuple[str, str, str]]:
        """(day, group, id), newest first."""
        return self._kept.of_partner(self.partner)

    @cached_property
    def _kept(self) -> Statements:
        return made.statements_of(self.ports, self.program)

    def _look_up(self, id_: str) -> tuple[StatementInShortDocument, frozenset[str]]:
        if id_ not in self._on:
            doc = self._kept.get(id_)
            assert doc is not None, "a statement is put before its partner's list says so"
            short: StatementInShortDocument = {
                "id": id_,
                "number": doc["number"],
                "day": doc["day"],
                "due": doc["due"],
                "payment": payment(self.ports.payments(self.program.id).statement(id_)),
            }
            self._on[id_] = short, frozenset(one.action for one in made.payouts_on(self._kept, doc))
        return self._on[id_]


def with_statement(document: ActionDocument, stated: StatementInShortDocument | None) -> ActionDocument:
    """Add the statement to an action. If it is paid, a locked action is PAID."""
    if stated is None:
        return document
    document["statement"] = stated
    if document["state"] == LifecycleState.LOCKED and stated["payment"]["state"] == PaymentState.PAID:
        document["state"] = LifecycleState.PAID.value
    return document


def of_partner(kept: Statements, partner: str, before: str) -> Iterator[tuple[str, Document]]:
    for _, _, id_ in kept.of_partner(partner):
        doc = kept.get(id_) if not before or id_ < before else None
        if doc is not None:
            yield id_, doc


def statement(ports: ReadPorts, program: Program, id_: str) -> Document:
    """A statement with its lines, by id or number."""
    kept = made.statements_of(ports, program)
    id_, doc = find_statement(kept, program, id_)
    lines = [line(one, doc) for _, one in zip(range(LINES_MAX), made.payouts_on(kept, doc), strict=False)]
    paid = payment(ports.payments(program.id).statement(id_))
    return {**head(id_, doc), "payment": paid, "payer": payer(ports, program, doc), "lines": lines}


def find_statement(kept: Statements, program: Program, id_: str) -> tuple[str, Document]:
    if not ID.fullmatch(id_):
        # A number does not contain the statement's day.
        newest = islice(kept.newest_first(), NUMBERS_MAX)
        id_ = next((known for known, doc in newest if doc["number"] == id_), id_)
    doc = kept.get(id_) if ID.fullmatch(id_) else None
    if doc is None:
        raise NotFoundError("statement", program=program.id)
    return id_, doc


def payer(ports: ReadPorts, program: Program, doc: Document) -> Document:
    """The payer, as the group declared it at the beginning of the statement's day."""
    group = made.billing(ports, program).group_at(doc["group"], date.fromisoformat(doc["day"]))
    return dict(group.payer) if group else {}


def statement_csv(ports: ReadPorts, program: Program, id_: str, columns: Sequence[str] = COLUMNS) -> tuple[str, str]:
    """The file name and all lines as CSV."""
    kept = made.statements_of(ports, program)
    _, doc = find_statement(kept, program, id_)
    out = io.StringIO()
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    for one in made.payouts_on(kept, doc):
        row = line(one, doc)
        own = {"statement": doc["number"], "partner": doc["partner"], "payout_currency": doc["currency"]}
        writer.writerow({name: plain({**row, **own}[name]) for name in columns})
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", doc["number"])
    return f"{name}.csv", "\N{BYTE ORDER MARK}" + out.getvalue()


def plain(value: Any) -> str:
    """Escape a cell that a spreadsheet would take for a formula."""
    cell = "" if value is None else str(value)
    return f"'{cell}" if cell[:1] in ("=", "+", "@", "\t", "\r") or (cell[:1] == "-" and not number(cell)) else cell


def number(cell: str) -> bool:
    return re.fullmatch(r"-\d+(\.\d+)?", cell) is not None


def head(id_: str, doc: Document) -> Document:
    return {
        "id": id_,
        "number": doc["number"],
        "billing_group": doc["group"],
        "partner": doc["partner"],
        "day": doc["day"],
        "since": doc["since"],
        "until": doc["until"],
        "total": to_text(doc["total"], doc["currency"]),
        "currency": doc["currency"],
        "actions": doc["actions"],
        "due": doc["due"],
        "issued_at": doc["issued_at"],
    }


def line(one: Payout, doc: Document) -> Document:
    return {
        "action_id": one.action,
        "order_id": one.order_id,
        "event_type": one.event_type,
        "contract": one.contract,
        "event_time": format_instant(one.event_time),
        "locked_at": format_instant(one.locks_at),
        "state": "reversed" if one.is_reversed else "locked",
        "amount": to_text(one.amount, one.currency),
        "currency": one.currency,
        "rate": str(one.rate),
        "payout": to_text(one.payout, doc["currency"]),
    }


# Billing groups


def billing_groups(ports: ReadPorts, program: Program) -> Document:
    """The groups in force, with a forecast of their next two statements."""
    return groups_document(ports, program, None)


def groups_document(ports: ReadPorts, program: Program, draft: Any) -> Document:
    document = draft or ports.programs.newest_version(program.id).document
    return {**declared_groups(document), **next_statements(ports, program, draft)}


def next_statements(ports: ReadPorts, program: Program, draft: Mapping[str, Any] | None) -> Document:
    """The next two statement days of each group with their content, and whether everything was read."""
    to_come, is_whole = made.forecast(ports, program, draft)
    return {"coming": [coming_document(one, program.currency) for one in to_come], "complete": is_whole}


def declared_groups(document: Mapping[str, Any]) -> Document:
    return {
        "declared": "billing_groups" in document,
        "items": [group_document(one, document["currency"]) for one in parse_groups(document)],
    }


def group_document(one: BillingGroup, currency: str) -> Document:
    return {
        "name": one.name,
        "contracts": sorted(one.contracts) if one.contracts else None,
        "event_types": sorted(one.event_types) if one.event_types else None,
        "partners": sorted(one.partners) if one.partners else None,
        "statement_day": one.statement_day,
        "paid": pay_rule_text(one.pays),
        "business_days": one.business_days,
        "minimum_payout": to_text(one.minimum_payout, currency),
        "currency": currency,
        "series": one.series,
        "payer": dict(one.payer),
    }


def coming_document(one: Coming, currency: str) -> Document:
    return {
        "billing_group": one.group,
        "day": one.day.isoformat(),
        "previous": one.previous.isoformat() if one.previous else None,
        "days": one.days,
        "due": one.due.isoformat(),
        "actions": sum(actions for actions, _ in one.sums.values()),
        "payout": to_text(sum(payout for _, payout in one.sums.values()), currency),
        "currency": currency,
        "states": {
            state: {"actions": actions, "payout": to_text(payout, currency)}
            for state, (actions, payout) in sorted(one.sums.items())
        },
    }
