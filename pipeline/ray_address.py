"""Ask at the address of a Ray cluster whether there is one, before Ray waits for it for minutes."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

from pipeline.errors import NowhereError
from pipeline.ray_token import ask_cluster

AUTO, CLIENT = "auto", "ray://"
CONNECT_WAIT_S = 5.0
EXPECTED = (
    "expected auto, HOST:PORT (6379, of ray start) or ray://HOST:PORT (10001, of Ray's client)"
)


class HostPort(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


def check_address(address: str) -> None:
    """Refuse an address at which no Ray cluster answers, or one that refuses our token.

    ``auto`` is what ``RAY_ADDRESS`` names; without it Ray looks for a cluster on this machine.

    Raises
    ------
    NowhereError
        Saying what was expected there, and what was found.
    """
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS", AUTO)
    if address in (AUTO, "local"):
        return
    server = parse_address(address)
    try:
        socket.create_connection(server, CONNECT_WAIT_S).close()
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise NowhereError(
            f"ray: {address}: nothing listens there ({why.lower()}): expected the head of a "
            "cluster: see what ray status says on it, and whether a firewall is between"
        ) from None
    ask_cluster(server, address, by_client=address.startswith(CLIENT))


def parse_address(address: str) -> HostPort:
    """Return the host and the port that an address names.

    Raises
    ------
    NowhereError
        If it names none, or is one of another kind.

    Examples
    --------
    >>> parse_address("ray://head:10001")
    HostPort(host='head', port=10001)
    """
    host, colon, port = address.removeprefix(CLIENT).rpartition(":")
    if not colon or "/" in host or not host or not (port.isascii() and port.isdigit()):
        dashboard = " (http:// is for ray job submit)" if address.startswith("http") else ""
        raise NowhereError(f"--address {address}: {EXPECTED}{dashboard}")
    return HostPort(host.strip("[]"), int(port))
