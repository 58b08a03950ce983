"""The application of `sltk serve`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from .._version import __version__
from ..models.labeller import Labeller
from .answers import AnswerError
from .guards import Guards
from .label_studio_backend import label_studio_routes
from .labelling_service import LabellingService
from .prediction_routes import prediction_routes
from .service_routes import page_routes, service_routes
from .serving_settings import ServingSettings


def create_app(
    labeller: Labeller,
    about: Mapping[str, Any],
    settings: ServingSettings | None = None,
    report: Callable[[str], None] | None = None,
) -> FastAPI:
    """Build the application.

    Args:
        labeller: labels all texts, in one thread, and keeps all spans (`Labeller.keeping_all`).
        about: the answer of `/info`, see `describe_model`; its thresholds apply, unless a request says otherwise.
        settings: the limits.
        report: receives lines for the log of the server, which contain no text that clients have labelled.
    """
    settings, report = settings or ServingSettings(), report or (lambda message: None)
    service = LabellingService(labeller, settings, report, about["thresholds"])

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.queue.start()
        yield
        service.queue.close()

    app = FastAPI(
        title=f"sltk: {about['name']}",
        description="Labels texts with a trained model.",
        version=__version__,
        docs_url=None,  # its page loads scripts from another server
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.add_exception_handler(HTTPException, _http_error)
    app.include_router(prediction_routes(service))
    app.include_router(service_routes(service, about))
    app.include_router(label_studio_routes(service, about, report))
    app.include_router(page_routes(app))
    app.add_middleware(Guards, settings=settings, memory=service.memory, report=report)
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    """Errors of the router: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    allowed = (error.headers or {}).get("Allow", "")
    message = {404: "there is no such path; /docs lists them", 405: f"use {allowed}"}
    status = error.status_code
    answer = AnswerError(
        status, codes.get(status, "error"), message.get(status, str(error.detail)), error.headers
    )
    return answer.response()
