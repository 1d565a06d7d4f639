"""Who is calling, by network address."""

from ipaddress import IPv6Address, ip_address, ip_network

from flask import request


def client_address() -> str:
    """The caller's address: what NGINX wrote into X-Real-IP (it overwrites the header), else the peer's.

    X-Forwarded-For and its kin are never read. A header that is no address counts as absent.
    """
    for candidate in (request.headers.get("X-Real-IP"), request.remote_addr):
        try:
            return str(ip_address(candidate or ""))
        except ValueError:
            continue
    return "0.0.0.0"  # noqa: S104 - no binding: the mark of a caller without an address (a Unix socket)


def client_network() -> str:
    """The key limits count on: the IPv4 address, or the /64 of an IPv6 one, which one person has whole."""
    address = ip_address(client_address())
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False))
    return str(address)
