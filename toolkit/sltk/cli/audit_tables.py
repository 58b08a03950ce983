"""An audit as tables: what `sltk check SPEC --data` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ..preview.audit import Audit
    from ..preview.audit.counts import Distribution, SplitCounts
    from ..preview.audit.subwords import SubwordCounts

_MOST_TYPES = 20
"""Types shown in rows of their own; ACE05 has 33, `--json` has all."""


def show_audit(console: Console, audit: Audit) -> None:
    """A column a split: what is in it, its spans, its lengths, what is odd; then what splits share."""
    names = list(audit.splits)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("data")
    for name in names:
        table.add_column(name, justify="right")
    for rows in (_contents(audit), _types(audit), _words(audit), _subwords(audit), _odd(audit)):
        for label, *cells in rows:
            table.add_row(Text(label), *map(Text, cells))
        table.add_section()
    console.print(table)
    for line in _notes(audit):
        console.print(Text(line))


_Rows = Iterator[tuple[str, ...]]


def _row(audit: Audit, label: str, cell: Callable[[SplitCounts], str]) -> tuple[str, ...]:
    return (label, *(cell(counts) for counts in audit.splits.values()))


def _contents(audit: Audit) -> _Rows:
    yield _row(audit, "sentences", lambda split: f"{split.sentences:,}")
    yield _row(audit, "words", lambda split: f"{split.words:,}")
    yield _row(audit, "documents", lambda split: f"{split.documents:,}" if split.documents else "not marked")
    yield _row(audit, "scheme", lambda split: split.scheme or "spans")


def _types(audit: Audit) -> _Rows:
    total = {
        kind: sum(split.types.get(kind, 0) for split in audit.splits.values())
        for split in audit.splits.values()
        for kind in split.types
    }
    is_plain = any(split.scheme == "plain" for split in audit.splits.values())
    label = "tagged words" if is_plain else "spans"
    yield _row(audit, label, lambda split: f"{sum(split.types.values()):,}")
    shown = sorted(total, key=lambda kind: (-total[kind], kind))
    for kind in shown[:_MOST_TYPES]:
        yield _row(audit, f"  {kind}", lambda split, kind=kind: f"{split.types.get(kind, 0):,}")  # type: ignore[misc]
    if rest := shown[_MOST_TYPES:]:
        yield _row(
            audit,
            f"  {len(rest)} more types",
            lambda split: f"{sum(split.types.get(kind, 0) for kind in rest):,}",
        )


def _words(audit: Audit) -> _Rows:
    yield _row(audit, "words a sentence", lambda split: f"{split.words_per_sentence.mean:.1f}")
    yield _row(audit, "  half, 95%, 99%, all up to", lambda split: _reach(split.words_per_sentence))


def _reach(lengths: Distribution) -> str:
    return " · ".join(str(n) for n in (lengths.median, lengths.p95, lengths.p99, lengths.longest))


def _subwords(audit: Audit) -> _Rows:
    def row(label: str, cell: Callable[[SubwordCounts], str]) -> tuple[str, ...]:
        return (label, *(cell(counts) for counts in audit.subwords.values()))

    if not audit.subwords:
        return
    yield row("subwords a sentence", lambda split: f"{split.per_sentence.mean:.1f}")
    yield row("  half, 95%, 99%, all up to", lambda split: _reach(split.per_sentence))
    yield row("subwords a word", lambda split: f"{split.per_word:.2f}")
    if audit.tokens.limit is not None:
        yield row(f"longer than {audit.tokens.limit:,} subwords", _over_limit)
    yield row("words not known, or in part", lambda split: f"{split.unknown_words:,}")


def _over_limit(counts: SubwordCounts) -> str:
    return f"{counts.over_limit:,} ({counts.over_limit_share:.1%})" if counts.over_limit else "0"


def _odd(audit: Audit) -> _Rows:
    yield _row(audit, "repaired tags", lambda split: f"{split.repaired:,}")
    yield _row(audit, "annotations not used as they are", lambda split: f"{len(split.unused):,}")
    yield _row(audit, "repeated sentences", lambda split: f"{split.duplicates:,}")
    for other in audit.splits:
        shared = {each.split: each.sentences for each in audit.between.overlaps if each.other == other}
        if shared:
            cells = (f"{shared[name]:,}" if name in shared else "" for name in audit.splits)
            yield (f"  that are in {other} too", *cells)
    yield _row(audit, "same words, different tags", lambda split: f"{len(split.noise):,}")


def _notes(audit: Audit) -> Iterator[str]:
    for split, types in audit.between.alone.items():
        found = ", ".join(f"{kind} ({count:,})" for kind, count in types.items())
        yield f"in {split} alone: {found}"
    if len(audit.splits) > 1:
        yield f"same words with different tags in different splits: {len(audit.between.noise):,}"
    if audit.tokens.note:
        yield f"note: {audit.tokens.note}"
    elif audit.tokens.limit is None:
        yield "note: no limit of the model's length is known here"
