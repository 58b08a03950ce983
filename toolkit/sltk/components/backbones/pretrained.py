"""Settings shared by encoders and decoders: source of the weights, mask, quantization, LoRA."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from ...masks import Mask
from ...runtime.optional_imports import install_extra
from ...yamltree.scalars import plain, resolve_path
from ..registry import RefusedError
from ..slots import Backbone
from ..strict import StrictModel


def _model_name(value: Any) -> Any:
    """Resolve a name that starts with `.`, `/` or `~` as a directory, relative to the spec file that contains it."""
    return str(resolve_path(value)) if isinstance(value, str) and value.startswith((".", "/", "~")) else value


ModelName = Annotated[str, BeforeValidator(_model_name)]


class Quantization(StrictModel):
    """Frozen weights in 4 or 8 bits, with bitsandbytes (QLoRA)."""

    type: Literal["nf4", "fp4", "int8"] = Field(
        default="nf4", description="4-bit NormalFloat, 4-bit float, or LLM.int8()"
    )
    double: bool = Field(default=True, description="quantize the quantization constants too (4-bit only)")
    compute_dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="dtype of matrix products; `auto`: by `trainer.precision`; on a CPU, bfloat16 if it is fast at it",
    )


class LoRA(StrictModel):
    """Low-rank adapters, with peft; the other weights of the backbone are frozen."""

    unwritten_defaults: ClassVar[Mapping[str, Any]] = {
        "rslora": False,
        "dora": False,
        "modules_to_save": None,
    }

    r: int = Field(default=64, ge=1, description="rank")
    alpha: float = Field(default=16, gt=0, description="scale of the update is alpha / r")
    rslora: bool = Field(default=False, description="scale of the update is alpha / sqrt(r) instead (rsLoRA)")
    dora: bool = Field(
        default=False,
        description="train the norm of each output's weights apart from their direction (DoRA); slower, more memory",
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout before the adapter")
    target_modules: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"] | None = Field(
        default=None, description="names of the linear layers; unset: the query and value projections"
    )
    modules_to_save: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None,
        description="names of further layers that are trained whole: embeddings, norms, linear layers",
    )


class TrainedTokenizer(StrictModel):
    """A byte-level BPE tokenizer trained on the training text."""

    type: Literal["train"] = "train"
    vocab_size: int = Field(
        default=1000, ge=257, description="maximum number of entries; 256 of them are the bytes"
    )


class PretrainedBackbone(Backbone):
    """A transformers model from a hub, a directory or a GGUF file, or with fresh weights."""

    required_by: ClassVar[str] = "gguf_file"
    unwritten_defaults: ClassVar[Mapping[str, Any]] = {
        "blocks": "all",
        "repeat": 0,
        "attend_to_padding": False,
    }

    name: ModelName | None = Field(
        default=None,
        description="hub name, or a directory or a GGUF file (starts with `.`, `/` or `~`)",
    )
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub")
    gguf_file: str | None = Field(
        default=None, description="the GGUF file in `name`, if `name` is a directory or on the hub"
    )
    init: Literal["pretrained", "random"] = Field(
        default="pretrained", description="`random`: fresh weights, shaped by `config`"
    )
    config: Annotated[dict[str, Any] | None, BeforeValidator(plain)] = Field(
        default=None,
        description="with `init: random`: `model_type`, and arguments of its transformers config",
    )
    tokenizer: ModelName | TrainedTokenizer | None = Field(
        default=None,
        description="hub name or directory, or {type: train, vocab_size: …}; unset: the model's own",
    )
    unmask_window: Literal["keep", "drop"] = Field(
        default="keep",
        description="sliding windows in unmasked blocks: `keep` applies them to both sides, `drop` removes them",
    )
    quantization: Quantization | None = Field(default=None, description="load frozen weights in 4 or 8 bits")
    lora: LoRA | None = Field(default=None, description="train low-rank adapters only")
    adapter: ModelName | None = Field(
        default=None,
        description="start from the LoRA weights of this run directory of `sltk pretrain` or `sltk train`; "
        "needs `lora` with the same settings",
    )
    freeze: bool = Field(default=False, description="train only the head")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="dtype of the weights; `auto`: float32 on a CPU and if trained, else that of `trainer.precision`",
    )
    unmask: Mask = Field(default="none", description="the blocks whose causal mask is removed")
    blocks: Literal["all"] | Annotated[int, Field(ge=1)] = Field(
        default="all",
        description="early exit: how many blocks to use, from the input on; the final norm follows the last of them",
    )
    repeat: int = Field(
        default=0,
        ge=0,
        description="how many times a decoder reads each sentence again, in a row; words are read from the last copy",
    )
    attend_to_padding: bool = Field(
        default=False,
        description="a flaw of published code, to measure its effect in a sweep: sentences are padded to the longest "
        "of the batch, and padding is read like words",
    )

    @model_validator(mode="after")
    def _check_combination(self) -> PretrainedBackbone:
        if self.init == "pretrained" and self.name is None:
            raise ValueError("needs `name`, or `init: random` with a `config`")
        self._split_gguf_name()
        if self.init == "random" and self.config is None and self.name is None:
            raise ValueError("`init: random` needs a `config`, or a `name` whose config to use")
        if self.config is not None and self.name is None and "model_type" not in self.config:
            raise ValueError("`config` needs a `model_type`, for example llama")
        if self.init == "random" and self.name is None and self.tokenizer is None:
            raise ValueError(
                "`init: random` needs a `tokenizer`, for example {type: train, vocab_size: 1000}"
            )
        if self.repeat and self.type_name == "encoder":
            about = "`repeat` is for decoders: the words of an encoder see the whole sentence in one copy"
            raise RefusedError(about, "repeat")
        if self.attend_to_padding and self.type_name == "encoder":
            raise RefusedError("`attend_to_padding` is for decoders", "attend_to_padding")
        if self.adapter is not None and self.lora is None:
            raise RefusedError(
                "`adapter` needs `lora`, with the settings that it was trained with", "adapter"
            )
        if self.quantization is not None and self.lora is None and not self.freeze:
            raise ValueError("quantized weights cannot be trained: add `lora`, or `freeze: true`")
        if (
            self.quantization is not None
            and self.quantization.type == "int8"
            and self.lora
            and self.lora.dora
        ):
            about = "`dora` cannot read the norms of 8-bit weights: use `nf4`, or leave out `dora`"
            raise RefusedError(about, "lora.dora")
        if self.dtype in ("bfloat16", "float16") and self.lora is not None and self.lora.modules_to_save:
            about = f"layers in `modules_to_save` are float32, and those around them {self.dtype}: leave out `dtype`"
            raise RefusedError(about, "lora.modules_to_save")
        return self

    def _split_gguf_name(self) -> None:
        """Make `name: DIR/x.gguf` the same as `name: DIR` with `gguf_file: x.gguf`.

        Raises:
            RefusedError: both are set, or `gguf_file` is set alone; or the file could be taken for a name on the hub.
        """
        if self.name is None:
            if self.gguf_file is not None:
                about = "`gguf_file` needs `name`: the directory, or the name on the hub"
                raise RefusedError(about, "gguf_file")
            return
        path = Path(self.name)
        is_hub_name = not self.name.startswith((".", "/", "~"))
        if path.suffix.lower() != ".gguf" or (self.gguf_file is not None and (is_hub_name or path.is_dir())):
            return
        if is_hub_name:
            about = f"a file starts with `.`, `/` or `~`: `./{self.name}`; one on the hub needs `name` and `gguf_file`"
            raise RefusedError(about, "name")
        if path.is_dir():
            return
        if self.gguf_file is not None:
            raise RefusedError("`name` is a GGUF file already: leave out `gguf_file`", "gguf_file")
        self.__dict__.update(
            name=str(path.parent), gguf_file=path.name
        )  # the model is frozen once it is valid

    def required_packages(self) -> Mapping[str, str]:
        """The package that reads GGUF files, if there is one."""
        return {} if self.gguf_file is None else {"gguf": install_extra("gguf")}

    @property
    def copies(self) -> int:
        """How often each sentence is in a forward pass."""
        return self.repeat + 1

    @property
    def trains_all_weights(self) -> bool:
        """Whether every weight is trained, and so must be saved, because there is neither LoRA nor `freeze`."""
        return self.lora is None and not self.freeze
