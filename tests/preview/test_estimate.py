"""Model checks and estimates of `sltk check`, without loading the model."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sltk.errors import InputError, ModelError
from sltk.families.model_shape import shape, tiny_config
from sltk.families.model_tables import FAMILIES, KEYS, KNOWN_MODELS, REFUSED, REFUSED_BY_KIND, TINY_CONFIGS
from sltk.preview.estimate import Estimate, estimate_run, size_text
from sltk.preview.memory import largest_batch
from sltk.preview.model_check import check_model
from sltk.spec import loading
from sltk.spec.experiment import Experiment
from sltk.spec.loading import Loaded
from tiny_families import BY_NAME

DATA = "data: {train: {type: grammar}}\n"
QLORA = "quantization: {type: nf4}, lora: {r: 64, target_modules: [%s]}"


def loaded(folder: Path, backbone: str, more: str = "", *settings: str) -> Loaded[Experiment]:
    path = folder / "spec.yaml"
    path.write_text(f"name: x\n{DATA}backbone: {{{backbone}}}\n{more}", encoding="utf-8")
    return loading.load(path, settings)


def estimated(folder: Path, backbone: str, more: str = "") -> Estimate:
    result = estimate_run(loaded(folder, backbone, more).spec)
    assert result is not None
    return result


def check(spec: Loaded[Experiment]) -> None:
    with spec.locate_errors():
        check_model(spec.spec.backbone)


def problems(spec: Loaded[Experiment]) -> list[tuple[str | None, str]]:
    with pytest.raises(InputError) as caught:
        check(spec)
    return [(problem.path, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("name", "kind", "targets", "trained"),
    [
        ("meta-llama/Llama-2-7b-hf", "decoder", "q_proj, v_proj", 33_554_432),
        ("mistralai/Mistral-7B-v0.1", "decoder", "q_proj, v_proj", 27_262_976),
        ("FacebookAI/roberta-base", "encoder", "query, value", 2_359_296),
        ("roberta-large", "encoder", "query, value", 6_291_456),
    ],
)
def test_trained_parameters_are_those_of_the_paper(
    tmp_path: Path, name: str, kind: str, targets: str, trained: int
) -> None:
    """LoRA of rank 64 on queries and values has as many parameters as the paper states (§1)."""
    result = estimated(tmp_path, f"type: {kind}, name: {name}, {QLORA % targets}")
    assert result.trained_parameters == trained
    assert result.parameters is not None
    assert result.share == pytest.approx(trained / (result.parameters + trained))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("meta-llama/Llama-2-7b-hf", 6_738_415_616),
        ("mistralai/Mistral-7B-v0.1", 7_241_732_096),
        ("meta-llama/Llama-3.2-1B", 1_235_814_400),
        ("Qwen/Qwen2.5-0.5B", 494_032_768),
        ("Qwen/Qwen3-0.6B", 596_049_920),
        ("google/gemma-2-2b", 2_614_341_888),
        ("openai-community/gpt2", 124_439_808),
        ("FacebookAI/roberta-base", 124_645_632),
        ("google-bert/bert-base-cased", 108_310_272),
        ("microsoft/deberta-v3-base", 183_831_552),
        ("answerdotai/ModernBERT-base", 149_014_272),
    ],
)
def test_known_models_have_their_published_size(name: str, parameters: int) -> None:
    """Models of the table have their published number of parameters, including an output embedding that is not tied."""
    result = shape(KNOWN_MODELS[name])
    assert result is not None
    output = 0 if result.tied else result.sizes["vocabulary"] * result.sizes["hidden"]
    assert result.parameters + output == parameters


def test_every_known_model_has_a_shape_and_a_dtype() -> None:
    """Every entry of the table determines a shape and has the dtype of the published weights."""
    for name, entry in KNOWN_MODELS.items():
        assert shape(entry) is not None, name
        assert entry["stored"] in ("float32", "float16", "bfloat16"), name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("flipped", [False, True], ids=["usual", "flipped"])
def test_families_count_as_transformers_does(family: str, flipped: bool) -> None:
    """Parameters and linear layers equal those of the model that transformers builds, with and without biases."""
    import torch
    from transformers import AutoConfig, AutoModel

    settings = {**tiny_config(family, 3), "vocab_size": 301}
    if flipped:
        settings |= _flipped(family)
    built_config = AutoConfig.for_model(**settings)
    with torch.device("meta"):
        model: Any = AutoModel.from_config(built_config, attn_implementation="eager")
    expected = sum(parameter.numel() for parameter in model.parameters())
    for config in (settings, built_config.to_dict()):
        result = shape(config)
        assert result is not None
        assert result.parameters == expected
        layers = [
            (layer.name, layer.inputs, layer.outputs) for layer in result.linear for _ in range(layer.count)
        ]
        assert sorted(layers) == sorted(_linear_layers(model))


@pytest.mark.parametrize("family", sorted(TINY_CONFIGS))
def test_rehearsal_has_a_tiny_model_of_families_without_a_size(family: str) -> None:
    """`--rehearse` would build the experts, vocabularies and encoders of the published models without these keys."""
    import torch
    from transformers import AutoConfig, AutoModel

    with torch.device("meta"):
        config = AutoConfig.for_model(**{**tiny_config(family, 4), "vocab_size": 300})
        model: Any = AutoModel.from_config(config, attn_implementation="eager")
    assert family not in FAMILIES
    assert sum(parameter.numel() for parameter in model.parameters()) < 2_000_000


def _flipped(family: str) -> dict[str, Any]:
    """Optional biases and norms inverted, and for families with projections, an embedding smaller than the model."""
    from transformers import CONFIG_MAPPING

    usual = CONFIG_MAPPING[family]()
    flags = ("attention_bias", "mlp_bias", "use_bias", "use_qkv_bias", "use_qk_norm", "qk_layernorm")
    changes: dict[str, Any] = {flag: not getattr(usual, flag) for flag in flags if hasattr(usual, flag)}
    if FAMILIES[family].projections:
        changes[(KEYS | dict(FAMILIES[family].keys))["embedding"]] = 32
    return changes


def _linear_layers(model: Any) -> list[tuple[str, int, int]]:
    import torch

    result = []
    for path, module in model.named_modules():
        name = path.rsplit(".", 1)[-1]
        if isinstance(module, torch.nn.Linear):
            result.append((name, module.in_features, module.out_features))
        elif type(module).__name__ == "Conv1D":
            result.append((name, module.nx, module.nf))
    return result


def test_the_estimate_shows_the_mask_in_blocks(tmp_path: Path) -> None:
    """30 blocks in four groups are 8, 8, 7 and 7 blocks."""
    result = estimated(tmp_path, "type: decoder, name: HuggingFaceTB/SmolLM2-135M, unmask: 0011")
    assert dict(result.rows())["blocks"] == "30: 0-15 causal, 16-29 unmasked"


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        (
            "type: decoder, name: gpt2, unmask: 'last:13'",
            ("backbone.unmask", "`last:13` asks for 13 blocks; the model has 12"),
        ),
        (
            "type: decoder, name: gpt2, lora: {target_modules: [c_attn, q_proj]}",
            ("backbone.lora.target_modules.1", "the model has no linear layer `q_proj`"),
        ),
        (
            "type: decoder, name: gpt2, lora: {target_modules: [h.11.attn.c_attn, h.12.attn.c_attn]}",
            ("backbone.lora.target_modules.1", "the model has no linear layer `h.12.attn.c_attn`"),
        ),
        (
            "type: decoder, name: gpt2, blocks: 6, lora: {target_modules: [5.mlp.c_fc, 6.mlp.c_fc]}",
            ("backbone.lora.target_modules.1", "the model has no linear layer `6.mlp.c_fc`"),
        ),
        (
            "type: encoder, name: microsoft/deberta-v3-base, unmask: none",
            (
                "backbone.unmask",
                "the family `deberta-v2` has its own attention code: it runs with `unmask: all` only",
            ),
        ),
    ],
)
def test_a_spec_that_does_not_fit_the_model_is_an_error_with_its_position(
    tmp_path: Path, backbone: str, expected: tuple[str, str]
) -> None:
    """A mask or LoRA target that does not fit the model is a spec error before anything is loaded."""
    spec = loaded(tmp_path, backbone)
    with pytest.raises(InputError) as caught:
        check(spec)
    (problem,) = caught.value.problems
    assert (problem.path, problem.message) == expected
    assert problem.location is not None
    assert problem.location.file.endswith("spec.yaml")


def test_all_problems_of_a_model_are_reported_together(tmp_path: Path) -> None:
    """A wrong mask and a wrong LoRA target are two problems of one error; the target has a suggestion."""
    spec = loaded(tmp_path, "type: decoder, name: gpt2, unmask: [12], lora: {target_modules: [c_atn]}")
    with pytest.raises(InputError) as caught:
        check(spec)
    mask, target = caught.value.problems
    assert mask.path == "backbone.unmask"
    assert target.suggestion == "c_attn"
    assert target.notes == ("linear layers: c_attn, c_fc, c_proj",)


@pytest.mark.parametrize("family", sorted(REFUSED))
def test_check_rejects_families_that_cannot_be_unmasked(tmp_path: Path, family: str) -> None:
    """`check` rejects a family with the reason that building it gives, so the error does not wait for training."""
    backbone = f"type: decoder, init: random, config: {{model_type: {family}}}, tokenizer: {{type: train}}"
    ((path, message),) = problems(loaded(tmp_path, backbone))
    assert path == "backbone.config.model_type"
    cannot = "be unmasked" if family in REFUSED_BY_KIND["decoders"] else "label text"
    assert message == f"the family `{family}` cannot {cannot}: {REFUSED[family]}"


def test_check_rejects_every_family_that_building_rejects() -> None:
    """Families that cannot be unmasked when a model is built are rejected before anything is loaded."""
    assert {name for name, family in BY_NAME.items() if family.support == "none"} <= REFUSED.keys()


def test_a_lora_target_may_be_a_longer_path(tmp_path: Path) -> None:
    """`dense` matches three layers of a BERT block and the pooler, `attention.output.dense` one of them."""
    counts = []
    for target in ("attention.output.dense", "dense"):
        backbone = f"type: encoder, name: bert-base-cased, lora: {{r: 1, target_modules: [{target}]}}"
        counts.append(estimated(tmp_path, backbone).trained_parameters)
    assert counts[0] == 12 * (768 + 768)
    assert counts[1] == 12 * (768 + 768 + 2 * (768 + 3072)) + (768 + 768)


@pytest.mark.parametrize(("lora", "trained"), [("lora: {r: 8}", 12 * 8 * (768 + 2304)), ("freeze: true", 0)])
def test_the_spec_determines_the_trained_parameters(tmp_path: Path, lora: str, trained: int) -> None:
    """Unset targets are the query and value projections; a frozen backbone trains nothing."""
    assert estimated(tmp_path, f"type: decoder, name: gpt2, {lora}").trained_parameters == trained


def test_an_unknown_model_is_a_note(tmp_path: Path) -> None:
    """A model that is neither on this machine nor in the table has no estimates; the spec is valid."""
    spec = loaded(tmp_path, "type: decoder, name: nobody/nothing-1b, unmask: 0011, lora: {}")
    check(spec)
    result = estimate_run(spec.spec)
    assert result is not None
    assert (result.parameters, result.memory_gpu_bytes, result.download_bytes) == (None, None, None)
    assert "the size of `nobody/nothing-1b` is unknown" in result.notes[0]


def test_a_directory_is_read_from_its_config(tmp_path: Path) -> None:
    """A model directory needs no entry in the table and no download."""
    config_json = tiny_config("qwen3", 6) | {"vocab_size": 1000}
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_text(json.dumps(config_json), encoding="utf-8")
    result = estimated(
        tmp_path, "type: decoder, name: ./m, unmask: 011, lora: {r: 4, target_modules: [k_proj]}"
    )
    assert (result.family, result.blocks, result.download_bytes) == ("qwen3", 6, 0)
    assert result.trained_parameters == 6 * 4 * (64 + 32)


def test_an_unknown_family_is_read_from_the_headers_of_its_weights(tmp_path: Path) -> None:
    """For a family that is not in the table, parameters, blocks and linear layers come from the safetensors headers."""
    tensors = {
        "model.embed.weight": (50, 8),
        "model.layers.0.mixer.wide.weight": (24, 8),
        "model.layers.1.mixer.wide.weight": (24, 8),
        "lm_head.weight": (50, 8),
    }
    _model_directory(tmp_path / "m", {"model_type": "novel", "num_hidden_layers": 2}, tensors)
    spec = loaded(tmp_path, "type: decoder, name: ./m, unmask: 01, lora: {r: 2, target_modules: [wide]}")
    check(spec)
    result = estimate_run(spec.spec)
    assert result is not None
    assert (result.parameters, result.trained_parameters) == (50 * 8 + 2 * 24 * 8, 2 * 2 * (24 + 8))
    assert result.memory_gpu_bytes is None
    wrong = loaded(tmp_path, "type: decoder, name: ./m, lora: {r: 2, target_modules: [narrow]}")
    assert problems(wrong) == [("backbone.lora.target_modules.0", "the model has no linear layer `narrow`")]


def test_a_damaged_directory_is_an_error(tmp_path: Path) -> None:
    """An invalid config.json and truncated weights are reported with their path."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_text("{", encoding="utf-8")
    spec = loaded(tmp_path, "type: decoder, name: ./m")
    with pytest.raises(ModelError, match=r"config\.json` is not JSON"):
        estimate_run(spec.spec)
    (tmp_path / "m/config.json").write_text('{"model_type": "novel"}', encoding="utf-8")
    (tmp_path / "m/model.safetensors").write_bytes(struct.pack("<Q", 400) + b'{"a": ')
    with pytest.raises(ModelError, match="not a complete safetensors file"):
        estimate_run(spec.spec)


def test_models_in_the_hub_cache_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A downloaded model is read from its config, at the revision of the spec."""
    snapshot = tmp_path / "models--some--model/snapshots/abc"
    _model_directory(snapshot, tiny_config("llama", 5) | {"vocab_size": 100}, {})
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert estimated(tmp_path, "type: decoder, name: some/model, revision: abc").blocks == 5
    assert estimated(tmp_path, "type: decoder, name: some/model").blocks is None
    (tmp_path / "models--some--model/refs").mkdir()
    (tmp_path / "models--some--model/refs/main").write_text("abc", encoding="utf-8")
    assert estimated(tmp_path, "type: decoder, name: some/model").blocks == 5


def _model_directory(folder: Path, config_json: dict[str, Any], tensors: dict[str, tuple[int, int]]) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config_json), encoding="utf-8")
    header = {
        name: {"dtype": "F32", "shape": list(dimensions), "data_offsets": [0, 0]}
        for name, dimensions in tensors.items()
    }
    text = json.dumps(header).encode()
    if tensors:
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)


@pytest.mark.parametrize(
    ("backbone", "measured"),
    [
        (
            "type: decoder, name: HuggingFaceTB/SmolLM2-135M, lora: {r: 64, target_modules: [q_proj, v_proj]}",
            1_779_212_288,
        ),
        ("type: encoder, name: sentence-transformers/all-MiniLM-L6-v2", 1_117_929_472),
    ],
    ids=["135M decoder, LoRA", "22.7M encoder, trained whole"],
)
def test_the_memory_estimate_is_close_to_measurements(tmp_path: Path, backbone: str, measured: int) -> None:
    """On a CPU, it is within 25 % of the peak of real runs (SemEval-2014 restaurants, batch 16, one epoch)."""
    assert estimated(tmp_path, backbone).memory_cpu_bytes == pytest.approx(measured, rel=0.25)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("quantization: {type: nf4}, lora: {}", "quantization: {type: nf4, double: false}, lora: {}"),
        ("quantization: {type: nf4, double: false}, lora: {}", "quantization: {type: int8}, lora: {}"),
        ("quantization: {type: int8}, lora: {}", "lora: {}"),
        ("lora: {r: 8}", "lora: {r: 64}"),
        ("freeze: true", "lora: {}"),
        ("lora: {}", "dtype: float32, lora: {}"),
        ("dtype: float32, lora: {}", "dtype: float32"),
    ],
)
def test_options_that_save_memory_lower_the_estimate(tmp_path: Path, less: str, more: str) -> None:
    """Fewer bits, fewer trained weights and smaller adapters take less memory on a GPU."""
    name = "type: decoder, name: mistralai/Mistral-7B-v0.3"
    small, large = (estimated(tmp_path, f"{name}, {options}").memory_gpu_bytes for options in (less, more))
    assert small is not None
    assert large is not None
    assert small < large


def test_checkpointing_8_bit_states_and_smaller_batches_save_memory(tmp_path: Path) -> None:
    """The estimate depends on the options of the trainer that save memory."""
    backbone = "type: decoder, name: Qwen/Qwen3-0.6B"

    def gpu(trainer: str) -> int:
        return estimated(tmp_path, backbone, f"trainer: {{{trainer}}}\n").memory_gpu_bytes or 0

    plain = gpu("batch_size: 64")
    assert gpu("batch_size: 64, gradient_checkpointing: true") < plain
    assert gpu("batch_size: 64, optimizer: paged_adamw_8bit") < plain
    assert gpu("batch_size: 8") < plain


@pytest.mark.parametrize("options", ["lora: {}", "dtype: float32"])
def test_each_further_gpu_of_a_sharded_run_needs_less_memory(tmp_path: Path, options: str) -> None:
    """The weights of a large model are divided; activations and the block that computes are not."""
    backbone = f"type: decoder, name: mistralai/Mistral-7B-v0.3, {options}"
    result = estimated(tmp_path, backbone, "trainer: {sharding: full}\n")
    sizes = [result.memory_gpu_bytes or 0, *(result.sharded_gpu_bytes or {}).values()]
    assert list(result.sharded_gpu_bytes or {}) == [2, 4, 8]
    assert sizes == sorted(sizes, reverse=True)
    assert estimated(tmp_path, backbone).sharded_gpu_bytes is None


def test_max_length_bounds_the_largest_batch() -> None:
    """A batch of B sentences has at most B · `max_length` subwords."""
    assert largest_batch(16, None) > 16 * 24
    assert largest_batch(16, 8) == 16 * 8


def test_a_randomly_initialized_model_needs_no_download(tmp_path: Path) -> None:
    """The parameters of `init: random` follow from its config and its tokenizer's vocabulary."""
    sizes = "hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2"
    tokenizer = "tokenizer: {type: train, vocab_size: 300}"
    backbone = f"type: decoder, init: random, config: {{model_type: llama, {sizes}}}, {tokenizer}"
    result = estimated(tmp_path, backbone)
    assert result.parameters == 300 * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 64 + 2 * 32) + 32
    assert (result.download_bytes, result.share) == (0, 1.0)


def test_gated_models_have_a_note_with_instructions(tmp_path: Path) -> None:
    """The note has the page on which to accept the licence."""
    result = estimated(tmp_path, f"type: decoder, name: meta-llama/Llama-2-7b-hf, {QLORA % 'q_proj'}")
    assert "huggingface.co/meta-llama/Llama-2-7b-hf" in result.notes[0]
    assert result.download_bytes == 6_738_415_616 * 2


@pytest.mark.parametrize(("size", "text"), [(3 * 2**30, "3.0 GiB"), (5 * 2**20, "5 MiB")])
def test_sizes_have_binary_units(size: int, text: str) -> None:
    """Sizes below 1 GiB are in MiB."""
    assert size_text(size) == text


def test_check_prints_the_estimate_and_imports_nothing_heavy(tmp_path: Path) -> None:
    """`sltk check` prints the estimate as text and JSON without importing torch or transformers."""
    path = loaded(
        tmp_path, f"type: decoder, name: meta-llama/Llama-2-7b-hf, {QLORA % 'q_proj, v_proj'}"
    ).tree.mark.file
    script = (
        "import sys; from sltk.cli import main\n"
        "try: main()\n"
        "finally: print([name for name in ('torch', 'transformers', 'peft') if name in sys.modules])"
    )

    def run(*more: str) -> str:
        command = [sys.executable, "-c", script, "check", path, *more]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    text = run()
    assert "33,554,432 (0.51%), and the head" in text
    assert "about 12.6 GiB" in text
    assert text.endswith("[]\n")
    report = json.loads(run("--json").removesuffix("[]\n"))
    assert report["estimate"]["trained_parameters"] == 33_554_432
