"""A real server: slow clients, signals, and the command."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

import sltk
from served import (
    JSON,
    PATIENCE,
    RUN,
    STREAM,
    GatedLabeller,
    background,
    chunk,
    head,
    make_app,
    running,
    until,
)
from sltk.cli import main


def test_slow_clients_are_cut_and_block_nobody(labeller: sltk.Labeller) -> None:
    """Those without a whole head are closed, those without a whole body get 408; others are answered meanwhile."""
    with running(labeller, read_timeout=1.5) as server:
        heads = [server.connect(b"POST /predict HTTP/1.1\r\nHost: local") for _ in range(60)]
        bodies = [server.connect(head(1000) + b'{"text": "') for _ in range(60)]
        assert server.request({"text": "soup"})[0] == 200
        assert all(not connection.recv(100) for connection in heads)
        assert all(connection.recv(100).startswith(b"HTTP/1.1 408") for connection in bodies)
        assert server.request({"text": "soup"})[0] == 200
        for connection in (*heads, *bodies):
            connection.close()


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/predict", {**JSON, "Authorization": "Bearer secret"}, 413),
        ("/predict", {**JSON, "Authorization": "Bearer other"}, 401),
        ("/nowhere", {**JSON, "Authorization": "Bearer secret"}, 404),
    ],
)
def test_a_client_that_sends_10_mb_gets_its_error(
    labeller: sltk.Labeller, path: str, headers: dict[str, str], status: int
) -> None:
    """Also one that sends everything before it reads, on a connection that ends with the answer."""
    with running(labeller, token="secret") as server, server.connect() as connection:
        body = b'{"text": "' + b"soup " * 2_000_000 + b'"}'
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        request = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{''.join(lines)}"
        connection.sendall(request.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        answer = b"".join(iter(lambda: connection.recv(10_000), b""))
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]


def test_a_client_that_waits_with_its_body_gets_its_error(labeller: sltk.Labeller) -> None:
    """One that asks before it sends is not asked to send what nobody would read."""
    request = head(10**7).removesuffix(b"\r\n") + b"Expect: 100-continue\r\n\r\n"
    with running(labeller) as server, server.connect(request) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_idle_connections_are_closed(labeller: sltk.Labeller) -> None:
    """A connection that asked once, and then sends part of a head, is closed as one that never asked."""
    with running(labeller, read_timeout=0.3) as server, server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.read()
        connection.sendall(b"GET /hea")
        assert not connection.recv(100)


def test_a_client_that_does_not_read_is_cut(labeller: sltk.Labeller) -> None:
    """Its connection is closed, whether its answer is long or a stream."""
    with running(labeller, write_timeout=0.3, read_timeout=0.5) as server:
        body = json.dumps({"texts": ["soup" + " " * 15_000] * 30}).encode()
        answer, stream = server.connect_narrow(head(len(body)) + body), server.connect_narrow(STREAM)
        sending = background(
            lambda: send_all(stream, chunk('{"text": "' + "soup" + " " * 15_000 + '"}\n') * 200)
        )
        until(lambda: server.health()["streams"] == 1)
        until(lambda: not server.server.server_state.connections)
        sending()
        for connection in (answer, stream):
            connection.close()


def send_all(connection: socket.socket, data: bytes) -> None:
    """Send data, unless the connection is closed."""
    with suppress(OSError):
        connection.sendall(data)


def test_there_is_a_limit_of_connections(labeller: sltk.Labeller) -> None:
    """More are closed at once, and one that ends makes room."""
    with running(labeller, max_connections=3) as server:
        opened = [server.connect(b"GET /health") for _ in range(3)]
        until(lambda: len(server.server.server_state.connections) == 3)
        with server.connect() as connection:
            assert connection.recv(100) == b""
        opened[0].close()
        until(lambda: len(server.server.server_state.connections) == 2)
        assert server.health()["status"] == "UP"
        for connection in opened:
            connection.close()


def test_received_bodies_share_a_limit(gated: GatedLabeller) -> None:
    """Bodies take memory until their request is answered or over; all of them together are bounded."""
    long = {"text": "soup " * 1000}
    with running(gated, max_receiving=10_000) as server:
        stopped = server.connect(head(5000) + b"x" * 4900)
        until(lambda: server.app.state.service.memory.used == 4900)
        waiting = background(lambda: server.request(long))
        until(gated.entered.is_set)
        status, answer = server.request(long)
        assert (status, answer["error"]["code"]) == (503, "busy")
        stopped.close()
        until(lambda: server.app.state.service.memory.used < 6000)
        gated.gate.set()
        assert waiting()[0] == 200
        assert server.request(long)[0] == 200
        until(lambda: server.app.state.service.memory.used == 0)


@pytest.mark.parametrize(
    "data", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000]
)
def test_what_is_no_http_is_an_error(labeller: sltk.Labeller, data: bytes) -> None:
    """Nonsense and endless heads are answered in JSON, and the connection is closed."""
    with running(labeller) as server, server.connect(data) as connection:
        answer = b"".join(iter(lambda: connection.recv(10_000), b""))
        assert answer.startswith(b"HTTP/1.1 400")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_http"


def test_a_signal_finishes_what_was_accepted(gated: GatedLabeller) -> None:
    """Accepted requests are answered, new ones refused, a stream is told; then the server returns."""
    from sltk.serving.serving_settings import ServingSettings
    from sltk.serving.socket_server import build_server, open_socket

    app = make_app(gated)
    server = build_server(app, ServingSettings())
    handler = signal.getsignal(signal.SIGTERM)
    with open_socket("127.0.0.1", 0) as opened:
        port = opened.getsockname()[1]

        def post(text: str) -> http.client.HTTPConnection:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("POST", "/predict", json.dumps({"text": text}), JSON)
            return connection

        def client() -> list[object]:
            until(lambda: server.started)
            accepted = post("first")
            stream = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            stream.sendall(STREAM + chunk('{"text": "line"}\n'))
            until(gated.entered.is_set)
            until(lambda: app.state.service.streams == 1)
            late = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            late.sendall(head(13))
            until(lambda: len(server.server_state.tasks) == 3)
            os.kill(os.getpid(), signal.SIGTERM)
            until(lambda: app.state.service.queue.is_draining)
            late.sendall(b'{"text": "a"}')
            refused = http.client.HTTPResponse(late)
            refused.begin()
            gated.gate.set()
            answer = accepted.getresponse()
            response = http.client.HTTPResponse(stream)
            response.begin()
            records = [json.loads(record) for record in response]
            return [refused.status, answer.status, json.loads(answer.read()), records]

        result = background(client)
        server.run(sockets=[opened])
    refused, status, answer, records = result()
    assert (refused, status) == (503, 200)
    assert answer["predictions"][0]["text"] == "first"
    assert records[0]["text"] == "line"
    assert records[-1]["error"]["code"] == "shutting_down"
    assert signal.getsignal(signal.SIGTERM) == handler


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal(
    number: int,
    serve_library: ModuleType,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It prints its address, model and limits, answers, logs one line per problem, and ends with exit code 0."""
    monkeypatch.delenv("SLTK_TOKEN", raising=False)
    output: list[str] = []

    def client() -> object:
        def address() -> str:
            output.append("".join(capsys.readouterr()))
            return "".join(output)

        until(lambda: "listening at http://127.0.0.1:" in address())
        port = int("".join(output).partition("http://127.0.0.1:")[2].split()[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("POST", "/predict", '{"text": "The soup was awful ."}', JSON)
        answer = json.loads(connection.getresponse().read())
        config = """<View><Labels name="l" toName="t"><Label value="negative"/></Labels>
            <Text name="t" value="$a&#10;forged line"/></View>"""
        body = json.dumps({"tasks": [{"id": 1, "data": {}}], "label_config": config})
        connection.request("POST", "/label-studio/predict", body, JSON)
        connection.getresponse().read()
        connection.close()
        os.kill(os.getpid(), number)
        return answer

    result = background(client)
    assert main(["serve", str(RUN), "--port", "0", "--max-body", "1000"]) == 0
    assert result()["predictions"][0]["words"][0]["text"] == "The"
    shown = "".join([*output, *capsys.readouterr()])
    assert "3 types" in shown
    assert "1,000 bytes" in shown
    assert "`a␊forged line`" in shown
    assert threading.active_count() < 20


def test_a_port_in_use_is_an_error_before_the_model_is_loaded(
    serve_library: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names port and option; the run does not even have to exist."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "no-such-run", "--port", port]) == 2
    error = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1 is in use" in error
    assert "--port" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "no.such.host.invalid"], "`--host no.such.host.invalid` is no address of this machine"),
        (["--host", ""], "`--host` is empty"),
        (["--token-env", "NO_SUCH_TOKEN"], "`NO_SUCH_TOKEN` of --token-env is not set"),
        (["--port", "70000"], "`--port`: Input should be less than or equal to 65535"),
        (["--port", "0"], "no-such-run"),
        (["--timeout", "0"], "--timeout"),
        (["--timeout", "nan"], "--timeout"),
        (["--timeout", "inf"], "--timeout"),
    ],
)
def test_wrong_options_are_errors(
    serve_library: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """Each has a message and exit code 2."""
    assert main(["serve", "no-such-run", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_token_that_no_header_can_hold_is_an_error(
    serve_library: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spaces and letters outside ASCII are refused; the message does not show the token."""
    for token in ("two words", "geheim-é", "line\n"):
        monkeypatch.setenv("SLTK_TOKEN", token)
        assert main(["serve", "no-such-run", "--port", "0"]) == 2
        error = capsys.readouterr().err
        assert "SLTK_TOKEN" in error
        assert token.strip() not in error


def test_an_empty_token_does_not_open_the_server(
    serve_library: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that is missing where it is passed on from is an error, not a server without a token."""
    monkeypatch.setenv("SLTK_TOKEN", "")
    assert main(["serve", "no-such-run", "--port", "0"]) == 2
    assert "the token in `SLTK_TOKEN` is empty" in capsys.readouterr().err


def test_names_of_the_server_depend_on_where_it_listens(serve_library: ModuleType) -> None:
    """On loopback only its names are allowed; elsewhere any, or those that are given."""
    from sltk.serving.serving_settings import LOOPBACK, allowed_hosts

    assert allowed_hosts("127.0.0.1", "127.0.0.1", ()) == LOOPBACK
    assert allowed_hosts("localhost", "127.0.0.1", ["Models.example"]) == (*LOOPBACK, "models.example")
    assert allowed_hosts("here.example", "127.0.0.2", ()) == (*LOOPBACK, "here.example", "127.0.0.2")
    assert allowed_hosts("::1", "::1", ()) == LOOPBACK
    assert allowed_hosts("0.0.0.0", "0.0.0.0", ()) is None
    assert allowed_hosts("127.evil.example", "192.0.2.1", ()) is None
    assert allowed_hosts("0.0.0.0", "0.0.0.0", ["models.example"]) == (*LOOPBACK, "0.0.0.0", "models.example")


def test_the_server_runs_an_export(labeller: sltk.Labeller, tmp_path: Path) -> None:
    """An exported model gives the spans of its run."""
    sltk.export(RUN, tmp_path / "exported")
    with running(sltk.load(tmp_path / "exported")) as server:
        _, answer = server.request({"text": "The soup was awful , the menu plain ."})
    (expected,) = labeller.predict(["The soup was awful , the menu plain ."])
    assert [span["type"] for span in answer["predictions"][0]["spans"]] == [
        span.type for span in expected.spans
    ]
