"""The ML backend for Label Studio: requests as Label Studio sends them, and answers that it accepts."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sltk
from label_studio_format import ANSWER, check

FAMILY = "\U0001f469\U0001f3fd\u200d\U0001f692"
INTERFACE = """<View>
  <Labels name="label" toName="text"><Label value="PER"/><Label value="LOC" background="red"/></Labels>
  <Text name="text" value="$text"/>
</View>"""


class Backend:
    """A client that sends what Label Studio sends: see `label_studio/ml/api_connector.py` there."""

    def __init__(self, client: Any, log: list[str]) -> None:
        self.client, self.log = client, log
        self.headers = {"User-Agent": "heartex/1.23.2"}

    def get(self, name: str) -> Any:
        return self.client.get(f"/label-studio/{name}", headers=self.headers)

    def post(self, name: str, body: Any) -> Any:
        headers = {**self.headers, "Content-Type": "application/json"}
        return self.client.post(f"/label-studio/{name}", content=json.dumps(body), headers=headers)

    def setup(self, schema: Any = INTERFACE) -> Any:
        body = {"project": "1.1764500000", "schema": schema, "hostname": "http://localhost:8080"}
        return self.post("setup", {**body, "access_token": "secret", "extra_params": None})

    def predict(self, *tasks: Any, interface: Any = INTERFACE) -> Any:
        params = {"login": None, "password": None, "context": None}
        body = {"tasks": list(tasks), "project": "1.1764500000", "label_config": interface, "params": params}
        return self.post("predict", body)

    def results(self, *tasks: Any, interface: str = INTERFACE) -> list[dict[str, Any]]:
        answer = self.predict(*tasks, interface=interface)
        assert answer.status_code == 200, answer.text
        check(answer.json(), ANSWER)
        results: list[dict[str, Any]] = answer.json()["results"]
        assert len(results) == len(tasks)
        return results


@pytest.fixture(scope="module")
def parts(serve_library: ModuleType, known_names_run: Path) -> tuple[Any, dict[str, Any]]:
    """The labeller, and what the server says of it."""
    from sltk.serving.model_facts import describe_model

    return sltk.load(known_names_run), describe_model(known_names_run)


@pytest.fixture
def backend(parts: tuple[Any, dict[str, Any]]) -> Iterator[Backend]:
    """The backend without a token."""
    with client_of(parts) as (client, log):
        yield Backend(client, log)


def client_of(parts: tuple[Any, dict[str, Any]], **settings: Any) -> Any:
    from contextlib import contextmanager

    from fastapi.testclient import TestClient

    from sltk.serving.serving_settings import ServingSettings
    from sltk.serving.web_app import create_app

    @contextmanager
    def opened() -> Iterator[tuple[Any, list[str]]]:
        log: list[str] = []
        app = create_app(*parts, ServingSettings(**settings), log.append)
        with TestClient(app, base_url="http://localhost") as client:
            yield client, log

    return opened()


def task(text: Any, number: int = 7, **data: Any) -> dict[str, Any]:
    """A task as Label Studio's `TaskSimpleSerializer` writes it."""
    return {
        "id": number,
        "data": {"text": text, **data},
        "meta": {},
        "created_at": "2026-01-05T10:00:00.000000Z",
        "project": 1,
        "predictions": [],
        "annotations": [],
    }


def spans(result: dict[str, Any]) -> list[tuple[int, int, str, str]]:
    values = [region["value"] for region in result["result"]]
    return [(value["start"], value["end"], value["text"], *value["labels"]) for value in values]


def test_it_is_healthy_and_has_a_version(backend: Backend, parts: Any) -> None:
    """`/health`, `/setup` and `/versions` answer what Label Studio asks; the version names the weights."""
    assert backend.get("health").json()["status"] == "UP"
    version = backend.setup().json()["model_version"]
    assert version == f"names-{parts[1]['digest'][:8]}"
    assert backend.get("versions").json() == {"versions": [version]}


def test_tasks_get_scored_regions(backend: Backend) -> None:
    """A task's text of several lines is labelled; offsets count characters, also after emoji and in right-to-left."""
    texts = ["Kai met Mira in Oslo .", "", "soup", f"{FAMILY} 😀 Mira\r\nthe soup in Turku\n\nשלום Kai"]
    results = backend.results(*map(task, texts))
    assert spans(results[0]) == [(0, 3, "Kai", "PER"), (8, 12, "Mira", "PER"), (16, 20, "Oslo", "LOC")]
    assert spans(results[1]) == spans(results[2]) == []
    assert {(text, label) for _, _, text, label in spans(results[3])} >= {
        ("Mira", "PER"),
        ("Turku", "LOC"),
        ("Kai", "PER"),
    }
    for text, result in zip(texts, results, strict=True):
        for start, end, quoted, _ in spans(result):
            assert text[start:end] == quoted
        assert all(0 < region["score"] <= 1 for region in result["result"])
        assert result["model_version"].startswith("names-")
    assert 0 < results[0]["score"] <= min(region["score"] for region in results[0]["result"])


def test_names_and_keys_are_those_of_the_project(backend: Backend) -> None:
    """Tag names, the key of the text, aliases and `predicted_values` come from the labelling interface."""
    interface = """<?xml version="1.0" encoding="utf-8"?>
    <View><Header value="Names"/>
      <Choices name="tone" toName="body"><Choice value="calm"/></Choices>
      <Labels name="people" toName="body"><View><Label value="Person" predicted_values="PER, HUMAN"/></View></Labels>
      <Labels name="places" toName="body"><Label value="LOC" alias="location"/></Labels>
      <Text name="body" value="$message.text" valueType="text"/><Text name="other" value="$text"/>
    </View>"""
    data = {"id": 1, "data": {"message": {"text": "Kai in Oslo ."}, "text": "Mira"}}
    (result,) = backend.results(data, interface=interface)
    assert [(each["from_name"], each["to_name"], *each["value"]["labels"]) for each in result["result"]] == [
        ("people", "body", "Person"),
        ("places", "body", "location"),
    ]


def test_types_without_a_label_are_named_and_not_sent(backend: Backend) -> None:
    """They are in the answers and once in the log; other spans are sent."""
    interface = INTERFACE.replace('<Label value="LOC" background="red"/>', '<Label value="ORG"/>')
    assert backend.setup(interface).json()["missing_labels"] == ["LOC"]
    answer = backend.predict(task("Kai in Oslo ."), interface=interface).json()
    assert spans(answer["results"][0]) == [(0, 3, "Kai", "PER")]
    assert answer["missing_labels"] == ["LOC"]
    assert backend.log == ["Label Studio: the project has no label for LOC: such spans are not sent"]


@pytest.mark.parametrize(
    ("interface", "message"),
    [
        ("", "no element found"),
        ("<View>", "not well-formed XML"),
        ("<View/>", "no <Labels> tag whose `toName` names a <Text>"),
        (
            '<View><Image name="i" value="$i"/><RectangleLabels name="r" toName="i"/></View>',
            "no <Labels> tag",
        ),
        (
            INTERFACE.replace("PER", "Person").replace("LOC", "Place"),
            "the model has LOC, PER, the interface Person, Place",
        ),
        (INTERFACE.replace("$text", "$a and $b"), "'$a and $b', not one key"),
        (INTERFACE.replace("$text", "text"), "not one key such as '$text'"),
        (INTERFACE.replace('value="$text"', 'value="$text" encoding="base64"'), "is encoded ('base64')"),
        ('<!DOCTYPE v [<!ENTITY a "x">]>' + INTERFACE, "a document type declaration"),
        ('<!DOCTYPE v SYSTEM "file:///etc/passwd">' + INTERFACE, "a document type declaration"),
        ('<?xml version="1.0" encoding="klingon"?><View/>', "not well-formed XML"),
        ("<a>" * 20000, "not well-formed XML"),
        ("\x00", "not well-formed XML"),
        (None, "expected `label_config`"),
        (3, "expected `label_config`"),
    ],
)
def test_interfaces_that_do_not_fit_are_refused(backend: Backend, interface: Any, message: str) -> None:
    """One clear answer at `/predict` and at `/setup`, and one line in the log."""
    for answer in (backend.predict(task("Kai"), interface=interface), backend.setup(interface)):
        assert answer.status_code == 422
        assert message.replace("label_config", "schema") in answer.json()["error"]["message"].replace(
            "label_config", "schema"
        )
    assert len(backend.log) == isinstance(interface, str)
    assert backend.results(task("Kai")), "the server still works"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"id": 3, "data": {"body": "Kai"}}, "task 3, `text`: expected a text; there is none"),
        ({"id": 3, "data": {"text": ["Kai"]}}, "task 3, `text`: expected a text; it is a list"),
        ({"id": 3, "data": {"text": None}}, "there is none"),
        ({"id": 3, "data": {"text": 5}}, "it is a number"),
        ({"id": 3, "data": {"text": "https://example.org/a.txt"}}, "a URL, which sltk does not fetch"),
        ({"id": 3, "data": {"text": " s3://bucket/a.txt\n"}}, "a URL, which sltk does not fetch"),
        ({"id": 3, "data": {"text": "/data/upload/1/a.txt"}}, "a URL, which sltk does not fetch"),
        ({"id": 3, "data": {"text": "\ud800"}}, "half of a surrogate pair"),
        ({"id": 3, "data": {"text": "a " * 20001}}, "a line has 40,002 characters"),
        ({"id": 3}, "task 3: expected `data`, an object"),
        ({"data": "Kai"}, "tasks[1]: expected `data`, an object"),
        ("Kai", "tasks[1]: expected `data`, an object"),
        (None, "tasks[1]: expected `data`, an object"),
    ],
)
def test_a_bad_task_does_not_spoil_the_others(backend: Backend, bad: Any, message: str) -> None:
    """It gets an error in place of a prediction, which Label Studio logs; alone, it fails the request."""
    first, error, last = backend.results(task("Kai"), bad, task("Mira", 8))
    assert [span[2:] for span in (*spans(first), *spans(last))] == [("Kai", "PER"), ("Mira", "PER")]
    assert list(error) == ["error"]
    assert message in error["error"]
    alone = backend.predict(bad)
    assert alone.status_code in (413, 422)
    assert message.replace("tasks[1]", "tasks[0]") in alone.json()["error"]["message"]
    assert len(backend.log) == 1
    assert "example.org" not in backend.log[0]


def test_a_text_may_be_a_url_if_the_interface_says_so(backend: Backend) -> None:
    """`valueType="text"` declares that a task has its text; `url` declares that it does not."""
    url = "http://example.org/Oslo"
    as_text = INTERFACE.replace('value="$text"', 'value="$text" valueType="text"')
    as_url = INTERFACE.replace('value="$text"', 'value="$text" valueType="url"')
    assert "result" in backend.results(task(url), interface=as_text)[0]
    assert "URL" in backend.predict(task("Kai"), interface=as_url).json()["error"]["message"]
    assert "result" in backend.results(task(f"Kai: {url}"))[0]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"tasks": 3}', b'{"label_config": "<View/>", "tasks": []}']
)
@pytest.mark.parametrize("name", ["predict", "setup", "webhook"])
def test_bad_bodies_have_one_answer(backend: Backend, name: str, body: bytes) -> None:
    """Each is an error as JSON, except that events may have any content."""
    answer = backend.client.post(
        f"/label-studio/{name}", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in ((200, 400) if name == "webhook" else (400, 422))
    assert answer.status_code == 200 or answer.json()["error"]["message"]


def test_a_selection_that_is_too_large_is_in_the_log(parts: Any) -> None:
    """Label Studio sends all selected tasks at once, and shows only the status of the answer."""
    with client_of(parts, max_body=4000) as (client, log):
        answer = Backend(client, log).predict(*[task("Kai met Mira") for _ in range(50)])
    assert answer.status_code == 413
    assert [line.startswith("Label Studio: the body has more than 4,000 bytes") for line in log] == [True]


def test_no_tasks_are_no_predictions(backend: Backend) -> None:
    """An empty list is not an error."""
    assert backend.results() == []


def test_events_are_accepted_and_ignored(backend: Backend) -> None:
    """Label Studio sends every event of a project to the backend, also when people press Train."""
    answer = backend.post(
        "webhook", {"action": "START_TRAINING", "project": {"id": 1, "label_config": INTERFACE}}
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "ignored")
    answer = backend.post("train", {"annotations": [], "project": "1.1764500000"})
    assert answer.status_code == 501
    assert "`sltk train`" in answer.json()["error"]["message"]


def test_the_url_of_the_server_alone_is_explained(backend: Backend) -> None:
    """Label Studio asks `/setup` there: the answer and the log say which URL to give."""
    answer = backend.client.post("/setup", json={"project": "1.1"})
    assert answer.status_code == 404
    for message in (answer.json()["error"]["message"], *backend.log):
        assert "followed by `/label-studio`" in message
    assert len(backend.log) == 1


def test_the_token_is_the_password_of_the_backend(parts: Any) -> None:
    """Label Studio sends basic authentication: any user, and the token as password."""
    with client_of(parts, token="s3cret") as (client, log):
        backend = Backend(client, log)
        assert backend.setup().status_code == 401
        backend.headers["Authorization"] = "Basic " + base64.b64encode(b"anybody:s3cret").decode()
        assert backend.setup().status_code == 200
        assert backend.results(task("Kai"))
        assert "s3cret" not in json.dumps(log)
