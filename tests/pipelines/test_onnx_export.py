"""An ONNX export gives the scores of sltk in onnxruntime alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import sltk
import tiny
from sltk.cli import main
from sltk.errors import ModelError, UsageError
from sltk.extend import HeadModule, register
from sltk.models.tagger_model import TaggerModel
from sltk.nn.batching import pack
from sltk.run import load
from sltk.subwords.samples import IGNORED, Sample
from tiny_families import BY_NAME

SENTENCES = [
    ["The", "soup", "was", "awful", "."],
    ["Nobody", "called", "the", "goat", "cheese", "plain", ",", "and", "unremarkable-ish", "it", "was"],
    ["ok"],
    ["the", "bread", "was", "excellent"],
]


@register.head("test_shifting")
class _Shifting(sltk.extend.Head):
    """A custom head that scores words by an operation that is not in ONNX."""

    def build(self, hidden_size: int, labels: Any) -> HeadModule:
        return _ShiftingModule(hidden_size, len(labels.tags))


class _ShiftingModule(HeadModule):
    def __init__(self, size: int, labels: int) -> None:
        super().__init__()
        self.scorer = torch.nn.Linear(size, labels)

    def loss(self, vectors_WH: Any, tags_W: Any, lengths_S: Any) -> Any:
        return torch.nn.functional.cross_entropy(self.emissions(vectors_WH), tags_W, reduction="sum")

    def emissions(self, vectors_WH: Any) -> Any:
        return torch.special.bessel_j0(vectors_WH.detach()) @ self.scorer.weight.T


@register.head("test_doubling")
class _Doubling(sltk.extend.Head):
    """A custom head that scores words."""

    def build(self, hidden_size: int, labels: Any) -> HeadModule:
        return _DoublingModule(hidden_size, len(labels.tags))


class _DoublingModule(_ShiftingModule):
    def emissions(self, vectors_WH: Any) -> Any:
        return 2 * torch.tanh(self.scorer(vectors_WH))


@register.aligner("test_weighing")
class _Weighing(sltk.extend.Aligner):
    """A custom aligner that reads two subwords of a word."""

    def build(self) -> torch.nn.Module:
        return _WeighingModule()


class _WeighingModule(torch.nn.Module):
    def forward(self, vectors_TH: Any, first_W: Any, last_W: Any) -> Any:
        return vectors_TH.index_select(0, first_W) / 3 + vectors_TH.index_select(0, last_W)


@register.head("test_own_way")
class _OwnWay(sltk.extend.Head):
    """A custom head that chooses tags itself."""

    def build(self, hidden_size: int, labels: Any) -> HeadModule:
        return _OwnWayModule(hidden_size, len(labels.tags))


class _OwnWayModule(_ShiftingModule):
    def decode(self, vectors_WH: Any, lengths_S: Any) -> Any:
        return self.emissions(vectors_WH).argmax(-1), torch.ones(len(vectors_WH))


def train_run(folder: Path, **changes: Any) -> Path:
    """Train for one epoch and return the folder of the run."""
    sltk.train(tiny.spec({"epochs": 1}, **changes), folder)
    return folder


def export(run: Path, target: Path, **options: Any) -> tiny.RecordingProgress:
    """Export a run to ONNX, and return what was reported."""
    progress = tiny.RecordingProgress()
    sltk.export(run, target, progress, format="onnx", **options)
    return progress


def samples(model: TaggerModel) -> list[Sample]:
    """The encoded sentences."""
    encodings = model.encoder.encode([sltk.Sentence(words) for words in SENTENCES])
    return [Sample(each, [IGNORED] * each.words) for each in encodings]


def sltk_scores(model: TaggerModel) -> np.ndarray[Any, Any]:
    """Scores of all words, [W, C]."""
    with torch.inference_mode():
        return model.network.emissions([pack(samples(model))]).numpy()


def padded(rows: list[list[int]]) -> np.ndarray[Any, Any]:
    """Rows of numbers, padded on the right."""
    longest = max(map(len, rows))
    return np.array([row + [0] * (longest - len(row)) for row in rows], dtype=np.int64)


def onnx_scores(folder: Path, model: TaggerModel, padding: int = 0) -> np.ndarray[Any, Any]:
    """The scores of all words by onnxruntime, from one padded batch with this many more positions."""
    import onnxruntime

    about = json.loads((folder / "sltk.json").read_text())
    windows = [sample.encoding.windows[0] for sample in samples(model)]
    ids = padded([window.ids for window in windows])
    ids = np.pad(ids, ((0, 0), (0, padding)), constant_values=3)
    lengths = np.array([len(window.ids) for window in windows])
    mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if about["onnx"]["granularity"] == "word":
        inputs |= {
            "word_first": padded([w.first for w in windows]),
            "word_last": padded([w.last for w in windows]),
        }
        places = [list(range(len(window.first))) for window in windows]
    else:
        is_first = about["components"]["aligner"]["type"] == "first_subword"
        places = [window.first if is_first else window.last for window in windows]
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    assert list(inputs) == about["onnx"]["inputs"] == [value.name for value in session.get_inputs()]
    (logits,) = session.run(["logits"], inputs)
    return np.concatenate([row[place] for row, place in zip(logits, places, strict=True)])


def backbone_of(family: str, **changes: Any) -> dict[str, Any]:
    """A small backbone of a family, with the mask 0110 unless `changes` has another."""
    kind = BY_NAME[family].kind
    config = {
        "model_type": family,
        **BY_NAME[family].config(vocab_size=None, bos_token_id=None, eos_token_id=None),
    }
    return tiny.backbone(**{"type": kind, "config": config, "unmask": "0110", **changes})


LONGROPE = {
    **tiny.LLAMA, "model_type": "phi3", "pad_token_id": 0,
    "max_position_embeddings": 128, "original_max_position_embeddings": 64,
    "rope_parameters": {
        "rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 64,
        "short_factor": [1.5] * 8, "long_factor": [3.0] * 8,
    },
}  # fmt: skip
CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "causal llama": lambda: {"backbone": tiny.backbone(unmask="none")},
    "lora, crf, mean": lambda: {
        "backbone": tiny.backbone(lora={"r": 4}), "head": {"type": "crf"}, "aligner": {"type": "mean"},
    },
    "mlp, max": lambda: {"head": {"type": "mlp", "hidden": [7, 5]}, "aligner": {"type": "max"}},
    "last subword, all": lambda: {
        "backbone": tiny.backbone(unmask="all"), "aligner": {"type": "last_subword"},
    },
    "encoder, first_last": lambda: {"backbone": backbone_of("roberta"), "aligner": {"type": "first_last"}},
    "windows, softcap": lambda: {"backbone": backbone_of("gemma2")},
    "dropped windows": lambda: {"backbone": backbone_of("modernbert", unmask_window="drop")},
    "sinks, experts": lambda: {"backbone": backbone_of("gpt_oss")},
    "own mask only": lambda: {"backbone": backbone_of("deberta-v2", unmask="all")},
    "gpt2": lambda: {"backbone": backbone_of("gpt2")},
    "custom head and aligner": lambda: {
        "head": {"type": "test_doubling"},
        "aligner": {"type": "test_weighing"},
    },
    "nf4": lambda: {
        "backbone": tiny.backbone(
            config={**tiny.LLAMA, "hidden_size": 64},
            quantization={"type": "nf4", "compute_dtype": "float32"},
            lora={"r": 4},
        )
    },
    "longrope": lambda: {"backbone": tiny.backbone(config=LONGROPE)},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_onnxruntime_gives_the_scores_of_sltk(tmp_path: Path, case: str, onnx_library: ModuleType) -> None:
    """Scores of words agree to 1e-4 on a padded batch of mixed lengths, however much padding there is."""
    run = train_run(tmp_path / "run", **CASES[case]())
    progress = export(run, tmp_path / "export")
    model = load(run).model
    expected = sltk_scores(model)
    np.testing.assert_allclose(onnx_scores(tmp_path / "export", model), expected, atol=1e-4, rtol=0)
    np.testing.assert_allclose(onnx_scores(tmp_path / "export", model, 9), expected, atol=1e-4, rtol=0)
    onnx_library.checker.check_model(str(tmp_path / "export" / "model.onnx"))
    assert progress.has_note(", 0 of ")
    assert progress.has_note("onnxruntime labels")
    assert progress.has_note("at most 64 subwords") == (case == "longrope")
    assert progress.has_note("the run itself is not in float32") == (case == "nf4")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a CRF and labelled validation and test sentences."""
    folder = tmp_path_factory.mktemp("crf") / "run"
    return train_run(folder, data=tiny.all_splits(), head={"type": "crf"})


@pytest.fixture(scope="module")
def exported(run: Path, onnx_library: ModuleType) -> Path:
    """The same run as ONNX."""
    export(run, run.parent / "onnx")
    return run.parent / "onnx"


TEXTS = ["The soup was awful.", "  Nobody's goat cheese, at our 2nd table: 😀 plain ", "", "東京 naïve ok"]


def test_an_export_labels_text_like_the_run(run: Path, exported: Path) -> None:
    """Words, offsets, tags and spans are those of the run directory; scores agree to 1e-4."""
    ours, theirs = load(run).predict(TEXTS), load(exported).predict(TEXTS)
    for one, other in zip(ours, theirs, strict=True):
        assert (one.sentence.words, one.sentence.offsets, one.tags) == (
            other.sentence.words,
            other.sentence.offsets,
            other.tags,
        )
        assert [(s.start, s.end, s.type) for s in one.spans] == [
            (s.start, s.end, s.type) for s in other.spans
        ]
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


def test_an_export_is_the_same_file_each_time(run: Path, exported: Path, tmp_path: Path) -> None:
    """Two exports of a run have equal graphs, with standard operators and nothing about the machine."""
    export(run, tmp_path / "again")
    content = (exported / "model.onnx").read_bytes()
    assert content == (tmp_path / "again" / "model.onnx").read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content
    assert sorted(path.name for path in exported.iterdir()) == [
        "README.md",
        "card.json",
        "config.json",
        "manifest.json",
        "model.onnx",
        "sltk.json",
        "tokenizer",
        "tokenizer.json",
        "tokenizer_config.json",
        "transitions.json",
    ]
    assert not list(exported.rglob("*.py"))


def test_the_graph_has_standard_operators(exported: Path, onnx_library: ModuleType) -> None:
    """Any runtime for opset 18 can read it; axes have names."""
    model = onnx_library.load(exported / "model.onnx")
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    assert {node.domain for node in model.graph.node} == {""}
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {
        "input_ids": ["batch", "length"],
        "attention_mask": ["batch", "length"],
        "logits": ["batch", "length", 7],
    }


def test_int8_reports_changed_tags_and_the_size(
    run: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line reports changed tags, megabytes and both speeds; the graph is smaller, and still labels."""
    target = tmp_path / "int8"
    assert main(["export", str(run), str(target), "--format", "onnx", "--quantize", "int8"]) == 0
    report = capsys.readouterr().err
    assert re.search(r"int8 changes \d+ of \d+ tags, and the size from 0\.\d to 0\.\d MB", report)
    assert re.search(r"onnxruntime labels [\d,]+ words/s in int8, sltk [\d,]+ in float32", report)
    before, after = ((folder / "model.onnx").stat().st_size for folder in (exported, target))
    assert after < before
    assert json.loads((target / "sltk.json").read_text())["onnx"]["quantization"] == "int8"
    words = [len(prediction.tags) for prediction in load(target).predict(TEXTS)]
    assert words == [len(prediction.tags) for prediction in load(run).predict(TEXTS)]


def test_an_operation_without_onnx_form_is_named(tmp_path: Path, onnx_library: ModuleType) -> None:
    """The error names the operation, and what to do instead; nothing is written."""
    backbone = tiny.backbone(config={**tiny.LLAMA, "num_hidden_layers": 1}, unmask="1")
    run = train_run(tmp_path / "run", backbone=backbone, head={"type": "test_shifting"})
    with pytest.raises(ModelError, match="bessel_j0") as error:
        export(run, tmp_path / "export")
    assert "without `--format onnx`" in str(error.value)
    assert not (tmp_path / "export").exists()


def test_a_head_that_decodes_itself_is_refused(tmp_path: Path, onnx_library: ModuleType) -> None:
    """The error names the head, and the methods that it would need."""
    run = train_run(tmp_path / "run", head={"type": "test_own_way"})
    with pytest.raises(UsageError, match="the head `test_own_way` chooses tags in a way of its own") as error:
        export(run, tmp_path / "export")
    assert "`emissions`" in str(error.value)


@pytest.mark.parametrize(
    ("stored", "message"), [("instruct", "type: instruct"), ("custom", "the custom backbone `lstm`")]
)
def test_other_models_are_refused_by_name(
    tmp_path: Path, stored: str, message: str, onnx_library: ModuleType
) -> None:
    """One that writes text, or has a backbone of its own, is no graph of scores; the error says what to do instead."""
    run = Path(__file__).parent.parent / "stored_runs" / stored
    with pytest.raises(UsageError, match=message) as error:
        export(run, tmp_path / "export", trust_code=True)
    assert "without `--format onnx`" in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "onx"], "did you mean `onnx`"),
        (["--format", "onnx", "--quantize", "int-8"], "did you mean `int8`"),
        (["--quantize", "int8"], "add `--format onnx`"),
    ],
)
def test_wrong_options_are_refused(
    run: Path, tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown name is an error with the nearest known one, and exit code 2."""
    assert main(["export", str(run), str(tmp_path / "export"), *options]) == 2
    assert message in capsys.readouterr().err
