"""Money → Funding: the verdict in words and as a picture, published figures, own ones, and the contracts in force."""

import re
from copy import deepcopy

import yaml
from tests.conftest import PROGRAM, ProgramHarness
from tests.console.conftest import Console

PAGE = "/money/funding"


def with_returns(house: ProgramHarness) -> None:
    document = {"program": house.program, **deepcopy(PROGRAM)}
    document["event_types"]["sale"] = {"returns": {"window_days": 28, "lag_days": 2}}
    document["billing_groups"] = {"default": {"statement": {"day": 4}}}
    house.apply(document)


def test_published_figures_are_shown_with_a_picture_and_a_table(console: Console) -> None:
    page = console.person().get(f"{console.base}{PAGE}?preset=amazon-seller")
    assert page.status == 200 and "303 of them have no day to spare" in page.said
    assert "is locked on 2 March" in page.said and "31 January" in page.said
    (picture,) = re.findall(r'<svg class="chart" .*?</svg>', page.body.decode())
    assert picture.count('class="line') == 3 and "f-wait" in picture and "f-bad" not in picture
    assert page.body.decode().count('<tr><th scope="row" class="nowrap">') == 12
    assert 'value="28"' in page.text and 'value="month" selected' in page.text
    assert "is not tried" in page.said, "the program does not say how long returns can be reported"


def test_own_figures_and_what_is_wrong_with_them(console: Console) -> None:
    figures = "lock_months=1&lock_days=1&lock_after=month&lock_moment=end&sticky=yes&window_days=28&lag_days=2"
    page = console.person().get(f"{console.base}{PAGE}?{figures}&statement_day=4&paid=statement")
    assert "Unsafe: 303 of the 146,097 dates" in page.said and "f-bad" in page.text
    for wrong, about in (
        ("lock_after=month&lock_months=x&window_days=28&paid=next", "Not a valid lock"),
        ("lock_after=event&lock_days=30&window_days=-3&paid=next", "Days to return it must be a whole number"),
        ("lock_after=event&lock_days=30&window_days=3&statement_day=31&paid=statement", "1 to 28"),
        ("lock_after=event&lock_days=30&window_days=3&paid=day&paid_number=31", "Not a valid payment day"),
        ("lock_after=event&lock_days=30&window_days=3&paid=sometime", "Not a valid payment day"),
    ):
        page = console.person().get(f"{console.base}{PAGE}?{wrong}")
        assert page.status == 422 and about in page.said, wrong


def test_contracts_in_force_the_gravest_first(console: Console, house: ProgramHarness) -> None:
    with_returns(house)
    page = console.person().get(f"{console.base}{PAGE}")
    assert page.status == 200 and 'id="verdict"' in page.text and "“leads” is not tried" in page.said
    german = console.person().get(f"{console.base}{PAGE}", accept_language="de")
    assert "Finanzierung" in german.said and "146.097 Tage" in german.said
    assert "reported up to 30 days after the order" in console.person().get(f"{console.base}/setup/event-types").said
    assert "standard" in page.said and f'href="{console.base}{PAGE}?contract=standard"' in page.text


def test_the_editor_of_the_program_warns(console: Console, house: ProgramHarness) -> None:
    ana = console.person()
    form = ana.get(f"{console.base}/setup/program").form("/setup/program")
    document = house.hub.programs.newest_version(house.program).document
    wanted = yaml.safe_load(yaml.safe_dump(document))
    wanted["event_types"]["sale"] = {"returns": {"window_days": 60}}
    page = ana.send(form, text=yaml.safe_dump(wanted), step="show")
    assert "Funding of “standard”" in page.said and "146,097" in page.said


def test_finance_sees_it_and_a_stranger_does_not(console: Console) -> None:
    assert console.person("finance", name="Fay").get(f"{console.base}{PAGE}").status == 200
    assert 'id="verdict"' not in console.visitor().get(f"{console.base}{PAGE}").text
    assert console.person("admin", program="zenith", name="Zoe").get(f"{console.base}{PAGE}").status == 404
