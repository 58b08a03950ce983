"""What a run directory holds, and when it may be written.

spec.yaml             resolved: everything needed to run it again
imports/              copies of the files named in `imports:`
environment.json      versions, device, revision, seed, proof of the mask
checkpoints/          the newest one, and the best where it is wanted: for --resume
log.jsonl             loss, learning rate, scores, notes
model/                see checkpoint.py
predictions/SPLIT.conll
corpus/, steps/       of `sltk pretrain`: text as numbers while it trains, and models kept on the way
metrics.json          written last: a run that has it is finished
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from ..components.registry import registry
from ..components.slots import Backbone
from ..data.fingerprint import Fingerprint, describe_changes
from ..errors import Problem, UsageError
from ..files import atomic
from ..files.writable import check_folder
from ..models.saving import check_format
from ..runtime import processes
from ..runtime.progress import Progress
from ..spec import loading
from ..spec.experiment import Experiment
from ..spec.imports import load_imports
from ..spec.stored import BEFORE_SPEC, differences, parse_stored_spec, read_mapping
from ..types import Prediction
from ..yamltree.scalars import is_python_file
from .environment import Built, environment
from .log import LoggedProgress
from .parent import origin_of


class Recorded(Protocol):
    """The spec of a run of any kind."""

    @property
    def seed(self) -> int:
        """Seed of everything random."""

    @property
    def imports(self) -> list[Path]:
        """Files, or names of modules, with components of one's own."""

    @property
    def backbone(self) -> Backbone:
        """Which model it starts from."""

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> BaseModel:
        """The same with other values."""


class RunDirectory:
    """One run's folder. Only the first process of a run writes in it."""

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
        self.coming_corpus = folder / ".corpus.partial-next"
        """That of a run that is not accepted yet: whatever is here stays as it is until then."""
        self.steps = folder / "steps"
        self.metrics = folder / "metrics.json"

    def prepare(self, experiment: Recorded, *, resume: bool, force: bool) -> dict[str, Any] | None:
        """See that the run may be written here; changes nothing. The metrics, if it is finished already.

        Raises:
            UsageError: there is a run already, or another one than is to be resumed, or something else.
        """
        if resume and force:
            raise UsageError("--resume goes on with the run that is there, --force replaces it: choose one")
        check_folder(self.folder)
        if not self.spec.exists():
            self._check_empty()
            return None
        if not resume and not force:
            state = "a finished run" if self.metrics.exists() else "an unfinished run"
            raise UsageError(f"`{self.folder}` holds {state}; --resume goes on with it, --force replaces it")
        if resume:
            self.check_format()
            self._check_same(experiment)
            return read_mapping(self.metrics) if self.metrics.exists() else None
        return None

    def _check_empty(self) -> None:
        names = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
        others = sorted(name for name in names - BEFORE_SPEC if not atomic.is_partial(name))
        if others:
            shown = ", ".join(others[:3])
            raise UsageError(
                f"`{self.folder}` holds other files and no run ({shown}); choose another --output"
            )

    def check_format(self) -> None:
        """Refuse a run directory that another version of sltk wrote in another form.

        Raises:
            UsageError: it did.
            DataError: what says so is missing or damaged.
        """
        check_format(
            self.folder,
            read_mapping(self.environment),
            "train it again (--force), or use the version that wrote it",
        )

    def _check_same(self, experiment: Recorded) -> None:
        """Refuse to go on with another spec, or with other `imports:`, than the run began with."""
        before = read_mapping(self.spec)
        differing = list(differences(before, parse_stored_spec(self._resolved(experiment))))
        for source, name in _copies(experiment.imports):
            copy = self.imports / name
            if copy.exists() and copy.read_bytes() != source.read_bytes():
                differing.append(f"imports: {source} was edited")
        if differing:
            raise UsageError(
                Problem(
                    f"`{self.folder}` holds a run of another spec",
                    notes=(*differing[:8], "--force replaces the run, another --output keeps it"),
                )
            )

    def _resolved(self, experiment: Recorded) -> str:
        """The spec as it is stored: with its `imports:` beside it."""
        names = {source: Path("imports") / name for source, name in _copies(experiment.imports)}
        imports = [names.get(path, path) for path in experiment.imports]
        return loading.dump(experiment.model_copy(update={"imports": imports}))

    def start(
        self,
        experiment: Recorded,
        model: Built,
        data: Mapping[str, Fingerprint],
        told: Progress,
        *,
        resume: bool,
        force: bool,
        corpus: Path | None = None,
    ) -> Progress:
        """Write what is known before training. With `force`, the run that was here goes first.

        Args:
            data: what identifies that which it is trained on.
            corpus: what becomes `corpus/`; None where that is not needed, or is there.

        Returns:
            Progress that `log.jsonl` hears too. `told` hears what is not as when a run that is resumed began.

        Raises:
            UsageError: the run that is to be resumed began on other data. Nothing is changed then.
        """
        if resume:
            self._check_data(data)
        if not processes.is_main_process():
            return told
        if resume:
            for change in self._changes(experiment.seed, model):
                told.note(f"not as when the run began: {change}")
        if force:
            self._clear()
        self.folder.mkdir(parents=True, exist_ok=True)
        if corpus is not None:
            atomic.publish(corpus, self.corpus)
        for path in [*self.folder.glob(".*"), *self.folder.glob("*/.*")]:
            if atomic.is_partial(path.name):
                atomic.remove(path)
        for source, name in _copies(experiment.imports):
            atomic.write_text(self.imports / name, source.read_text(encoding="utf-8"))
        begun = environment(experiment.seed, model) | _origin(experiment.backbone) | {"data": dict(data)}
        atomic.write_json(self.environment, begun)
        atomic.write_text(self.spec, self._resolved(experiment))
        return LoggedProgress(told, self.log)

    def _clear(self) -> None:
        """Remove a run, its spec last: a run half removed has no checkpoints to go on from, and no metrics."""
        for path in (
            self.metrics, self.checkpoints, self.model, self.steps, self.predictions, self.log, self.corpus,
            self.environment, self.imports, self.spec,
        ):  # fmt: skip
            atomic.remove(path)

    def _check_data(self, data: Mapping[str, Fingerprint]) -> None:
        """Refuse to go on with other data than the run began with, as far as that was written down then."""
        if not (self.spec.exists() and self.environment.exists()):
            return
        before = read_mapping(self.environment).get("data", {})
        changed = list(describe_changes(before, data))
        if changed:
            raise UsageError(
                Problem(
                    f"`{self.folder}` holds a run that began on other data: going on would mix the two",
                    notes=(*changed, "--force replaces the run, another --output keeps it"),
                )
            )

    def _changes(self, seed: int, model: Built) -> list[str]:
        """What is not as it was when the run began, of all that may change its numbers: versions, device, threads."""
        if not self.environment.exists():
            return []
        before = read_mapping(self.environment)
        now = environment(seed, model)
        keys = ("python", "packages", "device", "products", "threads", "processes")
        return [line for key in keys for line in differences(before.get(key), now[key], key)]

    def finish(self, metrics: dict[str, Any]) -> None:
        """Write the metrics: the run is finished."""
        atomic.write_json(self.metrics, metrics)

    def write_predictions(self, split: str, predictions: Iterable[Prediction]) -> None:
        """`predictions/SPLIT.conll`: word, gold tag, predicted tag."""
        if processes.is_main_process():
            writer = registry.find("writer", "conll")()
            with atomic.writing(self.predictions / f"{split}.conll") as file:
                file.writelines(writer.render(predictions))  # type: ignore[attr-defined]

    def experiment(self, progress: Progress) -> Experiment:
        """The spec of a finished run, its `imports:` run.

        Raises:
            UsageError: there is no run, or it is not finished, or its form is that of another version.
        """
        if not self.spec.exists():
            raise UsageError(f"`{self.folder}` is no run directory (no spec.yaml)")
        self.check_format()
        if not self.metrics.exists():
            raise UsageError(
                f"the run in `{self.folder}` is not finished; `sltk train … --resume` goes on with it"
            )
        loaded = loading.load(self.spec)
        for path in loaded.imported:
            progress.note(f"imported {path}")
        return loaded.spec


def run_imports(folder: Path, progress: Progress) -> None:
    """Run the files that came with a model, saying which."""
    for path in load_imports(sorted((folder / "imports").glob("*.py"))):
        progress.note(f"imported {path}")


def _origin(backbone: Backbone) -> dict[str, Any]:
    """The model of a pre-training run that a run starts from, which may be gone or elsewhere later."""
    found = origin_of(getattr(backbone, "adapter", None), getattr(backbone, "name", None))
    return {} if found is None else {"origin": found.model_dump(mode="json")}


def _copies(imports: Iterable[Path]) -> list[tuple[Path, str]]:
    """Each file of `imports:`, and a name for its copy that no other has."""
    taken: dict[str, Path] = {}
    for path in imports:
        if not is_python_file(str(path)):
            continue
        name, number = path.name, 2
        while name in taken:
            name, number = f"{path.stem}_{number}{path.suffix}", number + 1
        taken[name] = path
    return [(path, name) for name, path in taken.items()]
