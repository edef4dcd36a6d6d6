"""retour keys: what it takes to use each source, new keys, and the secrets that somebody else made."""

import argparse
import getpass
import json
import secrets
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from retour.cli.client import Hub, NoHub, Usage
from retour.cli.hub import hub_and_program, hub_of
from retour.cli.screen import say, show_json, table


def keys(arguments: argparse.Namespace) -> int:
    if arguments.install:
        return first_key(arguments.install)
    hub, program = hub_and_program(arguments)
    if arguments.create:
        made = hub_of(arguments).post(f"/v1/programs/{program}/keys", {"name": arguments.create})
        shown_once(made["key"], as_json=arguments.json)
        return 0
    if arguments.list:
        return listed(hub, program, arguments)
    if arguments.revoke:
        return revoke(hub_of(arguments), program, arguments)
    if arguments.rotate:
        return rotate(hub, program, arguments)
    if arguments.pgp:
        return key_pair(hub, program, arguments)
    if arguments.set:
        return hand_over(hub, program, arguments.source, arguments.set)
    known = hub.ready.get("programs", {}).get(program) or {"sources": hub.get(f"/v1/programs/{program}")["sources"]}
    if arguments.json:
        show_json(known)
        return 0
    if known.get("api_key"):
        say(f"API key of {program}: {known['api_key']}")
    rows = (row for name, access in known["sources"].items() for row in told(name, access))
    table(("source", "what", "value"), rows)
    if not hub.ready:
        say("Secrets were shown once, when the source was applied, and are not shown again.", style="dim")
    return 0


def told(name: str, access: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for what, value in access.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        if value not in (None, "", [], {}):
            yield name, what, shown


KEY_COLUMNS = ("id", "name", "tail", "made_at", "made_by", "last_used_at", "revoked_at")
SECRET_COLUMNS = ("what", "id", "tail", "made_at", "made_by", "last_used_at")


def listed(hub: Hub, program: str, arguments: argparse.Namespace) -> int:
    """What there is, and when it was last used: to be looked at before anything is revoked."""
    of_source = bool(arguments.source)
    found = hub.get(secrets_path(program, arguments.source) if of_source else f"/v1/programs/{program}/keys")
    if arguments.json:
        show_json(found)
    else:
        columns = SECRET_COLUMNS if of_source else KEY_COLUMNS
        table(columns, ([item.get(column) or "–" for column in columns] for item in found["items"]))
    return 0


def revoke(hub: Hub, program: str, arguments: argparse.Namespace) -> int:
    """For good: whoever still uses it is turned away."""
    path = f"/v1/programs/{program}/keys/{quote(arguments.revoke, safe='')}"
    if arguments.source:
        known = hub.get(secrets_path(program, arguments.source))["items"]
        what = next((item["what"] for item in known if item["id"] == arguments.revoke), None)
        if what is None:
            raise Usage(
                f"{arguments.source} has no secret {arguments.revoke}; retour keys --source S --list shows them."
            )
        path = f"{secrets_path(program, arguments.source)}/{what}/{quote(arguments.revoke, safe='')}"
    gone = hub.post(f"{path}/revoke", {})
    if arguments.json:
        show_json(gone)
    else:
        used = f"last used {gone['last_used_at']}" if gone.get("last_used_at") else "never used"
        say(f"{gone.get('name') or gone.get('what')} {gone['id']} is revoked ({used}).")
    return 0


def rotate(hub: Hub, program: str, arguments: argparse.Namespace) -> int:
    """A second secret: both are believed until the first is revoked."""
    if not arguments.source:
        raise Usage(f"Of which source? retour keys --source S --rotate {arguments.rotate}")
    made = hub.post(f"{secrets_path(program, arguments.source)}/{arguments.rotate}/rotate", {})
    if arguments.json:
        show_json(made)
        return 0
    for what, value in made.items():
        if what not in ("source", "what"):
            say(f"{what}: {value}")
    say("Keep it now, it is not shown again. Give it to the sender, then revoke the old one.", style="dim")
    return 0


def secrets_path(program: str, source: str) -> str:
    return f"/v1/programs/{program}/sources/{quote(source, safe='')}/secrets"


def hand_over(hub: Hub, program: str, source: str | None, what: str) -> int:
    """A secret comes from the keyboard or from standard input, never from the command line, which everybody sees."""
    if not source:
        raise Usage(f"Of which source? retour keys --source S --set {what}")
    if sys.stdin.isatty() and what == "password":
        value = getpass.getpass(f"{what} of {program}/{source}: ")
    else:
        value = sys.stdin.read().removesuffix("\n")
    if not value:
        raise Usage(f"Nothing came on standard input: retour keys --source {source} --set {what} < FILE")
    path = f"/v1/programs/{program}/sources/{quote(source, safe='')}/secret"
    answer = hub.call("PUT", path, json.dumps({what: [value] if what in LISTS else value}).encode()).document
    say(f"{source} now holds: {', '.join(answer['holds'])}.")
    return 0


def key_pair(hub: Hub, program: str, arguments: argparse.Namespace) -> int:
    """A further OpenPGP key of a source: the secret half stays with the hub, the public one is for the sender."""
    if not arguments.source:
        raise Usage("Of which source? retour keys --source S --pgp")
    made = hub.post(f"/v1/programs/{program}/sources/{quote(arguments.source, safe='')}/openpgp", {})
    if arguments.out:
        arguments.out.write_text(made["public_key"], "ascii")
    if arguments.json:
        show_json(made)
    elif arguments.out:
        say(f"{arguments.out}: the public key {made['fingerprint']}, for those who send files to {made['source']}.")
    else:
        sys.stdout.write(made["public_key"])
    return 0


LISTS = ("signing", "callback", "tokens")


def first_key(stack: str) -> int:
    """The key of whoever installed the stack: nobody has one yet who could make it, so it takes their AWS credentials.

    It is written as the hub itself writes keys: only its hash, in the ledger's table.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from retour.store.programs import ANY, Principal, Programs

    try:
        [described] = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", ())}
        if "LedgerTable" not in outputs:
            raise Usage(f"The stack {stack} is no Retour: it has no output LedgerTable.")
        key = f"rk_admin_{secrets.token_urlsafe(24)}"
        Programs(boto3.client("dynamodb"), outputs["LedgerTable"]).grant(key, Principal(ANY, "admin", "installation"))
    except (BotoCoreError, ClientError) as error:
        raise NoHub(f"AWS says: {error}") from error
    say(f"export RETOUR_URL={outputs['ApiUrl']}")
    say(f"export RETOUR_KEY={key}")
    return 0


def shown_once(key: str, *, as_json: bool) -> None:
    if as_json:
        show_json({"key": key})
    else:
        say(key)
        say("Keep it now: only its hash is stored, and it is not shown again.", style="dim")
