"""What a set-up page tells people to subscribe is what its adapter reads."""

import pytest
from tests.channels.hook_samples import source

from retour.channels import bigcommerce, shopify, stripe, woocommerce
from retour.channels.subscriptions import subscription_table, subscriptions

READ = {
    "stripe": set(stripe.READERS),
    "shopify": set(shopify.READERS),
    "woocommerce": set(woocommerce.TOPICS),
    "bigcommerce": set(bigcommerce.SCOPES),
}


@pytest.mark.parametrize("kind", subscription_table())
def test_every_message_named_is_one_that_is_read(kind: str) -> None:
    told = subscriptions(source(kind))
    assert told is not None
    assert told.money
    assert {*told.money, *told.names} <= READ[kind]


def test_names_are_needed_where_records_would_wait_for_ever() -> None:
    def needed(kind: str, **said: str) -> bool:
        told = subscriptions(source(kind, **said))
        return told is not None and told.needs_names

    assert needed("stripe", basis="order_total")
    assert not needed("stripe", basis="goods")
    assert needed("shopify", order_id_field="name")
    assert not needed("shopify", order_id_field="order_id")
    assert subscriptions(source("standard")) is None
