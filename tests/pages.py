"""A URL for every page, for tests that cover all pages. A route without one fails a test."""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from retour.console.routes import ROUTES, Route

CONSOLE = {
    "today": "/console/{program}/today",
    "inbox": "/console/{program}/inbox",
    "inbox-kind": "/console/{program}/inbox?kind=held",
    "search": "/console/{program}/search?q=nothing-like-it",
    "deliveries": "/console/{program}/deliveries",
    "deliveries-filtered": "/console/{program}/deliveries?channel=email",
    "delivery": "/console/{program}/deliveries/{delivery}",
    "row": "/console/{program}/deliveries/{delivery}/row?place={row}",
    "actions": "/console/{program}/actions",
    "actions-pending": "/console/{program}/actions?state=pending",
    "actions-locked": "/console/{program}/actions?state=locked",
    "actions-reversed": "/console/{program}/actions?state=reversed",
    "actions-partner": "/console/{program}/actions?partner={partner}",
    "actions-by-event": "/console/{program}/actions?sort=-event",
    "actions-by-payout": "/console/{program}/actions?sort=payout",
    "actions-order": "/console/{program}/actions?order_id={order}",
    "actions-open": "/console/{program}/actions?open={action}",
    "actions-columns": "/console/{program}/actions?state=pending&not_partner=nobody&cols=payout,action,promo_code",
    "actions-wrong": "/console/{program}/actions?locks_before=never",
    "action": "/console/{program}/action?id={action}",
    "action-past": "/console/{program}/action?id={action}&step=0",
    "reverse": "/console/{program}/action?id={action}&act=reverse",
    "modify": "/console/{program}/action?id={action}&act=modify",
    "modification": "/console/{program}/modification?id={modification}",
    "partners": "/console/{program}/partners",
    "partner": "/console/{program}/partner?id={partner}",
    "audit": "/console/{program}/setup/audit",
    "search-parts": "/console/{program}/search?q=sale",
    "funding": "/console/{program}/money/funding?preset=amazon-seller",
    "statements": "/console/{program}/money/statements",
    "payments": "/console/{program}/money/payments",
    "journal": "/console/{program}/money/journal",
    "payees": "/console/{program}/money/payees",
    "send": "/console/{program}/send",
    "dry-run": "/console/{program}/dry-runs/{run}",
    "setup": "/console/{program}/setup",
    "source": "/console/{program}/setup/sources/{source}",
    "source-edit": "/console/{program}/setup/sources/{source}/edit",
    "source-new": "/console/{program}/setup/new-source?channel=sftp&event_type=sale",
    "mapping": "/console/{program}/setup/sources/{source}/mapping",
    "version": "/console/{program}/setup/versions/1",
    "program": "/console/{program}/setup/program",
    "event-types": "/console/{program}/setup/event-types",
    "processing": "/console/{program}/setup/event-types/sale/channels",
    "access-keys": "/console/{program}/setup/keys",
    "contracts": "/console/{program}/setup/contracts?order={order}",
    "contract": "/console/{program}/setup/contracts/{contract}",
    "lock": "/console/{program}/setup/lock",
    "people": "/console/{program}/setup/people",
    "missing": "/console/{program}/nothing",
    "keys": "/console/keys",
    "door": "/console/sign-in",
}
BLOCKS = {"needs": "/console/{program}/today?block=needs"}
"""Parts of pages that are loaded on their own."""
PORTAL = {
    "credit": "/my/credit",
    "changes": "/my/changes",
    "my-statements": "/my/statements",
    "order": "/my/order?program={program}&id={action}",
    "calendar": "/my/calendar",
    "account": "/my/account",
}
NO_PAGES = {
    "actions.csv": "/console/{program}/actions.csv",
    "deliveries.csv": "/console/{program}/deliveries.csv",
    "audit.csv": "/console/{program}/setup/audit.csv",
    "raw": "/console/{program}/deliveries/{delivery}/raw",
    "statement.csv": "/console/{program}/money/statements/{statement}/csv",
    "my-statement.csv": "/my/statement.csv?program={program}&id={statement}",
    "credit.csv": "/my/credit.csv",
    "feed": "/my/calendar/{token}.ics",
    "trial": "/console/{program}/setup/sources/{source}/trial",
    "callback": "/console/callback",
}
"""Files, feeds and redirects."""


LATER = {
    "payment": "/console/{program}/money/payments/{payment}",
    "statement": "/console/{program}/money/statements/{statement}",
    "my-statement": "/my/statement?program={program}&id={statement}",
}
"""Pages that need a hub with a month of data; covered by tests/console/test_statements.py."""


def fill_addresses(addresses: Mapping[str, str], **names: str) -> dict[str, str]:
    """The URLs whose placeholders are all given."""
    found = {}
    for name, address in addresses.items():
        try:
            found[name] = address.format(**names)
        except KeyError:
            continue
    return found


def routes_without_address() -> list[str]:
    """Page routes that no URL here leads to."""
    blanks = {name: name * 5 for name in ("program", "delivery", "row", "partner", "order", "action", "modification",
              "run", "source", "contract", "token", "statement", "payment")}  # fmt: skip
    known = [
        urlsplit(address).path for address in fill_addresses(CONSOLE | PORTAL | NO_PAGES | LATER, **blanks).values()
    ]
    return [one.pattern.pattern for one in pages() if not any(one.pattern.fullmatch(path) for path in known)]


def pages() -> Iterator[Route]:
    return (one for one in ROUTES if one.method == "GET")
