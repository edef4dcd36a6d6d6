"""Money → Statements: what is to come, what was made, and every line leads to its action."""

import yaml
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
    action = finance.get(f"{console.base}/action?id=A-1~sale")
    assert f'href="{console.base}{PAGE}/2026-12-04~AC-00001"' in action.text and "Stated on 4 Dec 2026" in action.said
    german = finance.get(f"{console.base}{PAGE}/2026-12-04~AC-00001", accept_language="de")
    assert "Abrechnung AC-00001" in german.said
    lines = finance.get(f"{console.base}{PAGE}/AC-00001/csv")
    assert lines.status == 200 and lines.body.decode("utf-8-sig").startswith("statement,partner,action_id")
    assert finance.get(f"{console.base}{PAGE}/AC-00009").status == 404


def test_a_program_without_billing_groups_is_told_how(console: Console) -> None:
    page = console.person().get(f"{console.base}{PAGE}")
    assert page.status == 200 and "no statements are made" in page.said


def test_a_moved_statement_day_is_told_before_it_is_saved(stated: ProgramHarness) -> None:
    console = Console(stated)
    ana = console.person()
    form = ana.get(f"{console.base}/setup/program").form("/setup/program")
    document = stated.hub.programs.newest_version(stated.program).document
    moved = {**document, "billing_groups": {"default": {"statement": {"day": 2}}}}
    page = ana.send(form, text=yaml.safe_dump(moved), step="show")
    assert "The next statements, as it stands" in page.said and "2 Dec 2026" in page.said
    same = ana.send(form, text=yaml.safe_dump({**document, "language": "de"}), step="show")
    assert "The next statements" not in same.said


def test_partners_see_their_own_statements_and_no_other(stated: ProgramHarness) -> None:
    passed(stated, "2026-12-10T01:00")
    console = Console(stated)
    for partner, own, other in (("xena", "2026-12-04~AC-00001", "2026-12-04~AC-00002"),
                                ("nordlicht", "2026-12-10~N-00001", "2026-12-04~AC-00001")):  # fmt: skip
        browser = console.person("partner", partner, name=partner)
        page = browser.get("/my/statements")
        assert own.partition("~")[2] in page.said and other.partition("~")[2] not in page.said
        for path in ("/my/statement", "/my/statement.csv"):
            assert browser.get(f"{path}?program={stated.program}&id={own}").status == 200
            assert browser.get(f"{path}?program={stated.program}&id={other}").status == 404
            assert browser.get(f"{path}?program={stated.program}&id=nothing").status == 404
            assert browser.get(f"{path}?program=zenith&id={own}").status == 404
    xena, named = console.person("partner", "xena", name="Xena"), f"program={stated.program}&id=2026-12-04~AC-00001"
    assert "contract" not in xena.get(f"/my/statement.csv?{named}").text
    one = xena.get(f"/my/statement?{named}")
    assert "10.00" in one.said and f"/my/order?program={stated.program}&id=A-1~sale" in one.text
    assert "standard" not in one.said and console.base not in one.text, "nothing of the merchant's own"
    assert "Nothing was stated yet." in console.person("partner", "zoe", name="Zoe").get("/my/statements").said
