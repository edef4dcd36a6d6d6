"""retour program apply | new | list | show | check"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from retour.cli.client import UsageError
from retour.cli.hub import connect_hub, pick_only, program_ids, read_file
from retour.cli.keys import describe_access
from retour.cli.screen import echo, print_error, print_json, print_table, stdout_console

PROGRAM_LINE = re.compile(rb"""^[{\s]*["']?program["']?\s*:\s*["']?([a-z][a-z0-9-]{1,30})\b""", re.MULTILINE)


def apply(arguments: argparse.Namespace) -> int:
    """Send the file unchanged, so that the hub's errors refer to its lines."""
    body = read_file(arguments.file)
    found = PROGRAM_LINE.search(body)
    if found is None:
        parse_program(arguments.file, body)
        return 1
    name = found[1].decode()
    hub, query = connect_hub(arguments), {"leave_without_terms": arguments.leave_without_terms or None}

    def put(**more: Any) -> dict[str, Any]:
        media, path = media_type(arguments.file), f"/v1/programs/{name}"
        applied: dict[str, Any] = hub.call("PUT", path, body, query=query | more, content_type=media).document
        return applied

    asks = sys.stdin.isatty() and sys.stdout.isatty() and not arguments.yes
    if arguments.dry_run or asks:
        looked_at = put(dry_run=True)
        print_term_changes(looked_at)
        tell_subscriptions(looked_at)
        if arguments.dry_run or (looked_at.get("terms") and not confirm()):
            echo("Nothing was written.", style="dim")
            return 0
    applied = put()
    if not asks:
        print_term_changes(applied)
        tell_subscriptions(applied)
    print_applied(name, applied)
    return 0


def confirm() -> bool:
    return input("Apply it? [y/N] ").strip().lower() in ("y", "yes", "j", "ja", "o", "oui")


def print_term_changes(looked_at: Mapping[str, Any]) -> None:
    """Print whose terms change and when, and the effect on pending payouts at their next change."""
    terms, pending = looked_at.get("terms", ()), looked_at.get("pending")
    if terms:
        rows = [
            (
                one["event_type"],
                partner_names(one),
                first_day(one["from"]),
                terms_label(one["before"]),
                terms_label(one["after"]),
            )
            for one in terms
        ]
        print_table(("event type", "partners", "from", "instead of", "these terms"), rows, title="Whose terms change")
    if pending and pending["changed"]:
        rows = [(partner, *sums.values()) for partner, sums in pending["partners"].items()]
        title = f"{pending['changed']} of {pending['looked']} pending payouts would differ from their next change on"
        print_table(("partner", "now", "then", f"difference ({pending['currency']})"), rows, title=title)
        if not pending["complete"]:
            echo(f"Only the next {pending['looked']} to lock were looked at; more are pending.")
    if "statements" in looked_at:
        from retour.cli.statements import tell_coming

        tell_coming(looked_at["statements"])
    for one in looked_at.get("funding", ()):
        verdict, *others = one["sentences"]
        echo(f"Funding of {one['contract']}: {verdict}", style="red" if one["verdict"] == "unsafe" else "yellow")
        for sentence in others:
            echo(f"  {sentence}")


def tell_subscriptions(looked_at: Mapping[str, Any]) -> None:
    """Print the messages shops have to send, by the source's basis."""
    for one in looked_at.get("subscriptions", ()):
        echo(one["explanation"])


def first_day(moment: str | None) -> str:
    """The day on which terms begin; with the time unless it is midnight."""
    if moment is None:
        return "now"
    return moment[:10] if moment[10:19] == "T00:00:00" else moment


def partner_names(change: Mapping[str, Any]) -> str:
    if change["others"]:
        return "all others"
    more = change["partner_count"] - len(change["partners"])
    return ", ".join(change["partners"]) + (f" and {more} more" if more else "")


def terms_label(terms: Mapping[str, Any] | None) -> str:
    if terms is None:
        return "none"
    pays = terms["payout"] or f"{terms['rules']} rules"
    return f"{terms['name']} v{terms['version']} ({pays})"


def print_applied(name: str, applied: dict[str, Any]) -> None:
    """Print the version in force and the new secrets, which are shown only once."""
    same = "" if applied["changed"] else ", unchanged"
    echo(f"Program {name} is in force, version {applied['version']}{same}.", style="green")
    if applied.get("api_key"):
        echo(f"Its API key, shown this once: {applied['api_key']}")
    rows = [row for source, made in (applied.get("credentials") or {}).items() for row in describe_access(source, made)]
    if rows:
        echo("What its new sources need, shown this once:")
        print_table(("source", "what", "value"), rows)


def new(arguments: argparse.Namespace) -> int:
    """Create a program file. An existing one is kept."""
    from retour.setup.presets import program_text

    program = arguments.id or (arguments.file.stem if arguments.file else "my-program")
    path = arguments.file or Path(f"{program}.yaml")
    text = program_text(
        arguments.preset,
        program=program,
        name=json.dumps(arguments.name or program, ensure_ascii=False),
        currency=arguments.currency,
        time_zone=arguments.time_zone,
        valid_from=arguments.valid_from or f"{date.today():%Y}-01-01",
    )
    if parse_program(path, text.encode()) is None:
        return 1
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already; name another file with --file.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    echo(f"Wrote {path}, the program {program}. Now: retour program apply {path}", style="green")
    return 0


def list_programs(arguments: argparse.Namespace) -> int:
    found = connect_hub(arguments).items("/v1/programs", arguments.limit)
    if arguments.json:
        print_json(found)
    else:
        columns = ("program", "name", "currency", "time_zone", "version")
        print_table(columns, ([item.get(column) for column in columns] for item in found["items"]))
    return 0


def show(arguments: argparse.Namespace) -> int:
    hub = connect_hub(arguments)
    name = arguments.program or pick_only(program_ids(hub), "program", "PROGRAM")
    answer = hub.get(f"/v1/programs/{name}")
    if arguments.json or not sys.stdout.isatty():
        print_json(answer)
    else:
        stdout_console().print_json(data=answer)
    return 0


def check(arguments: argparse.Namespace) -> int:
    if parse_program(arguments.file, read_file(arguments.file)) is None:
        return 1
    echo(f"{arguments.file} is right.", style="green")
    return 0


def parse_program(path: Path, body: bytes) -> dict[str, Any] | None:
    """Parse a program. On errors prints a sentence per line, in the program's language, and returns None."""
    from retour.setup.program_file import language_of
    from retour.setup.program_file import parse_program as judged

    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8; save it as UTF-8.") from None
    document = judged(text)
    if isinstance(document, dict):
        return document
    language = language_of(text)
    for fault in document:
        print_error(f"{path}:{fault.located_message(language)}")
    return None


def media_type(path: Path) -> str:
    return "application/json" if path.suffix.lower() == ".json" else "application/yaml"
