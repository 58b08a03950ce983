"""Model cards: what they say is what the run recorded, and text from outside stays text."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import sltk
from repository import ROOT
from sltk.cards import render_card
from sltk.cards.markdown import table
from sltk.cli import main
from sltk.components.metrics import SpansMetric
from sltk.files.safety import printable
from sltk.rundir.scored_predictions import read_predictions

TAGGER = ROOT / "tests" / "stored_runs" / "tagger"
HOSTILE = [
    "a|b",
    "<script>alert(1)</script>",
    "`x`",
    "**bold**",
    "[l](http://evil)",
    "@user",
    "a\nb",
    "# t",
    "\x1b[",
]


class Page(HTMLParser):
    """The elements and the text of the table cells of a page."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.is_in_cell = False
        self.feed(MarkdownIt("commonmark").enable("table").render(markdown))

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.is_in_cell = True
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self.is_in_cell &= tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.is_in_cell:
            self.cells[-1] += data


def edited(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the content of a JSON or YAML file in place."""
    if path.suffix == ".json":
        path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")
    else:
        path.write_text(yaml.safe_dump(change(yaml.safe_load(path.read_text("utf-8")))), "utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of a stored run, to change."""
    return Path(shutil.copytree(TAGGER, tmp_path / "run"))


def test_the_metadata_is_what_the_hub_reads() -> None:
    """huggingface_hub reads the scores of the run, its task and its library from the card."""
    card = ModelCard(render_card(TAGGER))
    metrics = json.loads((TAGGER / "metrics.json").read_text("utf-8"))
    assert (card.data.library_name, card.data.pipeline_tag) == ("sltk", "token-classification")
    assert card.data.model_name == "stored_tagger"
    results = {(each.dataset_split, each.metric_type): each for each in card.data.eval_results}
    for split in ("validation", "test"):
        for key in ("f1", "precision", "recall", "accuracy"):
            assert results[split, key].metric_value == metrics[split][key]
    assert results["test", "f1"].metric_args["signature"] == metrics["test"]["signature"]


def test_the_intervals_are_those_of_the_predictions() -> None:
    """The interval next to F1 is that of the metric `spans` for the same tags."""
    _, gold, predicted = zip(*read_predictions(TAGGER / "predictions" / "test.conll"), strict=True)
    low, high = SpansMetric().compute(gold, predicted, "IOB2")["intervals"]["f1"]
    assert f"0.3750 ({low:.4f} to {high:.4f})" in render_card(TAGGER)


def test_edited_predictions_give_no_interval(run: Path) -> None:
    """Without the predictions that were scored, the card has scores only."""
    (run / "predictions" / "test.conll").write_text("a\tO\tO\n", "utf-8")
    assert "| test | 0.4000 | 0.3529 | 0.3750 | 0.2967 | 0.9077 |" in render_card(run)


def test_a_card_names_no_folder_of_the_machine(run: Path) -> None:
    """Of a base model and of data in files, only the last part of the path is shown."""
    edited(
        run / "spec.yaml",
        lambda spec: {
            **spec,
            "data": {"train": {"type": "conll", "path": "/home/alice/private/ward.conll"}},
            "backbone": {**spec["backbone"], "init": "pretrained", "name": "/home/alice/models/Small-1B"},
        },
    )
    text = render_card(run)
    assert "based on the local model Small-1B" in text
    assert "| train | ward.conll |" in text
    assert not [word for word in ("alice", "private", str(run)) if word in text]
    assert ModelCard(text).data.base_model is None


def test_a_base_and_data_of_the_hub_are_named(run: Path) -> None:
    """Names on the hub become metadata, with the relation to the base."""
    edited(
        run / "spec.yaml",
        lambda spec: {
            **spec,
            "data": {"train": {"type": "huggingface", "name": "user/reviews"}},
            "backbone": {**spec["backbone"], "init": "pretrained", "name": "user/base"},
        },
    )
    data = ModelCard(render_card(run)).data
    assert (data.base_model, data["base_model_relation"]) == ("user/base", "adapter")
    assert data.datasets == ["user/reviews"]


def test_labels_cannot_format_the_card(run: Path) -> None:
    """Types with Markdown, HTML or line ends are cells of the table, and nothing else."""

    def rename(metrics: Any) -> Any:
        values = dict(next(iter(metrics["test"]["per_type"].values())))
        metrics["test"]["per_type"] = dict.fromkeys(HOSTILE, values)
        return metrics

    edited(run / "metrics.json", rename)
    edited(run / "spec.yaml", lambda spec: {**spec, "name": "<b>n</b> `|`\n---\nlicense: mit"})
    text = render_card(run)
    page = Page(ModelCard(text).text)
    assert {printable(name) for name in HOSTILE} <= set(page.cells)
    assert not page.tags & {"script", "b", "a", "strong", "em"}
    assert ModelCard(text).data.license is None


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
@settings(max_examples=60)
def test_any_text_is_a_cell(text: str) -> None:
    """Whatever a label is, its cell shows it, with control characters as symbols."""
    page = Page(table(("name", "end"), [(text, "end")]))
    assert len(page.cells) == 4
    assert page.cells[2].split() == printable(text).split()


def test_stored_thresholds_are_named(run: Path) -> None:
    """The card says which spans sltk leaves out, and that the scores are without thresholds."""
    score = {"threshold": 0.41, "precision": 0.91, "recall": 0.8, "kept": 5, "predicted": 6, "support": 6}
    values = {
        "format": 1, "target": {"precision": 0.9}, "chosen_on": "validation", "decode": "head",
        "span_score": "product", "types": {"positive": score},
    }  # fmt: skip
    (run / "model" / "thresholds.json").write_text(json.dumps(values), "utf-8")
    assert "below its thresholds (precision 0.9 on validation: positive 0.41)" in render_card(run)


def test_the_model_of_a_run_has_its_scores(run: Path) -> None:
    """`sltk card RUN/model` finds the run around it; the model alone has a card without scores."""
    assert render_card(run / "model") == render_card(run)
    alone = run.parent / "alone"
    (run / "model").rename(alone)
    assert "Nothing is recorded about its training and its scores." in render_card(alone)


def test_the_same_run_gives_the_same_card() -> None:
    """A card has no date and nothing random."""
    assert render_card(TAGGER) == render_card(TAGGER)


def test_an_export_has_its_card(plain_export: Path, trained_run: Path) -> None:
    """The README.md of an export says how to use it in transformers, and `sltk card` writes the same facts."""
    card = ModelCard.load(plain_export / "README.md")
    assert card.data.library_name == "transformers"
    assert 'aggregation_strategy="first"' in card.text
    assert card.data.eval_results == ModelCard(render_card(trained_run)).data.eval_results
    assert render_card(plain_export) == (plain_export / "README.md").read_text("utf-8")


def test_the_code_of_the_card_runs(plain_export: Path) -> None:
    """Its snippets run as they are, and the tags of transformers are those of sltk."""
    card = (plain_export / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block.replace("path/to/this/folder", str(plain_export)), names)
    text = "The soup was awful , but nobody left ."
    (prediction,) = sltk.load(plain_export).predict([text.split()])
    words = [match.span() for match in re.finditer(r"\S+", text)]
    assert names["tags"](text, words) == list(prediction.tags)


def test_the_card_of_an_onnx_export_names_its_graph(plain_export: Path, tmp_path: Path) -> None:
    """It says what the graph takes and gives, and that int8 weights may change tags."""
    graph = {
        "file": "model.onnx", "inputs": ["input_ids", "attention_mask"], "output": "logits",
        "granularity": "subword", "tokens": {"prefix": [], "suffix": [], "unknown": 0}, "vectors": None,
        "quantization": "int8", "opset": 18,
    }  # fmt: skip
    for name in ("sltk.json", "card.json"):
        shutil.copy(plain_export / name, tmp_path / name)
    edited(
        tmp_path / "sltk.json",
        lambda values: {**values, "type": "onnx", "onnx": graph},
    )
    card = ModelCard(render_card(tmp_path))
    assert card.data.tags == ["sltk", "sequence-labelling", "onnx"]
    assert "takes input_ids, attention_mask, padded on the right" in card.text
    assert "Its weights are int8" in card.text
    assert "pip install '.[onnx]'" in card.text
    assert not re.search(r"pip install '?sltk", card.text), "another project has this name on PyPI"


def test_an_export_that_only_sltk_loads_says_so(tmp_path: Path) -> None:
    """The card of a partly unmasked decoder does not show transformers' pipeline."""
    sltk.export(TAGGER, tmp_path / "model")
    card = ModelCard.load(tmp_path / "model" / "README.md")
    assert card.data.library_name == "sltk"
    assert "Only sltk can load it: " in card.text
    assert "pipeline(" not in card.text
    assert "input  ░█  output" in card.text


def test_the_card_of_an_export_may_be_edited(plain_export: Path, tmp_path: Path) -> None:
    """README.md is not in the manifest; card.json is."""
    copy = Path(shutil.copytree(plain_export, tmp_path / "model"))
    (copy / "README.md").write_text("# My model\n", "utf-8")
    assert sltk.load(copy).labels.scheme == "IOB2"
    (copy / "card.json").write_text("{}", "utf-8")
    with pytest.raises(sltk.UsageError, match=r"card\.json"):
        sltk.load(copy)


def test_the_command_adds_what_no_run_knows(plain_export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Licence, language and base model come from the command line."""
    options = ["--license", "apache-2.0", "--language", "en", "--base-model", "user/base"]
    assert main(["card", str(plain_export), *options]) == 0
    data = ModelCard(capsys.readouterr().out).data
    assert (data.license, data.language, data.base_model) == ("apache-2.0", "en", "user/base")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--license", "Apache 2.0"], "did you mean `apache-2.0`?"),
        (["--language", "English"], "expected one such as `en`"),
        (["--base-model", "../base"], "not the name of a model on the hub"),
        (["--output", "spec.yaml"], "is a file that is read"),
    ],
)
def test_wrong_options_are_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], expected: str,
) -> None:  # fmt: skip
    """Each has one error that says what is expected."""
    monkeypatch.chdir(run)
    assert main(["card", ".", *arguments]) == 2
    assert expected in capsys.readouterr().err


def test_only_finished_runs_have_a_card(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unfinished run, a damaged one and another folder are errors with exit code 2."""
    edited(
        run / "metrics.json", lambda metrics: {**metrics, "test": {"f1": 1, "per_type": {"x": {"f1": "y"}}}}
    )
    assert main(["card", str(run)]) == 2
    (run / "metrics.json").unlink()
    assert main(["card", str(run)]) == 2
    assert main(["card", str(run.parent)]) == 2
    assert main(["card", str(TAGGER.parent / "pretraining")]) == 2
    errors = capsys.readouterr().err
    assert "records of the run are damaged" in errors
    assert "is not finished" in errors
    assert "neither a run directory" in errors
    assert "is a run of `sltk pretrain`" in errors
