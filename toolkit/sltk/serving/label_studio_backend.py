"""`/label-studio`: an ML backend for Label Studio, whose requests have another form than those of the server.

In Label Studio, the URL of the model is that of the server followed by `/label-studio`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response

from ..components.writers.label_studio import regions, score
from ..types import Prediction
from .answers import AnswerError, json_response
from .labelling_interface import LabellingInterface, read_interface
from .labelling_service import LabellingService
from .request_bodies import check_input

T = TypeVar("T")
PREFIX = "/label-studio"
_URL = re.compile(
    r"\s*(?:(?:https?|ftp|s3|gs|azure-blob|azure_spi)://|/data/|data:[\w.+-]+/)\S+\s*", re.IGNORECASE
)
_MOST_REPORTED = 1000
_TRAIN = "this server does not train: export the annotation, train with `sltk train`, and serve the new run"
_KINDS = {dict: "object", list: "list", bool: "truth value", int: "number", float: "number"}


def label_studio_routes(
    service: LabellingService, about: Mapping[str, Any], report: Callable[[str], None]
) -> APIRouter:
    """The routes of an ML backend; `report` gets a line for each new problem with a project."""
    router = APIRouter(include_in_schema=False)
    backend = _Backend(service, about, report)
    for path in ("", "/", "/health"):
        router.add_api_route(PREFIX + path, backend.health, methods=["GET"])
    router.add_api_route(f"{PREFIX}/versions", backend.versions, methods=["GET"])
    for name in ("setup", "predict", "webhook"):
        router.add_api_route(f"{PREFIX}/{name}", getattr(backend, name), methods=["POST"])
    router.add_api_route(f"{PREFIX}/train", backend.train, methods=["POST"])
    router.add_api_route("/setup", backend.wrong_url, methods=["POST"])
    return router


class _Backend:
    def __init__(
        self, service: LabellingService, about: Mapping[str, Any], report: Callable[[str], None]
    ) -> None:
        self._service, self._types, self._report = service, about["types"], report
        digest = about.get("digest")
        self._version = about["name"] + (f"-{digest[:8]}" if digest else "")
        """Label Studio asks again for suggestions if it differs."""
        self._reported: set[str] = set()

    async def health(self, request: Request) -> Response:
        """Say that the server accepts requests."""
        is_up = not self._service.queue.is_draining
        return json_response(
            {"status": "UP" if is_up else "DOWN", "model_class": "sltk"}, 200 if is_up else 503
        )

    async def versions(self, request: Request) -> Response:
        """List the version of the model."""
        return json_response({"versions": [self._version]})

    async def wrong_url(self, request: Request) -> Response:
        """Explain which URL the model has in Label Studio, which asks `/setup` below the one it was given."""
        message = f"for Label Studio, the URL of the model is that of this server followed by `{PREFIX}`"
        self._note(message, key=PREFIX)
        raise AnswerError(404, "not_found", message)

    async def setup(self, request: Request) -> Response:
        """Check the labelling interface of a project that is being connected."""
        interface = await self._interface(await self._body(request), "schema")
        return json_response({"model_version": self._version, "missing_labels": interface.missing})

    async def predict(self, request: Request) -> Response:
        """Label tasks; a task that cannot be labelled gets an error in place of a prediction."""
        body = await self._body(request)
        interface = await self._interface(body, "label_config")
        tasks = body.get("tasks")
        if not isinstance(tasks, list):
            raise AnswerError(422, "invalid_request", "expected `tasks`, a list")
        texts = [self._text(task, number, interface) for number, task in enumerate(tasks)]
        sound = [text for text in texts if isinstance(text, str)]
        failed = [text for text in texts if isinstance(text, AnswerError)]
        for error in failed:
            self._note(f"a task is not labelled: {error.message}", key=error.code)
        if failed and not sound:
            raise failed[0]
        labelled = await self._noted(self._service.predictions(request, sound))
        size = sum(len(prediction.words) for prediction in labelled) * 64
        return await self._service.compute(size, lambda: self._answer(texts, iter(labelled), interface))

    def _answer(
        self, texts: list[str | AnswerError], labelled: Iterator[Prediction], interface: LabellingInterface
    ) -> Response:
        results = [
            {"error": text.message}
            if isinstance(text, AnswerError)
            else self._result(next(labelled), interface)
            for text in texts
        ]
        content = {"results": results, "model_version": self._version, "missing_labels": interface.missing}
        return json_response(content)

    async def webhook(self, request: Request) -> Response:
        """Accept the events of a project, and do nothing."""
        await self._service.read_json(request)
        return json_response({"status": "ignored", "message": _TRAIN})

    async def train(self, request: Request) -> Response:
        """Refuse to train, which some versions ask for here."""
        raise AnswerError(501, "not_implemented", _TRAIN)

    async def _body(self, request: Request) -> dict[str, Any]:
        body = await self._noted(self._service.read_json(request))
        if not isinstance(body, dict):
            raise AnswerError(422, "invalid_request", "expected an object")
        return body

    async def _noted(self, work: Awaitable[T]) -> T:
        """The result of work; its error is in the log too, since Label Studio shows only its status."""
        try:
            return await work
        except AnswerError as error:
            self._note(error.message, key=error.code)
            raise

    async def _interface(self, body: Mapping[str, Any], key: str) -> LabellingInterface:
        xml = body.get(key)
        if not isinstance(xml, str):
            raise AnswerError(422, "invalid_request", f"expected `{key}`, the XML of the labelling interface")
        try:
            interface = await self._service.compute(len(xml), lambda: read_interface(xml, self._types))
        except AnswerError as error:
            self._note(error.message, key=error.message)
            raise
        if interface.missing:
            types = ", ".join(interface.missing)
            self._note(f"the project has no label for {types}: such spans are not sent", key=types)
        return interface

    def _text(self, task: Any, number: int, interface: LabellingInterface) -> str | AnswerError:
        """The text of a task, or why there is none."""
        values = task if isinstance(task, dict) else {}
        is_numbered = isinstance(values.get("id"), int)
        name, data = f"task {values['id']}" if is_numbered else f"tasks[{number}]", values.get("data")
        if not isinstance(data, dict):
            return AnswerError(422, "invalid_task", f"{name}: expected `data`, an object")
        where = f"{name}, `{interface.key[:100]}`"
        text = _value(data, interface.key)
        if not isinstance(text, str):
            found = "there is none" if text is None else f"it is a {_KINDS[type(text)]}"
            return AnswerError(422, "no_text", f"{where}: expected a text; {found}")
        if interface.is_url or (not interface.is_text and _URL.fullmatch(text)):
            return AnswerError(
                422, "text_is_url", f"{where}: a URL, which sltk does not fetch; import the text itself"
            )
        try:
            check_input(text, where, self._service.settings)
        except AnswerError as error:
            return error
        return text

    def _result(self, prediction: Prediction, interface: LabellingInterface) -> dict[str, Any]:
        result = regions(prediction, interface.places.get)
        return {"model_version": self._version, **score(prediction), "result": result}

    def _note(self, message: str, key: str) -> None:
        """Report a problem once."""
        if key not in self._reported and len(self._reported) < _MOST_REPORTED:
            self._reported.add(key)
            self._report(f"Label Studio: {message}")


def _value(data: Mapping[str, Any], key: str) -> Any:
    """The value of a key, or of a path such as `message.text`."""
    if key in data:
        return data[key]
    value: Any = data
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
