"""What a call says that nobody would read, and how a refusal is told: by its name, in the reader's language."""

import json
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from functions.api import app
from functions.file_drop import app as file_drop
from tests.conftest import ProgramHarness
from tests.functions.test_api import (
    ACTIONS,
    BATCHES,
    CONTEXT,
    FILES,
    MODIFICATIONS,
    SALE,
    Caller,
    sold,
    take_back,
    text_of,
)
from tests.functions.test_api import admin as admin
from tests.functions.test_api import call as call
from tests.gateway import event

from retour import availability
from retour.api.problem import HttpError
from retour.commands import actions as reports
from retour.errors import ConflictError, InvalidRequestError, NotAllowedError, NotFoundError, error_catalog
from retour.sentences import LANGUAGES, all_sentences, fill_in


def gateway(house: ProgramHarness, call: Caller, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
    """A call as the gateway hands it over, text for what it takes for text."""
    named = {
        "authorization": f"Bearer {call.key}",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    said = app.handler(event(method, path.replace("{p}", house.program), body, named), CONTEXT)
    return said["statusCode"], json.loads(said["body"]) if said["body"] else None, said["headers"]


def deliveries(call: Caller) -> int:
    return len(call("GET", BATCHES, query={"limit": "100"}).json["items"])


# A22: words and fields that are not known


@pytest.mark.parametrize(
    ("method", "path", "query", "closest"),
    [
        ("POST", MODIFICATIONS, {"dryrun": "true"}, "dry_run"),
        ("POST", MODIFICATIONS, {"sources": "erp"}, "source"),
        ("POST", ACTIONS, {"dry-run": "true"}, "dry_run"),
        ("POST", FILES, {"name": "a.csv", "dryRun": "true"}, "dry_run"),
        ("GET", MODIFICATIONS, {"orderid": "A-1"}, "order_id"),
        ("GET", MODIFICATIONS, {"outcomes": "held"}, "outcome"),
        ("GET", ACTIONS, {"partners": "nordlicht"}, "partner"),
        ("GET", ACTIONS, {"lock_after": "2026-11-01"}, "locks_after"),
        ("GET", BATCHES, {"sorce": "erp"}, "source"),
        ("GET", "/v1/programs/{p}", {"asof": "x"}, ""),
        ("GET", "/v1/programs", {"page": "2"}, ""),
        ("POST", "/v1/programs/{p}/uploads", {"nam": "x.csv"}, "name"),
        ("POST", "/v1/redrive", {"all": "true"}, ""),
        ("GET", "/healthz", {"deep": "1"}, ""),
    ],
)
def test_a_query_word_that_is_not_known_is_named_with_the_nearest_one(
    call: Caller, method: str, path: str, query: dict[str, str], closest: str
) -> None:
    sold(call, "Q-1")
    before = deliveries(call)
    body = take_back("Q-1", reference="R-1") if method == "POST" else None
    answer = call(method, path, body, query=query)
    assert (answer.status, answer.json["code"]) == (400, "UNKNOWN_QUERY"), answer.body
    unknown = list(query)[-1]
    assert f"`{unknown}`" in answer.json["detail"]
    assert not closest or f"Did you mean `{closest}`" in answer.json["detail"]
    assert deliveries(call) == before


def test_a_query_word_said_twice_is_refused(house: ProgramHarness, call: Caller) -> None:
    status, problem, _ = gateway(house, call, "GET", f"{MODIFICATIONS}?source=erp&source=till")
    assert (status, problem["code"]) == (400, "UNKNOWN_QUERY") and "more than once" in problem["detail"]


@pytest.mark.parametrize(
    ("path", "body", "closest"),
    [
        (f"{ACTIONS}/{{a}}/reverse", {"reasn": "CANCELLED"}, "reason"),
        (f"{ACTIONS}/acts", {"act": "approve", "actons": ["x"]}, "actions"),
        (f"{ACTIONS}/acts", {"act": "approve", "filter": {"partners": "x"}}, "partner"),
        (f"{BATCHES}/{{b}}/undo", {"reasons": "x"}, "reason"),
        (f"{BATCHES}/{{b}}/corrections", {"row": []}, "rows"),
        (f"{BATCHES}/{{b}}/replay", {"dry_run": True}, ""),
        ("/v1/programs/{p}/quote", {"parner": "x"}, "partner"),
        ("/v1/programs/{p}/sources/warehouse/test", {"really": True}, ""),
        ("/v1/programs/{p}/uploads?name=x.csv", {"size": 7}, ""),
    ],
)
def test_a_field_that_is_not_known_is_400_with_the_nearest_one(
    house: ProgramHarness, call: Caller, path: str, body: dict[str, Any], closest: str
) -> None:
    action = sold(call, "Q-2")
    batch = call("POST", MODIFICATIONS, take_back("Q-2")).json["batch"]
    before = deliveries(call)
    filled_in = path.replace("{a}", action).replace("{b}", batch)
    status, problem, _ = gateway(
        house, call, "POST", filled_in, json.dumps(body).encode(), content_type="application/json"
    )
    assert (status, problem["code"]) == (400, "UNKNOWN_FIELD"), problem
    assert not closest or f"`{closest}`" in problem["detail"]
    assert deliveries(call) == before


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/reverse", b'{"reason": "CANCELLED", "reason": "FRAUD"}', "DUPLICATE_KEY"),
        ("/modify", b'{"items": [{"line": "1", "amount": "1.00", "amount": "9.00"}]}', "DUPLICATE_KEY"),
        ("/modify", b'{"change": "take_back", "amount": 1.50}', "NUMBER_NOT_WHOLE"),
        ("/reverse", b'{"reason": "CANC\xc4LLED"}', "NOT_UTF8"),
        ("/reverse", b'{"reason": }', "NOT_JSON"),
        ("/reverse", b"[" * 60_000, "NESTED_TOO_DEEP"),
        ("/reverse", b"[]", "NOT_AN_OBJECT"),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", ""])
def test_every_json_body_is_read_as_strictly(
    house: ProgramHarness, call: Caller, path: str, body: bytes, code: str, kind: str
) -> None:
    """D16, as text of the gateway and as bytes."""
    action = sold(call, "Q-3")
    status, problem, _ = gateway(house, call, "POST", f"{ACTIONS}/{action}{path}", body, content_type=kind)
    assert (status, problem["code"]) == (400, code)
    assert call("GET", f"{ACTIONS}/{action}").json["history"] == []


def test_a_report_with_a_key_twice_is_refused_alone_and_a_body_that_is_not_utf8_whole(call: Caller) -> None:
    good, bad = json.dumps({**SALE, "order_id": "Q-4", "amount": "5.00"}), json.dumps({**SALE, "order_id": "Q-5"})
    twice = bad[:-1] + ', "amount": "1.00", "amount": "9.00"}'
    answer = call("POST", ACTIONS, f"[{good}, {twice}]".encode(), content_type="application/json").json
    assert [(one["outcome"], one["code"]) for one in answer["outcomes"]] == [
        ("applied", ""),
        ("refused", "DUPLICATE_KEY"),
    ]
    for body, code in (
        (good.replace("Q-4", "Q-ä").encode("latin-1"), "NOT_UTF8"),
        (f'{{"actions": [{good}], "actions": []}}'.encode(), "DUPLICATE_KEY"),
        (f'{{"actions": [{good}], "more": 1}}'.encode(), "UNKNOWN_FIELD"),
        (good[:-3].encode(), "NOT_JSON"),
    ):
        refused = call("POST", ACTIONS, body, content_type="application/json")
        assert (refused.status, refused.json["code"]) == (400, code), refused.body
        assert "–" not in refused.json["detail"], "every blank of the sentence is filled in"


def test_a_field_of_a_report_that_is_not_known_names_the_nearest_one(call: Caller) -> None:
    [one] = call("POST", ACTIONS, {**SALE, "order_id": "Q-6", "amount": "1", "promocode": "X"}).json["outcomes"]
    assert one["code"] == "UNKNOWN_FIELD" and "promo_code" in one["explanation"]
    [one] = call("POST", ACTIONS, {**SALE, "order_id": "Q-6", "items": [{"sku": "A", "amout": "1"}]}).json["outcomes"]
    assert one["code"] == "UNKNOWN_FIELD" and "amount" in one["explanation"]


# Lists by order, partner, source, outcome and time


def listed(call: Caller, path: str, **query: str) -> list[str]:
    answer = call("GET", path, query={name.removesuffix("_"): value for name, value in query.items()})
    assert answer.status == 200, answer.body
    return [one.get("reference") or one.get("order_id") or one["id"] for one in answer.json["items"]]


def test_lists_filter_by_order_partner_source_outcome_and_time(call: Caller, house: ProgramHarness) -> None:
    sold(call, "L-1")
    sold(call, "L-2", partner="suedwind")
    first = call("POST", MODIFICATIONS, take_back("L-1", "10.00", reference="R-1"), query={"source": "erp"}).json
    house.clock.moment += timedelta(days=3)
    second = call("POST", MODIFICATIONS, take_back("L-2", "500.00", reference="R-2"), query={"source": "till"}).json
    third = call("POST", MODIFICATIONS, take_back("L-2", "10.00", reference="R-3"), query={"source": "till"}).json
    assert [one["outcomes"][0]["outcome"] for one in (first, second, third)] == ["applied", "refused", "applied"]

    assert listed(call, MODIFICATIONS) == ["R-3", "R-2", "R-1"]
    assert listed(call, MODIFICATIONS, order_id="L-2") == ["R-3", "R-2"]
    assert listed(call, MODIFICATIONS, partner="suedwind") == ["R-3", "R-2"]
    assert listed(call, MODIFICATIONS, partner="nordlicht", order_id="L-2") == []
    assert listed(call, MODIFICATIONS, source="erp") == ["R-1"]
    assert listed(call, MODIFICATIONS, outcome="refused") == ["R-2"]
    assert listed(call, MODIFICATIONS, from_="2026-11-05") == ["R-3", "R-2"]
    assert listed(call, MODIFICATIONS, to="2026-11-02") == ["R-1"]
    assert listed(call, MODIFICATIONS, from_="2026-11-02", to="2026-11-05", outcome="applied") == ["R-3", "R-1"]
    assert listed(call, MODIFICATIONS, to="2026-11-02T09:00:00 01:00") == [], "a plus sign that nobody encoded"

    batches = [one["batch"] for one in (third, second, first)]
    assert listed(call, BATCHES, from_="2026-11-05") == batches[:2]
    assert listed(call, BATCHES, outcome="refused") == [second["batch"]]
    assert [one for one in listed(call, BATCHES, order_id="L-2") if one in batches] == batches[:2]
    assert [one for one in listed(call, BATCHES, partner="nordlicht") if one in batches] == batches[2:]
    assert listed(call, BATCHES, source="till", to="2026-11-04") == []

    assert listed(call, ACTIONS, partner="suedwind") == listed(call, ACTIONS, order_id="L-2") == ["L-2"]
    assert listed(call, ACTIONS, outcome="refused") == ["L-2"]
    assert listed(call, ACTIONS, from_="2026-11-03") == [] and listed(call, ACTIONS, to="2026-11-02") == ["L-2", "L-1"]
    assert listed(call, ACTIONS, source="actions", partner="nordlicht") == ["L-1"]
    assert listed(call, ACTIONS, source="erp") == []
    for path in (MODIFICATIONS, ACTIONS, BATCHES):
        wrong = call("GET", path, query={"from": "yesterday"})
        assert (wrong.status, wrong.json["code"]) == (400, "QUERY_INVALID")


def test_a_page_of_a_filtered_list_goes_on_where_it_was(call: Caller) -> None:
    sold(call, "L-3")
    for number in range(5):
        call("POST", MODIFICATIONS, take_back("L-3", "1.00", reference=f"R-{number}"))
    first = call("GET", MODIFICATIONS, query={"to": "2026-11-30", "limit": "2", "source": "erp"}).json
    assert [one["reference"] for one in first["items"]] == ["R-4", "R-3"]
    query = {"to": "2026-11-30", "limit": "5", "source": "erp", "cursor": first["next"]}
    assert [one["reference"] for one in call("GET", MODIFICATIONS, query=query).json["items"]] == ["R-2", "R-1", "R-0"]


# Stored now, read later


def landed(house: ProgramHarness, batch: str) -> None:
    """The object of a batch is told of, as the bucket tells it."""
    header = house.hub.deliveries(house.program).get(batch)
    assert header is not None and header.delivery.body_key.startswith("api/")
    found = {"key": header.delivery.body_key, "size": header.delivery.size}
    file_drop.handler({"detail": {"object": found}, "time": "2026-11-02T09:00:00Z"}, CONTEXT)


def test_a_hundred_actions_are_answered_at_once_and_more_are_read_later(
    call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_drop, "hub", lambda: house.hub)
    monkeypatch.setattr(reports, "SYNC_ACTIONS_MAX", 3)
    few = [{**SALE, "order_id": f"M-{number}", "amount": "10.00"} for number in range(3)]
    assert call("POST", ACTIONS, few).status == 200
    many = [{**SALE, "order_id": f"N-{number}", "amount": "10.00"} for number in range(4)]
    body = json.dumps([*many, {**SALE, "order_id": "N-9", "amout": "1"}]).encode()
    answer = call("POST", ACTIONS, body, content_type="application/json")
    assert (answer.status, answer.json["state"], answer.json["outcomes"]) == (202, "arriving", [])
    batch = answer.json["batch"]
    assert listed(call, ACTIONS, order_id="N-0") == []
    landed(house, batch)
    shown = call("GET", f"{BATCHES}/{batch}").json
    assert (shown["state"], shown["counts"]) == ("done", {"applied": 4, "refused": 1})
    assert shown["outcomes"][4]["code"] == "UNKNOWN_FIELD" and shown["outcomes"][4]["record"] == "5"
    assert call("GET", f"{BATCHES}/{batch}/raw").body == body
    rejected = call("GET", f"{BATCHES}/{batch}/rejected")
    assert json.loads(rejected.body) == [{**SALE, "order_id": "N-9", "amout": "1"}]
    assert set(listed(call, ACTIONS)) == {"M-0", "M-1", "M-2", "N-0", "N-1", "N-2", "N-3"}
    rows = "order_id,event_type,partner,event_time,amount\n" + "".join(
        f"O-{number},sale,nordlicht,2026-11-01T12:00:00Z,5.00\n" for number in range(4)
    )
    csv = call("POST", ACTIONS, rows.encode(), content_type="text/csv")
    assert csv.status == 202
    landed(house, csv.json["batch"])
    assert call("GET", f"{BATCHES}/{csv.json['batch']}").json["counts"] == {"applied": 4}


def test_a_repeated_large_call_counts_once(
    call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_drop, "hub", lambda: house.hub)
    monkeypatch.setattr(reports, "SYNC_ACTIONS_MAX", 1)
    many = [{**SALE, "order_id": f"P-{number}", "amount": "10.00"} for number in range(2)]
    first = call("POST", ACTIONS, many, idempotency_key="k")
    again = call("POST", ACTIONS, many, idempotency_key="k")
    assert first.status == again.status == 202 and first.json == again.json
    landed(house, first.json["batch"])
    unkeyed = call("POST", ACTIONS, many).json["batch"]
    landed(house, unkeyed)
    assert call("GET", f"{BATCHES}/{unkeyed}").json["counts"] == {"duplicate": 2}


def test_who_prefers_not_to_wait_is_answered_202(
    call: Caller, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_drop, "hub", lambda: house.hub)
    sold(call, "Q-9")
    records = [take_back("Q-9", "1.00", reference="R-1"), take_back("Q-9", "x", reference="R-2")]
    answer = call("POST", MODIFICATIONS, records, prefer="respond-async, wait=5")
    assert (answer.status, answer.json["outcomes"]) == (202, [])
    landed(house, answer.json["batch"])
    shown = call("GET", f"{BATCHES}/{answer.json['batch']}").json
    assert (shown["counts"], shown["source"]) == ({"applied": 1, "refused": 1}, "erp")


# C12: exact bytes


@pytest.mark.parametrize(
    "kind", ["text/csv", "text/csv; charset=iso-8859-1", "text/plain", "application/xml", "application/json"]
)
def test_bytes_that_a_content_type_would_not_keep_are_refused_with_the_type_that_does(
    house: ProgramHarness, call: Caller, kind: str
) -> None:
    body = "reference,order_id,change,note\nR-1,Q-7,reverse,größer\n".encode("latin-1")
    path = f"{FILES}?name=latin1.csv"
    status, problem, _ = gateway(house, call, "POST", path, body, content_type=kind)
    assert (status, problem["code"]) == (415, "BYTES_NOT_KEPT")
    assert "application/octet-stream" in problem["detail"] and kind.partition(";")[0] in problem["detail"]
    assert deliveries(call) == 1, "the program itself"
    for keeps in ("application/octet-stream", "application/vnd.ms-excel", ""):
        status, batch, _ = gateway(house, call, "POST", path, body, content_type=keeps)
        assert status == 202
        assert call("GET", f"{BATCHES}/{batch['batch']}/raw").body == body


def test_text_that_is_utf8_is_kept_to_the_byte(house: ProgramHarness, call: Caller) -> None:
    body = "\ufeffreference;order_id\r\nR-1;Q-8 ü €\r\n\n".encode()
    status, batch, _ = gateway(house, call, "POST", f"{FILES}?name=utf8.csv", body, content_type="text/csv")
    assert status == 202
    assert call("GET", f"{BATCHES}/{batch['batch']}/raw").body == body


def test_a_check_of_a_file_sees_the_bytes_that_were_sent_or_says_so(house: ProgramHarness, call: Caller) -> None:
    path = "/v1/programs/{p}/sources/warehouse/check?name=a.csv"
    body = "reference,order_id,change\nR,ö,reverse\n".encode("latin-1")
    assert gateway(house, call, "POST", path, body, content_type="text/csv")[1]["code"] == "BYTES_NOT_KEPT"
    assert gateway(house, call, "POST", path, body, content_type="application/octet-stream")[0] == 200


# The front's own refusals


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", MODIFICATIONS, "GET, HEAD, POST, OPTIONS"),
        ("POST", "/v1/programs", "GET, HEAD, OPTIONS"),
        ("PATCH", "/v1/programs/{p}", "GET, HEAD, PUT, OPTIONS"),
        ("GET", "/v1/redrive", "POST, OPTIONS"),
        ("GET", "/v1/programs/{p}/hooks/erp", "POST, OPTIONS"),
        ("POST", "/v1/program.schema.json", "GET, HEAD, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
    ],
)
def test_another_method_is_405_with_those_there_are(call: Caller, method: str, path: str, allow: str) -> None:
    answer = call(method, path)
    assert (answer.status, answer.json["code"], answer.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", allow)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_path_that_is_nobodys_is_404_without_a_key(house: ProgramHarness, call: Caller) -> None:
    for method, path in (("GET", "/favicon.ico"), ("POST", "/"), ("GET", "/v2/programs")):
        answer = Caller("", house.program)(method, path)
        assert (answer.status, answer.json["code"]) == (404, "NOT_FOUND")


def test_head_is_get_without_its_body(call: Caller) -> None:
    answer = call("HEAD", MODIFICATIONS)
    assert (answer.status, answer.body) == (200, b"")
    assert call("HEAD", f"{ACTIONS}/none").status == 404


def test_pages_of_other_origins_may_read_what_is_open_and_nothing_else(house: ProgramHarness, call: Caller) -> None:
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    nobody = Caller("", house.program)
    refused = nobody("OPTIONS", MODIFICATIONS, **{k.replace("-", "_"): v for k, v in asked.items()})
    assert (refused.status, refused.json["code"]) == (403, "CORS_NOT_OFFERED")
    assert nobody("OPTIONS", MODIFICATIONS).headers["allow"] == "GET, HEAD, POST, OPTIONS"
    assert nobody("GET", "/openapi.json").headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in call("GET", MODIFICATIONS).headers
    assert nobody("OPTIONS", "/v1/nothing").status == 404


def test_control_characters_in_a_path_are_400(house: ProgramHarness, call: Caller) -> None:
    for path in (
        f"{ACTIONS}/A%00B",
        f"{ACTIONS}/A%0AB",
        f"{ACTIONS}/A%7F",
        f"{BATCHES}/%1B",
        f"{MODIFICATIONS}/%C2%85",
    ):
        status, problem, _ = gateway(house, call, "GET", path)
        assert (status, problem["code"]) == (400, "PATH_INVALID"), path


# In whose language


def test_a_refusal_is_told_in_the_programs_language(admin: Caller, call: Caller, house: ProgramHarness) -> None:
    assert admin("PUT", "/v1/programs/{p}", text_of(house.program, language="de")).status == 200
    answer = call("GET", BATCHES, query={"limit": "none"}, accept_language="fr")
    assert answer.headers["content-language"] == "de" and "muss eine ganze Zahl" in answer.json["detail"]
    wrong = admin("PUT", "/v1/programs/{p}", b"program: [")
    assert (wrong.status, wrong.headers["content-language"]) == (422, "de")


def test_who_has_no_program_is_told_in_a_language_it_accepts_and_learns_nothing_by_it(
    admin: Caller, call: Caller, house: ProgramHarness
) -> None:
    assert admin("PUT", "/v1/programs/{p}", text_of(house.program, language="de")).status == 200
    stranger = Caller("rk_nobody_0123456789abcdef", house.program)
    answer = stranger("GET", MODIFICATIONS, accept_language="pt-BR, en;q=0.5, fr;q=0.8")
    assert (answer.status, answer.headers["content-language"]) == (401, "fr")
    weighed = stranger("GET", MODIFICATIONS, accept_language="de;q=0.2, fr;q=0, ja, en;q=0.1")
    assert weighed.headers["content-language"] == "de"
    foreign = Caller(call.key, "somebody-elses")("GET", MODIFICATIONS, accept_language="ja")
    assert (foreign.status, foreign.headers["content-language"]) == (404, "en")


@pytest.mark.parametrize("code", sorted(error_catalog()))
def test_every_problem_has_its_sentence_in_every_language(code: str) -> None:
    from tests.test_sentences import placeholders

    entry = error_catalog()[code]
    assert 400 <= entry["status"] < 600
    for texts in (entry["title"], *entry["sentences"].values()):
        assert set(texts) == set(LANGUAGES) and all(texts.values())
        assert len({frozenset(placeholders(text)) for text in texts.values()}) == 1
        assert fill_in(texts, {}, "de")


def test_every_error_in_the_code_has_its_sentence_and_the_status_of_its_kind() -> None:
    import re
    from pathlib import Path

    kinds = {
        one.__name__: one for one in (InvalidRequestError, NotAllowedError, NotFoundError, ConflictError, HttpError)
    }
    raised = re.compile(rf'(?<![\w.])({"|".join(kinds)})\(\s*"([\w]+)"(?:,\s*"(\w+)")?')
    used: set[str] = set()
    for place in ("shared/retour", "functions", "infra/local"):
        for path in Path(__file__).parents[2].joinpath(place).rglob("*.py"):
            for kind, code, about in raised.findall(path.read_text()):
                if kind == "NotFoundError":
                    code, about = "NOT_FOUND", code
                used.add(code)
                assert code in error_catalog() or code in all_sentences(), (path, code)
                if code in error_catalog():
                    assert not about or about in error_catalog()[code]["sentences"], (path, code, about)
                    assert error_catalog()[code]["status"] in (kinds[kind].statuses or range(400, 600)), (path, code)
    assert len(used) > 60


# What nobody foresaw, and what takes too long


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch


def test_a_fault_of_ours_is_a_problem_document_with_a_reference(call: Caller, broken: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("secret words of the inside")

    broken.setattr(app.batches, "list_batches", fails)
    answer = call("GET", BATCHES)
    assert (answer.status, answer.json["code"]) == (500, "INTERNAL_ERROR")
    assert "inside" not in answer.json["detail"] and answer.json["detail"].endswith(": 1.")


def test_a_call_that_takes_too_long_is_answered_before_the_gateway_gives_up(
    call: Caller, house: ProgramHarness, broken: pytest.MonkeyPatch
) -> None:
    from retour import wiring

    def slow(*_: Any) -> Any:
        try:
            time.sleep(20)
        except Exception as error:  # Nothing on the way may take it for a failure of its own.
            raise AssertionError from error

    broken.setattr(app.batches, "list_batches", slow)
    broken.setattr(availability, "SECONDS", 1)
    wiring.hub.cache_clear()
    began = time.monotonic()
    answer = call("GET", BATCHES)
    assert (answer.status, answer.json["code"]) == (503, "TIMED_OUT") and time.monotonic() - began < 5
    assert answer.headers["retry-after"] == "5"
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0, "nothing is left running"


def test_nobody_without_a_key_meets_a_fault_of_ours(house: ProgramHarness, call: Caller) -> None:
    """Every route by every method, without a key: what it says does not turn on what there is, and is never 5xx."""
    from retour.api.openapi import load_path_patterns

    nobody, keys = Caller("", house.program), {"idempotency_key": "k"}
    count = 0
    for pattern, _ in load_path_patterns():
        path = pattern.pattern.replace(r"\.", ".").replace("[^/]+", house.program, 1).replace("[^/]+", "x")
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            for body in (None, {"a": 1}, b"\xff"):
                answer = nobody(method, path, body, **keys)
                assert answer.status < 500, (method, path, answer.body)
                elsewhere = Caller("", "nobodys-program")(
                    method, path.replace(house.program, "nobodys-program"), body, **keys
                )
                assert (elsewhere.status, elsewhere.body) == (answer.status, answer.body), (method, path)
                count += 1
    assert count > 700


def test_a_refusal_can_be_raised_with_any_details() -> None:
    refused = InvalidRequestError("UNKNOWN_FIELD", "none", field="{x}")
    assert refused.sentence("en").endswith("got `{x}`. Nothing was changed.")
