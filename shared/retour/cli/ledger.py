"""retour modifications | batches: what the hub knows."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from retour.cli.client import Hub, Usage
from retour.cli.hub import hub_and_program
from retour.cli.screen import counted, facts, progress, say, show_json, table

OUTCOMES_SHOWN = 20


def modifications(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    wanted = {"outcome": arguments.outcome, "batch": arguments.batch, "order_id": arguments.order}
    found = hub.items(f"/v1/programs/{program}/modifications", arguments.limit, **wanted)
    if arguments.json:
        show_json(found)
        return 0
    columns = ("id", "received_at", "channel", "source", "order_id", "change", "outcome", "code")
    rows = ((*(item.get(column) for column in columns), moved(item.get("effect"), "payout")) for item in found["items"])
    table((*columns, "payout before → after"), rows)
    more(found)
    return 0


def batches(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/batches"
    files = {what: getattr(arguments, what) for what in ("result", "rejected", "raw") if getattr(arguments, what)}
    if arguments.id:
        for what, target in files.items():
            save(hub, f"{path}/{quote(arguments.id, safe='')}/{what}", target)
        if files:
            return 0
        batch = hub.get(f"{path}/{quote(arguments.id, safe='')}")
        show_json(batch) if arguments.json else show_batch(batch)
        return 0
    if files:
        raise Usage("Of which batch? Name it: retour batches ID --result FILE")
    found = hub.items(path, arguments.limit, source=arguments.source)
    if arguments.json:
        show_json(found)
        return 0
    columns = ("id", "received_at", "channel", "source", "name", "state", "rows")
    rows = ((*(item.get(column) for column in columns), counted(item.get("counts") or {})) for item in found["items"])
    table((*columns, "counts"), rows)
    more(found)
    return 0


def save(hub: Hub, path: str, target: str) -> None:
    with progress("fetching"):
        body = hub.call("GET", path).body
    if target == "-":
        sys.stdout.buffer.write(body)
        return
    try:
        Path(target).write_bytes(body)
    except OSError as error:
        raise Usage(f"{target} cannot be written: {error.strerror}.") from error
    say(f"{target}: {len(body)} bytes.")


def show_batch(batch: Mapping[str, Any]) -> None:
    identity = batch.get("id") or batch.get("batch") or "dry run"
    dry = "nothing is written; it would be " if batch.get("dry_run") else ""
    state = batch.get("state", "done")
    if state == "dry run":
        state = "held" if batch.get("warnings") else "done"
    say(f"{batch.get('name') or identity}: {dry}{state}, {counted(batch.get('counts') or {})}.")
    if batch.get("explanation"):
        say(f"  {batch['explanation']}" + (f" [{batch['code']}]" if batch.get("code") else ""))
    if batch.get("first_counts"):
        say(f"  Then it was: {counted(batch['first_counts'])}.")
    known = [(name, batch.get(name)) for name in ("id", "channel", "source", "received_at", "answer")]
    facts([*known, ("skipped", ", ".join(f"{count} {what}" for what, count in (batch.get("skipped") or {}).items()))])
    show_preview(batch)
    outcomes = list(batch.get("outcomes") or ())
    if not outcomes:
        return
    # What failed comes first: it is what somebody has to do something about.
    outcomes.sort(key=lambda outcome: outcome.get("outcome") not in ("refused", "held", "waiting"))
    columns = ("record", "order_id", "outcome", "code")
    rows = (
        (
            *(row.get(column) for column in columns),
            moved(row.get("effect"), "amount"),
            moved(row.get("effect"), "payout") + by_other_basis(row),
            row.get("explanation"),
        )
        for row in outcomes[:OUTCOMES_SHOWN]
    )
    table((*columns, "amount before → after", "payout before → after", "explanation"), rows)
    total = sum((batch.get("counts") or {}).values()) or len(outcomes)
    if total > OUTCOMES_SHOWN:
        kept = batch.get("id") or batch.get("batch")
        all_of_them = f"retour batches {identity} --result FILE" if kept else "--json"
        say(f"… and {total - OUTCOMES_SHOWN} more: {all_of_them}")


def show_preview(batch: Mapping[str, Any]) -> None:
    """What it would come to for the partners, what is doubtful about it, and what a release changed of that."""
    preview = batch.get("preview") or batch
    for warning in preview.get("warnings") or ():
        say(f"  {warning['explanation']} [{warning['code']}]", style="yellow")
    if preview.get("counts") and preview is not batch:
        say(f"  It would be: {counted(preview['counts'])}.")
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
        table(("partner", "actions", "payout before", "after", "difference", ""), rows)
    if batch.get("differing") == 0:
        say("  Every row came out as the preview had shown.")
    elif "differing" in batch:
        say(f"  {batch['differing']} rows came out differently than the preview had shown.")
        table(
            ("record", "shown", "now"),
            (
                (row["record"], *(" ".join(filter(None, row[when].values())) for when in ("shown", "now")))
                for row in (batch.get("differs") or ())[:OUTCOMES_SHOWN]
            ),
        )


def by_other_basis(row: Mapping[str, Any]) -> str:
    """What the terms basis that was not agreed would pay, where that is something else."""
    other = row.get("other_basis")
    return f" ({other['basis']}: {other['payout']})" if other else ""


def moved(effect: Mapping[str, Any] | None, what: str) -> str:
    """`8.00 → 6.40 EUR`"""
    if not effect:
        return ""
    currency = effect.get("payout_currency", effect["currency"]) if what == "payout" else effect["currency"]
    return f"{effect[what]['before']} → {effect[what]['after']} {currency}"


def more(found: Mapping[str, Any]) -> None:
    if found.get("next"):
        say("… there are more: --limit 0 shows all.", style="dim")
