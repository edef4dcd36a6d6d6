"""Parse a program in YAML or JSON, or list its errors with line, key and the correct form."""

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches
from functools import cache, reduce
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from retour.domain.contracts.conditions import KnownNames, unknown_name
from retour.domain.contracts.lock_terms import lock_faults
from retour.domain.contracts.pay import pay_fault
from retour.domain.contracts.rule import rule_faults
from retour.domain.money import InvalidAmountError, exponents, parse_decimal, to_minor, to_text
from retour.domain.phrase import Sentence
from retour.domain.program import REASONS
from retour.domain.rates import published_currencies
from retour.domain.senders import sender_of
from retour.sentences import LANGUAGES, sentence
from retour.setup.signed_source import signed_source_faults

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError
    from yaml.error import Mark
    from yaml.nodes import Node

SIZE_MAX = 128 * 1024
DEPTH_MAX = 20
FAULTS_MAX = 50
LISTED_MAX = 14
MAIL_LOCAL_PART_MAX = 64
MAIL_TOKEN = 26
RESERVED_PROGRAMS = {"admin"}
RESERVED_SOURCES = {"console", "actions"}
"""Source names used by Retour for people's decisions and reported actions."""
MULTILINE_KEYS = {"ca", "delimiter", "signers", "public_keys", "signs"}
"""Whose texts may have line breaks and tabs."""
SECRET_WORDS = {"password", "passwd", "secret", "secrets", "private_key", "token", "tokens", "signing", "api_key"}

Path = tuple[str | int, ...]
Part = str | Sentence
Details = dict[str, Part]


@dataclass(frozen=True, slots=True)
class Fault:
    """An error in a program: line and column from 1, path of keys, and a sentence with the correct form."""

    line: int
    column: int
    key: str
    what: Sentence

    @property
    def sentence(self) -> str:
        return self.message("en")

    def message(self, language: str) -> str:
        """The error in a language."""
        return sentence(self.what.code, self.what.details, language)

    def located_message(self, language: str) -> str:
        """The error with its position, in a language."""
        about: Details = {"line": str(self.line), "column": str(self.column), "key": self.key, "what": self.what}
        return sentence("FAULT_AT" if self.key else "FAULT_AT_WHOLE", about, language)

    def __str__(self) -> str:
        return self.located_message("en")


def parse_program(text: str, lists: Iterable[str] | None = None) -> dict[str, Any] | list[Fault]:
    """Parse and validate a program, or return its errors by line, at most fifty.

    `lists` are the names of uploaded lists; with None every name may exist. Dates stay text.
    """
    page = _parse(text)
    if isinstance(page, Fault):
        return [page]
    page.lists = frozenset(lists if lists is not None else _referenced_lists(page.document))
    faults = page.faults or [*_schema_faults(page)] or [*_semantic_faults(page)]
    if faults:
        found = {(one.line, one.column, one.key, one.sentence): one for one in faults}
        return [found[place] for place in sorted(found)][:FAULTS_MAX]
    document: dict[str, Any] = page.document
    return document


def parse_recorded(text: str) -> dict[str, Any]:
    """Parse a recorded document without applying rules that were added since."""
    page = _parse(text)
    if isinstance(page, Fault) or not isinstance(page.document, dict):
        raise ValueError(f"a recorded program can no longer be read: {page}")
    return page.document


def language_of(text: str) -> str:
    """The language requested by a document, valid or not; English by default."""
    page = _parse(text)
    asked = (
        page.document.get("language") if isinstance(page, _ParsedProgram) and isinstance(page.document, dict) else None
    )
    return asked if asked in LANGUAGES else "en"


def fault_at(text: str, path: Path, what: Sentence, *, at_key: bool = False) -> Fault:
    """An error at a path of a parseable document, for checks that need more than the document."""
    page = _parse(text)
    return page if isinstance(page, Fault) else page.fault(path, what, at_key=at_key)


@cache
def load_schema() -> dict[str, Any]:
    """The published program.schema.json."""
    published: dict[str, Any] = json.loads(files("retour.setup").joinpath("program.schema.json").read_text("utf-8"))
    return published


@dataclass(slots=True)
class _ParsedProgram:
    """A document with the position of each key and value in its text, and the uploaded lists."""

    document: Any = None
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    lists: frozenset[str] = frozenset()

    def fault(self, path: Path, what: Sentence, *, at_key: bool = False) -> Fault:
        line, column = (self.keys if at_key else self.values).get(path) or self.values.get(path) or (1, 1)
        return Fault(line, column, dotted_path(path), what)


def dotted_path(path: Path) -> str:
    """Format as sources.mail.options.allow_from[2]; items are counted from 1."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _parse(text: str) -> _ParsedProgram | Fault:
    import yaml

    if len(text.encode("utf-8", "surrogatepass")) > SIZE_MAX:
        return Fault(1, 1, "", Sentence("FAULT_TOO_LARGE", {"size": str(SIZE_MAX // 1024)}))
    text = text.removeprefix("\ufeff")
    if text.lstrip().startswith("{") and "\t" in text and _is_json(text):
        text = text.replace("\t", " ")  # tabs between JSON tokens are whitespace, but errors in YAML
    try:
        node = yaml.compose(text, Loader=_loader())
        page = _ParsedProgram()
        if node is None:
            return Fault(1, 1, "", Sentence("FAULT_EMPTY"))
        page.document = _value(node, (), page)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = _place(mark) if mark else (1, 1)
        return Fault(line, column, "", _unreadable(error))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        return Fault(line, column, "", Sentence("FAULT_UNPRINTABLE"))
    except RecursionError:
        return Fault(1, 1, "", Sentence("FAULT_TOO_DEEP", {"depth": str(DEPTH_MAX)}))
    return page


def _unreadable(error: Any) -> Sentence:
    """Why the YAML cannot be parsed, in the parser's words; what `_loader` rejects, in ours."""
    if error.note:
        return Sentence("FAULT_ALIAS", {"anchor": error.note})
    problem = error.problem or error.context
    return Sentence("FAULT_NOT_YAML", {"problem": problem}) if problem else Sentence("FAULT_NOT_READ")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


@cache
def _loader() -> Any:
    """A loader of nodes with positions. It constructs nothing from tags and rejects aliases, which can grow."""
    import yaml

    class Plain(yaml.SafeLoader):
        def compose_node(self, parent: "Node | None", index: Any) -> "Node | None":
            if self.check_event(yaml.AliasEvent):
                event: Any = self.peek_event()  # type: ignore[no-untyped-call]
                raise yaml.MarkedYAMLError(problem_mark=event.start_mark, note=event.anchor)
            return super().compose_node(parent, index)

    return Plain


def _place(mark: "Mark") -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z")
YAML_LITERALS = {"true": True, "false": False, "null": None, "~": None, "": None}
KNOWN_TAGS = {
    "tag:yaml.org,2002:" + name for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")
}


def _value(node: "Node", path: Path, page: _ParsedProgram) -> Any:
    """A node's value: text, integers, true, false and null as in JSON. Everything else, including dates, is text."""
    import yaml

    page.values[path] = _place(node.start_mark)
    if len(path) > DEPTH_MAX:
        raise RecursionError
    if node.tag not in KNOWN_TAGS and node.value not in ("<<", "="):
        page.faults.append(page.fault(path, Sentence("FAULT_TAG", {"tag": node.tag})))
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, page)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, number), page) for number, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode) and node.style is None:
        if INTEGER.match(node.value):
            return int(node.value)
        if node.value.lower() in YAML_LITERALS:
            return YAML_LITERALS[node.value.lower()]
    text = _join_surrogates(node.value)
    if text is None:
        page.faults.append(page.fault(path, Sentence("FAULT_HALF_CHARACTER")))
    return text


def _mapping(node: Any, path: Path, page: _ParsedProgram) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = _place(key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            page.faults.append(Fault(*place, dotted_path(path), Sentence("FAULT_KEY_NOT_PLAIN")))
            continue
        key = _join_surrogates(key_node.value) or ""
        inner = (*path, key)
        if key in found:
            about = {"key": key, "first": str(page.keys[inner][0])}
            page.faults.append(Fault(*place, dotted_path(inner), Sentence("FAULT_KEY_TWICE", about)))
            continue
        page.keys[inner] = place
        found[key] = _value(value_node, inner, page)
    return found


def _join_surrogates(text: str) -> str | None:
    """Join JSON surrogate escapes, which YAML keeps apart. None if one is unpaired."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None


@cache
def _validator() -> "Draft202012Validator":
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load_schema())


def _schema_faults(page: _ParsedProgram) -> Iterator[Fault]:
    if not isinstance(page.document, dict):
        yield page.fault((), Sentence("FAULT_NO_PROGRAM", {"shown": _describe_value(page.document)}))
        return
    for error in _validator().iter_errors(page.document):
        yield from _validation_faults(error, page)


def _validation_faults(error: "ValidationError", page: _ParsedProgram) -> Iterator[Fault]:
    path: Path = tuple(error.absolute_path)
    rule: Any = error.validator_value
    instance: Any = error.instance
    own: Mapping[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    if "propertyNames" in error.absolute_schema_path:
        wrong = (
            Sentence("FAULT_NAME_UNKNOWN", {"key": instance, "right": _did_you_mean(instance, rule)})
            if error.validator == "enum"
            else Sentence("FAULT_NO_NAME", {"key": instance, "description": _description(own)})
        )
        yield page.fault((*path, instance), wrong, at_key=True)
        return
    about: Details
    match error.validator:
        case "additionalProperties":
            known = [*own.get("properties", {})]
            for key in [key for key in instance if key not in known]:
                yield page.fault((*path, key), _unknown_key(key, known), at_key=True)
        case "required":
            for key in [key for key in rule if key not in instance]:
                about = {"key": key, "right": _example_of(key, own)}
                yield page.fault(path, Sentence("FAULT_KEY_MISSING", about), at_key=True)
        case "dependentRequired":
            for key in sorted({one for word in rule.keys() & instance.keys() for one in rule[word]} - instance.keys()):
                about = {"key": key, "right": _example_of(key, own)}
                yield page.fault(path, Sentence("FAULT_KEY_MISSING", about), at_key=True)
        case "type":
            yield page.fault(path, _wrong_type(instance, rule, own))
        case "enum":
            about = {"shown": _describe_value(instance), "right": _did_you_mean(instance, rule)}
            yield page.fault(path, Sentence("FAULT_VALUE_UNKNOWN", about))
        case "minimum" | "maximum":
            ends = {"low": str(own.get("minimum")), "high": str(own.get("maximum"))}
            yield page.fault(path, Sentence("FAULT_OUT_OF_RANGE", {"shown": _describe_value(instance), **ends}))
        case "minItems" | "minProperties":
            yield page.fault(path, Sentence("FAULT_NOTHING_HERE", {"right": _example_of(path[-1], {}, own)}))
        case "maxItems" | "maxProperties" | "maxLength":
            yield page.fault(path, Sentence("FAULT_TOO_LONG", {"room": str(rule)}))
        case "uniqueItems":
            yield page.fault(path, Sentence("FAULT_ITEM_TWICE"))
        case "not":
            key = rule["required"][0]
            about = {"key": key, "channel": str(instance.get("channel"))}
            yield page.fault((*path, key), Sentence("FAULT_NOT_FOR_CHANNEL", about), at_key=True)
        case _:
            about = {"shown": _describe_value(instance), "description": _description_with_example(own)}
            yield page.fault(path, Sentence("FAULT_NOT_RIGHT", about))


def _unknown_key(key: str, known: list[str]) -> Sentence:
    if key.lower() in SECRET_WORDS:
        return Sentence("FAULT_SECRET", {"key": key})
    return Sentence("FAULT_KEY_UNKNOWN", {"key": key, "right": _did_you_mean(key, known)})


def _did_you_mean(word: Any, known: list[str]) -> Sentence:
    if not known:
        return Sentence("FAULT_NOTHING_FITS")
    listed = ", ".join(json.dumps(name) if not name.strip() else name for name in known)
    close = _closest_match(str(word), known)
    if close and len(known) > LISTED_MAX:
        return Sentence("FAULT_MEANT", {"close": close})
    return Sentence("FAULT_MEANT_OF" if close else "FAULT_RIGHT_ARE", {"close": close, "known": listed})


def _example_of(key: str | int, own: Mapping[str, Any], described: Mapping[str, Any] | None = None) -> Part:
    body = described or _resolve_reference(own.get("properties", {}).get(key) or _source_property(str(key)))
    examples = body.get("examples") or body.get("enum")
    if not examples:
        return (
            Sentence("FAULT_DESCRIBED", {"description": _description_with_example(body)})
            if body.get("description")
            else ""
        )
    example = examples[0] if isinstance(examples[0], str) else json.dumps(examples[0], ensure_ascii=False)
    return Sentence("FAULT_EXAMPLE", {"example": f"{key}: {example}"})


def _resolve_reference(body: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = str(body.get("$ref", ""))
    return {**load_schema()["$defs"][reference.rsplit("/", 1)[-1]], **body} if reference else body


def _source_property(key: str) -> Mapping[str, Any]:
    """The schema of a key a channel requires at the source's level, such as `options`."""
    found: Mapping[str, Any] = load_schema()["$defs"]["source"]["properties"].get(key, {})
    return found


def _description_with_example(own: Mapping[str, Any]) -> Sentence:
    about = _description(own) if own.get("description") else Sentence("FAULT_SEE_SCHEMA")
    examples = own.get("examples")
    return Sentence("FAULT_SUCH_AS", {"description": about, "example": str(examples[0])}) if examples else about


def _description(own: Mapping[str, Any]) -> Sentence:
    """A description from the schema. descriptions.json has it in the other languages."""
    english = str(own.get("description", ""))
    return Sentence("FAULT_DESCRIPTION", {"case": english, "description": english})


def _wrong_type(instance: Any, rule: str | list[str], own: Mapping[str, Any]) -> Sentence:
    wanted = [rule] if isinstance(rule, str) else rule
    kinds: list[Part] = [Sentence(f"FAULT_KIND_{name.upper()}") for name in wanted]
    right = reduce(lambda one, other: Sentence("FAULT_OR", {"one": one, "other": other}), kinds)
    if isinstance(instance, int) and "string" in wanted:
        word = str(instance).lower() if isinstance(instance, bool) else str(instance)
        about: Details = {
            "shown": _describe_value(instance),
            "description": _description_with_example(own),
            "text": word,
        }
        fits = re.search(own.get("pattern", ""), word)
        return Sentence("FAULT_QUOTES" if fits else "FAULT_TEXT_BELONGS", about)
    if instance is None:
        return Sentence("FAULT_NOTHING_WHERE", {"right": right})
    return Sentence("FAULT_WRONG_TYPE", {"shown": _describe_value(instance), "right": right})


def _describe_value(instance: Any) -> Part:
    match instance:
        case bool():
            return str(instance).lower()
        case int():
            return Sentence("FAULT_SHOWN_NUMBER", {"number": str(instance)})
        case str():
            return repr(instance if len(instance) <= 60 else instance[:57] + "...")
        case list():
            return Sentence("FAULT_SHOWN_LIST")
        case dict():
            return Sentence("FAULT_SHOWN_KEYS")
        case _:
            return Sentence("FAULT_SHOWN_NOTHING")


def _semantic_faults(page: _ParsedProgram) -> Iterator[Fault]:
    """Checks beyond the schema: names refer to something, zones and dates exist, every event type has terms."""
    document: dict[str, Any] = page.document
    yield from _text_faults(page, document, ())
    if document["program"] in RESERVED_PROGRAMS:
        yield page.fault(("program",), Sentence("FAULT_RESERVED_PROGRAM", {"name": repr(document["program"])}))
    yield from _currency_faults(page, document, ())
    yield from _zone_faults(page, document, ())
    yield from _rate_faults(page, document)
    yield from _contract_faults(page, document)
    yield from _billing_groups(page, document)
    for name, source in document.get("sources", {}).items():
        yield from _source_faults(page, document, name, source)


def _text_faults(page: _ParsedProgram, value: Any, path: Path) -> Iterator[Fault]:
    match value:
        case dict():
            for key, inner in value.items():
                if any(ord(letter) < 32 for letter in key):
                    yield page.fault((*path, key), Sentence("FAULT_KEY_CONTROL"), at_key=True)
                yield from _text_faults(page, inner, (*path, key))
        case list():
            for number, inner in enumerate(value):
                yield from _text_faults(page, inner, (*path, number))
        case str() if not MULTILINE_KEYS & {*path[-2:]} and any(ord(letter) < 32 for letter in value):
            yield page.fault(path, Sentence("FAULT_LINE_BREAK"))


def _currency_faults(page: _ParsedProgram, body: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    code = body.get("currency")
    if code is not None and code not in exponents():
        alike = next((known for known in sorted(exponents()) if known[:2] == code[:2]), "")
        yield page.fault((*path, "currency"), _not_known("FAULT_NO_CURRENCY", "code", code, alike, "EUR"))


def _rate_faults(page: _ParsedProgram, document: Mapping[str, Any]) -> Iterator[Fault]:
    own = document["currency"]
    for code, rates in document.get("fx", {}).items():
        if code not in exponents() or code == own:
            wrong = "FAULT_OWN_CURRENCY" if code == own else "FAULT_NO_CURRENCY"
            yield page.fault(("fx", code), Sentence(wrong, {"code": repr(code), "right": ""}), at_key=True)
        for number, one in enumerate(rates):
            try:
                date.fromisoformat(one["from"])
            except ValueError:
                yield page.fault(("fx", code, number, "from"), Sentence("FAULT_NO_DAY", {"day": one["from"]}))
            if not one["rate"].strip("0."):
                yield page.fault(("fx", code, number, "rate"), Sentence("FAULT_RATE_ZERO"))
    if document.get("fx_pull") and own not in published_currencies():
        yield page.fault(("fx_pull",), Sentence("FAULT_NOT_PUBLISHED", {"currency": own}))


def _zone_faults(page: _ParsedProgram, body: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    name = body.get("time_zone")
    if name is not None and not _is_zone(name):
        from zoneinfo import available_timezones

        close = _closest_match(name, available_timezones())
        yield page.fault((*path, "time_zone"), _not_known("FAULT_NO_ZONE", "name", name, close, "Europe/Berlin"))


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _not_known(code: str, kind: str, given: str, close: str, example: str) -> Sentence:
    """An unknown name, with the closest known one, or else an example."""
    right = Sentence("FAULT_MEANT", {"close": close}) if close else Sentence("FAULT_EXAMPLE", {"example": example})
    return Sentence(code, {kind: repr(given), "right": right})


def _closest_match(word: str, known: Iterable[str]) -> str:
    """The closest known word; empty if none is close."""
    folded = {name.casefold(): name for name in known}
    return next((folded[one] for one in get_close_matches(word.casefold(), folded, n=1)), "")


def _event_type_faults(
    page: _ParsedProgram, document: Mapping[str, Any], body: Mapping[str, Any], path: Path
) -> Iterator[Fault]:
    name, known = body.get("event_type"), document["event_types"]
    if name is not None and name not in known:
        about: Details = {"name": repr(name), "right": _did_you_mean(name, [*known])}
        yield page.fault((*path, "event_type"), Sentence("FAULT_NO_EVENT_TYPE", about))


def _contract_faults(page: _ParsedProgram, document: Mapping[str, Any]) -> Iterator[Fault]:
    contracts = document["contracts"]
    program = KnownNames(
        document["currency"],
        frozenset(document.get("groups", {})),
        frozenset(document.get("lists", {})) | page.lists,
    )
    for name, entries in document.get("lists", {}).items():
        yield from _entry_faults(page, entries, ("lists", name))
    for name, body in contracts.items():
        path = ("contracts", name)
        yield from _event_type_faults(page, document, body, path)
        yield from _date_range_faults(page, body, path, "valid_from", "valid_until")
        if ("payout" in body) == ("rules" in body):
            yield page.fault(path, Sentence("FAULT_PAYOUT_OR_RULES"), at_key=True)
        for group in [one for one in body.get("groups", ()) if one not in program.groups]:
            place = (*path, "groups", body["groups"].index(group))
            yield page.fault(place, unknown_name("FAULT_NO_GROUP", group, program.groups))
        for inner, what in lock_faults(body["lock"], program):
            yield page.fault((*path, "lock", *inner), what, at_key=True)
        if "payout" in body and (wrong := pay_fault(body["payout"], program.currency)):
            yield page.fault((*path, "payout"), wrong)
        for number, rule in enumerate(body.get("rules", ())):
            yield from _rule_faults(page, body, rule, (*path, "rules", number), program)
    for name in document["event_types"]:
        if not any(body["event_type"] == name and _is_for_all(body) for body in contracts.values()):
            about = {"name": repr(name), "event_type": name}
            yield page.fault(("event_types", name), Sentence("FAULT_NO_TERMS_FOR_ALL", about), at_key=True)


def _billing_groups(page: _ParsedProgram, document: Mapping[str, Any]) -> Iterator[Fault]:
    """Names in billing groups exist, the default group comes last, and no group follows one that matches all."""
    known = {
        "contracts": ("FAULT_NO_CONTRACT", document["contracts"]),
        "event_types": ("FAULT_NO_EVENT_TYPE", document["event_types"]),
    }
    takes_all = ""
    for name, group in document.get("billing_groups", {}).items():
        path, body = ("billing_groups", name), group or {}
        scopes = [key for key in ("contracts", "event_types", "partners") if key in body]
        if "minimum_payout" in body and (wrong := _not_money(body["minimum_payout"], document["currency"])):
            yield page.fault((*path, "minimum_payout"), wrong)
        if name == "default":
            for key in scopes:
                yield page.fault((*path, key), Sentence("FAULT_DEFAULT_GROUP", {"key": key}), at_key=True)
            continue
        if takes_all:
            yield page.fault(path, Sentence("FAULT_BEHIND_GROUP", {"name": repr(takes_all)}), at_key=True)
        takes_all = takes_all or ("" if scopes else name)
        for key, (code, names) in known.items():
            for number, one in enumerate(body.get(key, ())):
                if one not in names:
                    about: Details = {"name": repr(one), "right": _did_you_mean(one, [*names])}
                    yield page.fault((*path, key, number), Sentence(code, about))


def _not_money(text: str, currency: str) -> Sentence | None:
    try:
        to_minor(parse_decimal(text), currency)
    except InvalidAmountError:
        return Sentence("FAULT_NO_AMOUNT", {"value": text, "currency": currency, "right": to_text(2500, currency)})
    return None


def _date_range_faults(
    page: _ParsedProgram, body: Mapping[str, Any], path: Path, first: str, last: str
) -> Iterator[Fault]:
    """Two dates exist and are in order."""
    days = {}
    for name in (first, last):
        try:
            days[name] = date.fromisoformat(body.get(name, "2026-01-31"))
        except ValueError:
            yield page.fault((*path, name), Sentence("FAULT_NO_DAY", {"day": body[name]}))
    if first in body and last in body and len(days) == 2 and days[last] < days[first]:
        about = {"last": body[last], "key": first, "first": body[first]}
        yield page.fault((*path, last), Sentence("FAULT_DAYS_REVERSED", about))


def _referenced_lists(document: Any) -> Iterator[str]:
    match document:
        case {"list": str(name)}:
            yield name
        case dict():
            for inner in document.values():
                yield from _referenced_lists(inner)
        case list():
            for inner in document:
                yield from _referenced_lists(inner)


def _is_for_all(contract: Mapping[str, Any]) -> bool:
    return "partners" not in contract and "groups" not in contract


def _rule_faults(
    page: _ParsedProgram, contract: Mapping[str, Any], rule: Mapping[str, Any], path: Path, program: KnownNames
) -> Iterator[Fault]:
    for inner, what in rule_faults(rule, program):
        yield page.fault((*path, *inner), what)
    wrong_days = [*_date_range_faults(page, rule, path, "from", "until")]
    yield from wrong_days
    if not wrong_days and rule.get("until", "9999") < contract["valid_from"]:
        about = {"day": rule["until"], "other": contract["valid_from"]}
        yield page.fault((*path, "until"), Sentence("FAULT_RULE_TOO_EARLY", about))
    if not wrong_days and rule.get("from", "") > contract.get("valid_until", "9999"):
        about = {"day": rule["from"], "other": contract["valid_until"]}
        yield page.fault((*path, "from"), Sentence("FAULT_RULE_TOO_LATE", about))


def _entry_faults(page: _ParsedProgram, entries: Iterable[str], path: Path) -> Iterator[Fault]:
    for number, entry in enumerate(entries):
        if "*" in entry[:-1]:
            yield page.fault((*path, number), Sentence("FAULT_STAR", {"entry": _describe_value(entry)}))


def _source_faults(
    page: _ParsedProgram, document: Mapping[str, Any], name: str, source: Mapping[str, Any]
) -> Iterator[Fault]:
    path = ("sources", name)
    if name in RESERVED_SOURCES:
        yield page.fault(path, Sentence("FAULT_RESERVED_SOURCE", {"name": repr(name)}), at_key=True)
    if name == "api" and source["channel"] != "api":
        yield page.fault(path, Sentence("FAULT_API_NAME", {"name": repr(source["channel"])}), at_key=True)
    yield from _event_type_faults(page, document, source, path)
    yield from _currency_faults(page, source, path)
    yield from _zone_faults(page, source, path)
    yield from _mapping_faults(page, document, source, path)
    for key in [key for key in sender_of(source.get("kind", "")).needs if key not in source.get("options", {})]:
        about: Details = {"key": key, "right": _example_of(key, load_schema()["$defs"]["api_options"])}
        yield page.fault((*path, "options"), Sentence("FAULT_KEY_MISSING", about), at_key=True)
    for inner, what in signed_source_faults(source):
        yield page.fault((*path, *inner), what)
    if source.get("absent") == "nothing_taken" and source.get("references") != "restate":
        yield page.fault((*path, "absent"), Sentence("FAULT_ABSENT_ONCE"))
    judge: Callable[[_ParsedProgram, str, str, Mapping[str, Any]], Iterator[Fault]] | None
    judge = {"pull": _pull_faults, "email": _email_faults}.get(source["channel"])
    if judge:
        yield from judge(page, document["program"], name, source["options"])


def _mapping_faults(
    page: _ParsedProgram, document: Mapping[str, Any], source: Mapping[str, Any], path: Path
) -> Iterator[Fault]:
    reasons = [*REASONS, *document.get("reasons", ())]
    mapping = source.get("mapping", {})
    named: list[tuple[Path, str]] = [
        ((*path, "mapping", "reasons", key), reason) for key, reason in mapping.get("reasons", {}).items()
    ]
    if "default_reason" in source:
        named.append(((*path, "default_reason"), source["default_reason"]))
    for place, reason in named:
        if reason not in reasons:
            about: Details = {"name": repr(reason), "right": _did_you_mean(reason, reasons)}
            yield page.fault(place, Sentence("FAULT_NO_REASON", about))
    if "encoding" in mapping and not _is_encoding(mapping["encoding"]):
        encoding = Sentence("FAULT_NO_ENCODING", {"name": repr(mapping["encoding"])})
        yield page.fault((*path, "mapping", "encoding"), encoding)
    for form in [mapping["date"]] if isinstance(mapping.get("date"), str) else mapping.get("date", ()):
        if not _is_date_format(form):
            yield page.fault((*path, "mapping", "date"), Sentence("FAULT_DATE_FORMAT", {"form": repr(form)}))
    if "layout" in mapping and mapping["layout"] != "own" and mapping.get("columns"):
        yield page.fault((*path, "mapping", "columns"), Sentence("FAULT_LAYOUT_COLUMNS"), at_key=True)
    for given, event_type in mapping.get("event_types", {}).items():
        if event_type not in document["event_types"]:
            about = {"name": repr(event_type), "right": _did_you_mean(event_type, [*document["event_types"]])}
            place = (*path, "mapping", "event_types", given)
            yield page.fault(place, Sentence("FAULT_NO_EVENT_TYPE", about))


def _is_encoding(name: str) -> bool:
    try:
        return bool(codecs.lookup(name).name) and isinstance("a".encode(name), bytes)
    except (LookupError, ValueError, TypeError):
        return False


def _is_date_format(form: str) -> bool:
    day = datetime(2026, 11, 23, 13, 47, 58)
    try:
        return datetime.strptime(day.strftime(form), form).date() == day.date()
    except (ValueError, re.error):
        return False


def _pull_faults(page: _ParsedProgram, _program: str, name: str, options: Mapping[str, Any]) -> Iterator[Fault]:
    path: Path = ("sources", name, "options")
    protocol = options["protocol"]
    if protocol == "ftp" and not options.get("allow_plain"):
        yield page.fault((*path, "protocol"), Sentence("FAULT_FTP_PLAIN"))
    for key, protocols in {
        "implicit": ("ftps",),
        "max_tls": ("ftps",),
        "ca": ("ftps",),
        "host_keys": ("sftp",),
    }.items():
        if options.get(key) and protocol not in protocols:
            about = {"key": key, "protocol": protocol}
            yield page.fault((*path, key), Sentence("FAULT_NOT_FOR_PROTOCOL", about), at_key=True)


def _email_faults(page: _ParsedProgram, program: str, name: str, _options: Mapping[str, Any]) -> Iterator[Fault]:
    room = MAIL_LOCAL_PART_MAX - MAIL_TOKEN - 2
    if len(program) + len(name) > room:
        yield page.fault(("sources", name), Sentence("FAULT_MAIL_LONG", {"room": str(room)}), at_key=True)
