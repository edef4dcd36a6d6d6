"""A small OpenID provider on loopback: PKCE is checked, and codes are valid once."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT = "retour-console"


@dataclass
class Provider:
    """`claims` override those of every token; `signs_with` another key forges them."""

    issuer: str
    key: rsa.RSAPrivateKey
    signs_with: rsa.RSAPrivateKey | None = None
    groups: list[str] = field(default_factory=lambda: ["admin"])
    claims: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def authorized(self, query: dict[str, str]) -> str:
        """The redirect after the user has agreed."""
        assert query["response_type"] == "code" and query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256" and "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, str]]:
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or proof != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": "7d93", "email": "ana@acme.example", "token_use": "id",
            "iat": now, "exp": now + 300, "nonce": asked["nonce"], "cognito:groups": self.groups, **self.claims,
        }  # fmt: skip
        return 200, {"id_token": jwt.encode(claims, self.signs_with or self.key, "RS256", {"kid": "k1"})}

    def document(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def keys(self) -> dict[str, Any]:
        own = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**own, "kid": "k1", "use": "sig", "alg": "RS256"}]}


class QuickServer(ThreadingHTTPServer):
    def server_bind(self) -> None:
        """Skip the reverse lookup of 127.0.0.1, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]


@contextmanager
def provider() -> Iterator[Provider]:
    class Exchange(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_response(302)
                self.send_header("location", own.authorized(query))
                self.end_headers()
                return
            self.say(200, own.document() if "well-known" in parts.path else own.keys())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self.say(*own.token({name: values[0] for name, values in parse_qs(body).items()}))

        def say(self, status: int, document: dict[str, Any]) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    server = QuickServer(("127.0.0.1", 0), Exchange)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = Provider(f"http://127.0.0.1:{server.server_port}", key)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield own
    finally:
        server.shutdown()
        server.server_close()
