"""Building backbones: fresh, from a directory, quantized; rejected models and their error messages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

import sltk.components.backbones  # noqa: F401
from sltk.components.aligners import FirstSubword
from sltk.components.backbones import Decoder, Encoder, LoRA, Quantization, TrainedTokenizer
from sltk.components.backbones.building import train_tokenizer
from sltk.components.heads import LinearHead
from sltk.components.splitters import RegexSplitter
from sltk.errors import ModelError
from sltk.models import saving, tagging
from sltk.models.tagger_model import TaggerModel
from sltk.nn.backbone import BuildContext, PackedBackbone
from sltk.nn.packing import Packing
from sltk.nn.tagger import Tagger
from sltk.schemes.labels import LabelSet
from tiny_families import BY_NAME

CPU = torch.device("cpu")
LABELS = LabelSet(("O", "B-PLACE", "I-PLACE"), "IOB2")
IDS, PACKING = torch.arange(3, 17), Packing.of_lengths([6, 8])


def context(**more: Any) -> BuildContext:
    return BuildContext(CPU, seed=0, texts=lambda: ["a few words of text"], **more)


def tiny(family: str = "llama", **changes: Any) -> dict[str, Any]:
    return {"model_type": family, **BY_NAME[family].config(**changes)}


def fresh(**settings: Any) -> Decoder:
    config = tiny(hidden_size=64, head_dim=16, vocab_size=257)
    return Decoder(init="random", config=config, tokenizer=TrainedTokenizer(vocab_size=257), **settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model directory as transformers writes it."""
    return write_model(tmp_path / "shared" / "small-llama")


def write_model(path: Path, **saving: Any) -> Path:
    torch.manual_seed(4)
    config = AutoConfig.for_model(**tiny(hidden_size=64, head_dim=16, vocab_size=257))
    AutoModel.from_config(config).save_pretrained(path, **saving)
    train_tokenizer(["a few words"], 257).save_pretrained(path)
    return path


def vectors(backbone: PackedBackbone) -> torch.Tensor:
    with torch.no_grad():
        return backbone.eval()(IDS, PACKING)


def assemble(spec: Any) -> TaggerModel:
    backbone = spec.build(context())
    torch.manual_seed(1)
    return TaggerModel(
        network=Tagger(backbone, FirstSubword().build(), LinearHead().build(backbone.hidden_size, LABELS)),
        labels=LABELS,
        splitter=RegexSplitter(),
        aligner=FirstSubword(),
        backbone=spec,
        head=LinearHead(),
        max_length=None,
        device=CPU,
    )


def reload(model: TaggerModel, path: Path) -> TaggerModel:
    saving.save(model, path, path.parent / "no-imports")
    return tagging.load(path)


def test_a_model_comes_from_a_directory(folder: Path) -> None:
    """Weights, config and tokenizer come from the directory, and its content hash is recorded."""
    backbone = Decoder(name=str(folder)).build(context())
    stock = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = torch.cat([stock(part[None]).last_hidden_state[0] for part in IDS.split([6, 8])])
    assert torch.allclose(vectors(backbone), expected, atol=1e-5)
    assert backbone.base["name"] == str(folder)
    assert len(backbone.base["content"]) == 64


def test_all_shards_of_weights_are_loaded(folder: Path, tmp_path: Path) -> None:
    """A directory with weights in several files gives the same model."""
    sharded = write_model(tmp_path / "sharded", max_shard_size="60KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert torch.equal(
        vectors(Decoder(name=str(sharded)).build(context())),
        vectors(Decoder(name=str(folder)).build(context())),
    )


def test_fresh_weights_depend_only_on_the_seed() -> None:
    """The same seed gives the same model; another seed gives another model."""
    first, second = fresh().build(context()), fresh().build(context())
    other = fresh().build(BuildContext(CPU, seed=1, texts=lambda: ["a"]))
    assert torch.equal(vectors(first), vectors(second))
    assert not torch.allclose(vectors(first), vectors(other), atol=0.1)


@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8"])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_fresh_quantized_model_is_saved_with_its_weights_and_reloads_equal(
    kind: Any, frozen: bool, tmp_path: Path
) -> None:
    """A run saves its random weights, quantized, and gives the same vectors after reloading."""
    settings: dict[str, Any] = {"freeze": True} if frozen else {"lora": LoRA(r=4)}
    model = assemble(fresh(quantization=Quantization(type=kind), **settings))
    kinds = {type(module).__name__ for module in model.network.modules()}
    assert kinds & {"Linear4bit", "Linear8bitLt"}
    again = reload(model, tmp_path / "model")
    assert (tmp_path / "model" / "base" / "model.safetensors").is_file()
    assert kinds & {"Linear4bit", "Linear8bitLt"} <= {
        type(module).__name__ for module in again.network.modules()
    }
    assert torch.allclose(vectors(again.network.backbone), vectors(model.network.backbone), atol=1e-6)


def test_a_pretrained_model_loads_quantized(folder: Path) -> None:
    """The output of an NF4 model is close to that of the full model, and its weights are stored as bytes."""
    full = vectors(Decoder(name=str(folder)).build(context()))
    small = Decoder(name=str(folder), quantization=Quantization(compute_dtype="float32"), freeze=True).build(
        context()
    )
    assert float((vectors(small).float() - full).norm() / full.norm()) < 0.3
    assert any(parameter.dtype == torch.uint8 for parameter in small.parameters())


def test_pickled_weights_are_rejected_with_the_command_that_converts_them(folder: Path) -> None:
    """Pickled weights are not loaded, because loading a pickle can run any code."""
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="pickled weights are refused") as error:
        Decoder(name=str(folder)).build(context())
    assert f"from_pretrained('{folder}').save_pretrained('small-llama-safetensors')" in str(error.value)


def test_python_code_next_to_a_model_is_rejected_not_run(folder: Path, tmp_path: Path) -> None:
    """A config.json that refers to code (`auto_map`) is an error; the code is never imported."""
    marker = tmp_path / "ran"
    (folder / "modeling_own.py").write_text(f"open({str(marker)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "modeling_own.C", "AutoModel": "modeling_own.M"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="contains its own Python code"):
        Decoder(name=str(folder), tokenizer=TrainedTokenizer(vocab_size=257)).build(context())
    assert not marker.exists()


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        (None, "no model directory"),
        ("config.json", "cannot load"),
        ("model.safetensors", "no safetensors weights"),
    ],
)
def test_an_incomplete_directory_is_an_error(folder: Path, remove: str | None, message: str) -> None:
    """A missing directory, config or weights file gives one message that names the directory."""
    if remove is None:
        shutil.rmtree(folder)
    else:
        (folder / remove).unlink()
    with pytest.raises(ModelError, match=message) as error:
        Decoder(name=str(folder), tokenizer=TrainedTokenizer(vocab_size=257)).build(context())
    assert str(folder) in str(error.value)


def test_an_unavailable_hub_model_is_explained_immediately() -> None:
    """Offline, the error appears without waiting or retries, and suggests what to do."""
    start_time = time.perf_counter()
    with pytest.raises(ModelError, match="cannot load `nobody/no-such-model`") as error:
        Decoder(name="nobody/no-such-model").build(context())
    assert "name the directory" in str(error.value)
    assert "--rehearse" in str(error.value)
    assert time.perf_counter() - start_time < 5


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("llama", {"q_proj", "v_proj"}), ("mistral", {"q_proj", "v_proj"}), ("gpt2", {"c_attn"}),
        ("gpt_neox", {"query_key_value"}), ("phi3", {"qkv_proj"}), ("bert", {"query", "value"}),
        ("distilbert", {"q_lin", "v_lin"}), ("modernbert", {"Wqkv"}), ("deberta-v2", {"query_proj", "value_proj"}),
        ("deepseek_v3", {"q_b_proj", "kv_b_proj"}), ("ctrl", {"Wq", "Wv"}), ("jetmoe", {"kv_proj"}),
    ],
)  # fmt: skip
def test_adapters_go_to_query_and_value_projections_unless_named(family: str, expected: set[str]) -> None:
    """Projections have other names in each family, and only the adapters are trained."""
    kind = Encoder if BY_NAME[family].kind == "encoder" else Decoder
    spec = kind(
        init="random", config=tiny(family), tokenizer=TrainedTokenizer(vocab_size=257), lora=LoRA(r=2)
    )
    backbone = spec.build(context())
    trained = [name for name, parameter in backbone.named_parameters() if parameter.requires_grad]
    assert {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in trained} == expected
    assert len(trained) == 2 * 4 * len(expected)
    vectors(backbone)


def test_all_unknown_adapter_targets_are_reported_with_the_valid_ones() -> None:
    """All wrong names are reported together, with the nearest valid name and the list of layers."""
    with pytest.raises(ModelError) as error:
        fresh(lora=LoRA(target_modules=["q_prj", "v_proj", "mlp"])).build(context())
    text = str(error.value)
    assert "no linear layer `q_prj`" in text
    assert "did you mean `q_proj`?" in text
    assert "no linear layer `mlp`" in text
    assert "linear layers: down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in text


def test_all_linear_is_every_linear_layer() -> None:
    """`target_modules: all-linear` selects every linear layer."""
    backbone = fresh(lora=LoRA(r=2, target_modules="all-linear")).build(context())
    names = {
        name.split(".lora_")[0].rsplit(".", 1)[-1]
        for name, p in backbone.named_parameters()
        if p.requires_grad
    }
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "lama"}, "did you mean `llama`"),
        (
            {"model_type": "llama", "hidden_size": 30, "num_attention_heads": 4},
            "these values do not fit a llama model: .*30.*is not a multiple",
        ),
        ({"model_type": "t5"}, "`t5` cannot label text: .*an encoder and a decoder"),
    ],
)
def test_a_config_that_makes_no_model_is_explained(config: dict[str, Any], message: str) -> None:
    """The error suggests the nearest model type, or explains inconsistent values or an unsupported kind of model."""
    with pytest.raises(ModelError, match=message):
        Decoder(init="random", config=config, tokenizer=TrainedTokenizer(vocab_size=257)).build(context())


def test_a_mask_with_more_groups_than_blocks_names_both() -> None:
    """The error gives the number of digits and the number of blocks."""
    with pytest.raises(
        ModelError, match=r"5 digits needs at least 5 blocks; the model has 4[\s\S]*backbone.unmask"
    ):
        fresh(unmask="01111").build(context())


def test_a_moved_base_is_found_by_its_content(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run finds its moved base directory in `$SLTK_MODELS` if the content is the same."""
    model = assemble(Decoder(name=str(folder), lora=LoRA(r=4)))
    expected = vectors(model.network.backbone)
    saving.save(model, tmp_path / "model", tmp_path / "no-imports")
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder.parent, elsewhere)
    monkeypatch.setenv("SLTK_MODELS", str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="is not on this machine") as error:
        tagging.load(tmp_path / "model")
    assert "SLTK_MODELS" in str(error.value)
    monkeypatch.setenv("SLTK_MODELS", str(elsewhere))
    assert torch.allclose(vectors(tagging.load(tmp_path / "model").network.backbone), expected, atol=1e-5)


def test_other_weights_under_the_name_of_the_base_are_rejected(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter is never applied to weights that it was not trained on."""
    model = assemble(Decoder(name=str(folder), lora=LoRA(r=4)))
    saving.save(model, tmp_path / "model", tmp_path / "no-imports")
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    monkeypatch.setenv("SLTK_MODELS", str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="are not those this model was trained on"):
        tagging.load(tmp_path / "model")


def test_loading_writes_nothing_to_the_terminal(folder: Path) -> None:
    """Libraries write no progress bars and no warnings, also with quantization and adapters."""
    code = (
        "import torch, sltk.components.backbones\n"
        "from sltk.components.backbones import Decoder, LoRA, Quantization\n"
        "from sltk.nn.backbone import BuildContext\n"
        f"spec = Decoder(name={str(folder)!r}, quantization=Quantization(), lora=LoRA(r=2), unmask='0110')\n"
        "spec.build(BuildContext(torch.device('cpu'), 0, gradient_checkpointing=True))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_a_gguf_file_and_its_source_give_the_same_vectors(models: Path) -> None:
    """A GGUF file and a directory of the same model agree; without the gguf package, the error names it."""
    spec = Decoder(name=str(models), gguf_file="smollm2-135m.gguf", unmask="0011")
    try:
        import gguf  # noqa: F401
    except ImportError:
        with pytest.raises(ModelError, match=r"sltk\[gguf\]"):
            spec.build(BuildContext(CPU, 0))
        return
    from_gguf = spec.build(BuildContext(CPU, 0))
    directory = Decoder(name=str(models / "smollm2-135m"), unmask="0011").build(BuildContext(CPU, 0))
    assert torch.allclose(vectors(from_gguf), vectors(directory), atol=1e-4)
    assert from_gguf.proof is not None
    assert len(from_gguf.tokenizer) == len(directory.tokenizer)
