"""Every family of docs/reference/families.md equals the stock model with its own mask and obeys any other mask."""

from __future__ import annotations

import functools
import importlib.util
import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
)

import sltk.components.backbones  # noqa: F401
from newer_families import NEWER, NO_EARLY_EXIT, SAMPLE
from repository import ROOT
from sltk.components.backbones import Decoder, Encoder, TrainedTokenizer
from sltk.components.backbones.attention_setup import apply_mask
from sltk.errors import ModelError
from sltk.exporting.plain_config import NotPlainError, plain_config
from sltk.families.model_tables import FAMILIES as SIZED
from sltk.families.model_tables import REFUSED, TEXT_PARTS
from sltk.nn.backbone import BuildContext, PackedBackbone
from sltk.nn.packing import Packing
from tiny_families import BY_NAME, FAMILIES

LENGTHS = (11, 7, 7, 1)
PACKED = [family.name for family in FAMILIES if family.support == "any mask"]
CHECKED = [name for name in PACKED if BY_NAME[name] not in NEWER or name in SAMPLE]
"""Families on which every check runs."""
WINDOWED = [name for name in CHECKED if "sliding window" in BY_NAME[name].note]
PADDED = [family.name for family in FAMILIES if family.support == "own mask only"]
UNSUITABLE = [family.name for family in FAMILIES if family.support == "none"]


def build(name: str, mask: Any = None, **settings: Any) -> PackedBackbone:
    """Build a model of the family with random weights; building verifies the mask."""
    family = BY_NAME[name]
    kind = Encoder if family.kind == "encoder" else Decoder
    spec = kind(
        init="random",
        config={"model_type": name, **family.config(**settings.pop("config", {}))},
        tokenizer=TrainedTokenizer(vocab_size=257),
        **({} if mask is None else {"unmask": mask}),
        **{key: value for key, value in settings.items() if key != "gradient_checkpointing"},
    )
    context = BuildContext(
        torch.device("cpu"),
        seed=3,
        texts=lambda: ["a few words"],
        gradient_checkpointing=settings.get("gradient_checkpointing", False),
        prove=name != "neomme",
    )
    backbone = spread(spec.build(context))
    # Fresh weights of NeoMME are 0 after each attention, so nothing reaches anything.
    if backbone.proof is None:
        assert backbone.prove is not None
        backbone.proof = backbone.prove()
    return backbone


def spread(backbone: PackedBackbone) -> PackedBackbone:
    """Add noise to the weights, so that every path through the model changes the output."""
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=noise))
    return backbone.eval()


@functools.cache
def built(name: str, mask: Any = None) -> PackedBackbone:
    return build(name, mask)


def sentences(lengths: tuple[int, ...] = LENGTHS) -> list[Tensor]:
    draw = torch.Generator().manual_seed(2)
    return [torch.randint(3, 90, (length,), generator=draw) for length in lengths]


def run(backbone: PackedBackbone, ids: list[Tensor]) -> Tensor:
    return backbone(torch.cat(ids), Packing.of_lengths([len(sentence) for sentence in ids]))


def close(x: Tensor, y: Tensor, tolerance: float = 1e-5) -> bool:
    return float((x - y).abs().max()) <= tolerance * max(1.0, float(y.abs().max()))


def stock(backbone: PackedBackbone, **inputs: Tensor) -> Tensor:
    """The output of transformers' own attention with the same weights."""
    model: Any = backbone.model
    previous = model.config._attn_implementation
    # Its eager attention needs a mask.
    is_modernbert_decoder = model.config.model_type == "modernbert-decoder"
    model.set_attn_implementation("sdpa" if is_modernbert_decoder else "eager")
    try:
        with torch.no_grad():
            return model(**inputs).last_hidden_state
    finally:
        model.set_attn_implementation(previous)


@pytest.mark.parametrize("name", PACKED)
def test_with_its_own_mask_a_family_equals_the_stock_model(name: str) -> None:
    """The output equals that of stock transformers on single sentences and on a padded batch, including windows."""
    backbone, ids = built(name), sentences()
    with torch.no_grad():
        packed = run(backbone, ids)
    alone = torch.cat([stock(backbone, input_ids=sentence[None])[0] for sentence in ids])
    batch = torch.full((len(ids), max(LENGTHS)), 0)
    real = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    batch[real] = torch.cat(ids)
    padded = stock(backbone, input_ids=batch, attention_mask=real.long())[real]
    assert close(packed, alone)
    # RoBERTa recognizes padding by its id, the others by the attention mask.
    assert close(packed, padded)


@pytest.mark.parametrize(
    "name", ["llama", "gpt2", *(name for name in WINDOWED if BY_NAME[name].kind == "decoder")]
)
def test_a_decoder_that_says_it_is_not_causal_equals_the_stock_model(name: str) -> None:
    """With `is_causal: false` the mask `all` is the model's own; windows include their ends, as in transformers."""
    backbone, ids = build(name, "all", config={"is_causal": False}), sentences()
    with torch.no_grad():
        packed = run(backbone, ids)
    assert close(packed, torch.cat([stock(backbone, input_ids=sentence[None])[0] for sentence in ids]))
    causal = build(name, "none", config={"is_causal": False})
    with torch.no_grad():
        assert not close(run(causal, ids), packed)


@pytest.mark.parametrize("mask", ["none", "all"])
@pytest.mark.parametrize("name", [name for name in CHECKED if BY_NAME[name].kind == "decoder"])
def test_the_config_of_an_export_gives_transformers_the_mask(name: str, mask: str) -> None:
    """Stock transformers with this config equals sltk on a padded batch, for every family of decoders."""
    backbone, ids = built(name, mask), sentences()
    model: Any = backbone.model
    config = plain_config(model.config, backbone.flags, is_encoder=False, drop_window=False)
    other = AutoModel.from_config(config, attn_implementation="eager").eval()
    other.load_state_dict(model.state_dict())
    lengths = torch.tensor(LENGTHS)
    batch, real = torch.zeros(len(ids), max(LENGTHS)).long(), torch.arange(max(LENGTHS)) < lengths[:, None]
    batch[real] = torch.cat(ids)
    with torch.no_grad():
        theirs = other(input_ids=batch, attention_mask=real.long()).last_hidden_state[real]
        assert close(run(backbone, ids), theirs)


def test_a_window_of_one_token_has_no_unmasked_equivalent() -> None:
    """transformers' window of width 0 would be no window."""
    config = SimpleNamespace(sliding_window=1)
    with pytest.raises(NotPlainError, match="sliding window of 1 token"):
        plain_config(config, (True, True), is_encoder=False, drop_window=False)


MASKS = ("0000", "1111", "0001", "1000", "0110")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mask"),
    [(name, mask) for name in CHECKED for mask in (MASKS if name not in SAMPLE else MASKS[-1:])],
)
def test_a_changed_token_changes_exactly_the_positions_that_the_mask_predicts(name: str, mask: Any) -> None:
    """One changed token changes the positions that it reaches through causal and unmasked blocks, and no others."""
    backbone, length = built(name, mask), 6
    base = sentences((length,))[0]
    changed = [
        base.index_fill(0, torch.tensor([token]), int(base[token] + 5) % 90 + 3) for token in range(length)
    ]
    with torch.no_grad():
        states = run(backbone, [base, *changed]).reshape(length + 1, length, -1)
    moved = (states[1:] - states[0]).abs().amax(-1).T > 1e-5  # [position, changed token]
    assert torch.equal(moved, predicted(backbone, length))


def predicted(backbone: PackedBackbone, length: int) -> Tensor:
    """Whether a position can be reached from a token, block by block: [position, token]."""
    config: Any = backbone.model.config
    distance = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    reach = torch.eye(length, dtype=torch.bool)
    rules = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    if config.model_type == "modernbert":
        window = config.local_attention // 2 + 1
    elif config.model_type in ("openai_privacy_filter", "ultrabert"):
        window += 1  # these encoders see the tokens up to this distance
    for block, flag in enumerate(backbone.flags):
        sees = torch.ones_like(reach) if flag else distance >= 0
        if window and (rules is None or rules[block] == "sliding_attention"):
            sees &= distance.abs() < window
        reach = (sees.long() @ reach.long()) > 0
    return reach


def gradients(backbone: PackedBackbone, batches: list[list[Tensor]]) -> dict[str, Tensor]:
    backbone.zero_grad()
    for ids in batches:
        out = run(backbone, ids)
        (out * torch.cos(torch.arange(out.shape[1]))).sum().backward()
    return {name: p.grad.clone() for name, p in backbone.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", PACKED)
def test_vectors_and_gradients_do_not_depend_on_the_batch(name: str) -> None:
    """With a mixed mask, a sentence has the same vectors alone and in a batch, and gradients add up."""
    backbone, ids = built(name, "0110"), sentences(LENGTHS if name in CHECKED else (7, 4))
    with torch.no_grad():
        assert close(run(backbone, ids), torch.cat([run(backbone, [sentence]) for sentence in ids]))
    together = gradients(backbone, [ids])
    apart = gradients(backbone, [[sentence] for sentence in ids])
    assert together.keys() == apart.keys()
    assert not [key for key in apart if not close(together[key], apart[key], 2e-5)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CHECKED if name != "ctrl"])  # which has no checkpointing
def test_gradient_checkpointing_changes_no_gradient(name: str) -> None:
    """Recomputed blocks see the same sentences and the same mask."""
    plain, saving = built(name, "0110"), build(name, "0110", gradient_checkpointing=True)
    assert saving.model.is_activation_checkpointing  # type: ignore[operator]
    ids = sentences()
    # Training mode enables checkpointing and dropout; dropout is disabled again.
    saving.train()
    for module in saving.modules():
        for key in ("p", *(name for name in vars(module) if "drop" in name)):
            if isinstance(getattr(module, key, None), float):
                setattr(module, key, 0.0)
    # With two batches in one update, the backward pass of the first must not see sentences of the second.
    first, second = run(saving, ids), run(saving, ids[:1])
    weights = torch.cos(torch.arange(first.shape[1]))
    saving.zero_grad()
    (second * weights).sum().backward()
    (first * weights).sum().backward()
    expected = gradients(plain, [ids, ids[:1]])
    actual = {key: p.grad for key, p in saving.named_parameters() if p.grad is not None}
    assert actual.keys() == expected.keys()
    assert not [key for key in expected if not close(actual[key], expected[key], 2e-5)]


@pytest.mark.parametrize("name", WINDOWED)
def test_windows_can_be_dropped_in_unmasked_blocks_only(name: str) -> None:
    """With `unmask_window: drop`, unmasked blocks see the whole sentence, and causal blocks keep their window."""
    free = build(name, "1111", unmask_window="drop")
    half, causal = build(name, "0000", unmask_window="drop"), built(name, "0000")
    ids = sentences((11,))
    with torch.no_grad():
        assert close(run(half, ids), run(causal, ids))
        moved = (
            (run(free, [ids[0]]) - run(free, [ids[0].index_fill(0, torch.tensor([10]), 4)])).abs().amax(-1)
        )
    assert bool((moved > 1e-5).all())


@pytest.mark.parametrize("name", UNSUITABLE)
@pytest.mark.parametrize("mask", ["0000", "0111"])
def test_families_that_cannot_be_unmasked_are_rejected_by_name(name: str, mask: str) -> None:
    """A family without replaceable attention in every block is rejected with any mask, with the reason of the table."""
    with pytest.raises(ModelError, match=re.escape(f"`{name}` cannot be unmasked: {REFUSED[name]}")):
        build(name, mask)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, Decoder) for name in UNSUITABLE if name != "kimi_linear"),  # whose own code is slow
        *(
            (name, Encoder)
            for name in ("mamba", "falcon", "hrm_text", "xglm", "gemma3n_text", "deepseek_v32")
        ),
    ],
)
def test_the_proof_rejects_these_families_too(name: str, kind: type[Decoder | Encoder]) -> None:
    """Without the table, the proof refuses the same families, also as an encoder with its own mask."""
    config = AutoConfig.for_model(name, **BY_NAME[name].config())
    model = AutoModel.from_config(config, attn_implementation="eager")
    spec = kind(name="unused", unmask="all")
    context = BuildContext(torch.device("cpu"), seed=3)
    with pytest.raises(ModelError, match=f"`{name}` cannot|mask does not hold"):
        apply_mask(model, None, (True,) * config.num_hidden_layers, spec, context)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gpt_oss"])
def test_a_decoder_is_no_encoder(name: str) -> None:
    """A causal model of `type: encoder` is refused: it would run causal, with all blocks recorded as unmasked."""
    spec = Encoder(
        init="random",
        config={"model_type": name, **BY_NAME[name].config()},
        tokenizer=TrainedTokenizer(vocab_size=257),
    )
    with pytest.raises(ModelError, match="cannot be run as an encoder: its words do not see later words"):
        spec.build(BuildContext(torch.device("cpu"), 3, texts=lambda: ["a"]))


@pytest.mark.parametrize("name", PADDED)
def test_encoders_with_their_own_attention_code_equal_the_stock_model(name: str) -> None:
    """DeBERTa and similar families run unchanged on padded batches, and the proof says so."""
    backbone, ids = built(name), sentences()
    assert backbone.proof is not None
    assert not backbone.proof.packed
    with torch.no_grad():
        packed = run(backbone, ids)
        run(backbone, sentences((backbone.max_length or 64,)))  # the table of positions has no further rows
    assert close(packed, torch.cat([stock(backbone, input_ids=s[None])[0] for s in ids]))


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize("mask", ["none", "0111"])
def test_masks_are_rejected_for_encoders_with_their_own_attention_code(name: str, mask: str) -> None:
    """The error names the family."""
    with pytest.raises(ModelError, match=f"`{name}` cannot be unmasked|mask does not hold"):
        build(name, mask)


def test_an_encoder_whose_padding_leaks_is_rejected() -> None:
    """ConvBERT's convolutions see the padding next to a sentence, so its vectors would depend on the batch."""
    config = AutoConfig.for_model("convbert", embedding_size=32, **BY_NAME["bert"].config())
    torch.manual_seed(0)
    model = AutoModel.from_config(config, attn_implementation="eager")
    with pytest.raises(ModelError, match="`convbert` does not ignore padding"):
        apply_mask(model, None, (True,) * 4, Encoder(name="unused"), BuildContext(torch.device("cpu"), 0))
    spec = Encoder(
        init="random", config={"model_type": "convbert"}, tokenizer=TrainedTokenizer(vocab_size=257)
    )
    with pytest.raises(ModelError, match=re.escape(f"`convbert` cannot label text: {REFUSED['convbert']}")):
        spec.build(BuildContext(torch.device("cpu"), 0, texts=lambda: ["a"]))


def test_albert_takes_one_mask_for_all_blocks() -> None:
    """Blocks that share their weights must share their mask; a mixed mask is rejected with the reason."""
    ids = sentences()
    backbone = built("albert")
    with torch.no_grad():
        assert close(run(backbone, ids), torch.cat([stock(backbone, input_ids=s[None])[0] for s in ids]))
    assert not any(built("albert", "none").flags)
    with pytest.raises(ModelError, match="share one set of weights"):
        build("albert", "0111")


def test_a_window_that_exists_in_a_mask_only_is_rejected() -> None:
    """Qwen2-MoE applies its window in a mask of transformers; without that mask, blocks would see too much."""
    config = BY_NAME["qwen3_moe"].config(
        use_sliding_window=True, sliding_window=4, shared_expert_intermediate_size=16
    )
    spec = Decoder(
        init="random",
        config={"model_type": "qwen2_moe", **config},
        tokenizer=TrainedTokenizer(vocab_size=257),
    )
    with pytest.raises(ModelError, match=r"`qwen2_moe` cannot be unmasked.*window"):
        spec.build(BuildContext(torch.device("cpu"), 0, texts=lambda: ["a"]))


def test_the_page_of_families_is_up_to_date() -> None:
    """docs/reference/families.md equals the output of `python docs/families.py`."""
    script = ROOT / "docs" / "families.py"
    loader = importlib.util.spec_from_file_location("families_page", script)
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page()


@pytest.mark.parametrize("name", SAMPLE)
def test_windows_and_copies_hold_on_newer_families(name: str) -> None:
    """The proofs of `unmask: window:W` and `repeat` pass; an encoder has no copies."""
    repeat = {"repeat": 1} if BY_NAME[name].kind == "decoder" else {}
    proof = build(name, "window:2", **repeat).proof
    assert proof is not None
    assert (proof.window, proof.copies) == (2, 2 if repeat else None)


@pytest.mark.parametrize("name", NO_EARLY_EXIT)
def test_families_that_depend_on_the_number_of_blocks_have_no_early_exit(name: str) -> None:
    """`blocks` is refused instead of giving vectors of another model."""
    with pytest.raises(ModelError, match="cannot be shortened"):
        build(name, blocks=2)


def test_every_text_family_of_transformers_is_proven_or_refused() -> None:
    """A new version of transformers fails here with the families that it adds: put each in a table."""
    families = {
        *MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        *MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        *MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    }
    known = BY_NAME.keys() | REFUSED.keys() | TEXT_PARTS.keys()
    assert sorted(families - known) == []
    assert sorted(known - set(CONFIG_MAPPING)) == []
    assert not BY_NAME.keys() & TEXT_PARTS.keys()
    assert not REFUSED.keys() & TEXT_PARTS.keys()


def test_the_table_of_families_agrees_with_these_tests() -> None:
    """Families in the table are tested here, and families that `check` rejects are rejected when they are built."""
    assert not [name for name in SIZED if name not in BY_NAME]
    wrong = [
        name for name, size in SIZED.items() if size.maskable != (BY_NAME[name].support != "own mask only")
    ]
    assert not wrong
    assert not [name for name in REFUSED if name in BY_NAME and BY_NAME[name].support != "none"]
    assert not [name for name in TEXT_PARTS.values() if BY_NAME[name].support != "any mask"]
