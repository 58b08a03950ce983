"""Tag schemes: convert tags to spans and back, with one table of rules per scheme.

A tag is `O`, or a letter, a hyphen and a type: `B-PER`. Types may contain hyphens and colons.

    IOB1    I, and B only directly after another span of the same type (Ramshaw and Marcus 1995; CoNLL-2003)
    IOB2    B for the first word of every span (CoNLL-2000, CoNLL-2002)
    IO      I only; adjacent spans of one type are merged
    BIOES   E for the last word, S for a single-word span; BILOU and BMES use other letters for the same
    layers  the IOB2 tags of several layers, joined by `|`, for spans that overlap: B-ORG|B-LOC
    plain   any string, one per word; no spans (part-of-speech tags)

Ill-formed sequences can be read in two ways. Lenient, like the `conlleval` script of the shared tasks: every word
except `O` is in a span, and a stray I- opens one. (The script reads a B- after an E- as a continuation; here, as in
seqeval, it opens a span.) Strict, like seqeval's strict mode: only spans that are well-formed from their first word
to their last count.
"""

from .coding import (
    Chunk,
    Decoded,
    chunks,
    convert,
    decode,
    encodable,
    encode,
    merged,
    resolve_overlaps,
    tags_of,
)
from .detection import detect, transitions
from .layers import has_overlaps, split_layers
from .rules import OUTSIDE, SCHEMES, SEPARATOR, SchemeError

__all__ = [
    "OUTSIDE",
    "SCHEMES",
    "SEPARATOR",
    "Chunk",
    "Decoded",
    "SchemeError",
    "chunks",
    "convert",
    "decode",
    "detect",
    "encodable",
    "encode",
    "has_overlaps",
    "merged",
    "resolve_overlaps",
    "split_layers",
    "tags_of",
    "transitions",
]
