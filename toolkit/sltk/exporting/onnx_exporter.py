"""`sltk export --format onnx`: a model that runs through onnxruntime."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError
from ..runtime.progress import Progress


def export_onnx(folder: Path, target: Path, progress: Progress, *, quantize: str | None = None) -> None:
    """Write the model in `folder` to a new folder `target`, as ONNX.

    Raises:
        UsageError: always, until ONNX exports are available.
    """
    raise UsageError("ONNX exports are not available yet")
