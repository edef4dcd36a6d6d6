"""retour modifications | batches: look up records and deliveries."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from retour.cli.client import HubClient, UsageError
from retour.cli.hub import hub_and_program
from retour.cli.screen import echo, format_counts, print_facts, print_json, print_table, progress_bar

OUTCOMES_SHOWN = 20


def modifications(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    wanted = {"outcome": arguments.outcome, "batch": arguments.batch, "order_id": arguments.order}
    found = hub.items(f"/v1/programs/{program}/modifications", arguments.limit, **wanted)
    if arguments.json:
        print_json(found)
        return 0
    columns = ("id", "received_at", "channel", "source", "order_id", "change", "outcome", "code")
    rows = (
        (*(item.get(column) for column in columns), format_change(item.get("effect"), "payout"))
        for item in found["items"]
    )
    print_table((*columns, "payout before → after"), rows)
    print_more_hint(found)
    return 0


def batches(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/batches"
    files = {what: getattr(arguments, what) for what in ("result", "rejected", "raw") if getattr(arguments, what)}
    if arguments.id:
        for what, target in files.items():
            save_body(hub, f"{path}/{quote(arguments.id, safe='')}/{what}", target)
        if files:
            return 0
        batch = hub.get(f"{path}/{quote(arguments.id, safe='')}")
        print_json(batch) if arguments.json else show_batch(batch)
        return 0
    if files:
        raise UsageError("Of which batch? Name it: retour batches ID --result FILE")
    found = hub.items(path, arguments.limit, source=arguments.source)
    if arguments.json:
        print_json(found)
        return 0
    columns = ("id", "received_at", "channel", "source", "name", "state", "rows")
    rows = (
        (*(item.get(column) for column in columns), format_counts(item.get("counts") or {})) for item in found["items"]
    )
    print_table((*columns, "counts"), rows)
    print_more_hint(found)
    return 0


def save_body(hub: HubClient, path: str, target: str) -> None:
    with progress_bar("fetching"):
        body = hub.call("GET", path).body
    if target == "-":
        sys.stdout.buffer.write(body)
        return
    try:
        Path(target).write_bytes(body)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}.") from error
    echo(f"{target}: {len(body)} bytes.")


def show_batch(batch: Mapping[str, Any]) -> None:
    identity = batch.get("id") or batch.get("batch") or "dry run"
    dry = "nothing is written; it would be " if batch.get("dry_run") else ""
    state = batch.get("state", "done")
    if state == "dry run":
        state = "held" if batch.get("warnings") else "done"
    echo(f"{batch.get('name') or identity}: {dry}{state}, {format_counts(batch.get('counts') or {})}.")
    if batch.get("explanation"):
        echo(f"  {batch['explanation']}" + (f" [{batch['code']}]" if batch.get("code") else ""))
    if batch.get("first_counts"):
        echo(f"  Then it was: {format_counts(batch['first_counts'])}.")
    known = [(name, batch.get(name)) for name in ("id", "channel", "source", "received_at", "answer")]
    print_facts(
        [*known, ("skipped", ", ".join(f"{count} {what}" for what, count in (batch.get("skipped") or {}).items()))]
    )
    show_preview(batch)
    outcomes = list(batch.get("outcomes") or ())
    if not outcomes:
        return
    # Failures first, since somebody has to act on them.
    outcomes.sort(key=lambda outcome: outcome.get("outcome") not in ("refused", "held", "waiting"))
    columns = ("record", "order_id", "outcome", "code")
    rows = (
        (
            *(row.get(column) for column in columns),
            format_change(row.get("effect"), "amount"),
            format_change(row.get("effect"), "payout") + format_other_basis(row),
            row.get("explanation"),
        )
        for row in outcomes[:OUTCOMES_SHOWN]
    )
    print_table((*columns, "amount before → after", "payout before → after", "explanation"), rows)
    total = sum((batch.get("counts") or {}).values()) or len(outcomes)
    if total > OUTCOMES_SHOWN:
        kept = batch.get("id") or batch.get("batch")
        all_of_them = f"retour batches {identity} --result FILE" if kept else "--json"
        echo(f"… and {total - OUTCOMES_SHOWN} more: {all_of_them}")


def show_preview(batch: Mapping[str, Any]) -> None:
    """The preview by partner, what is doubtful, and what changed on release."""
    preview = batch.get("preview") or batch
    for warning in preview.get("warnings") or ():
        echo(f"  {warning['explanation']} [{warning['code']}]", style="yellow")
    if preview.get("counts") and preview is not batch:
        echo(f"  It would be: {format_counts(preview['counts'])}.")
    rows = [
        (
            one["partner"],
            one["actions"],
            *(one["payout"][name] for name in ("before", "after", "difference")),
            one["currency"],
        )
        for one in preview.get("partners") or ()
    ]
    if rows:
        total = preview["total"]
        rows.append(
            ("all partners", "", *(total["payout"][n] for n in ("before", "after", "difference")), total["currency"])
        )
        print_table(("partner", "actions", "payout before", "after", "difference", ""), rows)
    if batch.get("differing") == 0:
        echo("  Every row came out as the preview had shown.")
    elif "differing" in batch:
        echo(f"  {batch['differing']} rows came out differently than the preview had shown.")
        print_table(
            ("record", "shown", "now"),
            (
                (row["record"], *(" ".join(filter(None, row[when].values())) for when in ("shown", "now")))
                for row in (batch.get("differs") or ())[:OUTCOMES_SHOWN]
            ),
        )


def format_other_basis(row: Mapping[str, Any]) -> str:
    """The payout by the terms basis that was not agreed, if different."""
    other = row.get("other_basis")
    return f" ({other['basis']}: {other['payout']})" if other else ""


def format_change(effect: Mapping[str, Any] | None, what: str) -> str:
    """`8.00 → 6.40 EUR`"""
    if not effect:
        return ""
    currency = effect.get("payout_currency", effect["currency"]) if what == "payout" else effect["currency"]
    return f"{effect[what]['before']} → {effect[what]['after']} {currency}"


def print_more_hint(found: Mapping[str, Any]) -> None:
    if found.get("next"):
        echo("… there are more: --limit 0 shows all.", style="dim")
