"""Keys and secrets outlive an AWS that forgot them."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from local.deploy import client
from local.secrets import StoredSecrets, Vault, hash_key, load, public_half, save
from retour.store.programs import Principal

DOCUMENTS = {
    "acme": {
        "sources": {
            "orders": {"channel": "api"},
            "shop": {"channel": "api", "kind": "shopify"},
            "erp": {"channel": "pull"},
            "mail": {"channel": "email"},
            "crm": {"channel": "salesforce"},
            "warehouse": {"channel": "sftp"},
        }
    }
}


@pytest.fixture
def vault(aws: str) -> Vault:
    dynamodb, manager = client("dynamodb", aws), client("ssm", aws)
    forget(dynamodb, manager)
    return Vault("keys", "/retour/test/", dynamodb, manager)


def forget(dynamodb: Any, manager: Any) -> None:
    if "keys" in dynamodb.list_tables()["TableNames"]:
        dynamodb.delete_table(TableName="keys")
    dynamodb.create_table(
        TableName="keys",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("PK", "SK")],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
    )
    for parameter in manager.get_parameters_by_path(Path="/retour/", Recursive=True)["Parameters"]:
        manager.delete_parameter(Name=parameter["Name"])


def opened(vault: Vault, key: str) -> Any:
    item = {"PK": {"S": f"K#{hash_key(key)}"}, "SK": {"S": "K"}}
    found = vault.dynamodb.get_item(TableName=vault.table, Key=item)
    return json.loads(found["Item"]["doc"]["S"]) if "Item" in found else None


def test_every_source_gets_what_its_channel_needs(vault: Vault) -> None:
    kept = vault.sync(StoredSecrets(admin_key="rk_admin_x"), DOCUMENTS)
    orders = vault.source(kept, "acme", "orders")["signing"][0]
    assert len(base64.b64decode(orders.removeprefix("whsec_"), validate=True)) == 32
    assert len(vault.source(kept, "acme", "shop")["signing"][0]) == 64
    assert len(vault.source(kept, "acme", "erp")["password"]) >= 22
    token = vault.source(kept, "acme", "mail")["tokens"][0]
    assert len(token) == 26 and token == token.lower() and token.isalnum()
    crm = vault.source(kept, "acme", "crm")
    assert len(crm["tokens"][0]) >= 22 and "BEGIN PUBLIC KEY" in public_half(crm["private_key"])
    assert vault.source(kept, "acme", "warehouse") == {}
    told = opened(vault, kept.programs["acme"])
    assert (told["program"], told["role"], told["name"]) == ("acme", "merchant", "local hub")
    assert told["tail"] == kept.programs["acme"][-4:]


def test_what_exists_is_left_as_it_is(vault: Vault) -> None:
    vault.put_secret("/retour/test/acme/erp", '{"password": "theirs"}')
    vault.put_secret("/retour/other/acme/erp", "{}")
    kept = vault.sync(StoredSecrets(admin_key="rk_admin_x"), DOCUMENTS)
    assert vault.source(kept, "acme", "erp") == {"password": "theirs"}
    assert all(name.startswith("/retour/test/") for name in kept.sources)
    assert vault.sync(kept, DOCUMENTS) == kept


def test_a_salesforce_source_with_tokens_alone_gets_its_key(vault: Vault) -> None:
    vault.put_secret("/retour/test/acme/crm", '{"tokens": ["abc"]}')
    crm = vault.source(vault.sync(StoredSecrets(admin_key="rk_admin_x"), DOCUMENTS), "acme", "crm")
    assert crm["tokens"] == ["abc"] and "private_key" in crm


def test_after_a_kill_the_same_keys_open_the_same(vault: Vault, tmp_path: Path) -> None:
    kept = vault.sync(load(tmp_path / "secrets.json"), DOCUMENTS)
    vault.add_key("rk_acme_given_to_somebody", Principal("acme", "merchant", "shop"))
    kept = vault.sync(kept, DOCUMENTS)
    save(tmp_path / "secrets.json", kept)
    forget(vault.dynamodb, vault.manager)
    again = load(tmp_path / "secrets.json")
    vault.restore(again)
    assert vault.sync(again, DOCUMENTS).sources == kept.sources
    assert opened(vault, "rk_acme_given_to_somebody")["name"] == "shop"
    assert opened(vault, kept.programs["acme"])["program"] == "acme"
    assert opened(vault, kept.admin_key)["program"] == "*"


def test_the_file_is_for_its_owner_alone_and_holds_no_key_of_others(vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    vault.add_key("rk_acme_given_to_somebody", Principal("acme", "merchant", "shop"))
    save(path, vault.sync(load(path), DOCUMENTS))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "rk_acme_given_to_somebody" not in path.read_text()
    assert list(tmp_path.iterdir()) == [path]
