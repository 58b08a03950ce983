"""Load the weights of a model, and check that its files have all of them.

Of a multimodal model only the text part is loaded, under its own names.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import AutoModel

from ...errors import ModelError, Problem
from ...files.damage import damaged
from .early_exit import EarlyExit, check_unused
from .fetching import fetch

_TEXT_PREFIX = r"^(?:model\.)?(?:language_model|text_model)\.(?:model\.)?"
"""The start of the names of a multimodal model's text weights."""


def load_complete(
    name: str,
    model_class: Any,
    folder: Path | None = None,
    early_exit: EarlyExit | None = None,
    *,
    is_multimodal: bool = False,
    **options: Any,
) -> Any:
    """Load a model with the auto class `model_class`, and check that no weights are missing.

    Args:
        name: the name of the model, or its folder.
        model_class: an auto class of transformers.
        folder: where its files are, if not at `name`.
        early_exit: given if the files have further blocks.
        is_multimodal: whether the files have a text model among others; only that is loaded.
        options: further arguments of `from_pretrained`.

    Raises:
        ModelError: it cannot be loaded, or weights are missing.
        UsageError: a file is damaged.
    """
    if is_multimodal:
        options["key_mapping"] = {_TEXT_PREFIX: ""}
    load = functools.partial(
        model_class.from_pretrained, str(folder or name), attn_implementation="eager", trust_remote_code=False
    )
    model, info = fetch(name, lambda: load(output_loading_info=True, **options))
    _check_keys(name, model, model_class, info)
    if early_exit is not None:
        unused = info["unexpected_keys"]
        check_unused(_text_names(unused, early_exit) if is_multimodal else unused, early_exit, name)
    if options.get("local_files_only"):
        _check_blocks(name, info)
    if is_multimodal:
        _keep_names(model)
    return model


def _text_names(names: Iterable[str], early_exit: EarlyExit) -> list[str]:
    """The names that begin as those of blocks, perhaps after a prefix; other parts of a multimodal model do not."""
    starts = tuple({name.split(".")[0] for name in early_exit.dropped})
    return [name for name in names if set(name.split(".")[:2]).intersection(starts)]


def _check_blocks(name: str, info: Mapping[str, Any]) -> None:
    """Refuse a model of a run whose files have weights of blocks that its config does not have.

    Raises:
        UsageError: weights of blocks are not used.
    """
    unused = sorted(key for key in info["unexpected_keys"] if any(map(str.isdecimal, key.split("."))))
    if unused:
        about = f"it describes a model without `{unused[0]}`, which is among the weights next to it"
        raise damaged(Path(name) / "config.json", about)


def _check_keys(name: str, model: Any, model_class: Any, info: Mapping[str, Any]) -> None:
    """Refuse files without all weights: transformers would draw the missing ones at random.

    The pooler of an encoder is an exception: taggers do not use it, and masked language models are saved without it.

    Raises:
        ModelError: weights are missing.
    """
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    output = [key for key in missing if not key.startswith(f"{model.base_model_prefix}.")]
    if model_class is not AutoModel and output:
        message = f"`{name}` has no output layer to predict tokens with (`{output[0]}` is missing)"
        raise ModelError(Problem(message, path="backbone.name"))
    if missing:
        more = f" and {len(missing) - 1} more weights are" if len(missing) > 1 else " is"
        message = f"the weights in `{name}` are incomplete: `{missing[0]}`{more} missing"
        raise ModelError(Problem(message, path="backbone.name"))


def _keep_names(model: Any) -> None:
    """Save a text part under its own names: transformers would put the prefix of the multimodal model before them."""
    conversions = getattr(model, "_weight_conversions", None) or []
    model._weight_conversions = [
        each for each in conversions if _TEXT_PREFIX not in getattr(each, "source_patterns", ())
    ]
