"""A run on several corpora: partly labelled training data, scores by corpus, resuming, reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

import sltk
import tiny
from sltk.cli import main
from sltk.components.heads import CrfHead, LinearHead, MlpHead
from sltk.errors import SpecError
from sltk.models import evaluation, tagging
from sltk.models.partial_scoring import by_corpus
from sltk.nn.batching import batch_on, pack
from sltk.nn.frozen_vectors import FrozenVectors, TrainingVectors
from sltk.preview.audit import audit
from sltk.reports.arrangement import arrange
from sltk.reports.comparability import differences
from sltk.reports.discovery import collect
from sltk.reports.result_tables import corpus_table
from sltk.reports.run_records import Arm
from sltk.runtime.progress import Progress
from sltk.spec import loading
from sltk.subwords.samples import by_token_budget

PEOPLE = "Ann B-PER\nBerg I-PER\nleft O\nOslo O\n\nthe O\nmenu O\n\nBob B-PER\nsaw O\nAnn B-PER\n\n"
PLACES = "in O\nOslo B-PLACE\nor O\nNew B-PLACE\nYork I-PLACE\n\nAnn O\nsaw O\nRome B-PLACE\n\nnothing O\n\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("corpora")
    (folder / "people.conll").write_text(PEOPLE * 3, encoding="utf-8")
    (folder / "places.conll").write_text(PLACES * 2, encoding="utf-8")

    def concat(**weights: Any) -> dict[str, Any]:
        people = {"name": "people", "reader": {"type": "conll", "path": str(folder / "people.conll")}}
        places = {
            "name": "places",
            "reader": {"type": "conll", "path": str(folder / "places.conll")},
            "labels": {"PLACE": "LOC"},
        }
        return {"type": "concat", "sources": [people, places | weights]}

    return {"train": concat(weight=1.5), "validation": concat(), "test": concat()}


def spec(data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Two epochs of 18 sentences in updates of 2 x 4, with a checkpoint every two updates."""
    trainer = {
        "epochs": 2,
        "batch_size": 4,
        "gradient_accumulation": 2,
        "save_every": 2,
        "learning_rate": 0.02,
    }
    return tiny.spec(trainer, data=data, **{"head": {"type": "crf"}, **changes})


@pytest.fixture(scope="module")
def trained(
    data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tiny.RecordingProgress]:
    run, progress = tmp_path_factory.mktemp("runs") / "run", tiny.RecordingProgress()
    sltk.train(spec(data), run, progress=progress)
    return run, progress


def test_what_is_read_is_reported(trained: tuple[Path, tiny.RecordingProgress]) -> None:
    """Notes say what each corpus annotates and how many of its sentences an epoch reads."""
    notes = trained[1].notes
    assert "  people: 9 sentences, 27 words, 9 spans; annotates PER" in notes
    assert "train: each epoch reads 18 sentences, from 15:" in notes
    assert "train:   places: 9 of 6 (each 1.50 times, 50.0% of the epoch)" in notes
    metrics = json.loads((trained[0] / "metrics.json").read_text())
    assert metrics["train"]["steps"] == 2 * 3


def test_scores_of_corpora_add_up(trained: tuple[Path, tiny.RecordingProgress]) -> None:
    """Each corpus has the same scores as the whole split, whose counts are their sums; no hidden type is scored."""
    metrics = json.loads((trained[0] / "metrics.json").read_text())
    for split in ("validation", "test"):
        scores = metrics[split]
        assert scores["corpora"].keys() == {"people", "places"}
        for key in ("support", "predicted", "correct", "sentences", "words"):
            assert scores[key] == sum(part[key] for part in scores["corpora"].values())
        assert scores["corpora"]["people"]["per_type"].keys() == {"PER"}
        assert scores["corpora"]["places"]["per_type"].keys() == {"LOC"}


def test_evaluate_gives_the_scores_of_training(
    trained: tuple[Path, tiny.RecordingProgress], capsys: pytest.CaptureFixture[str]
) -> None:
    """`sltk evaluate` reads a split alone and gives its scores, which `sltk score` computes from the predictions."""
    run = trained[0]
    expected = json.loads((run / "metrics.json").read_text())["test"]
    assert main(["evaluate", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected
    assert main(["score", str(run / "predictions" / "test.conll"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predicted"] == expected["predicted"]
    assert main(["evaluate", str(run)]) == 0
    table = capsys.readouterr().out
    assert "corpora" in table
    assert "places" in table


def test_a_resumed_run_ends_the_same(
    data: dict[str, Any], trained: tuple[Path, tiny.RecordingProgress], tmp_path: Path
) -> None:
    """Resuming in the middle of the second epoch gives the same weights, bit for bit."""

    class Stop(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 5:
                raise RuntimeError("stopped")

    run, progress = tmp_path / "run", tiny.RecordingProgress()
    with pytest.raises(RuntimeError, match="stopped"):
        sltk.train(spec(data), run, callbacks=[Stop()])
    sltk.train(spec(data), run, resume=True, progress=progress)
    assert progress.start == (6, 4)
    assert tiny.same_weights(trained[0], run)


def test_reports_show_corpora(trained: tuple[Path, tiny.RecordingProgress], tmp_path: Path) -> None:
    """`sltk report` has a table of corpora, also from records."""
    table = corpus_table(arrange(collect([trained[0]]).records)[0])
    assert table is not None
    assert table.columns == ("configuration", "people", "places", "all")


def test_arms_may_differ_in_their_use_of_corpora(trained: tuple[Path, tiny.RecordingProgress]) -> None:
    """Arms that differ in what they make of the same training text can be compared; those on other text cannot."""
    record = collect([trained[0]]).records[0].model_copy(update={"arm": Arm()})

    def other(source: dict[str, Any], **reader: Any) -> Any:
        train = record.data["train"]["reader"]
        sources = [train["sources"][0] | source, *train["sources"][1:]]
        return record.model_copy(
            update={"data": record.data | {"train": {"reader": train | {"sources": sources} | reader}}}
        )

    assert (
        differences(record, other({"annotates": "all", "weight": 2, "labels": {"PER": "X"}}, temperature=5))
        == []
    )
    assert (
        differences(*(run.model_copy(update={"arm": None}) for run in (record, other({"annotates": "all"}))))
        != []
    )
    assert differences(record, other({"reader": {"type": "conll", "path": "other.conll"}})) != []


def test_hidden_predictions_are_not_scored(data: dict[str, Any], trained: tuple[Path, Any]) -> None:
    """Predicted spans of a type that the corpus does not annotate are left out and counted, by stream and in memory."""
    model = sltk.load(trained[0]).model
    sentences = tagging.load_splits(loading.load(spec(data)).spec)["test"].sentences
    wrong = [
        sltk.Prediction(s, ["B-LOC"] + ["O"] * (len(s) - 1), spans=[sltk.Span(0, 1, "LOC")])
        for s in sentences
    ]
    fair = [evaluation.scorable(each, model.labels) for each in wrong]
    people, places = by_corpus(fair).values()
    assert all(each.tags == ["O"] * len(each.words) and not each.spans for each in people)
    assert all(each.tags[0] == "B-LOC" for each in places)
    metrics = loading.load(spec(data)).spec.metrics
    scores = evaluation.split_scores(model, metrics, "IOB2", fair)
    assert scores["unscored"] == scores["corpora"]["people"]["unscored"] == {"LOC": len(people)}
    assert scores["predicted"] == len(places)
    assert evaluation.streamed_scores(model, metrics, "IOB2", iter(fair)) == scores


HEADS = [LinearHead(dropout=0.0), MlpHead(hidden=[8], dropout=0.0), CrfHead(dropout=0.0)]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.type_name)
def test_the_loss_does_not_depend_on_batches(data: dict[str, Any], head: Any) -> None:
    """The gradient of an update is the same for any passes, in windows, and with the vectors of a frozen backbone."""
    experiment = loading.load(
        spec(data, max_length=3, head=head.model_dump(), backbone=tiny.backbone(freeze=True))
    ).spec
    training = tagging.load_splits(experiment)["train"]
    model = tagging.build(experiment, training)
    samples = tagging.encode(training, model, Progress())
    assert any(len(sample.encoding.windows) > 1 for sample in samples)
    words = sum(len(sample.tags) for sample in samples)

    def gradient(batches: list[Any]) -> torch.Tensor:
        model.network.zero_grad()
        for batch in batches:
            model.network(**batch_on(batch, torch.device("cpu")), num_items_in_batch=words)["loss"].backward()
        return torch.cat([p.grad.flatten() for p in model.network.head.parameters() if p.grad is not None])

    whole = gradient([pack(samples)])
    small = [[samples[n] for n in group] for group in by_token_budget([s.tokens for s in samples], 12)]
    assert len(small) > 5
    assert torch.allclose(gradient([pack(each) for each in small]), whole, atol=1e-6)
    vectors = TrainingVectors(samples, 64, by_word=True)
    flags = tuple(model.network.backbone.flags)
    vectors.compute(
        FrozenVectors(Path("."), 2**20),
        flags,
        lambda batch: model.network.frozen_vectors(batch),
        lambda own: [own],
        0,
    )
    batch = vectors.collate(samples)
    assert "allowed_WL" in batch
    assert torch.allclose(gradient([batch]), whole, atol=1e-6)


def test_a_head_without_the_parameter_is_refused(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A custom head whose loss does not take allowed tags is one error before training."""
    from sltk.nn.softmax_head import SoftmaxHead

    experiment = loading.load(spec(data, head={"type": "linear"})).spec
    training = tagging.load_splits(experiment)["train"]
    model = tagging.build(experiment, training)
    monkeypatch.setattr(SoftmaxHead, "loss", lambda self, vectors_WH, tags_W, lengths_S: vectors_WH.sum())
    with pytest.raises(SpecError, match="head `linear` cannot be trained on partly labelled sentences"):
        tagging.encode(training, model, Progress())


def test_layers_are_refused_before_a_model_is_loaded(data: dict[str, Any], tmp_path: Path) -> None:
    """A hidden span would move known ones to other layers: one error at `head`, which names the head `span`."""
    (tmp_path / "spec.yaml").write_text(json.dumps(spec(data, head={"type": "layered"})), encoding="utf-8")
    absent = loading.load(
        spec(data, head={"type": "layered"}, backbone={"type": "decoder", "name": "absent/model"})
    )
    for refused in (
        lambda: tagging.build(absent.spec, tagging.load_splits(absent.spec)["train"]),
        lambda: audit(loading.load(tmp_path / "spec.yaml")),
    ):
        with pytest.raises(SpecError, match="head `layered` cannot be trained on partly labelled") as error:
            refused()
        (problem,) = error.value.problems
        assert problem.path == "head"
        assert "`head: {type: span}`" in " ".join(problem.notes)


def test_models_that_generate_are_refused(data: dict[str, Any], tmp_path: Path) -> None:
    """`type: instruct` cannot be trained on partly labelled sentences: one error at `type`."""
    instruct = {"instruction": "Find names.", "options": {"PER": "person", "LOC": "place"}}
    values = tiny.spec(data=data, type="instruct", instruct=instruct, backbone=tiny.backbone(unmask="none"))
    del values["head"]
    with pytest.raises(SpecError, match="cannot be trained on partly labelled") as error:
        sltk.train(values, tmp_path / "run")
    assert error.value.problems[0].path == "type"
