"""uvicorn with time limits for slow clients, and an end that finishes what was accepted."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import UsageError
from .serving_settings import ServingSettings

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HEAD_BYTES = 16 * 1024
_OTHER_FILES = 128
"""Open files that are no connections."""


def open_socket(host: str, port: int) -> socket.socket:
    """Reserve a port; port 0 is any free one.

    Raises:
        UsageError: the port is in use, or this host or port cannot be used.
    """
    if not host:
        raise UsageError(
            "`--host` is empty: `--host 0.0.0.0` listens on all interfaces"
        )  # as an empty one would
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"`--host {host}` is no address of this machine: {reason}") from error
    family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(address)
        opened.listen(2048)
    except OSError as error:
        opened.close()
        raise UsageError(_bind_message(host, port, error)) from error
    return opened


def _bind_message(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: choose another one with `--port`, or 0 for any free one"
    if error.errno == errno.EACCES:
        return f"this user may not listen at port {port}: choose one above 1023 with `--port`"
    return f"cannot listen at {host}, port {port}: {error.strerror or error}"


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that closes connections whose client sends no complete head, or does not read, in time."""

    limits = ServingSettings()
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            transport.abort()
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Expect the head of the next request."""
        self._expect_head()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for a client that does not read, for some time."""
        self._write_timer = self.loop.call_later(self.limits.write_timeout, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on writing."""
        if self._write_timer is not None:
            self._write_timer.cancel()
        super().resume_writing()

    def _expect_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(self.limits.read_timeout, self._close_without_head)

    def _close_without_head(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer something that is not HTTP like every other error."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()  # the answer has begun, and cannot become another one
            return
        body = b'{"error": {"code": "invalid_http", "message": "this is not a valid HTTP request"}}'
        head = (
            f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        )
        self.transport.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        self.transport.close()


class GracefulServer(uvicorn.Server):
    """Ends with a signal: refuses new requests, finishes the accepted ones, and returns."""

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_exit = on_exit

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals, unless this is not the main thread; uvicorn would raise them again at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish accepted requests, whatever the reason to end is."""
        self.on_exit()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End soon; at once with the second Ctrl-C."""
        self.on_exit()
        super().handle_exit(sig, frame)


def build_server(app: FastAPI, settings: ServingSettings) -> GracefulServer:
    """A server for an application made by `create_app`."""
    protocol = type("LimitedProtocol", (PatientProtocol,), {"limits": settings})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.shutdown_timeout,
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )

    def drain() -> None:
        app.state.service.queue.is_draining = True

    return GracefulServer(config, drain)


def allowed_connections(count: int) -> int:
    """How many connections of `count` the system allows, after raising the limit of open files as far as it lets us.

    Slow clients cannot use up all files then.
    """
    try:
        import resource
    except ImportError:  # Windows
        return count
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return count
    most = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES)


def address_of(opened: socket.socket) -> str:
    """The URL of a listening socket."""
    name: Any = opened.getsockname()
    host = f"[{name[0]}]" if opened.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"
