"""The context of a request, made at the edge: program, caller, time and ports."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from retour.domain.program import Program
from retour.errors import InvalidRequestError
from retour.ports import Clock
from retour.store.programs import Principal

KEY_PATTERN = re.compile(r"[\x21-\x7e]{1,255}")
Ports = TypeVar("Ports", bound=Clock, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(Generic[Ports]):
    """`key` is the caller's id of the request, which makes it idempotent: an Idempotency-Key or a form id."""

    ports: Ports
    program: Program
    caller: Principal
    key: str = ""

    def __post_init__(self) -> None:
        if self.key and not KEY_PATTERN.fullmatch(self.key):
            raise InvalidRequestError("IDEMPOTENCY_KEY_INVALID")

    def now(self) -> datetime:
        """The business clock."""
        return self.ports.now()
