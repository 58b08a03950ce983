"""Pre-training: corpus, objectives and snapshots."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

import sltk
import tiny
from sltk.errors import InvalidSpecError
from sltk.nn.token_prediction import Block
from sltk.pretraining.corpus import Blocks, write_blocks
from sltk.pretraining.corpus_text import sources, texts
from sltk.pretraining.pretrain_spec import PretrainSpec
from sltk.pretraining.snapshots import SnapshotSchedule, snapshots
from sltk.run import pretrain
from sltk.spec import loading
from tiny_families import BY_NAME
from tiny_pretraining import (
    ROBERTA,
    SENTENCES,
    backbone,
    build_model,
    labelling_spec,
    load_spec,
    spec,
)

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": tiny.LLAMA,
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2},
    "gemma2": {**tiny.LLAMA, "model_type": "gemma2", "head_dim": 16, "num_key_value_heads": 2},
    "granite": {**tiny.LLAMA, "model_type": "granite", "logits_scaling": 4.0},
    "opt": {"model_type": "opt", "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "word_embed_proj_dim": 32},
    "gemma4_text": {"model_type": "gemma4_text",
                    **BY_NAME["gemma4_text"].config(vocab_size=None, vocab_size_per_layer_input=400)},
    "deepseek_v3": {"model_type": "deepseek_v3", **BY_NAME["deepseek_v3"].config(vocab_size=None)},
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_the_causal_loss_equals_that_of_transformers(tmp_path: Path, family: str) -> None:
    """The loss is also equal for families that scale or cap scores."""
    model = build_model(spec(tmp_path, backbone=backbone(type="decoder", config=FAMILIES[family])))
    network = model.network.eval()
    ids = torch.randint(5, 60, (3, 16), generator=torch.Generator().manual_seed(0))
    batch = model.objective([Block(row, number) for number, row in enumerate(ids)])
    ours = network(**batch)["loss"]
    model.network.backbone.language_model.set_attn_implementation("eager")
    with torch.no_grad():
        theirs = model.network.backbone.language_model(input_ids=ids, labels=ids).loss
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_masked_loss_equals_that_of_transformers(tmp_path: Path) -> None:
    """RoBERTa predicts masked tokens with the output layer of its family."""
    model = build_model(spec(tmp_path, "mlm"))
    network = model.network.eval()
    ids = torch.randint(5, 60, (3, 16), generator=torch.Generator().manual_seed(0))
    batch = model.objective([Block(row, number) for number, row in enumerate(ids)])
    ours = network(**batch)["loss"]
    model.network.backbone.language_model.set_attn_implementation("eager")
    inputs, labels = batch["ids_T"].reshape(3, 16), batch["labels"].reshape(3, 16)
    with torch.no_grad():
        theirs = model.network.backbone.language_model(input_ids=inputs, labels=labels).loss
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_sentences_are_concatenated_and_cut_into_blocks(tmp_path: Path) -> None:
    """Each sentence has its special tokens; only the tokens left over at the end are dropped and counted."""
    settings = load_spec(spec(tmp_path))
    tokenizer = build_model(spec(tmp_path)).network.backbone.tokenizer
    counts = write_blocks(sources(settings)["corpus"](), tokenizer, settings, tmp_path / "corpus")
    blocks = Blocks(tmp_path / "corpus", tokenizer, 16)
    expected = [
        number
        for text in SENTENCES * 10
        for number in (tokenizer.bos_token_id, *tokenizer(text)["input_ids"], tokenizer.eos_token_id)
    ]
    assert [number for block in blocks for number in block.ids.tolist()] == expected[: len(blocks) * 16]
    assert (counts.tokens, counts.blocks) == (len(expected), len(expected) // 16)
    assert counts.dropped_tokens == len(expected) % 16
    assert counts.sentences == 30


def test_changed_lines_of_a_corpus_are_counted(tmp_path: Path) -> None:
    """Lines with replaced bytes or a removed byte-order mark are counted, in all files of a folder."""
    (tmp_path / "texts").mkdir()
    text = "\n".join(SENTENCES * 10).encode()
    (tmp_path / "texts" / "1.txt").write_bytes(text + b"\n\xef\xbb\xbfjoined\n")
    (tmp_path / "texts" / "2.txt").write_bytes(b"bad \xff byte\n")
    values = {**spec(tmp_path), "corpus": {"type": "text", "path": str(tmp_path / "texts")}}
    tokenizer, settings = build_model(values).network.backbone.tokenizer, load_spec(values)
    counts = write_blocks(sources(settings)["corpus"](), tokenizer, settings, tmp_path / "corpus")
    assert (counts.sentences, counts.replaced) == (32, 2)
    assert "2 lines with invalid bytes or byte-order marks changed" in str(counts)


def test_spacing_decides_the_text_of_annotated_data(tmp_path: Path) -> None:
    """`single` joins words with spaces; `auto` and `source` use the text from the reader."""
    line = {"text": "Soup,  cold", "spans": []}
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    texts_by_spacing = {}
    for spacing in ("auto", "single", "source"):
        values = spec(tmp_path, corpus={"type": "jsonl", "path": str(tmp_path / "a.jsonl")}, spacing=spacing)
        settings = load_spec(values)
        texts_by_spacing[spacing] = [text for text, _ in texts(sources(settings)["corpus"](), spacing)]
    assert texts_by_spacing == {"auto": ["Soup,  cold"], "single": ["Soup , cold"], "source": ["Soup,  cold"]}


def test_tags_are_ignored(tmp_path: Path) -> None:
    """Annotated data can be the corpus, as in TAPT on the training data of a task."""
    data = {"type": "grammar", "count": 30}
    metrics = pretrain(spec(tmp_path, corpus=data, trainer={"max_steps": 1}), tmp_path / "run")
    assert metrics["corpus"]["sentences"] == 30


def test_a_part_of_the_corpus_can_be_held_out(tmp_path: Path) -> None:
    """Held-out sentences are validation data and are removed from the corpus."""
    settings = load_spec(spec(tmp_path, validation={"type": "holdout", "count": 5, "seed": 1}))
    lines = {name: [sentence.line for sentence in source()] for name, source in sources(settings).items()}
    assert (len(lines["corpus"]), len(lines["validation"])) == (25, 5)
    assert sorted(lines["corpus"] + lines["validation"]) == list(range(1, 31))


def test_a_corpus_smaller_than_a_block_is_rejected(tmp_path: Path) -> None:
    """The error gives the block size, and no spec is written."""
    (tmp_path / "short.txt").write_text("soup", encoding="utf-8")
    values = spec(tmp_path, corpus={"type": "text", "path": str(tmp_path / "short.txt")})
    with pytest.raises(sltk.DataError, match="fewer than one block of 16"):
        pretrain(values, tmp_path / "run")
    assert not (tmp_path / "run/spec.yaml").exists()


def test_masking_has_the_proportions_of_bert(tmp_path: Path) -> None:
    """Of ordinary tokens 15% are predicted: 80% masked, 10% unchanged, 10% random, whatever the batch."""
    model = build_model(spec(tmp_path, "mlm"))
    tokenizer = model.network.backbone.tokenizer
    generator = torch.Generator().manual_seed(3)
    rows = torch.randint(len(tokenizer), (300, 128), generator=generator)
    batch = model.objective([Block(row, number) for number, row in enumerate(rows)])
    has_label = batch["labels"] != -100
    is_ordinary = ~torch.isin(rows.flatten(), torch.tensor(tokenizer.all_special_ids))
    assert not (has_label & ~is_ordinary).any()
    assert has_label[is_ordinary].float().mean() == pytest.approx(0.15, abs=0.01)
    inputs, targets = batch["ids_T"][has_label], rows.flatten()[has_label]
    is_mask = inputs == tokenizer.mask_token_id
    assert is_mask.float().mean() == pytest.approx(0.8, abs=0.02)
    assert (inputs == targets).float().mean() == pytest.approx(0.1, abs=0.02)
    assert (inputs[~is_mask] != targets[~is_mask]).float().mean() == pytest.approx(0.5, abs=0.05)
    single = model.objective([Block(rows[7], 7)])
    assert torch.equal(single["ids_T"], batch["ids_T"].reshape(300, 128)[7])
    next_epoch = model.objective([Block(rows[7], 7, epoch=1)])
    assert not torch.equal(next_epoch["ids_T"], single["ids_T"])


def test_the_loss_falls_and_perplexity_is_its_exponential(tmp_path: Path) -> None:
    """Both objectives learn three sentences, and the metrics count tokens and updates."""
    for objective, limit in (("clm", 3.0), ("mlm", 5.0)):
        text = {"type": "text", "path": str(tmp_path / objective / "text.txt")}
        values = spec(tmp_path / objective, objective, {"epochs": 6}, validation=text)
        metrics = pretrain(values, tmp_path / objective / "run")
        scores = metrics["validation"]
        assert scores["loss"] < limit < math.log(300)
        assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]))
        assert metrics == json.loads((tmp_path / objective / "run/metrics.json").read_text())
        blocks = metrics["corpus"]["blocks"]
        assert metrics["train"]["tokens"] == 6 * blocks * 16
        assert metrics["train"]["steps"] == 6 * math.ceil(blocks / 8)
    names = {path.name for path in (tmp_path / "mlm/run").iterdir()}
    assert names == {"spec.yaml", "environment.json", "log.jsonl", "checkpoints", "model", "metrics.json"}
    proof = json.loads((tmp_path / "mlm/run/environment.json").read_text())["mask_proof"]
    assert proof["unmasked"] == [0, 1]


@pytest.mark.parametrize(("objective", "kind"), [("clm", "decoder"), ("mlm", "encoder")])
def test_transformers_loads_a_fully_trained_model(tmp_path: Path, objective: str, kind: str) -> None:
    """The saved model has its trained weights, output layer and tokenizer."""
    family = tiny.LLAMA if kind == "decoder" else ROBERTA
    pretrain(spec(tmp_path, objective, backbone=backbone(type=kind, config=family)), tmp_path / "run")
    auto = AutoModelForCausalLM if kind == "decoder" else AutoModelForMaskedLM
    model = auto.from_pretrained(tmp_path / "run/model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run/model")
    ids = tokenizer("the soup was awful .", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss
    assert loss < 5.0 < math.log(300)
    assert tokenizer.mask_token == "<mask>"


@pytest.mark.parametrize(("mask", "column"), [("0111", 11), ("all", 11), ("last:1", 11), ("[1]", 3)])
def test_unmasked_blocks_are_rejected_for_a_causal_objective(tmp_path: Path, mask: str, column: int) -> None:
    """The error has the position of the mask (for a list: of its key) and suggests `allow_leak`."""
    path = tmp_path / "leak.yaml"
    path.write_text(
        "name: leak\nobjective: clm\ncorpus: {type: grammar}\n"
        f"backbone:\n  type: decoder\n  name: some/model\n  unmask: {mask}\n"
    )
    with pytest.raises(InvalidSpecError) as caught:
        loading.load_as(PretrainSpec, path)
    (problem,) = caught.value.problems
    assert "leaks the tokens that `objective: clm` predicts" in problem.message
    assert (problem.location.line, problem.location.column) == (7, column)
    assert problem.path == "backbone.unmask"
    assert any("allow_leak: true" in note for note in problem.notes)


@pytest.mark.parametrize("mask", ["00", "none", "first:0", "[]"])
def test_a_causal_objective_has_a_causal_mask_by_default(tmp_path: Path, mask: str) -> None:
    """Every spelling of an all-causal mask is accepted; with `mlm`, an encoder is bidirectional by default."""
    unmask = json.loads(mask) if mask == "[]" else mask
    values = spec(tmp_path, backbone=backbone(unmask=unmask))
    assert not any(build_model(values).network.backbone.flags)
    assert not any(build_model(spec(tmp_path)).network.backbone.flags)
    assert all(build_model(spec(tmp_path, "mlm")).network.backbone.flags)


def test_allow_leak_trains_with_unmasked_blocks(tmp_path: Path) -> None:
    """The description of the trained model has its mask."""
    values = spec(tmp_path, trainer={"max_steps": 1}, backbone=backbone(unmask="01"), allow_leak=True)
    pretrain(values, tmp_path / "run")
    description = json.loads((tmp_path / "run/model/pretraining.json").read_text())
    assert description["mask"] == {"unmask": "01", "flags": "01"}


def test_snapshots_are_saved_before_the_first_update_and_after_each_part_of_an_epoch(tmp_path: Path) -> None:
    """Three snapshots per epoch for two epochs give seven folders; the last one is the final model."""
    metrics = pretrain(spec(tmp_path, snapshots=3), tmp_path / "run")
    per_epoch = metrics["train"]["steps"] // 2
    folders = snapshots(tmp_path / "run")
    assert [folder.name for folder in folders] == [f"{number:04d}" for number in range(7)]
    updates = [json.loads((folder / "pretraining.json").read_text())["update"] for folder in folders]
    assert updates == [0, *(math.ceil(part * per_epoch / 3) for part in range(1, 7))]
    last = load_file(tmp_path / "run/steps/0006/model.safetensors")
    model = load_file(tmp_path / "run/model/model.safetensors")
    assert all(torch.equal(last[name], model[name]) for name in model)


def test_every_snapshot_has_one_update(tmp_path: Path) -> None:
    """Each snapshot is taken once, and the last one falls at the end of the epoch."""
    for updates in range(1, 40):
        for parts in range(1, updates + 1):
            schedule = SnapshotSchedule(parts, updates)
            numbers = [number for update in range(1, 2 * updates + 1) if (number := schedule.number(update))]
            assert numbers == list(range(1, 2 * parts + 1))
            assert schedule.update(parts) == updates


def test_more_snapshots_than_updates_are_rejected(tmp_path: Path) -> None:
    """The error gives the number of updates per epoch."""
    with pytest.raises(sltk.SpecError, match="of this corpus has only 3 updates"):
        pretrain(spec(tmp_path, snapshots=50), tmp_path / "run")


def test_a_gap_between_snapshots_is_an_error(tmp_path: Path) -> None:
    """The error names the missing snapshot, so that a sweep cannot skip it unnoticed."""
    pretrain(spec(tmp_path, snapshots=2, trainer={"epochs": 1}), tmp_path / "run")
    (tmp_path / "run/steps/0001").rename(tmp_path / "elsewhere")
    with pytest.raises(sltk.UsageError, match="has gaps: 0001 missing"):
        snapshots(tmp_path / "run")


def test_untrained_encoder_and_unmasked_decoder_are_the_same_network(tmp_path: Path) -> None:
    """Labelling runs from snapshot 0 of either objective have the same weights and scores."""
    for objective in ("mlm", "clm"):
        pretrain(
            spec(tmp_path / objective, objective, {"max_steps": None, "epochs": 0.4}, snapshots=1),
            tmp_path / objective / "run",
        )
    scores = {}
    for name, objective, mask in (
        ("encoder", "mlm", "all"), ("decoder unmask", "clm", "all"), ("decoder mask", "clm", "none"),
    ):  # fmt: skip
        start = {"type": "encoder", "name": str(tmp_path / objective / "run/steps/0000"), "unmask": mask}
        metrics = sltk.train(labelling_spec(start), tmp_path / name)
        scores[name] = metrics["train"]["loss"], metrics["test"]
    assert tiny.same_weights(tmp_path / "encoder", tmp_path / "decoder unmask")
    assert scores["encoder"] == scores["decoder unmask"]
    assert scores["encoder"][0] != scores["decoder mask"][0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainer": {"select": "best"}}, "pre-training keeps the last model"),
        ({"trainer": {"early_stopping": 1}}, "pre-training does not stop early"),
        ({"trainer": {"max_steps": 2}, "snapshots": 1}, "leave out `max_steps`"),
        ({"backbone": backbone(freeze=True)}, "leaves nothing to train"),
        ({"backbone": backbone(lora={"r": 2})}, "fresh weights are trained whole"),
        ({"name": "a/b"}, "cannot name a run directory"),
    ],
)
def test_unsupported_settings_are_rejected(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Settings that pre-training does not support are errors in the spec."""
    with pytest.raises(InvalidSpecError, match=message):
        pretrain({**spec(tmp_path), **changes}, tmp_path / "run")


def test_a_block_longer_than_the_model_reads_is_rejected(tmp_path: Path) -> None:
    """RoBERTa reserves two of its 40 positions, so a block of 39 tokens does not fit."""
    with pytest.raises(sltk.SpecError, match="the model reads 38 tokens at once, and a block has 39"):
        pretrain(spec(tmp_path, block_size=39), tmp_path / "run")


def test_mlm_without_a_mask_token_is_rejected(base: Path, tmp_path: Path) -> None:
    """The tokenizer of a decoder has no mask token."""
    values = spec(tmp_path, "mlm", backbone={"type": "decoder", "name": str(base), "unmask": "all"})
    with pytest.raises(sltk.ModelError, match="needs a tokenizer with a mask token"):
        pretrain(values, tmp_path / "run")
