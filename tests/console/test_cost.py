"""What a page asks of the table does not grow with the ledger."""

from collections.abc import Callable

import pytest
from tests.conftest import House
from tests.console.conftest import Console

PAGES = ("actions", "deliveries", "setup", "setup/lock", "inbox")


@pytest.fixture
def asked(house: House) -> Callable[[], int]:
    """How many requests went to the table since it was looked at last."""
    calls: list[str] = []
    house.hub._dynamodb.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))

    def count() -> int:
        found = len(calls)
        calls.clear()
        return found

    return count


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_as_often_of_many_actions_as_of_few(
    console: Console, sold: Callable[..., None], asked: Callable[[], int], page: str
) -> None:
    browser = console.person()
    sold(*(f"A-{n}" for n in range(60)))
    asked()
    assert browser.get(f"{console.base}/{page}").status == 200
    few = asked()
    sold(*(f"B-{n}" for n in range(180)))
    asked()
    answer = browser.get(f"{console.base}/{page}")
    many = asked()
    assert answer.status == 200 and len(answer.body) < 100_000
    assert many <= few + 2, (few, many)
