"""Checkpoints: their files, and the newest one that a run can resume from.

trained.safetensors                        the trained weights
averaged.safetensors                       their moving average, with `trainer.ema`
optimizer.pt, scheduler.pt, rng_state.pth  as transformers' Trainer writes them; read with `weights_only`
trainer_state.json, session.json           step, history and callbacks; words and time
manifest.json                              step, digest of the spec, and SHA-256 of each file
"""

from __future__ import annotations

import re
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load_file
from torch import Tensor
from transformers.trainer_pt_utils import safe_globals

from ..errors import Location, Problem, UsageError
from ..files import manifest
from ..files.damage import damaged, read_header, read_json, report_damage
from ..nn.trainable import TrainableModule
from ..runtime import processes
from ..runtime.progress import Progress

TRAINED = "trained.safetensors"
AVERAGED = "averaged.safetensors"
STATE = "trainer_state.json"
SESSION = "session.json"
OPTIMIZER, SCHEDULER = "optimizer.pt", "scheduler.pt"
_TORCH_FILES = (OPTIMIZER, SCHEDULER)
_REQUIRED_FILES = frozenset({TRAINED, STATE, SESSION, *_TORCH_FILES})

M = TypeVar("M", bound=BaseModel)
_Count = Annotated[int, Field(strict=True, ge=0)]


class _Control(BaseModel):
    should_training_stop: bool


class _Callback(BaseModel):
    args: dict[str, Any]


class _State(BaseModel):
    """What sltk and the Trainer rely on in `trainer_state.json`."""

    model_config = ConfigDict(extra="allow")

    global_step: _Count
    max_steps: _Count
    num_train_epochs: _Count
    best_global_step: _Count | None = None
    best_metric: float | None = None
    log_history: list[dict[str, Any]]
    stateful_callbacks: dict[str, Any]


class _Session(BaseModel):
    model_config = ConfigDict(extra="forbid")

    words: _Count
    seconds: float = Field(ge=0, allow_inf_nan=False)
    evaluating: float = Field(ge=0, allow_inf_nan=False)
    processes: Annotated[int, Field(strict=True, ge=1)]
    micro_batch_tokens: Annotated[int, Field(strict=True, ge=1)] | None = None


def _validated(kind: type[M], path: Path, values: Any) -> M:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        item = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in item["loc"])
        raise damaged(path, f"`{key}`: {item['msg'][:1].lower()}{item['msg'][1:]}") from error


class Session:
    """Words and time that a run has taken so far, including those before it was resumed."""

    def __init__(
        self,
        words: int = 0,
        seconds: float = 0.0,
        evaluating: float = 0.0,
        micro_batch_tokens: int | None = None,
    ) -> None:
        self.words = words
        self.micro_batch_tokens = micro_batch_tokens
        """Most subwords per forward pass; None for the batches of the spec."""
        self.words_before = words
        self.evaluating = evaluating
        self.evaluating_cpu = 0.0
        self._before = seconds
        self._start_time, self._start_cpu = time.perf_counter(), time.process_time()

    @classmethod
    def of(cls, checkpoint: Path) -> Session:
        """Read the session in a checkpoint.

        Raises:
            UsageError: a different number of processes wrote it; or the file is damaged.
        """
        path = checkpoint / SESSION
        stored = _validated(_Session, path, read_json(path))
        now = processes.world_size()
        if stored.processes != now:
            raise UsageError(
                f"`{checkpoint}` is from a run with {stored.processes} processes, and this one has {now}: "
                "resume it with the same number"
            )
        return cls(stored.words, stored.seconds, stored.evaluating, stored.micro_batch_tokens)

    @property
    def seconds(self) -> float:
        """Wall-clock time of training in seconds, including evaluations and checkpoints."""
        return self._before + time.perf_counter() - self._start_time

    @property
    def words_per_second(self) -> float:
        """Words trained on per second, without the time of evaluations."""
        return self.words / max(self.seconds - self.evaluating, 1e-9)

    @property
    def words_per_cpu_second(self) -> float:
        """The same per second of CPU time of this process, since the run began or was resumed."""
        cpu_seconds = time.process_time() - self._start_cpu - self.evaluating_cpu
        return (self.words - self.words_before) / max(cpu_seconds, 1e-9)

    def as_json(self) -> dict[str, float | None]:
        """The values that a checkpoint stores."""
        return {
            "words": self.words,
            "seconds": self.seconds,
            "evaluating": self.evaluating,
            "processes": processes.world_size(),
            "micro_batch_tokens": self.micro_batch_tokens,
        }


def checkpoints(folder: Path) -> dict[int, Path]:
    """The complete checkpoints in a folder by update, oldest first."""
    return {step: path for step, path in _folders(folder).items() if _missing(path) is None}


def _folders(folder: Path) -> dict[int, Path]:
    """All checkpoints in a folder by update, oldest first; other files and folders are ignored.

    Raises:
        UsageError: `folder` is not a folder.
    """
    if not folder.exists():
        return {}
    if not folder.is_dir():
        raise damaged(folder, "expected a folder")
    names = ((re.fullmatch(r"checkpoint-([0-9]{1,18})", path.name), path) for path in folder.iterdir())
    return dict(sorted((int(match[1]), path) for match, path in names if match and path.is_dir()))


def _missing(path: Path) -> str | None:
    """A file that a checkpoint lacks; None if it is complete."""
    names = {file.name for file in path.iterdir()}
    absent = sorted(_REQUIRED_FILES - names)
    if not any(name.startswith("rng_state") for name in names):
        absent.append("rng_state.pth")
    return absent[0] if absent else None


@dataclass(frozen=True)
class ResumePoint:
    """A run that resumes: what its checkpoints must fit."""

    network: TrainableModule
    spec_digest: str | None
    """The digest of the spec; a checkpoint of another spec is not used."""
    selects_best: bool
    """Whether the weights of the best epoch are needed at the end."""
    averages: bool = False
    """Whether there is a moving average of the weights."""

    def newest(self, folder: Path, progress: Progress) -> Path | None:
        """The newest checkpoint that is complete and undamaged; None if there is no complete one.

        Every newer checkpoint that cannot be used is reported with the reason.

        Raises:
            UsageError: there are complete checkpoints, and none can be used; the error says how to start over.
        """
        refused: list[Problem] = []
        for step, path in reversed(_folders(folder).items()):
            missing = _missing(path)
            if missing is not None:
                progress.note(f"{path.name} is incomplete: it has no {missing}")
                continue
            try:
                self._check(path, step, progress)
            except UsageError as error:
                refused += error.problems
                about = " ".join(_one_line(problem) for problem in error.problems)
                progress.note(f"{path.name} cannot be used: {about}")
            else:
                return path
        if refused:
            advice = "`--force` starts the run over; or restore the files, and `--resume` again"
            raise UsageError([*refused[:-1], _with_note(refused[-1], advice)])
        return None

    def _check(self, path: Path, step: int, progress: Progress) -> None:
        about = manifest.verify(path)
        state = self._check_content(path, step, about)
        if about is None:
            progress.note(
                f"warning: `{path}` has no {manifest.NAME}, so only the form of its files is checked"
            )
        best = state.best_global_step
        if self.selects_best and best and best != step:
            place = path.with_name(f"checkpoint-{best}")
            missing = _missing(place) if place.is_dir() else "folder"
            if missing is not None:
                raise UsageError(Problem(f"the best checkpoint has no {missing}", Location(str(place))))
            self._check_content(place, best, manifest.verify(place))

    def _check_content(self, path: Path, step: int, about: Mapping[str, Any] | None) -> _State:
        """Check everything in a checkpoint that can be checked without training.

        Raises:
            UsageError: a file is damaged, or belongs to another step, another spec or another network.
        """
        state = _validated(_State, path / STATE, read_json(path / STATE))
        _validated(_Control, path / STATE, _validated(_Callback, path / STATE, _control(state)).args)
        _validated(_Session, path / SESSION, read_json(path / SESSION))
        if state.global_step != step:
            raise damaged(path / STATE, f"`global_step` is {state.global_step}, expected {step}")
        if about is None:
            _check_torch_files(path)
        elif about.get("step") != step:
            raise damaged(path / manifest.NAME, f"`step` is {about.get('step')}, expected {step}")
        elif None not in (self.spec_digest, about.get("spec")) and about["spec"] != self.spec_digest:
            raise damaged(path / manifest.NAME, "the checkpoint is from a run with another spec")
        self._check_weights(path / TRAINED)
        if self.averages:
            self._check_weights(path / AVERAGED, averaged=True)
        return state

    def _check_weights(self, path: Path, *, averaged: bool = False) -> None:
        found = {name: tuple(entry["shape"]) for name, entry in read_header(path).items()}
        for name, shape in self.network.trainable_shapes().items():
            if averaged and name.startswith("gates."):
                continue
            if found.pop(name, None) != shape:
                raise damaged(path, f"`{name}` is missing, or its shape is not {list(shape)}")
        if found:
            raise damaged(path, f"`{min(found)}` is unknown")


def _control(state: _State) -> Any:
    return state.stateful_callbacks.get("TrainerControl")


def _check_torch_files(folder: Path) -> None:
    """Read the files of torch in a checkpoint without a manifest, which builds tensors and plain values only.

    They are zip archives, whose checksums torch does not compare.
    """
    for path in (*(folder / name for name in _TORCH_FILES), *sorted(folder.glob("rng_state*"))):
        with report_damage(path), safe_globals():
            torch.load(path, map_location="cpu", weights_only=True)
            with zipfile.ZipFile(path) as archive:
                part = archive.testzip()
        if part is not None:
            raise damaged(path, f"its part `{part}` does not have its checksum")


def read_trained(checkpoint: Path, name: str = TRAINED) -> dict[str, Tensor]:
    """The trained weights in a checkpoint, or those in another of its files.

    Raises:
        UsageError: the file is damaged, or contains NaN or an infinite value.
    """
    path = checkpoint / name
    with report_damage(path):
        state: dict[str, Tensor] = load_file(str(path))
    for name, value in state.items():
        if not bool(torch.isfinite(value).all()):
            raise damaged(path, f"`{name}` contains NaN or an infinite value")
    return state


def check_optimizer(optimizer: Any, path: Path) -> None:
    """Check that the moments of each weight have its shape: torch copies others without an error.

    Raises:
        UsageError: a moment has another shape.
    """
    for parameter, values in _states(optimizer):
        for key in ("exp_avg", "exp_avg_sq", "momentum_buffer", "state1", "state2"):
            value = values.get(key)
            if isinstance(value, Tensor) and value.shape != parameter.shape:
                shapes = f"{list(value.shape)}, and its weight {list(parameter.shape)}"
                raise damaged(path, f"`{key}` has the shape {shapes}")


def _states(optimizer: Any) -> Iterator[tuple[Tensor, Mapping[str, Any]]]:
    inner = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
    for parameter, values in inner.state.items():
        if isinstance(parameter, Tensor) and isinstance(values, Mapping):
            yield parameter, values


def _one_line(problem: Problem) -> str:
    where = f" ({problem.location})" if problem.location else ""
    return f"{problem.message}{where}"


def _with_note(problem: Problem, note: str) -> Problem:
    return Problem(problem.message, problem.location, notes=(*problem.notes, note))
