"""A written program is changed where it has to be, and stays as it was written everywhere else."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retour.setup.program_edit import rewrite
from retour.setup.program_file import parse_program

ROOT = Path(__file__).resolve().parents[2]
ACME = (ROOT / "infra/local/sample/acme.yaml").read_text()


def document(text: str = ACME) -> dict[str, Any]:
    found = parse_program(text)
    assert isinstance(found, dict), found
    return found


def lines_gone_and_new(before: str, after: str) -> tuple[list[str], list[str]]:
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_a_value_is_changed_in_its_line() -> None:
    wanted = document()
    wanted["sources"]["warehouse"]["amount_means"] = "set_total"
    wanted["contracts"]["standard"]["valid_from"] = "2026-12-01"
    gone, new = lines_gone_and_new(ACME, rewrite(ACME, wanted))
    assert gone == ["    valid_from: 2026-01-01", "    amount_means: take_back"]
    assert new == ["    valid_from: 2026-12-01", "    amount_means: set_total"]


def test_a_group_is_added_changed_and_taken_out_with_the_comments_around_it_left_alone() -> None:
    wanted = document()
    wanted["sources"]["erp"]["mapping"] = {"columns": {"order_id": ["No", "Number"]}, "date": "%d.%m.%Y"}
    wanted["sources"]["warehouse"]["mapping"]["columns"] = {"order_id": "Auftrag: Nr", "sku": "Artikel"}
    del wanted["sources"]["warehouse"]["mapping"]["encoding"]
    del wanted["sources"]["crm"]
    text = rewrite(ACME, wanted)
    assert parse_program(text) == wanted
    assert "      columns: {order_id: 'Auftrag: Nr', sku: Artikel}\n" in text
    comments = [line for line in ACME.splitlines() if line.strip().startswith("#")]
    assert [line for line in text.splitlines() if line.strip().startswith("#")] == comments


def test_rules_take_the_place_of_a_payout() -> None:
    wanted = document()
    terms = wanted["contracts"]["standard"]
    del terms["payout"]
    terms["rules"] = [{"category": ["shoes"], "pays": "8%"}, {"pays": "5%"}]
    text = rewrite(ACME, wanted)
    assert parse_program(text) == wanted
    assert "      - category: [shoes]\n        pays: 8%\n      - {pays: 5%}\n" in text


def test_json_stays_json() -> None:
    wanted = document()
    wanted["name"] = "Größe"
    assert json.loads(rewrite(json.dumps(document()), wanted)) == wanted


@pytest.mark.parametrize("ending", ["", "\n", "\n# end\n", "\n\n\n"])
def test_something_is_added_at_the_end_of_a_text_that_ends_anyhow(ending: str) -> None:
    text = ACME.rstrip("\n") + ending
    wanted = {**document(text), "waiting_days": 40}
    assert parse_program(rewrite(text, wanted)) == wanted


def test_an_empty_group_is_filled() -> None:
    text = ACME.replace("sale: {}", "sale:  # nothing yet")
    wanted = document(text)
    wanted["event_types"]["sale"] = {"repeated_orders": True}
    assert parse_program(rewrite(text, wanted)) == wanted


def test_a_text_that_is_not_right_any_more_is_written_anew() -> None:
    assert parse_program(rewrite(ACME.replace("currency: EUR", "currency: EURO"), document())) == document()


def test_the_same_again_changes_no_sign() -> None:
    assert rewrite(ACME, document()) == ACME


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@settings(max_examples=25)
@given(
    columns=st.dictionaries(st.sampled_from(("order_id", "amount", "sku", "reason")), TEXTS, min_size=1),
    reasons=st.dictionaries(TEXTS, st.sampled_from(("ITEM_RETURNED", "CANCELLED")), max_size=3),
    gone=st.sampled_from(("orders", "warehouse", "mail", "crm", "erp")),
)
def test_whatever_is_written_reads_as_it_was_meant(columns: dict[str, str], reasons: dict[str, str], gone: str) -> None:
    wanted = deepcopy(document())
    wanted["sources"]["warehouse"]["mapping"] = {"columns": columns, **({"reasons": reasons} if reasons else {})}
    del wanted["sources"][gone]
    assert parse_program(rewrite(ACME, wanted)) == wanted
