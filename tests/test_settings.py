"""Settings are read once; what is missing is named all at once, and every function is given what it needs."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from retour.settings import REQUIRED, Service, SettingsError, SignIn, read_settings

ROOT = Path(__file__).resolve().parents[1]
NEEDED = {"STACK": "retour", "LEDGER_TABLE": "ledger", "INBOX_BUCKET": "inbox"}


def test_everything_missing_is_named_at_once() -> None:
    with pytest.raises(SettingsError, match="STACK is missing, INBOX_BUCKET is missing"):
        read_settings({"LEDGER_TABLE": "ledger"})


@pytest.mark.parametrize("name", ["CLOCK_OFFSET_SECONDS", "CALLS_PER_SECOND"])
def test_a_number_that_is_none_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be a number, got 'soon'"):
        read_settings({**NEEDED, name: "soon"})


def test_every_name_has_its_field() -> None:
    given = {
        "API_URL": "https://hub.example",
        "ANSWERS_QUEUE": "https://sqs/answers",
        "ANSWERS_DEAD_QUEUE": "https://sqs/dead",
        "PULLS_QUEUE": "",
        "CLOCK_OFFSET_SECONDS": "-90.5",
        "KEEP_ENVELOPES": "1",
        "ALLOW_PRIVATE_HOSTS": "0",
        "OUTWARD": "off",
        "CALLS_PER_SECOND": "25",
        "ECB_CONNECT": "127.0.0.1:1",
        "ECB_CA": "/ca.pem",
        "SIGN_IN_ISSUER": "https://issuer",
        "SIGN_IN_CLIENT": "client",
        "SIGN_IN_URL": "https://sign-in",
    }
    settings = read_settings({**NEEDED, **given})
    assert settings.queues == {"answers": "https://sqs/answers", "answers_dead": "https://sqs/dead"}
    assert settings.clock_offset == timedelta(seconds=-90.5)
    assert (settings.is_local, settings.allow_private_hosts, settings.outward) == (True, False, False)
    assert (settings.calls_per_second, settings.ecb) == (25, Service("127.0.0.1:1", "/ca.pem"))
    assert settings.sign_in == SignIn("https://issuer", "client", "https://sign-in")
    assert read_settings(NEEDED).outward


def test_the_template_gives_every_function_what_is_required_and_nothing_unread() -> None:
    """Names that only botocore, Powertools or the interpreter read are theirs."""
    source = (ROOT / "shared/retour/settings.py").read_text()
    template = (ROOT / "template.yaml").read_text()
    globals_ = template.partition("Variables:")[2].partition("\nResources:")[0]
    assert all(f"{name}: " in globals_ for name in REQUIRED)
    given = set(re.findall(r"^ {8,12}([A-Z][A-Z_]+): ", template, re.M))
    services = {
        f"{name}_{part}" for name in ("SALESFORCE", "BIGCOMMERCE", "WOOCOMMERCE", "ECB") for part in ("CONNECT", "CA")
    }
    unread = {
        name
        for name in given
        if f'"{name}"' not in source and not name.endswith("_QUEUE") and not name.startswith("POWERTOOLS_")
    }
    assert unread - services <= {"PYTHONNODEBUGRANGES"}, unread
