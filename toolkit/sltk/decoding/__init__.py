"""Scores of words to tags and spans, in numpy alone, so that a model without torch decides like one with it.

Names of arrays end in their shape, as in `sltk.nn`: W words of a batch, sentence after sentence; S sentences, some of
which may have no words; L tags; N sentences that still have a word at a time step, longest first.

Names are imported on first use, so that specs are checked without numpy.
"""

from typing import TYPE_CHECKING

from .._imports import on_first_use

if TYPE_CHECKING:
    from .any_decoder import ScoreDecoder, stored_decoder
    from .chains import Chain, best_paths, marginals
    from .decisions import Decisions, check_scheme
    from .decoder import TagDecoder
    from .layered_decoder import LayeredDecoder
    from .span_decoder import SpanDecoder
    from .span_filter import keep_spans
    from .stored_thresholds import Thresholds, copy_thresholds, read_thresholds
    from .tag_choice import best_tags
    from .tag_transitions import FORBIDDEN, Transitions

__all__ = [
    "FORBIDDEN", "Chain", "Decisions", "LayeredDecoder", "ScoreDecoder", "SpanDecoder", "TagDecoder", "Thresholds",
    "Transitions", "best_paths", "best_tags", "check_scheme", "copy_thresholds", "keep_spans", "marginals",
    "read_thresholds", "stored_decoder",
]  # fmt: skip

__getattr__ = on_first_use(
    __name__,
    {
        **dict.fromkeys(("Chain", "best_paths", "marginals"), "decoding.chains"),
        **dict.fromkeys(("Decisions", "check_scheme"), "decoding.decisions"),
        **dict.fromkeys(("FORBIDDEN", "Transitions"), "decoding.tag_transitions"),
        **dict.fromkeys(("Thresholds", "copy_thresholds", "read_thresholds"), "decoding.stored_thresholds"),
        **dict.fromkeys(("ScoreDecoder", "stored_decoder"), "decoding.any_decoder"),
        "LayeredDecoder": "decoding.layered_decoder",
        "SpanDecoder": "decoding.span_decoder",
        "TagDecoder": "decoding.decoder",
        "best_tags": "decoding.tag_choice",
        "keep_spans": "decoding.span_filter",
    },
)
