"""Requests of many clients are labelled together, within limits, by one thread."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree

import sltk
from served import RUN, GatedLabeller, background, head, running, until


def text(number: int) -> str:
    return f"soup number {number} was awful ."


def test_waiting_requests_are_labelled_together(gated: GatedLabeller) -> None:
    """What waits while the model is busy is one batch, and each request gets its own answer."""
    with running(gated) as server:
        first = background(lambda: server.request({"text": text(0)}))
        until(gated.entered.is_set)
        others = [background(lambda n=n: server.request({"text": text(n)})) for n in range(1, 13)]
        until(lambda: server.health()["requests"] == 13)
        gated.gate.set()
        for number, result in enumerate([first, *others]):
            status, answer = result()
            assert status == 200
            assert [each["text"] for each in answer["predictions"]] == [text(number)]
        assert [len(batch) for batch in gated.batches] == [1, 12]
        assert server.health() | {"requests": 0, "characters": 0, "batches": 2} == server.health()


def test_a_short_request_does_not_wait_for_all_of_a_long_one(gated: GatedLabeller) -> None:
    """Batches take lines from all requests in turn."""
    with running(gated, batch_tokens=64) as server:
        long = background(lambda: server.request({"texts": [text(n) for n in range(200)]}))
        until(gated.entered.is_set)
        short = background(lambda: server.request({"text": "menu"}))
        until(lambda: server.health()["requests"] == 2)
        gated.gate.set()
        assert short()[0] == 200
        answer = long()[1]
        assert [each["text"] for each in answer["predictions"]] == [text(n) for n in range(200)]
        assert "menu" in gated.batches[1]
        assert len(gated.batches) > 10


def test_a_full_queue_refuses_requests(gated: GatedLabeller) -> None:
    """429 says when to ask again; nothing that was accepted is lost."""
    with running(gated, max_requests=3) as server:
        accepted = [background(lambda n=n: server.request({"text": text(n)})) for n in range(3)]
        until(lambda: server.health()["requests"] == 3)
        status, headers, answer = server.fetch({"text": "a"})
        assert (status, answer["error"]["code"]) == (429, "queue_full")
        assert int(headers["Retry-After"]) >= 1
        gated.gate.set()
        assert [result()[0] for result in accepted] == [200] * 3
        assert server.request({"text": "a"})[0] == 200


def test_long_requests_leave_room_for_short_ones(gated: GatedLabeller) -> None:
    """Long requests share the characters of the queue; a short one is accepted beside them."""
    long = {"texts": ["soup " * 100] * 10}
    with running(gated, max_queue=6000) as server:
        first = background(lambda: server.request(long))
        until(gated.entered.is_set)
        assert server.request(long)[0] == 429
        status, answer = server.request({"texts": ["soup " * 100] * 20})
        assert (status, answer["error"]["code"]) == (413, "too_much_text")
        short = background(lambda: server.request({"text": "a"}))
        until(lambda: server.health()["requests"] == 2)
        gated.gate.set()
        assert (first()[0], short()[0]) == (200, 200)


def test_work_of_a_request_that_is_over_is_dropped(gated: GatedLabeller) -> None:
    """After a timeout, or when the client is gone, what has not been labelled never is."""
    with running(gated, timeout=0.2) as server:
        running_one = background(lambda: server.request({"text": "first"}))
        until(gated.entered.is_set)
        status, answer = server.request({"text": "late"})
        assert (status, answer["error"]["code"]) == (504, "timeout")
        assert running_one()[0] == 504
    gated.batches.clear()
    gated.gate.clear()
    gated.entered.clear()
    with running(gated) as server:
        running_one = background(lambda: server.request({"text": "first"}))
        until(gated.entered.is_set)
        body = json.dumps({"text": "left"}).encode()
        with server.connect(head(len(body)) + body):
            until(lambda: server.health()["requests"] == 2)
        until(lambda: server.health()["requests"] == 1)
        gated.gate.set()
        assert running_one()[0] == 200
        assert server.request({"text": "last"})[0] == 200
        assert gated.seen == ["first", "last"]


def test_every_request_of_every_client_is_answered_once(gated: GatedLabeller) -> None:
    """Clients that ask again and again get all their answers, and each line reaches the model once."""

    def ask(number: int) -> list[str]:
        answers = [server.request({"text": text(10 * number + again)})[1] for again in range(5)]
        return [answer["predictions"][0]["text"] for answer in answers]

    gated.gate.set()
    with running(gated) as server:
        clients = [background(lambda n=n: ask(n)) for n in range(6)]
        answers = [client() for client in clients]
    assert answers == [[text(10 * number + again) for again in range(5)] for number in range(6)]
    assert sorted(gated.seen) == sorted(each for part in answers for each in part)


def test_a_line_that_fails_fails_alone(gated: GatedLabeller) -> None:
    """The other requests of its batch are answered, and the log has no text of clients."""
    lines: list[str] = []
    with running(gated, lines.append) as server:
        first = background(lambda: server.request({"text": "first"}))
        until(gated.entered.is_set)
        poisoned = background(lambda: server.request({"texts": ["fine", "poison"]}))
        sound = background(lambda: server.request({"text": "sound"}))
        until(lambda: server.health()["requests"] == 3)
        gated.gate.set()
        assert (first()[0], sound()[0]) == (200, 200)
        status, answer = poisoned()
        assert (status, answer["error"]["code"]) == (500, "internal")
        assert "secret" not in json.dumps(answer) + "".join(lines)
        assert "RuntimeError" in lines[0]


def test_a_sentence_that_the_model_refuses_is_an_error_of_its_request(
    labeller: sltk.Labeller, tmp_path: Path
) -> None:
    """A model with `on_overflow: error` refuses long sentences; the answer has its message."""
    folder = copytree(RUN / "model", tmp_path / "model")
    description = json.loads((folder / "sltk.json").read_text())
    description |= {"on_overflow": "error", "max_length": 32}
    (folder / "sltk.json").write_text(json.dumps(description))
    with running(sltk.load(folder)) as server:
        status, answer = server.request({"texts": ["soup", "soup " * 100]})
        assert (status, answer["error"]["code"]) == (422, "cannot_label")
        assert "32" in answer["error"]["message"]
        assert server.request({"text": "soup"})[0] == 200
