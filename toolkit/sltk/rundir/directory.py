"""The run directory: its content, and the checks before it is written.

spec.yaml             the resolved spec: everything needed to repeat the run
imports/              copies of the files named in `imports:`
environment.json      versions, device, revision, seed, proof of the mask
checkpoints/          the newest checkpoint, and the best one if it is selected: for --resume
log.jsonl             loss, learning rate, scores, notes
model/                see models/saving.py
predictions/SPLIT.conll, and SPLIT.scores.jsonl
predictions/slices.json
corpus/, steps/       of `sltk pretrain`: token ids during training, and snapshots of the model
tensorboard/, …       with `trainer.log_to`: see trackers/
metrics.json          written last: a run that has it is finished
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..components.registry import registry
from ..components.slots import Backbone, Reader
from ..data.fingerprint import Fingerprint, describe_changes
from ..errors import InputError, Problem, UsageError
from ..files import atomic, locking
from ..files.damage import damaged
from ..files.safety import json_text
from ..files.writable import check_model_folder
from ..models.description import check_format
from ..runtime import agreement, processes
from ..runtime.progress import Progress
from ..spec import loading
from ..spec.experiment import Experiment, RunSpec
from ..spec.import_copies import read_copies, run_copies, write_copies
from ..spec.imports import ImportedCode, ImportPolicy, find_stored_code
from ..spec.stored import differences, parse_stored_spec, read_mapping, with_new_keys
from ..types import Prediction
from ..yamltree.extends import is_stored_spec, spec_kind
from .environment import TrainedModel, attention, environment, mask_proof
from .log import LoggedProgress
from .ownership import foreign_files, read_from
from .pretrained_origin import origin_of
from .scored_predictions import write_scores


class RunDirectory:
    """The folder of one run. Only the main process of a run writes to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = folder / "spec.yaml"
        self.imports = folder / "imports"
        self.environment = folder / "environment.json"
        self.log = folder / "log.jsonl"
        self.model = folder / "model"
        self.checkpoints = folder / "checkpoints"
        self.predictions = folder / "predictions"
        self.corpus = folder / "corpus"
        self.incoming_corpus = folder / ".corpus.partial-next"
        """The corpus of a new run until `start` accepts that run; until then `corpus/` stays unchanged."""
        self.steps = folder / "steps"
        self.metrics = folder / "metrics.json"
        self.trackers = [folder / name for name in ("tensorboard", "wandb", "mlflow", "trackers.json")]

    @contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Keep other processes from writing a run here; only the main process of a run takes the lock.

        A folder that did not exist and is still empty at the end is removed.

        Raises:
            UsageError: another process writes here, or no model can be written here.
        """
        if not processes.is_main_process():
            yield
            return
        check_model_folder(self.folder)
        new = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        file = self.folder / ".lock"
        try:
            # The process of a killed sweep may end a moment after the sweep.
            with locking.lock(file, shared=shared, wait=0.5, temporary=True, subject=self.folder):
                yield
        finally:
            with suppress(OSError):
                for folder in new:
                    folder.rmdir()

    def check_shared(self) -> None:
        """Check that all processes of a run see this folder, which the main process has locked.

        Raises:
            UsageError: some process does not.
        """
        advice = "start them in the same working directory, or give `--output` on a file system that all machines share"
        agreement.check_same_file(self.folder / ".lock", "the run directory", advice)

    def prepare(self, spec: RunSpec, *, resume: bool, force: bool) -> dict[str, Any] | None:
        """Check that the run may be written here, and return its metrics if it is finished. Changes nothing.

        Raises:
            UsageError: the folder holds a run, a different run from the one to resume, or other files.
        """
        if resume and force:
            raise UsageError("--resume continues the run in the folder, --force replaces it: choose one")
        self._check_own()
        if not self.spec.exists():
            return None
        if not resume and not force:
            state = "a finished run" if self.metrics.exists() else "an unfinished run"
            raise UsageError(f"`{self.folder}` holds {state}; --resume continues it, --force replaces it")
        if resume:
            self.check_format()
            self._check_same(spec)
            return read_mapping(self.metrics) if self.metrics.exists() else None
        return None

    def _check_own(self) -> None:
        others = foreign_files(self.folder)
        if others:
            shown = ", ".join(others[:3])
            what = "other files" if is_stored_spec(self.spec) else "other files and no run"
            raise UsageError(f"`{self.folder}` holds {what} ({shown}); choose another --output")

    def check_inputs(self, readers: Mapping[str, Reader | None], backbone: Backbone) -> None:
        """Check that a new run reads nothing from the run that it replaces.

        Args:
            readers: the readers of the new run, by the key of the spec that holds them.
            backbone: the backbone of the new run.

        Raises:
            UsageError: it reads data from the old run, or starts from its model.
        """
        inputs = list(read_from([path for path in self.parts() if path != self.spec], readers, backbone))
        if inputs:
            message = f"--force would remove what this run reads from `{self.folder}`"
            notes = (*inputs, "choose another --output")
            raise UsageError(Problem(message, notes=notes))

    def check_format(self) -> None:
        """Check that this version of sltk reads the format of the run directory.

        Raises:
            UsageError: another version of sltk wrote it in another format.
            DataError: `environment.json` is missing or damaged.
        """
        advice = "train it again (--force), or use the version that wrote it"
        check_format(self.environment, read_mapping(self.environment), advice)

    def _check_same(self, spec: RunSpec) -> None:
        """Refuse to resume with a spec, or with `imports:`, that differ from those the run started with."""
        now = parse_stored_spec(self._resolved(spec))
        changed = list(differences(with_new_keys(read_mapping(self.spec), now, spec), now))
        for source, name in run_copies(spec.imports).items():
            copy = self.imports / name
            if copy.exists() and copy.read_bytes() != source.read_bytes():
                changed.append(f"imports: {source} was edited")
        if changed:
            raise self._other_run("of another spec", changed[:8])

    def _other_run(self, what: str, changed: Iterable[str]) -> UsageError:
        notes = (*changed, "--force replaces the run, another --output keeps it")
        return UsageError(Problem(f"`{self.folder}` holds a run {what}", notes=notes))

    def _resolved(self, spec: RunSpec) -> str:
        """The spec as stored, with `imports:` that name the copies next to it."""
        names = {source: Path("imports") / name for source, name in run_copies(spec.imports).items()}
        imports = [names.get(path, path) for path in spec.imports]
        return loading.dump(spec.model_copy(update={"imports": imports}))

    def start(
        self,
        spec: RunSpec,
        model: TrainedModel,
        fingerprints: Mapping[str, Fingerprint],
        progress: Progress,
        *,
        resume: bool,
        force: bool,
    ) -> Progress:
        """Write the files that are known before training, and make the incoming corpus that of the run.

        Args:
            fingerprints: identify the training data.
            progress: receives a note for each change of the environment since a resumed run started.
            force: remove the run in the folder first.

        Returns:
            Progress callbacks that also write `log.jsonl`.

        Raises:
            UsageError: the run to resume was started on other data. Nothing is changed.
        """
        if resume:
            self._check_data(fingerprints)
        if not processes.is_main_process():
            return progress
        if resume:
            for change in self._environment_changes(spec.seed, model):
                progress.note(f"changed since the run started: {change}")
        imports = read_copies(run_copies(spec.imports))  # before they are removed with an old run
        if force:
            self._clear()
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.incoming_corpus.exists():
            atomic.publish(self.incoming_corpus, self.corpus)
        for path in [*self.folder.glob(".*"), *self.folder.glob("*/.*")]:
            if atomic.is_partial(path.name):
                atomic.remove(path)
        data = {"data": dict(fingerprints)}
        atomic.write_json(self.environment, environment(spec.seed, model) | _origin(spec.backbone) | data)
        write_copies(imports, self.imports, progress.note)
        atomic.write_text(self.spec, self._resolved(spec))
        return LoggedProgress(progress, self.log)

    def replace_spec(self, spec: RunSpec) -> None:
        """Replace the spec of a finished run, whose mask was learned."""
        atomic.write_text(self.spec, self._resolved(spec))

    def record_attention(self, model: TrainedModel) -> None:
        """Add the attention kernels that ran to `environment.json`: known only after they have run.

        A mask that training chose has been proven since.
        """
        self._record({"attention": attention(model), "mask_proof": mask_proof(model)})

    def record_training(self, values: Mapping[str, Any]) -> None:
        """Add the settings that `auto` stands for to `environment.json`: known only once the model is loaded."""
        self._record({"training": dict(values)})

    def _record(self, values: dict[str, Any]) -> None:
        if processes.is_main_process():
            atomic.write_json(self.environment, read_mapping(self.environment) | values)

    def parts(self) -> list[Path]:
        """What a run writes. A run removed up to some part can neither be resumed nor be taken for finished, and as
        long as its spec exists it is recognized as a run by its environment.
        """
        return [
            self.metrics, self.checkpoints, self.model, self.steps, self.predictions, self.log, self.corpus,
            self.imports, *self.trackers, self.spec, self.environment,
        ]  # fmt: skip

    def _clear(self) -> None:
        for path in self.parts():
            atomic.remove(path)

    def _check_data(self, fingerprints: Mapping[str, Fingerprint]) -> None:
        """Refuse to resume on data that differs from what the run started on, as far as that was recorded."""
        if not (self.spec.exists() and self.environment.exists()):
            return
        changed = list(describe_changes(self._recorded_data(), fingerprints))
        if changed:
            raise self._other_run("that started on other data: resuming would mix the two", changed)

    def _recorded_data(self) -> dict[str, Fingerprint]:
        """The fingerprints of the data that the run started on."""
        data = read_mapping(self.environment).get("data", {})
        values = list(data.values()) if isinstance(data, dict) else [None]
        if not all(isinstance(value, dict) and _is_fingerprint(value) for value in values):
            raise damaged(self.environment, "`data` does not have a digest and counts for each split")
        return dict(data)

    def _environment_changes(self, seed: int, model: TrainedModel) -> list[str]:
        """Changes since the run started that may affect its numbers: versions, device, threads."""
        if not self.environment.exists():
            return []
        # Earlier versions always computed in float32.
        before = {"precision": "fp32", "tf32": False, **read_mapping(self.environment)}
        now = environment(seed, model)
        keys = ("python", "packages", "device", "precision", "tf32", "products", "threads", "processes")
        return [line for key in keys for line in differences(before.get(key), now[key], key)]

    def discard_incoming(self) -> None:
        """Remove the corpus of a run that was not accepted."""
        if processes.is_main_process():
            atomic.remove(self.incoming_corpus)

    def discard_corpus(self) -> None:
        """Remove the corpus of a finished run, which no longer needs it."""
        self.discard_incoming()
        if processes.is_main_process():
            atomic.remove(self.corpus)

    def finish(self, metrics: dict[str, Any]) -> None:
        """Write the metrics, which marks the run as finished, and remove its corpus."""
        atomic.write_json(self.metrics, metrics)
        self.discard_corpus()

    def write_predictions(self, split: str, predictions: Iterable[Prediction]) -> None:
        """Write `predictions/SPLIT.conll`: word, gold tag, predicted tag as scored, even if it is ill-formed.

        Beside it, `SPLIT.scores.jsonl` has the scores of words and spans, if the model gives any.
        """
        if processes.is_main_process():
            predictions = list(predictions)
            writer: Any = registry.find("writer", "conll")()
            with atomic.open_text(self.predictions / f"{split}.conll") as file:
                file.writelines(writer.render(replace(each, scheme=None) for each in predictions))
            write_scores(self.predictions / f"{split}.scores.jsonl", predictions)

    def write_slices(self, splits: Mapping[str, Mapping[str, Any]]) -> None:
        """Write `predictions/slices.json`: documents, positions and classes of spans of each split (data/slices.py)."""
        if processes.is_main_process() and splits:
            atomic.write_text(
                self.predictions / "slices.json", json_text({"format": 1, "splits": splits}) + "\n"
            )

    def experiment(self, policy: ImportPolicy) -> Experiment:
        """Load the spec of a finished labelling run, and run its `imports:` if `policy` lets them.

        Raises:
            UsageError: the folder contains no run, the run is not finished, or another version of sltk wrote it.
            InvalidSpecError: its spec is invalid, or its code may not run.
        """
        if not self.spec.exists():
            raise UsageError(f"`{self.folder}` is not a run directory (no spec.yaml)")
        self.check_format()
        if spec_kind(self.spec) == "pretraining":
            note = f"`backbone.name: {self.model}` in the spec of a labelling run starts from its model"
            message = f"`{self.folder}` is a run of `sltk pretrain`, which labels nothing"
            raise UsageError(Problem(message, notes=(note,)))
        if not self.metrics.exists():
            raise UsageError(
                f"the run in `{self.folder}` is not finished; `sltk train … --resume` continues it"
            )
        return loading.load_stored(self.spec, policy).spec


@contextmanager
def locked_around(file: Path) -> Iterator[None]:
    """Keep runs from being written to the run directory that a file is in, if it is in one.

    Raises:
        UsageError: another process writes a run there.
    """
    folder = next((each for each in file.absolute().parents if is_stored_spec(each / "spec.yaml")), None)
    if folder is None:
        yield
        return
    with RunDirectory(folder).locked(shared=True):
        yield


def run_model_code(folder: Path, policy: ImportPolicy) -> None:
    """Run the files in the `imports/` of a model if `policy` lets them; all are checked before one runs.

    Raises:
        UsageError: a file may not run, or raises an exception.
    """
    found: list[ImportedCode] = []
    problems: list[Problem] = []
    for path in sorted((folder / "imports").glob("*.py")):
        try:
            found.append(find_stored_code(f"imports/{path.name}", folder, policy))
        except InputError as error:
            problems += error.problems
    if problems:
        raise UsageError(problems)
    for code in found:
        code.run(policy)


def _origin(backbone: Backbone) -> dict[str, Any]:
    """The pre-trained model that a run starts from; it may be gone or elsewhere later."""
    origin = origin_of(getattr(backbone, "adapter", None), getattr(backbone, "name", None))
    return {} if origin is None else {"origin": origin.model_dump(mode="json")}


def _is_fingerprint(value: Mapping[str, Any]) -> bool:
    counts = [number for key, number in value.items() if key != "digest"]
    return isinstance(value.get("digest"), str) and all(isinstance(number, int) for number in counts)
