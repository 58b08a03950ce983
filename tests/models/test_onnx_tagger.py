"""Labelling with an ONNX export: the same words, windows and batches as with torch, and no code that needs torch."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import damage
import onnx_folder
import sltk
from repository import ROOT
from sltk.cli import main
from sltk.components.backbones.local_tokenizer import TRAINED_SPECIAL
from sltk.files import manifest
from sltk.models.onnx_scorer import padded, similar_lengths
from sltk.subwords.plain_tokenizer import PlainTokenizer
from sltk.subwords.tokenization import SubwordEncoder
from sltk.types import Sentence

pytestmark = pytest.mark.usefixtures("onnx_library")

LONG = " ".join(onnx_folder.TEXTS * 8)
COMPONENTS = onnx_folder.COMPONENTS
WORD = st.text(min_size=1, max_size=12)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_folder.write(tmp_path_factory.mktemp("exported") / "model")


def expected_tags(sentence: Sentence) -> list[str]:
    """The tag of each word: the best one in the row of its first subword."""
    tokens = PlainTokenizer.with_roles(onnx_folder.tokenizer(), TRAINED_SPECIAL)
    (encoding,) = SubwordEncoder(tokens, "source").encode([sentence])
    rows = onnx_folder.table(onnx_folder.tokenizer().get_vocab_size())
    (window,) = encoding.windows
    return [onnx_folder.LABELS[rows[window.ids[position]].argmax()] for position in window.first]


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code of a command, and what it printed."""
    code = main(arguments)
    printed = capsys.readouterr()
    return code, printed.out + printed.err


@pytest.mark.parametrize("granularity", ["subword", "word"])
def test_words_get_their_scores_in_windows_and_batches_of_any_size(tmp_path: Path, granularity: str) -> None:
    """Long sentences are read in windows; sentences of any length are batched, and come back in their order."""
    folder = onnx_folder.write(tmp_path / "model", onnx_granularity=granularity)
    texts = ["", LONG, *onnx_folder.TEXTS, " ", "the", LONG[:200]]
    for batch_tokens in (1, 40, 4096):
        predictions = sltk.load(folder, batch_tokens=batch_tokens).predict(texts)
        assert [prediction.text for prediction in predictions] == texts
        for prediction in predictions:
            assert prediction.tags == (expected_tags(prediction.sentence) if prediction.words else [])


@settings(max_examples=60)
@given(sentences=st.lists(st.lists(WORD, max_size=30), max_size=8))
def test_any_words_get_the_scores_of_their_subwords(exported: Path, sentences: list[list[str]]) -> None:
    """Words without subwords, of control characters or of any script have one tag each."""
    for words, prediction in zip(sentences, sltk.load(exported).predict(sentences), strict=True):
        assert prediction.words == words
        assert prediction.tags == (expected_tags(Sentence(words)) if words else [])


def test_scores_are_the_same_after_weights_were_packed(exported: Path) -> None:
    """After some runs, onnxruntime packs the weights of the graph, unless its file was replaced."""
    labeller = sltk.load(exported)
    first = labeller.predict(onnx_folder.TEXTS)
    for _ in range(30):
        assert labeller.predict(onnx_folder.TEXTS) == first


def test_a_replaced_file_does_not_change_a_loaded_model(exported: Path, tmp_path: Path) -> None:
    """A model that is exported again while it is in use stays the one that was loaded."""
    folder = Path(shutil.copytree(exported, tmp_path / "copy"))
    labeller = sltk.load(folder)
    first = labeller.predict(onnx_folder.TEXTS)
    other = onnx_folder.graph(-onnx_folder.table(onnx_folder.tokenizer().get_vocab_size()))
    (folder / "new").write_bytes(other.SerializeToString())
    (folder / "new").replace(folder / "model.onnx")
    for _ in range(30):
        assert labeller.predict(onnx_folder.TEXTS) == first


def test_a_path_that_is_not_utf8_is_one_error(exported: Path, tmp_path: Path) -> None:
    """onnxruntime cannot open it."""
    folder = Path(shutil.copytree(exported, os.fsdecode(os.fsencode(tmp_path / "mod") + b"\xe9l")))
    with pytest.raises(sltk.UsageError, match="opens only files whose path is valid UTF-8"):
        sltk.load(folder)


@given(lengths=st.lists(st.integers(1, 500), max_size=60))
def test_batches_hold_every_window_once_and_little_padding(lengths: list[int]) -> None:
    """At most a twentieth of the tokens, or 16, are added as padding."""
    groups = list(similar_lengths(lengths))
    assert sorted(position for group in groups for position in group) == list(range(len(lengths)))
    for group in groups:
        own = [lengths[position] for position in group]
        assert max(own) * len(own) - sum(own) <= max(16, sum(own) / 20)
    rows = [[1] * length for length in lengths[:5]]
    if rows:
        assert padded(rows).sum() == sum(map(len, rows))


def test_predict_and_evaluate_import_neither_torch_nor_transformers(
    exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One process labels a text and scores a file, and lists the packages that it has imported.

    Nor does onnxruntime keep events for its makers, which it does by default, except in continuous integration.
    """
    text, data = tmp_path / "text.txt", tmp_path / "data.conll"
    text.write_text("the soup was awful\n")
    data.write_text("the O\nsoup B-dish\n\nInes O\n")
    code = f"""
import sys
from sltk.cli import main
from sltk.components.backbones.local_tokenizer import TRAINED_SPECIAL
assert main(["predict", {str(exported)!r}, {str(text)!r}, "--output", {str(tmp_path / "out.jsonl")!r}]) == 0
assert main(["evaluate", {str(exported)!r}, "--data", {str(data)!r}, "--reader", "conll", "--json"]) == 0
print(sorted({{"torch", "transformers", "peft", "accelerate", "onnx", "datasets"}} & sys.modules.keys()))
"""
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    own = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "OMP_NUM_THREADS") if name in os.environ}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env={**own, **home})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert json.loads(done.stdout.rpartition("[]")[0])["words"] == 3
    assert {path.name for path in tmp_path.iterdir()} <= {"text.txt", "data.conll", "out.jsonl", "cache"}
    assert {path.name for path in (tmp_path / "cache").glob("*")} <= {"sltk"}


def test_a_model_that_needs_torch_says_so_without_it() -> None:
    """A small installation runs ONNX exports only; other models name the missing package."""
    run = ROOT / "tests" / "stored_runs" / "tagger"
    code = f"""
import sys
sys.modules["torch"] = None
from sltk.cli import main
raise SystemExit(main(["predict", {str(run)!r}, {str(ROOT / "README.md")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "\nerror: the package `torch` is not installed\n" in done.stderr


def test_a_missing_onnxruntime_is_an_error_with_the_command_that_installs_it(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The extra is named; nothing has been labelled."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, printed = answer(capsys, "predict", str(exported), str(ROOT / "README.md"))
    assert code == 2
    assert "needs the package `onnxruntime`: pip install 'sltk[onnx]'" in printed


@pytest.mark.parametrize("with_manifest", [True, False], ids=["manifest", "no manifest"])
@pytest.mark.parametrize("name", damage.DAMAGE)
def test_any_damage_to_any_file_is_an_error_that_names_it(
    exported: Path, tmp_path: Path, name: str, with_manifest: bool
) -> None:
    """Without a manifest, a flipped bit may not be seen."""
    before = sltk.load(exported).predict(onnx_folder.TEXTS)
    for file in damage.files(exported):
        folder = Path(shutil.copytree(exported, tmp_path / file.replace("/", "-")))
        if not with_manifest:
            (folder / manifest.NAME).unlink()
            if file == manifest.NAME:
                continue
        damage.DAMAGE[name](folder / file)
        error = None
        try:
            sltk.load(folder).predict(onnx_folder.TEXTS)
        except sltk.InputError as raised:
            error = str(raised)
        if error is None:
            assert (name == "bit flipped" and not with_manifest) or (file, name) == (manifest.NAME, "deleted")
        else:
            assert Path(file).name in error
            assert before


def _without_mask(model: Any) -> None:
    del model.graph.input[1]
    del model.graph.node[:2]


def _other_output(model: Any) -> None:
    model.graph.node[-1].output[0] = model.graph.output[0].name = "scores"


def _float_ids(model: Any) -> None:
    model.graph.input[1].type.tensor_type.elem_type = 1
    del model.graph.node[1]
    model.graph.node[0].attribute[0].i = 7


def _flat_ids(model: Any) -> None:
    del model.graph.input[0].type.tensor_type.shape.dim[1]
    del model.graph.output[0].type.tensor_type.shape.dim[1]


def _custom_operator(model: Any) -> None:
    from onnx import helper

    model.graph.node[-1].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def _unknown_operator(model: Any) -> None:
    model.graph.node[-1].op_type = "Divine"


def _four_labels(model: Any) -> None:
    from onnx import numpy_helper

    weights = numpy_helper.to_array(model.graph.initializer[0])[:, :4]
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "table"))
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 4


def _unknown_labels(model: Any) -> None:
    """Only a run shows how many labels the graph scores."""
    from onnx import helper, numpy_helper

    model.graph.node[-1].output[0] = "all"
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["attention_mask"], ["one"], keepdims=0),
            helper.make_node("Reshape", ["one", "shape"], ["start"]),
            helper.make_node("Slice", ["all", "start", "five", "two"], ["logits"]),
        ]
    )
    values = {"shape": [1], "five": [5], "two": [2]}
    model.graph.initializer.extend(numpy_helper.from_array(np.array(v), n) for n, v in values.items())
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_param = "labels"


def _not_numbers(model: Any) -> None:
    from onnx import numpy_helper

    weights = np.full_like(numpy_helper.to_array(model.graph.initializer[0]), np.nan)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "table"))


def _too_few_rows(model: Any) -> None:
    from onnx import numpy_helper

    weights = numpy_helper.to_array(model.graph.initializer[0])[:5]
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "table"))


GRAPHS: dict[str, tuple[Callable[[Any], None], str]] = {
    "no mask": (_without_mask, "it has the inputs `input_ids`, expected `input_ids`, `attention_mask`"),
    "another output": (_other_output, "it has the outputs `scores`, expected `logits`"),
    "another type": (
        _float_ids,
        "`attention_mask` is tensor(float) of rank 2, expected tensor(int64) of rank 2",
    ),
    "another rank": (_flat_ids, "`input_ids` is tensor(int64) of rank 1"),
    "another number of labels": (_four_labels, "it scores 4 labels, and sltk.json has 5"),
    "an unknown number of labels": (
        _unknown_labels,
        "its scores have the shape (2, 16, 4), expected (2, 16, 5)",
    ),
    "a custom operator": (
        _custom_operator,
        "damaged: com.example:Gather(-1) is not a registered function/op",
    ),
    "an unknown operator": (_unknown_operator, "Divine"),
    "scores that are not numbers": (_not_numbers, "its scores are not finite numbers"),
    "a vocabulary that is too small": (_too_few_rows, "indices element out of data bounds"),
}
"""Graphs that are not those of this folder: how they are made, and what the error says."""


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_does_not_fit_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Inputs, outputs, operators and scores that do not fit end the command with exit code 2 and one message."""
    change, message = GRAPHS[name]
    model = onnx_folder.graph(onnx_folder.table(onnx_folder.tokenizer().get_vocab_size()))
    change(model)
    folder = onnx_folder.write(tmp_path / "model", model)
    (tmp_path / "text").write_text(onnx_folder.TEXTS[0])
    code, printed = answer(capsys, "predict", str(folder), str(tmp_path / "text"))
    assert code == 2
    assert printed.count("error:") == 1
    assert "the file is damaged" in printed
    assert message in printed
    assert "model.onnx" in printed


def test_a_graph_that_needs_too_much_memory_is_an_error_about_memory(tmp_path: Path) -> None:
    """onnxruntime's error is not taken for damage of the file."""
    from onnx import helper, numpy_helper

    model = onnx_folder.graph(onnx_folder.table(onnx_folder.tokenizer().get_vocab_size()))
    model.graph.node[-1].output[0] = "scores"
    model.graph.node.extend(
        [
            helper.make_node("Shape", ["input_ids"], ["sizes"]),
            helper.make_node("Mul", ["sizes", "many"], ["huge"]),
            helper.make_node("ConstantOfShape", ["huge"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
            helper.make_node("Add", ["scores", "zero"], ["logits"]),
        ]
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([2**22, 2**22]), "many"))
    folder = onnx_folder.write(tmp_path / "model", model)
    with pytest.raises(sltk.RunError, match="out of memory while labelling batches of 4096 subwords"):
        sltk.load(folder).predict([onnx_folder.TEXTS[0]])


def external(folder: Path, location: str, **changes: Any) -> Path:
    """Write an export whose weights are in another file, at `location`."""
    from onnx import external_data_helper

    weights = onnx_folder.table(onnx_folder.tokenizer().get_vocab_size())
    model = onnx_folder.graph(weights)
    (tensor,) = model.graph.initializer
    external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    return onnx_folder.write(folder, model, data=weights.tobytes(), **changes)


def test_weights_may_be_in_a_second_file(tmp_path: Path, exported: Path) -> None:
    """onnxruntime maps `model.onnx.data` into memory; the result is the same, and its damage is noticed."""
    folder = external(tmp_path / "model", "model.onnx.data")
    assert sltk.load(folder).predict([LONG]) == sltk.load(exported).predict([LONG])
    damage.DAMAGE["bit flipped"](folder / "model.onnx.data")
    with pytest.raises(sltk.UsageError, match=r"its content is not what was saved[^$]*model\.onnx\.data"):
        sltk.load(folder)


@pytest.mark.parametrize("location", ["../secret", "model/../../secret", "{root}/secret", "link", "absent"])
def test_weights_outside_of_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    """A graph cannot read other files of this machine, neither by its path nor through a link."""
    weights = onnx_folder.table(onnx_folder.tokenizer().get_vocab_size())
    (tmp_path / "secret").write_bytes(weights.tobytes())
    folder = external(tmp_path / "model", location.format(root=tmp_path), with_manifest=False)
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(sltk.UsageError, match="the file is damaged: External data path validation failed"):
        sltk.load(folder)


def test_a_chain_of_tags_is_scored_with_its_transitions(tmp_path: Path) -> None:
    """`transitions.json` decides which tags follow each other; it must be there if the head is a CRF."""
    components = COMPONENTS | {"head": {"type": "crf"}}
    lone = onnx_folder.write(tmp_path / "lone", components=components)
    with pytest.raises(sltk.UsageError, match=r"is incomplete: transitions\.json missing"):
        sltk.load(lone)
    count = len(onnx_folder.LABELS)
    alternating = {
        "start": [0.0] * count,
        "pairs": [[0.0] * count for _ in range(count)],
        "end": [0.0] * count,
    }
    alternating["pairs"][3][4] = alternating["pairs"][4][4] = 50.0
    chain = onnx_folder.write(tmp_path / "chain", components=components, transitions=alternating)
    (prediction,) = sltk.load(chain).predict([["the", "soup", "was", "awful"]])
    assert prediction.tags[1:] == ["I-place"] * 3
    for wrong in (
        {},
        {**alternating, "end": [0.0]},
        {**alternating, "start": "high"},
        {**alternating, "end": [math.nan] * count},
    ):
        folder = onnx_folder.write(
            tmp_path / f"wrong-{len(str(wrong))}", components=components, transitions=wrong
        )
        with pytest.raises(sltk.UsageError, match=r"damaged: [^$]*transitions\.json"):
            sltk.load(folder)


DESCRIPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "another file": ({"onnx_file": "../model.onnx"}, "`onnx.file`: string should match pattern"),
    "a missing file": ({"onnx_file": "other.onnx"}, "other.onnx missing"),
    "no graph": ({"onnx": None}, "onnx missing"),
    "no tokens": ({"onnx_tokens": {}}, "`onnx.tokens.prefix`: field required"),
    "an unknown token": (
        {"onnx_tokens": {"prefix": [], "suffix": [], "unknown": 9999}},
        "`onnx.tokens` has token 9999, and tokenizer.json has no such token",
    ),
    "no aligner": (
        {"components": {"splitter": {"type": "regex"}, "head": {"type": "linear"}}},
        "components.aligner missing",
    ),
    "an unknown splitter": (
        {"components": COMPONENTS | {"splitter": {"type": "hyphen"}}},
        "unknown splitter `hyphen`",
    ),
    "an aligner of whole words": (
        {"components": COMPONENTS | {"aligner": {"type": "mean"}}},
        "scores subwords, and the aligner is `mean`",
    ),
    "too few vectors": ({"onnx_vectors": 3}, "the model has vectors for 3 tokens only"),
    "no room": ({"max_length": 2}, "no room for words"),
}
"""Changes of sltk.json, and what the error says."""


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_that_does_not_fit_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A wrong sltk.json ends the command with exit code 2 and one message."""
    changes, message = DESCRIPTIONS[name]
    folder = onnx_folder.write(tmp_path / "model", **changes)
    (tmp_path / "text").write_text(onnx_folder.TEXTS[0])
    code, printed = answer(capsys, "predict", str(folder), str(tmp_path / "text"))
    assert code == 2
    assert printed.count("error:") == 1
    assert message in printed


def test_an_onnx_export_is_not_exported_again(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has no weights that another format could hold."""
    code, printed = answer(capsys, "export", str(exported), str(tmp_path / "again"))
    assert code == 2
    assert "is an ONNX export" in printed
    assert not (tmp_path / "again").exists()
