"""DoRA, rsLoRA and layers that are trained whole: their formulas, and equal vectors after saving and exporting."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import TrainerCallback

import sltk
import tiny
from sltk.components.backbones.decoder_and_encoder import Decoder
from sltk.errors import InvalidSpecError, ModelError
from sltk.exporting import export
from sltk.models.tagging import load
from sltk.nn.adapter_merging import plain_weights
from sltk.nn.packing import Packing
from sltk.spec import loading

R, ALPHA = 4, 8.0
IDS = [[5, 6, 7, 8], [9, 10], [11]]
GPT2 = {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2}
NF4 = {"quantization": {"type": "nf4", "compute_dtype": "float32"}}
WIDE = {**tiny.LLAMA, "hidden_size": 64}
EVERYTHING = {
    "dora": True,
    "rslora": True,
    "target_modules": "all-linear",
    "modules_to_save": ["embed_tokens", "norm"],
}
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "everything": (WIDE, {"lora": EVERYTHING}),
    "gpt2": (GPT2, {"lora": {"dora": True, "modules_to_save": ["ln_f", "wte"]}}),
    "nf4": (WIDE, {"lora": {"dora": True, "rslora": True, "modules_to_save": ["norm"]}, **NF4}),
}


class Trained(TrainerCallback):  # type: ignore[misc]
    """Keeps the network."""

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Keep it."""
        self.network = model.eval()


@dataclass
class Case:
    """A trained run, and its network in memory."""

    kind: str
    run: Path
    backbone: Any


@pytest.fixture(scope="module", params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Three updates at a high rate, so that each trained weight differs from its initial value."""
    folder, (config, changes) = tmp_path_factory.mktemp("lora"), KINDS[request.param]
    base, trained = tiny.save_base(folder / "base", config), Trained()
    lora = {"r": R, "alpha": ALPHA, "dropout": 0.0, **changes["lora"]}
    backbone = {"type": "decoder", "name": str(base), "unmask": "01", **changes, "lora": lora}
    sltk.train(tiny.spec({"max_steps": 3}, backbone=backbone), folder / "run", callbacks=[trained])
    return Case(request.param, folder / "run", trained.network.backbone)


def vectors(backbone: Any, sentences: list[list[int]]) -> Tensor:
    """Vectors of the tokens of packed sentences, [T, H]."""
    ids = torch.tensor([number for sentence in sentences for number in sentence])
    with torch.no_grad():
        packed: Tensor = backbone(ids, Packing.of_lengths([len(sentence) for sentence in sentences]))
    return packed


def test_an_adapted_layer_computes_what_the_papers_say(case: Case) -> None:
    """DoRA: m (W + s B A) / |W + s B A|, by output, with s = alpha / sqrt(r) for rsLoRA; written out in float64."""
    layer = next(part for part in case.backbone.modules() if hasattr(part, "lora_A"))
    down, up = (weights["default"].weight.double() for weights in (layer.lora_A, layer.lora_B))
    is_transposed = case.kind == "gpt2"
    weight = next(
        value
        for name, value in plain_weights(case.backbone.model)[1].items()
        if name.endswith(("q_proj.weight", "c_attn.weight"))
    ).double()
    original = layer.base_layer.weight
    scale = ALPHA / (R if is_transposed else math.sqrt(R))
    if original.is_floating_point():
        frozen = original.double().T if is_transposed else original.double()
        changed = frozen + scale * up @ down
        trained = layer.lora_magnitude_vector["default"].weight.double()
        expected = trained[:, None] * changed / changed.norm(dim=1, keepdim=True)
        torch.testing.assert_close(weight.T if is_transposed else weight, expected, atol=1e-6, rtol=1e-5)
    x = torch.linspace(-1, 1, 3 * down.shape[1]).sin().reshape(1, 3, -1)
    bias = getattr(layer.base_layer, "bias", None)
    product = x.double() @ (weight if is_transposed else weight.T)
    expected = product if bias is None else product + bias
    torch.testing.assert_close(layer(x).double(), expected, atol=1e-5, rtol=1e-4)


def test_layers_that_are_trained_whole_have_changed(case: Case) -> None:
    """They differ from the frozen original, and no other layer of the same ending is trained."""
    saved = [part for part in case.backbone.modules() if type(part).__name__ == "ModulesToSaveWrapper"]
    names = KINDS[case.kind][1]["lora"]["modules_to_save"]
    assert len(saved) == len(names)
    for part in saved:
        trained, original = part.modules_to_save["default"].weight, part.original_module.weight
        assert trained.requires_grad
        assert not original.requires_grad
        assert not torch.equal(trained, original)


def test_vectors_do_not_depend_on_the_other_sentences(case: Case) -> None:
    """Packed together, or each sentence alone."""
    alone = torch.cat([vectors(case.backbone, [sentence]) for sentence in IDS])
    torch.testing.assert_close(vectors(case.backbone, IDS), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("merge", [True, False])
def test_a_saved_model_has_the_same_vectors(case: Case, merge: bool) -> None:
    """With adapters, and with adapters merged into the weights."""
    loaded = load(case.run / "model", merge=merge).network.backbone
    torch.testing.assert_close(vectors(loaded, IDS), vectors(case.backbone, IDS), atol=1e-5, rtol=1e-5)


def test_an_export_has_the_same_vectors(case: Case, tmp_path: Path) -> None:
    """Its weights are plain, whatever they were trained with."""
    export(case.run, tmp_path / "export")
    exported = load(tmp_path / "export").network.backbone
    torch.testing.assert_close(vectors(exported, IDS), vectors(case.backbone, IDS), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("lora", "about", "suggestion"),
    [
        ({"modules_to_save": ["embed_token"]}, "no single layer `embed_token`", "embed_tokens"),
        ({"modules_to_save": ["self_attn"]}, "no single layer `self_attn`", None),
        ({"modules_to_save": ["q_proj"]}, "`q_proj` gets an adapter", None),
    ],
)
def test_layers_that_cannot_be_trained_whole_are_refused(
    tmp_path: Path, lora: dict[str, Any], about: str, suggestion: str | None
) -> None:
    """The error has the key of the name, and the nearest layer."""
    with pytest.raises(ModelError, match=about) as caught:
        sltk.train(tiny.spec(backbone=tiny.backbone(lora={"r": 2, **lora})), tmp_path / "run")
    problem = caught.value.problems[0]
    assert (problem.path, problem.suggestion) == ("backbone.lora.modules_to_save.0", suggestion)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"trainer": {"sharding": "full"}, "lora": {"dora": True}}, "trainer.sharding"),
        ({"quantization": {"type": "int8"}, "lora": {"dora": True}}, "backbone.lora.dora"),
        ({"dtype": "bfloat16", "lora": {"modules_to_save": ["norm"]}}, "backbone.lora.modules_to_save"),
        ({"type": "instruct", "lora": {"modules_to_save": ["norm"]}}, "backbone.lora.modules_to_save"),
    ],
)
def test_combinations_that_do_not_work_are_refused(changes: dict[str, Any], key: str) -> None:
    """Each is an error when the spec is read."""
    own = {name: changes[name] for name in ("lora", "dtype", "quantization") if name in changes}
    spec = tiny.spec(changes.get("trainer"), backbone=tiny.backbone(unmask="none", **own))
    if "type" in changes:
        del spec["head"]
        spec |= {"type": "instruct", "instruct": {"instruction": "a", "options": {"A": "b"}}}
    with pytest.raises(InvalidSpecError) as caught:
        loading.load(spec)
    assert [problem.path for problem in caught.value.problems] == [key]


def test_defaults_of_lora_are_not_written() -> None:
    """A spec without these keys is stored as by earlier versions."""
    lora = Decoder(name="a", lora={"r": 2}).model_dump()["lora"]  # type: ignore[arg-type]
    assert lora == {"r": 2, "alpha": 16, "dropout": 0.1, "target_modules": None}
