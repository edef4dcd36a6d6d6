"""Money → Payments and Payees, and the partner's side of them."""

import re

from tests.conftest import ProgramHarness
from tests.console.conftest import Answer, Console
from tests.functions.test_api import Caller
from tests.functions.test_payments import IBANS, account, approved, call, confirm, ready, stated, taxed
from tests.functions.test_statements import admin, at, passed, program

__all__ = ["admin", "call", "ready", "stated"]
PAGE = "/money/payments"


def posted(page: Answer, part: str) -> dict[str, str]:
    """The form that changes something, not the one that only asks."""
    return next(form for form in page.forms() if part in form["action"] and "csrf" in form)


def test_two_people_pay_and_the_partner_sees_it(ready: ProgramHarness) -> None:
    console = Console(ready)
    ana, bea = console.person("finance", name="Ana"), console.person("finance", name="Bea")
    page = ana.get(f"{console.base}{PAGE}?next=1")
    assert "24.00" in page.said and "Not in it" not in page.said
    made = ana.send(posted(page, "/money/payments"))
    assert made.status == 303 and "~" in made.location
    own = ana.get(made.location)
    assert "another person of finance must approve it" in own.said and "/approve" not in own.text
    approve = bea.get(made.location).form("/approve")
    assert bea.send(approve).status == 303
    page = bea.get(made.location)
    assert "In payment" in page.said
    file = bea.send(page.form("/export"), format="pain001")
    assert file.status == 200 and b"pain.001.001.09" in file.body
    upload = next(
        form for form in page.forms() if "/confirm" in form["action"] and "partner" not in form and "form" not in form
    )
    told = bea.upload(upload, "bank.csv", b"partner,status,day,reason\nyuri,failed,2026-12-15,AC04\nnobody,paid,,\n")
    assert told.status == 200 and "Line 3" in told.said
    row = next(form for form in bea.get(made.location).forms() if form.get("partner") == "xena")
    assert bea.send(row, status="paid").status == 303
    page = bea.get(made.location)
    assert "Settled" in page.said and "AC04" in page.said
    assert "Paid" in bea.get(f"{console.base}/action?id=A-xena~sale").said
    xena, yuri = console.person("partner", "xena"), console.person("partner", "yuri")
    assert "on 15 Dec 2026" in xena.get("/my/statement?program=" + ready.program + "&id=2026-12-04~AC-00001").said
    assert "Paid" in xena.get(f"/my/order?program={ready.program}&id=A-xena~sale").said
    assert "AC04" in yuri.get("/my/statement?program=" + ready.program + "&id=2026-12-04~AC-00002").said
    assert "Failed" in yuri.get("/my/statements").said


def test_the_four_sums_of_a_partner(ready: ProgramHarness, call: Caller) -> None:
    from retour.counting.rollup import roll_up

    console, house = Console(ready), ready
    house.report({"order_id": "A-7", "amount": "50.00", "partner": "xena", "event_time": "2026-12-15T08:00:00+01:00"})
    program = house.hub.program(house.program)
    assert program is not None
    roll_up(house.hub, program)
    said = console.person("partner", "xena").get("/my/credit").said
    assert "4.00" in said and "8.00" in said
    batch = approved(ready, call)
    confirm(call, batch, {"partner": "xena", "status": "paid"})
    page = console.person("partner", "xena").get("/my/credit")
    cards = page.said[page.said.index("Not yet locked") : page.said.index("Sums as of")]
    assert re.findall(r"\d+\.\d\d", cards) == ["4.00", "0.00", "0.00", "8.00"], cards


def test_roles_that_only_look_are_offered_nothing(ready: ProgramHarness, call: Caller) -> None:
    console = Console(ready)
    batch = approved(ready, call)
    for role in ("admin", "manager", "operator"):
        who = console.person(role)
        for path in (PAGE, f"{PAGE}/{batch}", "/money/payees"):
            page = who.get(f"{console.base}{path}")
            assert page.status == 200 and not [form for form in page.forms() if "/money/" in form["action"]], (
                role,
                path,
            )
        csrf = console.person(role).get(f"{console.base}{PAGE}")
        assert who.post(f"{console.base}{PAGE}/{batch}/approve", csrf=csrf.form("sign-out")["csrf"]).status == 403


def test_what_changed_is_told_where_it_is_approved(ready: ProgramHarness, call: Caller) -> None:
    console = Console(ready)
    ana, bea = console.person("finance", name="Ana"), console.person("finance", name="Bea")
    made_form = posted(ana.get(f"{console.base}{PAGE}?next=1"), "/money/payments")
    made = ana.send(made_form)
    account(call, "yuri", iban=IBANS["zoe"])
    page = bea.send(bea.get(made.location).form("/approve"))
    assert page.status == 422 and "72 hours" in page.said
    again = ana.post(f"{console.base}{PAGE}", csrf=made_form["csrf"])
    assert again.status == 303 or "proposed already" in again.said


def test_accounts_are_entered_and_never_shown(ready: ProgramHarness) -> None:
    console = Console(ready)
    ana = console.person("finance", name="Ana")
    page = ana.get(f"{console.base}/money/payees")
    form = next(form for form in page.forms() if form.get("what") == "account")
    wrong = ana.send(form, partner="zoe", holder="Zoe", iban="AT611904300234573202")
    assert wrong.status == 422 and "check digits" in wrong.said and "1904300234573202" not in wrong.text
    assert ana.send({**form, "form": "2"}, partner="zoe", holder="Zoe", iban=IBANS["zoe"]).status == 303
    page = ana.get(f"{console.base}/money/payees")
    assert "AT … 3201" in page.said and IBANS["zoe"] not in page.text
    tax = next(form for form in page.forms() if form.get("what") == "tax")
    assert ana.send(tax, partner="zoe", treatment="reverse_charge", country="AT").status == 422
    assert ana.send({**tax, "form": "3"}, partner="zoe", treatment="not_taxable", country="AT").status == 303


def test_a_partner_changes_the_own_account_and_is_told(ready: ProgramHarness, call: Caller) -> None:
    console = Console(ready)
    xena = console.person("partner", "xena", name="Xena X.")
    page = xena.get("/my/account")
    assert "DE … 3000" in page.said and "If that was not you" not in page.said
    form = page.form("/my/account")
    assert xena.send(form, holder="X", iban="DE00370400440532013000").status == 422
    assert xena.send({**form, "form": "2"}, holder="X", iban=IBANS["zoe"]).status == 303
    page = xena.get("/my/account")
    assert "AT … 3201" in page.said and "If that was not you" in page.said and "Xena X." in page.said
    assert xena.send({**form, "program": "other"}, holder="X", iban=IBANS["zoe"]).status == 404
    at(ready, "2026-12-15T10:00")
    taxed(call, "xena")


def test_the_journal_and_its_verification(ready: ProgramHarness, call: Caller) -> None:
    from retour.money.journal import book

    console = Console(ready)
    confirm(call, approved(ready, call), {"partner": "xena", "status": "paid"})
    passed(ready, "2026-12-20T01:00")
    book(ready.hub, program(ready))
    page = console.person("finance").get(f"{console.base}/money/journal")
    assert "funding:default" in page.said and "Approved for payment" in page.said and "16.00" in page.said
    page = console.person("manager").get(f"{console.base}/money/journal?verify=1&account=funding")
    assert "payments agree" in page.said and "Only of funding" in page.said and "Became final" not in page.said
    ready.hub.payments(ready.program).put_statement("2026-12-04~AC-00009", {"batch": "x", "state": "paid"})
    page = console.person().get(f"{console.base}/money/journal?verify=1", accept_language="de")
    assert "AC-00009, die es nicht gibt" in page.said
