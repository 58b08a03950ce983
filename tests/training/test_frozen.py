"""`freeze: true`: the vectors of the backbone are computed once and reused in every epoch."""

from __future__ import annotations

import math
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import TrainerCallback

import sltk
import tiny
from sltk import register
from sltk.components.slots import Aligner
from sltk.errors import UsageError
from sltk.nn.backbone import PackedBackbone
from sltk.nn.batching import pack
from sltk.nn.frozen_vectors import FrozenVectors, TrainingVectors
from sltk.nn.mask_flags import MaskSwitch
from sltk.preview.estimate import estimate_run
from sltk.runtime import run_cache
from sltk.runtime.progress import Progress
from sltk.spec import loading
from sltk.subwords.samples import Sample
from sltk.subwords.tokenization import Encoding, Window
from sltk.training import frozen_training
from sltk.training.frozen_training import FrozenTraining

DROPOUT = {"type": "linear", "dropout": 0.2}


def spec(trainer: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Three epochs of a head with dropout on a frozen decoder, with validation after each."""
    settings = {"epochs": 3, **(trainer or {})}
    frozen = {"backbone": tiny.backbone(freeze=True), "data": tiny.all_splits(), "head": DROPOUT}
    return tiny.spec(settings, **{**frozen, **changes})


def head(run: Path) -> dict[str, Tensor]:
    return {name: value for name, value in tiny.weights(run).items() if name.startswith("model/")}


def assert_equal(left: Path, right: Path) -> None:
    """The trained weights have the same bits."""
    assert head(left).keys() == head(right).keys() != set()
    assert all(torch.equal(value, head(right)[name]) for name, value in head(left).items())


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of subwords of each forward pass of a backbone."""
    counted: list[int] = []
    original = PackedBackbone.forward

    def forward(self: PackedBackbone, ids_T: Tensor, packing: Any) -> Tensor:
        counted.append(len(ids_T))
        return original(self, ids_T, packing)

    monkeypatch.setattr(PackedBackbone, "forward", forward)
    return counted


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("frozen") / "run"
    sltk.train(spec(), run)
    return run


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_each_sentence_is_computed_once(tmp_path: Path, passes: list[int], once: Path) -> None:
    """One pass each over the training, validation and test data, however many epochs; a note has the size."""
    progress = Notes()
    metrics = sltk.train(spec(), tmp_path / "run", progress=progress)
    assert len(passes) == 3
    (note,) = [note for note in progress.notes if note.startswith("frozen backbone")]
    assert note == (
        "frozen backbone: the vectors of 310 words are computed once (0 MiB, in memory) and reused in every epoch"
    )
    assert metrics["train"]["words"] == 3 * 310
    passes.clear()
    sltk.train(spec({"reuse_frozen": False}), tmp_path / "anew")
    assert len(passes) == 3 * 3 + 3 + 1
    for name, value in head(tmp_path / "anew").items():
        torch.testing.assert_close(value, head(once)[name], rtol=0, atol=1e-5)
    passes.clear()
    sltk.train(spec({"epochs": 1}), tmp_path / "one")  # nothing to reuse
    assert len(passes) == 3 + 1 + 1


def test_vectors_computed_anew_in_every_epoch_give_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, once: Path
) -> None:
    """Reuse changes no bit, since the batches in which vectors are computed depend on nothing but the samples."""

    def on_epoch_begin(self: FrozenTraining, *arguments: Any, **_: Any) -> None:
        self._kept = FrozenVectors(tmp_path, 2**20)
        self.on_train_begin(*arguments)

    monkeypatch.setattr(FrozenTraining, "on_epoch_begin", on_epoch_begin)
    sltk.train(spec(), tmp_path / "run")
    assert_equal(tmp_path / "run", once)


class Stop(TrainerCallback):  # type: ignore[misc]
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 5:
            raise KeyboardInterrupt


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, once: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec(), tmp_path / "run", callbacks=[Stop()])
    sltk.train(spec(), tmp_path / "run", resume=True)
    assert_equal(tmp_path / "run", once)


def test_a_file_gives_the_same_model_as_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, once: Path
) -> None:
    """The file has no name, so it does not stay behind."""
    kept: list[FrozenVectors] = []
    monkeypatch.setattr(frozen_training, "VECTORS_IN_MEMORY", 0)
    original = FrozenVectors.__init__

    def watched(self: FrozenVectors, *arguments: Any) -> None:
        kept.append(self)
        original(self, *arguments)

    monkeypatch.setattr(FrozenVectors, "__init__", watched)
    progress = Notes()
    sltk.train(spec(), tmp_path / "run", progress=progress)
    assert_equal(tmp_path / "run", once)
    assert kept[0].is_on_disk
    assert any("in a temporary file) and reused" in note for note in progress.notes)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {path.name for path in once.iterdir()}


def test_a_disk_that_is_too_small_is_an_error_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen_training, "VECTORS_IN_MEMORY", 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(
        UsageError, match=r"the vectors of the frozen backbone need 0 MiB, .* has 1 MiB free"
    ) as error:
        sltk.train(spec(), tmp_path / "run")
    assert "trainer.reuse_frozen: false" in str(error.value.problems[0].notes)


def test_check_shows_the_size_of_the_vectors() -> None:
    """Per 100,000 words, because the data has not been read."""
    loaded = loading.load(spec()).spec
    found = estimate_run(loaded)
    assert found is not None
    assert (found.frozen_cpu_bytes, found.frozen_gpu_bytes) == (100_000 * 32 * 4, 100_000 * 32 * 4)
    row = (
        "about 12 MiB per 100,000 words on a GPU, 12 MiB on a CPU, in main memory, above 1.0 GiB in a temporary file "
        "in the run directory"
    )
    assert ("word vectors", row) in list(found.rows())
    for changes in ({"epochs": 1}, {"reuse_frozen": False}):
        other = estimate_run(loading.load(spec(changes)).spec)
        assert other is not None
        assert other.frozen_cpu_bytes is None


@register.aligner("test_frozen_scaled")
class ScaledAligner(Aligner):
    """The first subword, times a trained weight."""

    def build(self) -> nn.Module:
        return Scaled()


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, vectors_TH: Tensor, first_W: Tensor, last_W: Tensor) -> Tensor:
        return vectors_TH.index_select(0, first_W) * self.scale + vectors_TH.index_select(0, last_W)


@pytest.mark.parametrize(
    "changes",
    [
        {"aligner": {"type": "mean"}, "max_length": 12},
        {"aligner": {"type": "test_frozen_scaled"}, "max_length": 12},
        {"backbone": tiny.backbone(type="encoder", config=tiny.BERT, unmask="all", freeze=True)},
        {"head": {"type": "crf"}, "document_context": 1},
    ],
    ids=["mean of windows", "trained aligner", "encoder with dropout", "crf with context"],
)
def test_reuse_gives_the_model_without_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Up to rounding: without reuse, vectors are computed in the batches of the updates, also without dropout."""
    for reuse in (True, False):
        sltk.train(spec({"reuse_frozen": reuse}, **changes), tmp_path / str(reuse))
    reused, anew = head(tmp_path / "True"), head(tmp_path / "False")
    assert reused.keys() == anew.keys()
    for name, value in anew.items():
        torch.testing.assert_close(reused[name], value, rtol=0, atol=1e-5)
    if changes.get("aligner") == {"type": "test_frozen_scaled"}:
        assert float(next(value for name, value in reused.items() if name.endswith("scale"))) != 1


def samples() -> list[Sample]:
    """Ten sentences of one to three windows."""
    made = []
    for number in range(10):
        windows = [Window(list(range(4 + number + i)), [1, 2], [1, 3]) for i in range(1 + number % 3)]
        made.append(Sample(Encoding(windows, 2 * len(windows)), [0] * 2 * len(windows), number))
    return made


@pytest.mark.parametrize("by_word", [True, False])
def test_several_processes_share_the_work_and_get_the_same_vectors(tmp_path: Path, by_word: bool) -> None:
    """Each batch is computed by one of them; the vectors are those of a single process."""

    def compute(batch: Any) -> Tensor:
        ids = batch["ids_T"] if not by_word else batch["ids_T"].index_select(0, batch["first_W"])
        return torch.stack([ids.float(), torch.full(ids.shape, float(len(batch["ids_T"])))], dim=1)

    alone, batches = TrainingVectors(samples(), 30, by_word=by_word), 0

    def counted(batch: Any) -> Tensor:
        nonlocal batches
        batches += 1
        return compute(batch)

    alone.compute(FrozenVectors(tmp_path, 2**20), (True,), counted, lambda own: [own], 0)
    both: list[Any] = [None, None]
    counts, meeting, finished = [0, 0], threading.Barrier(2), {}

    def work(rank: int) -> None:
        def exchange(own: Tensor) -> list[Tensor]:
            both[rank] = own
            counts[rank] += 1
            meeting.wait(timeout=10)
            result = list(both)
            meeting.wait(timeout=10)
            return result

        vectors = TrainingVectors(samples(), 30, by_word=by_word)
        vectors.compute(FrozenVectors(tmp_path, 2**20), (True,), compute, exchange, rank)
        finished[rank] = vectors

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts[0] == counts[1] == math.ceil(batches / 2)
    chosen = [samples()[number] for number in (7, 2, 5)]
    key = "vectors_WH" if by_word else "vectors_TH"
    expected = alone.collate(chosen)[key]
    assert expected[:, 0].tolist() == compute(pack(chosen))[:, 0].tolist()  # in the order of the batch
    assert all(torch.equal(finished[rank].collate(chosen)[key], expected) for rank in range(2))


class ChangedMask(TrainerCallback):  # type: ignore[misc]
    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        MaskSwitch(model.backbone).set((True, True))


def test_a_mask_that_changes_during_training_is_refused(tmp_path: Path) -> None:
    """The vectors would be those of another mask; without reuse, the mask may change."""
    with pytest.raises(RuntimeError, match="computed under another mask"):
        sltk.train(spec(), tmp_path / "run", callbacks=[ChangedMask()])
    sltk.train(spec({"reuse_frozen": False, "max_steps": 4}), tmp_path / "anew", callbacks=[ChangedMask()])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    sltk.train(tiny.spec({"max_steps": 1}), tmp_path / "base")
    return tmp_path / "base/model/base"


def test_runs_of_a_sweep_share_the_vectors(tmp_path: Path, passes: list[int], base: Path) -> None:
    """The second run computes those of the test data only, and equals the run alone; another mask shares nothing."""

    def of(rate: float, unmask: str = "01") -> dict[str, Any]:
        tokenizer = {"tokenizer": str(base.parent / "tokenizer")}
        backbone = {"type": "decoder", "name": str(base), "freeze": True, "unmask": unmask, **tokenizer}
        return spec({"learning_rate": rate}, backbone=backbone)

    with run_cache.enabled():
        sltk.train(of(0.01), tmp_path / "1")
        passes.clear()
        sltk.train(of(0.02), tmp_path / "2")
        assert len(passes) == 1
        passes.clear()
        sltk.train(of(0.02, "11"), tmp_path / "3")
        assert len(passes) == 3
    run_cache.clear()
    sltk.train(of(0.02), tmp_path / "alone")
    assert_equal(tmp_path / "2", tmp_path / "alone")
