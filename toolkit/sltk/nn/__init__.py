"""The torch modules; everything else in sltk imports torch only inside functions, if at all.

Tensor names end in their shape, one letter a dimension:

    T   subwords of a batch, packed: sentence after sentence, no padding
    W   words of a batch, packed likewise
    S   sentences of a batch; may hold sentences of no words
    H   width of a vector
    L   tags (labels)
    N   sentences that still have a word at some time step, longest first

So `vectors_WH` is [words, hidden size], and `lengths_S` says how many of the W words each sentence has.
"""

from . import quiet  # noqa: F401  (acts when imported: before transformers and what it brings)
