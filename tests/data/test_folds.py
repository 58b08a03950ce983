"""Cross-validation: how training data is divided into folds, and the specs that say so."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sltk import sweeps
from sltk.cli.app import main
from sltk.components.readers.folds import FoldReader
from sltk.components.readers.sampling import nested_sample
from sltk.data.splits import load_splits
from sltk.errors import DataError, SltkError, SpecError
from sltk.spec import loading
from sltk.spec.writing import dump
from sltk.types import Sentence, Span

BACKBONE = {
    "type": "decoder",
    "init": "random",
    "config": {"model_type": "llama"},
    "tokenizer": {"type": "train"},
}


def reader(fold: int, k: int, by: str = "sentence", seed: int = 42) -> FoldReader:
    return FoldReader(k=k, by=by, seed=seed, fold=fold)


def parts(sentences: list[Sentence], k: int, by: str = "sentence", seed: int = 42) -> list[list[Sentence]]:
    """The test part of each fold."""
    return [reader(fold, k, by, seed).divide(sentences)[1] for fold in range(1, k + 1)]


@st.composite
def corpora(draw: st.DrawFn) -> list[Sentence]:
    """Sentences with few types; some belong to documents, which need not be contiguous."""
    kinds = draw(st.lists(st.tuples(st.sampled_from("ABCO"), st.integers(0, 6)), min_size=8, max_size=40))
    return [
        Sentence(
            [f"w{number}"], [kind if kind == "O" else f"B-{kind}"], document=f"d{place}" if place else None
        )
        for number, (kind, place) in enumerate(kinds)
    ]


@given(corpora(), st.integers(2, 6), st.sampled_from(["sentence", "document"]), st.integers(0, 3))
def test_every_sentence_is_tested_once(sentences: list[Sentence], k: int, by: str, seed: int) -> None:
    """The test parts are disjoint, cover everything, keep documents whole, and training is the rest."""
    units = len({each.document or each.words[0] for each in sentences})
    if by == "document" and (units < k or all(each.document is None for each in sentences)):
        with pytest.raises(DataError, match="documents"):
            reader(1, k, by, seed).divide(sentences)
        return
    divided = [reader(fold, k, by, seed).divide(sentences) for fold in range(1, k + 1)]
    tested = [sentence.words[0] for _, part in divided for sentence in part]
    assert sorted(tested) == sorted(sentence.words[0] for sentence in sentences)
    for rest, part in divided:
        assert part
        assert rest
        in_part = {sentence.words[0] for sentence in part}
        assert [each for each in sentences if each.words[0] in in_part] == part
        assert [each for each in sentences if each.words[0] not in in_part] == rest
        if by == "document":
            documents = {each.document for each in part} - {None}
            assert not documents & {each.document for each in rest}


@given(corpora(), st.integers(2, 6))
def test_folds_of_sentences_have_equal_sizes(sentences: list[Sentence], k: int) -> None:
    """The sizes of folds of sentences differ by one at most; types that fit are spread over all folds."""
    divided = parts(sentences, k)
    sizes = list(map(len, divided))
    assert max(sizes) - min(sizes) <= 1
    everything = Counter(tag for each in sentences for tag in each.tags or () if tag != "O")
    rarest = min(everything.values(), default=0)
    for tag, count in everything.items():
        if count == rarest:
            counts = [sum(tag in (each.tags or ()) for each in part) for part in divided]
            assert max(counts) - min(counts) <= 1 or len(everything) > 1


def test_rare_types_are_spread() -> None:
    """Five spans of a rare type in 500 sentences are one in each of five folds, whatever the seed."""
    sentences = [
        Sentence([f"w{n}"], spans=[Span(0, 1, "rare" if n % 100 == 7 else "common")] if n % 3 else [])
        for n in range(500)
    ]
    rare = sum(any(span.type == "rare" for span in each.spans or ()) for each in sentences)
    for seed in range(3):
        counts = [
            Counter(span.type for each in part for span in each.spans or ())
            for part in parts(sentences, 5, seed=seed)
        ]
        assert max(each["rare"] for each in counts) - min(each["rare"] for each in counts) <= rare % 5
        assert max(each["common"] for each in counts) - min(each["common"] for each in counts) <= 1
    assert parts(sentences, 5, seed=0) != parts(sentences, 5, seed=1)


def test_documents_of_different_lengths_are_balanced() -> None:
    """Folds of whole documents differ by less than the longest document."""
    lengths = [1, 2, 3, 5, 8, 13, 21, 4, 4, 4, 9, 9, 30]
    sentences = [
        Sentence(["w"], ["O"], document=f"d{number}")
        for number, length in enumerate(lengths)
        for _ in range(length)
    ]
    sizes = list(map(len, parts(sentences, 3, "document")))
    assert sum(sizes) == sum(lengths)
    assert max(sizes) - min(sizes) < max(lengths)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 3))
def test_samples_are_nested(size: int, other: int, seed: int) -> None:
    """A larger random sample contains a smaller one; both keep the order of the data."""
    sentences = [Sentence([str(number)]) for number in range(25)]
    small, large = (nested_sample(sentences, each, seed) for each in sorted((size, other)))
    assert [each for each in large if each in small] == small
    assert [each for each in sentences if each in large] == large
    assert len(large) == min(25, max(size, other))


def spec(folder: Path, folds: Any, documents: int = 6, **changes: Any) -> dict[str, Any]:
    """A spec on 24 sentences in documents of four."""
    lines = []
    for number in range(24):
        if documents and number % (24 // documents) == 0:
            lines.append("-DOCSTART- O\n")
        lines.append(f"w{number} O\nx B-{'AB'[number % 2]}\n")
    (folder / "all.conll").write_text("\n".join(lines), encoding="utf-8")
    data = {"train": {"type": "conll", "path": str(folder / "all.conll")}, "folds": folds}
    return {"name": "cv", "data": data, "backbone": BACKBONE, **changes}


def test_a_sweep_trains_every_fold(tmp_path: Path) -> None:
    """A spec with folds is a sweep over them without a grid; validation comes out of each training part."""
    values = spec(tmp_path, {"k": 4, "by": "document", "seed": 3})
    values["data"]["validation"] = {"type": "holdout", "count": 1, "by": "document"}
    plan = sweeps.plan(values)
    assert [run.name for run in plan.runs] == ["fold=1", "fold=2", "fold=3", "fold=4"]
    tested: Counter[str] = Counter()
    for run in plan.runs:
        splits = load_splits(run.experiment.data, "IOB2")
        words = {name: {each.words[0] for each in data} for name, data in splits.items()}
        assert sum(map(len, words.values())) == 24 == len(set().union(*words.values()))
        assert len(words["validation"]) == 4
        tested.update(words["test"])
    assert tested == Counter({f"w{number}": 1 for number in range(24)})


def test_no_fold_is_the_best_run(tmp_path: Path) -> None:
    """Scores of folds are of different test data, so a sweep names none of them the best."""
    plan = sweeps.plan(spec(tmp_path, {"k": 2}))
    assert plan.flawed == {"fold=1", "fold=2"}


def test_folds_multiply_a_grid(tmp_path: Path) -> None:
    """Folds are the last axis of a sweep; a fold in the spec, or in the grid, is not multiplied again."""
    grid = {"seed": [1, 2], "data.folds.k": [2, 3]}
    names = [run.name for run in sweeps.plan({**spec(tmp_path, {}), "sweep": {"grid": grid}}).runs]
    assert len(names) == 10
    assert names[:3] == ["seed=1,k=2,fold=1", "seed=1,k=2,fold=2", "seed=1,k=3,fold=1"]
    named = {**spec(tmp_path, {"k": 2}), "sweep": {"list": [{"name": "a"}, {"name": "b", "seed": 1}]}}
    assert [run.name for run in sweeps.plan(named).runs] == ["a,fold=1", "a,fold=2", "b,fold=1", "b,fold=2"]
    one = {**spec(tmp_path, {"k": 2, "fold": 2}), "sweep": {"grid": {"seed": [1, 2]}}}
    assert [run.name for run in sweeps.plan(one).runs] == ["seed=1", "seed=2"]


def test_the_plan_in_the_folder_of_a_sweep_is_the_same(tmp_path: Path) -> None:
    """The stored plan names each fold, so it reads back as the same runs."""
    plan = sweeps.plan({**spec(tmp_path, {"k": 2}), "sweep": {"grid": {"seed": [1, 2]}}})
    (tmp_path / "plan.yaml").write_text(plan.dump(), encoding="utf-8")
    again = sweeps.plan(tmp_path / "plan.yaml")
    assert {run.name: run.digest for run in again.runs} == {run.name: run.digest for run in plan.runs}


def test_a_run_of_one_fold_is_stored_as_written(tmp_path: Path) -> None:
    """The test part is no key of the spec: the stored spec has `folds`, and other specs have not."""
    loaded = loading.load(spec(tmp_path, {"k": 3, "fold": 2})).spec
    (tmp_path / "spec.yaml").write_text(dump(loaded), encoding="utf-8")
    assert "test" not in loading.load(tmp_path / "spec.yaml").spec.model_dump()["data"]
    assert loading.load(tmp_path / "spec.yaml").spec == loaded
    assert loaded.data.test is not None
    plain = {key: value for key, value in spec(tmp_path, None)["data"].items() if key != "folds"}
    assert "folds" not in dump(loading.load(spec(tmp_path, None, data=plain)).spec)


def test_the_limit_of_a_fold_leaves_its_test_part_whole(tmp_path: Path) -> None:
    """`train_limit` takes a nested sample of the training part; `train.limit` cuts what is divided."""

    def words(limit: int | None) -> dict[str, list[str]]:
        loaded = loading.load(spec(tmp_path, {"k": 4, "fold": 1, "train_limit": limit})).spec
        return {
            name: [each.words[0] for each in data] for name, data in load_splits(loaded.data, "IOB2").items()
        }

    whole, half, few = words(None), words(9), words(4)
    assert whole["test"] == half["test"] == few["test"]
    assert set(few["train"]) < set(half["train"]) < set(whole["train"])
    assert (len(few["train"]), len(half["train"])) == (4, 9)
    values = spec(tmp_path, {"k": 4, "fold": 1})
    values["data"]["train"] |= {"limit": 12, "limit_seed": 5}
    limited = load_splits(loading.load(values).spec.data, "IOB2")
    assert {name: len(data) for name, data in limited.items()} == {"train": 9, "test": 3}


@pytest.mark.parametrize(
    ("folds", "changes", "message", "place"),
    [
        ({"k": 3}, {}, "a single run needs the number of its fold", "data.folds"),
        ({"k": 3, "fold": 4}, {}, "there is no fold 4", "data.folds.fold"),
        ({"k": 1, "fold": 1}, {}, "expected 2 or more, found `1`", "data.folds.k"),
        ({"k": 3, "fold": 1, "bye": "x"}, {}, "unknown key `bye`", "data.folds"),
        ({"k": 3, "fold": 1}, {"document_context": 8}, "set `by: document` in folds", "document_context"),
    ],
)
def test_bad_specs(tmp_path: Path, folds: Any, changes: Any, message: str, place: str) -> None:
    """An impossible fold is an error at its key before anything is read."""
    with pytest.raises(SpecError, match=message) as caught:
        loading.load(spec(tmp_path, folds, **changes))
    assert [problem.path for problem in caught.value.problems] == [place]


def test_a_test_set_besides_folds_is_refused(tmp_path: Path) -> None:
    """Folds are the test data, so another test set would not be scored."""
    values = spec(tmp_path, {"k": 3, "fold": 1})
    values["data"]["test"] = values["data"]["train"]
    with pytest.raises(SltkError, match="leave out `test`, or write `test: null`"):
        loading.load(values)


@pytest.mark.parametrize(
    ("setting", "documents", "message"),
    [
        ("data.folds.k=30", 6, "30 folds need at least 30 sentences, but train has 24"),
        ("data.folds={k: 9, by: document}", 6, "9 folds need at least 9 documents, but train has 6"),
        ("data.folds={k: 3, by: document}", 0, "needs documents, but train marks none"),
    ],
)
def test_data_that_cannot_be_divided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, documents: int, message: str
) -> None:
    """Too few units, or no documents: exit code 2, with the key's line in the spec, before a model is loaded."""
    values = spec(tmp_path, {"k": 3}, documents)
    (tmp_path / "cv.yaml").write_text(json.dumps(values), encoding="utf-8")
    assert main(["check", str(tmp_path / "cv.yaml"), "--data", "--set", setting]) == 2
    output = capsys.readouterr().err
    assert message in output
    assert "(data.folds." in output


def test_a_type_that_only_one_sentence_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fold that tests it cannot learn it: a warning at the key of the folds that names the fold.

    The folds that train on it do not test it, but another one does.
    """
    values = spec(tmp_path, {"k": 3})
    with (tmp_path / "all.conll").open("a", encoding="utf-8") as file:
        file.write("\nz B-C\n")
    (tmp_path / "cv.yaml").write_text(json.dumps(values), encoding="utf-8")
    assert main(["check", str(tmp_path / "cv.yaml"), "--data"]) == 0
    output = "".join(capsys.readouterr())
    assert output.count("types that do not occur in train, so the model cannot learn them: C") == 1
    assert "(data.folds)" in output
    assert output.count("   = in fold ") == 1
    assert "never scored" not in output
