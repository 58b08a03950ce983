"""`POST /predict`: label texts or words."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from ..components.writers.jsonl import prediction_record
from ..files.safety import json_text
from ..types import Prediction
from .answers import JSON, NDJSON
from .labelling_service import LabellingService
from .record_stream import RecordStream
from .request_bodies import PredictRequest, StreamRequest, parse_json, validated


class WordRecord(BaseModel):
    """A word, with its first character in the text, and the one after its last."""

    text: str
    start: int
    end: int
    tag: str


class SpanRecord(BaseModel):
    """A labelled span, with its first character in the text, and the one after its last."""

    start: int
    end: int
    text: str
    type: str
    score: float | None


class TextRecord(BaseModel):
    """A labelled text. Offsets count characters (Unicode code points)."""

    text: str
    words: list[WordRecord]
    spans: list[SpanRecord]


class PredictAnswer(BaseModel):
    """One record per text or list of words, in order."""

    predictions: list[TextRecord]


class ErrorContent(BaseModel):
    """What is wrong."""

    code: str = Field(description="for programs", examples=["queue_full"])
    message: str = Field(description="for people")


class ErrorAnswer(BaseModel):
    """The answer to a request that fails."""

    error: ErrorContent


ERRORS = {
    400: "not JSON, or another name in the `Host` header",
    401: "no token, or another one",
    408: "the body arrived too slowly",
    413: "the body or a line is too long",
    415: "another media type",
    422: "other keys or types, or text that cannot be labelled",
    429: "the queue is full",
    500: "an error in the server",
    503: "the server is shutting down, or busy",
    504: "not labelled in time",
}


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of these answers."""
    return {code: {"model": ErrorAnswer, "description": ERRORS[code]} for code in codes}


def body_of(model: type[BaseModel], media_type: str = JSON) -> dict[str, Any]:
    """The documentation of a body, which the route reads itself."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


def prediction_routes(service: LabellingService) -> APIRouter:
    """The routes that label."""
    router = APIRouter(tags=["labelling"])

    async def predict(request: Request) -> Response:
        """Label a text, texts, the words of a sentence, or of several; each line of a text is a sentence."""
        content = await service.read_body(request)
        body = await service.compute(
            len(content), lambda: validated(PredictRequest, parse_json(content), service.settings)
        )
        inputs = [item for _, item in body.inputs()]
        predictions = await service.predictions(request, inputs, body.decisions(service.thresholds))
        return await service.compute(len(content), lambda: _answer(predictions))

    router.add_api_route(
        "/predict",
        predict,
        methods=["POST"],
        response_model=PredictAnswer,
        responses=errors(*ERRORS),
        openapi_extra=body_of(PredictRequest),
    )

    async def predict_stream(request: Request) -> Response:
        """Label lines of JSON while they arrive, each with a text or words; answers one line for each, in order.

        A line that cannot be labelled is answered with an error and its number. A client must read while it sends.
        """
        return RecordStream(request, service, record_text)

    lines = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("TextRecord", "ErrorAnswer")]}
    router.add_api_route(
        "/predict/stream",
        predict_stream,
        methods=["POST"],
        response_class=Response,
        responses={
            200: {"description": "one line per line", "content": {NDJSON: {"schema": lines}}},
            **errors(400, 401, 415, 429, 500, 503),
        },
        openapi_extra=body_of(StreamRequest, NDJSON),
    )
    return router


def _answer(predictions: list[Prediction]) -> Response:
    text = ", ".join(map(record_text, predictions))
    return Response(f'{{"predictions": [{text}]}}'.encode(), media_type=JSON)


def record_text(prediction: Prediction) -> str:
    """The JSON of a prediction."""
    return json_text(prediction_record(prediction))
