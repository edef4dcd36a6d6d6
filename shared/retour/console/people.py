"""Sessions, login links, and the permissions of roles."""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from retour.domain.times import format_instant, parse_instant
from retour.store.programs import ANY_PROGRAM
from retour.store.source_state import SourceState
from retour.wiring import Hub

COOKIE = "retour_session"
SESSION_HOURS = 12
LINK_HOURS = 24
SEEN_EVERY = timedelta(minutes=5)
BROWSER_CHARS_MAX = 200
ROLES = ("admin", "operator", "manager", "finance", "partner")
PERMISSIONS: Mapping[str, frozenset[str]] = {
    "admin": frozenset({"see", "send", "decide", "act", "set up"}),
    "manager": frozenset({"see", "send", "decide", "act"}),
    "operator": frozenset({"see", "send", "decide"}),
    "finance": frozenset({"see", "pay"}),
    "partner": frozenset({"own"}),
}
"""Permissions.

see: all pages; send: files; decide: release, discard, replay; act: change actions; pay: propose, approve and confirm
payments; own: the portal.
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role in a program (`*`: in all); a partner's role is for that partner only."""

    program: str
    role: str
    partner: str = ""

    def opens(self, program: str) -> bool:
        return self.program in (ANY_PROGRAM, program)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A signed-in person. `key` is the session's key in the table, `csrf` the token of its forms."""

    name: str
    grants: tuple[Grant, ...]
    key: str = ""
    csrf: str = ""

    def may(self, what: str, program: str) -> bool:
        return any(what in PERMISSIONS[grant.role] for grant in self.grants if grant.opens(program))

    def roles(self, program: str) -> list[str]:
        return [grant.role for grant in self.grants if grant.opens(program)]

    @property
    def sees_all(self) -> bool:
        return any(grant.program == ANY_PROGRAM and "see" in PERMISSIONS[grant.role] for grant in self.grants)

    @property
    def own(self) -> list[Grant]:
        """Roles as a partner."""
        return [grant for grant in self.grants if grant.role == "partner" and grant.partner]


@dataclass(frozen=True, slots=True)
class SignInLink:
    """An unused login link. `key` is the hash it is stored under."""

    key: str
    name: str
    grants: tuple[Grant, ...]
    ends: datetime
    made: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A browser session. `seen` is its last request, to some minutes."""

    key: str
    name: str
    grants: tuple[Grant, ...]
    ends: datetime
    began: datetime | None
    seen: datetime | None
    browser: str


@dataclass(frozen=True, slots=True)
class LinkUsed:
    """A login link that was used before."""

    at: datetime


def session_store(hub: Hub) -> SourceState:
    """Storage of links and sessions, by the hash of their token. `*` is not a program name."""
    return hub.state(ANY_PROGRAM, "console")


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def create_link(hub: Hub, name: str, grants: Sequence[Grant], hours: int = LINK_HOURS) -> str:
    """Create a login link for one use and return its path. Only its hash is stored."""
    token, now = secrets.token_urlsafe(32), hub.real_now()
    doc = {
        "name": name,
        "grants": [asdict(grant) for grant in grants],
        "ends": format_instant(now + timedelta(hours=hours)),
        "made": format_instant(now),
    }
    session_store(hub).put(f"link#{hash_token(token)}", doc)
    return f"/console/sign-in?token={token}"


def find_link(hub: Hub, token: str) -> SignInLink | LinkUsed | None:
    """Look up a link without using it. None if it is unknown or expired."""
    state, key = session_store(hub), hash_token(token)
    link = state.get(f"link#{key}")
    if link is None or parse_instant(link["ends"]) <= hub.real_now():
        return None
    used = state.get(f"used#{key}")
    return LinkUsed(parse_instant(used["at"])) if used else link_from(key, link)


def redeem_link(hub: Hub, token: str, browser: str = "") -> str | LinkUsed | None:
    """Use a link and return the new session's token; only the first use succeeds. None if unknown or expired."""
    link = find_link(hub, token)
    if not isinstance(link, SignInLink):
        return link
    now = hub.real_now()
    doc = {"at": format_instant(now), "ends": format_instant(link.ends)}
    if not session_store(hub).claim(f"used#{link.key}", doc):
        return find_link_used(hub, link)
    return create_session(hub, link.name, link.grants, browser)


def find_link_used(hub: Hub, link: SignInLink) -> LinkUsed:
    """When the link was used by somebody else in the meantime."""
    used = session_store(hub).get(f"used#{link.key}")
    return LinkUsed(parse_instant(used["at"]) if used else link.ends)


def create_session(hub: Hub, name: str, grants: Sequence[Grant], browser: str = "") -> str:
    """Create a session and return its token. Also deletes expired sessions."""
    state, now = session_store(hub), hub.real_now()
    for key, doc in state.list(""):
        if parse_instant(doc["ends"]) < now - timedelta(days=1):
            state.delete(key)
    token = secrets.token_urlsafe(32)
    doc = {
        "name": name,
        "grants": [asdict(grant) for grant in grants],
        "csrf": secrets.token_urlsafe(24),
        "ends": format_instant(now + timedelta(hours=SESSION_HOURS)),
        "began": format_instant(now),
        "seen": format_instant(now),
        "browser": browser[:BROWSER_CHARS_MAX],
    }
    state.put(f"session#{hash_token(token)}", doc)
    return token


def person_of(hub: Hub, cookies: Mapping[str, str]) -> Person | None:
    token = cookies.get(COOKIE, "")
    key = f"session#{hash_token(token)}"
    doc = session_store(hub).get(key) if token else None
    if doc is None or parse_instant(doc["ends"]) <= hub.real_now():
        return None
    note_seen(hub, key, doc)
    return Person(name=doc["name"], grants=grants_from(doc["grants"]), key=key, csrf=doc["csrf"])


def note_seen(hub: Hub, key: str, doc: Mapping[str, Any]) -> None:
    """Save a session's last use, roughly. A session that has ended stays ended."""
    now = hub.real_now()
    if now - parse_instant(doc.get("seen") or doc["ends"]) >= SEEN_EVERY or "seen" not in doc:
        session_store(hub).replace(key, {**doc, "seen": format_instant(now)})


# Sessions and links of a program


def open_sessions(hub: Hub, program: str) -> list[Session]:
    """The sessions with access to a program, most recently used first."""
    now, found = hub.real_now(), []
    for key, doc in session_store(hub).list("session#"):
        grants, ends = grants_from(doc["grants"]), parse_instant(doc["ends"])
        if ends > now and any(grant.opens(program) for grant in grants):
            began, seen = (parse_instant(doc[name]) if doc.get(name) else None for name in ("began", "seen"))
            found.append(Session(key, doc["name"], grants, ends, began, seen, doc.get("browser", "")))
    return sorted(found, key=lambda one: one.seen or one.ends, reverse=True)


def unused_links(hub: Hub, program: str) -> list[SignInLink]:
    """The unused links to a program, by expiry."""
    state, now = session_store(hub), hub.real_now()
    used = {key.removeprefix("used#") for key, _ in state.list("used#")}
    links = (link_from(key.removeprefix("link#"), doc) for key, doc in state.list("link#"))
    fitting = (link for link in links if link.ends > now and link.key not in used)
    return sorted(
        (link for link in fitting if any(grant.opens(program) for grant in link.grants)), key=lambda link: link.ends
    )


def may_end(person: Person, grants: Sequence[Grant]) -> bool:
    """Whether this person may revoke somebody's access: they must administer all of its programs."""
    return all(person.may("set up", grant.program) for grant in grants)


def end_access(hub: Hub, person: Person, program: str, key: str) -> bool:
    """End a session or link at once. False if there is none this person may end."""
    state = session_store(hub)
    links = {f"link#{link.key}": link.grants for link in unused_links(hub, program)}
    known = {session.key: session.grants for session in open_sessions(hub, program)} | links
    if key not in known or not may_end(person, known[key]):
        return False
    state.delete(key)
    return True


def link_from(key: str, doc: Mapping[str, Any]) -> SignInLink:
    made = parse_instant(doc["made"]) if doc.get("made") else None
    return SignInLink(key, doc["name"], grants_from(doc["grants"]), parse_instant(doc["ends"]), made)


def end_session(hub: Hub, person: Person) -> None:
    session_store(hub).delete(person.key)


def grants_from(docs: Sequence[Mapping[str, Any]]) -> tuple[Grant, ...]:
    return tuple(Grant(doc["program"], doc["role"], doc.get("partner", "")) for doc in docs)


def grants_of_groups(groups: Sequence[str]) -> tuple[Grant, ...]:
    """User pool groups as grants: `admin`, `acme/manager`, `acme/partner/nordlicht`. Others are ignored."""
    found = []
    for group in groups:
        match group.split("/"):
            case ["admin"]:
                found.append(Grant(ANY_PROGRAM, "admin"))
            case [program, "partner", partner] if program and partner:
                found.append(Grant(program, "partner", partner))
            case [program, role] if program and role in ROLES and role != "partner":
                found.append(Grant(program, role))
    return tuple(found)


def create_owner_link(hub: Hub, event: Mapping[str, Any]) -> dict[str, str]:
    """Create an owner's link. Only for those who may invoke the function directly; not available over HTTP."""
    asked = json.loads(json.dumps(event["sign_in"]))
    grants = grants_from(asked.get("grants") or [{"program": ANY_PROGRAM, "role": "admin"}])
    return {"path": create_link(hub, asked.get("name", "admin"), grants)}
