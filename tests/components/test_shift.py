"""`shift: -1`: the built-in aligners read the vectors of words one subword earlier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

import sltk
import tiny
import tokenizer_kinds
import untrained
from sltk.components.aligners.subword import shift_of
from sltk.components.registry import registry
from sltk.components.slots import Aligner
from sltk.extend import register
from sltk.models.tagger_model import TaggerModel
from sltk.nn.batching import pack
from sltk.nn.padded_tagger import PaddedTagger
from sltk.preview.run_preview import LabellingPreview
from sltk.run import load
from sltk.spec import loading
from sltk.subwords import token_cache
from sltk.subwords.samples import Sample
from sltk.subwords.tokenization import SubwordEncoder
from sltk.types import Sentence

WORDS = [
    ["soupssx", "awful"],
    ["awful", "soup", "unbelievably"],
    ["the", "bread", "was", "extraordinarily", "plain"],
]
SENTENCES = [Sentence(words, document="1") for words in WORDS]
BUILT_IN = ("first_subword", "last_subword", "mean", "first_last", "max")
POOLED = {
    "first_subword": lambda word: word[0],
    "last_subword": lambda word: word[-1],
    "mean": lambda word: word.mean(0),
    "first_last": lambda word: (word[0] + word[-1]) / 2,
    "max": lambda word: word.amax(0),
}


@register.aligner("test_unshifted")
class _Unshifted(Aligner):
    """A custom aligner, with a field of the same name that means something else."""

    shift: int = 7

    def build(self) -> nn.Module:
        """Read the first subword."""
        return _FirstSubword()


class _FirstSubword(nn.Module):
    def forward(self, vectors_TH: Tensor, first_W: Tensor, last_W: Tensor) -> Tensor:
        return vectors_TH.index_select(0, first_W)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained tagger with random weights that reads words one subword earlier."""
    made = tmp_path_factory.mktemp("shift")
    tokenizer_kinds.build("smollm").save_pretrained(made / "tokenizer")
    backbone = tiny.backbone(tokenizer=str(made / "tokenizer"))
    return untrained.save(made / "model", backbone, aligner={"type": "mean", "shift": -1})


def model_with(folder: Path, **aligner: Any) -> TaggerModel:
    """The model of the fixture below another aligner."""
    stored = load(folder).model
    assert isinstance(stored, TaggerModel)
    spec = registry.find("aligner", aligner.pop("type"))(**aligner)
    assert isinstance(spec, Aligner)
    stored.aligner = spec
    stored.network.aligner = spec.build()
    stored.__post_init__()
    return stored


def word_vectors(model: TaggerModel, sentences: list[Sentence]) -> Tensor:
    """The vectors of the words of a packed batch, in the order of the batch."""
    samples = [Sample(encoding, [0] * encoding.words) for encoding in model.encoder.encode(sentences)]
    batch = pack(samples)
    with torch.inference_mode():
        return model.network.word_vectors(batch["ids_T"], batch["packing"], batch["first_W"], batch["last_W"])


@pytest.mark.parametrize("name", BUILT_IN)
def test_words_are_read_one_subword_earlier(folder: Path, name: str) -> None:
    """Alone and in a batch: each subword of a word is read one earlier; the first of the input is read itself."""
    shifted = model_with(folder, type=name, shift=-1)
    plain = SubwordEncoder(shifted.network.backbone.tokenizer, shifted.spacing)
    expected = {}
    for sentence, encoding in zip(SENTENCES, plain.encode(SENTENCES), strict=True):
        (window,) = encoding.windows
        assert window.first[0] == 0  # this tokenizer adds no token before the first word
        assert any(first < last for first, last in zip(window.first, window.last, strict=True))
        sample = Sample(encoding, [0] * encoding.words)
        batch = pack([sample])
        with torch.inference_mode():
            vectors_TH = shifted.network.backbone(batch["ids_T"], batch["packing"])
        rows = [
            POOLED[name](vectors_TH[max(0, first - 1) : max(0, last - 1) + 1])
            for first, last in zip(window.first, window.last, strict=True)
        ]
        expected[len(window.ids)] = torch.stack(rows)
        torch.testing.assert_close(word_vectors(shifted, [sentence]), expected[len(window.ids)])
    by_length = torch.cat([expected[length] for length in sorted(expected)])  # the order of a batch
    torch.testing.assert_close(word_vectors(shifted, SENTENCES), by_length, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(word_vectors(model_with(folder, type=name), SENTENCES), by_length, atol=1e-3)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_graph_of_an_export_gives_the_scores_of_the_model(folder: Path, name: str) -> None:
    """It takes the positions of the subwords themselves, and shifts what it reads."""
    model = model_with(folder, type=name, shift=-1)
    with torch.inference_mode():
        packed_WC = model.network.head.emissions(word_vectors(model, SENTENCES[:1]))
    plain = SubwordEncoder(model.network.backbone.tokenizer, model.spacing)
    (window,) = plain.encode(SENTENCES[:1])[0].windows
    tagger = PaddedTagger(model.network, shift=-1).eval()
    ids_BT = torch.tensor([[*window.ids, 1, 1], [*window.ids, 1, 1]])
    mask_BT = (torch.arange(ids_BT.shape[1]) < len(window.ids)).long().expand(2, -1)
    first, last = torch.tensor([window.first] * 2), torch.tensor([window.last] * 2)
    positions = (first, last) if tagger.labels_words else ()
    with torch.inference_mode():
        scores = tagger(ids_BT, mask_BT, *positions)[1]
    if not tagger.labels_words:
        scores = scores[(last if name == "last_subword" else first)[1]]
    tagger.release()
    torch.testing.assert_close(scores, packed_WC, rtol=1e-4, atol=1e-5)


def test_the_token_before_a_word_may_be_special_or_context(folder: Path) -> None:
    """With a BOS the first word reads it; in document context, the last subword of the sentence before."""
    bare, with_bos = tokenizer_kinds.build("smollm"), tokenizer_kinds.build("llama2")
    for tokenizer, context, before in ((bare, 0, 0), (with_bos, 0, 1), (bare, 8, 5), (with_bos, 8, 6)):
        plain, shifted = (
            SubwordEncoder(tokenizer, document_context=context, shift=shift).encode(SENTENCES)[1].windows[0]
            for shift in (0, -1)
        )
        assert plain.ids == shifted.ids
        assert plain.first[0] == before
        assert shifted.first == [max(0, position - 1) for position in plain.first]
        assert shifted.last == [max(0, position - 1) for position in plain.last]


def test_words_of_later_windows_read_the_token_before_them(folder: Path) -> None:
    """A sentence in overlapping windows: only the first word of all has no token before it."""
    tokenizer = load(folder).model.network.backbone.tokenizer  # type: ignore[attr-defined]
    long = [Sentence(WORDS[2] * 4)]
    plain, shifted = (
        SubwordEncoder(tokenizer, max_length=24, shift=shift).encode(long)[0].windows for shift in (0, -1)
    )
    assert len(plain) > 2
    for number, (one, other) in enumerate(zip(plain, shifted, strict=True)):
        assert number == 0 or min(one.first) > 0
        assert other.first == [max(0, position - 1) for position in one.first]


def test_saving_and_exporting_keep_it(folder: Path, tmp_path: Path) -> None:
    """A loaded model and an export score as the model does; transformers alone cannot, and the export says so."""
    sltk.export(folder, tmp_path / "export")
    expected = model_with(folder, type="mean", shift=-1)
    for place in (folder, tmp_path / "export"):
        model = load(place).model
        assert isinstance(model, TaggerModel)
        assert shift_of(model.aligner) == -1
        torch.testing.assert_close(word_vectors(model, SENTENCES), word_vectors(expected, SENTENCES))
    first = untrained.save(tmp_path / "first", tiny.backbone(unmask="all"), aligner={"shift": -1})
    sltk.export(first, tmp_path / "first_export")
    reason = json.loads((tmp_path / "first_export/sltk.json").read_text())["transformers"]["reason"]
    assert "`shift: -1`" in reason


def test_it_is_stored_only_if_set(folder: Path, tmp_path: Path) -> None:
    """Models without it are described as before."""
    stored = json.loads((folder / "sltk.json").read_text())["components"]["aligner"]
    assert stored["shift"] == -1
    plain = untrained.save(tmp_path / "plain", tiny.backbone())
    assert "shift" not in json.loads((plain / "sltk.json").read_text())["components"]["aligner"]


def test_custom_aligners_are_not_shifted(folder: Path) -> None:
    """A field of this name belongs to the custom aligner."""
    custom, plain = model_with(folder, type="test_unshifted"), model_with(folder, type="first_subword")
    assert custom.encoder.encode(SENTENCES) == plain.encoder.encode(SENTENCES)


def test_the_cache_distinguishes_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cached encodings of the other value are not used."""
    monkeypatch.setenv("SLTK_CACHE", str(tmp_path))
    tokenizer = load(folder).model.network.backbone.tokenizer  # type: ignore[attr-defined]
    for shift in (0, -1):
        encoder = SubwordEncoder(tokenizer, shift=shift)
        for _ in range(2):
            assert token_cache.encode(encoder, SENTENCES, min_words=0)[0] == encoder.encode(SENTENCES)


@pytest.mark.parametrize(
    ("changes", "shift", "is_warned"),
    [
        ({"unmask": "none"}, -1, True),
        ({"unmask": "01"}, -1, False),
        ({"unmask": "none", "repeat": 1}, -1, False),
        ({"unmask": "none"}, 0, False),
    ],
)
def test_words_that_are_read_unseen_are_a_warning(
    changes: dict[str, Any], shift: int, is_warned: bool
) -> None:
    """In causal blocks the vector before a word knows nothing of it, unless the sentence is repeated."""
    aligner = {"type": "first_subword", "shift": shift}
    values = tiny.spec(backbone=tiny.backbone(**changes), aligner=aligner)
    warnings = LabellingPreview(loading.load(values)).warnings()
    assert [each.path for each in warnings] == ["aligner.shift"] * is_warned


@pytest.mark.parametrize("value", [1, -2, "left", None, True, -0.5])
def test_other_shifts_are_errors(value: Any) -> None:
    """Only 0 and -1 are possible; a text is read as YAML reads it."""
    mean = registry.find("aligner", "mean")
    with pytest.raises(ValidationError, match="shift"):
        mean(shift=value)
    assert mean(shift="-1") == mean(shift=-1)
