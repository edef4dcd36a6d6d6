"""The SFTP server as OpenSSH and a library client see it, over the embedded AWS's S3."""

import asyncio
import os
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import asyncssh
import pytest

from local.data_folder import load_public_key
from local.deploy import client
from local.sftp import Account, EventSender, Folder, Upload, listen

LIMIT = 3 * 1024 * 1024


@dataclass
class Server:
    port: int
    keys: Path
    s3: Any
    bucket: str
    uploads: list[Upload] = field(default_factory=list)

    def sftp(
        self, *batch: str, user: str = "acme.warehouse", key: str = "warehouse"
    ) -> subprocess.CompletedProcess[str]:
        command = ["sftp", "-b", "-", "-P", str(self.port), "-i", str(self.keys / key)]
        for option in (
            "BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ):  # fmt: skip
            command += ["-o", option]
        return subprocess.run(
            [*command, f"{user}@127.0.0.1"], input="\n".join(batch) + "\n", capture_output=True, text=True, timeout=30
        )

    def library(self, talk: Callable[[asyncssh.SFTPClient], Any]) -> Any:
        async def session() -> Any:
            options = {"username": "acme.warehouse", "client_keys": [str(self.keys / "warehouse")], "known_hosts": None}
            async with (
                asyncssh.connect("127.0.0.1", self.port, **options) as connection,
                connection.start_sftp_client() as sftp,
            ):
                return await talk(sftp)

        return asyncio.run(session())

    def content(self, name: str) -> bytes | None:
        try:
            body: bytes = self.s3.get_object(Bucket=self.bucket, Key=f"sftp/acme/warehouse/{name}")["Body"].read()
        except self.s3.exceptions.NoSuchKey:
            return None
        return body

    def announced(self) -> list[str]:
        return [upload.key.rpartition("/")[2] for upload in self.uploads]


@pytest.fixture(scope="module")
def running(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not shutil.which("sftp"):
        pytest.fail("the OpenSSH client is needed: apt-get install openssh-client")
    keys = tmp_path_factory.mktemp("keys")
    scratch = tmp_path_factory.mktemp("scratch")
    s3 = client("s3", aws)
    s3.create_bucket(Bucket="sftp-test")
    accounts = {
        f"acme.{name}": Account(f"acme.{name}", "acme", name, ("nonsense", load_public_key(keys / name)))
        for name in ("warehouse", "other")
    }
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = Server(listening.getsockname()[1], keys, s3, "sftp-test")
    load_public_key(keys / "host")
    load_public_key(keys / "stranger")
    loop = asyncio.new_event_loop()

    async def serve() -> asyncssh.SSHAcceptor:
        return await listen(
            listening,
            keys / "host",
            accounts.get,
            lambda account: Folder(s3, "sftp-test", f"sftp/{account.program}/{account.source}/"),
            server.uploads.append,
            scratch,
            LIMIT,
        )

    acceptor = loop.run_until_complete(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield server
    loop.call_soon_threadsafe(acceptor.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


@pytest.fixture
def server(running: Server) -> Server:
    running.uploads.clear()
    for item in running.s3.list_objects_v2(Bucket=running.bucket).get("Contents", ()):
        running.s3.delete_object(Bucket=running.bucket, Key=item["Key"])
    return running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "may.csv"
    path.write_bytes(b"reference,order_id\n1,A-1\n")
    return path


def test_an_upload_becomes_one_object_and_one_event(server: Server, file: Path) -> None:
    ended = server.sftp(f"put {file} Retoure-Mai.csv", "ls -l")
    assert ended.returncode == 0, ended.stderr
    assert server.content("Retoure-Mai.csv") == file.read_bytes()
    assert "Retoure-Mai.csv" in ended.stdout and " 25 " in ended.stdout
    [upload] = server.uploads
    detail = upload.event()
    assert detail["file-path"] == "/sftp-test/sftp/acme/warehouse/Retoure-Mai.csv"
    assert (detail["bytes"], detail["username"], detail["status-code"]) == (25, "acme.warehouse", "COMPLETED")
    assert detail["client-ip"] == "127.0.0.1" and detail["session-id"] and "etag" not in detail


@pytest.mark.parametrize("working", ["may.csv.uploading", "may.csv.part", "_may.csv", "in.may.csv", ".may.csv"])
def test_a_rename_copies_removes_and_is_told_as_one(server: Server, file: Path, working: str) -> None:
    assert server.sftp(f"put {file} {working}", f"rename {working} may.csv").returncode == 0
    assert server.content("may.csv") == file.read_bytes() and server.content(working) is None
    assert server.announced() == [working, "may.csv"]
    renamed = server.uploads[1]
    assert renamed.kind == "SFTP Server File Rename Completed"
    assert renamed.event()["original-file-path"] == f"/sftp-test/sftp/acme/warehouse/{working}"
    assert renamed.event()["renamed-file-path"] == "/sftp-test/sftp/acme/warehouse/may.csv"


def test_answers_written_beside_the_upload_can_be_read(server: Server, tmp_path: Path) -> None:
    server.s3.put_object(Bucket=server.bucket, Key="sftp/acme/warehouse/result_may.csv.csv", Body=b"line,outcome\n")
    ended = server.sftp("ls -1", f"get result_may.csv.csv {tmp_path / 'got'}")
    assert ended.returncode == 0, ended.stderr
    assert "result_may.csv.csv" in ended.stdout
    assert (tmp_path / "got").read_bytes() == b"line,outcome\n"


def test_sent_again_under_the_same_name_is_a_new_upload(server: Server, file: Path) -> None:
    assert server.sftp(f"put {file} may.csv", f"put {file} may.csv").returncode == 0
    assert server.announced() == ["may.csv", "may.csv"]


def test_remove(server: Server, file: Path) -> None:
    assert server.sftp(f"put {file} may.csv", "rm may.csv").returncode == 0
    assert server.content("may.csv") is None
    assert server.sftp("rm may.csv").returncode == 1


def test_a_resumed_upload_goes_on_where_it_stopped(server: Server, file: Path, tmp_path: Path) -> None:
    assert server.sftp(f"put {file} may.csv").returncode == 0
    longer = tmp_path / "longer.csv"
    longer.write_bytes(file.read_bytes() + b"2,A-2\n")
    assert server.sftp(f"reput {longer} may.csv").returncode == 0
    assert server.content("may.csv") == longer.read_bytes()
    assert server.announced() == ["may.csv", "may.csv"]


def test_folders_below_the_own_one(server: Server, file: Path) -> None:
    made = server.sftp("mkdir sub", f"put {file} sub/may.csv", "ls -1", "cd sub", "ls -1", "rename may.csv june.csv")
    assert made.returncode == 0, made.stderr
    assert "sub" in made.stdout and "may.csv" in made.stdout
    assert server.content("sub/june.csv") == file.read_bytes()
    assert server.sftp("rmdir sub").returncode == 1, "it is not empty"
    assert server.sftp("rm sub/june.csv", "rmdir sub", "ls").returncode == 0
    assert server.sftp("cd sub").returncode == 1


@pytest.mark.parametrize("command", ["put {file} sub/may.csv", "rmdir /", "put {file} /../../other/x.csv", "mkdir a/b"])
def test_a_folder_that_is_not_there_is_not_made_by_the_way(server: Server, file: Path, command: str) -> None:
    assert server.sftp(command.format(file=file)).returncode == 1
    assert not server.uploads
    assert "Contents" not in server.s3.list_objects_v2(Bucket=server.bucket)


def test_scp_as_openssh_speaks_it_today(server: Server, file: Path, tmp_path: Path) -> None:
    options = ["-P", str(server.port), "-i", str(server.keys / "warehouse"), "-o", "StrictHostKeyChecking=no"]
    options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]
    there = "acme.warehouse@127.0.0.1:may.csv"
    for pair in ([str(file), there], [there, str(tmp_path / "back.csv")]):
        ended = subprocess.run(["scp", "-s", *options, *pair], capture_output=True, text=True, timeout=30)
        assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "back.csv").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("offset", [2**30, 2**27])
def test_a_byte_far_away_makes_no_file_of_that_size(server: Server, offset: int) -> None:
    async def writes(sftp: asyncssh.SFTPClient) -> None:
        with pytest.raises(asyncssh.SFTPError):
            async with sftp.open("hole.csv", "wb") as out:
                await out.write(b"x", offset)
        with pytest.raises(asyncssh.SFTPError):
            async with sftp.open("hole.csv", "wb") as out:
                await out.truncate(offset)

    server.library(writes)
    assert server.content("hole.csv") is None and not server.uploads


def test_a_file_with_a_hole_is_refused_and_one_written_from_behind_is_not(server: Server) -> None:
    async def writes(sftp: asyncssh.SFTPClient) -> None:
        with pytest.raises(asyncssh.SFTPError):
            async with sftp.open("hole.csv", "wb") as out:
                await out.write(b"x", 0)
                await out.write(b"x", 100_000)
        async with sftp.open("whole.csv", "wb") as out:
            await out.truncate(8)
            await out.write(b"3;4\n", 4)
            await out.write(b"1;2\n", 0)

    server.library(writes)
    assert server.content("hole.csv") is None and server.announced() == ["whole.csv"]
    assert server.content("whole.csv") == b"1;2\n3;4\n"


def test_appended_is_the_whole_file_again(server: Server) -> None:
    async def appends(sftp: asyncssh.SFTPClient) -> None:
        for row in (b"1;2\n", b"3;4\n"):
            async with sftp.open("log.csv", "ab") as out:
                await out.write(row)

    server.library(appends)
    assert server.content("log.csv") == b"1;2\n3;4\n"


def test_events_may_come_late_twice_or_never() -> None:
    told: list[tuple[str, str]] = []
    announcer = EventSender(lambda kind, detail: told.append((kind, detail)), Random(7))
    announcer.LATEST_SECONDS = 0.05
    moment = datetime.now(UTC)
    upload = Upload("acme", "drop", "b", "sftp/acme/drop/x.csv", 1, "127.0.0.1", "1", moment, moment)
    for _ in range(200):
        announcer.announce(upload)
    time.sleep(0.5)
    assert 100 < len(told) < 300 and len(told) != 200
    assert all("file-path" in detail for _, detail in told)
    assert {"bytes" in detail for _, detail in told} == {True, False}


def test_a_user_sees_only_the_own_folder(server: Server, file: Path) -> None:
    assert server.sftp(f"put {file} may.csv").returncode == 0
    seen = server.sftp("ls -1a", "ls ../warehouse", user="acme.other", key="other")
    assert "may.csv" not in seen.stdout
    assert server.sftp("get may.csv /dev/null", user="acme.other", key="other").returncode == 1
    confined = server.sftp("cd ../../..", "pwd", "ls -1")
    assert "Remote working directory: /" in confined.stdout and "may.csv" in confined.stdout


@pytest.mark.parametrize(
    ("user", "key"),
    [("acme.warehouse", "other"), ("acme.warehouse", "stranger"), ("nobody", "warehouse"), ("root", "stranger")],
)
def test_nobody_else_gets_in(server: Server, user: str, key: str) -> None:
    refused = server.sftp("ls", user=user, key=key)
    assert refused.returncode == 255 and "Permission denied" in refused.stderr


def test_a_hundred_sessions_with_open_files_cost_little_memory(server: Server) -> None:
    """Of both sides, since the server runs in this process."""

    def memory() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    async def hold() -> int:
        options = {"username": "acme.warehouse", "client_keys": [str(server.keys / "warehouse")], "known_hosts": None}
        held, files = [], []
        for number in range(100):
            connection = await asyncssh.connect("127.0.0.1", server.port, config=[], **options)
            client = await connection.start_sftp_client()
            held.append(connection)
            files.append(await client.open(f"{number}.csv", "wb"))
            await files[-1].write(b"x" * 100_000)
        used = memory()
        for file, connection in zip(files, held, strict=True):
            await file.close()
            connection.close()
        return used

    before = memory()
    assert asyncio.run(hold()) - before < 256 * 1024 * 1024
    assert len(server.announced()) == 100


def test_there_is_no_shell_and_no_tunnel(server: Server) -> None:
    async def tries() -> None:
        options = {"username": "acme.warehouse", "client_keys": [str(server.keys / "warehouse")], "known_hosts": None}
        async with asyncssh.connect("127.0.0.1", server.port, **options) as connection:
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.run("id", check=True)
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.open_connection("127.0.0.1", server.port)

    asyncio.run(tries())


def test_a_password_is_never_asked_for(server: Server) -> None:
    async def tries() -> None:
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(
                "127.0.0.1", server.port, username="acme.warehouse", password="secret", client_keys=None,
                known_hosts=None,
            )  # fmt: skip

    asyncio.run(tries())


def test_a_connection_that_ends_while_a_file_is_open_leaves_nothing(server: Server) -> None:
    async def hangs_up(sftp: asyncssh.SFTPClient) -> None:
        half = await sftp.open("half.csv", "wb")
        await half.write(b"reference,order_id\n")

    server.library(hangs_up)
    time.sleep(0.3)
    assert server.content("half.csv") is None and not server.uploads


def test_a_killed_client_leaves_nothing(server: Server, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "slow")
    big = tmp_path / "big.csv"
    big.write_bytes(os.urandom(2 * 1024 * 1024))
    command = ["sftp", "-q", "-b", "-", "-l", "2000", "-P", str(server.port), "-i", str(server.keys / "warehouse")]
    command += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "acme.warehouse@127.0.0.1"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    process.stdin.write(f"put {big} big.csv\n".encode())
    process.stdin.flush()
    time.sleep(1)
    process.kill()
    process.wait()
    time.sleep(0.5)
    assert server.content("big.csv") is None and not server.uploads


def test_a_file_above_the_limit_is_refused_whole(server: Server, tmp_path: Path) -> None:
    big = tmp_path / "big.csv"
    big.write_bytes(b"x" * (LIMIT + 1))
    assert server.sftp(f"put {big} big.csv").returncode == 1
    assert server.content("big.csv") is None and not server.uploads


def test_a_large_file_comes_back_byte_for_byte(server: Server, tmp_path: Path) -> None:
    big, back = tmp_path / "big.csv", tmp_path / "back.csv"
    big.write_bytes(os.urandom(LIMIT))
    assert server.sftp(f"put -p {big} big.csv", f"get big.csv {back}").returncode == 0
    assert back.read_bytes() == big.read_bytes()


def test_what_libraries_ask(server: Server) -> None:
    async def asks(sftp: asyncssh.SFTPClient) -> None:
        async with sftp.open("ü ö.csv", "wb") as out:
            await out.write(b"1;2\n")
        assert (await sftp.stat("ü ö.csv")).size == 4
        assert await sftp.exists("ü ö.csv") and not await sftp.exists("other.csv")
        await sftp.chmod("ü ö.csv", 0o644)
        root = await sftp.stat("/")
        assert root.permissions is not None and stat.S_ISDIR(root.permissions)
        with pytest.raises(asyncssh.SFTPError):
            await sftp.rename("ü ö.csv", "ü ö.csv")
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await sftp.rename("missing.csv", "new.csv")
        with pytest.raises(asyncssh.SFTPError):
            await sftp.symlink("ü ö.csv", "link")
        with pytest.raises(asyncssh.SFTPError):
            await sftp.open("x" * 300, "wb")
        with pytest.raises(asyncssh.SFTPError):
            await sftp.open("a\nb", "wb")
        assert sorted(await sftp.listdir("/")) == [".", "..", "ü ö.csv"]

    server.library(asks)
    assert server.announced() == ["ü ö.csv"]
