"""Types of spec options: the names of tag schemes, and of ways to repair ill-formed tags."""

from typing import Literal

SchemeName = Literal["IOB1", "IOB2", "IO", "BIOES", "BILOU", "BMES", "plain"]
ReaderScheme = Literal["auto", "IOB1", "IOB2", "IO", "BIOES", "BILOU", "BMES", "plain"]
Repair = Literal["conlleval", "drop", "error"]
