"""The samples of senders' webhooks: a body exactly as it is sent and, beside it, how it reads from which source.

After a wanted change `python -m tests.channels.hook_samples` writes all readings anew: read the diff.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from retour.channels import webhook
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable
from retour.domain.senders import senders

SAMPLES = Path(__file__).parents[1] / "samples" / "hooks"
SENDERS = Path(__file__).parents[1] / "senders"


def samples(kind: str) -> list[Path]:
    return sorted(path for path in (SAMPLES / kind).glob("*.json") if not path.name.endswith(".reading.json"))


def expected(sample: Path) -> dict[str, Any]:
    return json.loads(sample.with_suffix(".reading.json").read_text("utf-8"))  # type: ignore[no-any-return]


def source(kind: str, **said: Any) -> Source:
    """A source of a kind, with the options assumed by the kind's table."""
    mapping = MappingProxyType(said.pop("mapping", {}))
    if kind in senders():
        said = {"options": table(kind)["source"].get("options", {}), **said}
    return Source(name="shop", namespace="shop", channel=Channel.API, kind=kind, mapping=mapping, **said)


def adapter(kind: str, **said: Any) -> webhook.WebhookAdapter:
    """The adapter of such a source."""
    return webhook.source_adapter(source(kind, **said))


@cache
def table(kind: str) -> dict[str, Any]:
    return yaml.safe_load((SENDERS / f"{kind}.yaml").read_text("utf-8"))  # type: ignore[no-any-return]


def reading(sample: Path) -> Any:
    """The current reading of a sample, in the format of the files beside the samples."""
    kind, said = sample.parent.name, expected(sample)
    from_source = source(kind, **said["source"])
    return reading_document(webhook.source_adapter(from_source).rows(sample.read_bytes(), said["facts"], from_source))


def reading_document(read: Sequence[Row | Unreadable] | OrderNames | Ignored | Refusal) -> Any:
    if isinstance(read, Ignored):
        return {"ignored": read.why}
    if isinstance(read, OrderNames):
        names = {"order": read.order, "total": read.total, "currency": read.currency}
        return {"names": list(read.names), **{name: text for name, text in names.items() if text}}
    if isinstance(read, Refusal):
        return {"refused": read.code, **read.details}
    return [
        {"place": row.place, **row.fields}
        if isinstance(row, Row)
        else {"place": row.place, "unreadable": row.code, **row.details, "order": row.order, "reference": row.reference}
        for row in read
    ]


def bless() -> None:
    for kind in senders():
        for sample in samples(kind):
            written = json.dumps({**expected(sample), "reading": reading(sample)}, indent=2, ensure_ascii=False)
            sample.with_suffix(".reading.json").write_text(written + "\n", "utf-8")


if __name__ == "__main__":
    bless()
