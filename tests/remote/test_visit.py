"""Visits: each file once, whole, in order, whatever dies in between."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import pytest
from tests.remote.conftest import ACME, PollTestHub, ProcessKilled, log_in, source
from tests.servers.daemons import Daemon
from tests.settings import change_settings

from retour.domain.delivery import Channel, DeliveryKind
from retour.domain.program import Source
from retour.polling.answers import leave_answer
from retour.polling.poll import LOOKS_MAX, poll_server
from retour.polling.report import PollReport
from retour.remote import RemoteError, RemoteFile


@pytest.fixture
def go(house: PollTestHub, daemon: Daemon) -> Callable[..., PollReport]:
    """A visit to the daemon, as if `later` than now."""
    house.secrets = dict(daemon.secret)

    def go(later: float = 0, **options: Any) -> PollReport:
        house.later = timedelta(seconds=later)
        options = {"pattern": "*.csv", **options}
        return poll_server(house, house.announce, ACME, source(daemon, **options), open_server=log_in)

    return go


def test_a_week_at_a_merchants_server(house: PollTestHub, daemon: Daemon, go: Callable[..., PollReport]) -> None:
    daemon.leave("returns 1.csv", b"old", age=7200)
    daemon.leave("Rückgaben.csv", b"older", age=9000)
    daemon.leave("growing.csv", b"half", age=-3600)  # and a clock that is an hour ahead
    daemon.leave("result_a.csv.csv", b"ours")
    daemon.leave("notes.txt", b"no")
    first = go()
    assert [taken["name"] for taken in first.fetched] == ["Rückgaben.csv", "returns 1.csv"]
    assert first.skipped == {"growing": 1, "ours": 1, "pattern": 1} and first.seen == 5 and not first.errors
    assert house.sent == [("pulls", {"program": "acme", "source": "erp", "look": 2}, 60)]
    announced = {delivery.name: delivery for delivery in house.announced}
    for name, body in (("Rückgaben.csv", b"older"), ("returns 1.csv", b"old")):
        delivery = announced[name]
        assert (delivery.channel, delivery.kind, delivery.size) == (Channel.PULL, DeliveryKind.FILE, len(body))
        assert delivery.identity == delivery.sha256 and delivery.reply == {
            "folder": daemon.options["result_folder"],
            "name": name,
        }
        assert delivery.body_key == f"pull/acme/erp/{delivery.id}/{name}"
        assert house.inbox.objects[delivery.body_key] == body
        assert delivery.sha256 in (daemon.root / "in" / f"receipt_{name}").read_text()

    with (daemon.root / "out" / "growing.csv").open("ab") as more:
        more.write(b" and half")
    os.utime(daemon.root / "out" / "growing.csv", (2_000_000_000, 2_000_000_000))
    assert go(61).fetched == [] and go(100).fetched == []
    again = go(122)
    assert [taken["name"] for taken in again.fetched] == ["growing.csv"]
    assert again.skipped["taken"] == 2 and not again.looks_again
    assert house.inbox.objects[house.announced[-1].body_key] == b"half and half"

    daemon.leave("returns 1.csv", b"new", age=600)
    assert [taken["name"] for taken in go().fetched] == ["returns 1.csv"]
    daemon.leave("copy of returns 1.csv", b"old", age=600)
    copied = go()
    assert copied.fetched == [] and copied.skipped["content"] == 1
    assert go().skipped["content"] == 0  # known by now without fetching it
    assert len(house.announced) == len(house.inbox.puts) == 4
    assert len(list((daemon.root / "out").iterdir())) == 6  # nothing is deleted unless the source says so


def test_deletes_only_when_told_and_only_what_the_inbox_has(
    house: PollTestHub, daemon: Daemon, go: Callable[..., PollReport]
) -> None:
    daemon.leave("a.csv", b"a")
    daemon.leave("b.csv", b"a", age=1800)
    daemon.leave("young.csv", b"y", age=0)
    daemon.leave("notes.txt", b"n")
    assert go().deleted == 0
    report = go(delete=True)
    assert report.deleted == 2 and sorted(path.name for path in (daemon.root / "out").iterdir()) == [
        "notes.txt",
        "young.csv",
    ]
    assert list(house.inbox.objects.values()) == [b"a"]


def test_an_answer_is_left_in_the_result_folder(house: PollTestHub, daemon: Daemon) -> None:
    house.secrets = dict(daemon.secret)
    house.inbox.objects["results/acme/d/result.csv"] = b"line,outcome\n"
    key = "results/acme/d/result.csv"
    assert leave_answer(house, "acme", source(daemon), "result_a.csv.csv", key, open_server=log_in) == ""
    assert (daemon.root / "in" / "result_a.csv.csv").read_bytes() == b"line,outcome\n"
    without = source(daemon, result_folder="")
    assert "no result_folder" in leave_answer(house, "acme", without, "x", key, open_server=log_in)
    change_settings(house, outward=False)
    assert "nothing leaves" in leave_answer(house, "acme", source(daemon), "result_b.csv", key, open_server=log_in)
    assert [path.name for path in (daemon.root / "in").iterdir()] == ["result_a.csv.csv"]


# With a server in memory, to let things happen at the worst moment


class Shelf:
    """A server of a few files; `during` happens while one is being fetched."""

    def __init__(self, **files: bytes) -> None:
        self.files_there = {f"{name}.csv": body for name, body in files.items()}
        self.changed = dict.fromkeys(self.files_there, datetime(2026, 1, 1, tzinfo=UTC))
        self.fetches: list[str] = []
        self.during: Callable[[], None] = lambda: None
        self.closed = 0
        self.moved_to: list[str] = []

    def files(self, _folder: str, _wanted: Callable[[str], bool]) -> list[RemoteFile]:
        return [self.one(name) for name in self.files_there]

    def one(self, name: str) -> RemoteFile:
        return RemoteFile(name, len(self.files_there[name]), self.changed[name], str(self.changed[name]))

    def stat(self, _folder: str, name: str) -> RemoteFile | None:
        return self.one(name) if name in self.files_there else None

    def fetch(self, _folder: str, name: str, into: BinaryIO) -> int:
        self.fetches.append(name)
        body = self.files_there[name]
        self.during()
        into.write(body)
        return len(body)

    def put(self, _folder: str, name: str, body: bytes) -> None:
        self.files_there[name] = body

    def delete(self, _folder: str, name: str) -> None:
        del self.files_there[name]

    def move(self, _folder: str, name: str, to: str) -> None:
        self.files_there.pop(name)
        self.moved_to.append(f"{to}/{name}")

    def close(self) -> None:
        self.closed += 1


def erp(**options: Any) -> Source:
    given = {"protocol": "ftps", "host": "ftp.example", "user": "retour", "folder": "/out", **options}
    return Source(name="erp", channel=Channel.PULL, options=given)


def go_to(house: PollTestHub, shelf: Shelf, look: int = 1, asked: str = "", **options: Any) -> PollReport:
    return poll_server(
        house, house.announce, ACME, erp(**options), look=look, asked=asked, open_server=lambda *given: shelf
    )


@pytest.mark.parametrize("delete", [False, True])
def test_death_at_any_step_neither_loses_nor_doubles(delete: bool) -> None:
    deaths = 0
    for step in range(100):
        house, shelf = PollTestHub(), Shelf(a=b"one", b=b"two", c=b"one")
        house.writes_left = step
        try:
            go_to(house, shelf, delete=delete)
        except ProcessKilled:
            deaths += 1
        else:
            break
        assert shelf.closed == 1
        house.writes_left, house.later = None, timedelta(minutes=1)
        go_to(house, shelf, delete=delete)
        house.later = timedelta(minutes=2)
        last = go_to(house, shelf, delete=delete)
        assert last.fetched == [] and not last.errors
        # One object for each content, each announced before under the id it lies under.
        assert sorted(house.inbox.objects.values()) == [b"one", b"two"], step
        assert len(house.inbox.puts) == 2, step
        announced = {delivery.id: delivery for delivery in house.announced}
        assert {delivery.body_key for delivery in announced.values()} == set(house.inbox.objects)
        assert all(announced[key].received_at == one.received_at for key, one in announced.items())
        assert len(shelf.files_there) == (0 if delete else 3)
    assert deaths > 10


def test_the_second_attempt_keeps_the_first_receipt() -> None:
    house, shelf = PollTestHub(), Shelf(a=b"one")
    house.writes_left = 2  # claimed and announced, not put
    with pytest.raises(ProcessKilled):
        go_to(house, shelf)
    house.writes_left, house.later = None, timedelta(hours=5)
    go_to(house, shelf)
    first, second = house.announced
    assert first == second and list(house.inbox.objects) == [first.body_key]


def test_a_file_that_changes_under_our_hands_is_not_taken() -> None:
    house, shelf = PollTestHub(), Shelf(a=b"half", b=b"whole")

    def grow() -> None:
        shelf.files_there["a.csv"] = b"half and more"

    shelf.during = grow
    report = go_to(house, shelf)
    assert report.skipped == {"growing": 1} and [one["name"] for one in report.fetched] == ["b.csv"]
    assert report.looks_again and list(house.inbox.objects.values()) == [b"whole"]


def test_a_file_replaced_after_it_was_fetched_is_not_deleted() -> None:
    house, shelf = PollTestHub(), Shelf(a=b"one")
    put = house.inbox.put

    def put_and_replace(key: str, body: bytes | BinaryIO) -> None:
        put(key, body)
        shelf.files_there["a.csv"] = b"the next"

    house.inbox.put = put_and_replace  # type: ignore[method-assign]
    assert go_to(house, shelf, delete=True).deleted == 0
    assert shelf.files_there == {"a.csv": b"the next"}


def test_a_file_taken_away_after_it_was_fetched_is_kept() -> None:
    house, shelf = PollTestHub(), Shelf(a=b"one")
    shelf.during = shelf.files_there.clear
    assert len(go_to(house, shelf, delete=True).fetched) == 1
    assert list(house.inbox.objects.values()) == [b"one"]


def test_one_bad_file_does_not_keep_the_others_back() -> None:
    house, shelf = PollTestHub(), Shelf(a=b"one", b=b"two")

    def refuse() -> None:
        if shelf.fetches[-1] == "a.csv":
            raise RemoteError("REFUSED", doing="fetch a.csv", said="550 Permission denied")

    shelf.during = refuse
    report = go_to(house, shelf)
    assert [one["name"] for one in report.fetched] == ["b.csv"]
    assert report.errors == [
        {
            "code": "REFUSED", "words": "Could not fetch a.csv: 550 Permission denied", "lasting": False,
            "name": "a.csv",
        }
    ]  # fmt: skip
    assert house.docs["last-visit"]["state"] == "failed"


def test_a_file_above_the_limit_is_left_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    house, shelf = PollTestHub(), Shelf(a=b"12345678901", b=b"1234567890")
    monkeypatch.setattr("retour.polling.folder.FILE_BYTES_MAX", 10)
    report = go_to(house, shelf)
    assert report.skipped == {"large": 1} and list(house.inbox.objects.values()) == [b"1234567890"]


def test_a_server_that_sends_more_than_it_said_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    house, shelf = PollTestHub(), Shelf(a=b"1")
    monkeypatch.setattr("retour.polling.folder.FILE_BYTES_MAX", 10)

    def endless(_folder: str, _name: str, into: BinaryIO) -> int:
        while True:
            into.write(b"xxx")

    monkeypatch.setattr(shelf, "fetch", endless)
    assert go_to(house, shelf).skipped == {"large": 1} and not house.announced


def test_looks_at_a_file_that_never_rests_come_to_an_end() -> None:
    house, shelf = PollTestHub(), Shelf(log=b"x")
    shelf.changed["log.csv"] = datetime.now(UTC)
    for look in range(1, LOOKS_MAX + 1):
        go_to(house, shelf, look=look)
    assert [message["look"] for _, message, _ in house.sent] == list(range(2, LOOKS_MAX + 1))


def test_a_long_visit_is_continued_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    house, shelf = PollTestHub(), Shelf(a=b"one", b=b"two")

    def linger() -> None:
        house.later = timedelta(minutes=11)

    shelf.during = linger
    report = go_to(house, shelf)
    assert len(report.fetched) == 1 and report.skipped == {"later": 1} and len(house.sent) == 1
    assert len(go_to(house, shelf).fetched) == 1


def test_the_report_is_kept_for_whoever_asked_and_tells_no_secret() -> None:
    house = PollTestHub()
    house.secrets = {"password": "s3cret"}

    def refuse(*_: object) -> Shelf:
        raise RemoteError("LOGIN_REFUSED", host="ftp.example", user="retour", said="530 Login incorrect.")

    poll_server(house, house.announce, ACME, erp(), asked="v-7", open_server=refuse)
    kept = house.docs["last-visit"]
    assert (kept["id"], kept["state"], kept["seen"]) == ("v-7", "failed", 0)
    assert kept["explanation"].startswith("ftp.example rejected the login of retour: 530 Login incorrect. Check")
    assert kept["server"] == "ftps://ftp.example/out" and "s3cret" not in json.dumps(kept)
    assert house.sent == []
    go_to(house, Shelf(a=b"one"), asked="v-8")
    assert house.docs["last-visit"]["id"] == "v-8"
    assert house.docs["last-visit"]["explanation"] == "1 file seen, 1 file fetched."


def test_a_receipt_that_cannot_be_left_is_told_and_the_file_taken_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    house, shelf = PollTestHub(), Shelf(a=b"one")

    def refuse(_folder: str, name: str, _body: bytes) -> None:
        raise RemoteError("REFUSED", doing=f"put {name}", said="550 Permission denied")

    monkeypatch.setattr(shelf, "put", refuse)
    report = go_to(house, shelf, result_folder="/in")
    assert len(report.fetched) == len(house.inbox.objects) == 1
    assert report.errors[0]["words"] == "Could not put receipt_a.csv: 550 Permission denied"


def test_our_own_file_of_refused_rows_comes_back_only_when_corrected() -> None:
    house, shelf = PollTestHub(), Shelf()
    house.inbox.objects["results/acme/d/rejected"] = b"order_id\nA-x\n"
    where = erp(result_folder="/out")
    leave_answer(house, "acme", where, "rejected_a.csv", "results/acme/d/rejected", open_server=lambda *given: shelf)
    shelf.changed["rejected_a.csv"] = datetime(2026, 1, 1, tzinfo=UTC)
    assert go_to(house, shelf, result_folder="/out").skipped == {"content": 1} and not house.announced
    shelf.files_there["rejected_a.csv"] = b"order_id\nA-1\n"
    shelf.changed["rejected_a.csv"] = datetime(2026, 1, 2, tzinfo=UTC)
    assert [one["name"] for one in go_to(house, shelf).fetched] == ["rejected_a.csv"]


def test_a_server_that_drips_is_left_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    house, shelf = PollTestHub(), Shelf(a=b"1", b=b"2")

    def drip(_folder: str, _name: str, into: BinaryIO) -> int:
        while True:
            into.write(b"x")
            house.later += timedelta(seconds=19)

    monkeypatch.setattr(shelf, "fetch", drip)
    report = go_to(house, shelf)
    assert [error["code"] for error in report.errors] == ["TOO_SLOW"] and shelf.closed == 1


class TwoClocks(Shelf):
    """Its listing (MLSD) tells UTC, a look at one file (MDTM) the server's own time."""

    def stat(self, folder: str, name: str) -> RemoteFile | None:
        seen = super().stat(folder, name)
        if seen is None or seen.modified is None:
            return seen
        local = seen.modified + timedelta(hours=2)
        return RemoteFile(name, seen.size, local, str(local))


@pytest.mark.parametrize("options", [{}, {"delete": True}, {"move_to": "processed"}])
def test_d5_a_server_with_two_clocks_is_read_by_one_of_them(options: dict[str, Any]) -> None:
    house, shelf = PollTestHub(), TwoClocks(a=b"one")
    shelf.changed["a.csv"] = house.real_now()
    first = go_to(house, shelf, **options)
    assert first.skipped == {"growing": 1} and first.looks_again
    house.later = timedelta(minutes=2)
    second = go_to(house, shelf, look=2, **options)
    assert [one["name"] for one in second.fetched] == ["a.csv"] and not second.errors
    assert (second.deleted, second.moved) == (int("delete" in options), int("move_to" in options))
    assert shelf.moved_to == (["processed/a.csv"] if "move_to" in options else [])


def test_a_file_that_three_visits_find_growing_is_told() -> None:
    house, shelf = PollTestHub(), Shelf(a=b"one")
    for visits in range(1, 5):
        house.later = timedelta(days=visits)
        shelf.files_there["a.csv"] += b"more"
        shelf.changed["a.csv"] = house.real_now()
        for look in (1, 2):
            shelf.files_there["a.csv"] += b"more"
            report = go_to(house, shelf, look=look)
            told = [error["code"] for error in report.errors]
            assert told == (["NEVER_AT_REST"] if visits >= 3 and look == 1 else [])
    house.later += timedelta(hours=1)
    assert [one["name"] for one in go_to(house, shelf).fetched] == ["a.csv"]
    shelf.files_there["a.csv"] += b"more"
    shelf.changed["a.csv"] = house.real_now()
    assert not go_to(house, shelf).errors, "counted anew"


def test_several_folders_are_visited_and_a_missing_one_keeps_no_other_back() -> None:
    class Folders(Shelf):
        def files(self, folder: str, wanted: Callable[[str], bool]) -> list[RemoteFile]:
            if folder == "/gone":
                raise RemoteError("FOLDER_NOT_FOUND", folder=folder, said="550 No such directory")
            return [one for one in super().files(folder, wanted) if one.name.startswith(folder.strip("/"))]

    house, shelf = PollTestHub(), Folders(de=b"one", fr=b"two")
    report = go_to(house, shelf, folder="/gone", folders=["/de", "/fr"])
    assert sorted(one["name"] for one in report.fetched) == ["de.csv", "fr.csv"]
    assert [error["code"] for error in report.errors] == ["FOLDER_NOT_FOUND"] and report.seen == 2


def test_a_file_expected_by_a_time_is_told_when_it_is_not_there() -> None:
    house, shelf = PollTestHub(), Shelf(other=b"x")
    at = datetime.now(UTC).replace(hour=9, minute=30)
    house.later = at - datetime.now(UTC)
    expect = {"file": "returns_{yyyyMMdd}*.csv", "by": "09:00"}
    options = {"expect": expect, "at": "05:00"}
    assert [error["code"] for error in go_to(house, shelf, **options).errors] == ["FILE_EXPECTED"]
    assert go_to(house, shelf, **{**options, "expect": {**expect, "by": "09:45"}}).errors == [], "not yet"
    yesterday, today = (f"{day:%Y%m%d}" for day in (at - timedelta(days=1), at))
    shelf.files_there[f"returns_{yesterday}.csv"] = b"old"
    shelf.changed[f"returns_{yesterday}.csv"] = datetime(2026, 1, 1, tzinfo=UTC)
    [error] = go_to(house, shelf, **options).errors
    assert f"returns_{today}" in error["words"] and "09:00" in error["words"] and error["lasting"]
    shelf.files_there[f"returns_{today}_1.csv"] = b"new"
    shelf.changed[f"returns_{today}_1.csv"] = house.real_now()
    assert go_to(house, shelf, **options).errors == [], "seen, though perhaps not whole yet"


def test_a_break_that_no_client_foresaw_is_a_report_like_any_other() -> None:
    class Breaking(Shelf):
        def files(self, folder: str, wanted: Callable[[str], bool]) -> list[RemoteFile]:
            raise EOFError("the line went dead")

    report = go_to(PollTestHub(), Breaking(a=b"one"))
    assert [error["code"] for error in report.errors] == ["CONNECTION_BROKEN"]
    assert "the line went dead" in report.explanation()
