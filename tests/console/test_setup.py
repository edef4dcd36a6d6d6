"""Setting up: a mapping drawn on a file, terms tried before they hold, the calendar of locks, the program itself."""

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
import yaml
from tests.channels import hook_samples
from tests.conftest import PROGRAM, ProgramHarness
from tests.console.conftest import Answer, Browser, Console
from tests.domain.cases import condition_case
from tests.files import workbooks

from retour.domain.contracts.conditions import CONDITIONS

FIXED = "\N{NO-BREAK SPACE}"
Sold = Callable[..., None]
GERMAN = (
    b"Bestellnummer;Artikel;Wert;Datum;Grund;Farbe\r\n"
    b"A-1;SHOE;40,00;04/05/26;R1;rot\r\nA-2;SHOE;1.040,00;06/05/26;R2;blau\r\n"
)


def mapping(console: Console, source: str = "warehouse") -> str:
    return f"{console.base}/setup/sources/{source}/mapping"


def uploaded(console: Console, browser: Browser, body: bytes = GERMAN, source: str = "warehouse") -> Answer:
    form = browser.get(mapping(console, source)).form("/mapping")
    return browser.upload(form, "may.csv", body)


def fields(answer: Answer) -> dict[str, str]:
    """What the editor's form would send: hidden fields, what is chosen and checked, and what is typed."""
    inner = answer.body.decode().partition('<form id="editor"')[2].partition("</form>")[0]
    head = inner.partition(">")[0]
    found = {"action": unescape(re.search(r'action="([^"]*)"', head)[1])}  # type: ignore[index]
    for attributes in re.findall(r"<input([^>]*)>", inner):
        one = {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', attributes)}
        if one.get("type") not in ("checkbox", "radio") or " checked" in attributes:
            found[one["name"]] = one.get("value", "")
    for name, options in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', inner, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)"[^>]* selected', options)
        first = re.search(r'<option value="([^"]*)"', options)
        found[unescape(name)] = unescape((chosen or first)[1]) if chosen or first else ""  # type: ignore[index]
    return found


def in_force(house: ProgramHarness, source: str = "warehouse") -> dict[str, Any]:
    found: dict[str, Any] = house.hub.programs.versions(house.program)[0].document["sources"][source]
    return found


# Mapping


def test_a_mapping_is_suggested_corrected_and_saved_as_the_next_version(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1")
    browser = console.person("admin")
    page = uploaded(console, browser)
    assert page.status == 200 and page.text.count(">suggested<") == 5
    form = fields(page)
    assert form["column:1"] == "order_id" and form["column:6"] == ""
    assert form["decimal"] == "," and form["date"] == "", "what could be two days is left to the person"
    assert "%d/%m/%y04/05/26 = 4 May 2026" in page.said and "%m/%d/%y04/05/26 = 5 Apr 2026" in page.said
    form |= {"date": "%d/%m/%y", "reason-means:1": "ITEM_RETURNED", "reason-means:2": "ORDER_ERROR"}
    read = browser.send(form)
    assert "2 rows: 0 read, 2 not read" in read.said, "nobody said what the amount means"
    assert f"payouts −4.80{FIXED}EUR" in read.text and f"payouts −3.20{FIXED}EUR" in read.text
    form = fields(read) | {"amount_means": "take_back"}
    read = browser.send(form)
    assert "2 rows: 2 read, 0 not read" in read.said
    assert "Order A-1, item SHOE: 40.00 is taken back." in read.text and "Item returned" in read.said
    assert in_force(house) == {"channel": "sftp"}, "nothing is saved before it is shown"
    shown = browser.send(fields(read), step="show")
    assert "amount_means: take_back" in shown.text and "Apply as version 2" in shown.text
    done = browser.send(fields(shown), step="save")
    assert done.status in (200, 303)
    assert in_force(house) == {
        "channel": "sftp",
        "amount_means": "take_back",
        "mapping": {
            "columns": {
                "order_id": "Bestellnummer",
                "sku": "Artikel",
                "amount": "Wert",
                "reason": "Grund",
                "occurred_at": "Datum",
            },
            "reasons": {"R1": "ITEM_RETURNED", "R2": "ORDER_ERROR"},
            "decimal": ",",
            "date": "%d/%m/%y",
        },
    }
    assert not house.order("A-1").records


def test_a_mapping_keeps_what_the_file_does_not_show(console: Console, house: ProgramHarness) -> None:
    declared: dict[str, Any] = {
        "columns": {"order_id": ["Nr", "Bestellnummer"], "quantity": ["Menge", "Anzahl"], "amount": "Betrag"},
        "reasons": {"R7": "CANCELLED"},
        "encoding": "cp1252",
        "decimal": ",",
    }
    source = {"channel": "sftp", "amount_means": "take_back", "mapping": declared}
    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "warehouse": source}})
    browser = console.person("admin")
    page = uploaded(console, browser, b"bestellnummer;Betrag;Grund\r\nA-1;1,50;R1\r\n")
    assert "It cannot be read so" not in page.text and "Declared, and not in this file" in page.text
    form = fields(page)
    assert form["keep:quantity"] == "1" and form["column:1"] == "order_id"
    shown = browser.send(form, **{"column:3": "reason", "reason-means:1": "", "step": "show"})
    first = browser.send(fields(shown), **{"reason-means:1": "ITEM_RETURNED", "step": "show"})
    assert browser.send(fields(first), step="save").status in (200, 303)
    assert in_force(house)["mapping"] == {
        **declared,
        "columns": {**declared["columns"], "reason": "Grund"},
        "reasons": {"R7": "CANCELLED", "R1": "ITEM_RETURNED"},
    }


def test_a_declared_column_that_no_file_has_any_more_is_named_and_taken_out(
    console: Console, house: ProgramHarness
) -> None:
    source = {"channel": "sftp", "mapping": {"columns": {"order_id": "Nr", "quantity": "Menge"}}}
    house.apply({**PROGRAM, "sources": {"warehouse": source}})
    browser = console.person("admin")
    page = uploaded(console, browser, b"Nr;Stand\nA-1;Retoure\n")
    assert "It cannot be read so" in page.text and "Menge" in page.said
    form = fields(page)
    del form["keep:quantity"]
    again = browser.send(form, **{"column:2": "status"})
    again = browser.send(fields(again), **{"status-means:1": "reverse"})
    assert "1 row: 1 read, 0 not read" in again.said and "Order A-1: reversed" in again.text


def test_two_columns_cannot_be_one_field_and_the_choice_stays(console: Console, house: ProgramHarness) -> None:
    browser = console.person("admin")
    form = fields(uploaded(console, browser))
    answer = browser.send(form, **{"column:6": "amount", "step": "save", "version": "1"})
    assert answer.status == 422 and "Another column is read as this already" in answer.text
    assert fields(answer)["column:6"] == "amount" and in_force(house) == {"channel": "sftp"}


def test_somebody_was_faster_and_the_drawn_mapping_is_compared_with_theirs(
    console: Console, house: ProgramHarness
) -> None:
    browser = console.person("admin")
    shown = browser.send(fields(uploaded(console, browser)), step="show")
    house.apply({**PROGRAM, "name": "Acme Boots"})
    late = browser.send(fields(shown), step="save")
    assert late.status == 409 and "applied version 2 meanwhile" in late.text and "Apply as version 3" in late.text
    assert browser.send(fields(late), step="save").status in (200, 303)
    document = house.hub.programs.versions(house.program)[0].document
    assert document["name"] == "Acme Boots" and document["sources"]["warehouse"]["mapping"]["decimal"] == ","


def test_a_known_layout_needs_no_mapping(console: Console) -> None:
    page = uploaded(console, console.person("admin"), b"PID,OID,AMOUNT\n1,A-1,30.00\n")
    assert "Recognised as Pepperjam" in page.text and "it needs no mapping" in page.text
    assert "column:1" not in fields(page) and "step" not in page.text.partition("</form>")[0].partition("editor")[2]


def test_the_newest_file_of_a_source_is_a_sample(console: Console, house: ProgramHarness) -> None:
    house.file(b"order_id,change,reason\nA-1,reverse,CANCELLED\nA-2,vanish,CANCELLED\n", name="tuesday.csv")
    browser = console.person("admin")
    start = browser.get(mapping(console))
    form = next(one for one in start.forms() if "delivery" in one)
    page = browser.send(form)
    assert "Order A-1: reversed" in page.text and page.text.index("vanish") < page.text.index("Order A-1: reversed")
    block = browser.ask("POST", form["action"], b"", {"hx-request": "true"})
    assert block.status == 403, "a block needs the form's own token as well"


def test_a_change_is_answered_with_the_editor_alone(console: Console) -> None:
    browser = console.person("admin")
    form = fields(uploaded(console, browser))
    browser.headers["hx-request"] = "true"
    block = browser.send(form, amount_means="take_back")
    assert block.status == 200 and block.text.lstrip().startswith("<form") and "<html" not in block.text


@pytest.mark.parametrize("packed", ["", "x", "eJw=", "\N{SNOWMAN}", "A" * 5000])
def test_a_sample_that_is_none_is_told(console: Console, packed: str) -> None:
    browser = console.person("admin")
    form = fields(uploaded(console, browser))
    answer = browser.send(form, sample=packed)
    assert answer.status == 422 and 'role="alert"' in answer.text


def test_only_administrators_draw_mappings_and_only_of_sources_that_send_something_to_read(
    console: Console, house: ProgramHarness
) -> None:
    assert console.person("manager").get(mapping(console)).status == 403
    house.apply({**PROGRAM, "sources": {"hooks": {"channel": "api", "kind": "shopify", "event_type": "sale"}}})
    page = console.person("admin").get(mapping(console, "hooks"))
    assert page.status == 200 and 'name="column:' not in page.text, "its messages are read in words, nothing is mapped"
    assert console.person("admin").get(mapping(console, "nothing")).status == 404


def test_what_is_changed_after_looking_is_looked_at_again(console: Console, house: ProgramHarness) -> None:
    browser = console.person("admin")
    shown = browser.send(fields(uploaded(console, browser)), step="show")
    other = browser.send(fields(shown), amount_means="set_total", step="save")
    assert other.status == 409 and "You changed it after you looked" in other.text
    assert in_force(house) == {"channel": "sftp"}
    assert browser.send(fields(other), step="save").status in (200, 303)
    assert in_force(house)["amount_means"] == "set_total"


# Contracts


def terms_page(console: Console, name: str = "standard") -> str:
    return f"{console.base}/setup/contracts/{name}"


def test_who_is_paid_what_is_told_for_an_invented_order_by_two_versions(
    console: Console, house: ProgramHarness
) -> None:
    rules = [
        {"category": ["bags"], "pays": "12%"},
        {"category": ["shoes"], "pays": "8%"},
        {"sku": ["GIFT"], "pays": "1.50"},
    ]
    standard = {"event_type": "sale", "valid_from": "2026-01-01", "rules": rules, "lock": {"days_after_event": 30}}
    house.apply({**PROGRAM, "contracts": {**PROGRAM["contracts"], "standard": standard}})
    opened = house.hub.programs.get(house.program)
    assert opened is not None
    numbers = {one.version: one.number for one in opened.contracts if one.name == "standard"}
    order = "event_type=sale&partner=nordlicht&day=2026-11-01&category:1=shoes&amount:1=60.00"
    order += "&category:2=shipping&amount:2=4.90&sku:3=GIFT&quantity:3=2&amount:3=0.00"
    page = console.person("finance").get(f"{console.base}/setup/contracts?{order}&beside={numbers[1]}")
    assert f"Rule 2 pays 8% of shoes: 4.80{FIXED}EUR" in page.text
    assert f"Rule 3 pays 1.50{FIXED}EUR for each unit of GIFT: 3.00{FIXED}EUR" in page.text
    assert "No rule pays for shipping: nothing" in page.text and f"Total: 7.80{FIXED}EUR" in page.text
    assert f"Total: 5.19{FIXED}EUR" in page.text, "version 1 beside it"
    wrong = console.person("finance").get(f"{console.base}/setup/contracts?{order}&day=2026-13-01")
    assert wrong.status == 422 and "2026-13-01" in wrong.text


def test_rules_are_ranked_tried_and_saved_with_their_effect_on_what_is_pending(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1", "A-2")
    browser = console.person("admin")
    form = fields(browser.get(terms_page(console)))
    assert form["pays:rule:1"] == "8%" and form["amount:1"] == "60.00"
    more = browser.send(form, do="add")
    typed = fields(more) | {"pays:rule:2": "10%", "category:rule:2": 'shoes, "bags, small"', "category:1": "shoes"}
    tried = browser.send(typed)
    assert f"Rule 1 pays 8% of shoes: 4.80{FIXED}EUR" in tried.text, "the first that fits pays"
    first = browser.send(fields(tried), do="up:2")
    assert fields(first)["pays:rule:1"] == "10%" and fields(first)["category:rule:1"] == 'shoes, "bags, small"'
    assert f"Rule 1 pays 10% of shoes: 6.00{FIXED}EUR" in first.text
    assert house.hub.programs.get(house.program).version == 1  # type: ignore[union-attr]
    shown = browser.send(fields(first), valid_from="2026-11-01", step="show")
    assert "Nothing is booked by saving" in shown.text and "2 pending actions were looked at" in shown.text
    assert f"+4.00{FIXED}EUR together" in shown.text and "pays: 10%" in shown.text
    assert browser.send(fields(shown), step="save").status in (200, 303)
    saved = house.hub.programs.versions(house.program)[0].document["contracts"]["standard"]
    assert saved["rules"] == [{"category": ["shoes", "bags, small"], "pays": "10%"}, {"pays": "8%"}]
    assert "payout" not in saved and saved["lock"] == {"days_after_event": 30}
    assert house.payouts("A-1")["A-1~sale"][1] == 800, "what is booked stays"
    house.modify({"order_id": "A-1", "change": "take_back", "amount": "50.00", "currency": "EUR"})
    assert house.payouts("A-1")["A-1~sale"][1] == 500


def test_a_payout_stays_a_payout_and_what_is_wrong_stands_beside_its_field(
    console: Console, house: ProgramHarness
) -> None:
    browser = console.person("admin")
    form = fields(browser.get(terms_page(console)))
    wrong = browser.send(form, **{"pays:rule:1": "eight", "valid_from": "soon", "step": "show"})
    assert wrong.status == 422 and 'id="w-pays-rule-1"' in wrong.text and 'id="w-valid_from"' in wrong.text
    assert fields(wrong)["pays:rule:1"] == "eight" and "Cannot be calculated until the errors are fixed" in wrong.text
    shown = browser.send(form, **{"pays:rule:1": "9%", "partners": "nordlicht, schuhblog", "step": "show"})
    assert shown.status == 422 and "no contract pays for 'sale' to all partners" in shown.text
    shown = browser.send(form, **{"pays:rule:1": "9%", "step": "show"})
    assert browser.send(fields(shown), step="save").status in (200, 303)
    assert house.hub.programs.versions(house.program)[0].document["contracts"]["standard"]["payout"] == "9%"


RANKED = {
    **PROGRAM["contracts"]["standard"],
    "terms_basis": "at_action",
    "cascade": "warn",
    "valid_until": "2027-12-31",
    "lock": [
        {"payment_method": ["direct_debit"], "not": {"country": ["CH"]}, "days_after_event": 60,
         "lock_moment": "start"},
        {"currency": ["USD"], "months_after_month_end": 1, "days_after_month_end": 2, "month_end_sticky": True},
        {"order_value": {"from": "500.00"}, "days_after_status": 21, "statuses": ["shipped", "paid, partly"],
         "restart": "leaving"},
        {"open_ended": True, "days_max": 365},
    ],
}  # fmt: skip


def test_everything_that_a_contract_says_stands_in_the_form_and_stays_as_it_is(
    console: Console, house: ProgramHarness
) -> None:
    gold = {**RANKED, "groups": ["gold"], "partners": ["schuhblog"], "lock": {"days_after_event": 30}}
    groups = {"gold": ["nordlicht"], "silver": ["suedwind"]}
    house.apply({**PROGRAM, "groups": groups, "contracts": {**PROGRAM["contracts"], "standard": RANKED, "gold": gold}})
    browser = console.person("admin")
    for name in ("standard", "gold"):
        page = browser.get(terms_page(console, name))
        shown = browser.send(fields(page), step="show")
        assert "Nothing: it is the same as version 2" in shown.text, shown.said
    assert "Groups: gold, silver." in page.text
    form = fields(browser.get(terms_page(console)))
    assert form["way:lock:1"] == "days_after_event" and form["not.country:lock:1"] == "CH"
    assert form["statuses:lock:3"] == 'shipped, "paid, partly"' and form["restart:lock:3"] == "leaving"
    assert form["days_max:lock:4"] == "365" and "country:lock:4" not in form, "the last lock is for all others"


def test_whom_a_contract_is_for_and_when_it_ends_are_edited(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1")
    vip = deepcopy(PROGRAM["contracts"]["standard"]) | {"partners": ["schuhblog"], "payout": "12%"}
    contracts = {**PROGRAM["contracts"], "vip": vip}
    house.apply({**PROGRAM, "groups": {"gold": ["nordlicht"]}, "contracts": contracts})
    browser = console.person("admin")
    form = fields(browser.get(terms_page(console, "vip")))
    typed = {"partners": "", "groups": "gold", "valid_until": "2027-06-30", "cascade": "cascade"}
    shown = browser.send(form, **typed, step="show")
    change = shown.said.partition("Whose terms change")[2]
    assert "nordlicht" in change and "vip v2 (12%)" in change and "standard v1 (8%)" in change
    assert browser.send(fields(shown), step="save").status in (200, 303)
    saved = house.hub.programs.versions(house.program)[0].document["contracts"]["vip"]
    assert saved == {
        "event_type": "sale", "valid_from": "2026-01-01", "payout": "12%", "lock": {"days_after_event": 30},
        "groups": ["gold"], "valid_until": "2027-06-30", "cascade": "cascade",
    }  # fmt: skip
    house.modify({"order_id": "A-1", "change": "take_back", "amount": "50.00", "currency": "EUR"})
    assert house.payouts("A-1")["A-1~sale"][1] == 600, "the group has the terms"


def test_locks_are_ranked_by_what_was_reported(console: Console, sold: Sold, house: ProgramHarness) -> None:
    browser = console.person("admin")
    more = browser.send(fields(browser.get(terms_page(console))), do="lock-add")
    form = fields(more)
    assert form["days_after_event:lock:2"] == "30" and form["days_after_event:lock:1"] == ""
    chosen = browser.send(form, **{"way:lock:1": "days_after_month_end", "payment_method:lock:1": "invoice"})
    form = fields(chosen)
    assert "days_after_event:lock:1" not in form and form["payment_method:lock:1"] == "invoice"
    shown = browser.send(
        form, **{"months_after_month_end:lock:1": "2", "days_after_month_end:lock:1": "0", "step": "show"}
    )
    assert "Whose terms change" in shown.text
    assert browser.send(fields(shown), step="save").status in (200, 303)
    document = house.hub.programs.versions(house.program)[0].document
    assert document["contracts"]["standard"]["lock"] == [
        {"payment_method": ["invoice"], "months_after_month_end": 2, "days_after_month_end": 0},
        {"days_after_event": 30},
    ]
    sold("A-1", payment_method="invoice")
    sold("A-2")
    heads = [head for order in ("A-1", "A-2") for head in house.order(order).heads.values()]
    assert [str(head.standing.countdown.locks_at)[:10] for head in heads] == ["2027-01-30", "2026-12-01"]
    alone = browser.send(fields(browser.get(terms_page(console))), do="lock-drop:1")
    assert "days_after_event:lock:2" not in fields(alone)


@pytest.mark.parametrize(
    ("typed", "field", "told"),
    [
        ({"groups": "gld"}, "groups", "unknown group 'gld'; known: gold"),
        ({"valid_until": "2025-12-31"}, "valid_until", "2025-12-31, must not be before `valid_from`"),
        ({"days_after_event:lock:1": "soon"}, "days_after_event-lock-1", "expected a whole number, got 'soon'"),
        ({"days_after_event:lock:1": "900"}, "days_after_event-lock-1", "use 0 to 730"),
        ({"days_after_event:lock:1": ""}, "days_after_event-lock-1", "expected a whole number"),
        ({"way:lock:1": "days_after_status"}, "days_after_status-lock-1", "expected a whole number"),
        ({"way:lock:1": "days_after_status", "days_after_status:lock:1": "21"}, "way-lock-1", "`statuses` is missing"),
        ({"country:rule:1": "Germany"}, "country-rule-1", "'Germany' is not valid here"),
        ({"not.sku:rule:1": "@outlet"}, "not-sku-rule-1", "unknown list 'outlet'"),
        ({"order_value:rule:1": "5.00..2.00"}, "order_value-rule-1", "2.00 must be more than `from`"),
        ({"at_most:rule:1": "5.005"}, "at_most-rule-1", "not an amount in EUR"),
        ({"from:rule:1": "2026-02-01", "until:rule:1": "2026-01-31"}, "until-rule-1", "must not be before `from`"),
        ({"do": "lock-add"}, "days_after_event-lock-1", "expected a whole number"),
        ({"country:lock:1": "DE"}, "country-lock-1", "a lock with conditions must be one of several"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_contract_stands_beside_its_field(
    console: Console, house: ProgramHarness, typed: dict[str, str], field: str, told: str
) -> None:
    house.apply({**PROGRAM, "groups": {"gold": ["nordlicht"]}})
    browser = console.person("admin")
    form = fields(browser.get(terms_page(console)))
    if "do" not in typed:
        typed = {**typed, "step": "show"}
    wrong = browser.send(form, **typed)
    beside = re.search(rf'<p class="wrong" id="w-{re.escape(field)}">(.*?)</p>', wrong.text)
    assert beside is not None and told in unescape(beside[1]), wrong.said
    assert "Cannot be calculated until the errors are fixed" in wrong.text and wrong.status == (
        200 if "do" in typed else 422
    )


def test_an_announced_version_is_called_announced_and_the_one_before_in_force(
    console: Console, house: ProgramHarness
) -> None:
    later = {**PROGRAM["contracts"]["standard"], "valid_from": "2027-01-01", "payout": "9%"}
    house.apply({**PROGRAM, "contracts": {**PROGRAM["contracts"], "standard": later}})
    browser = console.person("admin")
    page = browser.get(f"{console.base}/setup/contracts")
    assert "announced for 1 Jan 2027" in page.said and "Until then version 1 holds." in page.text
    editor = browser.get(terms_page(console))
    assert "Version 1, in force" in editor.text and "Version 2, announced for 1 Jan 2027" in editor.text
    assert "Version 2, in force" not in editor.text
    assert f"Rule 1 pays 8% of line 1: 4.80{FIXED}EUR" in editor.text
    german = console.person("admin")
    german.cookies["retour_language"] = "de"
    assert "angekündigt für den 01.01.2027" in german.get(terms_page(console)).said


def test_contracts_are_edited_by_administrators_alone(console: Console) -> None:
    assert console.person("manager").get(terms_page(console)).status == 403
    assert "/setup/contracts/standard" not in console.person("manager").get(f"{console.base}/setup/contracts").text
    assert console.person("admin").get(terms_page(console, "nothing")).status == 404


# Lock calendar


@pytest.mark.parametrize(
    ("lock", "day", "said"),
    [
        (
            {"months_after_month_end": 1, "days_after_month_end": 2},
            "2027-01-31",
            "An order of 31 Jan 2027 can change until the end of 2 Mar 2027; locked from 3 Mar 2027, 00:00 (Europe/",
        ),
        (
            {"days_after_event": 30},
            "2026-11-01",
            "An order of 1 Nov 2026 can change until the end of 1 Dec 2026; locked from 2 Dec 2026, 00:00 (Europe/",
        ),
        (
            {"days_after_status": 21, "statuses": ["shipped"], "restart": "leaving"},
            "2026-11-01",
            "An order that becomes shipped on 1 Nov 2026 can change until the end of 21 Nov 2026;",
        ),
        (
            {"days_after_status": 0, "statuses": ["shipped"]},
            "2026-11-01",
            "An order that becomes shipped on 1 Nov 2026 is locked at once.",
        ),
        (
            {"open_ended": True, "days_max": 60},
            "2026-11-01",
            "until the end of the day of its approval, at the latest until the end of 31 Dec 2026;",
        ),
    ],
)
def test_every_kind_of_lock_is_told_for_a_day(
    console: Console, house: ProgramHarness, lock: dict[str, Any], day: str, said: str
) -> None:
    standard = {**PROGRAM["contracts"]["standard"], "lock": lock}
    house.apply({**PROGRAM, "contracts": {**PROGRAM["contracts"], "standard": standard}})
    page = console.person("finance").get(f"{console.base}/setup/lock?contract=standard&day={day}")
    assert page.status == 200 and said in page.text
    assert page.text.count('<svg class="chart"') == 1 and page.text.count('<th scope="row" class="nowrap">') == 13
    assert "28 Mar 2027 the clocks change and the day has 23 hours" in page.text or "days_after_event" not in lock
    assert "29 Feb 2028 is the next leap day" in page.text


def test_the_calendar_turns_to_the_picked_day_and_knows_no_day_that_is_none(console: Console) -> None:
    browser = console.person("finance")
    later = browser.get(f"{console.base}/setup/lock?contract=standard&day=2028-02-29").text
    assert "February 2028" in later and "November 2026" not in later
    for day in ("yesterday", "2026-02-30", "9999-12-01", "0001-01-01x"):
        assert browser.get(f"{console.base}/setup/lock?contract=standard&day={day}").status == 422
    assert browser.get(f"{console.base}/setup/lock?contract=nothing").status == 200


# The program and what it tracks


def test_event_types_are_told_in_sentences(console: Console, house: ProgramHarness) -> None:
    dispositions = {"NO_SHOW": {"state": "declined", "change": "reverse"}, "WAIT": {"name": "Waiting room"}}
    types = {
        "sale": {"late_orders": "submission"},
        "warranty": {"parent": "sale", "repeated_orders": True},
        "lead": {"dispositions": dispositions},
    }
    standard = {**PROGRAM["contracts"]["standard"], "cascade": "cascade"}
    contracts = {
        **PROGRAM["contracts"],
        "standard": standard,
        "warranty": deepcopy(standard) | {"event_type": "warranty"},
    }
    sources = {**PROGRAM["sources"], "till": {"channel": "api", "event_type": "lead", "amount_means": "set_total"}}
    house.apply({**PROGRAM, "event_types": types, "contracts": contracts, "sources": sources})
    said = console.person("finance").get(f"{console.base}/setup/event-types").text
    assert "Its lock counts from the day it is reported" in said
    assert "Its parent is the sale of the same order" in said and "It is the parent of: warranty." in said
    assert "When a parent under “standard” is reversed, this one is reversed too" in said
    assert "One order may be reported again" in said and "NO_SHOW" in said and "declined" in said
    assert "amounts are order totals with tax and shipping; more than is left of a sale is cut to that" in said
    sale, lead = said.partition('id="lead"')[0], said.partition('id="lead"')[2]
    assert "/setup/sources/till" in lead and "/setup/sources/till" not in sale.partition('id="warranty"')[0]


def test_the_program_says_what_is_still_to_be_done(console: Console, sold: Sold, house: ProgramHarness) -> None:
    browser = console.person("admin")
    before = browser.get(f"{console.base}/setup/program")
    assert before.said.count("to do") == 3 and "Each source tested or in use: 0 of 4" in before.text
    sold("A-1")
    for source in PROGRAM["sources"]:
        house.modify({"order_id": "A-1", "change": "take_back", "amount": "1.00", "currency": "EUR"}, source=source)
    after = browser.get(f"{console.base}/setup/program")
    assert "to do" not in after.said and "4 of 4" in after.text


def test_versions_say_who_applied_them_and_lead_to_their_difference(console: Console, house: ProgramHarness) -> None:
    browser = console.person("admin", name="Ana")
    page = browser.get(f"{console.base}/setup/program")
    text = page.text.partition('spellcheck="false">')[2].partition("</textarea>")[0]
    shown = browser.send(page.form("/setup/program"), text=text.replace("Acme Shoes", "Acme Boots"))
    done = browser.send(shown.form("/setup/program"), text=text.replace("Acme Shoes", "Acme Boots"), step="save")
    assert done.status in (200, 303)
    after = browser.get(f"{console.base}/setup/program").text
    assert "<td>Ana</td>" in after and "versions/2#changes" in after
    assert "+name: Acme Boots" in browser.get(f"{console.base}/setup/versions/2").text


def test_what_is_wrong_stands_beside_its_line(console: Console) -> None:
    browser = console.person("admin")
    page = browser.get(f"{console.base}/setup/program")
    text = page.text.partition('spellcheck="false">')[2].partition("</textarea>")[0]
    wrong = browser.send(page.form("/setup/program"), text=text.replace("payout: 8%", "payout: eight"), step="save")
    assert wrong.status in (409, 422)
    line = next(n for n, one in enumerate(text.split("\n"), 1) if "payout: 8%" in one)
    checked = browser.send(page.form("/setup/program"), text=text.replace("payout: 8%", "payout: eight"))
    assert checked.status == 422 and f"Line {line}" in checked.text
    assert f"{line:4d}      payout: eight" in checked.text or f"{line:4d}    payout: eight" in checked.text
    assert "payout: eight" in checked.text.partition("</textarea>")[0], "what was typed is kept"
    browser.cookies["retour_language"] = "fr"
    french = browser.send(page.form("/setup/program"), text=text.replace("payout: 8%", "payout: eight"))
    assert french.status == 422 and "n'est pas valide ici" in unescape(french.text)
    assert "une part telle que `8%`" in unescape(french.text)
    browser.cookies["retour_language"] = "en"
    broken = browser.send(page.form("/setup/program"), text="{")
    assert broken.status == 422 and "Line 1" in broken.text


def test_the_text_of_a_version_is_written_anew_once_its_raw_delivery_is_gone(
    console: Console, house: ProgramHarness
) -> None:
    version = house.hub.programs.versions(house.program)[0]
    deliveries = house.hub.deliveries(house.program)
    header = deliveries.get(version.delivery)
    assert header is not None
    deliveries._write(replace(header.delivery, body_key="raw/expired"), header.state, header.report, None)
    page = console.person("admin").get(f"{console.base}/setup/versions/1")
    assert page.status == 200 and "name: Acme Shoes" in page.text


# What a sample may be


def encrypted(house: ProgramHarness) -> bytes:
    from pysequoia import Cert, encrypt

    from retour.intake.encrypted_files import create_key

    key = create_key(house.hub, house.program, "warehouse")["public_key"]
    return bytes(encrypt(bytes=GERMAN, recipients=[Cert.from_bytes(key.encode())]))


def as_workbook(_house: ProgramHarness) -> bytes:
    rows = workbooks.header(1, "Bestellnummer", "Wert")
    rows += workbooks.row(2, workbooks.text("A2", "A-1"), workbooks.number("B2", "40"))
    return workbooks.workbook(("Mai", rows))


@pytest.mark.parametrize("made", [encrypted, as_workbook])
def test_a_sample_may_be_encrypted_or_a_workbook(
    console: Console, house: ProgramHarness, made: Callable[[ProgramHarness], bytes]
) -> None:
    pytest.importorskip("pysequoia")
    browser = console.person("admin")
    page = uploaded(console, browser, made(house))
    assert fields(page)["column:1"] == "order_id" and ">suggested<" in page.text
    again = browser.send(fields(page), amount_means="take_back", default_reason="ITEM_RETURNED")
    assert again.status == 200 and "A-1" in again.text
    kept = list(house.hub.inbox.keys(f"raw/{house.program}/"))
    assert not kept, "nothing of a sample is stored"


def test_of_a_long_sample_the_first_lines_travel(console: Console) -> None:
    rows = "".join(f'A-{n};"zwei\r\nZeilen";1,50\r\n' for n in range(5000))
    page = uploaded(console, console.person("admin"), f"Bestellnummer;Notiz;Wert\r\n{rows}".encode())
    assert "It cannot be read so" not in page.text and len(page.body) < 100_000
    assert "200 rows" in page.said and "Only these first ones were looked at" in page.text
    assert len(fields(page)["sample"]) < 10_000


def test_every_condition_can_be_typed_and_what_is_typed_is_saved(console: Console, house: ProgramHarness) -> None:
    house.apply({**PROGRAM, "groups": {"premium": ["nordlicht"]}, "lists": {"outlet": ["OUT-*"]}})
    browser = console.person("admin")
    form = fields(browser.get(terms_page(console)))
    asked = {word: (condition_case(word)["typed"], condition_case(word)["asks"]) for word in CONDITIONS}
    typed = {f"{above}{word}:rule:1": text for word, (text, _) in asked.items() for above in ("", "not.")}
    plain = {"from:rule:1": "2026-11-20", "until:rule:1": "2026-11-27", "at_most:rule:1": "40.00"}
    shown = browser.send(form, **typed, **plain, valid_from="2026-11-01", step="show")
    again = fields(shown)
    assert {name: again[name] for name in {**typed, **plain}} == {**typed, **plain}
    assert "Whose terms change" in shown.text
    assert browser.send(again, step="save").status in (200, 303)
    [rule] = house.hub.programs.versions(house.program)[0].document["contracts"]["standard"]["rules"]
    said = {word: value for word, (_, value) in asked.items()}
    dated = {"from": "2026-11-20", "until": "2026-11-27", "at_most": "40.00"}
    assert rule == said | {"not": said, "pays": "8%"} | dated


def test_partners_with_open_actions_are_left_without_terms_only_on_purpose(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1")
    browser = console.person("admin")
    form = fields(browser.get(terms_page(console)))
    shown = browser.send(form, valid_from="2027-01-01", step="show")
    assert browser.send(fields(shown), step="save").status in (200, 303), "what is in force holds until then"
    text = yaml.safe_dump(house.hub.programs.versions(house.program)[0].document).replace("payout: 8%", "payout: 9%")
    ending = text.replace("valid_from: '2027-01-01'", "valid_from: '2026-01-01'\n    valid_until: '2026-11-30'")
    page = browser.send(browser.get(f"{console.base}/setup/program").form("/setup/program"), text=ending)
    assert page.status == 422 and "leave_without_terms" in page.text and "nordlicht has open actions" in page.text
    agreed = browser.send(page.form("/setup/program"), text=ending, leave_without_terms="true")
    assert agreed.status == 200 and "Whose terms change" in agreed.text
    assert browser.send(agreed.form("/setup/program"), text=ending, step="save").status == 303
    assert (
        house.hub.programs.versions(house.program)[0].document["contracts"]["standard"]["valid_until"] == "2026-11-30"
    )


def test_a_saved_message_of_a_sender_is_read_in_words(console: Console, house: ProgramHarness) -> None:
    options = dict(hook_samples.source("signed").options)
    source = {"channel": "api", "kind": "signed", "event_type": "sale", "options": options}
    house.apply({**PROGRAM, "sources": {**PROGRAM["sources"], "payments": source}})
    browser = console.person("admin")
    assert "See how a saved message is read" in browser.get(f"{console.base}/setup/sources/payments").text
    body = (hook_samples.SAMPLES / "signed/refund_completed.json").read_bytes()
    page = uploaded(console, browser, body, "payments")
    assert page.status == 200 and "Messages of payments" in page.text
    assert "1 row: 1 read, 0 not read." in page.said and "19.90 EUR" in page.said
    unknown = (hook_samples.SAMPLES / "signed/refund_unknown_state.json").read_bytes()
    assert "IN_LIMBO" in uploaded(console, browser, unknown, "payments").text
    assert "It cannot be read so" in uploaded(console, browser, b"{", "payments").text
