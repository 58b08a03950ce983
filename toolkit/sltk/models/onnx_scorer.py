"""The graph of an ONNX export, run by onnxruntime: encoded sentences to the scores of their words. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..decoding.tag_transitions import Floats, Integers
from ..errors import UsageError
from ..files.damage import damaged, is_about_content, reason
from ..files.safety import encodable
from ..runtime.cpus import threads
from ..runtime.optional_imports import import_optional
from ..subwords.samples import Sample
from ..subwords.tokenization import Window

_TOKEN_INPUTS = ("input_ids", "attention_mask")
_WORD_INPUTS = ("word_first", "word_last")
_RUNS_BEFORE_PACKING = 25
"""Runs after which packed weights have paid for themselves: packing takes as long as it saves in about 25 runs."""
_CODES = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?(Fatal error: )?")
_FREE_PADDING, _SHARE = 16, 20
"""Positions of padding in a batch that cost less than another batch: that many, or one per `_SHARE` tokens. Measured
with 6 and with 30 blocks, on sentences of 3 to 40 words and one thread: 20 % faster than with 64 and 4."""


class OnnxScorer:
    """A graph `input_ids, attention_mask [B, T] (and word_first, word_last [B, W]) -> scores [B, T or W, L]`.

    Args:
        path: the file of the graph. It may name external data in the same folder only.
        about: the key `onnx` of sltk.json.
        labels: number of labels L.
        takes_last: whether the score of a word is that of its last subword, not that of its first.

    Raises:
        UsageError: onnxruntime is not installed; or the file is damaged, uses operators that onnxruntime does not have,
            or has other inputs or outputs.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], labels: int, takes_last: bool) -> None:
        self.path = path
        self._output: str = about["output"]
        self._by_word = about["granularity"] == "word"
        self._takes_last = takes_last
        self._labels = labels
        self._states = _states(path)
        self.threads = threads()
        """Threads of one run."""
        self._session = _session(path, packed=False)
        self._runs = 0
        self._check()

    def prepare(self) -> None:
        """Pack the weights before the next run, because there will be many."""
        self._runs = _RUNS_BEFORE_PACKING - 1

    def word_scores(self, samples: Iterable[Sample], *, mixed: bool = False) -> Floats:
        """[W, L]: one score per label for each word of the samples, in order.

        With `mixed`, all windows are padded to one length; otherwise windows of similar length.

        Raises:
            UsageError: the graph cannot be run, or its scores have another shape or are no finite numbers.
        """
        windows = [window for sample in samples for window in sample.encoding.windows if window.first]
        sizes = [len(window.first) for window in windows]
        starts = np.cumsum([0, *sizes])
        scores_WL = np.empty((starts[-1], self._labels), dtype=np.float32)
        groups = [list(range(len(windows)))] if mixed else similar_lengths([len(w.ids) for w in windows])
        for rows in groups:
            scores_BXL = self._run([windows[row] for row in rows])
            for row, scores_XL in zip(rows, scores_BXL, strict=True):
                window = windows[row]
                positions = (
                    slice(sizes[row])
                    if self._by_word
                    else (window.last if self._takes_last else window.first)
                )
                scores_WL[starts[row] : starts[row + 1]] = scores_XL[positions]
        if not np.isfinite(scores_WL).all():
            raise damaged(self.path, "its scores are not finite numbers")
        return scores_WL

    def _run(self, windows: Sequence[Window]) -> Floats:
        """The output for windows as rows of one padded batch."""
        ids_BT = padded([window.ids for window in windows])
        lengths_B = np.array([len(window.ids) for window in windows])
        mask_BT = (np.arange(ids_BT.shape[1]) < lengths_B[:, None]).astype(np.int64)
        inputs = {"input_ids": ids_BT, "attention_mask": mask_BT}
        if self._by_word:
            inputs["word_first"] = padded([window.first for window in windows])
            inputs["word_last"] = padded([window.last for window in windows])
        with _report_errors(self.path):
            scores: Floats = self._packed_session().run([self._output], inputs)[0]
        positions = inputs["word_first" if self._by_word else "input_ids"].shape[1]
        expected = (len(windows), positions, self._labels)
        if scores.shape != expected:
            raise damaged(self.path, f"its scores have the shape {scores.shape}, expected {expected}")
        return scores

    def _packed_session(self) -> Any:
        """The session; one with packed weights, which start slower and run faster, once that pays."""
        self._runs += 1
        if self._runs == _RUNS_BEFORE_PACKING and _states(self.path) == self._states:
            with suppress(Exception):  # the session does without: there may be too little memory for both
                self._session = _session(self.path, packed=True)
        return self._session

    def _check(self) -> None:
        """Check names, types and shapes of inputs and outputs, as far as the graph says them."""
        names = (*_TOKEN_INPUTS, *(_WORD_INPUTS if self._by_word else ()))
        inputs = {value.name: value for value in self._session.get_inputs()}
        if inputs.keys() != set(names):
            raise damaged(self.path, f"it has the inputs {_list(inputs)}, expected {_list(names)}")
        for name in names:
            self._check_value(inputs[name], "tensor(int64)", 2)
        outputs = {value.name: value for value in self._session.get_outputs()}
        if self._output not in outputs:
            raise damaged(self.path, f"it has the outputs {_list(outputs)}, expected `{self._output}`")
        self._check_value(outputs[self._output], "tensor(float)", 3)
        count = outputs[self._output].shape[2]
        if isinstance(count, int) and count != self._labels:
            raise damaged(self.path, f"it scores {count} labels, and sltk.json has {self._labels}")

    def _check_value(self, value: Any, kind: str, rank: int) -> None:
        if value.type != kind or len(value.shape) != rank:
            found = f"{value.type} of rank {len(value.shape)}"
            raise damaged(self.path, f"`{value.name}` is {found}, expected {kind} of rank {rank}")


def similar_lengths(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group sequences for padding, longest first: at most a twentieth of the tokens of a group, or 16, are added."""
    group: list[int] = []
    tokens = 0
    for position in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        tokens += lengths[position]
        padding = lengths[group[0]] * (len(group) + 1) - tokens if group else 0
        if padding > max(_FREE_PADDING, tokens // _SHARE):
            yield group
            group, tokens = [], lengths[position]
        group.append(position)
    if group:
        yield group


def padded(rows: Sequence[Sequence[int]]) -> Integers:
    """Rows of numbers as one array [B, longest], filled up with zeros on the right."""
    array = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for row, numbers in zip(array, rows, strict=True):
        row[: len(numbers)] = numbers
    return array


def _session(path: Path, *, packed: bool) -> Any:
    """A session of onnxruntime. Packed weights take memory and time at the start, and make short batches faster."""
    runtime: Any = import_optional("onnxruntime", "this model (ONNX)", "onnx")
    if encodable(str(path)) != str(path):
        raise UsageError(
            f"`{path}`: onnxruntime opens only files whose path is valid UTF-8: rename the folder"
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 4  # errors are raised too
    # Memory is planned for each shape anew and returned after each run: batches of text differ in shape.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    if not packed:
        options.add_session_config_entry("session.disable_prepacking", "1")
    runtime.set_default_logger_severity(4)
    with _report_errors(path):
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@contextmanager
def _report_errors(path: Path) -> Iterator[None]:
    """Turn an error of onnxruntime about a graph into one that names its file, without codes and repeated paths."""
    try:
        yield
    except Exception as error:
        if not is_about_content(error):
            raise
        raise damaged(path, _CODES.sub("", reason(error))) from error


def _states(path: Path) -> list[tuple[int, ...]]:
    """What changes if the graph or its external data is replaced."""
    files = sorted(path.parent.glob(f"{path.name}*"))
    stats = [file.stat() for file in files if file.is_file()]
    return [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats]


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
