"""`sltk thresholds`: choosing, showing, applying and removing thresholds of types."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import names_run
import sltk
import tiny
from repository import ROOT
from sltk import schemes
from sltk.cli import main
from sltk.errors import UsageError
from sltk.files import manifest
from sltk.types import Prediction

RUNS = ROOT / "tests" / "stored_runs"
Scored = list[tuple[float, bool]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return names_run.train(tmp_path_factory.mktemp("thresholds"))


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, which a test may change."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def by_type(predictions: list[Prediction]) -> tuple[dict[str, Scored], dict[str, int]]:
    """The scores of predicted spans with whether they are right, and the number of gold spans."""
    scored: dict[str, Scored] = {"LOC": [], "PER": []}
    support = {"LOC": 0, "PER": 0}
    for prediction in predictions:
        gold = {
            (s.start, s.end, s.type) for s in schemes.decode(prediction.sentence.tags or [], "IOB2").spans
        }
        for _, _, type_ in gold:
            support[type_] += 1
        for span in prediction.spans:
            scored[span.type].append((span.score or 0, (span.start, span.end, span.type) in gold))
    return scored, support


def stored(run: Path) -> dict[str, Any]:
    return json.loads((run / "model" / "thresholds.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("goal", "value"), [("precision", 0.9), ("precision", 1.0), ("recall", 0.6), ("recall", 0.3)]
)
def test_the_best_threshold_that_reaches_the_target_is_chosen(run: Path, goal: str, value: float) -> None:
    """Of all ways to cut the validation spans by score, none that reaches the target is better in the other score."""
    chosen = sltk.choose_thresholds(run, **{goal: value})
    scored, support = by_type(sltk.evaluate(run, split="validation", thresholds="none").predictions)
    for type_, each in chosen.types.items():
        options = []
        for lowest in {score for score, _ in scored[type_]}:
            kept = [right for score, right in scored[type_] if score >= lowest]
            options.append({"precision": sum(kept) / len(kept), "recall": sum(kept) / support[type_]})
        reaching = [option for option in options if option[goal] >= value]
        other = "recall" if goal == "precision" else "precision"
        if not reaching:
            assert each.threshold is None
            assert each.best == max(option[goal] for option in options)
            continue
        assert getattr(each, other) == pytest.approx(max(option[other] for option in reaching))
        kept = [right for score, right in scored[type_] if score >= (each.threshold or 0)]
        assert (each.kept, each.predicted, each.support) == (len(kept), len(scored[type_]), support[type_])
        assert getattr(each, goal) >= value
        assert each.precision == pytest.approx(sum(kept) / len(kept))


def test_thresholds_apply_to_predict_and_evaluate(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A note says so; `--thresholds none` and `--clear` bring all spans back; test data chooses nothing."""
    assert main(["evaluate", str(run), "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert main(["thresholds", str(run), "--precision", "0.9"]) == 0
    shown = capsys.readouterr().out
    values = {name: each["threshold"] for name, each in stored(run)["types"].items()}
    assert stored(run)["target"] == {"precision": 0.9}
    assert stored(run)["chosen_on"] == "validation"
    for name, each in stored(run)["types"].items():
        assert f"{each['threshold']:.4f}" in shown
        assert f"{each['kept']} of {each['predicted']}" in shown
        assert name in shown
    assert main(["evaluate", str(run), "--json"]) == 0
    output = capsys.readouterr()
    after = json.loads(output.out)
    assert "thresholds apply, chosen for precision 0.9 on validation: LOC 0." in output.err
    assert after.pop("decisions") == {"decode": "head", "span_score": "product", "thresholds": values}
    assert after["predicted"] < before["predicted"]
    assert after["precision"] > before["precision"]
    kept = [
        span
        for prediction in sltk.evaluate(run, thresholds="none").predictions
        for span in prediction.spans
        if (span.score or 0) >= values[span.type]
    ]
    assert after["predicted"] == len(kept)
    pool, out = tmp_path / "pool.txt", tmp_path / "out.jsonl"
    lines = (" ".join(word for word, _ in rows) + "\n" for rows in names_run.sentences(30, 9))
    pool.write_text("".join(lines), encoding="utf-8")
    counts = {}
    for which in ("stored", "none"):
        assert (
            main(["predict", str(run), str(pool), "-f", "jsonl", "-o", str(out), "--thresholds", which]) == 0
        )
        counts[which] = sum(
            len(json.loads(line)["spans"]) for line in out.read_text(encoding="utf-8").splitlines()
        )
    assert 0 < counts["stored"] < counts["none"]
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json", "--thresholds", "none"]) == 0
    assert json.loads(capsys.readouterr().out) == before
    assert main(["thresholds", str(run), "--clear"]) == 0
    assert "thresholds removed" in capsys.readouterr().out
    assert not (run / "model" / "thresholds.json").exists()
    assert main(["evaluate", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == before


def test_an_export_has_the_thresholds_of_the_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exports carry them along; an export can also get its own, on other data."""
    sltk.choose_thresholds(run, recall=0.5)
    sltk.export(run, tmp_path / "export")
    assert json.loads((tmp_path / "export" / "thresholds.json").read_text(encoding="utf-8")) == stored(run)
    words = [[word for word, _ in rows] for rows in names_run.sentences(30, 9)]
    assert [p.tags for p in sltk.load(tmp_path / "export").predict(words)] == [
        p.tags for p in sltk.load(run).predict(words)
    ]
    data = names_run.write(tmp_path / "dev.conll", 40, 5)
    arguments = ["thresholds", str(tmp_path / "export"), "--precision", "0.8", "--span-score", "minimum"]
    assert main([*arguments, "--data", str(data), "--reader", "conll", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["chosen_on"] == "other data"
    sltk.load(tmp_path / "export")  # its manifest fits
    assert main(arguments) == 2
    assert "give --data and --reader" in " ".join(capsys.readouterr().err.split())


def test_an_onnx_export_has_the_thresholds_of_the_run(
    run: Path, tmp_path: Path, onnx_library: object
) -> None:
    """It decides like the run: thresholds, span scores and constrained decoding."""
    sltk.choose_thresholds(run, precision=0.9, decode="constrained", span_score="minimum")
    sltk.export(run, tmp_path / "onnx", format="onnx")
    words = [[word for word, _ in rows] for rows in names_run.sentences(30, 9)]
    ours, theirs = (sltk.load(folder).predict(words) for folder in (run, tmp_path / "onnx"))
    assert [p.tags for p in ours] == [p.tags for p in theirs]
    scores = [[span.score for p in side for span in p.spans] for side in (ours, theirs)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    whole = sltk.load(tmp_path / "onnx", thresholds="none", uncertainty="entropy").predict(words)
    assert sum(len(p.spans) for p in whole) > len(scores[1])
    assert all(p.uncertainty is not None for p in whole)


def test_what_cannot_be_reached_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A type that does not reach the target, or that the data has no gold spans of, keeps all its spans."""
    data = tmp_path / "people.conll"
    data.write_text("Vera\tB-PER\nsings\tO\n\nOslo\tO\nsings\tO\n\nxyz\tB-PER\nsings\tO\n", encoding="utf-8")
    arguments = ["thresholds", str(run), "--recall", "1", "--data", str(data), "--reader", "conll"]
    assert main(arguments) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "PER does not reach recall 1, at best 0.5000: all its spans are kept" in shown
    assert "LOC has no gold spans on other data: all its spans are kept" in shown
    assert [each["threshold"] for each in stored(run)["types"].values()] == [None, None]
    words = [[word for word, _ in rows] for rows in names_run.sentences(30, 9)]
    whole = sltk.load(run, thresholds="none").predict(words)
    assert [p.spans for p in sltk.load(run).predict(words)] == [p.spans for p in whole]
    assert main(["thresholds", str(run)]) == 0
    assert "PER does not reach recall 1" in " ".join(capsys.readouterr().out.split())


def test_thresholds_are_only_for_the_scores_they_were_chosen_for(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Decoding and span score are stored and used; asking for others is an error, except without thresholds."""
    sltk.choose_thresholds(run, precision=0.9, decode="constrained", span_score="marginal")
    labeller = sltk.load(run)
    assert (labeller.decisions.decode, labeller.decisions.span_score) == ("constrained", "marginal")
    with pytest.raises(
        UsageError, match="the stored thresholds are for `span_score: marginal`, not `product`"
    ):
        sltk.load(run, span_score="product")
    assert sltk.load(run, span_score="product", thresholds="none").decisions.decode == "head"
    progress = tiny.RecordingProgress()
    assert "as_trained" in sltk.evaluate(run, decode="constrained", progress=progress).scores
    assert progress.has_note("the stored thresholds are left out of the comparison")
    assert main(["evaluate", str(run), "--decode", "head"]) == 2
    assert "`--thresholds none`" in " ".join(capsys.readouterr().err.split())


def flip(path: Path) -> None:
    path.write_text(path.read_text().replace("0.", "1."), encoding="utf-8")


def garbage(path: Path) -> None:
    path.write_text("{", encoding="utf-8")
    manifest.update(path.parent, path)


def out_of_range(path: Path) -> None:
    path.write_text(path.read_text().replace('"threshold": 0.', '"threshold": 7.'), encoding="utf-8")
    manifest.update(path.parent, path)


@pytest.mark.parametrize("damage", [flip, garbage, out_of_range, Path.unlink])
def test_damaged_thresholds_are_an_error_until_they_are_chosen_again(
    run: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is named, also after an interruption between it and the manifest; choosing again repairs it."""
    sltk.choose_thresholds(run, precision=0.9)
    damage(run / "model" / "thresholds.json")
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 2
    assert "thresholds.json" in capsys.readouterr().err
    sltk.choose_thresholds(run, precision=0.8)
    assert main(["evaluate", str(run)]) == 0
    damage(run / "model" / "thresholds.json")
    assert main(["thresholds", str(run), "--clear"]) == 0
    assert main(["evaluate", str(run)]) == 0


def test_a_link_in_a_model_from_elsewhere_is_not_followed(run: Path, tmp_path: Path) -> None:
    """Neither choosing nor removing thresholds changes a file outside of the model."""
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    for again in (
        lambda: sltk.choose_thresholds(run, recall=0.5),
        lambda: main(["thresholds", str(run), "--clear"]),
    ):
        path = run / "model" / "thresholds.json"
        path.unlink(missing_ok=True)
        path.symlink_to(outside)
        again()
        assert not path.is_symlink()
        assert outside.read_text() == "{}"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--precision", "0"], "the target precision must be a number above 0 and at most 1, not `0.0`"),
        (["--recall", "nan"], "the target recall must be a number above 0 and at most 1, not `nan`"),
        (["--precision", "0.9", "--recall", "0.9"], "give one target: a precision or a recall"),
        (["--precision", "0.9", "--clear"], "leave out one of the two"),
        (["--span-score", "minimum"], "give a target"),
        (["--precision", "0.9", "--span-score", "mean"], "unknown `span_score`: `mean`"),
        (["--precision", "0.9", "--data", "x"], "--data and --reader must be given together"),
    ],
)
def test_wrong_arguments_are_one_clear_error(
    trained: Path, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says what is wrong; nothing is loaded or stored."""
    assert main(["thresholds", str(trained), *arguments]) == 2
    assert expected in " ".join(capsys.readouterr().err.split())
    assert not (trained / "model" / "thresholds.json").exists()


def test_a_model_without_scores_has_no_thresholds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model of `type: instruct` gives no scores; a folder without a model has none either."""
    shutil.copytree(RUNS / "instruct", tmp_path / "instruct")
    data = names_run.write(tmp_path / "dev.conll", 5, 0)
    arguments = ["thresholds", str(tmp_path / "instruct"), "--recall", "0.5"]
    assert main(arguments) == 2
    assert "there is no validation data" in " ".join(capsys.readouterr().err.split())
    assert main([*arguments, "--data", str(data), "--reader", "conll"]) == 2
    assert "`type: instruct` gives no scores" in " ".join(capsys.readouterr().err.split())
    assert main(["thresholds", str(tmp_path / "none")]) == 2
    assert "has no sltk model" in " ".join(capsys.readouterr().err.split())
