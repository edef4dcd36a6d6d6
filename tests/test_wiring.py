"""Clients are built without looking for garbage meanwhile, and it is looked for again afterwards, whatever happens."""

import gc
from dataclasses import replace

import pytest
from botocore.exceptions import UnknownServiceError

from retour.domain.program import program_from
from retour.store.ledger import CONNECTIONS, LOCAL_CONNECTIONS
from retour.wiring import BACKGROUND_NICENESS, Hub, gc_disabled
from tests.settings import IN_MEMORY


def test_garbage_is_collected_again_after_a_client_was_built_or_could_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    hub = Hub(IN_MEMORY)
    assert hub._client("sqs").meta.service_model.service_name == "sqs"
    assert gc.isenabled()
    with pytest.raises(UnknownServiceError):
        hub._client("nothing")
    assert gc.isenabled()


@pytest.mark.parametrize(("answers", "connect", "read", "attempts"), [("1", 1, 5, 3), ("", 5, 60, 8)])
def test_who_must_answer_is_impatient_and_whoever_is_throttled_slows_down(
    monkeypatch: pytest.MonkeyPatch, answers: str, connect: int, read: int, attempts: int
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for service in ("dynamodb", "s3", "sqs", "ssm"):
        config = Hub(replace(IN_MEMORY, must_answer=answers == "1"))._client(service).meta.config
        assert (config.connect_timeout, config.read_timeout) == (connect, read)
        assert config.retries == {"mode": "adaptive", "total_max_attempts": attempts}, "with jitter, as botocore does"


def test_who_collects_no_garbage_at_all_still_does_not() -> None:
    gc.disable()
    try:
        with gc_disabled():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_shares_a_machine_with_callers_gives_way_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    program = program_from(
        {"program": "acme", "currency": "EUR", "time_zone": "UTC", "event_types": {"sale": {}}}, 1, ()
    )
    added = list[int]()
    monkeypatch.setattr("os.nice", lambda more: added.append(more) or sum(added))
    for is_local in (False, True):
        hub = Hub(replace(IN_MEMORY, is_local=is_local))
        hub.give_way()
        hub.give_way()
        assert hub.ledger(program).connections == (LOCAL_CONNECTIONS if is_local else CONNECTIONS)
    assert sum(added) == BACKGROUND_NICENESS
