"""The report of a poll, for the source's admin."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from retour.domain.times import format_instant
from retour.remote import RemoteError, sanitise_message

FILE_BYTES_MAX = 400 * 1024 * 1024
LISTED_MAX = 100
SKIP_EXPLANATIONS = {
    "pattern": "its name does not match the pattern",
    "ours": "our own answer",
    "temporary": "its name says that it is not whole yet",
    "marker": "only says that another file is whole",
    "name": "its name has a folder or unprintable signs in it",
    "taken": "taken before",
    "content": "the same content was taken before",
    "growing": "perhaps still being written",
    "large": f"larger than {FILE_BYTES_MAX // 1024 // 1024} MB: use the API's upload",
    "later": "left for the next visit",
}


@dataclass(slots=True)
class PollReport:
    """What a poll found and did. Contains no secrets and is bounded in size."""

    id: str
    started: datetime
    server: str
    seen: int = 0
    fetched: list[dict[str, Any]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    not_taken: list[dict[str, str]] = field(default_factory=list)
    deleted: int = 0
    moved: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    looks_again: bool = False
    finished: datetime | None = None
    first_error: RemoteError | None = None

    @property
    def failed(self) -> bool:
        return bool(self.errors)

    @property
    def is_lasting(self) -> bool:
        """Whether all failures need a person's action."""
        return self.failed and all(error["lasting"] for error in self.errors)

    def skip(self, name: str, why: str, **more: str) -> None:
        self.skipped[why] += 1
        if len(self.not_taken) < LISTED_MAX:
            self.not_taken.append(
                {"name": sanitise_message(name), "why": why, "explanation": SKIP_EXPLANATIONS[why], **more}
            )

    def fail(self, error: RemoteError, name: str = "") -> None:
        if len(self.errors) < LISTED_MAX:
            about = {"name": sanitise_message(name)} if name else {}
            self.errors.append({"code": error.code, "words": error.sentence, "lasting": error.lasting, **about})
        self.first_error = self.first_error or error

    def explanation(self) -> str:
        """The report in one or two sentences."""
        parts = [f"{files_text(len(self.fetched))} fetched"]
        parts += [f"{number} skipped ({SKIP_EXPLANATIONS[why]})" for why, number in sorted(self.skipped.items())]
        parts += [f"{self.deleted} deleted there"] if self.deleted else []
        parts += [f"{self.moved} moved there"] if self.moved else []
        said = f"{files_text(self.seen)} seen, {', '.join(parts)}."
        if self.looks_again:
            said += " What is perhaps still being written is looked at again in a minute."
        if self.errors:
            said = f"{self.errors[0]['words']} {said if self.seen else ''}".strip()
        return said

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "state": "failed" if self.failed else "done",
            "explanation": self.explanation(),
            "started": format_instant(self.started),
            "finished": format_instant(self.finished or self.started),
            "server": self.server,
            "seen": self.seen,
            "fetched": self.fetched[:LISTED_MAX],
            "skipped": dict(self.skipped),
            "not_taken": self.not_taken,
            "deleted": self.deleted,
            "moved": self.moved,
            "errors": self.errors,
            "looks_again": self.looks_again,
        }


def files_text(files: int) -> str:
    return f"{files} file{'' if files == 1 else 's'}"
