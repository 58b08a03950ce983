"""Bodies that an error leaves unread: read and dropped, because closing the connection would lose the answer."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

_MOST = 2**26
"""Bytes that are dropped."""
_PATIENCE = 0.5
"""Seconds to wait for more of a body."""


class UnreadBody:
    """Receives the body of one request, and can drop the rest of it.

    If a server closes a connection before it has read everything, the system resets it, and a client that is still
    sending reports that instead of the answer.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        # Who expects "100 Continue" sends nothing before it.
        self._is_over = Headers(scope=scope).get("expect") is not None

    async def receive(self) -> Message:
        """Receive the next message of the client."""
        message = await self._receive()
        self._is_over = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drop(self) -> None:
        """Read the rest of the body, as long as it arrives, up to a limit."""
        dropped = 0
        try:
            while not self._is_over and dropped < _MOST:
                async with asyncio.timeout(_PATIENCE):
                    dropped += len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass
