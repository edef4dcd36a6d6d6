"""Operations: a refused row put right in its place, many by one rule, deliveries decided together, what is held."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from tests.conftest import PROGRAM, ProgramHarness
from tests.console.conftest import Answer, Browser, Console

from retour.console import delivery as delivery_page
from retour.console import send_file
from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.intake import file, large, uploads
from retour.intake.ingest import ingest
from retour.posting.refold import refold_order
from retour.schedule.due import list_silent_sources

Sold = Callable[..., None]
HEADER = "reference,order_id,change,amount,currency,reason\r\n"
EURO = "\N{NO-BREAK SPACE}EUR"
MINUS = "\N{MINUS SIGN}"


def dropped(house: ProgramHarness, *rows: str, name: str = "may.csv", source: str = "warehouse", **more: Any) -> str:
    """A file that came by SFTP, and was read."""
    body = (HEADER + "".join(f"{row}\r\n" for row in rows)).encode()
    key = f"sftp/{house.program}/{source}/{house.clock.moment:%H%M%S%f}/{name}"
    house.hub.inbox.put(key, body)
    found = house.delivery(DeliveryKind.FILE, body, source, Channel.SFTP, name=name, body_key=key, **more)
    return ingest(house.hub, found, None).delivery.id


def page(console: Console, browser: Browser, batch: str, query: str = "") -> Answer:
    return browser.get(f"{console.base}/deliveries/{batch}{query}")


def row_form(answer: Answer) -> dict[str, str]:
    return answer.form("/row")


WRONG = ("R-1,A-1,take_back,20.00,EUR,ITEM_RETURNED", "R-2,A-2,take_back,3x,EUR,ITEM_RETURNED")


def test_a_refused_row_is_corrected_in_its_own_columns(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1", "A-2")
    batch = dropped(house, *WRONG)
    browser = console.person("operator", name="Ole")
    shown = page(console, browser, batch)
    assert "Correct" in shown.text and "row?place=3" in shown.text
    form = browser.get(f"{console.base}/deliveries/{batch}/row?place=3")
    assert 'name="c.amount" value="3x"' in form.text and 'aria-invalid="true"' in form.text
    assert form.text.index('class="field fault"') < form.text.index('name="c.amount"') < form.text.index("c.currency")
    assert "3x" in form.text.partition('class="wrong"')[2].partition("</p>")[0]
    block = browser.get(f"{console.base}/deliveries/{batch}/row?place=3", hx_request="true")
    assert 'name="c.amount" value="3x"' in block.text and "<html" not in block.text
    opened = page(console, browser, batch, "?open=3")
    assert 'name="c.amount" value="3x"' in opened.text and 'aria-expanded="true"' in opened.text
    typed = {**row_form(form), "c.amount": "4x", "c.reference": "R-2"}
    wrong = browser.send(typed)
    assert wrong.status == 422 and 'value="4x"' in wrong.text and "4x" in wrong.said
    asked = {"content-type": "application/x-www-form-urlencoded", "hx-request": "true"}
    typed_well = body_of({**typed, "c.amount": "30.00"})
    checked = browser.ask("POST", f"{console.base}/deliveries/{batch}/row?step=check", typed_well, asked)
    assert checked.status == 200 and "This would happen:" in checked.text and f"8.00{EURO} → 5.60{EURO}" in checked.text
    assert house.payouts("A-2")["A-2~sale"][0] == 10000, "nothing was sent by looking"
    sent = browser.send({**typed, "c.amount": "30.00"})
    assert sent.status == 303
    assert house.payouts("A-2")["A-2~sale"][0] == 7000
    after = browser.get(sent.location)
    assert "3 was sent again." in after.said and "Corrected by Ole:" in after.said
    assert "row?place=3" not in after.text
    record = house.order("A-2").records[-1]
    assert (record.channel, record.source, record.provenance.sender) == (Channel.CONSOLE, "warehouse", "Ole")
    new = page(console, browser, record.provenance.delivery)
    assert "Corrects" in new.said and f"/deliveries/{batch}" in new.text and "1 row in = 1 applied" in new.said
    again = browser.send({**typed, "c.amount": "30.00"})
    assert again.location == sent.location, "a double click is one delivery"


def body_of(fields: dict[str, str]) -> bytes:
    from urllib.parse import urlencode

    return urlencode({name: value for name, value in fields.items() if name != "action"}).encode()


def test_the_next_refused_row_is_offered_after_each(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    batch = dropped(house, "R-1,A-1,take_back,1x,EUR,", "R-2,A-1,take_back,2x,EUR,", "R-3,A-1,take_back,3x,EUR,")
    browser = console.person("operator")
    for place, following in (("3", "4"), ("4", "2"), ("2", "")):
        form = row_form(browser.get(f"{console.base}/deliveries/{batch}/row?place={place}"))
        answer = browser.get(browser.send({**form, "c.amount": "1.00", "c.reason": "CANCELLED"}).location)
        assert ("Next refused row:" in answer.said) == bool(following)
        assert f"row?place={following}" in answer.text if following else "row?place=" not in answer.text
    assert house.payouts("A-1")["A-1~sale"][0] == 9700
    taken = browser.get(f"{console.base}/deliveries/{batch}/row?place=2")
    assert "has corrected this row already" in taken.said
    assert browser.get(f"{console.base}/deliveries/{batch}/row?place=9").status == 404


def test_who_may_only_look_is_offered_no_correction(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1", "A-2")
    batch = dropped(house, *WRONG)
    browser = console.person("finance")
    assert "row?place" not in page(console, browser, batch).text
    assert browser.get(f"{console.base}/deliveries/{batch}/row?place=3").status == 403


def test_one_wrong_value_is_mended_in_many_rows_after_a_look(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1", "A-2", "A-3")
    batch = dropped(house, *(f"R-{n},A-{n},take_back,10.00,EUR,RETURN" for n in (1, 2, 3)))
    browser = console.person("operator")
    shown = page(console, browser, batch)
    assert "In 3 rows set reason RETURN to" in shown.said
    form = shown.form("/mend")
    assert browser.send(form, to=" ").status == 422
    preview = browser.send(form, to="ITEM_RETURNED")
    assert "In 3 rows reason would say ITEM_RETURNED in the place of RETURN: 3 applied" in preview.said
    assert f"{MINUS}2.40{EURO}" in preview.text
    assert house.payouts("A-1")["A-1~sale"][0] == 10000
    done = browser.send(preview.form("/mend"), step="do")
    assert done.status == 303 and "3 rows in = 3 applied" in browser.get(done.location).said
    assert [house.payouts(f"A-{n}")[f"A-{n}~sale"][0] for n in (1, 2, 3)] == [9000] * 3
    after = page(console, browser, batch)
    assert after.said.count("Corrected by Ana:") == 3 and "/mend" not in after.text
    assert browser.send(form, to="ITEM_RETURNED").status == 409


# The list


def test_the_list_says_what_each_did_to_payouts_and_what_came_before(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1", "A-2")
    rows = ("R-1,A-1,take_back,20.00,EUR,ITEM_RETURNED",)
    first = dropped(house, *rows)
    house.clock.moment += timedelta(days=3)
    again = dropped(house, *rows)
    house.modify({"order_id": "A-2", "change": "take_back", "amount": "10.00", "currency": "EUR"})
    browser = console.person("operator")
    listed = browser.get(f"{console.base}/deliveries")
    assert f"{MINUS}1.60{EURO}" in listed.text and f"{MINUS}0.80{EURO}" in listed.text
    assert "Same file as 2 Nov 2026; nothing changed." in listed.said
    shown = page(console, browser, again)
    assert "Same file as 2 Nov 2026; nothing changed." in shown.said and f"/deliveries/{first}" in shown.text


def test_a_large_file_shows_how_far_it_is_in_page_title_and_list(
    console: Console, sold: Sold, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold(*(f"A-{n}" for n in range(8)))
    monkeypatch.setattr(file, "INLINE_ROWS_MAX", 2)
    monkeypatch.setattr(house.hub, "start_execution", lambda delivery, more: True)
    batch = dropped(house, *(f"R-{n},A-{n},take_back,1.00,EUR,CANCELLED" for n in range(8)))
    header = house.hub.deliveries(house.program).get(batch)
    assert header is not None
    work = large.split_into_buckets(house.hub, header.delivery)
    first, second = work.items()
    large.ingest_bucket(house.hub, header.delivery, first)
    browser = console.person("operator")
    shown = page(console, browser, batch)
    percent = large.Progress.of(work).percent
    assert 10 < percent < 100 and f"<title>{percent} % · may.csv" in shown.text
    assert "of 8 rows." in shown.said and f'max="100" value="{percent}"' in shown.text and "every 2s" in shown.text
    house.clock.moment += timedelta(minutes=3)
    block = browser.get(f"{console.base}/deliveries/{batch}", hx_request="true")
    assert f"<title>{percent} % · may.csv</title>" in block.text and "every 5s" in block.text
    assert f"{percent} %" in browser.get(f"{console.base}/deliveries").said
    large.ingest_bucket(house.hub, header.delivery, second)
    large.finish(house.hub, header.delivery)
    assert browser.get(f"{console.base}/deliveries/{batch}", hx_request="true").headers["hx-refresh"] == "true"
    assert "8 rows in = 8 applied" in page(console, browser, batch).said


# Held


HELD: dict[str, Any] = {
    **PROGRAM,
    "sources": {**PROGRAM["sources"], "warehouse": {"channel": "sftp", "thresholds": {"bad_rows": "10%"}}},
}
HALF_BAD = ("R-1,A-1,take_back,20.00,EUR,ITEM_RETURNED", "R-2,A-2,take_back,3x,EUR,ITEM_RETURNED")


def test_a_held_file_says_why_how_much_and_whom_it_hits(console: Console, sold: Sold, house: ProgramHarness) -> None:
    house.apply(HELD)
    sold("A-1", "A-2")
    batch = dropped(house, *HALF_BAD)
    browser = console.person("operator", name="Ole")
    shown = page(console, browser, batch).said
    assert "Share of its rows that would be refused" in shown and "50%" in shown and "10%" in shown
    assert "2 rows in = 1 applied · 1 refused" in shown and f"{MINUS}1.60{EURO}" in shown and "nordlicht" in shown
    assert f"Release, {MINUS}1.60{EURO}" in shown
    done = browser.send(page(console, browser, batch).form("/release"), note="looked at it")
    assert done.status == 303 and house.payouts("A-1")["A-1~sale"][0] == 8000
    assert "row?place=3" in page(console, browser, batch).text


def test_a_discard_of_many_rows_asks_for_their_number(
    console: Console, sold: Sold, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_page, "MANY_ROWS", 1)
    house.apply(HELD)
    sold("A-1", "A-2")
    batch = dropped(house, *HALF_BAD)
    browser = console.person("operator")
    form = page(console, browser, batch).form("/release")
    discard = f"{console.base}/deliveries/{batch}/discard"
    for typed in ("", "3"):
        assert browser.post(discard, **form, rows=typed).status == 422
    assert page(console, browser, batch).said.count("Held: a person has to decide") == 1
    assert browser.post(discard, **form, rows="2").status == 303
    assert "Refused whole" in page(console, browser, batch).said


def test_several_are_decided_at_once_with_an_outcome_each(console: Console, sold: Sold, house: ProgramHarness) -> None:
    house.apply(HELD)
    sold("A-1", "A-2", "A-3")
    held = [dropped(house, *HALF_BAD, name=name) for name in ("may.csv",)]
    held.append(dropped(house, "R-8,A-3,take_back,50.00,EUR,CANCELLED", "R-9,A-3,take_back,x,EUR,", name="june.csv"))
    plain = house.modify({"order_id": "A-1", "change": "approve"}).delivery.id
    browser = console.person("operator")
    form = browser.get(f"{console.base}/deliveries").form("deliveries-bulk")
    assert browser.send(form, what="release").status == 422
    fields = {name: value for name, value in form.items() if name != "action"}
    ids = "&".join(f"ids={one}" for one in [*held, plain])
    kind = {"content-type": "application/x-www-form-urlencoded"}
    preview = browser.ask(
        "POST", form["action"], (f"{body_of({**fields, 'what': 'release'}).decode()}&{ids}").encode(), kind
    )
    assert "It is not held." in preview.said and f"Release 2 deliveries, {MINUS}5.60{EURO}" in preview.said
    assert house.payouts("A-3")["A-3~sale"][0] == 10000
    confirmed = {**fields, "what": "release", "step": "do", "note": "fine"}
    done = browser.ask("POST", form["action"], f"{body_of(confirmed).decode()}&{ids}".encode(), kind)
    assert "2 of 3 were done." in done.said and done.said.count("1 applied · 1 refused") == 2
    assert [house.payouts(order)[f"{order}~sale"][0] for order in ("A-1", "A-3")] == [8000, 5000]
    assert console.person("finance").send(form, what="release").status in (403, 404)
    replayed = browser.ask(
        "POST",
        form["action"],
        f"{body_of({**fields, 'what': 'replay', 'step': 'do'}).decode()}&ids={plain}".encode(),
        kind,
    )
    assert "1 of 1 was done." in replayed.said


# The inbox


def test_possible_duplicates_are_compared_and_decided_in_the_inbox(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1", "A-2")
    back = {"change": "take_back", "amount": "20.00", "currency": "EUR", "reason": "ITEM_RETURNED"}
    for order in ("A-1", "A-2"):
        house.modify({"order_id": order, "reference": f"E-{order}", **back}, source="erp")
        held = house.modify({"order_id": order, "reference": f"T-{order}", **back}, source="till")
        assert [one.outcome for one in held.results] == ["held"]
        refold_order(house.hub, house.program, order)
    browser = console.person("operator", name="Ole")
    shown = browser.get(f"{console.base}/inbox")
    assert shown.said.count("Was applied before") == 2
    row = shown.text.partition("Reference of the return")[2].partition("</tr>")[0]
    assert "<mark>T-A-1</mark>" in row and "<mark>E-A-1</mark>" in row
    assert "<mark>20.00" not in shown.text, "what is the same is not marked"
    first, second = (form for form in shown.forms() if "/inbox" in form["action"])
    assert first["form"] != second["form"]
    assert browser.send(first, what="release").location.endswith("told=release")
    assert browser.send(second, what="discard").status == 303
    refold_order(house.hub, house.program, "A-1")
    assert [house.payouts(order)[f"{order}~sale"][0] for order in ("A-1", "A-2")] == [6000, 8000]
    assert "Nothing needs attention." in browser.get(f"{console.base}/inbox").said
    refold_order(house.hub, house.program, "A-2")
    assert list(house.hub.deliveries(house.program).due("held")) == []
    assert browser.send(first, what="release").status == 409, "it is decided already"
    assert console.person("finance").send(first, what="release").status == 403


def test_a_waiting_row_is_offered_the_order_it_nearly_names(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("0001042", "0001043")
    batch = dropped(house, "R-1,SO 1042,reverse,,,CANCELLED", "R-2,77,reverse,,,CANCELLED")
    browser = console.person("operator")
    shown = browser.get(f"{console.base}/inbox?kind=waiting")
    assert shown.said.count("Did you mean") == 1 and "Did you mean 0001042?" in shown.said
    link = shown.text.partition('<a class="button" href="')[2].partition('"')[0]
    form = browser.get(link)
    assert 'name="c.order_id" value="0001042"' in form.text
    assert house.payouts("0001042")["0001042~sale"][2] == "pending", "never by itself"
    sent = browser.send(row_form(form), **{"c.order_id": "0001042"})
    assert sent.status == 303 and house.payouts("0001042")["0001042~sale"][2] == "reversed"
    assert "Corrected by Ana:" in browser.get(f"{console.base}/inbox?kind=waiting").said
    assert "Corrected by Ana:" in page(console, browser, batch).said


def test_an_inbox_of_many_cases_is_turned_page_by_page_to_its_end(console: Console, house: ProgramHarness) -> None:
    deliveries, moment = house.hub.deliveries(house.program), house.clock.moment
    for n in range(130):
        deliveries.remind("silent", moment - timedelta(hours=n), f"source-{n:03}", {})
    browser = console.person("operator")
    every = browser.get(f"{console.base}/inbox")
    assert "100+" in every.said
    address, seen, pages = f"{console.base}/inbox?kind=silent", list[str](), 0
    while address:
        page = browser.get(address).text
        seen += re.findall(r">(source-\d{3}): expected", page)
        address = unescape(re.search(r'href="([^"]*)">Next 50<', page)[1]) if "Next 50" in page else ""  # type: ignore[index]
        pages += 1
    assert seen == [f"source-{n:03}" for n in reversed(range(130))] and pages == 3


def test_every_version_of_a_program_can_be_reached(console: Console, house: ProgramHarness) -> None:
    for n in range(2, 48):
        house.apply({**PROGRAM, "name": f"Acme {n}"})
    browser = console.person("admin")
    address, seen = f"{console.base}/setup/program", list[int]()
    while address:
        page = browser.get(address).text
        seen += map(int, re.findall(r'/setup/versions/(\d+)">\1<', page))
        older = re.search(r'href="([^"]*before=\d+[^"]*)"', page)
        address = unescape(older[1]) if older else ""
    assert seen == [*range(47, 0, -1)]
    assert "before=38" in browser.get(f"{console.base}/setup").text, "the ten newest, and where the others are"
    assert browser.get(f"{console.base}/setup/versions/1").status == 200
    assert "Acme 2" in browser.get(f"{console.base}/setup/versions/3").text
    assert browser.get(f"{console.base}/setup/versions/48").status == 404
    assert browser.get(f"{console.base}/setup/versions/x").status == 404


# A larger file


def test_a_larger_file_goes_to_an_address_of_its_own_and_is_sent_from_there(
    console: Console, sold: Sold, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold("A-1")
    monkeypatch.setattr(send_file, "FILE_MAX", 100)
    body = (HEADER + "".join(f"R-{n},A-1,take_back,1.00,EUR,CANCELLED\r\n" for n in range(5))).encode()
    browser = console.person("operator")
    form = browser.get(f"{console.base}/send")
    assert f"connect-src 'self' {house.hub.inbox.origin};" in form.headers["content-security-policy"]
    assert "connect-src 'self';" in browser.get(f"{console.base}/today").headers["content-security-policy"]
    fields = {"csrf": form.form("/send")["csrf"], "name": "may.csv", "source": "warehouse", "size": str(len(body))}
    told = json.loads(browser.post(f"{console.base}/send/address", **fields).body)
    assert told["url"].startswith(house.hub.inbox.origin)
    early = browser.get(told["then"])
    assert early.status == 409 and "did not come to its end" in early.text
    put(told["url"], body)
    shown = browser.get(told["then"])
    assert "worked out in the background" in shown.said and "Apply" not in shown.said
    looked = browser.send(shown.form("/dry-runs/"), step="look")
    assert looked.status == 303
    rehearsed = rehearsal(house)
    assert browser.send(shown.form("/dry-runs/"), step="look").location == looked.location
    assert rehearsal(house) == rehearsed, "asked for once"
    assert "It is being read" in browser.get(told["then"]).said
    ingest(house.hub, uploads.complete_if_arrived(house.hub, rehearsed), None)
    assert browser.get(told["then"], hx_request="true").headers["hx-refresh"] == "true"
    shown = browser.get(told["then"])
    assert f"5 rows in = 5 applied. Payouts would change by {MINUS}0.40{EURO}" in shown.said
    assert "nordlicht" in shown.said and not house.order("A-1").records
    done = browser.send(shown.form("/dry-runs/"))
    batch = done.location.rpartition("/")[2].partition("?")[0]
    assert browser.send(shown.form("/dry-runs/")).location == done.location
    header = house.hub.deliveries(house.program).get(batch)
    assert header is not None and (header.state, header.delivery.sender) == ("arriving", "Ana")
    assert not header.delivery.is_dry_run and header.delivery.body_key.startswith(f"api/{house.program}/warehouse/")
    assert house.hub.inbox.read(header.delivery.body_key) == body
    assert "It is being read" in page(console, browser, batch).said


def rehearsal(house: ProgramHarness) -> Delivery:
    """The dry run that somebody asked for in the background."""
    runs = house.hub.state(house.program, send_file.DRY_RUNS_STATE).list("")
    (known,) = [doc["rehearsal"] for _, doc in runs if "rehearsal" in doc]
    header = house.hub.deliveries(house.program).get(known)
    assert header is not None and header.delivery.is_dry_run
    return header.delivery


def test_a_file_of_many_rows_is_rehearsed_in_the_background_too(
    console: Console, sold: Sold, house: ProgramHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold("A-1")
    monkeypatch.setattr(file, "INLINE_ROWS_MAX", 2)
    browser = console.person("operator")
    body = (HEADER + "".join(f"R-{n},A-1,take_back,1.00,EUR,CANCELLED\r\n" for n in range(5))).encode()
    answer = browser.upload(browser.get(f"{console.base}/send").form("/send"), "may.csv", body, source="warehouse")
    assert answer.status == 303 and "It is being read" in browser.get(answer.location).said
    ingest(house.hub, uploads.complete_if_arrived(house.hub, rehearsal(house)), None)
    shown = browser.get(answer.location)
    assert "5 rows in = 5 applied" in shown.said and not house.order("A-1").records
    assert browser.send(shown.form("/dry-runs/")).status == 303


def put(url: str, body: bytes) -> None:
    from urllib.request import Request, urlopen

    with urlopen(Request(url, body, method="PUT"), timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"size": ""}, 422, "not empty"),
        ({"size": "9" * 12}, 413, "up to"),
        ({"source": "nobody"}, 422, "no such source"),
        ({"name": "result_may.csv"}, 422, "reserved for our replies"),
    ],
)
def test_an_address_is_given_for_what_can_be_taken_only(
    console: Console, changed: dict[str, str], status: int, said: str
) -> None:
    browser = console.person("operator")
    fields = {"csrf": browser.get(f"{console.base}/send").form("/send")["csrf"], "name": "may.csv", "size": "5000000"}
    answer = browser.post(f"{console.base}/send/address", **{**fields, **changed})
    assert answer.status == status and said in json.loads(answer.body)["wrong"]
    assert console.person("finance").post(f"{console.base}/send/address", **fields).status == 403


# What did not come


def test_a_day_on_which_nothing_came_is_dashed_and_said(console: Console, house: ProgramHarness) -> None:
    sources = {**PROGRAM["sources"], "warehouse": {"channel": "sftp", "expected_by": "06:00"}}
    house.apply({**PROGRAM, "sources": sources})
    program = house.hub.program(house.program)
    assert program is not None
    for day in (3, 4, 5, 6):
        house.clock.moment = house.clock.moment.replace(day=day, hour=4)
        if day != 5:
            dropped(house, f"R-{day},A-1,reverse,,,CANCELLED", name=f"{day}.csv")
        house.clock.moment = house.clock.moment.replace(hour=9)
        list_silent_sources(house.hub, program)
        shown = console.person("operator").get(f"{console.base}/today").text
        line = shown.rpartition('setup/sources/warehouse"')[2].partition("</tr>")[0]
        assert ("Expected by 06:00, not here" in line) == (day == 5)
        assert line.count('class="miss"') == ("1 day without what was expected" in line) == (day > 4)
