"""The interface between the pipeline (run.py) and a kind of run: labelling or pre-training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from ..components.slots import Reader
from ..data.fingerprint import Fingerprint
from ..rundir.directory import RunDirectory
from ..rundir.environment import TrainedModel
from ..runtime.progress import Progress
from ..spec.experiment import RunSpec
from ..spec.loading import Loaded
from .fit import Fitted
from .task import Task

S = TypeVar("S", bound=RunSpec)


class RunKind(ABC, Generic[S]):
    """The steps of one run. The pipeline calls them in the order in which they are defined here.

    Args:
        loaded: the checked spec.
        run: the run directory; steps may write to it only where they say so.
    """

    model: TrainedModel
    """The model to train; set by `prepare`."""
    fingerprints: Mapping[str, Fingerprint]
    """Identify the training data, so that a resumed run can detect changes; set by `prepare`."""

    def __init__(self, loaded: Loaded[S], run: RunDirectory) -> None:
        self.loaded, self.spec, self.run = loaded, loaded.spec, run

    @property
    @abstractmethod
    def readers(self) -> Mapping[str, Reader | None]:
        """The readers of the run, by the key of the spec that holds them."""

    @abstractmethod
    def prepare(self, progress: Progress, *, resume: bool) -> None:
        """Read the data and build the model. An existing run in the folder stays unchanged.

        Raises:
            InputError: the spec, the data or the model is invalid.
        """

    @abstractmethod
    def task(self) -> Task:
        """The network, its training examples and its evaluation. The run directory has been started."""

    @abstractmethod
    def score(self, fitted: Fitted, progress: Progress) -> dict[str, Any]:
        """Score the trained model: `metrics.json` without `train`."""

    def cost(self, fitted: Fitted) -> dict[str, Any]:
        """The cost of training: `train` in `metrics.json`."""
        return fitted.cost

    def collect(self) -> None:
        """Collect sharded weights for `save`. All processes call this, and none computes with the model afterwards."""

    @abstractmethod
    def save(self, metrics: dict[str, Any]) -> None:
        """Write the trained model to `model/`. Only the main process calls this."""
