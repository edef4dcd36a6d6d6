"""Files by SFTP at the whole hub, with an OpenSSH client: renamed, written over, removed, and with events lost."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.local.conftest import RunningHub, running_hub
from tests.local.test_hub import OWN_PROGRAM, action, ask, eventually, sftp

from local.data_folder import load_aws_key
from local.deploy import ARRIVALS_AT_ONCE, Endpoint, client

pytestmark = pytest.mark.xdist_group("hub")
P = "/v1/programs/shoes"
ROW = "order_id,change,amount,currency\n{order},take_back,{amount},EUR\n"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """Its SFTP server's events are as unreliable as those of the cloud may be."""
    os.environ["RETOUR_WHIMS"] = "11"
    try:
        home = tmp_path_factory.mktemp("arrival")
        with running_hub(home) as hub:
            ask(hub, "PUT", P, {**OWN_PROGRAM})
            eventually(lambda: "shoes" in json.loads((home / "ready.json").read_text())["programs"])
            hub.ready = json.loads((home / "ready.json").read_text())
            ask(hub, "POST", f"{P}/actions", [action(f"O-{n}", "100.00") for n in range(60)])
            yield hub
    finally:
        del os.environ["RETOUR_WHIMS"]


def file(tmp_path: Path, order: int, amount: str) -> Path:
    path = tmp_path / f"{order}-{amount}.csv"
    path.write_text(ROW.format(order=f"O-{order}", amount=amount))
    return path


def left(hub: RunningHub, order: int) -> str:
    return str(ask(hub, "GET", f"{P}/actions/O-{order}~sale")["amount"])


def batches(hub: RunningHub, name: str) -> list[dict[str, Any]]:
    return [one for one in ask(hub, "GET", f"{P}/batches?source=drop")["items"] if one["name"] == name]


@pytest.mark.parametrize(
    ("order", "working"),
    enumerate(["{}.uploading", "{}.partial", "{}.new", "_{}", "in.{}", ".{}", "{}.part"]),
)
def test_d1_renamed_at_once(hub: RunningHub, tmp_path: Path, order: int, working: str) -> None:
    name = f"d1-{order}.csv"
    sftp(hub, "shoes", "drop", f"put {file(tmp_path, order, '10.00')} {working.format(name)}",
         f"rename {working.format(name)} {name}")  # fmt: skip
    eventually(lambda: left(hub, order) == "90.00")
    time.sleep(2)
    assert [one["state"] for one in batches(hub, name)] == ["done"] and left(hub, order) == "90.00"


def test_d2_written_over_four_times(hub: RunningHub, tmp_path: Path) -> None:
    paths = [file(tmp_path, 10 + n, f"{10 + n}.00") for n in range(5)]
    sftp(hub, "shoes", "drop", *[f"put {path} daily.csv" for path in paths])
    eventually(lambda: all(left(hub, 10 + n) == f"{90 - n}.00" for n in range(5)), 150)
    assert len(batches(hub, "daily.csv")) == 5


def test_a_burst_of_uploads_has_a_few_workers(hub: RunningHub, tmp_path: Path) -> None:
    """Each upload is told twice, and each worker is a process: thirty of them before what landed had a queue."""
    burst, most = range(40, 55), [0]
    ended = threading.Event()

    def count() -> None:
        while not ended.wait(0.05):
            most[0] = max(most[0], len(workers_of(hub, "FileDrop")))

    counting = threading.Thread(target=count)
    counting.start()
    try:
        sftp(hub, "shoes", "drop", *[f"put {file(tmp_path, n, '10.00')} burst-{n}.csv" for n in burst])
        eventually(lambda: all(left(hub, n) == "90.00" for n in burst))
    finally:
        ended.set()
        counting.join()
    assert 1 <= most[0] <= ARRIVALS_AT_ONCE


def workers_of(hub: RunningHub, function: str) -> list[int]:
    """The processes that run a function of this hub."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if hub.data.encode() in (process / "cmdline").read_bytes():
                environment = (process / "environ").read_bytes()
                found += [int(process.name)] if function.encode() in environment else []
    return found


def test_d3_removed_at_once(hub: RunningHub, tmp_path: Path) -> None:
    sftp(hub, "shoes", "drop", f"put {file(tmp_path, 20, '10.00')} gone.csv", "rm gone.csv")
    eventually(lambda: left(hub, 20) == "90.00")


def test_an_upload_in_a_folder_is_answered_there(hub: RunningHub, tmp_path: Path) -> None:
    sftp(hub, "shoes", "drop", "mkdir returns", f"put {file(tmp_path, 21, '10.00')} returns/may.csv")
    eventually(lambda: "result_may.csv.csv" in sftp(hub, "shoes", "drop", "ls -1 returns"))
    assert left(hub, 21) == "90.00"


def test_d17_a_hole_is_refused_and_slows_nobody(hub: RunningHub) -> None:
    import asyncio

    import asyncssh

    access = hub.ready["programs"]["shoes"]["sources"]["drop"]

    async def writes() -> None:
        options = {"username": access["user"], "client_keys": [access["private_key_file"]], "known_hosts": None}
        async with (
            asyncssh.connect(hub.ready["sftp"]["host"], hub.ready["sftp"]["port"], **options) as connection,
            connection.start_sftp_client() as session,
        ):
            with pytest.raises(asyncssh.SFTPError):
                async with session.open("hole.csv", "wb") as out:
                    await out.write(b"x", 2**30)

    slowest = [0.0]

    def ask_meanwhile() -> None:
        for _ in range(10):
            before = time.monotonic()
            left(hub, 22)
            slowest[0] = max(slowest[0], time.monotonic() - before)

    asking = threading.Thread(target=ask_meanwhile)
    asking.start()
    asyncio.run(writes())
    asking.join()
    assert slowest[0] < 5
    assert batches(hub, "hole.csv") == []


def test_an_upload_whose_every_event_was_lost_is_swept_up(hub: RunningHub, tmp_path: Path) -> None:
    """The function is not there when the object is put, so nothing but the sweep can find it."""
    endpoint = Endpoint(hub.ready["aws_endpoint"], load_aws_key(Path(hub.data) / "aws/credentials"))
    functions = client("lambda", endpoint)
    name = next(
        one["FunctionName"] for one in functions.list_functions()["Functions"] if "FileDrop" in one["FunctionName"]
    )
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    sftp(hub, "shoes", "drop", f"put {file(tmp_path, 30, '10.00')} lost.csv")
    time.sleep(6)  # its event is thrown away meanwhile
    functions.delete_function_concurrency(FunctionName=name)
    assert ask(hub, "POST", "/v1/redrive", {})["sweep"], "at once, and not within the hour"
    eventually(lambda: left(hub, 30) == "90.00", 150)
