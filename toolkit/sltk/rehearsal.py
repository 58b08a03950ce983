"""`sltk train SPEC --rehearse`: all of a run, on a tiny model and a few sentences, so that mistakes show early.

What a rehearsal replaces is the size of things, and what is out of reach: pretrained weights by fresh ones of a
tiny model of the same architecture, its tokenizer by one trained on the spot, a data file that is absent by its
reader's example. Mask, quantization, LoRA, aligner, head, optimizer, metrics, saving, loading, export and
prediction are those of the spec. Every substitution is told.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import masks
from .components.backbones.pretrained import PretrainedBackbone, TrainedTokenizer
from .components.readers.holdout import HoldoutReader
from .components.readers.jsonl import JsonlReader
from .components.slots import Reader
from .data import datasets
from .data.raw import raw_examples, read
from .data.splits import SPLITS
from .errors import RunError
from .families.shape import tiny_config
from .preview.estimate import ModelInfo, check_model
from .runtime.progress import Progress
from .spec.experiment import DataSpec, Experiment, TrainerSpec
from .spec.instruct_settings import InstructSpec
from .spec.loading import Loaded
from .types import Prediction, Sentence

SENTENCES = 16
"""Read of each split."""
_ANNOTATED = 4
"""So many of them have annotation, where the data has it at all in its first `_SEARCHED` sentences."""
_SEARCHED = 1000
_POSITIONS = 512
_VOCABULARY = 400
_RESPONSE = 24
_AGREEMENT = 0.95
"""Share of tags that a model gives again once it is saved and loaded; a lost head gives far fewer."""


def rehearse(loaded: Loaded[Experiment], *, progress: Progress | None = None) -> dict[str, Any]:
    """Run all of a spec in small, in a temporary folder that is gone afterwards.

    Returns:
        What `metrics.json` of the small run holds.

    Raises:
        InputError: what the spec says does not fit the true model, as far as its shape is known, or the tiny one.
        RunError: the run fails, or a model is not what it was when it is loaded again.
    """
    progress = progress or Progress()
    with loaded.placing():
        check_model(loaded.spec.backbone)
    with tempfile.TemporaryDirectory(prefix="sltk-rehearsal-") as folder:
        small = substituted(loaded.spec, Path(folder), progress)
        return _run(replace(loaded, spec=small), Path(folder), progress)


def substituted(experiment: Experiment, folder: Path, progress: Progress) -> Experiment:
    """The experiment in small; data that is made for it lies in `folder`."""
    length = experiment.max_length
    if length is not None and (length > _POSITIONS or experiment.instruct is not None):
        # A tokenizer trained on the spot cuts prompts into more subwords than the true one.
        small = _POSITIONS if experiment.instruct is None else None
        progress.note(f"rehearsal: max_length {small or 'of the tiny model'} for {length}")
        length = small
    few = _data(experiment, folder, progress)
    return experiment.model_copy(
        update={
            "max_length": length,
            "data": few,
            "backbone": small_backbone(experiment.backbone, progress),
            "trainer": small_trainer(experiment.trainer, progress),
            "instruct": _instruct(experiment, few, folder, progress),
        }
    )


def _instruct(experiment: Experiment, few: DataSpec, folder: Path, progress: Progress) -> InstructSpec | None:
    """Short responses, and an option for each type that examples have and the true data has not."""
    spec = experiment.instruct
    if spec is None:
        return None
    options = dict(spec.options)
    for reader in (getattr(few, name) for name in SPLITS):
        if isinstance(reader, JsonlReader) and reader.path.parent == folder:
            found = datasets.load(reader, experiment.scheme)
            for type_ in sorted({span.type for each in found for span in each.spans or ()} - options.keys()):
                options[type_] = f"example {len(options) - len(spec.options) + 1}"
    added = ", ".join(type_ for type_ in options if type_ not in spec.options)
    if added:
        progress.note(f"rehearsal: options for the types of the examples: {added}")
    progress.note(f"rehearsal: responses of at most {_RESPONSE} subwords")
    return spec.model_copy(update={"options": options, "max_response": min(spec.max_response, _RESPONSE)})


def _run(loaded: Loaded[Experiment], folder: Path, progress: Progress) -> dict[str, Any]:
    """Train, load, predict, export, load again."""
    from . import export as exporting
    from . import run

    metrics = run.train(loaded, folder / "run", progress=progress)
    split = next(name for name in ("test", "validation", "train") if getattr(loaded.spec.data, name))
    labelled = run.evaluate(folder / "run", split=split).predictions
    for name in {split} & {"test", "validation"}:
        _same(
            _written(folder / "run" / "predictions" / f"{name}.conll"),
            labelled,
            "loaded from its run directory",
        )
    exporting.export(folder / "run", folder / "exported")
    exported = run.load(folder / "exported")
    again = exported.predict([replace(prediction.sentence, tags=None, spans=None) for prediction in labelled])
    _same([prediction.tags for prediction in labelled], again, "exported and loaded")
    example = again[0]
    shown = " ".join(f"{word}/{tag}" for word, tag in zip(example.words, example.tags, strict=True))
    progress.note(f"rehearsal: loaded and exported models agree; one prediction: {shown}")
    progress.note("rehearsal: it works; scores mean nothing, and nothing is left behind")
    return metrics


def _written(path: Path) -> list[list[str]]:
    """The predicted tags of a run's own predictions, sentence by sentence."""
    blocks = path.read_text(encoding="utf-8").strip("\n").split("\n\n")
    return [[line.rsplit("\t", 1)[-1] for line in block.split("\n")] for block in blocks]


def _same(before: list[list[str]], after: list[Prediction], when: str) -> None:
    """See that a model labels as before.

    Raises:
        RunError: it does not.
    """
    old = [tag for tags in before for tag in tags]
    new = [tag for prediction in after for tag in prediction.tags]
    equal = sum(one == other for one, other in zip(old, new, strict=False))
    if len(old) != len(new) or equal < _AGREEMENT * len(old):
        raise RunError(f"rehearsal: the model {when} labels {len(old) - equal} of {len(old)} words otherwise")


def small_trainer(trainer: TrainerSpec, progress: Progress) -> TrainerSpec:
    """Two epochs of a few updates each."""
    small: dict[str, Any] = {
        "epochs": 2,
        "max_steps": None,
        "save_every": None,
        "batch_size": min(trainer.batch_size, 4),
        "eval_batch_tokens": min(trainer.eval_batch_tokens, 512),
        "log_to": [],
    }
    told = ", ".join(
        f"{key} {value}" for key, value in small.items() if value and value != getattr(trainer, key)
    )
    progress.note(f"rehearsal: {told or 'epochs 2'}")
    if trainer.log_to:
        progress.note(f"rehearsal: nothing is logged to {', '.join(trainer.log_to)}")
    return trainer.model_copy(update=small)


def small_backbone(backbone: Any, progress: Progress) -> Any:
    """A tiny model of the same family; a backbone of one's own stays as it is."""
    if not isinstance(backbone, PretrainedBackbone):
        progress.note(f"rehearsal: the backbone `{backbone.type_name}` is not known here and stays as it is")
        return backbone
    source = ModelInfo.of(backbone)
    family, lora = source.family, backbone.lora
    if family is None:
        family = "bert" if backbone.type_name == "encoder" else "llama"
        progress.note(
            f"rehearsal: the architecture of `{backbone.name}` is not known here; {family} stands in"
        )
        if lora is not None and isinstance(lora.target_modules, list):
            progress.note(f"rehearsal: LoRA on its query and value projections for {lora.target_modules}")
            lora = lora.model_copy(update={"target_modules": None})
    blocks = tiny_blocks(backbone.unmask, source.shape.blocks if source.shape is not None else None)
    config = tiny_config(family, blocks)
    if source.config.get("sliding_window"):
        config["sliding_window"] = 8
    weights = "pretrained weights" if backbone.init == "pretrained" else "the model"
    progress.note(f"rehearsal: a fresh {family} model of {blocks} blocks, hidden size 64, for {weights}")
    progress.note("rehearsal: its tokenizer is trained on the spot")
    if backbone.adapter is not None:
        progress.note(f"rehearsal: fresh adapters for those of `{backbone.adapter}`")
    update = {
        "name": None, "revision": None, "gguf_file": None, "init": "random", "config": config, "lora": lora,
        "adapter": None,
        "tokenizer": TrainedTokenizer(vocab_size=_VOCABULARY),
    }  # fmt: skip
    return backbone.model_copy(update=update)


def tiny_blocks(mask: masks.MaskText, blocks: int | None) -> int:
    """How many blocks show what a mask does: at least four, as even groups, and no more than the true model has."""
    if isinstance(mask, list):
        wanted = max(mask, default=0) + 2
    elif ":" in mask:
        wanted = int(mask.partition(":")[2]) + 2
    elif masks.is_digits(mask):
        wanted = len(mask) * -(-4 // len(mask))
    else:
        wanted = 4
    wanted = max(4, wanted)
    return wanted if blocks is None else min(wanted, blocks)


def _data(experiment: Experiment, folder: Path, progress: Progress) -> DataSpec:
    splits = {name: getattr(experiment.data, name) for name in SPLITS}
    readers = {
        name: _few(name, reader, experiment, folder, progress)
        for name, reader in splits.items()
        if reader is not None
    }
    return experiment.data.model_copy(update=readers)


def _few(name: str, reader: Reader, experiment: Experiment, folder: Path, progress: Progress) -> Reader:
    """The reader, for a few sentences of its own; or one of its example, where its data is not here."""
    if isinstance(reader, HoldoutReader):
        train = experiment.data.train
        if reader.by == "document" and not isinstance(train, HoldoutReader):
            progress.note(f"rehearsal: {name}: as train, whose first sentences may be of one document")
            return _few(name, train, experiment, folder, progress)
        progress.note(f"rehearsal: {name}: 4 sentences held out of train")
        return reader.model_copy(update={"count": 4, "fraction": None})
    absent = next(absences(reader), None)
    if absent is None:
        limit = _enough(reader)
        progress.note(f"rehearsal: {name}: the first {limit} sentences")
        return reader.model_copy(update={"limit": limit})
    progress.note(f"rehearsal: {name}: examples for {absent}")
    return _example(name, reader, experiment, folder)


def absences(reader: Reader) -> Iterator[str]:
    """What a reader would read and is not on this machine."""
    yield from (f"`{path}`, which is not here" for _, path in reader.paths() if not path.exists())
    if reader.type_name == "huggingface" and getattr(reader, "path", None) is None:
        yield f"`{getattr(reader, 'name', None)}`, which is on the hub"


def _enough(reader: Reader) -> int:
    """How many sentences are a few, some of them with annotation."""
    count, annotated = 0, 0
    for sentence in read(reader.model_copy(update={"limit": min(reader.limit or _SEARCHED, _SEARCHED)})):
        count += 1
        annotated += _has_annotation(sentence)
        if count >= SENTENCES and annotated >= _ANNOTATED:
            return count
    return min(count, SENTENCES) if annotated == 0 and count else max(count, 1)


def _has_annotation(sentence: Sentence) -> bool:
    return bool(sentence.spans) or any(tag != "O" for tag in sentence.tags or ())


def _example(name: str, reader: Reader, experiment: Experiment, folder: Path) -> Reader:
    """The reader's example as a file, often enough to fill a few batches."""
    found = datasets.to_dataset(raw_examples(reader), experiment.scheme, name).sentences
    path = folder / f"{name}.jsonl"
    lines = [
        json.dumps(_record(found[number % len(found)]), ensure_ascii=False) for number in range(SENTENCES)
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return JsonlReader(path=path, scheme=experiment.scheme)


def _record(sentence: Sentence) -> dict[str, Any]:
    text = {"text": sentence.text} if sentence.text is not None else {}
    return {"words": sentence.words, "tags": sentence.tags, **text}
