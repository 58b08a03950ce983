"""`GET /health`, `/info`, `/docs`, and the files of the page."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel

from .answers import json_response
from .guards import is_authorized
from .labelling_service import LabellingService
from .page_files import page_files
from .prediction_routes import errors


class HealthAnswer(BaseModel):
    """The state of the server; the counts are left out for clients without the token."""

    status: str
    requests: int | None = None
    characters: int | None = None
    streams: int | None = None
    words: int | None = None
    batches: int | None = None


class MaskInfo(BaseModel):
    """The mask of the model; `unmasked` are the numbers of its blocks without the causal mask, from 0."""

    notation: str | None
    blocks: int
    unmasked: list[int]


class InfoAnswer(BaseModel):
    """The model that the server uses; `digest` is the SHA-256 of its manifest."""

    name: str
    digest: str | None
    format: str
    labels: list[str]
    types: list[str]
    scheme: str
    mask: MaskInfo | None
    proof: dict[str, Any] | None
    scores: dict[str, Any] | None
    thresholds: dict[str, Any] | None
    versions: dict[str, str]
    limits: dict[str, float]


def service_routes(service: LabellingService, about: Mapping[str, Any]) -> APIRouter:
    """The routes that do not label."""
    router = APIRouter(tags=["service"])
    settings = service.settings
    names = ("max_body", "max_line", "max_requests", "max_queue", "max_streams", "timeout")
    info_content = {**about, "limits": {name: getattr(settings, name) for name in names}}

    async def health(request: Request) -> Response:
        """Say whether the server accepts requests: status 200 and `UP`, or 503 and `DOWN` while it shuts down."""
        queue = service.queue
        status = "DOWN" if queue.is_draining else "UP"
        counts = {
            "requests": queue.requests,
            "characters": queue.characters,
            "streams": service.streams,
            "words": queue.labelled,
            "batches": queue.batches,
        }
        content = {"status": status, **(counts if is_authorized(request.headers, settings.token) else {})}
        return json_response(content, 503 if queue.is_draining else 200)

    async def info() -> Response:
        """Describe the model: labels, mask and its proof, scores, versions; and the limits of the server."""
        return json_response(info_content)

    router.add_api_route(
        "/health",
        health,
        response_model=HealthAnswer,
        responses={503: {"model": HealthAnswer, "description": "the server is shutting down"}},
    )
    router.add_api_route("/info", info, response_model=InfoAnswer, responses=errors(400, 401))
    return router


def page_routes(app: FastAPI) -> APIRouter:
    """The page, and the documentation of the routes as a page that needs nothing else."""
    router = APIRouter(include_in_schema=False)

    def add(path: str, content: bytes, media_type: str) -> None:
        async def page() -> Response:
            return Response(content, media_type=media_type)

        router.add_api_route(path, page, methods=["GET", "HEAD"])

    for path, (content, media_type) in page_files().items():
        add(path, content, media_type)

    async def docs() -> Response:
        return Response("".join(_docs_page(app.openapi())), media_type="text/html; charset=utf-8")

    router.add_api_route("/docs", docs, methods=["GET", "HEAD"])
    return router


def _docs_page(schema: Mapping[str, Any]) -> Iterator[str]:
    title = html.escape(schema["info"]["title"])
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<link rel="stylesheet" href="/web_page.css"><link rel="stylesheet" href="/page.css">'
    yield f"<title>{title}</title></head><body><main>\n<h1>{title}</h1>"
    yield f"<p>{html.escape(schema['info']['description'])}</p>"
    yield '<p>The schema of every route: <a href="/openapi.json">/openapi.json</a>.</p>\n'
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>\n"
            yield f"<p>{html.escape(operation.get('description', ''))}</p>\n<table>"
            for code, answer in operation["responses"].items():
                yield f"<tr><td>{code}</td><td>{html.escape(answer['description'])}</td></tr>\n"
            yield "</table>\n"
    yield "</main></body></html>\n"
