"""OpenID Connect login (Amazon Cognito): authorization code with PKCE, no tokens in the browser."""

import base64
import hashlib
import hmac
import json
import logging
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode, urlsplit

from retour.console.people import Grant, grants_of_groups, hash_token, session_store
from retour.domain.times import format_instant, parse_instant
from retour.settings import SignIn
from retour.wiring import Hub

logger = logging.getLogger(__name__)
COOKIE = "retour_login"
MINUTES = 10
SECONDS = 10
LEEWAY = 60


@dataclass(frozen=True, slots=True)
class LoginStart:
    """The login URL, and the cookie for the time of the login."""

    address: str
    browser: str


@dataclass(frozen=True, slots=True)
class LoginFailure:
    why: str


@dataclass(frozen=True, slots=True)
class LoginIdentity:
    name: str
    grants: tuple[Grant, ...]
    back: str


def provider(hub: Hub) -> SignIn | None:
    """The configured provider, or None."""
    found = hub.settings.sign_in
    return found if found.issuer and found.client else None


def login_origin(hub: Hub) -> str:
    """The provider's origin, for the Content-Security-Policy."""
    found = provider(hub)
    parts = urlsplit(found.url) if found else None
    return f"{parts.scheme}://{parts.netloc}" if parts and parts.netloc else ""


@cache
def discover(issuer: str) -> Mapping[str, Any]:
    """The provider's metadata, fetched once per process."""
    found: Mapping[str, Any] = json.loads(fetch(f"{issuer}/.well-known/openid-configuration"))
    if found["issuer"] != issuer:
        raise ValueError("the provider calls itself otherwise")
    return found


def fetch(address: str, form: Mapping[str, str] | None = None) -> bytes:
    body = urlencode(form).encode() if form is not None else None
    with urllib.request.urlopen(urllib.request.Request(address, body), timeout=SECONDS) as answer:
        return bytes(answer.read(1 << 20))


def start_login(hub: Hub, address: str, back: str) -> LoginStart | None:
    found = provider(hub)
    if found is None:
        return None
    state, nonce, verifier, browser = (secrets.token_urlsafe(32) for _ in range(4))
    ends = hub.real_now() + timedelta(minutes=MINUTES)
    doc = {
        "nonce": nonce,
        "verifier": verifier,
        "browser": hash_token(browser),
        "back": back,
        "ends": format_instant(ends),
    }
    session_store(hub).put(f"login#{hash_token(state)}", doc)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    query = {
        "response_type": "code",
        "client_id": found.client,
        "redirect_uri": f"{address}/console/callback",
        "scope": "openid email",
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return LoginStart(f"{discover(found.issuer)['authorization_endpoint']}?{urlencode(query)}", browser)


def finish_login(hub: Hub, address: str, query: Mapping[str, str], browser: str) -> LoginIdentity | LoginFailure:
    """Complete a login: the same browser must return with a valid code. Returns the identity or the failure."""
    found = provider(hub)
    key = f"login#{hash_token(query.get('state', ''))}"
    begun = session_store(hub).get(key)
    if found is None or begun is None:
        return LoginFailure("not begun here")
    session_store(hub).delete(key)
    if parse_instant(begun["ends"]) <= hub.real_now() or not hmac.compare_digest(begun["browser"], hash_token(browser)):
        return LoginFailure("another browser, or too late")
    if "code" not in query:
        return LoginFailure("declined")
    try:
        claims = verify_token(found, exchange_code(found, address, query["code"], begun["verifier"]))
    except (OSError, ValueError, KeyError) as error:
        logger.warning("sign-in failed", extra={"why": type(error).__name__})
        return LoginFailure("not verified")
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), begun["nonce"].encode()):
        return LoginFailure("another's answer")
    grants = grants_of_groups(claims.get("cognito:groups") or ())
    if not grants:
        return LoginFailure("nothing opened")
    return LoginIdentity(str(claims.get("email") or claims["sub"]), grants, begun["back"])


def exchange_code(found: SignIn, address: str, code: str, verifier: str) -> str:
    form = {
        "grant_type": "authorization_code",
        "client_id": found.client,
        "code": code,
        "redirect_uri": f"{address}/console/callback",
        "code_verifier": verifier,
    }
    token: str = json.loads(fetch(discover(found.issuer)["token_endpoint"], form))["id_token"]
    return token


@cache
def jwks_client(address: str) -> Any:
    import jwt

    return jwt.PyJWKClient(address, cache_keys=True, timeout=SECONDS)


def verify_token(found: SignIn, token: str) -> Mapping[str, Any]:
    """The claims of a valid token signed by this provider for us. Raises ValueError."""
    import jwt

    try:
        key = jwks_client(discover(found.issuer)["jwks_uri"]).get_signing_key_from_jwt(token)
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience=found.client,
            issuer=found.issuer,
            leeway=LEEWAY,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )
    except jwt.PyJWTError as error:
        raise ValueError(str(error)) from error
    if claims.get("token_use", "id") != "id":
        raise ValueError("no id token")
    return claims
