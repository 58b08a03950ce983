"""Scores of words to tags and spans, in numpy alone, so that a model without torch decides like one with it.

Names of arrays end in their shape, as in `sltk.nn`: W words of a batch, sentence after sentence; S sentences, some of
which may have no words; L tags; N sentences that still have a word at a time step, longest first.
"""

from .chains import Chain, best_paths, marginals
from .decoder import TagDecoder
from .tag_transitions import FORBIDDEN, Transitions

__all__ = ["FORBIDDEN", "Chain", "TagDecoder", "Transitions", "best_paths", "marginals"]
