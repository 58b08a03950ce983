"""Answers of the server: JSON, and errors as `{"error": {"code", "message"}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ..files.safety import json_text

JSON = "application/json"
NDJSON = "application/x-ndjson"


class AnswerError(Exception):
    """A request that is answered with an error: its status, a code for programs and a message for people."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **details: Any
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers, self.details = dict(headers or {}), details

    def content(self, **more: Any) -> dict[str, Any]:
        """The JSON of the answer."""
        return {"error": {"code": self.code, "message": self.message, **self.details, **more}}

    def response(self) -> Response:
        """The whole answer."""
        return json_response(self.content(), self.status, self.headers)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with JSON."""
    return Response(json_text(content).encode(), status, dict(headers or {}), media_type=JSON)
