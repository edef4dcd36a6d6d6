"""What the schema and the documents say of each registry, written from its entries.

A part of a document stands between `<!-- NAME: PART -->` and `<!-- end -->`. Parts of the schema are enumerations, and
what the terms of contracts declare.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from retour.domain.senders import OF_ORDERS, OF_TOTALS, Sender, senders
from retour.files.formats import FORMATS
from retour.files.partner_layouts import OWN_LAYOUT, partner_layouts
from retour.languages import languages
from retour.setup.terms_schema import locks_table, rules_table, term_definitions

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "shared/retour/setup/program.schema.json"
LAYOUT_SCHEMA = ROOT / "shared/retour/files/layout.schema.json"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
MARK = re.compile(r"<!-- (\w+: \w+) -->(.*?)<!-- end -->", re.DOTALL)
NEEDED = {
    "": "–",
    OF_ORDERS: "`order_id_field` is another name of the order than its own id",
    OF_TOTALS: "`basis: order_total`, or the messages carry no order id",
}


def senders_subscriptions() -> str:
    rows = [
        ["kind", "sends", "amounts are of", "for the money", "only for names and totals", "needed when"],
        *(subscription_row(sender) for sender in senders().values()),
    ]
    return table(rows)


def subscription_row(sender: Sender) -> Sequence[str]:
    basis = "goods" if sender.basis == "goods" else "the order's total"
    money, names = code_list(sender.money), code_list(sender.names)
    return [f"`{sender.kind}`", sender.title, basis, money, names, NEEDED[sender.names_tell]]


def languages_titles() -> str:
    *first, last = (one.title for one in languages().values())
    return f"{', '.join(first)} and {last}"


def formats_known() -> str:
    rows = [
        [one.title, code_list([f".{suffix}" for suffix in one.suffixes]), FORMATS[one.returned or one.kind].title]
        for one in FORMATS.values()
    ]
    return table([["format", "usual suffixes", "refused rows come back as"], *rows])


def formats_titles() -> str:
    *first, last = (one.title for one in FORMATS.values())
    return f"{', '.join(first)} or {last}"


def layouts_known() -> str:
    rows = [[f"`{one.id}`", one.title, one.means] for one in partner_layouts().values()]
    return table([["layout", "file", "a row means"], *rows])


def layouts_keys() -> str:
    keys = json.loads(LAYOUT_SCHEMA.read_text("utf-8"))["properties"]
    return table([["key", "says"], *([f"`{key}`", body["description"]] for key, body in keys.items())])


def layouts_systems() -> str:
    names = dict.fromkeys(one.title.partition(",")[0].partition(" (")[0] for one in partner_layouts().values())
    *first, last = names
    return f"{', '.join(first)} or {last}"


def code_list(words: Sequence[str]) -> str:
    return ", ".join(f"`{word}`" for word in words) or "–"


def table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in body)]
    return "\n" + "".join(f"{line}\n" for line in lines)


DOCUMENTED: Mapping[str, Callable[[], str]] = {
    "senders: kinds": lambda: code_list(list(senders())),
    "senders: titles": lambda: ", ".join(sender.title for sender in senders().values()),
    "senders: subscriptions": senders_subscriptions,
    "terms: rules": lambda: "\n".join(["", *rules_table(), ""]),
    "terms: locks": lambda: "\n".join(["", *locks_table(), ""]),
    "languages: titles": languages_titles,
    "formats: known": formats_known,
    "formats: titles": formats_titles,
    "layouts: systems": layouts_systems,
    "layouts: known": layouts_known,
    "layouts: keys": layouts_keys,
}
ENUMERATED: Mapping[str, Callable[[], Sequence[str]]] = {
    "kind": lambda: list(senders()),
    "language": lambda: list(languages()),
    "layout": lambda: [OWN_LAYOUT, *sorted(id for id, one in partner_layouts().items() if one.kind == "modifications")],
}
"""By the name of a property of the schema, of which there is one, what may be said there."""


def page_written(text: str) -> str:
    """A document with its parts as the registries say them now; KeyError for a part that nobody writes."""
    return MARK.sub(lambda mark: f"<!-- {mark[1]} -->{DOCUMENTED[mark[1]]()}<!-- end -->", text)


def schema_written(text: str) -> str:
    for name, body in term_definitions().items():
        said = json.dumps(body, indent=2, ensure_ascii=False).replace("\n", "\n    ")
        # Every part stands four spaces deep and ends where the next begins.
        part = re.compile(rf'^    "{name}": \{{.*?^    \}}(?=,?$)', re.MULTILINE | re.DOTALL)
        text = part.sub(lambda _, said=said, name=name: f'    "{name}": {said}', text)
    for name, values in ENUMERATED.items():
        said = ", ".join(f'"{value}"' for value in values())
        text, count = re.subn(rf'("{name}": \{{[^{{}}]*?"enum": )\[[^\]]*\]', rf"\g<1>[{said}]", text)
        assert count == 1, f"{name}: {count} enumerations"
    return text
