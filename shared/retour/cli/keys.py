"""retour keys: the settings for each sender, new keys, and secrets generated elsewhere."""

import argparse
import getpass
import json
import secrets
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from retour.cli.client import HubClient, HubUnreachableError, UsageError
from retour.cli.hub import connect_hub, hub_and_program
from retour.cli.screen import echo, print_json, print_table


def keys(arguments: argparse.Namespace) -> int:
    if arguments.install:
        return create_first_key(arguments.install)
    hub, program = hub_and_program(arguments)
    if arguments.create:
        made = connect_hub(arguments).post(f"/v1/programs/{program}/keys", key_request(arguments))
        print_key_once(made["key"], as_json=arguments.json)
        return 0
    if arguments.list:
        return print_keys(hub, program, arguments)
    if arguments.revoke:
        return revoke_key(connect_hub(arguments), program, arguments)
    if arguments.rotate:
        return rotate_secret(hub, program, arguments)
    if arguments.pgp:
        return create_key_pair(hub, program, arguments)
    if arguments.set:
        return set_secret(hub, program, arguments.source, arguments.set)
    known = hub.ready.get("programs", {}).get(program) or {"sources": hub.get(f"/v1/programs/{program}")["sources"]}
    if arguments.json:
        print_json(known)
        return 0
    if known.get("api_key"):
        echo(f"API key of {program}: {known['api_key']}")
    rows = (row for name, access in known["sources"].items() for row in describe_access(name, access))
    print_table(("source", "what", "value"), rows)
    if not hub.ready:
        echo("Secrets were shown once, when the source was applied, and are not shown again.", style="dim")
    return 0


def key_request(arguments: argparse.Namespace) -> dict[str, str]:
    role = {"role": arguments.role} if arguments.role != "merchant" else {}
    return {"name": arguments.create, **role}


def describe_access(name: str, access: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for what, value in access.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        if value not in (None, "", [], {}):
            yield name, what, shown


KEY_COLUMNS = ("id", "name", "tail", "made_at", "made_by", "last_used_at", "revoked_at")
SECRET_COLUMNS = ("what", "id", "tail", "made_at", "made_by", "last_used_at")


def print_keys(hub: HubClient, program: str, arguments: argparse.Namespace) -> int:
    """List keys and secrets with their last use, for review before revoking one."""
    of_source = bool(arguments.source)
    found = hub.get(secrets_path(program, arguments.source) if of_source else f"/v1/programs/{program}/keys")
    if arguments.json:
        print_json(found)
    else:
        columns = SECRET_COLUMNS if of_source else KEY_COLUMNS
        print_table(columns, ([item.get(column) or "–" for column in columns] for item in found["items"]))
    return 0


def revoke_key(hub: HubClient, program: str, arguments: argparse.Namespace) -> int:
    """Revoke a key permanently."""
    path = f"/v1/programs/{program}/keys/{quote(arguments.revoke, safe='')}"
    if arguments.source:
        known = hub.get(secrets_path(program, arguments.source))["items"]
        what = next((item["what"] for item in known if item["id"] == arguments.revoke), None)
        if what is None:
            raise UsageError(
                f"{arguments.source} has no secret {arguments.revoke}; retour keys --source S --list shows them."
            )
        path = f"{secrets_path(program, arguments.source)}/{what}/{quote(arguments.revoke, safe='')}"
    gone = hub.post(f"{path}/revoke", {})
    if arguments.json:
        print_json(gone)
    else:
        used = f"last used {gone['last_used_at']}" if gone.get("last_used_at") else "never used"
        echo(f"{gone.get('name') or gone.get('what')} {gone['id']} is revoked ({used}).")
    return 0


def rotate_secret(hub: HubClient, program: str, arguments: argparse.Namespace) -> int:
    """Add a second secret. Both are valid until the first is revoked."""
    if not arguments.source:
        raise UsageError(f"Of which source? retour keys --source S --rotate {arguments.rotate}")
    made = hub.post(f"{secrets_path(program, arguments.source)}/{arguments.rotate}/rotate", {})
    if arguments.json:
        print_json(made)
        return 0
    for what, value in made.items():
        if what not in ("source", "what"):
            echo(f"{what}: {value}")
    echo("Keep it now, it is not shown again. Give it to the sender, then revoke the old one.", style="dim")
    return 0


def secrets_path(program: str, source: str) -> str:
    return f"/v1/programs/{program}/sources/{quote(source, safe='')}/secrets"


def set_secret(hub: HubClient, program: str, source: str | None, what: str) -> int:
    """Read a secret from the terminal or standard input, never from arguments, which other users can see."""
    if not source:
        raise UsageError(f"Of which source? retour keys --source S --set {what}")
    if sys.stdin.isatty() and what == "password":
        value = getpass.getpass(f"{what} of {program}/{source}: ")
    else:
        value = sys.stdin.read().removesuffix("\n")
    if not value:
        raise UsageError(f"Nothing came on standard input: retour keys --source {source} --set {what} < FILE")
    path = f"/v1/programs/{program}/sources/{quote(source, safe='')}/secret"
    answer = hub.call("PUT", path, json.dumps({what: [value] if what in LIST_SECRETS else value}).encode()).document
    echo(f"{source} now holds: {', '.join(answer['holds'])}.")
    return 0


def create_key_pair(hub: HubClient, program: str, arguments: argparse.Namespace) -> int:
    """Create an OpenPGP key pair. The secret key stays in the hub, the public one is for the sender."""
    if not arguments.source:
        raise UsageError("Of which source? retour keys --source S --pgp")
    made = hub.post(f"/v1/programs/{program}/sources/{quote(arguments.source, safe='')}/openpgp", {})
    if arguments.out:
        arguments.out.write_text(made["public_key"], "ascii")
    if arguments.json:
        print_json(made)
    elif arguments.out:
        echo(f"{arguments.out}: the public key {made['fingerprint']}, for those who send files to {made['source']}.")
    else:
        sys.stdout.write(made["public_key"])
    return 0


LIST_SECRETS = ("signing", "callback", "tokens")


def create_first_key(stack: str) -> int:
    """Create the first admin key of a stack with the AWS credentials of whoever installed it.

    It is stored like all keys: only its hash, in the ledger's table.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from retour.store.programs import ANY_PROGRAM, Principal, Programs

    try:
        [described] = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", ())}
        if "LedgerTable" not in outputs:
            raise UsageError(f"The stack {stack} is no Retour: it has no output LedgerTable.")
        key = f"rk_admin_{secrets.token_urlsafe(24)}"
        Programs(boto3.client("dynamodb"), outputs["LedgerTable"]).grant(
            key, Principal(ANY_PROGRAM, "admin", "installation")
        )
    except (BotoCoreError, ClientError) as error:
        raise HubUnreachableError(f"AWS says: {error}") from error
    echo(f"export RETOUR_URL={outputs['ApiUrl']}")
    echo(f"export RETOUR_KEY={key}")
    return 0


def print_key_once(key: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"key": key})
    else:
        echo(key)
        echo("Keep it now: only its hash is stored, and it is not shown again.", style="dim")
