"""The folders are the architecture: who may import whom, kept by a test that was seen to bite."""

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RETOUR = ROOT / "shared/retour"

OUTSIDE = "anything but the standard library"
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "domain": ("retour.", "!retour.domain", OUTSIDE),
    "channels": (
        "retour.store",
        "retour.remote",
        "retour.intake",
        "retour.posting",
        "retour.wiring",
        "boto3",
        "botocore",
    ),
    "files": (
        "retour.store",
        "retour.remote",
        "retour.channels",
        "retour.intake",
        "retour.normalise",
        "retour.wiring",
        "boto3",
        "botocore",
    ),
    "normalise": (
        "retour.",
        "!retour.normalise",
        "!retour.domain",
        "!retour.files",
        "!retour.numbers",
        "!retour.sentences",
        OUTSIDE,
    ),
    "store": ("retour.channels", "retour.files", "retour.remote", "retour.intake", "retour.wiring", "retour.cli"),
    "console": ("retour.api", "boto3", "botocore"),
    "remote": ("retour.store", "retour.channels", "retour.wiring", "retour.cli", "boto3", "botocore"),
    "polling": ("retour.store", "retour.channels", "retour.wiring", "retour.cli", "boto3", "botocore"),
}
ENVIRONMENT_READERS = {"settings.py", "cli"}

ROOMS = (
    "domain", "numbers", "languages", "sentences", "errors", "availability", "settings", "files", "channels",
    "normalise", "store", "ports", "context", "wiring", "remote", "polling", "money", "posting", "counting", "setup",
    "connection_test", "intake", "views", "previews", "sync", "schedule", "operations", "replies", "commands", "api",
    "console", "cli",
)  # fmt: skip
"""Every room, the innermost first: each may import those before it."""


def imports(source: str) -> Iterator[str]:
    """The modules a file imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a thing comes from"
            yield node.module or ""


def trespasses(folder: str, source: str) -> list[str]:
    """The imports of a file that its folder may not have; those under TYPE_CHECKING count as well."""
    rules = FORBIDDEN[folder]
    allowed = tuple(rule[1:] for rule in rules if rule.startswith("!"))
    found = []
    for module in imports(source):
        if module.startswith(allowed) and allowed:
            continue
        foreign = module.split(".")[0] not in {*sys.stdlib_module_names, "retour"}
        if any(f"{module}.".startswith(rule.rstrip(".") + ".") for rule in rules) or (OUTSIDE in rules and foreign):
            found.append(module)
    return found


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py"))


def arrows() -> set[tuple[str, str]]:
    """Which room imports which, wherever in a file."""
    found = set()
    for path in sources(RETOUR):
        room = path.relative_to(RETOUR).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("retour"):
                continue
            parts = (node.module or "").split(".")
            found |= {(room, parts[1])} if parts[1:] else {(room, name.name) for name in node.names}
    return {(room, other) for room, other in found if room != other and other in ROOMS}


def test_every_room_is_named_and_no_arrow_points_upward() -> None:
    rooms = {path.stem for path in RETOUR.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == set(ROOMS)
    upward = {(room, other) for room, other in arrows() if ROOMS.index(other) > ROOMS.index(room)}
    assert not upward


@pytest.mark.parametrize("folder", sorted(FORBIDDEN))
def test_imports_point_inward(folder: str) -> None:
    for path in sources(RETOUR / folder):
        assert not trespasses(folder, path.read_text()), path


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("domain", "import boto3"),
        ("domain", "from retour.store import ledger"),
        ("channels", "from retour.store.ledger import Ledger"),
        ("files", "def f():\n    import boto3"),
        ("files", "from retour.normalise import Normaliser"),
        ("normalise", "from retour.channels import payload"),
        ("normalise", "import xlrd"),
        ("store", "from retour.intake import receive"),
    ],
)
def test_the_guard_bites(folder: str, source: str) -> None:
    assert trespasses(folder, source)
    assert not trespasses(folder, "import json")


def test_only_settings_and_the_command_line_read_the_environment() -> None:
    for path in [*sources(RETOUR), *sources(ROOT / "functions")]:
        if path.relative_to(RETOUR if path.is_relative_to(RETOUR) else ROOT).parts[0] in ENVIRONMENT_READERS:
            continue
        assert not re.search(r"\bos\.environ|\bgetenv\b", path.read_text()), path


def test_only_store_and_wiring_build_or_speak_to_aws() -> None:
    for path in sources(RETOUR):
        if path.relative_to(RETOUR).parts[0] not in {"wiring.py", "store", "cli"}:
            assert not {"boto3", "botocore"} & {module.split(".")[0] for module in imports(path.read_text())}, path


def test_the_domain_has_no_clock_no_float_and_no_randomness() -> None:
    for path in sources(RETOUR / "domain"):
        tree = ast.parse(path.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not names & {"now", "today", "utcnow", "time_ns", "random"}, path
        assert not any(isinstance(node, ast.Constant) and isinstance(node.value, float) for node in ast.walk(tree)), (
            path
        )
        assert not any(isinstance(node, ast.Name) and node.id == "float" for node in ast.walk(tree)), path


def test_a_handler_is_a_table_of_contents() -> None:
    """One file a function, its handler short; what is worth a unit test lives in the layer."""
    for folder in sorted((ROOT / "functions").iterdir()):
        assert {path.name for path in folder.iterdir() if path.name != "__pycache__"} <= {"app.py", "requirements.txt"}
        source = (folder / "app.py").read_text()
        assert ast.get_docstring(ast.parse(source)), folder
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and node.name == "handler":
                assert node.end_lineno is not None and node.end_lineno - node.lineno < 25, folder


@pytest.mark.parametrize("room", ["normalise"])
def test_the_modules_of_a_room_import_one_another_in_one_direction(room: str) -> None:
    """A circle would show as an import of its own inside a function, or not at all until somebody starts elsewhere."""
    modules = {f"retour.{room}.{path.stem}": path for path in sources(RETOUR / room) if path.stem != "__init__"}
    graph = {
        name: {used for used in imports_of_names(path.read_text()) if used in modules} for name, path in modules.items()
    }
    assert any(graph.values())
    TopologicalSorter(graph).prepare()


def imports_of_names(source: str) -> Iterator[str]:
    """The modules a file imports, those as well that it imports as names of their package."""
    yield from imports(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
