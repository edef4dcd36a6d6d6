"""The documents stay true: what they link to is there, what they tell people to type is understood."""

import re
from pathlib import Path

import pytest

from retour.cli.arguments import build_parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def links(page: str) -> list[str]:
    """The files a page links to or shows, without what lies on other servers or within the page."""
    found = re.findall(r"\]\(([^)\s]+)\)", page)
    return [link.partition("#")[0] for link in found if not re.match(r"[a-z]+:|#|<", link)]


def commands(page: str) -> set[str]:
    """The first words of every `retour ...` that stands as code."""
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page, re.DOTALL))
    return set(re.findall(r"(?:^|[`/\s(\"])retour ([a-z]+)(?=[\s`\])\"]|$)", code, re.MULTILINE))


def known_commands() -> set[str]:
    actions = [action for action in build_parser()._actions if action.choices]
    return {name for action in actions for name in action.choices or ()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    missing = [link for link in links(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_target_is_known(page: Path) -> None:
    text = page.read_text()
    if page.name != "specification.md":  # it names commands that are still to come
        assert commands(text) <= known_commands()
    assert set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.MULTILINE)) <= TARGETS


def test_the_guard_bites() -> None:
    assert links("[a](nowhere.md) [b](https://x.example) [c](#here)") == ["nowhere.md"]
    assert commands("`retour nonsense` and\n```sh\n.venv/bin/retour up --port 1\n```") == {"nonsense", "up"}
    assert "nonsense" not in known_commands() and {"up", "demo", "send"} <= known_commands()
    assert {"demo", "test", "check"} <= TARGETS


def test_ci_runs_the_readmes_test_commands() -> None:
    told = (ROOT / "README.md").read_text().partition("The tests:\n\n```sh\n")[2].partition("```")[0]
    commands = [line.partition("#")[0].strip() for line in told.splitlines()]
    assert commands == ["make check", "make test-slow", "make test-browser"]
    run = [line.strip() for line in (ROOT / ".ci/run").read_text().splitlines()]
    assert [line for line in run if line.startswith("make ")] == commands
