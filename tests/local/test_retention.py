"""A day after everything was sent its bytes have ended; after a kill the hub is rebuilt from what was read of them."""

import json
import urllib.error
from datetime import timedelta
from pathlib import Path

import pytest
from tests.local.conftest import running_hub
from tests.local.test_hub import OWN_PROGRAM, action, ask, eventually, ledger, sftp

from retour.domain.times import format_instant, parse_instant

pytestmark = pytest.mark.xdist_group("hub")


def test_bytes_end_the_clock_goes_on_the_power_goes_and_the_ledger_is_the_same(tmp_path: Path) -> None:
    with running_hub(tmp_path) as hub:
        ask(hub, "PUT", "/v1/programs/shoes", {**OWN_PROGRAM, "raw_days": 1})
        ask(hub, "POST", "/v1/programs/shoes/actions", [action(f"R-{n}", "100.00") for n in range(3)])
        change = {"reference": "1", "order_id": "R-0", "change": "take_back", "amount": "10.00", "currency": "EUR",
                  "reason": "ITEM_RETURNED"}  # fmt: skip
        batch = ask(hub, "POST", "/v1/programs/shoes/modifications", change)["batch"]
        (tmp_path / "may.csv").write_text("reference,order_id,change,amount,currency\nf,R-1,take_back,25.00,EUR\n")
        hub.ready.update(json.loads((tmp_path / "ready.json").read_text()))
        sftp(hub, "shoes", "drop", f"put {tmp_path / 'may.csv'} may.csv")
        eventually(lambda: ledger(hub, "shoes").get("R-1~sale", {}).get("amount") == "75.00")
        assert ask(hub, "GET", f"/v1/programs/shoes/batches/{batch}/raw")
        now = parse_instant(ask(hub, "GET", "/local/clock")["now"])
        ask(hub, "POST", "/local/clock", {"to": format_instant(now + timedelta(days=3))})
        with pytest.raises(urllib.error.HTTPError) as gone:
            ask(hub, "GET", f"/v1/programs/shoes/batches/{batch}/raw")
        assert gone.value.code == 404
        before = ledger(hub, "shoes")
        assert {one["amount"] for one in before.values()} == {"90.00", "75.00", "100.00"}
        hub.kill()
    bodies = [
        path
        for path in (tmp_path / "data/aws/s3").rglob("*")
        if path.is_file() and b"R-1,take_back" in path.read_bytes()
    ]
    assert bodies == [], "no version of them is left on the disk"
    with running_hub(tmp_path) as hub:
        assert ledger(hub, "shoes") == before
        assert ask(hub, "POST", "/v1/programs/shoes/modifications", change)["counts"] == {"duplicate": 1}
