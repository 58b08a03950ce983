"""Load or create the weights of a model: from a hub, a directory or a run, or fresh ones.

A GGUF file is converted to a directory first (`gguf_conversion.py`).
"""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

from ...errors import ModelError, Problem, RunError
from ...families import model_files
from ...families.model_tables import REFUSED, refusal
from ...files.damage import damaged
from ...nn.backbone import BuildContext
from ...runtime import cost, run_cache
from . import precision
from .base_weights import locate_base
from .complete_weights import load_complete
from .early_exit import EarlyExit
from .fetching import from_config_values

if TYPE_CHECKING:
    from .pretrained import PretrainedBackbone


@dataclass(frozen=True)
class WeightsSource:
    """The source of a model's weights, with version and file."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    is_inside_run: bool = False
    """Whether a run saved the weights itself: they were created fresh, or all of them were trained."""
    is_multimodal: bool = False
    """Whether its files have a text model among others."""

    @property
    def folder(self) -> Path | None:
        """The folder with the safetensors files, if they are on this machine."""
        return model_files.find(self.name, self.options.get("revision"))


def source_of(spec: PretrainedBackbone, context: BuildContext) -> WeightsSource | None:
    """The source of the weights; None if they are created fresh."""
    if context.saved is not None:
        # An export that transformers can also load has its weights in the folder itself.
        for folder in (context.saved / "base", context.saved):
            if (folder / "config.json").is_file():
                if not any(folder.glob("model*.safetensors")):
                    raise damaged(folder / "model.safetensors", "it is missing")
                return WeightsSource(str(folder.absolute()), {"local_files_only": True}, is_inside_run=True)
        if "path" in context.base:
            raise damaged(context.saved / str(context.base["path"]) / "config.json", "it is missing")
    if spec.init == "random" or spec.name is None:
        return None
    name = locate_base(spec.name, context.base)
    return WeightsSource(name, version_options(spec) | _subfolder(name, spec.revision, model_files.BASE))


def _subfolder(name: str, revision: str | None, subfolder: str) -> dict[str, str]:
    """The argument of `from_pretrained` for an export of sltk whose files transformers does not find by itself."""
    return {} if model_files.find_export(name, revision) is None else {"subfolder": subfolder}


def tokenizer_options(spec: PretrainedBackbone) -> dict[str, Any]:
    """Arguments of `from_pretrained` for the tokenizer of a backbone."""
    name = spec.tokenizer or spec.name
    assert isinstance(name, str)
    options = version_options(spec) if spec.tokenizer is None else {}
    return options | _subfolder(name, options.get("revision"), "tokenizer")


def version_options(spec: PretrainedBackbone) -> dict[str, Any]:
    """Arguments of `from_pretrained` that select the version."""
    return {} if spec.revision is None else {"revision": spec.revision}


def load_shared_weights(
    spec: PretrainedBackbone,
    config: Any,
    source: WeightsSource | None,
    context: BuildContext,
    early_exit: EarlyExit | None = None,
) -> Any:
    """Load or create the weights; in a sweep, all runs that do not change them share one copy.

    With an `early_exit`, `config` has fewer blocks than `source`.
    """
    make = functools.partial(_load_weights, spec, config, source, context, early_exit)
    quantization = spec.quantization
    # The first forward pass through int8 weights changes them.
    is_changed = spec.trains_all_weights or (quantization is not None and quantization.type == "int8")
    if source is None or source.is_inside_run or is_changed or context.language_model:
        _free_others(None)
        return make()
    dtype = precision.weights_dtype(spec, context)
    key = (source.name, *source.options.items(), repr(quantization), dtype, str(context.device), spec.blocks)
    _free_others(key)
    return _shared(key, make, context.device)


def _free_others(key: Hashable) -> None:
    """Free the shared weights of earlier runs that this run does not use, and do not count them as its memory."""
    if run_cache.keep_only("weights", key):
        cost.reset_peak_memory()


def _shared(key: Hashable, make: Callable[[], Any], device: torch.device) -> Any:
    """A model as created by `make`, whose parameters are shared with other models of the same key.

    Only the parameters are shared, so masks, adapters and settings of one run do not affect the next. If weights
    are missing in the files, transformers draws them with the seed; such a model is not shared.
    """
    if not run_cache.is_enabled():
        return make()
    before = _random_state(device)
    created: list[Any] = []

    def create() -> Any:
        created.append(make())
        return created[0]

    original = run_cache.get("weights", key, create, most=1)
    if created and not all(torch.equal(*pair) for pair in zip(before, _random_state(device), strict=True)):
        run_cache.drop("weights", key)
        return original
    return copy.deepcopy(original, {id(parameter): parameter for parameter in original.parameters()})


def _random_state(device: torch.device) -> list[torch.Tensor]:
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def _load_weights(
    spec: PretrainedBackbone,
    config: Any,
    source: WeightsSource | None,
    context: BuildContext,
    early_exit: EarlyExit | None = None,
) -> Any:
    if source is None:
        return _create(spec, config, context)
    model_class = _model_class(spec, config, context)
    options: dict[str, Any] = {"dtype": precision.weights_dtype(spec, context), **source.options}
    # Each tensor goes from the mapped file to the device: no process holds a copy of the model in main memory.
    options |= {"config": config, "use_safetensors": True, "device_map": {"": context.device}}
    is_quantized = spec.quantization is not None
    if spec.quantization is not None and getattr(config, "quantization_config", None) is None:
        # A saved base is already quantized.
        options["quantization_config"] = precision.bitsandbytes_config(spec.quantization, context)
    model = load_complete(
        source.name, model_class, early_exit=early_exit, is_multimodal=source.is_multimodal, **options
    )
    return _differentiable(model) if is_quantized else model


def _create(spec: PretrainedBackbone, config: Any, context: BuildContext) -> Any:
    """Create random weights. transformers quantizes only what it loads, so quantized weights are saved first."""
    dtype = torch.float32 if spec.quantization is not None else precision.weights_dtype(spec, context)
    make = functools.partial(
        _model_class(spec, config, context).from_config, config, attn_implementation="eager", dtype=dtype
    )
    model = from_config_values(config.model_type, make)
    if spec.quantization is None:
        return model.to(context.device)
    with tempfile.TemporaryDirectory(prefix="sltk-") as folder:
        save_on_any_rank(model, Path(folder))
        return _load_weights(spec, config, WeightsSource(folder), context)


def save_on_any_rank(model: Any, folder: Path) -> None:
    """Save a model in the process that calls this; transformers writes nothing except in the main process of a run.

    Raises:
        RunError: transformers wrote no model.
    """
    model.should_save_on_this_rank = lambda is_main_process: True
    model.save_pretrained(folder)
    if not (folder / "config.json").is_file() or not any(folder.glob("model*.safetensors")):
        raise RunError(f"transformers {transformers.__version__} has saved no model in `{folder}`")


def _model_class(spec: PretrainedBackbone, config: Any, context: BuildContext) -> Any:
    """The auto class of transformers. An encoder has the same output layer whether it is causal or not.

    Raises:
        ModelError: transformers has no language model of this family.
    """
    if not context.language_model:
        return AutoModel
    model_class: Any = AutoModelForMaskedLM if spec.type_name == "encoder" else AutoModelForCausalLM
    if type(config) not in model_class._model_mapping:
        message = f"models of the family `{config.model_type}` have no output layer to predict tokens with"
        raise ModelError(Problem(message, path="backbone.name"))
    return model_class


def text_part(config: Any) -> Any:
    """The config of the text part of a multimodal model; for other models, the config itself.

    Raises:
        ModelError: the family is refused.
    """
    if config.model_type in REFUSED:
        raise ModelError(refusal(config.model_type, "backbone.name"))
    if "text_config" not in type(config).sub_configs or hasattr(config, "num_hidden_layers"):
        return config
    part = config.get_text_config(decoder=True)
    if hasattr(config, "quantization_config"):
        part.quantization_config = config.quantization_config
    return part


def check_family(config: Any) -> int:
    """Check that a model is a stack of blocks that sltk can use, and return their number.

    Raises:
        ModelError: its family is refused; or it has an encoder and a decoder, or no blocks.
    """
    if config.model_type in REFUSED:
        raise ModelError(refusal(config.model_type, "backbone.name"))
    blocks = getattr(config, "num_hidden_layers", None)
    if not isinstance(blocks, int) or getattr(config, "is_encoder_decoder", False):
        message = (
            f"the family `{config.model_type}` is neither a text encoder nor a decoder-only language model"
        )
        note = "supported families: docs/reference/families.md"
        raise ModelError(Problem(message, path="backbone.name", notes=(note,)))
    return blocks


def _differentiable(model: Any) -> Any:
    """Keep bitsandbytes from repacking 4-bit weights for AVX512-BF16 in the first forward pass of an evaluation.

    Products with repacked weights have no gradient, not even in later training, so only the adapters of the last
    block would be trained.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model
