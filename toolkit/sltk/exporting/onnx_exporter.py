"""`sltk export --format onnx`: a tagger that runs through onnxruntime, with neither torch nor transformers.

    model.onnx                              the network in float32, or with 8-bit weights
    sltk.json                               as in the `model/` of a run, with the key `onnx`
    tokenizer/                              as in the `model/` of a run
    tokenizer.json, tokenizer_config.json   for other programs: they read text as sltk does
    config.json                             the family, and the names of the labels
    transitions.json                        scores of adjacent tags, with a CRF
    decoder.json                            what makes spans of the output, if they may overlap

The graph takes batches that are padded on the right, and builds the mask of each block from `attention_mask`.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..cards import write_card
from ..components.aligners.subword import shift_of
from ..components.backbones.pretrained import PretrainedBackbone
from ..decoding import LayeredDecoder, SpanDecoder, copy_thresholds
from ..errors import Problem, UsageError
from ..files import atomic, manifest
from ..models import kinds, memory_advice, saving
from ..models.backbone_files import stored_backbone
from ..models.description import DESCRIPTION, read_description
from ..models.integrity import DECODER
from ..models.tagger_model import TaggerModel
from ..nn.padded_tagger import PaddedTagger
from ..nn.tagger import Tagger
from ..runtime.optional_imports import import_optional
from ..runtime.progress import Progress
from ..subwords.plain_tokenizer import PlainTokenizer
from .exported_backbone import exported_spec
from .exported_tokenizer import save_tokenizer
from .merged_network import longest, merged_network
from .onnx_capture import capture, inputs_of
from .onnx_gates import OnnxComparison, sample
from .onnx_graph import OPSET, OUTPUT, save

FILE = "model.onnx"


def export_onnx(
    folder: Path, run: Path, target: Path, progress: Progress, *, quantize: str | None = None
) -> None:
    """Write the model in `folder`, which is that of `run`, to a new folder `target`, as ONNX.

    Raises:
        UsageError: the model has a type or a component that ONNX cannot represent, or a package is missing.
        ModelError: torch cannot export the network, or its scores change.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        import_optional(package, "`--format onnx`", "onnx")
    _check_exportable(folder)
    about = manifest.read(folder)
    model: TaggerModel = kinds.load(folder, merge=False, progress=progress)
    model.network.backbone.precision = "fp32"
    _check_head(model)
    with memory_advice.saving(), atomic.new_folder(target) as partial:
        network = merged_network(model)
        tagger = PaddedTagger(network, shift_of(model.aligner)).eval()
        progress.note("exporting the network to ONNX")
        save(capture(tagger, progress), partial / FILE)
        tagger.release()
        _write_rest(model, network, partial, quantize, inputs_of(tagger), progress)
        progress.note("comparing its scores and tags with those of sltk")
        comparison = OnnxComparison(model, network, sample(run), progress)
        comparison.check(partial)
        if quantize is not None:
            comparison.quantize(partial, FILE)
        copy_thresholds(folder, partial)
        write_card(partial, run)
        manifest.write(partial, **about)


def _check_exportable(folder: Path) -> None:
    description = read_description(folder)
    alternative = "`sltk export` without `--format onnx` writes a folder that sltk and `sltk serve` run"
    if description.get("type", "tagger") != "tagger":
        about = (
            f"a model of `type: {description['type']}` writes text word by word, which ONNX exports do not do"
        )
        raise UsageError(Problem(about, notes=(alternative,)))
    backbone = stored_backbone(folder, description)
    if not isinstance(backbone, PretrainedBackbone):
        about = f"the custom backbone `{backbone.type_name}` cannot be exported to ONNX"
        raise UsageError(Problem(about, notes=("expected `decoder` or `encoder`", alternative)))


def _check_head(model: TaggerModel) -> None:
    if model.network.head.decodes_itself:
        about = (
            f"the head `{model.head.type_name}` chooses tags in a way of its own, so ONNX cannot represent it"
        )
        note = (
            "define `emissions`, and `transitions` if adjacent tags depend on each other, instead of `decode`"
        )
        raise UsageError(Problem(about, notes=(note,)))


def _write_rest(
    model: TaggerModel,
    network: Tagger,
    folder: Path,
    quantize: str | None,
    inputs: list[str],
    progress: Progress,
) -> None:
    """Write everything except the graph."""
    backbone = network.backbone
    stock: Any = backbone.model
    tokenizer = PlainTokenizer.of(backbone.tokenizer)
    max_length = _max_length(model, stock.config, progress)
    description = saving.describe(replace(model, backbone=exported_spec(model.backbone)), {"path": "."})
    description |= {
        "type": "onnx",
        "max_length": max_length,
        "onnx": {
            "file": FILE,
            "inputs": inputs,
            "output": OUTPUT,
            "granularity": "word" if "word_first" in inputs else "subword",
            "tokens": {"prefix": tokenizer.prefix, "suffix": tokenizer.suffix, "unknown": tokenizer.unknown},
            "vectors": len(stock.get_input_embeddings().weight),
            "quantization": quantize,
            "opset": OPSET,
            **({"copies": backbone.copies} if backbone.copies > 1 else {}),
        },
    }
    atomic.write_json(folder / DESCRIPTION, description)
    transitions = network.head.transitions()
    if transitions is not None:
        atomic.write_json(folder / "transitions.json", transitions.values())
    decoder = network.head.decoder(model.labels, model.decisions)
    if isinstance(decoder, LayeredDecoder | SpanDecoder):
        atomic.write_json(folder / DECODER, decoder.values())
    config = copy.deepcopy(stock.config)
    config.id2label, config.label2id = dict(enumerate(model.labels.tags)), dict(model.labels.index)
    config.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder / "tokenizer")
    save_tokenizer(backbone.tokenizer, folder, spacing=model.spacing, max_length=max_length)
    if not type(model.splitter).__module__.startswith("sltk."):
        progress.note(
            f"the splitter `{model.splitter.type_name}` is custom, and this export has no code: to label raw text, "
            "give `--imports` the file that defines it"
        )


def _max_length(model: TaggerModel, config: Any, progress: Progress) -> int | None:
    """Number of subwords that the graph can read at once."""
    limit, fixed = model.encoder.max_length, longest(config)
    fixed = None if fixed is None else model.network.backbone.sentence_tokens(fixed)
    if fixed is None or (limit is not None and limit <= fixed):
        return limit
    progress.note(
        f"the graph reads at most {fixed} subwords at once, since its positions change for longer texts; sltk reads "
        "longer sentences in overlapping windows"
    )
    return fixed
