"""Several corpora: their labels, what they annotate, and how often they are read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from sltk.components.readers.concat import ConcatReader
from sltk.data.corpora import read_all
from sltk.data.dataset_stream import open_split
from sltk.data.datasets import label_set
from sltk.data.source_counts import SourceCounts
from sltk.data.splits import load_splits
from sltk.data.statistics import statistics
from sltk.errors import SltkError
from sltk.runtime.progress import reporting_to
from sltk.spec import loading
from sltk.training.corpus_draws import CorpusDraws
from sltk.training.epoch_batches import EpochBatches

NEWS = "Ann I-PERSON\nBerg B-PERSON\nmet O\nBob I-PERSON\nin O\nOslo I-LOC\n\nUN I-MISC\nspoke O\n\n"
CHAT = [
    {"text": "Eva is in Rome .", "spans": [[0, 3, "human"], [10, 14, "place"]]},
    {"text": "hi !", "spans": []},
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "news.conll").write_text(NEWS, encoding="utf-8")
    (tmp_path / "upper.conll").write_text("Lima S-LOC\n\nKim B-PER\nLee E-PER\n\n", encoding="utf-8")
    (tmp_path / "dish.conll").write_text(
        "soup B-FOOD#QUALITY-positive\nbad B-FOOD-positive\n\n", encoding="utf-8"
    )
    (tmp_path / "plain.conll").write_text("war attack\nand O\nloss die\n\n", encoding="utf-8")
    lines = [json.dumps({**record, "spans": record["spans"]}) for record in CHAT]
    (tmp_path / "chat.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def source(folder: Path, name: str, file: str, **more: Any) -> dict[str, Any]:
    kind = "jsonl" if file.endswith("jsonl") else "conll"
    separate = {"scheme": "plain"} if file.startswith("plain") else {}
    return {"name": name, "reader": {"type": kind, "path": str(folder / file), **separate}, **more}


def concat(*sources: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "concat", "sources": list(sources), **more}


def news(folder: Path, **more: Any) -> dict[str, Any]:
    return source(folder, "news", "news.conll", **{"labels": {"PERSON": "PER", "MISC": "O"}, **more})


def chat(folder: Path, **more: Any) -> dict[str, Any]:
    return source(folder, "chat", "chat.jsonl", **{"labels": {"human": "PER", "*": "O"}, **more})


def splits(scheme: str = "IOB2", **data: Any) -> Any:
    return load_splits(loading.load(tiny.spec(data=data)).spec.data, scheme)  # type: ignore[arg-type]


def problems(**data: Any) -> list[Any]:
    try:
        loaded = loading.load(tiny.spec(data=data))
        with loaded.locate_errors():
            load_splits(loaded.spec.data, "IOB2")
    except SltkError as error:
        return list(error.problems)  # type: ignore[attr-defined]
    return []


def test_corpora_are_read_in_their_own_schemes(files: Path) -> None:
    """Tags of different schemes and spans become spans of the same types, in the scheme of the model."""
    upper = source(files, "upper", "upper.conll")
    train = splits(train=concat(news(files), upper, chat(files)))["train"]
    assert [(s.corpus, s.tags) for s in train] == [
        ("news", ["B-PER", "B-PER", "O", "B-PER", "O", "B-LOC"]),
        ("news", ["O", "O"]),
        ("upper", ["B-LOC"]),
        ("upper", ["B-PER", "I-PER"]),
        ("chat", ["B-PER", "O", "O", "O", "O"]),
        ("chat", ["O", "O"]),
    ]
    assert label_set(train).types == ("LOC", "PER")


def test_left_out_labels_are_counted(files: Path) -> None:
    """Spans whose type `labels` maps to `O` are listed as left out, with their place and by their own type."""
    unused = [
        each
        for sentence in splits(train=concat(news(files), chat(files)))["train"]
        for each in sentence.unused
    ]
    assert [(each.type, each.line, each.reason) for each in unused] == [
        ("MISC", 8, "`UN` is left out: `labels` maps MISC to O"),
        ("place", 1, "`Rome` is left out: `labels` maps place to O"),
    ]


def test_labels_apply_to_whole_types(files: Path) -> None:
    """A type with suffixes is renamed only by its whole name; two old names may have one new name."""
    labels = {"FOOD#QUALITY-positive": "quality"}
    train = splits(train=concat(source(files, "dish", "dish.conll", labels=labels)))["train"]
    assert train.sentences[0].tags == ["B-quality", "B-FOOD-positive"]


def test_plain_tags_are_renamed(files: Path) -> None:
    """Plain tags are renamed too; the rest, without `O`, is what `*` stands for."""
    labels = {"attack": "conflict", "*": "O"}
    train = splits("plain", train=concat(source(files, "p", "plain.conll", labels=labels)))["train"]
    assert train.sentences[0].tags == ["conflict", "O", "O"]
    assert train.sentences[0].annotated == {"conflict"}


def test_what_a_corpus_annotates(files: Path) -> None:
    """By default, a corpus annotates the types that occur in it; other splits take that from train, by its name."""
    progress = tiny.RecordingProgress()
    with reporting_to(progress):
        data = splits(
            train=concat(news(files), chat(files)),
            validation=concat(chat(files), source(files, "other", "upper.conll")),
            test=concat(chat(files, annotates=["PER", "LOC"])),
        )
    annotated = {name: {s.corpus: s.annotated for s in split} for name, split in data.items()}
    assert annotated == {
        "train": {"news": {"PER", "LOC"}, "chat": {"PER"}},
        "validation": {"chat": {"PER"}, "other": None},
        "test": {"chat": {"PER", "LOC"}},
    }
    assert [note.partition(";")[0] for note in progress.notes] == [
        "train: corpus `news` is taken to annotate LOC, PER (the types that occur in it)",
        "train: corpus `chat` is taken to annotate PER (the types that occur in it)",
        "validation: corpus `chat` is taken to annotate PER (as in train)",
        "validation: corpus `other` is taken to annotate all types (train has no corpus of this name)",
    ]


def test_a_split_is_read_alone_as_with_the_others(files: Path) -> None:
    """A stream of one split has the sentences and the annotated types that it has beside the other splits."""
    data = {"train": concat(news(files), chat(files)), "test": concat(chat(files))}
    together = splits(**data)["test"].sentences
    assert list(open_split(loading.load(tiny.spec(data=data)).spec.data, "IOB2", "test")) == together


def test_all_types_can_be_annotated(files: Path) -> None:
    """With `annotates: all`, `O` is certain; so is that of a corpus that lists all types of the model."""
    train = splits(train=concat(news(files, annotates="all"), chat(files, annotates=["PER"])))["train"]
    assert [s.unannotated(["PER", "LOC"]) for s in train] == [set(), set(), {"LOC"}, {"LOC"}]


def test_held_out_sentences_keep_their_corpus(files: Path) -> None:
    """`holdout` takes sentences of all corpora, with what they annotate."""
    train = concat(news(files), chat(files), source(files, "upper", "upper.conll"))
    data = splits(train=train, validation={"type": "holdout", "fraction": 0.5, "allow_empty": True})
    together = [*data["train"], *data["validation"]]
    assert Counter(s.corpus for s in together) == {"news": 2, "chat": 2, "upper": 2}
    assert all(s.annotated == {"PER"} for s in together if s.corpus == "chat")


def test_counts_by_corpus(files: Path) -> None:
    """`sltk stats` and the report before training count each corpus, with the types that it annotates."""
    reader = ConcatReader.model_validate(concat(news(files), chat(files, annotates=["PER"])))
    expected = {
        "news": {"sentences": 2, "words": 8, "spans": 4, "annotates": None},
        "chat": {"sentences": 2, "words": 7, "spans": 1, "annotates": ["PER"]},
    }
    assert statistics(reader)["corpora"] == expected
    counts = SourceCounts()
    for sentence in read_all(reader).sentences:
        counts.add(sentence)
    assert list(counts.lines())[1] == "chat: 2 sentences, 7 words, 1 spans; annotates PER"


Make = Callable[[Path], dict[str, Any]]
BAD: list[tuple[Make, str, str, str | None]] = [
    (lambda f: concat(news(f, labels={"PERSN": "PER"})), "data.train.sources.0.labels.PERSN",
     "`labels` renames `PERSN`, a label that corpus `news` does not have", "PERSON"),
    (lambda f: concat(news(f, labels={"B-LOC": "X"})), "data.train.sources.0.labels.B-LOC",
     "`labels` renames `B-LOC`, a label that corpus `news` does not have", "LOC"),
    (lambda f: concat(news(f, labels={})), "data.train.sources.0.labels",
     "`labels` maps nothing: leave it out", None),
    (lambda f: concat(news(f, labels={"O": "X"})), "data.train.sources.0.labels.O",
     "`O` is no type, so it has no other name", None),
    (lambda f: concat(news(f, labels={"*": "O"})), "data.train.sources.0",
     "corpus `news` has no span that `labels` keeps", None),
    (lambda f: concat(news(f, annotates=["PER"])), "data.train.sources.0.annotates",
     "corpus `news` has spans of `LOC`, which `annotates` does not list", None),
    (lambda f: concat(news(f), chat(f, annotates=["PER", "LOK"])), "data.train.sources.1.annotates.1",
     "`annotates` names `LOK`, a type that no corpus of train has", "LOC"),
    (lambda f: concat({**news(f), "wieght": 2}), "data.train.sources.0",
     "unknown key `wieght` in `sources.0`", "weight"),
    (lambda f: concat(news(f), news(f)), "data.train.sources.1.name",
     "two corpora have the name `news`", None),
    (lambda f: concat(news(f), limit=3), "data.train.limit",
     "`limit` would leave out whole corpora: give it to their readers, or set `limit_seed`", None),
    (lambda f: concat(news(f, weight=2), temperature=2), "data.train.sources.0.weight",
     "give `weight` or `temperature`, not both: each says how often sentences are read", None),
    (lambda f: concat(news(f), source(f, "p", "plain.conll")), "",
     "corpus `p` has plain tags, and `news` spans: a model has one of them", None),
    (lambda f: {"type": "concat", "readers": [news(f)["reader"]]}, "data.train",
     "reader `concat` reads text without annotation here, and `train` needs tags or spans", None),
    (lambda f: concat({**news(f), "reader": concat(chat(f))}), "data.train.sources.0.reader",
     "reader `concat` cannot be the reader of a corpus", None),
]  # fmt: skip


@pytest.mark.parametrize(("make", "path", "message", "suggestion"), BAD)
def test_mistakes_are_errors_at_their_key(
    files: Path, make: Make, path: str, message: str, suggestion: str | None
) -> None:
    """Each mistake is one error with the key's place, and the nearest name."""
    found = problems(train=make(files))
    assert [(each.message, each.path or "", each.suggestion) for each in found] == [
        (message, path, suggestion)
    ]


def test_scored_splits_have_no_sampling(files: Path) -> None:
    """`weight` and `temperature` in validation or test are errors."""
    found = problems(train=concat(news(files)), test=concat(news(files, weight=2)))
    assert [each.path for each in found] == ["data.test.sources.0.weight"]


def test_rare_labels_may_be_absent_elsewhere(files: Path) -> None:
    """A label that occurs in train needs not occur in the test data of the corpus, nor in its first sentences."""
    few = {**news(files)["reader"], "limit": 1}
    assert problems(train=concat(news(files)), test=concat({**news(files), "reader": few})) == []
    assert problems(train=concat({**news(files), "reader": few})) == []


SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=4)


def draws_of(sizes: list[int], temperature: float | None, weights: list[float | None]) -> CorpusDraws | None:
    sources = [
        {"name": f"c{n}", "reader": {"type": "grammar"}, "weight": None if temperature else weight}
        for n, (_, weight) in enumerate(zip(sizes, weights, strict=False))
    ]
    reader = ConcatReader.model_validate({"type": "concat", "sources": sources, "temperature": temperature})
    return CorpusDraws.of(reader, [f"c{n}" for n, size in enumerate(sizes) for _ in range(size)])


@given(SIZES, st.sampled_from([1.0, 2.0, 5.0]))
def test_temperature_flattens_sizes(sizes: list[int], temperature: float) -> None:
    """Shares are in proportion to n^(1/temperature), up to one sentence; an epoch has as many sentences as the data."""
    draws = draws_of(sizes, temperature, [None] * 4)
    assert draws is not None
    powers = [size ** (1 / temperature) for size in sizes]
    expected = [sum(sizes) * power / sum(powers) for power in powers]
    slack = len(sizes)  # a corpus is read at least once per epoch
    assert all(abs(a - b) <= slack for a, b in zip(draws.counts.values(), expected, strict=True))
    assert temperature > 1 or list(draws.counts.values()) == sizes


@given(SIZES, st.lists(st.sampled_from([0.3, 1.0, 2.5]), min_size=4, max_size=4), st.integers(0, 99))
def test_sentences_of_a_corpus_are_read_equally_often(
    sizes: list[int], weights: list[Any], seed: int
) -> None:
    """After any number of epochs, two sentences of a corpus differ by at most one in how often they were read."""
    draws = draws_of(sizes, None, weights)
    assert draws is not None
    read = Counter(position for epoch in range(4) for position in draws.epoch(seed, epoch))
    for name, positions in draws.positions.items():
        assert sum(read[position] for position in positions) == 4 * draws.counts[name]
        counts = [read[position] for position in positions]
        assert max(counts) - min(counts) <= 1


def test_the_order_does_not_depend_on_processes() -> None:
    """Two processes read the batches of one with twice the size; the same epoch is the same again."""
    draws = draws_of([5, 20], None, [3.0, 0.5])

    def batches(rank: int, processes: int, size: int, epoch: int) -> list[list[int]]:
        order = EpochBatches(25, size, 7, rank, processes, draws=draws)
        order.set_epoch(epoch)
        return list(order)

    one, two = batches(0, 2, 4, 3), batches(1, 2, 4, 3)
    joined = [[n for n in [*a, *b] if n >= 0] for a, b in zip(one, two, strict=True)]
    assert joined == batches(0, 1, 8, 3) == batches(0, 1, 8, 3) != batches(0, 1, 8, 2)
    assert sum(map(len, joined)) == 25 == 3 * 5 + 10


def test_without_weights_each_sentence_is_read_once() -> None:
    """Without `weight` and `temperature`, the order is that of a single source."""
    assert draws_of([3, 2], None, [None, None]) is None
