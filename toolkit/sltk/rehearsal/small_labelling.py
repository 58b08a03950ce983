"""`sltk train SPEC --rehearse`: the spec with little data and a tiny model, and what is checked after the small run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import run
from ..components.readers.concat import ConcatReader
from ..components.readers.dividing import DividingReader
from ..components.readers.holdout import HoldoutReader
from ..components.readers.jsonl import JsonlReader
from ..components.slots import Head, Reader
from ..data import datasets
from ..data.raw import raw_examples, read
from ..data.splits import SPLITS
from ..errors import RunError
from ..exporting import export
from ..models.partial_scoring import scorable
from ..runtime.progress import Progress
from ..schemes import OUTSIDE
from ..spec.data_settings import DataSpec
from ..spec.experiment import Experiment
from ..spec.instruct_settings import InstructSpec
from ..types import Prediction, Sentence
from .small_parts import SENTENCES, absences, small_backbone, small_trainer

_ANNOTATED = 4
"""At least this many sentences have annotation, if any of the first `_SEARCHED` sentences have."""
_SEARCHED = 1000
_POSITIONS = 512
_RESPONSE = 24
_AGREEMENT = 0.95
"""Share of tags that must be equal after saving and loading; a lost head gives far fewer."""


def substituted(experiment: Experiment, folder: Path, progress: Progress) -> Experiment:
    """Make a small version of the spec; data that is made for it is written to `folder`."""
    length = experiment.max_length
    positions = _POSITIONS // getattr(experiment.backbone, "copies", 1)
    if length is not None and (length > positions or experiment.instruct is not None):
        # The tokenizer trained for a rehearsal splits prompts into more subwords than the model's own.
        small = positions if experiment.instruct is None else None
        progress.note(f"rehearsal: max_length {small or 'of the tiny model'} instead of {length}")
        length = small
    data = _small_data(experiment, folder, progress)
    return experiment.model_copy(
        update={
            "max_length": length,
            "data": data,
            "head": _small_head(experiment.head, progress),
            "backbone": small_backbone(experiment.backbone, progress),
            "trainer": small_trainer(experiment.trainer, progress),
            "instruct": _small_instruct(experiment, data, folder, progress),
        }
    )


def _small_head(head: Head, progress: Progress) -> Head:
    """The head with limits and weights that fit few sentences: found from them, not given."""
    limits = {key: "auto" for key in ("max_width", "layers") if isinstance(getattr(head, key, None), int)}
    for key in limits:
        progress.note(f"rehearsal: `{key}: auto` instead of {getattr(head, key)}")
    if isinstance(getattr(head, "class_weights", None), dict):
        limits["class_weights"] = "balanced"
        progress.note("rehearsal: balanced class weights instead of those of single tags")
    return head.model_copy(update=limits) if limits else head


def _small_instruct(
    experiment: Experiment, data: DataSpec, folder: Path, progress: Progress
) -> InstructSpec | None:
    """Short responses, and an option for each type that only the examples of readers have."""
    spec = experiment.instruct
    if spec is None:
        return None
    options = dict(spec.options)
    for reader in (getattr(data, name) for name in SPLITS):
        if isinstance(reader, JsonlReader) and reader.path.parent == folder:
            dataset = datasets.load(reader, experiment.scheme)
            types = {span.type for sentence in dataset for span in sentence.spans or ()}
            for type_ in sorted(types - options.keys()):
                options[type_] = f"example {len(options) - len(spec.options) + 1}"
    added = ", ".join(type_ for type_ in options if type_ not in spec.options)
    if added:
        progress.note(f"rehearsal: options for the types of the examples: {added}")
    progress.note(f"rehearsal: responses of at most {_RESPONSE} subwords")
    return spec.model_copy(update={"options": options, "max_response": min(spec.max_response, _RESPONSE)})


def _small_data(experiment: Experiment, folder: Path, progress: Progress) -> DataSpec:
    readers = {
        name: _small_reader(name, reader, experiment, folder, progress)
        for name, reader in experiment.data.readers().items()
    }
    return experiment.data.model_copy(update={**readers, "folds": None})


def _small_reader(
    name: str, reader: Reader, experiment: Experiment, folder: Path, progress: Progress
) -> Reader:
    """The reader for a few of its sentences, or for its example if its data is not on this machine."""
    if isinstance(reader, DividingReader):
        train = experiment.data.train
        if reader.by == "document" and not isinstance(train, DividingReader):
            progress.note(
                f"rehearsal: {name}: same as train, whose first sentences may belong to one document"
            )
            return _small_reader(name, train, experiment, folder, progress)
        progress.note(f"rehearsal: {name}: 4 sentences held out of train")
        return HoldoutReader(count=4, seed=reader.seed, allow_empty=True)
    if isinstance(reader, ConcatReader):
        return _small_corpora(name, reader, experiment, folder, progress)
    absent = next(absences(reader), None)
    if absent is None:
        limit, is_bare = _few_with_annotation(reader)
        progress.note(f"rehearsal: {name}: the first {limit} sentences")
        return reader.model_copy(update={"limit": limit, "allow_empty": reader.allow_empty or is_bare})
    progress.note(f"rehearsal: {name}: examples instead of {absent}")
    return _example(name, reader, experiment, folder)


def _small_corpora(
    name: str, reader: ConcatReader, experiment: Experiment, folder: Path, progress: Progress
) -> ConcatReader:
    """Each corpus for a few of its sentences; examples have other types than the corpus that they stand for."""
    small = []
    for number, source in enumerate(reader.sources):
        inner = _small_reader(f"{name}.{number}", source.reader, experiment, folder, progress)
        update: dict[str, Any] = {"reader": inner}
        if isinstance(inner, JsonlReader) and inner.path.parent == folder:
            update |= {"labels": None, "annotates": None}
        small.append(source.model_copy(update=update))
    return reader.model_copy(update={"sources": small})


def _few_with_annotation(reader: Reader) -> tuple[int, bool]:
    """The number of sentences to read so that some of them are annotated, and whether only later ones can be."""
    count, annotated = 0, 0
    searched = min(reader.limit or _SEARCHED, _SEARCHED)
    for sentence in read(reader.model_copy(update={"limit": searched})):
        count += 1
        annotated += bool(sentence.spans) or any(tag != OUTSIDE for tag in sentence.tags or ())
        if count >= SENTENCES and annotated >= _ANNOTATED:
            return count, False
    few = min(count, SENTENCES) if annotated == 0 and count else max(count, 1)
    return few, annotated == 0 and count == _SEARCHED


def _example(name: str, reader: Reader, experiment: Experiment, folder: Path) -> Reader:
    """Write the reader's example to a file, repeated to fill a few batches."""
    sentences = datasets.to_dataset(raw_examples(reader), experiment.scheme, name).sentences
    path = folder / f"{name}.jsonl"
    lines = [json.dumps(_record(sentences[n % len(sentences)]), ensure_ascii=False) for n in range(SENTENCES)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return JsonlReader(path=path, scheme=experiment.scheme)


def _record(sentence: Sentence) -> dict[str, Any]:
    text = {"text": sentence.text} if sentence.text is not None else {}
    return {"words": sentence.words, "tags": sentence.tags, **text}


def verify(small: Experiment, folder: Path, progress: Progress) -> None:
    """Check that the saved model and the exported model label as the trained model did.

    Raises:
        RunError: one of them labels the words differently.
    """
    split = next(name for name in ("test", "validation", "train") if getattr(small.data, name))
    labelled = run.evaluate(folder / "run", split=split).predictions
    if split != "train":
        before = _written_tags(folder / "run" / "predictions" / f"{split}.conll")
        _check_same(before, labelled, "loaded from its run directory")
    export(folder / "run", folder / "exported")
    unlabelled = [replace(prediction.sentence, tags=None, spans=None) for prediction in labelled]
    labeller = run.load(folder / "exported")
    # Scored predictions have no spans of types that the corpus of a sentence does not annotate.
    exported = [scorable(each, labeller.model.labels) for each in labeller.predict(unlabelled)]
    _check_same([prediction.tags for prediction in labelled], exported, "exported and loaded")
    example = " ".join(f"{word}/{tag}" for word, tag in zip(exported[0].words, exported[0].tags, strict=True))
    progress.note(f"rehearsal: loaded and exported models agree; one prediction: {example}")


def _written_tags(path: Path) -> list[list[str]]:
    """The predicted tags in a run's prediction file, sentence by sentence."""
    blocks = path.read_text(encoding="utf-8").strip("\n").split("\n\n")
    return [[line.rsplit("\t", 1)[-1] for line in block.split("\n")] for block in blocks]


def _check_same(before: list[list[str]], after: list[Prediction], when: str) -> None:
    """Raise an error if a model assigns other tags than before."""
    old = [tag for tags in before for tag in tags]
    new = [tag for prediction in after for tag in prediction.tags]
    equal = sum(one == other for one, other in zip(old, new, strict=False))
    if len(old) != len(new) or equal < _AGREEMENT * len(old):
        raise RunError(
            f"rehearsal: the model {when} labels {len(old) - equal} of {len(old)} words differently"
        )
