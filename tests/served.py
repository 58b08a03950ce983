"""Servers for tests: an application in this process, and a real server on loopback."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sltk
from repository import ROOT
from sltk import Prediction, Sentence

JSON = {"Content-Type": "application/json"}
PATIENCE = 60
"""Seconds after which a test that waits for something fails."""


class GatedLabeller(sltk.Labeller):
    """A labeller that records its batches, and labels them only while its gate is open."""

    def __init__(self, labeller: sltk.Labeller) -> None:
        super().__init__(labeller.model)
        self.gate = threading.Event()
        self.batches: list[list[str]] = []
        self.entered = threading.Event()

    def predict(self, inputs: Iterable[Any] | str) -> list[Prediction]:
        """Wait for the gate, and label."""
        sentences = list(map(self.sentence, inputs))
        self.batches.append([self._text(sentence) for sentence in sentences])
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        if any("poison" in sentence.words for sentence in sentences):
            raise RuntimeError("secret words of a client")
        return super().predict(sentences)

    @staticmethod
    def _text(sentence: Sentence) -> str:
        return sentence.text if sentence.text is not None else " ".join(sentence.words)

    @property
    def seen(self) -> list[str]:
        """All lines that reached the model."""
        return [text for batch in self.batches for text in batch]


class Served:
    """A running server."""

    def __init__(self, port: int, app: Any, server: Any) -> None:
        self.port, self.app, self.server = port, app, server

    def request(
        self, body: Any, path: str = "/predict", media_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Send JSON; returns status and parsed answer."""
        status, _, answer = self.fetch(body, path, media_type)
        return status, answer

    def fetch(
        self, body: Any, path: str = "/predict", media_type: str = "application/json"
    ) -> tuple[int, Mapping[str, str], Any]:
        """Send JSON; returns status, headers and parsed answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            headers = {"Content-Type": media_type}
            connection.request("POST" if body is not None else "GET", path, json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.headers, json.loads(response.read())
        finally:
            connection.close()

    def health(self) -> dict[str, Any]:
        """The answer of /health."""
        status, answer = self.request(None, "/health")
        assert status == 200
        return dict(answer)

    def connect(self, data: bytes = b"") -> socket.socket:
        """Open a connection and send bytes."""
        opened = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        opened.sendall(data)
        return opened

    def connect_narrow(self, data: bytes) -> socket.socket:
        """Open a connection that holds few bytes that are not read, and send bytes."""
        opened = socket.socket()
        opened.settimeout(PATIENCE)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.connect(("127.0.0.1", self.port))
        opened.sendall(data)
        return opened

    def stream(self, lines: Iterable[str]) -> list[Any]:
        """Send lines to /predict/stream, and return the records."""
        with self.connect(STREAM) as connection:
            sender = background(lambda: connection.sendall(b"".join(map(chunk, lines)) + chunk("")))
            records = list(self.records(connection))
            sender()
        return records

    @staticmethod
    def records(connection: socket.socket) -> Iterator[Any]:
        """The records of a stream as they arrive."""
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 200
        for line in response:
            yield json.loads(line)


STREAM = (
    b"POST /predict/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
"""The head of a stream."""


def head(length: int) -> bytes:
    """The head of a request to /predict."""
    text = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}"
    return f"{text}\r\n\r\n".encode()


def chunk(data: str) -> bytes:
    """A part of a body in chunks."""
    content = data.encode()
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


RUN = ROOT / "tests" / "stored_runs" / "tagger"


def make_app(
    labeller: sltk.Labeller,
    report: Callable[[str], None] | None = None,
    about: Mapping[str, Any] | None = None,
    **limits: Any,
) -> Any:
    """The application for a labeller."""
    from sltk.serving.model_facts import describe_model
    from sltk.serving.serving_settings import ServingSettings
    from sltk.serving.web_app import create_app

    return create_app(labeller, about or describe_model(RUN), ServingSettings(**limits), report)


@contextmanager
def running(
    labeller: sltk.Labeller,
    report: Callable[[str], None] | None = None,
    about: Mapping[str, Any] | None = None,
    **limits: Any,
) -> Iterator[Served]:
    """Run a real server on a loopback port, in a thread."""
    from sltk.serving.serving_settings import ServingSettings
    from sltk.serving.socket_server import build_server, open_socket

    app = make_app(labeller, report, about, **limits)
    server = build_server(app, ServingSettings(**limits))
    with open_socket("127.0.0.1", 0) as opened:
        thread = threading.Thread(target=lambda: server.run(sockets=[opened]))
        thread.start()
        try:
            until(lambda: server.started)
            yield Served(opened.getsockname()[1], app, server)
        finally:
            if isinstance(labeller, GatedLabeller):
                labeller.gate.set()
            server.should_exit = True
            thread.join(PATIENCE)
    assert not thread.is_alive()


def background(work: Callable[[], Any]) -> Callable[[], Any]:
    """Start work in a thread; the result waits for it."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()

    def result() -> Any:
        thread.join(PATIENCE)
        return results[0]

    return result
