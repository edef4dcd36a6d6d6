"""Edit parts of a program and keep everything else: comments, order and quotes."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from retour.setup.program_file import parse_program

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node, ScalarNode

KeyPath = tuple[str, ...]
WIDTH = 110


def rewrite(text: str, wanted: Mapping[str, Any]) -> str:
    """Change a program's text so that it has the content `wanted`.

    JSON, invalid text, and YAML whose parts cannot be replaced individually are rewritten completely.
    """
    before = parse_program(text)
    if before == wanted:
        return text
    if isinstance(before, list):
        return dump_yaml(wanted)
    if text.lstrip("\ufeff \r\n").startswith("{"):
        return json.dumps(wanted, ensure_ascii=False, indent=2) + "\n"
    patched = text
    for path in differing_paths(before, wanted):
        patched = patch_path(patched, path, wanted)
    return patched if parse_program(patched) == wanted else dump_yaml(wanted)


def differing_paths(old: Mapping[str, Any], new: Mapping[str, Any], above: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of the smallest groups and values that differ."""
    for key in {**old, **new}:
        one, other = old.get(key), new.get(key)
        if isinstance(one, dict) and isinstance(other, dict) and one and other:
            yield from differing_paths(one, other, (*above, key))
        elif (key in old) != (key in new) or one != other:
            yield (*above, key)


def patch_path(text: str, path: KeyPath, wanted: Mapping[str, Any]) -> str:
    """Replace the smallest independent part that contains a path. Returns the text unchanged if there is none."""
    import yaml

    node = yaml.compose(text, Loader=yaml.SafeLoader)
    value: Any = wanted
    for depth, key in enumerate(path, 1):
        pair = pair_of(node, key) if isinstance(node, yaml.MappingNode) else None
        stays = key in value
        value = value.get(key)
        if pair is None:
            return add_pair(text, node, key, value) if isinstance(node, yaml.MappingNode) else text
        if depth == len(path) or not isinstance(pair[1], yaml.MappingNode) or is_flow(pair[1]):
            return replace_pair(text, pair, value) if stays else remove_pair(text, pair)
        node = pair[1]
    return text


def pair_of(node: "MappingNode", key: str) -> "tuple[ScalarNode, Node] | None":
    return next((pair for pair in node.value if pair[0].value == key), None)


def is_flow(node: "Node") -> bool:
    return bool(getattr(node, "flow_style", False))


def replace_pair(text: str, pair: "tuple[ScalarNode, Node]", value: Any) -> str:
    name, old = pair
    start, column = name.start_mark.index, name.start_mark.column
    keeps_line = is_flow(old) or not isinstance(value, dict | list)
    return f"{text[:start]}{pair_text(name.value, value, column, flow=keeps_line)}{text[end_index(old) :]}"


def remove_pair(text: str, pair: "tuple[ScalarNode, Node]") -> str:
    start: int = text.rfind("\n", 0, pair[0].start_mark.index) + 1
    end = text.find("\n", end_index(pair[1]))
    return text[:start] + (text[end + 1 :] if end >= 0 else "")


def add_pair(text: str, parent: "MappingNode", key: str, value: Any) -> str:
    column: int = parent.value[0][0].start_mark.column
    end = end_index(parent.value[-1][1])
    line_end = text.find("\n", end)
    at = line_end if line_end >= 0 else len(text)
    return text[:at] + "\n" + " " * column + pair_text(key, value, column, flow=False) + text[at:]


def end_index(node: "Node") -> int:
    """The end of a node's own text. A block extends to the next token, including comments in between."""
    if node.value and not is_flow(node) and not isinstance(node.value, str):
        last = node.value[-1]
        return end_index(last[1] if isinstance(last, tuple) else last)
    end: int = node.end_mark.index
    return end


def pair_text(key: str, value: Any, column: int, *, flow: bool) -> str:
    """`key: value` on one line, or with the value below if it is too long."""
    if flow or not isinstance(value, dict | list):
        line = dump_yaml({key: value}, flow=True, width=10**6).strip()[1:-1]
        if len(line) + column <= WIDTH and "\n" not in line:
            return line
    return ("\n" + " " * column).join(dump_yaml({key: value}, width=WIDTH - column).rstrip("\n").split("\n"))


def dump_yaml(value: Any, *, flow: bool | None = None, width: int = WIDTH) -> str:
    """YAML as people write programs: plain collections on one line, dates without quotes."""
    import yaml

    class Indented(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

        def ignore_aliases(self, data: Any) -> bool:
            return True

    nested = (
        flow is None and isinstance(value, dict) and not any(isinstance(one, dict | list) for one in value.values())
    )
    style = False if nested else flow
    said: str = yaml.dump(
        value, Dumper=Indented, sort_keys=False, allow_unicode=True, default_flow_style=style, width=width
    )
    return re.sub(r"(?<=[ :])'(\d{4}-\d\d-\d\d)'(?=[\n,}]|$)", r"\1", said)
