"""Read what a card says from a run directory, or from the card.json of an export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ..errors import DataError, UsageError
from ..files.damage import read_json
from ..files.paths import expanded, resolved
from ..models.description import is_model
from ..spec.stored import read_mapping
from ..yamltree.extends import is_stored_spec, spec_kind
from .card_facts import BaseFacts, CardFacts, ProofFacts, ScoreFacts, SplitFacts
from .card_intervals import f1_intervals

NAME = "card.json"
SPLITS = ("train", "validation", "test")
_SCORES = ("precision", "recall", "f1", "accuracy", "macro_f1", "support")
_VERSIONS = ("torch", "transformers", "peft", "bitsandbytes")
_SETTINGS = (
    "epochs", "max_steps", "batch_size", "gradient_accumulation", "learning_rate", "optimizer", "weight_decay",
    "schedule", "warmup", "clip", "select", "early_stopping", "recipe",
)  # fmt: skip
_COST = ("seconds", "epochs", "steps", "peak_memory_bytes", "parameters", "trained_parameters")


def read_facts(source: Path) -> CardFacts | None:
    """The facts of a run directory or of an export; None for a model without them.

    Raises:
        UsageError: the run is not finished, or its model cannot be used because it attends to padding.
        DataError: a file of the run, or card.json, is damaged.
    """
    source = run_of(source) or source
    if is_model(source):
        return _stored(source / NAME) if (source / NAME).exists() else None
    if not is_stored_spec(source / "spec.yaml"):
        raise UsageError(f"`{source}` is neither a run directory (no spec.yaml) nor an exported model")
    if spec_kind(source / "spec.yaml") == "pretraining":
        raise UsageError(f"`{source}` is a run of `sltk pretrain`: cards are for models that label text")
    if not (source / "metrics.json").exists():
        raise UsageError(f"the run in `{source}` is not finished; `sltk train … --resume` continues it")
    return _facts_of_run(source)


def run_of(model: Path) -> Path | None:
    """The run directory that a folder is the `model/` of; None for an export and for anything else."""
    is_inside = is_model(model) and model.name == "model" and not (model / NAME).exists()
    return model.parent if is_inside and (model.parent / "metrics.json").exists() else None


def _stored(path: Path) -> CardFacts:
    try:
        return CardFacts.model_validate(read_json(path))
    except ValidationError as error:
        raise DataError.at(f"the file is damaged: {_first(error)}", path) from error


def _facts_of_run(run: Path) -> CardFacts:
    spec, metrics = read_mapping(run / "spec.yaml"), read_mapping(run / "metrics.json")
    environment = read_mapping(run / "environment.json") if (run / "environment.json").exists() else {}
    backbone, trainer = spec.get("backbone") or {}, spec.get("trainer") or {}
    if backbone.get("attend_to_padding"):
        about = f"the model in `{run}` attends to padding: it is for a comparison in a sweep, and has no card"
        raise UsageError(about)
    scored = {split: metrics[split] for split in SPLITS[1:] if isinstance(metrics.get(split), dict)}
    proof = environment.get("mask_proof")
    origin = environment.get("origin") or {}
    try:
        return CardFacts(
            name=str(spec.get("name")),
            base=_base(backbone),
            first_blocks=None if backbone.get("blocks") in (None, "all") else backbone["blocks"],
            adaptation=_adaptation(backbone),
            quantization=(backbone.get("quantization") or {}).get("type"),
            origin=origin.get("run"),
            objective=origin.get("objective"),
            data={**_data(spec.get("data") or {}, environment.get("data") or {}, scored)},
            scores={split: _scores(run, spec, split, values) for split, values in scored.items()},
            proof=proof and ProofFacts.model_validate(proof),
            settings=_settings(backbone, trainer, spec),
            cost={key: metrics.get("train", {}).get(key) for key in _COST},
            versions=_versions(environment),
            device=environment.get("device"),
        )
    except (ValidationError, AttributeError, TypeError) as error:
        cause = _first(error) if isinstance(error, ValidationError) else error
        raise DataError.at(f"the records of the run are damaged: {cause}", run) from error


def _first(error: ValidationError) -> str:
    item = error.errors(include_url=False)[0]
    return f"`{'.'.join(map(str, item['loc']))}`: {item['msg']}"


def base_name(name: str | None) -> str | None:
    """The name of a model as others may see it: its name on the hub, or the last part of its directory."""
    return _portable(name) if name is not None and _is_folder_name(name) else name


def _is_folder_name(name: str) -> bool:
    return name.startswith(("/", ".", "~"))


def _portable(path: str) -> str:
    """The last part of a path: folders of a machine and names of its users stay out of a card."""
    at = resolved(expanded(path))
    return "" if at in (Path.home(), Path.home().parent) else at.name


def _base(backbone: Mapping[str, Any]) -> BaseFacts | None:
    name = backbone.get("name")
    if not isinstance(name, str) or backbone.get("init") == "random":
        return None
    if _is_folder_name(name):
        return BaseFacts(name=base_name(name) or "a local directory")
    return BaseFacts(name=name, revision=backbone.get("revision"), is_on_hub=True)


def _adaptation(backbone: Mapping[str, Any]) -> Literal["adapter", "full", "frozen", "scratch"]:
    if backbone.get("lora"):
        return "adapter"
    if backbone.get("freeze"):
        return "frozen"
    return "scratch" if backbone.get("init") == "random" else "full"


def _data(
    readers: Mapping[str, Any], counted: Mapping[str, Any], scored: Mapping[str, Any]
) -> dict[str, SplitFacts]:
    facts = {}
    if readers.get("folds"):
        readers = {**readers, "test": {"type": "folds", **readers["folds"]}}
    for split in SPLITS:
        if not readers.get(split):
            continue
        counts = {**(scored.get(split) or {}), **(counted.get(split) or {})}
        source, is_on_hub = _source(readers[split])
        facts[split] = SplitFacts(
            source=source, is_on_hub=is_on_hub, sentences=counts.get("sentences"), words=counts.get("words")
        )
    return facts


def _source(reader: Mapping[str, Any]) -> tuple[str, bool]:
    """The name of the data that a reader reads, and whether that is a name on the hub."""
    kind = str(reader.get("type"))
    if kind == "holdout":
        return "held out of the training data", False
    if kind == "folds":
        return (
            f"fold {reader.get('fold')} of {reader.get('k')} of the training data (cross-validation)",
            False,
        )
    if kind == "huggingface" and reader.get("name"):
        return str(reader["name"]), True
    names = [_portable(value) for value in _paths(reader)]
    return ", ".join(dict.fromkeys(name for name in names if name)) or kind, False


def _paths(value: Any, key: str = "path") -> list[str]:
    """The values of all keys that name a file, in order."""
    if isinstance(value, dict):
        return [path for name, item in value.items() for path in _paths(item, name)]
    if isinstance(value, list):
        return [path for item in value for path in _paths(item, key)]
    return [value] if isinstance(value, str) and key in ("path", "paths", "text", "annotation") else []


def _scores(run: Path, spec: dict[str, Any], split: str, scores: dict[str, Any]) -> ScoreFacts:
    intervals = f1_intervals(run, spec, split, scores) or {}
    per_type = {
        type_: {key: values[key] for key in ("precision", "recall", "f1", "support") if key in values}
        for type_, values in scores.get("per_type", {}).items()
    }
    return ScoreFacts(
        values={key: scores[key] for key in _SCORES if isinstance(scores.get(key), int | float)},
        intervals={"f1": intervals["f1"]} if intervals else {},
        per_type=per_type,
        type_intervals=intervals.get("per_type", {}),
        signature=scores.get("signature"),
        verified_by=scores.get("verified_by"),
    )


_LORA_SETTINGS = ("r", "alpha", "rslora", "dora", "dropout")


def _settings(
    backbone: Mapping[str, Any], trainer: Mapping[str, Any], spec: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings that decide what is learned, with those of LoRA, by their keys in a spec."""
    settings = {key: trainer[key] for key in _SETTINGS if trainer.get(key) is not None}
    lora = backbone.get("lora") or {}
    settings |= {f"lora.{key}": lora[key] for key in _LORA_SETTINGS if key in lora}
    if saved := lora.get("modules_to_save"):
        settings["lora.modules_to_save"] = ", ".join(saved)
    return settings | {"seed": spec.get("seed")}


def _versions(environment: Mapping[str, Any]) -> dict[str, str]:
    versions = {key: environment[key] for key in ("sltk", "python") if environment.get(key)}
    packages = environment.get("packages") or {}
    return versions | {name: packages[name] for name in _VERSIONS if packages.get(name)}
