"""The command line of `retour`. Commands are imported only when they run."""

import argparse
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from retour.money.presets import preset_names
from retour.setup.presets import presets

Command = Callable[[argparse.Namespace], int]

EXIT_CODES = "exit codes: 0 done, 1 refused or rows failed, 2 wrong usage"
PORT = 8400


def lazy_command(where: str) -> Command:
    """A command as `module:function` below retour.cli, imported when called."""
    module, name = where.split(":")

    def run(arguments: argparse.Namespace) -> int:
        function: Command = getattr(import_module(f"retour.cli.{module}"), name)
        return function(arguments)

    return run


def build_parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="retour",
        description="Retour, the returns hub for partner programs.",
        epilog=f"`retour COMMAND --help` explains each. {EXIT_CODES}.",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        name: str, where: str, summary: str, *parents: argparse.ArgumentParser, into: Any = None, more: str = ""
    ) -> Any:
        made = (into or commands).add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}. {more}".strip(),
            epilog=EXIT_CODES,
            parents=list(parents),
        )
        made.set_defaults(run=lazy_command(where))
        return made

    hub, program, listing = hub_options(), program_options(), listing_options()

    up = command("up", "up:up", "run the whole hub on this machine", more="Everything listens on 127.0.0.1 only.")
    up.add_argument("--port", type=port_number, default=PORT, help="of the API (default %(default)s)")
    up.add_argument("--data", metavar="DIR", default=".retour", help="where it keeps everything (default %(default)s)")
    up.add_argument("--now", metavar="ISO", help="run the business clock from this moment, e.g. 2026-11-21T12:00:00Z")
    up.add_argument("--ready-file", metavar="FILE", help="written when everything answers (default DIR/ready.json)")

    demo = command(
        "demo", "demo.run:demo", "show one return over each of the five channels, on this machine",
        more="It brings a hub up with data of its own and leaves it running until Ctrl-C.",
    )  # fmt: skip
    demo.add_argument("--exit", action="store_true", help="stop by itself; 0 only if every payout is the expected one")
    demo.add_argument(
        "--port", type=port_number, default=PORT, help="of the API; a free one if it is taken (default %(default)s)"
    )

    programs = commands.add_parser("program", help="apply, list, show, check and test programs", epilog=EXIT_CODES)
    program_commands = programs.add_subparsers(title="commands", metavar="COMMAND", required=True)
    apply = command("apply", "programs:apply", "put a program (YAML or JSON) into force", hub, into=program_commands)
    apply.add_argument("file", metavar="FILE", type=Path)
    apply.add_argument("--dry-run", action="store_true", help="only show whose terms change when, and what it does")
    apply.add_argument("--yes", action="store_true", help="on a terminal: apply it without asking")
    apply.add_argument(
        "--leave-without-terms", action="store_true", help="also where partners with open actions then have no terms"
    )
    new = command(
        "new", "programs:new", "write a program to begin with, which `check` finds right", into=program_commands,
        more="`retour program new --preset net-30 --file acme.yaml` writes the program `acme`; change what you need, "
        "then apply it.",
    )  # fmt: skip
    new.add_argument("--preset", choices=presets(), required=True, help="amazon-seller: locks 1 month and 2 days after "
                     "the month; net-30, net-45: so many days after the order")  # fmt: skip
    new.add_argument("--file", metavar="FILE", type=Path, help="where it is written (default: ID.yaml)")
    new.add_argument("--id", metavar="ID", help="of the program (default: the name of FILE, else my-program)")
    new.add_argument("--name", help="what people call it (default: the id)")
    new.add_argument("--currency", default="EUR", metavar="CODE", help="ISO 4217 (default %(default)s)")
    new.add_argument("--time-zone", default="Europe/Berlin", metavar="ZONE", help="IANA (default %(default)s)")
    new.add_argument("--valid-from", metavar="DAY", help="the first day of its terms (default: 1 January of this year)")
    command("list", "programs:list_programs", "list the programs", hub, listing, into=program_commands)
    show = command("show", "programs:show", "show a program as it was applied", hub, into=program_commands)
    show.add_argument("program", metavar="PROGRAM", nargs="?", default=os.environ.get("RETOUR_PROGRAM"))
    show.add_argument("--json", action="store_true", help="as JSON")
    check = command(
        "check", "check:check", "check a program file, or how a source would read a file of returns",
        hub, program, into=program_commands,
        more="Without --source: FILE is a program, checked line by line without any hub. With --source: FILE is a "
        "sample of returns; it is shown row by row as it would be read, and nothing is written.",
    )  # fmt: skip
    check.add_argument("file", metavar="FILE", type=Path)
    check.add_argument("--source", metavar="S", help="the source that would bring such a file")
    check.add_argument("--json", action="store_true", help="as JSON")

    test = command(
        "test", "connection_tests:test", "try the connection of sources for real, step by step", hub, program,
        into=program_commands,
        more="Nothing is fetched, deleted or applied. A source of channel email waits for a mail that you send.",
    )  # fmt: skip
    test.add_argument("source", metavar="SOURCE", nargs="*", help="(default: every source of the program)")
    test.add_argument("--no-wait", action="store_true", help="do not wait for a mail")
    test.add_argument("--json", action="store_true", help="the steps as JSON")

    report = command(
        "report", "deliveries:report", "report partner actions from a CSV or JSON file", hub, program,
        more="CSV: one row per line of the order, with the header action_id, order_id, event_type, partner, "
        "event_time, currency, sku, line, category, quantity, amount, promo_code, customer_status, parent, "
        "country, payment_method; "
        "only what is needed. JSON: one action or a list of them, as the API takes them.",
    )  # fmt: skip
    report.add_argument("file", metavar="FILE", type=Path)
    report.add_argument("--json", action="store_true", help="the outcomes as JSON")

    rates = command(
        "rates", "rates:rates", "send rates of foreign currencies, or show those that hold", hub, program,
        more="CSV: the header currency, from, until, rate; JSON: a list of objects with these names. A rate is what "
        "one unit is in the program's currency, from a day on until a newer one, or up to its own last day.",
    )  # fmt: skip
    rates.add_argument("file", metavar="FILE", type=Path, nargs="?", help="left out: the rates that hold are shown")
    rates.add_argument("--day", metavar="DAY", help="which day to show (default: today)")
    rates.add_argument("--dry-run", action="store_true", help="show what would happen, write nothing")
    rates.add_argument("--json", action="store_true", help="as JSON")

    funds = commands.add_parser(
        "funding", help="prove that the lock leaves time for the last return", epilog=EXIT_CODES
    )
    funding_commands = funds.add_subparsers(title="commands", metavar="COMMAND", required=True)
    proof = command(
        "check", "funding:check", "prove that a lock leaves time for the last return", hub, program,
        into=funding_commands,
        more="Every one of the 146,097 dates of the calendar is tried. Without figures: the contracts in force of a "
        "program. With --lock and --window: these figures, without any hub. Figures beside --contract take the place "
        "of what it says. Exit code 1: unsafe.",
    )  # fmt: skip
    proof.add_argument("--contract", metavar="C", help="of the program (default: every one)")
    proof.add_argument(
        "--lock", metavar="RULE", help="'1 month 2 days after month end' or '30 days after event'; ', at start': the "
        "lock falls at the start of its last day; ', not sticky': 28 February + 1 month = 28 March",
    )  # fmt: skip
    proof.add_argument("--window", metavar="DAYS", type=whole_number, help="in which the buyer may return it")
    proof.add_argument("--lag", metavar="DAYS", type=whole_number, help="until the sender reports that (default 0)")
    proof.add_argument("--cadence", metavar="DAYS", type=whole_number, help="between two deliveries (default 0)")
    proof.add_argument(
        "--skew", metavar="DAYS", type=whole_number, help="by which the sender's day ends later (default 0)"
    )
    proof.add_argument("--statement-day", metavar="DAY", type=whole_number, help="of the month, 1 to 28")
    proof.add_argument(
        "--paid", metavar="RULE", help="'at statement', '5 days after statement', 'next day', 'on the 15th', "
        "'20 days after month end' or 'at lock' (default: at the statement; without one the next day)",
    )  # fmt: skip
    proof.add_argument("--preset", choices=preset_names(), help="published figures to begin with")
    proof.add_argument("--json", action="store_true", help="as JSON")

    stated = command(
        "statements", "statements:statements", "list the statements, or show one with its lines", hub, program, listing,
        more="They are made by themselves on the statement day of each billing group.",
    )  # fmt: skip
    stated.add_argument("id", metavar="ID", nargs="?", help="of the statement, or its number")
    stated.add_argument("--csv", metavar="FILE", type=Path, help="save its lines")
    stated.add_argument("--partner", help="of this partner only")
    stated.add_argument("--group", metavar="G", help="of this billing group only")

    pay = command(
        "payments", "payments:payments", "pay: propose a batch, approve it, hand it out for the bank, confirm it", hub,
        program, listing,
        more="Without anything: the batches, the newest day first. `retour payments ID` shows one. `propose` makes one "
        "of what can be paid; somebody else of finance approves it; `export` writes the file for the bank; `confirm` "
        "says what became of each payment.",
    )  # fmt: skip
    pay.add_argument("act", metavar="ID | propose | approve | export | confirm", nargs="?")
    pay.add_argument("id", metavar="ID", nargs="?", help="of the batch, for approve, export and confirm")
    pay.add_argument("file", metavar="FILE", nargs="?", type=Path, help="for confirm: CSV or JSON of what became of it")
    pay.add_argument("--day", metavar="DAY", help="propose: when it is paid; confirm: when it was (default: today)")
    pay.add_argument("--group", metavar="G", help="propose: of this billing group only")
    pay.add_argument("--partner", action="append", metavar="P", help="propose: of this partner only; may be repeated")
    pay.add_argument("--dry-run", action="store_true", help="propose, confirm: only show what would happen")
    pay.add_argument("--format", choices=("pain001", "csv"), default="pain001", help="of export (default %(default)s)")
    pay.add_argument("--out", metavar="FILE", type=Path, help="export: where it is written (default: its own name)")
    pay.add_argument("--paid", action="store_true", help="confirm, without a file: all payments of the batch were paid")
    pay.add_argument("--failed", metavar="REASON", help="confirm, without a file: all of them failed, and why")

    booked = command(
        "journal", "journal:journal", "show what was booked, the newest first, and the balances", hub, program, listing,
        more="Double entry: each entry comes to 0, a debit is positive. Booked once a day is over.",
    )  # fmt: skip
    booked.add_argument(
        "--account", metavar="A", help="'commission expense', 'payable', 'payable:default:nordlicht', 'stated', "
        "'in payment:BATCH' or 'funding:default'; a beginning stands for all below it",
    )  # fmt: skip
    verify = command(
        "verify", "journal:verify", "compare journal, ledger, statements and payments", hub, program,
        more="Exit code 1: something differs; the first thing that does is told.",
    )  # fmt: skip
    verify.add_argument("--json", action="store_true", help="as JSON")

    accounts = command(
        "payout-accounts", "payees:accounts", "show payout accounts by their last four signs, or keep one", hub,
        program,
        more="With --iban: keep the account of a partner, or with --group the one that a billing group pays from.",
    )  # fmt: skip
    accounts.add_argument("--partner", metavar="P")
    accounts.add_argument("--group", metavar="G", help="the billing group that pays from it")
    accounts.add_argument("--holder", metavar="NAME", help="who it belongs to, as the bank knows them")
    accounts.add_argument("--iban", metavar="IBAN", help="`-`: read from standard input, so that no shell keeps it")
    accounts.add_argument("--bic", metavar="BIC", help="where the bank of the payer needs it")
    accounts.add_argument("--json", action="store_true", help="as JSON")

    taxes = command(
        "tax-treatments", "payees:treatments", "show how the commissions of partners are taxed, or say it of one", hub,
        program,
    )  # fmt: skip
    taxes.add_argument("--partner", metavar="P")
    taxes.add_argument(
        "--treatment", metavar="T", help="domestic_vat, reverse_charge, small_business, not_taxable or outside_eu"
    )
    taxes.add_argument("--country", metavar="CC", help="of the partner, two letters")
    taxes.add_argument("--tax-id", metavar="ID", help="the VAT id, where the treatment needs it")
    taxes.add_argument("--json", action="store_true", help="as JSON")

    groups = command(
        "billing-groups", "statements:billing_groups",
        "show the billing groups, and what their next two statements would hold", hub, program,
    )  # fmt: skip
    groups.add_argument("file", metavar="FILE", type=Path, nargs="?", help="a program, as if it were applied")
    groups.add_argument("--json", action="store_true", help="as JSON")

    send = command("send", "deliveries:send", "send a file of returns and wait for what becomes of it", hub, program)
    send.add_argument("file", metavar="FILE", type=Path)
    send.add_argument("--source", metavar="S", help="the source it comes from; not needed where only one fits")
    send.add_argument("--channel", choices=("api", "sftp", "email"), default="api", help="(default %(default)s)")
    send.add_argument("--dry-run", action="store_true", help="show what would happen, write nothing (api only)")
    send.add_argument("--no-wait", action="store_true", help="do not wait for the outcome")
    send.add_argument("--json", action="store_true", help="the batch as JSON")
    reach = send.add_argument_group("where a hub in the cloud takes files and mail (a local hub is known)")
    reach.add_argument("--host", metavar="HOST[:PORT]", help="SFTP or SMTP server")
    reach.add_argument("--user", help="SFTP user")
    reach.add_argument("--identity", metavar="KEYFILE", help="private key of the SFTP user")
    reach.add_argument("--to", metavar="ADDRESS", help="mail address of the source")
    reach.add_argument("--from", metavar="ADDRESS", dest="sender", help="your mail address")

    pull = command("pull", "deliveries:pull", "visit the merchant's own server now instead of tonight", hub, program)
    pull.add_argument("--source", metavar="S", help="the source to visit (default: every one of channel pull)")
    pull.add_argument("--no-wait", action="store_true", help="do not wait for what is found")
    pull.add_argument("--json", action="store_true", help="the batches as JSON")

    which = filter_options()
    actions = command(
        "actions",
        "actions:actions",
        "list the actions, or show one with its whole history",
        hub,
        program,
        listing,
        which,
    )
    actions.add_argument("id", metavar="ID", nargs="?", help="an action id or an order id")
    actions.add_argument("--as-of", metavar="ISO", help="one as it stood at that moment")

    acts = commands.add_parser("act", help="approve, reverse, modify actions and more", epilog=EXIT_CODES)
    act_commands = acts.add_subparsers(title="acts", metavar="ACT", required=True)
    for name, (summary, *options) in ACTS.items():
        act = command(name, "acts:act", summary, hub, program, which, into=act_commands)
        act.add_argument("ids", metavar="ID", nargs="*", help="of the action; several, or filters instead, at once")
        for option in ("--reason", "--note", "--disposition", *options):
            act.add_argument(option, **ACT_OPTIONS.get(f"{name} {option}", ACT_OPTIONS.get(option, {})))
        act.add_argument("--dry-run", action="store_true", help="show what each partner would get; write nothing")
        act.add_argument("--json", action="store_true", help="as JSON")
        act.set_defaults(act=name, **{one: None for one in ACT_VALUES if f"--{one.replace('_', '-')}" not in options})

    modifications = command(
        "modifications", "ledger:modifications", "list the modification records", hub, program, listing
    )
    modifications.add_argument("--outcome", help="applied, refused, waiting, held, duplicate, unchanged or superseded")
    modifications.add_argument("--batch", metavar="ID", help="of this delivery only")
    modifications.add_argument("--order", metavar="ID", help="of this order only")

    batches = command(
        "batches", "ledger:batches", "list the deliveries, or show one with its rows", hub, program, listing
    )
    batches.add_argument("id", metavar="ID", nargs="?")
    batches.add_argument("--source", metavar="S", help="of this source only")
    batches.add_argument("--result", metavar="FILE", help="save the result file of the batch (`-`: to the screen)")
    batches.add_argument("--rejected", metavar="FILE", help="save the refused rows, to be corrected and sent again")
    batches.add_argument("--raw", metavar="FILE", help="save what the sender sent, byte for byte")

    for name, summary in (
        ("undo", "undo a modification, or all of a batch"),
        ("release", "release a held batch or row"),
        ("discard", "drop a held batch or row for good"),
    ):
        decision = command(name, f"acts:{name}", summary, hub, program)
        decision.add_argument("id", metavar="ID", help="of the modification or the batch")
        decision.add_argument("--reason", help="one of the program's reasons")
        decision.add_argument("--note", help="for those who look later")
        decision.add_argument("--dry-run", action="store_true", help="show what would happen, write nothing")
        decision.add_argument("--json", action="store_true", help="as JSON")

    correct = command(
        "correct", "decisions:correct", "send refused rows of a batch again as they should have been", hub, program
    )
    correct.add_argument("id", metavar="BATCH", help="whose rows were refused")
    correct.add_argument("--row", metavar="PLACE", help="the row, as `retour batches` names it; with --field")
    correct.add_argument(
        "--field", metavar="COLUMN=VALUE", action="append", default=[], help="what it should say; several at once"
    )
    correct.add_argument(
        "--set", metavar=("COLUMN", "OLD", "NEW"), nargs=3, help="in every refused row that says OLD, NEW in its place"
    )
    correct.add_argument("--dry-run", action="store_true", help="show what would happen, write nothing")
    correct.add_argument("--json", action="store_true", help="as JSON")

    keys = command(
        "keys", "keys:keys", "show what it takes to use each source; make, list, rotate, revoke keys and secrets",
        hub, program,
    )  # fmt: skip
    keys.add_argument("--create", metavar="NAME", help="make a further API key of the program; it is shown once")
    keys.add_argument(
        "--role", choices=("merchant", "finance"), default="merchant",
        help="of the key to create; finance: for a person who approves payments (default %(default)s)",
    )  # fmt: skip
    keys.add_argument(
        "--install", metavar="STACK", help="make the first admin key of a deployed stack, with your AWS credentials"
    )
    keys.add_argument(
        "--list", action="store_true", help="the API keys, or with --source its secrets, with their last use"
    )
    keys.add_argument("--revoke", metavar="ID", help="end a key, or with --source one of its secrets, for good")
    keys.add_argument(
        "--rotate", choices=("signing", "callback", "tokens"), help="make a second secret of --source; shown once"
    )
    keys.add_argument("--source", metavar="S", help="the source whose secret it is")
    keys.add_argument(
        "--set",
        choices=(
            "password",
            "private_key",
            "signing",
            "callback",
            "tokens",
            "access_token",
            "consumer_key",
            "consumer_secret",
        ),
        help="read it from the keyboard or a pipe",
    )
    keys.add_argument(
        "--pgp", action="store_true", help="make an OpenPGP key pair for the source's files; the public half is shown"
    )
    keys.add_argument("--out", type=Path, metavar="FILE", help="write the public key of --pgp there")
    keys.add_argument("--json", action="store_true", help="as JSON")

    lists = command(
        "lists", "lists:lists", "show a program's named lists, or upload a file as one", hub, program,
        more="A list is a text with one SKU, category or code a line, exact or with a star at the end; at most 20,000. "
        "Rules name it as {list: NAME}. What is uploaded again replaces it from then on; nothing booked changes.",
    )  # fmt: skip
    lists.add_argument("name", metavar="NAME", nargs="?", help="show its entries")
    lists.add_argument("--put", metavar="FILE", type=Path, help="upload this file as the list NAME")
    lists.add_argument("--dry-run", action="store_true", help="show whose terms change, write nothing")
    lists.add_argument("--json", action="store_true", help="as JSON")

    clock = command(
        "clock", "clock:clock", "show the business clock of a local hub, or advance it", hub,
        more="`retour clock`, `retour clock advance 31d`, `retour clock advance --to 2026-12-24T09:00:00Z`. "
        "Receipts, locks and countdowns follow it; signatures, TLS and tokens keep the real one.",
    )  # fmt: skip
    clock.add_argument("what", nargs="?", choices=("show", "advance"), default="show", help="(default %(default)s)")
    clock.add_argument("by", metavar="DURATION", nargs="?", help="such as 31d, 12h, 90m or 1d12h")
    clock.add_argument("--to", metavar="ISO", help="to this moment instead")
    clock.add_argument("--json", action="store_true", help="as JSON")

    forget = command(
        "forget", "decisions:forget", "end the bodies that speak of an order, or that name a customer", hub, program,
    )  # fmt: skip
    whom = forget.add_mutually_exclusive_group(required=True)
    whom.add_argument("--order", metavar="ID", help="an order id")
    whom.add_argument("--customer", metavar="TEXT", help="a name, mail address or number as it stands in what was sent")
    forget.add_argument("--json", action="store_true", help="as JSON")

    redrive = command("redrive", "decisions:redrive", "try again what had failed and was put aside", hub)
    redrive.add_argument("--json", action="store_true", help="as JSON")

    refold = command(
        "refold", "refold:refold", "fold open actions anew that older rules booked otherwise", hub, program,
        more="What is final or locked stays as it was booked. `retour doctor` says whether there is anything to do.",
    )  # fmt: skip
    refold.add_argument("--dry-run", action="store_true", help="show the difference in money; write nothing")
    refold.add_argument("--json", action="store_true", help="as JSON")

    doctor = command("doctor", "doctor:doctor", "check everything in reach, and say what to do", hub)
    doctor.add_argument("--mail", action="store_true", help="show the mails that a local hub has sent")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    return top


ACTS: dict[str, tuple[str, ...]] = {
    "approve": ("mark actions for locking; one that is reversed is restored",),
    "reverse": ("reverse actions, or one item of them", "--sku", "--line"),
    "modify": (
        "change what is left of an action or an item",
        "--change", "--amount", "--currency", "--quantity", "--sku", "--line",
    ),
    "restore": ("bring back what was reversed", "--sku", "--line"),
    "reattribute": ("give actions to another partner", "--partner-to"),
    "undo": ("undo a record of an action; without --record its newest change", "--record"),
    "reprice": ("price actions by the newest terms",),
    "status": ("say which status an order has", "--to"),
    "raise-limit": ("let one action be changed more often than 1,000 times", "--to"),
}  # fmt: skip
ACT_VALUES = ("change", "sku", "line", "amount", "currency", "quantity", "partner_to", "to", "record")
ACT_OPTIONS: dict[str, dict[str, Any]] = {
    "--reason": {"help": "one of the program's reasons; a reversal needs one"},
    "--note": {"help": "for those who look later"},
    "--disposition": {"help": "the merchant's own code"},
    "--change": {
        "choices": ("set_total", "set_quantity", "take_back"), "required": True, "help": "what the values mean",
    },
    "--amount": {"metavar": "20.00", "help": "in the currency of the sale"},
    "--quantity": {"metavar": "N"},
    "--partner-to": {"metavar": "PARTNER", "required": True, "help": "whose it is from now on"},
    "--to": {"metavar": "STATUS", "required": True},
    "raise-limit --to": {"metavar": "N", "required": True, "help": "1,001 to 2,000"},
    "--record": {"metavar": "ID", "help": "of the modification"},
}  # fmt: skip


def filter_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("which actions")
    group.add_argument("--partner", help="of this partner only")
    group.add_argument("--state", choices=("pending", "approved", "reversed", "locked"), help="in this state only")
    group.add_argument("--event-type", metavar="TYPE", help="of this event type only")
    group.add_argument("--locks-after", metavar="DAY", help="that lock on this day or later, e.g. 2026-11-30")
    group.add_argument("--locks-before", metavar="DAY", help="that lock before this day")
    return options


def hub_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("which hub (default: the local one that is running)")
    group.add_argument("--url", default=os.environ.get("RETOUR_URL"), help="its address, or RETOUR_URL")
    group.add_argument("--key", default=os.environ.get("RETOUR_KEY"), help="a key of it, or RETOUR_KEY")
    group.add_argument("--ready-file", metavar="FILE", help="the ready-file of a local hub")
    group.add_argument("--data", metavar="DIR", help="the data folder of a local hub (default .retour)")
    return options


def program_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--program", metavar="P", default=os.environ.get("RETOUR_PROGRAM"),
        help="the program, or RETOUR_PROGRAM; not needed where there is only one",
    )  # fmt: skip
    return options


def listing_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--json", action="store_true", help="as JSON")
    options.add_argument("--limit", type=whole_number, default=50, help="at most so many; 0: all (default %(default)s)")
    return options


def port_number(text: str) -> int:
    number = whole_number(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; 1 to 65535 is right")
    return number


def whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)
