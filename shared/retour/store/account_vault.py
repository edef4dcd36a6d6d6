"""Bank data, encrypted by a key of its own: the key in Parameter Store, what it closes beside the ledger.

Only who pays can open it: the parameter is named `/retour-accounts/<stack>/<program>`, which the functions of senders
have no right to read. AES-GCM binds a text to its program and owner, so that none can be put in another's place.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retour.store.source_state import OnceState

PREFIX = "/retour-accounts"
STATE = "payout-accounts"
"""Under which source's name the closed texts are kept; no source can be called so."""
NONCE_BYTES, ID_DIGITS = 12, 16


@dataclass
class AccountVault:
    """`ssm` is a boto3 SSM client, `kept` the state in which the closed texts of the program lie."""

    ssm: Any
    kept: OnceState
    stack: str
    program: str
    _key: bytes = field(default=b"", repr=False)

    def put(self, owner: str, account: Mapping[str, str]) -> str:
        """Keep an account of an owner; its id, by which it is found again and two are told apart."""
        id_ = self.digest("account", json.dumps(account, sort_keys=True))
        place = f"{owner}#{id_}"
        if self.kept.get(place) is None:
            nonce = secrets.token_bytes(NONCE_BYTES)
            closed = self._cipher().encrypt(nonce, json.dumps(account).encode(), self._bound_to(owner))
            self.kept.put(place, {"closed": base64.b64encode(nonce + closed).decode()})
        return id_

    def open(self, owner: str, id_: str) -> dict[str, str]:
        """KeyError where no such account was ever kept, or what is kept is not what was put."""
        from cryptography.exceptions import InvalidTag

        found = self.kept.get(f"{owner}#{id_}")
        if found is None:
            raise KeyError(owner)
        closed = base64.b64decode(found["closed"])
        try:
            text = self._cipher().decrypt(closed[:NONCE_BYTES], closed[NONCE_BYTES:], self._bound_to(owner))
        except InvalidTag:
            raise KeyError(owner) from None
        account: dict[str, str] = json.loads(text)
        return account

    def digest(self, what: str, text: str) -> str:
        """By which equal texts are told from others; without the key it says nothing of them."""
        return hmac.new(self._secret(), f"{what}\0{text}".encode(), hashlib.sha256).hexdigest()[:ID_DIGITS]

    def _cipher(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._secret())

    def _bound_to(self, owner: str) -> bytes:
        return f"{self.program}\0{owner}".encode()

    def _secret(self) -> bytes:
        """The program's own key; made when the first account is kept."""
        if not self._key:
            name = f"{PREFIX}/{self.stack}/{self.program}"
            made = base64.b64encode(secrets.token_bytes(32)).decode()
            try:
                text = self.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
            except self.ssm.exceptions.ParameterNotFound:
                try:
                    self.ssm.put_parameter(Name=name, Value=made, Type="SecureString", Overwrite=False)
                    text = made
                except self.ssm.exceptions.ParameterAlreadyExists:
                    text = self.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
            self._key = base64.b64decode(text)
        return self._key
