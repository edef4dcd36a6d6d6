"""The page of one partner, who did what, and lists as files."""

import csv
import io
from collections.abc import Callable
from urllib.parse import quote

import pytest
from tests.conftest import ProgramHarness
from tests.console.conftest import Answer, Console
from tests.console.test_operations import dropped

from retour.console import deliveries, people
from retour.console.people import Grant
from retour.counting.rollup import roll_up

Sold = Callable[..., None]
EURO = "\N{NO-BREAK SPACE}EUR"


def rows(answer: Answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))


@pytest.mark.parametrize("partner", ["nordlicht", "nörd/licht & co"])
def test_a_partner_has_a_page_with_sums_reasons_terms_and_access(
    console: Console, sold: Sold, house: ProgramHarness, partner: str
) -> None:
    sold("A-1", "A-2", partner=partner)
    house.modify({"order_id": "A-1", "change": "reverse", "reason": "CANCELLED"})
    program = house.hub.program(house.program)
    assert program is not None and roll_up(house.hub, program, now=True)
    people.create_link(house.hub, "Nora", [Grant(house.program, "partner", partner)])
    address = f"{console.base}/partner?id={quote(partner, safe='')}"
    told = console.person("admin").get(address)
    for said in (f"8.00{EURO}", "1 of 2", "Cancelled: 100%", "1: 8% of the item", "Nora", "December 2026"):
        assert said in told.said, said
    looked = console.person("finance").get(address)
    assert looked.status == 200 and "Nora" not in looked.said, "who may come in is for administrators"
    assert console.person("finance").get(f"{console.base}/partner?id=nobody").status == 404
    assert f"/partner?id={quote(partner, safe='')}" in console.person("finance").get(f"{console.base}/partners").text


def test_the_audit_tells_who_did_what_and_hands_it_out(console: Console, sold: Sold) -> None:
    sold("A-1", "A-2")
    mara = console.person("manager", name="Mara")
    mara.send(mara.get(f"{console.base}/action?id=A-1~sale").form("/action/decide"), act="approve")
    ben = console.person("manager", name="=Ben")
    form = ben.get(f"{console.base}/action?id=A-2~sale&act=reverse").form("/action/decide")
    assert ben.send({**form, "act": "reverse"}, reason="CANCELLED").status == 303
    looker = console.person("finance")
    page = looker.get(f"{console.base}/setup/audit").said
    assert "Mara" in page and "1 action approved" in page and "1 action reversed" in page
    only = looker.get(f"{console.base}/setup/audit?who=mar").said
    assert "1 action approved" in only and "1 action reversed" not in only
    told = rows(looker.get(f"{console.base}/setup/audit.csv"))
    assert [one["who"] for one in told][:2] == ["'=Ben", "Mara"], "no cell is a formula"
    assert [one["who"] for one in rows(looker.get(f"{console.base}/setup/audit.csv?who=mar"))] == ["Mara"]
    assert console.person("partner", "nordlicht").get(f"{console.base}/setup/audit.csv").status == 404


def test_deliveries_are_handed_out_as_the_filters_find_them(
    console: Console, sold: Sold, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold("A-1")
    monkeypatch.setattr(deliveries, "EXPORT_MAX", 3)
    for number in range(2):
        dropped(house, f"R-{number},A-1,take_back,1.0{number},EUR,ITEM_RETURNED", name=f"may-{number}.csv")
    browser = console.person("finance")
    told = rows(browser.get(f"{console.base}/deliveries.csv?channel=sftp"))
    assert sorted(one["name"] for one in told) == ["may-0.csv", "may-1.csv"]
    assert {one["applied"] for one in told} == {"1"} and {one["state"] for one in told} == {"done"}
    assert [one["name"] for one in rows(browser.get(f"{console.base}/deliveries.csv?q=may-1"))] == ["may-1.csv"]
