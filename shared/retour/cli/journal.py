"""retour journal and retour verify: what was booked, and the proof that everything kept of money agrees."""

import argparse

from retour.cli.hub import hub_and_program
from retour.cli.screen import echo, format_counts, print_json, print_table


def journal(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    found = hub.items(f"/v1/programs/{program}/journal", arguments.limit, account=arguments.account)
    if arguments.json:
        print_json(found)
        return 0
    rows = [
        (one["number"] if first else "", one["day"] if first else "", one["kind"] if first else "",
         one["cause"] if first else "", side["account"], side["amount"])
        for one in found["items"] for first, side in ((place == 0, side) for place, side in enumerate(one["amounts"]))
    ]  # fmt: skip
    print_table(("entry", "day", "what", "cause", "account", "amount"), rows)
    print_table(
        ("account", "amount"), ((one["account"], one["balance"]) for one in found["balances"]), title="Balances"
    )
    echo(f"{found['entries']} entries in {found['currency']}, booked until {found['booked_until'] or 'no day yet'}.")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """1: something differs; the first thing is told."""
    hub, program = hub_and_program(arguments)
    found = hub.get(f"/v1/programs/{program}/verify")
    if arguments.json:
        print_json(found)
    elif found["ok"]:
        echo(f"Everything agrees: {format_counts(found['checked'])}.", style="green")
    else:
        echo(found["difference"]["explanation"], style="red")
    return 0 if found["ok"] else 1
