"""Minimum scores, thresholds, constrained decoding and ranking on the command line and in Python."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import names_run
import sltk
from repository import ROOT
from sltk import schemes
from sltk.cli import main
from sltk.components.metrics.spans import SpansMetric
from sltk.errors import UsageError
from sltk.files import manifest

RUNS = ROOT / "tests" / "stored_runs"
TEXT = "".join(" ".join(word for word, _ in rows) + "\n" for rows in names_run.sentences(20, seed=7)) + "\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a linear head."""
    return names_run.train(tmp_path_factory.mktemp("decisions"))


@pytest.fixture(scope="module")
def crf_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a CRF."""
    return names_run.train(tmp_path_factory.mktemp("crf"), {"type": "crf", "dropout": 0.0})


@pytest.fixture(scope="module")
def clumsy_run(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with noise in the weights of its head, so that many of its tags are ill-formed."""
    folder = tmp_path_factory.mktemp("clumsy") / "run"
    shutil.copytree(run, folder)
    path = folder / "model" / "head.safetensors"
    generator = torch.Generator().manual_seed(0)
    save_file({k: v + torch.randn(v.shape, generator=generator) for k, v in load_file(path).items()}, path)
    manifest.update(folder / "model", path)
    return folder


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def predicted(run: Path, pool: Path, *options: str) -> list[dict[str, Any]]:
    """The records of `predict --format jsonl`."""
    output = pool.with_name("out.jsonl")
    assert main(["predict", str(run), str(pool), "-f", "jsonl", "-o", str(output), *options]) == 0
    return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def message(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error of a command that fails with exit code 2."""
    capsys.readouterr()
    assert main(arguments) == 2
    return " ".join(capsys.readouterr().err.split())


def test_min_score_leaves_out_spans_in_every_format(
    run: Path, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The spans of all writers are those with enough score, words of others are tagged O, and a note counts them."""
    whole = predicted(run, pool)
    scores = sorted(span["score"] for record in whole for span in record["spans"])
    limit = scores[len(scores) // 2]
    capsys.readouterr()
    records = predicted(run, pool, "--min-score", repr(limit))
    kept = [span for record in records for span in record["spans"]]
    assert kept == [s for record in whole for s in record["spans"] if s["score"] >= limit]
    dropped = len(scores) - len(kept)
    assert 0 < dropped < len(scores)
    assert f"{dropped} spans left out because of a low score: " in capsys.readouterr().err
    for record in records:
        tags = [word["tag"] for word in record["words"]]
        assert len(schemes.decode(tags, "IOB2", "error").spans) == len(record["spans"])
    assert (
        main(
            [
                "predict",
                str(run),
                str(pool),
                "-f",
                "brat",
                "-o",
                str(pool.with_name("brat")),
                "--min-score",
                repr(limit),
            ]
        )
        == 0
    )
    (annotations,) = pool.with_name("brat").glob("*.ann")
    assert len(annotations.read_text(encoding="utf-8").splitlines()) == len(kept)
    marks = {"conll": "\tB-", "text": "](", "html": "<small title=", "label_studio": '"labels": ['}
    for writer in (*marks, "spans"):
        output = pool.with_name("out")
        arguments = ["predict", str(run), str(pool), "-f", writer, "-o", str(output)]
        assert main([*arguments, "--min-score", repr(limit)]) == 0
        text = output.read_text(encoding="utf-8")
        found = text.count(marks[writer]) if writer in marks else len(text.splitlines()) - 1
        assert found == len(kept), writer


def test_min_score_in_python(run: Path) -> None:
    """`Labeller.predict(min_score=…)` leaves out spans, for this call only."""
    labeller, texts = sltk.load(run), TEXT.splitlines()
    whole = [span for prediction in labeller.predict(texts) for span in prediction.spans]
    best = max(span.score for span in whole)
    kept = [span for prediction in labeller.predict(texts, min_score=best) for span in prediction.spans]
    assert kept == [span for span in whole if span.score == best]
    assert [span for prediction in labeller.predict(texts) for span in prediction.spans] == whole
    with pytest.raises(UsageError, match="from 0 to 1"):
        labeller.predict(texts, min_score=2)


@pytest.mark.parametrize("head", ["linear", "crf"])
def test_span_scores_are_selected_by_option_or_in_python(
    head: str, pool: Path, request: pytest.FixtureRequest
) -> None:
    """`--span-score` equals `load(span_score=…)`; minimum is at least product, and with a CRF marginal is too."""
    folder = request.getfixturevalue("run" if head == "linear" else "crf_run")
    records = {
        name: predicted(folder, pool, "--span-score", name) for name in ("product", "minimum", "marginal")
    }
    assert records["product"] == predicted(folder, pool)
    ours = sltk.load(folder, span_score="marginal").predict(TEXT.splitlines())
    for number, prediction in enumerate(ours):
        spans = {name: [s["score"] for s in record[number]["spans"]] for name, record in records.items()}
        assert spans["marginal"] == pytest.approx([span.score for span in prediction.spans])
        for product, minimum, marginal in zip(*spans.values(), strict=True):
            assert product <= minimum + 1e-6
            assert marginal <= minimum + 1e-6
            assert head == "crf" or marginal == product
    assert any(span["text"] == "Mara Holt" for record in records["product"] for span in record["spans"])


def test_constrained_prediction_has_only_well_formed_tags(clumsy_run: Path, pool: Path) -> None:
    """`--decode constrained` equals `load(decode="constrained")` and `head.decode`; no tag is ill-formed."""
    labeller = sltk.load(clumsy_run, decode="constrained")
    predictions = labeller.predict(TEXT.splitlines())
    for prediction in predictions:
        assert schemes.decode(prediction.tags, "IOB2", "error").spans == prediction.spans
    records = predicted(clumsy_run, pool, "--decode", "constrained")
    assert [[word["tag"] for word in record["words"]] for record in records] == [p.tags for p in predictions]


def test_ranking_puts_the_most_doubtful_sentence_first(run: Path, pool: Path) -> None:
    """Sentences are ordered by `uncertainty`, all of them or the first N; equal ones keep their order."""
    for measure in ("margin", "entropy"):
        records = predicted(run, pool, "--rank", "uncertainty", "--measure", measure)
        doubts = [record["uncertainty"] for record in records]
        assert doubts == sorted(doubts, reverse=True)
        assert sorted(record["text"] for record in records) == sorted(TEXT.splitlines())
        assert (records[-1]["text"], doubts[-1]) == ("", 0.0)
        first = predicted(run, pool, "--rank", "uncertainty", "--measure", measure, "--limit", "4")
        assert first == records[:4]
    plain = predicted(run, pool)
    assert all("uncertainty" not in record for record in plain)
    default = predicted(run, pool, "--rank", "uncertainty", "--limit", "1")
    assert default[0]["uncertainty"] == pytest.approx(
        max(p.uncertainty for p in sltk.load(run, uncertainty="margin").predict(TEXT.splitlines()))
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--min-score", "1.01"], "the minimum score must be a number from 0 to 1, not `1.01`"),
        (["--min-score", "nan"], "must be a number from 0 to 1, not `nan`"),
        (["--decode", "constrain"], "unknown `decode`: `constrain` = did you mean `constrained`?"),
        (["--span-score", "mean"], "unknown `span_score`: `mean`"),
        (["--thresholds", "off"], "unknown `thresholds`: `off` = one of: stored, none"),
        (["--rank", "score"], "cannot rank by `score` = one of: uncertainty"),
        (["--rank", "uncertainty", "--measure", "margn"], "did you mean `margin`?"),
        (["--measure", "margin"], "--measure is for `--rank uncertainty`"),
        (["--limit", "3"], "--limit is for `--rank uncertainty`"),
    ],
)
def test_wrong_options_are_one_clear_error(
    run: Path, pool: Path, options: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the value and what is allowed; nothing is loaded."""
    assert expected in message(capsys, "predict", str(run), str(pool), *options)


@pytest.mark.parametrize(
    "options", [["--min-score", "0.5"], ["--rank", "uncertainty"], ["--decode", "constrained"]]
)
def test_a_generating_model_has_no_scores(
    pool: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A model of `type: instruct` gives no scores, so nothing can be decided by them."""
    error = message(capsys, "predict", str(RUNS / "instruct"), str(pool), *options)
    assert "`type: instruct` writes spans and gives no scores" in error


def test_a_minimum_score_of_zero_changes_nothing(pool: Path) -> None:
    """0 is allowed for every model, also one without scores."""
    assert predicted(RUNS / "instruct", pool, "--min-score", "0") == predicted(RUNS / "instruct", pool)


def test_evaluate_compares_constrained_decoding(clumsy_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both scores are those of separate evaluations, and the counts are those of their predictions."""
    assert main(["evaluate", str(clumsy_run), "--decode", "constrained", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    as_trained, constrained = (
        sltk.evaluate(clumsy_run, decode="head").predictions,
        sltk.load(clumsy_run, decode="constrained").predict(
            [p.words for p in sltk.evaluate(clumsy_run).predictions]
        ),
    )
    assert scores["as_trained"] == sltk.evaluate(clumsy_run).scores
    pairs = [(set(one.spans), set(two.spans)) for one, two in zip(as_trained, constrained, strict=True)]
    tags = [
        (a, b)
        for one, two in zip(as_trained, constrained, strict=True)
        for a, b in zip(one.tags, two.tags, strict=True)
    ]
    changed = scores["changed"]
    assert min(changed.values()) > 0
    assert changed["tags"] == sum(a != b for a, b in tags)
    assert changed["spans_removed"] == sum(len(one - two) for one, two in pairs)
    assert changed["spans_added"] == sum(len(two - one) for one, two in pairs)
    assert changed["ill_formed_tags"] == sum(
        schemes.decode(p.tags, "IOB2", "drop").repaired for p in as_trained
    )
    correct = scores["correct"]
    gold = [set(schemes.decode(p.sentence.tags, "IOB2").spans) for p in as_trained]
    assert correct == sum(len(two & right) for (_, two), right in zip(pairs, gold, strict=True))
    assert main(["evaluate", str(clumsy_run), "--decode", "constrained"]) == 0
    shown = capsys.readouterr().out
    assert "as trained" in shown
    assert f"{changed['tags']:,} tags changed in {changed['sentences']:,} sentences" in shown


def test_the_metric_spans_scores_what_predict_writes(crf_run: Path, tmp_path: Path) -> None:
    """Its thresholds count the spans that a minimum score keeps, whatever the score of a span is."""
    shutil.copytree(crf_run, tmp_path / "run")
    path = tmp_path / "run" / "model" / "sltk.json"
    path.write_text(path.read_text().replace('"span_score": "product"', '"span_score": "marginal"'))
    manifest.update(path.parent, path)
    labeller = sltk.load(tmp_path / "run")
    assert labeller.decisions.span_score == "marginal"
    evaluated = sltk.evaluate(tmp_path / "run").predictions
    rows = SpansMetric(resamples=0, thresholds=[0.7]).score(evaluated, "IOB2")["thresholds"]
    kept = labeller.predict([p.words for p in evaluated], min_score=0.7)
    assert rows[0]["predicted"] == sum(len(p.spans) for p in kept)
    words_only = [replace(p, spans=[]) for p in evaluated]
    other = SpansMetric(resamples=0, thresholds=[0.7]).score(words_only, "IOB2")["thresholds"]
    assert other[0]["predicted"] <= rows[0]["predicted"]


def test_a_head_that_decodes_constrained_is_trained_and_scored_so(tmp_path: Path) -> None:
    """`head.decode: constrained` needs no option later; its predictions file has no ill-formed tag."""
    run = names_run.train(
        tmp_path, {"type": "linear", "decode": "constrained", "span_score": "minimum"}, epochs=1
    )
    labeller = sltk.load(run)
    assert (labeller.decisions.decode, labeller.decisions.span_score) == ("constrained", "minimum")
    blocks = (run / "predictions" / "test.conll").read_text(encoding="utf-8").strip("\n").split("\n\n")
    for block in blocks:
        schemes.decode([line.split("\t")[2] for line in block.splitlines()], "IOB2", "error")


def test_a_spec_cannot_constrain_plain_tags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`sltk check` reports it at the key of the head."""
    spec = tmp_path / "plain.yaml"
    spec.write_text(
        "name: plain\nscheme: plain\ndata: {train: {type: grammar, count: 3}}\nbackbone: {type: decoder, name: x}\n"
        "head: {type: linear, decode: constrained}\n"
    )
    error = message(capsys, "check", str(spec))
    assert "constrained decoding needs a scheme of spans" in error
    assert "(head.decode)" in error


def test_a_crf_is_constrained_already(crf_run: Path) -> None:
    """Constrained decoding changes nothing about a CRF."""
    scores = sltk.evaluate(crf_run, decode="constrained").scores
    assert set(scores["changed"].values()) == {0}
    assert {key: scores[key] for key in scores["as_trained"]} == scores["as_trained"]
