"""Peak memory: loading to a device makes no copy in main memory, and comparing an export none in float32."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

import sltk
import tiny
from sltk.components.backbones import Decoder
from sltk.components.backbones.weights import load_shared_weights, source_of
from sltk.exporting.exporter import export
from sltk.exporting.shared_classifier import shared_classifier
from sltk.exporting.text_agreement import check_agreement
from sltk.models import tagging
from sltk.nn.backbone import BuildContext

WIDE = {
    **tiny.LLAMA,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
}
PARAMETERS = 3 * (4 * 512**2 + 3 * 512 * 2048)


class Peak:
    """Growth of the resident memory of this process at its highest, in bytes, inside the `with` block."""

    growth = 0

    def __enter__(self) -> Peak:
        gc.collect()
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pytest.skip("the peak of the resident memory cannot be reset on this system")
        self._before = self._read()
        return self

    def __exit__(self, *_: Any) -> None:
        self.growth = self._read() - self._before

    @staticmethod
    def _read() -> int:
        match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert match is not None
        return int(match[1]) * 1024


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    AutoModel.from_config(AutoConfig.for_model(vocab_size=300, **WIDE)).save_pretrained(folder)
    return folder


def test_weights_are_loaded_to_the_device_without_a_copy_in_main_memory(base: Path) -> None:
    """The device `meta` stands in for a GPU: nothing of the model is left on the CPU, at no time."""
    spec = Decoder(name=str(base), dtype="bfloat16")
    context = BuildContext(torch.device("meta"), seed=0)
    config = AutoConfig.from_pretrained(base)
    with Peak() as peak:
        model = load_shared_weights(spec, config, source_of(spec, context), context)
    tensors = [*model.parameters(), *model.buffers()]
    assert {value.device.type for value in tensors} == {"meta"}
    assert sum(value.numel() for value in model.parameters()) > PARAMETERS
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    assert peak.growth < PARAMETERS * 0.5  # a copy has 2 bytes per weight


def test_the_comparison_of_an_export_shares_its_weights(tmp_path: Path) -> None:
    """The token classifier of transformers is not loaded a second time, and not converted as a whole."""
    folder = tmp_path / "export"
    backbone = tiny.backbone(config=WIDE, dtype="bfloat16", unmask="all", lora={"r": 2})
    spec = tiny.spec({"epochs": 1, "max_steps": 1, "batch_size": 2}, backbone=backbone)
    sltk.train(spec, tmp_path / "run")
    export(tmp_path / "run", folder)
    model = tagging.load(folder)
    with torch.inference_mode():  # the weights are read from the mapped file
        assert all(bool(value.isfinite().all()) for value in model.network.parameters())
    with Peak() as peak:
        agreement = check_agreement(model, folder)
    assert agreement.texts > 10
    assert agreement.difference < 0.05
    assert peak.growth < PARAMETERS * 2  # in float32, the weights have 4 bytes
    classifier = shared_classifier(folder, model.network.backbone)
    theirs = {value.data_ptr() for value in model.network.backbone.model.layers.parameters()}
    assert {value.data_ptr() for value in classifier.model.layers.parameters()} == theirs
