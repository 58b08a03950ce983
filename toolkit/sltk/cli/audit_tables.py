"""Tables of `sltk check SPEC --data`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from rich import box
from rich.console import Console
from rich.table import Table

from .rich_console import shown

if TYPE_CHECKING:
    from ..preview.audit import Audit
    from ..preview.audit.counts import Distribution, SplitCounts
    from ..preview.audit.subword_counts import SubwordCounts

_MOST_TYPES = 20
"""Maximum number of types shown one per row; ACE05 has 33. `--json` has all."""

_MOST_CONFLICTS = 10
"""Maximum number of texts with several labels that are shown."""

_LONGEST_TEXT = 60

_Rows = Iterator[tuple[str, ...]]
C = TypeVar("C")


def show_audit(console: Console, audit: Audit) -> None:
    """Print one column per split: contents, spans, lengths and anomalies; then notes on all splits together."""
    table = Table("data", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in audit.splits:
        table.add_column(shown(name), justify="right")
    for rows in (
        _contents(audit),
        _corpora(audit),
        _types(audit),
        _words(audit),
        _subwords(audit),
        _anomalies(audit),
    ):
        for cells in rows:
            table.add_row(*map(shown, cells))
        table.add_section()
    console.print(table)
    for line in [*_notes(audit), *_conflicts(audit)]:
        console.print(shown(line))


def _row(counts: dict[str, C], label: str, cell: Callable[[C], str]) -> tuple[str, ...]:
    return (label, *map(cell, counts.values()))


def _contents(audit: Audit) -> _Rows:
    splits = audit.splits
    yield _row(splits, "sentences", lambda split: f"{split.sentences:,}")
    yield _row(splits, "words", lambda split: f"{split.words:,}")
    yield _row(splits, "documents", lambda split: f"{split.documents:,}" if split.documents else "not marked")
    yield _row(splits, "scheme", lambda split: split.scheme or "spans")
    if any(split.tag_style for split in splits.values()):
        yield _row(splits, "tag style", lambda split: split.tag_style.name if split.tag_style else "B-PER")


def _corpora(audit: Audit) -> _Rows:
    """The sentences of each corpus, and those whose corpus does not annotate all types of the model."""
    splits = audit.splits
    for name in dict.fromkeys(name for split in splits.values() for name in split.corpora):
        counts = (split.corpora[name].sentences if name in split.corpora else 0 for split in splits.values())
        yield (f"sentences of {name}", *(f"{count:,}" for count in counts))
    if any(split.corpora for split in splits.values()):
        yield _row(splits, "partly labelled", lambda split: f"{_partly_labelled(audit, split):,}")


def _partly_labelled(audit: Audit, split: SplitCounts) -> int:
    types = audit.splits["train"].types.keys()
    corpora = (each for each in split.corpora.values() if each.annotated is not None)
    return sum(each.sentences for each in corpora if types - (each.annotated or set()))


def _types(audit: Audit) -> _Rows:
    splits = audit.splits
    total: Counter[str] = Counter()
    for split in splits.values():
        total.update(split.types)
    is_plain = any(split.scheme == "plain" for split in splits.values())
    label = "tagged words" if is_plain else "spans"
    yield _row(splits, label, lambda split: f"{sum(split.types.values()):,}")
    types = sorted(total, key=lambda type_: (-total[type_], type_))
    for type_ in types[:_MOST_TYPES]:
        yield (f"  {type_}", *(f"{split.types.get(type_, 0):,}" for split in splits.values()))
    if rest := types[_MOST_TYPES:]:
        counts = (sum(split.types.get(type_, 0) for type_ in rest) for split in splits.values())
        yield (f"  {len(rest)} more types", *(f"{count:,}" for count in counts))


def _words(audit: Audit) -> _Rows:
    yield from _lengths(audit.splits, "words", lambda split: split.words_per_sentence)


def _lengths(counts: dict[str, C], unit: str, lengths: Callable[[C], Distribution]) -> _Rows:
    def percentiles(split: C) -> str:
        of = lengths(split)
        return " · ".join(map(str, (of.median, of.p95, of.p99, of.longest)))

    yield _row(counts, f"{unit} per sentence", lambda split: f"{lengths(split).mean:.1f}")
    yield _row(counts, "  median, 95%, 99%, longest", percentiles)


def _subwords(audit: Audit) -> _Rows:
    splits = audit.subwords
    if not splits:
        return
    yield from _lengths(splits, "subwords", lambda split: split.per_sentence)
    yield _row(splits, "subwords per word", lambda split: f"{split.per_word:.2f}")
    if audit.tokens.limit is not None:
        yield _row(splits, f"longer than {audit.tokens.limit:,} subwords", _over_limit)
    yield _row(splits, "words with unknown parts", lambda split: f"{split.unknown_words:,}")


def _over_limit(counts: SubwordCounts) -> str:
    return f"{counts.over_limit:,} ({counts.over_limit_share:.1%})" if counts.over_limit else "0"


def _anomalies(audit: Audit) -> _Rows:
    splits = audit.splits
    yield _row(splits, "repaired tags", lambda split: f"{split.repaired:,}")
    yield _row(splits, "annotations left out or changed", lambda split: f"{split.changes.count:,}")
    yield _row(splits, "repeated sentences", lambda split: f"{split.duplicates:,}")
    for other in splits:
        shared = {each.split: each.sentences for each in audit.between.overlaps if each.other == other}
        if shared:
            cells = (f"{shared[name]:,}" if name in shared else "" for name in splits)
            yield (f"  also in {other}", *cells)
    yield _row(splits, "same words, different tags", lambda split: f"{split.noise_count:,}")
    yield from _near_duplicates(audit)


def _near_duplicates(audit: Audit) -> _Rows:
    if audit.near is None:
        return
    numbers = {(each.split, each.other): each.sentences for each in audit.near.overlaps}
    cells = (f"{numbers[name, name]:,}" for name in audit.splits)
    yield (f"near duplicates ({audit.near.similarity:g})", *cells)
    for other in list(audit.splits)[:-1]:
        counts = (numbers.get((name, other)) if name != other else None for name in audit.splits)
        yield (f"  of {other}", *("" if count is None else f"{count:,}" for count in counts))


def _notes(audit: Audit) -> Iterator[str]:
    for name, each in audit.splits.items():
        for corpus, count in each.corpora.items():
            yield f"{name}: corpus {corpus} annotates {count.annotates}"
    for split, types in audit.between.alone.items():
        numbers = ", ".join(f"{type_} ({count:,})" for type_, count in types.items())
        yield f"only in {split}: {numbers}"
    if len(audit.splits) > 1:
        yield f"same words with different tags in different splits: {audit.between.noise_count:,}"
    if audit.tokens.note:
        yield f"note: {audit.tokens.note}"
    elif audit.tokens.limit is None:
        yield "note: the maximum length of the model is unknown"


def _conflicts(audit: Audit) -> Iterator[str]:
    """The texts whose label is another elsewhere, the most surprising first."""
    conflicts = audit.conflicts
    if not conflicts.count:
        return
    shown = min(conflicts.count, _MOST_CONFLICTS)
    which = "" if shown == conflicts.count else f" (the first {shown}; --json has more)"
    yield ""
    yield f"span texts with another label elsewhere: {conflicts.count:,}{which}"
    for each in conflicts.listed[:shown]:
        places = ", ".join(each.places) + (", …" if each.count > len(each.places) else "")
        label, regular = (name or "no label" for name in (each.label, each.regular))
        text = each.text if len(each.text) <= _LONGEST_TEXT else f"{each.text[: _LONGEST_TEXT - 1]}…"
        yield f"  `{text}`: {label} {each.count:,}x, elsewhere {regular} {each.regular_count:,}x: {places}"
