"""`POST /predict` and its documentation, through FastAPI's test client."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import onnx_folder
import sltk
from served import JSON, RUN, make_app
from sltk.components.writers.jsonl import prediction_record
from sltk.models.whole_text import label_texts

if TYPE_CHECKING:
    from starlette.testclient import TestClient

STREAMED = {"Content-Type": "application/x-ndjson"}
TEXT = "The soup was awful .\n\nThe menu , plain !"


def make_client(labeller: sltk.Labeller, **limits: Any) -> TestClient:
    from starlette.testclient import TestClient

    return TestClient(make_app(labeller, **limits), base_url="http://localhost")


@pytest.fixture(scope="module")
def client(labeller: sltk.Labeller) -> Iterator[TestClient]:
    with make_client(labeller) as opened:
        yield opened


def same(records: Any, predictions: list[sltk.Prediction]) -> bool:
    """Whether records are those of predictions; scores may differ by rounding, because batches differ."""
    expected = json.loads(json.dumps([prediction_record(prediction) for prediction in predictions]))
    return _rounded(records) == _rounded(expected)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return pytest.approx(value, abs=1e-5) if isinstance(value, float) else value


@settings(max_examples=40)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=4))
@example(texts=[TEXT, "", "🙂 soup\r\nmenu", "a\x00b\x1b[31m<b>\u2028"])
def test_texts_are_labelled_line_by_line(
    client: TestClient, labeller: sltk.Labeller, texts: list[str]
) -> None:
    """The answer has one record per text, as `label_texts` and the jsonl writer give it."""
    answer = client.post("/predict", json={"texts": texts})
    assert answer.status_code == 200
    assert same(answer.json()["predictions"], label_texts(labeller, texts))


def test_each_form_gives_a_list_of_predictions(client: TestClient, labeller: sltk.Labeller) -> None:
    """A text, texts, the words of one sentence, and those of several are all answered with a list."""
    words = ["The", "menu", ",", "plain", "!"]
    for body, expected in (
        ({"text": TEXT}, label_texts(labeller, [TEXT])),
        ({"texts": []}, []),
        ({"words": words}, labeller.predict([words])),
        ({"sentences": [words, [], ["soup"]]}, labeller.predict([words, [], ["soup"]])),
    ):
        assert same(client.post("/predict", json=body).json()["predictions"], expected)


def test_min_score_leaves_out_doubtful_spans(client: TestClient, labeller: sltk.Labeller) -> None:
    """Spans with a lower score are left out, and so are their tags."""
    spans = label_texts(labeller, [TEXT])[0].spans
    assert spans
    for score in (0.0, 1.0):
        answer = client.post("/predict", json={"text": TEXT, "min_score": score}).json()["predictions"][0]
        assert len(answer["spans"]) == (len(spans) if score == 0 else 0)
        assert sum(word["tag"] != "O" for word in answer["words"]) == (
            sum(span.end - span.start for span in spans) if score == 0 else 0
        )


def test_thresholds_of_the_model_apply_unless_none_are_wanted(labeller: sltk.Labeller) -> None:
    """Requests, and lines of streams, leave out spans below the threshold of their type, or keep all."""
    from sltk.serving.model_facts import describe_model

    spans = label_texts(labeller, [TEXT])[0].spans
    hidden = spans[0].type
    about = {**describe_model(RUN), "thresholds": {hidden: 1.0}}
    with make_client(labeller, about=about) as client:
        for body, count in (
            ({"text": TEXT}, sum(span.type != hidden for span in spans)),
            ({"text": TEXT, "min_score": 0.0}, sum(span.type != hidden for span in spans)),
            ({"text": TEXT, "thresholds": "none"}, len(spans)),
            ({"text": TEXT, "thresholds": "none", "min_score": 1.0}, 0),
        ):
            assert len(client.post("/predict", json=body).json()["predictions"][0]["spans"]) == count
            line = client.post("/predict/stream", content=json.dumps(body), headers=STREAMED).json()
            assert len(line["spans"]) == count
        assert client.post("/predict", json={"text": TEXT, "thresholds": "all"}).status_code == 422


DEEP = b"[" * 100_000
BAD = {
    "empty": (b"", 400, "invalid_json"),
    "not JSON": (b"text=soup", 400, "invalid_json"),
    "not UTF-8": (b'{"text": "\xff"}', 400, "invalid_json"),
    "deep": (DEEP, 400, "invalid_json"),
    "deep value": (b'{"text": ' + b"[" * 900 + b"]" * 900 + b"}", 422, "invalid_request"),
    "NaN": (b'{"text": "a", "min_score": NaN}', 400, "invalid_json"),
    "long number": (b"1" * 10_000, 400, "invalid_json"),
    "a key twice": (b'{"text": "a", "text": "b"}', 400, "invalid_json"),
    "no object": (b'["soup"]', 422, "invalid_request"),
    "null": (b"null", 422, "invalid_request"),
    "no text": (b"{}", 422, "invalid_request"),
    "two forms": (b'{"text": "a", "words": ["b"]}', 422, "invalid_request"),
    "unknown key": (b'{"txet": "a"}', 422, "invalid_request"),
    "a number as text": (b'{"text": 1}', 422, "invalid_request"),
    "a text as texts": (b'{"texts": "soup"}', 422, "invalid_request"),
    "a number among texts": (b'{"texts": ["a", 1]}', 422, "invalid_request"),
    "null among words": (b'{"words": [null]}', 422, "invalid_request"),
    "truth as score": (b'{"text": "a", "min_score": true}', 422, "invalid_request"),
    "score above 1": (b'{"text": "a", "min_score": 1e999}', 422, "invalid_request"),
    "half a surrogate pair": (b'{"text": "a\\ud83d"}', 422, "invalid_text"),
    "10 MB": (b'{"text": "' + b"soup " * 2_000_000 + b'"}', 413, "body_too_large"),
    "10,000 words on a line": (b'{"text": "' + b"soup " * 10_000 + b'"}', 413, "line_too_long"),
    "10,000 words": (json.dumps({"words": ["soup"] * 10_000}).encode(), 413, "line_too_long"),
    "40,000 lines": (json.dumps({"texts": [""] * 40_000}).encode(), 413, "too_much_text"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_body_gets_one_clear_answer(client: TestClient, name: str) -> None:
    """Status, code and message in JSON, without control characters; the next request is answered."""
    body, status, code = BAD[name]
    answer = client.post("/predict", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"].isprintable()
    assert answer.json().keys() == {"error"}
    assert client.post("/predict", json={"words": ["soup"]}).status_code == 200


def test_messages_name_what_is_wrong(client: TestClient) -> None:
    """The key, the position or the nearest key is in the message."""
    for name, part in {
        "unknown key": "did you mean `text`?",
        "a number among texts": "`texts[1]`",
        "a key twice": "'text' occurs twice",
        "not UTF-8": "byte 0xff at position 10",
        "half a surrogate pair": "character 1",
        "10,000 words on a line": "50,000 characters; at most 20,000",
    }.items():
        body = BAD[name][0]
        assert part in client.post("/predict", content=body, headers=JSON).json()["error"]["message"]


def test_limits_can_be_changed(labeller: sltk.Labeller) -> None:
    """Lower limits refuse what the defaults accept: a line, a body."""
    with make_client(labeller, max_line=20, max_body=100) as client:
        assert client.post("/predict", json={"text": "soup soup\n" * 4}).status_code == 200
        answer = client.post("/predict", json={"text": "soup\n" + "soup " * 5})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "line_too_long")
        answer = client.post("/predict", json={"texts": ["soup"] * 20})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_only_json_is_accepted(client: TestClient) -> None:
    """Other media types, which pages of other sites may send without being asked first, are refused."""
    for headers in (
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {},
    ):
        answer = client.post("/predict", content=b'{"text": "a"}', headers=headers)
        assert answer.status_code == 415
        assert "Content-Type: application/json" in answer.json()["error"]["message"]
    assert client.post("/predict/stream", content=b"{}", headers=JSON).status_code == 415
    answer = client.post("/predict", content=b"{}", headers=JSON | {"Content-Encoding": "gzip"})
    assert (answer.status_code, "gzip" in answer.json()["error"]["message"]) == (415, True)


def test_other_sites_get_no_answers(client: TestClient) -> None:
    """No answer allows other origins, and other host names are refused."""
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (client.options("/predict", headers=asked), client.get("/info", headers=asked)):
        assert not [name for name in answer.headers if name.startswith("access-control")]
    for host, status in {
        "evil.example": 400,
        "localhost.evil.example": 400,
        "": 400,
        "127.0.0.1:80": 200,
        "[::1]": 200,
    }.items():
        answer = client.get("/info", headers={"Host": host})
        assert answer.status_code == status, host
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_unknown_paths_and_methods(client: TestClient) -> None:
    """They are errors in JSON too."""
    assert client.get("/nothing").json()["error"]["code"] == "not_found"
    answer = client.get("/predict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_token_is_needed_where_one_is_set(labeller: sltk.Labeller) -> None:
    """It is sent as bearer token or as password; the page and the health need none, but show nothing then."""
    with make_client(labeller, token="secret") as client:
        assert [client.get(path).status_code for path in ("/", "/page.js", "/docs", "/health")] == [200] * 4
        assert client.get("/health").json() == {"status": "UP"}
        basic = base64.b64encode(b"user:secret").decode()
        for header, status in {
            "": 401, "Bearer": 401, "Bearer Secret": 401, "Bearer secret2": 401, "Basic secret": 401,
            "Bearer secrét": 401, "Bearer secret": 200, "bearer secret": 200, f"Basic {basic}": 200,
        }.items():  # fmt: skip
            headers = {"Authorization": header.encode()}
            assert client.get("/info", headers=headers).status_code == status, header
            assert client.post("/predict", json={"text": "a"}, headers=headers).status_code == status
        assert "www-authenticate" in client.get("/info").headers
        assert client.get("/health", headers={"Authorization": "Bearer secret"}).json()["requests"] == 0


def test_every_answer_has_security_headers(client: TestClient) -> None:
    """Pages, predictions and errors forbid scripts of others, frames and caches."""
    for answer in (client.get("/"), client.post("/predict", json={"text": "a"}), client.get("/nothing")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_the_documentation_needs_no_other_server(client: TestClient) -> None:
    """/docs lists every route, without scripts and with nothing from elsewhere."""
    page = client.get("/docs").text
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=\"(?!/)", page)
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page


def test_answers_match_their_documentation(client: TestClient) -> None:
    """Each answer fits the schema that /openapi.json has for its route and status."""
    document = client.get("/openapi.json").json()
    cases = [("/predict", client.post("/predict", json={"text": TEXT}))]
    cases += [
        ("/predict", client.post("/predict", content=body, headers=JSON)) for body, _, _ in BAD.values()
    ]
    cases += [(path, client.get(path)) for path in ("/health", "/info")]
    cases.append(("/predict", client.post("/predict", json={"text": "a"}, headers={"Host": "evil.example"})))
    for path, answer in cases:
        (operation,) = document["paths"][path].values()
        schema = operation["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), schema | {"components": document["components"]})
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate({"text": TEXT, "min_score": 0.5}, body)
    for wrong in ({"txet": TEXT}, {"text": TEXT, "words": ["a"]}, {"min_score": 0.5}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, body)


def test_an_onnx_export_is_served(
    onnx_library: ModuleType, serve_library: ModuleType, tmp_path: Path
) -> None:
    """Answers are those of `sltk.load`, and `/info` names the format."""
    from starlette.testclient import TestClient

    from sltk.serving.model_facts import describe_model

    folder = onnx_folder.write(tmp_path / "model")
    labeller = sltk.load(folder)
    with TestClient(make_app(labeller, about=describe_model(folder)), base_url="http://localhost") as client:
        answer = client.post("/predict", json={"texts": onnx_folder.TEXTS})
        about = client.get("/info").json()
    assert same(answer.json()["predictions"], label_texts(labeller, onnx_folder.TEXTS))
    assert (about["format"], about["labels"]) == ("onnx", onnx_folder.LABELS)
