"""When a source needs the messages that only tell names and totals."""

from tests.channels.hook_samples import source

from retour.channels.subscriptions import subscriptions


def test_names_are_needed_where_records_would_wait_for_ever() -> None:
    def needed(kind: str, **said: str) -> bool:
        told = subscriptions(source(kind, **said))
        return told is not None and told.needs_names

    assert needed("stripe", basis="order_total")
    assert not needed("stripe", basis="goods")
    assert needed("shopify", order_id_field="name")
    assert not needed("shopify", order_id_field="order_id")
    assert subscriptions(source("standard")) is None
