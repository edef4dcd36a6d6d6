"""Where a merchant's host name may lead us."""

import socket

import pytest

from retour.remote import RemoteError
from retour.remote.address import connect, is_public, resolve_public

OURS = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1", "192.0.2.1", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16", "::", "::1", "fe80::1", "fe80::1%eth0",
    "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:db8::1",
    "2001:0:a00:1::", "100::1", "", "no address",
]  # fmt: skip
THEIRS = ["8.8.8.8", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:2800:220:1::1", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", OURS)
def test_not_public(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(RemoteError) as told:
        resolve_public("ftp.merchant.example", 21, resolve=lambda host, port: [address])
    assert told.value.code == "ADDRESS_NOT_ALLOWED" and told.value.lasting
    assert "ftp.merchant.example" in told.value.sentence


@pytest.mark.parametrize("address", THEIRS)
def test_public(address: str) -> None:
    assert resolve_public("ftp.merchant.example", 21, resolve=lambda host, port: [address]) == [address]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "0"])
def test_every_spelling_of_loopback_as_the_system_reads_it(host: str) -> None:
    with pytest.raises(RemoteError) as told:
        resolve_public(host, 21)
    assert told.value.code in ("ADDRESS_NOT_ALLOWED", "HOST_NOT_FOUND")


def test_one_address_of_ours_among_theirs_spoils_the_name() -> None:
    with pytest.raises(RemoteError) as told:
        resolve_public("both.example", 21, resolve=lambda host, port: ["8.8.8.8", "10.0.0.1"])
    assert "10.0.0.1" in told.value.sentence


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 70 + ".example", "ex..ample"])
def test_a_name_that_leads_nowhere(host: str) -> None:
    with pytest.raises(RemoteError) as told:
        resolve_public(host, 21)
    assert told.value.code == "HOST_NOT_FOUND"


def test_the_name_is_asked_once_and_the_checked_address_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        asked: list[str] = []

        def rebinding(host: str, _port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.99"]

        with connect("ftp.merchant.example", port, 2, allow_private=True, resolve=rebinding) as plug:
            assert plug.getpeername() == ("127.0.0.1", port)
        assert asked == ["ftp.merchant.example"]


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        two = ["127.0.0.2", "127.0.0.1"]
        with connect("two.example", port, 2, allow_private=True, resolve=lambda host, port: two) as plug:
            assert plug.getpeername()[0] == "127.0.0.1"
