"""The subset of SOQL that programs use: SELECT, FROM, WHERE, ORDER BY, LIMIT and OFFSET, over dictionaries."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cmp_to_key
from typing import Any

Record = Mapping[str, Any]
Test = Callable[[Record], bool]

TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')"
    r"|(?P<moment>\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))?)"
    r"|(?P<number>[+-]?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_.]*(?::\d+)?)"
    r"|(?P<sign><=|>=|<>|!=|[=<>(),]))"
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
WORDS = {"AND", "OR", "NOT", "ORDER", "LIMIT", "OFFSET", "WHERE", "FROM", "IN", "LIKE"}


class MalformedQueryError(Exception):
    """Reported by Salesforce as MALFORMED_QUERY or INVALID_FIELD."""

    def __init__(self, message: str, code: str = "MALFORMED_QUERY") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Query:
    fields: tuple[str, ...]
    object: str
    test: Test
    order: tuple[tuple[str, bool], ...]
    limit: int | None
    offset: int
    named: frozenset[str]
    """All fields named anywhere in the query."""

    @property
    def counts(self) -> bool:
        return self.fields == ("COUNT()",)

    def run(self, records: Iterable[Record]) -> list[Record]:
        found = [record for record in records if self.test(record)]

        def compare(one: Record, other: Record) -> int:
            for name, descending in self.order:
                a, b = comparison_key(value_at(one, name)), comparison_key(value_at(other, name))
                if a != b:
                    # Nulls come first, as in Salesforce.
                    smaller = a is None or (b is not None and a < b)
                    return (1 if descending else -1) if smaller else (-1 if descending else 1)
            return 0

        if self.order:
            found.sort(key=cmp_to_key(compare))
        end = None if self.limit is None else self.offset + self.limit
        return found[self.offset : end]


def value_at(record: Any, path: str) -> Any:
    for name in path.split("."):
        record = record.get(name) if isinstance(record, Mapping) else None
    return record


def comparison_key(value: Any) -> Any:
    """A sort key: times as times, text case-insensitively as in Salesforce."""
    if isinstance(value, str):
        if re.fullmatch(r"\d{4}-\d\d-\d\dT.+", value):
            try:
                return datetime.fromisoformat(value)
            except ValueError:
                pass
        return value.lower()
    return value


class Parser:
    def __init__(self, text: str, now: datetime) -> None:
        self.tokens: list[tuple[str, str]] = []
        self.at = 0
        self.now = now
        self.named: set[str] = set()
        position = 0
        while text[position:].strip():
            match = TOKEN.match(text, position)
            if match is None:
                raise MalformedQueryError(f"unexpected token: {text[position : position + 20].strip()!r}")
            kind = match.lastgroup or ""
            self.tokens.append((kind, match.group(kind)))
            position = match.end()

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "<EOF>")

    def take(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def is_next(self, word: str) -> bool:
        if self.peek()[1].upper() != word or self.peek()[0] == "text":
            return False
        self.at += 1
        return True

    def expect(self, word: str) -> None:
        if not self.is_next(word):
            raise MalformedQueryError(f"unexpected token: {self.peek()[1]!r}, expected {word}")

    def name(self) -> str:
        kind, value = self.take()
        if kind != "name" or value.upper() in WORDS:
            raise MalformedQueryError(f"unexpected token: {value!r}")
        return value

    def query(self) -> Query:
        self.expect("SELECT")
        fields = [self.field()]
        while self.is_next(","):
            fields.append(self.field())
        self.expect("FROM")
        # Objects may be named like keywords: Order.
        kind, target = self.take()
        if kind != "name":
            raise MalformedQueryError(f"unexpected token: {target!r}")
        test: Test = lambda _: True  # noqa: E731 a default of the same type as the parsed ones
        if self.is_next("WHERE"):
            test = self.condition()
        order: list[tuple[str, bool]] = []
        if self.is_next("ORDER"):
            self.expect("BY")
            order.append(self.ordering())
            while self.is_next(","):
                order.append(self.ordering())
        limit = self.number() if self.is_next("LIMIT") else None
        offset = self.number() if self.is_next("OFFSET") else 0
        if self.peek()[0] != "end":
            raise MalformedQueryError(f"unexpected token: {self.peek()[1]!r}")
        return Query(tuple(fields), target, test, tuple(order), limit, offset, frozenset(self.named))

    def field(self) -> str:
        name = self.name()
        if name.upper() == "COUNT" and self.is_next("("):
            self.expect(")")
            return "COUNT()"
        self.named.add(name)
        return name

    def ordering(self) -> tuple[str, bool]:
        name = self.name()
        self.named.add(name)
        descending = self.is_next("DESC")
        if not descending:
            self.is_next("ASC")
        if self.is_next("NULLS") and not self.is_next("FIRST"):
            self.expect("LAST")
        return name, descending

    def number(self) -> int:
        kind, value = self.take()
        if kind != "number" or not value.isdigit():
            raise MalformedQueryError(f"unexpected token: {value!r}, expected a number")
        return int(value)

    def condition(self) -> Test:
        """Terms joined by AND or by OR. Salesforce requires parentheses to mix them."""
        tests = [self.term()]
        joint = ""
        while self.peek()[1].upper() in ("AND", "OR") and self.peek()[0] == "name":
            word = self.take()[1].upper()
            if joint and word != joint:
                raise MalformedQueryError(f"unexpected token: {word}")
            joint = word
            tests.append(self.term())
        every = all if joint != "OR" else any
        return lambda record: every(test(record) for test in tests)

    def term(self) -> Test:
        if self.is_next("NOT"):
            inner = self.term()
            return lambda record: not inner(record)
        if self.is_next("("):
            inner = self.condition()
            self.expect(")")
            return inner
        return self.comparison()

    def comparison(self) -> Test:
        name = self.name()
        self.named.add(name)
        negated = self.is_next("NOT")
        if self.is_next("IN"):
            self.expect("(")
            values = [self.value()]
            while self.is_next(","):
                values.append(self.value())
            self.expect(")")
            return lambda record: any(is_equal(name, value_at(record, name), value) for value in values) != negated
        if self.is_next("LIKE"):
            pattern = like_pattern(str(self.value()))
            return lambda record: bool(pattern.fullmatch(str(value_at(record, name) or ""))) != negated
        operator = self.take()[1]
        value = self.value()
        if operator == "=":
            return lambda record: is_equal(name, value_at(record, name), value)
        if operator in ("!=", "<>"):
            return lambda record: not is_equal(name, value_at(record, name), value)
        if operator not in COMPARE:
            raise MalformedQueryError(f"unexpected token: {operator!r}")
        return lambda record: is_in_order(operator, value_at(record, name), value)

    def value(self) -> Any:
        kind, text = self.take()
        match kind:
            case "text":
                return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), text[1:-1])
            case "number":
                return float(text) if "." in text else int(text)
            case "moment":
                return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
            case "name":
                return self.literal(text.upper())
        raise MalformedQueryError(f"unexpected token: {text!r}, expected a value")

    def literal(self, word: str) -> Any:
        today = self.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        match word.partition(":"):
            case ("TRUE", _, _):
                return True
            case ("FALSE", _, _):
                return False
            case ("NULL", _, _):
                return None
            case ("TODAY", _, _):
                return today
            case ("YESTERDAY", _, _):
                return today - timedelta(days=1)
            case ("LAST_N_DAYS", _, days) if days:
                return today - timedelta(days=int(days))
        raise MalformedQueryError(f"unexpected token: {word!r}")


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
}


def is_equal(name: str, mine: Any, asked: Any) -> bool:
    if name.rpartition(".")[2].endswith("Id") and isinstance(mine, str) and isinstance(asked, str):
        return mine[:15] == asked[:15]
    return bool(comparison_key(mine) == comparison_key(asked))


def is_in_order(operator: str, mine: Any, asked: Any) -> bool:
    if mine is None or asked is None:
        return False
    try:
        return COMPARE[operator](comparison_key(mine), comparison_key(asked))
    except TypeError:
        raise MalformedQueryError(
            f"value of filter criterion is of the wrong type: {asked!r}", "INVALID_QUERY_FILTER_OPERATOR"
        ) from None


def like_pattern(pattern: str) -> re.Pattern[str]:
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(sign, re.escape(sign)) for sign in pattern), re.IGNORECASE | re.DOTALL)


def parse(text: str, now: datetime) -> Query:
    return Parser(text, now).query()
