"""Addresses we may connect to. A host name given by a merchant must not lead into our own network (SSRF).

The name is resolved once, every address is checked, and the connection uses a checked address: a second resolution
could return another one (DNS rebinding). TLS and host keys are still verified for the name.
"""

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from retour.remote import RemoteError, sanitise_message

Resolve = Callable[[str, int], list[str]]

# Reachable only inside clouds, though they look public.
CLOUD_PLATFORM_ADDRESSES = frozenset({IPv4Address("168.63.129.16")})
PUBLIC_V6 = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
# Where old Python versions differ from the IANA registries, the registries apply.
NOT_PUBLIC = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"), IPv4Network("224.0.0.0/4"))


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host, in the system's order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether an address is reachable from the public internet.

    Excludes loopback, private, link-local (cloud metadata), carrier-grade NAT, multicast and unique-local addresses,
    and IPv6 addresses that embed one of them.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv4Address):
        return ip.is_global and ip not in CLOUD_PLATFORM_ADDRESSES and not any(ip in network for network in NOT_PUBLIC)
    if ip in NAT64:
        return is_public(str(IPv4Address(int(ip) & 0xFFFF_FFFF)))
    return ip in PUBLIC_V6 and ip.is_global and not ip.is_multicast and all(map(is_public, embedded_addresses(ip)))


def embedded_addresses(ip: IPv6Address) -> list[str]:
    """IPv4 addresses embedded in a tunnelling IPv6 address."""
    if ip.sixtofour is not None:
        return [str(ip.sixtofour)]
    return [str(inner) for inner in ip.teredo or ()]


def resolve_public(host: str, port: int, *, allow_private: bool = False, resolve: Resolve = resolve) -> list[str]:
    """The addresses of a host. Raises RemoteError if one is not public or there are none."""
    try:
        addresses = resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise RemoteError("HOST_NOT_FOUND", host=host, said=sanitise_message(error)) from error
    if not addresses:
        raise RemoteError("HOST_NOT_FOUND", host=host, said="no address")
    refused = [] if allow_private else [address for address in addresses if not is_public(address)]
    if refused:
        raise RemoteError("ADDRESS_NOT_ALLOWED", lasting=True, host=host, address=refused[0])
    return addresses


def connect(
    host: str, port: int, timeout: float, *, allow_private: bool = False, resolve: Resolve = resolve
) -> socket.socket:
    """A TCP connection to the first checked address that answers."""
    failure: OSError | None = None
    for address in resolve_public(host, port, allow_private=allow_private, resolve=resolve):
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            failure = error
    said = sanitise_message(getattr(failure, "strerror", "") or failure)
    raise RemoteError("UNREACHABLE", host=host, port=port, said=said) from failure
