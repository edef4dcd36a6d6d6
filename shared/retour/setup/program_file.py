"""A program as its merchant writes it, in YAML or JSON: read, or told line by line what is wrong and what is right."""

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from retour.domain.contracts.conditions import Named
from retour.domain.contracts.lock_terms import lock_faults
from retour.domain.contracts.pay import pay_fault
from retour.domain.contracts.rule import rule_faults
from retour.domain.money import exponents
from retour.domain.program import REASONS
from retour.domain.rates import published_currencies

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
"""What Retour itself calls the deliveries of people and the reports of actions."""
SECRET_WORDS = {"password", "passwd", "secret", "secrets", "private_key", "token", "tokens", "signing", "api_key"}

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong: line and column from 1, the keys leading there, a sentence that says what is right."""

    line: int
    column: int
    key: str
    sentence: str

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}"
        return f"{where}, {self.key}: {self.sentence}" if self.key else f"{where}: {self.sentence}"


def read(text: str, lists: Iterable[str] | None = None) -> dict[str, Any] | list[Fault]:
    """The document, valid in all that can be judged without asking anybody, or everything that is wrong with it.

    `lists` are the names of those that were uploaded; None: nobody knows, every name may be one. Dates stay texts. The
    faults come in the order of the lines, at most fifty of them.
    """
    page = _parse(text)
    if isinstance(page, Fault):
        return [page]
    page.lists = frozenset(lists if lists is not None else _lists_spoken_of(page.document))
    faults = page.faults or [*_against_schema(page)] or [*_against_sense(page)]
    if faults:
        return sorted(set(faults))[:FAULTS_MAX]
    document: dict[str, Any] = page.document
    return document


def accepted(text: str) -> dict[str, Any]:
    """A document that was found right when it was recorded: what is asked of new ones since does not undo it."""
    page = _parse(text)
    if isinstance(page, Fault) or not isinstance(page.document, dict):
        raise ValueError(f"a recorded program can no longer be read: {page}")
    return page.document


def fault_at(text: str, path: Path, sentence: str, *, at_key: bool = False) -> Fault:
    """A fault at a place of a document that can be read, found by whoever knows more than the document says."""
    page = _parse(text)
    return page if isinstance(page, Fault) else page.fault(path, sentence, at_key=at_key)


@cache
def schema() -> dict[str, Any]:
    """program.schema.json, as it is published."""
    published: dict[str, Any] = json.loads(files("retour.setup").joinpath("program.schema.json").read_text("utf-8"))
    return published


@dataclass(slots=True)
class _Page:
    """A document with the place of every key and value in its text; and the lists that were uploaded for it."""

    document: Any = None
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    lists: frozenset[str] = frozenset()

    def fault(self, path: Path, sentence: str, *, at_key: bool = False) -> Fault:
        line, column = (self.keys if at_key else self.values).get(path) or self.values.get(path) or (1, 1)
        return Fault(line, column, written(path), sentence)


def written(path: Path) -> str:
    """sources.mail.options.allow_from[2]: items are counted from 1."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _parse(text: str) -> _Page | Fault:
    import yaml

    if len(text.encode("utf-8", "surrogatepass")) > SIZE_MAX:
        return Fault(1, 1, "", f"the document is larger than {SIZE_MAX // 1024} KB; a program is far smaller")
    text = text.removeprefix("\ufeff")
    if text.lstrip().startswith("{") and "\t" in text and _is_json(text):
        text = text.replace("\t", " ")  # a tab between the marks of JSON is white space, in YAML it is an error
    try:
        node = yaml.compose(text, Loader=_loader())
        page = _Page()
        if node is None:
            return Fault(1, 1, "", "the document is empty; a program begins with a line such as `program: acme`")
        page.document = _value(node, (), page)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = _place(mark) if mark else (1, 1)
        problem = error.problem or error.context or "this cannot be read"
        return Fault(line, column, "", f"{problem}; the document is neither YAML nor JSON from here on")
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        return Fault(line, column, "", "there is an unprintable character here; take it out")
    except RecursionError:
        return Fault(1, 1, "", f"the document is nested deeper than {DEPTH_MAX} levels; a program is far flatter")
    return page


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


@cache
def _loader() -> Any:
    """Composes nodes with their places. Nothing is constructed by tags, and an alias, which could grow, is refused."""
    import yaml

    class Plain(yaml.SafeLoader):
        def compose_node(self, parent: "Node | None", index: Any) -> "Node | None":
            if self.check_event(yaml.AliasEvent):
                event: Any = self.peek_event()  # type: ignore[no-untyped-call]
                raise yaml.MarkedYAMLError(
                    problem=f"`*{event.anchor}` refers to another place, which programs do not; write the value out",
                    problem_mark=event.start_mark,
                )
            return super().compose_node(parent, index)

    return Plain


def _place(mark: "Mark") -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z")
WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
TAGS = {"tag:yaml.org,2002:" + name for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")}


def _value(node: "Node", path: Path, page: _Page) -> Any:
    """Texts, whole numbers, true, false and null as JSON knows them; everything else, dates as well, is a text."""
    import yaml

    page.values[path] = _place(node.start_mark)
    if len(path) > DEPTH_MAX:
        raise RecursionError
    if node.tag not in TAGS and node.value not in ("<<", "="):
        page.faults.append(page.fault(path, f"the tag {node.tag} means nothing here; write the value without it"))
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, page)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, number), page) for number, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode) and node.style is None:
        if INTEGER.match(node.value):
            return int(node.value)
        if node.value.lower() in WORDS:
            return WORDS[node.value.lower()]
    text = _joined(node.value)
    if text is None:
        page.faults.append(page.fault(path, "there is half a character (a lone surrogate) here; write it whole"))
    return text


def _mapping(node: Any, path: Path, page: _Page) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = _place(key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            page.faults.append(Fault(*place, written(path), "a key is a plain word, such as `program`"))
            continue
        key = _joined(key_node.value) or ""
        inner = (*path, key)
        if key in found:
            first = page.keys[inner][0]
            page.faults.append(
                Fault(*place, written(inner), f"`{key}` stands twice, first in line {first}; keep one of the two")
            )
            continue
        page.keys[inner] = place
        found[key] = _value(value_node, inner, page)
    return found


def _joined(text: str) -> str | None:
    """JSON may write one character as two escapes, which YAML leaves apart. None: only half of one is there."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None


@cache
def _validator() -> "Draft202012Validator":
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


def _against_schema(page: _Page) -> Iterator[Fault]:
    if not isinstance(page.document, dict):
        yield page.fault((), f"{_shown(page.document)} is no program; it begins with a line such as `program: acme`")
        return
    for error in _validator().iter_errors(page.document):
        yield from _faults(error, page)


def _faults(error: "ValidationError", page: _Page) -> Iterator[Fault]:
    path: Path = tuple(error.absolute_path)
    rule: Any = error.validator_value
    instance: Any = error.instance
    own: Mapping[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    if "propertyNames" in error.absolute_schema_path:
        inner = (*path, instance)
        if error.validator == "enum":
            yield page.fault(inner, f"`{instance}` is not known here{_meant(instance, rule)}", at_key=True)
        else:
            yield page.fault(inner, f"`{instance}` is no name: {own.get('description', '')}", at_key=True)
        return
    match error.validator:
        case "additionalProperties":
            known = [*own.get("properties", {})]
            for key in [key for key in instance if key not in known]:
                yield page.fault((*path, key), _unknown(key, known), at_key=True)
        case "required":
            for key in [key for key in rule if key not in instance]:
                yield page.fault(path, f"`{key}` is missing{_such_as(key, own)}", at_key=True)
        case "type":
            yield page.fault(path, _wrong_type(instance, rule, own))
        case "enum":
            yield page.fault(path, f"{_shown(instance)} is not known here{_meant(instance, rule)}")
        case "minimum" | "maximum":
            low, high = own.get("minimum"), own.get("maximum")
            yield page.fault(path, f"{_shown(instance)} is out of range; {low} to {high} is right")
        case "minItems" | "minProperties":
            yield page.fault(path, "nothing stands here; write at least one" + _such_as(path[-1], {}, own))
        case "maxItems" | "maxProperties" | "maxLength":
            yield page.fault(path, f"too long; at most {rule} fit here")
        case "uniqueItems":
            yield page.fault(path, "one item stands here twice; keep one of them")
        case "not":
            key = rule["required"][0]
            sentence = (
                f"`{key}` says nothing for channel {instance.get('channel')}; only sources of channel api have one"
            )
            yield page.fault((*path, key), sentence, at_key=True)
        case _:
            yield page.fault(path, f"{_shown(instance)} is not right here. {_described(own)}")


def _unknown(key: str, known: list[str]) -> str:
    if key.lower() in SECRET_WORDS:
        return f"`{key}`: a secret never stands in a program; take it out and hand it over on its own"
    return f"`{key}` is no key here{_meant(key, known)}"


def _meant(word: Any, known: list[str]) -> str:
    if not known:
        return "; nothing may stand here"
    listed = "right are: " + ", ".join(json.dumps(name) if not name.strip() else name for name in known)
    close = _closest(str(word), known)
    if close and len(known) > LISTED_MAX:
        return close
    return f"{close} ({listed})" if close else f"; {listed}"


def _such_as(key: str | int, own: Mapping[str, Any], described: Mapping[str, Any] | None = None) -> str:
    body = described or _followed(own.get("properties", {}).get(key) or _anywhere(str(key)))
    examples = body.get("examples") or body.get("enum")
    if not examples:
        return f". {_described(body)}" if body.get("description") else ""
    example = examples[0] if isinstance(examples[0], str) else json.dumps(examples[0], ensure_ascii=False)
    return f"; for example `{key}: {example}`"


def _followed(body: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = str(body.get("$ref", ""))
    return {**schema()["$defs"][reference.rsplit("/", 1)[-1]], **body} if reference else body


def _anywhere(key: str) -> Mapping[str, Any]:
    """What the schema says about a key that a channel requires from outside of its own part, such as `options`."""
    found: Mapping[str, Any] = schema()["$defs"]["source"]["properties"].get(key, {})
    return found


def _described(own: Mapping[str, Any]) -> str:
    text = str(own.get("description", "")) or "See the schema of programs."
    examples = own.get("examples")
    return f"{text} For example: {examples[0]}" if examples else text


KINDS = {
    "object": "keys with values below it", "array": "a list", "string": "a text", "integer": "a whole number",
    "boolean": "true or false", "null": "nothing",
}  # fmt: skip


def _wrong_type(instance: Any, rule: str | list[str], own: Mapping[str, Any]) -> str:
    wanted = [rule] if isinstance(rule, str) else rule
    right = " or ".join(KINDS[name] for name in wanted)
    if isinstance(instance, int) and "string" in wanted:
        word = str(instance).lower() if isinstance(instance, bool) else str(instance)
        if not re.search(own.get("pattern", ""), word):
            return f"{_shown(instance)} where a text belongs. {_described(own)}"
        return f'{_shown(instance)} where a text belongs; put it in quotes: "{word}"'
    if instance is None:
        return f"nothing stands here; {right} is right"
    return f"{_shown(instance)} where {right} belongs"


def _shown(instance: Any) -> str:
    match instance:
        case bool():
            return str(instance).lower()
        case int():
            return f"the number {instance}"
        case str():
            return repr(instance if len(instance) <= 60 else instance[:57] + "...")
        case list():
            return "a list"
        case dict():
            return "a group of keys"
        case _:
            return "nothing"


def _against_sense(page: _Page) -> Iterator[Fault]:
    """What a schema cannot say: that names meet, that zones and dates exist, that everything tracked has its terms."""
    document: dict[str, Any] = page.document
    yield from _texts(page, document, ())
    if document["program"] in RESERVED_PROGRAMS:
        yield page.fault(("program",), f"{document['program']!r} is reserved; choose another id")
    yield from _currency(page, document, ())
    yield from _zone(page, document, ())
    yield from _rates(page, document)
    yield from _contracts(page, document)
    for name, source in document.get("sources", {}).items():
        yield from _source(page, document, name, source)


def _texts(page: _Page, value: Any, path: Path) -> Iterator[Fault]:
    match value:
        case dict():
            for key, inner in value.items():
                if any(ord(letter) < 32 for letter in key):
                    yield page.fault((*path, key), "a key has a control character in it; take it out", at_key=True)
                yield from _texts(page, inner, (*path, key))
        case list():
            for number, inner in enumerate(value):
                yield from _texts(page, inner, (*path, number))
        case str() if not {"ca", "delimiter", "signers"} & {*path[-2:]} and any(ord(letter) < 32 for letter in value):
            yield page.fault(path, "there is a line break or control character in it; write it in one line")


def _currency(page: _Page, body: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    code = body.get("currency")
    if code is not None and code not in exponents():
        alike = next((known for known in sorted(exponents()) if known[:2] == code[:2]), "")
        right = f"did you mean `{alike}`?" if alike else "for example EUR"
        yield page.fault((*path, "currency"), f"{code!r} is no currency of ISO 4217 in use; {right}")


def _rates(page: _Page, document: Mapping[str, Any]) -> Iterator[Fault]:
    own = document["currency"]
    for code, rates in document.get("fx", {}).items():
        if code not in exponents() or code == own:
            why = "is the program's own currency; take it out" if code == own else "is no currency of ISO 4217 in use"
            yield page.fault(("fx", code), f"{code!r} {why}", at_key=True)
        for number, one in enumerate(rates):
            try:
                date.fromisoformat(one["from"])
            except ValueError:
                wrong = f"{one['from']!r} is no day of the calendar; for example 2026-01-31"
                yield page.fault(("fx", code, number, "from"), wrong)
            if not one["rate"].strip("0."):
                yield page.fault(("fx", code, number, "rate"), "a rate is more than zero")
    if document.get("fx_pull") and own not in published_currencies():
        wrong = f"the European Central Bank publishes no rate of {own}; send the rates with `retour rates` instead"
        yield page.fault(("fx_pull",), wrong)


def _zone(page: _Page, body: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    name = body.get("time_zone")
    if name is not None and not _is_zone(name):
        from zoneinfo import available_timezones

        right = _closest(name, available_timezones()) or "; for example Europe/Berlin"
        yield page.fault((*path, "time_zone"), f"{name!r} is no IANA time zone{right}")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _closest(word: str, known: Iterable[str]) -> str:
    folded = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), folded, n=1)
    return f"; did you mean `{folded[close[0]]}`?" if close else ""


def _event_type(page: _Page, document: Mapping[str, Any], body: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    name, known = body.get("event_type"), document["event_types"]
    if name is not None and name not in known:
        yield page.fault((*path, "event_type"), f"there is no event type {name!r}{_meant(name, [*known])}")


def _contracts(page: _Page, document: Mapping[str, Any]) -> Iterator[Fault]:
    contracts = document["contracts"]
    program = Named(
        document["currency"],
        frozenset(document.get("groups", {})),
        frozenset(document.get("lists", {})) | page.lists,
    )
    for name, entries in document.get("lists", {}).items():
        yield from _entries(page, entries, ("lists", name))
    for name, body in contracts.items():
        path = ("contracts", name)
        yield from _event_type(page, document, body, path)
        yield from _span(page, body, path, "valid_from", "valid_until")
        if ("payout" in body) == ("rules" in body):
            yield page.fault(path, "say what is paid, either as `payout: 8%` or as ranked `rules`", at_key=True)
        for group in [one for one in body.get("groups", ()) if one not in program.groups]:
            place = (*path, "groups", body["groups"].index(group))
            yield page.fault(place, f"there is no group {group!r}{_meant(group, sorted(program.groups))}")
        for inner, sentence in lock_faults(body["lock"], program):
            yield page.fault((*path, "lock", *inner), sentence, at_key=True)
        if "payout" in body and (wrong := pay_fault(body["payout"], program.currency)):
            yield page.fault((*path, "payout"), wrong)
        for number, rule in enumerate(body.get("rules", ())):
            yield from _rule(page, body, rule, (*path, "rules", number), program)
    for name in document["event_types"]:
        if not any(body["event_type"] == name and _is_for_all(body) for body in contracts.values()):
            sentence = (
                f"no contract pays for {name!r} to all partners; add one with `event_type: {name}` and no partners"
            )
            yield page.fault(("event_types", name), sentence, at_key=True)


def _span(page: _Page, body: Mapping[str, Any], path: Path, first: str, last: str) -> Iterator[Fault]:
    """Two days that exist, in their order."""
    days = {}
    for name in (first, last):
        try:
            days[name] = date.fromisoformat(body.get(name, "2026-01-31"))
        except ValueError:
            yield page.fault((*path, name), f"there is no day {body[name]}; write it as 2026-01-31")
    if first in body and last in body and len(days) == 2 and days[last] < days[first]:
        sentence = f"{body[last]} lies before `{first}`, {body[first]}; the last day is that one or a later one"
        yield page.fault((*path, last), sentence)


def _lists_spoken_of(document: Any) -> Iterator[str]:
    match document:
        case {"list": str(name)}:
            yield name
        case dict():
            for inner in document.values():
                yield from _lists_spoken_of(inner)
        case list():
            for inner in document:
                yield from _lists_spoken_of(inner)


def _is_for_all(contract: Mapping[str, Any]) -> bool:
    return "partners" not in contract and "groups" not in contract


def _rule(
    page: _Page, contract: Mapping[str, Any], rule: Mapping[str, Any], path: Path, program: Named
) -> Iterator[Fault]:
    for inner, sentence in rule_faults(rule, program):
        yield page.fault((*path, *inner), sentence)
    wrong_days = [*_span(page, rule, path, "from", "until")]
    yield from wrong_days
    if not wrong_days and rule.get("until", "9999") < contract["valid_from"]:
        sentence = f"{rule['until']} lies before the contract begins, {contract['valid_from']}: the rule never holds"
        yield page.fault((*path, "until"), f"{sentence}; write a later day, or take the rule out")
    if not wrong_days and rule.get("from", "") > contract.get("valid_until", "9999"):
        sentence = f"{rule['from']} lies after the contract ends, {contract['valid_until']}: the rule never holds"
        yield page.fault((*path, "from"), f"{sentence}; write an earlier day, or take the rule out")


def _entries(page: _Page, entries: Iterable[str], path: Path) -> Iterator[Fault]:
    for number, entry in enumerate(entries):
        if "*" in entry[:-1]:
            sentence = f"{_shown(entry)}: a star stands only at the end, for everything that begins so"
            yield page.fault((*path, number), sentence)


def _source(page: _Page, document: Mapping[str, Any], name: str, source: Mapping[str, Any]) -> Iterator[Fault]:
    path = ("sources", name)
    if name in RESERVED_SOURCES:
        yield page.fault(path, f"{name!r} is reserved; choose another name", at_key=True)
    if name == "api" and source["channel"] != "api":
        sentence = f"a source called 'api' is one of channel api; call this one {source['channel']!r}, for example"
        yield page.fault(path, sentence, at_key=True)
    yield from _event_type(page, document, source, path)
    yield from _currency(page, source, path)
    yield from _zone(page, source, path)
    yield from _mapping_sense(page, document, source, path)
    judge: Callable[[_Page, str, str, Mapping[str, Any]], Iterator[Fault]] | None
    judge = {"pull": _pull, "email": _email}.get(source["channel"])
    if judge:
        yield from judge(page, document["program"], name, source["options"])


def _mapping_sense(page: _Page, document: Mapping[str, Any], source: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    reasons = [*REASONS, *document.get("reasons", ())]
    mapping = source.get("mapping", {})
    named: list[tuple[Path, str]] = [
        ((*path, "mapping", "reasons", key), reason) for key, reason in mapping.get("reasons", {}).items()
    ]
    if "default_reason" in source:
        named.append(((*path, "default_reason"), source["default_reason"]))
    for place, reason in named:
        if reason not in reasons:
            listed = _meant(reason, reasons)
            yield page.fault(place, f"{reason!r} is no reason of this program{listed}; or add it to `reasons`")
    if "encoding" in mapping and not _is_encoding(mapping["encoding"]):
        right = "for example utf-8, utf-16, cp1252 or iso-8859-15"
        yield page.fault((*path, "mapping", "encoding"), f"{mapping['encoding']!r} is no encoding of text; {right}")
    for form in [mapping["date"]] if isinstance(mapping.get("date"), str) else mapping.get("date", ()):
        if not _is_date_format(form):
            right = "day, month and year are needed, such as %d.%m.%Y"
            yield page.fault((*path, "mapping", "date"), f"{form!r} does not tell one day from another; {right}")
    if "layout" in mapping and mapping["layout"] != "own" and mapping.get("columns"):
        sentence = "the layout says which column is which; take `columns` out, or the layout"
        yield page.fault((*path, "mapping", "columns"), sentence, at_key=True)
    for given, event_type in mapping.get("event_types", {}).items():
        if event_type not in document["event_types"]:
            sentence = f"{event_type!r} is no event type of this program{_meant(event_type, document['event_types'])}"
            yield page.fault((*path, "mapping", "event_types", given), sentence)


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


def _pull(page: _Page, _program: str, name: str, options: Mapping[str, Any]) -> Iterator[Fault]:
    path: Path = ("sources", name, "options")
    protocol = options["protocol"]
    if protocol == "ftp" and not options.get("allow_plain"):
        sentence = "'ftp' sends the password readably; use ftps or sftp, or add `allow_plain: true` if it must be"
        yield page.fault((*path, "protocol"), sentence)
    for key, protocols in {
        "implicit": ("ftps",),
        "max_tls": ("ftps",),
        "ca": ("ftps",),
        "host_keys": ("sftp",),
    }.items():
        if options.get(key) and protocol not in protocols:
            yield page.fault((*path, key), f"`{key}` means nothing for {protocol}; take it out", at_key=True)


def _email(page: _Page, program: str, name: str, _options: Mapping[str, Any]) -> Iterator[Fault]:
    room = MAIL_LOCAL_PART_MAX - MAIL_TOKEN - 2
    if len(program) + len(name) > room:
        sentence = f"the mail address would be too long; program and source together may have {room} characters"
        yield page.fault(("sources", name), sentence, at_key=True)
