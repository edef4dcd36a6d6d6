"""Where the hub is, and one call to it."""

import json
import socket
from pathlib import Path

import pytest
from tests.cli.fake_hub import CannedResponse, FakeHub

from retour.cli.client import ApiError, HubClient, HubUnreachableError, UsageError, connect

READY = {
    "api": "http://127.0.0.1:1",
    "admin_key": "rk_admin_a",
    "programs": {"acme": {"api_key": "rk_acme_b", "sources": {}}},
}


def write_ready(folder: Path) -> None:
    (folder / ".retour").mkdir()
    (folder / ".retour/ready.json").write_text(json.dumps(READY))


def nowhere(**said: str) -> HubClient:
    return connect(**{"url": None, "key": None, "ready_file": None, "data": None, **said})


def test_a_hub_that_was_named_needs_a_key() -> None:
    assert nowhere(url="https://hub.example", key="k") == HubClient(url="https://hub.example", key="k")
    with pytest.raises(UsageError, match="RETOUR_KEY"):
        nowhere(url="https://hub.example")


def test_the_local_hub_is_found_from_a_folder_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ready(tmp_path)
    (tmp_path / "deep/down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep/down")
    assert nowhere().url == "http://127.0.0.1:1"


def test_a_command_about_one_program_uses_its_key_and_others_the_admins(tmp_path: Path) -> None:
    write_ready(tmp_path)
    assert nowhere(program="acme").key == "rk_acme_b"
    assert nowhere(program="other").key == "rk_admin_a"
    assert nowhere().key == "rk_admin_a"
    assert nowhere(program="acme", key="mine").key == "mine"


def test_where_no_hub_is_known_it_says_what_to_do() -> None:
    with pytest.raises(HubUnreachableError, match="retour up"):
        nowhere()


def test_a_ready_file_that_is_none_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text("[]")
    with pytest.raises(HubUnreachableError, match="no ready-file"):
        nowhere(ready_file=str(tmp_path / "ready.json"))


def test_a_hub_that_is_gone_is_said_to_be_gone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(HubUnreachableError, match=r"No hub answers at .*`retour up`"):
        HubClient(url=f"http://127.0.0.1:{port}", key="k", ready=READY).get("/healthz")
    with pytest.raises(HubUnreachableError, match="--url"):
        HubClient(url=f"http://127.0.0.1:{port}", key="k").get("/healthz")


def test_a_starting_hub_is_asked_again_when_it_says(hub: FakeHub) -> None:
    waited: list[float] = []
    hub.answers["GET /healthz"] = [
        CannedResponse(503, {"code": "STARTING"}, {"Retry-After": "2"}),
        CannedResponse(200, {"status": "ok"}),
    ]
    assert HubClient(url=hub.url, key="k", sleep=waited.append).get("/healthz") == {"status": "ok"}
    assert waited == [2.0]


def test_a_call_that_is_recognised_is_sent_again_where_its_answer_was_lost(hub: FakeHub) -> None:
    waited: list[float] = []
    client = HubClient(url=hub.url, key="k", sleep=waited.append)
    hub.answers["POST /files"] = [CannedResponse(0, {}), CannedResponse(0, {}), CannedResponse(202, {"batch": "b"})]
    assert client.call("POST", "/files", b"rows", again=True).document == {"batch": "b"}
    assert waited == [1, 1] and [asked.body for asked in hub.of("POST /files")] == [b"rows"] * 3
    hub.answers["POST /keys"] = [CannedResponse(0, {}), CannedResponse(200, {})]
    with pytest.raises(HubUnreachableError, match=r"was reached, but its answer did not arrive .* not counted twice"):
        client.call("POST", "/keys", b"{}")
    assert len(hub.of("POST /keys")) == 1, "whatever is not recognised is sent once"


def test_a_refusal_is_read_from_its_problem_document(hub: FakeHub) -> None:
    errors = [{"line": 4, "column": 3, "key": "currency", "detail": "'EURO' is not a currency"}]
    hub.refuses("PUT /v1/programs/acme", 422, "PROGRAM_WRONG", "The program is not right.", errors=errors)
    with pytest.raises(ApiError) as caught:
        HubClient(url=hub.url, key="k").call("PUT", "/v1/programs/acme", b"{}")
    assert caught.value.code == "PROGRAM_WRONG"
    assert caught.value.message() == "The program is not right.\n  line 4, column 3, currency: 'EURO' is not a currency"


def test_a_refusal_without_a_document_still_has_a_sentence(hub: FakeHub) -> None:
    hub.says("GET /x", b"<html>", 500)
    with pytest.raises(ApiError) as caught:
        HubClient(url=hub.url, key="k").get("/x")
    assert caught.value.message() == "The hub answered with status 500."


def test_a_list_is_read_page_after_page_up_to_the_limit(hub: FakeHub) -> None:
    pages = {None: (["a", "b"], "2"), "2": (["c", "d"], "3"), "3": (["e"], None)}

    def page(asked: object) -> CannedResponse:
        items, following = pages[asked.query.get("cursor")]  # type: ignore[attr-defined]
        return CannedResponse(200, {"items": items, "next": following})

    hub.answers["GET /list"] = page
    client = HubClient(url=hub.url, key="k")
    assert client.items("/list", 0) == {"items": ["a", "b", "c", "d", "e"], "next": None}
    assert client.items("/list", 3) == {"items": ["a", "b", "c"], "next": "3"}
    assert [asked.query.get("limit") for asked in hub.asked][-2:] == ["3", "1"]


def test_the_key_does_not_travel_to_where_an_answer_points(hub: FakeHub) -> None:
    hub.says("GET /raw", {}, 307, Location=f"{hub.url}/bucket")
    hub.says("GET /bucket", b"the file")
    assert HubClient(url=hub.url, key="k").call("GET", "/raw").body == b"the file"
    first, second = hub.asked
    assert first.headers["authorization"] == "Bearer k"
    assert "authorization" not in second.headers


def test_what_is_on_this_machine_is_not_asked_of_a_proxy(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    hub.says("GET /healthz", {"status": "ok"})
    assert HubClient(url=hub.url, key="k").get("/healthz") == {"status": "ok"}
