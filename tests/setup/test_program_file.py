"""A program is read, or every fault in it is told with its line, its key and what right looks like."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from retour.domain.contracts.pay import Percent
from retour.domain.contracts.versions import with_versions_of
from retour.domain.program import REASONS, program_from
from retour.sentences import LANGUAGES, all_sentences, sentence
from retour.setup.program_file import (
    FAULTS_MAX,
    SIZE_MAX,
    Fault,
    language_of,
    load_schema,
    parse_program,
    parse_recorded,
)

ACME = """\
program: acme
name: Acme Shoes
currency: EUR
time_zone: Europe/Berlin
language: de
reasons: [LATE_DELIVERY]
order_key: {strip_prefix: "#"}
event_types:
  sale: {}
contracts:
  standard:
    event_type: sale
    valid_from: 2026-01-01
    payout: 8%
    lock: {days_after_event: 30}
sources:
  orders:
    channel: api
    kind: standard
    event_type: sale
    reference_namespace: erp
    order_by: occurred_at
  warehouse:
    channel: sftp
    amount_means: take_back
    default_reason: LATE_DELIVERY
    options: {public_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDq"]}
    mapping:
      columns: {order_id: Bestellnummer, amount: Betrag}
      constants: {change: take_back}
      reasons: {R1: ITEM_RETURNED}
      statuses: {Retoure: reverse}
      decimal: ","
      date: "%d.%m.%Y"
      encoding: cp1252
      delimiter: ";"
  erp:
    channel: pull
    options: {protocol: ftps, host: ftp.merchant.example, user: retour, folder: /out, at: 05:30}
  mail:
    channel: email
    options:
      allow_from: [returns@shop.example]
  crm:
    channel: salesforce
    options:
      org_id: 00D5e000000abcdEAA
      object: Case
      fields: {order_id: Order_Number__c, status: Status}
      statuses: {Returned: reverse}
      write_back: {state: Retour_State__c}
"""


def document(text: str = ACME) -> dict[str, Any]:
    found = parse_program(text)
    assert isinstance(found, dict), [str(fault) for fault in found]
    return found


def faults(text: str) -> list[Fault]:
    found = parse_program(text)
    assert isinstance(found, list)
    return found


def changed(old: str, new: str) -> str:
    assert ACME.count(old) >= 1, f"{old!r} is not in the sample"
    return ACME.replace(old, new, 1)


def test_a_right_program_is_read_and_becomes_a_program() -> None:
    program = program_from(document(), 1, ())
    assert program.sources["warehouse"].mapping["columns"]["order_id"] == "Bestellnummer"
    assert program.reasons == {*REASONS, "LATE_DELIVERY"}


def test_dates_and_times_stay_texts() -> None:
    found = document()
    assert found["contracts"]["standard"]["valid_from"] == "2026-01-01"
    assert found["sources"]["erp"]["options"]["at"] == "05:30"


def test_json_reads_the_same_as_yaml_also_with_tabs_and_a_byte_order_mark() -> None:
    assert document("\ufeff" + json.dumps(document(), indent="\t")) == document()


def test_json_escapes_of_characters_beyond_the_first_plane_are_joined() -> None:
    text = json.dumps({**document(), "name": "Schuhe 👟"}, ensure_ascii=True)
    assert document(text)["name"] == "Schuhe 👟"


CASES = [
    ("currency: EUR", "currency: EUX", 3, "currency", "`EUR`"),
    ("currency: EUR", "curency: EUR", 3, "curency", "did you mean `currency`?"),
    ("Europe/Berlin", "Europe/Berln", 4, "time_zone", "`Europe/Berlin`"),
    ("Europe/Berlin", "../../etc/passwd", 4, "time_zone", "not an IANA time zone"),
    ("language: de", "language: dutch", 5, "language", "en, de, fr"),
    ("reasons: [LATE_DELIVERY]", "reasons: [LATE_DELIVERY, late]", 6, "reasons[2]", "capital letter"),
    ("  sale: {}", "  sale: {}\n  lead: {}", 10, "event_types.lead", "event_type: lead"),
    ("  sale: {}", "  sale: {repeated_order: true}", 9, "event_types.sale.repeated_order", "`repeated_orders`"),
    ("    event_type: sale\n    valid", "    event_type: sales\n    valid", 12,
     "contracts.standard.event_type", "`sale`"),
    ("2026-01-01", "2026-02-30", 13, "contracts.standard.valid_from", "2026-02-30 is not a valid date"),
    ("2026-01-01", "01.01.2026", 13, "contracts.standard.valid_from", "2026-01-01"),
    ("payout: 8%", "payout: 8", 14, "contracts.standard.payout", "quotes"),
    ("payout: 8%", "payout: 108%", 14, "contracts.standard.payout", "0% to 100%"),
    ("payout: 8%", "payout: 8e1%", 14, "contracts.standard.payout", "such as `8%`"),
    ("payout: 8%", "payout: -8%", 14, "contracts.standard.payout", "such as `8%`"),
    ("days_after_event: 30", "days_after_event: 731", 15, "contracts.standard.lock.days_after_event", "0 to 730"),
    ("days_after_event: 30", "days_after_event: true", 15,
     "contracts.standard.lock.days_after_event", "a whole number"),
    ("{days_after_event: 30}", "{days_after_status: 21}", 15, "contracts.standard.lock", "`statuses` is missing"),
    ("{days_after_event: 30}", "{}", 15, "contracts.standard.lock", "at least one"),
    ("kind: standard", "kind: shopfy", 19, "sources.orders.kind", "`shopify`"),
    ("channel: sftp", "channel: sftp\n    kind: standard", 25, "sources.warehouse.kind", "channel sftp"),
    ("default_reason: LATE_DELIVERY", "default_reason: LATE_DELIVRY", 26,
     "sources.warehouse.default_reason", "`LATE_DELIVERY`"),
    ("R1: ITEM_RETURNED", "R1: RETURNED", 31, "sources.warehouse.mapping.reasons.R1", "not a reason of this program"),
    ("Retoure: reverse", "Retoure: revers", 32, "sources.warehouse.mapping.statuses.Retoure", "`reverse`"),
    ("{order_id: Bestellnummer", "{orderid: Bestellnummer", 29,
     "sources.warehouse.mapping.columns.orderid", "`order_id`"),
    ("%d.%m.%Y", "%d.%m", 34, "sources.warehouse.mapping.date", "%d.%m.%Y"),
    ("cp1252", "cp9999", 35, "sources.warehouse.mapping.encoding", "cp1252"),
    ("cp1252", "rot13", 35, "sources.warehouse.mapping.encoding", "cp1252"),
    ("protocol: ftps", "protocol: ftp", 39, "sources.erp.options.protocol", "allow_plain: true"),
    ("protocol: ftps", "protocol: sftp, implicit: true", 39, "sources.erp.options.implicit", "no meaning for sftp"),
    ("user: retour", "user: retour, password: x", 39, "sources.erp.options.password", "must not contain secrets"),
    ("user: retour", "user: 12", 39, "sources.erp.options.user", 'in quotes: "12"'),
    ("at: 05:30", "at: 24:30", 39, "sources.erp.options.at", "05:30"),
    ("      allow_from: [returns@shop.example]", "      allow_from: []", 43,
     "sources.mail.options.allow_from", "at least one"),
    ("  mail:", "  a-name-of-31-characters-in-all:", 40, "sources.a-name-of-31-characters-in-all", None),
    ("  mail:", "  Mail:", 40, "sources.Mail", "lower-case letter"),
    ("program: acme", "program: admin", 1, "program", "reserved"),
    ("  mail:", "  console:", 40, "sources.console", "reserved"),
    ("  mail:", "  api:", 40, "sources.api", "name this one 'email'"),
    ("payout: 8%", "payout: 12.345678%", 14, "contracts.standard.payout", "8% or 7.25%"),
    ("payout: 8%", "payout: 8%\n    valid_until: 2025-12-31", 15, "contracts.standard.valid_until", "2026-01-01"),
    ("payout: 8%", "payout: 8%\n    valid_until: 2026-06-31", 15, "contracts.standard.valid_until", "not a valid date"),
    ("payout: 8%", "payout: 8%\n    groups: [gold]", 9, "event_types.sale", "to all partners"),
    ("payout: 8%", "payout: 8%\n    valid_until: 2026-12-31", 15, "", None),
    ("payout: 8%", "rules: [{pays: 8%, at_most: '5.005'}]", 14, "contracts.standard.rules[1].at_most", "as 50.00"),
    ("payout: 8%", "rules: [{pays: 8%, until: 2025-12-24}]", 14, "contracts.standard.rules[1].until", "never applies"),
    ("payout: 8%", "rules: [{pays: 8%, from: 2026-02-01, until: 2026-01-31}]", 14,
     "contracts.standard.rules[1].until", "2026-02-01"),
    ("payout: 8%", "rules: [{pays: 8%, country: [Germany]}]", 14, "contracts.standard.rules[1].country[1]", "DE"),
    ("payout: 8%", "rules: [{pays: 8%, not: {contry: [DE]}}]", 14,
     "contracts.standard.rules[1].not.contry", "`country`"),
    ("payout: 8%", "rules: [{pays: 8%, partner_group: [gold]}]", 14,
     "contracts.standard.rules[1].partner_group[1]", "unknown group 'gold'"),
    ("payout: 8%", "rules: [{pays: 8%, order_value: {from: '9.999'}}]", 14,
     "contracts.standard.rules[1].order_value.from", "write it as 100.00"),
    ("{days_after_event: 30}", "[{country: [DE], days_after_event: 30}]", 15,
     "contracts.standard.lock[1].country", "must not have conditions"),
    ("{days_after_event: 30}", "[{sku: [A], open_ended: true}, {days_after_event: 30}]", 15,
     "contracts.standard.lock[1].sku", "unknown key"),
    ("{days_after_event: 30}", "[{country: [DE], open_ended: true}, {days_after_event: 30}]", 15, "", None),
    ("reasons: [LATE_DELIVERY]", "reasons: [LATE_DELIVERY]\ngroups: {gold: []}", 7, "groups.gold", "at least one"),
    ("reasons: [LATE_DELIVERY]", "reasons: [LATE_DELIVERY]\ngroups: {Gold: [a]}", 7, "groups.Gold", "lower-case"),
    ("reasons: [LATE_DELIVERY]", "reasons: [LATE_DELIVERY]\nlists: {outlet: ['A*B']}", 7,
     "lists.outlet[1]", "at the end"),
    ("amount: Betrag}", "amount: [Betrag, Summe]}", 29, "", None),
    ("amount: Betrag}", "amount: []}", 29, "sources.warehouse.mapping.columns.amount", "at least one"),
    ("name: Acme Shoes", 'name: "Acme\\nShoes"', 2, "name", "one line"),
    ("name: Acme Shoes", "program: other", 2, "program", "duplicate key"),
    ("name: Acme Shoes", "name: !!python/object:os.system x", 2, "name", "tag"),
    ("name: Acme Shoes", "name: yes: no", 2, "", "neither YAML nor JSON"),
    ("name: Acme Shoes", "name: &a x\nlanguage: *a", 3, "", "write the value out"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "key", "says"), CASES, ids=[f"{c[1]}"[:40] for c in CASES])
def test_a_fault_is_told_with_its_line_its_key_and_what_is_right(
    old: str, new: str, line: int, key: str, says: str | None
) -> None:
    text = changed(old, new)
    if says is None:
        assert document(text)
        return
    assert [(f.line, f.key) for f in faults(text) if says in f.sentence] == [(line, key)], faults(text)
    for fault in faults(text):
        told = [fault.message(language) for language in LANGUAGES]
        assert len({*told}) == len(LANGUAGES) and not any("FAULT_" in one for one in told), told
        # What is to be typed is the same in every language, and so is what was typed.
        typed = [sorted(re.findall(r"`([^`]*)`", one)) for one in told]
        assert all(found == typed[0] for found in typed), told


def test_every_description_that_a_fault_may_quote_stands_in_every_language() -> None:
    published = load_schema()
    quoted = {text for node in objects_of(published) for text in quoted_by(node, published["$defs"])}
    about = "FAULT_DESCRIPTION/"
    known = {code.removeprefix(about) for code in all_sentences() if code.startswith(about)}
    assert quoted == known
    assert all(sentence("FAULT_DESCRIPTION", {"case": one, "description": one}) == one for one in known)


def objects_of(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for inner in node.values():
            yield from objects_of(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from objects_of(inner)


def quoted_by(node: dict[str, Any], named: dict[str, Any]) -> Iterator[str]:
    """The descriptions that what is wrong with a part is told with: its own, its names', those of its missing keys."""

    def followed(body: dict[str, Any]) -> dict[str, Any]:
        return {**named.get(body.get("$ref", "").rpartition("/")[2], {}), **body}

    own = {"pattern", "const", "minLength", "oneOf"} & node.keys()
    empty = {"minItems", "minProperties"} & node.keys() and not node.get("examples")
    if isinstance(node.get("description"), str) and (own or empty):
        yield node["description"]
    names = followed(node["propertyNames"]) if isinstance(node.get("propertyNames"), dict) else {}
    if "description" in names:
        yield names["description"]
    required = node.get("required")
    for key in required if isinstance(required, list) else ():
        body = followed(node.get("properties", {}).get(key) or named["source"]["properties"].get(key, {}))
        if "description" in body and not (body.get("examples") or body.get("enum")):
            yield body["description"]


def test_a_document_is_judged_in_the_language_it_asks_for() -> None:
    assert language_of(changed("currency: EUR", "currency: EUX")) == "de"
    assert language_of(changed("language: de", "language: dutch")) == "en"
    assert language_of("[") == language_of("- a") == "en"
    [fault] = faults(changed("payout: 8%", "payout: 108%"))
    assert fault.located_message("de") == (
        "Zeile 14, Spalte 13, contracts.standard.payout: 108% ist mehr als der Verkauf; erlaubt sind 0% bis 100%"
    )
    assert "dépasse la vente" in fault.message("fr")


def test_a_mail_address_that_no_server_would_take_is_refused() -> None:
    text = changed("program: acme", "program: acme-shoes-of-hamburgs").replace("  mail:", "  returns-by-mail:")
    assert [fault.key for fault in faults(text)] == ["sources.returns-by-mail"]


def test_all_faults_come_at_once_in_the_order_of_the_lines() -> None:
    text = changed("currency: EUR", "currency: EUX").replace("payout: 8%", "payout: 800%").replace("cp1252", "cp0")
    assert [fault.line for fault in faults(text)] == [3, 14, 35]


@pytest.mark.parametrize(
    "text",
    ["", "   ", "[", "- a", "a: b: c", "'x", "@", "a:\n\tb: 1", "a: 1\n---\nb: 2", "? [a]\n: b", '"\\ud800": 1',
     "a: \x00", "[" * 5000, "{" * 5000, "<<: {}", "null", "{}", '{"program": null}', "a: !!int x", "%YAML 9", "7",
     "x" * (SIZE_MAX + 1), "\ud800", "program: {a: {b: [1]}}", "sources: [1]", "sources: {a: null}",
     "contracts: {a: {valid_from: {}}}", "event_types: {a: [], 1: 2}"],
)  # fmt: skip
def test_nonsense_is_told_and_never_a_crash(text: str) -> None:
    found = faults(text)
    assert 1 <= len(found) <= FAULTS_MAX
    assert all(fault.line >= 1 and fault.column >= 1 and fault.sentence for fault in found)


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=60), st.integers(0, len(ACME)))
def test_any_text_anywhere_is_read_or_told(noise: str, place: int) -> None:
    found = parse_program(ACME[:place] + noise + ACME[place:])
    assert isinstance(found, dict) or found


def test_the_schema_is_a_schema_whose_every_object_is_closed() -> None:
    Draft202012Validator.check_schema(load_schema())
    for path, body in objects(load_schema(), ""):
        maps = "additionalProperties" in body
        assert maps or path.endswith(("/allOf", "/options")), f"{path} lets anything in"


def objects(node: Any, path: str) -> Any:
    if isinstance(node, dict):
        if node.get("type") in ("object", ["object", "null"]):
            yield path, node
        for key, inner in node.items():
            yield from objects(inner, f"{path}/{key}")
    elif isinstance(node, list):
        for inner in node:
            yield from objects(inner, path)


def test_the_schema_describes_every_key_a_person_writes() -> None:
    for path, body in properties(load_schema(), ""):
        followed = load_schema()["$defs"].get(body.get("$ref", "").rpartition("/")[2], {})
        assert body.get("description") or followed.get("description") or path.endswith("$schema"), path


def properties(node: Any, path: str) -> Any:
    if isinstance(node, dict):
        for key, inner in node.items():
            if key == "properties" and not path.endswith(("/if", "/then")):
                yield from ((f"{path}/{name}", body) for name, body in inner.items())
            yield from properties(inner, f"{path}/{key}")
    elif isinstance(node, list):
        for inner in node:
            yield from properties(inner, path)


def test_a_list_of_one_too_many_is_refused_at_its_key() -> None:
    entries = ",".join(f"x{number:04x}" for number in range(20_001))
    text = changed("reasons: [LATE_DELIVERY]", f"reasons: [LATE_DELIVERY]\nlists: {{outlet: [{entries}]}}")
    [fault] = faults(text)
    assert (fault.line, fault.key) == (7, "lists.outlet") and "the limit is 20000" in fault.sentence


def test_a_list_that_was_uploaded_may_be_named() -> None:
    text = changed("payout: 8%", "rules: [{pays: 8%, sku: [{list: outlet}]}]")
    assert isinstance(parse_program(text, ["outlet"]), dict)
    [fault] = [one for one in parse_program(text, ()) if isinstance(one, Fault)]
    assert (fault.line, fault.key) == (14, "contracts.standard.rules[1].sku[1].list")
    assert "unknown list 'outlet'" in fault.sentence


def test_what_was_recorded_once_is_recorded_again_as_it_is() -> None:
    """What is asked of documents since then does not take a program out of a ledger that is rebuilt."""
    text = changed("payout: 8%", "payout: 12.345678%")
    assert isinstance(parse_program(text), list)
    again = parse_recorded(text)
    assert again == {
        **document(),
        "contracts": {"standard": {**document()["contracts"]["standard"], "payout": "12.345678%"}},
    }
    [terms] = with_versions_of(again, (), datetime(2026, 11, 1, tzinfo=UTC))
    assert terms.rules[0].pay == Percent(Decimal("12.345678"))
