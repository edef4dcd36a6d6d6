"""Each person's main job, page by page, from the form to what the ledger says afterwards."""

from collections.abc import Callable
from copy import deepcopy

from tests.conftest import PROGRAM, ProgramHarness
from tests.console.conftest import Console

from retour.domain.delivery import Channel, DeliveryKind
from retour.intake.ingest import ingest

Sold = Callable[..., None]
CSV = b"reference,order_id,change,amount,currency,reason\r\nR-1,A-1,take_back,20.00,EUR,ITEM_RETURNED\r\n"


def action(console: Console, order: str, act: str = "") -> str:
    return f"{console.base}/action?id={order}~sale" + (f"&act={act}" if act else "")


# Operations


def test_refused_rows_are_grouped_and_found_again(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    batch = house.modify(
        {"order_id": "A-1", "change": "take_back", "amount": "20.00", "currency": "EUR"},
        {"order_id": "A-1", "change": "take_back", "sku": "X-1", "amount": "1.00", "currency": "EUR"},
        {"order_id": "A-1", "change": "take_back", "sku": "X-2", "amount": "1.00", "currency": "EUR"},
    )
    browser = console.person("operator")
    page = browser.get(f"{console.base}/deliveries/{batch.delivery.id}").said
    assert "2 ×" in page and "UNKNOWN_ITEM" in page and "3 rows in" in page
    only = browser.get(f"{console.base}/deliveries/{batch.delivery.id}?outcome=applied").text
    assert only.count("data-row") == 1
    for what in ("raw", "result", "rejected"):
        answer = browser.get(f"{console.base}/deliveries/{batch.delivery.id}/{what}")
        assert answer.status == 200 and answer.headers["content-disposition"].startswith("attachment"), what
    assert browser.get(f"{console.base}/search?q={batch.delivery.id}").location.endswith(batch.delivery.id)
    assert browser.get(f"{console.base}/search?q=A-1").location.endswith("A-1~sale")
    assert browser.get(f"{console.base}/search?q=nobody").status == 404


def test_a_delivery_is_undone_whole_after_a_look(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1", "A-2")
    records = [{"order_id": order, "change": "reverse", "reason": "CANCELLED"} for order in ("A-1", "A-2")]
    batch = house.modify(*records).delivery.id
    browser = console.person("manager")
    preview = browser.send(browser.get(f"{console.base}/deliveries/{batch}").form("/undo"))
    assert preview.status == 200 and "+16.00" in preview.text and "2 applied" in preview.said
    assert house.payouts("A-1")["A-1~sale"][2] == "reversed"
    assert browser.send(preview.form("/undo"), step="do").status == 303
    assert [house.payouts(order)[f"{order}~sale"][2] for order in ("A-1", "A-2")] == ["pending"] * 2
    assert browser.send(preview.form("/undo"), step="do").status == 303
    assert len(house.order("A-1").records) == 2, "a double click is one undo"
    assert console.person("operator").get(f"{console.base}/deliveries/{batch}").text.count("/undo") == 0


def held_file(house: ProgramHarness) -> str:
    body = CSV
    key = f"sftp/{house.program}/warehouse/may.csv"
    house.hub.inbox.put(key, body)
    delivery = house.delivery(
        DeliveryKind.FILE, body, "warehouse", Channel.SFTP, name="may.csv", held="SENDER_UNAUTHENTICATED", body_key=key
    )
    batch = ingest(house.hub, delivery, None)
    assert batch.state == "held"
    return batch.delivery.id


def test_a_held_file_needs_somebody_and_is_released(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    batch = held_file(house)
    browser = console.person("operator", name="Olga")
    assert batch in browser.get(f"{console.base}/today").text
    assert batch in browser.get(f"{console.base}/inbox?kind=held").text
    form = browser.get(f"{console.base}/deliveries/{batch}").form("/release")
    assert browser.send(form, note="looked at").status == 303
    assert house.payouts("A-1")["A-1~sale"][0] == 8000
    again = browser.send(form)
    assert again.status == 409
    assert batch not in browser.get(f"{console.base}/inbox").text


def test_a_held_file_is_discarded(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    batch = held_file(house)
    browser = console.person("operator")
    form = browser.get(f"{console.base}/deliveries/{batch}").form("/release")
    discard = {**form, "action": form["action"].replace("release", "discard")}
    assert browser.send(discard).status == 303
    assert house.payouts("A-1")["A-1~sale"][0] == 10000


def test_a_file_is_tried_before_it_is_sent(console: Console, sold: Sold, house: ProgramHarness) -> None:
    sold("A-1")
    browser = console.person("operator")
    form = browser.get(f"{console.base}/send").form("/send")
    answer = browser.upload(form, "may.csv", CSV + b"R-2,A-1,take_back,5000.00,EUR,ITEM_RETURNED\r\n", source="")
    assert answer.status == 303
    page = browser.get(answer.location)
    assert "2 rows in = 1 applied · 1 refused" in page.said and "−1.60\N{NO-BREAK SPACE}EUR" in page.text
    assert not house.order("A-1").records
    sold("A-9")
    house.modify({"order_id": "A-1", "change": "reverse", "reason": "CANCELLED"})
    changed = browser.send(page.form("/dry-runs/"))
    assert changed.status == 409 and "Something changed since you looked" in changed.text
    done = browser.send(changed.form("/dry-runs/"))
    assert done.status == 303 and "/deliveries/" in done.location
    waiting = browser.get(done.location.partition("?")[0])
    assert "every 2s" in waiting.text
    delivery = house.hub.deliveries(house.program).get(done.location.split("/")[-1].partition("?")[0])
    assert delivery is not None
    ingest(house.hub, delivery.delivery, None)
    followed = browser.get(done.location.partition("?")[0], hx_request="true")
    assert followed.headers["hx-refresh"] == "true"


def test_a_form_without_a_file_says_so_beside_the_field(console: Console) -> None:
    browser = console.person("operator")
    answer = browser.upload(browser.get(f"{console.base}/send").form("/send"), "", b"")
    assert answer.status == 422 and "aria-invalid" in answer.text and "Choose a file" in answer.text


# Set-up


def test_a_program_is_compared_before_it_is_applied(console: Console, house: ProgramHarness) -> None:
    browser = console.person("admin")
    page = browser.get(f"{console.base}/setup/program")
    text = page.text.partition('spellcheck="false">')[2].partition("</textarea>")[0]
    form = page.form("/setup/program")
    wrong = browser.send(form, text=text.replace("EUR", "EURO"))
    assert wrong.status == 422 and "EURO" in wrong.text and "Line" in wrong.text
    shown = browser.send(form, text=text.replace("Acme Shoes", "Acme Boots"))
    assert "+name: Acme Boots" in shown.text and house.hub.programs.get(house.program).version == 1  # type: ignore[union-attr]
    done = browser.send(shown.form("/setup/program"), text=text.replace("Acme Shoes", "Acme Boots"), step="save")
    assert "New credentials" in done.text and "whsec_" in done.text
    assert "-name: Acme Shoes" in browser.get(f"{console.base}/setup/versions/2").text
    late = browser.send(form, text=text, step="save")
    assert late.status == 409 and "version 2 meanwhile" in late.text


def test_a_source_is_tested_and_a_contract_explained(console: Console, sold: Sold) -> None:
    sold("A-1")
    browser = console.person("admin")
    source = f"{console.base}/setup/sources/warehouse"
    tried = browser.send(browser.get(source).form("/test"))
    assert tried.status == 303 and "public key" in browser.get(source).said
    assert "8.00\N{NO-BREAK SPACE}EUR" in browser.get(f"{console.base}/setup/contracts?order=A-1").text
    lock = browser.get(f"{console.base}/setup/lock?contract=standard&day=2026-10-31").text
    assert "An order of 31 Oct 2026 can change until the end of 30 Nov 2026; locked from 1 Dec 2026, 00:00" in lock
    assert browser.get(f"{console.base}/setup/lock?day=yesterday").status == 422


def test_an_administrator_lets_a_partner_in(console: Console, sold: Sold) -> None:
    sold("A-1")
    admin = console.person("admin")
    form = admin.get(f"{console.base}/setup/people").form("/setup/people")
    assert admin.send(form, name="Nora", role="partner", partner="").status == 422
    shown = admin.send(form, name="Nora", role="partner", partner="nordlicht").text
    link = shown.partition('<code id="link">https://retour.test')[2].partition("<")[0]
    nora = console.visitor()
    assert nora.come_in(link).status == 303
    assert "A-1" in nora.get("/my/credit").text


def test_a_dry_run_tells_both_terms_and_warns_where_a_return_raises_a_payout(
    console: Console, sold: Sold, house: ProgramHarness
) -> None:
    sold("A-1")
    standard = {**PROGRAM["contracts"]["standard"], "payout": "30%"}
    house.apply(deepcopy({**PROGRAM, "contracts": {**PROGRAM["contracts"], "standard": standard}}))
    browser = console.person("operator")
    form = browser.get(f"{console.base}/send").form("/send")
    page = browser.get(browser.upload(form, "may.csv", CSV.replace(b"20.00", b"1.00"), source="").location)
    assert "1 row takes something back and yet raises a payout" in page.text
    moved = page.text[page.text.index("raises a payout") :][:900]
    assert "29.70\N{NO-BREAK SPACE}EUR" in moved and "7.92\N{NO-BREAK SPACE}EUR" in moved, moved
