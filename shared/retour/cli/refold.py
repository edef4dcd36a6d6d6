"""retour refold: reprocess by today's rules what older rules booked differently."""

import argparse
from collections import Counter
from collections.abc import Mapping
from typing import Any

from retour.cli.hub import hub_and_program
from retour.cli.screen import echo, format_counts, print_json, print_table, progress_bar


def refold(arguments: argparse.Namespace) -> int:
    """Refold all open actions of a program, in as many calls as needed."""
    hub, program = hub_and_program(arguments)
    path, cursor = f"/v1/programs/{program}/refold", None
    counts: Counter[str] = Counter()
    found: list[dict[str, Any]] = []
    batches: list[str] = []
    looked = 0
    with progress_bar("looking at open actions"):
        while True:
            answer = hub.post(path, {}, dry_run=arguments.dry_run or None, cursor=cursor)
            counts += Counter(answer["counts"])
            found += answer["differences"]
            batches += [answer["batch"]] if answer["batch"] else []
            looked, cursor = looked + answer["looked"], answer["next"]
            if cursor is None:
                break
    if arguments.json:
        print_json({"batches": batches, "counts": counts, "looked": looked, "differences": found})
    elif not found:
        echo(f"{looked} open actions were booked by older rules; today's come to the same.")
    else:
        columns = ("action", "partner", "amount", "today", "payout", "today", "locks", "today")
        print_table(columns, map(difference_row, found))
        dry = "nothing is written; it would be " if arguments.dry_run else ""
        echo(f"{', '.join(batches) or 'dry run'}: {dry}{format_counts(counts)}.")
    return 1 if counts["refused"] else 0


def difference_row(one: Mapping[str, Any]) -> list[str]:
    amounts, payouts, locks = (before_and_after(one, name) for name in ("amount", "payout", "locks_at"))
    return [one["id"], one["partner"], *amounts, *payouts, *locks]


def before_and_after(one: Mapping[str, Any], name: str) -> tuple[str, str]:
    before, after = one[name]["before"] or "–", one[name]["after"] or "–"
    return before, "same" if before == after else after
