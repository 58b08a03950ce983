"""What surrounds every request: host names, tokens, security headers, and errors as JSON."""

from __future__ import annotations

import base64
import binascii
import hmac
import traceback
from collections.abc import Callable
from pathlib import PurePath

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .answers import AnswerError
from .page_files import page_files
from .request_bodies import BodyMemory
from .serving_settings import ServingSettings
from .unread_body import UnreadBody

OPEN_PATHS = frozenset({*page_files(), "/health", "/docs", "/openapi.json"})
"""What clients without a token get too: nothing of it is about the model or its texts."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guards:
    """ASGI middleware: refuses requests for other hosts or without the token, and answers every error as JSON."""

    def __init__(
        self, app: ASGIApp, settings: ServingSettings, memory: BodyMemory, report: Callable[[str], None]
    ) -> None:
        self.app, self.settings, self.memory, self.report = app, settings, memory, report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_started = False
        body = UnreadBody(scope, receive)

        async def send_with_headers(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if message["status"] >= 400 and headers.get("connection") != "close":
                    await body.drop()
            await send(message)

        try:
            self._check(Headers(scope=scope), scope["path"])
            with self.memory.counting(scope):
                await self.app(scope, body.receive, send_with_headers)
        except ClientDisconnect:
            pass
        except AnswerError as error:
            await error.response()(scope, receive, send_with_headers)
        except Exception as error:
            self.report(f"error: {scope['method']} {scope['path']}: {_described(error)}")
            if is_started:
                raise ConnectionAbortedError from None
            answer = AnswerError(500, "internal", "an error in the server, which its log describes")
            await answer.response()(scope, receive, send_with_headers)

    def _check(self, headers: Headers, path: str) -> None:
        host = headers.get("host", "")
        if self.settings.hosts is not None and host_name(host) not in self.settings.hosts:
            message = f"this server does not answer for the host `{host[:100]}`"
            raise AnswerError(400, "unknown_host", message)
        if path not in OPEN_PATHS and not is_authorized(headers, self.settings.token):
            message = "this server needs a token: send the header `Authorization: Bearer TOKEN`"
            raise AnswerError(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})


def host_name(host: str) -> str:
    """The name in a `Host` header, without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower().removesuffix(".")


def is_authorized(headers: Headers, token: str | None) -> bool:
    """Whether a request has the token: as a bearer token, or as the password of basic authentication."""
    if token is None:
        return True
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif kind.lower() != "bearer":
        return False
    return hmac.compare_digest(value.strip().encode("utf-8", "replace"), token.encode())


def _described(error: Exception) -> str:
    """Kind and place of an error, without its message: that may quote the text of a client."""
    places = traceback.extract_tb(error.__traceback__)
    place = f" ({PurePath(places[-1].filename).name}:{places[-1].lineno})" if places else ""
    return f"{type(error).__name__}{place}"
