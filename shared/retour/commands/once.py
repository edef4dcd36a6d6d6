"""Idempotent requests: a repeat with the same key gets the first response."""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retour.errors import ConflictError, InvalidRequestError, RequestError
from retour.store.source_state import OnceState

STORED_ANSWER_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class Once:
    """A request by its key; `said` is everything by which another one with the same key differs. `is_secret`: its
    answer is kept nowhere, not even to be given again."""

    state: OnceState
    key: str
    said: str
    is_secret: bool = False

    def answer(self, carry_out: Callable[[], Any]) -> Any:
        """The response as JSON; for a repeat, the first one.

        The key is claimed first, so that it cannot stand for two requests. It is free again after an interruption or an
        error. Without a key the request is simply carried out.
        """
        if not self.key:
            return carry_out()
        place = f"idempotency#{hashlib.sha256(self.key.encode()).hexdigest()}"
        mine = {"fingerprint": hashlib.sha256(self.said.encode("utf-8", "surrogatepass")).hexdigest()}
        if not self.state.claim(place, mine):
            kept = self.state.get(place) or mine
            if kept["fingerprint"] != mine["fingerprint"]:
                raise InvalidRequestError("IDEMPOTENCY_KEY_REUSED")
            if kept.get("shown"):
                raise ConflictError("ANSWER_SHOWN_ONCE")
            if "answer" in kept:
                return json.loads(zlib.decompress(base64.b64decode(kept["answer"])))
        try:
            given = carry_out()
        except RequestError:
            self.state.delete(place)
            raise
        if self.is_secret:
            self.state.put(place, {**mine, "shown": True})
            return given
        packed = base64.b64encode(zlib.compress(json.dumps(given).encode())).decode()
        self.state.put(place, {**mine, "answer": packed} if len(packed) < STORED_ANSWER_MAX else mine)
        return given
