"""Masked next-token prediction: the loss, the masked tokens, the mask token, and labelling runs that start from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import sltk
import tiny
import tokenizer_kinds
from sltk.components.backbones import Decoder, LoRA
from sltk.errors import InvalidSpecError
from sltk.nn.backbone import BuildContext
from sltk.nn.token_prediction import Block
from sltk.pretraining.corpus_text import sources
from sltk.pretraining.pretrain_spec import PretrainSpec
from sltk.pretraining.pretraining_preview import PretrainingPreview
from sltk.pretraining.pretraining_run import Pretraining, build
from sltk.run import pretrain
from sltk.runtime.progress import reporting_to
from sltk.spec import loading
from sltk.subwords.mask_token import mask_token_id

SENTENCES = ["the soup was awful .", "our table called the bread plain", "nobody ate it , and nobody paid ."]
LORA: dict[str, Any] = {"r": 4, "alpha": 8, "dropout": 0.0}


def spec(folder: Path, base: Path, trainer: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A spec with thirty sentences in blocks of 16 on a decoder whose second block is unmasked."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text("\n".join(SENTENCES * 10), encoding="utf-8")
    defaults = {
        "name": "mntp",
        "objective": "mntp",
        "corpus": {"type": "text", "path": str(folder / "text.txt")},
        "block_size": 16,
        "boundaries": "none",
        "backbone": {"type": "decoder", "name": str(base), "unmask": "01"},
        "trainer": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, **(trainer or {})},
    }
    return {**defaults, **changes}


def labelling_spec(backbone: dict[str, Any]) -> dict[str, Any]:
    """A labelling run whose updates are too small to change a weight."""
    trainer = {"epochs": 1, "learning_rate": 1e-30}
    return {**tiny.spec(data=tiny.all_splits(), backbone=backbone), "trainer": trainer}


def build_model(values: Any) -> Pretraining:
    """Build the untrained model of a spec."""
    settings = loading.load_as(PretrainSpec, values).spec
    return build(settings, sources(settings)["corpus"])


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a run `lora` and a run `full`."""
    folder = tmp_path_factory.mktemp("mntp")
    adapted = {"type": "decoder", "name": str(base), "unmask": "01", "lora": LORA}
    pretrain(spec(folder, base, backbone=adapted), folder / "lora")
    pretrain(spec(folder, base, snapshots=1), folder / "full")
    return folder


def blocks(vocabulary: int = 60) -> list[Block]:
    ids = torch.randint(5, vocabulary, (3, 16), generator=torch.Generator().manual_seed(0))
    return [Block(row, number) for number, row in enumerate(ids)]


@pytest.mark.parametrize("mask", ["00", "11", "01", "10"])
@pytest.mark.parametrize("adapted", [False, True])
def test_the_loss_equals_a_direct_computation(base: Path, tmp_path: Path, mask: str, adapted: bool) -> None:
    """transformers alone, with a mask in each block: the masked token i against the scores of position i - 1."""
    changes = {"lora": LORA} if adapted else {}
    settings = {"type": "decoder", "name": str(base), "unmask": mask, **changes}
    model = build_model(spec(tmp_path, base, backbone=settings, mask_fraction=0.5))
    direct: Any = AutoModelForCausalLM.from_pretrained(base, attn_implementation="eager").eval()
    if adapted:
        change_adapters(model, direct)
    given = blocks()
    ours = model.network.eval()(**model.objective(given))["loss"]

    original = torch.stack([block.ids for block in given])
    inputs = model.objective(given)["ids_T"].reshape(3, 16)
    is_masked = inputs != original
    assert 12 < is_masked.sum() < 36
    for digit, layer in zip(mask, direct.model.layers, strict=True):
        seen = torch.ones(16, 16) if digit == "1" else torch.ones(16, 16).tril()
        bias = torch.where(seen.bool(), 0.0, torch.finfo(torch.float32).min).expand(3, 1, 16, 16)
        layer.register_forward_pre_hook(
            lambda _, args, kwargs, bias=bias: (args, {**kwargs, "attention_mask": bias}), with_kwargs=True
        )
    with torch.no_grad():
        logits = direct(input_ids=inputs).logits
    rows, positions = is_masked.nonzero(as_tuple=True)
    theirs = F.cross_entropy(logits[rows, positions - 1], original[rows, positions])
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def change_adapters(model: Pretraining, direct: Any) -> None:
    """Draw the second matrix of each adapter, which starts as zeros, and add the products to the stock model."""
    generator = torch.Generator().manual_seed(2)
    weights = dict(model.network.backbone.model.named_parameters())
    for name in [name for name in weights if ".lora_B." in name]:
        B, A = weights[name], weights[name.replace("lora_B", "lora_A")]
        B.copy_(torch.randn(B.shape, generator=generator))
        module = direct.model.get_submodule(name.split("base_model.model.")[1].split(".lora_B")[0])
        module.weight += LORA["alpha"] / LORA["r"] * B @ A


def test_masked_tokens_are_predicted_from_the_vector_before_them(base: Path, tmp_path: Path) -> None:
    """All of them are the mask token, the rest is unchanged; the first of a block and special tokens never are."""
    model = build_model(spec(tmp_path, base))
    tokenizer: Any = model.network.backbone.tokenizer
    mask_id = tokenizer.convert_tokens_to_ids("_")
    assert tokenizer.mask_token is None
    rows = torch.randint(len(tokenizer), (300, 128), generator=torch.Generator().manual_seed(3))
    batch = model.objective([Block(row, number) for number, row in enumerate(rows)])
    inputs, labels = batch["ids_T"].reshape(300, 128), batch["labels"].reshape(300, 128)
    predicted = (labels != -100).roll(1, dims=1)
    assert not predicted[:, 0].any()
    assert (labels[:, -1] == -100).all()
    assert torch.equal(labels.roll(1, dims=1)[predicted], rows[predicted])
    assert (inputs[predicted] == mask_id).all()
    assert torch.equal(inputs[~predicted], rows[~predicted])
    may_be = ~torch.isin(rows, torch.tensor(tokenizer.all_special_ids))
    assert not (predicted & ~may_be).any()
    assert predicted[:, 1:][may_be[:, 1:]].float().mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("setting", "entry"), [("was", "was"), (" was", "Ġwas"), ("Ġwas", "Ġwas"), ("</s>", "</s>")]
)
def test_the_mask_token_is_any_one_token(base: Path, tmp_path: Path, setting: str, entry: str) -> None:
    """It is an entry of the vocabulary, or a text that is read as one token."""
    expected = AutoTokenizer.from_pretrained(base).get_vocab()[entry]
    model = build_model(spec(tmp_path, base, mask_token=setting))
    changed = [
        new
        for block, old in zip(blocks(), model.objective(blocks())["ids_T"].reshape(3, 16), strict=True)
        for new, before in zip(old.tolist(), block.ids.tolist(), strict=True)
        if new != before
    ]
    assert set(changed) == {expected}


def test_a_labelling_run_starts_from_the_adapter(base: Path, finished: Path, tmp_path: Path) -> None:
    """It starts with exactly these weights under a mask of its own, and records the objective."""
    start = {"type": "decoder", "name": str(base), "unmask": "11", "lora": LORA}
    progress = tiny.RecordingProgress()
    values = labelling_spec({**start, "adapter": str(finished / "lora")})
    sltk.train(values, tmp_path / "run", progress=progress)
    (note,) = (note for note in progress.notes if "under the mask" in note)
    assert note.endswith("was trained with `mntp` under the mask `01`; this run has the mask `11`")
    trained, initial = (
        load_file(run / "model/adapter/adapter_model.safetensors")
        for run in (finished / "lora", tmp_path / "run")
    )
    assert any(value.abs().max() > 0 for name, value in trained.items() if "lora_B" in name)
    assert all(torch.equal(initial[name], trained[name]) for name in trained)
    origin = json.loads((tmp_path / "run/environment.json").read_text())["origin"]
    assert (origin["run"], origin["objective"]) == ("lora", "mntp")
    sltk.export(tmp_path / "run", tmp_path / "export")
    card = (tmp_path / "export/README.md").read_text(encoding="utf-8")
    assert "pre-trained further by masked next-token prediction in the run lora" in card


@pytest.mark.parametrize(
    ("mask", "other"), [("01", None), ("last:1", None), ([1], None), ("all", "11"), ("window:3", "window:3")]
)
def test_a_note_tells_that_an_adapter_was_trained_under_another_mask(
    base: Path, finished: Path, mask: Any, other: str | None
) -> None:
    """Masks with the same blocks are the same, however they are written."""
    progress = tiny.RecordingProgress()
    adapter = {"lora": LoRA(**LORA), "adapter": str(finished / "lora")}
    with reporting_to(progress):
        Decoder(name=str(base), unmask=mask, **adapter).build(BuildContext(torch.device("cpu"), seed=0))
    assert progress.has_note("under the mask `01`") == (other is not None)
    assert other is None or progress.has_note(f"this run has the mask `{other}`")


def test_a_labelling_run_starts_from_all_weights(finished: Path, tmp_path: Path) -> None:
    """`backbone.name` is the model folder, which keeps the tokenizer of the base."""
    start = {"type": "decoder", "name": str(finished / "full/model"), "unmask": "11"}
    sltk.train(labelling_spec(start), tmp_path / "run")
    trained = load_file(finished / "full/model/model.safetensors")
    initial = load_file(tmp_path / "run/model/base/model.safetensors")
    name = "layers.0.self_attn.q_proj.weight"
    torch.testing.assert_close(initial[name], trained[f"model.{name}"], rtol=0, atol=1e-7)
    assert AutoTokenizer.from_pretrained(finished / "full/model").mask_token is None
    origin = json.loads((tmp_path / "run/environment.json").read_text())["origin"]
    assert (origin["run"], origin["objective"]) == ("full", "mntp")


def test_masked_language_modelling_works_with_any_token_too(base: Path, tmp_path: Path) -> None:
    """`mlm` predicts tokens from their own vectors, and masks 80% of them, so some inputs keep their token."""
    settings: dict[str, Any] = {"objective": "mlm", "mask_token": "was", "mask_fraction": 0.5}
    model = build_model(spec(tmp_path, base, **settings))
    mask_id = model.network.backbone.tokenizer.convert_tokens_to_ids("was")
    rows = torch.randint(5, 60, (40, 64), generator=torch.Generator().manual_seed(0))
    batch = model.objective([Block(row, number) for number, row in enumerate(rows)])
    is_predicted = batch["labels"] != -100
    assert torch.equal(batch["labels"][is_predicted], rows.flatten()[is_predicted])
    assert is_predicted.float().mean() == pytest.approx(0.5, abs=0.05)
    assert (batch["ids_T"][is_predicted] == mask_id).float().mean() == pytest.approx(0.8, abs=0.05)


def test_a_text_without_a_masked_token_is_rejected(base: Path, tmp_path: Path) -> None:
    """Its loss would be 0, and its perplexity 1; nothing is written."""
    with pytest.raises(sltk.DataError, match="no token of the corpus text is masked"):
        pretrain(spec(tmp_path, base, mask_fraction=1e-6), tmp_path / "run")
    assert not (tmp_path / "run/spec.yaml").exists()


@pytest.mark.parametrize("is_check", [False, True])
def test_a_mask_token_that_is_not_one_token_is_rejected(base: Path, tmp_path: Path, is_check: bool) -> None:
    """The error says how the tokenizer reads it, and names tokens that can be used; `sltk check` finds it too."""
    values = spec(tmp_path, base, mask_token="<mask>")
    check = PretrainingPreview(loading.load_as(PretrainSpec, values)).check_model
    with pytest.raises(sltk.ModelError) as caught:
        check() if is_check else build_model(values)
    (problem,) = caught.value.problems
    assert "`mask_token: <mask>` is not one token of this model's tokenizer" in problem.message
    assert problem.path == "mask_token"
    assert "set `mask_token` to one token, for example `_`" in problem.notes[0]


@pytest.mark.parametrize(("changes", "is_warned"), [({}, True), ({"unmask": "01"}, False)])
def test_causal_blocks_are_a_warning(
    base: Path, tmp_path: Path, changes: dict[str, str], is_warned: bool
) -> None:
    """The default mask of a decoder makes it next-token prediction on damaged text."""
    values = spec(tmp_path, base, backbone={"type": "decoder", "name": str(base), **changes})
    warnings = PretrainingPreview(loading.load_as(PretrainSpec, values)).warnings()
    assert ["set `unmask`" in str(each.notes) for each in warnings] == [True] * is_warned


def test_a_word_that_the_tokenizer_does_not_know_is_no_mask_token() -> None:
    """It is read as one token, the unknown one, which would be a mask that nobody asked for."""
    tokenizer = tokenizer_kinds.build("bert")
    with pytest.raises(sltk.ModelError, match=r"read as `\[UNK\]`[\s\S]*`\[MASK\]`"):
        mask_token_id(tokenizer.backend_tokenizer, "☃", "[MASK]", "mntp")
    own = mask_token_id(tokenizer.backend_tokenizer, None, "[MASK]", "mntp")
    assert own == tokenizer.convert_tokens_to_ids("[MASK]")


@pytest.mark.parametrize(
    ("objective", "message"), [("clm", "`soup` is token 300"), ("mntp", "`<mask>` is token 301")]
)
def test_a_token_without_a_vector_is_rejected(
    base: Path, tmp_path: Path, objective: str, message: str
) -> None:
    """The embedding was not resized when the tokenizer got a mask token, or a token for a word of the corpus."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["soup"])
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    tokenizer.save_pretrained(tmp_path / "more")
    backbone = {"type": "decoder", "name": str(base), "tokenizer": str(tmp_path / "more")}
    with pytest.raises(
        sltk.ModelError, match=f"{message} of the tokenizer, but the model has vectors for 300"
    ):
        pretrain(spec(tmp_path, base, objective=objective, backbone=backbone), tmp_path / "run")
    assert not (tmp_path / "run/spec.yaml").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "clm", "backbone": None, "mask_token": "_"}, "`clm` masks no tokens"),
        ({"objective": "clm", "backbone": None, "mask_fraction": 0.2}, "`clm` masks no tokens"),
        ({"mask_fraction": 0}, "expected a number above 0"),
        ({"mask_fraction": 1}, "expected a number below 1"),
        ({"mask_token": ""}, "expected text that is not empty"),
        ({"objective": "mtnp"}, "mntp"),
    ],
)
def test_settings_of_masking_are_checked(
    base: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Each is an error of the spec."""
    values = spec(tmp_path, base, **changes)
    values["backbone"] = values["backbone"] or {"type": "decoder", "name": str(base)}
    with pytest.raises(InvalidSpecError, match=message):
        pretrain(values, tmp_path / "run")
