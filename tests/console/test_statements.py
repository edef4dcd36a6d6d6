"""Money → Statements: what is to come, what was made, and every line leads to its action."""

from tests.conftest import ProgramHarness
from tests.console.conftest import Console
from tests.functions.test_statements import admin, passed, stated

__all__ = ["admin", "stated"]
PAGE = "/money/statements"


def test_what_is_to_come_before_there_is_any(stated: ProgramHarness) -> None:
    console = Console(stated)
    page = console.person().get(f"{console.base}{PAGE}")
    assert page.status == 200 and "None yet." in page.said and f"{PAGE}?next=1#next" in page.text
    page = console.person().get(f"{console.base}{PAGE}?next=1")
    assert "4 Dec 2026" in page.said and "18.80" in page.said
    assert "5 days after the statement" in page.said and "Acme Shoes GmbH" in page.said


def test_a_statement_leads_to_its_actions_and_is_handed_out(stated: ProgramHarness) -> None:
    passed(stated, "2026-12-04T01:00")
    console = Console(stated)
    finance = console.person("finance", name="Fay")
    page = finance.get(f"{console.base}{PAGE}")
    assert f'href="{console.base}{PAGE}/2026-12-04~AC-00001"' in page.text and "AC-00002" in page.said
    assert "AC-00002" not in finance.get(f"{console.base}{PAGE}?partner=xena").said
    one = finance.get(f"{console.base}{PAGE}/2026-12-04~AC-00001")
    assert one.status == 200 and "10.00" in one.said and "xena" in one.said
    assert f'href="{console.base}/action?id=A-1~sale"' in one.text
    german = finance.get(f"{console.base}{PAGE}/2026-12-04~AC-00001", accept_language="de")
    assert "Abrechnung AC-00001" in german.said
    lines = finance.get(f"{console.base}{PAGE}/AC-00001/csv")
    assert lines.status == 200 and lines.body.decode("utf-8-sig").startswith("statement,partner,action_id")
    assert finance.get(f"{console.base}{PAGE}/AC-00009").status == 404


def test_a_program_without_billing_groups_is_told_how(console: Console) -> None:
    page = console.person().get(f"{console.base}{PAGE}")
    assert page.status == 200 and "no statements are made" in page.said
