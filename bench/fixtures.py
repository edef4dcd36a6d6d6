"""The program, source and delivery that the measured rows are read for."""

from datetime import UTC, datetime

from retour.domain.delivery import Channel, Delivery, DeliveryKind
from retour.domain.program import program_from
from retour.normalise import Normaliser

AT = datetime(2026, 11, 2, 9, tzinfo=UTC)
DOCUMENT = {
    "program": "acme",
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "event_types": {"sale": {}},
    "sources": {"warehouse": {"channel": "sftp", "event_type": "sale"}},
}


def build_delivery(name: str = "rows.csv", size: int = 0) -> Delivery:
    return Delivery(
        id="20261102T090000000Z-0123456789",
        program="acme",
        channel=Channel.SFTP,
        source="warehouse",
        kind=DeliveryKind.FILE,
        identity="1",
        received_at=AT,
        sha256="0" * 64,
        size=size,
        name=name,
        body_key="raw/acme/20261102T090000000Z-0123456789",
    )


def build_normaliser() -> Normaliser:
    program = program_from(DOCUMENT, 1, ())
    return Normaliser(program, program.sources["warehouse"], build_delivery())
