"""retour payout-accounts and tax-treatments: where partners are paid, and how they are taxed."""

import argparse
import sys

from retour.cli.client import UsageError
from retour.cli.hub import hub_and_program
from retour.cli.screen import echo, print_json, print_table


def accounts(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/payout-accounts"
    if arguments.iban is None:
        found = hub.get(path)
        columns = ("partner", "billing_group", "country", "account", "changed_at", "changed_by", "usable_from")
        rows = ([one.get(column, "") for column in columns] for one in found["items"])
        print_json(found) if arguments.json else print_table([name.replace("_", " ") for name in columns], rows)
        return 0
    if bool(arguments.partner) == bool(arguments.group):
        raise UsageError("Whose account is it? Say --partner P, or --group G for the account that a group pays from.")
    iban = sys.stdin.readline() if arguments.iban == "-" else arguments.iban
    owner = {"partner": arguments.partner} if arguments.partner else {"billing_group": arguments.group}
    said = {"holder": arguments.holder or "", "iban": iban.strip(), **({"bic": arguments.bic} if arguments.bic else {})}
    kept = hub.post(path, owner | said)
    if arguments.json:
        print_json(kept)
    else:
        what = "Kept" if kept["changed"] else "It is known already:"
        echo(f"{what} the account …{kept['account']} ({kept['country']}); paid to from {kept['usable_from']} on.")
    return 0


def treatments(arguments: argparse.Namespace) -> int:
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/tax-treatments"
    if arguments.treatment is None:
        found = hub.get(path)
        columns = ("partner", "treatment", "country", "tax_id", "changed_at", "changed_by")
        rows = ([one[column] for column in columns] for one in found["items"])
        print_json(found) if arguments.json else print_table([name.replace("_", " ") for name in columns], rows)
        return 0
    said = {"partner": arguments.partner, "treatment": arguments.treatment, "country": arguments.country}
    kept = hub.post(path, {name: value for name, value in said.items() if value} | (
        {"tax_id": arguments.tax_id} if arguments.tax_id else {}))  # fmt: skip
    print_json(kept) if arguments.json else echo(f"{kept['partner']}: {kept['treatment']}, {kept['country']}.")
    return 0
