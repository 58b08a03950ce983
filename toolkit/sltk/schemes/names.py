"""Types of spec options: the names of tag schemes, and of ways to write tags and to repair ill-formed ones."""

from typing import Literal

SchemeName = Literal["IOB1", "IOB2", "IO", "BIOES", "BILOU", "BMES", "layers", "plain"]
ReaderScheme = Literal["auto", "IOB1", "IOB2", "IO", "BIOES", "BILOU", "BMES", "layers", "plain"]
StyleName = Literal["prefix", "suffix", "letters", "types"]
ReaderStyle = Literal["auto", "prefix", "suffix", "letters", "types"]
Repair = Literal["conlleval", "drop", "error"]
