"""The parts of the demo that stand without a hub: the story, its arithmetic, and the merchant's server."""

import base64
import ftplib
import hashlib
import hmac
import io
import os
import ssl
import time
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from retour.cli.demo.run import SAMPLE
from retour.cli.demo.scenario import ReturnStatus, Scenario, find_differences, load_scenario
from retour.cli.demo.senders import SENDERS, sign
from retour.cli.demo.servers import MerchantServer, merchant_server

STORY: Scenario = load_scenario(SAMPLE / "expected.json")


def test_there_is_one_return_over_each_channel() -> None:
    assert sorted(each.channel for each in STORY.returns) == sorted(SENDERS)


@pytest.mark.parametrize("each", STORY.returns, ids=lambda each: each.channel)
def test_what_was_computed_by_hand_fits_what_is_reported(each: object) -> None:
    """8 % of each line, rounded once per line: what the partners are owed before anything comes back."""
    lines = [Decimal(item["amount"]) for item in each.action["items"]]  # type: ignore[attr-defined]
    owed = sum((line * 8 / 100).quantize(Decimal("0.01"), ROUND_HALF_UP) for line in lines)
    assert (str(sum(lines)), str(owed)) == (each.amount["before"], each.payout["before"])  # type: ignore[attr-defined]
    assert each.why  # type: ignore[attr-defined]


def test_whatever_is_not_as_computed_is_named() -> None:
    expected = STORY.returns[0]
    right = ReturnStatus(
        outcome="applied", state=expected.state, amount=expected.amount["after"], payout=expected.payout["after"],
        payout_before=expected.payout["before"], answer="in the response",
    )  # fmt: skip
    assert find_differences(expected, right) == []
    assert find_differences(expected, replace(right, payout="8.41")) == [
        "A-1001 by api: payout after is 8.41, not 8.40"
    ]
    assert len(find_differences(expected, ReturnStatus())) == 6


def test_a_call_is_signed_as_standard_webhooks_says() -> None:
    key = bytes(range(24))
    headers = sign("whsec_" + base64.b64encode(key).decode(), b'{"a":1}', 1_700_000_000)
    signed = f"{headers['webhook-id']}.1700000000.".encode() + b'{"a":1}'
    right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{right}"


def login(merchant: MerchantServer, password: str) -> ftplib.FTP_TLS:
    context = ssl.create_default_context(cadata=merchant.certificate_authority)
    client = ftplib.FTP_TLS(context=context, timeout=10)
    client.connect("127.0.0.1", merchant.port)
    client.login(merchant.user, password)
    client.prot_p()
    return client


def test_the_merchants_server_speaks_ftps_and_keeps_both_folders(tmp_path: Path) -> None:
    with merchant_server(tmp_path, "s3cret") as merchant:
        merchant.add_file("returns.csv", b"order_id\r\nA-1\r\n")
        client = login(merchant, "s3cret")
        fetched = io.BytesIO()
        client.retrbinary("RETR /out/returns.csv", fetched.write)
        assert fetched.getvalue() == b"order_id\r\nA-1\r\n"
        client.storbinary("STOR /in/result_returns.csv", io.BytesIO(b"line,outcome\r\n"))
        client.quit()
        assert (merchant.answers / "result_returns.csv").read_bytes() == b"line,outcome\r\n"
        assert time.time() - os.stat(merchant.out / "returns.csv").st_mtime > 3500
        with pytest.raises(ftplib.error_perm):
            login(merchant, "wrong")
    with pytest.raises(OSError):
        login(merchant, "s3cret")
