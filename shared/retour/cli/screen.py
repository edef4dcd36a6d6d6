"""Terminal output: tables and progress bars for people, JSON for programs, errors on stderr."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

# A pipe has no width, and a table wrapped at 80 columns is useless in a log.
PIPE_WIDTH = 180
GREEN, RED, YELLOW, DIM = "green", "red", "yellow", "dim"
COLOURS = {
    "applied": GREEN, "done": GREEN, "approved": GREEN, "ok": GREEN,
    "refused": RED, "reversed": RED, "failed": RED,
    "waiting": YELLOW, "held": YELLOW, "warning": YELLOW,
    "unchanged": DIM, "duplicate": DIM, "superseded": DIM, "arriving": DIM,
    "pending": "cyan", "working": "cyan", "locked": "magenta", "paid": "magenta",
}  # fmt: skip


def stdout_console() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)


def stderr_console() -> Console:
    return Console(stderr=True, highlight=False)


def echo(sentence: str, style: str | None = None) -> None:
    stdout_console().print(Text(sentence, style=style or ""), soft_wrap=True)


def print_error(sentence: str, code: str = "") -> None:
    line = Text("retour: ", style="bold red").append(sentence, style="not bold default")
    if code:
        line.append(f" [{code}]", style="dim")
    stderr_console().print(line, soft_wrap=True)


def print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def styled_cell(value: Any) -> Text:
    if value is None:
        return Text("")
    words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return Text(words, style=COLOURS.get(words, ""))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    grid = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        right = column in ("amount", "payout", "rows", "size", "quantity", "sold")
        grid.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(value if isinstance(value, Text) else styled_cell(value) for value in row))
    stdout_console().print(grid)


def print_facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print fields and values, without empty ones."""
    grid = Table.grid(padding=(0, 2))
    for name, value in pairs:
        if value not in (None, "", {}, []):
            grid.add_row(Text(name, style="dim"), styled_cell(value))
    stdout_console().print(grid)


def format_counts(counts: Mapping[str, int]) -> str:
    """`3 applied, 1 refused`"""
    return ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number) or "nothing"


PERCENT = 100
"""The length of a bar for percentages."""


@contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator["Bar"]:
    """A progress bar, or a spinner if the total is unknown; nothing if the output is no terminal."""
    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn()]
    counter = MofNCompleteColumn() if total and total != PERCENT else TimeElapsedColumn()
    with Progress(*columns, counter, console=stderr_console(), transient=True, disable=not sys.stderr.isatty()) as bars:
        yield Bar(bars, bars.add_task(what, total=total))


class Bar:
    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, by: int = 1) -> None:
        self._bars.advance(self._task, by)

    def say(self, what: str, percent: int | None = None) -> None:
        """Set the text, and the percentage of a bar of length PERCENT."""
        self._bars.update(self._task, description=what, completed=percent, total=None if percent is None else PERCENT)
