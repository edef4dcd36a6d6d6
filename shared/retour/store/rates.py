"""Delivered exchange rates. They are immutable; a correction is stored next to the rate it corrects."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from retour.domain.rates import Rate
from retour.domain.times import format_instant, parse_instant
from retour.store.items import Item, json_attribute, read_json, s
from retour.store.query import query_items

LAST_DAY = "9999-12-31"


@dataclass(frozen=True, slots=True)
class DeliveredRate:
    """A rate with its delivery and that delivery's receipt time."""

    currency: str
    rate: Rate
    delivery: str
    recorded_at: datetime


@dataclass
class Rates:
    """A program's rates (`X#<program>`): the currencies ever delivered, then rates by currency, day and delivery.

    Created per request; lookups are cached.
    """

    client: Any
    table: str
    program: str
    _found: dict[tuple[str, date], Sequence[DeliveredRate]] = field(default_factory=dict, repr=False)

    def put(self, delivered: DeliveredRate) -> None:
        """Record a rate. Idempotent."""
        doc = {
            "rate": f"{delivered.rate.rate:f}",
            "until": delivered.rate.until.isoformat() if delivered.rate.until else None,
            "rec": format_instant(delivered.recorded_at),
        }
        key = f"{delivered.currency}#{delivered.rate.valid_from.isoformat()}#{delivered.delivery}"
        self.client.put_item(TableName=self.table, Item={"PK": self._pk, "SK": s(key), "doc": json_attribute(doc)})
        self._found.clear()

    def list_currency(self, currency: str) -> None:
        """Record that rates of a currency are delivered."""
        self.client.put_item(TableName=self.table, Item={"PK": self._pk, "SK": s(f"={currency}")})

    def currencies(self) -> list[str]:
        found = self._query("PK = :pk AND begins_with(SK, :named)", {":named": s("=")})
        return [item["SK"]["S"][1:] for item in found]

    def on(self, currency: str, day: date, recorded_before: datetime) -> Sequence[Rate]:
        """The latest rate valid from `day` or earlier, among those recorded by `recorded_before`: a list of none or
        one.
        """
        return [told.rate for told in self._rates_begun(currency, day) if told.recorded_at <= recorded_before][:1]

    def newest(self, currency: str, day: date | None = None) -> DeliveredRate | None:
        """The latest rate valid from `day` or earlier; without `day`, the latest of all."""
        return next(iter(self._rates_begun(currency, day or date.fromisoformat(LAST_DAY))), None)

    def _rates_begun(self, currency: str, day: date) -> Sequence[DeliveredRate]:
        """One page of the rates valid from `day` or earlier, newest first.

        It contains the newest such day with all its corrections, and possibly older days.
        """
        if (currency, day) not in self._found:
            between = {":from": s(f"{currency}#"), ":to": s(f"{currency}#{day.isoformat()}#~")}
            answer = self.client.query(
                TableName=self.table,
                KeyConditionExpression="PK = :pk AND SK BETWEEN :from AND :to",
                ExpressionAttributeValues={":pk": self._pk, **between},
                ScanIndexForward=False,
                Limit=20,
                ConsistentRead=True,
            )
            self._found[currency, day] = [delivered_rate_from(item) for item in answer["Items"]]
        return self._found[currency, day]

    def _query(self, condition: str, values: dict[str, Item]) -> list[Item]:
        found = query_items(
            self.client,
            TableName=self.table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues={":pk": self._pk, **values},
            ConsistentRead=True,
        )
        return list(found)

    @property
    def _pk(self) -> Item:
        return s(f"X#{self.program}")


def delivered_rate_from(item: Item) -> DeliveredRate:
    currency, begun, delivery = item["SK"]["S"].split("#", 2)
    doc = read_json(item)
    until = date.fromisoformat(doc["until"]) if "until" in doc else None
    rate = Rate(date.fromisoformat(begun), Decimal(doc["rate"]), until)
    return DeliveredRate(currency, rate, delivery, parse_instant(doc["rec"]))
