"""Exported models give the same results without their base model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import sltk
import tiny
import untrained
from sltk import exporting
from sltk.components.backbones import precision
from sltk.files.damage import read_json
from sltk.nn.batching import pack
from sltk.run import load
from sltk.subwords.samples import Sample

SENTENCES = [
    ["The", "soup", "was", "awful", "."],
    ["Nobody", "called", "the", "goat", "cheese", "plain", ",", "and", "unremarkable-ish", "it", "was"],
    ["ok"],
]
QWEN = {**tiny.LLAMA, "model_type": "qwen2", "num_key_value_heads": 1}
GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2}
MODERN = {
    **tiny.BERT,
    "model_type": "modernbert",
    **dict.fromkeys(("pad_token_id", "cls_token_id", "sep_token_id"), 0),
}


def logits(labeller: sltk.Labeller) -> torch.Tensor:
    """Tag scores of all words of SENTENCES, [words, tags]."""
    model = labeller.model
    encodings = model.encoder.encode([sltk.Sentence(words) for words in SENTENCES])
    batch = pack([Sample(encoding, [0] * encoding.words) for encoding in encodings])
    with torch.inference_mode():
        vectors = model.network.word_vectors(
            batch["ids_T"], batch["packing"], batch["first_W"], batch["last_W"]
        )
        scorer: Any = model.network.head.scorer
        scores: torch.Tensor = scorer(vectors)
        return scores


def train_run(folder: Path, backbone: dict[str, Any], **changes: Any) -> Path:
    """Train for one epoch and return the folder of the run."""
    sltk.train(tiny.spec({"epochs": 1}, backbone=backbone, **changes), folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("head", ["linear", "mlp", "crf"])
@pytest.mark.parametrize(
    "changes", [{}, {"lora": {"r": 4}}, {"freeze": True}], ids=["whole", "lora", "frozen"]
)
def test_an_export_gives_the_same_scores_without_the_base(
    tmp_path: Path, changes: dict[str, Any], head: str
) -> None:
    """Scores agree to 1e-5 after the base model and the run were deleted."""
    base = tiny.save_base(tmp_path / "base")
    backbone = {"type": "decoder", "name": str(base), "unmask": "01", **changes}
    run = train_run(tmp_path / "run", backbone, head={"type": head})
    before = logits(load(run))
    tags = [prediction.tags for prediction in load(run).predict(SENTENCES)]
    exporting.export(run, tmp_path / "export")
    shutil.rmtree(base)
    shutil.rmtree(run)
    shutil.move(tmp_path / "export", tmp_path / "elsewhere")
    after = load(tmp_path / "elsewhere")
    torch.testing.assert_close(logits(after), before, rtol=0, atol=1e-5)
    assert [prediction.tags for prediction in after.predict(SENTENCES)] == tags
    assert after.model.network.backbone.flags == (False, True)
    assert not list((tmp_path / "elsewhere").rglob("adapter*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "lora", [{"lora": {"r": 4, "target_modules": "all-linear"}}, {"freeze": True}], ids=["lora", "frozen"]
)
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_quantized_weights_are_dequantized(
    tmp_path: Path, quantization: str, lora: dict[str, Any], family: str
) -> None:
    """Scores agree to 1e-5 for NF4, and to 0.05 for int8, which rounds inputs too."""
    config = {**tiny.LLAMA, "hidden_size": 64} if family == "llama" else {**GPT2, "n_embd": 64}
    base = tiny.save_base(tmp_path / "base", config)
    backbone = {
        "type": "decoder",
        "name": str(base),
        "quantization": {"type": quantization, "compute_dtype": "float32"},
        **lora,
    }
    run = train_run(tmp_path / "run", backbone)
    before = logits(load(run))
    exporting.export(run, tmp_path / "export")
    shutil.rmtree(base)
    after = load(tmp_path / "export")
    assert {parameter.dtype for parameter in after.model.network.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(after), before, rtol=0, atol=1e-5 if quantization == "nf4" else 0.05)


@pytest.mark.parametrize("config", [tiny.LLAMA, QWEN, GPT2], ids=["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("changes", [{}, {"lora": {"r": 4}}], ids=["whole", "lora"])
def test_transformers_loads_an_exported_causal_decoder(
    tmp_path: Path, config: dict[str, Any], changes: dict[str, Any]
) -> None:
    """AutoModelForTokenClassification gives the scores of sltk at the first subwords of words."""
    backbone = tiny.backbone(config=config, unmask="none", **changes)
    check_with_transformers(train_run(tmp_path / "run", backbone), tmp_path / "export")


STABLELM = {**tiny.LLAMA, "model_type": "stablelm", "num_key_value_heads": 2}
MISTRAL = {**STABLELM, "model_type": "mistral", "sliding_window": 4}


@pytest.mark.parametrize(
    ("config", "changes"),
    [(tiny.LLAMA, {}), (STABLELM, {}), (MISTRAL, {}), (MISTRAL, {"unmask_window": "drop"})],
    ids=["llama", "stablelm", "window", "dropped window"],
)
def test_transformers_loads_an_exported_decoder_without_causal_mask(
    tmp_path: Path, config: dict[str, Any], changes: dict[str, Any]
) -> None:
    """With the mask `all`, stock transformers sees both sides, also on padded batches and with a sliding window."""
    run = untrained.save(tmp_path / "run", tiny.backbone(config=config, unmask="all", **changes))
    check_with_transformers(run, tmp_path / "export")
    check_padded_batch(tmp_path / "export")
    assert read_json(tmp_path / "export" / "config.json")["is_causal"] is False
    again = tmp_path / "again"
    check_with_transformers(tmp_path / "export", again)
    names = ("is_causal", "sliding_window")
    one, two = (read_json(folder / "config.json") for folder in (tmp_path / "export", again))
    assert [one.get(name) for name in names] == [two.get(name) for name in names]


def check_padded_batch(folder: Path) -> None:
    """Padding does not change the scores of transformers, which are those of sltk."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    labeller = load(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    classifier = AutoModelForTokenClassification.from_pretrained(folder)
    batch = tokenizer(SENTENCES, is_split_into_words=True, padding=True, return_tensors="pt")
    with torch.inference_mode():
        scores = classifier(**batch).logits
    encodings = labeller.model.encoder.encode([sltk.Sentence(words) for words in SENTENCES])
    rows = [row[encoding.windows[0].first] for row, encoding in zip(scores, encodings, strict=True)]
    torch.testing.assert_close(torch.cat(rows), logits(labeller), rtol=0, atol=1e-5)


def test_an_export_is_compared_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose products are in bfloat16 has float32 weights, and transformers gives their scores."""
    monkeypatch.setattr(precision, "is_fast_in_bfloat16", lambda _: True)
    backbone = tiny.backbone(unmask="none")
    run = untrained.save(tmp_path / "run", backbone, trainer={"precision": "bf16"})
    assert load(run).model.network.backbone.precision == "bf16"
    exporting.export(run, tmp_path / "export")
    description = read_json(tmp_path / "export" / "sltk.json")
    assert description["transformers"]["class"] == "AutoModelForTokenClassification"


@pytest.mark.parametrize("aligner", ["first_subword", "last_subword"])
def test_transformers_loads_an_exported_encoder(tmp_path: Path, aligner: str) -> None:
    """An unmasked encoder with a linear head is a token classifier of transformers."""
    backbone = tiny.backbone(type="encoder", config=tiny.BERT, unmask="all")
    check_with_transformers(
        train_run(tmp_path / "run", backbone, aligner={"type": aligner}), tmp_path / "export"
    )


def check_with_transformers(run: Path, target: Path) -> None:
    """Export a run, and compare the scores of transformers with those of sltk."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    progress = tiny.RecordingProgress()
    exporting.export(run, target, progress)
    assert not progress.has_note("only sltk can load")
    assert progress.has_note("transformers gives the scores of sltk")
    assert progress.has_note('aggregation_strategy="first"') == (
        load(run).model.aligner.type_name == "first_subword"
    )
    labeller = load(target)
    torch.testing.assert_close(logits(labeller), logits(load(run)), rtol=0, atol=1e-5)
    classifier, report = AutoModelForTokenClassification.from_pretrained(target, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert classifier.config.id2label == dict(enumerate(labeller.labels.tags))
    model, rows = labeller.model, []
    for encoding in model.encoder.encode([sltk.Sentence(words) for words in SENTENCES]):
        window = encoding.windows[0]
        positions = window.first if model.aligner.type_name == "first_subword" else window.last
        with torch.inference_mode():
            rows.append(classifier(input_ids=torch.tensor([window.ids])).logits[0, positions])
    torch.testing.assert_close(torch.cat(rows), logits(labeller), rtol=0, atol=1e-5)
    assert AutoTokenizer.from_pretrained(target).vocab_size == model.network.backbone.tokenizer.vocab_size


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"backbone": tiny.backbone(unmask="01")}, "cannot remove the causal mask"),
        (
            {"backbone": tiny.backbone(type="encoder", config=tiny.BERT, unmask="none")},
            "cannot make an encoder's blocks causal",
        ),
        ({"backbone": tiny.backbone(type="encoder", config=MODERN, unmask="all")}, "has other layers"),
        ({"backbone": tiny.backbone(unmask="none"), "head": {"type": "crf"}}, "the head is `crf`"),
        ({"backbone": tiny.backbone(unmask="none"), "aligner": {"type": "mean"}}, "the aligner is `mean`"),
    ],
    ids=["masked", "causal-encoder", "modernbert", "crf", "mean"],
)
def test_a_note_says_why_transformers_cannot_load_an_export(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    """Loading such an export with transformers fails instead of giving other scores."""
    from transformers import AutoModelForTokenClassification

    run = train_run(tmp_path / "run", **{"backbone": tiny.backbone(), **changes})
    progress = tiny.RecordingProgress()
    exporting.export(run, tmp_path / "export", progress)
    assert len(progress.notes) == 1
    assert reason in progress.notes[0]
    torch.testing.assert_close(logits(load(tmp_path / "export")), logits(load(run)), rtol=0, atol=1e-5)
    with pytest.raises((OSError, ValueError)):
        AutoModelForTokenClassification.from_pretrained(tmp_path / "export")


def test_an_export_can_be_exported_again(tmp_path: Path) -> None:
    """Exporting an export gives the same scores."""
    run = train_run(tmp_path / "run", tiny.backbone(lora={"r": 4}))
    exporting.export(run, tmp_path / "one")
    exporting.export(tmp_path / "one", tmp_path / "two")
    torch.testing.assert_close(logits(load(tmp_path / "two")), logits(load(run)), rtol=0, atol=1e-5)


def test_a_folder_that_is_not_empty_is_not_overwritten(tmp_path: Path) -> None:
    """Only an empty or missing folder is accepted as target, and only a finished run is exported."""
    run = train_run(tmp_path / "run", tiny.backbone())
    (tmp_path / "empty").mkdir()
    exporting.export(run, tmp_path / "empty")
    load(tmp_path / "empty")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    for target in ("full", "full/mine.txt"):
        with pytest.raises(sltk.UsageError, match="is not"):
            exporting.export(run, tmp_path / target)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    (run / "metrics.json").unlink()
    with pytest.raises(sltk.UsageError, match="not finished"):
        exporting.export(run, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_failed_export_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is written completely or not at all."""
    run = train_run(tmp_path / "run", tiny.backbone())

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sltk.models.saving.save_file", fail)
    with pytest.raises(OSError, match="No space"):
        exporting.export(run, tmp_path / "export")
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
