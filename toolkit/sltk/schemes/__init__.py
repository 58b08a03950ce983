"""Tag schemes: tags to spans and back, as tables run by one engine.

A tag is `O`, or a letter, a hyphen and a type: `B-PER`. Types may hold hyphens and colons.

    IOB1    I, and B only where a span follows another of its type (Ramshaw and Marcus 1995; CoNLL-2003)
    IOB2    B for the first word of every span (CoNLL-2000, CoNLL-2002)
    IO      I alone; neighbouring spans of one type become one
    BIOES   E for the last word, S for a span of one word; BILOU and BMES write the same in other letters
    plain   any string, one a word; no spans (part-of-speech tags)

Ill-formed sequences are read in one of two ways. The lenient one is that of the shared tasks' script
`conlleval`: every word but `O` is in a span, and a stray I- opens one. (The script takes a B- after an E- for
a continuation; here, as in seqeval, it opens a span.) The strict one is seqeval's strict mode: only spans
that are well-formed from their first word to their last.
"""

from .coding import Chunk, Decoded, chunks, convert, decode, encode, merged, tags_of
from .detection import detect, transitions
from .overlaps import resolve_overlaps
from .rules import SCHEMES, SchemeError

__all__ = [
    "SCHEMES",
    "Chunk",
    "Decoded",
    "SchemeError",
    "chunks",
    "convert",
    "decode",
    "detect",
    "encode",
    "merged",
    "resolve_overlaps",
    "tags_of",
    "transitions",
]
