"""The Python code of docs/guides/onnx.md labels like sltk, with numpy, tokenizers and onnxruntime alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sltk
import tiny
from repository import ROOT
from sltk.run import load

SENTENCES = [["The", "soup", "was", "awful", "."], ["ok"]]
_NOTHING_ELSE = """
import sys
assert not {"torch", "transformers", "sltk"} & sys.modules.keys()
"""


def code() -> str:
    """The only block of Python in the guide."""
    page = (ROOT / "docs" / "guides" / "onnx.md").read_text(encoding="utf-8")
    (block,) = [part.partition("```")[0] for part in page.split("```python\n")[1:]]
    return block


@pytest.mark.parametrize("head", ["linear", "crf"])
def test_the_code_of_the_guide_gives_the_tags_of_sltk(
    tmp_path: Path, head: str, onnx_library: ModuleType
) -> None:
    """It prints the tags of both sentences, with Viterbi if there is a CRF."""
    spec: Any = tiny.spec({"epochs": 4}, head={"type": head})
    sltk.train(spec, tmp_path / "run")
    sltk.export(tmp_path / "run", tmp_path / "exported", format="onnx")
    command = [sys.executable, "-c", code() + _NOTHING_ELSE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = [prediction.tags for prediction in load(tmp_path / "run").predict(SENTENCES)]
    assert done.stdout.splitlines() == [str(tags) for tags in expected]
