"""Heads whose spans may overlap, on each kind of backbone: batches, storage and gradients, with random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

import tiny
import untrained
from sltk.components.readers.grammar import GrammarReader
from sltk.data import datasets
from sltk.models import tagging
from sltk.models.labeller import Labeller
from sltk.models.tagger_model import TaggerModel
from sltk.nn.batching import Batch, pack
from sltk.nn.padded_tagger import PaddedTagger
from sltk.runtime.progress import Progress
from sltk.subwords.samples import Sample

FOUR = {**tiny.LLAMA, "num_hidden_layers": 4}
HEADS: dict[str, dict[str, Any]] = {
    "mlp": {"type": "span", "size": 8, "overlap": "any", "combinations": [["negative", "positive"]]},
    "biaffine": {"type": "span", "size": 4, "scorer": "biaffine"},
    "layered": {"type": "layered", "layers": 3},
}
BACKBONES: dict[str, dict[str, Any]] = {
    "repeated": {"repeat": 1, "unmask": "none"},
    "unmasked": {"unmask": "0011", "config": FOUR},
    "first blocks": {"unmask": "011", "blocks": 3, "config": FOUR},
    "LoRA": {"unmask": "01", "lora": {"r": 2}},
}
CASES = [
    (head, backbone)
    for backbone in BACKBONES
    for head in ("biaffine" if backbone == "first blocks" else "mlp", "layered")
]
SENTENCES = datasets.load(GrammarReader(part="test", count=64), "layers")


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TaggerModel:
    """A model with random weights."""
    head, name = request.param
    backbone = tiny.backbone(**BACKBONES[name])
    if name == "LoRA":
        backbone["name"] = str(tiny.save_base(tmp_path_factory.mktemp("base")))
        for key in ("init", "config", "tokenizer"):
            del backbone[key]
    built = untrained.build(backbone, noise=0.4, head=HEADS[head])
    built.network.eval()
    return built


def samples(model: TaggerModel, count: int = 5) -> list[Sample]:
    return tagging.encode(replace(SENTENCES, sentences=SENTENCES.sentences[:count]), model, Progress())


def emissions(model: TaggerModel, *batches: Batch) -> Tensor:
    with torch.no_grad():
        return model.network.emissions(batches)


def padded(model: TaggerModel, own: list[Sample]) -> Tensor:
    """The scores of the first subword of each word, in a batch with padding."""
    windows = [window for sample in own for window in sample.encoding.windows]
    ids = [torch.tensor(window.ids) for window in windows]
    mask = pad_sequence([torch.ones_like(each) for each in ids], batch_first=True)
    tagger = PaddedTagger(model.network).eval()
    with torch.no_grad():
        scores = tagger(pad_sequence(ids, batch_first=True), mask)
    tagger.release()
    return torch.cat([row[window.first] for row, window in zip(scores, windows, strict=True)])


def test_scores_are_those_of_each_sentence_alone_and_with_padding(model: TaggerModel) -> None:
    """Packed, alone and in a padded batch, words have the same scores."""
    own = samples(model)
    packed = emissions(model, pack(own))
    alone = emissions(model, *(pack([sample]) for sample in own))
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed, padded(model, own), atol=1e-5, rtol=1e-5)
    assert len(packed.unique(dim=0)) > 10


def test_predictions_do_not_depend_on_the_batch(model: TaggerModel) -> None:
    """64 sentences one by one and together have the same tags and spans."""
    words = [sentence.words for sentence in SENTENCES]
    alone, together = (Labeller(model, batch_tokens=size).predict(words) for size in (1, 10**6))
    assert [each.tags for each in alone] == [each.tags for each in together]
    assert [each.spans for each in alone] == [each.spans for each in together]
    assert any(each.spans for each in together)


def test_the_loss_is_that_of_the_sentences_and_reaches_what_is_trained(model: TaggerModel) -> None:
    """The loss of a batch adds up that of its sentences; every trained weight of the backbone has a gradient."""
    own, network = samples(model), model.network
    words = sum(sample.encoding.words for sample in own)
    losses = [
        network(**pack(part), num_items_in_batch=words)["loss"] for part in [own, *([each] for each in own)]
    ]
    torch.testing.assert_close(losses[0], torch.stack(losses[1:]).sum(), atol=1e-5, rtol=1e-5)
    network.zero_grad()
    losses[0].backward()
    trained = [each for each in network.backbone.parameters() if each.requires_grad]
    assert trained
    assert all(each.grad is not None and each.grad.any() for each in trained)


def test_a_loaded_model_has_the_same_scores(model: TaggerModel, tmp_path: Path) -> None:
    """Storing and loading change no bit of the scores, and adapters stay adapters if they are not merged."""
    tagging.save(model, tmp_path / "model", tmp_path / "no-imports")
    loaded = tagging.load(tmp_path / "model", merge=False)
    assert loaded.head == model.head
    assert torch.equal(emissions(loaded, pack(samples(loaded))), emissions(model, pack(samples(model))))
