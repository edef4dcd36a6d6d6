"""Every kind of change with the power cut in the midst of it: what was acknowledged is there, and nothing is twice."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.local.conftest import RunningHub, running_hub
from tests.local.test_hub import OWN_PROGRAM, action, ask, eventually, send_mail, sftp

pytestmark = pytest.mark.xdist_group("hub")
P = "/v1/programs/shoes"
SOURCES = {
    **OWN_PROGRAM["sources"],
    **{name: {"channel": "api", "default_reason": "ITEM_RETURNED"} for name in ("erp", "till")},
    "doubtful": {"channel": "api", "default_reason": "ITEM_RETURNED", "thresholds": {"bad_rows": "10%"}},
    "mail": {"channel": "email", "default_reason": "ITEM_RETURNED", "options": {"allow_from": ["a@shop.example"]}},
}
TAKE_BACK = {"change": "take_back", "amount": "10.00", "currency": "EUR"}
ROWS = b"reference,order_id,change,amount,currency\n%(order)b-f,%(order)b,take_back,30.00,EUR\n"
BAD_ROW = b"%(order)b-g,%(order)b,take_back,x,EUR\n"
AT_ONCE = 3


def modified(hub: RunningHub, order: str, name: str = "1", source: str = "erp", **change: Any) -> Any:
    return ask(hub, "POST", f"{P}/modifications?source={source}", {"reference": name, "order_id": order, **change})


def acted(hub: RunningHub, order: str, act: str, **values: Any) -> Any:
    return ask(hub, "POST", f"{P}/actions/{order}~sale/{act}", {"reference": f"{order}-act", **values})


def of_order(hub: RunningHub, order: str, **wanted: Any) -> Any:
    items = ask(hub, "GET", f"{P}/modifications?order_id={order}")["items"]
    return next(item for item in items if all(item[name] == value for name, value in wanted.items()))


def decided(hub: RunningHub, order: str, what: str) -> Any:
    """Decided already, if the first time was not told: then there is nothing left to decide."""
    record = of_order(hub, order, source="till")
    path = f"{P}/modifications/{quote(record['id'], safe='')}/{what}"
    return record["outcome"] == "held" and ask(hub, "POST", path, {"reference": f"{order}-act"})


def batch_of(hub: RunningHub, order: str) -> Any:
    return next(
        one for one in ask(hub, "GET", f"{P}/batches?source=doubtful")["items"] if one["name"] == f"{order}.csv"
    )


def decided_whole(hub: RunningHub, order: str, what: str) -> Any:
    batch = batch_of(hub, order)
    return batch["state"] == "held" and ask(hub, "POST", f"{P}/batches/{batch['id']}/{what}", {})


def filed(hub: RunningHub, order: str, rows: bytes = ROWS, source: str = "erp") -> Any:
    return ask(hub, "POST", f"{P}/files?name={order}.csv&source={source}", rows % {b"order": order.encode()})


def dropped(hub: RunningHub, order: str) -> Any:
    file = Path(hub.data).parent / f"{order}.csv"
    file.write_bytes(ROWS % {b"order": order.encode()})
    return sftp(hub, "shoes", "drop", f"put {file} {order}.csv")


def mailed(hub: RunningHub, order: str) -> Any:
    return send_mail(hub, "shoes", "mail", f"{order}.csv", ROWS % {b"order": order.encode()})


# What was done before the cut

Do = Callable[[RunningHub, str], Any]


def nothing(hub: RunningHub, order: str) -> None:
    pass


def returned(hub: RunningHub, order: str) -> None:
    modified(hub, order, "before", **TAKE_BACK)


def reversed_(hub: RunningHub, order: str) -> None:
    modified(hub, order, "before", change="reverse")


def held(hub: RunningHub, order: str) -> None:
    returned(hub, order)
    assert modified(hub, order, "again", "till", **TAKE_BACK)["counts"] == {"held": 1}


def held_whole(hub: RunningHub, order: str) -> None:
    filed(hub, order, ROWS + BAD_ROW, "doubtful")
    eventually(lambda: batch_of(hub, order)["state"] == "held")


@dataclass(frozen=True)
class Change:
    """What is done in the midst of a cut to an order of 100.00 of the partner `blog`, and how that stands then."""

    do: Do
    then: tuple[str, str, int | None]
    """State, amount, and the changes it took; None where a repeat is a further one that changes nothing."""
    before: Do = nothing
    partner: str = "blog"


CHANGES: Mapping[str, Change] = {
    "report": Change(
        lambda hub, order: ask(hub, "POST", f"{P}/actions", action(order, "100.00")), ("pending", "100.00", 0)
    ),
    "reverse": Change(lambda hub, order: modified(hub, order, change="reverse"), ("reversed", "0.00", 1)),
    "set-total": Change(
        lambda hub, order: modified(hub, order, change="set_total", amount="60.00", currency="EUR"),
        ("pending", "60.00", 1),
    ),
    "take-back": Change(lambda hub, order: modified(hub, order, **TAKE_BACK), ("pending", "90.00", 1)),
    "approve": Change(lambda hub, order: acted(hub, order, "approve"), ("approved", "100.00", None)),
    "restore": Change(lambda hub, order: acted(hub, order, "restore"), ("pending", "100.00", 2), reversed_),
    "status": Change(lambda hub, order: acted(hub, order, "status", status="shipped"), ("pending", "100.00", 0)),
    "reattribute": Change(
        lambda hub, order: acted(hub, order, "reattribute", partner="other"), ("pending", "100.00", 1), partner="other"
    ),
    "undo": Change(
        lambda hub, order: acted(hub, order, "undo", undoes=of_order(hub, order, reference="before")["id"]),
        ("pending", "100.00", 2),
        returned,
    ),
    "reprice": Change(lambda hub, order: acted(hub, order, "reprice"), ("pending", "90.00", None), returned),
    "release": Change(lambda hub, order: decided(hub, order, "release"), ("pending", "80.00", 2), held),
    "discard": Change(lambda hub, order: decided(hub, order, "discard"), ("pending", "90.00", 1), held),
    "release-file": Change(
        lambda hub, order: decided_whole(hub, order, "release"), ("pending", "70.00", 1), held_whole
    ),
    "discard-file": Change(
        lambda hub, order: decided_whole(hub, order, "discard"), ("pending", "100.00", 0), held_whole
    ),
    "file": Change(filed, ("pending", "70.00", 1)),
    "upload": Change(dropped, ("pending", "70.00", 1)),
    "mail": Change(mailed, ("pending", "70.00", 1)),
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningHub, set[str]]]:
    """A hub that is up again, and the changes that were acknowledged before it was killed."""
    home = tmp_path_factory.mktemp("killed")
    acknowledged: set[str] = set()
    with running_hub(home) as hub:
        ask(hub, "PUT", P, {**OWN_PROGRAM, "sources": SOURCES})
        ask(hub, "POST", f"{P}/actions", [action(order, "100.00") for order in CHANGES if order != "report"])
        for order, change in CHANGES.items():
            change.before(hub, order)
        over = threading.Event()

        def do(order: str) -> str:
            if over.is_set():
                raise ConnectionError("the power is off")
            CHANGES[order].do(hub, order)
            return order

        with ThreadPoolExecutor(AT_ONCE) as hands:
            for done in as_completed([hands.submit(do, order) for order in CHANGES]):
                if over.is_set() or done.exception():
                    continue
                acknowledged.add(done.result())
                if len(acknowledged) > len(CHANGES) // 2:
                    over.set()
                    hub.kill()
    with running_hub(home) as hub:
        yield hub, acknowledged


@pytest.mark.parametrize("order", CHANGES)
def test_a_change_takes_effect_once(killed: tuple[RunningHub, set[str]], order: str) -> None:
    """What nobody acknowledged is said again, as its sender would."""
    (hub, acknowledged), change = killed, CHANGES[order]
    if order not in acknowledged:
        change.do(hub, order)

    def stands() -> tuple[Any, ...]:
        seen = ask(hub, "GET", f"{P}/actions/{order}~sale")
        return seen["state"], seen["amount"], seen["changes"] if change.then[2] is not None else None, seen["partner"]

    eventually(lambda: stands() == (*change.then, change.partner))
    if order == "mail":
        mails = eventually(lambda: ask(hub, "GET", "/local/mails")["items"])
        assert {to for mail in mails for to in mail["to"]} == {"a@shop.example"}
