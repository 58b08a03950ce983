"""`blocks: n`: the first blocks of a model, then its final norm; everything else stays as in the whole model."""

from __future__ import annotations

import functools
import gc
import json
import re
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from sltk.components.backbones import Decoder, Encoder, LoRA, Quantization
from sltk.components.backbones.building import _skeleton, train_tokenizer
from sltk.components.backbones.early_exit import exit_early, shorten
from sltk.errors import ModelError
from sltk.families.model_shape import blocks_of, first_blocks
from sltk.nn.backbone import BuildContext, PackedBackbone
from sltk.nn.packing import Packing
from sltk.runtime import run_cache
from tiny_families import BY_NAME, FAMILIES

_DECODERS = ("llama", "qwen3_moe", "gemma3_text", "gpt2", "opt", "phi3", "gpt_neox", "gpt_oss", "smollm3")
_ENCODERS = ("bert", "modernbert", "distilbert", "albert", "deberta-v2")
NAMES = (*_DECODERS, *_ENCODERS)
"""At least one of each form: names of keys, lists with one item per block, experts, shared weights, padded batches."""
FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "final_norm")
IDS, PACKING = torch.arange(3, 17), Packing.of_lengths([6, 8])
TOTAL, USED = 4, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module", autouse=True)
def _cached(folder: Path) -> Iterator[None]:
    yield
    saved.cache_clear()


@functools.cache
def saved(name: str, folder: Path) -> Path:
    """A whole model as transformers writes it, with its output layer if it has one, and a tokenizer."""
    torch.manual_seed(4)
    config = AutoConfig.for_model(name, **BY_NAME[name].config())
    causal = BY_NAME[name].kind == "decoder"
    model = (AutoModelForCausalLM if causal else AutoModel).from_config(config)
    path = folder / name
    model.save_pretrained(path)
    train_tokenizer(["a few words"], 257).save_pretrained(folder / "tokenizer")
    return path


def build(path: Path, blocks: Any, *, language_model: bool = False, **settings: Any) -> PackedBackbone:
    """Build a model of the first blocks; building verifies its mask."""
    kind = Encoder if BY_NAME[path.name].kind == "encoder" else Decoder
    spec = kind(name=str(path), tokenizer=str(path.parent / "tokenizer"), blocks=blocks, **settings)
    context = BuildContext(torch.device("cpu"), seed=3, language_model=language_model)
    return spec.build(context).eval()


def run(backbone: PackedBackbone) -> Tensor:
    with torch.no_grad():
        return backbone(IDS, PACKING)


def expected(path: Path, blocks: int) -> Tensor:
    """Hidden state number `blocks` of the whole stock model, through its final norm."""
    stock: Any = AutoModel.from_pretrained(path, attn_implementation="eager").eval()
    inner = getattr(stock, "decoder", stock)
    norm = next((getattr(inner, name) for name in FINAL_NORMS if hasattr(inner, name)), nn.Identity())
    with torch.no_grad():
        outputs = (
            stock(input_ids=ids[None], output_hidden_states=True) for ids in IDS.split(list(PACKING.lengths))
        )
        return torch.cat([_last_state(out, blocks, norm)[0] for out in outputs])


def _last_state(out: Any, blocks: int, norm: nn.Module) -> Tensor:
    """transformers applies the final norm to the last of its hidden states."""
    is_last = blocks == len(out.hidden_states) - 1
    return out.last_hidden_state if is_last else norm(out.hidden_states[blocks])


@pytest.mark.parametrize("name", NAMES)
def test_the_output_is_a_hidden_state_of_the_whole_model_through_its_final_norm(
    name: str, folder: Path
) -> None:
    path = saved(name, folder)
    backbone = build(path, USED)
    assert torch.allclose(run(backbone), expected(path, USED), atol=1e-5)
    assert not torch.allclose(expected(path, TOTAL), expected(path, USED), atol=1e-3)
    assert len(backbone.flags) == backbone.proof.blocks == USED  # type: ignore[union-attr]


def test_all_blocks_are_the_whole_model_bit_for_bit(folder: Path) -> None:
    path = saved("llama", folder)
    assert torch.equal(run(build(path, "all")), run(build(path, TOTAL)))
    assert torch.allclose(run(build(path, "all")), expected(path, TOTAL), atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "qwen3_moe", "gpt2"])
def test_a_dropped_block_that_is_missing_in_the_files_is_an_error(
    name: str, folder: Path, tmp_path: Path
) -> None:
    """The files of a whole model are expected; what is not used is exactly the dropped blocks."""
    path = tmp_path / name
    shutil.copytree(saved(name, folder), path)
    shutil.copytree(folder / "tokenizer", tmp_path / "tokenizer")
    weights = load_file(path / "model.safetensors")
    kept = {key: value for key, value in weights.items() if not re.search(r"(layers|h)\.3\.", key)}
    assert 0 < len(kept) < len(weights)
    save_file(kept, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="are incomplete: those of block 3 are missing"):
        build(path, 2)


def test_a_model_with_fewer_blocks_is_an_error(folder: Path) -> None:
    with pytest.raises(ModelError, match="`blocks: 5` asks for 5 blocks; the model has 4") as caught:
        build(saved("llama", folder), 5)
    assert caught.value.problems[0].path == "backbone.blocks"


@pytest.mark.parametrize(
    ("name", "reason"), [("gpt_neox_japanese", "layers.2.attention"), ("gemma4_text", "layers.2")]
)
def test_a_family_whose_blocks_depend_on_their_number_is_refused(name: str, reason: str) -> None:
    """The last block of one has a bias, and that of the other always attends to everything."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 6, "num_attention_heads": 4}
    config = AutoConfig.for_model(name, **sizes, vocab_size=257, num_key_value_heads=2, head_dim=8)
    with pytest.raises(ModelError, match=f"cannot be shortened to its first blocks: .*{reason}"):
        exit_early(config, 3, 6, _skeleton)


def test_a_config_is_shortened_in_its_nested_parts_too() -> None:
    """Values of single blocks, and lists with one item per block; what has that length by accident stays."""
    text = {**BY_NAME["gemma3_text"].config(), "eos_token_id": [1, 2, 3, 4]}
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
    config = AutoConfig.for_model("gemma3", text_config=text, vision_config=vision, is_causal=False)
    short = shorten(config, 3, 4)
    assert short.text_config.num_hidden_layers == len(short.text_config.layer_types) == 3
    assert short.text_config.layer_types == config.text_config.layer_types[:3]
    assert short.text_config.eos_token_id == [1, 2, 3, 4]
    assert short.vision_config.num_hidden_layers == 4
    assert short.is_causal is False
    again = type(config).from_dict(short.to_dict())
    assert again.to_dict() == short.to_dict()


def test_masks_and_adapters_are_those_of_the_blocks_in_use(folder: Path) -> None:
    backbone = build(saved("llama", folder), USED, unmask="001", lora=LoRA(r=2, target_modules="all-linear"))
    assert backbone.flags == (False, False, True)
    numbers = {
        int(name.split("layers.")[1].split(".")[0])
        for name, _ in backbone.named_parameters()
        if "lora" in name
    }
    assert numbers == {0, 1, 2}
    with pytest.raises(ModelError, match="the mask names block 3; the model has the blocks 0 to 2"):
        build(saved("llama", folder), USED, unmask=[3])


def test_a_language_model_predicts_from_the_last_block_in_use(folder: Path) -> None:
    backbone = build(saved("llama", folder), USED, language_model=True)
    assert torch.allclose(run(backbone), expected(saved("llama", folder), USED), atol=1e-5)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_quantized_weights_are_those_of_the_blocks_in_use(kind: Any, folder: Path) -> None:
    quantization = Quantization(type=kind, compute_dtype="float32")
    few, whole = (
        build(saved("llama", folder), blocks, quantization=quantization, freeze=True)
        for blocks in (USED, "all")
    )
    with torch.no_grad():
        states = whole.states(IDS, PACKING, all_states=True)
        assert torch.allclose(run(few), whole.model.norm(states[USED])[0], atol=1e-5)  # type: ignore[operator]


def test_runs_of_a_sweep_share_weights_only_with_equally_many_blocks(folder: Path) -> None:
    path = saved("llama", folder)
    with run_cache.enabled():
        counts = [len(build(path, blocks, freeze=True).flags) for blocks in (2, "all", 3, 3)]
        shared = weakref.ref(next(build(path, 3, freeze=True).parameters()))
        assert shared() is not None
        build(path, "all")  # trains all weights, and needs no others in memory
        gc.collect()
    run_cache.clear()
    assert counts == [2, 4, 3, 3]
    assert shared() is None


UNKNOWN_TO_THE_ESTIMATE = ("dbrx", "nomic_bert", "flaubert", "xlm", "xlnet")
"""Families in no table, with a key of their own for the number of blocks."""


@pytest.mark.parametrize(
    "name",
    [each.name for each in FAMILIES if each.support != "none" and each.name not in UNKNOWN_TO_THE_ESTIMATE],
)
def test_the_estimate_shortens_a_config_as_the_model_does(name: str) -> None:
    """A list of four tokens is no list of one item for each of the four blocks, and single blocks may have settings."""
    values = BY_NAME[name].config(eos_token_id=[2, 3, 4, 5])
    whole = AutoConfig.for_model(name, **values)
    stored = {**json.loads(json.dumps(whole.to_dict())), "model_type": name}
    shortened = first_blocks(stored, USED)
    again = type(whole).from_dict(shortened)
    assert again.num_hidden_layers == blocks_of(shortened) == USED
    assert again.to_dict() == shorten(whole, USED, TOTAL).to_dict()
    assert again.eos_token_id == [2, 3, 4, 5]


def test_settings_of_single_blocks_are_dropped_with_them() -> None:
    """Wherever a config is shortened: for the estimate or for the model."""
    config = {"model_type": "llama", "num_hidden_layers": 4, "per_layer_config": {"0": 1, "2": 2, "3": 3}}
    assert first_blocks(config, USED)["per_layer_config"] == {"0": 1, "2": 2}
