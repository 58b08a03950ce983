"""Convert GGUF files once: to a directory with safetensors, config and tokenizer, which is then loaded like any other.

transformers reads a GGUF file anew for the config, the tokenizer and the weights, and parses hundreds of thousands of
values each time. Converted models are in `$SLTK_CACHE/gguf`, by default `~/.cache/sltk/gguf`, in one folder for each
content, number format and version of transformers; a manifest tells whether it is complete. Of several processes that
need the same conversion, one converts and the others wait. With `SLTK_CACHE=off`, or if the folder cannot be written,
the conversion is temporary. Nothing is ever removed: any folder may be deleted, and is made again when needed.
"""

from __future__ import annotations

import copy
import functools
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from ...errors import ModelError, Problem, UsageError
from ...families.gguf_header import GgufHeader, read_gguf
from ...families.gguf_shape import reading_notes
from ...files import atomic, locking, manifest
from ...files.file_digests import sha256
from ...nn.backbone import BuildContext
from ...runtime import progress
from . import precision
from .base_weights import identify_gguf, locate_gguf
from .complete_weights import load_complete
from .fetching import fetch
from .gguf_cache import check_space, conversion_folder, converted_bytes, size_text
from .weights import check_family, save_on_any_rank

if TYPE_CHECKING:
    from .pretrained import PretrainedBackbone

_LONGEST_WAIT = 12 * 3600.0
_SECONDS_BETWEEN_NOTES = 5.0


@contextmanager
def converted(
    spec: PretrainedBackbone, context: BuildContext
) -> Iterator[tuple[PretrainedBackbone, BuildContext, dict[str, Any] | None]]:
    """A spec and a context that name a directory instead of a GGUF file, and the base as `PackedBackbone.base` has it.

    Without a GGUF file, or if a saved model has all weights itself, they stay as they are, and there is no such base.

    Raises:
        ModelError: the file is not available, damaged, or of a family that transformers cannot read.
        DiskFullError: there is too little room for the conversion.
    """
    if spec.gguf_file is None or spec.name is None or (context.saved and not _needs_base(context)):
        yield spec, context, None
        return
    path = _find(spec, context)
    header = read_gguf(path)
    base = identify_gguf(spec.name, spec.gguf_file, spec.revision, path)
    with _folder(path, header, precision.weights_dtype(spec, context)) as folder:
        changes = {"name": str(folder), "gguf_file": None, "revision": None}
        yield spec.model_copy(update=changes), replace(context, base={}), base


def _needs_base(context: BuildContext) -> bool:
    """Whether a saved model needs the base model that it was trained on."""
    assert context.saved is not None
    own = (context.saved / "base", context.saved)
    return "path" not in context.base and not any((folder / "config.json").is_file() for folder in own)


def _find(spec: PretrainedBackbone, context: BuildContext) -> Path:
    """The file, downloaded if it is on the hub."""
    name, file = str(spec.name), str(spec.gguf_file)
    if "content" in context.base:
        return locate_gguf(name, file, context.base)
    if name.startswith(("/", ".", "~")):
        path = Path(name) / file
        if not path.is_file():
            raise ModelError(Problem(f"there is no GGUF file `{path}`", path="backbone.name"))
        return path
    from transformers.utils import cached_file

    options = {} if spec.revision is None else {"revision": spec.revision}
    return Path(fetch(name, lambda: cached_file(name, file, **options)))


@contextmanager
def _folder(path: Path, header: GgufHeader, dtype: torch.dtype) -> Iterator[Path]:
    """The folder with the converted model."""
    number_format = str(dtype).removeprefix("torch.")
    folder = conversion_folder(path, number_format, transformers.__version__)
    if folder is not None:
        with suppress(PermissionError, NotADirectoryError):
            folder.parent.mkdir(parents=True, exist_ok=True)
    if folder is None or not _is_writable(folder.parent):
        with tempfile.TemporaryDirectory(prefix="sltk-gguf-") as temporary:
            _convert(path, header, dtype, Path(temporary))
            yield Path(temporary)
        return
    if not _is_complete(folder):
        with _only_one(folder):
            if not _is_complete(folder):
                _remove_leftovers(folder)
                check_space(folder.parent, converted_bytes(header, dtype.itemsize), path)
                with atomic.new_folder(folder) as partial:
                    _convert(path, header, dtype, partial, folder)
                    manifest.write(partial, source=path.name, sha256=sha256(path))
    yield folder


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _is_complete(folder: Path) -> bool:
    """Whether a conversion is there; a damaged one is removed."""
    if not manifest.exists(folder):
        return False
    try:
        manifest.verify(folder)
    except UsageError as error:
        progress.current().note(f"the converted model is made again: {error.problems[0].message}")
        atomic.remove(folder)
        return False
    return True


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Wait until no other process converts the same file."""
    at = folder.with_name(f"{folder.name}.lock")
    try:
        lock = locking.lock(at, temporary=True, subject=folder)
        lock.__enter__()
    except UsageError as error:
        progress.current().note(f"waiting for a conversion: {error.problems[0].message}")
        lock = locking.lock(at, temporary=True, subject=folder, wait=_LONGEST_WAIT)
        lock.__enter__()
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed have left: no other process is converting this file."""
    for path in folder.parent.iterdir():
        if path.name.startswith(f".{folder.name}.") and atomic.is_partial(path.name):
            with suppress(OSError):
                atomic.remove(path)


def _convert(
    path: Path, header: GgufHeader, dtype: torch.dtype, target: Path, stays_at: Path | None = None
) -> None:
    """Write config, tokenizer and weights of a GGUF file into a folder, and check that they can be read again."""
    notes = progress.current()
    size = size_text(converted_bytes(header, dtype.itemsize))
    where = f"in `{stays_at}`, for later starts too" if stays_at else "in a temporary folder, each time"
    notes.note(f"converting `{path.name}` to safetensors ({size}) {where}")
    for about in reading_notes(header, path.name):
        notes.note(about)
    began = time.monotonic()
    options = {"gguf_file": path.name, "trust_remote_code": False, "local_files_only": True}
    with _parsed_once():
        at = str(path.parent)
        config = fetch(path.name, lambda: AutoConfig.from_pretrained(at, **options))
        check_family(config)
        tokenizer = fetch(path.name, lambda: AutoTokenizer.from_pretrained(at, **options))
        is_generative = type(config) in AutoModelForCausalLM._model_mapping
        model_class = AutoModelForCausalLM if is_generative else AutoModel
        model = load_complete(
            path.name, model_class, path.parent, config=config, dtype=dtype, gguf_file=path.name
        )
    if hasattr(model.config, "quantization_config"):  # the weights are plain numbers now
        del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None
    save_on_any_rank(model, target)
    _save_tokenizer(tokenizer, target)
    notes.note(f"converted `{path.name}` in {time.monotonic() - began:,.0f} s")


def _save_tokenizer(tokenizer: Any, target: Path) -> None:
    """Save a tokenizer so that it is read again as the same one.

    A class of a family may build some parts anew when it is read; the plain class takes all from the file.

    Raises:
        ModelError: it would be read as another one.
    """
    for plain in (False, True):
        saved = tokenizer
        if plain:
            roles = {
                role: str(token)
                for role, token in tokenizer.special_tokens_map.items()
                if isinstance(token, str)
            }
            saved = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, **roles)
            saved.chat_template = tokenizer.chat_template
        saved.save_pretrained(target)
        again = AutoTokenizer.from_pretrained(str(target), trust_remote_code=False, local_files_only=True)
        same_roles = again.special_tokens_map == tokenizer.special_tokens_map
        if same_roles and again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str():
            return
    raise ModelError(Problem("the tokenizer of the GGUF file cannot be saved", path="backbone.gguf_file"))


@contextmanager
def _parsed_once() -> Iterator[None]:
    """Let transformers parse the file once for config, tokenizer and weights, and report progress as notes."""
    try:
        import gguf
    except ImportError:  # the error of transformers names it
        yield
        return
    from transformers import modeling_gguf_pytorch_utils as legacy

    before = gguf.GGUFReader, legacy.load_gguf_checkpoint, legacy.tqdm
    read_all = legacy.load_gguf_checkpoint
    read_metadata = functools.cache(read_all)

    def read(path: Any, return_tensors: bool = False, **options: Any) -> dict[str, Any]:
        if return_tensors:
            everything: dict[str, Any] = read_all(path, return_tensors=True, **options)
            return everything
        metadata = read_metadata(path)
        return {**metadata, "config": copy.deepcopy(metadata["config"])}

    gguf.GGUFReader = functools.cache(gguf.GGUFReader)
    legacy.load_gguf_checkpoint, legacy.tqdm = read, _noted
    try:
        yield
    finally:
        gguf.GGUFReader, legacy.load_gguf_checkpoint, legacy.tqdm = before


def _noted(tensors: Iterable[Any], **_: Any) -> Iterator[Any]:
    """Report every few seconds how many tensors are converted."""
    every, last = list(tensors), time.monotonic()
    for done, tensor in enumerate(every):
        yield tensor
        if time.monotonic() - last >= _SECONDS_BETWEEN_NOTES:
            last = time.monotonic()
            progress.current().note(f"converted {done + 1} of {len(every)} tensors")
