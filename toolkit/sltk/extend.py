"""Everything that a custom component may import: `from sltk.extend import Reader, Sentence, register`.

What `__all__` lists stays as docs/extending.md describes it; other modules of sltk may change at any time.
Names that need torch or matplotlib are imported on first use, so that a component's module imports quickly.
"""

from typing import TYPE_CHECKING

from ._imports import on_first_use
from .components.registry import Component, RefusedError, register
from .components.slots import (
    Aligner,
    Backbone,
    FileReader,
    Head,
    Metric,
    Reader,
    Splitter,
    TaggedReader,
    Writer,
)  # fmt: skip
from .errors import DataError, ModelError, SltkError, SpecError, UsageError
from .schemes.labels import LabelSet
from .types import Prediction, Sentence, Span, Unused

if TYPE_CHECKING:
    from .components.backbones.building import tokenizer_for
    from .components.backbones.decoder_and_encoder import Decoder, Encoder
    from .components.readers.text_file import TextFileReader
    from .decoding.tag_transitions import Transitions
    from .nn.backbone import BuildContext, PackedBackbone
    from .nn.softmax_head import HeadModule, SoftmaxHead, linear_scorer
    from .reports.discovery import collect as collect_runs
    from .reports.figures import checkpoint_curves
    from .reports.plotting import save as save_figure
    from .reports.plotting import style as figure_style
    from .reports.run_records import read_records, write_records
    from .reports.study import Summary
    from .subwords.samples import IGNORED
    from .sweeps.plan import plan as plan_sweep

__all__ = [
    "IGNORED", "Aligner", "Backbone", "BuildContext", "Component", "DataError", "Decoder", "Encoder",
    "FileReader", "Head", "HeadModule", "LabelSet", "Metric", "ModelError", "PackedBackbone", "Prediction",
    "Reader", "RefusedError", "Sentence", "SltkError", "SoftmaxHead", "Span", "SpecError", "Splitter",
    "Summary", "TaggedReader", "TextFileReader", "Transitions", "Unused", "UsageError", "Writer", "checkpoint_curves",
    "collect_runs", "figure_style", "linear_scorer", "plan_sweep", "read_records", "register",
    "save_figure", "tokenizer_for", "write_records",
]  # fmt: skip

__getattr__ = on_first_use(
    __name__,
    {
        "BuildContext": "nn.backbone",
        "Decoder": "components.backbones.decoder_and_encoder",
        "Encoder": "components.backbones.decoder_and_encoder",
        "HeadModule": "nn.softmax_head",
        "IGNORED": "subwords.samples",
        "PackedBackbone": "nn.backbone",
        "SoftmaxHead": "nn.softmax_head",
        "Summary": "reports.study",
        "TextFileReader": "components.readers.text_file",
        "Transitions": "decoding.tag_transitions",
        "checkpoint_curves": "reports.figures",
        "collect_runs": "reports.discovery:collect",
        "figure_style": "reports.plotting:style",
        "linear_scorer": "nn.softmax_head",
        "plan_sweep": "sweeps.plan:plan",
        "read_records": "reports.run_records",
        "save_figure": "reports.plotting:save",
        "tokenizer_for": "components.backbones.building",
        "write_records": "reports.run_records",
    },
)
