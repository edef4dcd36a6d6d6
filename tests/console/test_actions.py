"""What partner managers do: find actions, look into them, act on one or many, and take it back."""

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from tests.conftest import ProgramHarness
from tests.console.conftest import Answer, Browser, Console

from retour.commands import acts
from retour.domain.delivery import Channel
from retour.intake.ingest import ingest

Sold = Callable[..., None]
FIXED = "\N{NO-BREAK SPACE}"


def action(console: Console, order: str, act: str = "") -> str:
    return f"{console.base}/action?id={order}~sale" + (f"&act={act}" if act else "")


def form_for(answer: Answer, act: str) -> dict[str, str]:
    """The form that is filled in for an act, or the one whose button does it at once."""
    decide = [form for form in answer.forms() if "/action/decide" in form["action"]]
    filled = next((form for form in decide if form.get("act") == act and "undoes" not in form), None)
    return filled or next(form for form in decide if form.get("form", "").endswith(act)) | {"act": act}


def orders(answer: Answer) -> list[str]:
    return re.findall(r'<th scope="row"><a href="action\?id=[^"]*">([^<]*)</a>', answer.body.decode())


def list_of(console: Console, **query: str) -> str:
    return f"{console.base}/actions?" + "&".join(f"{name}={quote(value)}" for name, value in query.items())


# Acts on one


def test_a_reversal_is_previewed_done_with_its_reason_and_undone(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1")
    browser = console.person("manager", name="Ana")
    form = form_for(browser.get(action(console, "A-1", "reverse")), "reverse")
    shown = browser.post(f"{console.base}/action/preview", **form, reason="CANCELLED")
    assert f"8.00{FIXED}EUR → 0.00{FIXED}EUR" in shown.text and f"(−8.00{FIXED}EUR)" in shown.text
    assert house.payouts("A-1")["A-1~sale"] == (10000, 800, "pending")
    done = browser.send(form, reason="CANCELLED", note="rang us")
    assert done.status == 303
    assert house.payouts("A-1")["A-1~sale"] == (0, 0, "reversed")
    page = browser.get(done.location)
    assert (
        "(Cancelled)" in page.text
        and f"Reversed A-1, −8.00{FIXED}EUR" in page.text
        and "rang us" in page.text
        and "Ana" in page.text
    )
    record = house.order("A-1").records[0]
    assert (record.channel, record.provenance.sender, record.reason) == (Channel.CONSOLE, "Ana", "CANCELLED")
    toast = next(form for form in page.forms() if form.get("act") == "undo" and form.get("back"))
    undone = browser.send(toast)
    assert undone.status == 303 and "told=" in undone.location
    assert "Undid the change of A-1" in browser.get(undone.location).text
    assert house.payouts("A-1")["A-1~sale"] == (10000, 800, "pending")


def test_an_act_that_asks_for_nothing_is_one_click(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    browser = console.person("manager")
    page = browser.get(action(console, "A-1"))
    done = browser.send(form_for(page, "approve"))
    assert done.status == 303 and "Approved A-1" in browser.get(done.location).text
    assert house.payouts("A-1")["A-1~sale"][2] == "approved"
    assert browser.send(form_for(browser.get(action(console, "A-1")), "undo")).status == 303
    assert house.payouts("A-1")["A-1~sale"][2] == "pending"


def test_a_double_click_is_one_change(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    browser = console.person("manager")
    form = form_for(browser.get(action(console, "A-1", "modify")), "modify")
    for _ in range(2):
        assert browser.send(form, **{"quantity.1": "2", "amount.1": "80.00", "reason": "OTHER"}).status == 303
    assert house.payouts("A-1")["A-1~sale"][0] == 8000
    assert len(house.order("A-1").records) == 1


def test_items_are_modified_by_what_is_left_of_each(console: Console, house: ProgramHarness) -> None:
    items = [{"sku": "SHOE", "quantity": 2, "amount": "100.00"}, {"sku": "SOCK", "quantity": 1, "amount": "10.00"}]
    house.report({"order_id": "A-1", "currency": "EUR", "items": items})
    browser = console.person("manager")
    form = form_for(browser.get(action(console, "A-1", "modify")), "modify")
    typed = {"quantity.1": "1", "amount.1": "100.00", "quantity.2": "1", "amount.2": "4.00"}
    shown = browser.ask("POST", f"{console.base}/action/preview", body_of(form, typed), BLOCK)
    assert f"8.80{FIXED}EUR → 4.32{FIXED}EUR (−4.48{FIXED}EUR)" in shown.text and "version 1" in shown.text
    assert "<html" not in shown.text and "rule" in shown.text
    untold = browser.send(form, **typed)
    assert untold.status == 422 and "Choose a reason" in untold.text and 'value="4.00"' in untold.text
    assert browser.send(form, **typed, reason="ITEM_RETURNED").status == 303
    assert [(rest.amount, rest.quantity) for rest in house.order("A-1").heads["A-1~sale"].standing.rests] == [
        (5000, 1),
        (400, 1),
    ]


BLOCK = {"content-type": "application/x-www-form-urlencoded", "hx-request": "true"}


def body_of(form: dict[str, str], typed: dict[str, str]) -> bytes:
    return "&".join(f"{quote(name)}={quote(value)}" for name, value in {**form, **typed}.items()).encode()


def test_what_is_wrong_stands_in_the_form_and_what_was_typed_stays(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1")
    browser = console.person("manager")
    form = form_for(browser.get(action(console, "A-1", "modify")), "modify")
    answer = browser.send(form, **{"amount.1": "900.00", "quantity.1": "2", "note": "typed", "reason": "OTHER"})
    assert answer.status == 422 and 'value="900.00"' in answer.text and 'value="typed"' in answer.text
    assert 'role="alert"' in answer.text and "100.00" in answer.text
    same = browser.send(form, **{"amount.1": "100.00", "quantity.1": "2", "reason": "OTHER"})
    assert same.status == 422 and "Nothing is changed yet" in same.text
    unsaid = browser.send(form_for(browser.get(action(console, "A-1", "reverse")), "reverse"))
    assert unsaid.status == 422 and "Choose a reason" in unsaid.text
    assert not house.order("A-1").records


def test_a_comma_is_read_where_the_language_writes_one(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    browser = console.person("manager")
    browser.cookies["retour_language"] = "de"
    form = form_for(browser.get(action(console, "A-1", "modify")), "modify")
    assert browser.send(form, **{"amount.1": "60,50", "quantity.1": "2", "reason": "OTHER"}).status == 303
    assert house.payouts("A-1")["A-1~sale"][0] == 6050


def test_a_lost_race_shows_what_was_seen_what_is_and_what_was_typed(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1")
    ana, ben = console.person("manager", name="Ana"), console.person("manager", name="Ben")
    late = form_for(ben.get(action(console, "A-1", "modify")), "modify")
    assert ana.send(form_for(ana.get(action(console, "A-1", "reverse")), "reverse"), reason="CANCELLED").status == 303
    answer = ben.send(late, **{"amount.1": "70.00", "quantity.1": "2", "reason": "OTHER"})
    assert answer.status == 409
    assert "Ana" in answer.text and "Changed meanwhile" in answer.text and 'value="70.00"' in answer.text
    rows = [re.sub(r"<[^>]*>", "|", row) for row in re.findall(r"<tr>(.*?)</tr>", answer.text)]
    assert any("Pending" in row and "Reversed" in row for row in rows), rows
    assert any(
        f"100.00{FIXED}EUR, 2 units" in row and f"0.00{FIXED}EUR, 0 units" in row and "70.00" in row for row in rows
    )
    assert len(house.order("A-1").records) == 1


def test_a_session_that_ended_keeps_every_field_that_was_typed(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1")
    browser = console.person("manager")
    form = form_for(browser.get(action(console, "A-1", "modify")), "modify")
    again = console.person("manager")
    typed = {"amount.1": "70.00", "quantity.1": "2", "reason": "OTHER", "note": "by phone"}
    again.headers["sec-fetch-site"] = "same-origin"
    kept = again.send(form, **typed)
    assert kept.status == 403 and not house.order("A-1").records
    assert again.send(kept.form("/action/decide")).status == 303
    assert house.payouts("A-1")["A-1~sale"][0] == 7000


def test_re_attribution_moves_the_credit(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    browser = console.person("manager")
    form = form_for(browser.get(action(console, "A-1", "reattribute")), "reattribute")
    assert browser.send(form, partner="schuhblog", note="wrong cookie").status == 303
    assert house.order("A-1").heads["A-1~sale"].standing.partner == "schuhblog"
    assert browser.get(f"{console.base}/actions?partner=schuhblog").text.count("A-1") >= 1


def test_acts_from_the_list_lead_back_to_the_row(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1", "A-2")
    browser = console.person("manager")
    page = browser.get(list_of(console, partner="nordlicht", open="A-1~sale"))
    assert orders(page) == ["A-1", "A-2"] or orders(page) == ["A-2", "A-1"]
    assert "Its page" in page.text
    form = form_for(page, "approve")
    done = browser.send(form)
    assert done.location.startswith(list_of(console, partner="nordlicht")) and "open=" in done.location
    assert "Approved A-1" in browser.get(done.location).text


@pytest.mark.parametrize("foreign", ["https://evil.example/", "//evil.example", "/console\\evil"])
def test_an_act_leads_back_to_pages_of_ours_only(console: Console, sold: Sold, foreign: str) -> None:
    sold("A-1")
    browser = console.person("manager")
    done = browser.send(form_for(browser.get(action(console, "A-1")), "approve"), back=foreign)
    assert urlsplit(done.location).netloc == "" and done.location.startswith("/console?told=")


# The list


def test_the_list_exports_the_columns_it_shows_with_the_ids_and_no_formula(console: Console, sold: Sold) -> None:
    sold("=A-1", partner="nordlicht", promo_code="SPRING")
    sold("A-2", partner="schuhblog")
    browser = console.person("finance")
    answer = browser.get(f"{console.base}/actions.csv?partner=nordlicht&cols=payout,promo_code")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert rows == [
        {"id": "'=A-1~sale", "order_id": "'=A-1", "payout": "8.00", "payout_currency": "EUR", "promo_code": "SPRING"}
    ]


def test_columns_are_chosen_and_stay_in_the_address(console: Console, sold: Sold) -> None:
    sold("A-1", promo_code="SPRING")
    browser = console.person("manager")
    chosen = browser.get(list_of(console, state="pending", columns="1", c_payout="1", c_promo_code="1"))
    assert chosen.status == 303 and chosen.location == list_of(
        console, state="pending", cols="payout,promo_code"
    ).replace("payout,promo_code", "payout%2Cpromo_code")
    page = browser.get(chosen.location)
    heads = re.findall(r'<th scope="col"[^>]*><a [^>]*>(.*?)</a>', page.text)
    assert [re.sub("<.*", "", head) for head in heads] == ["Order", "Payout", "Promo code"]
    assert "SPRING" in page.text


def test_the_last_change_and_its_reason_stand_in_the_row(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    house.modify({"order_id": "A-1", "change": "take_back", "amount": "20.00", "reason": "ITEM_RETURNED"})
    page = console.person("manager").get(f"{console.base}/actions")
    assert "Item returned" in page.text


def test_lists_are_sorted_by_the_index_or_only_if_all_can_be_looked_at(
    console: Console, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (day, amount) in enumerate([("11", "30.00"), ("13", "10.00"), ("12", "20.00")]):
        house.report(
            {"order_id": f"A-{number}", "currency": "EUR", "amount": amount, "event_time": f"2026-10-{day}T12:00:00Z"}
        )
    browser = console.person("manager")
    assert orders(browser.get(list_of(console, sort="lock"))) == ["A-0", "A-2", "A-1"]
    assert orders(browser.get(list_of(console, sort="-lock"))) == ["A-1", "A-2", "A-0"]
    assert orders(browser.get(list_of(console, sort="-event"))) == ["A-1", "A-2", "A-0"]
    by_amount = browser.get(list_of(console, sort="amount"))
    assert orders(by_amount) == ["A-1", "A-2", "A-0"] and 'aria-sort="ascending"' in by_amount.text
    assert orders(browser.get(list_of(console, sort="-payout"))) == ["A-0", "A-2", "A-1"]
    monkeypatch.setattr("retour.views.action_search.HEADS_MAX", 2)
    in_vain = browser.get(list_of(console, sort="amount"))
    assert "Too many match to be sorted by “Amount”" in in_vain.text
    assert orders(in_vain) == ["A-0", "A-2", "A-1"]


@pytest.mark.parametrize("sort", ["lock", "-lock", "event", "-event", "amount"])
def test_all_that_can_change_holds_nothing_that_is_locked(console: Console, house: ProgramHarness, sort: str) -> None:
    """The lock of one was at the last midnight, and nobody has made it final yet."""
    days = {
        "A-0": "03T12:00:00+02:00",
        "A-1": "04T12:00:00+02:00",
        "A-2": "02T12:00:00+02:00",
        "A-3": "20T12:00:00+02:00",
    }
    house.report(*({"order_id": order, "currency": "EUR", "amount": "1.00", "event_time": f"2026-10-{day}"}
                   for order, day in days.items()))  # fmt: skip
    house.modify({"order_id": "A-3", "change": "reverse", "reason": "CANCELLED"})
    browser = console.person("manager")
    said = browser.get(list_of(console, sort=sort))
    assert set(orders(said)) == {"A-0", "A-1", "A-3"}
    assert set(orders(browser.get(list_of(console, partner="nordlicht", sort=sort)))) == set(days)
    assert set(orders(browser.get(list_of(console, partner="nordlicht", state="open", sort=sort)))) == {
        "A-0",
        "A-1",
        "A-3",
    }


def test_the_last_day_on_which_it_can_change_is_told_and_filtered_by(console: Console, house: ProgramHarness) -> None:
    house.report(
        {"order_id": "A-1", "currency": "EUR", "amount": "1.00", "event_time": "2026-10-03T12:00:00+02:00"},
        {"order_id": "A-2", "currency": "EUR", "amount": "1.00", "event_time": "2026-10-04T12:00:00+02:00"},
    )
    house.clock.moment = house.clock.moment.replace(day=1)
    browser = console.person("manager")
    page = browser.get(list_of(console))
    assert re.search(r"2 Nov 2026 *in 1 day", page.said) and re.search(r"3 Nov 2026 *in 2 days", page.said), page.said
    only = browser.get(list_of(console, open_from="2026-11-02", open_to="2026-11-02"))
    assert orders(only) == ["A-1"] and "Can change until 2 Nov 2026 or later" in only.said
    assert orders(browser.get(list_of(console, open_from="2026-11-03"))) == ["A-2"]
    assert browser.get(list_of(console, open_to="soon")).status == 422
    action = browser.get(f"{console.base}/action?id=A-1~sale").said
    assert "It can change until the end of 2 Nov 2026 (in 1 day)" in action


@pytest.mark.parametrize("sort", ["lock", "-lock", "event", "-event"])
def test_page_after_page_shows_everything_once_in_order(
    console: Console, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    house.report(
        *(
            {
                "order_id": f"A-{number:02}",
                "currency": "EUR",
                "amount": "1.00",
                "event_time": f"2026-10-{11 + number % 5:02}T{number:02}:00:00Z",
            }
            for number in range(12)
        )
    )
    monkeypatch.setattr("retour.console.actions.action_list.PAGE", 5)
    browser, address, seen = console.person("manager"), list_of(console, sort=sort), []
    while address:
        page = browser.get(address)
        seen += orders(page)
        later = re.search(r'<a class="button" href="([^"]*)">Next 50', page.text)
        address = later[1] if later else ""
    days = [int(order[2:]) % 5 for order in seen]
    assert sorted(seen) == [f"A-{number:02}" for number in range(12)]
    assert days == sorted(days, reverse=sort.startswith("-"))


def test_cells_lead_to_only_these_and_to_all_but_these(console: Console, sold: Sold) -> None:
    sold("A-1", partner="nord,licht")
    sold("A-2", partner="schuhblog")
    browser = console.person("manager")
    page = browser.get(f"{console.base}/actions")
    links = dict(re.findall(r'href="(\?[^"]*)"[^>]*>(nord,licht|not these)</a>', page.text))
    only = next(address for address, text in links.items() if text == "nord,licht")
    assert orders(browser.get(f"{console.base}/actions{only}")) == ["A-1"]
    without = next(address for address in links if "not_partner=nord" in address)
    left = browser.get(f"{console.base}/actions{without}")
    assert orders(left) == ["A-2"] and "Partner: not nord,licht" in left.text
    gone = re.search(r'href="([^"]*)" aria-label="Without the filter Partner: not nord,licht"', left.text)
    assert gone and len(orders(browser.get(urljoined(console, gone[1])))) == 2


def urljoined(console: Console, address: str) -> str:
    return f"{console.base}/actions{address}" if address.startswith("?") else address


@pytest.mark.parametrize("what", ["A-1", "A-1~sale"])
def test_a_pasted_id_jumps(console: Console, sold: Sold, what: str) -> None:
    sold("A-1")
    answer = console.person("manager").get(list_of(console, q=what, state="pending"))
    assert answer.status == 303 and answer.location == f"{console.base}/action?id=A-1~sale"


def test_an_id_of_nothing_says_so(console: Console) -> None:
    assert console.person("manager").get(list_of(console, q="nobody")).status == 404


def test_a_row_opens_in_place_with_and_without_javascript(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    for number in range(7):
        house.modify({"order_id": "A-1", "change": "take_back", "amount": f"{number + 1}.00"})
    browser = console.person("manager")
    block = browser.get(f"{console.base}/action?id=A-1~sale&part=brief", hx_request="true")
    assert "<html" not in block.text and "SHOE" in block.text and "with all 7 entries" in block.text
    assert block.text.count("Take back") == 5
    assert block.text.count("<li") == 5
    page = browser.get(list_of(console, open="A-1~sale"))
    assert 'aria-expanded="true"' in page.text and "SHOE" in page.text
    assert "act=reverse" not in console.person("finance").get(list_of(console, open="A-1~sale")).text


def test_a_page_of_many_stays_small(console: Console, sold: Sold) -> None:
    sold(*(f"ORDER-2026-{number:06}" for number in range(55)))
    answer = console.person("manager").get(list_of(console, partner="nordlicht", state="pending"))
    assert len(orders(answer)) == 50 and len(answer.body) < 100_000


# The past, the proof


def test_any_past_moment_can_be_looked_at_and_offers_no_acts(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1")
    before = house.clock.moment.isoformat()
    house.modify({"order_id": "A-1", "change": "take_back", "amount": "50.00"})
    house.modify({"order_id": "A-1", "change": "take_back", "amount": "30.00"})
    browser = console.person("manager")
    past = browser.get(f"{action(console, 'A-1')}&as_of={quote(before)}").text
    assert "As it stood on" in past and "Pays 8.00 EUR" in past and "/action/decide" not in past
    between = browser.get(f"{action(console, 'A-1')}&step=1").text
    assert "Pays 4.00 EUR" in between and "After change 1 of 2" in between and "/action/decide" not in between
    now = browser.get(f"{action(console, 'A-1')}&step=2").text
    assert "As it stood on" not in now and "/action/decide" in now
    moved = browser.get(f"{action(console, 'A-1')}&step=0", hx_request="true").text
    assert moved.lstrip().startswith("<main") and "As reported" in moved


def test_a_time_without_offset_is_one_of_the_program(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    house.clock.moment += timedelta(days=1)
    house.modify({"order_id": "A-1", "change": "reverse", "reason": "CANCELLED"})
    page = console.person("manager").get(f"{action(console, 'A-1')}&as_of=2026-11-02T23:30").text
    assert "As it stood on 2 Nov 2026, 23:30" in page


def test_locked_names_the_make_good_that_would_settle_what_came_too_late(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1")
    house.clock.moment += timedelta(days=40)
    house.modify({"order_id": "A-1", "change": "take_back", "amount": "50.00", "reason": "ITEM_RETURNED"})
    page = console.person("manager").get(action(console, "A-1"))
    assert "Corrections need a make-good" in page.text and f"−4.00{FIXED}EUR" in page.text
    assert "/action/decide" not in page.text


def test_a_record_is_traced_back_to_the_line_it_came_from(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    body = b"order_id,change,amount,currency,reason\r\nA-1,take_back,20.00,EUR,ITEM_RETURNED\r\n"
    batch = house.file(body, name="may.csv")
    page = console.person("finance").get(f"{console.base}/modification?id={quote(batch.results[0].modification)}")
    assert "A-1,take_back,20.00,EUR,ITEM_RETURNED" in page.text and "may.csv" in page.text
    assert batch.delivery.sha256[:10] in page.text and batch.delivery.id in page.text
    assert "What the partner reads" in page.text and "What was sent is not kept" not in page.text


# Many


def bulk_form(answer: Answer) -> dict[str, str]:
    return answer.form("/actions-bulk")


def test_many_are_previewed_in_groups_and_done_as_one_delivery(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1", "A-2", partner="nordlicht")
    sold("A-3", partner="schuhblog")
    house.modify({"order_id": "A-3", "change": "reverse", "reason": "CANCELLED"})
    browser = console.person("manager")
    form = bulk_form(browser.get(list_of(console, state="pending")))
    preview = browser.send(form, act="reverse", reason="CANCELLED", all="1")
    assert preview.status == 200 and "2 actions will change" in preview.text and "nordlicht" in preview.text
    assert "2 actions matched on" in preview.text and f"−16.00{FIXED}EUR" in preview.text
    assert house.payouts("A-1")["A-1~sale"][2] == "pending"
    sold("A-4")
    done = browser.send(bulk_form(preview), reason="CANCELLED", step="do")
    assert done.status == 303 and "/deliveries/" in done.location
    assert "2 rows in = 2 applied" in browser.get(done.location).said
    assert [house.payouts(order)[f"{order}~sale"][2] for order in ("A-1", "A-2", "A-4")] == [
        "reversed", "reversed", "pending"
    ]  # fmt: skip


def test_one_that_cannot_keeps_none_of_the_others_back(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1", "A-2")
    house.modify({"order_id": "A-2", "change": "reverse", "reason": "CANCELLED"})
    browser = console.person("manager")
    form = bulk_form(browser.get(f"{console.base}/actions"))
    ids = "ids=A-1~sale&ids=A-2~sale"
    body = body_of(form, {"act": "approve"}) + b"&" + ids.encode()
    preview = browser.ask("POST", form["action"], body, {"content-type": "application/x-www-form-urlencoded"})
    assert "1 action will change" in preview.text and "1 cannot; the others are not kept back" in preview.text
    assert browser.send(bulk_form(preview), step="do").status == 303
    assert house.payouts("A-1")["A-1~sale"][2] == "approved" and house.payouts("A-2")["A-2~sale"][2] == "reversed"


def test_nothing_selected_says_so(console: Console, sold: Sold) -> None:
    sold("A-1")
    browser = console.person("manager")
    answer = browser.send(bulk_form(browser.get(f"{console.base}/actions")), act="approve")
    assert answer.status == 422 and "Select at least one action" in answer.text


def test_a_choice_that_is_not_ours_is_not_found(console: Console, sold: Sold) -> None:
    sold("A-1")
    browser = console.person("manager")
    form = bulk_form(browser.get(f"{console.base}/actions"))
    for choice in ("0" * 24, "../../secret", "x"):
        assert browser.send(form, act="approve", choice=choice).status == 404


@pytest.mark.slow
def test_twelve_hundred_are_reversed_followed_and_undone_as_one(
    console: Console, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than is done at once: a file of exactly those that matched, each with its outcome, and undone whole."""
    monkeypatch.setattr(acts, "DRY_RUN_RECORDS_MAX", 100)
    lines = [{"order_id": f"B-{number:04}", "currency": "EUR", "amount": "100.00"} for number in range(1200)]
    for start in range(0, 1200, 400):
        house.report(*lines[start : start + 400])
    house.modify({"order_id": "B-0007", "change": "reverse", "reason": "CANCELLED"})
    browser = console.person("manager")
    form = bulk_form(browser.get(f"{console.base}/actions"))
    preview = browser.send(form, act="reverse", reason="CONS_FRAUD", all="1")
    assert "1,200 actions matched on" in preview.text and "Looked at the first 100 of 1,200" in preview.text
    house.report({"order_id": "B-late", "currency": "EUR", "amount": "100.00"})
    done = browser.send(bulk_form(preview), reason="CONS_FRAUD", step="do")
    assert "1,199 applied · 1 unchanged" in followed(house, browser, done)
    assert house.payouts("B-0700")["B-0700~sale"] == (0, 0, "reversed")
    assert house.payouts("B-late")["B-late~sale"][2] == "pending"
    page = browser.get(done.location)
    look = browser.send(page.form("/undo"))
    undone = browser.send(look.form("/undo"), step="do")
    assert "1,199 applied" in followed(house, browser, undone)
    assert house.payouts("B-0700")["B-0700~sale"] == (10000, 800, "pending")
    assert house.payouts("B-0007")["B-0007~sale"][2] == "reversed"


def followed(house: ProgramHarness, browser: Browser, done: Answer) -> str:
    """What the page of a delivery says, once its file was read."""
    assert done.status == 303, done.text
    header: Any = house.hub.deliveries(house.program).get(urlsplit(done.location).path.rpartition("/")[2])
    assert header.state == "arriving"
    ingest(house.hub, header.delivery, None)
    return browser.get(done.location).said


def test_the_limit_of_changes_is_raised_where_it_is_near(
    console: Console, sold: Sold, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold("A-1")
    browser = console.person("manager", name="Ana")
    assert "act=raise-limit" not in browser.get(action(console, "A-1")).text
    monkeypatch.setattr("retour.console.actions.detail.LIMIT_WARNING_MARGIN", 1_000)
    page = browser.get(action(console, "A-1", "raise-limit"))
    assert "act=raise-limit" in page.text
    form = form_for(page, "raise-limit")
    assert browser.send(form, to="900").status == 422
    assert browser.send(form, to="1500").status == 303
    assert house.order("A-1").heads["A-1~sale"].standing.limit == 1_500
