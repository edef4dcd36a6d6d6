"""What every sender of webhooks must pass. An entry in `domain/senders.json` runs all of it for the new kind.

Signatures, deliveries sent twice, malformed input, sequences of states, currencies, samples, subscriptions.
"""

import base64
import copy
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retour.channels import webhook
from retour.channels.subscriptions import subscriptions
from retour.domain.money import exponents
from retour.domain.row import Ignored, OrderNames, Refusal, Row, Unreadable
from retour.domain.senders import NO_SECRET, OF_ORDERS, OF_TOTALS, sender_of, senders
from retour.sentences import all_sentences
from tests.channels.hook_samples import SAMPLES, adapter, expected, reading, samples, source
from tests.channels.hook_signing import sign_headers
from tests.senders.kinds import missing_parts, sender_script
from tests.senders.sequences import all_sequences, first_wrong, table
from tests.senders.webhook_harness import WebhookHarness

KINDS = list(senders())
NOW = datetime(2026, 11, 22, 0, 30, tzinfo=UTC)
SECRETS = {kind: sender_script(kind).SECRET for kind in KINDS}
ALL = [sample for kind in KINDS for sample in samples(kind)]
FACTS = [facts for facts in (expected(sample)["facts"] for sample in ALL) if facts]
HEADERS = sorted({name for kind in KINDS for name in sign_headers(kind, b"", SECRETS[kind], NOW)}.union(*FACTS))
FEW = 120
"""Sequences of states of each kind; `python -m tests.senders` (make soak) plays them in thousands."""


def json_of(sample: Path) -> Any:
    """The document of a sample; None where it is none, on purpose."""
    try:
        return json.loads(sample.read_bytes())
    except ValueError:
        return None


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys_of(part)


DOCUMENTS = [found for found in map(json_of, ALL) if found]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sender_brings_all_that_its_suite_needs(kind: str) -> None:
    assert not missing_parts(kind)


def test_what_is_missing_is_named() -> None:
    assert missing_parts("acme-shop") == [
        "shared/retour/channels/acme_shop.py",
        "tests/senders/acme_shop.py",
        "tests/senders/acme-shop.yaml",
        "tests/samples/hooks/acme-shop/*.json, each with its .reading.json",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_is_complete(kind: str) -> None:
    sender = sender_of(kind)
    assert sender.title
    assert sender.basis in ("goods", "order_total")
    assert sender.secret in ("whsec", "text", NO_SECRET)
    assert sender.names_tell in (("", OF_ORDERS, OF_TOTALS) if sender.names else ("",))
    assert sender.money or sender.described or kind == "standard", "what is to be subscribed?"


# Samples


@pytest.mark.parametrize("sample", ALL, ids=lambda sample: f"{sample.parent.name}/{sample.stem}")
def test_every_sample_reads_as_the_file_beside_it_says(sample: Path) -> None:
    assert reading(sample) == expected(sample)["reading"]


def test_every_kind_has_samples_and_every_reading_its_sample() -> None:
    assert {sample.parent.name for sample in ALL} == set(KINDS)
    readings = {path.name.removesuffix(".reading.json") for path in SAMPLES.glob("*/*.reading.json")}
    assert readings == {sample.stem for sample in ALL}


def test_every_code_that_a_sample_reads_as_has_its_sentence() -> None:
    codes = set()
    for sample in ALL:
        said = expected(sample)["reading"]
        rows = said if isinstance(said, list) else [said]
        codes |= {row.get("unreadable") or row.get("refused") for row in rows} - {None}
    assert len(codes) > 8
    assert codes <= all_sentences().keys()


def test_rows_need_no_header_but_the_facts() -> None:
    """What is replayed years later has its facts alone, and they hold no signature."""
    for sample in ALL:
        kind, said = sample.parent.name, expected(sample)
        hooks = adapter(kind)
        headers = said["facts"] | sign_headers(kind, sample.read_bytes(), SECRETS[kind], NOW)
        facts = hooks.facts(headers)
        assert not any("signature" in name or "hmac" in name for name in facts)
        told = [hooks.rows(sample.read_bytes(), given, source(kind, **said["source"])) for given in (headers, facts)]
        assert told[0] == told[1]


# Signatures


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_exact_bytes_under_a_live_secret_are_believed(kind: str) -> None:
    hooks, body, secret = adapter(kind), b'{"id": 1}', SECRETS[kind]
    headers = sign_headers(kind, body, secret, NOW)
    assert hooks.verify(body, headers, [secret], NOW)
    assert hooks.verify(body, headers, [SECRETS["standard"][:-8] + "AAAAAAA=", secret], NOW), "the second live secret"
    assert not hooks.verify(body + b" ", headers, [secret], NOW)
    assert not hooks.verify(body, headers, ["whsec_" + base64.b64encode(b"another secret, 24 bytes").decode()], NOW)
    assert not hooks.verify(body, headers, [], NOW)
    assert not hooks.verify(body, headers, [""], NOW)
    assert not hooks.verify(body, {}, [secret], NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_signs_itself_is_what_its_senders_sign(kind: str) -> None:
    """A source tries its own door with it."""
    hooks, body, secret = adapter(kind), b'{"type": "retour.test", "id": "t-1"}', SECRETS[kind]
    own = hooks.sign_headers(body, [secret], NOW)
    if sender_of(kind).secret == NO_SECRET:
        assert not hooks.verify(body, own, [secret], NOW), "nobody but the sender has its key"
        return
    assert hooks.verify(body, own, [secret], NOW)
    assert {name.lower() for name in own} <= {name.lower() for name in sign_headers(kind, body, secret, NOW)}
    assert not hooks.verify(body, own, [secret[::-1]], NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_that_is_no_secret_opens_nothing(kind: str) -> None:
    """An empty key is one that anybody holds."""
    body = b"{}"
    for empty in ("", "whsec_", "whsec_!!", "whsec_===="):
        for forged in (
            sign_headers(kind, body, empty, NOW),
            sign_headers(kind, body, "whsec_" + base64.b64encode(b"").decode(), NOW),
        ):
            if kind != "standard" and empty:
                continue  # There the text itself is the secret, whatever it looks like.
            assert not adapter(kind).verify(body, forged, [empty], NOW)


# Deliveries sent twice


@pytest.mark.parametrize("kind", KINDS)
def test_a_delivery_sent_twice_counts_once(kind: str) -> None:
    """By the sender's own id of the delivery, and by its content where a second subscription sends it."""
    hall = WebhookHarness(kind, table(kind)["source"])
    hall.sell("2001")
    body, headers = sender_script(kind).refund("2001", "12.34", "100.00", "EUR")
    first = hall.post(body, delivery="msg_a", **headers)
    assert (first["counts"], hall.left("2001")) == ({"applied": 1}, "87.66")
    assert hall.post(body, delivery="msg_a", **headers)["counts"] == {"duplicate": 1}
    assert (hall.left("2001"), len(hall.order("2001").records)) == ("87.66", 1)
    assert hall.post(body, delivery="msg_b", **headers)["counts"] == {"duplicate": 1}
    assert hall.left("2001") == "87.66"


def test_an_identity_is_a_key_whatever_the_header_holds() -> None:
    for kind in KINDS:
        for header in ("x" * 5000, "é", "a\nb", ""):
            headers = dict.fromkeys(HEADERS, header)
            assert len(adapter(kind).identity(b"{}", headers)) == 64


# Malformed input


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [b"{", b"null", b"[]", b'"x"', b"[" * 3000, b'{"id": 1e999}', b"{}", b"\x00"])
def test_a_genuine_body_without_sense_is_answered_and_takes_nothing(kind: str, body: bytes) -> None:
    hall = WebhookHarness(kind, table(kind)["source"])
    hall.sell("2001")
    for facts in (FACTS[0], *(expected(sample)["facts"] for sample in samples(kind)[:3])):
        answer = hall.post(body, **{name.replace("-", "_"): value for name, value in facts.items()})
        assert not answer.get("counts", {}).get("applied"), answer
    assert hall.left("2001") == "100.00"


KEYS = sorted({key for document in DOCUMENTS for key in keys_of(document)})
texts = st.text(max_size=60) | st.sampled_from(["v1,", "v1,====", "t=1,v1=00", "t=9" * 20, "\ud800", "v1,é"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["1.00", "refund"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=25,
)
bodies = (
    st.binary(max_size=200)
    | st.sampled_from([sample.read_bytes() for sample in ALL])
    | values.map(lambda value: json.dumps(value).encode())
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sample in which some value, at any depth, is another one."""
    document = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    holder: Any = document
    while isinstance(holder, dict | list) and holder:
        key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
        if not isinstance(holder[key], dict | list) or not holder[key] or draw(st.booleans()):
            holder[key] = draw(values)
            break
        holder = holder[key]
    return json.dumps(document).encode()


@given(
    kind=st.sampled_from(KINDS),
    body=bodies | damaged(),
    headers=st.dictionaries(st.sampled_from(HEADERS), texts, max_size=6),
    secrets=st.lists(texts, max_size=3),
    facts=st.sampled_from(FACTS),
)
def test_nothing_that_is_sent_makes_a_reader_raise(
    kind: str, body: bytes, headers: dict[str, str], secrets: list[str], facts: dict[str, str]
) -> None:
    hooks = adapter(kind)
    assert hooks.verify(body, headers, secrets, NOW) is False
    key = hooks.identity(body, headers)
    assert 0 < len(key.encode()) <= 300
    headers |= facts
    for name, value in hooks.facts(headers).items():
        assert (name + value).isascii()
    for basis in ("goods", "order_total"):
        for means in (None, "set_total"):
            read = hooks.rows(body, headers, source(kind, basis=basis, amount_means=means, order_id_field="name"))
            assert all(isinstance(status, str) for status in hooks.undeclared_statuses(body, headers, source(kind)))
            assert isinstance(read, Ignored | Refusal) or read is not None
            if isinstance(read, OrderNames):
                assert all(name.isprintable() and " " not in name for name in read.names)
            for row in () if isinstance(read, Ignored | Refusal | OrderNames) else read:
                said = row.fields if isinstance(row, Row) else {**row.details, "order": row.order, "r": row.reference}
                assert all(isinstance(text, str) and len(text.encode()) <= 500 for text in said.values())
                assert isinstance(row, Unreadable) or "change" in row.fields or kind == "standard"


# Sequences of states


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_is_the_sale_less_the_newest_statement_of_each_object(kind: str) -> None:
    there_are = sum(1 for _ in all_sequences(kind, 2))
    every = there_are // (FEW - 1) or 1
    count, wrong = first_wrong(kind, itertools.islice(all_sequences(kind, 2), 0, None, every))
    assert wrong is None
    assert count >= min(100, there_are), f"{count} sequences"


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_of_a_table_is_typed_for_three_payloads_with_its_source(kind: str) -> None:
    for name, object in table(kind)["objects"].items():
        assert object["documentation"].startswith("https://"), name
        assert len(object["payloads"]) == 3, name
        for state, takes in object["states"].items():
            assert takes.keys() == object["payloads"].keys(), (name, state)


# Currencies


RATES = {currency: [{"from": "2026-01-01", "rate": "0.5"}] for currency in ("JPY", "KWD")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("currency", "sale", "amount", "left"),
    [
        ("EUR", "100.00", "12.34", "87.66"),
        ("JPY", "10000", "1234", "8766"),
        ("KWD", "100.000", "12.340", "87.660"),
    ],
)
def test_an_amount_is_exact_in_the_currency_it_is_told_in(
    kind: str, currency: str, sale: str, amount: str, left: str
) -> None:
    hall = WebhookHarness(kind, table(kind)["source"], {"fx": RATES})
    hall.sell("2001", sale, currency=currency)
    body, headers = sender_script(kind).refund("2001", amount, sale, currency)
    answer = hall.post(body, **headers)
    assert answer["counts"] == {"applied": 1}, answer
    assert hall.left("2001", currency) == left


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("currency", ["USD", "XXQ"])
def test_an_amount_in_another_currency_takes_nothing(kind: str, currency: str) -> None:
    assert "XXQ" not in exponents()
    hall = WebhookHarness(kind, table(kind)["source"])
    hall.sell("2001")
    body, headers = sender_script(kind).refund("2001", "12.34", "100.00", currency)
    answer = hall.post(body, **headers)
    assert answer["counts"] == {"refused": 1}, answer
    assert hall.left("2001") == "100.00"


# Subscriptions


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_to_subscribe_is_one_that_is_read(kind: str) -> None:
    told = subscriptions(source(kind))
    assert {*told.money, *told.names} <= set(adapter(kind).MESSAGES) if told else kind == "standard"


def test_a_kind_that_is_none_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="magento"):
        webhook.webhook_adapter("magento")
