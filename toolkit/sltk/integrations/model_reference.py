"""A trained model that a spaCy pipeline refers to: loaded once per process, and recognized by its manifest."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from typing import Any

from .. import run
from ..decoding.decisions import Mode
from ..errors import ModelError
from ..families import hub_models
from ..files import manifest
from ..models.labeller import Labeller


class ModelReference:
    """A model by its place: a run directory, an exported model, or a name on the hub.

    Raises:
        InputError: there is no such model.
    """

    def __init__(self, place: str, batch_tokens: int, decode: Mode | None) -> None:
        self.place, self.batch_tokens, self.decode = place, batch_tokens, decode
        self._labeller = self._load()
        self._process: int | None = os.getpid()

    @property
    def labeller(self) -> Labeller:
        """The loaded model; each process loads its own, since threads of a model do not survive a fork."""
        if self._process != os.getpid():
            if self._process is not None or multiprocessing.parent_process() is not None:
                _use_one_thread()
            self._labeller, self._process = self._load(), os.getpid()
        return self._labeller

    def to_bytes(self) -> bytes:
        """The place of the model, and the digest of its manifest, as JSON."""
        return json.dumps({"model": self.place, "manifest": self._digest}).encode()

    def check(self, content: bytes) -> None:
        """Check that `content`, from `to_bytes`, is about the same model.

        Raises:
            ModelError: it is about another one, or damaged.
        """
        try:
            place, digest = (json.loads(content)[key] for key in ("model", "manifest"))
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(
                "the saved pipeline is damaged: it does not say which model of sltk it has"
            ) from error
        if digest is not None and digest != self._digest:
            message = (
                f"`{self.place}` is not the model that the pipeline was saved with, which was at `{place}`"
            )
            raise ModelError(message)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_labeller": None, "_process": None}

    def _load(self) -> Labeller:
        folder = hub_models.locate(self.place)
        self._digest = manifest.digest_of(folder) or manifest.digest_of(folder / "model")
        return run.load(folder, batch_tokens=self.batch_tokens, decode=self.decode)


def _use_one_thread() -> None:
    """Stay on one thread in a process that was forked, in which the threads of libraries do not exist."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
