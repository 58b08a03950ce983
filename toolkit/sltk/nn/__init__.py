"""Torch modules: attention, packing, mask proofs, heads, losses. They do not depend on specs; components build them.

Tensor names end in their shape, one letter per dimension:

    T   subwords of a batch, packed: sentence after sentence, without padding
    W   words of a batch, packed in the same way
    S   sentences of a batch; some may have no words
    H   width of a vector
    L   tags (labels)
    N   sentences that still have a word at a time step, longest first

So `vectors_WH` is [words, hidden size], and `lengths_S` is the number of words of each sentence.
"""

from . import silence_libraries  # noqa: F401  (must precede the first import of transformers)
