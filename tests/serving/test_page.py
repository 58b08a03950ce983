"""The page of `sltk serve` in a real browser."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from browser import ARGUMENTS, Visit
from hypothesis import given, settings
from hypothesis import strategies as st

import sltk
import tiny
from repository import ROOT
from served import running
from sltk import schemes
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.writers.conll import ConllWriter
from sltk.components.writers.jsonl import prediction_record
from sltk.data.datasets import load
from sltk.models.labeller import Labeller
from sltk.models.whole_text import label_texts
from sltk.types import Prediction, Span

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EVIL = '<img src=x onerror="alert(1)">'
"""A type of spans, which would run a script if it were ever read as markup."""
FOODS = ("soup", "lamb stew", "bread", "wine list")
PLACES = ("Basel", "Lipa", "Novi Sad", "Oslo")
TEXT = "The soup in Basel was cold.\n\n😀 👩‍👩‍👧 We had lamb stew in Oslo, and bread in Novi Sad."


def annotated() -> Iterator[dict[str, Any]]:
    """Sentences with foods, and with places, whose type is hostile."""
    for food in FOODS:
        for place in PLACES:
            for frame in ("The {} in {} was cold.", "We had {} in {} , 😀 and left ."):
                text = frame.format(food, place)
                spans = [(food, "FOOD"), (place, EVIL)]
                places = [(text.index(part), part, type_) for part, type_ in spans]
                yield {
                    "text": text,
                    "spans": [
                        {"start": at, "end": at + len(part), "type": type_} for at, part, type_ in places
                    ],
                }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that has learnt its sentences."""
    folder = tmp_path_factory.mktemp("page")
    lines = "".join(json.dumps(record) + "\n" for record in annotated())
    (folder / "train.jsonl").write_text(lines, encoding="utf-8")
    data = {"train": {"type": "jsonl", "path": str(folder / "train.jsonl")}}
    sltk.train(tiny.spec({"epochs": 8}, data=data), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def labeller(run: Path) -> Labeller:
    """The model, loaded once."""
    return sltk.load(run)


@pytest.fixture(scope="module")
def about(run: Path, serve_library: ModuleType) -> dict[str, Any]:
    """What `/info` says of the model."""
    from sltk.serving.model_facts import describe_model

    return describe_model(run)


@pytest.fixture(scope="module")
def port(labeller: Labeller, about: dict[str, Any]) -> Iterator[int]:
    """The port of a server with the model."""
    with running(labeller, about=about) as server:
        yield server.port


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def window(browser: Browser, port: int) -> Visit:
    """A window of the browser."""
    return Visit(browser, port)


@pytest.fixture
def visit(window: Visit) -> Iterator[Visit]:
    """The page as it opens. Whatever the test does, no script of a text runs, and nothing is loaded from elsewhere."""
    window.open()
    yield window
    problems, window.problems[:] = list(window.problems), []
    assert problems == []


@pytest.fixture(scope="module")
def prediction(labeller: Labeller) -> Prediction:
    """What the model makes of the text."""
    return label_texts(labeller, [TEXT])[0]


def spans_of(prediction: Prediction) -> list[tuple[str, str]]:
    """Text and type of each span."""
    return [(span["text"], span["type"]) for span in prediction_record(prediction)["spans"]]


def test_spans_are_highlighted(visit: Visit, prediction: Prediction) -> None:
    """The words and the type of each span stand in the text, which is otherwise as it was typed."""
    visit.label(TEXT)
    assert visit.shown() == spans_of(prediction)
    assert ("lamb stew", "FOOD") in visit.shown()
    assert ("Oslo", EVIL) in visit.shown()
    names = visit.page.locator("#labelled small")
    names.evaluate_all("names => names.forEach(name => name.remove())")
    assert visit.page.locator("#labelled").text_content() == TEXT


def test_the_slider_filters_without_asking_again(visit: Visit, prediction: Prediction) -> None:
    """Spans with a lower score than the slider's are no longer highlighted; the page counts them, and asks nothing."""
    visit.label(TEXT)
    requests: list[str] = []
    visit.page.on("request", lambda request: requests.append(request.url))
    scores = sorted(span.score or 0.0 for span in prediction.spans)
    assert visit.text_of("#shown") == f"{len(scores)} of {len(scores)} spans"
    visit.page.locator("#threshold").focus()
    visit.page.keyboard.press("End")
    assert visit.shown() == []
    assert visit.text_of("#threshold-value") == "1.00"
    for least in (0.5, 0.9, 0.99):
        visit.page.fill("#threshold", str(least))
        count = sum(score >= least for score in scores)
        assert visit.text_of("#shown") == f"{count} of {len(scores)} spans"
        assert len(visit.shown()) == count
        assert visit.page.locator("#rows tr:not([hidden])").count() == count
    assert requests == []


def test_types_can_be_hidden(visit: Visit, prediction: Prediction) -> None:
    """A button per type counts its spans, and hides and shows them."""
    visit.label(TEXT)
    food = visit.page.get_by_role("button", name="FOOD")
    count = sum(span.type == "FOOD" for span in prediction.spans)
    assert food.inner_text().split() == ["FOOD", str(count)]
    food.click()
    assert {type_ for _, type_ in visit.shown()} == {EVIL}
    assert (food.get_attribute("aria-pressed"), food.inner_text().split()) == (
        "false",
        ["FOOD", f"0/{count}"],
    )
    food.press("Enter")
    assert visit.shown() == spans_of(prediction)
    assert food.get_attribute("aria-pressed") == "true"


def test_the_table_says_the_same(visit: Visit, prediction: Prediction) -> None:
    """A table, which screen readers can read, has text, type, score and place of each span."""
    visit.label(TEXT)
    visit.page.click("#table summary")
    rows = [row.split("\t") for row in visit.page.locator("#rows tr").all_inner_texts()]
    spans = prediction_record(prediction)["spans"]
    assert rows == [
        [span["text"], span["type"], f"{span['score']:.3f}", f"{span['start']}–{span['end']}"]
        for span in spans
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script><img src=x onerror=alert(1)> in Oslo",
        "</textarea><svg onload=alert(1)> lamb stew \u202e in Oslo \x00\x1b[31m\x07 &lt;b&gt; &amp; {{7*7}} ${7*7}",
        "javascript:alert(1) \ufeff soup\u2028 in Basel ﷽ \U0010ffff e\u0301",
    ],
    ids=["tags", "controls", "separators"],
)
def test_text_is_never_markup(visit: Visit, text: str) -> None:
    """Markup and control characters in text and types are shown as they are; nothing of them runs or is loaded."""
    visit.label(text)
    assert EVIL in visit.text_of("#model")
    visit.page.locator("#labelled mark").first.hover()
    visit.page.locator("#labelled small").evaluate_all("names => names.forEach(name => name.remove())")
    assert visit.page.locator("#labelled").text_content() == text
    assert visit.page.locator("script, style, svg, iframe, object, [onerror], [onload]").count() == 1
    assert visit.page.locator("img").count() == 1


def test_copied_json_is_the_record_of_the_writer(
    visit: Visit, prediction: Prediction, tmp_path: Path
) -> None:
    """Copied JSON is what the server sent; the reader `jsonl` reads its spans again."""
    visit.label(TEXT)
    copied = visit.copied("JSON")
    assert json.loads(copied) == prediction_record(prediction)
    (tmp_path / "a.jsonl").write_text(copied, encoding="utf-8")
    (sentence,) = load(JsonlReader(path=tmp_path / "a.jsonl"), "IOB2")
    assert sentence.words == prediction.words
    assert sentence.spans == prediction.spans


def test_copied_conll_is_the_output_of_the_writer(
    visit: Visit, labeller: Labeller, prediction: Prediction, tmp_path: Path
) -> None:
    """Copied CoNLL is what `sltk predict` writes for the lines of the text; the reader `conll` reads it again."""
    visit.label(TEXT)
    copied = visit.copied("CoNLL")
    assert copied == "".join(ConllWriter().render(labeller.predict(TEXT.split("\n"))))
    (tmp_path / "a.conll").write_text(copied, encoding="utf-8")
    reader = ConllReader(path=tmp_path / "a.conll", separator="tab", document_marker=None)
    sentences = list(load(reader, "IOB2"))
    assert len(sentences) == 2
    assert [word for sentence in sentences for word in sentence.words] == prediction.words
    assert sum(len(sentence.spans or ()) for sentence in sentences) == len(prediction.spans)


def test_only_what_is_shown_is_copied(visit: Visit) -> None:
    """Spans that are not shown are neither in the JSON nor in the tags."""
    visit.label(TEXT)
    visit.page.get_by_role("button", name="FOOD").click()
    record = json.loads(visit.copied("JSON"))
    assert {span["type"] for span in record["spans"]} == {EVIL}
    assert {word["tag"] for word in record["words"]} == {"O", f"B-{EVIL}", f"I-{EVIL}"}
    assert "FOOD" not in visit.copied("CoNLL")


def test_copying_needs_no_https(browser: Browser, port: int) -> None:
    """Without `navigator.clipboard`, as on pages from another machine without HTTPS, copying works too."""
    visit = Visit(browser, port, script="Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    visit.label(TEXT)
    visit.page.click("#copy-conll")
    visit.page.get_by_text("Copied as CoNLL").wait_for()
    visit.page.fill("#text", "")
    visit.page.press("#text", "Control+V")
    assert visit.page.input_value("#text").startswith("The\tO\nsoup\tB-FOOD\n")
    assert visit.problems == []


def test_a_keyboard_is_enough(visit: Visit, prediction: Prediction) -> None:
    """Tab reaches every control in order, arrow keys go from span to span, and the focused span is described."""
    visit.label(TEXT)
    keys = visit.page.keyboard
    visit.page.focus("#text")
    focused = []
    for _ in range(10):
        keys.press("Tab")
        focused.append(visit.page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    copies, types = ["copy-json", "copy-conll"], ["BUTTON", "BUTTON"]
    assert focused == ["submit", "open", "example", *copies, *types, "threshold", "MARK", "SUMMARY"]
    keys.press("Shift+Tab")
    first, *_, last = prediction_record(prediction)["spans"]
    for key, span in (
        ("Home", first),
        ("End", last),
        ("ArrowRight", last),
        ("ArrowUp", None),
        ("Home", first),
    ):
        keys.press(key)
        if span:
            detail = f"{span['type']} · score {span['score']:.3f} · characters {span['start']}–{span['end']}"
            assert visit.text_of("#detail") == detail
            assert visit.page.evaluate("document.activeElement.getAttribute('aria-describedby')") == "detail"
            assert visit.page.evaluate("document.activeElement.firstChild.data") == span["text"]
    keys.press("Escape")
    assert visit.page.locator("#detail").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast(browser: Browser, port: int, scheme: str) -> None:
    """In light and dark mode, all text has at least the contrast of WCAG AA, on highlights in every hue too."""
    visit = Visit(browser, port, color_scheme=scheme)
    visit.label(TEXT)
    contrasts = visit.page.evaluate(CONTRASTS)
    assert len(contrasts) > 60
    assert {name: value for name, value in contrasts.items() if value < 4.5} == {}
    dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 25, 28)"
    assert dark == (scheme == "dark")
    assert visit.problems == []


CONTRASTS = """() => {
  const context = document.createElement("canvas").getContext("2d");
  const rgb = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const linear = (part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (element) => {
    const colour = rgb(getComputedStyle(element).backgroundColor);
    return colour[3] ? colour : ground(element.parentElement);
  };
  const contrast = (element) => {
    const [dark, bright] = [rgb(getComputedStyle(element).color), ground(element)].map(light).sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const found = {};
  for (const element of document.querySelectorAll("button, label, .note, h1, h2, dt, dd, a, #error, #labelled")) {
    found[`${element.tagName} ${element.id} ${element.textContent.slice(0, 20)}`] = contrast(element);
  }
  const mark = document.querySelector("#labelled mark"), key = document.querySelector("#legend button");
  for (let hue = 0; hue < 360; hue += 10) {
    for (const element of [mark, key]) element.style.setProperty("--hue", hue);
    for (const element of [mark, mark.lastChild, key, key.lastChild]) {
      found[`${element.tagName} in hue ${hue}`] = contrast(element);
    }
  }
  return found;
}"""


def dropped(visit: Visit, name: str, content: bytes) -> None:
    """Drop a file on the page."""
    script = """([name, bytes]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], name));
      return transfer;
    }"""
    transfer = visit.page.evaluate_handle(script, [name, list(content)])
    visit.page.dispatch_event("h1", "dragover", {"dataTransfer": transfer})
    assert visit.page.locator("#drop").is_visible()
    visit.page.dispatch_event("h1", "drop", {"dataTransfer": transfer})
    assert visit.page.locator("#drop").is_hidden()


def test_a_file_can_be_dropped(visit: Visit, prediction: Prediction) -> None:
    """A text file that is dropped anywhere is labelled, with or without a byte-order mark."""
    dropped(visit, "a.txt", TEXT.replace("\n", "\r\n").encode("utf-8-sig"))
    visit.page.wait_for_selector("#labelled mark")
    assert visit.page.input_value("#text") == TEXT
    assert visit.shown() == spans_of(prediction)


def test_a_file_can_be_chosen(visit: Visit, prediction: Prediction) -> None:
    """A file can be opened without a mouse, and one that is no text is refused by name."""
    with visit.page.expect_file_chooser() as chooser:
        visit.page.press("#open", "Enter")
    chooser.value.set_files({"name": "a.txt", "mimeType": "text/plain", "buffer": TEXT.encode()})
    visit.page.wait_for_selector("#labelled mark")
    assert visit.shown() == spans_of(prediction)
    dropped(visit, "soup.png", b"\x89PNG\xff")
    visit.page.wait_for_selector("#error:not([hidden])")
    assert visit.text_of("#error") == "soup.png is not a text file in UTF-8"
    assert visit.page.input_value("#text") == TEXT


def test_narrow_screens_need_no_sideways_scrolling(browser: Browser, port: int) -> None:
    """On a screen of 360 pixels everything fits, long words, types and addresses included."""
    visit = Visit(browser, port, viewport={"width": 360, "height": 640})
    visit.label(f"{TEXT} {'x' * 300} <{'y' * 200}@example.org>")
    visit.page.locator("#labelled mark").last.hover()
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 360
    assert visit.page.locator("#detail").bounding_box()["x"] >= 0  # type: ignore[index]
    assert visit.problems == []


def test_a_long_text_is_shown(visit: Visit) -> None:
    """Thousands of words, with more than a thousand spans, are shown, counted and filtered."""
    text = "\n".join([TEXT] * 250)
    visit.label(text)
    total = visit.page.locator("#labelled mark").count()
    assert total > 1000
    assert visit.text_of("#shown") == f"{total} of {total} spans"
    assert visit.text_of("#status").startswith("5,")
    visit.page.fill("#threshold", "1")
    assert visit.text_of("#shown") == f"0 of {total} spans"


def test_nothing_is_asked_without_text(visit: Visit) -> None:
    """Without text the page asks for some, and not the server."""
    visit.page.fill("#text", " \n ")
    visit.page.click("#submit")
    assert visit.text_of("#status") == "Type or paste some text first."
    assert visit.page.locator("#result").is_hidden()


def test_a_request_can_be_cancelled(visit: Visit) -> None:
    """While the server works, a second request is not sent, and Cancel ends the first; then all works again."""
    held: list[Any] = []
    visit.page.route("**/predict", lambda route: held.append(route))
    visit.page.fill("#text", TEXT)
    for _ in range(3):
        visit.page.press("#text", "Control+Enter")
        visit.page.click("#submit", force=True)
    assert visit.text_of("#status") == "Labelling…"
    visit.page.click("#example")
    assert visit.text_of("#status") == "Cancel the running request first."
    assert visit.page.input_value("#text") == TEXT
    visit.page.click("#cancel")
    assert visit.text_of("#status") == "Cancelled"
    assert len(held) == 1
    assert visit.page.locator("#cancel").is_hidden()
    visit.page.unroute("**/predict")
    visit.label(TEXT)
    assert visit.shown() != []


def failed(status: int) -> str:
    """What Chromium itself logs about such an answer."""
    return f"Failed to load resource: the server responded with a status of {status}"


def test_errors_are_those_of_the_server(browser: Browser, labeller: Labeller, about: dict[str, Any]) -> None:
    """The page shows the message of the server: too many requests, a line that is too long, a server that has ended."""
    with running(labeller, about=about, max_requests=0) as server:
        visit = Visit(browser, server.port)
        for text, status in ((TEXT, 429), ("x" * 20_001, 413)):
            answer = visit.page.request.post(f"{visit.url}predict", data={"text": text})
            assert answer.status == status
            visit.label(text)
            assert visit.text_of("#error") == f"{answer.json()['error']['message']} (HTTP {status})"
        assert [problem.partition(" (")[0] for problem in visit.problems] == [failed(429), failed(413)]
    visit.page.click("#submit")
    visit.page.get_by_text("The server does not answer. Is it still running?").wait_for()


def test_a_token_is_asked_for(browser: Browser, labeller: Labeller, about: dict[str, Any]) -> None:
    """A server with a token: the page asks for it, keeps it in memory only, and says if it is wrong."""
    with running(labeller, about=about, token="open-sesame") as server:
        visit = Visit(browser, server.port)
        assert visit.text_of("#error").endswith("send the header `Authorization: Bearer TOKEN` (HTTP 401)")
        visit.page.keyboard.type("sesame")
        with visit.page.expect_response("**/info"):
            visit.page.keyboard.press("Enter")
        visit.page.fill("#token", "open-sesame")
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector("#model:not([hidden])")
        assert visit.page.locator("#access").is_hidden()
        visit.label(TEXT)
        assert ("Oslo", EVIL) in visit.shown()
        assert {problem.partition(" (")[0] for problem in visit.problems} == {failed(401)}
        assert visit.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
            0,
            0,
            "",
        ]
        visit.page.reload()
        assert visit.page.locator("#token").input_value() == ""


def test_the_mask_is_drawn(browser: Browser, labeller: Labeller, about: dict[str, Any]) -> None:
    """There is a square per block, input side first; unmasked ones are filled; the text says the same."""
    mask = {"notation": "0011", "blocks": 10, "unmasked": [6, 7, 8, 9]}
    with running(labeller, about={**about, "mask": mask}) as server:
        visit = Visit(browser, server.port)
        squares = visit.page.locator("#blocks i")
        assert squares.evaluate_all("all => all.map(each => each.className)") == [""] * 6 + ["unmasked"] * 4
        assert visit.text_of("#mask-text") == "mask 0011 on 10 blocks: 0–5 causal, 6–9 unmasked"
        assert visit.problems == []


def test_stored_thresholds_are_the_default(
    browser: Browser, labeller: Labeller, about: dict[str, Any], prediction: Prediction
) -> None:
    """Thresholds that are stored with the model apply by type, until the slider is moved."""
    with running(labeller, about={**about, "thresholds": {"FOOD": 1.0}}) as server:
        visit = Visit(browser, server.port)
        visit.label(TEXT)
        assert visit.page.get_by_label("thresholds of the model").is_checked()
        assert {type_ for _, type_ in visit.shown()} == {EVIL}
        visit.page.fill("#threshold", "0.01")
        assert visit.shown() == spans_of(prediction)
        visit.page.get_by_label("thresholds of the model").check()
        assert {type_ for _, type_ in visit.shown()} == {EVIL}


def test_plain_tags_are_highlighted(browser: Browser, labeller: Labeller, about: dict[str, Any]) -> None:
    """Plain tags form no spans, so each word with a tag is highlighted, without a score."""
    with running(labeller, about={**about, "scheme": "plain", "types": about["labels"][1:]}) as server:
        visit = Visit(browser, server.port)
        visit.label("We had lamb stew in Oslo, and left.")
        assert visit.shown()[:2] == [("lamb", "B-FOOD"), ("stew", "I-FOOD")]
        visit.page.locator("#labelled mark").first.hover()
        assert visit.text_of("#detail") == "B-FOOD · no score · characters 7–11"
        record = json.loads(visit.copied("JSON"))
        assert [word["tag"] for word in record["words"]][2:4] == ["B-FOOD", "I-FOOD"]


@st.composite
def spans_in_text(draw: st.DrawFn) -> dict[str, Any]:
    """A text with spans that may overlap, cross, and be equal."""
    text = draw(st.text(st.sampled_from("ab \n😀é汉ש👧\u200d\u0301"), min_size=1, max_size=12))
    places = draw(st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(1, len(text))), max_size=5))
    spans = [{"start": start, "end": min(start + size, len(text)), "type": "T"} for start, size in places]
    return {"text": text, "spans": spans}


@settings(max_examples=10)
@given(records=st.lists(spans_in_text(), max_size=30))
def test_spans_that_cross_are_split(window: Visit, records: list[dict[str, Any]]) -> None:
    """Whatever spans overlap, the text stays the same, and the marks of each span hold its characters."""
    script = """async (records) => {
      const { paint, spansOf } = await import("./highlights.js");
      return records.map(({ text, spans }) => {
        const element = document.createElement("p");
        const sorted = spansOf({ spans, words: [] }, "IOB2");
        const marks = paint(element, text, sorted, () => 0);
        element.querySelectorAll("small").forEach((name) => name.remove());
        const pieces = sorted.map((span) => marks.get(span).map((mark) => mark.textContent).join(""));
        return [element.textContent, pieces, sorted];
      });
    }"""
    results = window.page.evaluate(script, records)
    for record, (text, pieces, spans) in zip(records, results, strict=True):
        assert text == record["text"]
        assert sorted(map(str, spans)) == sorted(map(str, record["spans"]))
        assert pieces == [text[span["start"] : span["end"]] for span in spans]


@settings(max_examples=10)
@given(
    records=st.lists(
        st.sets(
            st.tuples(st.integers(0, 4), st.integers(1, 5), st.sampled_from(["A", "B-x"])).map(
                lambda place: Span(place[0], min(place[0] + place[1], 5), place[2])
            )
        ).map(sorted),
        max_size=30,
    )
)
def test_copied_tags_of_layers_are_those_of_the_spans(window: Visit, records: list[list[Span]]) -> None:
    """Of any spans of five words, some of which are hidden, copied tags encode the others, as the scheme does."""
    script = """async (records) => {
      const { restricted } = await import("./formats.js");
      const words = [...Array(5).keys()].map((start) => ({ text: "a", start, end: start + 1, tag: "?" }));
      return records.map((spans) => {
        const shown = spans.filter((_, number) => number % 3 < 2);
        return restricted({ text: "aaaaa", words, spans }, shown, "layers");
      });
    }"""
    spans = [[{"start": s.start, "end": s.end, "type": s.type} for s in record] for record in records]
    for record, result in zip(records, window.page.evaluate(script, spans), strict=True):
        shown = [span for number, span in enumerate(record) if number % 3 < 2]
        assert [word["tag"] for word in result["words"]] == schemes.encode(shown, 5, "layers")
        assert [Span(**span) for span in result["spans"]] == shown


def test_the_policy_is_strict(visit: Visit) -> None:
    """Only what the server itself has may run, be loaded or be asked; nothing in the page is inline."""
    answer = visit.page.request.get(visit.url)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy.pop("default-src") == "'none'"
    none = dict.fromkeys(("frame-ancestors", "form-action", "base-uri"), "'none'")
    own = dict.fromkeys(("script-src", "style-src", "connect-src", "img-src"), "'self'")
    assert policy == none | own
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", answer.text()) == []


def test_paper_gets_the_result_only(visit: Visit) -> None:
    """Printed are the highlights, the legend and the model, but neither the text field nor buttons."""
    visit.label(TEXT)
    visit.page.emulate_media(media="print")
    for selector in ("#labelled mark", "#legend button", "#mask-text"):
        assert visit.page.locator(selector).first.is_visible()
    for selector in ("#text", "#submit", "#copy-json", "#threshold"):
        assert visit.page.locator(selector).is_hidden()
    assert visit.page.evaluate("getComputedStyle(document.querySelector('mark')).printColorAdjust") == "exact"
    visit.page.emulate_media(media="screen")


def test_every_file_of_the_page_is_packaged() -> None:
    """A built wheel has all files of the page, and the server knows each of them."""
    from sltk.serving.page_files import page_files

    package = Path(sltk.__file__).parent
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packaged = {
        path
        for pattern in patterns["tool"]["setuptools"]["package-data"]["sltk"]
        for path in package.glob(pattern)
    }
    files = set((package / "serving" / "page").iterdir())
    assert files <= packaged
    assert len(page_files()) == len(files) + 1
