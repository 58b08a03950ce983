"""Metrics in runs and on the command line: where their scores are, and how they are displayed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import sltk
import tiny
from sltk import cli
from sltk.cli.score_tables import show_scores
from sltk.components.metrics import AccuracyMetric, PartialMetric, SpansMetric
from sltk.errors import InputError
from sltk.spec import loading

ROWS = [("Mina", "B-PER", "B-PER"), ("Okoro", "I-PER", "O"), ("left", "O", "O"), None,
        ("Turku", "B-LOC", "B-PER"), (".", "O", "O")]  # fmt: skip
METRICS = [
    {"type": "seqeval"},
    {"type": "seqeval", "mode": "conlleval"},
    {"type": "accuracy"},
    {"type": "spans", "thresholds": [0.0, 1.0], "calibration_bins": 5, "resamples": 20},
    {"type": "partial"},
]


@pytest.fixture
def both(tmp_path: Path) -> str:
    """A file whose last two columns are gold and predicted tags."""
    file = tmp_path / "both.txt"
    file.write_text("".join("\t".join(row) + "\n" if row else "\n" for row in ROWS), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run that is scored by every metric."""
    folder = tmp_path_factory.mktemp("metrics") / "run"
    sltk.train(tiny.spec({"max_steps": 3}, data=tiny.all_splits(), metrics=METRICS), folder)
    return folder


def test_each_metric_of_a_run_has_its_place(run):
    """The scores of the first metric are at the top level, others under their names; no name replaces a score."""
    scores = json.loads((run / "metrics.json").read_text())["test"]
    assert "mode:strict" in scores["signature"]
    assert "mode:conlleval" in scores["seqeval"]["signature"]
    assert 0 <= scores["accuracy"] == scores["accuracy_2"]["accuracy"] <= 1
    assert scores["partial"]["table"]["strict"]["correct"] == scores["correct"]
    assert scores["spans"]["accuracy"] == scores["partial"]["accuracy"] == scores["accuracy"]


def test_a_run_scores_the_probabilities_of_its_model(run):
    """All predicted spans reach a threshold of 0, none reaches 1; every word is in the calibration."""
    scores = json.loads((run / "metrics.json").read_text())["test"]
    all_of_them, certain = scores["spans"]["thresholds"]
    assert (all_of_them["predicted"], all_of_them["correct"]) == (scores["predicted"], scores["correct"])
    assert certain["predicted"] == 0
    assert scores["spans"]["calibration"]["words"]["count"] == scores["words"]
    assert scores["spans"]["calibration"]["spans"]["count"] == scores["predicted"]


def test_evaluate_shows_every_metric(run, capsys):
    """Each metric has a table and a signature; `--json` has the same keys as metrics.json."""
    assert cli.main(["evaluate", str(run)]) == 0
    shown = capsys.readouterr().out
    for name in ("seqeval", "accuracy_2", "spans", "partial"):
        assert f"test: {name}" in shown
    for signature in ("seqeval|", "accuracy|", "spans|", "partial|"):
        assert signature in shown
    assert cli.main(["evaluate", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((run / "metrics.json").read_text())["test"]


def test_a_span_metric_is_rejected_for_plain_tags():
    """A span metric is rejected for plain tags when the spec is checked, at its key."""
    spec = tiny.spec(scheme="plain", metrics=[{"type": "accuracy"}, {"type": "partial"}])
    with pytest.raises(InputError, match=r"metric `partial` counts spans(.|\n)*\(metrics.1\)"):
        loading.load(spec)


def test_scores_of_another_metric_may_have_the_name_of_a_score():
    """If the first metric has no accuracy, that key holds the scores of the metric `accuracy`; both are displayed."""
    tags = [["B-A"]]
    scores = PartialMetric().compute(tags, tags, "IOB2")
    del scores["accuracy"]
    scores["accuracy"] = AccuracyMetric().compute(tags, tags, "IOB2")
    text = shown(scores)
    assert "a title[/b]: accuracy" in text
    assert text.count("accuracy of words") == 1


def score(*arguments: str) -> int:
    return cli.main(["score", *arguments])


def test_score_by_another_metric(both, capsys):
    """`--metric` selects the metric, `--metric-option` sets its keys, and `--mode` is one of them."""
    assert score(both, "--metric", "partial", "--mode", "conlleval", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["signature"].startswith("partial|scheme:IOB2|mode:conlleval|")
    assert [scores["table"][row]["correct"] for row in ("strict", "exact", "partial", "type")] == [0, 1, 1, 1]
    assert score(both, "--metric", "spans", "--metric-option", "seed=7", "--json") == 0
    assert "|seed:7|" in json.loads(capsys.readouterr().out)["signature"]
    assert score(both, "--metric", "partial") == 0
    shown = capsys.readouterr().out
    assert [word in shown for word in ("compared by", "spurious", "partial|scheme")] == [True] * 3


def test_score_by_a_custom_metric(both, tmp_path, capsys):
    """`--imports` loads a custom metric; its scores are displayed by name."""
    file = tmp_path / "lengths.py"
    file.write_text(
        "from sltk import Metric, register\n\n"
        "@register.metric('lengths_of_words')\n"
        "class Lengths(Metric):\n"
        "    'Mean length of words.'\n\n"
        "    def score(self, predictions, scheme):\n"
        "        words = [word for each in predictions for word in each.words]\n"
        "        return {'mean_length': sum(map(len, words)) / len(words), 'signature': 'lengths'}\n"
    )
    try:
        assert score(both, "--metric", "lengths_of_words", "--imports", str(file)) == 0
    finally:
        sltk.components.registry.registry._slots["metric"].pop("lengths_of_words", None)
    shown = capsys.readouterr().out
    assert "mean_length" in shown
    assert "3.8000" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "partail"], "unknown metric `partail`"),
        (["--metric", "partial", "--metric-option", "mood=strict"], "did you mean `mode`?"),
        (["--metric-option", "mode=strict"], "`--metric-option` needs `--metric`"),
        (["--metric", "accuracy", "--mode", "strict"], "`--mode` does not apply to the metric `accuracy`"),
        (["--metric", "spans", "--scheme", "plain"], "use the metric `accuracy`"),
        (["--metric", "spans", "--metric-option", "calibration_bins=5"], "tags alone have none"),
        (["--metric", "partial", "--scheme", "BMES"], "both.txt:2"),
    ],
)
def test_score_rejects_options_that_a_metric_does_not_support(both, capsys, arguments, message):
    """The error has exit code 2 and names the cause."""
    assert score(both, *arguments) == 2
    assert message in capsys.readouterr().err


def shown(scores) -> str:
    output = io.StringIO()
    show_scores(Console(file=output, width=100), "[b]a title[/b]", scores)
    return output.getvalue()


def test_types_are_shown_as_they_are():
    """A type or title in square brackets is not interpreted as markup."""
    tags = [["B-[red]", "B-[/b]"]]
    text = shown(PartialMetric().compute(tags, tags, "IOB2"))
    assert [each in text for each in ("[red]", "[/b]", "[b]a title[/b]")] == [True] * 3


def test_tables_fit_a_screen():
    """No line is wider than the screen, and no cell is truncated, for any number of types."""
    types = [f"LONG_TYPE_NAME_{number}" for number in range(40)]
    gold, predicted = [[f"B-{each}" for each in types]], [[f"B-{each}" for each in types[1:]] + ["O"]]
    text = shown(SpansMetric().compute(gold, predicted, "IOB2")) + shown(
        PartialMetric().compute(gold, predicted, "IOB2")
    )
    tables = [line for line in text.splitlines() if "|" not in line]
    assert max(map(len, tables)) <= 100
    assert "…" not in text.replace("… and ", "")
    assert "LONG_TYPE_NAME_39" in text
    assert "and 28 more" in text
