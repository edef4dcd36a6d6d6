"""The commands as a person types them, against a hub that answers what the test lays out."""

import hashlib
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from tests.cli.fake_hub import CannedResponse, FakeHub, RecordedRequest

from retour.cli import deliveries, main
from retour.store.programs import Programs

P = "/v1/programs/acme"
EFFECT = {
    "currency": "EUR",
    "amount": {"before": "100.00", "after": "80.00"},
    "payout": {"before": "8.00", "after": "6.40"},
    "contract": 1,
}
APPLIED = {
    "record": "2",
    "order_id": "A-1",
    "outcome": "applied",
    "code": "",
    "explanation": "Applied.",
    "effect": EFFECT,
}
REFUSED = {
    "record": "3", "order_id": "A-2", "outcome": "refused", "code": "UNKNOWN_ITEM", "explanation": "No SKU X here.",
}  # fmt: skip
SOURCES = {
    "orders": {"channel": "api", "kind": "standard"},
    "shop": {"channel": "api", "kind": "shopify"},
    "warehouse": {"channel": "sftp"},
    "erp": {"channel": "pull"},
}


def batch(state: str = "done", **more: Any) -> dict[str, Any]:
    return {"id": "20261121T120000000Z-ab", "name": "returns.csv", "state": state, "counts": {"applied": 1}, **more}


@pytest.fixture
def retour(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    monkeypatch.setenv("RETOUR_URL", hub.url)
    monkeypatch.setenv("RETOUR_KEY", "rk_admin_x")
    hub.says("GET /v1/programs", {"items": [{"program": "acme", "name": "Acme", "version": 3}], "next": None})
    hub.says(f"GET {P}", {"program": "acme", "version": 3, "document": {"program": "acme", "sources": SOURCES}})
    return hub


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "returns.csv"
    path.write_bytes(b"order_id,change\nA-1,reverse\n")
    return path


def test_wrong_usage_is_2(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["send"])
    assert caught.value.code == 2
    assert main(["batches", "--result", "out.csv"]) == 2
    assert "Of which batch?" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["program"], ["send"], ["demo"], ["keys"], ["doctor"]])
def test_help_never_needs_a_hub(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "exit codes: 0 done, 1 refused or rows failed, 2 wrong usage" in " ".join(capsys.readouterr().out.split())


def test_a_refusal_is_a_sentence_with_its_code_and_1(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    retour.refuses("GET /v1/programs", 401, "UNAUTHORIZED", "This key opens nothing here.")
    assert main(["program", "list"]) == 1
    assert capsys.readouterr().err == "retour: This key opens nothing here. [UNAUTHORIZED]\n"


def test_a_program_goes_to_the_hub_as_it_was_written(
    retour: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = b"# my program\nprogram: acme\nname: Acme\n"
    (tmp_path / "acme.yaml").write_bytes(text)
    made = {"version": 1, "changed": True, "api_key": "rk_acme_1", "credentials": {"orders": {"secret": "whsec_1"}}}
    retour.says(f"PUT {P}", {"program": "acme", **made}, 201)
    assert main(["program", "apply", "acme.yaml"]) == 0
    [put] = retour.of(f"PUT {P}")
    assert put.body == text
    assert put.headers["content-type"] == "application/yaml"
    out = capsys.readouterr().out
    assert "Program acme is in force, version 1." in out
    assert "rk_acme_1" in out
    assert "whsec_1" in out


def test_a_wrong_program_is_told_line_by_line(
    retour: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "acme.json").write_text('{"program": "acme"}')
    errors = [{"line": 2, "column": 1, "key": "currency", "detail": "`currency` is missing"}]
    retour.refuses(f"PUT {P}", 422, "PROGRAM_WRONG", "The program has 1 fault.", errors=errors)
    assert main(["program", "apply", "acme.json"]) == 1
    assert "  line 2, column 1, currency: `currency` is missing" in capsys.readouterr().err
    assert retour.asked[0].headers["content-type"] == "application/json"


def test_a_program_is_checked_without_any_hub(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "acme.yaml").write_text("program: acme\ncurrency: EURO\ntime_zone: Europe/Berlin\n")
    assert main(["program", "check", "acme.yaml"]) == 1
    said = capsys.readouterr().err
    assert "acme.yaml:line 2" in said
    assert "EURO" in said
    (tmp_path / "acme.yaml").write_text("program: acme\nlanguage: fr\ncurrency: 7\n")
    assert main(["program", "check", "acme.yaml"]) == 1
    assert "acme.yaml:ligne 3, colonne 11, currency : texte attendu, reçu : le nombre 7." in capsys.readouterr().err


def test_a_file_that_names_no_program_asks_no_hub(
    retour: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.yaml").write_text("name: Acme\n")
    assert main(["program", "apply", "x.yaml"]) == 1
    assert "`program` is missing" in capsys.readouterr().err
    assert retour.asked == []


def test_programs_are_listed_and_shown(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["program", "list"]) == 0
    assert "acme" in capsys.readouterr().out
    assert main(["program", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["version"] == 3
    assert main(["program", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["document"]["sources"] == SOURCES


def test_actions_are_reported_and_failed_rows_are_1(
    retour: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sales.csv").write_bytes(b"order_id,amount\nA-1,1.00\nA-2,x\n")
    outcomes = [
        {**APPLIED, "effect": None},
        {**REFUSED, "code": "NOT_AN_AMOUNT", "explanation": "'x' is not a valid amount."},
    ]
    retour.says(f"POST {P}/actions", {"batch": "b", "state": "done", "counts": {}, "outcomes": outcomes})
    assert main(["report", "sales.csv", "--program", "acme"]) == 1
    [posted] = retour.of(f"POST {P}/actions")
    assert posted.body == b"order_id,amount\nA-1,1.00\nA-2,x\n"
    out = capsys.readouterr().out
    assert "2 actions: 1 applied, 1 refused." in out
    assert "'x' is not a valid amount." in out
    retour.says(f"POST {P}/actions", {"batch": "b", "state": "done", "counts": {}, "outcomes": outcomes[:1]})
    assert main(["report", "sales.csv", "--program", "acme", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"applied": 1}


def test_the_line_of_a_long_file_is_the_line_of_the_file(
    retour: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"A-{n},1.00\n" for n in range(501))
    (tmp_path / "sales.csv").write_text("order_id,amount\n" + rows)

    def report(asked: RecordedRequest) -> CannedResponse:
        lines = asked.body.decode().splitlines()[1:]
        outcomes = [
            {"record": str(line), "order_id": row.split(",")[0], "outcome": "refused", "code": "X", "explanation": ""}
            for line, row in enumerate(lines, 2)
        ]
        return CannedResponse(200, {"batch": "b", "state": "done", "counts": {}, "outcomes": outcomes})

    retour.answers[f"POST {P}/actions"] = report
    assert main(["report", "sales.csv", "--program", "acme", "--json"]) == 1
    last = json.loads(capsys.readouterr().out)["outcomes"][-1]
    assert (last["record"], last["order_id"]) == ("502", "A-500")
    assert len(retour.of(f"POST {P}/actions")) == 6


def test_a_file_goes_to_the_only_source_that_takes_files_and_is_waited_for(
    retour: FakeHub, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    retour.says(f"POST {P}/files", {"batch": batch()["id"], "state": "arriving", "counts": {}, "outcomes": []}, 202)
    path = f"GET {P}/batches/{batch()['id']}"
    retour.answers[path] = [CannedResponse(200, batch("working")), CannedResponse(200, batch(outcomes=[APPLIED]))]
    assert main(["send", "returns.csv"]) == 0
    [posted] = retour.of(f"POST {P}/files")
    assert posted.query == {"name": "returns.csv", "source": "orders"}
    assert posted.body == file.read_bytes()
    out = capsys.readouterr().out
    assert "returns.csv: done, 1 applied." in out
    assert "8.00 → 6.40 EUR" in out


def test_what_is_not_waited_for_is_told_as_handed_over(
    retour: FakeHub, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    retour.says(f"POST {P}/files", {"batch": "b", "state": "arriving", "counts": {}, "outcomes": []}, 202)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert main(["send", "returns.csv", "--no-wait"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"returns.csv was handed over to orders: 28 bytes, SHA-256 {digest}." in out and "retour batches b" in out
    assert main(["send", "returns.csv", "--no-wait", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["batch"], told["sha256"], told["size"], told["source"]) == ("b", digest, 28, "orders")


def test_a_large_file_is_waited_for_as_long_as_it_comes_on(
    retour: FakeHub, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "WAIT_SECONDS", 1.0)
    retour.says(f"POST {P}/files", {"batch": "b", "state": "arriving", "counts": {}, "outcomes": []}, 202)
    far = {"percent": 10, "read": 7, "recorded": 0, "applied": 0, "refused": 0, "duplicate": 0, "total": 200_000}
    steps = [CannedResponse(200, batch("working", progress={**far, "recorded": done})) for done in range(8)]
    retour.answers[f"GET {P}/batches/b"] = [*steps, CannedResponse(200, batch(counts={"applied": 1}))]
    assert main(["send", "returns.csv", "--program", "acme"]) == 0
    retour.says(f"GET {P}/batches/b", batch("working", progress=far))
    assert main(["send", "returns.csv", "--program", "acme"]) == 1, "it stands still"


@pytest.mark.parametrize(
    ("far", "told"),
    [
        ({}, "working"),
        ({"read": 50_000}, "50,000 rows read"),
        ({"total": 200_000, "recorded": 11_900, "refused": 100}, "12,000 of 200,000 rows, 100 refused"),
        ({"total": 200_000, "seconds_left": 121}, "0 of 200,000 rows, about 3 minutes left"),
        (
            {"total": 200_000, "duplicate": 5, "seconds_left": 30},
            "5 of 200,000 rows, 5 duplicate, less than a minute left",
        ),
    ],
)
def test_a_large_file_says_how_far_it_has_come(far: dict[str, int], told: str) -> None:
    nothing = {"percent": 0, "read": 0, "recorded": 0, "applied": 0, "refused": 0, "duplicate": 0}
    state = {"state": "working", **({"progress": {**nothing, **far}} if far else {})}
    assert deliveries.so_far(state) == told


@pytest.mark.parametrize(("first", "code"), [({"applied": 2}, 0), ({"applied": 1, "held": 1}, 1)])
def test_a_file_sent_before_says_what_became_of_it_then(
    retour: FakeHub, file: Path, capsys: pytest.CaptureFixture[str], first: dict[str, int], code: int
) -> None:
    """A hub that took the file in and answered nobody, and the same file once more."""
    taken = CannedResponse(202, {"batch": "b", "state": "arriving", "counts": {}, "outcomes": []})
    retour.answers[f"POST {P}/files"] = [CannedResponse(0, {}), taken]
    before = {"same_as": "a", "explanation": "This very content was sent before.", "first_counts": first}
    retour.says(f"GET {P}/batches/b", batch(counts={"duplicate": 2}, **before))
    assert main(["send", "returns.csv", "--program", "acme"]) == code
    out = " ".join(capsys.readouterr().out.split())
    assert "This very content was sent before." in out and f"Then it was: {first['applied']} applied" in out


def test_actions_reported_before_are_told_with_their_batch(
    retour: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sales.csv").write_text("order_id,amount\nA-1,1.00\nA-2,1.00\n")
    again = {"record": "2", "outcome": "duplicate", "code": "", "first": {"outcome": "applied", "batch": "a"}}
    answer = {"batch": "b", "state": "done", "counts": {}, "outcomes": [again, {**again, "record": "3"}]}
    retour.says(f"POST {P}/actions", answer)
    assert main(["report", "sales.csv", "--program", "acme"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "2 of them had been reported before and are not counted again: 2 in batch a." in out


@pytest.mark.parametrize("counts", [{"applied": 1, "refused": 1}, {"held": 1}])
def test_a_failed_row_is_1(retour: FakeHub, file: Path, counts: dict[str, int]) -> None:
    retour.says(f"POST {P}/files", {"batch": "b", "state": "arriving", "counts": {}, "outcomes": []}, 202)
    retour.says(f"GET {P}/batches/b", batch(counts=counts, outcomes=[REFUSED]))
    assert main(["send", "returns.csv", "--program", "acme"]) == 1


def test_a_file_that_is_refused_whole_is_1_and_says_why(
    retour: FakeHub, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    retour.says(f"POST {P}/files", {"batch": "b", "state": "arriving", "counts": {}, "outcomes": []}, 202)
    retour.says(f"GET {P}/batches/b", batch("refused", counts={}, code="EMPTY_FILE", explanation="The file is empty."))
    assert main(["send", "returns.csv", "--program", "acme"]) == 1
    assert "The file is empty. [EMPTY_FILE]" in capsys.readouterr().out


def test_a_dry_run_asks_for_one_and_waits_for_nothing(
    retour: FakeHub, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"batch": None, "state": "done", "dry_run": True, "counts": {"applied": 1}, "outcomes": [APPLIED]}
    retour.says(f"POST {P}/files", answer)
    assert main(["send", "returns.csv", "--source", "shop", "--dry-run"]) == 0
    assert retour.of(f"POST {P}/files")[0].query == {"name": "returns.csv", "source": "shop", "dry_run": "true"}
    assert "dry run: nothing is written; it would be done, 1 applied." in capsys.readouterr().out
    assert main(["send", "returns.csv", "--channel", "sftp", "--dry-run"]) == 2


def test_the_dry_run_of_a_large_file_is_waited_for(
    retour: FakeHub, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    effect = {**APPLIED["effect"], "payout_currency": "USD"}
    retour.says(f"POST {P}/files", {"batch": "b", "state": "arriving", "dry_run": True, "counts": {}}, 202)
    told = batch(
        "dry run", id="b", dry_run=True, outcomes=[{**APPLIED, "effect": effect}] * 30, counts={"applied": 9_000}
    )
    retour.says(f"GET {P}/batches/b", told)
    assert main(["send", "returns.csv", "--source", "shop", "--dry-run"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "nothing is written; it would be done, 9000 applied." in said
    assert "8.00 → 6.40 USD" in said and "retour batches b --result FILE" in said


def test_a_large_file_goes_to_a_presigned_address(retour: FakeHub, tmp_path: Path) -> None:
    body = b"order_id,change\n" + b"A-1,reverse\n" * 400_000
    (tmp_path / "large.csv").write_bytes(body)
    retour.says(f"POST {P}/uploads", {"batch": "b", "url": f"{retour.url}/bucket/key", "method": "PUT"}, 201)
    retour.says("PUT /bucket/key", b"")
    retour.says(f"GET {P}/batches/b", batch())
    assert main(["send", "large.csv"]) == 0
    [put] = retour.of("PUT /bucket/key")
    assert hashlib.sha256(put.body).digest() == hashlib.sha256(body).digest()
    assert "authorization" not in put.headers


def test_a_source_that_is_not_clear_is_asked_for(
    retour: FakeHub, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = {"a": {"channel": "api"}, "b": {"channel": "api", "kind": "standard"}}
    retour.says(f"GET {P}", {"program": "acme", "version": 3, "document": {"program": "acme", "sources": both}})
    assert main(["send", "returns.csv"]) == 2
    assert "--source with one of: a, b" in capsys.readouterr().err


def test_a_pull_waits_for_its_own_visit_and_shows_what_it_took(
    retour: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    retour.says(
        f"POST {P}/sources/erp/pull",
        {"source": "erp", "state": "visiting", "asked_at": "2026-11-21T12:00:01.000Z"},
        202,
    )
    earlier = {"started": "2026-11-21T05:30:00.000Z", "state": "done", "fetched": [], "explanation": "earlier"}
    ours = {
        "started": "2026-11-21T12:00:01.500Z", "state": "done", "explanation": "2 files seen, 1 file fetched.",
        "fetched": [{"name": "r.csv", "delivery": "b"}],
    }  # fmt: skip
    retour.answers[f"GET {P}/sources/erp"] = [
        CannedResponse(200, {"last_visit": earlier}),
        CannedResponse(200, {"last_visit": ours}),
    ]
    retour.says(f"GET {P}/batches/b", batch(outcomes=[APPLIED]))
    assert main(["pull"]) == 0
    out = capsys.readouterr().out
    assert "erp: 2 files seen, 1 file fetched." in out
    assert "8.00 → 6.40 EUR" in out


def test_a_visit_that_failed_is_1(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    retour.says(f"POST {P}/sources/erp/pull", {"source": "erp", "state": "visiting", "asked_at": "2026"}, 202)
    visit = {"started": "2026-11-21", "state": "failed", "fetched": [], "explanation": "The server does not answer."}
    retour.says(f"GET {P}/sources/erp", {"last_visit": visit})
    assert main(["pull", "--source", "erp", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["visits"][0]["explanation"] == "The server does not answer."


def test_actions_are_listed_and_one_is_found_by_its_order(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    line = {
        "id": "A-1~sale", "order_id": "A-1", "partner": "blog", "state": "pending", "currency": "EUR",
        "amount": "80.00", "payout": "6.40", "locks_at": "2026-12-21T23:00:00.000Z", "changes": 1,
    }  # fmt: skip
    item = {
        "line": "1",
        "sku": "BOOT",
        "quantity": 1,
        "amount": "80.00",
        "payout": "6.40",
        "sold": {"quantity": 2, "amount": "100.00"},
    }
    event = {
        **APPLIED,
        "change": "take_back",
        "channel": "api",
        "source": "orders",
        "received_at": "2026-11-21T12:00:00.000Z",
    }
    retour.says(f"GET {P}/actions", {"items": [line], "next": None})
    retour.says(f"GET {P}/actions/A-1~sale", {**line, "items": [item], "history": [event]})
    assert main(["actions", "--state", "pending", "--partner", "blog"]) == 0
    assert {"state": "pending", "partner": "blog"}.items() <= retour.asked[-1].query.items()
    assert "A-1~sale" in capsys.readouterr().out
    assert main(["actions", "A-1"]) == 0
    out = capsys.readouterr().out
    assert "BOOT" in out
    assert "8.00 → 6.40 EUR" in out
    assert retour.asked[-2].query["order_id"] == "A-1"


def test_an_unknown_action_is_1(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    retour.says(f"GET {P}/actions", {"items": [], "next": None})
    retour.refuses(f"GET {P}/actions/Z", 404, "NOT_FOUND", "There is no action Z.")
    assert main(["actions", "Z"]) == 1
    assert "There is no action Z." in capsys.readouterr().err


def test_modifications_are_listed_with_what_they_moved(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    record = {**APPLIED, "id": "A-1~ff", "change": "take_back", "channel": "api", "source": "orders"}
    retour.says(f"GET {P}/modifications", {"items": [record], "next": None})
    assert main(["modifications", "--outcome", "applied", "--order", "A-1"]) == 0
    assert retour.asked[-1].query == {"outcome": "applied", "order_id": "A-1", "limit": "50"}
    assert "8.00 → 6.40 EUR" in capsys.readouterr().out
    assert main(["modifications", "--json", "--limit", "0"]) == 0
    assert json.loads(capsys.readouterr().out) == {"items": [record], "next": None}
    assert "limit" not in retour.asked[-1].query


def test_batches_and_their_files(retour: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    retour.says(f"GET {P}/batches", {"items": [batch(channel="sftp", source="warehouse")], "next": "more"})
    assert main(["batches", "--source", "warehouse", "--limit", "1"]) == 0
    assert "--limit 0 shows all" in capsys.readouterr().out
    retour.says(f"GET {P}/batches/b/result", b"line,outcome\r\n2,applied\r\n")
    assert main(["batches", "b", "--result", str(tmp_path / "out.csv")]) == 0
    assert (tmp_path / "out.csv").read_bytes() == b"line,outcome\r\n2,applied\r\n"


def test_a_held_batch_is_released_or_discarded(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    identity = batch()["id"]
    retour.says(f"POST {P}/batches/{identity}/release", batch("working"))
    retour.says(f"GET {P}/batches/{identity}", batch(outcomes=[APPLIED]))
    retour.says(f"POST {P}/batches/{identity}/discard", batch("refused"))
    assert main(["release", identity]) == 0
    assert "8.00 → 6.40 EUR" in capsys.readouterr().out
    assert main(["discard", identity]) == 0
    assert "returns.csv is discarded" in capsys.readouterr().out
    assert not any(asked.query for asked in retour.asked)


def test_a_decision_on_a_batch_is_rehearsed_noted_and_given_as_json(
    retour: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = batch()["id"]
    rehearsed = batch("done", id=None, name=None, dry_run=True, outcomes=[APPLIED] * 30, counts={"applied": 30})
    retour.says(f"POST {P}/batches/{identity}/release", rehearsed)
    assert main(["release", identity, "--dry-run", "--note", "looked at it"]) == 0
    assert (retour.asked[-1].query, retour.asked[-1].document) == ({"dry_run": "true"}, {"note": "looked at it"})
    said = capsys.readouterr().out
    assert "nothing is written" in said and "10 more: --json" in said and "--result" not in said
    retour.says(f"POST {P}/batches/{identity}/discard", batch("refused"))
    assert main(["discard", identity, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "refused"
    assert main(["discard", identity, "--reason", "OTHER"]) == 2


def test_a_released_record_is_shown_with_what_it_moved(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    """The decision itself moves nothing."""
    still = {**EFFECT, "amount": {"before": "100.00", "after": "100.00"}}
    decided = {"state": "done", "counts": {"applied": 1}, "outcomes": [{**APPLIED, "effect": still}]}
    retour.says(f"POST {P}/modifications/A-1~f0/release", decided)
    retour.says(f"GET {P}/modifications/A-1~f0", {"id": "A-1~f0", "action_id": "A-1~sale", **APPLIED})
    assert main(["release", "A-1~f0"]) == 0
    said = capsys.readouterr().out
    assert "100.00 → 80.00 EUR" in said and "100.00 → 100.00" not in said


def test_a_release_says_whether_it_came_out_as_shown(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    identity = batch()["id"]
    retour.says(f"POST {P}/batches/{identity}/release", batch("working"))
    retour.says(f"GET {P}/batches/{identity}", batch(outcomes=[APPLIED], differing=0, differs=[]))
    assert main(["release", identity]) == 0
    said = capsys.readouterr().out
    assert "Every row came out as the preview had shown." in said and "shown  now" not in said


def test_secrets_come_from_standard_input_only(
    retour: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    retour.says(f"PUT {P}/sources/erp/secret", {"source": "erp", "holds": ["password"]})
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cret\n"))
    assert main(["keys", "--source", "erp", "--set", "password"]) == 0
    assert retour.asked[-1].document == {"password": "s3cret"}
    assert "s3cret" not in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["keys", "--source", "erp", "--set", "password"]) == 2


def test_redrive_says_what_was_set_going(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    retour.says("POST /v1/redrive", {"moved": {"parked": 2, "answers": 0}})
    assert main(["redrive"]) == 0
    assert capsys.readouterr().out == "parked: 2 set going again.\n"


def test_a_further_key_is_shown_once(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    retour.says(f"POST {P}/keys", {"key": "rk_acme_new", "name": "till 5", "role": "merchant"}, 201)
    assert main(["keys", "--create", "till 5"]) == 0
    assert retour.asked[-1].document == {"name": "till 5"}
    assert capsys.readouterr().out.startswith("rk_acme_new\n")


@mock_aws
def test_the_first_key_of_a_stack_is_made_with_its_owners_credentials(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    key = {"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}
    named = [{"AttributeName": name, "AttributeType": "S"} for name in ("PK", "SK")]
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {"KeySchema": key, "AttributeDefinitions": named, "BillingMode": "PAY_PER_REQUEST"},
    }
    outputs = {"LedgerTable": {"Value": {"Ref": "Table"}}, "ApiUrl": {"Value": "https://api.example"}}
    template = json.dumps({"Resources": {"Table": table}, "Outputs": outputs})
    boto3.client("cloudformation").create_stack(StackName="hub", TemplateBody=template)
    assert main(["keys", "--install", "hub"]) == 0
    url, made = capsys.readouterr().out.splitlines()
    assert url == "export RETOUR_URL=https://api.example"
    [stack] = boto3.client("cloudformation").describe_stacks(StackName="hub")["Stacks"]
    ledger = next(each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "LedgerTable")
    found = Programs(boto3.client("dynamodb"), ledger).principal(made.removeprefix("export RETOUR_KEY="))
    assert found is not None
    assert found.is_admin
    assert main(["keys", "--install", "none"]) == 1
    assert "AWS says" in capsys.readouterr().err


def test_an_openpgp_key_is_saved_for_the_sender(
    retour: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxjME\n-----END PGP PUBLIC KEY BLOCK-----\n"
    made = {"source": "erp", "fingerprint": "9A9C", "public_key": key, "made_at": "2026-11-02T09:00:00.000Z"}
    retour.says(f"POST {P}/sources/erp/openpgp", made, 201)
    assert main(["keys", "--source", "erp", "--pgp"]) == 0
    assert capsys.readouterr().out == key
    assert main(["keys", "--source", "erp", "--pgp", "--out", str(tmp_path / "erp.asc")]) == 0
    assert (tmp_path / "erp.asc").read_text() == key
    assert "9A9C" in capsys.readouterr().out
    assert main(["keys", "--pgp"]) == 2


def test_refused_rows_are_corrected_one_or_many_at_once(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    identity = "20261122T040000000Z-0123456789"
    moved = {"before": "8.00", "after": "6.40"}
    effect = {"currency": "EUR", "payout_currency": "EUR", "amount": moved, "payout": moved, "contract": 1}
    applied = {"record": "7", "action_id": "A-1~sale", "outcome": "applied", "code": "", "effect": effect}
    answer = {"batch": "20261122T040100000Z-0123456789", "counts": {"applied": 1}, "outcomes": [applied]}
    path = f"POST {P}/batches/{identity}/corrections"
    retour.says(path, answer)
    assert main(["correct", identity, "--row", "7", "--field", "Betrag=20,00", "--field", "Grund="]) == 0
    assert json.loads(retour.of(path)[-1].body) == {
        "rows": [{"record": "7", "fields": {"Betrag": "20,00", "Grund": ""}}]
    }
    assert "1 applied" in capsys.readouterr().out
    retour.says(path, {**answer, "batch": None, "dry_run": True})
    assert main(["correct", identity, "--set", "reason", "RETURN", "ITEM_RETURNED", "--dry-run"]) == 0
    asked = retour.of(path)[-1]
    assert json.loads(asked.body) == {"set": {"column": "reason", "from": "RETURN", "to": "ITEM_RETURNED"}}
    assert asked.query == {"dry_run": "true"} and "nothing is written" in capsys.readouterr().out
    wrong = ["--set", "a", "b", "c", "--row", "7", "--field", "a=b"]
    for said in ([], ["--row", "7"], ["--row", "7", "--field", "amount"], wrong):
        assert main(["correct", identity, *said]) == 2


# Rates, the limit of changes, older rules


def test_rates_are_sent_as_what_the_file_is_and_refused_rows_are_told(
    retour: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {"record": "3", "outcome": "refused", "code": "RATE_UNUSABLE", "explanation": "0 is no rate."}
    applied = {"record": "2", "outcome": "applied", "code": "", "explanation": ""}
    counts = {"applied": 1, "refused": 1}
    retour.says(f"POST {P}/rates", {"batch": "b-1", "state": "done", "counts": counts, "outcomes": [applied, refused]})
    path = tmp_path / "rates.csv"
    path.write_text("currency,from,rate\nUSD,2026-11-02,0.92\nUSD,2026-11-03,0\n")
    assert main(["rates", str(path), "--program", "acme"]) == 1
    [asked] = retour.of(f"POST {P}/rates")
    assert asked.headers["content-type"] == "text/csv" and asked.body == path.read_bytes() and asked.query == {}
    said = capsys.readouterr().out
    assert "b-1: 1 applied, 1 refused." in said and "RATE_UNUSABLE" in said
    retour.says(f"POST {P}/rates", {"batch": None, "state": "done", "counts": {"applied": 1}, "outcomes": [applied]})
    other = tmp_path / "rates.json"
    other.write_text("[]")
    assert main(["rates", str(other), "--program", "acme", "--dry-run"]) == 0
    asked = retour.of(f"POST {P}/rates")[-1]
    assert (asked.headers["content-type"], asked.query) == ("application/json", {"dry_run": "true"})


def test_the_rates_that_hold_are_shown(retour: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    one = {
        "currency": "USD",
        "rate": "0.92",
        "from": "2026-10-01",
        "until": "2026-10-31",
        "holds": False,
        "batch": None,
    }
    retour.says(f"GET {P}/rates", {"currency": "EUR", "day": "2026-11-02", "items": [one], "next": None})
    assert main(["rates", "--program", "acme", "--day", "2026-11-02"]) == 0
    assert retour.of(f"GET {P}/rates")[0].query == {"day": "2026-11-02"}
    said = capsys.readouterr().out
    assert "0.92" in said and "No rate of USD holds on that day." in said


def test_rates_that_are_none_are_a_refusal(retour: FakeHub, tmp_path: Path) -> None:
    retour.says(
        f"POST {P}/rates",
        {
            "batch": "b",
            "state": "refused",
            "counts": {},
            "outcomes": [],
            "code": "RATES_UNREADABLE",
            "explanation": "No.",
        },
    )
    path = tmp_path / "rates.csv"
    path.write_text("x")
    assert main(["rates", str(path), "--program", "acme"]) == 1


def test_a_limit_is_raised_for_one_action(retour: FakeHub) -> None:
    answer = {"batch": "b-1", "state": "done", "counts": {"applied": 1}, "outcomes": [APPLIED]}
    retour.says(f"POST {P}/actions/A-1~sale/raise-limit", answer)
    assert main(["act", "raise-limit", "A-1~sale", "--to", "1200", "--program", "acme"]) == 0
    [asked] = retour.of(f"POST {P}/actions/A-1~sale/raise-limit")
    assert asked.document["to"] == "1200"
    assert main(["act", "raise-limit", "A-1~sale", "A-2~sale", "--to", "1200", "--program", "acme"]) == 2


def test_refold_goes_on_to_the_end_and_tells_the_difference(
    retour: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    def money(before: str | None, after: str | None) -> dict[str, str | None]:
        return {"before": before, "after": after}

    one = {
        "id": "A-1~sale", "partner": "nordlicht", "amount": money("10.00", "10.00"), "payout": money("4.50", "1.50"),
        "locks_at": money(None, None),
    }  # fmt: skip
    first = {"batch": "b-1", "counts": {"applied": 1}, "differences": [one], "looked": 3, "next": "day|place"}
    last = {"batch": None, "counts": {}, "differences": [], "looked": 2, "next": None}
    retour.answers[f"POST {P}/refold"] = [CannedResponse(200, first), CannedResponse(200, last)]
    assert main(["refold", "--program", "acme"]) == 0
    assert [asked.query for asked in retour.of(f"POST {P}/refold")] == [{}, {"cursor": "day|place"}]
    said = capsys.readouterr().out
    assert "1.50" in said and "same" in said and "b-1: 1 applied." in said
    retour.says(f"POST {P}/refold", last)
    assert main(["refold", "--program", "acme", "--dry-run"]) == 0
    assert retour.of(f"POST {P}/refold")[-1].query == {"dry_run": "true"}
    assert "2 open actions were booked by older rules; today's come to the same." in capsys.readouterr().out


TERMS = {
    "event_type": "sale",
    "partners": ["xena"],
    "partner_count": 21,
    "others": False,
    "from": None,
    "before": {
        "name": "vip",
        "version": 1,
        "payout": "20%",
        "rules": 1,
        "valid_from": "2026-01-01",
        "valid_until": None,
    },
    "after": None,
}
LATER = {**TERMS, "from": "2026-12-01T00:00:00+01:00"}
PENDING = {
    "looked": 300,
    "complete": False,
    "changed": 2,
    "by_action": 0,
    "difference": "-24.00",
    "currency": "EUR",
    "partners": {"xena": {"before": "40.00", "after": "16.00", "difference": "-24.00"}},
}


def test_whose_terms_change_is_shown_before_anything_is_written(
    retour: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "acme.yaml").write_text("program: acme\n")
    looked = {
        "program": "acme",
        "version": 2,
        "changed": True,
        "dry_run": True,
        "terms": [TERMS, LATER],
        "pending": PENDING,
    }
    retour.says(f"PUT {P}", looked)
    assert main(["program", "apply", "acme.yaml", "--dry-run", "--leave-without-terms"]) == 0
    [put] = retour.of(f"PUT {P}")
    assert put.query == {"dry_run": "true", "leave_without_terms": "true"}
    out = " ".join(capsys.readouterr().out.split())
    for said in (
        "xena and 20 more",
        "vip v1 (20%)",
        "2026-12-01 vip v1",
        "none",
        "2 of 300 pending payouts",
        "-24.00",
        "Nothing was written",
    ):
        assert said in out, out


def test_a_list_is_uploaded_shown_and_listed(
    retour: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outlet.txt").write_bytes(b"BOOT-1\nOUT-*\n")
    answer = {"name": "outlet", "sha256": "0123456789abcdef", "entries": 2, "version": 2, "changed": True, "batch": "b"}
    retour.says(f"PUT {P}/lists/outlet", answer)
    assert main(["lists", "outlet", "--put", "outlet.txt", "--program", "acme"]) == 0
    [put] = retour.of(f"PUT {P}/lists/outlet")
    assert (put.body, put.headers["content-type"]) == (b"BOOT-1\nOUT-*\n", "text/plain")
    assert "List outlet: 2 entries, 0123456789ab." in capsys.readouterr().out
    item = {"name": "outlet", "sha256": "0123456789abcdef", "entries": 2, "contracts": ["standard", "vip"]}
    retour.says(f"GET {P}/lists", {"items": [item], "next": None})
    assert main(["lists", "--program", "acme"]) == 0
    assert "standard, vip" in capsys.readouterr().out
    assert main(["lists", "--put", "outlet.txt", "--program", "acme"]) == 2


def test_a_dry_run_tells_what_the_other_terms_basis_would_pay(
    retour: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "may.csv").write_text("reference,order_id,change\nr1,A-1,reverse\n")
    row = {**APPLIED, "code": "PAYOUT_RAISED", "other_basis": {"basis": "at_action", "payout": "5.95"}}
    counts = {"rows": 1, "applied": 1}
    retour.says(
        f"POST {P}/files", {"batch": None, "state": "done", "dry_run": True, "counts": counts, "outcomes": [row]}
    )
    assert main(["send", "may.csv", "--dry-run", "--program", "acme"]) == 0
    assert "(at_action: 5.95)" in " ".join(capsys.readouterr().out.split())
