"""The limits of a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """The limits of a server; the defaults are those of `sltk serve`."""

    batch_tokens: int = 1024
    """Subwords that the model reads at once."""
    max_body: int = 2**20
    """Bytes of a request, except of a stream."""
    max_line: int = 20_000
    """Characters of a line of text, or of a list of words."""
    max_requests: int = 256
    """Requests that wait or are being labelled."""
    max_queue: int = 2**20
    """Characters of all requests that wait or are being labelled, each line counting 32 more."""
    max_streams: int = 16
    """Streams at the same time."""
    stream_lines: int = 64
    """Lines of a stream that are in memory."""
    stream_bytes: int = 2**18
    """Bytes of the lines of a stream that are in memory; a longer line is there alone."""
    max_receiving: int = 2**26
    """Bytes of all requests that are being received."""
    max_connections: int = 4096
    timeout: float = 30.0
    """Seconds until a request is answered, counted from its last byte."""
    read_timeout: float = 20.0
    """Seconds in which the head of a request, its body, or a line of a stream must arrive."""
    write_timeout: float = 30.0
    """Seconds that a client may take to read, while the answer waits for it."""
    keep_alive: int = 10
    """Seconds that an idle connection stays open."""
    shutdown_timeout: int = 20
    """Seconds in which accepted requests are finished before the server ends."""
    token: str | None = field(default=None, repr=False)
    """Clients must send it, unless it is None."""
    hosts: tuple[str, ...] | None = LOOPBACK
    """Names of this server that a request may have in its `Host` header; None for any."""


def allowed_hosts(host: str, address: str, more: Sequence[str]) -> tuple[str, ...] | None:
    """The names that requests may use for a server that listens at `address`, the address of `host`; None for any.

    On loopback these are its names and `more`, so that no page of another site can pass for this server by pointing
    its own name here. Elsewhere all names are allowed, unless some are given.
    """
    names = tuple(name.lower() for name in more)
    if not ip_address(address).is_loopback and not names:
        return None
    own = (f"[{each}]" if ":" in each else each.lower() for each in (host, address))
    return tuple(dict.fromkeys((*LOOPBACK, *own, *names)))
