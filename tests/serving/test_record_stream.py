"""`POST /predict/stream` on a real server: lines in, one record per line out."""

from __future__ import annotations

import json
import socket
from contextlib import suppress

import sltk
from served import STREAM, GatedLabeller, chunk, running, until
from sltk.models.whole_text import label_texts


def line(text: str) -> str:
    return json.dumps({"text": text}) + "\n"


def test_each_line_gets_its_record_in_order(labeller: sltk.Labeller) -> None:
    """Texts, words and errors are answered in order; blank lines are left out, and the last needs no end."""
    lines = [line(f"soup {n}\n\nmenu") for n in range(150)]
    odd = [
        "\n",
        "soup\n",
        '{"texts": []}\n',
        '{"words": ["The", "menu"]}\n',
        line("\ud800"),
        "  \n",
        '{"text": "🙂"}',
    ]
    with running(labeller) as server:
        records = server.stream([*lines, *odd])
        assert server.health()["streams"] == 0
    expected = label_texts(labeller, [f"soup {n}\n\nmenu" for n in range(150)])
    assert [record["text"] for record in records[:150]] == [prediction.text for prediction in expected]
    tags = [[word["tag"] for word in record["words"]] for record in records[:150]]
    assert tags == [_tags(prediction) for prediction in expected]
    rest = [
        record.get("text") or (record["error"]["code"], record["error"]["line"]) for record in records[150:]
    ]
    assert rest == [
        ("invalid_json", 152), ("invalid_request", 153), "The menu", ("invalid_text", 155), "🙂",
    ]  # fmt: skip


def _tags(prediction: sltk.Prediction) -> list[str]:
    from sltk.components.writers.jsonl import prediction_record

    return [word["tag"] for word in prediction_record(prediction)["words"]]


def test_records_come_while_lines_still_arrive(labeller: sltk.Labeller) -> None:
    """Each record is sent when it is known, before the next line is there."""
    with running(labeller) as server, server.connect(STREAM) as connection:
        connection.sendall(chunk(line("soup 0")))
        records = server.records(connection)
        for number in range(3):
            assert next(records)["text"] == f"soup {number}"
            whole = line(f"soup {number + 1}")
            connection.sendall(chunk(whole[:5]))
            connection.sendall(chunk(whole[5:]))


def test_a_client_that_does_not_read_is_not_read_from(labeller: sltk.Labeller) -> None:
    """No more than a window of lines is in memory: sending blocks at last, and goes on when records are read."""
    with running(labeller, write_timeout=3600) as server, server.connect_narrow(STREAM) as connection:
        connection.settimeout(2)
        assert send_until_blocked(connection, chunk(line("soup" + " " * 15_000)) * 100) < 2**27
        labelled = server.health()["words"]
        assert labelled > 0
        connection.settimeout(60)
        records = server.records(connection)
        until(lambda: next(records) and server.health()["words"] > labelled)
        connection.shutdown(socket.SHUT_RDWR)


def send_until_blocked(connection: socket.socket, data: bytes) -> int:
    """Send data again and again; returns how many bytes were accepted before the connection took no more."""
    sent, rest = 0, b""
    with suppress(TimeoutError):
        while sent < 2**28:
            rest = rest or data
            count = connection.send(rest)
            rest, sent = rest[count:], sent + count
    return sent


def test_a_long_line_is_an_error_of_its_own(labeller: sltk.Labeller) -> None:
    """It is skipped without being kept, and the lines after it are labelled."""
    with running(labeller, max_line=1000) as server:
        long = ["x" * 5000] * 10
        records = server.stream([line("a"), '{"text": "', *long, '"}\n', line("y" * 1001), line("b")])
    assert [record.get("text", record.get("error", {}).get("code")) for record in records] == [
        "a", "line_too_long", "line_too_long", "b",
    ]  # fmt: skip
    assert [record["error"]["line"] for record in records[1:3]] == [2, 3]


def test_a_stream_ends_with_its_client(gated: GatedLabeller) -> None:
    """Lines of a client that is gone are dropped, and the others are answered."""
    with running(gated, max_streams=1) as server:
        with server.connect(STREAM + chunk(line("first")) + chunk(line("second"))) as connection:
            until(gated.entered.is_set)
            status, answer = server.request("", "/predict/stream", "application/x-ndjson")
            assert (status, answer["error"]["code"]) == (429, "too_many_streams")
            connection.sendall(chunk(line("third")))
            connection.shutdown(socket.SHUT_RDWR)
        until(lambda: server.health()["streams"] == 0)
        gated.gate.set()
        assert server.stream([line("last")])[0]["text"] == "last"
        assert "third" not in gated.seen


def test_a_stream_whose_lines_come_too_slowly_ends(labeller: sltk.Labeller) -> None:
    """What has arrived is answered, then an error says why the stream ends."""
    with running(labeller, read_timeout=0.2) as server, server.connect(STREAM) as connection:
        connection.sendall(chunk(line("soup")) + chunk('{"text": '))
        records = list(server.records(connection))
    assert records[0]["text"] == "soup"
    assert (records[1]["error"]["code"], records[1]["error"]["line"]) == ("read_timeout", 2)
    assert len(records) == 2
