"""Who is signed in, how, and what their role may do."""

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
ROLES = ("admin", "operator", "manager", "finance", "partner")
PERMISSIONS: Mapping[str, frozenset[str]] = {
    "admin": frozenset({"see", "send", "decide", "act", "set up"}),
    "manager": frozenset({"see", "send", "decide", "act"}),
    "operator": frozenset({"see", "send", "decide"}),
    "finance": frozenset({"see"}),
    "partner": frozenset({"own"}),
}
"""see: every page; send: files; decide: release, discard, replay; act: change actions; own: the portal."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One role in one program (`*`: in every one); a partner's is for that partner alone."""

    program: str
    role: str
    partner: str = ""

    def opens(self, program: str) -> bool:
        return self.program in (ANY_PROGRAM, program)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """`key` names the session in the table; `csrf` is what its forms carry."""

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
        """As a partner."""
        return [grant for grant in self.grants if grant.role == "partner" and grant.partner]


@dataclass(frozen=True, slots=True)
class LinkUsed:
    """A one-time link that somebody came in by already."""

    at: datetime


def session_store(hub: Hub) -> SourceState:
    """Links and sessions, by the hash of what their holder knows. `*` is no program's name."""
    return hub.state(ANY_PROGRAM, "console")


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def create_link(hub: Hub, name: str, grants: Sequence[Grant], hours: int = LINK_HOURS) -> str:
    """The path of a link that signs one person in, once. Only its hash is kept."""
    token = secrets.token_urlsafe(32)
    ends = hub.real_now() + timedelta(hours=hours)
    doc = {"name": name, "grants": [asdict(grant) for grant in grants], "ends": format_instant(ends)}
    session_store(hub).put(f"link#{hash_token(token)}", doc)
    return f"/console/sign-in?token={token}"


def redeem_link(hub: Hub, token: str) -> str | LinkUsed | None:
    """The session of whoever holds this link; first come, first served. None: no such link, or it is too old."""
    state, key = session_store(hub), hash_token(token)
    link = state.get(f"link#{key}")
    if link is None or parse_instant(link["ends"]) <= hub.real_now():
        return None
    if not state.claim(f"used#{key}", {"at": format_instant(hub.real_now()), "ends": link["ends"]}):
        return LinkUsed(parse_instant((state.get(f"used#{key}") or {"at": link["ends"]})["at"]))
    return create_session(hub, link["name"], grants_from(link["grants"]))


def create_session(hub: Hub, name: str, grants: Sequence[Grant]) -> str:
    """What the browser keeps; who comes in sweeps out what is over."""
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
    }
    state.put(f"session#{hash_token(token)}", doc)
    return token


def person_of(hub: Hub, cookies: Mapping[str, str]) -> Person | None:
    token = cookies.get(COOKIE, "")
    key = f"session#{hash_token(token)}"
    doc = session_store(hub).get(key) if token else None
    if doc is None or parse_instant(doc["ends"]) <= hub.real_now():
        return None
    return Person(name=doc["name"], grants=grants_from(doc["grants"]), key=key, csrf=doc["csrf"])


def end_session(hub: Hub, person: Person) -> None:
    session_store(hub).delete(person.key)


def grants_from(docs: Sequence[Mapping[str, Any]]) -> tuple[Grant, ...]:
    return tuple(Grant(doc["program"], doc["role"], doc.get("partner", "")) for doc in docs)


def grants_of_groups(groups: Sequence[str]) -> tuple[Grant, ...]:
    """The groups of a user pool as grants: `admin`, `acme/manager`, `acme/partner/nordlicht`; others mean nothing."""
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
    """Asked by whoever may invoke the function itself: the installation's owner, never over HTTP."""
    asked = json.loads(json.dumps(event["sign_in"]))
    grants = grants_from(asked.get("grants") or [{"program": ANY_PROGRAM, "role": "admin"}])
    return {"path": create_link(hub, asked.get("name", "admin"), grants)}
